/* Runs side by side: one sheet a layer, with the picture of that layer in every run of a folder. */
#ifndef LOOM_STAGES_RENDER_COMPARE_H
#define LOOM_STAGES_RENDER_COMPARE_H

#include <stddef.h>

#include "error.h"
#include "gallery.h"

/* Draw PICTURES/NAME-compared.png for every layer NAME that runs in `folder` (RUN/layers/NAME.h5 in each) have: of
 * an invariant layer the prototypes, one scale for all; where no run has an invariant layer, the weights of
 * the others. Runs come in the order of their names, numbers by size; columns: 0 for about a square; layer: only the
 * one of this name, NULL for all. Where all go to one path, LOOM_EUSAGE if there are several. LOOM_EIO if
 * the folder cannot be read, LOOM_EDATA if there is nothing in it to draw. */
int compare_draw(struct gallery *self, const char *folder, size_t columns, const char *layer) LOOM_MUST_CHECK;

#endif

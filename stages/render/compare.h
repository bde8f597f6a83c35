/* Runs side by side: one sheet a layer, with the picture of that layer in every run of a folder. */
#ifndef LOOM_STAGES_RENDER_COMPARE_H
#define LOOM_STAGES_RENDER_COMPARE_H

#include <stddef.h>

#include "error.h"
#include "gallery.h"

/* Whether all runs of a sheet share one scale of colours, which lets them be compared at a glance, or each has its own,
 * which shows what is in each; then the label says what its colours stand for. auto: one, unless numbers go
 * COMPARE_RATIO times as far in all runs together as in some one of them, which would be left with few colours. Where
 * units have other numbers of weights, sizes cannot be compared, and auto is own, too. */
enum compare_scale { COMPARE_AUTO, COMPARE_ONE, COMPARE_OWN };
#define COMPARE_RATIO 3

/* Draw PICTURES/NAME-compared.png for every layer NAME that runs in `folder` have (run_layers.h), with the pass and frame of
 * each: of an invariant layer the prototypes; where no run has an invariant layer, the weights of
 * the others. Runs come in the order of their names, numbers by size; columns: 0 for about a square; layer: only the
 * one of this name, NULL for all. Where all go to one path, LOOM_EUSAGE if there are several. LOOM_EIO if
 * the folder cannot be read, LOOM_EDATA if there is nothing in it to draw. */
int compare_draw(struct gallery *self, const char *folder, size_t columns, const char *layer,
                 enum compare_scale scale) LOOM_MUST_CHECK;

#endif

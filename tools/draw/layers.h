/* The layers that `loom draw` is given: files, folders of them, or runs. */
#ifndef LOOM_TOOLS_DRAW_LAYERS_H
#define LOOM_TOOLS_DRAW_LAYERS_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "stages/render/shown.h"

struct layers {
    struct shelf sparse; /* those given, and those that lie beside a file that was given */
    struct shown *items; /* those given, of every kind; owned */
    size_t n;
    char run[STREAM_NAME_BYTES]; /* whose they are; "": not known, or of several */
};

void layers_fini(struct layers *self);

/* Read n paths: a layer file, a folder with such (RUN/layers), or a run's folder, which may be still learning
 * (run_layers.h). LOOM_EIO or LOOM_EDATA about the first that cannot be used. */
int layers_read(struct layers *self, const char *const *paths, size_t n) LOOM_MUST_CHECK;

/* Add the layers of a run, as run_layers_read has them; there may be none. */
int layers_read_run(struct layers *self, const char *run, bool pass_over) LOOM_MUST_CHECK;

/* The one layer that is meant: the one called `name`, or (NULL) the only one; invariant: only those that read codes
 * are meant. LOOM_EUSAGE if there are several, LOOM_EDATA if there is none. *found is borrowed. */
int layers_choose(const struct layers *self, const char *name, bool invariant,
                  const struct shown **found) LOOM_MUST_CHECK;

#endif

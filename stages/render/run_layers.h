/* The layers of a run, also of one that is still learning: of each the layer file (RUN/layers/NAME.h5) or, where that is not
 * there yet or older, as in a run that was interrupted and goes on, the newest checkpoint
 * (RUN/checkpoints/NAME-FRAME.h5). Both have one form and are checked alike. Of a member of a sweep also the layers that
 * all members share, which lie in the sweep's folder. */
#ifndef LOOM_STAGES_RENDER_RUN_LAYERS_H
#define LOOM_STAGES_RENDER_RUN_LAYERS_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "shown.h"

struct run_layers {
    struct shown *items; /* the sparse ones first, each kind in the order of names; owned */
    size_t n, n_sparse;
};

void run_layers_fini(struct run_layers *self);

/* Where in a run's folder its layers lie: "layers" or, if there is no such folder yet, "checkpoints"; NULL if `folder` has
 * neither, and so is no run's. */
const char *run_layers_folder(const char *folder);

/* Read them all; none if there are none. Files of stages that are no layers, without weights, are none. A file that cannot be read, is damaged, or says to be another than its name does:
 * LOOM_EIO or LOOM_EDATA with its path; or, if `pass_over`, it is logged, and the others are read. LOOM_EINTERNAL if
 * memory runs out. On failure *self is empty. */
int run_layers_read(struct run_layers *self, const char *run, bool pass_over) LOOM_MUST_CHECK;

/* The sparse ones, to look others up in; borrowed, not to be freed. */
struct shelf run_layers_shelf(const struct run_layers *self);

#endif

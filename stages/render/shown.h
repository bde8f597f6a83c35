/* A layer as render sees it, from a tap or from a layer file, and a shelf of those to look others up in. */
#ifndef LOOM_STAGES_RENDER_SHOWN_H
#define LOOM_STAGES_RENDER_SHOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "stream.h"

struct shown {
    char id[STREAM_ID_BYTES];      /* of the stream it makes */
    char input[STREAM_ID_BYTES];   /* of the stream it was trained on; "" if not known */
    char stage[STREAM_NAME_BYTES]; /* sparse, invariant, ... */
    char name[STREAM_NAME_BYTES];
    char rule[16];   /* of an invariant layer; "" : not told */
    uint64_t frames; /* seen */
    uint64_t pass;   /* passes done; 0: not known, or none */
    bool checkpoint; /* of a run that goes on, or was killed */
    struct stage_weights weights;
    float *owned; /* weights.data where they are this struct's own; else NULL */
};

void shown_fini(struct shown *self);

/* LOOM_EDATA if the shapes contradict each other, or the name would not do for a file of its own. Inputs
 * without a usable shape are then shown as one row. */
int shown_check(struct shown *self) LOOM_MUST_CHECK;

/* Read FOLDER/FILE (FILE ends in .h5) if its stage is `sparse`, or is not, as asked for; else weights.data
 * stays NULL. The name is the file's, which is the only one of its kind in a folder. Errors name the file;
 * *self is then empty. */
int shown_read(struct shown *self, const char *folder, const char *file, bool sparse) LOOM_MUST_CHECK;

/* The same of whatever kind. */
int shown_read_any(struct shown *self, const char *folder, const char *file) LOOM_MUST_CHECK;

/* Whether FOLDER/FILE can be read but has no weights: the state of a stage that is no layer. */
bool shown_is_other(const char *folder, const char *file);

/* Whether it is a sparse layer; the others read codes. */
bool shown_is_sparse(const struct shown *self);

/* The name of the run whose layers lie in `folder` (RUN/layers or RUN/checkpoints), to name (size bytes); "" if it is another
 * folder. */
void shown_run(char *name, size_t size, const char *folder);

/* The sparse layers known. */
struct shelf {
    struct shown *items; /* owned */
    size_t n;
};

void shelf_fini(struct shelf *self);

/* Take a layer in, in the place of an older state of the same name. Its weights are copied, or taken over if
 * they are its own. On failure (LOOM_EINTERNAL) the older state is gone too: no weights are better than wrong
 * ones. */
int shelf_keep(struct shelf *self, struct shown *layer) LOOM_MUST_CHECK;

/* The layer below `layer`: the one that makes the stream it was trained on; where that is not known, the only
 * one with as many units as `layer` has inputs. NULL if there is none, or no telling which. Borrowed. */
const struct shown *shelf_find(const struct shelf *self, const struct shown *layer);

#endif

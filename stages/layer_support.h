/* What the layers' stages share: where their weights come from, and how they deal with kernels. */
#ifndef LOOM_STAGES_LAYER_SUPPORT_H
#define LOOM_STAGES_LAYER_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "layer.h"
#include "params.h"
#include "stream.h"

/* Where a layer's weights came from. */
struct layer_start {
    char parent[64];                  /* stream id of the layer file it started from; "" if drawn at random */
    int64_t frames;                   /* frames that layer had seen */
    char lineage[STREAM_LAYER_BYTES]; /* of that layer (lineage.h); "" if drawn at random */
    char input_layer
        [STREAM_ID_BYTES]; /* layer on whose codes that layer was trained; "": on none, or not known */
};

/* What a layer file must be, to be started from. */
struct layer_wanted {
    const char *stage;               /* kind of stage that wrote it */
    struct grid grid;                /* of its units: as many rows of weights, in that order */
    size_t inputs;                   /* columns of weights */
    const char *rule;                /* by which it has learned; NULL: there is but one */
    const struct stream_info *input; /* codes that are read now; NULL: no matter what it was trained on */
    bool other_input;                /* no matter either, but log it */
};

/* Fill weights (grid.x * grid.y rows of `inputs`, the caller's) from the layer file `path`, which must be as
 * wanted; or, if path is "", with init * U[0, 1) drawn in row order from sequence RANDOM_WEIGHTS of `seed`
 * (random.h says how NumPy draws the same). LOOM_EDATA with what the file is and what was wanted if it does
 * not fit or lacks an attribute, or was trained on codes of another layer than `input` comes from. */
int layer_start(struct layer_start *start, float *weights, const char *path,
                const struct layer_wanted *wanted, double init, int64_t seed) LOOM_MUST_CHECK;

/* Warn of a layer that is frozen without a file to come from: its weights stay as they were drawn. */
void layer_warn_drawn(bool frozen, const char *path);

/* Frames that a layer takes at once at most: between two blocks a stage answers nobody, so blocks of a large
 * layer are small. */
uint64_t layer_block(size_t units, size_t inputs);

/* Say in *output, whose id is known, which layer makes it: while it learns, a new one that started from
 * `start`; frozen, the one of the file, or that of these n weights. */
void layer_tell(struct stream_info *output, const struct layer_start *start, bool frozen,
                const float *weights, size_t n);

/* The layer that makes these codes: the newest of their lineage, else their stream's id. */
void layer_of(char id[STREAM_ID_BYTES], const struct stream_info *codes);

/* The words of parameter `backend`, in the order of enum kernel_backend, NULL at the end. */
extern const char *const layer_backends[];

/* A kernel's status as one of ours, with a message that names the stage; 0 stays 0. */
int layer_kernel_error(int kernel_status, const char *stage) LOOM_MUST_CHECK;

/* Write a kernel's state of `bytes` bytes, which lies in `buffer` (may be NULL: out of memory), as
 * /state/kernel; frees the buffer. Nothing is written if bytes is 0. */
int layer_write_kernel(struct layer_writer *file, void *buffer, size_t bytes) LOOM_MUST_CHECK;

/* The same with a state that is lent. */
int layer_write_lent(struct layer_writer *file, const void *state, size_t bytes) LOOM_MUST_CHECK;
int layer_read_lent(const struct layer_reader *file, void *state, size_t bytes) LOOM_MUST_CHECK;

/* Read it again: *buffer_p (the caller frees it) is NULL if bytes is 0. */
int layer_read_kernel(const struct layer_reader *file, void **buffer_p, size_t bytes) LOOM_MUST_CHECK;

#endif

/* Between the host side of the sparse layer's CUDA body (C) and its kernels: what a launch is told, and the launchers.
 *
 * All pointers lead to device memory. The launchers only enqueue; they return CUDA's own error codes, 0 for
 * success. */
#ifndef LOOM_KERNELS_CUDA_SPARSE_LAUNCH_H
#define LOOM_KERNELS_CUDA_SPARSE_LAUNCH_H

#include <stddef.h>
#include <stdint.h>

#include "../lateral_box.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SPARSE_SEGMENTS 8 /* a drive is the sum of so many partial sums, each over a stretch of pixels */
#ifndef SPARSE_BLOCK
#define SPARSE_BLOCK 64 /* frames whose drives are computed at once while the layer learns */
#endif

struct sparse_launch {
    uint32_t P, N, k;
    uint32_t segment;       /* pixels of a segment */
    uint32_t stride;        /* of a frame's drives: N rounded up to 4 */
    struct lateral_box box; /* of lateral excitation */
    float rate;
    uint32_t block;  /* frames that a launch may have with `learn`, at most SPARSE_BLOCK */
    uint32_t frames; /* of this launch */
    float *W;        /* N x P */
    float *sums;     /* N: of the rows of W */
    const float *v;  /* frames x P */
    float *drives;   /* frames x stride */
    /* Pixels that are not 0, segment by segment; SPARSE_SEGMENTS x segment a frame */
    uint32_t *pixel, *count; /* count: frames x SPARSE_SEGMENTS */
    float *level;
    /* For layers too large for shared memory: 5 stride words for each of `blocks` blocks; else NULL. */
    uint32_t *work;
    uint32_t blocks;
    uint32_t *index; /* frames x k */
    float *value;    /* frames x k */
    float *residual; /* frames x 2 */
    /* Filled in by the launcher. */
    uint32_t row_stride, cached; /* of rows of W in shared memory, and how many fit */
};

/* Frames as bytes. */
struct sparse_bytes {
    float *v;             /* count */
    const uint8_t *bytes; /* count, 4-byte aligned, with room for a multiple of 4 */
    size_t count;
};

/* What the device can do that the launchers must know. */
struct sparse_device {
    size_t shared_bytes; /* a block may have at most, asked for */
    uint32_t multiprocessors;
    uint32_t threads; /* of the block that goes through the frames in order: a multiple of 32, at most 512 */
};

/* Whether the frames' working memory fits into shared memory; if not, s->work must be given. */
int sparse_fits(const struct sparse_launch *s, const struct sparse_device *device);

/* Whether the rest fits if that lies in s->work. */
int sparse_fits_apart(const struct sparse_launch *s, const struct sparse_device *device);

/* Before the first launch on a device: let the kernels use as much shared memory as there is. */
int sparse_prepare(const struct sparse_device *device);

/* v = bytes / 255. */
int sparse_launch_widen(const struct sparse_bytes *b, void *stream);

/* sums = those of the rows of W. */
int sparse_launch_sums(const struct sparse_launch *s, const struct sparse_device *device, void *stream);

/* The lists of pixels of the frames: only learning needs them, and they do not depend on weights. */
int sparse_launch_lists(const struct sparse_launch *s, void *stream);

/* The drives of the frames. */
int sparse_launch_drives(const struct sparse_launch *s, void *stream);

/* All that follows from the drives: in order with learning, or all at once without. */
int sparse_launch_frames(struct sparse_launch s, const struct sparse_device *device, int learn, void *stream);

#ifdef __cplusplus
}
#endif

#endif

/* Between the host side of the invariant layer's CUDA body (C) and its kernels: what a launch is told, and the
 * launchers. Pointers lead to device memory; the launchers only enqueue and return CUDA's error codes. */
#ifndef LOOM_KERNELS_CUDA_INVARIANT_LAUNCH_H
#define LOOM_KERNELS_CUDA_INVARIANT_LAUNCH_H

#include <stddef.h>
#include <stdint.h>

#include "../lateral_box.h"

#ifdef __cplusplus
extern "C" {
#endif

struct invariant_launch {
    uint32_t N, M, k, winners; /* winners: 0 for all */
    uint32_t frames;
    int32_t learn;
    unsigned char *work; /* as many bytes as topo_work or smooth_work say, 16-byte aligned; NULL: none */
    float *U;            /* N x M: column j of the weights, all invariant units of sparse unit j, is row j */
    const uint32_t *index; /* frames x k */
    const float *value;    /* frames x k */
    float *activations;    /* frames x M */
    float *parts; /* frames x k x 2, zeroed by the launcher: residual and square of each entry of the code */
    float *residual; /* frames x 2 */
    /* TOPO */
    struct lateral_box box;
    float leak, active_rate, inactive_rate;
    float *io;                   /* M: in and out */
    uint64_t t, normalize_every; /* frames of the pass before this launch; 0: never */
    double row_sum;              /* N / M: what rows are normalised to */
    /* Filled in by the launchers: */
    uint32_t in_shared;       /* whether columns lie in shared memory */
    uint32_t field_in_shared; /* topo_large.cu: whether the working memory of one block does, */
    uint32_t cluster;         /* by how many the columns are added up, */
    uint32_t threads;         /* and of that block */
    /* SMOOTH */
    float smooth_rate, reconstruction_rate;
    float *io_1, *io_2; /* M: in and out */
    uint32_t *index_1,
        k_1; /* the code one frame ago, k_1 entries; in and out: the launch leaves k entries there */
    float *value_1;
};

struct invariant_device {
    size_t shared_bytes; /* a block may have at most, asked for */
    uint32_t cluster;    /* TOPO: blocks that share the columns; 1 where the device has no clusters */
    uint32_t threads;    /* of a block: a multiple of 32, at most 512 */
    uint32_t multiprocessors;
};

/* TOPO: the largest cluster that the device runs, at most 16; 1 if it has none. */
uint32_t topo_cluster(size_t shared_bytes, uint32_t threads);

/* Before the first launch on a device: let the kernels use as much shared memory as there is. */
int topo_prepare(const struct invariant_device *device);
int smooth_prepare(const struct invariant_device *device);

/* Bytes of global memory that a launch needs as s->work, because shared memory has no room; 0: none. */
size_t topo_work(const struct invariant_launch *s, const struct invariant_device *device);
size_t smooth_work(const struct invariant_launch *s, const struct invariant_device *device);

int topo_launch(struct invariant_launch s, const struct invariant_device *device, void *stream);
int smooth_launch(struct invariant_launch s, const struct invariant_device *device, void *stream);

#ifdef __cplusplus
}
#endif

#endif

/* The GPU as the CUDA bodies' host sides see it: opening it, its memory, and what is said when it fails.
 *
 * Every call of CUDA is checked, and the first that fails is kept as a sentence with the operation's name:
 * kernel_failure (../kernel.h). A layer whose GPU has failed refuses all that follows; its weights are lost with
 * it, so a caller goes back to its last checkpoint.
 *
 * For tests of the ways that only large layers or older GPUs go, the environment may make a GPU smaller than it is:
 * LOOM_CUDA_SHARED_BYTES (of shared memory a block) and LOOM_CUDA_CLUSTER (blocks of a cluster, 1: none). */
#ifndef LOOM_KERNELS_CUDA_GPU_H
#define LOOM_KERNELS_CUDA_GPU_H

#include <stddef.h>
#include <stdint.h>

#include "kernel.h"

#define GPU_TURNS 2 /* staging buffers: one is filled while the other is worked on */

struct gpu {
    size_t shared_bytes; /* of shared memory that a block may ask for */
    uint32_t multiprocessors;
    uint32_t cluster_max;                       /* blocks of a cluster; 1 before compute capability 9.0 */
    void *stream;                               /* for kernels and results */
    void *copies;                               /* stream for what goes in */
    void *arrived[GPU_TURNS], *done[GPU_TURNS]; /* events of the staging buffers */
};

/* Take the current device (CUDA_VISIBLE_DEVICES chooses). KERNEL_EUNSUPPORTED if there is no driver, no device, or one
 * older than compute capability 8.0; KERNEL_EDEVICE if it fails. To be closed in every case. */
int gpu_open(struct gpu *gpu) KERNEL_MUST_CHECK;
void gpu_close(struct gpu *gpu);

/* Wait until nothing is under way, whether it failed or not: before memory is freed. */
void gpu_settle(struct gpu *gpu);

/* KERNEL_OK for error 0, else KERNEL_EDEVICE (KERNEL_ENOMEM where memory ran out), with a sentence kept. */
int gpu_check(int error, const char *operation) KERNEL_MUST_CHECK;

/* Device memory, and host memory that copies can overlap with; count x size bytes, not cleared. The caller frees
 * them with the functions below, which are harmless on NULL. */
int gpu_new(void *memory_p, size_t count, size_t size) KERNEL_MUST_CHECK;
int gpu_new_staging(void *memory_p, size_t count, size_t size) KERNEL_MUST_CHECK;
void gpu_free(void *memory);
void gpu_free_staging(void *memory);

/* Copy at once, after all that the stream has to do. */
int gpu_put(struct gpu *gpu, void *device, const void *host, size_t bytes) KERNEL_MUST_CHECK;
int gpu_get(struct gpu *gpu, void *host, const void *device, size_t bytes) KERNEL_MUST_CHECK;

/* Work in turns. A turn: gpu_wait_turn (until what used its staging last time is done), fill its staging,
 * gpu_send any number of times, gpu_sent, launch, gpu_fetch any number of times, gpu_end_turn. What was fetched is
 * there after the next gpu_wait_turn of that turn. */
int gpu_wait_turn(struct gpu *gpu, size_t turn) KERNEL_MUST_CHECK;
int gpu_send(struct gpu *gpu, void *device, const void *staging, size_t bytes) KERNEL_MUST_CHECK;
int gpu_sent(struct gpu *gpu, size_t turn) KERNEL_MUST_CHECK;
int gpu_fetch(struct gpu *gpu, void *staging, const void *device, size_t bytes) KERNEL_MUST_CHECK;
int gpu_end_turn(struct gpu *gpu, size_t turn) KERNEL_MUST_CHECK;

#endif

/* What the CUDA kernels use of the machine: barriers, reductions over a warp, clusters, copies that run ahead.
 *
 * All of it stands here so that the same kernels can run where there is no GPU: with LOOM_CUDA_EMULATED they are
 * compiled as C++ and every thread is a fiber (tests/emulated/cuda_emulated.h). Sums over lanes are taken in one
 * order, so that results are the same from run to run. */
#ifndef LOOM_KERNELS_CUDA_DEVICE_CUH
#define LOOM_KERNELS_CUDA_DEVICE_CUH

#include <stdint.h>

#ifdef LOOM_CUDA_EMULATED
#include "cuda_emulated.h"
#else
#include <cooperative_groups.h>
#include <cuda_pipeline.h>
/* The launch's shared memory. */
#define SHARED_MEMORY(name) extern __shared__ __align__(16) unsigned char name[]
#endif

#define WARP 32
#define ALL_LANES 0xFFFFFFFFU

__device__ inline uint32_t lane(void)
{
    return threadIdx.x % WARP;
}

__device__ inline uint32_t warp(void)
{
    return threadIdx.x / WARP;
}

__device__ inline uint32_t warps(void)
{
    return blockDim.x / WARP;
}

/* The sum over a warp's lanes, in every lane. */
__device__ inline float warp_sum(float x)
{
    for (uint32_t mask = WARP / 2; mask > 0; mask /= 2) {
        x += __shfl_xor_sync(ALL_LANES, x, mask);
    }
    return x;
}

/* The largest over a warp's lanes, in every lane. */
__device__ inline uint64_t warp_max(uint64_t x)
{
    const uint32_t high = (uint32_t)(x >> 32), low = (uint32_t)x;
    const uint32_t top = __reduce_max_sync(ALL_LANES, high);
    return (uint64_t)top << 32 | __reduce_max_sync(ALL_LANES, high == top ? low : 0);
}

/* Copy n floats into shared memory without waiting; both 16-byte aligned, with room for n rounded up to 4. The
 * threads' copies are there after copy_wait and a barrier. */
__device__ inline void copy_ahead(float *to, const float *from, uint32_t n)
{
    for (uint32_t i = 4 * threadIdx.x; i < n; i += 4 * blockDim.x) {
#ifdef LOOM_CUDA_EMULATED
        for (uint32_t b = 0; b < 4; b++) {
            to[i + b] = from[i + b];
        }
#else
        if (__isShared(to)) {
            __pipeline_memcpy_async(to + i, from + i, 4 * sizeof *to);
        } else {
            *(float4 *)(to + i) = *(const float4 *)(from + i);
        }
#endif
    }
#ifndef LOOM_CUDA_EMULATED
    __pipeline_commit();
#endif
}

__device__ inline void copy_wait(void)
{
#ifndef LOOM_CUDA_EMULATED
    __pipeline_wait_prior(0);
#endif
}

/* The cluster that the thread's block belongs to. Where the architecture has none, a cluster is one block. */
#ifndef LOOM_CUDA_EMULATED
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
__device__ inline uint32_t cluster_rank(void)
{
    return 0;
}

__device__ inline uint32_t cluster_size(void)
{
    return 1;
}

__device__ inline void cluster_sync(void)
{
    __syncthreads();
}

template <typename T> __device__ inline T *cluster_map(T *mine, uint32_t rank)
{
    (void)rank;
    return mine;
}
#else
__device__ inline uint32_t cluster_rank(void)
{
    return cooperative_groups::this_cluster().block_rank();
}

__device__ inline uint32_t cluster_size(void)
{
    return cooperative_groups::this_cluster().num_blocks();
}

__device__ inline void cluster_sync(void)
{
    cooperative_groups::this_cluster().sync();
}

/* Where the block of that rank has what lies at `mine` in this one's shared memory. */
template <typename T> __device__ inline T *cluster_map(T *mine, uint32_t rank)
{
    return cooperative_groups::this_cluster().map_shared_rank(mine, rank);
}
#endif
#endif

#endif

/* CUDA kernels where there is no GPU: compiled as C++, every thread is a fiber of one process.
 *
 * Only what kernels/cuda/ uses. Barriers, warps and clusters behave as on a GPU; between two of them, threads run in an order that
 * is drawn anew each time, so that a kernel whose result depends on it gives itself away (EMULATED_SEED
 * chooses the draw). A barrier that some thread never reaches ends the program with a message. It is slow: for tests of
 * results, not of speed.
 *
 * What it cannot show: every exchange of a warp (shuffles, ballots, reductions) is a barrier for memory here, too. On a GPU they
 * order nothing: what one lane writes and another reads needs __syncwarp or __syncthreads in between, and if that is missing
 * only compute-sanitizer's racecheck tells (of shared memory). Copies and launches are done when they return, so a
 * missing wait is not seen either. */
#ifndef LOOM_TESTS_CUDA_EMULATED_H
#define LOOM_TESTS_CUDA_EMULATED_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define SHARED_MEMORY(name) unsigned char *name = emulated_shared(emulated_rank())

struct emulated_dim {
    uint32_t x;
};

/* Of the running thread; set whenever a fiber is switched to. */
extern emulated_dim threadIdx, blockIdx, blockDim, gridDim;

/* As CUDA does: a kernel gets more than 48 KB of shared memory only if that was allowed before, and nobody more than the
 * device has (EMULATED_SHARED_BYTES). Return CUDA's error codes. */
int emulated_allow(const void *kernel, size_t shared);
int emulated_launch(const void *kernel, const std::function<void()> &body, uint32_t blocks, uint32_t threads,
                    size_t shared, uint32_t cluster);
unsigned char *emulated_shared(uint32_t rank);
uint32_t emulated_rank(void);
uint32_t emulated_cluster(void);
void emulated_block_sync(void);
void emulated_cluster_sync(void);
/* Put x where the other lanes of the warp see it, and wait for them: what all 32 have put there, until the next
 * exchange. */
const uint64_t *emulated_exchange(uint64_t x);

static inline void __syncthreads(void)
{
    emulated_block_sync();
}

static inline void __syncwarp(void)
{
    (void)emulated_exchange(0);
}

template <typename T> static inline T emulated_lane(T x, uint32_t from)
{
    uint64_t mine = 0;
    memcpy(&mine, &x, sizeof x);
    memcpy(&x, emulated_exchange(mine) + from % 32, sizeof x);
    return x;
}

template <typename T> static inline T __shfl_sync(uint32_t, T x, uint32_t from)
{
    return emulated_lane(x, from);
}

template <typename T> static inline T __shfl_xor_sync(uint32_t, T x, uint32_t mask)
{
    return emulated_lane(x, threadIdx.x % 32 ^ mask);
}

static inline uint32_t __ballot_sync(uint32_t, bool yes)
{
    const uint64_t *all = emulated_exchange(yes);
    uint32_t votes = 0;
    for (uint32_t l = 0; l < 32; l++) {
        votes |= all[l] ? 1U << l : 0;
    }
    return votes;
}

static inline uint32_t __reduce_max_sync(uint32_t, uint32_t x)
{
    const uint64_t *all = emulated_exchange(x);
    for (uint32_t l = 0; l < 32; l++) {
        x = all[l] > x ? (uint32_t)all[l] : x;
    }
    return x;
}

static inline uint32_t __reduce_add_sync(uint32_t, uint32_t x)
{
    const uint64_t *all = emulated_exchange(x);
    uint32_t sum = 0;
    for (uint32_t l = 0; l < 32; l++) {
        sum += (uint32_t)all[l];
    }
    return sum;
}

static inline float __fmul_rn(float x, float y)
{
    return x * y;
}

static inline int __popc(uint32_t x)
{
    return __builtin_popcount(x);
}

static inline uint32_t __float_as_uint(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float __int_as_float(int bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t cluster_rank(void)
{
    return emulated_rank();
}

static inline uint32_t cluster_size(void)
{
    return emulated_cluster();
}

static inline void cluster_sync(void)
{
    emulated_cluster_sync();
}

template <typename T> static inline T *cluster_map(T *mine, uint32_t rank)
{
    return (T *)(emulated_shared(rank) + ((unsigned char *)mine - emulated_shared(emulated_rank())));
}

#endif

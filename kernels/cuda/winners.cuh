/* Winners: the k largest of n numbers, by the threads of one block. Ties: the lower index wins.
 *
 * A number and its index make one key that is larger for a larger number and then for a lower index. Every warp
 * lists its k largest keys in descending order; after a barrier one warp merges the lists, whose heads its lanes
 * hold. Two reductions a winner each time, and no sorting of more than k numbers.
 *
 * Where many win, the least of the winners' keys is found instead, bit by bit from the highest: 64 counts, however many
 * there are. */
#ifndef LOOM_KERNELS_CUDA_WINNERS_CUH
#define LOOM_KERNELS_CUDA_WINNERS_CUH

#include "device.cuh"

#define TAKEN 0x7FE5A5A5U /* the bits of a number that has been taken: a NaN that no arithmetic makes */

/* As many different keys as numbers, NaN as the smallest number. 0, which is less than all, for what has been taken. */
__device__ inline uint64_t key_of(float c, uint32_t i)
{
    const uint32_t bits = __float_as_uint(c);
    const uint32_t ascending = bits & 0x80000000U ? ~bits : bits | 0x80000000U; /* as the floats */
    const uint64_t key = (uint64_t)(c == c ? ascending : 0) << 32 | (0xFFFFFFFFU - i);
    return bits == TAKEN ? 0 : key;
}

__device__ inline uint32_t index_of(uint64_t key)
{
    return 0xFFFFFFFFU - (uint32_t)key;
}

/* The largest key among the calling thread's numbers: every blockDim.x-th. */
__device__ inline uint64_t own_best(const float *c, uint32_t n)
{
    uint64_t best = 0;
    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
        const uint64_t key = key_of(c[i], i);
        best = key > best ? key : best;
    }
    return best;
}

/* candidates (warps x k): each warp's best, descending, 0 where it has no more. All threads; c (n) is spoilt. */
__device__ inline void list_candidates(uint64_t *candidates, float *c, uint32_t n, uint32_t k)
{
    uint64_t best = own_best(c, n);
    for (uint32_t a = 0; a < k; a++) {
        const uint64_t top = warp_max(best);
        if (lane() == 0) {
            candidates[warp() * k + a] = top;
        }
        if (top != 0 && best == top) {
            c[index_of(top)] = __int_as_float((int)TAKEN);
            best = own_best(c, n);
        }
    }
}

/* winners (k) ascending, out of what list_candidates left before the last barrier. One whole warp; order (k) is
 * working memory. */
__device__ inline void merge_candidates(uint32_t *winners, uint32_t *order, const uint64_t *candidates,
                                        uint32_t n, uint32_t k)
{
    const uint64_t *list = candidates + lane() * k, *end = list + k;
    uint64_t head = lane() < warps() ? *list : 0;
    for (uint32_t a = 0; a < k; a++) {
        const uint64_t top = warp_max(head);
        if (lane() == 0) {
            order[a] = top != 0 && index_of(top) < n ? index_of(top) : 0;
        }
        if (top != 0 && head == top) {
            head = ++list < end ? *list : 0;
        }
    }
    __syncwarp();
    for (uint32_t a = lane(); a < k; a += WARP) {
        uint32_t place = 0;
        for (uint32_t b = 0; b < k; b++) {
            place += order[b] < order[a] || (order[b] == order[a] && b < a);
        }
        winners[place] = order[a];
    }
    __syncwarp();
}

/* The least of the m largest keys of c (n), 1 <= m <= n. counts (2 x warps) is working memory. All threads; each looks only
 * at its own numbers. */
__device__ inline uint64_t least_winner(uint32_t *counts, const float *c, uint32_t n, uint32_t m)
{
    uint64_t least = 0;
#pragma unroll 1
    for (uint32_t bit = 64; bit-- > 0;) {
        const uint64_t tried = least | (uint64_t)1 << bit;
        uint32_t *count = counts + bit % 2 * warps(); /* by turns, so that one barrier a bit is enough */
        uint32_t mine = 0, all = 0;
        for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
            mine += key_of(c[i], i) >= tried;
        }
        mine = __reduce_add_sync(ALL_LANES, mine);
        if (lane() == 0) {
            count[warp()] = mine;
        }
        __syncthreads();
        for (uint32_t w = 0; w < warps(); w++) {
            all += count[w];
        }
        least = all >= m ? tried : least;
    }
    return least;
}

#endif

/* What both rules of the invariant layer do on the GPU: keep the winners, and learn in columns of the weights.
 *
 * A column (M floats, one sparse unit's weights to all invariant units) is worked on by one warp. */
#ifndef LOOM_KERNELS_CUDA_COLUMNS_CUH
#define LOOM_KERNELS_CUDA_COLUMNS_CUH

#include "device.cuh"
#include "invariant_launch.h"
#include "winners.cuh"

#define PRECISION 1e-10F
#define FLOOR 1e-37F /* INVARIANT_FLOOR */

#define LISTED_MAX 64 /* winners up to which they are listed one by one */

/* Where the working memory of winners lies. */
struct choice_room {
    /* up to LISTED_MAX winners */
    uint64_t *candidates;      /* warps x winners */
    uint32_t *winners, *order; /* winners each */
    float *c;                  /* M: spoilt */
    /* more of them */
    uint32_t *counts; /* 2 x warps */
};

/* Lay out from `at` (8-byte aligned) on; returns what follows. */
static __host__ __device__ inline unsigned char *
lay_out_choice(struct choice_room *room, const struct invariant_launch *s, uint32_t warps, unsigned char *at)
{
    *room = {};
    if (s->winners > LISTED_MAX) {
        room->counts = (uint32_t *)at;
        return at + 2 * warps * sizeof *room->counts;
    }
    room->candidates = (uint64_t *)at, at += (size_t)warps * s->winners * sizeof *room->candidates;
    room->winners = (uint32_t *)at, at += s->winners * sizeof *room->winners;
    room->order = (uint32_t *)at, at += s->winners * sizeof *room->order;
    room->c = (float *)at, at += (s->winners > 0 ? s->M : 0) * sizeof *room->c;
    return at;
}

/* The winners among d (M), listed; 0 for the rest. */
static __device__ inline void keep_listed(float *d, const struct choice_room *room,
                                          const struct invariant_launch *s)
{
    for (uint32_t i = threadIdx.x; i < s->M; i += blockDim.x) {
        room->c[i] = d[i];
    }
    list_candidates(room->candidates, room->c, s->M, s->winners);
    __syncthreads();
    if (warp() == 0) {
        merge_candidates(room->winners, room->order, room->candidates, s->M, s->winners);
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < s->M; i += blockDim.x) {
        uint32_t wins = 0;
        for (uint32_t a = 0; a < s->winners; a++) {
            wins |= room->winners[a] == i;
        }
        d[i] = wins ? d[i] : 0;
    }
}

/* Keep the winners of d (M), 0 for the rest. Every thread has written its own d: every blockDim.x-th. Between the
 * return and the next use of d by others, a barrier is needed. */
static __device__ inline void keep_winners(float *d, const struct choice_room *room,
                                           const struct invariant_launch *s)
{
    if (s->winners == 0 || s->winners >= s->M) {
        return;
    }
    if (s->winners <= LISTED_MAX) {
        keep_listed(d, room, s);
        return;
    }
    const uint64_t least = least_winner(room->counts, d, s->M, s->winners);
    for (uint32_t i = threadIdx.x; i < s->M; i += blockDim.x) {
        d[i] = key_of(d[i], i) >= least ? d[i] : 0;
    }
}

static __device__ inline float step_of(float rate, float s, float r)
{
    return rate * (s - r) / fmaxf(r, PRECISION);
}

/* column (M) *= 1 + io * step, not below the floor. One warp. */
static __device__ inline void learn_column(float *column, const float *io, float step, uint32_t M)
{
    for (uint32_t i = lane(); i < M; i += WARP) {
        column[i] = fmaxf(column[i] * fmaf(io[i], step, 1), FLOOR);
    }
}

#endif

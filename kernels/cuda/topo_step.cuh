/* Rule TOPO on the GPU: what is the same wherever the columns lie (topo.cu: in a cluster's shared memory; topo_large.cu: in
 * global memory): from the drive to the output, by the threads of one block, and the step of a column.
 *
 * Both take all sums in the same order, so that they give the same bits. */
#ifndef LOOM_KERNELS_CUDA_TOPO_STEP_CUH
#define LOOM_KERNELS_CUDA_TOPO_STEP_CUH

#include "columns.cuh"
#include "lateral.cuh"

/* Working memory of one block, in shared memory or in global. */
struct topo_field {
    struct choice_room choice;
    float *drive, *column, *d; /* M each: before, amid and after lateral excitation */
    float *io;                 /* M */
};

/* Lay out from `at` (8-byte aligned) on; returns what follows. */
static __host__ __device__ inline unsigned char *
lay_out_field(struct topo_field *field, const struct invariant_launch *s, uint32_t warps, unsigned char *at)
{
    const size_t M = s->M;
    at = lay_out_choice(&field->choice, s, warps, at);
    field->drive = (float *)at, at += M * sizeof *field->drive;
    field->column = (float *)at, at += M * sizeof *field->column;
    field->d = (float *)at, at += M * sizeof *field->d;
    field->io = (float *)at, at += M * sizeof *field->io;
    return at;
}

/* io of this frame from drive and d, both of which hold U s; every thread has written its own, every blockDim.x-th. Ends
 * with a barrier. */
static __device__ inline void integrate(const struct invariant_launch *s, const struct topo_field *field)
{
    if (s->box.gain > 0) {
        __syncthreads();
        lateral_columns(field->column, field->drive, &s->box);
        __syncthreads();
        lateral_rows(field->d, field->drive, field->column, &s->box);
    }
    keep_winners(field->d, &field->choice, s);
    for (uint32_t i = threadIdx.x; i < s->M; i += blockDim.x) {
        field->io[i] += s->leak * (field->d[i] - field->io[i]);
    }
    __syncthreads();
}

/* The factor of column j of frame f is 1 + io * step, where r is the column's reconstruction. index, value (k): the
 * frame's code. If the column is active and `tells`, its part of the residual is written. */
static __device__ inline float topo_step(const struct invariant_launch *s, const uint32_t *index,
                                         const float *value, uint32_t j, float r, uint32_t f, bool tells)
{
    float step = step_of(s->inactive_rate, 0, r);
    for (uint32_t a = 0; a < s->k; a++) {
        if (index[a] == j && value[a] > 0) {
            step = step_of(s->active_rate, value[a], r);
            if (tells) {
                float *part = s->parts + ((size_t)f * s->k + a) * 2;
                part[0] = (value[a] - r) * (value[a] - r);
                part[1] = value[a] * value[a];
            }
        }
    }
    return step;
}

#endif

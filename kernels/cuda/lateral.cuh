/* Lateral excitation on a torus, by the threads of one block: the box sum in two steps, columns and then rows, each
 * sum made afresh from its terms in one order; see ../lateral.h. */
#ifndef LOOM_KERNELS_CUDA_LATERAL_CUH
#define LOOM_KERNELS_CUDA_LATERAL_CUH

#include "../lateral_box.h"
#include "device.cuh"

/* Where the sum of `extent` out of `side` terms around x begins: a sum over all begins at 0 for everybody, so that
 * ties stay ties. */
__device__ inline uint32_t lateral_start(uint32_t x, uint32_t extent, uint32_t side)
{
    const uint32_t start = x + side - extent / 2;
    return extent == side ? 0 : start < side ? start : start - side;
}

/* column (N): sums of p (N) over the rows of each unit's box. */
__device__ inline void lateral_columns(float *column, const float *p, const struct lateral_box *box)
{
    const uint32_t N = box->Kx * box->Ky;
    for (uint32_t i = threadIdx.x; i < N; i += blockDim.x) {
        const uint32_t y = i / box->Kx, x = i - y * box->Kx;
        uint32_t row = lateral_start(y, box->height, box->Ky);
        float sum = 0;
        for (uint32_t d = 0; d < box->height; d++) {
            sum += p[row * box->Kx + x];
            row = row + 1 < box->Ky ? row + 1 : 0;
        }
        column[i] = sum;
    }
}

/* c (N) from p and, a barrier after lateral_columns, its sums. */
__device__ inline void lateral_rows(float *c, const float *p, const float *column,
                                    const struct lateral_box *box)
{
    const uint32_t N = box->Kx * box->Ky;
    for (uint32_t i = threadIdx.x; i < N; i += blockDim.x) {
        const uint32_t y = i / box->Kx, x = i - y * box->Kx;
        const float *row = column + y * box->Kx;
        uint32_t at = lateral_start(x, box->width, box->Kx);
        float sum = 0;
        for (uint32_t d = 0; d < box->width; d++) {
            sum += row[at];
            at = at + 1 < box->Kx ? at + 1 : 0;
        }
        c[i] = p[i] + box->gain * (sum - p[i]);
    }
}

#endif

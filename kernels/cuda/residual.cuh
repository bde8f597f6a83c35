/* Both rules' residual on the GPU, after all frames of a launch. */
#ifndef LOOM_KERNELS_CUDA_RESIDUAL_CUH
#define LOOM_KERNELS_CUDA_RESIDUAL_CUH

#include "invariant_launch.h"
#include "launch.cuh"

/* residual = sums of the parts, in the order of the code. A thread a frame. */
static __global__ void sum_parts(const struct invariant_launch s)
{
    const uint32_t f = blockIdx.x * blockDim.x + threadIdx.x;
    if (f >= s.frames) {
        return;
    }
    float error = 0, square = 0;
    for (uint32_t a = 0; a < s.k; a++) {
        error += s.parts[((size_t)f * s.k + a) * 2];
        square += s.parts[((size_t)f * s.k + a) * 2 + 1];
    }
    s.residual[(size_t)f * 2] = error;
    s.residual[(size_t)f * 2 + 1] = square;
}

static int launch_sum_parts(const struct invariant_launch *s, void *stream)
{
    const uint32_t threads = 128;
    return launch(sum_parts, *s, (s->frames + threads - 1) / threads, threads, 0, 1, stream);
}

#endif

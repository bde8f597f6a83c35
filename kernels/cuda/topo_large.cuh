/* Between topo.cu and topo_large.cu. */
#ifndef LOOM_KERNELS_CUDA_TOPO_LARGE_CUH
#define LOOM_KERNELS_CUDA_TOPO_LARGE_CUH

#include "invariant_launch.h"

/* Bytes of s->work that a launch needs. */
size_t topo_large_work(const struct invariant_launch *s, const struct invariant_device *device);

/* As topo_prepare and topo_launch; without zeroing parts and without summing them up. */
int topo_large_prepare(const struct invariant_device *device);
int topo_large_launch(struct invariant_launch s, const struct invariant_device *device, void *stream);

#endif

/* Launching a kernel that takes one struct by value: with as much shared memory as it asks for, and as a cluster
 * of blocks. Returns CUDA's error code. launch_allow must have been called for kernels that take more than 48 KB. */
#ifndef LOOM_KERNELS_CUDA_LAUNCH_CUH
#define LOOM_KERNELS_CUDA_LAUNCH_CUH

#include "device.cuh"

#ifdef LOOM_CUDA_EMULATED

template <typename T> static int launch_allow(void (*kernel)(T), size_t shared)
{
    return emulated_allow((const void *)kernel, shared);
}

template <typename T>
static int launch(void (*kernel)(T), T argument, uint32_t blocks, uint32_t threads, size_t shared,
                  uint32_t cluster, void *stream)
{
    (void)stream;
    return emulated_launch((const void *)kernel, [=] { kernel(argument); }, blocks, threads, shared, cluster);
}

static inline int clear(void *data, size_t bytes, void *stream)
{
    (void)stream;
    memset(data, 0, bytes);
    return 0;
}

#else

/* Let a kernel be launched with up to so many bytes of shared memory on the current device. What is set belongs to the
 * kernel, not to a launch: so it is set once, to the most there is, and threads that launch side by side do not disturb each
 * other. */
template <typename T> static int launch_allow(void (*kernel)(T), size_t shared)
{
    return (int)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
}

template <typename T>
static int launch(void (*kernel)(T), T argument, uint32_t blocks, uint32_t threads, size_t shared,
                  uint32_t cluster, void *stream)
{
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attribute = {};
    void *arguments[] = {&argument};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = cluster;
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    config.gridDim = dim3(blocks);
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared;
    config.stream = (cudaStream_t)stream;
    config.attrs = &attribute;
    config.numAttrs = cluster > 1;
    return (int)cudaLaunchKernelExC(&config, (const void *)kernel, arguments);
}

static inline int clear(void *data, size_t bytes, void *stream)
{
    return (int)cudaMemsetAsync(data, 0, bytes, (cudaStream_t)stream);
}

#endif

#endif

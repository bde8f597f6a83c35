/* Launching a kernel that takes one struct by value: with as much shared memory as it asks for, and as a cluster
 * of blocks. Returns CUDA's error code. */
#ifndef LOOM_KERNELS_CUDA_LAUNCH_CUH
#define LOOM_KERNELS_CUDA_LAUNCH_CUH

#include "device.cuh"

#ifdef LOOM_CUDA_EMULATED

/* emulated_launch is in cuda_emulated.h */
template <typename T>
static int launch(void (*kernel)(T), T argument, uint32_t blocks, uint32_t threads, size_t shared,
                  uint32_t cluster, void *stream)
{
    (void)stream;
    return emulated_launch([=] { kernel(argument); }, blocks, threads, shared, cluster);
}

static inline int clear(void *data, size_t bytes, void *stream)
{
    (void)stream;
    memset(data, 0, bytes);
    return 0;
}

#else

template <typename T>
static int launch(void (*kernel)(T), T argument, uint32_t blocks, uint32_t threads, size_t shared,
                  uint32_t cluster, void *stream)
{
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attribute = {};
    void *arguments[] = {&argument};
    cudaError_t error = cudaSuccess;
    if (shared > 48 * 1024) {
        /* always the most there is: the attribute is the kernel's, not the launch's, and other threads launch it too */
        int device = 0, most = 0;
        error = cudaGetDevice(&device);
        error =
            error ? error : cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
        error =
            error ? error : cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
    }
    if (!error && cluster > 8) {
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
    }
    if (error) {
        return (int)error;
    }
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

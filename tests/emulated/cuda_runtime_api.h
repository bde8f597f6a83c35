/* The few calls of the CUDA runtime that kernels/cuda/ makes, where there is no GPU: device memory is memory, every call is done when
 * it returns. See cuda_emulated.h. */
#ifndef LOOM_TESTS_CUDA_RUNTIME_API_H
#define LOOM_TESTS_CUDA_RUNTIME_API_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int cudaError_t;
typedef void *cudaStream_t, *cudaEvent_t;
enum {
    cudaSuccess = 0,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
enum cudaDeviceAttr {
    cudaDevAttrComputeCapabilityMajor,
    cudaDevAttrMaxSharedMemoryPerBlockOptin,
    cudaDevAttrMultiProcessorCount
};
enum { cudaStreamNonBlocking, cudaEventDisableTiming, cudaEventBlockingSync };

#ifndef EMULATED_SHARED
#define EMULATED_SHARED 232448 /* an H100's */
#endif

#ifdef __cplusplus
extern "C" {
#endif
/* The device is lost after so many more copies, launches and waits: that one and all after it fail, as on a GPU. UINT64_MAX:
 * never, which also brings it back. Begins as the environment's EMULATED_FAILS_AFTER, or with never. */
void emulated_fail_after(uint64_t calls);
/* Whether the call at hand fails. */
int emulated_fails(void);
#ifdef __cplusplus
}
#endif

/* EMULATED_NO_GPU: what is wrong with the machine, an error code of cudaGetDeviceCount. */
static inline cudaError_t cudaGetDeviceCount(int *count)
{
    const char *wrong = getenv("EMULATED_NO_GPU");
    *count = wrong == NULL;
    return wrong ? atoi(wrong) : cudaSuccess;
}

static inline cudaError_t cudaDriverGetVersion(int *version)
{
    const char *driver = getenv("EMULATED_DRIVER");
    *version = driver ? atoi(driver) : 0;
    return cudaSuccess;
}

static inline cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

static inline cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr which, int device)
{
    const char *shared = getenv("EMULATED_SHARED_BYTES");
    (void)device;
    *value = which == cudaDevAttrComputeCapabilityMajor ? 9
             : which == cudaDevAttrMultiProcessorCount  ? 3
             : shared                                   ? atoi(shared)
                                                        : EMULATED_SHARED;
    return cudaSuccess;
}

static inline const char *cudaGetErrorString(cudaError_t error)
{
    return error ? "emulated failure" : "no error";
}

static inline const char *cudaGetErrorName(cudaError_t error)
{
    return error ? "emulatedError" : "cudaSuccess";
}

static inline cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

/* Filled with NaN: what is read must have been written. */
static inline cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (*memory) {
        memset(*memory, 0xFF, bytes);
    }
    return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}

static inline cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    return cudaMalloc(memory, bytes);
}

static inline cudaError_t cudaFree(void *memory)
{
    free(memory);
    return cudaSuccess;
}

static inline cudaError_t cudaFreeHost(void *memory)
{
    return cudaFree(memory);
}

static inline cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                                          cudaStream_t stream)
{
    (void)kind;
    (void)stream;
    if (emulated_fails()) {
        return cudaErrorLaunchFailure;
    }
    memcpy(to, from, bytes);
    return cudaSuccess;
}

static inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    *stream = NULL;
    return cudaSuccess;
}

static inline cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    (void)stream;
    return emulated_fails() ? cudaErrorLaunchFailure : cudaSuccess;
}

static inline cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    (void)stream;
    return cudaSuccess;
}

static inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)event;
    (void)flags;
    return cudaStreamSynchronize(stream);
}

static inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    return cudaStreamCreateWithFlags(event, flags);
}

static inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    (void)event;
    return cudaStreamSynchronize(stream);
}

static inline cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    return cudaStreamSynchronize(event);
}

static inline cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    return cudaStreamSynchronize(event);
}

#endif

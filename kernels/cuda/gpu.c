/* Opening the GPU, its memory and copies; see gpu.h. */
#include "gpu.h"

#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>

#define OLDEST 8       /* compute capability */
#define CLUSTER_MAX 16 /* blocks */

int gpu_check(int error, const char *operation)
{
    if (error == cudaSuccess) {
        return KERNEL_OK;
    }
    (void)cudaGetLastError(); /* it has been taken note of */
    return kernel_fail(error == cudaErrorMemoryAllocation ? KERNEL_ENOMEM : KERNEL_EDEVICE, "%s: %s (%s)",
                       operation, cudaGetErrorString((cudaError_t)error),
                       cudaGetErrorName((cudaError_t)error));
}

static int unsupported(const char *why)
{
    (void)cudaGetLastError();
    return kernel_fail(KERNEL_EUNSUPPORTED, "%s", why);
}

static int attribute(int *value, enum cudaDeviceAttr which, int device)
{
    return gpu_check(cudaDeviceGetAttribute(value, which, device), "reading the GPU's properties");
}

/* What the device has, or less where the environment says so. */
static size_t at_most(const char *name, size_t has)
{
    const char *text = getenv(name);
    char *end = NULL;
    const unsigned long long most = text ? strtoull(text, &end, 10) : 0;
    return most > 0 && *end == '\0' && most < has ? (size_t)most : has;
}

static int read_properties(struct gpu *gpu)
{
    int device, major, shared, multiprocessors;
    int rc = gpu_check(cudaGetDevice(&device), "choosing the GPU");
    if (rc || (rc = attribute(&major, cudaDevAttrComputeCapabilityMajor, device)) ||
        (rc = attribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device)) ||
        (rc = attribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device))) {
        return rc;
    }
    if (major < OLDEST) {
        return unsupported("the GPU is older than compute capability 8.0");
    }
    gpu->shared_bytes = at_most("LOOM_CUDA_SHARED_BYTES", (size_t)shared);
    gpu->multiprocessors = (uint32_t)multiprocessors;
    gpu->cluster_max = major < 9 ? 1 : (uint32_t)at_most("LOOM_CUDA_CLUSTER", CLUSTER_MAX);
    return KERNEL_OK;
}

/* CUDA tells a driver that is missing like one that is too old. */
static int no_device(cudaError_t error)
{
    int driver = 0;
    (void)cudaDriverGetVersion(&driver);
    if (driver == 0) {
        return unsupported("there is no NVIDIA driver");
    }
    if (error == cudaErrorInsufficientDriver) {
        return unsupported("the NVIDIA driver is older than this program's CUDA");
    }
    if (error == cudaSuccess || error == cudaErrorNoDevice) {
        return unsupported("there is no NVIDIA GPU, or CUDA_VISIBLE_DEVICES hides it");
    }
    (void)cudaGetLastError();
    return kernel_fail(KERNEL_EUNSUPPORTED, "the NVIDIA GPU cannot be used: %s", cudaGetErrorString(error));
}

int gpu_open(struct gpu *gpu)
{
    int count = 0, rc;
    *gpu = (struct gpu){0};
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) {
        return no_device(error);
    }
    if ((rc = read_properties(gpu)) ||
        (rc = gpu_check(cudaStreamCreateWithFlags((cudaStream_t *)&gpu->stream, cudaStreamNonBlocking),
                        "making a stream")) ||
        (rc = gpu_check(cudaStreamCreateWithFlags((cudaStream_t *)&gpu->copies, cudaStreamNonBlocking),
                        "making a stream"))) {
        return rc;
    }
    for (size_t turn = 0; turn < GPU_TURNS; turn++) {
        if ((rc = gpu_check(
                 cudaEventCreateWithFlags((cudaEvent_t *)&gpu->arrived[turn], cudaEventDisableTiming),
                 "making an event")) ||
            (rc = gpu_check(cudaEventCreateWithFlags((cudaEvent_t *)&gpu->done[turn],
                                                     cudaEventDisableTiming | cudaEventBlockingSync),
                            "making an event"))) {
            return rc;
        }
    }
    return KERNEL_OK;
}

void gpu_settle(struct gpu *gpu)
{
    if (gpu->copies) {
        (void)cudaStreamSynchronize(gpu->copies);
    }
    if (gpu->stream) {
        (void)cudaStreamSynchronize(gpu->stream);
    }
}

void gpu_close(struct gpu *gpu)
{
    for (size_t turn = 0; turn < GPU_TURNS; turn++) {
        if (gpu->arrived[turn]) {
            (void)cudaEventDestroy(gpu->arrived[turn]);
        }
        if (gpu->done[turn]) {
            (void)cudaEventDestroy(gpu->done[turn]);
        }
    }
    if (gpu->stream) {
        (void)cudaStreamDestroy(gpu->stream);
    }
    if (gpu->copies) {
        (void)cudaStreamDestroy(gpu->copies);
    }
    *gpu = (struct gpu){0};
}

static int bytes_of(size_t *bytes, size_t count, size_t size)
{
    if (__builtin_mul_overflow(count, size, bytes)) {
        return KERNEL_ENOMEM;
    }
    *bytes = *bytes > 0 ? *bytes : 1;
    return KERNEL_OK;
}

int gpu_new(void *memory_p, size_t count, size_t size)
{
    size_t bytes;
    void *memory = NULL;
    int rc = bytes_of(&bytes, count, size);
    rc = rc ? rc : gpu_check(cudaMalloc(&memory, bytes), "taking memory of the GPU");
    memcpy(memory_p, &memory, sizeof memory);
    return rc;
}

int gpu_new_staging(void *memory_p, size_t count, size_t size)
{
    size_t bytes;
    void *memory = NULL;
    int rc = bytes_of(&bytes, count, size);
    rc = rc ? rc : gpu_check(cudaMallocHost(&memory, bytes), "taking memory that the GPU copies from");
    memcpy(memory_p, &memory, sizeof memory);
    return rc;
}

void gpu_free(void *memory)
{
    (void)cudaFree(memory);
}

void gpu_free_staging(void *memory)
{
    (void)cudaFreeHost(memory);
}

static int copy_now(struct gpu *gpu, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                    const char *operation)
{
    int rc = gpu_check(cudaMemcpyAsync(to, from, bytes, kind, gpu->stream), operation);
    return rc ? rc : gpu_check(cudaStreamSynchronize(gpu->stream), operation);
}

int gpu_put(struct gpu *gpu, void *device, const void *host, size_t bytes)
{
    return copy_now(gpu, device, host, bytes, cudaMemcpyHostToDevice, "copying to the GPU");
}

int gpu_get(struct gpu *gpu, void *host, const void *device, size_t bytes)
{
    return copy_now(gpu, host, device, bytes, cudaMemcpyDeviceToHost, "copying from the GPU");
}

int gpu_wait_turn(struct gpu *gpu, size_t turn)
{
    return gpu_check(cudaEventSynchronize(gpu->done[turn]), "working on a block (a kernel or a copy failed)");
}

int gpu_send(struct gpu *gpu, void *device, const void *staging, size_t bytes)
{
    return gpu_check(cudaMemcpyAsync(device, staging, bytes, cudaMemcpyHostToDevice, gpu->copies),
                     "copying to the GPU");
}

int gpu_sent(struct gpu *gpu, size_t turn)
{
    int rc = gpu_check(cudaEventRecord(gpu->arrived[turn], gpu->copies), "marking a copy");
    return rc ? rc : gpu_check(cudaStreamWaitEvent(gpu->stream, gpu->arrived[turn], 0), "waiting for a copy");
}

int gpu_fetch(struct gpu *gpu, void *staging, const void *device, size_t bytes)
{
    return gpu_check(cudaMemcpyAsync(staging, device, bytes, cudaMemcpyDeviceToHost, gpu->stream),
                     "copying from the GPU");
}

int gpu_end_turn(struct gpu *gpu, size_t turn)
{
    return gpu_check(cudaEventRecord(gpu->done[turn], gpu->stream), "marking the end of a block");
}

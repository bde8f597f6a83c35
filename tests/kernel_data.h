/* What the tests of kernels share: random numbers, buffers with sentinels, comparisons, memory that runs out.
 */
#ifndef LOOM_TESTS_KERNEL_DATA_H
#define LOOM_TESTS_KERNEL_DATA_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernel.h"

static uint64_t data_seed = 1;

/* Uniform in [0, 1): the splitmix64 generator, from data_seed on. */
static inline double data_uniform(void)
{
    uint64_t z = (data_seed += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static inline void *data_new(size_t count, size_t size)
{
    void *data = calloc(count + 1, size);
    if (!data)
        abort();
    return data;
}

static inline float *data_floats(size_t count, double below)
{
    float *data = data_new(count, sizeof *data);
    for (size_t q = 0; q < count; q++)
        data[q] = (float)(below * data_uniform());
    return data;
}

/* The bodies that most tests run, two of them: the reference, and what is checked against it. That is the CPU's, or
 * the GPU's where the environment says LOOM_TEST_BACKEND=cuda. */
static inline enum kernel_backend data_backend(size_t number)
{
    const char *asked = getenv("LOOM_TEST_BACKEND");
    return number == 0 ? KERNEL_REFERENCE : asked && strcmp(asked, "cuda") == 0 ? KERNEL_CUDA : KERNEL_CPU;
}

#define DATA_FAST data_backend(1)

/* Whether to leave out what takes long under a slow tool: LOOM_TEST_SHORT. */
static inline bool data_short(void)
{
    return getenv("LOOM_TEST_SHORT") != NULL;
}

#ifdef LOOM_CUDA_EMULATED
#include "cuda_runtime_api.h"
#endif

/* Whether the GPU is an emulated one (emulated/), that can be made to fail and to be small. */
static inline bool data_emulated(void)
{
#ifdef LOOM_CUDA_EMULATED
    return DATA_FAST == KERNEL_CUDA;
#else
    return false;
#endif
}

/* Let an emulated GPU be lost after so many more calls of CUDA; UINT64_MAX: never, and it is back. */
static inline void data_lose_gpu(uint64_t calls)
{
#ifdef LOOM_CUDA_EMULATED
    emulated_fail_after(calls);
#else
    (void)calls;
#endif
}

/* From the next layer on a GPU, real or emulated, has no more than so much shared memory; NULL: all it has, an emulated one as
 * much as an H100. */
static inline void data_shared_memory(const char *bytes)
{
    static const char *const names[] = {"LOOM_CUDA_SHARED_BYTES", "EMULATED_SHARED_BYTES"};
    for (size_t i = 0; i < 2; i++) {
        bytes ? setenv(names[i], bytes, 1) : unsetenv(names[i]);
    }
}

#define GUARD_BYTES 64
#define GUARD_VALUE 0xA5

/* bytes of memory filled with and between sentinels; guard_check frees it and tells whether they are as they
 * were. */
static inline void *guard_new(size_t bytes)
{
    unsigned char *all = data_new(bytes + 2 * GUARD_BYTES, 1);
    memset(all, GUARD_VALUE, bytes + 2 * GUARD_BYTES);
    return all + GUARD_BYTES;
}

static inline bool guard_check(void *data, size_t bytes)
{
    unsigned char *all = (unsigned char *)data - GUARD_BYTES;
    bool whole = true;
    for (size_t b = 0; b < GUARD_BYTES; b++)
        whole &= all[b] == GUARD_VALUE && all[GUARD_BYTES + bytes + b] == GUARD_VALUE;
    free(all);
    return whole;
}

/* The same to the bit. */
static inline bool data_same(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0;
}

/* The instruction sets that float bodies may be built for, see cpu.h, and what a body is called with each. */
static const char *const data_sets[][2] = {
    {"baseline", "cpu"}, {"avx2", "cpu-avx2"}, {"avx512", "cpu-avx512"}};
#define DATA_SETS (sizeof data_sets / sizeof *data_sets)

/* |a - b| / |b|, Euclidean. */
static inline double data_distance(const float *a, const float *b, size_t n)
{
    double difference = 0, norm = 0;
    for (size_t q = 0; q < n; q++) {
        difference += ((double)a[q] - (double)b[q]) * ((double)a[q] - (double)b[q]);
        norm += (double)b[q] * (double)b[q];
    }
    return norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

#ifdef DATA_FAILING_MEMORY
/* Linked with --wrap=aligned_alloc, the one call that kernels take memory from, and --wrap=pthread_create, the one
 * they take threads from: the allocation number data_fails_at, counted from 0, fails; a thread is one, too. */
static size_t data_allocations, data_fails_at = SIZE_MAX;

void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return data_allocations++ == data_fails_at ? NULL : __real_aligned_alloc(alignment, bytes);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                          void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                          void *argument)
{
    return data_allocations++ == data_fails_at ? EAGAIN
                                               : __real_pthread_create(thread, attributes, start, argument);
}
#endif

#endif

/* Working memory of kernels; see memory.h. */
#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

void *memory_take(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - ALIGNMENT) {
        return NULL;
    }
    return aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
}

void *memory_new(size_t count, size_t size)
{
    void *memory = memory_take(count, size);
    return memory ? memset(memory, 0, count * size) : NULL;
}

size_t memory_padded(size_t count)
{
    if (count > SIZE_MAX - MEMORY_LANES) {
        return 0;
    }
    return (count + MEMORY_LANES - 1) / MEMORY_LANES * MEMORY_LANES;
}

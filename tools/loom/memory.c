/* See memory.h. */
#include "memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

#define BLOCK_BYTES ((size_t)16384)

struct arena_block {
    struct arena_block *next;
    size_t used, size; /* bytes of data */
    _Alignas(max_align_t) char data[];
};

static void *or_end(void *memory)
{
    if (memory) {
        return memory;
    }
    static const char text[] = "loom: out of memory\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {
        _exit(-LOOM_EIO);
    }
    _exit(-LOOM_EINTERNAL);
}

void *arena_alloc(struct arena *self, size_t bytes)
{
    const size_t align = _Alignof(max_align_t);
    if (bytes > SIZE_MAX / 4) {
        or_end(NULL);
    }
    bytes = (bytes + align - 1) / align * align;
    struct arena_block *block = self->blocks;
    if (!block || block->size - block->used < bytes) {
        size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = or_end(calloc(1, sizeof *block + size));
        block->size = size;
        block->next = self->blocks;
        self->blocks = block;
    }
    void *memory = block->data + block->used;
    block->used += bytes;
    return memory;
}

char *arena_copy_n(struct arena *self, const char *text, size_t n)
{
    char *copy = arena_alloc(self, n + 1);
    memcpy(copy, text, n);
    return copy;
}

char *arena_copy(struct arena *self, const char *text)
{
    return arena_copy_n(self, text, strlen(text));
}

char *arena_format(struct arena *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0) {
        or_end(NULL);
    }
    va_end(arguments);
    char *copy = arena_copy(self, text);
    free(text);
    return copy;
}

void *arena_grow(struct arena *self, void *array, size_t n, size_t item_bytes)
{
    if (n && (n < 4 || (n & (n - 1)))) { /* rooms of 4, 8, 16, ... items */
        return array;
    }
    void *larger = arena_alloc(self, (n ? 2 * n : 4) * item_bytes);
    if (n) {
        memcpy(larger, array, n * item_bytes);
    }
    return larger;
}

void arena_fini(struct arena *self)
{
    while (self->blocks) {
        struct arena_block *block = self->blocks;
        self->blocks = block->next;
        free(block);
    }
}

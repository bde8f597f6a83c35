/* Memory of the launcher: arenas, freed all at once, and arrays that grow in them.
 *
 * What the launcher keeps (specifications, a pipeline, a run) lives as long as the command, so it is
 * allocated from an arena and freed at its end; nothing is freed singly. If memory runs out the launcher ends
 * at once with exit code 70: there is nothing better that it could do, and the stages of a run are told by
 * the kernel and save. */
#ifndef LOOM_TOOLS_MEMORY_H
#define LOOM_TOOLS_MEMORY_H

#include <stddef.h>

struct arena {
    struct arena_block *blocks; /* newest first */
};

/* Zeroed memory, aligned for any type, valid until arena_fini or arena_reset. Never NULL. */
void *arena_alloc(struct arena *self, size_t bytes);

/* Copies of text. */
char *arena_copy(struct arena *self, const char *text);
char *arena_copy_n(struct arena *self, const char *text, size_t n);
char *arena_format(struct arena *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An array of n items with room for at least one more: itself, or a copy twice as large. Every item of one
 * array must be added through this, one at a time; start with NULL and 0. */
void *arena_grow(struct arena *self, void *array, size_t n, size_t item_bytes);

/* Free everything; the arena can be used again. */
void arena_fini(struct arena *self);

#endif

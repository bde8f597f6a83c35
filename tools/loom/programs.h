/* Programs: where the executables loom-NAME are, and what they print when asked. */
#ifndef LOOM_TOOLS_PROGRAMS_H
#define LOOM_TOOLS_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "memory.h"

#define NAME_LENGTH_MAX 32

/* Whether it is a name of a stage, run or program: [a-z0-9_-]{1,32}. */
bool name_valid(const char *name);

/* The path of loom-NAME: beside this program, else the first on PATH; NULL if there is none. */
const char *program_find(struct arena *arena, const char *name);

/* All NAMEs for which program_find answers but those of Loom's own tools (tap, ...), sorted. *names is an array of n in the arena. */
void programs_list(struct arena *arena, const char *const **names, size_t *n);

/* Run `path argument` with no input and take its standard output (NUL-terminated, *n bytes, in the arena).
 * LOOM_EDATA if it cannot be started, does not end in time, prints over 1 MiB or exits with another code
 * than 0; the message has the program's own first line of complaint. */
int program_ask(struct arena *arena, const char *path, const char *argument, int patience_ms,
                const char **output, size_t *n) LOOM_MUST_CHECK;

#endif

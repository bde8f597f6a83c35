/* Diagnostics: everything that is wrong with a pipeline, collected with its place and printed in one go.
 *
 * One line each, in the form that editors understand: `file:line:column: what is wrong; did you mean 'x'?`.
 * What came from the command line points at its argument instead. */
#ifndef LOOM_TOOLS_DIAGNOSTICS_H
#define LOOM_TOOLS_DIAGNOSTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "memory.h"

/* Where something was written. */
struct place {
    const char *source;  /* the file as the user named it, or the argument: "--set topo.strength=0.3" */
    size_t line, column; /* from 1; 0: the source as a whole */
    size_t argument;     /* 0: in the file; otherwise which --set, from 1 */
};

struct diagnostic {
    struct place place;
    bool warning;
    const char *text;
};

struct diagnostics {
    struct arena *arena; /* holds the texts; borrowed */
    struct diagnostic *items;
    size_t n, errors;
};

/* Add an error or a warning, printf-style. */
void diagnostics_error(struct diagnostics *self, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void diagnostics_warning(struct diagnostics *self, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Add an error with "; did you mean 'guess'?" behind it, unless guess is NULL. */
void diagnostics_guess(struct diagnostics *self, struct place place, const char *guess, const char *format,
                       ...) __attribute__((format(printf, 4, 5)));

/* Print all, sorted by place: the file first, then the arguments. */
void diagnostics_print(struct diagnostics *self, FILE *out);

/* The candidate most like `word` (fewest letters changed, swapped, missing or too many), or NULL if none is
 * near. */
const char *nearest_word(const char *word, const char *const *candidates, size_t n);

#endif

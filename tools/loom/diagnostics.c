/* See diagnostics.h. */
#include "diagnostics.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 48 /* longer words are not compared */

static void add(struct diagnostics *self, struct place place, bool warning, const char *guess,
                const char *format, va_list arguments)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, arguments);
    self->items = arena_grow(self->arena, self->items, self->n, sizeof *self->items);
    struct diagnostic *item = &self->items[self->n++];
    item->place = place;
    item->warning = warning;
    if (guess) {
        item->text = arena_format(self->arena, "%s; did you mean '%s'?", text, guess);
    } else {
        item->text = arena_copy(self->arena, text);
    }
    self->errors += !warning;
}

void diagnostics_error(struct diagnostics *self, struct place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(self, place, false, NULL, format, arguments);
    va_end(arguments);
}

void diagnostics_warning(struct diagnostics *self, struct place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(self, place, true, NULL, format, arguments);
    va_end(arguments);
}

void diagnostics_guess(struct diagnostics *self, struct place place, const char *guess, const char *format,
                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(self, place, false, guess, format, arguments);
    va_end(arguments);
}

static int compare_sizes(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static int compare(const void *a, const void *b)
{
    const struct diagnostic *left = a, *right = b;
    int order = compare_sizes(left->place.argument, right->place.argument);
    if (!order) {
        order = compare_sizes(left->place.line, right->place.line);
    }
    if (!order) {
        order = compare_sizes(left->place.column, right->place.column);
    }
    return order ? order : strcmp(left->text, right->text);
}

void diagnostics_print(struct diagnostics *self, FILE *out)
{
    if (self->n) {
        qsort(self->items, self->n, sizeof *self->items, compare);
    }
    for (size_t i = 0; i < self->n; i++) {
        const struct diagnostic *item = &self->items[i];
        fputs(item->place.source, out);
        if (item->place.line) {
            fprintf(out, ":%zu:%zu", item->place.line, item->place.column);
        }
        fprintf(out, ": %s%s\n", item->warning ? "warning: " : "", item->text);
    }
}

/* Optimal string alignment distance, case ignored: three rows of the usual table. */
static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= n_b; j++) {
        last[j] = before[j] = j;
    }
    for (size_t i = 1; i <= n_a; i++) {
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            size_t best = last[j - 1] + (x != y);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2])) {
                best = before[j - 2] + 1 < best ? before[j - 2] + 1 : best;
            }
            row[j] = best;
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[n_b];
}

const char *nearest_word(const char *word, const char *const *candidates, size_t n)
{
    const char *nearest = NULL;
    size_t length = strlen(word), least = 1 + length / 3;
    if (length > WORD_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        size_t other = strlen(candidates[i]);
        if (other == 0 || other > WORD_MAX) {
            continue;
        }
        size_t steps = distance(word, length, candidates[i], other);
        if (steps <= least && steps < length && steps < other && (!nearest || steps < least)) {
            nearest = candidates[i];
            least = steps;
        }
    }
    return nearest;
}

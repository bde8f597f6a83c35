/* Numbers under names, a value a round; see bench.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define RESULTS_MAX 512
#define ROUNDS_MAX 100
#define REFERENCE "/reference"

struct result {
    char name[96];
    const char *unit;
    double value[ROUNDS_MAX]; /* of the rounds that have it */
    size_t n;
    size_t round; /* of the newest value */
};

static struct result results[RESULTS_MAX];
static size_t n_results, rounds;

void results_begin_round(void)
{
    rounds++;
}

static struct result *find(const char *name)
{
    for (size_t r = 0; r < n_results; r++) {
        if (strcmp(results[r].name, name) == 0) {
            return &results[r];
        }
    }
    return NULL;
}

void results_add(double value, const char *unit, const char *name, ...)
{
    char full[sizeof results->name];
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(full, sizeof full, name, arguments);
    va_end(arguments);
    struct result *result = find(full);
    if (!result && n_results < RESULTS_MAX) {
        result = &results[n_results++];
        memcpy(result->name, full, sizeof full);
        result->unit = unit;
    }
    if (result && result->n < ROUNDS_MAX) {
        result->value[result->n++] = value;
        result->round = rounds;
    }
}

void results_print_json(void)
{
    const char *separator = "";
    printf("{\"round\": %zu, \"results\": {", rounds);
    for (size_t r = 0; r < n_results; r++) {
        if (results[r].round == rounds) {
            printf("%s\"%s\": %.9g", separator, results[r].name, results[r].value[results[r].n - 1]);
            separator = ", ";
        }
    }
    puts("}}");
    fflush(stdout);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct result *result)
{
    return (result->value[(result->n - 1) / 2] + result->value[result->n / 2]) / 2;
}

/* The same case computed by the reference; NULL if there is none, or it is this one. */
static const struct result *reference_of(const struct result *result)
{
    char name[sizeof result->name + sizeof REFERENCE];
    memcpy(name, result->name, sizeof result->name);
    char *last = strrchr(name, '/');
    if (!last) {
        return NULL;
    }
    memcpy(last, REFERENCE, sizeof REFERENCE);
    const struct result *reference = find(name);
    return reference == result ? NULL : reference;
}

void results_print_table(void)
{
    for (size_t r = 0; r < n_results; r++) {
        qsort(results[r].value, results[r].n, sizeof *results[r].value, compare);
    }
    printf("%-48s %14s %14s %14s  %-12s %s\n", "", "median", "least", "most", "", "x reference");
    for (size_t r = 0; r < n_results; r++) {
        const struct result *result = &results[r], *reference = reference_of(result);
        printf("%-48s %14.6g %14.6g %14.6g  %-12s", result->name, median(result), result->value[0],
               result->value[result->n - 1], result->unit);
        if (reference) {
            printf(" %.1f", median(result) / median(reference));
        }
        puts("");
    }
}

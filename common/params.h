/* Parameters: each declared once, in a table beside the state struct it fills.
 *
 * From the one table come the command line, the launcher's check of a pipeline file, `loom inspect`, the
 * stream's id and the attributes of a layer file. A table ends with an entry whose name is NULL. */
#ifndef LOOM_COMMON_PARAMS_H
#define LOOM_COMMON_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "error.h"

struct grid {
    int64_t x, y; /* columns, rows */
};

enum param_type {                /* the type of the field at `offset`, and how it is written: */
                  PARAM_INTEGER, /* int64_t: 42 */
                  PARAM_REAL,    /* double: 0.5 */
                  PARAM_BOOLEAN, /* bool: true, false */
                  PARAM_TEXT,    /* char *, owned: any text */
                  PARAM_PATH,    /* char *, owned: a file; the launcher makes it absolute */
                  PARAM_CHOICE,  /* int: one of `choices`, kept as its index */
                  PARAM_GRID,    /* struct grid: 40x40, columns x rows; [40, 40] in a pipeline file */
                  PARAM_ADDRESS, /* char *, owned: ADDRESS:PORT or PORT (address.h), or empty */
};

enum param_flags {
    PARAM_LOCAL = 1,    /* does not change what is computed: stays out of the stream's id */
    PARAM_REQUIRED = 2, /* has no default: must be given */
};

struct param {
    const char *name; /* lower case, underscores */
    enum param_type type;
    size_t offset;              /* of the field in the state struct */
    const char *fallback;       /* the default, as text */
    double min, max;            /* inclusive, for numbers and for both numbers of a grid */
    const char *unit;           /* "" if it has none */
    const char *help;           /* one sentence, lower case, no full stop */
    const char *const *choices; /* PARAM_CHOICE: the words, NULL at the end */
    unsigned flags;
};

/* Fill every field of `fields` (zeroed by the caller) with its default. LOOM_EINTERNAL if memory runs out. */
int params_set_defaults(const struct param *table, void *fields) LOOM_MUST_CHECK;

/* Set one parameter from text; LOOM_EUSAGE with a full sentence if the value does not fit. */
int params_set(const struct param *param, void *fields, const char *text) LOOM_MUST_CHECK;

/* The entry of this name ('-' counts as '_'), or NULL. */
const struct param *params_find(const struct param *table, const char *name);

/* The value as text that params_set reads back exactly. `text` holds at least `size` bytes; cut if too long.
 */
void params_format(const struct param *param, const void *fields, char *text, size_t size);

/* The table as a JSON array of objects: name, type, default, min, max, unit, help, choices,
 * required, local. */
void params_write_json(const struct param *table, FILE *out);

/* Free what the fields own; harmless on fields that were never set, if zeroed. */
void params_fini(const struct param *table, void *fields);

#endif

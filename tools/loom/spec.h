/* Specifications: what a stage program says of itself, its ports and its parameters.
 *
 * `loom-NAME --spec` prints one JSON object, made by the runner from the stage's own table (or by a program
 * in any other language):
 *     {"stage": "sparse", "summary": "...", "version": "0.1.0",
 *      "inputs": {"kinds": ["frames"], "min": 1, "max": 1}, "taps": false, "output": "codes",
 *      "params": [{"name": "grid", "type": "grid", "default": "40x40", "min": 1, "max": 100000, "unit":
 * "units", "help": "...", "choices": null, "local": false, "required": false}, ...], "common": [...
 * parameters that every stage has ...]} `output` null: a leaf; "any": known only when it runs. Types: integer, real, boolean, text, path,
 * choice, grid, address. "stdin": a list of parameters; the stage reads standard input unless one of them is given
 * (and not "-"); missing or null: never. All but stage, inputs and output may be missing. */
#ifndef LOOM_TOOLS_SPEC_H
#define LOOM_TOOLS_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "memory.h"

#define SPEC_PATIENCE_MS 20000 /* enough for a slow start on a busy machine */

enum spec_type {
    SPEC_INTEGER,
    SPEC_REAL,
    SPEC_BOOLEAN,
    SPEC_TEXT,
    SPEC_PATH,
    SPEC_CHOICE,
    SPEC_GRID,
    SPEC_ADDRESS
};

struct spec_param {
    const char *name;
    enum spec_type type;
    const char *fallback;    /* the default, as text; "" if none */
    double min, max;         /* of numbers; -INFINITY and INFINITY: no limit */
    const char *unit, *help; /* never NULL */
    const char *const *choices;
    size_t n_choices;
    bool local;    /* does not change what is computed */
    bool required; /* must be given */
    bool common;   /* one of those that every stage has */
    bool wiring;   /* common, and set by the launcher itself: has no place in a pipeline */
};

struct spec {
    const char *stage, *summary, *version; /* never NULL */
    const char *program;                   /* path of the executable */
    const char *json;                      /* what it printed */
    const char *const *kinds;              /* of the inputs */
    size_t n_kinds;
    size_t inputs_min, inputs_max;
    bool taps;        /* looks at taps */
    bool reads_stdin; /* unless one of these is given: */
    const char *const *stdin_unless;
    size_t n_stdin_unless;
    const char *output;        /* kind of the output stream, or NULL: a leaf */
    struct spec_param *params; /* the stage's own, then the common ones */
    size_t n_params;
};

/* Ask loom-NAME, which has patience_ms to answer. LOOM_EUSAGE if there is no such program, LOOM_EDATA if it
 * gives no specification, or that of a stage of another name. *spec is in the arena. */
int spec_load(const struct spec **spec, struct arena *arena, const char *name,
              int patience_ms) LOOM_MUST_CHECK;

/* The parameter of this name ('-' counts as '_'), or NULL. */
const struct spec_param *spec_find(const struct spec *self, const char *name);

const char *spec_type_name(enum spec_type type);

/* Whether streams of this kind are accepted as input. */
bool spec_accepts(const struct spec *self, const char *kind);

/* "frames", "frames or codes", ...; in the arena. */
const char *spec_kinds_text(const struct spec *self, struct arena *arena);

#endif

/* A pipeline: which stages, with which parameters, wired how. Read from a file, changed by --set, checked
 * whole.
 *
 *     name: topo
 *     stages:
 *       window: {stage: generate, tapestry: digits.png, frames: 10000, passes: 20}
 *       sparse: {stage: sparse, in: window, grid: [40, 40], winners: 4}
 *
 * `stages` maps a stage's name in this run to its settings. Four words are the launcher's own: `stage` (the
 * kind: program loom-KIND), `in` and `tap` (names of stages, or endpoints, one or a list) and `from` (an
 * endpoint: the stage is not started, what reads it reads there). All others are parameters in that stage's
 * specification. */
#ifndef LOOM_TOOLS_PIPELINE_H
#define LOOM_TOOLS_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "diagnostics.h"
#include "error.h"
#include "memory.h"
#include "spec.h"
#include "yaml_tree.h"

/* One end of an edge, as written in `in` or `tap`. */
struct link {
    struct place place;
    const char *text;    /* the stage's name, or the endpoint, made absolute */
    struct entry *stage; /* NULL: an endpoint */
};

struct links {
    struct link *items;
    size_t n;
    struct place place; /* of the setting */
};

/* A parameter that was given. */
struct setting {
    const struct spec_param *param;
    struct place place;
    const char *text; /* in the form that the stage reads; paths absolute */
};

/* One stage of a pipeline. */
struct entry {
    const char *name, *kind;
    struct place place;      /* of the name */
    const struct spec *spec; /* NULL: none to be had (an error, unless `from` is set) */
    struct links inputs, taps;
    const char *from; /* endpoint, or NULL */
    struct setting *settings;
    size_t n_settings;
    int colour; /* of the search for circles */
};

struct pipeline {
    struct arena *arena;
    const char *file, *folder; /* as named by the user; absolute folder it lies in */
    const char *name;
    struct entry *stages;
    size_t n;
};

/* Read a file, lay n_sets texts STAGE.PARAMETER=VALUE over it and check everything: all that is wrong is in
 * the diagnostics. The pipeline is whole only if there are no errors. */
void pipeline_read(struct pipeline *self, struct arena *arena, struct diagnostics *diagnostics,
                   const char *file, const char *const *sets, size_t n_sets);

/* Add an error (or a warning) for every layer file to start from that does not exist, naming the run that
 * makes it. */
void pipeline_check_layers(const struct pipeline *self, struct diagnostics *diagnostics, bool warning);

/* Write as a pipeline file. identity: leave out what does not change what is computed. */
void pipeline_write(const struct pipeline *self, FILE *out, bool identity);

/* The same as text in the arena. */
const char *pipeline_text(const struct pipeline *self, bool identity);

/* Whether the stage only looks: it takes no stream and gives none. */
bool entry_only_looks(const struct entry *entry);

/* Whether the stage reads the launcher's standard input. */
bool entry_reads_stdin(const struct entry *entry);

/* The names of all stages; an array of self->n in the arena. */
const char *const *pipeline_names(const struct pipeline *self);

/* The stage of this name, or NULL. */
struct entry *pipeline_find(const struct pipeline *self, const char *name);

/* check.c: the wiring. All links are resolved; adds what is wrong to the diagnostics. */
void pipeline_check_wiring(struct pipeline *self, struct diagnostics *diagnostics);

/* values.c: the text to pass to the stage for the value written in `node`, or NULL if it does not fit, which
 * was added to the diagnostics. Relative paths are taken from `base`. */
const char *value_read(const struct spec_param *param, const struct node *node, const char *base,
                       struct arena *arena, struct diagnostics *diagnostics);

/* The absolute path of the user's current folder. */
const char *path_current(struct arena *arena);

/* values.c: an absolute path without . and .., links followed where the file exists. */
const char *path_resolve(struct arena *arena, const char *base, const char *path);

/* values.c: an endpoint with an absolute path, or NULL if it cannot be one, which was added to the
 * diagnostics. */
const char *endpoint_read(const char *text, const char *base, struct place place, struct arena *arena,
                          struct diagnostics *diagnostics);

#endif

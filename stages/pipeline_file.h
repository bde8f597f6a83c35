/* A pipeline, as those who show a run need it, from RUN/pipeline.yaml or from the text that a recording keeps: which
 * stages it has, whom each reads, and its parameters. The launcher has checked it; here it is only looked at. */
#ifndef LOOM_STAGES_PIPELINE_FILE_H
#define LOOM_STAGES_PIPELINE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "generate/tapestry.h"

#define PIPELINE_FILE_STAGES_MAX 256
#define PIPELINE_FILE_ITEMS_MAX 64 /* inputs of a stage, and parameters of one */

struct pipeline_stage {
    char *name, *kind;
    char *inputs[PIPELINE_FILE_ITEMS_MAX]; /* names of stages, or endpoints */
    size_t n_inputs;
    struct {
        char *key, *text;
    } params[PIPELINE_FILE_ITEMS_MAX];
    size_t n_params;
};

struct pipeline_file {
    char *name;
    struct pipeline_stage *stages;
    size_t n;
};

/* Read a file of at most 1 MiB. LOOM_EIO if it cannot be read, LOOM_EDATA if it is no pipeline; *self is then
 * empty. Freed by pipeline_file_fini, harmless when empty. */
int pipeline_file_read(struct pipeline_file *self, const char *path) LOOM_MUST_CHECK;

/* The same of a text of n bytes, which messages call `name`. */
int pipeline_file_parse(struct pipeline_file *self, const char *text, size_t n,
                        const char *name) LOOM_MUST_CHECK;

void pipeline_file_fini(struct pipeline_file *self);

/* The stage of this name, or NULL. */
const struct pipeline_stage *pipeline_file_find(const struct pipeline_file *self, const char *name);

/* The text of a parameter; NULL: not given. */
const char *pipeline_stage_param(const struct pipeline_stage *self, const char *key);

/* Which tapestry the stage `name` moves over; path is borrowed from the pipeline, and the window is left 0. False if
 * there is no such stage, or it has none. */
bool pipeline_file_tapestry(const struct pipeline_file *self, const char *name,
                            struct tapestry_config *config);

#endif

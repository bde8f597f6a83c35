/* A stage: a state struct, a table of parameters and a few hooks. The runner (stage.c) owns everything else:
 * options, sockets, signals, checkpoints, telemetry, logs.
 *
 *     open (parameters known) -> configure (inputs known) -> load (if there is a checkpoint)
 *         -> begin_pass, process..., end_pass, ... -> drain (end of stream) -> close
 *
 * A NULL hook does nothing. Hooks return 0 or a negative loom_status with error_message() set. close is
 * called once, also after an open that failed half-way. Hooks are called from one thread.
 *
 * Three kinds of stage:
 *     source   inputs none, `produce` set: any block must be computable from its number alone
 *     inner    one input, an output: `process` maps n frames in to n frames out; its state is checkpointed
 *     leaf     no output: `process` takes each input's blocks in order; `flush` makes what it took durable
 * and any stage may also look at taps. */
#ifndef LOOM_COMMON_STAGE_H
#define LOOM_COMMON_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "layer.h"
#include "params.h"
#include "stream.h"

#define STAGE_INPUTS_MAX 32

/* What a stage may know of the process it runs in. */
struct stage_context {
    const char *name;                 /* of this stage in its run */
    const char *run;                  /* the run's folder */
    const struct stream_info *inputs; /* of the `n_inputs` inputs, from configure on */
    size_t n_inputs;
    size_t n_taps; /* that it looks at */
    uint64_t pass; /* number of the current pass, from 0; valid in process, begin_pass and end_pass */
};

/* A message that a tap brought; pointers valid during the call. */
struct stage_tap {
    const char *id;               /* of the stream beside the tap */
    const char *stage;            /* kind of stage that sent it */
    const char *name;             /* its name in the run */
    uint64_t frame, pass;         /* frames done; passes done */
    uint64_t dropped;             /* messages of this tap lost so far */
    struct stage_weights weights; /* data NULL if it is not about weights */
};

struct stage {
    const char *name;     /* the program is loom-<name> */
    const char *summary;  /* one line */
    unsigned input_kinds; /* bit 1 << enum stream_kind for each accepted kind */
    size_t inputs_min, inputs_max;
    bool taps;               /* looks at taps */
    enum stream_kind output; /* STREAM_NONE: a leaf */
    size_t state_bytes;
    const struct param *params;

    int (*open)(const struct stage_context *context, void *state);
    /* Check the inputs' shapes, make what depends on them, fill `output` (shapes, body). Its kind is set,
     * pass and total are the input's; a source sets them, a block set
     * here is an upper bound. The runner fills the rest. */
    int (*configure)(const struct stage_context *context, void *state, struct stream_info *output);
    /* source: fill out->fields for frames out->seq .. + out->n; a pure function of the parameters. */
    int (*produce)(const struct stage_context *context, void *state, struct block *out);
    /* inner: out has the same seq and n; leaf: out is NULL. port: which input. Never crosses the end of a
     * pass. */
    int (*process)(const struct stage_context *context, void *state, size_t port, const struct block *in,
                   struct block *out);
    int (*begin_pass)(const struct stage_context *context, void *state);
    /* Fill up to STREAM_METRICS_MAX metrics of the pass that ended; they must not depend on timing. */
    int (*end_pass)(const struct stage_context *context, void *state, struct metric *metrics,
                    size_t *n_metrics);
    /* Metrics of the pass so far, for the progress line. */
    size_t (*progress)(const struct stage_context *context, void *state, struct metric *metrics);
    /* The whole state; attributes of the parameters and ids are written by the runner. */
    int (*save)(const struct stage_context *context, void *state, struct layer_writer *file);
    int (*load)(const struct stage_context *context, void *state, const struct layer_reader *file);
    /* leaf with its own durable store: make all frames taken so far survive a crash. */
    int (*flush)(const struct stage_context *context, void *state);
    /* leaf with its own durable store: from[port] = frames of each input that are durable already. */
    int (*resume)(const struct stage_context *context, void *state, uint64_t *from);
    /* Show the weights; *weights is zeroed. */
    int (*weights)(const struct stage_context *context, void *state, struct stage_weights *weights);
    int (*tap)(const struct stage_context *context, void *state, const struct stage_tap *message);
    int (*drain)(const struct stage_context *context, void *state);
    void (*close)(const struct stage_context *context, void *state);
};

/* The whole main of a stage: returns its exit code. 0 done, 64 bad usage, 65 bad input data, 69 peer
 * unavailable, 70 internal error, 74 I/O error, 130 interrupted (state saved). */
int stage_main(const struct stage *stage, int argc, char **argv);

#endif

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
 *     source   inputs none, `produce` set: any block must be computable from its number alone; `gather` set
 *              too: as far as its frames have come from outside
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

struct endpoint_context;

/* What a stage may know of the process it runs in. */
struct stage_context {
    const char *name;                 /* of this stage in its run */
    const char *run;                  /* the run's folder */
    const struct stream_info *inputs; /* of the `n_inputs` inputs, from configure on */
    size_t n_inputs;
    const char *const *taps; /* endpoints of the taps that it looks at, ... */
    size_t n_taps;           /* ... and how many */
    uint64_t pass; /* number of the current pass, from 0; valid in process, begin_pass and end_pass */
    const struct stream_info *output;   /* its own stream, id and all; after configure */
    struct endpoint_context *endpoints; /* for sockets of its own (endpoint.h); NULL in open */
};

/* What a source whose frames come from outside (a pipe, a camera) has of its stream, and what it waits
 * for. */
struct stage_extent {
    bool known;     /* the stream can be described; until then readers are told to wait */
    uint64_t base;  /* oldest frame held */
    uint64_t head;  /* first frame that has not come yet */
    uint64_t total; /* frames in all; UINT64_MAX: the end is not known yet */
    bool more;      /* call again at once; else when one of these can be read, or after a while: */
    void *socket;   /* of ZeroMQ; NULL: none */
    int fd;         /* -1: none */
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

/* Another word for a parameter on the command line. */
struct stage_alias {
    int letter;        /* as -o; 0: none */
    const char *name;  /* as --output; "": the argument without an option; NULL: none */
    const char *param; /* the parameter meant */
};

struct stage {
    const char *name;     /* the program is loom-<name> */
    const char *summary;  /* one line */
    unsigned input_kinds; /* bit 1 << enum stream_kind for each accepted kind */
    size_t inputs_min, inputs_max;
    bool taps; /* looks at taps */
    /* Leaf that may come late: its inputs begin at one frame, the first that all of them still hold. */
    bool aligned;
    enum stream_kind output; /* STREAM_NONE: a leaf */
    size_t state_bytes;
    const struct param *params;
    /* Reads standard input unless one of these parameters is given, and not `-`; NULL at the end. NULL: never. */
    const char *const *stdin_unless;
    const struct stage_alias *aliases; /* the last one has param NULL; NULL: none */

    int (*open)(const struct stage_context *context, void *state);
    /* Check the inputs' shapes, make what depends on them, fill `output` (shapes, body). Its kind is set,
     * pass and total are the input's; a source sets them, a block set here is an upper bound; the ring of
     * a source is set here if it cannot make all frames again, and an id if parameters do not tell all
     * that made the stream (identity.h). The runner fills the rest. */
    int (*configure)(const struct stage_context *context, void *state, struct stream_info *output);
    /* source: fill out->fields for frames out->seq .. + out->n; a pure function of the parameters. */
    int (*produce)(const struct stage_context *context, void *state, struct block *out);
    /* source whose frames come from outside: take what has come, without waiting for more, and fill *extent
     * (zeroed at first). Nobody will ask for frames before `ack` again; `produce` is asked for frames from
     * base to before head only. Called until the extent is known, then configure, then between blocks. */
    int (*gather)(const struct stage_context *context, void *state, uint64_t ack,
                  struct stage_extent *extent);
    /* inner: out has the same seq and n; leaf: out is NULL. port: which input. Never crosses the end of a
     * pass. */
    int (*process)(const struct stage_context *context, void *state, size_t port, const struct block *in,
                   struct block *out);
    /* inner, whose output may be known without its input (a cache): it needs no input for frames `from` to
     * before *first, and then that of the frames to before *end (at most to *end: it will be asked again).
     * For a block of which it needs none, process gets `in` with seq and n only. Called between blocks.
     * NULL: it needs all. */
    void (*needs)(const struct stage_context *context, void *state, uint64_t from, uint64_t *first,
                  uint64_t *end);
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

/* The runner of a stage, in its parts: an internal header of stage.c and runner*.c. See stage.c. */
#ifndef LOOM_COMMON_RUNNER_H
#define LOOM_COMMON_RUNNER_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "checkpoints.h"
#include "consumer.h"
#include "endpoint.h"
#include "load.h"
#include "producer.h"
#include "stage.h"
#include "stage_options.h"

struct tap_peer {
    void *socket;
    zmq_msg_t newest; /* what came last, while it waits to be looked at */
    bool waiting;
    uint64_t next, dropped; /* count expected next; messages lost or passed over */
    uint64_t refused;       /* messages that were of no use */
};

struct runner {
    const struct stage *stage;
    struct stage_options options;
    struct stage_context context;
    void *state;
    struct endpoint_context *endpoints;
    struct consumer *consumers[STAGE_INPUTS_MAX]; /* of the inputs */
    struct stream_info infos[STAGE_INPUTS_MAX];
    struct tap_peer taps[STAGE_INPUTS_MAX];
    struct producer *producer;
    struct stream_info output;  /* of a leaf: id, pass and total only */
    struct stage_extent extent; /* of a source whose frames come from outside */
    struct block out;           /* with buffers for a whole block */
    bool opened;

    struct checkpoints checkpoints;
    uint64_t
        saved[STAGE_INPUTS_MAX]; /* frames of each input in the newest checkpoint, or at the last flush */
    int64_t saved_ms, fed_ms;
    bool drained;
    int64_t stop_ms; /* when it was first seen that we are asked to stop; 0: not yet */
    bool halted;     /* and since halt_ms nothing more is processed, and all is saved */
    int64_t halt_ms;
    bool aligned;    /* all inputs stand at the same frame, or need not */
    uint64_t needed; /* inner: first frame whose input the stage needs */
    bool pass_open;  /* frames of a pass have been processed whose end has not */
    bool torn;       /* a hook failed within a block: the state belongs to no frame and must not be saved */

    int64_t look_us; /* taps are not looked at before; see runner_pump_taps */
    int64_t show_us; /* and weights not shown; see runner_show_weights */

    int64_t progress_ms; /* when the last progress line was due */
    struct load load;
    bool no_room; /* the last turn found no room for its output */
};

/* ---- runner.c: what a stage is, where it stands, and waiting ---- */

bool runner_is_source(const struct runner *self);
bool runner_is_viewer(const struct runner *self); /* looks at taps or files only */

/* Stages with passes and a state: inner ones, and leaves that learn. */
bool runner_is_sequential(const struct runner *self);
bool runner_has_checkpoints(const struct runner *self);

/* Frames done, in sum over the inputs; of a source: fetched. */
uint64_t runner_position(const struct runner *self);

/* Whether all inputs have been taken to their end. */
bool runner_all_ended(const struct runner *self);

/* From now on SIGINT, SIGTERM and SIGHUP are noted, and SIGPIPE is ignored. */
void runner_handle_signals(void);
bool runner_stop_requested(void);

/* Wait until a message may have come, a signal has, or timeout_ms has passed; the load keeps account of it. */
int runner_wait(struct runner *self, int64_t timeout_ms) LOOM_MUST_CHECK;

int runner_pump_inputs(struct runner *self) LOOM_MUST_CHECK;

/* ---- runner_setup.c: from the options to the first block, and back ---- */

int runner_set_up(struct runner *self) LOOM_MUST_CHECK;
void runner_tear_down(struct runner *self); /* also after a set-up that failed half-way */

/* ---- runner_work.c: blocks, passes, taps and telemetry ---- */

/* One block of a stage with passes. *did: there was input for a whole block, and room for its output. */
int runner_process_block(struct runner *self, bool *did) LOOM_MUST_CHECK;

/* Have the stage say what input it needs next: at the start, and after each block. */
void runner_plan_input(struct runner *self);

/* A source whose frames come from outside: take what has come, and offer it to the readers once described. */
int runner_gather(struct runner *self) LOOM_MUST_CHECK;

/* Take note of the end of streams that were described without one. */
int runner_learn_totals(struct runner *self) LOOM_MUST_CHECK;

/* The stream has ended within a pass, as was seen only afterwards: end the pass. */
int runner_end_open_pass(struct runner *self) LOOM_MUST_CHECK;

/* Whatever has come at each input of a leaf that only takes; before the first of it, once all have come,
 * those that hold older frames than others are moved on. */
int runner_process_inputs(struct runner *self, bool *did) LOOM_MUST_CHECK;

/* Look at the newest message of each tap; but never for more than a small part of the time, which those who
 * work need. */
int runner_pump_taps(struct runner *self) LOOM_MUST_CHECK;

/* Show the weights to those who look: at the end of a pass, and at once to somebody new. Where passes are
 * so short that this would take more than a small part of the time, passes are left out, but never the
 * last one. */
int runner_show_weights(struct runner *self, bool pass_ended) LOOM_MUST_CHECK;

/* For the launcher: a line that says where it begins, with shares that are not known yet. */
void runner_report_begin(struct runner *self);

/* A progress line, if one is due or `now`. */
void runner_report_progress(struct runner *self, bool now);

/* ---- runner_save.c: what is durable, and who is told ---- */

/* Find where to begin: from[i] is the first frame wanted of input i. */
int runner_resume(struct runner *self, uint64_t *from) LOOM_MUST_CHECK;
int runner_save_checkpoint(struct runner *self) LOOM_MUST_CHECK;

/* Tell the producers what is durable here. */
void runner_acknowledge(struct runner *self);

/* Everything up to here is durable. */
void runner_note_saved(struct runner *self);

bool runner_save_is_due(const struct runner *self);

/* Make everything up to here durable: in a checkpoint, or in the stage's own store. */
int runner_save(struct runner *self) LOOM_MUST_CHECK;

/* The same, and the layer file too. */
int runner_save_all(struct runner *self) LOOM_MUST_CHECK;

#endif

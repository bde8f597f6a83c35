/* The runner of a stage: from the options to the first block, and back. See runner.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "clock.h"
#include "identity.h"
#include "message.h"
#include "runner.h"

#define POLL_MS 20         /* between two looks at signals and inputs while these are awaited */
#define TAP_HWM 2          /* messages of a tap queued here, each with all weights; then they are dropped */
#define LOOK_FIRST_MS 2000 /* until taps are first looked at: earlier there is little to see */

static int connect_inputs(struct runner *self)
{
    const struct stage_options *options = &self->options;
    int status = 0;
    for (size_t i = 0; status == 0 && i < options->n_inputs; i++) {
        bool late = options->join == JOIN_OLDEST || (options->join == JOIN_AUTO && self->stage->aligned);
        struct consumer_settings settings = {.endpoint = options->inputs[i],
                                             .who = options->who[0] != '\0' ? options->who : options->name,
                                             .timeout_ms = (int64_t)(options->timeout_s * 1000),
                                             .patience_ms = (int64_t)(options->patience_s * 1000),
                                             .join_oldest = late};
        status = consumer_new(&self->consumers[i], self->endpoints, &settings);
    }
    for (size_t i = 0; status == 0 && i < options->n_taps; i++) {
        zmq_msg_init(&self->taps[i].newest);
        status = endpoint_connect(self->endpoints, &self->taps[i].socket, ZMQ_SUB, options->taps[i], TAP_HWM,
                                  MESSAGE_REPLY_MAX);
        if (status == 0 && zmq_setsockopt(self->taps[i].socket, ZMQ_SUBSCRIBE, "weights", 7) != 0) {
            status = error_set(LOOM_EINTERNAL, "cannot subscribe: %s", zmq_strerror(errno));
        }
    }
    return status;
}

/* produce for the producer, which knows no stages. */
static int produce_block(void *argument, struct block *block)
{
    struct runner *self = argument;
    return self->stage->produce(&self->context, self->state, block);
}

static int bind_output(struct runner *self)
{
    if (self->stage->output == STREAM_NONE) {
        return 0;
    }
    const struct stage_options *options = &self->options;
    char done_path[4096] = "";
    if (runner_has_checkpoints(self) || self->stage->gather != NULL) {
        snprintf(done_path, sizeof done_path, "%s/checkpoints/%s.done", options->run, options->name);
    }
    struct producer_settings settings = {.endpoint = options->bind,
                                         .tap = options->bind_tap,
                                         .required = options->required,
                                         .done_path = done_path,
                                         .ring_bytes = (uint64_t)options->ring_mb << 20,
                                         .produce = runner_is_source(self) ? produce_block : NULL,
                                         .argument = self};
    if (runner_is_source(self) && options->bind[0] == '\0') {
        return error_set(LOOM_EUSAGE, "a source needs --bind ENDPOINT, where others fetch its stream");
    }
    return producer_new(&self->producer, self->endpoints, &settings);
}

/* Wait until every producer has described its stream, and a source whose frames come from outside knows
 * its own. */
static int await_descriptions(struct runner *self)
{
    for (;;) {
        int status = self->producer == NULL ? 0 : producer_pump(self->producer); /* says `wait` */
        if (status == 0) {
            status = runner_pump_inputs(self);
        }
        if (status == 0) {
            status = runner_gather(self);
        }
        bool all = self->stage->gather == NULL || self->extent.known;
        for (size_t i = 0; i < self->options.n_inputs; i++) {
            const struct stream_info *info = consumer_info(self->consumers[i]);
            all = all && info != NULL;
            if (info != NULL) {
                self->infos[i] = *info;
            }
        }
        if (status < 0 || all) {
            return status;
        }
        if (runner_stop_requested()) {
            return error_set(LOOM_EINTERRUPTED, "interrupted before the inputs were there");
        }
        status = runner_wait(self, POLL_MS);
        if (status < 0) {
            return status;
        }
    }
}

static int check_inputs(const struct runner *self)
{
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        if ((self->stage->input_kinds & (1U << self->infos[i].kind)) == 0) {
            return error_set(LOOM_EDATA, "%s carries %s, which loom-%s does not take",
                             self->options.inputs[i], stream_kind_name(self->infos[i].kind),
                             self->stage->name);
        }
    }
    return 0;
}

/* Fill the description of the output and have the stage make what depends on its inputs. */
static int configure(struct runner *self)
{
    struct stream_info *output = &self->output;
    const struct stage *stage = self->stage;
    self->context.inputs = self->infos;
    self->context.n_inputs = self->options.n_inputs;
    self->context.output = output;
    *output = (struct stream_info){.kind = stage->output, .dtype = STREAM_F4, .total = UINT64_MAX};
    if (self->options.n_inputs > 0) {
        output->pass = self->infos[0].pass;
        output->total = self->infos[0].total;
    }
    snprintf(output->stage, sizeof output->stage, "%s", stage->name);
    snprintf(output->name, sizeof output->name, "%s", self->options.name);
    int status = stage->configure == NULL ? 0 : stage->configure(&self->context, self->state, output);
    if (status < 0) {
        return status;
    }
    struct stream_field fields[STREAM_FIELDS_MAX] = {{.row_bytes = 0}};
    size_t n_fields = stage->output == STREAM_NONE ? 0 : stream_fields(output, fields);
    uint64_t frame_bytes = 1;
    for (size_t f = 0; f < n_fields; f++) {
        frame_bytes += fields[f].row_bytes;
    }
    uint64_t fitting =
        ((uint64_t)self->options.ring_mb << 20) / 4 / frame_bytes; /* four blocks fit the ring */
    uint64_t most = (uint64_t)self->options.block < fitting ? (uint64_t)self->options.block : fitting;
    output->block = output->block > 0 && output->block < most ? output->block : most;
    output->block = output->block == 0 ? 1 : output->block;
    if (!runner_is_source(self)) {
        output->ring = ((uint64_t)self->options.ring_mb << 20) / frame_bytes;
    } else if (output->ring == 0) {
        output->ring = UINT64_MAX;
    }
    for (size_t f = 0; f < n_fields && !runner_is_source(self); f++) {
        self->out.fields[f] = calloc(output->block, fields[f].row_bytes);
        if (self->out.fields[f] == NULL) {
            return error_set(LOOM_EINTERNAL, "out of memory for a block of %ju frames",
                             (uintmax_t)output->block);
        }
    }
    if (output->id[0] == '\0') {
        status = identity_hash(output->id, stage->name, output->body, stage->params, self->state, self->infos,
                               self->options.n_inputs);
    }
    return status < 0 || stage->output == STREAM_NONE ? status : stream_info_check(output);
}

static int start(struct runner *self)
{
    uint64_t from[STAGE_INPUTS_MAX] = {0};
    int status = runner_resume(self, from);
    size_t most = runner_is_sequential(self) ? (size_t)self->output.block : 1;
    for (size_t i = 0; status == 0 && i < self->options.n_inputs; i++) {
        status = consumer_start(self->consumers[i], from[i], most, "");
    }
    self->aligned = !self->stage->aligned;
    for (size_t i = 1; i < self->options.n_inputs; i++) {
        self->aligned = self->aligned || from[i] != from[0]; /* goes on with what it has begun */
    }
    if (status == 0 && runner_is_sequential(self) && self->options.n_inputs > 0) {
        runner_plan_input(self);
    }
    if (status == 0 && self->producer != NULL) {
        status = producer_start(self->producer, &self->output,
                                self->stage->gather == NULL ? from[0] : self->extent.base);
    }
    if (status == 0) {
        status = runner_gather(self);
    }
    if (status == 0 && runner_has_checkpoints(self) && self->checkpoints.count == 0) {
        status = runner_save_checkpoint(self);
    }
    runner_note_saved(self);
    self->fed_ms = self->progress_ms = self->saved_ms;
    self->look_us = clock_us() + LOOK_FIRST_MS * INT64_C(1000);
    load_begin(&self->load, runner_is_source(self) ? runner_position(self) : from[0]);
    return status;
}

int runner_set_up(struct runner *self)
{
    const struct stage_options *options = &self->options;
    self->context.name = options->name;
    self->context.run = options->run;
    self->context.taps = (const char *const *)options->taps;
    self->context.n_taps = options->n_taps;
    int status = 0;
    self->opened = true;
    if (self->stage->open != NULL) {
        status = self->stage->open(&self->context, self->state);
    }
    struct endpoint_keys keys = {options->curve_key, options->curve_peers};
    if (status == 0) {
        status = endpoint_context_new(&self->endpoints, &keys);
        self->context.endpoints = self->endpoints;
    }
    if (status == 0) {
        status = bind_output(self);
    }
    if (status == 0) {
        status = connect_inputs(self);
    }
    if (status == 0) {
        status = await_descriptions(self);
    }
    if (status == 0) {
        status = check_inputs(self);
    }
    if (status == 0) {
        status = configure(self);
    }
    return status == 0 ? start(self) : status;
}

void runner_tear_down(struct runner *self)
{
    if (self->opened && self->stage->close != NULL) {
        self->stage->close(&self->context, self->state);
    }
    for (size_t i = 0; i < STAGE_INPUTS_MAX; i++) {
        consumer_destroy(&self->consumers[i]);
        endpoint_close(&self->taps[i].socket);
        if (self->taps[i].waiting) {
            zmq_msg_close(&self->taps[i].newest);
        }
    }
    producer_destroy(&self->producer);
    endpoint_context_destroy(&self->endpoints);
    for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
        free(self->out.fields[f]);
    }
}

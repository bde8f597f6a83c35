/* The stage runner: everything that all stages share between main and their hooks. See stage.h.
 *
 * One thread, one loop: poll the sockets, answer requests, take replies, and process one block if there is
 * input for it and room for its output. State changes only there, and blocks end at absolute multiples of
 * --block within a pass; so results do not depend on timing or on how frames came in messages, and the state
 * between two blocks is a place from which a restart continues exactly.
 *
 * The end of a stream: the last block, drain, the final checkpoint and the layer file; then every reader says
 * that it has everything durable; then this stage says the same to its own producers and, once they have
 * confirmed, goes. */
#include "stage.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#include "checkpoints.h"
#include "clock.h"
#include "consumer.h"
#include "endpoint.h"
#include "identity.h"
#include "log.h"
#include "message.h"
#include "producer.h"
#include "stage_file.h"
#include "stage_options.h"

#define POLL_MS 100          /* how long the loop sleeps at most */
#define TAP_HWM 4            /* messages of a tap queued here, each with all weights; then they are dropped */
#define PROGRESS_JSON_MS 500 /* between two progress lines for the launcher */
#define PROGRESS_TEXT_MS 5000 /* and for a person */
#define FAREWELL_MS 10000     /* how long a finished stage tries to tell a silent producer */
#define STARVED_MS 2000       /* without input for this long, a checkpoint is due */

/* Asked to stop, a stage first takes what is on its way, so that all stages of a run stop at the same frame and can go
 * on from there: until nothing has come for QUIET_MS, but no longer than HALT_MS. Then it saves, and waits for its
 * readers to do the same, but no longer than STOP_MS. */
#define QUIET_MS 200
#define HALT_MS 1000
#define STOP_MS 4000
#define PARTING_MS 50 /* for the last acknowledgement to get out */

struct input {
    struct consumer *consumer;
    bool started;
};

struct tap_peer {
    void *socket;
    uint64_t next, dropped; /* count expected next; messages lost */
};

struct runner {
    const struct stage *stage;
    struct stage_options options;
    struct stage_context context;
    void *state;
    struct endpoint_context *endpoints;
    struct input inputs[STAGE_INPUTS_MAX];
    struct stream_info infos[STAGE_INPUTS_MAX];
    struct tap_peer taps[STAGE_INPUTS_MAX];
    struct producer *producer;
    struct stream_info output; /* of a leaf: id, pass and total only */
    struct block out;          /* with buffers for a whole block */
    bool opened;

    struct checkpoints checkpoints;
    uint64_t saved; /* frame of the newest checkpoint, or of the last flush in sum over the inputs */
    int64_t saved_ms, fed_ms;
    bool drained;
    int64_t stop_ms; /* when it was first seen that we are asked to stop; 0: not yet */
    bool halted;     /* and since halt_ms nothing more is processed, and all is saved */
    int64_t halt_ms;
    bool torn; /* a hook failed within a block: the state belongs to no frame and must not be saved */

    int64_t progress_ms;
    uint64_t progress_frame;
};

static volatile sig_atomic_t stop_requested = 0;

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

/* ---- kinds of stage ---- */

static bool is_source(const struct runner *self)
{
    return self->stage->produce != NULL;
}

static bool is_viewer(const struct runner *self)
{
    return self->options.n_inputs == 0 && !is_source(self);
}

/* Stages with passes and a state: inner ones, and leaves that learn. */
static bool is_sequential(const struct runner *self)
{
    return self->stage->output != STREAM_NONE || self->stage->save != NULL;
}

static bool has_checkpoints(const struct runner *self)
{
    return is_sequential(self) && !is_source(self); /* also without a state of its own: the position counts */
}

static uint64_t position(const struct runner *self)
{
    if (is_source(self)) {
        return producer_head(self->producer);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        sum += consumer_position(self->inputs[i].consumer);
    }
    return sum;
}

static bool all_ended(const struct runner *self)
{
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        if (!consumer_ended(self->inputs[i].consumer)) {
            return false;
        }
    }
    return !is_source(self);
}

/* ---- polling ---- */

static int wait_for_sockets(struct runner *self, int64_t timeout_ms)
{
    zmq_pollitem_t items[2 + 2 * STAGE_INPUTS_MAX];
    int n = 0;
    void *own[] = {self->producer == NULL ? NULL : producer_router(self->producer),
                   self->producer == NULL ? NULL : producer_tap(self->producer)};
    for (size_t i = 0; i < 2; i++) {
        if (own[i] != NULL) {
            items[n++] = (zmq_pollitem_t){.socket = own[i], .events = ZMQ_POLLIN};
        }
    }
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        items[n++] =
            (zmq_pollitem_t){.socket = consumer_socket(self->inputs[i].consumer), .events = ZMQ_POLLIN};
    }
    for (size_t i = 0; i < self->options.n_taps; i++) {
        items[n++] = (zmq_pollitem_t){.socket = self->taps[i].socket, .events = ZMQ_POLLIN};
    }
    if (zmq_poll(items, n, timeout_ms) < 0 && errno != EINTR) {
        return error_set(LOOM_EINTERNAL, "cannot wait for messages: %s", zmq_strerror(errno));
    }
    return 0;
}

static int pump_consumers(struct runner *self)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < self->options.n_inputs; i++) {
        status = consumer_pump(self->inputs[i].consumer);
    }
    return status;
}

/* ---- setting up ---- */

static int connect_inputs(struct runner *self)
{
    const struct stage_options *options = &self->options;
    int status = 0;
    for (size_t i = 0; status == 0 && i < options->n_inputs; i++) {
        struct consumer_settings settings = {.endpoint = options->inputs[i],
                                             .who = options->name,
                                             .timeout_ms = (int64_t)(options->timeout_s * 1000),
                                             .patience_ms = (int64_t)(options->patience_s * 1000),
                                             .join_oldest = options->join == JOIN_OLDEST};
        status = consumer_new(&self->inputs[i].consumer, self->endpoints, &settings);
    }
    for (size_t i = 0; status == 0 && i < options->n_taps; i++) {
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
    if (has_checkpoints(self)) {
        snprintf(done_path, sizeof done_path, "%s/checkpoints/%s.done", options->run, options->name);
    }
    struct producer_settings settings = {.endpoint = options->bind,
                                         .tap = options->bind_tap,
                                         .required = options->required,
                                         .done_path = done_path,
                                         .ring_bytes = (uint64_t)options->ring_mb << 20,
                                         .produce = is_source(self) ? produce_block : NULL,
                                         .argument = self};
    if (is_source(self) && options->bind[0] == '\0') {
        return error_set(LOOM_EUSAGE, "a source needs --bind ENDPOINT, where others fetch its stream");
    }
    return producer_new(&self->producer, self->endpoints, &settings);
}

/* Wait until every producer has described its stream. */
static int await_descriptions(struct runner *self)
{
    for (;;) {
        int status = pump_consumers(self);
        bool all = true;
        for (size_t i = 0; i < self->options.n_inputs; i++) {
            const struct stream_info *info = consumer_info(self->inputs[i].consumer);
            all = all && info != NULL;
            if (info != NULL) {
                self->infos[i] = *info;
            }
        }
        if (status < 0 || all) {
            return status;
        }
        if (stop_requested) {
            return error_set(LOOM_EINTERRUPTED, "interrupted before the inputs were there");
        }
        status = wait_for_sockets(self, POLL_MS);
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
    output->block = (uint64_t)self->options.block < fitting ? (uint64_t)self->options.block : fitting;
    output->block = output->block == 0 ? 1 : output->block;
    output->ring = is_source(self) ? UINT64_MAX : ((uint64_t)self->options.ring_mb << 20) / frame_bytes;
    for (size_t f = 0; f < n_fields && !is_source(self); f++) {
        self->out.fields[f] = calloc(output->block, fields[f].row_bytes);
        if (self->out.fields[f] == NULL) {
            return error_set(LOOM_EINTERNAL, "out of memory for a block of %ju frames",
                             (uintmax_t)output->block);
        }
    }
    status = identity_hash(output->id, stage->name, output->body, stage->params, self->state, self->infos,
                           self->options.n_inputs);
    return status < 0 || stage->output == STREAM_NONE ? status : stream_info_check(output);
}

static int make_folder(const char *path)
{
    char part[4096];
    size_t length = strlen(path);
    if (length >= sizeof part) {
        return error_set(LOOM_EUSAGE, "the path '%.100s...' is too long", path);
    }
    for (size_t i = 1; i <= length; i++) {
        if (path[i] == '/' || path[i] == '\0') {
            memcpy(part, path, i);
            part[i] = '\0';
            if (mkdir(part, 0777) != 0 && errno != EEXIST) {
                return error_set(LOOM_EIO, "cannot make the folder '%s': %s", part, strerror(errno));
            }
        }
    }
    return 0;
}

static int layer_path_of(const struct runner *self, char *path, size_t size)
{
    snprintf(path, size, "%s/layers", self->options.run);
    int status = make_folder(path);
    snprintf(path, size, "%s/layers/%s.h5", self->options.run, self->options.name);
    return status;
}

static int save_checkpoint(struct runner *self)
{
    uint64_t frame = position(self);
    char path[sizeof self->checkpoints.folder + 128];
    checkpoints_path(&self->checkpoints, frame, path, sizeof path);
    int status = stage_file_write(path, self->stage, &self->context, self->state, &self->output, frame);
    if (status == 0) {
        checkpoints_add(&self->checkpoints, frame);
    }
    return status;
}

/* Find where to begin: at the oldest checkpoint kept, else at frame 0, which is then kept as the first one.
 */
static int resume(struct runner *self, uint64_t *from)
{
    if (self->stage->resume != NULL) {
        return self->stage->resume(&self->context, self->state, from);
    }
    if (!has_checkpoints(self)) {
        return 0;
    }
    int status = make_folder(self->options.run);
    if (status == 0) {
        status = checkpoints_open(&self->checkpoints, self->options.run, self->options.name);
    }
    if (status < 0 || self->checkpoints.count == 0) {
        return status;
    }
    char path[sizeof self->checkpoints.folder + 128];
    *from = self->checkpoints.frames[0];
    checkpoints_path(&self->checkpoints, *from, path, sizeof path);
    status = stage_file_read(path, self->stage, &self->context, self->state, &self->output);
    if (status == 0) {
        checkpoints_rewind(&self->checkpoints);
        log_info("continues at frame %ju", (uintmax_t)*from);
    }
    return status;
}

static int start(struct runner *self)
{
    uint64_t from[STAGE_INPUTS_MAX] = {0};
    int status = resume(self, from);
    size_t most = is_sequential(self) ? (size_t)self->output.block : 1;
    for (size_t i = 0; status == 0 && i < self->options.n_inputs; i++) {
        status = consumer_start(self->inputs[i].consumer, from[i], most, "");
    }
    if (status == 0 && self->producer != NULL) {
        status = producer_start(self->producer, &self->output, from[0]);
    }
    if (status == 0 && has_checkpoints(self) && self->checkpoints.count == 0) {
        status = save_checkpoint(self);
    }
    self->saved = position(self);
    self->saved_ms = self->fed_ms = self->progress_ms = clock_ms();
    self->progress_frame = self->saved;
    return status;
}

static int set_up(struct runner *self)
{
    const struct stage_options *options = &self->options;
    self->context.name = options->name;
    self->context.run = options->run;
    int status = 0;
    self->opened = true;
    if (self->stage->open != NULL) {
        status = self->stage->open(&self->context, self->state);
    }
    struct endpoint_keys keys = {options->curve_key, options->curve_peers};
    if (status == 0) {
        status = endpoint_context_new(&self->endpoints, &keys);
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

/* ---- telemetry ---- */

static uint64_t passes_of(const struct stream_info *info)
{
    return info->total == UINT64_MAX ? 0 : info->pass == 0 ? 1 : (info->total + info->pass - 1) / info->pass;
}

static void report_progress(struct runner *self, bool now)
{
    int64_t ms = clock_ms(), due = self->options.log == LOG_JSON ? PROGRESS_JSON_MS : PROGRESS_TEXT_MS;
    if (is_viewer(self) || (!now && (self->drained || ms - self->progress_ms < due))) {
        return;
    }
    struct metric metrics[STREAM_METRICS_MAX];
    size_t n =
        self->stage->progress == NULL ? 0 : self->stage->progress(&self->context, self->state, metrics);
    const struct stream_info *info = self->options.n_inputs > 0 ? &self->infos[0] : &self->output;
    uint64_t frame = is_source(self) ? position(self) : consumer_position(self->inputs[0].consumer);
    uint64_t total = info->total == UINT64_MAX ? 0 : info->total;
    uint64_t done = info->pass == 0 ? 0 : frame / info->pass;
    uint64_t passes = passes_of(info), pass = done < passes ? done + 1 : passes;
    double seconds = (double)(ms - self->progress_ms) / 1000.0;
    double rate = seconds > 0 ? (double)(frame - self->progress_frame) / seconds : 0;
    log_progress(frame, total, pass, passes, frame < self->progress_frame ? 0 : rate, metrics, n);
    self->progress_ms = ms;
    self->progress_frame = frame;
}

/* Show the weights to those who look: at the end of a pass, and at once to somebody new. */
static int show_weights(struct runner *self, bool pass_ended)
{
    bool fresh = false;
    if (self->producer == NULL || self->stage->weights == NULL ||
        !producer_tapped(self->producer, "weights", &fresh) || (!pass_ended && !fresh)) {
        return 0;
    }
    struct stage_weights weights = {.data = NULL};
    int status = self->stage->weights(&self->context, self->state, &weights);
    if (status < 0 || weights.data == NULL) {
        return status;
    }
    uint64_t frame = position(self), pass = self->output.pass;
    return producer_send_weights(self->producer, &weights, frame, pass == 0 ? 0 : frame / pass);
}

/* ---- processing ---- */

static int end_pass(struct runner *self, struct block *out)
{
    out->n_metrics = 0;
    int status = self->stage->end_pass == NULL
                     ? 0
                     : self->stage->end_pass(&self->context, self->state, out->metrics, &out->n_metrics);
    if (status < 0) {
        return status;
    }
    log_pass(self->context.pass + 1, out->metrics, out->n_metrics);
    if (self->producer != NULL && producer_tapped(self->producer, "metrics", NULL)) {
        status = producer_send_metrics(self->producer, out->metrics, out->n_metrics, position(self),
                                       self->context.pass + 1);
    }
    return status;
}

/* One block of a stage with passes. *did: there was input for a whole block, and room. */
static int process_block(struct runner *self, bool *did)
{
    struct consumer *consumer = self->inputs[0].consumer;
    const struct stream_info *output = &self->output;
    uint64_t from = consumer_position(consumer), pass = output->pass == 0 ? output->total : output->pass;
    uint64_t in_pass = output->pass == 0 ? from : from % pass;
    uint64_t n = output->block - in_pass % output->block;
    n = n < pass - in_pass ? n : pass - in_pass;
    n = n < output->total - from ? n : output->total - from;
    struct block in;
    *did = false;
    if (n == 0 || (self->producer != NULL && !producer_has_room(self->producer, output->block))) {
        return 0;
    }
    int status = consumer_take(consumer, (size_t)n, &in);
    if (status < 0 || in.n == 0) {
        return status;
    }
    *did = true;
    self->context.pass = output->pass == 0 ? 0 : from / pass;
    if (in_pass == 0 && self->stage->begin_pass != NULL) {
        status = self->stage->begin_pass(&self->context, self->state);
    }
    self->out.seq = from;
    self->out.n = in.n;
    self->out.n_metrics = 0;
    if (status == 0) {
        status = self->stage->process(&self->context, self->state, 0, &in,
                                      self->producer == NULL ? NULL : &self->out);
    }
    bool pass_ended = in_pass + n == pass || from + n == output->total;
    if (status == 0 && pass_ended) {
        status = end_pass(self, &self->out);
    }
    self->torn = status < 0;
    if (status == 0 && self->producer != NULL) {
        status = producer_append(self->producer, &self->out);
    }
    return status == 0 ? show_weights(self, pass_ended) : status;
}

/* Whatever has come at each input of a leaf that only takes. */
static int process_inputs(struct runner *self, bool *did)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < self->options.n_inputs; i++) {
        struct block in;
        size_t n = consumer_ready(self->inputs[i].consumer);
        if (n == 0) {
            continue;
        }
        status = consumer_take(self->inputs[i].consumer, n, &in);
        if (status == 0 && in.n > 0) {
            *did = true;
            self->context.pass = self->infos[i].pass == 0 ? 0 : in.seq / self->infos[i].pass;
            status = self->stage->process(&self->context, self->state, i, &in, NULL);
            self->torn = status < 0;
        }
    }
    return status;
}

/* ---- taps ---- */

static int read_tap(struct runner *self, struct tap_peer *tap, const zmq_msg_t *payload)
{
    static struct message message; /* large, and this process has one thread that reads */
    if (message_read(&message, zmq_msg_data((zmq_msg_t *)(uintptr_t)payload), zmq_msg_size(payload)) < 0 ||
        message.type != MESSAGE_WEIGHTS || self->stage->tap == NULL) {
        log_warning("a tap sends what cannot be used: %s", error_message());
        return 0;
    }
    tap->dropped += message.count > tap->next && tap->next > 0 ? message.count - tap->next : 0;
    tap->next = message.count + 1;
    float *data = malloc(message.fields[0].bytes); /* aligned */
    if (data == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for a layer's weights");
    }
    memcpy(data, message.fields[0].data, message.fields[0].bytes);
    struct stage_tap seen = {.id = message.info.id,
                             .stage = message.info.stage,
                             .name = message.info.name,
                             .frame = message.seq,
                             .pass = message.pass,
                             .dropped = tap->dropped,
                             .weights = {data, (size_t)message.rows, (size_t)message.cols,
                                         message.info.grid_x, message.info.grid_y,
                                         (size_t)message.input_width, (size_t)message.input_height}};
    int status = self->stage->tap(&self->context, self->state, &seen);
    free(data);
    return status;
}

static int pump_taps(struct runner *self)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < self->options.n_taps; i++) {
        zmq_msg_t topic, payload;
        zmq_msg_init(&topic);
        zmq_msg_init(&payload);
        while (status == 0 && zmq_msg_recv(&topic, self->taps[i].socket, ZMQ_DONTWAIT) >= 0 &&
               zmq_msg_more(&topic) && zmq_msg_recv(&payload, self->taps[i].socket, ZMQ_DONTWAIT) >= 0) {
            status = read_tap(self, &self->taps[i], &payload);
        }
        zmq_msg_close(&topic);
        zmq_msg_close(&payload);
    }
    return status;
}

/* ---- durability ---- */

/* Tell the producers what is durable here. */
static void acknowledge(struct runner *self)
{
    if (has_checkpoints(self)) {
        uint64_t below = self->producer == NULL ? UINT64_MAX : producer_ack(self->producer);
        consumer_ack(self->inputs[0].consumer, checkpoints_prune(&self->checkpoints, below));
    } else if (self->stage->flush == NULL) {
        for (size_t i = 0; i < self->options.n_inputs; i++) {
            consumer_ack(self->inputs[i].consumer, consumer_position(self->inputs[i].consumer));
        }
    }
}

/* Make everything up to here durable. */
static int save(struct runner *self)
{
    int status = 0;
    if (has_checkpoints(self)) {
        status = save_checkpoint(self);
    } else if (self->stage->flush != NULL) {
        status = self->stage->flush(&self->context, self->state);
        for (size_t i = 0; status == 0 && i < self->options.n_inputs; i++) {
            consumer_ack(self->inputs[i].consumer, consumer_position(self->inputs[i].consumer));
        }
    }
    self->saved = position(self);
    self->saved_ms = clock_ms();
    return status;
}

static bool save_is_due(const struct runner *self)
{
    uint64_t unsaved = position(self) - self->saved;
    if (unsaved == 0 || is_source(self)) {
        return false;
    }
    int64_t ms = clock_ms();
    bool pressed = false; /* the producer may soon have to wait for our acknowledgement */
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        pressed = pressed || unsaved >= self->infos[i].ring / 4;
    }
    return pressed || (double)(ms - self->saved_ms) >= self->options.checkpoint_s * 1000.0 ||
           (ms - self->fed_ms >= STARVED_MS && ms - self->saved_ms >= STARVED_MS);
}

static int save_layer(struct runner *self)
{
    char path[4096 + 128];
    if (self->stage->save == NULL || is_source(self)) {
        return 0;
    }
    int status = layer_path_of(self, path, sizeof path);
    if (status == 0) {
        status =
            stage_file_write(path, self->stage, &self->context, self->state, &self->output, position(self));
    }
    return status;
}

/* ---- the loop ---- */

static int drain(struct runner *self)
{
    int status = self->stage->drain == NULL ? 0 : self->stage->drain(&self->context, self->state);
    if (status == 0) {
        status = save(self);
    }
    if (status == 0) {
        status = save_layer(self);
    }
    self->drained = true;
    report_progress(self, true);
    return status;
}

/* Whether all is said and done; a producer that has gone silent is not waited for long: our work is safe. */
static bool is_finished(struct runner *self)
{
    if (is_viewer(self)) { /* one without taps has only files to show; others look until they are stopped */
        return self->options.n_taps == 0;
    }
    if (self->producer != NULL && !producer_finished(self->producer)) {
        return false;
    }
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        const struct consumer *consumer = self->inputs[i].consumer;
        if (!consumer_confirmed(consumer) && consumer_silence_ms(consumer) < FAREWELL_MS) {
            return false;
        }
    }
    return is_source(self) || self->drained;
}

/* One turn; *did: a block was processed, so there may be more to do at once. */
static int turn(struct runner *self, bool *did)
{
    *did = false;
    int status = self->producer == NULL ? 0 : producer_pump(self->producer);
    if (status == 0) {
        status = pump_taps(self);
    }
    if (status == 0) {
        status = show_weights(self, false);
    }
    if (status == 0) {
        acknowledge(self);
        status = pump_consumers(self);
        if (status == LOOM_EPEER && self->drained) {
            status = 0; /* see is_finished */
        }
    }
    if (status == 0 && !self->drained && !self->halted && self->options.n_inputs > 0) {
        status = is_sequential(self) ? process_block(self, did) : process_inputs(self, did);
        self->fed_ms = *did ? clock_ms() : self->fed_ms;
    }
    if (status == 0 && !self->halted && save_is_due(self)) {
        status = save(self);
    }
    if (status == 0 && !self->drained && !self->halted && all_ended(self) && !is_viewer(self)) {
        status = drain(self);
    }
    report_progress(self, false);
    return status;
}

/* Save everything, the layer file too. */
static int save_all(struct runner *self)
{
    int status = save(self);
    return status < 0 ? status : save_layer(self);
}

/* Asked to stop: take what is on its way, save, let the readers do the same. *stopped: that is over. */
static int halt(struct runner *self, bool *stopped)
{
    int64_t ms = clock_ms();
    *stopped = is_source(self) || is_viewer(self);
    if (*stopped) {
        return 0;
    }
    self->stop_ms = self->stop_ms == 0 ? ms : self->stop_ms;
    if (!self->halted) {
        if (!self->drained && ms - self->fed_ms < QUIET_MS && ms - self->stop_ms < HALT_MS) {
            return 0;
        }
        self->halted = true;
        self->halt_ms = ms;
        return self->drained ? 0 : save_all(self);
    }
    bool awaited = self->producer != NULL && producer_ack(self->producer) < position(self);
    *stopped = ms - self->halt_ms >= PARTING_MS && (!awaited || ms - self->stop_ms >= STOP_MS);
    return 0;
}

static int run_loop(struct runner *self)
{
    bool did = false, stopped = false;
    while (!stopped && !is_finished(self)) {
        int status = wait_for_sockets(self, did ? 0 : self->halted ? PARTING_MS / 2 : POLL_MS);
        if (status == 0) {
            status = turn(self, &did);
        }
        if (status == 0 && stop_requested) {
            status = halt(self, &stopped);
        }
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

/* The loop has ended before the stream. Returns the exit status. */
static int stop(struct runner *self, int status)
{
    char why[1024];
    snprintf(why, sizeof why, "%s", error_message());
    bool complete =
        self->drained || is_viewer(self) || (is_source(self) && producer_finished(self->producer));
    int saved = 0;
    if (is_viewer(self) && self->stage->drain != NULL) {
        saved = self->stage->drain(&self->context, self->state);
    } else if (!complete && !is_source(self) && !self->halted) {
        saved = save_all(self); /* a peer has failed: keep what was learned */
    }
    if (saved < 0) {
        return saved;
    }
    if (status < 0) {
        return error_set((enum loom_status)status, "%s", why);
    }
    return complete ? 0
                    : error_set(LOOM_EINTERRUPTED, "interrupted at frame %ju; the state is saved",
                                (uintmax_t)position(self));
}

/* Errors of the peers leave the state whole; others may not. */
static bool state_is_whole(const struct runner *self, int status)
{
    return (status == LOOM_EPEER || status == LOOM_EDATA) && !self->torn;
}

static int run(struct runner *self)
{
    int status = set_up(self);
    if (status < 0) {
        return status;
    }
    if (self->output.body[0] != '\0') {
        log_info("computes with body '%s'", self->output.body);
    }
    status = run_loop(self);
    if ((status == 0 && (stop_requested || is_viewer(self))) || state_is_whole(self, status)) {
        return stop(self, status);
    }
    return status;
}

static void tear_down(struct runner *self)
{
    if (self->opened && self->stage->close != NULL) {
        self->stage->close(&self->context, self->state);
    }
    for (size_t i = 0; i < STAGE_INPUTS_MAX; i++) {
        consumer_destroy(&self->inputs[i].consumer);
        endpoint_close(&self->taps[i].socket);
    }
    producer_destroy(&self->producer);
    endpoint_context_destroy(&self->endpoints);
    for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
        free(self->out.fields[f]);
    }
}

static void handle_signals(void)
{
    struct sigaction stop_action = {.sa_handler = request_stop};
    struct sigaction ignore_action = {.sa_handler = SIG_IGN};
    sigemptyset(&stop_action.sa_mask);
    sigaction(SIGINT, &stop_action, NULL);
    sigaction(SIGTERM, &stop_action, NULL);
    sigaction(SIGHUP, &stop_action, NULL);
    sigaction(SIGPIPE, &ignore_action, NULL); /* a write says EPIPE instead */
}

int stage_main(const struct stage *stage, int argc, char **argv)
{
    struct runner *self = calloc(1, sizeof *self);
    void *state = calloc(1, stage->state_bytes > 0 ? stage->state_bytes : 1);
    enum stage_request request = STAGE_RUN;
    int status = LOOM_EINTERNAL;
    log_open(stage->name, false);
    if (self == NULL || state == NULL) {
        status = error_set(LOOM_EINTERNAL, "out of memory");
        goto done;
    }
    self->stage = stage;
    self->state = state;
    status = stage_options_parse(stage, argc, argv, &self->options, state, &request);
    if (status == 0 && request == STAGE_SPEC) {
        stage_options_write_spec(stage, stdout);
    } else if (status == 0) {
        log_open(self->options.name, self->options.log == LOG_JSON);
        handle_signals();
        status = run(self);
    }
done:
    if (status == LOOM_EINTERRUPTED) {
        log_info("%s", error_message());
    } else if (status < 0) {
        log_error("%s", error_message());
    }
    if (self != NULL) {
        tear_down(self);
        stage_options_fini(stage, &self->options, state);
    }
    free(state);
    free(self);
    return -status;
}

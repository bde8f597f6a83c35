/* The runner of a stage: blocks, passes, taps and telemetry. See runner.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "clock.h"
#include "log.h"
#include "message.h"
#include "runner.h"

#define PROGRESS_JSON_MS 500  /* between two progress lines for the launcher */
#define PROGRESS_TEXT_MS 5000 /* and for a person */

#define SHOW_PAUSE 200 /* times the time that showing the weights took: until they are shown again */
#define LOOK_PAUSE 50  /* times the time that looking at taps took: until they are looked at again */

/* ---- telemetry ---- */

static uint64_t passes_of(const struct stream_info *info)
{
    return info->total == UINT64_MAX ? 0 : info->pass == 0 ? 1 : (info->total + info->pass - 1) / info->pass;
}

/* The stream by which a stage's progress is told: of several inputs, the one that ends last. */
static const struct stream_info *longest_stream(const struct runner *self)
{
    const struct stream_info *longest = self->options.n_inputs > 0 ? &self->infos[0] : &self->output;
    for (size_t i = 1; i < self->options.n_inputs; i++) {
        longest = self->infos[i].total > longest->total ? &self->infos[i] : longest;
    }
    return longest;
}

/* Frames done: of several inputs, of the one that is least far and has not ended; of the one that went furthest if all
 * have. */
static uint64_t frames_done(const struct runner *self)
{
    uint64_t least = UINT64_MAX, most = 0;
    if (runner_is_source(self)) {
        return runner_position(self);
    }
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        uint64_t position = consumer_position(self->consumers[i]);
        most = position > most ? position : most;
        least = position < least && !consumer_ended(self->consumers[i]) ? position : least;
    }
    return least < UINT64_MAX ? least : most;
}

static struct log_queue queue_of(struct runner *self)
{
    struct log_queue queue = {.input = UINT64_MAX, .held = UINT64_MAX, .ring = UINT64_MAX};
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        queue.input = (i == 0 ? 0 : queue.input) + consumer_waiting(self->consumers[i]);
    }
    if (self->producer != NULL) {
        queue.held = producer_held(self->producer);
        queue.ring = runner_is_source(self) ? UINT64_MAX : self->output.ring;
    }
    return queue;
}

/* The line, with the load as it was measured last. */
static void tell_progress(struct runner *self)
{
    if (runner_is_viewer(self)) {
        log_alive(&self->load.shares);
        return;
    }
    struct metric metrics[STREAM_METRICS_MAX];
    size_t n =
        self->stage->progress == NULL ? 0 : self->stage->progress(&self->context, self->state, metrics);
    const struct stream_info *info = longest_stream(self);
    uint64_t frame = frames_done(self);
    uint64_t done = info->pass == 0 ? 0 : frame / info->pass, passes = passes_of(info);
    struct log_progress progress = {.frame = frame,
                                    .frames = info->total == UINT64_MAX ? 0 : info->total,
                                    .pass = done < passes ? done + 1 : passes,
                                    .passes = passes,
                                    .rate = self->load.rate,
                                    .shares = self->load.shares,
                                    .queue = queue_of(self),
                                    .metrics = metrics,
                                    .n_metrics = n};
    log_progress(&progress);
}

void runner_report_begin(struct runner *self)
{
    if (self->options.log == LOG_JSON) {
        tell_progress(self);
    }
}

void runner_report_progress(struct runner *self, bool now)
{
    int64_t ms = clock_ms(), due = self->options.log == LOG_JSON ? PROGRESS_JSON_MS : PROGRESS_TEXT_MS;
    if (now || (!self->drained && ms - self->progress_ms >= due)) {
        self->progress_ms = ms;
        load_measure(&self->load, runner_is_viewer(self) ? 0 : frames_done(self));
        tell_progress(self);
    }
}

int runner_show_weights(struct runner *self, bool pass_ended)
{
    bool fresh = false;
    if (self->producer == NULL || self->stage->weights == NULL ||
        !producer_tapped(self->producer, TAP_WEIGHTS, &fresh) || (!pass_ended && !fresh)) {
        return 0;
    }
    int64_t begin_us = clock_us();
    if (!fresh && begin_us < self->show_us && !runner_all_ended(self)) {
        return 0;
    }
    struct stage_weights weights = {.data = NULL};
    int status = self->stage->weights(&self->context, self->state, &weights);
    if (status < 0 || weights.data == NULL) {
        return status;
    }
    uint64_t frame = runner_position(self), pass = self->output.pass;
    status = producer_send_weights(self->producer, &weights, frame, pass == 0 ? 0 : frame / pass);
    int64_t end_us = clock_us();
    self->show_us = end_us + SHOW_PAUSE * (end_us - begin_us);
    return status;
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
    if (self->options.log == LOG_JSON) {
        runner_report_progress(self, true); /* so that the launcher knows how many passes there are */
    }
    log_pass(self->context.pass + 1, out->metrics, out->n_metrics);
    if (self->producer != NULL && producer_tapped(self->producer, TAP_METRICS, NULL)) {
        status = producer_send_metrics(self->producer, out->metrics, out->n_metrics, runner_position(self),
                                       self->context.pass + 1);
    }
    return status;
}

void runner_plan_input(struct runner *self)
{
    uint64_t from = consumer_position(self->consumers[0]), end = UINT64_MAX;
    self->needed = from;
    if (self->stage->needs != NULL) {
        self->stage->needs(&self->context, self->state, from, &self->needed, &end);
        consumer_limit(self->consumers[0], self->needed > from ? from : end);
    }
}

/* The next n frames of the input, or only their numbers if nobody needs more; in->n is 0 if they have not
 * come. */
static int take_input(struct runner *self, uint64_t n, struct block *in)
{
    struct consumer *consumer = self->consumers[0];
    uint64_t from = consumer_position(consumer);
    if (self->needed < from + n) {
        return consumer_take(consumer, (size_t)n, in);
    }
    consumer_skip(consumer, from + n);
    *in = (struct block){.seq = from, .n = (size_t)n};
    return 0;
}

int runner_process_block(struct runner *self, bool *did)
{
    struct consumer *consumer = self->consumers[0];
    const struct stream_info *output = &self->output;
    uint64_t from = consumer_position(consumer), pass = output->pass == 0 ? output->total : output->pass;
    uint64_t in_pass = output->pass == 0 ? from : from % pass;
    uint64_t n = stream_block_end(output, from, output->block) - from;
    struct block in;
    *did = false;
    self->no_room = n > 0 && self->producer != NULL && !producer_has_room(self->producer, output->block);
    if (n == 0 || self->no_room) {
        return 0;
    }
    int status = take_input(self, n, &in);
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
    self->pass_open = !pass_ended;
    if (status == 0 && pass_ended) {
        status = end_pass(self, &self->out);
    }
    self->torn = status < 0;
    if (status == 0 && self->producer != NULL) {
        status = producer_append(self->producer, &self->out);
    }
    runner_plan_input(self);
    return status == 0 ? runner_show_weights(self, pass_ended) : status;
}

int runner_gather(struct runner *self)
{
    if (self->stage->gather == NULL) {
        return 0;
    }
    bool described = self->output.id[0] != '\0';
    uint64_t ack = described ? producer_ack(self->producer) : 0;
    self->extent = (struct stage_extent){.fd = -1, .total = UINT64_MAX};
    int status = self->stage->gather(&self->context, self->state, ack, &self->extent);
    if (status < 0 || !described) {
        return status;
    }
    self->output.total = self->extent.total;
    return producer_set_extent(self->producer, self->extent.base, self->extent.head, self->extent.total);
}

int runner_learn_totals(struct runner *self)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < self->options.n_inputs; i++) {
        uint64_t total = consumer_info(self->consumers[i])->total;
        if (total == self->infos[i].total) {
            continue;
        }
        self->infos[i].total = total;
        if (i == 0 && self->output.total == UINT64_MAX) {
            self->output.total = total;
            status = self->producer == NULL ? 0 : producer_set_total(self->producer, total);
        }
    }
    return status;
}

int runner_end_open_pass(struct runner *self)
{
    bool open = self->pass_open;
    self->pass_open = false;
    return open ? end_pass(self, &self->out) : 0;
}

/* Move all inputs to the oldest frame that every one of them still holds. */
static int align_inputs(struct runner *self)
{
    uint64_t first = 0;
    size_t latest = 0;
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        uint64_t position = consumer_position(self->consumers[i]);
        if (!consumer_settled(self->consumers[i])) {
            return 0;
        }
        latest = position > first ? i : latest;
        first = position > first ? position : first;
    }
    self->aligned = true;
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        uint64_t total = consumer_info(self->consumers[i])->total;
        if (first > total) {
            return error_set(LOOM_EDATA,
                             "%s ends at frame %" PRIu64 ", but %s holds frames from %" PRIu64
                             " on only: they have none in common; record them apart",
                             self->infos[i].name, total, self->infos[latest].name, first);
        }
        if (consumer_position(self->consumers[i]) < first) {
            consumer_skip(self->consumers[i], first);
            consumer_ack(self->consumers[i], first);
            self->aligned = false; /* until what it holds there has come, too */
        }
    }
    return 0;
}

int runner_process_inputs(struct runner *self, bool *did)
{
    int status = self->aligned ? 0 : align_inputs(self);
    for (size_t i = 0; status == 0 && self->aligned && i < self->options.n_inputs; i++) {
        struct block in;
        size_t n = consumer_ready(self->consumers[i]);
        if (n == 0) {
            continue;
        }
        status = consumer_take(self->consumers[i], n, &in);
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

/* Look at a tap's newest message. */
static int read_tap(struct runner *self, struct tap_peer *tap)
{
    static struct message message; /* large, and this process has one thread that reads */
    if (message_read(&message, zmq_msg_data(&tap->newest), zmq_msg_size(&tap->newest)) < 0 ||
        message.type != MESSAGE_WEIGHTS || self->stage->tap == NULL) {
        tap->refused++;
        if ((tap->refused & (tap->refused - 1)) == 0) { /* 1, 2, 4, 8...: a flood does not fill the log */
            log_warning("a tap sends what are no weights (%ju so far, passed over)", (uintmax_t)tap->refused);
        }
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

/* Take what has come of a tap, and keep the newest. */
static void receive_tap(struct tap_peer *tap)
{
    zmq_msg_t topic, payload;
    zmq_msg_init(&topic);
    zmq_msg_init(&payload);
    while (zmq_msg_recv(&topic, tap->socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&topic) &&
           zmq_msg_recv(&payload, tap->socket, ZMQ_DONTWAIT) >= 0) {
        zmq_msg_move(&tap->newest, &payload);
        tap->waiting = true;
    }
    zmq_msg_close(&topic);
    zmq_msg_close(&payload);
}

int runner_pump_taps(struct runner *self)
{
    int status = 0;
    bool waiting = false;
    for (size_t i = 0; i < self->options.n_taps; i++) {
        receive_tap(&self->taps[i]);
        waiting = waiting || self->taps[i].waiting;
    }
    int64_t begin_us = waiting ? clock_us() : 0;
    if (!waiting || begin_us < self->look_us) {
        return 0;
    }
    for (size_t i = 0; status == 0 && i < self->options.n_taps; i++) {
        struct tap_peer *tap = &self->taps[i];
        if (tap->waiting) {
            status = read_tap(self, tap);
            tap->waiting = false;
            zmq_msg_close(&tap->newest);
            zmq_msg_init(&tap->newest);
        }
    }
    int64_t end_us = clock_us();
    self->look_us = end_us + LOOK_PAUSE * (end_us - begin_us);
    return status;
}

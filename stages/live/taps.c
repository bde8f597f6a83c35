/* See taps.h. */
#include "taps.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "clock.h"
#include "log.h"
#include "message.h"
#include "sampler.h"
#include "source.h"
#include "taps_parts.h"

#define DATA_HWM 32      /* messages of frames queued here for each tap */
#define OTHER_HWM 4      /* of weights and the rest */
#define ASK_MS 1000      /* between two questions what a tap's stream is; two taps may have one name */
#define WEIGHTS_MS 2000  /* between two looks at a layer's weights */
#define TURN_MESSAGES 64 /* at most taken of a socket, then others have their turn */
#define TICK_MS 250      /* at most between two looks around */
#define SILENT_MS 10000  /* after which a stage's rate is not known any more */
#define LOOK_MS 2000     /* between two looks at the run's files */
#define IDLE_MS 1000     /* and while nobody looks */

void taps_subscribe(void *socket, bool on, const char *topic)
{
    const int failed = zmq_setsockopt(socket, on ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE, topic, strlen(topic));
    (void)failed; /* only for lack of memory; then it is tried again with the next clip */
}

void taps_refuse(struct tapped *tap)
{
    tap->refused++;
    if ((tap->refused & (tap->refused - 1)) == 0) {
        log_warning("live page: a message of tap %s is passed over (%ju so far): %s", tap->name,
                    (uintmax_t)tap->refused, error_message());
    }
}

/* ---- what is heard of stages ---- */

/* Take note of how far a stage is. */
static void note_frame(struct taps *self, struct tapped *tap, uint64_t frame)
{
    const int64_t now_ms = clock_ms(), ms = now_ms - tap->frame_ms;
    pthread_mutex_lock(&self->lock);
    if (frame < tap->frame || tap->frame_ms == 0) {
        tap->rate = NAN;
        tap->frame = frame;
        tap->frame_ms = now_ms;
    } else if (ms >= 500) { /* messages come in bursts */
        tap->rate = (double)(frame - tap->frame) * 1000.0 / (double)ms;
        tap->frame = frame;
        tap->frame_ms = now_ms;
    }
    pthread_mutex_unlock(&self->lock);
}

static void note_name(struct taps *self, struct tapped *tap, const struct stream_info *info)
{
    pthread_mutex_lock(&self->lock);
    snprintf(tap->name, sizeof tap->name, "%s", info->name);
    snprintf(tap->stage, sizeof tap->stage, "%s", info->stage);
    pthread_mutex_unlock(&self->lock);
}

/* Whether a stage is there already: of two taps of one name the first is told of. */
static bool is_told(const struct run_status *status, const char *name)
{
    size_t i = 0;
    while (i < status->n && strcmp(status->stages[i].name, name) != 0) {
        i++;
    }
    return i < status->n;
}

void taps_status(struct taps *self, struct run_status *status)
{
    *status = (struct run_status){.elapsed_s = NAN, .busy = NAN};
    snprintf(status->run, sizeof status->run, "%s", self->run);
    const int64_t now_ms = clock_ms();
    bool all_done = true, any_heard = false;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->n; i++) {
        const struct tapped *tap = &self->taps[i];
        const bool told = tap->name[0] == '\0' || is_told(status, tap->name);
        struct status_stage *stage = told ? NULL : status_add(status, tap->name, tap->stage);
        if (stage == NULL) {
            continue;
        }
        const uint64_t pass = tap->info.pass, total = tap->info.total;
        const bool done = tap->info.total != UINT64_MAX && tap->frame >= tap->info.total;
        const bool heard = tap->frame_ms != 0 && now_ms - tap->frame_ms < SILENT_MS;
        snprintf(stage->state, sizeof stage->state, "%s", done ? "done" : heard ? "running" : "");
        all_done = all_done && done;
        any_heard = any_heard || heard;
        stage->frame = (double)tap->frame;
        stage->frames = total == UINT64_MAX ? NAN : (double)total;
        const uint64_t number = pass == 0 ? 1 : tap->frame / pass + 1;
        stage->pass = (double)number;
        stage->passes = pass == 0 || total == UINT64_MAX ? NAN : ceil((double)total / (double)pass);
        stage->pass = stage->pass > stage->passes ? stage->passes : stage->pass;
        stage->rate = now_ms - tap->frame_ms < SILENT_MS ? tap->rate : NAN;
        memcpy(stage->metrics, tap->metrics, sizeof stage->metrics);
        stage->n_metrics = tap->n_metrics;
    }
    snprintf(status->state, sizeof status->state, "%s",
             status->n > 0 && all_done ? "finished"
             : any_heard               ? "running"
                                       : ""); /* not known */
    pthread_mutex_unlock(&self->lock);
}

/* ---- messages ---- */

static void take_stream(struct taps *self, struct tapped *tap)
{
    const struct stream_info *info = &self->message.info;
    note_name(self, tap, info);
    pthread_mutex_lock(&self->lock);
    tap->info = *info;
    pthread_mutex_unlock(&self->lock);
    if (strcmp(tap->serves, self->message.serves) != 0) { /* a stage that was started again elsewhere */
        endpoint_close(&tap->source);
    }
    snprintf(tap->serves, sizeof tap->serves, "%s", self->message.serves);
    tap->stream = scene_add_stream(self->scene, info);
    if (tap->stream < CLIP_STREAMS_MAX) {
        self->scene->streams[tap->stream].tapped = true;
        sampler_describe(&self->sampler, tap->stream, info);
    }
}

static int take_weights(struct taps *self, struct tapped *tap)
{
    const struct message *message = &self->message;
    struct layer_known layer = {.seq = message->seq,
                                .pass = message->pass,
                                .rows = (size_t)message->rows,
                                .cols = (size_t)message->cols,
                                .grid_x = message->info.grid_x,
                                .grid_y = message->info.grid_y,
                                .input_width = (size_t)message->input_width,
                                .input_height = (size_t)message->input_height};
    const size_t bytes = message->fields[0].bytes;
    float *data = malloc(bytes + 1); /* aligned */
    if (data == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for a layer's weights");
    }
    memcpy(data, message->fields[0].data, bytes);
    snprintf(layer.name, sizeof layer.name, "%s", message->info.name);
    snprintf(layer.stage, sizeof layer.stage, "%s", message->info.stage);
    snprintf(layer.id, sizeof layer.id, "%s", message->info.id);
    note_name(self, tap, &message->info);
    note_frame(self, tap, message->seq);
    const int status = scene_take_weights(self->scene, &layer, data);
    free(data);
    if (tap->looks_at_weights) { /* one is enough */
        taps_subscribe(tap->other, false, "weights");
        tap->looks_at_weights = false;
        tap->weights_ms = clock_ms() + WEIGHTS_MS;
    }
    return status;
}

static void take_metrics(struct taps *self, struct tapped *tap)
{
    const struct message *message = &self->message;
    note_name(self, tap, &message->info);
    note_frame(self, tap, message->seq);
    pthread_mutex_lock(&self->lock);
    tap->n_metrics = message->n_metrics;
    for (size_t i = 0; i < message->n_metrics; i++) {
        snprintf(tap->metrics[i].name, sizeof tap->metrics[i].name, "%s", message->metrics[i].name);
        tap->metrics[i].value = message->metrics[i].value;
    }
    pthread_mutex_unlock(&self->lock);
    scene_take_metrics(self->scene, message->info.name, message->pass, message->metrics, message->n_metrics);
}

/* Takes the payload over. */
static void take_data(struct taps *self, struct tapped *tap, zmq_msg_t *payload)
{
    const struct message *message = &self->message;
    const uint8_t *rows[STREAM_FIELDS_MAX] = {NULL};
    struct sampled *sampled = tap->stream < CLIP_STREAMS_MAX ? &self->sampler.streams[tap->stream] : NULL;
    const bool asked = sampled != NULL && sampled->apart;
    if (sampled == NULL || !self->sampling || strcmp(message->info.id, sampled->info.id) != 0) {
        if (sampled != NULL && self->sampling && clock_ms() - tap->asked_ms >= ASK_MS) {
            tap->asked_ms = clock_ms(); /* another stream now: ask what it is */
            taps_subscribe(tap->other, false, "stream");
            taps_subscribe(tap->other, true, "stream");
        }
        zmq_msg_close(payload);
        return;
    }
    if (message_rows(message, &sampled->info, rows) < 0) {
        taps_refuse(tap);
        zmq_msg_close(payload);
        return;
    }
    if (!asked) {
        note_frame(self, tap, message->seq + message->n);
    }
    sampler_add(&self->sampler, tap->stream, message->seq, message->n, payload, rows);
}

void taps_take_message(struct taps *self, struct tapped *tap, zmq_msg_t *payload)
{
    int status = message_read(&self->message, zmq_msg_data(payload), zmq_msg_size(payload));
    if (status == 0 && self->message.type == MESSAGE_DATA) {
        take_data(self, tap, payload);
        return;
    }
    if (status == 0 && self->message.type == MESSAGE_STREAM) {
        take_stream(self, tap);
    } else if (status == 0 && self->message.type == MESSAGE_WEIGHTS) {
        status = take_weights(self, tap);
    } else if (status == 0 && self->message.type == MESSAGE_METRICS) {
        take_metrics(self, tap);
    }
    if (status < 0) {
        taps_refuse(tap);
    }
    zmq_msg_close(payload);
}

/* Take what has come at a socket, a part of it if more comes all the time. */
static void receive(struct taps *self, struct tapped *tap, void *socket)
{
    for (int taken = 0; taken < TURN_MESSAGES; taken++) {
        zmq_msg_t topic, payload;
        zmq_msg_init(&topic);
        zmq_msg_init(&payload);
        const bool came = zmq_msg_recv(&topic, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&topic) &&
                          zmq_msg_recv(&payload, socket, ZMQ_DONTWAIT) >= 0;
        zmq_msg_close(&topic);
        if (!came) {
            zmq_msg_close(&payload);
            return;
        }
        taps_take_message(self, tap, &payload);
    }
}

/* ---- the thread ---- */

static void look_at_weights(struct taps *self, bool wanted)
{
    const int64_t now_ms = clock_ms();
    for (size_t i = 0; i < self->n; i++) {
        struct tapped *tap = &self->taps[i];
        if (tap->looks_at_weights != wanted && (!wanted || now_ms >= tap->weights_ms)) {
            taps_subscribe(tap->other, wanted, "weights");
            tap->looks_at_weights = wanted;
        }
    }
}

static int turn(struct taps *self, bool *anybody)
{
    const struct board_wants wants = board_wants(self->scene->board);
    struct run_status made_up = {.n = 0};
    int status = source_answer(self->scene, self->archive);
    const bool left = *anybody && wants.viewers == 0;
    *anybody = wants.viewers > 0;
    look_at_weights(self, wants.viewers > 0 && wants.weights);
    if (left || (wants.viewers == 0 && self->sampling)) { /* whoever comes next sees nothing old */
        taps_stop_sampling(self);
        board_withdraw(self->scene->board, BOARD_CLIP, "");
    }
    if (status == 0 && wants.viewers > 0) {
        status = taps_sample(self, &wants);
    }
    if (wants.viewers > 0 && self->archive != NULL && clock_ms() - self->looked_ms >= LOOK_MS) {
        archive_look(self->archive);
        self->looked_ms = clock_ms();
    }
    if (status == 0 && wants.viewers > 0) {
        taps_status(self, &made_up);
        status = scene_tell(self->scene, &wants, &made_up);
        status_fini(&made_up);
    }
    return status;
}

static void *look(void *argument)
{
    struct taps *self = argument;
    bool anybody = false;
    while (!atomic_load(&self->thread.over)) {
        zmq_pollitem_t items[3 * CLIP_STREAMS_MAX + 1];
        int n = 0;
        items[n++] = (zmq_pollitem_t){.fd = board_fd(self->scene->board), .events = ZMQ_POLLIN};
        for (size_t i = 0; i < self->n; i++) {
            items[n++] = (zmq_pollitem_t){.socket = self->taps[i].other, .events = ZMQ_POLLIN};
            items[n++] = (zmq_pollitem_t){.socket = self->taps[i].data, .events = ZMQ_POLLIN};
            if (self->taps[i].source != NULL) {
                items[n++] = (zmq_pollitem_t){.socket = self->taps[i].source, .events = ZMQ_POLLIN};
            }
        }
        zmq_poll(items, n, anybody ? TICK_MS : IDLE_MS);
        board_clear_fd(self->scene->board);
        for (size_t i = 0; i < self->n; i++) {
            receive(self, &self->taps[i], self->taps[i].other);
            receive(self, &self->taps[i], self->taps[i].data);
            taps_receive_fetched(self, &self->taps[i]);
        }
        if (turn(self, &anybody) < 0) {
            log_warning("live page: %s", error_message());
        }
    }
    return NULL;
}

int taps_new(struct taps **self_p, struct scene *scene, struct endpoint_context *endpoints,
             const char *const *taps, size_t n, struct archive *archive)
{
    struct taps *self = *self_p = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the live page");
    }
    self->scene = scene;
    self->archive = archive;
    snprintf(self->run, sizeof self->run, "%.127s", scene->run);
    self->endpoints = endpoints;
    pthread_mutex_init(&self->lock, NULL);
    int status = 0;
    for (size_t i = 0; i < n && i < CLIP_STREAMS_MAX && status == 0; i++) {
        struct tapped *tap = &self->taps[self->n++];
        tap->endpoint = taps[i];
        tap->stream = CLIP_STREAMS_MAX;
        tap->rate = NAN;
        tap->info.total = UINT64_MAX;
        status = endpoint_connect(endpoints, &tap->other, ZMQ_SUB, taps[i], OTHER_HWM, MESSAGE_REPLY_MAX);
        if (status == 0) {
            status = endpoint_connect(endpoints, &tap->data, ZMQ_SUB, taps[i], DATA_HWM, MESSAGE_REPLY_MAX);
        }
        if (status == 0) {
            taps_subscribe(tap->other, true, "stream");
            taps_subscribe(tap->other, true, "metrics");
        }
    }
    if (status == 0) {
        status = source_start(&self->thread, look, self);
    }
    if (status < 0) {
        taps_destroy(self_p);
    }
    return status;
}

void taps_destroy(struct taps **self_p)
{
    struct taps *self = *self_p;
    if (self == NULL) {
        return;
    }
    source_end(&self->thread, self->scene->board);
    sampler_clear(&self->sampler);
    for (size_t i = 0; i < self->n; i++) {
        endpoint_close(&self->taps[i].data);
        endpoint_close(&self->taps[i].other);
        endpoint_close(&self->taps[i].source);
    }
    pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

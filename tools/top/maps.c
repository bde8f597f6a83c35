/* See maps.h. */
#include "maps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "consumer.h"
#include "endpoint.h"
#include "local_endpoint.h"
#include "message.h"
#include "picture.h"
#include "watched.h"

#define TAP_ENDING ".tap"
#define TAP_HWM 1         /* messages of a tap that wait here */
#define ACTIVITY_MS 500   /* at least, between two looks */
#define WEIGHTS_MS 2000   /* the same, of weights, which are large, */
#define WEIGHTS_PAUSE 100 /* and times what they took to come */
#define WEIGHTS_MS_MAX 30000
#define TIMEOUT_MS 1000 /* after which a description is asked for again */
#define ROOM_FIRST 40   /* pixels a side, until it is known */
#define GAP 2           /* columns between two maps */

static const char *const topics[] = {[MAPS_ACTIVITY] = "data", [MAPS_WEIGHTS] = "weights"};

/* One stage. */
struct source {
    char *name;                /* as it is shown */
    int folder;                /* through which its sockets are reached; -1: none */
    void *subscriber;          /* to its tap; NULL: it cannot be reached, and shows no map */
    struct consumer *consumer; /* asks for the description; NULL once it is there, or not needed */
    struct stream_info info;
    bool described, subscribed;
    int64_t asked_ms, due_ms;
    struct picture picture;
};

struct maps {
    const char *folder;
    enum maps_kind kind;
    struct endpoint_keys keys;
    struct endpoint_context *context; /* NULL while nothing is shown */
    struct source sources[MAPS_MAX];
    size_t n;
    size_t room; /* pixels a side for each */
};

int maps_new(struct maps **self_p, const char *folder)
{
    *self_p = calloc(1, sizeof **self_p);
    if (*self_p == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for maps");
    }
    (*self_p)->folder = folder;
    (*self_p)->keys = (struct endpoint_keys){"", ""};
    (*self_p)->room = ROOM_FIRST;
    return 0;
}

static void close_all(struct maps *self)
{
    for (size_t i = 0; i < self->n; i++) {
        struct source *source = &self->sources[i];
        consumer_destroy(&source->consumer);
        endpoint_close(&source->subscriber);
        picture_free(&source->picture);
        free(source->name);
    }
    endpoint_context_destroy(&self->context);
    for (size_t i = 0; i < self->n; i++) { /* when no socket can try to connect through them any more */
        if (self->sources[i].folder >= 0) {
            close(self->sources[i].folder);
        }
        self->sources[i] = (struct source){.folder = -1};
    }
    self->n = 0;
}

void maps_destroy(struct maps **self_p)
{
    if (*self_p != NULL) {
        close_all(*self_p);
        free(*self_p);
        *self_p = NULL;
    }
}

/* ---- connecting ---- */

static bool is_known(const struct maps *self, const char *name)
{
    for (size_t i = 0; i < self->n; i++) {
        if (strcmp(self->sources[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The path of a stage's socket; a stage "MEMBER/NAME" of a sweep has its own in the member's folder. */
static char *socket_path(const struct maps *self, const char *name)
{
    char *path = NULL;
    const char *slash = strrchr(name, '/');
    int length =
        slash ? asprintf(&path, "%s/%.*s/sockets/%s", self->folder, (int)(slash - name), name, slash + 1)
              : asprintf(&path, "%s/sockets/%s", self->folder, name);
    return length < 0 ? NULL : path;
}

/* Connect to the tap at this path, and to the stream beside it for its description. */
static int connect_source(struct maps *self, struct source *source, const char *tap_path)
{
    char *tap = NULL;
    int status = local_endpoint(tap_path, &tap, &source->folder);
    if (status == 0) {
        status =
            endpoint_connect(self->context, &source->subscriber, ZMQ_SUB, tap, TAP_HWM, MESSAGE_REPLY_MAX);
    }
    if (status == 0 && self->kind == MAPS_ACTIVITY) {
        tap[strlen(tap) - strlen(TAP_ENDING)] = '\0';
        const struct consumer_settings settings = {
            .endpoint = tap, .who = "top", .timeout_ms = TIMEOUT_MS, .optional = true};
        status = consumer_new(&source->consumer, self->context, &settings);
    }
    free(tap);
    return status;
}

/* Add the stage of this name if it has a tap. One that cannot be reached takes its place all the same, without a map:
 * it is not tried again and again, and ends nothing. */
static int add_source(struct maps *self, const char *name)
{
    char *path = socket_path(self, name), *tap = NULL;
    int status = 0;
    if (path == NULL || asprintf(&tap, "%s" TAP_ENDING, path) < 0) {
        free(path);
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    if (access(path, F_OK) == 0 && access(tap, F_OK) == 0) {
        struct source *source = &self->sources[self->n++];
        source->folder = -1;
        source->name = strdup(name);
        status = source->name ? connect_source(self, source, tap)
                              : error_set(LOOM_EINTERNAL, "out of memory for a name");
    }
    if (status < 0 && status != LOOM_EINTERNAL) {
        status = 0;
    }
    free(tap);
    free(path);
    return status;
}

/* Generators have no weights. */
static bool has_map(const struct maps *self, const json_t *stage)
{
    return self->kind != MAPS_WEIGHTS || strcmp(json_text_of(stage, "kind"), "generate") != 0;
}

int maps_show(struct maps *self, enum maps_kind kind, const json_t *stages)
{
    int status = 0;
    if (kind != self->kind) {
        close_all(self);
    }
    self->kind = kind;
    if (kind == MAPS_NONE) {
        return 0;
    }
    if (self->context == NULL) {
        status = endpoint_context_new(&self->context, &self->keys);
    }
    for (size_t i = 0; status == 0 && self->n < MAPS_MAX && i < json_array_size(stages); i++) {
        const json_t *stage = json_array_get(stages, i);
        const char *name = json_text_of(stage, "name");
        if (*name && has_map(self, stage) && !is_known(self, name)) {
            status = add_source(self, name);
        }
    }
    return status;
}

size_t maps_sockets(const struct maps *self, zmq_pollitem_t *items)
{
    size_t n = 0;
    for (size_t i = 0; i < self->n; i++) {
        const struct source *source = &self->sources[i];
        if (source->subscriber != NULL) {
            items[n++] = (zmq_pollitem_t){.socket = source->subscriber, .events = ZMQ_POLLIN};
        }
        if (source->consumer != NULL) {
            items[n++] = (zmq_pollitem_t){.socket = consumer_socket(source->consumer), .events = ZMQ_POLLIN};
        }
    }
    return n;
}

/* ---- looking ---- */

/* Ask for the description of a stream; one that cannot be had shows no map. */
static void describe(struct source *source)
{
    if (source->consumer == NULL) {
        return;
    }
    bool failed = consumer_pump(source->consumer) < 0;
    const struct stream_info *info = consumer_info(source->consumer);
    if (info != NULL) {
        source->info = *info;
        source->described = true;
    }
    if (failed || info != NULL) {
        consumer_destroy(&source->consumer);
    }
}

/* The newest whole message that has come; false if there is none. Drops what was not asked for. */
static bool receive(struct source *source, zmq_msg_t *newest)
{
    bool any = false;
    zmq_msg_t topic, payload;
    zmq_msg_init(&topic);
    zmq_msg_init(&payload);
    while (zmq_msg_recv(&topic, source->subscriber, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&topic) &&
           zmq_msg_recv(&payload, source->subscriber, ZMQ_DONTWAIT) >= 0) {
        any = zmq_msg_move(newest, &payload) == 0 || any;
    }
    zmq_msg_close(&topic);
    zmq_msg_close(&payload);
    return any;
}

static int subscribe(struct source *source, enum maps_kind kind, bool on)
{
    int option = on ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE;
    source->subscribed = on;
    return zmq_setsockopt(source->subscriber, option, topics[kind], strlen(topics[kind])) == 0
               ? 0
               : error_set(LOOM_EINTERNAL, "cannot subscribe: %s", zmq_strerror(errno));
}

/* Make the picture of a message. What is of no use is passed over: the next one may be better. */
static int look(const struct maps *self, struct source *source, zmq_msg_t *newest, bool *fresh)
{
    static struct message message; /* large, and this process has one thread that reads */
    int status = message_read(&message, zmq_msg_data(newest), zmq_msg_size(newest));
    if (status == 0 && self->kind == MAPS_WEIGHTS && message.type == MESSAGE_WEIGHTS) {
        status = picture_of_weights(&source->picture, &message, self->room);
    } else if (status == 0 && self->kind == MAPS_ACTIVITY && message.type == MESSAGE_DATA) {
        status = picture_of_data(&source->picture, &message, &source->info);
    }
    *fresh = *fresh || status == 0;
    return status == LOOM_EDATA ? 0 : status;
}

static int pump_source(const struct maps *self, struct source *source, bool *fresh)
{
    enum maps_kind kind = self->kind;
    int64_t now = clock_ms();
    int status = 0;
    zmq_msg_t newest;
    if (source->subscriber == NULL) {
        return 0;
    }
    describe(source);
    zmq_msg_init(&newest);
    bool came = receive(source, &newest);
    if (came && source->subscribed) {
        int64_t took = now - source->asked_ms, pause = WEIGHTS_PAUSE * took;
        status = subscribe(source, kind, false);
        pause = pause < WEIGHTS_MS ? WEIGHTS_MS : pause < WEIGHTS_MS_MAX ? pause : WEIGHTS_MS_MAX;
        source->due_ms = now + (kind == MAPS_ACTIVITY ? ACTIVITY_MS : pause);
        status = status < 0 ? status : look(self, source, &newest, fresh);
    }
    zmq_msg_close(&newest);
    bool ready = kind == MAPS_WEIGHTS || source->described;
    if (status == 0 && ready && !source->subscribed && now >= source->due_ms) {
        source->asked_ms = now;
        status = subscribe(source, kind, true);
    }
    return status;
}

int maps_pump(struct maps *self, bool *fresh)
{
    int status = 0;
    *fresh = false;
    for (size_t i = 0; status == 0 && i < self->n; i++) {
        status = pump_source(self, &self->sources[i], fresh);
    }
    return status;
}

/* ---- drawing ---- */

void maps_draw(struct maps *self, struct screen *screen, int rows)
{
    const struct source *shown[MAPS_MAX];
    int n = 0, at = 0, lefts[MAPS_MAX], widths[MAPS_MAX], heights[MAPS_MAX], most = 0;
    for (size_t i = 0; i < self->n; i++) {
        if (self->sources[i].picture.values != NULL) {
            shown[n++] = &self->sources[i];
        }
    }
    int columns = n > 0 ? (screen->width - GAP * (n - 1)) / n : 0, pixels = 2 * (rows - 1);
    if (columns < 1 || pixels < 1) {
        return;
    }
    self->room = (size_t)(columns < pixels ? columns : pixels);
    for (int i = 0; i < n; i++) {
        char caption[sizeof shown[i]->picture.about + 64];
        picture_fit(&shown[i]->picture, columns, pixels, &widths[i], &heights[i]);
        snprintf(caption, sizeof caption, "%.48s: %s", shown[i]->name, shown[i]->picture.about);
        int length = screen_columns(caption);
        length = length < columns ? length : columns;
        lefts[i] = at;
        screen_tab(screen, at);
        screen_style(screen, STYLE_DIM);
        screen_field(screen, caption, length, false);
        at += (widths[i] > length ? widths[i] : length) + GAP;
        most = heights[i] > most ? heights[i] : most;
    }
    (void)screen_line(screen);
    for (int row = 0; row < most && screen_left(screen) > 0; row += 2) {
        for (int i = 0; i < n; i++) {
            screen_tab(screen, lefts[i]);
            if (row < heights[i]) {
                picture_draw_line(&shown[i]->picture, screen, widths[i], heights[i], row);
            }
        }
        (void)screen_line(screen);
    }
}

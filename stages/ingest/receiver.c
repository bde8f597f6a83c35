/* See receiver.h. */
#include "receiver.h"

#include <errno.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "log.h"
#include "message.h"
#include "stages/frame_values.h"
#include "wire.h"

#define KEYS_MAX 64
#define QUEUED 2 /* messages that wait in our memory: what a kill may cost a sender that pushes */
#define TAKE_BYTES ((size_t)4 << 20) /* in one go, before readers have their turn */

struct receiver {
    void *socket;
    char *endpoint;
    bool confirms;
    zmq_msg_t message; /* for which there was no room yet, */
    bool holding;      /* if there is one */
    uint64_t refused;  /* messages so far */
};

/* ---- understanding ---- */

static int bad(const char *key, const char *expected)
{
    return error_set(LOOM_EDATA, "malformed message: '%s' is not %s", key, expected);
}

/* The shape: [height, width] or [n, height, width], of which the last two must be ours. */
static int read_shape(struct wire_cursor *cursor, const struct wire_value *value,
                      const struct spool_shape *shape)
{
    uint64_t sides[3] = {0};
    if (value->type != WIRE_ARRAY || value->number < 2 || value->number > 3) {
        return bad("shape", "[height, width] or [n, height, width]");
    }
    for (size_t i = 0; i < value->number; i++) {
        struct wire_value side;
        if (!wire_read(cursor, &side) || side.type != WIRE_UNSIGNED) {
            return bad("shape", "a list of whole numbers");
        }
        sides[i] = side.number;
    }
    const uint64_t *own = sides + value->number - 2;
    return own[0] == shape->height && own[1] == shape->width
               ? 0
               : error_set(LOOM_EDATA, "a message with frames of %ju x %ju, not %zu x %zu", (uintmax_t)own[0],
                           (uintmax_t)own[1], shape->height, shape->width);
}

/* The value of a key that is ours. *known: it is. */
static int read_key(struct wire_cursor *cursor, const struct wire_value *key, const struct wire_value *value,
                    struct frames_message *message, uint64_t *bytes, const struct spool_shape *shape,
                    bool *known)
{
    *known = true;
    if (wire_text_is(key, "v")) {
        return value->type == WIRE_UNSIGNED && value->number == 1 ? 0 : bad("v", "1, the protocol's version");
    }
    if (wire_text_is(key, "data")) {
        message->data = value->bytes;
        *bytes = value->number;
        return value->type == WIRE_BINARY ? 0 : bad("data", "binary");
    }
    if (wire_text_is(key, "seq")) {
        message->seq = value->number;
        return value->type == WIRE_UNSIGNED ? 0 : bad("seq", "a whole number from 0 up");
    }
    if (wire_text_is(key, "eos")) {
        message->eos = value->number != 0;
        return value->type == WIRE_BOOLEAN ? 0 : bad("eos", "true or false");
    }
    if (wire_text_is(key, "dtype")) {
        const char *own = shape->dtype == STREAM_U1 ? "u1" : "f4";
        return wire_text_is(value, own) ? 0 : bad("dtype", own);
    }
    if (wire_text_is(key, "shape")) {
        return read_shape(cursor, value, shape);
    }
    *known = false;
    return 0;
}

static int read_pairs(struct wire_cursor *cursor, uint64_t pairs, struct frames_message *message,
                      uint64_t *bytes, const struct spool_shape *shape)
{
    for (uint64_t i = 0; i < pairs; i++) {
        struct wire_value key, value;
        struct wire_cursor before;
        bool known = false;
        if (!wire_read(cursor, &key) || key.type != WIRE_TEXT ||
            (before = *cursor, !wire_read(cursor, &value))) {
            return error_set(LOOM_EDATA, "malformed message: not a MessagePack map with texts as keys");
        }
        int status = read_key(cursor, &key, &value, message, bytes, shape, &known);
        if (status < 0) {
            return status;
        }
        if (!known) {
            *cursor = before;
            if (!wire_skip(cursor)) {
                return error_set(LOOM_EDATA, "malformed message: it ends early or is nested too deeply");
            }
        }
    }
    return cursor->at == cursor->end
               ? 0
               : error_set(LOOM_EDATA, "malformed message: bytes follow behind the map");
}

int frames_message_read(struct frames_message *message, const void *bytes, size_t size,
                        const struct spool_shape *shape)
{
    *message = (struct frames_message){.seq = UINT64_MAX};
    struct wire_cursor cursor = {bytes, (const uint8_t *)bytes + size};
    struct wire_value map;
    uint64_t data_bytes = 0;
    size_t pixels = shape->height * shape->width;
    size_t frame_bytes = pixels * (shape->dtype == STREAM_U1 ? sizeof(uint8_t) : sizeof(float));
    if (!wire_read(&cursor, &map) || map.type != WIRE_MAP || map.number > KEYS_MAX) {
        return error_set(LOOM_EDATA, "malformed message: not a MessagePack map of at most %d keys", KEYS_MAX);
    }
    int status = read_pairs(&cursor, map.number, message, &data_bytes, shape);
    if (status < 0) {
        return status;
    }
    message->n = data_bytes / frame_bytes;
    if (data_bytes % frame_bytes != 0) {
        return error_set(LOOM_EDATA,
                         "a message with %ju bytes of data, which is no number of frames of %zu bytes",
                         (uintmax_t)data_bytes, frame_bytes);
    }
    for (uint64_t i = 0; status == 0 && i < message->n && shape->dtype == STREAM_F4; i++) {
        status = frame_values_check(message->data + i * frame_bytes, shape->width, pixels);
        status = status < 0 ? error_prefix(status, "frame %ju of a message", (uintmax_t)i) : 0;
    }
    return status;
}

/* ---- answering ---- */

static void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str(packer, strlen(text));
    msgpack_pack_str_body(packer, text, strlen(text));
}

/* Tell a sender how many frames are safe, or why its message was refused (NULL: it was not). One that has
 * gone is no error. */
static int answer(struct receiver *self, const struct spool *spool, const char *why)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, why == NULL ? 3 : 4);
    pack_text(&packer, "v");
    msgpack_pack_uint64(&packer, 1);
    pack_text(&packer, "t");
    pack_text(&packer, why == NULL ? "accepted" : "err");
    pack_text(&packer, "frames");
    msgpack_pack_uint64(&packer, spool_head(spool));
    if (why != NULL) {
        pack_text(&packer, "why");
        pack_text(&packer, why);
    }
    int sent = zmq_send(self->socket, buffer.data, buffer.size, ZMQ_DONTWAIT);
    int failure = errno;
    msgpack_sbuffer_destroy(&buffer);
    return sent >= 0 || failure == EAGAIN || failure == EHOSTUNREACH
               ? 0
               : error_set(LOOM_EINTERNAL, "cannot answer at %s: %s", self->endpoint, zmq_strerror(failure));
}

static int refuse(struct receiver *self, const struct spool *spool)
{
    char why[512];
    snprintf(why, sizeof why, "%s", error_message());
    self->refused++;
    if ((self->refused & (self->refused - 1)) == 0) { /* 1, 2, 4, 8...: a flood does not fill the log */
        log_warning("%s: %s (%ju messages refused so far)", self->endpoint, why, (uintmax_t)self->refused);
    }
    return self->confirms ? answer(self, spool, why) : 0;
}

/* ---- taking ---- */

/* What a message lacks to be accepted now; 0 if nothing. *known: how many of its frames are there already. */
static int check_place(const struct frames_message *message, const struct spool *spool, uint64_t head,
                       uint64_t *known)
{
    *known = 0;
    if (spool_total(spool) != UINT64_MAX && (message->n > 0 || message->eos)) {
        bool again = message->n <= head && message->seq <= head - message->n;
        *known = again ? message->n : 0;
        return again ? 0
                     : error_set(LOOM_EDATA,
                                 "the stream has ended at frame %ju; begin anew in another run folder",
                                 (uintmax_t)head);
    }
    if (message->n > spool_capacity(spool)) {
        return error_set(LOOM_EDATA,
                         "a message of %ju frames is larger than the spool, which holds %ju; send fewer",
                         (uintmax_t)message->n, (uintmax_t)spool_capacity(spool));
    }
    if (message->seq == UINT64_MAX || message->seq == head) {
        return 0;
    }
    if (message->seq > head) {
        return error_set(LOOM_EDATA, "a message begins with frame %ju, but frame %ju is due",
                         (uintmax_t)message->seq, (uintmax_t)head);
    }
    *known = head - message->seq < message->n ? head - message->seq : message->n; /* sent again */
    return 0;
}

/* The message that is held. *done: it is dealt with; else there is no room. */
static int take_held(struct receiver *self, struct spool *spool, bool *done)
{
    struct frames_message message;
    const struct spool_shape *shape = spool_shape(spool);
    struct spool_mark mark = {.sender = 0};
    uint64_t known = 0;
    *done = true;
    int status =
        frames_message_read(&message, zmq_msg_data(&self->message), zmq_msg_size(&self->message), shape);
    if (status == 0) {
        status = check_place(&message, spool, spool_next(spool), &known);
    }
    if (status < 0) {
        return status == LOOM_EDATA ? refuse(self, spool) : status;
    }
    if (!spool_has_room(spool, message.n - known)) {
        *done = false;
        return 0;
    }
    size_t frame_bytes =
        shape->height * shape->width * (shape->dtype == STREAM_U1 ? sizeof(uint8_t) : sizeof(float));
    for (uint64_t i = known; status == 0 && i < message.n; i++) {
        status = spool_append(spool, message.data + i * frame_bytes, &mark);
    }
    if (status == 0 && (self->confirms || message.eos)) {
        status = spool_sync(spool);
    }
    if (status == 0 && message.eos && spool_total(spool) == UINT64_MAX) {
        status = spool_end(spool);
    }
    return status < 0 || !self->confirms ? status : answer(self, spool, NULL);
}

/* The next message, if one has come; one of several parts is refused. */
static int receive(struct receiver *self, const struct spool *spool)
{
    zmq_msg_init(&self->message);
    if (zmq_msg_recv(&self->message, self->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&self->message);
        return 0;
    }
    self->holding = true;
    if (!zmq_msg_more(&self->message)) {
        return 0;
    }
    while (zmq_msg_more(&self->message) && zmq_msg_recv(&self->message, self->socket, ZMQ_DONTWAIT) >= 0) {
    }
    self->holding = false;
    zmq_msg_close(&self->message);
    error_set(LOOM_EDATA, "a message with frames has one part");
    return refuse(self, spool);
}

int receiver_take(struct receiver *self, struct spool *spool, bool *more)
{
    int status = 0;
    bool done = true;
    *more = false;
    for (size_t taken = 0; status == 0 && done;) {
        uint64_t refused = self->refused;
        if (!self->holding) {
            status = receive(self, spool);
        }
        if (status < 0 || !self->holding) {
            *more = self->refused != refused;
            break;
        }
        taken += zmq_msg_size(&self->message);
        status = take_held(self, spool, &done);
        if (status == 0 && done) {
            self->holding = false;
            zmq_msg_close(&self->message);
        }
        if (taken >= TAKE_BYTES) {
            *more = done;
            break;
        }
    }
    return status < 0 ? status : spool_sync(spool);
}

void *receiver_socket(const struct receiver *self)
{
    return self->holding ? NULL : self->socket;
}

/* ---- life ---- */

int receiver_new(struct receiver **self_p, struct endpoint_context *context, const char *endpoint,
                 bool confirms)
{
    *self_p = NULL;
    struct receiver *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for the input");
    }
    self->confirms = confirms;
    self->endpoint = strdup(endpoint);
    int status = self->endpoint == NULL ? error_set(LOOM_EINTERNAL, "out of memory for the input")
                                        : endpoint_bind(context, &self->socket, confirms ? ZMQ_REP : ZMQ_PULL,
                                                        endpoint, QUEUED, MESSAGE_REPLY_MAX);
    if (status < 0) {
        receiver_destroy(&self);
        return status;
    }
    *self_p = self;
    return 0;
}

void receiver_destroy(struct receiver **self_p)
{
    struct receiver *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->holding) {
        zmq_msg_close(&self->message);
    }
    endpoint_close(&self->socket);
    free(self->endpoint);
    free(self);
    *self_p = NULL;
}

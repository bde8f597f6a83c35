/* See consumer.h. */
#include "consumer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "clock.h"
#include "log.h"
#include "message.h"

#define WAIT_MS 20                      /* before a peer that said `wait` is asked again */
#define WARN_MS 10000                   /* without what we wait for, a person is told */
#define USELESS_MIN 3                   /* useless answers before a peer is given up */
#define AHEAD_MAX 16                    /* replies waiting to be taken at most, */
#define AHEAD_BYTES ((uint64_t)4 << 20) /* and about as many bytes: but two blocks at least */

struct waiting { /* a reply that has come */
    zmq_msg_t reply;
    uint64_t seq, n;
};

struct consumer {
    struct consumer_settings settings;
    void *dealer;
    struct stream_info info;
    bool described, started, confirmed;
    struct waiting queue[AHEAD_MAX];
    size_t ahead; /* places of the queue in use */
    size_t first, count;
    uint64_t position;   /* first frame not taken */
    size_t gathered;     /* frames from `position` on that lie in `fields` already */
    size_t room;         /* frames that fit into `fields` */
    uint64_t expected;   /* first frame not received */
    uint64_t asked;      /* first frame not asked for */
    uint64_t limit;      /* first frame not to be asked for */
    uint64_t step;       /* frames a fetch */
    uint64_t ack, acked; /* durable here; the same as last said */
    uint64_t missed;     /* optional reader: frames passed over */
    uint64_t base, head; /* oldest frame that the peer holds, first that it has not made */
    int64_t born_ms, sent_ms, heard_ms;
    int64_t listened_ms; /* when we last looked for replies */
    bool warned, told_to_wait;
    uint64_t useless;                    /* replies since the last one that brought frames */
    int64_t useless_ms, useless_last_ms; /* when the first and the last of them came */
    void *fields[STREAM_FIELDS_MAX];     /* aligned rows of the block last taken */
    struct message message;              /* of the reply last taken from: its metrics' names live here */
    uint64_t malformed;                  /* replies passed over so far */
};

static int send_describe(struct consumer *self);

int consumer_new(struct consumer **self_p, struct endpoint_context *context,
                 const struct consumer_settings *settings)
{
    *self_p = NULL;
    struct consumer *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for a stream");
    }
    self->settings = *settings;
    self->limit = UINT64_MAX;
    self->heard_ms = self->born_ms = self->listened_ms = clock_ms();
    int status =
        endpoint_connect(context, &self->dealer, ZMQ_DEALER, settings->endpoint, 0, MESSAGE_REPLY_MAX);
    if (status == 0) {
        status = send_describe(self);
    }
    if (status < 0) {
        consumer_destroy(&self);
        return status;
    }
    *self_p = self;
    return 0;
}

void consumer_destroy(struct consumer **self_p)
{
    struct consumer *self = *self_p;
    if (self == NULL) {
        return;
    }
    endpoint_close(&self->dealer);
    for (size_t i = 0; i < self->count; i++) {
        zmq_msg_close(&self->queue[(self->first + i) % AHEAD_MAX].reply);
    }
    for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
        free(self->fields[f]);
    }
    free(self);
    *self_p = NULL;
}

void *consumer_socket(const struct consumer *self)
{
    return self->dealer;
}

const struct stream_info *consumer_info(const struct consumer *self)
{
    return self->described ? &self->info : NULL;
}

static int other_stream(const struct consumer *self, const char *id, const char *expected)
{
    return error_set(
        LOOM_EDATA,
        "%s serves stream %s, but this stage was started on stream %s; bring that one back, or begin anew in "
        "another run folder",
        self->settings.endpoint, id, expected);
}

int consumer_start(struct consumer *self, uint64_t from, size_t most, const char *id)
{
    struct stream_field fields[STREAM_FIELDS_MAX] = {{.row_bytes = 0}};
    if (id[0] != '\0' && strcmp(id, self->info.id) != 0) {
        return other_stream(self, self->info.id, id);
    }
    uint64_t frame_bytes = 1;
    size_t n_fields = stream_fields(&self->info, fields);
    self->room = most > self->info.block ? most : self->info.block;
    for (size_t f = 0; f < n_fields; f++) {
        frame_bytes += fields[f].row_bytes;
        self->fields[f] = calloc(self->room, fields[f].row_bytes);
        if (self->fields[f] == NULL) {
            return error_set(LOOM_EINTERNAL, "out of memory for a block of %zu frames", self->room);
        }
    }
    uint64_t fitting = AHEAD_BYTES / (self->info.block * frame_bytes);
    self->ahead = fitting < 2 ? 2 : fitting < AHEAD_MAX ? (size_t)fitting : AHEAD_MAX;
    self->position = self->expected = self->asked = self->ack = from;
    self->acked = UINT64_MAX; /* nothing said yet: the first word makes us known as a reader */
    self->step = self->info.block;
    self->started = true;
    return 0;
}

/* ---- sending ---- */

static int send_message(struct consumer *self, zmq_msg_t *message)
{
    if (zmq_msg_send(message, self->dealer, ZMQ_DONTWAIT) < 0) {
        int why = errno;
        zmq_msg_close(message);
        if (why != EAGAIN) { /* not connected yet: fetched again later */
            return error_set(LOOM_EINTERNAL, "cannot send to %s: %s", self->settings.endpoint,
                             zmq_strerror(why));
        }
    }
    self->sent_ms = clock_ms();
    return 0;
}

static int send_describe(struct consumer *self)
{
    zmq_msg_t message;
    int status = message_write_describe(&message, self->settings.who);
    return status < 0 ? status : send_message(self, &message);
}

static int send_fetch(struct consumer *self, uint64_t from, uint64_t n)
{
    zmq_msg_t message;
    uint64_t ack = self->settings.optional ? UINT64_MAX : self->ack;
    int status = message_write_fetch(&message, self->info.id, from, n, ack, self->settings.who);
    self->acked = self->ack;
    return status < 0 ? status : send_message(self, &message);
}

/* Frames to ask for at `from`: to the end of the block, so that replies are whole blocks. */
static uint64_t next_step(const struct consumer *self, uint64_t from)
{
    return stream_block_end(&self->info, from, self->step) - from;
}

static int fetch_ahead(struct consumer *self)
{
    int status = 0;
    uint64_t ahead = (self->ahead - self->count) * self->step;
    uint64_t end = self->limit < self->info.total ? self->limit : self->info.total;
    while (status == 0 && self->asked < end && self->asked - self->expected < ahead) {
        uint64_t n = next_step(self, self->asked);
        if (self->asked + n - self->expected > ahead) {
            break;
        }
        status = send_fetch(self, self->asked, n);
        self->asked += n;
    }
    return status;
}

/* Complaints about a peer that is silent, or that answers without ever giving what we ask for. */
static int check_peer(struct consumer *self)
{
    int64_t silence_ms = consumer_silence_ms(self), patience_ms = self->settings.patience_ms;
    if (patience_ms > 0 && silence_ms > patience_ms) {
        return error_set(
            LOOM_EPEER,
            "nobody has answered at %s for %jd s; start the stage that serves it, or correct the endpoint",
            self->settings.endpoint, (intmax_t)(silence_ms / 1000));
    }
    /* A peer that pauses says nothing to a fetch; answers to acknowledgements end soon. */
    bool goes_on = clock_ms() - self->useless_last_ms <= USELESS_MIN * self->settings.timeout_ms &&
                   self->expected < self->limit;
    if (patience_ms > 0 && self->useless >= USELESS_MIN && goes_on && self->expected < self->info.total &&
        clock_ms() - self->useless_ms > patience_ms) {
        return error_set(LOOM_EDATA,
                         "%s answers, but for %jd s none of its %ju answers has brought frame %ju; see "
                         "common/PROTOCOL.md on what a producer answers",
                         self->settings.endpoint, (intmax_t)((clock_ms() - self->useless_ms) / 1000),
                         (uintmax_t)self->useless, (uintmax_t)self->expected);
    }
    if (!self->warned && (silence_ms > WARN_MS || !self->described) && clock_ms() - self->born_ms > WARN_MS) {
        log_info("waiting for %s", self->settings.endpoint);
        self->warned = true;
    }
    return 0;
}

/* What is due when nothing has come: everything from `expected` on is asked for again. */
static int send_again(struct consumer *self)
{
    int status = check_peer(self);
    if (status == 0) {
        status = send_describe(self); /* answered at once by a peer that lives but has no frames yet */
    }
    if (status < 0 || self->count > 0) {
        return status; /* there is work: that we were heard of is enough */
    }
    self->asked = self->expected;
    if (self->started && self->ack == self->info.total) {
        status = send_fetch(self, self->expected, 0); /* the last acknowledgement */
    }
    return status;
}

/* ---- receiving ---- */

static int take_description(struct consumer *self, const struct message *message)
{
    self->base = message->base;
    self->head = message->head;
    if (!self->described) {
        self->info = message->info;
        self->described = true;
        return 0;
    }
    return strcmp(self->info.id, message->info.id) == 0 ? 0
                                                        : other_stream(self, message->info.id, self->info.id);
}

static void note_useless(struct consumer *self)
{
    self->useless_ms = self->useless == 0 ? clock_ms() : self->useless_ms;
    self->useless_last_ms = clock_ms();
    self->useless++;
}

static int take_data(struct consumer *self, const struct message *message, zmq_msg_t *reply)
{
    const uint8_t *rows[STREAM_FIELDS_MAX] = {NULL};
    if (self->started && message->eos && self->info.total == UINT64_MAX &&
        message->seq + message->n < self->expected) {
        return error_set(LOOM_EDATA, "%s ends its stream at frame %ju, but frame %ju was to be the next",
                         self->settings.endpoint, (uintmax_t)(message->seq + message->n),
                         (uintmax_t)self->expected);
    }
    if (message->seq != self->expected || !self->started) {
        note_useless(self);
        return 0; /* a duplicate, or behind a gap that is fetched again */
    }
    if (message->eos && self->info.total == UINT64_MAX) {
        self->info.total = message->seq + message->n; /* now it is known */
    }
    if (message->eos && message->seq + message->n != self->info.total) {
        return error_set(LOOM_EDATA, "%s ends its stream at frame %ju, but it described %ju frames",
                         self->settings.endpoint, (uintmax_t)(message->seq + message->n),
                         (uintmax_t)self->info.total);
    }
    if (message->n == 0) {
        self->confirmed = message->seq == self->info.total && self->acked == self->info.total;
        note_useless(self);
        return 0;
    }
    int status = message_rows(message, &self->info, rows);
    if (status < 0) {
        return status;
    }
    if (message->n > next_step(self, message->seq) || self->count == self->ahead) {
        return message->n > self->info.block
                   ? error_set(LOOM_EDATA, "%s sends %ju frames where at most %ju were asked for",
                               self->settings.endpoint, (uintmax_t)message->n,
                               (uintmax_t)next_step(self, message->seq))
                   : 0; /* an answer to an earlier, larger wish: it is asked for again */
    }
    if (message->n <
        next_step(self, message->seq)) { /* it likes smaller blocks: what was asked behind it is useless */
        self->step = message->n;
        self->asked = self->expected + message->n;
    }
    struct waiting *waiting = &self->queue[(self->first + self->count) % AHEAD_MAX];
    zmq_msg_init(&waiting->reply);
    zmq_msg_move(&waiting->reply, reply);
    waiting->seq = message->seq;
    waiting->n = message->n;
    self->count++;
    self->expected += message->n;
    self->useless = 0;
    self->warned = false;
    return 0;
}

/* An optional reader that is too slow goes on at the oldest frame held, once it has taken what did come. */
static void pass_over(struct consumer *self, uint64_t base)
{
    if (base <= self->expected) {
        return; /* an answer to an earlier question */
    }
    if (self->count == 0 && self->gathered == 0) {
        self->missed += base - self->expected;
        self->position = self->expected = self->ack = base;
    }
    self->asked = self->expected;
}

static int take_gone(struct consumer *self, const struct message *message)
{
    if (self->started && self->settings.optional) {
        pass_over(self, message->base);
        return 0;
    }
    if (self->started && self->settings.join_oldest && self->position == self->expected &&
        self->position == self->ack && message->base > self->position) {
        log_info("joins %s at frame %ju, the oldest held", self->settings.endpoint, (uintmax_t)message->base);
        self->position = self->expected = self->asked = self->ack = message->base;
        return 0;
    }
    if (message->base <= self->expected) {
        return 0; /* an answer to an earlier question */
    }
    return error_set(LOOM_EDATA,
                     "%s no longer holds frame %ju, only those from %ju on; begin anew, name this reader in "
                     "its --required, "
                     "or join with --join oldest",
                     self->settings.endpoint, (uintmax_t)self->expected, (uintmax_t)message->base);
}

static int take_message(struct consumer *self, zmq_msg_t *reply)
{
    static struct message message; /* large, and this process has one thread that reads */
    int status = message_read(&message, zmq_msg_data(reply), zmq_msg_size(reply));
    if (status < 0 && !self->described) {
        return error_prefix(status, "%s describes no stream", self->settings.endpoint);
    }
    if (status < 0) {
        note_useless(self);
        self->malformed++;
        if ((self->malformed & (self->malformed - 1)) ==
            0) { /* 1, 2, 4, 8...: a flood does not fill the log */
            log_warning("%s: %s (%ju so far, passed over)", self->settings.endpoint, error_message(),
                        (uintmax_t)self->malformed);
        }
        return 0;
    }
    self->heard_ms = clock_ms();
    if (message.type == MESSAGE_WAIT) {
        self->told_to_wait = true;
        return 0;
    }
    if (!self->described && message.type != MESSAGE_STREAM) {
        return error_set(LOOM_EDATA, "%s does not say what stream it serves, but answers 'describe' with%s%s",
                         self->settings.endpoint, message.type == MESSAGE_ERR ? ": " : " something else",
                         message.why);
    }
    if (self->described && message.type != MESSAGE_STREAM && message.info.id[0] != '\0' &&
        strcmp(message.info.id, self->info.id) != 0) {
        return other_stream(self, message.info.id, self->info.id);
    }
    switch (message.type) {
    case MESSAGE_STREAM:
        return take_description(self, &message);
    case MESSAGE_DATA:
        return take_data(self, &message, reply);
    case MESSAGE_GONE:
        return take_gone(self, &message);
    case MESSAGE_ERR:
        return error_set(LOOM_EDATA, "%s refuses: %s", self->settings.endpoint, message.why);
    default:
        return error_set(LOOM_EDATA, "%s sends a message that only a tap or a reader would send",
                         self->settings.endpoint);
    }
}

int consumer_pump(struct consumer *self)
{
    int64_t away_ms = clock_ms() - self->listened_ms;
    if (away_ms > self->settings.timeout_ms) { /* while we did not listen, the peer was not silent */
        self->heard_ms += away_ms;
    }
    self->listened_ms = clock_ms();
    if (consumer_is_full(self)) { /* nor while we have no place for what it says */
        self->heard_ms = self->listened_ms;
    }
    zmq_msg_t reply;
    zmq_msg_init(&reply);
    int status = 0;
    while (status == 0 && !consumer_is_full(self) && zmq_msg_recv(&reply, self->dealer, ZMQ_DONTWAIT) >= 0) {
        status = take_message(self, &reply);
    }
    zmq_msg_close(&reply);
    if (status < 0) {
        return status;
    }
    int64_t pause_ms = self->told_to_wait && !self->described ? WAIT_MS : self->settings.timeout_ms;
    bool idle = clock_ms() - self->sent_ms >= pause_ms;
    if (idle && !self->confirmed) {
        status = send_again(self);
    }
    if (status == 0 && self->started) {
        status = fetch_ahead(self);
    }
    bool last_due =
        self->expected < self->info.total || self->ack == self->info.total; /* see consumer_confirmed */
    if (status == 0 && self->started && self->ack != self->acked && last_due) {
        status = send_fetch(self, self->expected, 0);
    }
    return status;
}

/* ---- taking ---- */

size_t consumer_ready(const struct consumer *self)
{
    if (self->count == 0) {
        return self->gathered;
    }
    const struct waiting *waiting = &self->queue[self->first];
    return (size_t)(waiting->seq + waiting->n - self->position);
}

uint64_t consumer_waiting(const struct consumer *self)
{
    return self->expected - self->position;
}

/* Copy up to `n` frames of the first reply in the queue behind those gathered, and drop it if it is used up.
 */
static int gather(struct consumer *self, size_t n)
{
    struct waiting *waiting = &self->queue[self->first];
    struct stream_field fields[STREAM_FIELDS_MAX] = {{.row_bytes = 0}};
    const uint8_t *rows[STREAM_FIELDS_MAX] = {NULL};
    int status = message_read(&self->message, zmq_msg_data(&waiting->reply), zmq_msg_size(&waiting->reply));
    if (status == 0) {
        status = message_rows(&self->message, &self->info, rows);
    }
    if (status < 0) {
        return status;
    }
    uint64_t from = self->position + self->gathered, left = waiting->seq + waiting->n - from;
    size_t n_fields = stream_fields(&self->info, fields), skip = (size_t)(from - waiting->seq);
    n = left < n ? (size_t)left : n;
    for (size_t f = 0; f < n_fields && rows[f] != NULL; f++) {
        size_t bytes = fields[f].row_bytes;
        memcpy((uint8_t *)self->fields[f] + self->gathered * bytes, rows[f] + skip * bytes, n * bytes);
    }
    self->gathered += n;
    if (n == left) {
        zmq_msg_close(&waiting->reply);
        self->first = (self->first + 1) % AHEAD_MAX;
        self->count--;
    } else {
        self->message.n_metrics = 0; /* they belong to the reply's last frame */
    }
    return 0;
}

int consumer_take(struct consumer *self, size_t n, struct block *block)
{
    *block = (struct block){.seq = self->position};
    while (self->gathered < n && self->count > 0) {
        int status = gather(self, n - self->gathered);
        if (status < 0) {
            return status;
        }
    }
    if (self->gathered < n) {
        return 0;
    }
    block->n = n;
    memcpy(block->fields, self->fields, sizeof block->fields);
    memcpy(block->metrics, self->message.metrics, sizeof block->metrics);
    block->n_metrics = self->message.n_metrics;
    self->gathered = 0;
    self->position += n;
    return 0;
}

void consumer_limit(struct consumer *self, uint64_t end)
{
    self->limit = end;
}

void consumer_skip(struct consumer *self, uint64_t to)
{
    while (self->count > 0) {
        struct waiting *waiting = &self->queue[self->first];
        if (waiting->seq + waiting->n > to) {
            break;
        }
        zmq_msg_close(&waiting->reply);
        self->first = (self->first + 1) % AHEAD_MAX;
        self->count--;
    }
    self->gathered = 0;
    self->position = to;
    self->expected = to > self->expected ? to : self->expected;
    self->asked = to > self->asked ? to : self->asked;
    self->useless = 0;
}

bool consumer_settled(const struct consumer *self)
{
    return self->started && (self->count > 0 || self->gathered > 0 || self->position >= self->info.total ||
                             (self->position >= self->base && self->position >= self->head));
}

uint64_t consumer_position(const struct consumer *self)
{
    return self->position;
}

bool consumer_ended(const struct consumer *self)
{
    return self->started && self->position == self->info.total;
}

void consumer_ack(struct consumer *self, uint64_t ack)
{
    if (ack > self->ack) {
        self->ack = ack;
    }
}

bool consumer_confirmed(const struct consumer *self)
{
    return self->confirmed;
}

uint64_t consumer_missed(const struct consumer *self)
{
    return self->missed;
}

void consumer_held(const struct consumer *self, uint64_t *base, uint64_t *head)
{
    *base = self->base;
    *head = self->head;
}

bool consumer_is_full(const struct consumer *self)
{
    return self->started && self->count >= self->ahead;
}

int64_t consumer_silence_ms(const struct consumer *self)
{
    return clock_ms() - self->heard_ms;
}

/* See producer.h. */
#include "producer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "clock.h"
#include "durable_file.h"
#include "log.h"
#include "message.h"
#include "ring.h"
#include "tap.h"

#define READERS_MAX 64       /* readers to wait for */
#define PARKED_MAX 1024      /* fetches that wait for frames to come */
#define PARKED_EACH_MAX 64   /* of one peer */
#define IDENTITY_MAX 255     /* bytes of a peer's ZeroMQ identity */
#define SOURCE_BLOCKS 32     /* blocks a source keeps */
#define SILENT_MS 30000      /* a reader that is not required is waited for while heard this recently */
#define GUEST_MS 10000       /* how long a finished stream stays for guests that are still fetching it, */
#define GUEST_SILENT_MS 2000 /* and have been heard this recently */
#define PAST_PART 8          /* of the ring may hold what all have acknowledged */
#define PUMP_MS 20           /* after which the runner has its turn, though more requests wait */

/* A line of the file of readers that are done: name, blank, the stream's id; with line ends, NUL. */
#define DONE_LINE_BYTES (STREAM_NAME_BYTES + STREAM_ID_BYTES + 4)

struct reader {
    char who[STREAM_NAME_BYTES];
    uint64_t ack;
    bool finished; /* has acknowledged the whole stream */
    bool required; /* named at the start: waited for for ever */
    bool guest;    /* beside those named at the start: nothing is held for it */
    bool lost;     /* has been silent for so long that it is not waited for any more */
    int64_t heard_ms;
};

struct parked {
    uint8_t identity[IDENTITY_MAX];
    size_t identity_bytes;
    uint64_t from, n;
};

struct producer {
    struct producer_settings settings;
    char *done_path;
    void *router;
    struct tap tap;
    struct stream_info info;
    bool started;

    struct ring ring; /* in order of seq; of a source, of age */
    uint64_t base, head;
    uint64_t there;       /* source: first frame that cannot be made yet; UINT64_MAX: all can */
    uint64_t tapped;      /* source: first frame not yet sent to the tap */
    struct block scratch; /* a block being made or cut */

    struct reader readers[READERS_MAX];
    size_t n_readers;
    int64_t done_ms;  /* when all but guests had everything; 0: not yet */
    bool open_to_all; /* whoever acknowledges is waited for while heard */
    bool wanted;      /* somebody reads or may: otherwise blocks are not even encoded */
    int64_t guest_ms; /* when somebody last read who is not waited for; 0: nobody has */

    struct parked *parked;
    size_t n_parked;

    uint64_t refused; /* malformed requests so far */
};

/* ---- life ---- */

static struct reader *find_reader(struct producer *self, const char *who)
{
    for (size_t i = 0; i < self->n_readers; i++) {
        if (strcmp(self->readers[i].who, who) == 0) {
            return &self->readers[i];
        }
    }
    return NULL;
}

static int add_reader(struct producer *self, const char *who, bool required)
{
    if (self->n_readers == READERS_MAX) {
        return error_set(LOOM_EUSAGE, "more than %d readers of one stream", READERS_MAX);
    }
    struct reader *reader = &self->readers[self->n_readers++];
    *reader = (struct reader){.required = required, .heard_ms = clock_ms()};
    snprintf(reader->who, sizeof reader->who, "%s", who);
    self->wanted = true;
    return 0;
}

static int add_required(struct producer *self, const char *names)
{
    char who[STREAM_NAME_BYTES];
    while (*names != '\0') {
        size_t length = strcspn(names, ",");
        if (length == 0 || length >= sizeof who) {
            return error_set(LOOM_EUSAGE, "--required '%s' is not valid; give names with commas", names);
        }
        snprintf(who, sizeof who, "%.*s", (int)length, names);
        int status = add_reader(self, who, true);
        if (status < 0) {
            return status;
        }
        names += length + (names[length] == ',' ? 1 : 0);
    }
    return 0;
}

int producer_new(struct producer **self_p, struct endpoint_context *context,
                 const struct producer_settings *settings)
{
    *self_p = NULL;
    struct producer *self = calloc(1, sizeof *self);
    int status = error_set(LOOM_EINTERNAL, "out of memory for a stream");
    if (self == NULL) {
        return status;
    }
    self->settings = *settings;
    self->done_path = strdup(settings->done_path);
    self->parked = calloc(PARKED_MAX, sizeof *self->parked);
    if (self->parked == NULL || self->done_path == NULL) {
        goto fail;
    }
    self->open_to_all = strcmp(settings->required, "*") == 0;
    self->wanted = self->open_to_all && settings->endpoint[0] != '\0';
    status = self->open_to_all ? 0 : add_required(self, settings->required);
    if (status == 0 && settings->endpoint[0] != '\0') {
        status =
            endpoint_bind(context, &self->router, ZMQ_ROUTER, settings->endpoint, 0, MESSAGE_REQUEST_MAX);
    }
    if (status == 0 && settings->tap[0] != '\0') {
        status = tap_init(&self->tap, context, settings->tap);
    }
    if (status < 0) {
        goto fail;
    }
    *self_p = self;
    return 0;
fail:
    producer_destroy(&self);
    return status;
}

void producer_destroy(struct producer **self_p)
{
    struct producer *self = *self_p;
    if (self == NULL) {
        return;
    }
    endpoint_close(&self->router);
    tap_fini(&self->tap);
    ring_fini(&self->ring);
    for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
        free(self->scratch.fields[f]);
    }
    free(self->parked);
    free(self->done_path);
    free(self);
    *self_p = NULL;
}

/* Readers that an earlier process of this stage has seen finish with this very stream. */
static int load_done(struct producer *self)
{
    FILE *file = self->done_path[0] == '\0' ? NULL : fopen(self->done_path, "r");
    if (file == NULL) {
        return 0;
    }
    char line[DONE_LINE_BYTES];
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *id = strrchr(line, ' '); /* an id has none; a name may */
        if (id == NULL || strcmp(id + 1, self->info.id) != 0) {
            continue;
        }
        *id = '\0';
        struct reader *reader = find_reader(self, line);
        if (reader != NULL) {
            reader->ack = self->info.total;
            reader->finished = true;
        }
    }
    fclose(file);
    return 0;
}

int producer_start(struct producer *self, const struct stream_info *info, uint64_t base)
{
    struct stream_field fields[STREAM_FIELDS_MAX] = {{.row_bytes = 0}};
    self->info = *info;
    size_t n_fields = stream_fields(info, fields);
    for (size_t f = 0; f < n_fields; f++) {
        self->scratch.fields[f] = calloc(info->block, fields[f].row_bytes);
        if (self->scratch.fields[f] == NULL) {
            return error_set(LOOM_EINTERNAL, "out of memory for a block of %ju frames",
                             (uintmax_t)info->block);
        }
    }
    self->base = self->head = base;
    self->there = UINT64_MAX;
    self->started = true;
    return load_done(self);
}

void *producer_router(const struct producer *self)
{
    return self->router;
}

void *producer_tap(const struct producer *self)
{
    return self->tap.socket;
}

/* ---- replies ---- */

/* Send one message to a peer; a peer that has gone is no error. Takes the message over. */
static int send_to(struct producer *self, const uint8_t *identity, size_t identity_bytes, zmq_msg_t *message)
{
    if (zmq_send(self->router, identity, identity_bytes, ZMQ_SNDMORE) < 0 ||
        zmq_msg_send(message, self->router, 0) < 0) {
        int why = errno;
        zmq_msg_close(message);
        if (why != EHOSTUNREACH && why != EAGAIN) {
            return error_set(LOOM_EINTERNAL, "stream %s: cannot send: %s", self->info.name,
                             zmq_strerror(why));
        }
    }
    return 0;
}

static int refuse(struct producer *self, const uint8_t *identity, size_t identity_bytes, const char *why)
{
    zmq_msg_t reply;
    self->refused++;
    if ((self->refused & (self->refused - 1)) == 0) { /* 1, 2, 4, 8...: a flood does not fill the log */
        log_warning("request refused (%ju so far): %s", (uintmax_t)self->refused, why);
    }
    int status = message_write_err(&reply, self->info.id, why);
    return status < 0 ? status : send_to(self, identity, identity_bytes, &reply);
}

static int hold(struct producer *self, const struct block *block)
{
    if (self->settings.produce != NULL && self->ring.count == SOURCE_BLOCKS) {
        (void)ring_drop(&self->ring); /* it can be made again */
    }
    zmq_msg_t reply;
    bool eos = block->seq + block->n == self->info.total;
    int status = message_write_data(&reply, &self->info, block, eos);
    if (status < 0) {
        return status;
    }
    status = ring_push(&self->ring, &reply, block->seq, block->n);
    if (status < 0) {
        zmq_msg_close(&reply);
    }
    return status;
}

static void publish(struct producer *self, struct held *held)
{
    zmq_msg_t copy;
    if (tap_wanted(&self->tap, TAP_DATA, NULL)) {
        zmq_msg_init(&copy);
        zmq_msg_copy(&copy, &held->reply);
        tap_send(&self->tap, TAP_DATA, &copy);
    }
}

/* Source: have the block with frame seq made and held. */
static int make(struct producer *self, uint64_t seq, struct held **held_p)
{
    uint64_t start = stream_block_start(&self->info, seq, self->info.block);
    uint64_t end = stream_block_end(&self->info, seq, self->info.block);
    self->scratch.seq = start;
    self->scratch.n = end - start;
    self->scratch.n_metrics = 0;
    int status = self->settings.produce(self->settings.argument, &self->scratch);
    if (status == 0) {
        status = hold(self, &self->scratch);
    }
    if (status < 0) {
        return status;
    }
    *held_p = ring_at(&self->ring, self->ring.count - 1);
    if (start >= self->tapped) {
        self->tapped = end;
        publish(self, *held_p);
    }
    return 0;
}

/* A reply with a part of a block: for who begins in the middle or wants fewer frames. */
static int cut(struct producer *self, struct held *held, uint64_t from, uint64_t n, zmq_msg_t *reply)
{
    static struct message message; /* large, and this process has one thread that serves */
    const uint8_t *rows[STREAM_FIELDS_MAX] = {NULL};
    struct stream_field fields[STREAM_FIELDS_MAX] = {{.row_bytes = 0}};
    int status = message_read(&message, zmq_msg_data(&held->reply), zmq_msg_size(&held->reply));
    if (status == 0) {
        status = message_rows(&message, &self->info, rows);
    }
    if (status < 0) {
        return status;
    }
    struct block part = {.seq = from, .n = n};
    size_t n_fields = stream_fields(&self->info, fields);
    for (size_t f = 0; f < n_fields; f++) {
        part.fields[f] = (uint8_t *)(uintptr_t)rows[f] + (from - held->seq) * fields[f].row_bytes;
    }
    bool whole_end = from + n == held->seq + held->n; /* metrics belong to the last frame */
    memcpy(part.metrics, message.metrics, sizeof part.metrics);
    part.n_metrics = whole_end ? message.n_metrics : 0;
    return message_write_data(reply, &self->info, &part, from + n == self->info.total);
}

/* The frames from `from` on, at most n and at most to the end of their block. */
static int reply_data(struct producer *self, const uint8_t *identity, size_t identity_bytes, uint64_t from,
                      uint64_t n)
{
    zmq_msg_t reply;
    int status = 0;
    if (n == 0 || from >= self->info.total) {
        struct block none = {.seq = from < self->info.total ? from : self->info.total};
        status = message_write_data(&reply, &self->info, &none, from >= self->info.total);
        return status < 0 ? status : send_to(self, identity, identity_bytes, &reply);
    }
    struct held *held = ring_find(&self->ring, from, self->settings.produce == NULL);
    if (held == NULL && self->settings.produce != NULL && from >= self->base) {
        status = make(self, from, &held);
    } else if (held == NULL) {
        status = message_write_gone(&reply, self->info.id, self->base);
        return status < 0 ? status : send_to(self, identity, identity_bytes, &reply);
    }
    if (status < 0) {
        return status;
    }
    if (self->settings.produce != NULL && from + n > self->head) {
        self->head = from + n < held->seq + held->n ? from + n : held->seq + held->n;
    }
    uint64_t left = held->seq + held->n - from;
    if (from == held->seq && n >= left) {
        zmq_msg_init(&reply);
        zmq_msg_copy(&reply, &held->reply);
    } else {
        status = cut(self, held, from, n < left ? n : left, &reply);
    }
    return status < 0 ? status : send_to(self, identity, identity_bytes, &reply);
}

/* ---- requests ---- */

/* Keep in mind that this reader has everything, before it is told so and goes. */
static int save_done(struct producer *self, const char *who)
{
    if (self->done_path[0] == '\0' || self->open_to_all) {
        return 0;
    }
    int status = durable_file_make_folders(self->done_path);
    if (status < 0) {
        return status;
    }
    int file = open(self->done_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    char line[DONE_LINE_BYTES];
    int length = snprintf(line, sizeof line, "\n%s %s\n", who, self->info.id); /* the last may be torn */
    bool written = file >= 0 && write(file, line, (size_t)length) == length && fdatasync(file) == 0;
    int why = errno;
    if (file >= 0) {
        close(file);
    }
    return written ? 0 : error_set(LOOM_EIO, "cannot write '%s': %s", self->done_path, strerror(why));
}

static void note_heard(struct producer *self, const char *who)
{
    struct reader *reader = find_reader(self, who);
    if (reader != NULL) {
        reader->heard_ms = clock_ms();
    }
}

static int note_ack(struct producer *self, const struct message *fetch)
{
    if (fetch->ack == UINT64_MAX || fetch->who[0] == '\0') {
        return 0;
    }
    struct reader *reader = find_reader(self, fetch->who);
    if (reader == NULL && self->n_readers < READERS_MAX) {
        int status = add_reader(self, fetch->who, false);
        if (status < 0) {
            return status;
        }
        reader = &self->readers[self->n_readers - 1];
        reader->guest = !self->open_to_all;
    }
    if (reader == NULL) {
        return 0; /* one too many: it may read, but is not waited for */
    }
    reader->heard_ms = clock_ms();
    reader->lost = false;
    if (reader->finished) {
        return 0;
    }
    /* Acks rise. But one that asks for frames before its ack has gone back (to an older checkpoint, say), and
     * from now on they are held for it again. */
    if (fetch->ack > reader->ack || fetch->seq < reader->ack) {
        reader->ack = fetch->ack;
    }
    reader->finished = fetch->ack == self->info.total;
    return reader->finished && !reader->guest ? save_done(self, fetch->who) : 0;
}

/* Keep a fetch until its frames come. One that finds no place is forgotten: its reader asks again. */
static void park(struct producer *self, const uint8_t *identity, size_t identity_bytes, uint64_t from,
                 uint64_t n)
{
    size_t same_peer = 0;
    for (size_t i = 0; i < self->n_parked; i++) {
        struct parked *parked = &self->parked[i];
        if (parked->identity_bytes == identity_bytes &&
            memcmp(parked->identity, identity, identity_bytes) == 0) {
            if (parked->from == from) {
                parked->n = n;
                return;
            }
            same_peer++;
        }
    }
    if (same_peer == PARKED_EACH_MAX) {
        return;
    }
    if (self->n_parked == PARKED_MAX) { /* the one that has waited longest, perhaps of a peer that has gone */
        self->n_parked--;
        memmove(&self->parked[0], &self->parked[1], self->n_parked * sizeof self->parked[0]);
    }
    struct parked *parked = &self->parked[self->n_parked++];
    memcpy(parked->identity, identity, identity_bytes);
    parked->identity_bytes = identity_bytes;
    parked->from = from;
    parked->n = n;
}

/* Whether a fetch from this frame on can be answered at once. */
static bool is_there(const struct producer *self, uint64_t from)
{
    bool source = self->settings.produce != NULL;
    return from >= self->info.total || from < (source ? self->there : self->head);
}

static int answer_fetch(struct producer *self, const uint8_t *identity, size_t identity_bytes,
                        const struct message *fetch)
{
    char why[200];
    if (strcmp(fetch->info.id, self->info.id) != 0) {
        snprintf(why, sizeof why, "this is stream %s, not %s", self->info.id, fetch->info.id);
        return refuse(self, identity, identity_bytes, why);
    }
    if (fetch->ack != UINT64_MAX && (fetch->ack > self->info.total || fetch->ack > fetch->seq)) {
        snprintf(why, sizeof why, "from %ju, ack %ju: ack cannot be past from, nor past the end, frame %ju",
                 (uintmax_t)fetch->seq, (uintmax_t)fetch->ack, (uintmax_t)self->info.total);
        return refuse(self, identity, identity_bytes, why);
    }
    int status = note_ack(self, fetch);
    if (status < 0) {
        return status;
    }
    self->wanted = true;
    const struct reader *reader = find_reader(self, fetch->who);
    self->guest_ms = reader == NULL || reader->guest ? clock_ms() : self->guest_ms;
    if (fetch->n == 0 || is_there(self, fetch->seq)) {
        return reply_data(self, identity, identity_bytes, fetch->seq, fetch->n);
    }
    park(self, identity, identity_bytes, fetch->seq, fetch->n);
    return 0;
}

/* First frame that has not been made, as readers are told. */
static uint64_t head_told(const struct producer *self)
{
    bool grows = self->settings.produce != NULL && self->there != UINT64_MAX;
    return grows ? self->there : self->head;
}

static int answer(struct producer *self, const uint8_t *identity, size_t identity_bytes, zmq_msg_t *request)
{
    static struct message message;
    zmq_msg_t reply;
    if (message_read(&message, zmq_msg_data(request), zmq_msg_size(request)) < 0) {
        return refuse(self, identity, identity_bytes, error_message());
    }
    if (!self->started) {
        int status = message_write_wait(&reply);
        return status < 0 ? status : send_to(self, identity, identity_bytes, &reply);
    }
    switch (message.type) {
    case MESSAGE_DESCRIBE: {
        note_heard(self, message.who);
        int status = message_write_stream(&reply, &self->info, self->base, head_told(self));
        return status < 0 ? status : send_to(self, identity, identity_bytes, &reply);
    }
    case MESSAGE_FETCH:
        return answer_fetch(self, identity, identity_bytes, &message);
    default:
        return refuse(self, identity, identity_bytes, "a producer answers 'describe' and 'fetch' only");
    }
}

/* One multipart request: identity, and one part. *more: there was one. */
static int receive_request(struct producer *self, bool *more)
{
    zmq_msg_t identity, request;
    zmq_msg_init(&identity);
    zmq_msg_init(&request);
    int status = 0;
    *more = zmq_msg_recv(&identity, self->router, ZMQ_DONTWAIT) >= 0;
    if (*more && zmq_msg_more(&identity) && zmq_msg_recv(&request, self->router, ZMQ_DONTWAIT) >= 0) {
        size_t identity_bytes = zmq_msg_size(&identity);
        bool single = !zmq_msg_more(&request);
        while (zmq_msg_more(&request) && zmq_msg_recv(&request, self->router, ZMQ_DONTWAIT) >= 0) {
        }
        status = single ? answer(self, zmq_msg_data(&identity), identity_bytes, &request)
                        : refuse(self, zmq_msg_data(&identity), identity_bytes, "a request has one part");
    }
    zmq_msg_close(&identity);
    zmq_msg_close(&request);
    return status;
}

/* Describe the stream to those who have begun to look at it, once it can be described. */
static int show_stream(struct producer *self)
{
    bool fresh = false;
    if (!self->started || !tap_wanted(&self->tap, TAP_STREAM, &fresh) || !fresh) {
        return 0;
    }
    zmq_msg_t message;
    char serves[256] = "";
    size_t size = sizeof serves;
    if (self->router == NULL || zmq_getsockopt(self->router, ZMQ_LAST_ENDPOINT, serves, &size) != 0) {
        serves[0] = '\0';
    }
    int status = message_write_tapped(&message, &self->info, self->base, head_told(self), serves);
    if (status == 0) {
        tap_send(&self->tap, TAP_STREAM, &message);
    }
    return status;
}

int producer_pump(struct producer *self)
{
    tap_pump(&self->tap);
    int shown = show_stream(self);
    if (shown < 0) {
        return shown;
    }
    bool more = self->router != NULL;
    for (int64_t end = clock_ms() + PUMP_MS; more && clock_ms() <= end;) {
        int status = receive_request(self, &more);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

/* ---- the ring ---- */

/* Whether this reader is waited for. */
static bool counts(struct reader *reader)
{
    if (reader->guest) {
        return false;
    }
    bool lost = !reader->required && clock_ms() - reader->heard_ms >= SILENT_MS;
    if (lost && !reader->lost && !reader->finished) {
        log_warning("reader %s has been silent for %d s and is not waited for any more", reader->who,
                    SILENT_MS / 1000);
    }
    reader->lost = lost;
    return !lost;
}

uint64_t producer_ack(struct producer *self)
{
    uint64_t smallest =
        self->open_to_all && self->settings.produce != NULL && self->n_readers == 0 ? 0 : UINT64_MAX;
    for (size_t i = 0; i < self->n_readers; i++) {
        if (counts(&self->readers[i]) && self->readers[i].ack < smallest) {
            smallest = self->readers[i].ack;
        }
    }
    return smallest;
}

/* Whether a guest is about to fetch the rest. */
static bool awaits_guest(const struct producer *self)
{
    int64_t now = clock_ms();
    bool awaits = false;
    for (size_t i = 0; i < self->n_readers; i++) {
        const struct reader *reader = &self->readers[i];
        awaits = awaits || (reader->guest && !reader->finished && now - reader->heard_ms < GUEST_SILENT_MS);
    }
    return awaits && now - self->done_ms < GUEST_MS;
}

bool producer_finished(struct producer *self)
{
    bool awaits_one = self->open_to_all && self->settings.produce != NULL && self->router != NULL;
    bool finished = self->n_readers > 0 || !awaits_one;
    for (size_t i = 0; i < self->n_readers; i++) {
        finished = finished && (self->readers[i].finished || !counts(&self->readers[i]));
    }
    self->done_ms = finished && self->done_ms == 0 ? clock_ms() : self->done_ms;
    return finished && !awaits_guest(self);
}

bool producer_has_room(struct producer *self, size_t n)
{
    struct stream_field fields[STREAM_FIELDS_MAX] = {{.row_bytes = 0}};
    size_t n_fields = stream_fields(&self->info, fields);
    uint64_t needed = 0;
    for (size_t f = 0; f < n_fields; f++) {
        needed += n * fields[f].row_bytes;
    }
    /* Little is kept of what all have, so that memory is used again while it is in a cache; unless somebody
     * reads who is not waited for. */
    bool guests = self->guest_ms > 0 && clock_ms() - self->guest_ms < SILENT_MS;
    uint64_t past_bytes = self->settings.ring_bytes / (guests ? 1 : PAST_PART);
    if (self->ring.bytes + needed <= past_bytes || !self->wanted) {
        return true;
    }
    uint64_t ack = producer_ack(self);
    while (self->ring.count > 0 && self->ring.bytes + needed > past_bytes &&
           ring_at(&self->ring, 0)->seq + ring_at(&self->ring, 0)->n <= ack) {
        self->base = ring_drop(&self->ring);
    }
    return self->ring.count == 0 || self->ring.bytes + needed <= self->settings.ring_bytes;
}

static int answer_parked(struct producer *self)
{
    size_t kept = 0;
    int status = 0;
    for (size_t i = 0; i < self->n_parked; i++) {
        struct parked *parked = &self->parked[i];
        if (status < 0 || !is_there(self, parked->from)) {
            self->parked[kept++] = *parked;
        } else {
            status = reply_data(self, parked->identity, parked->identity_bytes, parked->from, parked->n);
        }
    }
    self->n_parked = kept;
    return status;
}

int producer_append(struct producer *self, const struct block *block)
{
    self->head = block->seq + block->n;
    if (!self->wanted && !tap_wanted(&self->tap, TAP_DATA, NULL)) {
        self->base = self->head; /* a stream that nobody reads costs nothing */
        return 0;
    }
    int status = hold(self, block);
    if (status == 0) {
        publish(self, ring_at(&self->ring, self->ring.count - 1));
        status = answer_parked(self);
    }
    if (!self->wanted && self->ring.count > 0) { /* only looked at */
        self->base = ring_drop(&self->ring);
    }
    return status;
}

int producer_set_total(struct producer *self, uint64_t total)
{
    self->info.total = total;
    return answer_parked(self);
}

int producer_set_extent(struct producer *self, uint64_t base, uint64_t head, uint64_t total)
{
    self->base = base;
    self->there = head >= total ? total : stream_block_start(&self->info, head, self->info.block);
    return producer_set_total(self, total);
}

uint64_t producer_head(const struct producer *self)
{
    return self->head;
}

uint64_t producer_held(struct producer *self)
{
    bool source = self->settings.produce != NULL;
    uint64_t end = source ? self->there : self->head, ack = producer_ack(self);
    if (end == UINT64_MAX) {
        return UINT64_MAX;
    }
    uint64_t first = ack > self->base ? ack : self->base;
    return end > first ? end - first : 0;
}

bool producer_awaited(const struct producer *self)
{
    return self->n_parked > 0;
}

/* ---- the tap ---- */

bool producer_tapped(struct producer *self, enum tap_topic topic, bool *fresh)
{
    return tap_wanted(&self->tap, topic, fresh);
}

int producer_send_weights(struct producer *self, const struct stage_weights *weights, uint64_t frame,
                          uint64_t pass)
{
    zmq_msg_t message;
    int status =
        message_write_weights(&message, &self->info, weights, frame, pass, self->tap.sent[TAP_WEIGHTS]);
    if (status == 0) {
        tap_send(&self->tap, TAP_WEIGHTS, &message);
    }
    return status;
}

int producer_send_metrics(struct producer *self, const struct metric *metrics, size_t n, uint64_t frame,
                          uint64_t pass)
{
    zmq_msg_t message;
    int status =
        message_write_metrics(&message, &self->info, metrics, n, frame, pass, self->tap.sent[TAP_METRICS]);
    if (status == 0) {
        tap_send(&self->tap, TAP_METRICS, &message);
    }
    return status;
}

/* loom tap: any stream of a running pipeline, on standard output or in a file, from another terminal.
 *
 * It reads a stream as an optional reader: it never acknowledges, so nobody waits for it, and what it asks
 * for is copied from memory that is held anyway. It gets every frame, as long as it takes them before the
 * stage lets them go; a reader of its output that stalls stalls it and nothing else, and it says how many
 * frames it missed. Or it looks at the stage's tap (a name that ends in .tap): what is made just now, with
 * gaps where it is too slow; or weights and metrics.
 *
 * Limits: one stream a process; the description of the stream beside a tap is asked at the same name
 * without .tap. */
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "clock.h"
#include "consumer.h"
#include "endpoint.h"
#include "local_endpoint.h"
#include "log.h"
#include "message.h"
#include "options.h"
#include "output.h"

#define TAP_ENDING ".tap"
#define TAP_HWM 8          /* messages of a tap that wait here at most */
#define WAIT_MS 100        /* at most, for messages; then the state of affairs is looked at */
#define MISSED_SAY_MS 2000 /* between two words on missed frames */
#define NEWEST UINT64_MAX
#define OLDEST (UINT64_MAX - 1)

enum topic { TOPIC_STREAM, TOPIC_DATA, TOPIC_WEIGHTS, TOPIC_METRICS };

static const char *const topics[] = {NULL, "data", "weights", "metrics"};

struct tap_program {
    const char *where, *stage; /* as given: an endpoint, a path, or a run's folder and a stage */
    struct output_settings output;
    bool form_given, fps_given, force;
    uint64_t from;   /* frame, NEWEST or OLDEST */
    uint64_t frames; /* to write at most; UINT64_MAX: all */
    enum topic topic;
    double timeout_s, patience_s;
    struct endpoint_keys keys;

    char *endpoint; /* of the stream; owned */
    char *tap;      /* of its tap; owned */
    int folder;     /* through which both go, or -1; open to the end of the program */
    struct endpoint_context *context;
    struct consumer *consumer; /* of the stream; beside a tap it only describes */
    void *subscriber;
    struct output *sink;
    bool begun;            /* the sink knows what comes */
    uint64_t next;         /* tap: frame or count expected next; stream: first frame that came */
    uint64_t missed, said; /* frames or messages missed since the first; the same as last told */
    int64_t said_ms;
};

static volatile sig_atomic_t signalled = 0;

static void on_signal(int number)
{
    (void)number;
    signalled = 1;
}

static bool stopped(void)
{
    return signalled != 0;
}

/* ---- the command line ---- */

enum {
    KEY_FROM = 0x100,
    KEY_LOSSY,
    KEY_TOPIC,
    KEY_FRAMES,
    KEY_RAW,
    KEY_NPY,
    KEY_Y4M,
    KEY_MSGPACK,
    KEY_FPS,
    KEY_SCALE,
    KEY_WHITE,
    KEY_TIMEOUT,
    KEY_PATIENCE,
    KEY_CURVE_KEY,
    KEY_CURVE_PEERS,
    KEY_FORCE,
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "What to read", 1},
    {"from", KEY_FROM, "oldest|newest|N", 0,
     "where to begin: the oldest frame that the stage holds, the next that it makes, or frame N (default: "
     "newest)",
     1},
    {"frames", KEY_FRAMES, "N", 0, "end after so many frames (of a tap's weights or metrics: messages)", 1},
    {"lossy", KEY_LOSSY, NULL, 0, "look at the tap beside the stream, as a name that ends in .tap does", 1},
    {"topic", KEY_TOPIC, "data|weights|metrics", 0, "what to look at there (default: data)", 1},
    {NULL, 0, NULL, 0, "What to write", 2},
    {"msgpack", KEY_MSGPACK, NULL, 0, "one MessagePack map a block, complete in itself (the default)", 2},
    {"raw", KEY_RAW, NULL, 0,
     "the numbers alone, little-endian, row by row: frames u1 or f4, activations f4, codes as f4 of every "
     "unit",
     2},
    {"npy", KEY_NPY, "N", 0,
     "the next N frames as a .npy file (with -o); codes as a structured array of index, value", 2},
    {"y4m", KEY_Y4M, NULL, 0, "grey video (YUV4MPEG2), for: | ffplay -   | mpv -   | ffmpeg -i -", 2},
    {"output", 'o', "FILE", 0, "write into FILE, which is there when all is in it (default: standard output)",
     2},
    {"force", KEY_FORCE, NULL, 0, "overwrite FILE", 2},
    {"fps", KEY_FPS, "RATE", 0, "y4m: pictures a second (default: 25)", 2},
    {"scale", KEY_SCALE, "K", 0, "y4m: pixels a number (default: 1)", 2},
    {"white", KEY_WHITE, "VALUE", 0,
     "y4m: value shown white (default: 1 for frames; otherwise the largest so far)", 2},
    {NULL, 0, NULL, 0, "The connection", 3},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0, "silence after which a fetch is sent again (default: 1)", 3},
    {"patience", KEY_PATIENCE, "SECONDS", 0,
     "silence after which the stage counts as gone; 0: never (default: 30)", 3},
    {"curve-key", KEY_CURVE_KEY, "PATH", 0, "own certificate with its secret key: encrypts TCP", 3},
    {"curve_key", KEY_CURVE_KEY, NULL, OPTION_ALIAS | OPTION_HIDDEN, NULL, 3},
    {"curve-peers", KEY_CURVE_PEERS, "PATH", 0, "the server's certificate", 3},
    {"curve_peers", KEY_CURVE_PEERS, NULL, OPTION_ALIAS | OPTION_HIDDEN, NULL, 3},
    {0},
};

static uint64_t parse_from(struct argp_state *state, const char *text)
{
    return strcmp(text, "newest") == 0   ? NEWEST
           : strcmp(text, "oldest") == 0 ? OLDEST
                                         : option_whole(state, "from", text, 0, (uint64_t)INT64_MAX);
}

static enum topic parse_topic(struct argp_state *state, const char *text)
{
    for (enum topic topic = TOPIC_DATA; topic <= TOPIC_METRICS; topic++) {
        if (strcmp(text, topics[topic]) == 0) {
            return topic;
        }
    }
    argp_error(state, "--topic is data, weights or metrics, not '%s'", text);
    return TOPIC_DATA;
}

static void take_form(struct tap_program *self, struct argp_state *state, enum form form)
{
    if (self->form_given && self->output.form != form) {
        argp_error(state, "one of --msgpack, --raw, --npy and --y4m at a time");
    }
    self->form_given = true;
    self->output.form = form;
}

static void take_place(struct tap_program *self, struct argp_state *state, const char *argument)
{
    if (self->stage != NULL) {
        argp_error(state, "one stream at a time; '%s' is too many", argument);
    }
    *(self->where == NULL ? &self->where : &self->stage) = argument;
}

/* What does not go together. */
static void check_options(struct tap_program *self, struct argp_state *state)
{
    const struct output_settings *output = &self->output;
    if (self->where == NULL) {
        argp_error(
            state,
            "which stream? name its endpoint, or a run's folder and a stage: loom tap runs/topo sparse");
    }
    if (self->topic == TOPIC_METRICS && output->form != FORM_MSGPACK) {
        argp_error(state, "metrics are written as msgpack only");
    }
    if (self->topic != TOPIC_STREAM && self->from != NEWEST) {
        argp_error(state, "a tap shows what is made just now; leave out --from, or read the stream");
    }
    if (output->form != FORM_Y4M && (self->fps_given || output->scale != 1 || output->white > 0)) {
        argp_error(state, "--fps, --scale and --white belong to --y4m");
    }
    if (output->form == FORM_NPY && output->path == NULL) {
        argp_error(state, "--npy writes a file; name it: -o FILE.npy");
    }
    if (output->path == NULL && isatty(STDOUT_FILENO)) {
        argp_error(state,
                   "what would be written is binary, and standard output is a terminal; give -o FILE, or a "
                   "pipe: --y4m | ffplay -");
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct tap_program *self = state->input;
    switch (key) {
    case KEY_FROM:
        self->from = parse_from(state, argument);
        return 0;
    case KEY_FRAMES:
        self->frames = option_whole(state, "frames", argument, 1, (uint64_t)INT64_MAX);
        return 0;
    case KEY_LOSSY:
        self->topic = self->topic == TOPIC_STREAM ? TOPIC_DATA : self->topic;
        return 0;
    case KEY_TOPIC:
        self->topic = parse_topic(state, argument);
        return 0;
    case KEY_MSGPACK:
        take_form(self, state, FORM_MSGPACK);
        return 0;
    case KEY_RAW:
        take_form(self, state, FORM_RAW);
        return 0;
    case KEY_Y4M:
        take_form(self, state, FORM_Y4M);
        return 0;
    case KEY_NPY:
        take_form(self, state, FORM_NPY);
        self->output.rows = option_whole(state, "npy", argument, 1, (uint64_t)INT64_MAX);
        return 0;
    case 'o':
        self->output.path = argument;
        return 0;
    case KEY_FORCE:
        self->force = true;
        return 0;
    case KEY_FPS:
        self->output.fps = option_number(state, "fps", argument, 0.001, 1e6);
        self->fps_given = true;
        return 0;
    case KEY_SCALE:
        self->output.scale = (size_t)option_whole(state, "scale", argument, 1, 1000);
        return 0;
    case KEY_WHITE:
        self->output.white = option_number(state, "white", argument, 1e-30, 1e30);
        return 0;
    case KEY_TIMEOUT:
        self->timeout_s = option_number(state, "timeout", argument, 0.01, 3600);
        return 0;
    case KEY_PATIENCE:
        self->patience_s = option_number(state, "patience", argument, 0, 1e6);
        return 0;
    case KEY_CURVE_KEY:
        self->keys.certificate = argument;
        return 0;
    case KEY_CURVE_PEERS:
        self->keys.peers = argument;
        return 0;
    case ARGP_KEY_ARG:
        take_place(self, state, argument);
        return 0;
    case ARGP_KEY_END:
        check_options(self, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- where ---- */

/* Whether the pipeline.yaml that `loom run` wrote has this stage; also if it is not written yet. */
static bool in_pipeline(const char *run, const char *stage)
{
    char *path = NULL, *key = NULL, *line = NULL;
    size_t size = 0;
    bool found = true;
    if (asprintf(&path, "%s/pipeline.yaml", run) < 0) {
        return true;
    }
    FILE *file = fopen(path, "re");
    free(path);
    if (file != NULL && asprintf(&key, "  \"%s\":\n", stage) >= 0) {
        found = false;
        while (!found && getline(&line, &size, file) >= 0) {
            found = strcmp(line, key) == 0;
        }
        free(key);
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

/* The names of the run's sockets, those of taps left out, into `names`; as many as fit. */
static void list_sockets(const char *run, char *names, size_t size)
{
    char *path = NULL;
    size_t used = 0;
    names[0] = '\0';
    DIR *folder = asprintf(&path, "%s/sockets", run) < 0 ? NULL : opendir(path);
    free(path);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        size_t length = strlen(entry->d_name);
        if (entry->d_name[0] != '.' && !ends_with(entry->d_name, TAP_ENDING) && used + length + 3 < size) {
            used += (size_t)snprintf(names + used, size - used, used == 0 ? "%s" : ", %s", entry->d_name);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

/* Whether the stage whose socket is not there may still come; else what is wrong. */
static int check_stage(const struct tap_program *self)
{
    char names[1024], *finished = NULL;
    size_t length = strlen(self->stage) - (ends_with(self->stage, TAP_ENDING) ? strlen(TAP_ENDING) : 0);
    char *stage = strndup(self->stage, length);
    int status = 0;
    if (stage == NULL || asprintf(&finished, "%s/checkpoints/finished", self->where) < 0) {
        free(stage);
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    list_sockets(self->where, names, sizeof names);
    if (names[0] == '\0' && access(finished, F_OK) == 0) {
        status = error_set(LOOM_EPEER,
                           "the run '%s' has finished: it serves nothing any more; read its files with loom "
                           "export, or serve a recording again with loom replay",
                           self->where);
    } else if (!in_pipeline(self->where, stage)) {
        status = error_set(LOOM_EUSAGE, "'%s' has no stage '%s'; its streams are: %s", self->where, stage,
                           names[0] == '\0' ? "none now" : names);
    }
    free(finished);
    free(stage);
    return status;
}

/* A run's folder and a stage of it, to its socket's path. LOOM_EUSAGE if there is no such folder or stage,
 * LOOM_EPEER if the run has finished. */
static int path_of_stage(const struct tap_program *self, char **path)
{
    struct stat about;
    if (stat(self->where, &about) != 0 || !S_ISDIR(about.st_mode)) {
        return error_set(LOOM_EUSAGE, "'%s' is not a run's folder", self->where);
    }
    if (asprintf(path, "%s/sockets/%s", self->where, self->stage) < 0) {
        *path = NULL;
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    return access(*path, F_OK) == 0 ? 0 : check_stage(self);
}

/* The path or endpoint that is meant; the caller frees it. */
static int choose_place(const struct tap_program *self, char **place)
{
    struct stat about;
    *place = NULL;
    if (self->stage != NULL) {
        return path_of_stage(self, place);
    }
    if (strstr(self->where, "://") == NULL && stat(self->where, &about) == 0 && S_ISDIR(about.st_mode)) {
        return error_set(LOOM_EUSAGE, "which stage of '%s'? name it too; `ls %s/sockets` shows them",
                         self->where, self->where);
    }
    *place = strdup(self->where);
    return *place == NULL ? error_set(LOOM_EINTERNAL, "out of memory for a path") : 0;
}

/* Fill endpoint and tap. */
static int find_place(struct tap_program *self)
{
    char *place = NULL, *tap = NULL;
    int status = choose_place(self, &place);
    if (status < 0 || place == NULL) {
        free(place);
        return status;
    }
    if (ends_with(place, TAP_ENDING)) {
        place[strlen(place) - strlen(TAP_ENDING)] = '\0';
        self->topic = self->topic == TOPIC_STREAM ? TOPIC_DATA : self->topic;
    }
    if (asprintf(&tap, "%s" TAP_ENDING, place) < 0) {
        tap = NULL;
        status = error_set(LOOM_EINTERNAL, "out of memory for a path");
    } else {
        status = local_endpoint(tap, &self->tap, &self->folder); /* of both, the longer path */
    }
    free(place);
    free(tap);
    self->endpoint = status == 0 ? strndup(self->tap, strlen(self->tap) - strlen(TAP_ENDING)) : NULL;
    return status == 0 && self->endpoint == NULL ? error_set(LOOM_EINTERNAL, "out of memory for a path")
                                                 : status;
}

static int connect_to(struct tap_program *self)
{
    const struct consumer_settings settings = {.endpoint = self->endpoint,
                                               .who = "",
                                               .timeout_ms = (int64_t)(1000 * self->timeout_s),
                                               .patience_ms = (int64_t)(1000 * self->patience_s),
                                               .optional = true};
    int status = endpoint_context_new(&self->context, &self->keys);
    if (status == 0) {
        status = consumer_new(&self->consumer, self->context, &settings);
    }
    if (status < 0 || self->topic == TOPIC_STREAM) {
        return status;
    }
    status =
        endpoint_connect(self->context, &self->subscriber, ZMQ_SUB, self->tap, TAP_HWM, MESSAGE_REPLY_MAX);
    if (status == 0 && zmq_setsockopt(self->subscriber, ZMQ_SUBSCRIBE, topics[self->topic],
                                      strlen(topics[self->topic])) != 0) {
        status = error_set(LOOM_EINTERNAL, "cannot subscribe: %s", zmq_strerror(errno));
    }
    return status;
}

/* ---- reading ---- */

/* How many more frames are wanted. */
static uint64_t wanted(const struct tap_program *self)
{
    uint64_t most = self->output.form == FORM_NPY ? self->output.rows : UINT64_MAX;
    uint64_t frames = self->frames < most ? self->frames : most;
    return frames - output_rows(self->sink);
}

/* Tell of missed frames, not too often. */
static void say_missed(struct tap_program *self, bool now)
{
    if (self->missed > self->said && (now || clock_ms() - self->said_ms > MISSED_SAY_MS)) {
        log_warning("%ju %s missed so far: whoever reads this is slower than the stage",
                    (uintmax_t)self->missed,
                    self->topic == TOPIC_WEIGHTS || self->topic == TOPIC_METRICS ? "messages" : "frames");
        self->said = self->missed;
        self->said_ms = clock_ms();
    }
}

/* Wait until something may have come. Returns 0 or OUTPUT_CLOSED. */
static int wait_for_messages(const struct tap_program *self)
{
    zmq_pollitem_t items[3] = {{.socket = consumer_socket(self->consumer), .events = ZMQ_POLLIN}};
    int n = 1, out = -1;
    if (self->subscriber != NULL) {
        items[n++] = (zmq_pollitem_t){.socket = self->subscriber, .events = ZMQ_POLLIN};
    }
    if (self->output.path == NULL) { /* tells when the other end of a pipe is closed */
        out = n;
        items[n++] = (zmq_pollitem_t){.fd = STDOUT_FILENO, .events = ZMQ_POLLERR};
    }
    int ready = zmq_poll(items, n, WAIT_MS);
    return ready > 0 && out >= 0 && (items[out].revents & ZMQ_POLLERR) != 0 ? OUTPUT_CLOSED : 0;
}

/* Begin to fetch, once the stream is described. */
static int begin_stream(struct tap_program *self)
{
    const struct stream_info *info = consumer_info(self->consumer);
    uint64_t base, head;
    consumer_held(self->consumer, &base, &head);
    uint64_t from = self->from == NEWEST ? head : self->from == OLDEST ? base : self->from;
    if (from > info->total) {
        return error_set(LOOM_EUSAGE, "--from is %ju, but %s has only %ju frames", (uintmax_t)from,
                         info->name, (uintmax_t)info->total);
    }
    int status = output_begin_stream(self->sink, info);
    self->begun = status == 0;
    return status < 0 ? status : consumer_start(self->consumer, from, (size_t)info->block, "");
}

/* Write what has come of the stream. */
static int pump_stream(struct tap_program *self, bool *ended)
{
    const struct stream_info *info = consumer_info(self->consumer);
    int status = self->begun ? 0 : begin_stream(self);
    for (size_t n; status == 0 && wanted(self) > 0 && (n = consumer_ready(self->consumer)) > 0;) {
        struct block block;
        n = n < wanted(self) ? n : (size_t)wanted(self);
        status = consumer_take(self->consumer, n, &block);
        if (status == 0 && output_rows(self->sink) == 0) {
            self->next = consumer_missed(self->consumer); /* gone before we came */
            log_info("%s: begins at frame %ju", info->name, (uintmax_t)block.seq);
        }
        if (status == 0) {
            status = output_block(self->sink, info, &block, consumer_ended(self->consumer));
        }
    }
    if (output_rows(self->sink) > 0) {
        self->missed = consumer_missed(self->consumer) - self->next;
    }
    *ended = consumer_ended(self->consumer) || wanted(self) == 0;
    return status;
}

/* A data message of the tap: only what lies ahead, for a stage that starts again shows its last frames
 * again. */
static int take_data(struct tap_program *self, const struct message *message, bool *ended)
{
    const struct stream_info *info = consumer_info(self->consumer);
    const uint8_t *rows[STREAM_FIELDS_MAX] = {NULL};
    if (strcmp(message->info.id, info->id) != 0) {
        return error_set(LOOM_EDATA, "%s shows stream %s, but %s describes stream %s", self->tap,
                         message->info.id, self->endpoint, info->id);
    }
    int status = message_rows(message, info, rows);
    if (status < 0 || message->seq < self->next) {
        return status;
    }
    struct block block = {.seq = message->seq, .n = (size_t)message->n, .n_metrics = message->n_metrics};
    for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
        block.fields[f] = (void *)(uintptr_t)rows[f];
    }
    memcpy(block.metrics, message->metrics, sizeof block.metrics);
    self->missed += output_rows(self->sink) > 0 ? message->seq - self->next : 0;
    self->next = message->seq + message->n;
    if (block.n > wanted(self)) {
        block.n = (size_t)wanted(self);
        block.n_metrics = 0;
    }
    *ended = message->eos;
    return output_block(self->sink, info, &block, message->eos && block.n == message->n);
}

static int take_message(struct tap_program *self, zmq_msg_t *payload, bool *ended)
{
    static struct message message; /* large */
    static const enum message_type types[] = {MESSAGE_DATA, MESSAGE_DATA, MESSAGE_WEIGHTS, MESSAGE_METRICS};
    int status = message_read(&message, zmq_msg_data(payload), zmq_msg_size(payload));
    if (status == 0 && message.type != types[self->topic]) {
        status = error_set(LOOM_EDATA, "another kind of message than %s", topics[self->topic]);
    }
    if (status < 0) {
        return error_prefix(status, "%s shows what cannot be used", self->tap);
    }
    if (!self->begun && self->topic != TOPIC_METRICS) {
        status = self->topic == TOPIC_DATA ? output_begin_stream(self->sink, consumer_info(self->consumer))
                                           : output_begin_weights(self->sink, &message);
        self->begun = status == 0;
    }
    if (status < 0 || self->topic == TOPIC_DATA) {
        return status < 0 ? status : take_data(self, &message, ended);
    }
    self->missed +=
        output_rows(self->sink) > 0 && message.count > self->next ? message.count - self->next : 0;
    self->next = message.count + 1;
    return self->output.form == FORM_MSGPACK
               ? output_message(self->sink, zmq_msg_data(payload), zmq_msg_size(payload))
               : output_weights(self->sink, &message);
}

/* Write what has come from the tap. */
static int pump_tap(struct tap_program *self, bool *ended)
{
    int status = 0;
    while (status == 0 && !*ended && !stopped()) {
        zmq_msg_t topic, payload;
        zmq_msg_init(&topic);
        zmq_msg_init(&payload);
        bool came = zmq_msg_recv(&topic, self->subscriber, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&topic) &&
                    zmq_msg_recv(&payload, self->subscriber, ZMQ_DONTWAIT) >= 0;
        status = came ? take_message(self, &payload, ended) : 0;
        *ended = *ended || (status == 0 && wanted(self) == 0);
        zmq_msg_close(&topic);
        zmq_msg_close(&payload);
        if (!came) {
            break;
        }
    }
    return status;
}

/* It was there, and is no more: it ends when its own readers have all, whether others have or not. */
static int say_gone(const struct tap_program *self)
{
    const struct stream_info *info = consumer_info(self->consumer);
    uint64_t at = self->topic == TOPIC_STREAM ? consumer_position(self->consumer) : self->next;
    if (info == NULL || !self->begun || self->topic == TOPIC_WEIGHTS || info->total == UINT64_MAX) {
        return LOOM_EPEER; /* with the consumer's words */
    }
    return error_set(LOOM_EPEER, "%s is gone; of its %ju frames the last %ju have not been read in time",
                     info->name, (uintmax_t)info->total, (uintmax_t)(info->total - at));
}

static int read_all(struct tap_program *self)
{
    bool ended = false;
    int status = 0;
    while (status == 0 && !ended) {
        status = wait_for_messages(self);
        if (status == 0) {
            status = consumer_pump(self->consumer);
        }
        if (status == 0 && consumer_info(self->consumer) != NULL) {
            status = self->topic == TOPIC_STREAM ? pump_stream(self, &ended) : pump_tap(self, &ended);
        }
        say_missed(self, false);
        if (status == 0 && !ended && stopped()) {
            status = error_set(LOOM_EINTERRUPTED, "interrupted");
        }
    }
    return status == LOOM_EPEER ? say_gone(self) : status;
}

/* ---- the whole ---- */

/* The stream ended before all frames had come that were asked for. */
static int say_short(const struct tap_program *self, uint64_t rows, uint64_t asked)
{
    return error_set(LOOM_EPEER, "the stream ended: %s has %ju frames of the %ju asked for%s",
                     self->output.path, (uintmax_t)rows, (uintmax_t)asked,
                     rows == 0 && self->topic == TOPIC_STREAM && self->from == NEWEST
                         ? "; reading began at its end: --from oldest gives what the stage still holds"
                         : "");
}

/* Put the file in its place, also with less than was asked for; `status` says how reading went. */
static int finish(struct tap_program *self, int status)
{
    char why[1024];
    snprintf(why, sizeof why, "%s", error_message());
    say_missed(self, true);
    uint64_t rows = self->sink == NULL ? 0 : output_rows(self->sink);
    bool keep = self->begun || (self->topic == TOPIC_METRICS && rows > 0);
    if (self->sink == NULL || self->output.path == NULL || !keep || status == LOOM_EIO ||
        status == LOOM_EINTERNAL) {
        return status < 0 ? error_set((enum loom_status)status, "%s", why) : 0;
    }
    uint64_t asked = self->frames < self->output.rows ? self->frames : self->output.rows;
    bool is_short = self->output.form == FORM_NPY && rows < asked;
    if (is_short && status < 0) {
        log_warning("%s has %ju frames of the %ju asked for", self->output.path, (uintmax_t)rows,
                    (uintmax_t)asked);
    }
    int finished = output_finish(self->sink);
    if (finished < 0) {
        return finished;
    }
    return status < 0 ? error_set((enum loom_status)status, "%s", why)
           : is_short ? say_short(self, rows, asked)
                      : 0;
}

/* What is there already is kept, unless --force is given. Not a device or a FIFO, which keeps nothing. */
static int check_file(const struct tap_program *self)
{
    struct stat about;
    const char *path = self->output.path;
    return path == NULL || self->force || stat(path, &about) != 0 || !S_ISREG(about.st_mode)
               ? 0
               : error_set(LOOM_EUSAGE,
                           "'%s' exists, and nothing was written; give --force to overwrite, or another -o",
                           path);
}

static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL); /* without SA_RESTART: a write that waits is given up */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse_option,
        "ENDPOINT\nRUN STAGE",
        "Read a stream of a running pipeline, from another terminal: by its endpoint (or its socket's path), "
        "or by the "
        "run's folder and the stage's name. Nobody waits for this reader, and it changes no result."
        "\vFor example:\n"
        "  loom tap runs/topo topo --y4m --scale 16 | ffplay -\n"
        "  loom tap runs/topo sparse --from oldest --npy 1000 -o codes.npy\n"
        "  loom tap runs/topo sparse.tap --topic weights --y4m --fps 5 | mpv -\n\n"
        "Exit codes: 0 done, or nobody reads any more; 64 bad usage, 65 bad data, 69 nobody serves the "
        "endpoint, or the stream ended before the N frames of --npy had come (the file has the others), 74 "
        "I/O error, 130 interrupted.",
        NULL,
        NULL,
        NULL};
    struct tap_program self = {.from = NEWEST,
                               .frames = UINT64_MAX,
                               .timeout_s = 1,
                               .patience_s = 30,
                               .keys = {"", ""},
                               .output = {.fps = 25, .scale = 1, .stopped = stopped}};
    options_parse(&argp, argc, argv, 0, "tap", &self);
    handle_signals();
    int status = check_file(&self);
    if (status == 0) {
        status = find_place(&self);
    }
    if (status == 0) {
        status = connect_to(&self);
    }
    if (status == 0) {
        status = output_new(&self.sink, &self.output);
    }
    if (status == 0) {
        status = read_all(&self);
    }
    status = finish(&self, status);
    if (status == LOOM_EINTERRUPTED) {
        log_info("%s", error_message());
    } else if (status < 0) {
        log_error("%s", error_message());
    }
    output_destroy(&self.sink);
    endpoint_close(&self.subscriber);
    consumer_destroy(&self.consumer);
    endpoint_context_destroy(&self.context);
    free(self.endpoint);
    free(self.tap);
    return -status;
}

/* See subject.h. */
#include "subject.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "message.h"

#define SLICE_MS 20      /* between two looks at the process and the input */
#define ASK_AGAIN_MS 200 /* while it starts */

/* ---- life ---- */

int subject_init(struct subject *self)
{
    static const struct endpoint_keys none = {"", ""};
    const char *tmp = getenv("TMPDIR");
    if (tmp == NULL || strlen(tmp) > SUBJECT_PATH_BYTES / 2) { /* a socket's path must be short */
        tmp = "/tmp";
    }
    if (asprintf(&self->folder, "%s/loom-check-XXXXXX", tmp) < 0 || mkdtemp(self->folder) == NULL) {
        int status = error_set(LOOM_EIO, "cannot make a folder in %s: %s", tmp, strerror(errno));
        free(self->folder);
        self->folder = NULL;
        return status;
    }
    snprintf(self->endpoint, sizeof self->endpoint, "ipc://%.70s/stage", self->folder);
    if (asprintf(&self->child.log, "%s/said", self->folder) < 0) {
        self->child.log = NULL;
        return error_set(LOOM_EINTERNAL, "out of memory");
    }
    self->end = UINT64_MAX;
    return endpoint_context_new(&self->context, &none);
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *ftw)
{
    (void)about, (void)kind, (void)ftw;
    (void)remove(path);
    return 0;
}

static void forget_argv(struct subject *self)
{
    for (size_t i = 0; self->argv != NULL && self->argv[i] != NULL; i++) {
        free(self->argv[i]);
    }
    free(self->argv);
    self->argv = NULL;
}

void subject_fini(struct subject *self)
{
    child_kill(&self->child);
    endpoint_close(&self->dealer);
    feed_close(&self->feed);
    endpoint_context_destroy(&self->context);
    if (self->folder != NULL) {
        nftw(self->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
        free(self->rows[f]);
    }
    forget_argv(self);
    free(self->child.log);
    free(self->folder);
}

void subject_feed(struct subject *self, uint64_t block, bool other)
{
    feed_close(&self->feed);
    self->feed_end = 0;
    self->feeds++; /* the old endpoint may stay in use for a moment */
    snprintf(self->input, sizeof self->input, "ipc://%.70s/input-%u", self->folder, self->feeds);
    int status = feed_open(&self->feed, self->context, self->input, self->input_kind, self->most, block,
                           other ? "check-stage-other" : "check-stage-input");
    self->broken = self->broken < 0 ? self->broken : status;
}

/* ---- the process ---- */

/* A word with its placeholders replaced; NULL if memory runs out. */
static char *replace(const struct subject *self, const char *word)
{
    char run[SUBJECT_PATH_BYTES];
    snprintf(run, sizeof run, "%.70s/run-%u", self->folder, self->run);
    const char *const places[][2] = {{"{bind}", self->endpoint}, {"{in}", self->input}, {"{run}", run}};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    for (const char *at = word; out != NULL && *at != '\0';) {
        size_t i = 0;
        while (i < 3 && strncmp(at, places[i][0], strlen(places[i][0])) != 0) {
            i++;
        }
        fputs(i < 3 ? places[i][1] : (const char[]){*at, '\0'}, out);
        at += i < 3 ? strlen(places[i][0]) : 1;
    }
    return out != NULL && fclose(out) == 0 ? text : NULL;
}

static int fill_argv(struct subject *self)
{
    size_t n = 0;
    while (self->command[n] != NULL) {
        n++;
    }
    forget_argv(self);
    self->argv = calloc(n + 1, sizeof *self->argv);
    for (size_t i = 0; self->argv != NULL && i < n; i++) {
        self->argv[i] = replace(self, self->command[i]);
        if (self->argv[i] == NULL) {
            forget_argv(self);
        }
    }
    return self->argv == NULL ? error_set(LOOM_EINTERNAL, "out of memory for a command") : 0;
}

static int connect_anew(struct subject *self)
{
    endpoint_close(&self->dealer);
    return endpoint_connect(self->context, &self->dealer, ZMQ_DEALER, self->endpoint, 0, MESSAGE_REPLY_MAX);
}

int subject_await(struct subject *self, struct answer *answer)
{
    int64_t end_ms = clock_ms() + self->patience_ms, asked_ms = 0;
    enum came came = CAME_NOTHING;
    bool waits = false;
    while (clock_ms() < end_ms && self->broken == 0 && came != CAME_DEATH) {
        if (clock_ms() - asked_ms >= ASK_AGAIN_MS) {
            subject_describe(self);
            asked_ms = clock_ms();
        }
        came = subject_receive(self, answer, ASK_AGAIN_MS);
        if (came == CAME_REPLY && !answer_has_text(answer, "t", "wait")) {
            return connect_anew(self); /* where answers to the other questions do not come */
        }
        waits = waits || came == CAME_REPLY;
    }
    if (self->broken < 0) {
        return self->broken;
    }
    return error_set(LOOM_EPEER, "'%s' has not described a stream at %s: %s", self->command[0],
                     self->endpoint,
                     came == CAME_DEATH ? self->finding.came
                     : waits            ? "it only says `wait`; has it found its input?"
                                        : "it does not answer; does it bind a ROUTER socket there?");
}

int subject_start(struct subject *self, bool fresh, struct answer *answer)
{
    char run[SUBJECT_PATH_BYTES];
    subject_kill(self);
    self->run += fresh;
    snprintf(run, sizeof run, "%.70s/run-%u", self->folder, self->run);
    if (mkdir(run, 0700) != 0 && errno != EEXIST) {
        return error_set(LOOM_EIO, "cannot make the folder %s: %s", run, strerror(errno));
    }
    int status = fill_argv(self);
    if (status == 0) {
        status = connect_anew(self);
    }
    if (status == 0) {
        status = child_start(&self->child, self->argv);
    }
    return status < 0 ? status : subject_await(self, answer);
}

void subject_kill(struct subject *self)
{
    child_kill(&self->child);
}

bool subject_revive(struct subject *self)
{
    int status = 0;
    if (!child_lives(&self->child)) {
        struct answer answer;
        answer_init(&answer);
        status = subject_start(self, false, &answer);
        answer_fini(&answer);
    } else {
        status = connect_anew(self);
    }
    return status == 0;
}

/* ---- messages ---- */

void subject_send(struct subject *self, const void *bytes, size_t n)
{
    answer_show(self->finding.sent, sizeof self->finding.sent, bytes, n);
    zmq_send(self->dealer, bytes, n, ZMQ_DONTWAIT); /* lost if nobody is there: then nothing comes */
}

static void send_message(struct subject *self, int status, zmq_msg_t *message)
{
    if (status < 0) {
        self->broken = status;
        return;
    }
    subject_send(self, zmq_msg_data(message), zmq_msg_size(message));
    zmq_msg_close(message);
}

void subject_describe(struct subject *self)
{
    zmq_msg_t message;
    send_message(self, message_write_describe(&message, SUBJECT_WHO), &message);
}

void subject_fetch(struct subject *self, const char *id, uint64_t from, uint64_t n)
{
    zmq_msg_t message;
    uint64_t ack = self->ack < from ? self->ack : from;
    send_message(self, message_write_fetch(&message, id, from, n, ack, SUBJECT_WHO), &message);
}

/* Whether a message is there: its parts, understood. */
static bool receive(struct subject *self, struct answer *answer)
{
    if (zmq_msg_recv(&answer->message, self->dealer, ZMQ_DONTWAIT) < 0) {
        return false;
    }
    size_t parts = 1;
    while (zmq_msg_more(&answer->message) &&
           zmq_msg_recv(&answer->message, self->dealer, ZMQ_DONTWAIT) >= 0) {
        parts++;
    }
    answer->parts = parts;
    answer_read(answer);
    answer_show(self->finding.came, sizeof self->finding.came, zmq_msg_data(&answer->message),
                zmq_msg_size(&answer->message));
    return true;
}

/* Serve the input, and wait a moment for what comes from it, or (`listening`) from the stage. */
static void pump(struct subject *self, int64_t ms, bool listening)
{
    zmq_pollitem_t items[2];
    int n = 0, status = 0;
    if (listening) {
        items[n++] = (zmq_pollitem_t){.socket = self->dealer, .events = ZMQ_POLLIN};
    }
    if (self->feed.producer != NULL) {
        status = feed_pump(&self->feed, self->feed_end);
        items[n++] = (zmq_pollitem_t){.socket = producer_router(self->feed.producer), .events = ZMQ_POLLIN};
    }
    if (self->stopped()) {
        status = error_set(LOOM_EINTERRUPTED, "interrupted");
    }
    self->broken = self->broken < 0 ? self->broken : status;
    zmq_poll(items, n, ms < SLICE_MS ? ms : SLICE_MS);
}

enum came subject_receive(struct subject *self, struct answer *answer, int64_t timeout_ms)
{
    int64_t end_ms = clock_ms() + timeout_ms;
    answer_fini(answer);
    while (self->broken == 0) {
        bool lives = child_lives(&self->child); /* first: what it sent before it died is still to come */
        if (receive(self, answer)) {
            return CAME_REPLY;
        }
        if (!lives) {
            subject_pause(self, SLICE_MS);
            if (receive(self, answer)) {
                return CAME_REPLY;
            }
            child_tell(&self->child, self->finding.came, sizeof self->finding.came);
            return CAME_DEATH;
        }
        if (clock_ms() >= end_ms) {
            break;
        }
        pump(self, end_ms - clock_ms(), true);
    }
    snprintf(self->finding.came, sizeof self->finding.came, "nothing within %.3g s",
             (double)timeout_ms / 1000);
    return CAME_NOTHING;
}

enum came subject_ask(struct subject *self, uint64_t from, uint64_t n, struct answer *answer)
{
    subject_fetch(self, self->info.id, from, n);
    return subject_receive(self, answer, self->timeout_ms);
}

void subject_pause(struct subject *self, int64_t ms)
{
    int64_t end_ms = clock_ms() + ms;
    while (clock_ms() < end_ms && self->broken == 0) {
        pump(self, end_ms - clock_ms(), false);
    }
}

/* ---- the check under way ---- */

void check_begin(struct subject *self, const char *name)
{
    self->finding = (struct finding){.check = name};
}

void check_fail(struct subject *self, enum rule rule, const char *mend, const char *what, ...)
{
    if (check_failed(self)) {
        return;
    }
    struct finding *finding = &self->finding;
    va_list arguments;
    va_start(arguments, what);
    vsnprintf(finding->what, sizeof finding->what, what, arguments);
    va_end(arguments);
    finding->verdict = VERDICT_FAILED;
    finding->rule = rule;
    finding->mend = mend;
    report_add(self->report, finding);
}

void check_fail_silent(struct subject *self, enum came came, enum rule rule, const char *mend)
{
    if (came == CAME_DEATH) {
        check_fail(self, rule,
                   "catch the exception, or test the request before it is used, and go on with the next one",
                   "it died of this request");
    } else if (came == CAME_NOTHING) {
        check_fail(self, rule, mend, "it does not answer");
    }
}

bool check_failed(const struct subject *self)
{
    return self->finding.verdict == VERDICT_FAILED || self->broken < 0;
}

void check_skip(struct subject *self, const char *why)
{
    if (!check_failed(self)) {
        self->finding.verdict = VERDICT_SKIPPED;
        snprintf(self->finding.what, sizeof self->finding.what, "%s", why);
    }
}

void check_end(struct subject *self)
{
    if (!check_failed(self)) {
        report_add(self->report, &self->finding);
    }
}

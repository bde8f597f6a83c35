/* Checks of a stream as good readers read it; see checks.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "clock.h"
#include "data.h"

#define OUTSTANDING 8   /* fetches under way at once */
#define INVENTED_MS 300 /* in which frames would come that nobody can have made */
#define KEPT_BYTES_MAX ((uint64_t)64 << 20)
#define HUGE_N ((uint64_t)1 << 40)

#define PURE_HINT                                                                                            \
    "compute frame k from k alone: no random generator or state that goes on from request to request; for "  \
    "chance, "                                                                                               \
    "numpy.random.default_rng([seed, k])"

/* ---- describe ---- */

#define CHECK_WAITING "a fetch waits for frames that are not made yet"
#define DEAF_HINT                                                                                            \
    "poll the sockets of the input and of the readers together (zmq.Poller), instead of waiting for one of " \
    "them"

static void check_describe(struct subject *self, const struct answer *first)
{
    check_begin(self, "describe");
    subject_describe(self); /* for what was sent; the answer is looked at below */
    answer_show(self->finding.came, sizeof self->finding.came,
                zmq_msg_data((zmq_msg_t *)(uintptr_t)&first->message), zmq_msg_size(&first->message));
    (void)data_describes(self, first, true);
    check_end(self);
}

static void check_describe_again(struct subject *self)
{
    struct answer answer;
    answer_init(&answer);
    check_begin(self, "describe, again");
    for (int i = 0; i < 3 && subject_revive(self) && !check_failed(self); i++) {
        subject_describe(self);
        enum came came = subject_receive(self, &answer, self->timeout_ms);
        check_fail_silent(self, came, RULE_DESCRIBE_AT_ONCE, "answer describe every time");
        if (came == CAME_REPLY) {
            (void)data_describes(self, &answer, false);
        }
    }
    check_end(self);
    answer_fini(&answer);
}

/* Whether a description comes while fetches are under way, among whatever else. */
static bool await_description(struct subject *self)
{
    struct answer answer;
    answer_init(&answer);
    enum came came = CAME_REPLY;
    bool described = false;
    for (int64_t end_ms = clock_ms() + self->timeout_ms; came == CAME_REPLY && !described;) {
        int64_t left_ms = end_ms - clock_ms();
        came = subject_receive(self, &answer, left_ms > 0 ? left_ms : 0);
        described = came == CAME_REPLY && answer_has_text(&answer, "t", "stream");
    }
    answer_fini(&answer);
    return described;
}

/* A stage that takes a stream can be made to wait: its input is held back. */
static void check_waiting(struct subject *self)
{
    struct answer answer;
    struct part part;
    answer_init(&answer);
    check_begin(self, CHECK_WAITING);
    subject_fetch(self, self->info.id, 0, self->info.block);
    enum came came = subject_receive(self, &answer, INVENTED_MS);
    if (came == CAME_REPLY) {
        check_fail(self, RULE_WAITS,
                   "keep the request (peer, from, n) in a list, and answer when the frames are there",
                   "an answer came before any input was there");
    }
    check_fail_silent(self, came == CAME_DEATH ? came : CAME_REPLY, RULE_WAITS, "");
    if (!check_failed(self)) {
        subject_describe(self);
        if (!await_description(self)) {
            check_fail(self, RULE_DESCRIBE_AT_ONCE, DEAF_HINT,
                       "while it waits for its input it does not answer describe");
        }
    }
    self->feed_end = UINT64_MAX; /* now the frames come, and with them the answer */
    if (!check_failed(self)) {
        came = subject_receive(self, &answer, self->timeout_ms);
        check_fail_silent(self, came, RULE_WAITS,
                          "keep the request (peer, from, n) in a list, and answer when the frames are there");
        if (came == CAME_REPLY) {
            (void)data_answers(self, &answer, 0, self->info.block, &part);
        }
    }
    check_end(self);
    answer_fini(&answer);
}

static void check_describe_between(struct subject *self)
{
    check_begin(self, "describe while fetches wait");
    if (subject_revive(self)) {
        uint64_t far = self->end != UINT64_MAX && self->end > 0 ? self->end - 1 : self->base + self->most;
        for (int i = 0; i < OUTSTANDING; i++) {
            subject_fetch(self, self->info.id, far, 1);
        }
        subject_describe(self);
        if (!await_description(self)) {
            check_fail(self, RULE_DESCRIBE_AT_ONCE,
                       "do not sleep or wait within the answer to a fetch: keep it, and answer later",
                       "describe is not answered while %d fetches are under way", OUTSTANDING);
        }
    }
    check_end(self);
}

bool checks_describe(struct subject *self, const struct answer *first)
{
    check_describe(self, first);
    if (check_failed(self)) {
        return false;
    }
    check_describe_again(self);
    if (self->late) {
        check_begin(self, CHECK_WAITING);
        check_fail(self, RULE_DESCRIBE_AT_ONCE, DEAF_HINT,
                   "it does not answer describe before it has the first frames of its input");
    } else if (self->middle) {
        check_waiting(self);
    } else {
        check_describe_between(self);
    }
    return self->broken == 0;
}

/* ---- fetch ---- */

/* Keep what comes. */
static bool keep(struct subject *self, uint64_t from, const struct part *part)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    size_t n_fields = stream_fields(&self->info, fields);
    for (size_t f = 0; f < n_fields; f++) {
        memcpy(self->rows[f] + (from - self->first) * fields[f].row_bytes, part->rows[f],
               part->n * fields[f].row_bytes);
    }
    self->kept += part->n;
    return true;
}

static void check_in_order(struct subject *self)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    size_t n_fields = stream_fields(&self->info, fields);
    uint64_t frame_bytes = 1, most = self->most;
    check_begin(self, "fetch in order");
    for (size_t f = 0; f < n_fields; f++) {
        frame_bytes += fields[f].row_bytes;
    }
    most = most > KEPT_BYTES_MAX / frame_bytes ? KEPT_BYTES_MAX / frame_bytes + 1 : most;
    for (size_t f = 0; f < n_fields; f++) {
        self->rows[f] = calloc(most, fields[f].row_bytes);
        if (self->rows[f] == NULL) {
            self->broken = error_set(LOOM_EINTERNAL, "out of memory for frames");
            return;
        }
    }
    self->first = self->base;
    if (subject_revive(self)) {
        (void)data_read(self, self->first, self->first + most, keep);
    }
    if (self->kept == 0 && self->end == self->first) {
        check_skip(self, "the stream has no frames");
    }
    check_end(self);
}

static void check_values(struct subject *self)
{
    check_begin(self, "values are in their range");
    data_check_values(self);
    check_end(self);
}

/* Ask for n frames from `from` on once more, and compare. */
static void ask_again(struct subject *self, uint64_t from, uint64_t n, const char *what)
{
    struct answer answer;
    struct part part;
    answer_init(&answer);
    if (!check_failed(self) && from < self->first + self->kept && data_fetch(self, from, n, &answer, &part)) {
        (void)data_agrees(self, from, &part, RULE_PURE, PURE_HINT, what);
    }
    answer_fini(&answer);
}

static void check_again(struct subject *self)
{
    const uint64_t block = self->info.block;
    check_begin(self, "fetch again: the same bytes");
    if (subject_revive(self)) {
        for (uint64_t i = 0; i < 4; i++) { /* backwards, over all that came */
            uint64_t from = self->first + self->kept * (3 - i) / 4;
            uint64_t n = stream_block_end(&self->info, from, block) - from;
            ask_again(self, from, n, "than the first time");
            ask_again(self, from, n, "than the first time");
            ask_again(self, from, 1, "when it is fetched alone");
            ask_again(self, from + 1, 7 < block ? 7 : block, "in another cut");
        }
    }
    check_end(self);
}

static void check_other_reader(struct subject *self)
{
    struct answer answer;
    struct part part;
    answer_init(&answer);
    check_begin(self, "another reader gets the same");
    void *first = NULL;
    if (subject_revive(self)) {
        subject_fetch(self, self->info.id, self->first,
                      self->info.block); /* whose answer goes to the first one */
        first = self->dealer;
        self->dealer = NULL;
    }
    if (first != NULL && subject_revive(self) &&
        data_fetch(self, self->first, self->info.block, &answer, &part)) {
        (void)data_agrees(self, self->first, &part, RULE_PURE, PURE_HINT, "for another reader");
    }
    endpoint_close(&first);
    check_end(self);
    answer_fini(&answer);
}

static void check_several(struct subject *self)
{
    struct answer answer;
    struct part part;
    uint64_t from[OUTSTANDING], n = 0, at = self->first;
    answer_init(&answer);
    check_begin(self, "several fetches under way");
    if (subject_revive(self)) {
        while (n < OUTSTANDING && at < self->first + self->kept) {
            from[n++] = at;
            subject_fetch(self, self->info.id, at, self->info.block);
            at = stream_block_end(&self->info, at, self->info.block);
        }
    }
    for (uint64_t i = 0; i < n && !check_failed(self); i++) {
        enum came came = subject_receive(self, &answer, self->timeout_ms);
        check_fail_silent(self, came, RULE_CREDIT,
                          "answer every fetch, also those that come before the last one is answered");
        const struct answer_pair *seq = came == CAME_REPLY ? answer_get(&answer, "seq") : NULL;
        if (seq != NULL && seq->value.type == WIRE_UNSIGNED && seq->value.number != from[i]) {
            check_fail(self, RULE_CREDIT,
                       "answer in the order in which fetches come: readers drop what is not next",
                       "of %" PRIu64 " fetches the answer to number %" PRIu64 " begins at frame %" PRIu64
                       " instead of %" PRIu64,
                       n, i + 1, seq->value.number, from[i]);
        } else if (came == CAME_REPLY && data_answers(self, &answer, from[i], self->info.block, &part)) {
            (void)data_agrees(self, from[i], &part, RULE_PURE, PURE_HINT,
                              "when several fetches are under way");
        }
    }
    check_end(self);
    answer_fini(&answer);
}

static void check_sizes(struct subject *self)
{
    struct answer answer;
    struct part part;
    answer_init(&answer);
    check_begin(self, "fetch of no frames, and of very many");
    if (subject_revive(self) && data_fetch(self, self->first, 0, &answer, &part) &&
        data_fetch(self, self->first, HUGE_N, &answer, &part)) {
        (void)data_agrees(self, self->first, &part, RULE_PURE, PURE_HINT, "when very many are asked for");
    }
    check_end(self);
    answer_fini(&answer);
}

static void check_beyond(struct subject *self)
{
    struct answer answer;
    struct part part;
    answer_init(&answer);
    check_begin(self, "the end of the stream");
    if (self->end == UINT64_MAX) {
        check_skip(self, "it is endless, as far as was read");
    } else if (subject_revive(self)) {
        const uint64_t ends[] = {self->end > 0 ? self->end - 1 : 0, self->end, self->end + 1000};
        for (size_t i = 0; i < 3 && data_fetch(self, ends[i], self->info.block, &answer, &part); i++) {
            if (ends[i] >= self->end && part.n > 0) {
                check_fail(self, RULE_BEYOND, "n = max(0, min(ask['n'], total - ask['from']))",
                           "frames came from beyond the end");
            }
        }
    }
    check_end(self);
    answer_fini(&answer);
}

bool checks_fetch(struct subject *self)
{
    check_in_order(self);
    if (self->kept > 0) {
        check_values(self);
        check_again(self);
        check_other_reader(self);
        check_several(self);
        check_sizes(self);
    }
    check_beyond(self);
    return self->broken == 0 && self->kept > 0;
}

/* Checks of a stage's life: killed and started again, slow readers, other input, the end; see checks.h. */
#include <inttypes.h>
#include <string.h>

#include "checks.h"
#include "data.h"

#define SLOW_MS 1500    /* that a slow reader takes over a block */
#define OTHER_BLOCK 7   /* frames a message of the input, the second time */
#define CONFIRM_MS 5000 /* for the last acknowledgement to arrive */
#define ENDED_MS 1000   /* in which a stage that is done may end */

#define RESTART_HINT                                                                                         \
    "let everything follow from the parameters: a fixed seed, sorted file names, no time; not what "         \
    "happened before"
#define STATE_HINT                                                                                           \
    "save the whole state with the frame number that it belongs to (write a temporary file, rename it), "    \
    "and go on from "                                                                                        \
    "there; or begin at frame 0 again"

/* Compare with what came first. */
static bool compare_restart(struct subject *self, uint64_t from, const struct part *part)
{
    return data_agrees(self, from, part, RULE_RESTART, RESTART_HINT, "after a restart");
}

static bool compare_slow(struct subject *self, uint64_t from, const struct part *part)
{
    return data_agrees(self, from, part, RULE_PURE, "compute frame k from k, not from when it is asked for",
                       "when its reader has taken its time");
}

static bool compare_cut(struct subject *self, uint64_t from, const struct part *part)
{
    self->ack = from; /* what came before is safe here */
    return data_agrees(
        self, from, part, RULE_PURE,
        "compute frame by frame, or in blocks cut at fixed frame numbers, not in those that come",
        "when its input comes in other message blocks");
}

static bool compare_killed(struct subject *self, uint64_t from, const struct part *part)
{
    self->ack = from;
    return data_agrees(self, from, part, RULE_RESTART, STATE_HINT, "after a kill in the middle");
}

/* Start it again, and see that it is the same stream; else the check fails. */
static bool start_again(struct subject *self, bool fresh)
{
    struct answer answer;
    answer_init(&answer);
    int status = subject_start(self, fresh, &answer);
    bool good = status == 0 && data_describes(self, &answer, false);
    if (status == LOOM_EPEER) {
        check_fail(self, RULE_RESTART,
                   "bind the same endpoint again: nothing of the old process must be in the way",
                   "it does not come back: %s", self->finding.came);
    } else if (status < 0) {
        self->broken = status;
    }
    answer_fini(&answer);
    return good;
}

/* The first frame behind the first block, as far as frames are kept. */
static uint64_t first_block_end(const struct subject *self)
{
    uint64_t end = stream_block_end(&self->info, self->first, self->info.block);
    return end < self->first + self->kept ? end : self->first + self->kept;
}

/* ---- sources ---- */

static void check_restart(struct subject *self)
{
    uint64_t end = first_block_end(self);
    check_begin(self, "killed and started again: the same stream");
    subject_kill(self);
    if (start_again(self, true)) {
        (void)data_read(self, self->first, end, compare_restart);
    }
    check_end(self);
}

/* same: it is the stream of before. */
static void check_slow(struct subject *self, bool same)
{
    check_begin(self, "a slow reader is waited for");
    uint64_t next = first_block_end(self);
    if (!same) {
        check_skip(self, "since its restart it is another stream");
    } else if (next == self->first + self->kept) {
        check_skip(self, "the stream has one block only");
    } else if (subject_revive(self)) {
        uint64_t end = stream_block_end(&self->info, next, self->info.block);
        self->ack = self->first;
        subject_pause(self, SLOW_MS);
        (void)data_read(self, next, end < self->first + self->kept ? end : self->first + self->kept,
                        compare_slow);
    }
    check_end(self);
}

/* ---- stages in the middle ---- */

/* With its input in other blocks, and killed half-way. */
static void check_blocks(struct subject *self)
{
    uint64_t half = self->first + self->kept / 2, all = self->first + self->kept;
    check_begin(self, "the same output for other message blocks of the input");
    subject_kill(self);
    subject_feed(self, OTHER_BLOCK, false);
    self->feed_end = UINT64_MAX;
    if (start_again(self, true)) {
        (void)data_read(self, self->first, half, compare_cut);
    }
    check_end(self);
    if (check_failed(self)) {
        return;
    }
    check_begin(self, "killed in the middle: goes on with the same bits");
    subject_kill(self);
    if (start_again(self, false)) {
        (void)data_read(self, half, all, compare_killed);
    }
    check_end(self);
}

static void check_other_input(struct subject *self)
{
    struct answer answer;
    answer_init(&answer);
    check_begin(self, "another input makes another id");
    subject_kill(self);
    subject_feed(self, OTHER_BLOCK, true);
    int status = subject_start(self, true, &answer);
    if (status == LOOM_EPEER) {
        check_skip(self, "it describes nothing on another input");
    } else if (status < 0) {
        self->broken = status;
    } else if (answer_has_text(&answer, "id", self->info.id)) {
        check_fail(
            self, RULE_DESCRIBE,
            "make the id from the input's id too: hashlib.sha256((input_id + repr(parameters)).encode())"
            ".hexdigest()[:32]",
            "its id is the same for another input: readers could not tell the streams apart");
    }
    check_end(self);
    answer_fini(&answer);
}

void checks_restart(struct subject *self)
{
    if (self->middle) {
        check_blocks(self);
    } else {
        check_restart(self);
    }
    check_slow(self, self->finding.verdict == VERDICT_OK);
}

/* ---- the end ---- */

/* Say that everything is safe, and see that it is confirmed. */
static void check_last_ack(struct subject *self)
{
    struct answer answer;
    struct part part;
    answer_init(&answer);
    check_begin(self, "the last acknowledgement");
    if (self->end == UINT64_MAX) {
        check_skip(self, "it is endless, as far as was read");
    } else if (subject_revive(self)) {
        self->ack = self->end;
        (void)data_fetch(self, self->end, 0, &answer, &part);
        int64_t waited = 0;
        while (!check_failed(self) && waited < ENDED_MS && child_lives(&self->child)) {
            subject_pause(self, ENDED_MS / 10);
            waited += ENDED_MS / 10;
        }
        if (!check_failed(self) && !child_lives(&self->child) && self->child.status != 0) {
            child_tell(&self->child, self->finding.came, sizeof self->finding.came);
            check_fail(self, RULE_END,
                       "after the last acknowledgement go on serving, or end with exit code 0",
                       "it fails after the last acknowledgement");
        }
    }
    check_end(self);
    answer_fini(&answer);
}

/* Whether a stage in the middle has acknowledged all its input. */
static void check_input_ack(struct subject *self)
{
    check_begin(self, "acknowledges its input to the end");
    if (self->end == UINT64_MAX) {
        check_skip(self, "its own end is not known");
    } else if (!check_failed(self)) {
        for (int64_t waited = 0;
             waited < CONFIRM_MS && producer_ack(self->feed.producer) != self->feed.info.total;
             waited += 100) {
            subject_pause(self, 100);
        }
        uint64_t ack = producer_ack(self->feed.producer);
        if (ack == UINT64_MAX) {
            check_fail(self, RULE_ACK,
                       "give 'who': its name and 'ack': the first frame that it may still ask for, in every "
                       "fetch; and at the end "
                       "a fetch with 'from': total, 'n': 0, 'ack': total",
                       "it has never acknowledged anything: whoever feeds it would wait for ever at the end");
        } else if (ack != self->feed.info.total) {
            check_fail(self, RULE_ACK,
                       "when all is done, send {'t': 'fetch', 'from': total, 'n': 0, 'ack': total, ...}",
                       "it has acknowledged its input to frame %" PRIu64 " of %" PRIu64, ack,
                       self->feed.info.total);
        }
    }
    check_end(self);
}

void checks_end(struct subject *self)
{
    check_last_ack(self);
    if (self->middle) {
        check_input_ack(self);
        check_other_input(self);
    }
}

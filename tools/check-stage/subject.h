/* The stage that is checked: its process, the socket to it, the input that it is given, the frames that it
 * gave, and the check that is under way. */
#ifndef LOOM_TOOLS_CHECK_STAGE_SUBJECT_H
#define LOOM_TOOLS_CHECK_STAGE_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "answer.h"
#include "child.h"
#include "endpoint.h"
#include "feed.h"
#include "report.h"
#include "stream.h"

#define SUBJECT_PATH_BYTES 96 /* of a socket, with its NUL */
#define SUBJECT_WHO "check-stage"

struct subject {
    char **command; /* words with the placeholders {bind}, {in} and {run}; NULL at the end; borrowed */
    bool middle;    /* it takes a stream */
    enum stream_kind input_kind;
    int64_t timeout_ms;    /* for a reply */
    int64_t patience_ms;   /* for the first word after a start */
    uint64_t most;         /* frames looked at, at most */
    bool (*stopped)(void); /* whether a signal has asked to end */
    struct report *report;

    char *folder; /* for sockets and all; owned */
    char endpoint[SUBJECT_PATH_BYTES], input[SUBJECT_PATH_BYTES];
    unsigned run, feeds; /* numbers of the run's folder, and of the input */
    char **argv;         /* the command as started last; owned, like its words */
    struct child child;
    struct endpoint_context *context;
    void *dealer;
    struct feed feed;
    uint64_t feed_end; /* frames of the feed that may be made */

    struct stream_info info;          /* as described first */
    uint64_t base, head;              /* as described last */
    uint64_t ack;                     /* what fetches acknowledge */
    uint8_t *rows[STREAM_FIELDS_MAX]; /* the frames from `first` on that came in order; owned */
    uint64_t first, kept;
    bool late;    /* it described itself only after the first frames of its input had come */
    uint64_t end; /* frames in all, as described or seen; UINT64_MAX: not known */

    struct finding finding; /* of the check under way */
    int broken;             /* a failure of our own, LOOM_E...; then nothing is checked any more */
};

enum came { CAME_REPLY, CAME_NOTHING, CAME_DEATH };

/* Make the folder and the context. feed_block 0: no input. */
int subject_init(struct subject *self) LOOM_MUST_CHECK;
void subject_fini(struct subject *self);

/* Serve the known stream anew, under another id if `other`, and none of it yet. */
void subject_feed(struct subject *self, uint64_t block, bool other);

/* Start the process, and as subject_await; in an empty run's folder if `fresh`. */
int subject_start(struct subject *self, bool fresh, struct answer *answer) LOOM_MUST_CHECK;

/* Wait until it describes its stream; *answer is that description or what else came. LOOM_EPEER if nothing
 * did. */
int subject_await(struct subject *self, struct answer *answer) LOOM_MUST_CHECK;

/* kill -9. */
void subject_kill(struct subject *self);

/* If the process has died, start it again; and have a new socket, to which no old reply comes. false: it
 * does not start. */
bool subject_revive(struct subject *self);

/* Send a message of one part; remembered as what was sent. */
void subject_send(struct subject *self, const void *bytes, size_t n);
void subject_describe(struct subject *self);
void subject_fetch(struct subject *self, const char *id, uint64_t from, uint64_t n);

/* Wait for a message, of whatever kind; remembered as what came. */
enum came subject_receive(struct subject *self, struct answer *answer, int64_t timeout_ms);

/* Ask and wait for the answer. */
enum came subject_ask(struct subject *self, uint64_t from, uint64_t n, struct answer *answer);

/* Let time pass, and serve the input meanwhile. */
void subject_pause(struct subject *self, int64_t ms);

/* ---- the check under way ---- */

void check_begin(struct subject *self, const char *name);

/* Something is wrong: only the first time counts. */
void check_fail(struct subject *self, enum rule rule, const char *mend, const char *what, ...)
    __attribute__((format(printf, 4, 5)));

/* Nothing came: says so, or that the process has died. */
void check_fail_silent(struct subject *self, enum came came, enum rule rule, const char *mend);

/* Whether it has, or nothing can be checked any more. */
bool check_failed(const struct subject *self);
void check_skip(struct subject *self, const char *why);
void check_end(struct subject *self);

#endif

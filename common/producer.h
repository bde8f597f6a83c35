/* Producer: the serving end of a stream (PROTOCOL.md): a ROUTER that answers describe and fetch from a ring
 * of blocks, and beside it an XPUB, the tap, for those who only look.
 *
 * The ring holds everything from the smallest acknowledgement of the required readers on, as ready-made
 * replies; if it is full, producer_has_room says no and the stage waits: that is the backpressure. A source's
 * blocks can be made again from their number, so it holds only a few and is asked for the rest. */
#ifndef LOOM_COMMON_PRODUCER_H
#define LOOM_COMMON_PRODUCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "endpoint.h"
#include "error.h"
#include "stream.h"
#include "tap.h"

struct producer;

struct producer_settings {
    const char *endpoint; /* of the ROUTER; "" : none, nobody can fetch */
    const char *tap;      /* of the XPUB; "" : none */
    /* Names of the readers to wait for, with commas; "*": whoever acknowledges, while heard; "": nobody. */
    const char *required;
    /* Where readers that have everything are kept, a line "NAME ID" each; "": nowhere. */
    const char *done_path;
    uint64_t ring_bytes; /* of blocks held at most */
    /* A source: fill block->fields for block->seq .. + n, and return 0. Otherwise NULL. */
    int (*produce)(void *argument, struct block *block);
    void *argument;
};

/* Bind. The stream is not described yet: requests are answered with `wait`. Settings' texts are copied.
 * LOOM_EPEER if an endpoint is in use. The caller owns *self_p. */
int producer_new(struct producer **self_p, struct endpoint_context *context,
                 const struct producer_settings *settings) LOOM_MUST_CHECK;
void producer_destroy(struct producer **self_p);

/* Describe the stream and begin to serve: frames before `base` have been made by an earlier process and are
 * gone. */
int producer_start(struct producer *self, const struct stream_info *info, uint64_t base) LOOM_MUST_CHECK;

/* Sockets to poll for input; NULL if there is none. */
void *producer_router(const struct producer *self);
void *producer_tap(const struct producer *self);

/* Answer what has come, for some milliseconds at most. Malformed requests are refused and logged, never an
 * error. */
int producer_pump(struct producer *self) LOOM_MUST_CHECK;

/* Whether a block of n more frames fits. */
bool producer_has_room(struct producer *self, size_t n);

/* Append the next block (seq = producer_head) and answer who waited for it. */
int producer_append(struct producer *self, const struct block *block) LOOM_MUST_CHECK;

/* The end of a stream that was described without one is known now; it is not before the head. Answers who
 * waits there. */
int producer_set_total(struct producer *self, uint64_t total) LOOM_MUST_CHECK;

/* For a source whose frames come from outside: those from `base` to before `head` are there; total is
 * UINT64_MAX until the end is known. Fetches of later ones wait; while frames are missing only whole
 * blocks are given out, so that the same question always gets the same answer. Answers who waited. */
int producer_set_extent(struct producer *self, uint64_t base, uint64_t head, uint64_t total) LOOM_MUST_CHECK;

/* First frame not yet made; for a source: first frame that nobody has fetched. */
uint64_t producer_head(const struct producer *self);

/* Frames held because a reader to wait for has not acknowledged them; of a source, those that it cannot make
 * again (UINT64_MAX: it can make all). */
uint64_t producer_held(struct producer *self);

/* Whether somebody has asked for frames that are not there yet. */
bool producer_awaited(const struct producer *self);

/* Smallest acknowledgement of the readers to wait for; UINT64_MAX if there are none (but 0 for a source that
 * waits for whoever comes, until somebody has). */
uint64_t producer_ack(struct producer *self);

/* Whether every reader to wait for has acknowledged the whole stream. A source without required readers waits
 * for one at least; other readers that are just fetching the rest have a few seconds for it. */
bool producer_finished(struct producer *self);

/* Whether somebody looks at the tap for this topic; *fresh (may be NULL): somebody new since the last
 * call. */
bool producer_tapped(struct producer *self, enum tap_topic topic, bool *fresh);

/* Send to the tap; lost where a reader does not keep up. */
int producer_send_weights(struct producer *self, const struct stage_weights *weights, uint64_t frame,
                          uint64_t pass) LOOM_MUST_CHECK;
int producer_send_metrics(struct producer *self, const struct metric *metrics, size_t n, uint64_t frame,
                          uint64_t pass) LOOM_MUST_CHECK;

#endif

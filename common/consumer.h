/* Consumer: the reading end of a stream (PROTOCOL.md): a DEALER that describes, fetches ahead, fetches again
 * after silence, takes only what comes in order, and acknowledges what is durable. */
#ifndef LOOM_COMMON_CONSUMER_H
#define LOOM_COMMON_CONSUMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "endpoint.h"
#include "error.h"
#include "stream.h"

struct consumer;

struct consumer_settings {
    const char *endpoint;
    const char *who;     /* our name in the run */
    int64_t timeout_ms;  /* of silence, after which a fetch is sent again */
    int64_t patience_ms; /* of silence, after which the peer counts as unavailable; 0: never */
    bool join_oldest;    /* if the first frames are gone, begin at the oldest held */
    bool optional; /* never acknowledge, so that nobody waits for us; frames that are gone are passed over */
};

/* Connect; the peer need not be there yet. Settings' texts are borrowed. The caller owns *self_p. */
int consumer_new(struct consumer **self_p, struct endpoint_context *context,
                 const struct consumer_settings *settings) LOOM_MUST_CHECK;
void consumer_destroy(struct consumer **self_p);

void *consumer_socket(const struct consumer *self);

/* Receive what has come, send what is due. LOOM_EPEER if the peer has been silent for too long, LOOM_EDATA if
 * it serves another stream than before, has lost frames that we need, or refuses. */
int consumer_pump(struct consumer *self) LOOM_MUST_CHECK;

/* The stream's description once the peer has given it, else NULL. */
const struct stream_info *consumer_info(const struct consumer *self);

/* Begin to fetch at frame `from`, to take at most `most` frames at once. id: the stream we must find, "" for
 * any. LOOM_EDATA with both ids otherwise. */
int consumer_start(struct consumer *self, uint64_t from, size_t most, const char *id) LOOM_MUST_CHECK;

/* Frames that can be taken at once, however they were cut into messages; there may be more behind them. */
size_t consumer_ready(const struct consumer *self);

/* Frames that have come and were not taken yet. */
uint64_t consumer_waiting(const struct consumer *self);

/* Take exactly n frames (at most `most`, not past the end of a pass): aligned fields, valid until the next
 * call; metrics if they end a pass. block->n is 0 if they have not all come yet: call again after
 * consumer_pump. */
int consumer_take(struct consumer *self, size_t n, struct block *block) LOOM_MUST_CHECK;

/* Ask for no frame from `end` on, until told otherwise; UINT64_MAX: for all. */
void consumer_limit(struct consumer *self, uint64_t end);

/* Pass over all frames before `to` (not before the position, nor past the end): they count as taken, and
 * those that have not come are not asked for. */
void consumer_skip(struct consumer *self, uint64_t to);

/* Whether frames from the position on have come, or none of them had been made when the peer last
 * described itself: they will not be found gone. */
bool consumer_settled(const struct consumer *self);

/* First frame not yet taken. */
uint64_t consumer_position(const struct consumer *self);

/* Whether all frames of the stream have been taken. */
bool consumer_ended(const struct consumer *self);

/* All frames before `ack` are durable here: said with the next fetch, or on its own if none is due. */
void consumer_ack(struct consumer *self, uint64_t ack);

/* After consumer_ended and consumer_ack of everything: whether the peer has confirmed it. Call consumer_pump
 * in between. */
bool consumer_confirmed(const struct consumer *self);

/* Optional readers: frames that were gone before they came here, so far. */
uint64_t consumer_missed(const struct consumer *self);

/* The oldest frame that the peer holds and the first that it has not made, as it last said; 0 before. */
void consumer_held(const struct consumer *self, uint64_t *base, uint64_t *head);

/* Whether as many replies wait to be taken as it keeps: until then nothing more is received, and its socket need not be
 * polled. */
bool consumer_is_full(const struct consumer *self);

/* Milliseconds, while we listened, since anything came from the peer. */
int64_t consumer_silence_ms(const struct consumer *self);

#endif

/* Finding frames that all streams have: blocks of several streams, as taps show them, are kept until their ranges overlap.
 *
 * Whoever makes frames is ahead of who reads them, by as much as is read ahead; and taps lose blocks. So the blocks of
 * each stream are kept, the oldest first, and those dropped that lie before all that another stream has. */
#ifndef LOOM_STAGES_LIVE_SAMPLER_H
#define LOOM_STAGES_LIVE_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#include "clip.h"
#include "error.h"
#include "stream.h"

#define SAMPLER_BLOCKS_MAX 48 /* of a stream */
/* Of a stream, but one block at least; several times CLIP_BYTES_MAX, so that no clip is larger. */
#define SAMPLER_BYTES_MAX ((size_t)32 << 20)

struct sampled_block {
    uint64_t seq, n;
    zmq_msg_t message;                 /* holds the rows */
    size_t offsets[STREAM_FIELDS_MAX]; /* of each field's rows in it */
};

struct sampled {
    bool known; /* described */
    bool apart; /* its frames are asked for once those of the others are known */
    struct stream_info info;
    struct sampled_block blocks[SAMPLER_BLOCKS_MAX]; /* in the order they came */
    size_t n, bytes;
};

struct sampler {
    struct sampled streams[CLIP_STREAMS_MAX];
    size_t n;         /* streams */
    uint64_t emitted; /* frames before this have been cut already, as long as they came in order */
};

/* Describe stream s (below CLIP_STREAMS_MAX); what was kept of another one in its place is dropped. */
void sampler_describe(struct sampler *self, size_t s, const struct stream_info *info);

/* Keep a block of stream s. rows: where each field's begin in the message, as message_rows gives them. Takes the
 * message over, whether it is kept or not. */
void sampler_add(struct sampler *self, size_t s, uint64_t seq, uint64_t n, zmq_msg_t *message,
                 const uint8_t *const rows[STREAM_FIELDS_MAX]);

/* Whether a stream has all of these frames. */
bool sampler_has(const struct sampler *self, size_t s, uint64_t seq, size_t n);

/* Drop the blocks of one stream. */
void sampler_clear_stream(struct sampler *self, size_t s);

/* The newest frames that streams, those apart left out, have in common: at most `most`, of one pass, none that was cut before if `fresh`. all: of
 * every stream that is described; otherwise those are left out that have none in common with the others. Returns how
 * many, *seq is the first; 0: there are none. */
size_t sampler_common(const struct sampler *self, bool all, bool fresh, size_t most, uint64_t *seq);

/* Cut these frames of every stream that has all of them into *clip (empty before). LOOM_EINTERNAL. */
int sampler_cut(struct sampler *self, uint64_t seq, size_t n, struct clip *clip) LOOM_MUST_CHECK;

/* Drop all blocks. */
void sampler_clear(struct sampler *self);

#endif

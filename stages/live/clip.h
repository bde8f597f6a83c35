/* Clips: n consecutive frames of all streams that have them, and the recent ones in a ring. */
#ifndef LOOM_STAGES_LIVE_CLIP_H
#define LOOM_STAGES_LIVE_CLIP_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "stream.h"

#define CLIP_STREAMS_MAX 32
#define CLIP_BYTES_MAX ((size_t)8 << 20)       /* of a clip as it is sent, but one frame at least */
#define CLIP_RING_MAX 16                       /* recent clips kept ... */
#define CLIP_RING_BYTES_MAX ((size_t)32 << 20) /* ... and bytes, but one clip at least */

/* A stream's part of a clip: n rows of each field, aligned for any type. */
struct clip_part {
    size_t stream; /* which */
    void *fields[STREAM_FIELDS_MAX];
};

struct clip {
    uint64_t seq;
    size_t n;
    uint64_t pass; /* from 0 */
    struct clip_part parts[CLIP_STREAMS_MAX];
    size_t n_parts;
    size_t bytes;
};

/* Add a part with room for self->n rows of every field of the stream. NULL if memory runs out. */
struct clip_part *clip_add(struct clip *self, size_t stream, const struct stream_info *info);

/* The part of a stream; NULL: it has none. */
const struct clip_part *clip_part(const struct clip *self, size_t stream);

void clip_fini(struct clip *self);

struct clip_ring {
    struct clip clips[CLIP_RING_MAX]; /* newest first */
    size_t n;
};

/* Take a clip over; older ones make room. *clip is then empty. */
void clip_ring_keep(struct clip_ring *self, struct clip *clip);
void clip_ring_fini(struct clip_ring *self);

#endif

/* What a page may ask for: small JSON objects, from strangers.
 *
 *     {"t":"want","weights":true,"clip_ms":2000}
 *     {"t":"seek","seq":1000,"n":50}
 *     {"t":"unit","name":"sparse","unit":17} */
#ifndef LOOM_STAGES_LIVE_ASK_H
#define LOOM_STAGES_LIVE_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "stream.h"

#define ASK_BYTES_MAX 1024 /* of a message */
#define ASK_CLIP_MS_MIN 250
#define ASK_CLIP_MS_MAX 60000
#define ASK_CLIP_MS 2000  /* of a page that has not said */
#define ASK_FRAMES_MAX 64 /* of a clip */

enum ask_type { ASK_WANT, ASK_SEEK, ASK_UNIT };

struct ask {
    enum ask_type type;
    bool weights;                 /* WANT: show weights, prototypes and coverage */
    int64_t clip_ms;              /* WANT: between two clips; within the bounds above */
    uint64_t seq;                 /* SEEK: first frame */
    size_t n;                     /* SEEK: frames, 1 to ASK_FRAMES_MAX */
    char name[STREAM_NAME_BYTES]; /* UNIT: the layer */
    uint64_t unit;                /* UNIT */
};

/* Understand `size` bytes. LOOM_EDATA if they are none of the above; clip_ms and n beyond their bounds are brought
 * within them. */
int ask_read(struct ask *self, const void *bytes, size_t size) LOOM_MUST_CHECK;

#endif

/* Frames that others send as messages, on a PULL or a REP socket (common/PROTOCOL.md, "Sending frames to
 * Loom"). */
#ifndef LOOM_STAGES_RECEIVER_H
#define LOOM_STAGES_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "endpoint.h"
#include "error.h"
#include "spool.h"

/* A message with frames; what points anywhere points into its bytes. */
struct frames_message {
    const uint8_t *data; /* n frames one behind the other; NULL: none came */
    uint64_t n;
    uint64_t seq; /* number of the first frame; UINT64_MAX: the sender does not say */
    bool eos;     /* the stream ends behind it */
};

/* Understand `size` bytes from a stranger, of frames of this shape. LOOM_EDATA with what is wrong, values
 * that are no numbers from 0 to 1 included. */
int frames_message_read(struct frames_message *message, const void *bytes, size_t size,
                        const struct spool_shape *shape) LOOM_MUST_CHECK;

struct receiver;

/* Bind. confirms: answer every message (REP) once it is durable; else PULL. The caller owns *self_p. */
int receiver_new(struct receiver **self_p, struct endpoint_context *context, const char *endpoint,
                 bool confirms) LOOM_MUST_CHECK;
void receiver_destroy(struct receiver **self_p);

/* Take messages that have come, as far as there is room in the spool, which is synced and, at the end, ended.
 * Malformed ones are refused and logged. *more: call again at once. */
int receiver_take(struct receiver *self, struct spool *spool, bool *more) LOOM_MUST_CHECK;

/* What to wait for; NULL while there is no room. */
void *receiver_socket(const struct receiver *self);

#endif

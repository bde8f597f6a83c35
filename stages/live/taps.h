/* The source of a scene that is live: taps of a running pipeline (PROTOCOL.md), in a thread of its own.
 *
 * Looking must cost those who train next to nothing. So frames are subscribed to only for the moment that it takes to
 * catch a clip, weights only until one message of them has come, and while nobody looks at the page, neither. Streams
 * that are slow (a camera) stay subscribed to, and clips are what has come. */
#ifndef LOOM_STAGES_LIVE_TAPS_H
#define LOOM_STAGES_LIVE_TAPS_H

#include <stddef.h>

#include "archive.h"
#include "endpoint.h"
#include "error.h"
#include "scene.h"

struct taps;

/* Connect to n taps, whose endpoints are borrowed; they need not be there yet. archive: what the run has recorded so far;
 * NULL: not to be read. The scene and it are borrowed, and the thread's own until taps_destroy. Errors as
 * endpoint_connect. */
int taps_new(struct taps **self_p, struct scene *scene, struct endpoint_context *endpoints,
             const char *const *taps, size_t n, struct archive *archive) LOOM_MUST_CHECK;

/* End the thread, free and null; harmless on NULL. */
void taps_destroy(struct taps **self_p);

/* The state of the run as far as taps tell, for those who have no status.json: *status is filled, and freed by the caller
 * with status_fini. May be called from any thread. */
void taps_status(struct taps *self, struct run_status *status);

#endif

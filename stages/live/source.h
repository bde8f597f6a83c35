/* What the sources of a scene (taps.h, recorded.h) share: answers to what viewers ask, and the thread. */
#ifndef LOOM_STAGES_LIVE_SOURCE_H
#define LOOM_STAGES_LIVE_SOURCE_H

#include <pthread.h>

#include "archive.h"
#include "error.h"
#include "scene.h"

/* Answer everything that viewers ask. archive: where frames are recorded; NULL: nowhere. What cannot be had is answered
 * with `error`; LOOM_EINTERNAL. */
int source_answer(struct scene *scene, struct archive *archive) LOOM_MUST_CHECK;

/* Run body(argument) in a thread that gets no signals, and little of the time if others want it. */
int source_start(pthread_t *thread, void *(*body)(void *argument), void *argument) LOOM_MUST_CHECK;

#endif

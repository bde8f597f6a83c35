/* What the sources of a scene (taps.h, recorded.h) share: answers to what viewers ask, and the thread. */
#ifndef LOOM_STAGES_LIVE_SOURCE_H
#define LOOM_STAGES_LIVE_SOURCE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "archive.h"
#include "error.h"
#include "scene.h"

/* Answer everything that viewers ask. archive: where frames are recorded; NULL: nowhere. What cannot be had is answered
 * with `error`; LOOM_EINTERNAL. */
int source_answer(struct scene *scene, struct archive *archive) LOOM_MUST_CHECK;

/* The thread of a source. */
struct source_thread {
    pthread_t thread;
    bool running;
    atomic_bool over; /* its body shall return */
};

/* Run body(argument), which returns soon after `over` is set, in a thread that gets no signals, and little of the time if others
 * want it. */
int source_start(struct source_thread *self, void *(*body)(void *argument), void *argument) LOOM_MUST_CHECK;

/* End it, if it runs, and wait for that; the body may be waiting for the board. */
void source_end(struct source_thread *self, struct board *board);

#endif

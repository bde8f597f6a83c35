/* The source of a scene that is recorded: what a run has left in its folder, in a thread of its own. */
#ifndef LOOM_STAGES_LIVE_RECORDED_H
#define LOOM_STAGES_LIVE_RECORDED_H

#include "archive.h"
#include "error.h"
#include "scene.h"

struct recorded;

/* Begin. Scene and archive are borrowed, and the thread's own until recorded_destroy. */
int recorded_new(struct recorded **self_p, struct scene *scene, struct archive *archive) LOOM_MUST_CHECK;

/* End the thread, free and null; harmless on NULL. */
void recorded_destroy(struct recorded **self_p);

#endif

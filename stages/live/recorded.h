/* The source of a scene that is recorded: what a run has left in its folder (recordings, layer files, metrics), in a thread
 * of its own, the only one that may use HDF5 meanwhile. */
#ifndef LOOM_STAGES_LIVE_RECORDED_H
#define LOOM_STAGES_LIVE_RECORDED_H

#include "error.h"
#include "scene.h"

struct recorded;

/* Open what there is in the scene's folder. The scene is borrowed, and the thread's own until recorded_destroy.
 * Recordings and layer files that cannot be read are logged and left out. LOOM_EIO if there is no such folder; LOOM_EDATA if
 * it is that of no run, or there is nothing in it to be seen. */
int recorded_new(struct recorded **self_p, struct scene *scene) LOOM_MUST_CHECK;

/* End the thread, free and null; harmless on NULL. */
void recorded_destroy(struct recorded **self_p);

#endif

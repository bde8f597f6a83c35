/* What a run has left in its folder: recordings, layer files, and the metrics in recordings. Uses HDF5, which is for one
 * thread only: all functions are called from one thread at a time, and no other thread of the process uses HDF5. */
#ifndef LOOM_STAGES_LIVE_ARCHIVE_H
#define LOOM_STAGES_LIVE_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "scene.h"

struct archive;

/* Open what there is in the scene's folder, and tell the scene. layers: also layer files that are there already, not only
 * those that come later. Files that cannot be read are logged and left out. The scene is borrowed. LOOM_EIO if there is no such
 * folder. */
int archive_new(struct archive **self_p, struct scene *scene, bool layers) LOOM_MUST_CHECK;

/* Free and null; harmless on NULL. */
void archive_destroy(struct archive **self_p);

/* Whether anything was found: recordings, layers or metrics. */
bool archive_has_any(const struct archive *self);

/* See what has been written since, also recordings that have come or been replaced. */
void archive_look(struct archive *self);

/* The clip of n frames from seq on, or as many as are recorded of that pass and may be sent at once. LOOM_EDATA if frame seq is not recorded, or is
 * damaged. */
int archive_say_clip(struct archive *self, uint64_t seq, size_t n, struct said **out) LOOM_MUST_CHECK;

#endif

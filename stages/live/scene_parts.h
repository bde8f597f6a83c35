/* The scene, in its parts: an internal header of scene*.c. See scene.h.
 *
 * scene.c       streams, tapestry, metrics, and telling of what has changed
 * scene_clip.c  a clip, with what is worked out of it
 * scene_unit.c  one unit */
#ifndef LOOM_STAGES_LIVE_SCENE_PARTS_H
#define LOOM_STAGES_LIVE_SCENE_PARTS_H

#include "scene.h"

/* The stream of this name, or NULL. */
struct scene_stream *scene_find_stream(struct scene *self, const char *name);

/* The frames stream that a stream is made of, directly or not; NULL: not known. */
const struct scene_stream *scene_frames_of(struct scene *self, const struct scene_stream *stream);

/* n rows of P numbers of a frames stream as floats from 0 to 1; NULL if memory runs out. Freed by the caller. */
float *scene_frames_as_floats(const struct stream_info *info, const void *data, size_t n);

#endif

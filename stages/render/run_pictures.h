/* The pictures of a run that are not of a layer: its metrics, and where its windows went. */
#ifndef LOOM_STAGES_RENDER_RUN_PICTURES_H
#define LOOM_STAGES_RENDER_RUN_PICTURES_H

#include "gallery.h"

/* Draw, of what there is in a run's folder,
 *     metrics.png          every metric over the passes
 *     NAME-tapestry.png    of every recording with frames that tell where the window is, of the stage NAME: the
 *                          tapestry and the window's way over it in the first pass recorded,
 *     NAME-moving.png      and in its first 500 frames, from near
 * Failures are remembered in the gallery. */
void run_pictures_draw(struct gallery *self, const char *folder);

/* The same two of one recording; nothing if its frames tell no places. */
void run_pictures_trail(struct gallery *self, const char *recording);

#endif

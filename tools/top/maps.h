/* Maps: what the layers of a run do just now, as small pictures in a terminal, from the stages' taps.
 *
 * Two kinds: activity (the newest frame; the winners of the last frames, older ones darker; the activations), each
 * on its grid, or the weights (all units of a layer from its corner on, as many as can be told apart). A tap is
 * subscribed to for one message at a time, and not again before some time has passed, so looking costs a run next
 * to nothing; when nothing is shown there is no connection at all. */
#ifndef LOOM_TOOLS_TOP_MAPS_H
#define LOOM_TOOLS_TOP_MAPS_H

#include <jansson.h>
#include <stddef.h>
#include <zmq.h>

#include "error.h"
#include "screen.h"

#define MAPS_MAX 4 /* shown at once */

enum maps_kind { MAPS_NONE, MAPS_ACTIVITY, MAPS_WEIGHTS };

struct maps;

/* For the run in `folder` (borrowed). The caller owns *self_p. */
int maps_new(struct maps **self_p, const char *folder) LOOM_MUST_CHECK;
void maps_destroy(struct maps **self_p);

/* Show this kind of the stages that have taps, the first MAPS_MAX of `stages` (of a status); connects to what is new,
 * and closes everything for MAPS_NONE. */
int maps_show(struct maps *self, enum maps_kind kind, const json_t *stages) LOOM_MUST_CHECK;

/* Sockets to poll for input; returns how many (at most 2 MAPS_MAX). */
size_t maps_sockets(const struct maps *self, zmq_pollitem_t *items);

/* Take what has come, ask for what is due. *fresh: there is something new to draw. */
int maps_pump(struct maps *self, bool *fresh) LOOM_MUST_CHECK;

/* Draw them side by side, in at most `rows` lines. */
void maps_draw(struct maps *self, struct screen *screen, int rows);

#endif

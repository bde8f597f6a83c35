/* The layers whose weights are known, and what is said of them: weight maps, prototypes, coverage, single units. */
#ifndef LOOM_STAGES_LIVE_LAYERS_H
#define LOOM_STAGES_LIVE_LAYERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "error.h"
#include "stream.h"

#define LAYERS_MAX 32

struct layer_known {
    char name[STREAM_NAME_BYTES], stage[STREAM_NAME_BYTES]; /* in the run; kind of stage */
    char from[STREAM_NAME_BYTES];                           /* layer below it, by name; "": not told */
    char id[STREAM_ID_BYTES],
        input[STREAM_ID_BYTES]; /* of the stream it makes; of the one it learned from, or "" */
    uint64_t seq, pass;         /* frames and passes done */
    bool saved;  /* as they lie in a file, whatever frame is looked at; not as they are just now */
    float *data; /* rows x cols; owned */
    size_t rows, cols, grid_x, grid_y, input_width, input_height;
    bool told_weights,
        told_above; /* what hangs on the board is of these weights: the map; prototypes, coverage */
    int64_t weights_ms, above_ms; /* not before are they told again */
};

struct layers {
    struct layer_known items[LAYERS_MAX];
    size_t n;
};

void layers_fini(struct layers *self);

/* Take note of a layer's weights, in the place of older ones of the same name. `layer` says all but data, which is
 * copied. LOOM_EDATA if its sizes contradict one another, LOOM_EINTERNAL if memory runs out or there are too many. */
int layers_take(struct layers *self, const struct layer_known *layer, const float *data) LOOM_MUST_CHECK;

const struct layer_known *layers_find(const struct layers *self, const char *name);

/* The layer whose codes this one learns from: as told, or the only one with as many units as it has inputs. NULL: none,
 * or no telling which. */
const struct layer_known *layers_below(const struct layers *self, const struct layer_known *layer);

/* The first layer that learns from the codes of this one; NULL: none. */
const struct layer_known *layers_above(const struct layers *self, const struct layer_known *layer);

/* Hang on the board what is due: of each layer at most every LAYERS_PAUSE_MS, and less often where making it takes
 * long. */
#define LAYERS_PAUSE_MS 2000
int layers_tell(struct layers *self, struct board *board) LOOM_MUST_CHECK;

#endif

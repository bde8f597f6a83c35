/* Picture: a small picture of numbers, made from a tap's message and drawn in a terminal's characters. */
#ifndef LOOM_TOOLS_TOP_PICTURE_H
#define LOOM_TOOLS_TOP_PICTURE_H

#include <stddef.h>

#include "error.h"
#include "message.h"
#include "screen.h"

struct picture {   /* all zero: none */
    float *values; /* width x height, row by row, drawn from 0 to 1, below as 0; owned */
    size_t width, height;
    bool peaks; /* when shrunk, the largest value of an area counts, not the mean: it is of lone points */
    char about[96];
};

/* Make it anew from a data message of a stream, or from a message of weights: then of as many units, from the corner
 * on, as can be told apart in room x room pixels, each scaled by itself. LOOM_EDATA if the message does not
 * fit, LOOM_EINTERNAL if memory runs out; then the old picture stands. */
int picture_of_data(struct picture *self, const struct message *message,
                    const struct stream_info *info) LOOM_MUST_CHECK;
int picture_of_weights(struct picture *self, const struct message *message, size_t room) LOOM_MUST_CHECK;

void picture_free(struct picture *self);

/* The size in pixels at which it is drawn in an area of `columns` x `pixels`: a whole multiple, or shrunk. */
void picture_fit(const struct picture *self, int columns, int pixels, int *width, int *height);

/* One line of it, drawn at width x height pixels: two rows of pixels, from row `row` on. */
void picture_draw_line(const struct picture *self, struct screen *screen, int width, int height, int row);

#endif

/* The tapestry: the picture over which the window moves, read from a PNG or laid out from an IDX file of
 * digits.
 *
 * It is periodic in both directions: position (x, y) and (x + period_x, y + period_y) show the same. */
#ifndef LOOM_STAGES_TAPESTRY_H
#define LOOM_STAGES_TAPESTRY_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define TAPESTRY_TILE 28 /* pixels of a tile's side, where nothing else says so: MNIST's */

struct tapestry_config {
    const char *path;
    size_t window; /* side of the window, pixels, > 0 */
    size_t first;  /* IDX: number of the first image taken */
    size_t side;   /* IDX: tiles a side, >= 2; the last row and column repeat the first and are not kept */
    size_t tile;   /* pixels of a tile's side; 0: what an IDX file says, TAPESTRY_TILE for a PNG */
};

/* Held with `window` pixels of the next period on the right and below, so that a window never leaves it. */
struct tapestry {
    size_t period_x, period_y; /* pixels */
    size_t window;
    size_t stride;  /* pixels of a row as held: period_x + window; period_y + window rows */
    uint8_t *bytes; /* value / 255; NULL if 8 bits do not hold the values exactly */
    float *values;  /* in [0, 1]; NULL if `bytes` is not */
};

/* Read the tapestry. A PNG whose last `tile` rows and columns repeat the first ones has the period of its
 * size less `tile`; any other is wrapped around at its edges. An IDX file (ubyte, 3 dimensions; plain or
 * gzip) is laid out column by column from image `first` on; its period is (side - 1) tiles. LOOM_EIO if the
 * file cannot be read, LOOM_EDATA if its content is wrong or too large, LOOM_EUSAGE if it does not have what
 * the configuration asks for; *self is then empty. Freed by tapestry_fini, harmless when empty. */
int tapestry_init(struct tapestry *self, const struct tapestry_config *config) LOOM_MUST_CHECK;
void tapestry_fini(struct tapestry *self);

/* Copy the window whose upper left corner is at column x < period_x, row y < period_y: out (window x window),
 * u1 if self->bytes is there, else f4. */
void tapestry_cut(const struct tapestry *self, void *out, size_t x, size_t y);

#endif

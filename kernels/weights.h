/* The sparse layer's weights: in rows, where winners learn, and in tiles, from which drives come.
 *
 * Tiles (drive.h) are of floats, or of rounded pairs (screen.h), or both. A row that has learned is stale in its tiles until
 * they are refreshed, which happens when a block has need of them. */
#ifndef LOOM_KERNELS_WEIGHTS_H
#define LOOM_KERNELS_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "screen.h"
#include "set.h"

#define WEIGHTS_ROUNDED 16 /* rows that are rounded together */

/* In bits of `stale`. */
enum weights_form { WEIGHTS_FLOATS = 1, WEIGHTS_PAIRS = 2 };

struct weights {
    size_t N, P;
    size_t padded;    /* P, padded; padding stays 0 */
    size_t pairs;     /* of pixels */
    float *rows;      /* N x padded */
    float *lowest;    /* padded: SPARSE_FLOOR, and 0 for the padding */
    float *floats;    /* N padded x P, in tiles */
    int32_t *rounded; /* N padded x pairs, in tiles */
    uint8_t *stale;   /* N padded: the forms in whose tiles the row is old */
    struct screen_scale scale;
    bool unscaled; /* it may not be right for all rows: some may have learned without weights_round */
};

/* N rows of P weights at SPARSE_FLOOR: 0, or KERNEL_ENOMEM. weights_fini is safe after a failure. */
int weights_init_cpu(struct weights *self, size_t N, size_t P);
void weights_fini_cpu(struct weights *self);

/* Any rows have been written. */
void weights_renew_cpu(struct weights *self);

/* How many tiles there are; how many units number `tile` has; where its weights begin. */
size_t weights_tiles_cpu(const struct weights *self);
size_t weights_width_cpu(const struct weights *self, size_t tile);
float *weights_floats_cpu(const struct weights *self, size_t tile);
int32_t *weights_pairs_cpu(const struct weights *self, size_t tile);

/* Round `count` rows into work, packed[a] as rows for drive_change. False if a weight is too large for the scale: then it is
 * not right any more, and what was packed is of no use. work: count rows of padded / 2. */
bool weights_round_cpu(const struct weights *self, int32_t *work, const float **packed,
                       const float *const *row, size_t count);

/* Write the stale rows of a tile into it. work: WEIGHTS_ROUNDED rows of padded / 2. Different tiles may be refreshed at the
 * same time. */
void weights_refresh_cpu(struct weights *self, int32_t *work, size_t tile, enum weights_form form);

/* See to it that the scale is right for all rows. It is kept where it still is, since a new one makes all rounded tiles
 * stale. False if they cannot be rounded. */
bool weights_rescale_cpu(struct weights *self);

#endif

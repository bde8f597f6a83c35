/* Drives p = W v of a block of frames: tiles of neighbouring units, and single units over again.
 *
 * A drive is the sum over pixels in ascending order, one rounded product and one rounded sum a pixel, whoever
 * computes it. A pixel that is 0 adds exactly 0 (weights and pixels are never negative), so it makes no
 * difference to a bit which of those are left out, whether many units or many frames lie side by side in the
 * vector lanes, or where a block begins.
 *
 * Weights lie in tiles: tile T holds units T * DRIVE_TILE on, pixel by pixel, the units of the
 * tile side by side; N is padded to a multiple of MEMORY_LANES, and the last tile is as narrow as what is
 * left. */
#ifndef LOOM_KERNELS_DRIVE_H
#define LOOM_KERNELS_DRIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "set.h"
#include "vector.h"

#define DRIVE_TILE (8 * VECTOR_FLOATS) /* units of a tile: their sums fill half of the registers or less */
#define DRIVE_FRAMES 48                /* frames of a block at most */
#define DRIVE_GROUP 16                 /* frames that drive_again has side by side */
#define DRIVE_CHUNK (6400 / DRIVE_TILE) /* pixels of a tile, 25 KB, that all frames pass over in turn */

/* A block of frames, laid out for drives. */
struct drive_frames {
    size_t P;
    size_t n;        /* frames, 1..DRIVE_FRAMES */
    const float *v;  /* n x P, borrowed */
    bool dense;      /* most pixels are not 0 */
    uint32_t *pixel; /* DRIVE_FRAMES x P: of each frame the pixels that are not 0, ascending, ... */
    float *level;    /* DRIVE_FRAMES x P: ... and their values */
    uint32_t *start; /* chunks + 1 x DRIVE_FRAMES: where in a frame's list the pixels of each chunk begin */
    uint32_t
        *group_pixel;   /* of each group of frames the pixels that are not 0 in all of them, ascending, ... */
    float *group_level; /* ... and their values, DRIVE_GROUP side by side */
    size_t group_count[DRIVE_FRAMES / DRIVE_GROUP];
    uint32_t *place; /* P: working memory */
};

/* Take memory for blocks of frames of P pixels: 0, or KERNEL_ENOMEM. drive_fini is safe after a failure. */
int drive_init_cpu(struct drive_frames *block, size_t P);
void drive_fini_cpu(struct drive_frames *block);

/* Lay out n frames v (n x P), which must stay as they are while the block is used; `again`: for drive_again,
 * too. */
void drive_prepare_cpu(struct drive_frames *block, const float *v, size_t n, bool again);

/* p (n x stride), of which row f begins with frame f's drives of one tile. tile (P x width): its weights; width
 * is a multiple of MEMORY_LANES, DRIVE_TILE at most. */
void drive_tile_cpu(float *p, const float *tile, const struct drive_frames *block, size_t width,
                    size_t stride);

/* p (n x stride) of the `count` units in `unit`, frames `first` to the last; row[a] (P): weights of unit[a]. */
void drive_again_cpu(float *p, const float *const *row, const uint32_t *unit, size_t count,
                     const struct drive_frames *block, size_t first, size_t stride);

#endif

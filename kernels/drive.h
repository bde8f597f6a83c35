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

#include "lists.h"
#include "set.h"
#include "vector.h"

#define DRIVE_TILE (8 * VECTOR_FLOATS)  /* units of a tile: their sums fill half of the registers or less */
#define DRIVE_FRAMES LISTS_FRAMES       /* frames of a block at most */
#define DRIVE_CHUNK (6400 / DRIVE_TILE) /* pixels of a tile, 25 KB, that all frames pass over in turn */

/* A block of frames, laid out for drives. */
struct drive_frames {
    size_t P;
    size_t n;            /* frames, 1..DRIVE_FRAMES */
    const float *v;      /* n x P, borrowed */
    bool dense;          /* most pixels are not 0 */
    struct lists pixels; /* those that are not 0; a level is the pixel's value, a float */
};

/* Units that have learned while a block is gone through, pixel by pixel, the units side by side. */
struct drive_changed {
    size_t room, count; /* units that fit, a multiple of VECTOR_FLOATS; units there are */
    uint32_t *unit;     /* room: which; one that comes again is good where it comes last */
    float *weights;     /* P padded x room */
};

/* Take memory for blocks of frames of P pixels: 0, or KERNEL_ENOMEM. drive_fini is safe after a failure. */
int drive_init_cpu(struct drive_frames *block, size_t P);
void drive_fini_cpu(struct drive_frames *block);

/* Lay out n frames v (n x P), which must stay as they are while the block is used. */
void drive_prepare_cpu(struct drive_frames *block, const float *v, size_t n);

/* p (n x stride), of which row f begins with frame f's drives of one tile. tile (P x width): its weights; width
 * is a multiple of MEMORY_LANES, DRIVE_TILE at most. next: the tile that comes next, to be fetched towards the core
 * in passing; NULL: none. */
void drive_tile_cpu(float *p, const float *tile, const struct drive_frames *block, size_t width,
                    size_t stride, const float *next);

/* Take memory for units of P weights, at least twice k: 0, or KERNEL_ENOMEM. drive_changed_fini is safe after a
 * failure. */
int drive_changed_init_cpu(struct drive_changed *changed, size_t P, size_t k);
void drive_changed_fini_cpu(struct drive_changed *changed);

/* Put k units with their weights row[a] (P padded with 0; or as many 32 bits of any kind) among those that have learned; there
 * must be room. */
void drive_change_cpu(struct drive_changed *changed, const float *const *row, const uint32_t *unit, size_t k,
                      size_t P);

/* p (n x stride) of the units that have learned, frames `first` to `last`. */
void drive_again_cpu(float *p, const struct drive_changed *changed, const struct drive_frames *block,
                     size_t first, size_t last, size_t stride);

/* Put the drives sums (LISTS_ABREAST x VECTOR_FLOATS) of the units from place u on in `changed`, in the frames from `start`
 * on, where they belong in p (n x stride), as far as the frames are among `first` to `last`. */
static inline void drive_spread(float *p, const float *sums, const struct drive_changed *changed, size_t u,
                                size_t start, size_t first, size_t last, size_t stride)
{
    const size_t units = changed->count - u < VECTOR_FLOATS ? changed->count - u : VECTOR_FLOATS;
    for (size_t f = start > first ? start : first; f < start + LISTS_ABREAST && f < last; f++) {
        for (size_t a = 0; a < units; a++) {
            p[f * stride + changed->unit[u + a]] = sums[(f - start) * VECTOR_FLOATS + a];
        }
    }
}

#endif

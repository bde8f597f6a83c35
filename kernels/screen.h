/* Screening: drives to within a bound, in 16-bit integers at half the cost, to find out who wins.
 *
 * Drives are needed exactly (drive.h) of winners only; all the others only take part in a comparison. Where pixels are
 * 255ths and weights are rounded to multiples of a step, a drive is a sum of products of 16-bit integers, two of
 * which take one instruction, and its error has a bound that is known beforehand. If the weakest winner stands off all
 * others by more than the errors of both, float drives would name the same winners. If not, those in doubt are
 * computed exactly, with all that they depend on. So results have the same bits with screening as without.
 *
 * Pixels lie in pairs (2j, 2j + 1), the second in the upper half of 32 bits; so do weights. Tiles are those of drive.h, with
 * pairs in the place of pixels. */
#ifndef LOOM_KERNELS_SCREEN_H
#define LOOM_KERNELS_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drive.h"
#include "lists.h"
#include "set.h"

/* How weights are rounded. */
struct screen_scale {
    float step;    /* a weight is `step` times an integer; 0: these weights cannot be screened */
    float inverse; /* 1 / step */
    float most;    /* the largest integer */
};

/* A block of frames of 255ths. */
struct screen_frames {
    size_t P, pairs;
    float most;              /* steps of a weight, as in the scale; 0: too many pixels */
    size_t n;                /* frames, 1..LISTS_FRAMES */
    struct lists lists;      /* pairs that are not both 0; a level is the pair's pixels in 255ths */
    int32_t *bytes;          /* 2 pairs: a frame in 255ths */
    float sum[LISTS_FRAMES]; /* of a frame's pixels */
};

/* The scale for weights of P pixels of which `largest` is the largest, with room for them to grow by a quarter. */
struct screen_scale screen_scale_cpu(float largest, size_t P);

/* Take memory for blocks of frames of P pixels: 0, or KERNEL_ENOMEM. screen_fini is safe after a failure. */
int screen_init_cpu(struct screen_frames *block, size_t P);
void screen_fini_cpu(struct screen_frames *block);

/* Whether any number n of frames v (n x P) in [0, 1] can be screened: they are 255ths, and not so bright that sums would
 * overflow. The block is only worked in. */
bool screen_fits_cpu(struct screen_frames *block, const float *v, size_t n);

/* Lay out n frames v (n x P), n <= LISTS_FRAMES; false if they cannot be screened. */
bool screen_prepare_cpu(struct screen_frames *block, const float *v, size_t n);

/* Round a unit's weights row (P, then 0 up to 2 pairs) into pairs. False if one is too large for the scale. */
bool screen_pack_cpu(int32_t *packed, const float *row, const struct screen_scale *scale, size_t pairs);

/* p (n x stride), of which row f begins with frame f's drives of one tile: as drive_tile_cpu, to within the bound.
 * tile (pairs x width). */
void screen_tile_cpu(float *p, const int32_t *tile, const struct screen_frames *block,
                     const struct screen_scale *scale, size_t width, size_t stride);

/* p (n x stride) of the units that have learned, frames `first` to `last`, to within the bound; their packed weights are in
 * `changed` as rows of `pairs` were put there. */
void screen_again_cpu(float *p, const struct drive_changed *changed, const struct screen_frames *block,
                      const struct screen_scale *scale, size_t first, size_t last, size_t stride);

/* How far a drive of frame f that is about c after excitation is at most from what it is in float, both excited by
 * lateral_cpu: a unit's `neighbours` add `gain` each, summed in rows and columns of `terms` together. */
float screen_error_cpu(const struct screen_frames *block, const struct screen_scale *scale, size_t f, float c,
                       float gain, size_t neighbours, size_t terms);

/* p (count): exact drives, in the bits of drive.h, of the units with weights row[a] in frame f, v (2 pairs). */
void screen_exact_cpu(float *p, const float *const *row, size_t count, const struct screen_frames *block,
                      size_t f, const float *v);

#endif

/* Measures of what a layer puts out, gathered frame by frame: how slowly its units change, and how many
 * directions they make use of. For the outputs y_t (M) of the n frames of a pass:
 *
 *     var_i   = mean_t y_ti^2 - (mean_t y_ti)^2
 *     E       = mean over units of mean_t (y_t - (y_{t-1} + y_{t+1}) / 2)^2 / var     white noise: 1.5
 *     E trace = sum over units of that numerator / sum over units of var
 *     delta   = mean over units of mean_t (y_t - y_{t-1})^2 / var                      white noise: 2
 *     PR      = tr(C)^2 / |C|_F^2, C the covariance of y over the pass (divided by n): from 1, one direction, to M
 *
 * from the definitions of slowness (Wiskott and Sejnowski, Neural Computation 14, 2002) and of participation
 * ratio (e.g. Gao et al., bioRxiv 214262, 2017). The means over t are over the frames that have such neighbours,
 * n - 2 and n - 1 of them. A unit that keeps still (var is 0, or so small beside the squares that it is rounding)
 * has no E and delta: it is left out of both means and of the trace form, and counted. E alone says nothing: a
 * layer that has collapsed into one slow direction has a small one. Read it beside PR.
 *
 * Sums are in double, unit by unit and frame by frame in the order of time, of differences from the pass's first
 * frame (so that a large mean costs no digits): the same bits however frames are split into calls.
 *
 * C would take O(M^2) a frame. Its diagonal, the variances, is known from the sums; how much of what C could be at most
 * off its diagonal it is, sum of C_ij^2 / sum of C_ii C_jj over i != j, is estimated from a sample of the frames: each
 * of the two sums is a mean over all pairs of frames s, t, with a_t = y_t - mean, of sum of a_si a_sj a_ti a_tj and of
 * sum of a_si^2 a_tj^2; without bias both, from the pairs of sampled frames (those with s = t, which are 1 / n of all, weighed as
 * such). Outbursts that fall into the sample, or do not, move both alike. Frame t is sampled if a hash of
 * its number lies under a threshold: one in MOMENTS_SHARE frames of a pass, at least MOMENTS_LEAST and at most
 * MOMENTS_MOST of them and MOMENTS_FLOATS floats; where the length of a pass is not told, all at first and half of them
 * whenever there is no more room. All frames of passes of up to MOMENTS_LEAST are: then PR is exact. For
 * passes of 10,000 frames its error has a standard deviation of 0.5% on noise, of 1% to 4% on those of rule topo.
 *
 * M may be anything that fits into memory: O(M) a frame, and at the end of a pass O(f M min(f, M)) for f sampled
 * frames, about a hundredth of what the layer needs for the pass. */
#ifndef LOOM_KERNELS_MOMENTS_H
#define LOOM_KERNELS_MOMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "kernel.h"

#define MOMENTS_SHARE 16                 /* one frame in so many is sampled */
#define MOMENTS_LEAST 64                 /* frames sampled, where there are as many */
#define MOMENTS_MOST 512                 /* and at most, give or take the luck of the hash */
#define MOMENTS_FLOATS ((size_t)1 << 22) /* of the sample, but for MOMENTS_FEWEST frames */
#define MOMENTS_FEWEST 32

struct moments; /* of M units, within a pass */

/* A number that cannot be told, as there are too few frames or all units keep still, is NaN. */
struct moments_summary {
    uint64_t frames;                  /* n */
    uint64_t sampled;                 /* frames that PR comes from */
    size_t still;                     /* units left out of E, its trace form and delta */
    size_t dead;                      /* units whose |y| was never above `quiet` times the layer's largest */
    double interpolation_error;       /* E; NaN below 3 frames */
    double interpolation_error_trace; /* NaN below 3 frames */
    double step_change;               /* delta; NaN below 2 frames */
    double participation_ratio;       /* PR, within 1 to M; NaN below 2 frames */
    double usage_entropy; /* bits, of the units' shares in the mean output (below 0 counts as 0) */
};

/* Moments of M > 0 units over passes of `pass` frames, 0: not known; at the start of a pass. KERNEL_ENOMEM, then
 * *self_p is NULL. The caller owns it. */
int moments_new(struct moments **self_p, size_t M, uint64_t pass) KERNEL_MUST_CHECK;

/* Free and null the pointer; harmless on NULL. */
void moments_destroy(struct moments **self_p);

/* Begin a pass: forget all frames. */
void moments_begin(struct moments *self);

/* Take the next n frames, y (n x M), finite. */
void moments_add(struct moments *self, const float *y, size_t n);

/* The measures of the frames taken so far. quiet: from 0; 0: dead is what was never anything but 0. Changes
 * nothing. KERNEL_ENOMEM, then *summary holds nothing. */
int moments_summarize(const struct moments *self, struct moments_summary *summary,
                      double quiet) KERNEL_MUST_CHECK;

/* All state, for an exact continuation on this kind of machine. Its size changes with the frames taken. */
size_t moments_state_bytes(const struct moments *self);
void moments_save_state(const struct moments *self, void *state);

/* Load it into moments of as many units and as long a pass. KERNEL_EINVAL, with nothing done, if `bytes` bytes
 * cannot be their state. */
int moments_load_state(struct moments *self, const void *state, size_t bytes) KERNEL_MUST_CHECK;

#endif

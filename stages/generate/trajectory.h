/* The trajectory of the window over the tapestry: how what is seen moves.
 *
 * The position (x, y) is real, in pixels; x = y = 420 in frame 0. In frame t the window is at column
 * trunc(x_t) mod period_x, row trunc(y_t) mod period_y, with truncation toward zero, then the non-negative
 * remainder. Below, U(-a, a) is uniform, and x stands for y too unless both are named. Motions:
 *
 * inertial   the notebooks': a smooth random walk with velocity v (0 at first) and acceleration a. For every
 *            frame t, in this order:
 *                if t mod hold == 0: a ~ U(-1, 1)
 *                x += v                              with the velocity from before this frame
 *                v = clip(v + a, -speed, speed)
 *
 * walk       a random walk (Brownian motion): every step on its own, x_{t+1} = x_t + U(-speed, speed).
 *            Variance of a step: speed^2 / 3 in each direction. hold plays no part.
 *
 * linear     straight on at constant speed: x_{t+1} = x_t + speed cos(a), y_{t+1} = y_t + speed sin(a), the
 *            direction a uniform on the circle, drawn anew for every t that is a multiple of hold. With hold not
 *            below the length of a pass there is one direction, which the seed determines.
 *
 * saccade    the eye's: at rest for hold frames, then a jump: for every t > 0 that is a multiple of hold
 *            x_t = x_{t-1} + U(-speed hold, speed hold), else x_t = x_{t-1}. So speed is the largest mean speed in
 *            each direction, as in the other motions.
 *
 * All are functions of (seed, t): numbers are taken by their place in the sequence RANDOM_TRAJECTORY of the
 * seed (random.h), x's before y's. u being uniform in [0, 1), U(-a, a) is a (2 u - 1).
 *     inertial   numbers 2 i and 2 i + 1 for acceleration number i = t / hold
 *     walk       numbers 2 t and 2 t + 1 for the step from t to t + 1
 *     linear     for direction number i, the first of the pairs 64 i + 2 j, 64 i + 2 j + 1 (j = 0 .. 31) whose
 *                point (2 u - 1, 2 u' - 1) lies within the unit circle, but for its centre, is the direction
 *                (von Neumann's way, without sine and cosine, which differ from machine to machine)
 *     saccade    numbers 2 i and 2 i + 1 for the jump at t = i hold
 * Positions are sums from frame 0 on, in double precision throughout; the same bits on every machine. */
#ifndef LOOM_STAGES_TRAJECTORY_H
#define LOOM_STAGES_TRAJECTORY_H

#include <stddef.h>
#include <stdint.h>

#define TRAJECTORY_START 420 /* pixels: the middle of the notebooks' tapestry */

enum motion { MOTION_INERTIAL, MOTION_WALK, MOTION_LINEAR, MOTION_SACCADE };

struct trajectory_config {
    enum motion motion;
    uint64_t seed;
    double speed;              /* pixels a frame, >= 0: see above */
    uint64_t hold;             /* frames, > 0: see above */
    size_t period_x, period_y; /* of the tapestry, pixels, > 0 and below 2^31 */
};

/* at (frames x 2): column and row of the window, for frames 0 .. frames - 1 of a pass. */
void trajectory_compute(int32_t *at, size_t frames, const struct trajectory_config *config);

#endif

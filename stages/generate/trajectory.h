/* The trajectory of the window over the tapestry: a smooth random walk.
 *
 * Position (x, y), velocity (vx, vy) and acceleration (ax, ay) are real numbers; x = y = 420 and v = 0 at
 * first. For every frame t, in this order:
 *     if t mod hold == 0: ax, ay ~ U(-1, 1)
 *     x += vx, y += vy                            with the velocity from before this frame
 *     vx = clip(vx + ax, -speed, speed), vy likewise
 *     the window is at column trunc(x) mod period_x, row trunc(y) mod period_y
 * with truncation toward zero, then the non-negative remainder.
 *
 * Acceleration number i is made of the numbers 2 i and 2 i + 1 of the sequence RANDOM_TRAJECTORY of the seed
 * (random.h): ax = 2 u - 1, then ay. Double precision throughout; the same bits on every machine. */
#ifndef LOOM_STAGES_TRAJECTORY_H
#define LOOM_STAGES_TRAJECTORY_H

#include <stddef.h>
#include <stdint.h>

#define TRAJECTORY_START 420 /* pixels: the middle of the notebooks' tapestry */

struct trajectory_config {
    uint64_t seed;
    double speed;              /* largest velocity in each direction, pixels a frame, >= 0 */
    uint64_t hold;             /* frames that an acceleration lasts, > 0 */
    size_t period_x, period_y; /* of the tapestry, pixels, > 0 and below 2^31 */
};

/* at (frames x 2): column and row of the window, for frames 0 .. frames - 1 of a pass. */
void trajectory_compute(int32_t *at, size_t frames, const struct trajectory_config *config);

#endif

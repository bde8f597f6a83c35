/* See trajectory.h. Compiled without contraction of a * b + c, which would round differently where there is such
 * an instruction. */
#include "trajectory.h"

#include <math.h>

#include "random.h"

#define TRIES 32 /* for a direction; that all fail has a probability of 4e-22 */

/* Position and velocity; the acceleration of those motions that have one. */
struct walker {
    double x, y, vx, vy, ax, ay;
};

static double clip(double value, double limit)
{
    return value < -limit ? -limit : value > limit ? limit : value;
}

static int32_t wrapped(double position, size_t period)
{
    const int64_t rest = (int64_t)position % (int64_t)period; /* the cast truncates toward zero */
    return (int32_t)(rest < 0 ? rest + (int64_t)period : rest);
}

/* Pair number i of the sequence, from (-1, -1) to (1, 1). */
static void draw_pair(double *x, double *y, uint64_t seed, uint64_t i)
{
    double u[2];
    random_uniform(u, 2, seed, RANDOM_TRAJECTORY, 2 * i);
    *x = 2 * u[0] - 1;
    *y = 2 * u[1] - 1;
}

static void draw_direction(double *x, double *y, uint64_t seed, uint64_t i)
{
    double square = 0;
    for (uint64_t j = 0; j < TRIES && !(square > 0 && square <= 1); j++) {
        draw_pair(x, y, seed, TRIES * i + j);
        square = *x * *x + *y * *y;
    }
    const double length = sqrt(square);
    *x /= length;
    *y /= length;
}

/* Into frame t: velocity before, acceleration from this frame on. */
static void step_inertial(struct walker *self, size_t t, const struct trajectory_config *config)
{
    if (t % config->hold == 0) {
        draw_pair(&self->ax, &self->ay, config->seed, t / config->hold);
    }
    self->x += self->vx;
    self->y += self->vy;
    self->vx = clip(self->vx + self->ax, config->speed);
    self->vy = clip(self->vy + self->ay, config->speed);
}

/* Into frame t of the other motions: the displacement since the frame before, which frame 0 has not. */
static void step_other(struct walker *self, size_t t, const struct trajectory_config *config)
{
    if (t == 0) {
        return;
    }
    double x = 0, y = 0;
    if (config->motion == MOTION_WALK) {
        draw_pair(&x, &y, config->seed, t - 1);
        self->vx = config->speed * x;
        self->vy = config->speed * y;
    } else if (config->motion == MOTION_LINEAR && (t - 1) % config->hold == 0) {
        draw_direction(&x, &y, config->seed, (t - 1) / config->hold);
        self->vx = config->speed * x;
        self->vy = config->speed * y;
    } else if (config->motion == MOTION_SACCADE) {
        if (t % config->hold == 0) {
            draw_pair(&x, &y, config->seed, t / config->hold);
        }
        const double reach = config->speed * (double)config->hold;
        self->vx = reach * x;
        self->vy = reach * y;
    }
    self->x += self->vx;
    self->y += self->vy;
}

void trajectory_compute(int32_t *at, size_t frames, const struct trajectory_config *config)
{
    struct walker walker = {.x = TRAJECTORY_START, .y = TRAJECTORY_START};
    for (size_t t = 0; t < frames; t++) {
        if (config->motion == MOTION_INERTIAL) {
            step_inertial(&walker, t, config);
        } else {
            step_other(&walker, t, config);
        }
        at[2 * t] = wrapped(walker.x, config->period_x);
        at[2 * t + 1] = wrapped(walker.y, config->period_y);
    }
}

/* See trajectory.h. */
#include "trajectory.h"

#include "random.h"

static double clip(double value, double limit)
{
    return value < -limit ? -limit : value > limit ? limit : value;
}

static int32_t wrapped(double position, size_t period)
{
    const int64_t rest = (int64_t)position % (int64_t)period; /* the cast truncates toward zero */
    return (int32_t)(rest < 0 ? rest + (int64_t)period : rest);
}

void trajectory_compute(int32_t *at, size_t frames, const struct trajectory_config *config)
{
    double x = TRAJECTORY_START, y = TRAJECTORY_START, vx = 0, vy = 0, ax = 0, ay = 0;
    for (size_t t = 0; t < frames; t++) {
        if (t % config->hold == 0) {
            double u[2];
            random_uniform(u, 2, config->seed, RANDOM_TRAJECTORY, 2 * (t / config->hold));
            ax = 2 * u[0] - 1;
            ay = 2 * u[1] - 1;
        }
        x += vx;
        y += vy;
        vx = clip(vx + ax, config->speed);
        vy = clip(vy + ay, config->speed);
        at[2 * t] = wrapped(x, config->period_x);
        at[2 * t + 1] = wrapped(y, config->period_y);
    }
}

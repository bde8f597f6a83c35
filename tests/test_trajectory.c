/* The window's path: against golden positions of a NumPy script and against another way of computing it here.
 *
 * The script, for seed 1, T = 812, speed 3, hold 20 (goldens are (t, X, Y), and the sum over all numbers of
 * 10,000 positions of sum = 31 * sum + number mod 2^64):
 *     u = numpy.random.Generator(numpy.random.Philox(key=seed)).random(1000)
 *     x = y = 420.0; vx = vy = 0.0
 *     for t in range(10000):
 *         if t % 20 == 0: ax, ay = 2 * u[t // 10] - 1, 2 * u[t // 10 + 1] - 1
 *         x += vx; y += vy
 *         vx = min(max(vx + ax, -3), 3); vy = min(max(vy + ay, -3), 3)
 *         print(int(x) % T, int(y) % T) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "common/random.h"
#include "stages/generate/trajectory.h"

enum { FRAMES = 10000 };

static int32_t at[FRAMES][2], again[FRAMES][2];

static struct trajectory_config notebooks(uint64_t seed)
{
    return (struct trajectory_config){.seed = seed, .speed = 3, .hold = 20, .period_x = 812, .period_y = 812};
}

static void test_trajectory_is_the_models(void **state)
{
    (void)state;
    const int32_t golden[][3] = {{0, 420, 420},   {1, 419, 420},    {19, 372, 471},
                                 {20, 369, 474},  {21, 366, 477},   {100, 431, 251},
                                 {999, 383, 432}, {5000, 533, 480}, {9999, 541, 655}};
    const struct trajectory_config config = notebooks(1); /* this walk goes down to -2063 */
    trajectory_compute(*at, FRAMES, &config);
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        assert_int_equal(at[golden[i][0]][0], golden[i][1]);
        assert_int_equal(at[golden[i][0]][1], golden[i][2]);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < FRAMES; i++) {
        sum = (sum * 31 + (uint64_t)at[i][0]) * 31 + (uint64_t)at[i][1];
    }
    assert_true(sum == UINT64_C(0x918d873d9dd86e47));
}

/* One coordinate, straight from the definition; returns the smallest position. */
static double walk(int32_t *out, size_t axis, const struct trajectory_config *config)
{
    static double u[2 * FRAMES];
    random_uniform(u, 2 * FRAMES, config->seed, RANDOM_TRAJECTORY, 0);
    const double period = (double)(axis == 0 ? config->period_x : config->period_y);
    double position = 420, velocity = 0, smallest = 0;
    for (size_t t = 0; t < FRAMES; t++) {
        position = position + velocity;
        velocity =
            fmax(-config->speed, fmin(config->speed, velocity + (2 * u[2 * (t / config->hold) + axis] - 1)));
        const double whole = trunc(position);
        out[t] = (int32_t)(whole - period * floor(whole / period));
        smallest = fmin(smallest, position);
    }
    return smallest;
}

static void test_trajectory_of_any_parameters(void **state)
{
    (void)state;
    static int32_t expected[FRAMES];
    const struct trajectory_config configs[] = {
        notebooks(2),
        notebooks(3),
        {.seed = 4, .speed = 0.7, .hold = 1, .period_x = 1, .period_y = 7},
        {.seed = 5, .speed = 50, .hold = 333, .period_x = 65535, .period_y = 29},
        {.seed = 6, .speed = 0, .hold = 20, .period_x = 100, .period_y = 1000}};
    double smallest = 0;
    for (size_t c = 0; c < sizeof configs / sizeof *configs; c++) {
        trajectory_compute(*at, FRAMES, &configs[c]);
        for (size_t axis = 0; axis < 2; axis++) {
            smallest = fmin(smallest, walk(expected, axis, &configs[c]));
            for (size_t t = 0; t < FRAMES; t++) {
                assert_int_equal(at[t][axis], expected[t]);
            }
        }
    }
    assert_true(smallest < -812); /* or the test would say nothing of negative positions */
}

static void test_trajectory_truncates_toward_zero(void **state)
{
    (void)state;
    /* Positions in (-1, 1) count as 0: over many slow walks the window is there twice as often as at 1 or at
     * -1. */
    const size_t period = 1 << 30;
    size_t zeros = 0, ones = 0, minus_ones = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        const struct trajectory_config config = {
            .seed = seed, .speed = 1, .hold = 100, .period_x = period, .period_y = period};
        trajectory_compute(*at, FRAMES, &config);
        for (size_t i = 0; i < 2 * FRAMES; i++) {
            const int32_t where = at[i / 2][i % 2];
            zeros += where == 0;
            ones += where == 1;
            minus_ones += where == (int32_t)period - 1;
        }
    }
    assert_in_range(ones, 300, 1000000); /* enough to judge by */
    assert_in_range(zeros * 10, ones * 17, ones * 23);
    assert_in_range(zeros * 10, minus_ones * 17, minus_ones * 23);
}

static void test_trajectory_is_deterministic(void **state)
{
    (void)state;
    const struct trajectory_config config = notebooks(7), other = notebooks(8);
    trajectory_compute(*at, FRAMES, &config);
    trajectory_compute(*again, FRAMES, &config);
    assert_memory_equal(at, again, sizeof at);
    memset(again, 0xff, sizeof again);
    trajectory_compute(*again, 1234, &config); /* a shorter pass is the beginning of a longer one */
    assert_memory_equal(at, again, 1234 * sizeof *at);
    assert_int_equal(again[1234][0], -1);
    trajectory_compute(*again, FRAMES, &other);
    assert_memory_not_equal(at, again, sizeof at);
}

static void test_trajectory_keeps_the_speed(void **state)
{
    (void)state;
    struct trajectory_config config = notebooks(9);
    config.period_x = config.period_y = 1 << 30; /* no wrapping near the start, except below 0 */
    trajectory_compute(*at, FRAMES, &config);
    int32_t fastest = 0;
    for (size_t t = 1; t < FRAMES; t++) {
        for (size_t axis = 0; axis < 2; axis++) {
            int32_t step = at[t][axis] - at[t - 1][axis];
            step += step > 1 << 29 ? -(1 << 30) : step < -(1 << 29) ? 1 << 30 : 0;
            assert_in_range(step + 3, 0, 6);
            fastest = step > fastest ? step : fastest;
        }
    }
    assert_int_equal(fastest, 3);
}

/* ---- the other motions ---- */

static struct trajectory_config moving(enum motion motion, uint64_t seed, double speed, uint64_t hold)
{
    return (struct trajectory_config){.motion = motion,
                                      .seed = seed,
                                      .speed = speed,
                                      .hold = hold,
                                      .period_x = 1 << 30,
                                      .period_y = 1 << 30};
}

/* Whole pixels from frame t - 1 to t, without the wrapping at a period of 2^30. */
static int32_t displacement(size_t t, size_t axis)
{
    const int32_t step = at[t][axis] - at[t - 1][axis];
    return step + (step > 1 << 29 ? -(1 << 30) : step < -(1 << 29) ? 1 << 30 : 0);
}

static void test_trajectory_of_each_motion_is_its_own_and_repeatable(void **state)
{
    (void)state;
    static int32_t each[4][FRAMES][2];
    for (size_t motion = MOTION_INERTIAL; motion <= MOTION_SACCADE; motion++) {
        const struct trajectory_config config = moving((enum motion)motion, 11, 3, 20);
        struct trajectory_config other = config;
        trajectory_compute(*each[motion], FRAMES, &config);
        trajectory_compute(*again, 777, &config); /* a shorter pass is the beginning of a longer one */
        assert_memory_equal(again, each[motion], 777 * sizeof again[0]);
        assert_int_equal(each[motion][0][0], 420);
        assert_int_equal(each[motion][0][1], 420);
        other.seed = 12;
        trajectory_compute(*again, FRAMES, &other);
        assert_memory_not_equal(again, each[motion], sizeof again);
        for (size_t earlier = 0; earlier < motion; earlier++) {
            assert_memory_not_equal(each[earlier], each[motion], sizeof again);
        }
    }
}

static void test_trajectory_walks_with_the_variance_of_its_steps(void **state)
{
    (void)state;
    const double speed = 60; /* so large that whole pixels do not matter */
    const struct trajectory_config config = moving(MOTION_WALK, 3, speed, 20);
    trajectory_compute(*at, FRAMES, &config);
    for (size_t axis = 0; axis < 2; axis++) {
        double sum = 0, squares = 0, following = 0, before = 0;
        for (size_t t = 1; t < FRAMES; t++) {
            const double step = displacement(t, axis);
            assert_true(fabs(step) <= speed + 1);
            sum += step;
            squares += step * step;
            following += step * before;
            before = step;
        }
        const double n = FRAMES - 1, variance = squares / n, expected = speed * speed / 3;
        assert_true(fabs(sum / n) < 4 * sqrt(expected / n));
        assert_true(fabs(variance / expected - 1) <
                    4 * sqrt(0.8 / n)); /* a uniform's fourth moment is 9/5 of it */
        assert_true(fabs(following / n / expected) < 4 / sqrt(n)); /* every step on its own */
    }
}

static void test_trajectory_walks_by_the_numbers_of_its_seed(void **state)
{
    (void)state;
    static double u[2 * FRAMES];
    const struct trajectory_config config = moving(MOTION_WALK, 5, 2.5, 7);
    trajectory_compute(*at, FRAMES, &config);
    random_uniform(u, 2 * FRAMES, 5, RANDOM_TRAJECTORY, 0);
    for (size_t axis = 0; axis < 2; axis++) {
        double position = 420;
        for (size_t t = 0; t < FRAMES; t++) {
            const int32_t whole = (int32_t)trunc(position);
            assert_int_equal(at[t][axis], whole < 0 ? whole + (1 << 30) : whole);
            position += 2.5 * (2 * u[2 * t + axis] - 1);
        }
    }
}

/* Direction number i as trajectory.h defines it. */
static void direction(double out[2], uint64_t seed, uint64_t i)
{
    double u[2], length = 0;
    for (uint64_t number = 64 * i; !(length > 0 && length <= 1); number += 2) {
        random_uniform(u, 2, seed, RANDOM_TRAJECTORY, number);
        length = hypot(2 * u[0] - 1, 2 * u[1] - 1);
    }
    out[0] = (2 * u[0] - 1) / length;
    out[1] = (2 * u[1] - 1) / length;
}

static void test_trajectory_goes_straight_at_constant_speed(void **state)
{
    (void)state;
    enum { HOLD = 500 };
    const double speed = 40;
    double quadrants[4] = {0};
    for (uint64_t seed = 0; seed < 20; seed++) {
        const struct trajectory_config config = moving(MOTION_LINEAR, seed, speed, HOLD);
        trajectory_compute(*at, FRAMES, &config);
        for (size_t first = 0; first + HOLD < FRAMES; first += HOLD) {
            double x = 0, y = 0;
            for (size_t t = first + 1; t <= first + HOLD; t++) {
                x += displacement(t, 0);
                y += displacement(t, 1);
            }
            double expected[2];
            direction(expected, seed, first / HOLD);
            assert_true(fabs(x - expected[0] * speed * HOLD) < 2);
            assert_true(fabs(y - expected[1] * speed * HOLD) < 2);
            assert_true(fabs(hypot(x, y) - speed * HOLD) < 2); /* as the crow flies: it never turned */
            for (size_t t = first + 1; t <= first + HOLD; t++) {
                assert_true(fabs(displacement(t, 0) - x / HOLD) < 2);
                assert_true(fabs(displacement(t, 1) - y / HOLD) < 2);
            }
            quadrants[(x > 0) + 2 * (y > 0)]++;
        }
    }
    for (size_t i = 0; i < 4; i++) {
        assert_in_range(quadrants[i], 60, 140); /* of 380 directions, evenly */
    }
    const struct trajectory_config straight = moving(MOTION_LINEAR, 7, 1.5, FRAMES);
    trajectory_compute(*at, FRAMES, &straight);
    const double x = at[FRAMES - 1][0] - 420.0, y = at[FRAMES - 1][1] - 420.0;
    const double whole = 1 << 30, dx = x > whole / 2 ? x - whole : x, dy = y > whole / 2 ? y - whole : y;
    assert_true(fabs(hypot(dx, dy) - 1.5 * (FRAMES - 1)) < 2);
}

static void test_trajectory_rests_and_jumps(void **state)
{
    (void)state;
    enum { HOLD = 10 };
    const double speed = 3, reach = speed * HOLD;
    const struct trajectory_config config = moving(MOTION_SACCADE, 9, speed, HOLD);
    trajectory_compute(*at, FRAMES, &config);
    for (size_t axis = 0; axis < 2; axis++) {
        double squares = 0, furthest = 0;
        for (size_t t = 1; t < FRAMES; t++) {
            const double jump = displacement(t, axis);
            assert_true(t % HOLD == 0 || jump == 0.0);
            assert_true(fabs(jump) <= reach + 1);
            squares += jump * jump;
            furthest = fmax(furthest, fabs(jump));
        }
        const double n = (FRAMES - 1) / HOLD, expected = reach * reach / 3;
        assert_true(fabs(squares / n / expected - 1) < 4 * sqrt(0.8 / n));
        assert_true(furthest > 0.95 * reach);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trajectory_is_the_models),
        cmocka_unit_test(test_trajectory_of_any_parameters),
        cmocka_unit_test(test_trajectory_truncates_toward_zero),
        cmocka_unit_test(test_trajectory_is_deterministic),
        cmocka_unit_test(test_trajectory_keeps_the_speed),
        cmocka_unit_test(test_trajectory_of_each_motion_is_its_own_and_repeatable),
        cmocka_unit_test(test_trajectory_walks_with_the_variance_of_its_steps),
        cmocka_unit_test(test_trajectory_walks_by_the_numbers_of_its_seed),
        cmocka_unit_test(test_trajectory_goes_straight_at_constant_speed),
        cmocka_unit_test(test_trajectory_rests_and_jumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

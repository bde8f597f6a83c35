/* Gauge: rates and shares of stages that work in lumps, are paused, die, or tell little. Times are made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gauge.h"

#define BEGAN 50000
#define NEAR 1e-9

static const struct log_shares computes = {.computing = 1, .cpu = 1}, waits = {.waiting_input = 1};

static void tell(struct gauge *gauge, int64_t ms, uint64_t frame, double rate, struct log_shares shares)
{
    const struct event event = {
        .kind = EVENT_PROGRESS, .frame = frame, .frames = 1000000, .rate = rate, .shares = shares};
    gauge_update(gauge, &event, BEGAN + ms);
}

static struct gauge begin(uint64_t frame)
{
    struct gauge gauge = {.name = "sparse"};
    gauge_begin(&gauge);
    tell(&gauge, 0, frame, 0, LOG_SHARES_UNKNOWN);
    return gauge;
}

static double mean_rate(const struct gauge *gauge)
{
    double rate = -1;
    assert_true(gauge_mean_rate(gauge, &rate));
    return rate;
}

static void assert_near(double value, double wanted, double tolerance)
{
    if (!(fabs(value - wanted) <= tolerance)) {
        fail_msg("%g is not %g", value, wanted);
    }
}

/* 200 frames a second that come all at once: lines between tell of none, and lines at a pass's end of twice as many. */
static void test_lumps_make_an_even_rate(void **state)
{
    (void)state;
    struct gauge gauge = begin(400);
    for (int64_t second = 1; second <= 20; second++) {
        uint64_t frame = 400 + 200 * (uint64_t)second;
        tell(&gauge, 1000 * second, frame, 400, waits);
        assert_near(gauge_rate(&gauge, BEGAN + 1000 * second), 200, NEAR);
        tell(&gauge, 1000 * second + 500, frame, 0, waits);
        assert_near(gauge_rate(&gauge, BEGAN + 1000 * second + 990), 200, NEAR);
    }
    assert_near(mean_rate(&gauge), 200 / 1.025, NEAR); /* half a second of the next lump */
}

static void test_lumps_may_be_rarer_than_the_window(void **state)
{
    (void)state;
    struct gauge gauge = begin(0);
    uint64_t frame = 0;
    for (int64_t half = 1; half <= 80; half++) {
        frame = half % 20 == 0 ? frame + 250 : frame; /* once in 10 s */
        tell(&gauge, 500 * half, frame, 0, waits);
        if (half >= 20) {
            assert_near(gauge_rate(&gauge, BEGAN + 500 * half), 25, NEAR);
        }
    }
    assert_near(gauge_rate(&gauge, BEGAN + 40000 + 20000), 12.5,
                NEAR); /* late: it can be that much at most */
}

static void test_a_change_of_pace_is_seen_within_the_window(void **state)
{
    (void)state;
    struct gauge gauge = begin(0);
    uint64_t frame = 0;
    int64_t ms = 0;
    for (; ms < 10000; ms += 250) {
        tell(&gauge, ms + 250, frame += 250, 0, computes);
    }
    assert_near(gauge_rate(&gauge, BEGAN + ms), 1000, NEAR);
    assert_near(gauge_shares(&gauge).computing, 1, NEAR);
    for (; ms < 13250; ms += 250) {
        tell(&gauge, ms + 250, frame += 25, 0, waits);
    }
    assert_near(gauge_rate(&gauge, BEGAN + ms), 100, NEAR);
    assert_near(gauge_shares(&gauge).computing, 0, NEAR);
    assert_near(gauge_shares(&gauge).waiting_input, 1, NEAR);
}

/* Lines at the ends of many short passes repeat the shares of the one before: they count for the time between only. */
static void test_shares_count_by_time_not_by_line(void **state)
{
    (void)state;
    struct gauge gauge = begin(0);
    for (int64_t second = 0; second < 4; second++) {
        for (int64_t ms = 10; ms <= 500; ms += 10) {
            tell(&gauge, 1000 * second + ms, (uint64_t)second, 0, computes);
        }
        tell(&gauge, 1000 * second + 1000, (uint64_t)second, 0, waits);
    }
    const struct log_shares now = gauge_shares(&gauge);
    assert_near(now.computing, 0.5, 0.05);
    assert_near(now.computing + now.waiting_input + now.waiting_output, 1, NEAR);
    struct log_shares mean;
    assert_true(gauge_mean_shares(&gauge, &mean));
    assert_near(mean.computing, 0.5, NEAR);
    assert_near(mean.cpu, 0.5, NEAR);
}

static void test_a_pause_counts_for_nothing(void **state)
{
    (void)state;
    struct gauge gauge = begin(0);
    int64_t ms = 0, pause = 3600 * 1000;
    uint64_t frame = 0;
    for (; ms < 4000; ms += 500) {
        tell(&gauge, ms + 500, frame += 50, 0, computes);
    }
    gauge_shift(&gauge, pause);
    assert_int_equal(BEGAN + ms + pause - gauge.heard_ms, 0);
    assert_near(gauge_rate(&gauge, BEGAN + ms + pause), 100, NEAR);
    tell(&gauge, ms + 500 + pause, frame += 50, 0, waits);
    assert_near(gauge_rate(&gauge, BEGAN + ms + 500 + pause), 100, NEAR);
    assert_near(mean_rate(&gauge), 100, NEAR);
    struct log_shares mean;
    assert_true(gauge_mean_shares(&gauge, &mean));
    assert_near(mean.computing, 4 / 4.5, NEAR);
    assert_true(gauge_shares(&gauge).computing > 0.8);
}

static void test_a_restart_begins_anew(void **state)
{
    (void)state;
    struct gauge gauge = begin(0);
    tell(&gauge, 500, 500, 0, computes);
    tell(&gauge, 1000, 1000, 0, computes);
    gauge_begin(&gauge);
    tell(&gauge, 9000, 600, 0, LOG_SHARES_UNKNOWN); /* from its checkpoint */
    assert_near(gauge_rate(&gauge, BEGAN + 9000), 0, NEAR);
    tell(&gauge, 9500, 700, 200, computes);
    assert_near(gauge_rate(&gauge, BEGAN + 9500), 200, NEAR);
    assert_near(mean_rate(&gauge), 1100 / 1.5, NEAR); /* while it ran */
    tell(&gauge, 10000, 300, 0, computes); /* without having been started: not ours to understand */
    assert_near(mean_rate(&gauge), 1100 / 1.5, NEAR);
}

static void test_what_is_told_once_is_believed(void **state)
{
    (void)state;
    struct gauge gauge = {.name = "mine"};
    double rate = 7;
    struct log_shares shares = waits;
    gauge_begin(&gauge);
    tell(&gauge, 0, 7, 12.5, LOG_SHARES_UNKNOWN);
    assert_near(gauge_rate(&gauge, BEGAN + 100), 12.5, NEAR);
    assert_true(isnan(gauge_shares(&gauge).computing));
    assert_false(gauge_mean_rate(&gauge, &rate));
    assert_false(gauge_mean_shares(&gauge, &shares));
    assert_true(rate == 7 && shares.waiting_input == 1);
    tell(&gauge, 400, 1000000, 0, LOG_SHARES_UNKNOWN); /* all */
    assert_near(gauge_rate(&gauge, BEGAN + 1500), 0, NEAR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lumps_make_an_even_rate),
        cmocka_unit_test(test_lumps_may_be_rarer_than_the_window),
        cmocka_unit_test(test_a_change_of_pace_is_seen_within_the_window),
        cmocka_unit_test(test_shares_count_by_time_not_by_line),
        cmocka_unit_test(test_a_pause_counts_for_nothing),
        cmocka_unit_test(test_a_restart_begins_anew),
        cmocka_unit_test(test_what_is_told_once_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Load: shares of a stage's time add up, whatever the waits were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "load.h"

#define NEAR 1e-9

static void assert_whole(const struct log_shares *shares)
{
    assert_true(fabs(shares->computing + shares->waiting_input + shares->waiting_output - 1) < NEAR);
    assert_true(shares->computing >= 0 && shares->waiting_input >= 0 && shares->waiting_output >= 0);
}

static void test_what_is_not_waited_is_computed(void **state)
{
    (void)state;
    struct load load;
    load_begin(&load, 100);
    assert_true(isnan(load.shares.computing)); /* nothing is known yet */
    usleep(20000);
    load_add_wait(&load, LOAD_INPUT, 4000);
    load_add_wait(&load, LOAD_INPUT, 1000);
    load_add_wait(&load, LOAD_OUTPUT, 2500);
    load_add_wait(&load, LOAD_OUTPUT, -7); /* no clock goes backwards, but who knows */
    load_measure(&load, 150);
    assert_whole(&load.shares);
    assert_true(fabs(load.shares.waiting_input / load.shares.waiting_output - 2) < NEAR);
    assert_true(load.shares.waiting_input > 0 && load.shares.waiting_input <= 0.25 + NEAR);
    assert_true(load.shares.cpu >= 0 && load.shares.cpu < 0.9); /* it slept */
    assert_true(load.rate > 0 && load.rate <= 50 / 0.02 + NEAR);
}

static void test_short_intervals_change_nothing_but_count(void **state)
{
    (void)state;
    struct load load;
    load_begin(&load, 0);
    usleep(1000);
    load_measure(&load, 10);
    const struct log_shares first = load.shares;
    double rate = load.rate;
    usleep(30000);
    load_add_wait(&load, LOAD_OUTPUT, 30000);
    load_measure(&load, 1000000);
    assert_true(load.shares.computing == first.computing && load.rate == rate);
    usleep(250000);
    load_measure(&load, 10); /* nothing more was done: and the wait from before is in it */
    assert_whole(&load.shares);
    assert_true(load.rate == 0 && load.shares.waiting_output > 0);
}

static void test_naps_are_waiting(void **state)
{
    (void)state;
    struct load load;
    load_note_nap(1000000); /* before it began: not its own */
    load_begin(&load, 0);
    usleep(10000);
    load_note_nap(5000);
    load_measure(&load, 0);
    assert_whole(&load.shares);
    assert_true(load.shares.waiting_input > 0 && load.shares.waiting_input <= 0.5 + NEAR);
}

static void test_more_waiting_than_time_is_no_negative_share(void **state)
{
    (void)state;
    struct load load;
    load_begin(&load, 50);
    usleep(1000);
    load_add_wait(&load, LOAD_INPUT, 3000000);
    load_add_wait(&load, LOAD_OUTPUT, 1000000);
    load_measure(&load, 20); /* and the stage has gone back to a checkpoint */
    assert_whole(&load.shares);
    assert_true(fabs(load.shares.waiting_input - 0.75) < NEAR && load.rate == 0);
}

/* An interval in which the process stood still says nothing. */
static void test_a_stop_ends_the_interval(void **state)
{
    (void)state;
    struct load load;
    load_begin(&load, 0);
    usleep(2000);
    load_measure(&load, 10);
    const struct load before = load;
    usleep(260000);
    load_add_wait(&load, LOAD_INPUT, 260000);
    load_note_stop();
    load_measure(&load, 1000);
    assert_true(load.rate == before.rate && load.shares.waiting_input == before.shares.waiting_input);
    usleep(260000);
    load_measure(&load, 1000);
    assert_true(load.rate == 0 && load.shares.waiting_input == 0 && load.shares.computing == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_waited_is_computed),
        cmocka_unit_test(test_short_intervals_change_nothing_but_count),
        cmocka_unit_test(test_naps_are_waiting),
        cmocka_unit_test(test_a_stop_ends_the_interval),
        cmocka_unit_test(test_more_waiting_than_time_is_no_negative_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Bottleneck: which stage limits a run, and the sentence that says so, from shares made up for each case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bottleneck.h"

#define NOW 100000

/* window -> sparse -> topo, all recorded by tape, and maps, which only looks. */
enum { WINDOW, SPARSE, TOPO, TAPE, MAPS, N };

struct run {
    struct gauge gauges[N];
    struct gauge *of[N];
    struct machine machine;
    struct bottleneck found;
};

static void set_up(struct run *run)
{
    static const char *const names[] = {"window", "sparse", "topo", "tape", "maps"};
    static const char *const kinds[] = {"generate", "sparse", "invariant", "record", "render"};
    *run = (struct run){.machine = {.processors = 4, .busy = 0.4}};
    for (size_t i = 0; i < N; i++) {
        run->of[i] = &run->gauges[i];
        gauge_begin(&run->gauges[i]);
        run->gauges[i].name = names[i];
        run->gauges[i].kind = kinds[i];
        run->gauges[i].heard_ms = NOW - 400;
        run->gauges[i].frames = 1000;
    }
    run->gauges[WINDOW].source = true;
    run->gauges[MAPS].looks = true;
    run->gauges[MAPS].state = "looking";
}

/* Shares of a stage in percent; what is left it computes. */
static void set(struct run *run, size_t i, int input, int output)
{
    struct gauge *gauge = &run->gauges[i];
    double computing = (100 - input - output) / 100.0;
    gauge->shares = (struct log_shares){computing, input / 100.0, output / 100.0, computing};
    gauge->shares_ms = NOW - 400;
}

static void assert_limits(struct run *run, const char *name, const char *sentence)
{
    bottleneck_find(&run->found, run->of, N, &run->machine, NOW);
    assert_string_equal(run->found.sentence, sentence);
    assert_string_equal(run->found.gauge ? run->found.gauge->name : "", name);
}

static void test_the_stage_that_computes_limits(void **state)
{
    (void)state;
    struct run run;
    set_up(&run);
    set(&run, WINDOW, 0, 95);
    set(&run, SPARSE, 2, 1);
    set(&run, TOPO, 80, 0);
    set(&run, TAPE, 45, 0);
    set(&run, MAPS, 0, 0); /* however hard it works */
    assert_limits(&run, "sparse",
                  "sparse limits the run: it computes 97 % of the time; window and topo wait for it.");
    set(&run, TAPE, 90, 0);
    assert_limits(&run, "sparse",
                  "sparse limits the run: it computes 97 % of the time; window, topo and tape wait for it.");
    set(&run, TOPO, 10, 0);
    set(&run, TAPE, 30, 0);
    assert_limits(&run, "sparse",
                  "sparse limits the run: it computes 97 % of the time; window waits for it.");
    set(&run, WINDOW, 0, 0);
    assert_limits(&run, "window", "window limits the run: it makes frames 100 % of the time.");
    set(&run, WINDOW, 0, 90);
    set(&run, SPARSE, 0, 70);
    set(&run, TOPO, 0, 80);
    set(&run, TAPE, 15, 0);
    assert_limits(&run, "tape",
                  "tape limits the run: it writes 85 % of the time; window, sparse and topo wait for it.");
}

static void test_many_that_wait_are_not_all_named(void **state)
{
    (void)state;
    struct gauge gauges[10], *of[10];
    struct bottleneck found;
    const struct machine machine = {.processors = 2, .busy = 0.5};
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    for (size_t i = 0; i < 10; i++) {
        gauges[i] = (struct gauge){.name = names[i], .kind = "invariant"};
        gauge_begin(&gauges[i]);
        gauges[i].shares = (struct log_shares){i == 4 ? 0.9 : 0.2, i == 4 ? 0.1 : 0.8, 0, 0.5};
        of[i] = &gauges[i];
    }
    bottleneck_find(&found, of, 10, &machine, NOW);
    assert_string_equal(found.sentence,
                        "e limits the run: it computes 90 % of the time; a, b and 7 others wait for it.");
}

static void test_lack_of_a_processor_is_said(void **state)
{
    (void)state;
    struct run run;
    set_up(&run);
    for (size_t i = 0; i < N; i++) {
        set(&run, i, 40, 0);
    }
    set(&run, SPARSE, 0, 0);
    run.gauges[SPARSE].shares.cpu = 0.55;
    assert_limits(&run, "sparse", "sparse limits the run: it computes 100 % of the time.");
    run.machine.busy = 0.99;
    assert_limits(
        &run, "sparse",
        "sparse limits the run: it computes 100 % of the time, with only 55 % of a processor, because "
        "all 4 are busy.");
    run.gauges[SPARSE].shares.cpu = 0.9; /* it gets about what it wants */
    assert_limits(&run, "sparse", "sparse limits the run: it computes 100 % of the time.");
}

static void test_full_processors_limit_when_no_stage_does(void **state)
{
    (void)state;
    struct run run;
    set_up(&run);
    for (size_t i = 0; i < MAPS; i++) {
        set(&run, i, 60, 0);
        run.gauges[i].shares.cpu = 0.2;
    }
    set(&run, SPARSE, 50, 2);
    run.gauges[SPARSE].shares.cpu = 0.3;
    run.machine = (struct machine){.processors = 2, .busy = 0.97};
    assert_limits(&run, "",
                  "The processors limit the run: both are busy, 45 % of their time with this run; no stage "
                  "computes more than 48 % of the time.");
}

static void test_a_source_limits_by_its_pace(void **state)
{
    (void)state;
    struct run run;
    set_up(&run);
    for (size_t i = 0; i < N; i++) {
        set(&run, i, 90, 0);
    }
    assert_limits(&run, "window",
                  "window limits the run: it waits 90 % of the time for frames from outside.");
    run.gauges[WINDOW].paced = true;
    assert_limits(
        &run, "window",
        "window limits the run: it waits 90 % of the time to keep the pace that its `rate` asks for.");
    run.machine.busy = 1; /* whatever else goes on */
    assert_limits(
        &run, "window",
        "window limits the run: it waits 90 % of the time to keep the pace that its `rate` asks for.");
}

static void test_input_from_outside_limits(void **state)
{
    (void)state;
    struct run run;
    set_up(&run);
    set(&run, SPARSE, 70, 0);
    set(&run, TOPO, 90, 0);
    set(&run, TAPE, 95, 0);
    run.gauges[SPARSE].outside = "ipc:///tmp/mine"; /* and there is no window */
    assert_limits(&run, "",
                  "What comes from ipc:///tmp/mine limits the run: sparse waits for it 70 % of the time.");
}

static void test_readers_limit_by_room(void **state)
{
    (void)state;
    struct run run;
    set_up(&run);
    set(&run, WINDOW, 0, 99);
    set(&run, SPARSE, 5, 80);
    set(&run, TOPO, 60, 0);
    set(&run, TAPE, 70, 0);
    assert_limits(
        &run, "sparse",
        "sparse limits the run: it waits 80 % of the time for readers to be done with what it holds.");
    run.gauges[SPARSE].queue = (struct log_queue){0, 990, 1000};
    assert_limits(
        &run, "sparse",
        "sparse limits the run: it waits 80 % of the time for readers to be done with what it holds, 990 "
        "of 1000 frames.");
}

static void test_nobody_limits_alone(void **state)
{
    (void)state;
    struct run run;
    set_up(&run);
    set(&run, WINDOW, 0, 60);
    set(&run, SPARSE, 20, 20);
    set(&run, TOPO, 40, 0);
    assert_limits(&run, "", "No stage limits the run alone: sparse computes most, 60 % of the time.");
}

static void test_trouble_comes_first(void **state)
{
    (void)state;
    struct run run;
    set_up(&run);
    set(&run, SPARSE, 2, 1);
    set(&run, TOPO, 90, 0);
    run.gauges[TOPO].heard_ms = NOW - 12500;
    assert_limits(
        &run, "topo",
        "topo limits the run: it has told nothing for 12 s; it computes something long, or is stopped.");
    run.gauges[TOPO].frame = 1000; /* no: it has done all, and waits for its readers */
    assert_limits(&run, "sparse", "sparse limits the run: it computes 97 % of the time.");
    run.gauges[TOPO].frame = 10;
    run.gauges[TOPO].shares_ms = 0; /* one that never tells shares may be silent */
    run.gauges[TOPO].shares = LOG_SHARES_UNKNOWN;
    assert_limits(&run, "sparse", "sparse limits the run: it computes 97 % of the time.");
    run.gauges[WINDOW].state = "restarting";
    run.gauges[WINDOW].restarts = 2;
    assert_limits(&run, "window",
                  "window limits the run: it has died and is being started again (restart 2).");
}

static void test_nothing_known_says_nothing(void **state)
{
    (void)state;
    struct run run;
    set_up(&run);
    assert_limits(&run, "", "");
    bottleneck_review(&run.found, run.of, N);
    assert_string_equal(run.found.sentence, "");
}

static void test_the_whole_run_is_reviewed(void **state)
{
    (void)state;
    struct run run;
    set_up(&run);
    for (size_t i = 0; i < N; i++) {
        run.gauges[i].state = "done";
        run.gauges[i].spent = (struct spent){.seconds = 10, .computing = 2, .waiting_input = 8};
        set(&run, i, 100, 0); /* the last moments do not count */
    }
    run.gauges[TOPO].spent = (struct spent){.seconds = 20, .computing = 18, .waiting_input = 2};
    bottleneck_review(&run.found, run.of, N);
    assert_string_equal(
        run.found.sentence,
        "topo limited the run: it computed 90 % of the time; window, sparse and tape waited for it.");
    assert_string_equal(run.found.gauge->name, "topo");
    run.gauges[SPARSE].spent = (struct spent){.seconds = 10, .computing = 9.9, .waiting_input = 0.1};
    bottleneck_review(&run.found, run.of, N); /* busier, but done halfway */
    assert_string_equal(
        run.found.sentence,
        "topo limited the run: it computed 90 % of the time; window, sparse and tape waited for it.");
    run.gauges[TOPO].spent = (struct spent){.seconds = 20, .computing = 12, .waiting_input = 8};
    bottleneck_review(&run.found, run.of, N);
    assert_string_equal(run.found.sentence, "");
}

static struct event told(enum event_kind kind, double computing, double input, double output)
{
    return (struct event){.kind = kind, .frame = 5, .rate = 10, .shares = {computing, input, output, 0.5}};
}

static void test_gauge_keeps_the_newest_shares_and_sums(void **state)
{
    (void)state;
    struct gauge gauge = {.name = "sparse", .state = "looking"};
    gauge_begin(&gauge);
    struct event event = told(EVENT_ALIVE, 0.25, 0.5, 0.25);
    gauge_update(&gauge, &event, NOW);
    assert_string_equal(gauge.state, "looking"); /* a sign of life is no progress */
    assert_int_equal(gauge.frame, 0);
    assert_true(gauge.shares.computing == 0.25 && gauge.spent.seconds > 0);
    assert_true(gauge.spent.computing == 0.25 * gauge.spent.seconds);
    event = told(EVENT_PROGRESS, 1, 0, 0);
    gauge_update(&gauge, &event, NOW);
    assert_null(gauge.state);
    assert_true(gauge.shares.computing == 1 && gauge.frame == 5);
    double seconds = gauge.spent.seconds;
    event.shares = LOG_SHARES_UNKNOWN; /* of a stage in another language */
    gauge_update(&gauge, &event, NOW);
    assert_true(isnan(gauge.shares.computing) && gauge.spent.seconds == seconds);
}

static struct event parse(struct arena *arena, const char *line)
{
    struct event event;
    event_parse(&event, arena, "sparse", line);
    return event;
}

static void test_event_reads_what_is_told(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct event event =
        parse(&arena, "{\"event\":\"progress\",\"frame\":7,\"computing\":0.93,\"waiting_input\":0.05,"
                      "\"waiting_output\":0.02,\"cpu\":1.5,\"queue\":{\"input\":3,\"ring\":8}}");
    assert_int_equal(event.kind, EVENT_PROGRESS);
    assert_true(event.shares.computing == 0.93 && event.shares.waiting_input == 0.05 &&
                event.shares.waiting_output == 0.02 && event.shares.cpu == 1.5);
    assert_true(event.queue.input == 3 && event.queue.held == UINT64_MAX && event.queue.ring == 8);
    event = parse(&arena,
                  "{\"event\":\"progress\",\"frame\":7,\"computing\":7,\"waiting_input\":\"x\",\"queue\":3}");
    assert_int_equal(event.kind, EVENT_PROGRESS);
    assert_true(isnan(event.shares.computing) && isnan(event.shares.waiting_input));
    assert_true(event.queue.input == UINT64_MAX);
    assert_int_equal(parse(&arena, "{\"event\":\"alive\",\"computing\":0.5}").kind, EVENT_ALIVE);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_stage_that_computes_limits),
        cmocka_unit_test(test_many_that_wait_are_not_all_named),
        cmocka_unit_test(test_lack_of_a_processor_is_said),
        cmocka_unit_test(test_full_processors_limit_when_no_stage_does),
        cmocka_unit_test(test_a_source_limits_by_its_pace),
        cmocka_unit_test(test_input_from_outside_limits),
        cmocka_unit_test(test_readers_limit_by_room),
        cmocka_unit_test(test_nobody_limits_alone),
        cmocka_unit_test(test_trouble_comes_first),
        cmocka_unit_test(test_nothing_known_says_nothing),
        cmocka_unit_test(test_the_whole_run_is_reviewed),
        cmocka_unit_test(test_gauge_keeps_the_newest_shares_and_sums),
        cmocka_unit_test(test_event_reads_what_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Producer and consumer together, in one thread: order, backpressure, parked and repeated fetches, restarts,
 * the farewell, malformed requests, and the rules of safety of endpoints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/consumer.h"
#include "common/message.h"
#include "common/producer.h"

#define PATIENCE_MS 20000 /* until a test gives up */

struct fixture {
    char folder[64], endpoint[128], done_path[128];
    struct endpoint_context *context;
    struct producer *producer;
    struct consumer *consumer;
    struct stream_info info;
};

static const struct endpoint_keys no_keys = {"", ""};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->folder, sizeof f->folder, "/tmp/loom-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->endpoint, sizeof f->endpoint, "ipc://%s/stream", f->folder);
    snprintf(f->done_path, sizeof f->done_path, "%s/done", f->folder);
    f->info = (struct stream_info){.id = "abc",
                                   .stage = "test",
                                   .name = "test",
                                   .kind = STREAM_CODES,
                                   .dtype = STREAM_F4,
                                   .winners = 1,
                                   .grid_x = 1000,
                                   .grid_y = 1,
                                   .pass = 10,
                                   .total = 40,
                                   .block = 4,
                                   .ring = 100};
    assert_int_equal(endpoint_context_new(&f->context, &no_keys), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    consumer_destroy(&f->consumer);
    producer_destroy(&f->producer);
    endpoint_context_destroy(&f->context);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* Frame t of the test stream: unit t, value t / 8. */
static void fill(struct block *block)
{
    for (size_t i = 0; i < block->n; i++) {
        ((uint32_t *)block->fields[0])[i] = (uint32_t)(block->seq + i);
        ((float *)block->fields[1])[i] = (float)(block->seq + i) / 8.0F;
    }
}

static int produce(void *argument, struct block *block)
{
    (void)argument;
    fill(block);
    return 0;
}

static void new_producer(struct fixture *f, bool source, const char *required, uint64_t ring_bytes)
{
    struct producer_settings settings = {.endpoint = f->endpoint,
                                         .tap = "",
                                         .required = required,
                                         .done_path = f->done_path,
                                         .ring_bytes = ring_bytes,
                                         .produce = source ? produce : NULL};
    int status =
        LOOM_EPEER; /* ZeroMQ closes sockets in the background: an earlier producer may still be going */
    for (int64_t end = clock_ms() + PATIENCE_MS; status == LOOM_EPEER && clock_ms() < end; usleep(1000)) {
        status = producer_new(&f->producer, f->context, &settings);
    }
    assert_int_equal(status, 0);
    assert_int_equal(producer_start(f->producer, &f->info, 0), 0);
}

static void append(struct fixture *f, size_t n)
{
    uint32_t index[64];
    float value[64];
    struct block block = {.seq = producer_head(f->producer), .n = n, .fields = {index, value}};
    fill(&block);
    assert_int_equal(producer_append(f->producer, &block), 0);
}

static void new_consumer(struct fixture *f, bool join_oldest)
{
    struct consumer_settings settings = {.endpoint = f->endpoint,
                                         .who = "reader",
                                         .timeout_ms = 50,
                                         .patience_ms = PATIENCE_MS,
                                         .join_oldest = join_oldest};
    assert_int_equal(consumer_new(&f->consumer, f->context, &settings), 0);
}

static int pump(struct fixture *f)
{
    usleep(1000);
    if (f->producer != NULL) {
        assert_int_equal(producer_pump(f->producer), 0);
    }
    return consumer_pump(f->consumer);
}

static void start_consumer(struct fixture *f, uint64_t from, size_t most)
{
    for (int64_t end = clock_ms() + PATIENCE_MS; consumer_info(f->consumer) == NULL;) {
        assert_int_equal(pump(f), 0);
        assert_true(clock_ms() < end);
    }
    assert_int_equal(consumer_start(f->consumer, from, most, ""), 0);
}

/* Take exactly n frames, check them. */
static void take(struct fixture *f, size_t n)
{
    struct block block = {.n = 0};
    uint64_t from = consumer_position(f->consumer);
    for (int64_t end = clock_ms() + PATIENCE_MS; block.n == 0;) {
        assert_int_equal(pump(f), 0);
        assert_int_equal(consumer_take(f->consumer, n, &block), 0);
        assert_true(clock_ms() < end);
    }
    assert_int_equal(block.n, n);
    assert_int_equal(block.seq, from);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(((const uint32_t *)block.fields[0])[i], from + i);
        assert_true(((const float *)block.fields[1])[i] == (float)(from + i) / 8.0F);
    }
}

static void pump_for(struct fixture *f, int64_t ms)
{
    for (int64_t end = clock_ms() + ms; clock_ms() < end;) {
        assert_int_equal(pump(f), 0);
    }
}

static void test_source_serves_in_order_whatever_the_blocks(void **state)
{
    struct fixture *f = *state;
    new_producer(f, true, "reader", 1 << 20);
    new_consumer(f, false);
    start_consumer(f, 0, 10);
    const size_t sizes[] = {1, 2, 7, 10, 3, 3, 4, 5, 5};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        take(f, sizes[i]);
    }
    assert_true(consumer_ended(f->consumer));
    assert_false(producer_finished(f->producer));
}

static void test_fetch_waits_for_frames_to_come(void **state)
{
    struct fixture *f = *state;
    new_producer(f, false, "reader", 1 << 20);
    new_consumer(f, false);
    start_consumer(f, 0, 4);
    pump_for(f, 200); /* longer than the time-out: fetched again, parked once */
    assert_int_equal(consumer_ready(f->consumer), 0);
    append(f, 4);
    take(f, 4);
    append(f, 4);
    append(f, 2);
    take(f, 4);
    take(f, 2);
}

static void test_ring_is_full_until_acknowledged(void **state)
{
    struct fixture *f = *state;
    new_producer(f, false, "reader", 300);
    size_t appended = 0;
    while (producer_has_room(f->producer, 2)) {
        append(f, 2);
        appended += 2;
        assert_true(appended < 40);
    }
    new_consumer(f, false);
    start_consumer(f, 0, 4);
    take(f, 2);
    assert_false(producer_has_room(f->producer, 2)); /* taken is not yet durable */
    consumer_ack(f->consumer, 2);
    for (int64_t end = clock_ms() + PATIENCE_MS; !producer_has_room(f->producer, 2);) {
        assert_int_equal(pump(f), 0);
        assert_true(clock_ms() < end);
    }
}

/* Append, take and acknowledge frames up to `end`. */
static void pass_on(struct fixture *f, uint64_t end)
{
    while (producer_head(f->producer) < end) {
        assert_true(producer_has_room(f->producer, 2));
        append(f, 2);
        take(f, 2);
        consumer_ack(f->consumer, producer_head(f->producer));
        for (int64_t late = clock_ms() + PATIENCE_MS;
             producer_ack(f->producer) < producer_head(f->producer);) {
            assert_int_equal(pump(f), 0);
            assert_true(clock_ms() < late);
        }
    }
}

/* The oldest frame that a reader finds which nobody waits for. */
static uint64_t oldest_for_guest(struct fixture *f)
{
    struct consumer_settings settings = {.endpoint = f->endpoint,
                                         .who = "guest",
                                         .timeout_ms = 50,
                                         .patience_ms = PATIENCE_MS,
                                         .join_oldest = true};
    struct consumer *guest = NULL;
    assert_int_equal(consumer_new(&guest, f->context, &settings), 0);
    bool started = false;
    for (int64_t end = clock_ms() + PATIENCE_MS; !started || consumer_ready(guest) == 0;) {
        assert_int_equal(pump(f), 0);
        assert_int_equal(consumer_pump(guest), 0);
        if (!started && consumer_info(guest) != NULL) {
            assert_int_equal(consumer_start(guest, 0, 4, ""), 0);
            started = true;
        }
        assert_true(clock_ms() < end);
    }
    uint64_t oldest = consumer_position(guest);
    consumer_destroy(&guest);
    return oldest;
}

static void test_acknowledged_frames_go_unless_a_guest_reads(void **state)
{
    struct fixture *f = *state;
    new_producer(f, false, "reader", 4000);
    new_consumer(f, false);
    start_consumer(f, 0, 4);
    pass_on(f, 20);
    uint64_t oldest = oldest_for_guest(f);
    assert_true(oldest > 0 && oldest < 20);
    pass_on(f, 40);
    assert_int_equal(oldest_for_guest(f), oldest);
}

/* A source may pause for longer than our patience, as long as it answers: acknowledgements are no complaint. */
static void test_paused_source_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct consumer_settings settings = {
        .endpoint = f->endpoint, .who = "reader", .timeout_ms = 20, .patience_ms = 200};
    new_producer(f, false, "reader", 1 << 20);
    assert_int_equal(consumer_new(&f->consumer, f->context, &settings), 0);
    start_consumer(f, 0, 4);
    append(f, 4);
    take(f, 4);
    for (uint64_t ack = 1; ack <= 4; ack++) {
        consumer_ack(f->consumer, ack);
        pump_for(f, 10);
    }
    pump_for(f, 600);
    append(f, 4);
    take(f, 4);
}

static void test_dropped_frames_are_gone(void **state)
{
    struct fixture *f = *state;
    new_producer(f, false, "", 1 << 20); /* nobody is waited for, and nobody has asked: nothing is held */
    append(f, 4);
    new_consumer(f, false);
    start_consumer(f, 0, 4);
    int status = 0;
    for (int64_t end = clock_ms() + PATIENCE_MS; status == 0 && clock_ms() < end;) {
        status = pump(f);
    }
    assert_int_equal(status, LOOM_EDATA);
    assert_non_null(strstr(error_message(), "frame 0"));
    assert_non_null(strstr(error_message(), "from 4 on"));
}

static void test_late_reader_joins_at_the_oldest(void **state)
{
    struct fixture *f = *state;
    new_producer(f, false, "", 1 << 20);
    append(f, 4);
    new_consumer(f, true);
    start_consumer(f, 0, 4);
    for (int64_t end = clock_ms() + PATIENCE_MS; consumer_position(f->consumer) != 4;) {
        assert_int_equal(pump(f), 0);
        assert_true(clock_ms() < end);
    }
    append(f, 4);
    take(f, 4);
}

static void test_other_stream_is_refused_with_both_ids(void **state)
{
    struct fixture *f = *state;
    new_producer(f, true, "reader", 1 << 20);
    new_consumer(f, false);
    start_consumer(f, 0, 4);
    take(f, 4);
    producer_destroy(&f->producer);
    snprintf(f->info.id, sizeof f->info.id, "xyz");
    new_producer(f, true, "reader", 1 << 20);
    int status = 0;
    for (int64_t end = clock_ms() + PATIENCE_MS; status == 0 && clock_ms() < end;) {
        struct block block;
        status = pump(f);
        assert_int_equal(consumer_ready(f->consumer) == 0 ? 0 : consumer_take(f->consumer, 1, &block), 0);
    }
    assert_int_equal(status, LOOM_EDATA);
    assert_non_null(strstr(error_message(), "abc"));
    assert_non_null(strstr(error_message(), "xyz"));
}

static void test_restarted_producer_is_found_again(void **state)
{
    struct fixture *f = *state;
    new_producer(f, true, "reader", 1 << 20);
    new_consumer(f, false);
    start_consumer(f, 0, 4);
    take(f, 4);
    producer_destroy(&f->producer);
    pump_for(f, 100);
    new_producer(f, true, "reader", 1 << 20);
    while (!consumer_ended(f->consumer)) {
        take(f, 2);
    }
}

static void finish(struct fixture *f)
{
    consumer_ack(f->consumer, f->info.total);
    for (int64_t end = clock_ms() + PATIENCE_MS; !consumer_confirmed(f->consumer);) {
        assert_int_equal(pump(f), 0);
        assert_true(clock_ms() < end);
    }
}

static void test_farewell_is_remembered_after_a_restart(void **state)
{
    struct fixture *f = *state;
    new_producer(f, true, "reader", 1 << 20);
    new_consumer(f, false);
    start_consumer(f, 40, 4);
    assert_false(producer_finished(f->producer));
    finish(f);
    assert_true(producer_finished(f->producer));
    producer_destroy(&f->producer);
    new_producer(f, true, "reader", 1 << 20);
    assert_true(producer_finished(f->producer));
    producer_destroy(&f->producer);
    strcpy(f->info.id, "abd");
    new_producer(f, true, "reader", 1 << 20);
    assert_false(producer_finished(f->producer)); /* it was another stream */
}

static void test_acks_rise_unless_the_reader_goes_back(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t from, ack, known;
    } said[] = {{20, 20, 20}, {20, 10, 20}, {24, 22, 22}, {12, 8, 8}};
    void *reader = NULL;
    new_producer(f, true, "reader", 1 << 20);
    assert_int_equal(endpoint_connect(f->context, &reader, ZMQ_DEALER, f->endpoint, 0, MESSAGE_REPLY_MAX), 0);
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        zmq_msg_t fetch, reply;
        assert_int_equal(message_write_fetch(&fetch, f->info.id, said[i].from, 0, said[i].ack, "reader"), 0);
        assert_true(zmq_msg_send(&fetch, reader, 0) >= 0);
        zmq_msg_init(&reply);
        int64_t end = clock_ms() + PATIENCE_MS;
        while (zmq_msg_recv(&reply, reader, ZMQ_DONTWAIT) < 0) {
            assert_true(clock_ms() < end);
            assert_int_equal(producer_pump(f->producer), 0);
        }
        zmq_msg_close(&reply);
        assert_int_equal(producer_ack(f->producer), said[i].known);
    }
    endpoint_close(&reader);
}

static void test_empty_stream_ends_with_a_farewell(void **state)
{
    struct fixture *f = *state;
    f->info.total = 0;
    new_producer(f, true, "reader", 1 << 20);
    assert_false(producer_finished(f->producer));
    new_consumer(f, false);
    start_consumer(f, 0, 4);
    assert_true(consumer_ended(f->consumer));
    finish(f);
    assert_true(producer_finished(f->producer));
}

static void test_malformed_requests_are_refused_one_by_one(void **state)
{
    struct fixture *f = *state;
    static struct message message;
    void *stranger = NULL;
    new_producer(f, true, "reader", 1 << 20);
    assert_int_equal(endpoint_connect(f->context, &stranger, ZMQ_DEALER, f->endpoint, 0, MESSAGE_REPLY_MAX),
                     0);
    srand(1);
    size_t sent = 0, refused = 0;
    for (int64_t end = clock_ms() + PATIENCE_MS; refused < 1000 && clock_ms() < end;) {
        uint8_t junk[64];
        for (size_t i = 0; i < sizeof junk; i++) {
            junk[i] = (uint8_t)rand();
        }
        if (sent < 1000) {
            junk[0] = 0x91; /* never a map */
            assert_true(zmq_send(stranger, junk, (size_t)rand() % sizeof junk,
                                 sent % 10 == 9 ? ZMQ_SNDMORE : 0) >= 0);
            if (sent % 10 == 9) {
                assert_true(zmq_send(stranger, junk, 1, 0) >= 0); /* a second part */
            }
            sent++;
        }
        assert_int_equal(producer_pump(f->producer), 0);
        zmq_msg_t reply;
        zmq_msg_init(&reply);
        while (zmq_msg_recv(&reply, stranger, ZMQ_DONTWAIT) >= 0) {
            assert_int_equal(message_read(&message, zmq_msg_data(&reply), zmq_msg_size(&reply)), 0);
            assert_int_equal(message.type, MESSAGE_ERR);
            refused++;
        }
        zmq_msg_close(&reply);
    }
    assert_int_equal(refused, 1000);
    endpoint_close(&stranger);
    new_consumer(f, false); /* and the honest are served as ever */
    start_consumer(f, 0, 4);
    take(f, 4);
}

static void test_endpoint_in_use_is_said(void **state)
{
    struct fixture *f = *state;
    void *socket = NULL;
    new_producer(f, true, "", 1 << 20);
    assert_int_equal(endpoint_bind(f->context, &socket, ZMQ_ROUTER, f->endpoint, 0, 100), LOOM_EPEER);
    assert_non_null(strstr(error_message(), "in use"));
    assert_null(socket);
    void *first = NULL;
    char bound[64];
    size_t size = sizeof bound;
    assert_int_equal(endpoint_bind(f->context, &first, ZMQ_ROUTER, "tcp://127.0.0.1:*", 0, 100), 0);
    assert_int_equal(zmq_getsockopt(first, ZMQ_LAST_ENDPOINT, bound, &size), 0);
    assert_int_equal(endpoint_bind(f->context, &socket, ZMQ_ROUTER, bound, 0, 100), LOOM_EPEER);
    endpoint_close(&first);
}

static void test_malformed_endpoints_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *const bad[] = {
        "",
        "ipc://",
        "tcp://127.0.0.1",
        "http://localhost:1",
        "tcp://192.0.2.1:5555",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:99999",
        "tcp://127.0.0.1:80x",
        "tcp://127.host.example:5",
        "tcp://127.0.0.1:0;192.0.2.1:5555",
        "tcp://[2001:db8::1]:5",
        "tcp://*:5555",
        "ipc:///tmp/"
        "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012"
        "345678901234567890"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        void *socket = NULL;
        assert_int_equal(endpoint_connect(f->context, &socket, ZMQ_DEALER, bad[i], 0, 100), LOOM_EUSAGE);
        assert_null(socket);
    }
}

static void save_certificate(const struct fixture *f, const char *name, bool secret, zcert_t *certificate)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    assert_int_equal(secret ? zcert_save(certificate, path) : zcert_save_public(certificate, path), 0);
}

/* Describe over CURVE with a client's certificate: whether an answer comes. */
static bool describe_with(const struct fixture *f, const char *endpoint, const char *certificate,
                          int64_t wait_ms, struct producer *producer)
{
    char key[160], server[160];
    snprintf(key, sizeof key, "%s/%s", f->folder, certificate);
    snprintf(server, sizeof server, "%s/server.pub", f->folder);
    struct endpoint_keys keys = {key, server};
    struct endpoint_context *context = NULL;
    struct consumer *consumer = NULL;
    struct consumer_settings settings = {
        .endpoint = endpoint, .who = "reader", .timeout_ms = 50, .patience_ms = PATIENCE_MS};
    assert_int_equal(endpoint_context_new(&context, &keys), 0);
    assert_int_equal(consumer_new(&consumer, context, &settings), 0);
    for (int64_t end = clock_ms() + wait_ms; consumer_info(consumer) == NULL && clock_ms() < end;) {
        usleep(1000);
        assert_int_equal(producer_pump(producer), 0);
        assert_int_equal(consumer_pump(consumer), 0);
    }
    bool answered = consumer_info(consumer) != NULL;
    consumer_destroy(&consumer);
    endpoint_context_destroy(&context);
    return answered;
}

static void test_curve_admits_only_the_known(void **state)
{
    struct fixture *f = *state;
    zcert_t *server = zcert_new(), *known = zcert_new(), *unknown = zcert_new();
    char admitted[160], key[160];
    snprintf(admitted, sizeof admitted, "%s/admitted", f->folder);
    assert_int_equal(mkdir(admitted, 0700), 0);
    save_certificate(f, "server", true, server);
    save_certificate(f, "server.pub", false, server);
    save_certificate(f, "known", true, known);
    save_certificate(f, "unknown", true, unknown);
    save_certificate(f, "admitted/known", false, known);
    snprintf(key, sizeof key, "%s/server", f->folder);
    struct endpoint_keys keys = {key, admitted};
    struct endpoint_context *context = NULL;
    struct producer *producer = NULL;
    struct producer_settings settings = {.endpoint = "tcp://127.0.0.1:*",
                                         .tap = "",
                                         .required = "",
                                         .done_path = "",
                                         .ring_bytes = 1 << 20,
                                         .produce = produce};
    assert_int_equal(endpoint_context_new(&context, &keys), 0);
    assert_int_equal(producer_new(&producer, context, &settings), 0);
    assert_int_equal(producer_start(producer, &f->info, 0), 0);
    char bound[64];
    size_t size = sizeof bound;
    assert_int_equal(zmq_getsockopt(producer_router(producer), ZMQ_LAST_ENDPOINT, bound, &size), 0);
    assert_true(describe_with(f, bound, "known", PATIENCE_MS, producer));
    assert_false(describe_with(f, bound, "unknown", 500, producer));
    producer_destroy(&producer);
    endpoint_context_destroy(&context);
    zcert_destroy(&server);
    zcert_destroy(&known);
    zcert_destroy(&unknown);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_source_serves_in_order_whatever_the_blocks),
        CASE(test_fetch_waits_for_frames_to_come),
        CASE(test_ring_is_full_until_acknowledged),
        CASE(test_acknowledged_frames_go_unless_a_guest_reads),
        CASE(test_paused_source_is_waited_for),
        CASE(test_dropped_frames_are_gone),
        CASE(test_late_reader_joins_at_the_oldest),
        CASE(test_other_stream_is_refused_with_both_ids),
        CASE(test_restarted_producer_is_found_again),
        CASE(test_farewell_is_remembered_after_a_restart),
        CASE(test_acks_rise_unless_the_reader_goes_back),
        CASE(test_empty_stream_ends_with_a_farewell),
        CASE(test_malformed_requests_are_refused_one_by_one),
        CASE(test_endpoint_in_use_is_said),
        CASE(test_malformed_endpoints_are_refused),
        CASE(test_curve_admits_only_the_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

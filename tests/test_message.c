/* Messages: what is written is read back, and what is malformed is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/message.h"

static const struct stream_info codes = {.id = "0123456789abcdef0123456789abcdef",
                                         .stage = "sparse",
                                         .name = "s1",
                                         .body = "cpu",
                                         .kind = STREAM_CODES,
                                         .dtype = STREAM_F4,
                                         .winners = 2,
                                         .grid_x = 5,
                                         .grid_y = 3,
                                         .pass = 100,
                                         .total = 1000,
                                         .block = 7,
                                         .ring = 64};

static int read_back(struct message *message, zmq_msg_t *written)
{
    return message_read(message, zmq_msg_data(written), zmq_msg_size(written));
}

static void test_stream_round_trip(void **state)
{
    (void)state;
    static struct message message;
    zmq_msg_t written;
    assert_int_equal(message_write_stream(&written, &codes, 3, 10), 0);
    assert_int_equal(read_back(&message, &written), 0);
    assert_int_equal(message.type, MESSAGE_STREAM);
    assert_memory_equal(message.info.id, codes.id, sizeof codes.id);
    assert_string_equal(message.info.name, "s1");
    assert_string_equal(message.info.body, "cpu");
    assert_int_equal(message.info.kind, STREAM_CODES);
    assert_int_equal(message.info.winners, 2);
    assert_int_equal(message.info.grid_x, 5);
    assert_int_equal(message.info.grid_y, 3);
    assert_int_equal(message.info.pass, 100);
    assert_int_equal(message.info.total, 1000);
    assert_int_equal(message.info.block, 7);
    assert_int_equal(message.info.ring, 64);
    assert_int_equal(message.base, 3);
    assert_int_equal(message.head, 10);
    zmq_msg_close(&written);
}

static void test_stream_without_end_says_nil(void **state)
{
    (void)state;
    static struct message message;
    struct stream_info frames = {.id = "x",
                                 .stage = "g",
                                 .name = "g",
                                 .kind = STREAM_FRAMES,
                                 .dtype = STREAM_U1,
                                 .height = 4,
                                 .width = 6,
                                 .at = true,
                                 .total = UINT64_MAX,
                                 .block = 1,
                                 .ring = UINT64_MAX};
    zmq_msg_t written;
    assert_int_equal(message_write_stream(&written, &frames, 0, 0), 0);
    assert_int_equal(read_back(&message, &written), 0);
    assert_true(message.info.total == UINT64_MAX && message.info.ring == UINT64_MAX);
    assert_int_equal(message.info.height, 4);
    assert_int_equal(message.info.width, 6);
    assert_int_equal(message.info.dtype, STREAM_U1);
    assert_true(message.info.at);
    assert_string_equal(message.serves, "");
    zmq_msg_close(&written);
    assert_int_equal(message_write_tapped(&written, &frames, 3, 4, "tcp://127.0.0.1:5555"), 0);
    assert_int_equal(read_back(&message, &written), 0);
    assert_string_equal(message.serves, "tcp://127.0.0.1:5555");
    assert_true(message.base == 3 && message.head == 4 && message.info.height == 4);
    zmq_msg_close(&written);
}

static void test_fetch_round_trip(void **state)
{
    (void)state;
    static struct message message;
    zmq_msg_t written;
    assert_int_equal(message_write_fetch(&written, codes.id, 14, 7, UINT64_MAX, "topo"), 0);
    assert_int_equal(read_back(&message, &written), 0);
    assert_int_equal(message.seq, 14);
    assert_int_equal(message.n, 7);
    assert_true(message.ack == UINT64_MAX);
    assert_string_equal(message.who, "topo");
    zmq_msg_close(&written);
}

/* A data message with two frames of codes and a metric. */
static void write_data(zmq_msg_t *written)
{
    static uint32_t index[] = {1, 4, 0, 14};
    static float value[] = {0.5F, 0.25F, 1.0F, 2.0F};
    struct block block = {
        .seq = 98, .n = 2, .fields = {index, value}, .metrics = {{"error", -0.5}}, .n_metrics = 1};
    assert_int_equal(message_write_data(written, &codes, &block, false), 0);
}

static void test_data_round_trip(void **state)
{
    (void)state;
    static struct message message;
    const uint8_t *rows[STREAM_FIELDS_MAX];
    zmq_msg_t written;
    write_data(&written);
    assert_int_equal(read_back(&message, &written), 0);
    assert_int_equal(message.type, MESSAGE_DATA);
    assert_int_equal(message.seq, 98);
    assert_int_equal(message_rows(&message, &codes, rows), 0);
    uint32_t last = 0;
    memcpy(&last, rows[0] + 12, sizeof last);
    assert_int_equal(last, 14);
    float value = 0;
    memcpy(&value, rows[1] + 4, sizeof value);
    assert_true(value == 0.25F);
    assert_int_equal(message.n_metrics, 1);
    assert_string_equal(message.metrics[0].name, "error");
    assert_true(message.metrics[0].value == -0.5);
    zmq_msg_close(&written);
}

static void test_rows_refuse_other_shapes(void **state)
{
    (void)state;
    static struct message message;
    const uint8_t *rows[STREAM_FIELDS_MAX];
    struct stream_info other = codes;
    zmq_msg_t written;
    write_data(&written);
    assert_int_equal(read_back(&message, &written), 0);
    other.winners = 3;
    assert_int_equal(message_rows(&message, &other, rows), LOOM_EDATA);
    assert_non_null(strstr(error_message(), "index"));
    message.n = 3;
    assert_int_equal(message_rows(&message, &codes, rows), LOOM_EDATA);
    zmq_msg_close(&written);
}

static void test_weights_round_trip(void **state)
{
    (void)state;
    static struct message message;
    float data[15 * 6] = {[89] = 3.5F};
    struct stage_weights weights = {data, 15, 6, 5, 3, 3, 2};
    zmq_msg_t written;
    assert_int_equal(message_write_weights(&written, &codes, &weights, 200, 2, 9), 0);
    assert_int_equal(read_back(&message, &written), 0);
    assert_int_equal(message.rows, 15);
    assert_int_equal(message.cols, 6);
    assert_int_equal(message.input_width, 3);
    assert_int_equal(message.input_height, 2);
    assert_int_equal(message.pass, 2);
    assert_int_equal(message.count, 9);
    assert_int_equal(message.fields[0].bytes, sizeof data);
    zmq_msg_close(&written);
}

/* Any cut and any single changed byte is read or refused, never crashed on; a cut is always refused. */
static void test_read_survives_damage(void **state)
{
    (void)state;
    static struct message message;
    const uint8_t *rows[STREAM_FIELDS_MAX];
    zmq_msg_t written;
    write_data(&written);
    size_t size = zmq_msg_size(&written);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *bytes = malloc(cut + 1);
        memcpy(bytes + 1, zmq_msg_data(&written), cut);
        assert_int_equal(message_read(&message, bytes + 1, cut), LOOM_EDATA);
        free(bytes);
    }
    for (size_t i = 0; i < size; i++) {
        for (int value = 0; value < 256; value++) {
            uint8_t *bytes = malloc(size);
            memcpy(bytes, zmq_msg_data(&written), size);
            bytes[i] = (uint8_t)value;
            if (message_read(&message, bytes, size) == 0 && message.type == MESSAGE_DATA) {
                (void)!message_rows(&message, &codes, rows);
            }
            free(bytes);
        }
    }
    zmq_msg_close(&written);
}

static void test_read_says_what_is_wrong(void **state)
{
    (void)state;
    static struct message message;
    const struct {
        const char *bytes;
        size_t size;
        const char *why;
    } cases[] = {
        {"\x81\xA1t\xA8"
         "describe",
         12, "'v'"},
        {"\x82\xA1v\x02\xA1t\xA8"
         "describe",
         15, "version"},
        {"\x82\xA1v\x01\xA1t\xA4"
         "what",
         11, "'t'"},
        {"\x82\xA1v\x01\xA1t\xA8"
         "describe!",
         16, "follow"},
        {"\x83\xA1v\x01\xA1t\xA5"
         "fetch\xA1n\xFF",
         15, "'n'"},
        {"\x90", 1, "map"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(message_read(&message, cases[i].bytes, cases[i].size), LOOM_EDATA);
        assert_non_null(strstr(error_message(), cases[i].why));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_round_trip),        cmocka_unit_test(test_stream_without_end_says_nil),
        cmocka_unit_test(test_fetch_round_trip),         cmocka_unit_test(test_data_round_trip),
        cmocka_unit_test(test_rows_refuse_other_shapes), cmocka_unit_test(test_weights_round_trip),
        cmocka_unit_test(test_read_survives_damage),     cmocka_unit_test(test_read_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

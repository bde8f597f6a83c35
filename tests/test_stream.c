/* Streams: the fields of each kind, and descriptions that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stream.h"

static const struct stream_info frames = {.id = "0123456789abcdef0123456789abcdef",
                                          .stage = "generate",
                                          .name = "window",
                                          .kind = STREAM_FRAMES,
                                          .dtype = STREAM_U1,
                                          .height = 20,
                                          .width = 30,
                                          .at = true,
                                          .pass = 100,
                                          .total = 1000,
                                          .block = 64};
static const struct stream_info codes = {.id = "a",
                                         .stage = "sparse",
                                         .name = "s",
                                         .kind = STREAM_CODES,
                                         .dtype = STREAM_F4,
                                         .winners = 4,
                                         .grid_x = 40,
                                         .grid_y = 30,
                                         .total = UINT64_MAX,
                                         .block = 1};

static void test_stream_fields_have_the_right_size(void **state)
{
    (void)state;
    struct stream_field fields[STREAM_FIELDS_MAX];
    struct stream_info info = frames;
    assert_int_equal(stream_fields(&info, fields), 2);
    assert_string_equal(fields[0].name, "data");
    assert_int_equal(fields[0].row_bytes, 600);
    assert_string_equal(fields[1].name, "at");
    assert_int_equal(fields[1].row_bytes, 8);
    info.dtype = STREAM_F4;
    info.at = false;
    assert_int_equal(stream_fields(&info, fields), 1);
    assert_int_equal(fields[0].row_bytes, 2400);
    assert_int_equal(stream_fields(&codes, fields), 2);
    assert_string_equal(fields[0].name, "index");
    assert_string_equal(fields[1].name, "value");
    assert_int_equal(fields[0].row_bytes, 16);
    assert_int_equal(fields[1].row_bytes, 16);
    info = codes;
    info.kind = STREAM_ACTIVATIONS;
    assert_int_equal(stream_fields(&info, fields), 1);
    assert_string_equal(fields[0].name, "data");
    assert_int_equal(fields[0].row_bytes, 4800);
}

static void test_stream_kind_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(stream_kind_name(STREAM_FRAMES), "frames");
    assert_string_equal(stream_kind_name(STREAM_CODES), "codes");
    assert_string_equal(stream_kind_name(STREAM_ACTIVATIONS), "activations");
    assert_string_equal(stream_kind_name(STREAM_NONE), "none");
}

static void test_stream_info_accepts_good_ones(void **state)
{
    (void)state;
    struct stream_info info = frames;
    assert_int_equal(stream_info_check(&info), LOOM_OK);
    assert_int_equal(stream_info_check(&codes), LOOM_OK);
    info.height = info.width = 4096; /* 2^24 pixels, just enough */
    info.block = (uint64_t)1 << 20;
    assert_int_equal(stream_info_check(&info), LOOM_OK);
    info.total = 0; /* passes: 0 */
    assert_int_equal(stream_info_check(&info), LOOM_OK);
}

/* One refused change of `frames` or `codes` a line. */
#define REFUSED(good, change, word)                                                                          \
    do {                                                                                                     \
        struct stream_info info = (good);                                                                    \
        change;                                                                                              \
        assert_int_equal(stream_info_check(&info), LOOM_EDATA);                                              \
        assert_non_null(strstr(error_message(), word));                                                      \
    } while (0)

static void test_stream_info_refuses_bad_ones(void **state)
{
    (void)state;
    REFUSED(frames, info.id[0] = '\0', "id");
    REFUSED(frames, info.name[0] = '\0', "name");
    REFUSED(frames, info.stage[0] = '\0', "stage");
    REFUSED(frames, memset(info.id, 'x', sizeof info.id), "longer");
    REFUSED(frames, memset(info.name, 'x', sizeof info.name), "longer");
    REFUSED(frames, memset(info.body, 'x', sizeof info.body), "longer");
    REFUSED(frames, info.name[1] = '\n', "0x0a");
    REFUSED(frames, info.name[1] = '/', "0x2f");
    REFUSED(frames, info.id[1] = '\x80', "0x80");
    REFUSED(frames, info.kind = STREAM_NONE, "kind");
    REFUSED(frames, info.kind = (enum stream_kind)99, "kind");
    REFUSED(frames, info.dtype = (enum stream_dtype)7, "u1");
    REFUSED(frames, info.height = 0, "side");
    REFUSED(frames, info.width = 65536, "side");
    REFUSED(frames, info.width = SIZE_MAX, "side");
    REFUSED(frames, info.height = 4097; info.width = 4096, "pixels");
    REFUSED(frames, info.block = 0, "block");
    REFUSED(frames, info.block = ((uint64_t)1 << 20) + 1, "block");
    REFUSED(frames, info.pass = 1001, "passes");
    REFUSED(codes, info.dtype = STREAM_U1, "f4");
    REFUSED(codes, info.at = true, "positions");
    REFUSED(codes, info.winners = 0, "winners");
    REFUSED(codes, info.winners = 1201, "winners");
    REFUSED(codes, info.grid_x = 0, "grid");
    REFUSED(codes, info.grid_y = 0, "grid");
    REFUSED(codes, info.grid_x = 4097; info.grid_y = 4096, "grid");
    REFUSED(codes, info.grid_x = SIZE_MAX; info.grid_y = SIZE_MAX, "grid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_fields_have_the_right_size),
        cmocka_unit_test(test_stream_kind_has_a_name),
        cmocka_unit_test(test_stream_info_accepts_good_ones),
        cmocka_unit_test(test_stream_info_refuses_bad_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The MessagePack reader: right values, and never past the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

static struct wire_value read_bytes(const void *bytes, size_t size)
{
    struct wire_cursor cursor = {bytes, (const uint8_t *)bytes + size};
    struct wire_value value;
    assert_true(wire_read(&cursor, &value));
    assert_ptr_equal(cursor.at, cursor.end);
    return value;
}

#define READ(...) read_bytes((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void test_read_numbers(void **state)
{
    (void)state;
    assert_int_equal(READ(0x7F).number, 127);
    assert_int_equal(READ(0xCD, 0x12, 0x34).number, 0x1234);
    assert_true(READ(0xCF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF).number == UINT64_MAX);
    assert_int_equal(READ(0xD1, 0x00, 0x05).type, WIRE_UNSIGNED);
    assert_true(READ(0xFF).real == -1.0);
    assert_true(READ(0xD0, 0x80).real == -128.0);
    assert_true(READ(0xD3, 0x80, 0, 0, 0, 0, 0, 0, 0).real == -9223372036854775808.0);
    assert_true(READ(0xCA, 0x3F, 0x80, 0, 0).real == 1.0);
    assert_true(READ(0xCB, 0xC0, 0x04, 0, 0, 0, 0, 0, 0).real == -2.5);
    assert_int_equal(READ(0xC3).number, 1);
    assert_int_equal(READ(0xC0).type, WIRE_NIL);
}

static void test_read_texts_and_binaries(void **state)
{
    (void)state;
    struct wire_value text = READ(0xA3, 'a', 'b', 'c');
    assert_true(wire_text_is(&text, "abc"));
    assert_false(wire_text_is(&text, "ab"));
    assert_false(wire_text_is(&text, "abcd"));
    struct wire_value binary = READ(0xC4, 2, 9, 8);
    assert_int_equal(binary.type, WIRE_BINARY);
    assert_int_equal(binary.number, 2);
    assert_int_equal(binary.bytes[1], 8);
}

/* Every prefix of a nested value is refused, in a buffer of exactly that size (the sanitizer watches its
 * end). */
static void test_read_refuses_every_cut(void **state)
{
    (void)state;
    const uint8_t whole[] = {0x83, 0xA1, 'a',  0x92, 0x01, 0xCD, 0x01, 0x00, 0xA1, 'b', 0xC5, 0x00, 0x03, 1,
                             2,    3,    0xA1, 'c',  0xCB, 1,    2,    3,    4,    5,   6,    7,    8};
    for (size_t size = 0; size <= sizeof whole; size++) {
        uint8_t *cut = malloc(size + 1);
        memcpy(cut + 1, whole, size);
        struct wire_cursor cursor = {cut + 1, cut + 1 + size};
        assert_int_equal(wire_skip(&cursor), size == sizeof whole);
        free(cut);
    }
}

static void test_skip_bounds_depth_and_claims(void **state)
{
    (void)state;
    uint8_t deep[64];
    memset(deep, 0x91, sizeof deep); /* lists in lists */
    struct wire_cursor cursor = {deep, deep + sizeof deep};
    assert_false(wire_skip(&cursor));
    const uint8_t huge[] = {0xDD, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}; /* claims four billion items */
    cursor = (struct wire_cursor){huge, huge + sizeof huge};
    assert_false(wire_skip(&cursor));
    const uint8_t long_binary[] = {0xC6, 0xFF, 0xFF, 0xFF, 0xFF, 0x01};
    cursor = (struct wire_cursor){long_binary, long_binary + sizeof long_binary};
    assert_false(wire_skip(&cursor));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_numbers),
        cmocka_unit_test(test_read_texts_and_binaries),
        cmocka_unit_test(test_read_refuses_every_cut),
        cmocka_unit_test(test_skip_bounds_depth_and_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Lineages of layers: who descends from whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/lineage.h"

static void test_lineage_names_a_layer_and_what_it_started_from(void **state)
{
    (void)state;
    char first[STREAM_LAYER_BYTES], second[STREAM_LAYER_BYTES], id[STREAM_ID_BYTES];
    lineage_begin(first, "aa", "");
    assert_string_equal(first, "aa");
    lineage_begin(second, "bb", first);
    assert_string_equal(second, "bb aa");
    assert_true(lineage_has(second, "aa") && lineage_has(second, "bb"));
    assert_false(lineage_has(first, "bb"));
    lineage_newest(id, second);
    assert_string_equal(id, "bb");
}

static void test_lineage_compares_whole_ids(void **state)
{
    (void)state;
    assert_false(lineage_has("abc abd", "ab"));
    assert_false(lineage_has("abc", "abcd"));
    assert_false(lineage_has("", "a"));
    assert_false(lineage_has("a", ""));
    assert_true(lineage_has("  x   y ", "y")); /* strangers may be untidy */
}

static void test_lineage_keeps_the_newest_that_fit(void **state)
{
    (void)state;
    char lineage[STREAM_LAYER_BYTES] = "", older[STREAM_LAYER_BYTES], id[STREAM_ID_BYTES];
    for (int i = 0; i < 100; i++) {
        memcpy(older, lineage, sizeof older);
        snprintf(id, sizeof id, "%032d", i);
        lineage_begin(lineage, id, older);
        assert_true(strlen(lineage) < STREAM_LAYER_BYTES);
    }
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "%032d", i);
        assert_int_equal(lineage_has(lineage, id), i >= 100 - STREAM_LAYER_BYTES / 33);
    }
}

static void test_lineage_of_nothing(void **state)
{
    (void)state;
    char id[STREAM_ID_BYTES] = "x";
    lineage_newest(id, "");
    assert_string_equal(id, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lineage_names_a_layer_and_what_it_started_from),
        cmocka_unit_test(test_lineage_compares_whole_ids),
        cmocka_unit_test(test_lineage_keeps_the_newest_that_fit),
        cmocka_unit_test(test_lineage_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Parameters: defaults, ranges, and text that reads back as the same value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/params.h"

struct fields {
    int64_t count;
    double rate;
    bool frozen;
    char *layer;
    int rule;
    struct grid grid;
    char *address;
};

#define FIELD(member) offsetof(struct fields, member)

static const char *const rules[] = {"topo", "smooth", NULL};

static const struct param table[] = {
    {"count", PARAM_INTEGER, FIELD(count), "4", 1, 64, "units", "how many", NULL, 0},
    {"learning_rate", PARAM_REAL, FIELD(rate), "0.02", 0, 1, "", "how fast \"it\" goes", NULL, 0},
    {"frozen", PARAM_BOOLEAN, FIELD(frozen), "false", 0, 0, "", "or not", NULL, 0},
    {"layer", PARAM_PATH, FIELD(layer), "", 0, 0, "", "a file", NULL, PARAM_LOCAL},
    {"rule", PARAM_CHOICE, FIELD(rule), "smooth", 0, 0, "", "which", rules, 0},
    {"grid", PARAM_GRID, FIELD(grid), "40x30", 1, 100, "units", "shape", NULL, PARAM_REQUIRED},
    {"address", PARAM_ADDRESS, FIELD(address), "", 0, 0, "", "where", NULL, PARAM_LOCAL},
    {.name = NULL},
};

static int set_up(void **state)
{
    struct fields *fields = calloc(1, sizeof *fields);
    *state = fields;
    return fields == NULL ? -1 : params_set_defaults(table, fields);
}

static int tear_down(void **state)
{
    params_fini(table, *state);
    params_fini(table, *state); /* twice does no harm */
    free(*state);
    return 0;
}

static void test_defaults_fill_every_field(void **state)
{
    const struct fields *fields = *state;
    assert_int_equal(fields->count, 4);
    assert_true(fields->rate == 0.02);
    assert_false(fields->frozen);
    assert_string_equal(fields->layer, "");
    assert_int_equal(fields->rule, 1);
    assert_int_equal(fields->grid.x, 40);
    assert_int_equal(fields->grid.y, 30);
    assert_string_equal(fields->address, "");
}

static void test_set_refuses_what_does_not_fit(void **state)
{
    const char *const bad[][2] = {
        {"count", "0"},
        {"count", "65"},
        {"count", "4.5"},
        {"count", ""},
        {"count", "4 "},
        {"count", "99999999999999999999"},
        {"learning_rate", "nan"},
        {"learning_rate", "1.01"},
        {"learning_rate", "0.1x"},
        {"frozen", "yes"},
        {"rule", "Topo"},
        {"rule", ""},
        {"grid", "40"},
        {"grid", "40x"},
        {"grid", "40x30x2"},
        {"grid", "0x3"},
        {"grid", "101x3"},
        {"grid", "40,30"},
        {"address", "127.0.0.1"},
        {"address", "127.0.0.1:65536"},
        {"address", "somewhere:80"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct param *param = params_find(table, bad[i][0]);
        assert_int_equal(params_set(param, *state, bad[i][1]), LOOM_EUSAGE);
        assert_non_null(strstr(error_message(), bad[i][0]));
    }
    test_defaults_fill_every_field(state); /* and nothing was changed */
}

static void test_format_reads_back(void **state)
{
    const char *const values[][2] = {{"count", "64"},        {"learning_rate", "0.333333333333"},
                                     {"frozen", "true"},     {"layer", "a b/c.h5"},
                                     {"rule", "topo"},       {"grid", "7x9"},
                                     {"address", "[::1]:80"}};
    char text[64], again[64];
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const struct param *param = params_find(table, values[i][0]);
        assert_int_equal(params_set(param, *state, values[i][1]), 0);
        params_format(param, *state, text, sizeof text);
        assert_int_equal(params_set(param, *state, text), 0);
        params_format(param, *state, again, sizeof again);
        assert_string_equal(text, again);
    }
    const struct fields *fields = *state;
    assert_true(fields->rate == 0.333333333333);
}

static void test_find_folds_dashes(void **state)
{
    (void)state;
    assert_ptr_equal(params_find(table, "learning-rate"), &table[1]);
    assert_ptr_equal(params_find(table, "learning_rate"), &table[1]);
    assert_null(params_find(table, "learning"));
    assert_null(params_find(table, "learning_rates"));
}

static void test_json_names_everything(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    params_write_json(table, out);
    fclose(out);
    const char *const parts[] = {"\"name\":\"count\"",   "\"type\":\"grid\"",
                                 "\"type\":\"address\"", "\"default\":\"0.02\"",
                                 "\\\"it\\\"",           "\"choices\":[\"topo\",\"smooth\"]",
                                 "\"required\":true",    "\"local\":true"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        assert_non_null(strstr(text, parts[i]));
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults_fill_every_field, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_set_refuses_what_does_not_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_format_reads_back, set_up, tear_down),
        cmocka_unit_test(test_find_folds_dashes),
        cmocka_unit_test(test_json_names_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Pictures of loom top: whatever numbers a tap brings, what is drawn are characters of the scale. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "top/picture.h"

#define SIDE 4

/* Draw a picture of these activations (SIDE x SIDE) as large as it is; the caller frees the text. */
static char *draw(const float *values, bool weights, bool greys, bool utf8)
{
    struct picture picture = {.values = NULL};
    char *text = NULL;
    size_t size = 0;
    struct message message = {.n = 1, .n_fields = 1, .rows = 1, .cols = (uint64_t)SIDE * SIDE};
    struct stream_info info = {.kind = STREAM_ACTIVATIONS, .dtype = STREAM_F4};
    info.grid_x = info.grid_y = SIDE;
    message.fields[0] =
        (struct message_field){"data", 4, (const uint8_t *)values, SIDE * SIDE * sizeof *values};
    if (weights) {
        message.info.grid_x = message.info.grid_y = 1;
        message.input_width = message.input_height = SIDE;
        assert_int_equal(picture_of_weights(&picture, &message, 40), 0);
    } else {
        assert_int_equal(picture_of_data(&picture, &message, &info), 0);
    }
    struct screen screen = {.width = 80, .greys = greys, .utf8 = utf8, .out = open_memstream(&text, &size)};
    assert_non_null(screen.out);
    for (int row = 0; row < SIDE; row += 2) {
        picture_draw_line(&picture, &screen, SIDE, SIDE, row);
        assert_int_equal(screen.column, SIDE);
        (void)screen_line(&screen);
    }
    fclose(screen.out);
    picture_free(&picture);
    return text;
}

static void test_negative_values_are_drawn_as_none(void **state)
{
    (void)state;
    float values[SIDE * SIDE];
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++) {
        values[i] = i % 2 == 0 ? -1e9F : 0.5F; /* columns */
    }
    for (int weights = 0; weights < 2; weights++) {
        char *text = draw(values, weights, false, true);
        assert_string_equal(text, " █ █\n █ █\n");
        free(text);
        text = draw(values, weights, false, false);
        assert_string_equal(text, " @ @\n @ @\n");
        free(text);
        text = draw(values, weights, true, true);
        assert_non_null(strstr(text, "\033[38;5;232;48;5;232m▀"));
        assert_non_null(strstr(text, "\033[38;5;255;48;5;255m▀"));
        free(text);
    }
}

static void test_odd_values_are_drawn_somehow(void **state)
{
    (void)state;
    float values[SIDE * SIDE] = {NAN, INFINITY, -INFINITY, 3.4e38F, -3.4e38F, 1e-45F};
    for (int kind = 0; kind < 8; kind++) {
        free(draw(values, kind & 1, kind & 2, kind & 4));
    }
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++) {
        values[i] = -1; /* none is above 0: there is nothing to scale by */
    }
    char *text = draw(values, true, false, false);
    assert_string_equal(text, "    \n    \n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_negative_values_are_drawn_as_none),
        cmocka_unit_test(test_odd_values_are_drawn_somehow),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Plots: ticks of axes, where curves run, what does not fit; and the ink that they are drawn with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/ink.h"
#include "common/plot.h"

static void check_ticks(double min, double max, enum plot_scale scale, const char *expected)
{
    const struct plot_axis axis = plot_axis_of(min, max, scale);
    char all[400] = "";
    for (size_t i = 0; i < axis.n; i++) {
        char tick[32];
        plot_tick(tick, &axis, i);
        strcat(all, i > 0 ? " " : "");
        strcat(all, tick);
        assert_true(plot_place(&axis, axis.ticks[i]) > -1e-6 && plot_place(&axis, axis.ticks[i]) < 1 + 1e-6);
    }
    assert_string_equal(all, expected);
    assert_true(axis.low <= min && axis.high >= max && axis.low < axis.high);
    assert_true(plot_place(&axis, max) <= 1 && plot_place(&axis, min) >= 0);
}

static void test_axis_has_round_ticks(void **state)
{
    (void)state;
    check_ticks(1, 20, PLOT_LINEAR, "0 5 10 15 20");
    check_ticks(1, 300, PLOT_LINEAR, "0 100 200 300");
    check_ticks(0, 1, PLOT_AUTO, "0 0.5 1.0");
    check_ticks(0.2, 0.9, PLOT_AUTO, "0 0.2 0.4 0.6 0.8");
    check_ticks(10.01, 10.37, PLOT_AUTO, "10.0 10.1 10.2 10.3");
    check_ticks(-0.5, 1.5, PLOT_AUTO, "−0.5 0 0.5 1.0 1.5");
    check_ticks(-3, -1, PLOT_AUTO, "−3.0 −2.5 −2.0 −1.5 −1.0");
    check_ticks(0, 12000, PLOT_AUTO, "0 5,000 10,000");
    check_ticks(5, 5, PLOT_AUTO, "4.6 4.8 5.0 5.2 5.4");
    check_ticks(0, 0, PLOT_AUTO, "−1.0 −0.5 0 0.5 1.0");
    check_ticks(1000000, 3000000, PLOT_AUTO, "0 1e+06 2e+06 3e+06");
}

static void test_axis_is_logarithmic_where_the_range_asks(void **state)
{
    (void)state;
    assert_false(plot_axis_of(0.1, 1, PLOT_AUTO).log);
    assert_true(plot_axis_of(0.01, 1, PLOT_AUTO).log);
    assert_false(plot_axis_of(0.01, 1, PLOT_LINEAR).log);
    assert_true(plot_axis_of(0.5, 1, PLOT_LOG).log);
    assert_false(plot_axis_of(0, 1, PLOT_LOG).log); /* cannot be */
    assert_false(plot_axis_of(-1, 100, PLOT_AUTO).log);
    check_ticks(0.26, 8.3, PLOT_AUTO, "0.5 1 2 5");
    check_ticks(6e-5, 0.013, PLOT_AUTO, "5·10⁻⁵ 10⁻⁴ 2·10⁻⁴ 5·10⁻⁴ 0.001 0.002 0.005 0.01");
    check_ticks(3e4, 6e5, PLOT_LOG, "5·10⁴ 10⁵ 2·10⁵ 5·10⁵");
    check_ticks(1e-5, 1, PLOT_AUTO, "10⁻⁵ 10⁻⁴ 0.001 0.01 0.1 1");
    check_ticks(1, 2e6, PLOT_AUTO, "1 10 100 1,000 10,000 10⁵ 10⁶");
    check_ticks(1e-300, 1e-3, PLOT_AUTO, "10⁻³⁰⁰ 10⁻²⁵⁰ 10⁻²⁰⁰ 10⁻¹⁵⁰ 10⁻¹⁰⁰ 10⁻⁵⁰ 1");
}

/* The ends of what a double holds: ticks there are, and none is infinite. */
static void test_axis_holds_every_double(void **state)
{
    (void)state;
    check_ticks(-1e308, 1e308, PLOT_AUTO, "−1e+308 −5e+307 0 5e+307 1e+308");
    check_ticks(-DBL_MAX, DBL_MAX, PLOT_AUTO, "−1e+308 0 1e+308");
    check_ticks(0, DBL_MAX, PLOT_AUTO, "0 5e+307 1e+308 1.5e+308");
    check_ticks(DBL_MAX, DBL_MAX, PLOT_LINEAR, "1.65e+308 1.7e+308 1.75e+308");
    check_ticks(DBL_MIN, DBL_MAX, PLOT_LOG, "10⁻³⁰⁰ 10⁻²⁰⁰ 10⁻¹⁰⁰ 1 10¹⁰⁰ 10²⁰⁰ 10³⁰⁰");
    const double tiny = 5e-324;
    const double pairs[][2] = {{0, tiny}, {tiny, tiny}, {-tiny, tiny}, {tiny, DBL_MAX}, {0, DBL_MIN}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const struct plot_axis axis = plot_axis_of(pairs[i][0], pairs[i][1], PLOT_AUTO);
        assert_true(isfinite(axis.low) && isfinite(axis.high) && axis.low < axis.high && axis.n > 0);
        for (size_t t = 0; t < axis.n; t++) {
            char tick[32];
            plot_tick(tick, &axis, t);
            assert_true(plot_place(&axis, axis.ticks[t]) > -1e-6 &&
                        plot_place(&axis, axis.ticks[t]) < 1 + 1e-6);
        }
        assert_true(plot_place(&axis, pairs[i][1]) <= 1 && plot_place(&axis, pairs[i][0]) > -0.1);
    }
}

static uint32_t at(const struct image *image, size_t x, size_t y)
{
    const uint8_t *pixel = image->pixels + (y * image->width + x) * 3;
    return (uint32_t)pixel[0] << 16 | (uint32_t)pixel[1] << 8 | pixel[2];
}

/* The rectangle that holds all pixels of a colour; how many there are. */
struct found {
    size_t left, top, right, bottom, n;
};

static struct found find(const struct image *image, uint32_t rgb)
{
    struct found found = {SIZE_MAX, SIZE_MAX, 0, 0, 0};
    for (size_t y = 0; y < image->height; y++) {
        for (size_t x = 0; x < image->width; x++) {
            if (at(image, x, y) == rgb) {
                found.left = x < found.left ? x : found.left;
                found.right = x > found.right ? x : found.right;
                found.top = y < found.top ? y : found.top;
                found.bottom = y > found.bottom ? y : found.bottom;
                found.n++;
            }
        }
    }
    return found;
}

static void test_plot_curves_are_where_the_values_are(void **state)
{
    (void)state;
    const double x[] = {0, 5, 10}, up[] = {0, 1, 2}, flat[] = {1, 1, 1}, gap[] = {2, NAN, 0};
    const struct plot_series series[] = {
        {"up", x, up, 3, 0, 0}, {"flat", x, flat, 3, 1, 0}, {"gap", x, gap, 3, 2, 0}};
    const struct plot_panel panel = {"values", series, 3};
    const struct plot plot = {.title = "title", .x_label = "x", .panels = &panel, .n = 1};
    struct image image;
    assert_int_equal(plot_draw(&image, &plot, NULL), LOOM_OK);
    /* the legend stands above the axes: look below it */
    struct image below = image;
    const size_t head = 200;
    below.pixels += head * image.width * 3;
    below.height -= head;
    const struct found flat_line = find(&below, plot_colour(1)), rising = find(&below, plot_colour(0)),
                       ends = find(&below, plot_colour(2));
    const size_t middle = (rising.top + rising.bottom) / 2;
    assert_in_range((flat_line.top + flat_line.bottom) / 2, middle - 3, middle + 3);
    assert_in_range(flat_line.left, rising.left > 2 ? rising.left - 2 : 0, rising.left + 2);
    assert_in_range(flat_line.right, rising.right - 2, rising.right + 2);
    assert_true(rising.n > 800);
    assert_in_range(ends.n, 50, 400); /* two markers and no line: its middle is missing */
    image_fini(&image);
}

/* How many pixels of a picture of one panel have the colour of a style. */
static size_t count_of(const struct plot_series *series, size_t n, size_t style)
{
    const struct plot_panel panel = {"values", series, n};
    const struct plot plot = {.panels = &panel, .n = 1};
    struct image image, below;
    assert_int_equal(plot_draw(&image, &plot, NULL), LOOM_OK);
    below = image;
    below.pixels += 200 * image.width * 3; /* below the legend */
    below.height -= 200;
    const size_t found = find(&below, plot_colour(style)).n;
    image_fini(&image);
    return found;
}

/* Of curves with the same values each is still to be seen: lines between the upper one's dashes, markers around or
 * within one another. */
static void test_plot_curves_that_overlie_are_all_seen(void **state)
{
    (void)state;
    const double x[] = {1, 2}, y[] = {3, 3};
    const struct plot_series series[] = {{"a", x, y, 2, 0, 0}, {"b", x, y, 2, 1, 1}, {"c", x, y, 2, 2, 2}};
    for (size_t lower = 0; lower < 2; lower++) {
        const size_t alone = count_of(&series[lower], 1, lower), covered = count_of(&series[lower], 2, lower),
                     top = count_of(&series[lower], 2, lower + 1);
        assert_true(alone > 300 && covered > alone / 4 && top > 200);
    }
    const struct plot_series turned[] = {series[2], series[1], series[0]};
    for (size_t style = 0; style < 3; style++) {
        assert_int_equal(count_of(turned, 3, style), count_of(series, 3, style));
        assert_true(count_of(series, 3, style) > 80); /* of a line of 400 pixels by 3 */
    }
}

/* Ticks of x on the picture of a curve: the vertical lines of its grid, as most rows have them. */
static size_t count_ticks(const double *x, size_t n)
{
    const double y[] = {1, 1, 1};
    const struct plot_series series = {"curve", x, y, n, 0, 0};
    const struct plot_panel panel = {"values", &series, 1};
    const struct plot plot = {.panels = &panel, .n = 1};
    struct image image;
    assert_int_equal(plot_draw(&image, &plot, NULL), LOOM_OK);
    size_t rows[50] = {0}, usual = 1;
    for (size_t row = 0; row < image.height; row++) {
        size_t found = 0;
        for (size_t column = 0; column < image.width; column++) {
            found += at(&image, column, row) == 0xe4e4e4;
        }
        rows[found < 50 ? found : 0]++;
    }
    image_fini(&image);
    for (size_t n_ticks = 1; n_ticks < 50; n_ticks++) {
        usual = rows[n_ticks] > rows[usual] ? n_ticks : usual;
    }
    return usual;
}

static void test_plot_counts_whole_passes(void **state)
{
    (void)state;
    assert_int_equal(count_ticks((const double[]){1, 2}, 2), 2);   /* 1, 2: 0 is the axis itself */
    assert_int_equal(count_ticks((const double[]){1, 1.5}, 2), 3); /* 1.0, 1.2, 1.4 */
    assert_int_equal(count_ticks((const double[]){1, 1, 1}, 3), 1);
    assert_int_equal(count_ticks((const double[]){1, 2, 40}, 3), 4); /* 10, 20, 30, 40 */
}

/* Lines of four kinds: of each its ink between two markers. */
static void test_plot_lines_are_told_apart_without_colour(void **state)
{
    (void)state;
    const double x[] = {1, 2}, y[] = {3, 4}, dot[] = {3, NAN};
    size_t ink[4];
    for (size_t style = 0; style < 4; style++) {
        const struct plot_series line = {"line", x, y, 2, style, style},
                                 marker = {"marker", x, dot, 2, style, style};
        ink[style] = count_of(&line, 1, style) - 2 * count_of(&marker, 1, style);
    }
    assert_true(ink[0] > ink[1] * 5 / 4 && ink[1] > ink[2] * 5 / 4 && ink[3] > ink[2] * 5 / 4);
}

/* The picture of one curve, from the axes down. */
static struct found draw_curve(const double *y, size_t n, enum plot_scale scale, size_t left_out)
{
    static const double x[] = {0, 1, 2, 3, 4, 5};
    const struct plot_series series = {"curve", x, y, n, 0, 0};
    const struct plot_panel panel = {"values", &series, 1};
    const struct plot plot = {.panels = &panel, .n = 1, .scale = scale};
    struct image image;
    assert_int_equal(plot_count_left_out(&plot), left_out);
    assert_int_equal(plot_draw(&image, &plot, NULL), LOOM_OK);
    const struct found found = find(&image, plot_colour(0));
    image_fini(&image);
    return found;
}

static void test_plot_is_logarithmic_without_what_cannot_be(void **state)
{
    (void)state;
    const double with[] = {-3, 0.01, 1, NAN, 100, 0}, without[] = {NAN, 0.01, 1, NAN, 100, NAN};
    const struct found shown = draw_curve(with, 6, PLOT_LOG, 2), same = draw_curve(without, 6, PLOT_LOG, 0);
    assert_memory_equal(&shown, &same, sizeof shown); /* the same axis, and a gap in the place of either */
    const struct found linear = draw_curve(with, 6, PLOT_LINEAR, 0),
                       chosen = draw_curve(with, 6, PLOT_AUTO, 0);
    assert_memory_equal(&linear, &chosen, sizeof linear);
    assert_true(linear.right > shown.right + 50 && linear.left < shown.left - 50); /* 0 and -3 are shown */
    const double none[] = {0, -1, 0};
    assert_int_equal(draw_curve(none, 3, PLOT_LOG, 3).n, 0);
    assert_in_range(draw_curve(none, 3, PLOT_AUTO, 0).n, 500, 20000);
}

static void test_plot_of_nothing_and_of_much(void **state)
{
    (void)state;
    struct image image;
    const double none[] = {NAN}, one[] = {1};
    const struct plot_series empty = {"empty", one, none, 1, 0, 0};
    const struct plot_panel panels[] = {{"empty", &empty, 1}, {"no curves", NULL, 0}};
    const struct plot plot = {.panels = panels, .n = 2};
    assert_int_equal(plot_draw(&image, &plot, NULL), LOOM_OK);
    assert_int_equal(find(&image, plot_colour(0)).n, 0);
    image_fini(&image);

    enum { MANY = 100000 };
    double *x = malloc(MANY * sizeof *x), *y = malloc(MANY * sizeof *y);
    for (size_t i = 0; i < MANY; i++) {
        x[i] = (double)i;
        y[i] = exp(-(double)i / 5000);
    }
    const struct plot_series long_one = {"long", x, y, MANY, 3, 0};
    const struct plot_panel panel = {"long", &long_one, 1};
    const struct plot large = {.panels = &panel, .n = 1};
    assert_int_equal(plot_draw(&image, &large, NULL), LOOM_OK);
    assert_in_range(find(&image, plot_colour(3)).n, 1500, 20000);
    image_fini(&image);
    free(x);
    free(y);
}

static void test_ink_covers_each_pixel_once(void **state)
{
    (void)state;
    struct image image;
    uint8_t mask[20 * 20] = {0};
    struct ink ink = INK(mask, 20, 20);
    assert_int_equal(image_init(&image, 20, 20, 3, 255), LOOM_OK);
    for (int i = 0; i < 5; i++) {
        ink_line(&ink, 3, 10, 16, 10, 3);
    }
    ink_line(&ink, -100, 5.25, 100, 5.25, 1);
    ink_apply(&ink, &image, 0, 0, 0xff0000);
    assert_int_equal(at(&image, 10, 10), 0xff0000);
    assert_int_equal(at(&image, 10, 9), 0xff0000);
    assert_int_equal(at(&image, 10, 7), 0xffffff);
    assert_in_range(at(&image, 10, 5) & 0xff, 60, 66); /* three quarters covered, and not darker */
    assert_in_range(at(&image, 10, 6) & 0xff, 188, 195);
    for (size_t i = 0; i < sizeof mask; i++) {
        assert_int_equal(mask[i], 0);
    }
    ink_dot(&ink, 19, 19, 2);
    ink_apply(&ink, &image, 5, 5, 0); /* beyond the picture */
    ink_dot(&ink, 0, 0, 1);
    ink_apply(&ink, &image, -5, -5, 0);
    image_fini(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_axis_has_round_ticks),
        cmocka_unit_test(test_axis_is_logarithmic_where_the_range_asks),
        cmocka_unit_test(test_plot_curves_are_where_the_values_are),
        cmocka_unit_test(test_axis_holds_every_double),
        cmocka_unit_test(test_plot_curves_that_overlie_are_all_seen),
        cmocka_unit_test(test_plot_counts_whole_passes),
        cmocka_unit_test(test_plot_lines_are_told_apart_without_colour),
        cmocka_unit_test(test_plot_is_logarithmic_without_what_cannot_be),
        cmocka_unit_test(test_plot_of_nothing_and_of_much),
        cmocka_unit_test(test_ink_covers_each_pixel_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Drawing: shades, scale, limits and notes of maps; letters with and without a font. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/draw.h"
#include "common/draw_parts.h"

static uint8_t at(const struct image *image, size_t x, size_t y)
{
    return image->pixels[y * image->width + x];
}

static void test_draw_plain_is_the_numbers(void **state)
{
    (void)state;
    /* 2 x 1 units of 2 x 3 numbers */
    const float data[] = {0, 8, 4, 1, 2, 6, 3, 5, 7, 8, 0, 4};
    struct draw_map map = {
        .data = data, .grid_x = 2, .grid_y = 1, .tile_width = 2, .tile_height = 3, .scale = 3};
    /* ColorBrewer's Greys at 0/8 .. 8/8 */
    const uint8_t greys[] = {0xff, 0xf0, 0xd9, 0xbd, 0x96, 0x73, 0x52, 0x25, 0x00};
    struct image image;
    assert_int_equal(draw_map_plain(&image, &map), LOOM_OK);
    assert_int_equal(image.width, 4 * 3);
    assert_int_equal(image.height, 3 * 3);
    assert_int_equal(image.channels, 1);
    for (size_t y = 0; y < image.height; y++) {
        for (size_t x = 0; x < image.width; x++) {
            const size_t unit = x / 6, column = x / 3 % 2, row = y / 3;
            assert_int_equal(at(&image, x, y), greys[(size_t)data[unit * 6 + row * 2 + column]]);
        }
    }
    image_fini(&image);
}

static void test_draw_separators_lie_between_units(void **state)
{
    (void)state;
    const float data[16] = {[3] = 1};
    const struct draw_map map = {.data = data,
                                 .grid_x = 2,
                                 .grid_y = 2,
                                 .tile_width = 2,
                                 .tile_height = 2,
                                 .scale = 4,
                                 .separators = true};
    struct image image;
    assert_int_equal(draw_map_plain(&image, &map), LOOM_OK);
    assert_int_equal(image.width, 17);
    assert_int_equal(image.height, 17);
    for (size_t y = 0; y < 17; y++) {
        for (size_t x = 0; x < 17; x++) {
            const uint8_t shade = at(&image, x, y);
            if (x == 8 || y == 8) {
                assert_in_range(shade, 1, 254);
            } else {
                assert_int_equal(shade, x >= 4 && x < 8 && y >= 4 && y < 8 ? 0 : 255);
            }
        }
    }
    image_fini(&image);
}

static void test_draw_chooses_the_scale(void **state)
{
    (void)state;
    float *data = calloc(1600, 400 * sizeof *data);
    struct draw_map map = {.data = data, .grid_x = 40, .grid_y = 40, .tile_width = 20, .tile_height = 20};
    const struct {
        size_t grid, side, scale, expected;
    } cases[] = {{40, 0, 0, 800},   {10, 0, 0, 1000}, {10, 400, 0, 400},
                 {10, 399, 0, 200}, {40, 0, 2, 1600}, {40, 0, 100, 4000 /* made smaller */},
                 {1, 0, 0, 1000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        map.grid_x = map.grid_y = cases[i].grid;
        map.side = cases[i].side;
        map.scale = cases[i].scale;
        struct image image;
        assert_int_equal(draw_map_plain(&image, &map), LOOM_OK);
        assert_int_equal(image.width, cases[i].expected);
        assert_int_equal(image.height, cases[i].expected);
        image_fini(&image);
    }
    free(data);
}

/* Draw both forms; neither may be larger than the limit allows. */
static void check_bounded(const struct draw_map *map, const char *note_part)
{
    struct image image;
    char note[DRAW_NOTE_BYTES];
    assert_int_equal(draw_map_plain(&image, map), LOOM_OK);
    assert_in_range(image.width, 1, DRAW_SIDE_MAX);
    assert_in_range(image.height, 1, DRAW_SIDE_MAX);
    image_fini(&image);
    assert_int_equal(draw_map_labelled(&image, map, NULL), LOOM_OK);
    assert_in_range(image.width, 1, DRAW_SIDE_MAX + 1000);
    assert_in_range(image.height, 1, DRAW_SIDE_MAX + 1000);
    image_fini(&image);
    draw_map_note(note, map);
    assert_non_null(strstr(note, note_part));
}

static void test_draw_bounds_large_maps_and_says_so(void **state)
{
    (void)state;
    const size_t n = 317 * 316;
    float *data = calloc(n, 400 * sizeof *data);
    struct draw_map map = {.data = data, .grid_x = 317, .grid_y = 316, .tile_width = 20, .tile_height = 20};
    check_bounded(&map, "only the first 200 × 200 of 317 × 316 units");
    map.separators = true;
    check_bounded(&map, "only the first 190 × 190 of 317 × 316 units");
    map = (struct draw_map){.data = data, .grid_x = n, .grid_y = 1, .tile_width = 20, .tile_height = 20};
    check_bounded(&map, "only the first 200 × 1 of 100172 × 1 units");
    map = (struct draw_map){.data = data, .grid_x = 1, .grid_y = 1, .tile_width = n, .tile_height = 1};
    check_bounded(&map, "only the first 4000 × 1 of 100172 × 1 numbers");
    map = (struct draw_map){
        .data = data, .grid_x = 1, .grid_y = 3999, .tile_width = 1, .tile_height = 1, .separators = true};
    check_bounded(&map, "only the first 1 × 2000 of");
    map = (struct draw_map){
        .data = data, .grid_x = 3, .grid_y = 3, .tile_width = 3999, .tile_height = 1, .separators = true};
    check_bounded(&map, "only the first 1 × 3 of");
    free(data);
}

static void test_draw_tells_of_strange_numbers(void **state)
{
    (void)state;
    const float data[] = {NAN, INFINITY, -INFINITY, -1, 2, 0};
    const struct draw_map map = {
        .data = data, .grid_x = 6, .grid_y = 1, .tile_width = 1, .tile_height = 1, .scale = 1};
    struct image image;
    char note[DRAW_NOTE_BYTES];
    assert_int_equal(draw_map_plain(&image, &map), LOOM_OK);
    const uint8_t expected[] = {255, 255, 255, 255, 0, 255};
    assert_memory_equal(image.pixels, expected, sizeof expected);
    image_fini(&image);
    draw_map_note(note, &map);
    assert_string_equal(note, "numbers that are not finite, left white: 3; numbers below 0, left white: 1");
    const float zeros[6] = {0};
    const struct draw_map empty = {
        .data = zeros, .grid_x = 6, .grid_y = 1, .tile_width = 1, .tile_height = 1};
    assert_int_equal(draw_map_labelled(&image, &empty, NULL), LOOM_OK);
    image_fini(&image);
    draw_map_note(note, &empty);
    assert_string_equal(note, "");
}

static const float ramp[] = {0, 1, 2, 3};
static const struct draw_map titled = {.data = ramp,
                                       .grid_x = 2,
                                       .grid_y = 2,
                                       .tile_width = 1,
                                       .tile_height = 1,
                                       .side = 200,
                                       .title = "a title \xc3\x97 \xe2\x80\x94 \xff\xc3",
                                       .subtitle = "and what it means"};

static void test_draw_labelled_holds_the_map(void **state)
{
    (void)state;
    struct image plain, page;
    assert_int_equal(draw_map_plain(&plain, &titled), LOOM_OK);
    assert_int_equal(draw_map_labelled(&page, &titled, NULL), LOOM_OK);
    /* The map stands in the page as it is, somewhere. */
    bool found = false;
    for (size_t y = 0; y + plain.height <= page.height && !found; y++) {
        for (size_t x = 0; x + plain.width <= page.width && !found; x++) {
            found = true;
            for (size_t row = 0; row < plain.height && found; row++) {
                found = memcmp(&page.pixels[(y + row) * page.width + x], plain.pixels + row * plain.width,
                               plain.width) == 0;
            }
        }
    }
    assert_true(found);
    for (size_t x = 0; x < page.width; x++) { /* a clear margin all around */
        assert_int_equal(at(&page, x, 0), 255);
        assert_int_equal(at(&page, x, page.height - 1), 255);
    }
    image_fini(&plain);
    image_fini(&page);
}

static void test_draw_letters_need_a_font(void **state)
{
    (void)state;
    struct text *text = NULL;
    struct image with, without;
    assert_int_equal(setenv("LOOM_FONT", "/nonexistent/font.ttf", 1), 0);
    assert_int_equal(text_new(&text), LOOM_EIO);
    assert_null(text);
    assert_non_null(strstr(error_message(), "/nonexistent/font.ttf"));
    assert_int_equal(text_width(NULL, "letters", 20), 0);
    assert_int_equal(setenv("LOOM_FONT", LOOM_SOURCE_DIR "/CMakeLists.txt", 1), 0);
    assert_int_equal(text_new(&text), LOOM_EIO); /* a file, but no font */
    unsetenv("LOOM_FONT");
    if (text_new(&text) != LOOM_OK) {
        print_message("skipped: %s\n", error_message());
        skip();
    }
    assert_true(text_width(text, "wide", 20) > 20);
    assert_true(text_width(text, "wide", 40) > text_width(text, "wide", 20));
    assert_int_equal(draw_map_labelled(&without, &titled, NULL), LOOM_OK);
    assert_int_equal(draw_map_labelled(&with, &titled, text), LOOM_OK);
    size_t ink = 0;
    for (size_t y = 0; y < 60; y++) { /* where the title is */
        for (size_t x = 0; x < with.width; x++) {
            ink += at(&with, x, y) < 128;
        }
    }
    assert_in_range(ink, 100, 10000);
    text_draw(text, &with, with.width - 3, 3, "cut off at the edges", 40, 0);
    text_draw(text, &with, 0, with.height + 20, "below", 40, 0);
    image_fini(&with);
    image_fini(&without);
    text_destroy(&text);
    text_destroy(&text);
}

/* A line that runs upwards has the pixels of one that does not, turned; the bar's name is such a line. */
static void test_text_upwards_is_text_turned(void **state)
{
    (void)state;
    enum { SIDE = 120, MIDDLE = 60 };
    struct text *text = NULL;
    struct image lying, standing;
    if (text_new(&text) != LOOM_OK) {
        skip();
    }
    assert_int_equal(image_init(&lying, SIDE, SIDE, 1, 255), LOOM_OK);
    assert_int_equal(image_init(&standing, SIDE, SIDE, 1, 255), LOOM_OK);
    text_draw(text, &lying, MIDDLE, MIDDLE, "frame", 20, 0);
    text_draw_up(text, &standing, MIDDLE, MIDDLE, "frame", 20, 0);
    size_t inked = 0;
    for (size_t y = 1; y < SIDE; y++) {
        for (size_t x = 0; x < SIDE; x++) {
            assert_int_equal(lying.pixels[y * SIDE + x], standing.pixels[(SIDE - x) % SIDE * SIDE + y]);
            inked += lying.pixels[y * SIDE + x] < 100;
        }
    }
    assert_true(inked > 100);

    const struct draw_scale scale = {.min = 0, .max = 1};
    struct draw_bar bar = {.colours = &colours_grey,
                           .scale = &scale,
                           .width = 10,
                           .height = 100,
                           .label = 20,
                           .tick = 5,
                           .line = 1};
    const size_t plain = draw_bar_width(&bar, text);
    bar.name = "frame";
    const size_t named = draw_bar_width(&bar, text);
    assert_in_range(named, plain + 20, plain + 40);
    memset(lying.pixels, 255, SIDE * SIDE);
    draw_bar(&lying, 5, 5, &bar, text);
    size_t letters = 0;
    for (size_t y = 0; y < SIDE; y++) {
        for (size_t x = 5 + plain; x < 5 + named; x++) {
            letters += lying.pixels[y * SIDE + x] < 100;
        }
    }
    assert_int_equal(letters, inked);
    image_fini(&standing);
    image_fini(&lying);
    text_destroy(&text);
}

/* Number of pixels of this shade. */
static size_t count_shade(const struct image *image, uint8_t shade)
{
    size_t n = 0;
    for (size_t i = 0; i < image->width * image->height; i++) {
        n += image->pixels[i] == shade;
    }
    return n;
}

static void test_draw_sheet_has_one_scale_for_all(void **state)
{
    (void)state;
    float full[400], half[400];
    for (size_t i = 0; i < 400; i++) {
        full[i] = i == 7 ? 50 : 1; /* a large one does not make the others pale */
        half[i] = 0.5F;
    }
    const struct draw_map shape = {.grid_x = 1, .grid_y = 1, .tile_width = 20, .tile_height = 20};
    struct draw_map maps[3] = {shape, shape, {.subtitle = "none"}};
    maps[0].data = full;
    maps[1].data = half;
    const struct draw_sheet sheet = {.maps = maps, .n = 3, .columns = 2};
    struct image image;
    assert_int_equal(draw_sheet(&image, &sheet, NULL), LOOM_OK);
    const size_t scale = 42, map = 400 * scale * scale; /* 1200 / sqrt(2) / 20 */
    assert_in_range(count_shade(&image, 0), map,
                    map + 100000 / scale); /* all of the first, and some of the bar */
    assert_in_range(count_shade(&image, 255), map,
                    image.width * image.height - map); /* the smallest: white */
    const struct draw_scale shades = draw_scale_of(maps, 3);
    assert_true(fabs(shades.min - 0.5) < 0.001 && fabs(shades.max - 1) < 0.001);
    assert_true(!shades.below && shades.above);
    assert_true(image.width > 2 * 20 * scale && image.height > 2 * 20 * scale);
    image_fini(&image);

    const struct draw_sheet own = {.maps = &maps[1], .n = 1, .columns = 1, .own_scales = true};
    assert_int_equal(draw_sheet(&image, &own, NULL), LOOM_OK); /* all alike: from 0, so all are black */
    assert_int_equal(count_shade(&image, 0), (size_t)1200 * 1200);
    image_fini(&image);

    const struct draw_sheet empty = {.maps = &maps[2], .n = 1, .columns = 5};
    assert_int_equal(draw_sheet(&image, &empty, NULL), LOOM_OK);
    assert_int_equal(count_shade(&image, 150) > 0, 1); /* a frame around nothing */
    image_fini(&image);
}

/* Lightness L* of a colour 0xRRGGBB (CIE 1976, sRGB). */
static double lightness(uint32_t rgb)
{
    const double weights[3] = {0.2126, 0.7152, 0.0722};
    double y = 0;
    for (unsigned c = 0; c < 3; c++) {
        const double v = (rgb >> (16 - 8 * c) & 0xff) / 255.0;
        y += weights[c] * (v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4));
    }
    return y > 216.0 / 24389 ? 116 * cbrt(y) - 16 : y * 24389 / 27;
}

static void test_colours_have_even_lightness(void **state)
{
    (void)state;
    for (size_t i = 1; colours_names[i] != NULL; i++) {
        const struct colours *map = colours_find(colours_names[i]);
        assert_non_null(map);
        assert_ptr_equal(map, colours_choose(i, false));
        assert_int_equal(colours_at(map, 0), map->table[0]);
        assert_int_equal(colours_at(map, 1), map->table[map->n - 1]);
        assert_int_equal(colours_at(map, -3), map->table[0]);
        assert_int_equal(colours_at(map, NAN), map->table[0]);
        assert_int_equal(colours_at(map, 7), map->table[map->n - 1]);
        const double rising = map->from_zero || map->diverging ? -1 : 1; /* grey: from white to black */
        for (int step = map->diverging ? 51 : 1; step <= 100; step++) {
            const double change =
                lightness(colours_at(map, step / 100.0)) - lightness(colours_at(map, (step - 1) / 100.0));
            assert_true(rising * change > 0 && rising * change < 3);
        }
        for (int step = 1; step <= 50 && map->diverging; step++) {
            assert_true(lightness(colours_at(map, step / 100.0)) >
                        lightness(colours_at(map, (step - 1) / 100.0)));
        }
    }
    assert_null(colours_find("jet"));
    assert_null(colours_find("auto"));
    assert_ptr_equal(colours_choose(0, false), &colours_grey);
    assert_true(colours_choose(0, true)->diverging);
}

static uint32_t rgb_at(const struct image *image, size_t x, size_t y)
{
    const uint8_t *pixel = image->pixels + (y * image->width + x) * 3;
    return (uint32_t)pixel[0] << 16 | (uint32_t)pixel[1] << 8 | pixel[2];
}

static void test_draw_in_colour(void **state)
{
    (void)state;
    const float data[] = {-2, 0, 1, NAN, 4, 4, 2, 0};
    struct draw_map map = {
        .data = data, .grid_x = 2, .grid_y = 1, .tile_width = 4, .tile_height = 1, .scale = 2};
    struct image image;
    map.colours = colours_find("redblue");
    assert_int_equal(draw_map_plain(&image, &map), LOOM_OK);
    assert_int_equal(image.channels, 3);
    const double parts[] = {0.25, 0.5, 0.625, 0, 1, 1, 0.75, 0.5}; /* 0 in the middle, 4 at the end */
    for (size_t i = 0; i < 8; i++) {
        const uint32_t expected = i == 3 ? map.colours->missing_rgb : colours_at(map.colours, parts[i]);
        assert_int_equal(rgb_at(&image, 2 * i, 0), expected);
        assert_int_equal(rgb_at(&image, 2 * i + 1, 1), expected);
    }
    image_fini(&image);
    map.per_unit = true; /* the first unit's own largest size is 2 */
    assert_int_equal(draw_map_plain(&image, &map), LOOM_OK);
    assert_int_equal(rgb_at(&image, 0, 0), colours_at(map.colours, 0));
    assert_int_equal(rgb_at(&image, 4, 0), colours_at(map.colours, 0.75));
    image_fini(&image);
    map.colours = colours_find("viridis"); /* from the smallest to the largest */
    assert_int_equal(draw_map_plain(&image, &map), LOOM_OK);
    assert_int_equal(rgb_at(&image, 2, 0), colours_at(map.colours, 2.0 / 3));
    assert_int_equal(rgb_at(&image, 6, 0), 0xffffff);
    image_fini(&image);
    assert_int_equal(draw_map_labelled(&image, &map, NULL), LOOM_OK);
    assert_int_equal(image.channels, 3);
    image_fini(&image);
    const struct draw_sheet sheet = {.maps = &map, .n = 1, .columns = 1, .colours = colours_find("redblue")};
    assert_int_equal(draw_sheet(&image, &sheet, NULL), LOOM_OK);
    assert_int_equal(image.channels, 3);
    size_t zeros = 0;
    for (size_t i = 0; i < image.width * image.height; i++) {
        zeros += rgb_at(&image, i % image.width, i / image.width) == 0xf7f7f7;
    }
    assert_true(zeros > 1000); /* numbers that are 0, for 0 is in the middle */
    image_fini(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draw_plain_is_the_numbers),
        cmocka_unit_test(test_draw_separators_lie_between_units),
        cmocka_unit_test(test_draw_chooses_the_scale),
        cmocka_unit_test(test_draw_bounds_large_maps_and_says_so),
        cmocka_unit_test(test_draw_tells_of_strange_numbers),
        cmocka_unit_test(test_draw_labelled_holds_the_map),
        cmocka_unit_test(test_draw_letters_need_a_font),
        cmocka_unit_test(test_text_upwards_is_text_turned),
        cmocka_unit_test(test_draw_sheet_has_one_scale_for_all),
        cmocka_unit_test(test_colours_have_even_lightness),
        cmocka_unit_test(test_draw_in_colour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

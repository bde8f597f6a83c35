/* Movies: what is in the files, byte by byte where that is simple, and what cannot be. test_draw_files.py reads them
 * with other programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/image.h"
#include "common/movie.h"

static char folder[] = "/tmp/loom-test-movie-XXXXXX";
static char path[128];

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/movie", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails if anything else was left there */
}

static struct image grey_frame(uint8_t value)
{
    struct image image;
    assert_int_equal(image_init(&image, 4, 2, 1, value), LOOM_OK);
    image.pixels[5] = 7;
    return image;
}

static size_t read_all(uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t n = fread(bytes, 1, size, file);
    fclose(file);
    return n;
}

static void test_y4m_is_header_and_planes(void **state)
{
    (void)state;
    struct movie *movie = NULL;
    struct image image = grey_frame(200);
    uint8_t bytes[400];
    assert_int_equal(movie_new(&movie, path, MOVIE_Y4M, 12.5, NULL), LOOM_OK);
    assert_int_equal(movie_add(movie, &image, "not used"), LOOM_OK);
    image.pixels[0] = 3;
    assert_int_equal(movie_add(movie, &image, NULL), LOOM_OK);
    assert_int_equal(access(path, F_OK), -1); /* there whole or not at all */
    assert_int_equal(movie_finish(&movie), LOOM_OK);
    assert_null(movie);
    const char head[] = "YUV4MPEG2 W4 H2 F12500:1000 Ip A1:1 Cmono XCOLORRANGE=FULL\n";
    const size_t n = read_all(bytes, sizeof bytes), begin = sizeof head - 1;
    assert_int_equal(n, begin + 2 * (6 + 8));
    assert_memory_equal(bytes, head, begin);
    assert_memory_equal(bytes + begin, "FRAME\n", 6);
    const uint8_t first[] = {200, 200, 200, 200, 200, 7, 200, 200};
    assert_memory_equal(bytes + begin + 6, first, 8);
    assert_int_equal(bytes[begin + 6 + 8 + 6], 3);
    image_fini(&image);
}

static void test_y4m_in_colour_has_three_planes(void **state)
{
    (void)state;
    struct movie *movie = NULL;
    struct image image;
    uint8_t bytes[400];
    assert_int_equal(image_init(&image, 3, 1, 3, 0), LOOM_OK);
    const uint8_t colours[] = {255, 0, 0, 255, 255, 255, 0, 0, 255};
    memcpy(image.pixels, colours, sizeof colours);
    assert_int_equal(movie_new(&movie, path, MOVIE_Y4M, 5, NULL), LOOM_OK);
    assert_int_equal(movie_add(movie, &image, NULL), LOOM_OK);
    assert_int_equal(movie_finish(&movie), LOOM_OK);
    const size_t n = read_all(bytes, sizeof bytes);
    const uint8_t planes[] = {76, 255, 29, 85, 128, 255, 255, 128, 107}; /* Y, U, V of red, white, blue */
    assert_memory_equal(bytes + n - 9, planes, 9);
    image_fini(&image);
}

static void test_apng_counts_its_frames_and_keeps_what_changes(void **state)
{
    (void)state;
    struct movie *movie = NULL;
    struct image image = grey_frame(200);
    uint8_t bytes[2000];
    assert_int_equal(movie_new(&movie, path, MOVIE_APNG, 5, NULL), LOOM_OK);
    for (int i = 0; i < 3; i++) {
        image.pixels[6] =
            (uint8_t)(i < 2 ? 200 : 1); /* the second frame is the first, the third differs in one pixel */
        assert_int_equal(movie_add(movie, &image, "title"), LOOM_OK);
    }
    assert_int_equal(movie_finish(&movie), LOOM_OK);
    const size_t n = read_all(bytes, sizeof bytes);
    const uint8_t *control = memmem(bytes, n, "acTL", 4), *last = bytes;
    assert_int_equal(control[7], 3);
    for (const uint8_t *next; (next = memmem(last + 1, n - (size_t)(last + 1 - bytes), "fcTL", 4)) != NULL;) {
        last = next;
    }
    const uint8_t expected[] = {0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0, 5, 0, 0};
    assert_memory_equal(last + 4, expected, sizeof expected); /* number, width, height, x, y, delay 1 / 5 */
    float *values;
    size_t width, height;
    if (image_read_grey(path, &values, &width, &height) != LOOM_OK) { /* a PNG for those who know no more */
        fail_msg("%s", error_message());
    }
    assert_int_equal(width * height, 8);
    assert_true(values[5] == (float)(7 / 255.0) && values[6] == (float)(200 / 255.0));
    free(values);
    image_fini(&image);
}

static void test_apng_frames_last_as_long_as_asked_for(void **state)
{
    (void)state;
    static const struct {
        double rate;
        unsigned numerator, denominator;
    } cases[] = {{0.01, 100, 1},    {0.0125, 80, 1},    {60, 1, 60},     {12.5, 2, 25},
                 {59.94, 50, 2997}, {119.88, 25, 2997}, {1000, 1, 1000}, {999.5, 2, 1999}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct movie *movie = NULL;
        struct image image = grey_frame(1);
        uint8_t bytes[400];
        assert_int_equal(movie_new(&movie, path, MOVIE_APNG, cases[i].rate, NULL), LOOM_OK);
        assert_int_equal(movie_add(movie, &image, NULL), LOOM_OK);
        assert_int_equal(movie_finish(&movie), LOOM_OK);
        const uint8_t *control = memmem(bytes, read_all(bytes, sizeof bytes), "fcTL", 4);
        assert_non_null(control);
        assert_int_equal(control[24] << 8 | control[25], cases[i].numerator);
        assert_int_equal(control[26] << 8 | control[27], cases[i].denominator);
        image_fini(&image);
    }
}

static void test_movie_refuses(void **state)
{
    (void)state;
    struct movie *movie = NULL;
    struct image image = grey_frame(1), other;
    assert_int_equal(movie_new(&movie, NULL, MOVIE_APNG, 5, NULL), LOOM_EUSAGE);
    assert_null(movie);
    assert_int_equal(movie_new(&movie, "/nonexistent/movie", MOVIE_APNG, 5, NULL), LOOM_EIO);
    assert_null(movie);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(movie_new(&movie, path, MOVIE_APNG, 5, NULL), LOOM_OK);
    assert_int_equal(movie_finish(&movie), LOOM_EDATA); /* no frame */
    assert_int_equal(movie_add(movie, &image, NULL), LOOM_OK);
    assert_int_equal(image_init(&other, 4, 3, 1, 0), LOOM_OK);
    assert_int_equal(movie_add(movie, &other, NULL), LOOM_EINTERNAL);
    movie_destroy(&movie);
    movie_destroy(&movie);
    assert_int_equal(access(path, F_OK), -1);
    image_fini(&image);
    image_fini(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_y4m_is_header_and_planes),
        cmocka_unit_test(test_y4m_in_colour_has_three_planes),
        cmocka_unit_test(test_apng_counts_its_frames_and_keeps_what_changes),
        cmocka_unit_test(test_apng_frames_last_as_long_as_asked_for),
        cmocka_unit_test(test_movie_refuses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

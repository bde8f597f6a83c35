/* The tapestry: laid out from small IDX files made here, from the bundled pictures, from any other picture;
 * and refused from what is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "common/image.h"
#include "stages/generate/tapestry.h"

static char folder[] = "/tmp/loom-test-tapestry-XXXXXX";
static char path[256];

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/sample", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_bytes(const uint8_t *bytes, size_t n, int compressed)
{
    if (compressed) {
        gzFile file = gzopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(gzwrite(file, bytes, (unsigned)n), n);
        assert_int_equal(gzclose(file), Z_OK);
    } else {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, n, file), n);
        fclose(file);
    }
}

/* ---- IDX ---- */

enum { IMAGES = 20, HEIGHT = 3, WIDTH = 2, TILE = HEIGHT * WIDTH, IDX_BYTES = 16 + IMAGES * TILE };

/* Pixel (x, y) of image n of every IDX file made here: all different. */
static uint8_t pixel_at(size_t n, size_t x, size_t y)
{
    return (uint8_t)(n * TILE + y * WIDTH + x + 100);
}

static void put_u32(uint8_t *out, uint32_t value)
{
    for (size_t i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static void make_idx(uint8_t bytes[IDX_BYTES])
{
    put_u32(bytes, 0x803);
    put_u32(bytes + 4, IMAGES);
    put_u32(bytes + 8, HEIGHT);
    put_u32(bytes + 12, WIDTH);
    for (size_t n = 0; n < IMAGES; n++) {
        for (size_t y = 0; y < HEIGHT; y++) {
            for (size_t x = 0; x < WIDTH; x++) {
                bytes[16 + n * TILE + y * WIDTH + x] = pixel_at(n, x, y);
            }
        }
    }
}

static struct tapestry_config config_of(size_t first, size_t side, size_t window)
{
    return (struct tapestry_config){.path = path, .first = first, .side = side, .window = window};
}

static void test_tapestry_lays_out_idx(void **state)
{
    (void)state;
    enum { FIRST = 3, SIDE = 4 };
    uint8_t bytes[IDX_BYTES];
    make_idx(bytes);
    /* The model's layout in its own words: every tile, then the last row, then the last column overwritten.
     */
    uint8_t whole[SIDE * HEIGHT][SIDE * WIDTH];
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        for (size_t y = 0; y < HEIGHT; y++) {
            for (size_t x = 0; x < WIDTH; x++) {
                whole[i % SIDE * HEIGHT + y][i / SIDE * WIDTH + x] = pixel_at(FIRST + i, x, y);
            }
        }
    }
    memcpy(whole[(SIDE - 1) * HEIGHT], whole[0], HEIGHT * sizeof whole[0]);
    for (size_t y = 0; y < SIDE * HEIGHT; y++) {
        memcpy(whole[y] + (SIDE - 1) * WIDTH, whole[y], WIDTH);
    }

    for (int compressed = 0; compressed < 2; compressed++) {
        for (size_t window = 1; window <= 40; window++) { /* also far larger than the tapestry */
            write_bytes(bytes, sizeof bytes, compressed);
            const struct tapestry_config config = config_of(FIRST, SIDE, window);
            struct tapestry tapestry;
            assert_int_equal(tapestry_init(&tapestry, &config), LOOM_OK);
            assert_int_equal(tapestry.period_x, (SIDE - 1) * WIDTH);
            assert_int_equal(tapestry.period_y, (SIDE - 1) * HEIGHT);
            assert_non_null(tapestry.bytes);
            uint8_t frame[40][40];
            for (size_t y0 = 0; y0 < tapestry.period_y; y0 += 2) {
                for (size_t x0 = 0; x0 < tapestry.period_x; x0++) {
                    tapestry_cut(&tapestry, frame, x0, y0);
                    for (size_t y = 0; y < window; y++) {
                        for (size_t x = 0; x < window; x++) {
                            assert_int_equal(
                                ((uint8_t *)frame)[y * window + x],
                                whole[(y0 + y) % ((SIDE - 1) * HEIGHT)][(x0 + x) % ((SIDE - 1) * WIDTH)]);
                        }
                    }
                }
            }
            /* a window of one tile and one pixel never leaves the model's picture */
            if (window <= WIDTH + 1) {
                tapestry_cut(&tapestry, frame, tapestry.period_x - 1, 0);
                for (size_t x = 0; x < window; x++) {
                    assert_int_equal(frame[0][x], whole[0][(SIDE - 1) * WIDTH - 1 + x]);
                }
            }
            tapestry_fini(&tapestry);
            tapestry_fini(&tapestry);
        }
    }
}

static void expect_refused(const struct tapestry_config *config, int status)
{
    struct tapestry tapestry;
    assert_int_equal(tapestry_init(&tapestry, config), status);
    assert_null(tapestry.bytes);
    assert_null(tapestry.values);
    assert_non_null(strstr(error_message(), path));
}

static void test_tapestry_refuses_what_idx_lacks(void **state)
{
    (void)state;
    uint8_t bytes[IDX_BYTES];
    make_idx(bytes);
    for (int compressed = 0; compressed < 2; compressed++) {
        write_bytes(bytes, sizeof bytes, compressed);
        struct tapestry tapestry;
        struct tapestry_config config = config_of(4, 4, 5);
        assert_int_equal(tapestry_init(&tapestry, &config), LOOM_OK); /* the last 16 of 20 */
        tapestry_fini(&tapestry);
        config = config_of(5, 4, 5);
        expect_refused(&config, LOOM_EUSAGE);
        config = config_of(SIZE_MAX, 4, 5);
        expect_refused(&config, LOOM_EUSAGE);
        config = config_of(0, 5, 5);
        expect_refused(&config, LOOM_EUSAGE);
        config = config_of(0, SIZE_MAX, 5);
        expect_refused(&config, LOOM_EUSAGE);
        config = config_of(0, 1, 5);
        expect_refused(&config, LOOM_EUSAGE);
        config = config_of(0, 4, SIZE_MAX);
        expect_refused(&config, LOOM_EUSAGE);
        config = config_of(0, 4, 5);
        config.tile = 28;
        expect_refused(&config, LOOM_EUSAGE);
    }
}

static void test_tapestry_refuses_broken_idx(void **state)
{
    (void)state;
    uint8_t bytes[IDX_BYTES];
    const struct tapestry_config config = config_of(0, 4, 5);
    const struct {
        size_t offset;
        uint32_t value;
    } changes[] = {{0, 0x801}, {0, 0x802}, {0, 0xd03},      {0, 0x030800},    {0, 0xffffffff},
                   {8, 0},     {12, 0},    {8, 0xffffffff}, {12, 0xffffffff}, {8, 65536}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        for (int compressed = 0; compressed < 2; compressed++) {
            make_idx(bytes);
            put_u32(bytes + changes[i].offset, changes[i].value);
            write_bytes(bytes, sizeof bytes, compressed);
            expect_refused(&config, LOOM_EDATA);
        }
    }
    make_idx(bytes);
    put_u32(bytes + 8, 65535); /* a tapestry larger than any picture */
    put_u32(bytes + 12, 65535);
    write_bytes(bytes, sizeof bytes, 0);
    expect_refused(&config, LOOM_EUSAGE);
    make_idx(bytes);
    put_u32(bytes + 4, 0xffffffff); /* more images than there are: harmless if those asked for are there */
    write_bytes(bytes, sizeof bytes, 0);
    struct tapestry_config far = config_of(1000000, 4, 5);
    expect_refused(&far, LOOM_EDATA);
    write_bytes(bytes, sizeof bytes, 1);
    expect_refused(&far, LOOM_EDATA);
}

static void test_tapestry_refuses_truncated_idx(void **state)
{
    (void)state;
    enum { NEEDED = 16 + 16 * TILE };
    uint8_t bytes[IDX_BYTES], packed[IDX_BYTES + 200];
    make_idx(bytes);
    const struct tapestry_config config = config_of(0, 4, 5);
    for (size_t cut = 0; cut < NEEDED; cut++) {
        write_bytes(bytes, cut, 0);
        expect_refused(&config, LOOM_EDATA);
        write_bytes(bytes, cut, 1); /* whole gzip around too few images */
        expect_refused(&config, LOOM_EDATA);
    }
    write_bytes(bytes, sizeof bytes, 1);
    FILE *file = fopen(path, "rb");
    const size_t n = fread(packed, 1, sizeof packed, file);
    fclose(file);
    for (size_t cut = 0; cut < n; cut++) {
        write_bytes(packed, cut, 0);
        expect_refused(&config, LOOM_EDATA);
    }
    struct tapestry whole, changed;
    write_bytes(packed, n, 0);
    assert_int_equal(tapestry_init(&whole, &config), LOOM_OK);
    size_t harmless = 0;
    for (size_t i = 10; i < n; i++) { /* past the header: the pixels and their checksum */
        packed[i] ^= 0x10;
        write_bytes(packed, n, 0);
        packed[i] ^= 0x10;
        const int status = tapestry_init(&changed, &config);
        if (status == LOOM_OK) { /* a bit that means nothing, such as the filling of the last byte */
            harmless++;
            assert_memory_equal(changed.bytes, whole.bytes, whole.stride * (whole.period_y + whole.window));
            tapestry_fini(&changed);
        } else {
            assert_int_equal(status, LOOM_EDATA);
        }
    }
    assert_in_range(harmless, 0, 1);
    tapestry_fini(&whole);
}

static void test_tapestry_refuses_what_is_no_file(void **state)
{
    (void)state;
    const struct tapestry_config config = config_of(0, 4, 5);
    unlink(path);
    expect_refused(&config, LOOM_EIO);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_refused(&config, LOOM_EIO);
    rmdir(path);
    write_bytes((const uint8_t *)"", 0, 0);
    expect_refused(&config, LOOM_EDATA);
    write_bytes((const uint8_t *)"\x89PNG\r\n\x1a\nno more", 15, 0);
    expect_refused(&config, LOOM_EDATA);
}

/* ---- PNG ---- */

/* A picture of a period, with `overlap` more rows and columns that repeat it. */
static void write_periodic(size_t period_x, size_t period_y, size_t overlap)
{
    struct image image;
    assert_int_equal(image_init(&image, period_x + overlap, period_y + overlap, 1, 0), LOOM_OK);
    for (size_t y = 0; y < image.height; y++) {
        for (size_t x = 0; x < image.width; x++) {
            image.pixels[y * image.width + x] = (uint8_t)(7 * (x % period_x) + 31 * (y % period_y) + 1);
        }
    }
    assert_int_equal(image_write(&image, path, NULL), LOOM_OK);
    image_fini(&image);
}

static void check_period(const struct tapestry_config *config, size_t period_x, size_t period_y)
{
    struct tapestry tapestry;
    assert_int_equal(tapestry_init(&tapestry, config), LOOM_OK);
    assert_int_equal(tapestry.period_x, period_x);
    assert_int_equal(tapestry.period_y, period_y);
    assert_non_null(tapestry.bytes);
    uint8_t frame[64 * 64];
    for (size_t i = 0; i < 20; i++) {
        const size_t x0 = i * 5 % period_x, y0 = i * 3 % period_y;
        tapestry_cut(&tapestry, frame, x0, y0);
        for (size_t y = 0; y < config->window; y++) {
            for (size_t x = 0; x < config->window; x++) {
                assert_int_equal(frame[y * config->window + x],
                                 (uint8_t)(7 * ((x0 + x) % period_x) + 31 * ((y0 + y) % period_y) + 1));
            }
        }
    }
    tapestry_fini(&tapestry);
}

static void test_tapestry_finds_the_period_of_a_png(void **state)
{
    (void)state;
    struct tapestry_config config = config_of(0, 30, 20);
    write_periodic(40, 35, TAPESTRY_TILE);
    check_period(&config, 40, 35);
    config.window = 64; /* larger than the period */
    check_period(&config, 40, 35);
    write_periodic(40, 35, 5); /* repeats, but over another length */
    config.tile = 5;
    check_period(&config, 40, 35);
    write_periodic(40, 35, 0); /* no seam of its own: wrapped at its edges */
    config.tile = 0;
    check_period(&config, 40, 35);
    write_periodic(3, 2, 0); /* smaller than a tile and than the window */
    check_period(&config, 3, 2);
    write_periodic(1, 1, 0);
    check_period(&config, 1, 1);
}

static void test_tapestry_keeps_16_bits_as_float(void **state)
{
    (void)state;
    FILE *file = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file);
    png_set_IHDR(png, info, 3, 1, 16, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, 0, 0);
    png_write_info(png, info);
    png_write_row(png, (png_const_bytep) "\x00\x01\x12\x34\xff\xff");
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
    const struct tapestry_config config = config_of(0, 30, 4);
    struct tapestry tapestry;
    assert_int_equal(tapestry_init(&tapestry, &config), LOOM_OK);
    assert_null(tapestry.bytes);
    float frame[16];
    tapestry_cut(&tapestry, frame, 1, 0);
    const float row[] = {(float)(0x1234 / 65535.0), 1, (float)(1 / 65535.0), (float)(0x1234 / 65535.0)};
    for (size_t y = 0; y < 4; y++) {
        assert_memory_equal(frame + 4 * y, row, sizeof row);
    }
    tapestry_fini(&tapestry);
}

/* The bundled pictures against the file that they were made of, where tools/fetch-mnist has put it. */
static void test_tapestry_bundled_is_mnist(void **state)
{
    (void)state;
    const char *mnist = getenv("LOOM_MNIST");
    char idx[4096];
    snprintf(idx, sizeof idx, "%s/train-images-idx3-ubyte", mnist ? mnist : LOOM_SOURCE_DIR "/.cache/mnist");
    if (access(idx, R_OK) != 0) {
        print_message("skipped: no %s (tools/fetch-mnist gets it)\n", idx);
        skip();
    }
    const size_t firsts[] = {0, 3000, 10000};
    for (size_t i = 0; i < 3; i++) {
        struct tapestry_config config = config_of(firsts[i], 30, 20);
        char png[4096];
        snprintf(png, sizeof png, LOOM_SOURCE_DIR "/pipelines/tapestries/mnist-%zu.png", firsts[i]);
        struct tapestry bundled, made;
        config.path = png;
        assert_int_equal(tapestry_init(&bundled, &config), LOOM_OK);
        config.path = idx;
        assert_int_equal(tapestry_init(&made, &config), LOOM_OK);
        assert_int_equal(bundled.period_x, 812);
        assert_int_equal(bundled.period_y, 812);
        assert_int_equal(made.period_x, 812);
        assert_int_equal(made.period_y, 812);
        assert_memory_equal(bundled.bytes, made.bytes, 832 * 832);
        tapestry_fini(&bundled);
        tapestry_fini(&made);
    }
}

static void test_tapestry_bundled_has_period_812(void **state)
{
    (void)state;
    const struct tapestry_config config = {.path = LOOM_SOURCE_DIR "/pipelines/tapestries/mnist-0.png",
                                           .window = 20};
    struct tapestry tapestry;
    assert_int_equal(tapestry_init(&tapestry, &config), LOOM_OK);
    assert_int_equal(tapestry.period_x, 812);
    assert_int_equal(tapestry.period_y, 812);
    assert_non_null(tapestry.bytes);
    tapestry_fini(&tapestry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tapestry_lays_out_idx),
        cmocka_unit_test(test_tapestry_refuses_what_idx_lacks),
        cmocka_unit_test(test_tapestry_refuses_broken_idx),
        cmocka_unit_test(test_tapestry_refuses_truncated_idx),
        cmocka_unit_test(test_tapestry_refuses_what_is_no_file),
        cmocka_unit_test(test_tapestry_finds_the_period_of_a_png),
        cmocka_unit_test(test_tapestry_keeps_16_bits_as_float),
        cmocka_unit_test(test_tapestry_bundled_has_period_812),
        cmocka_unit_test(test_tapestry_bundled_is_mnist),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

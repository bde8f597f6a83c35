/* PNG in and out: every bit depth and colour type that PNG has, interlaced or not; files that are broken, cut
 * short or claim too much. Samples are written here with libpng's plain calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "common/image.h"

static char folder[] = "/tmp/loom-test-image-XXXXXX";
static char path[256];

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/sample.png", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails if anything else, such as a temporary file, was left */
}

/* Channel c of the pixel (x, y) of every sample, of `depth` bits. */
static unsigned sample_at(size_t x, size_t y, size_t c, int depth)
{
    return (unsigned)((x * 7919 + y * 104729 + c * 1299709 + x * y * 31) % (1U << depth));
}

enum { WIDTH = 13, HEIGHT = 11 };

static size_t channels_of(int type)
{
    return type == PNG_COLOR_TYPE_RGB          ? 3
           : type == PNG_COLOR_TYPE_RGB_ALPHA  ? 4
           : type == PNG_COLOR_TYPE_GRAY_ALPHA ? 2
                                               : 1;
}

static png_color palette_at(unsigned i)
{
    return (png_color){(png_byte)(i * 37), (png_byte)(i * 11 + 3), (png_byte)(255 - i)};
}

static void write_sample(int type, int depth, bool interlaced)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file);
    png_set_IHDR(png, info, WIDTH, HEIGHT, depth, type, interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 0, 0);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_color palette[256];
        for (unsigned i = 0; i < 256; i++) {
            palette[i] = palette_at(i);
        }
        png_set_PLTE(png, info, palette, 1 << depth);
    }
    png_write_info(png, info);
    const size_t channels = channels_of(type);
    uint8_t rows[HEIGHT][WIDTH * 8] = {0};
    png_bytep row_list[HEIGHT];
    for (size_t y = 0; y < HEIGHT; y++) {
        row_list[y] = rows[y];
        for (size_t x = 0; x < WIDTH; x++) {
            for (size_t c = 0; c < channels; c++) {
                const unsigned value = sample_at(x, y, c, depth);
                const size_t i = x * channels + c;
                if (depth == 16) {
                    rows[y][2 * i] = (uint8_t)(value >> 8);
                    rows[y][2 * i + 1] = (uint8_t)value;
                } else {
                    const size_t bit = i * (size_t)depth;
                    rows[y][bit / 8] |= (uint8_t)(value << (8 - (size_t)depth - bit % 8));
                }
            }
        }
    }
    png_write_image(png, row_list);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

/* The grey value of pixel (x, y) of a sample, by another way than the reader's. */
static double expected_at(size_t x, size_t y, int type, int depth)
{
    const double max = (1U << depth) - 1;
    if (type == PNG_COLOR_TYPE_PALETTE) {
        const png_color c = palette_at(sample_at(x, y, 0, depth));
        return (0.2126 * c.red + 0.7152 * c.green + 0.0722 * c.blue) / 255;
    }
    const size_t channels = channels_of(type);
    double grey = sample_at(x, y, 0, depth) / max;
    if (channels >= 3) {
        grey = 0.2126 * grey + 0.7152 * (sample_at(x, y, 1, depth) / max) +
               0.0722 * (sample_at(x, y, 2, depth) / max);
    }
    return channels % 2 == 0 ? grey * (sample_at(x, y, channels - 1, depth) / max) : grey;
}

static void test_image_read_grey_of_every_kind(void **state)
{
    (void)state;
    const struct {
        int type, depths[5];
    } kinds[] = {{PNG_COLOR_TYPE_GRAY, {1, 2, 4, 8, 16}},
                 {PNG_COLOR_TYPE_PALETTE, {1, 2, 4, 8}},
                 {PNG_COLOR_TYPE_GRAY_ALPHA, {8, 16}},
                 {PNG_COLOR_TYPE_RGB, {8, 16}},
                 {PNG_COLOR_TYPE_RGB_ALPHA, {8, 16}}};
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        for (const int *depth = kinds[kind].depths; *depth != 0 && depth < kinds[kind].depths + 5; depth++) {
            for (int interlaced = 0; interlaced < 2; interlaced++) {
                const int type = kinds[kind].type;
                write_sample(type, *depth, interlaced);
                float *values;
                size_t width, height;
                assert_int_equal(image_read_grey(path, &values, &width, &height), LOOM_OK);
                assert_int_equal(width, WIDTH);
                assert_int_equal(height, HEIGHT);
                for (size_t y = 0; y < HEIGHT; y++) {
                    for (size_t x = 0; x < WIDTH; x++) {
                        assert_true(fabs((double)values[y * WIDTH + x] - expected_at(x, y, type, *depth)) <
                                    1e-7);
                    }
                }
                free(values);
            }
        }
    }
}

/* Write a picture whose pixel i is value i of 256 in every channel and read it back. */
static void check_ramp(size_t channels)
{
    struct image image;
    assert_int_equal(image_init(&image, 16, 16, channels, 0), LOOM_OK);
    for (size_t i = 0; i < 256 * channels; i++) {
        image.pixels[i] = (uint8_t)(i / channels);
    }
    assert_int_equal(image_write(&image, path, "ramp"), LOOM_OK);
    float *values;
    size_t width, height;
    assert_int_equal(image_read_grey(path, &values, &width, &height), LOOM_OK);
    for (size_t i = 0; i < 256; i++) {
        assert_true(values[i] == (float)((double)i / 255.0)); /* exactly */
    }
    free(values);
    image_fini(&image);
    image_fini(&image);
}

static void test_image_write_and_read_back_exactly(void **state)
{
    (void)state;
    check_ramp(1);
    check_ramp(3);
}

static void test_image_write_keeps_the_title(void **state)
{
    (void)state;
    struct image image;
    assert_int_equal(image_init(&image, 2, 3, 1, 7), LOOM_OK);
    assert_int_equal(image_write(&image, path, "40 \xc3\x97 40"), LOOM_OK);
    image_fini(&image);
    char bytes[512];
    FILE *file = fopen(path, "rb");
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_non_null(memmem(bytes, n, "Title", 5));
    assert_non_null(memmem(bytes, n, "40 \xc3\x97 40", 8));
}

static void test_image_write_reports_failure(void **state)
{
    (void)state;
    struct image image;
    assert_int_equal(image_init(&image, 64, 64, 1, 0), LOOM_OK);
    assert_int_equal(image_write(&image, "/nonexistent/folder/a.png", NULL), LOOM_EIO);
    assert_non_null(strstr(error_message(), "/nonexistent/folder/a.png"));
    assert_int_equal(image_write(&image, folder, NULL), LOOM_EIO); /* a folder stands there */
    char left[300];
    snprintf(left, sizeof left, "%s.%ld.tmp", folder, (long)getpid());
    assert_int_not_equal(access(left, F_OK), 0);
    image_fini(&image);
}

static void expect_refused(int status)
{
    float *values = (float *)1;
    size_t width, height;
    assert_int_equal(image_read_grey(path, &values, &width, &height), status);
    assert_null(values);
    assert_non_null(strstr(error_message(), path));
}

static void write_bytes(const uint8_t *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void test_image_read_refuses_truncated(void **state)
{
    (void)state;
    uint8_t bytes[8192];
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        write_sample(PNG_COLOR_TYPE_RGB, 8, interlaced);
        FILE *file = fopen(path, "rb");
        const size_t n = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        assert_in_range(n, 100, sizeof bytes - 1);
        for (size_t cut = 0; cut < n; cut++) { /* also the empty file; the last 4 bytes are IEND's checksum */
            write_bytes(bytes, cut);
            expect_refused(LOOM_EDATA);
        }
    }
}

static void test_image_read_refuses_damaged(void **state)
{
    (void)state;
    uint8_t bytes[8192], copy[8192];
    write_sample(PNG_COLOR_TYPE_GRAY, 8, false);
    FILE *file = fopen(path, "rb");
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t i = 0; i < n; i++) {
        memcpy(copy, bytes, n);
        copy[i] ^= 0x5a;
        write_bytes(copy, n);
        float *values;
        size_t width, height;
        /* Every byte counts: signature, lengths, names, contents and checksums of IHDR, IDAT and IEND. */
        const int status = image_read_grey(path, &values, &width, &height);
        if (status == LOOM_OK) {
            print_message("byte %zu of %zu does not matter\n", i, n);
        }
        assert_int_equal(status, LOOM_EDATA);
    }
    write_bytes((const uint8_t *)"this is not a picture, it is a sentence", 39);
    expect_refused(LOOM_EDATA);
}

static void put_u32(uint8_t *out, uint64_t value)
{
    for (size_t i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* A file of a header that claims these sides and `n_zero` zero bytes of compressed picture; whole if that is
 * enough. */
static void write_claim(uint32_t width, uint32_t height, uint8_t interlace, size_t n_zero)
{
    uint8_t header[33] = "\x89PNG\r\n\x1a\n";
    put_u32(header + 8, 13);
    memcpy(header + 12, "IHDR", 4);
    put_u32(header + 16, width);
    put_u32(header + 20, height);
    header[24] = 8; /* bits; grey, no filter */
    header[28] = interlace;
    put_u32(header + 29, crc32(0, header + 12, 17));
    uint8_t *zeros = calloc(n_zero, 1);
    uLongf n_packed = compressBound(n_zero);
    uint8_t *packed = malloc(n_packed + 12);
    assert_int_equal(compress2(packed + 8, &n_packed, zeros, n_zero, 9), Z_OK);
    put_u32(packed, n_packed);
    memcpy(packed + 4, "IDAT", 4);
    put_u32(packed + 8 + n_packed, crc32(0, packed + 4, (uInt)n_packed + 4));
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(header, 1, sizeof header, file), sizeof header);
    assert_int_equal(fwrite(packed, 1, n_packed + 12, file), n_packed + 12);
    assert_int_equal(fwrite("\0\0\0\0IEND\xae\x42\x60\x82", 1, 12, file), 12);
    fclose(file);
    free(packed);
    free(zeros);
}

static void test_image_read_refuses_claims(void **state)
{
    (void)state;
    const struct {
        uint32_t width, height;
    } claims[] = {{0x7fffffff, 0x7fffffff}, {0xffffffff, 1}, {65536, 1}, {1, 65536}, {0, 5}, {5, 0},
                  {16384, 16385},           {65535, 65535}};
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        for (uint8_t interlace = 0; interlace < 2; interlace++) {
            write_claim(claims[i].width, claims[i].height, interlace, 1000);
            expect_refused(LOOM_EDATA);
        }
    }
    write_claim(16384, 16385, 0, 1000);
    expect_refused(LOOM_EDATA);
    assert_non_null(strstr(error_message(), "2^28"));
    write_claim(65536, 1, 0, 65537); /* whole, but too wide, too high */
    expect_refused(LOOM_EDATA);
    write_claim(1, 65536, 0, 2 * 65536);
    expect_refused(LOOM_EDATA);
    write_claim(10000, 10000, 0, 1000); /* acceptable, but the picture is not there */
    expect_refused(LOOM_EDATA);

    float *values; /* the largest side, and far more data than claimed: only what was claimed is unpacked */
    size_t width, height;
    write_claim(65535, 1, 0, 4000000);
    assert_int_equal(image_read_grey(path, &values, &width, &height), LOOM_OK);
    assert_int_equal(width, 65535);
    free(values);
}

static void test_image_read_refuses_what_is_no_file(void **state)
{
    (void)state;
    unlink(path);
    expect_refused(LOOM_EIO);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_refused(LOOM_EIO);
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refused(LOOM_EIO); /* and does not wait for a writer */
    unlink(path);
}

static void test_image_init_refuses_too_large(void **state)
{
    (void)state;
    struct image image;
    assert_int_equal(image_init(&image, 0, 1, 1, 0), LOOM_EDATA);
    assert_int_equal(image_init(&image, 1, IMAGE_SIDE_MAX + 1, 1, 0), LOOM_EDATA);
    assert_int_equal(image_init(&image, IMAGE_SIDE_MAX, IMAGE_SIDE_MAX, 1, 0), LOOM_EDATA);
    assert_null(image.pixels);
    image_fini(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image_read_grey_of_every_kind),
        cmocka_unit_test(test_image_write_and_read_back_exactly),
        cmocka_unit_test(test_image_write_keeps_the_title),
        cmocka_unit_test(test_image_write_reports_failure),
        cmocka_unit_test(test_image_read_refuses_truncated),
        cmocka_unit_test(test_image_read_refuses_damaged),
        cmocka_unit_test(test_image_read_refuses_claims),
        cmocka_unit_test(test_image_read_refuses_what_is_no_file),
        cmocka_unit_test(test_image_init_refuses_too_large),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

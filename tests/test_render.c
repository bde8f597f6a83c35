/* What render shows: layers from files and taps, which sparse layer belongs to which invariant one, and the
 * pictures in their folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/image.h"
#include "common/layer.h"
#include "common/log.h"
#include "stages/render/gallery.h"
#include "stages/render/shown.h"

enum { N = 6, P = 4, M = 2 }; /* 3 x 2 sparse units that see 2 x 2 pixels; 2 x 1 invariant ones */

static char folder[] = "/tmp/loom-test-render-XXXXXX";

static const float W[N * P] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1};
static const float U[M * N] = {5, 1, 0, 2, 3, 4, 0, 1, 0, 8, 3, 4};

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

/* Empty the folder; returns how many files were in it. */
static size_t empty_folder(void)
{
    size_t n = 0;
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] != '.') {
            char path[512];
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            assert_int_equal(unlink(path), 0);
            n++;
        }
    }
    closedir(entries);
    return n;
}

static int tear_down(void **state)
{
    (void)state;
    empty_folder();
    return rmdir(folder);
}

/* A layer file as the runner writes it; grid_x < 0: without a grid. */
static void write_layer(const char *file, const char *stage, const char *stream, const char *input,
                        int64_t grid_x, int64_t grid_y, size_t rows, size_t cols, const float *weights)
{
    struct layer_writer *writer;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    assert_int_equal(layer_writer_new(&writer, path), LOOM_OK);
    assert_int_equal(layer_write_text(writer, "stage", stage), LOOM_OK);
    assert_int_equal(layer_write_text(writer, "stream", stream), LOOM_OK);
    assert_int_equal(layer_write_text(writer, "input", input), LOOM_OK);
    assert_int_equal(layer_write_integer(writer, "frame", 200000), LOOM_OK);
    if (grid_x >= 0) {
        assert_int_equal(layer_write_integers(writer, "grid", (int64_t[]){grid_x, grid_y}, 2), LOOM_OK);
    }
    assert_int_equal(layer_write_integers(writer, "input_shape", (int64_t[]){2, 2}, 2), LOOM_OK);
    assert_int_equal(layer_write(writer, "weights", LAYER_F4, (size_t[]){rows, cols}, 2, weights), LOOM_OK);
    assert_int_equal(layer_writer_commit(&writer), LOOM_OK);
}

static void test_shown_read_takes_what_a_file_says(void **state)
{
    (void)state;
    struct shown layer;
    write_layer("ground.h5", "sparse", "code-id", "frame-id", 3, 2, N, P, W);
    assert_int_equal(shown_read(&layer, folder, "ground.h5", false), LOOM_OK);
    assert_null(layer.weights.data); /* sparse, and others were asked for */
    shown_fini(&layer);
    assert_int_equal(shown_read(&layer, folder, "ground.h5", true), LOOM_OK);
    assert_string_equal(layer.name, "ground");
    assert_string_equal(layer.stage, "sparse");
    assert_string_equal(layer.id, "code-id");
    assert_string_equal(layer.input, "frame-id");
    assert_int_equal(layer.frames, 200000);
    assert_int_equal(layer.weights.rows, N);
    assert_int_equal(layer.weights.cols, P);
    assert_int_equal(layer.weights.grid_x, 3);
    assert_int_equal(layer.weights.grid_y, 2);
    assert_int_equal(layer.weights.input_width, 2);
    assert_memory_equal(layer.weights.data, W, sizeof W);
    shown_fini(&layer);
    shown_fini(&layer);
    empty_folder();
}

static void expect_passed_over(const char *file)
{
    struct shown layer;
    assert_int_equal(shown_read(&layer, folder, file, true), LOOM_EDATA);
    assert_null(layer.owned);
    assert_true(error_message()[0] != '\0');
}

static void test_shown_read_refuses_bad_files(void **state)
{
    (void)state;
    write_layer("wrong-grid.h5", "sparse", "a", "b", 4, 2, N, P, W);
    expect_passed_over("wrong-grid.h5");
    write_layer("left-over.h5", "sparse", "a", "b", 4, 1, N, P, W);
    expect_passed_over("left-over.h5");
    write_layer("no-grid.h5", "sparse", "a", "b", -1, 0, N, P, W);
    expect_passed_over("no-grid.h5");
    write_layer("negative.h5", "sparse", "a", "b", 3, -2, N, P, W);
    expect_passed_over("negative.h5");
    write_layer("empty.h5", "sparse", "a", "b", 0, 0, 0, P, W);
    expect_passed_over("empty.h5");
    char path[512];
    snprintf(path, sizeof path, "%s/rubbish.h5", folder);
    FILE *file = fopen(path, "w");
    fputs("no layer at all", file);
    fclose(file);
    expect_passed_over("rubbish.h5");
    empty_folder();
}

static struct shown made(const char *stage, const char *name, const char *id, const char *input)
{
    struct shown layer = {.frames = 7};
    snprintf(layer.stage, sizeof layer.stage, "%s", stage);
    snprintf(layer.name, sizeof layer.name, "%s", name);
    snprintf(layer.id, sizeof layer.id, "%s", id);
    snprintf(layer.input, sizeof layer.input, "%s", input);
    layer.weights = strcmp(stage, "sparse") == 0 ? (struct stage_weights){W, N, P, 3, 2, 2, 2}
                                                 : (struct stage_weights){U, M, N, 2, 1, 3, 2};
    return layer;
}

static void test_shown_check_keeps_names_in_the_folder(void **state)
{
    (void)state;
    const char *const names[] = {"", ".", "../up", "a/b", ".hidden"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct shown layer = made("sparse", names[i], "a", "b");
        assert_int_equal(shown_check(&layer), LOOM_EDATA);
    }
    struct shown layer = made("sparse", "fine", "a", "b");
    layer.weights.input_width = 3; /* does not fit: shown as a row */
    assert_int_equal(shown_check(&layer), LOOM_OK);
    assert_int_equal(layer.weights.input_width, P);
    assert_int_equal(layer.weights.input_height, 1);
}

static void test_shelf_finds_the_layer_below(void **state)
{
    (void)state;
    struct shelf shelf = {0};
    struct shown one = made("sparse", "one", "id-1", ""), two = made("sparse", "two", "id-2", "");
    const struct shown unsure = made("invariant", "top", "x", ""),
                       sure = made("invariant", "top", "x", "id-2"),
                       other = made("invariant", "top", "x", "id-3");
    assert_null(shelf_find(&shelf, &unsure));
    assert_int_equal(shelf_keep(&shelf, &one), LOOM_OK);
    assert_string_equal(shelf_find(&shelf, &unsure)->name, "one");
    assert_null(shelf_find(&shelf, &sure)); /* trained on another stream */
    assert_int_equal(shelf_keep(&shelf, &two), LOOM_OK);
    assert_null(shelf_find(&shelf, &unsure)); /* which of the two? */
    assert_string_equal(shelf_find(&shelf, &sure)->name, "two");
    assert_null(shelf_find(&shelf, &other));

    float newer[N * P] = {9};
    one.weights.data = newer;
    assert_int_equal(shelf_keep(&shelf, &one), LOOM_OK); /* in the place of the older state */
    assert_int_equal(shelf.n, 2);
    newer[0] = 0; /* it was copied */
    assert_true(shelf.items[0].weights.data[0] == 9.0F);
    struct shown wrong_size = made("invariant", "top", "x", "id-2");
    wrong_size.weights.cols = N - 1;
    assert_null(shelf_find(&shelf, &wrong_size));
    shelf_fini(&shelf);
    shelf_fini(&shelf);
}

/* The grey values of a plain picture of one pixel a number. */
static void read_picture(const char *file, float **values, size_t *width, size_t *height)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    assert_int_equal(image_read_grey(path, values, width, height), LOOM_OK);
}

static void test_gallery_draws_every_picture(void **state)
{
    (void)state;
    struct gallery gallery = {.folder = folder, .scale = 1};
    const struct shown sparse = made("sparse", "ground", "a", ""), top = made("invariant", "top", "b", "a");
    gallery_draw(&gallery, &sparse, NULL);
    float *values;
    size_t width, height;
    read_picture("ground-plain.png", &values, &width, &height);
    assert_int_equal(width, 6);
    assert_int_equal(height, 4);
    for (size_t i = 0; i < N; i++) {
        for (size_t q = 0; q < P; q++) { /* weights are 0 or 1: white or black */
            assert_true(values[(i / 3 * 2 + q / 2) * width + i % 3 * 2 + q % 2] == 1 - W[i * P + q]);
        }
    }
    free(values);
    read_picture("ground.png", &values, &width, &height);
    free(values);
    gallery_draw(&gallery, &top, &sparse);
    const char *const files[] = {"top.png",          "top-plain.png",         "top-prototypes.png",
                                 "top-coverage.png", "top-least-covered.png", "top-most-covered.png"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        read_picture(files[i], &values, &width, &height);
        free(values);
    }
    /* coverage is 5 2 0 10 6 8: unit 2 the least, unit 3 the most */
    char bytes[4096], path[512];
    snprintf(path, sizeof path, "%s/top-least-covered.png", folder);
    FILE *file = fopen(path, "rb");
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_non_null(memmem(bytes, n, "ground unit 2, the least covered by top", 39));
    snprintf(path, sizeof path, "%s/top-most-covered.png", folder);
    file = fopen(path, "rb");
    n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_non_null(memmem(bytes, n, "ground unit 3, the most covered by top", 38));
    assert_int_equal(gallery.failures, 0);
    gallery_fini(&gallery);
    assert_int_equal(empty_folder(), 8); /* and nothing else was left there */
}

static void test_gallery_goes_on_where_it_cannot_write(void **state)
{
    (void)state;
    struct gallery gallery = {.folder = "/nonexistent/folder"};
    const struct shown sparse = made("sparse", "ground", "a", ""), top = made("invariant", "top", "b", "a");
    gallery_draw(&gallery, &top, &sparse);
    assert_int_equal(gallery.failures, 6);
    assert_int_equal(gallery.failure, LOOM_EIO);
    assert_non_null(strstr(gallery.why, "/nonexistent/folder"));
    gallery_fini(&gallery);
}

/* Nothing else wanted, it is a failure; among others it is left out. */
static void test_gallery_says_what_is_too_large(void **state)
{
    (void)state;
    enum { MANY = 70000 };
    float *numbers = calloc(MANY, sizeof *numbers);
    assert_non_null(numbers);
    struct shown sparse = made("sparse", "ground", "a", ""), top = made("invariant", "top", "b", "a");
    sparse.weights = (struct stage_weights){numbers, 1, MANY, 1, 1, 280, 250};
    top.weights = (struct stage_weights){numbers, MANY, 1, 280, 250, 1, 1};
    struct gallery gallery = {.folder = folder, .only = GALLERY_PROTOTYPES, .silent = true};
    gallery_draw(&gallery, &top, &sparse);
    assert_int_equal(gallery.failures, 1);
    assert_int_equal(gallery.failure, LOOM_EDATA);
    assert_non_null(strstr(gallery.why, "prototypes of top"));
    gallery_fini(&gallery);
    gallery = (struct gallery){.folder = folder, .only = GALLERY_PROTOTYPES | GALLERY_COVERAGE};
    gallery_draw(&gallery, &top, &sparse);
    assert_int_equal(gallery.failures, 0);
    gallery_fini(&gallery);
    free(numbers);
    assert_int_equal(empty_folder(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shown_read_takes_what_a_file_says),
        cmocka_unit_test(test_shown_read_refuses_bad_files),
        cmocka_unit_test(test_shown_check_keeps_names_in_the_folder),
        cmocka_unit_test(test_shelf_finds_the_layer_below),
        cmocka_unit_test(test_gallery_draws_every_picture),
        cmocka_unit_test(test_gallery_goes_on_where_it_cannot_write),
        cmocka_unit_test(test_gallery_says_what_is_too_large),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

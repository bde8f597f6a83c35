/* Verifying layer files; see check.c. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "findings.h"
#include "kernels/invariant.h"
#include "kernels/sparse.h"
#include "layer.h"

/* In float, weights stay at or above a floor, so that they can come back; the reference has doubles and
 * none. */
static float floor_of(const struct layer_reader *file)
{
    char body[64] = "";
    if (layer_read_text(file, "body", body, sizeof body) < 0 ||
        (strncmp(body, "cpu", 3) != 0 && strncmp(body, "cuda", 4) != 0)) {
        return 0;
    }
    return fminf(SPARSE_FLOOR, INVARIANT_FLOOR); /* they are the same */
}

static void check_weights(struct findings *findings, const struct layer_reader *file, size_t units,
                          size_t *inputs)
{
    size_t dims[2];
    int status = layer_read_dims(file, "weights", dims, 2);
    float *weights = NULL;
    if (status == 0 && dims[0] != units) {
        status = error_set(LOOM_EDATA, "/weights has %zu rows, but the grid has %zu units", dims[0], units);
    }
    if (status == 0 && (weights = malloc(dims[0] * dims[1] * sizeof *weights + 1)) == NULL) {
        status = error_set(LOOM_EINTERNAL, "out of memory for %zu x %zu weights", dims[0], dims[1]);
    }
    if (status == 0) {
        status = layer_read(file, "weights", LAYER_F4, dims, 2, weights);
    }
    if (status < 0 || weights == NULL) {
        findings_add_error(findings, status);
        free(weights);
        return;
    }
    float floor = floor_of(file);
    *inputs = dims[1];
    for (size_t i = 0; i < dims[0] * dims[1]; i++) {
        if (!isfinite(weights[i]) || weights[i] < floor) {
            findings_add(
                findings,
                "weight %zu of unit %zu is %g; weights are finite and at least %g: train the layer anew, or "
                "take an older copy",
                i % dims[1], i / dims[1], (double)weights[i], (double)floor);
            break;
        }
    }
    free(weights);
}

/* 32 hexadecimal digits. */
static bool is_id(const char *text)
{
    return strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32;
}

static void check_attributes(struct findings *findings, const struct layer_reader *file)
{
    char stage[64] = "", id[64] = "", input[64] = "";
    int64_t grid[2] = {0, 0}, frames = 0, shape[2];
    size_t inputs = 0;
    int status = layer_read_text(file, "stage", stage, sizeof stage);
    if (status == 0) {
        status = layer_read_integers(file, "grid", grid, 2);
    }
    if (status == 0) {
        status = layer_read_text(file, "stream", id, sizeof id);
    }
    if (status == 0) {
        status = layer_read_integer(file, "frames", &frames);
    }
    if (status < 0) {
        findings_add_error(findings, status);
        return;
    }
    if (grid[0] < 1 || grid[1] < 1 || grid[0] > INT32_MAX || grid[1] > INT32_MAX || frames < 0) {
        findings_add(findings, "its grid is %" PRId64 "x%" PRId64 ", after %" PRId64 " frames", grid[0],
                     grid[1], frames);
        return;
    }
    check_weights(findings, file, (size_t)grid[0] * (size_t)grid[1], &inputs);
    if (inputs > 0 && layer_read_integers(file, "input_shape", shape, 2) == 0 &&
        (uint64_t)shape[0] * (uint64_t)shape[1] != inputs) {
        findings_add(findings, "/weights has %zu columns, but input_shape is %" PRId64 "x%" PRId64, inputs,
                     shape[0], shape[1]);
    }
    if (!is_id(id)) {
        findings_add(findings, "its id (attribute stream) is '%s', not 32 hexadecimal digits", id);
    }
    findings_tell(findings,
                  "layer of stage %s, %" PRId64 "x%" PRId64 " units with %zu weights each, after %" PRId64
                  " frames (id %s",
                  stage, grid[0], grid[1], inputs, frames, id);
    if (layer_read_text(file, "input", input, sizeof input) == 0 && input[0] != '\0') {
        findings_tell(findings, ", trained on %s", input);
    }
    findings_tell(findings, ")");
}

void check_layer(struct findings *findings, const char *path)
{
    struct layer_reader *file = NULL;
    int status = layer_reader_new(&file, path);
    if (status < 0) {
        findings_add_error(findings, status);
        return;
    }
    check_attributes(findings, file);
    layer_reader_destroy(&file);
    check_objects(findings, path, UINT64_MAX);
}

/* See layer_support.h. */
#include "layer_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernel.h"
#include "random.h"

static int from_file(struct layer_start *start, float *weights, const char *path, const char *stage,
                     size_t rows, size_t cols)
{
    struct layer_reader *file = NULL;
    char kind[64];
    int status = layer_reader_new(&file, path);
    if (status == 0) {
        status = layer_read_text(file, "stage", kind, sizeof kind);
    }
    if (status == 0 && strcmp(kind, stage) != 0) {
        status = error_set(LOOM_EDATA, "'%s' is a layer of a %s stage, not of a %s stage", path, kind, stage);
    }
    if (status == 0) {
        status = layer_read(file, "weights", LAYER_F4, (const size_t[]){rows, cols}, 2, weights);
    }
    for (size_t i = 0; status == 0 && i < rows * cols; i++) {
        if (!(weights[i] >= 0) || weights[i] > 1e30F) {
            status = error_set(LOOM_EDATA,
                               "'%s': weight %zu of unit %zu is %g; weights are finite and not negative",
                               path, i % cols, i / cols, (double)weights[i]);
        }
    }
    if (status == 0) {
        status = layer_read_text(file, "stream", start->parent, sizeof start->parent);
    }
    if (status == 0) {
        status = layer_read_integer(file, "frames", &start->frames);
    }
    layer_reader_destroy(&file);
    return status;
}

int layer_start(struct layer_start *start, float *weights, const char *path, const char *stage, size_t rows,
                size_t cols, double init, int64_t seed)
{
    *start = (struct layer_start){.frames = 0};
    if (path[0] != '\0') {
        return from_file(start, weights, path, stage, rows, cols);
    }
    double *row = malloc(cols * sizeof *row);
    if (row == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for the initial weights");
    }
    for (size_t i = 0; i < rows; i++) {
        random_uniform(row, cols, (uint64_t)seed, RANDOM_WEIGHTS, (uint64_t)i * cols);
        for (size_t j = 0; j < cols; j++) {
            weights[i * cols + j] = (float)(init * row[j]);
        }
    }
    free(row);
    return 0;
}

const char *const layer_backends[] = {"auto", "cpu", "cuda", "reference", NULL};

int layer_kernel_error(int kernel_status, const char *stage)
{
    switch (kernel_status) {
    case KERNEL_OK:
        return 0;
    case KERNEL_EINVAL:
        return error_set(LOOM_EUSAGE,
                         "the %s layer cannot have this shape with these parameters; see loom inspect %s",
                         stage, stage);
    case KERNEL_EUNSUPPORTED:
        return error_set(LOOM_EUSAGE,
                         "this build or machine has no such backend for the %s layer; use --backend auto",
                         stage);
    default:
        return error_set(LOOM_EINTERNAL, "out of memory in the %s layer", stage);
    }
}

int layer_write_kernel(struct layer_writer *file, void *buffer, size_t bytes)
{
    if (bytes == 0) {
        free(buffer);
        return 0;
    }
    int status = buffer == NULL ? error_set(LOOM_EINTERNAL, "out of memory for a layer's state")
                                : layer_write(file, "state/kernel", LAYER_U1, &bytes, 1, buffer);
    free(buffer);
    return status;
}

int layer_read_kernel(const struct layer_reader *file, void **buffer_p, size_t bytes)
{
    *buffer_p = NULL;
    if (bytes == 0) {
        return 0;
    }
    *buffer_p = malloc(bytes);
    return *buffer_p == NULL ? error_set(LOOM_EINTERNAL, "out of memory for a layer's state")
                             : layer_read(file, "state/kernel", LAYER_U1, &bytes, 1, *buffer_p);
}

/* See layer_support.h. */
#include "layer_support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identity.h"
#include "kernels/kernel.h"
#include "lineage.h"
#include "log.h"
#include "random.h"

#define BLOCK_WORK 1000000000 /* weights times frames that a layer meets in a block */

/* The file must be a layer of this stage, units in the same order, learned by the same rule. */
static int check_file(const struct layer_reader *file, const struct layer_wanted *wanted)
{
    const char *path = layer_path(file);
    char kind[64], rule[64] = "";
    int64_t grid[2];
    int status = layer_read_text(file, "stage", kind, sizeof kind);
    if (status == 0 && strcmp(kind, wanted->stage) != 0) {
        status =
            error_set(LOOM_EDATA, "'%s' is a layer of stage %s, not of stage %s; name a layer of stage %s",
                      path, kind, wanted->stage, wanted->stage);
    }
    if (status == 0) {
        status = layer_read_integers(file, "grid", grid, 2);
    }
    if (status == 0 && (grid[0] != wanted->grid.x || grid[1] != wanted->grid.y)) {
        status =
            error_set(LOOM_EDATA,
                      "'%s' is a layer of %" PRId64 "x%" PRId64 " units, but this stage's grid is %" PRId64
                      "x%" PRId64 "; set grid to that of the layer, or name another layer",
                      path, grid[0], grid[1], wanted->grid.x, wanted->grid.y);
    }
    if (status == 0 && wanted->rule != NULL) {
        status = layer_read_text(file, "rule", rule, sizeof rule);
    }
    if (status == 0 && wanted->rule != NULL && strcmp(rule, wanted->rule) != 0) {
        status =
            error_set(LOOM_EDATA,
                      "'%s' has learned by rule %s, but this stage's rule is %s; set rule to that of the "
                      "layer, or name another layer",
                      path, rule, wanted->rule);
    }
    return status;
}

/* A text attribute, "" if the file has none. */
static void read_optional(const struct layer_reader *file, const char *name, char *text, size_t size)
{
    if (layer_read_text(file, name, text, size) != LOOM_OK) {
        text[0] = '\0';
    }
}

/* The lineage of the layer in the file; files that tell none tell at least their stream. */
static void read_lineage(const struct layer_reader *file, struct layer_start *start)
{
    read_optional(file, "lineage", start->lineage, sizeof start->lineage);
    if (start->lineage[0] == '\0') {
        char parent[STREAM_ID_BYTES];
        read_optional(file, "parent", parent, sizeof parent);
        lineage_begin(start->lineage, start->parent, parent);
    }
}

/* A layer means something only above the layer on whose codes it was trained, or above one that has learned on
 * from that: the units of any other are in another order. */
static int check_input(const struct layer_reader *file, const struct layer_wanted *wanted,
                       struct layer_start *start)
{
    const struct stream_info *now = wanted->input;
    char id[STREAM_ID_BYTES], said[STREAM_ID_BYTES];
    if (now == NULL) {
        return 0;
    }
    read_optional(file, "input", said, sizeof said);
    read_optional(file, "input_layer", start->input_layer, sizeof start->input_layer);
    if (start->input_layer[0] == '\0') {
        memcpy(start->input_layer, said, sizeof said);
    }
    if (lineage_has(now->layer, start->input_layer) || strcmp(now->id, said) == 0) {
        return 0;
    }
    layer_of(id, now);
    const char *trained = start->input_layer[0] == '\0' ? "(not told)" : start->input_layer;
    const char *untold = now->layer[0] == '\0' ? ", a stream that does not say which layer makes it" : "";
    if (wanted->other_input) {
        log_warning(
            "'%s' was trained on codes of sparse layer %s, and goes on with those of %s (from '%s'%s), as "
            "other_input asks",
            layer_path(file), trained, id, now->name, untold);
        return 0;
    }
    return error_set(
        LOOM_EDATA,
        "'%s' was trained on codes of sparse layer %s, but '%s' gives those of sparse layer %s%s; "
        "name the layer that was trained on it, or set other_input=true to go on all the same",
        layer_path(file), trained, now->name, id, untold);
}

static int from_file(struct layer_start *start, float *weights, const char *path,
                     const struct layer_wanted *wanted)
{
    struct layer_reader *file = NULL;
    const size_t rows = (size_t)wanted->grid.x * (size_t)wanted->grid.y, cols = wanted->inputs;
    int status = layer_reader_new(&file, path);
    if (status == 0) {
        status = check_file(file, wanted);
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
    if (status == 0) {
        read_lineage(file, start);
        status = check_input(file, wanted, start);
    }
    layer_reader_destroy(&file);
    return status;
}

int layer_start(struct layer_start *start, float *weights, const char *path,
                const struct layer_wanted *wanted, double init, int64_t seed)
{
    const size_t rows = (size_t)wanted->grid.x * (size_t)wanted->grid.y, cols = wanted->inputs;
    *start = (struct layer_start){.frames = 0};
    if (path[0] != '\0') {
        return from_file(start, weights, path, wanted);
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

void layer_warn_drawn(bool frozen, const char *path)
{
    if (frozen && path[0] == '\0') {
        log_warning(
            "frozen, but no layer is given: the random initial weights are applied as they are; name a file "
            "with the parameter layer");
    }
}

uint64_t layer_block(size_t units, size_t inputs)
{
    uint64_t weights = (uint64_t)units * inputs;
    return weights < BLOCK_WORK ? BLOCK_WORK / weights : 1;
}

void layer_tell(struct stream_info *output, const struct layer_start *start, bool frozen,
                const float *weights, size_t n)
{
    char id[STREAM_ID_BYTES];
    if (!frozen) {
        lineage_begin(output->layer, output->id, start->lineage);
    } else if (start->lineage[0] != '\0') {
        memcpy(output->layer, start->lineage, sizeof output->layer);
    } else {
        identity_of_bytes(id, weights, n * sizeof *weights);
        lineage_begin(output->layer, id, "");
    }
}

void layer_of(char id[STREAM_ID_BYTES], const struct stream_info *codes)
{
    lineage_newest(id, codes->layer[0] != '\0' ? codes->layer : codes->id);
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
                         "this build or machine has no such backend for the %s layer%s%s; use --backend auto",
                         stage, *kernel_failure() != '\0' ? ": " : "", kernel_failure());
    case KERNEL_EDEVICE:
        return error_set(
            LOOM_EIO, "the GPU failed in the %s layer, %s; what was saved last is unharmed: go on from there",
            stage, kernel_failure());
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

int layer_write_lent(struct layer_writer *file, const void *state, size_t bytes)
{
    return layer_write(file, "state/kernel", LAYER_U1, &bytes, 1, state);
}

int layer_read_lent(const struct layer_reader *file, void *state, size_t bytes)
{
    return layer_read(file, "state/kernel", LAYER_U1, &bytes, 1, state);
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

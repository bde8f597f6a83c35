/* See layers.h. */
#include "layers.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "derive.h"
#include "measure.h"
#include "say.h"

#define SHOWN_MAX ((size_t)4 << 20) /* numbers of a map that are sent; of more, the first units */
#define WORK_MAX 2e9                /* multiplications for prototypes: about a second */
#define WORK_PAUSE 50               /* times as long as it took to make something, it is not made again */

static _Thread_local struct say say; /* large */

void layers_fini(struct layers *self)
{
    for (size_t i = 0; i < self->n; i++) {
        free(self->items[i].data);
    }
    *self = (struct layers){.n = 0};
}

static int check(const struct layer_known *layer)
{
    const bool fits = layer->rows > 0 && layer->cols > 0 && layer->rows <= ((size_t)1 << 30) / layer->cols &&
                      layer->grid_x > 0 && layer->rows % layer->grid_x == 0 &&
                      layer->rows / layer->grid_x == layer->grid_y;
    return fits ? LOOM_OK
                : error_set(LOOM_EDATA,
                            "layer %s has %zu x %zu weights on a grid of %zu x %zu, which cannot be",
                            layer->name, layer->rows, layer->cols, layer->grid_x, layer->grid_y);
}

static struct layer_known *place_of(struct layers *self, const char *name)
{
    for (size_t i = 0; i < self->n; i++) {
        if (strcmp(self->items[i].name, name) == 0) {
            return &self->items[i];
        }
    }
    return self->n == LAYERS_MAX ? NULL : &self->items[self->n];
}

int layers_take(struct layers *self, const struct layer_known *layer, const float *data)
{
    const int status = check(layer);
    struct layer_known *place = place_of(self, layer->name);
    if (status < 0 || place == NULL) {
        return status < 0 ? status : error_set(LOOM_EINTERNAL, "more than %d layers", LAYERS_MAX);
    }
    const bool is_new = place == &self->items[self->n];
    const size_t n = layer->rows * layer->cols;
    const bool fits = !is_new && place->rows == layer->rows && place->cols == layer->cols;
    float *own = fits ? place->data : malloc(n * sizeof *own);
    if (own == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the weights of layer %s", layer->name);
    }
    struct layer_known known = *layer;
    if (!is_new) {
        known.weights_ms = place->weights_ms;
        known.above_ms = place->above_ms;
        if (!fits) {
            free(place->data);
        }
    } else {
        known.weights_ms = known.above_ms = 0;
        self->n++;
    }
    memcpy(own, data, n * sizeof *own);
    known.data = own;
    known.told_weights = known.told_above = false;
    if (known.input_width == 0 || known.cols % known.input_width != 0 ||
        known.cols / known.input_width != known.input_height) { /* shown as a row */
        known.input_width = known.cols;
        known.input_height = 1;
    }
    *place = known;
    for (size_t i = 0; i < self->n; i++) { /* their prototypes change with it */
        self->items[i].told_above = self->items[i].told_above && self->items[i].cols != known.rows;
    }
    return LOOM_OK;
}

const struct layer_known *layers_find(const struct layers *self, const char *name)
{
    for (size_t i = 0; i < self->n; i++) {
        if (strcmp(self->items[i].name, name) == 0) {
            return &self->items[i];
        }
    }
    return NULL;
}

static bool is_invariant(const struct layer_known *layer)
{
    return strcmp(layer->stage, "sparse") != 0;
}

const struct layer_known *layers_below(const struct layers *self, const struct layer_known *layer)
{
    const struct layer_known *found = NULL;
    if (!is_invariant(layer)) {
        return NULL;
    }
    for (size_t i = 0; i < self->n; i++) {
        const struct layer_known *other = &self->items[i];
        if (other == layer || is_invariant(other) || other->rows != layer->cols) {
            continue;
        }
        if (strcmp(layer->from, other->name) == 0 ||
            (layer->input[0] != '\0' && strcmp(layer->input, other->id) == 0)) {
            return other;
        }
        if (found != NULL) {
            return NULL;
        }
        found = other;
    }
    return found;
}

const struct layer_known *layers_above(const struct layers *self, const struct layer_known *layer)
{
    for (size_t i = 0; i < self->n; i++) {
        if (layers_below(self, &self->items[i]) == layer) {
            return &self->items[i];
        }
    }
    return NULL;
}

/* ---- messages ---- */

/* A map of rows x cols numbers, a unit's tile width x height, as far as it is shown. */
static int say_map(const char *type, const struct layer_known *layer, const float *x, size_t cols,
                   size_t width, size_t height, struct said **out)
{
    const size_t fitting = SHOWN_MAX / cols, shown = layer->rows < fitting ? layer->rows : fitting;
    const float max = derive_largest(x, layer->rows * cols);
    uint8_t *q = malloc(shown * cols + 1);
    if (q == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for a map of layer %s", layer->name);
    }
    derive_quantised(q, x, shown * cols, max);
    say_begin(&say, type);
    say_text(&say, "name", layer->name);
    say_text(&say, "stage", layer->stage);
    fprintf(say.json, ",\"seq\":%" PRIu64 ",\"pass\":%" PRIu64 ",\"saved\":%s", layer->seq, layer->pass,
            layer->saved ? "true" : "false");
    fprintf(say.json, ",\"grid\":[%zu,%zu],\"input\":[%zu,%zu],\"rows\":%zu,\"cols\":%zu,\"shown\":%zu",
            layer->grid_x, layer->grid_y, width, height, layer->rows, cols, shown);
    say_number(&say, "max", (double)max);
    say_array(&say, "weights", "u1", q, 2, (size_t[]){shown, cols});
    const int status = say_finish(&say, out);
    free(q);
    return status;
}

static int tell_weights(struct layer_known *layer, struct board *board)
{
    struct said *message = NULL;
    const int status = say_map("weights", layer, layer->data, layer->cols, layer->input_width,
                               layer->input_height, &message);
    if (status == LOOM_OK) {
        board_publish(board, BOARD_WEIGHTS, layer->name, &message);
    }
    return status;
}

static int tell_coverage(const struct layer_known *layer, const struct layer_known *below,
                         struct board *board)
{
    struct said *message = NULL;
    float *coverage = malloc(layer->cols * sizeof *coverage);
    if (coverage == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the coverage of layer %s", layer->name);
    }
    measure_coverage(coverage, layer->data, layer->rows, layer->cols);
    size_t least = 0, most = 0;
    for (size_t j = 0; j < layer->cols; j++) {
        least = coverage[j] < coverage[least] ? j : least;
        most = coverage[j] > coverage[most] ? j : most;
    }
    say_begin(&say, "coverage");
    say_text(&say, "name", layer->name);
    say_text(&say, "of", below->name);
    fprintf(say.json, ",\"grid\":[%zu,%zu],\"seq\":%" PRIu64 ",\"pass\":%" PRIu64 ",\"saved\":%s",
            below->grid_x, below->grid_y, layer->seq, layer->pass, layer->saved ? "true" : "false");
    fprintf(say.json, ",\"least\":{\"unit\":%zu", least);
    say_number(&say, "value", (double)coverage[least]);
    fprintf(say.json, "},\"most\":{\"unit\":%zu", most);
    say_number(&say, "value", (double)coverage[most]);
    fputc('}', say.json);
    say_array(&say, "coverage", "f4", coverage, 1, (size_t[]){layer->cols});
    const int status = say_finish(&say, &message);
    free(coverage);
    if (status == LOOM_OK) {
        board_publish(board, BOARD_COVERAGE, layer->name, &message);
    }
    return status;
}

/* That they are too large to be made while others train. */
static int say_skipped(const struct layer_known *layer, struct said **out)
{
    say_begin(&say, "prototypes");
    say_text(&say, "name", layer->name);
    say_text(&say, "skipped",
             "these layers are too large for prototypes while others train; loom render draws "
             "them when the run has ended");
    return say_finish(&say, out);
}

static int tell_prototypes(const struct layer_known *layer, const struct layer_known *below,
                           struct board *board)
{
    struct said *message = NULL;
    int status;
    if ((double)layer->rows * (double)layer->cols * (double)below->cols > WORK_MAX) {
        status = say_skipped(layer, &message);
    } else {
        float *prototypes = malloc(layer->rows * below->cols * sizeof *prototypes);
        if (prototypes == NULL) {
            return error_set(LOOM_EINTERNAL, "no memory for the prototypes of layer %s", layer->name);
        }
        measure_prototypes(prototypes, layer->data, below->data, layer->rows, layer->cols, below->cols);
        status = say_map("prototypes", layer, prototypes, below->cols, below->input_width,
                         below->input_height, &message);
        free(prototypes);
    }
    if (status == LOOM_OK) {
        board_publish(board, BOARD_PROTOTYPES, layer->name, &message);
    }
    return status;
}

/* When something may be made again that this thread has computed since begin_us of its time. */
static int64_t pause_after(int64_t begin_us)
{
    const int64_t pause_ms = WORK_PAUSE * (clock_thread_us() - begin_us) / 1000;
    return clock_ms() + (pause_ms > LAYERS_PAUSE_MS ? pause_ms : LAYERS_PAUSE_MS);
}

int layers_tell(struct layers *self, struct board *board)
{
    int status = LOOM_OK;
    for (size_t i = 0; i < self->n && status == LOOM_OK; i++) {
        struct layer_known *layer = &self->items[i];
        const struct layer_known *below = layers_below(self, layer);
        const int64_t now_ms = clock_ms();
        int64_t begin_us = clock_thread_us();
        if (!layer->told_weights && now_ms >= layer->weights_ms) {
            status = tell_weights(layer, board);
            layer->told_weights = true;
            layer->weights_ms = pause_after(begin_us);
        }
        begin_us = clock_thread_us();
        if (status == LOOM_OK && below != NULL && !layer->told_above && now_ms >= layer->above_ms) {
            status = tell_coverage(layer, below, board);
            if (status == LOOM_OK) {
                status = tell_prototypes(layer, below, board);
            }
            layer->told_above = true;
            layer->above_ms = pause_after(begin_us);
        }
    }
    return status;
}

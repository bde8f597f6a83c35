/* See shown.h. */
#include "shown.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"

#define NUMBERS_MAX ((size_t)1 << 30) /* in the weights of a layer: 4 GiB */

void shown_fini(struct shown *self)
{
    free(self->owned);
    *self = (struct shown){0};
}

int shown_check(struct shown *self)
{
    struct stage_weights *weights = &self->weights;
    if (self->name[0] == '\0' || self->name[0] == '.' || strchr(self->name, '/') != NULL) {
        return error_set(LOOM_EDATA, "'%s' is no name for a layer", self->name);
    }
    if (weights->rows == 0 || weights->cols == 0 || weights->rows > NUMBERS_MAX / weights->cols) {
        return error_set(LOOM_EDATA, "layer %s has %zu x %zu weights, which is out of range", self->name,
                         weights->rows, weights->cols);
    }
    if (weights->grid_x == 0 || weights->rows % weights->grid_x != 0 ||
        weights->rows / weights->grid_x != weights->grid_y) {
        return error_set(LOOM_EDATA, "layer %s has %zu units, which do not make a grid of %zu x %zu",
                         self->name, weights->rows, weights->grid_x, weights->grid_y);
    }
    if (weights->input_width == 0 || weights->cols % weights->input_width != 0 ||
        weights->cols / weights->input_width != weights->input_height) { /* shown as a row of numbers */
        weights->input_width = weights->cols;
        weights->input_height = 1;
    }
    return LOOM_OK;
}

/* Two integers of a layer file; 0, 0 if it has none. */
static void read_pair(const struct layer_reader *file, const char *name, size_t *x, size_t *y)
{
    int64_t pair[2] = {0, 0};
    if (layer_read_integers(file, name, pair, 2) != LOOM_OK || pair[0] < 0 || pair[1] < 0) {
        pair[0] = pair[1] = 0;
    }
    *x = (size_t)pair[0];
    *y = (size_t)pair[1];
}

int shown_read(struct shown *self, const char *folder, const char *name, bool sparse)
{
    struct layer_reader *file = NULL;
    char *path = NULL;
    *self = (struct shown){0};
    if (asprintf(&path, "%s/%s", folder, name) < 0) {
        return error_set(LOOM_EINTERNAL, "no memory for a path");
    }
    int64_t frame = 0, pass = 0;
    size_t dims[2];
    int status = layer_reader_new(&file, path);
    if (status != LOOM_OK) {
        goto done;
    }
    snprintf(self->name, sizeof self->name, "%.*s", (int)(strlen(name) - 3), name);
    status = layer_read_text(file, "stage", self->stage, sizeof self->stage);
    if (status != LOOM_OK || (strcmp(self->stage, "sparse") == 0) != sparse) {
        goto done;
    }
    if (layer_read_text(file, "stream", self->id, sizeof self->id) != LOOM_OK) {
        self->id[0] = '\0';
    }
    if (layer_read_text(file, "input", self->input, sizeof self->input) != LOOM_OK) {
        self->input[0] = '\0';
    }
    if (layer_read_text(file, "rule", self->rule, sizeof self->rule) != LOOM_OK) {
        self->rule[0] = '\0';
    }
    if (layer_read_integer(file, "frame", &frame) == LOOM_OK && frame > 0) {
        self->frames = (uint64_t)frame;
    }
    if (layer_read_integer(file, "pass", &pass) == LOOM_OK && pass > 0) {
        self->pass = (uint64_t)pass;
    }
    read_pair(file, "grid", &self->weights.grid_x, &self->weights.grid_y);
    read_pair(file, "input_shape", &self->weights.input_width, &self->weights.input_height);
    status = layer_read_dims(file, "weights", dims, 2);
    if (status != LOOM_OK) {
        goto done;
    }
    self->weights.rows = dims[0];
    self->weights.cols = dims[1];
    status = shown_check(self);
    if (status != LOOM_OK) {
        goto done;
    }
    self->owned = malloc(dims[0] * dims[1] * sizeof *self->owned);
    status = self->owned == NULL ? error_set(LOOM_EINTERNAL, "no memory for its weights")
                                 : layer_read(file, "weights", LAYER_F4, dims, 2, self->owned);
    self->weights.data = self->owned;
done:
    if (status != LOOM_OK) {
        shown_fini(self);
    }
    layer_reader_destroy(&file);
    free(path);
    return status;
}

int shown_read_any(struct shown *self, const char *folder, const char *file)
{
    const int status = shown_read(self, folder, file, true);
    return status == LOOM_OK && self->weights.data == NULL ? shown_read(self, folder, file, false) : status;
}

bool shown_is_other(const char *folder, const char *file)
{
    struct layer_reader *reader = NULL;
    char *path = NULL;
    const bool other = asprintf(&path, "%s/%s", folder, file) >= 0 &&
                       layer_reader_new(&reader, path) == LOOM_OK && !layer_has(reader, "weights");
    layer_reader_destroy(&reader);
    free(path);
    return other;
}

bool shown_is_sparse(const struct shown *self)
{
    return strcmp(self->stage, "sparse") == 0;
}

void shown_run(char *name, size_t size, const char *folder)
{
    char *path = realpath(folder, NULL);
    char *slash = path != NULL ? strrchr(path, '/') : NULL;
    name[0] = '\0';
    if (slash != NULL && (strcmp(slash + 1, "layers") == 0 || strcmp(slash + 1, "checkpoints") == 0)) {
        *slash = '\0';
        slash = strrchr(path, '/');
        snprintf(name, size, "%s", slash != NULL ? slash + 1 : "");
    }
    free(path);
}

void shelf_fini(struct shelf *self)
{
    while (self->n > 0) {
        shown_fini(&self->items[--self->n]);
    }
    free(self->items);
    self->items = NULL;
}

/* An empty place for a layer of this name: its old one, or a new one. NULL if memory runs out. */
static struct shown *place_for(struct shelf *self, const char *name)
{
    for (size_t i = 0; i < self->n; i++) {
        if (strcmp(self->items[i].name, name) == 0) {
            shown_fini(&self->items[i]);
            return &self->items[i];
        }
    }
    struct shown *grown = realloc(self->items, (self->n + 1) * sizeof *grown);
    if (grown == NULL) {
        return NULL;
    }
    self->items = grown;
    grown[self->n] = (struct shown){0};
    return &grown[self->n++];
}

int shelf_keep(struct shelf *self, struct shown *layer)
{
    const size_t bytes = layer->weights.rows * layer->weights.cols * sizeof(float);
    struct shown *place = place_for(self, layer->name);
    float *data = layer->owned != NULL ? layer->owned : malloc(bytes);
    if (place == NULL || data == NULL) {
        if (place != NULL) {
            *place = self->items[--self->n];
        }
        if (data != layer->owned) {
            free(data);
        }
        return error_set(LOOM_EINTERNAL, "no memory for the weights of layer %s", layer->name);
    }
    if (data != layer->owned) {
        memcpy(data, layer->weights.data, bytes);
    }
    layer->owned = NULL;
    *place = *layer;
    place->weights.data = place->owned = data;
    return LOOM_OK;
}

const struct shown *shelf_find(const struct shelf *self, const struct shown *layer)
{
    const struct shown *found = NULL;
    for (size_t i = 0; i < self->n; i++) {
        const struct shown *candidate = &self->items[i];
        if (candidate->weights.rows != layer->weights.cols) {
            continue;
        }
        if (layer->input[0] != '\0') {
            if (strcmp(candidate->id, layer->input) == 0) {
                return candidate;
            }
        } else if (found != NULL) {
            return NULL;
        } else {
            found = candidate;
        }
    }
    return found;
}

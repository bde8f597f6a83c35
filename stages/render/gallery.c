/* See gallery.h. */
#include "gallery.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "log.h"
#include "measure.h"

#define WORK_LIVE_MAX 4e9   /* multiplications for prototypes while training: seconds */
#define WORK_FINAL_MAX 4e11 /* at the end: minutes */
#define UNIT_SIDE 480       /* pixels of the picture of one unit */
#define COVERAGE_SIDE 640   /* of the coverage map */
#define TEXT_BYTES 320

void gallery_fini(struct gallery *self)
{
    text_destroy(&self->text);
    free(self->why);
    self->why = NULL;
}

void gallery_note_failure(struct gallery *self, int status)
{
    if (self->failures++ == 0) {
        log_warning("%s", error_message());
    }
    self->failure = status;
    free(self->why);
    self->why = strdup(error_message());
}

/* Draw one map to PICTURES/NAME SUFFIX.png. */
static void draw(struct gallery *self, const char *name, const char *suffix, bool labelled,
                 const struct draw_map *map)
{
    struct image image = {0};
    char *path = NULL, note[DRAW_NOTE_BYTES], title[TEXT_BYTES + DRAW_NOTE_BYTES];
    draw_map_note(note, map);
    snprintf(title, sizeof title, "%s%s%s", map->title, note[0] != '\0' ? "; " : "", note);
    int status = asprintf(&path, "%s/%s%s.png", self->folder, name, suffix) < 0
                     ? error_set(LOOM_EINTERNAL, "no memory for a path")
                     : LOOM_OK;
    if (status == LOOM_OK) {
        status = labelled ? draw_map_labelled(&image, map, self->text) : draw_map_plain(&image, map);
    }
    if (status == LOOM_OK) {
        status = image_write(&image, path, title);
    }
    if (status != LOOM_OK) {
        gallery_note_failure(self, status);
    } else {
        self->drawn++;
    }
    image_fini(&image);
    free(path);
}

/* 200000 as 200,000. */
static void format_count(char text[32], uint64_t count)
{
    char digits[24];
    const int n = snprintf(digits, sizeof digits, "%" PRIu64, count);
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) {
            text[used++] = ',';
        }
        text[used++] = digits[i];
    }
    text[used] = '\0';
}

static void format_after(char text[64], const struct shown *layer)
{
    char count[32];
    format_count(count, layer->frames);
    snprintf(text, 64, "after %s frame%s", count, layer->frames == 1 ? "" : "s");
}

static void draw_weights(struct gallery *self, const struct shown *layer)
{
    const struct stage_weights *weights = &layer->weights;
    char title[TEXT_BYTES], subtitle[TEXT_BYTES], after[64];
    format_after(after, layer);
    snprintf(title, sizeof title, "%s: weights of %zu × %zu units", layer->name, weights->grid_x,
             weights->grid_y);
    snprintf(subtitle, sizeof subtitle, "%zu × %zu inputs each, %s", weights->input_width,
             weights->input_height, after);
    const struct draw_map map = {.data = weights->data,
                                 .grid_x = weights->grid_x,
                                 .grid_y = weights->grid_y,
                                 .tile_width = weights->input_width,
                                 .tile_height = weights->input_height,
                                 .title = title,
                                 .subtitle = subtitle,
                                 .scale = self->scale,
                                 .separators = self->separators};
    draw(self, layer->name, "", true, &map);
    draw(self, layer->name, "-plain", false, &map);
}

static void draw_prototypes(struct gallery *self, const struct shown *layer, const struct shown *sparse)
{
    const size_t M = layer->weights.rows, N = sparse->weights.rows, P = sparse->weights.cols;
    if ((double)M * (double)N * (double)P > (self->final ? WORK_FINAL_MAX : WORK_LIVE_MAX)) {
        log_info("the prototypes of %s are not drawn%s: too large", layer->name,
                 !self->final ? " while it learns" : "");
        return;
    }
    float *prototypes = malloc(M * P * sizeof *prototypes);
    if (prototypes == NULL) {
        gallery_note_failure(self,
                             error_set(LOOM_EINTERNAL, "no memory for the prototypes of %s", layer->name));
        return;
    }
    measure_prototypes(prototypes, layer->weights.data, sparse->weights.data, M, N, P);
    char title[TEXT_BYTES], subtitle[TEXT_BYTES], after[64];
    format_after(after, layer);
    snprintf(title, sizeof title, "%s: prototypes, its %zu × %zu units seen in pixels", layer->name,
             layer->weights.grid_x, layer->weights.grid_y);
    snprintf(subtitle, sizeof subtitle, "weights of %s times weights of %s, %s", layer->name, sparse->name,
             after);
    const struct draw_map map = {.data = prototypes,
                                 .grid_x = layer->weights.grid_x,
                                 .grid_y = layer->weights.grid_y,
                                 .tile_width = sparse->weights.input_width,
                                 .tile_height = sparse->weights.input_height,
                                 .title = title,
                                 .subtitle = subtitle,
                                 .scale = self->scale,
                                 .separators = self->separators};
    draw(self, layer->name, "-prototypes", true, &map);
    free(prototypes);
}

/* Sparse unit `unit`, its number and how well `layer` covers it. */
static void draw_unit(struct gallery *self, const struct shown *layer, const struct shown *sparse,
                      const char *which, size_t unit, double coverage)
{
    char title[TEXT_BYTES], subtitle[TEXT_BYTES], suffix[32], after[64];
    format_after(after, layer);
    snprintf(title, sizeof title, "%s unit %zu, the %s covered by %s", sparse->name, unit, which,
             layer->name);
    snprintf(subtitle, sizeof subtitle, "coverage %.3g; at column %zu, row %zu of the grid; %s", coverage,
             unit % sparse->weights.grid_x, unit / sparse->weights.grid_x, after);
    snprintf(suffix, sizeof suffix, "-%s-covered", which);
    const struct draw_map map = {.data = sparse->weights.data + unit * sparse->weights.cols,
                                 .grid_x = 1,
                                 .grid_y = 1,
                                 .tile_width = sparse->weights.input_width,
                                 .tile_height = sparse->weights.input_height,
                                 .title = title,
                                 .subtitle = subtitle,
                                 .side = UNIT_SIDE};
    draw(self, layer->name, suffix, true, &map);
}

static void draw_coverage(struct gallery *self, const struct shown *layer, const struct shown *sparse)
{
    const size_t N = sparse->weights.rows;
    float *coverage = malloc(N * sizeof *coverage);
    if (coverage == NULL) {
        gallery_note_failure(self,
                             error_set(LOOM_EINTERNAL, "no memory for the coverage of %s", layer->name));
        return;
    }
    measure_coverage(coverage, layer->weights.data, layer->weights.rows, N);
    size_t least = 0, most = 0;
    for (size_t j = 1; j < N; j++) {
        least = coverage[j] < coverage[least] ? j : least;
        most = coverage[j] > coverage[most] ? j : most;
    }
    char title[TEXT_BYTES], subtitle[TEXT_BYTES], after[64];
    format_after(after, layer);
    snprintf(title, sizeof title, "%s: coverage of the %zu × %zu units of %s", layer->name,
             sparse->weights.grid_x, sparse->weights.grid_y, sparse->name);
    snprintf(subtitle, sizeof subtitle, "sum of the weights from each; least %.3g, most %.3g; %s",
             (double)coverage[least], (double)coverage[most], after);
    const struct draw_map map = {.data = coverage,
                                 .grid_x = 1,
                                 .grid_y = 1,
                                 .tile_width = sparse->weights.grid_x,
                                 .tile_height = sparse->weights.grid_y,
                                 .title = title,
                                 .subtitle = subtitle,
                                 .side = COVERAGE_SIDE};
    draw(self, layer->name, "-coverage", true, &map);
    draw_unit(self, layer, sparse, "least", least, (double)coverage[least]);
    draw_unit(self, layer, sparse, "most", most, (double)coverage[most]);
    free(coverage);
}

void gallery_draw(struct gallery *self, const struct shown *layer, const struct shown *sparse)
{
    draw_weights(self, layer);
    if (sparse == NULL) {
        return;
    }
    draw_prototypes(self, layer, sparse);
    draw_coverage(self, layer, sparse);
}

/* See gallery.h. */
#include "gallery.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "measure.h"

#define WORK_LIVE_MAX 4e9   /* multiplications for prototypes while training: seconds */
#define WORK_FINAL_MAX 4e11 /* at the end: minutes */
#define UNIT_SIDE 480       /* pixels of the picture of one unit */
#define COVERAGE_SIDE 640   /* of the coverage map */
#define TEXT_BYTES 480

void gallery_fini(struct gallery *self)
{
    text_destroy(&self->text);
    free(self->why);
    self->why = NULL;
}

void gallery_note_failure(struct gallery *self, int status)
{
    if (self->failures++ == 0 && !self->silent) {
        log_warning("%s", error_message());
    }
    self->failure = status;
    free(self->why);
    self->why = strdup(error_message());
}

int gallery_check(const struct gallery *self, const char *path)
{
    if (self->keep && access(path, F_OK) == 0) {
        return error_set(LOOM_EUSAGE,
                         "'%s' exists and was left as it is; give --force to overwrite it, or another -o",
                         path);
    }
    return LOOM_OK;
}

void gallery_write(struct gallery *self, int status, struct image *image, const char *name,
                   const char *suffix, const char *title)
{
    char *path = NULL;
    if (status == LOOM_OK) {
        const int n = self->path != NULL ? asprintf(&path, "%s", self->path)
                                         : asprintf(&path, "%s/%s%s.png", self->folder, name, suffix);
        status = n < 0 ? error_set(LOOM_EINTERNAL, "no memory for a path") : gallery_check(self, path);
    }
    if (status == LOOM_OK) {
        status = image_write(image, path, title);
    }
    if (status != LOOM_OK) {
        gallery_note_failure(self, status);
    } else {
        self->drawn++;
        if (self->list != NULL) {
            fprintf(self->list, "%s\n", path);
        }
    }
    image_fini(image);
    free(path);
}

/* Draw one map to NAME SUFFIX.png. */
static void draw(struct gallery *self, const char *name, const char *suffix, bool labelled,
                 struct draw_map *map)
{
    struct image image = {0};
    char note[DRAW_NOTE_BYTES], title[2 * TEXT_BYTES + DRAW_NOTE_BYTES];
    map->colours = colours_choose(self->colours, draw_has_negative(map->data, draw_count_numbers(map)));
    draw_map_note(note, map);
    snprintf(title, sizeof title, "%s; %s%s%s", map->title, map->subtitle, note[0] != '\0' ? "; " : "", note);
    const int status =
        labelled && !self->plain ? draw_map_labelled(&image, map, self->text) : draw_map_plain(&image, map);
    gallery_write(self, status, &image, name, suffix, title);
}

static bool wants(const struct gallery *self, enum gallery_picture picture)
{
    return self->only == 0 || (self->only & picture) != 0;
}

void gallery_count(char text[32], uint64_t count)
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

void gallery_moment(char text[GALLERY_MOMENT_BYTES], const char *run, uint64_t pass, uint64_t frames)
{
    char count[32], where[96] = "", when[32] = "";
    gallery_count(count, frames);
    if (run != NULL) {
        snprintf(where, sizeof where, "run %.80s, ", run);
    }
    if (pass > 0) {
        snprintf(when, sizeof when, "pass %" PRIu64 ", ", pass);
    }
    snprintf(text, GALLERY_MOMENT_BYTES, "%s%sframe %s", where, when, count);
}

void gallery_moment_of(char text[GALLERY_MOMENT_BYTES], const char *run, const struct shown *layer)
{
    char after[48] = "";
    gallery_moment(text, run, layer->checkpoint ? 0 : layer->pass, layer->frames);
    if (layer->checkpoint && layer->pass > 0) {
        snprintf(after, sizeof after, " after pass %" PRIu64, layer->pass);
    }
    const size_t used = strlen(text);
    snprintf(text + used, GALLERY_MOMENT_BYTES - used, "%s%s", layer->checkpoint ? ", a checkpoint" : "",
             after);
}

/* What a map of single units says below its title. */
static void add_scale(const struct gallery *self, char *subtitle)
{
    const size_t used = strlen(subtitle);
    if (self->per_unit) {
        snprintf(subtitle + used, TEXT_BYTES - used, "; each unit up to its own maximum");
    }
}

static void draw_weights(struct gallery *self, const struct shown *layer)
{
    const struct stage_weights *weights = &layer->weights;
    char title[TEXT_BYTES], subtitle[TEXT_BYTES], after[GALLERY_MOMENT_BYTES];
    gallery_moment_of(after, self->run, layer);
    snprintf(title, sizeof title, "%s: weights of %zu × %zu units", layer->name, weights->grid_x,
             weights->grid_y);
    snprintf(subtitle, sizeof subtitle, "%zu × %zu inputs each; %s", weights->input_width,
             weights->input_height, after);
    add_scale(self, subtitle);
    struct draw_map map = {.data = weights->data,
                           .grid_x = weights->grid_x,
                           .grid_y = weights->grid_y,
                           .tile_width = weights->input_width,
                           .tile_height = weights->input_height,
                           .title = title,
                           .subtitle = subtitle,
                           .scale = self->scale,
                           .separators = self->separators,
                           .per_unit = self->per_unit};
    if (wants(self, GALLERY_WEIGHTS)) {
        draw(self, layer->name, "", true, &map);
    }
    if (wants(self, GALLERY_PLAIN)) {
        draw(self, layer->name, "-plain", false, &map);
    }
}

/* Prototypes that would take too long: a failure if they alone are wanted. */
static void leave_out_prototypes(struct gallery *self, const struct shown *layer, const struct shown *sparse)
{
    if (self->only == GALLERY_PROTOTYPES) {
        gallery_note_failure(
            self,
            error_set(
                LOOM_EDATA,
                "the prototypes of %s are too large to be drawn: %zu units, each a sum over the %zu of %s "
                "with %zu weights each",
                layer->name, layer->weights.rows, sparse->weights.rows, sparse->name, sparse->weights.cols));
    } else {
        log_info("the prototypes of %s are not drawn%s: too large", layer->name,
                 !self->final ? " while it learns" : "");
    }
}

static void draw_prototypes(struct gallery *self, const struct shown *layer, const struct shown *sparse)
{
    const size_t M = layer->weights.rows, N = sparse->weights.rows, P = sparse->weights.cols;
    if ((double)M * (double)N * (double)P > (self->final ? WORK_FINAL_MAX : WORK_LIVE_MAX)) {
        leave_out_prototypes(self, layer, sparse);
        return;
    }
    float *prototypes = malloc(M * P * sizeof *prototypes);
    if (prototypes == NULL) {
        gallery_note_failure(self,
                             error_set(LOOM_EINTERNAL, "no memory for the prototypes of %s", layer->name));
        return;
    }
    measure_prototypes(prototypes, layer->weights.data, sparse->weights.data, M, N, P);
    char title[TEXT_BYTES], subtitle[TEXT_BYTES], after[GALLERY_MOMENT_BYTES], then[48] = "";
    gallery_moment_of(after, self->run, layer);
    if (sparse->checkpoint && sparse->frames != layer->frames) {
        char count[32];
        gallery_count(count, sparse->frames);
        snprintf(then, sizeof then, " at frame %s", count);
    }
    snprintf(title, sizeof title, "%s: prototypes, its %zu × %zu units seen in pixels", layer->name,
             layer->weights.grid_x, layer->weights.grid_y);
    snprintf(subtitle, sizeof subtitle, "weights of %s times weights of %s%s; %s", layer->name, sparse->name,
             then, after);
    add_scale(self, subtitle);
    struct draw_map map = {.data = prototypes,
                           .grid_x = layer->weights.grid_x,
                           .grid_y = layer->weights.grid_y,
                           .tile_width = sparse->weights.input_width,
                           .tile_height = sparse->weights.input_height,
                           .title = title,
                           .subtitle = subtitle,
                           .scale = self->scale,
                           .separators = self->separators,
                           .per_unit = self->per_unit};
    draw(self, layer->name, "-prototypes", true, &map);
    free(prototypes);
}

/* One unit of a layer; `layer` names the picture, `suffix` too. */
static void draw_one(struct gallery *self, const struct shown *of, size_t unit, const char *name,
                     const char *suffix, const char *title, const char *subtitle)
{
    struct draw_map map = {.data = of->weights.data + unit * of->weights.cols,
                           .grid_x = 1,
                           .grid_y = 1,
                           .tile_width = of->weights.input_width,
                           .tile_height = of->weights.input_height,
                           .title = title,
                           .subtitle = subtitle,
                           .scale = self->scale_all ? self->scale : 0,
                           .side = UNIT_SIDE};
    draw(self, name, suffix, true, &map);
}

/* Sparse unit `unit`, its number and how well `layer` covers it. */
static void draw_covered(struct gallery *self, const struct shown *layer, const struct shown *sparse,
                         const char *which, size_t unit, double coverage)
{
    char title[TEXT_BYTES], subtitle[TEXT_BYTES], suffix[32], after[GALLERY_MOMENT_BYTES];
    gallery_moment_of(after, self->run, layer);
    snprintf(title, sizeof title, "%s unit %zu, the %s covered by %s", sparse->name, unit, which,
             layer->name);
    snprintf(subtitle, sizeof subtitle, "coverage %.3g; column %zu, row %zu of the grid; %s", coverage,
             unit % sparse->weights.grid_x, unit / sparse->weights.grid_x, after);
    snprintf(suffix, sizeof suffix, "-%s-covered", which);
    draw_one(self, sparse, unit, layer->name, suffix, title, subtitle);
}

int gallery_draw_unit(struct gallery *self, const struct shown *layer, size_t unit)
{
    char title[TEXT_BYTES], subtitle[TEXT_BYTES], suffix[32], after[GALLERY_MOMENT_BYTES];
    if (unit >= layer->weights.rows) {
        return error_set(LOOM_EUSAGE, "layer %s has units 0 to %zu, but no unit %zu", layer->name,
                         layer->weights.rows - 1, unit);
    }
    gallery_moment_of(after, self->run, layer);
    snprintf(title, sizeof title, "%s unit %zu", layer->name, unit);
    snprintf(subtitle, sizeof subtitle, "column %zu, row %zu of the grid; %s", unit % layer->weights.grid_x,
             unit / layer->weights.grid_x, after);
    snprintf(suffix, sizeof suffix, "-unit-%zu", unit);
    draw_one(self, layer, unit, layer->name, suffix, title, subtitle);
    return LOOM_OK;
}

/* The units with the least and the most coverage among those that have a finite one; 0 where none has. */
static void find_ends(const float *coverage, size_t n, size_t *least, size_t *most)
{
    bool found = false;
    *least = *most = 0;
    for (size_t j = 0; j < n; j++) {
        if (isfinite(coverage[j])) {
            *least = !found || coverage[j] < coverage[*least] ? j : *least;
            *most = !found || coverage[j] > coverage[*most] ? j : *most;
            found = true;
        }
    }
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
    size_t least, most;
    find_ends(coverage, N, &least, &most);
    char title[TEXT_BYTES], subtitle[TEXT_BYTES], after[GALLERY_MOMENT_BYTES];
    gallery_moment_of(after, self->run, layer);
    snprintf(title, sizeof title, "%s: coverage of the %zu × %zu units of %s", layer->name,
             sparse->weights.grid_x, sparse->weights.grid_y, sparse->name);
    snprintf(subtitle, sizeof subtitle, "sum of the weights from each; least %.3g, most %.3g; %s",
             (double)coverage[least], (double)coverage[most], after);
    struct draw_map map = {.data = coverage,
                           .grid_x = 1,
                           .grid_y = 1,
                           .tile_width = sparse->weights.grid_x,
                           .tile_height = sparse->weights.grid_y,
                           .title = title,
                           .subtitle = subtitle,
                           .scale = self->scale_all ? self->scale : 0,
                           .side = COVERAGE_SIDE};
    if (wants(self, GALLERY_COVERAGE)) {
        draw(self, layer->name, "-coverage", true, &map);
    }
    if (wants(self, GALLERY_LEAST)) {
        draw_covered(self, layer, sparse, "least", least, (double)coverage[least]);
    }
    if (wants(self, GALLERY_MOST)) {
        draw_covered(self, layer, sparse, "most", most, (double)coverage[most]);
    }
    free(coverage);
}

void gallery_draw(struct gallery *self, const struct shown *layer, const struct shown *sparse)
{
    if (wants(self, GALLERY_WEIGHTS) || wants(self, GALLERY_PLAIN)) {
        draw_weights(self, layer);
    }
    if (sparse != NULL && wants(self, GALLERY_PROTOTYPES)) {
        draw_prototypes(self, layer, sparse);
    }
    if (sparse != NULL &&
        (wants(self, GALLERY_COVERAGE) || wants(self, GALLERY_LEAST) || wants(self, GALLERY_MOST))) {
        draw_coverage(self, layer, sparse);
    }
}

/* See compare.h. */
#include "compare.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "draw.h"
#include "log.h"
#include "measure.h"
#include "run_layers.h"

#define TEXT_BYTES 320
#define HOMOGENEITY "; homogeneity: mean cosine of pairs of units"

/* A layer of one run, as it will be drawn. */
struct place {
    char *run;                    /* name of its folder; owned */
    char name[STREAM_NAME_BYTES]; /* of the layer */
    bool invariant;
    float *data;         /* owned */
    struct draw_map map; /* of data */
    size_t inputs;       /* weights of each unit */
    double homogeneity;
    char moment[GALLERY_MOMENT_BYTES]; /* its pass and frame */
    char note[TEXT_BYTES];             /* written below its title, lines */
};

struct places {
    struct place *items;
    size_t n;
    char **runs; /* names of their folders; owned */
    size_t n_runs;
};

static void places_fini(struct places *self)
{
    for (size_t i = 0; i < self->n; i++) {
        free(self->items[i].run);
        free(self->items[i].data);
    }
    for (size_t i = 0; i < self->n_runs; i++) {
        free(self->runs[i]);
    }
    free(self->items);
    free(self->runs);
}

static int no_memory(void)
{
    return error_set(LOOM_EINTERNAL, "no memory for the layers to be compared");
}

/* What is drawn of a layer: the prototypes of an invariant one (sparse: the layer below), or its weights. */
static int take_data(struct place *place, const struct shown *layer, const struct shown *sparse)
{
    const struct stage_weights *weights = &layer->weights,
                               *shape = sparse != NULL ? &sparse->weights : weights;
    const size_t n = weights->rows * shape->cols;
    place->data = malloc(n * sizeof *place->data);
    if (place->data == NULL) {
        return no_memory();
    }
    if (sparse != NULL) {
        measure_prototypes(place->data, weights->data, shape->data, weights->rows, weights->cols,
                           shape->cols);
    } else {
        memcpy(place->data, weights->data, n * sizeof *place->data);
    }
    place->map = (struct draw_map){.data = place->data,
                                   .grid_x = weights->grid_x,
                                   .grid_y = weights->grid_y,
                                   .tile_width = shape->input_width,
                                   .tile_height = shape->input_height};
    return LOOM_OK;
}

static int add_place(struct places *self, const char *run, const struct shown *layer,
                     const struct shown *sparse)
{
    struct place place = {.invariant = sparse != NULL, .inputs = layer->weights.cols};
    struct place *grown = realloc(self->items, (self->n + 1) * sizeof *grown);
    if (grown == NULL) {
        return no_memory();
    }
    self->items = grown;
    snprintf(place.name, sizeof place.name, "%s", layer->name);
    gallery_moment_of(place.moment, NULL, layer);
    place.homogeneity = measure_homogeneity(layer->weights.data, layer->weights.rows, layer->weights.cols);
    place.run = strdup(run);
    int status = place.run == NULL ? no_memory() : take_data(&place, layer, sparse);
    if (status != LOOM_OK) {
        free(place.run);
        return status;
    }
    self->items[self->n++] = place;
    return LOOM_OK;
}

/* Add the layers of one run. Files that cannot be read are logged and passed over. */
static int add_run(struct places *self, const char *folder, const char *run)
{
    struct run_layers layers = {0};
    char *path = NULL;
    int status =
        asprintf(&path, "%s/%s", folder, run) < 0 ? no_memory() : run_layers_read(&layers, path, true);
    const struct shelf sparse = run_layers_shelf(&layers);
    for (size_t i = 0; i < layers.n && status == LOOM_OK; i++) {
        const struct shown *below = shelf_find(&sparse, &layers.items[i]);
        if (i < layers.n_sparse || below != NULL) {
            status = add_place(self, run, &layers.items[i], i < layers.n_sparse ? NULL : below);
        }
    }
    run_layers_fini(&layers);
    free(path);
    return status;
}

static bool has_file(const char *folder, const char *run, const char *name)
{
    char *file = NULL;
    struct stat found;
    const bool has = asprintf(&file, "%s/%s/%s", folder, run, name) >= 0 && stat(file, &found) == 0;
    free(file);
    return has;
}

/* Add a run, or its name to those left out: a sweep, or one without layers unless it is a member of a sweep,
 * whose place stays empty so that the columns keep their meaning. */
static int add_run_or_skip(struct places *self, const char *folder, const char *run, FILE *skipped)
{
    const size_t before = self->n;
    const bool sweep = has_file(folder, run, "over.yaml");
    const int status = sweep ? LOOM_OK : add_run(self, folder, run);
    if (status != LOOM_OK) {
        return status;
    }
    if (sweep || (self->n == before && !has_file(folder, ".", "over.yaml"))) {
        fprintf(skipped, "%s%s (%s)", ftell(skipped) > 0 ? ", " : "", run, sweep ? "a sweep" : "no layers");
        return LOOM_OK;
    }
    char **runs = realloc(self->runs, (self->n_runs + 1) * sizeof *runs);
    if (runs == NULL) {
        return no_memory();
    }
    self->runs = runs;
    self->runs[self->n_runs] = strdup(run);
    return self->runs[self->n_runs++] == NULL ? no_memory() : LOOM_OK;
}

/* Add all runs of a folder; those left out are named in one line. */
static int add_runs(struct places *self, const char *folder)
{
    struct dirent **entries = NULL;
    const int n = scandir(folder, &entries, NULL, versionsort);
    if (n < 0) {
        return error_set(LOOM_EIO, "cannot read the folder of runs '%s': %s", folder, strerror(errno));
    }
    char *names = NULL;
    size_t length = 0;
    FILE *skipped = open_memstream(&names, &length);
    int status = skipped == NULL ? no_memory() : LOOM_OK;
    for (int i = 0; i < n && status == LOOM_OK; i++) {
        const char *run = entries[i]->d_name;
        if (run[0] != '.' && has_file(folder, run, "pipeline.yaml")) {
            status = add_run_or_skip(self, folder, run, skipped);
        }
    }
    if (skipped != NULL && fclose(skipped) == 0 && length > 0) {
        log_warning("left out of the comparison: %s", names);
    }
    free(names);
    for (int i = 0; i < n; i++) {
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* strength=0.3,seed=2 as it is read: strength = 0.3, seed = 2. */
static void write_title(char title[TEXT_BYTES], const char *run)
{
    size_t used = 0;
    for (; *run != '\0' && used + 4 < TEXT_BYTES; run++) {
        const char *as = *run == ',' ? ", " : *run == '=' ? " = " : (const char[]){*run, '\0'};
        used += (size_t)snprintf(title + used, TEXT_BYTES - used, "%s", as);
    }
}

static double largest(const struct place *place)
{
    const size_t n = draw_count_numbers(&place->map);
    double max = 0;
    for (size_t i = 0; i < n; i++) {
        max = fmax(max, (double)place->data[i]);
    }
    return max;
}

/* The places of the layers of this name. */
static bool is_of(const struct place *place, const struct place *of)
{
    return strcmp(place->name, of->name) == 0;
}

/* Whether the layers of this name have other numbers of weights a unit: then their sizes cannot be compared. */
static bool inputs_differ(const struct places *places, const struct place *of)
{
    for (size_t i = 0; i < places->n; i++) {
        if (is_of(&places->items[i], of) && places->items[i].inputs != of->inputs) {
            return true;
        }
    }
    return false;
}

/* Whether some layer of this name would have less than its share of the colours on one scale for all. */
static bool ranges_differ(const struct places *places, const struct place *of)
{
    double min = INFINITY, max = -INFINITY, narrowest = INFINITY;
    for (size_t i = 0; i < places->n; i++) {
        if (is_of(&places->items[i], of)) {
            const struct draw_scale own = draw_scale_of(&places->items[i].map, 1);
            if (own.max > own.min) { /* else there is nothing to be seen anyway */
                min = fmin(min, own.min);
                max = fmax(max, own.max);
                narrowest = fmin(narrowest, own.max - own.min);
            }
        }
    }
    return max - min > COMPARE_RATIO * narrowest;
}

static void write_place_note(struct place *place, bool own_scale)
{
    const int n = snprintf(place->note, sizeof place->note, "%s\nhomogeneity %.3g, largest %.3g",
                           place->moment, place->homogeneity, largest(place));
    if (own_scale) {
        const struct draw_scale scale = draw_scale_of(&place->map, 1);
        snprintf(place->note + n, sizeof place->note - (size_t)n, "\ncolours from %s%.3g to %s%.3g",
                 scale.below ? "≤ " : "", draw_round(scale.min, scale.max - scale.min),
                 scale.above ? "≥ " : "", scale.max);
    }
}

/* What a run shows on the sheet of the layer `of`; nothing where it has no such layer. */
static struct draw_map map_of(struct places *places, const struct place *of, const char *run, bool own_scale)
{
    for (size_t i = 0; i < places->n; i++) {
        struct place *place = &places->items[i];
        if (is_of(place, of) && strcmp(place->run, run) == 0) {
            write_place_note(place, own_scale);
            struct draw_map map = place->map;
            map.subtitle = place->note;
            return map;
        }
    }
    return (struct draw_map){.subtitle = "no such layer"};
}

static int write_sheet(struct gallery *self, const char *name, const struct draw_sheet *sheet)
{
    struct image image = {0};
    const size_t failures = self->failures;
    char title[2 * TEXT_BYTES];
    snprintf(title, sizeof title, "%s; %s", sheet->title, sheet->subtitle);
    gallery_write(self, draw_sheet(&image, sheet, self->text), &image, name, "-compared", title);
    return self->failures > failures ? self->failure : LOOM_OK;
}

/* What is said of the scale below the sheet's title. */
static const char *explain(bool own_scales, bool inputs, bool ranges)
{
#define EACH "colours from the 0.5% to the 99.5% quantile of each"
    return !own_scales ? "one scale for all, from the 0.5% to the 99.5% quantile of all numbers" HOMOGENEITY
           : inputs    ? "numbers of weights a unit differ; " EACH HOMOGENEITY
           : ranges    ? "ranges are too unlike for one scale; " EACH HOMOGENEITY
                       : EACH HOMOGENEITY;
#undef EACH
}

/* The sheet of a layer: a place for every run. */
static int draw_layer(struct gallery *self, struct places *places, const struct place *of, size_t columns,
                      const char *folder, enum compare_scale scale)
{
    const size_t n = places->n_runs;
    const bool inputs = inputs_differ(places, of), ranges = ranges_differ(places, of);
    const bool own_scales = scale == COMPARE_OWN || (scale == COMPARE_AUTO && (inputs || ranges));
    bool negative = false;
    struct draw_map *maps = calloc(n, sizeof *maps);
    char(*titles)[TEXT_BYTES] = calloc(n, sizeof *titles);
    char title[TEXT_BYTES];
    int status = LOOM_OK;
    if (maps == NULL || titles == NULL) {
        status = no_memory();
        goto done;
    }
    for (size_t r = 0; r < n; r++) {
        write_title(titles[r], places->runs[r]);
        maps[r] = map_of(places, of, places->runs[r], own_scales);
        maps[r].title = titles[r];
        negative = negative || draw_has_negative(maps[r].data, draw_count_numbers(&maps[r]));
    }
    const char *slash = strrchr(folder, '/'), *name = slash != NULL && slash[1] != '\0' ? slash + 1 : folder;
    snprintf(title, sizeof title, "%s: %s of %s%s%s", name, of->invariant ? "prototypes" : "weights",
             of->name, of->invariant ? ", its units seen in pixels" : "",
             own_scales ? ", each on a scale of its own" : "");
    const struct draw_sheet sheet = {.maps = maps,
                                     .n = n,
                                     .columns = columns > 0 ? columns : (size_t)ceil(sqrt((double)n)),
                                     .title = title,
                                     .colours = colours_choose(self->colours, negative),
                                     .own_scales = own_scales,
                                     .subtitle = explain(own_scales, inputs, ranges)};
    status = write_sheet(self, of->name, &sheet);
done:
    free(titles);
    free(maps);
    return status;
}

/* Whether sheet number i is to be drawn: the first place of a layer of its name. */
static bool is_first(const struct places *places, size_t i, bool invariant, const char *layer)
{
    const struct place *place = &places->items[i];
    bool first = place->invariant == invariant && (layer == NULL || strcmp(place->name, layer) == 0);
    for (size_t j = 0; j < i; j++) {
        first = first &&
                (places->items[j].invariant != invariant || strcmp(places->items[j].name, place->name) != 0);
    }
    return first;
}

int compare_draw(struct gallery *self, const char *folder, size_t columns, const char *layer,
                 enum compare_scale scale)
{
    struct places places = {0};
    bool invariant = false;
    size_t sheets = 0;
    int status = add_runs(&places, folder);
    for (size_t i = 0; i < places.n; i++) {
        const bool wanted = layer == NULL || strcmp(places.items[i].name, layer) == 0;
        invariant = invariant || (wanted && places.items[i].invariant);
    }
    for (size_t i = 0; i < places.n; i++) {
        sheets += is_first(&places, i, invariant, layer);
    }
    if (status == LOOM_OK && sheets > 1 && self->path != NULL) {
        status =
            error_set(LOOM_EUSAGE, "the runs in '%s' have several layers; say which: --layer NAME", folder);
    }
    for (size_t i = 0; i < places.n && status == LOOM_OK; i++) {
        if (is_first(&places, i, invariant, layer)) {
            status = draw_layer(self, &places, &places.items[i], columns, folder, scale);
        }
    }
    if (status == LOOM_OK && sheets == 0) {
        status = error_set(LOOM_EDATA, "no folder in '%s' is that of a run with layers (RUN/layers/%s.h5)",
                           folder, layer == NULL ? "NAME" : layer);
    }
    places_fini(&places);
    return status;
}

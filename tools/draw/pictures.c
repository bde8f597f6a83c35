/* The still pictures of `loom draw`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "layers.h"
#include "recordings.h"
#include "stages/render/curves.h"
#include "stages/render/trail.h"

/* Why a picture was not made, if it was not. */
static int made(const struct draw *self)
{
    return self->gallery.failures == 0
               ? LOOM_OK
               : error_set((enum loom_status)self->gallery.failure, "%s",
                           self->gallery.why != NULL ? self->gallery.why : "out of memory");
}

static int draw_layer(struct draw *self, enum gallery_picture picture)
{
    const bool invariant = picture != GALLERY_WEIGHTS;
    struct layers layers = {0};
    const struct shown *layer = NULL;
    int status = layers_read(&layers, self->paths, self->n);
    if (status == LOOM_OK) {
        status = layers_choose(&layers, self->layer, invariant, &layer);
    }
    const struct shown *sparse = status == LOOM_OK && invariant ? shelf_find(&layers.sparse, layer) : NULL;
    if (status == LOOM_OK && invariant && sparse == NULL) {
        status =
            error_set(LOOM_EDATA, "the sparse layer that '%s' was trained on is not here: give its file, too",
                      layer->name);
    }
    if (status == LOOM_OK) {
        self->gallery.only = picture;
        self->gallery.run = layers.run[0] != '\0' ? layers.run : NULL;
        gallery_draw(&self->gallery, layer, sparse);
        status = made(self);
    }
    layers_fini(&layers);
    return status;
}

int draw_weights(struct draw *self)
{
    return draw_layer(self, GALLERY_WEIGHTS);
}

int draw_prototypes(struct draw *self)
{
    return draw_layer(self, GALLERY_PROTOTYPES);
}

int draw_coverage(struct draw *self)
{
    return draw_layer(self, GALLERY_COVERAGE);
}

int draw_unit(struct draw *self)
{
    struct layers layers = {0};
    const struct shown *layer = NULL;
    if (strcmp(self->unit, "least") == 0 || strcmp(self->unit, "most") == 0) {
        return draw_layer(self, self->unit[0] == 'l' ? GALLERY_LEAST : GALLERY_MOST);
    }
    int status = layers_read(&layers, self->paths, self->n);
    if (status == LOOM_OK) {
        status = layers_choose(&layers, self->layer, false, &layer);
    }
    if (status == LOOM_OK) {
        self->gallery.run = layers.run[0] != '\0' ? layers.run : NULL;
        status = gallery_draw_unit(&self->gallery, layer, (size_t)strtoull(self->unit, NULL, 10));
    }
    if (status == LOOM_OK) {
        status = made(self);
    }
    layers_fini(&layers);
    return status;
}

int draw_sheets(struct draw *self)
{
    if (self->n != 1) {
        return error_set(LOOM_EUSAGE, "a sheet is of one folder of runs, such as that of a sweep");
    }
    const int status = compare_draw(&self->gallery, self->paths[0], self->columns, self->layer, self->one);
    return status == LOOM_OK ? made(self) : status;
}

int draw_curves(struct draw *self)
{
    struct curves curves = {0};
    struct image image = {0};
    char **runs = NULL;
    int status = recordings_names(&runs, self->paths, self->n);
    for (size_t i = 0; status == LOOM_OK && i < self->n; i++) {
        status = curves_read(&curves, self->paths[i], runs[i]);
    }
    if (status == LOOM_OK) {
        status = curves_draw(&image, &curves, self->metrics, self->scale, self->gallery.text);
    }
    if (status == LOOM_OK) {
        gallery_write(&self->gallery, LOOM_OK, &image, "metrics", "", "Metrics");
        status = made(self);
    }
    curves_fini(&curves);
    recordings_names_free(runs, self->n);
    return status;
}

/* near: the picture of the moving window. */
static int draw_trail(struct draw *self, bool near)
{
    const uint64_t from = self->chosen ? self->from : 0;
    const uint64_t to = !self->chosen ? TRAIL_END : self->to == UINT64_MAX ? TRAIL_LAST : self->to;
    struct trail trail = {0};
    struct image image = {0};
    bool own = true;
    char *path = NULL, *shared = NULL, run[STREAM_NAME_BYTES] = "";
    int status = self->n != 1 ? error_set(LOOM_EUSAGE, "one recording, or one run's folder, at a time")
                              : recordings_find(&path, &shared, run, self->paths[0]);
    if (status == LOOM_OK && shared != NULL) { /* a member of a sweep: its frames may be those of all */
        status = trail_is_told(path, &own);
    }
    if (status == LOOM_OK) {
        status = trail_read(&trail, own ? path : shared, from, to);
    }
    if (status == LOOM_OK) {
        status = trail_draw(&image, &trail, near && !self->chosen ? TRAIL_WINDOW_FRAMES : 0, near,
                            run[0] != '\0' ? run : NULL, self->gallery.text);
    }
    if (status == LOOM_OK) {
        gallery_write(&self->gallery, LOOM_OK, &image, trail.name, near ? "-moving" : "-tapestry",
                      "The way of the window over the tapestry");
        status = made(self);
    }
    trail_fini(&trail);
    free(shared);
    free(path);
    return status;
}

int draw_tapestry(struct draw *self)
{
    return draw_trail(self, false);
}

int draw_window(struct draw *self)
{
    return draw_trail(self, true);
}

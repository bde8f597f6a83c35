/* render: pictures of the layers, while they learn and when they are done.
 *
 * It only looks at taps, so it changes nothing and holds up nobody: stop it, and training goes on; what it
 * misses is missing from the pictures only until the next message.
 *
 * Whenever a layer shows its weights it draws
 *     NAME.png                 the weight map, in grid order, with a colour bar
 *     NAME-plain.png           the map alone
 * and for an invariant layer, if the weights of the sparse layer below it are known,
 *     NAME-prototypes.png      each invariant unit seen in pixels: its weights times the sparse ones
 *     NAME-coverage.png        for each sparse unit, the sum of its weights to all invariant units
 *     NAME-least-covered.png   the sparse unit at the low end of that,
 *     NAME-most-covered.png    and at the high end
 *
 * At the end everything is drawn once more from the layer files themselves, so the pictures that stay are
 * true even if messages were lost, or the renderer was killed and started again; and of what lies beside them in
 * the run's folder (run_pictures.h)
 *     metrics.png              every metric over the passes
 *     NAME-tapestry.png        where the window NAME went in the first pass recorded
 *     NAME-moving.png          and in its first 500 frames, from near
 *
 * Given a folder of runs to compare (--compare), such as that of a sweep, it draws
 *     NAME-compared.png        that layer in every run, side by side, on one scale of colours unless ranges are very unlike
 *
 * A picture that cannot be made is logged and never an error while others train; at the end it is one. Layer
 * files that are bad are passed over, unless a folder was asked for (--layers) and nothing in it can be drawn.
 *
 * Limits: pictures of about 4000 pixels a side (draw.h); prototypes of very large layers are left out
 * (gallery.c). While training, a tap does not say what an invariant layer was trained on: its sparse layer is
 * the only one with as many units as it has inputs; if there are two such, its pictures wait for the end. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "durable_file.h"
#include "gallery.h"
#include "hdf5_file.h"
#include "live.h"
#include "log.h"
#include "run_pictures.h"
#include "shown.h"
#include "stage.h"

struct render {
    char *layers;     /* folder of layer files; "": the run's */
    char *pictures;   /* folder to draw into; "": the run's */
    int64_t scale;    /* pixels a weight; 0: so that a map has about DRAW_SIDE_USUAL pixels */
    bool separators;  /* lines between units */
    int colours;      /* index in colours_names */
    bool per_unit;    /* colours go up to each unit's own largest number */
    char *compare;    /* folder of runs to compare; "": none */
    int64_t columns;  /* of that sheet; 0: about a square */
    char *live;       /* where the live page is served, ADDRESS:PORT; "": it is not */
    char *live_token; /* without which it is not; "": none needed on the loopback */

    struct live *page;
    struct gallery gallery;
    struct shelf sparse;         /* the sparse layers known */
    char run[STREAM_NAME_BYTES]; /* the name of the run, "": not known */
    bool asked;                  /* `layers` was given, so its files are expected to be there */
};

#define FIELD(field) offsetof(struct render, field)

static const struct param params[] = {
    {.name = "layers",
     .type = PARAM_PATH,
     .offset = FIELD(layers),
     .fallback = "",
     .unit = "",
     .help = "folder of the layer files that are drawn at the end; empty: beside taps, layers in the run's "
             "folder",
     .flags = PARAM_LOCAL},
    {.name = "pictures",
     .type = PARAM_PATH,
     .offset = FIELD(pictures),
     .fallback = "",
     .unit = "",
     .help = "folder to draw into; empty: pictures in the run's folder",
     .flags = PARAM_LOCAL},
    {.name = "scale",
     .type = PARAM_INTEGER,
     .offset = FIELD(scale),
     .fallback = "0",
     .min = 0,
     .max = 100,
     .unit = "pixels",
     .help = "side of the square that shows one weight; 0: maps of about 1000 pixels",
     .flags = PARAM_LOCAL},
    {.name = "separators",
     .type = PARAM_BOOLEAN,
     .offset = FIELD(separators),
     .fallback = "false",
     .unit = "",
     .help = "draw thin lines between units",
     .flags = PARAM_LOCAL},
    {.name = "colours",
     .type = PARAM_CHOICE,
     .offset = FIELD(colours),
     .fallback = "auto",
     .unit = "",
     .help = "colour map: grey as in the notebooks, viridis, cividis, or redblue with 0 in the middle; auto: "
             "grey, and redblue where there are numbers below 0",
     .choices = colours_names,
     .flags = PARAM_LOCAL},
    {.name = "per_unit",
     .type = PARAM_BOOLEAN,
     .offset = FIELD(per_unit),
     .fallback = "false",
     .unit = "",
     .help = "weights and prototypes: each unit's colours go up to its own largest number, not all units'",
     .flags = PARAM_LOCAL},
    {.name = "compare",
     .type = PARAM_PATH,
     .offset = FIELD(compare),
     .fallback = "",
     .unit = "",
     .help = "folder of runs, e.g. of a sweep, whose layers are drawn side by side",
     .flags = PARAM_LOCAL},
    {.name = "columns",
     .type = PARAM_INTEGER,
     .offset = FIELD(columns),
     .fallback = "0",
     .min = 0,
     .max = 1000,
     .unit = "runs",
     .help = "how many stand in a row when they are compared; 0: about a square",
     .flags = PARAM_LOCAL},
    {.name = "live",
     .type = PARAM_ADDRESS,
     .offset = FIELD(live),
     .fallback = "",
     .unit = "",
     .help =
         "where a page for a browser shows the run while it goes on: ADDRESS:PORT, such as 127.0.0.1:8090; "
         "empty: nowhere",
     .flags = PARAM_LOCAL},
    {.name = "live_token",
     .type = PARAM_TEXT,
     .offset = FIELD(live_token),
     .fallback = "",
     .unit = "",
     .help = "token that the page asks for; empty: none on the loopback, a random one elsewhere",
     .flags = PARAM_LOCAL},
    {0},
};

/* Put a default in an empty path: RUN/NAME. */
static int settle_path(char **path, const char *run, const char *name)
{
    char *settled = NULL;
    if ((*path)[0] != '\0') {
        return LOOM_OK;
    }
    if (asprintf(&settled, "%s/%s", run, name) < 0) {
        return error_set(LOOM_EINTERNAL, "no memory for a path");
    }
    free(*path);
    *path = settled;
    return LOOM_OK;
}

/* Make the folder for pictures and those above it. */
static int make_folder(const char *path)
{
    char *inside = NULL;
    if (asprintf(&inside, "%s/", path) < 0) {
        return error_set(LOOM_EINTERNAL, "no memory for a path");
    }
    int status = durable_file_make_folders(inside);
    free(inside);
    return status < 0 ? error_prefix(status, "pictures") : LOOM_OK;
}

/* The name of the run that is drawn: that in whose folder the layers lie. */
static void find_run(struct render *self, const struct stage_context *context)
{
    shown_run(self->run, sizeof self->run, self->layers);
    if (self->run[0] == '\0' && !self->asked) { /* there are no layers yet */
        const char *slash = strrchr(context->run, '/');
        snprintf(self->run, sizeof self->run, "%s", slash != NULL ? slash + 1 : context->run);
    }
    self->gallery.run = self->run[0] != '\0' ? self->run : NULL;
}

static int render_open(const struct stage_context *context, void *state)
{
    struct render *self = state;
    self->asked = self->layers[0] != '\0';
    if (!self->asked && self->compare[0] == '\0' && context->n_taps == 0) {
        return error_set(LOOM_EUSAGE,
                         "there is nothing to draw: give --tap ENDPOINT to see a layer that learns, "
                         "--layers FOLDER for layer files, or --compare FOLDER for runs");
    }
    if (self->live[0] != '\0' && context->n_taps == 0) {
        return error_set(LOOM_EUSAGE,
                         "the live page shows taps, and none is given: add --tap ENDPOINT, or see a "
                         "finished run with: loom view RUN");
    }
    int status = settle_path(&self->layers, context->run, "layers");
    if (status == LOOM_OK) {
        status = settle_path(&self->pictures, context->run, "pictures");
    }
    if (status == LOOM_OK) {
        status = make_folder(self->pictures);
    }
    if (status != LOOM_OK) {
        return status;
    }
    self->gallery.folder = self->pictures;
    self->gallery.scale = (size_t)self->scale;
    self->gallery.separators = self->separators;
    self->gallery.colours = (size_t)self->colours;
    self->gallery.per_unit = self->per_unit;
    find_run(self, context);
    if (text_new(&self->gallery.text) != LOOM_OK) {
        log_warning("pictures will have no letters: %s", error_message());
    }
    return LOOM_OK;
}

/* Begin to serve the live page, if it is asked for. */
static int render_configure(const struct stage_context *context, void *state, struct stream_info *output)
{
    (void)output;
    struct render *self = state;
    const struct live_settings settings = {.address = self->live,
                                           .token = self->live_token,
                                           .run = context->run,
                                           .name = "",
                                           .taps = context->taps,
                                           .n_taps = context->n_taps,
                                           .endpoints = context->endpoints};
    const int status = self->live[0] == '\0' ? LOOM_OK : live_new(&self->page, &settings);
    return status < 0 ? error_prefix(status, "parameter live") : status;
}

/* Draw a layer; a sparse one is kept for those above it. */
static void take(struct render *self, struct shown *layer)
{
    const bool invariant = strcmp(layer->stage, "invariant") == 0;
    gallery_draw(&self->gallery, layer, invariant ? shelf_find(&self->sparse, layer) : NULL);
    if (strcmp(layer->stage, "sparse") == 0) {
        const int status = shelf_keep(&self->sparse, layer);
        if (status != LOOM_OK) {
            gallery_note_failure(&self->gallery, status);
        }
    }
}

static int render_tap(const struct stage_context *context, void *state, const struct stage_tap *message)
{
    (void)context;
    struct render *self = state;
    if (message->weights.data == NULL) {
        return LOOM_OK;
    }
    struct shown layer = {.frames = message->frame, .pass = message->pass, .weights = message->weights};
    snprintf(layer.id, sizeof layer.id, "%s", message->id);
    snprintf(layer.stage, sizeof layer.stage, "%s", message->stage);
    snprintf(layer.name, sizeof layer.name, "%s", message->name);
    if (shown_check(&layer) == LOOM_OK) {
        take(self, &layer);
    } else {
        log_warning("weights from a tap are passed over: %s", error_message());
    }
    return LOOM_OK;
}

/* Draw the layer files in `layers`: those of sparse layers first, for the others need them. LOOM_EIO if there
 * must be such a folder and is not, LOOM_EDATA if there must be layers in it and are none. */
static int draw_files(struct render *self)
{
    struct dirent **entries = NULL;
    const char *folder = self->layers;
    size_t drawable = 0;
    const int n = scandir(folder, &entries, hdf5_is_named, alphasort);
    if (n < 0 && (self->asked || errno != ENOENT)) { /* beside taps there need not be files */
        return error_set(LOOM_EIO, "cannot read the folder of layer files '%s': %s", folder, strerror(errno));
    }
    if (n > 0) {
        shelf_fini(&self->sparse); /* files say more than taps did */
    }
    for (int sparse = 1; sparse >= 0; sparse--) {
        for (int i = 0; i < n; i++) {
            struct shown layer;
            if (shown_read(&layer, folder, entries[i]->d_name, sparse == 1) == LOOM_OK) {
                if (layer.weights.data != NULL) {
                    take(self, &layer);
                    drawable++;
                }
                shown_fini(&layer);
            } else if (sparse == 0) { /* read for the second time: said once */
                log_warning("passed over: %s", error_message());
            }
        }
    }
    for (int i = 0; i < n; i++) {
        free(entries[i]);
    }
    free(entries);
    return !self->asked || drawable > 0
               ? LOOM_OK
               : error_set(LOOM_EDATA, "'%s' holds no layer file (NAME.h5) that can be drawn", folder);
}

/* Draw what there is beside the layers in the run's folder; that is the one above `layers` where that was given. */
static int draw_run(struct render *self, const struct stage_context *context)
{
    char *folder = NULL;
    const int n =
        self->asked ? asprintf(&folder, "%s/..", self->layers) : asprintf(&folder, "%s", context->run);
    if (n < 0) {
        return error_set(LOOM_EINTERNAL, "no memory for a path");
    }
    if (!self->asked || self->run[0] != '\0') {
        run_pictures_draw(&self->gallery, folder);
    }
    free(folder);
    return LOOM_OK;
}

static int render_drain(const struct stage_context *context, void *state)
{
    struct render *self = state;
    self->gallery.final = true;
    self->gallery.failures = 0;
    const bool alone = self->compare[0] != '\0' && !self->asked && context->n_taps == 0;
    int status = alone ? LOOM_OK : draw_files(self);
    if (status == LOOM_OK && !alone) {
        status = draw_run(self, context);
    }
    if (status == LOOM_OK && self->compare[0] != '\0') {
        status = compare_draw(&self->gallery, self->compare, (size_t)self->columns, NULL, COMPARE_AUTO);
    }
    if (status != LOOM_OK) {
        return status;
    }
    if (self->gallery.failures > 0) {
        return error_set(self->gallery.failure, "%zu pictures could not be made; the last: %s",
                         self->gallery.failures, self->gallery.why != NULL ? self->gallery.why : "no memory");
    }
    if (self->gallery.drawn > 0) {
        log_info("pictures are in %s", self->pictures);
    } else {
        log_warning("no pictures: the taps have shown no weights, and there are no layer files in %s",
                    self->layers);
    }
    return LOOM_OK;
}

static void render_close(const struct stage_context *context, void *state)
{
    (void)context;
    struct render *self = state;
    if (self->page != NULL) {
        char why[160];
        const char *ending = live_ending(self->page), *folder = live_run(self->page);
        snprintf(why, sizeof why, "%s%s%s",
                 strcmp(ending, "finished") == 0  ? "the run has finished"
                 : strcmp(ending, "stopped") == 0 ? "the run was stopped"
                 : strcmp(ending, "failed") == 0  ? "the run has failed"
                                                  : "the renderer that served this page has ended",
                 folder[0] != '\0' ? "; look on with: loom view " : "", folder);
        if (folder[0] != '\0') {
            log_notice("the live page has ended; look on with: loom view %s", folder);
        }
        live_destroy(&self->page, why);
    }
    shelf_fini(&self->sparse);
    gallery_fini(&self->gallery);
}

static const struct stage stage = {
    .name = "render",
    .summary = "pictures of the layers, while they learn and when they are done",
    .taps = true,
    .output = STREAM_NONE,
    .state_bytes = sizeof(struct render),
    .params = params,
    .open = render_open,
    .configure = render_configure,
    .tap = render_tap,
    .drain = render_drain,
    .close = render_close,
};

int main(int argc, char **argv)
{
    return stage_main(&stage, argc, argv);
}

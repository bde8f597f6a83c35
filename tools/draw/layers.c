/* See layers.h. */
#include "layers.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hdf5_file.h"
#include "log.h"
#include "options.h"
#include "stages/render/run_layers.h"

void layers_fini(struct layers *self)
{
    for (size_t i = 0; i < self->n; i++) {
        shown_fini(&self->items[i]);
    }
    free(self->items);
    shelf_fini(&self->sparse);
    *self = (struct layers){0};
}

static int no_memory(void)
{
    return error_set(LOOM_EINTERNAL, "no memory for the layers");
}

/* Put a copy of a sparse layer on the shelf; the layer keeps its weights. */
static int put_on_shelf(struct layers *self, const struct shown *layer)
{
    struct shown copy = *layer;
    copy.owned = NULL;
    return shelf_keep(&self->sparse, &copy);
}

/* Takes the layer over. */
static int add_layer(struct layers *self, struct shown *layer)
{
    struct shown *grown = realloc(self->items, (self->n + 1) * sizeof *grown);
    if (grown == NULL) {
        shown_fini(layer);
        return no_memory();
    }
    self->items = grown;
    grown[self->n++] = *layer;
    *layer = (struct shown){.frames = 0};
    return shown_is_sparse(&grown[self->n - 1]) ? put_on_shelf(self, &grown[self->n - 1]) : LOOM_OK;
}

static int add_file(struct layers *self, const char *folder, const char *file)
{
    struct shown layer;
    const int status = shown_read_any(&layer, folder, file);
    return status == LOOM_OK ? add_layer(self, &layer) : status;
}

/* Add all layers of a folder. */
static int add_folder(struct layers *self, const char *folder)
{
    struct dirent **entries = NULL;
    const int n = scandir(folder, &entries, hdf5_is_named, alphasort);
    int status = n < 0    ? error_set(LOOM_EIO, "cannot read the folder '%s': %s", folder, strerror(errno))
                 : n == 0 ? error_set(LOOM_EDATA, "'%s' holds no layer file (NAME.h5)", folder)
                          : LOOM_OK;
    for (int i = 0; i < n; i++) {
        if (status == LOOM_OK && !shown_is_other(folder, entries[i]->d_name)) {
            status = add_file(self, folder, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* Put the sparse layers that lie in a folder on the shelf, whatever else is there. */
static void look_beside(struct layers *self, const char *folder)
{
    struct dirent **entries = NULL;
    const int n = scandir(folder, &entries, hdf5_is_named, alphasort);
    for (int i = 0; i < n; i++) {
        struct shown layer;
        if (shown_read(&layer, folder, entries[i]->d_name, true) == LOOM_OK) {
            if (layer.weights.data != NULL && shelf_keep(&self->sparse, &layer) != LOOM_OK) {
                log_warning("passed over: %s", error_message());
            }
            shown_fini(&layer);
        }
    }
    for (int i = 0; i < n; i++) {
        free(entries[i]);
    }
    free(entries);
}

int layers_read_run(struct layers *self, const char *run, bool pass_over)
{
    struct run_layers found;
    int status = run_layers_read(&found, run, pass_over);
    for (size_t i = 0; status == LOOM_OK && i < found.n; i++) {
        status = add_layer(self, &found.items[i]);
    }
    run_layers_fini(&found);
    return status;
}

/* Whatever a folder is: a run, or one that holds layer files. *folder: where they lie. */
static int add_any_folder(struct layers *self, const char *path, char **folder)
{
    const size_t before = self->n;
    const char *within = run_layers_folder(path);
    if (asprintf(folder, "%s%s%s", path, within != NULL ? "/" : "", within != NULL ? within : "") < 0) {
        *folder = NULL;
        return no_memory();
    }
    const int status = within != NULL ? layers_read_run(self, path, false) : add_folder(self, path);
    return status != LOOM_OK || self->n > before
               ? status
               : error_set(LOOM_EDATA,
                           "run '%s' has no layers yet: neither layers/NAME.h5 nor checkpoints/NAME-FRAME.h5",
                           path);
}

/* *folder: where the layers lie. */
static int add_path(struct layers *self, const char *path, char **folder)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        return error_set(LOOM_EIO, "cannot read '%s': %s", path, strerror(errno));
    }
    if (S_ISDIR(about.st_mode)) {
        return add_any_folder(self, path, folder);
    }
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    if (!ends_with(name, ".h5")) {
        return error_set(LOOM_EDATA, "'%s' is no layer file: its name does not end in .h5", path);
    }
    *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + (slash == path));
    const int status = *folder == NULL ? no_memory() : add_file(self, *folder, name);
    if (status == LOOM_OK && *folder != NULL && !shown_is_sparse(&self->items[self->n - 1]) &&
        shelf_find(&self->sparse, &self->items[self->n - 1]) == NULL) {
        look_beside(self, *folder);
    }
    return status;
}

int layers_read(struct layers *self, const char *const *paths, size_t n)
{
    int status = LOOM_OK;
    for (size_t i = 0; status == LOOM_OK && i < n; i++) {
        char *folder = NULL, run[STREAM_NAME_BYTES] = "";
        status = add_path(self, paths[i], &folder);
        if (status == LOOM_OK) {
            shown_run(run, sizeof run, folder);
            snprintf(self->run, sizeof self->run, "%s", i == 0 || strcmp(run, self->run) == 0 ? run : "");
        }
        free(folder);
    }
    return status;
}

int layers_choose(const struct layers *self, const char *name, bool invariant, const struct shown **found)
{
    char names[512] = "";
    size_t n = 0;
    for (size_t i = 0; i < self->n; i++) {
        const struct shown *layer = &self->items[i];
        if ((name == NULL || strcmp(layer->name, name) == 0) && !(invariant && shown_is_sparse(layer))) {
            const size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, "%s%s", n > 0 ? ", " : "", layer->name);
            *found = layer;
            n++;
        }
    }
    if (n == 1) {
        return LOOM_OK;
    }
    if (n > 1) {
        return error_set(LOOM_EUSAGE, "which layer? There are %s; say --layer NAME, or name its file", names);
    }
    return error_set(LOOM_EDATA, "there is no %slayer%s%s%s", invariant ? "invariant " : "",
                     name != NULL ? " '" : "", name != NULL ? name : "",
                     name != NULL ? "'" : " among these files");
}

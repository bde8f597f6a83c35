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

static bool is_sparse(const struct shown *layer)
{
    return strcmp(layer->stage, "sparse") == 0;
}

/* Read a file of whatever kind. */
static int read_any(struct shown *layer, const char *folder, const char *file)
{
    int status = shown_read(layer, folder, file, true);
    if (status == LOOM_OK && layer->weights.data == NULL) {
        shown_fini(layer);
        status = shown_read(layer, folder, file, false);
    }
    return status;
}

/* Put a copy of a sparse layer on the shelf; the layer keeps its weights. */
static int put_on_shelf(struct layers *self, const struct shown *layer)
{
    struct shown copy = *layer;
    copy.owned = NULL;
    return shelf_keep(&self->sparse, &copy);
}

static int add_file(struct layers *self, const char *folder, const char *file)
{
    struct shown *grown = realloc(self->items, (self->n + 1) * sizeof *grown);
    if (grown == NULL) {
        return no_memory();
    }
    self->items = grown;
    const int status = read_any(&grown[self->n], folder, file);
    if (status != LOOM_OK) {
        return status;
    }
    self->n++;
    return is_sparse(&grown[self->n - 1]) ? put_on_shelf(self, &grown[self->n - 1]) : LOOM_OK;
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
        if (status == LOOM_OK) {
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

static int add_path(struct layers *self, const char *path, char **folder)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        return error_set(LOOM_EIO, "cannot read '%s': %s", path, strerror(errno));
    }
    if (S_ISDIR(about.st_mode)) {
        const bool run = asprintf(folder, "%s/layers", path) >= 0 && stat(*folder, &about) == 0;
        if (!run) {
            free(*folder);
            *folder = strdup(path);
        }
        return *folder == NULL ? no_memory() : add_folder(self, *folder);
    }
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    if (!ends_with(name, ".h5")) {
        return error_set(LOOM_EDATA, "'%s' is no layer file: its name does not end in .h5", path);
    }
    *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + (slash == path));
    const int status = *folder == NULL ? no_memory() : add_file(self, *folder, name);
    if (status == LOOM_OK && *folder != NULL && !is_sparse(&self->items[self->n - 1]) &&
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

/* How much of a checkpoint's file name is the layer's. */
static int name_length(const char *file)
{
    const char *dash = strrchr(file, '-');
    return dash == NULL ? 0 : (int)(dash - file);
}

int layers_read_checkpoints(struct layers *self, const char *folder)
{
    struct dirent **entries = NULL;
    const int n =
        scandir(folder, &entries, hdf5_is_named, versionsort); /* of one layer, the newest comes last */
    int status = LOOM_OK;
    for (int i = 0; i < n; i++) {
        const char *file = entries[i]->d_name;
        const int length = name_length(file);
        const bool newest = i + 1 == n || name_length(entries[i + 1]->d_name) != length ||
                            strncmp(file, entries[i + 1]->d_name, (size_t)length) != 0;
        if (newest && length > 0 && status == LOOM_OK) {
            status = add_file(self, folder, file);
            if (status != LOOM_OK) { /* gone meanwhile, or not a layer's: the others may do */
                status = status == LOOM_EINTERNAL ? status : LOOM_OK;
                continue;
            }
            struct shown *layer = &self->items[self->n - 1];
            snprintf(layer->name, sizeof layer->name, "%.*s", length, file);
        }
    }
    for (int i = 0; i < n; i++) {
        free(entries[i]);
    }
    free(entries);
    return status;
}

int layers_choose(const struct layers *self, const char *name, bool invariant, const struct shown **found)
{
    char names[512] = "";
    size_t n = 0;
    for (size_t i = 0; i < self->n; i++) {
        const struct shown *layer = &self->items[i];
        if ((name == NULL || strcmp(layer->name, name) == 0) && !(invariant && is_sparse(layer))) {
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

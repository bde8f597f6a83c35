/* See run_layers.h. */
#include "run_layers.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hdf5_file.h"
#include "log.h"
#include "run_folder.h"

#define LOOKS_MAX 20 /* at a run whose stages delete checkpoints while they are being read */

void run_layers_fini(struct run_layers *self)
{
    for (size_t i = 0; i < self->n; i++) {
        shown_fini(&self->items[i]);
    }
    free(self->items);
    *self = (struct run_layers){.n = 0};
}

static bool is_folder(const char *folder, const char *name)
{
    struct stat about;
    char *path = NULL;
    const bool is =
        asprintf(&path, "%s/%s", folder, name) >= 0 && stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    free(path);
    return is;
}

const char *run_layers_folder(const char *folder)
{
    return is_folder(folder, "layers") ? "layers" : is_folder(folder, "checkpoints") ? "checkpoints" : NULL;
}

struct shelf run_layers_shelf(const struct run_layers *self)
{
    return (struct shelf){.items = self->items, .n = self->n_sparse};
}

/* ---- names of checkpoints ---- */

/* What NAME-FRAME.h5 tells. False if it is no such name. */
static bool parse_name(const char *file, size_t *length, uint64_t *frame)
{
    const char *dash = strrchr(file, '-');
    int used = 0;
    *length = dash == NULL ? 0 : (size_t)(dash - file);
    return *length > 0 && *length < STREAM_NAME_BYTES && isdigit((unsigned char)dash[1]) &&
           sscanf(dash + 1, "%" SCNu64 ".h5%n", frame, &used) == 1 && used > 0 && dash[1 + used] == '\0';
}

/* Whether there is a newer checkpoint of the same layer. */
static bool is_outdated(struct dirent *const *entries, int n, const char *file)
{
    size_t length, other_length;
    uint64_t frame, other_frame;
    bool outdated = !parse_name(file, &length, &frame);
    for (int i = 0; i < n && !outdated; i++) {
        const char *other = entries[i]->d_name;
        outdated = parse_name(other, &other_length, &other_frame) && other_length == length &&
                   strncmp(other, file, length) == 0 && other_frame > frame;
    }
    return outdated;
}

/* ---- reading ---- */

static struct shown *find(struct run_layers *self, const char *name)
{
    size_t i = 0;
    while (i < self->n && strcmp(self->items[i].name, name) != 0) {
        i++;
    }
    return i < self->n ? &self->items[i] : NULL;
}

/* Take a layer over, unless what is known of it is newer. */
static int keep(struct run_layers *self, struct shown *layer)
{
    struct shown *known = find(self, layer->name);
    if (known != NULL && known->frames > layer->frames) {
        shown_fini(layer);
        return LOOM_OK;
    }
    if (known != NULL) {
        shown_fini(known);
        *known = *layer;
        return LOOM_OK;
    }
    struct shown *grown = realloc(self->items, (self->n + 1) * sizeof *grown);
    if (grown == NULL) {
        shown_fini(layer);
        return error_set(LOOM_EINTERNAL, "no memory for the layers");
    }
    self->items = grown;
    grown[self->n++] = *layer;
    return LOOM_OK;
}

/* A checkpoint has its layer's name, and must be of the frame that it is called after. */
static int read_checkpoint(struct shown *layer, const char *folder, const char *file)
{
    size_t length;
    uint64_t frame;
    const int status = shown_read_any(layer, folder, file);
    if (status != LOOM_OK || !parse_name(file, &length, &frame)) {
        return status;
    }
    if (layer->frames != frame) {
        const uint64_t found = layer->frames;
        shown_fini(layer);
        return error_set(LOOM_EDATA,
                         "checkpoint '%s/%s' is of frame %" PRIu64 ", not of the frame in its name", folder,
                         file, found);
    }
    snprintf(layer->name, sizeof layer->name, "%.*s", (int)length, file);
    layer->checkpoint = true;
    return LOOM_OK;
}

/* Read a file of RUN/layers or RUN/checkpoints. *gone is set if a checkpoint was deleted meanwhile. A layer file that is not
 * there is a sweep's, to which its members have links from the beginning. */
static int add(struct run_layers *self, const char *folder, const char *file, bool checkpoint, bool pass_over,
               bool *gone)
{
    struct shown layer;
    char *path = NULL;
    if (shown_is_other(folder, file)) {
        return LOOM_OK;
    }
    int status = checkpoint ? read_checkpoint(&layer, folder, file) : shown_read_any(&layer, folder, file);
    if (status == LOOM_OK) {
        return keep(self, &layer);
    }
    const bool missing = asprintf(&path, "%s/%s", folder, file) >= 0 && access(path, F_OK) != 0;
    free(path);
    *gone = *gone || (checkpoint && missing);
    if (missing && !checkpoint) {
        return LOOM_OK;
    }
    if (!missing && pass_over && status != LOOM_EINTERNAL) {
        log_warning("passed over: %s", error_message());
        status = LOOM_OK;
    }
    return status;
}

static int add_folder(struct run_layers *self, const char *run, bool checkpoints, bool pass_over, bool *gone)
{
    struct dirent **entries = NULL;
    char *folder = NULL;
    if (asprintf(&folder, "%s/%s", run, checkpoints ? "checkpoints" : "layers") < 0) {
        return error_set(LOOM_EINTERNAL, "no memory for a path");
    }
    const int n = scandir(folder, &entries, hdf5_is_named, alphasort); /* none if it is not there */
    int status = LOOM_OK;
    for (int i = 0; i < n && status == LOOM_OK; i++) {
        if (!checkpoints || !is_outdated(entries, n, entries[i]->d_name)) {
            status = add(self, folder, entries[i]->d_name, checkpoints, pass_over, gone);
        }
    }
    for (int i = 0; i < n; i++) {
        free(entries[i]);
    }
    free(entries);
    free(folder);
    return status;
}

static int compare_layers(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    const int kinds = (int)shown_is_sparse(y) - (int)shown_is_sparse(x);
    return kinds != 0 ? kinds : strcmp(x->name, y->name);
}

/* Checkpoints first: they are deleted when the layer files are there. */
static int add_run(struct run_layers *self, const char *run, bool pass_over, bool *gone)
{
    const int status = add_folder(self, run, true, pass_over, gone);
    return status == LOOM_OK ? add_folder(self, run, false, pass_over, gone) : status;
}

int run_layers_read(struct run_layers *self, const char *run, bool pass_over)
{
    bool gone = true;
    int status = LOOM_OK;
    char *sweep = run_folder_sweep(run);
    *self = (struct run_layers){.n = 0};
    for (int look = 0; gone && look < LOOKS_MAX; look++) {
        gone = false;
        run_layers_fini(self);
        status = add_run(self, run, pass_over, &gone);
        if (status == LOOM_OK && sweep != NULL) {
            status = add_run(self, sweep, pass_over, &gone);
        }
    }
    free(sweep);
    if (status != LOOM_OK) {
        run_layers_fini(self);
        return status;
    }
    if (self->n > 0) {
        qsort(self->items, self->n, sizeof *self->items, compare_layers);
    }
    while (self->n_sparse < self->n && shown_is_sparse(&self->items[self->n_sparse])) {
        self->n_sparse++;
    }
    return LOOM_OK;
}

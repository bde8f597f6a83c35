/* loom export: layer files and recordings for other programs: NumPy's .npy, tables of text (.csv),
 * pictures (.png).
 *
 * All that is to be written is planned first: if one of the files exists, or a dataset is not there,
 * nothing is written. Each file is there whole or not at all. Datasets are read a few MiB at a time, so
 * recordings may be larger than memory.
 *
 * Limits: at most PICTURES_MAX frames as pictures at once; prototypes and coverage, for which two layers
 * are needed, are drawn by `loom render --layers FOLDER`. */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive.h"
#include "durable_file.h"
#include "forms.h"
#include "log.h"
#include "options.h"

#define PICTURES_MAX 1000
#define LAYER_ENDING ".h5"

enum form { FORM_NONE, FORM_NPY, FORM_CSV, FORM_PNG };

static const char *const endings[] = {"", ".npy", ".csv", ".png"};

enum work { WORK_NPY, WORK_CSV, WORK_CODES, WORK_METRICS, WORK_FRAMES, WORK_LAYER };

/* One thing to write. */
struct item {
    enum work work;
    const struct table *table, *other; /* other: values of codes or metrics */
    char *path;                        /* of the file, or the folder of pictures; owned */
};

struct export
{
    enum form form;
    const char *file, *out, *dataset;
    bool force, chosen; /* chosen: frames from..to */
    uint64_t from, to;  /* to: UINT64_MAX: all */
    size_t scale;       /* 0: not given */
    struct archive archive;
    char *folder; /* where files go; owned */
    struct item *items;
    size_t n;
};

/* ---- the command line ---- */

enum { KEY_NPY = 0x100, KEY_CSV, KEY_PNG, KEY_DATASET, KEY_FRAMES, KEY_FORCE, KEY_SCALE };

static const struct argp_option options[] = {
    {"npy", KEY_NPY, NULL, 0, "arrays for NumPy: every dataset a file, of its type and shape", 1},
    {"csv", KEY_CSV, NULL, 0,
     "tables: weights a line a unit; codes as frame,index,value; metrics a line a pass; the rest a line a "
     "row",
     1},
    {"png", KEY_PNG, NULL, 0, "pictures: a layer's weight map; a recording's frames, at most 1000", 1},
    {"output", 'o', "OUT", 0,
     "folder to write into (default: the file's name without .h5, here); or, of one dataset, the file", 2},
    {"dataset", KEY_DATASET, "NAME", 0, "only this dataset (codes/index) or group (codes)", 2},
    {"frames", KEY_FRAMES, "A..B", 0,
     "of a recording's streams only frames A to B, both included; A.. to the end", 2},
    {"scale", KEY_SCALE, "K", 0, "png: pixels a number (default: 1 for frames, maps of about 1000 pixels)",
     2},
    {"force", KEY_FORCE, NULL, 0, "overwrite files", 2},
    {0},
};

static void take_form(struct export *self, struct argp_state *state, enum form form)
{
    if (self->form != FORM_NONE && self->form != form) {
        argp_error(state, "one of --npy, --csv and --png at a time");
    }
    self->form = form;
}

static void check_options(struct export *self, struct argp_state *state)
{
    if (self->file == NULL) {
        argp_error(state, "which file? a layer (runs/topo/layers/sparse.h5) or a recording");
    }
    if (self->form == FORM_NONE) {
        argp_error(state, "as what? give --npy, --csv or --png");
    }
    if (self->scale != 0 && self->form != FORM_PNG) {
        argp_error(state, "--scale belongs to --png");
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct export *self = state->input;
    switch (key) {
    case KEY_NPY:
        take_form(self, state, FORM_NPY);
        return 0;
    case KEY_CSV:
        take_form(self, state, FORM_CSV);
        return 0;
    case KEY_PNG:
        take_form(self, state, FORM_PNG);
        return 0;
    case 'o':
        self->out = argument;
        return 0;
    case KEY_DATASET:
        self->dataset = argument[0] == '/' ? argument + 1 : argument;
        return 0;
    case KEY_FRAMES:
        option_frames(state, argument, &self->from, &self->to);
        self->chosen = true;
        return 0;
    case KEY_SCALE:
        self->scale = (size_t)option_whole(state, "scale", argument, 1, 100);
        return 0;
    case KEY_FORCE:
        self->force = true;
        return 0;
    case ARGP_KEY_ARG:
        if (self->file != NULL) {
            argp_error(state, "one file at a time");
        }
        self->file = argument;
        return 0;
    case ARGP_KEY_END:
        check_options(self, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- the plan ---- */

/* Where files go by default: the file's name without .h5, in the current folder. */
static int choose_folder(struct export *self)
{
    const char *slash = strrchr(self->file, '/'), *name = slash == NULL ? self->file : slash + 1;
    int length = (int)strlen(name) - (ends_with(name, LAYER_ENDING) ? (int)strlen(LAYER_ENDING) : 0);
    if (self->out != NULL) {
        self->folder = strdup(self->out);
    } else if (!ends_with(name, LAYER_ENDING)) {
        return error_set(LOOM_EUSAGE, "'%s' does not end in %s; say where to write: -o FOLDER", self->file,
                         LAYER_ENDING);
    } else if (asprintf(&self->folder, "%.*s", length, name) < 0) {
        self->folder = NULL;
    }
    return self->folder == NULL ? error_set(LOOM_EINTERNAL, "out of memory for a path") : LOOM_OK;
}

/* Add FOLDER/NAME.ending; name_bytes: how much of the name. */
static int plan(struct export *self, enum work work, const struct table *table, const struct table *other,
                size_t name_bytes)
{
    struct item *grown = realloc(self->items, (self->n + 1) * sizeof *grown);
    if (grown == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory");
    }
    self->items = grown;
    struct item *item = &grown[self->n];
    *item = (struct item){.work = work, .table = table, .other = other};
    const char *ending = work == WORK_FRAMES || work == WORK_LAYER ? "" : endings[self->form];
    const char *name = table == NULL ? "" : table->name;
    if (asprintf(&item->path, "%s%s%.*s%s", self->folder, name_bytes > 0 ? "/" : "", (int)name_bytes, name,
                 ending) < 0) {
        item->path = NULL;
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    self->n++;
    return LOOM_OK;
}

/* Whether a dataset was asked for, by its name or its group's. */
static bool is_wanted(const struct export *self, const struct table *table)
{
    size_t n = self->dataset == NULL ? 0 : strlen(self->dataset);
    return self->dataset == NULL ||
           (strncmp(table->name, self->dataset, n) == 0 && (table->name[n] == '\0' || table->name[n] == '/'));
}

/* The dataset beside `table` in its group, if `table` is called `part` there and both are wanted. */
static const struct table *beside(const struct export *self, const struct table *table, const char *part,
                                  const char *other, size_t *group_bytes)
{
    char name[TABLE_NAME_BYTES * 2];
    const char *slash = strrchr(table->name, '/');
    if (slash == NULL || strcmp(slash + 1, part) != 0) {
        return NULL;
    }
    *group_bytes = (size_t)(slash - table->name);
    snprintf(name, sizeof name, "%.*s/%s", (int)*group_bytes, table->name, other);
    const struct table *found = archive_find(&self->archive, name);
    return found != NULL && is_wanted(self, found) ? found : NULL;
}

static int plan_csv(struct export *self, const struct table *table)
{
    size_t group = 0;
    const struct table *other = beside(self, table, "index", "value", &group);
    if (other != NULL && table->stream) {
        return plan(self, WORK_CODES, table, other, group);
    }
    other = beside(self, table, "names", "values", &group);
    if (other != NULL) {
        return plan(self, WORK_METRICS, table, other, group);
    }
    bool taken = (table->stream && beside(self, table, "value", "index", &group) != NULL) ||
                 beside(self, table, "values", "names", &group) != NULL;
    return taken ? LOOM_OK : plan(self, WORK_CSV, table, NULL, strlen(table->name));
}

static int plan_png(struct export *self, const struct table *table)
{
    if (!table->stream || table->rank != 3) {
        return LOOM_OK;
    }
    if (table->dims[0] > PICTURES_MAX) {
        return error_set(LOOM_EUSAGE, "%s of %s are %ju frames; choose at most %d with --frames A..B",
                         table->name, self->file, (uintmax_t)table->dims[0], PICTURES_MAX);
    }
    return plan(self, WORK_FRAMES, table, NULL, (size_t)(strrchr(table->name, '/') - table->name));
}

static int plan_all(struct export *self)
{
    int status = LOOM_OK;
    size_t n_wanted = 0;
    if (self->form == FORM_PNG && !self->archive.recording &&
        archive_find(&self->archive, "weights") != NULL) {
        return ends_with(self->file, LAYER_ENDING)
                   ? plan(self, WORK_LAYER, NULL, NULL, 0)
                   : error_set(LOOM_EUSAGE, "'%s': a layer file's name ends in %s", self->file, LAYER_ENDING);
    }
    for (size_t t = 0; status == LOOM_OK && t < self->archive.n; t++) {
        const struct table *table = &self->archive.tables[t];
        if (!is_wanted(self, table)) {
            continue;
        }
        n_wanted++;
        status = self->form == FORM_NPY   ? plan(self, WORK_NPY, table, NULL, strlen(table->name))
                 : self->form == FORM_CSV ? plan_csv(self, table)
                                          : plan_png(self, table);
    }
    if (status == LOOM_OK && n_wanted == 0) {
        return error_set(LOOM_EUSAGE, "%s has no dataset '%s'; `h5ls -r` shows them", self->file,
                         self->dataset);
    }
    if (status == LOOM_OK && self->n == 0) {
        return error_set(LOOM_EUSAGE, "%s has neither a layer's weights nor frames that would make pictures",
                         self->file);
    }
    if (status == LOOM_OK && self->n == 1 && self->form != FORM_PNG && self->out != NULL &&
        ends_with(self->out, endings[self->form])) { /* the file itself was named */
        free(self->items[0].path);
        self->items[0].path = strdup(self->out);
        status =
            self->items[0].path == NULL ? error_set(LOOM_EINTERNAL, "out of memory for a path") : LOOM_OK;
    }
    return status;
}

/* LOOM_EUSAGE if there is a file at `path` that must not be overwritten. Frees it. */
static int check_path(const struct export *self, char *path)
{
    int status = path == NULL ? error_set(LOOM_EINTERNAL, "out of memory for a path") : LOOM_OK;
    if (path != NULL && !self->force && access(path, F_OK) == 0) {
        status =
            error_set(LOOM_EUSAGE,
                      "'%s' exists, and nothing was written; give --force to overwrite, or another -o", path);
    }
    free(path);
    return status;
}

static int check_item(const struct export *self, const struct item *item)
{
    int status = LOOM_OK;
    if (item->work == WORK_FRAMES) {
        const struct table *table = item->table;
        for (uint64_t r = 0; status == LOOM_OK && r < table->dims[0]; r++) {
            status = check_path(self, export_png_path(item->path, table->first_frame + table->begin + r));
        }
        return status;
    }
    if (item->work != WORK_LAYER) {
        return check_path(self, strdup(item->path));
    }
    const char *slash = strrchr(self->file, '/'), *name = slash == NULL ? self->file : slash + 1;
    static const char *const suffixes[] = {".png", "-plain.png"};
    for (size_t i = 0; status == LOOM_OK && i < 2; i++) {
        char *path = NULL;
        int length = asprintf(&path, "%s/%.*s%s", item->path, (int)(strlen(name) - strlen(LAYER_ENDING)),
                              name, suffixes[i]);
        status = check_path(self, length < 0 ? NULL : path);
    }
    return status;
}

/* ---- doing it ---- */

static int make_folders(const struct item *item)
{
    char *inside = NULL;
    bool folder = item->work == WORK_FRAMES || item->work == WORK_LAYER;
    if (asprintf(&inside, "%s%s", item->path, folder ? "/" : "") < 0) {
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    int status = durable_file_make_folders(inside);
    free(inside);
    return status;
}

static int write_item(const struct export *self, const struct item *item)
{
    const struct archive *archive = &self->archive;
    int status = make_folders(item);
    if (status < 0) {
        return status;
    }
    switch (item->work) {
    case WORK_NPY:
        return export_npy(archive, item->table, item->path);
    case WORK_CSV:
        return export_csv(archive, item->table, item->path);
    case WORK_CODES:
        return export_csv_codes(archive, item->table, item->other, item->path);
    case WORK_METRICS:
        return export_csv_metrics(archive, item->table, item->other, item->path);
    case WORK_FRAMES:
        return export_png_frames(archive, item->table, item->path, self->scale == 0 ? 1 : self->scale);
    case WORK_LAYER:
        return export_png_layer(self->file, item->path, self->scale);
    }
    return error_set(LOOM_EINTERNAL, "unknown work");
}

static int run(struct export *self)
{
    int status = archive_open(&self->archive, self->file);
    if (status == LOOM_OK && self->chosen) {
        status = archive_select(&self->archive, self->from, self->to);
    }
    if (status == LOOM_OK) {
        status = choose_folder(self);
    }
    if (status == LOOM_OK) {
        status = plan_all(self);
    }
    for (size_t i = 0; status == LOOM_OK && i < self->n; i++) {
        status = check_item(self, &self->items[i]);
    }
    for (size_t i = 0; status == LOOM_OK && i < self->n; i++) {
        status = write_item(self, &self->items[i]);
        if (status == LOOM_OK) {
            puts(self->items[i].path);
        }
    }
    return status;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse_option,
        "FILE",
        "Write a layer file or a recording as NumPy arrays, tables or pictures, also while it is being "
        "recorded. Prints "
        "the files and folders that it made."
        "\vFor example:\n"
        "  loom export runs/topo/layers/sparse.h5 --npy\n"
        "  loom export runs/topo/recordings/tape.h5 --csv --dataset metrics -o metrics\n"
        "  loom export runs/topo/recordings/tape.h5 --png --frames 0..99 --scale 8\n\n"
        "Exit codes: 0 done, 64 bad usage, 65 a file that is damaged or of another kind, 74 I/O error.",
        NULL,
        NULL,
        NULL};
    struct export self = {.archive = {.file = -1}};
    options_parse(&argp, argc, argv, 0, "export", &self);
    int status = run(&self);
    if (status < 0) {
        log_error("%s", error_message());
    }
    for (size_t i = 0; i < self.n; i++) {
        free(self.items[i].path);
    }
    free(self.items);
    free(self.folder);
    archive_close(&self.archive);
    return -status;
}

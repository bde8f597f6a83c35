/* See curves.h. */
#include "curves.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gallery.h"
#include "hdf5_file.h"
#include "recording_read.h"

#define TITLE_BYTES 320
#define PASSES_MAX 10000000

void curves_fini(struct curves *self)
{
    for (size_t i = 0; i < self->n; i++) {
        free(self->items[i].pass);
        free(self->items[i].value);
    }
    for (size_t i = 0; i < self->n_runs; i++) {
        free(self->runs[i]);
    }
    free(self->items);
    free(self->runs);
    *self = (struct curves){0};
}

static int no_memory(void)
{
    return error_set(LOOM_EINTERNAL, "no memory for the curves of the metrics");
}

/* ---- collecting ---- */

/* The number of a run in `runs`, taken up there if it is new; SIZE_MAX if memory runs out. */
static size_t keep_run(struct curves *self, const char *run)
{
    for (size_t i = 0; i < self->n_runs; i++) {
        if (strcmp(self->runs[i], run) == 0) {
            return i;
        }
    }
    char **grown = realloc(self->runs, (self->n_runs + 1) * sizeof *grown);
    if (grown == NULL) {
        return SIZE_MAX;
    }
    self->runs = grown;
    grown[self->n_runs] = strdup(run);
    return grown[self->n_runs] == NULL ? SIZE_MAX : self->n_runs++;
}

/* The curve of this name, made if there is none; NULL with error_message() if there can be no more. */
static struct curve *find_curve(struct curves *self, size_t run, const char *stage, const char *metric,
                                int *status)
{
    for (size_t i = self->n; i-- > 0;) {
        struct curve *curve = &self->items[i];
        if (strcmp(curve->metric, metric) == 0 && strcmp(curve->stage, stage) == 0 && curve->run == run) {
            return curve;
        }
    }
    struct curve *grown = self->n < CURVES_MAX ? realloc(self->items, (self->n + 1) * sizeof *grown) : NULL;
    if (grown == NULL) {
        *status = self->n < CURVES_MAX ? no_memory()
                                       : error_set(LOOM_EDATA, "there are more than %d metrics", CURVES_MAX);
        return NULL;
    }
    self->items = grown;
    struct curve *curve = &grown[self->n];
    *curve = (struct curve){.run = run};
    self->n++;
    snprintf(curve->stage, sizeof curve->stage, "%s", stage);
    snprintf(curve->metric, sizeof curve->metric, "%s", metric);
    return curve;
}

/* Add a value, in the place of one that was told of the same pass (a stage that was started again). */
static int add_value(struct curves *self, size_t run, const char *stage, const char *metric, uint64_t pass,
                     double value)
{
    int status = LOOM_OK;
    struct curve *curve = find_curve(self, run, stage, metric, &status);
    if (curve == NULL) {
        return status;
    }
    size_t at = curve->n;
    while (at > 0 && curve->pass[at - 1] > (double)pass) {
        at--;
    }
    if (at > 0 && curve->pass[at - 1] == (double)pass) {
        curve->value[at - 1] = value;
        return LOOM_OK;
    }
    if (curve->n == curve->capacity) {
        const size_t capacity = 2 * curve->capacity + 32;
        double *passes = realloc(curve->pass, capacity * sizeof *passes);
        curve->pass = passes != NULL ? passes : curve->pass;
        double *values = realloc(curve->value, capacity * sizeof *values);
        curve->value = values != NULL ? values : curve->value;
        if (passes == NULL || values == NULL) {
            return no_memory();
        }
        curve->capacity = capacity;
    }
    memmove(curve->pass + at + 1, curve->pass + at, (curve->n - at) * sizeof *curve->pass);
    memmove(curve->value + at + 1, curve->value + at, (curve->n - at) * sizeof *curve->value);
    curve->pass[at] = (double)pass;
    curve->value[at] = value;
    curve->n++;
    return LOOM_OK;
}

/* One line of metrics.jsonl: {"stage": ..., "event": "pass", "pass": ..., "metrics": {...}}; others are passed over. */
static int take_line(struct curves *self, size_t run, const json_t *line)
{
    const char *stage = json_string_value(json_object_get(line, "stage"));
    const char *event = json_string_value(json_object_get(line, "event"));
    const json_int_t pass = json_integer_value(json_object_get(line, "pass"));
    json_t *metrics = json_object_get(line, "metrics");
    if (stage == NULL || event == NULL || strcmp(event, "pass") != 0 || pass <= 0) {
        return LOOM_OK;
    }
    int status = LOOM_OK;
    const char *name;
    json_t *value;
    json_object_foreach(metrics, name, value)
    {
        if (status == LOOM_OK) {
            status = add_value(self, run, stage, name, (uint64_t)pass,
                               json_is_number(value) ? json_number_value(value) : NAN);
        }
    }
    return status;
}

static int read_journal(struct curves *self, const char *path, size_t run)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    int status = LOOM_OK;
    if (file == NULL) {
        return error_set(LOOM_EIO, "cannot read %s: %s", path, strerror(errno));
    }
    ssize_t n;
    for (size_t number = 1; status == LOOM_OK && (n = getline(&line, &size, file)) > 0; number++) {
        if (line[n - 1] != '\n') {
            break; /* it is being written */
        }
        json_error_t why;
        json_t *root = json_loadb(line, (size_t)n, 0, &why);
        status = root == NULL || !json_is_object(root)
                     ? error_set(LOOM_EDATA, "%s, line %zu, is no JSON object: %s", path, number,
                                 root == NULL ? why.text : "it is something else")
                     : take_line(self, run, root);
        json_decref(root);
    }
    if (status == LOOM_OK && ferror(file)) {
        status = error_set(LOOM_EIO, "cannot read %s: %s", path, strerror(errno));
    }
    free(line);
    fclose(file);
    return status;
}

static int take_stream(struct curves *self, struct recording_reader *file, size_t s, size_t run)
{
    const struct stream_info *info = recording_reader_info(file, s);
    const uint64_t end = recording_reader_first(file) + recording_reader_rows(file, s);
    int status = LOOM_OK;
    for (uint64_t pass = 0;
         status == LOOM_OK && info->pass > 0 && pass < end / info->pass && pass < PASSES_MAX; pass++) {
        struct metric metrics[STREAM_METRICS_MAX];
        size_t n = 0;
        status = recording_read_metrics(file, s, pass, metrics, &n);
        for (size_t i = 0; status == LOOM_OK && i < n; i++) {
            status = add_value(self, run, info->name, metrics[i].name, pass + 1, metrics[i].value);
        }
    }
    return status;
}

static int read_recording(struct curves *self, const char *path, size_t run)
{
    struct recording_reader *file = NULL;
    int status = recording_reader_new(&file, path);
    for (size_t s = 0; status == LOOM_OK && s < recording_reader_streams(file); s++) {
        status = take_stream(self, file, s, run);
    }
    recording_reader_destroy(&file);
    return status;
}

static int read_run(struct curves *self, const char *folder, size_t run)
{
    char *path = NULL;
    struct stat about;
    if (asprintf(&path, "%s/metrics.jsonl", folder) < 0) {
        return no_memory();
    }
    if (stat(path, &about) == 0) {
        const int status = read_journal(self, path, run);
        free(path);
        return status;
    }
    free(path);
    struct dirent **entries = NULL;
    if (asprintf(&path, "%s/recordings", folder) < 0) {
        return no_memory();
    }
    const int n = scandir(path, &entries, hdf5_is_named, alphasort);
    int status =
        n > 0 ? LOOM_OK
              : error_set(LOOM_EIO, "'%s' is no run's folder: it has neither metrics.jsonl nor recordings",
                          folder);
    for (int i = 0; i < n; i++) {
        char *file = NULL;
        if (status == LOOM_OK && asprintf(&file, "%s/%s", path, entries[i]->d_name) >= 0) {
            status = read_recording(self, file, run);
            free(file);
        }
        free(entries[i]);
    }
    free(entries);
    free(path);
    return status;
}

static int compare_stages(const void *a, const void *b)
{
    return strcmp((*(struct curve *const *)a)->stage, (*(struct curve *const *)b)->stage);
}

static int compare_looks(const void *a, const void *b)
{
    const size_t x = (*(struct curve *const *)a)->run, y = (*(struct curve *const *)b)->run;
    return x != y ? (x > y ? 1 : -1) : compare_stages(a, b);
}

/* Number the looks: by the runs as they came and the stages' names, as whose line is the first in a journal is chance. */
static int choose_looks(struct curves *self)
{
    struct curve **sorted = malloc((self->n + 1) * sizeof *sorted);
    if (sorted == NULL) {
        return no_memory();
    }
    for (size_t i = 0; i < self->n; i++) {
        sorted[i] = &self->items[i];
    }
    qsort(sorted, self->n, sizeof *sorted, compare_stages);
    for (size_t i = 0, rank = 0; i < self->n; i++) {
        rank += i > 0 && compare_stages(&sorted[i - 1], &sorted[i]) != 0;
        sorted[i]->line = rank + sorted[i]->run;
    }
    qsort(sorted, self->n, sizeof *sorted, compare_looks);
    self->n_styles = 0;
    for (size_t i = 0; i < self->n; i++) {
        self->n_styles += i == 0 || compare_looks(&sorted[i - 1], &sorted[i]) != 0;
        sorted[i]->style = self->n_styles - 1;
    }
    free(sorted);
    return LOOM_OK;
}

int curves_read(struct curves *self, const char *path, const char *name)
{
    struct stat about;
    const size_t length = strlen(path);
    if (stat(path, &about) != 0) {
        return error_set(LOOM_EIO, "cannot read %s: %s", path, strerror(errno));
    }
    const size_t run = keep_run(self, name);
    if (run == SIZE_MAX) {
        return no_memory();
    }
    const bool journal = length > 6 && strcmp(path + length - 6, ".jsonl") == 0;
    const int status = S_ISDIR(about.st_mode) ? read_run(self, path, run)
                       : journal              ? read_journal(self, path, run)
                                              : read_recording(self, path, run);
    return status == LOOM_OK ? choose_looks(self) : status;
}

/* ---- drawing ---- */

/* Whether `name` is one of a list with commas. */
static bool is_listed(const char *list, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = list; list != NULL; at = strchr(at, ',') + 1) {
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
        if (strchr(at, ',') == NULL) {
            return false;
        }
    }
    return true; /* no list: all */
}

/* LOOM_EUSAGE if one of the list is not a metric that there is. */
static int check_list(const struct curves *self, const char *list)
{
    while (list != NULL && *list != '\0') {
        const size_t length = strcspn(list, ",");
        bool known = false;
        for (size_t i = 0; i < self->n; i++) {
            known = known || (strlen(self->items[i].metric) == length &&
                              strncmp(self->items[i].metric, list, length) == 0);
        }
        if (!known) {
            char names[512] = "";
            for (size_t i = 0; i < self->n; i++) {
                bool first = true;
                for (size_t j = 0; j < i; j++) {
                    first = first && strcmp(self->items[j].metric, self->items[i].metric) != 0;
                }
                const size_t used = strlen(names);
                snprintf(names + used, sizeof names - used, "%s%s",
                         !first     ? ""
                         : used > 0 ? ", "
                                    : "",
                         first ? self->items[i].metric : "");
            }
            return error_set(LOOM_EUSAGE, "there is no metric '%.*s'; there are %s", (int)length, list,
                             names);
        }
        list += length + (list[length] == ',' ? 1 : 0);
    }
    return LOOM_OK;
}

/* What is drawn, before it is: room for all panels and series. */
struct drawing {
    struct plot_panel *panels;
    struct plot_series *series;
    char **names; /* of the series, each owned */
    char (*titles)[STREAM_METRIC_NAME_BYTES];
    size_t n_panels, n_series;
    bool runs, stages; /* there are several of them */
};

static void drawing_fini(struct drawing *self)
{
    for (size_t i = 0; i < self->n_series; i++) {
        free(self->names[i]);
    }
    free(self->panels);
    free(self->series);
    free(self->names);
    free(self->titles);
}

/* The name of a curve, to be freed; NULL if memory runs out. */
static char *name_series(const struct drawing *drawing, const struct curves *self, const struct curve *curve)
{
    char *name = NULL;
    const int n = asprintf(&name, "%s%s%s", drawing->runs ? self->runs[curve->run] : "",
                           drawing->runs && drawing->stages ? ": " : "",
                           drawing->runs && !drawing->stages ? "" : curve->stage);
    return n < 0 ? NULL : name;
}

/* The curve of a metric that looks so; NULL if there is none. */
static const struct curve *find_look(const struct curves *self, const char *metric, size_t style)
{
    size_t i = 0;
    while (i < self->n && (self->items[i].style != style || strcmp(self->items[i].metric, metric) != 0)) {
        i++;
    }
    return i < self->n ? &self->items[i] : NULL;
}

/* Add the panel of the metric of curve `first`. */
static int add_panel(struct drawing *drawing, const struct curves *self, size_t first)
{
    const char *metric = self->items[first].metric;
    char *title = drawing->titles[drawing->n_panels];
    struct plot_panel *panel = &drawing->panels[drawing->n_panels++];
    snprintf(title, sizeof *drawing->titles, "%s", metric);
    for (char *at = title; *at != '\0'; at++) {
        *at = *at == '_' ? ' ' : *at;
    }
    *panel = (struct plot_panel){.title = title, .series = &drawing->series[drawing->n_series]};
    for (size_t style = 0; style < self->n_styles; style++) {
        const struct curve *curve = find_look(self, metric, style);
        char *name = curve != NULL ? name_series(drawing, self, curve) : NULL;
        if (curve == NULL) {
            continue;
        }
        if (name == NULL) {
            return no_memory();
        }
        drawing->names[drawing->n_series] = name;
        drawing->series[drawing->n_series] = (struct plot_series){.name = name,
                                                                  .x = curve->pass,
                                                                  .y = curve->value,
                                                                  .n = curve->n,
                                                                  .style = style,
                                                                  .line = curve->line};
        drawing->n_series++;
        panel->n++;
    }
    return LOOM_OK;
}

static int make_drawing(struct drawing *drawing, const struct curves *self, const char *metrics)
{
    drawing->panels = calloc(self->n, sizeof *drawing->panels);
    drawing->series = calloc(self->n, sizeof *drawing->series);
    drawing->names = calloc(self->n, sizeof *drawing->names);
    drawing->titles = calloc(self->n, sizeof *drawing->titles);
    if (drawing->panels == NULL || drawing->series == NULL || drawing->names == NULL ||
        drawing->titles == NULL) {
        return no_memory();
    }
    for (size_t i = 0; i < self->n; i++) {
        drawing->runs = drawing->runs || self->items[i].run != self->items[0].run;
        drawing->stages = drawing->stages || strcmp(self->items[i].stage, self->items[0].stage) != 0;
    }
    int status = LOOM_OK;
    for (size_t i = 0; i < self->n && status == LOOM_OK; i++) {
        bool first = is_listed(metrics, self->items[i].metric);
        for (size_t j = 0; j < i; j++) {
            first = first && strcmp(self->items[j].metric, self->items[i].metric) != 0;
        }
        if (first) {
            status = add_panel(drawing, self, i);
        }
    }
    return status;
}

static void write_subtitle(char subtitle[TITLE_BYTES], double passes, size_t left_out)
{
    char count[32], without[32], note[96] = "";
    gallery_count(count, (uint64_t)passes);
    gallery_count(without, left_out);
    if (left_out > 0) { /* of logarithmic axes */
        snprintf(note, sizeof note, "; left out: %s value%s ≤ 0", without, left_out > 1 ? "s" : "");
    }
    snprintf(subtitle, TITLE_BYTES, "%s pass%s%s", count, passes > 1 ? "es" : "", note);
}

int curves_draw(struct image *out, const struct curves *self, const char *metrics, enum plot_scale scale,
                struct text *text)
{
    struct drawing drawing = {0};
    char title[TITLE_BYTES], subtitle[TITLE_BYTES] = "";
    double last = 0;
    if (self->n == 0) {
        return error_set(LOOM_EDATA, "no stage has told any metrics: they come at the end of a pass");
    }
    int status = check_list(self, metrics);
    if (status == LOOM_OK) {
        status = make_drawing(&drawing, self, metrics);
    }
    for (size_t i = 0; i < self->n; i++) {
        last = self->items[i].n > 0 ? fmax(last, self->items[i].pass[self->items[i].n - 1]) : last;
    }
    if (drawing.runs) {
        snprintf(title, sizeof title, "Metrics of several runs");
    } else {
        snprintf(title, sizeof title, "Metrics of run %.256s", self->runs[self->items[0].run]);
    }
    if (status == LOOM_OK) {
        const struct plot plot = {.title = title,
                                  .subtitle = subtitle,
                                  .x_label = "pass",
                                  .panels = drawing.panels,
                                  .n = drawing.n_panels,
                                  .scale = scale};
        write_subtitle(subtitle, last, plot_count_left_out(&plot));
        status = plot_draw(out, &plot, text);
    }
    drawing_fini(&drawing);
    return status;
}

/* See status.h. */
#include "status.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "run_lock.h"

#define PATH_BYTES 4200

static void get_text(char *text, size_t size, const json_t *map, const char *key)
{
    const char *value = json_string_value(json_object_get(map, key));
    snprintf(text, size, "%s", value == NULL ? "" : value);
}

static double get_number(const json_t *map, const char *key)
{
    const json_t *value = json_object_get(map, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

void status_fini(struct run_status *self)
{
    free(self->stages);
    *self = (struct run_status){.elapsed_s = NAN, .busy = NAN};
}

struct status_stage *status_add(struct run_status *self, const char *name, const char *kind)
{
    if (self->n == STATUS_STAGES_MAX) {
        return NULL;
    }
    struct status_stage *stages = realloc(self->stages, (self->n + 1) * sizeof *stages);
    if (stages == NULL) {
        return NULL;
    }
    self->stages = stages;
    struct status_stage *stage = &stages[self->n++];
    *stage = (struct status_stage){.frame = NAN, .frames = NAN, .pass = NAN, .passes = NAN, .rate = NAN};
    stage->computing = stage->waiting_input = stage->waiting_output = NAN;
    stage->queue_input = stage->queue_held = stage->queue_ring = stage->restarts = stage->cpu = NAN;
    snprintf(stage->name, sizeof stage->name, "%s", name);
    snprintf(stage->kind, sizeof stage->kind, "%s", kind);
    return stage;
}

static void read_metrics(struct status_stage *stage, json_t *map)
{
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        if (json_is_number(value) && stage->n_metrics < STREAM_METRICS_MAX) {
            struct status_metric *metric = &stage->metrics[stage->n_metrics++];
            snprintf(metric->name, sizeof metric->name, "%s", key);
            metric->value = json_number_value(value);
        }
    }
}

static void read_stage(struct run_status *self, const json_t *map)
{
    struct status_stage *stage = json_is_object(map) ? status_add(self, "", "") : NULL;
    if (stage == NULL) {
        return;
    }
    const json_t *queue = json_object_get(map, "queue");
    get_text(stage->name, sizeof stage->name, map, "name");
    get_text(stage->kind, sizeof stage->kind, map, "kind");
    get_text(stage->state, sizeof stage->state, map, "state");
    stage->frame = get_number(map, "frame");
    stage->frames = get_number(map, "frames");
    stage->pass = get_number(map, "pass");
    stage->passes = get_number(map, "passes");
    stage->rate = get_number(map, "rate");
    stage->computing = get_number(map, "computing");
    stage->waiting_input = get_number(map, "waiting_input");
    stage->waiting_output = get_number(map, "waiting_output");
    stage->cpu = get_number(map, "cpu");
    stage->queue_input = get_number(queue, "input");
    stage->queue_held = get_number(queue, "held");
    stage->queue_ring = get_number(queue, "ring");
    stage->restarts = get_number(map, "restarts");
    read_metrics(stage, json_object_get(map, "metrics"));
}

/* The JSON object that n bytes are; freed by the caller with json_decref. */
static int parse(json_t **root, const char *bytes, size_t n)
{
    json_error_t error = {.text = "it is too large"};
    *root = n > STATUS_BYTES_MAX ? NULL : json_loadb(bytes, n, 0, &error);
    if (json_is_object(*root)) {
        return LOOM_OK;
    }
    const int status = error_set(LOOM_EDATA, "this is no state of a run: %s",
                                 *root == NULL ? error.text : "it is no JSON object");
    json_decref(*root);
    *root = NULL;
    return status;
}

static void read_run(struct run_status *self, const json_t *root)
{
    json_t *stage;
    get_text(self->time, sizeof self->time, root, "time");
    get_text(self->run, sizeof self->run, root, "run");
    get_text(self->state, sizeof self->state, root, "state");
    get_text(self->ending, sizeof self->ending, root, "ending");
    get_text(self->limits, sizeof self->limits, root, "limits");
    get_text(self->sentence, sizeof self->sentence, root, "sentence");
    self->elapsed_s = get_number(root, "elapsed_s");
    self->busy = get_number(root, "busy");
    size_t i;
    json_array_foreach(json_object_get(root, "stages"), i, stage)
    {
        read_stage(self, stage);
    }
}

int status_read(struct run_status *self, const char *bytes, size_t n)
{
    json_t *root;
    *self = (struct run_status){.elapsed_s = NAN, .busy = NAN};
    const int status = parse(&root, bytes, n);
    if (status == LOOM_OK) {
        read_run(self, root);
        json_decref(root);
    }
    return status;
}

/* Seconds since a time in UTC as the launcher writes it; 0 if it is none, below 0 if the clock was set back since. */
static double age_s(const char *time_text)
{
    struct tm utc = {.tm_year = 0};
    const char *rest = strptime(time_text, "%Y-%m-%dT%H:%M:%S", &utc);
    return rest == NULL ? 0 : difftime(time(NULL), timegm(&utc));
}

/* Whether the launcher that wrote RUN/status.json still lives, be it paused. */
static bool launcher_lives(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path));
    const bool lives = folder != NULL && run_lock_is_alive(folder);
    free(folder);
    return lives;
}

/* The JSON object in a file, its state "killed" if it is old and no launcher lives. */
static int load(json_t **root, const char *path)
{
    FILE *file = fopen(path, "re");
    char *bytes = file == NULL ? NULL : malloc(STATUS_BYTES_MAX + 1);
    int status;
    *root = NULL;
    if (bytes == NULL) {
        status = error_set(LOOM_EIO, "'%s' cannot be read: %s", path, strerror(errno));
    } else {
        status = parse(root, bytes, fread(bytes, 1, STATUS_BYTES_MAX + 1, file));
        status = status < 0 ? error_prefix(status, "'%s'", path) : status;
    }
    free(bytes);
    if (file != NULL) {
        fclose(file);
    }
    const char *state = json_string_value(json_object_get(*root, "state"));
    const char *time_text = json_string_value(json_object_get(*root, "time"));
    bool goes_on = state != NULL && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0);
    goes_on = goes_on && run_lock_is_here(json_string_value(json_object_get(*root, "host")));
    if (goes_on && time_text != NULL && fabs(age_s(time_text)) > STATUS_STALE_S && !launcher_lives(path) &&
        json_object_set_new(*root, "state", json_string("killed")) != 0) {
        status = error_set(LOOM_EINTERNAL, "no memory for '%s'", path);
    }
    return status;
}

int status_read_file(struct run_status *self, const char *path)
{
    json_t *root;
    *self = (struct run_status){.elapsed_s = NAN, .busy = NAN};
    const int status = load(&root, path);
    if (status == LOOM_OK) {
        read_run(self, root);
    }
    json_decref(root);
    return status;
}

int status_copy_file(FILE *out, const char *path)
{
    json_t *root;
    const int status = load(&root, path);
    char *text = status == LOOM_OK ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (text == NULL) {
        return status < 0 ? status : error_set(LOOM_EINTERNAL, "no memory for '%s'", path);
    }
    fputs(text, out);
    free(text);
    return LOOM_OK;
}

/* RUN/status.json; "" for none. */
static const char *path_in(char path[PATH_BYTES], const char *folder)
{
    snprintf(path, PATH_BYTES, "%s%s", folder, folder[0] == '\0' ? "" : "/status.json");
    return path;
}

int status_read_run(struct run_status *self, const char *run, const char *sweep)
{
    char path[PATH_BYTES];
    const int status = status_read_file(self, path_in(path, run));
    return status == LOOM_OK || sweep == NULL ? status : status_read_file(self, path_in(path, sweep));
}

int status_copy_run(FILE *out, const char *run, const char *sweep)
{
    char path[PATH_BYTES];
    const int status = status_copy_file(out, path_in(path, run));
    return status == LOOM_OK || sweep == NULL ? status : status_copy_file(out, path_in(path, sweep));
}

/* ---- as JSON ---- */

static void write_text(FILE *out, const char *key, const char *text)
{
    fprintf(out, "\"%s\":", key);
    if (text[0] != '\0') {
        log_json_string(out, text);
    } else {
        fputs("null", out);
    }
}

static void put_number(FILE *out, double value)
{
    if (isfinite(value)) {
        fprintf(out, "%.15g", value);
    } else {
        fputs("null", out);
    }
}

static void write_number(FILE *out, const char *key, double value)
{
    fprintf(out, ",\"%s\":", key);
    put_number(out, value);
}

static void write_stage(const struct status_stage *stage, FILE *out)
{
    fputc('{', out);
    write_text(out, "name", stage->name);
    fputc(',', out);
    write_text(out, "kind", stage->kind);
    fputc(',', out);
    write_text(out, "state", stage->state);
    write_number(out, "frame", stage->frame);
    write_number(out, "frames", stage->frames);
    write_number(out, "pass", stage->pass);
    write_number(out, "passes", stage->passes);
    write_number(out, "rate", stage->rate);
    write_number(out, "computing", stage->computing);
    write_number(out, "waiting_input", stage->waiting_input);
    write_number(out, "waiting_output", stage->waiting_output);
    write_number(out, "cpu", stage->cpu);
    if (isfinite(stage->queue_input) || isfinite(stage->queue_held) || isfinite(stage->queue_ring)) {
        fputs(",\"queue\":{\"input\":", out);
        put_number(out, stage->queue_input);
        write_number(out, "held", stage->queue_held);
        write_number(out, "ring", stage->queue_ring);
        fputc('}', out);
    }
    write_number(out, "restarts", stage->restarts);
    fputs(",\"metrics\":{", out);
    for (size_t i = 0; i < stage->n_metrics; i++) {
        fputs(i == 0 ? "" : ",", out);
        log_json_string(out, stage->metrics[i].name);
        fputc(':', out);
        put_number(out, stage->metrics[i].value);
    }
    fputs("}}", out);
}

void status_write(const struct run_status *self, FILE *out)
{
    fputs("{\"v\":1,", out);
    write_text(out, "time", self->time);
    fputc(',', out);
    write_text(out, "run", self->run);
    fputc(',', out);
    write_text(out, "state", self->state);
    write_number(out, "elapsed_s", self->elapsed_s);
    write_number(out, "busy", self->busy);
    fputs(",\"stages\":[", out);
    for (size_t i = 0; i < self->n; i++) {
        fputs(i == 0 ? "" : ",", out);
        write_stage(&self->stages[i], out);
    }
    fputs("],", out);
    write_text(out, "limits", self->limits);
    fputc(',', out);
    write_text(out, "sentence", self->sentence);
    fputc('}', out);
}

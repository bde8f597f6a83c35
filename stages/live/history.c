/* See history.h. */
#include "history.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_MAX_BYTES 65536 /* longer lines are none of ours */

void history_fini(struct history *self)
{
    for (size_t i = 0; i < self->n; i++) {
        free(self->stages[i].rows);
    }
    *self = (struct history){.n = 0};
}

void history_forget(struct history *self, const char *name)
{
    for (size_t i = 0; i < self->n; i++) {
        if (strcmp(self->stages[i].name, name) == 0) {
            self->stages[i].n = self->stages[i].n_metrics = 0;
        }
    }
    self->read = 0;
}

static struct history_stage *find_stage(struct history *self, const char *name)
{
    for (size_t i = 0; i < self->n; i++) {
        if (strcmp(self->stages[i].name, name) == 0) {
            return &self->stages[i];
        }
    }
    if (self->n == HISTORY_STAGES_MAX) {
        return NULL;
    }
    struct history_stage *stage = &self->stages[self->n++];
    *stage = (struct history_stage){.n = 0};
    snprintf(stage->name, sizeof stage->name, "%s", name);
    return stage;
}

/* The place of a metric in a stage's rows; STREAM_METRICS_MAX: there is no room for another. */
static size_t find_metric(struct history_stage *stage, const char *name)
{
    size_t i = 0;
    while (i < stage->n_metrics && strcmp(stage->metrics[i], name) != 0) {
        i++;
    }
    if (i == stage->n_metrics && i < STREAM_METRICS_MAX) {
        snprintf(stage->metrics[i], sizeof stage->metrics[i], "%s", name);
        stage->n_metrics++;
        for (size_t r = 0; r < stage->n; r++) {
            stage->rows[r].values[i] = NAN;
        }
    }
    return i;
}

/* Room for one more row: memory grows up to a bound, then older passes are thinned. */
static bool make_room(struct history_stage *stage)
{
    if (stage->n < stage->room) {
        return true;
    }
    if (stage->n >= HISTORY_ROWS_MAX) {
        size_t kept = 0;
        for (size_t r = 0; r < stage->n; r++) {
            if (r >= stage->n / 2 || r % 2 == 0) {
                stage->rows[kept++] = stage->rows[r];
            }
        }
        stage->n = kept;
        return true;
    }
    const size_t room = stage->room == 0 ? 64 : 2 * stage->room;
    struct history_row *rows = realloc(stage->rows, room * sizeof *rows);
    if (rows != NULL) {
        stage->rows = rows;
        stage->room = room;
    }
    return rows != NULL;
}

bool history_add(struct history *self, const char *name, uint64_t pass, const struct metric *metrics,
                 size_t n)
{
    struct history_stage *stage = find_stage(self, name);
    if (stage == NULL || n == 0) {
        return false;
    }
    size_t at = stage->n;
    while (at > 0 && stage->rows[at - 1].pass > pass) {
        at--;
    }
    if (at > 0 && stage->rows[at - 1].pass == pass) {
        return false;
    }
    const size_t before = stage->n;
    if (!make_room(stage)) {
        return false;
    }
    at = stage->n < before ? stage->n : at; /* thinned: passes come in order but for a few at the start */
    memmove(stage->rows + at + 1, stage->rows + at, (stage->n - at) * sizeof *stage->rows);
    struct history_row *row = &stage->rows[at];
    row->pass = pass;
    stage->n++;
    for (size_t i = 0; i < STREAM_METRICS_MAX; i++) {
        row->values[i] = NAN;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t place = find_metric(stage, metrics[i].name);
        if (place < STREAM_METRICS_MAX) {
            stage->rows[at].values[place] = metrics[i].value;
        }
    }
    return true;
}

/* ---- metrics.jsonl ---- */

/* The metrics of a line that tells of a pass; returns how many, 0 if it tells of none. They refer to root. */
static size_t read_line(const json_t *root, const char **stage, uint64_t *pass,
                        struct metric metrics[STREAM_METRICS_MAX])
{
    const char *event = json_string_value(json_object_get(root, "event")), *key;
    json_t *map = json_object_get(root, "metrics"), *value;
    const json_int_t number = json_integer_value(json_object_get(root, "pass"));
    size_t n = 0;
    *stage = json_string_value(json_object_get(root, "stage"));
    *pass = (uint64_t)number;
    if (event == NULL || strcmp(event, "pass") != 0 || *stage == NULL || number < 1) {
        return 0;
    }
    json_object_foreach(map, key, value)
    {
        if (json_is_number(value) && n < STREAM_METRICS_MAX) {
            metrics[n++] = (struct metric){key, json_number_value(value)};
        }
    }
    return n;
}

bool history_follow(struct history *self, const char *path,
                    void (*told)(void *argument, const char *stage, uint64_t pass,
                                 const struct metric *metrics, size_t n),
                    void *argument)
{
    FILE *file = fopen(path, "re");
    struct stat about;
    char *line = NULL;
    size_t size = 0;
    bool replaced = false;
    if (file == NULL || fstat(fileno(file), &about) != 0) {
        goto done;
    }
    if (about.st_ino != self->inode || about.st_size < self->read) { /* the first, or another run's */
        replaced = self->inode != 0;
        if (replaced) {
            history_fini(self);
        }
        self->inode = about.st_ino;
        self->read = 0;
    }
    if (fseeko(file, self->read, SEEK_SET) != 0) {
        goto done;
    }
    for (ssize_t n; (n = getline(&line, &size, file)) > 0 && line[n - 1] == '\n'; self->read += n) {
        struct metric metrics[STREAM_METRICS_MAX];
        const char *stage;
        uint64_t pass;
        json_error_t ignored;
        json_t *root = n > LINE_MAX_BYTES ? NULL : json_loadb(line, (size_t)n, 0, &ignored);
        const size_t n_metrics = root == NULL ? 0 : read_line(root, &stage, &pass, metrics);
        if (n_metrics > 0 && history_add(self, stage, pass, metrics, n_metrics) && told != NULL) {
            told(argument, stage, pass, metrics, n_metrics);
        }
        json_decref(root);
    }
done:
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    return replaced;
}

/* ---- messages ---- */

static void write_number(FILE *out, double value)
{
    if (isfinite(value)) {
        fprintf(out, "%.9g", value);
    } else {
        fputs("null", out);
    }
}

static void say_stage(struct say *say, const struct history_stage *stage)
{
    const size_t step = (stage->n + HISTORY_PASSES_MAX - 1) / HISTORY_PASSES_MAX;
    const size_t first = step > 1 ? (stage->n - 1) % step : 0; /* so that the newest is among them */
    log_json_string(say->json, stage->name);
    fputs(":{\"passes\":[", say->json);
    for (size_t r = first; r < stage->n; r += step) {
        fprintf(say->json, "%s%" PRIu64, r == first ? "" : ",", stage->rows[r].pass);
    }
    fputs("],\"values\":{", say->json);
    for (size_t i = 0; i < stage->n_metrics; i++) {
        fputs(i == 0 ? "" : ",", say->json);
        log_json_string(say->json, stage->metrics[i]);
        fputs(":[", say->json);
        for (size_t r = first; r < stage->n; r += step) {
            fputs(r == first ? "" : ",", say->json);
            write_number(say->json, stage->rows[r].values[i]);
        }
        fputc(']', say->json);
    }
    fputs("}}", say->json);
}

int history_say(const struct history *self, struct said **out)
{
    static _Thread_local struct say say; /* large */
    bool any = false;
    say_begin(&say, "history");
    fputs(",\"series\":{", say.json);
    for (size_t i = 0; i < self->n; i++) {
        if (self->stages[i].n > 0) {
            fputs(any ? "," : "", say.json);
            say_stage(&say, &self->stages[i]);
            any = true;
        }
    }
    fputc('}', say.json);
    return say_finish(&say, out);
}

int history_say_pass(const char *stage, uint64_t pass, const struct metric *metrics, size_t n,
                     struct said **out)
{
    static _Thread_local struct say say;
    say_begin(&say, "metrics");
    say_text(&say, "name", stage);
    fprintf(say.json, ",\"pass\":%" PRIu64 ",\"values\":{", pass);
    for (size_t i = 0; i < n; i++) {
        fputs(i == 0 ? "" : ",", say.json);
        log_json_string(say.json, metrics[i].name);
        fputc(':', say.json);
        write_number(say.json, metrics[i].value);
    }
    fputc('}', say.json);
    return say_finish(&say, out);
}

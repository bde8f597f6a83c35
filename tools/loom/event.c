/* See event.h. */
#include "event.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "yaml_tree.h"

#define CPU_MAX 100000 /* processors; no machine has so many */

static uint64_t read_count(const struct node *map, const char *key)
{
    const char *text = yaml_tree_text(map, key);
    return text && *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : 0;
}

static bool read_real(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && !*end && isfinite(*value);
}

static void read_metrics(struct event *self, const struct node *map)
{
    for (size_t i = 0; map && map->kind == NODE_MAP && i < map->n && self->n_metrics < EVENT_METRICS_MAX;
         i++) {
        struct reading *reading = &self->metrics[self->n_metrics];
        if (map->items[i]->kind != NODE_SCALAR || !read_real(map->items[i]->text, &reading->value)) {
            continue;
        }
        snprintf(reading->name, sizeof reading->name, "%s", map->keys[i]->text);
        for (char *at = reading->name; *at; at++) { /* it will stand on a terminal */
            *at = *at > ' ' && *at <= '~' ? *at : '?';
        }
        self->n_metrics++;
    }
}

/* A number from 0 to most, NAN if there is none. */
static double read_share(const struct node *map, const char *key, double most)
{
    const char *text = yaml_tree_text(map, key);
    double value;
    return text && read_real(text, &value) && value >= 0 && value <= most ? value : NAN;
}

static void read_load(struct event *self, const struct node *root)
{
    const struct node *queue = yaml_tree_get(root, "queue");
    self->shares = (struct log_shares){.computing = read_share(root, "computing", 1),
                                       .waiting_input = read_share(root, "waiting_input", 1),
                                       .waiting_output = read_share(root, "waiting_output", 1),
                                       .cpu = read_share(root, "cpu", CPU_MAX)};
    self->queue =
        (struct log_queue){.input = yaml_tree_text(queue, "input") ? read_count(queue, "input") : UINT64_MAX,
                           .held = yaml_tree_text(queue, "held") ? read_count(queue, "held") : UINT64_MAX,
                           .ring = yaml_tree_text(queue, "ring") ? read_count(queue, "ring") : UINT64_MAX};
}

static bool read_fields(struct event *self, const struct node *root)
{
    const char *event = yaml_tree_text(root, "event"), *level = yaml_tree_text(root, "level");
    const char *stage = yaml_tree_text(root, "stage"), *rate = yaml_tree_text(root, "rate");
    if (!event) {
        return false;
    }
    self->stage = stage ? stage : "";
    if (strcmp(event, "log") == 0) {
        self->kind = EVENT_LOG;
        self->message = yaml_tree_text(root, "message");
        if (level && strcmp(level, "info") != 0) {
            self->level = strcmp(level, "error") == 0    ? EVENT_ERROR
                          : strcmp(level, "notice") == 0 ? EVENT_NOTICE
                                                         : EVENT_WARNING;
        }
        return self->message != NULL;
    }
    read_load(self, root);
    if (strcmp(event, "alive") == 0) {
        self->kind = EVENT_ALIVE;
        return true;
    }
    self->pass = read_count(root, "pass");
    read_metrics(self, yaml_tree_get(root, "metrics"));
    if (strcmp(event, "pass") == 0) {
        self->kind = EVENT_PASS;
        return true;
    }
    self->kind = EVENT_PROGRESS;
    self->frame = read_count(root, "frame");
    self->frames = read_count(root, "frames");
    self->passes = read_count(root, "passes");
    if (!rate || !read_real(rate, &self->rate)) {
        self->rate = 0;
    }
    return strcmp(event, "progress") == 0;
}

/* The event as a JSON line of our own. */
static const char *message_line(struct arena *arena, const char *stage, enum event_level level,
                                const char *message)
{
    static const char *const levels[] = {"info", "notice", "warning", "error"};
    struct timespec now;
    struct tm utc;
    char stamp[32], *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out) {
        return "{}";
    }
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(out, "{\"time\":\"%s.%03ldZ\",\"stage\":", stamp, now.tv_nsec / 1000000);
    log_json_string(out, stage);
    fprintf(out, ",\"event\":\"log\",\"level\":\"%s\",\"message\":", levels[level]);
    log_json_string(out, message);
    fputc('}', out);
    fclose(out);
    const char *line = arena_copy(arena, text ? text : "{}");
    free(text);
    return line;
}

static void as_text(struct event *self, struct arena *arena, const char *stage, enum event_level level,
                    const char *message)
{
    *self = (struct event){.kind = EVENT_LOG, .level = level, .stage = stage};
    self->message = arena_copy(arena, message);
    self->line = message_line(arena, stage, level, message);
}

void event_parse(struct event *self, struct arena *arena, const char *stage, const char *line)
{
    *self = (struct event){0};
    if (*line == '{') {
        struct diagnostics ignored = {.arena = arena};
        struct place place = {.source = stage};
        struct node *root = yaml_tree_parse(arena, &ignored, place, line, strlen(line));
        if (root && !ignored.errors && read_fields(self, root)) {
            self->line = line;
            return;
        }
    }
    as_text(self, arena, stage, EVENT_INFO, line);
}

void event_message(struct event *self, struct arena *arena, enum event_level level, const char *message)
{
    as_text(self, arena, "loom", level, message);
}

/* The entry of a stage in the list of passes told, made if there is none. */
static struct told *find_told(struct journal *self, const char *stage)
{
    for (size_t i = 0; i < self->n_told; i++) {
        if (strcmp(self->told[i].stage, stage) == 0) {
            return &self->told[i];
        }
    }
    self->told = arena_grow(&self->arena, self->told, self->n_told, sizeof *self->told);
    struct told *told = &self->told[self->n_told++];
    *told = (struct told){.stage = arena_copy(&self->arena, stage)};
    return told;
}

/* Open for appending; whole lines are handed to `self` if it is not NULL, the rest behind them is cut off. */
static int open_lines(FILE **file, struct journal *self, const char *path)
{
    char *line = NULL;
    size_t size = 0;
    off_t whole = 0;
    *file = fopen(path, "a+e");
    if (!*file) {
        return error_set(LOOM_EIO, "%s: %s", path, strerror(errno));
    }
    rewind(*file);
    for (ssize_t n; (n = getline(&line, &size, *file)) > 0 && line[n - 1] == '\n'; whole += n) {
        struct arena scratch = {0};
        struct event event;
        line[n - 1] = '\0';
        if (self) {
            event_parse(&event, &scratch, "", line);
        }
        if (self && event.kind == EVENT_PASS) {
            struct told *told = find_told(self, event.stage);
            told->pass = event.pass > told->pass ? event.pass : told->pass;
        }
        arena_fini(&scratch);
    }
    free(line);
    if (ftruncate(fileno(*file), whole) != 0 || fseeko(*file, 0, SEEK_END) != 0) {
        return error_set(LOOM_EIO, "%s: %s", path, strerror(errno));
    }
    return LOOM_OK;
}

int journal_open(struct journal *self, const char *folder)
{
    *self = (struct journal){0};
    int status = open_lines(&self->log, NULL, arena_format(&self->arena, "%s/log.jsonl", folder));
    if (!status) {
        status = open_lines(&self->metrics, self, arena_format(&self->arena, "%s/metrics.jsonl", folder));
    }
    return status;
}

bool journal_take(struct journal *self, const char *stage, const struct event *event)
{
    FILE *file = event->kind == EVENT_LOG ? self->log : NULL;
    if (event->kind == EVENT_PASS) {
        struct told *told = find_told(self, stage);
        if (event->pass <= told->pass) {
            return false;
        }
        told->pass = event->pass;
        file = self->metrics;
    }
    if (file && (fprintf(file, "%s\n", event->line) < 0 || fflush(file) != 0) && !self->failed) {
        self->failed = true;
        fprintf(stderr, "loom: the journal cannot be written: %s\n", strerror(errno));
    }
    return true;
}

void journal_close(struct journal *self)
{
    if (self->log) {
        fclose(self->log);
    }
    if (self->metrics) {
        fclose(self->metrics);
    }
    arena_fini(&self->arena);
    *self = (struct journal){0};
}

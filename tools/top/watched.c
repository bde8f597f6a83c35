/* See watched.h. */
#include "watched.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "run_lock.h"

#define RUNS "runs"
#define BYTES_MAX ((size_t)4 << 20)

double json_number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *json_text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Seconds since the epoch of "2026-11-27T18:00:00.000Z", NAN if it is none. */
static double read_time(const char *text)
{
    struct tm utc = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
    char *end = NULL;
    double fraction = rest && *rest == '.' ? strtod(rest, &end) : 0;
    return !rest ? NAN : (double)timegm(&utc) + fraction;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Whether a state is one that a launcher writes. */
static bool is_state(const char *state)
{
    static const char *const states[] = {"running", "paused", "finished", "stopped", "failed"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (strcmp(state, states[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Read FOLDER/status.json. Returns 1 if there is none. */
static int read_status(const char *folder, json_t **status)
{
    char *path = NULL, *text = NULL;
    json_error_t why;
    int result = 0;
    *status = NULL;
    if (asprintf(&path, "%s/status.json", folder) < 0 || !(text = malloc(BYTES_MAX + 1))) {
        free(path);
        return error_set(LOOM_EINTERNAL, "out of memory for a status");
    }
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(text, 1, BYTES_MAX + 1, file) : 0;
    if (!file) {
        result = errno == ENOENT || errno == ENOTDIR
                     ? 1
                     : error_set(LOOM_EIO, "%s cannot be read: %s", path, strerror(errno));
    } else if (n > BYTES_MAX || !(*status = json_loadb(text, n, 0, &why))) {
        result =
            error_set(LOOM_EDATA, "%s is damaged: %s", path, n > BYTES_MAX ? "it is too long" : why.text);
    } else if (!json_is_array(json_object_get(*status, "stages")) ||
               isnan(read_time(json_text_of(*status, "time")))) {
        json_decref(*status);
        *status = NULL;
        result = error_set(LOOM_EDATA, "%s is no status of a run", path);
    } else if (!is_state(json_text_of(*status, "state"))) {
        result = error_set(
            LOOM_EDATA,
            "%s has the state '%.40s', which this loom top does not know: the run is of a newer loom, "
            "or the file is damaged",
            path, json_text_of(*status, "state"));
        json_decref(*status);
        *status = NULL;
    }
    if (file) {
        fclose(file);
    }
    free(text);
    free(path);
    return result;
}

/* Take over a status. One from another machine is taken at its word (run_lock.h); a time that is yet to come is old, too:
 * the clock has been set back since. */
static void judge(struct watched *self, json_t *status)
{
    json_decref(self->status);
    self->status = status;
    double age_s = now_s() - read_time(json_text_of(status, "time"));
    self->age_s = fmax(0, age_s);
    self->state = json_text_of(status, "state");
    self->elsewhere = !run_lock_is_here(json_text_of(status, "host"));
    if (self->elsewhere || fabs(age_s) <= WATCHED_STALE_S || !watched_goes_on(self)) {
        return;
    }
    if (!run_lock_is_alive(self->folder)) {
        self->state = "killed";
    } else if (age_s > 0 && strcmp(self->state, "running") == 0) {
        self->state = "held";
    }
}

static bool has(const char *folder, const char *name)
{
    char *path = NULL;
    bool there = asprintf(&path, "%s/%s", folder, name) >= 0 && access(path, F_OK) == 0;
    free(path);
    return there;
}

/* Why there is no status in a folder. */
static int explain(const char *folder)
{
    if (access(folder, F_OK) != 0) {
        return error_set(LOOM_EUSAGE, "there is no folder '%s'; name that of a run: loom top runs/NAME",
                         folder);
    }
    if (!has(folder, "pipeline.yaml") && !has(folder, "lock")) {
        return error_set(LOOM_EUSAGE, "'%s' is not the folder of a run", folder);
    }
    return error_set(
        LOOM_EPEER,
        "'%s' has no status.json: it was run by an older loom, or has only just begun; run it again "
        "with loom run",
        folder);
}

/* The run in runs/ that goes on and began last. */
static int find_newest(struct watched *self)
{
    DIR *runs = opendir(RUNS);
    double newest = -INFINITY;
    for (struct dirent *entry; runs && (entry = readdir(runs));) {
        struct watched other = {.folder = NULL};
        json_t *status = NULL;
        if (entry->d_name[0] == '.' || asprintf(&other.folder, RUNS "/%s", entry->d_name) < 0) {
            continue;
        }
        if (read_status(other.folder, &status) == 0) {
            judge(&other, status);
        }
        double began = now_s() - other.age_s - json_number_of(other.status, "elapsed_s");
        if (other.status && watched_goes_on(&other) && began > newest) {
            newest = began;
            watched_close(self);
            *self = other;
        } else {
            watched_close(&other);
        }
    }
    if (runs) {
        closedir(runs);
    }
    return self->status ? 0
                        : error_set(LOOM_EPEER,
                                    "no run goes on in %s/: start one with loom run, or name the "
                                    "folder of one: loom top RUN (loom top --once RUN shows how it "
                                    "ended)",
                                    RUNS);
}

/* The folder in which this one lies, by its name; the caller frees it. NULL if memory runs out. */
static char *folder_above(const char *folder)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') {
        n--;
    }
    while (n > 0 && folder[n - 1] != '/') {
        n--;
    }
    return n > 1 ? strndup(folder, n - 1) : strdup("..");
}

int watched_open(struct watched *self, const char *folder)
{
    json_t *status = NULL;
    char *sweep = NULL;
    *self = (struct watched){.state = ""};
    if (!folder) {
        return find_newest(self);
    }
    sweep = folder_above(folder);
    if (!sweep) {
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    bool member = !has(folder, "status.json") && has(folder, "pipeline.yaml") && has(sweep, "over.yaml");
    self->folder = strdup(member ? sweep : folder);
    free(sweep);
    if (!self->folder) {
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    int result = read_status(self->folder, &status);
    if (result == 0) {
        judge(self, status);
    }
    return result == 1 ? explain(self->folder) : result;
}

int watched_read(struct watched *self)
{
    json_t *status = NULL;
    int result = read_status(self->folder, &status);
    if (result == 0) {
        judge(self, status);
    }
    return result == 1 ? error_set(LOOM_EPEER, "%s/status.json has gone", self->folder) : result;
}

void watched_close(struct watched *self)
{
    json_decref(self->status);
    free(self->folder);
    *self = (struct watched){.state = ""};
}

bool watched_goes_on(const struct watched *self)
{
    static const char *const states[] = {"running", "paused", "held"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (strcmp(self->state, states[i]) == 0) {
            return true;
        }
    }
    return false;
}

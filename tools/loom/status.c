/* See status.h. */
#include "status.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define DUE_MS 990    /* a little less than the second at which the launcher wakes at the latest */
#define FRESH_MS 5000 /* older figures of a stage that runs are not told */
#define METRICS_MAX (2 * EVENT_METRICS_MAX)

/* ---- the machine ---- */

/* Ticks of the processors that this process may use, since the machine started; false if they are not known. */
static bool read_ticks(uint64_t *all, uint64_t *idle, int *processors)
{
    cpu_set_t ours;
    char line[512];
    FILE *file = sched_getaffinity(0, sizeof ours, &ours) == 0 ? fopen("/proc/stat", "re") : NULL;
    *all = *idle = 0;
    *processors = 0;
    while (file && fgets(line, sizeof line, file)) {
        unsigned cpu;
        uint64_t t[8] = {0}; /* user, nice, system, idle, iowait, irq, softirq, steal */
        if (strncmp(line, "cpu", 3) != 0 || !isdigit((unsigned char)line[3]) || /* "cpu " is the sum of all */
            sscanf(line,
                   "cpu%u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                   " %" SCNu64,
                   &cpu, &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) < 5 ||
            cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &ours)) {
            continue;
        }
        for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
            *all += t[i];
        }
        *idle += t[3] + t[4];
        ++*processors;
    }
    if (file) {
        fclose(file);
    }
    return *processors > 0;
}

/* What the processors did since the last look. */
static void look_at_machine(struct status *self)
{
    uint64_t all, idle;
    int processors;
    if (!read_ticks(&all, &idle, &processors)) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        self->machine = (struct machine){.processors = online > 0 ? (int)online : 1, .busy = NAN};
        return;
    }
    self->machine.processors = processors;
    if (all > self->ticks && idle >= self->idle_ticks) {
        double passed = (double)(all - self->ticks);
        self->machine.busy = fmax(0, 1 - (double)(idle - self->idle_ticks) / passed);
    }
    self->ticks = all;
    self->idle_ticks = idle;
}

/* ---- writing ---- */

static void write_number(FILE *out, const char *name, double value)
{
    fprintf(out, isfinite(value) ? ",\"%s\":%.9g" : ",\"%s\":null", name, value);
}

static void write_count(FILE *out, const char *name, uint64_t value, bool known)
{
    fprintf(out, known ? ",\"%s\":%" PRIu64 : ",\"%s\":null", name, value);
}

static void write_text(FILE *out, const char *name, const char *text)
{
    fprintf(out, ",\"%s\":", name);
    if (text) {
        log_json_string(out, text);
    } else {
        fputs("null", out);
    }
}

/* The metrics of the pass so far, and of those that are only known at its end the newest. */
static void write_metrics(FILE *out, const struct gauge *gauge)
{
    struct reading all[METRICS_MAX];
    size_t n = 0;
    memcpy(all, gauge->metrics, gauge->n_metrics * sizeof *all);
    n = gauge->n_metrics;
    for (size_t i = 0; i < gauge->n_last; i++) {
        size_t j = 0;
        while (j < n && strcmp(all[j].name, gauge->last[i].name) != 0) {
            j++;
        }
        if (j == n) {
            all[n++] = gauge->last[i];
        }
    }
    fputs(",\"metrics\":{", out);
    for (size_t i = 0; i < n; i++) {
        fputs(i == 0 ? "" : ",", out);
        log_json_string(out, all[i].name);
        fprintf(out, isfinite(all[i].value) ? ":%.9g" : ":null", all[i].value);
    }
    fputc('}', out);
}

static void write_queue(FILE *out, const struct log_queue *queue)
{
    fputs(",\"queue\":{\"input\":", out);
    fprintf(out, queue->input < UINT64_MAX ? "%" PRIu64 : "null", queue->input);
    write_count(out, "held", queue->held, queue->held < UINT64_MAX);
    write_count(out, "ring", queue->ring, queue->ring < UINT64_MAX);
    fputc('}', out);
}

static void write_load(FILE *out, const struct gauge *gauge, bool ended, int64_t now_ms)
{
    struct log_shares shares = gauge_shares(gauge);
    double rate = gauge_rate(gauge, now_ms);
    if (ended) {
        (void)gauge_mean_shares(gauge, &shares);
        (void)gauge_mean_rate(gauge, &rate);
    } else if (gauge->state || now_ms - gauge->heard_ms > FRESH_MS) {
        bool looks = gauge->looks && strcmp(gauge->state ? gauge->state : "", "looking") == 0;
        shares = looks ? shares : LOG_SHARES_UNKNOWN;
        rate = NAN;
    }
    write_number(out, "rate", gauge->looks ? NAN : rate);
    log_json_shares(out, &shares);
}

static const char *state_of(const struct gauge *gauge)
{
    return !gauge->state || strcmp(gauge->state, "looking") == 0 ? "running" : gauge->state;
}

static void write_stage(FILE *out, const struct gauge *gauge, bool ended, int64_t now_ms)
{
    fputs("{\"name\":", out);
    log_json_string(out, gauge->name);
    write_text(out, "kind", gauge->kind);
    write_text(out, "member", gauge->member);
    write_text(out, "state", state_of(gauge));
    write_count(out, "frame", gauge->frame, !gauge->looks);
    write_count(out, "frames", gauge->frames, gauge->frames > 0);
    write_count(out, "pass", gauge->pass, gauge->pass > 0);
    write_count(out, "passes", gauge->passes, gauge->passes > 0);
    write_load(out, gauge, ended, now_ms);
    write_queue(out, &gauge->queue);
    fprintf(out, ",\"restarts\":%d", gauge->restarts);
    log_json_share(out, "silent_s",
                   ended || !gauge->heard_ms ? NAN : (double)(now_ms - gauge->heard_ms) / 1000);
    write_metrics(out, gauge);
    fputc('}', out);
}

/* The sentence, and the stage that it is about. */
static void conclude(const struct status *self, enum status_state state, const char *why,
                     struct bottleneck *limits, int64_t now_ms)
{
    static const char *const ends[] = {[STATUS_FINISHED] = "The run has finished.",
                                       [STATUS_STOPPED] = "The run was stopped; the same command goes on.",
                                       [STATUS_FAILED] = "The run has failed."};
    char said[BOTTLENECK_TEXT_BYTES];
    if (state == STATUS_RUNNING && !self->note) {
        bottleneck_find(limits, self->gauges, self->n, &self->machine, now_ms);
        return;
    }
    if (state == STATUS_RUNNING || state == STATUS_PAUSED) {
        *limits = (struct bottleneck){.gauge = NULL};
        snprintf(limits->sentence, sizeof limits->sentence, "%s",
                 state == STATUS_PAUSED ? "The run is paused." : self->note);
        return;
    }
    bottleneck_review(limits, self->gauges, self->n);
    snprintf(said, sizeof said, "%s", limits->sentence);
    int length = snprintf(limits->sentence, sizeof limits->sentence, "%s%s%s%s%s", ends[state],
                          *said ? " " : "", said, why ? " " : "", why ? why : "");
    if (length >= (int)sizeof limits->sentence) {
        memcpy(limits->sentence + sizeof limits->sentence - sizeof "...", "...", sizeof "...");
    }
}

static void write_all(const struct status *self, FILE *out, enum status_state state, const char *why)
{
    static const char *const states[] = {"running", "paused", "finished", "stopped", "failed"};
    int64_t now_ms = clock_ms();
    bool ended = state != STATUS_RUNNING && state != STATUS_PAUSED;
    struct bottleneck limits;
    struct timespec now;
    struct tm utc;
    char stamp[32], host[HOST_NAME_MAX + 1] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    conclude(self, state, why, &limits, now_ms);
    fprintf(out, "{\"v\":1,\"time\":\"%s.%03ldZ\"", stamp, now.tv_nsec / 1000000);
    write_text(out, "run", self->run);
    write_text(out, "state", states[state]);
    write_text(out, "ending", ended ? NULL : self->ending);
    write_text(out, "host", gethostname(host, sizeof host - 1) == 0 ? host : NULL);
    fprintf(out, ",\"elapsed_s\":%.1f,\"processors\":%d", (double)(now_ms - self->began_ms) / 1000,
            self->machine.processors);
    log_json_share(out, "busy", self->machine.busy);
    fputs(",\"stages\":[", out);
    for (size_t i = 0; i < self->n; i++) {
        fputs(i == 0 ? "\n" : ",\n", out);
        write_stage(out, self->gauges[i], ended, now_ms);
    }
    fputs("]", out);
    write_text(out, "limits", limits.gauge ? limits.gauge->name : NULL);
    write_text(out, "sentence", limits.sentence);
    fputs("}\n", out);
}

void status_init(struct status *self, struct arena *arena, const char *folder, const char *run,
                 int64_t began_ms)
{
    *self = (struct status){.run = run, .began_ms = began_ms, .machine = {.busy = NAN}};
    self->path = arena_format(arena, "%s/status.json", folder);
    self->temporary = arena_format(arena, "%s/status.json.part", folder);
    look_at_machine(self);
    self->machine.busy = NAN; /* what was since the machine started says nothing */
}

static int write_file(struct status *self, enum status_state state, const char *why)
{
    FILE *out = fopen(self->temporary, "we");
    int reason = errno; /* if it is NULL */
    self->written_ms = clock_ms();
    look_at_machine(self);
    bool written = false;
    if (out) {
        errno = 0;
        write_all(self, out, state, why);
        written = !ferror(out);
        reason = errno ? errno : EIO; /* which only counts if something failed */
        if (fclose(out) != 0) {
            reason = written ? errno : reason;
            written = false;
        }
    }
    if (written && rename(self->temporary, self->path) == 0) {
        return LOOM_OK;
    }
    reason = written ? errno : reason;
    (void)unlink(self->temporary);
    return error_set(LOOM_EIO, "%s cannot be written: %s", self->path, strerror(reason));
}

int status_write(struct status *self, enum status_state state)
{
    return write_file(self, state, NULL);
}

void status_end(struct status *self, enum status_state state, const char *why)
{
    if (write_file(self, state, why) < 0 && !self->failed) {
        self->failed = true;
        fprintf(stderr, "loom: %s\n", error_message());
    }
}

bool status_is_due(const struct status *self)
{
    return clock_ms() - self->written_ms >= DUE_MS;
}

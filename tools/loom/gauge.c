/* See gauge.h. */
#include "gauge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

#define FIRST_SHARES_S 0.5 /* for which the first shares of a stage count that did not tell when it began */
#define DONE_MS 1000       /* after which the rate of one that has done all is 0 */
#define MARK_MS 240        /* at least, between two marks, so that they reach back for the window and more */

void gauge_begin(struct gauge *self)
{
    self->shares = LOG_SHARES_UNKNOWN;
    self->queue = (struct log_queue){.input = UINT64_MAX, .held = UINT64_MAX, .ring = UINT64_MAX};
    self->shares_ms = self->line_ms = self->advanced_ms = self->stride_ms = 0;
    self->stride_frames = 0;
    self->n_marks = 0;
    self->heard_ms = clock_ms();
}

/* ---- marks ---- */

static const struct gauge_mark *mark_at(const struct gauge *self, size_t back)
{
    return &self->marks[(self->n_marks - 1 - back) % GAUGE_MARKS];
}

/* The oldest mark that lies within the window before the newest line; that before it, if it is alone; NULL: none. */
static const struct gauge_mark *find_mark(const struct gauge *self, uint64_t below)
{
    size_t n = self->n_marks < GAUGE_MARKS ? self->n_marks : GAUGE_MARKS;
    const struct gauge_mark *found = NULL;
    for (size_t back = 0; back < n; back++) {
        const struct gauge_mark *mark = mark_at(self, back);
        if (mark->frame < below && (found == NULL || self->line_ms - mark->ms <= GAUGE_WINDOW_MS)) {
            found = mark;
        }
    }
    return found;
}

static void set_mark(struct gauge *self)
{
    if (self->n_marks > 0 && self->line_ms - mark_at(self, 0)->ms < MARK_MS) {
        return;
    }
    self->n_marks++;
    self->marks[(self->n_marks - 1) % GAUGE_MARKS] = (struct gauge_mark){
        .ms = self->line_ms, .advanced_ms = self->advanced_ms, .frame = self->frame, .spent = self->spent};
}

/* ---- taking lines ---- */

/* Shares count for the time since the last line. */
static void take_shares(struct gauge *self, const struct event *event, int64_t now_ms)
{
    struct spent *spent = &self->spent;
    self->shares = event->shares;
    self->queue = event->queue;
    if (isnan(event->shares.computing + event->shares.waiting_input + event->shares.waiting_output)) {
        return;
    }
    double seconds = self->line_ms ? (double)(now_ms - self->line_ms) / 1000 : FIRST_SHARES_S;
    self->shares_ms = now_ms;
    spent->seconds += seconds;
    spent->computing += seconds * event->shares.computing;
    spent->waiting_input += seconds * event->shares.waiting_input;
    spent->waiting_output += seconds * event->shares.waiting_output;
    spent->cpu += seconds * event->shares.cpu;
}

/* Frames count from line to line. One that has gone back begins anew. */
static void take_frames(struct gauge *self, const struct event *event, int64_t now_ms)
{
    struct spent *spent = &self->spent;
    if (!self->advanced_ms || event->frame < self->frame) {
        self->n_marks = 0;
        self->advanced_ms = now_ms;
        self->stride_frames = 0;
    } else {
        spent->frames += (double)(event->frame - self->frame);
        spent->frame_seconds += (double)(now_ms - self->line_ms) / 1000;
    }
    const struct gauge_mark *mark = find_mark(self, event->frame);
    if (event->frame > self->frame && mark && now_ms > mark->advanced_ms) {
        self->stride_frames = (double)(event->frame - mark->frame);
        self->stride_ms = now_ms - mark->advanced_ms;
    }
    self->advanced_ms = event->frame > self->frame ? now_ms : self->advanced_ms;
    self->frame = event->frame;
    self->frames = event->frames;
    self->passes = event->passes;
    self->rate = event->rate;
}

void gauge_update(struct gauge *self, const struct event *event, int64_t now_ms)
{
    self->heard_ms = now_ms;
    if (event->kind == EVENT_PROGRESS || event->kind == EVENT_ALIVE) {
        take_shares(self, event, now_ms);
        if (event->kind == EVENT_PROGRESS) {
            take_frames(self, event, now_ms);
        }
        self->line_ms = now_ms;
        set_mark(self);
    }
    if (event->kind == EVENT_LOG || event->kind == EVENT_ALIVE) {
        return;
    }
    if (event->n_metrics) {
        memcpy(self->metrics, event->metrics, sizeof self->metrics);
        self->n_metrics = event->n_metrics;
    }
    if (event->kind == EVENT_PASS) {
        memcpy(self->last, event->metrics, sizeof self->last);
        self->n_last = event->n_metrics;
    }
    self->pass = event->pass;
    self->state = NULL;
}

void gauge_shift(struct gauge *self, int64_t pause_ms)
{
    int64_t *const moments[] = {&self->shares_ms, &self->heard_ms, &self->line_ms, &self->advanced_ms};
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        *moments[i] += *moments[i] ? pause_ms : 0;
    }
    for (size_t i = 0; i < GAUGE_MARKS; i++) {
        self->marks[i].ms += pause_ms;
        self->marks[i].advanced_ms += pause_ms;
    }
}

/* ---- what comes of it ---- */

static struct log_shares shares_between(const struct spent *since, const struct spent *until)
{
    double seconds = until->seconds - since->seconds;
    return (struct log_shares){(until->computing - since->computing) / seconds,
                               (until->waiting_input - since->waiting_input) / seconds,
                               (until->waiting_output - since->waiting_output) / seconds,
                               (until->cpu - since->cpu) / seconds};
}

struct log_shares gauge_shares(const struct gauge *self)
{
    const struct gauge_mark *mark = find_mark(self, UINT64_MAX);
    if (isnan(self->shares.computing) || mark == NULL || self->spent.seconds <= mark->spent.seconds) {
        return self->shares;
    }
    return shares_between(&mark->spent, &self->spent);
}

double gauge_rate(const struct gauge *self, int64_t now_ms)
{
    int64_t stalled_ms = now_ms - self->advanced_ms;
    if (self->frames > 0 && self->frame >= self->frames && stalled_ms >= DONE_MS) {
        return 0;
    }
    if (self->stride_frames <= 0) {
        return self->rate;
    }
    return 1000 * self->stride_frames / (double)(stalled_ms > self->stride_ms ? stalled_ms : self->stride_ms);
}

bool gauge_mean_shares(const struct gauge *self, struct log_shares *shares)
{
    static const struct spent nothing = {.seconds = 0};
    if (self->spent.seconds > 0) {
        *shares = shares_between(&nothing, &self->spent);
    }
    return self->spent.seconds > 0;
}

bool gauge_mean_rate(const struct gauge *self, double *rate)
{
    if (self->spent.frame_seconds > 0) {
        *rate = self->spent.frames / self->spent.frame_seconds;
    }
    return self->spent.frame_seconds > 0;
}

void gauge_metric(const struct gauge *self, char *text, size_t size)
{
    const struct reading *chosen = &self->metrics[0];
    const char *name = chosen->name;
    text[0] = '\0';
    for (size_t i = self->n_metrics; i-- > 0;) {
        if (strstr(self->metrics[i].name, "error")) {
            chosen = &self->metrics[i];
            name = "error";
        }
    }
    if (self->n_metrics) {
        snprintf(text, size, "%s %.3g", name, chosen->value);
    }
}

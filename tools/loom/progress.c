/* See progress.h. */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define REDRAW_MS 100
#define PASS_MS 1000
#define BAR 16 /* characters */
#define LINE_BYTES 512

enum display_form display_choose(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0 ? DISPLAY_LIVE : DISPLAY_PLAIN;
}

/* Seconds as 1:23 or 2:03:04. */
static void write_time(char *text, size_t size, double seconds)
{
    uint64_t s = seconds > 0 && seconds < 1e9 ? (uint64_t)(seconds + 0.5) : 0;
    if (s >= 3600) {
        snprintf(text, size, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600, s / 60 % 60, s % 60);
    } else {
        snprintf(text, size, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
    }
}

static void write_bar(char text[BAR + 1], const struct gauge *gauge)
{
    double share = gauge->frames ? (double)gauge->frame / (double)gauge->frames : 0;
    int full = share >= 1 ? BAR : (int)(share * BAR);
    memset(text, '.', BAR);
    memset(text, '#', (size_t)full);
    text[BAR] = '\0';
}

/* "pass 3/20  9876 frames/s  error 0.258", with `gap` between. */
static void write_figures(char *text, size_t size, const struct gauge *gauge, const char *gap)
{
    char metric[80];
    double rate = gauge_rate(gauge, clock_ms());
    int n = 0;
    text[0] = '\0';
    if (gauge->passes) {
        n = snprintf(text, size, "pass %" PRIu64 "/%" PRIu64, gauge->pass, gauge->passes);
    } else if (gauge->pass) {
        n = snprintf(text, size, "pass %" PRIu64, gauge->pass);
    }
    if (rate > 0) {
        n += snprintf(text + n, size - (size_t)n, "%s%.0f frames/s", n ? gap : "", rate);
    }
    gauge_metric(gauge, metric, sizeof metric);
    if (*metric) {
        snprintf(text + n, size - (size_t)n, "%s%s", n ? gap : "", metric);
    }
}

static void write_line(char line[LINE_BYTES], const struct gauge *gauge, int width)
{
    char figures[256], bar[BAR + 1], left[32] = "";
    if (gauge->state) {
        snprintf(line, LINE_BYTES, "%-*s  %s", width, gauge->name, gauge->state);
        return;
    }
    write_figures(figures, sizeof figures, gauge, "  ");
    write_bar(bar, gauge);
    double rate = gauge_rate(gauge, clock_ms());
    if (gauge->frames > gauge->frame && rate > 0) {
        write_time(left, sizeof left, (double)(gauge->frames - gauge->frame) / rate);
    }
    snprintf(line, LINE_BYTES, "%-*s  %s  %s%s%s", width, gauge->name, bar, figures, *left ? "  eta " : "",
             left);
}

/* Whether both are one terminal or pipe, in which what is printed must stay in order. */
static bool are_one(int a, int b)
{
    struct stat is, other;
    return fstat(a, &is) == 0 && fstat(b, &other) == 0 && is.st_dev == other.st_dev &&
           is.st_ino == other.st_ino && is.st_rdev == other.st_rdev;
}

int display_begin(struct display *self)
{
    self->together = self->form != DISPLAY_JSON && are_one(STDOUT_FILENO, STDERR_FILENO);
    int status = outlet_open(&self->outlet, stdout);
    return status ? status : outlet_open(&self->messages, stderr);
}

void display_end(struct display *self)
{
    if (self->outlet.out) {
        outlet_drain(&self->outlet);
        display_draw(self, true);
    }
    self->lines = 0;
    outlet_close(&self->outlet);
    outlet_close(&self->messages);
}

void display_clear(struct display *self)
{
    if (self->lines) {
        fprintf(self->outlet.out, "\033[%zuA\r\033[J", self->lines);
        fflush(self->outlet.out);
    }
    self->lines = 0;
}

void display_draw(struct display *self, bool now)
{
    struct winsize window = {0};
    int64_t ms = clock_ms();
    FILE *out = self->outlet.out;
    outlet_drain(&self->outlet);
    outlet_drain(&self->messages);
    if (self->form != DISPLAY_LIVE || self->outlet.n_kept || (!now && ms - self->drawn_ms < REDRAW_MS)) {
        return;
    }
    self->drawn_ms = ms;
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    int columns = window.ws_col ? window.ws_col - 1 : 79, width = 0;
    size_t rows = window.ws_row > 2 ? window.ws_row - 1U : 24, shown = self->n < rows ? self->n : rows;
    for (size_t i = 0; i < shown; i++) {
        int length = (int)strlen(self->gauges[i]->name);
        width = length > width ? length : width;
    }
    if (self->lines) {
        fprintf(out, "\033[%zuA\r", self->lines);
    }
    for (size_t i = 0; i < shown; i++) {
        char line[LINE_BYTES];
        write_line(line, self->gauges[i], width);
        fprintf(out, "%.*s\033[K\n", columns, line);
    }
    fputs("\033[J", out);
    self->lines = shown;
    fflush(out);
}

static void show_message(struct display *self, const char *stage, const struct event *event)
{
    static const char *const levels[] = {"", "", "warning: ", "error: "};
    if (self->form == DISPLAY_QUIET && event->level != EVENT_ERROR) {
        return;
    }
    if (self->form == DISPLAY_LIVE) {
        display_clear(self);
    }
    FILE *out = self->together ? self->outlet.out : self->messages.out;
    fprintf(out, "%s: %s", stage, levels[event->level]);
    log_plain_text(out, event->message);
    fputc('\n', out);
    fflush(out);
    if (self->form == DISPLAY_LIVE) {
        display_draw(self, true);
    }
}

/* A line for a pass that has ended; the last is always shown. */
static void show_pass(struct display *self, struct gauge *gauge)
{
    char figures[256];
    int64_t ms = clock_ms();
    if (gauge->shown_ms && ms - gauge->shown_ms < PASS_MS && gauge->pass != gauge->passes) {
        return;
    }
    gauge->shown_ms = ms;
    write_figures(figures, sizeof figures, gauge, ", ");
    fprintf(self->outlet.out, "%s: %s\n", gauge->name, figures);
    fflush(self->outlet.out);
}

/* Whoever asked for JSON wants every line, and is waited for. */
static void show_json(const struct gauge *gauge, const struct event *event)
{
    if (gauge && gauge->member && *event->line == '{') {
        fputs("{\"member\":", stdout);
        log_json_string(stdout, gauge->member);
        printf(",%s\n", event->line + 1);
    } else {
        puts(event->line);
    }
    fflush(stdout);
}

void display_event(struct display *self, struct gauge *gauge, const struct event *event)
{
    bool own = !gauge; /* the launcher's own messages are shown at any level */
    if (self->form == DISPLAY_JSON) {
        show_json(gauge, event);
    } else if (event->kind == EVENT_LOG && (own || event->level != EVENT_INFO)) {
        show_message(self, own ? "loom" : gauge->name, event);
    } else if (gauge && event->kind == EVENT_PASS && self->form == DISPLAY_PLAIN) {
        show_pass(self, gauge);
    }
    display_draw(self, false);
}

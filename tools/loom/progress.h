/* Progress: how a run shows itself.
 *
 * On a terminal one line a stage, redrawn in place, messages above them; elsewhere a line a pass and stage;
 * or the events as JSON lines; or errors only. Progress goes to standard output, messages to standard error.
 */
#ifndef LOOM_TOOLS_PROGRESS_H
#define LOOM_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

enum display_form { DISPLAY_LIVE, DISPLAY_PLAIN, DISPLAY_JSON, DISPLAY_QUIET };

/* How long a stage spent on what, in sum. */
struct spent {
    double seconds; /* for which shares were told */
    double computing, waiting_input, waiting_output, cpu;
    double frames; /* done in them */
};

/* What is shown of one stage. */
struct gauge {
    const char *name;
    const char *kind;       /* "sparse": the program is loom-sparse */
    const char *member;     /* of a sweep, to which it belongs; NULL: none */
    const char *outside;    /* an endpoint outside the run that it reads; NULL: none */
    bool looks;             /* it only looks */
    bool source;            /* it reads no stream */
    bool paced;             /* by its parameter `rate` */
    const char *state;      /* instead of figures: "starting", "done", ...; NULL: it runs */
    uint64_t frame, frames; /* done, in all (0: no end) */
    uint64_t pass, passes;  /* from 1; 0: unknown */
    double rate;            /* frames/s */
    struct reading metrics[EVENT_METRICS_MAX]; /* newest */
    size_t n_metrics;
    struct reading last[EVENT_METRICS_MAX]; /* of the newest pass that ended */
    size_t n_last;
    struct log_shares shares; /* newest; NAN where it does not tell; begin with gauge_begin */
    struct log_queue queue;   /* newest; UINT64_MAX where it does not tell */
    struct spent spent;       /* since the beginning */
    int64_t shares_ms;        /* when the newest shares came; 0: never */
    int64_t heard_ms;         /* when it last told anything, or was started; 0: never */
    int restarts;             /* in all */
};

struct display {
    enum display_form form;
    struct gauge **gauges; /* of all stages, borrowed */
    size_t n;
    size_t lines; /* that stand on the terminal and will be redrawn */
    int64_t drawn_ms;
};

/* The form for standard output: live on a terminal that can move its cursor, else plain. */
enum display_form display_choose(void);

/* Nothing is known of its load yet; now it is started, for the first time or again. */
void gauge_begin(struct gauge *self);

/* Take over the figures of an event. */
void gauge_update(struct gauge *self, const struct event *event);

/* Show an event of a stage after gauge_update. */
void display_event(struct display *self, const struct gauge *gauge, const struct event *event);

/* Redraw, at most ten times a second unless `now`. */
void display_draw(struct display *self, bool now);

/* Take the live lines away (before the terminal is left to others). */
void display_clear(struct display *self);

/* "error 0.258", the metric by which a layer is judged: the first with "error" in its name, else the first;
 * "" if there is none. */
void gauge_metric(const struct gauge *self, char *text, size_t size);

#endif

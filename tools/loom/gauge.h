/* Gauge: what is known of one stage of a run, from the lines that it tells (event.h), and how its time goes.
 *
 * Lines come about twice a second, and at the end of every pass. A stage that works in lumps (blocks, passes) tells of no
 * frame in one line and of many in the next, so a rate is taken from one advance to another, over some seconds where
 * there are so many; shares are those of the same seconds. At the end both are the means of the whole run. Time for
 * which the run was paused counts for nothing (gauge_shift). */
#ifndef LOOM_TOOLS_GAUGE_H
#define LOOM_TOOLS_GAUGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

#define GAUGE_MARKS 16 /* in GAUGE_WINDOW_MS, and some more */
#define GAUGE_WINDOW_MS 3000

/* How long a stage spent on what, in sum. */
struct spent {
    double seconds; /* for which shares were told */
    double computing, waiting_input, waiting_output, cpu;
    double frames, frame_seconds; /* done, and the time from the first line that told of frames to the last */
};

/* How things stood at some line. */
struct gauge_mark {
    int64_t ms, advanced_ms; /* of this line, and of the one with which `frame` was reached */
    uint64_t frame;
    struct spent spent;
};

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
    double rate;            /* frames/s, as told in the newest line */
    struct reading metrics[EVENT_METRICS_MAX]; /* newest */
    size_t n_metrics;
    struct reading last[EVENT_METRICS_MAX]; /* of the newest pass that ended */
    size_t n_last;
    struct log_shares
        shares; /* as told in the newest line; NAN where it does not tell; begin with gauge_begin */
    struct log_queue queue; /* newest; UINT64_MAX where it does not tell */
    struct spent spent;     /* since the beginning */
    int64_t shares_ms;      /* when the newest shares came; 0: never */
    int64_t shown_ms;       /* when a line of its passes was shown; 0: never */
    int64_t heard_ms;       /* when it last told anything, or was started; 0: never */
    int restarts;           /* in all */

    /* since it was started the last time */
    int64_t line_ms;                      /* when the newest line with figures came; 0: never */
    int64_t advanced_ms;                  /* when `frame` was reached; 0: no frame has been told of */
    double stride_frames;                 /* the newest advance, from an earlier one on; 0: none yet */
    int64_t stride_ms;                    /* and how long it took */
    struct gauge_mark marks[GAUGE_MARKS]; /* a ring; the newest is at (n_marks - 1) % GAUGE_MARKS */
    size_t n_marks;                       /* ever set */
};

/* Nothing is known of its load yet; now it is started, for the first time or again. */
void gauge_begin(struct gauge *self);

/* Take over the figures of an event that has come at this moment (clock_ms). */
void gauge_update(struct gauge *self, const struct event *event, int64_t now_ms);

/* The run was paused for so long: as if all had happened that much later. */
void gauge_shift(struct gauge *self, int64_t pause_ms);

/* Its shares and frames/s (NAN: not known) of the last seconds. */
struct log_shares gauge_shares(const struct gauge *self);
double gauge_rate(const struct gauge *self, int64_t now_ms);

/* The means of the whole run; false, and they are not touched, if it has never told of them. */
bool gauge_mean_shares(const struct gauge *self, struct log_shares *shares);
bool gauge_mean_rate(const struct gauge *self, double *rate);

/* "error 0.258", the metric by which a layer is judged: the first with "error" in its name, else the first;
 * "" if there is none. */
void gauge_metric(const struct gauge *self, char *text, size_t size);

#endif

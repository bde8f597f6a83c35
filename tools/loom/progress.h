/* Progress: how a run shows itself.
 *
 * On a terminal one line a stage, redrawn in place, messages above them; elsewhere a line a pass and stage, but not more
 * than one a second; or the events as JSON lines; or errors only. Progress goes to standard output, messages to standard
 * error. What is not read holds nothing up (outlet.h); only JSON lines, which somebody counts on, wait for it.
 */
#ifndef LOOM_TOOLS_PROGRESS_H
#define LOOM_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "gauge.h"
#include "outlet.h"

enum display_form { DISPLAY_LIVE, DISPLAY_PLAIN, DISPLAY_JSON, DISPLAY_QUIET };

struct display {
    enum display_form form;
    struct gauge **gauges; /* of all stages, borrowed */
    size_t n;
    size_t lines; /* that stand on the terminal and will be redrawn */
    int64_t drawn_ms;
    struct outlet outlet;   /* standard output */
    struct outlet messages; /* standard error, unless that is the same file */
    bool together;          /* it is */
};

/* The form for standard output: live on a terminal that can move its cursor, else plain. */
enum display_form display_choose(void);

/* Take over standard output; `form`, `gauges` and `n` are set. Returns 0, or LOOM_EINTERNAL (no memory). */
int display_begin(struct display *self);

/* Write what was not taken yet, however long that takes; the last figures stay on the terminal. */
void display_end(struct display *self);

/* Show an event of a stage after gauge_update. */
void display_event(struct display *self, struct gauge *gauge, const struct event *event);

/* Redraw, at most ten times a second unless `now`. */
void display_draw(struct display *self, bool now);

/* Take the live lines away (before the terminal is left to others). */
void display_clear(struct display *self);

#endif

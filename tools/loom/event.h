/* Events: the lines by which stages tell how they are doing, and the run's two journals of them.
 *
 * A stage writes JSON lines on standard error (common/log.h says which). Any other line is taken as a message
 * of level info, so that a stage in another language may simply print. log.jsonl gets every message;
 * metrics.jsonl every pass of every stage once, also where a restarted stage tells it again. */
#ifndef LOOM_TOOLS_EVENT_H
#define LOOM_TOOLS_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "error.h"
#include "log.h"
#include "memory.h"

#define EVENT_METRICS_MAX 16

enum event_kind { EVENT_LOG, EVENT_PROGRESS, EVENT_PASS, EVENT_ALIVE };
enum event_level { EVENT_INFO, EVENT_NOTICE, EVENT_WARNING, EVENT_ERROR };

struct reading {
    char name[40];
    double value;
};

struct event {
    enum event_kind kind;
    enum event_level level;   /* log */
    const char *message;      /* log */
    const char *stage;        /* name in the run, as the line says it */
    uint64_t frame, frames;   /* progress: done, in all (0: no end) */
    uint64_t pass, passes;    /* progress: the current one; pass: the one that ended; from 1 */
    double rate;              /* progress: frames/s */
    struct log_shares shares; /* progress, alive; NAN: not told */
    struct log_queue queue;   /* progress; UINT64_MAX: not told */
    struct reading metrics[EVENT_METRICS_MAX];
    size_t n_metrics;
    const char *line; /* as JSON, without newline */
};

/* Read a line of the stage `stage`. Texts of the event are in the arena. Never fails: what is no event is
 * text. */
void event_parse(struct event *self, struct arena *arena, const char *stage, const char *line);

/* An event of the launcher's own. */
void event_message(struct event *self, struct arena *arena, enum event_level level, const char *message);

struct journal {
    FILE *log, *metrics;
    struct arena arena; /* holds `told` */
    struct told {
        const char *stage;
        uint64_t pass; /* newest that is written */
    } * told;
    size_t n_told;
    bool failed; /* a line could not be written: said once */
};

/* Open folder/log.jsonl and folder/metrics.jsonl to go on with, a torn last line cut off. LOOM_EIO. */
int journal_open(struct journal *self, const char *folder) LOOM_MUST_CHECK;

/* Write what belongs in the journals. Returns false if it is a pass told before: to be ignored. */
bool journal_take(struct journal *self, const char *stage, const struct event *event);

void journal_close(struct journal *self);

#endif

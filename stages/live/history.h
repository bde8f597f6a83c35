/* The metrics of past passes, of all stages of a run: from RUN/metrics.jsonl, as it grows, and from taps. */
#ifndef LOOM_STAGES_LIVE_HISTORY_H
#define LOOM_STAGES_LIVE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "say.h"
#include "stream.h"

#define HISTORY_STAGES_MAX 32
#define HISTORY_PASSES_MAX 2000 /* told of a stage; of more, every second, third, ... and the newest */
#define HISTORY_ROWS_MAX 16384  /* kept of a stage: beyond that the older half is thinned to every second */

struct history_row {
    uint64_t pass;
    double values[STREAM_METRICS_MAX]; /* NaN: not told */
};

struct history_stage {
    char name[STREAM_NAME_BYTES];
    char metrics[STREAM_METRICS_MAX][STREAM_METRIC_NAME_BYTES];
    size_t n_metrics;
    struct history_row *rows; /* ascending in pass */
    size_t n, room;
};

struct history {
    struct history_stage stages[HISTORY_STAGES_MAX];
    size_t n;
    off_t read;  /* bytes of metrics.jsonl taken so far */
    ino_t inode; /* of that file */
};

void history_fini(struct history *self);

/* Add the metrics of a pass of a stage. Returns whether it is new. */
bool history_add(struct history *self, const char *stage, uint64_t pass, const struct metric *metrics,
                 size_t n);

/* Forget the passes of a stage, and read the whole metrics.jsonl again with the next history_follow. */
void history_forget(struct history *self, const char *stage);

/* Take what was added to a metrics.jsonl since the last call; lines that are none of ours are passed over. Calls
 * told(argument, ...) for each pass that is new, unless told is NULL. A file that is not there has nothing; one in
 * the place of another has all there is: what was known is forgotten then, and true is returned. */
bool history_follow(struct history *self, const char *path,
                    void (*told)(void *argument, const char *stage, uint64_t pass,
                                 const struct metric *metrics, size_t n),
                    void *argument);

/* The message `history`. */
int history_say(const struct history *self, struct said **out) LOOM_MUST_CHECK;

/* The message `metrics` of one pass. */
int history_say_pass(const char *stage, uint64_t pass, const struct metric *metrics, size_t n,
                     struct said **out) LOOM_MUST_CHECK;

#endif

/* Status: RUN/status.json, what a run is doing, for everybody who wants to know: loom top, the live page,
 * loom.py, a script.
 *
 * Written about once a second while stages run, and at the end with the final state, under another name and
 * renamed: a reader sees a whole file at any moment. Nothing is synced, for the next one comes soon; and a file
 * that cannot be written (a full disk) ends no run: that is said once. One JSON object:
 *
 *     v 1, time (RFC 3339, UTC), run (its name), state (running, paused, finished, stopped, failed),
 *     ending (finished, stopped, failed: all is trained, or stages have been asked to save and end; null while it goes on,
 *     and in the last file), host (the machine's name), elapsed_s, processors (that the run may use), busy (their share that is busy, by anybody),
 *     stages: a list in the order of the pipeline, each name, kind, member (of a sweep, or null), state (starting,
 *         running, restarting, done, stopped, failed), frame, frames, pass, passes, rate (frames/s), computing,
 *         waiting_input, waiting_output, cpu (common/log.h: struct log_shares), queue: {input, held, ring}
 *         (struct log_queue), restarts, silent_s (since it last told anything), metrics: {name: number}
 *     limits (name of the stage that limits the run, or null), sentence (bottleneck.h)
 *
 * What is not known is null. Rate and shares are those of the last seconds (gauge.h), at the end the means of the whole
 * run; pauses count for neither, but in elapsed_s. A file that says running or paused whose time is long past is of a
 * launcher that was killed, or stands still: common/run_lock.h tells them apart. A sweep has one such file, in its own
 * folder, with the stages of all members. */
#ifndef LOOM_TOOLS_STATUS_H
#define LOOM_TOOLS_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bottleneck.h"
#include "error.h"
#include "memory.h"
#include "progress.h"

enum status_state { STATUS_RUNNING, STATUS_PAUSED, STATUS_FINISHED, STATUS_STOPPED, STATUS_FAILED };

struct status {
    const char *path, *temporary;
    const char *run;
    struct gauge *const *gauges; /* of all stages, borrowed */
    size_t n;
    const char *ending; /* what it is about to end as, while stages save: a state; NULL: it goes on */
    const char *note;   /* instead of the sentence while it runs; NULL: none */
    int64_t began_ms, written_ms;
    bool failed; /* it could not be written */
    struct machine machine;
    uint64_t ticks, idle_ticks; /* of the processors, when last looked at */
};

/* For the run `run` in `folder`, which began at began_ms (clock_ms). Texts are borrowed or in the arena; the
 * gauges may be set later. */
void status_init(struct status *self, struct arena *arena, const char *folder, const char *run,
                 int64_t began_ms);

/* Write the file now, while the run goes on. LOOM_EIO: it is not written, and the one before stands. */
int status_write(struct status *self, enum status_state state) LOOM_MUST_CHECK;

/* Write the last one. why: more to say, such as what failed; may be NULL. That it cannot be written is said on
 * standard error, unless something like it was said before. */
void status_end(struct status *self, enum status_state state, const char *why);

/* Whether a second has passed since it was last written. */
bool status_is_due(const struct status *self);

#endif

/* Bottleneck: which stage limits a run, and why, in one plain sentence.
 *
 * From the shares of each stage's time (common/load.h). The rule, in this order; "busy" is computing for at
 * least 75 % of the time, "idle" is waiting, for whatever, for at least 50 %:
 *
 *  1. A stage that has died and is being started again limits the run.
 *  2. So does one that tells its shares but has told nothing for 5 s: it computes something long, or is
 *     stopped.
 *  3. Of the busy stages, the busiest limits the run; idle ones wait for it. If it gets less than 80 % of a
 *     processor for the time that it computes while all processors are busy, that is said too.
 *  4. Nobody is busy, but a source with a pace (its parameter `rate`) waits half of the time: that limits the
 *     run.
 *  5. Nobody is busy, but the processors are: they limit the run.
 *  6. Nobody is busy, but a source waits half of the time for frames from outside: that limits the run.
 *  7. Nobody is busy, but a stage waits half of the time for an input from outside the run: that limits it.
 *  8. Nobody is busy, but a stage that is no source waits half of the time for room: its readers limit the
 *     run (readers outside, or a ring that is too small for the time between checkpoints).
 *  9. Otherwise no stage limits the run alone: they wait for one another in turn.
 *
 * Stages that only look never count: nobody waits for them. */
#ifndef LOOM_TOOLS_BOTTLENECK_H
#define LOOM_TOOLS_BOTTLENECK_H

#include <stdbool.h>
#include <stddef.h>

#include "progress.h"

#define BOTTLENECK_TEXT_BYTES 512

struct machine {
    int processors; /* that this run may use */
    double busy;    /* share of them that is busy, by anybody; NAN: unknown */
};

struct bottleneck {
    const struct gauge *gauge; /* the stage that limits the run; NULL: none alone */
    char sentence[BOTTLENECK_TEXT_BYTES];
};

/* The rule, for a run that goes on, at this moment (clock_ms). */
void bottleneck_find(struct bottleneck *self, struct gauge *const *gauges, size_t n,
                     const struct machine *machine, int64_t now_ms);

/* Rule 3 for a run that has ended, by what all stages spent from the beginning, in the past tense; "" if
 * nobody was busy. One that was done before the others waited for them from then on. */
void bottleneck_review(struct bottleneck *self, struct gauge *const *gauges, size_t n);

#endif

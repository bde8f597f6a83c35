/* Load: how a stage's time goes, from one progress line to the next.
 *
 * Only waiting is timed: the sockets' poll, where it may block, and naps taken on purpose to keep a pace. What
 * is left of the interval counts as computing, so the three shares add up to 1, and a turn in which there is
 * work costs no reading of the clock. That is time on the clock: a process that could compute but gets no
 * processor counts as computing; `cpu` beside it tells the difference. No result depends on any of this. */
#ifndef LOOM_COMMON_LOAD_H
#define LOOM_COMMON_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "log.h"

enum load_wait {
    LOAD_INPUT,  /* for input; of a source: for what is outside, or for its pace */
    LOAD_OUTPUT, /* for room, because readers have not taken what there is; of a source: for somebody to ask */
};

struct load {
    int64_t begin_us;     /* of the interval */
    int64_t cpu_us;       /* processor time of this process when it began */
    int64_t waited_us[2]; /* in it, by enum load_wait */
    uint64_t frame;       /* when it began */
    bool known;           /* an interval has been measured */
    double rate;          /* frames/s, of the interval measured last */
    struct log_shares shares;
};

/* Begin to measure at this frame: now. */
void load_begin(struct load *self, uint64_t frame);

/* Some time of the interval went by waiting. */
void load_add_wait(struct load *self, enum load_wait wait, int64_t us);

/* End the interval and begin the next, unless it is too short to mean anything (then what was measured last
 * stands). Naps since the last call count as waiting for input. A frame before that of the beginning has rate 0. */
void load_measure(struct load *self, uint64_t frame);

/* This process was stopped (Ctrl-Z) and goes on: the interval says nothing, and what was measured before it stands. May
 * be called by a signal handler. */
void load_note_stop(void);

/* A hook has slept on purpose, for so long. Kept for the process, in which one thread runs the hooks. */
void load_note_nap(int64_t us);

#endif

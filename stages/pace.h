/* Pace: so many frames a second, for sources that could be faster. */
#ifndef LOOM_STAGES_PACE_H
#define LOOM_STAGES_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace { /* all zero: not begun */
    bool started;
    double start_s; /* when the first block was asked for, by the monotonic clock */
    uint64_t start_frame;
};

/* Sleep until frame `seq` is due at `rate` frames/s; one that was due before, or is asked for again, is
 * due at once, and so is everything if rate is 0. A signal ends the sleep. */
void pace_keep(struct pace *self, double rate, uint64_t seq);

/* Frames that a block should have at most, so that a source that sleeps until one is due answers its
 * readers often enough: a tenth of a second, or a single one; 0: no matter. */
uint64_t pace_block(double rate);

#endif

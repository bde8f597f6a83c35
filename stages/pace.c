/* See pace.h. */
#include "pace.h"

#include <time.h>

#include "load.h"

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void pace_keep(struct pace *self, double rate, uint64_t seq)
{
    if (rate <= 0) {
        return;
    }
    if (!self->started) {
        self->started = true;
        self->start_s = now_s();
        self->start_frame = seq;
    }
    if (seq <= self->start_frame) {
        return;
    }
    const double due_s = self->start_s + (double)(seq - self->start_frame) / rate;
    if (due_s <= now_s()) {
        return;
    }
    struct timespec due = {.tv_sec = (time_t)due_s};
    due.tv_nsec = (long)((due_s - (double)due.tv_sec) * 1e9);
    const double begin_s = now_s();
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    load_note_nap((int64_t)(1e6 * (now_s() - begin_s)));
}

uint64_t pace_block(double rate)
{
    return rate <= 0 ? 0 : rate < 20 ? 1 : (uint64_t)(rate / 10);
}

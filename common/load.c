/* See load.h. */
#include "load.h"

#include <signal.h>
#include <time.h>

#include "clock.h"

#define INTERVAL_US 250000 /* at least, but for the first */

static int64_t naps_us = 0;               /* since it was last asked for */
static volatile sig_atomic_t stopped = 0; /* and gone on, since then */

void load_note_nap(int64_t us)
{
    naps_us += us > 0 ? us : 0;
}

void load_note_stop(void)
{
    stopped = 1;
}

/* Processor time of this process, all threads. */
static int64_t cpu_us(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void begin_interval(struct load *self, uint64_t frame)
{
    self->begin_us = clock_us();
    self->cpu_us = cpu_us();
    self->waited_us[LOAD_INPUT] = self->waited_us[LOAD_OUTPUT] = 0;
    self->frame = frame;
    naps_us = 0;
}

void load_begin(struct load *self, uint64_t frame)
{
    *self = (struct load){.shares = LOG_SHARES_UNKNOWN};
    begin_interval(self, frame);
}

void load_add_wait(struct load *self, enum load_wait wait, int64_t us)
{
    self->waited_us[wait] += us > 0 ? us : 0;
}

void load_measure(struct load *self, uint64_t frame)
{
    int64_t now_us = clock_us(), interval_us = now_us - self->begin_us;
    if (interval_us <= 0 || (self->known && interval_us < INTERVAL_US)) {
        return;
    }
    if (stopped) { /* nobody knows for how much of the interval: begin another one */
        stopped = 0;
        begin_interval(self, frame);
        return;
    }
    load_add_wait(self, LOAD_INPUT, naps_us);
    double interval = (double)interval_us, input = (double)self->waited_us[LOAD_INPUT] / interval;
    double output = (double)self->waited_us[LOAD_OUTPUT] / interval;
    double waiting = input + output > 1 ? input + output : 1; /* a wait that began earlier may stick out */
    int64_t spent_us = cpu_us();
    self->shares = (struct log_shares){.computing = 1 - (input + output) / waiting,
                                       .waiting_input = input / waiting,
                                       .waiting_output = output / waiting,
                                       .cpu = (double)(spent_us - self->cpu_us) / interval};
    self->rate = frame < self->frame ? 0 : (double)(frame - self->frame) * 1e6 / interval;
    self->known = true;
    begin_interval(self, frame);
}

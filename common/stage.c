/* The stage runner: everything that all stages share between main and their hooks. See stage.h.
 *
 * One thread, one loop: poll the sockets, answer requests, take replies, and process one block if there is
 * input for it and room for its output. State changes only there, and blocks end at absolute multiples of
 * --block within a pass; so results do not depend on timing or on how frames came in messages, and the state
 * between two blocks is a place from which a restart continues exactly.
 *
 * The end of a stream: the last block, drain, the final checkpoint and the layer file; then every reader says
 * that it has everything durable; then this stage says the same to its own producers and, once they have
 * confirmed, goes. */
#include "stage.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "runner.h"

#define POLL_MS 100       /* how long the loop sleeps at most */
#define FAREWELL_MS 10000 /* how long a finished stage tries to tell a silent producer */

/* Asked to stop, a stage first takes what is on its way, so that all stages of a run stop at the same frame
 * and can go on from there: until nothing has come for QUIET_MS, but no longer than HALT_MS. Then it saves,
 * and waits for its readers to do the same, but no longer than STOP_MS. */
#define QUIET_MS 200
#define HALT_MS 1000
#define STOP_MS 4000
#define PARTING_MS 50 /* for the last acknowledgement to get out */

static int drain(struct runner *self)
{
    int status = runner_end_open_pass(self);
    if (status == 0 && self->stage->drain != NULL) {
        status = self->stage->drain(&self->context, self->state);
    }
    if (status == 0) {
        status = runner_save_all(self);
    }
    self->drained = true;
    runner_report_progress(self, true);
    return status;
}

/* Whether all readers have all of the stream. */
static bool is_served(struct runner *self)
{
    bool may_grow = self->stage->gather != NULL && self->extent.total == UINT64_MAX;
    return !may_grow && producer_finished(self->producer); /* more may come, also if nobody reads it now */
}

/* Whether all is said and done; a producer that has gone silent is not waited for long: our work is safe. */
static bool is_finished(struct runner *self)
{
    if (runner_is_viewer(
            self)) { /* one without taps has only files to show; others look until they are stopped */
        return self->options.n_taps == 0;
    }
    if (self->producer != NULL && !is_served(self)) {
        return false;
    }
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        const struct consumer *consumer = self->consumers[i];
        if (!consumer_confirmed(consumer) && consumer_silence_ms(consumer) < FAREWELL_MS) {
            return false;
        }
    }
    return runner_is_source(self) || self->drained;
}

/* One turn; *did: a block was processed, so there may be more to do at once. */
static int turn(struct runner *self, bool *did)
{
    *did = false;
    int status = self->producer == NULL ? 0 : producer_pump(self->producer);
    if (status == 0) {
        status = runner_gather(self);
    }
    if (status == 0) {
        status = runner_pump_taps(self);
    }
    if (status == 0) {
        status = runner_show_weights(self, false);
    }
    if (status == 0) {
        runner_acknowledge(self);
        status = runner_pump_inputs(self);
        if (status == LOOM_EPEER && self->drained) {
            status = 0; /* see is_finished */
        }
    }
    if (status == 0) {
        status = runner_learn_totals(self);
    }
    if (status == 0 && !self->drained && !self->halted && self->options.n_inputs > 0) {
        status =
            runner_is_sequential(self) ? runner_process_block(self, did) : runner_process_inputs(self, did);
        self->fed_ms = *did ? clock_ms() : self->fed_ms;
    }
    if (status == 0 && !self->halted && runner_save_is_due(self)) {
        status = runner_save(self);
    }
    if (status == 0 && !self->drained && !self->halted && runner_all_ended(self) && !runner_is_viewer(self)) {
        status = drain(self);
    }
    runner_report_progress(self, false);
    return status;
}

/* Asked to stop: take what is on its way, save, let the readers do the same. *stopped: that is over. */
static int halt(struct runner *self, bool *stopped)
{
    int64_t ms = clock_ms();
    *stopped = runner_is_source(self) || runner_is_viewer(self);
    if (*stopped) {
        return 0;
    }
    self->stop_ms = self->stop_ms == 0 ? ms : self->stop_ms;
    if (!self->halted) {
        if (!self->drained && ms - self->fed_ms < QUIET_MS && ms - self->stop_ms < HALT_MS) {
            return 0;
        }
        self->halted = true;
        self->halt_ms = ms;
        return self->drained ? 0 : runner_save_all(self);
    }
    bool awaited = self->producer != NULL && producer_ack(self->producer) < runner_position(self);
    *stopped = ms - self->halt_ms >= PARTING_MS && (!awaited || ms - self->stop_ms >= STOP_MS);
    return 0;
}

static int run_loop(struct runner *self)
{
    bool did = false, stopped = false;
    while (!stopped && !is_finished(self)) {
        int status = runner_wait(self, did ? 0 : self->halted ? PARTING_MS / 2 : POLL_MS);
        if (status == 0) {
            status = turn(self, &did);
        }
        if (status == 0 && runner_stop_requested()) {
            status = halt(self, &stopped);
        }
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

/* The loop has ended before the stream. Returns the exit status. */
static int stop(struct runner *self, int status)
{
    char why[1024];
    snprintf(why, sizeof why, "%s", error_message());
    bool complete = self->drained || runner_is_viewer(self) || (runner_is_source(self) && is_served(self));
    int saved = 0;
    if (runner_is_viewer(self) && self->stage->drain != NULL) {
        saved = self->stage->drain(&self->context, self->state);
    } else if (!complete && !runner_is_source(self) && !self->halted) {
        saved = runner_save_all(self); /* a peer has failed: keep what was learned */
    }
    if (saved < 0) {
        return status < 0 ? error_prefix(saved, "%s; and then", why) : saved;
    }
    if (status < 0) {
        return error_set((enum loom_status)status, "%s", why);
    }
    return complete
               ? 0
               : error_set(LOOM_EINTERRUPTED, "interrupted at frame %ju%s", (uintmax_t)runner_position(self),
                           runner_is_source(self) ? "" : "; the state is saved");
}

/* Errors of the peers leave the state whole; others may not. */
static bool state_is_whole(const struct runner *self, int status)
{
    return (status == LOOM_EPEER || status == LOOM_EDATA) && !self->torn;
}

/* Memory of messages that have gone is kept for those to come: to give it back to the system, and have it
 * again page by page, would cost more than all the copying. */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

static int run(struct runner *self)
{
    int status = runner_set_up(self);
    if (status < 0) {
        return status;
    }
    if (self->output.body[0] != '\0') {
        log_info("computes with body '%s'", self->output.body);
    }
    runner_report_begin(self);
    status = run_loop(self);
    if (status == 0 && runner_is_source(self)) { /* the others tell when they drain */
        runner_report_progress(self, true);
    }
    if ((status == 0 && (runner_stop_requested() || runner_is_viewer(self))) ||
        state_is_whole(self, status)) {
        return stop(self, status);
    }
    return status;
}

int stage_main(const struct stage *stage, int argc, char **argv)
{
    struct runner *self = calloc(1, sizeof *self);
    void *state = calloc(1, stage->state_bytes > 0 ? stage->state_bytes : 1);
    enum stage_request request = STAGE_RUN;
    int status = LOOM_EINTERNAL;
    log_open(stage->name, false);
    if (self == NULL || state == NULL) {
        status = error_set(LOOM_EINTERNAL, "out of memory");
        goto done;
    }
    self->stage = stage;
    self->state = state;
    status = stage_options_parse(stage, argc, argv, &self->options, state, &request);
    if (status == 0 && request == STAGE_SPEC) {
        stage_options_write_spec(stage, stdout);
    } else if (status == 0) {
        log_open(self->options.name, self->options.log == LOG_JSON);
        runner_handle_signals();
        keep_memory();
        status = run(self);
    }
done:
    if (status == LOOM_EINTERRUPTED) {
        log_info("%s", error_message());
    } else if (status < 0) {
        log_error("%s", error_message());
    }
    if (self != NULL) {
        runner_tear_down(self);
        stage_options_fini(stage, &self->options, state);
    }
    free(state);
    free(self);
    return -status;
}

/* The runner of a stage: what kind it is, where it stands, signals, and waiting. See runner.h. */
#include "runner.h"

#include <errno.h>
#include <signal.h>
#include <zmq.h>

#include "clock.h"

bool runner_is_source(const struct runner *self)
{
    return self->stage->produce != NULL;
}

bool runner_is_viewer(const struct runner *self)
{
    return self->options.n_inputs == 0 && !runner_is_source(self);
}

bool runner_is_sequential(const struct runner *self)
{
    return self->stage->output != STREAM_NONE || self->stage->save != NULL;
}

bool runner_has_checkpoints(const struct runner *self)
{
    return runner_is_sequential(self) &&
           !runner_is_source(self); /* also without a state of its own: the position counts */
}

uint64_t runner_position(const struct runner *self)
{
    if (runner_is_source(self)) {
        return producer_head(self->producer);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        sum += consumer_position(self->consumers[i]);
    }
    return sum;
}

bool runner_all_ended(const struct runner *self)
{
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        if (!consumer_ended(self->consumers[i])) {
            return false;
        }
    }
    return !runner_is_source(self);
}

/* ---- polling ---- */

/* What a stage waits for that had nothing to do in its last turn. */
static enum load_wait awaited(const struct runner *self)
{
    if (runner_is_source(self)) {
        return producer_awaited(self->producer) ? LOAD_INPUT : LOAD_OUTPUT;
    }
    return self->no_room || (self->drained && self->producer != NULL) ? LOAD_OUTPUT : LOAD_INPUT;
}

int runner_wait(struct runner *self, int64_t timeout_ms)
{
    zmq_pollitem_t items[4 + 2 * STAGE_INPUTS_MAX];
    int n = 0;
    void *own[] = {self->producer == NULL ? NULL : producer_router(self->producer),
                   self->producer == NULL ? NULL : producer_tap(self->producer)};
    for (size_t i = 0; i < 2; i++) {
        if (own[i] != NULL) {
            items[n++] = (zmq_pollitem_t){.socket = own[i], .events = ZMQ_POLLIN};
        }
    }
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        if (!self->no_room ||
            !consumer_is_full(self->consumers[i])) { /* else it would wake us again and again */
            items[n++] =
                (zmq_pollitem_t){.socket = consumer_socket(self->consumers[i]), .events = ZMQ_POLLIN};
        }
    }
    for (size_t i = 0; i < self->options.n_taps; i++) {
        items[n++] = (zmq_pollitem_t){.socket = self->taps[i].socket, .events = ZMQ_POLLIN};
    }
    const struct stage_extent *outside = &self->extent;
    if (self->stage->gather != NULL && outside->socket != NULL) {
        items[n++] = (zmq_pollitem_t){.socket = outside->socket, .events = ZMQ_POLLIN};
    }
    if (self->stage->gather != NULL && outside->fd >= 0) {
        items[n++] = (zmq_pollitem_t){.fd = outside->fd, .events = ZMQ_POLLIN};
    }
    timeout_ms = outside->more ? 0 : timeout_ms;
    int64_t begin_us = timeout_ms == 0 ? 0 : clock_us();
    if (zmq_poll(items, n, timeout_ms) < 0 && errno != EINTR) {
        return error_set(LOOM_EINTERNAL, "cannot wait for messages: %s", zmq_strerror(errno));
    }
    if (timeout_ms != 0) {
        load_add_wait(&self->load, awaited(self), clock_us() - begin_us);
    }
    return 0;
}

int runner_pump_inputs(struct runner *self)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < self->options.n_inputs; i++) {
        status = consumer_pump(self->consumers[i]);
    }
    return status;
}

/* ---- signals ---- */

static volatile sig_atomic_t stop_requested = 0;

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

static void go_on(int signal_number)
{
    (void)signal_number;
    load_note_stop();
}

bool runner_stop_requested(void)
{
    return stop_requested != 0;
}

void runner_handle_signals(void)
{
    struct sigaction stop_action = {.sa_handler = request_stop};
    struct sigaction ignore_action = {.sa_handler = SIG_IGN};
    struct sigaction go_on_action = {.sa_handler = go_on, .sa_flags = SA_RESTART};
    sigemptyset(&stop_action.sa_mask);
    sigemptyset(&go_on_action.sa_mask);
    sigaction(SIGINT, &stop_action, NULL);
    sigaction(SIGTERM, &stop_action, NULL);
    sigaction(SIGHUP, &stop_action, NULL);
    sigaction(SIGCONT, &go_on_action, NULL);
    sigaction(SIGPIPE, &ignore_action, NULL); /* a write says EPIPE instead */
}

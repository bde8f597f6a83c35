/* See supervisor.h. One thread, one poll over the stages' pipes and a signalfd. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define LINE_BYTES_MAX ((size_t)65536) /* longer ones are cut in two */
#define PAUSE_MS 100
#define PAUSE_MS_MAX 5000
#define LIVED_MS 60000 /* a looking stage that lived this long has made progress */
#define IDLE_MS 1000

enum phase {
    PHASE_RUN,      /* stages work */
    PHASE_ENDING,   /* all is done; those that only look have been asked to end */
    PHASE_STOPPING, /* interrupted or failed: all have been asked to save and end */
};

struct supervisor {
    const struct supervisor_options *options;
    struct process *processes;
    size_t n;
    struct journal *journal;
    struct display *display;
    struct outcome *outcome;
    enum phase phase;
    bool interrupted, killed;
    int signals; /* signalfd */
    sigset_t old_mask;
    pid_t self;
};

/* A message of the launcher's own, to the journal and the display. */
__attribute__((format(printf, 3, 4))) static void say(struct supervisor *self, enum event_level level,
                                                      const char *format, ...)
{
    struct arena scratch = {0};
    struct event event;
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    event_message(&event, &scratch, level, text);
    journal_take(self->journal, "loom", &event);
    display_event(self->display, NULL, &event);
    arena_fini(&scratch);
}

/* That status.json cannot be written is said once, and ends nothing. */
static void write_status(struct supervisor *self, enum status_state state)
{
    struct status *status = self->options->status;
    if (status_write(status, state) < 0 && !status->failed) {
        status->failed = true;
        say(self, EVENT_WARNING, "%s; the run goes on, but loom top may not show it", error_message());
    }
}

/* Keep status.json fresh. */
static void tell_status(struct supervisor *self, enum status_state state)
{
    const struct status *status = self->options->status;
    if (status && (state != STATUS_RUNNING || status_is_due(status))) {
        write_status(self, state);
    }
}

/* In the child: become the stage. */
static void become(const struct supervisor *self, const struct process *process, const int out[2],
                   const int err[2])
{
    int in = process->reads_stdin ? STDIN_FILENO : open("/dev/null", O_RDONLY | O_CLOEXEC);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* without a launcher: save and end */
    if (getppid() != self->self) {
        _exit(-LOOM_EINTERRUPTED);
    }
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &self->old_mask, NULL);
    if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0 ||
        dup2(err[1], STDERR_FILENO) < 0) {
        _exit(-LOOM_EINTERNAL);
    }
    if (chdir(process->folder) == 0) {
        execv(process->program, process->argv);
    }
    dprintf(STDERR_FILENO, "{\"event\":\"log\",\"level\":\"error\",\"message\":\"cannot be started: %s\"}\n",
            strerror(errno));
    _exit(127);
}

static void close_pipes(struct process *process)
{
    for (size_t i = 0; i < 2; i++) {
        if (process->pipes[i] >= 0) {
            close(process->pipes[i]);
        }
        process->pipes[i] = -1;
    }
}

static void start(struct supervisor *self, struct process *process)
{
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    process->gauge.state = process->looks ? "looking" : "starting";
    gauge_begin(&process->gauge);
    process->started_ms = clock_ms();
    process->pid = -1;
    if (pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0) {
        process->pid = fork();
    }
    if (process->pid == 0) {
        become(self, process, out, err);
    }
    if (out[1] >= 0) {
        close(out[1]);
    }
    if (err[1] >= 0) {
        close(err[1]);
    }
    process->pipes[0] = out[0];
    process->pipes[1] = err[0];
    if (process->pid < 0) { /* no more processes or files: try again later, as if it had died */
        snprintf(process->complaint, sizeof process->complaint, "cannot be started: %s", strerror(errno));
        close_pipes(process);
        process->state = PROCESS_RUNNING; /* reap() finds it dead */
        return;
    }
    setpgid(process->pid, process->pid);
    for (size_t i = 0; i < 2; i++) {
        fcntl(process->pipes[i], F_SETFL, O_NONBLOCK);
    }
    process->state = PROCESS_RUNNING;
}

static void signal_group(const struct process *process, int number)
{
    if (process->state == PROCESS_RUNNING && process->pid > 0) {
        kill(-process->pid, number);
    }
}

/* Ask a stage to save and end, also if somebody has stopped it; a deadline makes sure. */
static void ask(struct supervisor *self, struct process *process)
{
    if (process->state == PROCESS_DUE) {
        process->state = PROCESS_ENDED;
        process->code = -LOOM_EINTERRUPTED; /* its checkpoint is on disk */
        process->gauge.state = "stopped";
    }
    if (process->state != PROCESS_RUNNING || process->asked) {
        return;
    }
    process->asked = true;
    process->deadline_ms = clock_ms() + (int64_t)self->options->grace_ms * (process->looks ? 1 : 6);
    signal_group(process, SIGTERM);
    signal_group(process, SIGCONT);
}

/* Say in status.json what the run is about to end as, so that those who only look, and are asked to end now, can tell. */
static void tell_ending(struct supervisor *self, const char *ending)
{
    struct status *status = self->options->status;
    if (status) {
        status->ending = ending;
        write_status(self, STATUS_RUNNING);
    }
}

static void stop_all(struct supervisor *self, const char *ending)
{
    self->phase = PHASE_STOPPING;
    tell_ending(self, ending);
    for (size_t i = 0; i < self->n; i++) {
        ask(self, &self->processes[i]);
    }
}

static void kill_all(struct supervisor *self)
{
    self->killed = true;
    for (size_t i = 0; i < self->n; i++) {
        signal_group(&self->processes[i], SIGKILL);
    }
}

/* A stage is lost for good. Those that only look do not stop the others, unless their settings are wrong. */
static void fail(struct supervisor *self, struct process *process, int code, const char *how)
{
    struct outcome *outcome = self->outcome;
    process->state = PROCESS_ENDED;
    process->gauge.state = "failed";
    if (!outcome->failed) {
        outcome->failed = process->gauge.name;
        outcome->code = code;
        snprintf(outcome->why, sizeof outcome->why, "%s%s%s", process->complaint,
                 *process->complaint ? " -- " : "", how);
    }
    if (process->looks && code != -LOOM_EUSAGE) {
        say(self, EVENT_ERROR, "%s failed (%s); the run goes on without it", process->gauge.name, how);
        return;
    }
    outcome->failed = process->gauge.name;
    outcome->code = code;
    snprintf(outcome->why, sizeof outcome->why, "%s", *process->complaint ? process->complaint : how);
    stop_all(self,
             self->options->goes_on ? NULL : "failed"); /* first: who reads JSON lines may keep us waiting */
    say(self, EVENT_ERROR, "%s failed (%s); stopping, the other stages save", process->gauge.name, how);
}

static const char *describe_death(int status, char text[80])
{
    if (WIFSIGNALED(status)) {
        snprintf(text, 80, "died by signal %d, %s", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (status < 0) {
        snprintf(text, 80, "could not be started");
    } else {
        snprintf(text, 80, "exit code %d", WEXITSTATUS(status));
    }
    return text;
}

/* Plan a restart, or give up. */
static void restart_later(struct supervisor *self, struct process *process, const char *how, int code)
{
    bool lived = process->looks && clock_ms() - process->started_ms >= LIVED_MS;
    if (process->best > process->best_at_death || lived) {
        process->restarts = 0;
        process->pause_ms = PAUSE_MS;
    }
    process->best_at_death = process->best;
    if (process->restarts >= self->options->restarts) {
        char reason[200];
        snprintf(reason, sizeof reason, "%s%s", how,
                 process->restarts ? ", again and again without progress" : "");
        fail(self, process, code, reason);
        return;
    }
    process->restarts++;
    process->gauge.restarts++;
    say(self, EVENT_WARNING, "%s: %s%s%s; starting it again in %.1f s", process->gauge.name, how,
        *process->complaint ? ": " : "", process->complaint, process->pause_ms / 1000.0);
    process->state = PROCESS_DUE;
    process->gauge.state = "restarting";
    process->due_ms = clock_ms() + process->pause_ms;
    process->pause_ms = process->pause_ms * 2 < PAUSE_MS_MAX ? process->pause_ms * 2 : PAUSE_MS_MAX;
}

/* It ended after it had been asked to. */
static void ended_as_asked(struct supervisor *self, struct process *process, const char *how)
{
    int code = process->code;
    process->state = PROCESS_ENDED;
    process->gauge.state = code == 0 ? "done" : "stopped";
    if (code == 0 || (code == -LOOM_EINTERRUPTED && self->phase != PHASE_RUN)) {
        return;
    }
    if (self->phase == PHASE_RUN && !process->looks) {
        fail(self, process, -LOOM_EINTERNAL, "it did not end by itself when all that read it were done");
        return;
    }
    if (self->killed || code > 128) {
        say(self, EVENT_WARNING, "%s ended without saving (%s)%s", process->gauge.name, how,
            process->looks ? "" : "; it goes on from its last checkpoint");
        return;
    }
    say(self, EVENT_ERROR, "%s: %s%s%s", process->gauge.name, how, *process->complaint ? ": " : "",
        process->complaint);
    if (self->outcome->failed) {
        return;
    }
    self->outcome->failed = process->gauge.name;
    self->outcome->code = code;
    snprintf(self->outcome->why, sizeof self->outcome->why, "%s",
             *process->complaint ? process->complaint : how);
}

/* Whether it died on its way out, with nothing left to do: it has told of its last frame, and all that it reads have
 * finished, which they do only after it has told each that everything is durable here. */
static bool had_finished(const struct supervisor *self, const struct process *process)
{
    size_t finished = 0;
    for (size_t i = 0; i < self->n; i++) {
        const struct process *input = &self->processes[i];
        for (size_t j = 0; j < input->n_readers; j++) {
            finished += input->readers[j] == process && input->state == PROCESS_ENDED && input->code == 0;
        }
    }
    bool last = process->gauge.frames > 0 && process->best == process->gauge.frames;
    return last && process->n_inputs > 0 && finished == process->n_inputs;
}

static void on_death(struct supervisor *self, struct process *process, int status)
{
    char how[80];
    bool signaled = status >= 0 && WIFSIGNALED(status);
    int code = status < 0 ? -LOOM_EINTERNAL : signaled ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    bool found_peer =
        code == -LOOM_EPEER && process->best > 0; /* one that was never there has been awaited enough */
    describe_death(status, how);
    process->code = code;
    process->deadline_ms = 0;
    if (process->asked) {
        ended_as_asked(self, process, how);
    } else if ((code == 0 && !signaled) ||
               ((signaled || code == -LOOM_EPEER) && had_finished(self, process))) {
        process->code = 0;
        process->state = PROCESS_ENDED;
        process->gauge.state = "done";
    } else if (signaled || found_peer || code == -LOOM_EINTERNAL || code == -LOOM_EINTERRUPTED) {
        restart_later(self, process, how, signaled || code == -LOOM_EINTERRUPTED ? -LOOM_EINTERNAL : code);
    } else {
        fail(self, process, code, how);
    }
}

static void take_line(struct supervisor *self, struct process *process, const char *line)
{
    struct arena scratch = {0};
    struct event event;
    if (!*line) {
        return;
    }
    event_parse(&event, &scratch, process->name, line);
    if (journal_take(process->journal ? process->journal : self->journal, process->name, &event)) {
        gauge_update(&process->gauge, &event, clock_ms());
        if (event.kind == EVENT_PROGRESS && !process->told) {
            process->first = event.frame;
            process->told = true;
        }
        if (event.kind == EVENT_PROGRESS && event.frame > process->best) {
            process->best = event.frame;
        }
        if (event.kind == EVENT_LOG && event.level == EVENT_ERROR) {
            snprintf(process->complaint, sizeof process->complaint, "%s", event.message);
        }
        display_event(self->display, &process->gauge, &event);
    }
    arena_fini(&scratch);
}

/* Take the whole lines that came; a line without end is taken if it is too long, or `all`. */
static void take_lines(struct supervisor *self, struct process *process, size_t i, bool all)
{
    char *line = process->lines[i];
    size_t left = process->filled[i];
    for (char *end; (end = memchr(line, '\n', left)); line = end + 1) {
        *end = '\0';
        left = process->filled[i] - (size_t)(end + 1 - process->lines[i]);
        take_line(self, process, line);
    }
    if (left == LINE_BYTES_MAX || (all && left)) {
        line[left] = '\0';
        take_line(self, process, line);
        left = 0;
    }
    memmove(process->lines[i], line, left);
    process->filled[i] = left;
}

/* Read what is there, at most a few bufferfuls so that one talkative stage does not hold up the others. */
static void read_pipe(struct supervisor *self, struct process *process, size_t i)
{
    for (int round = 0; round < 4 && process->pipes[i] >= 0; round++) {
        size_t room = LINE_BYTES_MAX - process->filled[i];
        ssize_t n = read(process->pipes[i], process->lines[i] + process->filled[i], room);
        if (n < 0) {
            return;
        }
        process->filled[i] += (size_t)n;
        take_lines(self, process, i, n == 0);
        if (n > 0) {
            continue;
        }
        close(process->pipes[i]);
        process->pipes[i] = -1;
    }
}

/* Collect the dead. What is left of their process groups dies with them. */
static void reap(struct supervisor *self)
{
    for (size_t i = 0; i < self->n; i++) {
        struct process *process = &self->processes[i];
        siginfo_t info = {0};
        int status = -1;
        if (process->state != PROCESS_RUNNING) {
            continue;
        }
        if (process->pid > 0) {
            if (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
                info.si_pid == 0) {
                continue;
            }
            signal_group(process, SIGKILL);
            waitpid(process->pid, &status, 0);
        }
        for (size_t pipe = 0; pipe < 2; pipe++) {
            read_pipe(self, process, pipe);
            take_lines(self, process, pipe, true);
        }
        close_pipes(process);
        process->ended_ms = clock_ms();
        on_death(self, process, status);
    }
}

static void interrupt(struct supervisor *self, int number)
{
    self->outcome->interrupted = true;
    if (self->phase == PHASE_RUN) {
        self->interrupted = true;
        stop_all(self, "stopped");
        say(self, EVENT_INFO, "stopping: every stage saves its state%s",
            number == SIGINT ? " (Ctrl-C again: kill them)" : "");
    } else if (number == SIGINT || self->phase == PHASE_ENDING) {
        kill_all(self);
        say(self, EVENT_WARNING, "killing what still runs");
    }
}

/* The run was paused for so long: nobody is late because of it, and it counts for no rate. */
static void shift(struct supervisor *self, int64_t pause_ms)
{
    for (size_t i = 0; i < self->n; i++) {
        struct process *process = &self->processes[i];
        int64_t *const moments[] = {&process->due_ms, &process->started_ms, &process->free_ms,
                                    &process->deadline_ms};
        for (size_t m = 0; m < sizeof moments / sizeof *moments; m++) {
            *moments[m] += *moments[m] ? pause_ms : 0;
        }
        gauge_shift(&process->gauge, pause_ms);
    }
}

/* Ctrl-Z: the whole run pauses, and goes on with `fg`. */
static void pause_run(struct supervisor *self)
{
    int64_t since_ms = clock_ms();
    display_clear(self->display);
    tell_status(self, STATUS_PAUSED);
    for (size_t i = 0; i < self->n; i++) {
        signal_group(&self->processes[i], SIGSTOP);
    }
    kill(self->self, SIGSTOP);
    shift(self, clock_ms() - since_ms);
    for (size_t i = 0; i < self->n; i++) {
        signal_group(&self->processes[i], SIGCONT);
    }
}

static void read_signals(struct supervisor *self)
{
    struct signalfd_siginfo info;
    while (read(self->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        int number = (int)info.ssi_signo;
        if (number == SIGTSTP) {
            pause_run(self);
        } else if (number != SIGCHLD) {
            interrupt(self, number);
        }
    }
}

/* Ask a stage to end that goes on although all that read it have finished. */
static void check_lingering(struct supervisor *self, struct process *process, int64_t now)
{
    bool free = process->n_readers > 0;
    for (size_t i = 0; i < process->n_readers; i++) {
        free &= process->readers[i]->state == PROCESS_ENDED && process->readers[i]->code == 0;
    }
    if (!free || process->state != PROCESS_RUNNING || process->asked) {
        return;
    }
    if (!process->free_ms) {
        process->free_ms = now;
    }
    if (now - process->free_ms < (int64_t)self->options->grace_ms * 3 / 2) {
        return;
    }
    say(self, EVENT_WARNING, "%s does not end, although all that read it are done: asking it to",
        process->gauge.name);
    ask(self, process);
}

/* What time brings: starts, deadlines, the end. */
static void tick(struct supervisor *self)
{
    int64_t now = clock_ms();
    bool done = true, all_look = true;
    for (size_t i = 0; i < self->n; i++) {
        struct process *process = &self->processes[i];
        if (process->state == PROCESS_DUE && process->due_ms <= now) {
            start(self, process);
        }
        if (self->phase == PHASE_RUN) {
            check_lingering(self, process, now);
        }
        if (process->state == PROCESS_RUNNING && process->deadline_ms && process->deadline_ms <= now) {
            say(self, EVENT_WARNING, "%s does not end: killing it", process->gauge.name);
            process->deadline_ms = 0;
            signal_group(process, SIGKILL);
        }
        done &= process->looks || (process->state == PROCESS_ENDED && process->code == 0);
        all_look &= process->looks;
    }
    if (!done || all_look || self->phase != PHASE_RUN) {
        return;
    }
    self->phase = PHASE_ENDING;
    tell_ending(self, "finished");
    for (size_t i = 0; i < self->n; i++) {
        ask(self, &self->processes[i]);
    }
}

/* How long poll may sleep. */
static int next_wait(const struct supervisor *self)
{
    int64_t now = clock_ms(), wait = self->display->form == DISPLAY_LIVE ? IDLE_MS / 4 : IDLE_MS;
    for (size_t i = 0; i < self->n; i++) {
        const struct process *process = &self->processes[i];
        int64_t then = process->state == PROCESS_DUE ? process->due_ms : process->deadline_ms;
        if (process->state == PROCESS_RUNNING && process->pid < 0) {
            then = now;
        }
        if (process->state != PROCESS_ENDED && then && then - now < wait) {
            wait = then - now;
        }
    }
    return wait > 0 ? (int)wait : 0;
}

static bool any_alive(const struct supervisor *self)
{
    for (size_t i = 0; i < self->n; i++) {
        if (self->processes[i].state != PROCESS_ENDED) {
            return true;
        }
    }
    return false;
}

static void loop(struct supervisor *self, struct pollfd *fds)
{
    for (tick(self); any_alive(self); tick(self)) {
        tell_status(self, STATUS_RUNNING);
        fds[0] = (struct pollfd){.fd = self->signals, .events = POLLIN};
        for (size_t i = 0; i < 2 * self->n; i++) {
            fds[1 + i] = (struct pollfd){.fd = self->processes[i / 2].pipes[i % 2], .events = POLLIN};
        }
        poll(fds, 1 + 2 * self->n, next_wait(self));
        for (size_t i = 0; i < 2 * self->n; i++) {
            if (fds[1 + i].revents) {
                read_pipe(self, &self->processes[i / 2], i % 2);
            }
        }
        read_signals(self);
        reap(self);
        display_draw(self->display, false);
    }
}

static void conclude(const struct supervisor *self)
{
    struct outcome *outcome = self->outcome;
    outcome->finished = true;
    for (size_t i = 0; i < self->n; i++) {
        const struct process *process = &self->processes[i];
        bool told = outcome->failed && strcmp(process->gauge.name, outcome->failed) == 0;
        outcome->finished &= process->looks || process->code == 0;
        if (self->interrupted && process->looks && told) {
            outcome->code = 0; /* already said; that it was interrupted is what counts now */
        }
    }
    if (!outcome->finished && !outcome->code) {
        outcome->code = -LOOM_EINTERRUPTED;
    }
}

int supervise(struct outcome *outcome, struct process *processes, size_t n,
              const struct supervisor_options *options, struct journal *journal, struct display *display)
{
    struct supervisor self = {.options = options, .processes = processes, .n = n, .journal = journal};
    int status = LOOM_OK;
    sigset_t taken;
    self.display = display;
    self.outcome = outcome;
    self.self = getpid();
    if (options->status) {
        options->status->ending = NULL;
    }
    *outcome = (struct outcome){0};
    sigemptyset(&taken);
    const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGTSTP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaddset(&taken, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &taken, &self.old_mask);
    self.signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    struct pollfd *fds = calloc(1 + 2 * n, sizeof *fds);
    char *buffers = malloc(2 * n * (LINE_BYTES_MAX + 1));
    if (self.signals < 0 || !fds || !buffers) {
        status = error_set(LOOM_EINTERNAL, "the run cannot be watched: %s", strerror(errno));
    }
    for (size_t i = 0; !status && i < 2 * n; i++) {
        struct process *process = &processes[i / 2];
        process->lines[i % 2] = buffers + i * (LINE_BYTES_MAX + 1);
        process->pipes[i % 2] = -1;
        process->pause_ms = PAUSE_MS;
    }
    if (!status) {
        loop(&self, fds);
        conclude(&self);
        display_draw(display, true);
    }
    if (self.signals >= 0) {
        close(self.signals);
    }
    free(fds);
    free(buffers);
    sigprocmask(SIG_SETMASK, &self.old_mask, NULL);
    return status;
}

/* See bottleneck.h. */
#include "bottleneck.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUSY 0.75
#define IDLE 0.5
#define FULL 0.9     /* processors that are busy */
#define DEPRIVED 0.8 /* of a processor, while computing */
#define SILENT_MS 5000
#define NAMES_MAX 3 /* that are listed */
#define PROCESSORS_BYTES 32

/* What one stage did with its time: now, or from the beginning. */
struct account {
    const struct gauge *gauge;
    struct log_shares shares;
};

struct accounts {
    struct gauge *const *gauges;
    size_t n;
    bool past;
    double seconds; /* past: of the stage that worked longest */
};

/* A text that is built piece by piece; what does not fit is left out. */
__attribute__((format(printf, 2, 3))) static void add(char text[BOTTLENECK_TEXT_BYTES], const char *format,
                                                      ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, BOTTLENECK_TEXT_BYTES - used, format, arguments);
    va_end(arguments);
}

static int percent(double share)
{
    return (int)lround(100 * share);
}

/* Whether it works: one that has done its last frame only waits for its readers, and tells nothing more. */
static bool is_running(const struct gauge *gauge)
{
    bool done = gauge->frames > 0 && gauge->frame >= gauge->frames;
    return !gauge->looks && !gauge->state && !done;
}

/* The account of a stage; false if it is not known, or does not count. */
static bool read_account(const struct accounts *all, size_t i, struct account *account)
{
    const struct gauge *gauge = all->gauges[i];
    account->gauge = gauge;
    account->shares = gauge_shares(gauge);
    if (all->past ? !gauge_mean_shares(gauge, &account->shares) : !is_running(gauge)) {
        return false;
    }
    if (all->past &&
        gauge->spent.seconds < all->seconds) { /* one that was done early waited for the others */
        double part = gauge->spent.seconds / all->seconds;
        account->shares.computing *= part;
        account->shares.waiting_input *= part;
        account->shares.waiting_output = 1 - account->shares.computing - account->shares.waiting_input;
        account->shares.cpu *= part;
    }
    return !gauge->looks && !isnan(account->shares.computing);
}

/* The one with the largest share of a kind; false if there is none that is known. */
static bool find_most(const struct accounts *all, double (*share)(const struct account *),
                      struct account *most)
{
    bool found = false;
    struct account account;
    *most = (struct account){.gauge = NULL};
    for (size_t i = 0; i < all->n; i++) {
        if (read_account(all, i, &account) && share(&account) >= 0 &&
            (!found || share(&account) > share(most))) {
            *most = account;
            found = true;
        }
    }
    return found;
}

/* Shares to choose by; -1: this stage does not come into question. */

static double computing(const struct account *account)
{
    return account->shares.computing;
}

static double pace_waits(const struct account *account)
{
    return account->gauge->paced ? account->shares.waiting_input : -1;
}

static double source_waits(const struct account *account)
{
    return account->gauge->source ? account->shares.waiting_input : -1;
}

static double outside_waits(const struct account *account)
{
    return account->gauge->outside ? account->shares.waiting_input : -1;
}

static double room_waits(const struct account *account)
{
    return account->gauge->source ? -1 : account->shares.waiting_output;
}

/* "window, topo and 3 others": those that wait for `most`. Returns how many. */
static size_t list_idle(const struct accounts *all, const struct gauge *most,
                        char names[BOTTLENECK_TEXT_BYTES])
{
    const char *idle[NAMES_MAX];
    size_t n = 0, shown = 0;
    struct account account;
    names[0] = '\0';
    for (size_t i = 0; i < all->n; i++) {
        if (!read_account(all, i, &account) || account.gauge == most || !(account.shares.computing <= IDLE)) {
            continue;
        }
        if (shown < NAMES_MAX) {
            idle[shown++] = account.gauge->name;
        }
        n++;
    }
    shown = n > NAMES_MAX ? NAMES_MAX - 1 : shown;
    for (size_t i = 0; i < shown; i++) {
        add(names, "%s%s", i == 0 ? "" : i + 1 == n ? " and " : ", ", idle[i]);
    }
    if (n > shown) {
        add(names, " and %zu others", n - shown);
    }
    return n;
}

/* What a stage does when it computes. */
static const char *work_of(const struct gauge *gauge, bool past)
{
    if (strcmp(gauge->kind, "record") == 0) {
        return past ? "wrote" : "writes";
    }
    if (gauge->source) {
        return past ? "made frames" : "makes frames";
    }
    return past ? "computed" : "computes";
}

/* "all 8 are", of which it can be said that they are busy. */
static const char *processors_text(const struct machine *machine, char text[PROCESSORS_BYTES])
{
    snprintf(text, PROCESSORS_BYTES, "all %d are", machine->processors);
    return machine->processors == 1 ? "the only one is" : machine->processors == 2 ? "both are" : text;
}

/* Rule 3. */
static void say_busy(struct bottleneck *self, const struct accounts *all, const struct account *most,
                     const struct machine *machine)
{
    char idle[BOTTLENECK_TEXT_BYTES], processors[PROCESSORS_BYTES];
    double cpu = most->shares.cpu;
    self->gauge = most->gauge;
    add(self->sentence, "%s %s the run: it %s %d %% of the time", most->gauge->name,
        all->past ? "limited" : "limits", work_of(most->gauge, all->past), percent(most->shares.computing));
    if (machine && machine->busy >= FULL && cpu < DEPRIVED * most->shares.computing) {
        add(self->sentence, ", with only %d %% of a processor, because %s busy", percent(cpu),
            processors_text(machine, processors));
    }
    size_t n = list_idle(all, most->gauge, idle);
    if (n > 0) {
        add(self->sentence, "; %s %s for it", idle, all->past ? "waited" : n == 1 ? "waits" : "wait");
    }
    add(self->sentence, ".");
}

/* Rules 1 and 2. */
static bool find_trouble(struct bottleneck *self, const struct accounts *all, int64_t now_ms)
{
    for (size_t i = 0; i < all->n; i++) {
        const struct gauge *gauge = all->gauges[i];
        bool restarting = !gauge->looks && gauge->state && strcmp(gauge->state, "restarting") == 0;
        bool silent = is_running(gauge) && gauge->shares_ms && now_ms - gauge->heard_ms >= SILENT_MS;
        if (!restarting && !silent) {
            continue;
        }
        self->gauge = gauge;
        if (restarting) {
            add(self->sentence, "%s limits the run: it has died and is being started again (restart %d).",
                gauge->name, gauge->restarts);
        } else {
            add(self->sentence,
                "%s limits the run: it has told nothing for %d s; it computes something long, or is stopped.",
                gauge->name, (int)((now_ms - gauge->heard_ms) / 1000));
        }
        return true;
    }
    return false;
}

/* Rule 4. */
static bool find_pace(struct bottleneck *self, const struct accounts *all)
{
    struct account account;
    if (!find_most(all, pace_waits, &account) || account.shares.waiting_input < IDLE) {
        return false;
    }
    self->gauge = account.gauge;
    add(self->sentence,
        "%s limits the run: it waits %d %% of the time to keep the pace that its `rate` asks for.",
        account.gauge->name, percent(account.shares.waiting_input));
    return true;
}

/* Rule 5. */
static void say_full(struct bottleneck *self, const struct accounts *all, const struct account *most,
                     const struct machine *machine)
{
    struct account account;
    char processors[PROCESSORS_BYTES];
    double own = 0;
    for (size_t i = 0; i < all->n; i++) {
        own += read_account(all, i, &account) && account.shares.cpu > 0 ? account.shares.cpu : 0;
    }
    add(self->sentence,
        "The processors limit the run: %s busy, %d %% of %s with this run; no stage computes more than %d %% "
        "of "
        "the time.",
        processors_text(machine, processors), percent(fmin(own / machine->processors, 1)),
        machine->processors == 1 ? "its time" : "their time", percent(most->shares.computing));
}

/* Rules 6 to 9: nobody is busy. */
static void say_idle(struct bottleneck *self, const struct accounts *all, const struct account *most)
{
    struct account account;
    if (find_most(all, source_waits, &account) && account.shares.waiting_input >= IDLE) {
        self->gauge = account.gauge;
        add(self->sentence, "%s limits the run: it waits %d %% of the time for frames from outside.",
            account.gauge->name, percent(account.shares.waiting_input));
    } else if (find_most(all, outside_waits, &account) && account.shares.waiting_input >= IDLE) {
        add(self->sentence, "What comes from %s limits the run: %s waits for it %d %% of the time.",
            account.gauge->outside, account.gauge->name, percent(account.shares.waiting_input));
    } else if (find_most(all, room_waits, &account) && account.shares.waiting_output >= IDLE) {
        self->gauge = account.gauge;
        add(self->sentence, "%s limits the run: it waits %d %% of the time for readers to be done with ",
            account.gauge->name, percent(account.shares.waiting_output));
        if (account.gauge->queue.held < UINT64_MAX && account.gauge->queue.ring < UINT64_MAX) {
            add(self->sentence, "what it holds, %ju of %ju frames.", (uintmax_t)account.gauge->queue.held,
                (uintmax_t)account.gauge->queue.ring);
        } else {
            add(self->sentence, "what it holds.");
        }
    } else {
        add(self->sentence, "No stage limits the run alone: %s computes most, %d %% of the time.",
            most->gauge->name, percent(most->shares.computing));
    }
}

void bottleneck_find(struct bottleneck *self, struct gauge *const *gauges, size_t n,
                     const struct machine *machine, int64_t now_ms)
{
    const struct accounts all = {.gauges = gauges, .n = n};
    struct account most;
    *self = (struct bottleneck){.gauge = NULL};
    if (find_trouble(self, &all, now_ms) || !find_most(&all, computing, &most)) {
        return;
    }
    if (most.shares.computing >= BUSY) {
        say_busy(self, &all, &most, machine);
    } else if (find_pace(self, &all)) {
        return;
    } else if (machine->busy >= FULL) {
        say_full(self, &all, &most, machine);
    } else {
        say_idle(self, &all, &most);
    }
}

void bottleneck_review(struct bottleneck *self, struct gauge *const *gauges, size_t n)
{
    struct accounts all = {.gauges = gauges, .n = n, .past = true};
    struct account most;
    for (size_t i = 0; i < n; i++) {
        all.seconds = gauges[i]->looks ? all.seconds : fmax(all.seconds, gauges[i]->spent.seconds);
    }
    *self = (struct bottleneck){.gauge = NULL};
    if (find_most(&all, computing, &most) && most.shares.computing >= BUSY) {
        say_busy(self, &all, &most, NULL);
    }
}

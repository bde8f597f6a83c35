/* A team of threads; see team.h.
 *
 * A task is open from when it is given out until its caller has found no part left. A helper that wakes too late
 * finds it closed and sleeps on; nobody waits for it. */
#include "team.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "memory.h"
#include "subnormal.h"

struct helper {
    struct team *team;
    pthread_t thread;
};

struct team {
    pthread_mutex_t lock; /* of all that follows but `next` and, for who works on it, the task */
    pthread_cond_t given, left;
    struct helper *helpers;
    size_t count;   /* helpers that run */
    uint64_t round; /* tasks given out so far */
    size_t working; /* helpers that work on the task */
    bool open, over;

    team_task *task;
    void *context;
    size_t parts;
    atomic_size_t next; /* part that nobody has taken */
};

static void work(struct team *self, size_t thread)
{
    for (size_t part; (part = atomic_fetch_add(&self->next, 1)) < self->parts;) {
        self->task(self->context, part, thread);
    }
}

static void *help(void *argument)
{
    struct helper *helper = argument;
    struct team *self = helper->team;
    const size_t thread = (size_t)(helper - self->helpers) + 1;
    uint64_t done = 0;
    (void)subnormal_flush(); /* as who gives out the tasks does: no result may depend on who does a part */
    pthread_mutex_lock(&self->lock);
    for (;;) {
        while (!self->over && (!self->open || self->round == done)) {
            pthread_cond_wait(&self->given, &self->lock);
        }
        if (self->over) {
            break;
        }
        done = self->round;
        self->working++;
        pthread_mutex_unlock(&self->lock);
        work(self, thread);
        pthread_mutex_lock(&self->lock);
        if (--self->working == 0) {
            pthread_cond_signal(&self->left);
        }
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* Signals are for the threads of the program itself. */
static int start(struct helper *helper)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&helper->thread, NULL, help, helper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc ? KERNEL_ENOMEM : KERNEL_OK;
}

int team_new(struct team **self_p, size_t threads)
{
    *self_p = NULL;
    struct team *self = memory_new(1, sizeof *self);
    if (!self) {
        return KERNEL_ENOMEM;
    }
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->given, NULL);
    pthread_cond_init(&self->left, NULL);
    self->helpers = memory_new(threads - 1, sizeof *self->helpers);
    int rc = self->helpers ? KERNEL_OK : KERNEL_ENOMEM;
    for (size_t h = 0; !rc && h < threads - 1; h++) {
        self->helpers[h].team = self;
        rc = start(&self->helpers[h]);
        self->count += rc ? 0 : 1;
    }
    if (rc) {
        team_destroy(&self);
        return rc;
    }
    *self_p = self;
    return KERNEL_OK;
}

void team_destroy(struct team **self_p)
{
    struct team *self = self_p ? *self_p : NULL;
    if (!self) {
        return;
    }
    pthread_mutex_lock(&self->lock);
    self->over = true;
    pthread_cond_broadcast(&self->given);
    pthread_mutex_unlock(&self->lock);
    for (size_t h = 0; h < self->count; h++) {
        pthread_join(self->helpers[h].thread, NULL);
    }
    pthread_cond_destroy(&self->given);
    pthread_cond_destroy(&self->left);
    pthread_mutex_destroy(&self->lock);
    free(self->helpers);
    free(self);
    *self_p = NULL;
}

void team_run(struct team *self, team_task *task, void *context, size_t parts)
{
    pthread_mutex_lock(&self->lock);
    self->task = task;
    self->context = context;
    self->parts = parts;
    atomic_store(&self->next, 0);
    self->open = self->count > 0 && parts > 1;
    self->round++;
    if (self->open) {
        pthread_cond_broadcast(&self->given);
    }
    pthread_mutex_unlock(&self->lock);
    work(self, 0);
    pthread_mutex_lock(&self->lock);
    self->open = false;
    while (self->working > 0) {
        pthread_cond_wait(&self->left, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
}

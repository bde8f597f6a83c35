/* A few threads that share work out among themselves: parts of a task, in no given order.
 *
 * Whoever is free takes the next part, so a task must not care who does which. Between tasks the threads sleep. They
 * count subnormal numbers as 0 (subnormal.h), as callers with float work do. */
#ifndef LOOM_KERNELS_TEAM_H
#define LOOM_KERNELS_TEAM_H

#include <stddef.h>

#include "kernel.h"

struct team;

/* Do part `part` of a task, as thread number `thread` of the team (0: who called team_run). No two parts are done
 * with the same thread number at a time. */
typedef void team_task(void *context, size_t part, size_t thread);

/* Make a team of `threads` >= 1, of which one is who calls team_run. KERNEL_ENOMEM where memory or a thread cannot
 * be had; then *self_p is NULL. The caller owns *self_p. */
int team_new(struct team **self_p, size_t threads) KERNEL_MUST_CHECK;

/* End the threads, free the team and null the pointer; harmless on NULL. */
void team_destroy(struct team **self_p);

/* Do all parts, 0 to parts - 1, and return when all are done: what they wrote can be read. One caller at a time. */
void team_run(struct team *self, team_task *task, void *context, size_t parts);

#endif

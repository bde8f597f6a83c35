/* Wiring: from the stages of a pipeline to processes that find each other.
 *
 * An instance is a stage as it is run: in a folder, with endpoints of its own, reading others. A run has one of
 * every stage; a sweep has one of each stage that its members share, and one a member of the others. */
#ifndef LOOM_TOOLS_WIRING_H
#define LOOM_TOOLS_WIRING_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "memory.h"
#include "pipeline.h"
#include "supervisor.h"

#define WIRING_READERS_MAX 64 /* that a producer waits for (producer.c) */

/* What an instance reads or looks at. */
struct wire {
    const struct instance *giver; /* NULL: an endpoint outside, */
    const char *endpoint;         /* this one */
};

struct wires {
    struct wire *items;
    size_t n;
};

struct instance {
    const struct entry *entry;
    const char *folder;      /* absolute: where it works and leaves its results */
    const char *shown;       /* its name for people; unique */
    const char *who;         /* its name as a reader; unique */
    const char *member;      /* of a sweep, to which it belongs; NULL: none */
    struct journal *journal; /* NULL: the run's */
    struct wires inputs, taps;
    const char *endpoints[2];      /* of its stream and its tap, as seen from its own folder */
    const struct process *process; /* NULL: outside, or not started */
};

/* Add a wire. */
void wires_add(struct wires *self, struct arena *arena, struct wire wire);

/* Choose endpoints for all. LOOM_EPEER if there are no ports, LOOM_EUSAGE if a stage has too many readers. */
int wiring_choose_endpoints(struct instance *instances, size_t n, bool tcp,
                            struct arena *arena) LOOM_MUST_CHECK;

/* A process for every instance that is not outside; *n_processes in the arena. */
struct process *wiring_processes(struct instance *instances, size_t n, size_t *n_processes,
                                 struct arena *arena);

#endif

/* The process that is checked: started, killed, started again, with what it prints kept in a file. It has
 * a process group of its own, so a shell in front of it dies with it. */
#ifndef LOOM_TOOLS_CHECK_STAGE_CHILD_H
#define LOOM_TOOLS_CHECK_STAGE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "error.h"

struct child {
    pid_t pid;  /* 0: none */
    bool ended; /* by itself, with `status` of waitpid */
    int status;
    char *log; /* file of what it prints; owned by the caller */
};

/* Start `command` (NULL at its end). LOOM_EUSAGE if there is no such program. */
int child_start(struct child *self, char *const *command) LOOM_MUST_CHECK;

/* Whether it still runs; takes note if it has ended. */
bool child_lives(struct child *self);

/* kill -9, and wait; harmless on none. */
void child_kill(struct child *self);

/* "ended with exit code 1, and said last: KeyError: 'id'"; of one that has ended. */
void child_tell(const struct child *self, char *text, size_t size);

#endif

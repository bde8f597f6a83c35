/* The supervisor: runs the stages of a pipeline as processes until all of them have done their part.
 *
 * Every stage is a process group of its own, so that a terminal's Ctrl-C reaches the launcher only, which
 * then lets every stage save. A stage that dies (by a signal, exit codes 69, 70, or 130 without having been
 * asked) is started again after a pause of 0.1 s that doubles to 5 s, up to a number of times without
 * progress; because streams are replayed, that changes no result. Any other exit code but 0 is for good: the
 * run stops, the others save. Stages that only look are asked to end when the others are done, and never keep
 * a run from ending. */
#ifndef LOOM_TOOLS_SUPERVISOR_H
#define LOOM_TOOLS_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "event.h"
#include "progress.h"
#include "status.h"

enum process_state { PROCESS_DUE, PROCESS_RUNNING, PROCESS_ENDED };

struct process {
    const char *name;         /* by which the journal knows it; it is shown as gauge.name */
    const char *folder;       /* absolute: where it works */
    struct journal *journal;  /* its own; NULL: the run's */
    const char *program;      /* to execute */
    char **argv;              /* NULL at the end */
    bool looks;               /* only looks: need not finish */
    bool reads_stdin;         /* ours, which stays open when it dies: what is on its way waits for the next */
    struct process **readers; /* those that must finish after it */
    size_t n_readers;
    size_t n_inputs; /* streams it reads, of whomever */

    enum process_state state;
    struct gauge gauge;
    pid_t pid;
    int pipes[2];   /* its standard output and error, or -1 */
    char *lines[2]; /* begun lines of both */
    size_t filled[2];
    int code;       /* once ended: exit code, or 128 + the signal */
    int64_t due_ms; /* DUE: when to start it */
    int64_t started_ms, ended_ms;
    int64_t free_ms;     /* since when all readers are done; 0: not yet */
    bool asked;          /* to end */
    int64_t deadline_ms; /* when it is killed if it still lives; 0: never */
    int restarts;        /* without progress between */
    int pause_ms;
    uint64_t first, best; /* first frame it told when it began, newest it ever told */
    bool told;            /* any */
    uint64_t best_at_death;
    char complaint[512]; /* its last error message */
};

struct supervisor_options {
    int restarts; /* without progress */
    int grace_ms; /* time to end after having been asked, for those that only look; others get 6 times that */
    struct status *status; /* written while they run; NULL: none */
    bool goes_on;          /* whoever calls goes on when a stage has failed: that is not the end of the run */
};

/* How it ended. */
struct outcome {
    bool finished;      /* every stage that must has done its part */
    bool interrupted;   /* by a signal */
    int code;           /* for the launcher to exit with */
    const char *failed; /* name of the stage that stopped the run, or failed while looking; NULL: none */
    char why[600];      /* its error */
};

/* Run n processes to the end. The journal and the display take their events. LOOM_EINTERNAL or LOOM_EIO if it
 * could not even begin. */
int supervise(struct outcome *outcome, struct process *processes, size_t n,
              const struct supervisor_options *options, struct journal *journal,
              struct display *display) LOOM_MUST_CHECK;

#endif

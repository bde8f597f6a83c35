/* A run's folder: who may work in it, what it is the run of, and how old ones make room.
 *
 *     RUN/pipeline.yaml   the pipeline that is run, every path absolute; a pipeline file itself
 *     RUN/asked.yaml      only if that differs from what was asked for, because the run takes up files of an
 * older run in the same folder, which was moved aside: what was asked for RUN/layers/ recordings/ pictures/
 * log.jsonl metrics.jsonl      results; status.json   what the run is doing (status.h)
 *     RUN/checkpoints/    of the stages; `finished` when the run has ended
 *     RUN/sockets/        mode 0700
 *     RUN/over.yaml       only if it is the folder of a sweep: what is swept over pipeline.yaml. The members have
 * folders of their own in it
 *     RUN/lock            held (flock) by the launcher and, through it, by every stage it started: while one
 * of them lives, nobody else writes here
 *
 * Nothing learned is overwritten: a folder of another run is renamed to RUN.1, RUN.2, ... */
#ifndef LOOM_TOOLS_FOLDER_H
#define LOOM_TOOLS_FOLDER_H

#include <stdbool.h>

#include "error.h"
#include "memory.h"
#include "pipeline.h"

enum folder_state {
    FOLDER_NEW,      /* nothing in it */
    FOLDER_CONTINUE, /* the same pipeline, not finished */
    FOLDER_FINISHED, /* the same pipeline, finished */
    FOLDER_OTHER,    /* another pipeline */
};

struct folder {
    struct arena *arena;
    const char *shown, *path; /* as the user named it; absolute */
    const char *recorded;     /* text of the pipeline it holds without what changes no results, or NULL */
    const char *asked;        /* content of asked.yaml, or NULL */
    const char *over;         /* what over.yaml is to be; NULL: the folder of a single run */
    int lock;                 /* file descriptor, inherited by the stages; -1: none */
};

/* Make the folder if it is not there and lock it. LOOM_EPEER if another launcher or stages of an earlier one
 * hold it (the latter are waited for, patience_ms), LOOM_EUSAGE if it is something else than a run's folder, or
 * than that of a sweep if `over` is not NULL; LOOM_EIO. */
int folder_lock(struct folder *self, struct arena *arena, const char *shown, const char *over,
                int patience_ms) LOOM_MUST_CHECK;

/* What the folder is to this pipeline. For FOLDER_CONTINUE and FOLDER_FINISHED, paths in the pipeline are put
 * as the run has recorded them. */
enum folder_state folder_compare(struct folder *self, struct pipeline *pipeline);

/* Move the folder aside and begin a new one in its place; paths of the pipeline into the old one follow it.
 * *moved is its new name as shown to the user. */
int folder_move_aside(struct folder *self, struct pipeline *pipeline, const char **moved) LOOM_MUST_CHECK;

/* Write a file into it whole, durably, under its name in one step. */
int folder_write(const struct folder *self, const char *name, const char *text) LOOM_MUST_CHECK;

/* Make the subfolders, clear the sockets and write pipeline.yaml, durably. */
int folder_prepare(struct folder *self, const struct pipeline *pipeline) LOOM_MUST_CHECK;

/* Mark as finished, then remove what else is in checkpoints, and the sockets. */
int folder_finish(struct folder *self) LOOM_MUST_CHECK;

/* Remove the sockets. */
void folder_clear_sockets(struct folder *self);

void folder_unlock(struct folder *self);

#endif

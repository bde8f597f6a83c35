/* The plan of a sweep: a pipeline, the parameters that vary over it, and what is made of both.
 *
 * Every combination of values is a member: the pipeline with these values. A stage whose parameters vary is
 * replicated, as is every stage that reads or looks at a replicated one: each member has its own. The other
 * stages are shared: there is one of each, and all members read it, so that e.g. one sparse layer feeds all the
 * invariant layers that are tried on it. A stage that gives no stream and listens to both kinds is split: a
 * shared one keeps what is shared, once, and each member's own keeps the rest. */
#ifndef LOOM_TOOLS_SWEEP_PLAN_H
#define LOOM_TOOLS_SWEEP_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "diagnostics.h"
#include "event.h"
#include "folder.h"
#include "pipeline.h"

#define SWEEP_MEMBERS_MAX 60 /* a producer waits for 64 readers, and every member is a process or more */

/* A parameter that varies. */
struct axis {
    struct place place;
    size_t stage; /* number in the pipeline */
    const struct spec_param *param;
    const char *title;   /* STAGE.PARAMETER */
    const char *key;     /* short: PARAMETER, where that is clear */
    const char **values; /* in the form that the stage reads */
    const char **parts;  /* of the members' names: KEY=VALUE */
    size_t n;
};

struct member {
    const char *name;    /* also that of its folder: strength=0.3,seed=2 */
    size_t number;       /* from 1 */
    const size_t *which; /* value of each axis */
    struct pipeline pipeline;
    struct folder folder;
    struct journal journal;
    bool finished;          /* before this sweep was called again */
    const char *why;        /* it failed; NULL: it has not */
    int code;               /* then: its exit code */
    const char *failed;     /* then: name of the stage */
    double seconds, frames; /* that it took, in which it made so many; 0: not known */
};

enum sharing { SHARED, REPLICATED, SPLIT };

struct plan {
    struct arena *arena;
    struct pipeline base;
    struct axis *axes;
    size_t n_axes;
    enum sharing *sharing; /* of every stage of the pipeline */
    struct member *members;
    size_t n;
};

/* Read the pipeline and the n_overs texts STAGE.PARAMETER=VALUES; all that is wrong is in the diagnostics. Values
 * stand between commas; A..B or A..B..STEP are whole numbers; commas within [] or quotes belong to a value. The
 * plan is whole only if there are no errors, its members' pipelines only after plan_expand. */
void plan_read(struct plan *self, struct arena *arena, struct diagnostics *diagnostics, const char *file,
               const char *const *sets, size_t n_sets, const char *const *overs, size_t n_overs);

/* Make the members' pipelines from the base as it is now. */
void plan_expand(struct plan *self);

/* What varies, as YAML: content of over.yaml. */
const char *plan_over(const struct plan *self);

/* Whether a member has a stage of its own of this number. */
bool plan_replicates(const struct plan *self, size_t stage);

#endif

/* Watched: the run that is looked at: which one, and its status.json (tools/loom/status.h). */
#ifndef LOOM_TOOLS_TOP_WATCHED_H
#define LOOM_TOOLS_TOP_WATCHED_H

#include <jansson.h>
#include <stdbool.h>

#include "error.h"

#define WATCHED_STALE_S                                                                                      \
    10 /* a running run writes every second: one that has not for so long is looked into */

struct watched {
    char *folder;   /* as it is shown; owned */
    json_t *status; /* the object; owned */
    const char
        *state;     /* of it; if that has become old, "killed" where no launcher lives, or "held"; borrowed */
    double age_s;   /* since it was written, by this machine's clock */
    bool elsewhere; /* it was written on another machine: it is taken at its word */
};

/* Choose the run in `folder`, or if that is NULL the one in runs/ that goes on and began last, and read its status.
 * The folder of a sweep's member stands for the sweep. LOOM_EUSAGE if it is no run's folder, LOOM_EPEER if none
 * goes on, or it has no status, LOOM_EDATA if that is damaged, LOOM_EIO. Close it afterwards, also then. */
int watched_open(struct watched *self, const char *folder) LOOM_MUST_CHECK;

/* Read the status again; what was read before stands if that fails. Errors as above. */
int watched_read(struct watched *self) LOOM_MUST_CHECK;

void watched_close(struct watched *self);

bool watched_goes_on(const struct watched *self); /* running, paused or held, and not killed */

/* Values of an object: NAN, "" or an empty list where there is none of this kind. */
double json_number_of(const json_t *object, const char *key);
const char *json_text_of(const json_t *object, const char *key);

#endif

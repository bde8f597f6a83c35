/* The live page: a run seen in a browser, while it goes on or from what it has left. This is the whole of it for
 * those who want one: a server, a scene, and a source for it. */
#ifndef LOOM_STAGES_LIVE_LIVE_H
#define LOOM_STAGES_LIVE_LIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "endpoint.h"
#include "error.h"

struct live;

struct live_settings {
    const char *address; /* ADDRESS:PORT; see guard.h */
    const char *token;   /* "": none on the loopback, a random one elsewhere */
    const char
        *run; /* the run's folder: pipeline, state, metrics; "": found from the taps, if they are a run's */
    const char *name; /* of what is seen, where there is no folder of a run; "": none */
    /* Taps to look at; 0: what the run's folder holds is shown. */
    const char *const *taps;
    size_t n_taps;
    struct endpoint_context *endpoints; /* for the taps' sockets; borrowed */
    /* Layer files and recordings of the folder may be read, in a thread of its own: HDF5 is for one thread only, so no
     * other may use it meanwhile. */
    bool files;
};

/* Begin to serve, and say where (log_info). Settings are only looked at during the call, but for the taps' endpoints and
 * `endpoints`, which must last until live_destroy. LOOM_EPEER if the address is in use; LOOM_EUSAGE, LOOM_EIO, LOOM_EDATA
 * if there is nothing to be seen there. */
int live_new(struct live **self_p, const struct live_settings *settings) LOOM_MUST_CHECK;

/* What the run is about to end as, by its launcher: "finished", "stopped" or "failed"; "": it goes on, or that is not known. */
const char *live_ending(const struct live *self);

/* End, having told viewers live_ending and why (a sentence of at most 123 bytes; "" where there is nothing to say); harmless on NULL. */
void live_destroy(struct live **self_p, const char *why);

/* The run's folder that was found; "": none. Valid until live_destroy. */
const char *live_run(const struct live *self);

#endif

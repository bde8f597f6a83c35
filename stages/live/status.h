/* The state of a run, as the launcher writes it to RUN/status.json: read here, and made up from taps where there is no
 * launcher. Unknown numbers are NaN, unknown texts empty. */
#ifndef LOOM_STAGES_LIVE_STATUS_H
#define LOOM_STAGES_LIVE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "error.h"
#include "stream.h"

#define STATUS_STAGES_MAX 1024
#define STATUS_BYTES_MAX ((size_t)1 << 20)
#define STATUS_STALE_S                                                                                       \
    10 /* a run that goes on but has not written for so long was killed, if no launcher lives */

struct status_metric {
    char name[STREAM_METRIC_NAME_BYTES];
    double value;
};

struct status_stage {
    char name[128], kind[STREAM_NAME_BYTES], state[24];
    double frame, frames, pass, passes, rate;
    double computing, waiting_input, waiting_output; /* shares of the time, 0 to 1 */
    double cpu;                                      /* processors it kept busy */
    double queue_input, queue_held, queue_ring, restarts;
    struct status_metric metrics[STREAM_METRICS_MAX];
    size_t n_metrics;
};

struct run_status {
    char time[40], run[128], state[24], limits[128], sentence[512];
    char ending[24];             /* what it is about to end as; "": it goes on */
    double elapsed_s, busy;      /* busy: share of the machine's processors, by anybody */
    struct status_stage *stages; /* owned */
    size_t n;
};

/* Understand n bytes of JSON. LOOM_EDATA if they are no such state; *self is then empty. Freed by status_fini,
 * harmless when empty. */
int status_read(struct run_status *self, const char *bytes, size_t n) LOOM_MUST_CHECK;
void status_fini(struct run_status *self);

/* The same of a file; LOOM_EIO if it cannot be read. A run that says it is running, but has not for STATUS_STALE_S, gets
 * the state "killed" if no launcher lives; one on another machine is taken at its word (run_lock.h). */
int status_read_file(struct run_status *self, const char *path) LOOM_MUST_CHECK;

/* The same of a run's folder, or ("" or no file there) of that of the sweep whose member it is (NULL: none). */
int status_read_run(struct run_status *self, const char *run, const char *sweep) LOOM_MUST_CHECK;
int status_copy_run(FILE *out, const char *run, const char *sweep) LOOM_MUST_CHECK;

/* Write what a file says to `out`, on one line and with all its keys, also those not known here; the state as above. Nothing is
 * written if it fails. */
int status_copy_file(FILE *out, const char *path) LOOM_MUST_CHECK;

/* A new stage at the end, all its numbers NaN; NULL if there are too many, or no memory. */
struct status_stage *status_add(struct run_status *self, const char *name, const char *kind);

/* Write as JSON, on one line. */
void status_write(const struct run_status *self, FILE *out);

#endif

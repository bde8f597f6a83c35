/* The state of a run in Prometheus' text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). Knows nothing of who serves it. */
#ifndef LOOM_STAGES_LIVE_EXPOSITION_H
#define LOOM_STAGES_LIVE_EXPOSITION_H

#include <stdint.h>
#include <stdio.h>

#include "status.h"

/* Write what is known of the stages; numbers that are not known are left out. */
void exposition_write_status(FILE *out, const struct run_status *status);

/* One number without labels. kind: "gauge" or "counter". */
void exposition_write_number(FILE *out, const char *name, const char *kind, const char *help, double value);

#endif

/* Curves of the metrics over the passes of a run, or of several runs together. */
#ifndef LOOM_STAGES_RENDER_CURVES_H
#define LOOM_STAGES_RENDER_CURVES_H

#include <stddef.h>

#include "error.h"
#include "image.h"
#include "plot.h"
#include "stream.h"
#include "text.h"

#define CURVES_MAX 2048

/* One metric of one stage of one run. */
struct curve {
    size_t run; /* index in `runs` below */
    char stage[STREAM_NAME_BYTES], metric[STREAM_METRIC_NAME_BYTES];
    size_t line;  /* the kind of its line: of the next run, and of the next stage, another one */
    size_t style; /* how it looks: a number for each run and stage, by the order of runs and stages' names */
    double *pass, *value; /* n each, owned: passes from 1, rising; value NaN: not told */
    size_t n, capacity;
};

struct curves {
    struct curve *items; /* owned */
    size_t n;
    char **runs; /* their names, each once; owned */
    size_t n_runs, n_styles;
};

void curves_fini(struct curves *self);

/* Add the metrics of a run's folder (its metrics.jsonl; where it has none, its recordings), of a metrics.jsonl, or
 * of a recording. name: what the curves are called by; whatever has one name is taken for one run. A last line that
 * is still being written is passed over. LOOM_EIO if it cannot be read, LOOM_EDATA if it is damaged or no such file;
 * what was added before stays. */
int curves_read(struct curves *self, const char *path, const char *name) LOOM_MUST_CHECK;

/* Draw a panel a metric, in the order in which they are first told; metrics: only these, with commas (NULL: all).
 * LOOM_EDATA if there is none, LOOM_EUSAGE if one of `metrics` is not among them. Makes *out. */
int curves_draw(struct image *out, const struct curves *self, const char *metrics, enum plot_scale scale,
                struct text *text) LOOM_MUST_CHECK;

#endif

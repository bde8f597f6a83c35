/* See invariant_measures.h. */
#include "invariant_measures.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "kernels/measure.h"
#include "kernels/moments.h"
#include "layer_support.h"

/* Without winners every unit answers a little to everything: one whose largest activation of a pass is at most this much
 * of the layer's largest is counted as dead. */
#define QUIET 1e-3

/* Multiplications for comparing units with each other at the end of a pass, for each that learning a code needs at
 * least, (k + 1) M: in time about a fiftieth of what the pass takes. Of large layers on short passes some units are
 * compared (kernels/measure.h): it is work that decides, never time. */
#define COMPARE_SHARE 2

struct invariant_measures {
    struct measures_of of;
    size_t M;
    struct moments *moments; /* of the activations of the pass so far */
    bool whole;              /* they are of all its frames */
    float *coverage;         /* N */
};

int measures_new(struct invariant_measures **self_p, const struct measures_of *of)
{
    struct invariant_measures *self = calloc(1, sizeof *self);
    *self_p = self;
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for the measures of a pass");
    }
    self->of = *of;
    self->M = of->Ix * of->Iy;
    self->whole = true;
    self->coverage = calloc(of->N, sizeof *self->coverage);
    if (self->coverage == NULL || moments_new(&self->moments, self->M, of->pass) < 0) {
        measures_destroy(self_p);
        return error_set(LOOM_EINTERNAL, "out of memory for the measures of a pass");
    }
    return 0;
}

void measures_destroy(struct invariant_measures **self_p)
{
    if (*self_p == NULL) {
        return;
    }
    moments_destroy(&(*self_p)->moments);
    free((*self_p)->coverage);
    free(*self_p);
    *self_p = NULL;
}

void measures_begin(struct invariant_measures *self)
{
    moments_begin(self->moments);
    self->whole = true;
}

void measures_add(struct invariant_measures *self, const float *activations, size_t n)
{
    moments_add(self->moments, activations, n);
}

/* A metric with a name, unless it cannot be told. */
static void tell(struct metric *metrics, size_t *n, const char *name, double value)
{
    if (!isnan(value)) {
        metrics[(*n)++] = (struct metric){name, value};
    }
}

static void tell_coverage(struct invariant_measures *self, const float *weights, struct metric *metrics,
                          size_t *n)
{
    const size_t N = self->of.N;
    measure_coverage(self->coverage, weights, self->M, N);
    float least = self->coverage[0], most = self->coverage[0];
    double mean = 0, variance = 0;
    for (size_t j = 0; j < N; j++) {
        least = fminf(least, self->coverage[j]);
        most = fmaxf(most, self->coverage[j]);
        mean += (double)self->coverage[j] / (double)N;
    }
    for (size_t j = 0; j < N; j++) {
        const double apart = (double)self->coverage[j] - mean;
        variance += apart * apart / (double)N;
    }
    tell(metrics, n, "coverage_min", (double)least);
    tell(metrics, n, "coverage_max", (double)most);
    tell(metrics, n, "coverage_cv", mean > 0 ? sqrt(variance) / mean : NAN);
}

/* E first, and PR beside it: the one says nothing without the other. */
static void tell_slowness(const struct moments_summary *seen, struct metric *metrics, size_t *n)
{
    tell(metrics, n, "interpolation_error", seen->interpolation_error);
    tell(metrics, n, "participation_ratio", seen->participation_ratio);
    tell(metrics, n, "interpolation_error_trace", seen->interpolation_error_trace);
    tell(metrics, n, "step_change", seen->step_change);
}

int measures_end(struct invariant_measures *self, const float *weights, struct metric *metrics, size_t *n)
{
    const struct measures_of *of = &self->of;
    struct moments_summary seen;
    struct measure_topology topology = {.homogeneity = NAN};
    int status = moments_summarize(self->moments, &seen, of->winners > 0 ? 0 : QUIET);
    if (status == 0) {
        const double work = COMPARE_SHARE * (double)seen.frames * (double)(of->k + 1) * (double)self->M;
        status = measure_topology(&topology, weights, of->Ix, of->Iy, of->N, of->radius, work);
    }
    if (status < 0) {
        return error_set(LOOM_EINTERNAL, "out of memory for the measures of a pass");
    }
    if (self->whole) {
        tell_slowness(&seen, metrics, n);
    }
    tell(metrics, n, "homogeneity", topology.homogeneity);
    tell(metrics, n, "topology", topology.topology);
    tell(metrics, n, "topology_z", topology.z);
    tell_coverage(self, weights, metrics, n);
    if (self->whole) {
        tell(metrics, n, "dead_units", (double)seen.dead);
        tell(metrics, n, "usage_entropy", seen.usage_entropy);
    }
    moments_begin(self->moments); /* nobody needs them any more, in files least of all */
    return 0;
}

int measures_save(const struct invariant_measures *self, struct layer_writer *file)
{
    const size_t bytes = moments_state_bytes(self->moments);
    if (!self->whole) {
        return 0;
    }
    void *buffer = malloc(bytes);
    if (buffer == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for the measures of a pass");
    }
    moments_save_state(self->moments, buffer);
    int status = layer_write(file, "state/moments", LAYER_U1, &bytes, 1, buffer);
    free(buffer);
    return status;
}

int measures_load(struct invariant_measures *self, const struct layer_reader *file)
{
    size_t bytes = 0;
    self->whole = layer_has(file, "state/moments");
    if (!self->whole) {
        log_warning(
            "'%s' was written by an older version and tells nothing of the activations of this pass so far: "
            "what is measured of them is left out until the next pass",
            layer_path(file));
        return 0;
    }
    int status = layer_read_dims(file, "state/moments", &bytes, 1);
    void *buffer = status == 0 ? malloc(bytes) : NULL;
    if (status == 0 && buffer == NULL) {
        status = error_set(LOOM_EINTERNAL, "out of memory for the measures of a pass");
    }
    if (status == 0) {
        status = layer_read(file, "state/moments", LAYER_U1, &bytes, 1, buffer);
    }
    if (status == 0 && moments_load_state(self->moments, buffer, bytes) < 0) {
        status =
            error_set(LOOM_EDATA, "'%s': state/moments does not fit this layer and the passes of its input",
                      layer_path(file));
    }
    free(buffer);
    return status;
}

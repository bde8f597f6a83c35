/* The layers of experiments A and B: every operation by every body; see bench.h.
 *
 *     EXPERIMENT/sparse_train, sparse_encode     frames to codes, learning and frozen
 *     EXPERIMENT/sparse_train_bytes              the same from frames of bytes, as stages get them
 *     EXPERIMENT/topo_train, smooth_train, ...   recorded codes to activations
 *     EXPERIMENT/both_train                      frames to codes to activations, both learning, block by block
 *
 * All bodies start from the same weights, trained by the CPU's. */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "drive.h"

#define SIDE 20

struct geometry {
    const char *name, *rule;
    struct sparse_config sparse;
    struct invariant_config invariant;
};

static const struct geometry experiments[] = {
    {"B",
     "topo",
     {.P = SIDE * SIDE, .Kx = 40, .Ky = 40, .k = 4, .rate = 0.02, .radius = 2, .strength = 0.5},
     {.rule = INVARIANT_TOPO,
      .N = 1600,
      .Ix = 10,
      .Iy = 10,
      .radius = 2,
      .strength = 0.1,
      .leak = 1.0 / 3,
      .active_rate = 0.08,
      .inactive_rate = 0.0008,
      .normalize_every = 2000}},
    {"A",
     "smooth",
     {.P = SIDE * SIDE, .Kx = 20, .Ky = 20, .k = 5, .rate = 0.01},
     {.rule = INVARIANT_SMOOTH,
      .N = 400,
      .Ix = 10,
      .Iy = 10,
      .winners = 10,
      .smooth_rate = 0.1,
      .reconstruction_rate = 0.05}},
};

#define EXPERIMENTS (sizeof experiments / sizeof *experiments)

const struct sparse_config *layers_sparse_b(void)
{
    return &experiments[0].sparse;
}

enum operation {
    SPARSE_TRAIN,
    SPARSE_TRAIN_BYTES,
    SPARSE_ENCODE,
    INVARIANT_TRAIN,
    INVARIANT_ENCODE,
    BOTH_TRAIN,
    OPERATIONS
};

/* One experiment computed by one body. */
struct subject {
    const struct geometry *geometry;
    const struct film *film;
    const char *backend_name;
    size_t threads; /* that the sparse layer may use */
    size_t block;   /* frames a call */
    struct sparse *sparse;
    struct invariant *invariant;
    uint32_t *index;       /* film->n x k: the codes that were recorded */
    float *value;          /* film->n x k */
    float *residual;       /* block x 2 */
    float *activation;     /* block x M */
    uint32_t *index_now;   /* block x k: what a sparse layer has just made */
    float *value_now;      /* block x k */
    size_t at[OPERATIONS]; /* frame of the film at which the operation goes on */
};

struct layers {
    const struct bench *bench;
    struct subject *subjects;
    size_t n_subjects;
};

/* The next block of the film; returns how many frames were done. */
static size_t perform(struct subject *self, enum operation operation)
{
    const size_t k = self->geometry->sparse.k, P = self->geometry->sparse.P;
    const size_t t = self->at[operation], left = self->film->n - t,
                 n = left < self->block ? left : self->block;
    const float *frame = self->film->frame + t * P;
    const uint32_t *index = self->index + t * k;
    const float *value = self->value + t * k;
    int status = 0;
    if (t == 0 && operation >= INVARIANT_TRAIN) {
        invariant_begin_pass(self->invariant);
    }
    if (operation == SPARSE_TRAIN || operation == BOTH_TRAIN) {
        status = sparse_train(self->sparse, self->index_now, self->value_now, self->residual, frame, n);
        if (operation == BOTH_TRAIN) {
            index = self->index_now;
            value = self->value_now;
        }
    }
    if (operation == SPARSE_TRAIN_BYTES) {
        status = sparse_train_bytes(self->sparse, self->index_now, self->value_now, self->residual,
                                    self->film->byte + t * P, n);
    }
    if (operation == SPARSE_ENCODE) {
        status = sparse_encode(self->sparse, self->index_now, self->value_now, self->residual, frame, n);
    }
    if (status == 0 && (operation == INVARIANT_TRAIN || operation == BOTH_TRAIN)) {
        status = invariant_train(self->invariant, self->activation, self->residual, index, value, k, n);
    }
    if (operation == INVARIANT_ENCODE) {
        status = invariant_encode(self->invariant, self->activation, self->residual, index, value, k, n);
    }
    bench_check(status, self->geometry->name);
    self->at[operation] = n == left ? 0 : t + n;
    return n;
}

static void free_subject(struct subject *self)
{
    sparse_destroy(&self->sparse);
    invariant_destroy(&self->invariant);
    free(self->index);
    free(self->value);
    free(self->residual);
    free(self->activation);
    free(self->index_now);
    free(self->value_now);
}

static void new_subject(struct subject *self, const struct bench *bench, const struct geometry *geometry,
                        const char *backend_name, enum kernel_backend backend, size_t threads)
{
    const struct film *film = bench_film(bench, SIDE);
    const size_t k = geometry->sparse.k, M = geometry->invariant.Ix * geometry->invariant.Iy;
    const bool reference = backend == KERNEL_REFERENCE;
    struct sparse_config config = geometry->sparse;
    bench_set_threads(&config, threads);
    *self = (struct subject){.geometry = geometry,
                             .film = film,
                             .backend_name = backend_name,
                             .threads = threads,
                             .block = reference && bench->block > 16 ? 16 : bench->block};
    self->index = bench_allocate(film->n * k, sizeof *self->index);
    self->value = bench_allocate(film->n * k, sizeof *self->value);
    self->residual = bench_allocate(self->block, 2 * sizeof *self->residual);
    self->activation = bench_allocate(self->block * M, sizeof *self->activation);
    self->index_now = bench_allocate(self->block * k, sizeof *self->index_now);
    self->value_now = bench_allocate(self->block * k, sizeof *self->value_now);
    bench_check(sparse_new(&self->sparse, &config, backend), "a new sparse layer");
    bench_check(invariant_new(&self->invariant, &geometry->invariant, backend), "a new invariant layer");
}

/* Train new weights for a while, and record the codes of the whole film. */
static void warm_up(struct subject *self, size_t frames)
{
    const struct sparse_config *s = &self->geometry->sparse;
    const struct invariant_config *v = &self->geometry->invariant;
    const size_t N = s->Kx * s->Ky, M = v->Ix * v->Iy;
    float *W = bench_weights(N * s->P, 0.2), *U = bench_weights(M * N, v->rule == INVARIANT_TOPO ? 0.1 : 1);
    sparse_set_weights(self->sparse, W);
    invariant_set_weights(self->invariant, U);
    free(W);
    free(U);
    for (size_t done = 0; done < frames;) {
        done += perform(self, BOTH_TRAIN);
    }
    self->at[BOTH_TRAIN] = 0;
    for (size_t t = 0; t < self->film->n; t += self->block) {
        const size_t left = self->film->n - t, n = left < self->block ? left : self->block;
        bench_check(sparse_encode(self->sparse, self->index + t * s->k, self->value + t * s->k,
                                  self->residual, self->film->frame + t * s->P, n),
                    "encoding");
    }
}

/* Start from what another body has learned. */
static void take_over(struct subject *self, const struct subject *from)
{
    const struct sparse_config *s = &self->geometry->sparse;
    const size_t N = s->Kx * s->Ky, M = self->geometry->invariant.Ix * self->geometry->invariant.Iy;
    float *W = bench_allocate(N * s->P, sizeof *W), *U = bench_allocate(M * N, sizeof *U);
    sparse_get_weights(from->sparse, W);
    sparse_set_weights(self->sparse, W);
    invariant_get_weights(from->invariant, U);
    invariant_set_weights(self->invariant, U);
    free(W);
    free(U);
    for (size_t q = 0; q < self->film->n * s->k; q++) {
        self->index[q] = from->index[q];
        self->value[q] = from->value[q];
    }
}

struct layers *layers_start(const struct bench *bench)
{
    struct layers *self = bench_allocate(1, sizeof *self);
    self->bench = bench;
    self->subjects =
        bench_allocate(EXPERIMENTS * bench->n_backends * bench->n_threads, sizeof *self->subjects);
    for (size_t e = 0; e < EXPERIMENTS; e++) {
        struct subject trained;
        new_subject(&trained, bench, &experiments[e], "cpu", KERNEL_CPU, 1);
        warm_up(&trained, bench->warm);
        for (size_t b = 0; b < bench->n_backends; b++) {
            for (size_t t = 0; t < bench->n_threads; t++) {
                if (t > 0 && bench->backends[b] == KERNEL_REFERENCE) {
                    continue; /* it has one thread */
                }
                struct subject *subject = &self->subjects[self->n_subjects++];
                new_subject(subject, bench, &experiments[e], bench->backend_names[b], bench->backends[b],
                            bench->threads[t]);
                take_over(subject, &trained);
            }
        }
        free_subject(&trained);
    }
    return self;
}

void layers_stop(struct layers *self)
{
    for (size_t s = 0; s < self->n_subjects; s++) {
        free_subject(&self->subjects[s]);
    }
    free(self->subjects);
    free(self);
}

/* Name of the operation and body: "B/topo_train/cpu"; with more than one thread ".../cpu-2-threads". */
static void add_result(const struct subject *self, enum operation operation, double rate)
{
    const char *rule = self->geometry->rule;
    const char *const layer[] = {"sparse", "sparse", "sparse", rule, rule, "both"};
    const char *const mode[] = {"train", "train_bytes", "encode", "train", "encode", "train"};
    char threads[32] = "";
    if (self->threads > 1) {
        snprintf(threads, sizeof threads, "-%zu-threads", self->threads);
    }
    results_add(rate, "frames/s", "%s/%s_%s/%s%s", self->geometry->name, layer[operation], mode[operation],
                self->backend_name, threads);
}

void layers_measure(struct layers *self)
{
    results_add(bench_film(self->bench, SIDE)->pixels, "pixels", "pixels_not_0/side=%d", SIDE);
    results_add(DRIVE_FRAMES, "frames", "frames_a_sweep");
    for (enum operation operation = 0; operation < OPERATIONS; operation++) {
        for (size_t s = 0; s < self->n_subjects; s++) {
            struct subject *subject = &self->subjects[s];
            if (subject->threads > 1 && (operation == INVARIANT_TRAIN || operation == INVARIANT_ENCODE)) {
                continue; /* invariant layers have one thread */
            }
            size_t frames = 0;
            double start = bench_now(), seconds = 0;
            while (seconds < self->bench->seconds) {
                frames += perform(subject, operation);
                seconds = bench_now() - start;
            }
            add_result(subject, operation, (double)frames / seconds);
        }
    }
}

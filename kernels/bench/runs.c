/* Independent trainings side by side, as in a sweep over seeds: 1 to 32 sparse layers of experiment B, each with a thread of
 * the host. What a GPU is for; on a CPU there is nothing to win beyond its cores. See bench.h. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

#define RUNS_MAX 32

struct run {
    pthread_t thread;
    const struct bench *bench;
    const struct film *film;
    struct sparse *layer;
    uint32_t *index;
    float *value, *residual;
    double rate; /* frames/s */
};

static void *train(void *argument)
{
    struct run *self = argument;
    const size_t P = self->film->side * self->film->side;
    const double start = bench_now();
    double seconds = 0;
    size_t frames = 0, t = 0;
    while (seconds < self->bench->seconds) {
        const size_t left = self->film->n - t, n = left < self->bench->block ? left : self->bench->block;
        bench_check(sparse_train_bytes(self->layer, self->index, self->value, self->residual,
                                       self->film->byte + t * P, n),
                    "training side by side");
        frames += n;
        t = n == left ? 0 : t + n;
        seconds = bench_now() - start;
    }
    self->rate = (double)frames / seconds;
    return NULL;
}

static void new_run(struct run *self, const struct bench *bench, enum kernel_backend backend)
{
    const struct sparse_config *config = layers_sparse_b();
    float *W = bench_weights(config->Kx * config->Ky * config->P, 0.2);
    *self = (struct run){.bench = bench, .film = bench_film(bench, 20)};
    self->index = bench_allocate(bench->block * config->k, sizeof *self->index);
    self->value = bench_allocate(bench->block * config->k, sizeof *self->value);
    self->residual = bench_allocate(bench->block, 2 * sizeof *self->residual);
    bench_check(sparse_new(&self->layer, config, backend), "a new sparse layer");
    bench_check(sparse_set_weights(self->layer, W), "setting weights");
    free(W);
}

static void free_run(struct run *self)
{
    sparse_destroy(&self->layer);
    free(self->index);
    free(self->value);
    free(self->residual);
}

static void measure_together(const struct bench *bench, size_t b, size_t n)
{
    struct run runs[RUNS_MAX];
    double sum = 0;
    for (size_t r = 0; r < n; r++) {
        new_run(&runs[r], bench, bench->backends[b]);
    }
    for (size_t r = 0; r < n; r++) {
        bench_check(pthread_create(&runs[r].thread, NULL, train, &runs[r]) ? KERNEL_ENOMEM : KERNEL_OK,
                    "a thread");
    }
    for (size_t r = 0; r < n; r++) {
        pthread_join(runs[r].thread, NULL);
        sum += runs[r].rate;
        free_run(&runs[r]);
    }
    results_add(sum, "frames/s", "runs/sparse_train/%s/together=%zu", bench->backend_names[b], n);
}

void runs_measure(const struct bench *bench)
{
    for (size_t b = 0; b < bench->n_backends; b++) {
        for (size_t n = 1; bench->backends[b] != KERNEL_REFERENCE && n <= RUNS_MAX; n *= 2) {
            measure_together(bench, b, n);
        }
    }
}

/* How the time of a frame grows with the size of the layers; see bench.h.
 *
 *     growth/sparse_train/N=6400/P=400/k=4/cpu, growth/sparse_encode/...     frames/s
 *     growth/topo_train/N=6400/M=100/k=4/cpu                             from the codes of that sparse layer
 *
 * Layers are made, measured and freed one after another: the largest weighs 419 MB. The weights are new ones,
 * trained on one block. */
#include <stdlib.h>

#include "bench.h"

#define CODES 2000 /* frames whose codes the invariant layer gets: one period of normalisation */

static const size_t grids[] = {20, 40, 80, 160}; /* N = 400 .. 25600 */
static const size_t sides[] = {20, 32, 64};      /* P = 400, 1024, 4096 */
static const size_t outputs[] = {10, 20};        /* M = 100, 400 */

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Codes of a film. */
struct codes {
    uint32_t *index; /* n x k */
    float *value;    /* n x k */
    size_t n, k;
};

static struct codes new_codes(size_t n, size_t k)
{
    return (struct codes){.index = bench_allocate(n * k, sizeof(uint32_t)),
                          .value = bench_allocate(n * k, sizeof(float)),
                          .n = n,
                          .k = k};
}

static void free_codes(struct codes *self)
{
    free(self->index);
    free(self->value);
}

/* Frames a second of a sparse layer over the film, for about the time of a case; fills codes->n codes at least
 * once if it is asked to encode all of them. */
static double rate_of_sparse(struct sparse *layer, const struct bench *bench, const struct film *film,
                             struct codes *codes, bool train, bool all)
{
    const size_t P = film->side * film->side, k = codes->k, block = bench->block;
    float *residual = bench_allocate(block, 2 * sizeof *residual);
    size_t frames = 0, t = 0;
    double start = bench_now(), seconds = 0;
    while (seconds < bench->seconds || (all && frames < codes->n)) {
        const size_t left = codes->n - t, n = left < block ? left : block;
        uint32_t *index = codes->index + t * k;
        float *value = codes->value + t * k;
        const float *frame = film->frame + t * P;
        bench_check(train ? sparse_train(layer, index, value, residual, frame, n)
                          : sparse_encode(layer, index, value, residual, frame, n),
                    "a sparse layer of growth");
        frames += n;
        t = n == left ? 0 : t + n;
        seconds = bench_now() - start;
    }
    free(residual);
    return (double)frames / seconds;
}

static void train_topo(struct invariant *layer, float *activation, float *residual, const struct codes *codes)
{
    bench_check(invariant_train(layer, activation, residual, codes->index, codes->value, codes->k, codes->n),
                "an invariant layer of growth");
}

static void measure_topo(const struct bench *bench, const struct codes *codes, size_t backend, size_t N,
                         size_t side)
{
    const size_t M = side * side;
    const struct invariant_config config = {.rule = INVARIANT_TOPO,
                                            .N = N,
                                            .Ix = side,
                                            .Iy = side,
                                            .radius = 2,
                                            .strength = 0.1,
                                            .leak = 1.0 / 3,
                                            .active_rate = 0.08,
                                            .inactive_rate = 0.0008,
                                            .normalize_every = CODES};
    struct invariant *layer;
    float *U = bench_weights(M * N, 0.1), *residual = bench_allocate(codes->n, 2 * sizeof *residual);
    float *activation = bench_allocate(codes->n * M, sizeof *activation);
    bench_check(invariant_new(&layer, &config, bench->backends[backend]), "an invariant layer of growth");
    invariant_set_weights(layer, U);
    train_topo(layer, activation, residual, codes); /* to get warm */
    double start = bench_now(), seconds = 0;
    size_t frames = 0;
    while (seconds < bench->seconds) {
        train_topo(layer, activation, residual, codes);
        frames += codes->n;
        seconds = bench_now() - start;
    }
    results_add((double)frames / seconds, "frames/s", "growth/topo_train/N=%zu/M=%zu/k=%zu/%s", N, M,
                codes->k, bench->backend_names[backend]);
    invariant_destroy(&layer);
    free(U);
    free(residual);
    free(activation);
}

static void measure_sparse(const struct bench *bench, const struct film *film, size_t backend, size_t grid,
                           size_t k, bool and_topo)
{
    const size_t N = grid * grid, P = film->side * film->side;
    struct sparse_config config = {
        .P = P, .Kx = grid, .Ky = grid, .k = k, .rate = 0.02, .radius = 2, .strength = 0.5};
    struct sparse *layer;
    struct codes codes = new_codes(film->n < CODES ? film->n : CODES, k);
    float *W = bench_weights(N * P, 0.2);
    bench_set_threads(&config, 1);
    bench_check(sparse_new(&layer, &config, bench->backends[backend]), "a sparse layer of growth");
    sparse_set_weights(layer, W);
    free(W);
    struct bench once = *bench;
    once.seconds = 1e-9;
    (void)rate_of_sparse(layer, &once, film, &codes, true, false); /* one block, to get warm */
    results_add(rate_of_sparse(layer, bench, film, &codes, true, false), "frames/s",
                "growth/sparse_train/N=%zu/P=%zu/k=%zu/%s", N, P, k, bench->backend_names[backend]);
    results_add(rate_of_sparse(layer, bench, film, &codes, false, and_topo), "frames/s",
                "growth/sparse_encode/N=%zu/P=%zu/k=%zu/%s", N, P, k, bench->backend_names[backend]);
    sparse_destroy(&layer);
    for (size_t o = 0; and_topo && o < COUNT(outputs); o++) {
        measure_topo(bench, &codes, backend, N, outputs[o]);
    }
    free_codes(&codes);
}

static void measure_film(const struct bench *bench, const struct film *film, size_t backend)
{
    const bool smallest = film->side == sides[0];
    for (size_t g = 0; g < COUNT(grids) && grids[g] * grids[g] <= bench->largest; g++) {
        measure_sparse(bench, film, backend, grids[g], 4, smallest);
        if (smallest) {
            measure_sparse(bench, film, backend, grids[g], 16, true);
        }
    }
}

void growth_measure(const struct bench *bench)
{
    for (size_t s = 0; s < COUNT(sides); s++) {
        const struct film *film = bench_film(bench, sides[s]);
        if (!film) {
            continue;
        }
        results_add(film->pixels, "pixels", "pixels_not_0/side=%zu", film->side);
        for (size_t b = 0; b < bench->n_backends; b++) {
            if (bench->backends[b] != KERNEL_REFERENCE) {
                measure_film(bench, film, b);
            }
        }
    }
}

/* kernel-bench: frames a second of every kernel and body, on one thread.
 *
 * The geometries are those of the notebooks' experiments A and B. Frames are made here: strokes as thick as a
 * digit's on a periodic picture, four fifths of it 0, seen through a window that glides. Rounds are
 * interleaved (every case once, then again), so that a slow moment of the machine falls on all alike; the
 * median of the rounds is shown. The clock is the thread's own, so that other programs on the machine count less. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "invariant.h"
#include "sparse.h"

#define PICTURE 280 /* side of the periodic picture */
#define WINDOW 20
#define PIXELS (WINDOW * WINDOW)
#define FRAMES 2000   /* a round, float */
#define FRAMES_REF 50 /* a round, reference */
#define WARM 500      /* frames of training before anything is timed */
#define ROUNDS_MAX 99

struct geometry {
    const char *name;
    struct sparse_config sparse;
    struct invariant_config invariant;
};

static const struct geometry experiments[] = {
    {"B",
     {.P = PIXELS, .Kx = 40, .Ky = 40, .k = 4, .rate = 0.02, .radius = 2, .strength = 0.5},
     {.rule = INVARIANT_TOPO,
      .N = 1600,
      .Ix = 10,
      .Iy = 10,
      .radius = 2,
      .strength = 0.5,
      .leak = 1.0 / 3,
      .active_rate = 0.08,
      .inactive_rate = 0.0008,
      .normalize_every = 2000}},
    {"A",
     {.P = PIXELS, .Kx = 20, .Ky = 20, .k = 5, .rate = 0.01},
     {.rule = INVARIANT_SMOOTH,
      .N = 400,
      .Ix = 10,
      .Iy = 10,
      .winners = 10,
      .smooth_rate = 0.1,
      .reconstruction_rate = 0.05}},
};

enum operation { SPARSE_TRAIN, SPARSE_ENCODE, INVARIANT_TRAIN, OPERATIONS };
static const char *const operation_names[] = {"sparse train", "sparse encode", "invariant train"};
static const enum kernel_backend backends[] = {KERNEL_REFERENCE, KERNEL_CPU};

#define EXPERIMENTS (sizeof experiments / sizeof *experiments)
#define BACKENDS (sizeof backends / sizeof *backends)

/* One experiment on one body, with room for a round's results. */
struct subject {
    const struct geometry *geometry;
    struct sparse *sparse;
    struct invariant *invariant;
    uint32_t *index;   /* FRAMES x k */
    float *value;      /* FRAMES x k */
    float *residual;   /* FRAMES x 2 */
    float *activation; /* FRAMES x M */
    size_t frames;     /* a round */
    double rate[OPERATIONS][ROUNDS_MAX];
};

static uint64_t random_state = 1;

/* Uniform in [0, 1): the splitmix64 generator. */
static double uniform(void)
{
    uint64_t z = (random_state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Set a round dot of ink; returns how many pixels are no longer 0. */
static size_t dot(float *picture, double x, double y)
{
    size_t ink = 0;
    for (int dy = -2; dy <= 2; dy++) {
        for (int dx = -2; dx <= 2; dx++) {
            size_t column = (size_t)(x + PICTURE + dx) % PICTURE, row = (size_t)(y + PICTURE + dy) % PICTURE;
            float *pixel = picture + row * PICTURE + column;
            double level = fmin(1, 1.2 - 0.5 * sqrt(dx * dx + dy * dy));
            ink += *pixel <= 0 && level > 0;
            *pixel = fmaxf(*pixel, (float)fmax(level, 0));
        }
    }
    return ink;
}

/* Draw bent strokes until a fifth of the picture is not 0. */
static void draw(float *picture)
{
    size_t ink = 0;
    while (ink < PICTURE * PICTURE / 5) {
        double x = uniform() * PICTURE, y = uniform() * PICTURE, angle = uniform() * 6.28,
               bend = uniform() - 0.5;
        for (int s = 0; s < 20; s++) {
            ink += dot(picture, x, y);
            x += cos(angle);
            y += sin(angle);
            angle += bend * 0.3;
        }
    }
}

/* frames (FRAMES x PIXELS): the picture through a gliding window. */
static void film(float *frames, const float *picture)
{
    double x = 0, y = 0, vx = 0, vy = 0, ax = 0, ay = 0;
    for (size_t t = 0; t < FRAMES; t++) {
        if (t % 20 == 0) {
            ax = 2 * uniform() - 1;
            ay = 2 * uniform() - 1;
        }
        x += vx;
        y += vy;
        vx = fmax(-3, fmin(3, vx + ax));
        vy = fmax(-3, fmin(3, vy + ay));
        size_t left = (size_t)(x + 1000.0 * PICTURE) % PICTURE,
               top = (size_t)(y + 1000.0 * PICTURE) % PICTURE;
        for (size_t q = 0; q < PIXELS; q++) {
            frames[t * PIXELS + q] =
                picture[(top + q / WINDOW) % PICTURE * PICTURE + (left + q % WINDOW) % PICTURE];
        }
    }
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory) {
        fputs("kernel-bench: out of memory\n", stderr);
        exit(70);
    }
    return memory;
}

static float *random_weights(size_t count, double below)
{
    float *weights = allocate(count, sizeof *weights);
    for (size_t w = 0; w < count; w++) {
        weights[w] = (float)(below * uniform());
    }
    return weights;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int perform(struct subject *self, enum operation operation, const float *frames, size_t n)
{
    switch (operation) {
    case SPARSE_TRAIN:
        return sparse_train(self->sparse, self->index, self->value, self->residual, frames, n);
    case SPARSE_ENCODE:
        return sparse_encode(self->sparse, self->index, self->value, self->residual, frames, n);
    default:
        return invariant_train(self->invariant, self->activation, self->residual, self->index, self->value,
                               self->geometry->sparse.k, n);
    }
}

static int prepare(struct subject *self, const struct geometry *geometry, enum kernel_backend backend,
                   const float *frames)
{
    const struct sparse_config *s = &geometry->sparse;
    const struct invariant_config *v = &geometry->invariant;
    size_t N = s->Kx * s->Ky, M = v->Ix * v->Iy;
    self->geometry = geometry;
    self->frames = backend == KERNEL_REFERENCE ? FRAMES_REF : FRAMES;
    self->index = allocate(FRAMES * s->k, sizeof *self->index);
    self->value = allocate(FRAMES * s->k, sizeof *self->value);
    self->residual = allocate(FRAMES, 2 * sizeof *self->residual);
    self->activation = allocate(FRAMES * M, sizeof *self->activation);
    int rc = sparse_new(&self->sparse, s, backend);
    if (!rc) {
        rc = invariant_new(&self->invariant, v, backend);
    }
    if (rc) {
        return rc;
    }
    float *W = random_weights(N * PIXELS, 0.2), *U = random_weights(M * N, 0.1);
    sparse_set_weights(self->sparse, W);
    invariant_set_weights(self->invariant, U);
    free(W);
    free(U);
    size_t warm = backend == KERNEL_REFERENCE ? FRAMES_REF : WARM;
    rc = perform(self, SPARSE_TRAIN, frames, warm);
    return rc ? rc : perform(self, INVARIANT_TRAIN, frames, warm);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void report(struct subject *subjects, size_t rounds)
{
    printf("%-4s %-17s %14s %14s %8s\n", "", "frames/s", "reference", "cpu", "ratio");
    for (size_t e = 0; e < EXPERIMENTS; e++) {
        double together[BACKENDS] = {0}, rate[BACKENDS];
        for (size_t o = 0; o < OPERATIONS; o++) {
            for (size_t b = 0; b < BACKENDS; b++) {
                rate[b] = median(subjects[e * BACKENDS + b].rate[o], rounds);
                together[b] += o == SPARSE_ENCODE ? 0 : 1 / rate[b];
            }
            printf("%-4s %-17s %14.0f %14.0f %8.1f\n", experiments[e].name, operation_names[o], rate[0],
                   rate[1], rate[1] / rate[0]);
        }
        printf("%-4s %-17s %14.0f %14.0f %8.1f\n", experiments[e].name, "both layers train", 1 / together[0],
               1 / together[1], together[0] / together[1]);
    }
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 5;
    if (argc > 2 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: kernel-bench [ROUNDS]    rounds of each case, 1 to %d, default 5\n",
                ROUNDS_MAX);
        return 64;
    }
    float *picture = allocate(PICTURE * PICTURE, sizeof *picture);
    float *frames = allocate(FRAMES * PIXELS, sizeof *frames);
    struct subject *subjects = allocate(EXPERIMENTS * BACKENDS, sizeof *subjects);
    draw(picture);
    film(frames, picture);
    int rc = 0;
    for (size_t s = 0; !rc && s < EXPERIMENTS * BACKENDS; s++) {
        rc = prepare(&subjects[s], &experiments[s / BACKENDS], backends[s % BACKENDS], frames);
    }
    for (size_t round = 0; !rc && round < rounds; round++) {
        for (size_t o = 0; !rc && o < OPERATIONS; o++) {
            for (size_t s = 0; !rc && s < EXPERIMENTS * BACKENDS; s++) {
                double start = now();
                rc = perform(&subjects[s], (enum operation)o, frames, subjects[s].frames);
                subjects[s].rate[o][round] = (double)subjects[s].frames / (now() - start);
            }
        }
    }
    if (rc) {
        fprintf(stderr, "kernel-bench: a kernel failed with status %d\n", rc);
    } else {
        report(subjects, rounds);
    }
    for (size_t s = 0; s < EXPERIMENTS * BACKENDS; s++) {
        sparse_destroy(&subjects[s].sparse);
        invariant_destroy(&subjects[s].invariant);
        free(subjects[s].index);
        free(subjects[s].value);
        free(subjects[s].residual);
        free(subjects[s].activation);
    }
    free(subjects);
    free(frames);
    free(picture);
    return rc ? 70 : 0;
}

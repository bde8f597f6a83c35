/* kernel-bench: how fast the kernels are, alone. What its files share.
 *
 * A round measures every case of the chosen sections once; rounds are repeated, so that a slow moment of the
 * machine falls on all cases alike. A case runs block after block of the film for a given time, by the clock
 * on the wall, and its result is a number under a name like "B/sparse_train/cpu". */
#ifndef LOOM_KERNELS_BENCH_H
#define LOOM_KERNELS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "invariant.h"
#include "kernel.h"
#include "sparse.h"

/* Frames of one size, as the kernels take them. */
struct film {
    size_t side;   /* pixels of a frame's side; P = side * side */
    size_t n;      /* frames */
    float *frame;  /* n x P, in [0, 1] */
    uint8_t *byte; /* n x P: the same as bytes, rounded where they are no 255ths */
    double pixels; /* that are not 0, mean of a frame */
};

struct bench {
    struct film *films;
    size_t n_films;
    enum kernel_backend backends[4]; /* that are measured, in this order */
    const char *backend_names[4];
    size_t n_backends;
    size_t threads[4]; /* of frozen sparse layers */
    size_t n_threads;
    size_t block;   /* frames a call */
    size_t warm;    /* frames of training before anything is timed */
    size_t largest; /* growth: units at most */
    double seconds; /* a case takes about this long a round */
};

/* ---- bench.c ---- */

/* Zeroed memory; ends the program if there is none. */
void *bench_allocate(size_t count, size_t size);

/* End the program if a kernel has failed. */
void bench_check(int status, const char *what);

/* Seconds since some fixed moment. */
double bench_now(void);

/* Uniform in [0, 1): the splitmix64 generator. */
double bench_uniform(void);

/* count numbers, uniform in [0, below). The caller frees them. */
float *bench_weights(size_t count, double below);

/* Let the layer use so many threads; false if it cannot. */
bool bench_set_threads(struct sparse_config *config, size_t threads);

/* The film of frames of side x side pixels; NULL if there is none. */
const struct film *bench_film(const struct bench *self, size_t side);

/* ---- film.c ---- */

/* Read raw float from a file (n x side x side), or with path NULL make frames: strokes as thick as a digit's on
 * a periodic picture, a fifth of it ink, through a window that glides. 0, or -1 with the reason on standard
 * error. Freed by film_fini. */
int film_init(struct film *self, size_t side, const char *path);
void film_fini(struct film *self);

/* Write the frames to a file as film_init reads them. 0, or -1 with the reason on standard error. */
int film_keep(const struct film *self, const char *path);

/* ---- results.c: numbers under names, a value a round ---- */

void results_begin_round(void);
void results_add(double value, const char *unit, const char *name, ...) __attribute__((format(printf, 3, 4)));

/* The round's results as one line of JSON: {"round": 1, "results": {name: number}}. */
void results_print_json(void);

/* All rounds as a table: median and spread; where there is a reference, how many times faster. */
void results_print_table(void);

/* ---- sections: start once, measure once a round, stop ---- */

struct layers; /* experiments A and B, every operation and body */
struct layers *layers_start(const struct bench *bench);
void layers_measure(struct layers *self);
void layers_stop(struct layers *self);

const struct sparse_config *layers_sparse_b(void); /* experiment B's sparse layer, of one thread */

void growth_measure(const struct bench *bench);   /* larger and smaller layers */
void runs_measure(const struct bench *bench);     /* 1 to 32 trainings side by side */
void ceilings_measure(const struct bench *bench); /* what this machine could do at best */

#endif

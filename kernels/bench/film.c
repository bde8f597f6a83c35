/* Frames for the benchmark; see bench.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

#define PICTURE 280      /* side of the periodic picture */
#define FRAMES 2000      /* made here */
#define FRAMES_MAX 20000 /* read */

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

/* Draw bent strokes until a fifth of the picture is not 0; in 255ths, as pictures are. */
static void draw(float *picture)
{
    size_t ink = 0;
    while (ink < PICTURE * PICTURE / 5) {
        double x = bench_uniform() * PICTURE, y = bench_uniform() * PICTURE, angle = bench_uniform() * 6.28,
               bend = bench_uniform() - 0.5;
        for (int s = 0; s < 20; s++) {
            ink += dot(picture, x, y);
            x += cos(angle);
            y += sin(angle);
            angle += bend * 0.3;
        }
    }
    for (size_t q = 0; q < PICTURE * PICTURE; q++) {
        picture[q] = (float)lrintf(255 * picture[q]) / 255.0F;
    }
}

/* The picture through a gliding window. */
static void film_made(struct film *self)
{
    float *picture = bench_allocate(PICTURE * PICTURE, sizeof *picture);
    double x = 0, y = 0, vx = 0, vy = 0, ax = 0, ay = 0;
    const size_t side = self->side, P = side * side;
    draw(picture);
    self->n = FRAMES;
    self->frame = bench_allocate(FRAMES * P, sizeof *self->frame);
    for (size_t t = 0; t < FRAMES; t++) {
        if (t % 20 == 0) {
            ax = 2 * bench_uniform() - 1;
            ay = 2 * bench_uniform() - 1;
        }
        x += vx;
        y += vy;
        vx = fmax(-3, fmin(3, vx + ax));
        vy = fmax(-3, fmin(3, vy + ay));
        size_t left = (size_t)(x + 1000.0 * PICTURE) % PICTURE,
               top = (size_t)(y + 1000.0 * PICTURE) % PICTURE;
        for (size_t q = 0; q < P; q++) {
            self->frame[t * P + q] =
                picture[(top + q / side) % PICTURE * PICTURE + (left + q % side) % PICTURE];
        }
    }
    free(picture);
}

static int film_read(struct film *self, const char *path)
{
    const size_t P = self->side * self->side;
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "kernel-bench: cannot open %s\n", path);
        return -1;
    }
    self->frame = bench_allocate(FRAMES_MAX * P, sizeof *self->frame);
    self->n = fread(self->frame, P * sizeof *self->frame, FRAMES_MAX, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed || self->n == 0) {
        fprintf(stderr, "kernel-bench: %s does not hold a frame of %zu x %zu floats\n", path, self->side,
                self->side);
        return -1;
    }
    return 0;
}

int film_init(struct film *self, size_t side, const char *path)
{
    *self = (struct film){.side = side};
    if (!path) {
        film_made(self);
    } else if (film_read(self, path)) {
        return -1;
    }
    const size_t count = self->n * side * side;
    size_t ink = 0;
    self->byte = bench_allocate(count, sizeof *self->byte);
    for (size_t q = 0; q < count; q++) {
        ink += self->frame[q] > 0;
        self->byte[q] = (uint8_t)lrintf(255 * self->frame[q]);
    }
    self->pixels = (double)ink / (double)self->n;
    return 0;
}

void film_fini(struct film *self)
{
    free(self->frame);
    free(self->byte);
    *self = (struct film){0};
}

int film_keep(const struct film *self, const char *path)
{
    const size_t count = self->n * self->side * self->side;
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(self->frame, sizeof *self->frame, count, file) == count;
    if (file) {
        written &= fclose(file) == 0;
    }
    if (!written) {
        fprintf(stderr, "kernel-bench: cannot write %s\n", path);
    }
    return written ? 0 : -1;
}

/* Measures of what a layer puts out; see moments.h. */
#include "moments.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "measure.h"
#include "memory.h"
#include "mix.h"
#include "moments_cpu.h"
#include "pairs.h"

#define SLACK 4         /* standard deviations of the number of sampled frames that there is room for */
#define LANES 8         /* partial sums */
#define STILL_MAX 1e-12 /* var / mean square up to which a unit keeps still: sums are exact to about 1e-13 */

#ifdef LOOM_X86_SETS
void moments_sums_avx2(struct moments_sums *sums, const float *y, size_t M, size_t n);
void moments_sums_avx512(struct moments_sums *sums, const float *y, size_t M, size_t n);
#endif

typedef void add_sums(struct moments_sums *sums, const float *y, size_t M, size_t n);

struct head {
    uint64_t frames;    /* of the pass so far */
    uint64_t threshold; /* largest hash of a frame that is sampled */
    uint64_t taken;     /* frames in the sample */
};

struct moments {
    size_t M, padded;
    add_sums *add;      /* by the widest instruction set that can be had here */
    uint64_t threshold; /* when a pass begins */
    size_t room;        /* frames that the sample holds */

    /* What is always saved lies in one block; of the sample, as much as has been taken. */
    unsigned char *block;
    size_t block_bytes;
    struct head *head;
    struct moments_sums sums;
    uint64_t *numbers; /* room: of the sampled frames, within the pass */
    float *sample;     /* room x M */
};

/* How many frames of a pass to sample, and so which. */
static void plan_sample(struct moments *self, uint64_t pass)
{
    const size_t fit = MOMENTS_FLOATS / self->M;
    double most = fit < MOMENTS_FEWEST ? MOMENTS_FEWEST : fit > MOMENTS_MOST ? MOMENTS_MOST : (double)fit;
    double wanted = (double)pass / MOMENTS_SHARE;
    wanted = wanted < MOMENTS_LEAST ? MOMENTS_LEAST : wanted;
    wanted = pass == 0 || wanted > most ? most : wanted;
    self->room = (size_t)(wanted + SLACK * sqrt(wanted));
    self->threshold = UINT64_MAX;
    if (pass > self->room) {
        self->threshold = (uint64_t)(wanted / (double)pass * 0x1p64);
    }
}

static add_sums *choose_add(void)
{
    switch (cpu_set()) {
#ifdef LOOM_X86_SETS
    case CPU_AVX2:
        return moments_sums_avx2;
    case CPU_AVX512:
        return moments_sums_avx512;
#endif
    default:
        return moments_sums_cpu;
    }
}

/* Lay out the block: head, the doubles, the floats; each begins on a cache line. */
static int new_block(struct moments *self)
{
    enum { DOUBLES = 5, FLOATS = 3 };
    const size_t head_bytes = memory_padded(sizeof(struct head)) * sizeof(float);
    const size_t unit_bytes = DOUBLES * sizeof(double) + FLOATS * sizeof(float);
    size_t units_bytes;
    if (self->padded == 0 || __builtin_mul_overflow(self->padded, unit_bytes, &units_bytes) ||
        units_bytes > SIZE_MAX / 2) {
        return KERNEL_ENOMEM;
    }
    self->block_bytes = head_bytes + units_bytes;
    self->block = memory_new(self->block_bytes, 1);
    if (!self->block) {
        return KERNEL_ENOMEM;
    }
    self->head = (struct head *)(void *)self->block;
    double *doubles = (double *)(void *)(self->block + head_bytes);
    float *floats = (float *)(doubles + DOUBLES * self->padded);
    self->sums = (struct moments_sums){.sum = doubles,
                                       .square = doubles + self->padded,
                                       .step = doubles + 2 * self->padded,
                                       .bend = doubles + 3 * self->padded,
                                       .change = doubles + 4 * self->padded,
                                       .first = floats,
                                       .last = floats + self->padded,
                                       .peak = floats + 2 * self->padded};
    return KERNEL_OK;
}

int moments_new(struct moments **self_p, size_t M, uint64_t pass)
{
    *self_p = NULL;
    struct moments *self = memory_new(1, sizeof *self);
    if (!self) {
        return KERNEL_ENOMEM;
    }
    self->M = M;
    self->padded = memory_padded(M);
    self->add = choose_add();
    plan_sample(self, pass);
    size_t floats;
    if (new_block(self) || __builtin_mul_overflow(self->room, M, &floats) ||
        !(self->numbers = memory_new(self->room, sizeof *self->numbers)) ||
        !(self->sample = memory_new(floats, sizeof *self->sample))) {
        moments_destroy(&self);
        return KERNEL_ENOMEM;
    }
    moments_begin(self);
    *self_p = self;
    return KERNEL_OK;
}

void moments_destroy(struct moments **self_p)
{
    if (!self_p || !*self_p) {
        return;
    }
    free((*self_p)->block);
    free((*self_p)->numbers);
    free((*self_p)->sample);
    free(*self_p);
    *self_p = NULL;
}

void moments_begin(struct moments *self)
{
    memset(self->block, 0, self->block_bytes);
    self->head->threshold = self->threshold;
}

/* Drop the frames of the sample whose hash has come to lie above the threshold. */
static void thin_out(struct moments *self)
{
    uint64_t kept = 0;
    for (uint64_t s = 0; s < self->head->taken; s++) {
        if (mix(self->numbers[s]) > self->head->threshold) {
            continue;
        }
        if (kept < s) {
            self->numbers[kept] = self->numbers[s];
            memcpy(self->sample + kept * self->M, self->sample + s * self->M, self->M * sizeof *self->sample);
        }
        kept++;
    }
    self->head->taken = kept;
}

/* Take frame number t of the pass into the sample, if it is one of those. */
static void sample(struct moments *self, const float *y, uint64_t t)
{
    const uint64_t hash = mix(t);
    while (hash <= self->head->threshold && self->head->taken == self->room) {
        self->head->threshold /= 2;
        thin_out(self);
    }
    if (hash > self->head->threshold) {
        return;
    }
    self->numbers[self->head->taken] = t;
    memcpy(self->sample + self->head->taken * self->M, y, self->M * sizeof *y);
    self->head->taken++;
}

/* The first two frames of a pass: nothing to compare with in the one, no earlier change in the other. */
static void add_early(struct moments_sums *sums, const float *y, size_t M, bool first)
{
    for (size_t i = 0; i < M; i++) {
        if (first) {
            sums->first[i] = sums->last[i] = y[i];
        }
        const double x = (double)y[i] - (double)sums->first[i];
        sums->sum[i] += x;
        sums->square[i] += x * x;
        sums->step[i] += x * x;
        sums->change[i] = x;
        sums->last[i] = y[i];
        sums->peak[i] = fmaxf(sums->peak[i], fabsf(y[i]));
    }
}

void moments_add(struct moments *self, const float *y, size_t n)
{
    for (size_t t = 0; t < n; t++) {
        sample(self, y + t * self->M, self->head->frames + t);
    }
    for (; n > 0 && self->head->frames < 2; n--, y += self->M) {
        add_early(&self->sums, y, self->M, self->head->frames == 0);
        self->head->frames++;
    }
    self->add(&self->sums, y, self->M, n);
    self->head->frames += n;
}

/* The sample less the means, row by row: a row is a frame, or where there are more frames than units a unit. */
struct centred {
    bool by_frame;
    size_t rows, stride;
    float *data;    /* rows x stride */
    float *frame;   /* M: a_s */
    double *energy; /* of each frame: |a_s|^2 */
    double *square; /* M: of each unit: sum of a_si^2 */
    double fourth;  /* sum of all a_si^4 */
};

static void centred_fini(struct centred *self)
{
    free(self->data);
    free(self->frame);
    free(self->energy);
    free(self->square);
}

/* Add up what frame s holds, in LANES partial sums. */
static void add_squares(struct centred *self, const float *frame, size_t M, size_t s)
{
    double energy[LANES] = {0}, fourth[LANES] = {0};
    for (size_t first = 0; first < M; first += LANES) {
        const size_t n = M - first < LANES ? M - first : LANES;
        for (size_t l = 0; l < n; l++) {
            const double square = (double)frame[first + l] * (double)frame[first + l];
            self->square[first + l] += square;
            energy[l] += square;
            fourth[l] += square * square;
        }
    }
    for (size_t l = 0; l < LANES; l++) {
        self->energy[s] += energy[l];
        self->fourth += fourth[l];
    }
}

static int centred_init(struct centred *self, const struct moments *moments, const double *mean)
{
    const size_t taken = moments->head->taken, M = moments->M;
    *self = (struct centred){.by_frame = taken <= M};
    self->rows = self->by_frame ? taken : M;
    self->stride = memory_padded(self->by_frame ? M : taken);
    if (!(self->data = memory_new(self->rows, self->stride * sizeof *self->data)) ||
        !(self->frame = memory_new(M, sizeof *self->frame)) ||
        !(self->energy = memory_new(taken, sizeof *self->energy)) ||
        !(self->square = memory_new(M, sizeof *self->square))) {
        centred_fini(self);
        return KERNEL_ENOMEM;
    }
    for (size_t s = 0; s < taken; s++) {
        const float *y = moments->sample + s * M;
        float *frame = self->by_frame ? self->data + s * self->stride : self->frame;
        for (size_t i = 0; i < M; i++) {
            frame[i] = (float)((double)y[i] - mean[i]);
        }
        add_squares(self, frame, M, s);
        for (size_t i = 0; !self->by_frame && i < M; i++) {
            self->data[i * self->stride + s] = frame[i];
        }
    }
    return KERNEL_OK;
}

static double sum_of_squares(const double *a, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += a[i] * a[i];
    }
    return sum;
}

/* *share = sum of C_ij^2 over sum of C_ii C_jj, both over i != j: from 0, no two units have anything in common, to 1.
 * As a mean over all pairs of frames s, t of the pass the one is sum of a_si a_sj a_ti a_tj, the other sum of a_si^2
 * a_tj^2. Pairs with s = t are 1 / n of all; what they give is the same in both. */
static int measure_share(const struct moments *self, double *share, const double *mean)
{
    struct centred centred;
    int status = centred_init(&centred, self, mean);
    if (status) {
        return status;
    }
    const size_t taken = self->head->taken;
    const double n = (double)self->head->frames, sampled = (double)taken;
    const double units = sum_of_squares(centred.square, self->M) - centred.fourth; /* i = j, s != t */
    const double frames = sum_of_squares(centred.energy, taken) - centred.fourth;  /* i != j, s = t */
    double trace = 0;
    for (size_t s = 0; s < taken; s++) {
        trace += centred.energy[s];
    }
    /* Over all pairs of rows there are also those of one unit (rows are frames) or of one frame (rows are units). */
    const double pairs = 2 * pairs_squares(centred.data, 0, centred.rows, centred.stride);
    const double common = pairs - (centred.by_frame ? units : frames);
    const double possible = trace * trace - frames - units - centred.fourth;
    const double whole = (1 - 1 / n) / (sampled * (sampled - 1)), same = frames / sampled / n;
    const double ratio = (whole * common + same) / (whole * possible + same);
    *share = ratio >= 0 ? fmin(ratio, 1) : 0; /* 0 also for a single unit, of which it is 0 / 0 */
    centred_fini(&centred);
    return KERNEL_OK;
}

/* *ratio = PR: the variances are known of all frames, what units have in common from the sample. */
static int measure_participation(const struct moments *self, double *ratio, const double *mean)
{
    const double n = (double)self->head->frames;
    double trace = 0, squares = 0, share;
    int status = measure_share(self, &share, mean);
    if (status) {
        return status;
    }
    for (size_t i = 0; i < self->M; i++) {
        const double apart = self->sums.sum[i] / n, var = fmax(self->sums.square[i] / n - apart * apart, 0);
        trace += var;
        squares += var * var;
    }
    *ratio = trace * trace / (squares + share * (trace * trace - squares));
    return KERNEL_OK;
}

/* E, its trace form and delta, from the sums alone. */
static void measure_slowness(const struct moments *self, struct moments_summary *summary)
{
    const struct moments_sums *sums = &self->sums;
    const double n = (double)self->head->frames;
    double bends = 0, steps = 0, all_bends = 0, variance = 0;
    for (size_t i = 0; i < self->M; i++) {
        const double mean = sums->sum[i] / n, square = sums->square[i] / n, var = square - mean * mean;
        if (!(var > STILL_MAX * square)) {
            summary->still++;
            continue;
        }
        bends += sums->bend[i] / var;
        steps += sums->step[i] / var;
        all_bends += sums->bend[i];
        variance += var;
    }
    const double moving = (double)(self->M - summary->still);
    if (n >= 2 && moving > 0) {
        summary->step_change = steps / (n - 1) / moving;
    }
    if (n >= 3 && moving > 0) {
        summary->interpolation_error = bends / 4 / (n - 2) / moving;
        summary->interpolation_error_trace = all_bends / 4 / (n - 2) / variance;
    }
}

static size_t count_dead(const struct moments *self, double quiet)
{
    double most = 0;
    size_t dead = 0;
    for (size_t i = 0; i < self->M; i++) {
        most = fmax(most, (double)self->sums.peak[i]);
    }
    for (size_t i = 0; i < self->M; i++) {
        dead += (double)self->sums.peak[i] <= quiet * most ? 1 : 0;
    }
    return dead;
}

int moments_summarize(const struct moments *self, struct moments_summary *summary, double quiet)
{
    *summary = (struct moments_summary){.frames = self->head->frames,
                                        .sampled = self->head->taken,
                                        .interpolation_error = NAN,
                                        .interpolation_error_trace = NAN,
                                        .step_change = NAN,
                                        .participation_ratio = NAN};
    double *mean = memory_new(self->M, sizeof *mean);
    int status = mean ? KERNEL_OK : KERNEL_ENOMEM;
    if (!status && self->head->frames > 0) {
        for (size_t i = 0; i < self->M; i++) {
            mean[i] = (double)self->sums.first[i] + self->sums.sum[i] / (double)self->head->frames;
        }
        measure_slowness(self, summary);
        summary->dead = count_dead(self, quiet);
    }
    if (!status && self->head->taken >= 2 && summary->still < self->M) {
        status = measure_participation(self, &summary->participation_ratio, mean);
    }
    if (!status) {
        for (size_t i = 0; i < self->M; i++) {
            mean[i] = fmax(mean[i], 0);
        }
        summary->usage_entropy = measure_entropy(mean, self->M);
    }
    free(mean);
    return status;
}

static size_t sample_bytes(const struct moments *self, uint64_t taken)
{
    return (size_t)taken * (sizeof *self->numbers + self->M * sizeof *self->sample);
}

size_t moments_state_bytes(const struct moments *self)
{
    return self->block_bytes + sample_bytes(self, self->head->taken);
}

void moments_save_state(const struct moments *self, void *state)
{
    unsigned char *at = state;
    const size_t numbers = self->head->taken * sizeof *self->numbers;
    memcpy(at, self->block, self->block_bytes);
    memcpy(at + self->block_bytes, self->numbers, numbers);
    memcpy(at + self->block_bytes + numbers, self->sample, sample_bytes(self, self->head->taken) - numbers);
}

int moments_load_state(struct moments *self, const void *state, size_t bytes)
{
    const unsigned char *at = state;
    struct head head;
    if (bytes < self->block_bytes) {
        return KERNEL_EINVAL;
    }
    memcpy(&head, at, sizeof head);
    if (head.taken > self->room || head.taken > head.frames ||
        bytes != self->block_bytes + sample_bytes(self, head.taken)) {
        return KERNEL_EINVAL;
    }
    const size_t numbers = head.taken * sizeof *self->numbers;
    memcpy(self->block, at, self->block_bytes);
    memcpy(self->numbers, at + self->block_bytes, numbers);
    memcpy(self->sample, at + self->block_bytes + numbers, sample_bytes(self, head.taken) - numbers);
    return KERNEL_OK;
}

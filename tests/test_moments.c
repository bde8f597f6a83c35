/* Measures of a layer's outputs against their definitions, and that nothing but the frames decides about them. */
#include "kernel_data.h"
#include "moments.h"

/* Outputs of n frames of M units that follow noise slowly, by `leak` a frame, about `mean`. */
static float *outputs(size_t n, size_t M, double leak, double mean)
{
    float *y = data_floats(n * M, 1);
    double *state = data_new(M, sizeof *state);
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; i < M; i++) {
            state[i] += leak * ((double)y[t * M + i] - 0.5 - state[i]);
            y[t * M + i] = (float)(mean + state[i] * (double)(1 + i % 3));
        }
    }
    free(state);
    return y;
}

/* The definitions as they stand, in two goes. */
struct expected {
    double E, trace, delta, PR;
};

static double participation(const float *y, size_t n, size_t M, const double *mean)
{
    double trace = 0, square = 0;
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < M; j++) {
            double sum = 0;
            for (size_t t = 0; t < n; t++) {
                sum += ((double)y[t * M + i] - mean[i]) * ((double)y[t * M + j] - mean[j]);
            }
            trace += i == j ? sum / (double)n : 0;
            square += sum / (double)n * (sum / (double)n);
        }
    }
    return trace * trace / square;
}

static struct expected expect(const float *y, size_t n, size_t M)
{
    struct expected expected = {0};
    double *mean = data_new(M, sizeof *mean), errors = 0, all = 0;
    for (size_t i = 0; i < M; i++) {
        double variance = 0, error = 0, step = 0;
        for (size_t t = 0; t < n; t++) {
            mean[i] += (double)y[t * M + i] / (double)n;
        }
        for (size_t t = 0; t < n; t++) {
            const float *at = y + t * M + i;
            variance += ((double)*at - mean[i]) * ((double)*at - mean[i]) / (double)n;
            if (t > 0) {
                step += ((double)*at - (double)*(at - M)) * ((double)*at - (double)*(at - M));
            }
            if (t > 1) {
                const double between = ((double)*at + (double)*(at - 2 * M)) / 2 - (double)*(at - M);
                error += between * between;
            }
        }
        expected.E += error / (double)(n - 2) / variance / (double)M;
        expected.delta += step / (double)(n - 1) / variance / (double)M;
        errors += error / (double)(n - 2);
        all += variance;
    }
    expected.trace = errors / all;
    expected.PR = participation(y, n, M, mean);
    free(mean);
    return expected;
}

/* The measures of n frames, given to it `block` at a time. */
static struct moments_summary measure(const float *y, size_t n, size_t M, uint64_t pass, size_t block)
{
    struct moments *moments = NULL;
    struct moments_summary summary = {0};
    CHECK(moments_new(&moments, M, pass) == KERNEL_OK);
    for (size_t t = 0; t < n; t += block) {
        moments_add(moments, y + t * M, n - t < block ? n - t : block);
    }
    CHECK(moments_summarize(moments, &summary, 1e-3) == KERNEL_OK);
    moments_destroy(&moments);
    return summary;
}

static void test_measures_are_as_defined(void)
{
    const size_t units[] = {1, 2, 5, 8, 15, 16, 17, 40}, frames[] = {3, 4, 33, 64, 700};
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        for (size_t f = 0; f < sizeof frames / sizeof *frames; f++) {
            const size_t M = units[u], n = frames[f];
            float *y = outputs(n, M, 0.3, 2);
            const struct expected expected = expect(y, n, M);
            const struct moments_summary seen = measure(y, n, M, n, 9);
            CHECK(seen.frames == n && seen.still == 0 && seen.dead == 0);
            CHECK_NEAR(seen.interpolation_error / expected.E, 1, 1e-10);
            CHECK_NEAR(seen.interpolation_error_trace / expected.trace, 1, 1e-10);
            CHECK_NEAR(seen.step_change / expected.delta, 1, 1e-10);
            CHECK(seen.sampled <= n && (seen.sampled == n) == (n <= MOMENTS_LEAST));
            CHECK_NEAR(seen.participation_ratio / expected.PR, 1, seen.sampled == n ? 1e-5 : 0.25);
            free(y);
        }
    }
}

static void test_white_noise(void)
{
    const size_t M = 64, n = 10000;
    float *y = outputs(n, M, 1, 0);
    for (size_t q = 0; q < n * M; q++) {
        y[q] /= (float)(1 + q % M % 3); /* isotropic */
    }
    const struct moments_summary seen = measure(y, n, M, n, 256);
    CHECK_NEAR(seen.interpolation_error, 1.5, 0.01);
    CHECK_NEAR(seen.interpolation_error_trace, 1.5, 0.01);
    CHECK_NEAR(seen.step_change, 2, 0.01);
    CHECK_NEAR(seen.participation_ratio, 64, 64 * 0.02);
    CHECK(seen.sampled > 400 && seen.sampled < 640);
    free(y);
}

/* The error that moments.h promises: of many slow outputs, from a twentieth of the frames. */
static void test_participation_from_a_sample(void)
{
    const size_t M = 60, n = 10000, seeds = data_short() ? 2 : 6;
    double squares = 0;
    for (size_t s = 0; s < seeds; s++) {
        float *y = outputs(n, M, 0.3, 1), *common = outputs(n, 1, 0.2, 0);
        for (size_t q = 0; q < n * M; q++) {
            y[q] += common[q / M] * (float)s;
        }
        const struct moments_summary seen = measure(y, n, M, n, 500);
        const double error = seen.participation_ratio / expect(y, n, M).PR - 1;
        CHECK_NEAR(error, 0, 0.12);
        squares += error * error / (double)seeds;
        free(y);
        free(common);
    }
    CHECK(sqrt(squares) < 0.04);
}

static void test_one_direction(void)
{
    const size_t M = 33, n = 1000;
    float *y = outputs(n, M, 0.1, 0);
    for (size_t q = 0; q < n * M; q++) {
        y[q] = y[q - q % M] * (float)(1 + q % M);
    }
    CHECK_NEAR(measure(y, n, M, n, 100).participation_ratio, 1, 1e-5);
    free(y);
}

/* A large mean costs no digits: the sums are of differences from the first frame. */
static void test_large_mean(void)
{
    const size_t M = 7, n = 5000;
    float *y = outputs(n, M, 0.5, 1e4);
    const struct expected expected = expect(y, n, M);
    const struct moments_summary seen = measure(y, n, M, n, 64);
    CHECK_NEAR(seen.interpolation_error / expected.E, 1, 1e-9);
    CHECK_NEAR(seen.step_change / expected.delta, 1, 1e-9);
    free(y);
}

static void test_still_units_are_left_out(void)
{
    const size_t M = 10, n = 50;
    float *y = outputs(n, M, 0.5, 1), *moving = data_new(n * 7, sizeof *moving);
    for (size_t t = 0; t < n; t++) {
        y[t * M] = 0;
        y[t * M + 1] = 0.1F;
        y[t * M + 9] = 1e-9F;
        memcpy(moving + t * 7, y + t * M + 2, 7 * sizeof *y);
    }
    const struct moments_summary seen = measure(y, n, M, n, 8), alone = measure(moving, n, 7, n, 8);
    CHECK(seen.still == 3 && alone.still == 0);
    CHECK_NEAR(seen.interpolation_error, alone.interpolation_error, 1e-12);
    CHECK_NEAR(seen.interpolation_error_trace, alone.interpolation_error_trace, 1e-12);
    CHECK_NEAR(seen.step_change, alone.step_change, 1e-12);
    CHECK_NEAR(seen.participation_ratio, alone.participation_ratio, 1e-5);
    free(y);
    free(moving);
}

static void test_what_cannot_be_told(void)
{
    const float same[12] = {1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3}, two[4] = {1, 5, 2, 7};
    struct moments_summary seen = measure(same, 4, 3, 4, 1);
    CHECK(seen.still == 3 && isnan(seen.interpolation_error) && isnan(seen.interpolation_error_trace));
    CHECK(isnan(seen.step_change) && isnan(seen.participation_ratio) && seen.usage_entropy > 1);
    seen = measure(two, 2, 2, 0, 1);
    CHECK(isnan(seen.interpolation_error) && seen.step_change > 0);
    CHECK_NEAR(seen.participation_ratio, 1, 1e-6);
    seen = measure(two, 1, 4, 0, 1);
    CHECK(seen.frames == 1 && isnan(seen.step_change) && isnan(seen.participation_ratio));
    seen = measure(two, 0, 4, 0, 1);
    CHECK(seen.frames == 0 && isnan(seen.step_change) && seen.usage_entropy == 0);
}

static void test_dead_units_and_usage(void)
{
    const float y[8] = {0, 0.0004F, 2, 1, 0, 0.002F, 2, -4};
    struct moments *moments = NULL;
    struct moments_summary seen;
    CHECK(moments_new(&moments, 4, 2) == KERNEL_OK);
    moments_add(moments, y, 2);
    CHECK(moments_summarize(moments, &seen, 1e-3) == KERNEL_OK);
    CHECK(seen.dead == 2);                        /* the largest is 4: up to 0.004 */
    CHECK_NEAR(seen.usage_entropy, 0.0072, 1e-4); /* means 0, 0.0012, 2 and one below 0 */
    CHECK(moments_summarize(moments, &seen, 0) == KERNEL_OK);
    CHECK(seen.dead == 1);
    moments_begin(moments);
    CHECK(moments_summarize(moments, &seen, 0) == KERNEL_OK);
    CHECK(seen.frames == 0);
    moments_destroy(&moments);
}

/* The state after n frames in blocks as `split` says: 0, in the middle it is saved and loaded again. */
static unsigned char *state_of(const float *y, size_t n, size_t M, uint64_t pass, size_t split, size_t *bytes)
{
    struct moments *moments = NULL;
    CHECK(moments_new(&moments, M, pass) == KERNEL_OK);
    for (size_t t = 0; t < n;) {
        size_t block = split > 0 ? split : 1 + t * 7 % 50;
        block = n - t < block ? n - t : block;
        moments_add(moments, y + t * M, block);
        t += block;
        if (split == 0) {
            unsigned char *state = data_new(moments_state_bytes(moments), 1);
            moments_save_state(moments, state);
            *bytes = moments_state_bytes(moments);
            moments_destroy(&moments);
            CHECK(moments_new(&moments, M, pass) == KERNEL_OK);
            CHECK(moments_load_state(moments, state, *bytes) == KERNEL_OK);
            free(state);
        }
    }
    *bytes = moments_state_bytes(moments);
    unsigned char *state = data_new(*bytes, 1);
    moments_save_state(moments, state);
    moments_destroy(&moments);
    return state;
}

static void test_same_bits_however_frames_are_split(void)
{
    const size_t M = 37, n = 1500, splits[] = {1, 2, 33, 1500, 0};
    const uint64_t passes[] = {1500, 0};
    float *y = outputs(n, M, 0.3, 1);
    for (size_t p = 0; p < 2; p++) {
        size_t bytes, wanted;
        unsigned char *first = state_of(y, n, M, passes[p], 100, &wanted);
        for (size_t s = 0; s < sizeof splits / sizeof *splits; s++) {
            unsigned char *state = state_of(y, n, M, passes[p], splits[s], &bytes);
            CHECK(bytes == wanted && data_same(state, first, wanted));
            free(state);
        }
        free(first);
    }
    free(y);
}

static void test_same_bits_by_every_instruction_set(void)
{
    const size_t M = 45, n = 700;
    float *y = outputs(n, M, 0.3, 1);
    struct moments_summary first = {0};
    char *before = getenv("LOOM_CPU") ? strdup(getenv("LOOM_CPU")) : NULL;
    for (size_t s = 0; s < DATA_SETS; s++) {
        setenv("LOOM_CPU", data_sets[s][0], 1);
        const struct moments_summary seen = measure(y, n, M, n, 100);
        if (s == 0) {
            first = seen;
        }
        CHECK(data_same(&seen, &first, sizeof seen));
    }
    unsetenv("LOOM_CPU");
    if (before) {
        setenv("LOOM_CPU", before, 1);
    }
    free(before);
    free(y);
}

static void test_length_not_told(void)
{
    const size_t M = 20, n = 9000;
    float *y = outputs(n, M, 0.3, 1);
    const struct moments_summary seen = measure(y, n, M, 0, 128);
    CHECK(seen.sampled >= MOMENTS_MOST / 3 && seen.sampled <= 2 * MOMENTS_MOST);
    CHECK_NEAR(seen.participation_ratio / expect(y, n, M).PR, 1, 0.08);
    free(y);
}

/* Memory is a fixed number of frames, and time goes with M. */
static void test_many_units(void)
{
    const size_t M = 70001, n = 40;
    float *y = outputs(n, M, 1, 0);
    struct moments *moments = NULL;
    struct moments_summary seen;
    CHECK(moments_new(&moments, M, 100000) == KERNEL_OK);
    for (size_t t = 0; t < 2000; t += n) {
        moments_add(moments, y, n);
    }
    CHECK(moments_state_bytes(moments) < 100 * M);
    CHECK(moments_summarize(moments, &seen, 0) == KERNEL_OK);
    CHECK(seen.frames == 2000 && seen.sampled < 32 && seen.still == 0);
    moments_destroy(&moments);
    CHECK_NEAR(measure(y, n, M, n, 7).participation_ratio, 39, 2);
    free(y);
}

static void test_state_of_others_is_refused(void)
{
    const size_t M = 20, n = 30;
    float *y = outputs(n, M, 0.3, 1);
    size_t bytes;
    unsigned char *state = state_of(y, n, M, n, 10, &bytes);
    struct moments *moments = NULL, *other = NULL;
    CHECK(moments_new(&moments, M, n) == KERNEL_OK && moments_new(&other, 2 * M, n) == KERNEL_OK);
    CHECK(moments_load_state(moments, state, bytes) == KERNEL_OK);
    CHECK(moments_load_state(other, state, bytes) == KERNEL_EINVAL);
    CHECK(moments_load_state(moments, state, bytes - 1) == KERNEL_EINVAL);
    CHECK(moments_load_state(moments, state, bytes + 1) == KERNEL_EINVAL);
    CHECK(moments_load_state(moments, state, 0) == KERNEL_EINVAL);
    memset(state, 0xff, 24);
    CHECK(moments_load_state(moments, state, bytes) == KERNEL_EINVAL);
    moments_destroy(&moments);
    moments_destroy(&other);
    moments_destroy(&other);
    free(state);
    free(y);
}

static void test_memory_that_runs_out(void)
{
    const size_t M = 20, n = 30;
    float *y = outputs(n, M, 0.3, 1);
    struct moments *moments = NULL;
    struct moments_summary seen;
    int status = KERNEL_ENOMEM;
    for (size_t at = 0; status != KERNEL_OK; at++) {
        data_allocations = 0;
        data_fails_at = at;
        status = moments_new(&moments, M, n);
        CHECK((status == KERNEL_OK) == (moments != NULL) && (status == KERNEL_OK || status == KERNEL_ENOMEM));
        CHECK(at < 10);
    }
    moments_add(moments, y, n);
    status = KERNEL_ENOMEM;
    for (size_t at = 0; status != KERNEL_OK; at++) {
        data_allocations = 0;
        data_fails_at = at;
        status = moments_summarize(moments, &seen, 0);
        CHECK(status == KERNEL_OK || status == KERNEL_ENOMEM);
        CHECK(at < 10);
    }
    CHECK(seen.participation_ratio > 1);
    data_fails_at = SIZE_MAX;
    moments_destroy(&moments);
    CHECK(moments_new(&moments, SIZE_MAX / 2, n) == KERNEL_ENOMEM && moments == NULL);
    free(y);
}

CHECK_MAIN(CASE(test_measures_are_as_defined), CASE(test_white_noise), CASE(test_participation_from_a_sample),
           CASE(test_one_direction), CASE(test_large_mean), CASE(test_still_units_are_left_out),
           CASE(test_what_cannot_be_told), CASE(test_dead_units_and_usage),
           CASE(test_same_bits_however_frames_are_split), CASE(test_same_bits_by_every_instruction_set),
           CASE(test_length_not_told), CASE(test_many_units), CASE(test_state_of_others_is_refused),
           CASE(test_memory_that_runs_out))

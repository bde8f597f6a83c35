/* Measures against their definitions. */
#include "kernel_data.h"
#include "measure.h"

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t q = 0; q < n; q++) {
        ab += (double)a[q] * (double)b[q];
        aa += (double)a[q] * (double)a[q];
        bb += (double)b[q] * (double)b[q];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static void test_homogeneity_is_mean_cosine_of_pairs(void)
{
    float *W = data_floats(13 * 31, 1);
    memset(W + 4 * 31, 0, 31 * sizeof *W); /* a row that is all 0 counts as cosine 0 */
    double sum = 0;
    for (size_t i = 0; i < 13; i++) {
        for (size_t j = 0; j < i; j++) {
            sum += cosine(W + i * 31, W + j * 31, 31);
        }
    }
    CHECK_NEAR(measure_homogeneity(W, 13, 31), sum / 78, 1e-12);
    free(W);
}

static void test_homogeneity_extremes(void)
{
    const float same[6] = {1, 2, 2, 4, 3, 6}, apart[4] = {1, 0, 0, 5};
    CHECK_NEAR(measure_homogeneity(same, 3, 2), 1, 1e-12);
    CHECK_NEAR(measure_homogeneity(apart, 2, 2), 0, 1e-12);
    CHECK_NEAR(measure_homogeneity(same, 1, 2), 0, 0);
    CHECK_NEAR(measure_homogeneity(same, 0, 2), 0, 0);
}

static void test_homogeneity_without_memory_is_nan(void)
{
    const float W[4] = {1, 0, 0, 5};
    data_allocations = 0;
    data_fails_at = 0;
    CHECK(isnan(measure_homogeneity(W, 2, 2)));
    data_fails_at = SIZE_MAX;
}

static void test_coverage_and_prototypes(void)
{
    enum { M = 3, N = 5, P = 131 };
    float *U = data_floats(M * N, 1), *W = data_floats(N * P, 1);
    float *coverage = guard_new(N * sizeof *coverage), *prototypes = guard_new(M * P * sizeof *prototypes);
    measure_coverage(coverage, U, M, N);
    measure_prototypes(prototypes, U, W, M, N, P);
    for (size_t j = 0; j < N; j++) {
        CHECK_NEAR(coverage[j], U[j] + U[N + j] + U[2 * N + j], 1e-6);
    }
    for (size_t i = 0; i < M; i++) {
        for (size_t q = 0; q < P; q++) {
            double sum = 0;
            for (size_t j = 0; j < N; j++) {
                sum += (double)(U[i * N + j] * W[j * P + q]);
            }
            CHECK_NEAR(prototypes[i * P + q], sum, 1e-6);
        }
    }
    CHECK(guard_check(coverage, N * sizeof *coverage));
    CHECK(guard_check(prototypes, M * P * sizeof *prototypes));
    free(U);
    free(W);
}

static void test_entropy_in_bits(void)
{
    const double even[4] = {3, 3, 3, 3}, one[4] = {0, 7, 0, 0}, none[4] = {0}, half[3] = {2, 1, 1};
    CHECK_NEAR(measure_entropy(even, 4), 2, 1e-12);
    CHECK_NEAR(measure_entropy(one, 4), 0, 1e-12);
    CHECK_NEAR(measure_entropy(none, 4), 0, 0);
    CHECK_NEAR(measure_entropy(half, 3), 1.5, 1e-12);
    CHECK_NEAR(measure_entropy(NULL, 0), 0, 0);
}

CHECK_MAIN(CASE(test_homogeneity_is_mean_cosine_of_pairs), CASE(test_homogeneity_extremes),
           CASE(test_homogeneity_without_memory_is_nan), CASE(test_coverage_and_prototypes),
           CASE(test_entropy_in_bits))

/* The sparse layer: the float body against the reference, and what both must hold to. */
#include <float.h>
#include <time.h>

#include "kernel_data.h"
#include "sparse.h"

static const struct sparse_config shapes[] = {
    {.P = 1, .Kx = 1, .Ky = 1, .k = 1, .rate = 0.05},
    {.P = 1, .Kx = 5, .Ky = 1, .k = 2, .rate = 0.05, .radius = 1, .strength = 0.5},
    {.P = 7, .Kx = 3, .Ky = 5, .k = 15, .rate = 0.02, .radius = 1, .strength = 0.5},
    {.P = 100, .Kx = 9, .Ky = 4, .k = 3, .rate = 0.02, .radius = 2, .strength = 0.5},
    {.P = 31, .Kx = 1, .Ky = 19, .k = 1, .rate = 0.1, .radius = 30, .strength = 1},
    {.P = 400, .Kx = 13, .Ky = 11, .k = 64, .rate = 0.002, .radius = 0, .strength = 0.5},
    {.P = 65, .Kx = 10, .Ky = 10, .k = 5, .rate = 0.01, .radius = 3},
    {.P = 129, .Kx = 6, .Ky = 7, .k = 4, .rate = 0, .radius = 2, .strength = 0.3},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

/* n frames, four fifths of the pixels 0, every eleventh frame all 0. */
static float *random_frames(size_t n, size_t P)
{
    float *frames = data_new(n * P, sizeof *frames);
    for (size_t t = 0; t < n; t++) {
        for (size_t q = 0; q < P && t % 11 != 10; q++) {
            frames[t * P + q] = data_uniform() < 0.2 ? (float)data_uniform() : 0;
        }
    }
    return frames;
}

static struct sparse *layer_new(const struct sparse_config *config, enum kernel_backend backend,
                                const float *W)
{
    struct sparse *layer;
    int rc = sparse_new(&layer, config, backend);
    if (rc == KERNEL_EUNSUPPORTED) {
        exit(CHECK_SKIPPED); /* the environment's LOOM_CPU asks for a set that is not here */
    }
    if (rc) {
        abort();
    }
    if (W) {
        sparse_set_weights(layer, W);
    }
    return layer;
}

struct result {
    uint32_t *index; /* n x k */
    float *value;    /* n x k */
    float *residual; /* n x 2 */
    float *W;        /* N x P */
};

/* Put n frames through a layer, `block` at a time, between sentinels. */
static struct result layer_run(struct sparse *layer, const struct sparse_config *c, const float *frames,
                               size_t n, size_t block, bool learn)
{
    struct result out = {.index = guard_new(n * c->k * sizeof *out.index),
                         .value = guard_new(n * c->k * sizeof *out.value),
                         .residual = guard_new(2 * n * sizeof *out.residual),
                         .W = guard_new(c->Kx * c->Ky * c->P * sizeof *out.W)};
    for (size_t t = 0; t < n; t += block) {
        size_t m = n - t < block ? n - t : block;
        int rc = learn ? sparse_train(layer, out.index + t * c->k, out.value + t * c->k, out.residual + 2 * t,
                                      frames + t * c->P, m)
                       : sparse_encode(layer, out.index + t * c->k, out.value + t * c->k,
                                       out.residual + 2 * t, frames + t * c->P, m);
        CHECK(rc == KERNEL_OK);
    }
    sparse_get_weights(layer, out.W);
    const float *lent = sparse_lend_weights(layer);
    CHECK(!lent || data_same(lent, out.W, c->Kx * c->Ky * c->P * sizeof *lent));
    return out;
}

static bool same_result(const struct result *a, const struct result *b, const struct sparse_config *c,
                        size_t n)
{
    return data_same(a->index, b->index, n * c->k * sizeof *a->index) &&
           data_same(a->value, b->value, n * c->k * sizeof *a->value) &&
           data_same(a->residual, b->residual, 2 * n * sizeof *a->residual) &&
           data_same(a->W, b->W, c->Kx * c->Ky * c->P * sizeof *a->W);
}

static void result_free(struct result *out, const struct sparse_config *c, size_t n)
{
    CHECK(guard_check(out->index, n * c->k * sizeof *out->index));
    CHECK(guard_check(out->value, n * c->k * sizeof *out->value));
    CHECK(guard_check(out->residual, 2 * n * sizeof *out->residual));
    CHECK(guard_check(out->W, c->Kx * c->Ky * c->P * sizeof *out->W));
}

/* One frame by hand: two units, the second wins. */
static void test_sparse_by_hand(void)
{
    const struct sparse_config config = {.P = 2, .Kx = 2, .Ky = 1, .k = 1, .rate = 0.5};
    const float W[4] = {0.1F, 0.2F, 0.3F, 0.4F}, v[2] = {1, 0.5F};
    /* p = (0.2, 0.5); r = (0.15, 0.2); factors 1 + 0.25 (0.85 / 0.15), 1 + 0.25 (0.3 / 0.2) */
    const double learned[2] = {0.3 * (1 + 0.25 * 0.85 / 0.15), 0.4 * (1 + 0.25 * 0.3 / 0.2)};
    for (size_t b = 0; b < 2; b++) {
        struct sparse *layer = layer_new(&config, data_backend(b), W);
        struct result out = layer_run(layer, &config, v, 1, 1, true);
        CHECK(out.index[0] == 1);
        CHECK_NEAR(out.value[0], 0.5 / (learned[0] + learned[1]), 1e-6);
        CHECK_NEAR(out.residual[0], 0.85 * 0.85 + 0.3 * 0.3, 1e-6);
        CHECK_NEAR(out.residual[1], 1.25, 1e-6);
        CHECK(out.W[0] == W[0] && out.W[1] == W[1]);
        CHECK_NEAR(out.W[2], learned[0], 1e-6);
        CHECK_NEAR(out.W[3], learned[1], 1e-6);
        result_free(&out, &config, 1);
        sparse_destroy(&layer);
    }
}

static void check_against_reference(const struct sparse_config *c, bool learn)
{
    enum { n = 60 };
    size_t weights = c->Kx * c->Ky * c->P;
    float *W = data_floats(weights, 0.2), *frames = random_frames(n, c->P);
    struct sparse *cpu = layer_new(c, DATA_FAST, W), *ref = layer_new(c, KERNEL_REFERENCE, W);
    struct result a = layer_run(cpu, c, frames, n, n, learn), b = layer_run(ref, c, frames, n, n, learn);
    for (size_t s = 0; s < n * c->k; s++) {
        CHECK(a.index[s] == b.index[s]);
        CHECK_NEAR(a.value[s], b.value[s], 1e-5 + 1e-4 * (double)b.value[s]);
    }
    for (size_t t = 0; t < 2 * n; t++) {
        CHECK_NEAR(a.residual[t], b.residual[t], 1e-4 * (1 + (double)b.residual[t]));
    }
    CHECK(data_distance(a.W, b.W, weights) < 1e-5);
    CHECK(learn || data_same(a.W, W, weights * sizeof *W));
    CHECK(learn || data_same(b.W, W, weights * sizeof *W));
    result_free(&a, c, n);
    result_free(&b, c, n);
    sparse_destroy(&cpu);
    sparse_destroy(&ref);
    free(W);
    free(frames);
}

static void test_sparse_cpu_matches_reference(void)
{
    for (size_t s = 0; s < SHAPES; s++) {
        check_against_reference(&shapes[s], true);
    }
}

static void test_sparse_encode_matches_reference_and_keeps_weights(void)
{
    for (size_t s = 0; s < SHAPES; s++) {
        check_against_reference(&shapes[s], false);
    }
}

static void test_sparse_result_does_not_depend_on_calls(void)
{
    enum { n = 50 };
    const size_t blocks[] = {1, 7, 49};
    for (size_t s = 0; s < SHAPES; s++) {
        for (size_t b = 0; b < 2; b++) {
            const struct sparse_config *c = &shapes[s];
            float *W = data_floats(c->Kx * c->Ky * c->P, 0.2), *frames = random_frames(n, c->P);
            struct sparse *whole = layer_new(c, data_backend(b), W);
            struct result a = layer_run(whole, c, frames, n, n, true);
            for (size_t i = 0; i < 3; i++) {
                struct sparse *parts = layer_new(c, data_backend(b), W);
                struct result p = layer_run(parts, c, frames, n, blocks[i], true);
                CHECK(same_result(&p, &a, c, n));
                result_free(&p, c, n);
                sparse_destroy(&parts);
            }
            result_free(&a, c, n);
            sparse_destroy(&whole);
            free(W);
            free(frames);
        }
    }
}

static void test_sparse_continues_exactly_in_a_new_layer(void)
{
    enum { n = 40, half = 23 };
    const struct sparse_config *c = &shapes[3];
    for (size_t b = 0; b < 2; b++) {
        float *W = data_floats(c->Kx * c->Ky * c->P, 0.2), *frames = random_frames(n, c->P);
        struct sparse *whole = layer_new(c, data_backend(b), W), *first = layer_new(c, data_backend(b), W);
        struct result a = layer_run(whole, c, frames, n, n, true),
                      f = layer_run(first, c, frames, half, half, true);
        size_t bytes = sparse_state_bytes(first);
        void *state = guard_new(bytes);
        sparse_save_state(first, state);
        struct sparse *second = layer_new(c, data_backend(b), f.W);
        sparse_load_state(second, state);
        struct result s = layer_run(second, c, frames + half * c->P, n - half, n, true);
        CHECK(data_same(s.value, a.value + half * c->k, (n - half) * c->k * sizeof *s.value));
        CHECK(data_same(s.W, a.W, c->Kx * c->Ky * c->P * sizeof *s.W));
        CHECK(guard_check(state, bytes));
        result_free(&a, c, n);
        result_free(&f, c, half);
        result_free(&s, c, n - half);
        sparse_destroy(&whole);
        sparse_destroy(&first);
        sparse_destroy(&second);
        free(W);
        free(frames);
    }
}

/* More frames than a body takes in one turn. */
static void test_sparse_long_call_is_many_short_ones(void)
{
    enum { n = 5000 };
    const struct sparse_config c = {
        .P = 30, .Kx = 5, .Ky = 4, .k = 2, .rate = 0.02, .radius = 1, .strength = 0.5};
    float *W = data_floats(20 * 30, 0.2), *frames = random_frames(n, c.P);
    for (size_t learn = 0; learn < 2; learn++) {
        struct sparse *once = layer_new(&c, DATA_FAST, W), *often = layer_new(&c, DATA_FAST, W);
        struct result a = layer_run(once, &c, frames, n, n, learn),
                      b = layer_run(often, &c, frames, n, 999, learn);
        CHECK(same_result(&a, &b, &c, n));
        result_free(&a, &c, n);
        result_free(&b, &c, n);
        sparse_destroy(&once);
        sparse_destroy(&often);
    }
    free(W);
    free(frames);
}

/* n frames of bytes, four fifths of the pixels 0; and what they stand for. */
static uint8_t *random_bytes(float **frames, size_t n, size_t P)
{
    uint8_t *bytes = data_new(n * P, sizeof *bytes);
    *frames = data_new(n * P, sizeof **frames);
    for (size_t q = 0; q < n * P; q++) {
        bytes[q] = data_uniform() < 0.2 ? (uint8_t)(256 * data_uniform()) : 0;
        (*frames)[q] = (float)bytes[q] / 255.0F;
    }
    return bytes;
}

/* As layer_run. */
static struct result layer_run_bytes(struct sparse *layer, const struct sparse_config *c,
                                     const uint8_t *frames, size_t n, size_t block, bool learn)
{
    struct result out = {.index = guard_new(n * c->k * sizeof *out.index),
                         .value = guard_new(n * c->k * sizeof *out.value),
                         .residual = guard_new(2 * n * sizeof *out.residual),
                         .W = guard_new(c->Kx * c->Ky * c->P * sizeof *out.W)};
    for (size_t t = 0; t < n; t += block) {
        const size_t m = n - t < block ? n - t : block;
        CHECK((learn ? sparse_train_bytes : sparse_encode_bytes)(layer, out.index + t * c->k,
                                                                 out.value + t * c->k, out.residual + 2 * t,
                                                                 frames + t * c->P, m) == KERNEL_OK);
    }
    sparse_get_weights(layer, out.W);
    return out;
}

static void check_bytes(const struct sparse_config *c, enum kernel_backend backend, size_t n, bool learn)
{
    float *W = data_floats(c->Kx * c->Ky * c->P, 0.2), *frames;
    uint8_t *bytes = random_bytes(&frames, n, c->P);
    struct sparse *of_floats = layer_new(c, backend, W), *of_bytes = layer_new(c, backend, W);
    struct result a = layer_run(of_floats, c, frames, n, n, learn),
                  b = layer_run_bytes(of_bytes, c, bytes, n, 1 + 2 * n / 3, learn);
    CHECK(same_result(&a, &b, c, n));
    CHECK(sparse_train_bytes(of_bytes, NULL, NULL, NULL, NULL, 0) == KERNEL_OK);
    CHECK(sparse_encode_bytes(of_bytes, NULL, NULL, NULL, NULL, 0) == KERNEL_OK);
    result_free(&a, c, n);
    result_free(&b, c, n);
    sparse_destroy(&of_floats);
    sparse_destroy(&of_bytes);
    free(W);
    free(frames);
    free(bytes);
}

static void test_sparse_bytes_are_255ths(void)
{
    for (size_t s = 0; s < SHAPES; s++) {
        for (size_t b = 0; b < 2; b++) {
            check_bytes(&shapes[s], data_backend(b), 61, true);
            check_bytes(&shapes[s], data_backend(b), 61, false);
        }
    }
    struct sparse_config threads = shapes[3]; /* more frames than are converted at a time */
    threads.threads = 2;
    check_bytes(&threads, DATA_FAST, 1100, true);
    check_bytes(&threads, DATA_FAST, 1100, false);
}

/* Where there is no memory for bytes as floats nothing is done, and the layer goes on afterwards. */
static void test_sparse_bytes_without_memory(void)
{
    const struct sparse_config *c = &shapes[3];
    float *W = data_floats(c->Kx * c->Ky * c->P, 0.2), *frames, residual[2], value[3];
    float *after = data_new(c->Kx * c->Ky * c->P, sizeof *after);
    uint8_t *bytes = random_bytes(&frames, 1, c->P);
    uint32_t index[3];
    struct sparse *layer = layer_new(c, KERNEL_CPU, W);
    data_allocations = data_fails_at = 0;
    CHECK(sparse_train_bytes(layer, index, value, residual, bytes, 1) == KERNEL_ENOMEM);
    data_fails_at = SIZE_MAX;
    sparse_get_weights(layer, after);
    CHECK(data_same(after, W, c->Kx * c->Ky * c->P * sizeof *W));
    CHECK(sparse_train_bytes(layer, index, value, residual, bytes, 1) == KERNEL_OK);
    sparse_destroy(&layer);
    free(W);
    free(frames);
    free(after);
    free(bytes);
}

/* A larger layer, also where a GPU has too little shared memory for it: its working memory then lies elsewhere, its
 * blocks are shorter, and the results are the same. */
static void test_sparse_larger_layer_matches_reference(void)
{
    enum { n = 70 };
    const struct sparse_config c = {
        .P = 301, .Kx = 40, .Ky = 31, .k = 30, .rate = 0.01, .radius = 3, .strength = 0.5};
    const char *const shared[] = {NULL, "101376", "30000"};
    float *W = data_floats(c.Kx * c.Ky * c.P, 0.2), *frames = random_frames(n, c.P);
    struct sparse *ref = layer_new(&c, KERNEL_REFERENCE, W);
    struct result first = {0}, b = layer_run(ref, &c, frames, n, n, true);
    for (size_t s = 0; s < (DATA_FAST == KERNEL_CUDA ? 3 : 1); s++) {
        data_shared_memory(shared[s]);
        struct sparse *layer = layer_new(&c, DATA_FAST, W);
        struct result a = layer_run(layer, &c, frames, n, n, true);
        if (s == 0) {
            CHECK(data_same(a.index, b.index, n * c.k * sizeof *a.index));
            CHECK(data_distance(a.value, b.value, n * c.k) < 1e-4);
            CHECK(data_distance(a.W, b.W, c.Kx * c.Ky * c.P) < 1e-5);
            first = a;
        } else {
            CHECK(same_result(&a, &first, &c, n));
            result_free(&a, &c, n);
        }
        sparse_destroy(&layer);
    }
    data_shared_memory(NULL);
    result_free(&first, &c, n);
    result_free(&b, &c, n);
    sparse_destroy(&ref);
    free(W);
    free(frames);
}

/* A GPU that is lost at any moment: an error that names an operation, and the same ever after; a new layer goes on from
 * what was last copied out. */
static void test_sparse_lost_gpu_is_an_error_for_good(void)
{
    enum { n = 3 };
    if (!data_emulated()) {
        check_skip("no emulated GPU");
        return;
    }
    const struct sparse_config *c = &shapes[3];
    float *W = data_floats(c->Kx * c->Ky * c->P, 0.2), *frames = random_frames(n, c->P);
    float value[n * 3], residual[2 * n];
    uint32_t index[n * 3];
    int rc = KERNEL_EDEVICE;
    uint64_t calls = 0;
    for (; rc == KERNEL_EDEVICE && calls < 100; calls++) {
        struct sparse *layer = layer_new(c, KERNEL_CUDA, W);
        data_lose_gpu(calls);
        rc = sparse_train(layer, index, value, residual, frames, n);
        if (rc == KERNEL_EDEVICE) {
            CHECK(strstr(kernel_failure(), "emulated failure") != NULL &&
                  strchr(kernel_failure(), ':') != NULL);
            data_lose_gpu(UINT64_MAX); /* its memory is lost all the same */
            CHECK(sparse_encode(layer, index, value, residual, frames, n) == KERNEL_EDEVICE);
            CHECK(sparse_set_weights(layer, W) == KERNEL_EDEVICE);
            CHECK(sparse_get_weights(layer, W) == KERNEL_EDEVICE);
        }
        data_lose_gpu(UINT64_MAX);
        sparse_destroy(&layer);
    }
    CHECK(rc == KERNEL_OK && calls > 8);
    struct sparse *layer = (struct sparse *)&rc;
    data_lose_gpu(1);
    CHECK(sparse_new(&layer, c, KERNEL_CUDA) == KERNEL_EDEVICE && layer == NULL);
    data_lose_gpu(UINT64_MAX);
    free(W);
    free(frames);
}

/* Why there is no GPU, in words. */
static void test_sparse_says_why_there_is_no_gpu(void)
{
    static const struct {
        const char *error, *driver, *said;
    } cases[] = {{"35", "0", "no NVIDIA driver"},
                 {"35", "11000", "older"},
                 {"100", "13000", "no NVIDIA GPU"},
                 {"3", "13000", "emulated failure"}};
    if (!data_emulated()) {
        check_skip("no emulated GPU");
        return;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sparse *layer = (struct sparse *)&layer;
        setenv("EMULATED_NO_GPU", cases[i].error, 1);
        setenv("EMULATED_DRIVER", cases[i].driver, 1);
        CHECK(sparse_new(&layer, &shapes[0], KERNEL_CUDA) == KERNEL_EUNSUPPORTED && layer == NULL);
        CHECK(strstr(kernel_failure(), cases[i].said) != NULL);
        CHECK(sparse_new(&layer, &shapes[0], KERNEL_AUTO) == KERNEL_OK);
        CHECK(strncmp(sparse_body(layer), "cpu", 3) == 0 && kernel_failure()[0] == '\0');
        sparse_destroy(&layer);
    }
    unsetenv("EMULATED_NO_GPU");
    unsetenv("EMULATED_DRIVER");
}

static void test_sparse_ties_and_blank_frames(void)
{
    const struct sparse_config config = {
        .P = 3, .Kx = 4, .Ky = 3, .k = 3, .rate = 0.1, .radius = 1, .strength = 0.5};
    const float frames[6] = {0, 0, 0, 0.5F, 0.5F, 0.5F};
    float W[12 * 3];
    for (size_t w = 0; w < 36; w++) {
        W[w] = 0.1F;
    }
    for (size_t b = 0; b < 2; b++) {
        struct sparse *layer = layer_new(&config, data_backend(b), W);
        struct result blank = layer_run(layer, &config, frames, 1, 1, true);
        for (uint32_t a = 0; a < 3; a++) {
            CHECK(blank.index[a] == a && blank.value[a] == 0);
        }
        CHECK(blank.residual[0] == 0 && blank.residual[1] == 0);
        CHECK(data_same(blank.W, W, sizeof W));
        struct result flat = layer_run(layer, &config, frames + 3, 1, 1, true);
        for (uint32_t a = 0; a < 3; a++) {
            CHECK(flat.index[a] == a && flat.value[a] > 0);
        }
        result_free(&blank, &config, 1);
        result_free(&flat, &config, 1);
        sparse_destroy(&layer);
    }
}

/* Drives that are not numbers, as those of a layer that has diverged (of all units, or of all but one): still k different units
 * win, in ascending order, and nothing is read or written elsewhere. */
static void test_sparse_drives_of_nan(void)
{
    const struct sparse_config config = {
        .P = 4, .Kx = 3, .Ky = 2, .k = 3, .rate = 0.1, .radius = 1, .strength = 0.5};
    const float frames[8] = {0.5F, 0, 0.25F, 1, 1, 1, 0, 1};
    float W[6 * 4];
    for (size_t i = 0; i < 4; i++) {
        struct sparse_config c = config;
        c.strength = i / 2 == 0 ? config.strength : 0;
        for (size_t q = 0; q < 6 * 4; q++) {
            W[q] = i / 2 == 1 && q / 4 == 5 ? 0.1F : INFINITY;
        }
        struct sparse *layer = layer_new(&c, data_backend(i % 2), W);
        struct result out = layer_run(layer, &c, frames, 2, 2, true);
        for (size_t t = 0; t < 2; t++) {
            const uint32_t *winner = out.index + 3 * t;
            CHECK(winner[0] < winner[1] && winner[1] < winner[2] && winner[2] < 6);
        }
        result_free(&out, &c, 2);
        sparse_destroy(&layer);
    }
}

/* The underflow trap. Units 0 and 1 win while pixel 0 is dark; unit 0 is driven harder, so its weight there
 * shrinks by far more than unit 1's, which keeps the reconstruction up. In double it falls below what a float
 * can hold; the float body must stop at the floor. Then units 0 and 2 win while pixel 0 is bright, and the
 * weight must come back. */
static void test_sparse_weight_at_floor_is_revived(void)
{
    const struct sparse_config config = {.P = 3, .Kx = 3, .Ky = 1, .k = 2, .rate = 0.45};
    const float W[9] = {0.2F, 0.9F, 0, 0.3F, 0.1F, 0, 0, 0, 0.5F};
    const float dark[3] = {0, 1, 0}, bright[3] = {1, 1, 1};
    for (size_t b = 0; b < 2; b++) {
        struct sparse *layer = layer_new(&config, data_backend(b), W);
        for (size_t t = 0; t < 200; t++) {
            struct result out = layer_run(layer, &config, dark, 1, 1, true);
            CHECK(out.index[0] == 0 && out.index[1] == 1);
            if (t == 199 && b == 1) {
                CHECK(out.W[0] == SPARSE_FLOOR);
            }
            if (t == 199 && b == 0) {
                CHECK(out.W[0] == 0); /* as a float */
            }
            result_free(&out, &config, 1);
        }
        for (size_t t = 0; t < 20; t++) {
            struct result out = layer_run(layer, &config, bright, 1, 1, true);
            CHECK(out.index[0] == 0 && out.index[1] == 2);
            CHECK(t < 19 || out.W[0] > 0.1F);
            result_free(&out, &config, 1);
        }
        sparse_destroy(&layer);
    }
}

static void test_sparse_weights_are_raised_to_floor(void)
{
    const struct sparse_config config = {.P = 2, .Kx = 2, .Ky = 1, .k = 1, .rate = 0.1};
    const float W[4] = {0, 1e-44F, 1e-37F, 0.5F};
    float fresh[4], set[4];
    struct sparse *layer = layer_new(&config, DATA_FAST, NULL);
    sparse_get_weights(layer, fresh);
    sparse_set_weights(layer, W);
    sparse_get_weights(layer, set);
    CHECK(fresh[0] == SPARSE_FLOOR && fresh[3] == SPARSE_FLOOR);
    CHECK(set[0] == SPARSE_FLOOR && set[1] == SPARSE_FLOOR && set[2] == SPARSE_FLOOR && set[3] == 0.5F);
    sparse_destroy(&layer);
}

/* Without a copy where rows need no padding: what memory a layer takes rests on that. */
static void test_sparse_lends_its_weights(void)
{
    for (size_t P = 15; P <= 17; P++) {
        const struct sparse_config config = {.P = P, .Kx = 3, .Ky = 1, .k = 1, .rate = 0.1};
        float *W = data_floats(3 * P, 0.2);
        struct sparse *layer = layer_new(&config, KERNEL_CPU, W);
        const float *lent = sparse_lend_weights(layer);
        CHECK((lent != NULL) == (P == 16));
        CHECK(!lent || data_same(lent, W, 3 * P * sizeof *W));
        sparse_destroy(&layer);
        free(W);
    }
}

/* Products of small weights and dark pixels count as 0 in every thread, and the caller computes on as before. */
static void test_sparse_counts_subnormal_numbers_as_0(void)
{
#if defined(__SSE2__) || defined(__aarch64__)
    enum { N = 2000 };
    const struct sparse_config config = {.P = 16, .Kx = 1, .Ky = 1, .k = 1, .rate = 0.1, .threads = 2};
    static float frames[N * 16], value[N], residual[2 * N];
    static uint32_t index[N];
    float W[16];
    for (size_t q = 0; q < 16; q++) {
        W[q] = 1e-35F;
    }
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        frames[i] = i % 32 < 16 ? 1e-4F : 0.1F; /* in every other frame each product is 1e-39 */
    }
    for (int learn = 0; learn < 2; learn++) {
        struct sparse *layer = layer_new(&config, KERNEL_CPU, W);
        volatile float least = FLT_MIN;
        CHECK((learn ? sparse_train : sparse_encode)(layer, index, value, residual, frames, N) == KERNEL_OK);
        size_t silent = 0, active = 0;
        for (size_t t = 0; t < N; t++) {
            silent += t % 2 == 0 && value[t] == 0;
            active += t % 2 == 1 && value[t] > 0;
        }
        CHECK(silent == N / 2 && active == N / 2);
        CHECK(least / 2 > 0);
        sparse_destroy(&layer);
    }
#endif
}

static void test_sparse_no_frames_is_no_work(void)
{
    for (size_t b = 0; b < 2; b++) {
        struct sparse *layer = layer_new(&shapes[3], data_backend(b), NULL);
        CHECK(sparse_train(layer, NULL, NULL, NULL, NULL, 0) == KERNEL_OK);
        CHECK(sparse_encode(layer, NULL, NULL, NULL, NULL, 0) == KERNEL_OK);
        sparse_destroy(&layer);
    }
}

static void test_sparse_refuses_frames_outside_0_to_1(void)
{
    const struct sparse_config config = {.P = 2, .Kx = 2, .Ky = 1, .k = 1, .rate = 0.1};
    const float W[4] = {0.1F, 0.2F, 0.3F, 0.4F}, wrong[] = {-0.001F, 1.001F, NAN, INFINITY};
    for (size_t b = 0; b < 2; b++) {
        for (size_t w = 0; w < 4; w++) {
            const float frames[4] = {0.5F, 0.5F, 0.5F, wrong[w]};
            uint32_t index[2];
            float value[2], residual[4], after[4];
            struct sparse *layer = layer_new(&config, data_backend(b), W);
            CHECK(sparse_train(layer, index, value, residual, frames, 2) == KERNEL_EINVAL);
            CHECK(sparse_encode(layer, index, value, residual, frames, 2) == KERNEL_EINVAL);
            sparse_get_weights(layer, after);
            CHECK(data_same(after, W, sizeof W));
            sparse_destroy(&layer);
        }
    }
}

static void test_sparse_refuses_wrong_configurations(void)
{
    const struct sparse_config good = shapes[3];
    struct sparse_config bad[15];
    for (size_t b = 0; b < 15; b++) {
        bad[b] = good;
    }
    bad[0].P = 0;
    bad[1].Kx = 0;
    bad[2].Ky = 0;
    bad[3].k = 0;
    bad[4].k = good.Kx * good.Ky + 1;
    bad[5].Kx = 100;
    bad[5].k = SPARSE_WINNERS_MAX + 1;
    bad[6].rate = -0.1;
    bad[7].rate = NAN;
    bad[8].strength = -1;
    bad[9].strength = INFINITY;
    bad[10].Kx = SIZE_MAX;
    bad[11].P = SIZE_MAX;
    bad[12].Kx = bad[12].Ky = 65536;
    bad[13].P = UINT32_MAX;
    bad[13].Kx = bad[13].Ky = 65535;
    bad[14].threads = SPARSE_THREADS_MAX + 1;
    for (size_t b = 0; b < 15; b++) {
        struct sparse *layer = (struct sparse *)&bad;
        CHECK(sparse_new(&layer, &bad[b], KERNEL_AUTO) == KERNEL_EINVAL);
        CHECK(layer == NULL);
    }
    struct sparse *layer = NULL;
    CHECK(sparse_new(&layer, &good, (enum kernel_backend)99) == KERNEL_EINVAL);
    CHECK(sparse_new(&layer, &good, KERNEL_CPU) == KERNEL_OK);
    sparse_destroy(&layer);
    CHECK(layer == NULL);
    sparse_destroy(&layer);
    sparse_destroy(NULL);
}

/* Without a GPU the automatic choice is a CPU's body, and asking for the GPU's is refused with a sentence. */
static void test_sparse_cuda_or_a_reason(void)
{
    struct sparse *layer = (struct sparse *)&layer;
    int rc = sparse_new(&layer, &shapes[0], KERNEL_CUDA);
    if (rc == KERNEL_EUNSUPPORTED) {
        CHECK(layer == NULL && kernel_failure()[0] != '\0');
        layer = layer_new(&shapes[0], KERNEL_AUTO, NULL);
        CHECK(strncmp(sparse_body(layer), "cpu", 3) == 0);
    } else {
        CHECK(rc == KERNEL_OK && strcmp(sparse_body(layer), "cuda") == 0);
    }
    sparse_destroy(&layer);
}

static void test_sparse_names_its_body(void)
{
    const enum kernel_backend asked[] = {KERNEL_CPU, DATA_FAST, KERNEL_REFERENCE};
    const char *const named[] = {"cpu", DATA_FAST == KERNEL_CUDA ? "cuda" : "cpu", "reference"};
    for (size_t a = 0; a < 3; a++) {
        struct sparse *layer = layer_new(&shapes[0], asked[a], NULL);
        CHECK(strncmp(sparse_body(layer), named[a], strlen(named[a])) == 0);
        sparse_destroy(&layer);
        CHECK(layer == NULL);
    }
}

/* Frames that go through several blocks: sparse, then dense, then sparse again. */
static float *changing_frames(size_t n, size_t P)
{
    float *frames = random_frames(n, P);
    for (size_t t = n / 3; t < 2 * n / 3; t++) {
        for (size_t q = 0; q < P; q++) {
            frames[t * P + q] = (float)(0.2 + 0.8 * data_uniform());
        }
    }
    return frames;
}

/* One shape with every instruction set, trained in blocks of several sizes and then frozen: the same bits. */
static void check_instruction_sets(const struct sparse_config *c)
{
    enum { n = 400 };
    const size_t blocks[] = {n, 1, 7, 64, 65, 150};
    float *W = data_floats(c->Kx * c->Ky * c->P, 0.2), *frames = changing_frames(n, c->P);
    struct result first = {0}, frozen = {0};
    for (size_t set = 0; set < DATA_SETS; set++) {
        for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
            struct sparse *layer;
            setenv("LOOM_CPU", data_sets[set][0], 1);
            if (sparse_new(&layer, c, KERNEL_CPU) == KERNEL_EUNSUPPORTED) {
                continue;
            }
            CHECK(strcmp(sparse_body(layer), data_sets[set][1]) == 0);
            sparse_set_weights(layer, W);
            struct result train = layer_run(layer, c, frames, n, blocks[b], true);
            struct result encode = layer_run(layer, c, frames, n, blocks[b], false);
            if (first.W) {
                CHECK(same_result(&train, &first, c, n));
                CHECK(same_result(&encode, &frozen, c, n));
                result_free(&train, c, n);
                result_free(&encode, c, n);
            } else {
                first = train;
                frozen = encode;
            }
            sparse_destroy(&layer);
        }
    }
    result_free(&first, c, n);
    result_free(&frozen, c, n);
    free(W);
    free(frames);
}

static void test_sparse_same_bits_with_every_instruction_set(void)
{
    /* more than a core's cache holds: the sweep fetches ahead */
    const struct sparse_config large = {
        .P = 401, .Kx = 37, .Ky = 19, .k = 4, .rate = 0.02, .radius = 2, .strength = 0.5};
    const char *before = getenv("LOOM_CPU");
    for (size_t s = 0; s < SHAPES; s++) {
        check_instruction_sets(&shapes[s]);
    }
    check_instruction_sets(&large);
    before ? setenv("LOOM_CPU", before, 1) : unsetenv("LOOM_CPU");
}

/* Threads that share the work, also more than there are tiles or blocks: the same bits. */
static void test_sparse_same_bits_with_any_number_of_threads(void)
{
    enum { n = 3000 }; /* long enough for threads to wake */
    const size_t threads[] = {0, 1, 2, 3, SPARSE_THREADS_MAX};
    struct sparse_config c = {
        .P = 100, .Kx = 19, .Ky = 17, .k = 3, .rate = 0.02, .radius = 2, .strength = 0.5};
    float *W = data_floats(c.Kx * c.Ky * c.P, 0.2), *frames = changing_frames(n, c.P);
    struct result first = {0}, frozen = {0};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        c.threads = threads[i];
        struct sparse *layer = layer_new(&c, KERNEL_CPU, W);
        struct result train = layer_run(layer, &c, frames, n, 1700, true);
        struct result encode = layer_run(layer, &c, frames, n, 2999, false);
        if (i == 0) {
            first = train;
            frozen = encode;
        } else {
            CHECK(same_result(&train, &first, &c, n));
            CHECK(same_result(&encode, &frozen, &c, n));
            result_free(&train, &c, n);
            result_free(&encode, &c, n);
        }
        sparse_destroy(&layer);
    }
    result_free(&first, &c, n);
    result_free(&frozen, &c, n);
    free(W);
    free(frames);
}

/* Frames of 255ths; some are blank, bright, or (after two thirds) not 255ths. */
static float *pictures(size_t n, size_t P)
{
    float *frames = data_new(n * P, sizeof *frames);
    for (size_t t = 0; t < n; t++) {
        const double share = t % 37 == 36 ? 1 : t % 11 == 10 ? 0 : 0.3;
        for (size_t q = 0; q < P; q++) {
            const float level = share == 1               ? 255
                                : data_uniform() < share ? (float)(int)(256 * data_uniform())
                                                         : 0;
            frames[t * P + q] =
                level / 255.0F + (t > 2 * n / 3 && t % 100 < 3 && level > 0 ? -1e-3F * level / 255 : 0);
        }
    }
    return frames;
}

/* Weights that leave winners in doubt (or not): 0 all alike, 1 in pairs, 2 in pairs that differ in the last bit, 3 without any
 * pattern, 4 of very different size, 5 tiny, 6 all about as large, so that sums are as large as can be; 7 small and hardly less
 * (or more, in the other half of the units) than a step and a half, as wrong as rounding can be; 8 two of them huge, while those
 * of the others round to 0. */
enum { KINDS = 9 };

static float *doubtful_weights(const struct sparse_config *c, int kind)
{
    const size_t N = c->Kx * c->Ky, P = c->P;
    const float step = 1.25F / 32767; /* of weights of which the largest is 1 */
    float *W = data_floats(N * P, 0.2);
    for (size_t i = 0; i < N; i++) {
        const float size = kind == 4 ? (float)pow(10, -6 * data_uniform()) : kind == 5 ? 1e-30F : 1;
        for (size_t q = 0; q < P; q++) {
            const float twin = W[(kind == 0 ? 0 : i / 2 * 2) * P + q];
            float *w = &W[i * P + q];
            *w = kind <= 1   ? twin
                 : kind == 2 ? (i % 2 ? nextafterf(twin, 1) : twin)
                 : kind == 6 ? 0.2F - *w * 0.05F
                 : kind == 7 ? ((float)(int)(*w * 15) + (i < N / 2 ? 0.497F : 0.503F)) * step
                 : kind == 8 ? (i == N / 2 || i + 1 == N ? 1e6F : 1)
                             : *w * size;
        }
    }
    W[0] = kind == 7 ? 1 : W[0];
    return W;
}

/* A layer with and without screening, in several threads and calls: it encodes, trains, gets weights that are too large for the
 * scale of those until then, trains and encodes. The same bits. */
static void check_screening(struct sparse_config c, int kind, size_t n)
{
    enum { MODES = 5, STEPS = 4 };
    const char *const modes[MODES] = {"never", "always", "always", "auto", "always"};
    const size_t blocks[MODES] = {n, n, 48, 7, 1};
    const size_t weights = c.Kx * c.Ky * c.P;
    float *W = doubtful_weights(&c, kind), *frames = pictures(n, c.P),
          *larger = data_new(weights, sizeof *larger);
    for (size_t q = 0; q < weights; q++) {
        larger[q] = 2 * W[q];
    }
    struct result out[MODES][STEPS];
    for (size_t m = 0; m < MODES; m++) {
        setenv("LOOM_SCREEN", modes[m], 1);
        c.threads = m % 2 ? 3 : 1;
        struct sparse *layer = layer_new(&c, KERNEL_CPU, W);
        for (size_t step = 0; step < STEPS; step++) {
            if (step == 2) {
                sparse_set_weights(layer, larger);
            }
            out[m][step] = layer_run(layer, &c, frames, n, blocks[m], step == 1 || step == 2);
            CHECK(same_result(&out[m][step], &out[0][step], &c, n));
        }
        sparse_destroy(&layer);
    }
    for (size_t m = 0; m < MODES; m++) {
        for (size_t step = 0; step < STEPS; step++) {
            result_free(&out[m][step], &c, n);
        }
    }
    free(W);
    free(larger);
    free(frames);
}

static void test_sparse_same_bits_with_screening(void)
{
    const struct sparse_config more[] = {
        {.P = 400, .Kx = 16, .Ky = 15, .k = 4, .rate = 0.02, .radius = 2, .strength = 0.5},
        {.P = 601, .Kx = 9, .Ky = 8, .k = 2, .rate = 0.02, .radius = 1, .strength = 3},
        {.P = 24, .Kx = 20, .Ky = 20, .k = 5, .rate = 0.3}, /* weights outgrow their scale within a block */
        {.P = 50, .Kx = 30, .Ky = 20, .k = 3, .rate = 0.02, .radius = 3, .strength = 20},
        {.P = 20, .Kx = 8, .Ky = 8, .k = 2, .radius = 1, .strength = 1e38}, /* drives become infinite */
    };
    const char *asked = getenv("LOOM_SCREEN");
    char *before = asked ? strdup(asked) : NULL;
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t s = 0; s < SHAPES; s++) {
            check_screening(shapes[s], kind, 150);
        }
        for (size_t s = 0; s < sizeof more / sizeof *more; s++) {
            check_screening(more[s], kind, 250);
        }
    }
    struct sparse *layer;
    setenv("LOOM_SCREEN", "perhaps", 1);
    CHECK(sparse_new(&layer, &shapes[0], KERNEL_CPU) == KERNEL_EUNSUPPORTED && !layer);
    CHECK(strstr(kernel_failure(), "LOOM_SCREEN") && strstr(kernel_failure(), "perhaps"));
    before ? setenv("LOOM_SCREEN", before, 1) : unsetenv("LOOM_SCREEN");
    free(before);
}

/* CPU seconds for which a new layer encodes n frames with LOOM_SCREEN = mode. */
static double seconds_of(const struct sparse_config *c, const float *W, const float *frames, size_t n,
                         const char *mode)
{
    setenv("LOOM_SCREEN", mode, 1);
    struct sparse *layer = layer_new(c, KERNEL_CPU, W);
    const clock_t begin = clock();
    struct result out = layer_run(layer, c, frames, n, n, false);
    const clock_t end = clock();
    result_free(&out, c, n);
    sparse_destroy(&layer);
    return (double)(end - begin) / CLOCKS_PER_SEC;
}

/* All units alike: every frame leaves all of them in doubt, which takes many times as long as without screening, were it not
 * given up after a few frames. Shortest of several, since others use the machine too. */
static void test_sparse_screening_ends_where_it_does_not_pay(void)
{
    enum { n = 1000 };
    const struct sparse_config c = {
        .P = 400, .Kx = 40, .Ky = 40, .k = 4, .rate = 0.02, .radius = 8, .strength = 0.5};
    float *W = doubtful_weights(&c, 0), *frames = data_new(n * c.P, sizeof *frames);
    const char *asked = getenv("LOOM_SCREEN");
    char *before = asked ? strdup(asked) : NULL;
    for (size_t q = 0; q < n * c.P; q++) {
        frames[q] = data_uniform() < 0.25 ? (float)(int)(256 * data_uniform()) / 255.0F : 0;
    }
    double with = INFINITY, without = INFINITY;
    for (int round = 0; round < 3; round++) {
        with = fmin(with, seconds_of(&c, W, frames, n, "auto"));
        without = fmin(without, seconds_of(&c, W, frames, n, "never"));
    }
    CHECK(with < 2.5 * without);
    before ? setenv("LOOM_SCREEN", before, 1) : unsetenv("LOOM_SCREEN");
    free(before);
    free(W);
    free(frames);
}

static void test_sparse_refuses_unknown_instruction_sets(void)
{
    const char *before = getenv("LOOM_CPU");
    struct sparse *layer = NULL;
    setenv("LOOM_CPU", "abacus", 1);
    CHECK(sparse_new(&layer, &shapes[0], KERNEL_CPU) == KERNEL_EUNSUPPORTED);
    CHECK(strstr(kernel_failure(), "LOOM_CPU") && strstr(kernel_failure(), "abacus"));
    CHECK(sparse_new(&layer, &shapes[0], KERNEL_REFERENCE) == KERNEL_OK);
    sparse_destroy(&layer);
    before ? setenv("LOOM_CPU", before, 1) : unsetenv("LOOM_CPU");
}

static void test_sparse_new_survives_every_failing_allocation_and_thread(void)
{
    struct sparse_config config = shapes[3];
    config.threads = 3;
    for (size_t b = 0; b < 2; b++) {
        int rc = KERNEL_ENOMEM;
        for (data_fails_at = 0; rc == KERNEL_ENOMEM && data_fails_at < 100; data_fails_at++) {
            struct sparse *layer = (struct sparse *)&rc;
            data_allocations = 0;
            rc = sparse_new(&layer, &config, data_backend(b));
            CHECK(rc == (data_allocations > data_fails_at ? KERNEL_ENOMEM : KERNEL_OK));
            CHECK((rc == KERNEL_OK) == (layer != NULL));
            sparse_destroy(&layer);
        }
        CHECK(data_fails_at > 3);
        CHECK(rc == KERNEL_OK);
    }
    data_fails_at = SIZE_MAX;
}

CHECK_MAIN(CASE(test_sparse_by_hand), CASE(test_sparse_cpu_matches_reference),
           CASE(test_sparse_encode_matches_reference_and_keeps_weights),
           CASE(test_sparse_result_does_not_depend_on_calls),
           CASE(test_sparse_continues_exactly_in_a_new_layer), CASE(test_sparse_ties_and_blank_frames),
           CASE(test_sparse_drives_of_nan), CASE(test_sparse_weight_at_floor_is_revived),
           CASE(test_sparse_weights_are_raised_to_floor), CASE(test_sparse_lends_its_weights),
           CASE(test_sparse_counts_subnormal_numbers_as_0), CASE(test_sparse_no_frames_is_no_work),
           CASE(test_sparse_refuses_frames_outside_0_to_1), CASE(test_sparse_refuses_wrong_configurations),
           CASE(test_sparse_names_its_body), CASE(test_sparse_cuda_or_a_reason),
           CASE(test_sparse_same_bits_with_every_instruction_set),
           CASE(test_sparse_refuses_unknown_instruction_sets),
           CASE(test_sparse_new_survives_every_failing_allocation_and_thread),
           CASE(test_sparse_same_bits_with_any_number_of_threads), CASE(test_sparse_same_bits_with_screening),
           CASE(test_sparse_screening_ends_where_it_does_not_pay),
           CASE(test_sparse_long_call_is_many_short_ones), CASE(test_sparse_bytes_are_255ths),
           CASE(test_sparse_bytes_without_memory), CASE(test_sparse_larger_layer_matches_reference),
           CASE(test_sparse_lost_gpu_is_an_error_for_good), CASE(test_sparse_says_why_there_is_no_gpu))

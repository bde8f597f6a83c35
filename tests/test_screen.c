/* Screening: the bound holds, for the worst weights too, and is no looser than it need be. That results are the same with
 * and without is in test_sparse.c. */
#include "kernel_data.h"
#include "lateral.h"
#include "lateral_box.h"
#include "screen.h"

#define KX 12
#define KY 9
#define N (KX * KY)
#define N_PADDED 112
#define FRAMES 5

struct layer {
    size_t P, padded;
    float *W; /* N_PADDED x padded */
    float largest;
};

/* Weights of any size; or, of the next scale for the largest of 1, all just short of half a step more or less than a whole
 * number of them. */
static struct layer layer_new(size_t P, double half)
{
    struct layer self = {.P = P, .padded = memory_padded(P + 1)};
    const struct screen_scale scale = screen_scale_cpu(1, P);
    self.W = data_new(N_PADDED * self.padded, sizeof *self.W);
    for (size_t i = 0; i < N; i++) {
        for (size_t q = 0; q < P; q++) {
            const double w = data_uniform() * data_uniform();
            const double whole = floor(w * 0.9 / (double)scale.step) + half;
            self.W[i * self.padded + q] = (float)(half != 0 ? fmax(whole, 1) * (double)scale.step : w);
        }
    }
    self.W[0] = self.largest = 1;
    return self;
}

/* 255ths, `share` of them not 0. */
static float *frames_new(size_t n, size_t P, double share)
{
    float *frames = data_new(n * P, sizeof *frames);
    for (size_t q = 0; q < n * P; q++) {
        frames[q] = data_uniform() < share ? (float)(int)(256 * data_uniform()) / 255.0F : 0;
    }
    return frames;
}

/* p (FRAMES x N_PADDED) as the layer would: by tiles of packed rows. */
static void screen(float *p, const struct layer *layer, const struct screen_frames *block,
                   const struct screen_scale *scale)
{
    int32_t *row = data_new(layer->padded, sizeof *row),
            *tile = data_new(DRIVE_TILE * block->pairs, sizeof *tile);
    for (size_t first = 0; first < N_PADDED; first += DRIVE_TILE) {
        const size_t width = N_PADDED - first < DRIVE_TILE ? N_PADDED - first : DRIVE_TILE;
        for (size_t u = 0; u < width; u++) {
            CHECK(screen_pack_cpu(row, layer->W + (first + u) * layer->padded, scale, block->pairs));
            for (size_t j = 0; j < block->pairs; j++) {
                tile[j * width + u] = row[j];
            }
        }
        screen_tile_cpu(p + first, tile, block, scale, width, N_PADDED);
    }
    free(row);
    free(tile);
}

/* The largest difference after excitation, as a share of the bound. */
static double share_of_bound(const struct layer *layer, double share, float strength)
{
    const struct lateral_box box = lateral_box_of(KX, KY, 2, (double)strength);
    const struct screen_scale scale = screen_scale_cpu(layer->largest, layer->P);
    struct screen_frames block;
    float *frames = frames_new(FRAMES, layer->P, share), *v = data_new(layer->padded, sizeof *v);
    float *p = data_new(FRAMES * N_PADDED, sizeof *p), exact[N], found[N], c[N], work[2 * N];
    const float *row[N];
    double worst = 0;
    CHECK(screen_init_cpu(&block, layer->P) == KERNEL_OK);
    CHECK(screen_prepare_cpu(&block, frames, FRAMES));
    screen(p, layer, &block, &scale);
    for (size_t i = 0; i < N; i++) {
        row[i] = layer->W + i * layer->padded;
    }
    for (size_t f = 0; f < FRAMES; f++) {
        memcpy(v, frames + f * layer->P, layer->P * sizeof *v);
        screen_exact_cpu(exact, row, N, &block, f, v);
        for (size_t i = 0; i < N; i++) {
            float sum = 0;
            for (size_t q = 0; q < layer->P; q++) {
                sum += v[q] * row[i][q];
            }
            CHECK(exact[i] == sum);
        }
        lateral_cpu(c, exact, work, strength, 2, KX, KY);
        lateral_cpu(found, p + f * N_PADDED, work, strength, 2, KX, KY);
        for (size_t i = 0; i < N; i++) {
            const float error = screen_error_cpu(&block, &scale, f, found[i], box.gain,
                                                 box.width * box.height - 1, box.width + box.height);
            worst = fmax(worst, fabs((double)c[i] - (double)found[i]) / (double)error);
        }
    }
    screen_fini_cpu(&block);
    free(frames);
    free(v);
    free(p);
    return worst;
}

static void test_screen_bound_holds_and_is_met(void)
{
    const size_t pixels[] = {1, 2, 33, 400, 1024, 4097};
    for (size_t s = 0; s < sizeof pixels / sizeof *pixels; s++) {
        const double halves[] = {0, 0.49, -0.49};
        for (size_t h = 0; h < 3; h++) {
            struct layer layer = layer_new(pixels[s], halves[h]);
            const double sparse = share_of_bound(&layer, 0.25, 0.5F), other = share_of_bound(&layer, 0.4, 2);
            CHECK(sparse > 0 && sparse <= 1);
            CHECK(other > 0 && other <= 1);
            CHECK(h == 0 || pixels[s] < 33 || sparse > 0.5); /* all errors add up: near the bound */
            free(layer.W);
        }
    }
}

static void test_screen_knows_what_does_not_fit(void)
{
    enum { P = 400 };
    struct screen_frames block;
    float *v = frames_new(3, P, 0.3), *row = data_new(P + 1, sizeof *row);
    int32_t packed[P / 2];
    CHECK(screen_init_cpu(&block, P) == KERNEL_OK);
    CHECK(screen_fits_cpu(&block, v, 3));
    const float before = v[2 * P + 7];
    v[2 * P + 7] = 0.5F; /* between two 255ths */
    CHECK(!screen_fits_cpu(&block, v, 3) && !screen_prepare_cpu(&block, v, 3));
    CHECK(screen_prepare_cpu(&block, v, 2));
    v[2 * P + 7] = before;
    CHECK(screen_prepare_cpu(&block, v, 3));
    for (size_t q = 0; q < P; q++) {
        v[P + q] = 1;
    }
    CHECK(!screen_fits_cpu(&block, v, 3) && !screen_prepare_cpu(&block, v, 3));
    screen_fini_cpu(&block);

    const struct screen_scale scale = screen_scale_cpu(0.8F, P);
    row[P - 1] = 0.99F;
    CHECK(screen_pack_cpu(packed, row, &scale, P / 2)); /* there is room to grow */
    const float large[] = {1.01F, 1e30F, INFINITY, NAN};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        row[P - 1] = large[i];
        CHECK(!screen_pack_cpu(packed, row, &scale, P / 2));
    }
    CHECK(screen_scale_cpu(0, P).step == 0 && screen_scale_cpu(1e-30F, P).step == 0);
    CHECK(screen_scale_cpu(INFINITY, P).step == 0 && screen_scale_cpu(NAN, P).step == 0);
    CHECK(screen_scale_cpu(1, 1 << 20).step == 0); /* too many pixels */
    free(v);
    free(row);
}

CHECK_MAIN(CASE(test_screen_bound_holds_and_is_met), CASE(test_screen_knows_what_does_not_fit))

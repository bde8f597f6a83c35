/* kernels-replay: put frames through both layers and tell every step, for compare.py to check.
 *
 *     kernels-replay reference|cpu|cuda FRAMES W U NAME=VALUE... > records
 *
 * FRAMES (n x P), W (N x P) and U (M x N) are files of raw float; the names are those of struct
 * sparse_config and struct invariant_config with "sparse." or "invariant." in front. Records are raw
 * double, for each frame:
 *     winners (k), code (k), residual (2), output (M), residual (2),
 *     reference only: the winners' rows of W (k x P), U (M x N), both after the frame;
 * and after the last frame W (N x P), U (M x N). The reference is called step by step in double, past
 * the interface in float, so that it can be compared to more than seven digits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant_body.h"
#include "sparse_body.h"

static struct sparse_config sparse;
static struct invariant_config invariant;

static const struct {
    const char *name;
    size_t *count;
    double *real;
} names[] = {
    {"sparse.P", &sparse.P, NULL},
    {"sparse.Kx", &sparse.Kx, NULL},
    {"sparse.Ky", &sparse.Ky, NULL},
    {"sparse.k", &sparse.k, NULL},
    {"sparse.rate", NULL, &sparse.rate},
    {"sparse.radius", &sparse.radius, NULL},
    {"sparse.strength", NULL, &sparse.strength},
    {"invariant.N", &invariant.N, NULL},
    {"invariant.Ix", &invariant.Ix, NULL},
    {"invariant.Iy", &invariant.Iy, NULL},
    {"invariant.winners", &invariant.winners, NULL},
    {"invariant.radius", &invariant.radius, NULL},
    {"invariant.strength", NULL, &invariant.strength},
    {"invariant.leak", NULL, &invariant.leak},
    {"invariant.active_rate", NULL, &invariant.active_rate},
    {"invariant.inactive_rate", NULL, &invariant.inactive_rate},
    {"invariant.normalize_every", &invariant.normalize_every, NULL},
    {"invariant.smooth_rate", NULL, &invariant.smooth_rate},
    {"invariant.reconstruction_rate", NULL, &invariant.reconstruction_rate},
};

static void die(const char *what, const char *which)
{
    fprintf(stderr, "kernels-replay: %s %s\n", what, which);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (!memory) {
        die("no memory for", "working");
    }
    return memory;
}

static void parse(const char *argument)
{
    const char *value = strchr(argument, '=');
    if (!value++) {
        die("not NAME=VALUE:", argument);
    }
    if (strncmp(argument, "invariant.rule=", 15) == 0) {
        invariant.rule = strcmp(value, "topo") == 0 ? INVARIANT_TOPO : INVARIANT_SMOOTH;
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(argument, names[i].name, strlen(names[i].name)) == 0 &&
            argument[strlen(names[i].name)] == '=') {
            if (names[i].count) {
                *names[i].count = strtoul(value, NULL, 10);
            } else {
                *names[i].real = strtod(value, NULL);
            }
            return;
        }
    }
    die("no such name:", argument);
}

/* All floats of a file; how many is returned in *count. */
static float *load(const char *path, size_t *count)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        die("cannot read", path);
    }
    *count = (size_t)ftell(file) / sizeof(float);
    rewind(file);
    float *data = allocate(*count, sizeof *data);
    if (fread(data, sizeof *data, *count, file) != *count) {
        die("cannot read", path);
    }
    fclose(file);
    return data;
}

static void tell(const double *data, size_t count)
{
    if (fwrite(data, sizeof *data, count, stdout) != count) {
        die("cannot write", "records");
    }
}

static void tell_index(const uint32_t *index, size_t count)
{
    for (size_t a = 0; a < count; a++) {
        tell(&(double){index[a]}, 1);
    }
}

static void tell_floats(const float *data, size_t count)
{
    for (size_t q = 0; q < count; q++) {
        tell(&(double){(double)data[q]}, 1);
    }
}

static double *widen(const float *data, size_t count)
{
    double *wide = allocate(count, sizeof *wide);
    for (size_t q = 0; q < count; q++) {
        wide[q] = (double)data[q];
    }
    return wide;
}

static void replay_reference(const float *frames, size_t n, const float *W_float, const float *U_float,
                             size_t M)
{
    const size_t P = sparse.P, N = invariant.N, k = sparse.k;
    double *W = widen(W_float, N * P), *U = widen(U_float, M * N);
    double *work = allocate(2 * N + P + 2 * M, sizeof *work), *memory = allocate(3 * M + N, sizeof *memory);
    double *s = allocate(N, sizeof *s), value[SPARSE_WINNERS_MAX], residual[2];
    uint32_t index[SPARSE_WINNERS_MAX], *chosen = allocate(M, sizeof *chosen);
    struct invariant_memory state = {memory, memory + M, memory + 2 * M, memory + 3 * M, 0};
    for (size_t t = 0; t < n; t++) {
        sparse_ref(index, value, residual, W, work, frames + t * P, &sparse, true);
        tell_index(index, k);
        tell(value, k);
        tell(residual, 2);
        memset(s, 0, N * sizeof *s);
        for (size_t a = 0; a < k; a++) {
            s[index[a]] = value[a];
        }
        (invariant.rule == INVARIANT_TOPO ? topo_ref : smooth_ref)(&state, residual, U, work, chosen, s,
                                                                   &invariant, true);
        tell(invariant.rule == INVARIANT_TOPO ? state.io : state.io_1, M);
        tell(residual, 2);
        for (size_t a = 0; a < k; a++) {
            tell(W + index[a] * P, P);
        }
        tell(U, M * N);
    }
    tell(W, N * P);
    tell(U, M * N);
    free(W);
    free(U);
    free(work);
    free(memory);
    free(s);
    free(chosen);
}

static void replay_float(const float *frames, size_t n, float *W, float *U, size_t M,
                         enum kernel_backend backend)
{
    const size_t P = sparse.P, N = invariant.N, k = sparse.k;
    uint32_t index[SPARSE_WINNERS_MAX];
    float value[SPARSE_WINNERS_MAX], residual[2], *io = allocate(M, sizeof *io);
    struct sparse *first = NULL;
    struct invariant *second = NULL;
    if (sparse_new(&first, &sparse, backend) || invariant_new(&second, &invariant, backend)) {
        die("cannot make layers:", *kernel_failure() ? kernel_failure() : "wrong configuration");
    }
    sparse_set_weights(first, W);
    invariant_set_weights(second, U);
    for (size_t t = 0; t < n; t++) {
        if (sparse_train(first, index, value, residual, frames + t * P, 1)) {
            die("cannot train", "the sparse layer");
        }
        tell_index(index, k);
        tell_floats(value, k);
        tell_floats(residual, 2);
        if (invariant_train(second, io, residual, index, value, k, 1)) {
            die("cannot train", "the invariant layer");
        }
        tell_floats(io, M);
        tell_floats(residual, 2);
    }
    sparse_get_weights(first, W);
    invariant_get_weights(second, U);
    tell_floats(W, N * P);
    tell_floats(U, M * N);
    sparse_destroy(&first);
    invariant_destroy(&second);
    free(io);
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        die("usage: kernels-replay", "reference|cpu|cuda FRAMES W U NAME=VALUE...");
    }
    for (int a = 5; a < argc; a++) {
        parse(argv[a]);
    }
    size_t pixels, N_P, M_N, M = invariant.Ix * invariant.Iy;
    float *frames = load(argv[2], &pixels), *W = load(argv[3], &N_P), *U = load(argv[4], &M_N);
    if (sparse.P == 0 || sparse.k == 0 || sparse.k > SPARSE_WINNERS_MAX || N_P != invariant.N * sparse.P ||
        M_N != M * invariant.N || invariant.N != sparse.Kx * sparse.Ky) {
        die("the files do not fit", "the configuration");
    }
    if (strcmp(argv[1], "reference") == 0) {
        replay_reference(frames, pixels / sparse.P, W, U, M);
    } else {
        replay_float(frames, pixels / sparse.P, W, U, M,
                     strcmp(argv[1], "cuda") == 0 ? KERNEL_CUDA : KERNEL_CPU);
    }
    free(frames);
    free(W);
    free(U);
    return fflush(stdout) ? 1 : 0;
}

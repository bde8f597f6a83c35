/* Stage sparse: the sparse layer. Takes frames, gives for each the k winners and their code (kernels/sparse.h
 * says exactly how), and learns while it does, unless it is frozen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "code_cache.h"
#include "identity.h"
#include "kernels/measure.h"
#include "kernels/sparse.h"
#include "layer_support.h"
#include "stage.h"

/* Homogeneity takes one look at all weights, about as much work as 50 frames: it is measured after so many frames at
 * least, in shorter passes only in the first of as many passes as that makes. */
#define HOMOGENEITY_FRAMES 10000

struct sparse_stage {
    /* parameters */
    struct grid grid;
    int64_t winners, radius, seed, threads;
    double rate, strength, init;
    char *layer;
    bool frozen;
    int backend; /* enum kernel_backend */
    int cache;   /* enum cache */
    char *cache_folder;
    int64_t cache_mb;

    struct sparse *kernel;
    struct layer_start start;
    int64_t frames;           /* that this layer has seen in its life */
    size_t P, N;              /* pixels of a frame, units */
    float *weights;           /* N x P: as last copied out of a kernel that does not lend them; else NULL */
    float *residual;          /* of a block: |v - r|^2 and |v|^2 of each frame */
    size_t capacity;          /* frames that residual holds */
    double error;             /* of the pass so far: sum of |v - r|^2 ... */
    double energy;            /* ... and of |v|^2 */
    double *usage;            /* N: times each unit won in the pass so far */
    struct code_cache *known; /* what is known of the codes; NULL: nothing, and nothing is kept */
    bool asked;               /* whether it has been tried to make that */
    double homogeneity;       /* of a frozen layer, once it is measured */
    bool measured;
};

enum cache { CACHE_AUTO, CACHE_OFF };

static const char *const caches[] = {"auto", "off", NULL};

#define FIELD(member) offsetof(struct sparse_stage, member)

static const struct param params[] = {
    {"grid", PARAM_GRID, FIELD(grid), "40x40", 1, 65536, "units", "columns and rows of the layer", NULL, 0},
    {"winners", PARAM_INTEGER, FIELD(winners), "4", 1, SPARSE_WINNERS_MAX, "units",
     "units that win a frame: those with the largest drive", NULL, 0},
    {"rate", PARAM_REAL, FIELD(rate), "0.02", 0, 1, "", "learning rate (xi)", NULL, 0},
    {"radius", PARAM_INTEGER, FIELD(radius), "2", 0, 65536, "units",
     "reach of lateral excitation on the torus", NULL, 0},
    {"strength", PARAM_REAL, FIELD(strength), "0.5", 0, 1000, "", "strength of lateral excitation; 0: none",
     NULL, 0},
    {"init", PARAM_REAL, FIELD(init), "0.2", 0, 1000, "", "initial weights are uniform from 0 to this", NULL,
     0},
    {"seed", PARAM_INTEGER, FIELD(seed), "1", 0, 9.2e18, "", "of the initial weights", NULL, 0},
    {"layer", PARAM_PATH, FIELD(layer), "", 0, 0, "", "layer file to start from; empty: random weights", NULL,
     0},
    {"frozen", PARAM_BOOLEAN, FIELD(frozen), "false", 0, 0, "", "do not learn", NULL, 0},
    {"threads", PARAM_INTEGER, FIELD(threads), "1", 1, SPARSE_THREADS_MAX, "",
     "threads that share the work; no result depends on it", NULL, PARAM_LOCAL},
    {"backend", PARAM_CHOICE, FIELD(backend), "auto", 0, 0, "", "which body computes", layer_backends, 0},
    {"cache", PARAM_CHOICE, FIELD(cache), "auto", 0, 0, "",
     "auto: a frozen layer computes the codes of a stream once and keeps them in a file; off: every time",
     caches, PARAM_LOCAL},
    {"cache_folder", PARAM_PATH, FIELD(cache_folder), "", 0, 0, "",
     "where such files lie; empty: loom-cache beside the run's folder", NULL, PARAM_LOCAL},
    {"cache_size", PARAM_INTEGER, FIELD(cache_mb), "1024", 1, 1048576, "MiB",
     "to which that folder may grow; then what has not been used for longest is deleted", NULL, PARAM_LOCAL},
    {.name = NULL},
};

/* Room for weights; the caller frees it. */
static int new_weights(const struct sparse_stage *self, float **weights_p)
{
    *weights_p = malloc(self->N * self->P * sizeof **weights_p);
    return *weights_p != NULL
               ? 0
               : error_set(LOOM_EINTERNAL, "out of memory for %zu x %zu weights", self->N, self->P);
}

/* The kernel's weights, to be read until it computes again. */
static int look_at_weights(struct sparse_stage *self, const float **weights_p)
{
    int status = 0;
    *weights_p = sparse_lend_weights(self->kernel);
    if (*weights_p != NULL) {
        return 0;
    }
    if (self->weights == NULL) {
        status = new_weights(self, &self->weights);
    }
    if (status == 0) {
        status = layer_kernel_error(sparse_get_weights(self->kernel, self->weights), "sparse");
    }
    *weights_p = self->weights;
    return status;
}

/* Give the kernel the weights to begin with, and say in *output whose they are. */
static int start_weights(struct sparse_stage *self, struct stream_info *output)
{
    const struct layer_wanted wanted = {.stage = "sparse", .grid = self->grid, .inputs = self->P};
    float *weights;
    int status = new_weights(self, &weights);
    layer_warn_drawn(self->frozen, self->layer);
    if (status == 0) {
        status = layer_start(&self->start, weights, self->layer, &wanted, self->init, self->seed);
    }
    if (status == 0) {
        status = layer_kernel_error(sparse_set_weights(self->kernel, weights), "sparse");
    }
    if (status == 0) {
        layer_tell(output, &self->start, self->frozen, weights, self->N * self->P);
    }
    free(weights);
    return status;
}

static int configure(const struct stage_context *context, void *state, struct stream_info *output)
{
    struct sparse_stage *self = state;
    const struct stream_info *input = &context->inputs[0];
    struct sparse_config config = {.P = input->height * input->width,
                                   .Kx = (size_t)self->grid.x,
                                   .Ky = (size_t)self->grid.y,
                                   .k = (size_t)self->winners,
                                   .rate = self->rate,
                                   .radius = (size_t)self->radius,
                                   .strength = self->strength,
                                   .threads = (size_t)self->threads};
    self->P = config.P;
    self->N = config.Kx * config.Ky;
    if (config.k > self->N) {
        return error_set(LOOM_EUSAGE, "%zu winners are more than the %zu units of the grid", config.k,
                         self->N);
    }
    int status =
        layer_kernel_error(sparse_new(&self->kernel, &config, (enum kernel_backend)self->backend), "sparse");
    if (status < 0) {
        return status;
    }
    self->usage = calloc(self->N, sizeof *self->usage);
    if (self->usage == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for %zu units", self->N);
    }
    output->winners = config.k;
    output->repeats = self->frozen && input->repeats;
    output->grid_x = config.Kx;
    output->grid_y = config.Ky;
    output->block = layer_block(self->N, self->P);
    snprintf(output->body, sizeof output->body, "%s", sparse_body(self->kernel));
    status = identity_hash(output->id, "sparse", output->body, params, self, input, 1);
    if (status == 0) {
        status = start_weights(self, output);
    }
    self->frames = self->start.frames;
    return status;
}

static int make_room(struct sparse_stage *self, size_t n)
{
    if (n <= self->capacity) {
        return 0;
    }
    free(self->residual);
    self->residual = malloc(n * 2 * sizeof *self->residual);
    self->capacity = self->residual == NULL ? 0 : n;
    return self->capacity > 0 ? 0 : error_set(LOOM_EINTERNAL, "out of memory for a block of %zu frames", n);
}

/* A frozen layer makes the same of the same frames: it needs none of which it knows that. */
static void needs(const struct stage_context *context, void *state, uint64_t from, uint64_t *first,
                  uint64_t *end)
{
    struct sparse_stage *self = state;
    if (self->frozen && self->cache == CACHE_AUTO && !self->asked) {
        self->asked = true;
        const struct code_cache_settings settings = {.folder = self->cache_folder,
                                                     .run = context->run,
                                                     .name = context->name,
                                                     .limit_bytes = (uint64_t)self->cache_mb << 20};
        self->known = code_cache_new(&settings, context->output);
    }
    if (self->known != NULL) {
        code_cache_needs(self->known, from, first, end);
    }
}

static int begin_pass(const struct stage_context *context, void *state)
{
    (void)context;
    struct sparse_stage *self = state;
    self->error = self->energy = 0;
    memset(self->usage, 0, self->N * sizeof *self->usage);
    return 0;
}

static void add_up(struct sparse_stage *self, const struct block *out)
{
    const uint32_t *index = out->fields[0];
    for (size_t t = 0; t < out->n; t++) {
        self->error += (double)self->residual[2 * t];
        self->energy += (double)self->residual[2 * t + 1];
        for (size_t w = 0; w < (size_t)self->winners; w++) {
            self->usage[index[t * (size_t)self->winners + w]] += 1;
        }
    }
}

/* A block's frames through the kernel, as they are: floats, or bytes that stand for 255ths. A kernel_status. */
static int run_kernel(struct sparse_stage *self, const struct stream_info *info, const struct block *in,
                      struct block *out)
{
    uint32_t *index = out->fields[0];
    float *value = out->fields[1];
    const void *frames = in->fields[0];
    if (info->dtype == STREAM_U1) {
        return (self->frozen ? sparse_encode_bytes : sparse_train_bytes)(self->kernel, index, value,
                                                                         self->residual, frames, in->n);
    }
    return (self->frozen ? sparse_encode : sparse_train)(self->kernel, index, value, self->residual, frames,
                                                         in->n);
}

/* A block whose codes are known: see needs. */
static int take_known(struct sparse_stage *self, const struct block *in, struct block *out)
{
    int status = make_room(self, in->n);
    if (status == 0) {
        status = code_cache_take(self->known, in->seq, in->n, out->fields[0], out->fields[1], self->residual);
    }
    if (status == 0) {
        add_up(self, out);
    }
    return status;
}

static int process(const struct stage_context *context, void *state, size_t port, const struct block *in,
                   struct block *out)
{
    struct sparse_stage *self = state;
    const struct stream_info *info = &context->inputs[port];
    if (in->fields[0] == NULL) {
        return take_known(self, in, out);
    }
    int status = make_room(self, in->n);
    if (status < 0) {
        return status;
    }
    status = run_kernel(self, info, in, out);
    if (status == KERNEL_EINVAL) {
        return error_set(LOOM_EDATA, "%s, frames %ju to %ju: a value is not from 0 to 1", info->name,
                         (uintmax_t)in->seq, (uintmax_t)(in->seq + in->n - 1));
    }
    if (status < 0) {
        return layer_kernel_error(status, "sparse");
    }
    self->frames += self->frozen ? 0 : (int64_t)in->n;
    add_up(self, out);
    if (self->known != NULL) {
        code_cache_put(self->known, out, self->residual);
    }
    return 0;
}

static size_t progress(const struct stage_context *context, void *state, struct metric *metrics)
{
    (void)context;
    const struct sparse_stage *self = state;
    metrics[0] = (struct metric){"reconstruction_error", self->error / (self->energy > 0 ? self->energy : 1)};
    return self->energy > 0 ? 1 : 0;
}

/* In a pass whose number says so. */
static int tell_homogeneity(struct sparse_stage *self, const struct stage_context *context,
                            struct metric *metrics, size_t *n)
{
    const uint64_t pass = context->inputs[0].pass;
    const uint64_t every = pass == 0 ? 1 : (HOMOGENEITY_FRAMES + pass - 1) / pass;
    if (context->pass % every != 0) {
        return 0;
    }
    if (!self->measured) {
        const float *lent;
        int status = look_at_weights(self, &lent);
        if (status < 0) {
            return status;
        }
        self->homogeneity = measure_homogeneity(lent, self->N, self->P);
        self->measured = self->frozen;
    }
    metrics[(*n)++] = (struct metric){"homogeneity", self->homogeneity};
    return 0;
}

static int end_pass(const struct stage_context *context, void *state, struct metric *metrics,
                    size_t *n_metrics)
{
    struct sparse_stage *self = state;
    double dead = 0;
    for (size_t i = 0; i < self->N; i++) {
        dead += self->usage[i] == 0 ? 1 : 0;
    }
    size_t n = progress(context, state, metrics);
    metrics[n++] = (struct metric){"dead_units", dead};
    metrics[n++] = (struct metric){"usage_entropy", measure_entropy(self->usage, self->N)};
    int status = tell_homogeneity(self, context, metrics, &n);
    *n_metrics = n;
    return status;
}

static int weights(const struct stage_context *context, void *state, struct stage_weights *view)
{
    struct sparse_stage *self = state;
    const float *lent;
    int status = look_at_weights(self, &lent);
    *view = (struct stage_weights){.data = lent,
                                   .rows = self->N,
                                   .cols = self->P,
                                   .grid_x = (size_t)self->grid.x,
                                   .grid_y = (size_t)self->grid.y,
                                   .input_width = context->inputs[0].width,
                                   .input_height = context->inputs[0].height};
    return status;
}

static int save(const struct stage_context *context, void *state, struct layer_writer *file)
{
    (void)context;
    struct sparse_stage *self = state;
    double error[] = {self->error, self->energy};
    if (self->known != NULL) {
        code_cache_flush(self->known);
    }
    const float *lent;
    int status = look_at_weights(self, &lent);
    if (status == 0) {
        status = layer_write(file, "weights", LAYER_F4, (const size_t[]){self->N, self->P}, 2, lent);
    }
    if (status == 0) {
        status = layer_write(file, "state/usage", LAYER_F8, &self->N, 1, self->usage);
    }
    if (status == 0) {
        status = layer_write(file, "state/error", LAYER_F8, (const size_t[]){2}, 1, error);
    }
    if (status == 0) {
        size_t bytes = sparse_state_bytes(self->kernel);
        void *buffer = malloc(bytes);
        if (buffer != NULL) {
            sparse_save_state(self->kernel, buffer);
        }
        status = layer_write_kernel(file, buffer, bytes);
    }
    if (status == 0) {
        status = layer_write_text(file, "parent", self->start.parent);
    }
    return status < 0 ? status : layer_write_integer(file, "frames", self->frames);
}

static int load(const struct stage_context *context, void *state, const struct layer_reader *file)
{
    (void)context;
    struct sparse_stage *self = state;
    double error[2];
    void *kernel_state = NULL;
    float *saved;
    int status = new_weights(self, &saved);
    if (status == 0) {
        status = layer_read(file, "weights", LAYER_F4, (const size_t[]){self->N, self->P}, 2, saved);
    }
    if (status == 0) {
        status = layer_kernel_error(sparse_set_weights(self->kernel, saved), "sparse");
    }
    free(saved);
    if (status == 0) {
        status = layer_read(file, "state/usage", LAYER_F8, &self->N, 1, self->usage);
    }
    if (status == 0) {
        status = layer_read(file, "state/error", LAYER_F8, (const size_t[]){2}, 1, error);
    }
    if (status == 0) {
        self->error = error[0];
        self->energy = error[1];
        status = layer_read_kernel(file, &kernel_state, sparse_state_bytes(self->kernel));
    }
    if (status == 0 && kernel_state != NULL) {
        sparse_load_state(self->kernel, kernel_state);
    }
    free(kernel_state);
    return status < 0 ? status : layer_read_integer(file, "frames", &self->frames);
}

static void close_stage(const struct stage_context *context, void *state)
{
    (void)context;
    struct sparse_stage *self = state;
    code_cache_destroy(&self->known);
    sparse_destroy(&self->kernel);
    free(self->weights);
    free(self->usage);
    free(self->residual);
}

static const struct stage stage = {
    .name = "sparse",
    .summary = "train or apply the sparse layer: frames in, the code of the best-driven units out",
    .input_kinds = 1U << STREAM_FRAMES,
    .inputs_min = 1,
    .inputs_max = 1,
    .output = STREAM_CODES,
    .state_bytes = sizeof(struct sparse_stage),
    .params = params,
    .configure = configure,
    .needs = needs,
    .begin_pass = begin_pass,
    .process = process,
    .end_pass = end_pass,
    .progress = progress,
    .weights = weights,
    .save = save,
    .load = load,
    .close = close_stage,
};

int main(int argc, char **argv)
{
    return stage_main(&stage, argc, argv);
}

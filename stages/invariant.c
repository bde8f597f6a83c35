/* Stage invariant: a layer that follows the sparse code slowly. Takes codes, gives the activations of its
 * units, and learns by one of two rules (kernels/invariant.h says exactly how), unless it is frozen. Every
 * pass begins with its units at rest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant_measures.h"
#include "kernels/invariant.h"
#include "layer_support.h"
#include "stage.h"

/* Largest value of a code that is taken: a code is a drive over a sum of weights, at most a few. Far larger
 * ones are a mistake of whoever sends them, and their squares would leave single precision. */
#define VALUE_MAX 1e6F

struct invariant_stage {
    /* parameters */
    int rule; /* enum invariant_rule */
    struct grid grid;
    int64_t radius, winners, normalize_every, seed;
    double strength, leak, active_rate, inactive_rate, smooth_rate, reconstruction_rate, init;
    char *layer;
    bool frozen, other_input;
    int backend; /* enum kernel_backend */

    struct invariant *kernel;
    struct layer_start start;
    char input_layer[STREAM_ID_BYTES]; /* sparse layer on whose codes this one has learned */
    int64_t frames;                    /* that this layer has seen in its life */
    size_t M, N;                       /* units here, and in the sparse layer below */
    size_t k;                          /* winners of the sparse layer */
    float *weights;                    /* M x N: as last copied out of the kernel */
    float *residual; /* of a block: |s - r|^2 and |s|^2 over the active units of each code */
    size_t capacity; /* frames that residual holds */
    double error;    /* of the pass so far, over the active units: sum of |s - r|^2 ... */
    double energy;   /* ... and of |s|^2 */
    struct invariant_measures *measures; /* of the pass so far */
};

#define FIELD(member) offsetof(struct invariant_stage, member)

static const char *const rules[] = {"topo", "smooth", NULL};

static const struct param params[] = {
    {"rule", PARAM_CHOICE, FIELD(rule), "topo", 0, 0, "", "how the layer learns", rules, 0},
    {"grid", PARAM_GRID, FIELD(grid), "10x10", 1, 65536, "units", "columns and rows of the layer", NULL, 0},
    {"radius", PARAM_INTEGER, FIELD(radius), "2", 0, 65536, "units",
     "topo: reach of lateral excitation on the torus", NULL, 0},
    {"strength", PARAM_REAL, FIELD(strength), "0.1", 0, 1000, "",
     "topo: strength of lateral excitation; 0: none", NULL, 0},
    {"winners", PARAM_INTEGER, FIELD(winners), "0", 0, 4294967296, "units",
     "units that are driven: those with the largest drive; 0: all", NULL, 0},
    {"leak", PARAM_REAL, FIELD(leak), "0.333333333333", 1e-9, 1, "",
     "topo: share of the way to the drive that the activation goes in a frame (alpha)", NULL, 0},
    {"active_rate", PARAM_REAL, FIELD(active_rate), "0.08", 0, 1, "",
     "topo: learning rate of active sparse units (leta)", NULL, 0},
    {"inactive_rate", PARAM_REAL, FIELD(inactive_rate), "0.0008", 0, 1, "",
     "topo: learning rate of inactive sparse units (seta)", NULL, 0},
    {"normalize_every", PARAM_INTEGER, FIELD(normalize_every), "2000", 0, 9.2e18, "frames",
     "topo: frames between two normalisations of the rows; 0: never", NULL, 0},
    {"smooth_rate", PARAM_REAL, FIELD(smooth_rate), "0.1", 0, 1, "",
     "smooth: learning rate of smoothing (eta)", NULL, 0},
    {"reconstruction_rate", PARAM_REAL, FIELD(reconstruction_rate), "0.05", 0, 1, "",
     "smooth: learning rate of reconstruction (zeta); 0: off", NULL, 0},
    {"init", PARAM_REAL, FIELD(init), "0", 0, 1000, "",
     "initial weights are uniform from 0 to this; 0: the rule's own, 0.1 for topo, 1 for smooth", NULL, 0},
    {"seed", PARAM_INTEGER, FIELD(seed), "1", 0, 9.2e18, "", "of the initial weights", NULL, 0},
    {"layer", PARAM_PATH, FIELD(layer), "", 0, 0, "", "layer file to start from; empty: random weights", NULL,
     0},
    {"frozen", PARAM_BOOLEAN, FIELD(frozen), "false", 0, 0, "", "do not learn", NULL, 0},
    {"other_input", PARAM_BOOLEAN, FIELD(other_input), "false", 0, 0, "",
     "take up the layer even if it was trained on another sparse layer than the one it reads now", NULL,
     PARAM_LOCAL},
    {"backend", PARAM_CHOICE, FIELD(backend), "auto", 0, 0, "", "which body computes", layer_backends, 0},
    {.name = NULL},
};

static int make_kernel(struct invariant_stage *self)
{
    struct invariant_config config = {.rule = (enum invariant_rule)self->rule,
                                      .N = self->N,
                                      .Ix = (size_t)self->grid.x,
                                      .Iy = (size_t)self->grid.y,
                                      .winners = (size_t)self->winners,
                                      .radius = (size_t)self->radius,
                                      .strength = self->strength,
                                      .leak = self->leak,
                                      .active_rate = self->active_rate,
                                      .inactive_rate = self->inactive_rate,
                                      .normalize_every = (size_t)self->normalize_every,
                                      .smooth_rate = self->smooth_rate,
                                      .reconstruction_rate = self->reconstruction_rate};
    if (config.winners > self->M) {
        return error_set(LOOM_EUSAGE, "%zu winners are more than the %zu units of the grid", config.winners,
                         self->M);
    }
    return layer_kernel_error(invariant_new(&self->kernel, &config, (enum kernel_backend)self->backend),
                              "invariant");
}

static int configure(const struct stage_context *context, void *state, struct stream_info *output)
{
    struct invariant_stage *self = state;
    const struct stream_info *input = &context->inputs[0];
    self->N = input->grid_x * input->grid_y;
    self->M = (size_t)self->grid.x * (size_t)self->grid.y;
    self->k = input->winners;
    int status = make_kernel(self);
    if (status < 0) {
        return status;
    }
    const struct measures_of of = {.Ix = (size_t)self->grid.x,
                                   .Iy = (size_t)self->grid.y,
                                   .N = self->N,
                                   .k = self->k,
                                   .winners = (size_t)self->winners,
                                   .radius = (size_t)self->radius,
                                   .pass = input->pass};
    status = measures_new(&self->measures, &of);
    if (status < 0) {
        return status;
    }
    self->weights = calloc(self->M, self->N * sizeof *self->weights);
    if (self->weights == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for %zu x %zu weights", self->M, self->N);
    }
    double init = self->init > 0 ? self->init : self->rule == INVARIANT_SMOOTH ? 1.0 : 0.1;
    const struct layer_wanted wanted = {.stage = "invariant",
                                        .grid = self->grid,
                                        .inputs = self->N,
                                        .rule = rules[self->rule],
                                        .input = input,
                                        .other_input = self->other_input};
    layer_warn_drawn(self->frozen, self->layer);
    status = layer_start(&self->start, self->weights, self->layer, &wanted, init, self->seed);
    if (self->frozen && self->layer[0] != '\0') {
        memcpy(self->input_layer, self->start.input_layer, sizeof self->input_layer);
    } else {
        layer_of(self->input_layer, input);
    }
    if (status == 0) {
        status = layer_kernel_error(invariant_set_weights(self->kernel, self->weights), "invariant");
    }
    self->frames = self->start.frames;
    output->repeats = self->frozen && input->repeats; /* its state begins anew with every pass */
    output->grid_x = (size_t)self->grid.x;
    output->grid_y = (size_t)self->grid.y;
    output->block = layer_block(self->M, self->N);
    snprintf(output->body, sizeof output->body, "%s", invariant_body(self->kernel));
    return status;
}

static int begin_pass(const struct stage_context *context, void *state)
{
    (void)context;
    struct invariant_stage *self = state;
    invariant_begin_pass(self->kernel);
    self->error = self->energy = 0;
    measures_begin(self->measures);
    return 0;
}

/* What a kernel may take for granted: indices in range and ascending, values not negative and at most
 * VALUE_MAX. */
static int check_codes(const struct invariant_stage *self, const struct stage_context *context,
                       const struct block *in)
{
    const uint32_t *index = in->fields[0];
    const float *value = in->fields[1];
    for (size_t i = 0; i < in->n * self->k; i++) {
        bool ascending = i % self->k == 0 || index[i] > index[i - 1];
        if (index[i] >= self->N || !ascending || !(value[i] >= 0 && value[i] <= VALUE_MAX)) {
            return error_set(LOOM_EDATA,
                             "%s, frame %ju: unit %u with value %g; units must ascend below %zu, values be "
                             "from 0 to %g",
                             context->inputs[0].name, (uintmax_t)(in->seq + i / self->k), index[i],
                             (double)value[i], self->N, (double)VALUE_MAX);
        }
    }
    return 0;
}

static int make_room(struct invariant_stage *self, size_t n)
{
    if (n <= self->capacity) {
        return 0;
    }
    free(self->residual);
    self->residual = malloc(n * 2 * sizeof *self->residual);
    self->capacity = self->residual == NULL ? 0 : n;
    return self->capacity > 0 ? 0 : error_set(LOOM_EINTERNAL, "out of memory for a block of %zu frames", n);
}

static int process(const struct stage_context *context, void *state, size_t port, const struct block *in,
                   struct block *out)
{
    (void)port;
    struct invariant_stage *self = state;
    int status = check_codes(self, context, in);
    if (status == 0) {
        status = make_room(self, in->n);
    }
    if (status < 0) {
        return status;
    }
    status = (self->frozen ? invariant_encode : invariant_train)(
        self->kernel, out->fields[0], self->residual, in->fields[0], in->fields[1], self->k, in->n);
    if (status < 0) {
        return layer_kernel_error(status, "invariant");
    }
    self->frames += self->frozen ? 0 : (int64_t)in->n;
    for (size_t t = 0; t < in->n; t++) {
        self->error += (double)self->residual[2 * t];
        self->energy += (double)self->residual[2 * t + 1];
    }
    measures_add(self->measures, out->fields[0], in->n);
    return 0;
}

static size_t progress(const struct stage_context *context, void *state, struct metric *metrics)
{
    (void)context;
    const struct invariant_stage *self = state;
    metrics[0] = (struct metric){"active_code_error", self->error / (self->energy > 0 ? self->energy : 1)};
    return self->energy > 0 ? 1 : 0;
}

static int end_pass(const struct stage_context *context, void *state, struct metric *metrics,
                    size_t *n_metrics)
{
    struct invariant_stage *self = state;
    *n_metrics = progress(context, state, metrics);
    int status = layer_kernel_error(invariant_get_weights(self->kernel, self->weights), "invariant");
    return status < 0 ? status : measures_end(self->measures, self->weights, metrics, n_metrics);
}

static int weights(const struct stage_context *context, void *state, struct stage_weights *view)
{
    struct invariant_stage *self = state;
    int status = layer_kernel_error(invariant_get_weights(self->kernel, self->weights), "invariant");
    *view = (struct stage_weights){.data = self->weights,
                                   .rows = self->M,
                                   .cols = self->N,
                                   .grid_x = (size_t)self->grid.x,
                                   .grid_y = (size_t)self->grid.y,
                                   .input_width = context->inputs[0].grid_x,
                                   .input_height = context->inputs[0].grid_y};
    return status;
}

static int save(const struct stage_context *context, void *state, struct layer_writer *file)
{
    (void)context;
    struct invariant_stage *self = state;
    double error[] = {self->error, self->energy};
    size_t bytes = invariant_state_bytes(self->kernel);
    int status = layer_kernel_error(invariant_get_weights(self->kernel, self->weights), "invariant");
    if (status == 0) {
        status = layer_write(file, "weights", LAYER_F4, (const size_t[]){self->M, self->N}, 2, self->weights);
    }
    if (status == 0) {
        status = layer_write(file, "state/error", LAYER_F8, (const size_t[]){2}, 1, error);
    }
    const void *lent = invariant_lend_state(self->kernel);
    if (status == 0 && lent != NULL) {
        status = layer_write_lent(file, lent, bytes);
    } else if (status == 0) {
        void *buffer = malloc(bytes);
        if (buffer != NULL) {
            invariant_save_state(self->kernel, buffer);
        }
        status = layer_write_kernel(file, buffer, bytes);
    }
    if (status == 0) {
        status = measures_save(self->measures, file);
    }
    if (status == 0) {
        status = layer_write_text(file, "parent", self->start.parent);
    }
    if (status == 0) {
        status = layer_write_text(file, "input_layer", self->input_layer);
    }
    return status < 0 ? status : layer_write_integer(file, "frames", self->frames);
}

/* The kernel's state, after its weights have been set. */
static int load_state(struct invariant_stage *self, const struct layer_reader *file)
{
    const size_t bytes = invariant_state_bytes(self->kernel);
    void *copy = NULL, *lent = invariant_lend_state(self->kernel);
    if (lent != NULL) {
        return layer_read_lent(file, lent, bytes);
    }
    int status = layer_read_kernel(file, &copy, bytes);
    if (status == 0 && copy != NULL) {
        invariant_load_state(self->kernel, copy);
    }
    free(copy);
    return status;
}

static int load(const struct stage_context *context, void *state, const struct layer_reader *file)
{
    (void)context;
    struct invariant_stage *self = state;
    double error[2];
    int status = layer_read(file, "weights", LAYER_F4, (const size_t[]){self->M, self->N}, 2, self->weights);
    if (status == 0) {
        status = layer_read(file, "state/error", LAYER_F8, (const size_t[]){2}, 1, error);
    }
    if (status == 0) {
        self->error = error[0];
        self->energy = error[1];
        status = layer_kernel_error(invariant_set_weights(self->kernel, self->weights), "invariant");
    }
    if (status == 0) {
        status = load_state(self, file);
    }
    if (status == 0) {
        status = measures_load(self->measures, file);
    }
    return status < 0 ? status : layer_read_integer(file, "frames", &self->frames);
}

static void close_stage(const struct stage_context *context, void *state)
{
    (void)context;
    struct invariant_stage *self = state;
    invariant_destroy(&self->kernel);
    measures_destroy(&self->measures);
    free(self->weights);
    free(self->residual);
}

static const struct stage stage = {
    .name = "invariant",
    .summary = "train or apply an invariant layer: sparse codes in, slow activations out",
    .input_kinds = 1U << STREAM_CODES,
    .inputs_min = 1,
    .inputs_max = 1,
    .output = STREAM_ACTIVATIONS,
    .state_bytes = sizeof(struct invariant_stage),
    .params = params,
    .configure = configure,
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

/* Stage skeleton: a template to copy. It takes frames and gives them back with their contrast stretched, by a
 * gain that it learns slowly: small, but with everything a stage can have. To make your own:
 *
 *     cp stages/skeleton.c stages/mine.c       and add  loom_stage(mine mine.c)  to stages/CMakeLists.txt
 *
 * (or, outside of this tree, link against the installed library and put loom-mine anywhere on PATH). Then, in
 * mine.c, from the bottom up:
 *
 *     struct stage    .name = "mine", always that of the program loom-mine; .summary; what it takes and gives:
 *                     .input_kinds, .inputs_min, .inputs_max, .output (STREAM_NONE: a leaf)
 *     configure       describe the output: height and width of frames, grid and winners of codes, grid of
 *                     activations
 *     process         the work
 *     save and load   together: all that process changes; without it a restart is not the same to the bit
 *     struct, params  rename, and replace by what your stage knows and what can be set
 *
 * The runner does the rest: options, sockets, signals, checkpoints, progress. Delete the hooks that you do not
 * need, in the struct, too. `loom inspect mine` shows what came out of it. */
#include <string.h>

#include "stage.h"

/* Everything the stage knows, parameters first. The runner allocates it, zeroed. */
struct skeleton_stage {
    double target; /* brightest value wanted */
    double rate;   /* of learning */

    double gain;       /* learned: what frames are multiplied by */
    double peak_sum;   /* of the pass so far: sum of the frames' brightest values ... */
    double peak_count; /* ... and how many */
};

#define FIELD(member) offsetof(struct skeleton_stage, member)

/* Each parameter once: name, type, field, default, smallest, largest, unit, help, choices, flags. */
static const struct param params[] = {
    {"target", PARAM_REAL, FIELD(target), "1", 0, 1, "", "brightest value wanted in a frame", NULL, 0},
    {"rate", PARAM_REAL, FIELD(rate), "0.01", 0, 1, "", "how quickly the gain follows", NULL, 0},
    {.name = NULL},
};

/* The inputs are known: check their shapes, allocate what depends on them, describe the output. */
static int configure(const struct stage_context *context, void *state, struct stream_info *output)
{
    struct skeleton_stage *self = state;
    const struct stream_info *input = &context->inputs[0];
    self->gain = 1;
    output->height = input->height;
    output->width = input->width;
    output->dtype = STREAM_F4;
    return 0;
}

/* The same data begins again. */
static int begin_pass(const struct stage_context *context, void *state)
{
    (void)context;
    struct skeleton_stage *self = state;
    self->peak_sum = self->peak_count = 0;
    return 0;
}

static double value_at(const struct stream_info *info, const void *data, size_t i)
{
    return info->dtype == STREAM_U1 ? (double)((const uint8_t *)data)[i] / 255.0
                                    : (double)((const float *)data)[i];
}

/* in->n frames in, as many out. State may change here only, and only by what is in the frames. */
static int process(const struct stage_context *context, void *state, size_t port, const struct block *in,
                   struct block *out)
{
    struct skeleton_stage *self = state;
    const struct stream_info *info = &context->inputs[port];
    size_t pixels = info->height * info->width;
    float *frames = out->fields[0];
    for (size_t t = 0; t < in->n; t++) {
        double peak = 0;
        for (size_t q = t * pixels; q < (t + 1) * pixels; q++) {
            double value = value_at(info, in->fields[0], q);
            peak = value > peak ? value : peak;
            frames[q] = (float)(self->gain * value < 1 ? self->gain * value : 1);
        }
        self->gain += peak > 0 ? self->rate * (self->target / peak - self->gain) : 0;
        self->peak_sum += peak;
        self->peak_count += 1;
    }
    return 0;
}

/* Numbers about the pass that has ended; they are logged, sent to taps and recorded. */
static int end_pass(const struct stage_context *context, void *state, struct metric *metrics,
                    size_t *n_metrics)
{
    (void)context;
    const struct skeleton_stage *self = state;
    metrics[0] = (struct metric){"gain", self->gain};
    metrics[1] = (struct metric){"mean_peak", self->peak_sum / (self->peak_count > 0 ? self->peak_count : 1)};
    *n_metrics = 2;
    return 0;
}

/* The whole state, so that a restart continues to the bit. */
static int save(const struct stage_context *context, void *state, struct layer_writer *file)
{
    (void)context;
    const struct skeleton_stage *self = state;
    return layer_write(file, "state/gain", LAYER_F8, (const size_t[]){3}, 1,
                       (const double[]){self->gain, self->peak_sum, self->peak_count});
}

static int load(const struct stage_context *context, void *state, const struct layer_reader *file)
{
    (void)context;
    struct skeleton_stage *self = state;
    double values[3];
    int status = layer_read(file, "state/gain", LAYER_F8, (const size_t[]){3}, 1, values);
    if (status == 0) {
        self->gain = values[0];
        self->peak_sum = values[1];
        self->peak_count = values[2];
    }
    return status;
}

static const struct stage stage = {
    .name = "skeleton",
    .summary = "a template for stages of your own: stretches the contrast of frames",
    .input_kinds = 1U << STREAM_FRAMES,
    .inputs_min = 1,
    .inputs_max = 1,
    .output = STREAM_FRAMES,
    .state_bytes = sizeof(struct skeleton_stage),
    .params = params,
    .configure = configure,
    .begin_pass = begin_pass,
    .process = process,
    .end_pass = end_pass,
    .save = save,
    .load = load,
};

int main(int argc, char **argv)
{
    return stage_main(&stage, argc, argv);
}

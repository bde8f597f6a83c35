/* See stage_file.h. */
#include "stage_file.h"

#include <stdio.h>
#include <string.h>

static int write_param(struct layer_writer *file, const struct param *param, const void *state)
{
    const void *field = (const char *)state + param->offset;
    char text[4096];
    switch (param->type) {
    case PARAM_INTEGER:
        return layer_write_integer(file, param->name, *(const int64_t *)field);
    case PARAM_REAL:
        return layer_write_real(file, param->name, *(const double *)field);
    case PARAM_GRID: {
        const struct grid *grid = field;
        return layer_write_integers(file, param->name, (const int64_t[]){grid->x, grid->y}, 2);
    }
    default:
        params_format(param, state, text, sizeof text);
        return layer_write_text(file, param->name, text);
    }
}

static int write_attributes(struct layer_writer *file, const struct stage *stage,
                            const struct stage_context *context, void *state,
                            const struct stream_info *output, uint64_t frame)
{
    const struct {
        const char *name, *text;
    } texts[] = {{"stage", stage->name}, {"name", context->name},
                 {"stream", output->id}, {"input", context->n_inputs > 0 ? context->inputs[0].id : ""},
                 {"body", output->body}, {"version", LOOM_VERSION}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int status = layer_write_text(file, texts[i].name, texts[i].text);
        if (status < 0) {
            return status;
        }
    }
    const uint64_t pass = context->n_inputs > 0 ? context->inputs[0].pass : output->pass;
    int status = layer_write_integer(file, "frame", (int64_t)frame);
    if (status == 0 && pass > 0) { /* passes done */
        status = layer_write_integer(file, "pass", (int64_t)(frame / pass));
    }
    if (status == 0 && output->layer[0] != '\0') {
        status = layer_write_text(file, "lineage", output->layer);
    }
    for (const struct param *param = stage->params; status == 0 && param != NULL && param->name != NULL;
         param++) {
        status = write_param(file, param, state);
    }
    struct stage_weights weights = {.data = NULL};
    if (status == 0 && stage->weights != NULL) {
        status = stage->weights(context, state, &weights);
    }
    if (status == 0 && weights.data != NULL) {
        int64_t shape[] = {(int64_t)weights.input_width, (int64_t)weights.input_height};
        status = layer_write_integers(file, "input_shape", shape, 2);
    }
    return status;
}

int stage_file_write(const char *path, const struct stage *stage, const struct stage_context *context,
                     void *state, const struct stream_info *output, uint64_t frame)
{
    struct layer_writer *file = NULL;
    int status = layer_writer_new(&file, path);
    if (status == 0) {
        status = write_attributes(file, stage, context, state, output, frame);
    }
    if (status == 0 && stage->save != NULL) {
        status = stage->save(context, state, file);
    }
    if (status == 0) {
        status = layer_writer_commit(&file);
    }
    layer_writer_destroy(&file);
    return status;
}

/* What a reader says of a checkpoint that is torn or not one, and what to do. */
static int explain_damage(const char *path)
{
    char why[1024];
    snprintf(why, sizeof why, "%s", error_message());
    return error_set(LOOM_EDATA,
                     "checkpoint '%s' is damaged: %s; begin the run anew (loom run ... --again moves the old "
                     "folder aside), or in another folder",
                     path, why);
}

int stage_file_read(const char *path, const struct stage *stage, const struct stage_context *context,
                    void *state, const struct stream_info *output)
{
    struct layer_reader *file = NULL;
    char id[STREAM_ID_BYTES];
    int status = layer_reader_new(&file, path);
    if (status == 0) {
        status = layer_read_text(file, "stream", id, sizeof id);
    }
    if (status == 0 && strcmp(id, output->id) != 0) {
        layer_reader_destroy(&file);
        return error_set(
            LOOM_EDATA,
            "checkpoint '%s' is of stream %s, but with these parameters and inputs this is stream %s; begin "
            "anew in another run folder, or bring the old settings back",
            path, id, output->id);
    }
    if (status == 0 && stage->load != NULL) {
        status = stage->load(context, state, file);
    }
    layer_reader_destroy(&file);
    return status == LOOM_EDATA ? explain_damage(path) : status;
}

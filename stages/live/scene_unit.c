/* The scene's answer to what is asked about one unit. See scene.h. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "derive.h"
#include "measure.h"
#include "say.h"
#include "scene_parts.h"

#define BEST 10   /* units that are told of a unit */
#define WINDOWS 8 /* recent frames that drive a unit most */
#define APART 8   /* frames between two of these */

static _Thread_local struct say say; /* large */

/* Of all recent frames in which a unit can be judged, how strongly each drives it. */
struct judged {
    float *drives;
    const struct clip **clips; /* each one's */
    size_t *rows;
    size_t n;
};

static void judged_fini(struct judged *self)
{
    free(self->drives);
    free(self->clips);
    free(self->rows);
}

/* How strongly a frame drives a unit of the sparse layer: by its weights; of an invariant one: its activation. */
static float drive_of(const struct layer_known *layer, const struct stream_info *info,
                      const struct clip_part *own, size_t unit, const float *v, size_t row)
{
    const size_t M = info == NULL ? 0 : info->grid_x * info->grid_y;
    if (v != NULL) {
        return derive_dot(layer->data + unit * layer->cols, v, layer->cols);
    }
    return unit < M ? ((const float *)own->fields[0])[row * M + unit] : NAN;
}

static int judge(struct scene *self, const struct layer_known *layer, size_t unit, struct judged *out)
{
    struct scene_stream *stream = scene_find_stream(self, layer->name);
    const struct scene_stream *frames = stream == NULL ? NULL : scene_frames_of(self, stream);
    const bool by_weights = frames != NULL && stream->info.kind == STREAM_CODES;
    const size_t room = CLIP_RING_MAX * ASK_FRAMES_MAX,
                 P = frames == NULL ? 0 : frames->info.height * frames->info.width;
    *out = (struct judged){.drives = malloc(room * sizeof(float)),
                           .clips = malloc(room * sizeof(struct clip *)),
                           .rows = malloc(room * sizeof(size_t))};
    if (out->drives == NULL || out->clips == NULL || out->rows == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the windows of a unit");
    }
    if (frames == NULL || (by_weights && P != layer->cols)) {
        return LOOM_OK;
    }
    for (size_t c = self->clips.n; c-- > 0;) {
        const struct clip *clip = &self->clips.clips[c];
        const struct clip_part *seen = clip_part(clip, (size_t)(frames - self->streams)),
                               *own = clip_part(clip, (size_t)(stream - self->streams));
        if (seen == NULL || own == NULL) {
            continue;
        }
        float *v = by_weights ? scene_frames_as_floats(&frames->info, seen->fields[0], clip->n) : NULL;
        for (size_t f = 0; f < clip->n && out->n < room && (v != NULL || !by_weights); f++) {
            out->drives[out->n] = drive_of(layer, &stream->info, own, unit, v == NULL ? NULL : v + f * P, f);
            out->clips[out->n] = clip;
            out->rows[out->n++] = f;
        }
        free(v);
    }
    return LOOM_OK;
}

/* Add the most driving of the recent windows to the message. The arrays must last until say_finish. */
struct windows {
    uint8_t *pictures;
    float drives[WINDOWS];
    uint32_t seq[WINDOWS];
};

static void say_windows(struct scene *self, const struct layer_known *layer, const struct judged *judged,
                        struct windows *windows)
{
    size_t best[WINDOWS];
    struct scene_stream *stream = scene_find_stream(self, layer->name);
    const struct scene_stream *frames = stream == NULL ? NULL : scene_frames_of(self, stream);
    const size_t m = frames == NULL ? 0 : derive_best(best, WINDOWS, judged->drives, judged->n, APART);
    const size_t h = frames == NULL ? 0 : frames->info.height, w = frames == NULL ? 0 : frames->info.width;
    windows->pictures = malloc(m * h * w + 1);
    if (m == 0 || windows->pictures == NULL) {
        return;
    }
    for (size_t i = 0; i < m; i++) {
        const struct clip *clip = judged->clips[best[i]];
        const size_t row = judged->rows[best[i]];
        const void *data = clip_part(clip, (size_t)(frames - self->streams))->fields[0];
        windows->drives[i] = judged->drives[best[i]];
        windows->seq[i] = (uint32_t)(clip->seq + row);
        if (frames->info.dtype == STREAM_U1) {
            memcpy(windows->pictures + i * h * w, (const uint8_t *)data + row * h * w, h * w);
        } else {
            derive_quantised(windows->pictures + i * h * w, (const float *)data + row * h * w, h * w, 1);
        }
    }
    say_array(&say, "windows", "u1", windows->pictures, 3, (size_t[]){m, h, w});
    say_array(&say, "drives", "f4", windows->drives, 1, (size_t[]){m});
    say_array(&say, "windows_seq", "u4", windows->seq, 1, (size_t[]){m});
}

/* Write `,"key":[...]` of the units that have the largest of n weights, `step` apart in x. */
static int say_strongest(const char *key, const struct layer_known *of, const float *x, size_t n, size_t step)
{
    float *weights = malloc((n + 1) * sizeof *weights);
    size_t best[BEST];
    if (weights == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the weights of a unit");
    }
    for (size_t i = 0; i < n; i++) {
        weights[i] = x[i * step];
    }
    const size_t found = derive_best(best, BEST, weights, n, 0);
    fprintf(say.json, ",\"%s\":[", key);
    for (size_t i = 0; i < found; i++) {
        fprintf(say.json, "%s{\"layer\":", i == 0 ? "" : ",");
        log_json_string(say.json, of->name);
        fprintf(say.json, ",\"unit\":%zu", best[i]);
        say_number(&say, "weight", (double)weights[best[i]]);
        fputc('}', say.json);
    }
    fputc(']', say.json);
    free(weights);
    return LOOM_OK;
}

static double sum_of(const float *x, size_t n, size_t step)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i * step];
    }
    return sum;
}

static int say_unit_of(struct scene *self, const struct layer_known *layer, size_t unit,
                       const struct judged *judged, float *prototype, struct said **out)
{
    const struct layer_known *below = layers_below(&self->layers, layer),
                             *above = layers_above(&self->layers, layer);
    const float *row = layer->data + unit * layer->cols;
    struct windows windows = {.pictures = NULL};
    int status = LOOM_OK;
    say_begin(&say, "unit");
    say_text(&say, "name", layer->name);
    fprintf(say.json, ",\"unit\":%zu,\"seq\":%" PRIu64 ",\"grid\":[%zu,%zu],\"input\":[%zu,%zu]", unit,
            layer->seq, layer->grid_x, layer->grid_y, layer->input_width, layer->input_height);
    say_number(&say, "max", (double)derive_largest(row, layer->cols));
    say_number(&say, "sum", sum_of(row, layer->cols, 1));
    if (above != NULL) {
        say_number(&say, "coverage", sum_of(above->data + unit, above->rows, above->cols));
        status = say_strongest("readers", above, above->data + unit, above->rows, above->cols);
    } else {
        fputs(",\"readers\":[]", say.json);
    }
    if (below != NULL && status == LOOM_OK) {
        status = say_strongest("sources", below, row, layer->cols, 1);
        fprintf(say.json, ",\"prototype_input\":[%zu,%zu]", below->input_width, below->input_height);
        measure_prototypes(prototype, row, below->data, 1, layer->cols, below->cols);
        say_array(&say, "prototype", "f4", prototype, 1, (size_t[]){below->cols});
    } else {
        fputs(",\"sources\":[]", say.json);
    }
    say_array(&say, "weights", "f4", row, 1, (size_t[]){layer->cols});
    say_windows(self, layer, judged, &windows);
    const int finished = say_finish(&say, out);
    free(windows.pictures);
    if (status < 0) {
        said_release(out);
    }
    return status < 0 ? status : finished;
}

int scene_say_unit(struct scene *self, const struct ask *ask, struct said **out)
{
    const struct layer_known *layer = layers_find(&self->layers, ask->name);
    *out = NULL;
    if (layer == NULL || ask->unit >= layer->rows) {
        return layer == NULL ? error_set(LOOM_EDATA, "the weights of '%s' have not been seen yet", ask->name)
                             : error_set(LOOM_EDATA, "layer %s has units 0 to %zu, not %" PRIu64, layer->name,
                                         layer->rows - 1, ask->unit);
    }
    const struct layer_known *below = layers_below(&self->layers, layer);
    float *prototype = below == NULL ? NULL : malloc(below->cols * sizeof *prototype);
    struct judged judged = {.n = 0};
    int status = below != NULL && prototype == NULL ? error_set(LOOM_EINTERNAL, "no memory for a prototype")
                                                    : judge(self, layer, (size_t)ask->unit, &judged);
    if (status == LOOM_OK) {
        status = say_unit_of(self, layer, (size_t)ask->unit, &judged, prototype, out);
    }
    judged_fini(&judged);
    free(prototype);
    return status;
}

/* See scene.h. */
#include "scene.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../generate/tapestry.h"
#include "clock.h"
#include "derive.h"
#include "measure.h"
#include "say.h"

#define STATUS_MS 1000
#define TAPESTRY_SIDE 1024 /* of the picture of it that is sent, at most */
#define DRIVE_WORK_MAX 4e8 /* multiplications for the drives of a clip: a fraction of a second */
#define DRIVE_BYTES_MAX ((size_t)4 << 20) /* of a clip, that are sent */
#define BEST 10                           /* units that are told of a unit */
#define WINDOWS 8                         /* recent frames that drive a unit most */
#define APART 8                           /* frames between two of these */

static _Thread_local struct say say; /* large */

void scene_init(struct scene *self, struct board *board, bool live, const char *run, const char *folder,
                const char *command)
{
    *self = (struct scene){.board = board, .live = live, .changed = true};
    snprintf(self->run, sizeof self->run, "%s", run);
    snprintf(self->folder, sizeof self->folder, "%s", folder);
    snprintf(self->command, sizeof self->command, "%s", command);
}

void scene_fini(struct scene *self)
{
    pipeline_file_fini(&self->pipeline);
    layers_fini(&self->layers);
    history_fini(&self->history);
    clip_ring_fini(&self->clips);
}

static struct scene_stream *find_stream(struct scene *self, const char *name)
{
    for (size_t i = 0; i < self->n_streams; i++) {
        if (strcmp(self->streams[i].info.name, name) == 0) {
            return &self->streams[i];
        }
    }
    return NULL;
}

/* The only stream of this kind, or NULL. */
static const struct scene_stream *only_stream(const struct scene *self, enum stream_kind kind)
{
    const struct scene_stream *found = NULL;
    for (size_t i = 0; i < self->n_streams; i++) {
        if (self->streams[i].info.kind == kind) {
            if (found != NULL) {
                return NULL;
            }
            found = &self->streams[i];
        }
    }
    return found;
}

/* Say of each stream what it is made of: as the pipeline has it, or the only stream that it can be. */
static void connect_streams(struct scene *self)
{
    for (size_t i = 0; i < self->n_streams; i++) {
        struct scene_stream *stream = &self->streams[i];
        const struct pipeline_stage *stage = pipeline_file_find(&self->pipeline, stream->info.name);
        const enum stream_kind kind = stream->info.kind;
        const struct scene_stream *from = NULL;
        for (size_t j = 0; stage != NULL && j < stage->n_inputs && from == NULL; j++) {
            from = stage->inputs[j] == NULL ? NULL : find_stream(self, stage->inputs[j]);
        }
        if (from == NULL && stage == NULL && kind != STREAM_FRAMES) {
            from = only_stream(self, kind == STREAM_CODES ? STREAM_FRAMES : STREAM_CODES);
        }
        snprintf(stream->from, sizeof stream->from, "%s", from == NULL ? "" : from->info.name);
    }
}

size_t scene_add_stream(struct scene *self, const struct stream_info *info)
{
    struct scene_stream *stream = find_stream(self, info->name);
    if (stream == NULL && self->n_streams == CLIP_STREAMS_MAX) {
        return CLIP_STREAMS_MAX;
    }
    if (stream == NULL) {
        stream = &self->streams[self->n_streams++];
    } else if (strcmp(stream->info.id, info->id) != 0) {
        clip_ring_fini(&self->clips); /* another stream now, maybe of another shape */
    }
    stream->info = *info;
    connect_streams(self);
    self->changed = true;
    return (size_t)(stream - self->streams);
}

/* ---- the scene and the tapestry ---- */

static void say_stream(const struct scene_stream *stream)
{
    const struct stream_info *info = &stream->info;
    fputs("{\"name\":", say.json);
    log_json_string(say.json, info->name);
    say_text(&say, "stage", info->stage);
    fprintf(say.json, ",\"kind\":\"%s\"", stream_kind_name(info->kind));
    say_text(&say, "id", info->id);
    if (stream->from[0] != '\0') {
        say_text(&say, "from", stream->from);
    } else {
        fputs(",\"from\":null", say.json);
    }
    if (info->kind == STREAM_FRAMES) {
        fprintf(say.json, ",\"shape\":[%zu,%zu]", info->height, info->width);
    } else {
        fprintf(say.json, ",\"grid\":[%zu,%zu]", info->grid_x, info->grid_y);
    }
    if (info->kind == STREAM_CODES) {
        fprintf(say.json, ",\"winners\":%zu", info->winners);
    }
    fprintf(say.json, ",\"pass\":%" PRIu64 ",\"at\":%s", info->pass, info->at ? "true" : "false");
    if (info->total == UINT64_MAX) {
        fputs(",\"total\":null}", say.json);
    } else {
        fprintf(say.json, ",\"total\":%" PRIu64 "}", info->total);
    }
}

/* A number as such, anything else as text. */
static void say_value(const char *text)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end != text && *end == '\0' && isfinite(value)) {
        fprintf(say.json, "%.15g", value);
    } else {
        log_json_string(say.json, text);
    }
}

static void say_parameters(const struct scene *self)
{
    fputs(",\"parameters\":{", say.json);
    for (size_t i = 0; i < self->pipeline.n; i++) {
        const struct pipeline_stage *stage = &self->pipeline.stages[i];
        fputs(i == 0 ? "" : ",", say.json);
        log_json_string(say.json, stage->name == NULL ? "" : stage->name);
        fputs(":{", say.json);
        for (size_t j = 0; j < stage->n_params; j++) {
            fputs(j == 0 ? "" : ",", say.json);
            log_json_string(say.json, stage->params[j].key == NULL ? "" : stage->params[j].key);
            fputc(':', say.json);
            say_value(stage->params[j].text);
        }
        fputc('}', say.json);
    }
    fputc('}', say.json);
}

static int tell_scene(struct scene *self)
{
    struct said *message = NULL;
    say_begin(&say, "scene");
    fprintf(say.json, ",\"v\":1,\"mode\":\"%s\"", self->live ? "live" : "recording");
    say_text(&say, "run", self->run);
    if (self->command[0] != '\0') {
        say_text(&say, "command", self->command);
    }
    fputs(",\"streams\":[", say.json);
    for (size_t i = 0; i < self->n_streams; i++) {
        fputs(i == 0 ? "" : ",", say.json);
        say_stream(&self->streams[i]);
    }
    fputc(']', say.json);
    say_parameters(self);
    if (self->recorded) {
        fprintf(say.json,
                ",\"recording\":{\"first\":%" PRIu64 ",\"frames\":%" PRIu64 ",\"pass\":%" PRIu64 "}",
                self->first, self->frames, self->recorded_pass);
    } else {
        fputs(",\"recording\":null", say.json);
    }
    const int status = say_finish(&say, &message);
    if (status == LOOM_OK) {
        board_publish(self->board, BOARD_SCENE, "", &message);
        self->changed = false;
    }
    return status;
}

static size_t param_count(const struct pipeline_stage *stage, const char *key, size_t fallback)
{
    const char *text = pipeline_stage_param(stage, key);
    return text == NULL ? fallback : (size_t)strtoull(text, NULL, 10);
}

/* The tapestry, one number of the picture for scale x scale of its own. */
static int say_tapestry(const struct tapestry *tapestry, struct said **out)
{
    const size_t longer = tapestry->period_x > tapestry->period_y ? tapestry->period_x : tapestry->period_y;
    const size_t scale = (longer + TAPESTRY_SIDE - 1) / TAPESTRY_SIDE;
    const size_t width = tapestry->period_x / scale, height = tapestry->period_y / scale;
    uint8_t *picture = malloc(width * height + 1);
    if (picture == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the tapestry");
    }
    for (size_t i = 0; i < width * height; i++) {
        double sum = 0;
        for (size_t j = 0; j < scale * scale; j++) {
            const size_t at =
                (i / width * scale + j / scale) * tapestry->stride + i % width * scale + j % scale;
            sum +=
                tapestry->bytes != NULL ? (double)tapestry->bytes[at] : 255.0 * (double)tapestry->values[at];
        }
        picture[i] = (uint8_t)(sum / (double)(scale * scale) + 0.5);
    }
    say_begin(&say, "tapestry");
    fprintf(say.json, ",\"width\":%zu,\"height\":%zu,\"period\":[%zu,%zu],\"scale\":%zu", width, height,
            tapestry->period_x, tapestry->period_y, scale);
    say_array(&say, "picture", "u1", picture, 2, (size_t[]){height, width});
    const int status = say_finish(&say, out);
    free(picture);
    return status;
}

/* Tell the tapestry of the first stream whose window moves over one. One that cannot be read is left out. */
static void tell_tapestry(struct scene *self)
{
    for (size_t i = 0; i < self->n_streams && !self->tapestry_told; i++) {
        const struct pipeline_stage *stage = pipeline_file_find(&self->pipeline, self->streams[i].info.name);
        const char *path = pipeline_stage_param(stage, "tapestry");
        if (path == NULL || self->streams[i].info.kind != STREAM_FRAMES) {
            continue;
        }
        const struct tapestry_config config = {.path = path,
                                               .window = self->streams[i].info.width,
                                               .first = param_count(stage, "first", 0),
                                               .side = param_count(stage, "side", 30),
                                               .tile = param_count(stage, "tile", 0)};
        struct tapestry tapestry = {.bytes = NULL};
        struct said *message = NULL;
        self->tapestry_told = true;
        if (tapestry_init(&tapestry, &config) == LOOM_OK && say_tapestry(&tapestry, &message) == LOOM_OK) {
            board_publish(self->board, BOARD_TAPESTRY, "", &message);
        }
        tapestry_fini(&tapestry);
    }
}

/* Read the run's pipeline, once it is there. */
static void read_pipeline(struct scene *self)
{
    char path[sizeof self->folder + 32];
    snprintf(path, sizeof path, "%s/pipeline.yaml", self->folder);
    if (self->folder[0] == '\0' || pipeline_file_read(&self->pipeline, path) < 0) {
        return;
    }
    self->pipeline_read = true;
    if (self->pipeline.name[0] != '\0') {
        snprintf(self->run, sizeof self->run, "%s", self->pipeline.name);
    }
    connect_streams(self);
    self->changed = true;
}

/* ---- clips ---- */

/* The frames stream that a stream is made of, directly or not; NULL: not known. */
static const struct scene_stream *frames_of(struct scene *self, const struct scene_stream *stream)
{
    for (size_t steps = 0; stream != NULL && steps < CLIP_STREAMS_MAX; steps++) {
        if (stream->info.kind == STREAM_FRAMES && steps > 0) {
            return stream;
        }
        stream = stream->from[0] == '\0' ? NULL : find_stream(self, stream->from);
    }
    return NULL;
}

/* n rows of P numbers of a frames stream as floats from 0 to 1; NULL if memory runs out. Freed by the caller. */
static float *frames_as_floats(const struct stream_info *info, const void *data, size_t n)
{
    const size_t count = n * info->height * info->width;
    float *v = malloc((count + 1) * sizeof *v);
    for (size_t i = 0; v != NULL && i < count; i++) {
        v[i] =
            info->dtype == STREAM_U1 ? (float)((const uint8_t *)data)[i] / 255.0F : ((const float *)data)[i];
    }
    return v;
}

/* What is worked out for the codes in a clip; freed with the clip's message. */
struct worked_out {
    float *v, *drive, *reconstruction;
};

static void work_out(struct scene *self, const struct clip *clip, const struct clip_part *part,
                     struct worked_out *out)
{
    const struct scene_stream *codes = &self->streams[part->stream], *frames = frames_of(self, codes);
    const struct layer_known *layer = layers_find(&self->layers, codes->info.name);
    const struct clip_part *seen = frames == NULL ? NULL : clip_part(clip, (size_t)(frames - self->streams));
    const size_t P = frames == NULL ? 0 : frames->info.height * frames->info.width, n = clip->n;
    if (layer == NULL || seen == NULL || layer->cols != P) {
        return;
    }
    out->v = frames_as_floats(&frames->info, seen->fields[0], n);
    out->reconstruction = malloc((n * P + 1) * sizeof *out->reconstruction);
    if (out->v != NULL && out->reconstruction != NULL) {
        derive_reconstruction(out->reconstruction, layer->data, out->v, part->fields[0], n,
                              codes->info.winners, layer->rows, P);
    }
    if (out->v != NULL && n * layer->rows * sizeof(float) <= DRIVE_BYTES_MAX &&
        (double)n * (double)layer->rows * (double)P <= DRIVE_WORK_MAX) {
        out->drive = malloc((n * layer->rows + 1) * sizeof *out->drive);
        if (out->drive != NULL && derive_drives(out->drive, layer->data, out->v, n, layer->rows, P) < 0) {
            free(out->drive);
            out->drive = NULL;
        }
    }
}

static void say_field(const struct stream_info *info, const char *field, const char *dtype, const void *data,
                      size_t rank, size_t n, size_t second, size_t third)
{
    char name[SAY_NAME_BYTES];
    if (data != NULL) {
        say_name(name, info->name, field);
        say_array(&say, name, dtype, data, rank, (size_t[]){n, second, third});
    }
}

static void say_part(struct scene *self, const struct clip *clip, const struct clip_part *part,
                     const struct worked_out *more)
{
    const struct stream_info *info = &self->streams[part->stream].info;
    const struct layer_known *layer = layers_find(&self->layers, info->name);
    const size_t n = clip->n;
    if (info->kind == STREAM_FRAMES) {
        say_field(info, "data", info->dtype == STREAM_U1 ? "u1" : "f4", part->fields[0], 3, n, info->height,
                  info->width);
        say_field(info, "at", "i4", info->at ? part->fields[1] : NULL, 2, n, 2, 0);
    } else if (info->kind == STREAM_CODES) {
        const struct scene_stream *frames = frames_of(self, &self->streams[part->stream]);
        say_field(info, "index", "u4", part->fields[0], 2, n, info->winners, 0);
        say_field(info, "value", "f4", part->fields[1], 2, n, info->winners, 0);
        say_field(info, "drive", "f4", more->drive, 2, n, layer == NULL ? 0 : layer->rows, 0);
        say_field(info, "reconstruction", "f4", more->reconstruction, 3, n,
                  frames == NULL ? 0 : frames->info.height, frames == NULL ? 0 : frames->info.width);
    } else {
        say_field(info, "data", "f4", part->fields[0], 2, n, info->grid_x * info->grid_y, 0);
    }
}

int scene_take_clip(struct scene *self, struct clip *clip, struct said **out)
{
    struct worked_out more[CLIP_STREAMS_MAX] = {{.v = NULL}};
    say_begin(&say, "clip");
    fprintf(say.json, ",\"seq\":%" PRIu64 ",\"n\":%zu,\"pass\":%" PRIu64, clip->seq, clip->n, clip->pass);
    for (size_t i = 0; i < clip->n_parts; i++) {
        if (self->streams[clip->parts[i].stream].info.kind == STREAM_CODES) {
            work_out(self, clip, &clip->parts[i], &more[i]);
        }
        say_part(self, clip, &clip->parts[i], &more[i]);
    }
    const int status = say_finish(&say, out);
    for (size_t i = 0; i < clip->n_parts; i++) {
        free(more[i].v);
        free(more[i].drive);
        free(more[i].reconstruction);
    }
    clip_ring_keep(&self->clips, clip);
    self->clips_made++;
    return status;
}

/* ---- layers and metrics ---- */

int scene_take_weights(struct scene *self, struct layer_known *layer, const float *data)
{
    const struct scene_stream *stream = find_stream(self, layer->name);
    const struct pipeline_stage *stage = pipeline_file_find(&self->pipeline, layer->name);
    if (stream != NULL && stream->from[0] != '\0') {
        snprintf(layer->from, sizeof layer->from, "%s", stream->from);
    } else if (stage != NULL && stage->n_inputs > 0 && stage->inputs[0] != NULL) {
        snprintf(layer->from, sizeof layer->from, "%.*s", (int)sizeof layer->from - 1, stage->inputs[0]);
    }
    return layers_take(&self->layers, layer, data);
}

/* Tell of the metrics of a pass that is new. */
static void tell_pass(void *argument, const char *stage, uint64_t pass, const struct metric *metrics,
                      size_t n)
{
    struct scene *self = argument;
    struct said *message = NULL;
    if (history_say_pass(stage, pass, metrics, n, &message) == LOOM_OK) {
        board_publish(self->board, BOARD_METRICS, stage, &message);
    }
}

void scene_take_metrics(struct scene *self, const char *stage, uint64_t pass, const struct metric *metrics,
                        size_t n)
{
    if (history_add(&self->history, stage, pass, metrics, n)) {
        tell_pass(self, stage, pass, metrics, n);
    }
}

/* ---- one unit ---- */

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
    struct scene_stream *stream = find_stream(self, layer->name);
    const struct scene_stream *frames = stream == NULL ? NULL : frames_of(self, stream);
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
        float *v = by_weights ? frames_as_floats(&frames->info, seen->fields[0], clip->n) : NULL;
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
    struct scene_stream *stream = find_stream(self, layer->name);
    const struct scene_stream *frames = stream == NULL ? NULL : frames_of(self, stream);
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

int scene_say_error(const char *why, struct said **out)
{
    say_begin(&say, "error");
    say_text(&say, "why", why);
    return say_finish(&say, out);
}

/* ---- telling ---- */

static int tell_status(struct scene *self, const struct board_wants *wants, const struct run_status *made_up)
{
    char path[sizeof self->folder + 32];
    struct said *message = NULL;
    snprintf(path, sizeof path, "%s/status.json", self->folder);
    say_begin(&say, "status");
    fprintf(say.json, ",\"dropped\":%" PRIu64 ",\"viewers\":%zu,\"status\":", board_dropped(self->board),
            wants->viewers);
    if (self->folder[0] == '\0' || status_copy_file(say.json, path) < 0) {
        if (made_up != NULL) {
            status_write(made_up, say.json);
        } else {
            fputs("null", say.json);
        }
    }
    const int status = say_finish(&say, &message);
    if (status == LOOM_OK) {
        board_publish(self->board, BOARD_STATUS, "", &message);
    }
    return status;
}

static int tell_history(struct scene *self)
{
    struct said *message = NULL;
    const int status = history_say(&self->history, &message);
    if (status == LOOM_OK) {
        board_publish(self->board, BOARD_HISTORY, "", &message);
    }
    return status;
}

int scene_tell(struct scene *self, const struct board_wants *wants, const struct run_status *made_up)
{
    const int64_t now_ms = clock_ms();
    int status = LOOM_OK;
    if (wants->viewers == 0) {
        return LOOM_OK;
    }
    if (!self->pipeline_read) {
        read_pipeline(self);
    }
    if (self->changed) {
        status = tell_scene(self);
        tell_tapestry(self);
    }
    if (status == LOOM_OK && (now_ms >= self->status_ms || wants->history) && self->folder[0] != '\0') {
        char path[sizeof self->folder + 32];
        snprintf(path, sizeof path, "%s/metrics.jsonl", self->folder);
        const bool all_new = wants->viewers == 1 && wants->history; /* who gets the whole next */
        history_follow(&self->history, path, all_new ? NULL : tell_pass, self);
    }
    if (status == LOOM_OK && wants->history) {
        status = tell_history(self);
    }
    if (status == LOOM_OK && now_ms >= self->status_ms) {
        self->status_ms = now_ms + STATUS_MS;
        status = tell_status(self, wants, made_up);
    }
    if (status == LOOM_OK && wants->weights) {
        status = layers_tell(&self->layers, self->board);
    }
    return status;
}

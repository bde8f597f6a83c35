/* See scene.h. */
#include "scene.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../generate/tapestry.h"
#include "clock.h"
#include "say.h"
#include "scene_parts.h"

#define STATUS_MS 1000
#define TAPESTRY_SIDE 1024 /* of the picture of it that is sent, at most */

static _Thread_local struct say say; /* large */

void scene_init(struct scene *self, struct board *board, bool live, const char *run, const char *folder,
                const char *sweep, const char *command)
{
    *self = (struct scene){.board = board, .live = live, .changed = true};
    snprintf(self->run, sizeof self->run, "%s", run);
    snprintf(self->folder, sizeof self->folder, "%s", folder);
    snprintf(self->sweep, sizeof self->sweep, "%s", sweep != NULL ? sweep : "");
    snprintf(self->command, sizeof self->command, "%s", command);
}

void scene_fini(struct scene *self)
{
    pipeline_file_fini(&self->pipeline);
    layers_fini(&self->layers);
    history_fini(&self->history);
    clip_ring_fini(&self->clips);
}

struct scene_stream *scene_find_stream(struct scene *self, const char *name)
{
    for (size_t i = 0; i < self->n_streams; i++) {
        if (strcmp(self->streams[i].info.name, name) == 0) {
            return &self->streams[i];
        }
    }
    return NULL;
}

const struct scene_stream *scene_frames_of(struct scene *self, const struct scene_stream *stream)
{
    for (size_t steps = 0; stream != NULL && steps < CLIP_STREAMS_MAX; steps++) {
        if (stream->info.kind == STREAM_FRAMES && steps > 0) {
            return stream;
        }
        stream = stream->from[0] == '\0' ? NULL : scene_find_stream(self, stream->from);
    }
    return NULL;
}

float *scene_frames_as_floats(const struct stream_info *info, const void *data, size_t n)
{
    const size_t count = n * info->height * info->width;
    float *v = malloc((count + 1) * sizeof *v);
    for (size_t i = 0; v != NULL && i < count; i++) {
        v[i] =
            info->dtype == STREAM_U1 ? (float)((const uint8_t *)data)[i] / 255.0F : ((const float *)data)[i];
    }
    return v;
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
            from = stage->inputs[j] == NULL ? NULL : scene_find_stream(self, stage->inputs[j]);
        }
        if (from == NULL && stage == NULL && kind != STREAM_FRAMES) {
            from = only_stream(self, kind == STREAM_CODES ? STREAM_FRAMES : STREAM_CODES);
        }
        snprintf(stream->from, sizeof stream->from, "%s", from == NULL ? "" : from->info.name);
    }
}

size_t scene_add_stream(struct scene *self, const struct stream_info *info)
{
    struct scene_stream *stream = scene_find_stream(self, info->name);
    if (stream == NULL && self->n_streams == CLIP_STREAMS_MAX) {
        return CLIP_STREAMS_MAX;
    }
    if (stream == NULL) {
        stream = &self->streams[self->n_streams++];
    } else if (!stream_same_form(&stream->info, info)) {
        clip_ring_fini(&self->clips); /* another stream now, or one whose rows are read in another way */
        history_forget(&self->history, info->name);
        board_renew_history(self->board);
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
        fprintf(say.json, "%.17g", value);
    } else {
        log_json_string(say.json, text);
    }
}

/* Parameters that are nobody's business but the run's: what lets somebody in. */
static bool is_secret(const char *key)
{
    char name[16];
    size_t n = 0;
    for (; key[n] != '\0' && n < sizeof name - 1; n++) {
        name[n] = (char)(key[n] == '-' ? '_' : key[n]); /* as pipelines may have it */
    }
    name[n] = '\0';
    return strcmp(name, "live_token") == 0 || strncmp(name, "curve_", 6) == 0;
}

static void say_parameters(const struct scene *self)
{
    fputs(",\"parameters\":{", say.json);
    for (size_t i = 0; i < self->pipeline.n; i++) {
        const struct pipeline_stage *stage = &self->pipeline.stages[i];
        fputs(i == 0 ? "" : ",", say.json);
        log_json_string(say.json, stage->name == NULL ? "" : stage->name);
        fputs(":{", say.json);
        bool any = false;
        for (size_t j = 0; j < stage->n_params; j++) {
            const char *key = stage->params[j].key == NULL ? "" : stage->params[j].key;
            if (!is_secret(key)) {
                fputs(any ? "," : "", say.json);
                log_json_string(say.json, key);
                fputc(':', say.json);
                say_value(stage->params[j].text);
                any = true;
            }
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
    if (self->pipeline_read && self->pipeline.name[0] != '\0') {
        say_text(&say, "pipeline", self->pipeline.name);
    }
    if (self->folder[0] != '\0') {
        say_text(&say, "folder", self->folder);
    }
    if (self->sweep[0] != '\0') {
        say_text(&say, "sweep", strrchr(self->sweep, '/') + 1); /* an absolute path */
    }
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
        const struct stream_info *info = &self->streams[i].info;
        struct tapestry_config config;
        if (info->kind != STREAM_FRAMES || !pipeline_file_tapestry(&self->pipeline, info->name, &config)) {
            continue;
        }
        config.window = info->width;
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
    connect_streams(self);
    self->changed = true;
}

/* ---- layers and metrics ---- */

int scene_take_weights(struct scene *self, struct layer_known *layer, const float *data)
{
    const struct scene_stream *stream = scene_find_stream(self, layer->name);
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

int scene_say_error(const char *why, struct said **out)
{
    say_begin(&say, "error");
    say_text(&say, "why", why);
    return say_finish(&say, out);
}

/* ---- telling ---- */

static int tell_status(struct scene *self, const struct board_wants *wants, const struct run_status *made_up)
{
    struct said *message = NULL;
    say_begin(&say, "status");
    fprintf(say.json, ",\"dropped\":%" PRIu64 ",\"viewers\":%zu,\"status\":", board_dropped(self->board),
            wants->viewers);
    if (status_copy_run(say.json, self->folder, self->sweep[0] != '\0' ? self->sweep : NULL) < 0) {
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
        self->history_told = self->history.changes;
    }
    return status;
}

int scene_tell(struct scene *self, const struct board_wants *wants, const struct run_status *made_up)
{
    const int64_t now_ms = clock_ms();
    int status = LOOM_OK;
    bool renewed = false; /* the history is another run's now */
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
        renewed = history_follow(&self->history, path, all_new ? NULL : tell_pass, self);
    }
    if (renewed) {
        board_renew_history(self->board);
    }
    const bool changed = self->history.changes != self->history_told;
    if (status == LOOM_OK && (wants->no_history || renewed || (wants->history && changed))) {
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

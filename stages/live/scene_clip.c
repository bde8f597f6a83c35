/* The scene's message of a clip. See scene.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "derive.h"
#include "say.h"
#include "scene_parts.h"

#define DRIVE_WORK_MAX 4e8 /* multiplications for the drives of a clip: a fraction of a second */
#define DRIVE_BYTES_MAX ((size_t)4 << 20) /* of a clip, that are sent */

static _Thread_local struct say say; /* large */

/* What is worked out for the codes in a clip; freed with the clip's message. */
struct worked_out {
    float *v, *drive, *reconstruction;
};

static void work_out(struct scene *self, const struct clip *clip, const struct clip_part *part,
                     struct worked_out *out)
{
    const struct scene_stream *codes = &self->streams[part->stream], *frames = scene_frames_of(self, codes);
    const struct layer_known *layer = layers_find(&self->layers, codes->info.name);
    const struct clip_part *seen = frames == NULL ? NULL : clip_part(clip, (size_t)(frames - self->streams));
    const size_t P = frames == NULL ? 0 : frames->info.height * frames->info.width, n = clip->n;
    if (layer == NULL || seen == NULL || layer->cols != P) {
        return;
    }
    out->v = scene_frames_as_floats(&frames->info, seen->fields[0], n);
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
        const struct scene_stream *frames = scene_frames_of(self, &self->streams[part->stream]);
        say_field(info, "index", "u4", part->fields[0], 2, n, info->winners, 0);
        say_field(info, "value", "f4", part->fields[1], 2, n, info->winners, 0);
        say_field(info, "drive", "f4", more->drive, 2, n, layer == NULL ? 0 : layer->rows, 0);
        say_field(info, "reconstruction", "f4", more->reconstruction, 3, n,
                  frames == NULL ? 0 : frames->info.height, frames == NULL ? 0 : frames->info.width);
    } else {
        say_field(info, "data", "f4", part->fields[0], 2, n, info->grid_x * info->grid_y, 0);
    }
}

/* Bytes of a frame of a stream in a clip's message: of its fields, and of what is worked out of them. */
static size_t bytes_of_frame(const struct scene *self, const struct stream_info *info)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    const size_t n = stream_fields(info, fields);
    size_t bytes = 0;
    for (size_t f = 0; f < n; f++) {
        bytes += fields[f].row_bytes;
    }
    const struct layer_known *layer =
        info->kind == STREAM_CODES ? layers_find(&self->layers, info->name) : NULL;
    return bytes + (layer == NULL ? 0 : (layer->rows + layer->cols) * sizeof(float));
}

size_t scene_clip_frames(const struct scene *self, size_t n)
{
    size_t bytes = 1;
    for (size_t i = 0; i < self->n_streams; i++) {
        bytes += bytes_of_frame(self, &self->streams[i].info);
    }
    const size_t most = CLIP_BYTES_MAX / bytes;
    return most < 1 ? 1 : most < n ? most : n;
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

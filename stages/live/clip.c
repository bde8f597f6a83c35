/* See clip.h. */
#include "clip.h"

#include <stdlib.h>
#include <string.h>

struct clip_part *clip_add(struct clip *self, size_t stream, const struct stream_info *info)
{
    struct stream_field fields[STREAM_FIELDS_MAX] = {{.row_bytes = 0}};
    const size_t n = stream_fields(info, fields);
    if (self->n_parts == CLIP_STREAMS_MAX) {
        return NULL;
    }
    struct clip_part *part = &self->parts[self->n_parts++];
    *part = (struct clip_part){.stream = stream};
    for (size_t f = 0; f < n; f++) {
        part->fields[f] = calloc(self->n + 1, fields[f].row_bytes);
        if (part->fields[f] == NULL) {
            return NULL; /* clip_fini frees the others */
        }
        self->bytes += self->n * fields[f].row_bytes;
    }
    return part;
}

const struct clip_part *clip_part(const struct clip *self, size_t stream)
{
    for (size_t i = 0; i < self->n_parts; i++) {
        if (self->parts[i].stream == stream) {
            return &self->parts[i];
        }
    }
    return NULL;
}

void clip_fini(struct clip *self)
{
    for (size_t i = 0; i < self->n_parts; i++) {
        for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
            free(self->parts[i].fields[f]);
        }
    }
    *self = (struct clip){.n = 0};
}

static size_t ring_bytes(const struct clip_ring *self)
{
    size_t bytes = 0;
    for (size_t i = 0; i < self->n; i++) {
        bytes += self->clips[i].bytes;
    }
    return bytes;
}

void clip_ring_keep(struct clip_ring *self, struct clip *clip)
{
    while (self->n == CLIP_RING_MAX ||
           (self->n > 0 && ring_bytes(self) + clip->bytes > CLIP_RING_BYTES_MAX)) {
        clip_fini(&self->clips[--self->n]);
    }
    memmove(self->clips + 1, self->clips, self->n * sizeof *self->clips);
    self->clips[0] = *clip;
    self->n++;
    *clip = (struct clip){.n = 0};
}

void clip_ring_fini(struct clip_ring *self)
{
    while (self->n > 0) {
        clip_fini(&self->clips[--self->n]);
    }
}

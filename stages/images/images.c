/* images: frames that are there already: a folder of PNGs in the order of their names, or a NumPy array in a
 * .npy file.
 *
 * A source: any block can be made again from its number. All is looked at once when the stage opens, so that
 * a wrong size or value shows before anything learns from it, and for the stream's id, which is made of the
 * pictures themselves and not of their names. PNGs are held in memory, as u1 where 8 bits hold all of them
 * exactly, else as f4; colour becomes grey as image.h says. An array is mapped; f8 is rounded to f4. Limits:
 * PNGs of 4 GiB in all; an array that somebody shortens while it is shown ends this process (it may be
 * started again). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "array.h"
#include "identity.h"
#include "stage.h"
#include "stages/frame_values.h"
#include "stages/pace.h"

struct images {
    char *source;
    struct grid shape; /* height, width: as NumPy has them */
    int64_t passes;
    double rate; /* frames/s; 0: as fast as they are read */

    struct array array;
    struct pace pace;
};

#define FIELD(member) offsetof(struct images, member)

static const struct param params[] = {
    {"source", PARAM_PATH, FIELD(source), "", 0, 0, "",
     "folder of PNGs of one size, shown in natural order of their names, or .npy file (n x height x width)",
     NULL, PARAM_REQUIRED | PARAM_LOCAL},
    {"shape", PARAM_GRID, FIELD(shape), "0x0", 0, 65535, "pixels",
     "height x width of a frame, needed for an array of n x pixels; 0x0: as they are", NULL, PARAM_LOCAL},
    {"passes", PARAM_INTEGER, FIELD(passes), "1", 0, 1e9, "passes", "how often they are shown; 0: not at all",
     NULL, 0},
    {"rate", PARAM_REAL, FIELD(rate), "0", 0, 1e9, "frames/s",
     "at most so many frames a second; 0: as fast as they are read", NULL, PARAM_LOCAL},
    {.name = NULL},
};

/* Picture number i as floats, to `out`. */
static void convert(const struct images *self, float *out, size_t i)
{
    size_t pixels = self->array.height * self->array.width;
    const uint8_t *from = (const uint8_t *)self->array.data + i * array_picture_bytes(&self->array);
    for (size_t p = 0; p < pixels && self->array.element == ELEMENT_F8; p++) {
        double value;
        memcpy(&value, from + p * sizeof value, sizeof value);
        out[p] = (float)value;
    }
    if (self->array.element == ELEMENT_F4) {
        memcpy(out, from, pixels * sizeof *out);
    }
}

static int check_values(const struct images *self)
{
    const struct array *array = &self->array;
    size_t pixels = array->height * array->width;
    float *values = malloc(pixels * sizeof *values);
    int status = values == NULL ? error_set(LOOM_EINTERNAL, "out of memory for a picture") : 0;
    for (size_t i = 0; status == 0 && i < array->n; i++) {
        convert(self, values, i);
        status = frame_values_check(values, array->width, pixels);
        status = status < 0 ? error_prefix(status, "%s, picture %zu", self->source, i) : 0;
    }
    free(values);
    return status;
}

static int images_open(const struct stage_context *context, void *state)
{
    (void)context;
    struct images *self = state;
    struct stat about;
    if (self->source[0] == '\0') {
        return error_set(LOOM_EUSAGE, "no pictures given; set `source` to a folder of PNGs or a .npy file");
    }
    if ((self->shape.x == 0) != (self->shape.y == 0)) {
        return error_set(LOOM_EUSAGE, "parameter shape: a side of 0 pixels is not valid; give HEIGHTxWIDTH");
    }
    if (stat(self->source, &about) != 0 || (!S_ISDIR(about.st_mode) && !S_ISREG(about.st_mode))) {
        return error_set(LOOM_EIO, "cannot read %s: it is %s", self->source,
                         errno == ENOENT ? "not there" : "neither a folder nor a file");
    }
    return S_ISDIR(about.st_mode) ? array_read_folder(&self->array, self->source, self->shape)
                                  : array_map_npy(&self->array, self->source, self->shape);
}

/* The id: of the parameters, and of the pictures as if they were an input. */
static int make_id(const struct images *self, struct stream_info *output)
{
    char text[128];
    struct stream_info shape, pictures = {.id = ""};
    snprintf(text, sizeof text, "%zu x %zu x %zu, %d", self->array.n, self->array.height, self->array.width,
             (int)self->array.element);
    identity_of_bytes(pictures.id, self->array.data, self->array.n * array_picture_bytes(&self->array));
    shape = pictures;
    identity_of_bytes(shape.id, text, strlen(text));
    const struct stream_info made_of[] = {pictures, shape};
    return identity_hash(output->id, "images", "", params, self, made_of, 2);
}

static int images_configure(const struct stage_context *context, void *state, struct stream_info *output)
{
    (void)context;
    struct images *self = state;
    output->dtype = self->array.element == ELEMENT_U1 ? STREAM_U1 : STREAM_F4;
    output->height = self->array.height;
    output->width = self->array.width;
    output->pass = self->array.n;
    output->total = self->array.n * (uint64_t)self->passes;
    output->repeats = true;
    output->block = pace_block(self->rate);
    if (self->passes > 0 && self->array.n > (uint64_t)INT64_MAX / (uint64_t)self->passes) {
        return error_set(LOOM_EUSAGE, "%jd passes of %zu frames are more frames than can be counted",
                         (intmax_t)self->passes, self->array.n);
    }
    int status = self->array.element == ELEMENT_U1 ? 0 : check_values(self);
    return status < 0 ? status : make_id(self, output);
}

static int images_produce(const struct stage_context *context, void *state, struct block *out)
{
    (void)context;
    struct images *self = state;
    size_t pixels = self->array.height * self->array.width;
    pace_keep(&self->pace, self->rate, out->seq);
    for (size_t i = 0; i < out->n; i++) {
        size_t picture = (size_t)((out->seq + i) % self->array.n);
        if (self->array.element == ELEMENT_U1) {
            memcpy((uint8_t *)out->fields[0] + i * pixels,
                   (const uint8_t *)self->array.data + picture * pixels, pixels);
        } else {
            convert(self, (float *)out->fields[0] + i * pixels, picture);
        }
    }
    return 0;
}

static void images_close(const struct stage_context *context, void *state)
{
    (void)context;
    struct images *self = state;
    array_fini(&self->array);
}

static const struct stage stage = {
    .name = "images",
    .summary = "shows a folder of PNGs or a NumPy array",
    .output = STREAM_FRAMES,
    .state_bytes = sizeof(struct images),
    .params = params,
    .open = images_open,
    .configure = images_configure,
    .produce = images_produce,
    .close = images_close,
};

int main(int argc, char **argv)
{
    return stage_main(&stage, argc, argv);
}

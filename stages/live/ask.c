/* See ask.h. */
#include "ask.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define WHOLE_MAX INT64_C(9007199254740992) /* 2^53: what JavaScript's numbers hold exactly */

static int refuse(const char *what)
{
    return error_set(LOOM_EDATA, "the page's message %s", what);
}

/* A whole number from 0 up, also written as 12.0; -1: it is something else. */
static int64_t whole(const json_t *value)
{
    if (json_is_integer(value)) {
        const json_int_t number = json_integer_value(value);
        return number >= 0 && number <= WHOLE_MAX ? number : -1;
    }
    const double real = json_is_real(value) ? json_real_value(value) : -1;
    return real >= 0 && real <= (double)WHOLE_MAX && real == (double)(int64_t)real ? (int64_t)real : -1;
}

static int64_t bounded(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

static int read_want(struct ask *self, const json_t *root)
{
    const json_t *weights = json_object_get(root, "weights"), *clip_ms = json_object_get(root, "clip_ms");
    const int64_t ms = clip_ms == NULL ? ASK_CLIP_MS : whole(clip_ms);
    if ((weights != NULL && !json_is_boolean(weights)) || ms < 0) {
        return refuse("'want' has no use for such values");
    }
    self->type = ASK_WANT;
    self->weights = weights == NULL || json_is_true(weights);
    self->clip_ms = bounded(ms, ASK_CLIP_MS_MIN, ASK_CLIP_MS_MAX);
    return LOOM_OK;
}

static int read_seek(struct ask *self, const json_t *root)
{
    const json_t *n = json_object_get(root, "n");
    const int64_t seq = whole(json_object_get(root, "seq")), frames = n == NULL ? ASK_FRAMES_MAX : whole(n);
    if (seq < 0 || frames < 0) {
        return refuse("'seek' names no frame");
    }
    self->type = ASK_SEEK;
    self->seq = (uint64_t)seq;
    self->n = (size_t)bounded(frames, 1, ASK_FRAMES_MAX);
    return LOOM_OK;
}

static int read_unit(struct ask *self, const json_t *root)
{
    const json_t *name = json_object_get(root, "name");
    const int64_t unit = whole(json_object_get(root, "unit"));
    if (!json_is_string(name) || json_string_length(name) >= sizeof self->name || unit < 0) {
        return refuse("'unit' names no unit");
    }
    self->type = ASK_UNIT;
    snprintf(self->name, sizeof self->name, "%s", json_string_value(name));
    self->unit = (uint64_t)unit;
    return LOOM_OK;
}

int ask_read(struct ask *self, const void *bytes, size_t size)
{
    *self = (struct ask){.type = ASK_WANT};
    json_error_t ignored;
    json_t *root = size > ASK_BYTES_MAX ? NULL : json_loadb(bytes, size, 0, &ignored);
    const char *t = json_string_value(json_object_get(root, "t"));
    int status;
    if (t == NULL) {
        status = refuse("is no JSON object with a type 't'");
    } else if (strcmp(t, "want") == 0) {
        status = read_want(self, root);
    } else if (strcmp(t, "seek") == 0) {
        status = read_seek(self, root);
    } else if (strcmp(t, "unit") == 0) {
        status = read_unit(self, root);
    } else {
        status = refuse("is of no known type");
    }
    json_decref(root);
    return status;
}

/* See say.h. */
#include "say.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

struct said *said_retain(struct said *self)
{
    atomic_fetch_add(&self->references, 1);
    return self;
}

void said_release(struct said **self_p)
{
    struct said *self = *self_p;
    if (self != NULL && atomic_fetch_sub(&self->references, 1) == 1) {
        free(self);
    }
    *self_p = NULL;
}

void say_begin(struct say *self, const char *t)
{
    self->text = NULL;
    self->length = self->n_arrays = 0;
    self->json = open_memstream(&self->text, &self->length);
    self->failed = self->json == NULL;
    if (!self->failed) {
        fprintf(self->json, "{\"t\":\"%s\"", t);
    } else {
        self->json = fopen("/dev/null", "w"); /* so that callers need not look before they write */
    }
}

void say_array(struct say *self, const char *name, const char *dtype, const void *data, size_t rank,
               const size_t *shape)
{
    if (self->n_arrays == SAY_ARRAYS_MAX) {
        self->failed = true;
        return;
    }
    struct say_array *array = &self->arrays[self->n_arrays++];
    snprintf(array->name, sizeof array->name, "%s", name);
    array->dtype = dtype;
    array->data = data;
    array->rank = rank;
    array->bytes = dtype[1] == '1' ? 1 : 4;
    for (size_t i = 0; i < rank; i++) {
        array->shape[i] = shape[i];
        array->bytes *= shape[i];
    }
}

void say_name(char name[SAY_NAME_BYTES], const char *stream, const char *field)
{
    snprintf(name, SAY_NAME_BYTES, "%s/%s", stream, field);
}

void say_number(struct say *self, const char *key, double value)
{
    if (isfinite(value)) {
        fprintf(self->json, ",\"%s\":%.9g", key, value);
    } else {
        fprintf(self->json, ",\"%s\":null", key);
    }
}

void say_text(struct say *self, const char *key, const char *text)
{
    fprintf(self->json, ",\"%s\":", key);
    log_json_string(self->json, text);
}

static void write_arrays(struct say *self)
{
    fputs(",\"arrays\":[", self->json);
    for (size_t i = 0; i < self->n_arrays; i++) {
        const struct say_array *array = &self->arrays[i];
        fprintf(self->json, "%s{\"name\":", i == 0 ? "" : ",");
        log_json_string(self->json, array->name);
        fprintf(self->json, ",\"dtype\":\"%s\",\"shape\":[", array->dtype);
        for (size_t d = 0; d < array->rank; d++) {
            fprintf(self->json, "%s%zu", d == 0 ? "" : ",", array->shape[d]);
        }
        fputs("]}", self->json);
    }
    fputs("]}", self->json);
    while ((4 + (size_t)ftell(self->json)) % 8 != 0) {
        fputc(' ', self->json);
    }
}

static size_t padded(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

/* Put head and arrays into one piece; NULL if memory runs out. */
static struct said *join(const struct say *self)
{
    size_t bytes = 4 + self->length;
    for (size_t i = 0; i < self->n_arrays; i++) {
        bytes += padded(self->arrays[i].bytes);
    }
    struct said *said = malloc(sizeof *said + bytes);
    if (said == NULL) {
        return NULL;
    }
    atomic_init(&said->references, 1);
    said->bytes = bytes;
    uint8_t *at = said->data;
    for (size_t i = 0; i < 4; i++) {
        *at++ = (uint8_t)(self->length >> 8 * i);
    }
    memcpy(at, self->text, self->length);
    at += self->length;
    for (size_t i = 0; i < self->n_arrays; i++) {
        const size_t n = self->arrays[i].bytes, room = padded(n);
        if (n > 0) {
            memcpy(at, self->arrays[i].data, n);
        }
        memset(at + n, 0, room - n);
        at += room;
    }
    return said;
}

int say_finish(struct say *self, struct said **out)
{
    *out = NULL;
    if (self->json != NULL) {
        write_arrays(self);
        self->failed = self->failed || ferror(self->json) != 0;
        self->failed = fclose(self->json) != 0 || self->failed || self->text == NULL;
    }
    if (!self->failed) {
        *out = join(self);
    }
    free(self->text);
    self->text = NULL;
    self->json = NULL;
    return *out != NULL ? LOOM_OK : error_set(LOOM_EINTERNAL, "no memory for a message to the live page");
}

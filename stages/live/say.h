/* Messages to the page: one binary WebSocket message each.
 *
 *     u32 little-endian H | H bytes of JSON, padded with spaces so that (4 + H) % 8 == 0 | arrays
 *
 * The JSON is an object with "t", the type, first and "arrays", a list of {name, dtype, shape}, last; the arrays lie
 * one behind the other, row-major, little-endian, each padded with zeros to a multiple of 8 bytes, so that the page
 * makes typed arrays of them without copying.
 *
 * A finished message never changes: viewers share it, each with a reference of its own. References are counted by
 * atomic operations, since one thread makes messages and another sends them. */
#ifndef LOOM_STAGES_LIVE_SAY_H
#define LOOM_STAGES_LIVE_SAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "error.h"

#define SAY_ARRAYS_MAX 200
#define SAY_NAME_BYTES 96

struct said {
    atomic_uint references;
    size_t bytes;
    uint8_t data[]; /* the message */
};

/* Another reference; returns `self`. */
struct said *said_retain(struct said *self);

/* Give up a reference and null the pointer; harmless on NULL. */
void said_release(struct said **self_p);

/* A message in the making. */
struct say {
    FILE *json; /* write `,"key":value` to it */
    char *text; /* what was written so far; owned */
    size_t length;
    struct say_array {
        char name[SAY_NAME_BYTES];
        const char *dtype;
        size_t shape[3], rank, bytes;
        const void *data;
    } arrays[SAY_ARRAYS_MAX];
    size_t n_arrays;
    bool failed; /* memory ran out, or too many arrays */
};

/* Begin a message of type t (borrowed, plain ASCII). Every say_begin is followed by one say_finish. */
void say_begin(struct say *self, const char *t);

/* Add an array. dtype: "u1", "u4", "i4" or "f4"; shape of `rank` (1 to 3) sizes; data is borrowed until
 * say_finish. */
void say_array(struct say *self, const char *name, const char *dtype, const void *data, size_t rank,
               const size_t *shape);

/* The name of an array: stream/field. */
void say_name(char name[SAY_NAME_BYTES], const char *stream, const char *field);

/* Write `,"key":` and the number; null if it is not finite, which JSON cannot say. */
void say_number(struct say *self, const char *key, double value);
void say_text(struct say *self, const char *key, const char *text);

/* Make the message: *out has one reference, the caller's. LOOM_EINTERNAL if memory ran out; *out is then NULL. */
int say_finish(struct say *self, struct said **out) LOOM_MUST_CHECK;

#endif

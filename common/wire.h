/* Reading MessagePack from strangers: bounded, no allocation, no recursion deeper than WIRE_DEPTH_MAX.
 *
 * A cursor walks over borrowed bytes; every read goes through wire_read, which never looks past the end.
 * Strings and binaries point into those bytes. (Packing is libmsgpack's; its unpacker allocates from what a
 * peer claims.) Source: the MessagePack specification, https://github.com/msgpack/msgpack/blob/master/spec.md
 */
#ifndef LOOM_COMMON_WIRE_H
#define LOOM_COMMON_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_DEPTH_MAX 8

struct wire_cursor {
    const uint8_t *at, *end;
};

enum wire_type {
    WIRE_NIL,
    WIRE_BOOLEAN,
    WIRE_UNSIGNED,
    WIRE_NEGATIVE,
    WIRE_REAL,
    WIRE_TEXT,
    WIRE_BINARY,
    WIRE_ARRAY,
    WIRE_MAP,
    WIRE_OTHER
};

struct wire_value {
    enum wire_type type;
    uint64_t number;      /* WIRE_BOOLEAN, WIRE_UNSIGNED; bytes of text or binary; items of an array or map */
    double real;          /* WIRE_REAL, and any number */
    const uint8_t *bytes; /* WIRE_TEXT, WIRE_BINARY: borrowed, not terminated */
};

/* Read the next value's head, and the bytes of a text or binary. Items of an array or map follow as values of
 * their own. false: the bytes end early or are not MessagePack. */
bool wire_read(struct wire_cursor *cursor, struct wire_value *value);

/* Pass over the next value with all it contains; false as above, or nested deeper than WIRE_DEPTH_MAX. */
bool wire_skip(struct wire_cursor *cursor);

/* Whether a WIRE_TEXT equals `text`. */
bool wire_text_is(const struct wire_value *value, const char *text);

#endif

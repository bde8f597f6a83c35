/* See answer.h. */
#include "answer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RAW_BYTES_SHOWN 16 /* of what is not MessagePack */
#define ITEMS_SHOWN 8      /* of an array */

void answer_init(struct answer *self)
{
    self->parts = self->n = 0;
    self->is_map = self->binary_keys = false;
    zmq_msg_init(&self->message);
}

void answer_fini(struct answer *self)
{
    zmq_msg_close(&self->message);
    answer_init(self);
}

void answer_read(struct answer *self)
{
    const uint8_t *bytes = zmq_msg_data(&self->message);
    struct wire_cursor cursor = {bytes, bytes + zmq_msg_size(&self->message)};
    struct wire_value map;
    self->n = 0;
    self->is_map = wire_read(&cursor, &map) && map.type == WIRE_MAP && map.number <= ANSWER_KEYS_MAX;
    for (uint64_t i = 0; self->is_map && i < map.number; i++) {
        struct answer_pair *pair = &self->pairs[i];
        struct wire_cursor before;
        self->is_map = wire_read(&cursor, &pair->key);
        before = cursor;
        self->is_map = self->is_map && wire_read(&cursor, &pair->value);
        pair->inside = cursor;
        cursor = before;
        self->is_map = self->is_map && wire_skip(&cursor);
        self->binary_keys = self->binary_keys || (self->is_map && pair->key.type == WIRE_BINARY);
        self->n += self->is_map;
    }
    self->is_map = self->is_map && cursor.at == cursor.end;
}

const struct answer_pair *answer_get(const struct answer *self, const char *key)
{
    for (size_t i = 0; i < self->n; i++) {
        if (wire_text_is(&self->pairs[i].key, key)) {
            return &self->pairs[i];
        }
    }
    return NULL;
}

bool answer_has_text(const struct answer *self, const char *key, const char *text)
{
    const struct answer_pair *pair = answer_get(self, key);
    return pair != NULL && wire_text_is(&pair->value, text);
}

bool answer_has_number(const struct answer *self, const char *key, uint64_t number)
{
    const struct answer_pair *pair = answer_get(self, key);
    return pair != NULL && pair->value.type == WIRE_UNSIGNED && pair->value.number == number;
}

/* ---- showing ---- */

struct shown {
    char *text;
    size_t size, used;
};

static void put(struct shown *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct shown *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(self->text + self->used, self->size - self->used, format, arguments);
    va_end(arguments);
    self->used += n > 0 ? (size_t)n : 0;
    if (self->used >= self->size) {
        self->used = self->size - 1;
        memcpy(self->text + self->size - 4, "...", 4);
    }
}

static void show(struct shown *self, struct wire_cursor *cursor, unsigned depth, bool as_key);

static void show_items(struct shown *self, struct wire_cursor *cursor, const struct wire_value *value,
                       unsigned depth)
{
    bool map = value->type == WIRE_MAP;
    put(self, map ? "{" : "[");
    for (uint64_t i = 0; i < value->number && cursor->at < cursor->end; i++) {
        if (i >= ITEMS_SHOWN * (map ? 8U : 1U)) {
            put(self, ", ...");
            break;
        }
        put(self, i == 0 ? "" : ", ");
        if (map) {
            show(self, cursor, depth + 1, true);
            put(self, ": ");
        }
        show(self, cursor, depth + 1, false);
    }
    put(self, map ? "}" : "]");
}

static void show(struct shown *self, struct wire_cursor *cursor, unsigned depth, bool as_key)
{
    struct wire_value value;
    if (depth > WIRE_DEPTH_MAX || self->used + 4 >= self->size || !wire_read(cursor, &value)) {
        cursor->at = cursor->end;
        return;
    }
    switch (value.type) {
    case WIRE_NIL:
        put(self, "nil");
        return;
    case WIRE_BOOLEAN:
        put(self, value.number != 0 ? "true" : "false");
        return;
    case WIRE_UNSIGNED:
        put(self, "%" PRIu64, value.number);
        return;
    case WIRE_NEGATIVE:
        put(self, "%.0f", value.real);
        return;
    case WIRE_REAL:
        put(self, "%.9g%s", value.real, value.real == (double)(int64_t)value.real ? ".0" : "");
        return;
    case WIRE_TEXT:
        put(self, as_key ? "%.*s" : "\"%.*s\"", value.number > 100 ? 100 : (int)value.number,
            (const char *)value.bytes);
        return;
    case WIRE_ARRAY:
    case WIRE_MAP:
        show_items(self, cursor, &value, depth);
        return;
    case WIRE_BINARY:
    case WIRE_OTHER:
        put(self, "<%" PRIu64 " bytes>", value.number);
        return;
    }
}

void answer_show(char *text, size_t size, const void *bytes, size_t n)
{
    struct shown shown = {text, size, 0};
    struct wire_cursor whole = {bytes, (const uint8_t *)bytes + n}, cursor = whole;
    text[0] = '\0';
    if (wire_skip(&whole) && whole.at == whole.end) {
        show(&shown, &cursor, 0, false);
        return;
    }
    put(&shown, "<%zu bytes that are not MessagePack:", n);
    for (size_t i = 0; i < n && i < RAW_BYTES_SHOWN; i++) {
        put(&shown, " %02x", cursor.at[i]);
    }
    put(&shown, n > RAW_BYTES_SHOWN ? " ...>" : ">");
}

const char *answer_type(const struct answer_pair *pair)
{
    static const char *const names[] = {[WIRE_NIL] = "nil",
                                        [WIRE_BOOLEAN] = "a bool",
                                        [WIRE_UNSIGNED] = "a whole number",
                                        [WIRE_REAL] = "a float",
                                        [WIRE_NEGATIVE] = "a negative number",
                                        [WIRE_TEXT] = "a str",
                                        [WIRE_BINARY] = "bytes",
                                        [WIRE_ARRAY] = "a list",
                                        [WIRE_MAP] = "a dict",
                                        [WIRE_OTHER] = "an extension type"};
    return pair == NULL ? "missing" : names[pair->value.type];
}

/* See wire.h. */
#include "wire.h"

#include <string.h>

/* The next `n` bytes, or NULL if there are fewer. The only place that moves the cursor. */
static const uint8_t *take(struct wire_cursor *cursor, uint64_t n)
{
    if (n > (uint64_t)(cursor->end - cursor->at)) {
        return NULL;
    }
    const uint8_t *bytes = cursor->at;
    cursor->at += n;
    return bytes;
}

/* A big-endian number of 1, 2, 4 or 8 bytes. */
static bool take_number(struct wire_cursor *cursor, size_t bytes, uint64_t *number)
{
    const uint8_t *raw = take(cursor, bytes);
    if (raw == NULL) {
        return false;
    }
    *number = 0;
    for (size_t i = 0; i < bytes; i++) {
        *number = *number << 8 | raw[i];
    }
    return true;
}

static bool set_unsigned(struct wire_value *value, uint64_t number)
{
    value->type = WIRE_UNSIGNED;
    value->number = number;
    value->real = (double)number;
    return true;
}

static bool take_signed(struct wire_cursor *cursor, struct wire_value *value, size_t bytes)
{
    uint64_t raw = 0;
    if (!take_number(cursor, bytes, &raw)) {
        return false;
    }
    uint64_t sign = UINT64_C(1) << (8 * bytes - 1);
    if ((raw & sign) == 0) {
        return set_unsigned(value, raw);
    }
    value->type = WIRE_NEGATIVE;
    value->real = -(double)(~raw & (sign - 1)) - 1.0;
    return true;
}

static bool take_real(struct wire_cursor *cursor, struct wire_value *value, size_t bytes)
{
    uint64_t raw = 0;
    if (!take_number(cursor, bytes, &raw)) {
        return false;
    }
    value->type = WIRE_REAL;
    if (bytes == 4) {
        uint32_t half = (uint32_t)raw;
        float single;
        memcpy(&single, &half, sizeof single);
        value->real = (double)single;
    } else {
        memcpy(&value->real, &raw, sizeof raw);
    }
    return true;
}

static bool take_sized(struct wire_cursor *cursor, struct wire_value *value, enum wire_type type,
                       uint64_t size)
{
    value->type = type;
    value->number = size;
    if (type == WIRE_ARRAY || type == WIRE_MAP) {
        return true;
    }
    value->bytes =
        take(cursor, type == WIRE_OTHER ? size + 1 : size); /* an extension has its type in front */
    return value->bytes != NULL;
}

static bool take_long(struct wire_cursor *cursor, struct wire_value *value, enum wire_type type, size_t bytes)
{
    uint64_t size = 0;
    return take_number(cursor, bytes, &size) && take_sized(cursor, value, type, size);
}

bool wire_read(struct wire_cursor *cursor, struct wire_value *value)
{
    *value = (struct wire_value){.type = WIRE_NIL};
    uint64_t head = 0;
    if (!take_number(cursor, 1, &head)) {
        return false;
    }
    if (head <= 0x7F) {
        return set_unsigned(value, head);
    }
    if (head <= 0x8F) {
        return take_sized(cursor, value, WIRE_MAP, head & 0x0F);
    }
    if (head <= 0x9F) {
        return take_sized(cursor, value, WIRE_ARRAY, head & 0x0F);
    }
    if (head <= 0xBF) {
        return take_sized(cursor, value, WIRE_TEXT, head & 0x1F);
    }
    if (head >= 0xE0) {
        value->type = WIRE_NEGATIVE;
        value->real = (double)head - 256.0;
        return true;
    }
    switch (head) {
    case 0xC0:
        return true;
    case 0xC2:
    case 0xC3:
        value->type = WIRE_BOOLEAN;
        value->number = head & 1;
        return true;
    case 0xC4:
    case 0xC5:
    case 0xC6:
        return take_long(cursor, value, WIRE_BINARY, (size_t)1 << (head - 0xC4));
    case 0xC7:
    case 0xC8:
    case 0xC9:
        return take_long(cursor, value, WIRE_OTHER, (size_t)1 << (head - 0xC7));
    case 0xCA:
    case 0xCB:
        return take_real(cursor, value, head == 0xCA ? 4 : 8);
    case 0xCC:
    case 0xCD:
    case 0xCE:
    case 0xCF: {
        uint64_t number = 0;
        return take_number(cursor, (size_t)1 << (head - 0xCC), &number) && set_unsigned(value, number);
    }
    case 0xD0:
    case 0xD1:
    case 0xD2:
    case 0xD3:
        return take_signed(cursor, value, (size_t)1 << (head - 0xD0));
    case 0xD4:
    case 0xD5:
    case 0xD6:
    case 0xD7:
    case 0xD8:
        return take_sized(cursor, value, WIRE_OTHER, UINT64_C(1) << (head - 0xD4));
    case 0xD9:
    case 0xDA:
    case 0xDB:
        return take_long(cursor, value, WIRE_TEXT, (size_t)1 << (head - 0xD9));
    case 0xDC:
    case 0xDD:
        return take_long(cursor, value, WIRE_ARRAY, head == 0xDC ? 2 : 4);
    case 0xDE:
    case 0xDF:
        return take_long(cursor, value, WIRE_MAP, head == 0xDE ? 2 : 4);
    default: /* 0xC1 is never used */
        return false;
    }
}

static bool skip_nested(struct wire_cursor *cursor, unsigned depth)
{
    struct wire_value value;
    if (depth > WIRE_DEPTH_MAX || !wire_read(cursor, &value)) {
        return false;
    }
    if (value.type != WIRE_ARRAY && value.type != WIRE_MAP) {
        return true;
    }
    uint64_t items = value.type == WIRE_MAP ? 2 * value.number : value.number;
    for (uint64_t i = 0; i < items; i++) { /* ends with the bytes, however many are claimed */
        if (!skip_nested(cursor, depth + 1)) {
            return false;
        }
    }
    return true;
}

bool wire_skip(struct wire_cursor *cursor)
{
    return skip_nested(cursor, 0);
}

bool wire_text_is(const struct wire_value *value, const char *text)
{
    return value->type == WIRE_TEXT && value->number == strlen(text) &&
           memcmp(value->bytes, text, value->number) == 0;
}

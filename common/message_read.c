/* Reading messages; see message.h. */
#include <stdio.h>
#include <string.h>

#include "message_types.h"
#include "wire.h"

#define KEYS_MAX 64

static int bad(const char *key, const char *expected)
{
    return error_set(LOOM_EDATA, "malformed message: '%s' is not %s", key, expected);
}

static int get_number(const struct wire_value *value, const char *key, uint64_t *number)
{
    if (value->type != WIRE_UNSIGNED) {
        return bad(key, "a whole number from 0 up");
    }
    *number = value->number;
    return 0;
}

/* A number, or nil for `absent`. */
static int get_number_or_nil(const struct wire_value *value, const char *key, uint64_t absent,
                             uint64_t *number)
{
    if (value->type == WIRE_NIL) {
        *number = absent;
        return 0;
    }
    return get_number(value, key, number);
}

static int get_text(const struct wire_value *value, const char *key, char *text, size_t size)
{
    if (value->type != WIRE_TEXT || value->number >= size ||
        memchr(value->bytes, '\0', value->number) != NULL) {
        char expected[64];
        snprintf(expected, sizeof expected, "a text of fewer than %zu bytes", size);
        return bad(key, expected);
    }
    memcpy(text, value->bytes, value->number);
    text[value->number] = '\0';
    return 0;
}

/* The items of an array of 1 to `most` whole numbers. */
static int get_numbers(struct wire_cursor *cursor, const struct wire_value *value, const char *key,
                       uint64_t *numbers, size_t most, size_t *n)
{
    if (value->type != WIRE_ARRAY || value->number == 0 || value->number > most) {
        return bad(key, "a short list of whole numbers");
    }
    *n = (size_t)value->number;
    for (size_t i = 0; i < *n; i++) {
        struct wire_value item;
        if (!wire_read(cursor, &item) || get_number(&item, key, &numbers[i]) < 0) {
            return bad(key, "a list of whole numbers");
        }
    }
    return 0;
}

static int get_metrics(struct wire_cursor *cursor, const struct wire_value *value, struct message *message)
{
    if (value->type != WIRE_MAP || value->number > STREAM_METRICS_MAX) {
        return bad("metrics", "a map of at most 16 numbers");
    }
    for (size_t i = 0; i < value->number; i++) {
        struct wire_value name, number;
        if (!wire_read(cursor, &name) || !wire_read(cursor, &number) ||
            get_text(&name, "metrics", message->metric_names[i], STREAM_METRIC_NAME_BYTES) < 0 ||
            (number.type != WIRE_REAL && number.type != WIRE_UNSIGNED && number.type != WIRE_NEGATIVE)) {
            return bad("metrics", "a map from names to numbers");
        }
        message->metrics[i] = (struct metric){message->metric_names[i], number.real};
    }
    message->n_metrics = (size_t)value->number;
    return 0;
}

static int get_type(const struct wire_value *value, struct message *message)
{
    for (size_t i = 0; i < MESSAGE_TYPES; i++) {
        if (wire_text_is(value, message_type_names[i])) {
            message->type = (enum message_type)i;
            return 0;
        }
    }
    return bad("t", "a known type");
}

static int get_kind(const struct wire_value *value, struct stream_info *info)
{
    for (int kind = STREAM_FRAMES; kind <= STREAM_ACTIVATIONS; kind++) {
        if (wire_text_is(value, stream_kind_name((enum stream_kind)kind))) {
            info->kind = (enum stream_kind)kind;
            return 0;
        }
    }
    return bad("kind", "frames, codes or activations");
}

static int get_dtype(const struct wire_value *value, struct stream_info *info)
{
    info->dtype = wire_text_is(value, "u1") ? STREAM_U1 : STREAM_F4;
    return info->dtype == STREAM_U1 || wire_text_is(value, "f4") ? 0 : bad("dtype", "u1 or f4");
}

/* What a message's shape means depends on its kind, which may come later: kept until the end. */
struct shapes {
    uint64_t shape[2], grid[2], input[2];
    size_t n_shape, n_grid, n_input;
};

/* Take over one key's value. *known: false if the key is not ours. */
static int read_key(struct wire_cursor *cursor, const struct wire_value *key, const struct wire_value *value,
                    struct message *message, struct shapes *shapes, bool *known)
{
    struct stream_info *info = &message->info;
    *known = true;
    if (wire_text_is(key, "t")) {
        return get_type(value, message);
    }
    const struct {
        const char *key;
        uint64_t *number;
    } numbers[] = {
        {"seq", &message->seq},   {"from", &message->seq},  {"n", &message->n},
        {"base", &message->base}, {"head", &message->head}, {"count", &message->count},
        {"rows", &message->rows}, {"cols", &message->cols},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (wire_text_is(key, numbers[i].key)) {
            return get_number(value, numbers[i].key, numbers[i].number);
        }
    }
    const struct {
        const char *key;
        uint64_t absent;
        uint64_t *number;
    } optional[] = {
        {"ack", UINT64_MAX, &message->ack},
        {"total", UINT64_MAX, &info->total},
        {"ring", UINT64_MAX, &info->ring},
        {"block", 0, &info->block},
    };
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++) {
        if (wire_text_is(key, optional[i].key)) {
            return get_number_or_nil(value, optional[i].key, optional[i].absent, optional[i].number);
        }
    }
    const struct {
        const char *key;
        char *text;
        size_t size;
    } texts[] = {
        {"id", info->id, sizeof info->id},          {"stage", info->stage, sizeof info->stage},
        {"name", info->name, sizeof info->name},    {"body", info->body, sizeof info->body},
        {"who", message->who, sizeof message->who}, {"why", message->why, sizeof message->why},
        {"layer", info->layer, sizeof info->layer}, {"serves", message->serves, sizeof message->serves},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (wire_text_is(key, texts[i].key)) {
            return get_text(value, texts[i].key, texts[i].text, texts[i].size);
        }
    }
    if (wire_text_is(key, "pass")) { /* frames a pass in a description, passes done elsewhere */
        int status = get_number_or_nil(value, "pass", 0, &message->pass);
        info->pass = message->pass;
        return status;
    }
    if (wire_text_is(key, "kind")) {
        return get_kind(value, info);
    }
    if (wire_text_is(key, "dtype")) {
        return get_dtype(value, info);
    }
    if (wire_text_is(key, "eos") || wire_text_is(key, "at")) {
        if (value->type == WIRE_BOOLEAN) {
            *(key->number == 3 ? &message->eos : &info->at) = value->number != 0;
            return 0;
        }
        *known = value->type == WIRE_BINARY ? false : true; /* `at` is also a field of frames */
        return *known ? bad(key->number == 3 ? "eos" : "at", "true or false") : 0;
    }
    if (wire_text_is(key, "repeats")) {
        info->repeats = value->type == WIRE_BOOLEAN && value->number != 0;
        return value->type == WIRE_BOOLEAN ? 0 : bad("repeats", "true or false");
    }
    if (wire_text_is(key, "shape")) {
        return get_numbers(cursor, value, "shape", shapes->shape, 2, &shapes->n_shape);
    }
    if (wire_text_is(key, "grid")) {
        return get_numbers(cursor, value, "grid", shapes->grid, 2, &shapes->n_grid);
    }
    if (wire_text_is(key, "input")) {
        return get_numbers(cursor, value, "input", shapes->input, 2, &shapes->n_input);
    }
    if (wire_text_is(key, "metrics")) {
        return get_metrics(cursor, value, message);
    }
    *known = false;
    return 0;
}

/* A description's shape and grid, by its kind. */
static int settle_stream(struct stream_info *info, const struct shapes *shapes)
{
    size_t expected = info->kind == STREAM_FRAMES ? 2 : 1;
    if (info->name[0] == '\0') { /* a stranger's need not say */
        snprintf(info->name, sizeof info->name, "stream");
    }
    if (info->stage[0] == '\0') {
        snprintf(info->stage, sizeof info->stage, "external");
    }
    if (info->kind == STREAM_NONE || shapes->n_shape != expected) {
        return error_set(LOOM_EDATA,
                         "malformed message: a description needs 'kind' and a 'shape' of %zu number%s",
                         expected, expected == 1 ? "" : "s");
    }
    if (info->kind == STREAM_FRAMES) {
        info->height = shapes->shape[0];
        info->width = shapes->shape[1];
        return stream_info_check(info);
    }
    if (shapes->n_grid == 2) {
        info->grid_x = shapes->grid[0];
        info->grid_y = shapes->grid[1];
    } else if (info->kind == STREAM_ACTIVATIONS) {
        info->grid_x = shapes->shape[0];
        info->grid_y = 1;
    } else {
        return error_set(LOOM_EDATA,
                         "malformed message: a description of codes needs the 'grid' of the units");
    }
    info->winners = info->kind == STREAM_CODES ? shapes->shape[0] : 0;
    if (info->kind == STREAM_ACTIVATIONS &&
        (info->grid_y == 0 || info->grid_x != shapes->shape[0] / info->grid_y ||
         shapes->shape[0] % info->grid_y != 0)) {
        return error_set(LOOM_EDATA, "malformed message: 'grid' does not have as many units as 'shape' says");
    }
    return stream_info_check(info);
}

static int settle_weights(struct message *message, const struct shapes *shapes)
{
    const struct message_field *data = message->n_fields == 1 ? &message->fields[0] : NULL;
    uint64_t most = (uint64_t)MESSAGE_REPLY_MAX / sizeof(float);
    if (data == NULL || shapes->n_grid != 2 || shapes->n_input != 2 || message->rows == 0 ||
        message->cols == 0 || message->rows > most / message->cols ||
        message->rows * message->cols * sizeof(float) != data->bytes || shapes->grid[0] == 0 ||
        message->rows / shapes->grid[0] != shapes->grid[1] || message->rows % shapes->grid[0] != 0 ||
        shapes->input[0] == 0 || message->cols / shapes->input[0] != shapes->input[1] ||
        message->cols % shapes->input[0] != 0) {
        return error_set(LOOM_EDATA, "malformed message: the weights do not have the shape that they claim");
    }
    message->info.grid_x = shapes->grid[0];
    message->info.grid_y = shapes->grid[1];
    message->input_width = shapes->input[0];
    message->input_height = shapes->input[1];
    return 0;
}

/* Start of the map: how many keys, and protocol version 1 somewhere among them is checked as they come. */
static int read_pairs(struct wire_cursor *cursor, uint64_t pairs, struct message *message,
                      struct shapes *shapes)
{
    bool versioned = false, typed = false;
    for (uint64_t i = 0; i < pairs; i++) {
        struct wire_value key, value;
        struct wire_cursor before;
        if (!wire_read(cursor, &key) || key.type != WIRE_TEXT ||
            (before = *cursor, !wire_read(cursor, &value))) {
            return error_set(LOOM_EDATA, "malformed message: not a MessagePack map with texts as keys");
        }
        if (wire_text_is(&key, "v")) {
            if (value.type != WIRE_UNSIGNED || value.number != MESSAGE_VERSION) {
                return error_set(LOOM_EDATA, "malformed message: 'v' is not %d, the protocol's version",
                                 MESSAGE_VERSION);
            }
            versioned = true;
            continue;
        }
        typed = typed || wire_text_is(&key, "t");
        bool known = false;
        int status = read_key(cursor, &key, &value, message, shapes, &known);
        if (status < 0) {
            return status;
        }
        if (!known && value.type == WIRE_BINARY &&
            message->n_fields < sizeof message->fields / sizeof message->fields[0]) {
            message->fields[message->n_fields++] = (struct message_field){
                (const char *)key.bytes, (size_t)key.number, value.bytes, (size_t)value.number};
        } else if (!known) {
            *cursor = before;
            if (!wire_skip(cursor)) {
                return error_set(LOOM_EDATA, "malformed message: it ends early or is nested too deeply");
            }
        }
    }
    return versioned && typed ? 0 : error_set(LOOM_EDATA, "malformed message: it has no 'v' or no 't'");
}

int message_read(struct message *message, const void *bytes, size_t size)
{
    memset(message, 0, sizeof *message);
    message->ack = UINT64_MAX;
    message->info = (struct stream_info){.dtype = STREAM_F4, .total = UINT64_MAX, .ring = UINT64_MAX};
    struct wire_cursor cursor = {bytes, (const uint8_t *)bytes + size};
    struct wire_value map;
    if (!wire_read(&cursor, &map) || map.type != WIRE_MAP || map.number > KEYS_MAX) {
        return error_set(LOOM_EDATA, "malformed message: not a MessagePack map of at most %d keys", KEYS_MAX);
    }
    struct shapes shapes = {.n_shape = 0};
    int status = read_pairs(&cursor, map.number, message, &shapes);
    if (status < 0) {
        return status;
    }
    if (cursor.at != cursor.end) {
        return error_set(LOOM_EDATA, "malformed message: bytes follow behind the map");
    }
    if (message->type == MESSAGE_STREAM) {
        if (message->info.block == 0) {
            message->info.block = 256;
        }
        return settle_stream(&message->info, &shapes);
    }
    return message->type == MESSAGE_WEIGHTS ? settle_weights(message, &shapes) : 0;
}

int message_rows(const struct message *message, const struct stream_info *info,
                 const uint8_t *rows[STREAM_FIELDS_MAX])
{
    struct stream_field fields[STREAM_FIELDS_MAX] = {{.row_bytes = 0}};
    size_t n_fields = stream_fields(info, fields);
    for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
        rows[f] = NULL;
    }
    for (size_t f = 0; f < n_fields; f++) {
        for (size_t i = 0; i < message->n_fields; i++) {
            const struct message_field *field = &message->fields[i];
            if (field->name_bytes == strlen(fields[f].name) &&
                memcmp(field->name, fields[f].name, field->name_bytes) == 0 &&
                field->bytes % fields[f].row_bytes == 0 && field->bytes / fields[f].row_bytes == message->n) {
                rows[f] = field->data;
            }
        }
        if (rows[f] == NULL && message->n > 0) {
            return error_set(
                LOOM_EDATA, "stream %s: frames %ju on: field '%s' is missing or is not %ju rows of %zu bytes",
                info->name, (uintmax_t)message->seq, fields[f].name, (uintmax_t)message->n,
                fields[f].row_bytes);
        }
    }
    return 0;
}

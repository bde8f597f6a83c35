/* See stream.h. */
#include "stream.h"

#include <inttypes.h>
#include <string.h>

#define SIDE_MAX 65535
#define PIXELS_MAX ((size_t)1 << 24)
#define UNITS_MAX ((size_t)1 << 24)
#define BLOCK_MAX ((uint64_t)1 << 20)

size_t stream_fields(const struct stream_info *info, struct stream_field fields[STREAM_FIELDS_MAX])
{
    size_t n = 0;
    switch (info->kind) {
    case STREAM_FRAMES:
        fields[n++] =
            (struct stream_field){"data", info->height * info->width *
                                              (info->dtype == STREAM_U1 ? sizeof(uint8_t) : sizeof(float))};
        if (info->at) {
            fields[n++] = (struct stream_field){"at", 2 * sizeof(int32_t)};
        }
        break;
    case STREAM_CODES:
        fields[n++] = (struct stream_field){"index", info->winners * sizeof(uint32_t)};
        fields[n++] = (struct stream_field){"value", info->winners * sizeof(float)};
        break;
    case STREAM_ACTIVATIONS:
        fields[n++] = (struct stream_field){"data", info->grid_x * info->grid_y * sizeof(float)};
        break;
    case STREAM_NONE:
    case STREAM_ANY:
        break;
    }
    return n;
}

uint64_t stream_block_start(const struct stream_info *info, uint64_t seq, uint64_t step)
{
    uint64_t in_pass = info->pass == 0 ? seq : seq % info->pass;
    return seq - in_pass % step;
}

uint64_t stream_block_end(const struct stream_info *info, uint64_t seq, uint64_t step)
{
    uint64_t in_pass = info->pass == 0 ? seq : seq % info->pass;
    uint64_t n = step - in_pass % step;
    if (info->pass > 0 && n > info->pass - in_pass) {
        n = info->pass - in_pass;
    }
    return info->total - seq < n ? info->total : seq + n;
}

bool stream_same_form(const struct stream_info *a, const struct stream_info *b)
{
    return strcmp(a->id, b->id) == 0 && a->kind == b->kind && a->dtype == b->dtype &&
           a->height == b->height && a->width == b->width && a->winners == b->winners &&
           a->grid_x == b->grid_x && a->grid_y == b->grid_y && a->at == b->at;
}

const char *stream_kind_name(enum stream_kind kind)
{
    switch (kind) {
    case STREAM_FRAMES:
        return "frames";
    case STREAM_CODES:
        return "codes";
    case STREAM_ACTIVATIONS:
        return "activations";
    case STREAM_ANY:
        return "any";
    case STREAM_NONE:
        break;
    }
    return "none";
}

/* A text of the description: ended by a NUL within its `size` bytes, not empty, printable ASCII without a
 * slash (it becomes a name in files). */
static int check_text(const char *what, const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    if (length == size) {
        return error_set(LOOM_EDATA, "the stream's %s is longer than %zu bytes", what, size - 1);
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] < ' ' || text[i] > '~' || text[i] == '/') {
            return error_set(LOOM_EDATA,
                             "byte %zu of the stream's %s is 0x%02x; printable ASCII without '/' is needed",
                             i, what, (unsigned char)text[i]);
        }
    }
    return LOOM_OK;
}

static int check_frames(const struct stream_info *info)
{
    if (info->dtype != STREAM_U1 && info->dtype != STREAM_F4) {
        return error_set(LOOM_EDATA, "frames of stream %s are neither u1 nor f4", info->name);
    }
    if (info->height < 1 || info->height > SIDE_MAX || info->width < 1 || info->width > SIDE_MAX) {
        return error_set(LOOM_EDATA, "frames of stream %s are %zu x %zu; each side must be 1 to %d",
                         info->name, info->height, info->width, SIDE_MAX);
    }
    if (info->height * info->width > PIXELS_MAX) {
        return error_set(LOOM_EDATA, "frames of stream %s are %zu x %zu: more than %zu pixels", info->name,
                         info->height, info->width, PIXELS_MAX);
    }
    return LOOM_OK;
}

static int check_units(const struct stream_info *info)
{
    if (info->dtype != STREAM_F4) {
        return error_set(LOOM_EDATA, "%s of stream %s are not f4", stream_kind_name(info->kind), info->name);
    }
    if (info->at) {
        return error_set(LOOM_EDATA, "stream %s is of kind %s but claims window positions", info->name,
                         stream_kind_name(info->kind));
    }
    if (info->grid_x < 1 || info->grid_y < 1 || info->grid_x > UNITS_MAX / info->grid_y) {
        return error_set(LOOM_EDATA, "the grid of stream %s is %zu x %zu; it must have 1 to %zu units",
                         info->name, info->grid_x, info->grid_y, UNITS_MAX);
    }
    if (info->kind == STREAM_CODES && (info->winners < 1 || info->winners > info->grid_x * info->grid_y)) {
        return error_set(LOOM_EDATA, "codes of stream %s have %zu winners; 1 to %zu are possible", info->name,
                         info->winners, info->grid_x * info->grid_y);
    }
    return LOOM_OK;
}

int stream_info_check(const struct stream_info *info)
{
    int status = check_text("name", info->name, sizeof info->name);
    if (status == LOOM_OK) {
        status = check_text("stage", info->stage, sizeof info->stage);
    }
    if (status == LOOM_OK) {
        status = check_text("id", info->id, sizeof info->id);
    }
    if (status == LOOM_OK) {
        status = check_text("body", info->body, sizeof info->body);
    }
    if (status == LOOM_OK) {
        status = check_text("layer", info->layer, sizeof info->layer);
    }
    if (status != LOOM_OK) {
        return status;
    }
    if (info->name[0] == '\0' || info->stage[0] == '\0' || info->id[0] == '\0') {
        return error_set(LOOM_EDATA, "the stream has no %s",
                         info->name[0] == '\0'    ? "name"
                         : info->stage[0] == '\0' ? "stage"
                                                  : "id");
    }
    if (info->kind == STREAM_FRAMES) {
        status = check_frames(info);
    } else if (info->kind == STREAM_CODES || info->kind == STREAM_ACTIVATIONS) {
        status = check_units(info);
    } else {
        return error_set(LOOM_EDATA, "stream %s is of the unknown kind %d", info->name, (int)info->kind);
    }
    if (status != LOOM_OK) {
        return status;
    }
    if (info->block < 1 || info->block > BLOCK_MAX) {
        return error_set(LOOM_EDATA,
                         "stream %s has blocks of %" PRIu64 " frames; 1 to %" PRIu64 " are possible",
                         info->name, info->block, BLOCK_MAX);
    }
    if (info->pass > info->total && info->total != 0) {
        return error_set(LOOM_EDATA,
                         "stream %s has passes of %" PRIu64 " frames but %" PRIu64 " frames in all",
                         info->name, info->pass, info->total);
    }
    return LOOM_OK;
}

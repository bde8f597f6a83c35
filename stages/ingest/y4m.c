/* See y4m.h. */
#include "y4m.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "image.h"

/* The colour spaces of 8 bits: how many samples of each of the two colours a picture has, and whether there
 * is a plane of opacity. */
static const struct space {
    const char *name;
    size_t across, down; /* luma samples for one of colour; 0: no colour */
    bool alpha;
} spaces[] = {
    {"420", 2, 2, false},      {"420jpeg", 2, 2, false}, {"420mpeg2", 2, 2, false},
    {"420paldv", 2, 2, false}, {"411", 4, 1, false},     {"422", 2, 1, false},
    {"444", 1, 1, false},      {"444alpha", 1, 1, true}, {"mono", 0, 0, false},
};

/* A header line that starts with `magic` and then a space or the end: *end is its line feed. *used 0: not all
 * there. */
static int find_line(const uint8_t *bytes, size_t n, const char *magic, const uint8_t **end, size_t *used)
{
    size_t length = strlen(magic), most = n < Y4M_LINE_MAX ? n : Y4M_LINE_MAX;
    *used = 0;
    if (memcmp(bytes, magic, n < length ? n : length) != 0 ||
        (n > length && bytes[length] != ' ' && bytes[length] != '\n')) {
        return error_set(LOOM_EDATA,
                         "'%s' was expected, but something else came; is the input y4m, and whole?", magic);
    }
    *end = memchr(bytes, '\n', most);
    if (*end == NULL && n >= Y4M_LINE_MAX) {
        return error_set(LOOM_EDATA, "a y4m header of more than %d bytes is not accepted", Y4M_LINE_MAX);
    }
    *used = *end == NULL ? 0 : (size_t)(*end - bytes) + 1;
    return 0;
}

/* A side: decimal digits only. false: it is none, or too large. */
static bool read_side(const uint8_t *at, const uint8_t *end, size_t *side)
{
    size_t value = 0;
    for (const uint8_t *c = at; c < end; c++) {
        if (*c < '0' || *c > '9' || value > IMAGE_SIDE_MAX) {
            return false;
        }
        value = value * 10 + (size_t)(*c - '0');
    }
    *side = value;
    return end > at && value >= 1 && value <= IMAGE_SIDE_MAX;
}

static const struct space *find_space(const uint8_t *at, const uint8_t *end)
{
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++) {
        size_t length = strlen(spaces[i].name);
        if ((size_t)(end - at) == length && memcmp(at, spaces[i].name, length) == 0) {
            return &spaces[i];
        }
    }
    return NULL;
}

/* One word of the header, from its letter to before `end`. Width, height and colour count; the rest is passed
 * over. */
static int read_word(const uint8_t *at, const uint8_t *end, struct y4m *header, const struct space **space)
{
    size_t *side = *at == 'W' ? &header->width : *at == 'H' ? &header->height : NULL;
    if (side != NULL && (*side != 0 || !read_side(at + 1, end, side))) {
        return error_set(LOOM_EDATA, "the y4m header's %c is not one number from 1 to %d", *at,
                         IMAGE_SIDE_MAX);
    }
    if (*at != 'C') {
        return 0;
    }
    if (*space != NULL) {
        return error_set(LOOM_EDATA, "the y4m header has two colour spaces");
    }
    *space = find_space(at + 1, end);
    if (*space == NULL) {
        char shown[32];
        snprintf(shown, sizeof shown, "%.*s", (int)(end - at - 1), (const char *)at + 1);
        return error_set(
            LOOM_EDATA,
            "y4m of colour space '%s' is not accepted, only of 8 bits a sample; let ffmpeg make it "
            "with -pix_fmt gray",
            shown);
    }
    return 0;
}

int y4m_read_header(const uint8_t *bytes, size_t n, struct y4m *header, size_t *used)
{
    static const char magic[] = "YUV4MPEG2";
    const uint8_t *end = NULL;
    const struct space *space = NULL;
    *header = (struct y4m){0};
    int status = find_line(bytes, n, magic, &end, used);
    if (status < 0 || *used == 0) {
        return status;
    }
    for (const uint8_t *at = bytes + strlen(magic); status == 0 && at < end;) {
        const uint8_t *start = at + 1, *stop = start; /* at is a space */
        while (stop < end && *stop != ' ') {
            stop++;
        }
        status = stop > start ? read_word(start, stop, header, &space) : 0;
        at = stop;
    }
    if (status < 0) {
        return status;
    }
    if (header->width == 0 || header->height == 0) {
        return error_set(LOOM_EDATA, "the y4m header does not say how large the pictures are (W, H)");
    }
    space = space == NULL ? &spaces[0] : space;
    if (space->across > 0) {
        size_t across = (header->width + space->across - 1) / space->across;
        size_t down = (header->height + space->down - 1) / space->down;
        header->chroma_bytes = 2 * across * down + (space->alpha ? header->width * header->height : 0);
    }
    return 0;
}

int y4m_read_frame(const uint8_t *bytes, size_t n, size_t *used)
{
    const uint8_t *end = NULL;
    return find_line(bytes, n, "FRAME", &end, used);
}

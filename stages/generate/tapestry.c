/* See tapestry.h. The IDX format: http://yann.lecun.com/exdb/mnist (magic number 0x00000803, then the number
 * of images, rows and columns, all 32 bits with the largest byte first, then the pixels). */
#include "tapestry.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "image.h"

enum { IDX_MAGIC = 0x803, IDX_LABELS_MAGIC = 0x801, IDX_HEADER_BYTES = 16 };

static const uint8_t png_signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

/* ---- a picture of one period, made ready for cutting ---- */

/* One period (period_y rows, `stride` elements apart) to a held picture, wrapped around. */
static void wrap(const struct tapestry *self, uint8_t *out, const uint8_t *period, size_t stride, size_t size)
{
    for (size_t y = 0; y < self->period_y + self->window; y++) {
        uint8_t *row = out + y * self->stride * size;
        const uint8_t *from = period + y % self->period_y * stride * size;
        for (size_t x = 0; x < self->stride; x += self->period_x) {
            const size_t left = self->stride - x;
            memcpy(row + x * size, from, (left < self->period_x ? left : self->period_x) * size);
        }
    }
}

/* Fill *self from one period, bytes or values. */
static int hold_period(struct tapestry *self, const struct tapestry_config *config, const uint8_t *bytes,
                       const float *values, size_t period_x, size_t period_y, size_t stride)
{
    const size_t size = bytes != NULL ? sizeof *bytes : sizeof *values;
    self->period_x = period_x;
    self->period_y = period_y;
    self->window = config->window;
    self->stride = period_x + config->window;
    const size_t rows = period_y + config->window;
    if (config->window > IMAGE_SIDE_MAX || rows * self->stride > 2 * IMAGE_PIXELS_MAX) {
        return error_set(LOOM_EUSAGE, "a window of %zu pixels is too large for the tapestry %s",
                         config->window, config->path);
    }
    void *held = malloc(rows * self->stride * size);
    if (held == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the tapestry %s (%zu x %zu pixels)", config->path,
                         period_x, period_y);
    }
    if (bytes != NULL) {
        self->bytes = held;
    } else {
        self->values = held;
    }
    wrap(self, held, bytes != NULL ? bytes : (const uint8_t *)values, stride, size);
    return LOOM_OK;
}

/* ---- PNG ---- */

/* Whether the last `tile` rows and columns of a picture repeat the first ones. */
static bool repeats(const float *values, size_t width, size_t height, size_t tile)
{
    if (tile == 0 || tile >= width || tile >= height) {
        return false;
    }
    if (memcmp(values, values + (height - tile) * width, tile * width * sizeof *values) != 0) {
        return false;
    }
    for (size_t y = 0; y < height; y++) {
        if (memcmp(values + y * width, values + (y + 1) * width - tile, tile * sizeof *values) != 0) {
            return false;
        }
    }
    return true;
}

/* The values as bytes (value / 255), malloc'ed; NULL where bytes do not hold them exactly, or memory runs
 * out. */
static uint8_t *as_bytes(const float *values, size_t n)
{
    uint8_t *bytes = malloc(n);
    if (bytes != NULL && !image_grey_to_bytes(bytes, values, n)) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

static int read_png(struct tapestry *self, const struct tapestry_config *config)
{
    float *values;
    size_t width, height;
    int status = image_read_grey(config->path, &values, &width, &height);
    if (status != LOOM_OK) {
        return status;
    }
    const size_t tile = config->tile != 0 ? config->tile : TAPESTRY_TILE;
    const size_t overlap = repeats(values, width, height, tile) ? tile : 0;
    uint8_t *bytes = as_bytes(values, width * height);
    status = hold_period(self, config, bytes, values, width - overlap, height - overlap, width);
    free(bytes);
    free(values);
    return status;
}

/* ---- IDX ---- */

struct idx {
    const char *path;
    gzFile file;
    size_t images, height, width;
};

static int read_exactly(const struct idx *self, uint8_t *out, size_t n)
{
    for (size_t done = 0; done < n;) {
        const size_t left = n - done;
        const int got = gzread(self->file, out + done, (unsigned)(left < (1 << 20) ? left : 1 << 20));
        int code;
        const char *why = gzerror(self->file, &code);
        if (got < 0 || (code != Z_OK && code != Z_BUF_ERROR && code != Z_STREAM_END)) {
            return error_set(code == Z_ERRNO ? LOOM_EIO : LOOM_EDATA, "cannot read the IDX file %s: %s",
                             self->path, code == Z_ERRNO ? strerror(errno) : why);
        }
        if (got == 0) {
            return error_set(LOOM_EDATA, "the IDX file %s ends too early; fetch or unpack it again",
                             self->path);
        }
        done += (size_t)got;
    }
    return LOOM_OK;
}

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Read the header; check that the file, as it describes itself, has what the configuration asks for. */
static int read_header(struct idx *self, const struct tapestry_config *config)
{
    uint8_t header[IDX_HEADER_BYTES];
    const int status = read_exactly(self, header, sizeof header);
    if (status != LOOM_OK) {
        return status;
    }
    const uint32_t magic = big_endian(header);
    if (magic != IDX_MAGIC) {
        return error_set(LOOM_EDATA, "%s is neither a PNG nor an IDX file of grey images%s", self->path,
                         magic == IDX_LABELS_MAGIC ? ": it holds labels; give the file of the images" : "");
    }
    self->images = big_endian(header + 4);
    self->height = big_endian(header + 8);
    self->width = big_endian(header + 12);
    if (self->height == 0 || self->width == 0 || self->height > IMAGE_SIDE_MAX ||
        self->width > IMAGE_SIDE_MAX) {
        return error_set(LOOM_EDATA, "the IDX file %s claims images of %zu x %zu pixels, which cannot be",
                         self->path, self->width, self->height);
    }
    if (config->tile != 0 && (config->tile != self->width || config->tile != self->height)) {
        return error_set(LOOM_EUSAGE,
                         "the images in %s have %zu x %zu pixels, not %zu x %zu; leave out `tile`",
                         self->path, self->width, self->height, config->tile, config->tile);
    }
    const size_t side = config->side;
    if (side < 2 || side > IMAGE_SIDE_MAX / self->height || side > IMAGE_SIDE_MAX / self->width ||
        side * side * self->height * self->width > IMAGE_PIXELS_MAX) {
        return error_set(
            LOOM_EUSAGE,
            "a tapestry of %zu x %zu images of %zu x %zu pixels from %s is out of range; the sides must be"
            " 2 to %d and all of it at most 2^28 pixels",
            side, side, self->width, self->height, self->path, IMAGE_SIDE_MAX);
    }
    if (config->first > self->images || self->images - config->first < side * side) {
        return error_set(LOOM_EUSAGE,
                         "%s has %zu images; a tapestry of %zu x %zu from image %zu on needs %zu", self->path,
                         self->images, side, side, config->first, config->first + side * side);
    }
    return LOOM_OK;
}

/* Read on to the end of the images: only there does gzip's checksum show whether all before it was right. */
static int check_rest(const struct idx *self, uint8_t *scratch, size_t n)
{
    size_t left = self->images * self->height * self->width - n;
    while (left > 0) {
        const size_t part = left < self->height * self->width ? left : self->height * self->width;
        const int status = read_exactly(self, scratch, part);
        if (status != LOOM_OK) {
            return status;
        }
        left -= part;
    }
    int code = Z_OK;
    (void)gzread(self->file, scratch, 1);
    gzerror(self->file, &code); /* also Z_BUF_ERROR: cut off within the checksum */
    if (code != Z_OK) {
        return error_set(LOOM_EDATA, "the gzip file %s is damaged or cut short; fetch it again", self->path);
    }
    return LOOM_OK;
}

/* One period into `out` (period_y x period_x). */
static int read_tiles(const struct idx *self, uint8_t *out, const struct tapestry_config *config)
{
    const size_t side = config->side, tile_bytes = self->height * self->width;
    const size_t stride = (side - 1) * self->width;
    const size_t skipped = config->first * tile_bytes;
    uint8_t *tile = malloc(tile_bytes);
    if (tile == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for an image of %s", self->path);
    }
    int status = LOOM_OK;
    if (gzseek(self->file, (z_off_t)(IDX_HEADER_BYTES + skipped), SEEK_SET) < 0) {
        status =
            error_set(LOOM_EDATA, "the IDX file %s ends too early; fetch or unpack it again", self->path);
    }
    for (size_t i = 0; i < side * side && status == LOOM_OK; i++) {
        status = read_exactly(self, tile, tile_bytes);
        const size_t column = i / side, row = i % side;
        if (column == side - 1 || row == side - 1) {
            continue; /* covered by the first column and row */
        }
        for (size_t y = 0; y < self->height; y++) {
            memcpy(out + (row * self->height + y) * stride + column * self->width, tile + y * self->width,
                   self->width);
        }
    }
    if (status == LOOM_OK && !gzdirect(self->file)) {
        status = check_rest(self, tile, skipped + side * side * tile_bytes);
    }
    free(tile);
    return status;
}

static int read_idx(struct tapestry *self, const struct tapestry_config *config)
{
    struct idx idx = {.path = config->path, .file = gzopen(config->path, "rb")};
    uint8_t *period = NULL;
    if (idx.file == NULL) {
        return error_set(LOOM_EIO, "cannot read the tapestry %s: %s", config->path, strerror(errno));
    }
    int status = read_header(&idx, config);
    if (status != LOOM_OK) {
        goto done;
    }
    const size_t period_x = (config->side - 1) * idx.width, period_y = (config->side - 1) * idx.height;
    period = malloc(period_x * period_y);
    if (period == NULL) {
        status = error_set(LOOM_EINTERNAL, "no memory for the tapestry %s", config->path);
        goto done;
    }
    status = read_tiles(&idx, period, config);
    if (status == LOOM_OK) {
        status = hold_period(self, config, period, NULL, period_x, period_y, period_x);
    }
done:
    free(period);
    gzclose_r(idx.file);
    return status;
}

/* ---- public ---- */

int tapestry_init(struct tapestry *self, const struct tapestry_config *config)
{
    *self = (struct tapestry){0};
    struct stat file_status;
    if (stat(config->path, &file_status) != 0) {
        return error_set(LOOM_EIO, "cannot read the tapestry %s: %s", config->path, strerror(errno));
    }
    if (!S_ISREG(file_status.st_mode)) {
        return error_set(LOOM_EIO, "cannot read the tapestry %s: it is not a regular file", config->path);
    }
    FILE *file = fopen(config->path, "rbe");
    if (file == NULL) {
        return error_set(LOOM_EIO, "cannot read the tapestry %s: %s", config->path, strerror(errno));
    }
    uint8_t start[sizeof png_signature] = {0};
    const size_t n = fread(start, 1, sizeof start, file);
    fclose(file);
    if (n == 0) {
        return error_set(LOOM_EDATA, "the tapestry %s is empty", config->path);
    }
    const bool png = memcmp(start, png_signature, sizeof start) == 0;
    const int status = png ? read_png(self, config) : read_idx(self, config);
    if (status != LOOM_OK) {
        tapestry_fini(self);
    }
    return status;
}

void tapestry_fini(struct tapestry *self)
{
    free(self->bytes);
    free(self->values);
    *self = (struct tapestry){0};
}

void tapestry_cut(const struct tapestry *self, void *out, size_t x, size_t y)
{
    const size_t size = self->bytes != NULL ? sizeof *self->bytes : sizeof *self->values;
    const uint8_t *held = self->bytes != NULL ? self->bytes : (const uint8_t *)self->values;
    for (size_t row = 0; row < self->window; row++) {
        memcpy((uint8_t *)out + row * self->window * size, held + ((y + row) * self->stride + x) * size,
               self->window * size);
    }
}

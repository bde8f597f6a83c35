/* See image.h. libpng reports by longjmp: everything that must survive a jump lives in a struct outside the
 * function that calls setjmp. */
#include "image.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* Luminance of linear red, green, blue, ITU-R BT.709, in ten-thousandths: in integers, so that equal channels
 * give exactly their own value. */
enum { LUMINANCE_RED = 2126, LUMINANCE_GREEN = 7152, LUMINANCE_BLUE = 722, LUMINANCE_SUM = 10000 };

enum { CHUNK_BYTES_MAX = 8 << 20 }; /* of a chunk that is not the picture itself: colour profiles, texts */

int image_init(struct image *self, size_t width, size_t height, size_t channels, uint8_t value)
{
    *self = (struct image){0};
    if (width == 0 || height == 0 || width > IMAGE_SIDE_MAX || height > IMAGE_SIDE_MAX ||
        width * height > IMAGE_PIXELS_MAX) {
        return error_set(LOOM_EDATA,
                         "a picture of %zu x %zu pixels cannot be made; each side must be 1 to %d and the"
                         " whole at most %zu pixels",
                         width, height, IMAGE_SIDE_MAX, IMAGE_PIXELS_MAX);
    }
    self->pixels = malloc(width * height * channels);
    if (self->pixels == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for a picture of %zu x %zu pixels", width, height);
    }
    memset(self->pixels, value, width * height * channels);
    self->width = width;
    self->height = height;
    self->channels = channels;
    return LOOM_OK;
}

void image_fini(struct image *self)
{
    free(self->pixels);
    *self = (struct image){0};
}

/* What libpng complained of, for the message. */
struct complaint {
    char text[160];
};

static _Noreturn void on_error(png_structp png, png_const_charp text)
{
    struct complaint *complaint = png_get_error_ptr(png);
    snprintf(complaint->text, sizeof complaint->text, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

/* ---- reading ---- */

struct reading {
    struct complaint complaint;
    FILE *file;
    png_structp png;
    png_infop info;
    size_t width, height;
    size_t channels, bytes; /* as decoded: bytes a channel, 1 or 2 */
    size_t row_bytes;
    uint8_t *rows; /* one row, or all of them if the picture is interlaced */
    float *values;
};

static void on_read(png_structp png, png_bytep out, size_t n)
{
    struct reading *self = png_get_io_ptr(png);
    if (fread(out, 1, n, self->file) == n) {
        return;
    }
    png_error(png, ferror(self->file) ? strerror(errno) : "the file ends too early");
}

/* Ask libpng for 8 or 16 bits a channel, whatever the file holds. */
static void normalize(struct reading *self)
{
    png_set_expand(self->png); /* palette to colour, 1, 2, 4 bits to 8, a transparent colour to alpha */
    (void)png_set_interlace_handling(self->png);
    png_read_update_info(self->png, self->info);
    self->channels = png_get_channels(self->png, self->info);
    self->bytes = png_get_bit_depth(self->png, self->info) == 16 ? 2 : 1;
    self->row_bytes = png_get_rowbytes(self->png, self->info);
}

static uint64_t sample(const struct reading *self, const uint8_t *pixel, size_t channel)
{
    const uint8_t *at = pixel + channel * self->bytes;
    return self->bytes == 1 ? at[0] : (uint64_t)(at[0] << 8 | at[1]);
}

/* One decoded row to grey; `out` (width). */
static void convert(const struct reading *self, float *out, const uint8_t *row)
{
    const uint64_t max = self->bytes == 1 ? 255 : 65535;
    const bool colour = self->channels >= 3, alpha = self->channels % 2 == 0;
    const double whole = (double)(LUMINANCE_SUM * max * max);
    for (size_t x = 0; x < self->width; x++) {
        const uint8_t *pixel = row + x * self->channels * self->bytes;
        const uint64_t grey = colour ? LUMINANCE_RED * sample(self, pixel, 0) +
                                           LUMINANCE_GREEN * sample(self, pixel, 1) +
                                           LUMINANCE_BLUE * sample(self, pixel, 2)
                                     : LUMINANCE_SUM * sample(self, pixel, 0);
        const uint64_t opacity = alpha ? sample(self, pixel, self->channels - 1) : max;
        out[x] = (float)((double)(grey * opacity) / whole); /* both exact in double: rounded once */
    }
}

/* Everything between the set-up and the end; jumps back here on any complaint. */
static int decode(struct reading *self)
{
    if (setjmp(png_jmpbuf(self->png))) {
        return LOOM_EDATA;
    }
    png_set_read_fn(self->png, self, on_read);
    png_set_user_limits(self->png, IMAGE_SIDE_MAX, IMAGE_SIDE_MAX);
    png_set_chunk_malloc_max(self->png, CHUNK_BYTES_MAX);
    png_read_info(self->png, self->info);
    self->width = png_get_image_width(self->png, self->info);
    self->height = png_get_image_height(self->png, self->info);
    if (self->width * self->height > IMAGE_PIXELS_MAX) {
        png_error(self->png, "it has more than 2^28 pixels");
    }
    const bool interlaced = png_get_interlace_type(self->png, self->info) != PNG_INTERLACE_NONE;
    normalize(self);

    self->rows = calloc(interlaced ? self->height : 1, self->row_bytes);
    self->values = malloc(self->width * self->height * sizeof *self->values);
    if (self->rows == NULL || self->values == NULL) {
        png_error(self->png, "not enough memory for it");
    }
    if (interlaced) { /* all but the last of the seven passes: each fills in pixels of every row */
        for (int pass = 1; pass < PNG_INTERLACE_ADAM7_PASSES; pass++) {
            for (size_t y = 0; y < self->height; y++) {
                png_read_row(self->png, self->rows + y * self->row_bytes, NULL);
            }
        }
    }
    for (size_t y = 0; y < self->height; y++) {
        uint8_t *row = self->rows + (interlaced ? y * self->row_bytes : 0);
        png_read_row(self->png, row, NULL);
        convert(self, self->values + y * self->width, row);
    }
    png_read_end(self->png, NULL);
    return LOOM_OK;
}

/* Open a file for reading; only a regular one, since a pipe might block for ever. */
static int open_regular(FILE **file_p, const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        return error_set(LOOM_EIO, "cannot read the picture %s: it is not a regular file", path);
    }
    *file_p = fopen(path, "rbe");
    if (*file_p == NULL) {
        return error_set(LOOM_EIO, "cannot read the picture %s: %s", path, strerror(errno));
    }
    return LOOM_OK;
}

int image_read_grey(const char *path, float **values, size_t *width, size_t *height)
{
    struct reading self = {0};
    *values = NULL;
    int result = open_regular(&self.file, path);
    if (result != LOOM_OK) {
        return result;
    }
    self.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &self.complaint, on_error, on_warning);
    self.info = self.png ? png_create_info_struct(self.png) : NULL;
    if (self.info == NULL) {
        result = error_set(LOOM_EINTERNAL, "no memory to read the picture %s", path);
        goto done;
    }
    result = decode(&self);
    if (result != LOOM_OK) {
        result = error_set(ferror(self.file) ? LOOM_EIO : LOOM_EDATA, "the picture %s cannot be used: %s",
                           path, self.complaint.text);
        goto done;
    }
    *width = self.width;
    *height = self.height;
    *values = self.values;
    self.values = NULL;
done:
    free(self.values);
    free(self.rows);
    png_destroy_read_struct(&self.png, &self.info, NULL);
    fclose(self.file);
    return result;
}

bool image_grey_to_bytes(uint8_t *out, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const long nearest = lrintf(values[i] * 255);
        if ((float)((double)nearest / 255.0) != values[i]) {
            return false;
        }
        out[i] = (uint8_t)nearest;
    }
    return true;
}

/* ---- writing ---- */

#define PIXELS_A_METRE 11811 /* 300 an inch: the size at which programs for papers place a picture */

struct writing {
    struct complaint complaint;
    FILE *file;
    png_structp png;
    png_infop info;
    png_text text;
};

static void on_write(png_structp png, png_bytep data, size_t n)
{
    struct writing *self = png_get_io_ptr(png);
    if (fwrite(data, 1, n, self->file) != n) {
        png_error(png, strerror(errno));
    }
}

static void on_flush(png_structp png)
{
    (void)png;
}

static int encode(struct writing *self, const struct image *image, const char *title)
{
    if (setjmp(png_jmpbuf(self->png))) {
        return LOOM_EIO;
    }
    png_set_write_fn(self->png, self, on_write, on_flush);
    png_set_IHDR(self->png, self->info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 image->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (image->channels == 1) { /* for maps of squares as small as the default's, in a fifth of the time */
        png_set_compression_strategy(self->png, Z_RLE);
    }
    png_set_filter(self->png, 0, image->channels == 1 ? PNG_FILTER_UP : PNG_FILTER_NONE);
    png_set_pHYs(self->png, self->info, PIXELS_A_METRE, PIXELS_A_METRE, PNG_RESOLUTION_METER);
    if (title != NULL) {
        static char key[] = "Title", empty[] = "";
        self->text = (png_text){.compression = PNG_ITXT_COMPRESSION_NONE,
                                .key = key,
                                .lang = empty,
                                .lang_key = empty,
                                .text = (char *)(uintptr_t)title /* only read */};
        png_set_text(self->png, self->info, &self->text, 1);
    }
    png_write_info(self->png, self->info);
    for (size_t y = 0; y < image->height; y++) {
        png_write_row(self->png, image->pixels + y * image->width * image->channels);
    }
    png_write_end(self->png, NULL);
    if (fflush(self->file) != 0) {
        png_error(self->png, strerror(errno));
    }
    return LOOM_OK;
}

int image_write(const struct image *self, const char *path, const char *title)
{
    struct writing writing = {0};
    char *temporary = NULL;
    int result;
    if (asprintf(&temporary, "%s.%ld.tmp", path, (long)getpid()) < 0) {
        return error_set(LOOM_EINTERNAL, "no memory to write the picture %s", path);
    }
    writing.file = fopen(temporary, "wbe");
    if (writing.file == NULL) {
        result = error_set(LOOM_EIO, "cannot write the picture %s: %s", path, strerror(errno));
        goto done;
    }
    writing.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &writing.complaint, on_error, on_warning);
    writing.info = writing.png ? png_create_info_struct(writing.png) : NULL;
    if (writing.info == NULL) {
        result = error_set(LOOM_EINTERNAL, "no memory to write the picture %s", path);
        goto done;
    }
    result = encode(&writing, self, title);
    if (result != LOOM_OK) {
        error_set(LOOM_EIO, "cannot write the picture %s: %s", path, writing.complaint.text);
    }
done:
    png_destroy_write_struct(&writing.png, &writing.info);
    if (writing.file != NULL) {
        if (fclose(writing.file) != 0 && result == LOOM_OK) {
            result = error_set(LOOM_EIO, "cannot write the picture %s: %s", path, strerror(errno));
        }
        if (result == LOOM_OK && rename(temporary, path) != 0) {
            result = error_set(LOOM_EIO, "cannot put the picture at %s: %s", path, strerror(errno));
        }
        if (result != LOOM_OK) {
            unlink(temporary);
        }
    }
    free(temporary);
    return result;
}

/* See movie.h. */
#include "movie.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "durable_file.h"

#define ACTL_AT 33 /* where acTL begins: behind the signature and IHDR */
#define COLOURS 256

struct movie {
    enum movie_form form;
    double rate;
    unsigned delay[2];       /* of a frame of an APNG, seconds as a fraction: numerator, denominator */
    const uint32_t *palette; /* NULL: none */
    struct durable_file file;
    bool has_file;
    char *path; /* for messages; owned */
    size_t width, height, channels;
    uint32_t frames, sequence; /* written; number of the next fcTL or fdAT */
    uint8_t *last;             /* the frame before; owned */
    uint8_t *rows;             /* what is compressed of a frame, or a frame's planes; owned */
    uint8_t *packed;           /* a chunk's data; owned */
    size_t rows_bytes, packed_bytes;
};

/* The fraction of two 16-bit numbers that is nearest to 1 / rate, in its shortest form. */
static void choose_delay(unsigned delay[2], double rate)
{
    double nearest = INFINITY;
    for (unsigned numerator = 1; numerator <= UINT16_MAX && numerator * rate < UINT16_MAX + 0.5;
         numerator++) {
        const double exact = numerator * rate, denominator = fmax(round(exact), 1);
        const double off = fabs(denominator - exact) / exact;
        if (off < nearest - 1e-12) {
            nearest = off;
            delay[0] = numerator;
            delay[1] = (unsigned)denominator;
        }
    }
}

int movie_new(struct movie **self_p, const char *path, enum movie_form form, double rate,
              const uint32_t *palette)
{
    *self_p = NULL;
    if (path == NULL && form == MOVIE_APNG) {
        return error_set(LOOM_EUSAGE,
                         "an APNG cannot go through a pipe: its number of frames is written at the end; "
                         "give a file, or take Y4M");
    }
    struct movie *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for a movie");
    }
    self->form = form;
    self->rate = rate;
    choose_delay(self->delay, rate);
    self->palette = palette;
    self->path = strdup(path != NULL ? path : "standard output");
    int status = self->path == NULL ? error_set(LOOM_EINTERNAL, "no memory for a movie") : LOOM_OK;
    if (status == LOOM_OK && path != NULL) {
        status = durable_file_begin(&self->file, path);
        self->has_file = status == LOOM_OK;
    }
    if (status != LOOM_OK) {
        movie_destroy(&self);
        return status;
    }
    *self_p = self;
    return LOOM_OK;
}

void movie_destroy(struct movie **self_p)
{
    struct movie *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->has_file) {
        durable_file_abandon(&self->file);
    }
    free(self->path);
    free(self->last);
    free(self->rows);
    free(self->packed);
    free(self);
    *self_p = NULL;
}

static int put(struct movie *self, const void *data, size_t bytes)
{
    if (self->has_file) {
        return durable_file_write(&self->file, data, bytes);
    }
    if (fwrite(data, 1, bytes, stdout) != bytes) {
        return error_set(LOOM_EIO, "cannot write to standard output: %s", strerror(errno));
    }
    return LOOM_OK;
}

/* ---- APNG ---- */

static void put_u32(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static void put_u16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* A chunk: length, type, data, checksum of the latter two. */
static int put_chunk(struct movie *self, const char type[4], const void *data, size_t bytes)
{
    uint8_t head[8], tail[4];
    put_u32(head, bytes);
    memcpy(head + 4, type, 4);
    const uLong sum = crc32(0, head + 4, 4);
    put_u32(tail, bytes > 0 ? crc32(sum, data, (uInt)bytes) : sum); /* crc32 of nothing at NULL would be 0 */
    int status = put(self, head, sizeof head);
    if (status == LOOM_OK && bytes > 0) {
        status = put(self, data, bytes);
    }
    return status == LOOM_OK ? put(self, tail, sizeof tail) : status;
}

static int put_palette(struct movie *self)
{
    uint8_t colours[3 * COLOURS];
    for (size_t i = 0; i < COLOURS; i++) {
        colours[3 * i] = (uint8_t)(self->palette[i] >> 16);
        colours[3 * i + 1] = (uint8_t)(self->palette[i] >> 8);
        colours[3 * i + 2] = (uint8_t)self->palette[i];
    }
    return put_chunk(self, "PLTE", colours, sizeof colours);
}

static int put_title(struct movie *self, const char *title)
{
    static const char key[] = "Title\0\0\0\0"; /* key, not compressed, no language, no translated key */
    char text[512];
    memcpy(text, key, sizeof key);
    const int n = snprintf(text + sizeof key, sizeof text - sizeof key, "%s", title);
    const size_t length =
        sizeof key + (n < (int)(sizeof text - sizeof key) ? (size_t)n : sizeof text - sizeof key - 1);
    return put_chunk(self, "iTXt", text, length);
}

static int begin_apng(struct movie *self, const char *title)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    enum { GREY = 0, RGB = 2, PALETTE = 3 };
    uint8_t header[13] = {0},
            control[8] = {0}; /* control: number of frames, written at the end; plays: for ever */
    put_u32(header, self->width);
    put_u32(header + 4, self->height);
    header[8] = 8;
    header[9] = self->channels == 3 ? RGB : self->palette != NULL ? PALETTE : GREY;
    int status = put(self, signature, sizeof signature);
    if (status == LOOM_OK) {
        status = put_chunk(self, "IHDR", header, sizeof header);
    }
    if (status == LOOM_OK) {
        status = put_chunk(self, "acTL", control, sizeof control);
    }
    if (status == LOOM_OK && header[9] == PALETTE) {
        status = put_palette(self);
    }
    if (status == LOOM_OK && title != NULL) {
        status = put_title(self, title);
    }
    return status;
}

struct rectangle {
    size_t left, top, right, bottom;
};

/* The rectangle outside of which the frame is like the one before; a pixel if all is. */
static struct rectangle find_change(const struct movie *self, const uint8_t *pixels)
{
    const size_t stride = self->width * self->channels;
    struct rectangle box = {self->width, self->height, 0, 0};
    for (size_t y = 0; y < self->height; y++) {
        const uint8_t *row = pixels + y * stride, *last = self->last + y * stride;
        if (memcmp(row, last, stride) == 0) {
            continue;
        }
        size_t from = 0, to = stride;
        while (row[from] == last[from]) {
            from++;
        }
        while (row[to - 1] == last[to - 1]) {
            to--;
        }
        box.left = from / self->channels < box.left ? from / self->channels : box.left;
        box.right = (to - 1) / self->channels + 1 > box.right ? (to - 1) / self->channels + 1 : box.right;
        box.top = y < box.top ? y : box.top;
        box.bottom = y + 1;
    }
    return box.right == 0 ? (struct rectangle){0, 0, 1, 1} : box;
}

/* Compress a part of the frame behind the first 4 bytes of self->packed: rows as their difference to the one above,
 * which for squares of several pixels is mostly 0. Returns the bytes; 0 if that failed. */
static size_t compress_part(struct movie *self, const uint8_t *pixels, const struct rectangle *box)
{
    const size_t stride = self->width * self->channels, n = (box->right - box->left) * self->channels;
    uint8_t *out = self->rows;
    for (size_t y = box->top; y < box->bottom; y++) {
        const uint8_t *row = pixels + y * stride + box->left * self->channels;
        *out++ = y == box->top ? 0 : 2; /* filters None and Up */
        for (size_t i = 0; i < n; i++) {
            out[i] = (uint8_t)(y == box->top ? row[i] : row[i] - row[i - stride]);
        }
        out += n;
    }
    uLongf bytes = (uLongf)self->packed_bytes;
    return compress2(self->packed + 4, &bytes, self->rows, (uLong)(out - self->rows), 6) == Z_OK ? bytes : 0;
}

static int add_apng(struct movie *self, const uint8_t *pixels)
{
    const struct rectangle all = {0, 0, self->width, self->height};
    const struct rectangle box = self->frames == 0 ? all : find_change(self, pixels);
    uint8_t control[26] = {0}; /* dispose of nothing, replace what is there */
    put_u32(control, self->sequence++);
    put_u32(control + 4, box.right - box.left);
    put_u32(control + 8, box.bottom - box.top);
    put_u32(control + 12, box.left);
    put_u32(control + 16, box.top);
    put_u16(control + 20, self->delay[0]);
    put_u16(control + 22, self->delay[1]);
    int status = put_chunk(self, "fcTL", control, sizeof control);
    const size_t bytes = compress_part(self, pixels, &box);
    if (status == LOOM_OK && bytes == 0) {
        status = error_set(LOOM_EINTERNAL, "no memory to compress a frame of %s", self->path);
    }
    if (status == LOOM_OK && self->frames == 0) {
        status = put_chunk(self, "IDAT", self->packed + 4, bytes);
    } else if (status == LOOM_OK) {
        put_u32(self->packed, self->sequence++);
        status = put_chunk(self, "fdAT", self->packed, bytes + 4);
    }
    memcpy(self->last, pixels, self->width * self->height * self->channels);
    return status;
}

/* End the file, then say in acTL how many frames there are. */
static int finish_apng(struct movie *self)
{
    uint8_t control[16] = {'a', 'c', 'T', 'L'};
    int status = put_chunk(self, "IEND", NULL, 0);
    put_u32(control + 4, self->frames);
    put_u32(control + 12, crc32(0, control, 12));
    if (status == LOOM_OK && pwrite(self->file.fd, control, sizeof control, ACTL_AT + 4) != sizeof control) {
        status = error_set(LOOM_EIO, "cannot write %s: %s", self->path, strerror(errno));
    }
    return status;
}

/* ---- Y4M ---- */

static int begin_y4m(struct movie *self)
{
    char head[160];
    const long rate = lround(self->rate * 1000);
    const int n =
        snprintf(head, sizeof head, "YUV4MPEG2 W%zu H%zu F%ld:%d Ip A1:1 C%s XCOLORRANGE=FULL\n", self->width,
                 self->height, rate % 1000 == 0 ? rate / 1000 : rate, rate % 1000 == 0 ? 1 : 1000,
                 self->channels == 1 && self->palette == NULL ? "mono" : "444");
    return put(self, head, (size_t)n);
}

/* The planes Y, U, V of a colour frame, BT.601 in full range, one behind the other. */
static void to_planes(const struct movie *self, const uint8_t *pixels)
{
    const size_t n = self->width * self->height;
    for (size_t i = 0; i < n; i++) {
        const uint32_t indexed = self->channels == 1 ? self->palette[pixels[i]] : 0;
        const double r = self->channels == 1 ? indexed >> 16 : pixels[3 * i];
        const double g = self->channels == 1 ? indexed >> 8 & 0xff : pixels[3 * i + 1];
        const double b = self->channels == 1 ? indexed & 0xff : pixels[3 * i + 2];
        const double y = 0.299 * r + 0.587 * g + 0.114 * b;
        self->rows[i] = (uint8_t)lround(y);
        self->rows[n + i] = (uint8_t)lround(fmin(fmax(128 + (b - y) / 1.772, 0), 255));
        self->rows[2 * n + i] = (uint8_t)lround(fmin(fmax(128 + (r - y) / 1.402, 0), 255));
    }
}

static int add_y4m(struct movie *self, const uint8_t *pixels)
{
    const size_t n = self->width * self->height;
    const bool grey = self->channels == 1 && self->palette == NULL;
    const int status = put(self, "FRAME\n", 6);
    if (status != LOOM_OK) {
        return status;
    }
    if (!grey) {
        to_planes(self, pixels);
    }
    return put(self, grey ? pixels : self->rows, grey ? n : 3 * n);
}

/* ---- both ---- */

/* Room for frames of this size. */
static int make_room(struct movie *self, const struct image *image)
{
    const size_t pixels = image->width * image->height;
    self->width = image->width;
    self->height = image->height;
    self->channels = image->channels;
    self->rows_bytes = 3 * pixels + image->height;
    self->packed_bytes = (size_t)compressBound((uLong)self->rows_bytes);
    self->last = malloc(pixels * image->channels);
    self->rows = malloc(self->rows_bytes);
    self->packed = malloc(self->packed_bytes + 4);
    if (self->last == NULL || self->rows == NULL || self->packed == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for a movie of %zu x %zu pixels", image->width,
                         image->height);
    }
    return LOOM_OK;
}

int movie_add(struct movie *self, const struct image *image, const char *title)
{
    int status = LOOM_OK;
    if (self->frames == 0) {
        status = make_room(self, image);
        if (status == LOOM_OK) {
            status = self->form == MOVIE_APNG ? begin_apng(self, title) : begin_y4m(self);
        }
    } else if (image->width != self->width || image->height != self->height ||
               image->channels != self->channels) {
        return error_set(LOOM_EINTERNAL, "the frames of %s are not all of one size", self->path);
    }
    if (status == LOOM_OK) {
        status = self->form == MOVIE_APNG ? add_apng(self, image->pixels) : add_y4m(self, image->pixels);
    }
    self->frames += status == LOOM_OK ? 1 : 0;
    return status;
}

int movie_finish(struct movie **self_p)
{
    struct movie *self = *self_p;
    int status = self->frames == 0 ? error_set(LOOM_EDATA, "%s would have no frame", self->path) : LOOM_OK;
    if (status == LOOM_OK && self->form == MOVIE_APNG) {
        status = finish_apng(self);
    }
    if (status == LOOM_OK && self->has_file) {
        status = durable_file_commit(&self->file);
    } else if (status == LOOM_OK && fflush(stdout) != 0) {
        status = error_set(LOOM_EIO, "cannot write to standard output: %s", strerror(errno));
    }
    if (status == LOOM_OK) {
        self->has_file = false;
        movie_destroy(self_p);
    }
    return status;
}

/* Pictures: PNG in and out through libpng. Gamma and colour profiles are left alone: a value is what the file
 * says. */
#ifndef LOOM_COMMON_IMAGE_H
#define LOOM_COMMON_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define IMAGE_SIDE_MAX 65535
/* Of a whole picture: what a reader allocates is bounded, whatever a file claims. */
#define IMAGE_PIXELS_MAX ((size_t)1 << 28)

/* A grey or colour picture, 8 bits a channel, row-major, no padding. */
struct image {
    size_t width, height;
    size_t channels; /* 1: grey, 3: red green blue */
    uint8_t *pixels; /* height x width x channels, owned */
};

/* Make a picture (sides > 0, channels 1 or 3) filled with `value`. LOOM_EDATA if a side is 0 or a limit is
 * passed, LOOM_EINTERNAL if memory runs out; *self is then empty and image_fini harmless. */
int image_init(struct image *self, size_t width, size_t height, size_t channels,
               uint8_t value) LOOM_MUST_CHECK;

/* Free the pixels; harmless on a zeroed picture, and twice. */
void image_fini(struct image *self);

/* Read a PNG of any bit depth and colour type as grey values in [0, 1] (height x width floats, malloc'ed,
 * owned by the caller): colour by the luminance weights of ITU-R BT.709, 16 bits kept exactly, transparency
 * over black. A pixel of value q of 255 becomes exactly (float)(q / 255.0), also where red, green and blue
 * are all q. LOOM_EIO if the file cannot be read, LOOM_EDATA if it is not a whole PNG or a limit is passed;
 * *values is then NULL. */
int image_read_grey(const char *path, float **values, size_t *width, size_t *height) LOOM_MUST_CHECK;

/* Grey values as bytes (value / 255), to out (n); false if 8 bits do not hold one of them exactly. */
bool image_grey_to_bytes(uint8_t *out, const float *values, size_t n) LOOM_MUST_CHECK;

/* Write a PNG: to a temporary file beside it, then renamed, so that a viewer never sees half a picture.
 * `title` (UTF-8; may be NULL) goes in as the standard text "Title". LOOM_EIO with the path and the reason.
 */
int image_write(const struct image *self, const char *path, const char *title) LOOM_MUST_CHECK;

#endif

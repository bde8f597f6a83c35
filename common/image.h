/* Pictures: PNG in and out through libpng. */
#ifndef LOOM_COMMON_IMAGE_H
#define LOOM_COMMON_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define IMAGE_SIDE_MAX 65535

/* A grey or colour picture, 8 bits a channel, row-major, no padding. */
struct image {
    size_t width, height;
    size_t channels; /* 1: grey, 3: red green blue */
    uint8_t *pixels; /* height x width x channels, owned */
};

/* Make a picture filled with `value`. LOOM_EINTERNAL if memory runs out. */
int image_init(struct image *self, size_t width, size_t height, size_t channels, uint8_t value) LOOM_MUST_CHECK;
void image_fini(struct image *self);

/* Read a PNG of any bit depth and colour type as grey values in [0, 1] (height x width floats, malloc'ed, owned by the
 * caller): colour by the luminance weights of ITU-R BT.709, 16 bits kept exactly, transparency over black.
 * LOOM_EIO if the file cannot be read, LOOM_EDATA if it is not a whole PNG or a side is over IMAGE_SIDE_MAX. */
int image_read_grey(const char *path, float **values, size_t *width, size_t *height) LOOM_MUST_CHECK;

/* Write a PNG: to a temporary file, then renamed, so that a viewer never sees half a picture. `title` may be NULL
 * (a tEXt chunk). LOOM_EIO with the path and the reason. */
int image_write(const struct image *self, const char *path, const char *title) LOOM_MUST_CHECK;

#endif

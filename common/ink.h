/* Ink: smooth lines and shapes over a picture. They are drawn into a mask, then laid over the picture in one colour,
 * so that where two strokes of one line meet is no darker. */
#ifndef LOOM_COMMON_INK_H
#define LOOM_COMMON_INK_H

#include <stddef.h>
#include <stdint.h>

#include "image.h"

struct ink {
    uint8_t *mask; /* width x height, 255 where all is covered; the owner's */
    size_t width, height;
    size_t left, top, right, bottom; /* where there is ink */
};

#define INK(mask, width, height) ((struct ink){(mask), (width), (height), (width), (height), 0, 0})

/* Ink a pixel, as far as it is covered (up to 1; nothing from 0 down); harmless outside of the mask. */
void ink_dot(struct ink *self, long x, long y, double covered);

/* Take the ink of a pixel away; harmless outside of the mask. */
void ink_wipe(struct ink *self, long x, long y);

/* A stroke with round ends from (x0, y0) to (x1, y1), where the centres of pixels are whole numbers. */
void ink_line(struct ink *self, double x0, double y0, double x1, double y1, double thickness);

/* Lay the ink in the colour 0xRRGGBB over the picture, with the mask's corner at (left, top); then wipe the mask. */
void ink_apply(struct ink *self, struct image *image, long left, long top, uint32_t rgb);

#endif

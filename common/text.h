/* Text in pictures, through FreeType, with whatever DejaVu Sans the system has. */
#ifndef LOOM_COMMON_TEXT_H
#define LOOM_COMMON_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "image.h"

struct text;

/* Load the font: the file that the environment variable LOOM_FONT names, else DejaVuSans.ttf from one of the
 * usual folders. LOOM_EIO if there is none that can be used; *self_p is then NULL, with which the functions
 * below draw nothing and measure 0. The caller owns *self_p. */
int text_new(struct text **self_p) LOOM_MUST_CHECK;

/* Free and null; harmless on NULL. */
void text_destroy(struct text **self_p);

/* Width in pixels of a line (UTF-8) in letters of `size` pixels (the em). */
size_t text_width(struct text *self, const char *line, size_t size);

/* Draw a line in `shade` (0 black .. 255 white) over a picture, its left end at x, its baseline at y;
 * cut off at the picture's edges. */
void text_draw(struct text *self, struct image *image, size_t x, size_t y, const char *line, size_t size,
               uint8_t shade);

/* The same, turned so that it runs upwards from its lower end at y, with its baseline at x, its right side. */
void text_draw_up(struct text *self, struct image *image, size_t x, size_t y, const char *line, size_t size,
                  uint8_t shade);

#endif

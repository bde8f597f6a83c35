/* What draw.c and those that draw other things (draw_sheet.c, plot.c) share: rectangles, where a map's numbers
 * go, and the colour bar beside it. */
#ifndef LOOM_COMMON_DRAW_PARTS_H
#define LOOM_COMMON_DRAW_PARTS_H

#include "draw.h"

enum { WHITE = 255, BLACK = 0, SUBDUED = 85, SEPARATOR = 176, SEPARATOR_DARK = 90, FRAME = 150 };

static inline size_t at_most(size_t value, size_t limit)
{
    return value < limit ? value : limit;
}

static inline size_t at_least(size_t value, size_t limit)
{
    return value > limit ? value : limit;
}

/* Where a map's numbers go. */
struct layout {
    size_t units_x, units_y;     /* shown, from the upper left */
    size_t numbers_x, numbers_y; /* of each unit, likewise */
    size_t scale;                /* pixels a number */
    size_t gap;                  /* pixels between units */
    size_t width, height;        /* pixels */
};

struct layout draw_lay_out(const struct draw_map *map);

/* A rectangle in a shade of grey, or in a colour 0xRRGGBB (a picture of one channel takes its red), cut off at the
 * picture's edges. */
void draw_fill(struct image *image, size_t x, size_t y, size_t width, size_t height, uint8_t shade);
void draw_fill_colour(struct image *image, size_t x, size_t y, size_t width, size_t height, uint32_t rgb);

/* A line of this thickness just around a rectangle. */
void draw_frame(struct image *image, size_t x, size_t y, size_t width, size_t height, size_t thickness);

/* Paint the map with its upper left corner at (left, top), where all of it must be within the picture. Where the
 * map says per_unit, `scale` is not looked at. */
void draw_paint(struct image *image, size_t left, size_t top, const struct draw_map *map,
                const struct layout *layout, const struct draw_scale *scale);

/* The colours of a map, grey if it names none; how many channels a picture in them needs. */
const struct colours *draw_colours(const struct draw_map *map);
size_t draw_channels(const struct colours *colours);

#define DRAW_TICKS 3 /* of a colour bar: its ends and its middle */

/* A colour bar from the scale's low end, at the bottom, to its high end. */
struct draw_bar {
    const struct colours *colours;
    const struct draw_scale *scale;
    const char *const *words; /* DRAW_TICKS, from the low end, to stand there for numbers; NULL: numbers */
    const char *name;         /* of what the colours stand for, beside the numbers; NULL: none */
    size_t width, height;     /* pixels, as follows */
    size_t label, tick, line; /* letters, length of ticks, thickness of lines */
};

/* Width of the bar with its numbers and name. */
size_t draw_bar_width(const struct draw_bar *bar, struct text *text);
void draw_bar(struct image *image, size_t x, size_t y, const struct draw_bar *bar, struct text *text);

/* The largest letters up to `size` in which a line is no wider than `width`; `least` if there are none. */
size_t draw_fit_letters(struct text *text, const char *line, size_t size, size_t least, size_t width);

#endif

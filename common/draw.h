/* Drawing: maps of numbers as pictures that can be printed and trusted.
 *
 * A map is a grid of units, each a tile of numbers: the weights of a layer, one unit, or (one unit whose tile
 * is a whole grid) the coverage. As the notebooks had it, 0 is white and the largest number black; other colours
 * are in colours.h. Numbers become squares of whole pixels, never blurred. No picture is
 * larger than about DRAW_SIDE_MAX pixels a side: what does not fit at one pixel a number is left out, and the
 * picture says so. */
#ifndef LOOM_COMMON_DRAW_H
#define LOOM_COMMON_DRAW_H

#include <stdbool.h>
#include <stddef.h>

#include "colours.h"
#include "error.h"
#include "image.h"
#include "text.h"

#define DRAW_SIDE_USUAL 1000 /* pixels of a map's longer side, about, where nothing else is asked for */
#define DRAW_SIDE_MAX 4000
#define DRAW_NOTE_BYTES 256

struct draw_map {
    const float *data;              /* grid_y x grid_x units, each tile_height x tile_width; borrowed */
    size_t grid_x, grid_y;          /* units, > 0 */
    size_t tile_width, tile_height; /* numbers, > 0 */
    const char *title, *subtitle;   /* UTF-8; NULL: none */
    size_t side;                    /* pixels that the longer side shall have, about; 0: DRAW_SIDE_USUAL */
    size_t scale;                   /* pixels a number; 0: as `side` asks. Made smaller where too large */
    bool separators;                /* a thin line between units */
    bool per_unit;                  /* each unit's colours go up to its own largest number */
    const struct colours *colours;  /* NULL: grey */
};

/* How many numbers a map has; 0 where its data is NULL. */
size_t draw_count_numbers(const struct draw_map *map);

/* Whether there are numbers below 0 among the finite ones. */
bool draw_has_negative(const float *data, size_t n);

/* The map alone, without margin or text, into *out (grey, or colour where its colours are; made here, freed by the caller with image_fini).
 * LOOM_EINTERNAL if memory runs out. */
int draw_map_plain(struct image *out, const struct draw_map *map) LOOM_MUST_CHECK;

/* The map with title, subtitle, a colour bar with its numbers (from 0, or the smallest one below, to the largest), on a white page. text may
 * be NULL: the same without letters. Errors and ownership as draw_map_plain. */
int draw_map_labelled(struct image *out, const struct draw_map *map, struct text *text) LOOM_MUST_CHECK;

/* What the two ends of the colours stand for. */
struct draw_scale {
    double min, max;
    bool below, above; /* there are numbers beyond the ends, shown like these */
};

/* The scale from the 0.5% to the 99.5% quantile of all finite numbers of n maps, so that a few large ones do not
 * make all others pale. Where these are alike: all numbers and 0. Maps whose data is NULL are passed over. */
struct draw_scale draw_scale_of(const struct draw_map *maps, size_t n);

/* A number as it is written beside a scale that spans so much: what is next to 0 there is 0. */
double draw_round(double value, double span);

/* Several maps to be compared: side by side, on one scale with a colour bar, or each on its own. */
struct draw_sheet {
    const struct draw_map *maps; /* title and subtitle (lines) stand above each; data NULL: an empty place */
    size_t n, columns;           /* > 0 */
    const char *title, *subtitle;
    const struct colours *colours; /* NULL: grey; what the maps say of these is not looked at */
    bool own_scales;               /* each map has the scale of itself alone; there is no colour bar */
};

/* The sheet on a white page. The scale is draw_scale_of all maps, with 0 in the middle for diverging colours. Every map is
 * at the same scale, the longer side of the largest about 1200 pixels over the square root of the columns, with
 * lines between units; what the maps say of these is not looked at. Errors and ownership as draw_map_labelled;
 * LOOM_EDATA if the page would be too large. */
int draw_sheet(struct image *out, const struct draw_sheet *sheet, struct text *text) LOOM_MUST_CHECK;

/* What a reader of the map must be told: units left out, numbers that are not finite, or below 0 where the colours
 * do not show them.
 * "" if all is well. draw_map_labelled writes it under the subtitle; for a plain map the caller says it. */
void draw_map_note(char note[DRAW_NOTE_BYTES], const struct draw_map *map);

#endif

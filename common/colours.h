/* Colour maps: which colour stands for which number in a picture. All are even in lightness, so that equal
 * steps of the number look like equal steps, also in print and to people who do not tell red from green. */
#ifndef LOOM_COMMON_COLOURS_H
#define LOOM_COMMON_COLOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct colours {
    const char *name;
    bool grey;           /* red, green and blue are alike in all of its colours */
    bool diverging;      /* for numbers on both sides of 0, which has the colour in the middle */
    bool from_zero;      /* begins at 0, and shows what is below 0 like 0 */
    const char *missing; /* the name of the colour of what is no finite number */
    uint32_t missing_rgb;
    const uint32_t
        *table; /* 0xRRGGBB from the low end to the high one, even steps; between them, a mixture */
    size_t n;
};

/* White for 0 to black, as in the notebooks. */
extern const struct colours colours_grey;

/* "auto" and the names of all maps, NULL at the end: for a parameter of a choice. */
extern const char *const colours_names[];

/* The map of this name; NULL if there is none (also for "auto"). */
const struct colours *colours_find(const char *name);

/* The map that a choice of colours_names stands for; auto (0): grey, or a diverging one where `negative`, that is
 * where there are numbers below 0. */
const struct colours *colours_choose(size_t choice, bool negative);

/* 0xRRGGBB of a part (0 .. 1) of the way through the map; beyond, and for NaN, the end that is nearest (NaN: the
 * first). */
uint32_t colours_at(const struct colours *self, double part);

#endif

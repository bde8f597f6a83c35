/* Plots: curves over an axis, as small multiples that can be printed.
 *
 * Each panel has axes with round ticks and its own range; the panels of a plot share the meaning of colours and
 * markers. Colours are those of Okabe and Ito, which people who do not tell red from green keep apart, and every
 * curve has a marker and a line (whole, dashed, dotted) of its own, so that grey prints can be read, too, and curves
 * that overlie are all seen. Letters are sized for a page: a plot of three columns is legible across two columns of a
 * paper, one of a single panel within one.
 *
 * Limits: x is linear. Source of the colours: M. Okabe and K. Ito, Color Universal Design, 2008. */
#ifndef LOOM_COMMON_PLOT_H
#define LOOM_COMMON_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "image.h"
#include "text.h"

#define PLOT_TICKS_MAX 12

struct plot_series {
    const char *name;    /* for the legend */
    const double *x, *y; /* n each, x rising; y not finite: a gap */
    size_t n;
    size_t style; /* colour and shape of the marker: the same number, the same look */
    size_t
        line; /* whole, dashed, dotted, or both; markers of odd ones are outlines. Curves that may overlie have others */
};

/* auto: logarithmic where the range asks for it and all values are above 0; log: always, without those that are not */
enum plot_scale { PLOT_AUTO, PLOT_LINEAR, PLOT_LOG };

struct plot_panel {
    const char *title; /* what y is */
    const struct plot_series *series;
    size_t n;
};

struct plot {
    const char *title, *subtitle, *x_label; /* UTF-8 */
    const struct plot_panel *panels;
    size_t n, columns; /* columns: 0: chosen */
    enum plot_scale scale;
};

/* An axis: what it spans and where its ticks are. */
struct plot_axis {
    bool log;
    double low, high; /* of what is shown; log: both > 0 */
    double ticks[PLOT_TICKS_MAX];
    size_t n;
};

/* The axis for numbers from min to max (finite, min <= max). PLOT_LOG is taken as linear where min <= 0. */
struct plot_axis plot_axis_of(double min, double max, enum plot_scale scale);

/* Write tick i as it stands at the axis: 0.05, 1,000, 10⁻⁵. */
void plot_tick(char text[32], const struct plot_axis *axis, size_t i);

/* How far along the axis a number is, 0 to 1. */
double plot_place(const struct plot_axis *axis, double value);

/* The colour 0xRRGGBB of a style. */
unsigned plot_colour(size_t style);

/* How many finite values are not drawn: those of 0 and less where the axes are to be logarithmic. Who sees the plot
 * must be told. */
size_t plot_count_left_out(const struct plot *plot);

/* The plot on a white page. text may be NULL: no letters. LOOM_EINTERNAL if memory runs out, LOOM_EDATA if it would
 * be larger than a picture may be. */
int plot_draw(struct image *out, const struct plot *plot, struct text *text) LOOM_MUST_CHECK;

#endif

/* See plot.h. */
#include "plot.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw_parts.h"
#include "ink.h"

enum {
    LABEL = 27,       /* letters of ticks and legends, pixels */
    PANEL_TITLE = 30, /* of a panel's title */
    TITLE = 36,       /* of the plot's */
    AREA_WIDTH = 500, /* of the axes of a panel */
    AREA_HEIGHT = 330,
    TICK = 8,
    MARGIN = 36,
    GAP = 44,          /* between panels */
    LEGEND_SAMPLE = 70 /* length of a line in the legend */
};
#define NAME_BYTES 160
#define LINE 3.2       /* thickness of a curve */
#define MARKER 6.5     /* half the size of a marker */
#define OPEN_MARKER 9  /* of one that is an outline only, */
#define OUTLINE 2.6    /* and how thick that is */
#define MARKERS_MAX 45 /* points of a curve up to which all are marked; else about every n-th */
#define GRID_SHADE 228
#define AXIS_SHADE 60
#define LINES 4       /* kinds of lines */
#define LOG_RATIO 20  /* of the largest to the smallest, from which on an axis is logarithmic */
#define FROM_ZERO 0.6 /* a linear axis begins at 0 if the smallest is less than this part of the largest */

/* ---- axes ---- */

unsigned plot_colour(size_t style)
{
    static const unsigned okabe_ito[] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7,
                                         0xe69f00, 0x56b4e9, 0x000000};
    return okabe_ito[style % (sizeof okabe_ito / sizeof *okabe_ito)];
}

/* Half of what an axis spans: the whole may be more than a double holds. */
static double half_span(const struct plot_axis *axis)
{
    return axis->high / 2 - axis->low / 2;
}

static void linear_ticks(struct plot_axis *axis)
{
    const double rough = half_span(axis) / 2.5, unit = pow(10, floor(log10(rough)));
    const double step = rough / unit > 5   ? 10 * unit
                        : rough / unit > 2 ? 5 * unit
                        : rough / unit > 1 ? 2 * unit
                                           : unit;
    const long last = (long)floor(axis->high / step + 1e-6);
    for (long i = (long)ceil(axis->low / step - 1e-6); i <= last && axis->n < PLOT_TICKS_MAX; i++) {
        axis->ticks[axis->n++] = (double)i * step;
    }
}

static void log_ticks(struct plot_axis *axis)
{
    const int first = (int)ceil(log10(axis->low) - 1e-9), last = (int)floor(log10(axis->high) + 1e-9);
    const int decades = last - first;
    int step = 1;
    while (decades / step > 6) { /* 1, 2, 5, 10, 20, 50... */
        step = step % 10 == 2 || step / 10 % 10 == 2 ? step / 2 * 5 : 2 * step;
    }
    static const double few[] = {1, 2, 5}; /* where there are hardly two powers of ten */
    for (int power = first - 1; decades < 3 && power <= last; power++) {
        for (size_t i = 0; i < 3 && axis->n < PLOT_TICKS_MAX; i++) {
            const double tick = few[i] * pow(10, power);
            if (tick >= axis->low * 0.999999 && tick <= axis->high * 1.000001) {
                axis->ticks[axis->n++] = tick;
            }
        }
    }
    for (int power = first; decades >= 3 && power <= last && axis->n < PLOT_TICKS_MAX; power++) {
        if ((power % step + step) % step == 0) {
            axis->ticks[axis->n++] = pow(10, power);
        }
    }
}

struct plot_axis plot_axis_of(double min, double max, enum plot_scale scale)
{
    struct plot_axis axis = {.log = min > 0 &&
                                    (scale == PLOT_LOG || (scale == PLOT_AUTO && max / min >= LOG_RATIO))};
    if (axis.log) {
        const double room = fmax(pow(10, 0.04 * (log10(max) - log10(min))), 1.05);
        axis.low = fmax(min / room, DBL_MIN);
        axis.high = fmin(max * room, DBL_MAX);
        log_ticks(&axis);
        return axis;
    }
    const double half = max / 2 - min / 2;
    if (!(half > fmax(0.5e-9 * fmax(fabs(min), fabs(max)), DBL_MIN))) { /* all alike */
        const double around = max != 0 ? fmax(0.1 * fabs(max), 10 * DBL_MIN) : 1;
        axis.low = fmax(min - around, -DBL_MAX);
        axis.high = fmin(max + around, DBL_MAX);
    } else {
        const double room = 0.08 * half;
        axis.low = min >= 0 && min < FROM_ZERO * max ? 0 : fmax(min - room, -DBL_MAX);
        axis.high = fmin(max + room, DBL_MAX);
    }
    linear_ticks(&axis);
    return axis;
}

/* 10⁻⁵, 2·10⁻⁵ */
static void write_power(char text[32], double value)
{
    static const char *const raised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    const int power = (int)floor(log10(value) + 1e-9), times = (int)lround(value / pow(10, power));
    char digits[16], factor[16] = "";
    if (times > 1) {
        snprintf(factor, sizeof factor, "%d·", times);
    }
    size_t used = (size_t)snprintf(text, 32, "%s10%s", factor, power < 0 ? "⁻" : "");
    snprintf(digits, sizeof digits, "%d", abs(power));
    for (const char *at = digits; *at != '\0' && used + 4 < 32; at++) {
        used += (size_t)snprintf(text + used, 32 - used, "%s", raised[*at - '0']);
    }
}

void plot_tick(char text[32], const struct plot_axis *axis, size_t i)
{
    const double value = axis->ticks[i], size = fabs(value);
    const char *sign = value < 0 ? "−" : "";
    if (axis->log && (size < 0.00099 || size > 10001)) {
        write_power(text, size);
    } else if (axis->log && size < 1000) {
        snprintf(text, 32, "%.6g", size);
    } else if (size < half_span(axis) * 2e-9) {
        snprintf(text, 32, "0");
    } else if (size >= 1000 && size < 1e6 && fabs(fmod(size + 0.5, 1) - 0.5) < 1e-6) {
        const long whole = lround(size);
        snprintf(text, 32, "%s%ld,%03ld", sign, whole / 1000, whole % 1000);
    } else if (size >= 1e-4 && size < 1e6) { /* as many decimals as the step has */
        const double step = axis->n > 1 ? fabs(axis->ticks[1] - axis->ticks[0]) : size;
        const int decimals = (int)fmin(fmax(-floor(log10(step) + 1e-9), 0), 12);
        snprintf(text, 32, "%s%.*f", sign, decimals, size);
    } else {
        snprintf(text, 32, "%s%.4g", sign, size);
    }
}

double plot_place(const struct plot_axis *axis, double value)
{
    return axis->log ? (log(value) - log(axis->low)) / (log(axis->high) - log(axis->low))
                     : (value / 2 - axis->low / 2) / half_span(axis);
}

/* The range of the series: what x or y they have. {INFINITY, -INFINITY} if there is none. */
struct range {
    double min, max;
};

static void extend(struct range *range, double value)
{
    if (isfinite(value)) {
        range->min = fmin(range->min, value);
        range->max = fmax(range->max, value);
    }
}

/* Whether a value has a place in its panel: 0 and less have none on an axis that must be logarithmic. */
static bool has_place(double value, enum plot_scale scale)
{
    return isfinite(value) && (scale != PLOT_LOG || value > 0);
}

static struct range range_of_y(const struct plot_panel *panel, enum plot_scale scale)
{
    struct range range = {INFINITY, -INFINITY};
    for (size_t s = 0; s < panel->n; s++) {
        for (size_t i = 0; i < panel->series[s].n; i++) {
            if (has_place(panel->series[s].y[i], scale)) {
                extend(&range, panel->series[s].y[i]);
            }
        }
    }
    return range;
}

size_t plot_count_left_out(const struct plot *plot)
{
    size_t n = 0;
    for (size_t p = 0; p < plot->n; p++) {
        for (size_t s = 0; s < plot->panels[p].n; s++) {
            const struct plot_series *series = &plot->panels[p].series[s];
            for (size_t i = 0; i < series->n; i++) {
                n += isfinite(series->y[i]) && !has_place(series->y[i], plot->scale);
            }
        }
    }
    return n;
}

static struct range range_of_x(const struct plot *plot)
{
    struct range range = {INFINITY, -INFINITY};
    for (size_t p = 0; p < plot->n; p++) {
        for (size_t s = 0; s < plot->panels[p].n; s++) {
            for (size_t i = 0; i < plot->panels[p].series[s].n; i++) {
                extend(&range, plot->panels[p].series[s].x[i]);
            }
        }
    }
    return range;
}

/* The axis of x. Where all x are whole numbers, such as passes, so are its ticks. */
static struct plot_axis axis_of_x(const struct plot *plot)
{
    const struct range range = range_of_x(plot);
    struct plot_axis axis = range.min > range.max ? plot_axis_of(0, 1, PLOT_LINEAR)
                                                  : plot_axis_of(range.min, range.max, PLOT_LINEAR);
    bool whole = true;
    for (size_t p = 0; p < plot->n; p++) {
        for (size_t s = 0; s < plot->panels[p].n; s++) {
            const struct plot_series *series = &plot->panels[p].series[s];
            for (size_t i = 0; i < series->n; i++) {
                whole = whole && series->x[i] == floor(series->x[i]);
            }
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < axis.n; i++) {
        if (!whole || fabs(axis.ticks[i] - round(axis.ticks[i])) < 1e-6) {
            axis.ticks[kept++] = axis.ticks[i];
        }
    }
    axis.n = kept;
    return axis;
}

/* ---- the look of a curve ---- */

/* A part of a curve's line: whole, dashed, dotted, or both in turn, so that of curves that overlie the lower one shows
 * through the upper one's gaps. *along: how far the line has come, pixels. */
static void ink_part(struct ink *ink, double x0, double y0, double x1, double y1, size_t line, double *along)
{
    static const double patterns[LINES][4] = {
        {INFINITY, 0, 0, 0}, {13, 13, 13, 13}, {2, 10, 2, 10}, {16, 9, 1, 9}}; /* ink and gap, twice */
    const double *pattern = patterns[line % LINES];
    const double length = hypot(x1 - x0, y1 - y0), period = pattern[0] + pattern[1] + pattern[2] + pattern[3];
    if (isinf(period)) {
        ink_line(ink, x0, y0, x1, y1, LINE);
        return;
    }
    const double begin = -fmod(*along, period); /* of the first pattern, seen from x0, y0 */
    const long halves = 2 * (long)ceil((length - begin) / period);
    for (long i = 0; i < halves && length > 0; i++) {
        const bool second = i % 2 == 1;
        const long before = i / 2; /* patterns */
        const double from = begin + (double)before * period + (second ? pattern[0] + pattern[1] : 0);
        const double a = fmax(from, 0), b = fmin(from + pattern[second ? 2 : 0], length);
        if (a <= b) {
            ink_line(ink, x0 + (x1 - x0) * a / length, y0 + (y1 - y0) * a / length,
                     x0 + (x1 - x0) * b / length, y0 + (y1 - y0) * b / length, LINE);
        }
    }
    *along += length;
}

/* Marker of a style, about its centre: a disc, a square, a triangle, a diamond, or a cross; or its
 * outline, which fits around one that is filled, and within which the curve's own line is wiped away. */
static void ink_marker(struct ink *ink, double cx, double cy, size_t style, bool open)
{
    const double r = open ? OPEN_MARKER : MARKER;
    for (long y = (long)floor(cy - 2 * r); y <= (long)ceil(cy + 2 * r); y++) {
        for (long x = (long)floor(cx - 2 * r); x <= (long)ceil(cx + 2 * r); x++) {
            const double u = fabs((double)x - cx), v = fabs((double)y - cy), w = (double)y - cy;
            double inside = 0; /* how far inside of the marker's edge, pixels */
            switch (style % 5) {
            case 0:
                inside = r - hypot(u, v);
                break;
            case 1:
                inside = 0.9 * r - fmax(u, v);
                break;
            case 2: /* upright triangle */
                inside = fmin(0.7 * r - w, (1.3 * r + w) * 0.5 - u * 0.866);
                break;
            case 3:
                inside = (1.35 * r - u - v) * 0.7071;
                break;
            default: /* the arms of a slanted cross */
                inside = fmin(0.3 * r - fabs(u - v) * 0.7071, r - fmax(u, v));
            }
            if (open && inside > OUTLINE / 2) {
                ink_wipe(ink, x, y);
            }
            ink_dot(ink, x, y, (open ? fmin(inside, OUTLINE - inside) : inside) + 0.5);
        }
    }
}

/* ---- layout ---- */

struct page {
    size_t columns, rows;
    size_t left;  /* of a panel's area: room for its ticks */
    size_t above; /* height of the legends in the row that is being painted */
    size_t below; /* ticks and label of x */
    size_t head;  /* title and subtitle */
    size_t width, height;
    struct plot_axis x;
};

/* The name of a curve as far as it fits: the middle of a longer one is left out. */
static void shorten(char out[NAME_BYTES], const char *name, size_t letters, size_t width, struct text *text)
{
    const size_t length = strlen(name);
    size_t keep = length / 2 < NAME_BYTES / 2 - 4 ? length / 2 : NAME_BYTES / 2 - 4; /* at either end */
    if (length < NAME_BYTES && text_width(text, name, letters) <= width) {
        snprintf(out, NAME_BYTES, "%s", name);
        return;
    }
    do {
        size_t front = keep, back = length - keep;
        while (front > 0 && ((unsigned char)name[front] & 0xc0) == 0x80) { /* not within a character */
            front--;
        }
        while (back < length && ((unsigned char)name[back] & 0xc0) == 0x80) {
            back++;
        }
        snprintf(out, NAME_BYTES, "%.*s…%s", (int)front, name, name + back);
    } while (keep-- > 1 && text_width(text, out, letters) > width);
}

static bool has_legend(const struct plot_panel *panel)
{
    return panel->n > 1;
}

static size_t panel_width(const struct page *page)
{
    return page->left + AREA_WIDTH;
}

/* Go through the legend, drawing it if `image` is given; returns its lines. */
static size_t legend(struct image *image, size_t left, size_t top, size_t width,
                     const struct plot_panel *panel, struct text *text)
{
    size_t x = 0, lines = 1;
    for (size_t s = 0; s < panel->n; s++) {
        const struct plot_series *series = &panel->series[s];
        char name[NAME_BYTES];
        shorten(name, series->name, LABEL, width - LEGEND_SAMPLE - LABEL / 2, text);
        const size_t needs = LEGEND_SAMPLE + LABEL / 2 + text_width(text, name, LABEL);
        if (x > 0 && x + needs > width) {
            x = 0;
            lines++;
        }
        if (image != NULL) {
            uint8_t mask[LEGEND_SAMPLE * 32] = {0};
            struct ink ink = INK(mask, LEGEND_SAMPLE, 32);
            double along = 0;
            ink_part(&ink, 2, 16, LEGEND_SAMPLE - 3, 16, series->line, &along);
            ink_marker(&ink, LEGEND_SAMPLE / 2.0, 16, series->style, series->line % 2 == 1);
            const size_t y = top + (lines - 1) * LABEL * 3 / 2;
            ink_apply(&ink, image, (long)(left + x), (long)(y + LABEL * 5 / 8) - 16,
                      plot_colour(series->style));
            text_draw(text, image, left + x + LEGEND_SAMPLE + LABEL / 2, y + LABEL, name, LABEL, BLACK);
        }
        x += needs + LABEL * 3 / 4;
    }
    return lines;
}

/* Width of the widest tick of a panel. */
static size_t ticks_width(const struct plot_panel *panel, enum plot_scale scale, struct text *text)
{
    const struct range range = range_of_y(panel, scale);
    size_t widest = 0;
    if (range.min > range.max) {
        return 0;
    }
    const struct plot_axis axis = plot_axis_of(range.min, range.max, scale);
    for (size_t i = 0; i < axis.n; i++) {
        char tick[32];
        plot_tick(tick, &axis, i);
        widest = at_least(widest, text_width(text, tick, LABEL));
    }
    return widest;
}

/* Height of a panel's legend. */
static size_t legend_height(const struct plot_panel *panel, struct text *text)
{
    return has_legend(panel) ? legend(NULL, 0, 0, AREA_WIDTH, panel, text) * LABEL * 3 / 2 : 0;
}

/* Height of the legends in a row of panels. */
static size_t row_legends(const struct page *page, const struct plot *plot, size_t row, struct text *text)
{
    size_t highest = 0;
    for (size_t p = row * page->columns; p < plot->n && p < (row + 1) * page->columns; p++) {
        highest = at_least(highest, legend_height(&plot->panels[p], text));
    }
    return highest;
}

/* Height of what stands above the axes in a row of panels: titles and legends. */
static size_t row_above(const struct page *page, const struct plot *plot, size_t row, struct text *text)
{
    return PANEL_TITLE * 3 / 2 + LABEL / 3 + row_legends(page, plot, row, text);
}

static void plan(struct page *page, const struct plot *plot, struct text *text)
{
    *page = (struct page){.columns = plot->columns != 0 ? plot->columns
                                     : plot->n <= 2     ? plot->n
                                     : plot->n == 4     ? 2
                                                        : 3,
                          .x = axis_of_x(plot)};
    page->columns = at_least(at_most(page->columns, plot->n), 1);
    page->rows = (plot->n + page->columns - 1) / page->columns;
    for (size_t p = 0; p < plot->n; p++) {
        page->left =
            at_least(page->left, ticks_width(&plot->panels[p], plot->scale, text) + TICK + LABEL / 2);
    }
    page->below = TICK + LABEL * 3 / 2 + (plot->x_label != NULL ? LABEL * 3 / 2 : 0);
    page->head = plot->title != NULL ? TITLE * 4 / 3 : 0;
    page->head += plot->subtitle != NULL ? LABEL * 3 / 2 : 0;
    page->head += page->head > 0 ? LABEL : 0;
    page->width = page->columns * (panel_width(page) + GAP) - GAP;
    page->width = at_least(page->width, text_width(text, plot->title, TITLE));
    page->width = at_least(page->width, text_width(text, plot->subtitle, LABEL)) + 2 * MARGIN;
    page->height = page->head + (page->rows - 1) * GAP / 2 + 2 * MARGIN;
    for (size_t row = 0; row < page->rows; row++) {
        page->height += row_above(page, plot, row, text) + AREA_HEIGHT + page->below;
    }
}

/* ---- painting ---- */

static double pixel_x(const struct page *page, double value)
{
    return plot_place(&page->x, value) * (AREA_WIDTH - 1);
}

static double pixel_y(const struct plot_axis *axis, double value)
{
    return (1 - plot_place(axis, value)) * (AREA_HEIGHT - 1);
}

static void paint_axes(struct image *image, size_t left, size_t top, const struct page *page,
                       const struct plot_axis *y, bool named, const char *x_label, struct text *text)
{
    char tick[32];
    for (size_t i = 0; i < y->n; i++) {
        const size_t at = top + (size_t)lround(pixel_y(y, y->ticks[i]));
        draw_fill(image, left, at, AREA_WIDTH, 1, GRID_SHADE);
        draw_fill(image, left - TICK, at, TICK, 2, AXIS_SHADE);
        plot_tick(tick, y, i);
        text_draw(text, image, left - TICK - LABEL / 3 - text_width(text, tick, LABEL), at + LABEL * 3 / 8,
                  tick, LABEL, BLACK);
    }
    for (size_t i = 0; i < page->x.n; i++) {
        const size_t at = left + (size_t)lround(pixel_x(page, page->x.ticks[i]));
        draw_fill(image, at, top, 1, AREA_HEIGHT, GRID_SHADE);
        draw_fill(image, at, top + AREA_HEIGHT, 2, TICK, AXIS_SHADE);
        plot_tick(tick, &page->x, i);
        const size_t half = text_width(text, tick, LABEL) / 2;
        text_draw(text, image, at > half ? at - half : 0, top + AREA_HEIGHT + TICK + LABEL * 9 / 8, tick,
                  LABEL, BLACK);
    }
    draw_fill(image, left - 1, top, 2, AREA_HEIGHT + 1, AXIS_SHADE);
    draw_fill(image, left - 1, top + AREA_HEIGHT - 1, AREA_WIDTH + 1, 2, AXIS_SHADE);
    if (named && x_label != NULL) {
        text_draw(text, image, left + (AREA_WIDTH - text_width(text, x_label, LABEL)) / 2,
                  top + AREA_HEIGHT + TICK + LABEL * 5 / 2, x_label, LABEL, BLACK);
    }
}

/* Where a value is in the mask, which has a border of MARGIN, so that markers at the edges are whole. */
static void place_in_mask(double at[2], const struct page *page, const struct plot_axis *y,
                          const struct plot_series *series, size_t i)
{
    at[0] = MARGIN + pixel_x(page, series->x[i]);
    at[1] = MARGIN + pixel_y(y, series->y[i]);
}

static void paint_curve(struct ink *ink, const struct page *page, const struct plot_axis *y,
                        const struct plot_series *series, enum plot_scale scale)
{
    const size_t every = series->n / MARKERS_MAX + 1;
    double last[2], at[2], along = 0;
    for (size_t i = 1; i < series->n; i++) {
        if (has_place(series->y[i - 1], scale) && has_place(series->y[i], scale)) {
            place_in_mask(last, page, y, series, i - 1);
            place_in_mask(at, page, y, series, i);
            ink_part(ink, last[0], last[1], at[0], at[1], series->line, &along);
        }
    }
    for (size_t i = 0; i < series->n; i++) {
        const bool begins = i == 0 || !has_place(series->y[i - 1], scale);
        if (has_place(series->y[i], scale) && (i % every == 0 || begins)) {
            place_in_mask(at, page, y, series, i);
            ink_marker(ink, at[0], at[1], series->style, series->line % 2 == 1);
        }
    }
}

/* The panel's title, with the name of a single curve, in letters that fit; if need be, the name is shortened. */
static void paint_panel_title(struct image *image, size_t x, size_t y, size_t width,
                              const struct plot_panel *panel, struct text *text)
{
    const char *curve = panel->n == 1 ? panel->series[0].name : "";
    char title[512], name[NAME_BYTES];
    snprintf(title, sizeof title, "%s%s%s%s", panel->title, curve[0] != '\0' ? " (" : "", curve,
             curve[0] != '\0' ? ")" : "");
    const size_t letters = draw_fit_letters(text, title, PANEL_TITLE, LABEL * 3 / 4, width);
    if (curve[0] != '\0' && text_width(text, title, letters) > width) {
        snprintf(title, sizeof title, "%s ()", panel->title);
        const size_t used = text_width(text, title, letters);
        shorten(name, curve, letters, used < width ? width - used : 0, text);
        snprintf(title, sizeof title, "%s (%s)", panel->title, name);
    }
    text_draw(text, image, x, y, title, letters, BLACK);
}

/* One panel, whose axes' upper left corner is at (left, top). */
static void paint_panel(struct image *image, size_t left, size_t top, const struct page *page,
                        const struct plot *plot, size_t p, struct ink *ink, struct text *text)
{
    const struct plot_panel *panel = &plot->panels[p];
    const struct range range = range_of_y(panel, plot->scale);
    const struct plot_axis y = range.min > range.max ? (struct plot_axis){.high = 1}
                                                     : plot_axis_of(range.min, range.max, plot->scale);
    const bool lowest = p + page->columns >= plot->n;                        /* nothing stands below it */
    const size_t baseline = top - page->above - LABEL / 3 - PANEL_TITLE / 2; /* the same in all of the row */
    paint_panel_title(image, left - page->left, baseline, panel_width(page), panel, text);
    if (has_legend(panel)) {
        legend(image, left, top - page->above - LABEL / 3, AREA_WIDTH, panel, text);
    }
    paint_axes(image, left, top, page, &y, lowest, plot->x_label, text);
    if (range.min > range.max) {
        text_draw(text, image, left + LABEL, top + AREA_HEIGHT / 2,
                  plot->scale == PLOT_LOG ? "no values above 0" : "no values", LABEL, SUBDUED);
    }
    static const size_t upwards[LINES] = {0, 1, 3, 2}; /* what leaves most gaps comes last */
    for (size_t i = 0; i < LINES * panel->n; i++) {
        const struct plot_series *series = &panel->series[i % panel->n];
        if (series->line % LINES == upwards[i / panel->n]) {
            paint_curve(ink, page, &y, series, plot->scale);
            ink_apply(ink, image, (long)left - MARGIN, (long)top - MARGIN, plot_colour(series->style));
        }
    }
}

int plot_draw(struct image *out, const struct plot *plot, struct text *text)
{
    struct page page;
    struct ink ink = INK(NULL, AREA_WIDTH + 2 * MARGIN, AREA_HEIGHT + 2 * MARGIN);
    plan(&page, plot, text);
    int status = image_init(out, page.width, page.height, 3, WHITE);
    if (status != LOOM_OK) {
        return status;
    }
    ink.mask = calloc(ink.width, ink.height);
    if (ink.mask == NULL) {
        image_fini(out);
        return error_set(LOOM_EINTERNAL, "no memory for a plot");
    }
    size_t y = MARGIN;
    if (plot->title != NULL) {
        text_draw(text, out, MARGIN, y + TITLE, plot->title, TITLE, BLACK);
        y += TITLE * 4 / 3;
    }
    if (plot->subtitle != NULL) {
        text_draw(text, out, MARGIN, y + LABEL, plot->subtitle, LABEL, SUBDUED);
    }
    y = MARGIN + page.head;
    for (size_t row = 0; row < page.rows; row++) {
        page.above = row_legends(&page, plot, row, text);
        y += row_above(&page, plot, row, text);
        for (size_t p = row * page.columns; p < plot->n && p < (row + 1) * page.columns; p++) {
            paint_panel(out, MARGIN + p % page.columns * (panel_width(&page) + GAP) + page.left, y, &page,
                        plot, p, &ink, text);
        }
        y += AREA_HEIGHT + page.below + GAP / 2;
    }
    free(ink.mask);
    return LOOM_OK;
}

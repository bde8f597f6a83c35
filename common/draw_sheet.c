/* Sheets of maps to be compared; see draw.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "draw_parts.h"

#define SHEET_SIDE 1200    /* pixels of the largest map of a sheet of one column */
#define SHEET_BEYOND 0.005 /* share of the numbers that may lie beyond either end of the grey scale */
#define LINE_BYTES 320     /* of a line below a map's title */
#define SHEET_BINS 4096    /* in which these ends are looked for */

/* Sizes in pixels of a sheet's parts. */
struct sheet_page {
    const struct colours *colours;
    struct draw_scale scale;        /* of all maps */
    size_t pixels;                  /* a number */
    size_t cell_width, cell_height; /* of the largest map */
    size_t label, small;            /* letters of the title and of the lines of the subtitle above a map */
    size_t above, gap;              /* height of all these lines; between places */
    size_t columns, rows;
    size_t title, subtitle; /* letters */
    size_t margin, lines;   /* lines: height of title and subtitle */
    struct draw_bar bar;
    size_t width, height;
};

/* A map as it stands on the sheet. */
static struct draw_map placed(const struct sheet_page *page, const struct draw_map *map)
{
    struct draw_map scaled = *map;
    scaled.scale = page->pixels;
    scaled.colours = page->colours;
    scaled.separators = map->grid_x * map->grid_y > 1;
    return scaled;
}

/* The range of all finite numbers of the maps; {INFINITY, -INFINITY} if there are none. */
static struct draw_scale range_of(const struct draw_map *maps, size_t n)
{
    struct draw_scale range = {.min = INFINITY, .max = -INFINITY};
    for (size_t i = 0; i < n; i++) {
        const size_t size = draw_count_numbers(&maps[i]);
        for (size_t j = 0; maps[i].data != NULL && j < size; j++) {
            if (isfinite(maps[i].data[j])) {
                range.min = fmin(range.min, maps[i].data[j]);
                range.max = fmax(range.max, maps[i].data[j]);
            }
        }
    }
    return range;
}

/* Move both ends of the range inwards by bins that hold, with all beyond, at most SHEET_BEYOND of the numbers. */
static void narrow(struct draw_scale *range, const struct draw_map *maps, size_t n)
{
    size_t counts[SHEET_BINS] = {0}, all = 0;
    const double width = (range->max - range->min) / SHEET_BINS;
    for (size_t i = 0; i < n && width > 0; i++) {
        const size_t size = draw_count_numbers(&maps[i]);
        for (size_t j = 0; maps[i].data != NULL && j < size; j++) {
            if (isfinite(maps[i].data[j])) {
                const double bin = (maps[i].data[j] - range->min) / width;
                counts[bin < 0 ? 0 : bin < SHEET_BINS ? (size_t)bin : SHEET_BINS - 1]++;
                all++;
            }
        }
    }
    const double few = SHEET_BEYOND * (double)all;
    size_t first = 0, end = SHEET_BINS, below = 0, above = 0;
    while (first + 1 < end && (double)(below + counts[first]) <= few) {
        below += counts[first++];
    }
    while (first + 1 < end && (double)(above + counts[end - 1]) <= few) {
        above += counts[--end];
    }
    range->max = end < SHEET_BINS ? range->min + width * (double)end : range->max;
    range->min += width * (double)first;
}

struct draw_scale draw_scale_of(const struct draw_map *maps, size_t n)
{
    const struct draw_scale range = range_of(maps, n);
    if (range.min > range.max) {
        return (struct draw_scale){0};
    }
    struct draw_scale scale = range;
    narrow(&scale, maps, n);
    narrow(&scale, maps, n); /* again: one large number may have made the bins coarse */
    if (!(scale.max - scale.min > (range.max - range.min) * 1e-6)) {
        scale.min = fmin(range.min, 0);
        scale.max = fmax(range.max, 0);
    }
    scale.below = range.min < scale.min;
    scale.above = range.max > scale.max;
    return scale;
}

/* The scale with 0 in the middle, where the colours want that. */
static struct draw_scale centre(struct draw_scale scale, const struct colours *colours)
{
    if (colours->diverging) {
        const double most = fmax(fabs(scale.min), fabs(scale.max));
        scale.below = scale.below && -most >= scale.min;
        scale.above = scale.above && most <= scale.max;
        scale.min = -most;
        scale.max = most;
    }
    return scale;
}

/* The next line of a subtitle, copied; NULL behind the last one. */
static const char *next_line(char line[LINE_BYTES], const char *from)
{
    const size_t length = strcspn(from, "\n");
    snprintf(line, LINE_BYTES, "%.*s", (int)length, from);
    return from[length] == '\n' ? from + length + 1 : NULL;
}

/* The letters in which all subtitles fit, and how many lines the longest has. */
static size_t plan_subtitles(struct sheet_page *page, const struct draw_sheet *sheet, struct text *text)
{
    size_t most = 1;
    for (size_t i = 0; i < sheet->n; i++) {
        size_t lines = 0;
        for (const char *at = sheet->maps[i].subtitle; at != NULL; lines++) {
            char line[LINE_BYTES];
            at = next_line(line, at);
            page->small = draw_fit_letters(text, line, page->small, 8, page->cell_width);
        }
        most = at_least(lines, most);
    }
    return most;
}

static void plan_cells(struct sheet_page *page, const struct draw_sheet *sheet, struct text *text)
{
    size_t longest = 1;
    for (size_t i = 0; i < sheet->n; i++) {
        const struct draw_map *map = &sheet->maps[i];
        if (map->data != NULL) {
            longest = at_least(map->grid_x * map->tile_width, longest);
            longest = at_least(map->grid_y * map->tile_height, longest);
        }
    }
    page->colours = sheet->colours != NULL ? sheet->colours : &colours_grey;
    page->scale = centre(draw_scale_of(sheet->maps, sheet->n), page->colours);
    page->columns = at_most(sheet->columns, sheet->n);
    page->rows = (sheet->n + page->columns - 1) / page->columns;
    page->pixels = at_least((size_t)(SHEET_SIDE / sqrt((double)page->columns)) / longest, 1);
    page->cell_width = page->cell_height = 120;
    for (size_t i = 0; i < sheet->n; i++) {
        if (sheet->maps[i].data != NULL) {
            const struct draw_map map = placed(page, &sheet->maps[i]);
            const struct layout layout = draw_lay_out(&map);
            page->cell_width = at_least(layout.width, page->cell_width);
            page->cell_height = at_least(layout.height, page->cell_height);
        }
    }
    page->label = at_most(at_least(page->cell_width / 20, 14), 30);
    page->small = page->label * 3 / 4;
    for (size_t i = 0; i < sheet->n; i++) {
        const struct draw_map *map = &sheet->maps[i];
        page->label = draw_fit_letters(text, map->title, page->label, 8, page->cell_width);
    }
    const size_t lines = plan_subtitles(page, sheet, text);
    page->above = page->label * 4 / 3 + (lines - 1) * page->small * 4 / 3 + page->small * 5 / 3;
    page->gap = at_least(page->label, 16);
}

static void plan_sheet(struct sheet_page *page, const struct draw_sheet *sheet, struct text *text)
{
    plan_cells(page, sheet, text);
    const size_t width = page->columns * (page->cell_width + page->gap) - page->gap;
    const size_t height = page->rows * (page->above + page->cell_height + page->gap) - page->gap;
    page->title = at_most(at_least(width / 45, 18), 44);
    page->subtitle = page->title * 3 / 4;
    page->margin = page->title * 5 / 4;
    page->lines = page->title * 4 / 3 + page->subtitle * 3 / 2 + page->title;
    page->bar = (struct draw_bar){.colours = page->colours,
                                  .scale = &page->scale,
                                  .width = page->title,
                                  .height = at_least(page->cell_height, 6 * page->subtitle),
                                  .label = page->subtitle,
                                  .tick = page->subtitle / 3,
                                  .line = at_least(page->cell_width / 1000, 1)};
    const size_t bar = sheet->own_scales ? 0 : page->title + draw_bar_width(&page->bar, text);
    page->width = at_least(width + bar, text_width(text, sheet->title, page->title));
    page->width = at_least(page->width, text_width(text, sheet->subtitle, page->subtitle)) + 2 * page->margin;
    page->height = page->lines + at_least(height, page->above + page->bar.height) + 2 * page->margin;
}

static void paint_cell(struct image *image, size_t x, size_t y, const struct sheet_page *page,
                       const struct draw_map *map, bool own_scale, struct text *text)
{
    if (map->title != NULL) {
        text_draw(text, image, x, y + page->label, map->title, page->label, BLACK);
    }
    size_t foot = y + page->label * 4 / 3 + page->small;
    for (const char *at = map->subtitle; at != NULL; foot += page->small * 4 / 3) {
        char line[LINE_BYTES];
        at = next_line(line, at);
        text_draw(text, image, x, foot, line, page->small, SUBDUED);
    }
    y += page->above;
    if (map->data == NULL) {
        draw_frame(image, x, y, page->cell_width, page->cell_height, page->bar.line);
        return;
    }
    const struct draw_map scaled = placed(page, map);
    const struct layout layout = draw_lay_out(&scaled);
    const struct draw_scale scale = own_scale ? centre(draw_scale_of(map, 1), page->colours) : page->scale;
    draw_frame(image, x, y, layout.width, layout.height, page->bar.line);
    draw_paint(image, x, y, &scaled, &layout, &scale);
}

int draw_sheet(struct image *out, const struct draw_sheet *sheet, struct text *text)
{
    struct sheet_page page = {.pixels = 1};
    plan_sheet(&page, sheet, text);
    const int status = image_init(out, page.width, page.height, draw_channels(page.colours), WHITE);
    if (status != LOOM_OK) {
        return status;
    }
    size_t y = page.margin;
    if (sheet->title != NULL) {
        text_draw(text, out, page.margin, y + page.title, sheet->title, page.title, BLACK);
    }
    y += page.title * 4 / 3;
    if (sheet->subtitle != NULL) {
        text_draw(text, out, page.margin, y + page.subtitle, sheet->subtitle, page.subtitle, SUBDUED);
    }
    y = page.margin + page.lines;
    for (size_t i = 0; i < sheet->n; i++) {
        paint_cell(out, page.margin + i % page.columns * (page.cell_width + page.gap),
                   y + i / page.columns * (page.above + page.cell_height + page.gap), &page, &sheet->maps[i],
                   sheet->own_scales, text);
    }
    if (!sheet->own_scales) {
        draw_bar(out, page.margin + page.columns * (page.cell_width + page.gap) - page.gap + page.title,
                 y + page.above, &page.bar, text);
    }
    return LOOM_OK;
}

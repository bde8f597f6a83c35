/* See draw.h. */
#include "draw.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WHITE = 255, BLACK = 0, SUBDUED = 85, SEPARATOR = 176, FRAME = 150 };

/* ---- numbers to shades ---- */

/* ColorBrewer's nine-class "Greys" (Cynthia Brewer, Pennsylvania State University), from light to dark. */
static const uint8_t greys[] = {0xff, 0xf0, 0xd9, 0xbd, 0x96, 0x73, 0x52, 0x25, 0x00};

/* The shade of a part (0..1) of the maximum; white for anything that is not in (0, 1]. */
static uint8_t shade_of(double part)
{
    if (!(part > 0)) {
        return WHITE;
    }
    const double place = (part < 1 ? part : 1) * (sizeof greys - 1);
    const size_t below = place < sizeof greys - 2 ? (size_t)place : sizeof greys - 2;
    const double step = place - (double)below;
    return (uint8_t)(greys[below] + step * ((double)greys[below + 1] - greys[below]) + 0.5);
}

struct summary {
    double max;                  /* of the finite numbers, at least 0 */
    size_t not_finite, negative; /* how many */
};

static struct summary summarize(const struct draw_map *map)
{
    struct summary summary = {0};
    const size_t n = map->grid_x * map->grid_y * map->tile_width * map->tile_height;
    for (size_t i = 0; i < n; i++) {
        const float value = map->data[i];
        if (!isfinite(value)) {
            summary.not_finite++;
        } else if (value < 0) {
            summary.negative++;
        } else if (value > summary.max) {
            summary.max = value;
        }
    }
    return summary;
}

/* ---- what is shown, and how large ---- */

struct layout {
    size_t units_x, units_y;     /* shown, from the upper left */
    size_t numbers_x, numbers_y; /* of each unit, likewise */
    size_t scale;                /* pixels a number */
    size_t gap;                  /* pixels between units */
    size_t width, height;        /* pixels */
};

static size_t at_most(size_t value, size_t limit)
{
    return value < limit ? value : limit;
}

static size_t at_least(size_t value, size_t limit)
{
    return value > limit ? value : limit;
}

static struct layout lay_out(const struct draw_map *map)
{
    struct layout layout = {.gap = map->separators ? 1 : 0};
    layout.numbers_x = at_most(map->tile_width, DRAW_SIDE_MAX);
    layout.numbers_y = at_most(map->tile_height, DRAW_SIDE_MAX);
    layout.units_x = at_most(map->grid_x, (DRAW_SIDE_MAX + layout.gap) / (layout.numbers_x + layout.gap));
    layout.units_y = at_most(map->grid_y, (DRAW_SIDE_MAX + layout.gap) / (layout.numbers_y + layout.gap));
    const size_t gaps = layout.gap * at_least(layout.units_x - 1, layout.units_y - 1);
    const size_t longer = at_least(layout.units_x * layout.numbers_x, layout.units_y * layout.numbers_y);
    const size_t largest = at_least((DRAW_SIDE_MAX - at_most(gaps, DRAW_SIDE_MAX)) / longer, 1);
    const size_t usual = at_least((map->side != 0 ? map->side : DRAW_SIDE_USUAL) / longer, 1);
    layout.scale = at_most(map->scale != 0 ? map->scale : usual, largest);
    layout.width = layout.units_x * layout.numbers_x * layout.scale + (layout.units_x - 1) * layout.gap;
    layout.height = layout.units_y * layout.numbers_y * layout.scale + (layout.units_y - 1) * layout.gap;
    return layout;
}

static void add_note(char note[DRAW_NOTE_BYTES], const char *text)
{
    const size_t used = strlen(note);
    snprintf(note + used, DRAW_NOTE_BYTES - used, "%s%s", used > 0 ? "; " : "", text);
}

static void write_note(char note[DRAW_NOTE_BYTES], const struct draw_map *map, const struct layout *layout,
                       const struct summary *summary)
{
    char text[120];
    note[0] = '\0';
    if (layout->units_x < map->grid_x || layout->units_y < map->grid_y) {
        snprintf(text, sizeof text, "only the first %zu × %zu of %zu × %zu units are shown", layout->units_x,
                 layout->units_y, map->grid_x, map->grid_y);
        add_note(note, text);
    }
    if (layout->numbers_x < map->tile_width || layout->numbers_y < map->tile_height) {
        snprintf(text, sizeof text, "only the first %zu × %zu of %zu × %zu numbers are shown",
                 layout->numbers_x, layout->numbers_y, map->tile_width, map->tile_height);
        add_note(note, text);
    }
    if (summary->not_finite > 0) {
        snprintf(text, sizeof text, "numbers that are not finite, left white: %zu", summary->not_finite);
        add_note(note, text);
    }
    if (summary->negative > 0) {
        snprintf(text, sizeof text, "numbers below 0, left white: %zu", summary->negative);
        add_note(note, text);
    }
}

void draw_map_note(char note[DRAW_NOTE_BYTES], const struct draw_map *map)
{
    const struct layout layout = lay_out(map);
    const struct summary summary = summarize(map);
    write_note(note, map, &layout, &summary);
}

/* ---- painting ---- */

static void fill(struct image *image, size_t x, size_t y, size_t width, size_t height, uint8_t shade)
{
    for (size_t row = 0; row < height; row++) {
        memset(image->pixels + (y + row) * image->width + x, shade, width);
    }
}

/* Paint one line of pixels: row y of each unit of row unit_y. */
static void paint_line(uint8_t *line, const struct draw_map *map, const struct layout *layout, size_t unit_y,
                       size_t y, const struct draw_scale *shades)
{
    const double span = shades->max - shades->min;
    const size_t scale = layout->scale, tile_size = map->tile_width * map->tile_height;
    for (size_t unit_x = 0; unit_x < layout->units_x; unit_x++) {
        const float *row = map->data + (unit_y * map->grid_x + unit_x) * tile_size + y * map->tile_width;
        for (size_t x = 0; x < layout->numbers_x; x++, line += scale) {
            memset(line, isfinite(row[x]) ? shade_of((row[x] - shades->min) / span) : WHITE, scale);
        }
        line += layout->gap;
    }
}

/* Paint the map with its upper left corner at (left, top). */
static void paint(struct image *image, size_t left, size_t top, const struct draw_map *map,
                  const struct layout *layout, const struct draw_scale *shades)
{
    const size_t scale = layout->scale;
    if (layout->gap > 0) {
        fill(image, left, top, layout->width, layout->height, SEPARATOR);
    }
    const size_t rows = layout->units_y * layout->numbers_y;
    for (size_t y = 0; y < rows; y++) {
        uint8_t *line =
            image->pixels + (top + y * scale + y / layout->numbers_y * layout->gap) * image->width + left;
        paint_line(line, map, layout, y / layout->numbers_y, y % layout->numbers_y, shades);
        for (size_t i = 1; i < scale; i++) {
            memcpy(line + i * image->width, line, layout->width);
        }
    }
}

int draw_map_plain(struct image *out, const struct draw_map *map)
{
    const struct layout layout = lay_out(map);
    const struct summary summary = summarize(map);
    const int status = image_init(out, layout.width, layout.height, 1, WHITE);
    if (status == LOOM_OK) {
        paint(out, 0, 0, map, &layout, &(struct draw_scale){.max = summary.max});
    }
    return status;
}

/* A line one pixel (or `thickness`) wide just around a rectangle. */
static void frame(struct image *image, size_t x, size_t y, size_t width, size_t height, size_t thickness)
{
    fill(image, x - thickness, y - thickness, width + 2 * thickness, thickness, FRAME);
    fill(image, x - thickness, y + height, width + 2 * thickness, thickness, FRAME);
    fill(image, x - thickness, y, thickness, height, FRAME);
    fill(image, x + width, y, thickness, height, FRAME);
}

/* Sizes of everything around the map, in pixels; letters grow with the map so that prints stay legible. */
struct page {
    size_t title, label; /* letters */
    size_t margin, gap;
    size_t line;  /* thickness */
    size_t lines; /* height of title, subtitle and note together */
    size_t bar_width, bar_height, tick;
    size_t width, height;
};

enum { TICKS = 3 };

static void write_tick(char text[32], const struct draw_scale *shades, size_t i)
{
    const double span = shades->max - shades->min;
    const char *beyond = shades->below && i == 0 ? "≤ " : shades->above && i == TICKS - 1 ? "≥ " : "";
    const int digits = span < 0.05 * fabs(shades->max) ? 5 : 3;
    snprintf(text, 32, "%s%.*g", beyond, digits, shades->min + span * (double)i / (TICKS - 1));
}

static struct page plan(const struct draw_map *map, const struct layout *layout, const char *note,
                        const struct draw_scale *shades, struct text *text)
{
    const size_t longer = at_least(layout->width, layout->height);
    struct page page = {.title = at_least(longer / 45, 18), .line = at_least(longer / 1000, 1)};
    page.label = page.title * 3 / 4;
    page.margin = page.title * 5 / 4;
    page.gap = page.title * 3 / 4;
    page.bar_width = page.title;
    page.bar_height = at_least(layout->height, 6 * page.label);
    page.tick = page.label / 3;

    page.lines = map->title != NULL ? page.title * 4 / 3 : 0;
    page.lines += map->subtitle != NULL ? page.label * 3 / 2 : 0;
    page.lines += note[0] != '\0' ? page.label * 3 / 2 : 0;
    page.lines += page.lines > 0 ? page.gap : 0;
    size_t ticks = 0;
    for (size_t i = 0; i < TICKS; i++) {
        char tick[32];
        write_tick(tick, shades, i);
        ticks = at_least(ticks, text_width(text, tick, page.label));
    }
    size_t width = layout->width + page.gap + page.bar_width + 2 * page.tick + ticks;
    width = at_least(width, text_width(text, map->title, page.title));
    width = at_least(width, text_width(text, map->subtitle, page.label));
    width = at_least(width, text_width(text, note, page.label));
    page.width = at_most(width + 2 * page.margin, IMAGE_SIDE_MAX);
    page.height = page.lines + page.bar_height + 2 * page.margin;
    return page;
}

static void paint_bar(struct image *image, size_t x, size_t y, const struct page *page,
                      const struct draw_scale *shades, struct text *text)
{
    const size_t height = page->bar_height;
    for (size_t row = 0; row < height; row++) {
        fill(image, x, y + row, page->bar_width, 1,
             shade_of(((double)(height - row) - 0.5) / (double)height));
    }
    frame(image, x, y, page->bar_width, height, page->line);
    for (size_t i = 0; i < (shades->max > shades->min ? TICKS : 1); i++) { /* an empty map has only a 0 */
        char tick[32];
        write_tick(tick, shades, i);
        const size_t at = y + (height - page->line) * (TICKS - 1 - i) / (TICKS - 1);
        fill(image, x + page->bar_width, at, page->tick, page->line, FRAME);
        text_draw(text, image, x + page->bar_width + 2 * page->tick, at + page->label * 3 / 8, tick,
                  page->label, BLACK);
    }
}

int draw_map_labelled(struct image *out, const struct draw_map *map, struct text *text)
{
    const struct layout layout = lay_out(map);
    const struct summary summary = summarize(map);
    char note[DRAW_NOTE_BYTES];
    write_note(note, map, &layout, &summary);
    const struct draw_scale shades = {.max = summary.max};
    const struct page page = plan(map, &layout, note, &shades, text);
    const int status = image_init(out, page.width, page.height, 1, WHITE);
    if (status != LOOM_OK) {
        return status;
    }

    size_t y = page.margin;
    if (map->title != NULL) {
        text_draw(text, out, page.margin, y + page.title, map->title, page.title, BLACK);
    }
    y += map->title != NULL ? page.title * 4 / 3 : 0;
    if (map->subtitle != NULL) {
        text_draw(text, out, page.margin, y + page.label, map->subtitle, page.label, SUBDUED);
    }
    y += map->subtitle != NULL ? page.label * 3 / 2 : 0;
    text_draw(text, out, page.margin, y + page.label, note, page.label, BLACK);

    y = page.margin + page.lines;
    frame(out, page.margin, y, layout.width, layout.height, page.line);
    paint(out, page.margin, y, map, &layout, &shades);
    paint_bar(out, page.margin + layout.width + page.gap, y, &page, &shades, text);
    return LOOM_OK;
}

/* ---- sheets ---- */

#define SHEET_SIDE 1200    /* pixels of the largest map of a sheet of one column */
#define SHEET_BEYOND 0.005 /* share of the numbers that may lie beyond either end of the grey scale */
#define SHEET_BINS 4096    /* in which these ends are looked for */

/* Sizes in pixels of a sheet's parts. */
struct grid_page {
    struct draw_scale shades;       /* of all maps */
    size_t scale;                   /* pixels a number */
    size_t cell_width, cell_height; /* of the largest map */
    size_t label, small;            /* letters of the two lines above a map */
    size_t above, gap;              /* height of these lines; between places */
    size_t columns, rows;
    struct page page;
};

/* The largest letters up to `size` in which a line is no wider than `width`; 8 pixels if there are none. */
static size_t fit_letters(struct text *text, const char *line, size_t size, size_t width)
{
    while (size > 8 && text_width(text, line, size) > width) {
        size--;
    }
    return size;
}

static struct draw_map at_scale(const struct draw_map *map, size_t scale)
{
    struct draw_map scaled = *map;
    scaled.scale = scale;
    scaled.separators = map->grid_x * map->grid_y > 1;
    return scaled;
}

static size_t count_numbers(const struct draw_map *map)
{
    return map->data == NULL ? 0 : map->grid_x * map->grid_y * map->tile_width * map->tile_height;
}

/* The range of all finite numbers of the maps; {INFINITY, -INFINITY} if there are none. */
static struct draw_scale range_of(const struct draw_map *maps, size_t n)
{
    struct draw_scale range = {.min = INFINITY, .max = -INFINITY};
    for (size_t i = 0; i < n; i++) {
        const size_t size = count_numbers(&maps[i]);
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
        const size_t size = count_numbers(&maps[i]);
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

static void plan_cells(struct grid_page *grid, const struct draw_sheet *sheet, struct text *text)
{
    size_t longest = 1;
    for (size_t i = 0; i < sheet->n; i++) {
        const struct draw_map *map = &sheet->maps[i];
        if (map->data != NULL) {
            longest = at_least(map->grid_x * map->tile_width, longest);
            longest = at_least(map->grid_y * map->tile_height, longest);
        }
    }
    grid->shades = draw_scale_of(sheet->maps, sheet->n);
    grid->columns = at_most(sheet->columns, sheet->n);
    grid->rows = (sheet->n + grid->columns - 1) / grid->columns;
    grid->scale = at_least((size_t)(SHEET_SIDE / sqrt((double)grid->columns)) / longest, 1);
    grid->cell_width = grid->cell_height = 120;
    for (size_t i = 0; i < sheet->n; i++) {
        if (sheet->maps[i].data != NULL) {
            const struct draw_map map = at_scale(&sheet->maps[i], grid->scale);
            const struct layout layout = lay_out(&map);
            grid->cell_width = at_least(layout.width, grid->cell_width);
            grid->cell_height = at_least(layout.height, grid->cell_height);
        }
    }
    grid->label = at_most(at_least(grid->cell_width / 20, 14), 30);
    grid->small = grid->label * 3 / 4;
    for (size_t i = 0; i < sheet->n; i++) {
        grid->label = fit_letters(text, sheet->maps[i].title, grid->label, grid->cell_width);
        grid->small = fit_letters(text, sheet->maps[i].subtitle, grid->small, grid->cell_width);
    }
    grid->above = grid->label * 4 / 3 + grid->small * 5 / 3;
    grid->gap = at_least(grid->label, 16);
}

static void plan_sheet(struct grid_page *grid, const struct draw_sheet *sheet, struct text *text)
{
    struct page *page = &grid->page;
    plan_cells(grid, sheet, text);
    const size_t width = grid->columns * (grid->cell_width + grid->gap) - grid->gap;
    const size_t height = grid->rows * (grid->above + grid->cell_height + grid->gap) - grid->gap;
    page->title = at_most(at_least(width / 45, 18), 44);
    page->label = page->title * 3 / 4;
    page->margin = page->title * 5 / 4;
    page->gap = page->title;
    page->line = at_least(grid->cell_width / 1000, 1);
    page->lines = page->title * 4 / 3 + page->label * 3 / 2 + page->gap;
    page->bar_width = page->title;
    page->bar_height = at_least(grid->cell_height, 6 * page->label);
    page->tick = page->label / 3;
    size_t ticks = 0;
    for (size_t i = 0; i < TICKS; i++) {
        char tick[32];
        write_tick(tick, &grid->shades, i);
        ticks = at_least(ticks, text_width(text, tick, page->label));
    }
    page->width = at_least(width + page->gap + page->bar_width + 2 * page->tick + ticks,
                           text_width(text, sheet->title, page->title));
    page->width = at_least(page->width, text_width(text, sheet->subtitle, page->label)) + 2 * page->margin;
    page->height = page->lines + at_least(height, grid->above + page->bar_height) + 2 * page->margin;
}

static void paint_cell(struct image *image, size_t x, size_t y, const struct grid_page *grid,
                       const struct draw_map *map, bool own_scale, struct text *text)
{
    if (map->title != NULL) {
        text_draw(text, image, x, y + grid->label, map->title, grid->label, BLACK);
    }
    if (map->subtitle != NULL) {
        text_draw(text, image, x, y + grid->label * 4 / 3 + grid->small, map->subtitle, grid->small, SUBDUED);
    }
    y += grid->above;
    if (map->data == NULL) {
        frame(image, x, y, grid->cell_width, grid->cell_height, grid->page.line);
        return;
    }
    const struct draw_map scaled = at_scale(map, grid->scale);
    const struct layout layout = lay_out(&scaled);
    frame(image, x, y, layout.width, layout.height, grid->page.line);
    const struct draw_scale shades = own_scale ? draw_scale_of(map, 1) : grid->shades;
    paint(image, x, y, &scaled, &layout, &shades);
}

int draw_sheet(struct image *out, const struct draw_sheet *sheet, struct text *text)
{
    struct grid_page grid = {.scale = 1};
    plan_sheet(&grid, sheet, text);
    const struct page *page = &grid.page;
    const int status = image_init(out, page->width, page->height, 1, WHITE);
    if (status != LOOM_OK) {
        return status;
    }
    size_t y = page->margin;
    if (sheet->title != NULL) {
        text_draw(text, out, page->margin, y + page->title, sheet->title, page->title, BLACK);
    }
    y += page->title * 4 / 3;
    if (sheet->subtitle != NULL) {
        text_draw(text, out, page->margin, y + page->label, sheet->subtitle, page->label, SUBDUED);
    }
    y = page->margin + page->lines;
    for (size_t i = 0; i < sheet->n; i++) {
        paint_cell(out, page->margin + i % grid.columns * (grid.cell_width + grid.gap),
                   y + i / grid.columns * (grid.above + grid.cell_height + grid.gap), &grid, &sheet->maps[i],
                   sheet->own_scales, text);
    }
    if (!sheet->own_scales) {
        paint_bar(out, page->margin + grid.columns * (grid.cell_width + grid.gap) - grid.gap + page->gap,
                  y + grid.above, page, &grid.shades, text);
    }
    return LOOM_OK;
}

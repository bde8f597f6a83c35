/* See draw.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "draw_parts.h"

const struct colours *draw_colours(const struct draw_map *map)
{
    return map->colours != NULL ? map->colours : &colours_grey;
}

size_t draw_channels(const struct colours *colours)
{
    return colours->grey ? 1 : 3;
}

/* ---- numbers ---- */

struct summary {
    double min, max;             /* of the finite numbers, and 0 */
    size_t not_finite, negative; /* how many */
};

static void add_number(struct summary *summary, float value)
{
    if (!isfinite(value)) {
        summary->not_finite++;
        return;
    }
    summary->negative += value < 0;
    summary->min = fmin(summary->min, (double)value);
    summary->max = fmax(summary->max, (double)value);
}

static struct summary summarize(const float *data, size_t n)
{
    struct summary summary = {0};
    for (size_t i = 0; i < n; i++) {
        add_number(&summary, data[i]);
    }
    return summary;
}

size_t draw_count_numbers(const struct draw_map *map)
{
    return map->data == NULL ? 0 : map->grid_x * map->grid_y * map->tile_width * map->tile_height;
}

static struct summary summarize_map(const struct draw_map *map)
{
    return summarize(map->data, draw_count_numbers(map));
}

bool draw_has_negative(const float *data, size_t n)
{
    return summarize(data, n).negative > 0;
}

/* What the ends of the colours stand for. */
static struct draw_scale whole_scale(const struct colours *colours, const struct summary *summary)
{
    if (colours->diverging) {
        const double most = fmax(-summary->min, summary->max);
        return (struct draw_scale){.min = -most, .max = most};
    }
    return (struct draw_scale){.min = colours->from_zero ? 0 : summary->min, .max = summary->max};
}

/* ---- what is shown, and how large ---- */

struct layout draw_lay_out(const struct draw_map *map)
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
    const struct colours *colours = draw_colours(map);
    if (summary->not_finite > 0) {
        snprintf(text, sizeof text, "numbers that are not finite, left %s: %zu", colours->missing,
                 summary->not_finite);
        add_note(note, text);
    }
    if (summary->negative > 0 && colours->from_zero) {
        snprintf(text, sizeof text, "numbers below 0, left white: %zu", summary->negative);
        add_note(note, text);
    }
}

void draw_map_note(char note[DRAW_NOTE_BYTES], const struct draw_map *map)
{
    const struct layout layout = draw_lay_out(map);
    const struct summary summary = summarize_map(map);
    write_note(note, map, &layout, &summary);
}

/* ---- painting ---- */

void draw_fill_colour(struct image *image, size_t x, size_t y, size_t width, size_t height, uint32_t rgb)
{
    width = x < image->width ? at_most(width, image->width - x) : 0;
    height = y < image->height ? at_most(height, image->height - y) : 0;
    for (size_t row = 0; row < height; row++) {
        uint8_t *pixel = image->pixels + ((y + row) * image->width + x) * image->channels;
        if (image->channels == 1) {
            memset(pixel, (int)(rgb >> 16 & 0xff), width);
            continue;
        }
        for (size_t i = 0; i < width; i++, pixel += 3) {
            pixel[0] = (uint8_t)(rgb >> 16);
            pixel[1] = (uint8_t)(rgb >> 8);
            pixel[2] = (uint8_t)rgb;
        }
    }
}

void draw_fill(struct image *image, size_t x, size_t y, size_t width, size_t height, uint8_t shade)
{
    draw_fill_colour(image, x, y, width, height, (uint32_t)shade << 16 | (uint32_t)shade << 8 | shade);
}

/* The colour of a number. */
static uint32_t colour_of(const struct colours *colours, const struct draw_scale *scale, float value)
{
    if (!isfinite(value)) {
        return colours->missing_rgb;
    }
    const double span = scale->max - scale->min;
    return colours_at(colours, span > 0 ? ((double)value - scale->min) / span : colours->diverging ? 0.5 : 0);
}

/* Paint a unit, one pixel high a row of numbers but as wide as it shall be, then copy these rows downwards. */
static void paint_unit(struct image *image, size_t left, size_t top, const float *data,
                       const struct draw_map *map, const struct layout *layout,
                       const struct draw_scale *scale)
{
    const struct colours *colours = draw_colours(map);
    const size_t stride = image->width * image->channels;
    for (size_t y = 0; y < layout->numbers_y; y++) {
        const size_t row = top + y * layout->scale;
        for (size_t x = 0; x < layout->numbers_x; x++) {
            draw_fill_colour(image, left + x * layout->scale, row, layout->scale, 1,
                             colour_of(colours, scale, data[y * map->tile_width + x]));
        }
        uint8_t *line = image->pixels + row * stride + left * image->channels;
        for (size_t i = 1; i < layout->scale; i++) {
            memcpy(line + i * stride, line, layout->numbers_x * layout->scale * image->channels);
        }
    }
}

void draw_paint(struct image *image, size_t left, size_t top, const struct draw_map *map,
                const struct layout *layout, const struct draw_scale *scale)
{
    const size_t tile = map->tile_width * map->tile_height;
    if (layout->gap > 0) {
        draw_fill(image, left, top, layout->width, layout->height,
                  draw_colours(map)->diverging ? SEPARATOR_DARK : SEPARATOR);
    }
    for (size_t unit_y = 0; unit_y < layout->units_y; unit_y++) {
        for (size_t unit_x = 0; unit_x < layout->units_x; unit_x++) {
            const float *data = map->data + (unit_y * map->grid_x + unit_x) * tile;
            struct draw_scale own;
            if (map->per_unit) {
                const struct summary summary = summarize(data, tile);
                own = whole_scale(draw_colours(map), &summary);
            }
            paint_unit(image, left + unit_x * (layout->numbers_x * layout->scale + layout->gap),
                       top + unit_y * (layout->numbers_y * layout->scale + layout->gap), data, map, layout,
                       map->per_unit ? &own : scale);
        }
    }
}

int draw_map_plain(struct image *out, const struct draw_map *map)
{
    const struct layout layout = draw_lay_out(map);
    const struct summary summary = summarize_map(map);
    const struct draw_scale scale = whole_scale(draw_colours(map), &summary);
    const int status = image_init(out, layout.width, layout.height, draw_channels(draw_colours(map)), WHITE);
    if (status == LOOM_OK) {
        draw_paint(out, 0, 0, map, &layout, &scale);
    }
    return status;
}

void draw_frame(struct image *image, size_t x, size_t y, size_t width, size_t height, size_t thickness)
{
    draw_fill(image, x - thickness, y - thickness, width + 2 * thickness, thickness, FRAME);
    draw_fill(image, x - thickness, y + height, width + 2 * thickness, thickness, FRAME);
    draw_fill(image, x - thickness, y, thickness, height, FRAME);
    draw_fill(image, x + width, y, thickness, height, FRAME);
}

/* ---- the colour bar ---- */

double draw_round(double value, double span)
{
    return fabs(value) < 1e-6 * span ? 0 : value;
}

static size_t count_ticks(const struct draw_bar *bar)
{
    return bar->words != NULL || bar->scale->max > bar->scale->min ? DRAW_TICKS
                                                                   : 1; /* an empty map has only a 0 */
}

static void write_tick(char text[32], const struct draw_bar *bar, size_t i)
{
    const struct draw_scale *scale = bar->scale;
    if (bar->words != NULL) {
        snprintf(text, 32, "%s", bar->words[i]);
        return;
    }
    const double span = scale->max - scale->min, exact = scale->min + span * (double)i / (DRAW_TICKS - 1);
    const double value = draw_round(exact, span);
    const char *beyond = scale->below && i == 0 ? "≤ " : scale->above && i == DRAW_TICKS - 1 ? "≥ " : "";
    const int digits = span < 0.05 * fabs(scale->max) ? 5 : 3;
    snprintf(text, 32, "%s%s%.*g", beyond, value < 0 ? "−" : "", digits, fabs(value));
}

size_t draw_bar_width(const struct draw_bar *bar, struct text *text)
{
    size_t widest = 0;
    for (size_t i = 0; i < count_ticks(bar); i++) {
        char tick[32];
        write_tick(tick, bar, i);
        widest = at_least(widest, text_width(text, tick, bar->label));
    }
    return bar->width + 2 * bar->tick + widest + (bar->name != NULL ? bar->label * 7 / 4 : 0);
}

void draw_bar(struct image *image, size_t x, size_t y, const struct draw_bar *bar, struct text *text)
{
    for (size_t row = 0; row < bar->height; row++) {
        draw_fill_colour(image, x, y + row, bar->width, 1,
                         colours_at(bar->colours, ((double)(bar->height - row) - 0.5) / (double)bar->height));
    }
    draw_frame(image, x, y, bar->width, bar->height, bar->line);
    const size_t lift = bar->label * 3 / 8; /* from the middle of a letter down to its foot */
    for (size_t i = 0; i < count_ticks(bar); i++) {
        char tick[32];
        write_tick(tick, bar, i);
        const size_t at = y + (bar->height - bar->line) * (DRAW_TICKS - 1 - i) / (DRAW_TICKS - 1);
        if (tick[0] != '\0') {
            draw_fill(image, x + bar->width, at, bar->tick, bar->line, FRAME);
            text_draw(text, image, x + bar->width + 2 * bar->tick, at + lift, tick, bar->label, BLACK);
        }
    }
    const size_t length = text_width(text, bar->name, bar->label);
    text_draw_up(text, image, x + draw_bar_width(bar, text) - bar->label / 4, y + (bar->height + length) / 2,
                 bar->name, bar->label, BLACK);
}

size_t draw_fit_letters(struct text *text, const char *line, size_t size, size_t least, size_t width)
{
    while (size > least && text_width(text, line, size) > width) {
        size--;
    }
    return size;
}

/* ---- a map on its page ---- */

/* Sizes of everything around the map, in pixels; letters grow with the map so that prints stay legible. */
struct page {
    size_t title, label; /* letters */
    size_t margin, gap;
    size_t lines; /* height of title, subtitle and note together */
    struct draw_bar bar;
    size_t width, height;
};

/* What stands at the colour bar where each unit has its own scale; NULL where they share one. */
static const char *const *words_of(const struct draw_map *map, const struct draw_scale *scale)
{
    static const char *const rising[DRAW_TICKS] = {"0", "", "max"},
                             *const both[DRAW_TICKS] = {"−max", "0", "max"},
                             *const wide[DRAW_TICKS] = {"min", "", "max"};
    if (!map->per_unit) {
        return NULL;
    }
    return draw_colours(map)->diverging ? both : scale->min < 0 ? wide : rising;
}

static void plan(struct page *page, const struct draw_map *map, const struct layout *layout, const char *note,
                 const struct draw_scale *scale, struct text *text)
{
    const size_t longer = at_least(layout->width, layout->height);
    *page = (struct page){.title = at_least(longer / 38, 18)};
    page->label = page->title * 4 / 5;
    page->margin = page->title * 5 / 4;
    page->gap = page->title * 3 / 4;
    page->bar = (struct draw_bar){.colours = draw_colours(map),
                                  .scale = scale,
                                  .words = words_of(map, scale),
                                  .width = page->title,
                                  .height = at_least(layout->height, 6 * page->label),
                                  .label = page->label,
                                  .tick = page->label / 3,
                                  .line = at_least(longer / 1000, 1)};
    page->lines = map->title != NULL ? page->title * 4 / 3 : 0;
    page->lines += map->subtitle != NULL ? page->label * 3 / 2 : 0;
    page->lines += note[0] != '\0' ? page->label * 3 / 2 : 0;
    page->lines += page->lines > 0 ? page->gap : 0;
    size_t width = layout->width + page->gap + draw_bar_width(&page->bar, text);
    width = at_least(width, text_width(text, map->title, page->title));
    width = at_least(width, text_width(text, map->subtitle, page->label));
    width = at_least(width, text_width(text, note, page->label));
    page->width = at_most(width + 2 * page->margin, IMAGE_SIDE_MAX);
    page->height = page->lines + page->bar.height + 2 * page->margin;
}

int draw_map_labelled(struct image *out, const struct draw_map *map, struct text *text)
{
    const struct layout layout = draw_lay_out(map);
    const struct summary summary = summarize_map(map);
    const struct draw_scale scale = whole_scale(draw_colours(map), &summary);
    char note[DRAW_NOTE_BYTES];
    struct page page;
    write_note(note, map, &layout, &summary);
    plan(&page, map, &layout, note, &scale, text);
    const int status = image_init(out, page.width, page.height, draw_channels(draw_colours(map)), WHITE);
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
    draw_frame(out, page.margin, y, layout.width, layout.height, page.bar.line);
    draw_paint(out, page.margin, y, map, &layout, &scale);
    draw_bar(out, page.margin + layout.width + page.gap, y, &page.bar, text);
    return LOOM_OK;
}

/* Drawing an animation's frames; see animation_state.h. */
#include "animation_state.h"

#include <math.h>
#include <stdio.h>

#include "draw_parts.h"

#define WIDTH_USUAL 760    /* pixels that all panels shall have together, about */
#define SCALE_USUAL_MAX 16 /* pixels a number */
#define GREYS 64           /* shades of grey in a palette; the other colours are the map's */
#define LEVELS (256 - GREYS)
#define LETTERS 17
#define GAP 24
#define MARGIN 18

/* What stands above each. */
static const char *const labels[ANIMATION_PANELS] = {"input",          "io",          "io₂", "q", "|io₂ − q|",
                                                     "reconstruction", "seen from io"};

void animation_choose_look(struct animation *self, bool negative)
{
    struct look *look = &self->look;
    look->outputs = colours_choose(self->settings->colours, negative);
    look->pixels = self->settings->colours == 0 ? &colours_grey : look->outputs;
    look->indexed = !look->outputs->grey;
    look->white = look->indexed ? GREYS - 1 : WHITE;
    look->grey = look->indexed ? GREYS * 10 / 16 : FRAME;
    for (size_t i = 0; i < 256; i++) {
        const uint32_t shade = (uint32_t)(i * 255 / (GREYS - 1));
        look->palette[i] = i < GREYS ? shade << 16 | shade << 8 | shade
                                     : colours_at(look->outputs, (double)(i - GREYS) / (LEVELS - 1));
    }
}

/* What a number is in the picture; most: the one at the end of the colours. */
static uint8_t shade_of(const struct look *look, const struct colours *colours, float value, double most)
{
    if (!isfinite(value)) {
        return look->white;
    }
    double part = most > 0 ? (double)value / most : 0;
    part = colours->diverging ? 0.5 + part / 2 : part;
    if (!look->indexed) {
        return (uint8_t)colours_at(colours, part);
    }
    if (colours->grey) {
        return (uint8_t)((colours_at(colours, part) & 0xff) * (GREYS - 1) / 255);
    }
    return (uint8_t)(GREYS + lround(fmin(fmax(part, 0), 1) * (LEVELS - 1)));
}

/* Sizes, from the panels' shapes. */
int animation_lay_out(struct animation *self)
{
    size_t numbers = 0, tallest = 1, x = MARGIN;
    for (size_t p = 0; p < self->n; p++) {
        numbers += self->width[p];
        tallest = at_least(tallest, self->height[p]);
    }
    self->scale = self->settings->scale != 0
                      ? self->settings->scale
                      : at_most(at_least(WIDTH_USUAL / at_least(numbers, tallest), 1), SCALE_USUAL_MAX);
    self->title = LETTERS * 5 / 4;
    self->head = MARGIN + self->title * 3 / 2 + LETTERS * 7 / 4;
    for (size_t p = 0; p < self->n; p++) {
        self->left[p] = x;
        x +=
            at_least(self->width[p] * self->scale, text_width(self->text, labels[self->panels[p]], LETTERS)) +
            GAP;
    }
    char title[200];
    snprintf(title, sizeof title, "run %.60s, pass 00,000, frame 000,000,000",
             self->settings->run != NULL ? self->settings->run : "");
    const size_t width = at_least(x - GAP, MARGIN + text_width(self->text, title, self->title)) + MARGIN;
    const size_t height = self->head + tallest * self->scale + MARGIN;
    /* even sides, as encoders of video want them */
    return image_init(&self->image, (width + 1) / 2 * 2, (height + 1) / 2 * 2, 1, self->look.white);
}

void animation_write_title(const struct animation *self, char title[GALLERY_MOMENT_BYTES], uint64_t frame)
{
    gallery_moment(title, self->settings->run, self->pass > 0 ? frame / self->pass + 1 : 0, frame);
}

static void paint_panel(struct animation *self, size_t p, double most)
{
    const enum animation_panel panel = self->panels[p];
    const bool seen = animation_shows_pixels(panel) && panel != ANIMATION_FROM_IO; /* that may be below 0 */
    const struct colours *colours = seen ? self->look.pixels : self->look.outputs;
    const size_t scale = self->scale, left = self->left[p];
    for (size_t y = 0; y < self->height[p]; y++) {
        for (size_t x = 0; x < self->width[p]; x++) {
            draw_fill(&self->image, left + x * scale, self->head + y * scale, scale, scale,
                      shade_of(&self->look, colours, self->values[p][y * self->width[p] + x], most));
        }
    }
}

/* All that does not change. */
void animation_paint_page(struct animation *self)
{
    for (size_t p = 0; p < self->n; p++) {
        const size_t width = self->width[p] * self->scale, height = self->height[p] * self->scale;
        const uint8_t shade = self->look.grey;
        text_draw(self->text, &self->image, self->left[p], self->head - LETTERS * 5 / 8,
                  labels[self->panels[p]], LETTERS, BLACK);
        draw_fill(&self->image, self->left[p] - 1, self->head - 1, width + 2, height + 2, shade);
    }
}

/* Draw frame i of the block, number `frame`. */
int animation_paint_frame(struct animation *self, size_t i, uint64_t frame)
{
    char title[GALLERY_MOMENT_BYTES];
    double most_of_all = 0;
    for (size_t p = 0; p < self->n; p++) {
        const int status = animation_compute(self, self->panels[p], i, self->values[p]);
        if (status != LOOM_OK) {
            return status;
        }
        most_of_all = fmax(most_of_all, animation_largest(self->values[p], self->width[p] * self->height[p]));
    }
    draw_fill(&self->image, 0, 0, self->image.width, MARGIN + self->title * 3 / 2, self->look.white);
    animation_write_title(self, title, frame);
    text_draw(self->text, &self->image, MARGIN, MARGIN + self->title, title, self->title, BLACK);
    for (size_t p = 0; p < self->n; p++) {
        const double most = self->settings->per_frame                 ? most_of_all
                            : self->panels[p] == ANIMATION_FROM_IO    ? self->most_seen
                            : animation_shows_pixels(self->panels[p]) ? 1
                                                                      : self->most_output;
        paint_panel(self, p, most);
    }
    return LOOM_OK;
}

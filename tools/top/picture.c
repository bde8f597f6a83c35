/* See picture.h. */
#include "picture.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TRAIL 16   /* frames whose winners are shown */
#define FADE 0.85  /* from one to the one before */
#define UNIT_MIN 7 /* pixels a side of one unit in a weight map at least, if it has so many */
#define LINE 0.3F  /* grey of the lines between units */

void picture_free(struct picture *self)
{
    free(self->values);
    *self = (struct picture){.values = NULL};
}

/* A float that lies anywhere in a message. */
static float float_at(const uint8_t *bytes, size_t i)
{
    float value;
    memcpy(&value, bytes + i * sizeof value, sizeof value);
    return isfinite(value) ? value : 0;
}

/* Take over new values (width x height), scaled so that the largest is 1, and free the old ones. */
static void replace(struct picture *self, float *values, size_t width, size_t height, bool scale)
{
    float most = 0;
    for (size_t i = 0; scale && i < width * height; i++) {
        most = values[i] > most ? values[i] : most;
    }
    for (size_t i = 0; most > 0 && i < width * height; i++) {
        values[i] /= most;
    }
    free(self->values);
    self->values = values;
    self->width = width;
    self->height = height;
}

static void mark_winners(float *values, const struct message *message, const struct stream_info *info,
                         const uint8_t *const *rows)
{
    size_t first = message->n > TRAIL ? (size_t)message->n - TRAIL : 0, units = info->grid_x * info->grid_y;
    for (size_t frame = first; frame < message->n; frame++) {
        double light = pow(FADE, (double)(message->n - 1 - frame));
        for (size_t k = frame * info->winners; k < (frame + 1) * info->winners; k++) {
            uint32_t unit;
            memcpy(&unit, rows[0] + k * sizeof unit, sizeof unit);
            float value = (float)light * float_at(rows[1], k);
            if (unit < units && value > values[unit]) {
                values[unit] = value;
            }
        }
    }
}

int picture_of_data(struct picture *self, const struct message *message, const struct stream_info *info)
{
    const uint8_t *rows[STREAM_FIELDS_MAX] = {NULL};
    bool frames = info->kind == STREAM_FRAMES, codes = info->kind == STREAM_CODES;
    size_t width = frames ? info->width : info->grid_x, height = frames ? info->height : info->grid_y;
    int status = message_rows(message, info, rows);
    if (status < 0 || message->n == 0) {
        return status;
    }
    float *values = calloc(width * height, sizeof *values);
    if (!values) {
        return error_set(LOOM_EINTERNAL, "out of memory for a map");
    }
    if (codes) {
        mark_winners(values, message, info, rows);
    } else {
        size_t begin = ((size_t)message->n - 1) * width * height;
        for (size_t i = 0; i < width * height; i++) {
            values[i] = info->dtype == STREAM_U1 && frames ? (float)rows[0][begin + i] / 255
                                                           : float_at(rows[0], begin + i);
        }
    }
    replace(self, values, width, height, !frames);
    self->peaks = codes;
    snprintf(self->about, sizeof self->about, "%s %zu x %zu",
             codes ? "winners" : stream_kind_name(info->kind), width, height);
    return 0;
}

/* The mean of the part of a unit's weights (w x h) that pixel x, y of side_x x side_y stands for. */
static float unit_pixel(const uint8_t *weights, size_t w, size_t h, size_t side_x, size_t side_y, size_t x,
                        size_t y)
{
    size_t x0 = x * w / side_x, x1 = (x + 1) * w / side_x, y0 = y * h / side_y, y1 = (y + 1) * h / side_y;
    x1 = x1 > x0 ? x1 : x0 + 1;
    y1 = y1 > y0 ? y1 : y0 + 1;
    float sum = 0;
    for (size_t row = y0; row < y1; row++) {
        for (size_t column = x0; column < x1; column++) {
            sum += float_at(weights, row * w + column);
        }
    }
    return sum / (float)((x1 - x0) * (y1 - y0));
}

/* How many of n units in a row are shown in `room` pixels, each with at most `side` and a line behind it, and with
 * how many pixels (*pixels) each. */
static size_t choose_units(size_t n, size_t side, size_t room, size_t *pixels)
{
    size_t least = side < UNIT_MIN ? side : UNIT_MIN;
    size_t shown = (room + 1) / (least + 1);
    shown = shown < 1 ? 1 : shown < n ? shown : n;
    *pixels = (room + 1) / shown > 1 ? (room + 1) / shown - 1 : 1;
    *pixels = *pixels < side ? *pixels : side;
    return shown;
}

/* Draw one unit into its square, scaled so that its largest pixel is 1. */
static void draw_unit(float *square, size_t stride, const uint8_t *weights, size_t w, size_t h, size_t side_x,
                      size_t side_y)
{
    float most = 0;
    for (size_t y = 0; y < side_y; y++) {
        for (size_t x = 0; x < side_x; x++) {
            float value = unit_pixel(weights, w, h, side_x, side_y, x, y);
            square[y * stride + x] = value;
            most = value > most ? value : most;
        }
    }
    for (size_t y = 0; most > 0 && y < side_y; y++) {
        for (size_t x = 0; x < side_x; x++) {
            square[y * stride + x] /= most;
        }
    }
}

int picture_of_weights(struct picture *self, const struct message *message, size_t room)
{
    size_t grid_x = message->info.grid_x, grid_y = message->info.grid_y, side_x, side_y;
    size_t w = (size_t)message->input_width, h = (size_t)message->input_height;
    bool fits = message->n_fields == 1 && grid_x > 0 && grid_y > 0 && w > 0 && h > 0 &&
                grid_x * grid_y == message->rows && w * h == message->cols &&
                message->fields[0].bytes / sizeof(float) / message->cols == message->rows;
    if (!fits) {
        return error_set(LOOM_EDATA, "weights of another size than they say");
    }
    size_t shown_x = choose_units(grid_x, w, room, &side_x), shown_y = choose_units(grid_y, h, room, &side_y);
    size_t width = shown_x * (side_x + 1) - 1, height = shown_y * (side_y + 1) - 1;
    float *values = malloc(width * height * sizeof *values);
    if (!values) {
        return error_set(LOOM_EINTERNAL, "out of memory for a map");
    }
    for (size_t i = 0; i < width * height; i++) {
        values[i] = LINE;
    }
    for (size_t y = 0; y < shown_y; y++) {
        for (size_t x = 0; x < shown_x; x++) {
            const uint8_t *weights =
                message->fields[0].data + (y * grid_x + x) * (size_t)message->cols * sizeof(float);
            draw_unit(values + y * (side_y + 1) * width + x * (side_x + 1), width, weights, w, h, side_x,
                      side_y);
        }
    }
    replace(self, values, width, height, false);
    self->peaks = false;
    snprintf(self->about, sizeof self->about, "weights of %zu x %zu", shown_x, shown_y);
    size_t used = strlen(self->about);
    if (shown_x * shown_y < message->rows) {
        snprintf(self->about + used, sizeof self->about - used, " of its %zu x %zu units", grid_x, grid_y);
    } else {
        snprintf(self->about + used, sizeof self->about - used, " units");
    }
    return 0;
}

void picture_fit(const struct picture *self, int columns, int pixels, int *width, int *height)
{
    double by_width = (double)columns / (double)self->width,
           by_height = (double)pixels / (double)self->height;
    double scale = by_width < by_height ? by_width : by_height;
    scale = scale >= 1 ? floor(scale) : scale;
    *width = (int)fmax(1, floor(scale * (double)self->width + 1e-9));
    *height = (int)fmax(1, floor(scale * (double)self->height + 1e-9));
}

/* Pixel x, y of the picture drawn at width x height. */
static double pixel(const struct picture *self, int width, int height, int x, int y)
{
    size_t w = (size_t)width, h = (size_t)height, px = (size_t)x, py = (size_t)y;
    size_t x0 = px * self->width / w, x1 = (px + 1) * self->width / w;
    size_t y0 = py * self->height / h, y1 = (py + 1) * self->height / h;
    double sum = 0, most = 0;
    if (y >= height) {
        return 0;
    }
    x1 = x1 > x0 ? x1 : x0 + 1;
    y1 = y1 > y0 ? y1 : y0 + 1;
    for (size_t row = y0; row < y1; row++) {
        for (size_t column = x0; column < x1; column++) {
            double value = (double)self->values[row * self->width + column];
            sum += value;
            most = value > most ? value : most;
        }
    }
    return self->peaks ? most : sum / (double)((x1 - x0) * (y1 - y0));
}

void picture_draw_line(const struct picture *self, struct screen *screen, int width, int height, int row)
{
    static const char *const shades[] = {" ", "░", "▒", "▓", "█"};
    static const char *const letters[] = {" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"};
    for (int x = 0; x < width; x++) {
        double upper = pixel(self, width, height, x, row), lower = pixel(self, width, height, x, row + 1);
        double both = fmin(fmax(self->peaks ? fmax(upper, lower) : (upper + lower) / 2, 0), 1);
        if (screen->greys && screen->utf8) {
            screen_pixels(screen, upper, lower);
        } else if (screen->utf8) {
            screen_put(screen, shades[lround(4 * both)]);
        } else {
            screen_put(screen, letters[lround(9 * both)]);
        }
    }
}

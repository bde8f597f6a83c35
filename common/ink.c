/* See ink.h. */
#include "ink.h"

#include <math.h>
#include <string.h>

void ink_wipe(struct ink *self, long x, long y)
{
    if (x >= 0 && y >= 0 && x < (long)self->width && y < (long)self->height) {
        self->mask[(size_t)y * self->width + (size_t)x] = 0;
    }
}

void ink_dot(struct ink *self, long x, long y, double covered)
{
    if (x < 0 || y < 0 || x >= (long)self->width || y >= (long)self->height || !(covered > 0)) {
        return;
    }
    const size_t column = (size_t)x, row = (size_t)y;
    uint8_t *pixel = &self->mask[row * self->width + column];
    const uint8_t value = (uint8_t)(255 * fmin(covered, 1) + 0.5);
    *pixel = value > *pixel ? value : *pixel;
    self->left = column < self->left ? column : self->left;
    self->top = row < self->top ? row : self->top;
    self->right = column + 1 > self->right ? column + 1 : self->right;
    self->bottom = row + 1 > self->bottom ? row + 1 : self->bottom;
}

void ink_line(struct ink *self, double x0, double y0, double x1, double y1, double thickness)
{
    const double dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy, half = thickness / 2;
    const long left = (long)floor(fmin(x0, x1) - half - 1), right = (long)ceil(fmax(x0, x1) + half + 1);
    const long top = (long)floor(fmin(y0, y1) - half - 1), bottom = (long)ceil(fmax(y0, y1) + half + 1);
    for (long y = top; y <= bottom; y++) {
        for (long x = left; x <= right; x++) {
            const double along = length2 > 0 ? (((double)x - x0) * dx + ((double)y - y0) * dy) / length2 : 0;
            const double at = fmin(fmax(along, 0), 1);
            const double distance = hypot((double)x - x0 - at * dx, (double)y - y0 - at * dy);
            ink_dot(self, x, y, half + 0.5 - distance);
        }
    }
}

void ink_apply(struct ink *self, struct image *image, long left, long top, uint32_t rgb)
{
    for (size_t row = self->top; row < self->bottom; row++) {
        for (size_t column = self->left; column < self->right; column++) {
            const long x = left + (long)column, y = top + (long)row;
            const uint32_t covered = self->mask[row * self->width + column];
            if (x < 0 || y < 0 || x >= (long)image->width || y >= (long)image->height || covered == 0) {
                continue;
            }
            uint8_t *pixel = image->pixels + ((size_t)y * image->width + (size_t)x) * image->channels;
            for (size_t c = 0; c < image->channels; c++) {
                const uint32_t full = rgb >> (16 - 8 * c) & 0xff;
                pixel[c] = (uint8_t)((pixel[c] * (255 - covered) + full * covered + 127) / 255);
            }
        }
        if (self->left < self->right) {
            memset(self->mask + row * self->width + self->left, 0, self->right - self->left);
        }
    }
    self->left = self->width;
    self->top = self->height;
    self->right = self->bottom = 0;
}

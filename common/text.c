/* See text.h. */
#include "text.h"

#include <ft2build.h>
#include <stdbool.h>
#include <stdlib.h>
#include FT_FREETYPE_H

struct text {
    FT_Library library;
    FT_Face face;
};

/* Where Debian, Fedora, Arch, openSUSE, the BSDs and Homebrew put it. */
static const char *const usual[] = {
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu/DejaVuSans.ttf",          "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/DejaVuSans.ttf",        "/usr/local/share/fonts/dejavu/DejaVuSans.ttf",
    "/opt/homebrew/share/fonts/DejaVuSans.ttf",
};

int text_new(struct text **self_p)
{
    *self_p = NULL;
    struct text *self = calloc(1, sizeof *self);
    if (self == NULL || FT_Init_FreeType(&self->library) != 0) {
        free(self);
        return error_set(LOOM_EINTERNAL, "no memory for a font");
    }
    const char *chosen = getenv("LOOM_FONT");
    if (chosen != NULL) {
        if (FT_New_Face(self->library, chosen, 0, &self->face) == 0) {
            goto done;
        }
    } else {
        for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
            if (FT_New_Face(self->library, usual[i], 0, &self->face) == 0) {
                goto done;
            }
        }
    }
    text_destroy(&self);
    return chosen != NULL
               ? error_set(LOOM_EIO, "the font %s (from LOOM_FONT) cannot be used", chosen)
               : error_set(LOOM_EIO,
                           "no font found; install DejaVu Sans (Debian: fonts-dejavu-core) or set LOOM_FONT");
done:
    *self_p = self;
    return LOOM_OK;
}

void text_destroy(struct text **self_p)
{
    struct text *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->face != NULL) {
        FT_Done_Face(self->face);
    }
    FT_Done_FreeType(self->library);
    free(self);
    *self_p = NULL;
}

/* The next character of UTF-8 text; U+FFFD for what is not UTF-8. Never reads past the NUL. */
static FT_ULong next_character(const char **line)
{
    const unsigned char *at = (const unsigned char *)*line;
    const size_t more = at[0] >= 0xf0 ? 3 : at[0] >= 0xe0 ? 2 : at[0] >= 0xc0 ? 1 : 0;
    FT_ULong character = more == 0 ? at[0] : at[0] & (0x3fU >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            *line += i;
            return 0xfffd;
        }
        character = character << 6 | (at[i] & 0x3f);
    }
    *line += 1 + more;
    return more == 0 && at[0] >= 0x80 ? 0xfffd : character;
}

/* A line of letters: where it begins, how they look; up: it runs upwards. */
struct line {
    struct image *image;
    long x, y;
    uint8_t shade;
    bool up;
};

/* Lay a glyph over the picture, its corner (left, top) from the line's beginning, which may lie outside. */
static void blend(const struct line *line, const FT_Bitmap *bitmap, long left, long top)
{
    struct image *image = line->image;
    for (long row = 0; row < (long)bitmap->rows; row++) {
        for (long column = 0; column < (long)bitmap->width; column++) {
            const long along = left + column, down = top + row;
            const long x = line->x + (line->up ? down : along), y = line->y + (line->up ? -along : down);
            if (x < 0 || y < 0 || x >= (long)image->width || y >= (long)image->height) {
                continue;
            }
            const unsigned ink = bitmap->buffer[row * bitmap->pitch + column];
            uint8_t *pixel = image->pixels + ((size_t)y * image->width + (size_t)x) * image->channels;
            for (size_t c = 0; c < image->channels; c++) {
                pixel[c] = (uint8_t)((pixel[c] * (255 - ink) + line->shade * ink + 127) / 255);
            }
        }
    }
}

/* Go through the characters of a line, drawing them if its image is given; returns its width. */
static size_t set_line(struct text *self, const struct line *line, const char *characters, size_t size)
{
    if (self == NULL || characters == NULL || FT_Set_Pixel_Sizes(self->face, 0, (FT_UInt)size) != 0) {
        return 0;
    }
    FT_Pos pen = 0; /* in 1/64 pixel */
    FT_UInt last = 0;
    while (*characters != '\0') {
        const FT_UInt glyph = FT_Get_Char_Index(self->face, next_character(&characters));
        FT_Vector kerning = {0, 0};
        if (last != 0 && FT_Get_Kerning(self->face, last, glyph, FT_KERNING_DEFAULT, &kerning) == 0) {
            pen += kerning.x;
        }
        last = glyph;
        if (FT_Load_Glyph(self->face, glyph, line->image != NULL ? FT_LOAD_RENDER : FT_LOAD_DEFAULT) != 0) {
            continue;
        }
        const FT_GlyphSlot slot = self->face->glyph;
        if (line->image != NULL && slot->bitmap.pixel_mode == FT_PIXEL_MODE_GRAY) {
            blend(line, &slot->bitmap, (pen >> 6) + slot->bitmap_left, -(long)slot->bitmap_top);
        }
        pen += slot->advance.x;
    }
    return pen > 0 ? (size_t)((pen + 63) >> 6) : 0;
}

size_t text_width(struct text *self, const char *line, size_t size)
{
    return set_line(self, &(struct line){.image = NULL}, line, size);
}

void text_draw(struct text *self, struct image *image, size_t x, size_t y, const char *line, size_t size,
               uint8_t shade)
{
    (void)set_line(self, &(struct line){image, (long)x, (long)y, shade, false}, line, size);
}

void text_draw_up(struct text *self, struct image *image, size_t x, size_t y, const char *line, size_t size,
                  uint8_t shade)
{
    (void)set_line(self, &(struct line){image, (long)x, (long)y, shade, true}, line, size);
}

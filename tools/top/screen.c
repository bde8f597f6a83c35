/* See screen.h. */
#include "screen.h"

#include <langinfo.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define MANY 1000000
#define GREY_FIRST 232 /* of 24 in the palette of 256 colours */
#define GREYS 24

bool screen_knows_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

bool screen_knows_styles(void)
{
    const char *none = getenv("NO_COLOR"), *term = getenv("TERM");
    return (!none || !*none) && term && *term && strcmp(term, "dumb") != 0;
}

bool screen_knows_greys(void)
{
    const char *term = getenv("TERM"), *colour = getenv("COLORTERM");
    return term && screen_knows_styles() && (strstr(term, "256color") || (colour && *colour));
}

/* One character: its bytes (always at least one) and columns; 0 columns for what must not be shown as it is. */
static size_t next_character(const char *text, int *columns)
{
    wchar_t wide;
    mbstate_t state;
    memset(&state, 0, sizeof state);
    size_t bytes = mbrtowc(&wide, text, strlen(text), &state);
    bool whole = bytes != (size_t)-1 && bytes != (size_t)-2 && bytes > 0;
    *columns = whole ? wcwidth(wide) : 0;
    *columns = *columns < 0 ? 0 : *columns;
    return whole ? bytes : 1;
}

int screen_columns(const char *text)
{
    int sum = 0;
    for (int columns; *text; sum += columns > 0 ? columns : 1) {
        text += next_character(text, &columns);
    }
    return sum;
}

/* At most `most` columns of the text. Returns how many there were. */
static int put_columns(struct screen *self, const char *text, int most)
{
    int room = self->width - self->column, used = 0;
    most = most < room ? most : room;
    while (*text) {
        int columns;
        size_t bytes = next_character(text, &columns);
        int needed = columns > 0 ? columns : 1;
        if (used + needed > most) {
            break;
        }
        if (columns > 0) {
            fwrite(text, 1, bytes, self->out);
        } else {
            fputc('?', self->out);
        }
        used += needed;
        text += bytes;
    }
    self->column += used;
    return used;
}

void screen_put(struct screen *self, const char *text)
{
    (void)put_columns(self, text, MANY);
}

void screen_format(struct screen *self, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    screen_put(self, text);
}

static void put_spaces(struct screen *self, int n)
{
    for (; n > 0 && self->column < self->width; n--) {
        fputc(' ', self->out);
        self->column++;
    }
}

void screen_field(struct screen *self, const char *text, int columns, bool right)
{
    int length = screen_columns(text);
    if (right) {
        put_spaces(self, columns - length);
    }
    int used = put_columns(self, text, columns);
    if (!right) {
        put_spaces(self, columns - used);
    }
}

void screen_tab(struct screen *self, int column)
{
    put_spaces(self, column - self->column);
}

void screen_style(struct screen *self, enum style style)
{
    static const char *const codes[] = {"\033[0m", "\033[1m", "\033[2m"};
    if (self->styles) {
        fputs(codes[style], self->out);
    }
}

void screen_bar(struct screen *self, double share, int columns)
{
    static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    if (!isfinite(share)) {
        screen_field(self, "-", columns, false);
        return;
    }
    double filled = fmin(fmax(share, 0), 1) * columns;
    for (int i = 0; i < columns; i++) {
        double part = filled - i;
        if (!self->utf8) {
            screen_put(self, part >= 0.5 ? "#" : ".");
        } else {
            screen_put(self, part >= 1 ? "█" : part <= 0 ? " " : eighths[(int)(8 * part)]);
        }
    }
}

static int grey_of(double value)
{
    double level = fmin(fmax(value, 0), 1) * (GREYS - 1);
    return GREY_FIRST + (isfinite(level) ? (int)lround(level) : 0);
}

void screen_pixels(struct screen *self, double upper, double lower)
{
    if (self->column < self->width) {
        fprintf(self->out, "\033[38;5;%d;48;5;%dm▀\033[0m", grey_of(upper), grey_of(lower));
        self->column++;
    }
}

bool screen_line(struct screen *self)
{
    if (self->styles) {
        fputs("\033[0m", self->out);
    }
    if (self->live) {
        fputs("\033[K", self->out);
    }
    self->row++;
    self->column = 0;
    bool more = screen_left(self) > 0;
    if (more || !self->live) { /* no line end below the last line: it would scroll */
        fputc('\n', self->out);
    }
    return more;
}

int screen_left(const struct screen *self)
{
    return self->rows > 0 ? self->rows - self->row : MANY;
}

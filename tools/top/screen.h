/* Screen: lines of text for a terminal or a file, cut at its width, with styles where they are understood.
 *
 * What is put may come from anywhere (names, messages): control characters and bytes that are no UTF-8 become
 * '?', so that nothing of it reaches the terminal as a command. */
#ifndef LOOM_TOOLS_TOP_SCREEN_H
#define LOOM_TOOLS_TOP_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum style { STYLE_NONE, STYLE_BOLD, STYLE_DIM };

struct screen {
    int width, rows; /* columns; lines at most, 0: any number */
    bool utf8;       /* characters beyond ASCII are understood */
    bool styles;     /* bold and dim are */
    bool greys;      /* and the 24 greys of a terminal with 256 colours */
    bool live;       /* it is redrawn in place: the rest of each line is cleared */
    FILE *out;       /* collects the text */
    int row, column;
};

/* Whether the locale (setlocale must have been called) writes UTF-8; whether NO_COLOR and TERM allow styles, and
 * greys. */
bool screen_knows_utf8(void);
bool screen_knows_styles(void);
bool screen_knows_greys(void);

/* Put text at the place reached; what does not fit into the line is left out. */
void screen_put(struct screen *self, const char *text);
void screen_format(struct screen *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text in exactly `columns` columns, cut or filled with spaces; right: the spaces come first. */
void screen_field(struct screen *self, const char *text, int columns, bool right);

/* Go on at this column, unless it has been passed. */
void screen_tab(struct screen *self, int column);

/* From here on in this style. */
void screen_style(struct screen *self, enum style style);

/* A bar of `columns` columns, filled to `share` (0 to 1; NAN: a dash). */
void screen_bar(struct screen *self, double share, int columns);

/* Two pixels one above the other, grey from 0 to 1, in one column; needs greys. */
void screen_pixels(struct screen *self, double upper, double lower);

/* End the line. Returns false if there is no room for another one. */
bool screen_line(struct screen *self);

/* Lines that still fit; a large number if any do. */
int screen_left(const struct screen *self);

/* Columns that a text takes. */
int screen_columns(const char *text);

#endif

/* Terminal: a whole terminal for a view that is redrawn, and given back as it was on every way out.
 *
 * Keys come one by one and unechoed; Ctrl-C, Ctrl-Z and the like stay signals. The terminal is restored by
 * terminal_leave, at exit, before the process stops (Ctrl-Z) and when it dies of a signal; nothing can be done
 * about SIGKILL (`reset` helps then). Plain escape sequences of ECMA-48 and xterm, without a terminal database:
 * every terminal of today knows those few. */
#ifndef LOOM_TOOLS_TOP_TERMINAL_H
#define LOOM_TOOLS_TOP_TERMINAL_H

#include <stdbool.h>

#include "error.h"

/* Whether standard output is a terminal on which lines can be redrawn. */
bool terminal_can_redraw(void);

/* Columns and lines of the terminal on standard output; COLUMNS, or 100, and 0 lines if it is none. */
void terminal_size(int *columns, int *rows);

/* Take the terminal; from now on signals that end a program are only noted. LOOM_EIO. */
int terminal_enter(void) LOOM_MUST_CHECK;

/* Give it back; harmless when repeated. */
void terminal_leave(void);

/* Whether a signal has asked to end; whether the window's size may have changed or the screen been spoilt since
 * the last call. */
bool terminal_must_end(void);
bool terminal_must_redraw(void);

/* If a signal has asked to pause (Ctrl-Z): give the terminal back, stop, and take it again afterwards. */
int terminal_pause_if_asked(void) LOOM_MUST_CHECK;

/* The next key that was pressed: letters as they are, arrows and pages as these; 0: none. */
enum {
    KEY_UP = 256,
    KEY_DOWN,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_OTHER, /* one that means nothing here */
    KEY_CLOSED /* there will be no keys any more */
};
int terminal_key(void);

#endif

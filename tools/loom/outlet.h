/* Outlet: standard output, or standard error, that holds nobody up.
 *
 * A terminal that is not read (Ctrl-S, a laptop asleep at the other end of ssh) or a pager takes no bytes for hours;
 * a launcher that waited for it would soon have every stage wait too. So what cannot be written at once is kept, up to
 * OUTLET_BYTES, and what comes beyond that is left out, with a line that says so. Only outlet_close waits.
 *
 * The descriptor itself stays as it is: whether writing waits is a property of the open file, which is shared with the
 * shell. A terminal or pipe is therefore opened a second time; a socket can be asked for each message; a file never waits.
 * (Where /proc does not let it be opened again, writing waits as ever.) */
#ifndef LOOM_TOOLS_OUTLET_H
#define LOOM_TOOLS_OUTLET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OUTLET_BYTES 65536

struct outlet {
    FILE *out; /* print here, then fflush: half of OUTLET_BYTES are kept or left out as a whole */
    int of;    /* the descriptor */
    int again; /* it opened again, or -1 */
    char buffer[OUTLET_BYTES / 2]; /* of out */
    char kept[OUTLET_BYTES];
    size_t n_kept;
    uint64_t left_out; /* bytes, since the last that were kept */
};

/* Take over what `stream`, standard output or standard error, writes to. Returns 0, or LOOM_EINTERNAL (no memory). */
int outlet_open(struct outlet *self, FILE *stream);

/* Write what was kept, as far as it is taken now. */
void outlet_drain(struct outlet *self);

/* Write all that was kept, however long that takes, and give the descriptor back. */
void outlet_close(struct outlet *self);

#endif

/* The pictures of a layer (see render.c for what each shows), drawn into a folder. */
#ifndef LOOM_STAGES_RENDER_GALLERY_H
#define LOOM_STAGES_RENDER_GALLERY_H

#include <stdbool.h>
#include <stddef.h>

#include "shown.h"
#include "text.h"

struct gallery {
    const char *folder; /* to draw into; borrowed */
    size_t scale;       /* pixels a weight; 0: as draw.h chooses */
    bool separators;    /* lines between units */
    bool final;         /* nothing is learning any more: what takes minutes is drawn too */
    struct text *text;  /* NULL: no letters; owned */
    size_t drawn;       /* pictures made */
    size_t failures;    /* pictures that could not be made */
    int failure;        /* why the last of them could not */
    char *why;          /* its message; owned */
};

void gallery_fini(struct gallery *self);

/* Draw all there is to draw of a layer. sparse: the layer below it, NULL if there is none or it is not known.
 * A picture that cannot be made is remembered, the first one logged, and the others are drawn. */
void gallery_draw(struct gallery *self, const struct shown *layer, const struct shown *sparse);

/* Remember error_message(), and log it if it is the first: a full disk concerns every picture. */
void gallery_note_failure(struct gallery *self, int status);

#endif

/* What `loom draw` was told, and the pictures that it makes of it. */
#ifndef LOOM_TOOLS_DRAW_H
#define LOOM_TOOLS_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "plot.h"
#include "stages/render/compare.h"
#include "stages/render/gallery.h"

struct draw {
    const char *const *paths; /* n, the arguments behind WHAT */
    size_t n;
    const char *out;        /* NULL: by the picture's own name, here */
    const char *layer;      /* NULL: the only one */
    const char *unit;       /* number, least, most */
    const char *metrics;    /* with commas; NULL: all */
    enum plot_scale scale;  /* of y */
    size_t columns;         /* of a sheet; 0: about a square */
    enum compare_scale one; /* whether its runs have one scale */
    const char *panels;     /* of an animation, with commas; NULL: as usual */
    bool per_frame;         /* its scale is that of each frame */
    double most;            /* output at the end of the colours; 0: the largest */
    double rate;            /* frames a second */
    bool chosen;            /* frames from .. to */
    uint64_t from, to;      /* both included; to: UINT64_MAX: the end */
    struct gallery gallery; /* where pictures go, and how they look */
};

/* Each draws what its name says (see the help in draw.c) to where the gallery says. */
int draw_weights(struct draw *self) LOOM_MUST_CHECK;
int draw_prototypes(struct draw *self) LOOM_MUST_CHECK;
int draw_coverage(struct draw *self) LOOM_MUST_CHECK;
int draw_unit(struct draw *self) LOOM_MUST_CHECK;
int draw_curves(struct draw *self) LOOM_MUST_CHECK;
int draw_tapestry(struct draw *self) LOOM_MUST_CHECK;
int draw_window(struct draw *self) LOOM_MUST_CHECK;
int draw_animation(struct draw *self) LOOM_MUST_CHECK;
int draw_sheets(struct draw *self) LOOM_MUST_CHECK;

#endif

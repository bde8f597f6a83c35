/* Animations of a recording: what is seen, what the invariant layer says to it, and what is reconstructed, frame by
 * frame beside each other, as the notebooks had them. */
#ifndef LOOM_STAGES_RENDER_ANIMATION_H
#define LOOM_STAGES_RENDER_ANIMATION_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "movie.h"
#include "shown.h"
#include "text.h"

#define ANIMATION_FRAMES 500 /* where nothing else is asked for */

/* t: the frame shown; io(t) the invariant layer's output, 0 before the start of the pass; v the frame, W and U the
 * weights of the sparse layer and the invariant one, S the winners that were recorded, s the code. */
enum animation_panel {
    ANIMATION_INPUT,      /* v, from 0 to 1 */
    ANIMATION_IO,         /* io(t) */
    ANIMATION_IO_2,       /* io(t - 1), the one in the middle of the three */
    ANIMATION_Q,          /* (io(t) + io(t - 2)) / 2: that one interpolated from its neighbours */
    ANIMATION_DIFFERENCE, /* |io_2 - q| */
    ANIMATION_RECONSTRUCTION, /* sum over i in S of p_i W_i, from 0 to 1; p_i = W_i v (without frames: from s_i) */
    ANIMATION_FROM_IO,        /* r = U' io, as a code seen in pixels: sum_j r_j (sum of W_j) W_j */
    ANIMATION_PANELS,
};

extern const char *const animation_names[ANIMATION_PANELS]; /* as they are written: input, io, io_2, ... */

struct animation_settings {
    const char *recording;
    const char *
        shared; /* another recording, of the same frames, for the kinds of streams that the first one lacks; NULL:
                           none */
    const struct shown *sparse,
        *invariant;     /* layers, for those panels that need them; NULL: none; borrowed */
    const char *stream; /* name of the stage whose activations are shown; NULL: the only one */
    enum animation_panel panels[ANIMATION_PANELS];
    size_t n_panels; /* 0: input, io, reconstruction; of a layer of rule smooth: input, io_2, q, |io_2 - q|,
                            reconstruction; without those for which something is missing */
    bool smooth;     /* the layer is one of rule smooth */
    bool chosen; /* frames from .. to, both included (UINT64_MAX: the end); else the first ANIMATION_FRAMES of
                            the last pass that has as many */
    uint64_t from, to;
    bool per_frame;  /* as in the notebooks: in each frame, 0 is white and its largest number, in whichever
                            panel, black. Else outputs go up to the largest in all frames, in every panel */
    double most;     /* the output at the end of the colours, in every panel; 0: the largest in all frames */
    size_t scale;    /* pixels a number; 0: chosen */
    size_t colours;  /* index in colours_names */
    double rate;     /* frames a second */
    const char *run; /* for the title; NULL: not known */
    enum movie_form form;
    const char *path;                  /* NULL: standard output */
    const volatile sig_atomic_t *stop; /* not 0: end with the frames there are; NULL: never */
};

/* Write it. Of a recording that is still being recorded, frames that are to come are waited for; if it ends without
 * them, so does the animation, with a warning. *frames: how many were written. LOOM_EDATA if the recording is
 * damaged or has not what a panel needs, LOOM_EUSAGE if it does not have the frames asked for, LOOM_EIO,
 * LOOM_EINTERRUPTED if it was stopped (the file is whole, if it has a frame). */
int animation_write(const struct animation_settings *settings, struct text *text,
                    uint64_t *frames) LOOM_MUST_CHECK;

#endif

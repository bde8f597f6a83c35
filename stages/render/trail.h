/* The way of a window over its tapestry, from a recording of frames with positions. */
#ifndef LOOM_STAGES_RENDER_TRAIL_H
#define LOOM_STAGES_RENDER_TRAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "image.h"
#include "stream.h"
#include "text.h"

#define TRAIL_FRAMES_MAX ((size_t)1000000) /* of one picture */
#define TRAIL_WINDOW_FRAMES 500            /* of the picture of the moving window */
#define TRAIL_END UINT64_MAX               /* as last frame: the end of the first pass, or of the recording */
#define TRAIL_LAST (UINT64_MAX - 1)        /* as last frame: the last that is recorded */

struct trail {
    char name[STREAM_NAME_BYTES]; /* of the stage that made the frames */
    uint64_t first, pass;         /* number of the first frame; frames a pass, 0: none */
    size_t n;                     /* frames */
    int32_t *at;                  /* n x 2: column and row of the window's upper left corner; owned */
    size_t window_width, window_height;
    float *tapestry;      /* height x width grey values; NaN where nothing was seen; owned */
    size_t width, height; /* pixels */
    bool whole;           /* the tapestry itself; else what these frames have shown of it */
};

void trail_fini(struct trail *self);

/* Whether a recording has a frame that tells where the window is. Errors as those of trail_read. */
int trail_is_told(const char *recording, bool *told) LOOM_MUST_CHECK;

/* Read the positions in frames `from` to `to` (both included; TRAIL_END, TRAIL_LAST) of a recording, which may still be
 * recorded, and the tapestry: the file that the recording's pipeline names, if it is there and shows what the
 * frames show, else put together from the frames themselves, later ones over earlier ones. LOOM_EDATA if it has no
 * frames with positions, or is damaged; LOOM_EUSAGE if it does not have the frames asked for; LOOM_EIO if it cannot
 * be read. */
int trail_read(struct trail *self, const char *recording, uint64_t from, uint64_t to) LOOM_MUST_CHECK;

/* Draw the tapestry in light grey, with the way of the window's middle in the first n frames over it: dark where it
 * begins, light where it ends; rectangles stand for the first window and the last. near: only the part where the
 * window was. run: for the title, NULL: not known. Makes *out. */
int trail_draw(struct image *out, const struct trail *self, size_t n, bool near, const char *run,
               struct text *text) LOOM_MUST_CHECK;

#endif

/* Inside of animation.c, which is in four parts: what there is in a recording and reading it (animation_source.c), the
 * numbers of the panels (animation_panels.c), drawing them (animation_paint.c), and all together. */
#ifndef LOOM_STAGES_RENDER_ANIMATION_STATE_H
#define LOOM_STAGES_RENDER_ANIMATION_STATE_H

#include "animation.h"
#include "colours.h"
#include "gallery.h"
#include "recording_read.h"

#define ANIMATION_ROWS 64  /* read at once */
#define ANIMATION_BEFORE 2 /* outputs before the one shown that panels need */
#define ANIMATION_NONE SIZE_MAX
#define ANIMATION_FILES 2

/* How values become shades. */
struct look {
    uint8_t white, grey; /* of the page, of lines */
    bool indexed;        /* pictures hold indices of the palette */
    uint32_t palette[256];
    const struct colours *outputs, *pixels; /* maps of the panels with outputs, and of those with pixels */
};

struct animation {
    const struct animation_settings *settings;
    struct text *text;
    struct recording_reader *files[ANIMATION_FILES]; /* settings->recording, settings->shared; NULL: none */
    size_t streams[STREAM_ANY];                      /* by kind; ANIMATION_NONE: there is none */
    size_t of[STREAM_ANY];                           /* the file that it is in, by kind */
    uint64_t first, end, pass;                       /* frames wanted: first .. end - 1; frames a pass */
    size_t n, P, M, k;                               /* panels; pixels, outputs and winners of a frame */
    enum animation_panel panels[ANIMATION_PANELS];
    float *values[ANIMATION_PANELS];                          /* of the frame shown; owned */
    size_t width[ANIMATION_PANELS], height[ANIMATION_PANELS]; /* numbers */
    double most_output, most_seen; /* of the clip: black; of outputs, and of the panel from_io */
    struct look look;
    struct image image;
    size_t scale, head, title, left[ANIMATION_PANELS]; /* pixels */
    /* a block of rows, row 0 being ANIMATION_BEFORE before the first one shown; owned */
    uint8_t *frames;
    uint32_t *index;
    float *value, *outputs, *scratch;
};

int animation_no_memory(void);
bool animation_stopped(const struct animation *self);

/* The stream of a kind that is shown; NULL: there is none. */
const struct stream_info *animation_info(const struct animation *self, enum stream_kind kind);
bool animation_has_layer(const struct shown *layer);
bool animation_shows_pixels(enum animation_panel panel);

/* What there is; in this order. The streams of the recordings; the panels; whether the layers fit them; the frames that
 * are wanted, waiting for the first one; the panels' sizes. Errors as those of animation_write. */
int animation_find_streams(struct animation *self) LOOM_MUST_CHECK;
int animation_choose_panels(struct animation *self) LOOM_MUST_CHECK;
int animation_check_shapes(struct animation *self) LOOM_MUST_CHECK;
int animation_choose_frames(struct animation *self) LOOM_MUST_CHECK;
void animation_shape_panels(struct animation *self);

/* The first frame that not all streams shown have yet. */
uint64_t animation_head(const struct animation *self);

/* Wait until there are frames to before `end`, or no more will come; *head: what there is. */
int animation_wait_for(struct animation *self, uint64_t end, uint64_t *head) LOOM_MUST_CHECK;

/* The end of the block that begins with `from`: it does not cross the end of a pass, so that all its outputs are of
 * one. */
uint64_t animation_block_end(const struct animation *self, uint64_t from, uint64_t head);

/* Read rows of frames `from` .. from + n - 1. Those of outputs stand behind ANIMATION_BEFORE rows of the outputs before,
 * 0 where a pass or the recording begins. */
int animation_read(struct animation *self, uint64_t from, size_t n, bool only_outputs) LOOM_MUST_CHECK;

/* The numbers of a panel for frame i of the block, to out. */
int animation_compute(const struct animation *self, enum animation_panel panel, size_t i,
                      float *out) LOOM_MUST_CHECK;

/* r = U' io, each r_j as a winner of that code would be seen, to out (P). */
void animation_see_output(const struct animation *self, const float *io, float *out);

/* The largest size of a finite number. */
double animation_largest(const float *values, size_t n);

/* Colours; sizes of everything, and the empty picture; all that does not change; frame i of the block, number
 * `frame`. */
void animation_choose_look(struct animation *self, bool negative);
int animation_lay_out(struct animation *self) LOOM_MUST_CHECK;
void animation_paint_page(struct animation *self);
int animation_paint_frame(struct animation *self, size_t i, uint64_t frame) LOOM_MUST_CHECK;
void animation_write_title(const struct animation *self, char title[GALLERY_MOMENT_BYTES], uint64_t frame);

#endif

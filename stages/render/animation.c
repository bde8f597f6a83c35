/* See animation.h.
 *
 * Frames are read and drawn in blocks, so that memory is bounded. Where the scale is that of the whole clip, the
 * activations are gone through once before. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "animation_state.h"
#include "log.h"

const char *const animation_names[ANIMATION_PANELS] = {"input",          "io",     "io_2", "q", "error",
                                                       "reconstruction", "from_io"};

int animation_no_memory(void)
{
    return error_set(LOOM_EINTERNAL, "no memory for the animation");
}

/* Go through the activations of the frames there are: how far they go, and whether there are negative ones. */
static int measure_frames(struct animation *self, uint64_t head, float *seen, bool *negative)
{
    int status = LOOM_OK;
    for (uint64_t at = self->first; status == LOOM_OK && at < head && !animation_stopped(self);) {
        const uint64_t end = animation_block_end(self, at, head);
        const size_t n = (size_t)(end - at);
        status = animation_read(self, at, n, true);
        *negative = *negative || draw_has_negative(self->outputs, (ANIMATION_BEFORE + n) * self->M);
        self->most_output =
            fmax(self->most_output, animation_largest(self->outputs, (ANIMATION_BEFORE + n) * self->M));
        for (size_t i = 0; i < n && seen != NULL; i++) {
            animation_see_output(self, self->outputs + (ANIMATION_BEFORE + i) * self->M, seen);
            self->most_seen = fmax(self->most_seen, animation_largest(seen, self->P));
        }
        at = end;
    }
    return status;
}

/* Find out what the ends of the colours are, where that takes all frames, which are waited for; and whether there are
 * numbers below 0, for which what there is will do. */
static int measure(struct animation *self, bool *negative)
{
    const struct animation_settings *settings = self->settings;
    const bool told = settings->per_frame || settings->most > 0;
    uint64_t head = animation_head(self);
    float *seen = NULL;
    int status = LOOM_OK;
    if (self->M == 0 || (told && settings->colours != 0)) {
        self->most_output = settings->most;
        self->most_seen = 1;
        return LOOM_OK;
    }
    for (size_t p = 0; p < self->n && !told && seen == NULL; p++) {
        if (self->panels[p] == ANIMATION_FROM_IO) {
            seen = malloc(self->P * sizeof *seen);
            status = seen == NULL ? animation_no_memory() : LOOM_OK;
        }
    }
    if (status == LOOM_OK && !told) {
        status = animation_wait_for(self, self->end, &head);
    }
    head = head < self->end ? head : self->end;
    status = status == LOOM_OK ? measure_frames(self, head, seen, negative) : status;
    if (told) {
        self->most_output = settings->most;
        self->most_seen = 1;
    }
    free(seen);
    return status;
}

static int make_room(struct animation *self)
{
    const struct stream_info *frames = animation_info(self, STREAM_FRAMES);
    const size_t bytes = frames != NULL && frames->dtype == STREAM_U1 ? 1 : sizeof(float);
    bool enough = true;
    for (size_t p = 0; p < self->n; p++) {
        self->values[p] = calloc(self->width[p] * self->height[p], sizeof(float));
        enough = enough && self->values[p] != NULL;
    }
    self->frames = malloc(ANIMATION_ROWS * self->P * bytes + 1);
    self->index = malloc((ANIMATION_ROWS * self->k + 1) * sizeof *self->index);
    self->value = malloc((ANIMATION_ROWS * self->k + 1) * sizeof *self->value);
    self->outputs = calloc((ANIMATION_BEFORE + ANIMATION_ROWS) * self->M + 1, sizeof *self->outputs);
    self->scratch =
        malloc((animation_has_layer(self->settings->sparse) ? self->settings->sparse->weights.rows : 1) *
               sizeof *self->scratch);
    return enough && self->frames != NULL && self->index != NULL && self->value != NULL &&
                   self->outputs != NULL && self->scratch != NULL
               ? LOOM_OK
               : animation_no_memory();
}

static void animation_fini(struct animation *self)
{
    for (size_t p = 0; p < self->n; p++) {
        free(self->values[p]);
    }
    free(self->frames);
    free(self->index);
    free(self->value);
    free(self->outputs);
    free(self->scratch);
    image_fini(&self->image);
    for (size_t f = 0; f < ANIMATION_FILES; f++) {
        recording_reader_destroy(&self->files[f]);
    }
}

/* Draw and write all frames; *frames: how many. */
static int write_frames(struct animation *self, struct movie *movie, uint64_t *frames)
{
    uint64_t at = self->first;
    int status = LOOM_OK;
    animation_paint_page(self);
    while (status == LOOM_OK && at < self->end && !animation_stopped(self)) {
        uint64_t head = 0;
        status = animation_wait_for(self, at + 1, &head);
        if (status != LOOM_OK || head <= at) {
            break;
        }
        const uint64_t end = animation_block_end(self, at, head);
        status = animation_read(self, at, (size_t)(end - at), false);
        for (size_t i = 0; status == LOOM_OK && at < end && !animation_stopped(self); i++, at++) {
            char title[GALLERY_MOMENT_BYTES];
            animation_write_title(self, title, at);
            status = animation_paint_frame(self, i, at);
            status = status == LOOM_OK ? movie_add(movie, &self->image, title) : status;
            *frames += status == LOOM_OK;
        }
    }
    if (status == LOOM_OK && !animation_stopped(self) && at < self->end && self->settings->to != UINT64_MAX) {
        log_warning("%s has ended with frame %" PRIu64 ", and so does the animation",
                    self->settings->recording, at - 1);
    }
    return status;
}

static int prepare(struct animation *self)
{
    bool negative = false;
    int status = animation_find_streams(self);
    status = status == LOOM_OK ? animation_choose_panels(self) : status;
    status = status == LOOM_OK ? animation_check_shapes(self) : status;
    status = status == LOOM_OK ? animation_choose_frames(self) : status;
    if (status == LOOM_OK) {
        animation_shape_panels(self);
        status = make_room(self);
    }
    status = status == LOOM_OK ? measure(self, &negative) : status;
    if (status == LOOM_OK) {
        animation_choose_look(self, negative);
        status = animation_lay_out(self);
    }
    return status;
}

int animation_write(const struct animation_settings *settings, struct text *text, uint64_t *frames)
{
    struct animation self = {.settings = settings, .text = text};
    struct movie *movie = NULL;
    *frames = 0;
    int status = recording_reader_new(&self.files[0], settings->recording);
    if (status == LOOM_OK && settings->shared != NULL) {
        status = recording_reader_new(&self.files[1], settings->shared);
    }
    status = status == LOOM_OK ? prepare(&self) : status;
    if (status == LOOM_OK) {
        status = movie_new(&movie, settings->path, settings->form, settings->rate,
                           self.look.indexed ? self.look.palette : NULL);
    }
    status = status == LOOM_OK ? write_frames(&self, movie, frames) : status;
    if (status == LOOM_OK && animation_stopped(&self) && *frames == 0) {
        status = error_set(LOOM_EINTERRUPTED, "interrupted before there was a frame");
    }
    status = status == LOOM_OK ? movie_finish(&movie) : status;
    if (status == LOOM_OK && animation_stopped(&self)) {
        status =
            error_set(LOOM_EINTERRUPTED, "interrupted after %" PRIu64 " frames, which are there", *frames);
    }
    movie_destroy(&movie);
    animation_fini(&self);
    return status;
}

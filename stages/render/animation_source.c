/* What there is in a recording to be animated, and reading it; see animation_state.h. */
#include "animation_state.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define WAIT_US 100000

static struct recording_reader *file_of(const struct animation *self, enum stream_kind kind)
{
    return self->files[self->of[kind]];
}

const struct stream_info *animation_info(const struct animation *self, enum stream_kind kind)
{
    return self->streams[kind] == ANIMATION_NONE
               ? NULL
               : recording_reader_info(file_of(self, kind), self->streams[kind]);
}

bool animation_stopped(const struct animation *self)
{
    return self->settings->stop != NULL && *self->settings->stop != 0;
}

/* ---- what there is ---- */

/* Take the streams of file f whose kinds no file before it has; of activations the one that is asked for. */
static int find_streams_of(struct animation *self, size_t f)
{
    const char *wanted = self->settings->stream;
    struct recording_reader *file = self->files[f];
    for (size_t s = 0; file != NULL && s < recording_reader_streams(file); s++) {
        const struct stream_info *info = recording_reader_info(file, s);
        if (info->kind == STREAM_NONE || info->kind >= STREAM_ANY ||
            (info->kind == STREAM_ACTIVATIONS && wanted != NULL && strcmp(info->name, wanted) != 0)) {
            continue;
        }
        if (self->streams[info->kind] == ANIMATION_NONE) {
            self->streams[info->kind] = s;
            self->of[info->kind] = f;
        } else if (info->kind == STREAM_ACTIVATIONS && self->of[info->kind] == f) {
            return error_set(LOOM_EUSAGE, "%s has the outputs of several layers (%s, %s): say --layer NAME",
                             recording_reader_path(file), animation_info(self, STREAM_ACTIVATIONS)->name,
                             info->name);
        }
    }
    return LOOM_OK;
}

int animation_find_streams(struct animation *self)
{
    int status = LOOM_OK;
    for (size_t kind = 0; kind < STREAM_ANY; kind++) {
        self->streams[kind] = ANIMATION_NONE;
    }
    for (size_t f = 0; f < ANIMATION_FILES && status == LOOM_OK; f++) {
        status = find_streams_of(self, f);
    }
    return status;
}

bool animation_has_layer(const struct shown *layer)
{
    return layer != NULL && layer->weights.data != NULL;
}

/* Why a panel cannot be drawn; NULL if it can. */
static const char *missing(const struct animation *self, enum animation_panel panel)
{
    const struct animation_settings *settings = self->settings;
    const bool seen = panel == ANIMATION_RECONSTRUCTION || panel == ANIMATION_FROM_IO;
    if (panel == ANIMATION_INPUT) {
        return self->streams[STREAM_FRAMES] == ANIMATION_NONE ? "frames were not recorded" : NULL;
    }
    if (panel == ANIMATION_RECONSTRUCTION && self->streams[STREAM_CODES] == ANIMATION_NONE) {
        return "codes were not recorded";
    }
    if (panel != ANIMATION_RECONSTRUCTION && self->streams[STREAM_ACTIVATIONS] == ANIMATION_NONE) {
        return settings->stream != NULL ? "no layer of this name was recorded"
                                        : "activations were not recorded";
    }
    if (seen && !animation_has_layer(settings->sparse)) {
        return "the sparse layer's file is not there: name it behind the recording";
    }
    return panel == ANIMATION_FROM_IO && !animation_has_layer(settings->invariant)
               ? "the invariant layer's file is not there: name it behind the recording"
               : NULL;
}

int animation_choose_panels(struct animation *self)
{
    static const enum animation_panel plain[] = {ANIMATION_INPUT, ANIMATION_IO, ANIMATION_RECONSTRUCTION},
                                      smooth[] = {ANIMATION_INPUT, ANIMATION_IO_2, ANIMATION_Q,
                                                  ANIMATION_DIFFERENCE, ANIMATION_RECONSTRUCTION};
    const struct animation_settings *settings = self->settings;
    const enum animation_panel *panels = settings->n_panels > 0 ? settings->panels
                                         : settings->smooth     ? smooth
                                                                : plain;
    const size_t n = settings->n_panels > 0 ? settings->n_panels : settings->smooth ? 5 : 3;
    for (size_t i = 0; i < n; i++) {
        const char *why = missing(self, panels[i]);
        if (why == NULL) {
            self->panels[self->n++] = panels[i];
        } else if (settings->n_panels > 0) {
            return error_set(LOOM_EDATA, "%s: there is no panel %s: %s", settings->recording,
                             animation_names[panels[i]], why);
        } else {
            log_warning("without %s: %s", animation_names[panels[i]], why);
        }
    }
    return self->n > 0 ? LOOM_OK
                       : error_set(LOOM_EDATA, "%s has neither frames nor codes nor activations to be shown",
                                   settings->recording);
}

bool animation_shows_pixels(enum animation_panel panel)
{
    return panel == ANIMATION_INPUT || panel == ANIMATION_RECONSTRUCTION || panel == ANIMATION_FROM_IO;
}

/* The shapes of the streams that are shown, and whether the layers fit them. */
int animation_check_shapes(struct animation *self)
{
    const struct stream_info *frames = animation_info(self, STREAM_FRAMES),
                             *codes = animation_info(self, STREAM_CODES),
                             *outputs = animation_info(self, STREAM_ACTIVATIONS);
    const struct shown *sparse = self->settings->sparse, *invariant = self->settings->invariant;
    self->M = outputs != NULL ? outputs->grid_x * outputs->grid_y : 0;
    self->k = codes != NULL ? codes->winners : 0;
    self->P = animation_has_layer(sparse) ? sparse->weights.cols
              : frames != NULL            ? frames->width * frames->height
                                          : 0;
    if (animation_has_layer(sparse) && frames != NULL && frames->width * frames->height != self->P) {
        return error_set(LOOM_EDATA,
                         "the frames of %s have %zu pixels, but the units of layer %s have %zu weights",
                         self->settings->recording, frames->width * frames->height, sparse->name, self->P);
    }
    if (animation_has_layer(sparse) && codes != NULL &&
        codes->grid_x * codes->grid_y != sparse->weights.rows) {
        return error_set(LOOM_EDATA, "the codes of %s are of %zu units, but layer %s has %zu",
                         self->settings->recording, codes->grid_x * codes->grid_y, sparse->name,
                         sparse->weights.rows);
    }
    if (animation_has_layer(invariant) && animation_has_layer(sparse) && outputs != NULL &&
        (invariant->weights.rows != self->M || invariant->weights.cols != sparse->weights.rows)) {
        return error_set(LOOM_EDATA, "layer %s is not the one between layer %s and the outputs in %s",
                         invariant->name, sparse->name, self->settings->recording);
    }
    if (animation_has_layer(sparse) && codes != NULL && sparse->id[0] != '\0' &&
        strcmp(sparse->id, codes->id) != 0) {
        log_warning("the codes of %s were made by another layer than %s: reconstructions are not what it saw",
                    self->settings->recording, sparse->name);
    }
    return LOOM_OK;
}

void animation_shape_panels(struct animation *self)
{
    const struct stream_info *frames = animation_info(self, STREAM_FRAMES),
                             *outputs = animation_info(self, STREAM_ACTIVATIONS);
    for (size_t i = 0; i < self->n; i++) {
        const bool pixels = animation_shows_pixels(self->panels[i]);
        self->width[i] = !pixels          ? outputs->grid_x
                         : frames != NULL ? frames->width
                                          : self->settings->sparse->weights.input_width;
        self->height[i] = !pixels          ? outputs->grid_y
                          : frames != NULL ? frames->height
                                           : self->settings->sparse->weights.input_height;
    }
}

/* The first frame that all streams shown have. */
static uint64_t base_of(const struct animation *self)
{
    uint64_t base = 0;
    for (size_t kind = STREAM_FRAMES; kind < STREAM_ANY; kind++) {
        if (self->streams[kind] != ANIMATION_NONE) {
            const uint64_t first = recording_reader_first(file_of(self, (enum stream_kind)kind));
            base = first > base ? first : base;
        }
    }
    return base;
}

/* The first frame that not all streams shown have yet. */
uint64_t animation_head(const struct animation *self)
{
    uint64_t head = UINT64_MAX;
    for (size_t kind = STREAM_FRAMES; kind < STREAM_ANY; kind++) {
        if (self->streams[kind] != ANIMATION_NONE) {
            const struct recording_reader *file = file_of(self, (enum stream_kind)kind);
            const uint64_t end =
                recording_reader_first(file) + recording_reader_rows(file, self->streams[kind]);
            head = end < head ? end : head;
        }
    }
    return head;
}

static bool is_live(const struct animation *self)
{
    bool live = false;
    for (size_t f = 0; f < ANIMATION_FILES; f++) {
        live =
            live || (self->files[f] != NULL && recording_reader_condition(self->files[f]) == RECORDING_LIVE);
    }
    return live;
}

/* Look at what has been recorded since, after a while. Errors as those of recording_reader_refresh. */
static int wait_a_while(struct animation *self, bool *over)
{
    int status = LOOM_OK;
    *over = !is_live(self) || animation_stopped(self);
    if (*over) {
        return LOOM_OK;
    }
    usleep(WAIT_US);
    for (size_t f = 0; f < ANIMATION_FILES && status == LOOM_OK; f++) {
        if (self->files[f] != NULL && recording_reader_condition(self->files[f]) == RECORDING_LIVE) {
            status = recording_reader_refresh(self->files[f]);
        }
    }
    return status;
}

/* Wait until there are frames to before `end`, or no more will come; *head: what there is. */
int animation_wait_for(struct animation *self, uint64_t end, uint64_t *head)
{
    int status = LOOM_OK;
    bool over = false;
    for (*head = animation_head(self); status == LOOM_OK && *head < end && !over;
         *head = animation_head(self)) {
        status = wait_a_while(self, &over);
    }
    return status;
}

/* The first ANIMATION_FRAMES frames of the last pass that has as many. */
static void choose_usual(struct animation *self, uint64_t base, uint64_t head)
{
    self->first = base;
    if (self->pass > 0 && head > base) {
        uint64_t start = (head - 1) / self->pass * self->pass;
        const uint64_t wanted = self->pass < ANIMATION_FRAMES ? self->pass : ANIMATION_FRAMES;
        start = head - start < wanted && start >= self->pass ? start - self->pass : start;
        self->first = start > base ? start : base;
    }
    self->end = self->first + ANIMATION_FRAMES;
    if (self->pass > 0) { /* a pass that is shorter is shown as it is */
        const uint64_t pass_end = (self->first / self->pass + 1) * self->pass;
        self->end = pass_end < self->end ? pass_end : self->end;
    }
}

int animation_choose_frames(struct animation *self)
{
    const struct animation_settings *settings = self->settings;
    const uint64_t base = base_of(self);
    uint64_t head;
    for (size_t kind = STREAM_FRAMES; kind < STREAM_ANY; kind++) {
        self->pass = self->streams[kind] != ANIMATION_NONE
                         ? animation_info(self, (enum stream_kind)kind)->pass
                         : self->pass;
    }
    int status = animation_wait_for(self, base + 1, &head);
    if (status != LOOM_OK) {
        return status;
    }
    if (head <= base) {
        return error_set(animation_stopped(self) ? LOOM_EINTERRUPTED : LOOM_EDATA, "%s has no frames",
                         settings->recording);
    }
    if (!settings->chosen) {
        choose_usual(self, base, head);
    } else {
        self->first = settings->from;
        self->end = settings->to == UINT64_MAX ? UINT64_MAX : settings->to + 1;
    }
    const bool live = is_live(self);
    if (self->first < base || (!live && self->first >= head)) {
        return error_set(LOOM_EUSAGE, "%s has frames %" PRIu64 " to %" PRIu64 ", but no frame %" PRIu64,
                         settings->recording, base, head - 1, self->first);
    }
    if (!live && self->end > head) {
        if (settings->chosen && settings->to != UINT64_MAX) {
            return error_set(LOOM_EUSAGE, "%s has frames %" PRIu64 " to %" PRIu64 ", but no frame %" PRIu64,
                             settings->recording, base, head - 1, settings->to);
        }
        self->end = head;
    }
    return LOOM_OK;
}

/* ---- reading ---- */

/* Read rows of frames `from` .. from + n - 1 of the stream of a kind. */
static int read_rows(const struct animation *self, enum stream_kind kind, uint64_t from, size_t n,
                     void *fields[STREAM_FIELDS_MAX])
{
    struct recording_reader *file = file_of(self, kind);
    return recording_read(file, self->streams[kind], from - recording_reader_first(file), n, fields);
}

/* Read rows of frames `from` .. from + n - 1 behind the first ANIMATION_BEFORE rows; these get the outputs before, 0 where a
 * pass or what is recorded begins. */
int animation_read(struct animation *self, uint64_t from, size_t n, bool only_outputs)
{
    int status = LOOM_OK;
    if (self->streams[STREAM_ACTIVATIONS] != ANIMATION_NONE) {
        const size_t M = self->M;
        const uint64_t base = recording_reader_first(file_of(self, STREAM_ACTIVATIONS));
        const uint64_t begun = self->pass > 0 ? from / self->pass * self->pass : 0;
        size_t before = 0;
        while (before < ANIMATION_BEFORE && from - before > base && from - before > begun) {
            before++;
        }
        memset(self->outputs, 0, ANIMATION_BEFORE * M * sizeof *self->outputs);
        void *fields[STREAM_FIELDS_MAX] = {self->outputs + (ANIMATION_BEFORE - before) * M, NULL};
        status = read_rows(self, STREAM_ACTIVATIONS, from - before, n + before, fields);
    }
    if (status == LOOM_OK && !only_outputs && self->streams[STREAM_FRAMES] != ANIMATION_NONE) {
        void *fields[STREAM_FIELDS_MAX] = {self->frames, NULL};
        status = read_rows(self, STREAM_FRAMES, from, n, fields);
    }
    if (status == LOOM_OK && !only_outputs && self->streams[STREAM_CODES] != ANIMATION_NONE) {
        void *fields[STREAM_FIELDS_MAX] = {self->index, self->value};
        status = read_rows(self, STREAM_CODES, from, n, fields);
    }
    return status;
}

/* The end of the block that begins with `from`: it does not cross the end of a pass, so that all its outputs are of
 * one. */
uint64_t animation_block_end(const struct animation *self, uint64_t from, uint64_t head)
{
    uint64_t end = from + ANIMATION_ROWS < head ? from + ANIMATION_ROWS : head;
    if (self->pass > 0 && end > (from / self->pass + 1) * self->pass) {
        end = (from / self->pass + 1) * self->pass;
    }
    return end < self->end ? end : self->end;
}

/* See animation.h.
 *
 * Frames are read and drawn in blocks, so that memory is bounded. Where the scale is that of the whole clip, the
 * activations are gone through once before. */
#include "animation.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "draw_parts.h"
#include "gallery.h"
#include "log.h"
#include "recording_read.h"

#define ROWS 64            /* read at once */
#define BEFORE 2           /* outputs before the one shown that panels need */
#define WIDTH_USUAL 760    /* pixels that all panels shall have together, about */
#define SCALE_USUAL_MAX 16 /* pixels a number */
#define NONE SIZE_MAX
#define WAIT_US 100000
#define GREYS 64 /* shades of grey in a palette; the other colours are the map's */
#define LEVELS (256 - GREYS)
#define LETTERS 17
#define GAP 24
#define MARGIN 18

const char *const animation_names[ANIMATION_PANELS] = {"input",          "io",     "io_2", "q", "error",
                                                       "reconstruction", "from_io"};

/* What stands above each. */
static const char *const labels[ANIMATION_PANELS] = {"input",          "io",          "io₂", "q", "|io₂ − q|",
                                                     "reconstruction", "seen from io"};

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
    struct recording_reader *file;
    size_t streams[STREAM_ANY]; /* by kind; NONE: there is none */
    uint64_t first, end, pass;  /* frames wanted: first .. end - 1; frames a pass */
    size_t n, P, M, k;          /* panels; pixels, outputs and winners of a frame */
    enum animation_panel panels[ANIMATION_PANELS];
    float *values[ANIMATION_PANELS];                          /* of the frame shown; owned */
    size_t width[ANIMATION_PANELS], height[ANIMATION_PANELS]; /* numbers */
    double most_output, most_seen; /* of the clip: black; of outputs, and of the panel from_io */
    struct look look;
    struct image image;
    size_t scale, head, title, left[ANIMATION_PANELS]; /* pixels */
    /* a block of rows, row 0 being `BEFORE` before the first one shown; owned */
    uint8_t *frames;
    uint32_t *index;
    float *value, *outputs, *scratch;
};

static int no_memory(void)
{
    return error_set(LOOM_EINTERNAL, "no memory for the animation");
}

static const struct stream_info *info_of(const struct animation *self, enum stream_kind kind)
{
    return self->streams[kind] == NONE ? NULL : recording_reader_info(self->file, self->streams[kind]);
}

static bool stopped(const struct animation *self)
{
    return self->settings->stop != NULL && *self->settings->stop != 0;
}

/* ---- what there is ---- */

/* The streams of the recording; of activations the one that is asked for. */
static int find_streams(struct animation *self)
{
    const char *wanted = self->settings->stream;
    for (size_t kind = 0; kind < STREAM_ANY; kind++) {
        self->streams[kind] = NONE;
    }
    for (size_t s = 0; s < recording_reader_streams(self->file); s++) {
        const struct stream_info *info = recording_reader_info(self->file, s);
        if (info->kind == STREAM_NONE || info->kind >= STREAM_ANY ||
            (info->kind == STREAM_ACTIVATIONS && wanted != NULL && strcmp(info->name, wanted) != 0)) {
            continue;
        }
        if (self->streams[info->kind] == NONE) {
            self->streams[info->kind] = s;
        } else if (info->kind == STREAM_ACTIVATIONS) {
            return error_set(LOOM_EUSAGE, "%s has the outputs of several layers (%s, %s): say --layer NAME",
                             self->settings->recording, info_of(self, STREAM_ACTIVATIONS)->name, info->name);
        }
    }
    return LOOM_OK;
}

static bool has_layer(const struct shown *layer)
{
    return layer != NULL && layer->weights.data != NULL;
}

/* Why a panel cannot be drawn; NULL if it can. */
static const char *missing(const struct animation *self, enum animation_panel panel)
{
    const struct animation_settings *settings = self->settings;
    const bool seen = panel == ANIMATION_RECONSTRUCTION || panel == ANIMATION_FROM_IO;
    if (panel == ANIMATION_INPUT) {
        return self->streams[STREAM_FRAMES] == NONE ? "frames were not recorded" : NULL;
    }
    if (panel == ANIMATION_RECONSTRUCTION && self->streams[STREAM_CODES] == NONE) {
        return "codes were not recorded";
    }
    if (panel != ANIMATION_RECONSTRUCTION && self->streams[STREAM_ACTIVATIONS] == NONE) {
        return settings->stream != NULL ? "no layer of this name was recorded"
                                        : "activations were not recorded";
    }
    if (seen && !has_layer(settings->sparse)) {
        return "the sparse layer's file is not there: name it behind the recording";
    }
    return panel == ANIMATION_FROM_IO && !has_layer(settings->invariant)
               ? "the invariant layer's file is not there: name it behind the recording"
               : NULL;
}

static int choose_panels(struct animation *self)
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

static bool shows_pixels(enum animation_panel panel)
{
    return panel == ANIMATION_INPUT || panel == ANIMATION_RECONSTRUCTION || panel == ANIMATION_FROM_IO;
}

/* The shapes of the streams that are shown, and whether the layers fit them. */
static int check_shapes(struct animation *self)
{
    const struct stream_info *frames = info_of(self, STREAM_FRAMES), *codes = info_of(self, STREAM_CODES),
                             *outputs = info_of(self, STREAM_ACTIVATIONS);
    const struct shown *sparse = self->settings->sparse, *invariant = self->settings->invariant;
    self->M = outputs != NULL ? outputs->grid_x * outputs->grid_y : 0;
    self->k = codes != NULL ? codes->winners : 0;
    self->P = has_layer(sparse) ? sparse->weights.cols : frames != NULL ? frames->width * frames->height : 0;
    if (has_layer(sparse) && frames != NULL && frames->width * frames->height != self->P) {
        return error_set(LOOM_EDATA,
                         "the frames of %s have %zu pixels, but the units of layer %s have %zu weights",
                         self->settings->recording, frames->width * frames->height, sparse->name, self->P);
    }
    if (has_layer(sparse) && codes != NULL && codes->grid_x * codes->grid_y != sparse->weights.rows) {
        return error_set(LOOM_EDATA, "the codes of %s are of %zu units, but layer %s has %zu",
                         self->settings->recording, codes->grid_x * codes->grid_y, sparse->name,
                         sparse->weights.rows);
    }
    if (has_layer(invariant) && has_layer(sparse) && outputs != NULL &&
        (invariant->weights.rows != self->M || invariant->weights.cols != sparse->weights.rows)) {
        return error_set(LOOM_EDATA, "layer %s is not the one between layer %s and the outputs in %s",
                         invariant->name, sparse->name, self->settings->recording);
    }
    if (has_layer(sparse) && codes != NULL && sparse->id[0] != '\0' && strcmp(sparse->id, codes->id) != 0) {
        log_warning("the codes of %s were made by another layer than %s: reconstructions are not what it saw",
                    self->settings->recording, sparse->name);
    }
    return LOOM_OK;
}

static void shape_panels(struct animation *self)
{
    const struct stream_info *frames = info_of(self, STREAM_FRAMES),
                             *outputs = info_of(self, STREAM_ACTIVATIONS);
    for (size_t i = 0; i < self->n; i++) {
        const bool pixels = shows_pixels(self->panels[i]);
        self->width[i] = !pixels          ? outputs->grid_x
                         : frames != NULL ? frames->width
                                          : self->settings->sparse->weights.input_width;
        self->height[i] = !pixels          ? outputs->grid_y
                          : frames != NULL ? frames->height
                                           : self->settings->sparse->weights.input_height;
    }
}

/* The first frame that not all streams shown have yet. */
static uint64_t head_of(const struct animation *self)
{
    uint64_t rows = UINT64_MAX;
    for (size_t kind = STREAM_FRAMES; kind < STREAM_ANY; kind++) {
        if (self->streams[kind] != NONE) {
            const uint64_t has = recording_reader_rows(self->file, self->streams[kind]);
            rows = has < rows ? has : rows;
        }
    }
    return recording_reader_first(self->file) + rows;
}

/* Look at what has been recorded since, after a while. Errors as those of recording_reader_refresh. */
static int wait_a_while(struct animation *self, bool *over)
{
    *over = recording_reader_condition(self->file) != RECORDING_LIVE || stopped(self);
    if (*over) {
        return LOOM_OK;
    }
    usleep(WAIT_US);
    return recording_reader_refresh(self->file);
}

/* Wait until there are frames to before `end`, or no more will come; *head: what there is. */
static int wait_for(struct animation *self, uint64_t end, uint64_t *head)
{
    int status = LOOM_OK;
    bool over = false;
    for (*head = head_of(self); status == LOOM_OK && *head < end && !over; *head = head_of(self)) {
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

static int choose_frames(struct animation *self)
{
    const struct animation_settings *settings = self->settings;
    const uint64_t base = recording_reader_first(self->file);
    uint64_t head;
    for (size_t kind = STREAM_FRAMES; kind < STREAM_ANY; kind++) {
        self->pass = self->streams[kind] != NONE ? info_of(self, (enum stream_kind)kind)->pass : self->pass;
    }
    int status = wait_for(self, base + 1, &head);
    if (status != LOOM_OK) {
        return status;
    }
    if (head <= base) {
        return error_set(stopped(self) ? LOOM_EINTERRUPTED : LOOM_EDATA, "%s has no frames",
                         settings->recording);
    }
    if (!settings->chosen) {
        choose_usual(self, base, head);
    } else {
        self->first = settings->from;
        self->end = settings->to == UINT64_MAX ? UINT64_MAX : settings->to + 1;
    }
    const bool live = recording_reader_condition(self->file) == RECORDING_LIVE;
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

/* Read rows of frames `from` .. from + n - 1 behind the first BEFORE rows; these get the outputs before, 0 where a
 * pass or the recording begins. */
static int read_block(struct animation *self, uint64_t from, size_t n, bool only_outputs)
{
    const uint64_t base = recording_reader_first(self->file), row = from - base;
    const size_t M = self->M;
    int status = LOOM_OK;
    if (self->streams[STREAM_ACTIVATIONS] != NONE) {
        const uint64_t begun = self->pass > 0 ? from / self->pass * self->pass : 0;
        size_t before = 0;
        while (before < BEFORE && from - before > base && from - before > begun) {
            before++;
        }
        memset(self->outputs, 0, BEFORE * M * sizeof *self->outputs);
        void *fields[STREAM_FIELDS_MAX] = {self->outputs + (BEFORE - before) * M, NULL};
        status =
            recording_read(self->file, self->streams[STREAM_ACTIVATIONS], row - before, n + before, fields);
    }
    if (status == LOOM_OK && !only_outputs && self->streams[STREAM_FRAMES] != NONE) {
        void *fields[STREAM_FIELDS_MAX] = {self->frames, NULL};
        status = recording_read(self->file, self->streams[STREAM_FRAMES], row, n, fields);
    }
    if (status == LOOM_OK && !only_outputs && self->streams[STREAM_CODES] != NONE) {
        void *fields[STREAM_FIELDS_MAX] = {self->index, self->value};
        status = recording_read(self->file, self->streams[STREAM_CODES], row, n, fields);
    }
    return status;
}

/* The end of the block that begins with `from`: it does not cross the end of a pass, so that all its outputs are of
 * one. */
static uint64_t block_end(const struct animation *self, uint64_t from, uint64_t head)
{
    uint64_t end = from + ROWS < head ? from + ROWS : head;
    if (self->pass > 0 && end > (from / self->pass + 1) * self->pass) {
        end = (from / self->pass + 1) * self->pass;
    }
    return end < self->end ? end : self->end;
}

/* ---- the panels' numbers ---- */

/* Pixel q of frame i of the block. */
static float pixel(const struct animation *self, size_t i, size_t q)
{
    const struct stream_info *info = info_of(self, STREAM_FRAMES);
    if (info->dtype == STREAM_U1) {
        return (float)self->frames[i * self->P + q] / 255;
    }
    float value;
    memcpy(&value, self->frames + (i * self->P + q) * sizeof value, sizeof value);
    return value;
}

static double sum_of(const float *row, size_t n)
{
    double sum = 0;
    for (size_t q = 0; q < n; q++) {
        sum += (double)row[q];
    }
    return sum;
}

/* Sum over the winners of p_i W_i. */
static int reconstruct(const struct animation *self, size_t i, float *out)
{
    const struct stage_weights *W = &self->settings->sparse->weights;
    memset(out, 0, self->P * sizeof *out);
    for (size_t w = 0; w < self->k; w++) {
        const uint32_t unit = self->index[i * self->k + w];
        if (unit >= W->rows) {
            return error_set(LOOM_EDATA, "a code in %s names unit %u of %zu", self->settings->recording, unit,
                             W->rows);
        }
        const float *row = W->data + (size_t)unit * self->P;
        double drive = 0;
        for (size_t q = 0; q < self->P && self->streams[STREAM_FRAMES] != NONE; q++) {
            drive += (double)row[q] * (double)pixel(self, i, q);
        }
        if (self->streams[STREAM_FRAMES] == NONE) {
            drive = (double)self->value[i * self->k + w] * sum_of(row, self->P);
        }
        for (size_t q = 0; q < self->P; q++) {
            out[q] += (float)(drive * (double)row[q]);
        }
    }
    return LOOM_OK;
}

/* r = U' io, each r_j as a winner of that code would be seen. */
static void see_output(const struct animation *self, const float *io, float *out)
{
    const struct stage_weights *U = &self->settings->invariant->weights,
                               *W = &self->settings->sparse->weights;
    memset(self->scratch, 0, U->cols * sizeof *self->scratch);
    for (size_t i = 0; i < self->M; i++) {
        for (size_t j = 0; j < U->cols && io[i] != 0; j++) {
            self->scratch[j] += U->data[i * U->cols + j] * io[i];
        }
    }
    memset(out, 0, self->P * sizeof *out);
    for (size_t j = 0; j < W->rows; j++) {
        const float *row = W->data + j * self->P;
        const float drive =
            self->scratch[j] != 0 ? (float)((double)self->scratch[j] * sum_of(row, self->P)) : 0;
        for (size_t q = 0; q < self->P && drive != 0; q++) {
            out[q] += drive * row[q];
        }
    }
}

/* The numbers of a panel for frame i of the block. */
static int compute(const struct animation *self, enum animation_panel panel, size_t i, float *out)
{
    const float *io = self->outputs + (BEFORE + i) * self->M;
    switch (panel) {
    case ANIMATION_INPUT:
        for (size_t q = 0; q < self->P; q++) {
            out[q] = pixel(self, i, q);
        }
        return LOOM_OK;
    case ANIMATION_IO:
    case ANIMATION_IO_2:
        memcpy(out, panel == ANIMATION_IO ? io : io - self->M, self->M * sizeof *out);
        return LOOM_OK;
    case ANIMATION_Q:
    case ANIMATION_DIFFERENCE:
        for (size_t u = 0; u < self->M; u++) {
            const float *here = io + u;
            out[u] = (*here + *(here - 2 * self->M)) / 2;
            out[u] = panel == ANIMATION_DIFFERENCE ? fabsf(*(here - self->M) - out[u]) : out[u];
        }
        return LOOM_OK;
    case ANIMATION_RECONSTRUCTION:
        return reconstruct(self, i, out);
    default:
        see_output(self, io, out);
        return LOOM_OK;
    }
}

static double largest(const float *values, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double size = fabs((double)values[i]);
        most = size > most && isfinite(size) ? size : most;
    }
    return most;
}

/* Go through the activations of the frames there are: how far they go, and whether there are negative ones. */
static int measure_frames(struct animation *self, uint64_t head, float *seen, bool *negative)
{
    int status = LOOM_OK;
    for (uint64_t at = self->first; status == LOOM_OK && at < head && !stopped(self);) {
        const uint64_t end = block_end(self, at, head);
        const size_t n = (size_t)(end - at);
        status = read_block(self, at, n, true);
        *negative = *negative || draw_has_negative(self->outputs, (BEFORE + n) * self->M);
        self->most_output = fmax(self->most_output, largest(self->outputs, (BEFORE + n) * self->M));
        for (size_t i = 0; i < n && seen != NULL; i++) {
            see_output(self, self->outputs + (BEFORE + i) * self->M, seen);
            self->most_seen = fmax(self->most_seen, largest(seen, self->P));
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
    uint64_t head = head_of(self);
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
            status = seen == NULL ? no_memory() : LOOM_OK;
        }
    }
    if (status == LOOM_OK && !told) {
        status = wait_for(self, self->end, &head);
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

/* ---- drawing ---- */

static void choose_look(struct animation *self, bool negative)
{
    struct look *look = &self->look;
    look->outputs = colours_choose(self->settings->colours, negative);
    look->pixels = self->settings->colours == 0 ? &colours_grey : look->outputs;
    look->indexed = !look->outputs->grey;
    look->white = look->indexed ? GREYS - 1 : WHITE;
    look->grey = look->indexed ? GREYS * 10 / 16 : FRAME;
    for (size_t i = 0; i < 256; i++) {
        const uint32_t shade = (uint32_t)(i * 255 / (GREYS - 1));
        look->palette[i] = i < GREYS ? shade << 16 | shade << 8 | shade
                                     : colours_at(look->outputs, (double)(i - GREYS) / (LEVELS - 1));
    }
}

/* What a number is in the picture; most: the one at the end of the colours. */
static uint8_t shade_of(const struct look *look, const struct colours *colours, float value, double most)
{
    if (!isfinite(value)) {
        return look->white;
    }
    double part = most > 0 ? (double)value / most : 0;
    part = colours->diverging ? 0.5 + part / 2 : part;
    if (!look->indexed) {
        return (uint8_t)colours_at(colours, part);
    }
    if (colours->grey) {
        return (uint8_t)((colours_at(colours, part) & 0xff) * (GREYS - 1) / 255);
    }
    return (uint8_t)(GREYS + lround(fmin(fmax(part, 0), 1) * (LEVELS - 1)));
}

/* Sizes, from the panels' shapes. */
static int lay_out(struct animation *self)
{
    size_t numbers = 0, tallest = 1, x = MARGIN;
    for (size_t p = 0; p < self->n; p++) {
        numbers += self->width[p];
        tallest = at_least(tallest, self->height[p]);
    }
    self->scale = self->settings->scale != 0
                      ? self->settings->scale
                      : at_most(at_least(WIDTH_USUAL / at_least(numbers, tallest), 1), SCALE_USUAL_MAX);
    self->title = LETTERS * 5 / 4;
    self->head = MARGIN + self->title * 3 / 2 + LETTERS * 7 / 4;
    for (size_t p = 0; p < self->n; p++) {
        self->left[p] = x;
        x +=
            at_least(self->width[p] * self->scale, text_width(self->text, labels[self->panels[p]], LETTERS)) +
            GAP;
    }
    char title[200];
    snprintf(title, sizeof title, "run %.60s, pass 00,000, frame 000,000,000",
             self->settings->run != NULL ? self->settings->run : "");
    const size_t width = at_least(x - GAP, MARGIN + text_width(self->text, title, self->title)) + MARGIN;
    const size_t height = self->head + tallest * self->scale + MARGIN;
    /* even sides, as encoders of video want them */
    return image_init(&self->image, (width + 1) / 2 * 2, (height + 1) / 2 * 2, 1, self->look.white);
}

static void write_title(const struct animation *self, char title[GALLERY_MOMENT_BYTES], uint64_t frame)
{
    gallery_moment(title, self->settings->run, self->pass > 0 ? frame / self->pass + 1 : 0, frame);
}

static void paint_panel(struct animation *self, size_t p, double most)
{
    const enum animation_panel panel = self->panels[p];
    const struct colours *colours = shows_pixels(panel) ? self->look.pixels : self->look.outputs;
    const size_t scale = self->scale, left = self->left[p];
    for (size_t y = 0; y < self->height[p]; y++) {
        for (size_t x = 0; x < self->width[p]; x++) {
            draw_fill(&self->image, left + x * scale, self->head + y * scale, scale, scale,
                      shade_of(&self->look, colours, self->values[p][y * self->width[p] + x], most));
        }
    }
}

/* All that does not change. */
static void paint_page(struct animation *self)
{
    for (size_t p = 0; p < self->n; p++) {
        const size_t width = self->width[p] * self->scale, height = self->height[p] * self->scale;
        const uint8_t shade = self->look.grey;
        text_draw(self->text, &self->image, self->left[p], self->head - LETTERS * 5 / 8,
                  labels[self->panels[p]], LETTERS, BLACK);
        draw_fill(&self->image, self->left[p] - 1, self->head - 1, width + 2, height + 2, shade);
    }
}

/* Draw frame i of the block, number `frame`. */
static int paint_frame(struct animation *self, size_t i, uint64_t frame)
{
    char title[GALLERY_MOMENT_BYTES];
    double most_of_all = 0;
    for (size_t p = 0; p < self->n; p++) {
        const int status = compute(self, self->panels[p], i, self->values[p]);
        if (status != LOOM_OK) {
            return status;
        }
        most_of_all = fmax(most_of_all, largest(self->values[p], self->width[p] * self->height[p]));
    }
    draw_fill(&self->image, 0, 0, self->image.width, MARGIN + self->title * 3 / 2, self->look.white);
    write_title(self, title, frame);
    text_draw(self->text, &self->image, MARGIN, MARGIN + self->title, title, self->title, BLACK);
    for (size_t p = 0; p < self->n; p++) {
        const double most = self->settings->per_frame              ? most_of_all
                            : self->panels[p] == ANIMATION_FROM_IO ? self->most_seen
                            : shows_pixels(self->panels[p])        ? 1
                                                                   : self->most_output;
        paint_panel(self, p, most);
    }
    return LOOM_OK;
}

static int make_room(struct animation *self)
{
    const struct stream_info *frames = info_of(self, STREAM_FRAMES);
    const size_t bytes = frames != NULL && frames->dtype == STREAM_U1 ? 1 : sizeof(float);
    bool enough = true;
    for (size_t p = 0; p < self->n; p++) {
        self->values[p] = calloc(self->width[p] * self->height[p], sizeof(float));
        enough = enough && self->values[p] != NULL;
    }
    self->frames = malloc(ROWS * self->P * bytes + 1);
    self->index = malloc((ROWS * self->k + 1) * sizeof *self->index);
    self->value = malloc((ROWS * self->k + 1) * sizeof *self->value);
    self->outputs = calloc((BEFORE + ROWS) * self->M + 1, sizeof *self->outputs);
    self->scratch = malloc((has_layer(self->settings->sparse) ? self->settings->sparse->weights.rows : 1) *
                           sizeof *self->scratch);
    return enough && self->frames != NULL && self->index != NULL && self->value != NULL &&
                   self->outputs != NULL && self->scratch != NULL
               ? LOOM_OK
               : no_memory();
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
    recording_reader_destroy(&self->file);
}

/* Draw and write all frames; *frames: how many. */
static int write_frames(struct animation *self, struct movie *movie, uint64_t *frames)
{
    uint64_t at = self->first;
    int status = LOOM_OK;
    paint_page(self);
    while (status == LOOM_OK && at < self->end && !stopped(self)) {
        uint64_t head = 0;
        status = wait_for(self, at + 1, &head);
        if (status != LOOM_OK || head <= at) {
            break;
        }
        const uint64_t end = block_end(self, at, head);
        status = read_block(self, at, (size_t)(end - at), false);
        for (size_t i = 0; status == LOOM_OK && at < end && !stopped(self); i++, at++) {
            char title[GALLERY_MOMENT_BYTES];
            write_title(self, title, at);
            status = paint_frame(self, i, at);
            status = status == LOOM_OK ? movie_add(movie, &self->image, title) : status;
            *frames += status == LOOM_OK;
        }
    }
    if (status == LOOM_OK && !stopped(self) && at < self->end && self->settings->to != UINT64_MAX) {
        log_warning("%s has ended with frame %" PRIu64 ", and so does the animation",
                    self->settings->recording, at - 1);
    }
    return status;
}

static int prepare(struct animation *self)
{
    bool negative = false;
    int status = find_streams(self);
    status = status == LOOM_OK ? choose_panels(self) : status;
    status = status == LOOM_OK ? check_shapes(self) : status;
    status = status == LOOM_OK ? choose_frames(self) : status;
    if (status == LOOM_OK) {
        shape_panels(self);
        status = make_room(self);
    }
    status = status == LOOM_OK ? measure(self, &negative) : status;
    if (status == LOOM_OK) {
        choose_look(self, negative);
        status = lay_out(self);
    }
    return status;
}

int animation_write(const struct animation_settings *settings, struct text *text, uint64_t *frames)
{
    struct animation self = {.settings = settings, .text = text};
    struct movie *movie = NULL;
    *frames = 0;
    int status = recording_reader_new(&self.file, settings->recording);
    status = status == LOOM_OK ? prepare(&self) : status;
    if (status == LOOM_OK) {
        status = movie_new(&movie, settings->path, settings->form, settings->rate,
                           self.look.indexed ? self.look.palette : NULL);
    }
    status = status == LOOM_OK ? write_frames(&self, movie, frames) : status;
    if (status == LOOM_OK && stopped(&self) && *frames == 0) {
        status = error_set(LOOM_EINTERRUPTED, "interrupted before there was a frame");
    }
    status = status == LOOM_OK ? movie_finish(&movie) : status;
    if (status == LOOM_OK && stopped(&self)) {
        status =
            error_set(LOOM_EINTERRUPTED, "interrupted after %" PRIu64 " frames, which are there", *frames);
    }
    movie_destroy(&movie);
    animation_fini(&self);
    return status;
}

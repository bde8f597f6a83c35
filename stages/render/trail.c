/* See trail.h. */
#include "trail.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw_parts.h"
#include "gallery.h"
#include "ink.h"
#include "recording_read.h"
#include "stages/pipeline_file.h"

#define PIPELINE_BYTES ((size_t)1 << 20)
#define PIXELS_MAX ((size_t)1 << 26) /* of a tapestry put together */
#define ROWS 256                     /* frames read at once */
#define UNSEEN 0xe3e9f1
#define LIGHT 165 /* of 255: how dark the darkest of the tapestry is, so that the way over it stands out */
#define TEXT_BYTES 320
#define NEAR_SIDE 1800 /* pixels that a picture from near has at most, if it can be */

void trail_fini(struct trail *self)
{
    free(self->at);
    free(self->tapestry);
    *self = (struct trail){0};
}

static int no_memory(const char *path)
{
    return error_set(LOOM_EINTERNAL, "no memory for the way of the window in %s", path);
}

/* ---- reading ---- */

/* A recording while it is read: its stream of frames with positions. */
struct source {
    struct recording_reader *file;
    size_t stream;
    uint64_t row; /* of the first frame wanted */
};

static bool find_stream(struct source *source)
{
    for (size_t s = 0; s < recording_reader_streams(source->file); s++) {
        const struct stream_info *info = recording_reader_info(source->file, s);
        if (info->kind == STREAM_FRAMES && info->at && info->width > 0 && info->height > 0) {
            source->stream = s;
            return true;
        }
    }
    return false;
}

int trail_is_told(const char *recording, bool *told)
{
    struct source source = {0};
    const int status = recording_reader_new(&source.file, recording);
    *told =
        status == LOOM_OK && find_stream(&source) && recording_reader_rows(source.file, source.stream) > 0;
    recording_reader_destroy(&source.file);
    return status;
}

/* Which frames there are of those that are wanted. */
static int choose_frames(struct trail *self, struct source *source, const char *path, uint64_t from,
                         uint64_t to)
{
    const struct stream_info *info = recording_reader_info(source->file, source->stream);
    const uint64_t first = recording_reader_first(source->file);
    const uint64_t end = first + recording_reader_rows(source->file, source->stream);
    from = from < first ? first : from;
    if (to == TRAIL_END) {
        const uint64_t pass_end = info->pass > 0 ? (from / info->pass + 1) * info->pass : end;
        to = (pass_end < end ? pass_end : end) - 1;
        to = to - from >= TRAIL_FRAMES_MAX && to >= from ? from + TRAIL_FRAMES_MAX - 1 : to;
    } else if (to == TRAIL_LAST) {
        to = end - 1;
    }
    if (end == first) {
        return error_set(LOOM_EDATA, "%s has no frame of %s yet", path, info->name);
    }
    if (from >= end || to >= end || to < from || to - from >= TRAIL_FRAMES_MAX) {
        return error_set(LOOM_EUSAGE,
                         "%s has frames %" PRIu64 " to %" PRIu64
                         " of %s; choose among these, at most %zu of them",
                         path, first, end - 1, info->name, TRAIL_FRAMES_MAX);
    }
    snprintf(self->name, sizeof self->name, "%s", info->name);
    self->window_width = info->width;
    self->window_height = info->height;
    self->pass = info->pass;
    self->first = from;
    self->n = (size_t)(to - from + 1);
    source->row = from - first;
    return LOOM_OK;
}

/* Read all positions; how far they go. */
static int read_positions(struct trail *self, const struct source *source, const char *path, int32_t far[2])
{
    self->at = malloc(self->n * 2 * sizeof *self->at);
    if (self->at == NULL) {
        return no_memory(path);
    }
    void *fields[STREAM_FIELDS_MAX] = {NULL, self->at};
    const int status = recording_read(source->file, source->stream, source->row, self->n, fields);
    far[0] = far[1] = 0;
    for (size_t i = 0; status == LOOM_OK && i < 2 * self->n; i++) {
        if (self->at[i] < 0 || self->at[i] > INT32_MAX / 2) {
            return error_set(LOOM_EDATA, "in frame %" PRIu64 " of %s the window is at (%d, %d)",
                             self->first + i / 2, path, self->at[i / 2 * 2], self->at[i / 2 * 2 + 1]);
        }
        far[i % 2] = self->at[i] > far[i % 2] ? self->at[i] : far[i % 2];
    }
    return status;
}

/* One frame, u1 or f4, as values. */
static void to_values(float *out, const uint8_t *frame, size_t n, enum stream_dtype dtype)
{
    for (size_t i = 0; i < n; i++) {
        if (dtype == STREAM_U1) {
            out[i] = (float)frame[i] / 255;
        } else {
            memcpy(&out[i], frame + i * sizeof *out, sizeof *out);
        }
    }
}

/* Put a frame where it was seen. */
static void paste(float *tapestry, const struct trail *self, const float *frame, size_t i)
{
    const size_t x = (size_t)self->at[2 * i], y = (size_t)self->at[2 * i + 1];
    for (size_t row = 0; row < self->window_height; row++) {
        memcpy(tapestry + (y + row) * self->width + x, frame + row * self->window_width,
               self->window_width * sizeof *frame);
    }
}

/* Whether the tapestry shows what frame i shows. */
static bool shows(const struct trail *self, const float *frame, size_t i)
{
    const size_t x = (size_t)self->at[2 * i], y = (size_t)self->at[2 * i + 1];
    if (x + self->window_width > self->width || y + self->window_height > self->height) {
        return false;
    }
    for (size_t row = 0; row < self->window_height; row++) {
        for (size_t column = 0; column < self->window_width; column++) {
            const float there = self->tapestry[(y + row) * self->width + x + column];
            if (!(fabsf(there - frame[row * self->window_width + column]) < 0.01F)) {
                return false;
            }
        }
    }
    return true;
}

/* Go through the frames: put the tapestry together, or (whole) check that it shows the first of them. */
static int read_frames(struct trail *self, const struct source *source, const char *path)
{
    const struct stream_info *info = recording_reader_info(source->file, source->stream);
    const size_t pixels = self->window_width * self->window_height, n = self->whole ? 1 : self->n;
    const size_t bytes = pixels * (info->dtype == STREAM_U1 ? 1 : sizeof(float));
    uint8_t *frames = malloc((n < ROWS ? n : ROWS) * bytes);
    float *values = malloc(pixels * sizeof *values), *tapestry = self->tapestry;
    int status = LOOM_OK;
    if (frames == NULL || values == NULL || tapestry == NULL) {
        free(frames);
        free(values);
        return no_memory(path);
    }
    for (size_t i = 0; status == LOOM_OK && i < n; i += ROWS) {
        const size_t some = n - i < ROWS ? n - i : ROWS;
        void *fields[STREAM_FIELDS_MAX] = {frames, NULL};
        status = recording_read(source->file, source->stream, source->row + i, some, fields);
        for (size_t j = 0; status == LOOM_OK && j < some; j++) {
            to_values(values, frames + j * bytes, pixels, info->dtype);
            if (self->whole) {
                self->whole = shows(self, values, i + j);
            } else {
                paste(tapestry, self, values, i + j);
            }
        }
    }
    free(frames);
    free(values);
    return status;
}

/* Make the tapestry that the pipeline kept in the recording names; false if that is not to be had. */
static bool make_tapestry(struct tapestry *tapestry, const struct trail *self, const struct source *source)
{
    struct pipeline_file file = {.name = NULL};
    struct tapestry_config config;
    char *pipeline = calloc(PIPELINE_BYTES, 1);
    if (pipeline == NULL) {
        return false;
    }
    recording_reader_pipeline(source->file, pipeline, PIPELINE_BYTES);
    bool made = self->window_width == self->window_height &&
                pipeline_file_parse(&file, pipeline, strlen(pipeline), "pipeline") == LOOM_OK &&
                pipeline_file_tapestry(&file, self->name, &config);
    if (made) {
        config.window = self->window_width;
        made = tapestry_init(tapestry, &config) == LOOM_OK;
    }
    pipeline_file_fini(&file);
    free(pipeline);
    return made;
}

/* Take that tapestry; false if it is not to be had. */
static bool take_tapestry(struct trail *self, const struct source *source)
{
    struct tapestry tapestry = {0};
    if (!make_tapestry(&tapestry, self, source)) {
        return false;
    }
    self->width = tapestry.period_x + tapestry.window;
    self->height = tapestry.period_y + tapestry.window;
    const size_t n = self->width * self->height;
    self->tapestry = malloc(n * sizeof *self->tapestry);
    for (size_t i = 0; self->tapestry != NULL && i < n; i++) {
        self->tapestry[i] = tapestry.bytes != NULL ? (float)tapestry.bytes[i] / 255 : tapestry.values[i];
    }
    tapestry_fini(&tapestry);
    return self->tapestry != NULL;
}

/* An empty tapestry that holds all windows. */
static int make_empty(struct trail *self, const char *path, const int32_t far[2])
{
    free(self->tapestry);
    self->width = (size_t)far[0] + self->window_width;
    self->height = (size_t)far[1] + self->window_height;
    self->tapestry = self->width <= PIXELS_MAX / self->height
                         ? malloc(self->width * self->height * sizeof *self->tapestry)
                         : NULL;
    if (self->tapestry == NULL) {
        return error_set(LOOM_EDATA, "the window of %s goes %zu x %zu pixels far: too large for a picture",
                         path, self->width, self->height);
    }
    for (size_t i = 0; i < self->width * self->height; i++) {
        self->tapestry[i] = NAN;
    }
    return LOOM_OK;
}

int trail_read(struct trail *self, const char *recording, uint64_t from, uint64_t to)
{
    struct source source = {0};
    int32_t far[2];
    *self = (struct trail){0};
    int status = recording_reader_new(&source.file, recording);
    if (status != LOOM_OK) {
        return status;
    }
    if (!find_stream(&source)) {
        status =
            error_set(LOOM_EDATA, "%s has no frames that tell where the window is (frames/at)", recording);
    }
    if (status == LOOM_OK) {
        status = choose_frames(self, &source, recording, from, to);
    }
    if (status == LOOM_OK) {
        status = read_positions(self, &source, recording, far);
    }
    if (status == LOOM_OK && take_tapestry(self, &source)) {
        self->whole = true;
        status = read_frames(self, &source, recording);
    }
    if (status == LOOM_OK && !self->whole) {
        status = make_empty(self, recording, far);
        if (status == LOOM_OK) {
            status = read_frames(self, &source, recording);
        }
    }
    recording_reader_destroy(&source.file);
    if (status != LOOM_OK) {
        trail_fini(self);
    }
    return status;
}

/* ---- drawing ---- */

/* The first half of viridis and a little more: its yellow end is too light for a line on paper. */
static const uint32_t way_table[] = {0x440154, 0x3b528b, 0x21918c, 0x5ec962};
static const struct colours way = {"way", false, false, false, "white", 0xffffff, way_table, 4};

/* What is shown of the tapestry, and how large. */
struct view {
    size_t left, top, width, height; /* pixels of the tapestry */
    size_t scale, shrink; /* pixels of the picture a pixel of the tapestry; or the other way round */
    size_t across, down;  /* of the picture */
};

static struct view look(const struct trail *self, size_t n, bool near)
{
    struct view view = {.width = self->width, .height = self->height};
    if (near) {
        size_t right = 0, bottom = 0;
        view.left = self->width;
        view.top = self->height;
        for (size_t i = 0; i < n; i++) {
            const size_t x = (size_t)self->at[2 * i], y = (size_t)self->at[2 * i + 1];
            view.left = x < view.left ? x : view.left;
            view.top = y < view.top ? y : view.top;
            right = at_least(x + self->window_width, right);
            bottom = at_least(y + self->window_height, bottom);
        }
        view.left -= at_most(view.left, self->window_width / 2); /* a little air */
        view.top -= at_most(view.top, self->window_height / 2);
        view.width = at_most(right + self->window_width / 2, self->width) - view.left;
        view.height = at_most(bottom + self->window_height / 2, self->height) - view.top;
    }
    const size_t longer = at_least(view.width, view.height);
    view.scale = at_least((near ? NEAR_SIDE : DRAW_SIDE_USUAL) / longer, 1);
    view.shrink = (longer + DRAW_SIDE_MAX - 1) / DRAW_SIDE_MAX;
    view.across = at_least(view.width * view.scale / view.shrink, 1);
    view.down = at_least(view.height * view.scale / view.shrink, 1);
    return view;
}

/* The colour of a pixel of the picture: the mean of what it stands for. */
static uint32_t colour_at(const struct trail *self, const struct view *view, size_t x, size_t y)
{
    double sum = 0;
    size_t seen = 0;
    for (size_t row = 0; row < view->shrink; row++) {
        for (size_t column = 0; column < view->shrink; column++) {
            const size_t at_x = view->left + x * view->shrink / view->scale + column;
            const size_t at_y = view->top + y * view->shrink / view->scale + row;
            const float value =
                at_x < self->width && at_y < self->height ? self->tapestry[at_y * self->width + at_x] : NAN;
            if (isfinite(value)) {
                sum += fmin(fmax((double)value, 0), 1);
                seen++;
            }
        }
    }
    const uint32_t shade = seen > 0 ? (uint32_t)(255.5 - LIGHT * sum / (double)seen) : 0;
    return seen > 0 ? shade << 16 | shade << 8 | shade : UNSEEN;
}

static void paint_tapestry(struct image *image, size_t left, size_t top, const struct trail *self,
                           const struct view *view)
{
    for (size_t y = 0; y < view->down; y++) {
        for (size_t x = 0; x < view->across; x++) {
            draw_fill_colour(image, left + x, top + y, 1, 1, colour_at(self, view, x, y));
        }
    }
}

/* Where a place of the tapestry is in the picture: the centres of pixels are whole numbers. */
static double zoom(const struct view *view, double place, size_t from)
{
    return (place - (double)from) * (double)view->scale / (double)view->shrink - 0.5;
}

static void paint_window(struct image *image, size_t left, size_t top, const struct trail *self,
                         const struct view *view, size_t i, struct ink *ink, double thickness, uint32_t rgb)
{
    const double x0 = zoom(view, self->at[2 * i], view->left),
                 y0 = zoom(view, self->at[2 * i + 1], view->top);
    const double x1 = zoom(view, self->at[2 * i] + (double)self->window_width, view->left);
    const double y1 = zoom(view, self->at[2 * i + 1] + (double)self->window_height, view->top);
    ink_line(ink, x0, y0, x1, y0, thickness);
    ink_line(ink, x1, y0, x1, y1, thickness);
    ink_line(ink, x1, y1, x0, y1, thickness);
    ink_line(ink, x0, y1, x0, y0, thickness);
    ink_apply(ink, image, (long)left, (long)top, rgb);
}

/* The way of the window's middle. Where it leaps over more than half of the tapestry, that goes on at the other
 * side. */
static void paint_way(struct image *image, size_t left, size_t top, const struct trail *self,
                      const struct view *view, size_t n, struct ink *ink)
{
    const double wide = fmin(fmax(2.2 * (double)view->scale, 3), 6);
    const double thickness = n <= TRAIL_WINDOW_FRAMES ? wide : wide / 1.8;
    const size_t steps = 64; /* colours on the way */
    for (size_t step = 0; step < steps; step++) {
        const size_t from = n * step / steps, to = at_most(n * (step + 1) / steps, n - 1);
        for (size_t i = from; i < to; i++) {
            const int32_t *here = self->at + 2 * i, *next = here + 2;
            if ((size_t)abs(next[0] - here[0]) > self->width / 2 ||
                (size_t)abs(next[1] - here[1]) > self->height / 2) {
                continue;
            }
            const double x = (double)self->window_width / 2, y = (double)self->window_height / 2;
            ink_line(ink, zoom(view, here[0] + x, view->left), zoom(view, here[1] + y, view->top),
                     zoom(view, next[0] + x, view->left), zoom(view, next[1] + y, view->top), thickness);
        }
        ink_apply(ink, image, (long)left, (long)top, colours_at(&way, (double)step / (double)(steps - 1)));
    }
    paint_window(image, left, top, self, view, 0, ink, thickness, colours_at(&way, 0));
    paint_window(image, left, top, self, view, n - 1, ink, thickness, colours_at(&way, 1));
}

static void write_titles(char title[TEXT_BYTES], char subtitle[TEXT_BYTES], const struct trail *self,
                         size_t n, const char *run)
{
    char from[32], to[32], pass[48] = "", where[96] = "";
    gallery_count(from, self->first);
    gallery_count(to, self->first + n - 1);
    if (run != NULL) {
        snprintf(where, sizeof where, "run %.80s, ", run);
    }
    if (self->pass > 0 && self->first / self->pass == (self->first + n - 1) / self->pass) {
        snprintf(pass, sizeof pass, "pass %" PRIu64 ", ", self->first / self->pass + 1);
    }
    snprintf(title, TEXT_BYTES, "%s: the way of the window over the tapestry", self->name);
    snprintf(subtitle, TEXT_BYTES, "%s%sframes %s to %s; window of %zu × %zu pixels, drawn at both ends%s",
             where, pass, from, to, self->window_width, self->window_height,
             self->whole ? "" : "; only what was seen is shown");
}

int trail_draw(struct image *out, const struct trail *self, size_t n, bool near, const char *run,
               struct text *text)
{
    char title[TEXT_BYTES], subtitle[TEXT_BYTES], from[32], middle[32], to[32];
    n = n == 0 || n > self->n ? self->n : n;
    const struct view view = look(self, n, near);
    write_titles(title, subtitle, self, n, run);
    gallery_count(from, self->first);
    gallery_count(middle, self->first + (n - 1) / 2);
    gallery_count(to, self->first + n - 1);
    const bool has_middle = n % 2 == 1 || n > 200; /* near enough */
    const char *const words[DRAW_TICKS] = {from, has_middle ? middle : "", to};
    const size_t letters = at_least(at_least(view.across, view.down) / 38, 18), label = letters * 4 / 5;
    const struct draw_bar bar = {.colours = &way,
                                 .words = words,
                                 .name = "frame",
                                 .width = letters,
                                 .height = at_least(view.down, 6 * label),
                                 .label = label,
                                 .tick = label / 3,
                                 .line = 1};
    const size_t margin = letters * 5 / 4, gap = letters * 3 / 4;
    const size_t head = letters * 4 / 3 + label * 3 / 2 + gap;
    size_t width = view.across + gap + draw_bar_width(&bar, text);
    width = at_least(width, text_width(text, title, letters));
    width = at_least(width, text_width(text, subtitle, label));
    struct ink ink = INK(calloc(view.across, view.down), view.across, view.down);
    int status = ink.mask == NULL
                     ? no_memory(self->name)
                     : image_init(out, width + 2 * margin, head + bar.height + 2 * margin, 3, WHITE);
    if (status == LOOM_OK) {
        text_draw(text, out, margin, margin + letters, title, letters, BLACK);
        text_draw(text, out, margin, margin + letters * 4 / 3 + label, subtitle, label, SUBDUED);
        draw_frame(out, margin, margin + head, view.across, view.down, 1);
        paint_tapestry(out, margin, margin + head, self, &view);
        paint_way(out, margin, margin + head, self, &view, n, &ink);
        draw_bar(out, margin + view.across + gap, margin + head, &bar, text);
    }
    free(ink.mask);
    return status;
}

/* See output.h. */
#include "output.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "durable_file.h"
#include "npy_write.h"

#define PIXELS_MAX ((size_t)1 << 26) /* of a picture for y4m */
#define FPS_UNIT 1000                /* frame rates are given in thousandths */

struct output {
    struct output_settings settings;
    struct durable_file file; /* where there is a path */
    bool has_file;
    uint64_t rows;
    char dtype[160];                  /* npy: of a row */
    uint64_t dims[NPY_HEAD_RANK_MAX]; /* npy: of the array; the first is of the rows */
    size_t rank;
    size_t cells;          /* numbers of a row, codes spread over their grid */
    float *row;            /* aligned, `cells` */
    size_t tile_x, tile_y; /* y4m: numbers of a unit's tile: 1 x 1 but for weights */
    size_t width, height;  /* y4m: of a picture, in numbers */
    double largest;        /* y4m: value so far */
    uint8_t *picture;      /* y4m: what is written of one */
    size_t picture_bytes;
};

int output_new(struct output **self_p, const struct output_settings *settings)
{
    *self_p = NULL;
    struct output *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory");
    }
    self->settings = *settings;
    if (settings->path != NULL) {
        int status = durable_file_begin(&self->file, settings->path);
        if (status < 0) {
            free(self);
            return status;
        }
        self->has_file = true;
    }
    *self_p = self;
    return 0;
}

void output_destroy(struct output **self_p)
{
    struct output *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->has_file) {
        durable_file_abandon(&self->file);
    }
    free(self->row);
    free(self->picture);
    free(self);
    *self_p = NULL;
}

/* ---- writing ---- */

/* Wait until standard output takes something, or a signal comes. */
static void wait_for_reader(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    (void)poll(&out, 1, -1);
}

static int write_standard(struct output *self, const uint8_t *next, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(STDOUT_FILENO, next, bytes);
        if (written >= 0) {
            next += written;
            bytes -= (size_t)written;
        } else if (errno == EAGAIN) { /* somebody has made it non-blocking */
            wait_for_reader();
        } else if (errno == EPIPE) {
            return OUTPUT_CLOSED;
        } else if (errno != EINTR) {
            return error_set(LOOM_EIO, "cannot write to standard output: %s", strerror(errno));
        }
        if (self->settings.stopped()) {
            return bytes == 0 ? 0 : error_set(LOOM_EINTERRUPTED, "interrupted");
        }
    }
    return 0;
}

static int put(struct output *self, const void *bytes, size_t size)
{
    return self->has_file ? durable_file_write(&self->file, bytes, size) : write_standard(self, bytes, size);
}

/* ---- beginning ---- */

static int begin_y4m(struct output *self, size_t units_x, size_t units_y)
{
    char head[160];
    const size_t scale = self->settings.scale;
    self->width = units_x * self->tile_x;
    self->height = units_y * self->tile_y;
    if (self->width * scale > PIXELS_MAX || self->height * scale > PIXELS_MAX ||
        self->width * scale * self->height * scale > PIXELS_MAX) {
        return error_set(LOOM_EUSAGE,
                         "pictures of %zu x %zu pixels are too large; give a smaller --scale, or --raw",
                         self->width * scale, self->height * scale);
    }
    self->picture_bytes = self->width * scale * self->height * scale;
    self->picture = malloc(self->picture_bytes);
    if (self->picture == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for a picture");
    }
    int length =
        snprintf(head, sizeof head, "YUV4MPEG2 W%zu H%zu F%ld:%d Ip A1:1 Cmono XCOLORRANGE=FULL\n",
                 self->width * scale, self->height * scale, lround(self->settings.fps * FPS_UNIT), FPS_UNIT);
    return put(self, head, (size_t)length);
}

static int begin_npy(struct output *self)
{
    char head[NPY_HEAD_BYTES];
    self->dims[0] = self->settings.rows;
    int status = npy_head(head, self->dtype, self->dims, self->rank);
    return status < 0 ? status : put(self, head, sizeof head);
}

/* What is common: a row of units_x x units_y units in tiles. */
static int begin(struct output *self, size_t units_x, size_t units_y)
{
    self->cells = units_x * units_y * self->tile_x * self->tile_y;
    self->row = calloc(self->cells, sizeof *self->row);
    if (self->row == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for a row of %zu numbers", self->cells);
    }
    return self->settings.form == FORM_Y4M   ? begin_y4m(self, units_x, units_y)
           : self->settings.form == FORM_NPY ? begin_npy(self)
                                             : 0;
}

int output_begin_stream(struct output *self, const struct stream_info *info)
{
    self->tile_x = self->tile_y = 1;
    snprintf(self->dtype, sizeof self->dtype, info->dtype == STREAM_U1 ? "'|u1'" : "'<f4'");
    if (info->kind == STREAM_FRAMES) {
        self->rank = 3;
        self->dims[1] = info->height;
        self->dims[2] = info->width;
        return begin(self, info->width, info->height);
    }
    if (info->kind == STREAM_CODES) {
        self->rank = 1;
        snprintf(self->dtype, sizeof self->dtype, "[('index', '<u4', (%zu,)), ('value', '<f4', (%zu,))]",
                 info->winners, info->winners);
    } else {
        self->rank = 2;
        self->dims[1] = info->grid_x * info->grid_y;
    }
    return begin(self, info->grid_x, info->grid_y);
}

int output_begin_weights(struct output *self, const struct message *weights)
{
    self->tile_x = weights->input_width;
    self->tile_y = weights->input_height;
    self->rank = 3;
    self->dims[1] = weights->rows;
    self->dims[2] = weights->cols;
    snprintf(self->dtype, sizeof self->dtype, "'<f4'");
    return begin(self, weights->info.grid_x, weights->info.grid_y);
}

/* ---- pictures ---- */

/* Grey from 0 (black) to 255. */
static uint8_t shade(double value, double white)
{
    double part = white > 0 && value > 0 ? value / white : 0; /* also for what is not a number */
    return (uint8_t)lround(255 * (part < 1 ? part : 1));
}

/* Show self->row: tiles of units in rows. */
static int put_picture(struct output *self, double white)
{
    const size_t scale = self->settings.scale, wide = self->width * scale;
    const size_t units_x = self->width / self->tile_x, tile = self->tile_x * self->tile_y;
    for (size_t i = 0; white <= 0 && i < self->cells; i++) {
        const double value = (double)self->row[i];
        self->largest = isfinite(value) && value > self->largest ? value : self->largest;
    }
    for (size_t y = 0; y < self->height; y++) {
        uint8_t *line = self->picture + y * scale * wide;
        for (size_t x = 0; x < self->width; x++) {
            size_t unit = y / self->tile_y * units_x + x / self->tile_x;
            float value = self->row[unit * tile + y % self->tile_y * self->tile_x + x % self->tile_x];
            memset(line + x * scale, shade((double)value, white > 0 ? white : self->largest), scale);
        }
        for (size_t copy = 1; copy < scale; copy++) {
            memcpy(line + copy * wide, line, wide);
        }
    }
    static const char mark[] = "FRAME\n";
    int status = put(self, mark, sizeof mark - 1);
    return status == 0 ? put(self, self->picture, self->picture_bytes) : status;
}

/* ---- rows ---- */

/* Row i of a block as floats, into self->row. LOOM_EDATA if a winner is not a unit. */
static int spread(struct output *self, const struct stream_info *info, const struct block *block, size_t i)
{
    const uint8_t *data = block->fields[0], *value = block->fields[1];
    if (info->kind == STREAM_FRAMES && info->dtype == STREAM_U1) {
        for (size_t c = 0; c < self->cells; c++) {
            self->row[c] = (float)data[i * self->cells + c] / 255.0F;
        }
        return 0;
    }
    if (info->kind != STREAM_CODES) {
        memcpy(self->row, data + i * self->cells * sizeof *self->row, self->cells * sizeof *self->row);
        return 0;
    }
    memset(self->row, 0, self->cells * sizeof *self->row);
    for (size_t w = 0; w < info->winners; w++) {
        uint32_t unit;
        memcpy(&unit, data + (i * info->winners + w) * sizeof unit, sizeof unit);
        if (unit >= self->cells) {
            return error_set(LOOM_EDATA, "%s: frame %ju: unit %u has won, but there are %zu units",
                             info->name, (uintmax_t)(block->seq + i), unit, self->cells);
        }
        memcpy(&self->row[unit], value + (i * info->winners + w) * sizeof(float), sizeof(float));
    }
    return 0;
}

/* Codes for .npy: index and value of a frame side by side. */
static int put_codes(struct output *self, const struct stream_info *info, const struct block *block)
{
    const size_t bytes = info->winners * sizeof(uint32_t);
    const uint8_t *index = block->fields[0], *value = block->fields[1];
    uint8_t *rows = malloc(2 * bytes * block->n + 1);
    if (rows == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for %zu codes", block->n);
    }
    for (size_t i = 0; i < block->n; i++) {
        memcpy(rows + 2 * i * bytes, index + i * bytes, bytes);
        memcpy(rows + (2 * i + 1) * bytes, value + i * bytes, bytes);
    }
    int status = put(self, rows, 2 * bytes * block->n);
    free(rows);
    return status;
}

static int put_message(struct output *self, zmq_msg_t *message)
{
    int status = put(self, zmq_msg_data(message), zmq_msg_size(message));
    zmq_msg_close(message);
    return status;
}

int output_block(struct output *self, const struct stream_info *info, const struct block *block, bool eos)
{
    const enum form form = self->settings.form;
    int status = 0;
    if (form == FORM_MSGPACK) {
        zmq_msg_t message;
        status = message_write_block(&message, info, block, eos);
        status = status < 0 ? status : put_message(self, &message);
    } else if (form == FORM_NPY && info->kind == STREAM_CODES) {
        status = put_codes(self, info, block);
    } else if (form == FORM_Y4M || info->kind == STREAM_CODES) {
        double white = self->settings.white > 0 ? self->settings.white : info->kind == STREAM_FRAMES ? 1 : 0;
        for (size_t i = 0; status == 0 && i < block->n; i++) {
            status = spread(self, info, block, i);
            if (status == 0) {
                status = form == FORM_Y4M ? put_picture(self, white)
                                          : put(self, self->row, self->cells * sizeof *self->row);
            }
        }
    } else {
        struct stream_field fields[STREAM_FIELDS_MAX];
        (void)stream_fields(info, fields);
        status = put(self, block->fields[0], block->n * fields[0].row_bytes);
    }
    self->rows += status == 0 ? block->n : 0;
    return status;
}

int output_weights(struct output *self, const struct message *weights)
{
    if (weights->fields[0].bytes != self->cells * sizeof *self->row) {
        return error_set(LOOM_EDATA, "the layer %s has changed its shape", weights->info.name);
    }
    memcpy(self->row, weights->fields[0].data, weights->fields[0].bytes);
    int status = self->settings.form == FORM_Y4M ? put_picture(self, self->settings.white)
                                                 : put(self, self->row, weights->fields[0].bytes);
    self->rows += status == 0;
    return status;
}

int output_message(struct output *self, const void *bytes, size_t size)
{
    int status = put(self, bytes, size);
    self->rows += status == 0;
    return status;
}

uint64_t output_rows(const struct output *self)
{
    return self->rows;
}

int output_finish(struct output *self)
{
    char head[NPY_HEAD_BYTES];
    if (!self->has_file) {
        return 0;
    }
    if (self->settings.form == FORM_NPY && self->rank > 0 && self->rows < self->settings.rows) {
        self->dims[0] = self->rows;
        int status = npy_head(head, self->dtype, self->dims, self->rank);
        if (status == 0 && pwrite(self->file.fd, head, sizeof head, 0) != sizeof head) {
            status = error_set(LOOM_EIO, "cannot write %s: %s", self->settings.path, strerror(errno));
        }
        if (status < 0) {
            return status;
        }
    }
    int status = durable_file_commit(&self->file);
    self->has_file = status < 0;
    return status;
}

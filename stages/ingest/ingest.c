/* ingest: makes a stream that can be replayed of frames that cannot: from a pipe, a camera, somebody's
 * program.
 *
 * Raw frames or y4m come on standard input, from a FIFO or a file; MessagePack maps on a PULL or a REP socket
 * (receiver.h). What has come is kept in a spool on disk (spool.h) and is *accepted* once it is durable
 * there. Only accepted frames are given out, always with the same number and the same bits, also after a kill
 * of this stage or of a reader. They are freed once every reader that --required names has acknowledged them
 * (with "*", whoever reads, while it is heard: one that pauses for long loses what is freed meanwhile); while
 * the spool is full nothing more is taken: the sender's pipe or socket fills up, and it waits.
 *
 * A kill between taking and accepting loses nothing from a pipe (input.h) or from a sender that is answered;
 * of messages pushed it may lose the few that were in our memory. Another sender may go on where one has
 * broken off: its frames are appended, and what the first left of a frame is dropped. The end of the input is
 * the end of the stream.
 *
 * The stream's id comes from the spool's label, which is random unless it is given: the same spool is the
 * same stream, another one is another. Limits: grey frames of at most 2^24 pixels; of y4m, 8 bits and the
 * luma plane, as it comes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "input.h"
#include "receiver.h"
#include "spool.h"
#include "stage.h"
#include "stages/frame_values.h"
#include "y4m.h"

#define TAKE_BYTES ((size_t)4 << 20)  /* in one go, before readers have their turn */
#define AHEAD_BYTES ((size_t)1 << 20) /* taken from a pipe beyond what is accepted, and a frame */
/* An end of input is believed after this long: a Ctrl-C reaches the sender too, and does not end the stream. */
#define END_MS 500
#define FULL_MS 5000 /* after which a person is told that the sender waits */

enum format { FORMAT_RAW, FORMAT_Y4M };

struct ingest {
    struct grid shape; /* height, width: as NumPy has them */
    int dtype;         /* enum stream_dtype */
    int format;
    char *file, *pull, *confirm;
    char *label;
    int64_t spool_mb;

    struct spool *spool;
    struct input *input;      /* NULL: there is nothing to read */
    struct input_place place; /* first byte not accepted */
    bool within;              /* the sender's header has been read */
    size_t skip;              /* bytes of colour behind every frame */
    struct receiver *receiver;
    int64_t end_ms;  /* when the input's end was first seen; 0: not yet */
    int64_t full_ms; /* since when the spool is full; 0: it is not */
    bool told;       /* and somebody has been told */
};

static bool open_to_all; /* --required is "*" */

#define FIELD(member) offsetof(struct ingest, member)

static const char *const dtypes[] = {"u1", "f4", NULL};
static const char *const formats[] = {"raw", "y4m", NULL};
static const char *const stdin_unless[] = {"file", "pull", "confirm", NULL};

static const struct param params[] = {
    {"shape", PARAM_GRID, FIELD(shape), "0x0", 0, 65535, "pixels",
     "height x width of a frame; 0x0: what a y4m header or the spool says", NULL, 0},
    {"dtype", PARAM_CHOICE, FIELD(dtype), "u1", 0, 0, "",
     "type of the values: u1 is grey value / 255, f4 from 0 to 1, little-endian", dtypes, 0},
    {"label", PARAM_TEXT, FIELD(label), "", 0, 0, "",
     "names the data, for the stream's id; empty: a random one, made with the spool", NULL, 0},
    {"format", PARAM_CHOICE, FIELD(format), "raw", 0, 0, "",
     "of a pipe or file: raw frames one behind the other, or y4m, of which the luma plane is taken", formats,
     PARAM_LOCAL},
    {"file", PARAM_PATH, FIELD(file), "", 0, 0, "",
     "FIFO or file to read; empty or -: standard input, of `loom run` too", NULL, PARAM_LOCAL},
    {"pull", PARAM_TEXT, FIELD(pull), "", 0, 0, "",
     "endpoint at which messages with frames are taken instead, from PUSH sockets", NULL, PARAM_LOCAL},
    {"confirm", PARAM_TEXT, FIELD(confirm), "", 0, 0, "",
     "endpoint at which they are taken from REQ sockets, and each is answered once it is safe", NULL,
     PARAM_LOCAL},
    {"spool", PARAM_INTEGER, FIELD(spool_mb), "1024", 1, 1048576, "MiB",
     "disk space for frames that readers have not done with; the sender waits when it is full", NULL,
     PARAM_LOCAL},
    {.name = NULL},
};

/* ---- opening ---- */

static int check_params(const struct ingest *self)
{
    bool messages = self->pull[0] != '\0' || self->confirm[0] != '\0';
    size_t length = strlen(self->label);
    if ((self->pull[0] != '\0') + (self->confirm[0] != '\0') + (self->file[0] != '\0') > 1) {
        return error_set(LOOM_EUSAGE, "frames come from one place: give one of `file`, `pull` and `confirm`");
    }
    if ((self->shape.x == 0) != (self->shape.y == 0)) {
        return error_set(LOOM_EUSAGE, "parameter shape: a side of 0 pixels is not valid; give HEIGHTxWIDTH");
    }
    if (self->shape.x == 0 && (messages || self->format == FORMAT_RAW)) {
        return error_set(
            LOOM_EUSAGE,
            "parameter shape must be given: raw frames and messages do not tell it (HEIGHTxWIDTH, e.g. "
            "20x20)");
    }
    if (self->format == FORMAT_Y4M && (messages || self->dtype == STREAM_F4)) {
        return error_set(LOOM_EUSAGE, "y4m comes from a pipe or a file, and its values are u1");
    }
    for (size_t i = 0; i < length; i++) {
        bool edge = i == 0 || i + 1 == length;
        if (self->label[i] < (edge ? '!' : ' ') || self->label[i] > '~' || length >= SPOOL_LABEL_BYTES) {
            return error_set(
                LOOM_EUSAGE,
                "parameter label: give at most %d printable ASCII characters, not a space at either end",
                SPOOL_LABEL_BYTES - 1);
        }
    }
    return 0;
}

/* Tell the spool how the frames are, and take over what it says. */
static int settle_shape(struct ingest *self, size_t height, size_t width)
{
    struct spool_shape shape = {height, width, (enum stream_dtype)self->dtype};
    struct stream_info info = {
        .id = "-", .stage = "ingest", .name = "ingest", .kind = STREAM_FRAMES, .block = 1};
    info.dtype = shape.dtype;
    info.height = height;
    info.width = width;
    info.total = UINT64_MAX;
    if ((size_t)self->shape.x != height || (size_t)self->shape.y != width) {
        if (self->shape.x != 0) {
            return error_set(LOOM_EDATA,
                             "the frames that come are %zu x %zu, but shape is %jdx%jd; correct one of them",
                             height, width, (intmax_t)self->shape.x, (intmax_t)self->shape.y);
        }
        self->shape = (struct grid){(int64_t)height, (int64_t)width};
    }
    int status = stream_info_check(&info); /* its limits, before anything is kept */
    return status < 0 ? status : spool_describe(self->spool, &shape);
}

static int open_spool(const struct stage_context *context, struct ingest *self)
{
    char *folder = NULL;
    int status = error_set(LOOM_EINTERNAL, "out of memory for a path");
    if (asprintf(&folder, "%s/spool/%s", context->run, context->name) < 0) {
        folder = NULL;
        goto done;
    }
    status = spool_open(&self->spool, folder, self->label, (uint64_t)self->spool_mb << 20);
    if (status == 0) {
        char *label = strdup(spool_label(self->spool));
        status = label == NULL ? error_set(LOOM_EINTERNAL, "out of memory for a label") : 0;
        free(self->label);
        self->label = label;
    }
    if (status == 0 && self->shape.x == 0 && spool_shape(self->spool) != NULL) {
        self->shape.x = (int64_t)spool_shape(self->spool)->height;
        self->shape.y = (int64_t)spool_shape(self->spool)->width;
    }
    if (status == 0 && self->shape.x != 0) {
        status = settle_shape(self, (size_t)self->shape.x, (size_t)self->shape.y);
    }
    if (status == 0 && spool_total(self->spool) == UINT64_MAX && self->pull[0] == '\0' &&
        self->confirm[0] == '\0') {
        struct spool_mark mark = spool_last_mark(self->spool);
        self->place = (struct input_place){mark.sender, mark.offset};
        status = input_open(&self->input, self->file, folder, &self->place);
        self->within = status == 0 && self->place.offset > 0;
        self->skip = self->format == FORMAT_Y4M ? (size_t)mark.skip : 0;
    }
done:
    free(folder);
    return status;
}

static int ingest_open(const struct stage_context *context, void *state)
{
    struct ingest *self = state;
    int status = check_params(self);
    if (status == 0) {
        status = open_spool(context, self);
    }
    if (status < 0) {
        return status;
    }
    if (open_to_all) {
        log_warning(
            "a reader that is not heard for a while is not waited for, and frames that it has not read "
            "may be freed: name the readers that must get everything, --required NAME,...");
    }
    if (spool_total(self->spool) != UINT64_MAX) {
        log_info("the stream has ended at frame %ju: nothing more is taken",
                 (uintmax_t)spool_total(self->spool));
    } else if (spool_head(self->spool) > 0) {
        log_info("holds frames %ju to %ju already; what comes is appended",
                 (uintmax_t)spool_base(self->spool), (uintmax_t)spool_head(self->spool) - 1);
    }
    return 0;
}

static int ingest_configure(const struct stage_context *context, void *state, struct stream_info *output)
{
    (void)context;
    const struct ingest *self = state;
    uint64_t capacity = spool_capacity(self->spool);
    output->dtype = (enum stream_dtype)self->dtype;
    output->height = (size_t)self->shape.x;
    output->width = (size_t)self->shape.y;
    output->total = spool_total(self->spool);
    output->block = capacity / 4;
    output->ring = capacity / 2; /* so that readers acknowledge before it is full */
    return 0;
}

/* ---- a pipe or a file ---- */

/* What is wrong with the bytes at self->place: the process ends, and the next one need not see them again. */
static int reject(struct ingest *self, int status)
{
    status =
        error_prefix(status, "%s, frame %ju", input_name(self->input), (uintmax_t)spool_next(self->spool));
    int kept = spool_sync(self->spool);
    input_discard(self->input);
    return kept < 0 ? kept : status;
}

/* Raw frames that begin like a file of a known format are none: LOOM_EDATA. Looked at only at the beginning
 * of all, and only in bytes that would be a part of the first frame. */
static int check_raw(struct ingest *self)
{
    static const struct {
        size_t at;
        const char *magic, *advice;
    } known[] = {
        {0, "YUV4MPEG2", "it is y4m video, not raw frames; set format=y4m"},
        {0, "\x89PNG\r\n\x1a\n",
         "it is a PNG picture, not raw frames; give a folder of them to the stage images"},
        {0, "\x93NUMPY", "it is a .npy file, not raw frames; give it to the stage images"},
        {4, "ftyp",
         "it is an mp4 file, not raw frames; decode it: ffmpeg -i FILE -f yuv4mpegpipe -pix_fmt gray -, with "
         "format=y4m"},
    };
    const uint8_t *bytes = NULL;
    size_t n = 0;
    int status = input_view(self->input, 0, 16, &bytes, &n);
    for (size_t i = 0; status == 0 && i < sizeof known / sizeof known[0]; i++) {
        size_t length = strlen(known[i].magic);
        if (n >= known[i].at + length && memcmp(bytes + known[i].at, known[i].magic, length) == 0) {
            status = reject(self, error_set(LOOM_EDATA, "%s", known[i].advice));
        }
    }
    return status;
}

/* The header of a y4m stream, once it has come; *whole: it has. */
static int take_header(struct ingest *self, bool *whole)
{
    const uint8_t *bytes = NULL;
    size_t n = 0, used = 0;
    struct y4m header;
    int status = input_view(self->input, self->place.offset, Y4M_LINE_MAX, &bytes, &n);
    if (status < 0) {
        return status;
    }
    status = y4m_read_header(bytes, n, &header, &used);
    *whole = status == 0 && used > 0;
    if (*whole) {
        status = settle_shape(self, header.height, header.width);
        self->place.offset += used;
        self->skip = header.chroma_bytes;
        self->within = true;
    }
    return status == LOOM_EDATA ? reject(self, status) : status;
}

/* The next frame, if it has come whole: *took. */
static int take_frame(struct ingest *self, bool *took)
{
    const uint8_t *bytes = NULL;
    size_t n = 0, used = 0, pixels = (size_t)(self->shape.x * self->shape.y);
    size_t frame_bytes = pixels * (self->dtype == STREAM_U1 ? sizeof(uint8_t) : sizeof(float));
    int status = 0;
    *took = false;
    if (self->format == FORMAT_Y4M) {
        status = input_view(self->input, self->place.offset, Y4M_LINE_MAX, &bytes, &n);
        if (status == 0) {
            status = y4m_read_frame(bytes, n, &used);
            status = status < 0 ? reject(self, status) : 0;
        }
        if (status < 0 || used == 0) {
            return status;
        }
    }
    size_t whole = used + frame_bytes + self->skip;
    if (self->format == FORMAT_RAW && self->place.offset == 0 && spool_next(self->spool) == 0) {
        status = check_raw(self);
    }
    if (status == 0) {
        status = input_view(self->input, self->place.offset, whole, &bytes, &n);
    }
    if (status < 0 || n < whole) {
        return status;
    }
    if (self->dtype == STREAM_F4) {
        status = frame_values_check(bytes + used, (size_t)self->shape.y, pixels);
        if (status < 0) {
            return reject(self, status);
        }
    }
    struct spool_mark mark = {self->place.sender, self->place.offset + whole, self->skip};
    status = spool_append(self->spool, bytes + used, &mark);
    if (status == 0) {
        self->place.offset = mark.offset;
        *took = true;
    }
    return status;
}

/* A sender has nothing more: what it left of a frame. */
static int drop_rest(struct ingest *self)
{
    uint64_t rest = input_end(self->input) - self->place.offset, frames = spool_head(self->spool);
    uint64_t frame_bytes =
        (uint64_t)(self->shape.x * self->shape.y) * (self->dtype == STREAM_U1 ? 1 : sizeof(float));
    if (self->format == FORMAT_Y4M && !self->within && (rest > 0 || frames == 0)) {
        return error_set(LOOM_EDATA, "%s ended after %ju bytes, within the y4m header",
                         input_name(self->input), (uintmax_t)rest);
    }
    if (rest > 0 && frames == 0) {
        return error_set(
            LOOM_EDATA,
            "%s ended after %ju bytes, which is not one frame of %jdx%jd %s (%ju bytes); correct shape or "
            "dtype",
            input_name(self->input), (uintmax_t)rest, (intmax_t)self->shape.x, (intmax_t)self->shape.y,
            dtypes[self->dtype], (uintmax_t)frame_bytes);
    }
    if (rest > 0) {
        log_warning(
            "%s ended within frame %ju: %ju bytes that are no whole frame are dropped, the %ju frames before "
            "them are kept (are shape and dtype right?)",
            input_name(self->input), (uintmax_t)frames, (uintmax_t)rest, (uintmax_t)frames);
    }
    return 0;
}

/* Nothing more can be made of what has come. */
static int check_end(struct ingest *self)
{
    if (input_is_earlier(self->input)) {
        uint64_t rest = input_end(self->input) - self->place.offset;
        if (rest > 0) {
            log_warning("an earlier sender broke off within a frame: its last %ju bytes are dropped",
                        (uintmax_t)rest);
        }
        self->within = false;
        return input_next_sender(self->input, &self->place);
    }
    if (!input_has_ended(self->input)) {
        return 0;
    }
    self->end_ms = self->end_ms == 0 ? clock_ms() : self->end_ms;
    if (clock_ms() - self->end_ms < END_MS) {
        return 0;
    }
    int status = input_check_end(self->input);
    if (status < 0 || !input_has_ended(self->input)) {
        self->end_ms = 0;
        return status;
    }
    status = drop_rest(self);
    if (status == 0) {
        if (spool_head(self->spool) == 0) {
            log_warning("%s ended without a frame", input_name(self->input));
        }
        status = spool_end(self->spool);
        input_discard(self->input);
        input_close(&self->input);
    }
    return status;
}

/* Take what has come; *more: there is more to be had at once. */
static int take_input(struct ingest *self, bool *more)
{
    size_t most = AHEAD_BYTES + self->skip + (size_t)(self->shape.x * self->shape.y) * sizeof(float),
           taken = 0;
    bool took = true;
    *more = false;
    while (taken < TAKE_BYTES && took && (self->shape.x == 0 || spool_has_room(self->spool, 1))) {
        uint64_t before = self->place.offset, end = input_end(self->input);
        bool header = self->format == FORMAT_Y4M && !self->within;
        int status = header ? take_header(self, &took) : take_frame(self, &took);
        if (status == 0 && !took) {
            status = input_fill(self->input, before, most);
            took = input_end(self->input) > end; /* then try again */
        }
        if (status < 0) {
            return status;
        }
        taken += (size_t)(self->place.offset - before);
    }
    *more = taken >= TAKE_BYTES;
    int status = spool_sync(self->spool);
    if (status == 0) {
        status = input_release(self->input, self->place.offset);
    }
    return status < 0 || took ? status : check_end(self);
}

/* ---- hooks ---- */

/* Tell a person, once, that the sender has had to wait for long. */
static void note_full(struct ingest *self)
{
    bool full = self->shape.x != 0 && !spool_has_room(self->spool, 1);
    int64_t now = clock_ms();
    if (!full) {
        self->full_ms = 0;
        self->told = false;
        return;
    }
    self->full_ms = self->full_ms == 0 ? now : self->full_ms;
    if (!self->told && now - self->full_ms >= FULL_MS) {
        log_warning("the spool is full (%jd MiB) and nothing can be freed: the sender waits for the readers "
                    "of frames "
                    "%ju on",
                    (intmax_t)self->spool_mb, (uintmax_t)spool_base(self->spool));
        self->told = true;
    }
}

static int ingest_gather(const struct stage_context *context, void *state, uint64_t ack,
                         struct stage_extent *extent)
{
    struct ingest *self = state;
    const char *endpoint = self->pull[0] != '\0' ? self->pull : self->confirm;
    int status = spool_release(self->spool, ack);
    if (status == 0 && endpoint[0] != '\0' && self->receiver == NULL) {
        status = receiver_new(&self->receiver, context->endpoints, endpoint, self->confirm[0] != '\0');
    }
    if (status == 0 && self->receiver != NULL) {
        status = receiver_take(self->receiver, self->spool, &extent->more);
        extent->socket = receiver_socket(self->receiver);
    } else if (status == 0 && self->input != NULL) {
        status = take_input(self, &extent->more);
    }
    if (status < 0) {
        return status;
    }
    note_full(self);
    if (self->input != NULL && self->full_ms == 0) {
        extent->fd = input_fd(self->input);
    }
    extent->known = spool_shape(self->spool) != NULL;
    extent->base = spool_base(self->spool);
    extent->head = spool_head(self->spool);
    extent->total = spool_total(self->spool);
    return 0;
}

static int ingest_produce(const struct stage_context *context, void *state, struct block *out)
{
    (void)context;
    struct ingest *self = state;
    return spool_read(self->spool, out->seq, out->n, out->fields[0]);
}

static size_t ingest_progress(const struct stage_context *context, void *state, struct metric *metrics)
{
    (void)context;
    const struct ingest *self = state;
    metrics[0] = (struct metric){"accepted", (double)spool_head(self->spool)};
    return 1;
}

static void ingest_close(const struct stage_context *context, void *state)
{
    (void)context;
    struct ingest *self = state;
    receiver_destroy(&self->receiver);
    input_close(&self->input);
    spool_close(&self->spool);
}

static const struct stage stage = {
    .name = "ingest",
    .summary = "makes a replayable stream of frames from a pipe, a file or messages",
    .output = STREAM_FRAMES,
    .state_bytes = sizeof(struct ingest),
    .params = params,
    .stdin_unless = stdin_unless,
    .open = ingest_open,
    .configure = ingest_configure,
    .produce = ingest_produce,
    .gather = ingest_gather,
    .progress = ingest_progress,
    .close = ingest_close,
};

/* What --required says, which the runner keeps to itself. */
static const char *required_readers(int argc, char **argv)
{
    static const char option[] = "--required";
    const char *names = "*";
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], option, strlen(option)) != 0) {
            continue;
        }
        if (argv[i][strlen(option)] == '=') {
            names = argv[i] + strlen(option) + 1;
        } else if (i + 1 < argc) {
            names = argv[++i];
        }
    }
    return names;
}

int main(int argc, char **argv)
{
    open_to_all = strcmp(required_readers(argc, argv), "*") == 0;
    return stage_main(&stage, argc, argv);
}

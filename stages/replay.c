/* Replay: serves a stream of a recording again, so that nobody downstream can tell it from the stage that
 * made it: the same id, shape, passes, metrics and bits. A source; every block is read from the file when
 * it is asked for.
 *
 * Only the whole stream is that stream. A part of it (`first`, `last`, or what a recording holds that is
 * not whole), or one that is shown several times (`loop`), is a stream of its own, numbered from 0, whose
 * id is the hash (identity.h) of the text "loom replay 1 ID FIRST LAST LOOP", LAST being "end" where it is
 * the end of the stream. A part that begins with a pass keeps the passes; another one is a single pass,
 * and so is every turn of a loop.
 *
 * The file may still be being written: what is durable is served, and the rest waited for. If its writer
 * goes and does not come back, that is an error, since readers were promised more. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "identity.h"
#include "log.h"
#include "pace.h"
#include "recording_read.h"
#include "stage.h"

#define LOOK_MS 100       /* between two looks at a file that grows */
#define PATIENCE_MS 15000 /* for a writer that has gone: it may be started again */
#define FRAMES_MAX 9e15

struct replay {
    char *file, *stream; /* the recording, and which of its streams; "": see choose_stream */
    int64_t first, last; /* frames; -1: the first or last one there is */
    int64_t loop;        /* turns; 0: without end */
    double rate;         /* frames/s; 0: as fast as they are read */

    struct recording_reader *reader;
    size_t s;             /* which stream of the file */
    uint64_t start;       /* frame of the recorded stream with which this one begins */
    uint64_t length;      /* frames of one turn; UINT64_MAX: not known yet */
    uint64_t pass, total; /* of this stream */
    bool to_the_end;      /* of the recorded stream, wherever that is */
    bool grows;           /* not all of it is there yet */
    int64_t looked_ms;
    int64_t lonely_ms; /* since when nobody has been writing; 0: somebody is */
    struct pace pace;
};

#define FIELD(member) offsetof(struct replay, member)

static const struct param params[] = {
    {"file", PARAM_PATH, FIELD(file), "", 0, 0, "", "recording to serve a stream of", NULL, PARAM_REQUIRED},
    {"stream", PARAM_TEXT, FIELD(stream), "", 0, 0, "",
     "which of its streams, by group (codes) or stage (sparse); empty: the only one, or that of this stage's "
     "name",
     NULL, 0},
    {"first", PARAM_INTEGER, FIELD(first), "-1", -1, FRAMES_MAX, "frames",
     "number of the first frame to serve; -1: the first one recorded", NULL, 0},
    {"last", PARAM_INTEGER, FIELD(last), "-1", -1, FRAMES_MAX, "frames",
     "number of the last one; -1: the last one of the stream", NULL, 0},
    {"loop", PARAM_INTEGER, FIELD(loop), "1", 0, 1e9, "passes", "how often they are shown; 0: without end",
     NULL, 0},
    {"rate", PARAM_REAL, FIELD(rate), "0", 0, 1e9, "frames/s",
     "at most so many frames a second; 0: as fast as they are read", NULL, PARAM_LOCAL},
    {.name = NULL},
};

static const struct stage_alias aliases[] = {
    {0, "", "file"}, {0, "from", "first"}, {0, "to", "last"}, {.param = NULL}};

/* ---- which stream, and how much of it ---- */

/* Of several streams the one that is named, else the one recorded from a stage of this name: the one that
 * it replaces. */
static int choose_stream(struct replay *self, const char *name)
{
    const struct recording_reader *reader = self->reader;
    size_t n = recording_reader_streams(reader), length = 0;
    const char *wanted = self->stream[0] != '\0' ? self->stream : name;
    char list[2048] = "";
    for (size_t s = 0; s < n; s++) {
        const char *group = recording_reader_group(reader, s),
                   *made_by = recording_reader_info(reader, s)->name;
        if (strcmp(group, wanted) == 0 || strcmp(made_by, wanted) == 0) {
            self->s = s;
            return 0;
        }
        length += length < sizeof list ? (size_t)snprintf(list + length, sizeof list - length, "%s%s (of %s)",
                                                          s > 0 ? ", " : "", group, made_by)
                                       : 0;
    }
    self->s = 0;
    if (n == 1 && self->stream[0] == '\0') {
        return 0;
    }
    return self->stream[0] == '\0'
               ? error_set(LOOM_EUSAGE, "%s holds several streams; choose one with --stream: %s", self->file,
                           list)
               : error_set(LOOM_EUSAGE, "%s holds no stream '%s', but %s", self->file, self->stream, list);
}

/* The first frame behind what is recorded. */
static uint64_t recorded_end(const struct replay *self)
{
    return recording_reader_first(self->reader) + recording_reader_rows(self->reader, self->s);
}

/* Settle start, length, to_the_end and grows. */
static int choose_range(struct replay *self)
{
    const struct stream_info *info = recording_reader_info(self->reader, self->s);
    uint64_t oldest = recording_reader_first(self->reader), behind = recorded_end(self), end = behind;
    bool live = recording_reader_condition(self->reader) == RECORDING_LIVE;
    self->start = self->first < 0 ? oldest : (uint64_t)self->first;
    if (self->last >= 0) {
        end = (uint64_t)self->last + 1;
    } else if (live) {
        end = info->total;
    }
    if (self->start < oldest || (end != UINT64_MAX && (end > info->total || (!live && end > behind)))) {
        return error_set(LOOM_EUSAGE,
                         "%s holds frames %" PRIu64 " to %" PRId64
                         " of %s%s; choose first and last among them",
                         self->file, oldest, (int64_t)behind - 1, info->name, live ? " so far" : "");
    }
    if (self->start >= end && info->total > 0) {
        return error_set(LOOM_EUSAGE,
                         "no frame of %s lies between %" PRIu64 " and %" PRId64 "; %s holds %" PRIu64
                         " to %" PRId64,
                         info->name, self->start, (int64_t)end - 1, self->file, oldest, (int64_t)behind - 1);
    }
    self->to_the_end = end == info->total;
    self->length = end == UINT64_MAX ? UINT64_MAX : end - self->start;
    self->grows = end > behind;
    if (self->length == UINT64_MAX && self->loop != 1) {
        return error_set(
            LOOM_EUSAGE,
            "%s is still being written, and where it will end is not known: give --last, or wait, to loop it",
            self->file);
    }
    if (self->loop > 1 && self->length > (uint64_t)INT64_MAX / (uint64_t)self->loop) {
        return error_set(LOOM_EUSAGE,
                         "%" PRId64 " turns of %" PRIu64 " frames are more frames than can be counted",
                         self->loop, self->length);
    }
    return 0;
}

static bool is_whole(const struct replay *self)
{
    return self->start == 0 && self->to_the_end && self->loop == 1;
}

/* Frames of a pass of this stream. */
static uint64_t choose_pass(const struct replay *self, const struct stream_info *info)
{
    if (self->loop != 1) {
        return self->length;
    }
    bool kept = info->pass == 0 || (self->start % info->pass == 0 && self->length >= info->pass);
    if (is_whole(self) || kept) {
        return info->pass;
    }
    return self->length == UINT64_MAX ? 0 : self->length;
}

static int open_stage(const struct stage_context *context, void *state)
{
    struct replay *self = state;
    int status = recording_reader_new(&self->reader, self->file);
    if (status == 0) {
        status = choose_stream(self, context->name);
    }
    return status == 0 ? choose_range(self) : status;
}

static void write_id(const struct replay *self, const char *recorded, char id[STREAM_ID_BYTES])
{
    char text[256], last[24] = "end";
    if (!self->to_the_end) {
        snprintf(last, sizeof last, "%" PRIu64, self->start + self->length - 1);
    }
    int n = snprintf(text, sizeof text, "loom replay 1 %s %" PRIu64 " %s %" PRId64, recorded, self->start,
                     last, self->loop);
    identity_of_bytes(id, text, (size_t)n);
}

static int configure(const struct stage_context *context, void *state, struct stream_info *output)
{
    struct replay *self = state;
    const struct stream_info own = *output;
    *output = *recording_reader_info(self->reader, self->s);
    if (strcmp(context->name, "replay") != 0) { /* it has a name of its own in its run */
        memcpy(output->name, own.name, sizeof output->name);
    }
    bool whole = is_whole(self);
    uint64_t turns = (uint64_t)self->loop;
    self->pass = output->pass = choose_pass(self, recording_reader_info(self->reader, self->s));
    self->total = output->total =
        self->length == UINT64_MAX || turns == 0 ? UINT64_MAX : self->length * turns;
    output->repeats = (output->repeats && output->pass > 0) || self->loop != 1;
    output->block = pace_block(self->rate);
    if (!whole) {
        write_id(self, recording_reader_info(self->reader, self->s)->id, output->id);
    }
    char end[24] = "the end";
    if (self->length != UINT64_MAX) {
        snprintf(end, sizeof end, "%" PRId64, (int64_t)(self->start + self->length) - 1);
    }
    log_info("serves frames %" PRIu64 " to %s of %s (%s of %s)%s: %s stream %s", self->start, end,
             recording_reader_info(self->reader, self->s)->name,
             recording_reader_group(self->reader, self->s), self->file,
             self->grows ? ", as they are written" : "", whole ? "the same" : "not the whole of it, so a",
             output->id);
    return 0;
}

/* ---- serving ---- */

/* The file does not grow any more, though more was promised. */
static int wait_for_writer(struct replay *self)
{
    int64_t now = clock_ms();
    if (self->lonely_ms == 0) {
        self->lonely_ms = now;
        log_warning("nobody writes %s any more; waiting %d s for its writer to come back", self->file,
                    PATIENCE_MS / 1000);
    }
    if (now - self->lonely_ms < PATIENCE_MS) {
        return 0;
    }
    return error_set(LOOM_EDATA,
                     "%s was left by its writer with frame %" PRId64
                     " as its last; go on with that recording, or replay what there is (without --last)",
                     self->file, (int64_t)recorded_end(self) - 1);
}

/* See what has been written. */
static int look(struct replay *self)
{
    int status = recording_reader_refresh(self->reader);
    if (status < 0) {
        return status;
    }
    const struct stream_info *info = recording_reader_info(self->reader, self->s);
    if (self->length == UINT64_MAX && info->total != UINT64_MAX) {
        self->total = self->length = info->total - self->start;
    }
    self->grows = self->length == UINT64_MAX || recorded_end(self) < self->start + self->length;
    if (self->grows && recording_reader_condition(self->reader) != RECORDING_LIVE) {
        return wait_for_writer(self);
    }
    self->lonely_ms = 0;
    return 0;
}

static int gather(const struct stage_context *context, void *state, uint64_t ack, struct stage_extent *extent)
{
    (void)context;
    (void)ack;
    struct replay *self = state;
    int status = 0;
    if (self->grows && clock_ms() - self->looked_ms >= LOOK_MS) {
        status = look(self);
        self->looked_ms = clock_ms();
    }
    if (status < 0) {
        return status; /* there may be no stream to look at any more */
    }
    uint64_t behind = recorded_end(self);
    extent->known = true;
    extent->total = self->total;
    extent->head = !self->grows ? self->total : behind > self->start ? behind - self->start : 0;
    return 0;
}

/* The metrics of the recorded pass that ends behind this frame of the recorded stream, if a pass of this
 * one does, too. */
static int add_metrics(struct replay *self, uint64_t frame, struct block *out)
{
    const struct stream_info *info = recording_reader_info(self->reader, self->s);
    bool ends = info->pass > 0 && (frame % info->pass == 0 || frame == info->total);
    if (!ends || self->loop != 1 || self->pass != info->pass) {
        return 0;
    }
    return recording_read_metrics(self->reader, self->s, (frame - 1) / info->pass, out->metrics,
                                  &out->n_metrics);
}

static int produce(const struct stage_context *context, void *state, struct block *out)
{
    (void)context;
    struct replay *self = state;
    pace_keep(&self->pace, self->rate, out->seq);
    uint64_t frame = self->start + (self->loop == 1 ? out->seq : out->seq % self->length);
    int status = recording_read(self->reader, self->s, frame - recording_reader_first(self->reader), out->n,
                                out->fields);
    return status == 0 ? add_metrics(self, frame + out->n, out) : status;
}

static void close_stage(const struct stage_context *context, void *state)
{
    (void)context;
    struct replay *self = state;
    recording_reader_destroy(&self->reader);
}

static const struct stage stage = {
    .name = "replay",
    .summary = "a stream of a recording, as when it was live",
    .output = STREAM_ANY,
    .state_bytes = sizeof(struct replay),
    .params = params,
    .aliases = aliases,
    .open = open_stage,
    .configure = configure,
    .gather = gather,
    .produce = produce,
    .close = close_stage,
};

int main(int argc, char **argv)
{
    return stage_main(&stage, argc, argv);
}

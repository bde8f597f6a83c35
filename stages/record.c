/* Record: keeps streams in one HDF5 file, aligned by frame number (recording.h tells what is in it).
 *
 * The file is this stage's own durable store: what a flush has put there is acknowledged, and a restarted
 * stage goes on behind it. Frames outside of the wanted window are passed over; the producers are asked to
 * begin with its first one. A recorder that comes when streams are under way begins with the oldest frame
 * that all of them still hold, and says so; behind its first frame a file has no gaps: if frames are lost
 * to a recorder that is too slow, it ends there.
 *
 * Limits: all streams of one file must agree in the length of their passes and in all; streams that do not
 * belong together need a recorder each. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "durable_file.h"
#include "log.h"
#include "recording.h"
#include "recording_read.h"
#include "stage.h"

#define PIPELINE_BYTES_MAX ((size_t)1 << 20)

_Static_assert(STAGE_INPUTS_MAX <= RECORDING_STREAMS_MAX, "every input has its place in the file");

struct record_stage {
    char *file;     /* where to; "": recordings/<name>.h5 of the run */
    int64_t first;  /* frame kept first */
    int64_t frames; /* how many to keep; 0: all */

    char *path;     /* the file, chosen */
    uint64_t start; /* frame of its first row */
    struct recording
        *recording; /* NULL before the first frame has come, which is the file's first; and once closed */
    bool closed;
    bool empty;           /* a file is there already, without rows, */
    uint64_t empty_first; /* which would begin with this frame; UINT64_MAX: it is of other streams */
    uint64_t rows[STAGE_INPUTS_MAX]; /* recorded of each input */
};

#define FIELD(member) offsetof(struct record_stage, member)

static const struct stage_alias aliases[] = {{'o', "output", "file"}, {.param = NULL}};

static const struct param params[] = {
    {"file", PARAM_PATH, FIELD(file), "", 0, 0, "",
     "HDF5 file; by default recordings/NAME.h5 in the run's folder", NULL, PARAM_LOCAL},
    {"first", PARAM_INTEGER, FIELD(first), "0", 0, 9e15, "frames", "first frame to keep", NULL, PARAM_LOCAL},
    {"frames", PARAM_INTEGER, FIELD(frames), "0", 0, 9e15, "frames",
     "how many frames to keep, 0 for all; the rest is read and passed over", NULL, PARAM_LOCAL},
    {.name = NULL},
};

/* The first frame behind the window. */
static uint64_t window_end(const struct record_stage *self)
{
    return self->frames == 0 ? UINT64_MAX : self->start + (uint64_t)self->frames;
}

static int open_stage(const struct stage_context *context, void *state)
{
    struct record_stage *self = state;
    int length;
    if (self->file[0] != '\0') {
        length = asprintf(&self->path, "%s", self->file);
    } else {
        length = asprintf(&self->path, "%s/recordings/%s.h5", context->run, context->name);
    }
    if (length < 0) {
        self->path = NULL;
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    return durable_file_make_folders(self->path);
}

/* Row r of every stream must be the same moment, and stay so to the end. */
static int check_alignment(const struct stage_context *context, const struct record_stage *self)
{
    const struct stream_info *one = &context->inputs[0];
    for (size_t i = 1; i < context->n_inputs; i++) {
        const struct stream_info *other = &context->inputs[i];
        bool both_end = one->total != UINT64_MAX && other->total != UINT64_MAX; /* an end may be seen later */
        if (one->pass != other->pass || (both_end && one->total != other->total)) {
            return error_set(LOOM_EDATA,
                             "%s has %" PRId64 " frames in passes of %" PRIu64 ", %s has %" PRId64
                             " in passes of %" PRIu64
                             " (-1: no end): they cannot stand side by side in %s; record them apart",
                             one->name, (int64_t)one->total, one->pass, other->name, (int64_t)other->total,
                             other->pass, self->path);
        }
    }
    if ((uint64_t)self->first > one->total) {
        return error_set(LOOM_EUSAGE, "first is %" PRId64 ", but %s has only %" PRIu64 " frames", self->first,
                         one->name, one->total);
    }
    return 0;
}

/* The text of the run's pipeline file, "" if there is none. The caller frees it; NULL if memory runs out. */
static char *read_pipeline(const char *run)
{
    char *path = NULL, *text = calloc(PIPELINE_BYTES_MAX + 1, 1);
    if (text == NULL || asprintf(&path, "%s/pipeline.yaml", run) < 0) {
        return text;
    }
    FILE *in = fopen(path, "re");
    if (in != NULL) {
        size_t bytes = fread(text, 1, PIPELINE_BYTES_MAX, in);
        text[bytes] = '\0';
        fclose(in);
    }
    free(path);
    return text;
}

/* Open the file, with frame self->start as its first. One without rows that began elsewhere is as good as
 * none. */
static int open_file(const struct stage_context *context, struct record_stage *self)
{
    if (self->empty && self->empty_first != self->start && unlink(self->path) != 0) {
        return error_set(LOOM_EIO, "cannot replace %s: %s", self->path, strerror(errno));
    }
    self->empty = false;
    char *text = read_pipeline(context->run);
    if (text == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for the pipeline's text");
    }
    int status = recording_new(&self->recording, self->path, context->inputs, context->n_inputs, self->start,
                               text, self->rows);
    free(text);
    return status;
}

/* Where a file that is there already begins, if that was left to its first recorder; or that it has no rows
 * yet (and nobody is about to write some). */
static int find_start(const struct stage_context *context, struct record_stage *self)
{
    struct recording_reader *file = NULL;
    int status = recording_reader_new(&file, self->path);
    if (status < 0) {
        return status;
    }
    uint64_t first = recording_reader_first(file), rows = 0;
    size_t n = recording_reader_streams(file);
    bool same = n == context->n_inputs;
    for (size_t s = 0; s < n; s++) {
        rows += recording_reader_rows(file, s);
        same = same && strcmp(recording_reader_info(file, s)->id, context->inputs[s].id) == 0;
    }
    self->empty = rows == 0 && recording_reader_condition(file) != RECORDING_LIVE;
    self->empty_first = same ? first : UINT64_MAX;
    if (!self->empty && first > self->start) {
        self->start = first;
    }
    recording_reader_destroy(&file);
    return 0;
}

static int configure(const struct stage_context *context, void *state, struct stream_info *output)
{
    (void)output;
    struct record_stage *self = state;
    int status = check_alignment(context, self);
    if (status < 0) {
        return status;
    }
    self->start = (uint64_t)self->first;
    if (access(self->path, F_OK) != 0) {
        return 0; /* it is made when the first frame is there: until then it may be gone */
    }
    status = find_start(context, self);
    return status < 0 || self->empty ? status : open_file(context, self);
}

/* Go on behind what is recorded; a stream whose window is full is over. */
static int resume(const struct stage_context *context, void *state, uint64_t *from)
{
    const struct record_stage *self = state;
    for (size_t i = 0; i < context->n_inputs; i++) {
        uint64_t total = context->inputs[i].total;
        from[i] = self->start + self->rows[i];
        if (from[i] >= window_end(self) && total != UINT64_MAX) {
            from[i] = total;
        }
    }
    return 0;
}

static int process(const struct stage_context *context, void *state, size_t port, const struct block *in,
                   struct block *out)
{
    (void)out;
    struct record_stage *self = state;
    if (self->recording == NULL) { /* all inputs begin with this frame */
        self->start = in->seq > self->start ? in->seq : self->start;
        int opened = open_file(context, self);
        if (opened < 0) {
            return opened;
        }
    }
    uint64_t next = self->start + self->rows[port]; /* frame wanted */
    uint64_t end = in->seq + in->n;
    uint64_t end_wanted = end < window_end(self) ? end : window_end(self);
    if (end <= next || next >= end_wanted) {
        return 0;
    }
    if (in->seq > next) {
        return error_set(LOOM_EDATA,
                         "frames %" PRIu64 " to %" PRIu64
                         " of %s are no longer held: %s ends before them; record what "
                         "follows in another file",
                         next, in->seq - 1, context->inputs[port].name, self->path);
    }
    struct stream_field fields[STREAM_FIELDS_MAX];
    size_t n_fields = stream_fields(&context->inputs[port], fields);
    struct block part = *in;
    part.seq = next;
    part.n = (size_t)(end_wanted - next);
    part.n_metrics = end_wanted == end ? in->n_metrics : 0; /* they belong to the block's last frame */
    for (size_t f = 0; f < n_fields; f++) {
        part.fields[f] = (char *)in->fields[f] + (next - in->seq) * fields[f].row_bytes;
    }
    int status = recording_append(self->recording, port, &part);
    if (status == 0) {
        self->rows[port] += part.n;
    }
    return status;
}

static int flush(const struct stage_context *context, void *state)
{
    (void)context;
    struct record_stage *self = state;
    return self->recording == NULL ? 0 : recording_flush(self->recording);
}

/* Say exactly what is in the file. */
static void tell(const struct stage_context *context, const struct record_stage *self)
{
    for (size_t i = 0; i < context->n_inputs; i++) {
        const struct stream_info *info = &context->inputs[i];
        if (self->rows[i] == 0) {
            log_info("%s holds no frame of %s", self->path, info->name);
        } else {
            log_info("%s holds frames %" PRIu64 " to %" PRIu64 " of %s (%s)%s", self->path, self->start,
                     self->start + self->rows[i] - 1, info->name, stream_kind_name(info->kind),
                     self->start == 0 && self->rows[i] == info->total ? ", the whole stream" : "");
        }
    }
}

static int close_file(const struct stage_context *context, struct record_stage *self)
{
    if (self->recording == NULL) {
        return 0;
    }
    int status = recording_close(&self->recording);
    self->closed = true;
    if (status == 0) {
        tell(context, self);
    }
    return status;
}

/* The end of the streams: nothing more comes. */
static int drain(const struct stage_context *context, void *state)
{
    struct record_stage *self = state;
    int status =
        self->recording == NULL && !self->closed ? open_file(context, self) : 0; /* no frame has come */
    for (size_t i = 0; status == 0 && i < context->n_inputs; i++) {
        recording_set_total(self->recording, i, context->inputs[i].total);
    }
    return status < 0 ? status : close_file(context, self);
}

static void close_stage(const struct stage_context *context, void *state)
{
    struct record_stage *self = state;
    if (close_file(context, self) < 0) {
        log_error("%s", error_message());
    }
    free(self->path);
    self->path = NULL;
}

static const struct stage stage = {
    .name = "record",
    .summary = "keeps streams in an HDF5 file, aligned by frame number",
    .input_kinds = 1U << STREAM_FRAMES | 1U << STREAM_CODES | 1U << STREAM_ACTIVATIONS,
    .inputs_min = 1,
    .inputs_max = STAGE_INPUTS_MAX,
    .output = STREAM_NONE,
    .state_bytes = sizeof(struct record_stage),
    .params = params,
    .aliases = aliases,
    .aligned = true,
    .open = open_stage,
    .configure = configure,
    .resume = resume,
    .process = process,
    .flush = flush,
    .drain = drain,
    .close = close_stage,
};

int main(int argc, char **argv)
{
    return stage_main(&stage, argc, argv);
}

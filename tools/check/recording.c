/* Verifying recordings; see check.c. */
#include <float.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "findings.h"
#include "recording_read.h"

#define OBJECT_BYTES_MAX 65536
#define VALUE_MAX 1e6F /* of codes (PROTOCOL.md) */

/* A stretch of one field in memory. */
struct stretch {
    const struct stream_info *info;
    const char *name; /* of the dataset */
    uint64_t frame;   /* of the first row */
    size_t n;         /* rows */
    const void *data;
};

static void check_indices(struct findings *findings, const struct stretch *rows)
{
    const uint32_t *index = rows->data;
    size_t k = rows->info->winners, units = rows->info->grid_x * rows->info->grid_y;
    for (size_t i = 0; i < rows->n * k; i++) {
        if (index[i] >= units) {
            findings_add(findings, "%s, frame %" PRIu64 ": unit %" PRIu32 " of %zu; record the stream anew",
                         rows->name, rows->frame + i / k, index[i], units);
            return;
        }
        if (i % k > 0 && index[i] <= index[i - 1]) {
            findings_add(findings,
                         "%s, frame %" PRIu64 ": the units are not ascending; record the stream anew",
                         rows->name, rows->frame + i / k);
            return;
        }
    }
}

static void check_values(struct findings *findings, const struct stretch *rows, size_t each, float low,
                         float high)
{
    const float *value = rows->data;
    for (size_t i = 0; i < rows->n * each; i++) {
        if (!(value[i] >= low && value[i] <= high)) { /* also if it is no number */
            findings_add(findings,
                         "%s, frame %" PRIu64 ": the value %g is not from %g to %g; record the stream anew",
                         rows->name, rows->frame + i / each, (double)value[i], (double)low, (double)high);
            return;
        }
    }
}

static void check_content(struct findings *findings, const struct stretch *rows, size_t f)
{
    const struct stream_info *info = rows->info;
    if (info->kind == STREAM_CODES && f == 0) {
        check_indices(findings, rows);
    } else if (info->kind == STREAM_CODES) {
        check_values(findings, rows, info->winners, 0, VALUE_MAX);
    } else if (info->kind == STREAM_ACTIVATIONS) {
        check_values(findings, rows, info->grid_x * info->grid_y, -FLT_MAX, FLT_MAX);
    } else if (f == 0 && info->dtype == STREAM_F4) {
        check_values(findings, rows, info->height * info->width, 0, 1);
    }
}

/* Every chunk of field f of stream s. */
static void check_field(struct findings *findings, struct recording_reader *file, size_t s, size_t f,
                        const struct stream_field *field)
{
    const struct stream_info *info = recording_reader_info(file, s);
    uint64_t chunk = recording_reader_chunk(file, s, f), rows = recording_reader_rows(file, s);
    uint64_t extent = recording_reader_extent(file, s, f);
    char name[160];
    snprintf(name, sizeof name, "%s/%s", recording_reader_group(file, s), field->name);
    if (recording_reader_condition(file) == RECORDING_CLOSED && extent != rows) {
        findings_add(findings, "%s has %" PRIu64 " rows, but /durable tells of %" PRIu64, name, extent, rows);
    }
    void *data = malloc((size_t)chunk * field->row_bytes), *fields[STREAM_FIELDS_MAX] = {NULL};
    fields[f] = data;
    for (uint64_t row = 0; data != NULL && row < rows; row += chunk) {
        struct stretch stretch = {.info = info,
                                  .name = name,
                                  .frame = recording_reader_first(file) + row,
                                  .n = (size_t)(rows - row < chunk ? rows - row : chunk),
                                  .data = data};
        int status = recording_read(file, s, row, stretch.n, fields);
        if (status < 0) {
            findings_add_error(findings, status);
        } else {
            check_content(findings, &stretch, f);
        }
    }
    if (data == NULL) {
        findings_add_error(findings, error_set(LOOM_EINTERNAL, "out of memory for a chunk of %s", name));
    }
    free(data);
}

static void check_metrics(struct findings *findings, struct recording_reader *file, size_t s)
{
    const struct stream_info *info = recording_reader_info(file, s);
    uint64_t end = recording_reader_first(file) + recording_reader_rows(file, s);
    for (uint64_t pass = 0; info->pass > 0 && pass * info->pass < end; pass++) {
        struct metric metrics[STREAM_METRICS_MAX];
        size_t n;
        int status = recording_read_metrics(file, s, pass, metrics, &n);
        if (status < 0) {
            findings_add_error(findings, status);
        }
    }
}

static void check_stream(struct findings *findings, struct recording_reader *file, size_t s)
{
    const struct stream_info *info = recording_reader_info(file, s);
    struct stream_field fields[STREAM_FIELDS_MAX];
    uint64_t first = recording_reader_first(file), rows = recording_reader_rows(file, s);
    if (first > info->total || rows > info->total - first) {
        findings_add(findings, "it tells of frames up to %" PRIu64 " of %s, which has %" PRIu64, first + rows,
                     info->name, info->total);
    }
    size_t n_fields = stream_fields(info, fields);
    for (size_t f = 0; f < n_fields; f++) {
        check_field(findings, file, s, f, &fields[f]);
    }
    check_metrics(findings, file, s);
    findings_tell(findings, s == 0 ? " " : ", ");
    if (rows == 0) {
        findings_tell(findings, "no frame of %s (id %s", info->name, info->id);
    } else {
        findings_tell(findings, "frames %" PRIu64 "..%" PRIu64 " of %s (id %s", first, first + rows - 1,
                      info->name, info->id);
    }
    if (info->total == UINT64_MAX) {
        findings_tell(findings, ", whose end is not known)");
    } else if (rows == info->total) {
        findings_tell(findings, ", whole)");
    } else {
        findings_tell(findings, ", of %" PRIu64 ")", info->total);
    }
}

void check_recording(struct findings *findings, const char *path)
{
    struct recording_reader *file = NULL;
    int status = recording_reader_new(&file, path);
    if (status < 0) {
        findings_add_error(findings, status);
        return;
    }
    findings_tell(findings, "recording,");
    for (size_t s = 0; s < recording_reader_streams(file); s++) {
        check_stream(findings, file, s);
    }
    if (recording_reader_condition(file) == RECORDING_CLOSED) {
        check_objects(findings, path, OBJECT_BYTES_MAX); /* the streams have been read */
    } else if (recording_reader_condition(file) == RECORDING_LIVE) {
        findings_tell(findings, "; still being written");
    } else {
        findings_tell(
            findings,
            "; not closed, as its writer was killed: record again with the same file to go on, or replay "
            "what there is");
    }
    recording_reader_destroy(&file);
}

/* Reading recordings (recording.h): closed ones, those of a writer that was killed, and those still being
 * written, side by side with the writer. Only rows that are durable are given out, and of those every
 * chunk is checked before it is believed: its checksum, or that it lies within the file at all.
 *
 * Limits: the last, unfinished chunk of a file that has not been closed has no checksum (recording.c says
 * why). */
#ifndef LOOM_COMMON_RECORDING_READ_H
#define LOOM_COMMON_RECORDING_READ_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "log.h"
#include "recording.h"
#include "stream.h"

enum recording_condition {
    RECORDING_CLOSED, /* as it should be */
    RECORDING_LIVE,   /* being written */
    RECORDING_KILLED, /* its writer was killed; it can be gone on with */
};

struct recording_reader;

/* Open a file. LOOM_EIO if it cannot be read; LOOM_EDATA if it is not a recording, is damaged, or is cut
 * off. The caller owns *self_p. */
int recording_reader_new(struct recording_reader **self_p, const char *path) LOOM_MUST_CHECK;
void recording_reader_destroy(struct recording_reader **self_p);

/* See what has been written since. Errors as above, and LOOM_EDATA if there is another recording in its
 * place; then the reader can only be destroyed. */
int recording_reader_refresh(struct recording_reader *self) LOOM_MUST_CHECK;

enum recording_condition recording_reader_condition(const struct recording_reader *self);
const char *recording_reader_path(const struct recording_reader *self);
size_t recording_reader_streams(const struct recording_reader *self);
uint64_t recording_reader_first(const struct recording_reader *self); /* frame of row 0, of every stream */

/* The pipeline's text, to text (size bytes, with its NUL); "" if it has none, or a longer one. */
void recording_reader_pipeline(const struct recording_reader *self, char *text, size_t size);

/* Of stream s: its description (block and ring are 0), the group it lies in, and how many rows are
 * durable. Valid until refresh. */
const struct stream_info *recording_reader_info(const struct recording_reader *self, size_t s);
const char *recording_reader_group(const struct recording_reader *self, size_t s);
uint64_t recording_reader_rows(const struct recording_reader *self, size_t s);

/* Rows that the dataset of field f of stream s has; those past the durable ones are of no worth. And of a
 * chunk. */
uint64_t recording_reader_extent(const struct recording_reader *self, size_t s, size_t f);
uint64_t recording_reader_chunk(const struct recording_reader *self, size_t s, size_t f);

/* Copy rows `row` to row + n - 1 (all durable) of stream s to fields[f], n rows each, in the order of
 * stream_fields; a field that is NULL is left out. LOOM_EDATA with dataset and frames if they are damaged. */
int recording_read(struct recording_reader *self, size_t s, uint64_t row, size_t n,
                   void *const fields[STREAM_FIELDS_MAX]) LOOM_MUST_CHECK;

/* The metrics of a pass of stream s, counted from the stream's first; *n is 0 if there are none. Their
 * names are valid until refresh. LOOM_EDATA if they are damaged. */
int recording_read_metrics(struct recording_reader *self, size_t s, uint64_t pass,
                           struct metric metrics[STREAM_METRICS_MAX], size_t *n) LOOM_MUST_CHECK;

#endif

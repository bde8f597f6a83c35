/* Recordings (HDF5, single writer and many readers): streams at rest, aligned by frame number.
 *
 * One file holds several streams. A kind that occurs once lies in /frames, /codes or /activations; if several
 * inputs are of one kind, each of those lies in /<kind>/<name of its stage>. In such a group, one dataset a field
 * with a row a frame: frames/data (T x height x width), frames/at (T x 2), codes/index and codes/value (T x k),
 * activations/data (T x M). Row r is frame first + r, so the same row of any two streams is the same moment.
 * Metrics that come at the end of a pass: /metrics/<name of the stage>/<metric> (a row a pass, f8).
 * Each group has the stream's description as attributes (id, stage, name, pass, total, grid); the root has the
 * pipeline's text, the program version and `first`. /durable (one u8 a stream, in the order of the attribute
 * `streams`) says how many rows are certain to have reached the disk.
 *
 * After a kill every flushed row is readable, and opening the same path again goes on in place: rows past
 * /durable are cut and come again. */
#ifndef LOOM_COMMON_RECORDING_H
#define LOOM_COMMON_RECORDING_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "stream.h"

struct recording;

/* Make the file, or open it to go on. streams (n_streams) describes what will be appended; an existing file must
 * hold the same ids in the same order, else LOOM_EDATA with both ids. first: number of the first frame of every
 * stream; text: the pipeline's, or "". rows[s] = durable rows of stream s. */
int recording_new(struct recording **self_p, const char *path, const struct stream_info *streams, size_t n_streams,
                  uint64_t first, const char *text, uint64_t *rows) LOOM_MUST_CHECK;

/* Append a block to stream s: block->seq must be first + rows so far. Metrics in the block go to its pass's row. */
int recording_append(struct recording *self, size_t s, const struct block *block) LOOM_MUST_CHECK;

/* Make all appended rows durable (H5Fflush, fdatasync, then /durable, flush again). */
int recording_flush(struct recording *self) LOOM_MUST_CHECK;

/* Flush and close; frees and nulls. The file is closed also when an error is returned. */
int recording_close(struct recording **self_p) LOOM_MUST_CHECK;

/* Close without flushing /durable, free, null; harmless on NULL. */
void recording_destroy(struct recording **self_p);

#endif

/* How a recording is laid out in its file (recording.h tells it to the reader): names, chunks, and the empty
 * file. */
#ifndef LOOM_COMMON_RECORDING_LAYOUT_H
#define LOOM_COMMON_RECORDING_LAYOUT_H

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "recording.h"
#include "stream.h"

#define RECORDING_GROUP_BYTES 96 /* of a group's path, with its NUL */
#define RECORDING_METRIC_BYTES STREAM_METRIC_NAME_BYTES
#define RECORDING_METRICS STREAM_METRICS_MAX /* columns of metrics/<name>/values */

/* Every object of the file starts at a multiple of this, a page of memory. A process that is killed in the
 * middle of a write stops between two pages, so whatever is no larger than a page is replaced whole or not at
 * all. */
#define RECORDING_ALIGNMENT 4096

/* The shape of one field's dataset: rows x dims[1] (x dims[2]). */
struct recording_shape {
    int rank;
    hsize_t dims[3]; /* dims[0]: rows of a chunk */
    hid_t type;      /* of the values; not to be closed */
};

/* Where stream s lies: "frames", or "frames/<name>" if it is not the only one of its kind. */
void recording_group(char group[RECORDING_GROUP_BYTES], const struct stream_info *streams, size_t n_streams,
                     size_t s);

/* Field number f of a stream; rows: how many are to be expected, 0 if unknown. */
struct recording_shape recording_shape(const struct stream_info *info, size_t f, uint64_t rows);

/* Make the file with all its groups, attributes and empty datasets, durable, in one step: a process killed on
 * the way leaves no file at `path`. LOOM_EDATA if two streams have one name, LOOM_EIO if it cannot be
 * written. */
int recording_create(const char *path, const struct stream_info *streams, size_t n_streams, uint64_t first,
                     const char *text) LOOM_MUST_CHECK;

#endif

/* Recordings (HDF5, single writer and many readers): streams at rest, aligned by frame number.
 *
 * One file holds several streams. A kind that occurs once lies in /frames, /codes or /activations; if
 * several inputs are of one kind, each of those lies in /<kind>/<name of its stage>. In such a group, one
 * dataset a field with a row a frame: frames/data (T x height x width), frames/at (T x 2), codes/index and
 * codes/value (T x k), activations/data (T x M). Row r is frame first + r, so the same row of any two
 * streams is the same moment. Metrics that come at the end of a pass, of streams that have passes:
 * /metrics/<name of the stage>/values (a row a pass, counted from pass 0, f8, NaN where there is none) and
 * names (of its columns, "" for those not in use). Each group has the stream's description as attributes
 * (id, stage, name, kind, pass, total, grid, body, repeats) and `frames`, how many it holds (as of when it
 * was last closed; -1: not yet); the root has the pipeline's text, the program and its version, `first`, and
 * `streams`: the groups in the order of the inputs. /durable (one u8 a stream, in that order) says how many
 * rows are certain to have reached the disk; /used_bytes is a note for the next writer.
 *
 * While it is being written, and after its writer was killed, the file opens with SWMR only:
 * h5py.File(path, "r", swmr=True). After a kill every row below /durable is there; rows beyond may be, too.
 * Opening the same path again goes on in place: rows past /durable come again and replace those in the
 * file, and what has not come again when it is closed is cut. Without going on, `h5clear -s -i FILE` makes
 * it an ordinary file again. Once closed, it is one. Killed in the moment of closing, it opens with
 * recording_read.h and for going on only.
 *
 * Limits: one writer at a time (locked); a power cut (not a kill) in the middle of a flush can damage the
 * file, because HDF5 has no journal. Needs little-endian numbers and a Linux file system; with one that
 * cannot reserve space (fallocate), a full disk makes the file look killed instead of closed. */
#ifndef LOOM_COMMON_RECORDING_H
#define LOOM_COMMON_RECORDING_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "stream.h"

#define RECORDING_STREAMS_MAX 32

struct recording;

/* Make the file, or open it to go on. streams (n_streams, 1 to RECORDING_STREAMS_MAX) describes what will
 * be appended, all with different names; an existing file must hold the same ids in the same order, else
 * LOOM_EDATA with both ids. first: number of the first frame of every stream; text: the pipeline's, or "".
 * rows[s] = durable rows of stream s. LOOM_EIO if it cannot be read, written or locked; LOOM_EDATA if it is
 * damaged (it is left as it is). */
int recording_new(struct recording **self_p, const char *path, const struct stream_info *streams,
                  size_t n_streams, uint64_t first, const char *text, uint64_t *rows) LOOM_MUST_CHECK;

/* Append a block to stream s: block->seq must be first + rows so far, else LOOM_EDATA. Metrics in the block
 * go to its pass's row. On LOOM_EIO because the disk is full nothing of the block is in, and the file can
 * still be flushed and closed; after any other failure it cannot, and holds what was durable. */
int recording_append(struct recording *self, size_t s, const struct block *block) LOOM_MUST_CHECK;

/* The end of stream s is known now, though it was described without one: kept when the file is closed. */
void recording_set_total(struct recording *self, size_t s, uint64_t total);

/* Make all appended rows durable (H5Fflush, fdatasync, then /durable, flush and sync again). */
int recording_flush(struct recording *self) LOOM_MUST_CHECK;

/* Flush and close; frees and nulls. The file is closed also when an error is returned. */
int recording_close(struct recording **self_p) LOOM_MUST_CHECK;

/* Close without flushing /durable, free, null; harmless on NULL. */
void recording_destroy(struct recording **self_p);

#endif

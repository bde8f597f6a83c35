/* Layer files (HDF5): a layer's weights and state at rest, and its checkpoints, which have the same form.
 *
 * Datasets: /weights (units x inputs, f4) and /state/... ; attributes of the root: every parameter, kind of
 * stage, grid, ids, frames seen, program version. Written whole to a temporary file in the same folder,
 * fsynced, renamed, and the folder fsynced: a reader sees the old file or the new one, never a torn one.
 * Every dataset carries fletcher32 checksums. */
#ifndef LOOM_COMMON_LAYER_H
#define LOOM_COMMON_LAYER_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum layer_dtype { LAYER_U1, LAYER_U4, LAYER_U8, LAYER_F4, LAYER_F8 };

#define LAYER_RANK_MAX 4

struct layer_writer;
struct layer_reader;

/* Begin a file that will stand at `path` once committed. LOOM_EIO with the path and the reason. */
int layer_writer_new(struct layer_writer **self_p, const char *path) LOOM_MUST_CHECK;

/* Write a dataset ("weights", "state/io"; groups are made). data is row-major; dims has `rank` numbers,
 * some of which may be 0. */
int layer_write(struct layer_writer *self, const char *name, enum layer_dtype dtype, const size_t *dims,
                size_t rank, const void *data) LOOM_MUST_CHECK;

/* Attributes of the root. */
int layer_write_text(struct layer_writer *self, const char *name, const char *text) LOOM_MUST_CHECK;
int layer_write_integer(struct layer_writer *self, const char *name, int64_t value) LOOM_MUST_CHECK;
int layer_write_real(struct layer_writer *self, const char *name, double value) LOOM_MUST_CHECK;
/* n integers as one attribute, e.g. grid = (40, 40). */
int layer_write_integers(struct layer_writer *self, const char *name, const int64_t *values,
                         size_t n) LOOM_MUST_CHECK;

/* Make the file durable under its name; frees the writer and nulls the pointer on success. */
int layer_writer_commit(struct layer_writer **self_p) LOOM_MUST_CHECK;

/* Abandon: remove the temporary file, free, null the pointer; harmless on NULL. */
void layer_writer_destroy(struct layer_writer **self_p);

/* Open a file. LOOM_EIO if it cannot be read, LOOM_EDATA if it is not an HDF5 file or is damaged. */
int layer_reader_new(struct layer_reader **self_p, const char *path) LOOM_MUST_CHECK;
void layer_reader_destroy(struct layer_reader **self_p);

/* Whether there is such a dataset. */
int layer_has(const struct layer_reader *self, const char *name);

/* The shape of a dataset; LOOM_EDATA if missing or its rank is not `rank`. */
int layer_read_dims(const struct layer_reader *self, const char *name, size_t *dims,
                    size_t rank) LOOM_MUST_CHECK;

/* Read a whole dataset whose shape must be `dims` (converted to `dtype` by HDF5 where the file's type
 * differs). LOOM_EDATA with file, dataset, both shapes if they differ, or if a checksum fails. */
int layer_read(const struct layer_reader *self, const char *name, enum layer_dtype dtype, const size_t *dims,
               size_t rank, void *data) LOOM_MUST_CHECK;

/* Attributes of the root; LOOM_EDATA if missing or of another type. Text is cut to `size` with its NUL. */
int layer_read_text(const struct layer_reader *self, const char *name, char *text,
                    size_t size) LOOM_MUST_CHECK;
int layer_read_integer(const struct layer_reader *self, const char *name, int64_t *value) LOOM_MUST_CHECK;
int layer_read_real(const struct layer_reader *self, const char *name, double *value) LOOM_MUST_CHECK;
int layer_read_integers(const struct layer_reader *self, const char *name, int64_t *values,
                        size_t n) LOOM_MUST_CHECK;

/* Path the reader was opened on; borrowed. */
const char *layer_path(const struct layer_reader *self);

#endif

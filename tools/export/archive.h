/* What `loom export` reads: the datasets of a layer file or a recording, a piece at a time. A recording is
 * read while it is being written, too, and after its writer was killed: then as far as its rows are
 * certain to be on disk. */
#ifndef LOOM_TOOLS_EXPORT_ARCHIVE_H
#define LOOM_TOOLS_EXPORT_ARCHIVE_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define TABLE_NAME_BYTES 256
#define TABLE_RANK_MAX 8

enum cell { CELL_UNSIGNED, CELL_SIGNED, CELL_REAL, CELL_TEXT };

/* A dataset: rows of cells. */
struct table {
    char name[TABLE_NAME_BYTES]; /* "weights", "codes/index" */
    hid_t dataset, type;         /* type: of the cells in memory, little-endian */
    enum cell cell;
    size_t cell_bytes;
    size_t rank;                   /* at least 1 */
    uint64_t dims[TABLE_RANK_MAX]; /* dims[0]: of the rows wanted; see archive_select */
    uint64_t begin;                /* first row wanted */
    size_t row_cells, row_bytes;
    bool stream;          /* row r is frame first_frame + r */
    uint64_t first_frame; /* of a stream's row 0 */
};

struct archive {
    char *path; /* owned */
    hid_t file;
    bool recording; /* else a layer file, or what else has datasets */
    struct table *tables;
    size_t n;
};

/* Open a file and all its datasets. LOOM_EIO if it cannot be read, LOOM_EDATA if it is no HDF5 file or
 * damaged. */
int archive_open(struct archive *self, const char *path) LOOM_MUST_CHECK;

/* Close; harmless on a zeroed one, and twice. */
void archive_close(struct archive *self);

/* The dataset of this name, or NULL. */
const struct table *archive_find(const struct archive *self, const char *name);

/* Of every stream only frames `from` to `to`, both included. LOOM_EUSAGE if there are no streams, or not
 * all of those frames in each. */
int archive_select(struct archive *self, uint64_t from, uint64_t to) LOOM_MUST_CHECK;

/* Rows `from` to before from + n of those wanted, to `data`. LOOM_EDATA if they are damaged. */
int table_read(const struct archive *self, const struct table *table, uint64_t from, uint64_t n,
               void *data) LOOM_MUST_CHECK;

/* How many rows to read at once: some MiB of them. */
uint64_t table_step(const struct table *table);

#endif

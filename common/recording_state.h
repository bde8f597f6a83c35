/* The state of an open recording, and what a chunk looks like in the file: shared by recording_open.c,
 * recording.c and recording_read.c, and by nothing else. */
#ifndef LOOM_COMMON_RECORDING_STATE_H
#define LOOM_COMMON_RECORDING_STATE_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "recording.h"
#include "recording_layout.h"

#define RECORDING_CHECKSUM_BYTES 4 /* behind each chunk */
#define WITH_CHECKSUM 0U           /* filter masks of a chunk: a bit for each filter left out */
#define WITHOUT_CHECKSUM 1U

/* The unfinished last chunk on disk. */
enum tail {
    TAIL_SEALED, /* is complete with its checksum, or there is none */
    TAIL_LOOSE,  /* is complete, without checksum */
    TAIL_DIRTY,  /* lacks rows */
};

struct track { /* one field of a stream, in one dataset */
    hid_t dataset;
    int rank;
    size_t row_bytes, chunk_rows;
    uint64_t extent; /* rows that the dataset has in the file */
    enum tail tail;
    unsigned char *chunk; /* chunk_rows rows being gathered, and the checksum */
};

struct tape { /* one stream */
    struct stream_info info;
    uint64_t rows; /* appended */
    bool ended;    /* info.total is news to the file */
    size_t n_tracks;
    struct track tracks[STREAM_FIELDS_MAX];
    hid_t names, values;                                     /* of metrics; HDF5_NONE without passes */
    uint64_t passes;                                         /* rows of `values` */
    char metrics[RECORDING_METRICS][RECORDING_METRIC_BYTES]; /* names of the columns so far */
};

struct recording {
    char *path;
    int fd; /* of the same file: to sync it, to lock it, to reserve space */
    hid_t file, durable, used_bytes;
    uint64_t first;
    uint64_t reserved; /* the file has disk space up to here */
    bool reserves;     /* the file system can */
    bool dirty;        /* something is not durable */
    bool failed;       /* HDF5 failed; nothing more can be written */
    size_t n_tapes;
    struct tape *tapes;
};

/* Note in the file that only its first `bytes` bytes are in use, so that what a killed writer wrote behind
 * them is given back; 0: that is about to change. LOOM_EIO, with self->failed set. */
int recording_write_used(struct recording *self, uint64_t bytes) LOOM_MUST_CHECK;

/* HDF5's checksum of a chunk (fletcher32), as it stands behind it. */
uint32_t recording_checksum(const unsigned char *data, size_t bytes);

/* Whether track->dataset has the shape that the stream needs; takes over its extent, rank, and rows of a
 * chunk. */
bool recording_fits(struct track *track, const struct recording_shape *shape);

/* Whether the superblock says that somebody writes, or was killed writing. */
bool recording_is_open(int fd);

/* Whether it says so, and that there were no readers beside (SWMR): the file was being closed. */
bool recording_is_open_alone(int fd);

/* Wait until nobody holds HDF5's lock on the file, as every reader does while he opens it, for at most 5 s. False: somebody
 * does all the time, having opened it without SWMR. */
bool recording_await_readers(int fd);

/* How HDF5 is to handle the file; swmr: beside readers. The caller closes it; HDF5_NONE on failure. */
hid_t recording_access(bool swmr);

/* Lock and open self->path, mend what a killed writer left, check that it holds what is to be appended, and
 * load its state. rows: as recording_new. On failure the caller destroys what there is. */
int recording_open(struct recording *self, uint64_t *rows) LOOM_MUST_CHECK;

#endif

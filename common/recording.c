/* See recording.h; recording_layout.c makes the file, recording_open.c opens it.
 *
 * What has been durable once is never in danger again, whenever the process is killed:
 *   - Rows are gathered into whole chunks here and written with H5Dwrite_chunk. A full chunk carries its
 *     checksum. A flush writes the last, unfinished chunk without one (HDF5's filter mask allows that) and
 *     so 4 bytes shorter: rewriting it in place can tear only rows that were not durable yet, and when it
 *     is full it is, being longer, written to a new place before the chunk index turns to it. Closing adds
 *     the checksum likewise.
 *   - HDF5 writes metadata only in H5Fflush (no evictions), children before parents (that is what SWMR
 *     means), and each piece lies within one page (RECORDING_ALIGNMENT).
 *   - HDF5 cannot go on after a write that failed. So disk space is reserved before it is asked to write
 *     anything, and a full disk is met there, when nothing has been changed. If a write fails all the same,
 *     HDF5 is not called again, not even to close the file: it stays as if the process had been killed.
 *
 * Between flushes nothing in the file refers to what has been appended since: /used_bytes says where that
 * begins, so that the next writer can cut it off. */
#include "recording.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hdf5_file.h"
#include "recording_state.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "chunks are written as they lie in memory");

#define RESERVE_SLACK_BYTES ((uint64_t)1 << 20) /* for metadata */
#define RESERVE_AHEAD_BYTES ((uint64_t)8 << 20) /* so that space is asked for now and then only */

static int fail(struct recording *self, const char *what)
{
    self->failed = true;
    return hdf5_fail(LOOM_EIO, "cannot %s %s", what, self->path);
}

int recording_new(struct recording **self_p, const char *path, const struct stream_info *streams,
                  size_t n_streams, uint64_t first, const char *text, uint64_t *rows)
{
    hdf5_quiet();
    *self_p = NULL;
    if (n_streams < 1 || n_streams > RECORDING_STREAMS_MAX) {
        return error_set(LOOM_EUSAGE, "%zu streams are to be recorded in %s; 1 to %d are possible", n_streams,
                         path, RECORDING_STREAMS_MAX);
    }
    int status = LOOM_OK;
    for (size_t s = 0; status == LOOM_OK && s < n_streams; s++) {
        status = stream_info_check(&streams[s]);
    }
    if (status == LOOM_OK && access(path, F_OK) != 0) {
        status = recording_create(path, streams, n_streams, first, text);
    }
    if (status != LOOM_OK) {
        return status;
    }
    struct recording *self = calloc(1, sizeof *self);
    if (self == NULL || (self->path = strdup(path)) == NULL ||
        (self->tapes = calloc(n_streams, sizeof *self->tapes)) == NULL) {
        if (self != NULL) {
            free(self->path);
        }
        free(self);
        return error_set(LOOM_EINTERNAL, "out of memory while opening %s", path);
    }
    self->fd = -1;
    self->file = self->durable = self->used_bytes = HDF5_NONE;
    self->first = first;
    self->reserves = true;
    self->n_tapes = n_streams;
    for (size_t s = 0; s < n_streams; s++) {
        struct tape *tape = &self->tapes[s];
        struct stream_field fields[STREAM_FIELDS_MAX];
        tape->info = streams[s];
        tape->n_tracks = stream_fields(&streams[s], fields);
        tape->names = tape->values = HDF5_NONE;
        for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
            tape->tracks[f].dataset = HDF5_NONE;
        }
    }
    status = recording_open(self, rows);
    if (status != LOOM_OK) {
        recording_destroy(&self);
    }
    *self_p = self;
    return status;
}

/* ---- writing ---- */

/* Have disk space for `bytes` more, so that HDF5's writes will not fail for want of it. */
static int reserve(struct recording *self, uint64_t bytes)
{
    hsize_t size;
    if (!self->reserves) {
        return LOOM_OK;
    }
    if (H5Fget_filesize(self->file, &size) < 0) {
        return fail(self, "get the size of");
    }
    uint64_t needed = size + bytes + RESERVE_SLACK_BYTES;
    if (needed <= self->reserved) {
        return LOOM_OK;
    }
    uint64_t end = needed + RESERVE_AHEAD_BYTES;
    for (;;) {
        if (fallocate(self->fd, FALLOC_FL_KEEP_SIZE, (off_t)self->reserved, (off_t)(end - self->reserved)) ==
            0) {
            self->reserved = end;
            return LOOM_OK;
        }
        if (errno == EOPNOTSUPP || errno == ENOSYS) {
            self->reserves = false;
            return LOOM_OK;
        }
        if (errno != EINTR && end == needed) {
            return error_set(LOOM_EIO, "cannot make %s larger: %s", self->path, strerror(errno));
        }
        if (errno != EINTR) {
            end = needed; /* perhaps there is just enough */
        }
    }
}

static uint32_t fold(uint64_t sum)
{
    while (sum > 0xffff) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint32_t)sum;
}

#define LANES 32      /* words summed side by side */
#define STEPS_MAX 360 /* times that, before 32 bits overflow */

/* HDF5's checksum (file format specification, "Fletcher32 filter"): of big-endian 16-bit words (an odd last
 * byte is the upper half of one) the sum, and the sum of all sums on the way, both modulo 65535 where only
 * nothing gives 0. Swapping the bytes of every word swaps those of both sums; so words are summed as they lie
 * in memory, each lane for itself. */
uint32_t recording_checksum(const unsigned char *data, size_t bytes)
{
    uint64_t low = 0, high = 0;
    while (bytes >= 2 * LANES) {
        uint32_t sum[LANES] = {0}, sums[LANES] = {0};
        uint16_t words[LANES];
        size_t steps = bytes / sizeof words < STEPS_MAX ? bytes / sizeof words : STEPS_MAX;
        for (size_t step = 0; step < steps; step++) {
            memcpy(words, data + step * sizeof words, sizeof words);
            for (size_t i = 0; i < LANES; i++) {
                sum[i] += words[i];
                sums[i] += sum[i];
            }
        }
        high += low * steps * LANES;
        for (size_t i = 0; i < LANES; i++) {
            low += sum[i];
            high += LANES * (uint64_t)sums[i] - i * (uint64_t)sum[i];
        }
        low = fold(low);
        high = fold(high);
        data += steps * sizeof words;
        bytes -= steps * sizeof words;
    }
    for (size_t i = 0; i < bytes; i += 2) {
        low += i + 1 < bytes ? (uint64_t)data[i + 1] << 8 | data[i] : data[i];
        high += low;
    }
    return (uint32_t)__builtin_bswap16((uint16_t)fold(high)) << 16 | __builtin_bswap16((uint16_t)fold(low));
}

/* Write the gathered chunk, which ends with row `rows` - 1. */
static int write_chunk(struct recording *self, struct track *track, uint64_t rows, uint32_t mask)
{
    hsize_t start[3] = {(rows - 1) - (rows - 1) % track->chunk_rows, 0, 0};
    size_t bytes = track->chunk_rows * track->row_bytes, used = (size_t)(rows - start[0]) * track->row_bytes;
    memset(track->chunk + used, 0, bytes - used);
    if (mask == WITH_CHECKSUM) {
        uint32_t checksum = recording_checksum(track->chunk, bytes);
        memcpy(track->chunk + bytes, &checksum, RECORDING_CHECKSUM_BYTES);
        bytes += RECORDING_CHECKSUM_BYTES;
    }
    if (rows > track->extent) {
        hsize_t dims[3];
        hid_t space = H5Dget_space(track->dataset);
        if (space < 0 || H5Sget_simple_extent_dims(space, dims, NULL) < 0) {
            hdf5_release(&space);
            return fail(self, "extend");
        }
        hdf5_release(&space);
        dims[0] = rows;
        if (H5Dset_extent(track->dataset, dims) < 0) {
            return fail(self, "extend");
        }
        track->extent = rows;
    }
    if (H5Dwrite_chunk(track->dataset, H5P_DEFAULT, mask, start, bytes, track->chunk) < 0) {
        return fail(self, "write");
    }
    track->tail = mask == WITH_CHECKSUM ? TAIL_SEALED : TAIL_LOOSE;
    return LOOM_OK;
}

static int append_rows(struct recording *self, struct track *track, uint64_t row, const unsigned char *data,
                       size_t n)
{
    while (n > 0) {
        size_t at = (size_t)(row % track->chunk_rows);
        size_t some = n < track->chunk_rows - at ? n : track->chunk_rows - at;
        memcpy(track->chunk + at * track->row_bytes, data, some * track->row_bytes);
        track->tail = TAIL_DIRTY;
        data += some * track->row_bytes;
        row += some;
        n -= some;
        if (at + some == track->chunk_rows) {
            int status = write_chunk(self, track, row, WITH_CHECKSUM);
            if (status != LOOM_OK) {
                return status;
            }
        }
    }
    return LOOM_OK;
}

/* The column of a metric, a new one if it has none yet; -1 if there are too many or the name is too long. */
static int metric_column(struct recording *self, struct tape *tape, const char *name, size_t *column)
{
    for (*column = 0; *column < RECORDING_METRICS; ++*column) {
        if (strcmp(tape->metrics[*column], name) == 0) {
            return LOOM_OK;
        }
        if (tape->metrics[*column][0] == '\0') {
            break;
        }
    }
    if (*column == RECORDING_METRICS || name[0] == '\0' || strlen(name) >= RECORDING_METRIC_BYTES) {
        return error_set(LOOM_EDATA,
                         "metric '%.80s' of %s does not fit into %s: up to %d names of 1 to %d bytes do",
                         name, tape->info.name, self->path, RECORDING_METRICS, RECORDING_METRIC_BYTES - 1);
    }
    strcpy(tape->metrics[*column], name);
    hid_t text = H5Dget_type(tape->names);
    int failed = text < 0 || H5Dwrite(tape->names, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, tape->metrics) < 0;
    hdf5_release(&text);
    return failed ? fail(self, "write metrics to") : LOOM_OK;
}

/* Write the metrics of a pass into its row. */
static int append_metrics(struct recording *self, struct tape *tape, const struct block *block)
{
    uint64_t pass = (block->seq + block->n - 1) / tape->info.pass;
    const hsize_t start[2] = {pass, 0}, count[2] = {1, RECORDING_METRICS};
    const hsize_t dims[2] = {pass < tape->passes ? tape->passes : pass + 1, RECORDING_METRICS};
    double row[RECORDING_METRICS];
    for (size_t m = 0; m < RECORDING_METRICS; m++) {
        row[m] = NAN;
    }
    for (size_t m = 0; m < block->n_metrics; m++) {
        size_t column;
        int status = metric_column(self, tape, block->metrics[m].name, &column);
        if (status != LOOM_OK) {
            return status;
        }
        row[column] = block->metrics[m].value;
    }
    if (dims[0] != tape->passes && H5Dset_extent(tape->values, dims) < 0) {
        return fail(self, "extend");
    }
    tape->passes = dims[0];
    hid_t memory = H5Screate_simple(2, count, NULL), space = H5Dget_space(tape->values);
    int failed = memory < 0 || space < 0 ||
                 H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
                 H5Dwrite(tape->values, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, row) < 0;
    hdf5_release(&space);
    hdf5_release(&memory);
    return failed ? fail(self, "write metrics to") : LOOM_OK;
}

int recording_append(struct recording *self, size_t s, const struct block *block)
{
    struct tape *tape = &self->tapes[s];
    if (self->failed) {
        return error_set(LOOM_EIO,
                         "%s could not be written before; start again to go on from what is durable",
                         self->path);
    }
    if (block->seq != self->first + tape->rows) {
        return error_set(LOOM_EDATA, "frame %" PRIu64 " of %s came for %s where frame %" PRIu64 " was due",
                         block->seq, tape->info.name, self->path, self->first + tape->rows);
    }
    if (block->n == 0) {
        return LOOM_OK;
    }
    uint64_t bytes = 0;
    for (size_t f = 0; f < tape->n_tracks; f++) { /* the chunks it fills, and later the last one, twice */
        const struct track *track = &tape->tracks[f];
        uint64_t chunk_bytes = track->chunk_rows * track->row_bytes + 2 * RECORDING_ALIGNMENT;
        bytes += (block->n / track->chunk_rows + 1) * chunk_bytes;
    }
    for (size_t i = 0; i < self->n_tapes; i++) {
        for (size_t f = 0; f < self->tapes[i].n_tracks; f++) {
            bytes += 2 * (self->tapes[i].tracks[f].chunk_rows * self->tapes[i].tracks[f].row_bytes +
                          2 * RECORDING_ALIGNMENT);
        }
    }
    int status = reserve(self, bytes);
    if (status != LOOM_OK) {
        return status;
    }
    self->dirty = true;
    for (size_t f = 0; status == LOOM_OK && f < tape->n_tracks; f++) {
        status = append_rows(self, &tape->tracks[f], tape->rows, block->fields[f], block->n);
    }
    if (status == LOOM_OK && block->n_metrics > 0 && tape->info.pass > 0) {
        status = append_metrics(self, tape, block);
    }
    if (status == LOOM_OK) {
        tape->rows += block->n;
    } else {
        self->failed = true; /* some of its fields may be in, others not */
    }
    return status;
}

/* ---- making it last ---- */

static int sync_file(struct recording *self)
{
    if (H5Fflush(self->file, H5F_SCOPE_GLOBAL) < 0) {
        return fail(self, "flush");
    }
    if (fdatasync(self->fd) < 0) {
        self->failed = true;
        return error_set(LOOM_EIO, "cannot sync %s: %s", self->path, strerror(errno));
    }
    return LOOM_OK;
}

/* Write unfinished chunks whose state on disk is `from`. */
static int write_tails(struct recording *self, enum tail from, uint32_t mask)
{
    for (size_t s = 0; s < self->n_tapes; s++) {
        struct tape *tape = &self->tapes[s];
        for (size_t f = 0; f < tape->n_tracks; f++) {
            struct track *track = &tape->tracks[f];
            if (track->tail != from || tape->rows % track->chunk_rows == 0) {
                continue;
            }
            int status = write_chunk(self, track, tape->rows, mask);
            if (status != LOOM_OK) {
                return status;
            }
        }
    }
    return LOOM_OK;
}

int recording_write_used(struct recording *self, uint64_t bytes)
{
    if (H5Dwrite(self->used_bytes, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &bytes) < 0) {
        return fail(self, "write");
    }
    return LOOM_OK;
}

/* Write how many rows are durable, now that they are. */
static int write_durable(struct recording *self)
{
    uint64_t rows[RECORDING_STREAMS_MAX];
    for (size_t s = 0; s < self->n_tapes; s++) {
        rows[s] = self->tapes[s].rows;
    }
    if (H5Dwrite(self->durable, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0) {
        return fail(self, "write");
    }
    return sync_file(self);
}

int recording_flush(struct recording *self)
{
    if (self->failed) {
        return error_set(LOOM_EIO,
                         "%s could not be written before; start again to go on from what is durable",
                         self->path);
    }
    if (!self->dirty) {
        return LOOM_OK;
    }
    hsize_t size;
    int status = recording_write_used(self, 0);
    if (status == LOOM_OK) {
        status = write_tails(self, TAIL_DIRTY, WITHOUT_CHECKSUM);
    }
    if (status == LOOM_OK) {
        status = sync_file(self);
    }
    if (status == LOOM_OK) {
        status = write_durable(self);
    }
    if (status == LOOM_OK && H5Fget_filesize(self->file, &size) < 0) {
        status = fail(self, "get the size of");
    }
    if (status == LOOM_OK) {
        status = recording_write_used(self, size);
    }
    if (status == LOOM_OK) {
        self->dirty = false;
    }
    return status;
}

static void release_datasets(struct recording *self)
{
    hdf5_release(&self->durable);
    hdf5_release(&self->used_bytes);
    for (size_t s = 0; s < self->n_tapes; s++) {
        hdf5_release(&self->tapes[s].names);
        hdf5_release(&self->tapes[s].values);
        for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
            hdf5_release(&self->tapes[s].tracks[f].dataset);
        }
    }
}

/* Close HDF5's side of it. */
static int close_file(struct recording *self)
{
    /* Closing writes metadata, so more than is noted now will be in use. */
    if (!self->failed && self->used_bytes >= 0 && recording_write_used(self, 0) != LOOM_OK) {
        return LOOM_EIO;
    }
    if (self->failed) {
        return LOOM_OK; /* see the top */
    }
    release_datasets(self);
    hid_t file = self->file;
    self->file = HDF5_NONE;
    if (file >= 0 && H5Fclose(file) < 0) {
        return hdf5_fail(LOOM_EIO, "cannot close %s", self->path);
    }
    return LOOM_OK;
}

/* How much longer the datasets are than what has been appended: rows that a killed writer had in the file
 * but not durable, and that did not come again (the run was stopped early). */
static bool is_longer(const struct recording *self)
{
    bool longer = false;
    for (size_t s = 0; s < self->n_tapes; s++) {
        for (size_t f = 0; f < self->tapes[s].n_tracks; f++) {
            longer = longer || self->tapes[s].tracks[f].extent > self->tapes[s].rows;
        }
    }
    return longer;
}

static int cut_tape(struct recording *self, const struct tape *tape, const char *group)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    stream_fields(&tape->info, fields);
    for (size_t f = 0; f < tape->n_tracks; f++) {
        struct recording_shape shape = recording_shape(&tape->info, f, 0);
        char name[RECORDING_GROUP_BYTES + 8];
        snprintf(name, sizeof name, "%s/%s", group, fields[f].name);
        shape.dims[0] = tape->rows;
        hid_t dataset = H5Dopen2(self->file, name, H5P_DEFAULT);
        int failed = dataset < 0 || H5Dset_extent(dataset, shape.dims) < 0;
        hdf5_release(&dataset);
        if (failed) {
            return hdf5_fail(LOOM_EIO, "cannot cut %s of %s", name, self->path);
        }
    }
    return LOOM_OK;
}

/* How many frames are held, and if that has been learned, of how many. */
static int describe_end(struct recording *self, const struct tape *tape, const char *name)
{
    hid_t group = H5Gopen2(self->file, name, H5P_DEFAULT);
    if (group < 0) {
        return hdf5_fail(LOOM_EIO, "cannot open the group %s of %s", name, self->path);
    }
    int status = LOOM_OK;
    if (H5Aexists(group, "frames") > 0) { /* files of earlier versions have none */
        status = hdf5_change_integer(group, self->path, "frames", (int64_t)tape->rows);
    }
    if (status == LOOM_OK && tape->ended) {
        status = hdf5_change_integer(group, self->path, "total", (int64_t)tape->info.total);
    }
    hdf5_release(&group);
    return status;
}

/* What can only be done without readers: datasets must not shrink beside them, nor attributes change. If
 * somebody has the file open, the attributes stay as they are. */
static int settle(struct recording *self)
{
    bool longer = is_longer(self);
    struct stream_info streams[RECORDING_STREAMS_MAX];
    for (size_t s = 0; s < self->n_tapes; s++) {
        streams[s] = self->tapes[s].info;
    }
    (void)recording_await_readers(self->fd); /* if one stays, HDF5 finds that out itself */
    hid_t access = recording_access(false);
    self->file = access < 0 ? HDF5_NONE : H5Fopen(self->path, H5F_ACC_RDWR, access);
    hdf5_release(&access);
    if (self->file < 0) {
        int status = hdf5_fail(LOOM_EIO, "cannot finish %s", self->path);
        return longer ? status : LOOM_OK;
    }
    int status = LOOM_OK;
    for (size_t s = 0; status == LOOM_OK && s < self->n_tapes; s++) {
        char group[RECORDING_GROUP_BYTES];
        recording_group(group, streams, self->n_tapes, s);
        status = longer ? cut_tape(self, &self->tapes[s], group) : LOOM_OK;
        if (status == LOOM_OK) {
            status = describe_end(self, &self->tapes[s], group);
        }
    }
    int closed = close_file(self);
    return status != LOOM_OK ? status : closed;
}

void recording_set_total(struct recording *self, size_t s, uint64_t total)
{
    struct tape *tape = &self->tapes[s];
    tape->ended = tape->ended || tape->info.total != total;
    tape->info.total = total;
}

int recording_close(struct recording **self_p)
{
    struct recording *self = *self_p;
    int status = recording_flush(self);
    if (status == LOOM_OK) {
        status = write_tails(self, TAIL_DIRTY, WITHOUT_CHECKSUM); /* of a file that was only reopened */
    }
    if (status == LOOM_OK) {
        status = write_tails(self, TAIL_LOOSE, WITH_CHECKSUM);
    }
    int closed = close_file(self);
    if (status == LOOM_OK) {
        status = closed;
    }
    if (status == LOOM_OK) {
        status = settle(self);
    }
    if (status == LOOM_OK && fsync(self->fd) < 0) {
        status = error_set(LOOM_EIO, "cannot sync %s: %s", self->path, strerror(errno));
    }
    recording_destroy(self_p);
    return status;
}

void recording_destroy(struct recording **self_p)
{
    struct recording *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (close_file(self) != LOOM_OK) {
        H5Eclear2(H5E_DEFAULT);
    }
    struct stat about;
    if (self->fd >= 0 && fstat(self->fd, &about) == 0 && ftruncate(self->fd, about.st_size) < 0) {
        /* Space that was reserved and not used stays with the file: harmless. */
    }
    if (self->fd >= 0) {
        close(self->fd);
    }
    for (size_t s = 0; s < self->n_tapes; s++) {
        for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
            free(self->tapes[s].tracks[f].chunk);
        }
    }
    free(self->tapes);
    free(self->path);
    free(self);
    *self_p = NULL;
}

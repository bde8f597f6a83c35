/* See recording_state.h: opening a recording, new or old, whole or left behind by a killed writer.
 *
 * A file whose writer was killed has two flags set in its superblock, and the size it knows may lag behind
 * the real one. Opening clears the flags (the private property that h5clear uses), and has new space begin
 * behind all there is. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hdf5_file.h"
#include "recording_state.h"

#define LOCK_TRIES 10   /* a writer that has just been killed may take a moment to be gone */
#define READER_TRIES 50 /* a reader holds HDF5's lock while it opens the file; with SWMR not for longer */
#define LOCK_PAUSE_US 100000
#define FLAG_WRITE 1U /* in the superblock: open for writing, */
#define FLAG_SWMR 4U  /* with readers beside */

hid_t recording_access(bool swmr)
{
    H5AC_cache_config_t cache = {.version = H5AC__CURR_CACHE_CONFIG_VERSION};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0 || H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_LATEST) < 0 ||
        H5Pset_alignment(access, 1, RECORDING_ALIGNMENT) < 0 || H5Pset_meta_block_size(access, 0) < 0 ||
        H5Pset_small_data_block_size(access, 0) < 0 || H5Pset_cache(access, 0, 1, 0, 1.0) < 0 ||
        H5Pget_mdc_config(access, &cache) < 0) {
        goto fail;
    }
    /* Bad metadata is read again 100 times at growing intervals under SWMR; but the only writer is this one.
     */
    if (H5Pset_metadata_read_attempts(access, 1) < 0) {
        goto fail;
    }
    cache.incr_mode = H5C_incr__off; /* all three are needed for metadata to stay in memory between flushes */
    cache.flash_incr_mode = H5C_flash_incr__off;
    cache.decr_mode = H5C_decr__off;
    cache.evictions_enabled = !swmr;
    if (H5Pset_mdc_config(access, &cache) < 0) {
        goto fail;
    }
    return access;
fail:
    hdf5_release(&access);
    return HDF5_NONE;
}

bool recording_await_readers(int fd)
{
    int locked = flock(fd, LOCK_EX | LOCK_NB);
    for (int i = 0; i < READER_TRIES && locked < 0 && errno == EWOULDBLOCK; i++) {
        usleep(LOCK_PAUSE_US);
        locked = flock(fd, LOCK_EX | LOCK_NB);
    }
    bool open = locked < 0 && errno == EWOULDBLOCK; /* other errors: a file system without locks */
    flock(fd, LOCK_UN);
    return !open;
}

/* One writer at a time. An open-file-description lock leaves HDF5's own locks alone and ends with the
 * process. */
static int lock(struct recording *self)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    self->fd = open(self->path, O_RDWR | O_CLOEXEC);
    if (self->fd < 0) {
        return error_set(LOOM_EIO, "cannot open %s: %s", self->path, strerror(errno));
    }
    int locked = fcntl(self->fd, F_OFD_SETLK, &whole);
    for (int i = 0; i < LOCK_TRIES && locked < 0 && (errno == EAGAIN || errno == EACCES); i++) {
        usleep(LOCK_PAUSE_US);
        locked = fcntl(self->fd, F_OFD_SETLK, &whole);
    }
    if (locked < 0 && (errno == EAGAIN || errno == EACCES)) {
        return error_set(LOOM_EIO,
                         "%s is being recorded by another process; stop that one, or name another file",
                         self->path);
    }
    if (!recording_await_readers(self->fd)) {
        return error_set(LOOM_EIO,
                         "%s is open in another program; close it there (h5py: open it with swmr=True)",
                         self->path);
    }
    return LOOM_OK;
}

/* The flags of the superblock (version 3, at the beginning of the file). */
static unsigned status_flags(int fd)
{
    unsigned char superblock[12];
    bool there = pread(fd, superblock, sizeof superblock, 0) == sizeof superblock && superblock[8] == 3;
    return there ? superblock[11] : 0;
}

bool recording_is_open(int fd)
{
    return status_flags(fd) != 0;
}

bool recording_is_open_alone(int fd)
{
    unsigned flags = status_flags(fd);
    return (flags & FLAG_WRITE) != 0 && (flags & FLAG_SWMR) == 0;
}

/* Cut off what a killed writer had written since its last flush: nothing refers to it. If it was killed in
 * the middle of a flush, or the file is damaged, nothing is done. */
static void give_back(const struct recording *self)
{
    uint64_t used = 0;
    struct stat about;
    hid_t access = recording_access(true);
    hid_t file = access < 0 ? HDF5_NONE : H5Fopen(self->path, H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access);
    hid_t dataset = file < 0 ? HDF5_NONE : H5Dopen2(file, "used_bytes", H5P_DEFAULT);
    if (dataset >= 0 && H5Dget_storage_size(dataset) == sizeof used + RECORDING_CHECKSUM_BYTES &&
        H5Dread(dataset, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &used) < 0) {
        used = 0;
    }
    hdf5_release(&dataset);
    if (file >= 0) {
        H5Fclose(file);
    }
    hdf5_release(&access);
    if (used > 0 && fstat(self->fd, &about) == 0 && used < (uint64_t)about.st_size &&
        ftruncate(self->fd, (off_t)used) < 0) {
        /* The file stays larger than need be: harmless. */
    }
}

static int open_file(struct recording *self)
{
    bool killed = recording_is_open(self->fd); /* as only one can hold the lock */
    if (killed) {
        give_back(self);
    }
    hid_t access = recording_access(true);
    /* Without HDF5's own lock: a reader that is just opening the file might hold it. */
    if (access < 0 || H5Pset_file_locking(access, 0, 1) < 0 || (killed && hdf5_allow_left(access) < 0)) {
        int status = hdf5_fail(LOOM_EINTERNAL, "cannot prepare the opening of %s", self->path);
        hdf5_release(&access);
        return status;
    }
    self->file = H5Fopen(self->path, H5F_ACC_RDWR | H5F_ACC_SWMR_WRITE, access);
    int status = LOOM_OK;
    if (self->file < 0 || (killed && H5Fincrement_filesize(self->file, 0) < 0)) {
        status = hdf5_fail(LOOM_EDATA, "%s is damaged and cannot be continued; move it aside to record anew",
                           self->path);
    }
    hdf5_release(&access);
    return status;
}

bool recording_fits(struct track *track, const struct recording_shape *shape)
{
    hsize_t dims[H5S_MAX_RANK], chunk[H5S_MAX_RANK];
    hid_t space = H5Dget_space(track->dataset), type = H5Dget_type(track->dataset);
    hid_t creation = H5Dget_create_plist(track->dataset);
    bool same = space >= 0 && type >= 0 && creation >= 0 && H5Tequal(type, shape->type) > 0 &&
                H5Sget_simple_extent_ndims(space) == shape->rank &&
                H5Sget_simple_extent_dims(space, dims, NULL) >= 0 && H5Pget_layout(creation) == H5D_CHUNKED &&
                H5Pget_chunk(creation, shape->rank, chunk) == shape->rank;
    for (int d = 1; same && d < shape->rank; d++) {
        same = dims[d] == shape->dims[d] && chunk[d] == shape->dims[d];
    }
    if (same) {
        track->extent = dims[0];
        track->chunk_rows = chunk[0];
        track->rank = shape->rank;
    }
    hdf5_release(&creation);
    hdf5_release(&type);
    hdf5_release(&space);
    return same;
}

/* Get the rows of the unfinished chunk back. */
static int load_tail(struct recording *self, struct track *track, uint64_t rows)
{
    hsize_t start[3] = {rows - rows % track->chunk_rows, 0, 0}, count[3] = {rows % track->chunk_rows, 0, 0};
    track->tail = count[0] == 0 && track->extent == rows ? TAIL_SEALED : TAIL_DIRTY;
    if (count[0] == 0) {
        return LOOM_OK;
    }
    int status = LOOM_OK;
    hsize_t dims[3];
    hid_t type = H5Dget_type(track->dataset), space = H5Dget_space(track->dataset), memory = HDF5_NONE;
    if (type < 0 || space < 0 || H5Sget_simple_extent_dims(space, dims, NULL) < 0) {
        goto fail;
    }
    for (int d = 1; d < track->rank; d++) {
        count[d] = dims[d];
    }
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        (memory = H5Screate_simple(track->rank, count, NULL)) < 0 ||
        H5Dread(track->dataset, type, memory, space, H5P_DEFAULT, track->chunk) < 0) {
        goto fail;
    }
    goto done;
fail:
    status = hdf5_fail(LOOM_EDATA, "rows from %" PRIu64 " of %s are damaged; move it aside to record anew",
                       (uint64_t)start[0], self->path);
done:
    hdf5_release(&memory);
    hdf5_release(&space);
    hdf5_release(&type);
    return status;
}

static int open_tracks(struct recording *self, struct tape *tape, const char *group)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    size_t n_fields = stream_fields(&tape->info, fields);
    for (size_t f = 0; f < n_fields; f++) {
        struct track *track = &tape->tracks[f];
        struct recording_shape shape = recording_shape(&tape->info, f, 0);
        char name[RECORDING_GROUP_BYTES + 8];
        snprintf(name, sizeof name, "%s/%s", group, fields[f].name);
        track->row_bytes = fields[f].row_bytes;
        track->dataset = H5Dopen2(self->file, name, H5P_DEFAULT);
        if (track->dataset < 0 || !recording_fits(track, &shape) || track->extent < tape->rows) {
            return hdf5_fail(LOOM_EDATA,
                             "the dataset %s of %s is damaged; move the file aside to record anew", name,
                             self->path);
        }
        track->chunk = calloc(track->chunk_rows * track->row_bytes + RECORDING_CHECKSUM_BYTES, 1);
        if (track->chunk == NULL) {
            return error_set(LOOM_EINTERNAL, "out of memory while opening %s", self->path);
        }
        int status = load_tail(self, track, tape->rows);
        if (status != LOOM_OK) {
            return status;
        }
    }
    return LOOM_OK;
}

static int open_metrics(struct recording *self, struct tape *tape)
{
    char name[RECORDING_GROUP_BYTES + 16];
    hsize_t rows[2];
    snprintf(name, sizeof name, "metrics/%s/names", tape->info.name);
    tape->names = H5Dopen2(self->file, name, H5P_DEFAULT);
    snprintf(name, sizeof name, "metrics/%s/values", tape->info.name);
    tape->values = tape->names < 0 ? HDF5_NONE : H5Dopen2(self->file, name, H5P_DEFAULT);
    hid_t space = tape->values < 0 ? HDF5_NONE : H5Dget_space(tape->values);
    hid_t text = tape->names < 0 ? HDF5_NONE : H5Dget_type(tape->names);
    int status = LOOM_OK;
    if (space < 0 || text < 0 || H5Sget_simple_extent_ndims(space) != 2 ||
        H5Sget_simple_extent_dims(space, rows, NULL) < 0 || rows[1] != RECORDING_METRICS ||
        H5Tget_size(text) != RECORDING_METRIC_BYTES || H5Tis_variable_str(text) > 0 ||
        H5Dget_storage_size(tape->names) != sizeof tape->metrics + RECORDING_CHECKSUM_BYTES ||
        H5Dread(tape->names, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, tape->metrics) < 0) {
        status =
            hdf5_fail(LOOM_EDATA, "the metrics of %s in %s are damaged; move the file aside to record anew",
                      tape->info.name, self->path);
    } else {
        tape->passes = rows[0];
    }
    for (size_t m = 0; m < RECORDING_METRICS; m++) {
        tape->metrics[m][RECORDING_METRIC_BYTES - 1] = '\0';
    }
    hdf5_release(&text);
    hdf5_release(&space);
    return status;
}

static int open_tape(struct recording *self, size_t s, const struct stream_info *streams)
{
    struct tape *tape = &self->tapes[s];
    char group[RECORDING_GROUP_BYTES], id[STREAM_ID_BYTES];
    recording_group(group, streams, self->n_tapes, s);
    hid_t object = H5Gopen2(self->file, group, H5P_DEFAULT);
    if (object < 0) {
        return hdf5_fail(LOOM_EDATA, "%s has no stream %s; move it aside, or name another file", self->path,
                         group);
    }
    int status = hdf5_read_text(object, self->path, "id", id, sizeof id);
    hdf5_release(&object);
    if (status != LOOM_OK) {
        return status;
    }
    if (strcmp(id, tape->info.id) != 0) {
        return error_set(
            LOOM_EDATA,
            "%s holds %s of the stream with id %s, but %s now has id %s: something that makes it has "
            "changed; move the file aside, or name another",
            self->path, group, id, tape->info.name, tape->info.id);
    }
    status = open_tracks(self, tape, group);
    if (status == LOOM_OK && tape->info.pass > 0) {
        status = open_metrics(self, tape);
    }
    return status;
}

/* Check the root, and get how many rows of each stream are durable. */
static int open_root(struct recording *self, uint64_t *rows)
{
    int64_t first;
    int status = hdf5_read_integers(self->file, self->path, "first", &first, 1);
    if (status != LOOM_OK) {
        return error_prefix(status, "%s is not a recording", self->path);
    }
    if (first != (int64_t)self->first) {
        return error_set(LOOM_EDATA,
                         "%s begins with frame %" PRId64 ", but frame %" PRIu64
                         " is to be the first; move it aside, or name another file",
                         self->path, first, self->first);
    }
    hsize_t n[H5S_MAX_RANK] = {0};
    self->durable = H5Dopen2(self->file, "durable", H5P_DEFAULT);
    self->used_bytes = self->durable < 0 ? HDF5_NONE : H5Dopen2(self->file, "used_bytes", H5P_DEFAULT);
    hid_t space = self->used_bytes < 0 ? HDF5_NONE : H5Dget_space(self->durable);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, n, NULL);
    hdf5_release(&space);
    if (rank != 1 || H5Dget_storage_size(self->used_bytes) != sizeof(uint64_t) + RECORDING_CHECKSUM_BYTES) {
        return hdf5_fail(LOOM_EDATA, "%s has no list of durable rows; move it aside to record anew",
                         self->path);
    }
    if (n[0] != self->n_tapes) {
        return error_set(LOOM_EDATA,
                         "%s holds %llu streams, but %zu are to be recorded; move it aside, or name another",
                         self->path, (unsigned long long)n[0], self->n_tapes);
    }
    if (H5Dread(self->durable, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0) {
        return hdf5_fail(LOOM_EDATA,
                         "the list of durable rows of %s is damaged; move it aside to record anew",
                         self->path);
    }
    return LOOM_OK;
}

int recording_open(struct recording *self, uint64_t *rows)
{
    struct stream_info streams[RECORDING_STREAMS_MAX];
    for (size_t s = 0; s < self->n_tapes; s++) {
        streams[s] = self->tapes[s].info;
    }
    int status = lock(self);
    if (status == LOOM_OK) {
        status = hdf5_check(self->path);
    }
    if (status == LOOM_OK) {
        status = open_file(self);
    }
    if (status == LOOM_OK) {
        status = open_root(self, rows);
    }
    for (size_t s = 0; status == LOOM_OK && s < self->n_tapes; s++) {
        self->tapes[s].rows = rows[s];
        status = open_tape(self, s, streams);
    }
    hsize_t size = 0;
    if (status == LOOM_OK && H5Fget_filesize(self->file, &size) < 0) {
        status = hdf5_fail(LOOM_EIO, "cannot get the size of %s", self->path);
    }
    self->reserved = size;
    return status == LOOM_OK ? recording_write_used(self, size) : status;
}

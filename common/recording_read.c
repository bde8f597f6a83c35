/* See recording_read.h.
 *
 * HDF5 finds the chunks; what is in them is checked here. It gives zeros for what lies beyond the end of a
 * file that was cut off, and zeros have the checksum zero: so a chunk that has no checksum, or that is all
 * zeros, must lie within the file. (That is looked up for these only: HDF5 1.10 goes through all chunks to
 * find the place of one.) */
#include "recording_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hdf5_file.h"
#include "recording_state.h"

#define SUPERBLOCK_EOF_OFFSET 28 /* in a superblock of version 3: the file's size */
#define CHUNK_BYTES_MAX ((uint64_t)1 << 30)
#define NO_CHUNK UINT64_MAX
#define REOPEN_TRIES 20 /* while a writer closes its file, it cannot be opened for a moment */
#define REOPEN_PAUSE_US 50000
#define ATTEMPTS                                                                                             \
    24 /* to read metadata; HDF5 pauses 1 ns after the first, and then always twice as long as before */

struct spool { /* one field of a stream */
    struct track track;
    uint64_t loaded; /* number of the chunk in track.chunk, or NO_CHUNK */
};

struct reel { /* one stream */
    struct stream_info info;
    char group[RECORDING_GROUP_BYTES];
    uint64_t rows;
    size_t n_spools;
    struct spool spools[STREAM_FIELDS_MAX];
    hid_t values; /* of metrics; HDF5_NONE without */
    uint64_t passes;
    char metrics[RECORDING_METRICS][RECORDING_METRIC_BYTES];
};

struct recording_reader {
    char *path;
    int fd;
    hid_t file;
    uint64_t first;
    enum recording_condition condition;
    size_t n_reels;
    struct reel *reels;
};

static int damaged(const struct recording_reader *self, const char *what)
{
    return hdf5_fail(LOOM_EDATA, "%s of %s is missing or damaged", what, self->path);
}

/* ---- opening ---- */

/* Whether a recorder has it open. */
static bool is_locked(int fd)
{
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

/* A closed file knows its size. */
static int check_size(const struct recording_reader *self)
{
    struct stat about;
    uint64_t end;
    if (self->condition != RECORDING_CLOSED ||
        pread(self->fd, &end, sizeof end, SUPERBLOCK_EOF_OFFSET) != sizeof end ||
        fstat(self->fd, &about) < 0 || (uint64_t)about.st_size >= end) {
        return LOOM_OK;
    }
    return error_set(LOOM_EDATA, "%s is cut off: it has %jd of its %" PRIu64 " bytes; copy it again",
                     self->path, (intmax_t)about.st_size, end);
}

/* A file that says that somebody writes to it without SWMR, as a recorder does when it closes it: it can be
 * read only if that was killed. */
static int check_left(const struct recording_reader *self)
{
    if (self->condition == RECORDING_LIVE) {
        return error_set(LOOM_EDATA, "%s is just being closed by its recorder; look again", self->path);
    }
    if (flock(self->fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        return error_set(LOOM_EDATA, "%s is open for writing in another program; close it there", self->path);
    }
    flock(self->fd, LOCK_UN);
    return LOOM_OK;
}

static int open_file(struct recording_reader *self)
{
    int status = hdf5_check(self->path);
    if (status != LOOM_OK) {
        return status;
    }
    self->fd = open(self->path, O_RDONLY | O_CLOEXEC);
    if (self->fd < 0) {
        return error_set(LOOM_EIO, "cannot open %s: %s", self->path, strerror(errno));
    }
    bool locked = is_locked(self->fd), open_for_writing = recording_is_open(self->fd);
    self->condition = locked ? RECORDING_LIVE : open_for_writing ? RECORDING_KILLED : RECORDING_CLOSED;
    status = check_size(self);
    if (status != LOOM_OK) {
        return status;
    }
    bool alone = recording_is_open_alone(self->fd);
    status = alone ? check_left(self) : LOOM_OK;
    if (status != LOOM_OK) {
        return status;
    }
    hid_t access = recording_access(false);
    unsigned attempts = locked ? ATTEMPTS : 1; /* beside a writer, metadata may be caught half-written */
    if (access >= 0 && H5Pset_metadata_read_attempts(access, attempts) >= 0 &&
        H5Pset_file_locking(access, 0, 1) >= 0 && /* or a writer that comes back might find it locked */
        (!alone || hdf5_allow_left(access) >= 0)) {
        self->file = H5Fopen(self->path, H5F_ACC_RDONLY | (alone ? 0 : H5F_ACC_SWMR_READ), access);
    }
    status = self->file >= 0 ? LOOM_OK : hdf5_fail(LOOM_EDATA, "%s is damaged, or no recording", self->path);
    hdf5_release(&access);
    return status;
}

/* ---- what is in it ---- */

static enum stream_kind kind_of(const char *name)
{
    for (int kind = STREAM_FRAMES; kind <= STREAM_ACTIVATIONS; kind++) {
        if (strcmp(name, stream_kind_name((enum stream_kind)kind)) == 0) {
            return (enum stream_kind)kind;
        }
    }
    return STREAM_NONE;
}

/* The shape of a frame is that of the stream's first dataset. */
static int read_shape(const struct recording_reader *self, struct reel *reel)
{
    struct stream_info *info = &reel->info;
    char name[RECORDING_GROUP_BYTES + 8];
    snprintf(name, sizeof name, "%s/%s", reel->group, info->kind == STREAM_CODES ? "index" : "data");
    hid_t dataset = H5Dopen2(self->file, name, H5P_DEFAULT);
    hid_t space = dataset < 0 ? HDF5_NONE : H5Dget_space(dataset);
    hid_t type = dataset < 0 ? HDF5_NONE : H5Dget_type(dataset);
    hsize_t dims[H5S_MAX_RANK] = {0};
    int rank = space < 0 || type < 0 ? -1 : H5Sget_simple_extent_dims(space, dims, NULL);
    info->dtype = rank == 3 && H5Tequal(type, H5T_STD_U8LE) > 0 ? STREAM_U1 : STREAM_F4;
    hdf5_release(&type);
    hdf5_release(&space);
    hdf5_release(&dataset);
    if (rank != (info->kind == STREAM_FRAMES ? 3 : 2)) {
        return damaged(self, name);
    }
    if (info->kind == STREAM_FRAMES) {
        info->height = dims[1];
        info->width = dims[2];
        snprintf(name, sizeof name, "%s/at", reel->group);
        info->at = H5Lexists(self->file, name, H5P_DEFAULT) > 0;
    } else if (info->kind == STREAM_CODES) {
        info->winners = dims[1];
    }
    return LOOM_OK;
}

/* Attributes that recordings of earlier versions, or of streams that do not tell, have not. */
static int read_extras(const struct recording_reader *self, hid_t group, struct stream_info *info)
{
    int status = LOOM_OK;
    int64_t repeats = 0;
    if (H5Aexists(group, "body") > 0) {
        status = hdf5_read_text(group, self->path, "body", info->body, sizeof info->body);
    }
    if (status == LOOM_OK && H5Aexists(group, "layer") > 0) {
        status = hdf5_read_text(group, self->path, "layer", info->layer, sizeof info->layer);
    }
    if (status == LOOM_OK && H5Aexists(group, "repeats") > 0) {
        status = hdf5_read_integers(group, self->path, "repeats", &repeats, 1);
    }
    info->repeats = repeats != 0;
    return status;
}

static int read_info(const struct recording_reader *self, hid_t group, struct reel *reel)
{
    struct stream_info *info = &reel->info;
    char kind[STREAM_NAME_BYTES];
    int64_t pass = 0, total = 0, grid[2] = {0, 0};
    const struct {
        const char *name;
        char *text;
        size_t size;
    } texts[] = {{"id", info->id, sizeof info->id},
                 {"stage", info->stage, sizeof info->stage},
                 {"name", info->name, sizeof info->name},
                 {"kind", kind, sizeof kind}};
    int status = LOOM_OK;
    for (size_t i = 0; status == LOOM_OK && i < sizeof texts / sizeof texts[0]; i++) {
        status = hdf5_read_text(group, self->path, texts[i].name, texts[i].text, texts[i].size);
    }
    if (status == LOOM_OK) {
        status = hdf5_read_integers(group, self->path, "pass", &pass, 1);
    }
    if (status == LOOM_OK) {
        status = hdf5_read_integers(group, self->path, "total", &total, 1);
    }
    if (status == LOOM_OK) {
        info->kind = kind_of(kind);
        info->pass = pass < 0 ? 0 : (uint64_t)pass;
        info->total = total < 0 ? UINT64_MAX : (uint64_t)total;
        status = info->kind == STREAM_FRAMES || info->kind == STREAM_NONE
                     ? LOOM_OK
                     : hdf5_read_integers(group, self->path, "grid", grid, 2);
    }
    info->grid_x = grid[0] < 0 ? 0 : (size_t)grid[0];
    info->grid_y = grid[1] < 0 ? 0 : (size_t)grid[1];
    if (status == LOOM_OK) {
        status = read_extras(self, group, info);
    }
    if (status == LOOM_OK && info->kind != STREAM_NONE) {
        status = read_shape(self, reel);
    }
    if (status == LOOM_OK) {
        info->block = 1; /* so that the rest can be checked */
        status = stream_info_check(info);
        info->block = 0;
    }
    return status;
}

static int open_spools(const struct recording_reader *self, struct reel *reel)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    reel->n_spools = stream_fields(&reel->info, fields);
    for (size_t f = 0; f < reel->n_spools; f++) {
        struct spool *spool = &reel->spools[f];
        struct track *track = &spool->track;
        struct recording_shape shape = recording_shape(&reel->info, f, 0);
        char name[RECORDING_GROUP_BYTES + 8];
        snprintf(name, sizeof name, "%s/%s", reel->group, fields[f].name);
        spool->loaded = NO_CHUNK;
        track->row_bytes = fields[f].row_bytes;
        track->dataset = H5Dopen2(self->file, name, H5P_DEFAULT);
        if (track->dataset < 0 || !recording_fits(track, &shape) || track->chunk_rows == 0 ||
            track->chunk_rows > CHUNK_BYTES_MAX / track->row_bytes) {
            return damaged(self, name);
        }
        if (track->extent < reel->rows) {
            return error_set(LOOM_EDATA, "%s of %s has %" PRIu64 " rows, but /durable tells of %" PRIu64,
                             name, self->path, track->extent, reel->rows);
        }
        track->chunk = malloc(track->chunk_rows * track->row_bytes + RECORDING_CHECKSUM_BYTES);
        if (track->chunk == NULL) {
            return error_set(LOOM_EINTERNAL, "out of memory while opening %s", self->path);
        }
    }
    return LOOM_OK;
}

static int open_metrics(const struct recording_reader *self, struct reel *reel)
{
    char name[RECORDING_GROUP_BYTES + 16];
    hsize_t dims[H5S_MAX_RANK] = {0};
    snprintf(name, sizeof name, "metrics/%s", reel->info.name);
    if (reel->info.pass == 0 || H5Lexists(self->file, "metrics", H5P_DEFAULT) <= 0 ||
        H5Lexists(self->file, name, H5P_DEFAULT) <= 0) {
        return LOOM_OK;
    }
    snprintf(name, sizeof name, "metrics/%s/names", reel->info.name);
    hid_t names = H5Dopen2(self->file, name, H5P_DEFAULT);
    hid_t type = names < 0 ? HDF5_NONE : H5Dget_type(names);
    hid_t names_space = names < 0 ? HDF5_NONE : H5Dget_space(names);
    bool good = type >= 0 && names_space >= 0 && H5Tget_class(type) == H5T_STRING &&
                H5Tis_variable_str(type) <= 0 && H5Tget_size(type) == RECORDING_METRIC_BYTES &&
                H5Sget_simple_extent_npoints(names_space) == RECORDING_METRICS &&
                H5Dread(names, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, reel->metrics) >= 0;
    hdf5_release(&names_space);
    hdf5_release(&type);
    hdf5_release(&names);
    snprintf(name, sizeof name, "metrics/%s/values", reel->info.name);
    reel->values = good ? H5Dopen2(self->file, name, H5P_DEFAULT) : HDF5_NONE;
    hid_t space = reel->values < 0 ? HDF5_NONE : H5Dget_space(reel->values);
    good = space >= 0 && H5Sget_simple_extent_dims(space, dims, NULL) == 2 && dims[1] == RECORDING_METRICS;
    hdf5_release(&space);
    reel->passes = dims[0];
    for (size_t m = 0; m < RECORDING_METRICS; m++) {
        reel->metrics[m][RECORDING_METRIC_BYTES - 1] = '\0';
    }
    return good ? LOOM_OK : damaged(self, name);
}

static int open_reel(const struct recording_reader *self, struct reel *reel)
{
    hid_t group = H5Gopen2(self->file, reel->group, H5P_DEFAULT);
    if (group < 0) {
        return damaged(self, reel->group);
    }
    int status = read_info(self, group, reel);
    hdf5_release(&group);
    if (status == LOOM_OK) {
        status = open_spools(self, reel);
    }
    return status == LOOM_OK ? open_metrics(self, reel) : status;
}

static int read_durable(const struct recording_reader *self)
{
    uint64_t rows[RECORDING_STREAMS_MAX] = {0};
    hid_t durable = H5Dopen2(self->file, "durable", H5P_DEFAULT);
    hid_t space = durable < 0 ? HDF5_NONE : H5Dget_space(durable);
    int failed = space < 0 || H5Sget_simple_extent_npoints(space) != (hssize_t)self->n_reels ||
                 H5Dread(durable, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0;
    hdf5_release(&space);
    hdf5_release(&durable);
    if (failed) {
        return damaged(self, "the list of durable rows");
    }
    for (size_t s = 0; s < self->n_reels; s++) {
        self->reels[s].rows = rows[s];
        if (rows[s] > INT64_MAX - self->first) {
            return error_set(LOOM_EDATA, "the list of durable rows of %s is damaged", self->path);
        }
    }
    return LOOM_OK;
}

static int open_contents(struct recording_reader *self)
{
    static char groups[RECORDING_STREAMS_MAX][RECORDING_GROUP_BYTES];
    int64_t first = 0;
    int status = hdf5_read_integers(self->file, self->path, "first", &first, 1);
    if (status == LOOM_OK) {
        status = hdf5_read_texts(self->file, self->path, "streams", groups[0], sizeof groups[0],
                                 RECORDING_STREAMS_MAX, &self->n_reels);
    }
    if (status == LOOM_OK && (first < 0 || self->n_reels == 0)) {
        status = error_set(LOOM_EDATA, "it has no streams");
    }
    if (status != LOOM_OK) {
        self->n_reels = 0;
        return error_prefix(status, "%s is not a recording", self->path);
    }
    self->first = (uint64_t)first;
    self->reels = calloc(self->n_reels, sizeof *self->reels);
    if (self->reels == NULL) {
        self->n_reels = 0;
        return error_set(LOOM_EINTERNAL, "out of memory while opening %s", self->path);
    }
    for (size_t s = 0; s < self->n_reels; s++) {
        struct reel *reel = &self->reels[s];
        memcpy(reel->group, groups[s], sizeof reel->group);
        reel->values = HDF5_NONE;
        for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
            reel->spools[f].track.dataset = HDF5_NONE;
        }
    }
    status = read_durable(self);
    for (size_t s = 0; status == LOOM_OK && s < self->n_reels; s++) {
        status = open_reel(self, &self->reels[s]);
    }
    return status;
}

/* Close what open_all has opened; the path stays. */
static void close_all(struct recording_reader *self)
{
    for (size_t s = 0; s < self->n_reels; s++) {
        hdf5_release(&self->reels[s].values);
        for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
            hdf5_release(&self->reels[s].spools[f].track.dataset);
            free(self->reels[s].spools[f].track.chunk);
        }
    }
    if (self->file >= 0) {
        H5Fclose(self->file);
    }
    if (self->fd >= 0) {
        close(self->fd);
    }
    free(self->reels);
    self->reels = NULL;
    self->n_reels = 0;
    self->file = HDF5_NONE;
    self->fd = -1;
}

static int open_all(struct recording_reader *self)
{
    int status = open_file(self);
    if (status == LOOM_OK) {
        status = open_contents(self);
    }
    if (status != LOOM_OK) {
        close_all(self);
    }
    return status;
}

int recording_reader_new(struct recording_reader **self_p, const char *path)
{
    hdf5_quiet();
    *self_p = NULL;
    struct recording_reader *self = calloc(1, sizeof *self);
    if (self == NULL || (self->path = strdup(path)) == NULL) {
        free(self);
        return error_set(LOOM_EINTERNAL, "out of memory while opening %s", path);
    }
    self->fd = -1;
    self->file = HDF5_NONE;
    int status = open_all(self);
    if (status != LOOM_OK) {
        recording_reader_destroy(&self);
    }
    *self_p = self;
    return status;
}

void recording_reader_destroy(struct recording_reader **self_p)
{
    struct recording_reader *self = *self_p;
    if (self != NULL) {
        close_all(self);
        free(self->path);
        free(self);
    }
    *self_p = NULL;
}

int recording_reader_refresh(struct recording_reader *self)
{
    struct {
        char id[STREAM_ID_BYTES];
        uint64_t rows;
    } old[RECORDING_STREAMS_MAX];
    const size_t n = self->n_reels;
    const uint64_t first = self->first;
    for (size_t s = 0; s < n; s++) {
        memcpy(old[s].id, self->reels[s].info.id, sizeof old[s].id);
        old[s].rows = self->reels[s].rows;
    }
    close_all(self); /* all of it: HDF5 knows a file that a process has open, and would not look again */
    int status = open_all(self);
    for (int i = 0; i < REOPEN_TRIES && status == LOOM_EDATA; i++) {
        usleep(REOPEN_PAUSE_US);
        status = open_all(self);
    }
    bool same = status != LOOM_OK || (self->n_reels == n && self->first == first);
    for (size_t s = 0; status == LOOM_OK && same && s < n; s++) {
        same = strcmp(self->reels[s].info.id, old[s].id) == 0 && self->reels[s].rows >= old[s].rows;
    }
    return same ? status
                : error_set(LOOM_EDATA, "there is another recording in the place of %s now", self->path);
}

/* ---- what is known of it ---- */

enum recording_condition recording_reader_condition(const struct recording_reader *self)
{
    return self->condition;
}

const char *recording_reader_path(const struct recording_reader *self)
{
    return self->path;
}

size_t recording_reader_streams(const struct recording_reader *self)
{
    return self->n_reels;
}

uint64_t recording_reader_first(const struct recording_reader *self)
{
    return self->first;
}

const struct stream_info *recording_reader_info(const struct recording_reader *self, size_t s)
{
    static const struct stream_info none;
    return s < self->n_reels ? &self->reels[s].info : &none;
}

const char *recording_reader_group(const struct recording_reader *self, size_t s)
{
    return self->reels[s].group;
}

uint64_t recording_reader_rows(const struct recording_reader *self, size_t s)
{
    return self->reels[s].rows;
}

uint64_t recording_reader_extent(const struct recording_reader *self, size_t s, size_t f)
{
    return self->reels[s].spools[f].track.extent;
}

uint64_t recording_reader_chunk(const struct recording_reader *self, size_t s, size_t f)
{
    return self->reels[s].spools[f].track.chunk_rows;
}

/* ---- reading ---- */

static bool is_zero(const unsigned char *bytes, size_t n)
{
    return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

/* Whether the chunk that starts with this row lies within the file. */
static bool lies_within(const struct recording_reader *self, const struct track *track, const hsize_t *start)
{
    struct stat about;
    unsigned mask;
    haddr_t address;
    hsize_t bytes;
    return H5Dget_chunk_info_by_coord(track->dataset, start, &mask, &address, &bytes) >= 0 &&
           address != HADDR_UNDEF && fstat(self->fd, &about) == 0 &&
           address + bytes <= (uint64_t)about.st_size;
}

/* Have chunk number `chunk` in memory. false: it is missing, or not what was written. */
static bool load_chunk(const struct recording_reader *self, struct spool *spool, uint64_t chunk)
{
    struct track *track = &spool->track;
    const hsize_t start[3] = {chunk * track->chunk_rows, 0, 0};
    const size_t bytes = track->chunk_rows * track->row_bytes;
    hsize_t stored = 0;
    uint32_t mask = WITH_CHECKSUM, checksum = 0;
    spool->loaded = NO_CHUNK;
    if (H5Dget_chunk_storage_size(track->dataset, start, &stored) < 0 ||
        (stored != bytes && stored != bytes + RECORDING_CHECKSUM_BYTES) ||
        H5Dread_chunk(track->dataset, H5P_DEFAULT, start, &mask, track->chunk) < 0) {
        H5Eclear2(H5E_DEFAULT);
        return false;
    }
    bool summed = mask == WITH_CHECKSUM && stored == bytes + RECORDING_CHECKSUM_BYTES;
    if (summed) {
        memcpy(&checksum, track->chunk + bytes, sizeof checksum);
    }
    bool good = summed ? checksum == recording_checksum(track->chunk, bytes)
                       : mask == WITHOUT_CHECKSUM && stored == bytes && self->condition != RECORDING_CLOSED;
    if (good && (!summed || is_zero(track->chunk, bytes))) {
        good = lies_within(self, track, start);
        H5Eclear2(H5E_DEFAULT);
    }
    if (good) {
        spool->loaded = chunk;
    }
    return good;
}

static int read_field(struct recording_reader *self, struct reel *reel, size_t f, uint64_t row, size_t n,
                      unsigned char *out)
{
    struct spool *spool = &reel->spools[f];
    const struct track *track = &spool->track;
    while (n > 0) {
        uint64_t chunk = row / track->chunk_rows, at = row % track->chunk_rows;
        size_t some = n < track->chunk_rows - at ? n : (size_t)(track->chunk_rows - at);
        if (spool->loaded != chunk && !load_chunk(self, spool, chunk)) {
            struct stream_field fields[STREAM_FIELDS_MAX];
            uint64_t end =
                (chunk + 1) * track->chunk_rows < reel->rows ? (chunk + 1) * track->chunk_rows : reel->rows;
            stream_fields(&reel->info, fields);
            return error_set(LOOM_EDATA, "%s: frames %" PRIu64 " to %" PRIu64 " of %s/%s are damaged",
                             self->path, self->first + chunk * track->chunk_rows, self->first + end - 1,
                             reel->group, fields[f].name);
        }
        memcpy(out, track->chunk + at * track->row_bytes, some * track->row_bytes);
        out += some * track->row_bytes;
        row += some;
        n -= some;
    }
    return LOOM_OK;
}

int recording_read(struct recording_reader *self, size_t s, uint64_t row, size_t n,
                   void *const fields[STREAM_FIELDS_MAX])
{
    struct reel *reel = &self->reels[s];
    int status = LOOM_OK;
    for (size_t f = 0; status == LOOM_OK && f < reel->n_spools; f++) {
        if (fields[f] != NULL) {
            status = read_field(self, reel, f, row, n, fields[f]);
        }
    }
    return status;
}

int recording_read_metrics(struct recording_reader *self, size_t s, uint64_t pass,
                           struct metric metrics[STREAM_METRICS_MAX], size_t *n)
{
    struct reel *reel = &self->reels[s];
    const hsize_t start[2] = {pass, 0}, count[2] = {1, RECORDING_METRICS};
    double row[RECORDING_METRICS];
    *n = 0;
    if (reel->values < 0 || pass >= reel->passes) {
        return LOOM_OK;
    }
    hid_t memory = H5Screate_simple(2, count, NULL), space = H5Dget_space(reel->values);
    int failed = memory < 0 || space < 0 ||
                 H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
                 H5Dread(reel->values, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, row) < 0;
    hdf5_release(&space);
    hdf5_release(&memory);
    if (failed) {
        return hdf5_fail(LOOM_EDATA, "the metrics of pass %" PRIu64 " of %s in %s are damaged", pass + 1,
                         reel->info.name, self->path);
    }
    for (size_t m = 0; m < RECORDING_METRICS; m++) {
        if (reel->metrics[m][0] != '\0' && !isnan(row[m])) {
            metrics[(*n)++] = (struct metric){reel->metrics[m], row[m]};
        }
    }
    return LOOM_OK;
}

void recording_reader_pipeline(const struct recording_reader *self, char *text, size_t size)
{
    if (H5Aexists(self->file, "pipeline") <= 0 ||
        hdf5_read_text(self->file, self->path, "pipeline", text, size) != LOOM_OK ||
        strlen(text) + 1 >= size) {
        text[0] = '\0';
    }
}

/* See code_cache.h. */
#include "code_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "durable_file.h"
#include "identity.h"
#include "log.h"
#include "recording.h"
#include "recording_read.h"

#define FOLDER "loom-cache"
#define OVERHEAD_BYTES ((uint64_t)1 << 20) /* of a file, about */

enum { CODES, RESIDUAL, STREAMS };

enum mode {
    MODE_NEW,  /* nothing has been looked at yet */
    MODE_READ, /* from a complete file */
    MODE_WRITE,
    MODE_WAIT, /* for the next pass, to write that */
    MODE_OFF,
};

struct code_cache {
    const struct stream_info *codes;
    struct stream_info streams[STREAMS]; /* as they lie in the file */
    uint64_t span;                       /* frames in the file: of a pass, or all */
    uint64_t limit_bytes;
    char *folder, *path, *part; /* the complete file, and the one being written */
    enum mode mode;
    struct recording_reader *reader;
    struct recording *recording;
    uint64_t rows;            /* in the recording */
    uint64_t seq;             /* of the block that has been read */
    size_t n;                 /* frames of it; 0: none */
    void *fields[STREAMS][2]; /* index and value; residual: room for a block */
};

static uint64_t row_of(const struct code_cache *self, uint64_t seq)
{
    return self->codes->repeats ? seq % self->span : seq;
}

/* ---- life ---- */

/* The folder, and the two names in it. */
static int choose_paths(struct code_cache *self, const struct code_cache_settings *settings)
{
    char whose[4200], hash[STREAM_ID_BYTES];
    char *run = realpath(settings->run, NULL); /* of a run that does not exist yet: as it is given */
    const char *slash = strrchr(run != NULL ? run : settings->run, '/');
    int parent = slash == NULL ? 0 : (int)(slash - (run != NULL ? run : settings->run)) + 1;
    int status = snprintf(whose, sizeof whose, "%s\n%s", run != NULL ? run : settings->run, settings->name);
    if (status >= 0) {
        identity_of_bytes(hash, whose, strlen(whose));
        status = settings->folder[0] != '\0'
                     ? asprintf(&self->folder, "%s", settings->folder)
                     : asprintf(&self->folder, "%.*s" FOLDER, parent, run != NULL ? run : settings->run);
    }
    free(run);
    if (status >= 0) {
        status = asprintf(&self->path, "%s/%s.h5", self->folder, self->codes->id);
    }
    if (status >= 0) {
        status = asprintf(&self->part, "%s/%s.%.8s.part", self->folder, self->codes->id, hash);
    }
    return status < 0 ? -1 : 0;
}

struct code_cache *code_cache_new(const struct code_cache_settings *settings, const struct stream_info *codes)
{
    struct code_cache *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    bool one_pass = codes->repeats && codes->pass > 0 && codes->pass < codes->total;
    uint64_t frame_bytes = codes->winners * (sizeof(uint32_t) + sizeof(float)) + 2 * sizeof(float);
    self->codes = codes;
    self->span = one_pass ? codes->pass : codes->total;
    self->limit_bytes = settings->limit_bytes;
    self->streams[CODES] = self->streams[RESIDUAL] = *codes;
    struct stream_info *residual = &self->streams[RESIDUAL];
    residual->kind = STREAM_ACTIVATIONS;
    residual->winners = 0;
    residual->grid_x = 2;
    residual->grid_y = 1;
    residual->layer[0] = '\0';
    snprintf(residual->name, sizeof residual->name, "%.50s.residual", codes->name);
    bool failed = choose_paths(self, settings) < 0;
    self->fields[CODES][0] = calloc(codes->block, codes->winners * sizeof(uint32_t));
    self->fields[CODES][1] = calloc(codes->block, codes->winners * sizeof(float));
    self->fields[RESIDUAL][0] = calloc(codes->block, 2 * sizeof(float));
    failed = failed || self->fields[CODES][0] == NULL || self->fields[CODES][1] == NULL ||
             self->fields[RESIDUAL][0] == NULL;
    if (failed || codes->total == UINT64_MAX || self->span == 0) {
        code_cache_destroy(&self);
    } else if (self->span > self->limit_bytes / frame_bytes) {
        log_info("the codes of %" PRIu64 " frames are more than the cache may hold: see cache_size",
                 self->span);
        code_cache_destroy(&self);
    }
    return self;
}

void code_cache_destroy(struct code_cache **self_p)
{
    struct code_cache *self = *self_p;
    if (self == NULL) {
        return;
    }
    recording_reader_destroy(&self->reader);
    if (self->recording != NULL && recording_close(&self->recording) < 0) { /* to be gone on with */
        log_warning("cache: %s", error_message());
    }
    for (size_t s = 0; s < STREAMS; s++) {
        free(self->fields[s][0]);
        free(self->fields[s][1]);
    }
    free(self->folder);
    free(self->path);
    free(self->part);
    free(self);
    *self_p = NULL;
}

/* ---- the folder ---- */

struct cached { /* a file of the folder */
    char name[256];
    struct timespec used;
    uint64_t bytes;
};

static bool is_older(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* Add up what is in the folder, but for `except`, and find what has not been used for longest. */
static uint64_t look_through(int folder, const char *except, struct cached *oldest)
{
    uint64_t sum = 0;
    int copy = dup(folder); /* fdopendir takes it over */
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    oldest->name[0] = '\0';
    if (list == NULL && copy >= 0) {
        close(copy);
    }
    if (list != NULL) {
        rewinddir(list);
    }
    for (const struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        struct stat about;
        const char *dot = strrchr(entry->d_name, '.');
        bool ours = dot != NULL && (strcmp(dot, ".h5") == 0 || strcmp(dot, ".part") == 0) &&
                    strcmp(entry->d_name, except) != 0;
        if (!ours || fstatat(folder, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(about.st_mode)) {
            continue;
        }
        sum += (uint64_t)about.st_size;
        if (oldest->name[0] == '\0' || is_older(&about.st_mtim, &oldest->used)) {
            snprintf(oldest->name, sizeof oldest->name, "%s", entry->d_name);
            oldest->used = about.st_mtim;
            oldest->bytes = (uint64_t)about.st_size;
        }
    }
    if (list != NULL) {
        closedir(list);
    }
    return sum;
}

/* Delete what has not been used for longest until the codes fit beside the rest. */
static void make_room(const struct code_cache *self)
{
    uint64_t frame_bytes = self->codes->winners * (sizeof(uint32_t) + sizeof(float)) + 2 * sizeof(float);
    uint64_t needed = self->span * frame_bytes + OVERHEAD_BYTES;
    struct cached oldest;
    int folder = open(self->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *own = strrchr(self->part, '/') + 1;
    while (folder >= 0 && look_through(folder, own, &oldest) + needed > self->limit_bytes &&
           oldest.name[0] != '\0' && unlinkat(folder, oldest.name, 0) == 0) {
        log_info("cache: %s/%s (%" PRIu64 " KiB) is deleted to make room", self->folder, oldest.name,
                 oldest.bytes >> 10);
    }
    if (folder >= 0) {
        close(folder);
    }
}

/* ---- reading ---- */

/* Whether the file is what its name says. */
static int check_file(const struct code_cache *self, const struct recording_reader *reader)
{
    bool good = recording_reader_condition(reader) == RECORDING_CLOSED &&
                recording_reader_first(reader) == 0 && recording_reader_streams(reader) == STREAMS;
    for (size_t s = 0; good && s < STREAMS; s++) {
        const struct stream_info *there = recording_reader_info(reader, s), *wanted = &self->streams[s];
        good = strcmp(there->id, wanted->id) == 0 && there->kind == wanted->kind &&
               there->winners == wanted->winners && there->grid_x == wanted->grid_x &&
               there->grid_y == wanted->grid_y && recording_reader_rows(reader, s) == self->span;
    }
    return good ? 0
                : error_set(LOOM_EDATA, "%s does not hold the codes of stream %s", self->path,
                            self->codes->id);
}

/* A complete file turns out to be of no use. */
static void give_up_file(struct code_cache *self)
{
    log_warning("cache: %s; it is deleted, and the codes are computed", error_message());
    recording_reader_destroy(&self->reader);
    unlink(self->path);
    self->n = 0;
    self->mode = MODE_WAIT;
}

static bool open_file(struct code_cache *self)
{
    if (access(self->path, F_OK) != 0) {
        return false;
    }
    int status = recording_reader_new(&self->reader, self->path);
    if (status == 0) {
        status = check_file(self, self->reader);
    }
    if (status < 0) {
        give_up_file(self);
        return false;
    }
    utimensat(AT_FDCWD, self->path, NULL, 0); /* used just now */
    self->mode = MODE_READ;
    return true;
}

/* Indices as a reader of the stream may rely on. */
static int check_index(const struct code_cache *self, size_t n)
{
    const uint32_t *index = self->fields[CODES][0];
    size_t k = self->codes->winners, units = self->codes->grid_x * self->codes->grid_y;
    for (size_t i = 0; i < n * k; i++) {
        if (index[i] >= units || (i % k > 0 && index[i] <= index[i - 1])) {
            return error_set(LOOM_EDATA, "%s: a code names unit %" PRIu32 " of %zu", self->path, index[i],
                             units);
        }
    }
    return 0;
}

/* Read n frames from `seq` on. */
static bool read_block(struct code_cache *self, uint64_t seq, size_t n)
{
    int status = 0;
    for (size_t s = 0; status == 0 && s < STREAMS; s++) {
        status = recording_read(self->reader, s, row_of(self, seq), n, self->fields[s]);
    }
    if (status == 0) {
        status = check_index(self, n);
    }
    if (status < 0) {
        give_up_file(self);
        return false;
    }
    self->seq = seq;
    self->n = n;
    return true;
}

/* ---- writing ---- */

/* What is being written is of no use, or cannot be. */
static void give_up_part(struct code_cache *self, enum mode mode)
{
    recording_destroy(&self->recording);
    unlink(self->part);
    self->mode = mode;
}

/* Give the complete file its name. */
static int publish(struct code_cache *self)
{
    int status = recording_close(&self->recording);
    if (status == 0 && rename(self->part, self->path) != 0) {
        status = error_set(LOOM_EIO, "cannot rename %s: %s", self->part, strerror(errno));
    }
    int folder = status < 0 ? -1 : open(self->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        (void)fsync(folder); /* if it is lost, it is computed again */
        close(folder);
    }
    return status;
}

static void complete(struct code_cache *self)
{
    struct stat about;
    if (publish(self) < 0) {
        log_warning("the codes are not kept: %s", error_message());
        unlink(self->part);
        self->mode = MODE_OFF;
    } else if (open_file(self)) {
        log_info("codes of %" PRIu64
                 " frames are recorded into cache %s (%jd KiB; may be deleted at any time)",
                 self->span, self->path, stat(self->path, &about) == 0 ? (intmax_t)(about.st_size >> 10) : 0);
    }
}

/* Begin, or go on with, the file to be. */
static void open_part(struct code_cache *self, uint64_t row)
{
    uint64_t rows[STREAMS] = {0};
    int status = durable_file_make_folders(self->part);
    if (status == 0) {
        make_room(self);
        status = recording_new(&self->recording, self->part, self->streams, STREAMS, 0, "", rows);
    }
    if (status == LOOM_EDATA && row == 0) { /* left by an earlier process, and damaged */
        unlink(self->part);
        status = recording_new(&self->recording, self->part, self->streams, STREAMS, 0, "", rows);
    }
    if (status < 0) {
        log_warning("the codes are not kept: %s", error_message());
        self->mode = MODE_OFF;
        return;
    }
    self->rows = rows[CODES] < rows[RESIDUAL] ? rows[CODES] : rows[RESIDUAL];
    self->mode = MODE_WRITE;
    if (rows[CODES] != rows[RESIDUAL] || self->rows < row) { /* what lies between will not come again */
        give_up_part(self, MODE_WAIT);
    } else if (self->rows == self->span) { /* of a process that was killed before it gave it its name */
        complete(self);
    }
}

void code_cache_put(struct code_cache *self, const struct block *codes, const float *residual)
{
    uint64_t row = row_of(self, codes->seq), skip = self->rows > row ? self->rows - row : 0;
    if (self->mode != MODE_WRITE || skip >= codes->n) {
        return; /* of what is there already, the same comes again */
    }
    size_t k = self->codes->winners;
    struct block parts[STREAMS] = {{.seq = row + skip, .n = codes->n - (size_t)skip},
                                   {.seq = row + skip, .n = codes->n - (size_t)skip}};
    parts[CODES].fields[0] = (uint32_t *)codes->fields[0] + skip * k;
    parts[CODES].fields[1] = (float *)codes->fields[1] + skip * k;
    parts[RESIDUAL].fields[0] = (float *)(uintptr_t)residual + 2 * skip;
    int status = 0;
    for (size_t s = 0; status == 0 && s < STREAMS; s++) {
        status = recording_append(self->recording, s, &parts[s]);
    }
    if (status < 0) {
        log_warning("the codes are not kept: %s", error_message());
        give_up_part(self, MODE_OFF);
        return;
    }
    self->rows += parts[CODES].n;
    if (self->rows == self->span) {
        complete(self);
    }
}

void code_cache_flush(struct code_cache *self)
{
    if (self->mode == MODE_WRITE && recording_flush(self->recording) < 0) {
        log_warning("the codes are not kept: %s", error_message());
        give_up_part(self, MODE_OFF);
    }
}

/* ---- both ---- */

void code_cache_needs(struct code_cache *self, uint64_t from, uint64_t *first, uint64_t *end)
{
    uint64_t row = row_of(self, from);
    *first = from;
    *end = UINT64_MAX;
    if (from >= self->codes->total) {
        return;
    }
    if (self->mode == MODE_NEW) {
        if (open_file(self)) {
            log_info("codes of %" PRIu64 " frames are read from cache %s", self->span, self->path);
        } else {
            open_part(self, row);
        }
    } else if (self->mode == MODE_WAIT && row == 0) {
        open_part(self, row);
    }
    size_t n = (size_t)(stream_block_end(self->codes, from, self->codes->block) - from);
    if (self->mode == MODE_READ && ((self->n == n && self->seq == from) || read_block(self, from, n))) {
        *first = *end = from + n;
    } else if (self->mode == MODE_WRITE && self->codes->repeats) {
        *end = from - row + self->span; /* what follows will be known then */
    }
}

int code_cache_take(struct code_cache *self, uint64_t seq, size_t n, uint32_t *index, float *value,
                    float *residual)
{
    size_t k = self->codes->winners;
    if (self->mode != MODE_READ || self->seq != seq || self->n != n) {
        return error_set(LOOM_EINTERNAL, "frames %" PRIu64 " on were not read from the cache", seq);
    }
    memcpy(index, self->fields[CODES][0], n * k * sizeof *index);
    memcpy(value, self->fields[CODES][1], n * k * sizeof *value);
    memcpy(residual, self->fields[RESIDUAL][0], n * 2 * sizeof *residual);
    return 0;
}

/* See spool.h. */
#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "durable_file.h"
#include "log.h"

#define SEGMENTS 16                    /* the spool's size in segments: what is freed at a time */
#define BUFFER_BYTES ((size_t)1 << 20) /* written or read at once, or one slot if that is larger */
#define NAME_BYTES 32
#define CAPACITY_MIN 4 /* frames: less cannot be read and acknowledged in turn */

static const char magic[8] = "loomspl1";

struct segment_header {
    char magic[8];
    uint64_t first, slot_bytes, checksum;
};

struct slot_header {
    uint64_t checksum;
    struct spool_mark mark;
};

struct segment {
    uint64_t first;
    int fd; /* -1: not open yet */
};

struct spool {
    char *folder;
    int dir; /* the folder, locked */
    char label[SPOOL_LABEL_BYTES];
    struct spool_shape shape; /* height 0: not known yet */
    size_t frame_bytes, slot_bytes;
    uint64_t max_bytes, capacity, segment_slots;
    struct segment *segments; /* oldest first */
    size_t n_segments, room;
    bool new_file;          /* since the folder was last synced */
    uint64_t head, durable; /* first frame not appended; not synced */
    uint64_t total;
    struct spool_mark last;
    uint8_t *buffer; /* slots not written yet */
    size_t filled;
    uint8_t *scratch; /* slots just read */
};

/* ---- names and small files ---- */

static void segment_name(char name[NAME_BYTES], uint64_t first)
{
    snprintf(name, NAME_BYTES, "%020" PRIu64 ".frames", first);
}

static int failed(const struct spool *self, const char *what)
{
    return error_set(LOOM_EIO, "cannot %s the spool %s: %s", what, self->folder, strerror(errno));
}

/* A small text file of the folder, NUL-terminated; "" if there is none. */
static int read_text(const struct spool *self, const char *name, char *text, size_t size)
{
    text[0] = '\0';
    int fd = openat(self->dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : failed(self, "read");
    }
    ssize_t n = read(fd, text, size - 1);
    int status = n < 0 ? failed(self, "read") : 0;
    text[n < 0 ? 0 : n] = '\0';
    close(fd);
    return status;
}

static int write_text(const struct spool *self, const char *name, const char *text)
{
    struct durable_file file;
    char *path = NULL;
    if (asprintf(&path, "%s/%s", self->folder, name) < 0) {
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    int status = durable_file_begin(&file, path);
    if (status == 0) {
        status = durable_file_write(&file, text, strlen(text));
        if (status == 0) {
            status = durable_file_commit(&file);
        }
        durable_file_abandon(&file);
    }
    free(path);
    return status;
}

/* ---- what the spool is about ---- */

/* Take over a shape: sizes, capacity and buffers. */
static int set_shape(struct spool *self, const struct spool_shape *shape)
{
    self->frame_bytes =
        shape->height * shape->width * (shape->dtype == STREAM_U1 ? sizeof(uint8_t) : sizeof(float));
    self->slot_bytes = sizeof(struct slot_header) + self->frame_bytes;
    self->capacity = self->max_bytes / self->slot_bytes;
    self->segment_slots = self->capacity / SEGMENTS > 0 ? self->capacity / SEGMENTS : 1;
    if (self->capacity < CAPACITY_MIN) {
        return error_set(
            LOOM_EUSAGE,
            "a spool of %ju MiB holds only %ju frames of %zu x %zu pixels; give `spool` at least "
            "%ju MiB",
            (uintmax_t)(self->max_bytes >> 20), (uintmax_t)self->capacity, shape->height, shape->width,
            (uintmax_t)(CAPACITY_MIN * self->slot_bytes >> 20) + 1);
    }
    size_t bytes = self->slot_bytes > BUFFER_BYTES ? self->slot_bytes : BUFFER_BYTES;
    self->buffer = malloc(bytes);
    self->scratch = malloc(bytes);
    if (self->buffer == NULL || self->scratch == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for the spool %s", self->folder);
    }
    self->shape = *shape;
    return 0;
}

static int write_about(const struct spool *self, const struct spool_shape *shape)
{
    char text[512];
    snprintf(text, sizeof text, "loom spool 1\nshape %zux%zu\ndtype %s\nlabel %s\n", shape->height,
             shape->width, shape->dtype == STREAM_U1 ? "u1" : "f4", self->label);
    return write_text(self, "about", text);
}

static int damaged(const struct spool *self, const char *file, const char *how)
{
    return error_set(
        LOOM_EDATA,
        "the spool %s is damaged: %s %s; bring it back from a copy, or begin anew in another run "
        "folder",
        self->folder, file, how);
}

/* A random label, unlike that of any other spool. */
static int make_label(struct spool *self)
{
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return error_set(LOOM_EINTERNAL, "no random numbers for a label: %s", strerror(errno));
    }
    snprintf(self->label, sizeof self->label, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    return 0;
}

static int read_about(struct spool *self, const char *label)
{
    char text[512], dtype[3] = "";
    struct spool_shape shape = {.height = 0};
    int used = 0;
    int status = read_text(self, "about", text, sizeof text);
    if (status < 0) {
        return status;
    }
    if (text[0] == '\0') {
        snprintf(self->label, sizeof self->label, "%s", label);
        return label[0] != '\0' ? 0 : make_label(self);
    }
    char *line_end = strrchr(text, '\n');
    if (sscanf(text, "loom spool 1\nshape %5zux%5zu\ndtype %2s\nlabel %n", &shape.height, &shape.width, dtype,
               &used) != 3 ||
        used == 0 || line_end == NULL || line_end[1] != '\0' || line_end - (text + used) <= 0 ||
        (size_t)(line_end - (text + used)) >= sizeof self->label || shape.height == 0 || shape.width == 0 ||
        (strcmp(dtype, "u1") != 0 && strcmp(dtype, "f4") != 0)) {
        return damaged(self, "about", "cannot be understood");
    }
    *line_end = '\0';
    snprintf(self->label, sizeof self->label, "%s", text + used);
    shape.dtype = strcmp(dtype, "u1") == 0 ? STREAM_U1 : STREAM_F4;
    if (label[0] != '\0' && strcmp(label, self->label) != 0) {
        return error_set(
            LOOM_EUSAGE,
            "the spool %s is labelled '%s', not '%s'; begin the other stream in another run folder",
            self->folder, self->label, label);
    }
    return set_shape(self, &shape);
}

int spool_describe(struct spool *self, const struct spool_shape *shape)
{
    const struct spool_shape *own = spool_shape(self);
    if (own == NULL) {
        int status = set_shape(self, shape);
        return status < 0 ? status : write_about(self, shape);
    }
    if (own->height != shape->height || own->width != shape->width || own->dtype != shape->dtype) {
        return error_set(
            LOOM_EDATA,
            "the frames that come are %zu x %zu %s, but those in the spool %s are %zu x %zu %s; send "
            "the same kind, or begin anew in another run folder",
            shape->height, shape->width, shape->dtype == STREAM_U1 ? "u1" : "f4", self->folder, own->height,
            own->width, own->dtype == STREAM_U1 ? "u1" : "f4");
    }
    return 0;
}

/* ---- segments ---- */

/* The file of a segment, opened. */
static int open_segment(const struct spool *self, struct segment *segment)
{
    char name[NAME_BYTES];
    if (segment->fd < 0) {
        segment_name(name, segment->first);
        segment->fd = openat(self->dir, name, O_RDWR | O_CLOEXEC);
    }
    return segment->fd < 0 ? failed(self, "read") : 0;
}

static int add_segment(struct spool *self, uint64_t first)
{
    if (self->n_segments == self->room) {
        size_t room = self->room * 2 + SEGMENTS;
        struct segment *grown = realloc(self->segments, room * sizeof *grown);
        if (grown == NULL) {
            return error_set(LOOM_EINTERNAL, "out of memory for the spool %s", self->folder);
        }
        self->segments = grown;
        self->room = room;
    }
    self->segments[self->n_segments++] = (struct segment){.first = first, .fd = -1};
    return 0;
}

static uint64_t header_checksum(const struct segment_header *header)
{
    return XXH3_64bits(header, offsetof(struct segment_header, checksum));
}

static int create_segment(struct spool *self, uint64_t first)
{
    char name[NAME_BYTES];
    struct segment_header header = {.first = first, .slot_bytes = self->slot_bytes};
    memcpy(header.magic, magic, sizeof magic);
    header.checksum = header_checksum(&header);
    int status = add_segment(self, first);
    if (status < 0) {
        return status;
    }
    struct segment *segment = &self->segments[self->n_segments - 1];
    segment_name(name, first);
    segment->fd = openat(self->dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (segment->fd < 0 || pwrite(segment->fd, &header, sizeof header, 0) != (ssize_t)sizeof header) {
        return failed(self, "write");
    }
    self->new_file = true;
    return 0;
}

static void drop_segment(struct spool *self, size_t i)
{
    char name[NAME_BYTES];
    segment_name(name, self->segments[i].first);
    unlinkat(self->dir, name, 0);
    if (self->segments[i].fd >= 0) {
        close(self->segments[i].fd);
    }
    self->n_segments--;
    memmove(&self->segments[i], &self->segments[i + 1], (self->n_segments - i) * sizeof *self->segments);
}

static off_t slot_offset(const struct spool *self, const struct segment *segment, uint64_t seq)
{
    return (off_t)(sizeof(struct segment_header) + (seq - segment->first) * self->slot_bytes);
}

static uint64_t slot_checksum(const struct spool *self, const uint8_t *slot, uint64_t seq)
{
    size_t skip = sizeof((struct slot_header *)0)->checksum;
    return XXH3_64bits_withSeed(slot + skip, self->slot_bytes - skip, seq);
}

/* Read exactly; *whole: all bytes were there. */
static int read_at(const struct spool *self, int fd, void *out, size_t bytes, off_t at, bool *whole)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = pread(fd, (uint8_t *)out + done, bytes - done, at + (off_t)done);
        if (n < 0 && errno != EINTR) {
            return failed(self, "read");
        }
        if (n == 0) {
            break;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    *whole = done == bytes;
    return 0;
}

/* n slots of a segment, which fit `scratch`, to there; *valid: how many of them are there, one behind the
 * other, with checksums that fit. */
static int read_slots(struct spool *self, struct segment *segment, uint64_t seq, size_t n, size_t *valid)
{
    struct slot_header header;
    bool whole = true;
    *valid = 0;
    int status = open_segment(self, segment);
    if (status == 0) {
        status = read_at(self, segment->fd, self->scratch, n * self->slot_bytes,
                         slot_offset(self, segment, seq), &whole);
    }
    for (; status == 0 && whole && *valid < n; (*valid)++) {
        const uint8_t *slot = self->scratch + *valid * self->slot_bytes;
        memcpy(&header, slot, sizeof header);
        if (header.checksum != slot_checksum(self, slot, seq + *valid)) {
            break;
        }
    }
    return status;
}

/* ---- opening ---- */

static int by_first(const void *a, const void *b)
{
    uint64_t x = ((const struct segment *)a)->first, y = ((const struct segment *)b)->first;
    return x < y ? -1 : x > y;
}

static int list_segments(struct spool *self)
{
    int fd = openat(self->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        return failed(self, "read");
    }
    int status = 0;
    for (struct dirent *entry; status == 0 && (entry = readdir(dir)) != NULL;) {
        uint64_t first = 0;
        int used = 0;
        if (sscanf(entry->d_name, "%20" SCNu64 ".frames%n", &first, &used) == 1 && used == 27 &&
            entry->d_name[used] == '\0') {
            status = add_segment(self, first);
        }
    }
    closedir(dir);
    if (self->n_segments > 0) {
        qsort(self->segments, self->n_segments, sizeof *self->segments, by_first);
    }
    return status;
}

/* Check a segment's header; *valid false if it is not one of ours. */
static int check_header(const struct spool *self, struct segment *segment, bool *valid)
{
    struct segment_header header;
    int status = open_segment(self, segment);
    if (status == 0) {
        status = read_at(self, segment->fd, &header, sizeof header, 0, valid);
    }
    if (status == 0 && *valid) {
        *valid = memcmp(header.magic, magic, sizeof magic) == 0 && header.first == segment->first &&
                 header.slot_bytes == self->slot_bytes && header.checksum == header_checksum(&header);
    }
    return status;
}

/* Find the end of the last segment: behind its last whole slot; cut what was left half-written there. */
static int find_head(struct spool *self, struct segment *segment)
{
    struct stat about;
    self->head = segment->first;
    for (;;) {
        size_t valid = 0;
        int status = read_slots(self, segment, self->head, 1, &valid);
        if (status < 0) {
            return status;
        }
        if (valid == 0) {
            break;
        }
        memcpy(&self->last, self->scratch + offsetof(struct slot_header, mark), sizeof self->last);
        self->head++;
    }
    off_t end = slot_offset(self, segment, self->head);
    if (fstat(segment->fd, &about) != 0) {
        return failed(self, "read");
    }
    if (about.st_size > end) {
        log_info("spool: %jd bytes that were not whole behind frame %ju are cut off",
                 (intmax_t)(about.st_size - end), (uintmax_t)self->head);
        if (ftruncate(segment->fd, end) != 0 || fsync(segment->fd) != 0) {
            return failed(self, "mend");
        }
    }
    return 0;
}

/* All segments but the last must reach to the next one. */
static int check_segments(struct spool *self)
{
    for (size_t i = 0; i < self->n_segments; i++) {
        struct segment *segment = &self->segments[i];
        struct stat about;
        bool last = i + 1 == self->n_segments, valid = true;
        int status = check_header(self, segment, &valid);
        if (status < 0) {
            return status;
        }
        if (fstat(segment->fd, &about) != 0) {
            return failed(self, "read");
        }
        char name[NAME_BYTES];
        segment_name(name, segment->first);
        if (!valid && last && (i > 0 || segment->first == 0) &&
            about.st_size <= (off_t)sizeof(struct segment_header)) {
            drop_segment(self, i); /* begun, and killed before it held a frame */
            return 0;
        }
        if (!valid) {
            return damaged(self, name, "has no valid header");
        }
        if (!last && about.st_size < slot_offset(self, segment, self->segments[i + 1].first)) {
            return damaged(self, name, "is shorter than it must be");
        }
    }
    return 0;
}

static int load(struct spool *self)
{
    char text[32] = "";
    int status = list_segments(self);
    if (status < 0) {
        return status;
    }
    if (self->shape.height == 0 && self->n_segments > 0) {
        return damaged(self, "about", "is missing");
    }
    status = check_segments(self);
    if (status == 0 && self->n_segments > 0) {
        status = find_head(self, &self->segments[self->n_segments - 1]);
    }
    if (status == 0 && self->n_segments > 1 && self->head == self->segments[self->n_segments - 1].first) {
        drop_segment(self, self->n_segments - 1); /* begun, and killed before its first frame was whole */
        status = find_head(self, &self->segments[self->n_segments - 1]);
    }
    if (status == 0 && self->n_segments > 0 && /* a killed process may not have synced what it wrote */
        (fdatasync(self->segments[self->n_segments - 1].fd) != 0 || fsync(self->dir) != 0)) {
        return failed(self, "sync");
    }
    if (status == 0) {
        status = read_text(self, "end", text, sizeof text);
    }
    self->durable = self->head;
    uint64_t total = 0;
    if (status == 0 && text[0] != '\0' && (sscanf(text, "%20" SCNu64, &total) != 1 || total != self->head)) {
        return damaged(self, "end", "does not fit the frames");
    }
    self->total = text[0] == '\0' ? UINT64_MAX : total;
    return status;
}

int spool_open(struct spool **self_p, const char *folder, const char *label, uint64_t max_bytes)
{
    *self_p = NULL;
    struct spool *self = calloc(1, sizeof *self);
    char *inside = NULL;
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for a spool");
    }
    self->dir = -1;
    self->total = UINT64_MAX;
    self->max_bytes = max_bytes;
    int status = error_set(LOOM_EINTERNAL, "out of memory for a spool");
    self->folder = strdup(folder);
    if (self->folder == NULL || asprintf(&inside, "%s/about", folder) < 0) {
        inside = NULL;
        goto fail;
    }
    status = durable_file_make_folders(inside);
    if (status < 0) {
        goto fail;
    }
    self->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->dir < 0) {
        status = failed(self, "open");
        goto fail;
    }
    if (flock(self->dir, LOCK_EX | LOCK_NB) != 0) {
        status = error_set(LOOM_EPEER, "the spool %s is in use by another process; end that first", folder);
        goto fail;
    }
    status = read_about(self, label);
    if (status == 0) {
        status = load(self);
    }
    if (status < 0) {
        goto fail;
    }
    free(inside);
    *self_p = self;
    return 0;
fail:
    free(inside);
    spool_close(&self);
    return status;
}

void spool_close(struct spool **self_p)
{
    struct spool *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->n_segments; i++) {
        if (self->segments[i].fd >= 0) {
            close(self->segments[i].fd);
        }
    }
    if (self->dir >= 0) {
        close(self->dir);
    }
    free(self->segments);
    free(self->buffer);
    free(self->scratch);
    free(self->folder);
    free(self);
    *self_p = NULL;
}

/* ---- what it holds ---- */

const char *spool_label(const struct spool *self)
{
    return self->label;
}

const struct spool_shape *spool_shape(const struct spool *self)
{
    return self->shape.height == 0 ? NULL : &self->shape;
}

uint64_t spool_base(const struct spool *self)
{
    return self->n_segments == 0 ? 0 : self->segments[0].first;
}

uint64_t spool_next(const struct spool *self)
{
    return self->head;
}

uint64_t spool_head(const struct spool *self)
{
    return self->durable;
}

uint64_t spool_total(const struct spool *self)
{
    return self->total;
}

uint64_t spool_capacity(const struct spool *self)
{
    return self->capacity;
}

bool spool_has_room(const struct spool *self, uint64_t n)
{
    uint64_t held = self->head - spool_base(self);
    return n <= self->capacity && held <= self->capacity - n;
}

struct spool_mark spool_last_mark(const struct spool *self)
{
    return self->last;
}

/* ---- writing ---- */

/* Write the buffered slots to the last segment. */
static int flush(struct spool *self)
{
    if (self->filled == 0) {
        return 0;
    }
    struct segment *segment = &self->segments[self->n_segments - 1];
    off_t at = slot_offset(self, segment, self->head - self->filled / self->slot_bytes);
    int status = open_segment(self, segment);
    for (size_t done = 0; status == 0 && done < self->filled;) {
        ssize_t n = pwrite(segment->fd, self->buffer + done, self->filled - done, at + (off_t)done);
        if (n < 0 && errno != EINTR) {
            return failed(self, "write");
        }
        done += n > 0 ? (size_t)n : 0;
    }
    self->filled = 0;
    return status;
}

/* Have a last segment with a free slot. */
static int make_place(struct spool *self)
{
    if (self->n_segments > 0) {
        struct segment *segment = &self->segments[self->n_segments - 1];
        if (self->head - segment->first < self->segment_slots) {
            return 0;
        }
        int status = flush(self);
        if (status < 0) {
            return status;
        }
        if (open_segment(self, segment) < 0 || fdatasync(segment->fd) != 0) {
            return failed(self, "sync");
        }
    }
    return create_segment(self, self->head);
}

int spool_append(struct spool *self, const void *frame, const struct spool_mark *mark)
{
    size_t most = self->slot_bytes > BUFFER_BYTES ? self->slot_bytes : BUFFER_BYTES;
    int status = make_place(self);
    if (status == 0 && self->filled + self->slot_bytes > most) {
        status = flush(self);
    }
    if (status < 0) {
        return status;
    }
    uint8_t *slot = self->buffer + self->filled;
    struct slot_header header = {.mark = *mark};
    memcpy(slot, &header, sizeof header);
    memcpy(slot + sizeof header, frame, self->frame_bytes);
    header.checksum = slot_checksum(self, slot, self->head);
    memcpy(slot, &header.checksum, sizeof header.checksum);
    self->filled += self->slot_bytes;
    self->head++;
    self->last = *mark;
    return 0;
}

int spool_sync(struct spool *self)
{
    if (self->durable == self->head) {
        return 0;
    }
    int status = flush(self);
    if (status < 0) {
        return status;
    }
    if (fdatasync(self->segments[self->n_segments - 1].fd) != 0 ||
        (self->new_file && fsync(self->dir) != 0)) {
        return failed(self, "sync");
    }
    self->new_file = false;
    self->durable = self->head;
    return 0;
}

int spool_end(struct spool *self)
{
    char text[32];
    snprintf(text, sizeof text, "%ju\n", (uintmax_t)self->durable);
    int status = write_text(self, "end", text);
    if (status == 0) {
        self->total = self->durable;
    }
    return status;
}

/* ---- reading and freeing ---- */

int spool_read(struct spool *self, uint64_t seq, size_t n, void *out)
{
    size_t most = self->slot_bytes > BUFFER_BYTES ? 1 : BUFFER_BYTES / self->slot_bytes;
    uint8_t *next = out;
    for (size_t i = 0; n > 0;) {
        if (i + 1 < self->n_segments && self->segments[i + 1].first <= seq) {
            i++;
            continue;
        }
        uint64_t left = (i + 1 < self->n_segments ? self->segments[i + 1].first : self->durable) - seq;
        size_t part = n < most ? n : most, valid = 0;
        part = left < part ? (size_t)left : part;
        int status = read_slots(self, &self->segments[i], seq, part, &valid);
        if (status < 0) {
            return status;
        }
        if (valid < part || part == 0) {
            char name[NAME_BYTES];
            segment_name(name, self->segments[i].first);
            return damaged(self, name, "does not hold what was written into it");
        }
        for (size_t s = 0; s < part; s++, next += self->frame_bytes) {
            memcpy(next, self->scratch + s * self->slot_bytes + sizeof(struct slot_header),
                   self->frame_bytes);
        }
        seq += part;
        n -= part;
    }
    return 0;
}

int spool_release(struct spool *self, uint64_t ack)
{
    bool dropped = false;
    while (self->n_segments > 1 && self->segments[1].first <= ack &&
           self->segments[1].first < self->durable) {
        drop_segment(self, 0);
        dropped = true;
    }
    return dropped && fsync(self->dir) != 0 ? failed(self, "sync") : 0;
}

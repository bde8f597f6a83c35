/* See input.h. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>
#include <xxhash.h>

#include "log.h"

#define PIPE_BYTES (1 << 19) /* of the pipe, once opened: not what any pipe has at first */
#define ROTATE_BYTES                                                                                         \
    ((uint64_t)4 << 20)              /* of the journal that are not needed any more, before it is made anew */
#define READ_BYTES ((size_t)1 << 20) /* read at once */

static const char magic[8] = "loomjrn1";

struct journal_header {
    char magic[8];
    uint64_t boot;     /* of the machine: hash of its boot's id */
    uint64_t dev, ino; /* of the pipe or file */
    uint64_t sender;   /* number */
    uint64_t start;    /* offset of the first byte that lies behind this header */
    uint64_t checksum;
};

struct input {
    char *path; /* NULL: standard input */
    char *journal_path, *temporary_path;
    int fd;
    bool is_file;
    struct journal_header about;   /* of the sender whose bytes are read */
    struct journal_header present; /* of the sender behind fd */
    int journal;                   /* of a pipe; -1: none */
    uint64_t end;
    bool earlier; /* `about` is not `present` */
    bool ended;   /* fd has */
    uint8_t *buffer;
    size_t capacity, held;
    uint64_t held_from; /* offset of buffer[0] */
};

const char *input_name(const struct input *self)
{
    return self->path == NULL ? "standard input" : self->path;
}

static int failed(const struct input *self, const char *what)
{
    return error_set(LOOM_EIO, "cannot %s %s: %s", what, input_name(self), strerror(errno));
}

static int journal_failed(const struct input *self)
{
    return error_set(LOOM_EIO, "cannot write the journal %s: %s", self->journal_path, strerror(errno));
}

/* ---- who sends ---- */

static uint64_t boot_number(void)
{
    char text[64] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file != NULL) {
        if (fgets(text, sizeof text, file) == NULL) {
            text[0] = '\0';
        }
        fclose(file);
    }
    return XXH3_64bits(text, sizeof text);
}

/* Whether a pipe without a name: its number is never used again while the machine runs. */
static bool is_nameless(int fd)
{
    struct statfs about;
    return fstatfs(fd, &about) == 0 && (uint64_t)about.f_type == PIPEFS_MAGIC;
}

static uint64_t header_checksum(const struct journal_header *header)
{
    return XXH3_64bits(header, offsetof(struct journal_header, checksum));
}

/* Whether a journal left behind is of the pipe or file that is open now. */
static bool is_same(const struct input *self, const struct journal_header *left)
{
    bool same = left->dev == self->present.dev && left->ino == self->present.ino;
    if (self->is_file) {
        return same;
    }
    return same && left->boot == self->present.boot &&
           (is_nameless(self->fd) || fcntl(self->fd, F_GETPIPE_SZ) == PIPE_BYTES);
}

static int open_source(struct input *self)
{
    struct stat about;
    self->fd = self->path == NULL ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                  : open(self->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (self->fd < 0 || fstat(self->fd, &about) != 0) {
        return failed(self, "read");
    }
    self->is_file = S_ISREG(about.st_mode);
    if (!self->is_file && !S_ISFIFO(about.st_mode)) {
        return error_set(
            LOOM_EUSAGE,
            "%s is neither a pipe nor a file; pipe the frames in (SENDER | loom ...), or give `file`, "
            "`pull` or `confirm`",
            input_name(self));
    }
    self->present =
        (struct journal_header){.boot = boot_number(), .dev = about.st_dev, .ino = about.st_ino, .sender = 1};
    memcpy(self->present.magic, magic, sizeof magic);
    return 0;
}

/* ---- the journal ---- */

static int write_all(int fd, const void *data, size_t bytes)
{
    const uint8_t *next = data;
    while (bytes > 0) {
        ssize_t n = write(fd, next, bytes);
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        next += n > 0 ? n : 0;
        bytes -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Make the journal anew: `about`, from offset `start` on, with the bytes from there to the end. Whoever is
 * killed on the way leaves the old one. A file's is only the header, which must be found again after a crash. */
static int make_journal(struct input *self, uint64_t start)
{
    const uint8_t *tail = NULL;
    size_t n = 0;
    int status = self->is_file ? 0 : input_view(self, start, (size_t)(self->end - start), &tail, &n);
    if (status < 0) {
        return status;
    }
    self->about.start = start;
    self->about.checksum = header_checksum(&self->about);
    int fd = open(self->temporary_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || write_all(fd, &self->about, sizeof self->about) < 0 || write_all(fd, tail, n) < 0 ||
        (self->is_file && fsync(fd) != 0) || rename(self->temporary_path, self->journal_path) != 0) {
        status = journal_failed(self);
        if (fd >= 0) {
            close(fd);
        }
        return status;
    }
    if (self->journal >= 0) {
        close(self->journal);
    }
    self->journal = fd;
    return 0;
}

/* A journal that an earlier process left, with all that is in it. *found: there is one of use. */
static int load_journal(struct input *self, struct journal_header *left, uint64_t *end, bool *found)
{
    struct stat about;
    *found = false;
    self->journal = open(self->journal_path, O_RDWR | O_CLOEXEC);
    if (self->journal < 0) {
        return errno == ENOENT ? 0 : journal_failed(self);
    }
    if (fstat(self->journal, &about) != 0) {
        return journal_failed(self);
    }
    ssize_t n = pread(self->journal, left, sizeof *left, 0);
    *found = n == (ssize_t)sizeof *left && memcmp(left->magic, magic, sizeof magic) == 0 &&
             left->checksum == header_checksum(left);
    *end = *found ? left->start + (uint64_t)about.st_size - sizeof *left : 0;
    return 0;
}

/* Begin with the sender behind fd. */
static int begin_present(struct input *self, struct input_place *place)
{
    self->about = self->present;
    self->earlier = false;
    self->end = 0;
    self->held = 0;
    *place = (struct input_place){.sender = self->about.sender};
    return make_journal(self, 0);
}

/* Go on with the journal that is there, or with a file. */
static int go_on(struct input *self, const struct journal_header *left, uint64_t end, bool same,
                 struct input_place *place)
{
    struct stat about;
    self->about = *left;
    self->end = end;
    self->earlier = !same;
    self->present.sender = self->earlier ? left->sender + 1 : left->sender;
    *place = (struct input_place){left->sender, left->sender == place->sender ? place->offset : 0};
    if (!self->is_file || self->earlier) {
        return 0;
    }
    if (fstat(self->fd, &about) != 0) {
        return failed(self, "read");
    }
    return (uint64_t)about.st_size >= place->offset
               ? 0
               : error_set(
                     LOOM_EDATA,
                     "%s has become shorter: %ju bytes of it were taken, and now it has %jd; begin anew in "
                     "another run folder",
                     input_name(self), (uintmax_t)place->offset, (intmax_t)about.st_size);
}

/* Find where to begin. */
static int begin(struct input *self, struct input_place *place)
{
    struct journal_header left = {.sender = 0};
    uint64_t end = 0;
    bool found = false;
    int status = load_journal(self, &left, &end, &found);
    if (status < 0) {
        return status;
    }
    bool same = found && is_same(self, &left);
    if (!self->is_file && fcntl(self->fd, F_SETPIPE_SZ, PIPE_BYTES) < 0) {
        log_info("%s: its size cannot be set: %s", input_name(self), strerror(errno));
    }
    /* Bytes that lie in the journal of an earlier pipe still count, unless the machine has crashed in
     * between. */
    bool fits = left.sender > place->sender ||
                (left.sender == place->sender && (self->is_file || place->offset <= end));
    if (found && fits && (same || (left.boot == self->present.boot && end > left.start))) {
        return go_on(self, &left, end, same, place);
    }
    self->present.sender = (found && left.sender > place->sender ? left.sender : place->sender) + 1;
    return begin_present(self, place);
}

int input_open(struct input **self_p, const char *path, const char *folder, struct input_place *place)
{
    *self_p = NULL;
    struct input *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for the input");
    }
    self->fd = self->journal = -1;
    self->capacity = READ_BYTES;
    self->buffer = malloc(self->capacity);
    bool standard = path[0] == '\0' || strcmp(path, "-") == 0;
    self->path = standard ? NULL : strdup(path);
    int status = error_set(LOOM_EINTERNAL, "out of memory for the input");
    if (self->buffer == NULL || (!standard && self->path == NULL)) {
        goto fail;
    }
    if (asprintf(&self->journal_path, "%s/input", folder) < 0) {
        self->journal_path = NULL;
        goto fail;
    }
    if (asprintf(&self->temporary_path, "%s/input.tmp", folder) < 0) {
        self->temporary_path = NULL;
        goto fail;
    }
    status = open_source(self);
    if (status == 0) {
        status = begin(self, place);
    }
    if (status < 0) {
        goto fail;
    }
    *self_p = self;
    return 0;
fail:
    input_close(&self);
    return status;
}

void input_close(struct input **self_p)
{
    struct input *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->fd >= 0) {
        close(self->fd);
    }
    if (self->journal >= 0) {
        close(self->journal);
    }
    free(self->buffer);
    free(self->path);
    free(self->journal_path);
    free(self->temporary_path);
    free(self);
    *self_p = NULL;
}

/* ---- taking ---- */

/* Look whether the pipe holds bytes, *some, or has ended; a FIFO that nobody has opened yet has not. */
static int look(struct input *self, bool *some)
{
    struct pollfd poll_fd = {.fd = self->fd, .events = POLLIN};
    *some = false;
    if (poll(&poll_fd, 1, 0) < 0) {
        return errno == EINTR ? 0 : failed(self, "wait for");
    }
    *some = (poll_fd.revents & POLLIN) != 0;
    self->ended = !*some && (poll_fd.revents & POLLHUP) != 0;
    return 0;
}

/* One move out of the pipe into the journal; *more: there may be more at once. */
static int take(struct input *self, bool *more)
{
    *more = false;
    bool some = false;
    int status = look(self, &some);
    if (status < 0 || !some) {
        return status;
    }
    loff_t at = (loff_t)(sizeof self->about + (self->end - self->about.start));
    ssize_t n = splice(self->fd, NULL, self->journal, &at, READ_BYTES, SPLICE_F_NONBLOCK);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        return errno == EINVAL ? error_set(LOOM_EIO,
                                           "the file system of %s cannot take bytes out of a pipe (splice); "
                                           "put the run's folder "
                                           "on another one",
                                           self->journal_path)
                               : journal_failed(self);
    }
    self->ended = n == 0;
    self->end += n > 0 ? (uint64_t)n : 0;
    *more = n > 0;
    return 0;
}

int input_fill(struct input *self, uint64_t offset, size_t most)
{
    struct stat about;
    if (self->is_file && !self->earlier) {
        if (fstat(self->fd, &about) != 0) {
            return failed(self, "read");
        }
        self->end = (uint64_t)about.st_size;
        self->ended = true;
        return 0;
    }
    int status = 0;
    for (bool more = !self->earlier && !self->ended; status == 0 && more && self->end - offset < most;) {
        status = take(self, &more);
    }
    return status;
}

/* Fill the buffer from behind what it holds until it holds `want` bytes, or all there are. */
static int read_more(struct input *self, size_t want)
{
    if (want > self->capacity) {
        uint8_t *grown = realloc(self->buffer, want);
        if (grown == NULL) {
            return error_set(LOOM_EINTERNAL, "out of memory for %zu bytes of %s", want, input_name(self));
        }
        self->buffer = grown;
        self->capacity = want;
    }
    bool from_file = self->is_file && !self->earlier;
    while (self->held < want && self->held_from + self->held < self->end) {
        uint64_t at = self->held_from + self->held, left = self->end - at;
        size_t room = self->capacity - self->held, n = left < room ? (size_t)left : room;
        uint64_t place = from_file ? at : sizeof self->about + (at - self->about.start);
        ssize_t got = pread(from_file ? self->fd : self->journal, self->buffer + self->held, n, (off_t)place);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            errno = got == 0 ? ENODATA : errno; /* shorter than it was a moment ago */
            return failed(self, "read");
        }
        self->held += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

int input_view(struct input *self, uint64_t offset, size_t want, const uint8_t **bytes, size_t *n)
{
    if (offset < self->held_from || offset > self->held_from + self->held) {
        self->held_from = offset;
        self->held = 0;
    }
    size_t skip = (size_t)(offset - self->held_from);
    if (self->held - skip < want && self->held_from + self->held < self->end) {
        self->held -= skip;
        memmove(self->buffer, self->buffer + skip, self->held);
        self->held_from = offset;
        skip = 0;
        int status = read_more(self, want);
        if (status < 0) {
            return status;
        }
    }
    *bytes = self->buffer + skip;
    *n = self->held - skip < want ? self->held - skip : want;
    return 0;
}

uint64_t input_end(const struct input *self)
{
    return self->end;
}

bool input_has_ended(const struct input *self)
{
    return self->earlier || self->ended;
}

int input_check_end(struct input *self)
{
    bool some = false;
    return self->is_file || self->earlier ? 0 : look(self, &some);
}

int input_release(struct input *self, uint64_t offset)
{
    uint64_t used = offset - self->about.start, left = self->end - offset;
    return self->is_file || self->earlier || used < ROTATE_BYTES || used < left ? 0
                                                                                : make_journal(self, offset);
}

bool input_is_earlier(const struct input *self)
{
    return self->earlier;
}

int input_next_sender(struct input *self, struct input_place *place)
{
    return begin_present(self, place);
}

void input_discard(struct input *self)
{
    if (!self->is_file) {
        unlink(self->journal_path);
    }
}

int input_fd(const struct input *self)
{
    return self->is_file || self->earlier || self->ended ? -1 : self->fd;
}

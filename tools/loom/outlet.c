/* See outlet.h. */
#include "outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

#define NOTE_BYTES 64

/* As write(), but a terminal, pipe or socket that takes nothing now gives EAGAIN. */
static ssize_t write_now(const struct outlet *self, const char *bytes, size_t n)
{
    if (self->again >= 0) {
        return write(self->again, bytes, n);
    }
    ssize_t sent = send(self->of, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 && errno == ENOTSOCK ? write(self->of, bytes, n) : sent;
}

/* Write as much as is taken; true if it goes on. What cannot be written at all (the reader has
 * gone, the disk is full) counts as written: there is nobody to be told. */
static bool advance(struct outlet *self, ssize_t written)
{
    if (written < 0 && (errno == EAGAIN || errno == EINTR)) {
        return errno == EINTR;
    }
    size_t n = written < 0 ? self->n_kept : (size_t)written;
    self->n_kept -= n;
    memmove(self->kept, self->kept + n, self->n_kept);
    return self->n_kept > 0;
}

void outlet_drain(struct outlet *self)
{
    while (self->n_kept > 0 && advance(self, write_now(self, self->kept, self->n_kept))) {
    }
}

/* Once nothing is kept: what is missing here. */
static void say_left_out(struct outlet *self)
{
    if (self->left_out > 0) {
        self->n_kept = (size_t)snprintf(self->kept, NOTE_BYTES, "(%" PRIu64 " bytes were not read in time)\n",
                                        self->left_out);
        self->left_out = 0;
    }
}

/* What a flush hands over. */
static ssize_t take(void *cookie, const char *bytes, size_t n)
{
    struct outlet *self = cookie;
    outlet_drain(self);
    if (self->n_kept == 0) {
        say_left_out(self);
    }
    if (self->left_out > 0 || self->n_kept + n > OUTLET_BYTES) {
        self->left_out += n;
        return (ssize_t)n;
    }
    memcpy(self->kept + self->n_kept, bytes, n);
    self->n_kept += n;
    outlet_drain(self);
    return (ssize_t)n;
}

int outlet_open(struct outlet *self, FILE *stream)
{
    struct stat is;
    char path[32];
    *self = (struct outlet){.of = fileno(stream), .again = -1};
    fflush(stream);
    self->out = fopencookie(self, "w", (cookie_io_functions_t){.write = take});
    if (!self->out || setvbuf(self->out, self->buffer, _IOFBF, sizeof self->buffer) != 0) {
        outlet_close(self);
        return error_set(LOOM_EINTERNAL, "there is no memory for what is to be shown");
    }
    if (fstat(self->of, &is) == 0 && (S_ISFIFO(is.st_mode) || S_ISCHR(is.st_mode))) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", self->of);
        self->again = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    return LOOM_OK;
}

static void write_all(struct outlet *self)
{
    while (self->n_kept > 0) {
        poll(&(struct pollfd){.fd = self->of, .events = POLLOUT}, 1, -1);
        advance(self, write(self->of, self->kept, self->n_kept));
    }
}

void outlet_close(struct outlet *self)
{
    if (!self->out) {
        return; /* it was never opened */
    }
    fclose(self->out);
    write_all(self);
    say_left_out(self);
    write_all(self);
    if (self->again >= 0) {
        close(self->again);
    }
    *self = (struct outlet){.of = -1, .again = -1};
}

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
    if (self->fd >= 0) {
        return write(self->fd, bytes, n);
    }
    ssize_t sent = send(STDOUT_FILENO, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 && errno == ENOTSOCK ? write(STDOUT_FILENO, bytes, n) : sent;
}

/* Write as much as is taken; true if it goes on. What nobody can ever read (the reader has gone) counts as written. */
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

/* What a flush hands over. */
static ssize_t take(void *cookie, const char *bytes, size_t n)
{
    struct outlet *self = cookie;
    outlet_drain(self);
    if (self->left_out > 0 && self->n_kept == 0) {
        self->n_kept = (size_t)snprintf(self->kept, NOTE_BYTES, "(%" PRIu64 " bytes were not read in time)\n",
                                        self->left_out);
        self->left_out = 0;
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

int outlet_open(struct outlet *self)
{
    struct stat is;
    *self = (struct outlet){.fd = -1};
    fflush(stdout);
    self->out = fopencookie(self, "w", (cookie_io_functions_t){.write = take});
    if (!self->out || setvbuf(self->out, NULL, _IOFBF, OUTLET_BYTES / 2) != 0) {
        outlet_close(self);
        return error_set(LOOM_EINTERNAL, "there is no memory for what is to be shown");
    }
    if (fstat(STDOUT_FILENO, &is) == 0 && (S_ISFIFO(is.st_mode) || S_ISCHR(is.st_mode))) {
        self->fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    return LOOM_OK;
}

void outlet_close(struct outlet *self)
{
    if (self->out) {
        fclose(self->out);
    }
    while (self->n_kept > 0) {
        poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, -1);
        advance(self, write(STDOUT_FILENO, self->kept, self->n_kept));
    }
    if (self->fd >= 0) {
        close(self->fd);
    }
    *self = (struct outlet){.fd = -1};
}

/* See durable_file.h. */
#include "durable_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_BYTES_MAX ((size_t)1 << 30) /* a single write() takes less than 2 GiB */

static const struct durable_file none = {.fd = -1, .path = NULL, .temporary = NULL};

int durable_file_begin(struct durable_file *self, const char *path)
{
    *self = none;
    self->path = strdup(path);
    if (self->path == NULL || asprintf(&self->temporary, "%s.tmp", path) < 0) {
        self->temporary = NULL;
        durable_file_abandon(self);
        return error_set(LOOM_EINTERNAL, "out of memory while beginning the file %s", path);
    }
    if (unlink(self->temporary) == 0 ||
        errno == ENOENT) { /* what a killed process left; a link is not followed */
        self->fd = open(self->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    if (self->fd < 0) {
        int status = error_set(LOOM_EIO, "cannot make the file %s: %s", path, strerror(errno));
        free(self->temporary);
        self->temporary = NULL;
        durable_file_abandon(self);
        return status;
    }
    return LOOM_OK;
}

int durable_file_write(struct durable_file *self, const void *data, size_t bytes)
{
    const char *next = data;
    while (bytes > 0) {
        ssize_t written = write(self->fd, next, bytes < WRITE_BYTES_MAX ? bytes : WRITE_BYTES_MAX);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return error_set(LOOM_EIO, "cannot write the file %s: %s", self->path, strerror(errno));
        }
        next += written;
        bytes -= (size_t)written;
    }
    return LOOM_OK;
}

/* Sync the folder that holds `path`: only then is a new name in it certain to survive a power cut. */
static int sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (folder == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory while syncing the folder of %s", path);
    }
    int status = LOOM_OK;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL)) { /* EINVAL: a file system that cannot sync folders */
        status = error_set(LOOM_EIO, "cannot sync the folder %s: %s", folder, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    free(folder);
    return status;
}

int durable_file_commit(struct durable_file *self)
{
    if (fsync(self->fd) < 0) {
        return error_set(LOOM_EIO, "cannot sync the file %s: %s", self->path, strerror(errno));
    }
    int fd = self->fd;
    self->fd = -1;
    if (close(fd) < 0) {
        return error_set(LOOM_EIO, "cannot close the file %s: %s", self->path, strerror(errno));
    }
    if (rename(self->temporary, self->path) < 0) {
        return error_set(LOOM_EIO, "cannot rename %s to %s: %s", self->temporary, self->path,
                         strerror(errno));
    }
    int status = sync_folder(self->path);
    free(self->temporary);
    self->temporary = NULL;
    if (status == LOOM_OK) {
        durable_file_abandon(self);
    }
    return status;
}

void durable_file_abandon(struct durable_file *self)
{
    if (self->fd >= 0) {
        close(self->fd);
    }
    if (self->temporary != NULL) {
        unlink(self->temporary);
    }
    free(self->temporary);
    free(self->path);
    *self = none;
}

int durable_file_make_folders(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory while making the folders of %s", path);
    }
    int status = LOOM_OK;
    for (char *slash = strchr(copy + 1, '/'); status == LOOM_OK && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0777) < 0 && errno != EEXIST) {
            status = error_set(LOOM_EIO, "cannot make the folder %s: %s", copy, strerror(errno));
        }
        *slash = '/';
    }
    free(copy);
    return status;
}

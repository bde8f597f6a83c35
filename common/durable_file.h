/* Files that are there whole or not at all: written under a temporary name in the same folder, synced,
 * renamed over the real one, and the folder synced. A reader sees the old file or the new one, never a torn
 * one; a process killed half-way leaves at most PATH.tmp, which the next writer of PATH takes over. One
 * writer a path at a time. */
#ifndef LOOM_COMMON_DURABLE_FILE_H
#define LOOM_COMMON_DURABLE_FILE_H

#include <stddef.h>

#include "error.h"

struct durable_file {
    int fd;          /* of the temporary file, to be written; -1: none */
    char *path;      /* where it will stand; owned */
    char *temporary; /* PATH.tmp; owned */
};

/* Begin: make the temporary file, so that a missing or read-only folder shows at once. LOOM_EIO with the path
 * and the reason. On failure there is nothing to abandon. */
int durable_file_begin(struct durable_file *self, const char *path) LOOM_MUST_CHECK;

/* Append bytes. LOOM_EIO with the path and the reason (a full disk, ...). */
int durable_file_write(struct durable_file *self, const void *data, size_t bytes) LOOM_MUST_CHECK;

/* Make it durable under its name. On failure the caller still abandons it. */
int durable_file_commit(struct durable_file *self) LOOM_MUST_CHECK;

/* Remove the temporary file if it was not committed and free; harmless when repeated. */
void durable_file_abandon(struct durable_file *self);

/* Make the folders above `path` that are missing. LOOM_EIO with the folder and the reason. */
int durable_file_make_folders(const char *path) LOOM_MUST_CHECK;

#endif

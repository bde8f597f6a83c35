/* See checkpoints.h. */
#include "checkpoints.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "durable_file.h"

static int compare_frames(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The frame in "<stage>-<frame>.h5"; 0 (and false) for any other name. */
static int parse_name(const char *name, const char *stage, uint64_t *frame)
{
    size_t length = strlen(stage);
    int used = 0;
    if (strncmp(name, stage, length) != 0 || name[length] != '-' || name[length + 1] < '0' ||
        name[length + 1] > '9') {
        return 0;
    }
    const char *digits = name + length + 1;
    return sscanf(digits, "%" SCNu64 ".h5%n", frame, &used) == 1 && used > 0 && digits[used] == '\0';
}

int checkpoints_open(struct checkpoints *self, const char *run, const char *stage)
{
    memset(self, 0, sizeof *self);
    snprintf(self->stage, sizeof self->stage, "%s", stage);
    if (snprintf(self->folder, sizeof self->folder, "%s/checkpoints", run) >=
        (int)sizeof self->folder - 128) {
        return error_set(LOOM_EUSAGE, "the run folder's path is too long: '%.200s...'", run);
    }
    char path[sizeof self->folder + 128];
    checkpoints_path(self, 0, path, sizeof path);
    int status = durable_file_make_folders(path);
    if (status < 0) {
        return status;
    }
    DIR *folder = opendir(self->folder);
    if (folder == NULL) {
        return error_set(LOOM_EIO, "cannot read the folder '%s': %s", self->folder, strerror(errno));
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(folder)) != NULL && self->count < CHECKPOINTS_MAX) {
        uint64_t frame = 0;
        if (parse_name(entry->d_name, stage, &frame)) {
            self->frames[self->count++] = frame;
        }
    }
    closedir(folder);
    qsort(self->frames, self->count, sizeof self->frames[0], compare_frames);
    return 0;
}

void checkpoints_path(const struct checkpoints *self, uint64_t frame, char *path, size_t size)
{
    snprintf(path, size, "%s/%s-%" PRIu64 ".h5", self->folder, self->stage, frame);
}

static void drop(struct checkpoints *self, size_t i)
{
    char path[sizeof self->folder + 128];
    checkpoints_path(self, self->frames[i], path, sizeof path);
    unlink(path); /* one that stays is harmless: it is found and pruned again */
    self->count--;
    memmove(&self->frames[i], &self->frames[i + 1], (self->count - i) * sizeof self->frames[0]);
}

void checkpoints_rewind(struct checkpoints *self)
{
    while (self->count > 1) {
        drop(self, self->count - 1);
    }
}

void checkpoints_add(struct checkpoints *self, uint64_t frame)
{
    if (self->count > 0 && self->frames[self->count - 1] == frame) {
        return;
    }
    if (self->count == CHECKPOINTS_MAX) {
        drop(self, self->count / 2);
    }
    self->frames[self->count++] = frame;
}

uint64_t checkpoints_prune(struct checkpoints *self, uint64_t ack)
{
    while (self->count > 1 && self->frames[1] <= ack) {
        drop(self, 0);
    }
    while (self->count > 4) {
        drop(self, 1);
    }
    return self->count == 0 ? 0 : self->frames[0];
}

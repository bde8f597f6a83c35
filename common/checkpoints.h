/* Checkpoints: the files <run>/checkpoints/<stage>-<frame>.h5, of which a stage keeps as many as a restart
 * can need.
 *
 * A restarted stage must be able to make again everything that a reader has not acknowledged yet. So the
 * oldest file kept is the newest one at or before the smallest acknowledgement from below; that is where a
 * restart begins, and its frame is what the stage acknowledges upstream. */
#ifndef LOOM_COMMON_CHECKPOINTS_H
#define LOOM_COMMON_CHECKPOINTS_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define CHECKPOINTS_MAX 16

struct checkpoints {
    char folder[4096], stage[64];
    uint64_t frames[CHECKPOINTS_MAX]; /* of the files kept, ascending */
    size_t count;
};

/* List the files of `stage` in <run>/checkpoints, which is made if missing. LOOM_EIO if it cannot be. */
int checkpoints_open(struct checkpoints *self, const char *run, const char *stage) LOOM_MUST_CHECK;

/* Remove all files but the oldest, from which the stage begins again: the others will be made again. */
void checkpoints_rewind(struct checkpoints *self);

/* Path of the file at `frame`. */
void checkpoints_path(const struct checkpoints *self, uint64_t frame, char *path, size_t size);

/* Note that the file at `frame`, which is not older than the newest, has been written. */
void checkpoints_add(struct checkpoints *self, uint64_t frame);

/* Remove the files that no restart can need, given the smallest acknowledgement from below, and return the
 * frame of the oldest one kept; 0 if there is none. If many are kept, some between the oldest and the newest
 * go, too. */
uint64_t checkpoints_prune(struct checkpoints *self, uint64_t ack);

#endif

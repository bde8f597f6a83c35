/* Bytes of a pipe, a FIFO or a file, such that a process killed at any moment loses none and sees none twice.
 *
 * A file is read where it stands. What comes out of a pipe is gone from it; so it does not go through this
 * process's memory: the kernel moves it straight into a file, the journal (splice(2)), and the length of that
 * file is how much has been taken, whenever the process dies. The next process finds the rest there and goes
 * on reading the same pipe. The journal need not be synced: after a crash of the machine the pipe's other end
 * is gone as well, and the journal is discarded (what was accepted by then is the caller's affair).
 *
 * Bytes are counted from 0 for each sender, a sender being one pipe or file. If another process's journal is
 * found but standard input is another pipe than then, the journal's bytes come first, and then
 * input_next_sender moves on.
 *
 * What counts as the same pipe: one without a name, by its number; a FIFO, if some process has held it open
 * all the time (then its size, which is set when it is opened, is still there). */
#ifndef LOOM_STAGES_INPUT_H
#define LOOM_STAGES_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct input;

/* A place in the input: byte `offset` of sender number `sender`; senders count from 1. */
struct input_place {
    uint64_t sender, offset;
};

/* Open `path`, or standard input if it is "" or "-", to go on behind *place (sender 0: at the beginning),
 * which is updated to where reading really goes on. The journal lies in `folder`, which is there. LOOM_EIO if
 * the input or journal cannot be used, LOOM_EUSAGE if standard input is neither a pipe nor a file, LOOM_EDATA
 * if a file has become shorter. The caller owns *self_p. */
int input_open(struct input **self_p, const char *path, const char *folder,
               struct input_place *place) LOOM_MUST_CHECK;

/* Close; the journal stays. Harmless on NULL. */
void input_close(struct input **self_p);

/* What to call it in messages: "standard input", or the path. */
const char *input_name(const struct input *self);

/* Take what has come, without waiting, but let no more than about `most` bytes lie behind `offset`. */
int input_fill(struct input *self, uint64_t offset, size_t most) LOOM_MUST_CHECK;

/* The bytes from `offset` on, `want` of them or as many as there are: *n. Valid until the next call. */
int input_view(struct input *self, uint64_t offset, size_t want, const uint8_t **bytes,
               size_t *n) LOOM_MUST_CHECK;

/* Bytes of this sender taken so far, and whether there will be no more of them. */
uint64_t input_end(const struct input *self);
bool input_has_ended(const struct input *self);

/* Look again whether it has ended: another writer may have opened the FIFO since, and goes on with it. */
int input_check_end(struct input *self) LOOM_MUST_CHECK;

/* All before `offset` is durable elsewhere. */
int input_release(struct input *self, uint64_t offset) LOOM_MUST_CHECK;

/* Whether what has ended was an earlier sender, and the present one comes behind it. */
bool input_is_earlier(const struct input *self);

/* Go on to the present sender: *place is its beginning. */
int input_next_sender(struct input *self, struct input_place *place) LOOM_MUST_CHECK;

/* What it holds is of no use: the next process is to begin with a new sender, unless it is a file. */
void input_discard(struct input *self);

/* What to wait on for more; -1: there is nothing to wait for. */
int input_fd(const struct input *self);

#endif

/* The spool: frames that cannot be had again, kept on disk until they are not needed any more.
 *
 * A folder of
 *     about          label, shape and type of the frames
 *     N.frames       a segment: a header and then slots, one a frame, from frame N on; no slot crosses a segment
 *     end            number of frames in all, once the last has come
 * A slot is a checksum (XXH3, 64 bits, of the rest of the slot, seeded with the frame's number), the place of
 * the input behind the frame (struct spool_mark), and the frame's bytes. Frames are durable after spool_sync
 * (fdatasync); what a killed process left half-written behind them is cut off when the spool is opened. The
 * oldest segments are removed once nobody needs their frames; the newest stays, for its mark.
 *
 * One process at a time: the folder is locked. Numbers are in the machine's byte order: a spool does not move
 * to another kind of machine. */
#ifndef LOOM_STAGES_SPOOL_H
#define LOOM_STAGES_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "stream.h"

#define SPOOL_LABEL_BYTES 128 /* with its NUL */

struct spool;

/* Where the input stood behind a frame; what it means is the caller's. */
struct spool_mark {
    uint64_t sender, offset, skip;
};

struct spool_shape {
    size_t height, width;
    enum stream_dtype dtype;
};

/* Open the spool in `folder`, or begin one, of at most max_bytes. label: "" for the spool's own, which is
 * random and made with it. LOOM_EPEER if another process has it open, LOOM_EUSAGE if it has another label,
 * LOOM_EDATA if it is damaged, LOOM_EIO. The caller owns *self_p. */
int spool_open(struct spool **self_p, const char *folder, const char *label,
               uint64_t max_bytes) LOOM_MUST_CHECK;

/* Close; frames appended since the last spool_sync may be lost. Harmless on NULL. */
void spool_close(struct spool **self_p);

const char *spool_label(const struct spool *self);

/* Shape of the frames, or NULL before spool_describe. */
const struct spool_shape *spool_shape(const struct spool *self);

/* Settle the shape, durably. LOOM_EDATA if the frames in it have another one, LOOM_EUSAGE if the spool is too
 * small for such frames. */
int spool_describe(struct spool *self, const struct spool_shape *shape) LOOM_MUST_CHECK;

/* Oldest frame held, first that is not durable yet, and frames in all (UINT64_MAX before spool_end). */
uint64_t spool_base(const struct spool *self);
uint64_t spool_next(const struct spool *self); /* the first that has not been appended */
uint64_t spool_head(const struct spool *self);
uint64_t spool_total(const struct spool *self);

/* Frames that fit at most, once described. */
uint64_t spool_capacity(const struct spool *self);

/* Whether n more frames fit. */
bool spool_has_room(const struct spool *self, uint64_t n);

/* The mark of the newest frame, all zero if there has been none. */
struct spool_mark spool_last_mark(const struct spool *self);

/* Append a frame (height x width bytes or floats, unaligned), for which there is room. */
int spool_append(struct spool *self, const void *frame, const struct spool_mark *mark) LOOM_MUST_CHECK;

/* Make all that was appended durable. */
int spool_sync(struct spool *self) LOOM_MUST_CHECK;

/* The stream ends behind the frames that are durable; durable itself on return. */
int spool_end(struct spool *self) LOOM_MUST_CHECK;

/* Frames seq .. seq + n - 1, all held and durable, to `out`. LOOM_EDATA if a checksum does not fit. */
int spool_read(struct spool *self, uint64_t seq, size_t n, void *out) LOOM_MUST_CHECK;

/* Frames before `ack` are not needed any more. */
int spool_release(struct spool *self, uint64_t ack) LOOM_MUST_CHECK;

#endif

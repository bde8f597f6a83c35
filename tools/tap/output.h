/* What `loom tap` writes: blocks of a stream, or weights, in one of four forms, to standard output or to a
 * file.
 *
 *     msgpack   one map a block, complete in itself: a `data` message of PROTOCOL.md with the keys kind,
 *               shape, dtype, grid, pass, total, stage and name of the stream's description. Weights and
 *               metrics: the tap's message
 *     raw       rows without anything between them: frames height x width u1 or f4; activations M f4;
 *               codes N f4, one for each unit, 0 for those that did not win; weights rows x cols f4
 *     npy       the same rows as one array; but codes keep their form, as a structured array of index and
 *               value
 *     y4m       pictures of the same: frames, grids of activations and codes, weight maps. Grey YUV4MPEG2 */
#ifndef LOOM_TOOLS_TAP_OUTPUT_H
#define LOOM_TOOLS_TAP_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "message.h"
#include "stream.h"

enum form { FORM_MSGPACK, FORM_RAW, FORM_NPY, FORM_Y4M };

/* Not an error: who read standard output has gone. */
#define OUTPUT_CLOSED 1

struct output_settings {
    enum form form;
    const char *path;      /* file; NULL: standard output */
    uint64_t rows;         /* npy: how many are wanted */
    double fps;            /* y4m: pictures a second */
    size_t scale;          /* y4m: pixels a number */
    double white;          /* y4m: value shown white; 0: 1 for frames, otherwise the largest so far */
    bool (*stopped)(void); /* whether to give up when a signal interrupts a write */
};

struct output;

/* Make the file, if any. Settings are copied, the path is borrowed. LOOM_EIO if it cannot be made. */
int output_new(struct output **self_p, const struct output_settings *settings) LOOM_MUST_CHECK;

/* Remove an unfinished file, free, null; harmless on NULL. */
void output_destroy(struct output **self_p);

/* What follows is blocks of this stream; or weights like these. LOOM_EDATA if the form cannot hold them. */
int output_begin_stream(struct output *self, const struct stream_info *info) LOOM_MUST_CHECK;
int output_begin_weights(struct output *self, const struct message *weights) LOOM_MUST_CHECK;

/* Write. Returns 0, OUTPUT_CLOSED, LOOM_EIO, LOOM_EDATA or LOOM_EINTERRUPTED. Waits as long as the reader
 * of standard output does not take it. fields need not be aligned. */
int output_block(struct output *self, const struct stream_info *info, const struct block *block,
                 bool eos) LOOM_MUST_CHECK;
int output_weights(struct output *self, const struct message *weights) LOOM_MUST_CHECK;

/* Write a message as it is: msgpack only. */
int output_message(struct output *self, const void *bytes, size_t size) LOOM_MUST_CHECK;

/* Rows written so far. */
uint64_t output_rows(const struct output *self);

/* Finish the file, and put it in its place, with as many rows as have come. */
int output_finish(struct output *self) LOOM_MUST_CHECK;

#endif

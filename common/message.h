/* Messages between stages, as in PROTOCOL.md: one MessagePack map each.
 *
 * Writing returns a ready zmq_msg_t. Reading is bounded: it allocates nothing, and what it returns points
 * into the message's bytes. */
#ifndef LOOM_COMMON_MESSAGE_H
#define LOOM_COMMON_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#include "error.h"
#include "stream.h"

#define MESSAGE_REQUEST_MAX 4096               /* bytes of a request at most */
#define MESSAGE_REPLY_MAX ((int64_t)256 << 20) /* bytes of a reply at most */

enum message_type {
    MESSAGE_DESCRIBE, /* consumer: what stream is this? */
    MESSAGE_WAIT,     /* producer: it is not known yet; ask again */
    MESSAGE_STREAM,   /* producer: this one */
    MESSAGE_FETCH,    /* consumer: give me n frames from `seq` on; all before `ack` are durable here */
    MESSAGE_DATA,     /* producer: here they are */
    MESSAGE_GONE,     /* producer: frames before `base` are no longer held */
    MESSAGE_ERR,      /* producer: that request cannot be served: why */
    MESSAGE_WEIGHTS,  /* tap: a layer's weights */
    MESSAGE_METRICS,  /* tap: the metrics of a pass */
};

/* A binary field of a message, borrowed. */
struct message_field {
    const char *name; /* not terminated */
    size_t name_bytes;
    const uint8_t *data;
    size_t bytes;
};

struct message {
    enum message_type type;
    struct stream_info info;     /* STREAM: all; others: id, stage and name as far as given */
    uint64_t seq;                /* FETCH: from; DATA: of the first frame; WEIGHTS, METRICS: frames done */
    uint64_t n;                  /* FETCH: wanted; DATA: sent */
    uint64_t ack;                /* FETCH; UINT64_MAX: an optional reader that never acknowledges */
    uint64_t base, head;         /* STREAM, GONE: oldest frame held; STREAM: first frame not yet made */
    uint64_t pass;               /* WEIGHTS, METRICS: passes done */
    uint64_t count;              /* WEIGHTS, METRICS: numbers of this topic so far, to tell drops */
    bool eos;                    /* DATA: the stream ends behind these frames */
    char who[STREAM_NAME_BYTES]; /* DESCRIBE, FETCH: the reader's name */
    char why[256];               /* ERR */
    char serves[256];            /* STREAM from a tap: where the stream is served; "": not told */
    struct message_field fields[8];
    size_t n_fields;
    struct metric metrics[STREAM_METRICS_MAX]; /* DATA, METRICS; names in metric_names */
    char metric_names[STREAM_METRICS_MAX][STREAM_METRIC_NAME_BYTES];
    size_t n_metrics;
    uint64_t rows, cols; /* WEIGHTS */
    uint64_t input_width, input_height;
};

/* Understand `size` bytes. LOOM_EDATA with what is wrong; *message is then meaningless. Metrics' names point
 * into *message: do not copy it. */
int message_read(struct message *message, const void *bytes, size_t size) LOOM_MUST_CHECK;

/* Write a message into *out, which the caller sends or closes. LOOM_EINTERNAL if memory runs out. */
int message_write_describe(zmq_msg_t *out, const char *who) LOOM_MUST_CHECK;
int message_write_wait(zmq_msg_t *out) LOOM_MUST_CHECK;
int message_write_stream(zmq_msg_t *out, const struct stream_info *info, uint64_t base,
                         uint64_t head) LOOM_MUST_CHECK;
/* The same for a tap: with the endpoint at which the stream itself is served; "": it is not. */
int message_write_tapped(zmq_msg_t *out, const struct stream_info *info, uint64_t base, uint64_t head,
                         const char *serves) LOOM_MUST_CHECK;
int message_write_fetch(zmq_msg_t *out, const char *id, uint64_t from, uint64_t n, uint64_t ack,
                        const char *who) LOOM_MUST_CHECK;
int message_write_data(zmq_msg_t *out, const struct stream_info *info, const struct block *block,
                       bool eos) LOOM_MUST_CHECK;
/* Also with what stream they are of (kind, shape, dtype, grid, pass, total, stage, name): for readers that know
 * nothing else. */
int message_write_block(zmq_msg_t *out, const struct stream_info *info, const struct block *block,
                        bool eos) LOOM_MUST_CHECK;
int message_write_gone(zmq_msg_t *out, const char *id, uint64_t base) LOOM_MUST_CHECK;
int message_write_err(zmq_msg_t *out, const char *id, const char *why) LOOM_MUST_CHECK;
int message_write_weights(zmq_msg_t *out, const struct stream_info *info, const struct stage_weights *weights,
                          uint64_t frame, uint64_t pass, uint64_t count) LOOM_MUST_CHECK;
int message_write_metrics(zmq_msg_t *out, const struct stream_info *info, const struct metric *metrics,
                          size_t n, uint64_t frame, uint64_t pass, uint64_t count) LOOM_MUST_CHECK;

/* The fields of a DATA message in the order of `info`, as rows; LOOM_EDATA if one is missing or its size is
 * not n rows. Unaligned, borrowed from the message. rows[i] is NULL where the stream has no such field. */
int message_rows(const struct message *message, const struct stream_info *info,
                 const uint8_t *rows[STREAM_FIELDS_MAX]) LOOM_MUST_CHECK;

#endif

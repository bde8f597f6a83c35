/* Tap: the publishing end beside a stream, for those who only look (PROTOCOL.md). Lossy by design: what a reader does
 * not take in time is dropped for it, and nobody waits. */
#ifndef LOOM_COMMON_TAP_H
#define LOOM_COMMON_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#include "endpoint.h"
#include "error.h"

enum tap_topic { TAP_DATA, TAP_WEIGHTS, TAP_METRICS, TAP_STREAM };

#define TAP_TOPICS 4

struct tap { /* all zero: none */
    void *socket;
    size_t subscribers[TAP_TOPICS];
    bool fresh[TAP_TOPICS];    /* somebody new since tap_wanted last said so */
    uint64_t sent[TAP_TOPICS]; /* messages so far: the next one's `count` */
};

/* Bind the tap. Errors as endpoint_bind. */
int tap_init(struct tap *self, struct endpoint_context *context, const char *endpoint) LOOM_MUST_CHECK;
void tap_fini(struct tap *self);

/* Take note of who has come and gone. */
void tap_pump(struct tap *self);

/* Whether somebody looks at the topic; *fresh (may be NULL): somebody new since the last call. */
bool tap_wanted(struct tap *self, enum tap_topic topic, bool *fresh);

/* Send; takes the message over. */
void tap_send(struct tap *self, enum tap_topic topic, zmq_msg_t *message);

#endif

/* A known stream, for stages that take one: pictures, codes or activations that are a function of their
 * number. It can be held back, to see that a stage waits for it. */
#ifndef LOOM_TOOLS_CHECK_STAGE_FEED_H
#define LOOM_TOOLS_CHECK_STAGE_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "endpoint.h"
#include "error.h"
#include "producer.h"
#include "stream.h"

struct feed {
    struct producer *producer; /* NULL: none */
    struct stream_info info;
    uint64_t made; /* frames */
};

/* Serve `frames` frames of this kind in passes of half as many, in messages of `block`, as stream `id`.
 * Nothing is made yet. */
int feed_open(struct feed *self, struct endpoint_context *context, const char *endpoint,
              enum stream_kind kind, uint64_t frames, uint64_t block, const char *id) LOOM_MUST_CHECK;
void feed_close(struct feed *self);

/* Make the frames before `end`, as far as whole messages go, and answer who asks. */
int feed_pump(struct feed *self, uint64_t end) LOOM_MUST_CHECK;

#endif

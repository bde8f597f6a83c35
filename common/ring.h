/* Ring: the blocks of a stream that are held for those who fetch, as the ready-made replies that carry them. */
#ifndef LOOM_COMMON_RING_H
#define LOOM_COMMON_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#include "error.h"

struct held {
    uint64_t seq, n; /* frames seq .. seq + n - 1 */
    zmq_msg_t reply;
};

struct ring { /* all zero: empty */
    struct held *places;
    size_t capacity, first, count; /* `count` places in use, from `first` on, around the end, oldest first */
    uint64_t bytes;                /* of all replies */
};

/* Hold one more block; takes the message over on success. LOOM_EINTERNAL if memory runs out. */
int ring_push(struct ring *self, zmq_msg_t *reply, uint64_t seq, uint64_t n) LOOM_MUST_CHECK;

/* The i-th block held, the oldest first; i < count. Valid until the next push. */
struct held *ring_at(const struct ring *self, size_t i);

/* The block with frame seq, or NULL. ascending: blocks were pushed in order of seq. */
struct held *ring_find(const struct ring *self, uint64_t seq, bool ascending);

/* Drop the oldest block; there must be one. Returns the first frame behind it. */
uint64_t ring_drop(struct ring *self);

/* Drop all and free. */
void ring_fini(struct ring *self);

#endif

/* See ring.h. */
#include "ring.h"

#include <stdlib.h>

#define CAPACITY_MIN 64

struct held *ring_at(const struct ring *self, size_t i)
{
    return &self->places[(self->first + i) % self->capacity];
}

static bool has(const struct held *held, uint64_t seq)
{
    return seq >= held->seq && seq - held->seq < held->n;
}

struct held *ring_find(const struct ring *self, uint64_t seq, bool ascending)
{
    size_t low = 0, high = self->count;
    while (ascending && high - low > 1) {
        size_t middle = (low + high) / 2;
        *(ring_at(self, middle)->seq <= seq ? &low : &high) = middle;
    }
    for (size_t i = low; i < high; i++) {
        if (has(ring_at(self, i), seq)) {
            return ring_at(self, i);
        }
    }
    return NULL;
}

static int grow(struct ring *self)
{
    size_t capacity = self->capacity == 0 ? CAPACITY_MIN : 2 * self->capacity;
    struct held *places = calloc(capacity, sizeof *places);
    if (places == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for a ring of %zu blocks", capacity);
    }
    for (size_t i = 0; i < self->count; i++) {
        struct held *old = ring_at(self, i);
        places[i].seq = old->seq;
        places[i].n = old->n;
        zmq_msg_init(&places[i].reply);
        zmq_msg_move(&places[i].reply, &old->reply);
    }
    free(self->places);
    self->places = places;
    self->capacity = capacity;
    self->first = 0;
    return 0;
}

int ring_push(struct ring *self, zmq_msg_t *reply, uint64_t seq, uint64_t n)
{
    int status = self->count == self->capacity ? grow(self) : 0;
    if (status < 0) {
        return status;
    }
    struct held *held = ring_at(self, self->count);
    held->seq = seq;
    held->n = n;
    zmq_msg_init(&held->reply);
    zmq_msg_move(&held->reply, reply);
    self->bytes += zmq_msg_size(&held->reply);
    self->count++;
    return 0;
}

uint64_t ring_drop(struct ring *self)
{
    struct held *held = ring_at(self, 0);
    uint64_t end = held->seq + held->n;
    self->bytes -= zmq_msg_size(&held->reply);
    zmq_msg_close(&held->reply);
    self->first = (self->first + 1) % self->capacity;
    self->count--;
    return end;
}

void ring_fini(struct ring *self)
{
    while (self->count > 0) {
        ring_drop(self);
    }
    free(self->places);
    *self = (struct ring){.places = NULL};
}

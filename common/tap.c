/* See tap.h. */
#include "tap.h"

#include <errno.h>
#include <string.h>

#define HWM 8                 /* messages queued for a reader; then they are dropped */
#define SUBSCRIPTION_MAX 4096 /* bytes */

static const char *const topics[TAP_TOPICS] = {"data", "weights", "metrics", "stream"};

int tap_init(struct tap *self, struct endpoint_context *context, const char *endpoint)
{
    *self = (struct tap){.socket = NULL};
    const int all = 1; /* tell of every subscription, not only of the first to a topic */
    int status = endpoint_bind(context, &self->socket, ZMQ_XPUB, endpoint, HWM, SUBSCRIPTION_MAX);
    if (status == 0 && zmq_setsockopt(self->socket, ZMQ_XPUB_VERBOSER, &all, sizeof all) != 0) {
        status = error_set(LOOM_EINTERNAL, "tap '%s' cannot be set up: %s", endpoint, zmq_strerror(errno));
    }
    return status;
}

void tap_fini(struct tap *self)
{
    endpoint_close(&self->socket);
}

/* A subscription comes as a byte 1 (or 0: the end of one) and the start of a topic. */
static void note(struct tap *self, const uint8_t *bytes, size_t size)
{
    size_t length = size - 1;
    for (size_t i = 0; i < TAP_TOPICS; i++) {
        if (length > strlen(topics[i]) || memcmp(bytes + 1, topics[i], length) != 0) {
            continue;
        }
        if (bytes[0] == 1) {
            self->subscribers[i]++;
            self->fresh[i] = true;
        } else if (bytes[0] == 0 && self->subscribers[i] > 0) {
            self->subscribers[i]--;
        }
    }
}

void tap_pump(struct tap *self)
{
    uint8_t bytes[SUBSCRIPTION_MAX];
    int size = 0;
    while (self->socket != NULL && (size = zmq_recv(self->socket, bytes, sizeof bytes, ZMQ_DONTWAIT)) >= 0) {
        if (size > 0 && (size_t)size <= sizeof bytes) {
            note(self, bytes, (size_t)size);
        }
    }
}

bool tap_wanted(struct tap *self, enum tap_topic topic, bool *fresh)
{
    if (fresh != NULL) {
        *fresh = self->fresh[topic];
        self->fresh[topic] = false;
    }
    return self->subscribers[topic] > 0;
}

void tap_send(struct tap *self, enum tap_topic topic, zmq_msg_t *message)
{
    self->sent[topic]++;
    if (zmq_send(self->socket, topics[topic], strlen(topics[topic]), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_msg_send(message, self->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(message);
    }
}

/* A message as it came, understood as far as it can be: for saying exactly what is wrong with it.
 * (message_read of common/message.h only says that something is.) */
#ifndef LOOM_TOOLS_CHECK_STAGE_ANSWER_H
#define LOOM_TOOLS_CHECK_STAGE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#include "wire.h"

#define ANSWER_KEYS_MAX 64

struct answer_pair {
    struct wire_value key, value;
    struct wire_cursor inside; /* of an array: its items */
};

struct answer {
    zmq_msg_t message; /* of the last part */
    size_t parts;      /* 0: nothing came */
    bool is_map;       /* and all of it could be read */
    bool binary_keys;  /* keys are bytes instead of texts */
    struct answer_pair pairs[ANSWER_KEYS_MAX];
    size_t n;
};

/* An empty one; to be finished with answer_fini, which does no harm twice. */
void answer_init(struct answer *self);
void answer_fini(struct answer *self);

/* Understand self->message. */
void answer_read(struct answer *self);

/* The value of a key, or NULL. */
const struct answer_pair *answer_get(const struct answer *self, const char *key);

/* Whether the key has this text, or this number. */
bool answer_has_text(const struct answer *self, const char *key, const char *text);
bool answer_has_number(const struct answer *self, const char *key, uint64_t number);

/* A message in the notation of PROTOCOL.md, cut where it is too long. */
void answer_show(char *text, size_t size, const void *bytes, size_t n);

/* What a value is, in a Python programmer's words: "a float", "bytes", "missing" for NULL. */
const char *answer_type(const struct answer_pair *pair);

#endif

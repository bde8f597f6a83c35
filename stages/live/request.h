/* Requests of browsers that are answered at once: the files of the page, and /metrics. */
#ifndef LOOM_STAGES_LIVE_REQUEST_H
#define LOOM_STAGES_LIVE_REQUEST_H

#include <libwebsockets.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assets.h"
#include "guard.h"

/* What there is to answer with; all of it the server's. */
struct answers {
    const struct guard *guard;        /* who may ask */
    struct asset *assets;             /* the page */
    char *(*metrics)(void *argument); /* a text to be freed; NULL: no memory */
    void *argument;
};

/* A request whose answer is being sent. */
struct request {
    const uint8_t *body; /* what is still to be sent */
    size_t left;
    char *owned; /* freed when it is sent */
};

/* Frees what is left of an answer; harmless on NULL. */
void request_fini(struct request *self);

/* Begin to answer; what libwebsockets' callback shall return. */
int request_answer(struct request *request, struct lws *wsi, const struct answers *answers);

/* Send at most `bytes` more, through `chunk` of LWS_PRE + bytes; likewise. */
int request_write(struct request *request, struct lws *wsi, uint8_t *chunk, size_t bytes);

/* A header's value; NULL if there is none, or it is too long. */
const char *request_header(struct lws *wsi, enum lws_token_indexes which, char *value, int size);

/* Whether the request has the token that the guard asks for. */
bool request_has_token(struct lws *wsi, const struct guard *guard);

#endif

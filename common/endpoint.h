/* Endpoints: ZeroMQ sockets with Loom's settings and its rules of safety.
 *
 * ipc:// is for one machine. TCP is bound or connected beyond the loopback only with CURVE (encryption and
 * authentication of both sides): a server shows its certificate and admits the clients whose public
 * certificates lie in a folder; a client shows its own and knows the server's. Certificates are ZPL files as
 * zcert_save of czmq (or pyzmq's zmq.auth.create_certificates) writes them. */
#ifndef LOOM_COMMON_ENDPOINT_H
#define LOOM_COMMON_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct endpoint_keys {
    const char *certificate; /* our own certificate with its secret key; "" : no CURVE */
    const char *peers; /* server: folder of admitted public certificates; client: the server's public one */
};

struct endpoint_context; /* one a process: the ZeroMQ context and, with CURVE, the authenticator */

/* The caller owns *self_p. LOOM_EUSAGE if the certificate cannot be used. keys is borrowed for its life. */
int endpoint_context_new(struct endpoint_context **self_p, const struct endpoint_keys *keys) LOOM_MUST_CHECK;

/* Close; waits at most a second for what is still to be sent. Harmless on NULL. */
void endpoint_context_destroy(struct endpoint_context **self_p);

/* A bound socket (ZMQ_ROUTER, ZMQ_XPUB, ZMQ_PULL or ZMQ_REP) of at most `max_bytes` a received message and `hwm` messages queued
 * for a peer (0: no limit). LOOM_EPEER if the endpoint is in use, LOOM_EUSAGE if it is malformed or not
 * allowed. */
int endpoint_bind(struct endpoint_context *self, void **socket_p, int type, const char *endpoint, int hwm,
                  int64_t max_bytes) LOOM_MUST_CHECK;

/* A connected socket (ZMQ_DEALER or ZMQ_SUB); the peer need not be there yet. */
int endpoint_connect(struct endpoint_context *self, void **socket_p, int type, const char *endpoint, int hwm,
                     int64_t max_bytes) LOOM_MUST_CHECK;

/* Close a socket and null the pointer; harmless on NULL. */
void endpoint_close(void **socket_p);

#endif

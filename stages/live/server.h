/* The server of the live page: HTTP and WebSocket (libwebsockets), in a thread of its own.
 *
 * It serves the page's files, /metrics for Prometheus, and at /ws what hangs on the board. Its thread does nothing
 * but wait and send: a viewer that takes nothing costs no one anything and is closed after a minute.
 *
 * Safety: see guard.h for who may look. Requests' headers have at most 4 KiB and 10 s, messages of a page at most 1
 * KiB; a page that sends rubbish is closed; at most BOARD_VIEWERS_MAX viewers. Plain HTTP: a tunnel (ssh -L) encrypts. */
#ifndef LOOM_STAGES_LIVE_SERVER_H
#define LOOM_STAGES_LIVE_SERVER_H

#include <stddef.h>

#include "board.h"
#include "error.h"
#include "guard.h"

struct server;

/* Listen at the guard's address; nobody is answered before server_start. metrics is called by the server's thread for
 * GET /metrics and returns a text that the server frees, or NULL. Guard and argument are borrowed. LOOM_EPEER if the
 * address is in use, LOOM_EUSAGE if this machine has no such address. */
int server_new(struct server **self_p, const struct guard *guard, char *(*metrics)(void *argument),
               void *argument) LOOM_MUST_CHECK;

/* Begin to serve. */
int server_start(struct server *self) LOOM_MUST_CHECK;

/* Tell every viewer why it ends (a WebSocket closing code; a sentence, of which at most 123 bytes are told), wait for a moment, and end the thread. What hangs on the
 * board then, nobody will see; but it may still be hung there. Harmless on NULL, and twice. */
#define SERVER_GOING_AWAY 1001
void server_stop(struct server *self, int code, const char *why);

/* Where viewers and a source meet. */
struct board *server_board(struct server *self);

/* The port, also where any free one was asked for. */
int server_port(const struct server *self);

/* Free and null, once nobody uses the board any more; harmless on NULL. */
void server_destroy(struct server **self_p);

#endif

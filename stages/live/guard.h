/* Who may look: the address the page is served at, and what every request must bring.
 *
 * Against a web page elsewhere that has the user's browser ask for ours (DNS rebinding): the Host of a request must
 * be an address in numbers, localhost, or, beyond the loopback, this machine's name; and the Origin of a WebSocket
 * must be that Host. The port is not compared, for a tunnel (ssh -L) may have another. Beyond the loopback a token
 * is needed for everything. */
#ifndef LOOM_STAGES_LIVE_GUARD_H
#define LOOM_STAGES_LIVE_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "address.h"
#include "error.h"

#define GUARD_TOKEN_MAX 128

struct guard {
    struct address at;
    char token[GUARD_TOKEN_MAX + 1]; /* "": none is needed */
    char machine[256];               /* this machine's name */
};

/* Understand an address (address.h) and a token: letters, digits, - and _; "":
 * none on the loopback, a random one elsewhere. LOOM_EUSAGE if either will not do. */
int guard_init(struct guard *self, const char *address, const char *token) LOOM_MUST_CHECK;

/* Whether a request with this Host (NULL: it has none) is meant for us. */
bool guard_admits_host(const struct guard *self, const char *host);

/* Whether a WebSocket with this Origin (NULL: it has none; then it is no browser) may be opened at this Host. Without an
 * Origin a token must have been needed, and given. */
bool guard_admits_origin(const struct guard *self, const char *origin, const char *host);

/* Whether this token (NULL: none given) is good enough. Takes as long for one wrong token as for another. */
bool guard_admits_token(const struct guard *self, const char *token);

#endif

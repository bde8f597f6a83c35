/* Where something is served to programs that are none of Loom's, such as browsers: ADDRESS:PORT, in numbers. One form for
 * whoever serves there and for whoever checks a setting before anything runs. */
#ifndef LOOM_COMMON_ADDRESS_H
#define LOOM_COMMON_ADDRESS_H

#include <stdbool.h>

#include "error.h"

struct address {
    char host[64]; /* IPv4 or IPv6 address to bind, without brackets */
    int port;      /* 0: any free one */
    bool six, loopback;
};

/* Understand ADDRESS:PORT or PORT alone (loopback); [::1]:PORT, localhost:PORT. LOOM_EUSAGE if it is none of these. */
int address_read(struct address *self, const char *text) LOOM_MUST_CHECK;

/* A port from 0 to 65535; -1: the text is none. */
int address_read_port(const char *text);

#endif

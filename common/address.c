/* See address.h. */
#include "address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

int address_read_port(const char *text)
{
    const size_t n = strlen(text);
    return n > 0 && n <= 5 && strspn(text, "0123456789") == n && atoi(text) <= 65535 ? atoi(text) : -1;
}

/* The parts of HOST:PORT, [HOST]:PORT or PORT. */
static bool split(struct address *self, const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon == NULL ? 0 : (size_t)(colon - text);
    const bool bracketed = n > 2 && text[0] == '[' && text[n - 1] == ']';
    const char *host = bracketed ? text + 1 : text;
    n -= bracketed ? 2 : 0;
    if (colon == NULL || (n == strlen("localhost") && strncmp(host, "localhost", n) == 0)) {
        host = "127.0.0.1";
        n = strlen(host);
    }
    self->port = address_read_port(colon == NULL ? text : colon + 1);
    if (self->port < 0 || n == 0 || n >= sizeof self->host || (memchr(host, ':', n) != NULL && !bracketed)) {
        return false;
    }
    memcpy(self->host, host, n);
    self->host[n] = '\0';
    return true;
}

int address_read(struct address *self, const char *text)
{
    struct in_addr four;
    struct in6_addr six;
    *self = (struct address){.port = 0};
    const bool parted = split(self, text);
    if (parted && inet_pton(AF_INET, self->host, &four) == 1) {
        self->loopback = ntohl(four.s_addr) >> 24 == 127;
        return LOOM_OK;
    }
    if (parted && inet_pton(AF_INET6, self->host, &six) == 1) {
        self->six = true;
        self->loopback = IN6_IS_ADDR_LOOPBACK(&six) != 0;
        return LOOM_OK;
    }
    return error_set(
        LOOM_EUSAGE,
        "'%.100s' is no address; give ADDRESS:PORT in numbers, such as 127.0.0.1:8090 (port 0: any "
        "free one), or a port alone",
        text);
}

/* See guard.h. */
#include "guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#define RANDOM_BYTES 16
#define TOKEN_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/* Whether `host`, n bytes, is an address in numbers, in brackets if of version 6. */
static bool is_number(const char *host, size_t n)
{
    char text[64];
    unsigned char bytes[16];
    const bool bracketed = n > 2 && host[0] == '[' && host[n - 1] == ']';
    n -= bracketed ? 2 : 0;
    if (n >= sizeof text) {
        return false;
    }
    memcpy(text, host + (bracketed ? 1 : 0), n);
    text[n] = '\0';
    return inet_pton(bracketed ? AF_INET6 : AF_INET, text, bytes) == 1;
}

static int make_token(struct guard *self)
{
    unsigned char bytes[RANDOM_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        return error_set(LOOM_EINTERNAL, "the system has no random numbers for a token; give one");
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        snprintf(self->token + 2 * i, 3, "%02x", bytes[i]);
    }
    return LOOM_OK;
}

int guard_init(struct guard *self, const char *address, const char *token)
{
    *self = (struct guard){.token = ""};
    const int status = address_read(&self->at, address);
    if (status < 0) {
        return status;
    }
    if (strlen(token) > GUARD_TOKEN_MAX || strspn(token, TOKEN_LETTERS) != strlen(token)) {
        return error_set(LOOM_EUSAGE, "a token has at most %d letters, digits, '-' and '_'", GUARD_TOKEN_MAX);
    }
    snprintf(self->token, sizeof self->token, "%s", token);
    if (gethostname(self->machine, sizeof self->machine - 1) != 0) {
        self->machine[0] = '\0';
    }
    return token[0] != '\0' || self->at.loopback ? LOOM_OK : make_token(self);
}

bool guard_admits_host(const struct guard *self, const char *host)
{
    if (host == NULL || host[0] == '\0') {
        return false;
    }
    const char *bracket = host[0] == '[' ? strchr(host, ']') : NULL;
    const char *colon = strchr(bracket != NULL ? bracket : host, ':');
    const size_t n = colon != NULL ? (size_t)(colon - host) : strlen(host), own = strlen(self->machine);
    if (colon != NULL && address_read_port(colon + 1) < 0) {
        return false;
    }
    if (is_number(host, n) || (n == strlen("localhost") && strncasecmp(host, "localhost", n) == 0)) {
        return true;
    }
    return !self->at.loopback && own > 0 && n >= own && strncasecmp(host, self->machine, own) == 0 &&
           (n == own || host[own] == '.'); /* whoever claims such a name still lacks the token */
}

bool guard_admits_origin(const struct guard *self, const char *origin, const char *host)
{
    if (origin == NULL || origin[0] == '\0') {
        return self->token[0] != '\0';
    }
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++) {
        const size_t n = strlen(schemes[i]);
        if (strncasecmp(origin, schemes[i], n) == 0 && strcasecmp(origin + n, host) == 0) {
            return true;
        }
    }
    return false;
}

bool guard_admits_token(const struct guard *self, const char *token)
{
    if (self->token[0] == '\0') {
        return true;
    }
    if (token == NULL) {
        return false;
    }
    const size_t n = strlen(token), own = strlen(self->token);
    unsigned char differ = n != own;
    for (size_t i = 0; i < own; i++) {
        differ |= (unsigned char)(self->token[i] ^ (i < n ? token[i] : 0));
    }
    return differ == 0;
}

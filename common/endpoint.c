/* See endpoint.h. */
#include "endpoint.h"

#include <arpa/inet.h>
#include <czmq.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include "log.h"

#define LINGER_MS 1000 /* for a last reply to get out; requests and taps are not worth waiting for */

struct endpoint_context {
    void *context; /* czmq's with CURVE (its authenticator lives there), else our own */
    struct endpoint_keys keys;
    zcert_t *certificate;    /* NULL: no CURVE */
    zactor_t *authenticator; /* started with the first server socket */
};

static int curve_users = 0; /* contexts that share czmq's one ZeroMQ context */

int endpoint_context_new(struct endpoint_context **self_p, const struct endpoint_keys *keys)
{
    *self_p = NULL;
    struct endpoint_context *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for the sockets");
    }
    self->keys = *keys;
    if (keys->certificate[0] != '\0') {
        zsys_handler_set(NULL); /* the runner handles signals */
        self->certificate = zcert_load(keys->certificate);
        self->context = self->certificate == NULL ? NULL : zsys_init();
        if (self->certificate == NULL) {
            free(self);
            return error_set(
                LOOM_EUSAGE,
                "certificate '%s' cannot be read; give a file with a secret key, as zcert_save or "
                "zmq.auth.create_certificates makes",
                keys->certificate);
        }
        curve_users++;
    } else {
        self->context = zmq_ctx_new();
    }
    if (self->context == NULL) {
        endpoint_context_destroy(&self);
        return error_set(LOOM_EINTERNAL, "ZeroMQ cannot start: %s", zmq_strerror(errno));
    }
    *self_p = self;
    return 0;
}

void endpoint_context_destroy(struct endpoint_context **self_p)
{
    struct endpoint_context *self = *self_p;
    if (self == NULL) {
        return;
    }
    zactor_destroy(&self->authenticator);
    if (self->certificate != NULL) {
        zcert_destroy(&self->certificate);
        if (--curve_users == 0) {
            zsys_shutdown();
        }
    } else if (self->context != NULL) {
        zmq_ctx_term(self->context);
    }
    free(self);
    *self_p = NULL;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The parts of tcp://HOST:PORT; host without brackets. false: it is not of that form. */
static bool split_tcp(const char *endpoint, char *host, size_t size, long *port)
{
    const char *start = endpoint + strlen("tcp://"), *colon = strrchr(start, ':');
    if (colon == NULL || colon == start ||
        strpbrk(start, ";, \t") != NULL) { /* ';' names a source address too */
        return false;
    }
    char *end = NULL;
    *port = strcmp(colon + 1, "*") == 0 ? 0 : strtol(colon + 1, &end, 10);
    bool number = end == NULL || (end != colon + 1 && *end == '\0' && colon[1] >= '0' && colon[1] <= '9');
    bool bracketed = start[0] == '[' && colon[-1] == ']';
    size_t length = (size_t)(colon - start) - (bracketed ? 2 : 0);
    if (!number || *port < 0 || *port > 65535 || length == 0 || length >= size) {
        return false;
    }
    memcpy(host, start + (bracketed ? 1 : 0), length);
    host[length] = '\0';
    return true;
}

/* Whether a host is surely this machine; names but localhost are not looked up. */
static bool is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    return (inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127) ||
           (inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six)) ||
           strcmp(host, "localhost") == 0;
}

static int check(const struct endpoint_context *self, const char *endpoint, bool binds)
{
    char host[256];
    long port = 0;
    if (starts_with(endpoint, "ipc://") && endpoint[6] != '\0') {
        struct sockaddr_un address;
        if (strlen(endpoint + 6) >= sizeof address.sun_path) {
            return error_set(LOOM_EUSAGE,
                             "endpoint '%s' is too long: a local socket's path has at most %zu bytes; give a "
                             "shorter or a relative one",
                             endpoint, sizeof address.sun_path - 1);
        }
        return 0;
    }
    if (!starts_with(endpoint, "tcp://") || !split_tcp(endpoint, host, sizeof host, &port) ||
        (port == 0 && !binds)) {
        return error_set(LOOM_EUSAGE, "endpoint '%s' is not valid; give ipc://PATH or tcp://HOST:PORT%s",
                         endpoint,
                         binds ? ", with a port up to 65535, or * for any" : ", with a port from 1 to 65535");
    }
    if (binds && strcmp(host, "localhost") == 0) {
        return error_set(LOOM_EUSAGE,
                         "endpoint '%s': an address is bound, not a name; give tcp://127.0.0.1:PORT",
                         endpoint);
    }
    if (!is_loopback(host) && self->certificate == NULL) {
        return error_set(LOOM_EUSAGE,
                         "endpoint '%s' leaves this machine without protection; give --curve_key and "
                         "--curve_peers, or use ssh -L and tcp://127.0.0.1",
                         endpoint);
    }
    return 0;
}

/* libzmq takes over a local socket that somebody else serves without a word: ask first. */
static bool is_served(const char *endpoint)
{
    if (!starts_with(endpoint, "ipc://")) {
        return false;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, endpoint + 6, strlen(endpoint + 6)); /* fits: see check */
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool served = probe >= 0 && connect(probe, (const struct sockaddr *)&address, sizeof address) == 0;
    if (probe >= 0) {
        close(probe);
    }
    return served;
}

static int secure_server(struct endpoint_context *self, void *socket)
{
    if (self->certificate == NULL) {
        return 0;
    }
    if (self->authenticator == NULL) {
        self->authenticator = zactor_new(zauth, NULL);
        if (self->authenticator == NULL ||
            zstr_sendx(self->authenticator, "CURVE", self->keys.peers, NULL) != 0 ||
            zsock_wait(self->authenticator) != 0) {
            return error_set(LOOM_EUSAGE, "the folder of admitted certificates '%s' cannot be used",
                             self->keys.peers);
        }
    }
    zcert_apply(self->certificate, socket);
    int yes = 1;
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof yes) == 0
               ? 0
               : error_set(LOOM_EINTERNAL, "CURVE cannot be set up: %s", zmq_strerror(errno));
}

static int secure_client(struct endpoint_context *self, void *socket)
{
    if (self->certificate == NULL) {
        return 0;
    }
    zcert_t *server = zcert_load(self->keys.peers);
    if (server == NULL) {
        return error_set(LOOM_EUSAGE, "the server's public certificate '%s' cannot be read",
                         self->keys.peers);
    }
    zcert_apply(self->certificate, socket);
    int status = zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, zcert_public_key(server), 32);
    zcert_destroy(&server);
    return status == 0 ? 0 : error_set(LOOM_EINTERNAL, "CURVE cannot be set up: %s", zmq_strerror(errno));
}

static int open_socket(struct endpoint_context *self, void **socket_p, int type, const char *endpoint,
                       int hwm, int64_t max_bytes)
{
    *socket_p = NULL;
    int status = check(self, endpoint, type != ZMQ_DEALER && type != ZMQ_SUB);
    if (status < 0) {
        return status;
    }
    void *socket = zmq_socket(self->context, type);
    /* REP drops an answer without a word when it believes its peer to be full, which it may learn late. There is one
     * answer a request at most. */
    int out_hwm = type == ZMQ_REP ? 0 : hwm;
    int linger = type == ZMQ_ROUTER || type == ZMQ_REP ? LINGER_MS : 0, yes = 1;
    int six = strchr(endpoint, '[') != NULL;
    if (socket == NULL || zmq_setsockopt(socket, ZMQ_IPV6, &six, sizeof six) != 0 ||
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        zmq_setsockopt(socket, ZMQ_SNDHWM, &out_hwm, sizeof out_hwm) != 0 ||
        zmq_setsockopt(socket, ZMQ_RCVHWM, &hwm, sizeof hwm) != 0 ||
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes) != 0 ||
        (type == ZMQ_ROUTER && zmq_setsockopt(socket, ZMQ_ROUTER_MANDATORY, &yes, sizeof yes) != 0)) {
        status =
            error_set(LOOM_EINTERNAL, "socket for '%s' cannot be made: %s", endpoint, zmq_strerror(errno));
        endpoint_close(&socket);
        return status;
    }
    *socket_p = socket;
    return 0;
}

/* Where a free port was asked for, tell which it became. */
static void say_where(void *socket, const char *endpoint)
{
    char bound[256] = "";
    size_t size = sizeof bound;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size) == 0 && starts_with(endpoint, "tcp://") &&
        strcmp(bound, endpoint) != 0) {
        log_info("serves %s at %s", endpoint, bound);
    }
}

int endpoint_bind(struct endpoint_context *self, void **socket_p, int type, const char *endpoint, int hwm,
                  int64_t max_bytes)
{
    int status = open_socket(self, socket_p, type, endpoint, hwm, max_bytes);
    if (status < 0) {
        return status;
    }
    status = secure_server(self, *socket_p);
    if (status == 0 && is_served(endpoint)) {
        status = error_set(LOOM_EPEER,
                           "endpoint '%s' is in use: another process serves it; stop that or choose another",
                           endpoint);
    }
    if (status == 0 && zmq_bind(*socket_p, endpoint) != 0) {
        status = error_set(errno == EADDRINUSE ? LOOM_EPEER : LOOM_EUSAGE,
                           "endpoint '%s' cannot be bound: %s%s", endpoint, zmq_strerror(errno),
                           errno == EADDRINUSE ? "; stop the process that uses it or choose another" : "");
    }
    if (status < 0) {
        endpoint_close(socket_p);
    } else {
        say_where(*socket_p, endpoint);
    }
    return status;
}

int endpoint_connect(struct endpoint_context *self, void **socket_p, int type, const char *endpoint, int hwm,
                     int64_t max_bytes)
{
    int status = open_socket(self, socket_p, type, endpoint, hwm, max_bytes);
    if (status < 0) {
        return status;
    }
    int first_ms = 10, last_ms = 100; /* a peer that starts, or starts again, is found quickly */
    zmq_setsockopt(*socket_p, ZMQ_RECONNECT_IVL, &first_ms, sizeof first_ms);
    zmq_setsockopt(*socket_p, ZMQ_RECONNECT_IVL_MAX, &last_ms, sizeof last_ms);
    status = secure_client(self, *socket_p);
    if (status == 0 && zmq_connect(*socket_p, endpoint) != 0) {
        status =
            error_set(LOOM_EUSAGE, "endpoint '%s' cannot be connected: %s", endpoint, zmq_strerror(errno));
    }
    if (status < 0) {
        endpoint_close(socket_p);
    }
    return status;
}

void endpoint_close(void **socket_p)
{
    if (*socket_p != NULL) {
        zmq_close(*socket_p);
        *socket_p = NULL;
    }
}

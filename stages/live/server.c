/* See server.h. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "request.h"

#define CHUNK_BYTES ((size_t)32 << 10) /* sent at once; a larger message goes as several fragments */
#define HEADER_BYTES 4096              /* of a request's headers */
#define HEADER_S 10                    /* until they must have come */
#define CONNECTIONS_MAX (BOARD_VIEWERS_MAX + 32)
#define STALL_MS 60000        /* a viewer that takes nothing for so long is closed */
#define PAUSE_MS 5000         /* after which this process was stopped itself, and not its viewers */
#define BAD_MAX 100           /* messages of a page that are rubbish, until it is closed */
#define MESSAGES_A_SECOND 200 /* those of a page beyond that are rubbish too */
#define WHY_BYTES 124         /* of a closing reason: RFC 6455 has room for 123 */
#define PARTING_MS 500        /* for viewers to take it */
#define NICENESS 10           /* those who train go first */
#define PROTOCOL "loom-1"

struct server {
    struct answers answers; /* to requests */
    struct board *board;
    struct lws_context *context;
    int port;
    pthread_t thread;
    bool running;
    atomic_bool parting, over; /* viewers are sent away; the thread ends */
    atomic_int open;           /* viewers whose connections stand */
    struct session *sessions;  /* the thread's own */
    int64_t looked_ms;         /* when it last looked for stalled ones */
    int code;                  /* with which they are */
    char why[WHY_BYTES];
    uint8_t chunk[LWS_PRE + CHUNK_BYTES];
};

/* A viewer's connection. */
struct session {
    struct lws *wsi;
    struct session *next;
    uint64_t viewer; /* its number on the board */
    struct said *sending;
    size_t sent;
    uint8_t text[ASK_BYTES_MAX]; /* a message that is coming in */
    size_t n;
    bool unusable;               /* too long, or binary */
    unsigned bad, came;          /* rubbish so far; messages within this second */
    int64_t second_ms, taken_ms; /* when that began; when the connection last took something */
};

static const struct lws_protocols protocols[3];

/* ---- WebSocket ---- */

/* 0: go on; otherwise the status to refuse it with. */
static unsigned refuse_upgrade(struct server *self, struct lws *wsi, const char *what)
{
    char host[300], value[300], *path = NULL;
    int n = 0;
    if (what == NULL || strcmp(what, "websocket") != 0 ||
        lws_http_get_uri_and_method(wsi, &path, &n) != LWSHUMETH_GET || n != 3 ||
        memcmp(path, "/ws", 3) != 0) {
        return 404;
    }
    const char *asked = request_header(wsi, WSI_TOKEN_PROTOCOL, value, (int)sizeof value);
    if (asked == NULL || strcmp(asked, PROTOCOL) != 0) {
        return 400;
    }
    if (!guard_admits_host(self->answers.guard,
                           request_header(wsi, WSI_TOKEN_HOST, host, (int)sizeof host)) ||
        !request_has_token(wsi, self->answers.guard) ||
        !guard_admits_origin(self->answers.guard,
                             request_header(wsi, WSI_TOKEN_ORIGIN, value, (int)sizeof value), host)) {
        return 403;
    }
    return atomic_load(&self->open) >= BOARD_VIEWERS_MAX ? 503 : 0;
}

static int confirm_upgrade(struct server *self, struct lws *wsi, const char *what)
{
    const unsigned status = refuse_upgrade(self, wsi, what);
    return status == 0 ? 0 : lws_return_http_status(wsi, status, NULL) < 0 ? -1 : 1;
}

static int open_session(struct server *self, struct lws *wsi, struct session *session)
{
    session->viewer = board_join(self->board);
    if (session->viewer == 0) {
        return -1;
    }
    session->wsi = wsi;
    session->next = self->sessions;
    session->taken_ms = session->second_ms = clock_ms();
    self->sessions = session;
    atomic_fetch_add(&self->open, 1);
    lws_callback_on_writable(wsi);
    return 0;
}

static void close_session(struct server *self, struct session *session)
{
    struct session **at = &self->sessions;
    while (*at != NULL && *at != session) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = session->next;
        board_leave(self->board, session->viewer);
        said_release(&session->sending);
        atomic_fetch_sub(&self->open, 1);
    }
}

static int write_message(struct server *self, struct session *session)
{
    session->taken_ms = clock_ms();
    if (atomic_load(&self->parting)) {
        lws_close_reason(session->wsi, (enum lws_close_status)self->code, (unsigned char *)self->why,
                         strlen(self->why));
        return -1;
    }
    if (session->sending == NULL) {
        session->sending = board_take(self->board, session->viewer);
        session->sent = 0;
    }
    if (session->sending == NULL) {
        return 0;
    }
    const size_t left = session->sending->bytes - session->sent, n = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    const int flags = lws_write_ws_flags(LWS_WRITE_BINARY, session->sent == 0, n == left);
    memcpy(self->chunk + LWS_PRE, session->sending->data + session->sent, n);
    if (lws_write(session->wsi, self->chunk + LWS_PRE, n, (enum lws_write_protocol)flags) < (int)n) {
        return -1;
    }
    session->sent += n;
    if (n == left) {
        said_release(&session->sending);
    }
    lws_callback_on_writable(session->wsi);
    return 0;
}

/* A whole message has come. */
static int take_message(struct server *self, struct session *session)
{
    const int64_t now_ms = clock_ms();
    struct ask ask;
    if (now_ms - session->second_ms >= 1000) {
        session->second_ms = now_ms;
        session->came = 0;
    }
    const bool usable = !session->unusable && ++session->came <= MESSAGES_A_SECOND &&
                        ask_read(&ask, session->text, session->n) == LOOM_OK;
    session->n = 0;
    session->unusable = false;
    if (usable) {
        board_ask(self->board, session->viewer, &ask);
    } else if (++session->bad >= BAD_MAX) {
        static unsigned char why[] = "too many messages that are of no use";
        lws_close_reason(session->wsi, LWS_CLOSE_STATUS_POLICY_VIOLATION, why, sizeof why - 1);
        return -1;
    }
    return 0;
}

static int receive(struct server *self, struct session *session, const void *bytes, size_t n)
{
    if (n > sizeof session->text - session->n || lws_frame_is_binary(session->wsi)) {
        session->unusable = true;
    } else if (n > 0 && !session->unusable) {
        memcpy(session->text + session->n, bytes, n);
        session->n += n;
    }
    return lws_is_final_fragment(session->wsi) && lws_remaining_packet_payload(session->wsi) == 0
               ? take_message(self, session)
               : 0;
}

/* Something new hangs on the board, or it is time to look after the viewers. */
static void look_around(struct server *self)
{
    const int64_t now_ms = clock_ms();
    const bool look = now_ms - self->looked_ms >= 1000, paused = now_ms - self->looked_ms >= PAUSE_MS;
    for (struct session *session = self->sessions; session != NULL; session = session->next) {
        lws_callback_on_writable(session->wsi);
        session->taken_ms = paused ? now_ms : session->taken_ms;
        if (look && now_ms - session->taken_ms >= STALL_MS) {
            lws_set_timeout(session->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
        }
    }
    self->looked_ms = look ? now_ms : self->looked_ms;
}

/* ---- callbacks ---- */

static struct server *server_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

static int on_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n)
{
    struct request *request = user;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return request_answer(request, wsi, &server_of(wsi)->answers);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return request_write(request, wsi, server_of(wsi)->chunk, CHUNK_BYTES);
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED_HTTP:
        request_fini(request);
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(server_of(wsi), wsi, in);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION: /* a WebSocket that did not ask for ours */
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return -1;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, n);
    }
}

static int on_viewer(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n)
{
    struct session *session = user;
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(server_of(wsi), wsi, in);
    case LWS_CALLBACK_ESTABLISHED:
        return open_session(server_of(wsi), wsi, session);
    case LWS_CALLBACK_CLOSED:
        close_session(server_of(wsi), session);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return write_message(server_of(wsi), session);
    case LWS_CALLBACK_RECEIVE:
        return receive(server_of(wsi), session, in, n);
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        look_around(server_of(wsi));
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[3] = {
    {.name = "http", .callback = on_http, .per_session_data_size = sizeof(struct request)},
    {.name = PROTOCOL,
     .callback = on_viewer,
     .per_session_data_size = sizeof(struct session),
     .rx_buffer_size = 2 * ASK_BYTES_MAX},
    {.name = NULL},
};

/* ---- from beginning to end ---- */

/* Whether the address can be had, with a reason that tells more than libwebsockets does. */
static int try_address(const struct guard *guard)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)guard->at.port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)guard->at.port)};
    const struct sockaddr *address = guard->at.six ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    inet_pton(guard->at.six ? AF_INET6 : AF_INET, guard->at.host,
              guard->at.six ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
    const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    int failed = fd < 0 ? errno : 0;
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        failed = bind(fd, address, guard->at.six ? sizeof six : sizeof four) != 0 || listen(fd, 1) != 0
                     ? errno
                     : 0;
        close(fd);
    }
    if (failed == EADDRINUSE) {
        return error_set(LOOM_EPEER,
                         "%s port %d is in use, so the live page cannot be served there; choose another port "
                         "(0: any free one), or end what uses it",
                         guard->at.host, guard->at.port);
    }
    return failed == 0 ? LOOM_OK
                       : error_set(failed == EACCES || failed == EADDRNOTAVAIL ? LOOM_EUSAGE : LOOM_EPEER,
                                   "the live page cannot be served at %s port %d: %s; choose another address",
                                   guard->at.host, guard->at.port, strerror(failed));
}

static int listen_at(struct server *self)
{
    static const struct lws_protocol_vhost_options headers[] = {
        {&headers[1], NULL, "content-security-policy:",
         "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src "
         "'self'; "
         "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
        {&headers[2], NULL, "x-content-type-options:", "nosniff"},
        {&headers[3], NULL, "x-frame-options:", "DENY"},
        {&headers[4], NULL, "referrer-policy:", "no-referrer"},
        {&headers[5], NULL, "cross-origin-opener-policy:", "same-origin"},
        {NULL, NULL, "cross-origin-resource-policy:", "same-origin"},
    };
    const struct lws_context_creation_info info = {
        .port = self->answers.guard->at.port,
        .iface = self->answers.guard->at.host,
        .protocols = protocols,
        .headers = headers,
        .server_string = "loom",
        .user = self,
        .timeout_secs = HEADER_S,
        .timeout_secs_ah_idle = HEADER_S,
        .keepalive_timeout = HEADER_S,
        .max_http_header_data = HEADER_BYTES,
        .fd_limit_per_thread = CONNECTIONS_MAX,
        .vhost_name = "live",
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                   LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME | LWS_SERVER_OPTION_NO_LWS_SYSTEM_STATES |
                   (self->answers.guard->at.six ? 0 : LWS_SERVER_OPTION_DISABLE_IPV6),
    };
    lws_set_log_level(0, NULL); /* requests that are refused are no news */
    const int status = try_address(self->answers.guard);
    if (status < 0) {
        return status;
    }
    self->context = lws_create_context(&info);
    struct lws_vhost *host = self->context == NULL ? NULL : lws_create_vhost(self->context, &info);
    if (host == NULL) {
        return error_set(LOOM_EPEER, "the live page cannot be served at %s port %d",
                         self->answers.guard->at.host, self->answers.guard->at.port);
    }
    self->port = lws_get_vhost_listen_port(host);
    return LOOM_OK;
}

static void *serve(void *argument)
{
    struct server *self = argument;
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    int served = 0;
    while (!atomic_load(&self->over) && served >= 0) {
        served = lws_service(self->context, 0);
    }
    if (served < 0 && !atomic_load(&self->over)) {
        log_warning("the live page is not served any more: libwebsockets gave up (%d)", served);
    }
    return NULL;
}

static void wake(void *argument)
{
    const struct server *self = argument;
    if (self->context != NULL) {
        lws_cancel_service(self->context);
    }
}

int server_start(struct server *self)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are for the main thread */
    const int failed = pthread_create(&self->thread, NULL, serve, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    self->running = failed == 0;
    return failed == 0 ? LOOM_OK
                       : error_set(LOOM_EINTERNAL, "no thread for the live page: %s", strerror(failed));
}

int server_new(struct server **self_p, const struct guard *guard, char *(*metrics)(void *argument),
               void *argument)
{
    struct server *self = *self_p = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the live page");
    }
    self->answers.guard = guard;
    self->answers.metrics = metrics;
    self->answers.argument = argument;
    int status = board_new(&self->board, wake, self);
    if (status == LOOM_OK) {
        status = assets_new(&self->answers.assets, guard->token);
    }
    if (status == LOOM_OK) {
        status = listen_at(self);
    }
    if (status < 0) {
        server_destroy(self_p);
    }
    return status;
}

struct board *server_board(struct server *self)
{
    return self->board;
}

int server_port(const struct server *self)
{
    return self->port;
}

/* Bytes of a reason that a closing frame has room for: all, or else without what follows its first "; " (a command that
 * would be of no use in part), or else whole characters of UTF-8. */
static size_t length_of_reason(const char *why)
{
    size_t n = strlen(why);
    const char *command = strstr(why, "; ");
    if (n >= WHY_BYTES && command != NULL && command - why < WHY_BYTES) {
        return (size_t)(command - why);
    }
    if (n >= WHY_BYTES) {
        n = WHY_BYTES - 1;
        while (n > 0 && ((unsigned char)why[n] & 0xc0) == 0x80) {
            n--;
        }
    }
    return n;
}

void server_stop(struct server *self, int code, const char *why)
{
    const int64_t begin_ms = clock_ms();
    if (self == NULL || !self->running) {
        return;
    }
    self->code = code;
    snprintf(self->why, sizeof self->why, "%.*s", (int)length_of_reason(why), why);
    atomic_store(&self->parting, true);
    while (atomic_load(&self->open) > 0 && clock_ms() - begin_ms < PARTING_MS) {
        lws_cancel_service(self->context);
        usleep(10000);
    }
    atomic_store(&self->over, true);
    lws_cancel_service(self->context);
    pthread_join(self->thread, NULL);
    self->running = false;
}

void server_destroy(struct server **self_p)
{
    struct server *self = *self_p;
    if (self == NULL) {
        return;
    }
    server_stop(self, SERVER_GOING_AWAY, "");
    if (self->context != NULL) {
        lws_context_destroy(self->context);
    }
    board_destroy(&self->board);
    assets_destroy(&self->answers.assets);
    free(self);
    *self_p = NULL;
}

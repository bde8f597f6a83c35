/* See request.h. */
#include "request.h"

#include <stdlib.h>
#include <string.h>

const char *request_header(struct lws *wsi, enum lws_token_indexes which, char *value, int size)
{
    return lws_hdr_total_length(wsi, which) > 0 && lws_hdr_copy(wsi, value, size, which) > 0 ? value : NULL;
}

bool request_has_token(struct lws *wsi, const struct guard *guard)
{
    char argument[GUARD_TOKEN_MAX + 16];
    return guard_admits_token(guard, lws_get_urlarg_by_name(wsi, "token=", argument, (int)sizeof argument));
}

/* Send the head of an answer; the body (borrowed, unless request->owned) follows when it can be written. */
static int answer(struct lws *wsi, struct request *request, unsigned code, const char *type, const char *etag,
                  const void *body, size_t bytes)
{
    static const char no_cache[] = "no-cache";
    uint8_t head[LWS_PRE + 2048], *start = head + LWS_PRE, *at = start, *end = head + sizeof head - 1;
    if (lws_add_http_common_headers(wsi, code, type, bytes, &at, end) != 0 ||
        lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CACHE_CONTROL, (const uint8_t *)no_cache,
                                     sizeof no_cache - 1, &at, end) != 0 ||
        (etag != NULL && lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_ETAG, (const uint8_t *)etag,
                                                      (int)strlen(etag), &at, end) != 0) ||
        lws_finalize_write_http_header(wsi, start, &at, end) != 0) {
        return 1;
    }
    request->body = body;
    request->left = bytes;
    if (bytes == 0) {
        return lws_http_transaction_completed(wsi);
    }
    lws_callback_on_writable(wsi);
    return 0;
}

static int answer_text(struct lws *wsi, struct request *request, unsigned code, const char *text)
{
    return answer(wsi, request, code, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

static int answer_metrics(struct lws *wsi, struct request *request, const struct answers *answers)
{
    free(request->owned);
    request->owned = answers->metrics(answers->argument);
    return request->owned == NULL ? answer_text(wsi, request, 503, "there is no memory for this just now\n")
                                  : answer(wsi, request, 200, "text/plain; version=0.0.4; charset=utf-8",
                                           NULL, request->owned, strlen(request->owned));
}

int request_answer(struct request *request, struct lws *wsi, const struct answers *answers)
{
    char value[300], *path = NULL;
    int n = 0;
    const int method = lws_http_get_uri_and_method(wsi, &path, &n);
    if (!guard_admits_host(answers->guard, request_header(wsi, WSI_TOKEN_HOST, value, (int)sizeof value))) {
        return answer_text(wsi, request, 403,
                           "This page is served under an address in numbers or localhost, not under this "
                           "name.\n");
    }
    if (!request_has_token(wsi, answers->guard)) {
        return answer_text(wsi, request, 403,
                           "A token is needed: /?token=..., as loom printed it when it began to serve.\n");
    }
    if (method != LWSHUMETH_GET || n < 1) {
        return answer_text(wsi, request, 405, "Only GET.\n");
    }
    if (n == 8 && memcmp(path, "/metrics", 8) == 0) {
        return answer_metrics(wsi, request, answers);
    }
    const struct asset *asset = assets_find(answers->assets, path, (size_t)n);
    if (asset == NULL) {
        return answer_text(wsi, request, 404, "There is no such page.\n");
    }
    const char *known = request_header(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, value, (int)sizeof value);
    return known != NULL && strcmp(known, asset->etag) == 0
               ? answer(wsi, request, 304, asset->type, asset->etag, NULL, 0)
               : answer(wsi, request, 200, asset->type, asset->etag, asset->data, asset->bytes);
}

int request_write(struct request *request, struct lws *wsi, uint8_t *chunk, size_t bytes)
{
    const size_t n = request->left < bytes ? request->left : bytes;
    if (n == 0) {
        return 0;
    }
    memcpy(chunk + LWS_PRE, request->body, n);
    request->body += n;
    request->left -= n;
    const enum lws_write_protocol last = request->left == 0 ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP;
    if (lws_write(wsi, chunk + LWS_PRE, n, last) < (int)n) {
        return -1;
    }
    if (request->left > 0) {
        lws_callback_on_writable(wsi);
        return 0;
    }
    return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}

void request_fini(struct request *self)
{
    if (self != NULL) {
        free(self->owned);
        *self = (struct request){.body = NULL};
    }
}

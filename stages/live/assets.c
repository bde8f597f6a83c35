/* See assets.h. */
#include "assets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "page.h"

static const char *type_of(const char *name)
{
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".svg", "image/svg+xml"}};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof types / sizeof *types; i++) {
        if (strcmp(dot, types[i][0]) == 0) {
            return types[i][1];
        }
    }
    return "application/octet-stream";
}

/* The name of a page's file that begins behind a quote at `at`, with or without ./ in front; its length, or 0. */
static size_t names_file(const uint8_t *at, const uint8_t *end, uint8_t quote)
{
    size_t lead = end - at > 2 && at[0] == '.' && at[1] == '/' ? 2 : 0;
    for (size_t i = 0; i < page_files_n; i++) {
        const size_t n = strlen(page_files[i].name);
        if ((size_t)(end - at) > lead + n && memcmp(at + lead, page_files[i].name, n) == 0 &&
            at[lead + n] == quote) {
            return lead + n;
        }
    }
    return 0;
}

/* Copy a file of the page. */
static int make_one(struct asset *asset, const struct page_file *file, const char *token)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, &asset->bytes);
    if (out == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the live page");
    }
    const uint8_t *end = file->data + file->bytes;
    for (const uint8_t *at = file->data; at < end; at++) {
        fputc(*at, out);
        const size_t n = token[0] != '\0' && (*at == '"' || *at == '\'') ? names_file(at + 1, end, *at) : 0;
        if (n > 0) {
            fwrite(at + 1, 1, n, out);
            fprintf(out, "?token=%s", token);
            at += n;
        }
    }
    if (fclose(out) != 0 || text == NULL) {
        free(text);
        return error_set(LOOM_EINTERNAL, "no memory for the live page");
    }
    asset->data = (uint8_t *)text;
    asset->name = file->name;
    asset->type = type_of(file->name);
    snprintf(asset->etag, sizeof asset->etag, "\"%016jx\"", (uintmax_t)XXH64(text, asset->bytes, 0));
    return LOOM_OK;
}

int assets_new(struct asset **assets, const char *token)
{
    int status = LOOM_OK;
    *assets = calloc(page_files_n + 1, sizeof **assets);
    if (*assets == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the live page");
    }
    for (size_t i = 0; status == LOOM_OK && i < page_files_n; i++) {
        status = make_one(&(*assets)[i], &page_files[i], token);
    }
    if (status < 0) {
        assets_destroy(assets);
    }
    return status;
}

void assets_destroy(struct asset **assets)
{
    for (size_t i = 0; *assets != NULL && i < page_files_n; i++) {
        free((*assets)[i].data);
    }
    free(*assets);
    *assets = NULL;
}

const struct asset *assets_find(const struct asset *assets, const char *path, size_t n)
{
    const char *name = n == 1 ? "index.html" : path + 1;
    n = n == 1 ? strlen(name) : n - 1;
    for (size_t i = 0; i < page_files_n; i++) {
        if (strlen(assets[i].name) == n && memcmp(assets[i].name, name, n) == 0) {
            return &assets[i];
        }
    }
    return NULL;
}

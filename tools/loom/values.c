/* Values of parameters: checked against the stage's specification and brought into one form. See pipeline.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "address.h"
#include "pipeline.h"

/* What a value of this type looks like, for a message. */
static const char *expected(enum spec_type type)
{
    switch (type) {
    case SPEC_INTEGER:
        return "a whole number, e.g. 42";
    case SPEC_REAL:
        return "a number, e.g. 0.5";
    case SPEC_BOOLEAN:
        return "true or false";
    case SPEC_GRID:
        return "a grid, e.g. [40, 40] or 40x40";
    case SPEC_TEXT:
        return "a text";
    case SPEC_PATH:
        return "a path";
    case SPEC_CHOICE:
        return "one of its words";
    case SPEC_ADDRESS:
        return "ADDRESS:PORT, e.g. 127.0.0.1:8090";
    }
    return "a value";
}

/* Whole numbers in full, as far as a real number holds them exactly. */
static const char *limit_text(struct arena *arena, double limit)
{
    bool whole = fabs(limit) <= 0x1p53 && limit == trunc(limit);
    return arena_format(arena, whole ? "%.0f" : "%.10g", limit);
}

static bool in_range(const struct spec_param *param, const struct node *node, double value,
                     struct arena *arena, struct diagnostics *diagnostics)
{
    if (value >= param->min && value <= param->max) {
        return true;
    }
    const char *unit = *param->unit ? arena_format(arena, " %s", param->unit) : "";
    const char *low = limit_text(arena, param->min), *high = limit_text(arena, param->max);
    const char *range;
    if (isinf(param->max)) {
        range = arena_format(arena, "%s%s or more", low, unit);
    } else if (isinf(param->min)) {
        range = arena_format(arena, "%s%s or less", high, unit);
    } else {
        range = arena_format(arena, "from %s to %s%s", low, high, unit);
    }
    diagnostics_error(diagnostics, node->place, "'%s' must be %s, not %.64s", param->name, range,
                      node->kind == NODE_SCALAR ? node->text : limit_text(arena, value));
    return false;
}

/* false with errno == ERANGE: a whole number, but beyond 64 bits. */
static bool read_integer(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    if (!*text || strspn(text, "+-0123456789") != strlen(text)) {
        return false;
    }
    *value = strtoll(text, &end, 10);
    return !*end && !errno;
}

/* The shortest text that reads back as the same number. */
static const char *real_text(struct arena *arena, double value)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    return arena_copy(arena, text);
}

static const char *read_choice(const struct spec_param *param, const struct node *node, struct arena *arena,
                               struct diagnostics *diagnostics)
{
    const char *all = "";
    for (size_t i = 0; i < param->n_choices; i++) {
        if (strcmp(param->choices[i], node->text) == 0) {
            return param->choices[i];
        }
        all = arena_format(arena, "%s%s%s", all, i ? ", " : "", param->choices[i]);
    }
    diagnostics_guess(diagnostics, node->place, nearest_word(node->text, param->choices, param->n_choices),
                      "'%s' must be one of %s, not '%.64s'", param->name, all, node->text);
    return NULL;
}

/* Columns and rows: [40, 40] or 40x40. Returns 0 if it is neither. */
static bool read_grid(const struct node *node, struct arena *arena, int64_t grid[2])
{
    if (node->kind == NODE_LIST) {
        return node->n == 2 && node->items[0]->kind == NODE_SCALAR && node->items[1]->kind == NODE_SCALAR &&
               read_integer(node->items[0]->text, &grid[0]) && read_integer(node->items[1]->text, &grid[1]);
    }
    const char *cross = node->kind == NODE_SCALAR ? strchr(node->text, 'x') : NULL;
    return cross && read_integer(arena_copy_n(arena, node->text, (size_t)(cross - node->text)), &grid[0]) &&
           read_integer(cross + 1, &grid[1]);
}

static const char *wrong_type(const struct spec_param *param, const struct node *node,
                              struct diagnostics *diagnostics)
{
    if (node->kind == NODE_SCALAR) {
        diagnostics_error(diagnostics, node->place, "'%s' must be %s, not '%.64s'", param->name,
                          expected(param->type), node->text);
    } else {
        diagnostics_error(diagnostics, node->place, "'%s' must be %s, not a %s", param->name,
                          expected(param->type), node->kind == NODE_LIST ? "list" : "map");
    }
    return NULL;
}

/* Without "x/..", "." and "//"; path is absolute. */
static const char *path_clean(struct arena *arena, const char *path)
{
    char *clean = arena_alloc(arena, strlen(path) + 2);
    size_t n = 0;
    for (const char *at = path; *at;) {
        size_t part = strcspn(at, "/");
        if (part == 2 && at[0] == '.' && at[1] == '.') {
            while (n && clean[--n] != '/') {
            }
        } else if (part && !(part == 1 && at[0] == '.')) {
            clean[n++] = '/';
            memcpy(clean + n, at, part);
            n += part;
        }
        at += part + (at[part] == '/');
    }
    if (!n) {
        clean[n++] = '/';
    }
    clean[n] = '\0';
    return clean;
}

const char *path_resolve(struct arena *arena, const char *base, const char *path)
{
    const char *absolute = *path == '/' ? path : arena_format(arena, "%s/%s", base, path);
    char *real = realpath(absolute, NULL);
    const char *resolved = real ? arena_copy(arena, real) : path_clean(arena, absolute);
    free(real);
    return resolved;
}

const char *endpoint_read(const char *text, const char *base, struct place place, struct arena *arena,
                          struct diagnostics *diagnostics)
{
    if (strncmp(text, "tcp://", 6) == 0) {
        const char *colon = strrchr(text + 6, ':');
        int64_t port;
        if (colon && colon > text + 6 && read_integer(colon + 1, &port) && port >= 1 && port <= 65535) {
            return text;
        }
        diagnostics_error(diagnostics, place, "'%.128s' is not an endpoint: tcp://HOST:PORT", text);
        return NULL;
    }
    if (strncmp(text, "ipc://", 6) != 0 || !text[6]) {
        diagnostics_error(diagnostics, place, "'%.128s' is not an endpoint: ipc://PATH or tcp://HOST:PORT",
                          text);
        return NULL;
    }
    const char *path = text[6] == '@' ? text + 6 : path_resolve(arena, base, text + 6);
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path) {
        diagnostics_error(diagnostics, place, "the path of a socket can have %zu bytes, '%.128s' has %zu",
                          sizeof((struct sockaddr_un *)0)->sun_path - 1, path, strlen(path));
        return NULL;
    }
    return arena_format(arena, "ipc://%s", path);
}

static const char *read_number(const struct spec_param *param, const struct node *node, struct arena *arena,
                               struct diagnostics *diagnostics)
{
    int64_t whole;
    char *end;
    if (param->type == SPEC_INTEGER) {
        if (!read_integer(node->text, &whole)) {
            bool beyond = errno == ERANGE; /* a whole number, but of more than 64 bits */
            return beyond && !in_range(param, node, strtod(node->text, NULL), arena, diagnostics)
                       ? NULL
                       : wrong_type(param, node, diagnostics);
        }
        return in_range(param, node, (double)whole, arena, diagnostics)
                   ? arena_format(arena, "%" PRId64, whole)
                   : NULL;
    }
    double value = strtod(node->text, &end);
    if (end == node->text || *end || !isfinite(value)) {
        return wrong_type(param, node, diagnostics);
    }
    return in_range(param, node, value, arena, diagnostics) ? real_text(arena, value) : NULL;
}

static const char *read_address(const struct spec_param *param, const struct node *node,
                                struct diagnostics *diagnostics)
{
    struct address ignored;
    if (*node->text && address_read(&ignored, node->text) < 0) {
        diagnostics_error(diagnostics, node->place, "'%s': %s", param->name, error_message());
        return NULL;
    }
    return node->text;
}

const char *value_read(const struct spec_param *param, const struct node *node, const char *base,
                       struct arena *arena, struct diagnostics *diagnostics)
{
    int64_t grid[2];
    if (param->type == SPEC_GRID) {
        if (!read_grid(node, arena, grid)) {
            return wrong_type(param, node, diagnostics);
        }
        for (size_t i = 0; i < 2; i++) {
            if (!in_range(param, node, (double)grid[i], arena, diagnostics)) {
                return NULL;
            }
        }
        return arena_format(arena, "%" PRId64 "x%" PRId64, grid[0], grid[1]);
    }
    if (node->kind != NODE_SCALAR) {
        return wrong_type(param, node, diagnostics);
    }
    switch (param->type) {
    case SPEC_INTEGER:
    case SPEC_REAL:
        return read_number(param, node, arena, diagnostics);
    case SPEC_BOOLEAN:
        if (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0) {
            return wrong_type(param, node, diagnostics);
        }
        return node->text;
    case SPEC_CHOICE:
        return read_choice(param, node, arena, diagnostics);
    case SPEC_ADDRESS:
        return read_address(param, node, diagnostics);
    case SPEC_PATH:
        return *node->text && strcmp(node->text, "-") != 0 ? path_resolve(arena, base, node->text)
                                                           : node->text;
    default:
        return node->text;
    }
}

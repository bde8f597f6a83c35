/* See params.h. */
#include "params.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "log.h"

static void *field_of(const struct param *param, void *fields)
{
    return (char *)fields + param->offset;
}

static bool name_equals(const char *name, const char *text)
{
    while (*name != '\0' && *name == (*text == '-' ? '_' : *text)) {
        name++;
        text++;
    }
    return *name == '\0' && *text == '\0';
}

const struct param *params_find(const struct param *table, const char *name)
{
    for (const struct param *param = table; param != NULL && param->name != NULL; param++) {
        if (name_equals(param->name, name)) {
            return param;
        }
    }
    return NULL;
}

/* "40x40" out of the numbers around a separator; the whole text must be used up. */
static bool parse_integer(const char *text, char end, int64_t *value, const char **rest)
{
    char *stop = NULL;
    errno = 0;
    long long number = strtoll(text, &stop, 10);
    if (stop == text || errno != 0 || *stop != end) {
        return false;
    }
    *value = number;
    *rest = stop + 1;
    return true;
}

static bool in_range(const struct param *param, double value)
{
    return value >= param->min && value <= param->max;
}

static int bad_value(const struct param *param, const char *text)
{
    char expected[256];
    switch (param->type) {
    case PARAM_INTEGER:
        snprintf(expected, sizeof expected, "a whole number from %.16g to %.16g", param->min, param->max);
        break;
    case PARAM_REAL:
        snprintf(expected, sizeof expected, "a number from %.15g to %.15g", param->min, param->max);
        break;
    case PARAM_BOOLEAN:
        snprintf(expected, sizeof expected, "true or false");
        break;
    case PARAM_GRID:
        snprintf(expected, sizeof expected, "COLUMNSxROWS such as 40x40, each from %.15g to %.15g",
                 param->min, param->max);
        break;
    case PARAM_CHOICE: {
        size_t used = (size_t)snprintf(expected, sizeof expected, "one of");
        for (size_t i = 0; param->choices[i] != NULL && used < sizeof expected; i++) {
            used += (size_t)snprintf(expected + used, sizeof expected - used, "%s %s", i == 0 ? "" : ",",
                                     param->choices[i]);
        }
        break;
    }
    default:
        snprintf(expected, sizeof expected, "text");
        break;
    }
    return error_set(LOOM_EUSAGE, "parameter %s: '%.100s' is not valid; give %s", param->name, text,
                     expected);
}

static int set_integer(const struct param *param, int64_t *field, const char *text)
{
    int64_t value = 0;
    const char *rest = NULL;
    if (!parse_integer(text, '\0', &value, &rest) || !in_range(param, (double)value)) {
        return bad_value(param, text);
    }
    *field = value;
    return 0;
}

static int set_real(const struct param *param, double *field, const char *text)
{
    char *stop = NULL;
    double value = strtod(text, &stop);
    if (stop == text || *stop != '\0' || !isfinite(value) || !in_range(param, value)) {
        return bad_value(param, text);
    }
    *field = value;
    return 0;
}

static int set_grid(const struct param *param, struct grid *field, const char *text)
{
    struct grid value;
    const char *rest = NULL;
    if (!parse_integer(text, 'x', &value.x, &rest) || !parse_integer(rest, '\0', &value.y, &rest) ||
        !in_range(param, (double)value.x) || !in_range(param, (double)value.y)) {
        return bad_value(param, text);
    }
    *field = value;
    return 0;
}

static int set_choice(const struct param *param, int *field, const char *text)
{
    for (int i = 0; param->choices[i] != NULL; i++) {
        if (strcmp(param->choices[i], text) == 0) {
            *field = i;
            return 0;
        }
    }
    return bad_value(param, text);
}

static int set_text(char **field, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for a parameter");
    }
    free(*field);
    *field = copy;
    return 0;
}

static int set_address(const struct param *param, char **field, const char *text)
{
    struct address ignored;
    const int status = text[0] == '\0' ? 0 : address_read(&ignored, text);
    return status < 0 ? error_prefix(status, "parameter %s", param->name) : set_text(field, text);
}

int params_set(const struct param *param, void *fields, const char *text)
{
    void *field = field_of(param, fields);
    switch (param->type) {
    case PARAM_INTEGER:
        return set_integer(param, field, text);
    case PARAM_REAL:
        return set_real(param, field, text);
    case PARAM_GRID:
        return set_grid(param, field, text);
    case PARAM_CHOICE:
        return set_choice(param, field, text);
    case PARAM_ADDRESS:
        return set_address(param, field, text);
    case PARAM_BOOLEAN:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            return bad_value(param, text);
        }
        *(bool *)field = text[0] == 't';
        return 0;
    case PARAM_TEXT:
    case PARAM_PATH:
        return set_text(field, text);
    }
    return error_set(LOOM_EINTERNAL, "parameter %s has an unknown type", param->name);
}

int params_set_defaults(const struct param *table, void *fields)
{
    for (const struct param *param = table; param != NULL && param->name != NULL; param++) {
        int status = params_set(param, fields, param->fallback);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

void params_format(const struct param *param, const void *fields, char *text, size_t size)
{
    const void *field = (const char *)fields + param->offset;
    const struct grid *grid = field;
    switch (param->type) {
    case PARAM_INTEGER:
        snprintf(text, size, "%jd", (intmax_t) * (const int64_t *)field);
        break;
    case PARAM_REAL:
        snprintf(text, size, "%.17g", *(const double *)field);
        break;
    case PARAM_BOOLEAN:
        snprintf(text, size, "%s", *(const bool *)field ? "true" : "false");
        break;
    case PARAM_CHOICE:
        snprintf(text, size, "%s", param->choices[*(const int *)field]);
        break;
    case PARAM_GRID:
        snprintf(text, size, "%jdx%jd", (intmax_t)grid->x, (intmax_t)grid->y);
        break;
    case PARAM_TEXT:
    case PARAM_PATH:
    case PARAM_ADDRESS:
        snprintf(text, size, "%s", *(char *const *)field);
        break;
    }
}

void params_write_json(const struct param *table, FILE *out)
{
    static const char *const type_names[] = {
        [PARAM_INTEGER] = "integer", [PARAM_REAL] = "real",      [PARAM_BOOLEAN] = "boolean",
        [PARAM_TEXT] = "text",       [PARAM_PATH] = "path",      [PARAM_CHOICE] = "choice",
        [PARAM_GRID] = "grid",       [PARAM_ADDRESS] = "address"};
    fputc('[', out);
    for (const struct param *param = table; param != NULL && param->name != NULL; param++) {
        bool ranged = param->type == PARAM_INTEGER || param->type == PARAM_REAL || param->type == PARAM_GRID;
        fprintf(out, "%s\n  {\"name\":\"%s\",\"type\":\"%s\",\"default\":", param == table ? "" : ",",
                param->name, type_names[param->type]);
        log_json_string(out, param->fallback);
        if (ranged) {
            fprintf(out, ",\"min\":%.17g,\"max\":%.17g", param->min, param->max);
        } else {
            fputs(",\"min\":null,\"max\":null", out);
        }
        fputs(",\"unit\":", out);
        log_json_string(out, param->unit);
        fputs(",\"help\":", out);
        log_json_string(out, param->help);
        fputs(",\"choices\":", out);
        fputs(param->type == PARAM_CHOICE ? "[" : "null", out);
        for (size_t i = 0; param->type == PARAM_CHOICE && param->choices[i] != NULL; i++) {
            fputs(i == 0 ? "" : ",", out);
            log_json_string(out, param->choices[i]);
        }
        fputs(param->type == PARAM_CHOICE ? "]" : "", out);
        fprintf(out, ",\"required\":%s,\"local\":%s}",
                (param->flags & PARAM_REQUIRED) != 0 ? "true" : "false",
                (param->flags & PARAM_LOCAL) != 0 ? "true" : "false");
    }
    fputs("]", out);
}

void params_fini(const struct param *table, void *fields)
{
    for (const struct param *param = table; param != NULL && param->name != NULL; param++) {
        if (param->type == PARAM_TEXT || param->type == PARAM_PATH || param->type == PARAM_ADDRESS) {
            char **field = field_of(param, fields);
            free(*field);
            *field = NULL;
        }
    }
}

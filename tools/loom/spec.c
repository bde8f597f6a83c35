/* See spec.h. */
#include "spec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diagnostics.h"
#include "programs.h"
#include "yaml_tree.h"

static const char *const type_names[] = {"integer", "real",   "boolean", "text",
                                         "path",    "choice", "grid",    "address"};

/* Options of every stage that the launcher sets (run.c). */
static const char *const wiring_names[] = {"name", "who",  "run",      "log",     "in",
                                           "tap",  "bind", "bind_tap", "required"};

const char *spec_type_name(enum spec_type type)
{
    return type_names[type];
}

static const char *text_or(const struct node *map, const char *key, const char *otherwise)
{
    const char *text = yaml_tree_text(map, key);
    return text ? text : otherwise;
}

static double number_or(const struct node *map, const char *key, double otherwise)
{
    const char *text = yaml_tree_text(map, key);
    char *end;
    double value = text ? strtod(text, &end) : 0;
    return text && end != text && !*end ? value : otherwise;
}

static bool is_true(const struct node *map, const char *key)
{
    return strcmp(text_or(map, key, "false"), "true") == 0;
}

static size_t count_or(const struct node *map, const char *key, size_t otherwise)
{
    double value = number_or(map, key, (double)otherwise);
    return value >= 0 && value <= 1e6 ? (size_t)value : otherwise;
}

/* A list of texts; *n is 0 if there is none. */
static const char *const *texts(struct arena *arena, const struct node *list, size_t *n)
{
    const char **items = NULL;
    *n = 0;
    for (size_t i = 0; list && list->kind == NODE_LIST && i < list->n; i++) {
        items = arena_grow(arena, items, *n, sizeof *items);
        items[(*n)++] = list->items[i]->text;
    }
    return items;
}

static int read_param(struct spec_param *param, struct arena *arena, const struct node *node)
{
    const char *name = yaml_tree_text(node, "name"), *type = yaml_tree_text(node, "type");
    size_t t = 0;
    if (!name || !type) {
        return error_set(LOOM_EDATA, "a parameter without name or type");
    }
    while (t < sizeof type_names / sizeof *type_names && strcmp(type_names[t], type) != 0) {
        t++;
    }
    if (t == sizeof type_names / sizeof *type_names) {
        return error_set(LOOM_EDATA, "parameter '%.64s' is of type '%.64s', which Loom does not know", name,
                         type);
    }
    *param = (struct spec_param){
        .name = name,
        .type = (enum spec_type)t,
        .fallback = text_or(node, "default", ""),
        .min = number_or(node, "min", -INFINITY),
        .max = number_or(node, "max", INFINITY),
        .unit = text_or(node, "unit", ""),
        .help = text_or(node, "help", ""),
        .local = is_true(node, "local"),
        .required = is_true(node, "required"),
    };
    param->choices = texts(arena, yaml_tree_get(node, "choices"), &param->n_choices);
    return LOOM_OK;
}

static int read_params(struct spec *spec, struct arena *arena, const struct node *list, bool common)
{
    for (size_t i = 0; list && list->kind == NODE_LIST && i < list->n; i++) {
        spec->params = arena_grow(arena, spec->params, spec->n_params, sizeof *spec->params);
        struct spec_param *param = &spec->params[spec->n_params];
        int status = read_param(param, arena, list->items[i]);
        if (status) {
            return status;
        }
        param->common = common;
        for (size_t w = 0; common && w < sizeof wiring_names / sizeof *wiring_names; w++) {
            param->wiring |= strcmp(param->name, wiring_names[w]) == 0;
        }
        spec->n_params++;
    }
    return LOOM_OK;
}

static int read_spec(struct spec *spec, struct arena *arena, const struct node *root)
{
    const struct node *inputs = yaml_tree_get(root, "inputs");
    spec->stage = yaml_tree_text(root, "stage");
    if (!spec->stage || !inputs || !yaml_tree_get(root, "output")) {
        return error_set(LOOM_EDATA, "stage, inputs or output is missing");
    }
    spec->summary = text_or(root, "summary", "");
    spec->version = text_or(root, "version", "");
    spec->kinds = texts(arena, yaml_tree_get(inputs, "kinds"), &spec->n_kinds);
    spec->inputs_min = count_or(inputs, "min", 0);
    spec->inputs_max = count_or(inputs, "max", spec->inputs_min);
    spec->taps = is_true(root, "taps");
    spec->output = yaml_tree_text(root, "output");
    const struct node *unless = yaml_tree_get(root, "stdin");
    spec->reads_stdin = unless != NULL && unless->kind == NODE_LIST;
    spec->stdin_unless = texts(arena, unless, &spec->n_stdin_unless);
    int status = read_params(spec, arena, yaml_tree_get(root, "params"), false);
    return status ? status : read_params(spec, arena, yaml_tree_get(root, "common"), true);
}

int spec_load(const struct spec **spec_p, struct arena *arena, const char *name, int patience_ms)
{
    struct spec *spec = arena_alloc(arena, sizeof *spec);
    struct diagnostics diagnostics = {.arena = arena};
    size_t n;
    *spec_p = NULL;
    spec->program = program_find(arena, name);
    if (!spec->program) {
        return error_set(LOOM_EUSAGE, "there is no program loom-%s beside loom or on PATH", name);
    }
    int status = program_ask(arena, spec->program, "--spec", patience_ms, &spec->json, &n);
    if (status) {
        return status;
    }
    struct place place = {.source = spec->program};
    struct node *root = yaml_tree_parse(arena, &diagnostics, place, spec->json, n);
    if (diagnostics.errors) {
        return error_set(LOOM_EDATA, "%s --spec: no specification: %s", spec->program,
                         diagnostics.items[0].text);
    }
    status = read_spec(spec, arena, root);
    if (status) {
        return error_prefix(status, "%s --spec: no specification", spec->program);
    }
    if (strcmp(spec->stage, name) != 0) {
        return error_set(
            LOOM_EDATA,
            "%s --spec: it calls itself stage '%.64s', but is the program loom-%s: make them agree "
            "(in C: .name = \"%s\" in its struct stage)",
            spec->program, spec->stage, name, name);
    }
    *spec_p = spec;
    return LOOM_OK;
}

const struct spec_param *spec_find(const struct spec *self, const char *name)
{
    for (size_t i = 0; i < self->n_params; i++) {
        const char *a = self->params[i].name, *b = name;
        while (*a && (*a == '-' ? '_' : *a) == (*b == '-' ? '_' : *b)) {
            a++, b++;
        }
        if (!*a && !*b) {
            return &self->params[i];
        }
    }
    return NULL;
}

bool spec_accepts(const struct spec *self, const char *kind)
{
    for (size_t i = 0; i < self->n_kinds; i++) {
        if (strcmp(self->kinds[i], kind) == 0) {
            return true;
        }
    }
    return false;
}

const char *spec_kinds_text(const struct spec *self, struct arena *arena)
{
    const char *text = self->n_kinds ? self->kinds[0] : "nothing";
    for (size_t i = 1; i < self->n_kinds; i++) {
        text = arena_format(arena, "%s%s%s", text, i + 1 == self->n_kinds ? " or " : ", ", self->kinds[i]);
    }
    return text;
}

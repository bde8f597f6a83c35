/* See settings.h. */
#include "settings.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_DIR = 256, KEY_LOG, KEY_TRANSPORT, KEY_RESTARTS, KEY_AGAIN, KEY_GRACE };

static const struct argp_option options[] = {
    {"set", 's', "STAGE.PARAMETER=VALUE", 0, "change the pipeline; may be repeated", 0},
    {"dir", KEY_DIR, "RUN", 0, "the folder (default: runs/<name of the pipeline>, of a sweep with -sweep)",
     0},
    {"again", KEY_AGAIN, NULL, 0, "begin anew even if there is such a run; the old folder is moved aside", 0},
    {"quiet", 'q', NULL, 0, "say nothing but errors", 0},
    {"log", KEY_LOG, "json|text", 0, "events as JSON lines on standard output", 0},
    {"transport", KEY_TRANSPORT, "ipc|tcp", 0,
     "how stages are connected (default: ipc; tcp: on the loopback)", 0},
    {"restarts", KEY_RESTARTS, "N", 0, "start a dead stage again so many times without progress (default: 5)",
     0},
    {"grace", KEY_GRACE, "SECONDS", 0, "time that a stage gets to end after it was asked to (default: 10)",
     0},
    {0},
};

static double parse_number(struct argp_state *state, const char *option, const char *text, double max)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value <= max)) {
        argp_error(state, "%s is a number from 0 to %g, not '%s'", option, max, text);
    }
    return value;
}

static bool parse_word(struct argp_state *state, const char *option, const char *text, const char *on,
                       const char *off)
{
    if (strcmp(text, on) != 0 && strcmp(text, off) != 0) {
        argp_error(state, "%s is %s or %s, not '%s'", option, off, on, text);
    }
    return strcmp(text, on) == 0;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct settings *self = state->input;
    switch (key) {
    case 's':
        settings_add(self, &self->sets, &self->n_sets, argument);
        return 0;
    case 'q':
        self->quiet = true;
        return 0;
    case KEY_AGAIN:
        self->again = true;
        return 0;
    case KEY_DIR:
        self->dir = argument;
        return 0;
    case KEY_LOG:
        self->json = parse_word(state, "--log", argument, "json", "text");
        return 0;
    case KEY_TRANSPORT:
        self->tcp = parse_word(state, "--transport", argument, "tcp", "ipc");
        return 0;
    case KEY_RESTARTS:
        self->restarts = (int)parse_number(state, "--restarts", argument, 1e6);
        return 0;
    case KEY_GRACE:
        self->grace_ms = (int)(1000 * parse_number(state, "--grace", argument, 1e5));
        return 0;
    case ARGP_KEY_ARG:
        if (self->file) {
            argp_error(state, "one pipeline at a time");
        }
        self->file = argument;
        return 0;
    case ARGP_KEY_END:
        if (!self->file) {
            argp_error(state, "which pipeline? name its file, e.g. pipelines/topo.yaml");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp settings_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};

struct settings settings_defaults(struct arena *arena)
{
    return (struct settings){.arena = arena, .restarts = 5, .grace_ms = 10000};
}

void settings_add(struct settings *self, const char ***list, size_t *n, const char *text)
{
    *list = arena_grow(self->arena, *list, *n, sizeof **list);
    (*list)[(*n)++] = text;
}

const char *settings_folder(const struct settings *self)
{
    size_t n = self->dir ? strlen(self->dir) : 0;
    while (n > 1 && self->dir[n - 1] == '/') {
        n--;
    }
    return !self->dir ? NULL : n ? arena_copy_n(self->arena, self->dir, n) : ".";
}

const char *settings_command(const struct settings *self, const char *command)
{
    const char *text = arena_format(self->arena, "loom %s %s", command, self->file);
    if (self->dir) {
        text = arena_format(self->arena, "%s --dir %s", text, self->dir);
    }
    for (size_t i = 0; i < self->n_overs; i++) {
        text = arena_format(self->arena, "%s --over %s", text, self->overs[i]);
    }
    for (size_t i = 0; i < self->n_sets; i++) {
        text = arena_format(self->arena, "%s --set %s", text, self->sets[i]);
    }
    return text;
}

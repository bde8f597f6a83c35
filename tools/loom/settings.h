/* Settings of a launch: the options that `loom run` and `loom sweep` share. */
#ifndef LOOM_TOOLS_SETTINGS_H
#define LOOM_TOOLS_SETTINGS_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#include "memory.h"

struct settings {
    struct arena *arena; /* holds the lists */
    const char *file, *dir;
    const char **sets, **overs; /* --set, --over */
    size_t n_sets, n_overs;
    bool again, quiet, json, tcp;
    int restarts, grace_ms;
};

/* Options and parser, for struct argp_child: the child's input is a struct settings, made by settings_defaults.
 */
extern const struct argp settings_argp;

struct settings settings_defaults(struct arena *arena);

/* Add an argument to a list. */
void settings_add(struct settings *self, const char ***list, size_t *n, const char *text);

/* The folder as it was given, without slashes at the end; NULL if it was not. */
const char *settings_folder(const struct settings *self);

/* The command that does the same again: "loom run FILE --dir RUN --set ...". */
const char *settings_command(const struct settings *self, const char *command);

#endif

/* The commands of `loom`. Each is the rest of a main: argv[0] is "loom COMMAND", the return value the exit
 * code. */
#ifndef LOOM_TOOLS_COMMANDS_H
#define LOOM_TOOLS_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

#include "memory.h"
#include "pipeline.h"

int command_run(int argc, char **argv);
int command_sweep(int argc, char **argv);
int command_validate(int argc, char **argv);
int command_graph(int argc, char **argv);
int command_list(int argc, char **argv);
int command_inspect(int argc, char **argv);

/* Print all diagnostics to standard error. Returns 0, or 64 if there are errors, after saying how many. */
int report(struct diagnostics *diagnostics, const char *file);

/* Print the message of error_message() and return -status. */
int complain(int status);

#endif

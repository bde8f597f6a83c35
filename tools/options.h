/* The command line of a tool, and values of its options: what is not valid ends the program with one sentence (argp). */
#ifndef LOOM_TOOLS_OPTIONS_H
#define LOOM_TOOLS_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

/* Understand the command line of `loom NAME`, which knows itself by this in its help and its log, has --version, and ends
 * with 64 on bad usage. flags, self: argp_parse's. */
void options_parse(const struct argp *argp, int argc, char **argv, unsigned flags, const char *name,
                   void *self);

/* The number from min to max that `text`, the value of --option, is. */
double option_number(const struct argp_state *state, const char *option, const char *text, double min,
                     double max);

/* The same, a whole one in decimal digits. */
uint64_t option_whole(const struct argp_state *state, const char *option, const char *text, uint64_t min,
                      uint64_t max);

/* "A..B", both included, or "A.." (*to is UINT64_MAX), the value of --frames. */
void option_frames(const struct argp_state *state, const char *text, uint64_t *from, uint64_t *to);

/* Whether `text` ends with `ending` and something stands before that. */
bool ends_with(const char *text, const char *ending);

#endif

/* Values of command-line options, for the tools: what is not valid ends the program with one sentence (argp). */
#ifndef LOOM_TOOLS_OPTIONS_H
#define LOOM_TOOLS_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

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

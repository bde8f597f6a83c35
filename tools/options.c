/* See options.h. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "log.h"

void options_parse(const struct argp *argp, int argc, char **argv, unsigned flags, const char *name,
                   void *self)
{
    char whole[64];
    snprintf(whole, sizeof whole, "loom %s", name);
    log_open(name, false);
    argp_err_exit_status = -LOOM_EUSAGE;
    argp_program_version = "loom " LOOM_VERSION;
    argv[0] = whole;
    argp_parse(argp, argc, argv, flags, NULL, self);
    argv[0] = program_invocation_name; /* `whole` goes */
}

double option_number(const struct argp_state *state, const char *option, const char *text, double min,
                     double max)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= min && value <= max)) {
        argp_error(state, "--%s is a number from %g to %g, not '%s'", option, min, max, text);
    }
    return value;
}

uint64_t option_whole(const struct argp_state *state, const char *option, const char *text, uint64_t min,
                      uint64_t max)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || value < min || value > max) {
        argp_error(state, "--%s is a whole number from %ju to %ju, not '%s'", option, (uintmax_t)min,
                   (uintmax_t)max, text);
    }
    return value;
}

bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcmp(text + n - m, ending) == 0;
}

void option_frames(const struct argp_state *state, const char *text, uint64_t *from, uint64_t *to)
{
    char *end = NULL;
    errno = 0;
    *from = strtoull(text, &end, 10);
    bool valid = isdigit((unsigned char)text[0]) && strncmp(end, "..", 2) == 0;
    const char *last = valid ? end + 2 : "";
    *to = UINT64_MAX;
    if (*last != '\0') {
        *to = strtoull(last, &end, 10);
        valid = isdigit((unsigned char)last[0]) && *end == '\0';
    }
    if (!valid || errno != 0 || *from > *to) {
        argp_error(state, "--frames is A..B, both included, such as 0..999, or A.. to the end, not '%s'",
                   text);
    }
}

/* See error.h. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[2048];

int error_set(enum loom_status status, const char *format, ...)
{
    char fresh[sizeof message]; /* the arguments may point into the old message */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fresh, sizeof fresh, format, arguments);
    va_end(arguments);
    memcpy(message, fresh, sizeof message);
    return status;
}

int error_prefix(int status, const char *format, ...)
{
    char prefix[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);
    char rest[sizeof message];
    memcpy(rest, message, sizeof rest);
    snprintf(message, sizeof message, "%s: %.1500s", prefix, rest);
    return status;
}

const char *error_message(void)
{
    return message;
}

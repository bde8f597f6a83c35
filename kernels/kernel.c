/* Why a kernel failed; see kernel.h. */
#include "kernel.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char failure[256];

int kernel_fail(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure, sizeof failure, format, arguments);
    va_end(arguments);
    return status;
}

const char *kernel_failure(void)
{
    return failure;
}

/* Errors: a function that can fail returns 0 or one of these negative codes, and says why in error_message().
 *
 * The codes are the exit codes of every program of Loom, negated, so that `return -status` ends a main. A
 * message says what was wrong, where, and what to do; it is set once, where the failure is understood best,
 * and outer functions only pass the code on. One message a thread. */
#ifndef LOOM_COMMON_ERROR_H
#define LOOM_COMMON_ERROR_H

#define LOOM_MUST_CHECK __attribute__((warn_unused_result))

enum loom_status {
    LOOM_OK = 0,
    LOOM_EUSAGE = -64,       /* an option, parameter or pipeline is wrong */
    LOOM_EDATA = -65,        /* input data, a file's content or a peer's stream is wrong */
    LOOM_EPEER = -69,        /* an endpoint cannot be had, or nobody serves it */
    LOOM_EINTERNAL = -70,    /* memory ran out, or a bug */
    LOOM_EIO = -74,          /* reading or writing failed */
    LOOM_EINTERRUPTED = -130 /* asked to stop; what was learned is saved */
};

/* Record why, printf-style without a newline, and return `status`. */
int error_set(enum loom_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Put "context: " in front of the recorded message and return `status`. */
int error_prefix(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Why the last failure in this thread happened; "" if none. Valid until the next error_set. */
const char *error_message(void);

#endif

/* What is found out about a file: one line for a person, and an exit code. */
#ifndef LOOM_TOOLS_CHECK_FINDINGS_H
#define LOOM_TOOLS_CHECK_FINDINGS_H

#include <stddef.h>
#include <stdint.h>

struct findings {
    char what[4096];    /* what it is and holds */
    char problem[1200]; /* the first thing that is wrong; "": nothing */
    size_t n_problems;
    int code; /* exit code: 0, 65, 70 or 74 */
};

/* Append to `what`. */
void findings_tell(struct findings *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Note a problem of the content (LOOM_EDATA). */
void findings_add(struct findings *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Note a failure whose message is set. */
void findings_add_error(struct findings *self, int status);

/* Find every object of a closed file, and read the datasets of up to bytes_max bytes, so that all
 * checksums are compared. */
void check_objects(struct findings *self, const char *path, uint64_t bytes_max);

/* Verify a recording, or a layer file (also a checkpoint). */
void check_recording(struct findings *self, const char *path);
void check_layer(struct findings *self, const char *path);

#endif

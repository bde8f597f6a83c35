/* Identity: the id of a stream is a hash of all that made it, so that the same id means the same bits. */
#ifndef LOOM_COMMON_IDENTITY_H
#define LOOM_COMMON_IDENTITY_H

#include "error.h"
#include "params.h"
#include "stream.h"

/* id = hash of the stage's name, the body that computes (up to a '-'), every parameter that is not PARAM_LOCAL (of a file:
 * its content) and the inputs' ids. LOOM_EIO if a file cannot be read. */
int identity_hash(char id[STREAM_ID_BYTES], const char *stage, const char *body, const struct param *table,
                  const void *fields, const struct stream_info *inputs, size_t n_inputs) LOOM_MUST_CHECK;

/* id = hash of bytes. */
void identity_of_bytes(char id[STREAM_ID_BYTES], const void *bytes, size_t n);

#endif

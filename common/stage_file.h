/* What the runner adds to a stage's own state in a checkpoint or layer file: the ids, the position, and every
 * parameter, as attributes. */
#ifndef LOOM_COMMON_STAGE_FILE_H
#define LOOM_COMMON_STAGE_FILE_H

#include "error.h"
#include "stage.h"

/* Write the state of `stage` after `frame` frames to `path`, whole or not at all. */
int stage_file_write(const char *path, const struct stage *stage, const struct stage_context *context,
                     void *state, const struct stream_info *output, uint64_t frame) LOOM_MUST_CHECK;

/* Load a checkpoint; it must be of this very stream, else LOOM_EDATA with both ids. */
int stage_file_read(const char *path, const struct stage *stage, const struct stage_context *context,
                    void *state, const struct stream_info *output) LOOM_MUST_CHECK;

#endif

/* The recording that `loom draw` is given: a file, or a run's folder. */
#ifndef LOOM_TOOLS_DRAW_RECORDINGS_H
#define LOOM_TOOLS_DRAW_RECORDINGS_H

#include <stddef.h>

#include "error.h"
#include "stream.h"

/* What a path is called by in titles: the run's folder, or the file without its ending. */
void recordings_run(char run[STREAM_NAME_BYTES], const char *path);

/* The recording meant by `path`: the file itself, or the only one of a run's folder; the caller frees *found. run: the
 * run's name, "" if it is not known. LOOM_EUSAGE if the run has several, LOOM_EDATA if it has none, LOOM_EIO if there is
 * no such path. */
int recordings_find(char **found, char run[STREAM_NAME_BYTES], const char *path) LOOM_MUST_CHECK;

#endif

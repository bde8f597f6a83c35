/* The recording that `loom draw` is given: a file, or a run's folder. */
#ifndef LOOM_TOOLS_DRAW_RECORDINGS_H
#define LOOM_TOOLS_DRAW_RECORDINGS_H

#include <stddef.h>

#include "error.h"
#include "stream.h"

/* What a path is called by in titles: the run's folder, or the file without its ending. */
void recordings_run(char run[STREAM_NAME_BYTES], const char *path);

/* The same for n paths that are told apart by their names: of those that would be called alike, as many folders are
 * named as it takes, "a/run" and "b/run". *names: n, in the order of the paths, to be given to recordings_names_free;
 * alike only where two paths are of one file or run. */
int recordings_names(char ***names, const char *const *paths, size_t n) LOOM_MUST_CHECK;
void recordings_names_free(char **names, size_t n);

/* The recording meant by `path`: the file itself, or the only one of a run's folder; the caller frees *found. run: the
 * run's name, "" if it is not known. Of a member of a sweep, *shared (freed by the caller, too) is the only recording in
 * the sweep's folder, of the stages that all members share, or NULL; where the member has none of its own, that is *found.
 * LOOM_EUSAGE if the run has several, LOOM_EDATA if it has none, LOOM_EIO if there is no such path. */
int recordings_find(char **found, char **shared, char run[STREAM_NAME_BYTES],
                    const char *path) LOOM_MUST_CHECK;

#endif

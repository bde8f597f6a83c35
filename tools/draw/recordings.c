/* See recordings.h. */
#include "recordings.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"

/* The part of a path in front of its last '/', in place; the name behind it. NULL if there is none. */
static char *split(char *path)
{
    char *slash = path != NULL ? strrchr(path, '/') : NULL;
    if (slash == NULL) {
        return NULL;
    }
    *slash = '\0';
    return slash + 1;
}

void recordings_run(char run[STREAM_NAME_BYTES], const char *path)
{
    char *real = realpath(path, NULL), *name = split(real);
    if (name != NULL && strcmp(name, "metrics.jsonl") == 0) {
        name = split(real);
    } else if (name != NULL && (ends_with(name, ".h5") || ends_with(name, ".jsonl"))) {
        *strrchr(name, '.') = '\0';
    }
    snprintf(run, STREAM_NAME_BYTES, "%s", name != NULL ? name : path);
    free(real);
}

static int is_recording(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && ends_with(entry->d_name, ".h5");
}

/* The only recording of a run. */
static int find_in(char **found, const char *run)
{
    struct dirent **entries = NULL;
    char *folder = NULL;
    if (asprintf(&folder, "%s/recordings", run) < 0) {
        return error_set(LOOM_EINTERNAL, "out of memory");
    }
    const int n = scandir(folder, &entries, is_recording, alphasort);
    int status =
        n == 1  ? LOOM_OK
        : n > 1 ? error_set(LOOM_EUSAGE, "which recording? There are several in '%s': name the file", folder)
                : error_set(LOOM_EDATA, "'%s' has no recording (recordings/NAME.h5)", run);
    if (status == LOOM_OK && asprintf(found, "%s/%s", folder, entries[0]->d_name) < 0) {
        *found = NULL;
        status = error_set(LOOM_EINTERNAL, "out of memory");
    }
    for (int i = 0; i < n; i++) {
        free(entries[i]);
    }
    free(entries);
    free(folder);
    return status;
}

int recordings_find(char **found, char run[STREAM_NAME_BYTES], const char *path)
{
    struct stat about;
    *found = NULL;
    run[0] = '\0';
    if (stat(path, &about) != 0) {
        return error_set(LOOM_EIO, "cannot read '%s': %s", path, strerror(errno));
    }
    if (S_ISDIR(about.st_mode)) {
        recordings_run(run, path);
        return find_in(found, path);
    }
    char *real = realpath(path, NULL), *folder = split(real) != NULL ? split(real) : NULL;
    if (folder != NULL && strcmp(folder, "recordings") == 0) {
        recordings_run(run, real); /* what is left of it */
    }
    free(real);
    *found = strdup(path);
    return *found == NULL ? error_set(LOOM_EINTERNAL, "out of memory") : LOOM_OK;
}

/* See recordings.h. */
#include "recordings.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hdf5_file.h"
#include "options.h"
#include "run_folder.h"

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

/* A path without what does not belong to the run's name: the whole of it, to be freed. Where there is no such file,
 * or no memory, as it was given, or NULL. */
static char *name_path(const char *path)
{
    char *real = realpath(path, NULL);
    const char *slash = real != NULL ? strrchr(real, '/') : NULL;
    if (slash != NULL && strcmp(slash, "/metrics.jsonl") == 0) {
        (void)split(real);
    }
    return real != NULL ? real : strdup(path);
}

/* The last `parts` components of a path, all of it if it has fewer. */
static const char *tail(const char *path, size_t parts)
{
    const char *at = path + strlen(path);
    while (at > path && (at[-1] != '/' || --parts > 0)) {
        at--;
    }
    return at;
}

/* How much of a name is left without the ending of a recording or journal. */
static size_t without_ending(const char *name)
{
    return strlen(name) - (ends_with(name, ".h5") ? 3 : ends_with(name, ".jsonl") ? 6 : 0);
}

void recordings_run(char run[STREAM_NAME_BYTES], const char *path)
{
    char *whole = name_path(path);
    const char *name = tail(whole != NULL ? whole : path, 1);
    snprintf(run, STREAM_NAME_BYTES, "%.*s", (int)without_ending(name), name);
    free(whole);
}

/* Whether two paths, of other files or folders, are called the same when told by so many components. */
static bool is_alike(const char *one, const char *other, size_t parts, bool ending)
{
    const char *a = tail(one, parts), *b = tail(other, parts);
    const size_t n = ending ? strlen(a) : without_ending(a), m = ending ? strlen(b) : without_ending(b);
    return strcmp(one, other) != 0 && n == m && strncmp(a, b, n) == 0;
}

/* The name of path i: as few components as tell it from all others; with its ending if they differ in that alone. */
static char *name_among(char *const *paths, size_t n, size_t i)
{
    size_t parts = 1;
    bool ending = false;
    for (size_t j = 0; j < n; j++) {
        ending = ending || is_alike(paths[i], paths[j], SIZE_MAX, false);
    }
    for (size_t j = 0; j < n; j++) {
        while (is_alike(paths[i], paths[j], parts, ending)) {
            parts++;
        }
    }
    const char *name = tail(paths[i], parts);
    return strndup(name, ending ? strlen(name) : without_ending(name));
}

void recordings_names_free(char **names, size_t n)
{
    for (size_t i = 0; names != NULL && i < n; i++) {
        free(names[i]);
    }
    free(names);
}

int recordings_names(char ***names, const char *const *paths, size_t n)
{
    char **whole = calloc(n, sizeof *whole);
    bool failed = whole == NULL;
    *names = calloc(n, sizeof **names);
    failed = failed || *names == NULL;
    for (size_t i = 0; !failed && i < n; i++) {
        whole[i] = name_path(paths[i]);
        failed = whole[i] == NULL;
    }
    for (size_t i = 0; !failed && i < n; i++) {
        (*names)[i] = name_among(whole, n, i);
        failed = (*names)[i] == NULL;
    }
    recordings_names_free(whole, n);
    if (failed) {
        recordings_names_free(*names, n);
        *names = NULL;
        return error_set(LOOM_EINTERNAL, "out of memory");
    }
    return LOOM_OK;
}

/* The only recording of a run, to be freed; left NULL where there is none. LOOM_EUSAGE if there are several. */
static int find_in(char **found, const char *run)
{
    struct dirent **entries = NULL;
    char *folder = NULL;
    if (asprintf(&folder, "%s/recordings", run) < 0) {
        return error_set(LOOM_EINTERNAL, "out of memory");
    }
    const int n = scandir(folder, &entries, hdf5_is_named, alphasort);
    int status =
        n > 1 ? error_set(LOOM_EUSAGE, "which recording? There are several in '%s': name the file", folder)
              : LOOM_OK;
    if (n == 1 && asprintf(found, "%s/%s", folder, entries[0]->d_name) < 0) {
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

/* The recording of a run's folder, and that of its sweep. */
static int find_of_run(char **found, char **shared, const char *run)
{
    char *sweep = run_folder_sweep(run);
    int status = find_in(found, run);
    if (status == LOOM_OK && sweep != NULL) {
        status = find_in(shared, sweep);
    }
    if (status == LOOM_OK && *found == NULL) {
        *found = *shared;
        *shared = NULL;
    }
    free(sweep);
    return status < 0 || *found != NULL
               ? status
               : error_set(LOOM_EDATA, "'%s' has no recording (recordings/NAME.h5)", run);
}

int recordings_find(char **found, char **shared, char run[STREAM_NAME_BYTES], const char *path)
{
    struct stat about;
    *found = *shared = NULL;
    run[0] = '\0';
    if (stat(path, &about) != 0) {
        return error_set(LOOM_EIO, "cannot read '%s': %s", path, strerror(errno));
    }
    if (S_ISDIR(about.st_mode)) {
        recordings_run(run, path);
        return find_of_run(found, shared, path);
    }
    char *real = realpath(path, NULL), *folder = split(real) != NULL ? split(real) : NULL;
    if (folder != NULL && strcmp(folder, "recordings") == 0) {
        recordings_run(run, real); /* what is left of it */
    }
    free(real);
    *found = strdup(path);
    return *found == NULL ? error_set(LOOM_EINTERNAL, "out of memory") : LOOM_OK;
}

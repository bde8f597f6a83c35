/* See run_folder.h. */
#include "run_folder.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has(const char *folder, const char *name)
{
    char *path = NULL;
    const bool there = asprintf(&path, "%s/%s", folder, name) >= 0 && access(path, F_OK) == 0;
    free(path);
    return there;
}

char *run_folder_sweep(const char *folder)
{
    char *real = realpath(folder, NULL), *slash = real != NULL ? strrchr(real, '/') : NULL;
    if (slash == NULL || slash == real || !has(real, "pipeline.yaml")) {
        free(real);
        return NULL;
    }
    *slash = '\0';
    if (!has(real, "over.yaml")) {
        free(real);
        return NULL;
    }
    return real;
}

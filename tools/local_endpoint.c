/* See local_endpoint.h. */
#include "local_endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

int local_endpoint(const char *path, char **endpoint, int *folder)
{
    const char *slash = strrchr(path, '/');
    int length = 0;
    *endpoint = NULL;
    *folder = -1;
    if (strstr(path, "://") != NULL) {
        length = asprintf(endpoint, "%s", path);
    } else if (strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path || slash == NULL) {
        length = asprintf(endpoint, "ipc://%s", path);
    } else {
        char *name = strndup(path, (size_t)(slash - path));
        *folder = name == NULL ? -1 : open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        free(name);
        if (*folder < 0) {
            return error_set(LOOM_EPEER, "the socket '%s' cannot be reached: %s", path, strerror(errno));
        }
        length = asprintf(endpoint, "ipc:///proc/self/fd/%d%s", *folder, slash);
    }
    if (length < 0) {
        *endpoint = NULL;
        if (*folder >= 0) {
            close(*folder);
            *folder = -1;
        }
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    return 0;
}

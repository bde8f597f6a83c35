/* See local_endpoint.h. */
#include "local_endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

int local_endpoint(const char *path, char **endpoint)
{
    const char *slash = strrchr(path, '/');
    int length = 0;
    *endpoint = NULL;
    if (strstr(path, "://") != NULL) {
        length = asprintf(endpoint, "%s", path);
    } else if (strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path || slash == NULL) {
        length = asprintf(endpoint, "ipc://%s", path);
    } else {
        char *folder = strndup(path, (size_t)(slash - path));
        int fd = folder == NULL ? -1 : open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC); /* stays open */
        free(folder);
        if (fd < 0) {
            return error_set(LOOM_EPEER, "the socket '%s' cannot be reached: %s", path, strerror(errno));
        }
        length = asprintf(endpoint, "ipc:///proc/self/fd/%d%s", fd, slash);
    }
    if (length < 0) {
        *endpoint = NULL;
        return error_set(LOOM_EINTERNAL, "out of memory for a path");
    }
    return 0;
}

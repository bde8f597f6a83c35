/* See run_lock.h. */
#include "run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

pid_t run_lock_launcher(int lock)
{
    char text[32] = "", path[64], program[4096];
    if (pread(lock, text, sizeof text - 1, 0) <= 0) {
        return 0;
    }
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t n =
        readlink(path, program, sizeof program - 1); /* of a dead one that nobody has waited for: ENOENT */
    if (n < 0) {
        return errno == EACCES ? pid : 0;
    }
    program[n] = '\0';
    const char *slash = strrchr(program, '/');
    return slash && strncmp(slash, "/loom", 5) == 0 && strchr(" ", slash[5]) ? pid : 0;
}

bool run_lock_is_alive(const char *folder)
{
    char *path = NULL;
    int lock = asprintf(&path, "%s/lock", folder) < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool alive = lock >= 0 && run_lock_launcher(lock) != 0;
    if (lock >= 0) {
        close(lock);
    }
    free(path);
    return alive;
}

bool run_lock_is_here(const char *host)
{
    char own[HOST_NAME_MAX + 1] = "";
    return !host || !*host || gethostname(own, sizeof own - 1) != 0 || strcmp(own, host) == 0;
}

/* See programs.h. */
#include "programs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PREFIX "loom-"
#define ANSWER_BYTES_MAX ((size_t)1 << 20)

/* Programs loom-NAME that are no stages. */
static bool is_tool(const char *name)
{
    static const char *const tools[] = {"check", "check-stage", "draw", "export", "tap", "top", "view"};
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        if (strcmp(name, tools[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool name_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return length >= 1 && length <= NAME_LENGTH_MAX && !name[length];
}

/* The folders to look in: this program's own, then PATH's; an array of *n in the arena. */
static const char **folders(struct arena *arena, size_t *n)
{
    const char **list = NULL;
    char self[4096];
    *n = 0;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self);
    char *slash = length > 0 ? memrchr(self, '/', (size_t)length) : NULL;
    if (slash) {
        list = arena_grow(arena, list, *n, sizeof *list);
        list[(*n)++] = arena_copy_n(arena, self, (size_t)(slash - self));
    }
    const char *path = getenv("PATH");
    for (const char *at = path ? path : ""; *at;) {
        size_t folder = strcspn(at, ":");
        if (folder) {
            list = arena_grow(arena, list, *n, sizeof *list);
            list[(*n)++] = arena_copy_n(arena, at, folder);
        }
        at += folder + (at[folder] == ':');
    }
    return list;
}

static bool executable(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

const char *program_find(struct arena *arena, const char *name)
{
    size_t n;
    const char **list = folders(arena, &n);
    for (size_t i = 0; i < n; i++) {
        const char *path = arena_format(arena, "%s/" PREFIX "%s", list[i], name);
        if (!executable(path)) {
            continue;
        }
        char *absolute = realpath(path, NULL); /* stages are started from another folder */
        if (!absolute) {
            continue;
        }
        /* The folder is resolved, the name is kept: a program may look at the name it was called by. */
        char *folder = realpath(list[i], NULL);
        path = arena_format(arena, "%s/" PREFIX "%s", folder ? folder : list[i], name);
        free(folder);
        free(absolute);
        return path;
    }
    return NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void programs_list(struct arena *arena, const char *const **names, size_t *n)
{
    const char **list = NULL;
    size_t n_list = 0, n_folders;
    const char **where = folders(arena, &n_folders);
    for (size_t i = 0; i < n_folders; i++) {
        DIR *folder = opendir(where[i]);
        if (!folder) {
            continue;
        }
        for (struct dirent *entry; (entry = readdir(folder));) {
            const char *name = entry->d_name + sizeof PREFIX - 1;
            if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) != 0 || !name_valid(name) ||
                is_tool(name) || !executable(arena_format(arena, "%s/%s", where[i], entry->d_name))) {
                continue;
            }
            list = arena_grow(arena, list, n_list, sizeof *list);
            list[n_list++] = arena_copy(arena, name);
        }
        closedir(folder);
    }
    if (n_list) {
        qsort(list, n_list, sizeof *list, compare_names);
    }
    *n = 0;
    for (size_t i = 0; i < n_list; i++) {
        if (i == 0 || strcmp(list[i], list[*n - 1]) != 0) {
            list[(*n)++] = list[i];
        }
    }
    *names = list;
}

/* In the child: become `path argument`, printing into two files in memory of bounded size. */
static void become(const char *path, const char *argument, int out, int err)
{
    struct rlimit limit = {ANSWER_BYTES_MAX, ANSWER_BYTES_MAX};
    int in = open("/dev/null", O_RDONLY);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0) {
        _exit(126);
    }
    setrlimit(RLIMIT_FSIZE, &limit);
    execl(path, path, argument, (char *)NULL);
    _exit(127);
}

/* Wait for the child, kill it if it takes too long. Returns its wait status, or -1. */
static int wait_bounded(pid_t child, int patience_ms)
{
    int status = -1, fd = pidfd_open(child, 0);
    if (fd >= 0) {
        struct pollfd ended = {.fd = fd, .events = POLLIN};
        int ready;
        do {
            ready = poll(&ended, 1, patience_ms);
        } while (ready < 0 && errno == EINTR);
        if (ready == 0) {
            kill(child, SIGKILL);
        }
        close(fd);
    }
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return status;
}

static const char *read_memory(struct arena *arena, int fd, size_t *n)
{
    char *text = arena_alloc(arena, ANSWER_BYTES_MAX + 1);
    ssize_t got = pread(fd, text, ANSWER_BYTES_MAX, 0);
    *n = got > 0 ? (size_t)got : 0;
    return text;
}

static int explain(struct arena *arena, const char *path, const char *argument, int status, int err)
{
    size_t n;
    const char *complaint = read_memory(arena, err, &n);
    int length = (int)strcspn(complaint, "\n");
    length = length > 300 ? 300 : length;
    if (status == -1) {
        return error_set(LOOM_EDATA, "%s %s: cannot be started: %s", path, argument, strerror(errno));
    }
    if (WIFSIGNALED(status)) {
        return error_set(LOOM_EDATA, "%s %s: ended by signal %d (%s)%s%.*s", path, argument, WTERMSIG(status),
                         WTERMSIG(status) == SIGKILL ? "no answer in time" : strsignal(WTERMSIG(status)),
                         length ? ": " : "", length, complaint);
    }
    return error_set(LOOM_EDATA, "%s %s: exit code %d%s%.*s", path, argument, WEXITSTATUS(status),
                     length ? ": " : "", length, complaint);
}

int program_ask(struct arena *arena, const char *path, const char *argument, int patience_ms,
                const char **output, size_t *n)
{
    int status = LOOM_OK, ended = -1;
    int err = -1, out = memfd_create("loom-answer", MFD_CLOEXEC);
    if (out >= 0) {
        err = memfd_create("loom-complaint", MFD_CLOEXEC);
    }
    if (err >= 0) {
        pid_t child = fork();
        if (child == 0) {
            become(path, argument, out, err);
        }
        ended = child > 0 ? wait_bounded(child, patience_ms) : -1;
    }
    if (ended != 0) {
        status = explain(arena, path, argument, ended, err);
    } else {
        *output = read_memory(arena, out, n);
    }
    if (out >= 0) {
        close(out);
    }
    if (err >= 0) {
        close(err);
    }
    return status;
}

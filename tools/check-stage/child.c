/* See child.h. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAIL_BYTES 4096 /* of the log, in which the last line is looked for */

/* In the child. A failure is told through `report`, which an exec closes. */
static _Noreturn void become(const struct child *self, char *const *command, int report)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int in = open("/dev/null", O_RDONLY), out = open(self->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in >= 0 && out >= 0 && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        dup2(out, STDERR_FILENO) >= 0) {
        execvp(command[0], command);
    }
    int why = errno;
    ssize_t told = write(report, &why, sizeof why);
    _exit(told == sizeof why ? 127 : 126);
}

int child_start(struct child *self, char *const *command)
{
    int report[2], why = 0;
    self->ended = false;
    if (pipe2(report, O_CLOEXEC) != 0) {
        return error_set(LOOM_EINTERNAL, "no pipe for a process: %s", strerror(errno));
    }
    fflush(NULL);
    self->pid = fork();
    if (self->pid == 0) {
        become(self, command, report[1]);
    }
    close(report[1]);
    if (self->pid < 0) {
        self->pid = 0;
        close(report[0]);
        return error_set(LOOM_EINTERNAL, "no process for %s: %s", command[0], strerror(errno));
    }
    setpgid(self->pid, self->pid); /* whoever of both comes first */
    ssize_t n = read(report[0], &why, sizeof why);
    close(report[0]);
    if (n == sizeof why) {
        waitpid(self->pid, &self->status, 0);
        self->pid = 0;
        return error_set(LOOM_EUSAGE, "'%s' cannot be started: %s", command[0], strerror(why));
    }
    return LOOM_OK;
}

bool child_lives(struct child *self)
{
    if (self->pid == 0) {
        return false;
    }
    if (!self->ended && waitpid(self->pid, &self->status, WNOHANG) == self->pid) {
        self->ended = true;
    }
    return !self->ended;
}

void child_kill(struct child *self)
{
    if (self->pid == 0) {
        return;
    }
    kill(-self->pid, SIGKILL);
    while (!self->ended && waitpid(self->pid, &self->status, 0) < 0 && errno == EINTR) {
    }
    self->pid = 0;
    self->ended = false;
}

/* The last line that is not empty of what it printed. */
static void last_line(const struct child *self, char line[TAIL_BYTES + 1])
{
    int fd = open(self->log, O_RDONLY | O_CLOEXEC);
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END), from = end > TAIL_BYTES ? end - TAIL_BYTES : 0;
    ssize_t n = fd < 0 ? 0 : pread(fd, line, TAIL_BYTES, from);
    line[n > 0 ? n : 0] = '\0';
    if (fd >= 0) {
        close(fd);
    }
    size_t length = strlen(line);
    while (length > 0 && strchr(" \t\r\n", line[length - 1]) != NULL) {
        line[--length] = '\0';
    }
    char *newline = strrchr(line, '\n');
    if (newline != NULL) {
        memmove(line, newline + 1, strlen(newline + 1) + 1);
    }
}

void child_tell(const struct child *self, char *text, size_t size)
{
    char line[TAIL_BYTES + 1], how[64];
    if (WIFSIGNALED(self->status)) {
        snprintf(how, sizeof how, "was ended by signal %d (%s)", WTERMSIG(self->status),
                 strsignal(WTERMSIG(self->status)));
    } else {
        snprintf(how, sizeof how, "ended with exit code %d", WEXITSTATUS(self->status));
    }
    last_line(self, line);
    snprintf(text, size, "the process %s%s%.300s", how, line[0] != '\0' ? ", and said last: " : "", line);
}

/* See terminal.h. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define COLUMNS_USUAL 100
#define COLUMNS_MAX 1000

/* The other screen, no cursor; and back: a plain style, the cursor, the screen from before. */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[0m\033[?25h\033[?1049l"

static struct termios before; /* of standard input */
static volatile sig_atomic_t entered = 0, changed = 0, ending = 0, spoilt = 0, pausing = 0;
static bool keys = false; /* can be read */

static const int endings[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

bool terminal_can_redraw(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

void terminal_size(int *columns, int *rows)
{
    struct winsize window = {0};
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
    const char *text = getenv("COLUMNS");
    long wanted = text ? strtol(text, NULL, 10) : 0;
    *columns = known ? window.ws_col : wanted > 0 && wanted <= COLUMNS_MAX ? (int)wanted : COLUMNS_USUAL;
    *rows = known ? window.ws_row : 0;
}

/* Only what a signal handler may call. */
void terminal_leave(void)
{
    if (!entered) {
        return;
    }
    entered = 0;
    for (size_t left = sizeof LEAVE - 1; left > 0;) {
        ssize_t n = write(STDOUT_FILENO, LEAVE + sizeof LEAVE - 1 - left, left);
        if (n < 0 && errno != EINTR) {
            break;
        }
        left -= n > 0 ? (size_t)n : 0;
    }
    if (changed) { /* of standard input */
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    }
}

static void on_signal(int number)
{
    if (number == SIGWINCH || number == SIGCONT) {
        spoilt = 1;
    } else if (number == SIGTSTP) {
        pausing = 1;
    } else {
        ending = 1;
    }
}

static void on_crash(int number)
{
    terminal_leave();
    raise(number); /* the handler is gone: as without us */
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

int terminal_enter(void)
{
    static bool prepared = false;
    struct termios raw;
    if (!prepared && atexit(terminal_leave) != 0) {
        return error_set(LOOM_EINTERNAL, "the terminal cannot be taken: out of memory");
    }
    prepared = true;
    keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        handle(endings[i], on_signal, 0);
    }
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) {
        handle(crashes[i], on_crash, (int)SA_RESETHAND);
    }
    handle(SIGWINCH, on_signal,
           SA_RESTART); /* they must not break a write to a slow terminal; poll they wake */
    handle(SIGTSTP, on_signal, SA_RESTART);
    handle(SIGCONT, on_signal, SA_RESTART);
    entered = 1;
    changed = keys;
    if (keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    }
    if (write(STDOUT_FILENO, ENTER, sizeof ENTER - 1) < 0) {
        return error_set(LOOM_EIO, "the terminal cannot be written: %s", strerror(errno));
    }
    spoilt = 1;
    return 0;
}

bool terminal_must_end(void)
{
    return ending != 0;
}

bool terminal_must_redraw(void)
{
    bool now = spoilt != 0;
    spoilt = 0;
    return now;
}

int terminal_pause_if_asked(void)
{
    if (!pausing) {
        return 0;
    }
    pausing = 0;
    terminal_leave();
    raise(SIGSTOP);
    return terminal_enter();
}

/* What stands behind ESC [ as far as it has come. */
static int read_sequence(void)
{
    char rest[8] = "";
    if (read(STDIN_FILENO, rest, sizeof rest - 1) < 2 || rest[0] != '[') {
        return 0;
    }
    switch (rest[1]) {
    case 'A':
        return KEY_UP;
    case 'B':
        return KEY_DOWN;
    case '5':
        return KEY_PAGE_UP;
    case '6':
        return KEY_PAGE_DOWN;
    default:
        return 0;
    }
}

int terminal_key(void)
{
    char key;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (!keys || poll(&input, 1, 0) <= 0) {
        return 0;
    }
    ssize_t n = read(STDIN_FILENO, &key, 1);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return 0;
    }
    if (n <= 0) { /* there was something, and it was the end */
        keys = false;
        return KEY_CLOSED;
    }
    return key == '\033' ? read_sequence() : (unsigned char)key;
}

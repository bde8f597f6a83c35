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
#define ESCAPE 27
#define SEQUENCE_MS 25 /* between the bytes of one key at most, on a slow line */

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

/* The next byte that comes within wait_ms; -1: there is none, -2: there never will be. */
static int next_byte(int wait_ms)
{
    unsigned char byte;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (poll(&input, 1, wait_ms) <= 0) {
        return -1;
    }
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return -1;
    }
    return n > 0 ? byte : -2; /* there was something, and it was the end */
}

/* Whether this byte may stand within a sequence before its last (ECMA-48: parameters and intermediates). */
static bool is_inner(int byte)
{
    return byte >= 0x20 && byte < 0x40;
}

/* The key of a whole sequence: its last byte (less than 0: it never came), and the first number in it (0: none). */
static int key_of(int last, int number)
{
    switch (last) {
    case 'A':
        return KEY_UP;
    case 'B':
        return KEY_DOWN;
    case '~':
        return number == 5 ? KEY_PAGE_UP : number == 6 ? KEY_PAGE_DOWN : KEY_OTHER;
    default:
        return KEY_OTHER;
    }
}

/* What stands behind ESC, to the end of the sequence and not a byte more: [ or O (a keypad's form), inner bytes, the
 * last one. Anything else is a key of its own, with ESC pressed before. */
static int read_sequence(void)
{
    int byte, number = 0;
    bool in_number = true; /* the first */
    while ((byte = next_byte(SEQUENCE_MS)) == ESCAPE) {
    }
    if (byte != '[' && byte != 'O') {
        return byte > 0 ? byte : KEY_OTHER;
    }
    while (is_inner(byte = next_byte(SEQUENCE_MS))) {
        in_number = in_number && byte >= '0' && byte <= '9' && number < 100;
        number = in_number ? 10 * number + byte - '0' : number;
    }
    return key_of(byte, number);
}

int terminal_key(void)
{
    int byte = keys ? next_byte(0) : -1;
    if (byte == -2) {
        keys = false;
        return KEY_CLOSED;
    }
    if (byte == ESCAPE) {
        return read_sequence();
    }
    return byte < 0 ? 0 : byte == 0 ? KEY_OTHER : byte;
}

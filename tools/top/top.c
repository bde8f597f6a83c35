/* loom top: what a run is doing, in a terminal: for those without a browser.
 *
 * It reads RUN/status.json, which the launcher writes every second, and shows each stage's pass, rate, queue and
 * how its time goes, and the one sentence that says what limits the run; below them small maps of the layers,
 * from the stages' taps (maps.h). It only looks: no result changes. Where standard output is no terminal, or one
 * that cannot be redrawn (TERM=dumb), or with --once, it prints once. */
#include <argp.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "clock.h"
#include "log.h"
#include "maps.h"
#include "options.h"
#include "screen.h"
#include "terminal.h"
#include "view.h"
#include "watched.h"

#define MAP_ROWS_MIN 5 /* with its title */
#define MAP_ROWS_MAX 34
#define METRICS_ROWS 6 /* wanted for metrics, where there are maps below them */
#define BRIEF_MS 50    /* while descriptions and messages are on their way */
#define KEYS_HELP "q quit   m maps   arrows scroll"

struct top {
    const char *folder; /* as given; NULL: to be found */
    bool once, json;
    double interval_s;

    struct watched watched;
    struct maps *maps;
    enum maps_kind kind;
    size_t first; /* stage shown */
    size_t shown; /* stages shown, the last time */
    bool no_keys; /* standard input has ended */
};

/* ---- the command line ---- */

enum { KEY_ONCE = 0x100, KEY_JSON, KEY_INTERVAL };

static const struct argp_option options[] = {
    {"once", KEY_ONCE, NULL, 0, "print once and end", 0},
    {"json", KEY_JSON, NULL, 0, "with --once: as one line of JSON (README: loom top)", 0},
    {"interval", KEY_INTERVAL, "SECONDS", 0, "time between two looks (default: 1)", 0},
    {0},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct top *self = state->input;
    switch (key) {
    case KEY_ONCE:
        self->once = true;
        return 0;
    case KEY_JSON:
        self->json = true;
        return 0;
    case KEY_INTERVAL:
        self->interval_s = option_number(state, "interval", argument, 0.1, 3600);
        return 0;
    case ARGP_KEY_ARG:
        if (self->folder) {
            argp_error(state, "one run at a time; '%s' is too many", argument);
        }
        self->folder = argument;
        return 0;
    case ARGP_KEY_END:
        if (self->json && !self->once) {
            argp_error(state, "--json belongs to --once");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- printing once ---- */

static int check_output(void)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? 0
                                                  : error_set(LOOM_EIO, "standard output cannot be written");
}

/* The status as it is, with the folder, and with the state that it really has. */
static int print_json(const struct top *self)
{
    json_t *all = json_copy(self->watched.status);
    bool made = all && json_object_set_new(all, "folder", json_string(self->watched.folder)) == 0 &&
                json_object_set_new(all, "state", json_string(self->watched.state)) == 0;
    bool printed =
        made && json_dumpf(all, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) == 0;
    json_decref(all);
    if (!made) {
        return error_set(LOOM_EINTERNAL, "out of memory for a status");
    }
    putchar('\n');
    int status = check_output();
    return printed ? status : error_set(LOOM_EIO, "standard output cannot be written");
}

static struct screen make_screen(FILE *out)
{
    struct screen screen = {.out = out, .utf8 = screen_knows_utf8()};
    terminal_size(&screen.width, &screen.rows);
    screen.width = screen.width > 0 ? screen.width : 1;
    return screen;
}

static int print_text(const struct top *self)
{
    struct screen screen = make_screen(stdout);
    screen.rows = 0;
    screen.styles = isatty(STDOUT_FILENO) && screen_knows_styles();
    view_head(&screen, &self->watched);
    (void)screen_line(&screen);
    (void)view_stages(&screen, &self->watched, 0, 0);
    (void)screen_line(&screen);
    view_metrics(&screen, &self->watched, 0);
    return check_output();
}

/* LOOM_EPEER, with what to do, for a run that does not go on. */
static int explain_end(const struct top *self)
{
    const char *folder = self->watched.folder, *state = self->watched.state;
    if (strcmp(state, "killed") == 0) {
        return error_set(
            LOOM_EPEER, "%s does not run: its launcher was killed; the same loom run command goes on with it",
            folder);
    }
    return error_set(LOOM_EPEER, "%s does not run: it %s; loom top --once %s shows how it ended", folder,
                     strcmp(state, "finished") == 0  ? "has finished"
                     : strcmp(state, "stopped") == 0 ? "was stopped"
                                                     : "has failed",
                     folder);
}

static int print_once(const struct top *self)
{
    int status = self->json ? print_json(self) : print_text(self);
    return status == 0 && strcmp(self->watched.state, "killed") == 0 ? explain_end(self) : status;
}

/* ---- watching ---- */

/* The lines below the stages, from what is left: metrics, maps, and the keys in the last one. */
static void draw_below(struct top *self, struct screen *screen)
{
    bool maps = self->kind != MAPS_NONE && screen_left(screen) >= METRICS_ROWS + MAP_ROWS_MIN + 2;
    (void)screen_line(screen);
    if (screen_left(screen) > 1) {
        view_metrics(screen, &self->watched, maps ? screen_left(screen) - METRICS_ROWS : 1);
    }
    if (maps) {
        int rows = screen_left(screen) - 2;
        (void)screen_line(screen);
        maps_draw(self->maps, screen, rows < MAP_ROWS_MAX ? rows : MAP_ROWS_MAX);
    }
    while (screen_left(screen) > 1) {
        (void)screen_line(screen);
    }
    screen_style(screen, STYLE_DIM);
    screen_put(screen, KEYS_HELP);
    (void)screen_line(screen);
}

static int draw(struct top *self)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        return error_set(LOOM_EINTERNAL, "out of memory for a screen");
    }
    struct screen screen = make_screen(out);
    screen.styles = screen_knows_styles();
    screen.greys = screen_knows_greys();
    screen.live = true;
    fputs("\033[H", out);
    view_head(&screen, &self->watched);
    if (screen_left(&screen) > 3) {
        (void)screen_line(&screen);
    }
    self->shown = screen_left(&screen) > 1 ? view_stages(&screen, &self->watched, self->first, 1) : 0;
    if (screen_left(&screen) > 1) {
        draw_below(self, &screen);
    }
    fputs("\033[J", out);
    fclose(out);
    fwrite(text, 1, size, stdout);
    free(text);
    int status = check_output();
    return terminal_must_end() ? 0
                               : status; /* a write to a terminal that was held may have been broken off */
}

static void scroll(struct top *self, long by)
{
    long n = (long)json_array_size(json_object_get(self->watched.status, "stages"));
    long last = n - (long)self->shown, to = (long)self->first + by;
    self->first = (size_t)(to < 0 || last < 0 ? 0 : to > last ? last : to);
}

/* Do what the keys say. *quit: to end; *changed: to draw again. */
static void take_keys(struct top *self, bool *quit, bool *changed)
{
    for (int key; (key = terminal_key()) != 0; *changed = true) {
        switch (key) {
        case 'q':
        case 'Q':
            *quit = true;
            break;
        case 'm':
            self->kind = (enum maps_kind)((self->kind + 1) % 3);
            break;
        case KEY_UP:
        case 'k':
            scroll(self, -1);
            break;
        case KEY_DOWN:
        case 'j':
            scroll(self, 1);
            break;
        case KEY_PAGE_UP:
            scroll(self, -(long)self->shown);
            break;
        case KEY_PAGE_DOWN:
            scroll(self, (long)self->shown);
            break;
        case KEY_CLOSED:
            self->no_keys = true;
            return;
        default:
            break;
        }
    }
}

/* Sleep until a key, a message of a tap, a signal, or the next look. */
static void sleep_until(const struct top *self, int64_t due_ms)
{
    zmq_pollitem_t items[1 + 2 * MAPS_MAX];
    int n = 0;
    int64_t left = due_ms - clock_ms();
    if (!self->no_keys) {
        items[n++] = (zmq_pollitem_t){.fd = STDIN_FILENO, .events = ZMQ_POLLIN};
    }
    n += (int)maps_sockets(self->maps, items + n);
    left = left < 0 ? 0 : self->kind != MAPS_NONE && left > BRIEF_MS ? BRIEF_MS : left;
    (void)zmq_poll(items, n, left); /* EINTR: a signal, which is looked at */
}

/* Look at the run until it ends or somebody says so. LOOM_EPEER: it was killed. */
static int watch(struct top *self)
{
    bool quit = false, changed = true, fresh = false;
    int status = 0;
    int64_t due_ms = clock_ms();
    while (status == 0 && !quit && !terminal_must_end() && watched_goes_on(&self->watched)) {
        if (clock_ms() >= due_ms) {
            due_ms = clock_ms() + (int64_t)(1000 * self->interval_s);
            status = watched_read(&self->watched);
            changed = true;
        }
        if (status == 0) {
            status = maps_show(self->maps, self->kind, json_object_get(self->watched.status, "stages"));
        }
        if (status == 0) {
            status = maps_pump(self->maps, &fresh);
        }
        changed = terminal_must_redraw() || changed;
        if (status == 0 && (changed || fresh)) {
            status = draw(self);
            changed = false;
        }
        if (status == 0) {
            sleep_until(self, due_ms);
            take_keys(self, &quit, &changed);
            status = terminal_pause_if_asked();
        }
    }
    return status;
}

static int watch_in_terminal(struct top *self)
{
    if (!watched_goes_on(&self->watched)) {
        return explain_end(self);
    }
    int status = maps_new(&self->maps, self->watched.folder);
    if (status == 0) {
        self->no_keys = !isatty(STDIN_FILENO);
        status = terminal_enter();
    }
    if (status == 0) {
        status = watch(self);
    }
    terminal_leave();
    maps_destroy(&self->maps);
    if (status == 0 && !watched_goes_on(&self->watched)) {
        status = print_once(self); /* how it ended stays on the screen */
    }
    return status;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {options,
                                     parse_option,
                                     "[RUN]",
                                     "Show what a run is doing: the stages, how their time goes, and what "
                                     "limits the run. RUN is its folder, or "
                                     "that of a sweep; without it, the run in runs/ that began last. q or "
                                     "Ctrl-C leaves, m shows other maps. "
                                     "Prints once where standard output is no terminal.\vExit codes: 0 done, "
                                     "64 wrong usage or no folder of a "
                                     "run, 65 its status is damaged, 69 the run does not go on (or, with "
                                     "--once, was killed), 74 output cannot "
                                     "be written.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct top self = {.interval_s = 1, .kind = MAPS_ACTIVITY};
    setlocale(LC_CTYPE, "");
    options_parse(&argp, argc, argv, 0, "top", &self);
    signal(SIGPIPE, SIG_IGN); /* a write says EPIPE instead */
    int status = watched_open(&self.watched, self.folder);
    if (status == 0) {
        status = self.once || !terminal_can_redraw() ? print_once(&self) : watch_in_terminal(&self);
    }
    if (status < 0) {
        fputs("loom top: ", stderr);
        log_plain_text(stderr, error_message());
        fputc('\n', stderr);
    }
    watched_close(&self.watched);
    return -status;
}

/* loom view: a run in a browser, from what its folder holds: frames, codes and activations as they were recorded, layers,
 * prototypes, metrics; of a member of a sweep also what all members share, which lies in the sweep's folder. A run that
 * still goes on is shown live, through its taps, and what it has recorded so far can be gone back to.
 *
 * It only reads, and holds nobody up. The page itself, and who may see it, is stages/live/. Limits: the taps of a run that
 * was started with --tcp are not found, so it is shown as far as it is recorded. */
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "endpoint.h"
#include "live.h"
#include "local_endpoint.h"
#include "log.h"
#include "options.h"
#include "run_folder.h"

#define TAPS_MAX 32
#define TAP_ENDING ".tap"
#define PATH_BYTES 4200

struct view {
    const char *run, *address, *token;
    double seconds; /* to serve; 0: until a signal */
    char *taps[TAPS_MAX];
    int folders[TAPS_MAX]; /* of those whose paths are too long for sockets: descriptors; otherwise -1 */
    size_t n_taps;
    bool
        bound; /* taps are reached through their folder's descriptor, as their paths are too long for sockets */
    ino_t inode; /* of the folder, as it was last seen; 0: not yet */
    struct endpoint_context *endpoints;
    struct live *live;
};

static volatile sig_atomic_t signalled = 0;

static void on_signal(int number)
{
    (void)number;
    signalled = 1;
}

/* ---- the command line ---- */

enum { KEY_ADDRESS = 0x100, KEY_TOKEN, KEY_SECONDS };

static const struct argp_option options[] = {
    {"address", KEY_ADDRESS, "ADDRESS:PORT", 0,
     "where the page is served; port 0: any free one (default: 127.0.0.1:8090)", 0},
    {"token", KEY_TOKEN, "TEXT", 0,
     "token that the page asks for (default: none on the loopback, a random one elsewhere)", 0},
    {"for-seconds", KEY_SECONDS, "SECONDS", 0, "end after so long (default: on Ctrl-C)", 0},
    {0},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct view *self = state->input;
    switch (key) {
    case KEY_ADDRESS:
        self->address = argument;
        return 0;
    case KEY_TOKEN:
        self->token = argument;
        return 0;
    case KEY_SECONDS:
        self->seconds = option_number(state, "for-seconds", argument, 0.001, 1e9);
        return 0;
    case ARGP_KEY_ARG:
        if (self->run != NULL) {
            argp_error(state, "one run at a time; '%s' is too many", argument);
        }
        self->run = argument;
        return 0;
    case ARGP_KEY_END:
        if (self->run == NULL) {
            argp_error(state, "which run? name its folder, such as runs/topo");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- a run that goes on ---- */

static int is_tap(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && ends_with(entry->d_name, TAP_ENDING);
}

/* Whether somebody serves a local socket: ipc://PATH. */
static bool is_served(const char *endpoint)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = endpoint + strlen("ipc://");
    if (strlen(path) >= sizeof address.sun_path) {
        return false;
    }
    memcpy(address.sun_path, path, strlen(path));
    const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool served = probe >= 0 && connect(probe, (const struct sockaddr *)&address, sizeof address) == 0;
    if (probe >= 0) {
        close(probe);
    }
    return served;
}

/* Take note of a tap of the run in `run` if somebody serves it. */
static int find_tap(struct view *self, const char *run, const char *name)
{
    char path[PATH_BYTES + NAME_MAX + 16];
    char *endpoint = NULL;
    int folder = -1;
    snprintf(path, sizeof path, "%s/sockets/%s", run, name);
    const int status = self->n_taps == TAPS_MAX ? 0 : local_endpoint(path, &endpoint, &folder);
    if (endpoint != NULL && is_served(endpoint)) {
        self->bound = self->bound || folder >= 0;
        self->folders[self->n_taps] = folder;
        self->taps[self->n_taps++] = endpoint;
    } else {
        free(endpoint);
        if (folder >= 0) {
            close(folder);
        }
    }
    return status;
}

static int find_taps_of(struct view *self, const char *run)
{
    char folder[PATH_BYTES];
    struct dirent **entries = NULL;
    int status = 0;
    snprintf(folder, sizeof folder, "%s/sockets", run);
    const int n = scandir(folder, &entries, is_tap, alphasort);
    for (int i = 0; i < n; i++) {
        status = status == 0 ? find_tap(self, run, entries[i]->d_name) : status;
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* The run's own taps, and of a member of a sweep those of the stages that all share. */
static int find_taps(struct view *self)
{
    char *sweep = run_folder_sweep(self->run);
    int status = find_taps_of(self, self->run);
    if (status == 0 && sweep != NULL && self->n_taps > 0) { /* one that has ended looks at what it has left */
        status = find_taps_of(self, sweep);
    }
    free(sweep);
    return status;
}

/* Say it, once, if another run has come in the place of this one and its taps are not found: sockets are found again by their
 * names, but not where there were none, nor where they are reached through the folder that was moved aside. */
static void look_at_folder(struct view *self)
{
    struct stat about;
    if (stat(self->run, &about) != 0 || (self->n_taps > 0 && !self->bound)) {
        return;
    }
    if (self->inode != 0 && self->inode != about.st_ino) {
        log_warning("'%s' is another run now, begun anew: to see it live, end this and start it again",
                    self->run);
    }
    self->inode = about.st_ino;
}

/* ---- the whole ---- */

static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int serve(struct view *self)
{
    static const struct endpoint_keys none = {"", ""};
    int status = endpoint_context_new(&self->endpoints, &none);
    if (status == 0) {
        status = find_taps(self);
    }
    if (status == 0) {
        const struct live_settings settings = {.address = self->address,
                                               .token = self->token,
                                               .run = self->run,
                                               .name = "",
                                               .taps = (const char *const *)self->taps,
                                               .n_taps = self->n_taps,
                                               .endpoints = self->endpoints,
                                               .files = true};
        status = live_new(&self->live, &settings);
    }
    if (status == 0) {
        log_info("%s; Ctrl-C ends this", self->n_taps > 0
                                             ? "the run goes on, and is shown live"
                                             : "the run does not go on: what it has left is shown");
    }
    for (double left = self->seconds; status == 0 && signalled == 0 && (self->seconds <= 0 || left > 0);) {
        look_at_folder(self);
        const double wait_s = self->seconds > 0 && left < 1 ? left : 1;
        poll(NULL, 0, (int)ceil(wait_s * 1000));
        left -= wait_s;
    }
    return status;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {options,
                                     parse_option,
                                     "RUN",
                                     "See a run in a browser: what it has recorded, its layers, prototypes "
                                     "and metrics; live if it still goes on. "
                                     "Nothing is changed, and nobody waits for this."
                                     "\vFor example:\n"
                                     "  loom view runs/topo\n"
                                     "  loom view runs/topo --address 127.0.0.1:0\n\n"
                                     "Exit codes: 0 done, 64 bad usage, 65 there is nothing to be seen, 69 "
                                     "the address is in use, 74 the folder "
                                     "cannot be read.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct view self = {.address = "127.0.0.1:8090", .token = ""};
    options_parse(&argp, argc, argv, 0, "view", &self);
    handle_signals();
    const int status = serve(&self);
    if (status < 0) {
        log_error("%s", error_message());
    }
    live_destroy(&self.live, "loom view has been ended");
    endpoint_context_destroy(&self.endpoints);
    for (size_t i = 0; i < self.n_taps; i++) {
        free(self.taps[i]);
        if (self.folders[i] >= 0) {
            close(self.folders[i]);
        }
    }
    return -status;
}

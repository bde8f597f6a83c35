/* See live.h. */
#include "live.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive.h"
#include "exposition.h"
#include "guard.h"
#include "log.h"
#include "recorded.h"
#include "run_folder.h"
#include "scene.h"
#include "server.h"
#include "taps.h"

struct live {
    struct guard guard;
    struct server *server;
    struct scene scene;
    bool has_scene;
    struct taps *taps;
    struct recorded *recorded;
    struct archive *archive;
    char run[4096];
    char *sweep; /* folder of the sweep that the run is a member of; NULL: it is none */
    char command[512];
};

/* ---- GET /metrics ---- */

/* The state of the run, from its folder or else from taps. Called by the server's thread, so it reads what never changes
 * while that runs, and taps_status. */
static void find_status(struct live *self, struct run_status *status)
{
    if (status_read_run(status, self->run, self->sweep) < 0 && self->taps != NULL) {
        taps_status(self->taps, status);
    }
}

static char *write_metrics(void *argument)
{
    struct live *self = argument;
    struct run_status status = {.elapsed_s = NAN, .busy = NAN};
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (out == NULL) {
        return NULL;
    }
    find_status(self, &status);
    exposition_write_status(out, &status);
    struct board *board = server_board(self->server);
    exposition_write_number(out, "loom_viewers", "gauge", "Pages that look at this run just now.",
                            (double)board_wants(board).viewers);
    exposition_write_number(out, "loom_messages_dropped_total", "counter",
                            "Messages to pages passed over because a newer one came before they were taken.",
                            (double)board_dropped(board));
    status_fini(&status);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- where ---- */

/* The folder of the run whose tap this is (ipc://RUN/sockets/NAME.tap), if it is that of a run. */
static bool run_of_tap(char *run, size_t size, const char *tap)
{
    static const char scheme[] = "ipc://", sockets[] = "sockets/";
    const char *path = tap + sizeof scheme - 1, *slash;
    char file[4096 + 32], absolute[4096];
    if (strncmp(tap, scheme, sizeof scheme - 1) != 0 || (slash = strrchr(path, '/')) == NULL) {
        return false;
    }
    const size_t n = (size_t)(slash + 1 - path), own = sizeof sockets - 1;
    if (n < own || strncmp(path + n - own, sockets, own) != 0 || n >= sizeof absolute) {
        return false;
    }
    snprintf(file, sizeof file, "%.*s.", (int)(n - own), path);
    if (realpath(file, absolute) == NULL) {
        return false;
    }
    snprintf(file, sizeof file, "%s/pipeline.yaml", absolute);
    if (access(file, R_OK) != 0) {
        return false;
    }
    snprintf(run, size, "%s", absolute);
    return true;
}

static void find_run(struct live *self, const struct live_settings *settings)
{
    char file[4096 + 32];
    for (size_t i = 0; i < settings->n_taps && !settings->files; i++) {
        if (run_of_tap(self->run, sizeof self->run, settings->taps[i])) {
            return;
        }
    }
    snprintf(file, sizeof file, "%s/pipeline.yaml", settings->run);
    if (settings->run[0] != '\0' && (settings->n_taps == 0 || access(file, R_OK) == 0) &&
        realpath(settings->run, self->run) == NULL) {
        snprintf(self->run, sizeof self->run, "%s", settings->run);
    }
}

/* Whether it is served at all of this machine's addresses. */
static bool is_anywhere(const struct address *at)
{
    return strcmp(at->host, "0.0.0.0") == 0 || strcmp(at->host, "::") == 0;
}

/* How a browser elsewhere gets here: by a tunnel, which is of use beyond the loopback too, since this is plain HTTP. */
static void make_command(struct live *self, int port)
{
    const struct guard *guard = &self->guard;
    const char *host = !is_anywhere(&guard->at) ? guard->at.host : guard->at.six ? "::1" : "127.0.0.1";
    snprintf(self->command, sizeof self->command,
             strchr(host, ':') == NULL ? "ssh -L %d:%s:%d %s" : "ssh -L %d:[%s]:%d %s", port, host, port,
             guard->machine);
}

static void say_where(const struct live *self)
{
    const struct guard *guard = &self->guard;
    const int port = server_port(self->server);
    const bool any = is_anywhere(&guard->at);
    const char *host = any ? guard->machine : guard->at.host, *token = guard->token;
    const bool brackets = guard->at.six && !any;
    log_notice("the live page is at http://%s%s%s:%d/%s%s", brackets ? "[" : "", host, brackets ? "]" : "",
               port, token[0] == '\0' ? "" : "?token=", token);
    if (guard->at.loopback) {
        log_notice("to see it from another machine, first run there: %s", self->command);
    } else {
        log_notice("this is plain HTTP, also for the token; where you do not trust the network, first run "
                   "there: %s, and open http://127.0.0.1:%d/%s%s",
                   self->command, port, token[0] == '\0' ? "" : "?token=", token);
    }
}

/* ---- from beginning to end ---- */

static const char *name_of(const struct live *self, const struct live_settings *settings)
{
    const char *slash = strrchr(self->run, '/');
    return settings->name[0] != '\0' ? settings->name : slash != NULL ? slash + 1 : self->run;
}

static int open_source(struct live *self, const struct live_settings *settings)
{
    int status = LOOM_OK;
    if (settings->files && self->run[0] != '\0') {
        status = archive_new(&self->archive, &self->scene, settings->n_taps == 0);
    }
    if (status == LOOM_OK && settings->n_taps > 0) {
        return taps_new(&self->taps, &self->scene, settings->endpoints, settings->taps, settings->n_taps,
                        self->archive);
    }
    if (status == LOOM_OK && (self->archive == NULL || !archive_has_any(self->archive))) {
        status = error_set(
            LOOM_EDATA,
            "'%s' holds nothing to be seen: no recordings/*.h5, no layers/*.h5 and no metrics.jsonl; "
            "give the folder of a run, such as runs/topo",
            settings->run);
    }
    return status < 0 ? status : recorded_new(&self->recorded, &self->scene, self->archive);
}

static void destroy(struct live **self_p, int code, const char *why)
{
    struct live *self = *self_p;
    server_stop(self->server, code, why);
    taps_destroy(&self->taps);
    recorded_destroy(&self->recorded);
    archive_destroy(&self->archive);
    if (self->has_scene) {
        scene_fini(&self->scene);
    }
    server_destroy(&self->server);
    free(self->sweep);
    free(self);
    *self_p = NULL;
}

int live_new(struct live **self_p, const struct live_settings *settings)
{
    struct live *self = *self_p = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the live page");
    }
    find_run(self, settings);
    self->sweep = self->run[0] == '\0' ? NULL : run_folder_sweep(self->run);
    int status = guard_init(&self->guard, settings->address, settings->token);
    if (status == 0) {
        status = server_new(&self->server, &self->guard, write_metrics, self);
    }
    if (status == 0) {
        make_command(self, server_port(self->server));
        scene_init(&self->scene, server_board(self->server), settings->n_taps > 0, name_of(self, settings),
                   self->run, self->sweep, self->command);
        self->has_scene = true;
        status = open_source(self, settings);
    }
    if (status == 0) {
        status = server_start(self->server);
    }
    if (status == 0) {
        say_where(self);
    } else {
        destroy(self_p, SERVER_GOING_AWAY, "");
    }
    return status;
}

/* How a run may end, with the closing code by which pages know it: of those that RFC 6455 leaves to applications. */
static const struct {
    const char *state;
    int code;
} endings[] = {{"finished", 4001}, {"stopped", 4002}, {"failed", 4003}};

#define N_ENDINGS (sizeof endings / sizeof *endings)

/* Which of these it is about to be; N_ENDINGS: none. */
static size_t find_ending(const struct live *self)
{
    struct run_status status;
    size_t i = N_ENDINGS;
    if (status_read_run(&status, self->run, self->sweep) == LOOM_OK && strcmp(status.state, "killed") != 0) {
        for (i = 0; i < N_ENDINGS && strcmp(status.ending, endings[i].state) != 0;) {
            i++;
        }
    }
    status_fini(&status);
    return i;
}

const char *live_ending(const struct live *self)
{
    const size_t i = find_ending(self);
    return i < N_ENDINGS ? endings[i].state : "";
}

void live_destroy(struct live **self_p, const char *why)
{
    if (*self_p != NULL) {
        const size_t ending = find_ending(*self_p);
        destroy(self_p, ending < N_ENDINGS ? endings[ending].code : SERVER_GOING_AWAY, why);
    }
}

const char *live_run(const struct live *self)
{
    return self->run;
}

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
    char command[512];
};

/* ---- GET /metrics ---- */

/* The state of the run, from its folder or else from taps. Called by the server's thread, so it reads what never changes
 * while that runs, and taps_status. */
static void find_status(struct live *self, struct run_status *status)
{
    char path[sizeof self->run + 32];
    snprintf(path, sizeof path, "%s/status.json", self->run);
    if ((self->run[0] == '\0' || status_read_file(status, path) < 0) && self->taps != NULL) {
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
    for (size_t i = 0; i < settings->n_taps; i++) {
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

/* How a browser elsewhere gets here. */
static void make_command(struct live *self, int port)
{
    const struct guard *guard = &self->guard;
    if (guard->loopback && !guard->six) {
        snprintf(self->command, sizeof self->command, "ssh -L %d:%s:%d %s", port, guard->host, port,
                 guard->machine);
    } else if (guard->loopback) {
        snprintf(self->command, sizeof self->command, "ssh -L %d:[%s]:%d %s", port, guard->host, port,
                 guard->machine);
    }
}

static void say_where(const struct live *self)
{
    const struct guard *guard = &self->guard;
    const int port = server_port(self->server);
    const bool any = strcmp(guard->host, "0.0.0.0") == 0 || strcmp(guard->host, "::") == 0;
    const char *host = any ? guard->machine : guard->host, *token = guard->token;
    const bool brackets = guard->six && !any;
    log_notice("the live page is at http://%s%s%s:%d/%s%s", brackets ? "[" : "", host, brackets ? "]" : "",
               port, token[0] == '\0' ? "" : "?token=", token);
    if (self->command[0] != '\0') {
        log_notice("to see it from another machine, first run there: %s", self->command);
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

int live_new(struct live **self_p, const struct live_settings *settings)
{
    struct live *self = *self_p = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the live page");
    }
    find_run(self, settings);
    int status = guard_init(&self->guard, settings->address, settings->token);
    if (status == 0) {
        status = server_new(&self->server, &self->guard, write_metrics, self);
    }
    if (status == 0) {
        make_command(self, server_port(self->server));
        scene_init(&self->scene, server_board(self->server), settings->n_taps > 0, name_of(self, settings),
                   self->run, self->command);
        self->has_scene = true;
        status = open_source(self, settings);
    }
    if (status == 0) {
        status = server_start(self->server);
    }
    if (status == 0) {
        say_where(self);
    } else {
        live_destroy(self_p, "");
    }
    return status;
}

void live_destroy(struct live **self_p, const char *why)
{
    struct live *self = *self_p;
    if (self == NULL) {
        return;
    }
    server_stop(self->server, why);
    taps_destroy(&self->taps);
    recorded_destroy(&self->recorded);
    archive_destroy(&self->archive);
    if (self->has_scene) {
        scene_fini(&self->scene);
    }
    server_destroy(&self->server);
    free(self);
    *self_p = NULL;
}

const char *live_run(const struct live *self)
{
    return self->run;
}

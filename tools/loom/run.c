/* The command `loom run`: from a pipeline's file to a folder with results.
 *
 * Reads and checks the pipeline, takes the run's folder, wires the stages (an endpoint each, who reads whom),
 * hands them to the supervisor, and says in the end what came out of it. */
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "folder.h"
#include "log.h"
#include "settings.h"
#include "supervisor.h"
#include "wiring.h"

#define FILES_SHOWN 8
#define SUMMARY_WIDTH 100 /* characters of a line */

struct run {
    struct arena arena;
    struct settings settings;
    struct diagnostics diagnostics;
    struct pipeline pipeline;
    struct folder folder;
    struct instance *instances; /* of every stage */
    struct process *processes;
    size_t n; /* processes */
    int64_t began_ms;
};

/* ---- wiring ---- */

static void connect_links(struct run *run, struct wires *wires, const struct links *links)
{
    for (size_t i = 0; i < links->n; i++) {
        const struct entry *giver = links->items[i].stage;
        struct wire wire = {.endpoint = links->items[i].text};
        wire.giver = giver ? &run->instances[giver - run->pipeline.stages] : NULL;
        wires_add(wires, &run->arena, wire);
    }
}

/* Wire the stages, each in the run's folder. */
static int wire_stages(struct run *run)
{
    const struct pipeline *pipeline = &run->pipeline;
    run->instances = arena_alloc(&run->arena, (pipeline->n + 1) * sizeof *run->instances);
    for (size_t i = 0; i < pipeline->n; i++) {
        const struct entry *entry = &pipeline->stages[i];
        run->instances[i] = (struct instance){
            .entry = entry, .folder = run->folder.path, .shown = entry->name, .who = entry->name};
        connect_links(run, &run->instances[i].inputs, &entry->inputs);
        connect_links(run, &run->instances[i].taps, &entry->taps);
    }
    int status = wiring_choose_endpoints(run->instances, pipeline->n, run->settings.tcp, &run->arena);
    if (!status) {
        run->processes = wiring_processes(run->instances, pipeline->n, &run->n, &run->arena);
    }
    return status;
}

/* ---- what came out of it ---- */

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The files in a subfolder, the first few by name. Returns how many there are. */
static size_t print_files(const struct run *run, const char *title, const char *name)
{
    struct dirent **entries;
    int n = scandir(arena_format(run->pipeline.arena, "%s/%s", run->folder.path, name), &entries, is_shown,
                    alphasort);
    if (n < 0) {
        return 0;
    }
    if (n > 0) {
        printf("  %-11s %s/%s:", title, run->folder.shown, name);
    }
    for (int i = 0; i < n; i++) {
        if (i < FILES_SHOWN) {
            printf("%s %s%s", i ? "," : "", entries[i]->d_name, i + 1 == n ? "\n" : "");
        }
        free(entries[i]);
    }
    if (n > FILES_SHOWN) {
        printf(", and %d more\n", n - FILES_SHOWN);
    }
    free(entries);
    return (size_t)n;
}

/* A stage that left a layer behind which it could start from, frozen: NULL if there is none. */
static const struct entry *find_layer(const struct run *run)
{
    for (size_t i = 0; i < run->pipeline.n; i++) {
        const struct entry *entry = &run->pipeline.stages[i];
        const char *path =
            arena_format(run->pipeline.arena, "%s/layers/%s.h5", run->folder.path, entry->name);
        if (!entry->from && spec_find(entry->spec, "layer") && spec_find(entry->spec, "frozen") &&
            access(path, R_OK) == 0) {
            return entry;
        }
    }
    return NULL;
}

static void print_results(const struct run *run)
{
    const struct entry *layer = find_layer(run);
    print_files(run, "layers", "layers");
    print_files(run, "recordings", "recordings");
    size_t pictures = print_files(run, "pictures", "pictures");
    printf("Next:\n");
    if (pictures) {
        printf("  look at %s/pictures\n", run->folder.shown);
    }
    if (layer) {
        printf("  train on what '%s' has learned, without changing it:\n"
               "    loom run %s --dir %s-2 --set %s.layer=%s/layers/%s.h5 --set %s.frozen=true\n",
               layer->name, run->settings.file, run->folder.shown, layer->name, run->folder.shown,
               layer->name, layer->name);
    }
    printf("  change a parameter (loom inspect STAGE shows them): --set STAGE.PARAMETER=VALUE\n");
}

/* The metrics of its last pass, in lines of at most SUMMARY_WIDTH. */
static void print_metrics(const struct gauge *gauge)
{
    int at = 0;
    for (size_t m = 0; m < gauge->n_last; m++) {
        char text[sizeof gauge->last[m].name + 32];
        int width = snprintf(text, sizeof text, "%s %.4g", gauge->last[m].name, gauge->last[m].value);
        if (m > 0 && at + 2 + width < SUMMARY_WIDTH) {
            at += printf(", %s", text);
        } else {
            fputs(m > 0 ? ",\n" : "", stdout);
            at = printf("  %-11s %s", m > 0 ? "" : gauge->name, text);
        }
    }
    fputs(gauge->n_last > 0 ? "\n" : "", stdout);
}

static void print_summary(const struct run *run)
{
    int64_t s = (clock_ms() - run->began_ms + 500) / 1000;
    printf("\n'%s' has finished, after %d:%02d minutes.\n", run->pipeline.name, (int)(s / 60), (int)(s % 60));
    for (size_t i = 0; i < run->n; i++) {
        print_metrics(&run->processes[i].gauge);
    }
    print_results(run);
}

/* ---- the command ---- */

/* Take the folder and settle what it is to this run. Returns 1 if there is nothing left to do. */
static int take_folder(struct run *run)
{
    struct pipeline *pipeline = &run->pipeline;
    const char *moved = NULL;
    int status = LOOM_OK;
    if (access(run->folder.shown, F_OK) != 0) { /* before a folder is made for nothing */
        pipeline_check_layers(pipeline, &run->diagnostics, false);
    }
    if (run->diagnostics.errors) {
        return LOOM_EUSAGE;
    }
    status = folder_lock(&run->folder, &run->arena, run->folder.shown, NULL, run->settings.grace_ms * 3);
    if (status) {
        return status;
    }
    enum folder_state state = folder_compare(&run->folder, pipeline);
    if (state == FOLDER_FINISHED && !run->settings.again) {
        if (!run->settings.quiet) {
            printf("'%s' has finished before: %s (--again: run it anew)\n", pipeline->name,
                   run->folder.shown);
            print_results(run);
        }
        return 1;
    }
    pipeline_check_layers(pipeline, &run->diagnostics, false);
    if (run->diagnostics.errors) {
        return LOOM_EUSAGE;
    }
    if (state == FOLDER_OTHER || (state != FOLDER_NEW && run->settings.again)) {
        status = folder_move_aside(&run->folder, pipeline, &moved);
    }
    if (!status) {
        status = folder_prepare(&run->folder, pipeline);
    }
    if (!status && moved && !run->settings.quiet) {
        fprintf(stderr, "loom: %s held %s run: moved aside to %s\n", run->folder.shown,
                state == FOLDER_OTHER ? "another" : "an earlier", moved);
    } else if (!status && state == FOLDER_CONTINUE && !run->settings.quiet) {
        fprintf(stderr, "loom: going on with %s where it was stopped\n", run->folder.shown);
    }
    return status;
}

/* The last status.json: how it ended. status: of what went wrong here, as in error_message(), or 0. */
static void tell_end(struct run *run, struct status *telemetry, const struct outcome *outcome, int status)
{
    if (status) {
        status_end(telemetry, STATUS_FAILED, arena_copy(&run->arena, error_message()));
    } else if (outcome->finished) {
        status_end(telemetry, STATUS_FINISHED, NULL);
    } else if (outcome->code == -LOOM_EINTERRUPTED) {
        status_end(telemetry, STATUS_STOPPED, NULL);
    } else {
        status_end(
            telemetry, STATUS_FAILED,
            arena_format(&run->arena, "%s: %s", outcome->failed ? outcome->failed : "loom", outcome->why));
    }
}

/* Run the stages and say how it went. */
static int run_stages(struct run *run)
{
    struct journal journal = {0};
    struct outcome outcome;
    struct status telemetry;
    struct display display = {.form = display_choose(), .n = 0};
    struct supervisor_options options = {
        .restarts = run->settings.restarts, .grace_ms = run->settings.grace_ms, .status = &telemetry};
    if (run->settings.json || run->settings.quiet) {
        display.form = run->settings.json ? DISPLAY_JSON : DISPLAY_QUIET;
    }
    display.gauges = arena_alloc(&run->arena, (run->n + 1) * sizeof(struct gauge *));
    for (; display.n < run->n; display.n++) {
        display.gauges[display.n] = &run->processes[display.n].gauge;
    }
    status_init(&telemetry, &run->arena, run->folder.path, run->pipeline.name, run->began_ms);
    telemetry.gauges = display.gauges;
    telemetry.n = display.n;
    int status = display_begin(&display);
    if (!status) {
        status = journal_open(&journal, run->folder.path);
    }
    if (!status) {
        status = supervise(&outcome, run->processes, run->n, &options, &journal, &display);
    }
    journal_close(&journal);
    if (!status && outcome.finished) {
        status = folder_finish(&run->folder);
    } else {
        folder_clear_sockets(&run->folder);
    }
    if (status) {
        int code = complain(status);
        tell_end(run, &telemetry, &outcome, status);
        display_end(&display);
        return code;
    }
    tell_end(run, &telemetry, &outcome, 0);
    display_end(&display);
    if (outcome.finished && display.form != DISPLAY_JSON && display.form != DISPLAY_QUIET) {
        print_summary(run);
    }
    if (outcome.failed) {
        fprintf(stderr, "loom: %s: ", outcome.failed);
        log_plain_text(stderr, outcome.why);
        fputc('\n', stderr);
    } else if (!outcome.finished && !run->settings.quiet) {
        fprintf(stderr, "loom: stopped; what was learned is in %s; to go on: %s\n", run->folder.shown,
                settings_command(&run->settings, "run"));
    }
    return outcome.code;
}

static int run_pipeline(struct run *run)
{
    run->began_ms = clock_ms();
    run->diagnostics.arena = &run->arena;
    run->folder.lock = -1;
    pipeline_read(&run->pipeline, &run->arena, &run->diagnostics, run->settings.file, run->settings.sets,
                  run->settings.n_sets);
    if (run->diagnostics.errors) {
        return report(&run->diagnostics, run->settings.file);
    }
    const char *dir = settings_folder(&run->settings);
    run->folder.shown = dir ? dir : arena_format(&run->arena, "runs/%s", run->pipeline.name);
    int status = take_folder(run);
    if (!run->settings.quiet || run->diagnostics.errors) {
        report(&run->diagnostics, run->settings.file);
    }
    if (status == 1) {
        return 0;
    }
    if (!status) {
        status = wire_stages(run);
    }
    if (status) {
        return run->diagnostics.errors ? -status : complain(status);
    }
    return run_stages(run);
}

static error_t pass_settings(int key, char *argument, struct argp_state *state)
{
    (void)argument;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = state->input;
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

int command_run(int argc, char **argv)
{
    static const struct argp_child children[] = {{&settings_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {NULL,
                                     pass_settings,
                                     "PIPELINE.yaml",
                                     "Run a pipeline: every stage a process, until all are done. Ctrl-C "
                                     "stops it, with everything saved; the same "
                                     "command then goes on.\vExit codes: 0 finished, 64 wrong usage or "
                                     "pipeline, 65 wrong data, 69 a peer or the "
                                     "folder cannot be had, 70 a stage died again and again, 74 files cannot "
                                     "be read or written, 130 interrupted, "
                                     "everything saved.",
                                     children,
                                     NULL,
                                     NULL};
    struct run run = {.settings = settings_defaults(&run.arena)};
    argp_parse(&argp, argc, argv, 0, NULL, &run.settings);
    signal(SIGPIPE, SIG_IGN); /* whoever reads our output may leave: the run goes on */
    int code = run_pipeline(&run);
    folder_unlock(&run.folder);
    arena_fini(&run.arena);
    return code;
}

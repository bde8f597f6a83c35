/* The command `loom run`: from a pipeline's file to a folder with results.
 *
 * Reads and checks the pipeline, takes the run's folder, wires the stages (an endpoint each, who reads whom),
 * hands them to the supervisor, and says in the end what came out of it. */
#include <argp.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "folder.h"
#include "log.h"
#include "supervisor.h"

#define FILES_SHOWN 8

struct run {
    struct arena arena;
    struct diagnostics diagnostics;
    struct pipeline pipeline;
    struct folder folder;
    const char *file, *dir;
    const char **sets;
    size_t n_sets;
    bool again, quiet, json, tcp;
    int restarts, grace_ms;
    const char *(*endpoints)[2]; /* of every stage: its stream, its tap */
    struct process *processes;
    size_t n; /* processes */
    int64_t began_ms;
};

enum { KEY_DIR = 256, KEY_LOG, KEY_TRANSPORT, KEY_RESTARTS, KEY_AGAIN, KEY_GRACE };

static const struct argp_option run_options[] = {
    {"set", 's', "STAGE.PARAMETER=VALUE", 0, "change the pipeline; may be repeated", 0},
    {"dir", KEY_DIR, "RUN", 0, "the run's folder (default: runs/<name of the pipeline>)", 0},
    {"again", KEY_AGAIN, NULL, 0, "begin anew even if there is such a run; the old folder is moved aside", 0},
    {"quiet", 'q', NULL, 0, "say nothing but errors", 0},
    {"log", KEY_LOG, "json|text", 0, "events as JSON lines on standard output", 0},
    {"transport", KEY_TRANSPORT, "ipc|tcp", 0,
     "how stages are connected (default: ipc; tcp: on the loopback)", 0},
    {"restarts", KEY_RESTARTS, "N", 0, "start a dead stage again so many times without progress (default: 5)",
     0},
    {"grace", KEY_GRACE, "SECONDS", 0, "time that a stage gets to end after it was asked to (default: 10)",
     0},
    {0},
};

static double parse_number(struct argp_state *state, const char *option, const char *text, double max)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value <= max)) {
        argp_error(state, "%s is a number from 0 to %g, not '%s'", option, max, text);
    }
    return value;
}

static bool parse_word(struct argp_state *state, const char *option, const char *text, const char *on,
                       const char *off)
{
    if (strcmp(text, on) != 0 && strcmp(text, off) != 0) {
        argp_error(state, "%s is %s or %s, not '%s'", option, off, on, text);
    }
    return strcmp(text, on) == 0;
}

static error_t parse_run(int key, char *argument, struct argp_state *state)
{
    struct run *run = state->input;
    switch (key) {
    case 's':
        run->sets = arena_grow(&run->arena, run->sets, run->n_sets, sizeof *run->sets);
        run->sets[run->n_sets++] = argument;
        return 0;
    case 'q':
        run->quiet = true;
        return 0;
    case KEY_AGAIN:
        run->again = true;
        return 0;
    case KEY_DIR:
        run->dir = argument;
        return 0;
    case KEY_LOG:
        run->json = parse_word(state, "--log", argument, "json", "text");
        return 0;
    case KEY_TRANSPORT:
        run->tcp = parse_word(state, "--transport", argument, "tcp", "ipc");
        return 0;
    case KEY_RESTARTS:
        run->restarts = (int)parse_number(state, "--restarts", argument, 1e6);
        return 0;
    case KEY_GRACE:
        run->grace_ms = (int)(1000 * parse_number(state, "--grace", argument, 1e5));
        return 0;
    case ARGP_KEY_ARG:
        if (run->file) {
            argp_error(state, "one pipeline at a time");
        }
        run->file = argument;
        return 0;
    case ARGP_KEY_END:
        if (!run->file) {
            argp_error(state, "which pipeline? name its file, e.g. pipelines/topo.yaml");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- wiring ---- */

/* Find free ports of the loopback for all streams and taps; all are held until the last is found. */
static int find_ports(struct run *run)
{
    int status = LOOM_OK;
    size_t n = 2 * run->pipeline.n;
    int *sockets = arena_alloc(&run->arena, n * sizeof *sockets);
    for (size_t i = 0; i < n; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof address;
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sockets[i] < 0 || bind(sockets[i], (struct sockaddr *)&address, size) != 0 ||
            getsockname(sockets[i], (struct sockaddr *)&address, &size) != 0) {
            status = error_set(LOOM_EPEER, "no free port on the loopback: %s", strerror(errno));
        }
        run->endpoints[i / 2][i % 2] =
            arena_format(&run->arena, "tcp://127.0.0.1:%u", ntohs(address.sin_port));
    }
    for (size_t i = 0; i < n; i++) {
        if (sockets[i] >= 0) {
            close(sockets[i]);
        }
    }
    return status;
}

static int choose_endpoints(struct run *run)
{
    const struct pipeline *pipeline = &run->pipeline;
    run->endpoints = arena_alloc(&run->arena, (pipeline->n + 1) * sizeof *run->endpoints);
    int status = run->tcp ? find_ports(run) : LOOM_OK;
    for (size_t i = 0; i < pipeline->n; i++) {
        const struct entry *entry = &pipeline->stages[i];
        if (entry->from) {
            run->endpoints[i][0] = entry->from;
        } else if (!run->tcp) { /* relative to the run's folder, where stages work: socket paths must be short
                                 */
            run->endpoints[i][0] = arena_format(&run->arena, "ipc://sockets/%s", entry->name);
            run->endpoints[i][1] = arena_format(&run->arena, "ipc://sockets/%s.tap", entry->name);
        }
    }
    return status;
}

struct arguments {
    struct arena *arena;
    char **items;
    size_t n;
};

static void push(struct arguments *self, const char *text)
{
    self->items = arena_grow(self->arena, self->items, self->n, sizeof *self->items);
    self->items[self->n++] = text ? arena_copy(self->arena, text) : NULL;
}

static void push_links(struct arguments *self, const struct run *run, const struct links *links,
                       const char *option, size_t which)
{
    for (size_t i = 0; i < links->n; i++) {
        const struct link *link = &links->items[i];
        push(self, option);
        push(self, link->stage ? run->endpoints[link->stage - run->pipeline.stages][which] : link->text);
    }
}

static bool reads(const struct entry *reader, const struct entry *giver)
{
    for (size_t i = 0; i < reader->inputs.n; i++) {
        if (reader->inputs.items[i].stage == giver) {
            return true;
        }
    }
    return false;
}

/* The command line of a stage. */
static char **make_arguments(const struct run *run, const struct entry *entry)
{
    struct arguments self = {.arena = run->pipeline.arena};
    const struct pipeline *pipeline = &run->pipeline;
    size_t number = (size_t)(entry - pipeline->stages);
    const char *required = "";
    const char *const head[] = {arena_format(self.arena, "loom-%s", entry->kind),
                                "--name",
                                entry->name,
                                "--run",
                                run->folder.path, /* whole, for messages that name files in it */
                                "--log",
                                "json"};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) {
        push(&self, head[i]);
    }
    push_links(&self, run, &entry->inputs, "--in", 0);
    push_links(&self, run, &entry->taps, "--tap", 1);
    for (size_t i = 0; i < pipeline->n; i++) {
        if (reads(&pipeline->stages[i], entry)) {
            required =
                arena_format(self.arena, "%s%s%s", required, *required ? "," : "", pipeline->stages[i].name);
        }
    }
    if (entry->spec->output) {
        push(&self, "--required"); /* also if there are none: then it waits for nobody */
        push(&self, required);
        push(&self, "--bind");
        push(&self, run->endpoints[number][0]);
        push(&self, "--bind-tap");
        push(&self, run->endpoints[number][1]);
    }
    for (size_t i = 0; i < entry->n_settings; i++) {
        push(&self,
             arena_format(self.arena, "--%s=%s", entry->settings[i].param->name, entry->settings[i].text));
    }
    push(&self, NULL);
    return self.items;
}

/* A process for every stage that is not outside. */
static void make_processes(struct run *run)
{
    const struct pipeline *pipeline = &run->pipeline;
    struct arena *arena = &run->arena;
    struct process **of = arena_alloc(arena, (pipeline->n + 1) * sizeof(struct process *));
    run->processes = arena_alloc(arena, (pipeline->n + 1) * sizeof *run->processes);
    for (size_t i = 0; i < pipeline->n; i++) {
        const struct entry *entry = &pipeline->stages[i];
        if (entry->from) {
            continue;
        }
        struct process *process = of[i] = &run->processes[run->n++];
        process->name = process->gauge.name = entry->name;
        process->program = entry->spec->program;
        process->argv = make_arguments(run, entry);
        process->looks = entry_only_looks(entry);
        process->n_inputs = entry->inputs.n;
    }
    for (size_t i = 0; i < pipeline->n; i++) {
        for (size_t j = 0; of[i] && j < pipeline->n; j++) {
            if (!of[j] || !reads(&pipeline->stages[j], &pipeline->stages[i])) {
                continue;
            }
            of[i]->readers = arena_grow(arena, of[i]->readers, of[i]->n_readers, sizeof *of[i]->readers);
            of[i]->readers[of[i]->n_readers++] = of[j];
        }
    }
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
               layer->name, run->file, run->folder.shown, layer->name, run->folder.shown, layer->name,
               layer->name);
    }
    printf("  change a parameter (loom inspect STAGE shows them): --set STAGE.PARAMETER=VALUE\n");
}

static void print_summary(const struct run *run)
{
    int64_t s = (clock_ms() - run->began_ms + 500) / 1000;
    printf("\n'%s' has finished, after %d:%02d minutes.\n", run->pipeline.name, (int)(s / 60), (int)(s % 60));
    for (size_t i = 0; i < run->n; i++) {
        const struct gauge *gauge = &run->processes[i].gauge;
        for (size_t m = 0; m < gauge->n_last; m++) {
            printf("%s%s %.4g%s", m ? ", " : arena_format(run->pipeline.arena, "  %-11s ", gauge->name),
                   gauge->last[m].name, gauge->last[m].value, m + 1 == gauge->n_last ? "\n" : "");
        }
    }
    print_results(run);
}

/* The command that goes on with this run. */
static const char *same_command(const struct run *run)
{
    const char *text = arena_format(run->pipeline.arena, "loom run %s", run->file);
    if (run->dir) {
        text = arena_format(run->pipeline.arena, "%s --dir %s", text, run->dir);
    }
    for (size_t i = 0; i < run->n_sets; i++) {
        text = arena_format(run->pipeline.arena, "%s --set %s", text, run->sets[i]);
    }
    return text;
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
    status = folder_lock(&run->folder, &run->arena, run->folder.shown, run->grace_ms * 3);
    if (status) {
        return status;
    }
    enum folder_state state = folder_compare(&run->folder, pipeline);
    if (state == FOLDER_FINISHED && !run->again) {
        if (!run->quiet) {
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
    if (state == FOLDER_OTHER || (state != FOLDER_NEW && run->again)) {
        status = folder_move_aside(&run->folder, pipeline, &moved);
    }
    if (!status) {
        status = folder_prepare(&run->folder, pipeline);
    }
    if (!status && moved && !run->quiet) {
        fprintf(stderr, "loom: %s held %s run: moved aside to %s\n", run->folder.shown,
                state == FOLDER_OTHER ? "another" : "an earlier", moved);
    } else if (!status && state == FOLDER_CONTINUE && !run->quiet) {
        fprintf(stderr, "loom: going on with %s where it was stopped\n", run->folder.shown);
    }
    return status;
}

/* Run the stages and say how it went. */
static int run_stages(struct run *run)
{
    struct journal journal = {0};
    struct outcome outcome;
    struct display display = {.form = display_choose(), .n = 0};
    struct supervisor_options options = {
        .folder = run->folder.path, .restarts = run->restarts, .grace_ms = run->grace_ms};
    if (run->json || run->quiet) {
        display.form = run->json ? DISPLAY_JSON : DISPLAY_QUIET;
    }
    display.gauges = arena_alloc(&run->arena, (run->n + 1) * sizeof(struct gauge *));
    for (; display.n < run->n; display.n++) {
        display.gauges[display.n] = &run->processes[display.n].gauge;
    }
    int status = journal_open(&journal, run->folder.path);
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
        return complain(status);
    }
    if (outcome.finished && display.form != DISPLAY_JSON && display.form != DISPLAY_QUIET) {
        print_summary(run);
    }
    if (outcome.failed) {
        fprintf(stderr, "loom: %s: ", outcome.failed);
        log_plain_text(stderr, outcome.why);
        fputc('\n', stderr);
    } else if (!outcome.finished && !run->quiet) {
        fprintf(stderr, "loom: stopped; what was learned is in %s; to go on: %s\n", run->folder.shown,
                same_command(run));
    }
    return outcome.code;
}

/* The folder's name as given, without slashes at the end. */
static const char *shown_folder(struct run *run)
{
    if (!run->dir) {
        return arena_format(&run->arena, "runs/%s", run->pipeline.name);
    }
    size_t n = strlen(run->dir);
    while (n > 1 && run->dir[n - 1] == '/') {
        n--;
    }
    return n ? arena_copy_n(&run->arena, run->dir, n) : ".";
}

static int run_pipeline(struct run *run)
{
    run->began_ms = clock_ms();
    run->diagnostics.arena = &run->arena;
    run->folder.lock = -1;
    pipeline_read(&run->pipeline, &run->arena, &run->diagnostics, run->file, run->sets, run->n_sets);
    if (run->diagnostics.errors) {
        return report(&run->diagnostics, run->file);
    }
    run->folder.shown = shown_folder(run);
    int status = take_folder(run);
    if (!run->quiet || run->diagnostics.errors) {
        report(&run->diagnostics, run->file);
    }
    if (status == 1) {
        return 0;
    }
    if (!status) {
        status = choose_endpoints(run);
    }
    if (status) {
        return run->diagnostics.errors ? -status : complain(status);
    }
    make_processes(run);
    return run_stages(run);
}

int command_run(int argc, char **argv)
{
    static const struct argp argp = {run_options,
                                     parse_run,
                                     "PIPELINE.yaml",
                                     "Run a pipeline: every stage a process, until all are done. Ctrl-C "
                                     "stops it, with everything saved; the same "
                                     "command then goes on.\vExit codes: 0 finished, 64 wrong usage or "
                                     "pipeline, 65 wrong data, 69 a peer or the "
                                     "folder cannot be had, 70 a stage died again and again, 74 files cannot "
                                     "be read or written, 130 interrupted, "
                                     "everything saved.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct run run = {.restarts = 5, .grace_ms = 10000};
    argp_parse(&argp, argc, argv, 0, NULL, &run);
    signal(SIGPIPE, SIG_IGN); /* whoever reads our output may leave: the run goes on */
    int code = run_pipeline(&run);
    folder_unlock(&run.folder);
    arena_fini(&run.arena);
    return code;
}

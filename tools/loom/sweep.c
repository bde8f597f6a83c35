/* The command `loom sweep`: one pipeline, many values of its parameters, one table of what came out.
 *
 * What all members share runs once, and feeds every member's own stages (sweep_plan.h says which are which);
 * all of them run at the same time, each a process, under one supervisor. In the sweep's folder lie the results
 * of the shared stages, and a folder for every member, laid out as that of a run:
 *
 *     RUN/pipeline.yaml over.yaml      what was swept
 *         layers/ recordings/ ...      of the shared stages
 *         summary.csv summary.md       the table
 *         pictures/NAME-compared.png   the members' layers side by side
 *         strength=0.3,seed=2/         a member: pipeline.yaml, which can be run by itself; layers/ and so on;
 *                                      layers of shared stages as links
 *
 * A member that fails is left out, and the others go on from their checkpoints without it. Pictures of members
 * are drawn when they have finished, from their layer files. */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "log.h"
#include "programs.h"
#include "settings.h"
#include "sweep_plan.h"
#include "sweep_table.h"
#include "wiring.h"

struct sweep {
    struct arena arena;
    struct settings settings;
    struct diagnostics diagnostics;
    struct plan plan;
    struct folder folder;
    struct journal journal;  /* of the shared stages and the launcher */
    struct status telemetry; /* of the stages of all members, while they train */
    bool resumed;            /* it goes on from where it was stopped */
    struct instance *instances;
    size_t n; /* instances */
    int64_t began_ms;
};

/* ---- folders ---- */

/* Errors of the members' pipelines, each said once. */
static void check_layers(struct sweep *self)
{
    const size_t already = self->diagnostics.n;
    for (size_t m = 0; m < self->plan.n; m++) {
        struct diagnostics found = {.arena = &self->arena};
        pipeline_check_layers(&self->plan.members[m].pipeline, &found, false);
        for (size_t i = 0; i < found.n; i++) {
            bool known = false;
            for (size_t j = already; j < self->diagnostics.n; j++) {
                known = known || strcmp(self->diagnostics.items[j].text, found.items[i].text) == 0;
            }
            if (!known) {
                diagnostics_error(&self->diagnostics, found.items[i].place, "%s", found.items[i].text);
            }
        }
    }
}

/* Links to the layers of shared stages, so that a member's folder is complete. */
static int link_layers(const struct sweep *self, const struct member *member)
{
    const struct pipeline *base = &self->plan.base;
    for (size_t s = 0; s < base->n; s++) {
        const struct entry *entry = &base->stages[s];
        if (plan_replicates(&self->plan, s) || entry->from || !spec_find(entry->spec, "layer")) {
            continue;
        }
        const char *target = arena_format(self->plan.arena, "../../layers/%s.h5", entry->name);
        const char *link =
            arena_format(self->plan.arena, "%s/layers/%s.h5", member->folder.path, entry->name);
        if (symlink(target, link) != 0 && errno != EEXIST) {
            return error_set(LOOM_EIO, "%s: %s", link, strerror(errno));
        }
    }
    return LOOM_OK;
}

static int take_member(struct sweep *self, struct member *member)
{
    const char *shown = arena_format(&self->arena, "%s/%s", self->folder.shown, member->name);
    int status = folder_lock(&member->folder, &self->arena, shown, NULL, self->settings.grace_ms * 3);
    if (status) {
        return status;
    }
    enum folder_state state = folder_compare(&member->folder, &member->pipeline);
    if (state == FOLDER_OTHER) {
        return error_set(LOOM_EUSAGE, "%s holds another run: move it away, or begin anew with --again",
                         shown);
    }
    member->finished = state == FOLDER_FINISHED;
    if (!member->finished) {
        status = folder_prepare(&member->folder, &member->pipeline);
    }
    if (!status && !member->finished) {
        status = link_layers(self, member);
    }
    return status ? status : journal_open(&member->journal, member->folder.path);
}

/* Say what a sweep that has finished before has left. Returns its exit code. */
static int tell_finished(struct sweep *self)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = fopen(arena_format(&self->arena, "%s/summary.md", self->folder.path), "re");
    if (!self->settings.quiet) {
        printf("the sweep of '%s' has finished before: %s (--again: run it anew)\n\n", self->plan.base.name,
               self->folder.shown);
    }
    while (!self->settings.quiet && file && getline(&text, &size, file) > 0) {
        fputs(text, stdout);
    }
    if (file) {
        fclose(file);
    }
    free(text);
    int code = 0;
    for (size_t m = 0; m < self->plan.n && !code; m++) {
        const char *failed = arena_format(&self->arena, "%s/%s/checkpoints/failed", self->folder.path,
                                          self->plan.members[m].name);
        file = fopen(failed, "re");
        if (file) {
            code = fscanf(file, "%d", &code) == 1 ? code : -LOOM_EINTERNAL;
            fclose(file);
        }
    }
    return code;
}

/* Take the sweep's folder and the members'. *code: what to exit with if there is nothing left to do. */
static int take_folders(struct sweep *self, int *code)
{
    struct pipeline *base = &self->plan.base;
    const char *moved = NULL;
    int status = folder_lock(&self->folder, &self->arena, self->folder.shown, plan_over(&self->plan),
                             self->settings.grace_ms * 3);
    if (status) {
        return status;
    }
    enum folder_state state = folder_compare(&self->folder, base);
    if (state == FOLDER_FINISHED && !self->settings.again) {
        *code = tell_finished(self);
        return 1;
    }
    self->resumed = state == FOLDER_CONTINUE && !self->settings.again;
    if (state == FOLDER_OTHER || (state != FOLDER_NEW && self->settings.again)) {
        status = folder_move_aside(&self->folder, base, &moved);
    }
    if (!status) {
        status = folder_prepare(&self->folder, base);
    }
    if (!status) {
        status = journal_open(&self->journal, self->folder.path);
    }
    plan_expand(&self->plan); /* from where its paths now lead */
    for (size_t m = 0; m < self->plan.n && !status; m++) {
        status = take_member(self, &self->plan.members[m]);
    }
    if (!status && moved && !self->settings.quiet) {
        fprintf(stderr, "loom: %s held %s sweep: moved aside to %s\n", self->folder.shown,
                state == FOLDER_OTHER ? "another" : "an earlier", moved);
    } else if (!status && self->resumed && !self->settings.quiet) {
        fprintf(stderr, "loom: going on with %s where it was stopped\n", self->folder.shown);
    }
    return status;
}

/* ---- who runs ---- */

/* Whether a stage of a member draws what has been learned: then it does so at the end, from the files. */
static bool draws(const struct entry *entry)
{
    return entry_only_looks(entry) && spec_find(entry->spec, "layers");
}

/* Wire a stage. own: instances of its member by number of stage, NULL for a shared stage. */
static void connect_links(struct sweep *self, struct instance *instance, struct wires *wires,
                          const struct links *links, size_t stage, struct instance *const *shared,
                          struct instance *const *own)
{
    bool split = self->plan.sharing[stage] == SPLIT;
    bool looks = entry_only_looks(instance->entry); /* each member's own looks at everything */
    for (size_t i = 0; i < links->n; i++) {
        const struct entry *giver = links->items[i].stage;
        size_t g = giver ? (size_t)(giver - self->plan.base.stages) : 0;
        bool of_member = giver && plan_replicates(&self->plan, g);
        if (split && (own ? !of_member && !looks : of_member)) {
            continue;
        }
        struct wire wire = {.endpoint = links->items[i].text};
        if (giver) {
            wire.giver = of_member && own ? own[g] : shared[g];
        }
        wires_add(wires, &self->arena, wire);
    }
}

/* Instances of the shared stages (member NULL) or of a member's own. of: where each is, by number of stage. */
static void add_instances(struct sweep *self, struct member *member, struct instance **of)
{
    const struct pipeline *pipeline = member ? &member->pipeline : &self->plan.base;
    for (size_t s = 0; s < pipeline->n; s++) {
        const struct entry *entry = &pipeline->stages[s];
        if (member ? !plan_replicates(&self->plan, s) || draws(entry) : self->plan.sharing[s] == REPLICATED) {
            continue;
        }
        struct instance *instance = of[s] = &self->instances[self->n++];
        *instance = (struct instance){
            .entry = entry, .folder = self->folder.path, .shown = entry->name, .who = entry->name};
        if (member) {
            instance->folder = member->folder.path;
            instance->shown = arena_format(&self->arena, "%s/%s", member->name, entry->name);
            instance->who = arena_format(&self->arena, "%s.%zu", entry->name, member->number);
            instance->member = member->name;
            instance->journal = &member->journal;
        }
    }
}

/* Instances of the shared stages, and of every member that has neither finished nor failed. */
static void make_instances(struct sweep *self)
{
    const struct pipeline *base = &self->plan.base;
    struct instance **shared = arena_alloc(&self->arena, (base->n + 1) * sizeof(struct instance *));
    self->instances = arena_alloc(&self->arena, (base->n + 1) * (self->plan.n + 1) * sizeof *self->instances);
    self->n = 0;
    add_instances(self, NULL, shared);
    for (size_t s = 0; s < base->n; s++) {
        if (shared[s]) {
            connect_links(self, shared[s], &shared[s]->inputs, &base->stages[s].inputs, s, shared, NULL);
            connect_links(self, shared[s], &shared[s]->taps, &base->stages[s].taps, s, shared, NULL);
        }
    }
    for (size_t m = 0; m < self->plan.n; m++) {
        struct member *member = &self->plan.members[m];
        struct instance **own = arena_alloc(&self->arena, (base->n + 1) * sizeof(struct instance *));
        if (member->finished || member->why) {
            continue;
        }
        add_instances(self, member, own);
        for (size_t s = 0; s < base->n; s++) {
            if (own[s]) {
                connect_links(self, own[s], &own[s]->inputs, &base->stages[s].inputs, s, shared, own);
                connect_links(self, own[s], &own[s]->taps, &base->stages[s].taps, s, shared, own);
            }
        }
    }
}

/* ---- running ---- */

static int watch(struct sweep *self, struct outcome *outcome, struct process *processes, size_t n)
{
    struct display display = {.form = display_choose(), .n = 0};
    struct supervisor_options options = {.restarts = self->settings.restarts,
                                         .grace_ms = self->settings.grace_ms,
                                         .status = &self->telemetry,
                                         .goes_on = true};
    if (self->settings.json || self->settings.quiet) {
        display.form = self->settings.json ? DISPLAY_JSON : DISPLAY_QUIET;
    }
    display.gauges = arena_alloc(&self->arena, (n + 1) * sizeof(struct gauge *));
    for (; display.n < n; display.n++) {
        display.gauges[display.n] = &processes[display.n].gauge;
    }
    if (!self->telemetry.note) { /* while pictures are drawn, the stages that have trained stay in sight */
        self->telemetry.gauges = display.gauges;
        self->telemetry.n = display.n;
    }
    int status = display_begin(&display);
    if (!status) {
        status = supervise(outcome, processes, n, &options, &self->journal, &display);
        display_end(&display);
    }
    return status;
}

static struct member *find_member(struct sweep *self, const struct instance *instance)
{
    for (size_t m = 0; m < self->plan.n; m++) {
        if (instance->member == self->plan.members[m].name) {
            return &self->plan.members[m];
        }
    }
    return NULL;
}

/* Whether a stage was lost for good: the one that stopped the others, or one that failed on its way out. */
static bool has_failed(const struct process *process)
{
    if (process->state != PROCESS_ENDED || process->looks || !process->gauge.state) {
        return false;
    }
    return strcmp(process->gauge.state, "failed") == 0 || process->code == -LOOM_EUSAGE ||
           process->code == -LOOM_EDATA || process->code == -LOOM_EIO;
}

/* Note members that failed, and how long the others took. Returns how many failed. */
static size_t note_members(struct sweep *self)
{
    size_t failed = 0;
    for (size_t i = 0; i < self->n; i++) {
        const struct process *process = self->instances[i].process;
        struct member *member = find_member(self, &self->instances[i]);
        if (!process || !member || process->looks) {
            continue;
        }
        if (has_failed(process) && !member->why) {
            member->failed = self->instances[i].entry->name;
            member->code = process->code > 128 ? -LOOM_EINTERNAL : process->code;
            member->why = arena_copy(&self->arena, *process->complaint ? process->complaint : "it died");
            failed++;
        }
        double frames = (double)(process->best - (self->resumed ? process->first : 0));
        member->seconds = fmax(member->seconds, (double)(process->ended_ms - self->began_ms) / 1000);
        member->frames = fmax(member->frames, frames);
    }
    return failed;
}

static bool any_left(const struct sweep *self)
{
    for (size_t m = 0; m < self->plan.n; m++) {
        if (!self->plan.members[m].why) {
            return true;
        }
    }
    return false;
}

/* Run all; where members fail, the others again without them, from their checkpoints. */
static int train(struct sweep *self, struct outcome *outcome)
{
    for (;;) {
        size_t n = 0;
        *outcome = (struct outcome){.finished = true};
        make_instances(self);
        int status = wiring_choose_endpoints(self->instances, self->n, self->settings.tcp, &self->arena);
        if (status) {
            return status;
        }
        struct process *processes = wiring_processes(self->instances, self->n, &n, &self->arena);
        status = n > 0 ? watch(self, outcome, processes, n) : LOOM_OK;
        size_t failed = status ? 0 : note_members(self);
        if (status || outcome->finished || outcome->interrupted || failed == 0 || !any_left(self)) {
            return status;
        }
        if (!self->settings.quiet) {
            fprintf(stderr, "loom: going on without %zu of %zu members\n", failed, self->plan.n);
        }
        folder_clear_sockets(&self->folder);
    }
}

/* ---- pictures ---- */

struct batch {
    struct process *processes;
    size_t n;
};

/* A process that draws: the stage `entry` without its taps, with --OPTION=PATH for what it draws from. */
static void add_drawing(struct sweep *self, struct batch *batch, const struct entry *entry,
                        const char *folder, const char *shown, struct journal *journal)
{
    struct arena *arena = &self->arena;
    struct process *process = &batch->processes[batch->n++];
    size_t n = 0;
    char **argv = arena_alloc(arena, (entry->n_settings + 10) * sizeof(char *));
    argv[n++] = arena_format(arena, "loom-%s", entry->kind);
    argv[n++] = arena_format(arena, "--name=%s", entry->name);
    argv[n++] = arena_format(arena, "--run=%s", folder);
    argv[n++] = arena_copy(arena, "--log=json");
    argv[n++] = arena_format(arena, "--layers=%s/layers", folder);
    for (size_t i = 0; i < entry->n_settings; i++) {
        const struct setting *setting = &entry->settings[i];
        if (setting->param->type != SPEC_ADDRESS) { /* there is nothing to be served while it draws */
            argv[n++] = arena_format(arena, "--%s=%s", setting->param->name, setting->text);
        }
    }
    *process = (struct process){.name = entry->name, .folder = folder, .journal = journal, .argv = argv};
    process->gauge.name = shown;
    process->program = entry->spec->program;
    process->looks = true;
}

/* The sheet of all members side by side; the values of the last axis make its columns. */
static void add_sheet(struct sweep *self, struct batch *batch)
{
    struct arena *arena = &self->arena;
    const char *program = program_find(arena, "render");
    if (!program) {
        fprintf(stderr, "loom: no picture of all members: there is no program loom-render\n");
        return;
    }
    struct process *process = &batch->processes[batch->n++];
    char **argv = arena_alloc(arena, 8 * sizeof(char *));
    argv[0] = arena_copy(arena, "loom-render");
    argv[1] = arena_copy(arena, "--name=compared");
    argv[2] = arena_format(arena, "--run=%s", self->folder.path);
    argv[3] = arena_copy(arena, "--log=json");
    argv[4] = arena_format(arena, "--compare=%s", self->folder.path);
    if (self->plan.n_axes > 1 && self->plan.axes[self->plan.n_axes - 1].n > 1) {
        argv[5] = arena_format(arena, "--columns=%zu", self->plan.axes[self->plan.n_axes - 1].n);
    }
    *process = (struct process){
        .name = "compared", .folder = self->folder.path, .program = program, .argv = argv, .looks = true};
    process->gauge.name = "compared";
}

/* Draw the members that have finished and the sheet of all, as many at once as there are processors. */
static int draw(struct sweep *self, struct outcome *outcome)
{
    const struct pipeline *base = &self->plan.base;
    struct batch all = {.n = 0};
    all.processes = arena_alloc(&self->arena, (base->n * self->plan.n + 2) * sizeof *all.processes);
    for (size_t m = 0; m < self->plan.n; m++) {
        struct member *member = &self->plan.members[m];
        for (size_t s = 0; s < base->n && !member->why && !member->finished; s++) {
            const struct entry *entry = &member->pipeline.stages[s];
            if (plan_replicates(&self->plan, s) && draws(entry)) {
                add_drawing(self, &all, entry, member->folder.path,
                            arena_format(&self->arena, "%s/%s", member->name, entry->name), &member->journal);
            }
        }
    }
    add_sheet(self, &all);
    self->telemetry.note = "All members have been trained; their pictures are being drawn.";
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t at_once = processors > 1 ? (size_t)processors : 1;
    int status = LOOM_OK;
    *outcome = (struct outcome){.finished = true};
    for (size_t i = 0; i < all.n && !status && outcome->finished; i += at_once) {
        size_t n = all.n - i < at_once ? all.n - i : at_once;
        status = watch(self, outcome, all.processes + i, n);
    }
    return status;
}

/* ---- what came out of it ---- */

/* Mark the folders as finished; those of members that failed say so. */
static int mark_finished(struct sweep *self)
{
    int status = LOOM_OK;
    for (size_t m = 0; m < self->plan.n && !status; m++) {
        struct member *member = &self->plan.members[m];
        if (!member->why) {
            status = folder_finish(&member->folder);
            continue;
        }
        status = folder_write(
            &member->folder, "checkpoints/failed",
            arena_format(&self->arena, "%d\n%s: %s\n", member->code, member->failed, member->why));
    }
    return status ? status : folder_finish(&self->folder);
}

static size_t count_failed(const struct sweep *self)
{
    size_t n = 0;
    for (size_t m = 0; m < self->plan.n; m++) {
        n += self->plan.members[m].why != NULL;
    }
    return n;
}

static int write_tables(struct sweep *self)
{
    const struct table *table = table_new(&self->plan);
    const char *markdown = table_text(table, table_write_markdown);
    int status = folder_write(&self->folder, "summary.csv", table_text(table, table_write_csv));
    if (!status) {
        status = folder_write(&self->folder, "summary.md", markdown);
    }
    if (!status && !self->settings.quiet && !self->settings.json) {
        double s = (double)(clock_ms() - self->began_ms) / 1000;
        size_t failed = count_failed(self);
        const char *members =
            failed > 0 ? arena_format(&self->arena, "has ended: %zu members finished and %zu failed,",
                                      self->plan.n - failed, failed)
                       : arena_format(&self->arena, "has finished, %zu members", self->plan.n);
        printf("\nThe sweep of '%s' %s in %.1f seconds.\n\n%s\n", self->plan.base.name, members, s, markdown);
        printf("  tables      %s/summary.csv, summary.md\n"
               "  pictures    %s/pictures: the members side by side\n"
               "  members     %s/%s and so on: layers, pictures, pipeline.yaml to be run by itself\n",
               self->folder.shown, self->folder.shown, self->folder.shown, self->plan.members[0].name);
    }
    return status;
}

/* Say which members failed. Returns the exit code of the first. */
static int tell_failures(const struct sweep *self)
{
    int code = 0;
    for (size_t m = 0; m < self->plan.n; m++) {
        const struct member *member = &self->plan.members[m];
        if (!member->why) {
            continue;
        }
        fprintf(stderr, "loom: %s failed: %s: ", member->name, member->failed);
        log_plain_text(stderr, member->why);
        fprintf(stderr, "\nloom: by itself: loom run %s/%s/pipeline.yaml --dir %s/%s\n", self->folder.shown,
                member->name, self->folder.shown, member->name);
        code = code ? code : member->code;
    }
    return code;
}

/* The last status.json: how it ended. */
static void tell_end(struct sweep *self, const struct outcome *outcome, int status)
{
    size_t failed = count_failed(self);
    const char *why = status ? arena_copy(&self->arena, error_message())
                      : failed
                          ? arena_format(&self->arena, "%zu of %zu members failed.", failed, self->plan.n)
                      : outcome->failed ? arena_format(&self->arena, "%s: %s", outcome->failed, outcome->why)
                                        : NULL;
    bool finished = !status && outcome->finished && any_left(self);
    bool stopped = !status && !outcome->finished && outcome->code == -LOOM_EINTERRUPTED;
    status_end(&self->telemetry, finished ? STATUS_FINISHED : stopped ? STATUS_STOPPED : STATUS_FAILED, why);
}

static int conclude(struct sweep *self, const struct outcome *outcome)
{
    if (outcome->failed && !any_left(self)) {
        fprintf(stderr, "loom: all members failed\n");
        return tell_failures(self);
    }
    if (outcome->failed) {
        fprintf(stderr, "loom: %s: ", outcome->failed);
        log_plain_text(stderr, outcome->why);
        fputc('\n', stderr);
    }
    if (!outcome->finished) {
        if (!outcome->failed && !self->settings.quiet) {
            fprintf(stderr, "loom: stopped; what was learned is in %s; to go on: %s\n", self->folder.shown,
                    settings_command(&self->settings, "sweep"));
        }
        return outcome->code;
    }
    int status = write_tables(self);
    if (!status) {
        status = mark_finished(self);
    }
    int code = tell_failures(self);
    return status ? complain(status) : code ? code : outcome->code;
}

/* ---- the command ---- */

/* Two files of results, pipes and a lock a member: more than some systems give a process at first. */
static void want_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run_sweep(struct sweep *self)
{
    struct settings *settings = &self->settings;
    struct outcome outcome;
    bool began = false;
    int code = 0;
    self->began_ms = clock_ms();
    self->diagnostics.arena = &self->arena;
    self->folder.lock = -1;
    plan_read(&self->plan, &self->arena, &self->diagnostics, settings->file, settings->sets, settings->n_sets,
              settings->overs, settings->n_overs);
    if (!self->diagnostics.errors) {
        check_layers(self);
    }
    if (self->diagnostics.errors) {
        return report(&self->diagnostics, settings->file);
    }
    const char *dir = settings_folder(settings);
    self->folder.shown = dir ? dir : arena_format(&self->arena, "runs/%s-sweep", self->plan.base.name);
    int status = take_folders(self, &code);
    if (!settings->quiet) {
        report(&self->diagnostics, settings->file); /* warnings */
    }
    if (status == 1) {
        return code;
    }
    if (!status) {
        status_init(&self->telemetry, &self->arena, self->folder.path, self->plan.base.name, self->began_ms);
        status = train(self, &outcome);
        began = true;
    }
    if (!status && outcome.finished) {
        struct outcome drawn;
        status = draw(self, &drawn);
        outcome = drawn.finished ? outcome : drawn;
    }
    folder_clear_sockets(&self->folder);
    code = status ? complain(status) : conclude(self, &outcome);
    if (began) {
        tell_end(self, &outcome, status);
    }
    return code;
}

static error_t parse_sweep(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = settings;
        return 0;
    case 'o':
        settings_add(settings, &settings->overs, &settings->n_overs, argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int command_sweep(int argc, char **argv)
{
    static const struct argp_option options[] = {{"over", 'o', "STAGE.PARAMETER=VALUES", 0,
                                                  "what varies: values with commas between (0.1,0.3), or "
                                                  "whole numbers 1..5 or 0..20..5; may be repeated, "
                                                  "then all combinations are run",
                                                  0},
                                                 {0}};
    static const struct argp_child children[] = {{&settings_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        options,
        parse_sweep,
        "PIPELINE.yaml",
        "Run a pipeline for all combinations of some parameters' values, at once: stages above those that "
        "vary "
        "run once and feed all. Ctrl-C stops it, with everything saved; the same command then goes on.\vExit "
        "codes: as loom run; if members failed and the others have finished, that of the first that failed.",
        children,
        NULL,
        NULL};
    struct sweep sweep = {.settings = settings_defaults(&sweep.arena)};
    argp_parse(&argp, argc, argv, 0, NULL, &sweep.settings);
    signal(SIGPIPE, SIG_IGN); /* whoever reads our output may leave: the sweep goes on */
    want_files();
    int code = run_sweep(&sweep);
    for (size_t m = 0; m < sweep.plan.n; m++) {
        journal_close(&sweep.plan.members[m].journal);
        folder_unlock(&sweep.plan.members[m].folder);
    }
    journal_close(&sweep.journal);
    folder_unlock(&sweep.folder);
    arena_fini(&sweep.arena);
    return code;
}

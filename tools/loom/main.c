/* loom: the launcher. Checks and draws pipelines, runs them, and runs single stages by hand.
 *
 * `loom NAME ...` becomes the program loom-NAME, which may be written in any language: that is how a stage is
 * added. Exit codes as in common/error.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "error.h"
#include "programs.h"

struct command {
    const char *name, *arguments, *summary;
    int (*main)(int argc, char **argv); /* NULL: a program of its own, loom-NAME */
};

static int command_help(int argc, char **argv);
static int command_version(int argc, char **argv);

static const struct command commands[] = {
    {"run", "PIPELINE.yaml [options]", "run a pipeline, or go on with it", command_run},
    {"sweep", "PIPELINE.yaml --over STAGE.PARAM=VALUES", "run it for many values at once", command_sweep},
    {"validate", "PIPELINE.yaml [--set ...]", "say everything that is wrong with a pipeline",
     command_validate},
    {"graph", "PIPELINE.yaml [--format dot|mermaid]", "draw a pipeline", command_graph},
    {"tap", "RUN STAGE | ENDPOINT [options]", "read a stream of a running pipeline: array, video, bytes",
     NULL},
    {"view", "RUN [--address ADDRESS:PORT]", "see a run in a browser, live or from its recording", NULL},
    {"export", "FILE --npy|--csv|--png [options]", "a layer or recording for other programs", NULL},
    {"draw", "WHAT FILE|RUN... [-o OUT.png]", "pictures, curves and animations of files", NULL},
    {"check", "FILE...", "verify recordings and layer files", NULL},
    {"check-stage", "[options] COMMAND...", "does a stage of yours speak the protocol?", NULL},
    {"top", "[RUN] [--once [--json]]", "watch a run in a terminal: what limits it", NULL},
    {"list", "", "list the stages that there are", command_list},
    {"inspect", "STAGE [--json]", "show a stage's ports and parameters", command_inspect},
    {"help", "[COMMAND or STAGE]", "this text, or a command's", command_help},
    {"version", "", "print the version", command_version},
};

#define N_COMMANDS (sizeof commands / sizeof *commands)

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static void print_help(FILE *out)
{
    fputs("Usage: loom COMMAND ...\n\nLoom trains sparse and invariant layers on moving pictures, as a "
          "dataflow of "
          "processes.\n\n",
          out);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        fprintf(out, "  loom %-11s %-42s %s\n", commands[i].name, commands[i].arguments, commands[i].summary);
    }
    fputs("  loom STAGE       [options]                                  run one stage by hand\n\n"
          "Begin with:  loom run pipelines/topo.yaml\n",
          out);
}

/* Become the stage's program; returns only if there is none. */
static int become_stage(const char *name, char **argv)
{
    struct arena arena = {0};
    const char *path = name_valid(name) ? program_find(&arena, name) : NULL;
    if (path) {
        argv[0] = arena_format(&arena, "loom-%s", name);
        execv(path, argv);
        perror(path);
        arena_fini(&arena);
        return -LOOM_EIO;
    }
    const char *const *programs;
    size_t n_programs, n = 0;
    programs_list(&arena, &programs, &n_programs);
    const char **names = arena_alloc(&arena, (N_COMMANDS + n_programs) * sizeof *names);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        names[n++] = commands[i].name;
    }
    for (size_t i = 0; i < n_programs; i++) {
        names[n++] = programs[i];
    }
    const char *guess = nearest_word(name, names, n);
    fprintf(stderr, "loom: there is no command and no stage '%.64s'", name);
    if (guess) {
        fprintf(stderr, "; did you mean '%s'?\n", guess);
    } else {
        fputs(" (see: loom help, loom list)\n", stderr);
    }
    arena_fini(&arena);
    return -LOOM_EUSAGE;
}

/* Run a command under the name by which it knows itself in its help: "loom run". */
static int run_command(const struct command *command, int argc, char **argv)
{
    char name[32];
    snprintf(name, sizeof name, "loom %s", command->name);
    argv[0] = name;
    return command->main(argc, argv);
}

static int command_help(int argc, char **argv)
{
    char option[] = "--help";
    char *arguments[] = {argv[0], option, NULL};
    if (argc < 2) {
        print_help(stdout);
        return 0;
    }
    const struct command *command = find_command(argv[1]);
    if (!command || !command->main) {
        return become_stage(argv[1], arguments);
    }
    if (command->main == command_help || command->main == command_version) {
        printf("Usage: loom %s %s\n%s\n", command->name, command->arguments, command->summary);
        return 0;
    }
    return run_command(command, 2, arguments);
}

static int command_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    puts("loom " LOOM_VERSION);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return -LOOM_EUSAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return command_help(1, argv);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        return command_version(1, argv);
    }
    const struct command *command = find_command(argv[1]);
    if (command && command->main) {
        return run_command(command, argc - 1, argv + 1);
    }
    return become_stage(argv[1], argv + 1);
}

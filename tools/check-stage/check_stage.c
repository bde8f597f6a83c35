/* loom check-stage: does a stage, in whatever language, speak the stream protocol (common/PROTOCOL.md)?
 *
 * It starts the stage, reads its stream as good readers do and as bad ones do, kills it and starts it
 * again, and says of each rule whether it is kept; of those that are not what was sent, what came, what
 * the protocol says and how to mend it. A stage that takes a stream is fed a known one.
 *
 * Limits: what a stage computes is not judged, nor how fast. At most --frames frames are looked at, so
 * what goes wrong later is not seen. Stages that only take are not checked. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checks.h"
#include "log.h"
#include "loom/diagnostics.h"
#include "loom/programs.h"
#include "loom/yaml_tree.h"
#include "options.h"

#define FEED_BLOCK 64          /* frames a message of the known stream */
#define SPEC_PATIENCE_MS 10000 /* for a program to print its --spec */
#define APPENDED_MAX 8         /* words that are put behind the command */

struct check_stage {
    char **command; /* as given */
    size_t n;
    enum stream_kind input; /* STREAM_NONE: not given */
    bool json;
    double timeout_s, patience_s;
    uint64_t frames; /* 0: not given */
    struct arena arena;
};

static volatile sig_atomic_t signalled = 0;

static void on_signal(int number)
{
    (void)number;
    signalled = 1;
}

static bool stopped(void)
{
    return signalled != 0;
}

/* ---- the command line ---- */

enum { KEY_INPUT = 0x100, KEY_JSON, KEY_TIMEOUT, KEY_PATIENCE, KEY_FRAMES };

static const struct argp_option options[] = {
    {"input", KEY_INPUT, "frames|codes|activations", 0,
     "what a stage that takes a stream is fed (default: what its --spec says, or frames)", 0},
    {"frames", KEY_FRAMES, "N", 0,
     "look at so many frames at most (default: 1000; of a stage that is fed: 600)", 0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0, "how long an answer may take (default: 5)", 0},
    {"patience", KEY_PATIENCE, "SECONDS", 0, "how long the stage may take to start (default: 20)", 0},
    {"json", KEY_JSON, NULL, 0, "the result as JSON", 0},
    {0},
};

static enum stream_kind parse_kind(const char *text)
{
    for (enum stream_kind kind = STREAM_FRAMES; kind <= STREAM_ACTIVATIONS; kind++) {
        if (strcmp(text, stream_kind_name(kind)) == 0) {
            return kind;
        }
    }
    return STREAM_NONE;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct check_stage *self = state->input;
    switch (key) {
    case KEY_INPUT:
        self->input = parse_kind(argument);
        if (self->input == STREAM_NONE) {
            argp_error(state, "--input is frames, codes or activations, not '%s'", argument);
        }
        return 0;
    case KEY_JSON:
        self->json = true;
        return 0;
    case KEY_TIMEOUT:
        self->timeout_s = option_number(state, "timeout", argument, 0.1, 3600);
        return 0;
    case KEY_PATIENCE:
        self->patience_s = option_number(state, "patience", argument, 0.1, 3600);
        return 0;
    case KEY_FRAMES:
        self->frames = option_whole(state, "frames", argument, 10, 1000000);
        return 0;
    case ARGP_KEY_ARGS: /* the rest is the command, with its own options */
        self->command = state->argv + state->next;
        self->n = (size_t)(state->argc - state->next);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which stage? give the command that starts it, e.g. python3 generator.py {bind}");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- the command ---- */

static bool has_placeholder(const struct check_stage *self, const char *placeholder)
{
    for (size_t i = 0; i < self->n; i++) {
        if (strstr(self->command[i], placeholder) != NULL) {
            return true;
        }
    }
    return false;
}

static bool was_given(const struct check_stage *self, const char *option)
{
    size_t length = strlen(option);
    for (size_t i = 1; i < self->n; i++) {
        if (strncmp(self->command[i], option, length) == 0 &&
            (self->command[i][length] == '\0' || self->command[i][length] == '=')) {
            return true;
        }
    }
    return false;
}

/* The file that a command's first word starts; NULL if there is none. In the arena. */
static const char *find_program(struct check_stage *self)
{
    const char *word = self->command[0];
    if (strchr(word, '/') != NULL) {
        return word;
    }
    if (strncmp(word, "loom-", 5) == 0 && name_valid(word + 5)) {
        return program_find(&self->arena, word + 5);
    }
    const char *path = getenv("PATH");
    for (const char *at = path == NULL ? "" : path; *at != '\0';) {
        int folder = (int)strcspn(at, ":");
        const char *file = arena_format(&self->arena, "%.*s/%s", folder, at, word);
        if (access(file, X_OK) == 0) {
            return file;
        }
        at += folder + (at[folder] == ':');
    }
    return NULL;
}

static bool has_parameter(const struct node *root, const char *name)
{
    const struct node *list = yaml_tree_get(root, "common");
    for (size_t i = 0; list != NULL && list->kind == NODE_LIST && i < list->n; i++) {
        const char *text = yaml_tree_text(list->items[i], "name");
        if (text != NULL && strcmp(text, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Without placeholders: a program that tells its ports when asked, as stages of Loom do, is told its
 * endpoints by options. *spec stays NULL if it is none. */
static int ask_spec(struct check_stage *self, const char *program, const struct node **spec)
{
    struct diagnostics diagnostics = {.arena = &self->arena};
    const char *text = NULL;
    size_t n = 0;
    int status = program_ask(&self->arena, program, "--spec", SPEC_PATIENCE_MS, &text, &n);
    struct node *root = NULL;
    if (status == 0) {
        root = yaml_tree_parse(&self->arena, &diagnostics, (struct place){.source = program}, text, n);
    }
    if (status < 0 || diagnostics.errors > 0 || yaml_tree_get(root, "inputs") == NULL) {
        return error_set(LOOM_EUSAGE,
                         "how shall '%s' know where to serve? Write {bind} in its command, where its "
                         "endpoint belongs, and "
                         "{in} where its input's does: loom check-stage python3 generator.py {bind}",
                         self->command[0]);
    }
    const char *output = yaml_tree_text(root, "output");
    if (output == NULL || parse_kind(output) == STREAM_NONE) {
        return error_set(LOOM_EUSAGE, "'%s' gives no stream, so there is nothing to check", self->command[0]);
    }
    *spec = root;
    return 0;
}

/* The command's words with what is put behind them; *middle: whether it takes a stream. */
static int complete_command(struct check_stage *self, bool *middle)
{
    char **words = arena_alloc(&self->arena, (self->n + 2 * APPENDED_MAX + 1) * sizeof *words);
    const struct node *spec = NULL;
    const char *program = find_program(self);
    memcpy(words, self->command, self->n * sizeof *words); /* the others are NULL */
    self->command = words;
    *middle = has_placeholder(self, "{in}");
    if (program == NULL) {
        return error_set(LOOM_EUSAGE, "there is no program '%s'", self->command[0]);
    }
    if (has_placeholder(self, "{bind}")) {
        return 0;
    }
    int status = ask_spec(self, program, &spec);
    if (status < 0) {
        return status;
    }
    const struct node *kinds = yaml_tree_get(yaml_tree_get(spec, "inputs"), "kinds");
    bool takes = kinds != NULL && kinds->kind == NODE_LIST && kinds->n > 0;
    if (takes && self->input == STREAM_NONE && kinds->items[0]->text != NULL) {
        self->input = parse_kind(kinds->items[0]->text);
    }
    const struct {
        const char *option, *value;
        bool wanted;
    } appended[] = {
        {"--bind", "{bind}", true},
        {"--in", "{in}", takes && !*middle},
        {"--run", "{run}", has_parameter(spec, "run")},
        {"--required", SUBJECT_WHO, has_parameter(spec, "required")},
        {"--checkpoint", "0", takes && has_parameter(spec, "checkpoint")},
    };
    words[0] = arena_copy(&self->arena, program);
    for (size_t i = 0; i < sizeof appended / sizeof *appended; i++) {
        if (appended[i].wanted && !was_given(self, appended[i].option)) {
            words[self->n++] = arena_copy(&self->arena, appended[i].option);
            words[self->n++] = arena_copy(&self->arena, appended[i].value);
        }
    }
    *middle = takes;
    return 0;
}

/* ---- the whole ---- */

static int check(struct subject *subject)
{
    struct answer first;
    answer_init(&first);
    int status = subject_init(subject);
    if (status == 0 && subject->middle) {
        subject_feed(subject, FEED_BLOCK, false);
        status = subject->broken;
    }
    if (status == 0) {
        status = subject_start(subject, true, &first);
    }
    if (status == LOOM_EPEER && subject->middle && child_lives(&subject->child)) {
        subject->feed_end = UINT64_MAX; /* perhaps it waits for its input */
        status = subject_await(subject, &first);
        subject->late = status == 0;
    }
    if (status == 0 && checks_describe(subject, &first) && checks_fetch(subject)) {
        checks_malformed(subject);
        checks_restart(subject);
        checks_end(subject);
    }
    answer_fini(&first);
    return status < 0 ? status : subject->broken;
}

static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int run(struct check_stage *self)
{
    char **given = self->command; /* of main: a NULL is at its end */
    struct report report = {.json = self->json};
    struct subject subject = {.input_kind = self->input,
                              .timeout_ms = (int64_t)(1000 * self->timeout_s),
                              .patience_ms = (int64_t)(1000 * self->patience_s),
                              .stopped = stopped,
                              .report = &report};
    int status = complete_command(self, &subject.middle);
    if (status < 0) {
        return status;
    }
    subject.command = self->command;
    subject.input_kind = self->input == STREAM_NONE ? STREAM_FRAMES : self->input;
    subject.most = self->frames != 0 ? self->frames : subject.middle ? 600 : 1000;
    status = check(&subject);
    char why[1024];
    snprintf(why, sizeof why, "%s", error_message());
    if (status == 0) {
        report_end(&report, given);
    }
    bool failed = report.failed > 0;
    subject_fini(&subject);
    report_fini(&report);
    return status < 0 ? error_set((enum loom_status)status, "%s", why) : failed ? -LOOM_EDATA : 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {options,
                                     parse_option,
                                     "COMMAND...",
                                     "Check whether a stage, in whatever language, speaks the stream "
                                     "protocol (common/PROTOCOL.md), and say what it does "
                                     "wrong and how to mend it."
                                     "\vIn COMMAND, {bind} becomes the endpoint where the stage shall serve, "
                                     "{in} the one where it finds its input, "
                                     "{run} a folder of its own; a stage with --spec, as all of Loom's, gets "
                                     "them as options. It is started and killed "
                                     "several times. For example:\n"
                                     "  loom check-stage python3 generator.py {bind}\n"
                                     "  loom check-stage python3 filter.py --in {in} --bind {bind}\n"
                                     "  loom check-stage loom-skeleton\n\n"
                                     "Exit codes: 0 all is well, 64 bad usage, 65 something is wrong with "
                                     "the stage, 69 it never answered, 130 "
                                     "interrupted.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct check_stage self = {.timeout_s = 5, .patience_s = 20};
    options_parse(&argp, argc, argv, ARGP_IN_ORDER, "check-stage", &self);
    handle_signals();
    int status = run(&self);
    if (status < 0) {
        log_error("%s", error_message());
    }
    arena_fini(&self.arena);
    return status < 0 ? -status : status;
}

/* Commands that look without running: validate, graph, list, inspect. */
#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "commands.h"
#include "graph.h"
#include "log.h"
#include "programs.h"

#define HELP_WIDTH_MIN 30
#define LIST_PATIENCE_MS 3000 /* of `loom list`, which asks whatever is called loom-* */

int report(struct diagnostics *diagnostics, const char *file)
{
    diagnostics_print(diagnostics, stderr);
    if (!diagnostics->errors) {
        return 0;
    }
    fprintf(stderr, "%s: %zu error%s\n", file, diagnostics->errors, diagnostics->errors == 1 ? "" : "s");
    return -LOOM_EUSAGE;
}

int complain(int status)
{
    fputs("loom: ", stderr);
    log_plain_text(stderr, error_message());
    fputc('\n', stderr);
    return -status;
}

/* ---- validate and graph ---- */

struct look {
    struct arena arena;
    const char *file;
    const char **sets;
    size_t n_sets;
    bool graph, mermaid;
};

static const struct argp_option set_options[] = {
    {"set", 's', "STAGE.PARAMETER=VALUE", 0, "change the pipeline; may be repeated", 0},
    {0},
};

static const struct argp_option graph_options[] = {
    {"set", 's', "STAGE.PARAMETER=VALUE", 0, "change the pipeline; may be repeated", 0},
    {"format", 'f', "dot|mermaid", 0, "language of the graph (default: dot)", 0},
    {0},
};

static error_t parse_look(int key, char *argument, struct argp_state *state)
{
    struct look *look = state->input;
    switch (key) {
    case 's':
        look->sets = arena_grow(&look->arena, look->sets, look->n_sets, sizeof *look->sets);
        look->sets[look->n_sets++] = argument;
        return 0;
    case 'f':
        look->mermaid = strcmp(argument, "mermaid") == 0;
        if (!look->mermaid && strcmp(argument, "dot") != 0) {
            argp_error(state, "the format is dot or mermaid, not '%s'", argument);
        }
        return 0;
    case ARGP_KEY_ARG:
        if (look->file) {
            argp_error(state, "one pipeline at a time");
        }
        look->file = argument;
        return 0;
    case ARGP_KEY_END:
        if (!look->file) {
            argp_error(state, "which pipeline? name its file");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int look_at(struct look *look)
{
    struct pipeline pipeline;
    struct diagnostics diagnostics = {.arena = &look->arena};
    pipeline_read(&pipeline, &look->arena, &diagnostics, look->file, look->sets, look->n_sets);
    if (!look->graph) {
        pipeline_check_layers(&pipeline, &diagnostics, true);
    }
    int code = report(&diagnostics, look->file);
    if (!code && look->graph) {
        (look->mermaid ? graph_write_mermaid : graph_write_dot)(&pipeline, stdout);
    } else if (!code) {
        printf("%s: fine: run '%s' of %zu stage%s\n", look->file, pipeline.name, pipeline.n,
               pipeline.n == 1 ? "" : "s");
    }
    arena_fini(&look->arena);
    return code;
}

int command_validate(int argc, char **argv)
{
    static const struct argp argp = {
        set_options,
        parse_look,
        "PIPELINE.yaml",
        "Say everything that is wrong with a pipeline, a line each: file:line:column: what.",
        NULL,
        NULL,
        NULL};
    struct look look = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &look);
    return look_at(&look);
}

int command_graph(int argc, char **argv)
{
    static const struct argp argp = {
        graph_options,
        parse_look,
        "PIPELINE.yaml",
        "Draw a pipeline, for Graphviz (loom graph FILE | dot -Tpng > graph.png) or Mermaid.",
        NULL,
        NULL,
        NULL};
    struct look look = {.graph = true};
    argp_parse(&argp, argc, argv, 0, NULL, &look);
    return look_at(&look);
}

/* ---- list and inspect ---- */

struct inspection {
    const char *stage;
    bool json;
};

static const struct argp_option inspect_options[] = {
    {"json", 'j', NULL, 0, "print the specification as the stage gives it", 0},
    {0},
};

static error_t parse_inspect(int key, char *argument, struct argp_state *state)
{
    struct inspection *inspection = state->input;
    switch (key) {
    case 'j':
        inspection->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (inspection->stage) {
            argp_error(state, "one stage at a time");
        }
        inspection->stage = argument;
        return 0;
    case ARGP_KEY_END:
        if (!inspection->stage) {
            argp_error(state, "which stage? see: loom list");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_nothing(int key, char *argument, struct argp_state *state)
{
    if (key != ARGP_KEY_ARG) {
        return ARGP_ERR_UNKNOWN;
    }
    argp_error(state, "unexpected argument '%s'", argument);
    return 0;
}

int command_list(int argc, char **argv)
{
    static const struct argp argp = {
        NULL, parse_nothing,
        "",   "List the stages that there are: programs loom-NAME beside loom and on PATH.",
        NULL, NULL,
        NULL};
    struct arena arena = {0};
    const char *const *names;
    size_t n;
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    programs_list(&arena, &names, &n);
    const char *others = "";
    for (size_t i = 0; i < n; i++) {
        const struct spec *spec;
        if (spec_load(&spec, &arena, names[i], LIST_PATIENCE_MS) == LOOM_OK && spec) {
            printf("%-12s %s\n", names[i], spec->summary);
        } else {
            others = arena_format(&arena, "%s%-12s %s\n", others, names[i], error_message());
        }
    }
    if (*others) {
        printf("\nNo stages:\n%s", others);
    }
    if (!n) {
        puts("There are no programs loom-NAME beside loom or on PATH.");
    }
    arena_fini(&arena);
    return 0;
}

/* A limit of a number: whole ones in full, as far as a real number holds them exactly. */
static const char *limit(double value, struct arena *arena)
{
    bool whole = fabs(value) <= 0x1p53 && value == trunc(value);
    return arena_format(arena, whole ? "%.0f" : "%.6g", value);
}

/* "1 to 64 units", "true or false", "a, b, c": what a parameter takes. */
static const char *takes(const struct spec_param *param, struct arena *arena)
{
    const char *text = "";
    const char *unit = *param->unit ? arena_format(arena, " %s", param->unit) : "";
    switch (param->type) {
    case SPEC_INTEGER:
    case SPEC_REAL:
    case SPEC_GRID:
        if (isinf(param->min) && isinf(param->max)) {
            return arena_format(arena, "any%s", unit);
        }
        if (isinf(param->max) || param->max > 0x1p53) { /* as good as no limit */
            return arena_format(arena, "from %s%s", limit(param->min, arena), unit);
        }
        return arena_format(arena, "%s to %s%s", limit(param->min, arena), limit(param->max, arena), unit);
    case SPEC_CHOICE:
        for (size_t i = 0; i < param->n_choices; i++) {
            text = arena_format(arena, "%s%s%s", text, i ? ", " : "", param->choices[i]);
        }
        return text;
    case SPEC_BOOLEAN:
        return "true, false";
    default:
        return "";
    }
}

/* Print text from column `indent` on, broken between words at `width`. */
static void print_wrapped(const char *text, size_t indent, size_t width)
{
    for (size_t column = 0; *text;) {
        size_t word = strcspn(text, " ");
        if (column && column + 1 + word > width) {
            printf("\n%*s", (int)indent, "");
            column = 0;
        }
        column += (size_t)printf("%s%.*s", column ? " " : "", (int)word, text);
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static size_t wider(size_t width, const char *text)
{
    return strlen(text) > width ? strlen(text) : width;
}

static void print_params(const struct spec *spec, struct arena *arena, bool common)
{
    static const char *const heads[] = {"parameter", "type", "default", "takes"};
    size_t widths[4], indent = 2;
    struct winsize window = {0};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    for (size_t c = 0; c < 4; c++) {
        widths[c] = strlen(heads[c]);
    }
    const char *(*cells)[4] = arena_alloc(arena, (spec->n_params + 1) * sizeof *cells);
    for (size_t i = 0; i < spec->n_params; i++) {
        const struct spec_param *param = &spec->params[i];
        const char *row[] = {param->name, spec_type_name(param->type),
                             param->required ? "(needed)" : param->fallback, takes(param, arena)};
        memcpy(cells[i], row, sizeof row);
        for (size_t c = 0; c < 4; c++) {
            widths[c] = wider(widths[c], row[c]);
        }
    }
    for (size_t c = 0; c < 4; c++) {
        indent += widths[c] + 2;
    }
    size_t columns = window.ws_col ? window.ws_col : 110;
    size_t room = columns > indent + HELP_WIDTH_MIN ? columns - indent : HELP_WIDTH_MIN;
    for (size_t i = 0, first = 1; i < spec->n_params; i++) {
        if (spec->params[i].common != common) {
            continue;
        }
        if (first) {
            printf("\n%s\n", common ? "Parameters that every stage has" : "Parameters");
        }
        for (size_t head = first; head < 2; head--) { /* the row of heads before the first */
            const char *const *row = head ? heads : cells[i];
            printf("  %-*s  %-*s  %-*s  %-*s  ", (int)widths[0], row[0], (int)widths[1], row[1],
                   (int)widths[2], row[2], (int)widths[3], row[3]);
            print_wrapped(head ? "meaning" : spec->params[i].help, indent, room);
        }
        first = 0;
    }
}

static void print_spec(const struct spec *spec, struct arena *arena)
{
    printf("loom %s  %s\n%s\n\n", spec->stage, spec->version, spec->summary);
    if (!spec->inputs_max) {
        printf("  in      nothing\n");
    } else if (spec->inputs_min == spec->inputs_max) {
        printf("  in      %zu stream%s of %s\n", spec->inputs_min, spec->inputs_min == 1 ? "" : "s",
               spec_kinds_text(spec, arena));
    } else {
        printf("  in      %zu to %zu streams of %s\n", spec->inputs_min, spec->inputs_max,
               spec_kinds_text(spec, arena));
    }
    printf("  out     %s\n", spec->output ? spec->output : "nothing");
    printf("  taps    %s\n", spec->taps ? "looks at those of other stages" : "looks at none");
    print_params(spec, arena, false);
    print_params(spec, arena, true);
}

int command_inspect(int argc, char **argv)
{
    static const struct argp argp = {inspect_options,
                                     parse_inspect,
                                     "STAGE",
                                     "Show what a stage takes and gives, and its parameters.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct inspection inspection = {0};
    struct arena arena = {0};
    const struct spec *spec = NULL;
    argp_parse(&argp, argc, argv, 0, NULL, &inspection);
    int status = name_valid(inspection.stage)
                     ? spec_load(&spec, &arena, inspection.stage, SPEC_PATIENCE_MS)
                     : error_set(LOOM_EUSAGE, "'%.64s' cannot be the name of a stage", inspection.stage);
    if (status == LOOM_EUSAGE) {
        const char *const *names;
        size_t n;
        programs_list(&arena, &names, &n);
        const char *guess = nearest_word(inspection.stage, names, n);
        if (guess) {
            status = error_set(LOOM_EUSAGE, "there is no stage '%.64s'; did you mean '%s'?", inspection.stage,
                               guess);
        }
    }
    if (spec && inspection.json) {
        puts(spec->json);
    } else if (spec) {
        print_spec(spec, &arena);
    }
    arena_fini(&arena);
    return status ? complain(status) : 0;
}

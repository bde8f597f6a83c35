/* See stage_options.h. */
#include "stage_options.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "identity.h"

enum {
    KEY_IN = 0x100,
    KEY_TAP,
    KEY_SPEC,
    KEY_PARAM,
    KEY_ALIAS = 0x1000
}; /* beyond the printable characters: long options only */

#define FIELD(member) offsetof(struct stage_options, member)

static const char *const log_forms[] = {"text", "json", NULL};
static const char *const joins[] = {"auto", "start", "oldest", NULL};

const struct param stage_options_table[] = {
    {"name", PARAM_TEXT, FIELD(name), "", 0, 0, "", "this stage's name in its run; empty: the kind of stage",
     NULL, PARAM_LOCAL},
    {"who", PARAM_TEXT, FIELD(who), "", 0, 0, "",
     "name under which it reads, by which producers know and wait for it; empty: its name if one is given, "
     "else KIND-HASH, unlike that of any stage with a name",
     NULL, PARAM_LOCAL},
    {"run", PARAM_PATH, FIELD(run), "runs/by-hand", 0, 0, "",
     "the run's folder, where layers, checkpoints, recordings and pictures go", NULL, PARAM_LOCAL},
    {"bind", PARAM_TEXT, FIELD(bind), "", 0, 0, "", "endpoint at which others fetch this stage's stream",
     NULL, PARAM_LOCAL},
    {"bind_tap", PARAM_TEXT, FIELD(bind_tap), "", 0, 0, "", "endpoint at which others look at it", NULL,
     PARAM_LOCAL},
    {"required", PARAM_TEXT, FIELD(required), "*", 0, 0, "",
     "names of the readers to wait for, with commas; *: whoever reads, while it is heard; empty: nobody",
     NULL, PARAM_LOCAL},
    {"join", PARAM_CHOICE, FIELD(join), "auto", 0, 0, "",
     "where to begin to read: at the start of the stream, or at the oldest frame still held; auto: that for "
     "record, else the start",
     joins, PARAM_LOCAL},
    {"block", PARAM_INTEGER, FIELD(block), "1024", 1, 1048576, "frames", "frames in one message", NULL,
     PARAM_LOCAL},
    {"ring", PARAM_INTEGER, FIELD(ring_mb), "64", 1, 65536, "MiB",
     "memory for frames that readers may fetch again", NULL, PARAM_LOCAL},
    {"checkpoint", PARAM_REAL, FIELD(checkpoint_s), "5", 0, 86400, "s",
     "time between two checkpoints; 0: after every block", NULL, PARAM_LOCAL},
    {"timeout", PARAM_REAL, FIELD(timeout_s), "1", 0.01, 3600, "s",
     "silence after which a fetch is sent again", NULL, PARAM_LOCAL},
    {"patience", PARAM_REAL, FIELD(patience_s), "30", 0, 1e6, "s",
     "silence after which a peer counts as unavailable; 0: never", NULL, PARAM_LOCAL},
    {"log", PARAM_CHOICE, FIELD(log), "text", 0, 0, "", "form of the log on standard error", log_forms,
     PARAM_LOCAL},
    {"curve_key", PARAM_PATH, FIELD(curve_key), "", 0, 0, "",
     "own certificate with its secret key: encrypts TCP", NULL, PARAM_LOCAL},
    {"curve_peers", PARAM_PATH, FIELD(curve_peers), "", 0, 0, "",
     "folder of admitted certificates (to bind), or the server's certificate (to connect)", NULL,
     PARAM_LOCAL},
    {.name = NULL},
};

/* ---- specification ---- */

static void write_kinds(const struct stage *stage, FILE *out)
{
    const char *comma = "";
    for (int kind = STREAM_FRAMES; kind <= STREAM_ACTIVATIONS; kind++) {
        if ((stage->input_kinds & (1U << kind)) != 0) {
            fprintf(out, "%s\"%s\"", comma, stream_kind_name((enum stream_kind)kind));
            comma = ",";
        }
    }
}

void stage_options_write_spec(const struct stage *stage, FILE *out)
{
    fprintf(out, "{\"stage\":\"%s\",\n \"summary\":", stage->name);
    log_json_string(out, stage->summary);
    fprintf(out, ",\n \"version\":\"%s\",\n \"inputs\":{\"kinds\":[", LOOM_VERSION);
    write_kinds(stage, out);
    fprintf(out, "],\"min\":%zu,\"max\":%zu},\n \"taps\":%s,\n \"output\":", stage->inputs_min,
            stage->inputs_max, stage->taps ? "true" : "false");
    if (stage->output == STREAM_NONE) {
        fputs("null", out);
    } else {
        fprintf(out, "\"%s\"", stream_kind_name(stage->output));
    }
    fputs(",\n \"stdin\":", out);
    fputs(stage->stdin_unless == NULL ? "null" : "[", out);
    for (size_t i = 0; stage->stdin_unless != NULL && stage->stdin_unless[i] != NULL; i++) {
        fprintf(out, "%s\"%s\"", i == 0 ? "" : ",", stage->stdin_unless[i]);
    }
    fputs(stage->stdin_unless == NULL ? "" : "]", out);
    fputs(",\n \"params\":", out);
    params_write_json(stage->params, out);
    fputs(",\n \"common\":", out);
    params_write_json(stage_options_table, out);
    fputs("}\n", out);
}

/* ---- command line ---- */

struct parse {
    const struct stage *stage;
    struct stage_options *options;
    void *fields;
    const struct param **params; /* of the option with key KEY_PARAM + i */
    bool *given;
    size_t n_params;
    enum stage_request request;
};

static int append(char **list, size_t *n, const char *text)
{
    if (*n == STAGE_INPUTS_MAX) {
        return error_set(LOOM_EUSAGE, "more than %d endpoints", STAGE_INPUTS_MAX);
    }
    list[*n] = strdup(text);
    if (list[*n] == NULL) {
        return error_set(LOOM_EINTERNAL, "out of memory for the options");
    }
    (*n)++;
    return 0;
}

static bool is_common(const struct param *param)
{
    for (const struct param *common = stage_options_table; common->name != NULL; common++) {
        if (param == common) {
            return true;
        }
    }
    return false;
}

static size_t count_aliases(const struct stage *stage)
{
    size_t n = 0;
    while (stage->aliases != NULL && stage->aliases[n].param != NULL) {
        n++;
    }
    return n;
}

static int alias_key(const struct stage *stage, size_t i)
{
    return stage->aliases[i].letter != 0 ? stage->aliases[i].letter : KEY_ALIAS + (int)i;
}

/* The parameter that an alias (ARGP_KEY_ARG: an argument without option) means, as its key; else the key
 * itself. */
static int resolve_alias(const struct parse *parse, int key)
{
    for (size_t a = 0; a < count_aliases(parse->stage); a++) {
        const struct stage_alias *alias = &parse->stage->aliases[a];
        bool bare = alias->name != NULL && alias->name[0] == '\0';
        if (key != (bare ? ARGP_KEY_ARG : alias_key(parse->stage, a))) {
            continue;
        }
        for (size_t i = 0; i < parse->n_params; i++) {
            if (strcmp(parse->params[i]->name, alias->param) == 0) {
                return bare && parse->given[i] ? key : KEY_PARAM + (int)i;
            }
        }
    }
    return key;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct parse *parse = state->input;
    int status = 0;
    key = resolve_alias(parse, key);
    if (key == KEY_IN) {
        status = append(parse->options->inputs, &parse->options->n_inputs, argument);
    } else if (key == KEY_TAP) {
        status = append(parse->options->taps, &parse->options->n_taps, argument);
    } else if (key == KEY_SPEC) {
        parse->request = STAGE_SPEC;
    } else if (key >= KEY_PARAM && key < KEY_PARAM + (int)parse->n_params) {
        const struct param *param = parse->params[key - KEY_PARAM];
        parse->given[key - KEY_PARAM] = true;
        status = params_set(param, is_common(param) ? (void *)parse->options : parse->fields, argument);
    } else if (key == ARGP_KEY_ARG) {
        argp_error(state, "'%s' is not an option; parameters are given as --name=value", argument);
    } else {
        return ARGP_ERR_UNKNOWN;
    }
    if (status < 0) {
        argp_failure(state, 64, 0, "%s", error_message());
    }
    return 0;
}

/* The help of an option with its range, unit and default. Owned by the caller; NULL if memory runs out. */
static char *help_text(const struct param *param)
{
    char *text = NULL;
    char range[80] = "";
    if (param->type == PARAM_INTEGER || param->type == PARAM_REAL || param->type == PARAM_GRID) {
        snprintf(range, sizeof range, "; %.6g to %.6g%s%s", param->min, param->max,
                 param->unit[0] == '\0' ? "" : " ", param->unit);
    }
    const char *fallback = param->fallback[0] == '\0' ? "" : param->fallback;
    return asprintf(&text, "%s%s%s%s%s", param->help, range,
                    fallback[0] == '\0' ? "" : " (default: ", fallback, fallback[0] == '\0' ? "" : ")") < 0
               ? NULL
               : text;
}

static const char *value_name(const struct param *param)
{
    static const char *const names[] = {
        [PARAM_INTEGER] = "INTEGER", [PARAM_REAL] = "NUMBER",         [PARAM_BOOLEAN] = "true|false",
        [PARAM_TEXT] = "TEXT",       [PARAM_PATH] = "PATH",           [PARAM_CHOICE] = "CHOICE",
        [PARAM_GRID] = "XxY",        [PARAM_ADDRESS] = "ADDRESS:PORT"};
    return names[param->type];
}

static size_t table_length(const struct param *table)
{
    size_t n = 0;
    while (table != NULL && table[n].name != NULL) {
        n++;
    }
    return n;
}

/* An underscore in a parameter may be written as '-' on the command line. */
static void fold_dashes(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0') {
            for (char *c = argv[i] + 2; *c != '\0' && *c != '='; c++) {
                *c = (char)(*c == '-' ? '_' : *c);
            }
        }
    }
}

static int check_given(const struct parse *parse)
{
    const struct stage *stage = parse->stage;
    for (size_t i = 0; i < parse->n_params; i++) {
        if ((parse->params[i]->flags & PARAM_REQUIRED) != 0 && !parse->given[i]) {
            return error_set(LOOM_EUSAGE, "parameter %s must be given: %s", parse->params[i]->name,
                             parse->params[i]->help);
        }
    }
    size_t n = parse->options->n_inputs;
    if (n < stage->inputs_min || n > stage->inputs_max) {
        return error_set(LOOM_EUSAGE, "%zu inputs given; loom-%s takes %zu to %zu, each as --in ENDPOINT", n,
                         stage->name, stage->inputs_min, stage->inputs_max);
    }
    if (parse->options->n_taps > 0 && !stage->taps) {
        return error_set(LOOM_EUSAGE, "loom-%s does not look at taps; leave out --tap", stage->name);
    }
    return 0;
}

static int parse_with(struct parse *parse, struct argp_option *options, int argc, char **argv)
{
    char doc[512];
    size_t n = 0;
    options[n++] =
        (struct argp_option){"in", KEY_IN, "ENDPOINT", 0, "fetch this stream (may be repeated)", 0};
    options[n++] =
        (struct argp_option){"tap", KEY_TAP, "ENDPOINT", 0, "look at this tap (may be repeated)", 0};
    options[n++] = (struct argp_option){"spec", KEY_SPEC, NULL, 0, "print ports and parameters as JSON", 0};
    for (size_t i = 0; i < parse->n_params; i++) {
        const struct param *param = parse->params[i];
        int group = is_common(param) ? 2 : 1;
        options[n++] = (struct argp_option){param->name, KEY_PARAM + (int)i, value_name(param),
                                            0,           help_text(param),   group};
    }
    const char *bare = NULL;
    for (size_t a = 0; a < count_aliases(parse->stage); a++) {
        const struct stage_alias *alias = &parse->stage->aliases[a];
        if (alias->name != NULL && alias->name[0] == '\0') {
            bare = "[FILE]";
        } else {
            char *help = NULL;
            const char *text = asprintf(&help, "the same as --%s", alias->param) < 0 ? NULL : help;
            int key = alias_key(parse->stage, a);
            options[n++] = (struct argp_option){alias->name, key, "VALUE", 0, text, 1};
        }
    }
    snprintf(doc, sizeof doc,
             "%s\vExit codes: 0 done, 64 bad usage, 65 bad input data, 69 peer unavailable, 70 internal "
             "error, 74 I/O error, 130 interrupted (state saved).",
             parse->stage->summary);
    struct argp argp = {.options = options, .parser = parse_option, .args_doc = bare, .doc = doc};
    argp_err_exit_status = 64;
    argp_program_version = "loom " LOOM_VERSION;
    fold_dashes(argc, argv);
    error_t failed = argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, parse);
    for (size_t i = 3; i < n; i++) {
        free((char *)(uintptr_t)options[i].doc);
    }
    if (failed != 0) {
        return error_set(LOOM_EUSAGE, "the command line cannot be understood: %s", strerror(failed));
    }
    return parse->request == STAGE_SPEC ? 0 : check_given(parse);
}

/* A stage without a name is a guest at somebody's pipeline: it must not be taken for a reader of that,
 * whatever name that has. Started again in the same way it has the same name again. */
static int choose_who(const struct stage *stage, int argc, char **argv, struct stage_options *options)
{
    char text[4096] = "", id[STREAM_ID_BYTES];
    if (options->name[0] != '\0' || options->who[0] != '\0') {
        return 0;
    }
    size_t n = getcwd(text, sizeof text) == NULL ? 0 : strlen(text) + 1;
    for (int i = 1; i < argc && n < sizeof text; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s\n", argv[i]);
    }
    identity_of_bytes(id, text, n < sizeof text ? n : sizeof text);
    snprintf(text, sizeof text, "%s-%.8s", stage->name, id);
    free(options->who);
    options->who = strdup(text);
    return options->who == NULL ? error_set(LOOM_EINTERNAL, "out of memory for the options") : 0;
}

int stage_options_parse(const struct stage *stage, int argc, char **argv, struct stage_options *options,
                        void *fields, enum stage_request *request)
{
    size_t n_own = table_length(stage->params), n_common = table_length(stage_options_table);
    struct parse parse = {.stage = stage, .options = options, .fields = fields, .n_params = n_own + n_common};
    memset(options, 0, sizeof *options);
    int status = params_set_defaults(stage_options_table, options);
    if (status == 0) {
        status = params_set_defaults(stage->params, fields);
    }
    if (status < 0) {
        return status;
    }
    struct argp_option *list = calloc(parse.n_params + count_aliases(stage) + 4, sizeof *list);
    parse.params = calloc(parse.n_params, sizeof *parse.params);
    parse.given = calloc(parse.n_params, sizeof *parse.given);
    if (list == NULL || parse.params == NULL || parse.given == NULL) {
        status = error_set(LOOM_EINTERNAL, "out of memory for the options");
        goto done;
    }
    for (size_t i = 0; i < parse.n_params; i++) {
        parse.params[i] = i < n_own ? &stage->params[i] : &stage_options_table[i - n_own];
    }
    status = parse_with(&parse, list, argc, argv);
    *request = parse.request;
    if (status == 0) {
        status = choose_who(stage, argc, argv, options);
    }
    if (status == 0 && options->name[0] == '\0') {
        status = params_set(&stage_options_table[0], options, stage->name);
    }
done:
    free(list);
    free(parse.params);
    free(parse.given);
    return status;
}

void stage_options_fini(const struct stage *stage, struct stage_options *options, void *fields)
{
    for (size_t i = 0; i < options->n_inputs; i++) {
        free(options->inputs[i]);
    }
    for (size_t i = 0; i < options->n_taps; i++) {
        free(options->taps[i]);
    }
    params_fini(stage_options_table, options);
    params_fini(stage->params, fields);
}

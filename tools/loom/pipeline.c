/* See pipeline.h. */
#include "pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "programs.h"

#define STAGES_MAX 256

/* What reading needs beside the pipeline. */
struct reader {
    struct pipeline *pipeline;
    struct arena *arena;
    struct diagnostics *diagnostics;
    const char *here; /* the user's current folder */
    struct node *root, *stages;
    const char *const *programs; /* names of all loom-* programs, for guesses */
    size_t n_programs;
    bool listed;
};

/* Read the file's bytes: at most one more than a pipeline may have. NULL with an error added. */
static const char *read_bytes(struct reader *self, struct place place, size_t *n)
{
    char *bytes = arena_alloc(self->arena, YAML_TREE_BYTES_MAX + 2);
    int fd = open(place.source, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    *n = 0;
    while (got > 0 && *n <= YAML_TREE_BYTES_MAX) {
        got = read(fd, bytes + *n, YAML_TREE_BYTES_MAX + 1 - *n);
        *n += got > 0 ? (size_t)got : 0;
    }
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (got >= 0) {
        return bytes;
    }
    diagnostics_error(self->diagnostics, place, "cannot be read: %s", strerror(error));
    return NULL;
}

static const char *folder_of(struct arena *arena, const char *file)
{
    char *real = realpath(file, NULL);
    char *slash = real ? strrchr(real, '/') : NULL;
    const char *folder = slash ? arena_copy_n(arena, real, slash == real ? 1 : (size_t)(slash - real)) : "/";
    free(real);
    return folder;
}

const char *path_current(struct arena *arena)
{
    char *here = getcwd(NULL, 0);
    const char *copy = here ? arena_copy(arena, here) : "/";
    free(here);
    return copy;
}

const char *const *pipeline_names(const struct pipeline *self)
{
    const char **names = arena_alloc(self->arena, (self->n + 1) * sizeof *names);
    for (size_t i = 0; i < self->n; i++) {
        names[i] = self->stages[i].name;
    }
    return names;
}

struct entry *pipeline_find(const struct pipeline *self, const char *name)
{
    for (size_t i = 0; i < self->n; i++) {
        if (strcmp(self->stages[i].name, name) == 0) {
            return &self->stages[i];
        }
    }
    return NULL;
}

/* The value of a --set: [a, b] is a list, commas make a list of names, anything else is text as it stands. */
static struct node *set_value(struct reader *self, struct place place, const char *key, const char *text)
{
    size_t length = strlen(text);
    if (*text == '[' && text[length - 1] == ']') { /* [::1]:8090 is none */
        return yaml_tree_parse(self->arena, self->diagnostics, place, text, length);
    }
    if (strcmp(key, "in") != 0 && strcmp(key, "tap") != 0) {
        return yaml_tree_scalar(self->arena, place, text);
    }
    struct node *list = arena_alloc(self->arena, sizeof *list);
    list->kind = NODE_LIST;
    list->place = place;
    for (const char *at = text; *at;) {
        size_t part = strcspn(at, ",");
        list->items = arena_grow(self->arena, list->items, list->n, sizeof *list->items);
        list->items[list->n++] = yaml_tree_scalar(self->arena, place, arena_copy_n(self->arena, at, part));
        at += part + (at[part] == ',');
    }
    return list;
}

/* Lay one --set over the tree. */
static void apply_set(struct reader *self, const char *set, size_t number)
{
    struct place place = {.source = arena_format(self->arena, "--set %.200s", set), .argument = number};
    const char *dot = strchr(set, '.'), *equals = strchr(set, '=');
    if (!dot || !equals || dot > equals || dot == set || equals == dot + 1) {
        diagnostics_error(self->diagnostics, place, "must be STAGE.PARAMETER=VALUE");
        return;
    }
    const char *name = arena_copy_n(self->arena, set, (size_t)(dot - set));
    const char *key = arena_copy_n(self->arena, dot + 1, (size_t)(equals - dot - 1));
    struct node *stage = yaml_tree_get(self->stages, name);
    if (!stage || stage->kind != NODE_MAP) {
        const char **names = NULL;
        size_t n = self->stages ? self->stages->n : 0;
        names = arena_alloc(self->arena, (n + 1) * sizeof *names);
        for (size_t i = 0; i < n; i++) {
            names[i] = self->stages->keys[i]->text;
        }
        if (!stage) {
            diagnostics_guess(self->diagnostics, place, nearest_word(name, names, n),
                              "there is no stage '%.64s' in %s", name, self->pipeline->file);
        }
        return;
    }
    for (size_t i = 0; i < stage->n; i++) { /* '-' counts as '_' */
        const struct spec_param as = {.name = stage->keys[i]->text};
        const struct spec one = {.params = (struct spec_param[]){as}, .n_params = 1};
        if (spec_find(&one, key)) {
            key = stage->keys[i]->text;
        }
    }
    struct node *value = set_value(self, place, key, equals + 1);
    if (value) {
        yaml_tree_set(self->arena, stage, yaml_tree_scalar(self->arena, place, key), value);
    }
}

/* The specification of a kind of stage, asked for once. */
static const struct spec *find_spec(struct reader *self, const struct entry *entry, const struct node *kind)
{
    for (size_t i = 0; i < self->pipeline->n; i++) {
        const struct entry *other = &self->pipeline->stages[i];
        if (other != entry && other->kind && other->spec && strcmp(other->kind, entry->kind) == 0) {
            return other->spec;
        }
    }
    const struct spec *spec = NULL;
    int status =
        name_valid(entry->kind) ? spec_load(&spec, self->arena, entry->kind, SPEC_PATIENCE_MS) : LOOM_EUSAGE;
    if (status == LOOM_OK || entry->from) {
        return spec;
    }
    if (!self->listed) {
        programs_list(self->arena, &self->programs, &self->n_programs);
    }
    self->listed = true;
    if (status == LOOM_EUSAGE) {
        diagnostics_guess(self->diagnostics, kind->place,
                          nearest_word(entry->kind, self->programs, self->n_programs),
                          "unknown stage '%.64s' (there is no program loom-%.64s beside loom or on PATH)",
                          entry->kind, entry->kind);
    } else {
        diagnostics_error(self->diagnostics, kind->place, "not a stage: %s", error_message());
    }
    return NULL;
}

static const char *base_of(const struct reader *self, struct place place)
{
    return place.argument ? self->here : self->pipeline->folder;
}

static void read_link(struct reader *self, struct links *links, const struct node *node)
{
    if (node->kind != NODE_SCALAR || !*node->text) {
        diagnostics_error(self->diagnostics, node->place,
                          "the name of a stage, or an endpoint, is expected here");
        return;
    }
    links->items = arena_grow(self->arena, links->items, links->n, sizeof *links->items);
    struct link *link = &links->items[links->n];
    *link = (struct link){.place = node->place, .text = node->text};
    const char *endpoint = NULL;
    if (strstr(node->text, "://")) {
        endpoint = endpoint_read(node->text, base_of(self, node->place), node->place, self->arena,
                                 self->diagnostics);
    }
    if (endpoint) {
        link->text = endpoint;
    }
    links->n++;
}

static void read_links(struct reader *self, struct links *links, const struct node *node)
{
    links->place = node->place;
    if (node->kind != NODE_LIST) {
        read_link(self, links, node);
    }
    for (size_t i = 0; node->kind == NODE_LIST && i < node->n; i++) {
        read_link(self, links, node->items[i]);
    }
}

static void unknown_parameter(struct reader *self, const struct entry *entry, const struct node *key)
{
    static const char *const own[] = {"stage", "in", "tap", "from"};
    size_t n = 4 + entry->spec->n_params;
    const char **names = arena_alloc(self->arena, n * sizeof *names);
    memcpy(names, own, sizeof own);
    for (size_t i = 0; i < entry->spec->n_params; i++) {
        names[4 + i] = entry->spec->params[i].wiring ? "" : entry->spec->params[i].name;
    }
    diagnostics_guess(self->diagnostics, key->place, nearest_word(key->text, names, n),
                      "'%s' (%s) has no parameter '%.64s'", entry->name, entry->kind, key->text);
}

static void read_parameter(struct reader *self, struct entry *entry, const struct node *key,
                           const struct node *value)
{
    const struct spec_param *param = spec_find(entry->spec, key->text);
    if (!param) {
        unknown_parameter(self, entry, key);
        return;
    }
    if (param->wiring) {
        diagnostics_error(self->diagnostics, key->place, "'%s' is set by the launcher: remove it",
                          param->name);
        return;
    }
    for (size_t i = 0; i < entry->n_settings; i++) {
        if (entry->settings[i].param == param) {
            diagnostics_error(self->diagnostics, key->place, "'%s' is given twice", param->name);
            return;
        }
    }
    entry->settings = arena_grow(self->arena, entry->settings, entry->n_settings, sizeof *entry->settings);
    struct setting *setting = &entry->settings[entry->n_settings++];
    *setting = (struct setting){.param = param, .place = value->place, .text = ""};
    const char *text = value_read(param, value, base_of(self, value->place), self->arena, self->diagnostics);
    if (!text) {
        return;
    }
    setting->text = text;
    if (param->required && !entry->from && !*text) {
        diagnostics_error(self->diagnostics, value->place, "'%s' must be given: %s", param->name,
                          param->help);
    } else if (param->required && !entry->from && param->type == SPEC_PATH && access(text, R_OK) != 0) {
        diagnostics_error(self->diagnostics, value->place, "'%s': %s: %s", param->name, text,
                          strerror(errno));
    }
}

/* Everything in a stage's map, once kind, from and specification are known. */
static void read_settings(struct reader *self, struct entry *entry, const struct node *map)
{
    for (size_t i = 0; i < map->n; i++) {
        const struct node *key = map->keys[i], *value = map->items[i];
        if (strcmp(key->text, "in") == 0) {
            read_links(self, &entry->inputs, value);
        } else if (strcmp(key->text, "tap") == 0) {
            read_links(self, &entry->taps, value);
        } else if (strcmp(key->text, "stage") != 0 && strcmp(key->text, "from") != 0 && entry->spec) {
            read_parameter(self, entry, key, value);
        }
    }
    for (size_t p = 0; entry->spec && !entry->from && p < entry->spec->n_params; p++) {
        const struct spec_param *param = &entry->spec->params[p];
        size_t i = 0;
        while (i < entry->n_settings && entry->settings[i].param != param) {
            i++;
        }
        if (param->required && i == entry->n_settings) {
            diagnostics_error(self->diagnostics, entry->place, "'%s' (%s) needs '%s': %s", entry->name,
                              entry->kind, param->name, param->help);
        }
    }
}

static void read_stage(struct reader *self, struct entry *entry, const struct node *key,
                       const struct node *map)
{
    entry->name = key->text;
    entry->place = key->place;
    if (!name_valid(entry->name)) {
        diagnostics_error(self->diagnostics, key->place,
                          "the name '%.64s' must be 1 to %d of the characters a-z 0-9 _ -", entry->name,
                          NAME_LENGTH_MAX);
    }
    if (map->kind != NODE_MAP) {
        diagnostics_error(self->diagnostics, map->place,
                          "the settings of '%.64s' must be a map: {stage: ...}", entry->name);
        return;
    }
    const struct node *kind = yaml_tree_get(map, "stage"), *from = yaml_tree_get(map, "from");
    if (from && from->kind == NODE_SCALAR && *from->text) {
        entry->from = endpoint_read(from->text, base_of(self, from->place), from->place, self->arena,
                                    self->diagnostics);
    } else if (from && from->kind != NODE_SCALAR) {
        diagnostics_error(self->diagnostics, from->place,
                          "'from' must be an endpoint: ipc://PATH or tcp://HOST:PORT");
    }
    if (!kind || kind->kind != NODE_SCALAR || !*kind->text) {
        diagnostics_error(self->diagnostics, kind ? kind->place : key->place,
                          "'%.64s' needs 'stage': the kind of stage it is (see: loom list)", entry->name);
    } else {
        entry->kind = kind->text;
        entry->spec = find_spec(self, entry, kind);
    }
    read_settings(self, entry, map);
}

static void resolve_links(struct reader *self, struct links *links)
{
    size_t kept = 0;
    for (size_t i = 0; i < links->n; i++) {
        struct link *link = &links->items[i];
        if (!strstr(link->text, "://")) {
            link->stage = pipeline_find(self->pipeline, link->text);
        }
        if (link->stage || strstr(link->text, "://")) {
            links->items[kept++] = *link;
        } else {
            diagnostics_guess(self->diagnostics, link->place,
                              nearest_word(link->text, pipeline_names(self->pipeline), self->pipeline->n),
                              "there is no stage '%.64s' in this pipeline", link->text);
        }
    }
    /* Unknown names are dropped, but the count is kept if nothing is left: one error is enough. */
    if (kept || !links->n) {
        links->n = kept;
    }
}

static void read_top(struct reader *self)
{
    static const char *const known[] = {"name", "stages"};
    for (size_t i = 0; i < self->root->n; i++) {
        const struct node *key = self->root->keys[i];
        if (strcmp(key->text, "name") != 0 && strcmp(key->text, "stages") != 0) {
            diagnostics_guess(self->diagnostics, key->place, nearest_word(key->text, known, 2),
                              "a pipeline has 'name' and 'stages', no '%.64s'", key->text);
        }
    }
    const struct node *name = yaml_tree_get(self->root, "name");
    struct place top = self->root->place;
    if (!name) {
        diagnostics_error(self->diagnostics, top, "'name' is missing: the name of the run");
    } else if (name->kind != NODE_SCALAR || !name_valid(name->text)) {
        diagnostics_error(self->diagnostics, name->place,
                          "'name' must be 1 to %d of the characters a-z 0-9 _ -", NAME_LENGTH_MAX);
    } else {
        self->pipeline->name = name->text;
    }
    self->stages = yaml_tree_get(self->root, "stages");
    if (!self->stages) {
        diagnostics_error(self->diagnostics, top, "'stages' is missing: a map from names to settings");
    } else if (self->stages->kind != NODE_MAP || !self->stages->n || self->stages->n > STAGES_MAX) {
        diagnostics_error(self->diagnostics, self->stages->place,
                          "'stages' must be a map from names to settings, 1 to %d of them", STAGES_MAX);
    }
    if (self->stages && (self->stages->kind != NODE_MAP || self->stages->n > STAGES_MAX)) {
        self->stages = NULL;
    }
}

void pipeline_read(struct pipeline *self, struct arena *arena, struct diagnostics *diagnostics,
                   const char *file, const char *const *sets, size_t n_sets)
{
    struct reader reader = {.pipeline = self, .arena = arena, .diagnostics = diagnostics};
    struct place place = {.source = file};
    size_t n;
    *self = (struct pipeline){.arena = arena, .file = file};
    const char *bytes = read_bytes(&reader, place, &n);
    if (!bytes) {
        return;
    }
    reader.here = path_current(arena);
    self->folder = folder_of(arena, file);
    reader.root = yaml_tree_parse(arena, diagnostics, place, bytes, n);
    if (!reader.root) {
        return;
    }
    if (reader.root->kind != NODE_MAP) {
        diagnostics_error(diagnostics, reader.root->place, "a pipeline is a map with 'name' and 'stages'");
        return;
    }
    read_top(&reader);
    if (!reader.stages) {
        return;
    }
    for (size_t i = 0; i < n_sets; i++) {
        apply_set(&reader, sets[i], i + 1);
    }
    self->stages = arena_alloc(arena, (reader.stages->n + 1) * sizeof *self->stages);
    for (; self->n < reader.stages->n; self->n++) {
        read_stage(&reader, &self->stages[self->n], reader.stages->keys[self->n],
                   reader.stages->items[self->n]);
    }
    for (size_t i = 0; i < self->n; i++) {
        resolve_links(&reader, &self->stages[i].inputs);
        resolve_links(&reader, &self->stages[i].taps);
    }
    pipeline_check_wiring(self, diagnostics);
}

/* Whether the pipeline in `file` can be read and has such a stage. */
static bool has_stage(const struct pipeline *self, const char *file, const char *stage)
{
    struct pipeline other = {0};
    struct diagnostics diagnostics = {.arena = self->arena};
    if (access(file, R_OK) != 0) {
        return false;
    }
    pipeline_read(&other, self->arena, &diagnostics, file, NULL, 0);
    return pipeline_find(&other, stage) != NULL;
}

/* .../NAME/layers/STAGE.h5 is made by the run NAME if its pipeline, beside this one or in its folder, has that
 * stage: say so, and with which file if it lies beside this one. */
static const char *who_makes(const struct pipeline *self, const char *path)
{
    const char *stage = strrchr(path, '/');
    const char *layers = stage ? memrchr(path, '/', (size_t)(stage - path)) : NULL;
    const char *run = layers ? memrchr(path, '/', (size_t)(layers - path)) : NULL;
    if (!run || (size_t)(stage - layers) != strlen("/layers") || strncmp(layers, "/layers", 7) != 0) {
        return "";
    }
    const char *name = arena_copy_n(self->arena, run + 1, (size_t)(layers - run - 1));
    const char *dot = strrchr(stage, '.');
    const char *maker = dot ? arena_copy_n(self->arena, stage + 1, (size_t)(dot - stage - 1)) : stage + 1;
    const char *slash = strrchr(self->file, '/');
    int folder = slash ? (int)(slash - self->file + 1) : 0;
    const char *file = arena_format(self->arena, "%.*s%s.yaml", folder, self->file, name);
    if (has_stage(self, file, maker)) {
        return arena_format(self->arena, "; the run '%s' makes it: loom run %s", name, file);
    }
    file = arena_format(self->arena, "%.*s/pipeline.yaml", (int)(layers - path), path);
    return has_stage(self, file, maker) ? arena_format(self->arena, "; the run '%s' makes it", name) : "";
}

void pipeline_check_layers(const struct pipeline *self, struct diagnostics *diagnostics, bool warning)
{
    for (size_t s = 0; s < self->n; s++) {
        for (size_t i = 0; i < self->stages[s].n_settings && !self->stages[s].from; i++) {
            const struct setting *setting = &self->stages[s].settings[i];
            if (strcmp(setting->param->name, "layer") != 0 || !*setting->text ||
                access(setting->text, F_OK) == 0) {
                continue;
            }
            void (*add)(struct diagnostics *, struct place, const char *, ...) =
                warning ? diagnostics_warning : diagnostics_error;
            add(diagnostics, setting->place, "'layer': there is no file %s%s%s", setting->text,
                warning ? " yet" : "", who_makes(self, setting->text));
        }
    }
}

static void write_links(const struct links *links, const char *key, FILE *out)
{
    if (!links->n) {
        return;
    }
    fprintf(out, "    %s: [", key);
    for (size_t i = 0; i < links->n; i++) {
        fputs(i ? ", " : "", out);
        log_json_string(out, links->items[i].text);
    }
    fputs("]\n", out);
}

void pipeline_write(const struct pipeline *self, FILE *out, bool identity)
{
    fprintf(out, "name: \"%s\"\nstages:\n", self->name);
    for (size_t s = 0; s < self->n; s++) {
        const struct entry *entry = &self->stages[s];
        fprintf(out, "  \"%s\":\n    stage: \"%s\"\n", entry->name, entry->kind);
        if (entry->from) {
            fputs("    from: ", out);
            log_json_string(out, entry->from);
            fputc('\n', out);
        }
        write_links(&entry->inputs, "in", out);
        write_links(&entry->taps, "tap", out);
        for (size_t p = 0; entry->spec && !entry->from && p < entry->spec->n_params; p++) {
            for (size_t i = 0; i < entry->n_settings; i++) {
                const struct setting *setting = &entry->settings[i];
                if (setting->param != &entry->spec->params[p] || (identity && setting->param->local)) {
                    continue;
                }
                fprintf(out, "    %s: ", setting->param->name);
                log_json_string(out, setting->text);
                fputc('\n', out);
            }
        }
    }
}

const char *pipeline_text(const struct pipeline *self, bool identity)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out) {
        return "";
    }
    pipeline_write(self, out, identity);
    fclose(out);
    const char *copy = arena_copy(self->arena, text ? text : "");
    free(text);
    return copy;
}

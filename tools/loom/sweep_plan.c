/* See sweep_plan.h. */
#include "sweep_plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define NAME_BYTES_MAX 120 /* of a member's folder */

/* Texts between commas. */
struct words {
    struct arena *arena;
    const char **items;
    bool *quoted; /* as it stands: no range */
    size_t n;
};

static void words_add(struct words *self, const char *text, size_t length, bool quoted)
{
    self->quoted = arena_grow(self->arena, self->quoted, self->n, sizeof *self->quoted);
    self->items = arena_grow(self->arena, self->items, self->n, sizeof *self->items);
    self->quoted[self->n] = quoted;
    self->items[self->n++] = arena_copy_n(self->arena, text, length);
}

/* Length of the value at the beginning of `text`, up to a comma outside of brackets and quotes; SIZE_MAX if one
 * of those is not closed. */
static size_t value_length(const char *text)
{
    size_t depth = 0, i = 0;
    for (char quote = 0; text[i] != '\0' && (depth > 0 || quote != 0 || text[i] != ','); i++) {
        if (quote != 0) {
            quote = text[i] == quote ? 0 : quote;
        } else if ((text[i] == '"' || text[i] == '\'') && i == 0) {
            quote = text[i];
            const char *end = strchr(text + 1, quote);
            if (end == NULL) {
                return SIZE_MAX;
            }
        } else {
            depth += text[i] == '[';
            depth -= text[i] == ']' && depth > 0;
        }
    }
    return depth > 0 ? SIZE_MAX : i;
}

/* Split VALUES at its commas. false, and an error added, if that cannot be. */
static bool split(struct words *words, const char *text, struct place place, struct diagnostics *diagnostics)
{
    for (const char *at = text;; at++) {
        size_t n = value_length(at);
        bool quoted = n != SIZE_MAX && n >= 2 && (*at == '"' || *at == '\'');
        if (n == SIZE_MAX) {
            diagnostics_error(diagnostics, place, "a bracket or quote is not closed in '%.64s'", at);
            return false;
        }
        if (n == 0) {
            diagnostics_error(diagnostics, place,
                              "a value is missing: give values with commas between, e.g. 0.1,0.3 or 1..5");
            return false;
        }
        words_add(words, at + quoted, n - 2 * quoted, quoted);
        at += n;
        if (*at == '\0') {
            return true;
        }
    }
}

/* Whether it is A..B or A..B..STEP. */
static bool read_range(const char *text, int64_t range[3])
{
    size_t n = 0;
    range[2] = 1;
    for (char *end = NULL; n < 3; text = end + 2) {
        errno = 0;
        range[n++] = strtoll(text, &end, 10);
        if (end == text || errno != 0 || strspn(text, "+-0123456789") < (size_t)(end - text)) {
            return false;
        }
        if (*end == '\0') {
            return n > 1;
        }
        if (strncmp(end, "..", 2) != 0) {
            return false;
        }
    }
    return false;
}

/* The numbers of a range as words; false, and an error added, if there are none or too many. */
static bool expand_range(struct words *words, const int64_t range[3], const char *text, struct place place,
                         struct diagnostics *diagnostics)
{
    const double span = (double)range[1] - (double)range[0], step = (double)range[2];
    if (range[2] == 0 || span / step < 0) {
        diagnostics_error(diagnostics, place, "'%.64s' is empty: FIRST..LAST or FIRST..LAST..STEP", text);
        return false;
    }
    if (span / step >= SWEEP_MEMBERS_MAX) {
        diagnostics_error(diagnostics, place, "'%.64s' has %.0f values; a sweep has at most %d members", text,
                          span / step + 1, SWEEP_MEMBERS_MAX);
        return false;
    }
    for (int64_t i = 0; i <= (int64_t)(span / step); i++) {
        const char *number = arena_format(words->arena, "%" PRId64, range[0] + i * range[2]);
        words_add(words, number, strlen(number), false);
    }
    return true;
}

/* ---- the axes ---- */

struct reader {
    struct plan *plan;
    struct diagnostics *diagnostics;
    const char *here; /* the user's current folder */
};

/* The stage and parameter that STAGE.PARAMETER=VALUES names; NULL, and an error added, if there is none. */
static const char *find_target(const struct reader *self, struct axis *axis, const char *text)
{
    const struct pipeline *base = &self->plan->base;
    struct arena *arena = self->plan->arena;
    const char *dot = strchr(text, '.'), *equals = strchr(text, '=');
    if (dot == NULL || equals == NULL || dot > equals || dot == text || equals == dot + 1) {
        diagnostics_error(self->diagnostics, axis->place, "must be STAGE.PARAMETER=VALUE,VALUE,...");
        return NULL;
    }
    const char *name = arena_copy_n(arena, text, (size_t)(dot - text));
    const char *key = arena_copy_n(arena, dot + 1, (size_t)(equals - dot - 1));
    const struct entry *entry = pipeline_find(base, name);
    if (entry == NULL) {
        diagnostics_guess(self->diagnostics, axis->place, nearest_word(name, pipeline_names(base), base->n),
                          "there is no stage '%.64s' in %s", name, base->file);
        return NULL;
    }
    if (entry->from != NULL) {
        diagnostics_error(self->diagnostics, axis->place, "'%s' is not started here (from: %s)", name,
                          entry->from);
        return NULL;
    }
    const struct spec *spec = entry->spec;
    axis->stage = (size_t)(entry - base->stages);
    axis->param = spec_find(spec, key);
    if (axis->param == NULL || axis->param->wiring) {
        const char **names = arena_alloc(arena, (spec->n_params + 1) * sizeof *names);
        for (size_t i = 0; i < spec->n_params; i++) {
            names[i] = spec->params[i].wiring ? "" : spec->params[i].name;
        }
        diagnostics_guess(self->diagnostics, axis->place, nearest_word(key, names, spec->n_params),
                          "'%s' (%s) has no parameter '%.64s' that could vary", name, entry->kind, key);
        return NULL;
    }
    axis->key = axis->param->name;
    axis->title = arena_format(arena, "%s.%s", name, axis->key);
    return equals + 1;
}

/* A part of a member's name: it is a folder's name too, so anything unusual becomes _. */
static const char *name_part(struct arena *arena, const char *value)
{
    static const char usual[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+-_";
    char *part = arena_copy(arena, value);
    for (char *at = part; *(at += strspn(at, usual)) != '\0';) {
        *at = '_';
    }
    return part;
}

/* Check a value, and add it to the axis. */
static void add_value(const struct reader *self, struct axis *axis, const char *text)
{
    struct arena *arena = self->plan->arena;
    const struct spec_param *param = axis->param;
    const struct node *node = *text == '['
                                  ? yaml_tree_parse(arena, self->diagnostics, axis->place, text, strlen(text))
                                  : yaml_tree_scalar(arena, axis->place, text);
    const char *value = node == NULL ? NULL : value_read(param, node, self->here, arena, self->diagnostics);
    if (value == NULL) {
        return;
    }
    if (param->required && (*value == '\0' || (param->type == SPEC_PATH && access(value, R_OK) != 0))) {
        diagnostics_error(self->diagnostics, axis->place, "'%s': '%s': %s", param->name, value,
                          *value == '\0' ? "is needed" : strerror(errno));
    }
    for (size_t i = 0; i < axis->n; i++) {
        if (strcmp(axis->values[i], value) == 0) {
            diagnostics_error(self->diagnostics, axis->place, "the value %.64s is named twice", value);
            return;
        }
    }
    axis->values = arena_grow(arena, axis->values, axis->n, sizeof *axis->values);
    axis->parts = arena_grow(arena, axis->parts, axis->n, sizeof *axis->parts);
    axis->values[axis->n] = value;
    axis->parts[axis->n++] = name_part(arena, param->type == SPEC_PATH ? text : value);
}

/* A --set of what varies would have no effect: it is a mistake. */
static void check_not_set(const struct reader *self, const struct axis *axis)
{
    const struct entry *entry = &self->plan->base.stages[axis->stage];
    for (size_t i = 0; i < entry->n_settings; i++) {
        const struct setting *setting = &entry->settings[i];
        if (setting->param == axis->param && setting->place.argument > 0) {
            diagnostics_error(self->diagnostics, axis->place, "%s is set already (%s): leave one of them out",
                              axis->title, setting->place.source);
        }
    }
}

static void read_axis(const struct reader *self, const char *text, size_t number)
{
    struct plan *plan = self->plan;
    struct axis axis = {
        .place = {.source = arena_format(plan->arena, "--over %.200s", text), .argument = number}};
    struct words words = {.arena = plan->arena}, values = {.arena = plan->arena};
    const char *list = find_target(self, &axis, text);
    if (list == NULL || !split(&words, list, axis.place, self->diagnostics)) {
        return;
    }
    for (size_t i = 0; i < words.n; i++) {
        int64_t range[3];
        bool is_range = !words.quoted[i] && read_range(words.items[i], range);
        if (!is_range) {
            words_add(&values, words.items[i], strlen(words.items[i]), false);
        } else if (!expand_range(&values, range, words.items[i], axis.place, self->diagnostics)) {
            return;
        }
    }
    for (size_t i = 0; i < values.n; i++) {
        add_value(self, &axis, values.items[i]);
    }
    check_not_set(self, &axis);
    for (size_t i = 0; i < plan->n_axes; i++) {
        struct axis *other = &plan->axes[i];
        if (strcmp(other->title, axis.title) == 0) {
            diagnostics_error(self->diagnostics, axis.place, "%s varies already (%s)", axis.title,
                              other->place.source);
        } else if (strcmp(other->param->name, axis.param->name) == 0) {
            other->key = other->title;
            axis.key = axis.title;
        }
    }
    plan->axes = arena_grow(plan->arena, plan->axes, plan->n_axes, sizeof *plan->axes);
    plan->axes[plan->n_axes++] = axis;
}

/* ---- who is shared ---- */

static bool reaches(const struct plan *self, const struct links *links)
{
    for (size_t i = 0; i < links->n; i++) {
        const struct entry *giver = links->items[i].stage;
        if (giver != NULL && self->sharing[giver - self->base.stages] != SHARED) {
            return true;
        }
    }
    return false;
}

/* Whether one of the links leads to a shared stage that has a layer to look at. */
static bool shows_layers(const struct plan *self, const struct links *links)
{
    for (size_t i = 0; i < links->n; i++) {
        const struct entry *giver = links->items[i].stage;
        if (giver != NULL && self->sharing[giver - self->base.stages] == SHARED &&
            spec_find(giver->spec, "layer") != NULL) {
            return true;
        }
    }
    return false;
}

static size_t count_shared(const struct plan *self, const struct links *links)
{
    size_t n = 0;
    for (size_t i = 0; i < links->n; i++) {
        const struct entry *giver = links->items[i].stage;
        n += giver == NULL || self->sharing[giver - self->base.stages] == SHARED;
    }
    return n;
}

/* A replicated stage that only listens, and to shared ones too, need not do that once a member. */
static bool can_split(const struct plan *self, const struct entry *entry)
{
    size_t n = entry->inputs.n, shared = count_shared(self, &entry->inputs);
    if (entry->spec->output != NULL) {
        return false;
    }
    if (entry_only_looks(entry)) {
        return shows_layers(self, &entry->taps);
    }
    return entry->taps.n == 0 && shared > 0 && shared >= entry->spec->inputs_min &&
           n - shared >= entry->spec->inputs_min;
}

static void settle_sharing(struct plan *self)
{
    const struct pipeline *base = &self->base;
    bool changed = true;
    self->sharing = arena_alloc(self->arena, (base->n + 1) * sizeof *self->sharing);
    for (size_t i = 0; i < self->n_axes; i++) {
        self->sharing[self->axes[i].stage] = REPLICATED;
    }
    while (changed) {
        changed = false;
        for (size_t s = 0; s < base->n; s++) {
            const struct entry *entry = &base->stages[s];
            if (self->sharing[s] == SHARED &&
                (reaches(self, &entry->inputs) || reaches(self, &entry->taps))) {
                self->sharing[s] = can_split(self, entry) ? SPLIT : REPLICATED;
                changed = true;
            }
        }
    }
    for (size_t s = 0; s < base->n; s++) { /* again: what it listens to may have been replicated later */
        if (self->sharing[s] == SPLIT && !can_split(self, &base->stages[s])) {
            self->sharing[s] = REPLICATED;
        }
    }
}

/* There is one standard input: one stage can read it, not one a member. */
static void check_stdin(const struct plan *self, struct diagnostics *diagnostics)
{
    for (size_t a = 0; a < self->n_axes; a++) {
        const struct entry *entry = &self->base.stages[self->axes[a].stage];
        if (entry_reads_stdin(entry)) {
            diagnostics_error(
                diagnostics, self->axes[a].place,
                "'%s' reads standard input, which cannot be given to every member: let it read a file",
                entry->name);
        }
    }
}

bool plan_replicates(const struct plan *self, size_t stage)
{
    return self->sharing[stage] != SHARED;
}

/* ---- the members ---- */

static void name_member(struct plan *self, struct member *member)
{
    const char *name = "";
    for (size_t a = 0; a < self->n_axes; a++) {
        const struct axis *axis = &self->axes[a];
        name = arena_format(self->arena, "%s%s%s=%s", name, a > 0 ? "," : "", axis->key,
                            axis->parts[member->which[a]]);
    }
    bool usable = strlen(name) <= NAME_BYTES_MAX;
    for (const struct member *other = self->members; other < member; other++) {
        usable = usable && strcmp(other->name, name) != 0;
    }
    member->name = usable ? name : arena_format(self->arena, "member-%zu", member->number);
}

/* The cartesian product, the last axis varying quickest. */
static void make_members(struct plan *self, struct diagnostics *diagnostics)
{
    size_t n = 1;
    for (size_t a = 0; a < self->n_axes; a++) {
        n *= self->axes[a].n; /* each at most as many as members may be: no overflow in sight */
        if (n > SWEEP_MEMBERS_MAX) {
            diagnostics_error(diagnostics, self->axes[a].place,
                              "that makes %zu members%s; a sweep has at most %d: split it", n,
                              a + 1 < self->n_axes ? " and more" : "", SWEEP_MEMBERS_MAX);
            return;
        }
    }
    self->members = arena_alloc(self->arena, (n + 1) * sizeof *self->members);
    for (self->n = 0; self->n < n; self->n++) {
        struct member *member = &self->members[self->n];
        size_t *which = arena_alloc(self->arena, (self->n_axes + 1) * sizeof *which);
        size_t rest = self->n;
        for (size_t a = self->n_axes; a-- > 0; rest /= self->axes[a].n) {
            which[a] = rest % self->axes[a].n;
        }
        *member = (struct member){.number = self->n + 1, .which = which, .folder = {.lock = -1}};
        name_member(self, member);
    }
}

/* Give a stage of a member's pipeline a parameter of its own. */
static void put_setting(struct arena *arena, struct entry *entry, const struct axis *axis, const char *value)
{
    struct setting *settings = NULL;
    size_t n = 0;
    for (size_t i = 0; i < entry->n_settings; i++) {
        if (entry->settings[i].param != axis->param) {
            settings = arena_grow(arena, settings, n, sizeof *settings);
            settings[n++] = entry->settings[i];
        }
    }
    settings = arena_grow(arena, settings, n, sizeof *settings);
    settings[n++] = (struct setting){.param = axis->param, .place = axis->place, .text = value};
    entry->settings = settings;
    entry->n_settings = n;
}

void plan_expand(struct plan *self)
{
    const struct pipeline *base = &self->base;
    for (size_t m = 0; m < self->n; m++) {
        struct member *member = &self->members[m];
        member->pipeline = *base;
        member->pipeline.stages = arena_alloc(self->arena, (base->n + 1) * sizeof *base->stages);
        memcpy(member->pipeline.stages, base->stages, base->n * sizeof *base->stages);
        for (size_t a = 0; a < self->n_axes; a++) {
            const struct axis *axis = &self->axes[a];
            put_setting(self->arena, &member->pipeline.stages[axis->stage], axis,
                        axis->values[member->which[a]]);
        }
    }
}

void plan_read(struct plan *self, struct arena *arena, struct diagnostics *diagnostics, const char *file,
               const char *const *sets, size_t n_sets, const char *const *overs, size_t n_overs)
{
    *self = (struct plan){.arena = arena};
    struct reader reader = {.plan = self, .diagnostics = diagnostics, .here = path_current(arena)};
    pipeline_read(&self->base, arena, diagnostics, file, sets, n_sets);
    if (diagnostics->errors > 0) {
        return;
    }
    if (n_overs == 0) {
        struct place place = {.source = file};
        diagnostics_error(diagnostics, place,
                          "nothing varies: give --over STAGE.PARAMETER=VALUE,VALUE,... (or use loom run)");
    }
    for (size_t i = 0; i < n_overs; i++) {
        read_axis(&reader, overs[i], n_sets + i + 1);
    }
    if (diagnostics->errors == 0) {
        settle_sharing(self);
        check_stdin(self, diagnostics);
        make_members(self, diagnostics);
        plan_expand(self);
    }
}

const char *plan_over(const struct plan *self)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (out == NULL) {
        return "";
    }
    fputs("# Written by loom sweep: what varies over pipeline.yaml. Every member has a folder of its own.\n",
          out);
    for (size_t a = 0; a < self->n_axes; a++) {
        fprintf(out, "%s: [", self->axes[a].title);
        for (size_t i = 0; i < self->axes[a].n; i++) {
            fputs(i > 0 ? ", " : "", out);
            log_json_string(out, self->axes[a].values[i]);
        }
        fputs("]\n", out);
    }
    fclose(out);
    const char *copy = arena_copy(self->arena, text != NULL ? text : "");
    free(text);
    return copy;
}

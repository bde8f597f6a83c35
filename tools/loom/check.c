/* The wiring of a pipeline: whether every stage gets what it takes, from stages that give it. See pipeline.h.
 */
#include <string.h>

#include "pipeline.h"

bool entry_only_looks(const struct entry *entry)
{
    return entry->spec && entry->spec->taps && !entry->spec->output && !entry->inputs.n;
}

bool entry_reads_stdin(const struct entry *entry)
{
    const struct spec *spec = entry->spec;
    bool reads = spec && spec->reads_stdin && !entry->from;
    for (size_t i = 0; reads && i < spec->n_stdin_unless; i++) {
        for (size_t s = 0; s < entry->n_settings; s++) {
            const struct setting *setting = &entry->settings[s];
            bool named = strcmp(setting->param->name, spec->stdin_unless[i]) == 0;
            reads &= !named || !*setting->text || strcmp(setting->text, "-") == 0;
        }
    }
    return reads;
}

/* There is one standard input. */
static void check_stdin(const struct pipeline *self, struct diagnostics *diagnostics)
{
    const struct entry *reader = NULL;
    for (size_t s = 0; s < self->n; s++) {
        const struct entry *entry = &self->stages[s];
        if (reader && entry_reads_stdin(entry)) {
            diagnostics_error(diagnostics, entry->place,
                              "'%s' (%s) would read standard input, which '%s' reads already: give it %s%s",
                              entry->name, entry->kind, reader->name,
                              entry->spec->n_stdin_unless > 1 ? "one of its other inputs, such as " : "",
                              entry->spec->n_stdin_unless > 0 ? entry->spec->stdin_unless[0]
                                                              : "another input");
        } else if (entry_reads_stdin(entry)) {
            reader = entry;
        }
    }
}

/* How many inputs the stage has, and whether it looks at taps. */
static void check_counts(const struct pipeline *self, const struct entry *entry,
                         struct diagnostics *diagnostics)
{
    const struct spec *spec = entry->spec;
    size_t n = entry->inputs.n, min = spec->inputs_min, max = spec->inputs_max;
    struct place place = n ? entry->inputs.place : entry->place;
    if (n > 0 && max == 0) {
        diagnostics_error(diagnostics, place, "'%s' (%s) takes no input: remove 'in'", entry->name,
                          entry->kind);
    } else if (n == 0 && min > 0) {
        diagnostics_error(diagnostics, place,
                          "'%s' (%s) needs an input: in: the name of a stage that gives %s", entry->name,
                          entry->kind, spec_kinds_text(spec, self->arena));
    } else if (n < min || n > max) {
        diagnostics_error(diagnostics, place, "'%s' (%s) takes %zu to %zu inputs, not %zu", entry->name,
                          entry->kind, min, max, n);
    }
    if (entry->taps.n > 0 && !spec->taps) {
        diagnostics_error(diagnostics, entry->taps.place, "'%s' (%s) looks at no taps: remove 'tap'",
                          entry->name, entry->kind);
    }
    if (!entry->taps.n && entry_only_looks(entry)) {
        diagnostics_error(diagnostics, entry->place, "'%s' (%s) has nothing to look at: tap: names of stages",
                          entry->name, entry->kind);
    }
}

static void check_link(const struct pipeline *self, const struct entry *entry, const struct links *links,
                       size_t i, bool tap, struct diagnostics *diagnostics)
{
    const struct link *link = &links->items[i];
    const struct entry *giver = link->stage;
    for (size_t j = 0; j < i; j++) {
        if (strcmp(links->items[j].text, link->text) == 0) {
            diagnostics_error(diagnostics, link->place, "'%s' is named twice", link->text);
            return;
        }
    }
    if (!giver) {
        return;
    }
    if (giver == entry) {
        diagnostics_error(diagnostics, link->place, "'%s' cannot %s itself", entry->name,
                          tap ? "tap" : "read");
        return;
    }
    if (!giver->spec) {
        return;
    }
    if (!giver->spec->output) {
        diagnostics_error(diagnostics, link->place, "'%s' (%s) gives no stream to %s", giver->name,
                          giver->kind, tap ? "look at" : "read");
    } else if (!tap && entry->spec && entry->spec->inputs_max && strcmp(giver->spec->output, "any") != 0 &&
               !spec_accepts(entry->spec, giver->spec->output)) {
        diagnostics_error(diagnostics, link->place, "'%s' (%s) takes %s, but '%s' (%s) gives %s", entry->name,
                          entry->kind, spec_kinds_text(entry->spec, self->arena), giver->name, giver->kind,
                          giver->spec->output);
    }
}

enum { WHITE, GREY, BLACK }; /* not seen, on the way, done */

/* Go upstream; where a stage on the way is met again there is a circle: say it once, at that link. */
static void check_circles(const struct pipeline *self, struct entry *entry, struct diagnostics *diagnostics)
{
    entry->colour = GREY;
    for (size_t i = 0; i < entry->inputs.n; i++) {
        const struct link *link = &entry->inputs.items[i];
        if (!link->stage || link->stage == entry || link->stage->colour == BLACK ||
            (link->stage->spec && !link->stage->spec->output)) {
            continue;
        }
        if (link->stage->colour == GREY) {
            diagnostics_error(diagnostics, link->place,
                              "a circle: '%s' reads '%s', which reads '%s' in the end", entry->name,
                              link->text, entry->name);
        } else {
            check_circles(self, link->stage, diagnostics);
        }
    }
    entry->colour = BLACK;
}

/* A stage with `from` is not started: nothing reaches it, and only its stream can be read, not its tap. */
static void cut_outside(struct pipeline *self, struct diagnostics *diagnostics)
{
    for (size_t s = 0; s < self->n; s++) {
        struct entry *entry = &self->stages[s];
        if (entry->from) {
            entry->inputs.n = entry->taps.n = 0;
        }
        size_t kept = 0;
        for (size_t i = 0; i < entry->taps.n; i++) {
            const struct link *link = &entry->taps.items[i];
            if (link->stage && link->stage->from) {
                diagnostics_warning(
                    diagnostics, link->place,
                    "'%s' comes from outside (from: %s), without a tap: '%s' does not show it", link->text,
                    link->stage->from, entry->name);
            } else {
                entry->taps.items[kept++] = *link;
            }
        }
        entry->taps.n = kept;
    }
}

void pipeline_check_wiring(struct pipeline *self, struct diagnostics *diagnostics)
{
    for (size_t s = 0; s < self->n; s++) {
        struct entry *entry = &self->stages[s];
        if (entry->spec && !entry->from) {
            check_counts(self, entry, diagnostics);
        }
        for (size_t i = 0; i < entry->inputs.n; i++) {
            check_link(self, entry, &entry->inputs, i, false, diagnostics);
        }
        for (size_t i = 0; i < entry->taps.n; i++) {
            check_link(self, entry, &entry->taps, i, true, diagnostics);
        }
    }
    cut_outside(self, diagnostics);
    check_stdin(self, diagnostics);
    for (size_t s = 0; s < self->n; s++) {
        if (self->stages[s].colour == WHITE) {
            check_circles(self, &self->stages[s], diagnostics);
        }
    }
}

/* See graph.h. Endpoints may contain characters that both languages take as their own: those are escaped. */
#include "graph.h"

#include <string.h>

/* Text inside double quotes of dot. */
static void write_dot_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
}

/* Text inside double quotes of Mermaid, which knows entities but no backslash. */
static void write_mermaid_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("\"<>&#", *text)) {
            fprintf(out, "#%d;", *text);
        } else {
            fputc(*text, out);
        }
    }
}

static const char *kind_of(const struct entry *entry)
{
    return entry->spec && entry->spec->output ? entry->spec->output : "";
}

static void write_dot_links(FILE *out, const struct entry *entry, const struct links *links, bool tap)
{
    for (size_t i = 0; i < links->n; i++) {
        const struct link *link = &links->items[i];
        fputs("  \"", out);
        write_dot_text(out, link->text);
        fprintf(out, "\" -> \"%s\"", entry->name);
        if (tap) {
            fputs(" [style=dashed]", out);
        } else if (link->stage && *kind_of(link->stage)) {
            fprintf(out, " [label=\"%s\"]", kind_of(link->stage));
        }
        fputs(";\n", out);
    }
}

void graph_write_dot(const struct pipeline *pipeline, FILE *out)
{
    fprintf(out, "digraph \"%s\" {\n  rankdir=LR;\n  node [shape=box];\n", pipeline->name);
    for (size_t i = 0; i < pipeline->n; i++) {
        const struct entry *entry = &pipeline->stages[i];
        fprintf(out, "  \"%s\" [label=\"%s\\n", entry->name, entry->name);
        write_dot_text(out, entry->from ? entry->from : entry->kind);
        fprintf(out, "\"%s];\n", entry->from ? ", style=dashed" : "");
    }
    for (size_t i = 0; i < pipeline->n; i++) {
        write_dot_links(out, &pipeline->stages[i], &pipeline->stages[i].inputs, false);
        write_dot_links(out, &pipeline->stages[i], &pipeline->stages[i].taps, true);
    }
    fputs("}\n", out);
}

/* Mermaid's identifiers are numbered: a stage may be called `end`, which Mermaid keeps for itself. */
static void write_mermaid_links(const struct pipeline *pipeline, FILE *out, size_t to,
                                const struct links *links, bool tap)
{
    for (size_t i = 0; i < links->n; i++) {
        const struct link *link = &links->items[i];
        if (link->stage) {
            fprintf(out, "  s%td", link->stage - pipeline->stages);
        } else {
            fprintf(out, "  e%zu_%zu_%d([\"", to, i, tap);
            write_mermaid_text(out, link->text);
            fputs("\"])", out);
        }
        if (!tap && link->stage && *kind_of(link->stage)) {
            fprintf(out, " -->|%s| s%zu\n", kind_of(link->stage), to);
        } else {
            fprintf(out, " %s s%zu\n", tap ? "-.->" : "-->", to);
        }
    }
}

void graph_write_mermaid(const struct pipeline *pipeline, FILE *out)
{
    fputs("flowchart LR\n", out);
    for (size_t i = 0; i < pipeline->n; i++) {
        const struct entry *entry = &pipeline->stages[i];
        fprintf(out, "  s%zu[\"%s<br/>", i, entry->name);
        write_mermaid_text(out, entry->from ? entry->from : entry->kind);
        fputs("\"]\n", out);
    }
    for (size_t i = 0; i < pipeline->n; i++) {
        write_mermaid_links(pipeline, out, i, &pipeline->stages[i].inputs, false);
        write_mermaid_links(pipeline, out, i, &pipeline->stages[i].taps, true);
    }
}

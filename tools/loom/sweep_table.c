/* See sweep_table.h. */
#include "sweep_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 132 /* characters of a table */

/* A column of metrics: STAGE.METRIC. */
struct column {
    const char *title;
    double *values; /* of every member; NAN: none */
};

struct table {
    const struct plan *plan;
    struct arena *arena;
    struct column *columns;
    size_t n;
};

static struct column *find_column(struct table *self, const char *title)
{
    for (size_t i = 0; i < self->n; i++) {
        if (strcmp(self->columns[i].title, title) == 0) {
            return &self->columns[i];
        }
    }
    self->columns = arena_grow(self->arena, self->columns, self->n, sizeof *self->columns);
    struct column *column = &self->columns[self->n++];
    *column = (struct column){.title = title};
    column->values = arena_alloc(self->arena, (self->plan->n + 1) * sizeof *column->values);
    for (size_t m = 0; m < self->plan->n; m++) {
        column->values[m] = NAN;
    }
    return column;
}

/* Take the passes that a member's journal tells; later ones replace earlier ones. */
static void read_metrics(struct table *self, const struct member *member)
{
    FILE *file = fopen(arena_format(self->arena, "%s/metrics.jsonl", member->folder.path), "re");
    char *line = NULL;
    size_t size = 0;
    while (file != NULL && getline(&line, &size, file) > 0) {
        struct arena scratch = {0};
        struct event event;
        event_parse(&event, &scratch, "", line);
        for (size_t i = 0; event.kind == EVENT_PASS && i < event.n_metrics; i++) {
            const char *title = arena_format(self->arena, "%s.%s", event.stage, event.metrics[i].name);
            find_column(self, title)->values[member->number - 1] = event.metrics[i].value;
        }
        arena_fini(&scratch);
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
}

struct table *table_new(const struct plan *plan)
{
    struct table *self = arena_alloc(plan->arena, sizeof *self);
    *self = (struct table){.plan = plan, .arena = plan->arena};
    for (size_t m = 0; m < plan->n; m++) {
        read_metrics(self, &plan->members[m]);
    }
    return self;
}

/* The cells of a row; `full`: with all digits, and why a member failed. */
struct cells {
    struct arena *arena;
    const char **items;
    size_t n;
};

static void add(struct cells *self, const char *text)
{
    self->items = arena_grow(self->arena, self->items, self->n, sizeof *self->items);
    self->items[self->n++] = text;
}

static void add_number(struct cells *self, const char *format, double value)
{
    char text[64] = "";
    if (isfinite(value)) {
        snprintf(text, sizeof text, format, value); // NOLINT(clang-diagnostic-format-nonliteral): ours
    }
    add(self, arena_copy(self->arena, text));
}

static struct cells titles(const struct table *self, bool full)
{
    struct cells cells = {.arena = self->arena};
    add(&cells, "member");
    for (size_t a = 0; a < self->plan->n_axes; a++) {
        add(&cells, self->plan->axes[a].title);
    }
    for (size_t i = 0; i < self->n; i++) {
        add(&cells, self->columns[i].title);
    }
    add(&cells, "seconds");
    add(&cells, "frames_per_s");
    add(&cells, "state");
    if (full) {
        add(&cells, "why");
    }
    return cells;
}

static struct cells row(const struct table *self, const struct member *member, bool full)
{
    struct cells cells = {.arena = self->arena};
    add(&cells, member->name);
    for (size_t a = 0; a < self->plan->n_axes; a++) {
        add(&cells, self->plan->axes[a].values[member->which[a]]);
    }
    for (size_t i = 0; i < self->n; i++) {
        double value = self->columns[i].values[member->number - 1];
        if (full) {
            add_number(&cells, "%.9g", value);
        } else {
            add_number(&cells, "%.4g", value);
        }
    }
    add_number(&cells, "%.1f", member->seconds > 0 ? member->seconds : NAN);
    add_number(&cells, "%.0f", member->frames > 0 ? member->frames / member->seconds : NAN);
    add(&cells, member->why == NULL ? "done" : "failed");
    if (full) {
        add(&cells, member->why == NULL ? "" : member->why);
    }
    return cells;
}

static void write_csv_row(const struct cells *cells, FILE *out)
{
    for (size_t i = 0; i < cells->n; i++) {
        const char *text = cells->items[i];
        fputs(i > 0 ? "," : "", out);
        if (text[strcspn(text, ",\"\n")] == '\0') {
            fputs(text, out);
            continue;
        }
        fputc('"', out);
        for (; *text != '\0'; text++) {
            fputs(*text == '"' ? "\"\"" : (const char[]){*text, '\0'}, out);
        }
        fputc('"', out);
    }
    fputc('\n', out);
}

void table_write_csv(const struct table *self, FILE *out)
{
    struct cells cells = titles(self, true);
    write_csv_row(&cells, out);
    for (size_t m = 0; m < self->plan->n; m++) {
        cells = row(self, &self->plan->members[m], true);
        write_csv_row(&cells, out);
    }
}

static void write_cell(const char *text, int width, FILE *out)
{
    fputs("| ", out);
    for (; *text != '\0'; text++, width--) {
        fputc(*text == '|' ? '/' : *text, out); /* a bar would end the cell */
    }
    fprintf(out, "%*s ", width, "");
}

static void write_dashes(int width, FILE *out)
{
    fputs("|", out);
    for (int dash = 0; dash < width + 2; dash++) {
        fputc('-', out);
    }
}

/* Of n rows, the first of them titles: column 0, and columns `first` to before `end`. */
static void write_columns(const struct cells *rows, size_t n, const int *widths, size_t first, size_t end,
                          FILE *out)
{
    for (size_t r = 0; r < n; r++) {
        write_cell(rows[r].items[0], widths[0], out);
        for (size_t i = first; i < end; i++) {
            write_cell(rows[r].items[i], widths[i], out);
        }
        fputs("|\n", out);
        if (r > 0) {
            continue;
        }
        write_dashes(widths[0], out);
        for (size_t i = first; i < end; i++) {
            write_dashes(widths[i], out);
        }
        fputs("|\n", out);
    }
}

/* As many columns side by side as are read on a screen; the others in tables below, with the members again. */
static void write_tables(const struct cells *rows, size_t n, const int *widths, FILE *out)
{
    for (size_t first = 1, end = 1; first < rows[0].n; first = end) {
        int width = widths[0] + 3;
        while (end < rows[0].n && (end == first || width + widths[end] + 3 < WIDTH)) {
            width += widths[end++] + 3;
        }
        fputs(first > 1 ? "\n" : "", out);
        write_columns(rows, n, widths, first, end, out);
    }
}

void table_write_markdown(const struct table *self, FILE *out)
{
    size_t n = self->plan->n + 1;
    struct cells *rows = arena_alloc(self->arena, n * sizeof *rows);
    rows[0] = titles(self, false);
    for (size_t m = 1; m < n; m++) {
        rows[m] = row(self, &self->plan->members[m - 1], false);
    }
    int *widths = arena_alloc(self->arena, rows[0].n * sizeof *widths);
    for (size_t r = 0; r < n; r++) {
        for (size_t i = 0; i < rows[0].n; i++) {
            int width = (int)strlen(rows[r].items[i]);
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    write_tables(rows, n, widths, out);
    for (size_t m = 0; m < self->plan->n; m++) {
        const struct member *member = &self->plan->members[m];
        if (member->why != NULL) {
            fprintf(out, "\n%s failed: %s: %s\n", member->name, member->failed, member->why);
        }
    }
}

const char *table_text(const struct table *self, void (*write)(const struct table *, FILE *))
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (out == NULL) {
        return "";
    }
    write(self, out);
    fclose(out);
    const char *copy = arena_copy(self->arena, text != NULL ? text : "");
    free(text);
    return copy;
}

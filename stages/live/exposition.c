/* See exposition.h. */
#include "exposition.h"

#include <math.h>
#include <stddef.h>

#include "log.h"

static void write_head(FILE *out, const char *name, const char *kind, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

/* A label's value between quotes; what is not UTF-8 becomes U+FFFD. */
static void write_label(FILE *out, const char *key, const char *value)
{
    fprintf(out, "%s=\"", key);
    while (*value != '\0') {
        const size_t length = log_utf8_length(value);
        if (*value == '\n') {
            fputs("\\n", out);
        } else if (length == 0) {
            fputs("\xef\xbf\xbd", out);
        } else {
            if (*value == '\\' || *value == '"') {
                fputc('\\', out);
            }
            fwrite(value, 1, length, out);
        }
        value += length == 0 ? 1 : length;
    }
    fputc('"', out);
}

static void write_value(FILE *out, double value)
{
    fprintf(out, " %.15g\n", value);
}

/* One number of every stage. */
struct column {
    const char *name, *kind, *help;
    size_t offset;           /* of a double in struct status_stage */
    const char *key, *label; /* a second label, or NULL */
};

#define AT(field) offsetof(struct status_stage, field)
#define SHARE                                                                                                \
    "loom_stage_time_share", "gauge", "Share of the time since the last report, by what it was spent on."
#define QUEUE                                                                                                \
    "loom_stage_queue_frames", "gauge", "Frames received and not yet taken, held for readers, and that fit."

static const struct column columns[] = {
    {"loom_stage_frames_total", "counter", "Frames the stage has done in this run.", AT(frame), NULL, NULL},
    {"loom_stage_frames_expected", "gauge", "Frames of the run in all.", AT(frames), NULL, NULL},
    {"loom_stage_pass", "gauge", "Current pass over the data, from 1.", AT(pass), NULL, NULL},
    {"loom_stage_passes", "gauge", "Passes of the run in all.", AT(passes), NULL, NULL},
    {"loom_stage_rate", "gauge", "Frames a second since the last report.", AT(rate), NULL, NULL},
    {SHARE, AT(computing), "kind", "computing"},
    {SHARE, AT(waiting_input), "kind", "waiting_input"},
    {SHARE, AT(waiting_output), "kind", "waiting_output"},
    {"loom_stage_cpu", "gauge", "Processors that the stage kept busy since the last report.", AT(cpu), NULL,
     NULL},
    {QUEUE, AT(queue_input), "queue", "input"},
    {QUEUE, AT(queue_held), "queue", "held"},
    {QUEUE, AT(queue_ring), "queue", "ring"},
    {"loom_stage_restarts_total", "counter", "How often the stage was started again after it died.",
     AT(restarts), NULL, NULL},
};

static void write_column(FILE *out, const struct run_status *status, const struct column *column)
{
    for (size_t i = 0; i < status->n; i++) {
        const struct status_stage *stage = &status->stages[i];
        const double value = *(const double *)(const void *)((const char *)stage + column->offset);
        if (!isfinite(value)) {
            continue;
        }
        fprintf(out, "%s{", column->name);
        write_label(out, "stage", stage->name);
        if (column->key != NULL) {
            fputc(',', out);
            write_label(out, column->key, column->label);
        }
        fputc('}', out);
        write_value(out, value);
    }
}

static void write_metrics(FILE *out, const struct run_status *status)
{
    write_head(out, "loom_metric", "gauge", "Metrics of the pass, as the stage last told them.");
    for (size_t i = 0; i < status->n; i++) {
        for (size_t j = 0; j < status->stages[i].n_metrics; j++) {
            const struct status_metric *metric = &status->stages[i].metrics[j];
            if (isfinite(metric->value)) {
                fputs("loom_metric{", out);
                write_label(out, "stage", status->stages[i].name);
                fputc(',', out);
                write_label(out, "name", metric->name);
                fputc('}', out);
                write_value(out, metric->value);
            }
        }
    }
}

void exposition_write_status(FILE *out, const struct run_status *status)
{
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
        if (c == 0 || columns[c].name != columns[c - 1].name) {
            write_head(out, columns[c].name, columns[c].kind, columns[c].help);
        }
        write_column(out, status, &columns[c]);
    }
    write_metrics(out, status);
    if (isfinite(status->elapsed_s)) {
        exposition_write_number(out, "loom_run_elapsed_seconds", "gauge",
                                "How long the run has taken so far.", status->elapsed_s);
    }
    if (isfinite(status->busy)) {
        exposition_write_number(out, "loom_machine_busy", "gauge",
                                "Share of the machine's processors that is busy, by anybody.", status->busy);
    }
    if (status->state[0] != '\0') {
        write_head(out, "loom_run_state", "gauge", "1 with the state in which the run is.");
        fputs("loom_run_state{", out);
        write_label(out, "run", status->run);
        fputc(',', out);
        write_label(out, "state", status->state);
        fputs("} 1\n", out);
    }
}

void exposition_write_number(FILE *out, const char *name, const char *kind, const char *help, double value)
{
    write_head(out, name, kind, help);
    fputs(name, out);
    write_value(out, value);
}

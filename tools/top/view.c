/* See view.h. */
#include "view.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define TEXT_BYTES 128
#define NAME_COLUMNS_MAX 32
#define BAR_COLUMNS 6

/* ---- small texts ---- */

/* 1234567 as 1,234,567; "-" if it is not known. */
static const char *count_text(char text[TEXT_BYTES], double value)
{
    char digits[32];
    if (!isfinite(value) || value < 0 || value > 1e15) {
        return "-";
    }
    int n = snprintf(digits, sizeof digits, "%.0f", value), used = 0;
    for (int i = 0; i < n; i++) {
        text[used++] = digits[i];
        if ((n - i) % 3 == 1 && i + 1 < n) {
            text[used++] = ',';
        }
    }
    text[used] = '\0';
    return text;
}

/* Seconds as 1:23 or 2:03:04. */
static const char *time_text(char text[TEXT_BYTES], double seconds)
{
    uint64_t s = seconds > 0 && seconds < 1e9 ? (uint64_t)(seconds + 0.5) : 0;
    if (s >= 3600) {
        snprintf(text, TEXT_BYTES, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600, s / 60 % 60, s % 60);
    } else {
        snprintf(text, TEXT_BYTES, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
    }
    return text;
}

static const char *pass_text(char text[TEXT_BYTES], const json_t *stage)
{
    double pass = json_number_of(stage, "pass"), passes = json_number_of(stage, "passes");
    if (!isfinite(pass)) {
        return "-";
    }
    snprintf(text, TEXT_BYTES, isfinite(passes) ? "%.0f/%.0f" : "%.0f", pass, passes);
    return text;
}

static const char *done_text(char text[TEXT_BYTES], const json_t *stage)
{
    double frame = json_number_of(stage, "frame"), frames = json_number_of(stage, "frames");
    if (!(frames > 0)) {
        return count_text(text, frame);
    }
    snprintf(text, TEXT_BYTES, "%.0f %%", floor(100 * frame / frames));
    return text;
}

/* "8,192 in, 58 % held": what waits at the entry, and how full the ring is. */
static const char *queue_text(char text[TEXT_BYTES], const json_t *stage)
{
    const json_t *queue = json_object_get(stage, "queue");
    double input = json_number_of(queue, "input"), held = json_number_of(queue, "held");
    double ring = json_number_of(queue, "ring");
    char count[TEXT_BYTES];
    int n = isfinite(input) ? snprintf(text, TEXT_BYTES, "%s in", count_text(count, input)) : 0;
    if (isfinite(held) && ring > 0) {
        n += snprintf(text + n, TEXT_BYTES - (size_t)n, "%s%.0f %% held", n ? ", " : "",
                      100 * fmin(held / ring, 1));
    } else if (isfinite(held)) {
        n += snprintf(text + n, TEXT_BYTES - (size_t)n, "%s%s held", n ? ", " : "", count_text(count, held));
    }
    return n ? text : "-";
}

static const char *restarts_text(char text[TEXT_BYTES], const json_t *stage)
{
    double restarts = json_number_of(stage, "restarts");
    return restarts > 0 ? count_text(text, restarts) : "";
}

static const char *rate_text(char text[TEXT_BYTES], const json_t *stage)
{
    return count_text(text, json_number_of(stage, "rate"));
}

static const char *state_text(char text[TEXT_BYTES], const json_t *stage)
{
    (void)text;
    return json_text_of(stage, "state");
}

/* ---- the table ---- */

struct column {
    const char *title;
    int columns; /* 0: of the names, as wide as needed */
    int worth;   /* the least worth goes first */
    const char *(*text)(char text[TEXT_BYTES],
                        const json_t *stage); /* NULL: a share, as a bar and a number */
    const char *share;
    bool right;
};

static const struct column table[] = {
    {"stage", 0, 9, NULL, NULL, false},
    {"state", 10, 5, state_text, NULL, false},
    {"pass", 9, 7, pass_text, NULL, true},
    {"done", 6, 4, done_text, NULL, true},
    {"frames/s", 9, 8, rate_text, NULL, true},
    {"computes", BAR_COLUMNS + 4, 6, NULL, "computing", false},
    {"awaits input", BAR_COLUMNS + 6, 3, NULL, "waiting_input", false},
    {"awaits room", BAR_COLUMNS + 5, 3, NULL, "waiting_output", false},
    {"queue", 21, 2, queue_text, NULL, false},
    {"restarts", 8, 1, restarts_text, NULL, true},
};

#define N_COLUMNS (sizeof table / sizeof *table)
#define GAP 2

static bool any_restarts(const json_t *stages)
{
    for (size_t i = 0; i < json_array_size(stages); i++) {
        if (json_number_of(json_array_get(stages, i), "restarts") > 0) {
            return true;
        }
    }
    return false;
}

/* The width of each column, 0 for those left out. */
static void choose_columns(const struct screen *screen, const json_t *stages, int widths[N_COLUMNS])
{
    int sum = -GAP, name = (int)strlen(table[0].title);
    for (size_t i = 0; i < json_array_size(stages); i++) {
        int length = screen_columns(json_text_of(json_array_get(stages, i), "name"));
        name = length > name ? length : name;
    }
    for (size_t i = 0; i < N_COLUMNS; i++) {
        widths[i] = table[i].columns;
        if (i == 0) {
            int most = screen->width / 3 < NAME_COLUMNS_MAX ? screen->width / 3 : NAME_COLUMNS_MAX;
            widths[i] = name < most ? name : most;
        } else if (table[i].text == restarts_text && !any_restarts(stages)) {
            widths[i] = 0;
        }
        sum += widths[i] > 0 ? widths[i] + GAP : 0;
    }
    for (int worth = 1; sum > screen->width && worth < table[0].worth; worth++) {
        for (size_t i = 1; i < N_COLUMNS; i++) {
            if (table[i].worth == worth && widths[i] > 0) {
                sum -= widths[i] + GAP;
                widths[i] = 0;
            }
        }
    }
}

static void put_share(struct screen *screen, const json_t *stage, const struct column *column, int width)
{
    char text[TEXT_BYTES] = "";
    double share = json_number_of(stage, column->share);
    int begin = screen->column;
    screen_bar(screen, share, BAR_COLUMNS);
    if (isfinite(share)) {
        snprintf(text, sizeof text, "%4.0f", 100 * share);
    }
    screen_put(screen, text);
    screen_tab(screen, begin + width);
}

static void put_stage(struct screen *screen, const struct watched *watched, const json_t *stage,
                      const int widths[N_COLUMNS])
{
    char text[TEXT_BYTES];
    const char *name = json_text_of(stage, "name");
    bool limits = *name && strcmp(name, json_text_of(watched->status, "limits")) == 0;
    for (size_t i = 0; i < N_COLUMNS; i++) {
        if (widths[i] == 0) {
            continue;
        }
        if (i > 0) {
            screen_put(screen, "  ");
        }
        screen_style(screen, limits && i == 0 ? STYLE_BOLD : STYLE_NONE);
        if (i == 0) {
            screen_field(screen, name, widths[i], false);
        } else if (table[i].text) {
            screen_field(screen, table[i].text(text, stage), widths[i], table[i].right);
        } else {
            put_share(screen, stage, &table[i], widths[i]);
        }
    }
    (void)screen_line(screen);
}

static void put_titles(struct screen *screen, const int widths[N_COLUMNS])
{
    screen_style(screen, STYLE_DIM);
    for (size_t i = 0; i < N_COLUMNS; i++) {
        if (widths[i] > 0) {
            screen_put(screen, i > 0 ? "  " : "");
            screen_field(screen, table[i].title, widths[i], table[i].right);
        }
    }
    (void)screen_line(screen);
}

size_t view_stages(struct screen *screen, const struct watched *watched, size_t first, int spare)
{
    const json_t *stages = json_object_get(watched->status, "stages");
    size_t n = json_array_size(stages), shown = 0;
    int widths[N_COLUMNS];
    choose_columns(screen, stages, widths);
    if (screen_left(screen) > spare) {
        put_titles(screen, widths);
    }
    int room = screen_left(screen) - spare;
    bool all = first == 0 && (int)n <= room;
    while (first + shown < n && (int)shown < room - (all ? 0 : 1)) {
        put_stage(screen, watched, json_array_get(stages, first + shown), widths);
        shown++;
    }
    if (!all && room > 0) {
        screen_style(screen, STYLE_DIM);
        screen_format(screen, "stages %zu to %zu of %zu; the arrow keys show the others", first + 1,
                      first + shown, n);
        (void)screen_line(screen);
    }
    return shown;
}

/* ---- the rest ---- */

void view_head(struct screen *screen, const struct watched *watched)
{
    char text[TEXT_BYTES];
    const json_t *status = watched->status;
    double busy = json_number_of(status, "busy"), processors = json_number_of(status, "processors");
    bool old = watched_goes_on(watched) && watched->age_s > 3;
    screen_style(screen, STYLE_BOLD);
    screen_put(screen, json_text_of(status, "run"));
    screen_style(screen, STYLE_NONE);
    screen_format(screen, "  %s  %s", watched->state, time_text(text, json_number_of(status, "elapsed_s")));
    if (watched_goes_on(watched) && processors > 0 && isfinite(busy)) {
        screen_format(screen, "  %.0f processor%s, %.0f %% busy", processors, processors > 1 ? "s" : "",
                      100 * busy);
    }
    screen_format(screen, "  %s", watched->folder);
    if (old || strcmp(watched->state, "killed") == 0) {
        screen_format(screen, "  (as of %s ago)", time_text(text, watched->age_s));
    }
    (void)screen_line(screen);
    const char *sentence = json_text_of(status, "sentence");
    if (strcmp(watched->state, "killed") == 0) {
        sentence = "The run was killed; the same loom run command goes on with it.";
    } else if (strcmp(watched->state, "held") == 0) {
        sentence =
            "The launcher is held: it lives, but has told nothing for long (kill -CONT lets it go on).";
    }
    while (*sentence && screen_left(screen) > 0) { /* broken between words */
        size_t fits = 0;
        for (size_t i = 1; i <= strlen(sentence); i++) {
            bool end = sentence[i] == '\0' || sentence[i] == ' ';
            fits = end && ((int)i <= screen->width || fits == 0) ? i : fits;
        }
        screen_format(screen, "%.*s", (int)fits, sentence);
        (void)screen_line(screen);
        sentence += fits + (sentence[fits] == ' ');
    }
}

static void put_metric(struct screen *screen, const char *name, double value, int indent, int spare)
{
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "%s %.4g", name, value);
    int length = screen_columns(text);
    if (screen->column > indent && screen->column + GAP + length > screen->width) {
        if (screen_left(screen) <= spare + 1 || !screen_line(screen)) {
            return;
        }
        screen_tab(screen, indent);
    } else if (screen->column > indent) {
        screen_put(screen, "  ");
    }
    screen_put(screen, text);
}

void view_metrics(struct screen *screen, const struct watched *watched, int spare)
{
    const json_t *stages = json_object_get(watched->status, "stages");
    int indent = 0;
    for (size_t i = 0; i < json_array_size(stages); i++) {
        int length = screen_columns(json_text_of(json_array_get(stages, i), "name"));
        indent = length > indent ? length : indent;
    }
    indent = (indent < NAME_COLUMNS_MAX ? indent : NAME_COLUMNS_MAX) + GAP;
    for (size_t i = 0; i < json_array_size(stages) && screen_left(screen) > spare; i++) {
        const json_t *stage = json_array_get(stages, i);
        json_t *metrics = json_object_get(stage, "metrics");
        const char *name;
        json_t *value;
        if (json_object_size(metrics) == 0) {
            continue;
        }
        screen_field(screen, json_text_of(stage, "name"), indent - GAP, false);
        screen_tab(screen, indent);
        json_object_foreach(metrics, name, value)
        {
            put_metric(screen, name, json_is_number(value) ? json_number_value(value) : NAN, indent, spare);
        }
        (void)screen_line(screen);
    }
}

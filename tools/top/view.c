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

/* Frames that have come and wait. */
static const char *queue_text(char text[TEXT_BYTES], const json_t *stage)
{
    return count_text(text, json_number_of(json_object_get(stage, "queue"), "input"));
}

/* "58 %": how full the memory for readers is; where its size is not known, frames. */
static const char *held_text(char text[TEXT_BYTES], const json_t *stage)
{
    const json_t *queue = json_object_get(stage, "queue");
    double held = json_number_of(queue, "held"), ring = json_number_of(queue, "ring");
    if (!isfinite(held) || !(ring > 0)) {
        return count_text(text, held);
    }
    snprintf(text, TEXT_BYTES, "%.0f %%", 100 * fmin(held / ring, 1));
    return text;
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
    int columns; /* at most; 0: of the names */
    int worth;   /* see choose_columns */
    bool
        fitted; /* only as wide as what stands in it: of what seldom changes, so that the others stay where they are */
    const char *(*text)(char text[TEXT_BYTES],
                        const json_t *stage); /* NULL: a share, as a bar and a number */
    const char *share;
    bool right;
};

static const struct column table[] = {
    {"stage", 0, 11, true, NULL, NULL, false},
    {"state", 10, 7, true, state_text, NULL, false},
    {"pass", 11, 9, true, pass_text, NULL, true},
    {"done", 6, 3, true, done_text, NULL, true},
    {"frames/s", 9, 10, false, rate_text, NULL, true},
    {"computes", BAR_COLUMNS + 4, 8, false, NULL, "computing", false},
    {"awaits input", BAR_COLUMNS + 6, 6, false, NULL, "waiting_input", false},
    {"awaits room", BAR_COLUMNS + 5, 5, false, NULL, "waiting_output", false},
    {"queue", 7, 4, false, queue_text, NULL, true},
    {"held", 6, 2, false, held_text, NULL, true},
    {"restarts", 8, 1, true, restarts_text, NULL, true},
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

/* What a column takes: all it may, or as much as its title and the longest text in it. */
static int width_of(const struct column *column, const json_t *stages)
{
    char text[TEXT_BYTES];
    int width = (int)strlen(column->title);
    for (size_t i = 0; column->fitted && i < json_array_size(stages); i++) {
        const json_t *stage = json_array_get(stages, i);
        int length = screen_columns(column->text ? column->text(text, stage) : json_text_of(stage, "name"));
        width = length > width ? length : width;
    }
    width = column->fitted ? width : column->columns;
    return column->columns > 0 && width > column->columns ? column->columns : width;
}

/* The width of each column, 0 for those left out. Every column is shown that fits beside those of more worth. From the most
 * to the least: stage, frames/s, pass, computes, state, awaits input, awaits room, queue, done, held, restarts (which is
 * there only if a stage was started again): first what says how fast it goes and how far it is, then whether it is the stage
 * that limits the run, then what it waits for, and last what can be told from the others. In 80 columns that is usually
 * all up to "awaits room" or "queue"; in 100, all. */
static void choose_columns(const struct screen *screen, const json_t *stages, int widths[N_COLUMNS])
{
    int most = screen->width / 3 < NAME_COLUMNS_MAX ? screen->width / 3 : NAME_COLUMNS_MAX;
    int name = width_of(&table[0], stages), sum = name < most ? name : most;
    memset(widths, 0, N_COLUMNS * sizeof *widths);
    widths[0] = sum;
    for (int worth = table[0].worth - 1; worth > 0; worth--) {
        for (size_t i = 1; i < N_COLUMNS; i++) {
            int width = table[i].worth == worth ? width_of(&table[i], stages) : 0;
            bool idle = table[i].text == restarts_text && !any_restarts(stages);
            if (width > 0 && !idle && sum + GAP + width <= screen->width) {
                widths[i] = width;
                sum += GAP + width;
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
    if (watched_goes_on(watched) && watched->elsewhere) { /* by a clock that need not agree with ours */
        const char *clock = strchr(json_text_of(status, "time"), 'T');
        screen_format(screen, "  (as of %.8s UTC, on %s)", clock ? clock + 1 : "",
                      json_text_of(status, "host"));
    } else if (old || strcmp(watched->state, "killed") == 0) {
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

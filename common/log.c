/* See log.h. Lines go out with one write each, so that processes that share a terminal do not mix within a
 * line. */
#include "log.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *log_stage = "loom";
static bool log_as_json = false;

void log_open(const char *stage, bool json)
{
    log_stage = stage;
    log_as_json = json;
}

/* Length of the valid UTF-8 sequence at s, 0 if there is none. */
static size_t utf8_length(const unsigned char *s)
{
    static const unsigned char lead_min[] = {0xC2, 0xE0, 0xF0}, lead_max[] = {0xDF, 0xEF, 0xF4};
    if (s[0] < 0x80) {
        return 1;
    }
    for (size_t extra = 1; extra <= 3; extra++) {
        if (s[0] < lead_min[extra - 1] || s[0] > lead_max[extra - 1]) {
            continue;
        }
        for (size_t i = 1; i <= extra; i++) {
            if ((s[i] & 0xC0) != 0x80) {
                return 0;
            }
        }
        bool overlong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90);
        bool surrogate = s[0] == 0xED && s[1] > 0x9F;
        bool beyond = s[0] == 0xF4 && s[1] > 0x8F;
        return overlong || surrogate || beyond ? 0 : extra + 1;
    }
    return 0;
}

void log_json_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *s = (const unsigned char *)text; *s != '\0';) {
        size_t length = utf8_length(s);
        if (length == 0) {
            fputs("\\ufffd", out);
            s++;
        } else if (*s == '"' || *s == '\\') {
            fprintf(out, "\\%c", *s++);
        } else if (*s == '\n') {
            fputs("\\n", out);
            s++;
        } else if (*s < 0x20 || *s == 0x7F) {
            fprintf(out, "\\u%04x", (unsigned)*s++);
        } else {
            fwrite(s, 1, length, out);
            s += length;
        }
    }
    fputc('"', out);
}

/* Bytes at s, before its end, that may go to a terminal as they are. */
static size_t plain_length(const unsigned char *s)
{
    size_t n = 0;
    while (s[n] >= 0x20 && s[n] != 0x7F) {
        size_t length = utf8_length(s + n);
        if (length == 0 || (s[n] == 0xC2 && s[n + 1] < 0xA0)) { /* not UTF-8, or a control character of C1 */
            break;
        }
        n += length;
    }
    return n;
}

void log_plain_text(FILE *out, const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text;;) {
        size_t n = plain_length(s);
        fwrite(s, 1, n, out);
        s += n;
        if (*s == '\0') {
            return;
        }
        if (*s == '\n' || *s == '\t') {
            fputs(*s == '\n' ? "\\n" : "\\t", out);
        } else {
            fprintf(out, "\\x%02x", (unsigned)*s);
        }
        s++;
    }
}

/* Open a line in memory; NULL (and the event is lost) only if memory has run out. */
static FILE *line_open(char **text, size_t *size, const char *event)
{
    FILE *out = open_memstream(text, size);
    if (out == NULL || !log_as_json) {
        return out;
    }
    struct timespec now;
    struct tm utc;
    char stamp[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(out, "{\"time\":\"%s.%03ldZ\",\"stage\":", stamp, now.tv_nsec / 1000000);
    log_json_string(out, log_stage);
    fprintf(out, ",\"event\":\"%s\"", event);
    return out;
}

static void line_close(FILE *out, char **text, size_t *size)
{
    fputs(log_as_json ? "}\n" : "\n", out);
    if (fclose(out) == 0) {
        fwrite(*text, 1, *size, stderr);
        fflush(stderr);
    }
    free(*text);
}

static void write_number(FILE *out, double value)
{
    if (isfinite(value)) {
        fprintf(out, "%.9g", value);
    } else {
        fputs("null", out); /* JSON has no word for it */
    }
}

static void write_metrics(FILE *out, const struct metric *metrics, size_t n)
{
    if (log_as_json) {
        fputs(",\"metrics\":{", out);
    }
    for (size_t i = 0; i < n; i++) {
        if (log_as_json) {
            fprintf(out, "%s\"%s\":", i == 0 ? "" : ",", metrics[i].name);
            write_number(out, metrics[i].value);
        } else {
            fprintf(out, ", %s %.4g", metrics[i].name, metrics[i].value);
        }
    }
    if (log_as_json) {
        fputc('}', out);
    }
}

static void log_message(const char *level, const char *format, va_list arguments)
{
    char message[2048];
    vsnprintf(message, sizeof message, format, arguments);
    char *text = NULL;
    size_t size = 0;
    FILE *out = line_open(&text, &size, "log");
    if (out == NULL) {
        return;
    }
    if (log_as_json) {
        fprintf(out, ",\"level\":\"%s\",\"message\":", level);
        log_json_string(out, message);
    } else {
        bool plain = strcmp(level, "info") == 0 || strcmp(level, "notice") == 0;
        fprintf(out, "%s: %s%s", log_stage, plain ? "" : level, plain ? "" : ": ");
        log_plain_text(out, message);
    }
    line_close(out, &text, &size);
}

void log_info(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_message("info", format, arguments);
    va_end(arguments);
}

void log_notice(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_message("notice", format, arguments);
    va_end(arguments);
}

void log_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_message("warning", format, arguments);
    va_end(arguments);
}

void log_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_message("error", format, arguments);
    va_end(arguments);
}

void log_json_share(FILE *out, const char *name, double value)
{
    fprintf(out, isfinite(value) ? ",\"%s\":%.4f" : ",\"%s\":null", name, value);
}

void log_json_shares(FILE *out, const struct log_shares *shares)
{
    log_json_share(out, "computing", shares->computing);
    log_json_share(out, "waiting_input", shares->waiting_input);
    log_json_share(out, "waiting_output", shares->waiting_output);
    log_json_share(out, "cpu", shares->cpu);
}

static void write_queue(FILE *out, const struct log_queue *queue)
{
    const char *const names[] = {"input", "held", "ring"};
    const uint64_t values[] = {queue->input, queue->held, queue->ring};
    const char *gap = "";
    fputs(",\"queue\":{", out);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (values[i] != UINT64_MAX) {
            fprintf(out, "%s\"%s\":%ju", gap, names[i], (uintmax_t)values[i]);
            gap = ",";
        }
    }
    fputc('}', out);
}

void log_progress(const struct log_progress *progress)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = line_open(&text, &size, "progress");
    if (out == NULL) {
        return;
    }
    if (log_as_json) {
        fprintf(out, ",\"frame\":%ju", (uintmax_t)progress->frame);
        fprintf(out, progress->frames == 0 ? ",\"frames\":null" : ",\"frames\":%ju",
                (uintmax_t)progress->frames);
        fprintf(out, ",\"pass\":%ju,\"passes\":%ju,\"rate\":", (uintmax_t)progress->pass,
                (uintmax_t)progress->passes);
        write_number(out, progress->rate);
        log_json_shares(out, &progress->shares);
        write_queue(out, &progress->queue);
    } else {
        fprintf(out, "%s: frame %ju", log_stage, (uintmax_t)progress->frame);
        if (progress->passes > 0) {
            fprintf(out, ", pass %ju/%ju", (uintmax_t)progress->pass, (uintmax_t)progress->passes);
        }
        fprintf(out, ", %.0f frames/s", progress->rate);
    }
    write_metrics(out, progress->metrics, progress->n_metrics);
    line_close(out, &text, &size);
}

void log_alive(const struct log_shares *shares)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = log_as_json ? line_open(&text, &size, "alive") : NULL;
    if (out != NULL) {
        log_json_shares(out, shares);
        line_close(out, &text, &size);
    }
}

void log_pass(uint64_t pass, const struct metric *metrics, size_t n_metrics)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = line_open(&text, &size, "pass");
    if (out == NULL) {
        return;
    }
    if (log_as_json) {
        fprintf(out, ",\"pass\":%ju", (uintmax_t)pass);
    } else {
        fprintf(out, "%s: pass %ju done", log_stage, (uintmax_t)pass);
    }
    write_metrics(out, metrics, n_metrics);
    line_close(out, &text, &size);
}

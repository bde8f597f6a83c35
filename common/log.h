/* Log: what a stage tells the person or program that started it, one line an event, on standard error.
 *
 * Two forms, chosen once: text for a person, or JSON lines (--log json) for the launcher, which shows
 * progress from them and keeps them in log.jsonl and metrics.jsonl. Every JSON line is one object with "time"
 * (RFC 3339, UTC), "stage" (the name in the run) and "event":
 *     log       level (info, notice, warning, error), message
 *     progress  when it begins, and then about twice a second: frame (frames done), frames (in all, null: no end), pass (from 1), passes, rate (frames/s),
 *               computing, waiting_input, waiting_output, cpu (struct log_shares), queue (struct log_queue),
 *               metrics
 *     alive     the same shares: all that a stage has to tell that only looks
 *     pass      pass (from 1, the one just ended), metrics: a map from name to number, the same on every run
 *
 * What a peer or file says may stand in a message; nothing of it reaches a terminal as a command to it. */
#ifndef LOOM_COMMON_LOG_H
#define LOOM_COMMON_LOG_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct metric {
    const char *name; /* lower case, underscores; borrowed */
    double value;
};

/* How a stage's time went since it last told (load.h). NAN: unknown. */
struct log_shares {
    double computing, waiting_input, waiting_output; /* from 0 to 1, together 1 */
    double cpu;                                      /* processors used on the average, by all its threads */
};

#define LOG_SHARES_UNKNOWN ((struct log_shares){NAN, NAN, NAN, NAN})

/* Frames that wait. UINT64_MAX: there is no such thing. */
struct log_queue {
    uint64_t input; /* received and not yet taken, of all inputs */
    uint64_t held;  /* held because a reader may need them again */
    uint64_t ring;  /* that fit */
};

struct log_progress {
    uint64_t frame, frames, pass, passes; /* frames, passes: 0 where there is no end */
    double rate;
    struct log_shares shares; /* JSON only, as the queue */
    struct log_queue queue;
    const struct metric *metrics;
    size_t n_metrics;
};

/* Choose the form and the stage's name (borrowed). Without it: text, "loom". */
void log_open(const char *stage, bool json);

void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What a person is to know although all is well, such as an address: the launcher shows it, unlike other information. */
void log_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

void log_progress(const struct log_progress *progress);
void log_alive(const struct log_shares *shares); /* JSON only: a person sees no line */
void log_pass(uint64_t pass, const struct metric *metrics, size_t n_metrics);

/* Write text as a JSON string, quotes included, to a stdio stream; invalid UTF-8 becomes U+FFFD. */
void log_json_string(FILE *out, const char *text);

/* Write ,"name":0.1234 (a share, as precise as it is worth; null for what is not finite), or the four of them. */
void log_json_share(FILE *out, const char *name, double value);
void log_json_shares(FILE *out, const struct log_shares *shares);

/* Write text of any origin for a person, on one line: valid UTF-8 as it is, control characters and all other
 * bytes as \n, \t or \xHH. */
void log_plain_text(FILE *out, const char *text);

#endif

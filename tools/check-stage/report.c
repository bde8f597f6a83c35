/* See report.h. What a stage sends is printed as plain text: nothing of it reaches a terminal as a
 * command. */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>

#include "log.h"

static const struct {
    const char *section, *text;
} rules[RULES] = {
    [RULE_PURE] = {"What a stream is",
                   "a reply is a pure function of (id, seq, n): the same question always gets the "
                   "same bytes, whoever asks, however often, also after a restart"},
    [RULE_MESSAGE] =
        {"Sockets", "every message is one part: one MessagePack map with text keys; every map has v (1) and "
                    "t (the type)"},
    [RULE_DESCRIBE] = {"Consumer asks, producer answers",
                       "describe is answered with a `stream` message; id, kind and "
                       "shape are required"},
    [RULE_DESCRIBE_AT_ONCE] = {"Consumer asks, producer answers",
                               "describe is answered at once, also while frames are not there yet"},
    [RULE_KEYS] = {"Consumer asks, producer answers",
                   "{v: 1, t: \"data\", id, seq, n, eos, and the fields of the kind}"},
    [RULE_FIELDS] = {"What a stream is",
                     "each field is a MessagePack bin, little-endian, row-major: n rows of the shape "
                     "and type described, with values in their range"},
    [RULE_N] = {"Consumer asks, producer answers",
                "the reply has at most n frames; one to a fetch with n: 0 is answered at "
                "once, with n: 0"},
    [RULE_BLOCKS] = {"Consumer asks, producer answers",
                     "a reply never crosses a multiple of block counted from the start "
                     "of the pass, nor the end of a pass"},
    [RULE_EOS] = {"Consumer asks, producer answers",
                  "eos is true if the stream ends behind these frames, else false"},
    [RULE_BEYOND] = {"Consumer asks, producer answers",
                     "a fetch from the end or beyond is answered with seq: total, n: 0, eos: true"},
    [RULE_CREDIT] = {"Consumer asks, producer answers",
                     "several fetches under way at once are how a consumer reads ahead"},
    [RULE_WAITS] = {"Consumer asks, producer answers",
                    "a fetch for frames that are not made yet waits at the producer until they are"},
    [RULE_HELD] = {"What is held, and for whom",
                   "a producer holds everything from the smallest ack of its readers on, and "
                   "makes no more when that is too much: that is the backpressure"},
    [RULE_ID] = {"Consumer asks, producer answers",
                 "a fetch with another id is answered with err, never with data"},
    [RULE_MALFORMED] = {"Malformed messages",
                        "malformed messages are refused with err, and never end a producer"},
    [RULE_END] = {"Consumer asks, producer answers",
                  "a consumer that has everything durable says so with a fetch from the "
                  "end, n: 0, and goes when {seq: total, n: 0, eos: true} has come"},
    [RULE_RESTART] = {"What is held, and for whom",
                      "any stage may be killed at any moment, and the result is the same to the bit"},
    [RULE_ACK] = {"What is held, and for whom", "ack is a promise about disks: a stage acknowledges what it "
                                                "will never ask for again, at the end all"},
};

const char *rule_section(enum rule rule, const char **text)
{
    *text = rules[rule].text;
    return rules[rule].section;
}

static void print_line(const char *what, const char *text)
{
    if (text[0] != '\0') {
        printf("          %-5s ", what);
        log_plain_text(stdout, text);
        putchar('\n');
    }
}

static void print(const struct finding *finding)
{
    static const char *const words[] = {"ok", "FAILED", "skipped"};
    printf("%-8s  %s", words[finding->verdict], finding->check);
    if (finding->verdict != VERDICT_OK) {
        fputs(": ", stdout);
        log_plain_text(stdout, finding->what);
    }
    putchar('\n');
    if (finding->verdict == VERDICT_FAILED) {
        char rule[REPORT_TEXT_BYTES];
        const char *text, *section = rule_section(finding->rule, &text);
        snprintf(rule, sizeof rule, "%s (PROTOCOL.md, \"%s\")", text, section);
        print_line("sent", finding->sent);
        print_line("came", finding->came);
        print_line("rule", rule);
        print_line("mend", finding->mend);
    }
    fflush(stdout);
}

void report_add(struct report *self, const struct finding *finding)
{
    struct finding *grown = realloc(self->items, (self->n + 1) * sizeof *grown);
    self->failed += finding->verdict == VERDICT_FAILED;
    if (grown != NULL) { /* else it is missing in the JSON, but counted */
        self->items = grown;
        grown[self->n++] = *finding;
    }
    if (!self->json) {
        print(finding);
    }
}

static void print_pair(const char *name, const char *text)
{
    printf(",\"%s\":", name);
    log_json_string(stdout, text);
}

static void print_json(const struct report *self, char *const *command)
{
    static const char *const words[] = {"ok", "failed", "skipped"};
    fputs("{\"command\":[", stdout);
    for (size_t i = 0; command[i] != NULL; i++) {
        fputs(i == 0 ? "" : ",", stdout);
        log_json_string(stdout, command[i]);
    }
    fputs("],\n \"checks\":[", stdout);
    for (size_t i = 0; i < self->n; i++) {
        const struct finding *finding = &self->items[i];
        printf("%s\n  {\"check\":", i == 0 ? "" : ",");
        log_json_string(stdout, finding->check);
        print_pair("verdict", words[finding->verdict]);
        if (finding->verdict != VERDICT_OK) {
            print_pair("what", finding->what);
        }
        if (finding->verdict == VERDICT_FAILED) {
            const char *text, *section = rule_section(finding->rule, &text);
            print_pair("sent", finding->sent);
            print_pair("came", finding->came);
            print_pair("section", section);
            print_pair("rule", text);
            print_pair("mend", finding->mend);
        }
        putchar('}');
    }
    printf("],\n \"passed\":%s}\n", self->failed == 0 ? "true" : "false");
}

void report_end(const struct report *self, char *const *command)
{
    size_t skipped = 0;
    if (self->json) {
        print_json(self, command);
        return;
    }
    for (size_t i = 0; i < self->n; i++) {
        skipped += self->items[i].verdict == VERDICT_SKIPPED;
    }
    printf("\n%zu checks: %zu ok, %zu failed", self->n, self->n - self->failed - skipped, self->failed);
    printf(skipped > 0 ? ", %zu skipped\n" : "\n", skipped);
}

void report_fini(struct report *self)
{
    free(self->items);
    *self = (struct report){.json = self->json};
}

/* What `loom check-stage` has found: a line a check, and for those that failed what was sent, what came,
 * what the protocol says and how to mend it. */
#ifndef LOOM_TOOLS_CHECK_STAGE_REPORT_H
#define LOOM_TOOLS_CHECK_STAGE_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#define REPORT_TEXT_BYTES 600

/* What the protocol says, with the section of PROTOCOL.md where it does. */
enum rule {
    RULE_PURE,
    RULE_MESSAGE,
    RULE_DESCRIBE,
    RULE_DESCRIBE_AT_ONCE,
    RULE_KEYS,
    RULE_FIELDS,
    RULE_N,
    RULE_BLOCKS,
    RULE_EOS,
    RULE_BEYOND,
    RULE_CREDIT,
    RULE_WAITS,
    RULE_HELD,
    RULE_ID,
    RULE_MALFORMED,
    RULE_END,
    RULE_RESTART,
    RULE_ACK,
    RULES
};

/* The section's title; the rule itself goes to *text. */
const char *rule_section(enum rule rule, const char **text);

enum verdict { VERDICT_OK, VERDICT_FAILED, VERDICT_SKIPPED };

struct finding {
    const char *check; /* its name; borrowed for ever */
    enum verdict verdict;
    char what[REPORT_TEXT_BYTES]; /* failed: what is wrong; skipped: why; else "" */
    char sent[REPORT_TEXT_BYTES], came[REPORT_TEXT_BYTES];
    enum rule rule;
    const char *mend;
};

struct report {
    bool json;
    struct finding *items; /* owned */
    size_t n, failed;
};

/* Take a finding in; as text it is printed at once. */
void report_add(struct report *self, const struct finding *finding);

/* The summary, or as JSON all of it. command: as given, NULL at its end. */
void report_end(const struct report *self, char *const *command);

void report_fini(struct report *self);

#endif

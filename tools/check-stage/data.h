/* What a producer answers, looked at key by key. */
#ifndef LOOM_TOOLS_CHECK_STAGE_DATA_H
#define LOOM_TOOLS_CHECK_STAGE_DATA_H

#include "subject.h"

/* Frames of a reply. */
struct part {
    uint64_t n;
    bool eos;
    const uint8_t *rows[STREAM_FIELDS_MAX]; /* borrowed from the answer */
};

/* Whether the answer is a good description; else the check fails. Fills self->info and what follows from
 * it, `first` time; later it must be the same. */
bool data_describes(struct subject *self, const struct answer *answer, bool first);

/* Whether the answer is good data for a fetch of n frames from `from` on; else the check fails. */
bool data_answers(struct subject *self, const struct answer *answer, uint64_t from, uint64_t n,
                  struct part *part);

/* Ask for n frames from `from` on, and whether good data came; else the check fails. */
bool data_fetch(struct subject *self, uint64_t from, uint64_t n, struct answer *answer, struct part *part);

/* Whether the frames are those that came first, as far as those are kept; else the check fails. */
bool data_agrees(struct subject *self, uint64_t from, const struct part *part, enum rule rule,
                 const char *mend, const char *what);

/* Read on in order from `from` to `to` (or the end), with `hook` for every part; false: the check has
 * failed. */
bool data_read(struct subject *self, uint64_t from, uint64_t to,
               bool (*hook)(struct subject *self, uint64_t from, const struct part *part));

/* Whether the values of all frames kept are in their range; else the check fails. */
void data_check_values(struct subject *self);

#endif

/* The checks, in the order in which they are made. */
#ifndef LOOM_TOOLS_CHECK_STAGE_CHECKS_H
#define LOOM_TOOLS_CHECK_STAGE_CHECKS_H

#include "subject.h"

/* Describe, again and while fetches wait. first: the description that came at the start. false: nothing
 * else can be checked. */
bool checks_describe(struct subject *self, const struct answer *first);

/* Fetches in all ways: in order, again, several at once, of few and many frames, at the end. false: none
 * came in order. */
bool checks_fetch(struct subject *self);

/* Requests that no good reader sends. */
void checks_malformed(struct subject *self);

/* Killed and started again; slow readers. Of a stage in the middle: other message blocks, other input. */
void checks_restart(struct subject *self);

/* The last acknowledgement. */
void checks_end(struct subject *self);

#endif

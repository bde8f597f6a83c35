/* The board between the thread that makes messages (a source) and the one that sends them (the server).
 *
 * For every type and name the newest message hangs on it, once for all viewers. A viewer remembers which version of
 * each it has taken, and takes whatever is newer: so nothing accumulates for one that is slow, and one that takes
 * nothing costs nothing and holds up nobody. The other way, what viewers want and ask is kept here until the
 * source looks. Every function may be called from any thread. */
#ifndef LOOM_STAGES_LIVE_BOARD_H
#define LOOM_STAGES_LIVE_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ask.h"
#include "error.h"
#include "say.h"

#define BOARD_VIEWERS_MAX 32
#define BOARD_SLOTS_MAX 160 /* types times names */

/* In the order in which a viewer gets them, if several wait. */
enum board_type {
    BOARD_SCENE,
    BOARD_STATUS,
    BOARD_TAPESTRY,
    BOARD_HISTORY, /* only to who has not had one, or has missed metrics since */
    BOARD_METRICS,
    BOARD_CLIP,
    BOARD_WEIGHTS, /* from here on to who wants weights only */
    BOARD_PROTOTYPES,
    BOARD_COVERAGE,
};

/* Answers to one viewer; of each the newest waits. */
enum board_answer { BOARD_ANSWER_ERROR, BOARD_ANSWER_UNIT, BOARD_ANSWER_CLIP, BOARD_ANSWERS };

struct board;

/* What all viewers together want. */
struct board_wants {
    size_t viewers;
    bool weights;    /* somebody looks at weights */
    bool history;    /* somebody lacks the history */
    int64_t clip_ms; /* the shortest time between two clips that somebody asked for */
};

/* wake is called, without the lock, when there is something new to send. */
int board_new(struct board **self_p, void (*wake)(void *argument), void *argument) LOOM_MUST_CHECK;
void board_destroy(struct board **self_p);

/* ---- for the source ---- */

/* Hang up a message in the place of the last one of this type and name. Takes the reference over. */
void board_publish(struct board *self, enum board_type type, const char *name, struct said **message);

/* Take away what hangs there. */
void board_withdraw(struct board *self, enum board_type type, const char *name);

/* The same message for one viewer, as numbered by board_take_ask; dropped if it has gone. */
void board_answer(struct board *self, uint64_t viewer, enum board_answer answer, struct said **message);

/* Have all viewers get the history as it will next be made: what they have is another run's. */
void board_renew_history(struct board *self);

struct board_wants board_wants(struct board *self);

/* The next question (seek or unit) that waits; false: none does. A viewer's older one of the same type is
 * forgotten. */
bool board_take_ask(struct board *self, uint64_t *viewer, struct ask *ask);

/* A file descriptor that can be read when viewers have come, gone, asked or changed what they want. */
int board_fd(const struct board *self);
void board_clear_fd(struct board *self);
void board_poke(struct board *self); /* make it readable, to have the source look around */

/* ---- for the server ---- */

/* A new viewer: its number, from 1; 0 if there are BOARD_VIEWERS_MAX already. */
uint64_t board_join(struct board *self);
void board_leave(struct board *self, uint64_t viewer);
void board_ask(struct board *self, uint64_t viewer, const struct ask *ask);

/* The next message for a viewer, with a reference for the caller; NULL: nothing waits. */
struct said *board_take(struct board *self, uint64_t viewer);

/* Messages passed over so far because a newer one of the same type and name came before they were taken. */
uint64_t board_dropped(struct board *self);

#endif

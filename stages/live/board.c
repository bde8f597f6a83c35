/* See board.h. */
#include "board.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"

#define CLIP_SLACK_MS 100 /* a clip may come so much earlier than a viewer asked for */

struct slot {
    enum board_type type;
    char name[STREAM_NAME_BYTES];
    struct said *message; /* NULL: none, or withdrawn */
    uint64_t version;     /* of the message; 0: there was none yet */
};

struct viewer {
    uint64_t number; /* 0: a free place */
    bool weights, lacks_history, has_scene;
    int64_t clip_ms, clip_at_ms; /* wanted between two clips; when it took the last one */
    uint64_t seen[BOARD_SLOTS_MAX], turn[BOARD_SLOTS_MAX]; /* version last taken; when, in messages taken */
    uint64_t taken;
    struct said *answers[BOARD_ANSWERS];
    struct ask asks[2]; /* seek, unit */
    bool asked[2];
};

struct board {
    pthread_mutex_t lock;
    struct slot slots[BOARD_SLOTS_MAX];
    size_t n_slots;
    struct viewer viewers[BOARD_VIEWERS_MAX];
    uint64_t numbers; /* of viewers so far */
    uint64_t dropped;
    size_t next; /* viewer whose question is looked at first */
    int fd;
    void (*wake)(void *argument);
    void *argument;
};

int board_new(struct board **self_p, void (*wake)(void *argument), void *argument)
{
    struct board *self = *self_p = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the live page");
    }
    self->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->fd < 0) {
        free(self);
        *self_p = NULL;
        return error_set(LOOM_EINTERNAL, "no event for the live page: %s", strerror(errno));
    }
    pthread_mutex_init(&self->lock, NULL);
    self->wake = wake;
    self->argument = argument;
    return LOOM_OK;
}

void board_destroy(struct board **self_p)
{
    struct board *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->n_slots; i++) {
        said_release(&self->slots[i].message);
    }
    for (size_t v = 0; v < BOARD_VIEWERS_MAX; v++) {
        for (size_t a = 0; a < BOARD_ANSWERS; a++) {
            said_release(&self->viewers[v].answers[a]);
        }
    }
    pthread_mutex_destroy(&self->lock);
    close(self->fd);
    free(self);
    *self_p = NULL;
}

static void lock(struct board *self)
{
    pthread_mutex_lock(&self->lock);
}

static void unlock(struct board *self)
{
    pthread_mutex_unlock(&self->lock);
}

void board_poke(struct board *self)
{
    const uint64_t one = 1;
    const ssize_t ignored = write(self->fd, &one, sizeof one); /* full: it is readable anyway */
    (void)ignored;
}

static struct viewer *find_viewer(struct board *self, uint64_t number)
{
    for (size_t v = 0; number != 0 && v < BOARD_VIEWERS_MAX; v++) {
        if (self->viewers[v].number == number) {
            return &self->viewers[v];
        }
    }
    return NULL;
}

/* The place of this type and name, made in order of types if there is none; NULL if all are taken. */
static struct slot *find_slot(struct board *self, enum board_type type, const char *name)
{
    for (size_t i = 0; i < self->n_slots; i++) {
        if (self->slots[i].type == type && strcmp(self->slots[i].name, name) == 0) {
            return &self->slots[i];
        }
    }
    if (self->n_slots == BOARD_SLOTS_MAX) {
        return NULL;
    }
    struct slot *slot = &self->slots[self->n_slots++];
    *slot = (struct slot){.type = type};
    snprintf(slot->name, sizeof slot->name, "%s", name);
    return slot;
}

/* Have the viewer get the history as it will next be made, not the one that hangs there. */
static void need_history(struct board *self, struct viewer *viewer)
{
    viewer->lacks_history = true;
    for (size_t i = 0; i < self->n_slots; i++) {
        if (self->slots[i].type == BOARD_HISTORY) {
            viewer->seen[i] = self->slots[i].version;
        }
    }
}

/* ---- for the source ---- */

void board_publish(struct board *self, enum board_type type, const char *name, struct said **message)
{
    lock(self);
    struct slot *slot = find_slot(self, type, name);
    if (slot != NULL) {
        said_release(&slot->message);
        slot->message = *message;
        slot->version++;
        *message = NULL;
    }
    unlock(self);
    said_release(message);
    self->wake(self->argument);
}

void board_withdraw(struct board *self, enum board_type type, const char *name)
{
    lock(self);
    struct slot *slot = find_slot(self, type, name);
    if (slot != NULL) {
        said_release(&slot->message);
    }
    unlock(self);
}

void board_answer(struct board *self, uint64_t viewer, enum board_answer answer, struct said **message)
{
    lock(self);
    struct viewer *to = find_viewer(self, viewer);
    if (to != NULL) {
        self->dropped += to->answers[answer] != NULL ? 1 : 0;
        said_release(&to->answers[answer]);
        to->answers[answer] = *message;
        *message = NULL;
    }
    unlock(self);
    said_release(message);
    self->wake(self->argument);
}

void board_renew_history(struct board *self)
{
    lock(self);
    for (size_t v = 0; v < BOARD_VIEWERS_MAX; v++) {
        if (self->viewers[v].number != 0) {
            need_history(self, &self->viewers[v]);
        }
    }
    unlock(self);
}

struct board_wants board_wants(struct board *self)
{
    struct board_wants wants = {.clip_ms = ASK_CLIP_MS_MAX};
    lock(self);
    for (size_t v = 0; v < BOARD_VIEWERS_MAX; v++) {
        const struct viewer *viewer = &self->viewers[v];
        if (viewer->number != 0) {
            wants.viewers++;
            wants.weights = wants.weights || viewer->weights;
            wants.history = wants.history || viewer->lacks_history;
            wants.clip_ms = viewer->clip_ms < wants.clip_ms ? viewer->clip_ms : wants.clip_ms;
        }
    }
    unlock(self);
    return wants;
}

bool board_take_ask(struct board *self, uint64_t *viewer, struct ask *ask)
{
    bool found = false;
    lock(self);
    for (size_t i = 0; i < 2 * BOARD_VIEWERS_MAX && !found;
         i++) { /* in turn, so that nobody takes all the time */
        struct viewer *of = &self->viewers[self->next / 2];
        const size_t which = self->next % 2;
        self->next = (self->next + 1) % (2 * BOARD_VIEWERS_MAX);
        if (of->number != 0 && of->asked[which]) {
            of->asked[which] = false;
            *ask = of->asks[which];
            *viewer = of->number;
            found = true;
        }
    }
    unlock(self);
    return found;
}

int board_fd(const struct board *self)
{
    return self->fd;
}

void board_clear_fd(struct board *self)
{
    uint64_t count;
    const ssize_t ignored = read(self->fd, &count, sizeof count);
    (void)ignored;
}

/* ---- for the server ---- */

uint64_t board_join(struct board *self)
{
    uint64_t number = 0;
    lock(self);
    for (size_t v = 0; v < BOARD_VIEWERS_MAX && number == 0; v++) {
        if (self->viewers[v].number == 0) {
            number = ++self->numbers;
            self->viewers[v] = (struct viewer){.number = number, .weights = true, .clip_ms = ASK_CLIP_MS};
            need_history(self, &self->viewers[v]);
        }
    }
    unlock(self);
    board_poke(self);
    return number;
}

void board_leave(struct board *self, uint64_t viewer)
{
    lock(self);
    struct viewer *leaving = find_viewer(self, viewer);
    if (leaving != NULL) {
        for (size_t a = 0; a < BOARD_ANSWERS; a++) {
            said_release(&leaving->answers[a]);
        }
        leaving->number = 0;
    }
    unlock(self);
    board_poke(self);
}

void board_ask(struct board *self, uint64_t viewer, const struct ask *ask)
{
    lock(self);
    struct viewer *from = find_viewer(self, viewer);
    if (from != NULL && ask->type == ASK_WANT) {
        from->weights = ask->weights;
        from->clip_ms = ask->clip_ms;
    } else if (from != NULL) {
        const size_t which = ask->type == ASK_SEEK ? 0 : 1;
        from->asks[which] = *ask;
        from->asked[which] = true;
    }
    unlock(self);
    board_poke(self);
}

/* Whether a viewer is to get what hangs in a slot. */
static bool is_due(const struct viewer *viewer, const struct slot *slot, uint64_t seen, int64_t now_ms)
{
    if (slot->message == NULL || slot->version == seen || (slot->type >= BOARD_WEIGHTS && !viewer->weights)) {
        return false;
    }
    return slot->type == BOARD_HISTORY ? viewer->lacks_history
           : slot->type == BOARD_CLIP
               ? viewer->clip_at_ms == 0 || now_ms - viewer->clip_at_ms >= viewer->clip_ms - CLIP_SLACK_MS
               : true;
}

/* Take note that a viewer takes what hangs in slot i. */
static void note_taken(struct board *self, struct viewer *viewer, size_t i, int64_t now_ms)
{
    const struct slot *slot = &self->slots[i];
    const uint64_t seen = viewer->seen[i];
    const uint64_t missed = seen > 0 ? slot->version - seen - 1 : 0;
    viewer->seen[i] = slot->version;
    viewer->turn[i] = ++viewer->taken;
    if (slot->type == BOARD_SCENE) {
        viewer->has_scene = true;
    } else if (slot->type == BOARD_CLIP) {
        viewer->clip_at_ms = now_ms;
    } else if (slot->type == BOARD_HISTORY) {
        viewer->lacks_history = false;
    } else if (slot->type == BOARD_METRICS && missed > 0) {
        need_history(self, viewer); /* it will have all of them with the next */
    }
    /* clips: those between are passed over because fewer were asked for */
    self->dropped += slot->type != BOARD_CLIP && slot->type != BOARD_HISTORY ? missed : 0;
}

/* The slot whose message a viewer is to get next: the scene first, then whichever type it has not had for longest, so
 * that a slow connection gets some of everything. BOARD_SLOTS_MAX: none. */
static size_t choose(const struct board *self, const struct viewer *viewer, int64_t now_ms)
{
    size_t best = BOARD_SLOTS_MAX;
    for (size_t i = 0; i < self->n_slots; i++) {
        const struct slot *slot = &self->slots[i];
        if (!is_due(viewer, slot, viewer->seen[i], now_ms) ||
            (!viewer->has_scene && slot->type != BOARD_SCENE)) {
            continue;
        }
        if (best == BOARD_SLOTS_MAX || viewer->turn[i] < viewer->turn[best] ||
            (viewer->turn[i] == viewer->turn[best] && slot->type < self->slots[best].type)) {
            best = i;
        }
    }
    return best;
}

struct said *board_take(struct board *self, uint64_t viewer)
{
    struct said *taken = NULL;
    const int64_t now_ms = clock_ms();
    lock(self);
    struct viewer *taker = find_viewer(self, viewer);
    for (size_t a = 0; taker != NULL && taker->has_scene && a < BOARD_ANSWERS && taken == NULL; a++) {
        taken = taker->answers[a];
        taker->answers[a] = NULL;
    }
    const size_t i = taker == NULL || taken != NULL ? BOARD_SLOTS_MAX : choose(self, taker, now_ms);
    if (i < BOARD_SLOTS_MAX) {
        taken = said_retain(self->slots[i].message);
        note_taken(self, taker, i, now_ms);
    }
    const bool lacks = taker != NULL && taker->lacks_history;
    unlock(self);
    if (lacks) {
        board_poke(self);
    }
    return taken;
}

uint64_t board_dropped(struct board *self)
{
    lock(self);
    const uint64_t dropped = self->dropped;
    unlock(self);
    return dropped;
}

/* See recorded.h. */
#include "recorded.h"

#include <poll.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "source.h"

#define TICK_MS 250  /* at most between two looks around */
#define IDLE_MS 5000 /* and while nobody looks */
#define LOOK_MS 2000 /* between two looks at the files */

struct recorded {
    struct scene *scene;
    struct archive *archive;
    struct source_thread thread;
    int64_t looked_ms;
};

static int turn(struct recorded *self, bool *anybody)
{
    const struct board_wants wants = board_wants(self->scene->board);
    const int64_t now_ms = clock_ms();
    *anybody = wants.viewers > 0;
    if (*anybody && (self->looked_ms == 0 || now_ms - self->looked_ms >= LOOK_MS)) {
        archive_look(self->archive);
        self->looked_ms = now_ms;
    }
    const int status = scene_tell(self->scene, &wants, NULL);
    return status < 0 ? status : source_answer(self->scene, self->archive);
}

static void *look(void *argument)
{
    struct recorded *self = argument;
    bool anybody = true;
    while (!atomic_load(&self->thread.over)) {
        if (turn(self, &anybody) < 0) {
            log_warning("live page: %s", error_message());
        }
        struct pollfd event = {.fd = board_fd(self->scene->board), .events = POLLIN};
        poll(&event, 1, anybody ? TICK_MS : IDLE_MS);
        board_clear_fd(self->scene->board);
    }
    return NULL;
}

int recorded_new(struct recorded **self_p, struct scene *scene, struct archive *archive)
{
    struct recorded *self = *self_p = calloc(1, sizeof *self);
    if (self == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the live page");
    }
    self->scene = scene;
    self->archive = archive;
    const int status = source_start(&self->thread, look, self);
    if (status < 0) {
        recorded_destroy(self_p);
    }
    return status;
}

void recorded_destroy(struct recorded **self_p)
{
    struct recorded *self = *self_p;
    if (self == NULL) {
        return;
    }
    source_end(&self->thread, self->scene->board);
    free(self);
    *self_p = NULL;
}

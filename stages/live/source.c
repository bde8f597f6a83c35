/* See source.h. */
#include "source.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"

#define NICENESS 10   /* those who train go first */
#define ANSWER_MS 100 /* in a row; then all others get their turn, whoever goes on asking */

static int answer(struct scene *scene, struct archive *archive, const struct ask *ask, struct said **message)
{
    if (ask->type == ASK_UNIT) {
        return scene_say_unit(scene, ask, message);
    }
    return archive != NULL
               ? archive_say_clip(archive, ask->seq, ask->n, message)
               : error_set(LOOM_EDATA, "only what is recorded can be gone back to: loom view RUN");
}

int source_answer(struct scene *scene, struct archive *archive)
{
    const int64_t begin_ms = clock_ms();
    struct ask ask;
    uint64_t viewer;
    int status = LOOM_OK;
    while (status == LOOM_OK && board_take_ask(scene->board, &viewer, &ask)) {
        struct said *message = NULL;
        enum board_answer which = ask.type == ASK_UNIT ? BOARD_ANSWER_UNIT : BOARD_ANSWER_CLIP;
        status = answer(scene, archive, &ask, &message);
        if (status == LOOM_EDATA || status == LOOM_EIO) {
            which = BOARD_ANSWER_ERROR;
            status = scene_say_error(error_message(), &message);
        }
        if (status == LOOM_OK) {
            board_answer(scene->board, viewer, which, &message);
        }
        if (clock_ms() - begin_ms >= ANSWER_MS) {
            board_poke(scene->board); /* more may wait */
            break;
        }
    }
    return status;
}

struct start {
    void *(*body)(void *argument);
    void *argument;
};

static void *begin(void *argument)
{
    const struct start start = *(struct start *)argument;
    free(argument);
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    return start.body(start.argument);
}

int source_start(struct source_thread *self, void *(*body)(void *argument), void *argument)
{
    sigset_t all, before;
    struct start *start = malloc(sizeof *start);
    if (start == NULL) {
        return error_set(LOOM_EINTERNAL, "no memory for the live page");
    }
    *start = (struct start){body, argument};
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are for the main thread */
    const int failed = pthread_create(&self->thread, NULL, begin, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        free(start);
        return error_set(LOOM_EINTERNAL, "no thread for the live page: %s", strerror(failed));
    }
    self->running = true;
    return LOOM_OK;
}

void source_end(struct source_thread *self, struct board *board)
{
    if (self->running) {
        atomic_store(&self->over, true);
        board_poke(board);
        pthread_join(self->thread, NULL);
        self->running = false;
    }
}

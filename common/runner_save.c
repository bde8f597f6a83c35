/* The runner of a stage: what is durable, and who is told. See runner.h. */
#include <stdio.h>

#include "clock.h"
#include "durable_file.h"
#include "log.h"
#include "runner.h"
#include "stage_file.h"

#define STARVED_MS 2000 /* without input for this long, a checkpoint is due */

int runner_save_checkpoint(struct runner *self)
{
    uint64_t frame = runner_position(self);
    char path[sizeof self->checkpoints.folder + 128];
    checkpoints_path(&self->checkpoints, frame, path, sizeof path);
    int status = stage_file_write(path, self->stage, &self->context, self->state, &self->output, frame);
    if (status == 0) {
        checkpoints_add(&self->checkpoints, frame);
    }
    return status;
}

void runner_acknowledge(struct runner *self)
{
    if (runner_has_checkpoints(self)) {
        uint64_t below = self->producer == NULL ? UINT64_MAX : producer_ack(self->producer);
        consumer_ack(self->consumers[0], checkpoints_prune(&self->checkpoints, below));
    } else if (self->stage->flush == NULL) {
        for (size_t i = 0; i < self->options.n_inputs; i++) {
            consumer_ack(self->consumers[i], consumer_position(self->consumers[i]));
        }
    }
}

int runner_save(struct runner *self)
{
    int status = 0;
    if (runner_has_checkpoints(self)) {
        status = runner_save_checkpoint(self);
    } else if (self->stage->flush != NULL) {
        status = self->stage->flush(&self->context, self->state);
        for (size_t i = 0; status == 0 && i < self->options.n_inputs; i++) {
            consumer_ack(self->consumers[i], consumer_position(self->consumers[i]));
        }
    }
    runner_note_saved(self);
    return status;
}

void runner_note_saved(struct runner *self)
{
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        self->saved[i] = consumer_position(self->consumers[i]);
    }
    self->saved_ms = clock_ms();
}

bool runner_save_is_due(const struct runner *self)
{
    bool any = false, pressed = false; /* pressed: a producer may soon have to wait for our acknowledgement */
    for (size_t i = 0; i < self->options.n_inputs; i++) {
        uint64_t unsaved = consumer_position(self->consumers[i]) - self->saved[i];
        any = any || unsaved > 0;
        pressed = pressed || unsaved >= self->infos[i].ring / 4;
    }
    if (!any) {
        return false;
    }
    int64_t ms = clock_ms();
    return pressed || (double)(ms - self->saved_ms) >= self->options.checkpoint_s * 1000.0 ||
           (ms - self->fed_ms >= STARVED_MS && ms - self->saved_ms >= STARVED_MS);
}

static int save_layer(struct runner *self)
{
    char path[4096 + 128];
    if (self->stage->save == NULL || runner_is_source(self)) {
        return 0;
    }
    snprintf(path, sizeof path, "%s/layers/%s.h5", self->options.run, self->options.name);
    int status = durable_file_make_folders(path);
    return status < 0 ? status
                      : stage_file_write(path, self->stage, &self->context, self->state, &self->output,
                                         runner_position(self));
}

int runner_save_all(struct runner *self)
{
    int status = runner_save(self);
    return status < 0 ? status : save_layer(self);
}

int runner_resume(struct runner *self, uint64_t *from)
{
    if (self->stage->resume != NULL) {
        return self->stage->resume(&self->context, self->state, from);
    }
    if (!runner_has_checkpoints(self)) {
        return 0;
    }
    int status = checkpoints_open(&self->checkpoints, self->options.run, self->options.name);
    if (status < 0 || self->checkpoints.count == 0) {
        return status;
    }
    char path[sizeof self->checkpoints.folder + 128];
    *from = self->checkpoints.frames[0];
    checkpoints_path(&self->checkpoints, *from, path, sizeof path);
    status = stage_file_read(path, self->stage, &self->context, self->state, &self->output);
    if (status == 0) {
        checkpoints_rewind(&self->checkpoints);
        log_info("continues at frame %ju", (uintmax_t)*from);
    }
    return status;
}

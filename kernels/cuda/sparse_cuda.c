/* The sparse layer on the GPU, host side; the kernels are in sparse.cu.
 *
 * Weights stay on the device. Frames go there through two staging buffers in turn, so that copies run beside the kernels,
 * and results come back the same way. */
#include <stdlib.h>
#include <string.h>

#include "gpu.h"
#include "lateral.h"
#include "memory.h"
#include "sparse_body.h"
#include "sparse_launch.h"

#ifdef LOOM_CUDA_THREADS                /* for tests without a GPU */
#define THREADS (3 * LOOM_CUDA_THREADS) /* several warps */
#else
#define THREADS 512 /* of the block that goes through the frames */
#endif
#define STAGING_BYTES ((size_t)8 << 20) /* of frames, about */
#define DRIVES_BYTES ((size_t)64 << 20) /* at most, about */
#define FRAMES_MAX 2048                 /* in one turn */

/* One turn's frames and results, staged on the host and on the device. */
struct turn {
    void *frames; /* staging: floats, or bytes */
    float *value, *residual;
    uint32_t *index;
    uint8_t *bytes;          /* device: frames as bytes */
    float *v, *code, *error; /* device: frames, value, residual */
    uint32_t *winner;        /* device: index */
    size_t first, n;         /* the frames of the call that it holds */
};

struct layer {
    struct sparse_config config;
    struct gpu gpu;
    struct sparse_device device;
    struct sparse_launch launch; /* all but what belongs to a turn */
    size_t N, room;              /* room: frames of a turn */
    size_t at_once;              /* frames whose drives there is room for */
    struct turn turns[GPU_TURNS];
    int failed; /* what the GPU failed with: nothing can be trusted any more */
};

static void cuda_destroy(void *layer)
{
    struct layer *self = layer;
    if (!self) {
        return;
    }
    gpu_settle(&self->gpu);
    for (size_t t = 0; t < GPU_TURNS; t++) {
        struct turn *turn = &self->turns[t];
        gpu_free_staging(turn->frames);
        gpu_free_staging(turn->value);
        gpu_free_staging(turn->residual);
        gpu_free_staging(turn->index);
        gpu_free(turn->bytes);
        gpu_free(turn->v);
        gpu_free(turn->code);
        gpu_free(turn->error);
        gpu_free(turn->winner);
    }
    gpu_free(self->launch.W);
    gpu_free(self->launch.sums);
    gpu_free(self->launch.drives);
    gpu_free(self->launch.pixel);
    gpu_free(self->launch.level);
    gpu_free(self->launch.count);
    gpu_free(self->launch.work);
    gpu_close(&self->gpu);
    free(self);
}

static int new_turn(struct turn *turn, size_t room, size_t P, size_t k)
{
    int rc;
    if ((rc = gpu_new_staging(&turn->frames, room * P, sizeof(float))) ||
        (rc = gpu_new_staging(&turn->value, room * k, sizeof(float))) ||
        (rc = gpu_new_staging(&turn->residual, room * 2, sizeof(float))) ||
        (rc = gpu_new_staging(&turn->index, room * k, sizeof(uint32_t))) ||
        (rc = gpu_new(&turn->bytes, room * P + 3, sizeof(uint8_t))) || /* read four at a time */
        (rc = gpu_new(&turn->v, room * P, sizeof(float))) ||
        (rc = gpu_new(&turn->code, room * k, sizeof(float))) ||
        (rc = gpu_new(&turn->error, room * 2, sizeof(float)))) {
        return rc;
    }
    return gpu_new(&turn->winner, room * k, sizeof(uint32_t));
}

/* A multiple of SPARSE_BLOCK from SPARSE_BLOCK to FRAMES_MAX: as many frames of so many bytes as fit into `bytes`. */
static size_t frames_in(size_t bytes, size_t frame_bytes)
{
    const size_t fit = bytes / frame_bytes / SPARSE_BLOCK * SPARSE_BLOCK;
    return fit < SPARSE_BLOCK ? SPARSE_BLOCK : fit < FRAMES_MAX ? fit : FRAMES_MAX;
}

static int new_memory(struct layer *self)
{
    struct sparse_launch *launch = &self->launch;
    const size_t P = self->config.P, N = self->N, k = self->config.k, stride = launch->stride;
    const size_t lists = self->room * SPARSE_SEGMENTS;
    int rc;
    if ((rc = gpu_new(&launch->W, N * P, sizeof(float))) || (rc = gpu_new(&launch->sums, N, sizeof(float))) ||
        (rc = gpu_new(&launch->drives, self->at_once * stride, sizeof(float))) ||
        (rc = gpu_new(&launch->pixel, lists * launch->segment, sizeof(uint32_t))) ||
        (rc = gpu_new(&launch->level, lists * launch->segment, sizeof(float))) ||
        (rc = gpu_new(&launch->count, lists, sizeof(uint32_t)))) {
        return rc;
    }
    if (!sparse_fits(launch, &self->device)) {
        while (launch->block > 1 && !sparse_fits_apart(launch, &self->device)) {
            launch->block /= 2; /* no result depends on it */
        }
        launch->blocks = self->device.multiprocessors;
        rc = gpu_new(&launch->work, (size_t)launch->blocks * 5 * stride, sizeof(uint32_t));
    }
    for (size_t t = 0; !rc && t < GPU_TURNS; t++) {
        rc = new_turn(&self->turns[t], self->room, P, k);
    }
    return rc;
}

static int cuda_set_weights(void *layer, const float *W);

static int cuda_new(void **layer_p, const struct sparse_config *config)
{
    const size_t N = config->Kx * config->Ky;
    *layer_p = NULL;
    if (N > INT32_MAX || config->P > INT32_MAX) {
        return kernel_fail(KERNEL_EUNSUPPORTED, "the layer is too large for the CUDA body");
    }
    struct layer *self = memory_new(1, sizeof *self);
    float *none = NULL;
    if (!self) {
        return KERNEL_ENOMEM;
    }
    int rc = gpu_open(&self->gpu);
    if (rc) {
        goto fail;
    }
    self->config = *config;
    self->N = N;
    self->device = (struct sparse_device){self->gpu.shared_bytes, self->gpu.multiprocessors, THREADS};
    self->launch = (struct sparse_launch){
        .P = (uint32_t)config->P,
        .N = (uint32_t)N,
        .k = (uint32_t)config->k,
        .segment = (uint32_t)((config->P + SPARSE_SEGMENTS - 1) / SPARSE_SEGMENTS),
        .stride = (uint32_t)(N + 3) / 4 * 4,
        .box = lateral_box_of(config->Kx, config->Ky, config->radius, config->strength),
        .rate = (float)config->rate,
        .block = SPARSE_BLOCK,
    };
    self->room = frames_in(STAGING_BYTES, config->P * sizeof(float));
    self->at_once = frames_in(DRIVES_BYTES, self->launch.stride * sizeof(float));
    if (self->at_once > self->room) { /* a turn has no more */
        self->at_once = self->room;
    }
    rc = gpu_check(sparse_prepare(&self->device), "preparing kernels");
    rc = rc ? rc : new_memory(self);
    if (rc) {
        goto fail;
    }
    rc = KERNEL_ENOMEM;
    none = memory_new(N, config->P * sizeof *none);
    if (none) {
        rc = cuda_set_weights(self, none);
    }
    free(none);
    if (rc) {
        goto fail;
    }
    *layer_p = self;
    return KERNEL_OK;
fail:
    cuda_destroy(self);
    return rc;
}

static int cuda_set_weights(void *layer, const float *W)
{
    struct layer *self = layer;
    if (self->failed) {
        return self->failed;
    }
    const size_t count = self->N * self->config.P;
    float *raised = memory_new(count, sizeof *raised);
    if (!raised) {
        return KERNEL_ENOMEM;
    }
    for (size_t q = 0; q < count; q++) {
        raised[q] = W[q] > SPARSE_FLOOR ? W[q] : SPARSE_FLOOR;
    }
    int rc = gpu_put(&self->gpu, self->launch.W, raised, count * sizeof *raised);
    free(raised);
    rc = rc ? rc
            : gpu_check(sparse_launch_sums(&self->launch, &self->device, self->gpu.stream),
                        "adding up weights");
    self->failed = rc;
    return rc;
}

static int cuda_get_weights(const void *layer, float *W)
{
    struct layer *self = (struct layer *)layer; /* copying makes the GPU's stream work, and changes nothing */
    return self->failed ? self->failed
                        : gpu_get(&self->gpu, W, self->launch.W, self->N * self->config.P * sizeof *W);
}

/* The weights are all there is. */
static size_t cuda_state_bytes(const void *layer)
{
    (void)layer;
    return 0;
}

static void cuda_save_state(const void *layer, void *state)
{
    (void)layer;
    (void)state;
}

static void cuda_load_state(void *layer, const void *state)
{
    (void)layer;
    (void)state;
}

/* What cuda_run has been asked for. */
struct job {
    uint32_t *index;
    float *value, *residual;
    const void *frames; /* n x P */
    bool bytes;         /* whether they are bytes, not floats */
    size_t n;
    bool learn;
};

/* Enqueue the copy of a turn's frames to the device, where they are floats in the end. */
static int send_frames(struct layer *self, size_t t, const struct job *job)
{
    struct turn *turn = &self->turns[t];
    const size_t size = job->bytes ? sizeof(uint8_t) : sizeof(float), count = turn->n * self->config.P;
    const struct sparse_bytes widen = {turn->v, turn->bytes, count};
    memcpy(turn->frames, (const unsigned char *)job->frames + turn->first * self->config.P * size,
           count * size);
    int rc = gpu_send(&self->gpu, job->bytes ? (void *)turn->bytes : turn->v, turn->frames, count * size);
    rc = rc ? rc : gpu_sent(&self->gpu, t);
    if (!rc && job->bytes) {
        rc = gpu_check(sparse_launch_widen(&widen, self->gpu.stream), "reading bytes");
    }
    return rc;
}

/* Enqueue all that a turn's frames need. */
static int start_turn(struct layer *self, size_t t, const struct job *job)
{
    struct turn *turn = &self->turns[t];
    const size_t P = self->config.P, k = self->config.k, n = turn->n;
    const size_t most = job->learn ? self->launch.block : self->at_once;
    struct sparse_launch s = self->launch;
    struct gpu *gpu = &self->gpu;
    s.v = turn->v;
    s.frames = (uint32_t)n;
    int rc = send_frames(self, t, job);
    if (!rc && job->learn) {
        rc = gpu_check(sparse_launch_lists(&s, gpu->stream), "listing pixels");
    }
    for (size_t f = 0; !rc && f < n; f += most) {
        const size_t lists = f * SPARSE_SEGMENTS;
        s.frames = (uint32_t)(n - f < most ? n - f : most);
        s.v = turn->v + f * P;
        s.pixel = self->launch.pixel + lists * s.segment;
        s.level = self->launch.level + lists * s.segment;
        s.count = self->launch.count + lists;
        s.index = turn->winner + f * k;
        s.value = turn->code + f * k;
        s.residual = turn->error + f * 2;
        rc = gpu_check(sparse_launch_drives(&s, gpu->stream), "computing drives");
        rc = rc ? rc
                : gpu_check(sparse_launch_frames(s, &self->device, job->learn, gpu->stream),
                            "going through frames");
    }
    if (rc || (rc = gpu_fetch(gpu, turn->index, turn->winner, n * k * sizeof *turn->index)) ||
        (rc = gpu_fetch(gpu, turn->value, turn->code, n * k * sizeof *turn->value)) ||
        (rc = gpu_fetch(gpu, turn->residual, turn->error, n * 2 * sizeof *turn->residual))) {
        return rc;
    }
    return gpu_end_turn(gpu, t);
}

/* Wait for a turn and hand its results over. */
static int end_turn(struct layer *self, size_t t, const struct job *job)
{
    struct turn *turn = &self->turns[t];
    const size_t k = self->config.k;
    int rc = gpu_wait_turn(&self->gpu, t);
    if (!rc) {
        memcpy(job->index + turn->first * k, turn->index, turn->n * k * sizeof *turn->index);
        memcpy(job->value + turn->first * k, turn->value, turn->n * k * sizeof *turn->value);
        memcpy(job->residual + turn->first * 2, turn->residual, turn->n * 2 * sizeof *turn->residual);
    }
    return rc;
}

static int run(struct layer *self, const struct job *job)
{
    size_t started = 0, ended = 0;
    int rc = self->failed;
    for (size_t first = 0; !rc && (first < job->n || ended < started);) {
        if (first < job->n && started < ended + GPU_TURNS) {
            struct turn *turn = &self->turns[started % GPU_TURNS];
            turn->first = first;
            turn->n = job->n - first < self->room ? job->n - first : self->room;
            first += turn->n;
            rc = start_turn(self, started++ % GPU_TURNS, job);
        } else {
            rc = end_turn(self, ended++ % GPU_TURNS, job);
        }
    }
    self->failed = rc;
    return rc;
}

static int cuda_run(void *layer, uint32_t *index, float *value, float *residual, const float *frames,
                    size_t n, bool learn)
{
    return run(layer, &(struct job){index, value, residual, frames, false, n, learn});
}

static int cuda_run_bytes(void *layer, uint32_t *index, float *value, float *residual, const uint8_t *frames,
                          size_t n, bool learn)
{
    return run(layer, &(struct job){index, value, residual, frames, true, n, learn});
}

const struct sparse_body sparse_body_cuda = {
    .name = "cuda",
    .new = cuda_new,
    .destroy = cuda_destroy,
    .set_weights = cuda_set_weights,
    .get_weights = cuda_get_weights,
    .state_bytes = cuda_state_bytes,
    .save_state = cuda_save_state,
    .load_state = cuda_load_state,
    .run = cuda_run,
    .run_bytes = cuda_run_bytes,
};

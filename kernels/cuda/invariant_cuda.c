/* The invariant layer on the GPU, host side, both rules; the kernels are in topo.cu and smooth.cu.
 *
 * Weights stay on the device, column by column. What a layer remembers from frame to frame goes to the device with every call and
 * comes back with it: it is small, and so it can be saved, and a pass begun, without the GPU. */
#include <stdlib.h>
#include <string.h>

#include "gpu.h"
#include "invariant_body.h"
#include "invariant_launch.h"
#include "lateral.h"
#include "memory.h"

#ifndef LOOM_CUDA_THREADS
#define THREADS_TOPO 512
#define THREADS_SMOOTH 256
#else /* for tests without a GPU */
#define THREADS_TOPO (2 * LOOM_CUDA_THREADS)
#define THREADS_SMOOTH (3 * LOOM_CUDA_THREADS)
#endif
#define STAGING_BYTES ((size_t)8 << 20) /* of a turn, about */
#define FRAMES_MAX 4096                 /* in one turn */

/* One turn's codes and results, staged on the host and on the device. */
struct turn {
    uint32_t *index; /* staging */
    float *value, *activations, *residual;
    uint32_t *index_of; /* device */
    float *value_of, *output, *parts, *error;
    size_t first, n; /* the codes of the call that it holds */
};

/* What outlasts a frame, in one block, so that saving it is one copy. */
struct memory {
    uint64_t k_1; /* SMOOTH: entries of the code one frame ago */
    uint64_t t;   /* TOPO: frames of the pass so far */
    float io[];   /* TOPO: io (M). SMOOTH: io_1 (M), io_2 (M), value_1 (N), and index_1 (N) as its bits */
};

struct layer {
    struct invariant_config config;
    struct gpu gpu;
    struct invariant_device device;
    struct invariant_launch launch;
    size_t M, k, room; /* k, room: what the turns have room for; 0: nothing yet */
    struct memory *memory;
    size_t floats;     /* of memory->io */
    float *remembered; /* the same on the device */
    size_t work_bytes; /* of launch.work */
    struct turn turns[GPU_TURNS];
    int failed; /* what the GPU failed with: nothing can be trusted any more */
};

static void free_turns(struct layer *self)
{
    for (size_t t = 0; t < GPU_TURNS; t++) {
        struct turn *turn = &self->turns[t];
        gpu_free_staging(turn->index);
        gpu_free_staging(turn->value);
        gpu_free_staging(turn->activations);
        gpu_free_staging(turn->residual);
        gpu_free(turn->index_of);
        gpu_free(turn->value_of);
        gpu_free(turn->output);
        gpu_free(turn->parts);
        gpu_free(turn->error);
        *turn = (struct turn){0};
    }
    self->k = self->room = 0;
}

static void cuda_destroy(void *layer)
{
    struct layer *self = layer;
    if (!self) {
        return;
    }
    gpu_settle(&self->gpu);
    free_turns(self);
    gpu_free(self->launch.U);
    gpu_free(self->remembered);
    gpu_free(self->launch.work);
    gpu_close(&self->gpu);
    free(self->memory);
    free(self);
}

/* Turns with room for codes of k entries; without any room if that fails. */
static int new_turns(struct layer *self, size_t k)
{
    const size_t M = self->M, fit = STAGING_BYTES / ((M + 2 * k) * sizeof(float));
    const size_t room = fit < 1 ? 1 : fit < FRAMES_MAX ? fit : FRAMES_MAX;
    int rc = KERNEL_OK;
    free_turns(self);
    for (size_t t = 0; t < GPU_TURNS; t++) {
        struct turn *turn = &self->turns[t];
        if ((rc = gpu_new_staging(&turn->index, room * k, sizeof(uint32_t))) ||
            (rc = gpu_new_staging(&turn->value, room * k, sizeof(float))) ||
            (rc = gpu_new_staging(&turn->activations, room * M, sizeof(float))) ||
            (rc = gpu_new_staging(&turn->residual, room * 2, sizeof(float))) ||
            (rc = gpu_new(&turn->index_of, room * k, sizeof(uint32_t))) ||
            (rc = gpu_new(&turn->value_of, room * k, sizeof(float))) ||
            (rc = gpu_new(&turn->output, room * M, sizeof(float))) ||
            (rc = gpu_new(&turn->parts, room * k * 2, sizeof(float))) ||
            (rc = gpu_new(&turn->error, room * 2, sizeof(float)))) {
            free_turns(self);
            return rc;
        }
    }
    self->k = k;
    self->room = room;
    return KERNEL_OK;
}

static int new_memory(struct layer *self)
{
    struct invariant_launch *launch = &self->launch;
    const size_t M = self->M, N = self->config.N, smooth = self->config.rule == INVARIANT_SMOOTH;
    self->floats = smooth ? 2 * M + 2 * N : M;
    self->memory = memory_new(1, sizeof *self->memory + self->floats * sizeof *self->memory->io);
    if (!self->memory) {
        return KERNEL_ENOMEM;
    }
    int rc = gpu_new(&launch->U, N * M, sizeof(float));
    rc = rc ? rc : gpu_new(&self->remembered, self->floats, sizeof(float));
    if (rc) {
        return rc;
    }
    launch->io = launch->io_1 = self->remembered; /* of one rule or the other */
    if (smooth) {
        launch->io_2 = launch->io_1 + M;
        launch->value_1 = launch->io_2 + M;
        launch->index_1 = (uint32_t *)(launch->value_1 + N);
    }
    return KERNEL_OK;
}

static int cuda_set_weights(void *layer, const float *U);

/* Blocks that share a TOPO layer's columns. */
static uint32_t cluster_of(const struct gpu *gpu)
{
    const uint32_t most = gpu->cluster_max > 1 ? topo_cluster(gpu->shared_bytes, THREADS_TOPO) : 1;
    return most < gpu->cluster_max ? most : gpu->cluster_max;
}

static void describe(struct layer *self)
{
    const struct invariant_config *config = &self->config;
    const int smooth = config->rule == INVARIANT_SMOOTH;
    const size_t m = config->winners < self->M ? config->winners : 0;
    self->launch = (struct invariant_launch){
        .N = (uint32_t)config->N,
        .M = (uint32_t)self->M,
        .winners = (uint32_t)m,
        .box = lateral_box_of(config->Ix, config->Iy, config->radius, smooth ? 0 : config->strength),
        .leak = (float)config->leak,
        .active_rate = (float)config->active_rate,
        .inactive_rate = (float)config->inactive_rate,
        .normalize_every = config->normalize_every,
        .row_sum = (double)config->N / (double)self->M,
        .smooth_rate = (float)config->smooth_rate,
        .reconstruction_rate = (float)config->reconstruction_rate,
    };
    self->device = (struct invariant_device){
        .shared_bytes = self->gpu.shared_bytes,
        .cluster = smooth ? 1 : cluster_of(&self->gpu),
        .threads = smooth ? THREADS_SMOOTH : THREADS_TOPO,
        .multiprocessors = self->gpu.multiprocessors,
    };
}

/* What the kernels use of global memory, for codes of k entries. */
static int new_work(struct layer *self, size_t k)
{
    struct invariant_launch s = self->launch;
    const bool smooth = self->config.rule == INVARIANT_SMOOTH;
    s.k = (uint32_t)k;
    s.k_1 = (uint32_t)self->memory->k_1;
    const size_t bytes = smooth ? smooth_work(&s, &self->device) : topo_work(&s, &self->device);
    if (bytes <= self->work_bytes) {
        return KERNEL_OK;
    }
    gpu_free(self->launch.work);
    self->launch.work = NULL;
    self->work_bytes = 0;
    int rc = gpu_new(&self->launch.work, bytes, 1);
    self->work_bytes = rc ? 0 : bytes;
    return rc;
}

/* Make room for codes of k entries, wherever they need any. */
static int make_room(struct layer *self, size_t k)
{
    int rc = k > self->k || self->room == 0 ? new_turns(self, k) : KERNEL_OK;
    return rc ? rc : new_work(self, k);
}

static int cuda_new(void **layer_p, const struct invariant_config *config)
{
    const size_t M = config->Ix * config->Iy;
    *layer_p = NULL;
    if (config->N > INT32_MAX || M > INT32_MAX) {
        return kernel_fail(KERNEL_EUNSUPPORTED, "the layer is too large for the CUDA body");
    }
    struct layer *self = memory_new(1, sizeof *self);
    float *none = NULL;
    if (!self) {
        return KERNEL_ENOMEM;
    }
    self->config = *config;
    self->M = M;
    int rc = gpu_open(&self->gpu);
    if (rc) {
        goto fail;
    }
    describe(self);
    rc = gpu_check(config->rule == INVARIANT_SMOOTH ? smooth_prepare(&self->device)
                                                    : topo_prepare(&self->device),
                   "preparing kernels");
    rc = rc ? rc : new_memory(self);
    if (rc) {
        goto fail;
    }
    rc = KERNEL_ENOMEM;
    none = memory_new(M, config->N * sizeof *none);
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

static int cuda_set_weights(void *layer, const float *U)
{
    struct layer *self = layer;
    const size_t M = self->M, N = self->config.N;
    if (self->failed) {
        return self->failed;
    }
    float *columns = memory_new(N, M * sizeof *columns);
    if (!columns) {
        return KERNEL_ENOMEM;
    }
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            const float u = U[i * N + j];
            columns[j * M + i] = u > INVARIANT_FLOOR ? u : INVARIANT_FLOOR;
        }
    }
    int rc = gpu_put(&self->gpu, self->launch.U, columns, N * M * sizeof *columns);
    free(columns);
    self->failed = rc;
    return rc;
}

static int cuda_get_weights(const void *layer, float *U)
{
    struct layer *self = (struct layer *)layer; /* copying makes the GPU's stream work, and changes nothing */
    const size_t M = self->M, N = self->config.N;
    float *columns = memory_new(N, M * sizeof *columns);
    if (!columns) {
        return KERNEL_ENOMEM;
    }
    int rc =
        self->failed ? self->failed : gpu_get(&self->gpu, columns, self->launch.U, N * M * sizeof *columns);
    for (size_t i = 0; !rc && i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            U[i * N + j] = columns[j * M + i];
        }
    }
    free(columns);
    return rc;
}

static size_t cuda_state_bytes(const void *layer)
{
    const struct layer *self = layer;
    return sizeof *self->memory + self->floats * sizeof *self->memory->io;
}

static void cuda_save_state(const void *layer, void *state)
{
    const struct layer *self = layer;
    memcpy(state, self->memory, cuda_state_bytes(self));
}

static void cuda_load_state(void *layer, const void *state)
{
    struct layer *self = layer;
    memcpy(self->memory, state, cuda_state_bytes(self));
    const size_t N = self->config.N, smooth = self->config.rule == INVARIANT_SMOOTH;
    uint64_t *k_1 = &self->memory->k_1;
    *k_1 = smooth && *k_1 <= N ? *k_1 : 0; /* not ours: stay within memory */
    for (size_t a = 0; a < *k_1; a++) {
        uint32_t index;
        memcpy(&index, self->memory->io + 2 * self->M + N + a, sizeof index);
        if (index >= N) {
            *k_1 = 0;
        }
    }
}

static void cuda_begin_pass(void *layer)
{
    struct layer *self = layer;
    memset(self->memory, 0, cuda_state_bytes(self));
}

/* Enqueue all that a turn's codes need. */
static int start_turn(struct layer *self, size_t t, const uint32_t *index, const float *value, size_t k,
                      bool learn)
{
    struct turn *turn = &self->turns[t];
    const size_t n = turn->n, M = self->M;
    struct gpu *gpu = &self->gpu;
    struct invariant_launch s = self->launch;
    int rc;
    memcpy(turn->index, index + turn->first * k, n * k * sizeof *index);
    memcpy(turn->value, value + turn->first * k, n * k * sizeof *value);
    s.k = (uint32_t)k;
    s.k_1 = (uint32_t)self->memory->k_1;
    s.t = self->memory->t;
    s.frames = (uint32_t)n;
    s.learn = learn;
    s.index = turn->index_of;
    s.value = turn->value_of;
    s.activations = turn->output;
    s.parts = turn->parts;
    s.residual = turn->error;
    if ((rc = gpu_send(gpu, turn->index_of, turn->index, n * k * sizeof *index)) ||
        (rc = gpu_send(gpu, turn->value_of, turn->value, n * k * sizeof *value)) || (rc = gpu_sent(gpu, t))) {
        return rc;
    }
    rc = gpu_check(self->config.rule == INVARIANT_SMOOTH ? smooth_launch(s, &self->device, gpu->stream)
                                                         : topo_launch(s, &self->device, gpu->stream),
                   "going through codes");
    self->memory->t += n;
    self->memory->k_1 = k;
    if (rc || (rc = gpu_fetch(gpu, turn->activations, turn->output, n * M * sizeof(float))) ||
        (rc = gpu_fetch(gpu, turn->residual, turn->error, n * 2 * sizeof(float)))) {
        return rc;
    }
    return gpu_end_turn(gpu, t);
}

/* Wait for a turn and hand its results over. */
static int end_turn(struct layer *self, size_t t, float *activations, float *residual)
{
    struct turn *turn = &self->turns[t];
    int rc = gpu_wait_turn(&self->gpu, t);
    if (!rc) {
        memcpy(activations + turn->first * self->M, turn->activations,
               turn->n * self->M * sizeof *activations);
        memcpy(residual + turn->first * 2, turn->residual, turn->n * 2 * sizeof *residual);
    }
    return rc;
}

static int cuda_run(void *layer, float *activations, float *residual, const uint32_t *index,
                    const float *value, size_t k, size_t n, bool learn)
{
    struct layer *self = layer;
    size_t started = 0, ended = 0;
    const size_t remembered = self->floats * sizeof *self->remembered;
    if (self->failed) {
        return self->failed;
    }
    int rc = make_room(self, k);
    if (rc == KERNEL_ENOMEM) {
        return rc; /* nothing has been done yet: the layer is whole */
    }
    rc = rc ? rc : gpu_put(&self->gpu, self->remembered, self->memory->io, remembered);
    for (size_t first = 0; !rc && (first < n || ended < started);) {
        if (first < n && started < ended + GPU_TURNS) {
            struct turn *turn = &self->turns[started % GPU_TURNS];
            turn->first = first;
            turn->n = n - first < self->room ? n - first : self->room;
            first += turn->n;
            rc = start_turn(self, started++ % GPU_TURNS, index, value, k, learn);
        } else {
            rc = end_turn(self, ended++ % GPU_TURNS, activations, residual);
        }
    }
    rc = rc ? rc : gpu_get(&self->gpu, self->memory->io, self->remembered, remembered);
    self->failed = rc;
    return rc;
}

#define BODY                                                                                                 \
    {                                                                                                        \
        .name = "cuda", .new = cuda_new, .destroy = cuda_destroy, .set_weights = cuda_set_weights,           \
        .get_weights = cuda_get_weights, .state_bytes = cuda_state_bytes, .save_state = cuda_save_state,     \
        .load_state = cuda_load_state, .begin_pass = cuda_begin_pass, .run = cuda_run,                       \
    }

const struct invariant_body invariant_body_cuda = BODY; /* the configuration says which rule */

/* The invariant layer, rule SMOOTH, on the GPU; the rule is in ../invariant.h.
 *
 * Only the columns that are active now or were one frame ago change, so one block goes through the frames in one
 * launch, with the columns in global memory (which is the L2 cache for layers of the usual sizes). Working memory that does
 * not fit into shared memory lies there, too. */
#include "columns.cuh"
#include "launch.cuh"
#include "residual.cuh"

struct room {
    struct choice_room choice;
    uint32_t *index; /* 2 x entries: the codes of this frame and the one before, by turns */
    float *value;    /* 2 x entries */
    float *io;       /* 3 x M: this frame's output and those of the two before, by turns */
    size_t bytes;
};

static __host__ __device__ inline uint32_t entries(const struct invariant_launch *s)
{
    return s->k > s->k_1 ? s->k : s->k_1;
}

static __host__ __device__ inline void lay_out(struct room *room, const struct invariant_launch *s,
                                               uint32_t warps, unsigned char *at)
{
    unsigned char *const begin = at;
    at = lay_out_choice(&room->choice, s, warps, at);
    room->index = (uint32_t *)at, at += (size_t)2 * entries(s) * sizeof *room->index;
    room->value = (float *)at, at += (size_t)2 * entries(s) * sizeof *room->value;
    room->io = (float *)at, at += (size_t)3 * s->M * sizeof *room->io;
    room->bytes = (size_t)(at - begin);
}

/* The code of frame f into shared memory. */
static __device__ inline void fetch_code(const struct invariant_launch *s, uint32_t *index, float *value,
                                         uint32_t f)
{
    for (uint32_t a = threadIdx.x; a < s->k; a += blockDim.x) {
        index[a] = s->index[(size_t)f * s->k + a];
        value[a] = s->value[(size_t)f * s->k + a];
    }
}

/* io = the winners of U s */
static __device__ inline void excite(float *io, const struct invariant_launch *s, const struct room *room,
                                     const uint32_t *index, const float *value)
{
    for (uint32_t i = threadIdx.x; i < s->M; i += blockDim.x) {
        float drive = 0;
        for (uint32_t a = 0; a < s->k; a++) {
            drive = fmaf(s->U[(size_t)index[a] * s->M + i], value[a], drive);
        }
        io[i] = drive;
    }
    keep_winners(io, &room->choice, s);
}

/* The columns active one frame ago follow the interpolation of their neighbours in time: a warp a column. */
static __device__ inline void smooth(const struct invariant_launch *s, const float *io, const float *io_1,
                                     const float *io_2, const uint32_t *index_1, const float *value_1,
                                     uint32_t k_1)
{
    for (uint32_t a = warp(); a < k_1; a += warps()) {
        float *column = s->U + (size_t)index_1[a] * s->M;
        for (uint32_t i = lane(); i < s->M; i += WARP) {
            const float q = (io[i] + io_2[i]) / 2;
            column[i] = fmaxf(column[i] * fmaf(s->smooth_rate * (q - io_1[i]), value_1[a], 1), FLOOR);
        }
    }
}

/* Reconstruct the active columns, measure them, and let them learn: a warp a column. */
static __device__ inline void reconstruct(const struct invariant_launch *s, const float *io,
                                          const uint32_t *index, const float *value, uint32_t f)
{
    for (uint32_t a = warp(); a < s->k; a += warps()) {
        float *column = s->U + (size_t)index[a] * s->M, r = 0;
        if (!(value[a] > 0)) {
            continue;
        }
        for (uint32_t i = lane(); i < s->M; i += WARP) {
            r = fmaf(io[i], column[i], r);
        }
        r = warp_sum(r);
        if (lane() == 0) {
            float *part = s->parts + ((size_t)f * s->k + a) * 2;
            part[0] = (value[a] - r) * (value[a] - r);
            part[1] = value[a] * value[a];
        }
        if (s->learn && s->reconstruction_rate > 0) {
            learn_column(column, io, step_of(s->reconstruction_rate, value[a], r), s->M);
        }
    }
}

static __global__ void __launch_bounds__(512, 1) run_smooth(const struct invariant_launch s)
{
    SHARED_MEMORY(shared);
    struct room room;
    lay_out(&room, &s, warps(), s.work ? s.work : shared);
    const uint32_t room_for = entries(&s);
    for (uint32_t i = threadIdx.x; i < s.M; i += blockDim.x) {
        room.io[(size_t)2 * s.M + i] = s.io_1[i];
        room.io[s.M + i] = s.io_2[i];
    }
    for (uint32_t a = threadIdx.x; a < s.k_1; a += blockDim.x) {
        room.index[room_for + a] = s.index_1[a];
        room.value[room_for + a] = s.value_1[a];
    }
    uint32_t k_1 = s.k_1;
    for (uint32_t f = 0; f < s.frames; f++, k_1 = s.k) {
        const uint32_t now = f % 2 * room_for, before = room_for - now; /* where the codes lie */
        float *io = room.io + (size_t)(f % 3) * s.M;
        const float *io_1 = room.io + (size_t)((f + 2) % 3) * s.M,
                    *io_2 = room.io + (size_t)((f + 1) % 3) * s.M;
        fetch_code(&s, room.index + now, room.value + now, f);
        __syncthreads(); /* the code is there; the last frame's columns are written */
        excite(io, &s, &room, room.index + now, room.value + now);
        __syncthreads();
        if (s.learn && s.smooth_rate > 0) {
            smooth(&s, io, io_1, io_2, room.index + before, room.value + before, k_1);
        }
        for (uint32_t i = threadIdx.x; i < s.M; i += blockDim.x) {
            s.activations[(size_t)f * s.M + i] = io[i];
        }
        __syncthreads();
        reconstruct(&s, io, room.index + now, room.value + now, f);
        __syncthreads();
    }
    const uint32_t last = s.frames - 1;
    for (uint32_t i = threadIdx.x; i < s.M; i += blockDim.x) {
        s.io_1[i] = room.io[(size_t)(last % 3) * s.M + i];
        s.io_2[i] = room.io[(size_t)((last + 2) % 3) * s.M + i];
    }
    for (uint32_t a = threadIdx.x; a < s.k; a += blockDim.x) {
        s.index_1[a] = room.index[last % 2 * room_for + a];
        s.value_1[a] = room.value[last % 2 * room_for + a];
    }
}

static size_t room_bytes(const struct invariant_launch *s, const struct invariant_device *device)
{
    struct room room;
    unsigned char base[1]; /* only distances from it are used */
    lay_out(&room, s, device->threads / WARP, base);
    return room.bytes;
}

extern "C" int smooth_prepare(const struct invariant_device *device)
{
    return launch_allow(run_smooth, device->shared_bytes);
}

extern "C" size_t smooth_work(const struct invariant_launch *s, const struct invariant_device *device)
{
    const size_t bytes = room_bytes(s, device);
    return bytes > device->shared_bytes ? bytes : 0;
}

extern "C" int smooth_launch(struct invariant_launch s, const struct invariant_device *device, void *stream)
{
    const size_t bytes = room_bytes(&s, device);
    int error = clear(s.parts, (size_t)s.frames * s.k * 2 * sizeof *s.parts, stream);
    s.work = bytes > device->shared_bytes ? s.work : NULL;
    if (!error) {
        error = launch(run_smooth, s, 1, device->threads, s.work ? 0 : bytes, 1, stream);
    }
    return error ? error : launch_sum_parts(&s, stream);
}

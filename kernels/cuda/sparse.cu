/* The sparse layer on the GPU; the rule is in ../sparse.h, the launchers' contract in sparse_launch.h.
 *
 * Exact look-ahead, as on the CPU. For a block of frames the drives of all units are computed at once, over the
 * whole chip, with the weights of the block's start. Then one thread block goes through the frames in order. The
 * rows that have learned since the block began lie in its shared memory; their drives are computed again for
 * each frame before its winners are chosen. A frame costs six barriers and no launch.
 *
 * A drive is the sum of SPARSE_SEGMENTS partial sums, each taken pixel by pixel with fused multiply-adds, in
 * one order wherever it is computed; leaving out a pixel that is 0 changes nothing. So a drive has the same
 * bits whether it was computed ahead or again, and no result depends on where blocks begin. (Weights must be finite for that:
 * infinity times 0 is not 0. Those of a layer that diverges are not held back, as on the CPU.)
 *
 * Without learning there is nothing to wait for: blocks take frames as they come. */
#include "device.cuh"
#include "lateral.cuh"
#include "launch.cuh"
#include "sparse_launch.h"
#include "winners.cuh"

#define PRECISION 1e-10F
#define FLOOR 1e-37F /* SPARSE_FLOOR */
#define NO_SLOT 0xFFFFFFFFU

/* ---- Lists of pixels: a block a frame, a warp a segment. ---- */

static __global__ void list_pixels(const struct sparse_launch s)
{
    const uint32_t f = blockIdx.x, segment = warp(), first = segment * s.segment;
    const uint32_t end = first + s.segment < s.P ? first + s.segment : s.P;
    const size_t list = ((size_t)f * SPARSE_SEGMENTS + segment) * s.segment;
    const float *v = s.v + (size_t)f * s.P;
    uint32_t count = 0;
    for (uint32_t start = first; start < end; start += WARP) {
        const uint32_t q = start + lane();
        const float level = q < end ? v[q] : 0;
        const uint32_t used = __ballot_sync(ALL_LANES, level > 0);
        const uint32_t place = count + (uint32_t)__popc(used & ((1U << lane()) - 1));
        if (level > 0) {
            s.pixel[list + place] = q;
            s.level[list + place] = level;
        }
        count += (uint32_t)__popc(used);
    }
    if (lane() == 0) {
        s.count[(size_t)f * SPARSE_SEGMENTS + segment] = count;
    }
}

/* ---- Frames of bytes: v = byte / 255, rounded once, as the CPU computes it. ---- */

#define WIDEN_THREADS 256
#define WIDEN_BLOCKS 1024
#define WIDEN_EACH 4 /* bytes that a thread reads at once */

static __global__ void widen_frames(const struct sparse_bytes b)
{
    const size_t step = (size_t)gridDim.x * blockDim.x * WIDEN_EACH;
    for (size_t x = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * WIDEN_EACH; x < b.count; x += step) {
        const uint32_t four = *(const uint32_t *)(b.bytes + x);
#pragma unroll
        for (uint32_t e = 0; e < WIDEN_EACH; e++) {
            if (x + e < b.count) {
                b.v[x + e] = (float)(four >> 8 * e & 0xFF) / 255.0F;
            }
        }
    }
}

/* ---- Drives of a block of frames: a matrix product in tiles, every segment of pixels by threads of its own. ---- */

#define TILE 32                                  /* units and frames of a tile */
#define TILE_DEPTH 16                            /* pixels of a segment that lie in shared memory at a time */
#define TILE_PAD 4                               /* keeps rows 16-byte aligned and apart in the banks */
#define EACH 4                                   /* units, and frames, that a thread computes */
#define TILE_THREADS (TILE / EACH * TILE / EACH) /* for a segment */

struct tile {
    float w[TILE_DEPTH][TILE + TILE_PAD], v[TILE_DEPTH][TILE + TILE_PAD]; /* by pixel */
};

union tiles {
    struct tile of[SPARSE_SEGMENTS];
    float sum[SPARSE_SEGMENTS][TILE][TILE]; /* afterwards: of each segment, by frame and unit */
};

/* to[q][a] = from[(first + a) * P + start + q], 0 where there is no such row or pixel. By TILE_THREADS, of which this
 * is number t. */
static __device__ inline void load_tile(float (*to)[TILE + TILE_PAD], const float *from, uint32_t first,
                                        uint32_t rows, uint32_t start, uint32_t end, uint32_t P, uint32_t t)
{
#pragma unroll
    for (uint32_t x = t; x < TILE * TILE_DEPTH; x += TILE_THREADS) {
        const uint32_t a = x / TILE_DEPTH, q = x % TILE_DEPTH;
        to[q][a] = first + a < rows && start + q < end ? from[(size_t)(first + a) * P + start + q] : 0;
    }
}

static __device__ inline void multiply_tile(float (*sum)[EACH], const struct tile *t, uint32_t unit,
                                            uint32_t frame)
{
    for (uint32_t q = 0; q < TILE_DEPTH; q++) {
        float w[EACH], v[EACH];
#pragma unroll
        for (uint32_t a = 0; a < EACH; a++) {
            w[a] = t->w[q][unit + a];
            v[a] = t->v[q][frame + a];
        }
#pragma unroll
        for (uint32_t a = 0; a < EACH; a++) {
#pragma unroll
            for (uint32_t b = 0; b < EACH; b++) {
                sum[a][b] = fmaf(w[a], v[b], sum[a][b]);
            }
        }
    }
}

static __global__ void __launch_bounds__(SPARSE_SEGMENTS *TILE_THREADS)
    multiply_frames(const struct sparse_launch s)
{
    SHARED_MEMORY(shared);
    union tiles *tiles = (union tiles *)shared;
    const uint32_t across = (s.N + TILE - 1) / TILE;
    const uint32_t first_unit = blockIdx.x % across * TILE, first_frame = blockIdx.x / across * TILE;
    const uint32_t segment = threadIdx.x / TILE_THREADS, t = threadIdx.x % TILE_THREADS;
    const uint32_t unit = t % (TILE / EACH) * EACH, frame = t / (TILE / EACH) * EACH;
    const uint32_t first = segment * s.segment, end = first + s.segment < s.P ? first + s.segment : s.P;
    struct tile *tile = &tiles->of[segment];
    float sum[EACH][EACH] = {};
    for (uint32_t q = 0; q < s.segment;
         q += TILE_DEPTH) { /* as often for all, of whom some may have no pixels */
        __syncthreads();
        load_tile(tile->w, s.W, first_unit, s.N, first + q, end, s.P, t);
        load_tile(tile->v, s.v, first_frame, s.frames, first + q, end, s.P, t);
        __syncthreads();
        multiply_tile(sum, tile, unit, frame);
    }
    __syncthreads();
#pragma unroll
    for (uint32_t b = 0; b < EACH; b++) {
#pragma unroll
        for (uint32_t a = 0; a < EACH; a++) {
            tiles->sum[segment][frame + b][unit + a] = sum[a][b];
        }
    }
    __syncthreads();
    for (uint32_t x = threadIdx.x; x < TILE * TILE; x += blockDim.x) {
        const uint32_t i = first_unit + x % TILE, f = first_frame + x / TILE;
        float total = 0;
        for (uint32_t g = 0; g < SPARSE_SEGMENTS; g++) {
            total += tiles->sum[g][x / TILE][x % TILE];
        }
        if (i < s.N && f < s.frames) {
            s.drives[(size_t)f * s.stride + i] = total;
        }
    }
}

/* ---- The frames. ---- */

/* Where things lie in a block's shared memory, in this order; `units` may lie in global memory instead. */
struct room {
    uint64_t *candidates;      /* warps x k */
    float **target;            /* k: where the winners' rows are written; */
    const float **source;      /* k: and read */
    uint32_t *winners, *order; /* k each */
    float *p_of;               /* k: drives of the winners */
    float *partial;            /* warps x (k + 2): sums of rows, then |e|^2 and |v|^2 */
    uint32_t *changed;         /* 1: rows that have learned in this block of frames */
    uint32_t *unit_of;         /* of such a row; block x k */
    float *again;              /* SPARSE_SEGMENTS x block x k: partial sums of drives */
    float *p;                  /* 2 x stride: drives of this frame and of the next, by turns */
    float *column, *c;         /* stride each: see lateral.cuh */
    uint32_t *slot_of;         /* stride: which of the changed rows a unit is, or NO_SLOT */
    float *rows;               /* cached x row_stride: changed rows */
    size_t bytes;              /* of all but the cached rows */
};

static __host__ __device__ inline uint32_t rows_max(const struct sparse_launch *s, bool learn)
{
    return learn ? s->block * s->k : 0;
}

/* Lay out from `at` on; units_at: where the arrays over units go, NULL: among the others. */
static __host__ __device__ inline void lay_out(struct room *room, const struct sparse_launch *s,
                                               uint32_t warps, bool learn, unsigned char *at,
                                               uint32_t *units_at)
{
    unsigned char *const begin = at;
    const size_t k = s->k, rows = rows_max(s, learn), stride = s->stride;
    room->candidates = (uint64_t *)at, at += warps * k * sizeof *room->candidates;
    room->target = (float **)at, at += k * sizeof *room->target;
    room->source = (const float **)at, at += k * sizeof *room->source;
    room->winners = (uint32_t *)at, at += k * sizeof *room->winners;
    room->order = (uint32_t *)at, at += k * sizeof *room->order;
    room->p_of = (float *)at, at += k * sizeof *room->p_of;
    room->partial = (float *)at, at += warps * (k + 2) * sizeof *room->partial;
    room->changed = (uint32_t *)at, at += sizeof *room->changed;
    room->unit_of = (uint32_t *)at, at += rows * sizeof *room->unit_of;
    room->again = (float *)at, at += SPARSE_SEGMENTS * rows * sizeof *room->again;
    at += (16 - (size_t)(at - begin) % 16) % 16; /* for copies of 16 bytes */
    float *units = units_at ? (float *)units_at : (float *)at;
    room->p = units;
    room->column = units + 2 * stride;
    room->c = units + 3 * stride;
    room->slot_of = (uint32_t *)(units + 4 * stride);
    at += units_at ? 0 : 5 * stride * sizeof *units;
    room->rows = (float *)at;
    room->bytes = (size_t)(at - begin);
}

/* Partial sums of the drives that the changed rows have in frame f: a warp takes 32 rows and one segment. */
static __device__ inline void drive_again(const struct sparse_launch *s, const struct room *room,
                                          uint32_t changed, uint32_t f)
{
    const uint32_t rows = rows_max(s, true), tasks = (changed + WARP - 1) / WARP * SPARSE_SEGMENTS;
    for (uint32_t task = warp(); task < tasks; task += warps()) {
        const uint32_t segment = task % SPARSE_SEGMENTS, slot = task / SPARSE_SEGMENTS * WARP + lane();
        const size_t list = (size_t)f * SPARSE_SEGMENTS + segment;
        const uint32_t *pixel = s->pixel + list * s->segment, count = s->count[list];
        const float *level = s->level + list * s->segment;
        if (slot < changed) {
            const float *row = slot < s->cached ? room->rows + (size_t)slot * s->row_stride
                                                : s->W + (size_t)room->unit_of[slot] * s->P;
            float sum = 0;
            for (uint32_t a = 0; a < count; a++) {
                sum = fmaf(row[pixel[a]], level[a], sum);
            }
            room->again[segment * rows + slot] = sum;
        }
    }
}

/* A barrier later: put them together, in the order of multiply_frames. */
static __device__ inline void collect_again(float *p, const struct sparse_launch *s, const struct room *room,
                                            uint32_t changed)
{
    const uint32_t rows = rows_max(s, true);
    for (uint32_t slot = threadIdx.x; slot < changed; slot += blockDim.x) {
        float total = 0;
        for (uint32_t segment = 0; segment < SPARSE_SEGMENTS; segment++) {
            total += room->again[segment * rows + slot];
        }
        p[room->unit_of[slot]] = total;
    }
}

/* Where the winners' rows lie, and a place for those that learn for the first time in this block. One warp. */
template <bool LEARN>
static __device__ inline void find_rows(const struct sparse_launch *s, const struct room *room,
                                        const float *p, uint32_t f)
{
    uint32_t changed = *room->changed;
    for (uint32_t first = 0; first < s->k; first += WARP) {
        const uint32_t a = first + lane(), unit = a < s->k ? room->winners[a] : 0;
        float *row = s->W + (size_t)unit * s->P;
        const uint32_t known = LEARN && a < s->k ? room->slot_of[unit] : 0;
        const uint32_t fresh = __ballot_sync(ALL_LANES, known == NO_SLOT);
        const uint32_t slot =
            known == NO_SLOT ? changed + (uint32_t)__popc(fresh & ((1U << lane()) - 1)) : known;
        if (a < s->k) {
            float *cached = LEARN && slot < s->cached ? room->rows + (size_t)slot * s->row_stride : row;
            room->source[a] = known == NO_SLOT ? row : cached;
            room->target[a] = cached;
            room->p_of[a] = p[unit];
            s->index[(size_t)f * s->k + a] = unit;
            if (known == NO_SLOT) {
                room->slot_of[unit] = slot;
                room->unit_of[slot] = unit;
            }
        }
        changed += (uint32_t)__popc(fresh);
    }
    __syncwarp();
    if (LEARN && lane() == 0) {
        *room->changed = changed;
    }
}

/* Add up what the lanes of each warp have of sum number `which`; finish_frame adds up the warps. */
static __device__ inline void put_sum(const struct room *room, uint32_t k, uint32_t which, float x)
{
    x = warp_sum(x);
    if (lane() == 0) {
        room->partial[warp() * (k + 2) + which] = x;
    }
}

/* Reconstruct frame f from the winners' rows, measure, and let them learn; each thread has some of the pixels. */
template <bool LEARN>
static __device__ inline void learn_rows(const struct sparse_launch *s, const struct room *room, uint32_t f)
{
    const float *v = s->v + (size_t)f * s->P;
    float error = 0, square = 0;
    for (uint32_t q = threadIdx.x; q < s->P; q += blockDim.x) {
        float r = 0;
        for (uint32_t a = 0; a < s->k; a++) {
            r = fmaf(room->p_of[a], room->source[a][q], r);
        }
        const float e = v[q] - r, step = s->rate * e / fmaxf(r, PRECISION);
        error = fmaf(e, e, error);
        square = fmaf(v[q], v[q], square);
        for (uint32_t a = 0; LEARN && a < s->k; a++) {
            room->target[a][q] = fmaxf(room->source[a][q] * fmaf(room->p_of[a], step, 1), FLOOR);
        }
    }
    put_sum(room, s->k, s->k, error);
    put_sum(room, s->k, s->k + 1, square);
    for (uint32_t a = 0; LEARN && a < s->k; a++) {
        float sum = 0;
        for (uint32_t q = threadIdx.x; q < s->P; q += blockDim.x) {
            sum += room->target[a][q];
        }
        put_sum(room, s->k, a, sum);
    }
}

static __device__ inline float sum_of_warps(const float *partial, uint32_t k, uint32_t which)
{
    float sum = 0;
    for (uint32_t w = 0; w < warps(); w++) {
        sum += partial[w * (k + 2) + which];
    }
    return sum;
}

/* A barrier after learn_rows: the code and the residual of frame f. One warp. */
template <bool LEARN>
static __device__ inline void finish_frame(const struct sparse_launch *s, const struct room *room, uint32_t f)
{
    for (uint32_t a = lane(); a < s->k + 2; a += WARP) {
        if (a >= s->k) {
            s->residual[(size_t)f * 2 + a - s->k] = sum_of_warps(room->partial, s->k, a);
            continue;
        }
        const uint32_t unit = room->winners[a];
        if (LEARN) {
            s->sums[unit] = sum_of_warps(room->partial, s->k, a);
        }
        s->value[(size_t)f * s->k + a] = room->p_of[a] / s->sums[unit]; /* > 0, thanks to the floor */
    }
}

/* The winners of the frame whose drives are p, from a barrier to a barrier. */
template <bool LEARN>
static __device__ inline void choose_winners(const struct sparse_launch *s, const struct room *room,
                                             const float *p, uint32_t f)
{
    if (s->box.gain > 0) {
        lateral_columns(room->column, p, &s->box);
        __syncthreads();
        lateral_rows(room->c, p, room->column, &s->box);
    } else {
        for (uint32_t i = threadIdx.x; i < s->N; i += blockDim.x) {
            room->c[i] = p[i];
        }
    }
    list_candidates(room->candidates, room->c, s->N, s->k); /* each thread looks only at what it wrote */
    __syncthreads();
    if (warp() == 0) {
        merge_candidates(room->winners, room->order, room->candidates, s->N, s->k);
        find_rows<LEARN>(s, room, p, f);
    }
    __syncthreads();
}

/* Put the changed rows back. */
static __device__ inline void write_back(const struct sparse_launch *s, const struct room *room)
{
    const uint32_t changed = *room->changed;
    for (uint32_t slot = warp(); slot < changed && slot < s->cached; slot += warps()) {
        const float *row = room->rows + (size_t)slot * s->row_stride;
        float *to = s->W + (size_t)room->unit_of[slot] * s->P;
        for (uint32_t q = lane(); q < s->P; q += WARP) {
            to[q] = row[q];
        }
    }
}

template <bool LEARN>
static __global__ void __launch_bounds__(512, LEARN ? 1 : 3) run_frames(const struct sparse_launch s)
{
    SHARED_MEMORY(shared);
    struct room room;
    lay_out(&room, &s, warps(), LEARN, shared, s.work ? s.work + (size_t)blockIdx.x * 5 * s.stride : NULL);
    for (uint32_t i = threadIdx.x; LEARN && i < s.N; i += blockDim.x) {
        room.slot_of[i] = NO_SLOT;
    }
    if (threadIdx.x == 0) {
        *room.changed = 0;
    }
    const uint32_t first = blockIdx.x, step = gridDim.x;
    if (first < s.frames) {
        copy_ahead(room.p, s.drives + (size_t)first * s.stride, s.N);
    }
    for (uint32_t f = first, turn = 0; f < s.frames; f += step, turn ^= 1) {
        float *p = room.p + turn * s.stride;
        copy_wait();
        __syncthreads(); /* the drives are there, and all that the last frame has written */
        if (f + step < s.frames) {
            copy_ahead(room.p + (turn ^ 1) * s.stride, s.drives + (size_t)(f + step) * s.stride, s.N);
        }
        if (f > first && warp() == warps() - 1) {
            finish_frame<LEARN>(&s, &room, f - step);
        }
        const uint32_t changed = LEARN ? *room.changed : 0;
        if (changed > 0) {
            drive_again(&s, &room, changed, f);
            __syncthreads();
            collect_again(p, &s, &room, changed);
            __syncthreads();
        }
        choose_winners<LEARN>(&s, &room, p, f);
        learn_rows<LEARN>(&s, &room, f);
    }
    __syncthreads();
    if (first < s.frames && warp() == 0) {
        finish_frame<LEARN>(&s, &room, first + (s.frames - 1 - first) / step * step);
    }
    if (LEARN) {
        write_back(&s, &room);
    }
}

/* sums of the rows of W, as learn_rows makes them: thread by thread, warp by warp. A block a row. */
static __global__ void sum_rows(const struct sparse_launch s)
{
    SHARED_MEMORY(shared);
    struct room room;
    room.partial = (float *)shared;
    const float *row = s.W + (size_t)blockIdx.x * s.P;
    float sum = 0;
    for (uint32_t q = threadIdx.x; q < s.P; q += blockDim.x) {
        sum += row[q];
    }
    put_sum(&room, 0, 0, sum);
    __syncthreads();
    if (threadIdx.x == 0) {
        s.sums[blockIdx.x] = sum_of_warps(room.partial, 0, 0);
    }
}

/* ---- Launchers. ---- */

extern "C" int sparse_prepare(const struct sparse_device *device)
{
    const int error = launch_allow(run_frames<true>, device->shared_bytes);
    return error ? error : launch_allow(run_frames<false>, device->shared_bytes);
}

static size_t room_bytes(const struct sparse_launch *s, const struct sparse_device *device, bool learn,
                         bool apart)
{
    struct room room;
    unsigned char base[1]; /* only distances from it are used */
    uint32_t elsewhere[1];
    lay_out(&room, s, device->threads / WARP, learn, base, apart ? elsewhere : NULL);
    return room.bytes;
}

extern "C" int sparse_fits(const struct sparse_launch *s, const struct sparse_device *device)
{
    const size_t row = (s->P | 1) * sizeof(float), bytes = room_bytes(s, device, true, false);
    return bytes + s->k * row <= device->shared_bytes || bytes <= device->shared_bytes / 2;
}

extern "C" int sparse_fits_apart(const struct sparse_launch *s, const struct sparse_device *device)
{
    return room_bytes(s, device, true, true) <= device->shared_bytes;
}

extern "C" int sparse_launch_sums(const struct sparse_launch *s, const struct sparse_device *device,
                                  void *stream)
{
    return launch(sum_rows, *s, s->N, device->threads, 2 * device->threads / WARP * sizeof(float), 1, stream);
}

extern "C" int sparse_launch_widen(const struct sparse_bytes *b, void *stream)
{
    const size_t blocks = (b->count + WIDEN_THREADS * WIDEN_EACH - 1) / (WIDEN_THREADS * WIDEN_EACH);
    return launch(widen_frames, *b, (uint32_t)(blocks < WIDEN_BLOCKS ? blocks : WIDEN_BLOCKS), WIDEN_THREADS,
                  0, 1, stream);
}

extern "C" int sparse_launch_lists(const struct sparse_launch *s, void *stream)
{
    return launch(list_pixels, *s, s->frames, SPARSE_SEGMENTS * WARP, 0, 1, stream);
}

extern "C" int sparse_launch_drives(const struct sparse_launch *s, void *stream)
{
    const uint32_t blocks = (s->N + TILE - 1) / TILE * ((s->frames + TILE - 1) / TILE);
    return launch(multiply_frames, *s, blocks, SPARSE_SEGMENTS * TILE_THREADS, sizeof(union tiles), 1,
                  stream);
}

extern "C" int sparse_launch_frames(struct sparse_launch s, const struct sparse_device *device, int learn,
                                    void *stream)
{
    const size_t bytes = room_bytes(&s, device, learn, s.work != NULL);
    if (!learn) {
        s.row_stride = s.cached = 0;
        const uint32_t blocks = s.work ? s.blocks : s.frames;
        return launch(run_frames<false>, s, blocks, device->threads, bytes, 1, stream);
    }
    s.row_stride = s.P | 1; /* odd, so that lanes with a row each meet no bank twice */
    const size_t row = s.row_stride * sizeof(float), left = device->shared_bytes - bytes;
    const size_t rows = rows_max(&s, true) < s.N ? rows_max(&s, true) : s.N;
    s.cached = (uint32_t)(left / row < rows ? left / row : rows);
    return launch(run_frames<true>, s, 1, device->threads, bytes + s.cached * row, 1, stream);
}

/* The invariant layer, rule TOPO, on the GPU; the rule is in ../invariant.h.
 *
 * Every column of the weights learns in every frame, so the columns are dealt out to the blocks of a cluster, and
 * stay in their shared memory for the whole launch where they fit. A frame: the blocks that have the code's
 * active columns send their share of the drive to all; one cluster barrier; every block computes the same output
 * for itself; every block lets its own columns learn. The rule is computed as it stands, without the CPU body's lazy
 * decay: what it saves in arithmetic it would cost in waiting here.
 *
 * Layers that are too large for that, and codes of too many entries, go another way to the same bits: topo_large.cu. */
#include "launch.cuh"
#include "residual.cuh"
#include "topo_large.cuh"
#include "topo_step.cuh"

#define GROUP 8 /* columns that a warp works on together */

/* Weights that do not fit into the cluster's shared memory and are more than this for each of its blocks are left to the whole
 * chip (topo_large.cu), whose bandwidth is then worth its launches. */
#ifndef TOPO_LARGE_BYTES
#define TOPO_LARGE_BYTES ((size_t)1 << 20)
#endif

struct room {
    double *row_sum; /* M: of this block's columns */
    struct topo_field field;
    uint32_t *index; /* 2 x k: the code of this frame, by turns */
    float *value;    /* 2 x k */
    float *share;    /* 2 x k x M: of the drive, by turns */
    float *columns;  /* this block's columns x M */
    size_t bytes;    /* of all but the columns */
};

static __host__ __device__ inline void lay_out(struct room *room, const struct invariant_launch *s,
                                               uint32_t warps, unsigned char *at)
{
    unsigned char *const begin = at;
    const size_t k = s->k, M = s->M;
    room->row_sum = (double *)at, at += M * sizeof *room->row_sum;
    at = lay_out_field(&room->field, s, warps, at);
    room->index = (uint32_t *)at, at += 2 * k * sizeof *room->index;
    room->value = (float *)at, at += 2 * k * sizeof *room->value;
    room->share = (float *)at, at += 2 * k * M * sizeof *room->share;
    room->columns = (float *)at;
    room->bytes = (size_t)(at - begin);
}

/* How many columns the block of that rank has: every size-th of N. */
static __host__ __device__ inline uint32_t columns_of(uint32_t N, uint32_t rank, uint32_t size)
{
    return rank < N ? (N - rank - 1) / size + 1 : 0;
}

/* This block's column number l. */
static __device__ inline float *column_at(const struct invariant_launch *s, const struct room *room,
                                          uint32_t l)
{
    return s->in_shared ? room->columns + (size_t)l * s->M
                        : s->U + ((size_t)l * cluster_size() + cluster_rank()) * s->M;
}

/* Copy this block's columns into shared memory, or back. */
static __device__ inline void move_columns(const struct invariant_launch *s, const struct room *room,
                                           bool back)
{
    const uint32_t rank = cluster_rank(), size = cluster_size(), count = columns_of(s->N, rank, size);
    for (uint32_t l = warp(); s->in_shared && l < count; l += warps()) {
        float *far = s->U + ((size_t)l * size + rank) * s->M, *near = room->columns + (size_t)l * s->M;
        for (uint32_t i = lane(); i < s->M; i += WARP) {
            if (back) {
                far[i] = near[i];
            } else {
                near[i] = far[i];
            }
        }
    }
}

/* Send the drive's shares of those active columns that this block has to all blocks. */
static __device__ inline void send_shares(const struct invariant_launch *s, const struct room *room,
                                          uint32_t turn)
{
    const uint32_t rank = cluster_rank(), size = cluster_size();
    for (uint32_t a = 0; a < s->k; a++) {
        const uint32_t j = room->index[turn * s->k + a];
        const float value = room->value[turn * s->k + a];
        if (j % size != rank || !(value > 0)) {
            continue;
        }
        const float *column = column_at(s, room, j / size);
        for (uint32_t x = threadIdx.x; x < s->M * size; x += blockDim.x) {
            const uint32_t to = x / s->M, i = x - to * s->M;
            cluster_map(room->share, to)[((size_t)turn * s->k + a) * s->M + i] = column[i] * value;
        }
    }
}

/* The drive: the shares in the order of the code. Every thread its own. */
static __device__ inline void add_shares(const struct invariant_launch *s, const struct room *room,
                                         uint32_t turn)
{
    for (uint32_t i = threadIdx.x; i < s->M; i += blockDim.x) {
        float drive = 0;
        for (uint32_t a = 0; a < s->k; a++) {
            if (room->value[turn * s->k + a] > 0) {
                drive += room->share[((size_t)turn * s->k + a) * s->M + i];
            }
        }
        room->field.drive[i] = room->field.d[i] = drive;
    }
}

/* The sums over all lanes of eight numbers a lane, in one tree: afterwards this lane has that of number sum_of. */
static __device__ inline float sum_eight(float *x)
{
#pragma unroll
    for (uint32_t half = GROUP / 2, mask = WARP / 2; half > 0; half /= 2, mask /= 2) {
        const bool upper = lane() & mask;
#pragma unroll
        for (uint32_t g = 0; g < half; g++) {
            const float sent = upper ? x[g] : x[g + half], kept = upper ? x[g + half] : x[g];
            x[g] = kept + __shfl_xor_sync(ALL_LANES, sent, mask);
        }
    }
    x[0] += __shfl_xor_sync(ALL_LANES, x[0], 2);
    x[0] += __shfl_xor_sync(ALL_LANES, x[0], 1);
    return x[0];
}

static __device__ inline uint32_t sum_of(void)
{
    return lane() / 4; /* the bits 16, 8, 4 choose upper halves */
}

/* Reconstruct this block's columns, measure the active ones, and let all learn. */
static __device__ inline void learn_columns(const struct invariant_launch *s, const struct room *room,
                                            uint32_t turn, uint32_t f)
{
    const uint32_t rank = cluster_rank(), size = cluster_size(), count = columns_of(s->N, rank, size);
    for (uint32_t first = warp() * GROUP; first < count; first += warps() * GROUP) {
        float r[GROUP] = {};
        for (uint32_t i = lane(); i < s->M; i += WARP) {
#pragma unroll
            for (uint32_t g = 0; g < GROUP; g++) {
                r[g] =
                    first + g < count ? fmaf(room->field.io[i], column_at(s, room, first + g)[i], r[g]) : 0;
            }
        }
        const float mine = sum_eight(r);
        const uint32_t j = (first + sum_of()) * size + rank; /* N or more: no column, of no code */
        const float step =
            topo_step(s, room->index + turn * s->k, room->value + turn * s->k, j, mine, f, lane() % 4 == 0);
        for (uint32_t g = 0; s->learn && g < GROUP; g++) {
            const float shared_step = __shfl_sync(ALL_LANES, step, 4 * g);
            if (first + g < count) {
                learn_column(column_at(s, room, first + g), room->field.io, shared_step, s->M);
            }
        }
    }
}

/* U_i. *= row_sum / sum_j U_ij; begins and ends with a barrier. */
static __device__ inline void normalize(const struct invariant_launch *s, const struct room *room)
{
    const uint32_t size = cluster_size(), count = columns_of(s->N, cluster_rank(), size);
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < s->M; i += blockDim.x) {
        double sum = 0;
        for (uint32_t l = 0; l < count; l++) {
            sum += (double)column_at(s, room, l)[i];
        }
        room->row_sum[i] = sum;
    }
    cluster_sync();
    for (uint32_t i = threadIdx.x; i < s->M; i += blockDim.x) {
        double sum = 0;
        for (uint32_t rank = 0; rank < size; rank++) {
            sum += cluster_map(room->row_sum, rank)[i];
        }
        const double scale = s->row_sum / sum;
        for (uint32_t l = 0; l < count; l++) {
            float *u = column_at(s, room, l) + i;
            *u = fmaxf((float)((double)*u * scale), FLOOR);
        }
    }
    cluster_sync(); /* nobody writes row_sum again before all have read it */
}

/* The code of frame f into shared memory. */
static __device__ inline void fetch_code(const struct invariant_launch *s, const struct room *room,
                                         uint32_t turn, uint32_t f)
{
    for (uint32_t a = threadIdx.x; f < s->frames && a < s->k; a += blockDim.x) {
        room->index[turn * s->k + a] = s->index[(size_t)f * s->k + a];
        room->value[turn * s->k + a] = s->value[(size_t)f * s->k + a];
    }
}

static __global__ void __launch_bounds__(512, 1) run_topo(const struct invariant_launch s)
{
    SHARED_MEMORY(shared);
    struct room room;
    lay_out(&room, &s, warps(), shared);
    move_columns(&s, &room, false);
    for (uint32_t i = threadIdx.x; i < s.M; i += blockDim.x) {
        room.field.io[i] = s.io[i];
    }
    fetch_code(&s, &room, 0, 0);
    cluster_sync(); /* every block runs: shares may be sent */
    for (uint32_t f = 0, turn = 0; f < s.frames; f++, turn ^= 1) {
        send_shares(&s, &room, turn);
        cluster_sync(); /* whoever is here has read the shares of the frame before: their turn comes again next */
        fetch_code(&s, &room, turn ^ 1, f + 1);
        add_shares(&s, &room, turn);
        integrate(&s, &room.field);
        for (uint32_t i = threadIdx.x; cluster_rank() == 0 && i < s.M; i += blockDim.x) {
            s.activations[(size_t)f * s.M + i] = room.field.io[i];
        }
        learn_columns(&s, &room, turn, f);
        if (s.learn && s.normalize_every > 0 && (s.t + f) % s.normalize_every == 0) {
            normalize(&s, &room);
        }
        __syncthreads();
    }
    for (uint32_t i = threadIdx.x; cluster_rank() == 0 && i < s.M; i += blockDim.x) {
        s.io[i] = room.field.io[i];
    }
    if (s.learn) {
        move_columns(&s, &room, true);
    }
    cluster_sync(); /* shared memory is others' to write until all are done */
}

static size_t room_bytes(const struct invariant_launch *s, const struct invariant_device *device)
{
    struct room room;
    unsigned char base[1]; /* only distances from it are used */
    lay_out(&room, s, device->threads / WARP, base);
    return room.bytes;
}

#ifdef LOOM_CUDA_EMULATED
extern "C" uint32_t topo_cluster(size_t, uint32_t)
{
    return 3; /* not a power of two: everybody must ask */
}
#else
extern "C" uint32_t topo_cluster(size_t shared_bytes, uint32_t threads)
{
    cudaLaunchConfig_t config = {};
    cudaFuncAttributes code = {};
    int size = 1;
    config.gridDim = dim3(16);
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared_bytes;
    if (cudaFuncGetAttributes(&code, run_topo) ||
        code.ptxVersion < 90 || /* compiled without clusters: device.cuh */
        cudaFuncSetAttribute(run_topo, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes) ||
        cudaFuncSetAttribute(run_topo, cudaFuncAttributeNonPortableClusterSizeAllowed, 1) ||
        cudaOccupancyMaxPotentialClusterSize(&size, run_topo, &config) || size < 1) {
        (void)cudaGetLastError(); /* then without clusters */
        return 1;
    }
    return size > 16 ? 16 : (uint32_t)size;
}
#endif

extern "C" int topo_prepare(const struct invariant_device *device)
{
    const int error = launch_allow(run_topo, device->shared_bytes);
    return error ? error : topo_large_prepare(device);
}

static size_t columns_bytes(const struct invariant_launch *s, const struct invariant_device *device)
{
    return (size_t)columns_of(s->N, 0, device->cluster) * s->M * sizeof *s->U;
}

/* Whether a layer is one for topo_large.cu. */
static bool large(const struct invariant_launch *s, const struct invariant_device *device)
{
    const size_t bytes = room_bytes(s, device);
    return bytes > device->shared_bytes ||
           (bytes + columns_bytes(s, device) > device->shared_bytes &&
            (size_t)s->N * s->M * sizeof *s->U > device->cluster * TOPO_LARGE_BYTES);
}

extern "C" size_t topo_work(const struct invariant_launch *s, const struct invariant_device *device)
{
    return large(s, device) ? topo_large_work(s, device) : 0;
}

static int run(struct invariant_launch s, const struct invariant_device *device, void *stream)
{
    size_t bytes = room_bytes(&s, device);
    s.in_shared = bytes + columns_bytes(&s, device) <= device->shared_bytes;
    bytes += s.in_shared ? columns_bytes(&s, device) : 0;
    return launch(run_topo, s, device->cluster, device->threads, bytes, device->cluster, stream);
}

extern "C" int topo_launch(struct invariant_launch s, const struct invariant_device *device, void *stream)
{
    int error = clear(s.parts, (size_t)s.frames * s.k * 2 * sizeof *s.parts, stream);
    if (!error) {
        error = large(&s, device) ? topo_large_launch(s, device, stream) : run(s, device, stream);
    }
    return error ? error : launch_sum_parts(&s, stream);
}

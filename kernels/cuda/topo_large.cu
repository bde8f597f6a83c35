/* The invariant layer's rule TOPO for layers and codes beyond a cluster's shared memory; the rule is in ../invariant.h,
 * the design for smaller ones in topo.cu.
 *
 * All columns learn in every frame, so a frame reads and writes all weights once, and the memory's bandwidth is the limit:
 * the whole chip shares the columns, a warp a column. Three launches a frame: the drive (a thread a unit), the output (one
 * block), the columns. The two launches that come on top of them when rows are normalised are rare.
 *
 * Every sum is taken as topo.cu takes it; the results are the same to the bit. */
#include "launch.cuh"
#include "topo_large.cuh"
#include "topo_step.cuh"

#define THREADS 256
#define BLOCKS_EACH 8 /* of THREADS, on a multiprocessor */

/* What a call needs in global memory, in this order. */
struct room {
    double *row_sums;        /* cluster x M: of every cluster-th column */
    struct topo_field field; /* if it does not fit into shared memory */
    float *drive;            /* M */
    size_t bytes;
};

static __host__ __device__ inline void lay_out(struct room *room, const struct invariant_launch *s,
                                               unsigned char *at)
{
    unsigned char *const begin = at;
    room->row_sums = (double *)at, at += (size_t)s->cluster * s->M * sizeof *room->row_sums;
    at = s->field_in_shared ? at : lay_out_field(&room->field, s, s->threads / WARP, at);
    room->drive = (float *)at, at += (size_t)s->M * sizeof *room->drive;
    room->bytes = (size_t)(at - begin);
}

/* drive = U s of the launch's only frame. A thread a unit. */
static __global__ void __launch_bounds__(THREADS) drive_units(const struct invariant_launch s)
{
    struct room room;
    lay_out(&room, &s, s.work);
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < s.M;
         i += (size_t)gridDim.x * blockDim.x) {
        float drive = 0;
        for (uint32_t a = 0; a < s.k; a++) {
            if (s.value[a] > 0) { /* product and sum rounded one after the other, as in topo.cu */
                drive += __fmul_rn(s.U[(size_t)s.index[a] * s.M + i], s.value[a]);
            }
        }
        room.drive[i] = drive;
    }
}

/* io, from drive. One block. */
static __global__ void __launch_bounds__(512, 1) make_output(const struct invariant_launch s)
{
    SHARED_MEMORY(shared);
    struct room room;
    lay_out(&room, &s, s.work);
    if (s.field_in_shared) {
        (void)lay_out_field(&room.field, &s, warps(), shared);
    }
    for (uint32_t i = threadIdx.x; i < s.M; i += blockDim.x) {
        room.field.drive[i] = room.field.d[i] = room.drive[i];
        room.field.io[i] = s.io[i];
    }
    integrate(&s, &room.field);
    for (uint32_t i = threadIdx.x; i < s.M; i += blockDim.x) {
        s.io[i] = s.activations[i] = room.field.io[i];
    }
}

static __device__ inline uint32_t first_column(void)
{
    return blockIdx.x * warps() + warp();
}

static __device__ inline uint32_t next_column(void)
{
    return gridDim.x * warps();
}

/* Reconstruct every column, measure the active ones, and let all learn. A warp a column. */
static __global__ void __launch_bounds__(THREADS) learn_all(const struct invariant_launch s)
{
    for (size_t j = first_column(); j < s.N; j += next_column()) {
        float *column = s.U + j * s.M, r = 0;
#pragma unroll 4
        for (uint32_t i = lane(); i < s.M; i += WARP) {
            r = fmaf(s.io[i], column[i], r);
        }
        r = warp_sum(r);
        const float step = topo_step(&s, s.index, s.value, (uint32_t)j, r, 0, lane() == 0);
        if (s.learn) {
            learn_column(column, s.io, step, s.M);
        }
    }
}

/* Without learning only the active columns are of interest. A warp an entry of the code. */
static __global__ void __launch_bounds__(THREADS) measure_active(const struct invariant_launch s)
{
    for (uint32_t a = first_column(); a < s.k; a += next_column()) {
        const uint32_t j = s.index[a];
        float r = 0;
        for (uint32_t i = lane(); i < s.M; i += WARP) {
            r = fmaf(s.io[i], s.U[(size_t)j * s.M + i], r);
        }
        r = warp_sum(r);
        (void)topo_step(&s, s.index, s.value, j, r, 0, lane() == 0);
    }
}

/* Sums of the rows over every cluster-th column, from each of the first on. */
static __global__ void __launch_bounds__(THREADS) sum_columns(const struct invariant_launch s)
{
    struct room room;
    lay_out(&room, &s, s.work);
    const size_t count = (size_t)s.cluster * s.M;
    for (size_t x = (size_t)blockIdx.x * blockDim.x + threadIdx.x; x < count;
         x += (size_t)gridDim.x * blockDim.x) {
        double sum = 0;
        for (size_t j = x / s.M; j < s.N; j += s.cluster) {
            sum += (double)s.U[j * s.M + x % s.M];
        }
        room.row_sums[x] = sum;
    }
}

/* U_i. *= row_sum / sum_j U_ij. A warp a column. */
static __global__ void __launch_bounds__(THREADS) scale_columns(const struct invariant_launch s)
{
    struct room room;
    lay_out(&room, &s, s.work);
    for (size_t j = first_column(); j < s.N; j += next_column()) {
        for (uint32_t i = lane(); i < s.M; i += WARP) {
            double sum = 0;
            for (uint32_t rank = 0; rank < s.cluster; rank++) {
                sum += room.row_sums[(size_t)rank * s.M + i];
            }
            float *u = s.U + j * s.M + i;
            *u = fmaxf((float)((double)*u * (s.row_sum / sum)), FLOOR);
        }
    }
}

/* ---- Launchers. ---- */

/* Complete *s with what depends on the device; returns the bytes of the field. */
static size_t settle(struct invariant_launch *s, const struct invariant_device *device)
{
    struct topo_field field;
    unsigned char base[1]; /* only the distance from it is used */
    const size_t bytes = (size_t)(lay_out_field(&field, s, device->threads / WARP, base) - base);
    s->cluster = device->cluster;
    s->threads = device->threads;
    s->field_in_shared = bytes <= device->shared_bytes;
    return bytes;
}

size_t topo_large_work(const struct invariant_launch *s, const struct invariant_device *device)
{
    struct invariant_launch settled = *s;
    struct room room;
    unsigned char base[1];
    (void)settle(&settled, device);
    lay_out(&room, &settled, base);
    return room.bytes;
}

int topo_large_prepare(const struct invariant_device *device)
{
    return launch_allow(make_output, device->shared_bytes);
}

/* As many blocks as fill the chip, or as `tasks` need, so many a block; at least one. */
static uint32_t blocks_for(const struct invariant_device *device, size_t tasks, size_t each)
{
    const size_t needed = (tasks + each - 1) / each, most = (size_t)device->multiprocessors * BLOCKS_EACH;
    return (uint32_t)(needed < 1 ? 1 : needed < most ? needed : most);
}

static int normalize(const struct invariant_launch *s, const struct invariant_device *device, void *stream)
{
    const size_t sums = (size_t)s->cluster * s->M;
    const int error = launch(sum_columns, *s, blocks_for(device, sums, THREADS), THREADS, 0, 1, stream);
    return error ? error
                 : launch(scale_columns, *s, blocks_for(device, s->N, THREADS / WARP), THREADS, 0, 1, stream);
}

int topo_large_launch(struct invariant_launch s, const struct invariant_device *device, void *stream)
{
    const size_t field = settle(&s, device), shared = s.field_in_shared ? field : 0;
    const uint32_t frames = s.frames;
    int error = 0;
    s.frames = 1;
    for (uint32_t f = 0; !error && f < frames; f++) {
        error = launch(drive_units, s, blocks_for(device, s.M, THREADS), THREADS, 0, 1, stream);
        error = error ? error : launch(make_output, s, 1, device->threads, shared, 1, stream);
        error = error
                    ? error
                    : launch(s.learn ? learn_all : measure_active, s,
                             blocks_for(device, s.learn ? s.N : s.k, THREADS / WARP), THREADS, 0, 1, stream);
        if (!error && s.learn && s.normalize_every > 0 && (s.t + f) % s.normalize_every == 0) {
            error = normalize(&s, device, stream);
        }
        s.index += s.k;
        s.value += s.k;
        s.activations += s.M;
        s.parts += (size_t)s.k * 2;
    }
    return error;
}

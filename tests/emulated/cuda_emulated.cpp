/* Fibers for the threads of a cluster of blocks; see cuda_emulated.h. */
#include "cuda_emulated.h"
#include "cuda_runtime_api.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <ucontext.h>
#include <vector>

emulated_dim threadIdx, blockIdx, blockDim, gridDim;

namespace {

const size_t STACK_BYTES = 64 * 1024;
const size_t GUARD_BYTES = 64;
const unsigned char GUARD = 0xA5, POISON = 0xFF; /* shared memory begins as NaN */

struct barrier {
    uint32_t waiting = 0, generation = 0;
};

struct warp_state {
    barrier gate;
    uint64_t x
        [2]
        [32]; /* of an exchange and the next, by turns: nobody begins a third before all have read the first */
};

struct block_state {
    barrier gate;
    std::vector<unsigned char> shared;
    std::vector<warp_state> warps;
};

struct fiber {
    ucontext_t context;
    jmp_buf at;
    std::unique_ptr<unsigned char[]> stack;
    emulated_dim thread, block;
    uint32_t rank;
    bool started = false, done = false;
    const barrier *waits_at = nullptr; /* runnable once its generation is no longer this one */
    uint32_t generation = 0;
};

std::map<const void *, size_t> allowed; /* bytes of shared memory, by kernel */
std::vector<fiber> fibers;
std::vector<block_state> blocks;
barrier cluster_gate;
fiber *running;
jmp_buf scheduler_at;
const std::function<void()> *body;
std::minstd_rand draw(getenv("EMULATED_SEED") ? (unsigned)atoi(getenv("EMULATED_SEED"))
                                              : 1); /* a quick one */

/* A number drawn from 0 to before n < 2^31. */
size_t below(size_t n)
{
    return (uint64_t)draw() * n >> 31;
}

void enter(void)
{
    (*body)();
    running->done = true;
    _longjmp(scheduler_at, 1);
}

/* Run a fiber until it waits or ends. */
void switch_to(fiber *f)
{
    running = f;
    threadIdx = f->thread;
    blockIdx = f->block;
    if (_setjmp(scheduler_at)) {
        return;
    }
    if (f->started) {
        _longjmp(f->at, 1);
    }
    f->started = true;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack.get();
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = nullptr;
    makecontext(&f->context, enter, 0);
    setcontext(&f->context);
}

void wait_at(barrier *gate, uint32_t expected)
{
    if (++gate->waiting == expected) {
        gate->waiting = 0;
        gate->generation++;
        return;
    }
    running->waits_at = gate;
    running->generation = gate->generation;
    if (!_setjmp(running->at)) {
        _longjmp(scheduler_at, 1);
    }
}

void run_cluster(uint32_t first_block, uint32_t threads, size_t shared, uint32_t cluster)
{
    blocks.assign(cluster, block_state());
    cluster_gate = barrier();
    for (block_state &b : blocks) {
        b.shared.assign(shared + 2 * GUARD_BYTES, POISON);
        memset(b.shared.data(), GUARD, GUARD_BYTES);
        memset(b.shared.data() + GUARD_BYTES + shared, GUARD, GUARD_BYTES);
        b.warps.resize(threads / 32);
    }
    std::vector<fiber *> left;
    for (uint32_t i = 0; i < threads * cluster; i++) {
        fiber &f = fibers[i];
        f.thread.x = i % threads;
        f.rank = i / threads;
        f.block.x = first_block + f.rank;
        f.started = f.done = false;
        f.waits_at = nullptr;
        left.push_back(&f);
    }
    for (uint32_t round = 0; !left.empty(); round++) {
        bool moved = false;
        /* Another order each round: now and then a new one, else the same from another fiber on. */
        for (size_t i = left.size(); i > 1 && round % 8 == 0; i--) {
            std::swap(left[i - 1], left[below(i)]);
        }
        const size_t begin = below(left.size());
        for (size_t n = 0; n < left.size(); n++) {
            const size_t i = begin + n < left.size() ? begin + n : begin + n - left.size();
            fiber *f = left[i];
            if (f->waits_at && f->waits_at->generation == f->generation) {
                continue;
            }
            f->waits_at = nullptr;
            moved = true;
            switch_to(f);
        }
        left.erase(std::remove_if(left.begin(), left.end(), [](fiber *f) { return f->done; }), left.end());
        if (!moved) {
            fprintf(stderr, "emulated CUDA: %zu threads wait at a barrier that the others never reach\n",
                    left.size());
            abort();
        }
    }
    for (block_state &b : blocks) {
        for (size_t g = 0; g < GUARD_BYTES; g++) {
            if (b.shared[g] != GUARD || b.shared[GUARD_BYTES + shared + g] != GUARD) {
                fprintf(stderr, "emulated CUDA: a write beyond the %zu bytes of shared memory\n", shared);
                abort();
            }
        }
    }
}

} // namespace

int emulated_allow(const void *kernel, size_t shared)
{
    const char *most = getenv("EMULATED_SHARED_BYTES");
    if (shared > (most ? strtoull(most, nullptr, 10) : 232448)) {
        return 1; /* cudaErrorInvalidValue */
    }
    allowed[kernel] = shared;
    return 0;
}

static uint64_t calls_left =
    getenv("EMULATED_FAILS_AFTER") ? strtoull(getenv("EMULATED_FAILS_AFTER"), nullptr, 10) : UINT64_MAX;

void emulated_fail_after(uint64_t calls)
{
    calls_left = calls;
}

int emulated_fails(void)
{
    if (calls_left != 0 && calls_left != UINT64_MAX) {
        calls_left--;
        return 0;
    }
    return calls_left == 0;
}

int emulated_launch(const void *kernel, const std::function<void()> &kernel_body, uint32_t count,
                    uint32_t threads, size_t shared, uint32_t cluster)
{
    const auto found = allowed.find(kernel);
    if (shared > std::max((size_t)48 * 1024, found == allowed.end() ? 0 : found->second)) {
        return 1; /* cudaErrorInvalidValue */
    }
    static std::mutex one_at_a_time;
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    if (emulated_fails()) {
        return 719; /* cudaErrorLaunchFailure */
    }
    if (threads == 0 || threads % 32 != 0 || threads > 1024 || cluster == 0 || count % cluster != 0) {
        return 9; /* cudaErrorInvalidConfiguration */
    }
    while (fibers.size() < (size_t)threads * cluster) {
        fibers.emplace_back();
        fibers.back().stack.reset(new unsigned char[STACK_BYTES]);
    }
    body = &kernel_body;
    blockDim.x = threads;
    gridDim.x = count;
    for (uint32_t b = 0; b < count; b += cluster) {
        run_cluster(b, threads, shared, cluster);
    }
    return 0;
}

unsigned char *emulated_shared(uint32_t rank)
{
    return blocks[rank].shared.data() + GUARD_BYTES;
}

uint32_t emulated_rank(void)
{
    return running->rank;
}

uint32_t emulated_cluster(void)
{
    return (uint32_t)blocks.size();
}

void emulated_block_sync(void)
{
    wait_at(&blocks[running->rank].gate, blockDim.x);
}

void emulated_cluster_sync(void)
{
    wait_at(&cluster_gate, blockDim.x * (uint32_t)blocks.size());
}

const uint64_t *emulated_exchange(uint64_t x)
{
    warp_state *w = &blocks[running->rank].warps[threadIdx.x / 32];
    uint64_t *shown = w->x[w->gate.generation % 2];
    shown[threadIdx.x % 32] = x;
    wait_at(&w->gate, 32);
    return shown;
}

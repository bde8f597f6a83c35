/* What this machine could do at best, on one core, measured; see bench.h.
 *
 *     ceiling/multiply_add         floats multiplied and added a second, in the instruction set that the kernels use
 *     ceiling/multiply_add_fused   the same with both in one instruction, which the kernels may not use
 *     ceiling/multiply_add_pairs   16-bit integers, two at a time, with which the sparse layer finds its winners
 *     ceiling/read_L1, L2, L3, memory     bytes a second, in order, from half of that cache (memory: four times
 *                                  the last cache)
 *     cache/L1 ...                 bytes of the cache, as the system tells */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "ceiling_cpu.h"
#include "cpu.h"

#define STEPS 10000
#define MEMORY_MAX ((size_t)512 << 20)

typedef double multiply_add_function(size_t steps);
typedef float read_function(const float *a, size_t n);

multiply_add_function ceiling_multiply_add_baseline, ceiling_multiply_add_baseline_fused,
    ceiling_multiply_add_pairs_baseline;
read_function ceiling_read_baseline;
#ifdef LOOM_X86_SETS
multiply_add_function ceiling_multiply_add_avx2, ceiling_multiply_add_avx2_fused, ceiling_multiply_add_avx512,
    ceiling_multiply_add_avx512_fused, ceiling_multiply_add_pairs_avx2, ceiling_multiply_add_pairs_avx512;
read_function ceiling_read_avx2, ceiling_read_avx512;
#endif

struct ceilings {
    multiply_add_function *multiply_add, *pairs, *fused; /* fused: NULL if the machine lacks it */
    read_function *read;
};

static struct ceilings choose(void)
{
    switch (cpu_set()) {
#ifdef LOOM_X86_SETS
    case CPU_AVX2:
        return (struct ceilings){ceiling_multiply_add_avx2, ceiling_multiply_add_pairs_avx2,
                                 __builtin_cpu_supports("fma") ? ceiling_multiply_add_avx2_fused : NULL,
                                 ceiling_read_avx2};
    case CPU_AVX512:
        return (struct ceilings){ceiling_multiply_add_avx512, ceiling_multiply_add_pairs_avx512,
                                 ceiling_multiply_add_avx512_fused, ceiling_read_avx512};
#endif
    default:
        return (struct ceilings){ceiling_multiply_add_baseline, ceiling_multiply_add_pairs_baseline,
                                 ceiling_multiply_add_baseline_fused, ceiling_read_baseline};
    }
}

static void measure_arithmetic(const struct bench *bench, multiply_add_function *function, const char *name)
{
    double done = 0, start = bench_now(), seconds = 0;
    while (seconds < bench->seconds) {
        done += function(STEPS);
        seconds = bench_now() - start;
    }
    results_add(done / seconds, "1/s", "ceiling/%s", name);
}

static void measure_reading(const struct bench *bench, read_function *function, const float *memory,
                            size_t bytes, const char *name)
{
    static volatile float sink;
    const size_t n = bytes / sizeof *memory / 256 * 256;
    double done = 0, start = 0, seconds = 0;
    sink = function(memory, n); /* bring it into the cache */
    start = bench_now();
    while (seconds < bench->seconds) {
        size_t times = ((size_t)1 << 20) / bytes + 1; /* looking at the clock is not free */
        for (size_t i = 0; i < times; i++) {
            sink = function(memory, n);
        }
        done += (double)times * (double)(n * sizeof *memory);
        seconds = bench_now() - start;
    }
    (void)sink;
    results_add(done / seconds, "bytes/s", "ceiling/read_%s", name);
}

/* Read one value from FOLDER/NAME by a format of scanf. */
static bool read_text(const char *folder, const char *name, const char *format, void *value)
{
    char path[128];
    snprintf(path, sizeof path, "%s%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file) {
        return false;
    }
    bool done = fscanf(file, format, value) == 1;
    fclose(file);
    return done;
}

/* Bytes of the data cache of a level, as Linux tells (glibc's sysconf is wrong on some virtual machines), or
 * `usual`. */
static size_t cache_bytes(int level, size_t usual)
{
    size_t bytes = 0;
    for (int index = 0; index < 8; index++) {
        char path[96], type[16] = "";
        int found = 0;
        size_t kilobytes = 0;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/", index);
        if (read_text(path, "level", "%d", &found) && found == level &&
            read_text(path, "type", "%15s", type) && strcmp(type, "Instruction") != 0 &&
            read_text(path, "size", "%zuK", &kilobytes)) {
            bytes = kilobytes << 10;
        }
    }
    return bytes > 0 ? bytes : usual;
}

void ceilings_measure(const struct bench *bench)
{
    static const char *const names[] = {"L1", "L2", "L3"};
    const size_t bytes[] = {cache_bytes(1, (size_t)32 << 10), cache_bytes(2, (size_t)512 << 10),
                            cache_bytes(3, (size_t)16 << 20)};
    const size_t most = 4 * bytes[2] < MEMORY_MAX ? 4 * bytes[2] : MEMORY_MAX;
    struct ceilings ceilings = choose();
    const size_t count = most / sizeof(float);
    float *memory = aligned_alloc(4096, count * sizeof *memory / 4096 * 4096 + 4096);
    if (!memory) {
        bench_check(KERNEL_ENOMEM, "memory to read");
        return;
    }
    for (size_t q = 0; q < count; q++) {
        memory[q] = 1; /* written, so that it is there */
    }
    measure_arithmetic(bench, ceilings.multiply_add, "multiply_add");
    measure_arithmetic(bench, ceilings.pairs, "multiply_add_pairs");
    if (ceilings.fused) {
        measure_arithmetic(bench, ceilings.fused, "multiply_add_fused");
    }
    for (size_t level = 0; level < sizeof bytes / sizeof *bytes; level++) {
        results_add((double)bytes[level], "bytes", "cache/%s", names[level]);
        measure_reading(bench, ceilings.read, memory, bytes[level] / 2, names[level]);
    }
    measure_reading(bench, ceilings.read, memory, most, "memory");
    free(memory);
}

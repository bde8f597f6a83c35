/* The instruction set at run time; see cpu.h. */
#include "cpu.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

static const char *const names[CPU_SETS] = {"baseline", "avx2", "avx512"};

static bool supported(enum cpu_set set)
{
    switch (set) {
#ifdef LOOM_X86_SETS
    case CPU_AVX2:
        return __builtin_cpu_supports("avx2");
    case CPU_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#endif
    default:
        return set == CPU_BASELINE;
    }
}

int cpu_set(void)
{
    const char *asked = getenv("LOOM_CPU");
    const bool any = !asked || asked[0] == 0;
    for (int set = CPU_SETS - 1; set >= 0; set--) {
        if (supported((enum cpu_set)set) && (any || strcmp(asked, names[set]) == 0)) {
            return set;
        }
    }
    return KERNEL_EUNSUPPORTED;
}

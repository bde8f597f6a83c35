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
    return kernel_fail(KERNEL_EUNSUPPORTED,
                       "the environment's LOOM_CPU asks for '%s'; there are baseline, avx2 and avx512, as "
                       "far as the machine "
                       "has them",
                       asked);
}

int cpu_screening(void)
{
    static const char *const modes[] = {"auto", "never", "always"};
    const char *asked = getenv("LOOM_SCREEN");
    if (!asked || asked[0] == 0) {
        return CPU_SCREEN_AUTO;
    }
    for (int mode = CPU_SCREEN_AUTO; mode <= CPU_SCREEN_ALWAYS; mode++) {
        if (strcmp(asked, modes[mode]) == 0) {
            return mode;
        }
    }
    return kernel_fail(KERNEL_EUNSUPPORTED,
                       "the environment's LOOM_SCREEN is '%s'; it may be auto, never or always", asked);
}

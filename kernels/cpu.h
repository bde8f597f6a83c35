/* Which instruction set the float bodies on the CPU use, chosen at run time. */
#ifndef LOOM_KERNELS_CPU_H
#define LOOM_KERNELS_CPU_H

enum cpu_set { CPU_BASELINE, CPU_AVX2, CPU_AVX512, CPU_SETS };

/* The set for a new layer: the widest that this build and machine have. The environment variable LOOM_CPU
 * (baseline, avx2, avx512) asks for another, to test or measure it; KERNEL_EUNSUPPORTED if that cannot be had. */
int cpu_set(void);

enum cpu_screening { CPU_SCREEN_AUTO, CPU_SCREEN_NEVER, CPU_SCREEN_ALWAYS };

/* Whether a new sparse layer screens frames (screen.h): as long as that pays, unless the environment variable LOOM_SCREEN
 * says "never" or "always". KERNEL_EUNSUPPORTED, with a sentence, if it says anything else but "auto". */
int cpu_screening(void);

#endif

/* Which instruction set the float bodies on the CPU use, chosen at run time. */
#ifndef LOOM_KERNELS_CPU_H
#define LOOM_KERNELS_CPU_H

enum cpu_set { CPU_BASELINE, CPU_AVX2, CPU_AVX512, CPU_SETS };

/* The set for a new layer: the widest that this build and machine have. The environment variable LOOM_CPU
 * (baseline, avx2, avx512) asks for another, to test or measure it; KERNEL_EUNSUPPORTED if that cannot be had. */
int cpu_set(void);

#endif

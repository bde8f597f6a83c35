/* What all kernels share: which body computes, and how errors are returned.
 *
 * A kernel is numbers only: no files, sockets or processes. Every operation has a plain double-precision body
 * (the reference: it is the specification) and faster ones that must agree with it.
 *
 * Shape letters, the same everywhere: P pixels of a frame, N sparse units on a Kx x Ky grid, M invariant units
 * on an Ix x Iy grid, k winners of the sparse layer, m winners of the invariant layer, n frames in a block.
 * Matrices are row-major; row i of a weight matrix is unit i's weight vector; unit i of a grid sits at
 * x = i mod Kx, y = i / Kx. */
#ifndef LOOM_KERNELS_KERNEL_H
#define LOOM_KERNELS_KERNEL_H

enum kernel_backend {
    KERNEL_AUTO,      /* the fastest body this build and machine have */
    KERNEL_CPU,       /* single precision on the CPU */
    KERNEL_CUDA,      /* single precision on an NVIDIA GPU */
    KERNEL_REFERENCE, /* double precision, plain C: the specification */
};

enum kernel_status {
    KERNEL_OK = 0,
    KERNEL_EINVAL = -1,       /* a dimension or parameter is out of range */
    KERNEL_ENOMEM = -2,       /* memory could not be had */
    KERNEL_EUNSUPPORTED = -3, /* this build or machine has no such body, or it cannot do that */
    KERNEL_EDEVICE = -4,      /* the GPU failed: the layer is lost, go back to the last checkpoint */
};

#define KERNEL_MUST_CHECK __attribute__((warn_unused_result))

/* A sentence on why the last call failed in this thread, "" if it has none: which operation of the GPU, or what a body
 * cannot do. Valid until the next failure. */
const char *kernel_failure(void);

/* For bodies: keep that sentence, printf-style, and return `status`. */
int kernel_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

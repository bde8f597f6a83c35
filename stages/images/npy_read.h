/* The header of a .npy file (NumPy's format, versions 1 to 3), read strictly: only what numpy.save writes for
 * arrays of numbers. Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef LOOM_STAGES_NPY_READ_H
#define LOOM_STAGES_NPY_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define NPY_HEADER_MAX 65536 /* bytes of it that are accepted */
#define NPY_RANK_MAX 8
#define NPY_DTYPE_BYTES 16

struct npy_header {
    char dtype[NPY_DTYPE_BYTES]; /* "<f4" */
    bool fortran_order;
    uint64_t dims[NPY_RANK_MAX];
    size_t rank;
    size_t bytes; /* of the header: where the data begin */
};

/* Understand the first `n` bytes of a file. LOOM_EDATA with what is wrong. */
int npy_read_header(struct npy_header *header, const uint8_t *bytes, size_t n) LOOM_MUST_CHECK;

#endif

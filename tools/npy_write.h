/* The head of a .npy file (NumPy's format, version 1.0), for programs that write arrays. Source:
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef LOOM_TOOLS_NPY_WRITE_H
#define LOOM_TOOLS_NPY_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define NPY_HEAD_BYTES 256 /* always, so that a head may be written again when the number of rows is known */
#define NPY_HEAD_RANK_MAX 8

/* Fill `head` for a row-major array of `rank` (at least 1) dimensions that follows behind it. dtype: as
 * NumPy writes it, with its quotes: "'<f4'", or a list of fields. LOOM_EDATA if it does not fit in a head. */
int npy_head(char head[NPY_HEAD_BYTES], const char *dtype, const uint64_t *dims, size_t rank) LOOM_MUST_CHECK;

#endif

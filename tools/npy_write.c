/* See npy_write.h. */
#include "npy_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "\x93NUMPY\x01"  /* version 1.0: its second byte is the NUL behind */
#define MAGIC_BYTES (size_t)10 /* with the length of the text, 2 bytes, little-endian */

int npy_head(char head[NPY_HEAD_BYTES], const char *dtype, const uint64_t *dims, size_t rank)
{
    const size_t room = NPY_HEAD_BYTES - MAGIC_BYTES;
    char shape[NPY_HEAD_RANK_MAX * 22] = "";
    size_t used = 0;
    for (size_t d = 0; d < rank && d < NPY_HEAD_RANK_MAX; d++) {
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRIu64 "%s", d == 0 ? "" : ", ",
                                 dims[d], rank == 1 ? "," : "");
    }
    int length = snprintf(head + MAGIC_BYTES, room, "{'descr': %s, 'fortran_order': False, 'shape': (%s), }",
                          dtype, shape);
    if (rank < 1 || rank > NPY_HEAD_RANK_MAX || length < 0 || (size_t)length + 1 > room) {
        return error_set(LOOM_EDATA, "an array of %zu dimensions and type %.100s does not fit in a .npy file",
                         rank, dtype);
    }
    memcpy(head, MAGIC, MAGIC_BYTES - 2);
    head[MAGIC_BYTES - 2] = (char)(room & 0xFF);
    head[MAGIC_BYTES - 1] = (char)(room >> 8);
    memset(head + MAGIC_BYTES + length, ' ', room - (size_t)length);
    head[NPY_HEAD_BYTES - 1] = '\n';
    return LOOM_OK;
}

/* Pictures in memory, from wherever: what the images stage shows. */
#ifndef LOOM_STAGES_ARRAY_H
#define LOOM_STAGES_ARRAY_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "params.h"

enum element { ELEMENT_U1, ELEMENT_F4, ELEMENT_F8 };

struct array { /* all zero: empty */
    size_t n, height, width;
    enum element element;
    const void *data; /* n x height x width, aligned for its elements, or not if mapped */
    void *owned;      /* data, if it was allocated */
    void *mapped;     /* what data lies in, if it is a mapped file, */
    size_t mapped_bytes;
};

size_t array_element_bytes(enum element element);

/* Bytes of a picture as it is held. */
size_t array_picture_bytes(const struct array *self);

/* Read every PNG of a folder, in natural order of their names (strverscmp: frame2 before frame10), into
 * memory: as u1 where 8 bits hold all of them exactly, else as f4. Files of other names, and hidden ones, are
 * passed over. LOOM_EIO if the folder or a file cannot be read, LOOM_EDATA if a file is no whole PNG, there
 * is none, or they are not all of one size (and of `shape`: height x width, 0 for any), LOOM_EUSAGE if they
 * need more than 4 GiB. */
int array_read_folder(struct array *self, const char *path, struct grid shape) LOOM_MUST_CHECK;

/* Map a .npy file: n x height x width, or n x pixels if `shape` says how they lie; u1, f4 or f8, of the
 * machine's byte order, row-major. LOOM_EIO, or LOOM_EDATA with what is wrong and how NumPy mends it. Values
 * are not checked. */
int array_map_npy(struct array *self, const char *path, struct grid shape) LOOM_MUST_CHECK;

/* Harmless when empty. */
void array_fini(struct array *self);

#endif

/* Lists: of each frame of a block what is not 0, chunk by chunk, and four frames' lists as long as the longest of them.
 *
 * An entry is a place (a pixel, or a pair of pixels) and its level, 32 bits of whatever kind the owner multiplies with;
 * all bits 0 adds nothing. Shared by drive_cpu.c and screen_cpu.c. */
#ifndef LOOM_KERNELS_LISTS_H
#define LOOM_KERNELS_LISTS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "memory.h"

#define LISTS_FRAMES 48 /* frames of a block at most */
#define LISTS_ABREAST 4 /* whose lists are equally long; divides LISTS_FRAMES */

struct lists {
    size_t room, chunks; /* places of a frame, chunks of places */
    uint32_t *place;     /* LISTS_FRAMES x room, ascending */
    uint32_t *level;     /* LISTS_FRAMES x room: their bits */
    uint32_t *start;     /* chunks + 1 x LISTS_FRAMES: where in a frame's list those of each chunk begin */
    size_t
        longest[LISTS_FRAMES / LISTS_ABREAST]; /* of lists abreast; the others go on as long with levels 0 */
};

/* Take memory for blocks of frames of `room` places, `chunk` of them at a time: 0, or KERNEL_ENOMEM. lists_fini is safe
 * after a failure. */
static inline int lists_init(struct lists *self, size_t room, size_t chunk)
{
    *self = (struct lists){.room = room, .chunks = (room + chunk - 1) / chunk};
    if (!(self->place = memory_new(room, LISTS_FRAMES * sizeof *self->place)) ||
        !(self->level = memory_new(room, LISTS_FRAMES * sizeof *self->level)) ||
        !(self->start = memory_new(self->chunks + 1, LISTS_FRAMES * sizeof *self->start))) {
        return KERNEL_ENOMEM;
    }
    return KERNEL_OK;
}

static inline void lists_fini(struct lists *self)
{
    free(self->place);
    free(self->level);
    free(self->start);
    *self = (struct lists){0};
}

/* Entries of frame f. */
static inline size_t lists_count(const struct lists *self, size_t f)
{
    return self->start[self->chunks * LISTS_FRAMES + f];
}

/* Let the lists of LISTS_ABREAST frames from `first` on go on, with levels 0, until all are as long; those after the
 * block's n frames, too. */
static inline void lists_align(struct lists *self, size_t first, size_t n)
{
    size_t count[LISTS_ABREAST], longest = 0;
    for (size_t f = 0; f < LISTS_ABREAST; f++) {
        count[f] = first + f < n ? lists_count(self, first + f) : 0;
        longest = count[f] > longest ? count[f] : longest;
    }
    for (size_t f = 0; f < LISTS_ABREAST; f++) {
        const size_t end = (first + f) * self->room + count[f];
        memset(self->place + end, 0, (longest - count[f]) * sizeof *self->place);
        memset(self->level + end, 0, (longest - count[f]) * sizeof *self->level);
    }
    self->longest[first / LISTS_ABREAST] = longest;
}

#endif

/* The box around a unit that lateral excitation adds up; see lateral.h. */
#ifndef LOOM_KERNELS_LATERAL_BOX_H
#define LOOM_KERNELS_LATERAL_BOX_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

struct lateral_box {
    uint32_t Kx, Ky;        /* the torus */
    uint32_t width, height; /* of the box around a unit, at most the torus */
    float gain;             /* strength / sqrt(neighbours); 0: none */
};

/* How many different units lie within radius along an axis, the unit itself included. */
static inline size_t lateral_reach(size_t radius, size_t side)
{
    return radius >= side / 2 ? side : 2 * radius + 1;
}

static inline struct lateral_box lateral_box_of(size_t Kx, size_t Ky, size_t radius, double strength)
{
    const size_t width = lateral_reach(radius, Kx), height = lateral_reach(radius, Ky);
    const size_t neighbours = width * height - 1;
    struct lateral_box box = {(uint32_t)Kx, (uint32_t)Ky, (uint32_t)width, (uint32_t)height, 0};
    box.gain = neighbours > 0 ? (float)(strength / sqrt((double)neighbours)) : 0;
    return box;
}

#endif

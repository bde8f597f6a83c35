/* See frame_values.h. */
#include "frame_values.h"

#include <stdint.h>
#include <string.h>

int frame_values_check(const void *values, size_t width, size_t n)
{
    const uint8_t *at = values;
    for (size_t i = 0; i < n; i++, at += sizeof(float)) {
        float value;
        memcpy(&value, at, sizeof value);
        if (!(value >= 0 && value <= 1)) { /* also if it is no number */
            return error_set(
                LOOM_EDATA,
                "the pixel in row %zu, column %zu is %g; values from 0 to 1 are needed: scale or clip "
                "them",
                i / width, i % width, (double)value);
        }
    }
    return 0;
}

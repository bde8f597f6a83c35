/* Grey values from outside: floats must be numbers from 0 to 1, or a layer would learn nonsense from them. */
#ifndef LOOM_STAGES_FRAME_VALUES_H
#define LOOM_STAGES_FRAME_VALUES_H

#include <stddef.h>

#include "error.h"

/* Check the n values (f4, any alignment) of a frame of this width. LOOM_EDATA with the pixel and its value
 * otherwise. */
int frame_values_check(const void *values, size_t width, size_t n) LOOM_MUST_CHECK;

#endif

/* Which tapestry a recording's frames were cut from, as the pipeline says that is kept in it. */
#ifndef LOOM_STAGES_RENDER_TAPESTRY_LOOKUP_H
#define LOOM_STAGES_RENDER_TAPESTRY_LOOKUP_H

#include <limits.h>
#include <stdbool.h>

#include "stages/generate/tapestry.h"

struct tapestry_place {
    char path[PATH_MAX];
    struct tapestry_config config; /* path: the one above; window is left 0 */
};

/* Look for the stage `name` of kind generate in a pipeline's text (YAML). False if there is none, or it cannot be
 * read: then frames have to speak for themselves. */
bool tapestry_lookup(struct tapestry_place *place, const char *pipeline, const char *name);

#endif

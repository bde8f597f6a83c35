#include "recorded.h"
int recorded_new(struct recorded **self_p, struct scene *scene)
{
    (void)scene;
    *self_p = NULL;
    return error_set(LOOM_EUSAGE, "not yet");
}
void recorded_destroy(struct recorded **self_p)
{
    (void)self_p;
}

/* See lineage.h. */
#include "lineage.h"

#include <stdio.h>
#include <string.h>

/* The id at *at, whose length is returned; *at moves behind it. 0 at the end. */
static size_t next_id(const char **at, const char **id)
{
    *id = *at + strspn(*at, " ");
    size_t length = strcspn(*id, " ");
    *at = *id + length;
    return length;
}

void lineage_begin(char lineage[STREAM_LAYER_BYTES], const char *id, const char *older)
{
    size_t used = (size_t)snprintf(lineage, STREAM_LAYER_BYTES, "%s", id), length = 0;
    const char *one = NULL;
    while ((length = next_id(&older, &one)) > 0 && used + 1 + length < STREAM_LAYER_BYTES) {
        used += (size_t)snprintf(lineage + used, STREAM_LAYER_BYTES - used, " %.*s", (int)length, one);
    }
}

bool lineage_has(const char *lineage, const char *id)
{
    const char *one = NULL;
    for (size_t length = 0; (length = next_id(&lineage, &one)) > 0;) {
        if (length == strlen(id) && memcmp(one, id, length) == 0) {
            return true;
        }
    }
    return false;
}

void lineage_newest(char id[STREAM_ID_BYTES], const char *lineage)
{
    const char *one = NULL;
    size_t length = next_id(&lineage, &one);
    snprintf(id, STREAM_ID_BYTES, "%.*s", (int)length, one);
}

/* Lineage: which layer makes a stream of codes, and from which it has learned on.
 *
 * A layer is named by the id of the stream that it made while it learned (of a frozen layer that was never
 * trained: by a hash of its weights). A lineage is a text: that id, then the id of the layer it started from,
 * then that one's, and so on, with a space between; the newest that fit into STREAM_LAYER_BYTES. Freezing a
 * layer, moving its file, or showing it other frames changes nothing in it. */
#ifndef LOOM_COMMON_LINEAGE_H
#define LOOM_COMMON_LINEAGE_H

#include <stdbool.h>

#include "stream.h"

/* The lineage of layer `id` that started from a layer of lineage `older` ("": from none). */
void lineage_begin(char lineage[STREAM_LAYER_BYTES], const char *id, const char *older);

/* Whether layer `id` is the one that the lineage names, or one that it has learned on from. */
bool lineage_has(const char *lineage, const char *id);

/* The layer itself, the first id; "" of an empty lineage. */
void lineage_newest(char id[STREAM_ID_BYTES], const char *lineage);

#endif

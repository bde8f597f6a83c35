/* Code cache: what a frozen sparse layer makes of a stream is computed once and kept in a file; whoever
 * needs the same codes again (the next pass over the same frames, or another run) reads them.
 *
 * A file, FOLDER/<id>.h5, is a recording (recording.h) of the codes and, as activations of two units, of
 * the |v - r|^2 and |v|^2 of each frame, from which the metrics follow. The id is that of the stream of
 * codes, which is the hash of the layer, its parameters and all that made its input; so it needs no other
 * key. Of a stream whose passes repeat one pass is kept. A file that is being written has another name, of
 * its run's own, until it is complete: any number of runs may share a folder, and any file may be deleted
 * at any time. The folder is kept below a size; what has not been used for longest goes first.
 *
 * Nothing here fails: a cache that cannot be used is reported in the log, and the codes are computed. */
#ifndef LOOM_STAGES_CODE_CACHE_H
#define LOOM_STAGES_CODE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "stream.h"

struct code_cache;

struct code_cache_settings {
    const char *folder; /* "": loom-cache beside the run's folder */
    const char *run;    /* the run's folder */
    const char *name;   /* of the stage in its run */
    uint64_t limit_bytes;
};

/* Begin for the stream `codes`, which is borrowed: its id, block and total count from the first use on.
 * NULL if it cannot be cached (its end is not known, or it is too large). The caller owns it. */
struct code_cache *code_cache_new(const struct code_cache_settings *settings,
                                  const struct stream_info *codes);
void code_cache_destroy(struct code_cache **self_p);

/* The `needs` of struct stage: if the block from `from` on is known, it is read, checked and kept for
 * code_cache_take. */
void code_cache_needs(struct code_cache *self, uint64_t from, uint64_t *first, uint64_t *end);

/* The n frames from `seq` on that code_cache_needs has found: index and value (n x k), residual (n x 2).
 * LOOM_EINTERNAL if they are others. */
int code_cache_take(struct code_cache *self, uint64_t seq, size_t n, uint32_t *index, float *value,
                    float *residual) LOOM_MUST_CHECK;

/* Keep what has been computed. */
void code_cache_put(struct code_cache *self, const struct block *codes, const float *residual);

/* Make it durable, so that a stage that is restarted from a checkpoint written after this can go on. */
void code_cache_flush(struct code_cache *self);

#endif

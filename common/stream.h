/* Streams: what flows between stages, and a block of it in memory.
 *
 * A stream is an endless or finite row of frames, numbered from 0. It is cut into passes (the same data again and
 * again) of `pass` frames each; a block never crosses the end of a pass. */
#ifndef LOOM_COMMON_STREAM_H
#define LOOM_COMMON_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "log.h"

enum stream_kind {
    STREAM_NONE,
    STREAM_FRAMES, /* pictures: data n x height x width, u1 (value / 255) or f4; at n x 2 i4 (x, y), optional */
    STREAM_CODES,       /* sparse codes: index n x k u4 (ascending), value n x k f4 */
    STREAM_ACTIVATIONS, /* data n x M f4 */
    STREAM_ANY,         /* no stream has it: the output of a source whose kind shows when it is configured */
};

enum stream_dtype { STREAM_U1, STREAM_F4 };

#define STREAM_ID_BYTES 33      /* 32 hexadecimal digits and a NUL */
#define STREAM_NAME_BYTES 64    /* a stage's name in the run, with its NUL */
#define STREAM_LAYER_BYTES 1024 /* the ids of about 30 layers, with spaces and a NUL */
#define STREAM_FIELDS_MAX 2
#define STREAM_METRICS_MAX 16
#define STREAM_METRIC_NAME_BYTES 48

struct stream_info {
    char id[STREAM_ID_BYTES];      /* hash of all that made it */
    char stage[STREAM_NAME_BYTES]; /* what kind of stage made it: generate, sparse, ... */
    char name[STREAM_NAME_BYTES];  /* that stage's name in its run */
    char body
        [STREAM_NAME_BYTES]; /* what computed it, where several could: cpu, reference...; what follows a '-'
                                     (cpu-avx2) does not change the bits; "" : only one could */
    char layer[STREAM_LAYER_BYTES]; /* codes: which layer makes them (lineage.h); "": not told */
    enum stream_kind kind;
    enum stream_dtype dtype; /* of `data` of frames; STREAM_F4 otherwise */
    size_t height, width;    /* frames: of the picture */
    size_t winners;          /* codes: k */
    size_t grid_x, grid_y;   /* codes: of the N sparse units; activations: of the M units */
    bool at;                 /* frames: positions travel along */
    bool repeats;            /* every pass shows the same frames */
    uint64_t pass;           /* frames a pass; 0: no passes */
    uint64_t total;          /* frames in all; UINT64_MAX: no end known */
    uint64_t block;          /* frames a message at most */
    uint64_t ring;           /* frames held for those who fetch again; UINT64_MAX: all */
};

/* One field of a block: rows of `row_bytes` bytes. */
struct stream_field {
    const char *name;
    size_t row_bytes;
};

/* The fields of a stream, in the order of struct block's `fields`; returns how many (<= STREAM_FIELDS_MAX). */
size_t stream_fields(const struct stream_info *info, struct stream_field fields[STREAM_FIELDS_MAX]);

/* Whether both describe the same stream (id), and rows of the one have the type and shape of rows of the other. */
bool stream_same_form(const struct stream_info *a, const struct stream_info *b);

const char *stream_kind_name(enum stream_kind kind);

/* Blocks of `step` frames are cut at multiples of step within a pass, at the end of the pass and of the stream: the
 * first frame of the block that holds frame seq, and the first behind it. */
uint64_t stream_block_start(const struct stream_info *info, uint64_t seq, uint64_t step);
uint64_t stream_block_end(const struct stream_info *info, uint64_t seq, uint64_t step);

/* LOOM_EDATA if the description contradicts itself or is larger than Loom accepts. */
int stream_info_check(const struct stream_info *info) LOOM_MUST_CHECK;

/* n frames from number seq on. Field pointers are aligned for their type and valid until the next call of the
 * runner. What each holds, in order:  frames: data, at;  codes: index, value;  activations: data. */
struct block {
    uint64_t seq;                              /* number of the first frame */
    size_t n;                                  /* frames */
    void *fields[STREAM_FIELDS_MAX];           /* n rows each; NULL where the stream has no such field */
    struct metric metrics[STREAM_METRICS_MAX]; /* of the pass that this block ends; else none */
    size_t n_metrics;
};

/* A layer's weights as a stage shows them to a tap. */
struct stage_weights {
    const float *data; /* rows x cols, owned by the stage, valid until its next hook */
    size_t rows, cols;
    size_t grid_x, grid_y;            /* of the units: rows = grid_x * grid_y */
    size_t input_width, input_height; /* how a unit's weights are shown: cols = input_width * input_height */
};

#endif

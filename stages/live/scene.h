/* The scene: what the live page shows, whatever it comes from. A source (taps, or a run's folder) tells the scene of
 * streams, clips, weights and metrics; the scene makes messages of them and hangs them on the board. Belongs to one
 * thread. */
#ifndef LOOM_STAGES_LIVE_SCENE_H
#define LOOM_STAGES_LIVE_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../pipeline_file.h"
#include "board.h"
#include "clip.h"
#include "error.h"
#include "history.h"
#include "layers.h"
#include "status.h"
#include "stream.h"

struct scene_stream {
    struct stream_info info;
    char from[STREAM_NAME_BYTES]; /* stream that it is made of; "": none, or not known */
    bool tapped;                  /* a tap has described it: what a recording says of it does not count */
};

struct scene {
    struct board *board;
    char run[256];     /* its name: that of its folder */
    char folder[4096]; /* "": none */
    char sweep[4096];  /* folder of the sweep whose member it is; "": it is none; never changes */
    char command[512]; /* by which a tunnel is made; "": not needed */
    bool live;
    bool recorded; /* the slider can reach `first` and the `frames` from there on, of `pass` a pass */
    uint64_t first, frames, recorded_pass;

    struct pipeline_file pipeline; /* empty where it is not known */
    bool pipeline_read, tapestry_told;
    struct scene_stream streams[CLIP_STREAMS_MAX];
    size_t n_streams;
    struct layers layers;
    struct history history;
    struct clip_ring clips;
    uint64_t clips_made;
    bool changed; /* since the scene was told */
    int64_t status_ms;
    uint64_t history_told; /* its changes, when it was last told */
};

/* Texts are copied; folder and command may be "", sweep (the folder of the sweep whose member it is) NULL. */
void scene_init(struct scene *self, struct board *board, bool live, const char *run, const char *folder,
                const char *sweep, const char *command);
void scene_fini(struct scene *self);

/* Take note of a stream, new or described again. Returns its number, or CLIP_STREAMS_MAX if there are too many. */
size_t scene_add_stream(struct scene *self, const struct stream_info *info);

/* How many frames a clip may have, at most n and at least 1, so that its message is not larger than CLIP_BYTES_MAX. */
size_t scene_clip_frames(const struct scene *self, size_t n);

/* Make the message of a clip; *clip is taken over, and is empty then. LOOM_EINTERNAL. */
int scene_take_clip(struct scene *self, struct clip *clip, struct said **out) LOOM_MUST_CHECK;

/* Take note of weights; see layers_take. `from` is filled here. */
int scene_take_weights(struct scene *self, struct layer_known *layer, const float *data) LOOM_MUST_CHECK;

/* Take note of the metrics of a pass, and tell. */
void scene_take_metrics(struct scene *self, const char *stage, uint64_t pass, const struct metric *metrics,
                        size_t n);

/* Answer what is asked about a unit. LOOM_EDATA if there is no such unit. */
int scene_say_unit(struct scene *self, const struct ask *ask, struct said **out) LOOM_MUST_CHECK;

/* A message that something cannot be had. */
int scene_say_error(const char *why, struct said **out) LOOM_MUST_CHECK;

/* Tell of what has changed; called every so often. made_up: the state of the run where there is no status.json; NULL:
 * not known. */
int scene_tell(struct scene *self, const struct board_wants *wants,
               const struct run_status *made_up) LOOM_MUST_CHECK;

#endif

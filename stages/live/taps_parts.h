/* The source of a live scene, in its parts: an internal header of taps*.c. See taps.h.
 *
 * taps.c        what comes from the sockets, and the thread
 * taps_clips.c  when frames are looked at, and which become a clip */
#ifndef LOOM_STAGES_LIVE_TAPS_PARTS_H
#define LOOM_STAGES_LIVE_TAPS_PARTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "message.h"
#include "sampler.h"
#include "source.h"
#include "taps.h"

struct tapped {
    const char *endpoint; /* of the tap; borrowed */
    void *source;         /* DEALER: of a source, whose frames are asked for; NULL: none, or not needed yet */
    char serves[256];     /* where that is served; "": not known */
    void *data, *other;   /* SUB: frames; everything else */
    char name[STREAM_NAME_BYTES], stage[STREAM_NAME_BYTES]; /* "": nothing has come yet */
    size_t stream; /* in the scene and the sampler; CLIP_STREAMS_MAX: not described yet */
    bool looks_at_data, looks_at_weights;
    int64_t weights_ms; /* when weights are due */
    int64_t asked_ms;   /* when it was last asked what its stream is */
    uint64_t refused;   /* messages that were of no use */
    /* for taps_status, under the lock: */
    struct stream_info info;
    uint64_t frame; /* frames done, as last heard */
    int64_t frame_ms;
    double rate;
    uint64_t pass;
    struct status_metric metrics[STREAM_METRICS_MAX];
    size_t n_metrics;
};

struct taps {
    struct scene *scene;
    struct endpoint_context *endpoints;
    char run[128];           /* its name, as it was at the start: never changes */
    struct archive *archive; /* NULL: none */
    int64_t looked_ms;       /* when it was last looked at */
    struct tapped taps[CLIP_STREAMS_MAX];
    size_t n;
    struct sampler sampler;
    struct message message; /* large */
    bool sampling;
    int64_t began_ms, emitted_ms; /* sampling began; the last clip was made */
    int64_t rest_ms; /* at least between two clips, so that making them takes little of the time */
    /* Frames that are common, while those of sources are fetched. */
    bool fetching, last; /* last: nothing more is looked at behind them */
    uint64_t fetch_seq;
    size_t fetch_n;
    int64_t fetch_ms;
    pthread_mutex_t lock;
    struct source_thread thread;
};

/* ---- taps.c ---- */

void taps_subscribe(void *socket, bool on, const char *topic);

/* A message came that is of no use: said the 1st, 2nd, 4th, 8th time. */
void taps_refuse(struct tapped *tap);

/* A message of a tap, or a reply of a source. Takes the payload over. */
void taps_take_message(struct taps *self, struct tapped *tap, zmq_msg_t *payload);

/* ---- taps_clips.c ---- */

/* Look at frames if a clip is due, and hang it on the board once there is one. */
int taps_sample(struct taps *self, const struct board_wants *wants) LOOM_MUST_CHECK;

/* Do not look at frames any more. */
void taps_stop_sampling(struct taps *self);

/* Take what a source has answered. */
void taps_receive_fetched(struct taps *self, struct tapped *tap);

#endif

/* When frames are looked at, and which become a clip. See taps_parts.h.
 *
 * A clip begins with codes and activations: their taps are subscribed to until there are frames that all of them have. Frames
 * of a source are not looked at but asked for then, at its other socket: a source may be far ahead of those who learn (a
 * recorder reads as fast as a disk writes), and can make any frame again, which costs it a block. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "taps_parts.h"

#define GRACE_MS 300    /* after a clip was due: then fewer frames than wanted will do */
#define ALL_MS 1500     /* as long, clips wait for a stream that has none of the others' frames */
#define GIVE_UP_MS 5000 /* as long, frames are waited for that streams have in common */
#define FETCH_MS 1000   /* and frames of a source that are asked for */
#define SLOW_WORK 50    /* times as long as a clip took to make, until the next */

#define TAP_ENDING ".tap"

/* ---- frames of sources ---- */

/* Where the stream beside a tap is served: beside the tap's socket in a run's folder, or where it says itself. */
static bool find_stream(const struct tapped *tap, char *endpoint, size_t size)
{
    static const char *const nowhere[] = {"tcp://0.0.0.0", "tcp://[::]"};
    const size_t n = strlen(tap->endpoint), own = strlen(TAP_ENDING);
    if (n > own && strcmp(tap->endpoint + n - own, TAP_ENDING) == 0 && n - own < size) {
        memcpy(endpoint, tap->endpoint, n - own);
        endpoint[n - own] = '\0';
        return true;
    }
    snprintf(endpoint, size, "%s", tap->serves);
    return strncmp(endpoint, "tcp://", 6) == 0 && strncmp(endpoint, nowhere[0], strlen(nowhere[0])) != 0 &&
           strncmp(endpoint, nowhere[1], strlen(nowhere[1])) != 0;
}

/* Say which streams' frames are asked for: sources', if there are others to say which. */
static void set_apart(struct taps *self)
{
    struct sampler *sampler = &self->sampler;
    bool others = false;
    for (size_t s = 0; s < sampler->n; s++) {
        others = others || (sampler->streams[s].known && sampler->streams[s].info.ring != UINT64_MAX);
    }
    for (size_t i = 0; i < self->n; i++) {
        struct tapped *tap = &self->taps[i];
        struct sampled *stream = tap->stream < CLIP_STREAMS_MAX ? &sampler->streams[tap->stream] : NULL;
        char endpoint[256];
        if (stream == NULL || !stream->known) {
            continue;
        }
        const bool wanted = others && stream->info.ring == UINT64_MAX;
        if (wanted && tap->source == NULL && find_stream(tap, endpoint, sizeof endpoint) &&
            endpoint_connect(self->endpoints, &tap->source, ZMQ_DEALER, endpoint, 0, MESSAGE_REPLY_MAX) < 0) {
            taps_refuse(tap);
        }
        stream->apart = wanted && tap->source != NULL; /* otherwise what its tap shows has to do */
    }
}

/* Ask for the frames of a source that are still missing, if any. */
static void ask(struct taps *self, struct tapped *tap)
{
    const struct sampled *stream = &self->sampler.streams[tap->stream];
    uint64_t from = self->fetch_seq;
    for (size_t i = 0; i < stream->n; i++) { /* replies end where blocks do */
        from = stream->blocks[i].seq + stream->blocks[i].n;
    }
    zmq_msg_t message;
    const uint64_t end = self->fetch_seq + self->fetch_n;
    if (from < end && message_write_fetch(&message, stream->info.id, from, end - from, UINT64_MAX, "") == 0 &&
        zmq_msg_send(&message, tap->source, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&message);
    }
}

void taps_receive_fetched(struct taps *self, struct tapped *tap)
{
    for (zmq_msg_t reply; tap->source != NULL;) {
        zmq_msg_init(&reply);
        if (zmq_msg_recv(&reply, tap->source, ZMQ_DONTWAIT) < 0 || tap->stream == CLIP_STREAMS_MAX) {
            zmq_msg_close(&reply);
            return;
        }
        const size_t before = self->sampler.streams[tap->stream].n;
        taps_take_message(self, tap, &reply);
        if (self->fetching && tap->stream < CLIP_STREAMS_MAX &&
            self->sampler.streams[tap->stream].n > before) {
            ask(self, tap); /* the rest; one that has nothing for us is not asked again */
        }
    }
}

/* Ask all sources for these frames. */
static void begin_fetch(struct taps *self, uint64_t seq, size_t n)
{
    self->fetching = true;
    self->fetch_seq = seq;
    self->fetch_n = n;
    self->fetch_ms = clock_ms();
    for (size_t i = 0; i < self->n; i++) {
        struct tapped *tap = &self->taps[i];
        if (tap->source != NULL && tap->stream < CLIP_STREAMS_MAX &&
            self->sampler.streams[tap->stream].apart) {
            sampler_clear_stream(&self->sampler, tap->stream);
            ask(self, tap);
        }
    }
}

static bool is_fetched(const struct taps *self)
{
    for (size_t i = 0; i < self->n; i++) {
        const struct tapped *tap = &self->taps[i];
        if (tap->source != NULL && tap->stream < CLIP_STREAMS_MAX &&
            self->sampler.streams[tap->stream].apart &&
            !sampler_has(&self->sampler, tap->stream, self->fetch_seq, self->fetch_n)) {
            return false;
        }
    }
    return true;
}

/* ---- clips ---- */

static void subscribe(struct taps *self, bool on)
{
    for (size_t i = 0; i < self->n; i++) {
        struct tapped *tap = &self->taps[i];
        const bool wanted = on && tap->stream < CLIP_STREAMS_MAX && !self->sampler.streams[tap->stream].apart;
        if (tap->looks_at_data != wanted) {
            taps_subscribe(tap->data, wanted, "data");
            tap->looks_at_data = wanted;
        }
    }
}

void taps_stop_sampling(struct taps *self)
{
    subscribe(self, false);
    sampler_clear(&self->sampler);
    self->sampling = self->fetching = false;
}

/* Make a clip of the frames that have been found, and hang it on the board. */
static int emit(struct taps *self)
{
    const int64_t begin_us = clock_thread_us();
    struct clip clip;
    struct said *message = NULL;
    int status = sampler_cut(&self->sampler, self->fetch_seq, self->fetch_n, &clip);
    if (status == 0) {
        status = scene_take_clip(self->scene, &clip, &message);
    }
    if (status == 0) {
        board_publish(self->scene->board, BOARD_CLIP, "", &message);
    }
    self->began_ms = self->emitted_ms = clock_ms();
    self->rest_ms = SLOW_WORK * (clock_thread_us() - begin_us) / 1000;
    self->fetching = false;
    if (self->last) {
        taps_stop_sampling(self);
    }
    return status;
}

/* Look for frames that all have; once they are found, those of sources are asked for. */
static void find(struct taps *self, int64_t due_ms, int64_t now_ms)
{
    uint64_t seq = 0;
    const bool all = now_ms - self->began_ms < ALL_MS;
    const bool grace = now_ms - self->began_ms >= GRACE_MS && now_ms - due_ms >= GRACE_MS;
    const size_t most = scene_clip_frames(self->scene, ASK_FRAMES_MAX);
    size_t n = sampler_common(&self->sampler, true, true, most, &seq);
    if (n == 0 && !all) {
        n = sampler_common(&self->sampler, false, true, most, &seq);
    }
    if (n == most || (n > 0 && grace)) {
        self->last = n == most; /* slow ones: go on listening */
        if (self->last) {
            subscribe(self, false);
        }
        begin_fetch(self, seq, n);
    } else if (now_ms - self->began_ms >= GIVE_UP_MS) {
        taps_stop_sampling(self);
        self->emitted_ms = now_ms;
    }
}

int taps_sample(struct taps *self, const struct board_wants *wants)
{
    const int64_t now_ms = clock_ms();
    const int64_t due_ms =
        self->emitted_ms + (self->rest_ms > wants->clip_ms ? self->rest_ms : wants->clip_ms);
    if (!self->sampling) {
        if (now_ms < due_ms) {
            return 0;
        }
        self->sampling = true;
        self->began_ms = now_ms;
    }
    if (!self->fetching) {
        set_apart(self);
        subscribe(self, true); /* also those described meanwhile */
        if (now_ms >= due_ms) {
            find(self, due_ms, now_ms);
        }
    }
    const bool done = self->fetching && (is_fetched(self) || now_ms - self->fetch_ms >= FETCH_MS);
    return done ? emit(self) : 0;
}

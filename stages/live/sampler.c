/* See sampler.h. */
#include "sampler.h"

#include <string.h>

/* Frames from `first` to before `end`. */
struct range {
    uint64_t first, end;
};

struct ranges {
    struct range items[SAMPLER_BLOCKS_MAX];
    size_t n;
};

static void drop_block(struct sampled *stream, size_t i)
{
    stream->bytes -= zmq_msg_size(&stream->blocks[i].message);
    zmq_msg_close(&stream->blocks[i].message);
    stream->n--;
    for (; i < stream->n; i++) { /* a zmq_msg_t must not be copied but by its own functions */
        struct sampled_block *to = &stream->blocks[i], *from = &stream->blocks[i + 1];
        to->seq = from->seq;
        to->n = from->n;
        memcpy(to->offsets, from->offsets, sizeof to->offsets);
        zmq_msg_init(&to->message);
        zmq_msg_move(&to->message, &from->message);
        zmq_msg_close(&from->message);
    }
}

static void clear_stream(struct sampled *stream)
{
    while (stream->n > 0) {
        drop_block(stream, stream->n - 1);
    }
}

void sampler_clear_stream(struct sampler *self, size_t s)
{
    clear_stream(&self->streams[s]);
}

void sampler_clear(struct sampler *self)
{
    for (size_t s = 0; s < self->n; s++) {
        clear_stream(&self->streams[s]);
    }
}

void sampler_describe(struct sampler *self, size_t s, const struct stream_info *info)
{
    struct sampled *stream = &self->streams[s];
    if (!stream->known || !stream_same_form(&stream->info, info)) {
        clear_stream(stream);
        self->emitted = 0;
    }
    stream->known = true;
    stream->info = *info;
    self->n = s >= self->n ? s + 1 : self->n;
}

/* Drop blocks that nobody will match: all before the first frame that some stream has. */
static void drop_old(struct sampler *self)
{
    uint64_t first = 0;
    for (size_t s = 0; s < self->n; s++) {
        const struct sampled *stream = &self->streams[s];
        first =
            stream->n > 0 && !stream->apart && stream->blocks[0].seq > first ? stream->blocks[0].seq : first;
    }
    for (size_t s = 0; s < self->n; s++) {
        struct sampled *stream = &self->streams[s];
        while (!stream->apart && stream->n > 1 && stream->blocks[0].seq + stream->blocks[0].n <= first) {
            drop_block(stream, 0);
        }
    }
}

void sampler_add(struct sampler *self, size_t s, uint64_t seq, uint64_t n, zmq_msg_t *message,
                 const uint8_t *const rows[STREAM_FIELDS_MAX])
{
    struct sampled *stream = &self->streams[s];
    const size_t bytes = zmq_msg_size(message);
    if (stream->n > 0 && seq < stream->blocks[stream->n - 1].seq) { /* a stage that was started again */
        clear_stream(stream);
        self->emitted = seq < self->emitted ? seq : self->emitted;
    }
    const bool full =
        stream->n == SAMPLER_BLOCKS_MAX || (stream->n > 0 && stream->bytes + bytes > SAMPLER_BYTES_MAX);
    if (!stream->known || n == 0 || full) {
        zmq_msg_close(message);
        return;
    }
    struct sampled_block *block = &stream->blocks[stream->n++];
    *block = (struct sampled_block){.seq = seq, .n = n};
    for (size_t f = 0; f < STREAM_FIELDS_MAX; f++) {
        block->offsets[f] = rows[f] == NULL ? 0 : (size_t)(rows[f] - (const uint8_t *)zmq_msg_data(message));
    }
    stream->bytes += bytes;
    zmq_msg_init(&block->message);
    zmq_msg_move(&block->message, message);
    zmq_msg_close(message);
    drop_old(self);
}

/* ---- ranges ---- */

/* What a stream has, ascending; blocks that follow on one another are one range. */
static void ranges_of(struct ranges *out, const struct sampled *stream)
{
    out->n = 0;
    for (size_t i = 0; i < stream->n; i++) {
        const struct sampled_block *block = &stream->blocks[i];
        struct range *last = out->n == 0 ? NULL : &out->items[out->n - 1];
        if (last != NULL && block->seq <= last->end) {
            last->end = block->seq + block->n > last->end ? block->seq + block->n : last->end;
        } else {
            out->items[out->n++] = (struct range){block->seq, block->seq + block->n};
        }
    }
}

/* The frames in both, into *a. */
static void intersect(struct ranges *a, const struct ranges *b)
{
    struct ranges both = {.n = 0};
    for (size_t i = 0, j = 0; i < a->n && j < b->n && both.n < SAMPLER_BLOCKS_MAX;) {
        const uint64_t first = a->items[i].first > b->items[j].first ? a->items[i].first : b->items[j].first;
        const uint64_t end = a->items[i].end < b->items[j].end ? a->items[i].end : b->items[j].end;
        if (first < end) {
            both.items[both.n++] = (struct range){first, end};
        }
        if (a->items[i].end < b->items[j].end) {
            i++;
        } else {
            j++;
        }
    }
    *a = both;
}

/* The first frame of the pass that frame seq is in, as far as any stream knows of passes. */
static uint64_t pass_start(const struct sampler *self, uint64_t seq)
{
    for (size_t s = 0; s < self->n; s++) {
        const uint64_t pass = self->streams[s].known ? self->streams[s].info.pass : 0;
        if (pass > 0) {
            return seq - seq % pass;
        }
    }
    return 0;
}

/* The newest `most` frames of one pass in a range. */
static size_t newest(const struct sampler *self, struct range range, size_t most, uint64_t *seq)
{
    const uint64_t start = pass_start(self, range.end - 1);
    uint64_t first = range.first > start ? range.first : start, end = range.end;
    if (end - first < most && range.first < start && start - range.first > end - first) {
        end = start; /* the pass before has more of them */
        first = range.first;
    }
    *seq = end - first > most ? end - most : first;
    return (size_t)(end - *seq);
}

size_t sampler_common(const struct sampler *self, bool all, bool fresh, size_t most, uint64_t *seq)
{
    struct ranges common = {.n = 0}, one;
    bool begun = false, taken[CLIP_STREAMS_MAX] = {false};
    for (size_t round = 0; round < self->n; round++) {
        /* whoever is furthest behind first, for all others have had its frames */
        size_t next = self->n;
        for (size_t s = 0; s < self->n; s++) {
            const struct sampled *stream = &self->streams[s];
            if (stream->known && !stream->apart && stream->n == 0 && all) {
                return 0;
            }
            if (stream->n > 0 && !stream->apart && !taken[s] &&
                (next == self->n || stream->blocks[0].seq < self->streams[next].blocks[0].seq)) {
                next = s;
            }
        }
        if (next == self->n) {
            break;
        }
        taken[next] = true;
        ranges_of(&one, &self->streams[next]);
        struct ranges both = begun ? common : one;
        intersect(&both, &one);
        if (both.n == 0 && all) {
            return 0;
        }
        common = both.n > 0 ? both : common;
        begun = true;
    }
    size_t best = 0;
    for (size_t i = common.n;
         i-- > 0 && best < most;) { /* the newest range that has enough, or the longest */
        struct range range = common.items[i];
        uint64_t first;
        range.first = fresh && range.first < self->emitted ? self->emitted : range.first;
        const size_t n = range.first < range.end ? newest(self, range, most, &first) : 0;
        if (n > best) {
            best = n;
            *seq = first;
        }
    }
    return best;
}

/* ---- cutting ---- */

bool sampler_has(const struct sampler *self, size_t s, uint64_t seq, size_t n)
{
    const struct sampled *stream = &self->streams[s];
    struct ranges ranges;
    ranges_of(&ranges, stream);
    for (size_t i = 0; i < ranges.n; i++) {
        if (ranges.items[i].first <= seq && seq + n <= ranges.items[i].end) {
            return true;
        }
    }
    return false;
}

/* Copy the frames from its blocks, which may overlap. */
static void copy_rows(struct clip_part *part, struct sampled *stream, uint64_t seq, size_t n)
{
    struct stream_field fields[STREAM_FIELDS_MAX] = {{.row_bytes = 0}};
    const size_t n_fields = stream_fields(&stream->info, fields);
    for (size_t i = 0; i < stream->n; i++) {
        struct sampled_block *block = &stream->blocks[i];
        const uint64_t first = block->seq > seq ? block->seq : seq;
        const uint64_t end = block->seq + block->n < seq + n ? block->seq + block->n : seq + n;
        for (size_t f = 0; f < n_fields && first < end; f++) {
            const size_t row = fields[f].row_bytes;
            const uint8_t *from = (const uint8_t *)zmq_msg_data(&block->message) + block->offsets[f];
            memcpy((uint8_t *)part->fields[f] + (first - seq) * row, from + (first - block->seq) * row,
                   (end - first) * row);
        }
    }
}

int sampler_cut(struct sampler *self, uint64_t seq, size_t n, struct clip *clip)
{
    *clip = (struct clip){.seq = seq, .n = n};
    for (size_t s = 0; s < self->n; s++) {
        struct sampled *stream = &self->streams[s];
        if (!stream->known || !sampler_has(self, s, seq, n)) {
            continue;
        }
        struct clip_part *part = clip_add(clip, s, &stream->info);
        if (part == NULL) {
            clip_fini(clip);
            return error_set(LOOM_EINTERNAL, "no memory for %zu frames", n);
        }
        copy_rows(part, stream, seq, n);
        clip->pass = stream->info.pass > 0 ? seq / stream->info.pass : clip->pass;
    }
    self->emitted = seq + n;
    return LOOM_OK;
}

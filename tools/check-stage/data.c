/* See data.h. */
#include "data.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "message.h"

#define PACK_HINT "reply with socket.send_multipart([peer, msgpack.packb({'v': 1, 't': ...})])"
#define BYTES_HINT                                                                                           \
    "send array.tobytes(), of a NumPy array of the type described: .astype('<f4'), or 'u1', or '<u4'"

/* ---- any message ---- */

/* Whether it is one map of version 1 with a type. */
static bool is_message(struct subject *self, const struct answer *answer)
{
    const struct answer_pair *v = answer_get(answer, "v"), *t = answer_get(answer, "t");
    if (answer->parts > 1) {
        check_fail(self, RULE_MESSAGE,
                   "send [peer, message] and nothing between or behind them; the empty part that REQ and REP "
                   "sockets need "
                   "is not for ROUTER and DEALER",
                   "the answer has %zu parts instead of one", answer->parts);
    } else if (answer->binary_keys) {
        check_fail(self, RULE_MESSAGE, "write the keys as str: 'id', not b'id'",
                   "its keys are bytes, not text");
    } else if (!answer->is_map) {
        check_fail(self, RULE_MESSAGE, PACK_HINT, "the answer is no MessagePack map");
    } else if (v == NULL || v->value.type != WIRE_UNSIGNED || v->value.number != 1) {
        check_fail(self, RULE_MESSAGE, "give every reply 'v': 1", "`v` is %s, not 1",
                   v != NULL && v->value.type == WIRE_UNSIGNED ? "another number" : answer_type(v));
    } else if (t == NULL || t->value.type != WIRE_TEXT) {
        check_fail(self, RULE_MESSAGE, "give every reply its type: 't': 'stream' or 'data' ...", "`t` is %s",
                   answer_type(t));
    } else {
        return true;
    }
    return false;
}

/* ---- descriptions ---- */

static void check_id(struct subject *self, const struct answer_pair *id)
{
    static const char mend[] = "name all that makes the stream in at most 32 characters, e.g. a hash: "
                               "hashlib.sha256(repr(parameters).encode()).hexdigest()[:32]";
    if (id == NULL || id->value.type != WIRE_TEXT) {
        check_fail(self, RULE_DESCRIBE, mend, "`id` is %s", answer_type(id));
    } else if (id->value.number < 1 || id->value.number > 32) {
        check_fail(self, RULE_DESCRIBE, mend, "`id` has %" PRIu64 " characters; 1 to 32 are possible",
                   id->value.number);
    }
}

static void check_shape(struct subject *self, const struct answer *answer)
{
    const struct answer_pair *shape = answer_get(answer, "shape");
    const uint64_t wanted = answer_has_text(answer, "kind", "frames") ? 2 : 1;
    const char *mend = wanted == 2 ? "give 'shape': [height, width], as Python ints"
                                   : "give 'shape': [number of winners or units], as a Python int";
    if (shape == NULL || shape->value.type != WIRE_ARRAY || shape->value.number != wanted) {
        check_fail(self, RULE_DESCRIBE, mend, "`shape` is %s instead of a list of %" PRIu64 " whole number%s",
                   shape != NULL && shape->value.type == WIRE_ARRAY ? "a list of another length"
                                                                    : answer_type(shape),
                   wanted, wanted == 1 ? "" : "s");
        return;
    }
    struct wire_cursor cursor = shape->inside;
    for (uint64_t i = 0; i < wanted; i++) {
        struct answer_pair item = {.value = {.type = WIRE_NIL}};
        if (!wire_read(&cursor, &item.value) || item.value.type != WIRE_UNSIGNED || item.value.number == 0) {
            check_fail(self, RULE_DESCRIBE, mend, "`shape` has %s where a whole number from 1 up belongs",
                       item.value.type == WIRE_UNSIGNED ? "a 0" : answer_type(&item));
        }
    }
}

/* Keys whose values are whole numbers, or nil where that is allowed. */
static void check_numbers(struct subject *self, const struct answer *answer)
{
    static const char *const names[] = {"pass", "total", "block", "ring", "base", "head"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct answer_pair *pair = answer_get(answer, names[i]);
        bool nil = i == 1 || i == 3; /* total and ring */
        if (pair != NULL && pair->value.type != WIRE_UNSIGNED && !(nil && pair->value.type == WIRE_NIL)) {
            check_fail(self, RULE_DESCRIBE, "write it as a Python int: int(...)",
                       "`%s` is %s instead of a whole number from 0 up%s", names[i], answer_type(pair),
                       nil ? ", or None" : "");
        }
    }
}

/* Whole blocks must fit in messages. */
static void check_size(struct subject *self, const struct stream_info *info)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    size_t n_fields = stream_fields(info, fields);
    uint64_t bytes = MESSAGE_REQUEST_MAX; /* for the keys */
    for (size_t f = 0; f < n_fields; f++) {
        bytes += info->block * fields[f].row_bytes;
    }
    if (bytes > (uint64_t)MESSAGE_REPLY_MAX) {
        check_fail(self, RULE_MESSAGE,
                   "give a smaller 'block', and cut replies there; 256 where none is given",
                   "a block of %" PRIu64 " frames has %" PRIu64 " MiB; replies have at most 256 MiB",
                   info->block, bytes >> 20);
    }
}

/* Fails the check if there is something wrong with a description. */
static void check_description(struct subject *self, const struct answer *answer)
{
    static struct message message;
    const struct answer_pair *kind = answer_get(answer, "kind"), *dtype = answer_get(answer, "dtype");
    if (!is_message(self, answer)) {
        return;
    }
    if (!answer_has_text(answer, "t", "stream")) {
        check_fail(self, RULE_DESCRIBE,
                   "answer {'t': 'describe'} with {'t': 'stream', 'id': ..., 'kind': ..., 'shape': "
                   "...}",
                   "describe is not answered with a `stream` message");
        return;
    }
    check_id(self, answer_get(answer, "id"));
    if (!answer_has_text(answer, "kind", "frames") && !answer_has_text(answer, "kind", "codes") &&
        !answer_has_text(answer, "kind", "activations")) {
        check_fail(self, RULE_DESCRIBE, "give 'kind': 'frames', 'codes' or 'activations'", "`kind` is %s",
                   kind != NULL && kind->value.type == WIRE_TEXT ? "another word" : answer_type(kind));
    }
    check_shape(self, answer);
    if (dtype != NULL && !answer_has_text(answer, "dtype", "u1") && !answer_has_text(answer, "dtype", "f4")) {
        check_fail(self, RULE_DESCRIBE, "give 'dtype': 'f4' for float32 from 0 to 1, or 'u1' for bytes",
                   "`dtype` is neither \"u1\" nor \"f4\"");
    }
    if (answer_has_text(answer, "kind", "codes") && answer_get(answer, "grid") == NULL) {
        check_fail(self, RULE_DESCRIBE, "give 'grid': [columns, rows] of the units", "codes need a `grid`");
    }
    check_numbers(self, answer);
    if (!check_failed(self) && message_read(&message, zmq_msg_data((zmq_msg_t *)(uintptr_t)&answer->message),
                                            zmq_msg_size(&answer->message)) < 0) {
        check_fail(self, RULE_DESCRIBE, "correct what the sentence says", "%s", error_message());
    }
    if (!check_failed(self)) {
        self->base = message.base;
        self->head = message.head;
        check_size(self, &message.info);
    }
}

bool data_describes(struct subject *self, const struct answer *answer, bool first)
{
    static struct message message;
    check_description(self, answer);
    if (check_failed(self) || message_read(&message, zmq_msg_data((zmq_msg_t *)(uintptr_t)&answer->message),
                                           zmq_msg_size(&answer->message)) < 0) {
        return false;
    }
    const struct stream_info *now = &message.info, *was = &self->info;
    if (first) {
        self->info = *now;
        self->end = now->total;
        self->ack = self->base;
        return true;
    }
    if (strcmp(now->id, was->id) != 0) {
        check_fail(self, RULE_PURE,
                   "make the id from what makes the stream (parameters, seed, file), not from time, chance, "
                   "id() or the "
                   "process number",
                   "it was stream %s before, and now it is stream %s", was->id, now->id);
    } else if (now->kind != was->kind || now->height != was->height || now->width != was->width ||
               now->winners != was->winners || now->grid_x != was->grid_x || now->grid_y != was->grid_y ||
               now->dtype != was->dtype || now->at != was->at || now->pass != was->pass ||
               now->total != was->total || now->block != was->block) {
        check_fail(self, RULE_PURE,
                   "describe a stream always in the same way; what differs deserves another id",
                   "the same id is described in another way than before");
    }
    return !check_failed(self);
}

/* ---- data ---- */

static bool is_data(struct subject *self, const struct answer *answer)
{
    if (!is_message(self, answer)) {
        return false;
    }
    if (answer_has_text(answer, "t", "gone")) {
        check_fail(
            self, RULE_HELD,
            "make frame k only when it is asked for, and again whenever it is; or keep what readers have not "
            "acknowledged, and stop making more; for a camera or a pipe there is `loom ingest`",
            "these frames are said to be gone, though a reader had not acknowledged them");
    } else if (answer_has_text(answer, "t", "err")) {
        check_fail(self, RULE_KEYS, "answer this fetch with data", "a good fetch is refused");
    } else if (!answer_has_text(answer, "t", "data")) {
        check_fail(self, RULE_KEYS, "answer {'t': 'fetch', ...} with {'t': 'data', ...}",
                   "a fetch is not answered with `data`");
    } else if (!answer_has_text(answer, "id", self->info.id)) {
        check_fail(self, RULE_KEYS, "put the stream's id in every reply", "`id` is not that of the stream");
    }
    return !check_failed(self);
}

/* The heads of the reply to a fetch. */
static bool check_head(struct subject *self, const struct answer *answer, uint64_t from, uint64_t n,
                       struct part *part)
{
    const struct answer_pair *seq = answer_get(answer, "seq"), *got = answer_get(answer, "n");
    const struct answer_pair *eos = answer_get(answer, "eos");
    uint64_t expected = from < self->end ? from : self->end;
    if (seq == NULL || seq->value.type != WIRE_UNSIGNED) {
        check_fail(self, RULE_KEYS, "give 'seq': the number of the first frame sent", "`seq` is %s",
                   answer_type(seq));
    } else if (seq->value.number != expected && from < self->end) {
        check_fail(self, RULE_PURE, "send exactly the frames that were asked for, from number `from` on",
                   "`seq` is %" PRIu64 ", but frame %" PRIu64 " was asked for", seq->value.number, from);
    } else if (seq->value.number != expected) {
        check_fail(self, RULE_BEYOND, "answer a fetch beyond the end with 'seq': total, 'n': 0, 'eos': True",
                   "`seq` is %" PRIu64 " instead of %" PRIu64 ", the end", seq->value.number, expected);
    } else if (got == NULL || got->value.type != WIRE_UNSIGNED) {
        check_fail(self, from < self->end ? RULE_KEYS : RULE_BEYOND,
                   "give 'n': the number of frames sent, max(0, ...)", "`n` is %s", answer_type(got));
    } else if (got->value.number > n) {
        check_fail(self, RULE_N, "cut: n = min(ask['n'], total - ask['from'], ...)",
                   "%" PRIu64 " frames came where at most %" PRIu64 " were asked for", got->value.number, n);
    } else if (eos == NULL || eos->value.type != WIRE_BOOLEAN) {
        check_fail(self, RULE_EOS, "give 'eos': True or False", "`eos` is %s", answer_type(eos));
    } else {
        *part = (struct part){.n = got->value.number, .eos = eos->value.number != 0};
    }
    return !check_failed(self);
}

/* Whether the frames are cut and the end is told as they must be. */
static bool check_cut(struct subject *self, uint64_t from, uint64_t n, const struct part *part)
{
    if (from < self->end && part->n > stream_block_end(&self->info, from, self->info.block) - from) {
        check_fail(
            self, RULE_BLOCKS,
            "cut too: n = min(n, block - from % pass % block, pass - from % pass); `block` is 256 where a "
            "description has none",
            "%" PRIu64 " frames from %" PRIu64 " on cross a multiple of block (%" PRIu64
            ") or the end of a pass (%" PRIu64 " frames)",
            part->n, from, self->info.block, self->info.pass);
    } else if (part->n == 0 && n > 0 && from < self->end && !part->eos) {
        check_fail(self, RULE_WAITS, "if a frame is not there yet, keep the request and answer it later",
                   "frame %" PRIu64 " was asked for, and none came", from);
    } else if (self->end != UINT64_MAX && part->eos != (from + part->n >= self->end)) {
        check_fail(self, RULE_EOS, "'eos': from + n == total",
                   part->eos
                       ? "the stream is said to end behind frame %" PRIu64 ", but has %" PRIu64 " frames"
                       : "frames before %" PRIu64 " came, which are all %" PRIu64 ", but `eos` is not true",
                   from + part->n, self->end);
    }
    return !check_failed(self);
}

/* A field's rows, or NULL after the check has failed. */
static const uint8_t *find_rows(struct subject *self, const struct answer *answer,
                                const struct stream_field *field, uint64_t n)
{
    const struct answer_pair *pair = answer_get(answer, field->name);
    const uint64_t wanted = n * field->row_bytes;
    if (pair == NULL || pair->value.type != WIRE_BINARY) {
        check_fail(self, RULE_FIELDS, BYTES_HINT, "`%s` is %s instead of bytes", field->name,
                   answer_type(pair));
        return NULL;
    }
    uint64_t came = pair->value.number;
    if (came == wanted) {
        return pair->value.bytes;
    }
    const char *guess = came == 2 * wanted   ? ": is it float64 or int64?"
                        : came * 4 == wanted ? ": is it uint8, though f4 is described?"
                        : came == 4 * wanted ? ": is it float32, though u1 is described?"
                        : came == 8 * wanted ? ": is it float64, though u1 is described?"
                                             : "";
    check_fail(self, RULE_FIELDS, BYTES_HINT,
               "`%s` has %" PRIu64 " bytes; %" PRIu64 " rows of %zu bytes are %" PRIu64 "%s", field->name,
               came, n, field->row_bytes, wanted, guess);
    return NULL;
}

bool data_answers(struct subject *self, const struct answer *answer, uint64_t from, uint64_t n,
                  struct part *part)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    size_t n_fields = stream_fields(&self->info, fields);
    *part = (struct part){.n = 0};
    if (!is_data(self, answer) || !check_head(self, answer, from, n, part) ||
        !check_cut(self, from, n, part)) {
        return false;
    }
    for (size_t f = 0; f < n_fields && part->n > 0; f++) {
        part->rows[f] = find_rows(self, answer, &fields[f], part->n);
        if (part->rows[f] == NULL) {
            return false;
        }
    }
    if (part->eos && self->end == UINT64_MAX) {
        self->end = from + part->n;
    }
    return true;
}

bool data_fetch(struct subject *self, uint64_t from, uint64_t n, struct answer *answer, struct part *part)
{
    enum came came = subject_ask(self, from, n, answer);
    check_fail_silent(self, came, RULE_KEYS, "answer every fetch, at once where the frames are there");
    return came == CAME_REPLY && data_answers(self, answer, from, n, part);
}

bool data_agrees(struct subject *self, uint64_t from, const struct part *part, enum rule rule,
                 const char *mend, const char *what)
{
    struct stream_field fields[STREAM_FIELDS_MAX];
    size_t n_fields = stream_fields(&self->info, fields);
    for (uint64_t i = 0; i < part->n; i++) {
        uint64_t frame = from + i;
        for (size_t f = 0; f < n_fields && frame >= self->first && frame < self->first + self->kept; f++) {
            size_t bytes = fields[f].row_bytes;
            if (memcmp(part->rows[f] + i * bytes, self->rows[f] + (frame - self->first) * bytes, bytes) !=
                0) {
                check_fail(self, rule, mend, "frame %" PRIu64 " has other bytes in `%s` %s", frame,
                           fields[f].name, what);
                return false;
            }
        }
    }
    return true;
}

bool data_read(struct subject *self, uint64_t from, uint64_t to,
               bool (*hook)(struct subject *self, uint64_t from, const struct part *part))
{
    struct answer answer;
    answer_init(&answer);
    bool good = true;
    while (good && from < to && from < self->end && self->broken == 0) {
        struct part part;
        uint64_t n = stream_block_end(&self->info, from, self->info.block) - from;
        n = to - from < n ? to - from : n;
        good = data_fetch(self, from, n, &answer, &part) && hook(self, from, &part);
        from += good ? part.n : 0;
    }
    answer_fini(&answer);
    return good;
}

/* ---- values ---- */

static float real_at(const uint8_t *rows, uint64_t i)
{
    float value;
    memcpy(&value, rows + i * sizeof value, sizeof value);
    return value;
}

static void check_frames(struct subject *self)
{
    const uint64_t pixels = self->info.height * self->info.width;
    if (self->info.dtype == STREAM_U1) {
        return;
    }
    for (uint64_t i = 0; i < self->kept * pixels && !check_failed(self); i++) {
        double value = (double)real_at(self->rows[0], i);
        if (!(value >= 0 && value <= 1)) {
            check_fail(self, RULE_FIELDS, "scale frames to 0..1: frames / 255, or numpy.clip(frames, 0, 1)",
                       "frame %" PRIu64 " has the value %g at row %" PRIu64 ", column %" PRIu64
                       ", not from 0 to 1",
                       self->first + i / pixels, value, i % pixels / self->info.width, i % self->info.width);
        }
    }
}

static void check_codes(struct subject *self)
{
    const uint64_t k = self->info.winners, units = self->info.grid_x * self->info.grid_y;
    uint32_t before = 0;
    for (uint64_t i = 0; i < self->kept * k && !check_failed(self); i++) {
        uint32_t index;
        double value = (double)real_at(self->rows[1], i);
        memcpy(&index, self->rows[0] + i * sizeof index, sizeof index);
        if (index >= units) {
            check_fail(self, RULE_FIELDS, "number units from 0: x + columns * y",
                       "frame %" PRIu64 " has unit %u, but the grid has %" PRIu64 " units",
                       self->first + i / k, index, units);
        } else if (i % k > 0 && index <= before) {
            check_fail(self, RULE_FIELDS, "sort each frame's winners by index, and their values along",
                       "frame %" PRIu64 ": unit %u follows unit %u; they ascend, each once",
                       self->first + i / k, index, before);
        } else if (!(value >= 0 && value <= 1e6)) {
            check_fail(self, RULE_FIELDS, "give values that are finite, from 0 to 1e6",
                       "frame %" PRIu64 ", unit %u: the value %g is not from 0 to 1e6", self->first + i / k,
                       index, value);
        }
        before = index;
    }
}

static void check_activations(struct subject *self)
{
    const uint64_t units = self->info.grid_x * self->info.grid_y;
    for (uint64_t i = 0; i < self->kept * units && !check_failed(self); i++) {
        double value = (double)real_at(self->rows[0], i);
        if (!isfinite(value)) {
            check_fail(self, RULE_FIELDS, "find where it divides by 0 or overflows",
                       "frame %" PRIu64 ", unit %" PRIu64 ": the value is %g", self->first + i / units,
                       i % units, value);
        }
    }
}

void data_check_values(struct subject *self)
{
    if (self->info.kind == STREAM_FRAMES) {
        check_frames(self);
    } else if (self->info.kind == STREAM_CODES) {
        check_codes(self);
    } else {
        check_activations(self);
    }
}

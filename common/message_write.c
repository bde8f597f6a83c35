/* Writing messages; see message.h. libmsgpack's packer writes into a buffer that the zmq_msg_t then owns. */
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message_types.h"

const char *const message_type_names[MESSAGE_TYPES] = {"describe", "wait", "stream",  "fetch",  "data",
                                                       "gone",     "err",  "weights", "metrics"};

struct writer {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    bool failed; /* memory ran out on the way */
};

static int append(void *data, const char *bytes, size_t size)
{
    struct writer *w = data;
    w->failed = w->failed || msgpack_sbuffer_write(&w->buffer, bytes, size) != 0;
    return w->failed ? -1 : 0;
}

static void put_key(struct writer *w, const char *key)
{
    size_t length = strlen(key);
    msgpack_pack_str(&w->packer, length);
    msgpack_pack_str_body(&w->packer, key, length);
}

static void put_text(struct writer *w, const char *key, const char *text)
{
    put_key(w, key);
    put_key(w, text);
}

static void put_number(struct writer *w, const char *key, uint64_t number)
{
    put_key(w, key);
    msgpack_pack_uint64(&w->packer, number);
}

/* nil for UINT64_MAX. */
static void put_number_or_nil(struct writer *w, const char *key, uint64_t number)
{
    put_key(w, key);
    if (number == UINT64_MAX) {
        msgpack_pack_nil(&w->packer);
    } else {
        msgpack_pack_uint64(&w->packer, number);
    }
}

static void put_pair(struct writer *w, const char *key, uint64_t a, uint64_t b)
{
    put_key(w, key);
    msgpack_pack_array(&w->packer, 2);
    msgpack_pack_uint64(&w->packer, a);
    msgpack_pack_uint64(&w->packer, b);
}

static void put_boolean(struct writer *w, const char *key, bool value)
{
    put_key(w, key);
    if (value) {
        msgpack_pack_true(&w->packer);
    } else {
        msgpack_pack_false(&w->packer);
    }
}

static void put_binary(struct writer *w, const char *key, const void *data, size_t bytes)
{
    put_key(w, key);
    msgpack_pack_bin(&w->packer, bytes);
    if (bytes > 0) {
        msgpack_pack_bin_body(&w->packer, data, bytes);
    }
}

static void put_metrics(struct writer *w, const struct metric *metrics, size_t n)
{
    put_key(w, "metrics");
    msgpack_pack_map(&w->packer, n);
    for (size_t i = 0; i < n; i++) {
        put_key(w, metrics[i].name);
        msgpack_pack_double(&w->packer, metrics[i].value);
    }
}

static void writer_init(struct writer *w, enum message_type type, size_t keys)
{
    w->failed = false;
    msgpack_sbuffer_init(&w->buffer);
    msgpack_packer_init(&w->packer, w, append);
    msgpack_pack_map(&w->packer, keys + 2);
    put_number(w, "v", MESSAGE_VERSION);
    put_text(w, "t", message_type_names[type]);
}

static void free_buffer(void *data, void *hint)
{
    (void)hint;
    free(data);
}

/* Hand the buffer over to a message. */
static int writer_finish(struct writer *w, zmq_msg_t *out)
{
    size_t size = w->buffer.size;
    void *data = msgpack_sbuffer_release(&w->buffer);
    if (w->failed || data == NULL || zmq_msg_init_data(out, data, size, free_buffer, NULL) != 0) {
        free(data);
        return error_set(LOOM_EINTERNAL, "out of memory for a message");
    }
    return 0;
}

int message_write_describe(zmq_msg_t *out, const char *who)
{
    struct writer w;
    writer_init(&w, MESSAGE_DESCRIBE, 1);
    put_text(&w, "who", who);
    return writer_finish(&w, out);
}

int message_write_wait(zmq_msg_t *out)
{
    struct writer w;
    writer_init(&w, MESSAGE_WAIT, 0);
    return writer_finish(&w, out);
}

/* Seven keys that say what a frame of the stream is. */
static void put_form(struct writer *w, const struct stream_info *info)
{
    put_text(w, "kind", stream_kind_name(info->kind));
    if (info->kind == STREAM_FRAMES) {
        put_pair(w, "shape", info->height, info->width);
    } else {
        put_key(w, "shape");
        msgpack_pack_array(&w->packer, 1);
        msgpack_pack_uint64(&w->packer,
                            info->kind == STREAM_CODES ? info->winners : info->grid_x * info->grid_y);
    }
    put_text(w, "dtype", info->dtype == STREAM_U1 ? "u1" : "f4");
    put_number(w, "pass", info->pass);
    put_number_or_nil(w, "total", info->total);
    put_text(w, "stage", info->stage);
    put_text(w, "name", info->name);
}

int message_write_stream(zmq_msg_t *out, const struct stream_info *info, uint64_t base, uint64_t head)
{
    return message_write_tapped(out, info, base, head, "");
}

int message_write_tapped(zmq_msg_t *out, const struct stream_info *info, uint64_t base, uint64_t head,
                         const char *serves)
{
    struct writer w;
    bool frames = info->kind == STREAM_FRAMES;
    writer_init(&w, MESSAGE_STREAM, 15U + (info->layer[0] != '\0' ? 1U : 0U) + (serves[0] != '\0' ? 1U : 0U));
    put_text(&w, "id", info->id);
    put_form(&w, info);
    put_number(&w, "block", info->block);
    put_number_or_nil(&w, "ring", info->ring);
    put_number(&w, "base", base);
    put_number(&w, "head", head);
    put_text(&w, "body", info->body);
    put_boolean(&w, "repeats", info->repeats);
    if (info->layer[0] != '\0') {
        put_text(&w, "layer", info->layer);
    }
    if (serves[0] != '\0') {
        put_text(&w, "serves", serves);
    }
    if (frames) {
        put_boolean(&w, "at", info->at);
    } else {
        put_pair(&w, "grid", info->grid_x, info->grid_y);
    }
    return writer_finish(&w, out);
}

int message_write_fetch(zmq_msg_t *out, const char *id, uint64_t from, uint64_t n, uint64_t ack,
                        const char *who)
{
    struct writer w;
    writer_init(&w, MESSAGE_FETCH, 5);
    put_text(&w, "id", id);
    put_number(&w, "from", from);
    put_number(&w, "n", n);
    put_number_or_nil(&w, "ack", ack);
    put_text(&w, "who", who);
    return writer_finish(&w, out);
}

/* formed: with what stream it is of. */
static int write_data(zmq_msg_t *out, const struct stream_info *info, const struct block *block, bool eos,
                      bool formed)
{
    struct stream_field fields[STREAM_FIELDS_MAX] = {{.row_bytes = 0}};
    size_t n_fields = stream_fields(info, fields), n_formed = info->kind == STREAM_FRAMES ? 7 : 8;
    struct writer w;
    writer_init(&w, MESSAGE_DATA, 4 + n_fields + (block->n_metrics > 0 ? 1 : 0) + (formed ? n_formed : 0));
    put_text(&w, "id", info->id);
    if (formed) {
        put_form(&w, info);
    }
    if (formed && info->kind != STREAM_FRAMES) {
        put_pair(&w, "grid", info->grid_x, info->grid_y);
    }
    put_number(&w, "seq", block->seq);
    put_number(&w, "n", block->n);
    put_boolean(&w, "eos", eos);
    for (size_t f = 0; f < n_fields; f++) {
        put_binary(&w, fields[f].name, block->fields[f], block->n * fields[f].row_bytes);
    }
    if (block->n_metrics > 0) {
        put_metrics(&w, block->metrics, block->n_metrics);
    }
    return writer_finish(&w, out);
}

int message_write_data(zmq_msg_t *out, const struct stream_info *info, const struct block *block, bool eos)
{
    return write_data(out, info, block, eos, false);
}

int message_write_block(zmq_msg_t *out, const struct stream_info *info, const struct block *block, bool eos)
{
    return write_data(out, info, block, eos, true);
}

int message_write_gone(zmq_msg_t *out, const char *id, uint64_t base)
{
    struct writer w;
    writer_init(&w, MESSAGE_GONE, 2);
    put_text(&w, "id", id);
    put_number(&w, "base", base);
    return writer_finish(&w, out);
}

int message_write_err(zmq_msg_t *out, const char *id, const char *why)
{
    struct writer w;
    char cut[sizeof((struct message *)0)->why];
    snprintf(cut, sizeof cut, "%s", why);
    writer_init(&w, MESSAGE_ERR, 2);
    put_text(&w, "id", id);
    put_text(&w, "why", cut);
    return writer_finish(&w, out);
}

/* The keys that the messages of a tap share. */
static void put_tap_head(struct writer *w, const struct stream_info *info, uint64_t frame, uint64_t pass,
                         uint64_t count)
{
    put_text(w, "id", info->id);
    put_text(w, "stage", info->stage);
    put_text(w, "name", info->name);
    put_number(w, "seq", frame);
    put_number(w, "pass", pass);
    put_number(w, "count", count);
}

int message_write_weights(zmq_msg_t *out, const struct stream_info *info, const struct stage_weights *weights,
                          uint64_t frame, uint64_t pass, uint64_t count)
{
    struct writer w;
    writer_init(&w, MESSAGE_WEIGHTS, 11);
    put_tap_head(&w, info, frame, pass, count);
    put_pair(&w, "grid", weights->grid_x, weights->grid_y);
    put_pair(&w, "input", weights->input_width, weights->input_height);
    put_number(&w, "rows", weights->rows);
    put_number(&w, "cols", weights->cols);
    put_binary(&w, "data", weights->data, weights->rows * weights->cols * sizeof(float));
    return writer_finish(&w, out);
}

int message_write_metrics(zmq_msg_t *out, const struct stream_info *info, const struct metric *metrics,
                          size_t n, uint64_t frame, uint64_t pass, uint64_t count)
{
    struct writer w;
    writer_init(&w, MESSAGE_METRICS, 7);
    put_tap_head(&w, info, frame, pass, count);
    put_metrics(&w, metrics, n);
    return writer_finish(&w, out);
}

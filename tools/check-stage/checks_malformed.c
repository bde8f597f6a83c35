/* Requests that no good reader sends; see checks.h. A producer answers err or nothing, and goes on. */
#include <msgpack.h>
#include <stdio.h>
#include <string.h>

#include "checks.h"
#include "data.h"
#include "message.h"

#define CATCH_HINT                                                                                           \
    "read requests with care: try: ask = msgpack.unpackb(request) ... except Exception: answer {'v': 1, "    \
    "'t': 'err', 'why': "                                                                                    \
    "...} and go on"

#define VERSION 1 /* of the protocol */
#define DEEP 100  /* lists within lists */

/* What of a request is wrong. */
enum wrong {
    WRONG_GARBAGE,
    WRONG_EMPTY,
    WRONG_LIST,
    WRONG_CUT,
    WRONG_NO_TYPE,
    WRONG_TYPE,
    WRONG_TEXT_FROM,
    WRONG_NEGATIVE,
    WRONG_NO_FROM,
    WRONG_LARGEST,
    WRONG_DEEP,
    WRONG_KEYS,
    WRONG_LARGE,
    WRONGS
};

static const char *const names[WRONGS] = {
    [WRONG_GARBAGE] = "malformed: bytes that are not MessagePack",
    [WRONG_EMPTY] = "malformed: an empty message",
    [WRONG_LIST] = "malformed: a list instead of a map",
    [WRONG_CUT] = "malformed: a message that ends early",
    [WRONG_NO_TYPE] = "malformed: a map without t",
    [WRONG_TYPE] = "malformed: an unknown t",
    [WRONG_TEXT_FROM] = "malformed: from is a text",
    [WRONG_NEGATIVE] = "malformed: from and n are negative",
    [WRONG_NO_FROM] = "malformed: a fetch without from and n",
    [WRONG_LARGEST] = "malformed: the largest from there is",
    [WRONG_DEEP] = "malformed: a hundred lists within one another",
    [WRONG_KEYS] = "malformed: keys that are no texts",
    [WRONG_LARGE] = "malformed: a request of a megabyte",
};

static void put_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str(packer, strlen(text));
    msgpack_pack_str_body(packer, text, strlen(text));
}

static void put_texts(msgpack_packer *packer, const char *key, const char *value)
{
    put_text(packer, key);
    put_text(packer, value);
}

/* The head of a map of `keys` more keys than v, t and id. */
static void put_head(msgpack_packer *packer, size_t keys, const char *type, const char *id)
{
    msgpack_pack_map(packer, keys + 3);
    put_text(packer, "v");
    msgpack_pack_int(packer, VERSION);
    put_texts(packer, "t", type);
    put_texts(packer, "id", id);
}

static void write_wrong(msgpack_packer *packer, msgpack_sbuffer *buffer, enum wrong wrong, const char *id)
{
    static const char garbage[] = "\xc1\xff\x00 hello? GET / HTTP/1.0\r\n\r\n";
    switch (wrong) {
    case WRONG_GARBAGE:
        msgpack_sbuffer_write(buffer, garbage, sizeof garbage);
        return;
    case WRONG_LIST:
        msgpack_pack_array(packer, 2);
        put_texts(packer, "describe", "fetch");
        return;
    case WRONG_CUT:
        put_head(packer, 1, "fetch", id);
        put_text(packer, "from");
        return;
    case WRONG_NO_TYPE:
        msgpack_pack_map(packer, 1);
        put_texts(packer, "id", id);
        return;
    case WRONG_TYPE:
        put_head(packer, 0, "dance", id);
        return;
    case WRONG_TEXT_FROM:
        put_head(packer, 2, "fetch", id);
        put_texts(packer, "from", "0");
        put_texts(packer, "n", "many");
        return;
    case WRONG_NEGATIVE:
        put_head(packer, 2, "fetch", id);
        put_text(packer, "from");
        msgpack_pack_int64(packer, -5);
        put_text(packer, "n");
        msgpack_pack_int64(packer, -7);
        return;
    case WRONG_NO_FROM:
        put_head(packer, 0, "fetch", id);
        return;
    case WRONG_LARGEST:
        put_head(packer, 2, "fetch", id);
        put_text(packer, "from");
        msgpack_pack_uint64(packer, UINT64_MAX);
        put_text(packer, "n");
        msgpack_pack_uint64(packer, UINT64_MAX);
        return;
    case WRONG_DEEP:
        put_head(packer, 1, "describe", id);
        put_text(packer, "deep");
        for (int i = 0; i < DEEP; i++) {
            msgpack_pack_array(packer, 1);
        }
        msgpack_pack_nil(packer);
        return;
    case WRONG_KEYS:
        msgpack_pack_map(packer, 2);
        msgpack_pack_int(packer, 1);
        msgpack_pack_int(packer, 2);
        msgpack_pack_nil(packer);
        msgpack_pack_array(packer, 0);
        return;
    case WRONG_LARGE:
        put_head(packer, 1, "describe", id);
        put_text(packer, "who");
        msgpack_pack_str(packer, (size_t)1 << 20);
        for (size_t i = 0; i < (size_t)1 << 20; i++) {
            msgpack_sbuffer_write(buffer, "x", 1);
        }
        return;
    default: /* WRONG_EMPTY */
        return;
    }
}

/* Whether it still describes itself; what comes before is looked at too. Otherwise the check fails. */
static void check_alive(struct subject *self, const char *sent)
{
    struct answer answer;
    enum came came = CAME_REPLY;
    bool described = false;
    answer_init(&answer);
    subject_describe(self);
    memcpy(self->finding.sent, sent, sizeof self->finding.sent);
    for (int i = 0; i < 3 && came == CAME_REPLY && !described; i++) {
        came = subject_receive(self, &answer, self->timeout_ms);
        described = came == CAME_REPLY && answer_has_text(&answer, "t", "stream") &&
                    answer_has_text(&answer, "id", self->info.id);
    }
    if (came == CAME_DEATH) {
        check_fail(self, RULE_MALFORMED, CATCH_HINT, "it died of this message");
    } else if (came == CAME_NOTHING) {
        check_fail(self, RULE_MALFORMED, CATCH_HINT,
                   "after this message it does not answer describe any more");
    } else if (!described) {
        check_fail(self, RULE_MALFORMED, CATCH_HINT,
                   "after this message it does not describe its stream any more");
    }
    answer_fini(&answer);
}

static void check_wrong(struct subject *self, enum wrong wrong)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    char sent[REPORT_TEXT_BYTES];
    check_begin(self, names[wrong]);
    if (!subject_revive(self)) {
        check_skip(self, "it does not start again");
        check_end(self);
        return;
    }
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    write_wrong(&packer, &buffer, wrong, self->info.id);
    subject_send(self, buffer.data, buffer.size);
    memcpy(sent, self->finding.sent, sizeof sent);
    msgpack_sbuffer_destroy(&buffer);
    if (wrong == WRONG_LARGE) { /* who takes no such message closes the connection */
        subject_pause(self, 100);
        if (!subject_revive(self)) {
            check_fail(self, RULE_MALFORMED, CATCH_HINT, "it died of this message");
        }
    }
    check_alive(self, sent);
    check_end(self);
}

/* A request of two parts: a reader that talks as REQ sockets do. */
static void check_parts(struct subject *self)
{
    check_begin(self, "malformed: a request of two parts");
    if (subject_revive(self)) {
        static const char sent[REPORT_TEXT_BYTES] = "two parts: <0 bytes>, <3 bytes>";
        zmq_send(self->dealer, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
        zmq_send(self->dealer, "\x81\xa1t", 3, ZMQ_DONTWAIT);
        check_alive(self, sent);
    }
    check_end(self);
}

/* A fetch of another stream, and one in another version of the protocol. */
static void check_refused(struct subject *self, const char *name, bool version)
{
    struct answer answer;
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    answer_init(&answer);
    check_begin(self, name);
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 5);
    put_text(&packer, "v");
    msgpack_pack_int(&packer, version ? VERSION + 1 : VERSION);
    put_texts(&packer, "t", "fetch");
    put_texts(&packer, "id", version ? self->info.id : "another-stream");
    put_text(&packer, "from");
    msgpack_pack_uint64(&packer, self->first);
    put_text(&packer, "n");
    msgpack_pack_uint64(&packer, 1);
    if (subject_revive(self)) {
        char sent[REPORT_TEXT_BYTES];
        subject_send(self, buffer.data, buffer.size);
        memcpy(sent, self->finding.sent, sizeof sent);
        subject_describe(self);
        memcpy(self->finding.sent, sent, sizeof sent);
        enum came came = subject_receive(self, &answer, self->timeout_ms);
        if (came == CAME_REPLY && answer_has_text(&answer, "t", "data")) {
            check_fail(
                self, version ? RULE_MALFORMED : RULE_ID,
                version
                    ? "if ask.get('v') != 1: answer {'v': 1, 't': 'err', 'why': 'version 1 is spoken here'}"
                    : "if ask.get('id') != id: answer {'v': 1, 't': 'err', 'id': id, 'why': f'this is stream "
                      "{id}'}",
                version ? "a request of another version of the protocol is answered with data"
                        : "a fetch of another stream is answered with data: a reader would mix two streams");
        } else if (came == CAME_DEATH) {
            check_fail(self, RULE_MALFORMED, CATCH_HINT, "it died of this message");
        } else if (came == CAME_NOTHING) {
            check_fail(self, RULE_MALFORMED, CATCH_HINT,
                       "after this message it does not answer describe any more");
        }
    }
    check_end(self);
    msgpack_sbuffer_destroy(&buffer);
    answer_fini(&answer);
}

void checks_malformed(struct subject *self)
{
    check_refused(self, "a fetch of another stream", false);
    check_refused(self, "a fetch in another version of the protocol", true);
    for (enum wrong wrong = 0; wrong < WRONGS && self->broken == 0; wrong++) {
        check_wrong(self, wrong);
    }
    check_parts(self);
}

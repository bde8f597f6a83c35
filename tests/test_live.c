/* The live page's server, in its parts: who may look, what a page may ask, messages, the board between source and viewers, frames
 * that streams have in common, what is worked out of layers, histories, and the state of a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/message.h"
#include "stages/live/ask.h"
#include "stages/live/board.h"
#include "stages/live/derive.h"
#include "stages/live/exposition.h"
#include "stages/live/guard.h"
#include "stages/live/history.h"
#include "stages/live/layers.h"
#include "stages/live/sampler.h"
#include "stages/live/say.h"
#include "stages/live/scene.h"
#include "stages/live/source.h"
#include "stages/live/status.h"
#include "stages/pipeline_file.h"

static char folder[] = "/tmp/loom-test-live-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) == 0 ? 0 : -1;
}

static void write_file(char path[256], const char *name, const char *text)
{
    snprintf(path, 256, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* ---- who may look ---- */

static void test_guard_reads_addresses(void **state)
{
    (void)state;
    struct guard guard;
    assert_int_equal(guard_init(&guard, "127.0.0.1:8090", ""), 0);
    assert_string_equal(guard.at.host, "127.0.0.1");
    assert_int_equal(guard.at.port, 8090);
    assert_true(guard.at.loopback);
    assert_string_equal(guard.token, "");
    assert_int_equal(guard_init(&guard, "8091", ""), 0);
    assert_true(guard.at.loopback && guard.at.port == 8091);
    assert_int_equal(guard_init(&guard, "localhost:0", ""), 0);
    assert_string_equal(guard.at.host, "127.0.0.1");
    assert_int_equal(guard_init(&guard, "[::1]:1", ""), 0);
    assert_true(guard.at.loopback && guard.at.six);
    assert_string_equal(guard.at.host, "::1");
    static const char *const wrong[] = {
        "",        ":",        "127.0.0.1",        "127.0.0.1:",    "127.0.0.1:65536",
        "host:80", "1.2.3:80", "127.0.0.1:-1",     "127.0.0.1:80x", "::1:80",
        "[::1:80", "[]:80",    "127.0.0.1:000080", "256.0.0.1:80",  "[127.0.0.1]:80x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(guard_init(&guard, wrong[i], ""), LOOM_EUSAGE);
    }
    assert_int_equal(guard_init(&guard, "1", "with space"), LOOM_EUSAGE);
    assert_int_equal(guard_init(&guard, "1", "\"></script>"), LOOM_EUSAGE);
}

static void test_guard_wants_a_token_beyond_the_loopback(void **state)
{
    (void)state;
    struct guard one, other;
    assert_int_equal(guard_init(&one, "0.0.0.0:0", ""), 0);
    assert_int_equal(guard_init(&other, "0.0.0.0:0", ""), 0);
    assert_int_equal(strlen(one.token), 32);
    assert_string_not_equal(one.token, other.token);
    assert_true(guard_admits_token(&one, one.token));
    assert_false(guard_admits_token(&one, NULL));
    assert_false(guard_admits_token(&one, ""));
    assert_false(guard_admits_token(&one, other.token));
    char longer[64];
    snprintf(longer, sizeof longer, "%sx", one.token);
    assert_false(guard_admits_token(&one, longer));
    longer[31] = '\0';
    assert_false(guard_admits_token(&one, longer));
}

static void test_guard_admits_only_our_hosts(void **state)
{
    (void)state;
    struct guard guard;
    assert_int_equal(guard_init(&guard, "127.0.0.1:8090", ""), 0);
    static const char *const ours[] = {"127.0.0.1:8090", "localhost:9999", "LOCALHOST", "[::1]:8090",
                                       "10.0.0.7:1"};
    static const char *const others[] = {"evil.example:8090",
                                         "localhost.evil.example",
                                         "127.0.0.1.evil.example",
                                         "",
                                         "127.0.0.1:8090@x",
                                         "127.0.0.1:port",
                                         "[::1",
                                         "1",
                                         "localhost:8090:8090"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        assert_true(guard_admits_host(&guard, ours[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(guard_admits_host(&guard, others[i]));
    }
    assert_false(guard_admits_host(&guard, NULL));
    snprintf(guard.machine, sizeof guard.machine, "node7");
    assert_false(guard_admits_host(&guard, "node7:8090")); /* the loopback has no such name */
    guard.at.loopback = false;
    assert_true(guard_admits_host(&guard, "node7:8090"));
    assert_true(guard_admits_host(&guard, "node7.cluster.example:8090"));
    assert_false(guard_admits_host(&guard, "node77:8090"));
}

static void test_guard_compares_origin_with_host(void **state)
{
    (void)state;
    struct guard guard;
    assert_int_equal(guard_init(&guard, "127.0.0.1:8090", ""), 0);
    assert_true(guard_admits_origin(&guard, "http://127.0.0.1:8090", "127.0.0.1:8090"));
    assert_true(guard_admits_origin(&guard, "https://Node:1", "node:1"));
    assert_false(guard_admits_origin(&guard, "http://127.0.0.1:8091", "127.0.0.1:8090"));
    assert_false(guard_admits_origin(&guard, "http://127.0.0.1:8090.evil.example", "127.0.0.1:8090"));
    assert_false(guard_admits_origin(&guard, "null", "127.0.0.1:8090"));
    assert_false(guard_admits_origin(&guard, NULL, "127.0.0.1:8090")); /* no browser, and no token */
    snprintf(guard.token, sizeof guard.token, "secret");
    assert_true(guard_admits_origin(&guard, NULL, "127.0.0.1:8090"));
}

/* ---- what a page may ask ---- */

static int ask(struct ask *out, const char *text)
{
    return ask_read(out, text, strlen(text));
}

static void test_ask_reads_the_three(void **state)
{
    (void)state;
    struct ask it;
    assert_int_equal(ask(&it, "{\"t\":\"want\",\"weights\":false,\"clip_ms\":500}"), 0);
    assert_true(it.type == ASK_WANT && !it.weights && it.clip_ms == 500);
    assert_int_equal(ask(&it, "{\"t\":\"want\",\"clip_ms\":1}"), 0);
    assert_true(it.weights && it.clip_ms == ASK_CLIP_MS_MIN);
    assert_int_equal(ask(&it, "{\"t\":\"want\",\"clip_ms\":1e9}"), 0);
    assert_int_equal(it.clip_ms, ASK_CLIP_MS_MAX);
    assert_int_equal(ask(&it, "{\"t\":\"seek\",\"seq\":12,\"n\":1000}"), 0);
    assert_true(it.type == ASK_SEEK && it.seq == 12 && it.n == ASK_FRAMES_MAX);
    assert_int_equal(ask(&it, "{\"t\":\"unit\",\"name\":\"sparse\",\"unit\":17.0}"), 0);
    assert_true(it.type == ASK_UNIT && it.unit == 17);
    assert_string_equal(it.name, "sparse");
}

static void test_ask_refuses_the_rest(void **state)
{
    (void)state;
    struct ask it;
    static const char *const wrong[] = {"",
                                        "{}",
                                        "[]",
                                        "null",
                                        "{\"t\":1}",
                                        "{\"t\":\"go\"}",
                                        "{\"t\":\"want\"",
                                        "{\"t\":\"want\",\"weights\":1}",
                                        "{\"t\":\"want\",\"clip_ms\":-1}",
                                        "{\"t\":\"want\",\"clip_ms\":\"1\"}",
                                        "{\"t\":\"seek\"}",
                                        "{\"t\":\"seek\",\"seq\":-1}",
                                        "{\"t\":\"seek\",\"seq\":1.5}",
                                        "{\"t\":\"seek\",\"seq\":1e300}",
                                        "{\"t\":\"seek\",\"seq\":18446744073709551616}",
                                        "{\"t\":\"unit\",\"unit\":1}",
                                        "{\"t\":\"unit\",\"name\":\"a\",\"unit\":-1}",
                                        "{\"t\":\"unit\",\"name\":\"\\u0000\",\"unit\":1}",
                                        "{\"t\":\"seek\",\"seq\":1}x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(ask(&it, wrong[i]), LOOM_EDATA);
    }
    char longer[200];
    snprintf(longer, sizeof longer, "{\"t\":\"unit\",\"name\":\"%0100d\",\"unit\":1}", 0);
    assert_int_equal(ask(&it, longer), LOOM_EDATA);
    static char large[ASK_BYTES_MAX + 2];
    memset(large, ' ', sizeof large - 1);
    memcpy(large, "{\"t\":\"want\"}", 12);
    assert_int_equal(ask_read(&it, large, ASK_BYTES_MAX), 0);
    assert_int_equal(ask_read(&it, large, ASK_BYTES_MAX + 1), LOOM_EDATA);
}

/* ---- messages ---- */

static void test_say_lays_out_arrays(void **state)
{
    (void)state;
    static struct say say;
    struct said *said = NULL;
    const uint8_t bytes[3] = {1, 2, 3};
    const float reals[2] = {0.5F, -1};
    say_begin(&say, "clip");
    say_text(&say, "name", "a\"\x01");
    say_number(&say, "x", (double)NAN);
    say_array(&say, "b", "u1", bytes, 2, (size_t[]){3, 1});
    say_array(&say, "r", "f4", reals, 1, (size_t[]){2});
    assert_int_equal(say_finish(&say, &said), 0);
    const size_t H = said->data[0] | (size_t)said->data[1] << 8;
    assert_true((4 + H) % 8 == 0 && said->bytes == 4 + H + 8 + 8);
    char json[512];
    snprintf(json, sizeof json, "%.*s", (int)H, (const char *)said->data + 4);
    assert_non_null(strstr(
        json,
        "{\"t\":\"clip\",\"name\":\"a\\\"\\u0001\",\"x\":null,\"arrays\":[{\"name\":\"b\",\"dtype\":\"u1\","
        "\"shape\":[3,1]},{\"name\":\"r\",\"dtype\":\"f4\",\"shape\":[2]}]}"));
    assert_memory_equal(said->data + 4 + H, "\1\2\3\0\0\0\0\0", 8);
    assert_memory_equal(said->data + 4 + H + 8, reals, 8);
    struct said *other = said_retain(said);
    said_release(&said);
    assert_null(said);
    assert_int_equal(other->data[0] | (size_t)other->data[1] << 8, H);
    said_release(&other);
}

/* ---- the board ---- */

static size_t woken = 0;

static void wake(void *argument)
{
    (void)argument;
    woken++;
}

static void hang(struct board *board, enum board_type type, const char *name, const char *text)
{
    static struct say say;
    struct said *said = NULL;
    say_begin(&say, text);
    assert_int_equal(say_finish(&say, &said), 0);
    board_publish(board, type, name, &said);
    assert_null(said);
}

/* The type of the next message of a viewer, "" if none waits. */
static const char *next(struct board *board, uint64_t viewer)
{
    static char t[32];
    struct said *said = board_take(board, viewer);
    t[0] = '\0';
    if (said != NULL) {
        assert_int_equal(sscanf((const char *)said->data + 4, "{\"t\":\"%31[^\"]", t), 1);
    }
    said_release(&said);
    return t;
}

static void test_board_keeps_the_newest_of_each(void **state)
{
    (void)state;
    struct board *board = NULL;
    assert_int_equal(board_new(&board, wake, NULL), 0);
    const uint64_t slow = board_join(board), quick = board_join(board);
    hang(board, BOARD_STATUS, "", "before");
    assert_string_equal(next(board, quick), ""); /* the scene comes first */
    hang(board, BOARD_SCENE, "", "scene");
    assert_string_equal(next(board, quick), "scene");
    assert_string_equal(next(board, quick), "before");
    for (int i = 0; i < 100; i++) {
        char t[16];
        snprintf(t, sizeof t, "w%d", i);
        hang(board, BOARD_WEIGHTS, "a", t);
        assert_string_equal(next(board, quick), t);
    }
    hang(board, BOARD_WEIGHTS, "b", "other");
    hang(board, BOARD_STATUS, "", "now");
    assert_string_equal(next(board, slow), "scene");
    assert_string_equal(next(board, slow), "now");
    assert_string_equal(next(board, slow), "w99");
    assert_string_equal(next(board, slow), "other");
    assert_string_equal(next(board, slow), "");
    assert_int_equal(board_dropped(board), 0); /* nothing that it had before was passed over */
    for (int i = 0; i < 5; i++) {
        hang(board, BOARD_WEIGHTS, "a", "w");
    }
    assert_string_equal(next(board, slow), "w");
    assert_int_equal(board_dropped(board), 4);
    assert_true(woken > 100);
    board_leave(board, slow);
    assert_string_equal(next(board, slow), "");
    board_destroy(&board);
}

static void test_board_gives_what_is_wanted(void **state)
{
    (void)state;
    struct board *board = NULL;
    struct ask want = {.type = ASK_WANT, .weights = false, .clip_ms = 60000};
    assert_int_equal(board_new(&board, wake, NULL), 0);
    assert_int_equal(board_wants(board).viewers, 0);
    const uint64_t viewer = board_join(board);
    struct board_wants wants = board_wants(board);
    assert_true(wants.viewers == 1 && wants.weights && wants.history && wants.clip_ms == ASK_CLIP_MS);
    board_ask(board, viewer, &want);
    wants = board_wants(board);
    assert_true(!wants.weights && wants.clip_ms == 60000);
    hang(board, BOARD_SCENE, "", "scene");
    hang(board, BOARD_WEIGHTS, "a", "weights");
    hang(board, BOARD_CLIP, "", "clip1");
    assert_string_equal(next(board, viewer), "scene");
    assert_string_equal(next(board, viewer), "clip1");
    hang(board, BOARD_CLIP, "", "clip2"); /* too soon for one that wants a clip a minute */
    assert_string_equal(next(board, viewer), "");
    want.weights = true;
    want.clip_ms = 0;
    board_ask(board, viewer, &want);
    assert_string_equal(next(board, viewer), "weights");
    assert_string_equal(next(board, viewer), "clip2");
    board_destroy(&board);
}

static void test_board_repeats_the_history_to_who_missed_passes(void **state)
{
    (void)state;
    struct board *board = NULL;
    assert_int_equal(board_new(&board, wake, NULL), 0);
    hang(board, BOARD_SCENE, "", "scene");
    hang(board, BOARD_HISTORY, "", "old");
    const uint64_t viewer = board_join(board);
    assert_string_equal(next(board, viewer), "scene");
    assert_string_equal(next(board, viewer), ""); /* what hung there before it came lacks passes since */
    assert_true(board_wants(board).no_history);
    hang(board, BOARD_HISTORY, "", "history1");
    assert_true(board_wants(board).history && !board_wants(board).no_history);
    assert_string_equal(next(board, viewer), "history1");
    assert_false(board_wants(board).history);
    hang(board, BOARD_HISTORY, "", "history2"); /* for another one */
    hang(board, BOARD_METRICS, "sparse", "pass1");
    assert_string_equal(next(board, viewer), "pass1");
    assert_string_equal(next(board, viewer), "");
    hang(board, BOARD_METRICS, "sparse", "pass2");
    hang(board, BOARD_METRICS, "sparse", "pass3");
    assert_string_equal(next(board, viewer), "pass3");
    assert_true(board_wants(board).history);
    hang(board, BOARD_HISTORY, "", "history3");
    assert_string_equal(next(board, viewer), "history3");
    board_renew_history(board); /* another run's now */
    assert_true(board_wants(board).history);
    assert_string_equal(next(board, viewer), "");
    hang(board, BOARD_HISTORY, "", "history4");
    assert_string_equal(next(board, viewer), "history4");
    board_destroy(&board);
}

static void test_board_bounds_viewers_and_questions(void **state)
{
    (void)state;
    struct board *board = NULL;
    uint64_t viewers[BOARD_VIEWERS_MAX], from = 0;
    struct ask got, seek = {.type = ASK_SEEK, .n = 1}, unit = {.type = ASK_UNIT};
    assert_int_equal(board_new(&board, wake, NULL), 0);
    for (size_t i = 0; i < BOARD_VIEWERS_MAX; i++) {
        viewers[i] = board_join(board);
        assert_true(viewers[i] != 0);
    }
    assert_int_equal(board_join(board), 0);
    assert_false(board_take_ask(board, &from, &got));
    for (uint64_t i = 0; i < 1000; i++) { /* only the newest waits */
        seek.seq = i;
        board_ask(board, viewers[3], &seek);
    }
    board_ask(board, viewers[3], &unit);
    board_ask(board, viewers[5], &unit);
    size_t seeks = 0, units = 0;
    while (board_take_ask(board, &from, &got)) {
        seeks += got.type == ASK_SEEK && got.seq == 999 && from == viewers[3] ? 1 : 0;
        units += got.type == ASK_UNIT ? 1 : 0;
    }
    assert_true(seeks == 1 && units == 2);
    board_leave(board, viewers[0]);
    assert_true(board_join(board) > viewers[BOARD_VIEWERS_MAX - 1]); /* numbers are never used again */
    board_destroy(&board);
}

/* ---- frames in common ---- */

static const struct stream_info made_up[] = {
    {.id = "w",
     .name = "window",
     .kind = STREAM_FRAMES,
     .dtype = STREAM_U1,
     .height = 1,
     .width = 2,
     .pass = 1000},
    {.id = "s", .name = "sparse", .kind = STREAM_CODES, .winners = 1, .grid_x = 9, .grid_y = 9, .pass = 1000},
    {.id = "t", .name = "topo", .kind = STREAM_ACTIVATIONS, .grid_x = 1, .grid_y = 1, .pass = 1000}};

/* A block of stream s whose rows tell their frame's number. */
static void add(struct sampler *sampler, size_t s, uint64_t seq, size_t n)
{
    static struct message read;
    zmq_msg_t message;
    uint8_t *bytes = calloc(n, 2);
    uint32_t *words = calloc(n, 4);
    float *reals = calloc(n, 4);
    assert_true(bytes != NULL && words != NULL && reals != NULL);
    for (size_t i = 0; i < n; i++) {
        bytes[2 * i] = (uint8_t)(seq + i);
        words[i] = (uint32_t)(seq + i);
        reals[i] = (float)(seq + i);
    }
    struct block block = {.seq = seq, .n = n};
    block.fields[0] = s == 0 ? (void *)bytes : s == 1 ? (void *)words : (void *)reals;
    block.fields[1] = s == 1 ? reals : NULL;
    const uint8_t *rows[STREAM_FIELDS_MAX];
    assert_int_equal(message_write_data(&message, &made_up[s], &block, false), 0);
    assert_int_equal(message_read(&read, zmq_msg_data(&message), zmq_msg_size(&message)), 0);
    assert_int_equal(message_rows(&read, &made_up[s], rows), 0);
    sampler_add(sampler, s, seq, n, &message, rows);
    free(bytes);
    free(words);
    free(reals);
}

static struct sampler *new_sampler(void)
{
    struct sampler *sampler = calloc(1, sizeof *sampler);
    assert_non_null(sampler);
    for (size_t s = 0; s < 3; s++) {
        sampler_describe(sampler, s, &made_up[s]);
    }
    return sampler;
}

static void check_clip(struct sampler *sampler, uint64_t seq, size_t n, size_t n_parts)
{
    struct clip clip = {.n = 0};
    assert_int_equal(sampler_cut(sampler, seq, n, &clip), 0);
    assert_true(clip.seq == seq && clip.n == n && clip.pass == seq / 1000 && clip.n_parts == n_parts);
    for (size_t i = 0; i < n; i++) {
        const struct clip_part *w = clip_part(&clip, 0), *s = clip_part(&clip, 1), *t = clip_part(&clip, 2);
        assert_true(w == NULL || ((const uint8_t *)w->fields[0])[2 * i] == (uint8_t)(seq + i));
        assert_true(s == NULL || ((const uint32_t *)s->fields[0])[i] == seq + i);
        assert_true(t == NULL || ((const float *)t->fields[0])[i] == (float)(seq + i));
    }
    clip_fini(&clip);
}

static void test_sampler_finds_frames_in_common(void **state)
{
    (void)state;
    struct sampler *sampler = new_sampler();
    uint64_t seq = 0;
    for (uint64_t b = 10; b < 30; b++) { /* who makes frames is ahead of who reads them */
        add(sampler, 0, b * 100, 100);
        assert_int_equal(sampler_common(sampler, true, true, 64, &seq), 0);
    }
    for (uint64_t b = 6; b < 12; b++) {
        add(sampler, 1, b * 100, 100);
    }
    add(sampler, 2, 1020, 30);
    add(sampler, 2, 1050, 20);
    assert_int_equal(sampler_common(sampler, true, true, 64, &seq), 50);
    assert_int_equal(seq, 1020);
    add(sampler, 2, 1070, 100);
    assert_int_equal(sampler_common(sampler, true, true, 64, &seq), 64);
    assert_int_equal(seq, 1170 - 64);
    check_clip(sampler, seq, 64, 3);
    assert_int_equal(sampler_common(sampler, true, true, 64, &seq), 0); /* all have been cut */
    assert_int_equal(sampler_common(sampler, true, false, 64, &seq), 64);
    sampler_clear(sampler);
    assert_int_equal(sampler_common(sampler, false, false, 64, &seq), 0);
    free(sampler);
}

static void test_sampler_leaves_gaps_out(void **state)
{
    (void)state;
    struct sampler *sampler = new_sampler();
    uint64_t seq = 0;
    add(sampler, 0, 0, 100);
    add(sampler, 0, 200, 100); /* 100 to 199 were lost */
    add(sampler, 1, 50, 200);
    add(sampler, 2, 0, 300);
    assert_int_equal(sampler_common(sampler, true, true, 60, &seq), 50); /* either side of the gap */
    assert_true(seq == 50 || seq == 200);
    check_clip(sampler, seq, 50, 3);
    sampler_clear(sampler);
    free(sampler);
}

static void test_sampler_cuts_within_a_pass(void **state)
{
    (void)state;
    struct sampler *sampler = new_sampler();
    uint64_t seq = 0;
    for (size_t s = 0; s < 3; s++) {
        add(sampler, s, 900, 100);
        add(sampler, s, 1000, 10);
    }
    assert_int_equal(sampler_common(sampler, true, true, 64, &seq), 64);
    assert_int_equal(seq, 1000 - 64);
    check_clip(sampler, seq, 64, 3);
    sampler_clear(sampler);
    free(sampler);
}

static void test_sampler_goes_on_without_who_has_nothing(void **state)
{
    (void)state;
    struct sampler *sampler = new_sampler();
    uint64_t seq = 0;
    add(sampler, 1, 100, 100);
    add(sampler, 2, 100, 100);
    assert_int_equal(sampler_common(sampler, true, true, 64, &seq), 0);
    assert_int_equal(sampler_common(sampler, false, true, 64, &seq), 64);
    check_clip(sampler, seq, 64, 2);
    sampler->streams[0].apart = true; /* its frames will be asked for */
    assert_int_equal(sampler_common(sampler, true, false, 64, &seq), 64);
    assert_false(sampler_has(sampler, 0, seq, 64));
    add(sampler, 0, seq, 64);
    assert_true(sampler_has(sampler, 0, seq, 64));
    check_clip(sampler, seq, 64, 3);
    sampler_clear(sampler);
    free(sampler);
}

static void test_sampler_is_bounded(void **state)
{
    (void)state;
    struct sampler *sampler = new_sampler();
    uint64_t seq = 0;
    add(sampler, 1, 500, 10);
    for (uint64_t i = 0; i < 1000; i++) {
        add(sampler, 0, 500 + i * 10, 10);
    }
    assert_int_equal(sampler->streams[0].n, SAMPLER_BLOCKS_MAX);
    assert_int_equal(sampler->streams[0].blocks[0].seq, 500); /* the oldest are those that others will have */
    add(sampler, 0, 0, 10);                                   /* started again */
    assert_int_equal(sampler->streams[0].n, 1);
    struct stream_info other = made_up[0];
    snprintf(other.id, sizeof other.id, "w2");
    sampler_describe(sampler, 0, &other); /* another stream in its place */
    assert_int_equal(sampler->streams[0].n, 0);
    assert_int_equal(sampler_common(sampler, true, true, 64, &seq), 0);
    other.width = 50; /* the same stream, of another shape: rows that were kept are too short for it */
    add(sampler, 0, 0, 10);
    sampler_describe(sampler, 0, &other);
    assert_int_equal(sampler->streams[0].n, 0);
    sampler_clear(sampler);
    free(sampler);
}

/* ---- the scene ---- */

static struct scene *new_scene(struct board **board)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    assert_int_equal(board_new(board, wake, NULL), 0);
    scene_init(scene, *board, true, "test", "", NULL, "");
    return scene;
}

static void destroy_scene(struct scene *scene, struct board *board)
{
    scene_fini(scene);
    free(scene);
    board_destroy(&board);
}

static void test_scene_forgets_clips_of_another_form(void **state)
{
    (void)state;
    struct board *board = NULL;
    struct scene *scene = new_scene(&board);
    struct stream_info info = made_up[0];
    struct clip clip = {.n = 4};
    struct said *said = NULL;
    const size_t stream = scene_add_stream(scene, &info);
    assert_non_null(clip_add(&clip, stream, &info));
    assert_int_equal(scene_take_clip(scene, &clip, &said), 0);
    said_release(&said);
    info.total = 7;
    assert_int_equal(scene_add_stream(scene, &info), stream);
    assert_int_equal(scene->clips.n, 1);
    info.width = 1000; /* with the same id: a stage by hand that was started again otherwise */
    assert_int_equal(scene_add_stream(scene, &info), stream);
    assert_int_equal(scene->clips.n, 0);
    destroy_scene(scene, board);
}

static void test_scene_bounds_clips_by_bytes(void **state)
{
    (void)state;
    struct board *board = NULL;
    struct scene *scene = new_scene(&board);
    struct stream_info frames = made_up[0], codes = made_up[1];
    struct layer_known layer = {
        .name = "sparse", .stage = "sparse", .rows = 4, .cols = 2, .grid_x = 2, .grid_y = 2};
    const float W[4 * 2] = {0};
    assert_int_equal(scene_clip_frames(scene, 64), 64);
    scene_add_stream(scene, &frames);
    scene_add_stream(scene, &codes);
    assert_int_equal(scene_clip_frames(scene, 64), 64);
    assert_int_equal(scene_clip_frames(scene, 3), 3);
    frames.height = frames.width = 1024;
    scene_add_stream(scene, &frames);
    assert_in_range(scene_clip_frames(scene, 64), 7, 8); /* MiB */
    frames.dtype = STREAM_F4;
    scene_add_stream(scene, &frames);
    assert_int_equal(scene_clip_frames(scene, 64), 1);
    frames.height = frames.width = 4096; /* larger than the bound: one all the same */
    scene_add_stream(scene, &frames);
    assert_int_equal(scene_clip_frames(scene, 64), 1);
    scene_add_stream(scene, &made_up[0]);
    assert_int_equal(scene_take_weights(scene, &layer, W), 0);
    assert_int_equal(scene_clip_frames(scene, 64), 64);
    float *large = calloc(4, sizeof *large * 1024 * 1024); /* drives and reconstructions count too */
    assert_non_null(large);
    layer.cols = (size_t)1024 * 1024;
    assert_int_equal(scene_take_weights(scene, &layer, large), 0);
    assert_int_equal(scene_clip_frames(scene, 64), 1);
    free(large);
    destroy_scene(scene, board);
}

static void test_scene_keeps_secrets(void **state)
{
    (void)state;
    char path[256];
    struct board *board = NULL;
    struct scene *scene = new_scene(&board);
    write_file(path, "pipeline.yaml",
               "name: topo\nstages:\n  maps: {stage: render, live_token: s3cret, curve_key: s3cret, seed: "
               "1234567890123456, "
               "every: 5, curve_peers: s3cret, live-token: s3cret}\n");
    snprintf(scene->folder, sizeof scene->folder, "%s", folder);
    const uint64_t viewer = board_join(board);
    const struct board_wants wants = board_wants(board);
    assert_int_equal(scene_tell(scene, &wants, NULL), 0);
    struct said *said = board_take(board, viewer);
    assert_non_null(said);
    char *json = strndup((const char *)said->data + 4, said->bytes - 4);
    said_release(&said);
    assert_non_null(json);
    assert_non_null(strstr(json, "{\"maps\":{\"seed\":1234567890123456,\"every\":5}}"));
    assert_null(strstr(json, "s3cret"));
    free(json);
    destroy_scene(scene, board);
}

/* A viewer that asks again whenever it has got an answer, for two seconds. */
struct eager {
    struct board *board;
    uint64_t viewer;
    int64_t until_ms;
};

static void ask_again(void *argument)
{
    const struct eager *eager = argument;
    const struct ask ask = {.type = ASK_UNIT, .name = "sparse"};
    if (eager->viewer != 0 && clock_ms() < eager->until_ms) {
        board_ask(eager->board, eager->viewer, &ask);
    }
}

static void test_source_leaves_off_answering(void **state)
{
    (void)state;
    struct eager eager = {.until_ms = clock_ms() + 2000};
    struct ask ask;
    uint64_t viewer;
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    assert_int_equal(board_new(&eager.board, ask_again, &eager), 0);
    scene_init(scene, eager.board, false, "test", "", NULL, "");
    eager.viewer = board_join(eager.board);
    ask_again(&eager);
    assert_int_equal(source_answer(scene, NULL), 0);
    assert_true(board_take_ask(eager.board, &viewer, &ask)); /* it still asks: others had their turn before */
    struct pollfd event = {.fd = board_fd(eager.board), .events = POLLIN};
    assert_int_equal(poll(&event, 1, 0), 1); /* and it will be looked at soon */
    destroy_scene(scene, eager.board);
}

/* ---- what is worked out ---- */

static void test_derive_agrees_with_the_plain_sums(void **state)
{
    (void)state;
    enum { n = 37, N = 29, P = 23, k = 3 };
    static float W[N * P], v[n * P], p[n * N], r[n * P];
    static uint32_t index[n * k];
    srand(1);
    for (size_t i = 0; i < N * P; i++) {
        W[i] = (float)rand() / (float)RAND_MAX;
    }
    for (size_t i = 0; i < n * P; i++) {
        v[i] = rand() % 5 == 0 ? (float)rand() / (float)RAND_MAX : 0;
    }
    for (size_t i = 0; i < n * k; i++) {
        index[i] = (uint32_t)rand() % N;
    }
    index[4] = N; /* beyond: left out */
    assert_int_equal(derive_drives(p, W, v, n, N, P), 0);
    derive_reconstruction(r, W, v, index, n, k, N, P);
    for (size_t f = 0; f < n; f++) {
        for (size_t i = 0; i < N; i++) {
            double sum = 0;
            for (size_t q = 0; q < P; q++) {
                sum += (double)W[i * P + q] * (double)v[f * P + q];
            }
            assert_true(fabs(sum - (double)p[f * N + i]) < 1e-4);
        }
        for (size_t q = 0; q < P; q++) {
            double sum = 0;
            for (size_t a = 0; a < k; a++) {
                const size_t i = index[f * k + a];
                sum += i < N ? (double)p[f * N + i] * (double)W[i * P + q] : 0;
            }
            assert_true(fabs(sum - (double)r[f * P + q]) < 1e-3);
        }
    }
}

static void test_derive_quantises_and_finds_the_best(void **state)
{
    (void)state;
    const float x[] = {0, 1, 2, NAN, -1, INFINITY, 0.003F};
    uint8_t q[7];
    assert_true(derive_largest(x, 7) == 2);
    derive_quantised(q, x, 7, 2);
    assert_memory_equal(q, "\0\x80\xff\0\0\xff\0", 7);
    const float y[] = {5, 9, 8, 1, 7, 9};
    size_t best[4];
    assert_int_equal(derive_best(best, 4, y, 6, 0), 4);
    assert_true(best[0] == 1 && best[1] == 5 && best[2] == 2 && best[3] == 4);
    assert_int_equal(derive_best(best, 4, y, 6, 1), 3); /* neighbours of better ones are left out */
    assert_true(best[0] == 1 && best[1] == 5 && best[2] == 3);
}

static void test_layers_know_what_lies_below(void **state)
{
    (void)state;
    static struct layers layers;
    const float W[6] = {1, 2, 3, 4, 5, 6}, U[4] = {1, 0, 0, 2};
    struct layer_known sparse = {.name = "sparse",
                                 .stage = "sparse",
                                 .id = "s",
                                 .rows = 2,
                                 .cols = 3,
                                 .grid_x = 2,
                                 .grid_y = 1,
                                 .input_width = 3,
                                 .input_height = 1};
    struct layer_known topo = {.name = "topo",
                               .stage = "invariant",
                               .id = "t",
                               .rows = 2,
                               .cols = 2,
                               .grid_x = 1,
                               .grid_y = 2,
                               .input_width = 2,
                               .input_height = 1};
    assert_int_equal(layers_take(&layers, &topo, U), 0);
    assert_null(layers_below(&layers, layers_find(&layers, "topo")));
    assert_int_equal(layers_take(&layers, &sparse, W), 0);
    assert_ptr_equal(layers_below(&layers, layers_find(&layers, "topo")), layers_find(&layers, "sparse"));
    assert_ptr_equal(layers_above(&layers, layers_find(&layers, "sparse")), layers_find(&layers, "topo"));
    snprintf(sparse.name, sizeof sparse.name, "sparse2");
    assert_int_equal(layers_take(&layers, &sparse, W), 0);
    assert_null(layers_below(&layers, layers_find(&layers, "topo"))); /* which of the two? */
    snprintf(topo.from, sizeof topo.from, "sparse2");
    assert_int_equal(layers_take(&layers, &topo, U), 0);
    assert_ptr_equal(layers_below(&layers, layers_find(&layers, "topo")), layers_find(&layers, "sparse2"));
    sparse.grid_x = 3;
    assert_int_equal(layers_take(&layers, &sparse, W), LOOM_EDATA);
    sparse.rows = (size_t)1 << 40;
    assert_int_equal(layers_take(&layers, &sparse, W), LOOM_EDATA);
    layers_fini(&layers);
}

/* ---- histories ---- */

static void count_told(void *argument, const char *stage, uint64_t pass, const struct metric *metrics,
                       size_t n)
{
    (void)stage, (void)pass, (void)metrics;
    *(size_t *)argument += n;
}

static void test_history_follows_a_file(void **state)
{
    (void)state;
    static struct history history;
    char path[256];
    size_t told = 0;
    snprintf(path, sizeof path, "%s/none", folder);
    history_follow(&history, path, count_told, &told);
    write_file(
        path, "metrics.jsonl",
        "{\"event\":\"pass\",\"stage\":\"sparse\",\"pass\":1,\"metrics\":{\"a\":1.5,\"b\":null,\"c\":2}}\n"
        "rubbish\n[]\n{\"event\":\"pass\",\"stage\":3}\n"
        "{\"event\":\"pass\",\"stage\":\"sparse\",\"pass\":2,\"metrics\":{\"a\":1}}\n"
        "{\"event\":\"pass\",\"stage\":\"sparse\",\"pass\":3,\"metr");
    history_follow(&history, path, count_told, &told);
    assert_int_equal(told, 3); /* a, c; a */
    assert_int_equal(history.stages[0].n, 2);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs("ics\":{\"a\":0.5,\"d\":7}}\n{\"event\":\"pass\",\"stage\":\"sparse\",\"pass\":3,\"metrics\":{"
          "\"a\":9}}\n",
          file);
    assert_int_equal(fclose(file), 0);
    history_follow(&history, path, count_told, &told);
    assert_int_equal(told, 5);
    const struct metric again = {"a", 3};
    assert_false(history_add(&history, "sparse", 2, &again, 1));
    assert_true(history_add(&history, "sparse", 9, &again, 1));
    struct said *said = NULL;
    assert_int_equal(history_say(&history, &said), 0);
    assert_non_null(strstr(
        (const char *)said->data + 4,
        "{\"t\":\"history\",\"series\":{\"sparse\":{\"passes\":[1,2,3,9],\"values\":{\"a\":[1.5,1,0.5,3],"
        "\"c\":[2,null,null,null],\"d\":[null,null,7,null]}}},\"arrays\":[]}"));
    said_release(&said);
    history_fini(&history);
}

static void test_history_forgets_a_run_that_was_replaced(void **state)
{
    (void)state;
    static struct history history;
    static const char line[] =
        "{\"event\":\"pass\",\"stage\":\"sparse\",\"pass\":%d,\"metrics\":{\"a\":%d}}\n";
    char path[256], other[256], text[256];
    size_t told = 0;
    const struct metric early = {"a", 1};
    assert_true(history_add(&history, "topo", 1, &early, 1)); /* of a tap, before there was a file */
    snprintf(text, sizeof text, line, 1, 7);
    write_file(path, "follow.jsonl", text);
    assert_false(history_follow(&history, path, count_told, &told));
    assert_true(history.n == 2 && history.stages[1].rows[0].values[0] == 7);
    snprintf(text, sizeof text, line, 1, 9); /* as long as the old one */
    write_file(other, "other.jsonl", text);
    assert_int_equal(rename(other, path), 0);
    assert_true(history_follow(&history, path, count_told, &told));
    assert_true(history.n == 1 && history.stages[0].n == 1 && history.stages[0].rows[0].values[0] == 9);
    assert_int_equal(told, 2);
    assert_false(history_follow(&history, path, count_told, &told));
    history_forget(&history, "sparse"); /* the stage was started again; its file says what is still so */
    assert_int_equal(history.stages[0].n, 0);
    assert_false(history_follow(&history, path, count_told, &told));
    assert_true(history.stages[0].n == 1 && history.stages[0].rows[0].values[0] == 9);
    history_fini(&history);
}

static void test_history_is_thinned(void **state)
{
    (void)state;
    static struct history history;
    struct metric metric = {"a", 0};
    for (uint64_t pass = 1; pass <= 100000; pass++) {
        metric.value = (double)pass;
        assert_true(history_add(&history, "s", pass, &metric, 1));
    }
    const struct history_stage *stage = &history.stages[0];
    assert_true(stage->n <= HISTORY_ROWS_MAX);
    assert_true(stage->rows[0].pass == 1 && stage->rows[stage->n - 1].pass == 100000);
    for (size_t i = 1; i < stage->n; i++) {
        assert_true(stage->rows[i].pass > stage->rows[i - 1].pass);
        assert_true(stage->rows[i].values[0] == (double)stage->rows[i].pass);
    }
    struct said *said = NULL;
    assert_int_equal(history_say(&history, &said), 0);
    size_t commas = 0;
    for (const uint8_t *at = said->data + 4; *at != ']'; at++) {
        commas += *at == ',' ? 1 : 0;
    }
    assert_true(commas <= HISTORY_PASSES_MAX);
    assert_non_null(strstr((const char *)said->data + 4, ",100000]"));
    said_release(&said);
    history_fini(&history);
}

/* ---- the state of a run ---- */

static const char status_text[] =
    "{\"v\":1,\"time\":\"2020-01-01T00:00:00.000Z\",\"run\":\"topo\",\"state\":\"running\",\"elapsed_s\":12."
    "5,\"stages\":["
    "{\"name\":\"spa\\\"rse\",\"kind\":\"sparse\",\"state\":\"running\",\"frame\":123,\"frames\":null,"
    "\"pass\":1,\"passes\":20,"
    "\"rate\":71234.5,\"computing\":0.93,\"waiting_input\":0.05,\"waiting_output\":0.02,\"queue\":{\"input\":"
    "1,\"held\":2,"
    "\"ring\":3},\"restarts\":0,\"metrics\":{\"error\":0.26,\"nothing\":null},\"unknown\":[]},7],"
    "\"limits\":\"sparse\",\"sentence\":\"sparse limits the run.\"}";

static void test_status_is_read_and_written(void **state)
{
    (void)state;
    struct run_status status, again;
    char path[256], *text = NULL;
    size_t n = 0;
    assert_int_equal(status_read(&status, status_text, sizeof status_text - 1), 0);
    assert_int_equal(status.n, 1);
    assert_string_equal(status.stages[0].name, "spa\"rse");
    assert_true(status.stages[0].frame == 123 && isnan(status.stages[0].frames) &&
                status.stages[0].queue_held == 2);
    assert_int_equal(status.stages[0].n_metrics, 1);
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    status_write(&status, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(status_read(&again, text, n), 0);
    assert_memory_equal(&again.stages[0], &status.stages[0], sizeof *again.stages);
    assert_string_equal(again.sentence, status.sentence);
    free(text);
    status_fini(&status);
    status_fini(&again);
    write_file(path, "status.json", status_text);
    assert_int_equal(status_read_file(&status, path), 0);
    assert_string_equal(status.state, "killed"); /* it says it runs, but has not for years */
    status_fini(&status);
    write_file(path, "status.json", "{\"state\":\"paused\",\"time\":\"2001-01-01T00:00:00.000Z\"}");
    assert_int_equal(status_read_file(&status, path), 0);
    assert_string_equal(status.state, "killed"); /* nor is there a launcher that could go on */
    status_fini(&status);
    write_file(path, "status.json",
               "{\"state\":\"running\",\"time\":\"2999-01-01T00:00:00.000Z\",\"ending\":\"stopped\"}");
    assert_int_equal(status_read_file(&status, path), 0);
    assert_string_equal(status.state, "killed"); /* the clock has been set back since */
    assert_string_equal(status.ending, "stopped");
    status_fini(&status);
    write_file(
        path, "status.json",
        "{\"state\":\"running\",\"time\":\"2001-01-01T00:00:00.000Z\",\"host\":\"no machine's name\"}");
    assert_int_equal(status_read_file(&status, path), 0);
    assert_string_equal(status.state, "running"); /* by a clock, and a launcher, that are not here */
    status_fini(&status);
    write_file(path, "status.json", status_text);
    out = open_memstream(&text, &n);
    assert_non_null(out);
    assert_int_equal(status_copy_file(out, path), 0);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "\"unknown\":[]")); /* keys that are not known here */
    assert_non_null(strstr(text, "\"state\":\"killed\""));
    assert_null(strchr(text, '\n'));
    free(text);
    static const char *const wrong[] = {"", "[]", "{", "{\"v\":1}x", "7"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(status_read(&status, wrong[i], strlen(wrong[i])), LOOM_EDATA);
    }
    assert_int_equal(status_read_file(&status, "/nowhere/status.json"), LOOM_EIO);
}

static void test_exposition_is_what_prometheus_reads(void **state)
{
    (void)state;
    struct run_status status;
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(status_read(&status, status_text, sizeof status_text - 1), 0);
    struct status_stage *tapped = status_add(&status, "\xc3\xa4\xff", "sparse"); /* taps have any bytes */
    assert_non_null(tapped);
    tapped->restarts = 2;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    exposition_write_status(out, &status);
    exposition_write_number(out, "loom_viewers", "gauge", "Viewers.", 3);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(
        text, "# TYPE loom_stage_frames_total counter\nloom_stage_frames_total{stage=\"spa\\\"rse\"} 123\n"));
    assert_non_null(strstr(text, "loom_stage_time_share{stage=\"spa\\\"rse\",kind=\"computing\"} 0.93\n"));
    assert_non_null(strstr(text, "loom_metric{stage=\"spa\\\"rse\",name=\"error\"} 0.26\n"));
    assert_non_null(
        strstr(text, "# HELP loom_viewers Viewers.\n# TYPE loom_viewers gauge\nloom_viewers 3\n"));
    assert_non_null(strstr(text, "loom_stage_restarts_total{stage=\"\xc3\xa4\xef\xbf\xbd\"} 2\n"));
    assert_null(strstr(text, "loom_stage_frames_expected{"));                     /* not known */
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) { /* a TYPE is told once */
        const char *again = strncmp(line, "# TYPE", 6) == 0 ? strstr(strchr(line, '\n'), line) : NULL;
        assert_null(again);
    }
    free(text);
    status_fini(&status);
}

static void test_pipeline_file_is_read(void **state)
{
    (void)state;
    struct pipeline_file file;
    char path[256];
    write_file(path, "pipeline.yaml",
               "name: \"topo\"\nstages:\n  \"window\":\n    stage: \"generate\"\n    tapestry: \"/a b.png\"\n"
               "  sparse: {stage: sparse, in: window, grid: [40, 30], radius: 2}\n"
               "  maps: {stage: render, tap: [window, sparse]}\n  odd: 7\n");
    assert_int_equal(pipeline_file_read(&file, path), 0);
    assert_true(file.n == 3);
    assert_string_equal(file.name, "topo");
    const struct pipeline_stage *sparse = pipeline_file_find(&file, "sparse");
    assert_string_equal(pipeline_stage_param(sparse, "grid"), "40x30");
    assert_string_equal(pipeline_stage_param(pipeline_file_find(&file, "window"), "tapestry"), "/a b.png");
    assert_true(sparse->n_inputs == 1 && strcmp(sparse->inputs[0], "window") == 0);
    assert_null(pipeline_stage_param(sparse, "strength"));
    assert_null(pipeline_file_find(&file, "none"));
    pipeline_file_fini(&file);
    static const char *const wrong[] = {"", "a: [", "[1, 2]", "stages: 3", "name: x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_file(path, "wrong.yaml", wrong[i]);
        assert_int_equal(pipeline_file_read(&file, path), LOOM_EDATA);
        assert_int_equal(file.n, 0);
    }
    assert_int_equal(pipeline_file_read(&file, "/nowhere"), LOOM_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guard_reads_addresses),
        cmocka_unit_test(test_guard_wants_a_token_beyond_the_loopback),
        cmocka_unit_test(test_guard_admits_only_our_hosts),
        cmocka_unit_test(test_guard_compares_origin_with_host),
        cmocka_unit_test(test_ask_reads_the_three),
        cmocka_unit_test(test_ask_refuses_the_rest),
        cmocka_unit_test(test_say_lays_out_arrays),
        cmocka_unit_test(test_board_keeps_the_newest_of_each),
        cmocka_unit_test(test_board_gives_what_is_wanted),
        cmocka_unit_test(test_board_repeats_the_history_to_who_missed_passes),
        cmocka_unit_test(test_board_bounds_viewers_and_questions),
        cmocka_unit_test(test_sampler_finds_frames_in_common),
        cmocka_unit_test(test_sampler_leaves_gaps_out),
        cmocka_unit_test(test_sampler_cuts_within_a_pass),
        cmocka_unit_test(test_sampler_goes_on_without_who_has_nothing),
        cmocka_unit_test(test_sampler_is_bounded),
        cmocka_unit_test(test_scene_forgets_clips_of_another_form),
        cmocka_unit_test(test_scene_bounds_clips_by_bytes),
        cmocka_unit_test(test_scene_keeps_secrets),
        cmocka_unit_test(test_source_leaves_off_answering),
        cmocka_unit_test(test_derive_agrees_with_the_plain_sums),
        cmocka_unit_test(test_derive_quantises_and_finds_the_best),
        cmocka_unit_test(test_layers_know_what_lies_below),
        cmocka_unit_test(test_history_follows_a_file),
        cmocka_unit_test(test_history_forgets_a_run_that_was_replaced),
        cmocka_unit_test(test_history_is_thinned),
        cmocka_unit_test(test_status_is_read_and_written),
        cmocka_unit_test(test_exposition_is_what_prometheus_reads),
        cmocka_unit_test(test_pipeline_file_is_read),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

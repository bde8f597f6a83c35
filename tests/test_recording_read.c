/* Reading recordings: what is durable comes back, whatever state the file is in; what is not as it was
 * written is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recording.h"
#include "recording_read.h"

#define PASS 5000
#define ROWS (2 * PASS)
#define UNITS 3 /* of the activations: rows of 12 bytes, 4096 in a chunk */

static char folder[] = "/tmp/test_recording_read-XXXXXX";
static char path[sizeof folder + 32];
static float data[ROWS][UNITS];

static const struct stream_info stream = {.id = "cccc",
                                          .stage = "invariant",
                                          .name = "topo",
                                          .body = "cpu",
                                          .kind = STREAM_ACTIVATIONS,
                                          .dtype = STREAM_F4,
                                          .grid_x = UNITS,
                                          .grid_y = 1,
                                          .repeats = true,
                                          .pass = PASS,
                                          .total = UINT64_MAX,
                                          .block = 64};

static int set_up(void **state)
{
    (void)state;
    for (size_t t = 0; t < ROWS; t++) {
        for (size_t i = 0; i < UNITS; i++) {
            data[t][i] = (float)(t * UNITS + i);
        }
    }
    snprintf(path, sizeof path, "%s", folder);
    return mkdtemp(folder) == NULL ? -1 : snprintf(path, sizeof path, "%s/tape.h5", folder) < 0;
}

static int clear(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(folder);
}

static struct recording *begin(const char *id)
{
    struct recording *tape = NULL;
    uint64_t rows[1];
    struct stream_info info = stream;
    snprintf(info.id, sizeof info.id, "%s", id);
    assert_int_equal(recording_new(&tape, path, &info, 1, 100, "", rows), 0); /* row 0 is frame 100 */
    return tape;
}

/* Rows [from, to), in blocks as a stage would send them, with metrics where a pass ends. */
static void append(struct recording *tape, size_t from, size_t to)
{
    for (size_t row = from, n; row < to; row += n) {
        size_t frame = row + 100;
        n = PASS - frame % PASS < 64 ? PASS - frame % PASS : 64;
        n = to - row < n ? to - row : n;
        struct block block = {.seq = frame, .n = n, .fields = {data[row]}};
        if ((frame + n) % PASS == 0) {
            block.n_metrics = 1;
            block.metrics[0] = (struct metric){"error", (double)(frame + n)};
        }
        assert_int_equal(recording_append(tape, 0, &block), 0);
    }
}

static void check_rows(struct recording_reader *reader, size_t from, size_t n)
{
    static float read[ROWS][UNITS];
    void *fields[STREAM_FIELDS_MAX] = {read};
    assert_int_equal(recording_read(reader, 0, from, n, fields), 0);
    assert_memory_equal(read, data[from], n * sizeof data[0]);
}

static void test_reader_gives_back_a_closed_file(void **state)
{
    (void)state;
    struct recording *tape = begin("cccc");
    append(tape, 0, ROWS - 10);
    recording_set_total(tape, 0, ROWS + 90);
    assert_int_equal(recording_close(&tape), 0);

    struct recording_reader *reader = NULL;
    assert_int_equal(recording_reader_new(&reader, path), 0);
    assert_int_equal(recording_reader_condition(reader), RECORDING_CLOSED);
    assert_int_equal(recording_reader_streams(reader), 1);
    assert_int_equal(recording_reader_first(reader), 100);
    assert_int_equal(recording_reader_rows(reader, 0), ROWS - 10);
    assert_string_equal(recording_reader_group(reader, 0), "activations");
    const struct stream_info *info = recording_reader_info(reader, 0);
    assert_string_equal(info->id, "cccc");
    assert_string_equal(info->stage, "invariant");
    assert_string_equal(info->name, "topo");
    assert_string_equal(info->body, "cpu");
    assert_int_equal(info->kind, STREAM_ACTIVATIONS);
    assert_int_equal(info->grid_x * info->grid_y, UNITS);
    assert_int_equal(info->pass, PASS);
    assert_int_equal(info->total, ROWS + 90); /* learned on the way */
    assert_true(info->repeats);
    check_rows(reader, 0, ROWS - 10);
    check_rows(reader, 4095, 2); /* over the end of a chunk, and back */
    check_rows(reader, 0, 1);
    check_rows(reader, ROWS - 11, 1);

    struct metric metrics[STREAM_METRICS_MAX];
    size_t n;
    assert_int_equal(recording_read_metrics(reader, 0, 0, metrics, &n), 0);
    assert_int_equal(n, 1);
    assert_string_equal(metrics[0].name, "error");
    assert_true(metrics[0].value == PASS);
    assert_int_equal(recording_read_metrics(reader, 0, 7, metrics, &n), 0);
    assert_int_equal(n, 0);
    recording_reader_destroy(&reader);
    assert_null(reader);
}

/* A writer in a process of its own, begun before this one opens the file (HDF5 shares within a process,
 * and over a fork, what it knows of an open file): appends and flushes as many rows as it is told, and
 * dies when told 0. */
struct writer {
    pid_t pid;
    int tell, hear;
};

static void run_writer(int hear, int tell)
{
    struct recording *tape = NULL;
    uint64_t there[1], rows;
    while (read(hear, &rows, sizeof rows) == sizeof rows && rows > 0) {
        if (tape == NULL && recording_new(&tape, path, &stream, 1, 100, "", there) < 0) {
            _exit(1);
        }
        append(tape, there[0], rows);
        if (recording_flush(tape) < 0 || write(tell, &rows, sizeof rows) != sizeof rows) {
            _exit(1);
        }
        there[0] = rows;
    }
    _exit(0);
}

static struct writer start_writer(void)
{
    int to[2], from[2];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    struct writer writer = {.pid = fork(), .tell = to[1], .hear = from[0]};
    if (writer.pid == 0) {
        run_writer(to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    return writer;
}

static void write_rows(const struct writer *writer, uint64_t rows)
{
    assert_int_equal(write(writer->tell, &rows, sizeof rows), sizeof rows);
    assert_int_equal(read(writer->hear, &rows, sizeof rows), sizeof rows);
}

static void kill_writer(const struct writer *writer)
{
    uint64_t none = 0;
    int status;
    assert_int_equal(write(writer->tell, &none, sizeof none), sizeof none);
    assert_int_equal(waitpid(writer->pid, &status, 0), writer->pid);
    assert_int_equal(status, 0);
    close(writer->tell);
    close(writer->hear);
}

static void test_reader_follows_writers(void **state)
{
    (void)state;
    struct recording_reader *reader = NULL;
    struct writer first = start_writer(), second = start_writer();
    write_rows(&first, 4500);
    assert_int_equal(recording_reader_new(&reader, path), 0);
    assert_int_equal(recording_reader_condition(reader), RECORDING_LIVE);
    assert_int_equal(recording_reader_rows(reader, 0), 4500);
    check_rows(reader, 0, 4500);
    write_rows(&first, 6000);
    check_rows(reader, 0, 4500); /* as it was */
    assert_int_equal(recording_reader_refresh(reader), 0);
    assert_int_equal(recording_reader_rows(reader, 0), 6000);
    check_rows(reader, 0, 6000);
    kill_writer(&first);
    assert_int_equal(recording_reader_refresh(reader), 0);
    assert_int_equal(recording_reader_condition(reader), RECORDING_KILLED);
    check_rows(reader, 0, 6000);
    write_rows(&second, 9000); /* goes on with it */
    assert_int_equal(recording_reader_refresh(reader), 0);
    assert_int_equal(recording_reader_condition(reader), RECORDING_LIVE);
    check_rows(reader, 0, 9000);
    kill_writer(&second);

    unlink(path);
    struct recording *other = begin("dddd");
    append(other, 0, 9500);
    assert_int_equal(recording_close(&other), 0);
    assert_int_equal(recording_reader_refresh(reader), LOOM_EDATA);
    recording_reader_destroy(&reader);
}

/* HDF5 gives zeros for what is not there, and zeros have the checksum zero. */
static void test_reader_notices_what_is_cut_off(void **state)
{
    (void)state;
    struct recording_reader *reader = NULL;
    struct stat about;
    struct writer writer = start_writer();
    write_rows(&writer, 4500);
    kill_writer(&writer);
    assert_int_equal(stat(path, &about), 0);
    off_t least = 0;
    for (off_t size = about.st_size; size > about.st_size / 2; size -= 1000) {
        static float read[ROWS][UNITS];
        void *fields[STREAM_FIELDS_MAX] = {read};
        assert_int_equal(truncate(path, size), 0);
        int status = recording_reader_new(&reader, path);
        if (status == 0) {
            status = recording_read(reader, 0, 0, 4500, fields);
        }
        if (status == 0) {
            assert_memory_equal(read, data, 4500 * sizeof data[0]); /* that was only room for more */
            least = size;
        } else {
            assert_int_equal(status, LOOM_EDATA);
        }
        recording_reader_destroy(&reader);
    }
    assert_true(least > 4500 * (off_t)sizeof data[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_reader_gives_back_a_closed_file, clear),
        cmocka_unit_test_teardown(test_reader_follows_writers, clear),
        cmocka_unit_test_teardown(test_reader_notices_what_is_cut_off, clear),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Recordings: what is appended comes back, whatever befalls the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recording.h"

#define SIDE 20
#define WINNERS 4
#define PASS 1000
#define BLOCK_MAX 1000
#define KILLS 30 /* LOOM_TEST_KILLS in the environment asks for more */

static char folder[] = "/tmp/test_recording-XXXXXX";
static char path[sizeof folder + 32];

/* Frames with positions, and codes. */
static const struct stream_info streams[2] = {
    {.id = "aaaa",
     .stage = "generate",
     .name = "window",
     .kind = STREAM_FRAMES,
     .dtype = STREAM_U1,
     .height = SIDE,
     .width = SIDE,
     .at = true,
     .pass = PASS,
     .total = UINT64_MAX,
     .block = 64},
    {.id = "bbbb",
     .stage = "sparse",
     .name = "sparse",
     .kind = STREAM_CODES,
     .dtype = STREAM_F4,
     .winners = WINNERS,
     .grid_x = 40,
     .grid_y = 40,
     .pass = PASS,
     .total = UINT64_MAX,
     .block = 64},
};

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/recording.h5", folder);
    return 0;
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
    char small[sizeof folder + 16]; /* there only if the test of a full disk has failed */
    snprintf(small, sizeof small, "%s/small", folder);
    umount(small);
    rmdir(small);
    unlink(path);
    ssize_t open = H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL); /* which no sanitizer sees */
    if (open != 0) {
        print_error("%zd objects of HDF5 were left open\n", open);
        return -1;
    }
    return rmdir(folder); /* fails, and the group with it, if a temporary file was left behind */
}

/* ---- frames that are a function of their number ---- */

static uint8_t frames[BLOCK_MAX][SIDE * SIDE];
static int32_t at[BLOCK_MAX][2];
static uint32_t winners[BLOCK_MAX][WINNERS];
static float values[BLOCK_MAX][WINNERS];

static struct block make_block(size_t s, uint64_t seq, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t t = seq + i;
        for (size_t q = 0; q < SIDE * SIDE; q++) {
            frames[i][q] = (uint8_t)(t * 31 + q * (t % 7));
        }
        at[i][0] = (int32_t)t;
        at[i][1] = -(int32_t)t;
        for (size_t k = 0; k < WINNERS; k++) {
            winners[i][k] = (uint32_t)(t + k * 400);
            values[i][k] = (float)t / (float)(k + 1);
        }
    }
    struct block block = {.seq = seq, .n = n};
    block.fields[0] = s == 0 ? (void *)frames : (void *)winners;
    block.fields[1] = s == 0 ? (void *)at : (void *)values;
    if (s == 1 && (seq + n) % PASS == 0) {
        block.n_metrics = 2;
        block.metrics[0] = (struct metric){"error", 1.0 / (double)(seq + n)};
        block.metrics[1] = (struct metric){"entropy", (double)((seq + n) / PASS)};
    }
    return block;
}

/* Append frames [seq, end) in blocks that do not cross the end of a pass. */
static int append(struct recording *self, size_t s, uint64_t seq, uint64_t end, size_t block_size)
{
    while (seq < end) {
        uint64_t n = PASS - seq % PASS;
        n = n < block_size ? n : block_size;
        n = n < end - seq ? n : end - seq;
        struct block block = make_block(s, seq, (size_t)n);
        int status = recording_append(self, s, &block);
        if (status != LOOM_OK) {
            return status;
        }
        seq += n;
    }
    return LOOM_OK;
}

static struct recording *open_both(uint64_t first, uint64_t rows[2])
{
    struct recording *self;
    if (recording_new(&self, path, streams, 2, first, "name: test\n", rows) != LOOM_OK) {
        fail_msg("%s", error_message());
    }
    return self;
}

/* ---- reading back, with HDF5 alone ---- */

/* The first `rows` rows of a dataset (all: SIZE_MAX), malloc'ed, and how many there are. */
static void *read_rows(hid_t file, const char *name, size_t row_bytes, size_t *rows)
{
    hsize_t dims[3], start[3] = {0};
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(set >= 0);
    hid_t space = H5Dget_space(set), type = H5Dget_type(set);
    int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    if (*rows == SIZE_MAX) {
        *rows = dims[0];
    }
    assert_true(dims[0] >= *rows);
    dims[0] = *rows;
    char *data = malloc(*rows * row_bytes + 1);
    assert_non_null(data);
    hid_t memory = H5Screate_simple(rank, dims, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, dims, NULL);
    if (*rows > 0 && H5Dread(set, type, memory, space, H5P_DEFAULT, data) < 0) {
        H5Eprint2(H5E_DEFAULT, stderr);
        fail_msg("%s cannot be read", name);
    }
    H5Sclose(memory);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(set);
    return data;
}

/* Check that a dataset has the right rows up to `rows` (SIZE_MAX: as many as there are); returns how many. */
static size_t check_rows(hid_t file, size_t s, size_t f, uint64_t first, size_t rows)
{
    static const char *const names[2][2] = {{"frames/data", "frames/at"}, {"codes/index", "codes/value"}};
    struct stream_field fields[STREAM_FIELDS_MAX];
    stream_fields(&streams[s], fields);
    char *data = read_rows(file, names[s][f], fields[f].row_bytes, &rows);
    for (size_t r = 0; r < rows; r += BLOCK_MAX) {
        size_t n = rows - r < BLOCK_MAX ? rows - r : BLOCK_MAX;
        struct block block = make_block(s, first + r, n);
        assert_memory_equal(data + r * fields[f].row_bytes, block.fields[f], n * fields[f].row_bytes);
    }
    free(data);
    return rows;
}

static void check_metrics(hid_t file, size_t passes_before, size_t passes)
{
    size_t rows = SIZE_MAX, columns = 16;
    double *numbers = read_rows(file, "metrics/sparse/values", 16 * sizeof(double), &rows);
    char *names = read_rows(file, "metrics/sparse/names", STREAM_METRIC_NAME_BYTES, &columns);
    assert_true(rows >= passes);
    for (size_t p = 0; p < passes; p++) {
        if (p < passes_before) {
            assert_true(isnan(numbers[16 * p]));
        } else {
            assert_true(numbers[16 * p] == 1.0 / (double)(PASS * (p + 1)));
            assert_true(numbers[16 * p + 1] == (double)(p + 1));
        }
        assert_true(isnan(numbers[16 * p + 2]));
    }
    if (passes > passes_before) {
        assert_string_equal(names, "error");
        assert_string_equal(names + STREAM_METRIC_NAME_BYTES, "entropy");
        assert_string_equal(names + 2 * STREAM_METRIC_NAME_BYTES, "");
    }
    free(names);
    free(numbers);
}

static void read_durable(hid_t file, uint64_t durable[2])
{
    size_t two = 2;
    uint64_t *rows = read_rows(file, "durable", sizeof *rows, &two);
    memcpy(durable, rows, 2 * sizeof *rows);
    free(rows);
}

/* A closed file: exactly these rows, and it opens without further ado. */
static void check_whole(uint64_t first, size_t frame_rows, size_t code_rows)
{
    uint64_t durable[2];
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    for (size_t f = 0; f < 2; f++) {
        assert_int_equal(check_rows(file, 0, f, first, SIZE_MAX), frame_rows);
        assert_int_equal(check_rows(file, 1, f, first, SIZE_MAX), code_rows);
    }
    read_durable(file, durable);
    assert_int_equal(durable[0], frame_rows);
    assert_int_equal(durable[1], code_rows);
    check_metrics(file, first / PASS, (first + code_rows) / PASS);
    H5Fclose(file);
}

/* A file whose writer was killed or is at work: all durable rows are there for a reader. */
static void check_durable(uint64_t durable[2])
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, H5P_DEFAULT);
    if (file < 0) {
        H5Eprint2(H5E_DEFAULT, stderr);
        fail_msg("a reader cannot open %s", path);
    }
    read_durable(file, durable);
    for (size_t s = 0; s < 2; s++) {
        for (size_t f = 0; f < 2; f++) {
            assert_int_equal(check_rows(file, s, f, 0, durable[s]), durable[s]);
        }
    }
    check_metrics(file, 0, durable[1] / PASS);
    H5Fclose(file);
}

/* ---- the tests ---- */

static void test_recording_keeps_what_is_appended(void **state)
{
    (void)state;
    static const size_t block_sizes[] = {1, 64, 1000};
    for (size_t i = 0; i < 3; i++) {
        uint64_t rows[2];
        unlink(path);
        struct recording *self = open_both(0, rows);
        assert_int_equal(rows[0], 0);
        assert_int_equal(append(self, 0, 0, 9001, block_sizes[i]), LOOM_OK);
        assert_int_equal(recording_flush(self), LOOM_OK);
        assert_int_equal(append(self, 1, 0, 8000, block_sizes[i]), LOOM_OK);
        assert_int_equal(recording_close(&self), LOOM_OK);
        assert_null(self);
        check_whole(0, 9001, 8000);
    }
}

static void test_recording_describes_its_streams(void **state)
{
    (void)state;
    struct stream_info three[3] = {streams[1], streams[0], streams[1]};
    strcpy(three[2].name, "second");
    three[1].total = 5000;
    three[1].at = false;
    uint64_t rows[3];
    struct recording *self;
    assert_int_equal(recording_new(&self, path, three, 3, 0, "name: x\n", rows), LOOM_OK);
    assert_int_equal(recording_close(&self), LOOM_OK);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(H5Lexists(file, "codes/sparse/index", H5P_DEFAULT) > 0);
    assert_true(H5Lexists(file, "codes/second/value", H5P_DEFAULT) > 0);
    assert_true(H5Lexists(file, "frames/data", H5P_DEFAULT) > 0);
    assert_true(H5Lexists(file, "frames/at", H5P_DEFAULT) == 0);
    int64_t total, grid[2];
    hid_t attribute = H5Aopen_by_name(file, "frames", "total", H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Aread(attribute, H5T_NATIVE_INT64, &total) >= 0);
    assert_int_equal(total, 5000);
    H5Aclose(attribute);
    attribute = H5Aopen_by_name(file, "codes/second", "grid", H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Aread(attribute, H5T_NATIVE_INT64, grid) >= 0);
    assert_int_equal(grid[0], 40);
    H5Aclose(attribute);
    char group[3][13], text[9]; /* sizes of the longest, with a NUL */
    attribute = H5Aopen(file, "streams", H5P_DEFAULT);
    hid_t type = H5Aget_type(attribute);
    assert_int_equal(H5Tget_size(type), sizeof group[0]);
    assert_true(H5Aread(attribute, type, group) >= 0);
    assert_string_equal(group[0], "codes/sparse");
    assert_string_equal(group[1], "frames");
    assert_string_equal(group[2], "codes/second");
    H5Tclose(type);
    H5Aclose(attribute);
    attribute = H5Aopen(file, "pipeline", H5P_DEFAULT);
    type = H5Aget_type(attribute);
    assert_int_equal(H5Tget_size(type), sizeof text);
    assert_true(H5Aread(attribute, type, text) >= 0);
    assert_string_equal(text, "name: x\n");
    H5Tclose(type);
    H5Aclose(attribute);
    H5Fclose(file);
}

static void test_recording_begins_with_frame_first(void **state)
{
    (void)state;
    uint64_t rows[2];
    struct recording *self = open_both(1500, rows);
    struct block wrong = make_block(0, 0, 1);
    assert_int_equal(recording_append(self, 0, &wrong), LOOM_EDATA);
    assert_non_null(strstr(error_message(), "1500"));
    assert_int_equal(append(self, 0, 1500, 2500, 64), LOOM_OK);
    assert_int_equal(append(self, 1, 1500, 3000, 64), LOOM_OK);
    assert_int_equal(recording_close(&self), LOOM_OK);
    check_whole(1500, 1000, 1500);
}

static void test_recording_goes_on_after_close(void **state)
{
    (void)state;
    uint64_t rows[2] = {0, 0};
    static const uint64_t stops[] = {100, 100, 256, 1000, 4100, 5000}; /* in and at the ends of chunks */
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        uint64_t before = i == 0 ? 0 : stops[i - 1];
        struct recording *self = open_both(0, rows);
        assert_int_equal(rows[0], before);
        assert_int_equal(rows[1], before);
        assert_int_equal(append(self, 0, rows[0], stops[i], 64), LOOM_OK);
        assert_int_equal(append(self, 1, rows[1], stops[i], 64), LOOM_OK);
        assert_int_equal(recording_close(&self), LOOM_OK);
        check_whole(0, stops[i], stops[i]);
    }
}

static void test_recording_closed_has_checksums(void **state)
{
    (void)state;
    uint64_t rows[2];
    struct recording *self = open_both(0, rows);
    assert_int_equal(append(self, 0, 0, 300, 64), LOOM_OK);
    assert_int_equal(recording_flush(self), LOOM_OK);
    assert_int_equal(append(self, 0, 300, 400, 64), LOOM_OK);
    assert_int_equal(recording_close(&self), LOOM_OK);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, "frames/data", H5P_DEFAULT);
    hid_t space = H5Dget_space(set);
    hsize_t chunks, where[3], bytes;
    haddr_t address;
    unsigned mask;
    assert_true(H5Dget_num_chunks(set, space, &chunks) >= 0);
    assert_int_equal(chunks, 2);
    for (hsize_t i = 0; i < chunks; i++) {
        assert_true(H5Dget_chunk_info(set, space, i, where, &mask, &address, &bytes) >= 0);
        assert_int_equal(mask, 0);
    }
    H5Sclose(space);
    H5Dclose(set);
    H5Fclose(file);

    FILE *raw = fopen(path, "r+b"); /* one bit of the last, unfinished chunk */
    assert_non_null(raw);
    assert_int_equal(fseek(raw, (long)address + 1, SEEK_SET), 0);
    int byte = fgetc(raw);
    assert_int_equal(fseek(raw, (long)address + 1, SEEK_SET), 0);
    fputc(byte ^ 1, raw);
    fclose(raw);
    assert_int_equal(recording_new(&self, path, streams, 2, 0, "", rows), LOOM_EDATA);
    assert_non_null(strstr(error_message(), path));
    assert_non_null(strstr(error_message(), "move it aside"));
}

/* Rows in the file that were never made durable: they come again, or are cut. */
static void test_recording_cuts_what_is_not_durable(void **state)
{
    (void)state;
    uint64_t rows[2];
    struct recording *self = open_both(0, rows);
    assert_int_equal(append(self, 0, 0, 700, 64), LOOM_OK);
    assert_int_equal(recording_flush(self), LOOM_OK);
    assert_int_equal(append(self, 0, 700, 5000, 64), LOOM_OK);
    recording_destroy(&self);
    assert_null(self);
    recording_destroy(&self);
    self = open_both(0, rows);
    assert_int_equal(rows[0], 700);
    assert_int_equal(append(self, 0, 700, 800, 64), LOOM_OK);
    assert_int_equal(recording_close(&self), LOOM_OK);
    check_whole(0, 800, 0);
    self = open_both(0, rows);
    assert_int_equal(rows[0], 800);
    assert_int_equal(append(self, 0, 800, 3000, 64), LOOM_OK);
    assert_int_equal(recording_close(&self), LOOM_OK);
    check_whole(0, 3000, 0);
}

static void test_recording_is_readable_while_written(void **state)
{
    (void)state;
    uint64_t rows[2], durable[2];
    struct recording *self = open_both(0, rows);
    assert_int_equal(append(self, 0, 0, 700, 64), LOOM_OK);
    assert_int_equal(append(self, 1, 0, 1300, 64), LOOM_OK);
    assert_int_equal(recording_flush(self), LOOM_OK);
    assert_int_equal(append(self, 0, 700, 2700, 64), LOOM_OK);
    pid_t reader = fork(); /* another process: HDF5 shares what it knows of a file within one */
    if (reader == 0) {
        execl("/proc/self/exe", "test_recording", "--check", path, (char *)NULL);
        _exit(127);
    }
    int ended;
    assert_int_equal(waitpid(reader, &ended, 0), reader);
    assert_int_equal(ended, 0);
    assert_int_equal(recording_close(&self), LOOM_OK);
    check_durable(durable); /* a closed file opens with SWMR as well */
    assert_int_equal(durable[0], 2700);
}

/* Record up to frame `end`, flushing and stopping for nothing, until killed. */
static void record_until_killed(uint64_t end)
{
    uint64_t rows[2];
    struct recording *self;
    if (recording_new(&self, path, streams, 2, 0, "", rows) != LOOM_OK) {
        fprintf(stderr, "%s\n", error_message());
        _exit(1);
    }
    for (uint64_t t = rows[0] < rows[1] ? rows[0] : rows[1]; t < end; t += 300) {
        uint64_t next = t + 300 < end ? t + 300 : end;
        for (size_t s = 0; s < 2; s++) {
            if (rows[s] < next && append(self, s, rows[s] > t ? rows[s] : t, next, 64) != LOOM_OK) {
                _exit(2);
            }
        }
        if (recording_flush(self) != LOOM_OK) {
            _exit(3);
        }
    }
    _exit(recording_close(&self) == LOOM_OK ? 0 : 4);
}

static void test_recording_gives_back_what_a_killed_writer_wrote(void **state)
{
    (void)state;
    uint64_t rows[2];
    struct stat before, after;
    struct recording *self = open_both(0, rows);
    assert_int_equal(append(self, 0, 0, 700, 64), LOOM_OK);
    assert_int_equal(recording_close(&self), LOOM_OK);
    for (int flushed = 0; flushed < 2; flushed++) { /* before and after its first flush */
        pid_t child = fork();
        if (child == 0) {
            self = open_both(0, rows);
            if (flushed && (append(self, 0, 700, 1200, 64) != LOOM_OK || recording_flush(self) != LOOM_OK)) {
                _exit(1);
            }
            stat(path, &before);
            int status = append(self, 0, flushed ? 1200 : 700, 20000, 64);
            stat(path, &after);
            if (status == LOOM_OK && after.st_size > before.st_size + 1000000) {
                kill(getpid(), SIGKILL);
            }
            _exit(1);
        }
        int ended;
        assert_int_equal(waitpid(child, &ended, 0), child);
        assert_true(WIFSIGNALED(ended));
        self = open_both(0, rows);
        assert_int_equal(rows[0], flushed ? 1200 : 700);
        assert_int_equal(recording_close(&self), LOOM_OK);
        assert_int_equal(stat(path, &after), 0);
        assert_true(after.st_size < 2000000);
        check_whole(0, flushed ? 1200 : 700, 0);
    }
}

/* Whether the writer was killed while it closed the file: HDF5 refuses it to readers beside a writer then, though Loom's own
 * reader and the next writer take it (byte 11 of the superblock: 1 open for writing, 4 with readers beside). */
static bool was_being_closed(void)
{
    unsigned char superblock[12] = {0};
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, superblock, sizeof superblock);
    close(fd);
    return n == sizeof superblock && (superblock[11] & 1) != 0 && (superblock[11] & 4) == 0;
}

static void test_recording_survives_kills(void **state)
{
    (void)state;
    enum { END = 20000 };
    const char *wanted = getenv("LOOM_TEST_KILLS");
    int kills_wanted = wanted == NULL ? KILLS : atoi(wanted), kills = 0, kills_while_open = 0,
        kills_while_closing = 0;
    unsigned seed = (unsigned)getpid();
    print_message("seed %u\n", seed);
    while (kills < kills_wanted) {
        uint64_t durable[2] = {0, 0}, before[2] = {0, 0};
        unlink(path);
        for (;;) {
            pid_t child = fork();
            if (child == 0) {
                record_until_killed(END);
            }
            int ended;
            usleep((useconds_t)(rand_r(&seed) % (rand_r(&seed) % 4 == 0 ? 100000 : 20000)));
            kill(child, SIGKILL);
            assert_int_equal(waitpid(child, &ended, 0), child);
            if (WIFEXITED(ended)) {
                assert_int_equal(WEXITSTATUS(ended), 0);
                break;
            }
            kills++;
            if (access(path, F_OK) == 0 && was_being_closed()) {
                kills_while_closing++; /* what is durable is seen after the next kill, or at the end */
            } else if (access(path, F_OK) == 0) {
                kills_while_open++;
                check_durable(durable);
                assert_true(durable[0] >= before[0] && durable[1] >= before[1]);
                memcpy(before, durable, sizeof before);
            }
        }
        check_whole(0, END, END);
    }
    char temporary[sizeof path + 8];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    unlink(temporary); /* of a writer killed while it made the file */
    print_message("%d kills, %d with a file there, %d while it was closed\n", kills, kills_while_open,
                  kills_while_closing);
}

static void expect_refusal(const struct stream_info *infos, size_t n, uint64_t first, int status,
                           const char *word)
{
    struct recording *self;
    uint64_t rows[RECORDING_STREAMS_MAX + 1];
    assert_int_equal(recording_new(&self, path, infos, n, first, "", rows), status);
    assert_null(self);
    if (strstr(error_message(), word) == NULL) {
        fail_msg("'%s' does not say '%s'", error_message(), word);
    }
}

static void test_recording_refuses_other_streams(void **state)
{
    (void)state;
    uint64_t rows[2];
    struct recording *self = open_both(0, rows);
    assert_int_equal(append(self, 0, 0, 10, 10), LOOM_OK);
    assert_int_equal(recording_close(&self), LOOM_OK);
    struct stream_info other[2] = {streams[0], streams[1]};
    strcpy(other[1].id, "cccc");
    expect_refusal(other, 2, 0, LOOM_EDATA, "bbbb");
    expect_refusal(other, 2, 0, LOOM_EDATA, "cccc");
    expect_refusal(streams, 1, 0, LOOM_EDATA, "2 streams");
    expect_refusal(streams, 2, 7, LOOM_EDATA, "frame 7");
    other[1] = streams[1];
    other[1].winners = 5;
    expect_refusal(other, 2, 0, LOOM_EDATA, "codes/index");
    expect_refusal(streams, 0, 0, LOOM_EUSAGE, "0 streams");
    expect_refusal(streams, RECORDING_STREAMS_MAX + 1, 0, LOOM_EUSAGE, "33 streams");
    check_whole(0, 10, 0); /* untouched by all that */
    unlink(path);
    other[1] = streams[0];
    expect_refusal(other, 2, 0, LOOM_EDATA, "window");
    other[1].block = 0;
    expect_refusal(other, 2, 0, LOOM_EDATA, "block");
}

static void write_bytes(const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);
}

static void test_recording_refuses_rubbish(void **state)
{
    (void)state;
    static unsigned char good[1 << 20];
    uint64_t rows[2];
    write_bytes("", 0);
    expect_refusal(streams, 2, 0, LOOM_EDATA, "empty");
    write_bytes("rubbish, rubbish, rubbish", 25);
    expect_refusal(streams, 2, 0, LOOM_EDATA, "not an HDF5 file");
    write_bytes("\211HDF\r\n\032\n\003\010\010\005", 12);
    expect_refusal(streams, 2, 0, LOOM_EDATA, "damaged");
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT); /* HDF5, but nothing of ours */
    H5Fclose(file);
    expect_refusal(streams, 2, 0, LOOM_EDATA, path);
    unlink(path);

    struct recording *self = open_both(0, rows);
    assert_int_equal(append(self, 0, 0, 300, 64), LOOM_OK);
    assert_int_equal(recording_close(&self), LOOM_OK);
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, good, sizeof good);
    close(fd);
    assert_true(n > 0 && n < (ssize_t)sizeof good);
    for (size_t length = 0; length < (size_t)n; length += 9973) {
        struct stat about;
        write_bytes(good, length);
        expect_refusal(streams, 2, 0, LOOM_EDATA, path);
        assert_int_equal(stat(path, &about), 0); /* never deleted, never replaced */
    }
    for (size_t i = 0; i < (size_t)n; i += 1021) { /* any one byte: an error, or no harm, but no crash */
        good[i] ^= 0x55;
        write_bytes(good, (size_t)n);
        int status = recording_new(&self, path, streams, 2, 0, "", rows);
        assert_true(status == LOOM_OK || status == LOOM_EDATA);
        recording_destroy(&self);
        good[i] ^= 0x55;
    }
}

static void test_recording_is_for_one_writer(void **state)
{
    (void)state;
    uint64_t rows[2];
    struct recording *self = open_both(0, rows);
    expect_refusal(streams, 2, 0, LOOM_EIO, "another process");
    assert_int_equal(recording_close(&self), LOOM_OK);
    int reader = open(path, O_RDONLY);
    assert_int_equal(flock(reader, LOCK_SH), 0); /* as h5py does without swmr=True */
    expect_refusal(streams, 2, 0, LOOM_EIO, "open in another program");
    close(reader);
}

/* As a reader does that is just opening the file: it holds HDF5's lock, and lets go of it soon. */
static void *hold_for_a_moment(void *descriptor)
{
    usleep(300000);
    close(*(int *)descriptor);
    return NULL;
}

static void test_recording_waits_for_readers_that_are_just_opening_it(void **state)
{
    (void)state;
    uint64_t rows[2];
    pthread_t thread;
    struct recording *self = open_both(0, rows);
    assert_int_equal(recording_close(&self), LOOM_OK);
    int reader = open(path, O_RDONLY);
    assert_int_equal(flock(reader, LOCK_SH), 0);
    assert_int_equal(pthread_create(&thread, NULL, hold_for_a_moment, &reader), 0);
    self = open_both(0, rows);
    pthread_join(thread, NULL);
    assert_non_null(self);
    assert_int_equal(append(self, 0, 0, 300, 64), LOOM_OK);
    assert_int_equal(recording_close(&self), LOOM_OK);
}

static void test_recording_reports_bad_folders(void **state)
{
    (void)state;
    struct recording *self;
    uint64_t rows[2];
    assert_int_equal(recording_new(&self, "/nowhere/at/all.h5", streams, 2, 0, "", rows), LOOM_EIO);
    assert_null(self);
    assert_non_null(strstr(error_message(), "/nowhere/at/all.h5: No such file"));
}

static void test_recording_survives_a_full_disk(void **state)
{
    (void)state;
    char small[sizeof folder + 16], usual[sizeof path];
    snprintf(small, sizeof small, "%s/small", folder);
    assert_int_equal(mkdir(small, 0777), 0);
    if (mount("tmpfs", small, "tmpfs", 0, "size=4m") != 0) {
        rmdir(small);
        print_message("skipped: a small file system cannot be mounted (%s)\n", strerror(errno));
        skip();
    }
    memcpy(usual, path, sizeof path);
    snprintf(path, sizeof path, "%s/a.h5", small);
    uint64_t rows[2], kept = 0;
    struct recording *self = open_both(0, rows);
    int status = LOOM_OK, flushed = LOOM_OK;
    while (status == LOOM_OK && flushed == LOOM_OK && kept < 100000) {
        status = append(self, 0, kept, kept + 50, 50);
        kept += status == LOOM_OK ? 50 : 0;
        flushed = recording_flush(self);
    }
    int no_space = strstr(error_message(), "No space left") != NULL;
    int closed = recording_close(&self);
    if (closed == LOOM_OK && kept > 1000 && kept < 100000) {
        check_whole(0, (size_t)kept, 0); /* not a row lost, and a file like any other */
    }
    unlink(path);
    char filler[sizeof small + 16];
    snprintf(filler, sizeof filler, "%s/filler", small);
    int fd = open(filler, O_WRONLY | O_CREAT, 0666); /* no space even for an empty recording */
    static const char zeros[1 << 20];
    while (write(fd, zeros, sizeof zeros) > 0) {
    }
    close(fd);
    int begun = recording_new(&self, path, streams, 2, 0, "", rows), left = access(path, F_OK);
    memcpy(path, usual, sizeof path);
    umount(small);
    rmdir(small);
    assert_int_equal(status, LOOM_EIO);
    assert_int_equal(flushed, LOOM_OK);
    assert_true(no_space);
    assert_int_equal(closed, LOOM_OK);
    assert_true(kept > 1000 && kept < 100000);
    assert_int_equal(begun, LOOM_EIO);
    assert_int_equal(left, -1);
}

int main(int argc, char **argv)
{
    if (argc == 3 &&
        strcmp(argv[1], "--check") == 0) { /* a reader of its own, see is_readable_while_written */
        hid_t file = H5Fopen(argv[2], H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, H5P_DEFAULT);
        return file < 0 || check_rows(file, 0, 0, 0, 700) != 700 || check_rows(file, 1, 1, 0, 1300) != 1300;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_recording_keeps_what_is_appended, clear),
        cmocka_unit_test_teardown(test_recording_describes_its_streams, clear),
        cmocka_unit_test_teardown(test_recording_begins_with_frame_first, clear),
        cmocka_unit_test_teardown(test_recording_goes_on_after_close, clear),
        cmocka_unit_test_teardown(test_recording_closed_has_checksums, clear),
        cmocka_unit_test_teardown(test_recording_cuts_what_is_not_durable, clear),
        cmocka_unit_test_teardown(test_recording_is_readable_while_written, clear),
        cmocka_unit_test_teardown(test_recording_gives_back_what_a_killed_writer_wrote, clear),
        cmocka_unit_test_teardown(test_recording_survives_kills, clear),
        cmocka_unit_test_teardown(test_recording_refuses_other_streams, clear),
        cmocka_unit_test_teardown(test_recording_refuses_rubbish, clear),
        cmocka_unit_test_teardown(test_recording_is_for_one_writer, clear),
        cmocka_unit_test_teardown(test_recording_waits_for_readers_that_are_just_opening_it, clear),
        cmocka_unit_test_teardown(test_recording_reports_bad_folders, clear),
        cmocka_unit_test_teardown(test_recording_survives_a_full_disk, clear),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

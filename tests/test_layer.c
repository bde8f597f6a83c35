/* Layer files: what is written comes back; rubbish of all kinds is one clear error. */
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
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "durable_file.h"
#include "hdf5_file.h"
#include "layer.h"

/* HDF5 itself leaks a little for every damaged object header. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static char folder[] = "/tmp/test_layer-XXXXXX";
static char path[sizeof folder + 32];

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/layer.h5", folder);
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

/* A file of 40 x 7 weights and some more. */
static void write_good(void)
{
    struct layer_writer *file;
    float weights[280];
    for (size_t i = 0; i < 280; i++) {
        weights[i] = (float)i / 7;
    }
    assert_int_equal(layer_writer_new(&file, path), LOOM_OK);
    assert_int_equal(layer_write(file, "weights", LAYER_F4, (size_t[]){40, 7}, 2, weights), LOOM_OK);
    assert_int_equal(layer_write(file, "state/t", LAYER_U8, (size_t[]){1}, 1, (uint64_t[]){1} /* frame */),
                     LOOM_OK);
    assert_int_equal(layer_write_text(file, "kind", "sparse"), LOOM_OK);
    assert_int_equal(layer_writer_commit(&file), LOOM_OK);
    assert_null(file);
}

/* Also when it is written at another time. */
static void test_layer_same_content_same_file(void **state)
{
    (void)state;
    static unsigned char first[65536], second[65536];
    size_t bytes[2];
    for (int turn = 0; turn < 2; turn++) {
        write_good();
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        bytes[turn] = fread(turn == 0 ? first : second, 1, sizeof first, file);
        fclose(file);
        usleep(turn == 0 ? 1100000 : 0); /* HDF5 counts seconds */
    }
    assert_true(bytes[0] > 0 && bytes[0] < sizeof first && bytes[0] == bytes[1]);
    assert_memory_equal(first, second, bytes[0]);
}

static void test_layer_round_trip(void **state)
{
    (void)state;
    struct layer_writer *out;
    const double io[2][3] = {{1, 2, 3}, {4, 5, 1e300}};
    const uint8_t bytes[5] = {0, 1, 2, 254, 255};
    const uint32_t words[2] = {7, UINT32_MAX};
    const int64_t grid[2] = {40, -3};
    char long_text[200001];
    memset(long_text, 'y', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';

    assert_int_equal(layer_writer_new(&out, path), LOOM_OK);
    assert_int_equal(layer_write(out, "state/deep/io", LAYER_F8, (size_t[]){2, 3}, 2, io), LOOM_OK);
    assert_int_equal(layer_write(out, "state/bytes", LAYER_U1, (size_t[]){5}, 1, bytes), LOOM_OK);
    assert_int_equal(layer_write(out, "state/words", LAYER_U4, (size_t[]){1, 2, 1}, 3, words), LOOM_OK);
    assert_int_equal(layer_write(out, "state/none", LAYER_F4, (size_t[]){0, 5}, 2, NULL), LOOM_OK);
    assert_int_equal(layer_write(out, "state/nil", LAYER_F4, (size_t[]){0, 0}, 2, NULL), LOOM_OK);
    assert_int_equal(layer_write_text(out, "text", "K\xc3\xa4se"), LOOM_OK);
    assert_int_equal(layer_write_text(out, "nothing", ""), LOOM_OK);
    assert_int_equal(layer_write_text(out, "long", long_text), LOOM_OK);
    assert_int_equal(layer_write_integer(out, "frames", INT64_MIN), LOOM_OK);
    assert_int_equal(layer_write_real(out, "rate", 0.02), LOOM_OK);
    assert_int_equal(layer_write_integers(out, "grid", grid, 2), LOOM_OK);
    assert_int_equal(access(path, F_OK), -1); /* not before it is committed */
    assert_int_equal(layer_writer_commit(&out), LOOM_OK);

    struct layer_reader *in;
    double io_back[2][3], rate;
    uint8_t bytes_back[5];
    uint32_t words_back[2];
    int64_t frames, grid_back[2];
    char text[64];
    static char long_back[200001];
    size_t dims[2];
    assert_int_equal(layer_reader_new(&in, path), LOOM_OK);
    assert_string_equal(layer_path(in), path);
    assert_true(layer_has(in, "state/deep/io"));
    assert_false(layer_has(in, "state/deep"));
    assert_false(layer_has(in, "weights"));
    assert_false(layer_has(in, "no/such/thing"));
    assert_int_equal(layer_read_dims(in, "state/none", dims, 2), LOOM_OK);
    assert_int_equal(dims[0], 0);
    assert_int_equal(dims[1], 5);
    assert_int_equal(layer_read(in, "state/none", LAYER_F4, dims, 2, NULL), LOOM_OK);
    assert_int_equal(layer_read(in, "state/deep/io", LAYER_F8, (size_t[]){2, 3}, 2, io_back), LOOM_OK);
    assert_memory_equal(io_back, io, sizeof io);
    assert_int_equal(layer_read(in, "state/bytes", LAYER_U1, (size_t[]){5}, 1, bytes_back), LOOM_OK);
    assert_memory_equal(bytes_back, bytes, sizeof bytes);
    assert_int_equal(layer_read(in, "state/words", LAYER_U4, (size_t[]){1, 2, 1}, 3, words_back), LOOM_OK);
    assert_memory_equal(words_back, words, sizeof words);
    assert_int_equal(layer_read_text(in, "text", text, sizeof text), LOOM_OK);
    assert_string_equal(text, "K\xc3\xa4se");
    assert_int_equal(layer_read_text(in, "text", text, 2), LOOM_OK);
    assert_string_equal(text, "K");
    assert_int_equal(layer_read_text(in, "nothing", text, sizeof text), LOOM_OK);
    assert_string_equal(text, "");
    assert_int_equal(layer_read_text(in, "long", long_back, sizeof long_back), LOOM_OK);
    assert_string_equal(long_back, long_text);
    assert_int_equal(layer_read_integer(in, "frames", &frames), LOOM_OK);
    assert_true(frames == INT64_MIN);
    assert_int_equal(layer_read_real(in, "rate", &rate), LOOM_OK);
    assert_true(rate == 0.02);
    assert_int_equal(layer_read_integer(in, "rate", &frames), LOOM_EDATA);
    assert_int_equal(layer_read_integers(in, "grid", grid_back, 2), LOOM_OK);
    assert_memory_equal(grid_back, grid, sizeof grid);
    layer_reader_destroy(&in);
    assert_null(in);
    layer_reader_destroy(&in);
}

static void test_layer_large_dataset(void **state)
{
    (void)state;
    enum { ROWS = 1601, COLS = 801 }; /* several chunks, the last one not full */
    float *weights = malloc(sizeof(float[ROWS][COLS])), *back = malloc(sizeof(float[ROWS][COLS]));
    assert_non_null(weights);
    assert_non_null(back);
    for (size_t i = 0; i < (size_t)ROWS * COLS; i++) {
        weights[i] = (float)i;
    }
    struct layer_writer *out;
    struct layer_reader *in;
    assert_int_equal(layer_writer_new(&out, path), LOOM_OK);
    assert_int_equal(layer_write(out, "weights", LAYER_F4, (size_t[]){ROWS, COLS}, 2, weights), LOOM_OK);
    assert_int_equal(layer_writer_commit(&out), LOOM_OK);
    assert_int_equal(layer_reader_new(&in, path), LOOM_OK);
    assert_int_equal(layer_read(in, "weights", LAYER_F4, (size_t[]){ROWS, COLS}, 2, back), LOOM_OK);
    assert_memory_equal(weights, back, sizeof(float[ROWS][COLS]));
    layer_reader_destroy(&in);
    free(back);
    free(weights);
}

static void test_layer_read_refuses_other_shapes_and_types(void **state)
{
    (void)state;
    write_good();
    struct layer_reader *in;
    float weights[280];
    uint32_t words[280];
    size_t dims[3];
    int64_t integer;
    double real;
    char text[8];
    assert_int_equal(layer_reader_new(&in, path), LOOM_OK);
    assert_int_equal(layer_read(in, "weights", LAYER_F4, (size_t[]){7, 40}, 2, weights), LOOM_EDATA);
    assert_non_null(strstr(error_message(), path));
    assert_non_null(strstr(error_message(), "weights"));
    assert_non_null(strstr(error_message(), "40 x 7"));
    assert_non_null(strstr(error_message(), "7 x 40"));
    assert_int_equal(layer_read(in, "weights", LAYER_F4, (size_t[]){280}, 1, weights), LOOM_EDATA);
    assert_int_equal(layer_read_dims(in, "weights", dims, 3), LOOM_EDATA);
    assert_int_equal(layer_read_dims(in, "nowhere", dims, 2), LOOM_EDATA);
    assert_non_null(strstr(error_message(), "nowhere"));
    assert_int_equal(layer_read_dims(in, "state", dims, 2), LOOM_EDATA);
    assert_int_equal(layer_read(in, "weights", LAYER_U4, (size_t[]){40, 7}, 2, words), LOOM_EDATA);
    assert_int_equal(layer_read_integer(in, "kind", &integer), LOOM_EDATA);
    assert_int_equal(layer_read_real(in, "kind", &real), LOOM_EDATA);
    assert_int_equal(layer_read_integer(in, "absent", &integer), LOOM_EDATA);
    assert_non_null(strstr(error_message(), "absent"));
    assert_int_equal(layer_read_text(in, "absent", text, sizeof text), LOOM_EDATA);
    layer_reader_destroy(&in);
}

/* What h5py writes by itself: the oldest format, reals of 8 bytes, text of fixed length. */
static void test_layer_read_takes_files_of_others(void **state)
{
    (void)state;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(2, (hsize_t[]){2, 2}, NULL), scalar = H5Screate(H5S_SCALAR);
    hid_t set = H5Dcreate2(file, "weights", H5T_IEEE_F64BE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, 6);
    H5Tset_strpad(text, H5T_STR_SPACEPAD);
    hid_t kind = H5Acreate2(file, "kind", text, scalar, H5P_DEFAULT, H5P_DEFAULT);
    hid_t count = H5Acreate2(file, "count", H5T_STD_I16BE, scalar, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, (double[]){1, 2, 3, 0.5}) >=
                0);
    assert_true(H5Awrite(kind, text, "topo  ") >= 0);
    assert_true(H5Awrite(count, H5T_NATIVE_INT, (int[]){-5}) >= 0);
    H5Aclose(count);
    H5Aclose(kind);
    H5Tclose(text);
    H5Dclose(set);
    H5Sclose(scalar);
    H5Sclose(space);
    H5Fclose(file);

    struct layer_reader *in;
    float weights[4];
    char word[16];
    int64_t integer;
    double real;
    assert_int_equal(layer_reader_new(&in, path), LOOM_OK);
    assert_int_equal(layer_read(in, "weights", LAYER_F4, (size_t[]){2, 2}, 2, weights), LOOM_OK);
    assert_true(weights[0] == 1 && weights[3] == 0.5F);
    assert_int_equal(layer_read_text(in, "kind", word, sizeof word), LOOM_OK);
    assert_string_equal(word, "topo");
    assert_int_equal(layer_read_integer(in, "count", &integer), LOOM_OK);
    assert_int_equal(integer, -5);
    assert_int_equal(layer_read_real(in, "count", &real), LOOM_OK);
    assert_true(real == -5);
    layer_reader_destroy(&in);
}

/* A few hundred bytes that claim 2^60 numbers must not make the caller allocate them. */
static void test_layer_read_refuses_huge_claims(void **state)
{
    (void)state;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(2, (hsize_t[]){1 << 20, (hsize_t)1 << 40}, NULL);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, 2, (hsize_t[]){16, 16});
    hid_t set = H5Dcreate2(file, "weights", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    assert_true(set >= 0);
    H5Dclose(set);
    H5Pclose(creation);
    H5Sclose(space);
    H5Fclose(file);
    struct layer_reader *in;
    size_t dims[2];
    assert_int_equal(layer_reader_new(&in, path), LOOM_OK);
    assert_int_equal(layer_read_dims(in, "weights", dims, 2), LOOM_EDATA);
    assert_non_null(strstr(error_message(), "claims"));
    layer_reader_destroy(&in);
}

static void write_bytes(const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);
}

static void refuse(int status)
{
    struct layer_reader *in;
    assert_int_equal(layer_reader_new(&in, path), status);
    assert_null(in);
    assert_non_null(strstr(error_message(), path));
}

static void test_layer_reader_refuses_rubbish(void **state)
{
    (void)state;
    unlink(path);
    refuse(LOOM_EIO); /* missing */
    assert_non_null(strstr(error_message(), "No such file"));
    write_bytes("", 0);
    refuse(LOOM_EDATA);
    assert_non_null(strstr(error_message(), "empty"));
    write_bytes("\211PNG\r\n\032\n rubbish rubbish", 24);
    refuse(LOOM_EDATA);
    write_bytes("\211HDF\r\n\032\n", 8); /* a signature and no more */
    refuse(LOOM_EDATA);
    unlink(path);
    assert_int_equal(mkdir(path, 0777), 0);
    refuse(LOOM_EIO);
    assert_int_equal(rmdir(path), 0);
}

/* Read all there is; the status of the first failure. */
static int read_all(void)
{
    struct layer_reader *in;
    float weights[280];
    uint64_t t;
    char text[16];
    int status = layer_reader_new(&in, path);
    if (status == LOOM_OK) {
        status = layer_read(in, "weights", LAYER_F4, (size_t[]){40, 7}, 2, weights);
    }
    if (status == LOOM_OK) {
        status = layer_read(in, "state/t", LAYER_U8, (size_t[]){1}, 1, &t);
    }
    if (status == LOOM_OK) {
        status = layer_read_text(in, "kind", text, sizeof text);
    }
    layer_reader_destroy(&in);
    return status;
}

static void test_layer_reader_refuses_truncated_and_flipped(void **state)
{
    (void)state;
    unsigned char good[16384], bad[16384];
    write_good();
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, good, sizeof good);
    close(fd);
    assert_true(n > 1000 && n < (ssize_t)sizeof good);
    for (size_t length = 0; length < (size_t)n; length += 13) {
        write_bytes(good, length);
        assert_int_equal(read_all(), LOOM_EDATA);
    }
    size_t caught = 0, tried = 0;
    for (size_t i = 0; i < (size_t)n; i += 3, tried++) {
        memcpy(bad, good, (size_t)n);
        bad[i] ^= 0x41;
        write_bytes(bad, (size_t)n);
        int status = read_all();
        assert_true(status == LOOM_OK || status == LOOM_EDATA);
        caught += status == LOOM_EDATA;
    }
    print_message("%zu of %zu flipped bytes were caught; the others are in gaps or in text\n", caught, tried);
    write_bytes(good, (size_t)n);
    assert_int_equal(read_all(), LOOM_OK);
    for (size_t i = 0; i + sizeof(float) <= (size_t)n; i++) { /* a weight: must be caught */
        const float weight = 279.0F / 7;
        if (memcmp(good + i, &weight, sizeof weight) == 0) {
            memcpy(bad, good, (size_t)n);
            bad[i] ^= 1;
            write_bytes(bad, (size_t)n);
            assert_int_equal(read_all(), LOOM_EDATA);
            assert_non_null(strstr(error_message(), "weights"));
            return;
        }
    }
    fail_msg("the weights are not in the file");
}

static void test_layer_writer_reports_bad_folders(void **state)
{
    (void)state;
    struct layer_writer *out;
    assert_int_equal(layer_writer_new(&out, "/nowhere/at/all.h5"), LOOM_EIO);
    assert_null(out);
    assert_non_null(strstr(error_message(), "/nowhere/at/all.h5"));
    assert_non_null(strstr(error_message(), "No such file"));
    layer_writer_destroy(&out);

    assert_int_equal(chmod(folder, 0555), 0); /* root may write all the same, so ask as nobody */
    pid_t child = fork();
    if (child == 0) {
        _exit((geteuid() == 0 && setuid(65534) != 0) || layer_writer_new(&out, path) != LOOM_EIO ||
              strstr(error_message(), "Permission denied") == NULL);
    }
    int ended;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(ended, 0);
}

static void test_layer_writer_keeps_the_old_file_until_commit(void **state)
{
    (void)state;
    write_good();
    struct layer_writer *out;
    assert_int_equal(layer_writer_new(&out, path), LOOM_OK);
    assert_int_equal(layer_write(out, "other", LAYER_U1, (size_t[]){1}, 1, "x"), LOOM_OK);
    assert_int_equal(layer_write(out, "other", LAYER_U1, (size_t[]){1}, 1, "x"), LOOM_EINTERNAL); /* twice */
    layer_writer_destroy(&out);
    assert_null(out);
    assert_int_equal(read_all(), LOOM_OK);
}

static void test_layer_writer_survives_a_full_disk(void **state)
{
    (void)state;
    char small[sizeof folder + 16], file[sizeof small + 16];
    snprintf(small, sizeof small, "%s/small", folder);
    snprintf(file, sizeof file, "%s/a.h5", small);
    assert_int_equal(mkdir(small, 0777), 0);
    if (mount("tmpfs", small, "tmpfs", 0, "size=256k") != 0) {
        rmdir(small);
        print_message("skipped: a small file system cannot be mounted (%s)\n", strerror(errno));
        skip();
    }
    struct layer_writer *out;
    static const float weights[100000];
    int begun = layer_writer_new(&out, file);
    int written =
        begun != LOOM_OK ? begun : layer_write(out, "weights", LAYER_F4, (size_t[]){100000}, 1, weights);
    int committed = written != LOOM_OK ? written : layer_writer_commit(&out);
    char message[512];
    snprintf(message, sizeof message, "%s", error_message());
    layer_writer_destroy(&out);
    int left = access(file, F_OK), temporary_left = rmdir(small); /* not removable: still mounted */
    strcat(file, ".tmp");
    temporary_left = access(file, F_OK);
    umount(small);
    rmdir(small);
    assert_int_equal(begun, LOOM_OK);
    assert_int_equal(written, LOOM_OK);
    assert_int_equal(committed, LOOM_EIO);
    assert_non_null(strstr(message, "No space left"));
    assert_int_equal(left, -1);
    assert_int_equal(temporary_left, -1);
}

/* Let files grow up to `bytes` only (RLIM_INFINITY: as before). */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN); /* so that a write beyond it fails */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* What HDF5 finds wrong after a write has failed is the disk's fault, and so says the error. */
static void test_layer_writer_blames_the_disk_before_hdf5(void **state)
{
    (void)state;
    static const float weights[100000];
    struct layer_writer *out;
    int status[6];
    char messages[6][512];
    limit_files(65536);
    assert_int_equal(layer_writer_new(&out, path), LOOM_OK);
    assert_int_equal(layer_write_text(out, "kind", "sparse"), LOOM_OK);
    assert_int_equal(layer_write(out, "weights", LAYER_F4, (size_t[]){100000}, 1, weights), LOOM_OK);
    for (int i = 0; i < 6; i++) { /* each fails, for it is there already */
        status[i] = i == 0   ? layer_write(out, "weights", LAYER_F4, (size_t[]){100000}, 1, weights)
                    : i == 1 ? layer_write_text(out, "kind", "sparse")
                    : i == 2 ? layer_write_integer(out, "kind", 1)
                    : i == 3 ? layer_write_real(out, "kind", 1)
                    : i == 4 ? layer_write_integers(out, "kind", (int64_t[]){1}, 1)
                             : layer_writer_commit(&out);
        snprintf(messages[i], sizeof messages[i], "%s", error_message());
    }
    limit_files(RLIM_INFINITY);
    layer_writer_destroy(&out);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(status[i], LOOM_EIO);
        assert_non_null(strstr(messages[i], path));
        assert_non_null(strstr(messages[i], "File too large"));
    }
}

/* A dataset of 1 MB, which is on the disk when it is closed. */
static hid_t write_dataset(hid_t file)
{
    static const float values[1 << 18];
    const hid_t space = H5Screate_simple(1, (hsize_t[]){1 << 18}, NULL);
    const hid_t set =
        H5Dcreate2(file, "values", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(set >= 0);
    assert_true(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Sclose(space);
    return set;
}

static void test_hdf5_new_tells_of_failed_reads(void **state)
{
    (void)state;
    static float values[1 << 18];
    struct durable_file file;
    struct hdf5_new hdf5;
    assert_int_equal(durable_file_begin(&file, path), LOOM_OK);
    assert_int_equal(hdf5_new_begin(&hdf5, &file, 1), LOOM_OK);
    const hid_t set = write_dataset(hdf5.file);
    const int only_writes = open(file.temporary, O_WRONLY);
    assert_true(only_writes >= 0 && dup2(only_writes, file.fd) == file.fd);
    close(only_writes);
    assert_true(H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(set);
    assert_int_equal(hdf5_new_reason(&hdf5, LOOM_OK), LOOM_OK);
    assert_int_equal(hdf5_new_reason(&hdf5, LOOM_EINTERNAL), LOOM_EIO);
    assert_int_equal(hdf5_new_finish(&hdf5), LOOM_EIO);
    assert_non_null(strstr(error_message(), "Bad file descriptor"));
    durable_file_abandon(&file);
}

static void test_hdf5_new_closes_what_is_open(void **state)
{
    (void)state;
    for (int finish = 0; finish < 2; finish++) {
        struct durable_file file;
        struct hdf5_new hdf5;
        assert_int_equal(durable_file_begin(&file, path), LOOM_OK);
        assert_int_equal(hdf5_new_begin(&hdf5, &file, 1), LOOM_OK);
        write_dataset(hdf5.file);
        if (finish) {
            assert_int_equal(hdf5_new_finish(&hdf5), LOOM_OK);
        }
        hdf5_new_abandon(&hdf5);
        durable_file_abandon(&file);
        assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
    }
}

/* HDF5 keeps a file that somebody else holds: it is not finished, and writes no more to what is gone. */
static void test_hdf5_new_may_be_outlived_by_hdf5(void **state)
{
    (void)state;
    char other[sizeof path], bytes[8];
    snprintf(other, sizeof other, "%s/other", folder);
    for (int finish = 0; finish < 2; finish++) {
        struct durable_file file;
        struct hdf5_new *hdf5 = malloc(sizeof *hdf5);
        assert_int_equal(durable_file_begin(&file, path), LOOM_OK);
        assert_int_equal(hdf5_new_begin(hdf5, &file, 1), LOOM_OK);
        const hid_t kept = hdf5->file;
        assert_int_equal(H5Iinc_ref(kept), 2);
        if (finish) {
            assert_int_equal(hdf5_new_finish(hdf5), LOOM_EINTERNAL);
            assert_non_null(strstr(error_message(), "still in use"));
        }
        hdf5_new_abandon(hdf5);
        free(hdf5);
        const int fd = file.fd;
        durable_file_abandon(&file);
        const int reused =
            open(other, O_RDWR | O_CREAT | O_TRUNC, 0666); /* another file by the same number */
        assert_int_equal(reused, fd);
        H5Dclose(write_dataset(kept));
        assert_true(H5Fclose(kept) >= 0);
        assert_int_equal(pread(reused, bytes, sizeof bytes, 0), 0);
        close(reused);
        unlink(other);
    }
}

static void test_durable_file_makes_folders(void **state)
{
    (void)state;
    char deep[sizeof path + 32];
    snprintf(deep, sizeof deep, "%s/a/b/file", folder);
    assert_int_equal(durable_file_make_folders(deep), LOOM_OK);
    assert_int_equal(durable_file_make_folders(deep), LOOM_OK);
    assert_int_equal(durable_file_make_folders("file"), LOOM_OK);
    *strrchr(deep, '/') = '\0';
    assert_int_equal(rmdir(deep), 0);
    *strrchr(deep, '/') = '\0';
    assert_int_equal(rmdir(deep), 0);
    write_bytes("x", 1);
    snprintf(deep, sizeof deep, "%s/a/file", path); /* below a file */
    assert_int_equal(durable_file_make_folders(deep), LOOM_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_round_trip),
        cmocka_unit_test(test_layer_same_content_same_file),
        cmocka_unit_test(test_layer_large_dataset),
        cmocka_unit_test(test_layer_read_refuses_other_shapes_and_types),
        cmocka_unit_test(test_layer_read_takes_files_of_others),
        cmocka_unit_test(test_layer_read_refuses_huge_claims),
        cmocka_unit_test(test_layer_reader_refuses_rubbish),
        cmocka_unit_test(test_layer_reader_refuses_truncated_and_flipped),
        cmocka_unit_test(test_layer_writer_reports_bad_folders),
        cmocka_unit_test(test_layer_writer_keeps_the_old_file_until_commit),
        cmocka_unit_test(test_layer_writer_survives_a_full_disk),
        cmocka_unit_test(test_layer_writer_blames_the_disk_before_hdf5),
        cmocka_unit_test(test_hdf5_new_tells_of_failed_reads),
        cmocka_unit_test(test_hdf5_new_closes_what_is_open),
        cmocka_unit_test(test_hdf5_new_may_be_outlived_by_hdf5),
        cmocka_unit_test(test_durable_file_makes_folders),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Outlet: a standard output that is not read. What is taken later is whole, in order, and says what is missing.
 * (tests/test_outlet.py has whole runs, sockets and terminals.) */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "outlet.h"

#define LINE 100
#define TEXT_BYTES (8 * OUTLET_BYTES)

struct fixture {
    struct outlet outlet;
    int reader, stdout_before;
    char text[TEXT_BYTES];
};

static int setup(void **state)
{
    struct fixture *self = calloc(1, sizeof *self);
    int ends[2];
    fflush(stdout);
    self->stdout_before = dup(STDOUT_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    close(ends[1]);
    self->reader = ends[0];
    fcntl(self->reader, F_SETFL, O_NONBLOCK);
    assert_int_equal(outlet_open(&self->outlet, stdout), 0);
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *self = *state;
    outlet_close(&self->outlet);
    dup2(self->stdout_before, STDOUT_FILENO);
    close(self->stdout_before);
    close(self->reader);
    free(self);
    return 0;
}

static void print_lines(struct fixture *self, int from, int to)
{
    for (int i = from; i < to; i++) {
        fprintf(self->outlet.out, "%0*d\n", LINE - 1, i);
        fflush(self->outlet.out);
    }
}

/* Read what is there, drain, and so on until nothing comes. */
static size_t read_all(struct fixture *self)
{
    size_t n = 0;
    for (ssize_t got = 1; got > 0; n += got > 0 ? (size_t)got : 0) {
        outlet_drain(&self->outlet);
        got = read(self->reader, self->text + n, TEXT_BYTES - 1 - n);
    }
    self->text[n] = '\0';
    return n;
}

static void expect_lines(const char *text, int from, int to)
{
    for (int i = from; i < to; i++, text += LINE) {
        char line[LINE + 1];
        snprintf(line, sizeof line, "%0*d\n", LINE - 1, i);
        assert_memory_equal(text, line, LINE);
    }
}

static void test_what_is_read_comes_at_once(void **state)
{
    struct fixture *self = *state;
    for (int i = 0; i < 5000; i++) {
        print_lines(self, i, i + 1);
        assert_int_equal(read(self->reader, self->text, TEXT_BYTES), LINE);
        expect_lines(self->text, i, i + 1);
    }
    assert_int_equal(self->outlet.n_kept, 0);
}

static void test_more_than_the_pipe_holds_is_kept(void **state)
{
    struct fixture *self = *state;
    int capacity = fcntl(STDOUT_FILENO, F_GETPIPE_SZ), lines = (capacity + OUTLET_BYTES / 2) / LINE;
    print_lines(self, 0, lines);
    assert_true(self->outlet.n_kept > 0);
    assert_int_equal(read_all(self), lines * LINE);
    expect_lines(self->text, 0, lines);
}

static void test_what_is_left_out_is_said(void **state)
{
    struct fixture *self = *state;
    print_lines(self, 0, 2500);
    assert_true(self->outlet.left_out > 0);
    uint64_t left_out = self->outlet.left_out;
    size_t n = read_all(self), whole = n / LINE;
    assert_int_equal(n % LINE, 0);
    assert_int_equal(left_out, (2500 - whole) * LINE);
    expect_lines(self->text, 0, (int)whole);
    print_lines(self, 3000, 3010);
    n = read_all(self);
    char note[LINE];
    int length = snprintf(note, sizeof note, "(%d bytes were not read in time)\n", (int)left_out);
    assert_memory_equal(self->text, note, (size_t)length);
    assert_int_equal(n, (size_t)length + (size_t)10 * LINE);
    expect_lines(self->text + length, 3000, 3010);
}

static void test_what_is_left_out_at_the_end_is_said(void **state)
{
    struct fixture *self = *state;
    print_lines(self, 0, 2500);
    char note[LINE];
    int length =
        snprintf(note, sizeof note, "(%d bytes were not read in time)\n", (int)self->outlet.left_out);
    read_all(self); /* what is kept; what was left out is said by the next to be printed, or by closing */
    assert_true(self->outlet.left_out > 0);
    outlet_close(&self->outlet);
    assert_int_equal(read(self->reader, self->text, TEXT_BYTES), length);
    assert_memory_equal(self->text, note, (size_t)length);
}

static void test_much_at_once_is_whole(void **state)
{
    struct fixture *self = *state;
    print_lines(self, 0, fcntl(STDOUT_FILENO, F_GETPIPE_SZ) / LINE + 400); /* 40,000 bytes are kept */
    size_t kept = self->outlet.n_kept;
    for (int i = 0; i < 300; i++) {
        fprintf(self->outlet.out, "%0*d\n", LINE - 1, i); /* more than there is room for, and than 8 KB */
    }
    fflush(self->outlet.out);
    assert_int_equal(self->outlet.n_kept, kept);
    assert_int_equal(self->outlet.left_out, 300 * LINE);
    read_all(self); /* so that closing need not wait */
}

static void test_close_waits(void **state)
{
    struct fixture *self = *state;
    print_lines(self, 0, 1000);
    assert_true(self->outlet.n_kept > 0);
    pid_t child = fork();
    if (child == 0) {
        outlet_close(&self->outlet);
        _exit(0);
    }
    self->outlet.n_kept = 0; /* the child writes it */
    dup2(self->stdout_before, STDOUT_FILENO);
    close(self->outlet.again);
    self->outlet.again = -1;
    fcntl(self->reader, F_SETFL, 0);
    size_t n = read_all(self);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(n, 1000 * LINE);
    expect_lines(self->text, 0, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_read_comes_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_the_pipe_holds_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_left_out_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_left_out_at_the_end_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(test_much_at_once_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_waits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

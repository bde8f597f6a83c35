/* Random numbers against numpy's. The golden numbers were printed by numpy 1.24 with
 *     [x.hex() for x in numpy.random.Generator(numpy.random.Philox(key=SEED + (SEQUENCE << 64))).random(N)]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/random.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static void check(uint64_t seed, uint64_t sequence, const double *expected, size_t n)
{
    double out[16];
    random_uniform(out, n, seed, sequence, 0);
    for (size_t i = 0; i < n; i++) {
        assert_true(out[i] == expected[i]); /* to the bit */
    }
}

static void test_random_uniform_is_numpys_philox(void **state)
{
    (void)state;
    const double plain[] = {0x1.36da89edd58a0p-2, 0x1.b289f407757c1p-1, 0x1.3fc3972bb8304p-3,
                            0x1.fda5da5a81200p-6, 0x1.cceffc977a08ap-1, 0x1.aa87b74ada3c0p-5};
    check(1, 0, plain, LENGTH(plain));
    const double largest_seed[] = {0x1.32b66d3286528p-4, 0x1.b2d5076902968p-1, 0x1.dc5fffae44a55p-1,
                                   0x1.20a90e67b54b8p-4, 0x1.581b787b14baap-2, 0x1.cf75b8351afbcp-1};
    check(UINT64_MAX, 7, largest_seed, LENGTH(largest_seed));
    const double large_sequence[] = {0x1.4a9f82b86b5dap-2, 0x1.63c34f3dfed7ep-2, 0x1.e8b41755cb69cp-2,
                                     0x1.75abdfdd94994p-2, 0x1.92dd68381b99cp-3, 0x1.e5727f99bfe80p-3};
    check(12345, UINT64_C(1) << 63, large_sequence, LENGTH(large_sequence));
}

static void test_random_uniform_starts_anywhere(void **state)
{
    (void)state;
    double all[64], part[64];
    random_uniform(all, 64, 3, 1, 1000);
    for (size_t first = 0; first < 9; first++) {
        for (size_t n = 0; n <= 9; n++) {
            part[n] = -1;
            random_uniform(part, n, 3, 1, 1000 + first);
            for (size_t i = 0; i < n; i++) {
                assert_true(part[i] == all[first + i]);
            }
            assert_true(part[n] == -1); /* nothing written past the end */
        }
    }
}

static void test_random_uniform_far_out(void **state)
{
    (void)state;
    /* Philox(key=1).advance(2**60) puts the counter 2^60 blocks on: numbers from 2^62 on. */
    const double expected[] = {0x1.d548384cf0ec0p-3, 0x1.bead51c870156p-1, 0x1.dc33784232689p-1,
                               0x1.00b25bef5d954p-3};
    double out[4];
    random_uniform(out, 4, 1, 0, UINT64_C(1) << 62);
    for (size_t i = 0; i < 4; i++) {
        assert_true(out[i] == expected[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_uniform_is_numpys_philox),
        cmocka_unit_test(test_random_uniform_starts_anywhere),
        cmocka_unit_test(test_random_uniform_far_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

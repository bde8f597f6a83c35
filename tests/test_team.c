/* A team of threads: every part is done once, and is done when team_run returns. */
#include "kernel_data.h"
#include "team.h"

#define PARTS_MAX 1000
#define THREADS_MAX 9

struct tally {
    size_t done[PARTS_MAX];     /* times a part was done */
    size_t inside[THREADS_MAX]; /* parts that a thread is doing */
    bool twice[THREADS_MAX];    /* ... and it has already been doing one */
    size_t threads;
};

static void count(void *context, size_t part, size_t thread)
{
    struct tally *tally = context;
    tally->twice[thread] |= thread >= tally->threads || tally->inside[thread]++ > 0;
    tally->done[part]++;
    tally->inside[thread]--;
}

static void test_team_does_every_part_once(void)
{
    const size_t threads[] = {1, 2, 3, THREADS_MAX}, parts[] = {0, 1, 2, 7, PARTS_MAX};
    for (size_t i = 0; i < 4; i++) {
        struct team *team;
        CHECK(team_new(&team, threads[i]) == KERNEL_OK);
        for (size_t round = 0; round < 500; round++) {
            const size_t n = parts[round % 5];
            struct tally tally = {.threads = threads[i]};
            size_t wrong = 0;
            team_run(team, count, &tally, n);
            for (size_t part = 0; part < PARTS_MAX; part++) {
                wrong += tally.done[part] != (part < n ? 1 : 0);
            }
            for (size_t thread = 0; thread < THREADS_MAX; thread++) {
                wrong += tally.twice[thread];
            }
            CHECK(wrong == 0);
        }
        team_destroy(&team);
        CHECK(team == NULL);
    }
}

static void test_team_new_survives_every_failure(void)
{
    int rc = KERNEL_ENOMEM;
    for (data_fails_at = 0; rc == KERNEL_ENOMEM && data_fails_at < 100; data_fails_at++) {
        struct team *team = (struct team *)&rc;
        data_allocations = 0;
        rc = team_new(&team, 4);
        CHECK(rc == (data_allocations > data_fails_at ? KERNEL_ENOMEM : KERNEL_OK));
        CHECK((rc == KERNEL_OK) == (team != NULL));
        team_destroy(&team);
    }
    CHECK(rc == KERNEL_OK && data_fails_at == 6); /* two of memory, three of threads, and then none */
    data_fails_at = SIZE_MAX;
}

CHECK_MAIN(CASE(test_team_does_every_part_once), CASE(test_team_new_survives_every_failure))

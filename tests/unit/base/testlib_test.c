/* testlib_test.c - the tests' own library: random numbers, budgets and temporary directories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/budget.h"
#include "lib/rng.h"
#include "lib/tempdir.h"

/* Same seed, same run: the numbers are xoshiro256**'s with a state of splitmix64's outputs,
 * computed with the authors' reference code. */
static void rng_repeats_itself_for_a_seed(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 0);
    assert_true(rng.state[0] == 0xE220A8397B1DCDAF);
    assert_true(rng.state[1] == 0x6E789E6AA1B965F4);
    assert_true(rng_next(&rng) == 0x99EC5F36CB75F2B4);
    assert_true(rng_next(&rng) == 0xBF6E1F784956452A);
    assert_true(rng_next(&rng) == 0x1A5F849D4933E6E0);
}

static void rng_below_reaches_every_value_and_no_other(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 1);
    unsigned counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t n = rng_below(&rng, 7);
        assert_in_range(n, 0, 6);
        counts[n]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9500, 10500);
    }
    assert_int_equal(rng_below(&rng, 1), 0);
    assert_int_equal(rng_between(&rng, 9, 9), 9);
}

static void rng_seed_comes_from_the_environment(void **state)
{
    (void)state;
    unsetenv("SEED");
    assert_int_equal(rng_seed_from_env(42), 42);
    setenv("SEED", "7", 1);
    assert_int_equal(rng_seed_from_env(42), 7);
    setenv("SEED", "0xFFFFFFFFFFFFFFFF", 1);
    assert_true(rng_seed_from_env(42) == UINT64_MAX);
    unsetenv("SEED");
}

/* ---- How many rounds ---- */

static uint64_t rounds_of(uint64_t floor, double seconds, uint64_t many)
{
    struct budget budget = budget_make("rounds", floor, seconds, many);
    uint64_t rounds = 0;
    while (budget_next(&budget)) {
        assert_int_equal(budget.round, rounds);
        rounds++;
    }
    assert_int_equal(budget.round, rounds);
    return rounds;
}

static void clear_environment(void)
{
    unsetenv("SEED");
    unsetenv("HOLDFAST_LONG");
    unsetenv("HOLDFAST_TEST_SECONDS");
}

static void budget_runs_the_floor_when_there_is_no_time(void **state)
{
    (void)state;
    clear_environment();
    assert_int_equal(rounds_of(7, 0, 100), 7);
    setenv("HOLDFAST_TEST_SECONDS", "0", 1);
    assert_int_equal(rounds_of(7, 1000, 100), 7);
    clear_environment();
}

/* The clock is the machine's: when the time is over the loop ends, and not before. */
static void budget_goes_on_while_there_is_time(void **state)
{
    (void)state;
    clear_environment();
    struct budget budget = budget_make("rounds", 1, 1000, 100);
    for (int i = 0; i < 500; i++) {
        assert_true(budget_next(&budget));
    }
    budget.begun_ns -= 1000 * 1000000000ull; /* as if so long ago */
    assert_false(budget_next(&budget));
    assert_int_equal(budget.round, 500);
    assert_true(rounds_of(1, 0.001, 100) >= 1);
}

static void budget_is_one_round_for_a_seed_and_exact_in_the_long_run(void **state)
{
    (void)state;
    clear_environment();
    setenv("HOLDFAST_TEST_SECONDS", "1000", 1);
    setenv("HOLDFAST_LONG", "1", 1);
    assert_int_equal(rounds_of(10, 1000, 100), 100);
    assert_int_equal(rounds_of(10, 0, 100), 100);
    setenv("SEED", "7", 1);
    assert_int_equal(rounds_of(10, 1000, 100), 1);
    setenv("HOLDFAST_LONG", "0", 1); /* as if it were not set */
    setenv("HOLDFAST_TEST_SECONDS", "0", 1);
    unsetenv("SEED");
    assert_int_equal(rounds_of(10, 1000, 100), 10);
    clear_environment();
}

static void tempdir_is_removed_with_all_that_is_in_it(void **state)
{
    (void)state;
    char *path = tempdir_make();
    char *outside = tempdir_make();
    char *kept = tempdir_join(outside, "kept");
    char *folder = tempdir_join(path, "folder");
    char *file = tempdir_join(folder, "file");
    char *link = tempdir_join(path, "link");
    assert_int_equal(mkdir(folder, 0700), 0);
    FILE *made = fopen(file, "w");
    assert_non_null(made);
    fclose(made);
    made = fopen(kept, "w");
    assert_non_null(made);
    fclose(made);
    assert_int_equal(symlink(outside, link), 0);
    char *copy = strdup(path);
    tempdir_remove(path);
    assert_int_not_equal(access(copy, F_OK), 0);
    assert_int_equal(access(kept, F_OK), 0); /* links are not followed */
    tempdir_remove(outside);
    free(copy);
    free(kept);
    free(folder);
    free(file);
    free(link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rng_repeats_itself_for_a_seed),
        cmocka_unit_test(rng_below_reaches_every_value_and_no_other),
        cmocka_unit_test(rng_seed_comes_from_the_environment),
        cmocka_unit_test(budget_runs_the_floor_when_there_is_no_time),
        cmocka_unit_test(budget_goes_on_while_there_is_time),
        cmocka_unit_test(budget_is_one_round_for_a_seed_and_exact_in_the_long_run),
        cmocka_unit_test(tempdir_is_removed_with_all_that_is_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

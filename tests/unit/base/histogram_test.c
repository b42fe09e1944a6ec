/* histogram_test.c - quantiles against a sorted copy of the values, and the range's two ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/histogram.h"
#include "lib/rng.h"

#define RANGE_END (1ull << 40)

static void histogram_of_nothing_gives_zero(void **state)
{
    (void)state;
    static struct histogram histogram; /* a zeroed struct is an empty histogram */
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    assert_int_equal(histogram_quantile(&histogram, 1.0), 0);
    histogram_add(&histogram, 9);
    histogram_init(&histogram);
    assert_int_equal(histogram.count, 0);
    assert_int_equal(histogram_quantile(&histogram, 1.0), 0);
}

static void histogram_is_exact_below_128(void **state)
{
    (void)state;
    static struct histogram histogram;
    histogram_init(&histogram);
    for (uint64_t value = 0; value < 128; value++) {
        histogram_add(&histogram, value);
    }
    for (uint64_t value = 0; value < 128; value++) {
        assert_int_equal(histogram_quantile(&histogram, (double)(value + 1) / 128), value);
    }
    assert_int_equal(histogram_quantile(&histogram, 0.0), 0);
    assert_int_equal(histogram.sum, 127 * 128 / 2);
}

/* Each power of two and its neighbours: where a wrong bucket would show. */
static void histogram_keeps_its_bound_around_powers_of_two(void **state)
{
    (void)state;
    static struct histogram histogram;
    for (unsigned bit = 0; bit < 40; bit++) {
        for (uint64_t offset = 0; offset <= 2; offset++) {
            uint64_t value = ((uint64_t)1 << bit) + offset - 1;
            histogram_init(&histogram);
            histogram_add(&histogram, value);
            histogram_add(&histogram, RANGE_END); /* so that max does not hide the bucket's end */
            uint64_t found = histogram_quantile(&histogram, 0.5);
            assert_in_range(found, value, value + value / 64);
        }
    }
}

static void histogram_counts_values_beyond_the_range(void **state)
{
    (void)state;
    static struct histogram histogram;
    histogram_init(&histogram);
    histogram_add(&histogram, RANGE_END - 1);
    assert_true(histogram_quantile(&histogram, 1.0) == RANGE_END - 1);
    histogram_add(&histogram, UINT64_MAX);
    assert_int_equal(histogram.count, 2);
    assert_true(histogram.max == UINT64_MAX);
    assert_true(histogram_quantile(&histogram, 1.0) == UINT64_MAX);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Log-uniform values over the whole range, in two halves that are merged. */
static void histogram_quantiles_are_within_a_64th_of_the_truth(void **state)
{
    (void)state;
    enum { VALUES = 20000 };
    static uint64_t values[VALUES];
    static struct histogram halves[2];
    uint64_t seed = rng_seed_from_env(618);
    struct rng rng;
    rng_init(&rng, seed);
    uint64_t sum = 0;
    for (int i = 0; i < VALUES; i++) {
        values[i] = rng_next(&rng) >> (24 + rng_below(&rng, 40));
        sum += values[i];
        histogram_add(&halves[i % 2], values[i]);
    }
    histogram_merge(&halves[0], &halves[1]);
    qsort(values, VALUES, sizeof *values, compare_u64);
    assert_int_equal(halves[0].count, VALUES);
    assert_true(halves[0].sum == sum);
    assert_true(halves[0].max == values[VALUES - 1]);
    for (int rank = 1; rank <= VALUES; rank++) {
        /* Half a rank below, so that rounding of the share cannot choose another rank. */
        uint64_t found = histogram_quantile(&halves[0], ((double)rank - 0.5) / VALUES);
        uint64_t truth = values[rank - 1];
        if (found < truth || found > truth + truth / 64) {
            fail_msg("rank %d: %llu for %llu; SEED=%llu", rank, (unsigned long long)found,
                     (unsigned long long)truth, (unsigned long long)seed);
        }
    }
    assert_true(histogram_quantile(&halves[0], 1.0) == values[VALUES - 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram_of_nothing_gives_zero),
        cmocka_unit_test(histogram_is_exact_below_128),
        cmocka_unit_test(histogram_keeps_its_bound_around_powers_of_two),
        cmocka_unit_test(histogram_counts_values_beyond_the_range),
        cmocka_unit_test(histogram_quantiles_are_within_a_64th_of_the_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* buyers_test.c - counting buyers' units: limits, bounds, against an array, and by many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/buyers.h"
#include "lib/rng.h"

static struct buyers *make(uint64_t buyers_max)
{
    struct buyers *buyers;
    assert_int_equal(buyers_init(&buyers, buyers_max), HF_OK);
    return buyers;
}

static void buyers_takes_up_to_the_limit(void **state)
{
    (void)state;
    struct buyers *buyers = make(10);
    uint32_t taken = 9;
    assert_int_equal(buyers_units(buyers, 1, 7), 0);
    assert_int_equal(buyers_take(buyers, 1, 7, 3, 3, 2, &taken), HF_LIMIT_EXCEEDED);
    assert_int_equal(taken, 0);
    assert_int_equal(buyers_count(buyers), 0);
    assert_int_equal(buyers_take(buyers, 1, 7, 1, 1, 2, &taken), HF_OK);
    assert_int_equal(taken, 1);
    assert_int_equal(buyers_take(buyers, 1, 7, 2, 2, 2, &taken), HF_LIMIT_EXCEEDED);
    assert_int_equal(taken, 0);
    assert_int_equal(buyers_take(buyers, 1, 7, 0, 2, 2, &taken), HF_OK);
    assert_int_equal(taken, 1);
    assert_int_equal(buyers_take(buyers, 1, 7, 0, 1, 2, &taken), HF_LIMIT_EXCEEDED);
    assert_int_equal(taken, 0);
    assert_int_equal(buyers_units(buyers, 1, 7), 2);
    /* Another SKU, another buyer. */
    assert_int_equal(buyers_take(buyers, 2, 7, 2, 2, 2, &taken), HF_OK);
    assert_int_equal(buyers_take(buyers, 1, 8, 2, 2, 2, &taken), HF_OK);
    assert_int_equal(buyers_count(buyers), 3);
    buyers_deinit(buyers);
}

static void buyers_takes_nothing_when_the_limit_was_lowered(void **state)
{
    (void)state;
    struct buyers *buyers = make(10);
    uint32_t taken;
    assert_int_equal(buyers_take(buyers, 1, 7, 5, 5, 5, &taken), HF_OK);
    assert_int_equal(buyers_take(buyers, 1, 7, 0, 1, 3, &taken), HF_LIMIT_EXCEEDED);
    assert_int_equal(taken, 0);
    buyers_give(buyers, 1, 7, 3);
    assert_int_equal(buyers_take(buyers, 1, 7, 0, 9, 3, &taken), HF_OK);
    assert_int_equal(taken, 1);
    buyers_deinit(buyers);
}

static void buyers_counts_to_the_greatest_number(void **state)
{
    (void)state;
    struct buyers *buyers = make(1);
    uint32_t taken;
    assert_int_equal(buyers_take(buyers, UINT32_MAX, UINT64_MAX, 1, UINT32_MAX, UINT32_MAX, &taken),
                     HF_OK);
    assert_int_equal(taken, UINT32_MAX);
    assert_int_equal(buyers_force(buyers, UINT32_MAX, UINT64_MAX, 1), HF_FULL);
    buyers_give(buyers, UINT32_MAX, UINT64_MAX, 1);
    assert_int_equal(buyers_force(buyers, UINT32_MAX, UINT64_MAX, 1), HF_OK);
    assert_int_equal(buyers_units(buyers, UINT32_MAX, UINT64_MAX), UINT32_MAX);
    buyers_give(buyers, UINT32_MAX, UINT64_MAX, UINT32_MAX);
    assert_int_equal(buyers_count(buyers), 0);
    buyers_deinit(buyers);
}

static void buyers_forces_beyond_the_limit(void **state)
{
    (void)state;
    struct buyers *buyers = make(2);
    uint32_t taken;
    assert_int_equal(buyers_take(buyers, 1, 7, 2, 2, 2, &taken), HF_OK);
    assert_int_equal(buyers_force(buyers, 1, 7, 2), HF_OK);
    assert_int_equal(buyers_units(buyers, 1, 7), 4);
    assert_int_equal(buyers_force(buyers, 2, 7, 6), HF_OK);
    assert_int_equal(buyers_units(buyers, 2, 7), 6);
    assert_int_equal(buyers_force(buyers, 3, 7, 0), HF_OK);
    assert_int_equal(buyers_force(buyers, 3, 7, 1), HF_FULL);
    assert_int_equal(buyers_units(buyers, 3, 7), 0);
    buyers_deinit(buyers);
}

/* Whatever shards the pairs fall into. */
static void is_full_exactly_at(uint64_t max)
{
    struct buyers *buyers = make(max);
    uint32_t taken;
    for (uint64_t i = 1; i <= max; i++) {
        assert_int_equal(buyers_take(buyers, 1, i, 1, 1, 2, &taken), HF_OK);
    }
    assert_int_equal(buyers_count(buyers), max);
    assert_int_equal(buyers_take(buyers, 1, max + 1, 1, 1, 2, &taken), HF_FULL);
    assert_int_equal(taken, 0);
    assert_int_equal(buyers_force(buyers, 1, max + 1, 1), HF_FULL);
    assert_int_equal(buyers_take(buyers, 1, 1, 1, 1, 2, &taken), HF_OK); /* one that is there */
    for (uint64_t i = 1; i <= max; i++) {
        assert_int_equal(buyers_units(buyers, 1, i), i == 1 ? 2 : 1);
    }
    buyers_give(buyers, 1, 1, 1);
    assert_int_equal(buyers_take(buyers, 1, max + 1, 1, 1, 2, &taken), HF_FULL);
    buyers_give(buyers, 1, 1, 1);
    assert_int_equal(buyers_take(buyers, 1, max + 1, 1, 1, 2, &taken), HF_OK);
    assert_int_equal(buyers_take(buyers, 1, max + 2, 1, 1, 2, &taken), HF_FULL);
    buyers_deinit(buyers);
}

static void buyers_is_full_exactly_at_buyers_max(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 63, 64, 65, 1000, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        is_full_exactly_at(sizes[i]);
    }
}

/* ---- Against an array ---- */

enum { SKUS = 3, BUYERS = 1200 };

static uint32_t naive[SKUS + 1][BUYERS + 1];

static void compare_visited(void *context, uint32_t sku, uint64_t buyer, uint32_t units)
{
    uint64_t *count = context;
    assert_in_range(sku, 1, SKUS);
    assert_in_range(buyer, 1, BUYERS);
    assert_int_equal(units, naive[sku][buyer]);
    (*count)++;
}

static uint64_t naive_count(void)
{
    uint64_t count = 0;
    for (uint32_t sku = 1; sku <= SKUS; sku++) {
        for (uint32_t buyer = 1; buyer <= BUYERS; buyer++) {
            count += naive[sku][buyer] > 0;
        }
    }
    return count;
}

static void count_visited(void *context, uint32_t sku, uint64_t buyer, uint32_t units)
{
    uint64_t *count = context;
    assert_int_equal(sku, 3);
    assert_true(buyer != 0 && units != 0);
    ++*count;
}

static void check_take(struct buyers *buyers, struct rng *rng, uint32_t sku, uint64_t buyer,
                       bool full)
{
    uint32_t *units = &naive[sku][buyer];
    uint32_t most = (uint32_t)rng_between(rng, 1, 6);
    uint32_t least = (uint32_t)rng_between(rng, 0, most);
    uint32_t limit = (uint32_t)rng_between(rng, 1, 8);
    uint32_t left = limit > *units ? limit - *units : 0;
    uint32_t expected = left < most ? left : most;
    uint32_t taken;
    enum hf_status status = buyers_take(buyers, sku, buyer, least, most, limit, &taken);
    if (expected < least || expected == 0) {
        assert_int_equal(status, HF_LIMIT_EXCEEDED);
        assert_int_equal(taken, 0);
    } else if (full && *units == 0) {
        assert_int_equal(status, HF_FULL);
        assert_int_equal(taken, 0);
    } else {
        assert_int_equal(status, HF_OK);
        assert_int_equal(taken, expected);
        *units += taken;
    }
}

static void buyers_agrees_with_an_array(void **state)
{
    (void)state;
    uint64_t seed = rng_seed_from_env(5);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    memset(naive, 0, sizeof naive);
    const uint64_t max = SKUS * BUYERS * 2 / 3;
    struct buyers *buyers = make(max);
    for (uint32_t i = 0; i < 300000; i++) {
        uint32_t sku = (uint32_t)rng_between(&rng, 1, SKUS);
        uint64_t buyer = rng_between(&rng, 1, BUYERS);
        uint32_t *units = &naive[sku][buyer];
        assert_int_equal(buyers_units(buyers, sku, buyer), *units);
        /* Phases of filling and of emptying. */
        if (rng_chance(&rng, i / 50000 % 2 ? 4 : 2)) {
            check_take(buyers, &rng, sku, buyer, buyers_count(buyers) == max);
        } else if (*units > 0) {
            uint32_t some = (uint32_t)rng_between(&rng, 1, *units);
            buyers_give(buyers, sku, buyer, some);
            *units -= some;
        }
        if (i % 10000 == 0) {
            uint64_t count = 0;
            buyers_visit(buyers, compare_visited, &count);
            assert_int_equal(count, naive_count());
            assert_int_equal(count, buyers_count(buyers));
            (void)buyers_tidy(buyers);
        }
    }
    buyers_deinit(buyers);
}

static void buyers_tidies_what_it_grew_out_of(void **state)
{
    (void)state;
    struct buyers *buyers = make(300000);
    assert_false(buyers_tidy(buyers));
    uint32_t taken;
    for (uint64_t i = 1; i <= 100000; i++) {
        assert_int_equal(buyers_take(buyers, 9, i, 1, 1, 1, &taken), HF_OK);
    }
    unsigned calls = 0;
    while (buyers_tidy(buyers)) {
        calls++;
    }
    assert_true(calls > 1);
    assert_false(buyers_tidy(buyers));
    for (uint64_t i = 1; i <= 200000; i++) {
        assert_int_equal(buyers_units(buyers, 9, i), i <= 100000);
    }
    buyers_deinit(buyers);
}

/* Shards grow in steps: after each change all pairs are there with their units, and a visit sees
 * each once, whichever index has them. */
static void buyers_keeps_all_pairs_while_it_grows(void **state)
{
    (void)state;
    enum { GROW = 1500 };
    static uint32_t units[GROW + 1];
    uint64_t seed = rng_seed_from_env(6);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    memset(units, 0, sizeof units);
    struct buyers *buyers = make(GROW);
    uint64_t count = 0;
    for (uint32_t i = 0; i < 3 * GROW; i++) {
        uint32_t buyer = (uint32_t)rng_between(&rng, 1, GROW);
        if (units[buyer] == 0) {
            units[buyer] = (uint32_t)rng_between(&rng, 1, 9);
            assert_int_equal(buyers_force(buyers, 3, buyer, units[buyer]), HF_OK);
            count++;
        } else if (rng_chance(&rng, 3)) {
            buyers_give(buyers, 3, buyer, units[buyer]);
            units[buyer] = 0;
            count--;
        } else {
            assert_int_equal(buyers_force(buyers, 3, buyer, 1), HF_OK);
            units[buyer]++;
        }
        for (uint64_t b = 1; b <= GROW; b++) {
            if (buyers_units(buyers, 3, b) != units[b]) {
                fail_msg("buyer %llu after %u changes; SEED=%llu", (unsigned long long)b, i,
                         (unsigned long long)seed);
            }
        }
        uint64_t seen = 0;
        buyers_visit(buyers, count_visited, &seen);
        assert_int_equal(seen, count);
    }
    buyers_deinit(buyers);
}

/* Claims begin in the middle of a growth, too. */
static void buyers_claims_exactly_what_is_counted_after_growing(void **state)
{
    (void)state;
    struct buyers *buyers = make(3000);
    for (uint32_t pairs = 0; pairs < 3000;) {
        for (uint32_t i = 0; i < 12; i++) {
            pairs++;
            assert_int_equal(buyers_force(buyers, 4, pairs, pairs), HF_OK);
        }
        assert_true(buyers_claims_begin(buyers));
        for (uint32_t buyer = 1; buyer <= pairs; buyer++) {
            assert_true(buyers_claim(buyers, 4, buyer, buyer - 1));
        }
        for (uint32_t buyer = 1; buyer <= pairs; buyer++) {
            assert_false(buyers_claim(buyers, 4, buyer, 2));
            assert_true(buyers_claim(buyers, 4, buyer, 1));
        }
        assert_false(buyers_claim(buyers, 4, pairs + 1, 1));
        buyers_claims_end(buyers);
    }
    buyers_deinit(buyers);
}

/* ---- Threads ---- */

enum { THREADS = 16, ATTEMPTS = 1000, PAIRS = 20, LIMIT = 2 };

struct shared {
    struct buyers *buyers;
    _Atomic uint32_t taken[PAIRS + 1];
    _Atomic uint32_t wrong;
    atomic_bool stop;
    bool give;
};

static void *attempt(void *argument)
{
    struct shared *shared = argument;
    for (uint32_t i = 0; i < ATTEMPTS; i++) {
        for (uint64_t buyer = 1; buyer <= PAIRS; buyer++) {
            uint32_t taken;
            enum hf_status status = buyers_take(shared->buyers, 1, buyer, 1, 1, LIMIT, &taken);
            bool right = status == HF_OK ? taken == 1 : status == HF_LIMIT_EXCEEDED && taken == 0;
            shared->wrong += !right;
            shared->taken[buyer] += taken;
            if (taken > 0 && shared->give && i + 1 < ATTEMPTS) {
                shared->taken[buyer]--;
                buyers_give(shared->buyers, 1, buyer, 1);
            }
        }
    }
    return NULL;
}

static void *tidy(void *argument)
{
    struct shared *shared = argument;
    while (!atomic_load(&shared->stop)) {
        (void)buyers_tidy(shared->buyers);
    }
    return NULL;
}

static void run(struct shared *shared, void *(*work)(void *))
{
    pthread_t threads[THREADS];
    pthread_t tidier;
    assert_int_equal(pthread_create(&tidier, NULL, tidy, shared), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, shared), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    atomic_store(&shared->stop, true);
    assert_int_equal(pthread_join(tidier, NULL), 0);
}

static void buyers_takes_exactly_the_limit_when_threads_compete(void **state)
{
    (void)state;
    for (int give = 0; give < 2; give++) {
        struct shared shared = {.buyers = make(1000), .give = give};
        run(&shared, attempt);
        assert_int_equal(shared.wrong, 0);
        for (uint64_t buyer = 1; buyer <= PAIRS; buyer++) {
            assert_int_equal(shared.taken[buyer], LIMIT);
            assert_int_equal(buyers_units(shared.buyers, 1, buyer), LIMIT);
        }
        assert_int_equal(buyers_count(shared.buyers), PAIRS);
        buyers_deinit(shared.buyers);
    }
}

enum { EACH = 4000 };

/* Pairs of its own, while the table grows and fills up. */
static void *fill(void *argument)
{
    struct shared *shared = argument;
    static _Atomic uint32_t next_sku;
    uint32_t sku = ++next_sku;
    uint32_t taken;
    for (uint64_t buyer = 1; buyer <= EACH; buyer++) {
        enum hf_status status = buyers_take(shared->buyers, sku, buyer, 1, 2, 2, &taken);
        shared->wrong += status != HF_OK;
        if (buyer % 2 == 0) {
            buyers_give(shared->buyers, sku, buyer - 1, 2);
        }
    }
    return NULL;
}

static void buyers_keeps_all_pairs_when_threads_fill_it(void **state)
{
    (void)state;
    struct shared shared = {.buyers = make(THREADS * EACH / 2 + THREADS)};
    run(&shared, fill);
    assert_int_equal(shared.wrong, 0);
    assert_int_equal(buyers_count(shared.buyers), THREADS * EACH / 2);
    for (uint32_t sku = 1; sku <= THREADS; sku++) {
        for (uint64_t buyer = 1; buyer <= EACH; buyer++) {
            assert_int_equal(buyers_units(shared.buyers, sku, buyer), buyer % 2 == 0 ? 2 : 0);
        }
    }
    uint32_t taken;
    for (uint64_t buyer = 1; buyer <= THREADS; buyer++) {
        assert_int_equal(buyers_take(shared.buyers, 99, buyer, 1, 1, 1, &taken), HF_OK);
    }
    assert_int_equal(buyers_take(shared.buyers, 99, 99, 1, 1, 1, &taken), HF_FULL);
    buyers_deinit(shared.buyers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buyers_takes_up_to_the_limit),
        cmocka_unit_test(buyers_takes_nothing_when_the_limit_was_lowered),
        cmocka_unit_test(buyers_counts_to_the_greatest_number),
        cmocka_unit_test(buyers_forces_beyond_the_limit),
        cmocka_unit_test(buyers_is_full_exactly_at_buyers_max),
        cmocka_unit_test(buyers_agrees_with_an_array),
        cmocka_unit_test(buyers_tidies_what_it_grew_out_of),
        cmocka_unit_test(buyers_keeps_all_pairs_while_it_grows),
        cmocka_unit_test(buyers_claims_exactly_what_is_counted_after_growing),
        cmocka_unit_test(buyers_takes_exactly_the_limit_when_threads_compete),
        cmocka_unit_test(buyers_keeps_all_pairs_when_threads_fill_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

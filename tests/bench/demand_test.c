/* demand_test.c - the made-up demand: pure, distributed as asked, and its rounds; and the ledger.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>

#include "load/demand.h"
#include "load/ledger.h"

static const struct demand_options usual = {.seed = 7,
                                            .item_count = 10,
                                            .qty_max = 3,
                                            .buyers = 50,
                                            .commit_share = 0.6,
                                            .release_share = 0.1};

static void demand_is_the_same_for_the_same_seed_and_number(void **state)
{
    (void)state;
    struct demand first;
    struct demand second;
    struct demand other;
    struct demand_options changed = usual;
    changed.seed = 8;
    assert_true(demand_init(&first, &usual));
    assert_true(demand_init(&second, &usual));
    assert_true(demand_init(&other, &changed));
    unsigned differing = 0;
    for (uint64_t n = 1; n <= 1000; n++) {
        struct wish a = demand_wish(&first, n);
        struct wish b = demand_wish(&second, n);
        struct wish c = demand_wish(&other, n);
        assert_int_equal(a.index, b.index);
        assert_int_equal(a.qty, b.qty);
        assert_int_equal(a.buyer, b.buyer);
        assert_int_equal(a.then, b.then);
        differing += a.index != c.index || a.qty != c.qty || a.buyer != c.buyer;
    }
    assert_true(differing > 900);
    demand_deinit(&first);
    demand_deinit(&second);
    demand_deinit(&other);
}

/* Within five standard deviations of a binomial count. */
static void assert_share(uint64_t count, uint64_t of, double share)
{
    double expected = (double)of * share;
    double tolerance = 5 * sqrt((double)of * share * (1 - share)) + 1;
    assert_true(fabs((double)count - expected) <= tolerance);
}

static void demand_draws_shares_as_asked(void **state)
{
    (void)state;
    enum { DRAWS = 200000 };
    struct demand demand;
    assert_true(demand_init(&demand, &usual));
    uint64_t items[10] = {0};
    uint64_t qtys[4] = {0};
    uint64_t then[3] = {0};
    for (uint64_t n = 1; n <= DRAWS; n++) {
        struct wish wish = demand_wish(&demand, n);
        assert_in_range(wish.index, 0, 9);
        assert_in_range(wish.qty, 1, 3);
        assert_in_range(wish.buyer, 1, 50);
        items[wish.index]++;
        qtys[wish.qty]++;
        then[wish.then]++;
    }
    for (int i = 0; i < 10; i++) {
        assert_share(items[i], DRAWS, 0.1);
    }
    for (int i = 1; i <= 3; i++) {
        assert_share(qtys[i], DRAWS, 1.0 / 3);
    }
    assert_share(then[THEN_COMMIT], DRAWS, 0.6);
    assert_share(then[THEN_RELEASE], DRAWS, 0.1);
    assert_share(then[THEN_HOLD], DRAWS, 0.3);
    demand_deinit(&demand);
}

static void demand_follows_zipf(void **state)
{
    (void)state;
    enum { DRAWS = 400000, ITEMS = 100 };
    static const double exponents[] = {0.5, 1.0, 1.5};
    for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++) {
        struct demand_options options = usual;
        struct demand demand;
        uint64_t items[ITEMS] = {0};
        double sum = 0;
        options.item_count = ITEMS;
        options.zipf = exponents[e];
        assert_true(demand_init(&demand, &options));
        for (uint64_t n = 1; n <= DRAWS; n++) {
            items[demand_wish(&demand, n).index]++;
        }
        for (int i = 1; i <= ITEMS; i++) {
            sum += pow(i, -exponents[e]);
        }
        for (int i = 1; i <= ITEMS; i++) {
            assert_share(items[i - 1], DRAWS, pow(i, -exponents[e]) / sum);
        }
        demand_deinit(&demand);
    }
}

static void demand_gives_the_hot_item_its_share_and_the_others_the_rest(void **state)
{
    (void)state;
    enum { DRAWS = 400000, ITEMS = 20 };
    static const double hot_shares[] = {0.01, 0.3, 0.95};
    for (size_t h = 0; h < sizeof hot_shares / sizeof *hot_shares; h++) {
        for (int zipf = 0; zipf <= 1; zipf++) {
            struct demand_options options = usual;
            struct demand demand;
            uint64_t items[ITEMS] = {0};
            double sum = 0;
            options.item_count = ITEMS;
            options.zipf = zipf;
            options.hot_share = hot_shares[h];
            assert_true(demand_init(&demand, &options));
            for (uint64_t n = 1; n <= DRAWS; n++) {
                items[demand_wish(&demand, n).index]++;
            }
            for (int i = 1; i < ITEMS; i++) {
                sum += pow(i, -zipf);
            }
            assert_share(items[0], DRAWS, hot_shares[h]);
            for (int i = 1; i < ITEMS; i++) {
                assert_share(items[i], DRAWS, (1 - hot_shares[h]) * pow(i, -zipf) / sum);
            }
            demand_deinit(&demand);
        }
    }
}

static void demand_that_is_all_hot_wants_nothing_else(void **state)
{
    (void)state;
    struct demand_options options = usual;
    struct demand demand;
    options.hot_share = 1;
    assert_true(demand_init(&demand, &options));
    for (uint64_t n = 1; n <= 10000; n++) {
        assert_int_equal(demand_wish(&demand, n).index, 0);
    }
    demand_deinit(&demand);
}

static void demand_of_one_item_always_wants_it(void **state)
{
    (void)state;
    struct demand_options options = usual;
    options.item_count = 1;
    for (int zipf = 0; zipf < 2; zipf++) {
        struct demand demand;
        options.zipf = zipf;
        options.hot_share = zipf * 0.5;
        assert_true(demand_init(&demand, &options));
        for (uint64_t n = 1; n <= 1000; n++) {
            assert_int_equal(demand_wish(&demand, n).index, 0);
        }
        demand_deinit(&demand);
    }
}

static void demand_rounds_ask_each_item_in_turn_and_give_back_only_as_probes(void **state)
{
    (void)state;
    struct demand demand;
    const uint32_t swept[] = {3, 5};
    const uint32_t probed[] = {9};
    assert_true(demand_init(&demand, &usual));
    assert_true(demand_add_round(&demand, ROUND_SWEEP, 1001, swept, 2, 50));
    assert_true(demand_add_round(&demand, ROUND_PROBE, 1101, probed, 1, 1));
    assert_null(demand_round_of(&demand, 1000));
    assert_non_null(demand_round_of(&demand, 1001));
    assert_non_null(demand_round_of(&demand, 1100));
    assert_int_equal(demand_round_of(&demand, 1101)->kind, ROUND_PROBE);
    assert_null(demand_round_of(&demand, 1102));
    for (uint64_t n = 1001; n <= 1100; n++) {
        struct wish wish = demand_wish(&demand, n);
        assert_int_equal(wish.index, n % 2 ? 3 : 5);
        assert_int_equal(wish.qty, 1);
        assert_true(wish.buyer != 0);
        assert_int_not_equal(wish.then, THEN_RELEASE);
    }
    assert_int_equal(demand_wish(&demand, 1101).index, 9);
    assert_int_equal(demand_wish(&demand, 1101).then, THEN_RELEASE);
    demand_deinit(&demand);
}

static void ledger_keeps_fates_on_both_sides_of_a_page(void **state)
{
    (void)state;
    struct ledger ledger;
    uint64_t edge = LEDGER_PAGE_ORDERS;
    assert_true(ledger_init(&ledger));
    assert_true(ledger_reserve(&ledger, edge - 2, 4));
    for (uint64_t n = edge - 2; n < edge + 2; n++) {
        assert_int_equal(ledger_get(&ledger, n), FATE_NONE);
    }
    ledger_set(&ledger, edge - 1, FATE_HELD);
    ledger_set(&ledger, edge, FATE_SOLD_OUT);
    assert_int_equal(ledger_get(&ledger, edge - 1), FATE_HELD);
    assert_int_equal(ledger_get(&ledger, edge), FATE_SOLD_OUT);
    assert_int_equal(ledger_get(&ledger, edge + 1), FATE_NONE);
    assert_false(ledger_reserve(&ledger, LEDGER_PAGES_MAX * LEDGER_PAGE_ORDERS - 1, 2));
    ledger_deinit(&ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demand_is_the_same_for_the_same_seed_and_number),
        cmocka_unit_test(demand_draws_shares_as_asked),
        cmocka_unit_test(demand_follows_zipf),
        cmocka_unit_test(demand_gives_the_hot_item_its_share_and_the_others_the_rest),
        cmocka_unit_test(demand_that_is_all_hot_wants_nothing_else),
        cmocka_unit_test(demand_of_one_item_always_wants_it),
        cmocka_unit_test(demand_rounds_ask_each_item_in_turn_and_give_back_only_as_probes),
        cmocka_unit_test(ledger_keeps_fates_on_both_sides_of_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* stock_test.c - what stock.h promises to a single thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/limits.h"
#include "core/stock.h"
#include "lib/rng.h"

#define ITEM 3u

static int setup(void **state)
{
    struct stock *stock;
    if (stock_init(&stock, 10) != HF_OK) {
        return -1;
    }
    *state = stock;
    return 0;
}

static int teardown(void **state)
{
    stock_deinit(*state);
    return 0;
}

static struct stock_view read_item(struct stock *stock, uint32_t item)
{
    struct stock_view view;
    stock_read(stock, item, &view);
    return view;
}

static void assert_numbers(struct stock *stock, int64_t stocked, int64_t held, int64_t sold,
                           int64_t available)
{
    struct stock_view view = read_item(stock, ITEM);
    assert_int_equal(view.stocked, stocked);
    assert_int_equal(view.held, held);
    assert_int_equal(view.sold, sold);
    assert_int_equal(view.available, available);
}

/* Units of the item in every shard: each slot takes and gives back what is to lie in its own. */
static void spread(struct stock *stock, int64_t units_each)
{
    int64_t all = units_each * STOCK_SHARDS;
    stock_restock(stock, 0, ITEM, all);
    assert_int_equal(stock_take(stock, 0, ITEM, all), HF_OK);
    for (unsigned slot = 0; slot < STOCK_SHARDS; slot++) {
        stock_give(stock, slot, ITEM, units_each);
    }
}

static void stock_defined_item_has_no_units(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 0, 0, false);
    assert_numbers(stock, 0, 0, 0, 0);
    assert_false(stock_is_split(stock, ITEM));
    assert_int_equal(stock_take(stock, 0, ITEM, 1), HF_SOLD_OUT);
}

static void stock_take_fills_up_to_what_is_free(void **state)
{
    struct stock *stock = *state;
    for (int hot = 0; hot <= 1; hot++) {
        uint32_t item = 1 + (uint32_t)hot;
        stock_define(stock, item, 0, 0, hot);
        stock_restock(stock, 0, item, 10);
        assert_int_equal(stock_take(stock, 0, item, 11), HF_SOLD_OUT);
        assert_int_equal(stock_take(stock, 0, item, 10), HF_OK);
        assert_int_equal(stock_take(stock, 0, item, 1), HF_SOLD_OUT);
        stock_give(stock, 1, item, 1);
        assert_int_equal(stock_take(stock, 2, item, 2), HF_SOLD_OUT);
        assert_int_equal(stock_take(stock, 2, item, 1), HF_OK);
    }
}

static void stock_take_refuses_the_greatest_quantity(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 0, 0, true);
    stock_restock(stock, 0, ITEM, STOCK_MAX);
    assert_int_equal(stock_take(stock, 0, ITEM, INT64_MAX / 2), HF_SOLD_OUT);
    assert_int_equal(stock_take(stock, 0, ITEM, STOCK_MAX), HF_OK);
    assert_numbers(stock, STOCK_MAX, STOCK_MAX, 0, 0);
}

static void stock_counts_held_and_sold(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 0, 0, false);
    stock_restock(stock, 0, ITEM, 100);
    assert_int_equal(stock_take(stock, 0, ITEM, 30), HF_OK);
    assert_numbers(stock, 100, 30, 0, 70);
    stock_sell(stock, 0, ITEM, 20);
    assert_numbers(stock, 100, 10, 20, 70);
    stock_give(stock, 0, ITEM, 10);
    assert_numbers(stock, 100, 0, 20, 80);
    stock_sell(stock, 5, ITEM, -5); /* a return, by another thread */
    stock_give(stock, 5, ITEM, 5);
    assert_numbers(stock, 100, 0, 15, 85);
}

static void stock_keeps_its_numbers_when_split(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 3, 5, false);
    stock_restock(stock, 0, ITEM, 100);
    assert_int_equal(stock_take(stock, 0, ITEM, 30), HF_OK);
    stock_sell(stock, 0, ITEM, 20);
    stock_define(stock, ITEM, 3, 5, true);
    assert_true(stock_is_split(stock, ITEM));
    assert_numbers(stock, 100, 10, 20, 72);
    stock_sell(stock, 1, ITEM, 4);
    stock_give(stock, 2, ITEM, 6);
    assert_numbers(stock, 100, 0, 24, 78);
    stock_sell(stock, 3, ITEM, -24);
    stock_give(stock, 3, ITEM, 24);
    assert_numbers(stock, 100, 0, 0, 102);
    stock_define(stock, ITEM, 3, 5, false);
    assert_true(stock_is_split(stock, ITEM)); /* never undone */
}

static void stock_take_gathers_units_from_all_shards(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 0, 0, true);
    spread(stock, 5);
    assert_int_equal(stock_take(stock, 3, ITEM, 5 * STOCK_SHARDS + 1), HF_SOLD_OUT);
    assert_numbers(stock, 40, 0, 0, 40);
    assert_int_equal(stock_take(stock, 3, ITEM, 5 * STOCK_SHARDS), HF_OK);
    assert_numbers(stock, 40, 40, 0, 0);
    assert_int_equal(stock_take(stock, 3, ITEM, 1), HF_SOLD_OUT);
}

static void stock_take_by_ones_sells_every_unit_from_one_slot(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 0, 0, true);
    spread(stock, 7);
    for (unsigned i = 0; i < 7 * STOCK_SHARDS; i++) {
        assert_int_equal(stock_take(stock, 9, ITEM, 1), HF_OK);
    }
    assert_int_equal(stock_take(stock, 9, ITEM, 1), HF_SOLD_OUT);
}

static void stock_define_moves_what_is_free_by_the_difference(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 10, 0, false);
    assert_numbers(stock, 0, 0, 0, -10);
    stock_restock(stock, 0, ITEM, 100);
    assert_numbers(stock, 100, 0, 0, 90);
    stock_define(stock, ITEM, 10, 20, false);
    assert_numbers(stock, 100, 0, 0, 110);
    stock_define(stock, ITEM, 40, 20, false);
    assert_numbers(stock, 100, 0, 0, 80);
    assert_int_equal(stock_take(stock, 0, ITEM, 81), HF_SOLD_OUT);
    assert_int_equal(stock_take(stock, 0, ITEM, 80), HF_OK);
    struct stock_view view = read_item(stock, ITEM);
    assert_int_equal(view.safety, 40);
    assert_int_equal(view.presale_cap, 20);
}

/* A raised safety below what is left: nothing sells until as much was given back. */
static void stock_below_zero_sells_nothing_until_it_is_filled(void **state)
{
    struct stock *stock = *state;
    for (int hot = 0; hot <= 1; hot++) {
        uint32_t item = 1 + (uint32_t)hot;
        stock_define(stock, item, 0, 0, hot);
        stock_restock(stock, 0, item, 20);
        assert_int_equal(stock_take(stock, 0, item, 16), HF_OK);
        stock_define(stock, item, 10, 0, false); /* free: 4 - 10 */
        assert_int_equal(read_item(stock, item).available, -6);
        assert_int_equal(read_item(stock, item).held, 16);
        for (unsigned slot = 0; slot < 6; slot++) {
            stock_give(stock, slot, item, 1);
            assert_int_equal(stock_take(stock, slot, item, 1), HF_SOLD_OUT);
        }
        stock_give(stock, 6, item, 1);
        assert_int_equal(read_item(stock, item).available, 1);
        assert_int_equal(stock_take(stock, 1, item, 2), HF_SOLD_OUT);
        assert_int_equal(stock_take(stock, 1, item, 1), HF_OK);
    }
}

static void stock_give_across_zero_makes_the_rest_free(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 0, 0, true);
    spread(stock, 5);
    assert_int_equal(stock_take(stock, 0, ITEM, 30), HF_OK);
    stock_define(stock, ITEM, 15, 0, true); /* 10 - 15 */
    assert_numbers(stock, 40, 30, 0, -5);
    stock_give(stock, 4, ITEM, 12);
    assert_numbers(stock, 40, 18, 0, 7);
    assert_int_equal(stock_take(stock, 2, ITEM, 8), HF_SOLD_OUT);
    assert_int_equal(stock_take(stock, 2, ITEM, 7), HF_OK);
}

static void stock_debit_stops_at_its_floor(void **state)
{
    struct stock *stock = *state;
    for (int hot = 0; hot <= 1; hot++) {
        uint32_t item = 1 + (uint32_t)hot;
        stock_define(stock, item, 0, 0, hot);
        stock_restock(stock, 0, item, 10);
        assert_int_equal(stock_debit(stock, 0, item, 11, 0), HF_WOULD_OVERSELL);
        assert_int_equal(read_item(stock, item).available, 10);
        assert_int_equal(stock_debit(stock, 0, item, 10, 0), HF_OK);
        assert_int_equal(read_item(stock, item).available, 0);
        assert_int_equal(stock_debit(stock, 0, item, 4, -3), HF_WOULD_OVERSELL);
        assert_int_equal(stock_debit(stock, 0, item, 3, -3), HF_OK);
        assert_int_equal(read_item(stock, item).available, -3);
        assert_int_equal(stock_debit(stock, 0, item, 1, 0), HF_WOULD_OVERSELL);
        assert_int_equal(stock_debit(stock, 0, item, 100, INT64_MIN), HF_OK);
        assert_int_equal(read_item(stock, item).available, -103);
        assert_int_equal(read_item(stock, item).stocked, 10);
        stock_restock(stock, 0, item, -113);
        assert_int_equal(read_item(stock, item).stocked, -103);
        assert_int_equal(read_item(stock, item).available, -103);
        assert_int_equal(read_item(stock, item).held, 0);
    }
}

static void stock_debit_gathers_from_all_shards(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 0, 0, true);
    spread(stock, 5);
    assert_int_equal(stock_debit(stock, 0, ITEM, 41, 0), HF_WOULD_OVERSELL);
    assert_numbers(stock, 40, 0, 0, 40);
    assert_int_equal(stock_debit(stock, 0, ITEM, 39, 0), HF_OK);
    assert_numbers(stock, 40, 39, 0, 1); /* until the record has its LSN */
    stock_restock(stock, 0, ITEM, -39);
    assert_numbers(stock, 1, 0, 0, 1);
    assert_int_equal(stock_take(stock, 7, ITEM, 1), HF_OK);
}

static void stock_forced_debit_leaves_nothing_to_sell_in_any_shard(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 0, 0, true);
    spread(stock, 5);
    assert_int_equal(stock_debit(stock, 0, ITEM, 41, INT64_MIN), HF_OK);
    for (unsigned slot = 0; slot < STOCK_SHARDS; slot++) {
        assert_int_equal(stock_take(stock, slot, ITEM, 1), HF_SOLD_OUT);
    }
    stock_restock(stock, 0, ITEM, 2);
    assert_int_equal(stock_take(stock, 0, ITEM, 2), HF_SOLD_OUT);
    assert_int_equal(stock_take(stock, 0, ITEM, 1), HF_OK);
}

static void stock_items_do_not_touch_each_other(void **state)
{
    struct stock *stock = *state;
    for (uint32_t item = 1; item <= 10; item++) {
        stock_define(stock, item, 0, 0, item % 2 == 0);
        stock_restock(stock, 0, item, item);
    }
    for (uint32_t item = 1; item <= 10; item++) {
        assert_int_equal(stock_take(stock, item, item, item), HF_OK);
        assert_int_equal(stock_take(stock, item, item, 1), HF_SOLD_OUT);
        stock_prefetch(stock, 0, item);
    }
}

static void stock_holds_the_greatest_number_of_items(void **state)
{
    (void)state;
    struct stock *stock;
    assert_int_equal(stock_init(&stock, ITEMS_MAX), HF_OK);
    stock_define(stock, ITEMS_MAX, 0, 7, true);
    assert_int_equal(stock_take(stock, THREADS_MAX - 1, ITEMS_MAX, 8), HF_SOLD_OUT);
    assert_int_equal(stock_take(stock, THREADS_MAX - 1, ITEMS_MAX, 7), HF_OK);
    stock_deinit(stock);
}

/* An item as the document has it: five numbers and one subtraction. */
struct expected {
    int64_t stocked, held, sold, safety, presale_cap;
    int64_t debited; /* not yet in stocked */
};

static int64_t expected_free(const struct expected *e)
{
    return e->stocked - e->safety + e->presale_cap - e->held - e->sold - e->debited;
}

static void expected_step(struct stock *stock, struct expected *e, struct rng *rng)
{
    unsigned slot = (unsigned)rng_below(rng, THREADS_MAX);
    int64_t qty = (int64_t)rng_between(rng, 1, 12);
    int64_t left = expected_free(e);
    switch (rng_below(rng, 8)) {
    case 0:
    case 1:
    case 2:
        assert_int_equal(stock_take(stock, slot, ITEM, qty), left >= qty ? HF_OK : HF_SOLD_OUT);
        e->held += left >= qty ? qty : 0;
        break;
    case 3:
        qty = qty < e->held ? qty : e->held;
        if (qty > 0) {
            stock_give(stock, slot, ITEM, qty);
            e->held -= qty;
        }
        break;
    case 4:
        qty = qty < e->held ? qty : e->held;
        stock_sell(stock, slot, ITEM, qty);
        e->held -= qty;
        e->sold += qty;
        break;
    case 5:
        qty = qty < e->sold ? qty : e->sold;
        if (qty > 0) {
            stock_sell(stock, slot, ITEM, -qty);
            stock_give(stock, slot, ITEM, qty);
            e->sold -= qty;
        }
        break;
    case 6: {
        int64_t floor = rng_chance(rng, 4) ? INT64_MIN : -(int64_t)rng_below(rng, 10);
        bool fits = floor == INT64_MIN || left - qty >= floor;
        assert_int_equal(stock_debit(stock, slot, ITEM, qty, floor),
                         fits ? HF_OK : HF_WOULD_OVERSELL);
        if (fits) {
            stock_restock(stock, slot, ITEM, -qty);
            e->stocked -= qty;
        } else {
            stock_restock(stock, slot, ITEM, qty);
            e->stocked += qty;
        }
        break;
    }
    default:
        e->safety = (int64_t)rng_below(rng, 20);
        e->presale_cap = (int64_t)rng_below(rng, 20);
        stock_define(stock, ITEM, e->safety, e->presale_cap, rng_chance(rng, 50));
    }
}

static void stock_follows_the_formula_under_random_operations(void **state)
{
    struct stock *stock = *state;
    uint64_t seed = rng_seed_from_env(0x5eed);
    struct rng rng;
    rng_init(&rng, seed);
    print_message("SEED=%llu\n", (unsigned long long)seed);

    struct expected e = {0};
    stock_define(stock, ITEM, 0, 0, false);
    for (unsigned i = 0; i < 100000; i++) {
        expected_step(stock, &e, &rng);
        assert_numbers(stock, e.stocked, e.held, e.sold, expected_free(&e));
    }
    assert_true(stock_is_split(stock, ITEM));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stock_defined_item_has_no_units),
        TEST(stock_take_fills_up_to_what_is_free),
        TEST(stock_take_refuses_the_greatest_quantity),
        TEST(stock_counts_held_and_sold),
        TEST(stock_keeps_its_numbers_when_split),
        TEST(stock_take_gathers_units_from_all_shards),
        TEST(stock_take_by_ones_sells_every_unit_from_one_slot),
        TEST(stock_define_moves_what_is_free_by_the_difference),
        TEST(stock_below_zero_sells_nothing_until_it_is_filled),
        TEST(stock_give_across_zero_makes_the_rest_free),
        TEST(stock_debit_stops_at_its_floor),
        TEST(stock_debit_gathers_from_all_shards),
        TEST(stock_forced_debit_leaves_nothing_to_sell_in_any_shard),
        TEST(stock_items_do_not_touch_each_other),
        cmocka_unit_test(stock_holds_the_greatest_number_of_items),
        TEST(stock_follows_the_formula_under_random_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

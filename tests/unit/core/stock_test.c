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

#define ITEM  3u
#define ITEMS (1u + LINE_FALLBACKS_MAX)

static int setup(void **state)
{
    struct stock *stock;
    if (stock_init(&stock, ITEMS) != HF_OK) {
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

/* ---- Several items ---- */

static void restock_items(struct stock *stock, uint32_t count, int64_t units)
{
    for (uint32_t item = 1; item <= count; item++) {
        stock_define(stock, item, 0, 0, false);
        stock_restock(stock, 0, item, units);
    }
}

static int64_t available_of(struct stock *stock, uint32_t item)
{
    return read_item(stock, item).available;
}

static void assert_parts(const struct stock_part *parts, int64_t first, int64_t second,
                         int64_t third)
{
    assert_int_equal(parts[0].taken, first);
    assert_int_equal(parts[1].taken, second);
    assert_int_equal(parts[2].taken, third);
}

static void stock_take_any_fills_items_in_their_order(void **state)
{
    struct stock *stock = *state;
    restock_items(stock, 3, 10);
    struct stock_part parts[3] = {{.item = 3}, {.item = 1}, {.item = 2}};
    assert_int_equal(stock_take_any(stock, 0, parts, 3, 10, 10), HF_OK);
    assert_parts(parts, 10, 0, 0);
    assert_int_equal(stock_take_any(stock, 5, parts, 3, 11, 11), HF_OK);
    assert_parts(parts, 0, 10, 1);
    assert_int_equal(stock_take_any(stock, 9, parts, 3, 9, 9), HF_OK);
    assert_parts(parts, 0, 0, 9);
    assert_int_equal(stock_take_any(stock, 9, parts, 3, 1, 1), HF_SOLD_OUT);
    assert_parts(parts, 0, 0, 0);
    assert_int_equal(read_item(stock, 2).held, 10);
}

static void stock_take_any_takes_between_its_bounds(void **state)
{
    struct stock *stock = *state;
    for (uint32_t count = 1; count <= 3; count += 2) {
        struct stock_part parts[3] = {{.item = 1}, {.item = 2}, {.item = 3}};
        restock_items(stock, count, 4);
        int64_t all = 4 * (int64_t)count;
        assert_int_equal(stock_take_any(stock, 0, parts, count, all + 1, all + 1), HF_SOLD_OUT);
        assert_int_equal(stock_take_any(stock, 0, parts, count, all + 1, all + 9), HF_SOLD_OUT);
        assert_int_equal(available_of(stock, 1), 4);
        assert_int_equal(stock_take_any(stock, 0, parts, count, all, all + 1), HF_OK);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(parts[i].taken, 4);
            stock_give(stock, i, parts[i].item, 4);
        }
        assert_int_equal(stock_take_any(stock, 0, parts, count, 1, all - 1), HF_OK);
        assert_int_equal(parts[count - 1].taken, 3);
        assert_int_equal(stock_take_any(stock, 0, parts, count, 0, 5), HF_OK);
        assert_int_equal(parts[count - 1].taken, 1);
        assert_int_equal(stock_take_any(stock, 0, parts, count, 0, 5), HF_OK);
        assert_int_equal(parts[count - 1].taken, 0);
        assert_int_equal(stock_take_any(stock, 0, parts, count, 1, 5), HF_SOLD_OUT);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(available_of(stock, parts[i].item), 0);
        }
        teardown(state);
        assert_int_equal(setup(state), 0);
        stock = *state;
    }
}

static void stock_take_any_splits_several_items_but_not_one(void **state)
{
    struct stock *stock = *state;
    restock_items(stock, 3, 10);
    struct stock_part parts[2] = {{.item = 1}, {.item = 2}};
    assert_int_equal(stock_take_any(stock, 0, parts, 1, 1, 1), HF_OK);
    assert_int_equal(stock_take_any(stock, 0, parts, 1, 10, 10), HF_SOLD_OUT);
    assert_false(stock_is_split(stock, 1));
    assert_int_equal(stock_take_any(stock, 0, parts, 2, 1, 1), HF_OK);
    assert_true(stock_is_split(stock, 1));
    assert_true(stock_is_split(stock, 2));
    assert_false(stock_is_split(stock, 3));
    assert_int_equal(available_of(stock, 1), 8);
}

/* Wherever the units lie: in the shards of some items and the base of others. */
static void stock_take_any_does_not_mind_how_units_are_spread(void **state)
{
    struct stock *stock = *state;
    struct stock_part parts[3] = {{.item = ITEM}, {.item = 2}, {.item = 1}};
    restock_items(stock, 2, 3);
    stock_define(stock, ITEM, 0, 0, true);
    spread(stock, 2);
    int64_t all = 2 * STOCK_SHARDS + 6;
    assert_int_equal(stock_take_any(stock, 4, parts, 3, all + 1, all + 1), HF_SOLD_OUT);
    assert_numbers(stock, 2 * STOCK_SHARDS, 0, 0, 2 * STOCK_SHARDS);
    assert_int_equal(stock_take_any(stock, 4, parts, 3, all, all), HF_OK);
    assert_parts(parts, 2 * STOCK_SHARDS, 3, 3);
}

static void stock_take_any_passes_over_items_below_zero(void **state)
{
    struct stock *stock = *state;
    restock_items(stock, 3, 5);
    assert_int_equal(stock_debit(stock, 0, 2, 25, INT64_MIN), HF_OK);
    struct stock_part parts[3] = {{.item = 2}, {.item = 1}, {.item = 3}};
    assert_int_equal(stock_take_any(stock, 0, parts, 1, 1, 1), HF_SOLD_OUT);
    assert_int_equal(stock_take_any(stock, 0, parts, 1, 0, 1), HF_OK);
    assert_int_equal(parts[0].taken, 0);
    assert_int_equal(stock_take_any(stock, 0, parts, 3, 11, 11), HF_SOLD_OUT);
    assert_int_equal(available_of(stock, 2), -20);
    assert_int_equal(stock_take_any(stock, 0, parts, 3, 10, 10), HF_OK);
    assert_parts(parts, 0, 5, 5);
    stock_give(stock, 3, 2, 21);
    assert_int_equal(stock_take_any(stock, 0, parts, 3, 2, 2), HF_SOLD_OUT);
    assert_int_equal(stock_take_any(stock, 0, parts, 3, 1, 1), HF_OK);
    assert_parts(parts, 1, 0, 0);
}

static void stock_take_any_holds_the_greatest_numbers(void **state)
{
    struct stock *stock = *state;
    struct stock_part parts[ITEMS];
    for (uint32_t i = 0; i < ITEMS; i++) {
        parts[i].item = ITEMS - i;
        stock_define(stock, ITEMS - i, 0, STOCK_MAX, false);
        stock_restock(stock, 0, ITEMS - i, STOCK_MAX);
    }
    int64_t all = 2 * STOCK_MAX * ITEMS;
    assert_int_equal(stock_take_any(stock, 0, parts, 1, INT64_MAX, INT64_MAX), HF_SOLD_OUT);
    assert_int_equal(stock_take_any(stock, 0, parts, ITEMS, INT64_MAX, INT64_MAX), HF_SOLD_OUT);
    assert_int_equal(stock_take_any(stock, 0, parts, ITEMS, all + 1, INT64_MAX), HF_SOLD_OUT);
    assert_int_equal(stock_take_any(stock, 0, parts, ITEMS, all, INT64_MAX), HF_OK);
    for (uint32_t i = 0; i < ITEMS; i++) {
        assert_int_equal(parts[i].taken, 2 * STOCK_MAX);
        assert_int_equal(parts[i].presale, STOCK_MAX);
        assert_int_equal(available_of(stock, parts[i].item), 0);
    }
    assert_int_equal(stock_take_any(stock, 0, parts, ITEMS, 0, INT64_MAX), HF_OK);
    assert_int_equal(parts[ITEMS - 1].taken, 0);
    int64_t presale;
    stock_give(stock, 0, 1, 2 * STOCK_MAX);
    assert_int_equal(stock_take_presale(stock, 0, 1, INT64_MAX, &presale), HF_SOLD_OUT);
    assert_int_equal(stock_take_presale(stock, 0, 1, 2 * STOCK_MAX, &presale), HF_OK);
    assert_int_equal(presale, STOCK_MAX);
}

/* ---- Beyond what is in stock ---- */

static void assert_presale(struct stock *stock, uint32_t item, int64_t qty, int64_t expected)
{
    int64_t presale = -1;
    assert_int_equal(stock_take_presale(stock, 2, item, qty, &presale), HF_OK);
    assert_int_equal(presale, expected);
}

static void stock_take_presale_tells_what_is_beyond_stock(void **state)
{
    struct stock *stock = *state;
    for (int hot = 0; hot <= 1; hot++) {
        uint32_t item = 1 + (uint32_t)hot;
        int64_t presale = -1;
        stock_define(stock, item, 3, 5, hot); /* 7 may be sold from stock, 5 beyond */
        stock_restock(stock, 0, item, 10);
        assert_int_equal(stock_take_presale(stock, 2, item, 13, &presale), HF_SOLD_OUT);
        assert_int_equal(presale, 0);
        assert_presale(stock, item, 6, 0);
        assert_presale(stock, item, 1, 0);
        assert_presale(stock, item, 1, 1);
        stock_give(stock, 6, item, 3); /* 2 in stock */
        assert_presale(stock, item, 2, 0);
        stock_give(stock, 6, item, 2);
        assert_presale(stock, item, 3, 1);
        assert_presale(stock, item, 4, 4);
        assert_int_equal(stock_take_presale(stock, 2, item, 1, &presale), HF_SOLD_OUT);
        stock_restock(stock, 0, item, 6); /* 5 of them cover what was sold beyond */
        assert_presale(stock, item, 3, 2);
        assert_int_equal(available_of(stock, item), 3);
        assert_int_equal(stock_is_split(stock, item), hot);
    }
}

static void stock_take_presale_tells_nothing_without_a_cap(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 0, 0, true);
    stock_restock(stock, 0, ITEM, 4);
    assert_presale(stock, ITEM, 3, 0);
    stock_define(stock, ITEM, 0, 1, true);
    assert_presale(stock, ITEM, 2, 1);
}

static void stock_take_any_tells_what_is_beyond_each_items_stock(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, 1, 0, 4, false);
    stock_restock(stock, 0, 1, 2);
    stock_define(stock, 2, 0, 0, false);
    stock_restock(stock, 0, 2, 3);
    stock_define(stock, 3, 0, 5, false);
    struct stock_part parts[3] = {{.item = 1}, {.item = 2}, {.item = 3}};
    assert_int_equal(stock_take_any(stock, 0, parts, 3, 3, 3), HF_OK);
    assert_parts(parts, 3, 0, 0);
    assert_int_equal(parts[0].presale, 1);
    assert_int_equal(stock_take_any(stock, 0, parts, 3, 8, 8), HF_OK);
    assert_parts(parts, 3, 3, 2);
    assert_int_equal(parts[0].presale, 3);
    assert_int_equal(parts[1].presale, 0);
    assert_int_equal(parts[2].presale, 2);
    assert_int_equal(stock_take_any(stock, 0, parts, 3, 4, 4), HF_SOLD_OUT);
    assert_int_equal(parts[0].presale + parts[1].presale + parts[2].presale, 0);
}

static void stock_settle_counts_units_of_forgotten_orders(void **state)
{
    struct stock *stock = *state;
    stock_define(stock, ITEM, 0, 0, false);
    assert_int_equal(read_item(stock, ITEM).settled, 0);
    stock_restock(stock, 0, ITEM, STOCK_MAX);
    assert_int_equal(stock_take(stock, 0, ITEM, STOCK_MAX), HF_OK);
    stock_sell(stock, 0, ITEM, STOCK_MAX);
    stock_settle(stock, ITEM, 5);
    stock_define(stock, ITEM, 0, 0, true);
    stock_settle(stock, ITEM, STOCK_MAX - 5);
    assert_int_equal(read_item(stock, ITEM).settled, STOCK_MAX);
    stock_settle(stock, ITEM, -STOCK_MAX);
    assert_int_equal(read_item(stock, ITEM).settled, 0);
    assert_numbers(stock, STOCK_MAX, 0, STOCK_MAX, 0);
}

/* Three items as five numbers each, and a line that fills itself from one after another. */
#define RANDOM_ITEMS 3u

struct expected_item {
    int64_t stocked, held, safety, presale_cap;
};

static int64_t expected_left(const struct expected_item *e)
{
    int64_t left = e->stocked - e->safety + e->presale_cap - e->held;
    return left > 0 ? left : 0;
}

static void expect_part(struct expected_item *e, const struct stock_part *part, int64_t *wanted)
{
    int64_t in_stock = e->stocked - e->safety - e->held;
    int64_t taken = expected_left(e) < *wanted ? expected_left(e) : *wanted;
    in_stock = in_stock > 0 ? in_stock : 0;
    assert_int_equal(part->taken, taken);
    assert_int_equal(part->presale, taken > in_stock ? taken - in_stock : 0);
    e->held += taken;
    *wanted -= taken;
}

static void expect_take_any(struct stock *stock, struct expected_item *items, struct rng *rng)
{
    struct stock_part parts[RANDOM_ITEMS];
    uint32_t count = (uint32_t)rng_between(rng, 1, RANDOM_ITEMS);
    uint32_t first = (uint32_t)rng_below(rng, RANDOM_ITEMS);
    uint32_t stride = (uint32_t)rng_between(rng, 1, 2);
    int64_t left = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (first + i * stride) % RANDOM_ITEMS;
        parts[i] = (struct stock_part){.item = at + 1, .taken = -1, .presale = -1};
        left += expected_left(&items[at]);
    }
    int64_t most = (int64_t)rng_between(rng, 1, 40);
    int64_t least = (int64_t)rng_below(rng, (uint64_t)most + 1);
    enum hf_status status =
        stock_take_any(stock, (unsigned)rng_below(rng, THREADS_MAX), parts, count, least, most);
    assert_int_equal(status, left >= least ? HF_OK : HF_SOLD_OUT);
    for (uint32_t i = 0; i < count; i++) {
        if (status == HF_OK) {
            expect_part(&items[parts[i].item - 1], &parts[i], &most);
        } else {
            assert_int_equal(parts[i].taken, 0);
            assert_int_equal(parts[i].presale, 0);
        }
    }
}

static void random_items_step(struct stock *stock, struct expected_item *items, struct rng *rng)
{
    uint32_t at = (uint32_t)rng_below(rng, RANDOM_ITEMS);
    struct expected_item *e = &items[at];
    unsigned slot = (unsigned)rng_below(rng, THREADS_MAX);
    int64_t qty = (int64_t)rng_between(rng, 1, 25);
    switch (rng_below(rng, 6)) {
    case 0:
    case 1:
        expect_take_any(stock, items, rng);
        break;
    case 2:
    case 3:
        qty = qty < e->held ? qty : e->held;
        if (qty > 0) {
            stock_give(stock, slot, at + 1, qty);
            e->held -= qty;
        }
        break;
    case 4: {
        int64_t floor = rng_chance(rng, 3) ? INT64_MIN : 0;
        if (e->stocked > 60 && stock_debit(stock, slot, at + 1, qty, floor) == HF_OK) {
            stock_restock(stock, slot, at + 1, -qty);
            e->stocked -= qty;
        } else {
            stock_restock(stock, slot, at + 1, qty);
            e->stocked += qty;
        }
        break;
    }
    default:
        if (rng_chance(rng, 4)) {
            e->safety = (int64_t)rng_below(rng, 10);
            e->presale_cap = rng_chance(rng, 2) ? 0 : (int64_t)rng_below(rng, 20);
            stock_define(stock, at + 1, e->safety, e->presale_cap, false);
        }
    }
}

static void stock_take_any_follows_the_formula_under_random_operations(void **state)
{
    struct stock *stock = *state;
    uint64_t seed = rng_seed_from_env(0xa11);
    struct rng rng;
    rng_init(&rng, seed);
    print_message("SEED=%llu\n", (unsigned long long)seed);

    struct expected_item items[RANDOM_ITEMS] = {{0}, {0}, {0}};
    for (unsigned i = 0; i < 100000; i++) {
        random_items_step(stock, items, &rng);
        for (uint32_t at = 0; at < RANDOM_ITEMS; at++) {
            struct stock_view view = read_item(stock, at + 1);
            assert_int_equal(view.held, items[at].held);
            assert_int_equal(view.available, items[at].stocked - items[at].safety +
                                                 items[at].presale_cap - items[at].held);
        }
    }
}

/* ---- Anything ---- */

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
        TEST(stock_take_any_fills_items_in_their_order),
        TEST(stock_take_any_takes_between_its_bounds),
        TEST(stock_take_any_splits_several_items_but_not_one),
        TEST(stock_take_any_does_not_mind_how_units_are_spread),
        TEST(stock_take_any_passes_over_items_below_zero),
        TEST(stock_take_any_holds_the_greatest_numbers),
        TEST(stock_take_presale_tells_what_is_beyond_stock),
        TEST(stock_take_presale_tells_nothing_without_a_cap),
        TEST(stock_take_any_tells_what_is_beyond_each_items_stock),
        TEST(stock_settle_counts_units_of_forgotten_orders),
        TEST(stock_take_any_follows_the_formula_under_random_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* between_test.c - what is seen and left between two steps: of a move under way, of an order that
 * is filled in several steps, of one that is refused in the last of them.
 *
 * Threads: one, with two transactions where one has to be caught in the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/inventory_internal.h"
#include "lib/core_rig.h"

#define BUYER 7u

static void open_rig(struct rig *rig)
{
    struct inventory_options options = rig_options(64);
    rig_open(rig, &options);
}

static void close_checked(struct rig *rig)
{
    rig_check(rig);
    rig_close(rig);
}

static void set_limit(struct rig *rig, const char *sku, uint32_t limit)
{
    struct sku_rule rule = {.sku = bytes_of(sku), .limit_per_buyer = limit};
    assert_int_equal(inventory_define_sku(rig->txn, &rule), HF_OK);
    rig_publish(rig);
}

static uint32_t pool_item(struct rig *rig, const char *sku, const char *pool, int64_t stocked)
{
    uint32_t item = rig_define(rig, sku, pool, 0, 0);
    assert_int_equal(rig_set_stock(rig, item, stocked), HF_OK);
    return item;
}

static uint32_t counted(struct rig *rig, const char *sku, uint64_t buyer)
{
    return inventory_buyer_units(rig->inventory, bytes_of(sku), buyer);
}

static struct order_request a_request(uint64_t id, const struct order_line *lines,
                                      const struct line_shape *shapes, uint32_t line_count)
{
    return (struct order_request){.id = {0xB0, id},
                                  .buyer = BUYER,
                                  .line_count = line_count,
                                  .lines = lines,
                                  .shapes = shapes};
}

static struct order_outcome reserve(struct rig *rig, uint64_t id, const struct order_line *lines,
                                    const struct line_shape *shapes, uint32_t line_count)
{
    struct order_request request = a_request(id, lines, shapes, line_count);
    struct order_outcome outcome;
    RIG_RUN(rig, inventory_reserve(rig->txn, &request, &outcome));
    return outcome;
}

static void assert_grant(const struct order_outcome *outcome, uint32_t i, uint32_t line,
                         uint32_t item, uint32_t qty, uint32_t presale_qty)
{
    assert_true(i < outcome->grant_count);
    assert_int_equal(outcome->grants[i].line, line);
    assert_int_equal(outcome->grants[i].item, item);
    assert_int_equal(outcome->grants[i].qty, qty);
    assert_int_equal(outcome->grants[i].presale_qty, presale_qty);
}

/* ---- A move under way ---- */

/* Two pools of one limited SKU, 10 units in the first; a move of `units` to the second has its
 * debit, and no record yet. */
static void open_with_move(struct rig *rig, int64_t units)
{
    open_rig(rig);
    pool_item(rig, "a", "1", 10);
    pool_item(rig, "a", "2", 0);
    set_limit(rig, "a", 100);
    struct move move = {.id = {0xC0, 1}, .from = 1, .to = 2, .units = units};
    bool replayed;
    assert_int_equal(inventory_move(rig->txn, &move, &replayed), HF_OK);
}

/* What can be taken at this moment, whatever has been published. */
static int64_t free_units(struct rig *rig, uint32_t item)
{
    struct stock_view view;
    stock_read(rig->inventory->stock, item, &view);
    return view.available;
}

/* Another transaction's try while the units are in neither pool: they are on their way, so it has
 * to come again, and holds nothing meanwhile. */
static void check_waits_for_move(struct rig *rig, const struct order_line *line,
                                 const struct line_shape *shape, int64_t left)
{
    struct txn other;
    struct order_request request = a_request(1, line, shape, 1);
    struct order_outcome outcome;
    assert_int_equal(txn_init(&other, rig->inventory, 1), HF_OK);
    other.now_ms = rig->txn->now_ms;
    assert_int_equal(inventory_reserve(&other, &request, &outcome), TXN_AGAIN);
    assert_int_equal(other.event_count, 0);
    assert_int_equal(free_units(rig, 1), left);
    assert_int_equal(free_units(rig, 2), 0);
    assert_int_equal(counted(rig, "a", BUYER), 0);
    txn_deinit(&other);
}

static void reserve_waits_for_units_that_move_to_a_fallback(void **state)
{
    (void)state;
    struct rig rig;
    open_with_move(&rig, 10);
    uint32_t fallback = 2;
    struct line_shape shape = {.fallback_count = 1, .fallbacks = &fallback};
    struct order_line line = {1, 5};
    check_waits_for_move(&rig, &line, &shape, 0);
    rig_publish(&rig);
    struct order_outcome outcome = reserve(&rig, 1, &line, &shape, 1);
    assert_int_equal(outcome.status, HF_OK);
    assert_grant(&outcome, 0, 1, 2, 5, 0);
    close_checked(&rig);
}

/* What there is of an UP_TO line would be an answer, but there is more: on its way. */
static void up_to_is_not_cut_by_a_move_under_way(void **state)
{
    (void)state;
    struct rig rig;
    open_with_move(&rig, 6);
    uint32_t fallback = 2;
    struct line_shape shape = {.policy = LINE_UP_TO,
                               .min_qty = 1,
                               .split = true,
                               .fallback_count = 1,
                               .fallbacks = &fallback};
    struct order_line line = {1, 8};
    check_waits_for_move(&rig, &line, &shape, 4);
    rig_publish(&rig);
    struct order_outcome outcome = reserve(&rig, 1, &line, &shape, 1);
    assert_int_equal(outcome.status, HF_OK);
    assert_grant(&outcome, 0, 1, 1, 4, 0);
    assert_grant(&outcome, 1, 1, 2, 4, 0);
    assert_int_equal(counted(&rig, "a", BUYER), 8);
    close_checked(&rig);
}

/* A move that was refused is no reason to wait: it has ended. */
static void reserve_does_not_wait_for_a_move_that_was_refused(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    pool_item(&rig, "a", "1", 1);
    pool_item(&rig, "a", "2", 0);
    struct move move = {.id = {0xC0, 1}, .from = 1, .to = 2, .units = 1};
    bool replayed;
    assert_int_equal(rig_reserve(&rig, 9, 1, 1).status, HF_OK);
    assert_int_equal(inventory_move(rig.txn, &move, &replayed), HF_WOULD_OVERSELL);
    uint32_t fallback = 2;
    struct line_shape shape = {.fallback_count = 1, .fallbacks = &fallback};
    struct order_line line = {1, 5};
    struct order_request request = a_request(1, &line, &shape, 1);
    struct order_outcome outcome;
    assert_int_equal(inventory_reserve(rig.txn, &request, &outcome), TXN_DONE);
    assert_int_equal(outcome.status, HF_SOLD_OUT);
    close_checked(&rig);
}

/* ---- Filling in several steps ---- */

/* The second SKU's limit finds no room in the table: the first one's count is taken back. */
static void split_that_finds_no_room_to_count_leaves_nothing_counted(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    options.buyers_max = 1;
    rig_open(&rig, &options);
    rig_item(&rig, "a", 1);
    rig_item(&rig, "b", 5);
    set_limit(&rig, "a", 5);
    set_limit(&rig, "b", 5);
    uint32_t fallback = 2;
    struct line_shape shape = {.split = true, .fallback_count = 1, .fallbacks = &fallback};
    struct order_line line = {1, 3};
    struct order_outcome outcome = reserve(&rig, 1, &line, &shape, 1);
    assert_int_equal(outcome.status, HF_FULL);
    assert_int_equal(counted(&rig, "a", BUYER), 0);
    assert_int_equal(counted(&rig, "b", BUYER), 0);
    assert_int_equal(rig_stock(&rig, 1).available, 1);
    assert_int_equal(rig_stock(&rig, 2).available, 5);
    /* The only room is there again. */
    assert_int_equal(rig_reserve(&rig, 2, 2, 1).status, HF_OK);
    close_checked(&rig);
}

/* An UP_TO line had its minimum from one item, and another has the whole quantity: what is pre-sold
 * is then that item's. */
static void minimum_that_moves_is_pre_sold_as_its_new_item_is(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    rig_item(&rig, "plain", 2);
    uint32_t lot = rig_define(&rig, "lot", "default", 0, 5);
    assert_int_equal(rig_set_stock(&rig, lot, 3), HF_OK);
    struct line_shape shape = {
        .policy = LINE_UP_TO, .min_qty = 2, .fallback_count = 1, .fallbacks = &lot};
    struct order_line line = {1, 6};
    struct order_outcome outcome = reserve(&rig, 1, &line, &shape, 1);
    assert_int_equal(outcome.status, HF_OK);
    assert_int_equal(outcome.grant_count, 1);
    assert_grant(&outcome, 0, 1, lot, 6, 3);
    assert_int_equal(rig_stock(&rig, 1).available, 2);
    rig_check(&rig);
    rig_close(&rig);
    /* And back: from a lot that is short to an item that has all of it. */
    open_rig(&rig);
    lot = rig_define(&rig, "lot", "default", 0, 1);
    assert_int_equal(rig_set_stock(&rig, lot, 1), HF_OK);
    uint32_t plain = rig_item(&rig, "plain", 6);
    shape.fallbacks = &plain;
    line.item = lot;
    outcome = reserve(&rig, 1, &line, &shape, 1);
    assert_int_equal(outcome.status, HF_OK);
    assert_int_equal(outcome.grant_count, 1);
    assert_grant(&outcome, 0, 1, plain, 6, 0);
    close_checked(&rig);
}

/* Line 1 has its minimum from item 1 and then all of it from item 3, so item 1 is free again when
 * line 2, which had its minimum from item 2, gets the rest. Told are the items in the line's order:
 * a commit of a part keeps the first ones. */
static void grants_come_in_the_order_of_the_lines_items(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    rig_item(&rig, "a", 2);
    rig_item(&rig, "b", 2);
    rig_item(&rig, "c", 5);
    uint32_t third = 3;
    uint32_t second = 2;
    struct line_shape shapes[2] = {
        {.policy = LINE_UP_TO, .min_qty = 2, .fallback_count = 1, .fallbacks = &third},
        {.policy = LINE_UP_TO,
         .min_qty = 1,
         .split = true,
         .fallback_count = 1,
         .fallbacks = &second}};
    struct order_line lines[2] = {{1, 5}, {1, 4}};
    struct order_outcome outcome = reserve(&rig, 1, lines, shapes, 2);
    assert_int_equal(outcome.status, HF_OK);
    assert_int_equal(outcome.grant_count, 3);
    assert_grant(&outcome, 0, 1, 3, 5, 0);
    assert_grant(&outcome, 1, 2, 1, 2, 0);
    assert_grant(&outcome, 2, 2, 2, 2, 0);
    struct line_qty part[] = {{1, 5}, {2, 3}};
    assert_int_equal(rig_edit(&rig, inventory_commit, 1, part, 2).status, HF_OK);
    assert_int_equal(rig_stock(&rig, 1).sold, 2);
    assert_int_equal(rig_stock(&rig, 2).sold, 1);
    close_checked(&rig);
}

/* ---- Time ---- */

/* The engine's clock keeps deadlines; sales open and close by the wall clock, which may be ahead of
 * it, or behind. */
static void sales_open_and_close_by_the_wall_clock(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    rig_item(&rig, "a", 10);
    struct sku_rule rule = {.sku = bytes_of("a"), .opens_at_ms = 2000000, .closes_at_ms = 2000010};
    assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_OK);
    rig_publish(&rig);
    struct order_line line = {1, 1};
    static const struct {
        uint64_t now_ms;
        int64_t wall_ahead_ms;
        enum hf_status status;
    } moments[] = {
        {1999000, 999, HF_NOT_OPEN}, {1999000, 1000, HF_OK},        {1999000, 1009, HF_OK},
        {1999000, 1010, HF_CLOSED},  {2001000, -1001, HF_NOT_OPEN}, {2001000, -1000, HF_OK},
        {2001000, -991, HF_OK},      {2001000, -990, HF_CLOSED},
    };
    for (uint32_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        rig.txn->now_ms = moments[i].now_ms;
        rig.txn->wall_ahead_ms = moments[i].wall_ahead_ms;
        struct order_outcome outcome = reserve(&rig, i + 1, &line, NULL, 1);
        assert_int_equal(outcome.status, moments[i].status);
        if (outcome.status == HF_OK) {
            assert_int_equal(outcome.deadline_ms, moments[i].now_ms + 1000);
        }
    }
    close_checked(&rig);
}

/* Each SKU says how long its units may be held: an order of several is held for the shortest of
 * them, whichever line it is on. */
static void order_of_several_skus_is_held_as_the_shortest_says(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    rig_item(&rig, "a", 10);
    rig_item(&rig, "b", 10);
    rig_item(&rig, "c", 10); /* says nothing: the engine's 1000 are for orders of such alone */
    const struct sku_rule rules[2] = {{.sku = bytes_of("a"), .hold_ms = 700, .hold_ms_max = 900},
                                      {.sku = bytes_of("b"), .hold_ms = 300, .hold_ms_max = 400}};
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(inventory_define_sku(rig.txn, &rules[i]), HF_OK);
        rig_publish(&rig);
    }
    static const struct {
        struct order_line lines[3];
        uint32_t line_count;
        uint32_t hold_ms;
    } cases[] = {
        {{{1, 1}}, 1, 700},         {{{2, 1}}, 1, 300},
        {{{3, 1}}, 1, 1000},        {{{1, 1}, {2, 1}}, 2, 300},
        {{{2, 1}, {1, 1}}, 2, 300}, {{{3, 1}, {1, 1}}, 2, 700},
        {{{1, 1}, {3, 1}}, 2, 700}, {{{1, 1}, {3, 1}, {2, 1}}, 3, 300},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct order_outcome outcome =
            reserve(&rig, i + 1, cases[i].lines, NULL, cases[i].line_count);
        assert_int_equal(outcome.status, HF_OK);
        assert_int_equal(outcome.deadline_ms - rig.txn->now_ms, cases[i].hold_ms);
    }
    /* And asked for no longer than the shortest maximum. */
    const struct order_line both[2] = {{1, 1}, {2, 1}};
    assert_int_equal(rig_reserve_lines(&rig, 50, both, 2, 401).status, HF_INVALID);
    assert_int_equal(rig_reserve_lines(&rig, 50, both, 2, 400).status, HF_OK);
    close_checked(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserve_waits_for_units_that_move_to_a_fallback),
        cmocka_unit_test(up_to_is_not_cut_by_a_move_under_way),
        cmocka_unit_test(reserve_does_not_wait_for_a_move_that_was_refused),
        cmocka_unit_test(split_that_finds_no_room_to_count_leaves_nothing_counted),
        cmocka_unit_test(minimum_that_moves_is_pre_sold_as_its_new_item_is),
        cmocka_unit_test(grants_come_in_the_order_of_the_lines_items),
        cmocka_unit_test(order_of_several_skus_is_held_as_the_shortest_says),
        cmocka_unit_test(sales_open_and_close_by_the_wall_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

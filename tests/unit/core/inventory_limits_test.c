/* inventory_limits_test.c - limits per buyer, and pre-sale. */
#include "inventory_rig.h"

/* ---- Limits ---- */

static void inventory_limit_holds_over_orders_pools_and_lines(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    pool_item(&rig, "a", "near", 100);
    pool_item(&rig, "a", "far", 100);
    rig_item(&rig, "b", 100);
    set_limit(&rig, "a", 5);
    assert_refused(reserve_by(&rig, 1, 0, 1, 1), HF_BUYER_REQUIRED, 1);
    assert_refused(reserve_by(&rig, 1, 7, 1, 6), HF_LIMIT_EXCEEDED, 1);
    assert_outcome(reserve_by(&rig, 1, 7, 1, 3), HF_OK, false, ORDER_HELD);
    assert_int_equal(counted(&rig, "a", 7), 3);
    assert_refused(reserve_by(&rig, 2, 7, 2, 3), HF_LIMIT_EXCEEDED, 1);
    struct order_line lines[3] = {{3, 9}, {2, 1}, {1, 2}};
    struct order_outcome outcome = reserve_shaped(&rig, 2, 7, lines, NULL, 3);
    assert_refused(outcome, HF_LIMIT_EXCEEDED, 3);
    assert_non_null(outcome.reason);
    lines[2].qty = 1;
    outcome = reserve_shaped(&rig, 2, 7, lines, NULL, 3);
    assert_outcome(outcome, HF_OK, false, ORDER_HELD);
    assert_int_equal(outcome.grant_count, 0);
    assert_int_equal(counted(&rig, "a", 7), 5);
    assert_refused(reserve_by(&rig, 3, 7, 1, 1), HF_LIMIT_EXCEEDED, 1);
    assert_outcome(reserve_by(&rig, 3, 8, 1, 5), HF_OK, false, ORDER_HELD);
    /* Retries are not counted again. */
    assert_outcome(reserve_by(&rig, 1, 7, 1, 3), HF_OK, true, ORDER_HELD);
    assert_outcome(reserve_shaped(&rig, 2, 7, lines, NULL, 3), HF_OK, true, ORDER_HELD);
    assert_int_equal(counted(&rig, "a", 7), 5);
    assert_int_equal(counted(&rig, "b", 7), 0);
    close_checked(&rig);
}

static void inventory_limit_is_given_back_by_all_but_commit(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 100);
    set_limit(&rig, "a", 4);
    struct line_qty part = {1, 1};
    reserve_by(&rig, 1, 7, 1, 4);
    rig_edit(&rig, inventory_release, 1, &part, 1);
    assert_int_equal(counted(&rig, "a", 7), 3);
    assert_outcome(reserve_by(&rig, 2, 7, 1, 2), HF_LIMIT_EXCEEDED, false, ORDER_NONE);
    assert_outcome(reserve_by(&rig, 2, 7, 1, 1), HF_OK, false, ORDER_HELD);
    part.qty = 2;
    rig_edit(&rig, inventory_commit, 1, &part, 1); /* and lets the third go */
    assert_int_equal(counted(&rig, "a", 7), 3);
    part.qty = 1;
    rig_edit(&rig, inventory_return, 1, &part, 1);
    assert_int_equal(counted(&rig, "a", 7), 2);
    rig.txn->now_ms = NOW + 1000;
    rig_expire(&rig);
    assert_int_equal(rig_state(&rig, 2), ORDER_EXPIRED);
    assert_int_equal(counted(&rig, "a", 7), 1);
    rig_edit(&rig, inventory_return, 1, NULL, 0);
    assert_int_equal(counted(&rig, "a", 7), 0);
    close_checked(&rig);
}

static void inventory_limit_caps_lines_that_take_what_there_is(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    pool_item(&rig, "a", "near", 2);
    pool_item(&rig, "a", "far", 100);
    rig_item(&rig, "b", 100);
    set_limit(&rig, "a", 3);
    uint32_t fallback = 2;
    struct line_shape shapes[2] = {{.policy = LINE_UP_TO,
                                    .min_qty = 4,
                                    .split = true,
                                    .fallback_count = 1,
                                    .fallbacks = &fallback},
                                   {.policy = LINE_ALL}};
    struct order_line lines[2] = {{1, 9}, {3, 1}};
    assert_refused(reserve_shaped(&rig, 1, 7, lines, shapes, 2), HF_LIMIT_EXCEEDED, 1);
    assert_int_equal(counted(&rig, "a", 7), 0);
    shapes[0].min_qty = 3;
    struct order_outcome outcome = reserve_shaped(&rig, 1, 7, lines, shapes, 2);
    assert_int_equal(outcome.grant_count, 3);
    assert_grant(&outcome, 0, 1, 1, 2);
    assert_grant(&outcome, 1, 1, 2, 1);
    assert_grant(&outcome, 2, 2, 3, 1);
    /* Nothing is left: a line without a minimum gets nothing, one with a minimum blocks. */
    shapes[0].min_qty = 0;
    outcome = reserve_shaped(&rig, 2, 7, lines, shapes, 2);
    assert_outcome(outcome, HF_OK, false, ORDER_HELD);
    assert_int_equal(outcome.grant_count, 1);
    assert_grant(&outcome, 0, 2, 3, 1);
    shapes[0].min_qty = 1;
    assert_refused(reserve_shaped(&rig, 3, 7, lines, shapes, 2), HF_LIMIT_EXCEEDED, 1);
    shapes[0].min_qty = 0;
    assert_refused(reserve_shaped(&rig, 3, 0, lines, shapes, 2), HF_BUYER_REQUIRED, 1);
    close_checked(&rig);
}

/* Items of several SKUs: each is counted towards its own SKU's limit, the rest comes from others.
 */
static void inventory_split_keeps_to_the_limit_of_each_sku(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    rig_item(&rig, "b", 10);
    rig_item(&rig, "c", 3);
    set_limit(&rig, "a", 2);
    set_limit(&rig, "b", 4);
    uint32_t fallbacks[2] = {2, 3};
    struct line_shape shape = {.split = true, .fallback_count = 2, .fallbacks = fallbacks};
    struct order_line line = {1, 10};
    assert_refused(reserve_shaped(&rig, 1, 7, &line, &shape, 1), HF_LIMIT_EXCEEDED, 1);
    assert_int_equal(counted(&rig, "a", 7) + counted(&rig, "b", 7), 0);
    assert_int_equal(rig_stock(&rig, 3).available, 3);
    line.qty = 9;
    struct order_outcome outcome = reserve_shaped(&rig, 1, 7, &line, &shape, 1);
    assert_int_equal(outcome.grant_count, 3);
    assert_grant(&outcome, 0, 1, 1, 2);
    assert_grant(&outcome, 1, 1, 2, 4);
    assert_grant(&outcome, 2, 1, 3, 3);
    assert_int_equal(counted(&rig, "a", 7), 2);
    assert_int_equal(counted(&rig, "b", 7), 4);
    /* Without a buyer only what is not limited is left. */
    rig_set_stock(&rig, 3, 5);
    line.qty = 2;
    outcome = reserve_shaped(&rig, 2, 0, &line, &shape, 1);
    assert_int_equal(outcome.grant_count, 1);
    assert_grant(&outcome, 0, 1, 3, 2);
    close_checked(&rig);
}

static void inventory_reserve_is_full_when_no_more_buyers_are_counted(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    options.buyers_max = 1;
    rig_open(&rig, &options);
    rig_item(&rig, "a", 10);
    set_limit(&rig, "a", 5);
    assert_outcome(reserve_by(&rig, 1, 7, 1, 1), HF_OK, false, ORDER_HELD);
    assert_refused(reserve_by(&rig, 2, 8, 1, 1), HF_FULL, 1);
    struct order_line lines[2] = {{1, 1}, {1, 1}};
    assert_refused(reserve_shaped(&rig, 2, 8, lines, NULL, 2), HF_FULL, 1);
    struct line_shape shape = {.policy = LINE_OPTIONAL};
    assert_refused(reserve_shaped(&rig, 2, 8, lines, &shape, 1), HF_FULL, 1);
    assert_outcome(reserve_by(&rig, 2, 7, 1, 1), HF_OK, false, ORDER_HELD);
    assert_int_equal(rig_stock(&rig, 1).held, 2);
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- Pre-sale ---- */

static void inventory_presale_tells_what_is_beyond_stock(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_define(&rig, "a", "default", 1, 5);
    rig_set_stock(&rig, 1, 4); /* 3 in stock, 5 beyond */
    struct order_outcome outcome = reserve_by(&rig, 1, 7, 1, 3);
    assert_outcome(outcome, HF_OK, false, ORDER_HELD);
    assert_int_equal(outcome.grant_count, 0);
    assert_null(rig.log[rig.log_count - 1].grants);
    outcome = reserve_by(&rig, 2, 7, 1, 2);
    assert_int_equal(outcome.grant_count, 1);
    assert_grant(&outcome, 0, 1, 1, 2);
    assert_int_equal(outcome.grants[0].presale_qty, 2);
    assert_int_equal(outcome.grants[0].ticket, 1);
    /* One in stock again: of two lines the last one's units are beyond it. */
    rig_edit(&rig, inventory_release, 1, &(struct line_qty){1, 1}, 1);
    rig_edit(&rig, inventory_release, 2, NULL, 0);
    struct order_line lines[2] = {{1, 1}, {1, 3}};
    outcome = reserve_shaped(&rig, 3, 7, lines, NULL, 2);
    assert_int_equal(outcome.grant_count, 2);
    assert_int_equal(outcome.grants[0].presale_qty + outcome.grants[1].presale_qty, 3);
    assert_int_equal(outcome.grants[1].presale_qty, 3);
    assert_int_equal(outcome.grants[0].ticket, 0);
    assert_int_equal(outcome.grants[1].ticket, 2);
    assert_refused(reserve_by(&rig, 4, 7, 1, 3), HF_SOLD_OUT, 1);
    assert_int_equal(reserve_by(&rig, 4, 7, 1, 2).grants[0].ticket, 3);
    /* A retry gets the first answer, whatever has arrived since. */
    rig_set_stock(&rig, 1, 40);
    outcome = reserve_shaped(&rig, 3, 7, lines, NULL, 2);
    assert_outcome(outcome, HF_OK, true, ORDER_HELD);
    assert_int_equal(outcome.grants[1].presale_qty, 3);
    assert_int_equal(outcome.grants[1].ticket, 2);
    close_checked(&rig);
}

static void inventory_presale_is_covered_in_the_order_of_tickets(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_define(&rig, "a", "default", 0, 10);
    for (uint64_t id = 1; id <= 3; id++) {
        reserve_by(&rig, id, 7, 1, 2);
    }
    static const uint32_t covered[][3] = {{0, 0, 0}, {1, 0, 0}, {2, 0, 0}, {2, 1, 0},
                                          {2, 2, 0}, {2, 2, 1}, {2, 2, 2}};
    struct order_line_view grant;
    for (uint32_t stocked = 0; stocked <= 6; stocked++) {
        rig_set_stock(&rig, 1, stocked);
        for (uint64_t id = 1; id <= 3; id++) {
            rig_order(&rig, id, &grant, 1);
            assert_int_equal(inventory_covered(rig.inventory, &grant, ORDER_HELD),
                             covered[stocked][id - 1]);
        }
    }
    /* Who gives up makes room for those behind. */
    rig_set_stock(&rig, 1, 3);
    rig_edit(&rig, inventory_release, 1, NULL, 0);
    rig_order(&rig, 3, &grant, 1);
    assert_int_equal(inventory_covered(rig.inventory, &grant, ORDER_HELD), 1);
    /* A late commit takes its place again. */
    rig.txn->now_ms = NOW + 1000;
    rig_expire(&rig);
    assert_outcome(rig_commit_late(&rig, 3), HF_OK, false, ORDER_COMMITTED);
    assert_outcome(rig_commit_late(&rig, 2), HF_OK, false, ORDER_COMMITTED);
    rig_order(&rig, 3, &grant, 1);
    assert_int_equal(grant.ticket, 3);
    assert_int_equal(inventory_covered(rig.inventory, &grant, ORDER_COMMITTED), 1);
    close_checked(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inventory_limit_holds_over_orders_pools_and_lines),
        cmocka_unit_test(inventory_limit_is_given_back_by_all_but_commit),
        cmocka_unit_test(inventory_limit_caps_lines_that_take_what_there_is),
        cmocka_unit_test(inventory_split_keeps_to_the_limit_of_each_sku),
        cmocka_unit_test(inventory_reserve_is_full_when_no_more_buyers_are_counted),
        cmocka_unit_test(inventory_presale_tells_what_is_beyond_stock),
        cmocka_unit_test(inventory_presale_is_covered_in_the_order_of_tickets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* inventory_shapes_test.c - sale rules: policies of lines, and fallbacks. */
#include "inventory_rig.h"

/* ---- Sale rules: policies, fallbacks, limits, pre-sale ---- */

static void inventory_up_to_gives_what_there_is_down_to_the_minimum(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 5);
    struct order_line line = {1, 7};
    struct line_shape shape = {.policy = LINE_UP_TO, .min_qty = 6};
    assert_refused(reserve_shaped(&rig, 1, 0, &line, &shape, 1), HF_SOLD_OUT, 1);
    assert_int_equal(rig_stock(&rig, 1).available, 5);
    shape.min_qty = 5;
    struct order_outcome outcome = reserve_shaped(&rig, 1, 0, &line, &shape, 1);
    assert_outcome(outcome, HF_OK, false, ORDER_HELD);
    assert_int_equal(outcome.grant_count, 1);
    assert_grant(&outcome, 0, 1, 1, 5);
    assert_int_equal(rig_stock(&rig, 1).available, 0);
    /* Nothing at all is no order, whatever the minimum. */
    shape.min_qty = 0;
    outcome = reserve_shaped(&rig, 2, 0, &line, &shape, 1);
    assert_refused(outcome, HF_SOLD_OUT, 1);
    assert_non_null(outcome.reason);
    rig_edit(&rig, inventory_release, 1, NULL, 0);
    /* All that was asked, from its own item: no grants are told. */
    line.qty = 5;
    outcome = reserve_shaped(&rig, 2, 0, &line, &shape, 1);
    assert_outcome(outcome, HF_OK, false, ORDER_HELD);
    assert_int_equal(outcome.grant_count, 0);
    close_checked(&rig);
}

static void inventory_minimums_of_all_lines_come_before_more_of_one(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    struct order_line lines[3] = {{1, 9}, {1, 4}, {1, 3}};
    struct line_shape shapes[3] = {{.policy = LINE_UP_TO, .min_qty = 2},
                                   {.policy = LINE_ALL},
                                   {.policy = LINE_UP_TO, .min_qty = 3}};
    struct order_outcome outcome = reserve_shaped(&rig, 1, 0, lines, shapes, 3);
    assert_outcome(outcome, HF_OK, false, ORDER_HELD);
    assert_int_equal(outcome.grant_count, 3);
    assert_grant(&outcome, 0, 1, 1, 3);
    assert_grant(&outcome, 1, 2, 1, 4);
    assert_grant(&outcome, 2, 3, 1, 3);
    rig_edit(&rig, inventory_release, 1, NULL, 0);
    /* One short: the line whose minimum comes last blocks, and nothing is left behind. */
    rig_set_stock(&rig, 1, 8);
    assert_refused(reserve_shaped(&rig, 2, 0, lines, shapes, 3), HF_SOLD_OUT, 3);
    assert_int_equal(rig_stock(&rig, 1).available, 8);
    rig_set_stock(&rig, 1, 9);
    outcome = reserve_shaped(&rig, 2, 0, lines, shapes, 3);
    assert_grant(&outcome, 0, 1, 1, 2);
    close_checked(&rig);
}

static void inventory_optional_line_is_left_out_for_any_reason(void **state)
{
    (void)state;
    static const struct {
        struct sku_rule rule;
        int64_t stocked;
        uint64_t buyer;
        bool given;
    } cases[] = {
        {{.limit_per_buyer = 2}, 2, 7, true},    {{.limit_per_buyer = 0}, 1, 7, false},
        {{.limit_per_buyer = 1}, 2, 7, false},   {{.limit_per_buyer = 2}, 2, 0, false},
        {{.opens_at_ms = NOW + 1}, 2, 7, false}, {{.opens_at_ms = NOW}, 2, 7, true},
        {{.closes_at_ms = NOW}, 2, 7, false},    {{.closes_at_ms = NOW + 1}, 2, 7, true},
        {{.paused = true}, 2, 7, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig;
        open_small(&rig);
        rig_item(&rig, "gift", cases[i].stocked);
        rig_item(&rig, "phone", 1);
        struct sku_rule rule = cases[i].rule;
        rule.sku = bytes_of("gift");
        set_rule(&rig, rule);
        struct order_line lines[2] = {{1, 2}, {2, 1}};
        struct line_shape shapes[2] = {{.policy = LINE_OPTIONAL}, {.policy = LINE_ALL}};
        struct order_outcome outcome = reserve_shaped(&rig, 1, cases[i].buyer, lines, shapes, 2);
        assert_outcome(outcome, HF_OK, false, ORDER_HELD);
        assert_int_equal(outcome.blocking_line, 0);
        assert_int_equal(outcome.grant_count, cases[i].given ? 0 : 1);
        if (!cases[i].given) {
            assert_grant(&outcome, 0, 2, 2, 1);
        }
        assert_int_equal(rig_stock(&rig, 1).held, cases[i].given ? 2 : 0);
        /* A gift alone that can't be given is no order. */
        assert_refused(reserve_shaped(&rig, 2, 0, &(struct order_line){1, 3}, shapes, 1),
                       HF_SOLD_OUT, 1);
        close_checked(&rig);
    }
}

static void inventory_fallbacks_are_tried_in_order_for_the_whole_quantity(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        pool_item(&rig, "a", (const char *[]){"near", "far", "store"}[i], 2 + i);
    }
    uint32_t fallbacks[2] = {3, 2};
    struct line_shape shape = {.fallback_count = 2, .fallbacks = fallbacks};
    struct order_line line = {1, 3};
    struct order_outcome outcome = reserve_shaped(&rig, 1, 0, &line, &shape, 1);
    assert_int_equal(outcome.grant_count, 1);
    assert_grant(&outcome, 0, 1, 3, 3);
    outcome = reserve_shaped(&rig, 2, 0, &line, &shape, 1);
    assert_grant(&outcome, 0, 1, 2, 3);
    /* 2 + 1 are left, but in two pools. */
    assert_refused(reserve_shaped(&rig, 3, 0, &line, &shape, 1), HF_SOLD_OUT, 1);
    line.qty = 2;
    outcome = reserve_shaped(&rig, 3, 0, &line, &shape, 1);
    assert_outcome(outcome, HF_OK, false, ORDER_HELD);
    assert_int_equal(outcome.grant_count, 0);
    close_checked(&rig);
}

static void inventory_split_fills_one_item_after_another(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    pool_item(&rig, "a", "near", 2);
    pool_item(&rig, "a", "far", 3);
    pool_item(&rig, "a", "store", 4);
    uint32_t fallbacks[3] = {3, 2, 3}; /* one twice: it counts once */
    struct line_shape shape = {.split = true, .fallback_count = 3, .fallbacks = fallbacks};
    struct order_line line = {1, 10};
    assert_refused(reserve_shaped(&rig, 1, 0, &line, &shape, 1), HF_SOLD_OUT, 1);
    for (uint32_t item = 1; item <= 3; item++) {
        assert_int_equal(rig_stock(&rig, item).available, 1 + item);
    }
    line.qty = 7;
    struct order_outcome outcome = reserve_shaped(&rig, 1, 0, &line, &shape, 1);
    assert_int_equal(outcome.grant_count, 3);
    assert_grant(&outcome, 0, 1, 1, 2);
    assert_grant(&outcome, 1, 1, 3, 4);
    assert_grant(&outcome, 2, 1, 2, 1);
    /* As many as there are: 2, in the last pool. */
    shape.policy = LINE_UP_TO;
    outcome = reserve_shaped(&rig, 2, 0, &line, &shape, 1);
    assert_int_equal(outcome.grant_count, 1);
    assert_grant(&outcome, 0, 1, 2, 2);
    close_checked(&rig);
}

static void inventory_split_up_to_adds_to_what_it_has(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    pool_item(&rig, "a", "near", 4);
    pool_item(&rig, "a", "far", 3);
    uint32_t fallback = 2;
    struct line_shape shape = {.policy = LINE_UP_TO,
                               .min_qty = 2,
                               .split = true,
                               .fallback_count = 1,
                               .fallbacks = &fallback};
    struct order_line line = {1, 6};
    struct order_outcome outcome = reserve_shaped(&rig, 1, 0, &line, &shape, 1);
    assert_int_equal(outcome.grant_count, 2);
    assert_grant(&outcome, 0, 1, 1, 4);
    assert_grant(&outcome, 1, 1, 2, 2);
    shape.min_qty = 1;
    outcome = reserve_shaped(&rig, 2, 0, &line, &shape, 1);
    assert_grant(&outcome, 0, 1, 2, 1);
    close_checked(&rig);
}

/* Without split all is of one item: of the first that has the whole quantity, in place of the one
 * that had the minimum; else of that one. */
static void inventory_up_to_of_one_item_prefers_the_whole_quantity(void **state)
{
    (void)state;
    static const struct {
        int64_t stocked[3];
        uint32_t item;
        uint32_t qty;
    } cases[] = {
        {{3, 4, 5}, 3, 5}, {{3, 5, 5}, 2, 5}, {{5, 5, 5}, 1, 5},
        {{1, 3, 4}, 2, 3}, {{2, 4, 4}, 1, 2}, {{1, 1, 2}, 3, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (uint32_t min_qty = 0; min_qty <= 2; min_qty += 2) {
            struct rig rig;
            open_small(&rig);
            pool_item(&rig, "a", "1", cases[i].stocked[0]);
            pool_item(&rig, "a", "2", cases[i].stocked[1]);
            pool_item(&rig, "b", "3", cases[i].stocked[2]);
            set_limit(&rig, "a", 5);
            uint32_t fallbacks[2] = {2, 3};
            struct line_shape shape = {.policy = LINE_UP_TO,
                                       .min_qty = min_qty,
                                       .fallback_count = 2,
                                       .fallbacks = fallbacks};
            struct order_line line = {1, 5};
            struct order_outcome outcome = reserve_shaped(&rig, 1, 7, &line, &shape, 1);
            assert_outcome(outcome, HF_OK, false, ORDER_HELD);
            /* Without a minimum the first with any units is as good. */
            uint32_t item = cases[i].item;
            uint32_t qty = cases[i].qty;
            if (min_qty == 0 && cases[i].stocked[item - 1] < 5) {
                item = 1;
                qty = (uint32_t)cases[i].stocked[0];
            }
            struct order_line_view view;
            rig_order(&rig, 1, &view, 1);
            assert_int_equal(view.item, item);
            assert_int_equal(view.qty, qty);
            assert_int_equal(rig_stock(&rig, item).held, qty);
            assert_int_equal(counted(&rig, "a", 7), item == 3 ? 0 : qty);
            close_checked(&rig);
        }
    }
}

/* ---- Rules of fallbacks ---- */

static void inventory_fallbacks_that_are_not_on_sale_are_skipped(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    rig_item(&rig, "b", 10);
    rig_item(&rig, "c", 10);
    set_rule(&rig, (struct sku_rule){.sku = bytes_of("a"), .opens_at_ms = NOW + 1});
    set_rule(&rig, (struct sku_rule){.sku = bytes_of("b"), .paused = true});
    uint32_t fallbacks[2] = {2, 3};
    for (uint32_t split = 0; split <= 1; split++) {
        for (uint32_t policy = LINE_ALL; policy <= LINE_OPTIONAL; policy++) {
            struct line_shape shape = {.policy = (enum line_policy)policy,
                                       .split = split,
                                       .fallback_count = 2,
                                       .fallbacks = fallbacks};
            struct order_line line = {1, 1};
            uint64_t id = 10 * split + policy;
            struct order_outcome outcome = reserve_shaped(&rig, id, 7, &line, &shape, 1);
            assert_outcome(outcome, HF_OK, false, ORDER_HELD);
            assert_grant(&outcome, 0, 1, 3, 1);
            /* When none is left it is the own item's rule that blocks. */
            shape.fallback_count = 1;
            assert_refused(reserve_shaped(&rig, 100, 7, &line, &shape, 1),
                           policy == LINE_OPTIONAL ? HF_SOLD_OUT : HF_NOT_OPEN, 1);
        }
    }
    close_checked(&rig);
}

static void inventory_shaped_order_holds_as_its_grants_allow(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 0);
    rig_item(&rig, "b", 10);
    set_rule(&rig, (struct sku_rule){.sku = bytes_of("a"), .hold_ms_max = 100});
    set_rule(&rig, (struct sku_rule){.sku = bytes_of("b"), .hold_ms = 300, .hold_ms_max = 600});
    uint32_t fallback = 2;
    struct line_shape shapes[2] = {{.policy = LINE_OPTIONAL},
                                   {.fallback_count = 1, .fallbacks = &fallback}};
    struct order_line lines[2] = {{1, 1}, {1, 1}};
    struct order_request request = {
        .id = {0xB0, 1}, .hold_ms = 601, .line_count = 2, .lines = lines, .shapes = shapes};
    struct order_outcome outcome;
    RIG_RUN(&rig, inventory_reserve(rig.txn, &request, &outcome));
    assert_refused(outcome, HF_INVALID, 2);
    assert_int_equal(rig_stock(&rig, 2).held, 0);
    request.hold_ms = 600;
    RIG_RUN(&rig, inventory_reserve(rig.txn, &request, &outcome));
    assert_outcome(outcome, HF_OK, false, ORDER_HELD);
    assert_int_equal(outcome.deadline_ms, NOW + 600);
    rig.txn->now_ms = NOW + 1;
    outcome = rig_extend(&rig, 1, 601);
    assert_outcome(outcome, HF_INVALID, false, ORDER_HELD);
    assert_int_equal(outcome.blocking_line, 2);
    assert_outcome(rig_extend(&rig, 1, 600), HF_OK, false, ORDER_HELD);
    close_checked(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inventory_up_to_gives_what_there_is_down_to_the_minimum),
        cmocka_unit_test(inventory_minimums_of_all_lines_come_before_more_of_one),
        cmocka_unit_test(inventory_optional_line_is_left_out_for_any_reason),
        cmocka_unit_test(inventory_fallbacks_are_tried_in_order_for_the_whole_quantity),
        cmocka_unit_test(inventory_split_fills_one_item_after_another),
        cmocka_unit_test(inventory_split_up_to_adds_to_what_it_has),
        cmocka_unit_test(inventory_up_to_of_one_item_prefers_the_whole_quantity),
        cmocka_unit_test(inventory_fallbacks_that_are_not_on_sale_are_skipped),
        cmocka_unit_test(inventory_shaped_order_holds_as_its_grants_allow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* inventory_grants_test.c - shaped orders afterwards: repeated, edited, forgotten, replayed. */
#include "inventory_rig.h"

/* ---- Retries and edits of shaped orders ---- */

static void inventory_shaped_order_is_told_again_and_never_mistaken(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 3);
    rig_item(&rig, "b", 10);
    uint32_t fallbacks[2] = {2, 2};
    const struct line_shape first = {.policy = LINE_UP_TO,
                                     .min_qty = 2,
                                     .split = true,
                                     .fallback_count = 1,
                                     .fallbacks = fallbacks};
    struct order_line line = {1, 5};
    reserve_shaped(&rig, 1, 7, &line, &first, 1);
    rig_edit(&rig, inventory_release, 1, &(struct line_qty){1, 4}, 1);
    struct order_outcome outcome = reserve_shaped(&rig, 1, 7, &line, &first, 1);
    assert_outcome(outcome, HF_OK, true, ORDER_HELD);
    assert_int_equal(outcome.deadline_ms, NOW + 1000);
    assert_int_equal(outcome.grant_count, 1); /* of five, one is left */
    assert_grant(&outcome, 0, 1, 1, 1);
    struct line_shape others[6] = {first, first, first, first, first, first};
    others[0].policy = LINE_OPTIONAL;
    others[1].min_qty = 3;
    others[2].split = false;
    others[3].fallback_count = 2;
    others[4].fallback_count = 0;
    others[5].fallbacks = &(uint32_t){1};
    for (uint32_t i = 0; i < 6; i++) {
        assert_outcome(reserve_shaped(&rig, 1, 7, &line, &others[i], 1), HF_ID_CONFLICT, false,
                       ORDER_HELD);
    }
    assert_outcome(reserve_shaped(&rig, 1, 8, &line, &first, 1), HF_ID_CONFLICT, false, ORDER_HELD);
    assert_outcome(reserve_shaped(&rig, 1, 7, &line, NULL, 1), HF_ID_CONFLICT, false, ORDER_HELD);
    line.qty = 6;
    assert_outcome(reserve_shaped(&rig, 1, 7, &line, &first, 1), HF_ID_CONFLICT, false, ORDER_HELD);
    close_checked(&rig);
}

static void inventory_shapes_that_change_nothing_are_none(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    rig_item(&rig, "b", 10);
    struct order_line lines[2] = {{1, 2}, {2, 1}};
    struct line_shape shapes[2] = {{.policy = LINE_ALL, .min_qty = 1, .split = true},
                                   {.policy = LINE_ALL}};
    assert_outcome(reserve_shaped(&rig, 1, 7, lines, shapes, 2), HF_OK, false, ORDER_HELD);
    assert_null(rig.log[rig.log_count - 1].grants);
    assert_outcome(reserve_shaped(&rig, 1, 7, lines, NULL, 2), HF_OK, true, ORDER_HELD);
    assert_outcome(reserve_shaped(&rig, 1, 7, lines, shapes, 2), HF_OK, true, ORDER_HELD);
    shapes[1].policy = LINE_OPTIONAL;
    assert_outcome(reserve_shaped(&rig, 1, 7, lines, shapes, 2), HF_ID_CONFLICT, false, ORDER_HELD);
    /* Counted lines are told by grants, but asked for as ever. */
    set_limit(&rig, "a", 9);
    shapes[1].policy = LINE_ALL;
    assert_outcome(reserve_shaped(&rig, 2, 7, lines, NULL, 2), HF_OK, false, ORDER_HELD);
    assert_non_null(rig.log[rig.log_count - 1].grants);
    assert_outcome(reserve_shaped(&rig, 2, 7, lines, shapes, 2), HF_OK, true, ORDER_HELD);
    shapes[0].min_qty = 0;
    assert_outcome(reserve_shaped(&rig, 2, 7, lines, shapes, 2), HF_OK, true, ORDER_HELD);
    close_checked(&rig);
}

/* Three lines, of which the first has units of two items and the second none. */
static void open_with_grants(struct rig *rig, uint64_t id)
{
    static const uint32_t fallback = 2;
    struct order_line lines[3] = {{1, 5}, {3, 1}, {2, 2}};
    struct line_shape shapes[3] = {{.split = true, .fallback_count = 1, .fallbacks = &fallback},
                                   {.policy = LINE_OPTIONAL},
                                   {.policy = LINE_ALL}};
    open_small(rig);
    rig_item(rig, "a", 3);
    rig_item(rig, "b", 6);
    rig_item(rig, "c", 0);
    set_limit(rig, "a", 3);
    struct order_outcome outcome = reserve_shaped(rig, id, 7, lines, shapes, 3);
    assert_outcome(outcome, HF_OK, false, ORDER_HELD);
    assert_int_equal(outcome.grant_count, 3);
    assert_grant(&outcome, 0, 1, 1, 3);
    assert_grant(&outcome, 1, 1, 2, 2);
    assert_grant(&outcome, 2, 3, 2, 2);
}

static void inventory_commit_of_a_line_takes_its_first_grants(void **state)
{
    (void)state;
    struct rig rig;
    open_with_grants(&rig, 1);
    struct line_qty parts[2] = {{1, 6}, {3, 1}};
    struct order_outcome outcome = rig_edit(&rig, inventory_commit, 1, parts, 2);
    assert_outcome(outcome, HF_INVALID, false, ORDER_HELD);
    assert_int_equal(outcome.blocking_line, 1);
    parts[0] = (struct line_qty){2, 1};
    outcome = rig_edit(&rig, inventory_commit, 1, parts, 2);
    assert_outcome(outcome, HF_INVALID, false, ORDER_HELD);
    assert_int_equal(outcome.blocking_line, 2);
    parts[0] = (struct line_qty){4, 0};
    outcome = rig_edit(&rig, inventory_commit, 1, parts, 2);
    assert_outcome(outcome, HF_INVALID, false, ORDER_HELD);
    assert_int_equal(outcome.blocking_line, 4);
    struct line_qty named[3] = {{1, 4}, {2, 0}, {3, 1}};
    assert_outcome(rig_edit(&rig, inventory_commit, 1, named, 3), HF_OK, false, ORDER_COMMITTED);
    assert_int_equal(rig_stock(&rig, 1).sold, 3);
    assert_int_equal(rig_stock(&rig, 2).sold, 2);
    assert_int_equal(rig_stock(&rig, 2).held, 0);
    /* Returns come from the last grants: b's unit first. */
    named[0].qty = 2;
    assert_outcome(rig_edit(&rig, inventory_return, 1, named, 1), HF_OK, false, ORDER_COMMITTED);
    assert_int_equal(rig_stock(&rig, 1).sold, 2);
    assert_int_equal(rig_stock(&rig, 2).sold, 1);
    assert_int_equal(counted(&rig, "a", 7), 2);
    assert_outcome(rig_edit(&rig, inventory_return, 1, named, 1), HF_OK, true, ORDER_COMMITTED);
    named[0].qty = 5;
    assert_outcome(rig_edit(&rig, inventory_return, 1, named, 1), HF_INVALID, false,
                   ORDER_COMMITTED);
    close_checked(&rig);
}

static void inventory_release_of_a_line_takes_its_last_grants(void **state)
{
    (void)state;
    struct rig rig;
    open_with_grants(&rig, 1);
    struct line_qty part = {1, 1};
    static const struct {
        uint32_t total;
        int64_t held_a;
        int64_t held_b; /* with the third line's 2 */
    } steps[] = {{1, 3, 3}, {2, 3, 2}, {3, 2, 2}, {1, 2, 2}, {5, 0, 2}};
    for (uint32_t i = 0; i < 5; i++) {
        part.qty = steps[i].total;
        assert_outcome(rig_edit(&rig, inventory_release, 1, &part, 1), HF_OK, i == 3, ORDER_HELD);
        assert_int_equal(rig_stock(&rig, 1).held, steps[i].held_a);
        assert_int_equal(rig_stock(&rig, 2).held, steps[i].held_b);
        assert_int_equal(counted(&rig, "a", 7), steps[i].held_a);
    }
    part.qty = 6;
    assert_outcome(rig_edit(&rig, inventory_release, 1, &part, 1), HF_INVALID, false, ORDER_HELD);
    part = (struct line_qty){2, 1};
    assert_outcome(rig_edit(&rig, inventory_release, 1, &part, 1), HF_INVALID, false, ORDER_HELD);
    part = (struct line_qty){3, 2};
    assert_outcome(rig_edit(&rig, inventory_release, 1, &part, 1), HF_OK, false, ORDER_RELEASED);
    close_checked(&rig);
}

static void inventory_late_commit_takes_the_same_grants_within_the_limit(void **state)
{
    (void)state;
    struct rig rig;
    open_with_grants(&rig, 1);
    rig.txn->now_ms = NOW + 1000;
    rig_expire(&rig);
    assert_int_equal(counted(&rig, "a", 7), 0);
    /* There are five units of a, but the buyer has one of three by now. */
    rig_set_stock(&rig, 1, 5);
    reserve_by(&rig, 2, 7, 1, 1);
    struct order_outcome outcome = rig_commit_late(&rig, 1);
    assert_outcome(outcome, HF_LIMIT_EXCEEDED, false, ORDER_EXPIRED);
    assert_int_equal(outcome.blocking_line, 1);
    assert_int_equal(rig_stock(&rig, 1).held, 1);
    assert_int_equal(rig_stock(&rig, 2).held, 0);
    rig_edit(&rig, inventory_release, 2, NULL, 0);
    /* All of b but three is gone: the third line's item is short, line 1 has the first of it. */
    reserve_by(&rig, 3, 8, 2, 3);
    outcome = rig_commit_late(&rig, 1);
    assert_outcome(outcome, HF_EXPIRED_SOLD_OUT, false, ORDER_EXPIRED);
    assert_int_equal(outcome.blocking_line, 1);
    rig_edit(&rig, inventory_release, 3, NULL, 0);
    struct order_edit edit = {
        .id = {0xB0, 1}, .late_ok = true, .line_count = 1, .lines = &(struct line_qty){1, 4}};
    RIG_RUN(&rig, inventory_commit(rig.txn, &edit, &outcome));
    assert_outcome(outcome, HF_OK, false, ORDER_COMMITTED);
    assert_int_equal(rig_stock(&rig, 1).sold, 3);
    assert_int_equal(rig_stock(&rig, 2).sold, 1);
    assert_int_equal(rig_stock(&rig, 2).held, 0);
    assert_int_equal(counted(&rig, "a", 7), 3);
    close_checked(&rig);
}

/* An order that is counted by one line, when its line is taken apart. */
static void inventory_counted_line_keeps_counting_in_parts(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    set_limit(&rig, "a", 4);
    reserve_by(&rig, 1, 7, 1, 4);
    assert_int_equal(rig.log[rig.log_count - 1].flags, EVENT_COUNTED);
    assert_null(rig.log[rig.log_count - 1].grants);
    struct order_line_view view;
    rig_order(&rig, 1, &view, 1);
    assert_true(view.counted);
    assert_int_equal(view.line, 1);
    rig_edit(&rig, inventory_release, 1, &(struct line_qty){1, 3}, 1);
    rig.txn->now_ms = NOW + 1000;
    rig_expire(&rig);
    assert_int_equal(counted(&rig, "a", 7), 0);
    /* The limit may be gone, or lower, when it is taken again. */
    set_limit(&rig, "a", 1);
    reserve_by(&rig, 2, 7, 1, 1);
    assert_outcome(rig_commit_late(&rig, 1), HF_LIMIT_EXCEEDED, false, ORDER_EXPIRED);
    set_limit(&rig, "a", 0);
    assert_outcome(rig_commit_late(&rig, 1), HF_OK, false, ORDER_COMMITTED);
    rig_edit(&rig, inventory_return, 1, NULL, 0);
    rig_edit(&rig, inventory_release, 2, NULL, 0);
    set_limit(&rig, "a", 1);
    assert_int_equal(counted(&rig, "a", 7), 0);
    close_checked(&rig);
}

static void inventory_shaped_orders_fit_a_transaction(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(5000);
    rig_open(&rig, &options);
    for (uint32_t i = 1; i <= 64; i++) {
        char sku[8];
        snprintf(sku, sizeof sku, "%u", i);
        rig_item(&rig, sku, 32 * 100);
    }
    uint32_t fallbacks[63];
    for (uint32_t i = 0; i < 63; i++) {
        fallbacks[i] = i + 2;
    }
    /* 32 lines of 64 items: the most grants that an order may have. */
    struct order_line lines[32];
    struct line_shape shapes[32];
    for (uint32_t i = 0; i < 32; i++) {
        lines[i] = (struct order_line){1, 64 * 100};
        shapes[i] =
            (struct line_shape){.split = true, .fallback_count = 63, .fallbacks = fallbacks};
    }
    struct order_outcome outcome = reserve_shaped(&rig, 1, 7, lines, shapes, 32);
    assert_outcome(outcome, HF_OK, false, ORDER_HELD);
    /* Greedy: the first line has 3200 each of two items, and so on. */
    assert_int_equal(outcome.grant_count, 64);
    assert_grant(&outcome, 63, 32, 64, 3200);
    rig_edit(&rig, inventory_release, 1, NULL, 0);
    for (uint32_t i = 0; i < 32; i++) {
        lines[i].qty = 1;
    }
    struct order_request request = {.line_count = 32, .lines = lines, .shapes = shapes};
    uint32_t made = 0;
    do {
        request.id = (struct id128){0xB0, 100 + made};
        made++;
    } while (inventory_reserve(rig.txn, &request, &outcome) == TXN_DONE);
    assert_true(made > 10);
    assert_true(made < TXN_EVENTS_MAX);
    rig_publish(&rig);
    assert_int_equal(inventory_reserve(rig.txn, &request, &outcome), TXN_DONE);
    rig_publish(&rig);
    int64_t held = 0;
    for (uint32_t item = 1; item <= 64; item++) {
        held += rig_stock(&rig, item).held;
    }
    assert_int_equal(held, 32 * made);
    rig_check(&rig);
    rig_close(&rig);
}

/* An ended order whose deadline's hint is still entered must not be forgotten: the hint would find
 * another order in its place. */
static void inventory_forgets_only_when_the_hint_is_gone(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    set_limit(&rig, "a", 9);
    reserve_by(&rig, 1, 7, 1, 2);
    rig_edit(&rig, inventory_commit, 1, NULL, 0);
    struct order_cursor cursor = {0};
    assert_int_equal(inventory_forget(rig.txn, UINT64_MAX, &cursor, 1000, NULL), TXN_DONE);
    assert_int_equal(rig.txn->event_count, 0);
    rig.txn->now_ms = NOW + 1000;
    rig_expire(&rig);
    cursor = (struct order_cursor){0};
    assert_int_equal(inventory_forget(rig.txn, UINT64_MAX, &cursor, 1000, NULL), TXN_DONE);
    assert_int_equal(rig.txn->event_count, 1);
    rig_publish(&rig);
    assert_int_equal(rig_state(&rig, 1), ORDER_NONE);
    assert_int_equal(rig_stock(&rig, 1).sold, 2);
    assert_int_equal(counted(&rig, "a", 7), 2);
    close_checked(&rig);
}

static void inventory_apply_refuses_grants_that_can_not_be(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 5);
    static const struct order_grant good[2] = {{1, 2, 1, 1, 1, true}, {1, 1, 0, 0, 2, false}};
    struct order_grant bad[9][2];
    for (uint32_t i = 0; i < 9; i++) {
        memcpy(bad[i], good, sizeof good);
    }
    bad[0][0].line = 0;
    bad[1][1].line = 3; /* of two lines */
    bad[2][0].line = 2;
    bad[2][1].line = 1;
    bad[3][0].presale_qty = 3;
    bad[4][0].ticket = 0;
    bad[5][1].ticket = 1;
    bad[6][0].item = 2;
    bad[7][0].qty = 0;
    bad[8][1].qty = QTY_MAX + 1;
    struct event event = {.type = EVENT_ORDER_HELD,
                          .id = {0xB0, 9},
                          .buyer = 7,
                          .line_count = 2,
                          .contents = 2,
                          .deadline_ms = NOW};
    for (uint32_t i = 0; i < 9; i++) {
        event.grants = bad[i];
        assert_int_equal(inventory_apply(rig.inventory, &event), HF_DAMAGED);
    }
    event.grants = good;
    event.buyer = 0;
    assert_int_equal(inventory_apply(rig.inventory, &event), HF_DAMAGED);
    event.buyer = 7;
    event.contents = 0;
    assert_int_equal(inventory_apply(rig.inventory, &event), HF_DAMAGED);
    event.contents = ORDER_LINES_MAX + 1;
    assert_int_equal(inventory_apply(rig.inventory, &event), HF_DAMAGED);
    event.contents = 2;
    event.flags = EVENT_COUNTED;
    assert_int_equal(inventory_apply(rig.inventory, &event), HF_DAMAGED);
    struct event plain = {.type = EVENT_ORDER_HELD,
                          .id = {0xB0, 8},
                          .flags = EVENT_COUNTED,
                          .line_count = 1,
                          .one = {1, 1}};
    assert_int_equal(inventory_apply(rig.inventory, &plain), HF_DAMAGED);
    rig_check(&rig);
    event.flags = 0;
    assert_int_equal(inventory_apply(rig.inventory, &event), HF_OK);
    rig.digest += event.digest_delta;
    rig_check(&rig);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inventory_shaped_order_is_told_again_and_never_mistaken),
        cmocka_unit_test(inventory_shapes_that_change_nothing_are_none),
        cmocka_unit_test(inventory_commit_of_a_line_takes_its_first_grants),
        cmocka_unit_test(inventory_release_of_a_line_takes_its_last_grants),
        cmocka_unit_test(inventory_late_commit_takes_the_same_grants_within_the_limit),
        cmocka_unit_test(inventory_counted_line_keeps_counting_in_parts),
        cmocka_unit_test(inventory_shaped_orders_fit_a_transaction),
        cmocka_unit_test(inventory_forgets_only_when_the_hint_is_gone),
        cmocka_unit_test(inventory_apply_refuses_grants_that_can_not_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

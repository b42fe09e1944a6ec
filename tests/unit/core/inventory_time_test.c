/* inventory_time_test.c - deadlines: expiry, late commits, extending. */
#include "inventory_rig.h"

/* ---- Time ---- */

static void inventory_expires_to_the_millisecond(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    rig_reserve(&rig, 1, 1, 3);
    rig.txn->now_ms = NOW + 999;
    rig_expire(&rig);
    assert_int_equal(rig_state(&rig, 1), ORDER_HELD);
    assert_true(inventory_next_deadline_ms(rig.inventory) <= NOW + 1000);
    rig.txn->now_ms = NOW + 1000;
    rig_expire(&rig);
    assert_int_equal(rig_state(&rig, 1), ORDER_EXPIRED);
    assert_int_equal(rig_stock(&rig, 1).available, 10);
    assert_true(inventory_next_deadline_ms(rig.inventory) == UINT64_MAX);
    close_checked(&rig);
}

static void inventory_commit_after_the_deadline_finds_it_expired(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    rig_reserve(&rig, 1, 1, 3);
    rig_reserve(&rig, 2, 1, 3);
    rig.txn->now_ms = NOW + 999;
    assert_outcome(rig_edit(&rig, inventory_commit, 1, NULL, 0), HF_OK, false, ORDER_COMMITTED);
    rig.txn->now_ms = NOW + 1000;
    struct order_edit edit = {.id = {0xB0, 2}};
    struct order_outcome outcome;
    assert_int_equal(inventory_commit(rig.txn, &edit, &outcome), TXN_AGAIN);
    assert_int_equal(rig.txn->event_count, 1);
    assert_int_equal(rig.txn->events[0].type, EVENT_ORDER_EXPIRED);
    rig_publish(&rig);
    assert_int_equal(inventory_commit(rig.txn, &edit, &outcome), TXN_DONE);
    assert_outcome(outcome, HF_EXPIRED, false, ORDER_EXPIRED);
    rig_expire(&rig);
    assert_int_equal(rig_state(&rig, 1), ORDER_COMMITTED);
    close_checked(&rig);
}

static void inventory_late_commit_needs_all_units_free_again(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 5);
    rig_item(&rig, "b", 5);
    struct order_line lines[3] = {{2, 1}, {1, 2}, {1, 3}};
    rig_reserve_lines(&rig, 1, lines, 3, 0);
    struct line_qty part = {2, 2};
    rig_edit(&rig, inventory_release, 1, &part, 1);
    rig.txn->now_ms = NOW + 1000;
    rig_expire(&rig);
    rig_reserve_lines(&rig, 2, &(struct order_line){1, 3}, 1, 5000);
    struct order_outcome outcome = rig_commit_late(&rig, 1);
    assert_outcome(outcome, HF_EXPIRED_SOLD_OUT, false, ORDER_EXPIRED);
    assert_int_equal(outcome.blocking_line, 3); /* line 2 was released */
    assert_int_equal(rig_stock(&rig, 1).available, 2);
    assert_int_equal(rig_stock(&rig, 2).available, 5);
    part.qty = 1;
    part.line = 1;
    rig_edit(&rig, inventory_release, 2, &part, 1);
    outcome = rig_commit_late(&rig, 1);
    assert_outcome(outcome, HF_OK, false, ORDER_COMMITTED);
    assert_int_equal(rig.log[rig.log_count - 1].flags, EVENT_LATE);
    assert_int_equal(rig_stock(&rig, 1).sold, 3);
    assert_int_equal(rig_stock(&rig, 1).available, 0);
    assert_outcome(rig_commit_late(&rig, 1), HF_OK, true, ORDER_COMMITTED);
    close_checked(&rig);
}

static void inventory_extend_moves_the_deadline_forward_only(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 5);
    rig_reserve(&rig, 1, 1, 1);
    assert_int_equal(rig_extend(&rig, 1, 5001).status, HF_INVALID);
    struct order_outcome outcome = rig_extend(&rig, 1, 1000);
    assert_outcome(outcome, HF_OK, true, ORDER_HELD);
    assert_int_equal(outcome.deadline_ms, NOW + 1000);
    outcome = rig_extend(&rig, 1, 5000);
    assert_outcome(outcome, HF_OK, false, ORDER_HELD);
    assert_int_equal(outcome.deadline_ms, NOW + 5000);
    assert_outcome(rig_extend(&rig, 1, 0), HF_OK, true, ORDER_HELD);
    assert_int_equal(rig_reserve(&rig, 1, 1, 1).deadline_ms, NOW + 5000); /* the present one */
    assert_int_equal(rig_order(&rig, 1, NULL, 0).deadline_ms, NOW + 5000);
    rig.txn->now_ms = NOW + 4999;
    rig_expire(&rig);
    assert_int_equal(rig_state(&rig, 1), ORDER_HELD);
    rig.txn->now_ms = NOW + 5000;
    rig_expire(&rig);
    assert_int_equal(rig_state(&rig, 1), ORDER_EXPIRED);
    close_checked(&rig);
}

static void inventory_extend_stays_within_32_bits_of_the_first_deadline(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    options.hold_ms_max = UINT32_MAX;
    rig_open(&rig, &options);
    rig_item(&rig, "a", 5);
    rig_reserve(&rig, 1, 1, 1); /* until NOW + 1000 */
    rig.txn->now_ms = NOW + 1;
    assert_outcome(rig_extend(&rig, 1, UINT32_MAX), HF_OK, false, ORDER_HELD);
    rig.txn->now_ms = NOW + 1000;
    assert_outcome(rig_extend(&rig, 1, UINT32_MAX), HF_OK, false, ORDER_HELD);
    rig.txn->now_ms = NOW + 1001;
    assert_outcome(rig_extend(&rig, 1, UINT32_MAX), HF_INVALID, false, ORDER_HELD);
    rig_check(&rig);
    rig_close(&rig);
}

static void inventory_expire_fills_transactions_and_keeps_busy_orders(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(5000);
    rig_open(&rig, &options);
    rig_item(&rig, "a", 5000);
    for (uint64_t i = 1; i <= 3000; i++) {
        rig_reserve(&rig, i, 1, 1);
    }
    struct txn *other = malloc(sizeof *other);
    assert_non_null(other);
    assert_int_equal(txn_init(other, rig.inventory, 1), HF_OK);
    other->now_ms = NOW + 999;
    struct order_outcome outcome;
    assert_int_equal(inventory_extend(other, (struct id128){0xB0, 77}, 500, &outcome), TXN_DONE);
    rig.txn->now_ms = NOW + 1000;
    uint32_t again = 0;
    while (inventory_expire(rig.txn) == TXN_AGAIN) {
        again++;
        rig_publish(&rig);
    }
    assert_true(again >= 2);
    rig_publish(&rig);
    struct inventory_counts counts;
    inventory_counts(rig.inventory, &counts);
    assert_int_equal(counts.orders_held, 1);
    assert_int_equal(rig_state(&rig, 77), ORDER_HELD);
    other->events[0].lsn = rig.lsn += 48;
    rig.digest += other->events[0].digest_delta;
    inventory_publish(other);
    rig.txn->now_ms = NOW + 1498;
    rig_expire(&rig);
    assert_int_equal(rig_state(&rig, 77), ORDER_HELD);
    rig.txn->now_ms = NOW + 1499;
    rig_expire(&rig);
    assert_int_equal(rig_state(&rig, 77), ORDER_EXPIRED);
    txn_deinit(other);
    free(other);
    rig_check(&rig);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inventory_expires_to_the_millisecond),
        cmocka_unit_test(inventory_commit_after_the_deadline_finds_it_expired),
        cmocka_unit_test(inventory_late_commit_needs_all_units_free_again),
        cmocka_unit_test(inventory_extend_moves_the_deadline_forward_only),
        cmocka_unit_test(inventory_extend_stays_within_32_bits_of_the_first_deadline),
        cmocka_unit_test(inventory_expire_fills_transactions_and_keeps_busy_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

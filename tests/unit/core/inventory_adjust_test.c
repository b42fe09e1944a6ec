/* inventory_adjust_test.c - adjustments and definitions, and what a replay refuses. */
#include "inventory_rig.h"

/* ---- Adjustments ---- */

static enum hf_status adjust(struct rig *rig, struct adjustment asked, bool *replayed)
{
    enum hf_status status = inventory_adjust(rig->txn, &asked, replayed);
    rig_publish(rig);
    return status;
}

static void inventory_adjust_never_leaves_less_than_was_promised(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_define(&rig, "a", "default", 2, 3);
    rig_set_stock(&rig, 1, 10);
    rig_reserve(&rig, 1, 1, 5);
    rig_edit(&rig, inventory_commit, 1, NULL, 0);
    rig_reserve(&rig, 2, 1, 4); /* held + sold = 9; stocked + presale_cap = 13 */
    bool replayed;
    struct adjustment asked = {.id = {1, 1}, .item = 1, .delta = -5};
    assert_int_equal(adjust(&rig, asked, &replayed), HF_WOULD_OVERSELL);
    asked.delta = -4;
    assert_int_equal(adjust(&rig, asked, &replayed), HF_OK);
    assert_int_equal(rig_stock(&rig, 1).available, -2); /* into the safety stock */
    asked = (struct adjustment){.id = {1, 2}, .item = 1, .delta = -1};
    assert_int_equal(adjust(&rig, asked, &replayed), HF_WOULD_OVERSELL);
    asked.force = true;
    assert_int_equal(adjust(&rig, asked, &replayed), HF_OK);
    assert_int_equal(rig.log[rig.log_count - 1].flags, EVENT_FORCED);
    asked = (struct adjustment){.id = {1, 3}, .item = 1, .delta = 1, .force = true};
    assert_int_equal(adjust(&rig, asked, &replayed), HF_OK);
    assert_int_equal(rig.log[rig.log_count - 1].flags, 0);
    assert_int_equal(rig_stock(&rig, 1).stocked, 6);
    close_checked(&rig);
}

/* What a definition sets aside can't be sold by anybody whose record comes after its own. */
static void inventory_define_takes_what_it_sets_aside_before_its_record(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    uint32_t item = rig_item(&rig, "a", 10);
    struct item_def def = {.sku = bytes_of("a"), .pool = bytes_of("default"), .safety = 4};
    uint32_t same;
    assert_int_equal(inventory_define_item(rig.txn, &def, &same), HF_OK);
    assert_int_equal(same, item);
    assert_int_equal(rig.txn->event_count, 1);

    struct txn *other = malloc(sizeof *other);
    assert_non_null(other);
    assert_int_equal(txn_init(other, rig.inventory, 1), HF_OK);
    other->now_ms = NOW;
    struct order_line line = {item, 7};
    struct order_request request = {.id = {0xB0, 1}, .line_count = 1, .lines = &line};
    struct order_outcome outcome;
    assert_int_equal(inventory_reserve(other, &request, &outcome), TXN_DONE);
    assert_int_equal(outcome.status, HF_SOLD_OUT);
    txn_deinit(other);
    free(other);

    rig_publish(&rig);
    assert_int_equal(rig_stock(&rig, item).available, 6);
    assert_int_equal(rig_stock(&rig, item).held, 0);
    assert_int_equal(rig_reserve(&rig, 1, item, 7).status, HF_SOLD_OUT);
    assert_int_equal(rig_reserve(&rig, 1, item, 6).status, HF_OK);
    /* Back, and beyond zero. */
    rig_define(&rig, "a", "default", 0, 2);
    assert_int_equal(rig_stock(&rig, item).available, 6);
    rig_define(&rig, "a", "default", 9, 0);
    assert_int_equal(rig_stock(&rig, item).available, -5);
    assert_int_equal(rig_stock(&rig, item).held, 6);
    close_checked(&rig);
}

static void inventory_adjust_is_made_once(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_define(&rig, "a", "default", 0, 0);
    rig_define(&rig, "b", "default", 0, 0);
    bool replayed;
    struct adjustment asked = {.id = {1, 1}, .item = 1, .delta = 7, .reason = bytes_of("in")};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(adjust(&rig, asked, &replayed), HF_OK);
        assert_int_equal(replayed, i == 1);
        assert_int_equal(rig_stock(&rig, 1).stocked, 7);
    }
    struct adjustment other = asked;
    other.delta = 8;
    assert_int_equal(adjust(&rig, other, &replayed), HF_ID_CONFLICT);
    other = asked;
    other.item = 2;
    assert_int_equal(adjust(&rig, other, &replayed), HF_ID_CONFLICT);
    other = asked;
    other.reason = bytes_of("out");
    assert_int_equal(adjust(&rig, other, &replayed), HF_ID_CONFLICT);
    /* A change of nothing is remembered too. */
    struct adjustment nothing = {.id = {1, 2}, .item = 1, .has_set_to = true, .set_to = 7};
    assert_int_equal(adjust(&rig, nothing, &replayed), HF_OK);
    nothing.set_to = 9;
    assert_int_equal(adjust(&rig, nothing, &replayed), HF_ID_CONFLICT);
    close_checked(&rig);
}

static void inventory_adjust_compares_and_keeps_within_bounds(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 5);
    bool replayed;
    struct adjustment asked = {.id = {1, 1},
                               .item = 1,
                               .has_set_to = true,
                               .set_to = STOCK_MAX,
                               .has_expected = true,
                               .expected = 4};
    assert_int_equal(adjust(&rig, asked, &replayed), HF_CONFLICT);
    asked.expected = 5;
    assert_int_equal(adjust(&rig, asked, &replayed), HF_OK);
    asked = (struct adjustment){.id = {1, 2}, .item = 1, .delta = 1};
    assert_int_equal(adjust(&rig, asked, &replayed), HF_INVALID);
    asked.delta = -STOCK_MAX;
    assert_int_equal(adjust(&rig, asked, &replayed), HF_OK);
    asked = (struct adjustment){.id = {1, 3}, .item = 1, .delta = -1, .force = true};
    assert_int_equal(adjust(&rig, asked, &replayed), HF_INVALID);
    asked.item = 2;
    assert_int_equal(adjust(&rig, asked, &replayed), HF_UNKNOWN_ITEM);
    close_checked(&rig);
}

/* ---- Replay ---- */

static void inventory_apply_refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 5);
    rig_reserve(&rig, 1, 1, 2);
    uint32_t one = 1;
    struct item_def def = {.item = 3, .sku = bytes_of("c"), .pool = bytes_of("default")};
    struct stock_change change = {.item = 1, .delta = 1, .stocked = 7};
    struct event events[] = {
        {.type = EVENT_ORDER_HELD, .id = {0xB0, 1}, .line_count = 1, .one = {1, 1}},
        {.type = EVENT_ORDER_HELD, .id = {0xB0, 9}, .line_count = 1, .one = {2, 1}},
        {.type = EVENT_ORDER_HELD, .id = {0xB0, 9}, .line_count = 1, .one = {1, 0}},
        {.type = EVENT_ORDER_HELD, .id = {0xB0, 9}, .line_count = 0},
        {.type = EVENT_ORDER_COMMITTED, .id = {0xB0, 9}},
        {.type = EVENT_ORDER_COMMITTED, .id = {0xB0, 1}, .flags = EVENT_LATE},
        {.type = EVENT_ORDER_RETURNED, .id = {0xB0, 1}},
        {.type = EVENT_ORDER_EXTENDED, .id = {0xB0, 1}, .deadline_ms = NOW + 1000},
        {.type = EVENT_ORDER_RELEASED, .id = {0xB0, 1}, .line_count = 2, .quantities = &one},
        {.type = EVENT_ITEM_DEFINED, .item = &def},
        {.type = EVENT_STOCK_ADJUSTED, .id = {1, 1}, .adjust = &change},
        {.type = (enum event_type)99},
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        assert_int_equal(inventory_apply(rig.inventory, &events[i]), HF_DAMAGED);
    }
    close_checked(&rig);
}

static void inventory_replayed_orders_expire_in_time(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 5);
    rig_reserve(&rig, 1, 1, 2);
    rig_extend(&rig, 1, 2000);
    struct inventory_options options = rig_options(64);
    uint64_t sum;
    struct inventory *live = rig.inventory;
    rig.inventory = rig_replay(&rig, rig.log_count, &options, &sum);
    rig.txn->inventory = rig.inventory;
    inventory_deinit(live);
    inventory_replayed(rig.inventory);
    assert_true(inventory_next_deadline_ms(rig.inventory) <= NOW + 2000);
    assert_int_equal(rig_reserve(&rig, 1, 1, 2).deadline_ms, NOW + 2000);
    rig.txn->now_ms = NOW + 1999;
    rig_expire(&rig);
    assert_int_equal(rig_state(&rig, 1), ORDER_HELD);
    rig.txn->now_ms = NOW + 2000;
    rig_expire(&rig);
    assert_int_equal(rig_state(&rig, 1), ORDER_EXPIRED);
    close_checked(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inventory_adjust_never_leaves_less_than_was_promised),
        cmocka_unit_test(inventory_define_takes_what_it_sets_aside_before_its_record),
        cmocka_unit_test(inventory_adjust_is_made_once),
        cmocka_unit_test(inventory_adjust_compares_and_keeps_within_bounds),
        cmocka_unit_test(inventory_apply_refuses_what_does_not_fit),
        cmocka_unit_test(inventory_replayed_orders_expire_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

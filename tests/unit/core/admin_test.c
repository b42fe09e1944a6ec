/* admin_test.c - moves between pools: what they change, when, what they refuse, and their retries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/core_rig.h"

/* Items 1 and 2: one SKU in two pools; item 3: another SKU. */
static void open_pools(struct rig *rig, int64_t one, int64_t two)
{
    struct inventory_options options = rig_options(64);
    rig_open(rig, &options);
    assert_int_equal(rig_define(rig, "phone", "east", 3, 0), 1);
    assert_int_equal(rig_define(rig, "phone", "west", 0, 0), 2);
    assert_int_equal(rig_define(rig, "case", "east", 0, 0), 3);
    assert_int_equal(rig_set_stock(rig, 1, one), HF_OK);
    assert_int_equal(rig_set_stock(rig, 2, two), HF_OK);
}

static struct move a_move(uint64_t id, uint32_t from, uint32_t to, int64_t units)
{
    return (struct move){.id = {0xC0, id},
                         .from = from,
                         .to = to,
                         .units = units,
                         .reason = bytes_of("balance"),
                         .reference = bytes_of("truck-7")};
}

static enum hf_status run_move(struct rig *rig, const struct move *move, bool *replayed)
{
    enum hf_status status = inventory_move(rig->txn, move, replayed);
    rig_publish(rig);
    return status;
}

static void check_refused(struct rig *rig, const struct move *move, enum hf_status expected)
{
    bool replayed = true;
    assert_int_equal(inventory_move(rig->txn, move, &replayed), expected);
    assert_false(replayed);
    assert_int_equal(rig->txn->event_count, 0);
    rig_check(rig);
}

static void check_stocked(struct rig *rig, int64_t one, int64_t two)
{
    assert_int_equal(rig_stock(rig, 1).stocked, one);
    assert_int_equal(rig_stock(rig, 2).stocked, two);
}

static void check_replays(const struct rig *rig)
{
    struct inventory_options options = rig_options(64);
    uint64_t digest;
    struct inventory *replica = rig_replay(rig, rig->log_count, &options, &digest);
    assert_int_equal(digest, rig->digest);
    assert_int_equal(inventory_digest(replica), digest);
    char what[256] = "";
    assert_true(inventory_verify(replica, what, sizeof what));
    inventory_deinit(replica);
}

static void move_takes_when_decided_and_gives_when_published(void **state)
{
    (void)state;
    struct rig rig;
    open_pools(&rig, 10, 4);
    struct move move = a_move(1, 1, 2, 6);
    bool replayed;
    assert_int_equal(inventory_move(rig.txn, &move, &replayed), HF_OK);
    assert_false(replayed);
    check_stocked(&rig, 10, 4); /* nothing is seen of it yet */
    assert_int_equal(rig_stock(&rig, 1).available, 7);
    assert_int_equal(rig_stock(&rig, 1).held, 0);
    assert_int_equal(rig_stock(&rig, 2).available, 4);
    assert_int_equal(rig.txn->event_count, 1);
    const struct event *event = &rig.txn->events[0];
    assert_int_equal(event->type, EVENT_STOCK_MOVED);
    assert_int_equal(event->flags, 0);
    assert_int_equal(event->move->from_stocked, 4);
    assert_int_equal(event->move->to_stocked, 10);
    assert_int_equal(event->move->units, 6);
    assert_int_equal(event->move->reason.len, 7);
    assert_memory_equal(event->move->reference.data, "truck-7", 7);
    rig_publish(&rig);
    check_stocked(&rig, 4, 10);
    assert_int_equal(rig_stock(&rig, 1).available, 1);
    assert_int_equal(rig_stock(&rig, 2).available, 10);
    rig_check(&rig);
    check_replays(&rig);
    rig_close(&rig);
}

static void move_uses_up_the_safety_stock_and_not_what_orders_have(void **state)
{
    (void)state;
    struct rig rig;
    open_pools(&rig, 10, 0);
    assert_int_equal(rig_reserve(&rig, 1, 1, 4).status, HF_OK);
    assert_int_equal(rig_reserve(&rig, 2, 1, 1).status, HF_OK);
    assert_int_equal(rig_edit(&rig, inventory_commit, 2, NULL, 0).status, HF_OK);
    struct move move = a_move(1, 1, 2, 6); /* 10 - 4 held - 1 sold = 5 */
    check_refused(&rig, &move, HF_WOULD_OVERSELL);
    move.units = 5;
    bool replayed;
    assert_int_equal(run_move(&rig, &move, &replayed), HF_OK);
    check_stocked(&rig, 5, 5);
    move = a_move(2, 1, 2, 1);
    check_refused(&rig, &move, HF_WOULD_OVERSELL);
    move.force = true;
    assert_int_equal(inventory_move(rig.txn, &move, &replayed), HF_OK);
    assert_int_equal(rig.txn->events[0].flags, EVENT_FORCED);
    rig_publish(&rig);
    check_stocked(&rig, 4, 6);
    rig_check(&rig);
    check_replays(&rig);
    rig_close(&rig);
}

static void move_refuses_what_can_not_be(void **state)
{
    (void)state;
    struct rig rig;
    open_pools(&rig, 10, 4);
    struct move move = a_move(1, 4, 2, 1);
    check_refused(&rig, &move, HF_UNKNOWN_ITEM);
    move = a_move(1, 1, 0, 1);
    check_refused(&rig, &move, HF_UNKNOWN_ITEM);
    move = a_move(1, 1, 1, 1);
    check_refused(&rig, &move, HF_INVALID);
    move = a_move(1, 1, 3, 1);
    check_refused(&rig, &move, HF_INVALID);
    static const int64_t units[] = {0, -1, INT64_MIN, 11, STOCK_MAX + 1, INT64_MAX};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        move = a_move(1, 1, 2, units[i]);
        move.force = true;
        check_refused(&rig, &move, HF_INVALID);
    }
    bool replayed;
    move = a_move(1, 1, 2, 10);
    assert_int_equal(run_move(&rig, &move, &replayed), HF_OK); /* 10 and 3 of safety: to 0 */
    check_stocked(&rig, 0, 14);
    rig_check(&rig);
    rig_close(&rig);
}

static void move_refuses_more_than_an_item_may_have(void **state)
{
    (void)state;
    struct rig rig;
    open_pools(&rig, 10, STOCK_MAX - 5);
    struct move move = a_move(1, 1, 2, 6);
    check_refused(&rig, &move, HF_INVALID);
    move.units = 5;
    bool replayed;
    assert_int_equal(run_move(&rig, &move, &replayed), HF_OK);
    check_stocked(&rig, 5, STOCK_MAX);
    rig_check(&rig);
    rig_close(&rig);
}

static void move_compares_before_it_sets(void **state)
{
    (void)state;
    struct rig rig;
    open_pools(&rig, 10, 4);
    struct move move = a_move(1, 1, 2, 2);
    move.has_expected = true;
    move.expected = 9;
    check_refused(&rig, &move, HF_CONFLICT);
    move.expected = 10;
    bool replayed;
    assert_int_equal(run_move(&rig, &move, &replayed), HF_OK);
    assert_false(replayed);
    /* Again: the check is against what was found then. */
    assert_int_equal(run_move(&rig, &move, &replayed), HF_OK);
    assert_true(replayed);
    move.expected = 8;
    assert_int_equal(run_move(&rig, &move, &replayed), HF_ID_CONFLICT);
    assert_false(replayed);
    check_stocked(&rig, 8, 6);
    rig_close(&rig);
}

static void move_again_changes_nothing_and_another_is_a_conflict(void **state)
{
    (void)state;
    struct rig rig;
    open_pools(&rig, 10, 4);
    rig_define(&rig, "phone", "north", 0, 0); /* item 4 */
    struct move first = a_move(1, 1, 2, 2);
    bool replayed;
    assert_int_equal(run_move(&rig, &first, &replayed), HF_OK);
    assert_false(replayed);
    uint32_t events = rig.log_count;
    assert_int_equal(run_move(&rig, &first, &replayed), HF_OK);
    assert_true(replayed);
    struct move others[7];
    for (size_t i = 0; i < 7; i++) {
        others[i] = first;
    }
    others[0].units = 3;
    others[1].to = 4;
    others[2].from = 4;
    others[3].reason = bytes_of("balanc");
    others[4].reference = bytes_of("");
    others[5].from = 2;
    others[5].to = 1;
    others[6].units = INT64_MIN;
    for (size_t i = 0; i < 7; i++) {
        check_refused(&rig, &others[i], HF_ID_CONFLICT);
    }
    assert_int_equal(rig.log_count, events);
    check_stocked(&rig, 8, 6);
    rig_close(&rig);
}

static void move_and_adjustment_share_their_ids(void **state)
{
    (void)state;
    struct rig rig;
    open_pools(&rig, 10, 4);
    struct move move = a_move(1, 1, 2, 2);
    bool replayed;
    assert_int_equal(run_move(&rig, &move, &replayed), HF_OK);
    /* As far as one adjustment can say it, the same. */
    struct adjustment asked = {
        .id = move.id, .item = 1, .delta = -2, .reason = move.reason, .reference = move.reference};
    assert_int_equal(inventory_adjust(rig.txn, &asked, &replayed), HF_ID_CONFLICT);
    assert_false(replayed);
    asked.id.lo = 2;
    assert_int_equal(inventory_adjust(rig.txn, &asked, &replayed), HF_OK);
    rig_publish(&rig);
    move.id.lo = 2;
    check_refused(&rig, &move, HF_ID_CONFLICT);
    assert_int_equal(inventory_adjust(rig.txn, &asked, &replayed), HF_OK);
    assert_true(replayed);
    check_stocked(&rig, 6, 6);
    check_replays(&rig);
    rig_close(&rig);
}

/* A log that says what can't be. */
static void move_that_does_not_fit_is_damage(void **state)
{
    (void)state;
    struct rig rig;
    open_pools(&rig, 10, 4);
    const struct stock_move good = {
        .from = 1, .to = 2, .units = 3, .from_stocked = 7, .to_stocked = 7};
    struct stock_move bad[10];
    for (size_t i = 0; i < 10; i++) {
        bad[i] = good;
    }
    bad[0].from = 0;
    bad[1].to = 4;
    bad[2].to = 3;
    bad[3].to = 1;
    bad[4].units = 0;
    bad[5].units = -3;
    bad[6].from_stocked = 8;
    bad[7].to_stocked = 6;
    bad[8] =
        (struct stock_move){.from = 1, .to = 2, .units = 11, .from_stocked = -1, .to_stocked = 15};
    bad[9].units = INT64_MIN;
    struct event event = {.type = EVENT_STOCK_MOVED, .id = {0xC0, 1}};
    for (size_t i = 0; i < 10; i++) {
        event.move = &bad[i];
        assert_int_equal(inventory_apply(rig.inventory, &event), HF_DAMAGED);
    }
    rig_check(&rig);
    event.move = &good;
    assert_int_equal(inventory_apply(rig.inventory, &event), HF_OK);
    rig.digest += event.digest_delta;
    check_stocked(&rig, 7, 7);
    rig_check(&rig);
    const struct stock_move more = {
        .from = 1, .to = 2, .units = 1, .from_stocked = 6, .to_stocked = 8};
    event.move = &more;
    assert_int_equal(inventory_apply(rig.inventory, &event), HF_DAMAGED); /* the id is used */
    event.id.lo = 2;
    assert_int_equal(inventory_apply(rig.inventory, &event), HF_OK);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(move_takes_when_decided_and_gives_when_published),
        cmocka_unit_test(move_uses_up_the_safety_stock_and_not_what_orders_have),
        cmocka_unit_test(move_refuses_what_can_not_be),
        cmocka_unit_test(move_refuses_more_than_an_item_may_have),
        cmocka_unit_test(move_compares_before_it_sets),
        cmocka_unit_test(move_again_changes_nothing_and_another_is_a_conflict),
        cmocka_unit_test(move_and_adjustment_share_their_ids),
        cmocka_unit_test(move_that_does_not_fit_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* forget_test.c - forgetting ended orders, listing orders, and deadlines after replay.
 *
 * SEED=n for the threads' random choices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>

#include "lib/core_threads.h"

#define ALL_LSNS UINT64_MAX

/* Orders 1..5, one of item 1 each, in the order of states: HELD (for longer than the others),
 * COMMITTED, RELEASED, EXPIRED, RETURNED; all deadlines' hints but order 1's are gone. */
static void open_with_all_states(struct rig *rig)
{
    struct inventory_options options = rig_options(64);
    rig_open(rig, &options);
    rig_item(rig, "phone", 100);
    struct order_line line = {1, 1};
    for (uint64_t id = 1; id <= 5; id++) {
        uint32_t hold_ms = id == 1 ? 5000 : 1000;
        assert_int_equal(rig_reserve_lines(rig, id, &line, 1, hold_ms).status, HF_OK);
    }
    assert_int_equal(rig_edit(rig, inventory_commit, 2, NULL, 0).status, HF_OK);
    assert_int_equal(rig_edit(rig, inventory_release, 3, NULL, 0).status, HF_OK);
    assert_int_equal(rig_edit(rig, inventory_commit, 5, NULL, 0).status, HF_OK);
    assert_int_equal(rig_edit(rig, inventory_return, 5, NULL, 0).status, HF_OK);
    rig->txn->now_ms += 1000;
    rig_expire(rig);
    static const enum order_state states[] = {ORDER_NONE,     ORDER_HELD,    ORDER_COMMITTED,
                                              ORDER_RELEASED, ORDER_EXPIRED, ORDER_RETURNED};
    for (uint64_t id = 1; id <= 5; id++) {
        assert_int_equal(rig_state(rig, id), states[id]);
    }
    rig_check(rig);
}

static void forget_all(struct rig *rig, uint64_t before_lsn)
{
    struct order_cursor cursor = {0};
    while (!cursor.done) {
        enum txn_step step = inventory_forget(rig->txn, before_lsn, &cursor, 1000, NULL);
        assert_true(step == TXN_DONE || rig->txn->event_count > 0);
        rig_publish(rig);
    }
}

static uint64_t known(const struct rig *rig)
{
    struct inventory_counts counts;
    inventory_counts(rig->inventory, &counts);
    return counts.orders_known;
}

static void check_replays(const struct rig *rig)
{
    struct inventory_options options = rig_options(64);
    uint64_t digest;
    struct inventory *replica = rig_replay(rig, rig->log_count, &options, &digest);
    assert_int_equal(digest, rig->digest);
    assert_int_equal(inventory_digest(replica), digest);
    char what[256] = "";
    if (!inventory_verify(replica, what, sizeof what)) {
        fail_msg("replica: %s", what);
    }
    inventory_replayed(replica);
    if (!inventory_verify(replica, what, sizeof what)) {
        fail_msg("replica with deadlines: %s", what);
    }
    inventory_deinit(replica);
}

static void forget_takes_ended_orders_and_keeps_what_they_sold(void **state)
{
    (void)state;
    struct rig rig;
    open_with_all_states(&rig);
    struct stock_view before = rig_stock(&rig, 1);
    assert_int_equal(before.sold, 1);
    assert_int_equal(before.settled, 0);
    forget_all(&rig, ALL_LSNS);
    assert_int_equal(rig_state(&rig, 1), ORDER_HELD);
    for (uint64_t id = 2; id <= 5; id++) {
        assert_int_equal(rig_state(&rig, id), ORDER_NONE);
    }
    assert_int_equal(known(&rig), 1);
    struct stock_view after = rig_stock(&rig, 1);
    assert_int_equal(after.settled, 1);
    assert_int_equal(after.sold, 1);
    assert_int_equal(after.held, 1);
    assert_int_equal(after.available, before.available);
    rig_check(&rig);
    check_replays(&rig);
    rig_close(&rig);
}

static void forget_frees_the_id_for_another_order(void **state)
{
    (void)state;
    struct rig rig;
    open_with_all_states(&rig);
    assert_int_equal(rig_reserve(&rig, 2, 1, 2).status, HF_ID_CONFLICT);
    forget_all(&rig, ALL_LSNS);
    struct order_outcome outcome = rig_edit(&rig, inventory_commit, 2, NULL, 0);
    assert_int_equal(outcome.status, HF_NOT_FOUND);
    outcome = rig_reserve(&rig, 2, 1, 2);
    assert_int_equal(outcome.status, HF_OK);
    assert_false(outcome.replayed);
    assert_int_equal(rig_stock(&rig, 1).held, 3);
    rig_check(&rig);
    check_replays(&rig);
    rig_close(&rig);
}

static void forget_takes_only_what_changed_before_the_lsn(void **state)
{
    (void)state;
    struct rig rig;
    open_with_all_states(&rig);
    uint64_t lsn = rig_order(&rig, 3, NULL, 0).lsn;
    assert_true(lsn > rig_order(&rig, 2, NULL, 0).lsn);
    forget_all(&rig, lsn);
    assert_int_equal(rig_state(&rig, 2), ORDER_NONE);
    assert_int_equal(rig_state(&rig, 3), ORDER_RELEASED);
    forget_all(&rig, lsn + 1);
    assert_int_equal(rig_state(&rig, 3), ORDER_NONE);
    assert_int_equal(rig_state(&rig, 5), ORDER_RETURNED);
    rig_check(&rig);
    rig_close(&rig);
}

static void forget_waits_for_the_deadlines_hint(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    rig_item(&rig, "phone", 100);
    assert_int_equal(rig_reserve(&rig, 1, 1, 1).status, HF_OK); /* for 1000 ms */
    assert_int_equal(rig_edit(&rig, inventory_release, 1, NULL, 0).status, HF_OK);
    forget_all(&rig, ALL_LSNS);
    assert_int_equal(rig_state(&rig, 1), ORDER_RELEASED);
    rig.txn->now_ms += 999;
    rig_expire(&rig);
    forget_all(&rig, ALL_LSNS);
    assert_int_equal(rig_state(&rig, 1), ORDER_RELEASED);
    rig.txn->now_ms += 1;
    rig_expire(&rig);
    forget_all(&rig, ALL_LSNS);
    assert_int_equal(rig_state(&rig, 1), ORDER_NONE);
    rig_check(&rig);
    rig_close(&rig);
}

static void forget_leaves_orders_in_hand_and_has_them_in_hand(void **state)
{
    (void)state;
    struct rig rig;
    open_with_all_states(&rig);
    struct order_edit edit = {.id = {0xB0, 2}};
    struct order_outcome outcome;
    assert_int_equal(inventory_return(rig.txn, &edit, &outcome), TXN_DONE);
    assert_int_equal(outcome.status, HF_OK);
    struct order_cursor cursor = {0};
    assert_int_equal(inventory_forget(rig.txn, ALL_LSNS, &cursor, 1000, NULL), TXN_DONE);
    assert_int_equal(rig.txn->event_count, 1 + 3);
    /* Until it is published, it is there, and nobody decides on it. */
    assert_int_equal(rig_state(&rig, 3), ORDER_RELEASED);
    edit.id.lo = 3;
    assert_int_equal(inventory_release(rig.txn, &edit, &outcome), TXN_AGAIN);
    rig_publish(&rig);
    assert_int_equal(rig_state(&rig, 2), ORDER_RETURNED);
    assert_int_equal(rig_state(&rig, 3), ORDER_NONE);
    forget_all(&rig, ALL_LSNS);
    assert_int_equal(rig_state(&rig, 2), ORDER_NONE);
    assert_int_equal(rig_stock(&rig, 1).settled, 0);
    rig_check(&rig);
    check_replays(&rig);
    rig_close(&rig);
}

static void forget_settles_what_partial_orders_sold(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    rig_item(&rig, "phone", 100);
    rig_item(&rig, "case", 100);
    struct order_line lines[] = {{1, 5}, {2, 7}, {1, 2}};
    assert_int_equal(rig_reserve_lines(&rig, 1, lines, 3, 0).status, HF_OK);
    struct line_qty committed[] = {{1, 4}, {2, 6}};
    assert_int_equal(rig_edit(&rig, inventory_commit, 1, committed, 2).status, HF_OK);
    struct line_qty returned = {2, 5};
    assert_int_equal(rig_edit(&rig, inventory_return, 1, &returned, 1).status, HF_OK);
    assert_int_equal(rig_reserve(&rig, 2, 1, 9).status, HF_OK);
    struct line_qty part = {1, 3};
    assert_int_equal(rig_edit(&rig, inventory_commit, 2, &part, 1).status, HF_OK);
    rig.txn->now_ms += 1000;
    rig_expire(&rig);
    forget_all(&rig, ALL_LSNS);
    assert_int_equal(known(&rig), 0);
    assert_int_equal(rig_stock(&rig, 1).settled, 4 + 3);
    assert_int_equal(rig_stock(&rig, 2).settled, 1);
    rig_check(&rig);
    check_replays(&rig);
    rig_close(&rig);
}

static void forget_keeps_what_counts_towards_limits(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    rig_item(&rig, "phone", 100);
    struct bytes phone = bytes_of("phone");
    assert_int_equal(inventory_buyer_units(rig.inventory, phone, 7), 0);
    struct sku_rule rule = {.sku = phone, .limit_per_buyer = 3};
    assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_OK);
    rig_publish(&rig);
    assert_int_equal(rig_reserve(&rig, 1, 1, 2).status, HF_OK);
    assert_int_equal(rig_reserve(&rig, 2, 1, 1).status, HF_OK);
    assert_int_equal(inventory_buyer_units(rig.inventory, phone, 7), 3);
    assert_int_equal(inventory_buyer_units(rig.inventory, phone, 8), 0);
    assert_int_equal(inventory_buyer_units(rig.inventory, bytes_of("none"), 7), 0);
    assert_int_equal(rig_edit(&rig, inventory_commit, 1, NULL, 0).status, HF_OK);
    assert_int_equal(rig_edit(&rig, inventory_release, 2, NULL, 0).status, HF_OK);
    rig.txn->now_ms += 1000;
    rig_expire(&rig);
    forget_all(&rig, ALL_LSNS);
    assert_int_equal(known(&rig), 0);
    assert_int_equal(inventory_buyer_units(rig.inventory, phone, 7), 2);
    struct inventory_counts counts;
    inventory_counts(rig.inventory, &counts);
    assert_int_equal(counts.buyers, 1);
    assert_int_equal(rig_reserve(&rig, 3, 1, 2).status, HF_LIMIT_EXCEEDED);
    assert_int_equal(rig_reserve(&rig, 3, 1, 1).status, HF_OK);
    rig_check(&rig);
    check_replays(&rig);
    rule.limit_per_buyer = 0;
    assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_OK);
    rig_publish(&rig);
    assert_int_equal(inventory_buyer_units(rig.inventory, phone, 7), 0); /* not limited */
    rig_check(&rig);
    rig_close(&rig);
}

static void forget_goes_on_after_a_full_transaction(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    rig_item(&rig, "phone", 10000);
    const uint64_t count = TXN_EVENTS_MAX + 100;
    for (uint64_t id = 1; id <= count; id++) {
        assert_int_equal(rig_reserve(&rig, id, 1, 1).status, HF_OK);
    }
    rig.txn->now_ms += 1000;
    rig_expire(&rig);
    struct order_cursor cursor = {0};
    uint64_t events = 0;
    unsigned again = 0;
    while (!cursor.done) {
        again += inventory_forget(rig.txn, ALL_LSNS, &cursor, 1000000, NULL) == TXN_AGAIN;
        events += rig.txn->event_count;
        rig_publish(&rig);
    }
    while (inventory_tidy(rig.inventory)) {
    }
    assert_false(inventory_tidy(rig.inventory));
    assert_int_equal(again, 1);
    assert_int_equal(events, count);
    assert_int_equal(known(&rig), 0);
    rig_check(&rig);
    rig_close(&rig);
}

static void forget_looks_at_so_many_and_goes_on(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(1024);
    rig_open(&rig, &options);
    rig_item(&rig, "phone", 10000);
    for (uint64_t id = 1; id <= 500; id++) {
        assert_int_equal(rig_reserve(&rig, id, 1, 1).status, HF_OK);
    }
    rig.txn->now_ms += 1000;
    rig_expire(&rig);
    struct order_cursor cursor = {0};
    uint64_t events = 0;
    while (!cursor.done) {
        assert_int_equal(inventory_forget(rig.txn, ALL_LSNS, &cursor, 10, NULL), TXN_DONE);
        assert_true(rig.txn->event_count <= 10);
        events += rig.txn->event_count;
        rig_publish(&rig);
    }
    assert_int_equal(events, 500);
    rig_check(&rig);
    rig_close(&rig);
}

static void forget_of_what_has_not_ended_is_damage(void **state)
{
    (void)state;
    struct rig rig;
    open_with_all_states(&rig);
    struct inventory_options options = rig_options(64);
    uint64_t digest;
    struct inventory *replica = rig_replay(&rig, rig.log_count, &options, &digest);
    struct event event = {.type = EVENT_ORDER_FORGOTTEN, .id = {0xB0, 1}};
    assert_int_equal(inventory_apply(replica, &event), HF_DAMAGED); /* held */
    event.id.lo = 6;
    assert_int_equal(inventory_apply(replica, &event), HF_DAMAGED); /* there is none */
    event.id.lo = 2;
    assert_int_equal(inventory_apply(replica, &event), HF_OK);
    assert_int_equal(inventory_apply(replica, &event), HF_DAMAGED); /* not twice */
    inventory_deinit(replica);
    rig_close(&rig);
}

/* ---- Deadlines after replay ---- */

static void replayed_enters_the_deadlines_of_held_orders(void **state)
{
    (void)state;
    struct rig rig;
    open_with_all_states(&rig);                                 /* order 1 is held until 1005000 */
    assert_int_equal(rig_reserve(&rig, 6, 1, 1).status, HF_OK); /* until 1002000 */
    assert_int_equal(rig_extend(&rig, 6, 3500).status, HF_OK);  /* until 1004500 */
    struct inventory_options options = rig_options(64);
    uint64_t digest;
    struct inventory *replica = rig_replay(&rig, rig.log_count, &options, &digest);
    assert_true(inventory_next_deadline_ms(replica) == UINT64_MAX);
    inventory_replayed(replica);
    assert_true(inventory_next_deadline_ms(replica) <= 1004500);
    inventory_replayed(replica); /* enters nothing twice */
    char what[256] = "";
    assert_true(inventory_verify(replica, what, sizeof what));
    struct txn *txn = malloc(sizeof *txn);
    assert_non_null(txn);
    assert_int_equal(txn_init(txn, replica, 0), HF_OK);
    static const uint64_t times[] = {1004499, 1004500, 1004999, 1005000};
    static const uint32_t expired[] = {0, 1, 0, 1};
    uint64_t lsn = 1u << 20;
    for (int i = 0; i < 4; i++) {
        txn->now_ms = times[i];
        assert_int_equal(inventory_expire(txn), TXN_DONE);
        assert_int_equal(txn->event_count, expired[i]);
        for (uint32_t j = 0; j < txn->event_count; j++) {
            txn->events[j].lsn = lsn += 48;
        }
        inventory_publish(txn);
    }
    assert_true(inventory_next_deadline_ms(replica) == UINT64_MAX);
    assert_true(inventory_verify(replica, what, sizeof what));
    txn_deinit(txn);
    free(txn);
    inventory_deinit(replica);
    rig_close(&rig);
}

/* ---- Lists ---- */

#define LISTED 300u

/* Orders 1..LISTED: order i of item 1 + i % 3 (and of item 4 when i % 5 == 0), of buyer 7 but for
 * i % 4 == 0: of buyer 8; committed when i % 2 == 0. */
static void open_listed(struct rig *rig)
{
    struct inventory_options options = rig_options(1024);
    rig_open(rig, &options);
    static const char *const skus[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        rig_item(rig, skus[i], 1000);
    }
    for (uint32_t i = 1; i <= LISTED; i++) {
        struct order_line lines[] = {{1 + i % 3, 1}, {4, 1}};
        struct order_request request = {
            .id = {0xB0, i}, .buyer = i % 4 ? 7 : 8, .line_count = i % 5 ? 1 : 2, .lines = lines};
        struct order_outcome outcome;
        RIG_RUN(rig, inventory_reserve(rig->txn, &request, &outcome));
        assert_int_equal(outcome.status, HF_OK);
        if (i % 2 == 0) {
            assert_int_equal(rig_edit(rig, inventory_commit, i, NULL, 0).status, HF_OK);
        }
    }
}

static bool listed_fits(uint32_t i, const struct order_filter *filter)
{
    bool item = !filter->items;
    for (uint32_t k = 0; k < filter->item_count; k++) {
        item = item || filter->items[k] == 1 + i % 3 || (filter->items[k] == 4 && i % 5 == 0);
    }
    uint32_t state = i % 2 == 0 ? ORDER_COMMITTED : ORDER_HELD;
    return item && (filter->buyer == 0 || filter->buyer == (i % 4 ? 7u : 8u)) &&
           (filter->states == 0 || filter->states & 1u << state);
}

/* Each order that fits is listed once, and no other, whatever the steps. */
static void check_list(struct rig *rig, const struct order_filter *filter, uint32_t max,
                       uint32_t look_max)
{
    uint32_t seen[LISTED + 1] = {0};
    struct order_view views[LISTED];
    struct order_cursor cursor = {0};
    while (!cursor.done) {
        uint32_t count =
            inventory_list_orders(rig->inventory, filter, &cursor, views, max, look_max);
        assert_true(count <= max && count <= look_max);
        for (uint32_t i = 0; i < count; i++) {
            assert_in_range(views[i].id.lo, 1, LISTED);
            seen[views[i].id.lo]++;
            assert_int_equal(views[i].state,
                             views[i].id.lo % 2 == 0 ? ORDER_COMMITTED : ORDER_HELD);
            assert_int_equal(views[i].buyer, views[i].id.lo % 4 ? 7 : 8);
            assert_int_equal(views[i].line_count, views[i].id.lo % 5 ? 1 : 2);
            assert_int_equal(views[i].deadline_ms, 1001000);
        }
    }
    for (uint32_t i = 1; i <= LISTED; i++) {
        assert_int_equal(seen[i], listed_fits(i, filter));
    }
}

static void list_gives_what_the_filter_lets_through(void **state)
{
    (void)state;
    struct rig rig;
    open_listed(&rig);
    static const uint32_t sorted[] = {1, 4};
    static const uint32_t unsorted[] = {4, 2, 1};
    static const uint32_t other[] = {5, 9};
    const struct order_filter filters[] = {
        {0},
        {.buyer = 7},
        {.buyer = 9},
        {.items = sorted, .item_count = 2},
        {.items = unsorted, .item_count = 3},
        {.items = other, .item_count = 2},
        {.items = sorted, .item_count = 0},
        {.states = 1u << ORDER_HELD},
        {.states = 1u << ORDER_HELD | 1u << ORDER_COMMITTED},
        {.states = 1u << ORDER_EXPIRED},
        {.buyer = 8, .items = unsorted, .item_count = 2, .states = 1u << ORDER_COMMITTED},
    };
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        check_list(&rig, &filters[i], LISTED, 100000);
        check_list(&rig, &filters[i], 1, 100000);
        check_list(&rig, &filters[i], 7, 13);
        check_list(&rig, &filters[i], LISTED, 1);
    }
    rig_close(&rig);
}

/* ---- Pre-sale ---- */

static void covered_follows_stock_in_the_order_of_tickets(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(64);
    rig_open(&rig, &options);
    assert_int_equal(rig_define(&rig, "phone", "default", 0, 100), 1);
    assert_int_equal(rig_set_stock(&rig, 1, 4), HF_OK);
    /* 6 units, 2 of them pre-sold; then 3 and 5 pre-sold. */
    static const uint32_t qty[] = {6, 3, 5};
    struct order_line_view grants[3];
    enum order_state held = ORDER_HELD;
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(rig_reserve(&rig, i + 1, 1, qty[i]).status, HF_OK);
        assert_int_equal(rig_order(&rig, i + 1, &grants[i], 1).line_count, 1);
    }
    assert_int_equal(grants[0].presale_qty, 2);
    assert_int_equal(grants[1].presale_qty, 3);
    assert_int_equal(grants[2].presale_qty, 5);
    static const int64_t stocked[] = {4, 5, 6, 7, 9, 10, 13, 14, 20};
    static const uint32_t covered[][3] = {{0, 0, 0}, {1, 0, 0}, {2, 0, 0}, {2, 1, 0}, {2, 3, 0},
                                          {2, 3, 1}, {2, 3, 4}, {2, 3, 5}, {2, 3, 5}};
    for (int i = 0; i < 9; i++) {
        assert_int_equal(rig_set_stock(&rig, 1, stocked[i]), HF_OK);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(inventory_covered(rig.inventory, &grants[k], held), covered[i][k]);
        }
    }
    /* What is released is neither short nor covered. */
    assert_int_equal(rig_set_stock(&rig, 1, 9), HF_OK);
    assert_int_equal(rig_edit(&rig, inventory_release, 1, NULL, 0).status, HF_OK);
    rig_order(&rig, 1, &grants[0], 1);
    assert_int_equal(inventory_covered(rig.inventory, &grants[0], ORDER_RELEASED), 0);
    assert_int_equal(inventory_covered(rig.inventory, &grants[1], held), 3);
    assert_int_equal(inventory_covered(rig.inventory, &grants[2], held), 5);
    rig_check(&rig);
    check_replays(&rig);
    rig_close(&rig);
}

/* ---- Threads ---- */

#define WORKERS    3u
#define ROUNDS     3000u
#define ROUNDS_MAX 3000000u /* until FORGOTTEN orders were forgotten */
#define FORGOTTEN  300u
#define IDS        200u

static void work_once(struct worker *worker)
{
    static rig_edit_function *const edits[] = {inventory_commit, inventory_release,
                                               inventory_return};
    struct order_line lines[] = {{1, 2}, {2, 1}};
    struct order_request request = {.id = {0xB0, rng_below(&worker->rng, IDS)},
                                    .hold_ms = 1 + (uint32_t)rng_below(&worker->rng, 20),
                                    .lines = lines};
    request.buyer = 1 + request.id.lo % 5;
    request.line_count = 1 + request.id.lo % 2;
    struct order_edit edit = {.id = request.id, .late_ok = rng_chance(&worker->rng, 2)};
    struct order_outcome outcome;
    bool reserves = rng_chance(&worker->rng, 2);
    rig_edit_function *function = edits[rng_below(&worker->rng, 3)];
    while ((reserves ? inventory_reserve(worker->txn, &request, &outcome)
                     : function(worker->txn, &edit, &outcome)) == TXN_AGAIN) {
        if (worker->txn->event_count == 0) {
            sched_yield();
        }
        publish(worker->shared, worker->txn);
    }
    CHECK(outcome.status != HF_FULL && outcome.status != HF_INVALID);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct shared *shared = worker->shared;
    for (uint32_t i = 0;
         i < ROUNDS || (i < ROUNDS_MAX &&
                        atomic_load_explicit(&shared->forgotten, memory_order_relaxed) < FORGOTTEN);
         i++) {
        /* relaxed: a clock. */
        worker->txn->now_ms =
            atomic_fetch_add_explicit(&shared->now_ms, i % 16 == 0, memory_order_relaxed);
        work_once(worker);
        if (rng_chance(&worker->rng, 4)) {
            publish(shared, worker->txn);
        }
        if (i > ROUNDS) {
            sched_yield(); /* to who forgets */
        }
    }
    publish(shared, worker->txn);
    return NULL;
}

static void *expire_and_forget(void *argument)
{
    struct worker *worker = argument;
    struct order_cursor cursor = {0};
    /* acquire: pairs with the release after the workers have ended. */
    while (!atomic_load_explicit(&worker->shared->ended, memory_order_acquire)) {
        worker->txn->now_ms = atomic_load_explicit(&worker->shared->now_ms, memory_order_relaxed);
        (void)inventory_expire(worker->txn);
        publish(worker->shared, worker->txn);
        (void)inventory_tidy(worker->shared->rig.inventory);
        (void)inventory_forget(worker->txn, ALL_LSNS, &cursor, 50, NULL);
        atomic_fetch_add_explicit(&worker->shared->forgotten, worker->txn->event_count,
                                  memory_order_relaxed);
        publish(worker->shared, worker->txn);
        if (cursor.done) {
            cursor = (struct order_cursor){0};
        }
        sched_yield();
    }
    return NULL;
}

static void *list(void *argument)
{
    struct worker *worker = argument;
    struct order_cursor cursor = {0};
    struct order_view views[10];
    const uint32_t item = 2;
    struct order_filter filter = {.items = &item, .item_count = 1};
    while (!atomic_load_explicit(&worker->shared->ended, memory_order_acquire)) {
        uint32_t count =
            inventory_list_orders(worker->shared->rig.inventory, &filter, &cursor, views, 10, 64);
        for (uint32_t i = 0; i < count; i++) {
            CHECK(views[i].id.hi == 0xB0 && views[i].id.lo % 2 == 1);
            CHECK(views[i].line_count == 2 && views[i].state != ORDER_NONE);
        }
        (void)inventory_buyer_units(worker->shared->rig.inventory, bytes_of("phone"), 1);
        if (cursor.done) {
            cursor = (struct order_cursor){0};
        }
        sched_yield();
    }
    return NULL;
}

static void forget_agrees_with_threads_beside_it(void **state)
{
    (void)state;
    struct shared shared = {.seed = rng_seed_from_env(1)};
    struct inventory_options options = rig_options(4096);
    rig_open(&shared.rig, &options);
    pthread_mutex_init(&shared.log_mutex, NULL);
    atomic_init(&shared.now_ms, 1000000);
    rig_item(&shared.rig, "phone", 5000);
    rig_item(&shared.rig, "case", 1000000);
    struct sku_rule rule = {.sku = bytes_of("phone"), .limit_per_buyer = 600};
    assert_int_equal(inventory_define_sku(shared.rig.txn, &rule), HF_OK);
    rig_publish(&shared.rig);
    struct worker workers[WORKERS + 2];
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_start(&workers[i], &shared, i + 1, work);
    }
    worker_start(&workers[WORKERS], &shared, WORKERS + 1, expire_and_forget);
    worker_start(&workers[WORKERS + 1], &shared, WORKERS + 2, list);
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_join(&workers[i]);
    }
    /* release: pairs with the acquire in expire_and_forget and list. */
    atomic_store_explicit(&shared.ended, true, memory_order_release);
    worker_join(&workers[WORKERS]);
    worker_join(&workers[WORKERS + 1]);
    print_message("%u events, SEED=%llu\n", shared.rig.log_count, (unsigned long long)shared.seed);
    /* relaxed: all threads were joined. */
    assert_true(atomic_load_explicit(&shared.forgotten, memory_order_relaxed) >= FORGOTTEN);
    rig_check(&shared.rig);
    assert_true(rig_stock(&shared.rig, 1).available >= 0);
    uint64_t digest;
    struct inventory *replica = rig_replay(&shared.rig, shared.rig.log_count, &options, &digest);
    assert_int_equal(inventory_digest(replica), digest);
    inventory_deinit(replica);
    pthread_mutex_destroy(&shared.log_mutex);
    rig_close(&shared.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forget_takes_ended_orders_and_keeps_what_they_sold),
        cmocka_unit_test(forget_frees_the_id_for_another_order),
        cmocka_unit_test(forget_takes_only_what_changed_before_the_lsn),
        cmocka_unit_test(forget_waits_for_the_deadlines_hint),
        cmocka_unit_test(forget_leaves_orders_in_hand_and_has_them_in_hand),
        cmocka_unit_test(forget_settles_what_partial_orders_sold),
        cmocka_unit_test(forget_keeps_what_counts_towards_limits),
        cmocka_unit_test(forget_goes_on_after_a_full_transaction),
        cmocka_unit_test(forget_looks_at_so_many_and_goes_on),
        cmocka_unit_test(forget_of_what_has_not_ended_is_damage),
        cmocka_unit_test(replayed_enters_the_deadlines_of_held_orders),
        cmocka_unit_test(list_gives_what_the_filter_lets_through),
        cmocka_unit_test(covered_follows_stock_in_the_order_of_tickets),
        cmocka_unit_test(forget_agrees_with_threads_beside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

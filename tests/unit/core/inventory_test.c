/* inventory_test.c - docs/design.md, States, cell by cell, and the bounds of every operation.
 *
 * The rig's engine holds for 1000 ms by default and 5000 ms at most; its time is 1 000 000. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/core_rig.h"

#define NOW 1000000u

static void open_small(struct rig *rig)
{
    struct inventory_options options = rig_options(64);
    rig_open(rig, &options);
}

static void close_checked(struct rig *rig)
{
    rig_check(rig);
    uint64_t sum;
    struct inventory_options options = rig_options(64);
    struct inventory *replica = rig_replay(rig, rig->log_count, &options, &sum);
    assert_int_equal(sum, rig->digest);
    assert_int_equal(inventory_digest(replica), sum);
    inventory_deinit(replica);
    rig_close(rig);
}

#define assert_outcome(outcome, wanted_status, wanted_replayed, wanted_state)                      \
    do {                                                                                           \
        struct order_outcome got = (outcome);                                                      \
        assert_string_equal(hf_status_name(got.status), hf_status_name(wanted_status));            \
        assert_int_equal(got.replayed, wanted_replayed);                                           \
        assert_int_equal(got.state, wanted_state);                                                 \
    } while (0)

/* ---- The table of docs/design.md, States ---- */

/* Brings order 1, of two units of item 1, into a state. */
static void bring(struct rig *rig, enum order_state state)
{
    open_small(rig);
    rig_item(rig, "a", 10);
    if (state == ORDER_NONE) {
        return;
    }
    assert_outcome(rig_reserve(rig, 1, 1, 2), HF_OK, false, ORDER_HELD);
    switch (state) {
    case ORDER_COMMITTED:
        rig_edit(rig, inventory_commit, 1, NULL, 0);
        break;
    case ORDER_RELEASED:
        rig_edit(rig, inventory_release, 1, NULL, 0);
        break;
    case ORDER_EXPIRED:
        rig->txn->now_ms = NOW + 1000;
        rig_expire(rig);
        break;
    case ORDER_RETURNED:
        rig_edit(rig, inventory_commit, 1, NULL, 0);
        rig_edit(rig, inventory_return, 1, NULL, 0);
        break;
    default:
        break;
    }
    assert_int_equal(rig_state(rig, 1), state);
}

/* What the two units are after the operation. */
static void assert_units(struct rig *rig, int64_t held, int64_t sold)
{
    struct stock_view view = rig_stock(rig, 1);
    assert_int_equal(view.held, held);
    assert_int_equal(view.sold, sold);
    assert_int_equal(view.available, 10 - held - sold);
}

enum operation { RESERVE, COMMIT, COMMIT_LATE, RELEASE, EXTEND, RETURN, EXPIRE, OPERATIONS };

struct cell {
    enum hf_status status;
    bool replayed;
    enum order_state state;
};

/* Rows: from NONE, HELD, COMMITTED, RELEASED, EXPIRED, RETURNED; as docs/design.md has them. */
static const struct cell table[6][OPERATIONS] = {
    [ORDER_NONE] = {{HF_OK, false, ORDER_HELD},
                    {HF_NOT_FOUND, false, ORDER_NONE},
                    {HF_NOT_FOUND, false, ORDER_NONE},
                    {HF_NOT_FOUND, false, ORDER_NONE},
                    {HF_NOT_FOUND, false, ORDER_NONE},
                    {HF_NOT_FOUND, false, ORDER_NONE},
                    {HF_OK, false, ORDER_NONE}},
    [ORDER_HELD] = {{HF_OK, true, ORDER_HELD},
                    {HF_OK, false, ORDER_COMMITTED},
                    {HF_OK, false, ORDER_COMMITTED},
                    {HF_OK, false, ORDER_RELEASED},
                    {HF_OK, false, ORDER_HELD},
                    {HF_NOT_COMMITTED, false, ORDER_HELD},
                    {HF_OK, false, ORDER_EXPIRED}},
    [ORDER_COMMITTED] = {{HF_OK, true, ORDER_COMMITTED},
                         {HF_OK, true, ORDER_COMMITTED},
                         {HF_OK, true, ORDER_COMMITTED},
                         {HF_ALREADY_COMMITTED, false, ORDER_COMMITTED},
                         {HF_ALREADY_COMMITTED, false, ORDER_COMMITTED},
                         {HF_OK, false, ORDER_RETURNED},
                         {HF_OK, false, ORDER_COMMITTED}},
    [ORDER_RELEASED] = {{HF_OK, true, ORDER_RELEASED},
                        {HF_ALREADY_RELEASED, false, ORDER_RELEASED},
                        {HF_ALREADY_RELEASED, false, ORDER_RELEASED},
                        {HF_OK, true, ORDER_RELEASED},
                        {HF_ALREADY_RELEASED, false, ORDER_RELEASED},
                        {HF_ALREADY_RELEASED, false, ORDER_RELEASED},
                        {HF_OK, false, ORDER_RELEASED}},
    [ORDER_EXPIRED] = {{HF_OK, true, ORDER_EXPIRED},
                       {HF_EXPIRED, false, ORDER_EXPIRED},
                       {HF_OK, false, ORDER_COMMITTED},
                       {HF_OK, true, ORDER_EXPIRED},
                       {HF_EXPIRED, false, ORDER_EXPIRED},
                       {HF_EXPIRED, false, ORDER_EXPIRED},
                       {HF_OK, false, ORDER_EXPIRED}},
    [ORDER_RETURNED] = {{HF_OK, true, ORDER_RETURNED},
                        {HF_OK, true, ORDER_RETURNED},
                        {HF_OK, true, ORDER_RETURNED},
                        {HF_ALREADY_COMMITTED, false, ORDER_RETURNED},
                        {HF_ALREADY_COMMITTED, false, ORDER_RETURNED},
                        {HF_OK, true, ORDER_RETURNED},
                        {HF_OK, false, ORDER_RETURNED}},
};

static struct order_outcome operate(struct rig *rig, enum operation operation)
{
    switch (operation) {
    case RESERVE:
        return rig_reserve(rig, 1, 1, 2);
    case COMMIT:
        return rig_edit(rig, inventory_commit, 1, NULL, 0);
    case COMMIT_LATE:
        return rig_commit_late(rig, 1);
    case RELEASE:
        return rig_edit(rig, inventory_release, 1, NULL, 0);
    case EXTEND:
        return rig_extend(rig, 1, 3000);
    case RETURN:
        return rig_edit(rig, inventory_return, 1, NULL, 0);
    default:
        rig->txn->now_ms += 1000;
        rig_expire(rig);
        return (struct order_outcome){.status = HF_OK, .state = rig_state(rig, 1)};
    }
}

static void inventory_follows_each_cell_of_the_table(void **state)
{
    (void)state;
    for (unsigned from = ORDER_NONE; from <= ORDER_RETURNED; from++) {
        for (unsigned operation = 0; operation < OPERATIONS; operation++) {
            struct rig rig;
            bring(&rig, (enum order_state)from);
            const struct cell *cell = &table[from][operation];
            uint32_t events = rig.log_count;
            struct order_outcome outcome = operate(&rig, (enum operation)operation);
            assert_outcome(outcome, cell->status, cell->replayed, cell->state);
            assert_int_equal(rig_state(&rig, 1), cell->state);
            bool changed = cell->state != (enum order_state)from ||
                           (from == ORDER_HELD && operation == EXTEND);
            assert_int_equal(rig.log_count, events + changed);
            bool sold = cell->state == ORDER_COMMITTED;
            assert_units(&rig, cell->state == ORDER_HELD ? 2 : 0, sold ? 2 : 0);
            if (operation == RESERVE) {
                assert_int_equal(outcome.deadline_ms, NOW + 1000);
            }
            close_checked(&rig);
        }
    }
}

/* ---- Reserve ---- */

static void inventory_reserve_refuses_another_order_with_the_same_id(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 100);
    rig_item(&rig, "b", 100);
    struct order_line lines[2] = {{1, 2}, {2, 3}};
    assert_outcome(rig_reserve_lines(&rig, 1, lines, 2, 0), HF_OK, false, ORDER_HELD);
    assert_outcome(rig_reserve_lines(&rig, 1, lines, 2, 77), HF_OK, true, ORDER_HELD);
    assert_outcome(rig_reserve_lines(&rig, 1, lines, 1, 0), HF_ID_CONFLICT, false, ORDER_HELD);
    struct order_line swapped[2] = {{2, 3}, {1, 2}};
    assert_outcome(rig_reserve_lines(&rig, 1, swapped, 2, 0), HF_ID_CONFLICT, false, ORDER_HELD);
    struct order_line other_qty[2] = {{1, 2}, {2, 4}};
    assert_outcome(rig_reserve_lines(&rig, 1, other_qty, 2, 0), HF_ID_CONFLICT, false, ORDER_HELD);
    struct order_request request = {.id = {0xB0, 1}, .buyer = 8, .line_count = 2, .lines = lines};
    struct order_outcome outcome;
    RIG_RUN(&rig, inventory_reserve(rig.txn, &request, &outcome));
    assert_outcome(outcome, HF_ID_CONFLICT, false, ORDER_HELD);
    assert_int_equal(rig_stock(&rig, 1).held, 2);
    close_checked(&rig);
}

static void inventory_reserve_is_all_or_nothing(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    for (uint32_t i = 1; i <= 3; i++) {
        rig_item(&rig, i == 1 ? "a" : i == 2 ? "b" : "c", 5);
    }
    struct order_line lines[4] = {{3, 3}, {1, 5}, {3, 3}, {2, 1}};
    struct order_outcome outcome = rig_reserve_lines(&rig, 1, lines, 4, 0);
    assert_outcome(outcome, HF_SOLD_OUT, false, ORDER_NONE);
    assert_int_equal(outcome.blocking_line, 1); /* 3 + 3 of item 3, added up */
    assert_int_equal(rig_stock(&rig, 1).available, 5);
    assert_int_equal(rig_state(&rig, 1), ORDER_NONE);
    lines[2].qty = 2;
    assert_outcome(rig_reserve_lines(&rig, 1, lines, 4, 0), HF_OK, false, ORDER_HELD);
    assert_int_equal(rig_stock(&rig, 3).available, 0);
    assert_outcome(rig_reserve(&rig, 2, 3, 1), HF_SOLD_OUT, false, ORDER_NONE);
    assert_outcome(rig_reserve(&rig, 2, 2, 4), HF_OK, false, ORDER_HELD);
    assert_outcome(rig_reserve(&rig, 3, 2, 1), HF_SOLD_OUT, false, ORDER_NONE);
    close_checked(&rig);
}

static void inventory_reserve_takes_the_longest_order_and_the_greatest_quantity(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", STOCK_MAX);
    rig_item(&rig, "b", STOCK_MAX);
    static struct order_line lines[ORDER_LINES_MAX];
    for (uint32_t i = 0; i < ORDER_LINES_MAX; i++) {
        lines[i] = (struct order_line){1 + i % 2, QTY_MAX};
    }
    assert_outcome(rig_reserve_lines(&rig, 1, lines, ORDER_LINES_MAX, 0), HF_OK, false, ORDER_HELD);
    assert_int_equal(rig_stock(&rig, 1).held, (int64_t)QTY_MAX * ORDER_LINES_MAX / 2);
    static struct order_line_view views[ORDER_LINES_MAX];
    assert_int_equal(rig_order(&rig, 1, views, ORDER_LINES_MAX).line_count, ORDER_LINES_MAX);
    assert_int_equal(views[ORDER_LINES_MAX - 1].item, 2);
    struct line_qty part = {ORDER_LINES_MAX, QTY_MAX};
    assert_outcome(rig_edit(&rig, inventory_commit, 1, &part, 1), HF_OK, false, ORDER_COMMITTED);
    assert_int_equal(rig_stock(&rig, 1).held, 0);
    assert_int_equal(rig_stock(&rig, 2).sold, QTY_MAX);
    close_checked(&rig);
}

static void inventory_reserve_holds_as_long_as_the_rules_say(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 100);
    rig_item(&rig, "b", 100);
    struct order_line lines[2] = {{1, 1}, {2, 1}};
    struct order_outcome outcome = rig_reserve_lines(&rig, 1, lines, 1, 5000);
    assert_int_equal(outcome.deadline_ms, NOW + 5000);
    outcome = rig_reserve_lines(&rig, 2, lines, 1, 5001);
    assert_outcome(outcome, HF_INVALID, false, ORDER_NONE);
    assert_string_equal(outcome.reason, "hold_ms is greater than the engine allows: 5000 at most");
    struct sku_rule rule = {.sku = bytes_of("b"), .hold_ms = 300, .hold_ms_max = 600};
    assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_OK);
    rig_publish(&rig);
    assert_int_equal(rig_reserve_lines(&rig, 3, lines, 2, 0).deadline_ms, NOW + 300);
    assert_int_equal(rig_reserve_lines(&rig, 4, lines, 2, 600).deadline_ms, NOW + 600);
    outcome = rig_reserve_lines(&rig, 5, lines, 2, 601);
    assert_outcome(outcome, HF_INVALID, false, ORDER_NONE);
    assert_int_equal(outcome.blocking_line, 2);
    assert_string_equal(outcome.reason, "hold_ms is greater than the SKU allows");
    assert_int_equal(rig_reserve_lines(&rig, 6, lines, 1, 0).deadline_ms, NOW + 1000);
    rule = (struct sku_rule){.sku = bytes_of("b"), .hold_ms_max = 600};
    assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_OK);
    rig_publish(&rig);
    assert_int_equal(rig_reserve_lines(&rig, 7, lines, 2, 0).deadline_ms, NOW + 600);
    close_checked(&rig);
}

static void inventory_reserve_keeps_to_the_sale_rules(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 100);
    rig_item(&rig, "b", 100);
    struct sku_rule rule = {
        .sku = bytes_of("b"), .opens_at_ms = NOW + 10, .closes_at_ms = NOW + 20};
    assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_OK);
    rig_publish(&rig);
    static const struct {
        uint64_t now_ms;
        enum hf_status status;
    } moments[] = {
        {NOW + 9, HF_NOT_OPEN}, {NOW + 10, HF_OK}, {NOW + 19, HF_OK}, {NOW + 20, HF_CLOSED}};
    struct order_line lines[2] = {{1, 1}, {2, 1}};
    for (uint32_t i = 0; i < 4; i++) {
        rig.txn->now_ms = moments[i].now_ms;
        struct order_outcome outcome = rig_reserve_lines(&rig, 10 + i, lines, 2, 0);
        assert_int_equal(outcome.status, moments[i].status);
        assert_int_equal(outcome.blocking_line, moments[i].status == HF_OK ? 0 : 2);
    }
    /* A retry gets its first answer whatever the rules say now. */
    assert_outcome(rig_reserve_lines(&rig, 11, lines, 2, 0), HF_OK, true, ORDER_HELD);
    rule = (struct sku_rule){.sku = bytes_of("b"), .paused = true};
    assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_OK);
    rig_publish(&rig);
    assert_outcome(rig_reserve(&rig, 20, 2, 1), HF_PAUSED, false, ORDER_NONE);
    assert_outcome(rig_reserve(&rig, 20, 1, 1), HF_OK, false, ORDER_HELD);
    close_checked(&rig);
}

static void inventory_reserve_is_full_at_orders_max(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(3);
    rig_open(&rig, &options);
    rig_item(&rig, "a", 100);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_outcome(rig_reserve(&rig, i, 1, 1), HF_OK, false, ORDER_HELD);
    }
    assert_outcome(rig_reserve(&rig, 4, 1, 1), HF_FULL, false, ORDER_NONE);
    struct order_line lines[2] = {{1, 1}, {1, 1}};
    assert_outcome(rig_reserve_lines(&rig, 4, lines, 2, 0), HF_FULL, false, ORDER_NONE);
    assert_outcome(rig_reserve(&rig, 3, 1, 1), HF_OK, true, ORDER_HELD);
    assert_int_equal(rig_stock(&rig, 1).held, 3);
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- Transactions ---- */

static void inventory_shows_nothing_before_publish(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    struct order_line line = {1, 4};
    struct order_request request = {.id = {0xB0, 1}, .buyer = 7, .line_count = 1, .lines = &line};
    struct order_outcome outcome;
    assert_int_equal(inventory_reserve(rig.txn, &request, &outcome), TXN_DONE);
    assert_int_equal(rig_state(&rig, 1), ORDER_NONE);
    assert_int_equal(rig_stock(&rig, 1).available, 10);
    assert_int_equal(rig_stock(&rig, 1).held, 0);
    struct inventory_counts counts;
    inventory_counts(rig.inventory, &counts);
    assert_int_equal(counts.orders_known, 0);
    assert_true(inventory_next_deadline_ms(rig.inventory) == UINT64_MAX);
    /* The same id once more in the transaction: only after its publication. */
    assert_int_equal(inventory_reserve(rig.txn, &request, &outcome), TXN_AGAIN);
    struct order_edit edit = {.id = {0xB0, 1}};
    assert_int_equal(inventory_commit(rig.txn, &edit, &outcome), TXN_AGAIN);
    rig_publish(&rig);
    assert_int_equal(inventory_reserve(rig.txn, &request, &outcome), TXN_DONE);
    assert_outcome(outcome, HF_OK, true, ORDER_HELD);
    assert_true(inventory_next_deadline_ms(rig.inventory) <= NOW + 1000);

    assert_int_equal(inventory_release(rig.txn, &edit, &outcome), TXN_DONE);
    assert_outcome(outcome, HF_OK, false, ORDER_RELEASED);
    assert_int_equal(rig_state(&rig, 1), ORDER_HELD);
    assert_int_equal(rig_stock(&rig, 1).available, 6);
    assert_int_equal(inventory_commit(rig.txn, &edit, &outcome), TXN_AGAIN);
    rig_publish(&rig);
    assert_int_equal(rig_state(&rig, 1), ORDER_RELEASED);
    assert_int_equal(rig_stock(&rig, 1).available, 10);
    assert_int_equal(rig_order(&rig, 1, NULL, 0).lsn, rig.lsn);
    inventory_counts(rig.inventory, &counts);
    assert_int_equal(counts.orders_known, 1);
    assert_int_equal(counts.orders_held, 0);
    close_checked(&rig);
}

static void inventory_another_transaction_waits_for_a_busy_order(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    rig_reserve(&rig, 1, 1, 1);
    struct txn *other = malloc(sizeof *other);
    assert_non_null(other);
    assert_int_equal(txn_init(other, rig.inventory, 1), HF_OK);
    other->now_ms = NOW;
    struct order_edit edit = {.id = {0xB0, 1}};
    struct order_outcome outcome;
    assert_int_equal(inventory_commit(rig.txn, &edit, &outcome), TXN_DONE);
    assert_int_equal(inventory_release(other, &edit, &outcome), TXN_AGAIN);
    assert_int_equal(other->event_count, 0);
    rig_publish(&rig);
    assert_int_equal(inventory_release(other, &edit, &outcome), TXN_DONE);
    assert_outcome(outcome, HF_ALREADY_COMMITTED, false, ORDER_COMMITTED);
    txn_deinit(other);
    free(other);
    close_checked(&rig);
}

static void inventory_transaction_ends_at_its_bounds(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(5000);
    rig_open(&rig, &options);
    rig_item(&rig, "a", STOCK_MAX);
    static struct order_line lines[ORDER_LINES_MAX];
    for (uint32_t i = 0; i < ORDER_LINES_MAX; i++) {
        lines[i] = (struct order_line){1, 1};
    }
    struct order_request request = {.line_count = 1, .lines = lines};
    struct order_outcome outcome;
    uint64_t id = 0;
    for (uint32_t i = 0; i < TXN_EVENTS_MAX; i++) {
        request.id = (struct id128){0xB0, ++id};
        assert_int_equal(inventory_reserve(rig.txn, &request, &outcome), TXN_DONE);
    }
    request.id = (struct id128){0xB0, ++id};
    assert_int_equal(inventory_reserve(rig.txn, &request, &outcome), TXN_AGAIN);
    assert_int_equal(rig.txn->event_count, TXN_EVENTS_MAX);
    rig_publish(&rig);

    /* Long orders: as many as surely fit one append. */
    request.line_count = ORDER_LINES_MAX;
    uint64_t bytes = 0;
    while (inventory_reserve(rig.txn, &request, &outcome) == TXN_DONE) {
        assert_int_equal(outcome.status, HF_OK);
        bytes += 48 + 8 * ORDER_LINES_MAX;
        request.id = (struct id128){0xB0, ++id};
    }
    assert_true(bytes <= WAL_APPEND_BYTES_MAX);
    assert_true(bytes > WAL_APPEND_BYTES_MAX - 40000);
    for (uint32_t i = 0; i < rig.txn->event_count; i++) {
        assert_memory_equal(rig.txn->events[i].lines, lines, sizeof lines);
    }
    rig_publish(&rig);
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- Parts ---- */

static void inventory_commit_of_a_part_releases_the_rest(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    rig_item(&rig, "b", 10);
    struct order_line lines[2] = {{1, 4}, {2, 3}};
    rig_reserve_lines(&rig, 1, lines, 2, 0);
    struct line_qty part[2] = {{1, 3}, {1, 3}};
    assert_outcome(rig_edit(&rig, inventory_commit, 1, part, 1), HF_OK, false, ORDER_COMMITTED);
    assert_int_equal(rig_stock(&rig, 1).sold, 3);
    assert_int_equal(rig_stock(&rig, 1).available, 7);
    assert_int_equal(rig_stock(&rig, 2).sold, 0);
    assert_int_equal(rig_stock(&rig, 2).available, 10);
    struct order_line_view views[2];
    rig_order(&rig, 1, views, 2);
    assert_int_equal(views[0].committed, 3);
    assert_int_equal(views[0].released, 0); /* left out by the commit is not released before it */
    assert_int_equal(views[1].committed, 0);
    /* It is final; and only what was committed can come back. */
    part[0].qty = 4;
    assert_outcome(rig_edit(&rig, inventory_commit, 1, part, 1), HF_ID_CONFLICT, false,
                   ORDER_COMMITTED);
    assert_outcome(rig_edit(&rig, inventory_return, 1, part, 1), HF_INVALID, false,
                   ORDER_COMMITTED);
    part[0].qty = 3;
    assert_outcome(rig_edit(&rig, inventory_return, 1, part, 1), HF_OK, false, ORDER_RETURNED);
    assert_int_equal(rig_stock(&rig, 1).available, 10);
    close_checked(&rig);
}

static void inventory_release_counts_totals(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    rig_reserve(&rig, 1, 1, 5);
    struct line_qty part = {1, 2};
    assert_outcome(rig_edit(&rig, inventory_release, 1, &part, 1), HF_OK, false, ORDER_HELD);
    assert_outcome(rig_edit(&rig, inventory_release, 1, &part, 1), HF_OK, true, ORDER_HELD);
    part.qty = 1;
    assert_outcome(rig_edit(&rig, inventory_release, 1, &part, 1), HF_OK, true, ORDER_HELD);
    assert_int_equal(rig_stock(&rig, 1).held, 3);
    assert_outcome(rig_reserve(&rig, 1, 1, 5), HF_OK, true, ORDER_HELD);
    part.qty = 6;
    assert_outcome(rig_edit(&rig, inventory_release, 1, &part, 1), HF_INVALID, false, ORDER_HELD);
    part.qty = 4;
    assert_outcome(rig_edit(&rig, inventory_commit, 1, &part, 1), HF_INVALID, false, ORDER_HELD);
    part.qty = 5;
    assert_outcome(rig_edit(&rig, inventory_release, 1, &part, 1), HF_OK, false, ORDER_RELEASED);
    assert_int_equal(rig_stock(&rig, 1).available, 10);

    rig_reserve(&rig, 2, 1, 5);
    part.qty = 2;
    rig_edit(&rig, inventory_release, 2, &part, 1);
    assert_outcome(rig_edit(&rig, inventory_commit, 2, NULL, 0), HF_OK, false, ORDER_COMMITTED);
    assert_int_equal(rig_stock(&rig, 1).sold, 3);
    close_checked(&rig);
}

static void inventory_return_counts_totals(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    rig_reserve(&rig, 1, 1, 5);
    rig_edit(&rig, inventory_commit, 1, NULL, 0);
    struct line_qty part = {1, 2};
    assert_outcome(rig_edit(&rig, inventory_return, 1, &part, 1), HF_OK, false, ORDER_COMMITTED);
    assert_outcome(rig_edit(&rig, inventory_return, 1, &part, 1), HF_OK, true, ORDER_COMMITTED);
    assert_int_equal(rig_stock(&rig, 1).sold, 3);
    part.qty = 6;
    assert_outcome(rig_edit(&rig, inventory_return, 1, &part, 1), HF_INVALID, false,
                   ORDER_COMMITTED);
    part.qty = 5;
    assert_outcome(rig_edit(&rig, inventory_return, 1, &part, 1), HF_OK, false, ORDER_RETURNED);
    assert_int_equal(rig_stock(&rig, 1).available, 10);
    close_checked(&rig);
}

static void inventory_edit_refuses_lines_that_do_not_fit(void **state)
{
    (void)state;
    struct rig rig;
    open_small(&rig);
    rig_item(&rig, "a", 10);
    struct order_line lines[2] = {{1, 1}, {1, 2}};
    rig_reserve_lines(&rig, 1, lines, 2, 0);
    static const struct {
        struct line_qty edit[2];
        uint32_t count;
        uint32_t blocking_line;
        const char *reason;
    } cases[] = {
        {{{0, 1}}, 1, 0, "line is not a line of the order"},
        {{{3, 1}}, 1, 3, "line is not a line of the order"},
        {{{2, 1}, {2, 1}}, 2, 2, "a line is named twice"},
        {{{2, 3}}, 1, 2, "quantity is greater than the line holds"},
        {{{2, UINT32_MAX}}, 1, 2, "quantity is greater than the line holds"},
        {{{1, 0}, {2, 0}}, 2, 0, "nothing would be committed: release instead"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct order_outcome outcome =
            rig_edit(&rig, inventory_commit, 1, cases[i].edit, cases[i].count);
        assert_outcome(outcome, HF_INVALID, false, ORDER_HELD);
        assert_int_equal(outcome.blocking_line, cases[i].blocking_line);
        assert_string_equal(outcome.reason, cases[i].reason);
    }
    assert_int_equal(rig_stock(&rig, 1).held, 3);
    close_checked(&rig);
}

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

/* ---- Sale rules: policies, fallbacks, limits, pre-sale ---- */

static struct order_outcome reserve_shaped(struct rig *rig, uint64_t id, uint64_t buyer,
                                           const struct order_line *lines,
                                           const struct line_shape *shapes, uint32_t line_count)
{
    struct order_request request = {.id = {0xB0, id},
                                    .buyer = buyer,
                                    .line_count = line_count,
                                    .lines = lines,
                                    .shapes = shapes};
    struct order_outcome outcome;
    RIG_RUN(rig, inventory_reserve(rig->txn, &request, &outcome));
    return outcome;
}

static struct order_outcome reserve_by(struct rig *rig, uint64_t id, uint64_t buyer, uint32_t item,
                                       uint32_t qty)
{
    struct order_line line = {item, qty};
    return reserve_shaped(rig, id, buyer, &line, NULL, 1);
}

static void set_rule(struct rig *rig, struct sku_rule rule)
{
    assert_int_equal(inventory_define_sku(rig->txn, &rule), HF_OK);
    rig_publish(rig);
}

static void set_limit(struct rig *rig, const char *sku, uint32_t limit)
{
    set_rule(rig, (struct sku_rule){.sku = bytes_of(sku), .limit_per_buyer = limit});
}

/* An item of a SKU in a pool, with units. */
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

static void assert_grant(const struct order_outcome *outcome, uint32_t i, uint32_t line,
                         uint32_t item, uint32_t qty)
{
    assert_true(i < outcome->grant_count);
    assert_int_equal(outcome->grants[i].line, line);
    assert_int_equal(outcome->grants[i].item, item);
    assert_int_equal(outcome->grants[i].qty, qty);
}

static void assert_refused(struct order_outcome outcome, enum hf_status status, uint32_t line)
{
    assert_outcome(outcome, status, false, ORDER_NONE);
    assert_int_equal(outcome.blocking_line, line);
    assert_int_equal(outcome.grant_count, 0);
}

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
        cmocka_unit_test(inventory_follows_each_cell_of_the_table),
        cmocka_unit_test(inventory_reserve_refuses_another_order_with_the_same_id),
        cmocka_unit_test(inventory_reserve_is_all_or_nothing),
        cmocka_unit_test(inventory_reserve_takes_the_longest_order_and_the_greatest_quantity),
        cmocka_unit_test(inventory_reserve_holds_as_long_as_the_rules_say),
        cmocka_unit_test(inventory_reserve_keeps_to_the_sale_rules),
        cmocka_unit_test(inventory_reserve_is_full_at_orders_max),
        cmocka_unit_test(inventory_shows_nothing_before_publish),
        cmocka_unit_test(inventory_another_transaction_waits_for_a_busy_order),
        cmocka_unit_test(inventory_transaction_ends_at_its_bounds),
        cmocka_unit_test(inventory_commit_of_a_part_releases_the_rest),
        cmocka_unit_test(inventory_release_counts_totals),
        cmocka_unit_test(inventory_return_counts_totals),
        cmocka_unit_test(inventory_edit_refuses_lines_that_do_not_fit),
        cmocka_unit_test(inventory_expires_to_the_millisecond),
        cmocka_unit_test(inventory_commit_after_the_deadline_finds_it_expired),
        cmocka_unit_test(inventory_late_commit_needs_all_units_free_again),
        cmocka_unit_test(inventory_extend_moves_the_deadline_forward_only),
        cmocka_unit_test(inventory_extend_stays_within_32_bits_of_the_first_deadline),
        cmocka_unit_test(inventory_expire_fills_transactions_and_keeps_busy_orders),
        cmocka_unit_test(inventory_adjust_never_leaves_less_than_was_promised),
        cmocka_unit_test(inventory_define_takes_what_it_sets_aside_before_its_record),
        cmocka_unit_test(inventory_adjust_is_made_once),
        cmocka_unit_test(inventory_adjust_compares_and_keeps_within_bounds),
        cmocka_unit_test(inventory_apply_refuses_what_does_not_fit),
        cmocka_unit_test(inventory_replayed_orders_expire_in_time),
        cmocka_unit_test(inventory_up_to_gives_what_there_is_down_to_the_minimum),
        cmocka_unit_test(inventory_minimums_of_all_lines_come_before_more_of_one),
        cmocka_unit_test(inventory_optional_line_is_left_out_for_any_reason),
        cmocka_unit_test(inventory_fallbacks_are_tried_in_order_for_the_whole_quantity),
        cmocka_unit_test(inventory_split_fills_one_item_after_another),
        cmocka_unit_test(inventory_split_up_to_adds_to_what_it_has),
        cmocka_unit_test(inventory_up_to_of_one_item_prefers_the_whole_quantity),
        cmocka_unit_test(inventory_limit_holds_over_orders_pools_and_lines),
        cmocka_unit_test(inventory_limit_is_given_back_by_all_but_commit),
        cmocka_unit_test(inventory_limit_caps_lines_that_take_what_there_is),
        cmocka_unit_test(inventory_split_keeps_to_the_limit_of_each_sku),
        cmocka_unit_test(inventory_reserve_is_full_when_no_more_buyers_are_counted),
        cmocka_unit_test(inventory_fallbacks_that_are_not_on_sale_are_skipped),
        cmocka_unit_test(inventory_shaped_order_holds_as_its_grants_allow),
        cmocka_unit_test(inventory_presale_tells_what_is_beyond_stock),
        cmocka_unit_test(inventory_presale_is_covered_in_the_order_of_tickets),
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

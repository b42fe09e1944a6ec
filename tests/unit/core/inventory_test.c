/* inventory_test.c - the design's section 2 cell by cell, and the bounds of every operation.
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

/* ---- The table of section 2 ---- */

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

/* Rows: from NONE, HELD, COMMITTED, RELEASED, EXPIRED, RETURNED; as the design has them. */
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
    assert_string_equal(outcome.reason, "hold_ms is greater than the engine allows");
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
    assert_int_equal(rig_stock(&rig, 1).available, 6);
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
    assert_int_equal(views[0].released, 1);
    assert_int_equal(views[1].released, 3);
    /* It is final; and only what was committed can come back. */
    part[0].qty = 4;
    assert_outcome(rig_edit(&rig, inventory_commit, 1, part, 1), HF_OK, true, ORDER_COMMITTED);
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
    assert_int_equal(rig_reserve(&rig, 1, 1, 1).deadline_ms, NOW + 1000); /* the first answer */
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
    assert_true(inventory_next_deadline_ms(rig.inventory) <= NOW + 2000);
    assert_int_equal(rig_reserve(&rig, 1, 1, 2).deadline_ms, NOW + 1000);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

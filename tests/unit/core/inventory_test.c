/* inventory_test.c - docs/design.md, States, cell by cell; reserving, transactions, and edits of
 * parts. */
#include "inventory_rig.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

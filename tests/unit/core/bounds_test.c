/* bounds_test.c - both sides of each bound that the core itself keeps: of events that a log may
 * hold, of tickets, of what tells two orders with one hash apart, of sums.
 *
 * What is one beyond is refused, and leaves orders, stock and digest as they were. The requests'
 * bounds are in unit/server/bounds_test.c. Threads: one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/image.h"
#include "core/inventory_grant.h"
#include "core/inventory_internal.h"
#include "core/presale.h"
#include "lib/core_rig.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void close_checked(struct rig *rig)
{
    rig_check(rig);
    uint64_t digest;
    struct inventory_options options = rig_options(4096);
    struct inventory *replica = rig_replay(rig, rig->log_count, &options, &digest);
    assert_true(digest == rig->digest && inventory_digest(replica) == digest);
    inventory_deinit(replica);
    rig_close(rig);
}

/* Applies an event as replay would: what is not OK must leave everything as it was. */
static enum hf_status apply(struct rig *rig, struct event event)
{
    event.lsn = rig->lsn += 48;
    enum hf_status status = inventory_apply(rig->inventory, &event);
    if (status == HF_OK) {
        rig->digest += event.digest_delta;
        rig_log(rig, &event);
    }
    rig_check(rig);
    return status;
}

static enum hf_status apply_lines(struct rig *rig, uint64_t id, const struct order_line *lines,
                                  uint32_t count)
{
    struct event event = {.type = EVENT_ORDER_HELD,
                          .id = {0xB0, id},
                          .buyer = 7,
                          .deadline_ms = 5000000,
                          .line_count = count,
                          .lines = lines};
    event.one = lines[0];
    if (count == 1) {
        event.lines = &event.one;
    }
    return apply(rig, event);
}

static enum hf_status apply_grants(struct rig *rig, uint64_t id, uint64_t buyer,
                                   const struct order_grant *grants, uint32_t count,
                                   uint64_t contents)
{
    return apply(rig, (struct event){.type = EVENT_ORDER_HELD,
                                     .id = {0xB0, id},
                                     .buyer = buyer,
                                     .deadline_ms = 5000000,
                                     .line_count = count,
                                     .grants = grants,
                                     .contents = contents});
}

static void set_limit(struct rig *rig, const char *sku, uint32_t limit)
{
    struct sku_rule rule = {.sku = bytes_of(sku), .limit_per_buyer = limit};
    assert_int_equal(inventory_define_sku(rig->txn, &rule), HF_OK);
    rig_publish(rig);
}

/* ---- Events ---- */

static void replay_takes_lines_within_their_bounds_alone(void **state)
{
    (void)state;
    static const struct {
        struct order_line line;
        enum hf_status status;
    } rows[] = {
        {{1, 0}, HF_DAMAGED},
        {{1, 1}, HF_OK},
        {{1, QTY_MAX}, HF_OK},
        {{1, QTY_MAX + 1}, HF_DAMAGED},
        {{1, UINT32_MAX}, HF_DAMAGED},
        {{0, 1}, HF_DAMAGED},
        {{2, 1}, HF_OK},
        {{3, 1}, HF_DAMAGED},
        {{64, 1}, HF_DAMAGED},
        {{65, 1}, HF_DAMAGED},
        {{UINT32_MAX, 1}, HF_DAMAGED},
    };
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    rig_item(&rig, "a", STOCK_MAX);
    rig_item(&rig, "b", STOCK_MAX);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(apply_lines(&rig, 100 + i, &rows[i].line, 1), rows[i].status);
        struct order_line pair[2] = {{1, 1}, rows[i].line};
        assert_int_equal(apply_lines(&rig, 200 + i, pair, 2), rows[i].status);
        struct order_grant grant = {.item = rows[i].line.item, .qty = rows[i].line.qty, .line = 1};
        assert_int_equal(apply_grants(&rig, 300 + i, 7, &grant, 1, 1), rows[i].status);
    }
    close_checked(&rig);
}

static void replay_takes_as_many_lines_as_an_order_may_have(void **state)
{
    (void)state;
    static struct order_line lines[ORDER_LINES_MAX + 1];
    static struct order_grant grants[ORDER_LINES_MAX + 1];
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    rig_item(&rig, "a", STOCK_MAX);
    for (uint32_t i = 0; i <= ORDER_LINES_MAX; i++) {
        lines[i] = (struct order_line){1, QTY_MAX};
        grants[i] = (struct order_grant){.item = 1, .qty = 1, .line = 1};
    }
    assert_int_equal(apply_lines(&rig, 1, lines, ORDER_LINES_MAX), HF_OK);
    assert_int_equal(apply_lines(&rig, 2, lines, ORDER_LINES_MAX + 1), HF_DAMAGED);
    assert_int_equal(apply_lines(&rig, 3, lines, 0), HF_DAMAGED);
    assert_int_equal(apply_grants(&rig, 4, 7, grants, ORDER_LINES_MAX, 1), HF_OK);
    assert_int_equal(apply_grants(&rig, 5, 7, grants, ORDER_LINES_MAX + 1, 1), HF_DAMAGED);
    /* The number of lines that were asked is in the contents' low 16 bits. */
    assert_int_equal(apply_grants(&rig, 6, 7, grants, 1, ORDER_LINES_MAX), HF_OK);
    assert_int_equal(apply_grants(&rig, 7, 7, grants, 1, ORDER_LINES_MAX + 1), HF_DAMAGED);
    assert_int_equal(apply_grants(&rig, 8, 7, grants, 1, (uint64_t)1 << 16), HF_DAMAGED);
    assert_int_equal(rig_stock(&rig, 1).held,
                     (int64_t)QTY_MAX * ORDER_LINES_MAX + ORDER_LINES_MAX + 1);
    close_checked(&rig);
}

static void replay_takes_grants_that_fit_one_another(void **state)
{
    (void)state;
    static const struct {
        struct order_grant grant;
        enum hf_status status;
    } rows[] = {
        {{1, 5, 5, 1, 1, false}, HF_OK},      {{1, 5, 6, 2, 1, false}, HF_DAMAGED},
        {{1, 5, 0, 2, 1, false}, HF_DAMAGED}, {{1, 5, 5, 0, 1, false}, HF_DAMAGED},
        {{1, 5, 0, 0, 0, false}, HF_DAMAGED}, {{1, 5, 0, 0, 2, false}, HF_OK},
        {{1, 5, 0, 0, 3, false}, HF_DAMAGED}, {{1, 5, 0, 0, 1, true}, HF_OK},
    };
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    rig_item(&rig, "a", STOCK_MAX);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(apply_grants(&rig, 100 + i, 7, &rows[i].grant, 1, 2), rows[i].status);
    }
    struct order_grant nobody = {.item = 1, .qty = 1, .line = 1, .counted = true};
    assert_int_equal(apply_grants(&rig, 200, 0, &nobody, 1, 1), HF_DAMAGED);
    struct order_grant back[2] = {{.item = 1, .qty = 1, .line = 2},
                                  {.item = 1, .qty = 1, .line = 1}};
    assert_int_equal(apply_grants(&rig, 201, 7, back, 2, 2), HF_DAMAGED);
    close_checked(&rig);
}

/* No engine writes such a log: it must not end the one that reads it. */
static void replay_refuses_one_ticket_for_more_than_it_holds(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    rig_define(&rig, "a", "default", 0, STOCK_MAX);
    set_limit(&rig, "a", UINT32_MAX);
    struct order_grant grants[3];
    for (unsigned i = 0; i < 3; i++) {
        grants[i] = (struct order_grant){
            .item = 1, .qty = QTY_MAX, .presale_qty = QTY_MAX, .ticket = 5, .line = 1};
    }
    grants[1].counted = true;
    grants[2].counted = true; /* counted before its ticket is looked at */
    assert_int_equal(apply_grants(&rig, 1, 7, grants, 3, 1), HF_FULL);
    assert_int_equal(inventory_buyer_units(rig.inventory, bytes_of("a"), 7), 0);
    assert_int_equal(presale_behind(rig.inventory->presale, 1, 0), 0);
    assert_int_equal(rig_stock(&rig, 1).held, 0);
    assert_int_equal(rig_state(&rig, 1), ORDER_NONE);
    assert_int_equal(apply_grants(&rig, 1, 7, grants, 2, 1), HF_OK);
    assert_int_equal(presale_behind(rig.inventory->presale, 1, 0), 2 * (uint64_t)QTY_MAX);
    close_checked(&rig);
}

/* A buyer's units of one SKU are counted in 32 bits. */
static void replay_counts_a_buyers_units_up_to_32_bits(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    rig_item(&rig, "a", STOCK_MAX);
    set_limit(&rig, "a", UINT32_MAX);
    struct order_grant grant = {.item = 1, .qty = QTY_MAX, .line = 1, .counted = true};
    for (uint64_t id = 1; id <= 4; id++) {
        assert_int_equal(apply_grants(&rig, id, 7, &grant, 1, 1), HF_OK);
    }
    assert_int_equal(inventory_buyer_units(rig.inventory, bytes_of("a"), 7), 4 * (int64_t)QTY_MAX);
    struct order_grant last[2] = {
        {.item = 1, .qty = UINT32_MAX - 4 * QTY_MAX, .line = 1, .counted = true},
        {.item = 1, .qty = 1, .line = 1, .counted = true},
    };
    assert_int_equal(apply_grants(&rig, 5, 7, last, 2, 1), HF_FULL);
    assert_int_equal(inventory_buyer_units(rig.inventory, bytes_of("a"), 7), 4 * (int64_t)QTY_MAX);
    assert_int_equal(apply_grants(&rig, 5, 7, last, 1, 1), HF_OK);
    assert_int_equal(inventory_buyer_units(rig.inventory, bytes_of("a"), 7), UINT32_MAX);
    assert_int_equal(apply_grants(&rig, 6, 7, &last[1], 1, 1), HF_FULL);
    assert_int_equal(apply_grants(&rig, 6, 8, &last[1], 1, 1), HF_OK);
    close_checked(&rig);
}

/* The same of orders that are decided. */
static void limit_of_32_bits_is_kept_to_the_unit(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    rig_item(&rig, "a", STOCK_MAX);
    set_limit(&rig, "a", UINT32_MAX);
    for (uint64_t id = 1; id <= 4; id++) {
        assert_int_equal(rig_reserve(&rig, id, 1, QTY_MAX).status, HF_OK);
    }
    assert_int_equal(rig_reserve(&rig, 5, 1, QTY_MAX).status, HF_LIMIT_EXCEEDED);
    assert_int_equal(rig_reserve(&rig, 5, 1, UINT32_MAX - 4 * QTY_MAX + 1).status,
                     HF_LIMIT_EXCEEDED);
    assert_int_equal(rig_reserve(&rig, 5, 1, UINT32_MAX - 4 * QTY_MAX).status, HF_OK);
    assert_int_equal(rig_reserve(&rig, 6, 1, 1).status, HF_LIMIT_EXCEEDED);
    assert_int_equal(inventory_buyer_units(rig.inventory, bytes_of("a"), 7), UINT32_MAX);
    assert_int_equal(rig_stock(&rig, 1).held, UINT32_MAX);
    close_checked(&rig);
}

static void replay_takes_stock_within_its_bounds_alone(void **state)
{
    (void)state;
    static const struct {
        int64_t delta;
        int64_t stocked;
        enum hf_status status;
    } rows[] = {
        {-1, -1, HF_DAMAGED},
        {STOCK_MAX + 1, STOCK_MAX + 1, HF_DAMAGED},
        {STOCK_MAX, STOCK_MAX - 1, HF_DAMAGED},
        {INT64_MAX, INT64_MAX, HF_DAMAGED},
        {INT64_MIN, INT64_MIN, HF_DAMAGED},
        {STOCK_MAX, STOCK_MAX, HF_OK},
        {1, STOCK_MAX + 1, HF_DAMAGED},
        {-STOCK_MAX - 1, -1, HF_DAMAGED},
        {-STOCK_MAX, 0, HF_OK},
    };
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    rig_define(&rig, "a", "default", 0, 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stock_change change = {
            .item = 1, .delta = rows[i].delta, .stocked = rows[i].stocked};
        assert_int_equal(
            apply(&rig,
                  (struct event){.type = EVENT_STOCK_ADJUSTED, .id = {0xAA, i}, .adjust = &change}),
            rows[i].status);
    }
    static const int64_t bounds[] = {-1, 0, STOCK_MAX, STOCK_MAX + 1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < COUNT(bounds); i++) {
        enum hf_status status = bounds[i] >= 0 && bounds[i] <= STOCK_MAX ? HF_OK : HF_DAMAGED;
        struct item_def def = {.item = 1, .sku = bytes_of("a"), .pool = bytes_of("default")};
        def.safety = bounds[i];
        assert_int_equal(apply(&rig, (struct event){.type = EVENT_ITEM_DEFINED, .item = &def}),
                         status);
        def.safety = 0;
        def.presale_cap = bounds[i];
        assert_int_equal(apply(&rig, (struct event){.type = EVENT_ITEM_DEFINED, .item = &def}),
                         status);
    }
    close_checked(&rig);
}

static void replay_takes_moves_within_their_bounds_alone(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    rig_define(&rig, "a", "default", 0, 0);
    rig_define(&rig, "a", "west", 0, 0);
    rig_set_stock(&rig, 1, 100);
    rig_set_stock(&rig, 2, STOCK_MAX - 10);
    static const struct {
        int64_t units;
        enum hf_status status;
    } rows[] = {{0, HF_DAMAGED},         {-1, HF_DAMAGED}, {101, HF_DAMAGED}, {11, HF_DAMAGED},
                {INT64_MAX, HF_DAMAGED}, {10, HF_OK},      {1, HF_DAMAGED}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t from = rig_stock(&rig, 1).stocked;
        int64_t to = rig_stock(&rig, 2).stocked;
        struct stock_move move = {.from = 1,
                                  .to = 2,
                                  .units = rows[i].units,
                                  .from_stocked =
                                      (int64_t)((uint64_t)from - (uint64_t)rows[i].units),
                                  .to_stocked = (int64_t)((uint64_t)to + (uint64_t)rows[i].units)};
        assert_int_equal(
            apply(&rig, (struct event){.type = EVENT_STOCK_MOVED, .id = {0xAB, i}, .move = &move}),
            rows[i].status);
    }
    close_checked(&rig);
}

/* ---- Tickets ---- */

/* When an item has no ticket left to draw, what is beyond stock is sold as any. */
static void grants_without_a_ticket_are_sold_as_any(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    rig_define(&rig, "a", "default", 0, 100);
    struct order_grant grant = {
        .item = 1, .qty = 1, .presale_qty = 1, .ticket = UINT32_MAX - 1, .line = 1};
    assert_int_equal(apply_grants(&rig, 1, 7, &grant, 1, 1), HF_OK);
    inventory_replayed(rig.inventory);
    struct order_line lines[2] = {{1, 2}, {1, 3}};
    struct order_outcome last = rig_reserve_lines(&rig, 2, lines, 1, 0);
    assert_int_equal(last.status, HF_OK);
    assert_int_equal(last.grants[0].ticket, UINT32_MAX);
    assert_int_equal(last.grants[0].presale_qty, 2);
    for (uint32_t count = 1; count <= 2; count++) {
        struct order_outcome outcome = rig_reserve_lines(&rig, 2 + count, lines, count, 0);
        assert_int_equal(outcome.status, HF_OK);
        assert_int_equal(outcome.grant_count, 0); /* all lines whole, nothing pre-sold */
        outcome = rig_reserve_lines(&rig, 2 + count, lines, count, 0);
        assert_true(outcome.status == HF_OK && outcome.replayed);
    }
    assert_int_equal(rig_stock(&rig, 1).held, 1 + 2 + 2 + 5);
    assert_int_equal(presale_behind(rig.inventory->presale, 1, 0), 3);
    rig_check(&rig);
    assert_int_equal(rig_edit(&rig, inventory_release, 3, NULL, 0).status, HF_OK);
    assert_int_equal(rig_edit(&rig, inventory_commit, 4, NULL, 0).status, HF_OK);
    assert_int_equal(rig_edit(&rig, inventory_release, 2, NULL, 0).status, HF_OK);
    assert_int_equal(rig_stock(&rig, 1).available, 100 - 1 - 5);
    close_checked(&rig);
}

/* The same when it is room for tickets that is lacking. */
static void grants_without_room_for_a_ticket_are_sold_as_any(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(65536);
    options.items_max = 1;
    options.tickets_max = 1; /* a chunk, and one for the item */
    rig_open(&rig, &options);
    rig_define(&rig, "a", "default", 0, 100000);
    for (uint64_t id = 1; id <= 2 * PRESALE_CHUNK_TICKETS; id++) {
        struct order_outcome outcome = rig_reserve(&rig, id, 1, 1);
        assert_int_equal(outcome.status, HF_OK);
        assert_int_equal(outcome.grant_count, 1);
        assert_int_equal(outcome.grants[0].ticket, id);
    }
    struct order_outcome outcome = rig_reserve(&rig, 100000, 1, 1);
    assert_int_equal(outcome.status, HF_OK);
    assert_int_equal(outcome.grant_count, 0);
    assert_int_equal(rig_stock(&rig, 1).held, 2 * PRESALE_CHUNK_TICKETS + 1);
    assert_int_equal(rig_edit(&rig, inventory_release, 100000, NULL, 0).status, HF_OK);
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- Two requests of one hash ---- */

/* The hash of what a shaped order was asked has 48 bits: who wants to finds two of one. An order
 * with more grants than the request at hand can be given is another's. */
static void order_of_more_grants_than_asked_is_another(void **state)
{
    (void)state;
    static uint32_t fallbacks[] = {2, 3};
    static const struct {
        uint32_t line_count;
        bool split;
        uint32_t grants_max;
    } rows[] = {{1, false, 1}, {2, false, 2}, {1, true, 3}, {2, true, 4}};
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    for (uint32_t item = 1; item <= 3; item++) {
        rig_item(&rig, item == 1 ? "a" : item == 2 ? "b" : "c", 1000);
    }
    for (size_t row = 0; row < COUNT(rows); row++) {
        struct order_line lines[2] = {{1, 9}, {2, 9}};
        struct line_shape shapes[2] = {{.policy = LINE_UP_TO,
                                        .split = rows[row].split,
                                        .fallback_count = 2,
                                        .fallbacks = fallbacks},
                                       {.policy = LINE_UP_TO}};
        for (uint32_t more = 0; more < 2; more++) {
            struct order_request request = {.id = {0xB0, 10 * row + more},
                                            .buyer = 7,
                                            .line_count = rows[row].line_count,
                                            .lines = lines,
                                            .shapes = shapes};
            assert_int_equal(grants_max(&request), rows[row].grants_max);
            struct order_grant grants[8];
            uint32_t count = rows[row].grants_max + more;
            for (uint32_t i = 0; i < count; i++) {
                grants[i] = (struct order_grant){.item = 1 + i % 3, .qty = 1, .line = 1};
            }
            assert_int_equal(
                apply_grants(&rig, 10 * row + more, 7, grants, count, order_contents(&request)),
                HF_OK);
            struct order_outcome outcome;
            RIG_RUN(&rig, inventory_reserve(rig.txn, &request, &outcome));
            assert_int_equal(outcome.status, more ? HF_ID_CONFLICT : HF_OK);
            assert_int_equal(outcome.replayed, !more);
            assert_int_equal(outcome.grant_count, more ? 0 : count);
        }
    }
    close_checked(&rig);
}

/* ---- What a checkpoint holds ---- */

static void checkpoint_is_taken_within_its_bounds_alone(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    rig_open(&rig, &options);
    rig_define(&rig, "a", "default", 0, STOCK_MAX);
    struct inventory *inventory = rig.inventory;
    static const struct {
        uint32_t item;
        int64_t stocked;
        int64_t settled;
    } stocks[] = {{0, 1, 0},
                  {2, 1, 0},
                  {65, 1, 0},
                  {UINT32_MAX, 1, 0},
                  {1, -1, 0},
                  {1, INT64_MIN, 0},
                  {1, STOCK_MAX + 1, 0},
                  {1, 0, -1},
                  {1, 0, 2 * STOCK_MAX + 1},
                  {1, 0, INT64_MAX}};
    for (size_t i = 0; i < COUNT(stocks); i++) {
        assert_int_equal(
            inventory_load_stock(inventory, stocks[i].item, stocks[i].stocked, stocks[i].settled),
            HF_DAMAGED);
    }
    struct adjustment_made made = {.id = {1, 1}, .item = 1, .delta = 1, .stocked = 1};
    static const struct {
        uint32_t item;
        int64_t delta;
        int64_t stocked;
        enum hf_status status;
    } adjustments[] = {{0, 1, 1, HF_DAMAGED},
                       {2, 1, 1, HF_DAMAGED},
                       {1, STOCK_MAX + 1, 1, HF_DAMAGED},
                       {1, -STOCK_MAX - 1, 1, HF_DAMAGED},
                       {1, 1, -1, HF_DAMAGED},
                       {1, 1, STOCK_MAX + 1, HF_DAMAGED},
                       {1, STOCK_MAX, STOCK_MAX, HF_OK},
                       {1, -STOCK_MAX, 0, HF_OK}};
    for (size_t i = 0; i < COUNT(adjustments); i++) {
        made.id.lo = 1 + i;
        made.item = adjustments[i].item;
        made.delta = adjustments[i].delta;
        made.stocked = adjustments[i].stocked;
        assert_int_equal(inventory_load_adjustment(inventory, &made), adjustments[i].status);
    }
    assert_int_equal(inventory_load_adjustment(inventory, &made), HF_DAMAGED); /* the id again */
    assert_int_equal(inventory_load_buyer(inventory, 0, 7, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_buyer(inventory, 2, 7, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_buyer(inventory, 1, 0, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_buyer(inventory, 1, 7, 0), HF_DAMAGED);
    assert_int_equal(inventory_load_buyer(inventory, 1, 7, UINT32_MAX), HF_OK);
    assert_int_equal(inventory_load_buyer(inventory, 1, 7, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_ticket(inventory, 0, 1, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_ticket(inventory, 2, 1, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_ticket(inventory, 1, 0, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_ticket(inventory, 1, 1, QTY_MAX + 1), HF_DAMAGED);
    assert_int_equal(inventory_load_ticket(inventory, 1, 2, QTY_MAX), HF_OK);
    assert_int_equal(inventory_load_ticket(inventory, 1, 2, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_ticket(inventory, 1, 1, 1), HF_DAMAGED);
    assert_int_equal(inventory_load_ticket(inventory, 1, UINT32_MAX, 1), HF_OK);
    assert_int_equal(inventory_load_stock(inventory, 1, STOCK_MAX, 2 * STOCK_MAX), HF_OK);
    assert_int_equal(rig_stock(&rig, 1).sold, 2 * STOCK_MAX);
    assert_int_equal(rig_stock(&rig, 1).stocked, STOCK_MAX);
    assert_int_equal(inventory_load_stock(inventory, 1, 1, 0), HF_DAMAGED); /* once */
    rig_close(&rig);
}

/* ---- Tables ---- */

/* The core's own guard: requests are planned before, logs and checkpoints are not. */
static void items_and_skus_are_made_up_to_items_max(void **state)
{
    (void)state;
    struct rig rig;
    struct inventory_options options = rig_options(4096);
    options.items_max = 2;
    rig_open(&rig, &options);
    struct item_def def = {.sku = bytes_of("a"), .pool = bytes_of("p1")};
    static const char *const pools[] = {"p1", "p2", "p3"};
    for (uint32_t i = 0; i < 3; i++) {
        def.item = 1 + i;
        def.pool = bytes_of(pools[i]);
        enum hf_status status = i < 2 ? HF_OK : HF_FULL;
        if (i == 2) {
            uint32_t item;
            assert_int_equal(inventory_define_item(rig.txn, &def, &item), HF_FULL);
            assert_int_equal(rig.txn->event_count, 0);
        }
        assert_int_equal(apply(&rig, (struct event){.type = EVENT_ITEM_DEFINED, .item = &def}),
                         status);
    }
    static const char *const skus[] = {"a", "b", "c"};
    for (uint32_t i = 0; i < 3; i++) {
        struct sku_rule rule = {.sku = bytes_of(skus[i]), .label = bytes_of("x")};
        enum hf_status status = i < 2 ? HF_OK : HF_FULL;
        if (i == 2) {
            assert_int_equal(inventory_define_sku(rig.txn, &rule), HF_FULL);
        }
        assert_int_equal(apply(&rig, (struct event){.type = EVENT_SKU_DEFINED, .sku = &rule}),
                         status);
    }
    rig_check(&rig);
    rig_close(&rig);
}

/* ---- Sums ---- */

/* Up to the stock that an item may have, sold and counted to the last unit. */
static void sums_of_an_item_reach_the_greatest_stock(void **state)
{
    (void)state;
    static struct order_line lines[ORDER_LINES_MAX];
    struct rig rig;
    struct inventory_options options = rig_options(8192);
    rig_open(&rig, &options);
    rig_define(&rig, "a", "default", 0, STOCK_MAX);
    rig_set_stock(&rig, 1, STOCK_MAX);
    for (uint32_t i = 0; i < ORDER_LINES_MAX; i++) {
        lines[i] = (struct order_line){1, QTY_MAX};
    }
    int64_t order = (int64_t)ORDER_LINES_MAX * QTY_MAX;
    assert_int_equal(rig_reserve_lines(&rig, 1, lines, ORDER_LINES_MAX, 0).status, HF_OK);
    assert_int_equal(rig_stock(&rig, 1).available, 2 * STOCK_MAX - order);
    assert_int_equal(rig_edit(&rig, inventory_commit, 1, NULL, 0).status, HF_OK);
    assert_int_equal(rig_stock(&rig, 1).sold, order);
    /* Fewer than were sold, and as many as may be again. */
    assert_int_equal(rig_set_stock(&rig, 1, 0), HF_OK);
    assert_int_equal(rig_stock(&rig, 1).available, STOCK_MAX - order);
    rig_define(&rig, "a", "default", STOCK_MAX, 0);
    assert_int_equal(rig_stock(&rig, 1).available, -STOCK_MAX - order);
    assert_int_equal(rig_reserve(&rig, 2, 1, 1).status, HF_SOLD_OUT);
    assert_int_equal(rig_set_stock(&rig, 1, STOCK_MAX), HF_OK);
    rig_define(&rig, "a", "default", 0, STOCK_MAX);
    assert_int_equal(rig_stock(&rig, 1).available, 2 * STOCK_MAX - order);
    close_checked(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay_takes_lines_within_their_bounds_alone),
        cmocka_unit_test(replay_takes_as_many_lines_as_an_order_may_have),
        cmocka_unit_test(replay_takes_grants_that_fit_one_another),
        cmocka_unit_test(replay_refuses_one_ticket_for_more_than_it_holds),
        cmocka_unit_test(replay_counts_a_buyers_units_up_to_32_bits),
        cmocka_unit_test(limit_of_32_bits_is_kept_to_the_unit),
        cmocka_unit_test(replay_takes_stock_within_its_bounds_alone),
        cmocka_unit_test(replay_takes_moves_within_their_bounds_alone),
        cmocka_unit_test(grants_without_a_ticket_are_sold_as_any),
        cmocka_unit_test(grants_without_room_for_a_ticket_are_sold_as_any),
        cmocka_unit_test(order_of_more_grants_than_asked_is_another),
        cmocka_unit_test(checkpoint_is_taken_within_its_bounds_alone),
        cmocka_unit_test(items_and_skus_are_made_up_to_items_max),
        cmocka_unit_test(sums_of_an_item_reach_the_greatest_stock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

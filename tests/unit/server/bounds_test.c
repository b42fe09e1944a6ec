/* bounds_test.c - both sides of each bound that a request can meet: the greatest value is taken,
 * one more is refused with a message that names the field and the bound, wherever it stands: alone,
 * as the second line, as the second order, in rows and in columns, in a dry run.
 *
 * After each refusal the engine lives, and neither state nor log has changed. docs/protocol.md has
 * the bounds. Threads: one. */
#include <stdio.h>

#include "engine_rig.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define POOLS    70u /* items 1..70 are pools of one SKU; 71 is of another */

static const uint32_t no_item = POOLS + 2;

static void open_rig(struct rig *rig)
{
    rig_open(rig, MIB(4));
    rig_close(rig);
    struct inventory_options options = rig->options.inventory;
    options.items_max = 128;
    options.orders_max = 65536;
    rig->options.inventory = options;
    rig->storage = sim_storage_make(1);
    rig_recover(rig);
    static struct item_message items[POOLS + 1];
    static struct adjustment_message adjustments[2];
    static char pools[POOLS][8];
    static const uint8_t ids[2][ID_BYTES] = {{1}, {2}};
    for (unsigned i = 0; i < POOLS; i++) {
        snprintf(pools[i], sizeof pools[i], "p%u", i);
        items[i] = (struct item_message){.sku = bytes_of("a"), .pool = bytes_of(pools[i])};
    }
    items[POOLS] = (struct item_message){.sku = bytes_of("b")};
    for (unsigned i = 0; i < 2; i++) {
        adjustments[i] = (struct adjustment_message){.id = {ids[i], ID_BYTES},
                                                     .item = i == 0 ? 1 : POOLS + 1,
                                                     .has_set_to = true,
                                                     .set_to = STOCK_MAX / 2};
    }
    struct ask ask;
    struct request request = {.type = REQUEST_DEFINE};
    request.define.item_count = POOLS + 1;
    request.define.items = items;
    assert_int_equal(ask_wait(rig, &ask, &request)->status, HF_OK);
    ask_free(&ask);
    request = (struct request){.type = REQUEST_ADJUST};
    request.adjust.count = 2;
    request.adjust.adjustments = adjustments;
    assert_int_equal(ask_wait(rig, &ask, &request)->status, HF_OK);
    ask_free(&ask);
}

static void close_rig(struct rig *rig)
{
    rig_verify(rig);
    rig_crash(rig);
    rig_close(rig);
}

/* ---- What became of a request ---- */

/* The status of its `which`th order or adjustment, or its own. */
static enum hf_status status_of(const struct response *response, uint32_t which)
{
    switch (response->type) {
    case RESPONSE_ORDERS:
        return response->orders.results[which].status;
    case RESPONSE_BATCH:
        return response->batch.status_count ? (enum hf_status)response->batch.status[which] : HF_OK;
    case RESPONSE_ADJUST:
        return response->adjust.results[which].status;
    default:
        return response->status;
    }
}

static void assert_message(const struct response *response, const char *part)
{
    if (!message_has(response, part)) {
        fail_msg("\"%.*s\" does not say \"%s\"", (int)response->message.len,
                 (const char *)response->message.data, part);
    }
}

static void accepted(struct rig *rig, const struct request *request)
{
    struct ask ask;
    const struct response *response = ask_wait(rig, &ask, request);
    if (response->status != HF_OK || status_of(response, 0) != HF_OK) {
        fail_msg("%s, %s: %.*s", hf_status_name(response->status),
                 hf_status_name(status_of(response, 0)), (int)response->message.len,
                 (const char *)response->message.data);
    }
    ask_free(&ask);
}

/* Its only order, or all of it, is refused; field and bound: parts of the message; NULL: any. */
static void refused(struct rig *rig, const struct request *request, enum hf_status status,
                    const char *field, const char *bound)
{
    struct ask ask;
    uint64_t digest = engine_digest(rig->engine);
    uint64_t lsn = wal_tail_lsn(engine_wal(rig->engine));
    const struct response *response = ask_wait(rig, &ask, request);
    if (status_of(response, 0) != status) {
        fail_msg("%s: %.*s", hf_status_name(status_of(response, 0)), (int)response->message.len,
                 (const char *)response->message.data);
    }
    assert_true(response->status == status || response->status == HF_OK);
    if (field) {
        assert_message(response, field);
    }
    if (bound) {
        assert_message(response, bound);
    }
    ask_free(&ask);
    assert_false(engine_failed(rig->engine));
    assert_true(engine_digest(rig->engine) == digest);
    assert_true(inventory_digest(engine_inventory(rig->engine)) == digest);
    assert_true(wal_tail_lsn(engine_wal(rig->engine)) == lsn); /* not even a record of it */
}

static int64_t held(struct rig *rig, uint32_t item)
{
    struct item_view view;
    assert_int_equal(inventory_item(engine_inventory(rig->engine), item, &view), HF_OK);
    return view.stock.held;
}

/* ---- Making requests ---- */

static struct bytes id_of(uint64_t number)
{
    static uint8_t ids[8][ID_BYTES];
    static unsigned next;
    uint8_t *id = ids[next++ % 8];
    id_to_bytes((struct id128){0x1D, number}, id);
    return (struct bytes){id, ID_BYTES};
}

static uint64_t fresh_id(void)
{
    static uint64_t last = 1000000;
    return ++last;
}

/* A reserve of some lines, in rows. Lives until the next. */
static const struct request *rows_of(const struct line_message *lines, uint32_t count,
                                     uint32_t hold_ms)
{
    static struct order_message order;
    static struct request request;
    order = (struct order_message){
        .id = id_of(fresh_id()), .hold_ms = hold_ms, .line_count = count, .lines = lines};
    request = (struct request){.type = REQUEST_RESERVE};
    request.reserve.count = 1;
    request.reserve.orders = &order;
    return &request;
}

/* The same in columns. */
static const struct request *columns_of(const struct line_message *lines, uint32_t count,
                                        uint32_t hold_ms)
{
    static uint64_t hi = 0x1D;
    static uint64_t lo;
    static uint32_t line_count;
    static uint32_t items[ORDER_LINES_MAX + 2];
    static uint32_t qtys[ORDER_LINES_MAX + 2];
    static struct request request;
    lo = fresh_id();
    line_count = count;
    for (uint32_t i = 0; i < count; i++) {
        items[i] = lines[i].item;
        qtys[i] = lines[i].qty;
    }
    request = (struct request){.type = REQUEST_RESERVE_BATCH};
    request.batch = (struct batch_message){.id_hi_count = 1,
                                           .id_hi = &hi,
                                           .id_lo_count = 1,
                                           .id_lo = &lo,
                                           .item_count = count,
                                           .item = items,
                                           .qty_count = count,
                                           .qty = qtys,
                                           .line_count_count = 1,
                                           .line_count = &line_count,
                                           .hold_ms = hold_ms};
    return &request;
}

typedef const struct request *request_of(const struct line_message *lines, uint32_t count,
                                         uint32_t hold_ms);
static request_of *const forms[] = {rows_of, columns_of};

/* ---- Lines ---- */

static void units_of_a_line_are_bounded(void **state)
{
    (void)state;
    static const struct {
        uint32_t qty;
        bool fine;
    } rows[] = {{0, false},           {1, true},          {QTY_MAX - 1, true}, {QTY_MAX, true},
                {QTY_MAX + 1, false}, {INT32_MAX, false}, {UINT32_MAX, false}};
    struct rig rig;
    open_rig(&rig);
    for (unsigned form = 0; form < COUNT(forms); form++) {
        for (unsigned i = 0; i < COUNT(rows); i++) {
            int64_t before = held(&rig, 1);
            struct line_message lines[2] = {{.item = 1, .qty = rows[i].qty},
                                            {.item = 1, .qty = rows[i].qty}};
            if (rows[i].fine) {
                accepted(&rig, forms[form](lines, 1, 0));
                accepted(&rig, forms[form](lines, 2, 0));
                assert_int_equal(held(&rig, 1) - before, 3 * (int64_t)rows[i].qty);
            } else {
                refused(&rig, forms[form](lines, 1, 0), HF_INVALID, "qty", "1..1000000000");
                lines[0].qty = 1;
                refused(&rig, forms[form](lines, 2, 0), HF_INVALID, "qty", "1..1000000000");
                assert_int_equal(held(&rig, 1), before);
            }
        }
    }
    close_rig(&rig);
}

/* One order of several that is out of bounds: it alone is refused. */
static void one_order_out_of_bounds_leaves_the_others(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    struct line_message lines[3] = {
        {.item = 1, .qty = 2}, {.item = 1, .qty = QTY_MAX + 1}, {.item = 1, .qty = QTY_MAX}};
    struct order_message orders[3];
    uint64_t hi[3];
    uint64_t lo[3];
    uint32_t items[3];
    uint32_t qtys[3];
    for (unsigned i = 0; i < 3; i++) {
        orders[i] =
            (struct order_message){.id = id_of(10 + i), .line_count = 1, .lines = &lines[i]};
        hi[i] = 0x1D;
        lo[i] = 20 + i;
        items[i] = 1;
        qtys[i] = lines[i].qty;
    }
    struct request requests[2] = {{.type = REQUEST_RESERVE}, {.type = REQUEST_RESERVE_BATCH}};
    requests[0].reserve.count = 3;
    requests[0].reserve.orders = orders;
    requests[1].batch = (struct batch_message){.id_hi_count = 3,
                                               .id_hi = hi,
                                               .id_lo_count = 3,
                                               .id_lo = lo,
                                               .item_count = 3,
                                               .item = items,
                                               .qty_count = 3,
                                               .qty = qtys};
    static const char *const messages[] = {"reserve.orders[1].lines[0].qty: 1000000001",
                                           "reserve_batch.qty[1]: 1000000001"};
    for (unsigned form = 0; form < 2; form++) {
        int64_t before = held(&rig, 1);
        struct ask ask;
        const struct response *response = ask_wait(&rig, &ask, &requests[form]);
        assert_int_equal(response->status, HF_OK);
        assert_int_equal(status_of(response, 0), HF_OK);
        assert_int_equal(status_of(response, 1), HF_INVALID);
        assert_int_equal(status_of(response, 2), HF_OK);
        assert_message(response, messages[form]);
        assert_int_equal(held(&rig, 1) - before, 2 + (int64_t)QTY_MAX);
        ask_free(&ask);
    }
    close_rig(&rig);
}

static void lines_of_an_order_are_bounded_and_their_sum_is_whole(void **state)
{
    (void)state;
    static struct line_message lines[ORDER_LINES_MAX + 1];
    struct rig rig;
    open_rig(&rig);
    for (unsigned i = 0; i <= ORDER_LINES_MAX; i++) {
        lines[i] = (struct line_message){.item = 1, .qty = QTY_MAX};
    }
    for (unsigned form = 0; form < COUNT(forms); form++) {
        int64_t before = held(&rig, 1);
        accepted(&rig, forms[form](lines, ORDER_LINES_MAX, 0));
        assert_int_equal(held(&rig, 1) - before, (int64_t)ORDER_LINES_MAX * QTY_MAX);
        refused(&rig, forms[form](lines, ORDER_LINES_MAX + 1, 0), HF_INVALID, "line", "1..2048");
    }
    refused(&rig, rows_of(lines, 0, 0), HF_INVALID, "reserve.orders[0].lines", "1..2048");
    struct request request = *columns_of(lines, 1, 0);
    /* Two that come to one in 32 bits. */
    static const uint32_t around[2] = {UINT32_MAX, 2};
    static const uint64_t two_ids[2] = {3, 4};
    request.batch.id_hi_count = request.batch.id_lo_count = request.batch.line_count_count = 2;
    request.batch.id_hi = request.batch.id_lo = two_ids;
    request.batch.line_count = around;
    refused(&rig, &request, HF_INVALID, "line_count: 4294967297 lines", "131072");
    request = *columns_of(lines, 1, 0);
    static const uint32_t counts[] = {UINT32_MAX, REQUEST_LINES_MAX + 1, REQUEST_LINES_MAX, 2};
    for (unsigned i = 0; i < COUNT(counts); i++) {
        request.batch.line_count = &counts[i];
        refused(&rig, &request, HF_INVALID, i < 2 ? "line_count" : "reserve_batch.item",
                i < 2 ? "131072" : NULL);
    }
    /* None of one order, and so all lines are the other's. */
    static const uint64_t ids[2] = {5, 6};
    static const uint32_t uneven[2] = {0, 1};
    request = *columns_of(lines, 1, 0);
    request.batch.id_hi_count = request.batch.id_lo_count = request.batch.line_count_count = 2;
    request.batch.id_hi = request.batch.id_lo = ids;
    request.batch.line_count = uneven;
    struct ask ask;
    const struct response *response = ask_wait(&rig, &ask, &request);
    assert_int_equal(status_of(response, 0), HF_INVALID);
    assert_int_equal(status_of(response, 1), HF_OK);
    assert_message(response, "reserve_batch.line_count[0]: 0, must be 1..2048");
    ask_free(&ask);
    close_rig(&rig);
}

static void items_are_those_that_there_are(void **state)
{
    (void)state;
    static const uint32_t items[] = {0,         POOLS + 2,     127,       128,       129,
                                     ITEMS_MAX, ITEMS_MAX + 1, INT32_MAX, UINT32_MAX};
    struct rig rig;
    open_rig(&rig);
    struct line_message last = {.item = POOLS + 1, .qty = 1};
    accepted(&rig, rows_of(&last, 1, 0));
    accepted(&rig, columns_of(&last, 1, 0));
    for (unsigned i = 0; i < COUNT(items); i++) {
        struct line_message lines[2] = {{.item = items[i], .qty = 1}, {.item = items[i], .qty = 1}};
        for (unsigned form = 0; form < COUNT(forms); form++) {
            /* In rows 0 means that the item is named. */
            enum hf_status status = items[i] == 0 && form == 0 ? HF_INVALID : HF_UNKNOWN_ITEM;
            lines[0].item = items[i];
            refused(&rig, forms[form](lines, 1, 0), status, NULL, NULL);
            lines[0].item = 1;
            refused(&rig, forms[form](lines, 2, 0), status, NULL, NULL);
        }
        struct line_message line = {
            .item = 1, .qty = 1, .fallback_count = 1, .fallback = &items[i]};
        refused(&rig, rows_of(&line, 1, 0), HF_UNKNOWN_ITEM, "fallback[0]", NULL);
        struct request get = {.type = REQUEST_GET_STOCK};
        get.get_stock.item_count = 1;
        get.get_stock.items = &items[i];
        refused(&rig, &get, HF_UNKNOWN_ITEM, "get_stock.item", NULL);
        struct adjustment_message adjustment = {
            .id = id_of(fresh_id()), .item = items[i], .has_delta = true, .delta = 1};
        struct request adjust = {.type = REQUEST_ADJUST};
        adjust.adjust.count = 1;
        adjust.adjust.adjustments = &adjustment;
        for (unsigned dry = 0; dry < 2; dry++) {
            adjust.adjust.dry_run = dry;
            adjustment.item = items[i];
            adjustment.to_item = 0;
            refused(&rig, &adjust, items[i] == 0 ? HF_INVALID : HF_UNKNOWN_ITEM, NULL, NULL);
            adjustment.item = 1;
            adjustment.to_item = items[i];
            if (items[i] != 0) {
                refused(&rig, &adjust, HF_UNKNOWN_ITEM, "to_item", NULL);
            }
        }
    }
    close_rig(&rig);
}

static void fallbacks_are_bounded(void **state)
{
    (void)state;
    static uint32_t fallbacks[LINE_FALLBACKS_MAX + 1];
    static struct line_message lines[ORDER_FALLBACKS_MAX / LINE_FALLBACKS_MAX + 1];
    struct rig rig;
    open_rig(&rig);
    for (unsigned i = 0; i <= LINE_FALLBACKS_MAX; i++) {
        fallbacks[i] = 2 + i;
    }
    for (unsigned split = 0; split < 2; split++) {
        struct line_message line = {.item = 1,
                                    .qty = 1,
                                    .fallback = fallbacks,
                                    .fallback_count = LINE_FALLBACKS_MAX,
                                    .split = split};
        accepted(&rig, rows_of(&line, 1, 0));
        line.fallback_count++;
        refused(&rig, rows_of(&line, 1, 0), HF_INVALID, "fallback: 65 items", "0..64");
    }
    unsigned most = ORDER_FALLBACKS_MAX / LINE_FALLBACKS_MAX;
    for (unsigned i = 0; i <= most; i++) {
        lines[i] = (struct line_message){.item = 1,
                                         .qty = 1,
                                         .fallback = fallbacks,
                                         .fallback_count = i < most ? LINE_FALLBACKS_MAX : 0};
    }
    accepted(&rig, rows_of(lines, most + 1, 0));
    lines[most].fallback_count = 1;
    refused(&rig, rows_of(lines, most + 1, 0), HF_INVALID, "lines[32].fallback", "2048");
    /* Lines, and what split lines fall back to: the grants that the order may have. */
    lines[most].fallback_count = 0;
    for (unsigned i = 0; i < most; i++) {
        lines[i].split = i < most - 1;
    }
    lines[most - 1].fallback_count = LINE_FALLBACKS_MAX - 1;
    lines[most - 1].split = false;
    accepted(&rig, rows_of(lines, most, 0));
    lines[most - 1].split = true;
    refused(&rig, rows_of(lines, most, 0), HF_INVALID, "lines[31].fallback", "2048");
    lines[most - 1].fallback_count = LINE_FALLBACKS_MAX - most;
    accepted(&rig, rows_of(lines, most, 0));
    lines[most - 1].fallback_count++;
    refused(&rig, rows_of(lines, most, 0), HF_INVALID, "lines[31].fallback", "2048");
    close_rig(&rig);
}

static void policies_are_bounded(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    struct line_message line = {.item = 1, .qty = QTY_MAX, .policy = LINE_OPTIONAL};
    accepted(&rig, rows_of(&line, 1, 0));
    line.policy = LINE_OPTIONAL + 1;
    refused(&rig, rows_of(&line, 1, 0), HF_INVALID, "policy: 3", NULL);
    line.policy = UINT32_MAX;
    refused(&rig, rows_of(&line, 1, 0), HF_INVALID, "policy", NULL);
    line.policy = LINE_UP_TO;
    line.min_qty = QTY_MAX;
    accepted(&rig, rows_of(&line, 1, 0));
    line.min_qty = QTY_MAX + 1;
    refused(&rig, rows_of(&line, 1, 0), HF_INVALID, "min_qty: 1000000001", "1000000000");
    line.qty = line.min_qty;
    refused(&rig, rows_of(&line, 1, 0), HF_INVALID, "qty", "1..1000000000");
    close_rig(&rig);
}

static void hold_is_bounded(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    struct line_message line = {.item = 1, .qty = 1};
    for (unsigned form = 0; form < COUNT(forms); form++) {
        accepted(&rig, forms[form](&line, 1, HOLD_MS));
        refused(&rig, forms[form](&line, 1, HOLD_MS + 1), HF_INVALID, "hold_ms", "60000");
        refused(&rig, forms[form](&line, 1, UINT32_MAX), HF_INVALID, "hold_ms", "60000");
    }
    struct request reserve = *rows_of(&line, 1, 1);
    struct request extend = {.type = REQUEST_EXTEND};
    extend.extend.id = reserve.reserve.orders->id;
    accepted(&rig, &reserve);
    extend.extend.hold_ms = HOLD_MS + 1;
    refused(&rig, &extend, HF_INVALID, "extend: hold_ms", "60000");
    extend.extend.hold_ms = UINT32_MAX;
    refused(&rig, &extend, HF_INVALID, "extend: hold_ms", "60000");
    extend.extend.hold_ms = HOLD_MS;
    accepted(&rig, &extend);
    close_rig(&rig);
}

/* ---- How many ---- */

static void orders_of_a_request_are_bounded(void **state)
{
    (void)state;
    enum { MOST = REQUEST_ORDERS_MAX };
    static struct order_message orders[MOST + 1];
    static struct edit_message edits[MOST + 1];
    static uint64_t hi[MOST + 1];
    static uint64_t lo[MOST + 1];
    static uint32_t items[MOST + 1];
    struct rig rig;
    open_rig(&rig);
    /* All of them one order: the first one is made, the others are repetitions. */
    static const uint8_t id[ID_BYTES] = {[7] = 0x1D, [15] = 9};
    struct line_message line = {.item = 1, .qty = 1};
    for (unsigned i = 0; i <= MOST; i++) {
        orders[i] = (struct order_message){.id = {id, ID_BYTES}, .line_count = 1, .lines = &line};
        edits[i] = (struct edit_message){.id = {id, ID_BYTES}};
        hi[i] = 0x1D;
        lo[i] = 9;
        items[i] = 1;
    }
    static const enum request_type types[] = {
        REQUEST_RESERVE, REQUEST_RESERVE_BATCH, REQUEST_COMMIT,       REQUEST_COMMIT_BATCH,
        REQUEST_RETURN,  REQUEST_RELEASE,       REQUEST_RELEASE_BATCH};
    static const uint32_t counts[] = {0, MOST + 1, MOST};
    for (unsigned t = 0; t < COUNT(types); t++) {
        for (unsigned i = 0; i < COUNT(counts); i++) {
            uint32_t count = counts[i];
            struct request request = {.type = types[t]};
            if (types[t] == REQUEST_RESERVE) {
                request.reserve.count = count;
                request.reserve.orders = orders;
            } else if (types[t] == REQUEST_RESERVE_BATCH || types[t] == REQUEST_COMMIT_BATCH ||
                       types[t] == REQUEST_RELEASE_BATCH) {
                bool reserves = types[t] == REQUEST_RESERVE_BATCH;
                request.batch = (struct batch_message){.id_hi_count = count,
                                                       .id_hi = hi,
                                                       .id_lo_count = count,
                                                       .id_lo = lo,
                                                       .item_count = reserves ? count : 0,
                                                       .item = items};
            } else {
                request.edit.count = count;
                request.edit.edits = edits;
            }
            if (count != MOST) {
                refused(&rig, &request, HF_INVALID, NULL, "1..65536");
                continue;
            }
            struct ask ask;
            assert_int_equal(ask_wait(&rig, &ask, &request)->status, HF_OK);
            ask_free(&ask);
        }
    }
    assert_int_equal(held(&rig, 1), 0);
    close_rig(&rig);
}

static void lines_of_a_batch_are_bounded(void **state)
{
    (void)state;
    enum { ORDERS = REQUEST_LINES_MAX / ORDER_LINES_MAX };
    static uint64_t ids[ORDERS + 1];
    static uint32_t counts[ORDERS + 1];
    static uint32_t items[REQUEST_LINES_MAX + 1];
    struct rig rig;
    open_rig(&rig);
    for (unsigned i = 0; i <= REQUEST_LINES_MAX; i++) {
        items[i] = 1;
    }
    for (unsigned i = 0; i <= ORDERS; i++) {
        ids[i] = 1 + i;
        counts[i] = i < ORDERS ? ORDER_LINES_MAX : 1;
    }
    struct request request = {.type = REQUEST_RESERVE_BATCH};
    for (unsigned more = 0; more < 2; more++) {
        request.batch = (struct batch_message){.id_hi_count = ORDERS + more,
                                               .id_hi = ids,
                                               .id_lo_count = ORDERS + more,
                                               .id_lo = ids,
                                               .item_count = REQUEST_LINES_MAX + more,
                                               .item = items,
                                               .line_count_count = ORDERS + more,
                                               .line_count = counts};
        if (more) {
            refused(&rig, &request, HF_INVALID, "reserve_batch.line_count: 131073", "131072");
        } else {
            accepted(&rig, &request);
        }
    }
    assert_int_equal(held(&rig, 1), REQUEST_LINES_MAX);
    close_rig(&rig);
}

static void columns_are_as_long_as_one_another(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    static const uint64_t ids[3] = {1, 2, 3};
    static const uint32_t ones[3] = {1, 1, 1};
    struct batch_message fine = {.id_hi_count = 2,
                                 .id_hi = ids,
                                 .id_lo_count = 2,
                                 .id_lo = ids,
                                 .buyer_count = 2,
                                 .buyer = ids,
                                 .item_count = 2,
                                 .item = ones,
                                 .qty_count = 2,
                                 .qty = ones,
                                 .line_count_count = 2,
                                 .line_count = ones};
    for (unsigned column = 0; column < 6; column++) {
        for (unsigned length = 1; length <= 3; length += 2) {
            struct request request = {.type = REQUEST_RESERVE_BATCH, .batch = fine};
            uint32_t *const counts[] = {
                &request.batch.id_hi_count, &request.batch.id_lo_count,
                &request.batch.buyer_count, &request.batch.item_count,
                &request.batch.qty_count,   &request.batch.line_count_count};
            *counts[column] = length;
            refused(&rig, &request, HF_INVALID, "reserve_batch.", " of them, but ");
        }
    }
    for (enum request_type type = REQUEST_COMMIT_BATCH; type <= REQUEST_RELEASE_BATCH; type++) {
        struct request request = {.type = type};
        request.batch =
            (struct batch_message){.id_hi_count = 2, .id_hi = ids, .id_lo_count = 1, .id_lo = ids};
        refused(&rig, &request, HF_INVALID, "id_lo: 1 of them, but 2 of id_hi", NULL);
        request.batch.id_lo_count = 3;
        refused(&rig, &request, HF_INVALID, "id_lo: 3 of them, but 2 of id_hi", NULL);
    }
    struct request request = {.type = REQUEST_RESERVE_BATCH, .batch = fine};
    accepted(&rig, &request);
    close_rig(&rig);
}

static void named_lines_of_an_edit_are_bounded(void **state)
{
    (void)state;
    static struct line_message lines[ORDER_LINES_MAX];
    static struct line_qty_message named[ORDER_LINES_MAX + 1];
    struct rig rig;
    open_rig(&rig);
    for (unsigned i = 0; i < ORDER_LINES_MAX; i++) {
        lines[i] = (struct line_message){.item = 1, .qty = 2};
    }
    struct request reserve = *rows_of(lines, ORDER_LINES_MAX, 0);
    struct edit_message edit = {.id = reserve.reserve.orders->id, .lines = named};
    static uint8_t id[ID_BYTES];
    memcpy(id, edit.id.data, ID_BYTES);
    edit.id.data = id;
    accepted(&rig, &reserve);
    struct request request = {.type = REQUEST_RELEASE};
    request.edit.count = 1;
    request.edit.edits = &edit;
    for (unsigned i = 0; i <= ORDER_LINES_MAX; i++) {
        named[i] = (struct line_qty_message){i + 1, 1};
    }
    static const enum request_type types[] = {REQUEST_RELEASE, REQUEST_COMMIT, REQUEST_RETURN};
    for (unsigned t = 0; t < COUNT(types); t++) {
        request.type = types[t];
        edit.line_count = ORDER_LINES_MAX + 1;
        refused(&rig, &request, HF_INVALID, "lines: 2049 lines", "0..2048");
        static const struct line_qty_message bad[] = {
            {0, 1}, {ORDER_LINES_MAX + 1, 1}, {65536, 1},     {65537, 1}, {UINT32_MAX, 1},
            {1, 3}, {1, QTY_MAX + 1},         {1, UINT32_MAX}};
        edit.line_count = 1;
        for (unsigned i = 0; i < COUNT(bad); i++) {
            edit.lines = &bad[i];
            refused(&rig, &request, HF_INVALID, NULL, NULL);
        }
        edit.lines = named;
        edit.line_count = ORDER_LINES_MAX;
        if (types[t] == REQUEST_RETURN) {
            named[0].qty = 1;
        }
        accepted(&rig, &request);
    }
    close_rig(&rig);
}

/* ---- Ids ---- */

static void ids_are_16_bytes_and_not_all_zeros(void **state)
{
    (void)state;
    static const uint8_t zeros[ID_BYTES + 1];
    static uint8_t ones[ID_BYTES + 1];
    memset(ones, 0xFF, sizeof ones);
    struct rig rig;
    open_rig(&rig);
    struct line_message line = {.item = 1, .qty = 1};
    struct order_message order = {.line_count = 1, .lines = &line};
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 1;
    request.reserve.orders = &order;
    static const size_t lengths[] = {0, 1, ID_BYTES - 1, ID_BYTES + 1};
    for (unsigned i = 0; i < COUNT(lengths); i++) {
        order.id = (struct bytes){ones, lengths[i]};
        refused(&rig, &request, HF_INVALID, "reserve.orders[0].id", "16");
    }
    order.id = (struct bytes){zeros, ID_BYTES};
    refused(&rig, &request, HF_INVALID, "reserve.orders[0].id", NULL);
    order.id = (struct bytes){ones, ID_BYTES};
    accepted(&rig, &request);
    static const uint64_t halves[] = {0, 1, UINT64_MAX};
    for (unsigned i = 0; i < 9; i++) {
        request = *columns_of(&line, 1, 0);
        request.batch.id_hi = &halves[i / 3];
        request.batch.id_lo = &halves[i % 3];
        if (i == 0) {
            refused(&rig, &request, HF_INVALID, "reserve_batch.id_hi[0]", NULL);
        } else {
            accepted(&rig, &request);
        }
    }
    close_rig(&rig);
}

/* ---- Stock ---- */

static struct request adjust_of(const struct adjustment_message *adjustment, bool dry_run)
{
    struct request request = {.type = REQUEST_ADJUST};
    request.adjust.count = 1;
    request.adjust.adjustments = adjustment;
    request.adjust.dry_run = dry_run;
    return request;
}

/* Stock is STOCK_MAX / 2, and again after each row. */
static void adjustments_and_their_sums_are_bounded(void **state)
{
    (void)state;
    const int64_t half = STOCK_MAX / 2;
    const struct {
        bool set;
        int64_t value;
        enum hf_status status;
        const char *field;
    } rows[] = {
        {false, half, HF_OK, NULL},
        {false, half + 1, HF_INVALID, "exceed 2^53"},
        {false, STOCK_MAX, HF_INVALID, "exceed 2^53"},
        {false, STOCK_MAX + 1, HF_INVALID, "delta: 9007199254740993, must be -9007199254740992.."},
        {false, INT64_MAX, HF_INVALID, "delta"},
        {false, -half, HF_OK, NULL},
        {false, -half - 1, HF_INVALID, "below 0"},
        {false, -STOCK_MAX, HF_INVALID, "below 0"},
        {false, -STOCK_MAX - 1, HF_INVALID, "delta"},
        {false, INT64_MIN, HF_INVALID, "delta"},
        {true, 0, HF_OK, NULL},
        {true, -1, HF_INVALID, "set_to: -1, must be 0..9007199254740992"},
        {true, STOCK_MAX, HF_OK, NULL},
        {true, STOCK_MAX + 1, HF_INVALID, "set_to"},
        {true, INT64_MAX, HF_INVALID, "set_to"},
        {true, INT64_MIN, HF_INVALID, "set_to"},
    };
    struct rig rig;
    open_rig(&rig);
    for (unsigned i = 0; i < COUNT(rows); i++) {
        for (unsigned variant = 0; variant < 4; variant++) {
            struct adjustment_message adjustment = {.id = id_of(fresh_id()),
                                                    .item = POOLS + 1,
                                                    .has_delta = !rows[i].set,
                                                    .delta = rows[i].value,
                                                    .has_set_to = rows[i].set,
                                                    .set_to = rows[i].value,
                                                    .force = variant % 2};
            struct request request = adjust_of(&adjustment, variant / 2);
            if (rows[i].status != HF_OK) {
                refused(&rig, &request, rows[i].status, "adjust.adjustments[0]", rows[i].field);
                continue;
            }
            accepted(&rig, &request);
            struct adjustment_message back = {
                .id = id_of(fresh_id()), .item = POOLS + 1, .has_set_to = true, .set_to = half};
            request = adjust_of(&back, false);
            accepted(&rig, &request);
        }
    }
    static const int64_t expected[] = {INT64_MIN, -1, 0, STOCK_MAX, STOCK_MAX + 1, INT64_MAX};
    for (unsigned i = 0; i < COUNT(expected); i++) {
        struct adjustment_message adjustment = {.id = id_of(fresh_id()),
                                                .item = POOLS + 1,
                                                .has_delta = true,
                                                .delta = 1,
                                                .has_expected = true,
                                                .expected = expected[i]};
        struct request request = adjust_of(&adjustment, false);
        refused(&rig, &request, HF_CONFLICT, NULL, NULL);
    }
    close_rig(&rig);
}

static void moves_and_their_sums_are_bounded(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    const int64_t half = STOCK_MAX / 2;
    static const uint8_t id[ID_BYTES] = {77};
    struct adjustment_message up = {
        .id = {id, ID_BYTES}, .item = 2, .has_set_to = true, .set_to = STOCK_MAX - 5};
    struct request request = adjust_of(&up, false);
    accepted(&rig, &request);
    const struct {
        int64_t units;
        uint32_t to;
        enum hf_status status;
        const char *field;
    } rows[] = {
        {0, 2, HF_INVALID, "delta: 0, must be 1..9007199254740992"},
        {-1, 2, HF_INVALID, "delta"},
        {INT64_MIN, 2, HF_INVALID, "delta"},
        {STOCK_MAX, 3, HF_INVALID, "below 0"},
        {STOCK_MAX + 1, 3, HF_INVALID, "delta"},
        {INT64_MAX, 3, HF_INVALID, "delta"},
        {half + 1, 3, HF_INVALID, "below 0"},
        {6, 2, HF_INVALID, "exceed 2^53"},
        {5, 2, HF_OK, NULL},
        {1, 2, HF_INVALID, "exceed 2^53"},
        {half - 5, 3, HF_OK, NULL},
        {1, 3, HF_INVALID, "below 0"},
    };
    for (unsigned i = 0; i < COUNT(rows); i++) {
        for (unsigned dry = 2; dry-- > 0;) {
            struct adjustment_message move = {.id = id_of(fresh_id()),
                                              .item = 1,
                                              .has_delta = true,
                                              .delta = rows[i].units,
                                              .to_item = rows[i].to,
                                              .force = i % 2};
            request = adjust_of(&move, dry);
            if (rows[i].status == HF_OK) {
                accepted(&rig, &request);
            } else {
                refused(&rig, &request, rows[i].status, "adjust.adjustments[0]", rows[i].field);
            }
        }
    }
    close_rig(&rig);
}

/* Several adjustments of one item in one request: each is held against those before it. */
static void adjustments_of_one_request_add_up(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    const int64_t half = STOCK_MAX / 2;
    for (unsigned dry = 2; dry-- > 0;) {
        struct adjustment_message adjustments[3];
        for (unsigned i = 0; i < 3; i++) {
            adjustments[i] = (struct adjustment_message){
                .id = id_of(fresh_id()), .item = POOLS + 1, .has_delta = true};
        }
        adjustments[0].delta = half - 1;
        adjustments[1].delta = 2;
        adjustments[2].delta = 1;
        struct request request = adjust_of(adjustments, dry);
        request.adjust.count = 3;
        struct ask ask;
        const struct response *response = ask_wait(&rig, &ask, &request);
        assert_int_equal(status_of(response, 0), HF_OK);
        assert_int_equal(status_of(response, 1), HF_INVALID);
        assert_int_equal(status_of(response, 2), HF_OK);
        assert_int_equal(response->adjust.results[2].stock.stocked, STOCK_MAX);
        assert_message(response, "adjust.adjustments[1]: stock would");
        ask_free(&ask);
    }
    close_rig(&rig);
}

/* ---- Definitions ---- */

static void definitions_are_bounded(void **state)
{
    (void)state;
    static const int64_t units[] = {INT64_MIN, -1, 0, 1, STOCK_MAX, STOCK_MAX + 1, INT64_MAX};
    struct rig rig;
    open_rig(&rig);
    for (unsigned i = 0; i < 2 * COUNT(units); i++) {
        int64_t value = units[i / 2];
        struct item_message item = {.sku = bytes_of("b"), .fields = i % 2 ? 1 : 2};
        *(i % 2 ? &item.safety : &item.presale_cap) = value;
        struct request request = {.type = REQUEST_DEFINE};
        request.define.item_count = 1;
        request.define.items = &item;
        if (value >= 0 && value <= STOCK_MAX) {
            accepted(&rig, &request);
        } else {
            refused(&rig, &request, HF_INVALID,
                    i % 2 ? "define.items[0].safety" : "define.items[0].presale_cap",
                    "0..9007199254740992");
        }
    }
    static const struct {
        uint64_t ms;
        bool fine;
    } times[] = {{0, true},
                 {1, false},
                 {SALE_TIME_MS_MIN - 1, false},
                 {SALE_TIME_MS_MIN, true},
                 {SALE_TIME_MS_MAX, true},
                 {SALE_TIME_MS_MAX + 1, false},
                 {UINT64_MAX, false}};
    for (unsigned i = 0; i < 2 * COUNT(times); i++) {
        struct sku_message sku = {.sku = bytes_of("b"), .fields = i % 2 ? 4 : 8};
        *(i % 2 ? &sku.opens_at_ms : &sku.closes_at_ms) = times[i / 2].ms;
        struct request request = {.type = REQUEST_DEFINE};
        request.define.sku_count = 1;
        request.define.skus = &sku;
        request.define.dry_run = true; /* one would stand in another's way */
        if (times[i / 2].fine) {
            accepted(&rig, &request);
        } else {
            refused(&rig, &request, HF_INVALID,
                    i % 2 ? "define.skus[0].opens_at_ms" : "define.skus[0].closes_at_ms",
                    "2000 to 2099");
        }
    }
    close_rig(&rig);
}

static void texts_are_bounded(void **state)
{
    (void)state;
    static uint8_t text[TEXT_GIVEN_BYTES_MAX];
    memset(text, 'x', sizeof text);
    struct rig rig;
    open_rig(&rig);
    for (unsigned more = 0; more < 2; more++) {
        struct sku_message sku = {.sku = {text, CODE_BYTES_MAX + more}};
        struct item_message item = {.sku = bytes_of("b"), .pool = {text, CODE_BYTES_MAX + more}};
        struct sku_message label = {.sku = bytes_of("b"), .label = {text, LABEL_BYTES_MAX + more}};
        struct adjustment_message adjustment = {
            .id = id_of(fresh_id()), .item = 1, .has_delta = true, .delta = 1};
        struct request requests[5] = {{.type = REQUEST_DEFINE},
                                      {.type = REQUEST_DEFINE},
                                      {.type = REQUEST_DEFINE},
                                      {.type = REQUEST_ADJUST},
                                      {.type = REQUEST_ADJUST}};
        requests[0].define.sku_count = 1;
        requests[0].define.skus = &sku;
        requests[1].define.item_count = 1;
        requests[1].define.items = &item;
        requests[2].define.sku_count = 1;
        requests[2].define.skus = &label;
        static const char *const fields[] = {"sku", "pool", "label", "reason", "reference"};
        static const char *const bounds[] = {"64", "64", "256", "128", "128"};
        for (unsigned i = 0; i < 5; i++) {
            if (i >= 3) {
                adjustment.id = id_of(fresh_id());
                adjustment.reason = (struct bytes){text, i == 3 ? REASON_BYTES_MAX + more : 0};
                adjustment.reference = (struct bytes){text, i == 4 ? REASON_BYTES_MAX + more : 0};
                requests[i].adjust.count = 1;
                requests[i].adjust.adjustments = &adjustment;
            }
            if (more) {
                refused(&rig, &requests[i], HF_INVALID, fields[i], bounds[i]);
            } else {
                accepted(&rig, &requests[i]);
            }
        }
    }
    close_rig(&rig);
}

/* ---- How many of what is read or kept ---- */

static void definitions_adjustments_and_reads_of_a_request_are_bounded(void **state)
{
    (void)state;
    enum { MOST = REQUEST_ADMIN_MAX };
    static struct item_message items[MOST + 1];
    static struct adjustment_message adjustments[MOST + 1];
    static struct bytes skus[MOST + 1];
    static uint32_t handles[MOST + 1];
    static const uint8_t id[ID_BYTES] = {42};
    struct rig rig;
    open_rig(&rig);
    for (unsigned i = 0; i <= MOST; i++) {
        items[i] = (struct item_message){.sku = bytes_of("b")};
        adjustments[i] = (struct adjustment_message){
            .id = {id, ID_BYTES}, .item = 1, .has_delta = true, .delta = 1};
        skus[i] = bytes_of("b");
        handles[i] = 1;
    }
    static const uint32_t counts[] = {0, MOST + 1, UINT32_MAX, MOST};
    for (unsigned i = 0; i < COUNT(counts); i++) {
        struct request requests[4] = {{.type = REQUEST_DEFINE},
                                      {.type = REQUEST_ADJUST},
                                      {.type = REQUEST_GET_STOCK},
                                      {.type = REQUEST_GET_SKUS}};
        requests[0].define.item_count = counts[i];
        requests[0].define.items = items;
        requests[1].adjust.count = counts[i];
        requests[1].adjust.adjustments = adjustments;
        requests[2].get_stock.item_count = counts[i] / 2;
        requests[2].get_stock.items = handles;
        requests[2].get_stock.sku_count = counts[i] - counts[i] / 2;
        requests[2].get_stock.skus = skus;
        requests[3].get_skus.count = counts[i];
        requests[3].get_skus.skus = skus;
        for (unsigned k = 0; k < 4; k++) {
            requests[k].answer_bytes_max = UINT32_MAX;
            if (counts[i] == MOST) {
                accepted(&rig, &requests[k]);
            } else {
                refused(&rig, &requests[k], HF_INVALID, NULL, "1..65536");
            }
        }
    }
    close_rig(&rig);
}

static void lists_and_answers_are_bounded(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    static const struct {
        enum request_type type;
        uint32_t limit;
        bool fine;
    } rows[] = {{REQUEST_LIST_STOCK, LIST_STOCK_MAX, true},
                {REQUEST_LIST_STOCK, LIST_STOCK_MAX + 1, false},
                {REQUEST_LIST_STOCK, UINT32_MAX, false},
                {REQUEST_LIST_ORDERS, LIST_ORDERS_MAX, true},
                {REQUEST_LIST_ORDERS, LIST_ORDERS_MAX + 1, false},
                {REQUEST_LIST_ORDERS, UINT32_MAX, false}};
    for (unsigned i = 0; i < COUNT(rows); i++) {
        struct request request = {.type = rows[i].type};
        if (rows[i].type == REQUEST_LIST_STOCK) {
            request.list_stock.limit = rows[i].limit;
        } else {
            request.list_orders.limit = rows[i].limit;
        }
        if (rows[i].fine) {
            accepted(&rig, &request);
        } else {
            refused(&rig, &request, HF_INVALID, "limit",
                    rows[i].type == REQUEST_LIST_STOCK ? "10000" : "1000");
        }
    }
    struct request request = {.type = REQUEST_STATUS, .answer_bytes_max = ANSWER_BYTES_LEAST};
    accepted(&rig, &request);
    request.answer_bytes_max = ANSWER_BYTES_LEAST - 1;
    refused(&rig, &request, HF_INVALID, "answer_bytes_max: 262143", "262144");
    request.answer_bytes_max = 1;
    refused(&rig, &request, HF_INVALID, "answer_bytes_max: 1", "262144");
    static const uint32_t states[] = {0, 1, 5, 6, UINT32_MAX};
    for (unsigned i = 0; i < COUNT(states); i++) {
        request = (struct request){.type = REQUEST_LIST_ORDERS};
        request.list_orders.state_count = 1;
        request.list_orders.states = &states[i];
        if (states[i] >= 1 && states[i] <= 5) {
            accepted(&rig, &request);
        } else {
            refused(&rig, &request, HF_INVALID, "list_orders.state[0]", "1..5");
        }
    }
    close_rig(&rig);
}

/* items-max and orders-max to the last one. */
static void tables_are_full_at_their_bounds(void **state)
{
    (void)state;
    struct rig rig;
    open_rig(&rig);
    static char names[128][8];
    static struct item_message items[128];
    for (unsigned i = 0; i < 128; i++) {
        snprintf(names[i], sizeof names[i], "n%u", i);
        items[i] = (struct item_message){.sku = bytes_of(names[i])};
    }
    struct request request = {.type = REQUEST_DEFINE};
    request.define.items = items;
    request.define.item_count = 128 - (POOLS + 1) + 1;
    for (unsigned dry = 2; dry-- > 0;) {
        request.define.dry_run = dry;
        refused(&rig, &request, HF_FULL, "items-max (128)", NULL);
    }
    assert_int_equal(inventory_has_item(engine_inventory(rig.engine), no_item), false);
    request.define.item_count--;
    accepted(&rig, &request);
    request.define.items = &items[127];
    request.define.item_count = 1;
    refused(&rig, &request, HF_FULL, "items-max (128)", NULL);
    struct line_message line = {.item = 128, .qty = 1};
    refused(&rig, rows_of(&line, 1, 0), HF_SOLD_OUT, NULL, NULL);
    close_rig(&rig);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(units_of_a_line_are_bounded),
        TEST(one_order_out_of_bounds_leaves_the_others),
        TEST(lines_of_an_order_are_bounded_and_their_sum_is_whole),
        TEST(items_are_those_that_there_are),
        TEST(fallbacks_are_bounded),
        TEST(policies_are_bounded),
        TEST(hold_is_bounded),
        TEST(orders_of_a_request_are_bounded),
        TEST(lines_of_a_batch_are_bounded),
        TEST(columns_are_as_long_as_one_another),
        TEST(named_lines_of_an_edit_are_bounded),
        TEST(ids_are_16_bytes_and_not_all_zeros),
        TEST(adjustments_and_their_sums_are_bounded),
        TEST(moves_and_their_sums_are_bounded),
        TEST(adjustments_of_one_request_add_up),
        TEST(definitions_are_bounded),
        TEST(texts_are_bounded),
        TEST(definitions_adjustments_and_reads_of_a_request_are_bounded),
        TEST(lists_and_answers_are_bounded),
        TEST(tables_are_full_at_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

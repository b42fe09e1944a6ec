/* request_test.c - what a request says is held against what it may say before anything is decided,
 * and what an answer shows of it.
 *
 * Columns that don't fit each other, orders of a message that are wrong among others that are not,
 * adjustments that expect something or are forced: each by itself, on an engine without transport.
 *
 * Threads: one. */
#include "engine_rig.h"

#define ROOM 8u

/* ---- Asking ---- */

/* An engine with items 1 and 2, of 100 units each. */
static void open_shop(struct rig *rig)
{
    rig_open(rig, WAL_SEGMENT_BYTES_MIN);
    struct ask ask;
    const struct item_message items[2] = {{.sku = bytes_of("a")}, {.sku = bytes_of("b")}};
    struct request define = {.type = REQUEST_DEFINE};
    define.define.item_count = 2;
    define.define.items = items;
    assert_int_equal(ask_wait(rig, &ask, &define)->status, HF_OK);
    ask_free(&ask);
    static const uint8_t ids[2][ID_BYTES] = {{1}, {2}};
    const struct adjustment_message adjustments[2] = {
        {.id = {ids[0], ID_BYTES}, .item = 1, .has_set_to = true, .set_to = 100},
        {.id = {ids[1], ID_BYTES}, .item = 2, .has_set_to = true, .set_to = 100}};
    struct request adjust = {.type = REQUEST_ADJUST};
    adjust.adjust.count = 2;
    adjust.adjust.adjustments = adjustments;
    assert_int_equal(ask_wait(rig, &ask, &adjust)->status, HF_OK);
    ask_free(&ask);
}

static void close_shop(struct rig *rig)
{
    rig_verify(rig);
    rig_close(rig);
}

static int64_t held(struct rig *rig, uint32_t item)
{
    struct item_view view;
    assert_int_equal(inventory_item(engine_inventory(rig->engine), item, &view), HF_OK);
    return view.stock.held;
}

static int64_t stocked(struct rig *rig, uint32_t item)
{
    struct item_view view;
    assert_int_equal(inventory_item(engine_inventory(rig->engine), item, &view), HF_OK);
    return view.stock.stocked;
}

/* Columns with room for more than they say that they have, so that nothing is read that is not
 * there. */
struct columns {
    uint64_t hi[ROOM];
    uint64_t lo[ROOM];
    uint64_t buyer[ROOM];
    uint32_t item[ROOM];
    uint32_t qty[ROOM];
    uint32_t line_count[ROOM];
    struct request request;
};

/* `orders` orders of one line each: one unit of item 1. */
static void columns_make(struct columns *columns, uint64_t first_id, uint32_t orders)
{
    *columns = (struct columns){.request = {.type = REQUEST_RESERVE_BATCH}};
    for (uint32_t i = 0; i < ROOM; i++) {
        columns->hi[i] = 7;
        columns->lo[i] = first_id + i;
        columns->item[i] = 1;
        columns->qty[i] = 1;
        columns->line_count[i] = 1;
    }
    columns->request.batch = (struct batch_message){.id_hi_count = orders,
                                                    .id_hi = columns->hi,
                                                    .id_lo_count = orders,
                                                    .id_lo = columns->lo,
                                                    .buyer = columns->buyer,
                                                    .item_count = orders,
                                                    .item = columns->item,
                                                    .qty_count = orders,
                                                    .qty = columns->qty,
                                                    .line_count = columns->line_count};
}

/* ---- Columns ---- */

static void columns_are_of_one_length(void **state)
{
    (void)state;
    struct rig rig;
    struct columns columns;
    open_shop(&rig);
#define REFUSED(field, change)                                                                     \
    do {                                                                                           \
        struct ask ask;                                                                            \
        columns_make(&columns, 1, 2);                                                              \
        struct batch_message *batch = &columns.request.batch;                                      \
        change;                                                                                    \
        const struct response *response = ask_wait(&rig, &ask, &columns.request);                  \
        if (response->status != HF_INVALID || !message_has(response, field)) {                     \
            fail_msg("not refused, or not for %s: %s", field, #change);                            \
        }                                                                                          \
        ask_free(&ask);                                                                            \
    } while (0)
    REFUSED("reserve_batch.id_lo", batch->id_lo_count = 1);
    REFUSED("reserve_batch.id_lo", batch->id_lo_count = 3);
    REFUSED("reserve_batch.id_lo", batch->id_lo_count = 0);
    REFUSED("reserve_batch.buyer", batch->buyer_count = 1);
    REFUSED("reserve_batch.buyer", batch->buyer_count = 3);
    REFUSED("reserve_batch.item", batch->item_count = 1);
    REFUSED("reserve_batch.item", batch->item_count = 3);
    REFUSED("reserve_batch.item", batch->item_count = 0);
    REFUSED("reserve_batch.qty", batch->qty_count = 1);
    REFUSED("reserve_batch.qty", batch->qty_count = 3);
    REFUSED("reserve_batch.line_count", batch->line_count_count = 1);
    REFUSED("reserve_batch.line_count", batch->line_count_count = 3);
    REFUSED("reserve_batch.item", {
        batch->line_count_count = 2;
        columns.line_count[1] = 2;
    });
    REFUSED("reserve_batch", batch->id_hi_count = 0);
#undef REFUSED
    assert_int_equal(held(&rig, 1), 0);
    close_shop(&rig);
}

/* One order that is wrong is answered by itself, and its lines are its own. */
static void order_that_is_wrong_takes_its_lines_with_it(void **state)
{
    (void)state;
    struct rig rig;
    struct columns columns;
    struct ask ask;
    open_shop(&rig);
    /* Orders of 2, 0, 2 and 1 lines: a quantity of 0, no lines, no such item, and a good one. */
    columns_make(&columns, 1, 4);
    const uint32_t line_count[4] = {2, 0, 2, 1};
    const uint32_t item[5] = {1, 1, 1, 99, 2};
    const uint32_t qty[5] = {1, 0, 1, 1, 3};
    struct batch_message *batch = &columns.request.batch;
    batch->line_count = line_count;
    batch->line_count_count = 4;
    batch->item = item;
    batch->item_count = 5;
    batch->qty = qty;
    batch->qty_count = 5;
    const struct response *response = ask_wait(&rig, &ask, &columns.request);
    assert_int_equal(response->status, HF_OK);
    assert_int_equal(response->batch.ok_count, 1);
    assert_int_equal(response->batch.status_count, 4);
    assert_int_equal(response->batch.status[0], HF_INVALID);
    assert_int_equal(response->batch.status[1], HF_INVALID);
    assert_int_equal(response->batch.status[2], HF_UNKNOWN_ITEM);
    assert_int_equal(response->batch.status[3], HF_OK);
    ask_free(&ask);
    assert_int_equal(held(&rig, 1), 0);
    assert_int_equal(held(&rig, 2), 3);
    /* All of them wrong: so is the message. */
    batch->id_hi_count = batch->id_lo_count = batch->line_count_count = 2;
    batch->item_count = batch->qty_count = 2;
    response = ask_wait(&rig, &ask, &columns.request);
    assert_int_equal(response->status, HF_INVALID);
    assert_int_equal(response->batch.ok_count, 0);
    ask_free(&ask);
    close_shop(&rig);
}

/* Of orders that were newly held; none of those that were there. */
static void deadline_of_columns_is_of_new_orders(void **state)
{
    (void)state;
    struct rig rig;
    struct columns columns;
    struct ask ask;
    open_shop(&rig);
    columns_make(&columns, 1, 1);
    const struct response *response = ask_wait(&rig, &ask, &columns.request);
    assert_int_equal(response->batch.status_count, 0); /* all OK */
    uint64_t first_ms = response->batch.deadline_ms;
    assert_true(first_ms >= START_MS + HOLD_MS);
    ask_free(&ask);
    rig.ms += 10000;
    columns_make(&columns, 1, 2);
    response = ask_wait(&rig, &ask, &columns.request);
    assert_int_equal(response->batch.ok_count, 2);
    assert_int_equal(response->batch.status_count, 0);
    assert_true(response->batch.deadline_ms >= first_ms + 10000);
    ask_free(&ask);
    response = ask_wait(&rig, &ask, &columns.request);
    assert_int_equal(response->batch.ok_count, 2);
    assert_int_equal(response->batch.deadline_ms, 0);
    ask_free(&ask);
    /* One refusal among them is reported by a column of all. */
    columns_make(&columns, 10, 3);
    columns.qty[1] = 1000;
    response = ask_wait(&rig, &ask, &columns.request);
    assert_int_equal(response->batch.ok_count, 2);
    assert_int_equal(response->batch.status_count, 3);
    assert_int_equal(response->batch.status[1], HF_SOLD_OUT);
    ask_free(&ask);
    close_shop(&rig);
}

static void only_a_commit_may_be_late(void **state)
{
    (void)state;
    static const enum request_type types[] = {REQUEST_COMMIT, REQUEST_RELEASE, REQUEST_RETURN,
                                              REQUEST_COMMIT_BATCH, REQUEST_RELEASE_BATCH};
    struct rig rig;
    open_shop(&rig);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        bool commits = types[i] == REQUEST_COMMIT || types[i] == REQUEST_COMMIT_BATCH;
        bool rows = types[i] < REQUEST_RESERVE_BATCH;
        static const uint8_t id[ID_BYTES] = {9};
        const struct edit_message edit = {.id = {id, ID_BYTES}, .late_ok = true};
        struct columns columns;
        struct ask ask;
        columns_make(&columns, 1, 1);
        columns.request.type = types[i];
        columns.request.batch.late_ok = true;
        struct request request = {.type = types[i]};
        request.edit.count = 1;
        request.edit.edits = &edit;
        const struct response *response = ask_wait(&rig, &ask, rows ? &request : &columns.request);
        enum hf_status status = response->status;
        if (commits) { /* there is no such order */
            status = rows ? response->orders.results[0].status
                          : (enum hf_status)response->batch.status[0];
        }
        assert_int_equal(status, commits ? HF_NOT_FOUND : HF_INVALID);
        assert_int_equal(message_has(response, "only a commit may be late"), !commits);
        ask_free(&ask);
    }
    close_shop(&rig);
}

/* ---- Rows ---- */

static void order_that_is_wrong_is_answered_by_itself(void **state)
{
    (void)state;
    struct rig rig;
    struct ask ask;
    open_shop(&rig);
    static const uint8_t ids[3][ID_BYTES] = {{11}, {12}, {13}};
    const struct line_message none = {.item = 1, .qty = 0};
    const struct line_message most = {.item = 1, .qty = QTY_MAX};
    const struct line_message beyond = {.item = 1, .qty = QTY_MAX + 1};
    const struct line_message good = {.item = 1, .qty = 2};
    const struct line_message *const lines[4] = {&none, &beyond, &most, &good};
    static const enum hf_status expected[4] = {HF_INVALID, HF_INVALID, HF_SOLD_OUT, HF_OK};
    for (int i = 0; i < 4; i++) {
        /* Between two that are wrong in another way: an id of all zeros, and no lines. */
        static const uint8_t nil[ID_BYTES];
        const struct order_message orders[3] = {
            {.id = {nil, ID_BYTES}, .line_count = 1, .lines = &good},
            {.id = {ids[0], ID_BYTES}, .line_count = 1, .lines = lines[i]},
            {.id = {ids[1], ID_BYTES}}};
        struct request request = {.type = REQUEST_RESERVE};
        request.reserve.count = 3;
        request.reserve.orders = orders;
        const struct response *response = ask_wait(&rig, &ask, &request);
        assert_int_equal(response->status, expected[i] == HF_INVALID ? HF_INVALID : HF_OK);
        assert_int_equal(response->orders.results[0].status, HF_INVALID);
        assert_int_equal(response->orders.results[1].status, expected[i]);
        assert_int_equal(response->orders.results[2].status, HF_INVALID);
        ask_free(&ask);
    }
    assert_int_equal(held(&rig, 1), 2);
    close_shop(&rig);
}

/* A caller who has the LSN of an answer can look for it in the log, or wait for a reader's. */
static void answer_tells_the_lsn_that_it_is_true_at(void **state)
{
    (void)state;
    struct rig rig;
    struct columns columns;
    struct ask ask;
    open_shop(&rig);
    uint64_t before = wal_tail_lsn(engine_wal(rig.engine));
    columns_make(&columns, 1, 1);
    assert_int_equal(ask_wait(&rig, &ask, &columns.request)->lsn, before + 48);
    ask_free(&ask);
    assert_int_equal(wal_commit_lsn(engine_wal(rig.engine)), before + 48);
    struct request get = {.type = REQUEST_GET_STOCK};
    static const uint32_t item = 1;
    get.get_stock.item_count = 1;
    get.get_stock.items = &item;
    assert_int_equal(ask_wait(&rig, &ask, &get)->lsn, before + 48);
    ask_free(&ask);
    assert_int_equal(ask_wait(&rig, &ask, &columns.request)->lsn, before + 48); /* again */
    ask_free(&ask);
    close_shop(&rig);
}

/* ---- Adjustments ---- */

static enum hf_status adjust(struct rig *rig, struct adjustment_message message)
{
    static uint8_t id[ID_BYTES] = {0x77};
    struct ask ask;
    id[1]++;
    message.id = (struct bytes){id, ID_BYTES};
    message.item = 1;
    struct request request = {.type = REQUEST_ADJUST};
    request.adjust.count = 1;
    request.adjust.adjustments = &message;
    const struct response *response = ask_wait(rig, &ask, &request);
    enum hf_status status =
        response->type == RESPONSE_ADJUST ? response->adjust.results[0].status : response->status;
    ask_free(&ask);
    return status;
}

static void adjustment_is_made_as_it_was_asked(void **state)
{
    (void)state;
    struct rig rig;
    struct columns columns;
    struct ask ask;
    open_shop(&rig);
    columns_make(&columns, 1, 1);
    columns.qty[0] = 60;
    assert_int_equal(ask_wait(&rig, &ask, &columns.request)->batch.ok_count, 1);
    ask_free(&ask);
#define ADJUST(...) adjust(&rig, (struct adjustment_message){__VA_ARGS__})
    assert_int_equal(ADJUST(.has_delta = true, .delta = -41), HF_WOULD_OVERSELL);
    assert_int_equal(ADJUST(.has_set_to = true, .set_to = 59), HF_WOULD_OVERSELL);
    assert_int_equal(stocked(&rig, 1), 100);
    assert_int_equal(ADJUST(.has_delta = true, .delta = -40, .has_expected = true, .expected = 99),
                     HF_CONFLICT);
    assert_int_equal(ADJUST(.has_delta = true, .delta = -40, .has_expected = true, .expected = 0),
                     HF_CONFLICT);
    assert_int_equal(stocked(&rig, 1), 100);
    assert_int_equal(ADJUST(.has_delta = true, .delta = -40, .has_expected = true, .expected = 100),
                     HF_OK);
    assert_int_equal(stocked(&rig, 1), 60);
    assert_int_equal(ADJUST(.has_delta = true, .delta = -1, .force = true), HF_OK);
    assert_int_equal(stocked(&rig, 1), 59);
    /* Neither, and for a move both ways of saying how much. */
    assert_int_equal(ADJUST(.force = true), HF_INVALID);
    assert_int_equal(ADJUST(.has_set_to = true, .set_to = 1, .to_item = 2), HF_INVALID);
    assert_int_equal(
        ADJUST(.has_delta = true, .delta = 1, .has_set_to = true, .set_to = 1, .to_item = 2),
        HF_INVALID);
    assert_int_equal(ADJUST(.has_delta = true, .delta = 1, .to_item = 2), HF_INVALID);
    assert_int_equal(stocked(&rig, 1), 59);
    assert_int_equal(stocked(&rig, 2), 100);
#undef ADJUST
    close_shop(&rig);
}

/* What would have been defined before is for a dry run: it would not be defined now. */
static void definitions_before_are_for_a_dry_run_alone(void **state)
{
    (void)state;
    struct rig rig;
    struct ask ask;
    open_shop(&rig);
    const struct item_message item = {.sku = bytes_of("c")};
    for (int dry = 0; dry < 2; dry++) {
        struct request request = {.type = REQUEST_ADJUST};
        request.adjust.has_after = true;
        request.adjust.after.item_count = 1;
        request.adjust.after.items = &item;
        request.adjust.dry_run = dry;
        const struct response *response = ask_wait(&rig, &ask, &request);
        assert_int_equal(response->status, dry ? HF_OK : HF_INVALID);
        assert_int_equal(message_has(response, "adjust.after: only with dry_run"), !dry);
        ask_free(&ask);
        request = (struct request){.type = REQUEST_DEFINE};
        request.define.item_count = 1;
        request.define.items = &item;
        request.define.items_before = 1;
        request.define.dry_run = dry;
        response = ask_wait(&rig, &ask, &request);
        assert_int_equal(response->status, dry ? HF_OK : HF_INVALID);
        ask_free(&ask);
    }
    assert_int_equal(
        inventory_find_item(engine_inventory(rig.engine), bytes_of("c"), bytes_of("default")), 0);
    close_shop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_of_one_length),
        cmocka_unit_test(order_that_is_wrong_takes_its_lines_with_it),
        cmocka_unit_test(deadline_of_columns_is_of_new_orders),
        cmocka_unit_test(only_a_commit_may_be_late),
        cmocka_unit_test(order_that_is_wrong_is_answered_by_itself),
        cmocka_unit_test(answer_tells_the_lsn_that_it_is_true_at),
        cmocka_unit_test(adjustment_is_made_as_it_was_asked),
        cmocka_unit_test(definitions_before_are_for_a_dry_run_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* calls_test.c - calls with a message of their own: batches, reading, stock keeping; and arguments
 * that are refused before anything is sent. */
#include "client_rig.h"

/* ---- Batches ---- */

static void client_batch_returns_statuses_that_stay(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    const uint64_t hi[] = {1, 1, 1};
    const uint64_t lo[] = {2, 3, 4};
    const uint32_t item[] = {1, 1, 1};
    const struct hf_batch batch = {.count = 3, .id_hi = hi, .id_lo = lo, .item = item};
    struct hf_batch_result result;
    assert_int_equal(hf_reserve_batch(setup.client, &batch, &result), HF_OK);
    assert_int_equal(result.count, 3);
    assert_int_equal(result.ok_count, 2);
    assert_int_equal(result.deadline_ms, 77);
    assert_non_null(result.status);
    assert_int_equal(result.status[0], HF_OK);
    assert_int_equal(result.status[1], HF_SOLD_OUT);
    assert_int_equal(result.status[2], HF_OK);
    assert_int_equal(hf_commit_batch(setup.client, 1, hi, lo, &result), HF_OK);
    assert_int_equal(result.ok_count, 1);
    assert_null(result.status); /* all OK */
    assert_int_equal(hf_release_batch(setup.client, 3, hi, lo, NULL), HF_OK);
    tear_down(&setup);
}

static void client_batches_without_waiting_are_bounded(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.in_flight_max = 2});
    atomic_store(&setup.fake.holding, true);
    uint64_t hi[] = {1, 1};
    uint64_t lo[] = {2, 4};
    uint32_t item[] = {1, 1};
    const struct hf_batch batch = {.count = 2, .id_hi = hi, .id_lo = lo, .item = item};
    struct batch_tally tally = {0};
    assert_int_equal(hf_reserve_batch_async(setup.client, &batch, batch_done, &tally), HF_OK);
    assert_int_equal(hf_commit_batch_async(setup.client, 2, hi, lo, batch_done, &tally), HF_OK);
    assert_int_equal(hf_release_batch_async(setup.client, 2, hi, lo, batch_done, &tally), HF_BUSY);
    memset(hi, 0xFF, sizeof hi); /* the columns were copied */
    memset(lo, 0xFF, sizeof lo);
    wait_for(&setup.fake.messages, 2);
    fake_answer_held(&setup.fake);
    wait_for(&tally.done, 2);
    assert_int_equal(atomic_load(&tally.ok), 4);
    tear_down(&setup);
}

/* ---- Reading and stock keeping ---- */

static void client_reads_orders_stock_and_status(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    struct hf_order_info info;
    struct hf_order_line lines[2];
    struct hf_id id = hf_id_random();
    assert_int_equal(hf_get_order(setup.client, id, &info, lines, 1), HF_OK);
    assert_memory_equal(&info.id, &id, sizeof id);
    assert_int_equal(info.state, HF_ORDER_COMMITTED);
    assert_int_equal(info.buyer, 42);
    assert_int_equal(info.line_count, 1); /* there was room for one of two */
    assert_int_equal(lines[0].qty, 2);
    assert_int_equal(hf_get_order(setup.client, id, &info, lines, 2), HF_OK);
    assert_int_equal(info.line_count, 2);
    assert_int_equal(lines[0].presale_qty, 1);
    assert_int_equal(lines[1].presale_qty, 4);
    assert_int_equal(lines[1].covered_qty, 3);
    assert_int_equal(hf_get_order(setup.client, id, &info, NULL, 0), HF_OK);
    assert_int_equal(info.line_count, 0);

    struct hf_stock stock[2] = {0};
    uint32_t count = 0;
    assert_int_equal(hf_get_stock(setup.client, "A", stock, 1, &count), HF_OK);
    assert_int_equal(count, 2);
    assert_int_equal(stock[0].item, 7);
    assert_string_equal(stock[0].sku, "A");
    assert_string_equal(stock[0].pool, "default");
    assert_int_equal(stock[0].sold, 1);
    assert_int_equal(stock[1].item, 0); /* untouched */
    const uint32_t items[] = {7};
    assert_int_equal(hf_get_items(setup.client, items, 1, stock), HF_OK);
    uint32_t item = 0;
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_OK);
    assert_int_equal(item, 7);
    assert_int_equal(hf_resolve(setup.client, "A", "north", &item), HF_OK);
    assert_int_equal(item, 8);
    assert_int_equal(hf_resolve(setup.client, "A", "south", &item), HF_UNKNOWN_ITEM);
    struct hf_stock *list;
    assert_int_equal(hf_list_stock(setup.client, NULL, 0, &list, &count), HF_OK);
    assert_int_equal(count, 2);
    assert_int_equal(list[1].safety, -1);
    hf_free(list);
    struct hf_engine_status status;
    assert_int_equal(hf_get_status(setup.client, &status), HF_OK);
    assert_string_equal(status.version, "a version with a name longer th"); /* cut to fit */
    assert_string_equal(status.state, "serving");
    assert_int_equal(status.items, 3);
    assert_int_equal(status.buyers, 4);
    tear_down(&setup);
}

static void client_reads_the_slowest_answers(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    struct hf_slow_answer answers[HF_SLOW_ANSWERS_MAX];
    uint32_t count;
    assert_int_equal(hf_get_slowest(setup.client, answers, &count), HF_OK);
    assert_int_equal(count, HF_SLOW_ANSWERS_MAX); /* the engine gave one more */
    const struct hf_slow_answer *slow = &answers[0];
    assert_string_equal(slow->request, "a request with a longer"); /* cut to fit */
    assert_int_equal(slow->at_ms, 1);
    assert_int_equal(slow->status, HF_BUSY);
    assert_int_equal(slow->orders, 2);
    assert_int_equal(slow->lines, 3);
    assert_int_equal(slow->request_bytes, 4);
    assert_int_equal(slow->answer_bytes, 5);
    assert_int_equal(slow->lsn, 6);
    assert_int_equal(slow->queue_ns, 7);
    assert_int_equal(slow->decide_ns, 8);
    assert_int_equal(slow->append_ns, 9);
    assert_int_equal(slow->sync_ns, 10);
    assert_int_equal(slow->reply_ns, 11);
    tear_down(&setup);
}

static void client_lists_orders_page_by_page(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    const struct hf_order_filter filter = {.buyer = 42,
                                           .sku = "A",
                                           .pool = "nw",
                                           .states = 1u << HF_ORDER_HELD | 1u << HF_ORDER_RETURNED};
    struct hf_order_cursor cursor = {0};
    struct hf_order_info *orders;
    uint32_t count;
    assert_int_equal(hf_list_orders(setup.client, &filter, &cursor, 9, &orders, &count), HF_OK);
    assert_int_equal(count, 2);
    assert_false(cursor.done);
    assert_memory_equal(orders[0].id.bytes, "0123456789abcdef", 16);
    assert_int_equal(orders[0].state, HF_ORDER_HELD);
    assert_int_equal(orders[0].buyer, 42);
    assert_int_equal(orders[0].deadline_ms, 102); /* the lengths of sku and pool */
    assert_int_equal(orders[0].lsn, 9);           /* limit */
    assert_int_equal(orders[0].line_count, 2);
    assert_int_equal(orders[0].lines[1].line, 3);
    assert_int_equal(orders[0].lines[1].covered_qty, 1);
    assert_int_equal(orders[1].lsn, filter.states);
    assert_int_equal(orders[1].line_count, 0);
    hf_free(orders);
    assert_int_equal(hf_list_orders(setup.client, &filter, &cursor, 9, &orders, &count), HF_OK);
    assert_int_equal(count, 0);
    assert_true(cursor.done);
    hf_free(orders);
    assert_int_equal(hf_list_orders(setup.client, &filter, &cursor, 9, &orders, &count),
                     HF_INVALID);
    assert_null(orders);
    /* Any order at all. */
    cursor = (struct hf_order_cursor){0};
    assert_int_equal(hf_list_orders(setup.client, NULL, &cursor, 0, &orders, &count), HF_OK);
    assert_int_equal(orders[0].buyer, 0);
    assert_int_equal(orders[1].lsn, 0);
    hf_free(orders);
    tear_down(&setup);
}

static void client_reads_rules(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    const char *const skus[] = {"A", "B", "NOPE"};
    struct hf_sku_rules rules[3];
    assert_int_equal(hf_get_skus(setup.client, skus, 2, rules), HF_OK);
    assert_string_equal(rules[0].sku, "A");
    assert_string_equal(rules[0].label, "Lamp");
    assert_false(rules[0].paused);
    assert_string_equal(rules[1].sku, "B");
    assert_int_equal(rules[1].limit_per_buyer, 2);
    assert_int_equal(rules[1].opens_at_ms, 3);
    assert_int_equal(rules[1].closes_at_ms, 4);
    assert_true(rules[1].paused);
    assert_int_equal(rules[1].hold_ms, 5);
    assert_int_equal(rules[1].hold_ms_max, 6);
    assert_int_equal(hf_get_skus(setup.client, skus, 3, rules), HF_UNKNOWN_ITEM);
    assert_string_equal(hf_last_message(), "get_skus.sku: there is no SKU NOPE");
    tear_down(&setup);
}

static void client_moves_stock(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    const struct hf_adjustment rows[] = {
        {.sku = "A", .value = 6, .to_pool = "north"},
        {.item = 1, .value = 7, .to_item = 2},
        {.item = 1, .value = 8},
    };
    struct hf_adjust_result results[3];
    assert_int_equal(hf_adjust(setup.client, rows, 3, results), HF_OK);
    assert_string_equal(results[0].to_stock.pool, "north");
    assert_int_equal(results[0].to_stock.stocked, 6);
    assert_int_equal(results[1].to_stock.item, 2);
    assert_int_equal(results[1].to_stock.stocked, 7);
    assert_int_equal(results[2].stock.stocked, 108);
    assert_int_equal(results[2].to_stock.stocked, 0); /* no move */
    tear_down(&setup);
}

static void client_defines_and_adjusts(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    const struct hf_sku sku = {.sku = "A", .label = "Lamp"};
    const struct hf_item items[] = {{.sku = "A"}, {.sku = "A", .pool = "north"}};
    uint32_t handles[2] = {0};
    assert_int_equal(hf_define(setup.client, &sku, 1, items, 2, handles), HF_OK);
    assert_int_equal(handles[0], 11);
    assert_int_equal(handles[1], 12);
    assert_int_equal(hf_define(setup.client, &sku, 1, NULL, 0, NULL), HF_OK);

    const struct hf_adjustment rows[] = {
        {.item = 1, .value = -3, .reason = "count"},
        {.sku = "A", .set = true, .value = 9, .has_expected = true, .expected = 5},
        {.item = 1, .value = 1, .has_expected = true, .expected = 4},
    };
    struct hf_adjust_result results[3];
    assert_int_equal(hf_adjust(setup.client, rows, 3, results), HF_OK);
    assert_int_equal(results[0].status, HF_OK);
    assert_int_equal(results[0].stock.stocked, 97);
    assert_int_equal(results[1].stock.stocked, 9);
    assert_int_equal(results[2].status, HF_CONFLICT);
    tear_down(&setup);
}

/* ---- What can go wrong ---- */

/* A call that is OK as a whole leaves what the engine said about the first part that was refused,
 * or nothing: never what an earlier call left. */
static void client_message_after_a_whole_is_of_that_whole(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    const uint64_t malformed[] = {MALFORMED};
    const uint64_t ids[] = {1};
    const uint32_t item[] = {1};
    struct hf_batch_result result;
    struct hf_batch batch = {.count = 1, .id_hi = malformed, .id_lo = ids, .item = item};
    assert_int_equal(hf_reserve_batch(setup.client, &batch, &result), HF_OK);
    assert_int_equal(result.status[0], HF_INVALID);
    assert_string_equal(hf_last_message(), "batch: this one is wrong");
    batch.id_hi = ids;
    assert_int_equal(hf_reserve_batch(setup.client, &batch, &result), HF_OK);
    assert_int_equal(result.status[0], HF_SOLD_OUT);
    assert_string_equal(hf_last_message(), "");

    struct hf_adjustment row = {.item = 1, .value = MALFORMED};
    struct hf_adjust_result adjusted;
    assert_int_equal(hf_adjust(setup.client, &row, 1, &adjusted), HF_OK);
    assert_int_equal(adjusted.status, HF_INVALID);
    assert_string_equal(hf_last_message(), "adjust: this one is wrong");
    row.value = 1;
    assert_int_equal(hf_adjust(setup.client, &row, 1, &adjusted), HF_OK);
    assert_string_equal(hf_last_message(), "");
    tear_down(&setup);
}

static void client_refuses_bad_arguments_without_sending(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    struct hf_client *client = setup.client;
    static struct hf_line many[ORDER_LINES_MAX + 1];
    for (unsigned i = 0; i < ORDER_LINES_MAX + 1; i++) {
        many[i] = one_line;
    }
    struct hf_line line = one_line;
    struct hf_order order = order_of(0);
    order.lines = &line;
#define REFUSED(call, text)                                                                        \
    do {                                                                                           \
        assert_int_equal((call), HF_INVALID);                                                      \
        if (!strstr(hf_last_message(), (text))) {                                                  \
            fail_msg("\"%s\" does not name %s", hf_last_message(), (text));                        \
        }                                                                                          \
    } while (0)
    REFUSED(hf_reserve(client, NULL, NULL), "order");
    line.item = 0;
    REFUSED(hf_reserve(client, &order, NULL), "lines[0].sku");
    line.sku = "";
    REFUSED(hf_reserve(client, &order, NULL), "lines[0].sku");
    char code[TEXT_GIVEN_BYTES_MAX + 2];
    memset(code, 'x', sizeof code);
    code[TEXT_GIVEN_BYTES_MAX + 1] = 0;
    line.sku = code;
    REFUSED(hf_reserve(client, &order, NULL), "lines[0].sku");
    line.sku = "\xFF";
    REFUSED(hf_reserve(client, &order, NULL), "lines[0].sku");
    line.sku = "A";
    line.pool = code;
    REFUSED(hf_reserve_async(client, &order, tally_done, NULL), "lines[0].pool");
    line = (struct hf_line){.item = 1, .qty = 0};
    REFUSED(hf_reserve(client, &order, NULL), "qty");
    line.qty = QTY_MAX + 1;
    REFUSED(hf_reserve(client, &order, NULL), "qty");
    line.qty = 2;
    line.policy = (enum hf_line_policy)3;
    REFUSED(hf_reserve(client, &order, NULL), "policy");
    line.policy = HF_LINE_ALL;
    line.min_qty = 1;
    REFUSED(hf_reserve(client, &order, NULL), "min_qty");
    line.policy = HF_LINE_UP_TO;
    line.min_qty = 3;
    REFUSED(hf_reserve(client, &order, NULL), "min_qty");
    line.min_qty = 2;
    line.fallback_count = 1;
    REFUSED(hf_reserve(client, &order, NULL), "fallbacks");
    uint32_t fallbacks[LINE_FALLBACKS_MAX + 1] = {0};
    line.fallbacks = fallbacks;
    line.fallback_count = LINE_FALLBACKS_MAX + 1;
    REFUSED(hf_reserve_async(client, &order, tally_done, NULL), "fallback_count");
    struct hf_line falling[ORDER_FALLBACKS_MAX / LINE_FALLBACKS_MAX + 1];
    for (uint32_t i = 0; i < sizeof falling / sizeof falling[0]; i++) {
        falling[i] = (struct hf_line){
            .item = 1, .qty = 1, .fallback_count = LINE_FALLBACKS_MAX, .fallbacks = fallbacks};
    }
    order.lines = falling;
    order.line_count = sizeof falling / sizeof falling[0];
    REFUSED(hf_reserve(client, &order, NULL), "fallbacks");
    order.lines = &line;
    line = (struct hf_line){.item = 1, .qty = 1};
    order.line_count = 0;
    REFUSED(hf_reserve(client, &order, NULL), "line");
    order.line_count = ORDER_LINES_MAX + 1;
    order.lines = many;
    REFUSED(hf_reserve(client, &order, NULL), "line");
    order.line_count = 1;
    order.lines = NULL;
    REFUSED(hf_reserve(client, &order, NULL), "lines");
    const struct hf_line_qty pairs[] = {{1, 1}};
    REFUSED(hf_commit_lines(client, order.id, pairs, 0, NULL), "line_count");
    REFUSED(hf_release_lines(client, order.id, pairs, 0, NULL), "line_count");
    REFUSED(hf_return_lines(client, order.id, pairs, ORDER_LINES_MAX + 1, NULL), "line_count");
    REFUSED(hf_return_lines(client, order.id, NULL, 1, NULL), "lines");

    const uint64_t ids[] = {1};
    const uint32_t item[] = {1};
    struct hf_batch batch = {.count = 0, .id_hi = ids, .id_lo = ids, .item = item};
    REFUSED(hf_reserve_batch(client, &batch, NULL), "count");
    batch.count = REQUEST_ORDERS_MAX + 1;
    REFUSED(hf_reserve_batch(client, &batch, NULL), "count");
    batch.count = 1;
    batch.id_lo = NULL;
    REFUSED(hf_reserve_batch(client, &batch, NULL), "id_lo");
    batch.id_lo = ids;
    batch.item = NULL;
    REFUSED(hf_reserve_batch_async(client, &batch, batch_done, NULL), "item");
    REFUSED(hf_commit_batch(client, 1, NULL, ids, NULL), "id_hi");
    REFUSED(hf_release_batch(client, 0, ids, ids, NULL), "count");

    uint32_t count;
    struct hf_stock stock;
    REFUSED(hf_get_stock(client, NULL, &stock, 1, &count), "sku");
    REFUSED(hf_resolve(client, "A", code, &count), "pool");
    REFUSED(hf_get_items(client, item, 0, &stock), "count");
    const struct hf_sku sku = {.sku = NULL};
    REFUSED(hf_define(client, &sku, 1, NULL, 0, NULL), "sku");
    REFUSED(hf_define(client, NULL, 0, NULL, 0, NULL), "1..");
    char reason[TEXT_GIVEN_BYTES_MAX + 2];
    memset(reason, 'x', sizeof reason);
    reason[TEXT_GIVEN_BYTES_MAX + 1] = 0;
    const struct hf_adjustment row = {.item = 1, .reason = reason};
    struct hf_adjust_result result;
    REFUSED(hf_adjust(client, &row, 1, &result), "reason");
    REFUSED(hf_adjust(client, &row, 0, &result), "count");
    struct hf_adjustment move = {.item = 1, .to_item = 2, .value = 0};
    REFUSED(hf_adjust(client, &move, 1, &result), "value");
    move.value = STOCK_MAX + 1;
    REFUSED(hf_adjust(client, &move, 1, &result), "value");
    move.value = 1;
    move.set = true;
    REFUSED(hf_adjust(client, &move, 1, &result), "set");
    move = (struct hf_adjustment){.item = 1, .to_pool = "", .value = 1};
    REFUSED(hf_adjust(client, &move, 1, &result), "to_pool");

    struct hf_order_filter filter = {.pool = "a pool without a SKU"};
    struct hf_order_cursor cursor = {0};
    struct hf_order_info *orders;
    REFUSED(hf_list_orders(client, &filter, &cursor, 0, &orders, &count), "pool");
    filter = (struct hf_order_filter){.states = 1u << HF_ORDER_NONE};
    REFUSED(hf_list_orders(client, &filter, &cursor, 0, &orders, &count), "states");
    filter = (struct hf_order_filter){.states = 1u << (HF_ORDER_RETURNED + 1)};
    REFUSED(hf_list_orders(client, &filter, &cursor, 0, &orders, &count), "states");
    cursor.size = UINT8_MAX;
    REFUSED(hf_list_orders(client, NULL, &cursor, 0, &orders, &count), "cursor");
    struct hf_sku_rules rules;
    const char *const no_sku[] = {NULL};
    REFUSED(hf_get_skus(client, no_sku, 1, &rules), "sku");
    REFUSED(hf_get_skus(client, no_sku, 0, &rules), "count");
    assert_int_equal(atomic_load(&setup.fake.messages), 0);

    /* Both sides of the bounds. */
    order.lines = falling;
    order.line_count = ORDER_FALLBACKS_MAX / LINE_FALLBACKS_MAX;
    assert_int_equal(hf_reserve(client, &order, NULL), HF_OK);
    order.lines = many;
    order.line_count = ORDER_LINES_MAX;
    assert_int_equal(hf_reserve(client, &order, NULL), HF_OK);
    code[CODE_BYTES_MAX] = 0;
    line = (struct hf_line){.sku = code, .pool = code, .qty = QTY_MAX};
    order.lines = &line;
    order.line_count = 1;
    assert_int_equal(hf_reserve(client, &order, NULL), HF_OK);
    line = (struct hf_line){.item = 1,
                            .qty = 2,
                            .policy = HF_LINE_UP_TO,
                            .min_qty = 2,
                            .split = true,
                            .fallback_count = LINE_FALLBACKS_MAX,
                            .fallbacks = fallbacks};
    assert_int_equal(hf_reserve(client, &order, NULL), HF_OK);
    tear_down(&setup);
}

static void client_open_checks_its_options(void **state)
{
    (void)state;
    struct hf_client *client = NULL;
    assert_int_equal(hf_client_open(&client, NULL, NULL), HF_INVALID);
    assert_int_equal(hf_client_open(&client, "http://127.0.0.1", NULL), HF_INVALID);
    assert_int_equal(hf_client_open(&client, "", NULL), HF_INVALID);
    struct hf_options options = {.in_flight_max = CLIENT_IN_FLIGHT_MAX + 1};
    assert_int_equal(hf_client_open(&client, "tcp://127.0.0.1:1", &options), HF_INVALID);
    options = (struct hf_options){.batch_max = CLIENT_BATCH_ORDERS_MAX + 1};
    assert_int_equal(hf_client_open(&client, "tcp://127.0.0.1:1", &options), HF_INVALID);
    char token[TOKEN_BYTES_MAX + 2];
    memset(token, 't', sizeof token);
    token[TOKEN_BYTES_MAX + 1] = 0;
    options = (struct hf_options){.token = token};
    assert_int_equal(hf_client_open(&client, "tcp://127.0.0.1:1", &options), HF_INVALID);
    assert_null(client);
    options = (struct hf_options){.in_flight_max = CLIENT_IN_FLIGHT_MAX,
                                  .batch_max = CLIENT_BATCH_ORDERS_MAX};
    assert_int_equal(hf_client_open(&client, "tcp://127.0.0.1:1", &options), HF_OK);
    hf_client_close(client);
    hf_client_close(NULL);
}

static void client_sends_its_token_and_timeout(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.token = "secret", .timeout_ms = 345678});
    assert_int_equal(hf_commit(setup.client, (struct hf_id){{0}}, NULL), HF_OK);
    assert_string_equal(setup.fake.token, "secret");
    assert_in_range(atomic_load(&setup.fake.timeout_ms), 345678 - PATIENCE_MS, 345678);
    tear_down(&setup);
}

/* ---- Ids ---- */

static void client_ids_follow_the_document(void **state)
{
    (void)state;
    static const uint8_t bytes[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                      0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF};
    struct hf_id id = hf_id_from_text("00112233-4455-6677-8899-AABBCCDDEEFF");
    assert_memory_equal(id.bytes, bytes, 16);
    id = hf_id_from_text("00112233445566778899aabbccddeeff");
    assert_memory_equal(id.bytes, bytes, 16);
    char text[37];
    hf_id_to_text(id, text);
    assert_string_equal(text, "00112233-4455-6677-8899-aabbccddeeff");
    /* XXH3 128-bit of nothing, seed 0: 99aa06d3014798d86001c324468d497f, as xxhsum prints it. */
    static const uint8_t empty[16] = {0x99, 0xAA, 0x06, 0xD3, 0x01, 0x47, 0x98, 0xD8,
                                      0x60, 0x01, 0xC3, 0x24, 0x46, 0x8D, 0x49, 0x7F};
    id = hf_id_from_text("");
    assert_memory_equal(id.bytes, empty, 16);
    struct hf_id a = hf_id_random();
    struct hf_id b = hf_id_random();
    assert_memory_not_equal(a.bytes, b.bytes, 16);
    assert_int_equal(a.bytes[6] >> 4, 4);
    assert_int_equal(a.bytes[8] >> 6, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_batch_returns_statuses_that_stay),
        cmocka_unit_test(client_batches_without_waiting_are_bounded),
        cmocka_unit_test(client_reads_orders_stock_and_status),
        cmocka_unit_test(client_reads_the_slowest_answers),
        cmocka_unit_test(client_lists_orders_page_by_page),
        cmocka_unit_test(client_reads_rules),
        cmocka_unit_test(client_moves_stock),
        cmocka_unit_test(client_defines_and_adjusts),
        cmocka_unit_test(client_message_after_a_whole_is_of_that_whole),
        cmocka_unit_test(client_refuses_bad_arguments_without_sending),
        cmocka_unit_test(client_open_checks_its_options),
        cmocka_unit_test(client_sends_its_token_and_timeout),
        cmocka_unit_test(client_ids_follow_the_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

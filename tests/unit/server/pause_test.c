/* pause_test.c - a long request lets others in between: how often, with nothing of it under way,
 * and with one answer; and a request that would be answered too late is not started.
 *
 * Threads: one. What is let in between runs on the same thread, as in the server. */
#include <stdio.h>

#include "engine_rig.h"

#define ORDERS     5000u
#define ORDER_TEN  1000u /* orders of ten lines */
#define EVERY      2048u /* lines between two pauses */
#define LIST_EVERY 1024u /* items of a list */

/* A request that pauses, and what is done in its pauses. */
struct paused {
    struct ask ask; /* first: the call leads to it */
    struct rig *rig;
    unsigned pauses;
    uint64_t first_lo; /* the first pause commits this order; 0: it does nothing */
    bool closes_log;
};

static uint64_t his[ORDERS];
static uint64_t los[ORDERS];
static uint32_t items[10 * ORDER_TEN];
static uint32_t line_counts[ORDER_TEN];
static uint8_t ids[ORDERS][ID_BYTES];

static void open_large(struct rig *rig)
{
    rig_open(rig, MIB(4));
    engine_close(rig->engine);
    rig->options.inventory.items_max = 8192;
    rig->options.inventory.orders_max = 65536;
    rig_recover(rig);
    define_phone(rig, 1000000);
    for (unsigned i = 0; i < ORDERS; i++) {
        his[i] = 7;
        los[i] = i + 1;
        id_to_bytes((struct id128){7, i + 1}, ids[i]);
    }
    for (unsigned i = 0; i < 10 * ORDER_TEN; i++) {
        items[i] = 1;
        line_counts[i / 10] = 10;
    }
}

static void commit_one(struct rig *rig, uint64_t lo)
{
    uint64_t hi = 7;
    struct request commit = {.type = REQUEST_COMMIT_BATCH};
    commit.batch =
        (struct batch_message){.id_hi_count = 1, .id_hi = &hi, .id_lo_count = 1, .id_lo = &lo};
    struct ask ask;
    const struct response *response = ask_wait(rig, &ask, &commit);
    assert_int_equal(response->status, HF_OK);
    assert_int_equal(response->batch.ok_count, 1);
    ask_free(&ask);
}

static void close_log(struct rig *rig)
{
    static const uint64_t record[3] = {4 | (uint64_t)24 << 32, 0, 0};
    uint64_t lsn;
    sim_storage_fail_write(rig->storage, 1, HF_IO_ERROR);
    assert_int_equal(wal_append(engine_wal(rig->engine), record, sizeof record, 1, 0, &lsn), HF_OK);
    rig_settle(rig);
    assert_true(engine_failed(rig->engine));
}

static void pause_call(struct engine_call *call)
{
    struct paused *paused = (struct paused *)call;
    assert_false(paused->ask.done);
    paused->pauses++;
    if (paused->pauses == 1 && paused->closes_log) {
        close_log(paused->rig);
    } else if (paused->pauses == 1 && paused->first_lo > 0) {
        commit_one(paused->rig, paused->first_lo);
    }
    if (!paused->closes_log) {
        rig_verify(paused->rig); /* all that was decided is published */
    }
}

static void paused_submit(struct rig *rig, struct paused *paused, const struct request *request)
{
    paused->rig = rig;
    paused->ask = (struct ask){.call = {.done = ask_done, .pause = pause_call}};
    arena_init(&paused->ask.arena, MIB(32));
    paused->ask.call.arena = &paused->ask.arena;
    engine_submit(rig->engine, &paused->ask.call, request);
    rig_settle(rig);
    assert_true(paused->ask.done);
}

static struct request columns(enum request_type type, uint32_t orders)
{
    struct request request = {.type = type};
    request.batch = (struct batch_message){
        .id_hi_count = orders, .id_hi = his, .id_lo_count = orders, .id_lo = los};
    if (type == REQUEST_RESERVE_BATCH) {
        request.batch.item_count = orders;
        request.batch.item = items;
    }
    return request;
}

/* ---- Changes ---- */

static void columns_let_others_in_each_2048_lines(void **state)
{
    (void)state;
    struct rig rig;
    open_large(&rig);
    /* An order of the first part is committed in between. */
    struct paused paused = {.first_lo = 1};
    struct request reserve = columns(REQUEST_RESERVE_BATCH, ORDERS);
    paused_submit(&rig, &paused, &reserve);
    assert_int_equal(paused.ask.call.response.status, HF_OK);
    assert_int_equal(paused.ask.call.response.batch.ok_count, ORDERS);
    assert_int_equal(paused.pauses, ORDERS / EVERY);
    ask_free(&paused.ask);
    /* Edits of columns, in which one has been committed already. */
    paused = (struct paused){.first_lo = ORDERS};
    struct request commit = columns(REQUEST_COMMIT_BATCH, ORDERS);
    paused_submit(&rig, &paused, &commit);
    assert_int_equal(paused.ask.call.response.batch.ok_count, ORDERS);
    assert_int_equal(paused.pauses, ORDERS / EVERY);
    ask_free(&paused.ask);
    struct item_view view;
    assert_int_equal(inventory_item(engine_inventory(rig.engine), 1, &view), HF_OK);
    assert_int_equal(view.stock.held, 0);
    assert_int_equal(view.stock.sold, ORDERS);
    rig_crash(&rig);
    rig_close(&rig);
}

static void lines_count_and_not_orders(void **state)
{
    (void)state;
    struct rig rig;
    open_large(&rig);
    struct paused paused = {.first_lo = 1};
    struct request reserve = columns(REQUEST_RESERVE_BATCH, ORDER_TEN);
    reserve.batch.item_count = 10 * ORDER_TEN;
    reserve.batch.line_count_count = ORDER_TEN;
    reserve.batch.line_count = line_counts;
    paused_submit(&rig, &paused, &reserve);
    assert_int_equal(paused.ask.call.response.batch.ok_count, ORDER_TEN);
    assert_int_equal(paused.pauses, 10 * ORDER_TEN / (EVERY + 2)); /* whole orders: each 205 */
    ask_free(&paused.ask);
    rig_verify(&rig);
    rig_close(&rig);
}

static void rows_let_others_in_each_2048_lines(void **state)
{
    (void)state;
    enum { ROWS = 30, LINES = 300 };
    struct rig rig;
    open_large(&rig);
    static struct line_message lines[LINES];
    static struct order_message orders[ROWS];
    for (unsigned i = 0; i < LINES; i++) {
        lines[i] = (struct line_message){.item = 1, .qty = 1};
    }
    for (unsigned i = 0; i < ROWS; i++) {
        orders[i] =
            (struct order_message){.id = {ids[i], ID_BYTES}, .line_count = LINES, .lines = lines};
    }
    struct request reserve = {.type = REQUEST_RESERVE};
    reserve.reserve.count = ROWS;
    reserve.reserve.orders = orders;
    struct paused paused = {.first_lo = 1};
    paused_submit(&rig, &paused, &reserve);
    assert_int_equal(paused.ask.call.response.orders.count, ROWS);
    for (unsigned i = 0; i < ROWS; i++) {
        assert_int_equal(paused.ask.call.response.orders.results[i].status, HF_OK);
    }
    assert_int_equal(paused.pauses, ROWS / 7); /* 7 orders have 2100 lines */
    ask_free(&paused.ask);
    rig_verify(&rig);
    rig_close(&rig);
}

static void edits_in_rows_let_others_in(void **state)
{
    (void)state;
    struct rig rig;
    open_large(&rig);
    struct paused paused = {0};
    struct request reserve = columns(REQUEST_RESERVE_BATCH, ORDERS);
    paused_submit(&rig, &paused, &reserve);
    ask_free(&paused.ask);
    static struct edit_message edits[ORDERS];
    for (unsigned i = 0; i < ORDERS; i++) {
        edits[i] = (struct edit_message){.id = {ids[i], ID_BYTES}};
    }
    struct request release = {.type = REQUEST_RELEASE};
    release.edit.count = ORDERS - 1; /* the last one is committed in between */
    release.edit.edits = edits;
    paused = (struct paused){.first_lo = ORDERS};
    paused_submit(&rig, &paused, &release);
    assert_int_equal(paused.pauses, ORDERS / EVERY);
    for (unsigned i = 0; i < ORDERS - 1; i++) {
        assert_int_equal(paused.ask.call.response.orders.results[i].status, HF_OK);
    }
    ask_free(&paused.ask);
    rig_verify(&rig);
    rig_close(&rig);
}

static void short_request_does_not_pause(void **state)
{
    (void)state;
    struct rig rig;
    open_large(&rig);
    struct paused paused = {0};
    struct request reserve = columns(REQUEST_RESERVE_BATCH, EVERY - 1);
    for (unsigned i = 0; i < 3; i++) { /* nor by what the worker did before */
        paused_submit(&rig, &paused, &reserve);
        assert_int_equal(paused.ask.call.response.batch.ok_count, EVERY - 1);
        assert_int_equal(paused.pauses, 0);
        ask_free(&paused.ask);
    }
    rig_verify(&rig);
    rig_close(&rig);
}

static void log_that_closes_in_a_pause_ends_the_request(void **state)
{
    (void)state;
    struct rig rig;
    open_large(&rig);
    struct paused paused = {.closes_log = true};
    struct request reserve = columns(REQUEST_RESERVE_BATCH, ORDERS);
    paused_submit(&rig, &paused, &reserve);
    assert_int_equal(paused.ask.call.response.status, HF_INTERNAL);
    assert_int_equal(paused.pauses, 1);
    ask_free(&paused.ask);
    rig_crash(&rig);
    rig_close(&rig);
}

/* ---- Lists ---- */

static void list_of_stock_lets_others_in(void **state)
{
    (void)state;
    enum { SKUS = 3000, AT_ONCE = 1000 };
    struct rig rig;
    open_large(&rig);
    static char names[SKUS][16];
    static struct item_message defined[SKUS];
    for (unsigned i = 0; i < SKUS; i++) {
        (void)snprintf(names[i], sizeof names[i], "sku%05u", i);
        defined[i] = (struct item_message){.sku = bytes_of(names[i])};
    }
    for (unsigned i = 0; i < SKUS; i += AT_ONCE) {
        struct ask ask;
        struct request define = {.type = REQUEST_DEFINE};
        define.define.item_count = AT_ONCE;
        define.define.items = defined + i;
        assert_int_equal(ask_wait(&rig, &ask, &define)->status, HF_OK);
        ask_free(&ask);
    }
    struct request list = {.type = REQUEST_LIST_STOCK};
    list.list_stock.limit = SKUS;
    struct paused paused = {0};
    paused_submit(&rig, &paused, &list);
    assert_int_equal(paused.ask.call.response.type, RESPONSE_STOCK);
    assert_int_equal(paused.ask.call.response.stock.count, SKUS);
    assert_int_equal(paused.pauses, (SKUS - 1) / LIST_EVERY);
    ask_free(&paused.ask);
    rig_close(&rig);
}

/* ---- In time ---- */

static const struct response *submit_received(struct rig *rig, struct ask *ask,
                                              const struct request *request, uint64_t ms_ago)
{
    *ask = (struct ask){.call = {.done = ask_done}};
    arena_init(&ask->arena, MIB(1));
    ask->call.arena = &ask->arena;
    ask->call.received_ns = rig_monotonic_ns(rig) - ms_ago * 1000000u;
    engine_submit(rig->engine, &ask->call, request);
    return &ask->call.response;
}

/* A write that has been under way for 700 ms: the log takes at least so long now. */
static void change_whose_answer_would_be_late_is_not_started(void **state)
{
    (void)state;
    struct rig rig;
    open_large(&rig);
    struct ask held;
    struct request first = columns(REQUEST_RESERVE_BATCH, 1);
    sim_storage_hold(rig.storage, true);
    ask_submit(&rig, &held, &first);
    while (sim_storage_in_flight(rig.storage) == 0) {
        engine_step(rig.engine);
    }
    rig.ms += 700;
    los[0] = ORDERS + 1;
    struct request request = columns(REQUEST_RESERVE_BATCH, 1);
    struct ask ask;
    request.timeout_ms = 800;
    const struct response *response = submit_received(&rig, &ask, &request, 300);
    assert_true(ask.done); /* at once */
    assert_int_equal(response->status, HF_BUSY);
    assert_true(message_has(response, "the log takes about 7"));
    assert_true(response->retry_after_ms >= 700 && response->retry_after_ms < 2000);
    ask_free(&ask);
    uint64_t lsn = wal_tail_lsn(engine_wal(rig.engine));
    struct ask read; /* a read waits for the log, and is not refused for it */
    static const uint32_t item = 1;
    struct request get = {.type = REQUEST_GET_STOCK, .timeout_ms = 800};
    get.get_stock.item_count = 1;
    get.get_stock.items = &item;
    (void)submit_received(&rig, &read, &get, 300);
    struct ask patient; /* has the time */
    request.timeout_ms = 100000;
    (void)submit_received(&rig, &patient, &request, 300);
    assert_true(wal_tail_lsn(engine_wal(rig.engine)) > lsn);
    sim_storage_hold(rig.storage, false);
    rig_settle(&rig);
    assert_true(held.done && read.done && patient.done);
    assert_int_equal(read.call.response.status, HF_OK);
    assert_int_equal(patient.call.response.batch.ok_count, 1);
    ask_free(&held);
    ask_free(&read);
    ask_free(&patient);
    rig_verify(&rig);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_let_others_in_each_2048_lines),
        cmocka_unit_test(lines_count_and_not_orders),
        cmocka_unit_test(rows_let_others_in_each_2048_lines),
        cmocka_unit_test(edits_in_rows_let_others_in),
        cmocka_unit_test(short_request_does_not_pause),
        cmocka_unit_test(log_that_closes_in_a_pause_ends_the_request),
        cmocka_unit_test(list_of_stock_lets_others_in),
        cmocka_unit_test(change_whose_answer_would_be_late_is_not_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

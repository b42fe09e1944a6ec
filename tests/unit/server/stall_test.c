/* stall_test.c - an engine whose log takes no work, or no more: what each kind of request is
 * answered, and that nobody waits for what never comes.
 *
 * What a faulty engine would wait for ends the wait by failing the test: the hooks of clock and log
 * count. Threads: one, where a test does not say otherwise. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "engine_rig.h"
#include "server/engine_internal.h"
#include "server/worker.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- One request of each kind ---- */

static const uint8_t held_id[ID_BYTES] = {1, 1};  /* an order that is held */
static const uint8_t other_id[ID_BYTES] = {1, 2}; /* one that is not there */

static struct request request_of(enum request_type type)
{
    static const uint64_t hi = 0x0103000000000000u;
    static const uint64_t lo = 1;
    static const uint32_t item = 1;
    static const struct line_message line = {.item = 1, .qty = 1};
    static const struct order_message order = {
        .id = {other_id, ID_BYTES}, .line_count = 1, .lines = &line};
    static const struct edit_message edit = {.id = {held_id, ID_BYTES}};
    static struct bytes sku;
    static struct item_message def;
    static struct adjustment_message adjustment;
    sku = bytes_of("phone");
    def = (struct item_message){.sku = bytes_of("phone"), .safety = 1};
    adjustment = (struct adjustment_message){
        .id = {other_id, ID_BYTES}, .item = 1, .has_delta = true, .delta = 1};
    struct request request = {.type = type};
    switch (type) {
    case REQUEST_RESERVE:
        request.reserve.count = 1;
        request.reserve.orders = &order;
        break;
    case REQUEST_COMMIT:
    case REQUEST_RELEASE:
    case REQUEST_RETURN:
        request.edit.count = 1;
        request.edit.edits = &edit;
        break;
    case REQUEST_EXTEND:
        request.extend.id = edit.id;
        break;
    case REQUEST_RESERVE_BATCH:
    case REQUEST_COMMIT_BATCH:
    case REQUEST_RELEASE_BATCH:
        request.batch =
            (struct batch_message){.id_hi_count = 1, .id_hi = &hi, .id_lo_count = 1, .id_lo = &lo};
        request.batch.item_count = type == REQUEST_RESERVE_BATCH;
        request.batch.item = &item;
        break;
    case REQUEST_DEFINE:
        request.define.item_count = 1;
        request.define.items = &def;
        break;
    case REQUEST_ADJUST:
        request.adjust.count = 1;
        request.adjust.adjustments = &adjustment;
        break;
    case REQUEST_GET_ORDER:
        request.get_order.id = edit.id;
        break;
    case REQUEST_GET_STOCK:
        request.get_stock.item_count = 1;
        request.get_stock.items = &item;
        break;
    case REQUEST_GET_SKUS:
        request.get_skus.count = 1;
        request.get_skus.skus = &sku;
        break;
    case REQUEST_LIST_STOCK:
    case REQUEST_LIST_ORDERS:
    case REQUEST_STATUS:
    case REQUEST_NONE:
        break;
    }
    return request;
}

static const enum request_type changes[] = {
    REQUEST_RESERVE, REQUEST_COMMIT,        REQUEST_RELEASE,      REQUEST_RETURN,
    REQUEST_EXTEND,  REQUEST_RESERVE_BATCH, REQUEST_COMMIT_BATCH, REQUEST_RELEASE_BATCH,
    REQUEST_DEFINE,  REQUEST_ADJUST,
};
static const enum request_type reads[] = {REQUEST_GET_ORDER,  REQUEST_GET_STOCK,   REQUEST_GET_SKUS,
                                          REQUEST_LIST_STOCK, REQUEST_LIST_ORDERS, REQUEST_STATUS};

/* Each change is answered `status`, at once, and changes nothing; a dry run too. */
static void assert_changes_refused(struct rig *rig, enum hf_status status, const char *message)
{
    for (unsigned i = 0; i < COUNT(changes); i++) {
        uint64_t lsn = wal_tail_lsn(engine_wal(rig->engine));
        struct request request = request_of(changes[i]);
        struct ask ask;
        ask_submit(rig, &ask, &request);
        assert_true(ask.done);
        assert_int_equal(ask.call.response.status, status);
        assert_true(message_has(&ask.call.response, message));
        assert_int_equal(ask.call.response.retry_after_ms > 0, status != HF_INTERNAL);
        assert_int_equal(wal_tail_lsn(engine_wal(rig->engine)), lsn);
        ask_free(&ask);
    }
    struct request dry = request_of(REQUEST_DEFINE);
    dry.define.dry_run = true;
    struct ask ask;
    ask_submit(rig, &ask, &dry);
    assert_true(ask.done);
    assert_int_equal(ask.call.response.status, status);
    ask_free(&ask);
}

/* Records until the log takes no more work: releases of an order of as many lines as may be. */
struct filler {
    struct line_message lines[ORDER_LINES_MAX];
    struct edit_message edits[64];
    struct line_qty_message named[64];
    uint8_t id[ID_BYTES];
    uint32_t released;
};

static struct filler *filler_make(struct rig *rig, uint8_t number)
{
    struct filler *filler = calloc(1, sizeof *filler);
    assert_non_null(filler);
    filler->id[0] = 0x66;
    filler->id[1] = number;
    for (unsigned i = 0; i < ORDER_LINES_MAX; i++) {
        filler->lines[i] = (struct line_message){.item = 1, .qty = 1000000};
    }
    struct order_message order = {
        .id = {filler->id, ID_BYTES}, .line_count = ORDER_LINES_MAX, .lines = filler->lines};
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 1;
    request.reserve.orders = &order;
    struct ask ask;
    assert_int_equal(ask_wait(rig, &ask, &request)->orders.results[0].status, HF_OK);
    ask_free(&ask);
    return filler;
}

/* A request of half a MiB of log. */
static struct request filler_request(struct filler *filler)
{
    for (uint32_t i = 0; i < 64; i++) {
        filler->named[i] = (struct line_qty_message){1, ++filler->released};
        filler->edits[i] = (struct edit_message){
            .id = {filler->id, ID_BYTES}, .line_count = 1, .lines = &filler->named[i]};
    }
    struct request request = {.type = REQUEST_RELEASE};
    request.edit.count = 64;
    request.edit.edits = filler->edits;
    return request;
}

static void hold_order(struct rig *rig)
{
    struct line_message line = {.item = 1, .qty = 1};
    struct order_message order = {.id = {held_id, ID_BYTES}, .line_count = 1, .lines = &line};
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 1;
    request.reserve.orders = &order;
    struct ask ask;
    assert_int_equal(ask_wait(rig, &ask, &request)->orders.results[0].status, HF_OK);
    ask_free(&ask);
}

/* ---- BUSY ---- */

enum { ASKS = 64 };

/* The disk stands still: so many requests are taken, without a wait, and then none. */
static unsigned fill_buffers(struct rig *rig, struct filler *filler, struct ask asks[ASKS])
{
    sim_storage_hold(rig->storage, true);
    unsigned taken = 0;
    for (; taken < ASKS && wal_admit(engine_wal(rig->engine)) == HF_OK; taken++) {
        struct request request = filler_request(filler);
        ask_submit(rig, &asks[taken], &request);
        assert_false(asks[taken].done);
        engine_step(rig->engine);
        assert_int_equal(rig->stalls, 0);
    }
    assert_true(taken > 0 && taken < ASKS);
    return taken;
}

static void drain(struct rig *rig, struct ask *asks, unsigned count, enum hf_status status)
{
    sim_storage_hold(rig->storage, false);
    rig_settle(rig);
    for (unsigned i = 0; i < count; i++) {
        assert_true(asks[i].done);
        assert_int_equal(asks[i].call.response.status, status);
        ask_free(&asks[i]);
    }
}

static void engine_whose_disk_stands_still_says_busy_to_each_change(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(64));
    define_phone(&rig, (int64_t)1 << 40);
    struct filler *filler = filler_make(&rig, 0);
    hold_order(&rig);
    static struct ask asks[ASKS];
    unsigned taken = fill_buffers(&rig, filler, asks);
    assert_changes_refused(&rig, HF_BUSY, "more work than the log can take");
    /* Reads are taken, and wait for what they saw. */
    static struct ask read[COUNT(reads)];
    for (unsigned i = 0; i < COUNT(reads); i++) {
        struct request request = request_of(reads[i]);
        ask_submit(&rig, &read[i], &request);
        assert_false(read[i].done);
    }
    drain(&rig, asks, taken, HF_OK);
    drain(&rig, read, COUNT(reads), HF_OK);
    struct request request = request_of(REQUEST_COMMIT);
    struct ask ask;
    assert_int_equal(ask_wait(&rig, &ask, &request)->orders.results[0].status, HF_OK);
    ask_free(&ask);
    rig_verify(&rig);
    free(filler);
    rig_close(&rig);
}

static enum order_state state_of(struct rig *rig)
{
    struct order_view view = {.state = ORDER_NONE};
    (void)inventory_order(engine_inventory(rig->engine), id_from_bytes(held_id), &view, NULL, 0);
    return view.state;
}

/* Expiry and forgetting are work like any other. */
static void expiry_and_forgetting_wait_while_the_log_takes_no_work(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(64));
    engine_close(rig.engine);
    rig.options.retain_ended_ms = 1000;
    rig_recover(&rig);
    define_phone(&rig, (int64_t)1 << 40);
    struct filler *filler = filler_make(&rig, 0);
    hold_order(&rig);
    static struct ask asks[ASKS];
    rig.looks_left = 100000;
    /* The order's time is up, and nothing of it is done. */
    rig.ms += HOLD_MS - 1;
    assert_int_equal(engine_expire(rig.engine), 0);
    unsigned taken = fill_buffers(&rig, filler, asks);
    rig.ms += 1;
    uint64_t lsn = wal_tail_lsn(engine_wal(rig.engine));
    assert_int_equal(engine_expire(rig.engine), 0);
    assert_int_equal(wal_tail_lsn(engine_wal(rig.engine)), lsn);
    assert_int_equal(state_of(&rig), ORDER_HELD);
    drain(&rig, asks, taken, HF_OK);
    assert_int_equal(engine_expire(rig.engine), 2); /* and the filler's */
    assert_int_equal(state_of(&rig), ORDER_EXPIRED);
    rig_settle(&rig);
    /* The same of forgetting. */
    free(filler);
    filler = filler_make(&rig, 1);
    assert_int_equal(engine_forget(rig.engine), 0);
    rig.ms += 2000;
    taken = fill_buffers(&rig, filler, asks);
    lsn = wal_tail_lsn(engine_wal(rig.engine));
    assert_int_equal(engine_forget(rig.engine), 0);
    for (unsigned i = 0; i < 3; i++) { /* as the housekeeper does it */
        struct time_reading now;
        rig.ms += 10;
        engine_tick(rig.engine, &now);
        assert_int_equal(forgetter_step(&rig.engine->housekeeper.forgetter), 0);
    }
    assert_int_equal(wal_tail_lsn(engine_wal(rig.engine)), lsn);
    assert_int_equal(state_of(&rig), ORDER_EXPIRED);
    drain(&rig, asks, taken, HF_OK);
    assert_true(engine_forget(rig.engine) > 0);
    assert_int_equal(state_of(&rig), ORDER_NONE);
    rig_settle(&rig);
    rig.looks_left = 0;
    rig_verify(&rig);
    free(filler);
    rig_close(&rig);
}

/* Very many orders are due at once, and the disk stands still: expiry stops between two of its
 * transactions while there are buffers left, and continues later to the last order. */
static void expiry_of_many_stops_when_the_log_is_busy(void **state)
{
    (void)state;
    enum { BATCHES = 5, ORDERS = BATCHES * REQUEST_ORDERS_MAX };
    static uint64_t ids[REQUEST_ORDERS_MAX];
    static uint64_t batch_id[REQUEST_ORDERS_MAX];
    static uint32_t items[REQUEST_ORDERS_MAX];
    struct rig rig;
    rig_open(&rig, MIB(64));
    engine_close(rig.engine);
    rig.options.inventory.orders_max = ORDERS + 1;
    rig_recover(&rig);
    define_phone(&rig, ORDERS);
    struct request request = {.type = REQUEST_RESERVE_BATCH};
    request.batch = (struct batch_message){.id_hi_count = REQUEST_ORDERS_MAX,
                                           .id_hi = batch_id,
                                           .id_lo_count = REQUEST_ORDERS_MAX,
                                           .id_lo = ids,
                                           .item_count = REQUEST_ORDERS_MAX,
                                           .item = items};
    for (uint32_t batch = 1; batch <= BATCHES; batch++) {
        for (uint32_t i = 0; i < REQUEST_ORDERS_MAX; i++) {
            ids[i] = i + 1;
            batch_id[i] = batch;
            items[i] = 1;
        }
        struct ask ask;
        assert_int_equal(ask_wait(&rig, &ask, &request)->batch.ok_count, REQUEST_ORDERS_MAX);
        ask_free(&ask);
    }
    rig.ms += HOLD_MS;
    rig.looks_left = 100000;
    sim_storage_hold(rig.storage, true);
    uint64_t expired = engine_expire(rig.engine);
    assert_int_equal(rig.stalls, 0);
    assert_int_equal(wal_admit(engine_wal(rig.engine)), HF_BUSY);
    assert_true(expired > TXN_EVENTS_MAX && expired < ORDERS);
    sim_storage_hold(rig.storage, false);
    for (unsigned i = 0; i < 100 && expired < ORDERS; i++) {
        rig_settle(&rig);
        expired += engine_expire(rig.engine);
    }
    assert_int_equal(expired, ORDERS);
    assert_int_equal(engine_expire(rig.engine), 0);
    rig.looks_left = 0;
    rig_settle(&rig);
    rig_verify(&rig);
    rig_close(&rig);
}

/* ---- READ_ONLY ---- */

static void engine_whose_disk_is_full_says_so_to_each_change_and_answers_reads(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(18));
    define_phone(&rig, (int64_t)1 << 40);
    struct filler *filler = filler_make(&rig, 0);
    hold_order(&rig);
    rig_settle(&rig);
    sim_storage_set_capacity(rig.storage, sim_storage_used(rig.storage));
    enum hf_status status = HF_OK;
    for (unsigned i = 0; i < 200 && status == HF_OK; i++) {
        struct request request = filler_request(filler);
        struct ask ask;
        status = ask_wait(&rig, &ask, &request)->status;
        ask_free(&ask);
    }
    assert_int_equal(status, HF_READ_ONLY);
    assert_changes_refused(&rig, HF_READ_ONLY, "the disk is full");
    for (unsigned i = 0; i < COUNT(reads); i++) {
        struct request request = request_of(reads[i]);
        struct ask ask;
        assert_int_equal(ask_wait(&rig, &ask, &request)->status, HF_OK);
        ask_free(&ask);
    }
    rig.ms += HOLD_MS;
    assert_int_equal(engine_expire(rig.engine), 0);
    assert_int_equal(state_of(&rig), ORDER_HELD);
    assert_false(engine_failed(rig.engine));
    sim_storage_set_capacity(rig.storage, UINT64_MAX);
    rig_settle(&rig);
    assert_int_equal(engine_expire(rig.engine), 2);
    rig_settle(&rig);
    rig_verify(&rig);
    free(filler);
    rig_close(&rig);
}

/* Adjustments and definitions that fill the disk: what comes first is made, the rest is refused. */
static void request_that_fills_the_disk_is_refused_from_there_on(void **state)
{
    (void)state;
    enum { MOST = REQUEST_ADMIN_MAX };
    static struct adjustment_message adjustments[MOST];
    static uint8_t ids[MOST][ID_BYTES];
    static char reason[REASON_BYTES_MAX + 1];
    memset(reason, 'r', REASON_BYTES_MAX);
    struct rig rig;
    rig_open(&rig, MIB(18));
    define_phone(&rig, 0);
    rig_settle(&rig);
    sim_storage_set_capacity(rig.storage, sim_storage_used(rig.storage));
    bool full = false;
    int64_t stocked = 0;
    for (unsigned round = 0; round < 6 && !full; round++) {
        /* The first one leaves room for a part of the second. */
        uint32_t count = round == 0 ? MOST / 2 : MOST;
        for (uint32_t i = 0; i < count; i++) {
            id_to_bytes((struct id128){0xA0 + round, i}, ids[i]);
            adjustments[i] = (struct adjustment_message){.id = {ids[i], ID_BYTES},
                                                         .item = 1,
                                                         .has_delta = true,
                                                         .delta = 1,
                                                         .reason = bytes_of(reason),
                                                         .reference = bytes_of(reason)};
        }
        struct request request = {.type = REQUEST_ADJUST, .answer_bytes_max = UINT32_MAX};
        request.adjust.count = count;
        request.adjust.adjustments = adjustments;
        struct ask ask;
        const struct response *response = ask_wait(&rig, &ask, &request);
        assert_int_equal(response->status, HF_OK);
        for (uint32_t i = 0; i < count; i++) {
            enum hf_status status = response->adjust.results[i].status;
            full = full || status == HF_READ_ONLY;
            assert_int_equal(status, full ? HF_READ_ONLY : HF_OK);
            stocked += status == HF_OK;
        }
        assert_int_equal(response->retry_after_ms > 0, full);
        ask_free(&ask);
        assert_false(engine_failed(rig.engine));
    }
    assert_true(full);
    struct item_view view;
    assert_int_equal(inventory_item(engine_inventory(rig.engine), 1, &view), HF_OK);
    assert_int_equal(view.stock.stocked, stocked);
    rig_verify(&rig);
    sim_storage_set_capacity(rig.storage, UINT64_MAX);
    rig_crash(&rig);
    rig_close(&rig);
}

/* ---- A failed write ---- */

static void engine_whose_log_is_closed_tells_all_who_wait_and_takes_nothing_more(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(64));
    define_phone(&rig, (int64_t)1 << 40);
    struct filler *filler = filler_make(&rig, 0);
    hold_order(&rig);
    sim_storage_fail_write(rig.storage, 1, HF_IO_ERROR);
    static struct ask asks[ASKS];
    unsigned taken = fill_buffers(&rig, filler, asks);
    static struct ask read[COUNT(reads)];
    for (unsigned i = 0; i < COUNT(reads); i++) {
        struct request request = request_of(reads[i]);
        ask_submit(&rig, &read[i], &request);
    }
    uint64_t commit_lsn = wal_commit_lsn(engine_wal(rig.engine));
    drain(&rig, asks, taken, HF_INTERNAL);
    drain(&rig, read, COUNT(reads), HF_INTERNAL);
    assert_true(engine_failed(rig.engine));
    assert_changes_refused(&rig, HF_INTERNAL, "closed after a failed write");
    for (unsigned i = 0; i < COUNT(reads); i++) {
        struct request request = request_of(reads[i]);
        struct ask ask;
        assert_int_equal(ask_wait(&rig, &ask, &request)->status, HF_INTERNAL);
        ask_free(&ask);
    }
    rig.ms += HOLD_MS;
    assert_int_equal(engine_expire(rig.engine), 0);
    assert_int_equal(wal_commit_lsn(engine_wal(rig.engine)), commit_lsn);
    rig_crash(&rig);
    assert_int_equal(state_of(&rig), ORDER_HELD);
    free(filler);
    rig_close(&rig);
}

/* ---- Waiting for another's decision ---- */

/* An order that another worker has decided and not published; then the log closes. */
static struct {
    unsigned looks; /* of the clock, by who waits */
    bool closes;
} waited;

static uint64_t waited_boottime_ns(void *context)
{
    struct rig *rig = context;
    if (waited.closes && waited.looks++ == 3) {
        sim_storage_fail_write(rig->storage, 1, HF_IO_ERROR);
        static const uint64_t record[3] = {4 | (uint64_t)24 << 32, 0, 0};
        uint64_t lsn;
        assert_int_equal(wal_append(engine_wal(rig->engine), record, sizeof record, 1, 0, &lsn),
                         HF_OK);
        rig_settle(rig);
        assert_true(engine_failed(rig->engine));
    }
    if (waited.looks > 1000) {
        fail_msg("a request waits for an order whose decision never comes");
    }
    return rig_boottime_ns(context);
}

static void request_does_not_wait_for_an_order_when_the_log_closes(void **state)
{
    (void)state;
    static struct rig rig; /* the clock's context */
    rig_open(&rig, MIB(4));
    rig.clock.boottime_ns = waited_boottime_ns;
    define_phone(&rig, 5);
    struct worker *worker = worker_acquire(&rig.engine->workers);
    struct order_line line = {1, 1};
    struct order_request asked = {.id = id_from_bytes(other_id), .line_count = 1, .lines = &line};
    struct order_outcome outcome;
    assert_int_equal(inventory_reserve(&worker->txn, &asked, &outcome), TXN_DONE);
    assert_int_equal(outcome.status, HF_OK);
    waited.closes = true;
    struct request request = request_of(REQUEST_RESERVE);
    struct ask ask;
    ask_submit(&rig, &ask, &request);
    assert_true(ask.done);
    assert_int_equal(ask.call.response.status, HF_INTERNAL);
    assert_true(waited.looks > 3);
    waited.closes = false;
    ask_free(&ask);
    worker_release(worker, false);
    rig_close(&rig);
}

/* While that order's log lives its decision is waited for, and found. */
static struct worker *waited_worker;

static uint64_t publishing_boottime_ns(void *context)
{
    if (waited_worker && waited.looks++ == 3) {
        struct worker *worker = waited_worker;
        waited_worker = NULL;
        assert_true(worker_flush(worker));
        worker_release(worker, true);
    }
    if (waited.looks > 1000) {
        fail_msg("a request does not see that the order it waits for is published");
    }
    return rig_boottime_ns(context);
}

static void request_waits_for_an_order_until_it_is_published(void **state)
{
    (void)state;
    static struct rig rig;
    waited.looks = 0;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 5);
    struct worker *worker = worker_acquire(&rig.engine->workers);
    struct order_line line = {1, 1};
    struct order_request asked = {.id = id_from_bytes(other_id), .line_count = 1, .lines = &line};
    struct order_outcome outcome;
    assert_int_equal(inventory_reserve(&worker->txn, &asked, &outcome), TXN_DONE);
    rig.clock.boottime_ns = publishing_boottime_ns;
    waited_worker = worker;
    struct request request = request_of(REQUEST_RESERVE);
    struct ask ask;
    const struct response *response = ask_wait(&rig, &ask, &request);
    assert_int_equal(response->orders.results[0].status, HF_OK);
    assert_true(response->orders.results[0].replayed);
    ask_free(&ask);
    rig_verify(&rig);
    rig_close(&rig);
}

/* ---- Waiting for a worker ---- */

struct waiting {
    struct engine *engine;
    struct worker *worker;
    atomic_bool done;
};

static void *acquire(void *argument)
{
    struct waiting *waiting = argument;
    waiting->worker = worker_acquire(&waiting->engine->workers);
    atomic_store(&waiting->done, true);
    return NULL;
}

/* All workers are in use; a thread that wants one more waits in a thread, until one comes back or
 * the log closes. */
static void worker_is_waited_for_until_one_is_free_or_the_log_closes(void **state)
{
    (void)state;
    for (unsigned closes = 0; closes < 2; closes++) {
        static struct rig rig;
        rig_open(&rig, MIB(4));
        struct worker *workers[THREADS_MAX - 1]; /* one is the housekeeper's */
        for (unsigned i = 0; i < COUNT(workers); i++) {
            workers[i] = worker_acquire(&rig.engine->workers);
            assert_non_null(workers[i]);
        }
        assert_int_equal(rig.engine->workers.count, THREADS_MAX);
        struct waiting waiting = {.engine = rig.engine};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, acquire, &waiting), 0);
        if (closes) {
            wal_stop(engine_wal(rig.engine));
            sim_storage_stop(rig.storage);
            static const uint64_t record[3] = {4 | (uint64_t)24 << 32, 0, 0};
            uint64_t lsn;
            assert_int_equal(wal_append(engine_wal(rig.engine), record, sizeof record, 1, 0, &lsn),
                             HF_OK);
            rig_settle(&rig);
            assert_true(engine_failed(rig.engine));
        } else {
            worker_release(workers[0], true);
        }
        /* A faulty engine never lets it go: the limit is only for that. */
        for (unsigned i = 0; i < 30000 && !atomic_load(&waiting.done); i++) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        assert_true(atomic_load(&waiting.done));
        pthread_join(thread, NULL);
        if (closes) {
            assert_null(waiting.worker);
        } else {
            assert_ptr_equal(waiting.worker, workers[0]);
        }
        for (unsigned i = 0; i < COUNT(workers); i++) {
            worker_release(workers[i], !closes);
        }
        rig_close(&rig);
    }
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(engine_whose_disk_stands_still_says_busy_to_each_change),
        TEST(expiry_and_forgetting_wait_while_the_log_takes_no_work),
        TEST(expiry_of_many_stops_when_the_log_is_busy),
        TEST(engine_whose_disk_is_full_says_so_to_each_change_and_answers_reads),
        TEST(request_that_fills_the_disk_is_refused_from_there_on),
        TEST(engine_whose_log_is_closed_tells_all_who_wait_and_takes_nothing_more),
        TEST(request_does_not_wait_for_an_order_when_the_log_closes),
        TEST(request_waits_for_an_order_until_it_is_published),
        TEST(worker_is_waited_for_until_one_is_free_or_the_log_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

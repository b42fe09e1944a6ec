/* engine_test.c - the engine below the transport, on a simulated disk: what is answered when, and
 * what becomes of requests that the log, the disk or the caller does not let through.
 *
 * Threads: one, with the log's writer stepped by hand, where a test does not say otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "base/diag.h"
#include "core/inventory_internal.h"
#include "engine_rig.h"

/* A batch of one order of one line; its columns live as long as this does. */
struct reserve {
    uint64_t hi;
    uint64_t lo;
    uint32_t item;
    uint32_t qty;
    struct request request;
};

static const struct request *reserve_of(struct reserve *reserve, uint64_t id, uint32_t qty)
{
    *reserve = (struct reserve){.hi = 7, .lo = id, .item = 1, .qty = qty};
    reserve->request.type = REQUEST_RESERVE_BATCH;
    reserve->request.batch = (struct batch_message){.id_hi_count = 1,
                                                    .id_hi = &reserve->hi,
                                                    .id_lo_count = 1,
                                                    .id_lo = &reserve->lo,
                                                    .item_count = 1,
                                                    .item = &reserve->item,
                                                    .qty_count = 1,
                                                    .qty = &reserve->qty};
    return &reserve->request;
}

static enum hf_status batch_status(const struct response *response)
{
    if (response->type != RESPONSE_BATCH) {
        return response->status;
    }
    return response->batch.status_count ? (enum hf_status)response->batch.status[0] : HF_OK;
}

static const struct request *get_stock_of(struct request *request)
{
    static const uint32_t item = 1;
    *request = (struct request){.type = REQUEST_GET_STOCK};
    request->get_stock.item_count = 1;
    request->get_stock.items = &item;
    return request;
}

/* ---- Durable before answered ---- */

static void engine_answers_only_what_is_durable(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 1);
    sim_storage_hold(rig.storage, true);
    struct reserve first;
    struct reserve second;
    struct request get;
    struct ask asks[4];
    ask_submit(&rig, &asks[0], reserve_of(&first, 1, 1));
    rig_settle(&rig);
    /* A refusal, a replay and a read, each because of an order that the disk does not have yet. */
    ask_submit(&rig, &asks[1], reserve_of(&second, 2, 1));
    ask_submit(&rig, &asks[2], &first.request);
    ask_submit(&rig, &asks[3], get_stock_of(&get));
    rig_settle(&rig);
    for (unsigned i = 0; i < 4; i++) {
        assert_false(asks[i].done);
    }
    sim_storage_hold(rig.storage, false);
    rig_settle(&rig);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(asks[i].done);
    }
    assert_int_equal(batch_status(&asks[0].call.response), HF_OK);
    assert_int_equal(batch_status(&asks[1].call.response), HF_SOLD_OUT);
    assert_int_equal(batch_status(&asks[2].call.response), HF_OK);
    assert_int_equal(asks[3].call.response.stock.items[0].held, 1);
    assert_int_equal(asks[3].call.response.stock.items[0].available, 0);
    assert_true(asks[1].call.response.lsn >= asks[0].call.response.lsn);
    assert_true(asks[2].call.response.lsn >= asks[0].call.response.lsn);
    assert_true(asks[3].call.response.lsn >= asks[0].call.response.lsn);
    for (unsigned i = 0; i < 4; i++) {
        ask_free(&asks[i]);
    }
    rig_close(&rig);
}

static void engine_gives_the_first_answer_again_after_a_crash(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 5);
    struct reserve reserve;
    struct ask ask;
    assert_int_equal(batch_status(ask_wait(&rig, &ask, reserve_of(&reserve, 1, 2))), HF_OK);
    uint64_t deadline_ms = ask.call.response.batch.deadline_ms;
    assert_int_equal(deadline_ms, START_MS + HOLD_MS);
    ask_free(&ask);
    rig.ms += 10;
    rig_crash(&rig);

    uint8_t id[ID_BYTES] = {[7] = 7, [15] = 1};
    struct line_message line = {.item = 1, .qty = 2};
    struct order_message order = {.id = {id, ID_BYTES}, .line_count = 1, .lines = &line};
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 1;
    request.reserve.orders = &order;
    const struct result_message *result = ask_wait(&rig, &ask, &request)->orders.results;
    assert_int_equal(result->status, HF_OK);
    assert_true(result->replayed);
    assert_true(result->deadline_ms == deadline_ms);
    ask_free(&ask);
    line.qty = 3;
    assert_int_equal(ask_wait(&rig, &ask, &request)->orders.results->status, HF_ID_CONFLICT);
    ask_free(&ask);
    rig_close(&rig);
}

/* ---- Not started ---- */

static void engine_refuses_a_wrong_token(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    engine_close(rig.engine);
    rig.options.token = "secret";
    rig_recover(&rig);
    static const char *const tokens[] = {"", "secre", "secrets", "Secret", "secretsecret"};
    struct request request = {.type = REQUEST_STATUS};
    struct ask ask;
    for (unsigned i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        request.token = bytes_of(tokens[i]);
        assert_int_equal(ask_wait(&rig, &ask, &request)->status, HF_UNAUTHORIZED);
        assert_int_equal(ask.call.response.type, RESPONSE_NONE);
        ask_free(&ask);
    }
    request.token = bytes_of("secret");
    assert_int_equal(ask_wait(&rig, &ask, &request)->status, HF_OK);
    ask_free(&ask);
    rig_close(&rig);
}

static void engine_does_not_start_what_is_past_its_timeout(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 5);
    struct reserve reserve;
    reserve_of(&reserve, 1, 1);
    reserve.request.timeout_ms = 100;
    uint64_t received_ns = rig_monotonic_ns(&rig);
    for (unsigned late = 0; late < 2; late++) {
        rig.ms += late == 0 ? 101 : 0;
        struct ask ask = {.call = {.done = ask_done}};
        arena_init(&ask.arena, MIB(1));
        ask.call.arena = &ask.arena;
        ask.call.received_ns = received_ns + late * 1000000u; /* 101, then 100 ms ago */
        engine_submit(rig.engine, &ask.call, &reserve.request);
        rig_settle(&rig);
        assert_true(ask.done);
        assert_int_equal(batch_status(&ask.call.response), late == 0 ? HF_BUSY : HF_OK);
        assert_int_equal(ask.call.response.retry_after_ms > 0, late == 0);
        ask_free(&ask);
    }
    rig_verify(&rig);
    rig_close(&rig);
}

/* More than the log can take: BUSY, and what was taken is answered all the same. */
static void engine_is_busy_when_the_disk_is_slow(void **state)
{
    (void)state;
    enum { LINES = ORDER_LINES_MAX, ASKS = 512 };
    struct rig rig;
    rig_open(&rig, MIB(32));
    define_phone(&rig, 10000000);
    sim_storage_hold(rig.storage, true);
    static struct line_message lines[LINES];
    for (unsigned i = 0; i < LINES; i++) {
        lines[i] = (struct line_message){.item = 1, .qty = 1};
    }
    static struct ask asks[ASKS];
    unsigned busy = 0;
    for (unsigned i = 0; i < ASKS; i++) {
        uint8_t id[ID_BYTES] = {1, (uint8_t)(i >> 8), (uint8_t)i};
        struct order_message order = {.id = {id, ID_BYTES}, .line_count = LINES, .lines = lines};
        struct request request = {.type = REQUEST_RESERVE};
        request.reserve.count = 1;
        request.reserve.orders = &order;
        ask_submit(&rig, &asks[i], &request);
        engine_step(rig.engine);
        if (asks[i].done) {
            assert_int_equal(asks[i].call.response.status, HF_BUSY);
            assert_true(asks[i].call.response.retry_after_ms > 0);
            busy++;
        }
    }
    assert_true(busy > 0 && busy < ASKS);
    sim_storage_hold(rig.storage, false);
    rig_settle(&rig);
    unsigned held = 0;
    for (unsigned i = 0; i < ASKS; i++) {
        assert_true(asks[i].done);
        held += asks[i].call.response.type == RESPONSE_ORDERS &&
                asks[i].call.response.orders.results[0].status == HF_OK;
        ask_free(&asks[i]);
    }
    assert_int_equal(held, ASKS - busy);
    rig_verify(&rig);
    rig_close(&rig);
}

/* ---- Disk full ---- */

/* An order of as many lines as may be, and one request that releases it unit by unit: each of its
 * records takes 8 KiB of log. */
struct grinder {
    uint8_t id[ID_BYTES];
    struct line_message lines[ORDER_LINES_MAX];
    struct edit_message edits[8192];
    struct line_qty_message named[8192];
};

static struct grinder *grinder_make(struct rig *rig)
{
    struct grinder *grinder = calloc(1, sizeof *grinder);
    assert_non_null(grinder);
    grinder->id[0] = 0x61;
    for (unsigned i = 0; i < ORDER_LINES_MAX; i++) {
        grinder->lines[i] = (struct line_message){.item = 1, .qty = 1000000};
    }
    struct order_message order = {
        .id = {grinder->id, ID_BYTES}, .line_count = ORDER_LINES_MAX, .lines = grinder->lines};
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 1;
    request.reserve.orders = &order;
    struct ask ask;
    assert_int_equal(ask_wait(rig, &ask, &request)->orders.results[0].status, HF_OK);
    ask_free(&ask);
    return grinder;
}

/* Releases one unit more with each of `count` edits, of `from` units before. */
static struct request grinder_request(struct grinder *grinder, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        grinder->named[i] = (struct line_qty_message){1, from + i + 1};
        grinder->edits[i] = (struct edit_message){
            .id = {grinder->id, ID_BYTES}, .line_count = 1, .lines = &grinder->named[i]};
    }
    struct request request = {.type = REQUEST_RELEASE};
    request.edit.count = count;
    request.edit.edits = grinder->edits;
    return request;
}

static void engine_is_read_only_while_the_disk_is_full(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(18));
    define_phone(&rig, (int64_t)1 << 40);
    struct grinder *grinder = grinder_make(&rig);
    rig_settle(&rig);
    sim_storage_set_capacity(rig.storage, sim_storage_used(rig.storage));
    uint32_t released = 0;
    struct ask ask;
    bool full = false;
    for (unsigned i = 0; i < 4096 && !full; i++) {
        struct request request = grinder_request(grinder, released, 64);
        const struct response *response = ask_wait(&rig, &ask, &request);
        full = response->status == HF_READ_ONLY;
        if (!full) {
            assert_int_equal(response->orders.results[63].status, HF_OK);
            released += 64;
        } else {
            assert_true(response->retry_after_ms > 0);
            assert_true(message_has(response, "the disk is full"));
        }
        ask_free(&ask);
    }
    assert_true(full);
    assert_false(engine_failed(rig.engine));

    struct request get;
    const struct response *response = ask_wait(&rig, &ask, get_stock_of(&get));
    assert_int_equal(response->status, HF_OK);
    assert_int_equal(response->stock.items[0].held,
                     (int64_t)ORDER_LINES_MAX * 1000000 - (int64_t)released);
    ask_free(&ask);
    struct request status = {.type = REQUEST_STATUS};
    response = ask_wait(&rig, &ask, &status);
    assert_int_equal(response->status_info.state.len, strlen("read-only"));
    ask_free(&ask);

    sim_storage_set_capacity(rig.storage, UINT64_MAX);
    rig_settle(&rig);
    struct request request = grinder_request(grinder, released, 1);
    assert_int_equal(ask_wait(&rig, &ask, &request)->orders.results[0].status, HF_OK);
    ask_free(&ask);
    rig_verify(&rig);
    rig_crash(&rig);
    free(grinder);
    rig_close(&rig);
}

/* One request may take more log than there is room for: what does not fit is refused, and the log
 * lives on. */
static void engine_is_read_only_for_the_rest_of_a_request_that_fills_the_disk(void **state)
{
    (void)state;
    enum { EDITS = 5120 }; /* 40 MiB of log, and room for 36 at the most */
    struct rig rig;
    rig_open(&rig, MIB(18));
    define_phone(&rig, (int64_t)1 << 40);
    struct grinder *grinder = grinder_make(&rig);
    rig_settle(&rig);
    sim_storage_set_capacity(rig.storage, sim_storage_used(rig.storage));
    struct request request = grinder_request(grinder, 0, EDITS);
    struct ask ask;
    const struct response *response = ask_wait(&rig, &ask, &request);
    assert_false(engine_failed(rig.engine));
    assert_int_equal(response->status, HF_OK);
    assert_int_equal(response->orders.count, EDITS);
    uint32_t fine = 0;
    while (fine < EDITS && response->orders.results[fine].status == HF_OK) {
        fine++;
    }
    assert_true(fine > 0 && fine < EDITS);
    for (uint32_t i = fine; i < EDITS; i++) {
        assert_int_equal(response->orders.results[i].status, HF_READ_ONLY);
    }
    assert_true(response->retry_after_ms > 0);
    assert_true(message_has(response, "release.orders["));
    ask_free(&ask);
    rig_verify(&rig);

    sim_storage_set_capacity(rig.storage, UINT64_MAX);
    rig_settle(&rig);
    request = grinder_request(grinder, 0, EDITS);
    response = ask_wait(&rig, &ask, &request);
    for (uint32_t i = 0; i < EDITS; i++) {
        assert_int_equal(response->orders.results[i].status, HF_OK);
        assert_int_equal(response->orders.results[i].replayed, i < fine);
    }
    ask_free(&ask);
    rig_verify(&rig);
    rig_crash(&rig);
    free(grinder);
    rig_close(&rig);
}

/* ---- An id of all zeros ---- */

/* It is what callers send who forgot the id: refused in rows and in columns, for what is new and
 * for what is there. */
static void engine_takes_no_id_of_all_zeros(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 5);
    static const uint8_t nil[ID_BYTES];
    static const uint64_t zero[1];
    static const uint32_t item = 1;
    const struct bytes id = {nil, ID_BYTES};
    struct line_message line = {.item = 1, .qty = 1};
    struct order_message order = {.id = id, .line_count = 1, .lines = &line};
    struct edit_message edit = {.id = id};
    struct adjustment_message adjustment = {.id = id, .item = 1, .has_delta = true, .delta = 1};
    static const enum request_type types[] = {
        REQUEST_RESERVE,       REQUEST_COMMIT,       REQUEST_RELEASE,       REQUEST_RETURN,
        REQUEST_RESERVE_BATCH, REQUEST_COMMIT_BATCH, REQUEST_RELEASE_BATCH, REQUEST_EXTEND,
        REQUEST_GET_ORDER,     REQUEST_ADJUST};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct request request = {.type = types[i]};
        switch (types[i]) {
        case REQUEST_RESERVE:
            request.reserve.count = 1;
            request.reserve.orders = &order;
            break;
        case REQUEST_RESERVE_BATCH:
        case REQUEST_COMMIT_BATCH:
        case REQUEST_RELEASE_BATCH:
            request.batch = (struct batch_message){
                .id_hi_count = 1, .id_hi = zero, .id_lo_count = 1, .id_lo = zero};
            if (types[i] == REQUEST_RESERVE_BATCH) {
                request.batch.item_count = 1;
                request.batch.item = &item;
            }
            break;
        case REQUEST_EXTEND:
            request.extend.id = id;
            break;
        case REQUEST_GET_ORDER:
            request.get_order.id = id;
            break;
        case REQUEST_ADJUST:
            request.adjust.count = 1;
            request.adjust.adjustments = &adjustment;
            break;
        default:
            request.edit.count = 1;
            request.edit.edits = &edit;
        }
        struct ask ask;
        const struct response *response = ask_wait(&rig, &ask, &request);
        assert_int_equal(response->status, HF_INVALID);
        assert_true(message_has(response, "zero"));
        ask_free(&ask);
    }
    rig_verify(&rig);
    rig_close(&rig);
}

/* ---- Times that are shown ---- */

#define WALL_OFF_MS 3600000

static uint64_t wall_off_unix_ns(void *context)
{
    return (START_MS + ((struct rig *)context)->ms + WALL_OFF_MS) * 1000000u;
}

/* All that shows a deadline shows it in wall time: rows, columns, repeated or not, and reads. */
static void engine_shows_every_deadline_in_wall_time(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 5);
    rig.clock.unix_ns = wall_off_unix_ns;
    rig.options.trust_clock = true; /* from here on wall time is an hour ahead of engine time */
    rig_crash(&rig);
    struct time_reading now;
    engine_tick(rig.engine, &now);
    assert_int_equal(now.ahead_ms, WALL_OFF_MS);
    const uint64_t deadline_ms = START_MS + rig.ms + WALL_OFF_MS + HOLD_MS;

    struct reserve reserve;
    struct ask ask;
    assert_int_equal(batch_status(ask_wait(&rig, &ask, reserve_of(&reserve, 1, 2))), HF_OK);
    assert_int_equal(ask.call.response.batch.deadline_ms, deadline_ms);
    ask_free(&ask);

    uint8_t ids[2][ID_BYTES] = {{[7] = 7, [15] = 1}, {[7] = 7, [15] = 2}};
    struct line_message line = {.item = 1, .qty = 2};
    struct order_message orders[2] = {{.id = {ids[0], ID_BYTES}, .line_count = 1, .lines = &line},
                                      {.id = {ids[1], ID_BYTES}, .line_count = 1, .lines = &line}};
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 2; /* the first one is repeated */
    request.reserve.orders = orders;
    const struct response *response = ask_wait(&rig, &ask, &request);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(response->orders.results[i].status, HF_OK);
        assert_int_equal(response->orders.results[i].replayed, i == 0);
        assert_int_equal(response->orders.results[i].deadline_ms, deadline_ms);
    }
    ask_free(&ask);

    rig.ms += 10;
    request = (struct request){.type = REQUEST_EXTEND};
    request.extend.id = (struct bytes){ids[1], ID_BYTES};
    response = ask_wait(&rig, &ask, &request);
    assert_int_equal(response->orders.results[0].status, HF_OK);
    assert_int_equal(response->orders.results[0].deadline_ms, deadline_ms + 10);
    ask_free(&ask);

    request = (struct request){.type = REQUEST_GET_ORDER};
    request.get_order.id = (struct bytes){ids[0], ID_BYTES};
    assert_int_equal(ask_wait(&rig, &ask, &request)->order.deadline_ms, deadline_ms);
    ask_free(&ask);
    request = (struct request){.type = REQUEST_LIST_ORDERS};
    response = ask_wait(&rig, &ask, &request);
    assert_int_equal(response->order_list.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        const struct order_info_message *order = &response->order_list.orders[i];
        assert_int_equal(order->deadline_ms, deadline_ms + (order->id.data[15] == 2 ? 10 : 0));
    }
    ask_free(&ask);
    rig_verify(&rig);
    rig_close(&rig);
}

/* ---- Readers beside an append ---- */

static struct {
    struct rig rig;
    bool fills; /* the log's buffers, when a request reads the clock */
    unsigned stalls;
} full;

static uint64_t full_boottime_ns(void *context)
{
    static uint8_t records[WAL_APPEND_BYTES_MAX];
    uint64_t lsn;
    for (unsigned i = 0; full.fills && i < WAL_GROUPS * WAL_GROUP_BYTES_MAX / sizeof records; i++) {
        assert_int_equal(
            wal_append(engine_wal(full.rig.engine), records, sizeof records, 1, 0, &lsn), HF_OK);
    }
    full.fills = false;
    return rig_boottime_ns(context);
}

/* In the middle of an append. */
static void full_stall(void *context)
{
    struct rig *rig = context;
    struct publication *publication = engine_inventory(rig->engine)->publication;
    struct reading reading;
    reading_init(&reading);
    reading_begin(publication, &reading);
    assert_true(reading.holds); /* it found somebody on the way, and nobody else may begin */
    assert_false(reading_again(publication, &reading));
    full.stalls++;
    engine_step(rig->engine);
}

static void engine_says_that_it_publishes_before_it_appends(void **state)
{
    (void)state;
    struct rig *rig = &full.rig;
    rig_open(rig, MIB(64));
    rig->clock.boottime_ns = full_boottime_ns;
    define_phone(rig, 5);
    wal_set_stall_hook(engine_wal(rig->engine), full_stall, rig);
    full.fills = true;
    struct reserve reserve;
    struct ask ask;
    assert_int_equal(batch_status(ask_wait(rig, &ask, reserve_of(&reserve, 1, 2))), HF_OK);
    assert_true(full.stalls > 0);
    ask_free(&ask);
    rig_close(rig);
}

/* ---- A write that fails ---- */

static void engine_says_internal_after_a_failed_write(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 5);
    struct reserve reserves[3];
    struct ask asks[3];
    assert_int_equal(batch_status(ask_wait(&rig, &asks[0], reserve_of(&reserves[0], 1, 1))), HF_OK);
    sim_storage_fail_write(rig.storage, 1, HF_IO_ERROR);
    assert_int_equal(ask_wait(&rig, &asks[1], reserve_of(&reserves[1], 2, 1))->status, HF_INTERNAL);
    assert_true(engine_failed(rig.engine));
    /* Neither what changes nor what reads is answered OK any more. */
    assert_int_equal(ask_wait(&rig, &asks[2], reserve_of(&reserves[2], 3, 1))->status, HF_INTERNAL);
    ask_free(&asks[2]);
    struct request get;
    assert_int_equal(ask_wait(&rig, &asks[2], get_stock_of(&get))->status, HF_INTERNAL);
    assert_int_equal(engine_expire(rig.engine), 0);
    rig_crash(&rig);
    struct order_view view;
    assert_int_equal(
        inventory_order(engine_inventory(rig.engine), (struct id128){7, 1}, &view, NULL, 0), HF_OK);
    for (unsigned i = 0; i < 3; i++) {
        ask_free(&asks[i]);
    }
    rig_close(&rig);
}

/* Many threads have a worker in hand, and more wait for one, when the log closes. */
enum { CROWD = THREADS_MAX + 6 };

struct crowd {
    struct rig rig;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned waiting; /* in the clock, each with a worker */
    bool go;
    unsigned answered;
};

static _Thread_local struct crowd *crowd_of_thread;

static uint64_t crowd_unix_ns(void *context)
{
    (void)context;
    return START_MS * 1000000u;
}

static uint64_t crowd_boottime_ns(void *context)
{
    struct crowd *crowd = crowd_of_thread;
    if (crowd) {
        pthread_mutex_lock(&crowd->lock);
        crowd->waiting++;
        pthread_cond_broadcast(&crowd->changed);
        while (!crowd->go) {
            pthread_cond_wait(&crowd->changed, &crowd->lock);
        }
        pthread_mutex_unlock(&crowd->lock);
    }
    (void)context;
    return 1000000000u;
}

static uint64_t crowd_monotonic_ns(void *context)
{
    (void)context;
    return 1000000000u;
}

struct crowd_member {
    struct crowd *crowd;
    struct ask ask;
    struct reserve reserve;
};

static void *crowd_run(void *argument)
{
    struct crowd_member *member = argument;
    crowd_of_thread = member->crowd;
    ask_submit(&member->crowd->rig, &member->ask, &member->reserve.request);
    pthread_mutex_lock(&member->crowd->lock);
    member->crowd->answered += member->ask.done;
    pthread_mutex_unlock(&member->crowd->lock);
    return NULL;
}

static void engine_leaves_nobody_waiting_for_a_worker_when_the_log_closes(void **state)
{
    (void)state;
    static struct crowd crowd;
    static struct crowd_member members[CROWD];
    struct rig *rig = &crowd.rig;
    rig_open(rig, MIB(4));
    define_phone(rig, CROWD);
    rig->clock =
        (struct clock){&crowd, crowd_unix_ns, crowd_monotonic_ns, crowd_boottime_ns, sim_boot};
    pthread_mutex_init(&crowd.lock, NULL);
    pthread_cond_init(&crowd.changed, NULL);
    pthread_t threads[CROWD];
    for (unsigned i = 0; i < CROWD; i++) {
        members[i].crowd = &crowd;
        reserve_of(&members[i].reserve, i, 1);
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_run, &members[i]), 0);
    }
    /* The housekeeper has a worker of its own; the rest of them is in hand. */
    pthread_mutex_lock(&crowd.lock);
    while (crowd.waiting < THREADS_MAX - 1) {
        pthread_cond_wait(&crowd.changed, &crowd.lock);
    }
    pthread_mutex_unlock(&crowd.lock);
    sim_storage_fail_write(rig->storage, 1, HF_IO_ERROR);
    uint64_t lsn;
    static const uint64_t record[3] = {4 | (uint64_t)24 << 32, 0, 0};
    assert_int_equal(wal_append(engine_wal(rig->engine), record, sizeof record, 1, 0, &lsn), HF_OK);
    rig_settle(rig);
    assert_true(engine_failed(rig->engine));
    pthread_mutex_lock(&crowd.lock);
    crowd.go = true;
    pthread_cond_broadcast(&crowd.changed);
    pthread_mutex_unlock(&crowd.lock);
    for (unsigned i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
        assert_true(members[i].ask.done);
        assert_int_equal(members[i].ask.call.response.status, HF_INTERNAL);
        ask_free(&members[i].ask);
    }
    assert_int_equal(crowd.answered, CROWD);
    /* What was decided is never seen, and whose append was refused holds up no reader. */
    struct inventory *inventory = engine_inventory(rig->engine);
    struct inventory_counts counts;
    inventory_counts(inventory, &counts);
    assert_int_equal(counts.orders_known, 0);
    struct reading reading;
    reading_init(&reading);
    reading_begin(inventory->publication, &reading);
    assert_int_equal(reading.tries, 1);
    assert_false(reading_again(inventory->publication, &reading));
    rig_close(rig);
    pthread_cond_destroy(&crowd.changed);
    pthread_mutex_destroy(&crowd.lock);
}

/* ---- What must not get into the log ---- */

static void engine_lets_no_text_into_the_log_that_can_not_be_read_again(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 5);
    static const char *const bad[] = {"\xff", "\xc3", "a\xed\xa0\x80", "\xc0\x80"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sku_message sku = {.sku = bytes_of("phone"), .label = bytes_of(bad[i])};
        struct request define = {.type = REQUEST_DEFINE};
        define.define.sku_count = 1;
        define.define.skus = &sku;
        struct ask ask;
        assert_int_equal(ask_wait(&rig, &ask, &define)->status, HF_INVALID);
        assert_true(message_has(&ask.call.response, "label"));
        ask_free(&ask);
        for (unsigned field = 0; field < 2; field++) {
            uint8_t id[ID_BYTES] = {(uint8_t)i, (uint8_t)field, 3};
            struct adjustment_message adjustment = {
                .id = {id, ID_BYTES}, .item = 1, .has_delta = true, .delta = 1};
            *(field ? &adjustment.reference : &adjustment.reason) = bytes_of(bad[i]);
            struct request adjust = {.type = REQUEST_ADJUST};
            adjust.adjust.count = 1;
            adjust.adjust.adjustments = &adjustment;
            assert_int_equal(ask_wait(&rig, &ask, &adjust)->status, HF_INVALID);
            ask_free(&ask);
        }
    }
    rig_crash(&rig);
    rig_close(&rig);
}

/* Both ends of every number and text that a record holds. */
static void engine_recovers_the_greatest_values(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    static char code[CODE_BYTES_MAX + 1];
    static char label[LABEL_BYTES_MAX + 1];
    static char reason[REASON_BYTES_MAX + 1];
    memset(code, 'c', CODE_BYTES_MAX);
    memset(label, 'l', LABEL_BYTES_MAX);
    memset(reason, 'r', REASON_BYTES_MAX);
    struct sku_message sku = {.sku = bytes_of(code),
                              .label = bytes_of(label),
                              .opens_at_ms = SALE_TIME_MS_MIN,
                              .closes_at_ms = SALE_TIME_MS_MAX,
                              .hold_ms = UINT32_MAX,
                              .hold_ms_max = UINT32_MAX};
    struct item_message item = {.sku = bytes_of(code),
                                .pool = bytes_of(code),
                                .safety = STOCK_MAX,
                                .presale_cap = STOCK_MAX,
                                .hot = true};
    struct request define = {.type = REQUEST_DEFINE};
    define.define.sku_count = 1;
    define.define.skus = &sku;
    define.define.item_count = 1;
    define.define.items = &item;
    struct ask ask;
    assert_int_equal(ask_wait(&rig, &ask, &define)->status, HF_OK);
    ask_free(&ask);
    static const int64_t deltas[] = {STOCK_MAX, -STOCK_MAX, STOCK_MAX, STOCK_MAX, -STOCK_MAX - 1};
    static const enum hf_status expected[] = {HF_OK, HF_OK, HF_OK, HF_INVALID, HF_INVALID};
    for (unsigned i = 0; i < 5; i++) {
        uint8_t id[ID_BYTES] = {(uint8_t)(1 + i)};
        struct adjustment_message adjustment = {.id = {id, ID_BYTES},
                                                .item = 1,
                                                .has_delta = true,
                                                .delta = deltas[i],
                                                .reason = bytes_of(reason),
                                                .reference = bytes_of(reason)};
        struct request adjust = {.type = REQUEST_ADJUST};
        adjust.adjust.count = 1;
        adjust.adjust.adjustments = &adjustment;
        assert_int_equal(ask_wait(&rig, &ask, &adjust)->adjust.results[0].status, expected[i]);
        ask_free(&ask);
    }
    uint8_t id[ID_BYTES] = {9};
    static struct line_message lines[ORDER_LINES_MAX];
    for (unsigned i = 0; i < ORDER_LINES_MAX; i++) {
        lines[i] = (struct line_message){.item = 1, .qty = QTY_MAX};
    }
    struct order_message order = {.id = {id, ID_BYTES},
                                  .buyer = UINT64_MAX,
                                  .hold_ms = UINT32_MAX,
                                  .line_count = ORDER_LINES_MAX,
                                  .lines = lines};
    struct request reserve = {.type = REQUEST_RESERVE};
    reserve.reserve.count = 1;
    reserve.reserve.orders = &order;
    assert_int_equal(ask_wait(&rig, &ask, &reserve)->orders.results[0].status, HF_OK);
    ask_free(&ask);
    rig.ms += 1;
    struct request extend = {.type = REQUEST_EXTEND};
    extend.extend.id = order.id;
    extend.extend.hold_ms = UINT32_MAX;
    assert_int_equal(ask_wait(&rig, &ask, &extend)->orders.results[0].status, HF_OK);
    ask_free(&ask);
    /* Fewer may be sold than are held: the digest and the replay take it as it is. */
    item.presale_cap = 0;
    assert_int_equal(ask_wait(&rig, &ask, &define)->status, HF_OK);
    ask_free(&ask);
    rig_verify(&rig);
    rig_crash(&rig);
    rig_close(&rig);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        TEST(engine_answers_only_what_is_durable),
        TEST(engine_gives_the_first_answer_again_after_a_crash),
        TEST(engine_refuses_a_wrong_token),
        TEST(engine_does_not_start_what_is_past_its_timeout),
        TEST(engine_is_busy_when_the_disk_is_slow),
        TEST(engine_is_read_only_while_the_disk_is_full),
        TEST(engine_is_read_only_for_the_rest_of_a_request_that_fills_the_disk),
        TEST(engine_takes_no_id_of_all_zeros),
        TEST(engine_shows_every_deadline_in_wall_time),
        TEST(engine_says_that_it_publishes_before_it_appends),
        TEST(engine_says_internal_after_a_failed_write),
        TEST(engine_leaves_nobody_waiting_for_a_worker_when_the_log_closes),
        TEST(engine_lets_no_text_into_the_log_that_can_not_be_read_again),
        TEST(engine_recovers_the_greatest_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

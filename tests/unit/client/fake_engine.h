/* fake_engine.h - a small engine for tests of the client library, which answers with canned
 * results: what an order's buyer says (see fake_result).
 *
 * How many messages come, and how many orders in each, shows what was put together.
 *
 * Threads: the transport's; the test's own reads the counters. */
#ifndef TESTS_UNIT_CLIENT_FAKE_ENGINE_H
#define TESTS_UNIT_CLIENT_FAKE_ENGINE_H

#include <holdfast/client.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/limits.h"
#include "lib/refuse_nobody.h"
#include "rpc/transport.h"
#include "wire/codec.h"

#define HELD_MAX 256

struct fake {
    struct transport_server *server;
    char url[128];
    atomic_uint messages; /* requests that came, repeated ones too */
    atomic_uint orders;   /* in those that were not answered BUSY */
    atomic_uint largest;  /* orders in one message */
    atomic_uint busy;     /* so many requests are still to be answered BUSY */
    atomic_uint retry_after_ms;
    atomic_bool holding;    /* keep requests until fake_answer_held() */
    atomic_bool silly;      /* answer with nothing that fits */
    atomic_uint timeout_ms; /* of the last request */
    atomic_int whole;       /* answer every request so, without a body */
    pthread_mutex_t lock;
    struct transport_exchange *held[HELD_MAX];
    unsigned held_count;
    char token[64]; /* of the last request */
};

struct memory {
    struct arena arena;
};

static inline bool memory_init(void *context, void *user)
{
    (void)context;
    arena_init(&((struct memory *)user)->arena, MIB(64));
    return true;
}

static inline void memory_deinit(void *context, void *user)
{
    (void)context;
    arena_deinit(&((struct memory *)user)->arena);
}

#define BUYER_GRANTED 300u /* gets grants that say how the lines were asked for */

/* For each line a grant of its item (500 if it was named): min_qty units, its policy as those that
 * are pre-sold; and of each fallback as many units as 1 and, with split, 10. */
static inline void fake_grants(struct arena *arena, const struct order_message *order,
                               struct result_message *result)
{
    uint32_t room = order->line_count;
    for (uint32_t i = 0; i < order->line_count; i++) {
        room += order->lines[i].fallback_count;
    }
    struct grant_message *grants = arena_calloc(arena, room, sizeof *grants);
    assert_non_null(grants);
    for (uint32_t i = 0; i < order->line_count; i++) {
        const struct line_message *line = &order->lines[i];
        grants[result->grant_count++] =
            (struct grant_message){.line = i + 1,
                                   .item = line->item ? line->item : 500,
                                   .qty = line->min_qty,
                                   .presale_qty = line->policy};
        for (uint32_t k = 0; k < line->fallback_count; k++) {
            grants[result->grant_count++] = (struct grant_message){
                .line = i + 1, .item = line->fallback[k], .qty = line->split ? 11 : 1};
        }
    }
    result->grants = grants;
}

/* Buyers below 100 are the status that their order gets; 200: OK, as replayed. */
static inline struct result_message fake_result(uint64_t buyer, uint32_t hold_ms)
{
    struct result_message result = {.deadline_ms = 1000 + hold_ms, .state = 1};
    if (buyer < 100 && buyer > 0) {
        result = (struct result_message){.status = (enum hf_status)buyer, .blocking_line = 2};
    }
    result.replayed = buyer == 200;
    return result;
}

static inline void count_orders(struct fake *fake, uint32_t count)
{
    atomic_fetch_add(&fake->orders, count);
    unsigned largest = atomic_load(&fake->largest);
    while (count > largest && !atomic_compare_exchange_weak(&fake->largest, &largest, count)) {
    }
}

static inline void fake_orders(struct fake *fake, struct arena *arena,
                               const struct request *request, struct response *response)
{
    uint32_t count =
        request->type == REQUEST_RESERVE ? request->reserve.count : request->edit.count;
    struct result_message *results = arena_calloc(arena, count, sizeof *results);
    assert_non_null(results);
    for (uint32_t i = 0; i < count; i++) {
        if (request->type == REQUEST_RESERVE) {
            const struct order_message *order = &request->reserve.orders[i];
            results[i] = fake_result(order->buyer, order->hold_ms);
            if (order->buyer == BUYER_GRANTED) {
                fake_grants(arena, order, &results[i]);
            }
            if (results[i].status == HF_INVALID && response->message.len == 0) {
                response->message = bytes_of("reserve.orders: this one is wrong");
            }
        } else {
            results[i].state = (uint32_t)request->type;
            results[i].status = (enum hf_status)request->edit.edits[i].id.data[0];
            results[i].replayed = request->edit.edits[i].late_ok;
            results[i].deadline_ms = request->edit.edits[i].line_count;
        }
    }
    count_orders(fake, count);
    response->type = RESPONSE_ORDERS;
    response->orders.count = count;
    response->orders.results = results;
}

#define MALFORMED 0xBADu /* an id's upper half, or an adjustment's value */

static inline void fake_batch(struct fake *fake, struct arena *arena, const struct request *request,
                              struct response *response)
{
    uint32_t count = request->batch.id_hi_count;
    uint32_t *status = arena_calloc(arena, count, sizeof *status);
    assert_non_null(status);
    uint32_t ok_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        status[i] = request->batch.id_lo[i] % 2 ? HF_SOLD_OUT : HF_OK;
        if (request->batch.id_hi[i] == MALFORMED) {
            status[i] = HF_INVALID;
            response->message = bytes_of("batch: this one is wrong");
        }
        ok_count += status[i] == HF_OK;
    }
    count_orders(fake, count);
    response->type = RESPONSE_BATCH;
    response->batch.ok_count = ok_count;
    response->batch.status_count = ok_count == count ? 0 : count;
    response->batch.status = status;
    response->batch.deadline_ms = 77;
}

static inline void fake_stock(struct arena *arena, const struct request *request,
                              struct response *response)
{
    struct stock_message *items = arena_calloc(arena, 2, sizeof *items);
    assert_non_null(items);
    items[0] = (struct stock_message){.item = 7,
                                      .sku = bytes_of("A"),
                                      .pool = bytes_of("default"),
                                      .stocked = 10,
                                      .available = 9,
                                      .sold = 1};
    items[1] = (struct stock_message){
        .item = 8, .sku = bytes_of("A"), .pool = bytes_of("north"), .safety = -1};
    response->type = RESPONSE_STOCK;
    response->stock.count =
        request->type == REQUEST_GET_STOCK && request->get_stock.item_count == 1 ? 1 : 2;
    response->stock.items = items;
}

static inline void fake_adjust(struct arena *arena, const struct request *request,
                               struct response *response)
{
    uint32_t count = request->adjust.count;
    struct adjust_result_message *results = arena_calloc(arena, count, sizeof *results);
    assert_non_null(results);
    for (uint32_t i = 0; i < count; i++) {
        const struct adjustment_message *row = &request->adjust.adjustments[i];
        results[i].status = row->has_expected && row->expected != 5 ? HF_CONFLICT : HF_OK;
        if (row->delta == MALFORMED) {
            results[i].status = HF_INVALID;
            response->message = bytes_of("adjust: this one is wrong");
        }
        results[i].has_stock = true;
        results[i].stock.stocked = row->has_set_to ? row->set_to : 100 + row->delta;
        results[i].has_to_stock = row->to_item != 0 || row->to_pool.len > 0;
        results[i].to_stock = (struct stock_message){
            .item = row->to_item, .pool = row->to_pool, .stocked = row->delta};
    }
    response->type = RESPONSE_ADJUST;
    response->adjust.count = count;
    response->adjust.results = results;
}

/* Two pages: of an order with two lines and one without, then of none. What was asked for comes
 * back in the first one. */
static inline void fake_list_orders(struct arena *arena, const struct request *request,
                                    struct response *response)
{
    static const struct grant_message grants[] = {{1, 7, 2, 0, 0}, {3, 8, 5, 4, 1}};
    struct order_info_message *orders = arena_calloc(arena, 2, sizeof *orders);
    assert_non_null(orders);
    response->type = RESPONSE_ORDER_LIST;
    response->order_list.orders = orders;
    if (request->list_orders.after.len > 0) {
        assert_int_equal(request->list_orders.after.len, 5);
        assert_memory_equal(request->list_orders.after.data, "page2", 5);
        return;
    }
    uint32_t states = 0;
    for (uint32_t i = 0; i < request->list_orders.state_count; i++) {
        states += 1u << request->list_orders.states[i];
    }
    response->order_list.count = 2;
    response->order_list.next = bytes_of("page2");
    orders[0] = (struct order_info_message){.id = bytes_of("0123456789abcdef"),
                                            .state = 1,
                                            .buyer = request->list_orders.buyer,
                                            .deadline_ms = request->list_orders.sku.len * 100 +
                                                           request->list_orders.pool.len,
                                            .lsn = request->list_orders.limit,
                                            .grant_count = 2,
                                            .grants = grants};
    orders[1] =
        (struct order_info_message){.id = bytes_of("fedcba9876543210"), .state = 3, .lsn = states};
}

/* A rule's numbers tell where it stood; the SKU "NOPE" is not there. */
static inline void fake_skus(struct arena *arena, const struct request *request,
                             struct response *response)
{
    uint32_t count = request->get_skus.count;
    struct sku_message *skus = arena_calloc(arena, count, sizeof *skus);
    assert_non_null(skus);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes sku = request->get_skus.skus[i];
        if (sku.len == 4 && memcmp(sku.data, "NOPE", 4) == 0) {
            response->status = HF_UNKNOWN_ITEM;
            response->message = bytes_of("get_skus.sku: there is no SKU NOPE");
            return;
        }
        skus[i] = (struct sku_message){.sku = sku,
                                       .label = bytes_of("Lamp"),
                                       .limit_per_buyer = i + 1,
                                       .opens_at_ms = i + 2,
                                       .closes_at_ms = i + 3,
                                       .paused = i == 1,
                                       .hold_ms = i + 4,
                                       .hold_ms_max = i + 5};
    }
    response->type = RESPONSE_SKUS;
    response->skus.count = count;
    response->skus.skus = skus;
}

/* More than a caller has room for. */
static inline void fake_slowest(struct arena *arena, struct response *response)
{
    uint32_t count = HF_SLOW_ANSWERS_MAX + 1;
    struct slow_answer_message *slowest = arena_calloc(arena, count, sizeof *slowest);
    assert_non_null(slowest);
    slowest[0] = (struct slow_answer_message){.at_ms = 1,
                                              .request = bytes_of("a request with a longer name"),
                                              .status = HF_BUSY,
                                              .orders = 2,
                                              .lines = 3,
                                              .request_bytes = 4,
                                              .answer_bytes = 5,
                                              .lsn = 6,
                                              .queue_ns = 7,
                                              .decide_ns = 8,
                                              .append_ns = 9,
                                              .sync_ns = 10,
                                              .reply_ns = 11};
    response->status_info.slowest_count = count;
    response->status_info.slowest = slowest;
}

static inline void fake_fill(struct fake *fake, struct arena *arena, const struct request *request,
                             struct response *response)
{
    static const uint32_t handles[] = {11, 12, 13};
    static const struct grant_message grants[] = {{1, 7, 2, 1, 0}, {3, 8, 5, 4, 3}};
    switch (request->type) {
    case REQUEST_RESERVE:
    case REQUEST_COMMIT:
    case REQUEST_RELEASE:
    case REQUEST_RETURN:
        fake_orders(fake, arena, request, response);
        break;
    case REQUEST_RESERVE_BATCH:
    case REQUEST_COMMIT_BATCH:
    case REQUEST_RELEASE_BATCH:
        fake_batch(fake, arena, request, response);
        break;
    case REQUEST_GET_STOCK:
    case REQUEST_LIST_STOCK:
        fake_stock(arena, request, response);
        break;
    case REQUEST_ADJUST:
        fake_adjust(arena, request, response);
        break;
    case REQUEST_DEFINE:
        response->type = RESPONSE_DEFINE;
        response->define.count = request->define.item_count;
        response->define.items = handles;
        break;
    case REQUEST_GET_ORDER:
        response->type = RESPONSE_ORDER;
        response->order.id = request->get_order.id;
        response->order.state = 2;
        response->order.buyer = 42;
        response->order.grant_count = 2;
        response->order.grants = grants;
        break;
    case REQUEST_LIST_ORDERS:
        fake_list_orders(arena, request, response);
        break;
    case REQUEST_GET_SKUS:
        fake_skus(arena, request, response);
        break;
    case REQUEST_STATUS:
        response->type = RESPONSE_STATUS;
        response->status_info.version = bytes_of("a version with a name longer than 31 bytes");
        response->status_info.state = bytes_of("serving");
        response->status_info.items = 3;
        response->status_info.buyers = 4;
        if (request->status.slowest) {
            fake_slowest(arena, response);
        }
        break;
    default:
        response->status = HF_INVALID;
        break;
    }
}

static inline bool take_one(atomic_uint *count)
{
    unsigned now = atomic_load(count);
    while (now > 0 && !atomic_compare_exchange_weak(count, &now, now - 1)) {
    }
    return now > 0;
}

static inline void fake_answer(struct fake *fake, struct transport_exchange *exchange)
{
    struct memory *memory = transport_exchange_user(exchange);
    arena_clear(&memory->arena);
    struct request request;
    const char *error = NULL;
    struct response response = {.status = HF_OK};
    assert_int_equal(
        codec_request_decode(&memory->arena, transport_exchange_body(exchange), &request, &error),
        HF_OK);
    pthread_mutex_lock(&fake->lock);
    (void)snprintf(fake->token, sizeof fake->token, "%.*s", (int)request.token.len,
                   request.token.len ? (const char *)request.token.data : "");
    pthread_mutex_unlock(&fake->lock);
    atomic_store(&fake->timeout_ms, request.timeout_ms);
    if (take_one(&fake->busy)) {
        response.status = HF_BUSY;
        response.retry_after_ms = atomic_load(&fake->retry_after_ms);
    } else if (atomic_load(&fake->whole) != HF_OK) {
        response.status = (enum hf_status)atomic_load(&fake->whole);
        response.message = bytes_of("as a whole");
    } else if (!atomic_load(&fake->silly)) {
        fake_fill(fake, &memory->arena, &request, &response);
    }
    struct bytes reply;
    assert_int_equal(codec_response_encode(&memory->arena, &response, &reply), HF_OK);
    transport_reply(exchange, reply);
}

static inline void fake_handle(void *context, struct transport_exchange *exchange)
{
    struct fake *fake = context;
    atomic_fetch_add(&fake->messages, 1);
    pthread_mutex_lock(&fake->lock);
    bool hold = atomic_load(&fake->holding);
    if (hold) {
        assert_true(fake->held_count < HELD_MAX);
        fake->held[fake->held_count++] = exchange;
    }
    pthread_mutex_unlock(&fake->lock);
    if (!hold) {
        fake_answer(fake, exchange);
    }
}

/* Answers what was kept, and keeps nothing more. */
static inline void fake_answer_held(struct fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    atomic_store(&fake->holding, false);
    unsigned count = fake->held_count;
    fake->held_count = 0;
    pthread_mutex_unlock(&fake->lock);
    for (unsigned i = 0; i < count; i++) {
        fake_answer(fake, fake->held[i]);
    }
}

static inline void fake_start(struct fake *fake, const char *url)
{
    memset(fake, 0, sizeof *fake);
    pthread_mutex_init(&fake->lock, NULL);
    const struct transport_server_options options = {
        .contexts = 128,
        .message_bytes_max = MESSAGE_BYTES_MAX,
        .send_timeout_ms = 1000,
        .user_bytes = sizeof(struct memory),
        .user_init = memory_init,
        .user_deinit = memory_deinit,
        .handle = fake_handle,
        .per_connection = SERVER_CONTEXTS_MAX,
        .refuse = refuse_nobody,
        .context = fake,
    };
    assert_int_equal(transport_server_open(&fake->server, &options), HF_OK);
    assert_int_equal(transport_server_listen(fake->server, url, fake->url, sizeof fake->url),
                     HF_OK);
}

static inline void fake_stop(struct fake *fake)
{
    transport_server_close(fake->server);
    pthread_mutex_destroy(&fake->lock);
}

#endif

/* client_test.c - the client library against a small engine of the test's own, which answers with
 * canned results: what an order's buyer says (see fake_result).
 *
 * How many messages come, and how many orders in each, shows what was put together. */
#include <holdfast/client.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/test_point.h"
#include "lib/patience.h"
#include "rpc/transport.h"
#include "wire/codec.h"

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void sleep_ms(unsigned ms)
{
    struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&wait, NULL);
}

/* ---- The engine ---- */

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

static bool memory_init(void *context, void *user)
{
    (void)context;
    arena_init(&((struct memory *)user)->arena, MIB(64));
    return true;
}

static void memory_deinit(void *context, void *user)
{
    (void)context;
    arena_deinit(&((struct memory *)user)->arena);
}

#define BUYER_GRANTED 300u /* gets grants that say how the lines were asked for */

/* For each line a grant of its item (500 if it was named): min_qty units, its policy as those that
 * are pre-sold; and of each fallback as many units as 1 and, with split, 10. */
static void fake_grants(struct arena *arena, const struct order_message *order,
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
static struct result_message fake_result(uint64_t buyer, uint32_t hold_ms)
{
    struct result_message result = {.deadline_ms = 1000 + hold_ms, .state = 1};
    if (buyer < 100 && buyer > 0) {
        result = (struct result_message){.status = (enum hf_status)buyer, .blocking_line = 2};
    }
    result.replayed = buyer == 200;
    return result;
}

static void count_orders(struct fake *fake, uint32_t count)
{
    atomic_fetch_add(&fake->orders, count);
    unsigned largest = atomic_load(&fake->largest);
    while (count > largest && !atomic_compare_exchange_weak(&fake->largest, &largest, count)) {
    }
}

static void fake_orders(struct fake *fake, struct arena *arena, const struct request *request,
                        struct response *response)
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

static void fake_batch(struct fake *fake, struct arena *arena, const struct request *request,
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

static void fake_stock(struct arena *arena, const struct request *request,
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

static void fake_adjust(struct arena *arena, const struct request *request,
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
static void fake_list_orders(struct arena *arena, const struct request *request,
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
static void fake_skus(struct arena *arena, const struct request *request, struct response *response)
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

static void fake_fill(struct fake *fake, struct arena *arena, const struct request *request,
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
        break;
    default:
        response->status = HF_INVALID;
        break;
    }
}

static bool take_one(atomic_uint *count)
{
    unsigned now = atomic_load(count);
    while (now > 0 && !atomic_compare_exchange_weak(count, &now, now - 1)) {
    }
    return now > 0;
}

static void fake_answer(struct fake *fake, struct transport_exchange *exchange)
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

static void fake_handle(void *context, struct transport_exchange *exchange)
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
static void fake_answer_held(struct fake *fake)
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

static void fake_start(struct fake *fake, const char *url)
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
        .refuse = fake_handle,
        .context = fake,
    };
    assert_int_equal(transport_server_open(&fake->server, &options), HF_OK);
    assert_int_equal(transport_server_listen(fake->server, url, fake->url, sizeof fake->url),
                     HF_OK);
}

static void fake_stop(struct fake *fake)
{
    transport_server_close(fake->server);
    pthread_mutex_destroy(&fake->lock);
}

/* ---- Each test's own ---- */

struct setup {
    struct fake fake;
    struct hf_client *client;
};

static void set_up_with(struct setup *setup, struct hf_options options)
{
    fake_start(&setup->fake, "tcp://127.0.0.1:0");
    options.timeout_ms = options.timeout_ms ? options.timeout_ms : PATIENCE_MS;
    assert_int_equal(hf_client_open(&setup->client, setup->fake.url, &options), HF_OK);
}

static void set_up(struct setup *setup)
{
    set_up_with(setup, (struct hf_options){0});
}

static void tear_down(struct setup *setup)
{
    hf_client_close(setup->client);
    fake_stop(&setup->fake);
}

static const struct hf_line one_line = {.item = 1, .qty = 1};

static struct hf_order order_of(uint64_t buyer)
{
    return (struct hf_order){
        .id = hf_id_random(), .buyer = buyer, .line_count = 1, .lines = &one_line};
}

/* A client with a short timeout is connected, however slow the machine is: what it sends afterwards
 * goes out at once. */
static void connect_first(struct setup *setup)
{
    uint64_t until = patience_until();
    struct hf_order order = order_of(0);
    while (hf_reserve(setup->client, &order, NULL) != HF_OK) {
        assert_true(now_ms() < until);
    }
}

static void wait_for(atomic_uint *value, unsigned at_least)
{
    uint64_t until = patience_until();
    while (atomic_load(value) < at_least) {
        assert_true(now_ms() < until);
        sleep_ms(1);
    }
}

/* What asynchronous calls came to. */
struct tally {
    atomic_uint done;
    atomic_uint by_status[200];
};

static void tally_done(void *user, enum hf_status status, const struct hf_result *result)
{
    struct tally *tally = user;
    (void)result;
    assert_in_range(status, 0, 199);
    atomic_fetch_add(&tally->by_status[status], 1);
    atomic_fetch_add(&tally->done, 1);
}

/* ---- Single orders ---- */

static void client_reserve_returns_the_engines_result(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    struct hf_order order = order_of(0);
    order.hold_ms = 500;
    struct hf_result result;
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_OK);
    assert_int_equal(result.status, HF_OK);
    assert_int_equal(result.deadline_ms, 1500);
    assert_int_equal(result.state, HF_ORDER_HELD);
    assert_false(result.replayed);
    order = order_of(200);
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_OK);
    assert_true(result.replayed);
    order = order_of(HF_SOLD_OUT);
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_SOLD_OUT);
    assert_int_equal(result.status, HF_SOLD_OUT);
    assert_int_equal(result.blocking_line, 2);
    assert_true(strlen(hf_last_message()) > 0);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_SOLD_OUT);
    order = order_of(HF_INVALID);
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_INVALID);
    assert_string_equal(hf_last_message(), "reserve.orders: this one is wrong");
    tear_down(&setup);
}

static void client_sends_names_to_be_resolved(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    const struct hf_line lines[] = {{.sku = "85123A", .qty = 1},
                                    {.sku = "85123A", .pool = "仓库", .qty = 2}};
    struct hf_order order = order_of(0);
    order.line_count = 2;
    order.lines = lines;
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_OK);
    struct tally tally = {0};
    assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    wait_for(&tally.done, 1);
    assert_int_equal(atomic_load(&tally.by_status[HF_OK]), 1);
    tear_down(&setup);
}

/* Lines of every shape, and the grants by which the engine of this test says that it saw them. */
static const uint32_t spare_items[] = {21, 22};
static const struct hf_line shaped_lines[] = {
    {.item = 1, .qty = 9, .policy = HF_LINE_UP_TO, .min_qty = 9},
    {.sku = "A", .qty = 1, .policy = HF_LINE_OPTIONAL},
    {.item = 3, .qty = 1, .split = true, .fallback_count = 2, .fallbacks = spare_items},
    {.sku = "B", .pool = "p", .qty = 1, .fallback_count = 1, .fallbacks = spare_items},
};
static const struct hf_grant shaped_grants[] = {{1, 1, 9, 1},   {2, 500, 0, 2}, {3, 3, 0, 0},
                                                {3, 21, 11, 0}, {3, 22, 11, 0}, {4, 500, 0, 0},
                                                {4, 21, 1, 0}};

#define SHAPED_GRANTS (sizeof shaped_grants / sizeof *shaped_grants)

static struct hf_order shaped_order(void)
{
    return (struct hf_order){
        .id = hf_id_random(), .buyer = BUYER_GRANTED, .line_count = 4, .lines = shaped_lines};
}

static void client_sends_shapes_of_lines_and_returns_grants(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    /* The last line is not split, so the order has room for one grant less than this engine gives.
     */
    struct hf_order order = shaped_order();
    struct hf_result result = {0};
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_OK);
    assert_int_equal(result.grant_count, SHAPED_GRANTS - 1);
    assert_memory_equal(result.grants, shaped_grants, (SHAPED_GRANTS - 1) * sizeof *shaped_grants);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_OK);
    /* An order that got all it asked has none. */
    order = order_of(0);
    assert_int_equal(hf_reserve(setup.client, &order, &result), HF_OK);
    assert_int_equal(result.grant_count, 0);
    assert_null(result.grants);
    tear_down(&setup);
}

static void granted_done(void *user, enum hf_status status, const struct hf_result *result)
{
    assert_int_equal(status, HF_OK);
    assert_int_equal(result->grant_count, SHAPED_GRANTS);
    assert_memory_equal(result->grants, shaped_grants, sizeof shaped_grants);
    atomic_fetch_add((atomic_uint *)user, 1);
}

static void client_copies_shapes_of_lines_when_not_waiting(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    atomic_uint done = 0;
    atomic_store(&setup.fake.holding, true);
    for (unsigned i = 0; i < 50; i++) {
        /* All of it is gone when the call returns. */
        uint32_t spare[] = {21, 22};
        struct hf_line lines[4];
        memcpy(lines, shaped_lines, sizeof lines);
        lines[2].fallbacks = spare;
        lines[3].fallbacks = spare;
        struct hf_order order = shaped_order();
        order.lines = lines;
        assert_int_equal(hf_reserve_async(setup.client, &order, granted_done, &done), HF_OK);
        memset(spare, 0xFF, sizeof spare);
        memset(lines, 0xFF, sizeof lines);
    }
    wait_for(&setup.fake.messages, 1);
    fake_answer_held(&setup.fake);
    wait_for(&done, 50);
    tear_down(&setup);
}

static void client_commits_late(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    struct hf_id id = {.bytes = {HF_OK}};
    const struct hf_line_qty lines[] = {{1, 1}, {2, 1}};
    struct hf_result result;
    assert_int_equal(hf_commit_late(setup.client, id, NULL, 0, &result), HF_OK);
    assert_int_equal(result.state, REQUEST_COMMIT);
    assert_true(result.replayed);            /* this engine's word for late_ok */
    assert_int_equal(result.deadline_ms, 0); /* and for the number of lines */
    assert_int_equal(hf_commit_late(setup.client, id, lines, 2, &result), HF_OK);
    assert_true(result.replayed);
    assert_int_equal(result.deadline_ms, 2);
    assert_int_equal(hf_commit_lines(setup.client, id, lines, 2, &result), HF_OK);
    assert_false(result.replayed);
    id.bytes[0] = HF_EXPIRED_SOLD_OUT;
    assert_int_equal(hf_commit_late(setup.client, id, NULL, 0, &result), HF_EXPIRED_SOLD_OUT);
    tear_down(&setup);
}

static void client_commits_and_releases(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    struct hf_result result;
    struct hf_id id = {{0}};
    assert_int_equal(hf_commit(setup.client, id, &result), HF_OK);
    assert_int_equal(result.state, REQUEST_COMMIT);
    assert_int_equal(hf_release(setup.client, id, &result), HF_OK);
    assert_int_equal(result.state, REQUEST_RELEASE);
    id.bytes[0] = HF_NOT_FOUND; /* the fake's answer */
    assert_int_equal(hf_commit(setup.client, id, &result), HF_NOT_FOUND);
    assert_int_equal(hf_release(setup.client, id, NULL), HF_NOT_FOUND);

    id.bytes[0] = 0;
    const struct hf_line_qty lines[] = {{1, 2}, {2, 3}};
    assert_int_equal(hf_commit_lines(setup.client, id, lines, 2, &result), HF_OK);
    assert_int_equal(result.state, REQUEST_COMMIT);
    assert_int_equal(hf_release_lines(setup.client, id, lines, 2, &result), HF_OK);
    assert_int_equal(hf_return_lines(setup.client, id, NULL, 0, &result), HF_OK);
    assert_int_equal(result.state, REQUEST_RETURN);
    id.bytes[0] = HF_NOT_COMMITTED;
    assert_int_equal(hf_return_lines(setup.client, id, lines, 2, &result), HF_NOT_COMMITTED);
    assert_int_equal(result.status, HF_NOT_COMMITTED);
    tear_down(&setup);
}

static void client_gathers_while_messages_are_under_way(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.batch_max = 100});
    atomic_store(&setup.fake.holding, true);
    struct tally tally = {0};
    for (unsigned i = 0; i < 1000; i++) {
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    }
    wait_for(&setup.fake.messages, 1);
    sleep_ms(20);
    unsigned first = atomic_load(&setup.fake.messages);
    assert_in_range(first, 1, 16); /* in_flight_max; they left at once, with an order each */
    fake_answer_held(&setup.fake);
    wait_for(&tally.done, 1000);
    assert_int_equal(atomic_load(&tally.by_status[HF_OK]), 1000);
    assert_int_equal(atomic_load(&setup.fake.orders), 1000);
    assert_int_equal(atomic_load(&setup.fake.largest), 100);
    assert_in_range(atomic_load(&setup.fake.messages), 10, first + 20);
    tear_down(&setup);
}

struct caller {
    pthread_t thread;
    struct setup *setup;
    unsigned wrong;
};

static void *caller_run(void *arg)
{
    struct caller *caller = arg;
    for (unsigned i = 0; i < 50; i++) {
        uint64_t buyer = i % 5 == 0 ? HF_SOLD_OUT : i % 7 == 0 ? HF_PAUSED : 1000;
        struct hf_order order = order_of(buyer);
        struct hf_result result;
        enum hf_status expected = buyer == 1000 ? HF_OK : (enum hf_status)buyer;
        enum hf_status status = hf_reserve(caller->setup->client, &order, &result);
        caller->wrong += status != expected || result.status != expected;
        caller->wrong += hf_commit(caller->setup->client, (struct hf_id){{0}}, &result) != HF_OK;
    }
    return NULL;
}

static void client_gives_each_of_many_threads_its_own_answer(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    enum { CALLERS = 32 };
    struct caller callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.setup = &setup};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    assert_int_equal(atomic_load(&setup.fake.orders), CALLERS * 100);
    /* Concurrent callers share: how well depends on the machine, that they do does not. */
    assert_true(atomic_load(&setup.fake.messages) < CALLERS * 100);
    assert_true(atomic_load(&setup.fake.largest) > 1);
    tear_down(&setup);
}

static void client_sends_one_order_a_message_when_told_so(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.batch_max = 1, .in_flight_max = 8});
    struct tally tally = {0};
    for (unsigned i = 0; i < 100; i++) {
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    }
    wait_for(&tally.done, 100);
    assert_int_equal(atomic_load(&setup.fake.messages), 100);
    assert_int_equal(atomic_load(&setup.fake.largest), 1);
    tear_down(&setup);
}

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

struct batch_tally {
    atomic_uint done;
    atomic_uint ok;
    enum hf_status status;
};

static void batch_done(void *user, enum hf_status status, const struct hf_batch_result *result)
{
    struct batch_tally *tally = user;
    tally->status = status;
    if (status == HF_OK) {
        atomic_fetch_add(&tally->ok, result->ok_count);
    }
    atomic_fetch_add(&tally->done, 1);
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

static void client_tells_all_when_the_engine_refuses_a_message(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    atomic_store(&setup.fake.whole, HF_UNAUTHORIZED);
    struct hf_order order = order_of(0);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_UNAUTHORIZED);
    assert_string_equal(hf_last_message(), "as a whole");
    uint32_t item;
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_UNAUTHORIZED);
    assert_string_equal(hf_last_message(), "as a whole");
    const uint64_t ids[] = {1};
    assert_int_equal(hf_commit_batch(setup.client, 1, ids, ids, NULL), HF_UNAUTHORIZED);
    atomic_store(&setup.fake.whole, HF_OK);
    atomic_store(&setup.fake.silly, true); /* OK, and nothing in it */
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_INTERNAL);
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_INTERNAL);
    assert_int_equal(hf_commit_batch(setup.client, 1, ids, ids, NULL), HF_INTERNAL);
    tear_down(&setup);
}

static void client_repeats_when_the_engine_is_busy(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    atomic_store(&setup.fake.retry_after_ms, 20);
    atomic_store(&setup.fake.busy, 3);
    uint64_t start = now_ms();
    struct hf_order order = order_of(0);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_OK);
    assert_true(now_ms() - start >= 60); /* each time as long as it was asked to */
    assert_int_equal(atomic_load(&setup.fake.messages), 4);
    assert_int_equal(atomic_load(&setup.fake.orders), 1);
    atomic_store(&setup.fake.busy, 1);
    const uint64_t ids[] = {2};
    struct hf_batch_result result;
    assert_int_equal(hf_commit_batch(setup.client, 1, ids, ids, &result), HF_OK);
    tear_down(&setup);
}

/* The one that was asked to come again later does not keep the other waiting. A slow machine may
 * need some tries. */
static void client_repeats_what_is_due_first(void **state)
{
    (void)state;
    uint64_t until = patience_until();
    bool in_order = false;
    while (!in_order) {
        struct setup setup;
        struct tally later = {0};
        struct tally soon = {0};
        assert_true(now_ms() < until);
        set_up_with(&setup, (struct hf_options){.batch_max = 1});
        atomic_store(&setup.fake.retry_after_ms, 1000);
        atomic_store(&setup.fake.busy, 1);
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &later), HF_OK);
        wait_for(&setup.fake.messages, 1);
        sleep_ms(20);
        atomic_store(&setup.fake.retry_after_ms, 10);
        atomic_store(&setup.fake.busy, 1);
        order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &soon), HF_OK);
        wait_for(&soon.done, 1);
        in_order = atomic_load(&later.done) == 0;
        tear_down(&setup);
    }
}

/* Where it would be too late to come again, the caller is told BUSY, and at once. A slow machine
 * may need some tries to hear of it in time. */
static void client_says_busy_when_it_may_not_come_again_in_time(void **state)
{
    (void)state;
    uint64_t until = patience_until();
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.timeout_ms = 500});
    connect_first(&setup);
    atomic_store(&setup.fake.retry_after_ms, 1000);
    atomic_store(&setup.fake.busy, 1000000);
    struct hf_order order = order_of(0);
    while (hf_reserve(setup.client, &order, NULL) != HF_BUSY) {
        assert_true(now_ms() < until);
    }
    tear_down(&setup);
}

static void client_gives_up_on_a_busy_engine_in_time(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.timeout_ms = 500});
    connect_first(&setup);
    atomic_store(&setup.fake.retry_after_ms, 30);
    atomic_store(&setup.fake.busy, 1000000);
    uint64_t start = now_ms();
    struct hf_order order = order_of(0);
    enum hf_status status = hf_reserve(setup.client, &order, NULL);
    /* The last repetition may still have been under way. */
    assert_true(status == HF_BUSY || status == HF_TIMED_OUT);
    assert_true(now_ms() - start < PATIENCE_MS);
    tear_down(&setup);
}

static void client_times_out(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.timeout_ms = 300});
    connect_first(&setup);
    atomic_store(&setup.fake.holding, true);
    struct hf_order order = order_of(0);
    uint64_t start = now_ms();
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_TIMED_OUT);
    assert_true(now_ms() - start >= 295);
    uint32_t item;
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_TIMED_OUT);
    /* Afterwards it works as before, and late answers disturb nobody. */
    fake_answer_held(&setup.fake);
    connect_first(&setup);
    tear_down(&setup);
}

/* When calls were made, by their buyers' numbers from FIRST_BUYER on: after the first of two
 * moments, and before the other. */
#define FIRST_BUYER 1000u
#define CALLS       60u

struct spread {
    struct tally tally;
    uint64_t before_ms[CALLS];
    uint64_t after_ms[CALLS];
    struct spread_call {
        struct spread *spread;
        uint64_t end_ms;
    } calls[CALLS];
};

static void spread_done(void *user, enum hf_status status, const struct hf_result *result)
{
    struct spread_call *call = user;
    call->end_ms = now_ms();
    tally_done(&call->spread->tally, status, result);
}

/* No order is in a message with one that waits LATE_MS longer: it would wait as long. */
static void assert_gathered_by_deadline(struct fake *fake, const struct spread *spread)
{
    const unsigned late_ms = 250; /* the client's own */
    for (unsigned i = 0; i < fake->held_count; i++) {
        struct arena arena;
        struct request request;
        const char *error = NULL;
        arena_init(&arena, MIB(1));
        assert_int_equal(
            codec_request_decode(&arena, transport_exchange_body(fake->held[i]), &request, &error),
            HF_OK);
        for (uint32_t k = 1; k < request.reserve.count; k++) {
            uint64_t first = request.reserve.orders[0].buyer - FIRST_BUYER;
            uint64_t other = request.reserve.orders[k].buyer - FIRST_BUYER;
            assert_true(first < CALLS);
            assert_true(other < CALLS);
            assert_true(spread->before_ms[other] <= spread->after_ms[first] + late_ms);
        }
        arena_deinit(&arena);
    }
}

static void client_ends_every_call_near_its_timeout_when_nothing_answers(void **state)
{
    (void)state;
    struct setup setup;
    static struct spread spread;
    const unsigned timeout_ms = 2000;
    set_up_with(&setup, (struct hf_options){.timeout_ms = timeout_ms});
    connect_first(&setup);
    atomic_store(&setup.fake.holding, true);
    /* Spread over more than one timeout, so that calls wait behind messages that time out. */
    for (unsigned i = 0; i < CALLS; i++) {
        struct hf_order order = order_of(FIRST_BUYER + i);
        spread.calls[i].spread = &spread;
        spread.before_ms[i] = now_ms();
        assert_int_equal(hf_reserve_async(setup.client, &order, spread_done, &spread.calls[i]),
                         HF_OK);
        spread.after_ms[i] = now_ms() + 1; /* rounded down */
        sleep_ms(40);
    }
    wait_for(&spread.tally.done, CALLS);
    assert_int_equal(atomic_load(&spread.tally.by_status[HF_TIMED_OUT]), CALLS);
    for (unsigned i = 0; i < CALLS; i++) { /* none before its time */
        assert_true(spread.calls[i].end_ms >= spread.before_ms[i] + timeout_ms);
    }
    pthread_mutex_lock(&setup.fake.lock);
    assert_gathered_by_deadline(&setup.fake, &spread);
    pthread_mutex_unlock(&setup.fake.lock);
    tear_down(&setup);
}

static void client_tells_unreachable_from_timed_out(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.timeout_ms = 100});
    fake_stop(&setup.fake);
    struct hf_client *client;
    const struct hf_options options = {.timeout_ms = 100};
    assert_int_equal(hf_client_open(&client, setup.fake.url, &options), HF_OK);
    struct hf_order order = order_of(0);
    assert_int_equal(hf_reserve(client, &order, NULL), HF_UNREACHABLE);
    assert_true(strlen(hf_last_message()) > 0);
    hf_client_close(client);
    hf_client_close(setup.client);
}

/* The transport's timer ends calls; held, it ends none. */
static atomic_uint ticks_held;
static atomic_bool tick_is_held;

static void hold_tick(const char *name)
{
    if (strcmp(name, "client_ticked") == 0 && atomic_load(&tick_is_held)) {
        atomic_fetch_add(&ticks_held, 1);
        while (atomic_load(&tick_is_held)) {
            sleep_ms(1);
        }
    }
}

static void client_calls_end_by_themselves_when_nobody_ends_them(void **state)
{
    (void)state;
    struct setup setup;
    struct hf_order order = order_of(0);
    uint32_t item;
    set_up_with(&setup, (struct hf_options){.timeout_ms = 200, .in_flight_max = 4});
    connect_first(&setup);
    atomic_store(&setup.fake.holding, true);
    atomic_store(&ticks_held, 0);
    atomic_store(&tick_is_held, true);
    test_point_set(hold_tick);
    struct tally tally = {0};
    assert_int_equal(hf_commit_async(setup.client, order.id, tally_done, &tally), HF_OK);
    wait_for(&ticks_held, 1);

    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_TIMED_OUT); /* sent */
    assert_string_equal(hf_last_message(), hf_status_text(HF_TIMED_OUT));
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_TIMED_OUT);
    order = order_of(0); /* two messages are under way still: two more fill the client */
    assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    assert_int_equal(hf_release_async(setup.client, order.id, tally_done, &tally), HF_OK);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_TIMED_OUT); /* in its queue */
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_TIMED_OUT);

    atomic_store(&tick_is_held, false);
    test_point_set(NULL);
    wait_for(&tally.done, 3);
    assert_int_equal(atomic_load(&tally.by_status[HF_TIMED_OUT]), 3);
    fake_answer_held(&setup.fake); /* answers that nobody waits for */
    connect_first(&setup);
    tear_down(&setup);
}

struct blocked {
    pthread_t thread;
    struct hf_client *client;
    struct hf_order order;
    enum hf_status status;
    struct hf_result result;
};

static void *blocked_run(void *arg)
{
    struct blocked *blocked = arg;
    blocked->status = hf_reserve(blocked->client, &blocked->order, &blocked->result);
    return NULL;
}

static void blocked_start(struct blocked *blocked, struct hf_client *client, uint32_t hold_ms)
{
    *blocked = (struct blocked){.client = client, .order = order_of(0)};
    blocked->order.hold_ms = hold_ms; /* the answer's deadline says it */
    assert_int_equal(pthread_create(&blocked->thread, NULL, blocked_run, blocked), 0);
}

/* Two orders in one message, of which the first is taken back before the answer comes: the other
 * one gets its own. A slow machine may need some tries for the second to wait still. */
static bool try_answer_after_taking_back(void)
{
    struct setup setup;
    struct tally tally = {0};
    struct blocked first;
    struct blocked second;
    struct hf_order order = order_of(0);
    set_up_with(&setup, (struct hf_options){.timeout_ms = 400, .in_flight_max = 1});
    connect_first(&setup);
    atomic_store(&setup.fake.holding, true);
    atomic_store(&ticks_held, 0);
    atomic_store(&tick_is_held, true);
    test_point_set(hold_tick);
    assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    wait_for(&ticks_held, 1);
    blocked_start(&first, setup.client, 11);
    sleep_ms(20);
    blocked_start(&second, setup.client, 22);
    sleep_ms(5);
    unsigned before = atomic_load(&setup.fake.messages);
    fake_answer_held(&setup.fake); /* the others go out together */
    atomic_store(&setup.fake.holding, true);
    for (unsigned i = 0; i < 100 && atomic_load(&setup.fake.messages) == before; i++) {
        sleep_ms(1);
    }
    pthread_join(first.thread, NULL);
    fake_answer_held(&setup.fake);
    pthread_join(second.thread, NULL);
    atomic_store(&tick_is_held, false);
    test_point_set(NULL);
    tear_down(&setup);
    if (second.status == HF_OK) {
        assert_int_equal(second.result.deadline_ms, 1022);
    }
    return first.status == HF_TIMED_OUT && second.status == HF_OK &&
           atomic_load(&setup.fake.largest) == 2;
}

static void client_gives_an_order_its_answer_when_its_neighbour_was_taken_back(void **state)
{
    (void)state;
    uint64_t until = patience_until();
    while (!try_answer_after_taking_back()) {
        assert_true(now_ms() < until);
    }
}

static void client_ends_in_time_when_the_engine_is_busy_for_ever(void **state)
{
    (void)state;
    struct setup setup;
    struct hf_order order = order_of(0);
    set_up_with(&setup, (struct hf_options){.timeout_ms = 200});
    connect_first(&setup);
    atomic_store(&setup.fake.retry_after_ms, 1);
    atomic_store(&setup.fake.busy, UINT32_MAX);
    uint64_t start = now_ms();
    for (unsigned i = 0; i < 3; i++) { /* BUSY, or the last repetition was not answered in time */
        uint32_t item;
        enum hf_status status = hf_reserve(setup.client, &order, NULL);
        assert_true(status == HF_BUSY || status == HF_TIMED_OUT);
        status = hf_resolve(setup.client, "A", NULL, &item);
        assert_true(status == HF_BUSY || status == HF_TIMED_OUT);
    }
    assert_true(now_ms() - start < PATIENCE_MS);
    tear_down(&setup);
}

static void client_calls_end_together_with_a_total_timeout(void **state)
{
    (void)state;
    struct setup setup;
    struct hf_order order = order_of(0);
    uint32_t item;
    uint64_t start;
    enum hf_status status = HF_UNREACHABLE;
    for (unsigned total_ms = 500;; total_ms *= 2) { /* a slow machine is not connected so soon */
        start = now_ms();
        set_up_with(&setup, (struct hf_options){.timeout_ms = 2 * patience_ms(),
                                                .total_timeout_ms = total_ms});
        atomic_store(&setup.fake.holding, true);
        status = hf_resolve(setup.client, "A", NULL, &item);
        assert_true(now_ms() - start >= total_ms - 5);
        if (status != HF_UNREACHABLE) {
            break;
        }
        assert_true(total_ms < PATIENCE_MS);
        tear_down(&setup);
    }
    assert_int_equal(status, HF_TIMED_OUT);
    assert_int_equal(hf_resolve(setup.client, "A", NULL, &item), HF_TIMED_OUT);
    assert_int_equal(hf_reserve(setup.client, &order, NULL), HF_TIMED_OUT);
    assert_int_equal(atomic_load(&setup.fake.messages), 1);
    assert_true(now_ms() - start < patience_ms());
    tear_down(&setup);
}

static void client_says_at_once_that_nobody_listens(void **state)
{
    (void)state;
    struct setup setup;
    struct hf_client *client;
    char reason[HF_MESSAGE_BYTES];
    set_up(&setup);
    tear_down(&setup);
    const struct hf_options options = {.timeout_ms = 10 * PATIENCE_MS};
    uint64_t start = now_ms();
    assert_int_equal(hf_client_open(&client, setup.fake.url, &options), HF_OK);
    (void)snprintf(reason, sizeof reason, "nothing listens on %s (connection refused)",
                   setup.fake.url);
    struct hf_order order = order_of(0);
    assert_int_equal(hf_reserve(client, &order, NULL), HF_UNREACHABLE);
    assert_string_equal(hf_last_message(), reason);
    uint32_t item;
    assert_int_equal(hf_resolve(client, "A", NULL, &item), HF_UNREACHABLE);
    assert_string_equal(hf_last_message(), reason);
    struct tally tally = {0};
    assert_int_equal(hf_commit_async(client, order.id, tally_done, &tally), HF_OK);
    wait_for(&tally.done, 1);
    assert_int_equal(atomic_load(&tally.by_status[HF_UNREACHABLE]), 1);
    assert_true(now_ms() - start < PATIENCE_MS);
    hf_client_close(client);
}

static void client_goes_on_when_the_engine_comes_back(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    char url[128];
    (void)snprintf(url, sizeof url, "%s", setup.fake.url);
    atomic_store(&setup.fake.holding, true);
    struct tally tally = {0};
    for (unsigned i = 0; i < 10; i++) {
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    }
    wait_for(&setup.fake.messages, 1);
    fake_stop(&setup.fake);
    fake_start(&setup.fake, url);
    wait_for(&tally.done, 10);
    assert_int_equal(atomic_load(&tally.by_status[HF_OK]), 10);
    tear_down(&setup);
}

static void client_close_cancels_what_is_under_way(void **state)
{
    (void)state;
    struct setup setup;
    set_up_with(&setup, (struct hf_options){.in_flight_max = 2});
    atomic_store(&setup.fake.holding, true);
    struct tally tally = {0};
    struct batch_tally batches = {0};
    for (unsigned i = 0; i < 100; i++) {
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
        assert_int_equal(hf_commit_async(setup.client, order.id, tally_done, &tally), HF_OK);
    }
    wait_for(&setup.fake.messages, 2);
    const uint64_t ids[] = {1};
    assert_int_equal(hf_commit_batch_async(setup.client, 1, ids, ids, batch_done, &batches),
                     HF_BUSY);
    hf_client_close(setup.client);
    assert_int_equal(atomic_load(&tally.done), 200);
    assert_int_equal(atomic_load(&tally.by_status[HF_CANCELED]), 200);
    assert_int_equal(atomic_load(&batches.done), 0);
    fake_stop(&setup.fake);
}

static void client_close_cancels_what_waits_for_a_busy_engine(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    atomic_store(&setup.fake.retry_after_ms, 900);
    atomic_store(&setup.fake.busy, 1000000);
    struct tally tally = {0};
    struct hf_order order = order_of(0);
    assert_int_equal(hf_reserve_async(setup.client, &order, tally_done, &tally), HF_OK);
    wait_for(&setup.fake.messages, 1);
    sleep_ms(20);
    uint64_t start = now_ms();
    hf_client_close(setup.client);
    assert_true(now_ms() - start < PATIENCE_MS);
    assert_int_equal(atomic_load(&tally.done), 1);
    fake_stop(&setup.fake);
}

/* A callback that starts the next call. */
struct chain {
    struct hf_client *client;
    atomic_uint left;
    atomic_uint done;
};

static void chain_done(void *user, enum hf_status status, const struct hf_result *result)
{
    struct chain *chain = user;
    (void)result;
    if (status == HF_OK && take_one(&chain->left)) {
        struct hf_order order = order_of(0);
        if (hf_reserve_async(chain->client, &order, chain_done, chain) == HF_OK) {
            return;
        }
    }
    atomic_fetch_add(&chain->done, 1);
}

static void client_callbacks_may_start_calls(void **state)
{
    (void)state;
    struct setup setup;
    set_up(&setup);
    struct chain chain = {.client = setup.client, .left = 2000};
    for (int i = 0; i < 8; i++) {
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, chain_done, &chain), HF_OK);
    }
    wait_for(&chain.done, 8);
    assert_int_equal(atomic_load(&setup.fake.orders), 2008);

    chain = (struct chain){.client = setup.client, .left = 1000000000};
    for (int i = 0; i < 8; i++) { /* and closing ends them */
        struct hf_order order = order_of(0);
        assert_int_equal(hf_reserve_async(setup.client, &order, chain_done, &chain), HF_OK);
    }
    sleep_ms(20);
    hf_client_close(setup.client);
    assert_int_equal(atomic_load(&chain.done), 8);
    fake_stop(&setup.fake);
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
        cmocka_unit_test(client_reserve_returns_the_engines_result),
        cmocka_unit_test(client_sends_names_to_be_resolved),
        cmocka_unit_test(client_sends_shapes_of_lines_and_returns_grants),
        cmocka_unit_test(client_copies_shapes_of_lines_when_not_waiting),
        cmocka_unit_test(client_commits_late),
        cmocka_unit_test(client_commits_and_releases),
        cmocka_unit_test(client_gathers_while_messages_are_under_way),
        cmocka_unit_test(client_gives_each_of_many_threads_its_own_answer),
        cmocka_unit_test(client_sends_one_order_a_message_when_told_so),
        cmocka_unit_test(client_batch_returns_statuses_that_stay),
        cmocka_unit_test(client_batches_without_waiting_are_bounded),
        cmocka_unit_test(client_reads_orders_stock_and_status),
        cmocka_unit_test(client_lists_orders_page_by_page),
        cmocka_unit_test(client_reads_rules),
        cmocka_unit_test(client_moves_stock),
        cmocka_unit_test(client_defines_and_adjusts),
        cmocka_unit_test(client_message_after_a_whole_is_of_that_whole),
        cmocka_unit_test(client_refuses_bad_arguments_without_sending),
        cmocka_unit_test(client_open_checks_its_options),
        cmocka_unit_test(client_sends_its_token_and_timeout),
        cmocka_unit_test(client_tells_all_when_the_engine_refuses_a_message),
        cmocka_unit_test(client_repeats_when_the_engine_is_busy),
        cmocka_unit_test(client_repeats_what_is_due_first),
        cmocka_unit_test(client_says_busy_when_it_may_not_come_again_in_time),
        cmocka_unit_test(client_gives_up_on_a_busy_engine_in_time),
        cmocka_unit_test(client_times_out),
        cmocka_unit_test(client_ends_every_call_near_its_timeout_when_nothing_answers),
        cmocka_unit_test(client_tells_unreachable_from_timed_out),
        cmocka_unit_test(client_calls_end_by_themselves_when_nobody_ends_them),
        cmocka_unit_test(client_gives_an_order_its_answer_when_its_neighbour_was_taken_back),
        cmocka_unit_test(client_ends_in_time_when_the_engine_is_busy_for_ever),
        cmocka_unit_test(client_calls_end_together_with_a_total_timeout),
        cmocka_unit_test(client_says_at_once_that_nobody_listens),
        cmocka_unit_test(client_goes_on_when_the_engine_comes_back),
        cmocka_unit_test(client_close_cancels_what_is_under_way),
        cmocka_unit_test(client_close_cancels_what_waits_for_a_busy_engine),
        cmocka_unit_test(client_callbacks_may_start_calls),
        cmocka_unit_test(client_ids_follow_the_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

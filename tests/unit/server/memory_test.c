/* memory_test.c - requests while the machine has no memory: each is answered BUSY and changes
 * nothing, or is done; and when memory is there again it is done.
 *
 * Every piece that a request's arena asks the system for is refused once, the first, the second and
 * so on, until the request needs no more. What makes a worker asks calloc() (CMakeLists.txt). */
#include "engine_rig.h"

#include "server/engine_internal.h"
#include "server/worker.h"
#include "wire/codec.h"

#define ORDERS 3u

static uint32_t countdown; /* pieces that are still given; UINT32_MAX: all */

static void *give(size_t bytes)
{
    if (countdown == 0) {
        return NULL;
    }
    countdown -= countdown != UINT32_MAX;
    return malloc(bytes);
}

static bool calloc_fails;

void *__wrap_calloc(size_t count, size_t bytes);
void *__real_calloc(size_t count, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes)
{
    return calloc_fails ? NULL : __real_calloc(count, bytes);
}

/* As ask_wait, from the request's bytes: decoded, done, encoded. Returns the response's status. */
static enum hf_status ask_bytes(struct rig *rig, struct ask *ask, struct bytes bytes)
{
    struct request request;
    struct bytes reply;
    const char *error = NULL;
    *ask = (struct ask){.call = {.done = ask_done}};
    arena_init(&ask->arena, MIB(32));
    ask->call.arena = &ask->arena;
    enum hf_status status = codec_request_decode(&ask->arena, bytes, &request, &error);
    if (status != HF_OK) {
        engine_refuse(rig->engine, &ask->call, status, error);
    } else {
        engine_submit(rig->engine, &ask->call, &request);
        rig_settle(rig);
    }
    assert_true(ask->done);
    if (codec_response_encode(&ask->arena, &ask->call.response, &reply) != HF_OK) {
        assert_true(ask->arena.starved); /* the caller is asked to try again */
        return HF_BUSY;
    }
    return ask->call.response.status;
}

static int64_t held(struct rig *rig)
{
    struct item_view view;
    assert_int_equal(inventory_item(engine_inventory(rig->engine), 1, &view), HF_OK);
    return view.stock.held;
}

/* Refuses the request's memory piece by piece until it is done. Returns how often it was BUSY. */
static uint32_t starve(struct rig *rig, const struct request *request)
{
    struct arena arena;
    struct bytes bytes;
    arena_init(&arena, MIB(32));
    assert_int_equal(codec_request_encode(&arena, request, &bytes), HF_OK);
    uint32_t busy = 0;
    enum hf_status status;
    arena_set_source(give);
    for (uint32_t pieces = 0;; pieces++) {
        struct ask ask;
        countdown = pieces;
        status = ask_bytes(rig, &ask, bytes);
        bool more = status == HF_BUSY;
        if (more && ask.call.response.status == HF_BUSY) {
            assert_int_equal(ask.call.response.retry_after_ms, 1000);
        }
        ask_free(&ask);
        busy += more;
        rig_verify(rig);
        if (!more) {
            break;
        }
        assert_true(busy < 1000);
    }
    countdown = UINT32_MAX;
    arena_set_source(NULL);
    arena_deinit(&arena);
    assert_int_equal(status, HF_OK);
    return busy;
}

static void orders_make(struct request *request, struct order_message orders[ORDERS],
                        struct line_message lines[ORDERS], uint8_t ids[ORDERS][ID_BYTES],
                        uint8_t first)
{
    for (uint32_t i = 0; i < ORDERS; i++) {
        memset(ids[i], 0, ID_BYTES);
        ids[i][0] = (uint8_t)(first + i);
        lines[i] = (struct line_message){.sku = bytes_of("phone"), .qty = 2};
        orders[i] = (struct order_message){
            .id = {ids[i], ID_BYTES}, .buyer = 7, .line_count = 1, .lines = &lines[i]};
    }
    *request = (struct request){.type = REQUEST_RESERVE};
    request->reserve.count = ORDERS;
    request->reserve.orders = orders;
}

static void memory_that_is_refused_makes_a_reserve_busy(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 100);
    struct order_message orders[ORDERS];
    struct line_message lines[ORDERS];
    uint8_t ids[ORDERS][ID_BYTES];
    struct request request;
    orders_make(&request, orders, lines, ids, 1);
    assert_true(starve(&rig, &request) >= 1);
    assert_int_equal(held(&rig), 2 * ORDERS); /* once, however often it was sent */
    rig_close(&rig);
}

static void memory_that_is_refused_makes_other_requests_busy(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 100);
    uint8_t id[ID_BYTES] = {1};
    struct line_message line = {.item = 1, .qty = 5};
    struct order_message order = {.id = {id, ID_BYTES}, .line_count = 1, .lines = &line};
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 1;
    request.reserve.orders = &order;
    assert_true(starve(&rig, &request) >= 1);

    struct line_qty_message part = {1, 2};
    struct edit_message edit = {.id = {id, ID_BYTES}, .line_count = 1, .lines = &part};
    request = (struct request){.type = REQUEST_RELEASE};
    request.edit.count = 1;
    request.edit.edits = &edit;
    assert_true(starve(&rig, &request) >= 1);
    assert_int_equal(held(&rig), 3);

    uint64_t hi = 1ull << 56;
    uint64_t lo = 0;
    request = (struct request){.type = REQUEST_COMMIT_BATCH};
    request.batch =
        (struct batch_message){.id_hi_count = 1, .id_hi = &hi, .id_lo_count = 1, .id_lo = &lo};
    assert_true(starve(&rig, &request) >= 1);
    assert_int_equal(held(&rig), 0);

    request = (struct request){.type = REQUEST_GET_ORDER};
    request.get_order.id = (struct bytes){id, ID_BYTES};
    assert_true(starve(&rig, &request) >= 1);

    uint32_t item = 1;
    request = (struct request){.type = REQUEST_GET_STOCK};
    request.get_stock.item_count = 1;
    request.get_stock.items = &item;
    assert_true(starve(&rig, &request) >= 1);

    request = (struct request){.type = REQUEST_LIST_ORDERS};
    assert_true(starve(&rig, &request) >= 1);
    rig_close(&rig);
}

/* All workers are busy, and there is no memory for one more. */
static void request_without_a_worker_is_busy_and_changes_nothing(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 100);
    struct order_message orders[ORDERS];
    struct line_message lines[ORDERS];
    uint8_t ids[ORDERS][ID_BYTES];
    struct request request;
    orders_make(&request, orders, lines, ids, 1);
    struct worker *busy = worker_acquire(&rig.engine->workers);
    assert_non_null(busy);
    assert_null(rig.engine->workers.free);
    struct ask ask;
    calloc_fails = true;
    ask_submit(&rig, &ask, &request);
    calloc_fails = false;
    assert_true(ask.done); /* it waits for nothing */
    assert_int_equal(ask.call.response.status, HF_BUSY);
    assert_int_equal(ask.call.response.retry_after_ms, 1000);
    assert_true(message_has(&ask.call.response, "out of memory"));
    assert_int_equal(held(&rig), 0);
    ask_free(&ask);
    /* There is memory again. */
    assert_int_equal(ask_wait(&rig, &ask, &request)->orders.results[0].status, HF_OK);
    assert_int_equal(held(&rig), 2 * ORDERS);
    ask_free(&ask);
    worker_release(busy, true);
    rig_verify(&rig);
    rig_close(&rig);
}

static void memory_beyond_the_cap_is_invalid(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, MIB(4));
    define_phone(&rig, 100);
    struct order_message orders[ORDERS];
    struct line_message lines[ORDERS];
    uint8_t ids[ORDERS][ID_BYTES];
    struct request request;
    orders_make(&request, orders, lines, ids, 1);
    struct ask ask = {.call = {.done = ask_done}};
    arena_init(&ask.arena, 16);
    ask.call.arena = &ask.arena;
    engine_submit(rig.engine, &ask.call, &request);
    rig_settle(&rig);
    assert_int_equal(ask.call.response.status, HF_INVALID);
    assert_int_equal(held(&rig), 0);
    ask_free(&ask);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_is_refused_makes_a_reserve_busy),
        cmocka_unit_test(memory_that_is_refused_makes_other_requests_busy),
        cmocka_unit_test(memory_beyond_the_cap_is_invalid),
        cmocka_unit_test(request_without_a_worker_is_busy_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

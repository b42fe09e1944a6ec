/* codec_test.c - messages there and back, and what must be refused. Wire bytes are written by
 * hand from the protobuf encoding document, not by the codec. */
#include "wire/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "lib/rng.h"

static struct arena memory;

static int set_up(void **state)
{
    (void)state;
    arena_init(&memory, DECODE_ARENA_BYTES_MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&memory);
    return 0;
}

static void assert_bytes(struct bytes got, const char *expected)
{
    assert_int_equal(got.len, strlen(expected));
    if (got.len > 0) {
        assert_memory_equal(got.data, expected, got.len);
    }
}

/* Encodes and decodes; the encoded bytes are freed before the result is checked. */
static struct request request_trip(const struct request *request)
{
    struct arena first;
    arena_init(&first, MIB(64));
    struct bytes wire;
    assert_int_equal(codec_request_encode(&first, request, &wire), HF_OK);
    struct request got;
    const char *error = NULL;
    assert_int_equal(codec_request_decode(&memory, wire, &got, &error), HF_OK);
    assert_null(error);
    assert_int_equal(got.type, request->type);
    arena_deinit(&first);
    return got;
}

static struct response response_trip(const struct response *response)
{
    struct arena first;
    arena_init(&first, MIB(64));
    struct bytes wire;
    assert_int_equal(codec_response_encode(&first, response, &wire), HF_OK);
    struct response got;
    assert_int_equal(codec_response_decode(&memory, wire, &got), HF_OK);
    assert_int_equal(got.type, response->type);
    arena_deinit(&first);
    return got;
}

static enum hf_status decode(const void *data, size_t len, struct request *request,
                             const char **error)
{
    /* A copy of its own length, so that a read past the end is seen by the sanitizer. */
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    enum hf_status status =
        codec_request_decode(&memory, (struct bytes){copy, len}, request, error);
    free(copy);
    return status;
}

/* ---- There and back ---- */

static void codec_reserve_survives_the_trip(void **state)
{
    (void)state;
    static const uint32_t fallback[] = {7, 8, 0xFFFFFFFF};
    const struct line_message lines[] = {
        {.item = 5,
         .qty = 1000000000,
         .policy = 1,
         .min_qty = 3,
         .fallback_count = 3,
         .fallback = fallback,
         .split = true},
        {.sku = bytes_of("85123A"), .pool = bytes_of("仓库-1"), .qty = 2, .policy = 2},
        {.item = 1, .qty = 1},
    };
    const struct order_message orders[] = {
        {.id = bytes_of("0123456789abcdef"),
         .buyer = UINT64_MAX,
         .hold_ms = 900000,
         .line_count = 2,
         .lines = lines},
        {.id = bytes_of("x"), .line_count = 1, .lines = lines + 2},
        {.id = bytes_of("")},
    };
    struct request request = {.token = bytes_of("secret"),
                              .timeout_ms = 250,
                              .answer_bytes_max = 300000,
                              .type = REQUEST_RESERVE};
    request.reserve.count = 3;
    request.reserve.orders = orders;
    struct request got = request_trip(&request);
    assert_bytes(got.token, "secret");
    assert_int_equal(got.timeout_ms, 250);
    assert_int_equal(got.answer_bytes_max, 300000);
    assert_int_equal(got.reserve.count, 3);
    const struct order_message *order = got.reserve.orders;
    assert_bytes(order[0].id, "0123456789abcdef");
    assert_true(order[0].buyer == UINT64_MAX);
    assert_int_equal(order[0].hold_ms, 900000);
    assert_int_equal(order[0].line_count, 2);
    assert_int_equal(order[0].lines[0].item, 5);
    assert_int_equal(order[0].lines[0].qty, 1000000000);
    assert_int_equal(order[0].lines[0].policy, 1);
    assert_int_equal(order[0].lines[0].min_qty, 3);
    assert_int_equal(order[0].lines[0].fallback_count, 3);
    assert_memory_equal(order[0].lines[0].fallback, fallback, sizeof fallback);
    assert_true(order[0].lines[0].split);
    assert_bytes(order[0].lines[1].sku, "85123A");
    assert_bytes(order[0].lines[1].pool, "仓库-1");
    assert_false(order[0].lines[1].split);
    assert_int_equal(order[1].line_count, 1);
    assert_int_equal(order[1].lines[0].item, 1);
    assert_int_equal(order[2].line_count, 0);
    assert_int_equal(order[2].id.len, 0);
}

static void codec_edits_survive_the_trip(void **state)
{
    (void)state;
    const struct line_qty_message lines[] = {{1, 2}, {3, 4}};
    const struct edit_message edits[] = {
        {.id = bytes_of("0123456789abcdef"), .late_ok = true, .line_count = 2, .lines = lines},
        {.id = bytes_of("fedcba9876543210")},
    };
    static const enum request_type types[] = {REQUEST_COMMIT, REQUEST_RELEASE, REQUEST_RETURN};
    for (size_t i = 0; i < 3; i++) {
        struct request request = {.type = types[i]};
        request.edit.count = 2;
        request.edit.edits = edits;
        struct request got = request_trip(&request);
        assert_int_equal(got.edit.count, 2);
        assert_bytes(got.edit.edits[0].id, "0123456789abcdef");
        assert_true(got.edit.edits[0].late_ok);
        assert_int_equal(got.edit.edits[0].line_count, 2);
        assert_int_equal(got.edit.edits[0].lines[1].line, 3);
        assert_int_equal(got.edit.edits[0].lines[1].qty, 4);
        assert_false(got.edit.edits[1].late_ok);
        assert_int_equal(got.edit.edits[1].line_count, 0);
    }
}

static void codec_batches_survive_the_trip(void **state)
{
    (void)state;
    static const uint64_t hi[] = {1, UINT64_MAX, 3};
    static const uint64_t lo[] = {4, 5, 6};
    static const uint64_t buyer[] = {7, 8, 9};
    static const uint32_t item[] = {10, 11, 12, 13};
    static const uint32_t qty[] = {1, 2, UINT32_MAX, 4};
    static const uint32_t line_count[] = {1, 2, 300};
    struct request request = {.type = REQUEST_RESERVE_BATCH};
    request.batch =
        (struct batch_message){3, hi, 3, lo, 3, buyer, 4, item, 4, qty, 3, line_count, 1234, false};
    struct request got = request_trip(&request);
    assert_int_equal(got.batch.id_hi_count, 3);
    assert_memory_equal(got.batch.id_hi, hi, sizeof hi);
    assert_int_equal(got.batch.id_lo_count, 3);
    assert_memory_equal(got.batch.id_lo, lo, sizeof lo);
    assert_int_equal(got.batch.buyer_count, 3);
    assert_memory_equal(got.batch.buyer, buyer, sizeof buyer);
    assert_int_equal(got.batch.item_count, 4);
    assert_memory_equal(got.batch.item, item, sizeof item);
    assert_int_equal(got.batch.qty_count, 4);
    assert_memory_equal(got.batch.qty, qty, sizeof qty);
    assert_int_equal(got.batch.line_count_count, 3);
    assert_memory_equal(got.batch.line_count, line_count, sizeof line_count);
    assert_int_equal(got.batch.hold_ms, 1234);

    request.type = REQUEST_COMMIT_BATCH;
    request.batch.late_ok = true;
    got = request_trip(&request);
    assert_memory_equal(got.batch.id_hi, hi, sizeof hi);
    assert_memory_equal(got.batch.id_lo, lo, sizeof lo);
    assert_true(got.batch.late_ok);
    assert_int_equal(got.batch.item_count, 0);
    request.type = REQUEST_RELEASE_BATCH;
    got = request_trip(&request);
    assert_int_equal(got.batch.id_hi_count, 3);
}

static void codec_small_requests_survive_the_trip(void **state)
{
    (void)state;
    struct request request = {.type = REQUEST_EXTEND};
    request.extend.id = bytes_of("0123456789abcdef");
    request.extend.hold_ms = 5;
    struct request got = request_trip(&request);
    assert_bytes(got.extend.id, "0123456789abcdef");
    assert_int_equal(got.extend.hold_ms, 5);

    request = (struct request){.type = REQUEST_GET_ORDER};
    request.get_order.id = bytes_of("0123456789abcdef");
    got = request_trip(&request);
    assert_bytes(got.get_order.id, "0123456789abcdef");

    request = (struct request){.type = REQUEST_LIST_STOCK};
    request.list_stock.after_sku = bytes_of("A");
    request.list_stock.limit = 9;
    got = request_trip(&request);
    assert_bytes(got.list_stock.after_sku, "A");
    assert_int_equal(got.list_stock.limit, 9);

    static const uint32_t items[] = {1, 2};
    const struct bytes skus[] = {bytes_of("A"), bytes_of("B")};
    request = (struct request){.type = REQUEST_GET_STOCK};
    request.get_stock.item_count = 2;
    request.get_stock.items = items;
    request.get_stock.sku_count = 2;
    request.get_stock.skus = skus;
    got = request_trip(&request);
    assert_int_equal(got.get_stock.item_count, 2);
    assert_int_equal(got.get_stock.items[1], 2);
    assert_int_equal(got.get_stock.sku_count, 2);
    assert_bytes(got.get_stock.skus[1], "B");

    request = (struct request){.type = REQUEST_STATUS};
    got = request_trip(&request);
    assert_false(got.status.slowest);
    request.status.slowest = true;
    got = request_trip(&request);
    assert_true(got.status.slowest);
    request = (struct request){.type = REQUEST_NONE, .timeout_ms = 1};
    got = request_trip(&request);
    assert_int_equal(got.timeout_ms, 1);
}

static void codec_list_requests_survive_the_trip(void **state)
{
    (void)state;
    static const uint32_t states[] = {1, 5, 99};
    struct request request = {.type = REQUEST_LIST_ORDERS};
    request.list_orders.buyer = UINT64_MAX;
    request.list_orders.sku = bytes_of("A");
    request.list_orders.pool = bytes_of("p");
    request.list_orders.state_count = 3;
    request.list_orders.states = states;
    request.list_orders.after = bytes_of("\xFF\x01 not text");
    request.list_orders.limit = 7;
    struct request got = request_trip(&request);
    assert_true(got.list_orders.buyer == UINT64_MAX);
    assert_bytes(got.list_orders.sku, "A");
    assert_bytes(got.list_orders.pool, "p");
    assert_int_equal(got.list_orders.state_count, 3);
    assert_memory_equal(got.list_orders.states, states, sizeof states);
    assert_bytes(got.list_orders.after, "\xFF\x01 not text");
    assert_int_equal(got.list_orders.limit, 7);
    request = (struct request){.type = REQUEST_LIST_ORDERS};
    got = request_trip(&request);
    assert_int_equal(got.list_orders.state_count, 0);
    assert_int_equal(got.list_orders.after.len, 0);

    const struct bytes skus[] = {bytes_of("A"), bytes_of("B")};
    request = (struct request){.type = REQUEST_GET_SKUS};
    request.get_skus.count = 2;
    request.get_skus.skus = skus;
    got = request_trip(&request);
    assert_int_equal(got.get_skus.count, 2);
    assert_bytes(got.get_skus.skus[0], "A");
    assert_bytes(got.get_skus.skus[1], "B");
}

static void codec_define_survives_the_trip(void **state)
{
    (void)state;
    const struct sku_message skus[] = {{.sku = bytes_of("A"),
                                        .label = bytes_of("Lamp"),
                                        .limit_per_buyer = 2,
                                        .opens_at_ms = 3,
                                        .closes_at_ms = UINT64_MAX,
                                        .paused = true,
                                        .hold_ms = 4,
                                        .hold_ms_max = 5}};
    const struct item_message items[] = {
        {.sku = bytes_of("A"), .pool = bytes_of("p"), .safety = -6, .presale_cap = 7, .hot = true},
        {.sku = bytes_of("B"), .fields = 7},
    };
    struct request request = {.type = REQUEST_DEFINE};
    request.define.sku_count = 1;
    request.define.skus = skus;
    request.define.item_count = 2;
    request.define.items = items;
    request.define.dry_run = true;
    request.define.skus_before = 8;
    request.define.items_before = UINT32_MAX;
    struct request got = request_trip(&request);
    assert_true(got.define.dry_run);
    assert_int_equal(got.define.skus_before, 8);
    assert_int_equal(got.define.items_before, UINT32_MAX);
    assert_int_equal(got.define.items[1].fields, 7);
    assert_int_equal(got.define.sku_count, 1);
    const struct sku_message *sku = got.define.skus;
    assert_bytes(sku->sku, "A");
    assert_bytes(sku->label, "Lamp");
    assert_int_equal(sku->limit_per_buyer, 2);
    assert_true(sku->opens_at_ms == 3);
    assert_true(sku->closes_at_ms == UINT64_MAX);
    assert_true(sku->paused);
    assert_int_equal(sku->hold_ms, 4);
    assert_int_equal(sku->hold_ms_max, 5);
    assert_int_equal(got.define.item_count, 2);
    assert_bytes(got.define.items[0].pool, "p");
    assert_true(got.define.items[0].safety == -6);
    assert_true(got.define.items[0].presale_cap == 7);
    assert_true(got.define.items[0].hot);
    assert_bytes(got.define.items[1].sku, "B");
    assert_int_equal(got.define.items[1].pool.len, 0);

    struct define_message after = request.define;
    request = (struct request){.type = REQUEST_ADJUST};
    request.adjust.dry_run = true;
    request.adjust.has_after = true;
    request.adjust.after = after;
    got = request_trip(&request);
    assert_true(got.adjust.dry_run && got.adjust.has_after);
    assert_int_equal(got.adjust.count, 0);
    assert_int_equal(got.adjust.after.item_count, 2);
    assert_true(got.adjust.after.items[0].safety == -6);
    request.adjust.has_after = false;
    assert_false(request_trip(&request).adjust.has_after);
}

static void codec_adjustments_survive_the_trip(void **state)
{
    (void)state;
    const struct adjustment_message rows[] = {
        {.id = bytes_of("0123456789abcdef"),
         .item = 3,
         .has_delta = true,
         .delta = INT64_MIN,
         .has_expected = true,
         .expected = 0,
         .reason = bytes_of("count"),
         .reference = bytes_of("PO-1"),
         .force = true},
        {.id = bytes_of("0123456789abcdef"),
         .sku = bytes_of("A"),
         .pool = bytes_of("p"),
         .has_set_to = true,
         .set_to = 0},
        {.id = bytes_of("0123456789abcdef"), .item = 1},
        {.id = bytes_of("0123456789abcdef"), .item = 1, .has_delta = true, .to_item = UINT32_MAX},
        {.id = bytes_of("0123456789abcdef"), .item = 1, .to_pool = bytes_of("store-7")},
    };
    struct request request = {.type = REQUEST_ADJUST};
    request.adjust.count = 5;
    request.adjust.adjustments = rows;
    struct request got = request_trip(&request);
    const struct adjustment_message *row = got.adjust.adjustments;
    assert_int_equal(got.adjust.count, 5);
    assert_int_equal(row[0].to_item, 0);
    assert_int_equal(row[0].to_pool.len, 0);
    assert_true(row[3].to_item == UINT32_MAX);
    assert_bytes(row[4].to_pool, "store-7");
    assert_true(row[0].has_delta && !row[0].has_set_to);
    assert_true(row[0].delta == INT64_MIN);
    assert_true(row[0].has_expected);
    assert_true(row[0].expected == 0);
    assert_bytes(row[0].reason, "count");
    assert_bytes(row[0].reference, "PO-1");
    assert_true(row[0].force);
    assert_true(row[1].has_set_to && !row[1].has_delta);
    assert_true(row[1].set_to == 0);
    assert_false(row[1].has_expected);
    assert_bytes(row[1].sku, "A");
    assert_bytes(row[1].pool, "p");
    assert_false(row[2].has_delta || row[2].has_set_to);
}

static void codec_orders_response_survives_the_trip(void **state)
{
    (void)state;
    const struct grant_message grants[] = {{1, 2, 3, 4, 5}, {5, 6, 7, 0, 0}};
    const struct result_message results[] = {
        {.status = HF_OK,
         .replayed = true,
         .deadline_ms = 1762790400000,
         .state = 1,
         .grant_count = 2,
         .grants = grants},
        {.status = HF_SOLD_OUT, .blocking_line = 2},
    };
    struct response response = {.status = HF_OK,
                                .message = bytes_of("m"),
                                .lsn = UINT64_MAX,
                                .retry_after_ms = 6,
                                .type = RESPONSE_ORDERS};
    response.orders.count = 2;
    response.orders.results = results;
    struct response got = response_trip(&response);
    assert_bytes(got.message, "m");
    assert_true(got.lsn == UINT64_MAX);
    assert_int_equal(got.retry_after_ms, 6);
    assert_int_equal(got.orders.count, 2);
    assert_true(got.orders.results[0].replayed);
    assert_true(got.orders.results[0].deadline_ms == 1762790400000);
    assert_int_equal(got.orders.results[0].state, 1);
    assert_int_equal(got.orders.results[0].grant_count, 2);
    assert_int_equal(got.orders.results[0].grants[0].presale_qty, 4);
    assert_int_equal(got.orders.results[0].grants[0].covered_qty, 5);
    assert_int_equal(got.orders.results[0].grants[1].item, 6);
    assert_int_equal(got.orders.results[1].status, HF_SOLD_OUT);
    assert_int_equal(got.orders.results[1].blocking_line, 2);
}

static void codec_other_responses_survive_the_trip(void **state)
{
    (void)state;
    static const uint32_t statuses[] = {0, 11, 300};
    struct response response = {.type = RESPONSE_BATCH};
    response.batch.ok_count = 1;
    response.batch.status_count = 3;
    response.batch.status = statuses;
    response.batch.deadline_ms = 77;
    struct response got = response_trip(&response);
    assert_int_equal(got.batch.ok_count, 1);
    assert_int_equal(got.batch.status_count, 3);
    assert_memory_equal(got.batch.status, statuses, sizeof statuses);
    assert_true(got.batch.deadline_ms == 77);

    const struct grant_message grants[] = {{1, 2, 3, 0, 0}};
    response = (struct response){.type = RESPONSE_ORDER};
    response.order.id = bytes_of("0123456789abcdef");
    response.order.state = 2;
    response.order.buyer = 9;
    response.order.deadline_ms = 10;
    response.order.grant_count = 1;
    response.order.grants = grants;
    response.order.lsn = 11;
    got = response_trip(&response);
    assert_bytes(got.order.id, "0123456789abcdef");
    assert_int_equal(got.order.state, 2);
    assert_true(got.order.buyer == 9 && got.order.deadline_ms == 10 && got.order.lsn == 11);
    assert_int_equal(got.order.grants[0].qty, 3);

    static const uint32_t handles[] = {1, 2, 3};
    response = (struct response){.type = RESPONSE_DEFINE};
    response.define.count = 3;
    response.define.items = handles;
    response.define.skus_made = 4;
    response.define.skus_changed = 5;
    response.define.items_made = 6;
    response.define.items_changed = 7;
    got = response_trip(&response);
    assert_int_equal(got.define.count, 3);
    assert_memory_equal(got.define.items, handles, sizeof handles);
    assert_int_equal(got.define.skus_made, 4);
    assert_int_equal(got.define.skus_changed, 5);
    assert_int_equal(got.define.items_made, 6);
    assert_int_equal(got.define.items_changed, 7);
    struct defined_message after = response.define;
    response = (struct response){.type = RESPONSE_ADJUST};
    response.adjust.has_after = true;
    response.adjust.after = after;
    got = response_trip(&response);
    assert_true(got.adjust.has_after);
    assert_int_equal(got.adjust.after.items_changed, 7);
    assert_memory_equal(got.adjust.after.items, handles, sizeof handles);

    response = (struct response){.status = HF_BUSY, .type = RESPONSE_NONE, .retry_after_ms = 5};
    got = response_trip(&response);
    assert_int_equal(got.status, HF_BUSY);
    assert_int_equal(got.retry_after_ms, 5);
}

static void codec_list_responses_survive_the_trip(void **state)
{
    (void)state;
    const struct grant_message grants[] = {{1, 2, 30, 20, 10}, {4, 5, 6, 0, 0}};
    const struct order_info_message orders[] = {{.id = bytes_of("0123456789abcdef"),
                                                 .state = 1,
                                                 .buyer = 9,
                                                 .deadline_ms = 10,
                                                 .grant_count = 2,
                                                 .grants = grants,
                                                 .lsn = 11},
                                                {.id = bytes_of("fedcba9876543210"), .state = 4}};
    struct response response = {.type = RESPONSE_ORDER_LIST};
    response.order_list.count = 2;
    response.order_list.orders = orders;
    response.order_list.next = bytes_of("\x80 where to go on");
    struct response got = response_trip(&response);
    assert_int_equal(got.order_list.count, 2);
    assert_bytes(got.order_list.next, "\x80 where to go on");
    assert_bytes(got.order_list.orders[0].id, "0123456789abcdef");
    assert_true(got.order_list.orders[0].buyer == 9 && got.order_list.orders[0].lsn == 11);
    assert_int_equal(got.order_list.orders[0].grant_count, 2);
    assert_memory_equal(got.order_list.orders[0].grants, grants, sizeof grants);
    assert_int_equal(got.order_list.orders[1].state, 4);
    assert_int_equal(got.order_list.orders[1].grant_count, 0);

    const struct sku_message skus[] = {{.sku = bytes_of("A"),
                                        .label = bytes_of("Lamp"),
                                        .limit_per_buyer = 2,
                                        .opens_at_ms = 3,
                                        .closes_at_ms = 4,
                                        .paused = true,
                                        .hold_ms = 5,
                                        .hold_ms_max = 6},
                                       {.sku = bytes_of("B")}};
    response = (struct response){.type = RESPONSE_SKUS};
    response.skus.count = 2;
    response.skus.skus = skus;
    got = response_trip(&response);
    assert_int_equal(got.skus.count, 2);
    assert_bytes(got.skus.skus[0].label, "Lamp");
    assert_int_equal(got.skus.skus[0].limit_per_buyer, 2);
    assert_true(got.skus.skus[0].opens_at_ms == 3 && got.skus.skus[0].closes_at_ms == 4);
    assert_true(got.skus.skus[0].paused);
    assert_int_equal(got.skus.skus[0].hold_ms, 5);
    assert_int_equal(got.skus.skus[0].hold_ms_max, 6);
    assert_bytes(got.skus.skus[1].sku, "B");
}

static void codec_stock_responses_survive_the_trip(void **state)
{
    (void)state;
    const struct stock_message stock = {.item = 1,
                                        .sku = bytes_of("A"),
                                        .pool = bytes_of("p"),
                                        .stocked = 2,
                                        .held = 3,
                                        .sold = 4,
                                        .available = -5,
                                        .safety = 6,
                                        .presale_cap = 7};
    struct response response = {.type = RESPONSE_STOCK};
    response.stock.count = 1;
    response.stock.items = &stock;
    struct response got = response_trip(&response);
    assert_int_equal(got.stock.count, 1);
    assert_bytes(got.stock.items[0].sku, "A");
    assert_bytes(got.stock.items[0].pool, "p");
    assert_true(got.stock.items[0].available == -5);
    assert_true(got.stock.items[0].presale_cap == 7);

    const struct adjust_result_message results[] = {
        {.status = HF_OK, .replayed = true, .has_stock = true, .stock = stock},
        {.status = HF_UNKNOWN_ITEM},
        {.has_stock = true,
         .stock = stock,
         .has_to_stock = true,
         .to_stock = {.item = 8, .stocked = 9}},
    };
    response = (struct response){.type = RESPONSE_ADJUST};
    response.adjust.count = 3;
    response.adjust.results = results;
    got = response_trip(&response);
    assert_int_equal(got.adjust.count, 3);
    assert_false(got.adjust.results[0].has_to_stock);
    assert_true(got.adjust.results[2].has_to_stock);
    assert_int_equal(got.adjust.results[2].to_stock.item, 8);
    assert_true(got.adjust.results[2].to_stock.stocked == 9);
    assert_int_equal(got.adjust.results[2].stock.item, 1);
    assert_true(got.adjust.results[0].replayed);
    assert_true(got.adjust.results[0].has_stock);
    assert_true(got.adjust.results[0].stock.sold == 4);
    assert_int_equal(got.adjust.results[1].status, HF_UNKNOWN_ITEM);
    assert_false(got.adjust.results[1].has_stock);

    response = (struct response){.type = RESPONSE_STATUS};
    response.status_info.version = bytes_of("0.1.0");
    response.status_info.state = bytes_of("serving");
    response.status_info.wal_io = bytes_of("io_uring");
    response.status_info.commit_lsn = 1;
    response.status_info.orders_known = UINT64_MAX;
    response.status_info.buyers = UINT64_MAX - 1;
    response.status_info.items_max = 20;
    response.status_info.wal_bytes_max = 28;
    const struct slow_answer_message slowest[] = {{.at_ms = 1,
                                                   .request = bytes_of("reserve_batch"),
                                                   .status = HF_BUSY,
                                                   .orders = 3,
                                                   .lines = 4,
                                                   .request_bytes = 5,
                                                   .answer_bytes = 6,
                                                   .lsn = 8,
                                                   .queue_ns = 10,
                                                   .decide_ns = 11,
                                                   .append_ns = 12,
                                                   .sync_ns = 13,
                                                   .reply_ns = UINT64_MAX},
                                                  {0}};
    response.status_info.slowest_count = 2;
    response.status_info.slowest = slowest;
    got = response_trip(&response);
    assert_bytes(got.status_info.version, "0.1.0");
    assert_bytes(got.status_info.state, "serving");
    assert_bytes(got.status_info.wal_io, "io_uring");
    assert_true(got.status_info.orders_known == UINT64_MAX);
    assert_true(got.status_info.buyers == UINT64_MAX - 1);
    assert_int_equal(got.status_info.items_max, 20);
    assert_int_equal(got.status_info.wal_bytes_max, 28);
    assert_int_equal(got.status_info.slowest_count, 2);
    const struct slow_answer_message *slow = &got.status_info.slowest[0];
    assert_int_equal(slow->at_ms, 1);
    assert_bytes(slow->request, "reserve_batch");
    assert_int_equal(slow->status, HF_BUSY);
    assert_int_equal(slow->orders, 3);
    assert_int_equal(slow->lines, 4);
    assert_int_equal(slow->request_bytes, 5);
    assert_int_equal(slow->answer_bytes, 6);
    assert_int_equal(slow->lsn, 8);
    assert_int_equal(slow->queue_ns, 10);
    assert_int_equal(slow->decide_ns, 11);
    assert_int_equal(slow->append_ns, 12);
    assert_int_equal(slow->sync_ns, 13);
    assert_true(slow->reply_ns == UINT64_MAX);
    assert_bytes(slow[1].request, "");
}

/* ---- By hand ---- */

static void codec_decodes_bytes_written_by_hand(void **state)
{
    (void)state;
    /* Request { token "t", timeout_ms 300, reserve { orders { id "i", buyer 1, lines { item 5,
     * qty 2 } } } }, as the protobuf encoding document lays it out. */
    static const uint8_t wire[] = {0x0A, 1,   't',  0x10, 0xAC, 0x02, 0x52, 23,   0x0A, 21, 0x0A,
                                   1,    'i', 0x11, 1,    0,    0,    0,    0,    0,    0,  0,
                                   0x22, 7,   0x0D, 5,    0,    0,    0,    0x20, 2};
    struct request request;
    const char *error = NULL;
    assert_int_equal(decode(wire, sizeof wire, &request, &error), HF_OK);
    assert_bytes(request.token, "t");
    assert_int_equal(request.timeout_ms, 300);
    assert_int_equal(request.type, REQUEST_RESERVE);
    assert_int_equal(request.reserve.orders[0].buyer, 1);
    assert_int_equal(request.reserve.orders[0].lines[0].item, 5);
    assert_int_equal(request.reserve.orders[0].lines[0].qty, 2);

    struct bytes encoded;
    assert_int_equal(codec_request_encode(&memory, &request, &encoded), HF_OK);
    assert_int_equal(encoded.len, sizeof wire);
    assert_memory_equal(encoded.data, wire, sizeof wire);
}

static void codec_decodes_a_list_written_by_hand(void **state)
{
    (void)state;
    /* Request { list_orders { buyer 1, sku "A", pool "p", state [1, 2], after FF, limit 5 } } */
    static const uint8_t wire[] = {0xBA, 0x01, 24, 0x09, 1,    0,   0,    0,    0,
                                   0,    0,    0,  0x12, 1,    'A', 0x1A, 1,    'p',
                                   0x22, 2,    1,  2,    0x2A, 1,   0xFF, 0x30, 5};
    struct request request;
    const char *error = NULL;
    assert_int_equal(decode(wire, sizeof wire, &request, &error), HF_OK);
    assert_int_equal(request.type, REQUEST_LIST_ORDERS);
    assert_int_equal(request.list_orders.buyer, 1);
    assert_bytes(request.list_orders.pool, "p");
    assert_int_equal(request.list_orders.state_count, 2);
    assert_int_equal(request.list_orders.states[1], 2);
    assert_bytes(request.list_orders.after, "\xFF");
    struct bytes encoded;
    assert_int_equal(codec_request_encode(&memory, &request, &encoded), HF_OK);
    assert_int_equal(encoded.len, sizeof wire);
    assert_memory_equal(encoded.data, wire, sizeof wire);

    /* Its texts must be texts: the SKU's code is FF. */
    static const uint8_t bad[] = {0xBA, 0x01, 3, 0x12, 1, 0xFF};
    assert_int_equal(decode(bad, sizeof bad, &request, &error), HF_INVALID);
    assert_string_equal(error, "list_orders.sku: not valid UTF-8");
}

static void codec_takes_no_bytes_for_a_request_without_a_body(void **state)
{
    (void)state;
    struct request request;
    const char *error = NULL;
    assert_int_equal(decode("", 0, &request, &error), HF_OK);
    assert_int_equal(request.type, REQUEST_NONE);
    assert_int_equal(codec_request_decode(&memory, (struct bytes){NULL, 0}, &request, &error),
                     HF_OK);
}

static void codec_accepts_columns_that_are_not_packed(void **state)
{
    (void)state;
    /* ReserveBatch: id_hi twice unpacked, then once packed; item unpacked; line_count unpacked. */
    static const uint8_t wire[] = {
        0x7A, 9 + 9 + 10 + 5 + 2 + 3, /* reserve_batch */
        0x09, 1,
        0,    0,
        0,    0,
        0,    0,
        0, /* id_hi: fixed64 */
        0x09, 2,
        0,    0,
        0,    0,
        0,    0,
        0, /* again */
        0x0A, 8,
        3,    0,
        0,    0,
        0,    0,
        0,    0, /* packed */
        0x25, 7,
        0,    0,
        0,       /* item: fixed32 */
        0x30, 1, /* line_count: varint */
        0x32, 1,
        2, /* packed */
    };
    struct request request;
    const char *error = NULL;
    assert_int_equal(decode(wire, sizeof wire, &request, &error), HF_OK);
    assert_int_equal(request.type, REQUEST_RESERVE_BATCH);
    assert_int_equal(request.batch.id_hi_count, 3);
    assert_true(request.batch.id_hi[0] == 1 && request.batch.id_hi[1] == 2);
    assert_true(request.batch.id_hi[2] == 3);
    assert_int_equal(request.batch.item_count, 1);
    assert_int_equal(request.batch.item[0], 7);
    assert_int_equal(request.batch.line_count_count, 2);
    assert_int_equal(request.batch.line_count[1], 2);
}

static void codec_skips_fields_that_it_does_not_know(void **state)
{
    (void)state;
    /* timeout_ms 5; field 15 varint, field 1000 bytes, an unknown enum value in a line */
    static const uint8_t wire[] = {0x10, 5, 0x78 + 0x00, 9, 0xC2, 0x3E, 2,    'x', 'y',
                                   0x52, 6, 0x0A,        4, 0x22, 2,    0x28, 99};
    struct request request;
    const char *error = NULL;
    /* Field 15 is reserve_batch and must be a message: a wrong wire type is malformed. */
    assert_int_equal(decode(wire, sizeof wire, &request, &error), HF_INVALID);
    assert_string_equal(error, "not a holdfast.v1.Request");

    static const uint8_t other[] = {0x10, 5,    0xC2, 0x3E, 2, 'x',  'y', 0x52,
                                    6,    0x0A, 4,    0x22, 2, 0x28, 99};
    error = NULL;
    assert_int_equal(decode(other, sizeof other, &request, &error), HF_OK);
    assert_int_equal(request.timeout_ms, 5);
    assert_int_equal(request.reserve.orders[0].lines[0].policy, 99);
}

static void codec_takes_the_last_of_several_bodies(void **state)
{
    (void)state;
    /* extend { hold_ms 1 }, then get_order {}, then status {} */
    static const uint8_t wire[] = {0x6A, 2, 0x10, 1, 0xA2, 1, 0, 0xC2, 2, 0};
    struct request request;
    const char *error = NULL;
    assert_int_equal(decode(wire, sizeof wire, &request, &error), HF_OK);
    assert_int_equal(request.type, REQUEST_STATUS);
}

/* ---- Refused ---- */

static void codec_names_the_field_of_a_text_that_is_not_utf8(void **state)
{
    (void)state;
    const struct line_message lines[] = {
        {.item = 1, .qty = 1},
        {.sku = {(const uint8_t *)"a\xC0\x80", 3}, .qty = 1},
        {.sku = bytes_of("a"), .pool = {(const uint8_t *)"a\0b", 3}, .qty = 1},
    };
    const struct order_message orders[] = {
        {.id = bytes_of("1"), .line_count = 1, .lines = lines},
        {.id = bytes_of("2"), .line_count = 2, .lines = lines},
    };
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = 2;
    request.reserve.orders = orders;
    struct bytes wire;
    struct request got;
    const char *error = NULL;
    assert_int_equal(codec_request_encode(&memory, &request, &wire), HF_OK);
    assert_int_equal(codec_request_decode(&memory, wire, &got, &error), HF_INVALID);
    assert_string_equal(error, "reserve.orders[1].lines[1].sku: not valid UTF-8");

    const struct order_message nul = {.id = bytes_of("1"), .line_count = 1, .lines = lines + 2};
    request.reserve.count = 1;
    request.reserve.orders = &nul;
    assert_int_equal(codec_request_encode(&memory, &request, &wire), HF_OK);
    assert_int_equal(codec_request_decode(&memory, wire, &got, &error), HF_INVALID);
    assert_string_equal(error, "reserve.orders[0].lines[0].pool: has a NUL in it");

    request = (struct request){.type = REQUEST_NONE, .token = {(const uint8_t *)"\xFF", 1}};
    assert_int_equal(codec_request_encode(&memory, &request, &wire), HF_OK);
    assert_int_equal(codec_request_decode(&memory, wire, &got, &error), HF_INVALID);
    assert_string_equal(error, "token: not valid UTF-8");
}

/* The message that a text at one place leads to. */
static const char *error_of(const struct request *request)
{
    struct bytes wire;
    struct request got;
    const char *error = NULL;
    assert_int_equal(codec_request_encode(&memory, request, &wire), HF_OK);
    assert_int_equal(codec_request_decode(&memory, wire, &got, &error), HF_INVALID);
    return error;
}

static void codec_checks_every_text_of_a_request(void **state)
{
    (void)state;
    const struct bytes bad = {(const uint8_t *)"\xED\xA0\x80", 3}; /* a surrogate */
    struct request request = {.type = REQUEST_GET_STOCK};
    request.get_stock.sku_count = 1;
    request.get_stock.skus = &bad;
    assert_string_equal(error_of(&request), "get_stock.sku[0]: not valid UTF-8");

    request = (struct request){.type = REQUEST_LIST_STOCK};
    request.list_stock.after_sku = bad;
    assert_string_equal(error_of(&request), "list_stock.after_sku: not valid UTF-8");

    struct sku_message sku = {.sku = bad};
    request = (struct request){.type = REQUEST_DEFINE};
    request.define.sku_count = 1;
    request.define.skus = &sku;
    assert_string_equal(error_of(&request), "define.skus[0].sku: not valid UTF-8");
    sku = (struct sku_message){.label = bad};
    assert_string_equal(error_of(&request), "define.skus[0].label: not valid UTF-8");

    struct item_message item = {.sku = bad};
    request = (struct request){.type = REQUEST_DEFINE};
    request.define.item_count = 1;
    request.define.items = &item;
    assert_string_equal(error_of(&request), "define.items[0].sku: not valid UTF-8");
    item = (struct item_message){.pool = bad};
    assert_string_equal(error_of(&request), "define.items[0].pool: not valid UTF-8");

    struct adjustment_message row = {.sku = bad};
    request = (struct request){.type = REQUEST_ADJUST};
    request.adjust.count = 1;
    request.adjust.adjustments = &row;
    assert_string_equal(error_of(&request), "adjust.adjustments[0].sku: not valid UTF-8");
    row = (struct adjustment_message){.pool = bad};
    assert_string_equal(error_of(&request), "adjust.adjustments[0].pool: not valid UTF-8");
    row = (struct adjustment_message){.reason = bad};
    assert_string_equal(error_of(&request), "adjust.adjustments[0].reason: not valid UTF-8");
    row = (struct adjustment_message){.reference = bad};
    assert_string_equal(error_of(&request), "adjust.adjustments[0].reference: not valid UTF-8");
}

static void codec_refuses_a_message_that_is_too_long(void **state)
{
    (void)state;
    size_t len = REQUEST_BYTES_MAX + 1;
    uint8_t *wire = calloc(1, len);
    assert_non_null(wire);
    /* An unknown field of bytes that fills the message exactly. */
    wire[0] = 0xC2;
    wire[1] = 0x3E;
    struct request request;
    const char *error = NULL;
    assert_int_equal(codec_request_decode(&memory, (struct bytes){wire, len}, &request, &error),
                     HF_INVALID);
    assert_string_equal(error, "message: 8388609 bytes, at most 8388608");

    size_t body = REQUEST_BYTES_MAX - 6; /* 2 of tag, 4 of length: 7 bits each */
    wire[2] = (uint8_t)(body & 0x7F) | 0x80;
    wire[3] = (uint8_t)(body >> 7 & 0x7F) | 0x80;
    wire[4] = (uint8_t)(body >> 14 & 0x7F) | 0x80;
    wire[5] = (uint8_t)(body >> 21);
    assert_int_equal(codec_request_decode(&memory, (struct bytes){wire, len - 1}, &request, &error),
                     HF_OK);
    free(wire);
}

static void codec_stops_at_the_cap_when_a_message_unpacks_to_more(void **state)
{
    (void)state;
    /* 1 MiB of empty orders in one ReserveRequest. */
    size_t body = MIB(1) & ~(size_t)1;
    uint8_t *wire = malloc(body + 5);
    assert_non_null(wire);
    wire[0] = 0x52;
    wire[1] = (uint8_t)(body & 0x7F) | 0x80;
    wire[2] = (uint8_t)(body >> 7 & 0x7F) | 0x80;
    wire[3] = (uint8_t)(body >> 14);
    for (size_t i = 0; i < body; i += 2) {
        wire[4 + i] = 0x0A;
        wire[5 + i] = 0;
    }
    struct request request;
    const char *error = NULL;
    for (int i = 0; i < 3; i++) {
        enum hf_status status =
            codec_request_decode(&memory, (struct bytes){wire, body + 4}, &request, &error);
        assert_int_equal(status, HF_INVALID);
        assert_string_equal(error, "decoding needs more than 33554432 bytes");
        assert_true(memory.used_bytes <= DECODE_ARENA_BYTES_MAX);
        arena_clear(&memory);
        assert_int_equal(memory.cap_bytes, DECODE_ARENA_BYTES_MAX);
    }
    free(wire);
}

static void codec_decodes_as_many_rows_as_a_request_may_have(void **state)
{
    (void)state;
    struct arena first;
    arena_init(&first, MIB(256));
    uint32_t count = REQUEST_ORDERS_MAX;
    const struct line_message line = {.item = 1, .qty = 1};
    struct order_message *orders = arena_calloc(&first, count, sizeof *orders);
    assert_non_null(orders);
    for (uint32_t i = 0; i < count; i++) {
        orders[i] = (struct order_message){
            .id = bytes_of("0123456789abcdef"), .buyer = i, .line_count = 1, .lines = &line};
    }
    struct request request = {.type = REQUEST_RESERVE};
    request.reserve.count = count;
    request.reserve.orders = orders;
    struct bytes wire;
    assert_int_equal(codec_request_encode(&first, &request, &wire), HF_OK);
    struct request got;
    const char *error = NULL;
    assert_int_equal(codec_request_decode(&memory, wire, &got, &error), HF_OK);
    assert_int_equal(got.reserve.count, count);
    arena_deinit(&first);
}

static void codec_refuses_truncated_messages(void **state)
{
    (void)state;
    static const uint8_t wire[] = {0x52, 23, 0x0A, 21,   0x0A, 1,    'i', 0x11, 1, 0, 0,    0, 0,
                                   0,    0,  0,    0x22, 7,    0x0D, 5,   0,    0, 0, 0x20, 2};
    for (size_t len = 1; len < sizeof wire; len++) {
        struct request request;
        const char *error = NULL;
        assert_int_equal(decode(wire, len, &request, &error), HF_INVALID);
        assert_string_equal(error, "not a holdfast.v1.Request");
    }
    /* A packed column whose length is no multiple of 8. */
    static const uint8_t column[] = {0x7A, 9, 0x0A, 7, 1, 2, 3, 4, 5, 6, 7};
    struct request request;
    const char *error = NULL;
    assert_int_equal(decode(column, sizeof column, &request, &error), HF_INVALID);
}

static void codec_lets_no_local_status_in(void **state)
{
    (void)state;
    /* Response { status 101, orders { results { status 105 } } } */
    static const uint8_t wire[] = {0x08, 101, 0x52, 4, 0x0A, 2, 0x08, 105};
    struct response response;
    assert_int_equal(codec_response_decode(&memory, (struct bytes){wire, sizeof wire}, &response),
                     HF_OK);
    assert_int_equal(response.status, HF_INTERNAL);
    assert_int_equal(response.orders.results[0].status, HF_INTERNAL);
}

/* ---- At random ---- */

static struct bytes sample(struct rng *rng, struct arena *arena)
{
    static const uint32_t fallback[] = {7, 8};
    static const uint64_t halves[] = {1, 2, 3, 4};
    static const uint32_t words[] = {1, 2, 3, 4};
    static const struct line_message lines[] = {
        {.item = 5, .qty = 9, .fallback_count = 2, .fallback = fallback},
        {.sku = {(const uint8_t *)"85123A", 6}, .pool = {(const uint8_t *)"p", 1}, .qty = 2}};
    static const struct order_message orders[] = {
        {.id = {(const uint8_t *)"0123456789abcdef", 16}, .line_count = 2, .lines = lines},
        {.id = {(const uint8_t *)"0123456789abcdef", 16}, .line_count = 1, .lines = lines}};
    static const struct adjustment_message rows[] = {
        {.item = 5, .has_delta = true, .delta = -9, .has_expected = true, .expected = 5}};
    struct request request = {.token = bytes_of("t"), .timeout_ms = 1};
    switch (rng_below(rng, 3)) {
    case 0:
        request.type = REQUEST_RESERVE;
        request.reserve.count = 2;
        request.reserve.orders = orders;
        break;
    case 1:
        request.type = REQUEST_RESERVE_BATCH;
        request.batch = (struct batch_message){4,     halves, 4,     halves, 4,     halves, 4,
                                               words, 4,      words, 4,      words, 1,      false};
        break;
    default:
        request.type = REQUEST_ADJUST;
        request.adjust.count = 1;
        request.adjust.adjustments = rows;
        break;
    }
    struct bytes wire;
    assert_int_equal(codec_request_encode(arena, &request, &wire), HF_OK);
    return wire;
}

/* Changes, cuts, doubles or makes up bytes. Returns the length. */
static size_t mutate(struct rng *rng, uint8_t *data, size_t len, size_t room)
{
    for (uint64_t n = rng_between(rng, 1, 4); n > 0; n--) {
        size_t at = len ? (size_t)rng_below(rng, len) : 0;
        switch (rng_below(rng, 5)) {
        case 0:
            data[at] = (uint8_t)rng_next(rng);
            break;
        case 1:
            data[at] ^= (uint8_t)(1u << rng_below(rng, 8));
            break;
        case 2:
            len = at;
            break;
        case 3:
            if (2 * len - at <= room) {
                memcpy(data + len, data + at, len - at);
                len += len - at;
            }
            break;
        default:
            if (len + 1 < room) {
                memmove(data + at + 1, data + at, len - at);
                data[at] = (uint8_t)rng_next(rng);
                len++;
            }
            break;
        }
    }
    return len;
}

static void codec_survives_random_bytes(void **state)
{
    (void)state;
    uint64_t seed = rng_seed_from_env(20251111);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    struct arena first;
    arena_init(&first, MIB(1));
    uint8_t data[4096];
    for (unsigned round = 0; round < 20000; round++) {
        struct bytes wire = sample(&rng, &first);
        assert_true(wire.len < sizeof data / 2);
        memcpy(data, wire.data, wire.len);
        size_t len = mutate(&rng, data, wire.len, sizeof data);
        struct request request;
        struct response response;
        const char *error = NULL;
        enum hf_status status = decode(data, len, &request, &error);
        assert_true(status == HF_OK || (status == HF_INVALID && error));
        status = codec_response_decode(&memory, (struct bytes){data, len}, &response);
        assert_true(status == HF_OK || status == HF_INVALID);
        assert_true(memory.used_bytes <= DECODE_ARENA_BYTES_MAX);
        arena_clear(&first);
        arena_clear(&memory);
    }
    arena_deinit(&first);
}

static void *no_memory(size_t bytes)
{
    (void)bytes;
    return NULL;
}

/* Nothing is wrong with the message: it may be sent again. */
static void codec_request_without_memory_is_not_malformed(void **state)
{
    (void)state;
    static const uint8_t wire[] = {0x52, 2, 0x0A, 0}; /* a reserve of one empty order */
    struct request request;
    struct arena arena;
    const char *error = NULL;
    arena_init(&arena, MIB(1));
    arena_set_source(no_memory);
    enum hf_status status =
        codec_request_decode(&arena, (struct bytes){wire, sizeof wire}, &request, &error);
    arena_set_source(NULL);
    assert_int_equal(status, HF_NO_MEMORY);
    assert_string_equal(error, "out of memory");
    assert_int_equal(
        codec_request_decode(&arena, (struct bytes){wire, sizeof wire}, &request, &error), HF_OK);
    arena_deinit(&arena);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(codec_reserve_survives_the_trip),
        TEST(codec_edits_survive_the_trip),
        TEST(codec_batches_survive_the_trip),
        TEST(codec_small_requests_survive_the_trip),
        TEST(codec_list_requests_survive_the_trip),
        TEST(codec_list_responses_survive_the_trip),
        TEST(codec_decodes_a_list_written_by_hand),
        TEST(codec_define_survives_the_trip),
        TEST(codec_adjustments_survive_the_trip),
        TEST(codec_orders_response_survives_the_trip),
        TEST(codec_other_responses_survive_the_trip),
        TEST(codec_stock_responses_survive_the_trip),
        TEST(codec_decodes_bytes_written_by_hand),
        TEST(codec_takes_no_bytes_for_a_request_without_a_body),
        TEST(codec_accepts_columns_that_are_not_packed),
        TEST(codec_skips_fields_that_it_does_not_know),
        TEST(codec_takes_the_last_of_several_bodies),
        TEST(codec_names_the_field_of_a_text_that_is_not_utf8),
        TEST(codec_checks_every_text_of_a_request),
        TEST(codec_refuses_a_message_that_is_too_long),
        TEST(codec_stops_at_the_cap_when_a_message_unpacks_to_more),
        TEST(codec_decodes_as_many_rows_as_a_request_may_have),
        TEST(codec_refuses_truncated_messages),
        TEST(codec_lets_no_local_status_in),
        TEST(codec_request_without_memory_is_not_malformed),
        TEST(codec_survives_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

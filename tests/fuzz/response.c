/* response.c - fuzzes codec_response_decode(): what a client reads from whoever answers it.
 *
 * What is accepted encodes, and what that gives is accepted again and encodes to the same bytes.
 * Threads: one. */
#include <string.h>

#include "base/limits.h"
#include "fuzz.h"
#include "fuzz_message.h"
#include "wire/codec.h"

const unsigned fuzz_runs = 60000;

static void check_again(struct arena *arena, struct bytes encoded)
{
    struct response response;
    struct bytes again;
    FUZZ_CHECK(codec_response_decode(arena, encoded, &response) == HF_OK,
               "what was encoded can't be decoded");
    FUZZ_CHECK(codec_response_encode(arena, &response, &again) == HF_OK, "no room");
    FUZZ_CHECK(again.len == encoded.len && memcmp(again.data, encoded.data, again.len) == 0,
               "%zu bytes, then %zu", encoded.len, again.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena, DECODE_ARENA_BYTES_MAX);
    uint8_t *copy = fuzz_copy(data, size);
    struct response response;
    enum hf_status status = codec_response_decode(&arena, (struct bytes){copy, size}, &response);
    free(copy); /* the response must not point there */
    FUZZ_CHECK(status == HF_OK || status == HF_INVALID, "%d", status);
    struct bytes encoded;
    arena.cap_bytes += ANSWER_ARENA_BYTES_MAX;
    if (status == HF_OK && codec_response_encode(&arena, &response, &encoded) == HF_OK) {
        check_again(&arena, encoded);
    }
    arena_deinit(&arena);
    return 0;
}

/* ---- Seeds ---- */

static uint32_t number(struct rng *rng)
{
    return (uint32_t)fuzz_number(rng);
}

static struct stock_message stock(struct rng *rng)
{
    return (struct stock_message){.item = number(rng),
                                  .sku = bytes_of("85123A"),
                                  .pool = bytes_of("default"),
                                  .stocked = (int64_t)fuzz_number(rng),
                                  .held = (int64_t)fuzz_number(rng),
                                  .sold = (int64_t)fuzz_number(rng),
                                  .available = (int64_t)fuzz_number(rng)};
}

/* What the parts of a response point into. */
struct parts {
    struct grant_message grants[2];
    struct result_message results[3];
    struct stock_message items[3];
    struct adjust_result_message adjusted[3];
    struct order_info_message orders[3];
    struct sku_message skus[3];
    struct slow_answer_message slowest[3];
    uint32_t numbers[8];
};

static void fill_parts(struct rng *rng, struct parts *parts)
{
    for (unsigned i = 0; i < 2; i++) {
        parts->grants[i] =
            (struct grant_message){number(rng), number(rng), number(rng), number(rng), number(rng)};
    }
    for (unsigned i = 0; i < 3; i++) {
        parts->results[i] =
            (struct result_message){.status = rng_chance(rng, 2) ? HF_OK : HF_SOLD_OUT,
                                    .replayed = rng_chance(rng, 2),
                                    .blocking_line = number(rng),
                                    .deadline_ms = fuzz_number(rng),
                                    .state = (uint32_t)rng_below(rng, 7),
                                    .grant_count = (uint32_t)rng_below(rng, 3),
                                    .grants = parts->grants};
        parts->slowest[i] = (struct slow_answer_message){.at_ms = fuzz_number(rng),
                                                         .request = bytes_of("reserve_batch"),
                                                         .status = HF_BUSY,
                                                         .orders = number(rng),
                                                         .lines = number(rng),
                                                         .request_bytes = number(rng),
                                                         .answer_bytes = number(rng),
                                                         .lsn = fuzz_number(rng),
                                                         .queue_ns = fuzz_number(rng),
                                                         .decide_ns = fuzz_number(rng),
                                                         .append_ns = fuzz_number(rng),
                                                         .sync_ns = fuzz_number(rng),
                                                         .reply_ns = fuzz_number(rng)};
        parts->items[i] = stock(rng);
        parts->adjusted[i] = (struct adjust_result_message){
            .status = HF_OK, .has_stock = rng_chance(rng, 2), .stock = stock(rng)};
        if (rng_chance(rng, 3)) {
            parts->adjusted[i].has_to_stock = true;
            parts->adjusted[i].to_stock = stock(rng);
        }
        parts->orders[i] = (struct order_info_message){.id = bytes_of("0123456789abcdef"),
                                                       .state = number(rng),
                                                       .buyer = fuzz_number(rng),
                                                       .grant_count = (uint32_t)rng_below(rng, 3),
                                                       .grants = parts->grants};
        parts->skus[i] = (struct sku_message){.sku = bytes_of("85123A"),
                                              .label = bytes_of("lamp"),
                                              .limit_per_buyer = number(rng),
                                              .opens_at_ms = fuzz_number(rng)};
    }
    for (unsigned i = 0; i < 8; i++) {
        parts->numbers[i] = number(rng);
    }
}

static void fill_response(struct rng *rng, const struct parts *parts, struct response *response)
{
    static const enum response_type types[] = {
        RESPONSE_NONE,   RESPONSE_ORDERS, RESPONSE_BATCH,  RESPONSE_ORDER,      RESPONSE_STOCK,
        RESPONSE_DEFINE, RESPONSE_ADJUST, RESPONSE_STATUS, RESPONSE_ORDER_LIST, RESPONSE_SKUS};
    *response = (struct response){.status = HF_OK,
                                  .lsn = fuzz_number(rng),
                                  .retry_after_ms = number(rng),
                                  .type = types[rng_below(rng, sizeof types / sizeof types[0])]};
    if (rng_chance(rng, 2)) {
        response->status = HF_INVALID;
        response->message = bytes_of("reserve.orders[3].lines[0].qty: 0");
    }
    uint32_t count = (uint32_t)rng_below(rng, 4);
    switch (response->type) {
    case RESPONSE_NONE:
        break;
    case RESPONSE_ORDERS:
        response->orders.count = count;
        response->orders.results = parts->results;
        break;
    case RESPONSE_BATCH:
        response->batch.ok_count = number(rng);
        response->batch.status_count = 2 * count;
        response->batch.status = parts->numbers;
        response->batch.deadline_ms = fuzz_number(rng);
        break;
    case RESPONSE_ORDER:
        response->order.id = bytes_of("0123456789abcdef");
        response->order.state = number(rng);
        response->order.grant_count = count % 3;
        response->order.grants = parts->grants;
        break;
    case RESPONSE_STOCK:
        response->stock.count = count;
        response->stock.items = parts->items;
        break;
    case RESPONSE_ORDER_LIST:
        response->order_list.count = count;
        response->order_list.orders = parts->orders;
        response->order_list.next = rng_chance(rng, 2) ? bytes_of("\xFFnext") : (struct bytes){0};
        break;
    case RESPONSE_SKUS:
        response->skus.count = count;
        response->skus.skus = parts->skus;
        break;
    case RESPONSE_DEFINE:
        response->define.count = 2 * count;
        response->define.items = parts->numbers;
        break;
    case RESPONSE_ADJUST:
        response->adjust.count = count;
        response->adjust.results = parts->adjusted;
        break;
    case RESPONSE_STATUS:
        response->status_info.version = bytes_of("0.1.0");
        response->status_info.state = bytes_of("open");
        response->status_info.wal_io = bytes_of("io_uring");
        response->status_info.items = fuzz_number(rng);
        response->status_info.buyers = fuzz_number(rng);
        response->status_info.slowest_count = count;
        response->status_info.slowest = parts->slowest;
        break;
    }
}

size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room)
{
    struct parts parts;
    struct response response;
    fill_parts(rng, &parts);
    fill_response(rng, &parts, &response);
    struct arena arena;
    arena_init(&arena, DECODE_ARENA_BYTES_MAX);
    struct bytes encoded;
    FUZZ_CHECK(codec_response_encode(&arena, &response, &encoded) == HF_OK, "no room");
    size_t len = encoded.len < room ? encoded.len : room;
    memcpy(to, encoded.data, len);
    arena_deinit(&arena);
    return len;
}

size_t fuzz_mutate(struct rng *rng, uint8_t *data, size_t size, size_t room)
{
    struct arena arena;
    struct response response;
    struct bytes encoded;
    arena_init(&arena, DECODE_ARENA_BYTES_MAX);
    if (codec_response_decode(&arena, (struct bytes){data, size}, &response) == HF_OK) {
        fuzz_mutate_response(rng, &arena, &response);
        if (codec_response_encode(&arena, &response, &encoded) == HF_OK && encoded.len <= room) {
            memcpy(data, encoded.data, encoded.len);
            size = encoded.len;
        }
    } else {
        size = fuzz_mutate_bytes(rng, data, size, room);
    }
    arena_deinit(&arena);
    return size;
}

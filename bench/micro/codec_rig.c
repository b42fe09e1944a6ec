/* codec_rig.c - a reserve request and its answer, as rows or as columns.
 *
 * Threads: one. */
#include "micro/codec_rig.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/limits.h"
#include "micro/rig.h"
#include "wire/codec.h"

#define ITEMS       10000u
#define DEADLINE_MS UINT64_C(1790000000000)

struct codec_rig {
    uint32_t orders;
    struct arena fixed;   /* what the messages point to, and their bytes */
    struct arena scratch; /* what is measured */
    struct request request;
    struct response response;
    struct bytes request_bytes;
    struct bytes response_bytes;
};

static void *take(struct codec_rig *rig, size_t size)
{
    void *memory = arena_calloc(&rig->fixed, rig->orders, size);
    CHECK(memory != NULL);
    return memory;
}

static void make_rows(struct codec_rig *rig)
{
    struct order_message *orders = take(rig, sizeof *orders);
    struct line_message *lines = take(rig, sizeof *lines);
    uint8_t *ids = take(rig, ID_BYTES);
    struct result_message *results = take(rig, sizeof *results);
    for (uint32_t i = 0; i < rig->orders; i++) {
        id_to_bytes(rig_id(i), ids + (size_t)i * ID_BYTES);
        lines[i] = (struct line_message){.item = rig_item(i, ITEMS), .qty = 1};
        orders[i] = (struct order_message){.id = {ids + (size_t)i * ID_BYTES, ID_BYTES},
                                           .buyer = i + 1,
                                           .line_count = 1,
                                           .lines = &lines[i]};
        results[i] =
            (struct result_message){.status = HF_OK, .deadline_ms = DEADLINE_MS, .state = 1};
    }
    rig->request.type = REQUEST_RESERVE;
    rig->request.reserve.count = rig->orders;
    rig->request.reserve.orders = orders;
    rig->response.type = RESPONSE_ORDERS;
    rig->response.orders.count = rig->orders;
    rig->response.orders.results = results;
}

static void make_columns(struct codec_rig *rig)
{
    uint64_t *hi = take(rig, sizeof *hi);
    uint64_t *lo = take(rig, sizeof *lo);
    uint64_t *buyer = take(rig, sizeof *buyer);
    uint32_t *item = take(rig, sizeof *item);
    uint32_t *qty = take(rig, sizeof *qty);
    for (uint32_t i = 0; i < rig->orders; i++) {
        hi[i] = rig_id(i).hi;
        lo[i] = rig_id(i).lo;
        buyer[i] = i + 1;
        item[i] = rig_item(i, ITEMS);
        qty[i] = 1;
    }
    rig->request.type = REQUEST_RESERVE_BATCH;
    rig->request.batch = (struct batch_message){
        .id_hi_count = rig->orders,
        .id_hi = hi,
        .id_lo_count = rig->orders,
        .id_lo = lo,
        .buyer_count = rig->orders,
        .buyer = buyer,
        .item_count = rig->orders,
        .item = item,
        .qty_count = rig->orders,
        .qty = qty,
    };
    rig->response.type = RESPONSE_BATCH;
    rig->response.batch.ok_count = rig->orders;
    rig->response.batch.deadline_ms = DEADLINE_MS;
}

struct codec_rig *codec_rig_make(uint32_t orders, bool columns)
{
    struct codec_rig *rig = calloc(1, sizeof *rig);
    CHECK(rig != NULL);
    rig->orders = orders;
    arena_init(&rig->fixed, MIB(64));
    arena_init(&rig->scratch, DECODE_ARENA_BYTES_MAX);
    rig->response.lsn = UINT64_C(1) << 40;
    if (columns) {
        make_columns(rig);
    } else {
        make_rows(rig);
    }
    CHECK(codec_request_encode(&rig->fixed, &rig->request, &rig->request_bytes) == HF_OK);
    CHECK(codec_response_encode(&rig->fixed, &rig->response, &rig->response_bytes) == HF_OK);
    return rig;
}

void codec_rig_free(struct codec_rig *rig)
{
    arena_deinit(&rig->fixed);
    arena_deinit(&rig->scratch);
    free(rig);
}

size_t codec_rig_encode_request(struct codec_rig *rig)
{
    struct bytes out;
    arena_clear(&rig->scratch);
    CHECK(codec_request_encode(&rig->scratch, &rig->request, &out) == HF_OK);
    return out.len;
}

size_t codec_rig_decode_request(struct codec_rig *rig)
{
    struct request request;
    const char *error;
    arena_clear(&rig->scratch);
    CHECK(codec_request_decode(&rig->scratch, rig->request_bytes, &request, &error) == HF_OK);
    CHECK(request.type == rig->request.type);
    return rig->request_bytes.len;
}

size_t codec_rig_encode_response(struct codec_rig *rig)
{
    struct bytes out;
    arena_clear(&rig->scratch);
    CHECK(codec_response_encode(&rig->scratch, &rig->response, &out) == HF_OK);
    return out.len;
}

size_t codec_rig_decode_response(struct codec_rig *rig)
{
    struct response response;
    arena_clear(&rig->scratch);
    CHECK(codec_response_decode(&rig->scratch, rig->response_bytes, &response) == HF_OK);
    CHECK(response.type == rig->response.type);
    return rig->response_bytes.len;
}

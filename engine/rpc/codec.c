/* codec.c - requests and responses to and from protobuf, through protobuf-c and an arena.
 *
 * Threads: any; an arena belongs to one call.
 *
 * Decoding runs in two steps. protobuf-c unpacks into the arena, whose cap bounds what a hostile
 * message can take (1 MiB of empty submessages asks for 63 MB). Then rows become the structs of
 * message.h; columns are handed over as protobuf-c made them. Text is checked here, because the
 * generated code calls every string bytes (proto/CMakeLists.txt says why). What numbers may be is
 * the server's to check.
 *
 * Invariant: nothing decoded points into the message's own bytes.
 * Source: protobuf-c 1.4.1, protobuf-c.c; packed and unpacked repeated scalars are both accepted
 * by its parser, and of several members of a oneof the last stands. */
#include "rpc/codec.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/limits.h"
#include "holdfast.pb-c.h"

#define ERROR_BYTES_MAX 160u

/* ---- Memory ---- */

struct unpacking {
    struct arena *arena;
    bool exhausted; /* the arena's cap was reached */
};

static void *unpack_alloc(void *context, size_t size)
{
    struct unpacking *unpacking = context;
    void *memory = arena_alloc(unpacking->arena, size);
    unpacking->exhausted |= memory == NULL;
    return memory;
}

static void unpack_free(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

/* What decoding of one message needs at hand. While it runs, the arena's cap is lower by
 * ERROR_BYTES_MAX, so that there is room for saying that the cap was reached. */
struct decoder {
    struct arena *arena;
    size_t cap_bytes;   /* the arena's own */
    const char **error; /* NULL: nobody wants to know */
};

/* Sets the error to "PATH: fault", or to the path alone when fault is NULL. Returns INVALID. */
__attribute__((format(printf, 3, 4))) static enum hf_status
refuse(struct decoder *decoder, const char *fault, const char *path_format, ...)
{
    if (!decoder->error) {
        return HF_INVALID;
    }
    decoder->arena->cap_bytes = decoder->cap_bytes;
    char *text = arena_alloc(decoder->arena, ERROR_BYTES_MAX);
    if (!text) {
        *decoder->error = "out of memory";
        return HF_INVALID;
    }
    va_list args;
    va_start(args, path_format);
    int len = vsnprintf(text, ERROR_BYTES_MAX, path_format, args);
    va_end(args);
    CHECK(len >= 0);
    CHECK((size_t)len < ERROR_BYTES_MAX);
    if (fault) {
        (void)snprintf(text + len, ERROR_BYTES_MAX - (size_t)len, ": %s", fault);
    }
    *decoder->error = text;
    return HF_INVALID;
}

static enum hf_status refuse_memory(struct decoder *decoder)
{
    return refuse(decoder, NULL, "decoding needs more than %zu bytes", decoder->cap_bytes);
}

/* count rows of size bytes; NULL beyond the cap. */
#define ROWS(decoder, count, type) ((type *)arena_calloc((decoder)->arena, (count), sizeof(type)))

/* ---- Decoding, common ---- */

static struct bytes bytes_from(ProtobufCBinaryData binary)
{
    return (struct bytes){binary.data, binary.len};
}

/* Says what is wrong with a text, or NULL. */
static const char *text_fault(ProtobufCBinaryData text)
{
    if (text.len == 0 || utf8_valid(text.data, text.len)) {
        return NULL;
    }
    return memchr(text.data, 0, text.len) ? "has a NUL in it" : "not valid UTF-8";
}

/* Takes a text over, or returns with an error that names the field: a printf format and its
 * arguments. */
#define TAKE_TEXT(decoder, to, text, ...)                                                          \
    do {                                                                                           \
        const char *fault = text_fault(text);                                                      \
        if (fault) {                                                                               \
            return refuse((decoder), fault, __VA_ARGS__);                                          \
        }                                                                                          \
        (to) = bytes_from(text);                                                                   \
    } while (0)

/* A status from outside: numbers that only this side of the wire makes are not let in. */
static enum hf_status status_from(int status)
{
    return status < 0 || status >= HF_STATUS_LOCAL ? HF_INTERNAL : (enum hf_status)status;
}

/* ---- Decoding requests ---- */

static enum hf_status take_line(struct decoder *decoder, const Holdfast__V1__Line *from,
                                size_t order, size_t line, struct line_message *to)
{
    to->item = from->item;
    TAKE_TEXT(decoder, to->sku, from->sku, "reserve.orders[%zu].lines[%zu].sku", order, line);
    TAKE_TEXT(decoder, to->pool, from->pool, "reserve.orders[%zu].lines[%zu].pool", order, line);
    to->qty = from->qty;
    to->policy = (uint32_t)from->policy;
    to->min_qty = from->min_qty;
    to->fallback_count = (uint32_t)from->n_fallback;
    to->fallback = from->fallback;
    to->split = from->split != 0;
    return HF_OK;
}

static enum hf_status take_reserve(struct decoder *decoder,
                                   const Holdfast__V1__ReserveRequest *from,
                                   struct request *request)
{
    size_t line_count = 0;
    for (size_t i = 0; i < from->n_orders; i++) {
        line_count += from->orders[i]->n_lines;
    }
    struct order_message *orders = ROWS(decoder, from->n_orders, struct order_message);
    struct line_message *lines = ROWS(decoder, line_count, struct line_message);
    if (!orders || !lines) {
        return refuse_memory(decoder);
    }
    for (size_t i = 0; i < from->n_orders; i++) {
        const Holdfast__V1__Order *order = from->orders[i];
        orders[i] = (struct order_message){.id = bytes_from(order->id),
                                           .buyer = order->buyer,
                                           .hold_ms = order->hold_ms,
                                           .line_count = (uint32_t)order->n_lines,
                                           .lines = lines};
        for (size_t j = 0; j < order->n_lines; j++) {
            enum hf_status status = take_line(decoder, order->lines[j], i, j, lines++);
            if (status != HF_OK) {
                return status;
            }
        }
    }
    request->reserve.count = (uint32_t)from->n_orders;
    request->reserve.orders = orders;
    return HF_OK;
}

static enum hf_status take_edits(struct decoder *decoder, const Holdfast__V1__OrdersRequest *from,
                                 struct request *request)
{
    size_t line_count = 0;
    for (size_t i = 0; i < from->n_orders; i++) {
        line_count += from->orders[i]->n_lines;
    }
    struct edit_message *edits = ROWS(decoder, from->n_orders, struct edit_message);
    struct line_qty_message *lines = ROWS(decoder, line_count, struct line_qty_message);
    if (!edits || !lines) {
        return refuse_memory(decoder);
    }
    for (size_t i = 0; i < from->n_orders; i++) {
        const Holdfast__V1__OrderEdit *edit = from->orders[i];
        edits[i] = (struct edit_message){.id = bytes_from(edit->id),
                                         .late_ok = edit->late_ok != 0,
                                         .line_count = (uint32_t)edit->n_lines,
                                         .lines = lines};
        for (size_t j = 0; j < edit->n_lines; j++) {
            *lines++ = (struct line_qty_message){edit->lines[j]->line, edit->lines[j]->qty};
        }
    }
    request->edit.count = (uint32_t)from->n_orders;
    request->edit.edits = edits;
    return HF_OK;
}

static enum hf_status take_reserve_batch(const Holdfast__V1__ReserveBatch *from,
                                         struct request *request)
{
    request->batch = (struct batch_message){
        .id_hi_count = (uint32_t)from->n_id_hi,
        .id_hi = from->id_hi,
        .id_lo_count = (uint32_t)from->n_id_lo,
        .id_lo = from->id_lo,
        .buyer_count = (uint32_t)from->n_buyer,
        .buyer = from->buyer,
        .item_count = (uint32_t)from->n_item,
        .item = from->item,
        .qty_count = (uint32_t)from->n_qty,
        .qty = from->qty,
        .line_count_count = (uint32_t)from->n_line_count,
        .line_count = from->line_count,
        .hold_ms = from->hold_ms,
    };
    return HF_OK;
}

static enum hf_status take_orders_batch(const Holdfast__V1__OrdersBatch *from,
                                        struct request *request)
{
    request->batch = (struct batch_message){
        .id_hi_count = (uint32_t)from->n_id_hi,
        .id_hi = from->id_hi,
        .id_lo_count = (uint32_t)from->n_id_lo,
        .id_lo = from->id_lo,
        .late_ok = from->late_ok != 0,
    };
    return HF_OK;
}

/* The codes of a repeated field, as "get_stock.sku". */
static enum hf_status take_codes(struct decoder *decoder, const char *field, size_t count,
                                 const ProtobufCBinaryData *from, uint32_t *to_count,
                                 const struct bytes **to)
{
    struct bytes *codes = ROWS(decoder, count, struct bytes);
    if (!codes) {
        return refuse_memory(decoder);
    }
    for (size_t i = 0; i < count; i++) {
        TAKE_TEXT(decoder, codes[i], from[i], "%s[%zu]", field, i);
    }
    *to_count = (uint32_t)count;
    *to = codes;
    return HF_OK;
}

static enum hf_status take_get_stock(struct decoder *decoder,
                                     const Holdfast__V1__GetStockRequest *from,
                                     struct request *request)
{
    request->get_stock.item_count = (uint32_t)from->n_item;
    request->get_stock.items = from->item;
    return take_codes(decoder, "get_stock.sku", from->n_sku, from->sku,
                      &request->get_stock.sku_count, &request->get_stock.skus);
}

static enum hf_status take_list_orders(struct decoder *decoder,
                                       const Holdfast__V1__ListOrdersRequest *from,
                                       struct request *request)
{
    uint32_t *states = ROWS(decoder, from->n_state, uint32_t);
    if (!states) {
        return refuse_memory(decoder);
    }
    for (size_t i = 0; i < from->n_state; i++) {
        states[i] = (uint32_t)from->state[i];
    }
    TAKE_TEXT(decoder, request->list_orders.sku, from->sku, "list_orders.sku");
    TAKE_TEXT(decoder, request->list_orders.pool, from->pool, "list_orders.pool");
    request->list_orders.buyer = from->buyer;
    request->list_orders.state_count = (uint32_t)from->n_state;
    request->list_orders.states = states;
    request->list_orders.after = bytes_from(from->after);
    request->list_orders.limit = from->limit;
    return HF_OK;
}

/* Rules of SKUs in a repeated field, as "define.skus". */
static enum hf_status take_skus(struct decoder *decoder, const char *field, size_t count,
                                Holdfast__V1__SkuRule *const *from, struct sku_message *skus)
{
    for (size_t i = 0; i < count; i++) {
        const Holdfast__V1__SkuRule *rule = from[i];
        TAKE_TEXT(decoder, skus[i].sku, rule->sku, "%s[%zu].sku", field, i);
        TAKE_TEXT(decoder, skus[i].label, rule->label, "%s[%zu].label", field, i);
        skus[i].limit_per_buyer = rule->limit_per_buyer;
        skus[i].opens_at_ms = rule->opens_at_ms;
        skus[i].closes_at_ms = rule->closes_at_ms;
        skus[i].paused = rule->paused != 0;
        skus[i].hold_ms = rule->hold_ms;
        skus[i].hold_ms_max = rule->hold_ms_max;
        skus[i].fields = rule->fields;
    }
    return HF_OK;
}

static enum hf_status take_items(struct decoder *decoder, const Holdfast__V1__DefineRequest *from,
                                 struct item_message *items)
{
    for (size_t i = 0; i < from->n_items; i++) {
        const Holdfast__V1__ItemDef *item = from->items[i];
        TAKE_TEXT(decoder, items[i].sku, item->sku, "define.items[%zu].sku", i);
        TAKE_TEXT(decoder, items[i].pool, item->pool, "define.items[%zu].pool", i);
        items[i].safety = item->safety;
        items[i].presale_cap = item->presale_cap;
        items[i].hot = item->hot != 0;
    }
    return HF_OK;
}

static enum hf_status take_define(struct decoder *decoder, const Holdfast__V1__DefineRequest *from,
                                  struct request *request)
{
    struct sku_message *skus = ROWS(decoder, from->n_skus, struct sku_message);
    struct item_message *items = ROWS(decoder, from->n_items, struct item_message);
    if (!skus || !items) {
        return refuse_memory(decoder);
    }
    enum hf_status status = take_skus(decoder, "define.skus", from->n_skus, from->skus, skus);
    if (status == HF_OK) {
        status = take_items(decoder, from, items);
    }
    request->define.sku_count = (uint32_t)from->n_skus;
    request->define.skus = skus;
    request->define.item_count = (uint32_t)from->n_items;
    request->define.items = items;
    return status;
}

static enum hf_status take_adjustment(struct decoder *decoder, const Holdfast__V1__Adjustment *from,
                                      size_t at, struct adjustment_message *to)
{
    to->id = bytes_from(from->id);
    to->item = from->item;
    TAKE_TEXT(decoder, to->sku, from->sku, "adjust.adjustments[%zu].sku", at);
    TAKE_TEXT(decoder, to->pool, from->pool, "adjust.adjustments[%zu].pool", at);
    TAKE_TEXT(decoder, to->reason, from->reason, "adjust.adjustments[%zu].reason", at);
    TAKE_TEXT(decoder, to->reference, from->reference, "adjust.adjustments[%zu].reference", at);
    TAKE_TEXT(decoder, to->to_pool, from->to_pool, "adjust.adjustments[%zu].to_pool", at);
    to->to_item = from->to_item;
    if (from->change_case == HOLDFAST__V1__ADJUSTMENT__CHANGE_DELTA) {
        to->has_delta = true;
        to->delta = from->delta;
    } else if (from->change_case == HOLDFAST__V1__ADJUSTMENT__CHANGE_SET_TO) {
        to->has_set_to = true;
        to->set_to = from->set_to;
    }
    if (from->check_case == HOLDFAST__V1__ADJUSTMENT__CHECK_EXPECTED) {
        to->has_expected = true;
        to->expected = from->expected;
    }
    to->force = from->force != 0;
    return HF_OK;
}

static enum hf_status take_adjust(struct decoder *decoder, const Holdfast__V1__AdjustRequest *from,
                                  struct request *request)
{
    struct adjustment_message *rows = ROWS(decoder, from->n_adjustments, struct adjustment_message);
    if (!rows) {
        return refuse_memory(decoder);
    }
    for (size_t i = 0; i < from->n_adjustments; i++) {
        enum hf_status status = take_adjustment(decoder, from->adjustments[i], i, &rows[i]);
        if (status != HF_OK) {
            return status;
        }
    }
    request->adjust.count = (uint32_t)from->n_adjustments;
    request->adjust.adjustments = rows;
    return HF_OK;
}

static enum hf_status take_request_body(struct decoder *decoder, const Holdfast__V1__Request *from,
                                        struct request *request)
{
    switch (request->type) {
    case REQUEST_NONE:
    case REQUEST_STATUS:
        return HF_OK;
    case REQUEST_RESERVE:
        return take_reserve(decoder, from->reserve, request);
    case REQUEST_COMMIT:
        return take_edits(decoder, from->commit, request);
    case REQUEST_RELEASE:
        return take_edits(decoder, from->release, request);
    case REQUEST_RETURN:
        return take_edits(decoder, from->return_units, request);
    case REQUEST_EXTEND:
        request->extend.id = bytes_from(from->extend->id);
        request->extend.hold_ms = from->extend->hold_ms;
        return HF_OK;
    case REQUEST_RESERVE_BATCH:
        return take_reserve_batch(from->reserve_batch, request);
    case REQUEST_COMMIT_BATCH:
        return take_orders_batch(from->commit_batch, request);
    case REQUEST_RELEASE_BATCH:
        return take_orders_batch(from->release_batch, request);
    case REQUEST_GET_ORDER:
        request->get_order.id = bytes_from(from->get_order->id);
        return HF_OK;
    case REQUEST_GET_STOCK:
        return take_get_stock(decoder, from->get_stock, request);
    case REQUEST_LIST_STOCK:
        TAKE_TEXT(decoder, request->list_stock.after_sku, from->list_stock->after_sku,
                  "list_stock.after_sku");
        request->list_stock.limit = from->list_stock->limit;
        return HF_OK;
    case REQUEST_LIST_ORDERS:
        return take_list_orders(decoder, from->list_orders, request);
    case REQUEST_GET_SKUS:
        return take_codes(decoder, "get_skus.sku", from->get_skus->n_sku, from->get_skus->sku,
                          &request->get_skus.count, &request->get_skus.skus);
    case REQUEST_DEFINE:
        return take_define(decoder, from->define, request);
    case REQUEST_ADJUST:
        return take_adjust(decoder, from->adjust, request);
    }
    return refuse(decoder, NULL, "not a holdfast.v1.Request");
}

static enum hf_status take_request(struct decoder *decoder, struct bytes bytes,
                                   struct request *request)
{
    struct unpacking unpacking = {decoder->arena, false};
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &unpacking};
    const Holdfast__V1__Request *from =
        holdfast__v1__request__unpack(&allocator, bytes.len, bytes.data);
    if (!from) {
        return unpacking.exhausted ? refuse_memory(decoder)
                                   : refuse(decoder, NULL, "not a holdfast.v1.Request");
    }
    *request = (struct request){.timeout_ms = from->timeout_ms,
                                .type = (enum request_type)from->body_case};
    TAKE_TEXT(decoder, request->token, from->token, "token");
    return take_request_body(decoder, from, request);
}

enum hf_status codec_request_decode(struct arena *arena, struct bytes bytes,
                                    struct request *request, const char **error)
{
    CHECK(arena->cap_bytes - arena->used_bytes > ERROR_BYTES_MAX);
    struct decoder decoder = {arena, arena->cap_bytes, error};
    if (bytes.len > REQUEST_BYTES_MAX) {
        return refuse(&decoder, NULL, "message: %zu bytes, at most %" PRIu64, bytes.len,
                      (uint64_t)REQUEST_BYTES_MAX);
    }
    arena->cap_bytes -= ERROR_BYTES_MAX;
    enum hf_status status = take_request(&decoder, bytes, request);
    arena->cap_bytes = decoder.cap_bytes;
    return status;
}

/* ---- Decoding responses ---- */

static const struct grant_message *take_grants(struct decoder *decoder, size_t count,
                                               Holdfast__V1__Grant *const *from)
{
    struct grant_message *grants = ROWS(decoder, count, struct grant_message);
    for (size_t i = 0; grants && i < count; i++) {
        grants[i] = (struct grant_message){from[i]->line, from[i]->item, from[i]->qty,
                                           from[i]->presale_qty, from[i]->covered_qty};
    }
    return grants;
}

static enum hf_status take_orders(struct decoder *decoder, const Holdfast__V1__OrdersResponse *from,
                                  struct response *response)
{
    struct result_message *results = ROWS(decoder, from->n_results, struct result_message);
    if (!results) {
        return HF_INVALID;
    }
    for (size_t i = 0; i < from->n_results; i++) {
        const Holdfast__V1__OrderResult *result = from->results[i];
        results[i] = (struct result_message){
            .status = status_from((int)result->status),
            .replayed = result->replayed != 0,
            .blocking_line = result->blocking_line,
            .deadline_ms = result->deadline_ms,
            .state = (uint32_t)result->state,
            .grant_count = (uint32_t)result->n_grants,
        };
        if (result->n_grants > 0) {
            results[i].grants = take_grants(decoder, result->n_grants, result->grants);
            if (!results[i].grants) {
                return HF_INVALID;
            }
        }
    }
    response->orders.count = (uint32_t)from->n_results;
    response->orders.results = results;
    return HF_OK;
}

static enum hf_status take_order(struct decoder *decoder, const Holdfast__V1__OrderInfo *from,
                                 struct order_info_message *to)
{
    to->id = bytes_from(from->id);
    to->state = (uint32_t)from->state;
    to->buyer = from->buyer;
    to->deadline_ms = from->deadline_ms;
    to->lsn = from->lsn;
    to->grant_count = (uint32_t)from->n_grants;
    to->grants = take_grants(decoder, from->n_grants, from->grants);
    return to->grants ? HF_OK : HF_INVALID;
}

static enum hf_status take_order_list(struct decoder *decoder,
                                      const Holdfast__V1__ListOrdersResponse *from,
                                      struct response *response)
{
    struct order_info_message *orders = ROWS(decoder, from->n_orders, struct order_info_message);
    enum hf_status status = orders ? HF_OK : HF_INVALID;
    for (size_t i = 0; status == HF_OK && i < from->n_orders; i++) {
        status = take_order(decoder, from->orders[i], &orders[i]);
    }
    response->order_list.count = (uint32_t)from->n_orders;
    response->order_list.orders = orders;
    response->order_list.next = bytes_from(from->next);
    return status;
}

static enum hf_status take_sku_list(struct decoder *decoder, const Holdfast__V1__SkusResponse *from,
                                    struct response *response)
{
    struct sku_message *skus = ROWS(decoder, from->n_skus, struct sku_message);
    if (!skus) {
        return HF_INVALID;
    }
    response->skus.count = (uint32_t)from->n_skus;
    response->skus.skus = skus;
    return take_skus(decoder, "skus.skus", from->n_skus, from->skus, skus);
}

static enum hf_status take_stock_info(struct decoder *decoder, const Holdfast__V1__StockInfo *from,
                                      struct stock_message *to)
{
    TAKE_TEXT(decoder, to->sku, from->sku, "sku");
    TAKE_TEXT(decoder, to->pool, from->pool, "pool");
    to->item = from->item;
    to->stocked = from->stocked;
    to->held = from->held;
    to->sold = from->sold;
    to->available = from->available;
    to->safety = from->safety;
    to->presale_cap = from->presale_cap;
    return HF_OK;
}

static enum hf_status take_stock(struct decoder *decoder, const Holdfast__V1__StockResponse *from,
                                 struct response *response)
{
    struct stock_message *items = ROWS(decoder, from->n_items, struct stock_message);
    enum hf_status status = items ? HF_OK : HF_INVALID;
    for (size_t i = 0; status == HF_OK && i < from->n_items; i++) {
        status = take_stock_info(decoder, from->items[i], &items[i]);
    }
    response->stock.count = (uint32_t)from->n_items;
    response->stock.items = items;
    return status;
}

static enum hf_status take_adjust_results(struct decoder *decoder,
                                          const Holdfast__V1__AdjustResponse *from,
                                          struct response *response)
{
    struct adjust_result_message *results =
        ROWS(decoder, from->n_results, struct adjust_result_message);
    enum hf_status status = results ? HF_OK : HF_INVALID;
    for (size_t i = 0; status == HF_OK && i < from->n_results; i++) {
        const Holdfast__V1__AdjustResult *result = from->results[i];
        results[i].status = status_from((int)result->status);
        results[i].replayed = result->replayed != 0;
        results[i].has_stock = result->stock != NULL;
        if (result->stock) {
            status = take_stock_info(decoder, result->stock, &results[i].stock);
        }
        results[i].has_to_stock = result->to_stock != NULL;
        if (result->to_stock && status == HF_OK) {
            status = take_stock_info(decoder, result->to_stock, &results[i].to_stock);
        }
    }
    response->adjust.count = (uint32_t)from->n_results;
    response->adjust.results = results;
    return status;
}

static enum hf_status take_status_info(struct decoder *decoder,
                                       const Holdfast__V1__StatusResponse *from,
                                       struct response *response)
{
    TAKE_TEXT(decoder, response->status_info.version, from->version, "version");
    TAKE_TEXT(decoder, response->status_info.state, from->state, "state");
    TAKE_TEXT(decoder, response->status_info.wal_io, from->wal_io, "wal_io");
    response->status_info.commit_lsn = from->commit_lsn;
    response->status_info.uptime_ms = from->uptime_ms;
    response->status_info.items = from->items;
    response->status_info.orders_held = from->orders_held;
    response->status_info.orders_known = from->orders_known;
    response->status_info.buyers = from->buyers;
    return HF_OK;
}

static enum hf_status take_response_body(struct decoder *decoder,
                                         const Holdfast__V1__Response *from,
                                         struct response *response)
{
    switch (response->type) {
    case RESPONSE_NONE:
        return HF_OK;
    case RESPONSE_ORDERS:
        return take_orders(decoder, from->orders, response);
    case RESPONSE_BATCH:
        response->batch.ok_count = from->batch->ok_count;
        response->batch.status_count = (uint32_t)from->batch->n_status;
        response->batch.status = from->batch->status;
        response->batch.deadline_ms = from->batch->deadline_ms;
        return HF_OK;
    case RESPONSE_ORDER:
        return take_order(decoder, from->order, &response->order);
    case RESPONSE_STOCK:
        return take_stock(decoder, from->stock, response);
    case RESPONSE_ORDER_LIST:
        return take_order_list(decoder, from->order_list, response);
    case RESPONSE_SKUS:
        return take_sku_list(decoder, from->skus, response);
    case RESPONSE_DEFINE:
        response->define.count = (uint32_t)from->define->n_item;
        response->define.items = from->define->item;
        return HF_OK;
    case RESPONSE_ADJUST:
        return take_adjust_results(decoder, from->adjust, response);
    case RESPONSE_STATUS:
        return take_status_info(decoder, from->status_info, response);
    }
    return HF_INVALID;
}

enum hf_status codec_response_decode(struct arena *arena, struct bytes bytes,
                                     struct response *response)
{
    struct decoder decoder = {arena, arena->cap_bytes, NULL};
    struct unpacking unpacking = {arena, false};
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &unpacking};
    const Holdfast__V1__Response *from =
        holdfast__v1__response__unpack(&allocator, bytes.len, bytes.data);
    if (!from) {
        return HF_INVALID;
    }
    *response = (struct response){.status = status_from((int)from->status),
                                  .lsn = from->lsn,
                                  .retry_after_ms = from->retry_after_ms,
                                  .type = (enum response_type)from->body_case};
    TAKE_TEXT(&decoder, response->message, from->message, "message");
    return take_response_body(&decoder, from, response);
}

/* ---- Encoding, common ---- */

/* protobuf-c's structs are not const; packing only reads. */
static ProtobufCBinaryData binary_from(struct bytes bytes)
{
    return (ProtobufCBinaryData){bytes.len, (uint8_t *)(uintptr_t)bytes.data};
}

#define UNCONST(type, pointer) ((type *)(uintptr_t)(pointer))

/* An array of count pointers, each to a row of its own of size bytes; NULL: no memory. */
static void *pointers_to_rows(struct arena *arena, size_t count, size_t size)
{
    void **pointers = arena_alloc(arena, count * sizeof(void *));
    char *rows = arena_calloc(arena, count, size);
    if (!pointers || !rows) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        pointers[i] = rows + i * size;
    }
    return pointers;
}

static enum hf_status pack(struct arena *arena, const ProtobufCMessage *message, struct bytes *out)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *data = arena_alloc(arena, len);
    if (!data) {
        return HF_NO_MEMORY;
    }
    size_t packed = protobuf_c_message_pack(message, data);
    CHECK(packed == len);
    *out = (struct bytes){data, len};
    return HF_OK;
}

/* ---- Encoding requests ---- */

static Holdfast__V1__Line **put_lines(struct arena *arena, const struct order_message *order)
{
    Holdfast__V1__Line **lines =
        pointers_to_rows(arena, order->line_count, sizeof(Holdfast__V1__Line));
    for (uint32_t i = 0; lines && i < order->line_count; i++) {
        const struct line_message *line = &order->lines[i];
        holdfast__v1__line__init(lines[i]);
        lines[i]->item = line->item;
        lines[i]->sku = binary_from(line->sku);
        lines[i]->pool = binary_from(line->pool);
        lines[i]->qty = line->qty;
        lines[i]->policy = (Holdfast__V1__LinePolicy)line->policy;
        lines[i]->min_qty = line->min_qty;
        lines[i]->n_fallback = line->fallback_count;
        lines[i]->fallback = UNCONST(uint32_t, line->fallback);
        lines[i]->split = line->split;
    }
    return lines;
}

static enum hf_status put_reserve(struct arena *arena, const struct request *request,
                                  Holdfast__V1__Request *to)
{
    Holdfast__V1__ReserveRequest *body = arena_alloc(arena, sizeof *body);
    uint32_t count = request->reserve.count;
    Holdfast__V1__Order **orders = pointers_to_rows(arena, count, sizeof(Holdfast__V1__Order));
    if (!body || !orders) {
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct order_message *order = &request->reserve.orders[i];
        holdfast__v1__order__init(orders[i]);
        orders[i]->id = binary_from(order->id);
        orders[i]->buyer = order->buyer;
        orders[i]->hold_ms = order->hold_ms;
        orders[i]->n_lines = order->line_count;
        orders[i]->lines = put_lines(arena, order);
        if (!orders[i]->lines) {
            return HF_NO_MEMORY;
        }
    }
    holdfast__v1__reserve_request__init(body);
    body->n_orders = count;
    body->orders = orders;
    to->reserve = body;
    return HF_OK;
}

static Holdfast__V1__LineQty **put_line_qtys(struct arena *arena, const struct edit_message *edit)
{
    Holdfast__V1__LineQty **lines =
        pointers_to_rows(arena, edit->line_count, sizeof(Holdfast__V1__LineQty));
    for (uint32_t i = 0; lines && i < edit->line_count; i++) {
        holdfast__v1__line_qty__init(lines[i]);
        lines[i]->line = edit->lines[i].line;
        lines[i]->qty = edit->lines[i].qty;
    }
    return lines;
}

static enum hf_status put_edits(struct arena *arena, const struct request *request,
                                Holdfast__V1__Request *to)
{
    Holdfast__V1__OrdersRequest *body = arena_alloc(arena, sizeof *body);
    uint32_t count = request->edit.count;
    Holdfast__V1__OrderEdit **edits =
        pointers_to_rows(arena, count, sizeof(Holdfast__V1__OrderEdit));
    if (!body || !edits) {
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct edit_message *edit = &request->edit.edits[i];
        holdfast__v1__order_edit__init(edits[i]);
        edits[i]->id = binary_from(edit->id);
        edits[i]->late_ok = edit->late_ok;
        edits[i]->n_lines = edit->line_count;
        edits[i]->lines = edit->line_count ? put_line_qtys(arena, edit) : NULL;
        if (edit->line_count && !edits[i]->lines) {
            return HF_NO_MEMORY;
        }
    }
    holdfast__v1__orders_request__init(body);
    body->n_orders = count;
    body->orders = edits;
    to->commit = body; /* the oneof's members of this type share their place */
    return HF_OK;
}

static enum hf_status put_reserve_batch(struct arena *arena, const struct batch_message *batch,
                                        Holdfast__V1__Request *to)
{
    Holdfast__V1__ReserveBatch *body = arena_alloc(arena, sizeof *body);
    if (!body) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__reserve_batch__init(body);
    body->n_id_hi = batch->id_hi_count;
    body->id_hi = UNCONST(uint64_t, batch->id_hi);
    body->n_id_lo = batch->id_lo_count;
    body->id_lo = UNCONST(uint64_t, batch->id_lo);
    body->n_buyer = batch->buyer_count;
    body->buyer = UNCONST(uint64_t, batch->buyer);
    body->n_item = batch->item_count;
    body->item = UNCONST(uint32_t, batch->item);
    body->n_qty = batch->qty_count;
    body->qty = UNCONST(uint32_t, batch->qty);
    body->n_line_count = batch->line_count_count;
    body->line_count = UNCONST(uint32_t, batch->line_count);
    body->hold_ms = batch->hold_ms;
    to->reserve_batch = body;
    return HF_OK;
}

static enum hf_status put_orders_batch(struct arena *arena, const struct batch_message *batch,
                                       Holdfast__V1__Request *to)
{
    Holdfast__V1__OrdersBatch *body = arena_alloc(arena, sizeof *body);
    if (!body) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__orders_batch__init(body);
    body->n_id_hi = batch->id_hi_count;
    body->id_hi = UNCONST(uint64_t, batch->id_hi);
    body->n_id_lo = batch->id_lo_count;
    body->id_lo = UNCONST(uint64_t, batch->id_lo);
    body->late_ok = batch->late_ok;
    to->commit_batch = body;
    return HF_OK;
}

static enum hf_status put_extend(struct arena *arena, const struct request *request,
                                 Holdfast__V1__Request *to)
{
    Holdfast__V1__ExtendRequest *body = arena_alloc(arena, sizeof *body);
    if (!body) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__extend_request__init(body);
    body->id = binary_from(request->extend.id);
    body->hold_ms = request->extend.hold_ms;
    to->extend = body;
    return HF_OK;
}

static enum hf_status put_get_order(struct arena *arena, const struct request *request,
                                    Holdfast__V1__Request *to)
{
    Holdfast__V1__GetOrderRequest *body = arena_alloc(arena, sizeof *body);
    if (!body) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__get_order_request__init(body);
    body->id = binary_from(request->get_order.id);
    to->get_order = body;
    return HF_OK;
}

/* NULL: no memory. */
static ProtobufCBinaryData *put_codes(struct arena *arena, uint32_t count, const struct bytes *from)
{
    ProtobufCBinaryData *codes = arena_calloc(arena, count, sizeof *codes);
    for (uint32_t i = 0; codes && i < count; i++) {
        codes[i] = binary_from(from[i]);
    }
    return codes;
}

static enum hf_status put_get_stock(struct arena *arena, const struct request *request,
                                    Holdfast__V1__Request *to)
{
    Holdfast__V1__GetStockRequest *body = arena_alloc(arena, sizeof *body);
    uint32_t count = request->get_stock.sku_count;
    ProtobufCBinaryData *skus = put_codes(arena, count, request->get_stock.skus);
    if (!body || !skus) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__get_stock_request__init(body);
    body->n_item = request->get_stock.item_count;
    body->item = UNCONST(uint32_t, request->get_stock.items);
    body->n_sku = count;
    body->sku = skus;
    to->get_stock = body;
    return HF_OK;
}

static enum hf_status put_list_stock(struct arena *arena, const struct request *request,
                                     Holdfast__V1__Request *to)
{
    Holdfast__V1__ListStockRequest *body = arena_alloc(arena, sizeof *body);
    if (!body) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__list_stock_request__init(body);
    body->after_sku = binary_from(request->list_stock.after_sku);
    body->limit = request->list_stock.limit;
    to->list_stock = body;
    return HF_OK;
}

static enum hf_status put_list_orders(struct arena *arena, const struct request *request,
                                      Holdfast__V1__Request *to)
{
    Holdfast__V1__ListOrdersRequest *body = arena_alloc(arena, sizeof *body);
    uint32_t count = request->list_orders.state_count;
    Holdfast__V1__OrderState *states = arena_calloc(arena, count, sizeof *states);
    if (!body || !states) {
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        states[i] = (Holdfast__V1__OrderState)request->list_orders.states[i];
    }
    holdfast__v1__list_orders_request__init(body);
    body->buyer = request->list_orders.buyer;
    body->sku = binary_from(request->list_orders.sku);
    body->pool = binary_from(request->list_orders.pool);
    body->n_state = count;
    body->state = states;
    body->after = binary_from(request->list_orders.after);
    body->limit = request->list_orders.limit;
    to->list_orders = body;
    return HF_OK;
}

static enum hf_status put_get_skus(struct arena *arena, const struct request *request,
                                   Holdfast__V1__Request *to)
{
    Holdfast__V1__GetSkusRequest *body = arena_alloc(arena, sizeof *body);
    uint32_t count = request->get_skus.count;
    ProtobufCBinaryData *skus = put_codes(arena, count, request->get_skus.skus);
    if (!body || !skus) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__get_skus_request__init(body);
    body->n_sku = count;
    body->sku = skus;
    to->get_skus = body;
    return HF_OK;
}

static void put_sku(const struct sku_message *from, Holdfast__V1__SkuRule *to)
{
    holdfast__v1__sku_rule__init(to);
    to->sku = binary_from(from->sku);
    to->label = binary_from(from->label);
    to->limit_per_buyer = from->limit_per_buyer;
    to->opens_at_ms = from->opens_at_ms;
    to->closes_at_ms = from->closes_at_ms;
    to->paused = from->paused;
    to->hold_ms = from->hold_ms;
    to->hold_ms_max = from->hold_ms_max;
    to->fields = from->fields;
}

/* An array of rules; NULL: no memory. */
static Holdfast__V1__SkuRule **put_skus(struct arena *arena, uint32_t count,
                                        const struct sku_message *from)
{
    Holdfast__V1__SkuRule **skus = pointers_to_rows(arena, count, sizeof(Holdfast__V1__SkuRule));
    for (uint32_t i = 0; skus && i < count; i++) {
        put_sku(&from[i], skus[i]);
    }
    return skus;
}

static void put_item(const struct item_message *from, Holdfast__V1__ItemDef *to)
{
    holdfast__v1__item_def__init(to);
    to->sku = binary_from(from->sku);
    to->pool = binary_from(from->pool);
    to->safety = from->safety;
    to->presale_cap = from->presale_cap;
    to->hot = from->hot;
}

static enum hf_status put_define(struct arena *arena, const struct request *request,
                                 Holdfast__V1__Request *to)
{
    Holdfast__V1__DefineRequest *body = arena_alloc(arena, sizeof *body);
    uint32_t sku_count = request->define.sku_count;
    uint32_t item_count = request->define.item_count;
    Holdfast__V1__SkuRule **skus = put_skus(arena, sku_count, request->define.skus);
    Holdfast__V1__ItemDef **items =
        pointers_to_rows(arena, item_count, sizeof(Holdfast__V1__ItemDef));
    if (!body || !skus || !items) {
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < item_count; i++) {
        put_item(&request->define.items[i], items[i]);
    }
    holdfast__v1__define_request__init(body);
    body->n_skus = sku_count;
    body->skus = skus;
    body->n_items = item_count;
    body->items = items;
    to->define = body;
    return HF_OK;
}

static void put_adjustment(const struct adjustment_message *from, Holdfast__V1__Adjustment *to)
{
    holdfast__v1__adjustment__init(to);
    to->id = binary_from(from->id);
    to->item = from->item;
    to->sku = binary_from(from->sku);
    to->pool = binary_from(from->pool);
    to->reason = binary_from(from->reason);
    to->reference = binary_from(from->reference);
    to->to_item = from->to_item;
    to->to_pool = binary_from(from->to_pool);
    to->force = from->force;
    if (from->has_delta) {
        to->change_case = HOLDFAST__V1__ADJUSTMENT__CHANGE_DELTA;
        to->delta = from->delta;
    } else if (from->has_set_to) {
        to->change_case = HOLDFAST__V1__ADJUSTMENT__CHANGE_SET_TO;
        to->set_to = from->set_to;
    }
    if (from->has_expected) {
        to->check_case = HOLDFAST__V1__ADJUSTMENT__CHECK_EXPECTED;
        to->expected = from->expected;
    }
}

static enum hf_status put_adjust(struct arena *arena, const struct request *request,
                                 Holdfast__V1__Request *to)
{
    Holdfast__V1__AdjustRequest *body = arena_alloc(arena, sizeof *body);
    uint32_t count = request->adjust.count;
    Holdfast__V1__Adjustment **rows =
        pointers_to_rows(arena, count, sizeof(Holdfast__V1__Adjustment));
    if (!body || !rows) {
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        put_adjustment(&request->adjust.adjustments[i], rows[i]);
    }
    holdfast__v1__adjust_request__init(body);
    body->n_adjustments = count;
    body->adjustments = rows;
    to->adjust = body;
    return HF_OK;
}

static enum hf_status put_status(struct arena *arena, Holdfast__V1__Request *to)
{
    Holdfast__V1__StatusRequest *body = arena_alloc(arena, sizeof *body);
    if (!body) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__status_request__init(body);
    to->status = body;
    return HF_OK;
}

static enum hf_status put_request_body(struct arena *arena, const struct request *request,
                                       Holdfast__V1__Request *to)
{
    switch (request->type) {
    case REQUEST_NONE:
        return HF_OK;
    case REQUEST_RESERVE:
        return put_reserve(arena, request, to);
    case REQUEST_COMMIT:
    case REQUEST_RELEASE:
    case REQUEST_RETURN:
        return put_edits(arena, request, to);
    case REQUEST_EXTEND:
        return put_extend(arena, request, to);
    case REQUEST_RESERVE_BATCH:
        return put_reserve_batch(arena, &request->batch, to);
    case REQUEST_COMMIT_BATCH:
    case REQUEST_RELEASE_BATCH:
        return put_orders_batch(arena, &request->batch, to);
    case REQUEST_GET_ORDER:
        return put_get_order(arena, request, to);
    case REQUEST_GET_STOCK:
        return put_get_stock(arena, request, to);
    case REQUEST_LIST_STOCK:
        return put_list_stock(arena, request, to);
    case REQUEST_LIST_ORDERS:
        return put_list_orders(arena, request, to);
    case REQUEST_GET_SKUS:
        return put_get_skus(arena, request, to);
    case REQUEST_DEFINE:
        return put_define(arena, request, to);
    case REQUEST_ADJUST:
        return put_adjust(arena, request, to);
    case REQUEST_STATUS:
        return put_status(arena, to);
    }
    CHECK(request->type == REQUEST_NONE); /* no known type */
    return HF_INVALID;
}

enum hf_status codec_request_encode(struct arena *arena, const struct request *request,
                                    struct bytes *out)
{
    Holdfast__V1__Request message = HOLDFAST__V1__REQUEST__INIT;
    message.token = binary_from(request->token);
    message.timeout_ms = request->timeout_ms;
    message.body_case = (Holdfast__V1__Request__BodyCase)request->type;
    enum hf_status status = put_request_body(arena, request, &message);
    return status == HF_OK ? pack(arena, &message.base, out) : status;
}

/* ---- Encoding responses ---- */

static Holdfast__V1__Grant **put_grants(struct arena *arena, uint32_t count,
                                        const struct grant_message *from)
{
    Holdfast__V1__Grant **grants = pointers_to_rows(arena, count, sizeof(Holdfast__V1__Grant));
    for (uint32_t i = 0; grants && i < count; i++) {
        holdfast__v1__grant__init(grants[i]);
        grants[i]->line = from[i].line;
        grants[i]->item = from[i].item;
        grants[i]->qty = from[i].qty;
        grants[i]->presale_qty = from[i].presale_qty;
        grants[i]->covered_qty = from[i].covered_qty;
    }
    return grants;
}

static enum hf_status put_orders(struct arena *arena, const struct response *response,
                                 Holdfast__V1__Response *to)
{
    Holdfast__V1__OrdersResponse *body = arena_alloc(arena, sizeof *body);
    uint32_t count = response->orders.count;
    Holdfast__V1__OrderResult **results =
        pointers_to_rows(arena, count, sizeof(Holdfast__V1__OrderResult));
    if (!body || !results) {
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct result_message *result = &response->orders.results[i];
        holdfast__v1__order_result__init(results[i]);
        results[i]->status = (Holdfast__V1__Status)result->status;
        results[i]->replayed = result->replayed;
        results[i]->blocking_line = result->blocking_line;
        results[i]->deadline_ms = result->deadline_ms;
        results[i]->state = (Holdfast__V1__OrderState)result->state;
        results[i]->n_grants = result->grant_count;
        if (result->grant_count) {
            results[i]->grants = put_grants(arena, result->grant_count, result->grants);
            if (!results[i]->grants) {
                return HF_NO_MEMORY;
            }
        }
    }
    holdfast__v1__orders_response__init(body);
    body->n_results = count;
    body->results = results;
    to->orders = body;
    return HF_OK;
}

static enum hf_status put_batch(struct arena *arena, const struct response *response,
                                Holdfast__V1__Response *to)
{
    Holdfast__V1__BatchResponse *body = arena_alloc(arena, sizeof *body);
    if (!body) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__batch_response__init(body);
    body->ok_count = response->batch.ok_count;
    body->n_status = response->batch.status_count;
    body->status = UNCONST(uint32_t, response->batch.status);
    body->deadline_ms = response->batch.deadline_ms;
    to->batch = body;
    return HF_OK;
}

static enum hf_status put_order_info(struct arena *arena, const struct order_info_message *from,
                                     Holdfast__V1__OrderInfo *to)
{
    holdfast__v1__order_info__init(to);
    to->id = binary_from(from->id);
    to->state = (Holdfast__V1__OrderState)from->state;
    to->buyer = from->buyer;
    to->deadline_ms = from->deadline_ms;
    to->n_grants = from->grant_count;
    to->grants = put_grants(arena, from->grant_count, from->grants);
    to->lsn = from->lsn;
    return to->grants ? HF_OK : HF_NO_MEMORY;
}

static enum hf_status put_order(struct arena *arena, const struct response *response,
                                Holdfast__V1__Response *to)
{
    to->order = arena_alloc(arena, sizeof *to->order);
    return to->order ? put_order_info(arena, &response->order, to->order) : HF_NO_MEMORY;
}

static enum hf_status put_order_list(struct arena *arena, const struct response *response,
                                     Holdfast__V1__Response *to)
{
    Holdfast__V1__ListOrdersResponse *body = arena_alloc(arena, sizeof *body);
    uint32_t count = response->order_list.count;
    Holdfast__V1__OrderInfo **orders =
        pointers_to_rows(arena, count, sizeof(Holdfast__V1__OrderInfo));
    if (!body || !orders) {
        return HF_NO_MEMORY;
    }
    enum hf_status status = HF_OK;
    for (uint32_t i = 0; status == HF_OK && i < count; i++) {
        status = put_order_info(arena, &response->order_list.orders[i], orders[i]);
    }
    holdfast__v1__list_orders_response__init(body);
    body->n_orders = count;
    body->orders = orders;
    body->next = binary_from(response->order_list.next);
    to->order_list = body;
    return status;
}

static enum hf_status put_sku_list(struct arena *arena, const struct response *response,
                                   Holdfast__V1__Response *to)
{
    Holdfast__V1__SkusResponse *body = arena_alloc(arena, sizeof *body);
    uint32_t count = response->skus.count;
    Holdfast__V1__SkuRule **skus = put_skus(arena, count, response->skus.skus);
    if (!body || !skus) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__skus_response__init(body);
    body->n_skus = count;
    body->skus = skus;
    to->skus = body;
    return HF_OK;
}

static void put_stock_info(const struct stock_message *from, Holdfast__V1__StockInfo *to)
{
    holdfast__v1__stock_info__init(to);
    to->item = from->item;
    to->sku = binary_from(from->sku);
    to->pool = binary_from(from->pool);
    to->stocked = from->stocked;
    to->held = from->held;
    to->sold = from->sold;
    to->available = from->available;
    to->safety = from->safety;
    to->presale_cap = from->presale_cap;
}

static enum hf_status put_stock(struct arena *arena, const struct response *response,
                                Holdfast__V1__Response *to)
{
    Holdfast__V1__StockResponse *body = arena_alloc(arena, sizeof *body);
    uint32_t count = response->stock.count;
    Holdfast__V1__StockInfo **items =
        pointers_to_rows(arena, count, sizeof(Holdfast__V1__StockInfo));
    if (!body || !items) {
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        put_stock_info(&response->stock.items[i], items[i]);
    }
    holdfast__v1__stock_response__init(body);
    body->n_items = count;
    body->items = items;
    to->stock = body;
    return HF_OK;
}

static enum hf_status put_defined(struct arena *arena, const struct response *response,
                                  Holdfast__V1__Response *to)
{
    Holdfast__V1__DefineResponse *body = arena_alloc(arena, sizeof *body);
    if (!body) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__define_response__init(body);
    body->n_item = response->define.count;
    body->item = UNCONST(uint32_t, response->define.items);
    to->define = body;
    return HF_OK;
}

static enum hf_status put_adjust_results(struct arena *arena, const struct response *response,
                                         Holdfast__V1__Response *to)
{
    Holdfast__V1__AdjustResponse *body = arena_alloc(arena, sizeof *body);
    uint32_t count = response->adjust.count;
    Holdfast__V1__AdjustResult **results =
        pointers_to_rows(arena, count, sizeof(Holdfast__V1__AdjustResult));
    Holdfast__V1__StockInfo **stock =
        pointers_to_rows(arena, 2 * (size_t)count, sizeof(Holdfast__V1__StockInfo));
    if (!body || !results || !stock) {
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct adjust_result_message *result = &response->adjust.results[i];
        holdfast__v1__adjust_result__init(results[i]);
        results[i]->status = (Holdfast__V1__Status)result->status;
        results[i]->replayed = result->replayed;
        if (result->has_stock) {
            put_stock_info(&result->stock, stock[2 * i]);
            results[i]->stock = stock[2 * i];
        }
        if (result->has_to_stock) {
            put_stock_info(&result->to_stock, stock[2 * i + 1]);
            results[i]->to_stock = stock[2 * i + 1];
        }
    }
    holdfast__v1__adjust_response__init(body);
    body->n_results = count;
    body->results = results;
    to->adjust = body;
    return HF_OK;
}

static enum hf_status put_status_info(struct arena *arena, const struct response *response,
                                      Holdfast__V1__Response *to)
{
    Holdfast__V1__StatusResponse *body = arena_alloc(arena, sizeof *body);
    if (!body) {
        return HF_NO_MEMORY;
    }
    holdfast__v1__status_response__init(body);
    body->version = binary_from(response->status_info.version);
    body->state = binary_from(response->status_info.state);
    body->wal_io = binary_from(response->status_info.wal_io);
    body->commit_lsn = response->status_info.commit_lsn;
    body->uptime_ms = response->status_info.uptime_ms;
    body->items = response->status_info.items;
    body->orders_held = response->status_info.orders_held;
    body->orders_known = response->status_info.orders_known;
    body->buyers = response->status_info.buyers;
    to->status_info = body;
    return HF_OK;
}

static enum hf_status put_response_body(struct arena *arena, const struct response *response,
                                        Holdfast__V1__Response *to)
{
    switch (response->type) {
    case RESPONSE_NONE:
        return HF_OK;
    case RESPONSE_ORDERS:
        return put_orders(arena, response, to);
    case RESPONSE_BATCH:
        return put_batch(arena, response, to);
    case RESPONSE_ORDER:
        return put_order(arena, response, to);
    case RESPONSE_STOCK:
        return put_stock(arena, response, to);
    case RESPONSE_ORDER_LIST:
        return put_order_list(arena, response, to);
    case RESPONSE_SKUS:
        return put_sku_list(arena, response, to);
    case RESPONSE_DEFINE:
        return put_defined(arena, response, to);
    case RESPONSE_ADJUST:
        return put_adjust_results(arena, response, to);
    case RESPONSE_STATUS:
        return put_status_info(arena, response, to);
    }
    CHECK(response->type == RESPONSE_NONE); /* no known type */
    return HF_INVALID;
}

enum hf_status codec_response_encode(struct arena *arena, const struct response *response,
                                     struct bytes *out)
{
    CHECK((int)response->status < HF_STATUS_LOCAL);
    Holdfast__V1__Response message = HOLDFAST__V1__RESPONSE__INIT;
    message.status = (Holdfast__V1__Status)response->status;
    message.message = binary_from(response->message);
    message.lsn = response->lsn;
    message.retry_after_ms = response->retry_after_ms;
    message.body_case = (Holdfast__V1__Response__BodyCase)response->type;
    enum hf_status status = put_response_body(arena, response, &message);
    return status == HF_OK ? pack(arena, &message.base, out) : status;
}

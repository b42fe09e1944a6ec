/* codec_layout.c - the tables of codec_layout.h, one for each message of proto/holdfast.proto.
 *
 * A field of a table has the same type on both sides, or a type that its kind converts; otherwise
 * the table does not compile. How to add a field: see codec.c.
 *
 * Threads: any. */
#include "wire/codec_layout.h"

#include <assert.h>
#include <stdbool.h>

#include "holdfast.pb-c.h"
#include "wire/message.h"

/* ---- The macros that make up a table ---- */

/* 0; does not compile unless the condition holds. */
#define MUST(condition)                                                                            \
    (0 * sizeof(struct {                                                                           \
         int unused;                                                                               \
         static_assert(condition, #condition);                                                     \
     }))
#define MEMBER(type, name) (((type *)0)->name)
#define IS(member_type, type, name)                                                                \
    __builtin_types_compatible_p(__typeof__(MEMBER(type, name)), member_type)

/* at: the message; name: the field's name on both sides. */
#define FIELD(kind_, at, name_, condition)                                                         \
    {                                                                                              \
        .name = #name_, .kind = (kind_), .wire = offsetof(at##_wire, name_) + MUST(condition),     \
        .here = offsetof(at##_here, name_)                                                         \
    }
#define NUMBER(at, name)                                                                           \
    FIELD(sizeof MEMBER(at##_here, name) == 8 ? FIELD_U64 : FIELD_U32, at, name,                   \
          sizeof MEMBER(at##_here, name) == sizeof MEMBER(at##_wire, name) &&                      \
              !IS(bool, at##_here, name))
#define FLAG(at, name)                                                                             \
    FIELD(FIELD_BOOL, at, name,                                                                    \
          IS(bool, at##_here, name) && IS(protobuf_c_boolean, at##_wire, name))
#define STATUS(at, name)                                                                           \
    FIELD(FIELD_STATUS, at, name,                                                                  \
          IS(enum hf_status, at##_here, name) && IS(Holdfast__V1__Status, at##_wire, name))
#define ARE_BYTES(at, name)                                                                        \
    (IS(struct bytes, at##_here, name) && IS(ProtobufCBinaryData, at##_wire, name))
#define BYTES(at, name) FIELD(FIELD_BYTES, at, name, ARE_BYTES(at, name))
#define TEXT(at, name)  FIELD(FIELD_TEXT, at, name, ARE_BYTES(at, name))

/* to, count: the names of a repeated field's pointer and count in message.h's struct. */
#define REPEATED(kind_, at, name_, to, count, inner_, condition)                                   \
    {                                                                                              \
        .name = #name_, .kind = (kind_), .wire = offsetof(at##_wire, name_) + MUST(condition),     \
        .wire_more = offsetof(at##_wire, n_##name_), .here = offsetof(at##_here, to),              \
        .here_more = offsetof(at##_here, count) + MUST(IS(uint32_t, at##_here, count)),            \
        .inner = (inner_)                                                                          \
    }
#define COLUMN(at, name, to, count)                                                                \
    REPEATED(FIELD_COLUMN, at, name, to, count, NULL,                                              \
             sizeof *MEMBER(at##_here, to) == sizeof *MEMBER(at##_wire, name))
#define TEXTS(at, name, to, count)                                                                 \
    REPEATED(FIELD_TEXTS, at, name, to, count, NULL,                                               \
             IS(const struct bytes *, at##_here, to) &&                                            \
                 IS(ProtobufCBinaryData *, at##_wire, name))
#define ROWS(at, name, to, count, inner)                                                           \
    REPEATED(FIELD_ROWS, at, name, to, count, &inner##_layout,                                     \
             IS(const inner##_here *, at##_here, to) && IS(inner##_wire **, at##_wire, name))
#define CHOICE(at, name_, oneof, number)                                                           \
    {                                                                                              \
        .name = #name_, .kind = FIELD_CHOICE,                                                      \
        .wire = offsetof(at##_wire, name_) + MUST(IS(int64_t, at##_wire, name_)),                  \
        .wire_more = offsetof(at##_wire, oneof##_case),                                            \
        .here = offsetof(at##_here, name_) + MUST(IS(int64_t, at##_here, name_)),                  \
        .here_more = offsetof(at##_here, has_##name_), .choice = (number)                          \
    }
#define PART(at, name_, inner_)                                                                    \
    {                                                                                              \
        .name = #name_, .kind = FIELD_PART,                                                        \
        .wire = offsetof(at##_wire, name_) + MUST(IS(inner_##_wire *, at##_wire, name_)),          \
        .here = offsetof(at##_here, name_) + MUST(IS(inner_##_here, at##_here, name_)),            \
        .here_more = offsetof(at##_here, has_##name_), .inner = &inner_##_layout                   \
    }

#define LAYOUT(at, here, wire_, ...)                                                               \
    typedef here at##_here;                                                                        \
    typedef Holdfast__V1__##wire_ at##_wire;                                                       \
    static const struct field at##_fields[] = {__VA_ARGS__};                                       \
    static const struct layout at##_layout = {                                                     \
        &holdfast__v1__##at##__descriptor, sizeof(at##_here),                                      \
        sizeof at##_fields / sizeof at##_fields[0], at##_fields}

/* Bodies are members of the union of struct request, and of struct response. */
#define REQUEST_BODY(name)  __typeof__(MEMBER(struct request, name))
#define RESPONSE_BODY(name) __typeof__(MEMBER(struct response, name))

/* ---- Rows ---- */

LAYOUT(line, struct line_message, Line, NUMBER(line, item), TEXT(line, sku), TEXT(line, pool),
       NUMBER(line, qty), NUMBER(line, policy), NUMBER(line, min_qty),
       COLUMN(line, fallback, fallback, fallback_count), FLAG(line, split));

LAYOUT(order, struct order_message, Order, BYTES(order, id), NUMBER(order, buyer),
       NUMBER(order, hold_ms), ROWS(order, lines, lines, line_count, line));

LAYOUT(line_qty, struct line_qty_message, LineQty, NUMBER(line_qty, line), NUMBER(line_qty, qty));

LAYOUT(order_edit, struct edit_message, OrderEdit, BYTES(order_edit, id), FLAG(order_edit, late_ok),
       ROWS(order_edit, lines, lines, line_count, line_qty));

LAYOUT(sku_rule, struct sku_message, SkuRule, TEXT(sku_rule, sku), TEXT(sku_rule, label),
       NUMBER(sku_rule, limit_per_buyer), NUMBER(sku_rule, opens_at_ms),
       NUMBER(sku_rule, closes_at_ms), FLAG(sku_rule, paused), NUMBER(sku_rule, hold_ms),
       NUMBER(sku_rule, hold_ms_max), NUMBER(sku_rule, fields));

LAYOUT(item_def, struct item_message, ItemDef, TEXT(item_def, sku), TEXT(item_def, pool),
       NUMBER(item_def, safety), NUMBER(item_def, presale_cap), FLAG(item_def, hot),
       NUMBER(item_def, fields));

LAYOUT(adjustment, struct adjustment_message, Adjustment, BYTES(adjustment, id),
       NUMBER(adjustment, item), TEXT(adjustment, sku), TEXT(adjustment, pool),
       TEXT(adjustment, reason), TEXT(adjustment, reference), TEXT(adjustment, to_pool),
       NUMBER(adjustment, to_item),
       CHOICE(adjustment, set_to, change, HOLDFAST__V1__ADJUSTMENT__CHANGE_SET_TO),
       CHOICE(adjustment, delta, change, HOLDFAST__V1__ADJUSTMENT__CHANGE_DELTA),
       CHOICE(adjustment, expected, check, HOLDFAST__V1__ADJUSTMENT__CHECK_EXPECTED),
       FLAG(adjustment, force));

LAYOUT(grant, struct grant_message, Grant, NUMBER(grant, line), NUMBER(grant, item),
       NUMBER(grant, qty), NUMBER(grant, presale_qty), NUMBER(grant, covered_qty));

LAYOUT(order_result, struct result_message, OrderResult, STATUS(order_result, status),
       FLAG(order_result, replayed), NUMBER(order_result, blocking_line),
       NUMBER(order_result, deadline_ms), NUMBER(order_result, state),
       ROWS(order_result, grants, grants, grant_count, grant));

LAYOUT(order_info, struct order_info_message, OrderInfo, BYTES(order_info, id),
       NUMBER(order_info, state), NUMBER(order_info, buyer), NUMBER(order_info, deadline_ms),
       ROWS(order_info, grants, grants, grant_count, grant), NUMBER(order_info, lsn));

LAYOUT(stock_info, struct stock_message, StockInfo, NUMBER(stock_info, item), TEXT(stock_info, sku),
       TEXT(stock_info, pool), NUMBER(stock_info, stocked), NUMBER(stock_info, held),
       NUMBER(stock_info, sold), NUMBER(stock_info, available), NUMBER(stock_info, safety),
       NUMBER(stock_info, presale_cap));

LAYOUT(adjust_result, struct adjust_result_message, AdjustResult, STATUS(adjust_result, status),
       FLAG(adjust_result, replayed), PART(adjust_result, stock, stock_info),
       PART(adjust_result, to_stock, stock_info), NUMBER(adjust_result, delta));

LAYOUT(slow_answer, struct slow_answer_message, SlowAnswer, NUMBER(slow_answer, at_ms),
       TEXT(slow_answer, request), STATUS(slow_answer, status), NUMBER(slow_answer, orders),
       NUMBER(slow_answer, lines), NUMBER(slow_answer, request_bytes),
       NUMBER(slow_answer, answer_bytes), NUMBER(slow_answer, lsn), NUMBER(slow_answer, queue_ns),
       NUMBER(slow_answer, decide_ns), NUMBER(slow_answer, append_ns), NUMBER(slow_answer, sync_ns),
       NUMBER(slow_answer, reply_ns));

/* ---- Bodies of requests ---- */

LAYOUT(reserve_request, REQUEST_BODY(reserve), ReserveRequest,
       ROWS(reserve_request, orders, orders, count, order));

LAYOUT(orders_request, REQUEST_BODY(edit), OrdersRequest,
       ROWS(orders_request, orders, edits, count, order_edit));

LAYOUT(extend_request, REQUEST_BODY(extend), ExtendRequest, BYTES(extend_request, id),
       NUMBER(extend_request, hold_ms));

LAYOUT(reserve_batch, struct batch_message, ReserveBatch,
       COLUMN(reserve_batch, id_hi, id_hi, id_hi_count),
       COLUMN(reserve_batch, id_lo, id_lo, id_lo_count),
       COLUMN(reserve_batch, buyer, buyer, buyer_count),
       COLUMN(reserve_batch, item, item, item_count), COLUMN(reserve_batch, qty, qty, qty_count),
       COLUMN(reserve_batch, line_count, line_count, line_count_count),
       NUMBER(reserve_batch, hold_ms));

LAYOUT(orders_batch, struct batch_message, OrdersBatch,
       COLUMN(orders_batch, id_hi, id_hi, id_hi_count),
       COLUMN(orders_batch, id_lo, id_lo, id_lo_count), FLAG(orders_batch, late_ok));

LAYOUT(get_order_request, REQUEST_BODY(get_order), GetOrderRequest, BYTES(get_order_request, id));

LAYOUT(get_stock_request, REQUEST_BODY(get_stock), GetStockRequest,
       COLUMN(get_stock_request, item, items, item_count),
       TEXTS(get_stock_request, sku, skus, sku_count));

LAYOUT(list_stock_request, REQUEST_BODY(list_stock), ListStockRequest,
       TEXT(list_stock_request, after_sku), NUMBER(list_stock_request, limit));

LAYOUT(list_orders_request, REQUEST_BODY(list_orders), ListOrdersRequest,
       NUMBER(list_orders_request, buyer), TEXT(list_orders_request, sku),
       TEXT(list_orders_request, pool), COLUMN(list_orders_request, state, states, state_count),
       BYTES(list_orders_request, after), NUMBER(list_orders_request, limit));

LAYOUT(get_skus_request, REQUEST_BODY(get_skus), GetSkusRequest,
       TEXTS(get_skus_request, sku, skus, count));

LAYOUT(define_request, struct define_message, DefineRequest,
       ROWS(define_request, skus, skus, sku_count, sku_rule),
       ROWS(define_request, items, items, item_count, item_def), FLAG(define_request, dry_run),
       NUMBER(define_request, skus_before), NUMBER(define_request, items_before));

LAYOUT(adjust_request, REQUEST_BODY(adjust), AdjustRequest,
       ROWS(adjust_request, adjustments, adjustments, count, adjustment),
       FLAG(adjust_request, dry_run), PART(adjust_request, after, define_request));

LAYOUT(status_request, REQUEST_BODY(status), StatusRequest, FLAG(status_request, slowest));

/* ---- Bodies of responses ---- */

LAYOUT(orders_response, RESPONSE_BODY(orders), OrdersResponse,
       ROWS(orders_response, results, results, count, order_result));

LAYOUT(batch_response, RESPONSE_BODY(batch), BatchResponse, NUMBER(batch_response, ok_count),
       COLUMN(batch_response, status, status, status_count), NUMBER(batch_response, deadline_ms));

LAYOUT(list_orders_response, RESPONSE_BODY(order_list), ListOrdersResponse,
       ROWS(list_orders_response, orders, orders, count, order_info),
       BYTES(list_orders_response, next));

LAYOUT(skus_response, RESPONSE_BODY(skus), SkusResponse,
       ROWS(skus_response, skus, skus, count, sku_rule));

LAYOUT(stock_response, RESPONSE_BODY(stock), StockResponse,
       ROWS(stock_response, items, items, count, stock_info));

LAYOUT(define_response, struct defined_message, DefineResponse,
       COLUMN(define_response, item, items, count), NUMBER(define_response, skus_made),
       NUMBER(define_response, skus_changed), NUMBER(define_response, items_made),
       NUMBER(define_response, items_changed));

LAYOUT(adjust_response, RESPONSE_BODY(adjust), AdjustResponse,
       ROWS(adjust_response, results, results, count, adjust_result),
       PART(adjust_response, after, define_response));

LAYOUT(status_response, RESPONSE_BODY(status_info), StatusResponse, TEXT(status_response, version),
       TEXT(status_response, state), TEXT(status_response, wal_io),
       NUMBER(status_response, commit_lsn), NUMBER(status_response, uptime_ms),
       NUMBER(status_response, items), NUMBER(status_response, orders_held),
       NUMBER(status_response, orders_known), NUMBER(status_response, buyers),
       TEXT(status_response, clock), NUMBER(status_response, wall_ms),
       NUMBER(status_response, clock_difference_ms), NUMBER(status_response, clock_doubted_ms),
       NUMBER(status_response, clock_confirms_ms), NUMBER(status_response, clock_steps_seen),
       NUMBER(status_response, clock_steps_believed), NUMBER(status_response, clock_step_ms),
       NUMBER(status_response, clock_step_at_ms), NUMBER(status_response, items_max),
       NUMBER(status_response, orders_max), NUMBER(status_response, buyers_max),
       NUMBER(status_response, skus), NUMBER(status_response, retain_ended_ms),
       NUMBER(status_response, hold_ms), NUMBER(status_response, hold_ms_max),
       NUMBER(status_response, wal_bytes), NUMBER(status_response, wal_bytes_max),
       ROWS(status_response, slowest, slowest, slowest_count, slow_answer));

/* ---- Bodies by the numbers of their fields ---- */

static const struct body request_bodies[] = {
    [REQUEST_RESERVE] = {"reserve", &reserve_request_layout},
    [REQUEST_COMMIT] = {"commit", &orders_request_layout},
    [REQUEST_RELEASE] = {"release", &orders_request_layout},
    [REQUEST_EXTEND] = {"extend", &extend_request_layout},
    [REQUEST_RETURN] = {"return_units", &orders_request_layout},
    [REQUEST_RESERVE_BATCH] = {"reserve_batch", &reserve_batch_layout},
    [REQUEST_COMMIT_BATCH] = {"commit_batch", &orders_batch_layout},
    [REQUEST_RELEASE_BATCH] = {"release_batch", &orders_batch_layout},
    [REQUEST_GET_ORDER] = {"get_order", &get_order_request_layout},
    [REQUEST_GET_STOCK] = {"get_stock", &get_stock_request_layout},
    [REQUEST_LIST_STOCK] = {"list_stock", &list_stock_request_layout},
    [REQUEST_LIST_ORDERS] = {"list_orders", &list_orders_request_layout},
    [REQUEST_GET_SKUS] = {"get_skus", &get_skus_request_layout},
    [REQUEST_DEFINE] = {"define", &define_request_layout},
    [REQUEST_ADJUST] = {"adjust", &adjust_request_layout},
    [REQUEST_STATUS] = {"status", &status_request_layout},
};

static const struct body response_bodies[] = {
    [RESPONSE_ORDERS] = {"orders", &orders_response_layout},
    [RESPONSE_BATCH] = {"batch", &batch_response_layout},
    [RESPONSE_ORDER] = {"order", &order_info_layout},
    [RESPONSE_STOCK] = {"stock", &stock_response_layout},
    [RESPONSE_ORDER_LIST] = {"order_list", &list_orders_response_layout},
    [RESPONSE_SKUS] = {"skus", &skus_response_layout},
    [RESPONSE_DEFINE] = {"define", &define_response_layout},
    [RESPONSE_ADJUST] = {"adjust", &adjust_response_layout},
    [RESPONSE_STATUS] = {"status_info", &status_response_layout},
};

/* message.h's numbers are those of the proto file. */
#define SAME(here, wire)                                                                           \
    static_assert((int)(here) == (int)(HOLDFAST__V1__##wire), #here " differs in holdfast.proto")
SAME(REQUEST_NONE, REQUEST__BODY__NOT_SET);
SAME(REQUEST_RESERVE, REQUEST__BODY_RESERVE);
SAME(REQUEST_COMMIT, REQUEST__BODY_COMMIT);
SAME(REQUEST_RELEASE, REQUEST__BODY_RELEASE);
SAME(REQUEST_EXTEND, REQUEST__BODY_EXTEND);
SAME(REQUEST_RETURN, REQUEST__BODY_RETURN_UNITS);
SAME(REQUEST_RESERVE_BATCH, REQUEST__BODY_RESERVE_BATCH);
SAME(REQUEST_COMMIT_BATCH, REQUEST__BODY_COMMIT_BATCH);
SAME(REQUEST_RELEASE_BATCH, REQUEST__BODY_RELEASE_BATCH);
SAME(REQUEST_GET_ORDER, REQUEST__BODY_GET_ORDER);
SAME(REQUEST_GET_STOCK, REQUEST__BODY_GET_STOCK);
SAME(REQUEST_LIST_STOCK, REQUEST__BODY_LIST_STOCK);
SAME(REQUEST_LIST_ORDERS, REQUEST__BODY_LIST_ORDERS);
SAME(REQUEST_GET_SKUS, REQUEST__BODY_GET_SKUS);
SAME(REQUEST_DEFINE, REQUEST__BODY_DEFINE);
SAME(REQUEST_ADJUST, REQUEST__BODY_ADJUST);
SAME(REQUEST_STATUS, REQUEST__BODY_STATUS);
SAME(RESPONSE_NONE, RESPONSE__BODY__NOT_SET);
SAME(RESPONSE_ORDERS, RESPONSE__BODY_ORDERS);
SAME(RESPONSE_BATCH, RESPONSE__BODY_BATCH);
SAME(RESPONSE_ORDER, RESPONSE__BODY_ORDER);
SAME(RESPONSE_STOCK, RESPONSE__BODY_STOCK);
SAME(RESPONSE_ORDER_LIST, RESPONSE__BODY_ORDER_LIST);
SAME(RESPONSE_SKUS, RESPONSE__BODY_SKUS);
SAME(RESPONSE_DEFINE, RESPONSE__BODY_DEFINE);
SAME(RESPONSE_ADJUST, RESPONSE__BODY_ADJUST);
SAME(RESPONSE_STATUS, RESPONSE__BODY_STATUS_INFO);

#define FIND(bodies, type)                                                                         \
    ((type) < sizeof(bodies) / sizeof(bodies)[0] && (bodies)[type].layout ? &(bodies)[type] : NULL)

const struct body *codec_request_body(unsigned type)
{
    return FIND(request_bodies, type);
}

const struct body *codec_response_body(unsigned type)
{
    return FIND(response_bodies, type);
}

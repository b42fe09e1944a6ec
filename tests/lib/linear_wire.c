/* linear_wire.c - see linear_wire.h. */
#include "lib/linear_wire.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/id.h"

#define ITEMS PLAN_ITEMS

static void make_id(uint8_t id[ID_BYTES], uint8_t kind, uint64_t round, uint8_t number)
{
    memset(id, 0, ID_BYTES);
    id[0] = kind;
    id[1] = number;
    memcpy(id + 8, &round, sizeof round);
}

/* ---- Requests ---- */

static void wire_reserve(struct linear_wire *wire, unsigned at, const uint32_t *items,
                         const struct linear_call *call)
{
    struct order_message *order = &wire->orders[at];
    *order = (struct order_message){.id = {wire->ids[at], ID_BYTES},
                                    .buyer = 1,
                                    .hold_ms = call->hold_ms,
                                    .lines = wire->lines[at]};
    for (unsigned i = 0; i < ITEMS; i++) {
        if (call->wanted[i]) {
            struct line_message *line = &wire->lines[at][order->line_count++];
            *line = (struct line_message){.item = items[i], .qty = call->wanted[i]};
            if (call->split) {
                line->split = true;
                line->fallback_count = 1;
                line->fallback = &items[1];
            }
        }
    }
    wire->request.reserve.count = at + 1;
    wire->request.reserve.orders = wire->orders;
}

static void wire_edit(struct linear_wire *wire, unsigned at, const struct linear_call *call)
{
    struct edit_message *edit = &wire->edits[at];
    *edit = (struct edit_message){.id = {wire->ids[at], ID_BYTES}, .late_ok = call->late_ok};
    if (call->total) {
        wire->total[at] = (struct line_qty_message){1, call->total};
        edit->line_count = 1;
        edit->lines = &wire->total[at];
    }
    wire->request.edit.count = at + 1;
    wire->request.edit.edits = wire->edits;
}

static void wire_adjust(struct linear_wire *wire, const uint32_t *items,
                        const struct linear_call *call)
{
    wire->adjustment = (struct adjustment_message){.id = {wire->ids[0], ID_BYTES},
                                                   .item = items[call->item],
                                                   .has_delta = true,
                                                   .delta = call->delta};
    if (call->type == LINEAR_MOVE) {
        wire->adjustment.to_item = items[call->to_item];
    }
    wire->request.adjust.count = 1;
    wire->request.adjust.adjustments = &wire->adjustment;
}

/* The calls in columns. */
static void wire_columns(struct linear_wire *wire, unsigned at, const uint32_t *items,
                         const struct linear_call *call)
{
    struct id128 id = id_from_bytes(wire->ids[at]);
    struct batch_message *batch = &wire->request.batch;
    wire->request.type = call->type == LINEAR_RESERVE  ? REQUEST_RESERVE_BATCH
                         : call->type == LINEAR_COMMIT ? REQUEST_COMMIT_BATCH
                                                       : REQUEST_RELEASE_BATCH;
    wire->id_hi[at] = id.hi;
    wire->id_lo[at] = id.lo;
    batch->id_hi = wire->id_hi;
    batch->id_lo = wire->id_lo;
    batch->id_hi_count = batch->id_lo_count = at + 1;
    batch->late_ok = call->late_ok;
    if (call->type == LINEAR_RESERVE) {
        wire->items[at] = items[call->wanted[0] == 0];
        wire->qty[at] = call->wanted[call->wanted[0] == 0];
        wire->buyer[at] = 1;
        batch->item = wire->items;
        batch->qty = wire->qty;
        batch->buyer = wire->buyer;
        batch->item_count = batch->qty_count = batch->buyer_count = at + 1;
        batch->hold_ms = call->hold_ms;
    }
}

/* Adds a call to a request that has `at` of the same type. */
static void wire_add(struct linear_wire *wire, unsigned at, uint64_t round, const uint32_t *items,
                     const struct linear_call *call)
{
    static const enum request_type types[] = {
        [LINEAR_RESERVE] = REQUEST_RESERVE,     [LINEAR_COMMIT] = REQUEST_COMMIT,
        [LINEAR_RELEASE] = REQUEST_RELEASE,     [LINEAR_RETURN] = REQUEST_RETURN,
        [LINEAR_EXTEND] = REQUEST_EXTEND,       [LINEAR_GET_ORDER] = REQUEST_GET_ORDER,
        [LINEAR_GET_STOCK] = REQUEST_GET_STOCK, [LINEAR_ADJUST] = REQUEST_ADJUST,
        [LINEAR_MOVE] = REQUEST_ADJUST,
    };
    bool adjusts = call->type == LINEAR_ADJUST || call->type == LINEAR_MOVE;
    wire->request.type = types[call->type];
    make_id(wire->ids[at], adjusts ? 0xAD : 1, round, adjusts ? call->adjustment : call->order);
    if (call->brief) {
        wire_columns(wire, at, items, call);
        return;
    }
    switch (call->type) {
    case LINEAR_RESERVE:
        wire_reserve(wire, at, items, call);
        break;
    case LINEAR_EXTEND:
        wire->request.extend.id = (struct bytes){wire->ids[0], ID_BYTES};
        wire->request.extend.hold_ms = call->hold_ms;
        break;
    case LINEAR_GET_ORDER:
        wire->request.get_order.id = (struct bytes){wire->ids[0], ID_BYTES};
        break;
    case LINEAR_GET_STOCK:
        wire->request.get_stock.item_count = 0;
        for (unsigned i = 0; i < ITEMS; i++) {
            if (call->items >> i & 1) {
                wire->items[wire->request.get_stock.item_count++] = items[i];
            }
        }
        wire->request.get_stock.items = wire->items;
        break;
    case LINEAR_ADJUST:
    case LINEAR_MOVE:
        wire_adjust(wire, items, call);
        break;
    default:
        wire_edit(wire, at, call);
    }
}

/* ---- Answers ---- */

static void read_grants(const uint32_t *items, struct linear_call *call,
                        const struct grant_message *grants, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < ITEMS; k++) {
            call->units[k] =
                (uint8_t)(call->units[k] + (grants[i].item == items[k] ? grants[i].qty : 0));
        }
    }
}

static void read_result(const uint32_t *items, struct linear_call *call,
                        const struct result_message *result)
{
    call->status = result->status;
    call->replayed = result->replayed;
    call->blocking = (uint8_t)result->blocking_line;
    call->state = (uint8_t)result->state;
    call->deadline_ms = result->deadline_ms;
    if (call->type != LINEAR_RESERVE || result->status != HF_OK) {
        return;
    }
    if (result->grant_count > 0) {
        read_grants(items, call, result->grants, result->grant_count);
    } else if (result->state == LINEAR_HELD || result->state == LINEAR_COMMITTED) {
        memcpy(call->units, call->wanted, sizeof call->units);
    }
}

static void read_column(struct linear_call *call, unsigned at, const struct response *response)
{
    bool all_ok = response->batch.status_count == 0;
    call->status = all_ok ? HF_OK : (enum hf_status)response->batch.status[at];
    call->blocking = 1;
    if (call->type == LINEAR_RESERVE && call->status == HF_OK) {
        memcpy(call->units, call->wanted, sizeof call->units);
    }
}

static struct linear_stock stock_of(const struct stock_message *stock)
{
    return (struct linear_stock){(int32_t)stock->stocked, (int32_t)stock->held,
                                 (int32_t)stock->sold, (int32_t)stock->available};
}

static void read_answer(const uint32_t *items, struct linear_call *call, unsigned at,
                        const struct response *response)
{
    call->status = response->status;
    switch (response->type) {
    case RESPONSE_ORDERS:
        read_result(items, call, &response->orders.results[at]);
        break;
    case RESPONSE_BATCH:
        read_column(call, at, response);
        break;
    case RESPONSE_ORDER:
        call->state = (uint8_t)response->order.state;
        call->deadline_ms = response->order.deadline_ms;
        call->lsn = response->order.lsn;
        CHECK(response->lsn >= response->order.lsn); /* it depends on what it tells */
        read_grants(items, call, response->order.grants, response->order.grant_count);
        break;
    case RESPONSE_STOCK:
        for (uint32_t i = 0, k = 0; k < ITEMS; k++) {
            if (call->items >> k & 1) {
                CHECK(i < response->stock.count);
                call->stock[k] = stock_of(&response->stock.items[i++]);
            }
        }
        break;
    case RESPONSE_ADJUST:
        call->status = response->adjust.results[0].status;
        call->replayed = response->adjust.results[0].replayed;
        call->stock[0] = stock_of(&response->adjust.results[0].stock);
        break;
    default:
        break;
    }
}

/* ---- Both ---- */

/* Plain lines, and whole orders. */
static bool fits_columns(const struct linear_call *call)
{
    bool one_line = (call->wanted[0] > 0) != (call->wanted[1] > 0) && !call->split;
    bool whole = call->type == LINEAR_COMMIT || (call->type == LINEAR_RELEASE && call->total == 0);
    return whole || (call->type == LINEAR_RESERVE && one_line);
}

unsigned linear_wire_next(const struct linear_plan *plan, unsigned thread, struct rng *rng,
                          struct linear_call calls[PLAN_CALLS])
{
    unsigned count = linear_plan_next(plan, thread, rng, calls);
    bool columns = rng_chance(rng, 4);
    for (unsigned i = 0; i < count; i++) {
        columns = columns && fits_columns(&calls[i]) && calls[i].late_ok == calls[0].late_ok &&
                  calls[i].hold_ms == calls[0].hold_ms;
    }
    for (unsigned i = 0; i < count; i++) {
        calls[i].brief = calls[i].replayed_unsure = columns;
    }
    return count;
}

void linear_wire_request(struct linear_wire *wire, uint64_t round, const uint32_t *items,
                         const struct linear_call *calls, unsigned count)
{
    memset(wire, 0, sizeof *wire);
    for (unsigned i = 0; i < count; i++) {
        wire_add(wire, i, round, items, &calls[i]);
    }
}

void linear_wire_answer(const struct response *response, const uint32_t *items,
                        struct linear_call *calls, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        /* What was done anew depends on its own record alone. Of a brief answer it is not known
         * whether it was. No record ends at 1: what depends on nothing is wrong. */
        uint64_t lsn = response->lsn > 0 ? response->lsn : 1;
        calls[i].lsn = count == 1 && !calls[i].brief ? lsn : 0;
        read_answer(items, &calls[i], i, response);
    }
}

void linear_wire_define(struct linear_wire *wire, uint64_t round, struct rng *rng)
{
    memset(wire, 0, sizeof *wire);
    snprintf(wire->sku, sizeof wire->sku, "sku-%llu", (unsigned long long)round);
    static const char *const pools[PLAN_ITEMS] = {"east", "west"};
    for (unsigned i = 0; i < PLAN_ITEMS; i++) {
        wire->defs[i] = (struct item_message){
            .sku = bytes_of(wire->sku), .pool = bytes_of(pools[i]), .hot = rng_chance(rng, 2)};
    }
    wire->request.type = REQUEST_DEFINE;
    wire->request.define.item_count = PLAN_ITEMS;
    wire->request.define.items = wire->defs;
}

void linear_wire_stock(struct linear_wire *wire, uint64_t round, const uint32_t *items,
                       unsigned item, int32_t units)
{
    memset(wire, 0, sizeof *wire);
    make_id(wire->ids[0], 0xAE, round, (uint8_t)item);
    wire->adjustment = (struct adjustment_message){
        .id = {wire->ids[0], ID_BYTES}, .item = items[item], .has_delta = true, .delta = units};
    wire->request.type = REQUEST_ADJUST;
    wire->request.adjust.count = 1;
    wire->request.adjust.adjustments = &wire->adjustment;
}

/* request_batch.c - orders in columns: reserve_batch, commit_batch, release_batch.
 *
 * Columns are for callers that have many orders at once: plain lines by handle, and an answer of
 * statuses alone. Each order is decided by itself.
 * Threads: any; a worker and a call belong to one. */
#include "server/request_batch.h"

#include <inttypes.h>

#include "base/check.h"
#include "server/decide.h"
#include "server/engine_internal.h"
#include "server/request_check.h"

/* The statuses of a batch, kept only once one is not OK. */
struct batch_answer {
    uint32_t count;
    uint32_t ok_count;
    uint32_t invalid_count;
    uint32_t *status;
    uint64_t deadline_ms; /* the earliest of the orders that were newly held */
};

static void batch_note(const struct worker *worker, struct batch_answer *answer, uint32_t i,
                       const struct order_outcome *outcome)
{
    CHECK(i < answer->count);
    answer->status[i] = (uint32_t)outcome->status;
    answer->ok_count += outcome->status == HF_OK;
    answer->invalid_count += outcome->status == HF_INVALID;
    uint64_t deadline_ms = time_shown_ms(outcome->deadline_ms, worker->shown_ahead_ms);
    if (outcome->status == HF_OK && !outcome->replayed &&
        (answer->deadline_ms == 0 || deadline_ms < answer->deadline_ms)) {
        answer->deadline_ms = deadline_ms;
    }
}

static bool batch_start(struct engine_call *call, const char *name,
                        const struct batch_message *batch, struct batch_answer *answer)
{
    *answer = (struct batch_answer){.count = batch->id_hi_count};
    if (!request_count_fits(call, name, batch->id_hi_count, REQUEST_ORDERS_MAX)) {
        return false;
    }
    if (batch->id_lo_count != batch->id_hi_count) {
        answer_fail(call, HF_INVALID, "%s.id_lo: %u of them, but %u of id_hi", name,
                    batch->id_lo_count, batch->id_hi_count);
        return false;
    }
    answer->status = arena_alloc(call->arena, answer->count * sizeof *answer->status);
    return request_memory_fits(call, answer->status);
}

static void batch_finish(struct engine_call *call, const struct batch_answer *answer)
{
    CHECK(answer->ok_count + (uint64_t)answer->invalid_count <= answer->count);
    CHECK(answer->count > 0);
    struct response *response = &call->response;
    response->status = answer->invalid_count == answer->count ? HF_INVALID : HF_OK;
    response->type = RESPONSE_BATCH;
    response->batch.ok_count = answer->ok_count;
    response->batch.deadline_ms = answer->deadline_ms;
    bool all_ok = answer->ok_count == answer->count;
    response->batch.status_count = all_ok ? 0 : answer->count;
    response->batch.status = all_ok ? NULL : answer->status;
}

/* The number of all lines, when the columns' lengths agree; else 0 with the answer. */
static uint32_t batch_lines(struct engine_call *call, const struct batch_message *batch)
{
    uint32_t orders = batch->id_hi_count;
    if (batch->buyer_count != 0 && batch->buyer_count != orders) {
        answer_fail(call, HF_INVALID, "reserve_batch.buyer: %u of them, but %u of id_hi",
                    batch->buyer_count, orders);
        return 0;
    }
    if (batch->line_count_count != 0 && batch->line_count_count != orders) {
        answer_fail(call, HF_INVALID, "reserve_batch.line_count: %u of them, but %u of id_hi",
                    batch->line_count_count, orders);
        return 0;
    }
    uint64_t lines = batch->line_count_count == 0 ? orders : 0;
    for (uint32_t i = 0; i < batch->line_count_count; i++) {
        lines += batch->line_count[i];
    }
    if (lines > REQUEST_LINES_MAX) {
        answer_fail(call, HF_INVALID,
                    "reserve_batch.line_count: %" PRIu64 " lines in all, at most %u", lines,
                    REQUEST_LINES_MAX);
        return 0;
    }
    if (batch->item_count != lines) {
        answer_fail(call, HF_INVALID, "reserve_batch.item: %u of them, but %" PRIu64 " lines",
                    batch->item_count, lines);
        return 0;
    }
    if (batch->qty_count != 0 && batch->qty_count != lines) {
        answer_fail(call, HF_INVALID, "reserve_batch.qty: %u of them, but %" PRIu64 " lines",
                    batch->qty_count, lines);
        return 0;
    }
    if (lines == 0) {
        answer_fail(call, HF_INVALID, "reserve_batch.line_count: no order has a line");
    }
    CHECK(lines <= REQUEST_LINES_MAX);
    return (uint32_t)lines;
}

/* Gathers one order's lines from the columns. False: *outcome and the message say what is wrong. */
static bool batch_order(struct engine_call *call, const struct batch_message *batch, uint32_t i,
                        uint32_t first_line, struct order_line *lines, struct order_request *order,
                        struct order_outcome *outcome)
{
    CHECK(i < batch->id_hi_count);
    uint32_t count = batch->line_count_count ? batch->line_count[i] : 1;
    struct id128 id = {batch->id_hi[i], batch->id_lo[i]};
    *outcome = (struct order_outcome){.status = HF_INVALID};
    if (!request_check_id(call, place_at("reserve_batch.id_hi", i), "", id)) {
        return false;
    }
    if (count == 0 || count > ORDER_LINES_MAX) {
        answer_note(call, place_at("reserve_batch.line_count", i), ": %u, must be 1..%u", count,
                    ORDER_LINES_MAX);
        return false;
    }
    CHECK((uint64_t)first_line + count <= batch->item_count);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t at = first_line + k;
        lines[k].item = batch->item[at];
        lines[k].qty = batch->qty_count ? batch->qty[at] : 1;
        if (lines[k].qty == 0 || lines[k].qty > QTY_MAX) {
            answer_note(call, place_at("reserve_batch.qty", at), ": %u, must be 1..%u",
                        lines[k].qty, QTY_MAX);
            outcome->blocking_line = k + 1;
            return false;
        }
        if (!inventory_has_item(call->engine->inventory, lines[k].item)) {
            answer_note(call, place_at("reserve_batch.item", at), ": there is no item %u",
                        lines[k].item);
            outcome->status = HF_UNKNOWN_ITEM;
            outcome->blocking_line = k + 1;
            return false;
        }
    }
    *order = (struct order_request){
        .id = id,
        .buyer = batch->buyer_count ? batch->buyer[i] : 0,
        .hold_ms = batch->hold_ms,
        .line_count = count,
        .lines = lines,
    };
    return true;
}

static void batch_refusal(struct engine_call *call, uint32_t i, const struct order_outcome *outcome)
{
    /* Most refusals of a rush are alike and need no text: the status is enough. Only for FULL it
     * does not show which setting is too small. */
    if (outcome->status == HF_INVALID || outcome->status == HF_FULL) {
        answer_note(call, place_at("reserve_batch.id_hi", i), ": %s",
                    outcome->reason ? outcome->reason : hf_status_text(outcome->status));
    }
}

/* The item of a one-line order, if there is such an item; else 0. Orders of several lines cost
 * enough by themselves. */
static uint32_t batch_item(const struct inventory *inventory, const struct batch_message *batch,
                           uint32_t i)
{
    bool known = batch->line_count_count == 0 && i < batch->item_count &&
                 inventory_has_item(inventory, batch->item[i]);
    return known ? batch->item[i] : 0;
}

static void prefetch_index(const struct worker *worker, const struct batch_message *batch,
                           uint32_t i)
{
    const struct inventory *inventory = worker->workers->inventory;
    if (i < batch->id_hi_count) {
        inventory_prefetch(inventory, worker->txn.slot,
                           (struct id128){batch->id_hi[i], batch->id_lo[i]},
                           batch_item(inventory, batch, i));
    }
}

static void prefetch_order(const struct worker *worker, const struct batch_message *batch,
                           uint32_t i)
{
    if (i < batch->id_hi_count) {
        inventory_prefetch_order(worker->workers->inventory,
                                 (struct id128){batch->id_hi[i], batch->id_lo[i]});
    }
}

/* Starts the misses of a batch's first orders. `known`: they probably exist. */
static void batch_prefetch_first(const struct worker *worker, const struct batch_message *batch,
                                 bool known)
{
    for (uint32_t i = 0; i < INVENTORY_INDEX_AHEAD; i++) {
        prefetch_index(worker, batch, i);
    }
    for (uint32_t i = 0; i < INVENTORY_ENTRY_AHEAD && known; i++) {
        prefetch_order(worker, batch, i);
    }
}

/* Before order i is decided: starts the misses of orders after it. For ids that are new, a look for
 * their entries would be in vain. */
static void batch_prefetch(const struct worker *worker, const struct batch_message *batch,
                           uint32_t i, bool known)
{
    prefetch_index(worker, batch, i + INVENTORY_INDEX_AHEAD);
    if (known) {
        prefetch_order(worker, batch, i + INVENTORY_ENTRY_AHEAD);
    }
}

bool request_reserve_batch(struct worker *worker, struct engine_call *call,
                           const struct request *request)
{
    const struct batch_message *batch = &request->batch;
    struct batch_answer answer;
    if (!batch_start(call, "reserve_batch", batch, &answer) || batch_lines(call, batch) == 0) {
        return true;
    }
    struct order_line lines[ORDER_LINES_MAX];
    uint32_t first_line = 0;
    batch_prefetch_first(worker, batch, false);
    struct order_outcome outcome = {0};
    for (uint32_t i = 0; i < answer.count; i++) {
        /* A batch is repeated as a whole: after an order that exists others follow. */
        batch_prefetch(worker, batch, i, outcome.replayed);
        struct order_request order;
        if (batch_order(call, batch, i, first_line, lines, &order, &outcome)) {
            if (!request_decide(worker, decide_reserve, &order, order.line_count, &outcome)) {
                return false;
            }
            batch_refusal(call, i, &outcome);
        } else {
            request_note_outcome(worker, &outcome);
        }
        first_line += batch->line_count_count ? batch->line_count[i] : 1;
        batch_note(worker, &answer, i, &outcome);
    }
    CHECK(first_line == batch->item_count); /* every line was some order's */
    batch_finish(call, &answer);
    return true;
}

bool request_edit_batch(struct worker *worker, struct engine_call *call,
                        const struct request *request)
{
    const struct batch_message *batch = &request->batch;
    const char *name;
    decide_function decide = request_decision(request->type, &name);
    const char *ids =
        request->type == REQUEST_COMMIT_BATCH ? "commit_batch.id_hi" : "release_batch.id_hi";
    struct batch_answer answer;
    if (!batch_start(call, name, batch, &answer)) {
        return true;
    }
    if (batch->late_ok && request->type != REQUEST_COMMIT_BATCH) {
        answer_fail(call, HF_INVALID, "%s.late_ok: only a commit may be late", name);
        return true;
    }
    batch_prefetch_first(worker, batch, true);
    for (uint32_t i = 0; i < answer.count; i++) {
        batch_prefetch(worker, batch, i, true);
        struct order_edit edit = {.id = {batch->id_hi[i], batch->id_lo[i]},
                                  .late_ok = batch->late_ok};
        struct order_outcome outcome = {.status = HF_INVALID};
        if (!request_check_id(call, place_at(ids, i), "", edit.id)) {
            request_note_outcome(worker, &outcome);
        } else if (!request_decide(worker, decide, &edit, 1, &outcome)) {
            return false;
        }
        batch_note(worker, &answer, i, &outcome);
    }
    batch_finish(call, &answer);
    return true;
}

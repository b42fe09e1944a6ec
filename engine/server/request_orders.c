/* request_orders.c - reserve, commit, release, return, extend: rows and columns.
 *
 * Each order of a request stands for itself: a bad or refused one leaves the others undisturbed.
 * Threads: any; a worker and a call belong to one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "server/engine_internal.h"

#define PREFETCH_AHEAD   8u /* orders of a batch whose cache lines are on their way */

/* What an outcome says about the answer as a whole. */
static void note_outcome(struct worker *worker, const struct order_outcome *outcome)
{
    if (outcome->status != HF_OK || outcome->replayed) {
        worker->depends_on_tail = true;
    }
}

static struct result_message result_of(const struct order_outcome *outcome)
{
    return (struct result_message){
        .status = outcome->status,
        .replayed = outcome->replayed,
        .blocking_line = outcome->blocking_line,
        .deadline_ms = outcome->deadline_ms,
        .state = (uint32_t)outcome->state,
    };
}

/* A refusal's message: the place, the rule. */
static void note_refusal(struct engine_call *call, struct place place,
                         const struct order_outcome *outcome)
{
    if (outcome->status == HF_OK) {
        return;
    }
    if (outcome->blocking_line > 0) {
        place.line = outcome->blocking_line - 1;
    }
    answer_note(call, place, ": %s",
                outcome->reason ? outcome->reason : hf_status_text(outcome->status));
}

static bool parse_id(struct engine_call *call, struct place place, struct bytes bytes,
                     struct id128 *id)
{
    if (bytes.len != ID_BYTES) {
        answer_note(call, place, ".id: %zu bytes, must be %u", bytes.len, ID_BYTES);
        return false;
    }
    *id = id_from_bytes(bytes.data);
    return true;
}

/* The answer of a request whose every order was INVALID is INVALID itself. */
static void finish_orders(struct engine_call *call, const struct result_message *results,
                          uint32_t count)
{
    uint32_t invalid = 0;
    for (uint32_t i = 0; i < count; i++) {
        invalid += results[i].status == HF_INVALID;
    }
    call->response.status = count > 0 && invalid == count ? HF_INVALID : HF_OK;
    call->response.type = RESPONSE_ORDERS;
    call->response.orders.count = count;
    call->response.orders.results = results;
}

/* ---- Reserve, rows ---- */

static bool parse_line(struct worker *worker, struct engine_call *call, struct place place,
                       const struct line_message *line, struct order_line *out,
                       enum hf_status *status)
{
    *status = HF_INVALID;
    if (line->qty == 0 || line->qty > QTY_MAX) {
        answer_note(call, place, ".qty: %u, must be 1..%u", line->qty, QTY_MAX);
        return false;
    }
    const char *later = line->policy != 0          ? "policy"
                        : line->min_qty != 0       ? "min_qty"
                        : line->fallback_count > 0 ? "fallback"
                        : line->split              ? "split"
                                                   : NULL;
    if (later) {
        answer_note(call, place, ".%s: not supported by this version yet", later);
        return false;
    }
    out->qty = line->qty;
    out->item = request_resolve(worker->engine, call, place, line->item, line->sku, line->pool,
                                status);
    return out->item != 0;
}

/* Checks one order and resolves its lines. False: *outcome says what is wrong with it. */
static bool parse_order(struct worker *worker, struct engine_call *call, struct place place,
                        const struct order_message *message, struct order_request *order,
                        struct order_outcome *outcome)
{
    *outcome = (struct order_outcome){.status = HF_INVALID};
    if (!parse_id(call, place, message->id, &order->id)) {
        return false;
    }
    if (message->line_count == 0 || message->line_count > ORDER_LINES_MAX) {
        answer_note(call, place, ".lines: %u lines, must be 1..%u", message->line_count,
                    ORDER_LINES_MAX);
        return false;
    }
    struct order_line *lines = arena_alloc(call->arena, message->line_count * sizeof *lines);
    if (!lines) {
        outcome->status = HF_FULL;
        answer_note(call, place, ": out of memory for the request");
        return false;
    }
    for (uint32_t i = 0; i < message->line_count; i++) {
        place.line = i;
        if (!parse_line(worker, call, place, &message->lines[i], &lines[i], &outcome->status)) {
            outcome->blocking_line = i + 1;
            return false;
        }
    }
    order->buyer = message->buyer;
    order->hold_ms = message->hold_ms;
    order->line_count = message->line_count;
    order->lines = lines;
    return true;
}

/* False: the disk has filled up since the request was started; *outcome says so. */
static bool may_start(struct worker *worker, struct order_outcome *outcome)
{
    enum hf_status status = worker_admit(worker);
    if (status != HF_OK) {
        *outcome = (struct order_outcome){.status = status};
        note_outcome(worker, outcome);
    }
    return status == HF_OK;
}

/* Decides one order. False: the log is closed. */
static bool reserve_one(struct worker *worker, const struct order_request *order,
                        struct order_outcome *outcome)
{
    if (!may_start(worker, outcome)) {
        return true;
    }
    unsigned step = 0;
    while (inventory_reserve(&worker->txn, order, outcome) == TXN_AGAIN) {
        if (!worker_again(worker, &step)) {
            return false;
        }
    }
    note_outcome(worker, outcome);
    return true;
}

static bool check_count(struct engine_call *call, const char *field, uint32_t count, uint32_t max)
{
    if (count == 0 || count > max) {
        answer_fail(call, HF_INVALID, "%s: %u of them, must be 1..%u", field, count, max);
        return false;
    }
    return true;
}

static struct result_message *alloc_results(struct engine_call *call, uint32_t count)
{
    struct result_message *results = arena_calloc(call->arena, count, sizeof *results);
    if (!results) {
        answer_fail(call, HF_INVALID, "the request needs more memory than one may take");
    }
    return results;
}

bool request_reserve(struct worker *worker, struct engine_call *call,
                     const struct request *request)
{
    uint32_t count = request->reserve.count;
    if (!check_count(call, "reserve.orders", count, REQUEST_ORDERS_MAX)) {
        return true;
    }
    struct result_message *results = alloc_results(call, count);
    if (!results) {
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct place place = place_at("reserve.orders", i);
        struct order_request order;
        struct order_outcome outcome;
        if (parse_order(worker, call, place, &request->reserve.orders[i], &order, &outcome)) {
            if (!reserve_one(worker, &order, &outcome)) {
                return false;
            }
            note_refusal(call, place, &outcome);
        } else {
            note_outcome(worker, &outcome);
        }
        results[i] = result_of(&outcome);
    }
    finish_orders(call, results, count);
    return true;
}

/* ---- Commit, release, return, extend: rows ---- */

typedef enum txn_step (*edit_function)(struct txn *, const struct order_edit *,
                                       struct order_outcome *);

static edit_function edit_of(enum request_type type, const char **name)
{
    switch (type) {
    case REQUEST_COMMIT:
        *name = "commit.orders";
        return inventory_commit;
    case REQUEST_RELEASE:
        *name = "release.orders";
        return inventory_release;
    case REQUEST_COMMIT_BATCH:
        *name = "commit_batch";
        return inventory_commit;
    case REQUEST_RELEASE_BATCH:
        *name = "release_batch";
        return inventory_release;
    default:
        CHECK(type == REQUEST_RETURN);
        *name = "return_units.orders";
        return inventory_return;
    }
}

static bool edit_one(struct worker *worker, edit_function function, const struct order_edit *edit,
                     struct order_outcome *outcome)
{
    if (!may_start(worker, outcome)) {
        return true;
    }
    unsigned step = 0;
    while (function(&worker->txn, edit, outcome) == TXN_AGAIN) {
        if (!worker_again(worker, &step)) {
            return false;
        }
    }
    note_outcome(worker, outcome);
    return true;
}

static bool parse_edit(struct engine_call *call, struct place place,
                       const struct edit_message *message, bool may_be_late,
                       struct order_edit *edit)
{
    if (!parse_id(call, place, message->id, &edit->id)) {
        return false;
    }
    if (message->late_ok && !may_be_late) {
        answer_note(call, place, ".late_ok: only a commit may be late");
        return false;
    }
    if (message->line_count > ORDER_LINES_MAX) {
        answer_note(call, place, ".lines: %u lines, must be 0..%u", message->line_count,
                    ORDER_LINES_MAX);
        return false;
    }
    static_assert(sizeof(struct line_qty) == sizeof(struct line_qty_message), "same layout");
    struct line_qty *lines = arena_alloc(call->arena, message->line_count * sizeof *lines);
    if (!lines) {
        answer_note(call, place, ": out of memory for the request");
        return false;
    }
    for (uint32_t i = 0; i < message->line_count; i++) {
        lines[i] = (struct line_qty){message->lines[i].line, message->lines[i].qty};
    }
    edit->late_ok = message->late_ok;
    edit->line_count = message->line_count;
    edit->lines = lines;
    return true;
}

bool request_edit(struct worker *worker, struct engine_call *call, const struct request *request)
{
    const char *name;
    edit_function function = edit_of(request->type, &name);
    uint32_t count = request->edit.count;
    if (!check_count(call, name, count, REQUEST_ORDERS_MAX)) {
        return true;
    }
    struct result_message *results = alloc_results(call, count);
    if (!results) {
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct place place = place_at(name, i);
        struct order_edit edit;
        struct order_outcome outcome = {.status = HF_INVALID};
        if (parse_edit(call, place, &request->edit.edits[i], request->type == REQUEST_COMMIT,
                       &edit)) {
            if (!edit_one(worker, function, &edit, &outcome)) {
                return false;
            }
            note_refusal(call, place, &outcome);
        } else {
            note_outcome(worker, &outcome);
        }
        results[i] = result_of(&outcome);
    }
    finish_orders(call, results, count);
    return true;
}

bool request_extend(struct worker *worker, struct engine_call *call,
                    const struct request *request)
{
    struct result_message *result = alloc_results(call, 1);
    if (!result) {
        return true;
    }
    struct place place = place_at("extend", PLACE_NONE);
    struct id128 id;
    struct order_outcome outcome = {.status = HF_INVALID};
    if (parse_id(call, place, request->extend.id, &id)) {
        unsigned step = 0;
        while (inventory_extend(&worker->txn, id, request->extend.hold_ms, &outcome) ==
               TXN_AGAIN) {
            if (!worker_again(worker, &step)) {
                return false;
            }
        }
        note_refusal(call, place, &outcome);
    }
    note_outcome(worker, &outcome);
    *result = result_of(&outcome);
    finish_orders(call, result, 1);
    return true;
}

/* ---- Columns ---- */

/* The statuses of a batch, kept only once one is not OK. */
struct batch_answer {
    uint32_t count;
    uint32_t ok_count;
    uint32_t invalid_count;
    uint32_t *status;
    uint64_t deadline_ms; /* the earliest of the orders that were held anew */
};

static void batch_note(struct batch_answer *answer, uint32_t i, const struct order_outcome *outcome)
{
    answer->status[i] = (uint32_t)outcome->status;
    answer->ok_count += outcome->status == HF_OK;
    answer->invalid_count += outcome->status == HF_INVALID;
    if (outcome->status == HF_OK && !outcome->replayed &&
        (answer->deadline_ms == 0 || outcome->deadline_ms < answer->deadline_ms)) {
        answer->deadline_ms = outcome->deadline_ms;
    }
}

static bool batch_start(struct engine_call *call, const char *name,
                        const struct batch_message *batch, struct batch_answer *answer)
{
    *answer = (struct batch_answer){.count = batch->id_hi_count};
    if (!check_count(call, name, batch->id_hi_count, REQUEST_ORDERS_MAX)) {
        return false;
    }
    if (batch->id_lo_count != batch->id_hi_count) {
        answer_fail(call, HF_INVALID, "%s.id_lo: %u of them, but %u of id_hi", name,
                    batch->id_lo_count, batch->id_hi_count);
        return false;
    }
    answer->status = arena_alloc(call->arena, answer->count * sizeof *answer->status);
    if (!answer->status) {
        answer_fail(call, HF_INVALID, "the request needs more memory than one may take");
        return false;
    }
    return true;
}

static void batch_finish(struct engine_call *call, const struct batch_answer *answer)
{
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
        answer_fail(call, HF_INVALID, "reserve_batch.line_count: %" PRIu64
                    " lines in all, at most %u", lines, REQUEST_LINES_MAX);
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
    return (uint32_t)lines;
}

/* Gathers one order's lines from the columns. False: *outcome and the message say what is wrong. */
static bool batch_order(struct worker *worker, struct engine_call *call,
                        const struct batch_message *batch, uint32_t i, uint32_t first_line,
                        struct order_line *lines, struct order_request *order,
                        struct order_outcome *outcome)
{
    uint32_t count = batch->line_count_count ? batch->line_count[i] : 1;
    *outcome = (struct order_outcome){.status = HF_INVALID};
    if (count == 0 || count > ORDER_LINES_MAX) {
        answer_note(call, place_at("reserve_batch.line_count", i), ": %u, must be 1..%u", count,
                    ORDER_LINES_MAX);
        return false;
    }
    for (uint32_t k = 0; k < count; k++) {
        uint32_t at = first_line + k;
        lines[k].item = batch->item[at];
        lines[k].qty = batch->qty_count ? batch->qty[at] : 1;
        if (lines[k].qty == 0 || lines[k].qty > QTY_MAX) {
            answer_note(call, place_at("reserve_batch.qty", at), ": %u, must be 1..%u", lines[k].qty,
                        QTY_MAX);
            outcome->blocking_line = k + 1;
            return false;
        }
        if (!inventory_has_item(worker->engine->inventory, lines[k].item)) {
            answer_note(call, place_at("reserve_batch.item", at), ": there is no item %u",
                        lines[k].item);
            outcome->status = HF_UNKNOWN_ITEM;
            outcome->blocking_line = k + 1;
            return false;
        }
    }
    order->id = (struct id128){batch->id_hi[i], batch->id_lo[i]};
    order->buyer = batch->buyer_count ? batch->buyer[i] : 0;
    order->hold_ms = batch->hold_ms;
    order->line_count = count;
    order->lines = lines;
    return true;
}

static void batch_refusal(struct engine_call *call, uint32_t i,
                          const struct order_outcome *outcome)
{
    /* Most refusals of a rush are alike and need no text: the status says it all. */
    if (outcome->status == HF_INVALID) {
        answer_note(call, place_at("reserve_batch.id_hi", i), ": %s",
                    outcome->reason ? outcome->reason : hf_status_text(outcome->status));
    }
}

/* Brings the cache lines of an order ahead on their way. Only one-line orders: others cost enough
 * by themselves. */
static void batch_prefetch(struct worker *worker, const struct batch_message *batch, uint32_t i)
{
    if (i < batch->id_hi_count) {
        uint32_t item = batch->line_count_count == 0 && i < batch->item_count &&
                                inventory_has_item(worker->engine->inventory, batch->item[i])
                            ? batch->item[i]
                            : 0;
        inventory_prefetch(worker->engine->inventory, worker->txn.slot,
                           (struct id128){batch->id_hi[i], batch->id_lo[i]}, item);
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
    for (uint32_t i = 0; i < answer.count; i++) {
        batch_prefetch(worker, batch, i + PREFETCH_AHEAD);
        struct order_request order;
        struct order_outcome outcome;
        if (batch_order(worker, call, batch, i, first_line, lines, &order, &outcome)) {
            if (!reserve_one(worker, &order, &outcome)) {
                return false;
            }
            batch_refusal(call, i, &outcome);
        } else {
            note_outcome(worker, &outcome);
        }
        first_line += batch->line_count_count ? batch->line_count[i] : 1;
        batch_note(&answer, i, &outcome);
    }
    batch_finish(call, &answer);
    return true;
}

bool request_edit_batch(struct worker *worker, struct engine_call *call,
                        const struct request *request)
{
    const struct batch_message *batch = &request->batch;
    const char *name;
    edit_function function = edit_of(request->type, &name);
    struct batch_answer answer;
    if (!batch_start(call, name, batch, &answer)) {
        return true;
    }
    if (batch->late_ok && request->type != REQUEST_COMMIT_BATCH) {
        answer_fail(call, HF_INVALID, "%s.late_ok: only a commit may be late", name);
        return true;
    }
    for (uint32_t i = 0; i < answer.count; i++) {
        batch_prefetch(worker, batch, i + PREFETCH_AHEAD);
        struct order_edit edit = {.id = {batch->id_hi[i], batch->id_lo[i]},
                                  .late_ok = batch->late_ok};
        struct order_outcome outcome;
        if (!edit_one(worker, function, &edit, &outcome)) {
            return false;
        }
        batch_note(&answer, i, &outcome);
    }
    batch_finish(call, &answer);
    return true;
}

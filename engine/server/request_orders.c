/* request_orders.c - reserve, commit, release, return, extend: rows.
 *
 * Each order of a request is decided by itself: a bad or refused one does not affect the others.
 * Threads: any; a worker and a call belong to one. */
#include "server/request_orders.h"

#include <string.h>

#include "base/check.h"
#include "server/decide.h"
#include "server/engine_internal.h"
#include "server/request_check.h"

#define GRANTS_ROOM 512u /* that are taken from the arena at once */

/* ---- Results ---- */

static struct result_message result_of(const struct worker *worker,
                                       const struct order_outcome *outcome)
{
    CHECK(outcome->status != HF_OK || outcome->state != ORDER_NONE);
    return (struct result_message){
        .status = outcome->status,
        .replayed = outcome->replayed,
        .blocking_line = outcome->blocking_line,
        .deadline_ms = time_shown_ms(outcome->deadline_ms, worker->shown_ahead_ms),
        .state = (uint32_t)outcome->state,
    };
}

/* A refusal's message: the place, the rule. */
static void note_refusal(struct engine_call *call, struct answer_place place,
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

/* The answer of a request whose every order was INVALID is INVALID itself; and BUSY, to be sent
 * again, when there was no memory for any. */
static void finish_orders(struct engine_call *call, const struct result_message *results,
                          uint32_t count)
{
    CHECK(count > 0);
    CHECK(count <= REQUEST_ORDERS_MAX);
    uint32_t invalid = 0;
    uint32_t busy = 0;
    for (uint32_t i = 0; i < count; i++) {
        invalid += results[i].status == HF_INVALID;
        busy += results[i].status == HF_BUSY;
    }
    CHECK(invalid + busy <= count);
    call->response.status = count > 0 && invalid == count ? HF_INVALID : HF_OK;
    if (busy > 0 && busy == count) {
        call->response.status = HF_BUSY;
        call->response.retry_after_ms = REQUEST_MEMORY_RETRY_MS;
    }
    call->response.type = RESPONSE_ORDERS;
    call->response.orders.count = count;
    call->response.orders.results = results;
}

/* ---- Reserve, rows ---- */

/* A line that may be filled in another way than whole, from its own item, or not at all. */
static bool line_shaped(const struct line_message *line)
{
    return line->policy != LINE_ALL || line->min_qty > 0 || line->fallback_count > 0;
}

static bool check_policy(struct engine_call *call, struct answer_place place,
                         const struct line_message *line)
{
    if (line->policy > LINE_OPTIONAL) {
        answer_note(call, place, ".policy: %u, there is no such policy", line->policy);
        return false;
    }
    if (line->min_qty > 0 && line->policy != LINE_UP_TO) {
        answer_note(call, place, ".min_qty: only with the policy UP_TO");
        return false;
    }
    if (line->min_qty > line->qty) {
        answer_note(call, place, ".min_qty: %u, more than qty, %u", line->min_qty, line->qty);
        return false;
    }
    if (line->fallback_count > LINE_FALLBACKS_MAX) {
        answer_note(call, place, ".fallback: %u items, must be 0..%u", line->fallback_count,
                    LINE_FALLBACKS_MAX);
        return false;
    }
    return true;
}

/* Each item of a line's may be there once only. OK, INVALID or UNKNOWN_ITEM. */
static enum hf_status check_fallbacks(struct engine_call *call, struct answer_place place,
                                      uint32_t item, const struct line_message *line)
{
    CHECK(item != 0);
    CHECK(line->fallback_count <= LINE_FALLBACKS_MAX);
    for (uint32_t i = 0; i < line->fallback_count; i++) {
        uint32_t fallback = line->fallback[i];
        if (!inventory_has_item(call->engine->inventory, fallback)) {
            answer_note(call, place, ".fallback[%u]: there is no item %u", i, fallback);
            return HF_UNKNOWN_ITEM;
        }
        bool twice = fallback == item;
        for (uint32_t k = 0; k < i; k++) {
            twice |= fallback == line->fallback[k];
        }
        if (twice) {
            answer_note(call, place, ".fallback[%u]: the line has item %u already", i, fallback);
            return HF_INVALID;
        }
    }
    return HF_OK;
}

/* Checks one line and resolves its items. shape: NULL when no line of the order is shaped. */
static enum hf_status parse_line(struct engine_call *call, struct answer_place place,
                                 const struct line_message *line, struct order_line *out,
                                 struct line_shape *shape)
{
    if (line->qty == 0 || line->qty > QTY_MAX) {
        answer_note(call, place, ".qty: %u, must be 1..%u", line->qty, QTY_MAX);
        return HF_INVALID;
    }
    if (!check_policy(call, place, line)) {
        return HF_INVALID;
    }
    enum hf_status status;
    out->qty = line->qty;
    out->item =
        request_resolve(call->engine, call, place, line->item, line->sku, line->pool, &status);
    if (out->item == 0) {
        return status;
    }
    if (!shape) {
        return HF_OK;
    }
    /* With no item to fall back to there is nothing to split: the order is the same without. */
    *shape = (struct line_shape){.policy = (enum line_policy)line->policy,
                                 .min_qty = line->min_qty,
                                 .split = line->split && line->fallback_count > 0,
                                 .fallback_count = line->fallback_count,
                                 .fallbacks = line->fallback};
    return check_fallbacks(call, place, out->item, line);
}

/* True when all lines together fall back to no more items than may be tried for one order; else
 * *line is where there are too many. */
static bool fallbacks_fit(struct engine_call *call, struct answer_place place,
                          const struct order_message *message, uint32_t *line)
{
    uint64_t fallbacks = 0;
    for (uint32_t i = 0; i < message->line_count; i++) {
        fallbacks += message->lines[i].fallback_count;
        if (fallbacks > ORDER_FALLBACKS_MAX) {
            place.line = i;
            *line = i + 1;
            answer_note(call, place, ".fallback: all lines of the order fall back to more than %u",
                        ORDER_FALLBACKS_MAX);
            return false;
        }
    }
    return true;
}

/* The most grants that an order can have: one for each line, and in split lines one for each item.
 * 0 with a noted message when that is too many; *line is where. */
static uint32_t count_grants(struct engine_call *call, struct answer_place place,
                             const struct order_message *message, uint32_t *line)
{
    uint64_t grants = message->line_count;
    for (uint32_t i = 0; i < message->line_count; i++) {
        grants += message->lines[i].split ? message->lines[i].fallback_count : 0;
        if (grants > ORDER_LINES_MAX) {
            place.line = i;
            *line = i + 1;
            answer_note(call, place,
                        ".fallback: lines, and what split lines fall back to, are more than %u",
                        ORDER_LINES_MAX);
            return 0;
        }
    }
    CHECK(grants >= message->line_count);
    CHECK(grants <= ORDER_LINES_MAX);
    return (uint32_t)grants;
}

/* Memory for the grants of results: taken before an order is decided, so that what was granted can
 * be reported. */
struct grant_room {
    struct grant_message *next;
    uint32_t left;
};

static bool grant_room_make(struct engine_call *call, struct grant_room *room, uint32_t count)
{
    CHECK(count > 0);
    CHECK(count <= ORDER_LINES_MAX);
    if (room->left < count) {
        uint32_t more = count > GRANTS_ROOM ? count : GRANTS_ROOM;
        room->next = arena_alloc(call->arena, more * sizeof *room->next);
        room->left = room->next ? more : 0;
    }
    CHECK(!room->next || room->left >= count);
    return room->next != NULL;
}

/* Copies an outcome's grants, which the next operation would overwrite. */
static void take_grants(struct grant_room *room, const struct order_outcome *outcome,
                        struct result_message *result)
{
    CHECK(outcome->grant_count <= room->left);
    if (outcome->grant_count == 0) {
        return; /* there may be no room at all */
    }
    for (uint32_t i = 0; i < outcome->grant_count; i++) {
        const struct order_grant *grant = &outcome->grants[i];
        room->next[i] = (struct grant_message){.line = grant->line,
                                               .item = grant->item,
                                               .qty = grant->qty,
                                               .presale_qty = grant->presale_qty};
    }
    result->grants = room->next;
    result->grant_count = outcome->grant_count;
    room->next += outcome->grant_count;
    room->left -= outcome->grant_count;
}

/* For one order, which then is not begun. */
static enum hf_status no_memory(struct engine_call *call, struct answer_place place)
{
    if (call->arena->starved) {
        answer_note(call, place, ": out of memory");
        return HF_BUSY;
    }
    answer_note(call, place, ": the request needs more memory than one may take");
    return HF_INVALID;
}

/* Parses an order's lines into memory of their own. OK; else *line says which one is wrong. */
static enum hf_status parse_lines(struct engine_call *call, struct answer_place place,
                                  const struct order_message *message, struct order_request *order,
                                  uint32_t *line)
{
    CHECK(message->line_count > 0);
    CHECK(message->line_count <= ORDER_LINES_MAX);
    bool shaped = false;
    for (uint32_t i = 0; i < message->line_count; i++) {
        shaped |= line_shaped(&message->lines[i]);
    }
    struct order_line *lines = arena_alloc(call->arena, message->line_count * sizeof *lines);
    struct line_shape *shapes =
        shaped ? arena_alloc(call->arena, message->line_count * sizeof *shapes) : NULL;
    if (!lines || (shaped && !shapes)) {
        return no_memory(call, place);
    }
    for (uint32_t i = 0; i < message->line_count; i++) {
        place.line = i;
        enum hf_status status =
            parse_line(call, place, &message->lines[i], &lines[i], shaped ? &shapes[i] : NULL);
        if (status != HF_OK) {
            *line = i + 1;
            return status;
        }
    }
    order->line_count = message->line_count;
    order->lines = lines;
    order->shapes = shapes;
    return HF_OK;
}

/* Checks one order and resolves its lines. False: *outcome says what is wrong with it. */
static bool parse_order(struct engine_call *call, struct answer_place place,
                        const struct order_message *message, struct order_request *order,
                        struct grant_room *room, struct order_outcome *outcome)
{
    *order = (struct order_request){.buyer = message->buyer, .hold_ms = message->hold_ms};
    *outcome = (struct order_outcome){.status = HF_INVALID};
    if (!request_parse_id(call, place, message->id, &order->id)) {
        return false;
    }
    if (message->line_count == 0 || message->line_count > ORDER_LINES_MAX) {
        answer_note(call, place, ".lines: %u lines, must be 1..%u", message->line_count,
                    ORDER_LINES_MAX);
        return false;
    }
    uint32_t grants = count_grants(call, place, message, &outcome->blocking_line);
    if (grants == 0 || !fallbacks_fit(call, place, message, &outcome->blocking_line)) {
        return false;
    }
    outcome->status = parse_lines(call, place, message, order, &outcome->blocking_line);
    if (outcome->status == HF_OK && !grant_room_make(call, room, grants)) {
        outcome->status = no_memory(call, place);
    }
    CHECK(outcome->status != HF_OK || order->line_count == message->line_count);
    CHECK(outcome->status != HF_OK || room->left >= grants);
    return outcome->status == HF_OK;
}

static struct result_message *alloc_results(struct engine_call *call, uint32_t count)
{
    CHECK(count > 0);
    struct result_message *results = arena_calloc(call->arena, count, sizeof *results);
    (void)request_memory_fits(call, results);
    return results;
}

bool request_reserve(struct worker *worker, struct engine_call *call, const struct request *request)
{
    uint32_t count = request->reserve.count;
    if (!request_count_fits(call, "reserve.orders", count, REQUEST_ORDERS_MAX)) {
        return true;
    }
    struct result_message *results = alloc_results(call, count);
    if (!results) {
        return true;
    }
    struct grant_room room = {0};
    for (uint32_t i = 0; i < count; i++) {
        struct answer_place place = place_at("reserve.orders", i);
        struct order_request order;
        struct order_outcome outcome;
        if (parse_order(call, place, &request->reserve.orders[i], &order, &room, &outcome)) {
            if (!request_decide(worker, decide_reserve, &order, order.line_count, &outcome)) {
                return false;
            }
            note_refusal(call, place, &outcome);
        } else {
            request_note_outcome(worker, &outcome);
        }
        results[i] = result_of(worker, &outcome);
        take_grants(&room, &outcome, &results[i]);
    }
    finish_orders(call, results, count);
    return true;
}

/* ---- Commit, release, return, extend: rows ---- */

static bool parse_edit(struct engine_call *call, struct answer_place place,
                       const struct edit_message *message, bool may_be_late,
                       struct order_edit *edit, enum hf_status *status)
{
    *status = HF_INVALID;
    if (!request_parse_id(call, place, message->id, &edit->id)) {
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
        *status = no_memory(call, place);
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
    decide_function decide = request_decision(request->type, &name);
    uint32_t count = request->edit.count;
    if (!request_count_fits(call, name, count, REQUEST_ORDERS_MAX)) {
        return true;
    }
    struct result_message *results = alloc_results(call, count);
    if (!results) {
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct answer_place place = place_at(name, i);
        struct order_edit edit;
        struct order_outcome outcome = {.status = HF_INVALID};
        if (parse_edit(call, place, &request->edit.edits[i], request->type == REQUEST_COMMIT, &edit,
                       &outcome.status)) {
            if (!request_decide(worker, decide, &edit, 1, &outcome)) {
                return false;
            }
            note_refusal(call, place, &outcome);
        } else {
            request_note_outcome(worker, &outcome);
        }
        results[i] = result_of(worker, &outcome);
    }
    finish_orders(call, results, count);
    return true;
}

bool request_extend(struct worker *worker, struct engine_call *call, const struct request *request)
{
    struct result_message *result = alloc_results(call, 1);
    if (!result) {
        return true;
    }
    struct answer_place place = place_at("extend", PLACE_NONE);
    struct extension extension = {.hold_ms = request->extend.hold_ms};
    struct order_outcome outcome = {.status = HF_INVALID};
    if (request_parse_id(call, place, request->extend.id, &extension.id)) {
        if (!request_decide(worker, decide_extend, &extension, 1, &outcome)) {
            return false;
        }
        note_refusal(call, place, &outcome);
    } else {
        request_note_outcome(worker, &outcome);
    }
    *result = result_of(worker, &outcome);
    finish_orders(call, result, 1);
    return true;
}

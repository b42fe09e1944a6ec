/* sim_load.c - requests, with what the model says to each; expiry and forgetting.
 *
 * A request is decided by the model first, then submitted. What the engine then decided must have
 * left a record, and the decision is remembered with its LSN: a recovery keeps the decisions up to
 * some LSN, and the model makes just those again (sim_check.c). The answer comes when the log says
 * so, in some later step, and is compared then.
 *
 * Threads: one. */
#include <string.h>

#include "base/check.h"
#include "base/fields.h"
#include "base/limits.h"
#include "sim.h"

/* Two SKUs of two pools, one of one; the last item may be sold before it is there. */
static const struct {
    const char *sku;
    uint32_t sku_number;
    const char *pool;
    int64_t presale_cap;
} item_defs[ITEMS] = {
    {"A", 1, "near", 0}, {"A", 1, "far", 0},  {"B", 2, "near", 0},
    {"B", 2, "far", 4},  {"C", 3, "near", 8},
};
const char *const sim_sku_codes[1 + SKUS] = {"", "A", "B", "C"};

/* ---- The model ---- */

void sim_model_init(struct sim *sim)
{
    model_init(&sim->model, &sim->options.inventory);
    for (uint32_t i = 0; i < SKUS; i++) {
        model_add_sku(&sim->model);
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        model_add_item(&sim->model, item_defs[i].sku_number, 0, item_defs[i].presale_cap);
    }
}

static void decide_reserve(struct sim *sim, const struct decision *decision,
                           struct order_outcome *outcome)
{
    struct line_shape shapes[LINES_MAX];
    for (uint32_t i = 0; i < decision->line_count; i++) {
        shapes[i] = decision->shapes[i];
        shapes[i].fallbacks = decision->fallbacks[i];
    }
    struct order_request request = {.id = decision->id,
                                    .buyer = decision->buyer,
                                    .hold_ms = decision->hold_ms,
                                    .line_count = decision->line_count,
                                    .lines = decision->lines,
                                    .shapes = shapes};
    model_reserve(&sim->model, &request, outcome);
}

void sim_decide(struct sim *sim, const struct decision *decision, struct order_outcome *outcome,
                enum hf_status *status)
{
    struct model *model = &sim->model;
    model->now_ms = decision->now_ms;
    model->wall_ahead_ms = decision->wall_ahead_ms;
    struct order_edit edit = {decision->id, decision->late_ok, decision->named_count,
                              decision->named};
    bool replayed;
    switch (decision->kind) {
    case RESERVE:
        decide_reserve(sim, decision, outcome);
        break;
    case COMMIT:
        model_commit(model, &edit, outcome);
        break;
    case RELEASE:
        model_release(model, &edit, outcome);
        break;
    case RETURN:
        model_return(model, &edit, outcome);
        break;
    case EXTEND:
        model_extend(model, decision->id, decision->hold_ms, outcome);
        break;
    case ADJUST:
        *status = model_adjust(model, &decision->adjustment, &replayed);
        break;
    case MOVE:
        *status = model_move(model, &decision->move, &replayed);
        break;
    case RULE:
        model->skus[decision->sku] = decision->rule;
        break;
    case SAFETY:
        model->items[decision->item].safety = decision->safety;
        break;
    case EXPIRE:
        model_expire(model);
        break;
    case FORGET:
        CHECK(model_forget(model, decision->id));
        break;
    }
}

static void remember(struct sim *sim, const struct decision *decision)
{
    if (sim->history_count == sim->history_room) {
        sim->history_room = sim->history_room ? sim->history_room * 2 : 256;
        sim->history = realloc(sim->history, sim->history_room * sizeof *sim->history);
        CHECK(sim->history);
    }
    sim->history[sim->history_count++] = *decision;
}

/* Remembers a decision that the model made, and the engine after it: with the LSN of its record. A
 * decision that the log was closed upon is none. */
static void remember_order(struct sim *sim, struct decision *decision,
                           const struct order_outcome *outcome, uint64_t lsn_before)
{
    if (outcome->replayed) {
        return;
    }
    struct order_view view;
    enum hf_status status =
        inventory_order(engine_inventory(sim->engine), decision->id, &view, NULL, 0);
    if (outcome->status != HF_OK) {
        bool known = model_find(&sim->model, decision->id) != NULL;
        SIM_CHECK(sim, known == (status == HF_OK) || engine_failed(sim->engine),
                  "order %llu: the model says %s", (unsigned long long)decision->id.lo,
                  hf_status_name(outcome->status));
    } else if (status == HF_OK && view.lsn > lsn_before) {
        decision->lsn = view.lsn;
        remember(sim, decision);
    } else {
        SIM_CHECK(sim, engine_failed(sim->engine), "a decision left no record");
    }
}

/* ---- Answers ---- */

static void check_result(struct sim *sim, const struct order_outcome *expected,
                         enum hf_status status)
{
    SIM_CHECK(sim, status == expected->status, "the engine says %s, the model %s",
              hf_status_name(status), hf_status_name(expected->status));
}

static void check_grants(struct sim *sim, const struct order_outcome *expected,
                         const struct result_message *result)
{
    SIM_CHECK(sim, result->grant_count == expected->grant_count, "%u grants, the model has %u",
              result->grant_count, expected->grant_count);
    for (uint32_t i = 0; i < result->grant_count; i++) {
        const struct grant_message *grant = &result->grants[i];
        const struct order_grant *model = &expected->grants[i];
        SIM_CHECK(sim,
                  grant->line == model->line && grant->item == model->item &&
                      grant->qty == model->qty && grant->presale_qty == model->presale_qty,
                  "grant %u: line %u item %u qty %u, expected %u %u %u", i, grant->line,
                  grant->item, grant->qty, model->line, model->item, model->qty);
    }
}

static void check_list(struct sim_call *call)
{
    struct sim *sim = call->sim;
    const struct response *response = &call->call.response;
    SIM_CHECK(sim, response->status == HF_OK, "the list is refused: %s",
              hf_status_name(response->status));
    SIM_CHECK(sim, response->order_list.next.len == 0, "the list goes on");
    for (uint32_t i = 0; i < response->order_list.count; i++) {
        const struct order_info_message *order = &response->order_list.orders[i];
        SIM_CHECK(sim, order->id.len == ID_BYTES, "an id has %zu bytes", (size_t)order->id.len);
        uint64_t number = id_from_bytes(order->id.data).lo;
        SIM_CHECK(sim, number < IDS && order->state == (uint32_t)call->list_expected[number],
                  "order %llu is listed in state %u", (unsigned long long)number, order->state);
        call->list_expected[number] = ORDER_NONE;
    }
    for (uint32_t i = 0; i < IDS; i++) {
        SIM_CHECK(sim, call->list_expected[i] == ORDER_NONE, "order %u is not listed", i);
    }
}

static void check_answer(struct sim_call *call)
{
    struct sim *sim = call->sim;
    const struct response *response = &call->call.response;
    if (call->refused) {
        SIM_CHECK(sim, response->status == HF_READ_ONLY, "the disk is full, and the engine says %s",
                  hf_status_name(response->status));
        sim_reached(sim, REACH_READ_ONLY_REFUSED);
        return;
    }
    if (call->listed) {
        check_list(call);
        return;
    }
    if (call->adjusted) {
        enum hf_status status = response->adjust.results[0].status;
        SIM_CHECK(sim, status == call->adjust_expected, "adjust: the engine says %s, the model %s",
                  hf_status_name(status), hf_status_name(call->adjust_expected));
        return;
    }
    SIM_CHECK(sim, call->count > 0 || response->status == HF_OK, "a definition is refused: %.*s",
              (int)response->message.len, (const char *)response->message.data);
    for (uint32_t i = 0; i < call->count; i++) {
        if (call->columns) {
            check_result(sim, &call->expected[i],
                         response->batch.status_count ? (enum hf_status)response->batch.status[i]
                                                      : HF_OK);
            continue;
        }
        const struct result_message *result = &response->orders.results[i];
        check_result(sim, &call->expected[i], result->status);
        SIM_CHECK(sim, result->replayed == call->expected[i].replayed, "replayed differs");
        sim->reach[REACH_REPLAYED] += result->replayed;
        SIM_CHECK(sim, result->state == (uint32_t)call->expected[i].state, "state differs");
        SIM_CHECK(sim,
                  result->deadline_ms ==
                      time_shown_ms(call->expected[i].deadline_ms, call->shown_ahead_ms),
                  "deadline differs");
        SIM_CHECK(sim, result->blocking_line == call->expected[i].blocking_line,
                  "blocking line differs");
        check_grants(sim, &call->expected[i], result);
    }
}

static void call_free(struct sim_call *call)
{
    arena_deinit(&call->arena);
    free(call);
}

static void call_done(struct engine_call *engine_call)
{
    struct sim_call *call = (struct sim_call *)engine_call;
    struct sim *sim = call->sim;
    if (engine_call->response.status != HF_INTERNAL) {
        check_answer(call);
        if (engine_call->response.lsn > sim->acked_lsn) {
            sim->acked_lsn = engine_call->response.lsn;
        }
        sim_reached(sim, REACH_ANSWERS);
    }
    struct sim_call **link = &sim->calls;
    while (*link && *link != call) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = call->next;
    }
    call_free(call);
}

/* What the model says of the call's order i; its grants are kept. */
static void call_expect(struct sim_call *call, uint32_t i, const struct order_outcome *outcome)
{
    CHECK(outcome->grant_count <= GRANTS_MAX);
    call->expected[i] = *outcome;
    call->expected[i].grants = call->grants[i];
    if (outcome->grant_count > 0) {
        memcpy(call->grants[i], outcome->grants, outcome->grant_count * sizeof *outcome->grants);
    }
}

static struct sim_call *call_new(struct sim *sim, uint32_t count)
{
    struct sim_call *call = calloc(1, sizeof *call);
    CHECK(call);
    arena_init(&call->arena, MIB(1));
    call->sim = sim;
    call->count = count;
    call->shown_ahead_ms = sim->now.ahead_ms;
    call->call.arena = &call->arena;
    call->call.done = call_done;
    call->next = sim->calls;
    sim->calls = call;
    return call;
}

/* ---- Load ---- */

static struct decision decision_now(const struct sim *sim, enum kind kind)
{
    return (struct decision){.kind = kind,
                             .now_ms = sim->now_ms,
                             .wall_ahead_ms = (int64_t)(sim->now.wall_ms - sim->now.engine_ms)};
}

static struct id128 random_id(struct sim *sim)
{
    return (struct id128){ORDER_IDS_HI, rng_below(&sim->rng, IDS)};
}

static void random_shape(struct sim *sim, struct decision *decision, uint32_t line)
{
    struct rng *rng = &sim->rng;
    struct line_shape *shape = &decision->shapes[line];
    shape->policy = (enum line_policy)rng_below(rng, 3);
    if (shape->policy == LINE_UP_TO) {
        shape->min_qty = (uint32_t)rng_below(rng, decision->lines[line].qty + 1);
    }
    shape->fallback_count = (uint32_t)rng_below(rng, 1 + FALLBACKS_MAX);
    shape->split = shape->fallback_count > 0 && rng_chance(rng, 2);
    /* The items after the line's own, around: none twice. */
    for (uint32_t i = 0; i < shape->fallback_count; i++) {
        decision->fallbacks[line][i] = (decision->lines[line].item + i) % ITEMS + 1;
    }
}

static void random_decision(struct sim *sim, enum kind kind, struct decision *decision)
{
    struct rng *rng = &sim->rng;
    *decision = decision_now(sim, kind);
    decision->id = random_id(sim);
    decision->buyer = rng_below(rng, BUYERS);
    decision->hold_ms = rng_chance(rng, 2) ? (uint32_t)rng_below(rng, 60) : 0;
    decision->line_count = 1 + (uint32_t)rng_below(rng, LINES_MAX);
    for (uint32_t i = 0; i < decision->line_count; i++) {
        decision->lines[i] = (struct order_line){1 + (uint32_t)rng_below(rng, ITEMS),
                                                 1 + (uint32_t)rng_below(rng, 4)};
    }
    decision->late_ok = kind == COMMIT && rng_chance(rng, 2);
    if (rng_chance(rng, 3)) {
        decision->named_count = 1;
        decision->named[0] =
            (struct line_qty){1 + (uint32_t)rng_below(rng, 2), (uint32_t)rng_below(rng, 4)};
    }
}

/* Something that was decided before, to be asked for once more, as a caller does that has not heard
 * the answer. False: nothing of the kind was found. */
static bool repeated_decision(struct sim *sim, enum kind kind, struct decision *decision)
{
    for (int i = 0; i < 4 && sim->history_count > 0; i++) {
        const struct decision *past = &sim->history[rng_below(&sim->rng, sim->history_count)];
        if (past->kind == kind) {
            struct decision now = decision_now(sim, kind);
            *decision = *past;
            decision->now_ms = now.now_ms;
            decision->wall_ahead_ms = now.wall_ahead_ms;
            return true;
        }
    }
    return false;
}

/* Orders as messages, or as columns. */
struct order_batch {
    uint32_t count;
    struct decision decisions[BATCH_MAX];
    struct order_message orders[BATCH_MAX];
    struct line_message lines[BATCH_MAX][LINES_MAX];
    uint8_t ids[BATCH_MAX][ID_BYTES];
    uint64_t hi[BATCH_MAX];
    uint64_t lo[BATCH_MAX];
    uint64_t buyer[BATCH_MAX];
    uint32_t line_count[BATCH_MAX];
    uint32_t line_sum;
    uint32_t item[BATCH_MAX * LINES_MAX];
    uint32_t qty[BATCH_MAX * LINES_MAX];
};

static void batch_add(struct order_batch *batch, uint32_t i)
{
    const struct decision *decision = &batch->decisions[i];
    id_to_bytes(decision->id, batch->ids[i]);
    batch->hi[i] = decision->id.hi;
    batch->lo[i] = decision->id.lo;
    batch->buyer[i] = decision->buyer;
    batch->line_count[i] = decision->line_count;
    for (uint32_t k = 0; k < decision->line_count; k++) {
        const struct line_shape *shape = &decision->shapes[k];
        batch->lines[i][k] = (struct line_message){.item = decision->lines[k].item,
                                                   .qty = decision->lines[k].qty,
                                                   .policy = (uint32_t)shape->policy,
                                                   .min_qty = shape->min_qty,
                                                   .fallback_count = shape->fallback_count,
                                                   .fallback = decision->fallbacks[k],
                                                   .split = shape->split};
        batch->item[batch->line_sum] = decision->lines[k].item;
        batch->qty[batch->line_sum++] = decision->lines[k].qty;
    }
    batch->orders[i] = (struct order_message){.id = {batch->ids[i], ID_BYTES},
                                              .buyer = decision->buyer,
                                              .hold_ms = decision->hold_ms,
                                              .line_count = decision->line_count,
                                              .lines = batch->lines[i]};
}

static struct request batch_request(const struct order_batch *batch, bool columns)
{
    uint32_t count = batch->count;
    struct request request = {.type = columns ? REQUEST_RESERVE_BATCH : REQUEST_RESERVE};
    if (columns) {
        request.batch = (struct batch_message){.id_hi_count = count,
                                               .id_hi = batch->hi,
                                               .id_lo_count = count,
                                               .id_lo = batch->lo,
                                               .buyer_count = count,
                                               .buyer = batch->buyer,
                                               .item_count = batch->line_sum,
                                               .item = batch->item,
                                               .qty_count = batch->line_sum,
                                               .qty = batch->qty,
                                               .line_count_count = count,
                                               .line_count = batch->line_count,
                                               .hold_ms = batch->decisions[0].hold_ms};
    } else {
        request.reserve.count = count;
        request.reserve.orders = batch->orders;
    }
    return request;
}

static void random_order(struct sim *sim, bool columns, struct decision *decision)
{
    if (!columns && rng_chance(&sim->rng, 6) && repeated_decision(sim, RESERVE, decision)) {
        return;
    }
    random_decision(sim, RESERVE, decision);
    for (uint32_t k = 0; !columns && k < decision->line_count; k++) {
        if (rng_chance(&sim->rng, 2)) {
            random_shape(sim, decision, k);
        }
    }
}

void sim_submit_orders(struct sim *sim)
{
    bool columns = rng_chance(&sim->rng, 2);
    struct order_batch batch = {.count = 1 + (uint32_t)rng_below(&sim->rng, BATCH_MAX)};
    for (uint32_t i = 0; i < batch.count; i++) {
        struct decision *decision = &batch.decisions[i];
        random_order(sim, columns, decision);
        if (columns) {
            decision->hold_ms = batch.decisions[0].hold_ms;
        }
        batch_add(&batch, i);
    }
    struct request request = batch_request(&batch, columns);
    struct sim_call *call = call_new(sim, batch.count);
    call->columns = columns;
    for (uint32_t i = 0; i < batch.count; i++) {
        struct order_outcome outcome;
        sim_decide(sim, &batch.decisions[i], &outcome, NULL);
        call_expect(call, i, &outcome);
    }
    struct order_outcome outcomes[BATCH_MAX];
    memcpy(outcomes, call->expected,
           sizeof outcomes); /* the call may be gone when submit returns */
    uint64_t lsn_before = wal_tail_lsn(engine_wal(sim->engine));
    engine_submit(sim->engine, &call->call, &request);
    for (uint32_t i = 0; i < batch.count; i++) {
        remember_order(sim, &batch.decisions[i], &outcomes[i], lsn_before);
    }
}

static void submit_edit(struct sim *sim, enum kind kind)
{
    static const enum request_type types[] = {
        [COMMIT] = REQUEST_COMMIT, [RELEASE] = REQUEST_RELEASE, [RETURN] = REQUEST_RETURN};
    struct decision decision;
    if (!rng_chance(&sim->rng, 6) || !repeated_decision(sim, kind, &decision)) {
        random_decision(sim, kind, &decision);
    }
    uint8_t id[ID_BYTES];
    id_to_bytes(decision.id, id);
    struct line_qty_message named[LINES_MAX];
    for (uint32_t i = 0; i < decision.named_count; i++) {
        named[i] = (struct line_qty_message){decision.named[i].line, decision.named[i].qty};
    }
    struct edit_message edit = {.id = {id, ID_BYTES},
                                .late_ok = decision.late_ok,
                                .line_count = decision.named_count,
                                .lines = named};
    struct request request = {0};
    if (kind == EXTEND) {
        request.type = REQUEST_EXTEND;
        request.extend.id = edit.id;
        request.extend.hold_ms = decision.hold_ms;
    } else {
        request.type = types[kind];
        request.edit.count = 1;
        request.edit.edits = &edit;
    }
    struct sim_call *call = call_new(sim, 1);
    struct order_outcome outcome;
    sim_decide(sim, &decision, &outcome, NULL);
    call_expect(call, 0, &outcome);
    uint64_t lsn_before = wal_tail_lsn(engine_wal(sim->engine));
    engine_submit(sim->engine, &call->call, &request);
    remember_order(sim, &decision, &outcome, lsn_before);
}

/* Submits an adjustment or a move. */
static void submit_change(struct sim *sim, struct decision *decision,
                          const struct adjustment_message *message)
{
    struct request request = {.type = REQUEST_ADJUST};
    request.adjust.count = 1;
    request.adjust.adjustments = message;
    struct sim_call *call = call_new(sim, 1);
    call->adjusted = true;
    enum hf_status status = HF_INTERNAL;
    sim_decide(sim, decision, NULL, &status);
    call->adjust_expected = status;
    uint64_t lsn_before = wal_tail_lsn(engine_wal(sim->engine));
    engine_submit(sim->engine, &call->call, &request);
    decision->lsn = wal_tail_lsn(engine_wal(sim->engine));
    if (status == HF_OK && decision->lsn > lsn_before) {
        remember(sim, decision);
    }
}

/* A new id, or now and then one that was used, perhaps for something else. */
static struct id128 adjustment_id(struct sim *sim)
{
    bool again = sim->adjustments > ITEMS && rng_chance(&sim->rng, 6);
    return (struct id128){0xAD,
                          again ? rng_below(&sim->rng, sim->adjustments) : sim->adjustments++};
}

/* text_bytes: of its reason. */
static void submit_adjustment(struct sim *sim, struct id128 adjustment, uint32_t item,
                              int64_t delta, size_t text_bytes)
{
    static const char text[] = "counted once more, and then by somebody else, and once more by all "
                               "of them together, with a lamp, from the door";
    struct decision decision = decision_now(sim, ADJUST);
    decision.adjustment = (struct adjustment){.id = adjustment,
                                              .item = item,
                                              .delta = delta,
                                              .reason = {(const uint8_t *)text, text_bytes}};
    CHECK(text_bytes < sizeof text);
    uint8_t id[ID_BYTES];
    id_to_bytes(decision.adjustment.id, id);
    struct adjustment_message message = {.id = {id, ID_BYTES},
                                         .item = item,
                                         .has_delta = true,
                                         .delta = delta,
                                         .reason = decision.adjustment.reason};
    submit_change(sim, &decision, &message);
}

/* From any pool to the next item's: of the same SKU, or refused, before its id is read. */
static void submit_move(struct sim *sim)
{
    struct decision decision = decision_now(sim, MOVE);
    uint32_t from = 1 + (uint32_t)rng_below(&sim->rng, ITEMS);
    bool same = item_defs[from - 1].sku_number == item_defs[from % ITEMS].sku_number;
    struct id128 move_id = same ? adjustment_id(sim) : (struct id128){0xAD, sim->adjustments++};
    decision.move = (struct move){.id = move_id,
                                  .from = from,
                                  .to = from % ITEMS + 1,
                                  .units = 1 + (int64_t)rng_below(&sim->rng, 4)};
    uint8_t id[ID_BYTES];
    id_to_bytes(decision.move.id, id);
    struct adjustment_message message = {.id = {id, ID_BYTES},
                                         .item = from,
                                         .to_item = decision.move.to,
                                         .has_delta = true,
                                         .delta = decision.move.units};
    submit_change(sim, &decision, &message);
}

/* Submits a definition; one that changes nothing leaves no record. */
static void submit_definition(struct sim *sim, struct decision *decision,
                              const struct request *request)
{
    struct sim_call *call = call_new(sim, 0);
    sim_decide(sim, decision, NULL, NULL);
    uint64_t lsn_before = wal_tail_lsn(engine_wal(sim->engine));
    engine_submit(sim->engine, &call->call, request);
    decision->lsn = wal_tail_lsn(engine_wal(sim->engine));
    if (decision->lsn > lsn_before) {
        remember(sim, decision);
    }
}

/* Another limit for a SKU, or another time at which it is on sale. */
static void submit_rule(struct sim *sim)
{
    struct rng *rng = &sim->rng;
    struct decision decision = decision_now(sim, RULE);
    decision.sku = 1 + (uint32_t)rng_below(rng, SKUS);
    struct sku_message message = {.sku = bytes_of(sim_sku_codes[decision.sku]),
                                  .limit_per_buyer = 6 * (uint32_t)rng_below(rng, 3),
                                  .paused = rng_chance(rng, 6),
                                  .fields = SKU_FIELDS_ALL};
    if (rng_chance(rng, 4)) {
        message.opens_at_ms = sim->now.wall_ms + rng_below(rng, 40);
    }
    if (rng_chance(rng, 4)) {
        message.closes_at_ms = sim->now.wall_ms + 40 + rng_below(rng, 60); /* not before it opens */
    }
    decision.rule = (struct sku_rule){.limit_per_buyer = message.limit_per_buyer,
                                      .opens_at_ms = message.opens_at_ms,
                                      .closes_at_ms = message.closes_at_ms,
                                      .paused = message.paused};
    struct request request = {.type = REQUEST_DEFINE};
    request.define.sku_count = 1;
    request.define.skus = &message;
    submit_definition(sim, &decision, &request);
}

/* Another limit for a SKU, or whether its sale is paused; the rest of its rule stays. */
static void submit_rule_part(struct sim *sim)
{
    struct rng *rng = &sim->rng;
    struct decision decision = decision_now(sim, RULE);
    decision.sku = 1 + (uint32_t)rng_below(rng, SKUS);
    decision.rule = sim->model.skus[decision.sku];
    struct sku_message message = {.sku = bytes_of(sim_sku_codes[decision.sku])};
    if (rng_chance(rng, 2)) {
        message.fields = SKU_FIELD_LIMIT_PER_BUYER;
        message.limit_per_buyer = 6 * (uint32_t)rng_below(rng, 3);
        decision.rule.limit_per_buyer = message.limit_per_buyer;
    } else {
        message.fields = SKU_FIELD_PAUSED;
        message.paused = rng_chance(rng, 4);
        decision.rule.paused = message.paused;
    }
    struct request request = {.type = REQUEST_DEFINE};
    request.define.sku_count = 1;
    request.define.skus = &message;
    submit_definition(sim, &decision, &request);
}

/* An item's safety stock; the rest of its definition stays. */
static void submit_safety(struct sim *sim)
{
    struct decision decision = decision_now(sim, SAFETY);
    uint32_t i = (uint32_t)rng_below(&sim->rng, ITEMS);
    decision.item = i + 1;
    decision.safety = (int64_t)rng_below(&sim->rng, 3);
    struct item_message message = {.sku = bytes_of(item_defs[i].sku),
                                   .pool = bytes_of(item_defs[i].pool),
                                   .safety = decision.safety,
                                   .fields = ITEM_FIELD_SAFETY};
    struct request request = {.type = REQUEST_DEFINE};
    request.define.item_count = 1;
    request.define.items = &message;
    submit_definition(sim, &decision, &request);
}

/* A buyer's orders in one state, or all. */
static void submit_list(struct sim *sim)
{
    uint64_t buyer = rng_below(&sim->rng, BUYERS);
    uint32_t state = (uint32_t)rng_below(&sim->rng, ORDER_RETURNED + 1);
    struct request request = {.type = REQUEST_LIST_ORDERS};
    request.list_orders.buyer = buyer;
    request.list_orders.limit = 2 * IDS;
    request.list_orders.state_count = state != 0;
    request.list_orders.states = &state;
    struct sim_call *call = call_new(sim, 0);
    call->listed = true;
    for (uint32_t i = 0; i < IDS; i++) {
        const struct model_order *order = model_find(&sim->model, (struct id128){ORDER_IDS_HI, i});
        if (order && (buyer == 0 || order->buyer == buyer) &&
            (state == 0 || order->state == state)) {
            call->list_expected[i] = order->state;
        }
    }
    engine_submit(sim->engine, &call->call, &request);
}

void sim_expire(struct sim *sim)
{
    uint64_t expired = engine_expire(sim->engine);
    if (engine_failed(sim->engine) && expired == 0) {
        return;
    }
    struct decision decision = decision_now(sim, EXPIRE);
    sim->model.now_ms = sim->now_ms;
    uint32_t expected = model_expire(&sim->model);
    SIM_CHECK(sim, expired == expected, "%llu orders expired, the model says %u",
              (unsigned long long)expired, expected);
    if (expired > 0) {
        decision.lsn = wal_tail_lsn(engine_wal(sim->engine));
        remember(sim, &decision);
        sim->reach[REACH_EXPIRED] += expired;
    }
}

/* Whether something was done to an order after a time, as a part of it returned. */
static bool changed_since(const struct sim *sim, struct id128 id, uint64_t ms)
{
    for (uint32_t i = 0; i < sim->history_count; i++) {
        if (id_equal(sim->history[i].id, id) && sim->history[i].now_ms > ms) {
            return true;
        }
    }
    return false;
}

/* What had ended when the engine was started two starts ago must be forgotten retain_ended after
 * the last start but one, if its deadline's hint is gone: docs/decisions/0012. For the log has a
 * block of each start, and the marks that are made from blocks are at most 100 ms apart. */
static bool must_go(const struct sim *sim, const struct model_order *order)
{
    const uint64_t *starts_ms = sim->starts_ms;
    return order->state != ORDER_HELD && order->ended_ms <= starts_ms[2] &&
           starts_ms[2] + 100 <= starts_ms[1] &&
           starts_ms[1] + sim->options.retain_ended_ms <= sim->now_ms &&
           order->deadline_ms <= sim->now_ms && order->first_deadline_ms <= sim->now_ms &&
           !changed_since(sim, order->id, starts_ms[2]);
}

static void check_forgotten(struct sim *sim)
{
    for (uint32_t i = 0; i < IDS; i++) {
        const struct model_order *order = model_find(&sim->model, (struct id128){ORDER_IDS_HI, i});
        SIM_CHECK(sim, !order || !must_go(sim, order), "order %u should be forgotten by now", i);
    }
}

/* Whatever the engine forgets had ended, and long enough ago. */
static void forget(struct sim *sim)
{
    uint64_t forgotten = engine_forget(sim->engine);
    uint64_t lsn = wal_tail_lsn(engine_wal(sim->engine));
    for (uint32_t i = 0; i < IDS && forgotten > 0; i++) {
        struct decision decision = {
            .kind = FORGET, .now_ms = sim->now_ms, .lsn = lsn, .id = {ORDER_IDS_HI, i}};
        const struct model_order *order = model_find(&sim->model, decision.id);
        struct order_view view;
        if (order && inventory_order(engine_inventory(sim->engine), decision.id, &view, NULL, 0) ==
                         HF_NOT_FOUND) {
            SIM_CHECK(sim, order->state != ORDER_HELD, "order %u is forgotten while it is held", i);
            SIM_CHECK(sim, order->ended_ms + sim->options.retain_ended_ms <= sim->now_ms,
                      "order %u is forgotten too early", i);
            sim_decide(sim, &decision, NULL, NULL);
            remember(sim, &decision);
            forgotten--;
            sim_reached(sim, REACH_FORGOTTEN);
        }
    }
    SIM_CHECK(sim, forgotten == 0, "%llu more orders are said to be forgotten",
              (unsigned long long)forgotten);
    bool done = wal_admit(engine_wal(sim->engine)) == HF_OK;
    if (done && !sim->forgetting) {
        check_forgotten(sim);
    }
    sim->forgetting = !done;
}

void sim_submit_long(struct sim *sim)
{
    for (uint32_t i = 1 + (uint32_t)rng_below(&sim->rng, 20); i > 0 && sim_ready(sim); i--) {
        submit_adjustment(sim, adjustment_id(sim), 1 + i % ITEMS, i % 2 ? 1 : -1, 99);
    }
}

void sim_submit_refused(struct sim *sim)
{
    struct order_batch batch = {.count = 1};
    random_order(sim, false, &batch.decisions[0]);
    batch_add(&batch, 0);
    struct request request = batch_request(&batch, false);
    uint64_t lsn_before = wal_tail_lsn(engine_wal(sim->engine));
    struct sim_call *call = call_new(sim, 1);
    call->refused = true;
    engine_submit(sim->engine, &call->call, &request);
    SIM_CHECK(sim, wal_tail_lsn(engine_wal(sim->engine)) == lsn_before,
              "what was refused has left a record");
}

/* ---- What is asked ---- */

bool sim_ready(struct sim *sim)
{
    if (wal_admit(engine_wal(sim->engine)) != HF_OK) {
        return false;
    }
    sim_expire(sim);
    return wal_admit(engine_wal(sim->engine)) == HF_OK;
}

void sim_load(struct sim *sim)
{
    uint64_t what = rng_below(&sim->rng, 100);
    if (what < 38) {
        sim_submit_orders(sim);
    } else if (what < 77) {
        submit_edit(sim, (enum kind)(COMMIT + rng_below(&sim->rng, 4)));
    } else if (what < 83) {
        submit_adjustment(sim, adjustment_id(sim), 1 + (uint32_t)rng_below(&sim->rng, ITEMS),
                          (int64_t)rng_below(&sim->rng, 12) - 4, 7 * rng_below(&sim->rng, 3));
    } else if (what < 86) {
        submit_move(sim);
    } else if (what < 89) {
        submit_rule(sim);
    } else if (what < 91) {
        submit_rule_part(sim);
    } else if (what < 92) {
        submit_safety(sim);
    } else if (what < 95) {
        submit_list(sim);
    } else {
        forget(sim);
    }
}

void sim_drop_calls(struct sim *sim)
{
    while (sim->calls) {
        struct sim_call *call = sim->calls;
        sim->calls = call->next;
        call_free(call);
        sim_reached(sim, REACH_UNANSWERED);
    }
}

void sim_define_items(struct sim *sim)
{
    struct item_message items[ITEMS];
    for (uint32_t i = 0; i < ITEMS; i++) {
        items[i] = (struct item_message){.sku = bytes_of(item_defs[i].sku),
                                         .pool = bytes_of(item_defs[i].pool),
                                         .presale_cap = item_defs[i].presale_cap,
                                         .hot = i == 0};
    }
    struct request request = {.type = REQUEST_DEFINE};
    request.define.item_count = ITEMS;
    request.define.items = items;
    struct sim_call *call = call_new(sim, 0);
    engine_submit(sim->engine, &call->call, &request);
    for (uint32_t i = 0; i < ITEMS; i++) {
        submit_adjustment(sim, (struct id128){0xAD, sim->adjustments++}, i + 1, 16, 0);
    }
    while (sim->calls) {
        engine_step(sim->engine);
    }
}

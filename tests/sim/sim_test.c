/* sim_test.c - load, crash and recovery against the model, thousands of times, from seeds.
 *
 * One seed is one disk and several lives of an engine on it. In each life a random load is
 * submitted while the log's writer, the expirer and the clock are stepped in a random order; then
 * the power fails (between two operations or in the middle of one), the process is killed, or a
 * write fails. What the disk had not synced is lost, done, or torn at 512 bytes. Then the engine
 * recovers, and
 *
 *   - every answer that was given is still true: the recovered log reaches at least to the LSN that
 *     each answer depended on;
 *   - what was recovered is exactly what the model makes of a prefix of the decisions, in their
 *     order: all that were recovered, and nothing else;
 *   - stock and orders agree with each other, and with the digest.
 *
 * The machine's clock has faults of its own (sim_machine.h): it jumps, runs backwards, stops and
 * drifts, also while the engine is down; the machine is started anew now and then. The engine's
 * time must be the true time, less what went by between boots: so no hold ends before its deadline
 * and none later, and nothing is forgotten early, whatever the clock does.
 *
 * usage: sim_test [SEEDS]     SEED=n in the environment runs that one alone; HOLDFAST_LONG=1 more.
 * Threads: one. Prints the seed on failure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/fields.h"
#include "base/log.h"
#include "lib/budget.h"
#include "lib/model.h"
#include "lib/rng.h"
#include "lib/sim_clock.h"
#include "lib/sim_storage.h"
#include "server/engine.h"
#include "sim_machine.h"

#define ITEMS         5u
#define SKUS          3u
#define BUYERS        3u  /* 0 is none */
#define IDS           48u /* few, so that ids are met again */
#define LINES_MAX     3u
#define FALLBACKS_MAX 2u
#define GRANTS_MAX    (LINES_MAX * (1 + FALLBACKS_MAX))
#define BATCH_MAX     12u
#define LIVES         4u
#define STEPS         70u
#define SEEDS_FLOOR   100u
#define SEEDS_S       15.0
#define SEEDS_LONG    100000u
#define START_MS      1762790400000ull /* 2025-11-11 00:00 in Shanghai */

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
static const char *const sku_codes[1 + SKUS] = {"", "A", "B", "C"};

enum kind { RESERVE, COMMIT, RELEASE, RETURN, EXTEND, ADJUST, MOVE, RULE, EXPIRE, FORGET };

/* One decision, as the model needs it to make it again. */
struct decision {
    enum kind kind;
    uint64_t now_ms;
    int64_t wall_ahead_ms;
    uint64_t lsn; /* of its record */
    struct id128 id;
    uint64_t buyer;
    uint32_t hold_ms;
    uint32_t line_count;
    struct order_line lines[LINES_MAX];
    struct line_shape shapes[LINES_MAX]; /* without their fallbacks */
    uint32_t fallbacks[LINES_MAX][FALLBACKS_MAX];
    bool late_ok;
    uint32_t named_count;
    struct line_qty named[LINES_MAX];
    struct adjustment adjustment;
    struct move move;
    uint32_t sku;
    struct sku_rule rule;
};

/* A request under way, with what the model expects of it. */
struct sim_call {
    struct engine_call call;
    struct sim *sim;
    struct sim_call *next;
    struct arena arena;
    uint32_t count;
    bool columns;
    int64_t shown_ahead_ms; /* what deadlines are shown with */
    struct order_outcome expected[BATCH_MAX];
    struct order_grant grants[BATCH_MAX][GRANTS_MAX];
    bool adjusted;
    enum hf_status adjust_expected;
    bool listed;
    enum order_state list_expected[IDS]; /* ORDER_NONE: not in the list */
};

struct sim {
    uint64_t seed;
    struct rng rng;
    struct sim_machine machine;
    uint64_t now_ms;         /* what the engine's time should be */
    struct time_reading now; /* what it is, and wall time */
    struct storage *storage;
    struct engine *engine;
    struct engine_options options;
    struct model model;
    struct decision *history;
    uint32_t history_count;
    uint32_t history_room;
    struct sim_call *calls; /* under way */
    uint64_t acked_lsn;     /* the greatest that an answer depended on */
    uint32_t adjustments;
    uint64_t answers;
    uint64_t recoveries;
    uint64_t torn;
    uint64_t forgotten;
};

#define SIM_CHECK(sim, condition, ...)                                                             \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "SEED=%llu: %s: ", (unsigned long long)(sim)->seed, #condition);       \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- Time ---- */

/* Lets the engine look at the clock, and holds both its times against what is true. */
static void look_at_clock(struct sim *sim)
{
    char what[200];
    engine_tick(sim->engine, &sim->now);
    SIM_CHECK(sim, sim->now.engine_ms == sim->now_ms, "engine time is %lld ms off",
              (long long)(sim->now.engine_ms - sim->now_ms));
    SIM_CHECK(sim, sim_machine_check(&sim->machine, sim->now.wall_ms, what, sizeof what), "%s",
              what);
}

/* Time goes on while the engine runs. */
static void pass(struct sim *sim, uint64_t ms)
{
    sim_machine_pass(&sim->machine, ms);
    sim->now_ms += ms;
    look_at_clock(sim);
}

/* Time goes on while it does not; at times the machine is off for a while. */
static void pass_down(struct sim *sim)
{
    struct rng *rng = &sim->rng;
    uint64_t ms = rng_chance(rng, 2) ? 0 : rng_below(rng, rng_chance(rng, 4) ? 400000 : 100);
    sim_machine_pass(&sim->machine, ms);
    if (rng_chance(rng, 4)) {
        sim_machine_fault(&sim->machine, rng);
    }
    sim->now_ms += ms;
    if (rng_chance(rng, 4)) {
        sim_machine_boot(&sim->machine, rng_below(rng, 1000000));
    }
}

/* What the engine made of the time that it was down for. */
static void check_start(struct sim *sim, bool first)
{
    char what[200];
    struct time_reading now;
    engine_tick(sim->engine, &now);
    bool seen = sim_machine_started(&sim->machine);
    SIM_CHECK(sim, first || now.engine_ms <= sim->now_ms, "engine time is %lld ms ahead",
              (long long)(now.engine_ms - sim->now_ms));
    SIM_CHECK(sim, first || !seen || now.engine_ms == sim->now_ms,
              "the same boot, and engine time lacks %lld ms",
              (long long)(sim->now_ms - now.engine_ms));
    SIM_CHECK(sim,
              first || sim_machine_check_start(&sim->machine, seen, sim->now.wall_ms, now.wall_ms,
                                               what, sizeof what),
              "%s", what);
    sim->now_ms = now.engine_ms;
    sim->now = now;
}

/* ---- The model ---- */

static void model_items(struct sim *sim)
{
    model_init(&sim->model, &sim->options.inventory);
    for (uint32_t i = 0; i < SKUS; i++) {
        model_add_sku(&sim->model);
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        model_add_item(&sim->model, item_defs[i].sku_number, 0, item_defs[i].presale_cap);
    }
}

static void model_decide_reserve(struct sim *sim, const struct decision *decision,
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

/* Lets the model make a decision. `status` is for adjustments and moves. */
static void model_decide(struct sim *sim, const struct decision *decision,
                         struct order_outcome *outcome, enum hf_status *status)
{
    struct model *model = &sim->model;
    model->now_ms = decision->now_ms;
    model->wall_ahead_ms = decision->wall_ahead_ms;
    struct order_edit edit = {decision->id, decision->late_ok, decision->named_count,
                              decision->named};
    bool replayed;
    switch (decision->kind) {
    case RESERVE:
        model_decide_reserve(sim, decision, outcome);
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
        sim->answers++;
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
    return (struct id128){0x1111, rng_below(&sim->rng, IDS)};
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

static void submit_orders(struct sim *sim)
{
    bool columns = rng_chance(&sim->rng, 2);
    struct order_batch batch = {.count = 1 + (uint32_t)rng_below(&sim->rng, BATCH_MAX)};
    for (uint32_t i = 0; i < batch.count; i++) {
        struct decision *decision = &batch.decisions[i];
        random_decision(sim, RESERVE, decision);
        for (uint32_t k = 0; !columns && k < decision->line_count; k++) {
            if (rng_chance(&sim->rng, 2)) {
                random_shape(sim, decision, k);
            }
        }
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
        model_decide(sim, &batch.decisions[i], &outcome, NULL);
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
    random_decision(sim, kind, &decision);
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
    model_decide(sim, &decision, &outcome, NULL);
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
    model_decide(sim, decision, NULL, &status);
    call->adjust_expected = status;
    uint64_t lsn_before = wal_tail_lsn(engine_wal(sim->engine));
    engine_submit(sim->engine, &call->call, &request);
    decision->lsn = wal_tail_lsn(engine_wal(sim->engine));
    if (status == HF_OK && decision->lsn > lsn_before) {
        remember(sim, decision);
    }
}

static void submit_adjustment(struct sim *sim, uint32_t item, int64_t delta)
{
    struct decision decision = decision_now(sim, ADJUST);
    decision.adjustment =
        (struct adjustment){.id = {0xAD, sim->adjustments++}, .item = item, .delta = delta};
    uint8_t id[ID_BYTES];
    id_to_bytes(decision.adjustment.id, id);
    struct adjustment_message message = {
        .id = {id, ID_BYTES}, .item = item, .has_delta = true, .delta = delta};
    submit_change(sim, &decision, &message);
}

/* From any pool to the next item's: of the same SKU, or refused. */
static void submit_move(struct sim *sim)
{
    struct decision decision = decision_now(sim, MOVE);
    uint32_t from = 1 + (uint32_t)rng_below(&sim->rng, ITEMS);
    decision.move = (struct move){.id = {0xAD, sim->adjustments++},
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

/* Another limit for a SKU, or another time at which it is on sale. */
static void submit_rule(struct sim *sim)
{
    struct rng *rng = &sim->rng;
    struct decision decision = decision_now(sim, RULE);
    decision.sku = 1 + (uint32_t)rng_below(rng, SKUS);
    struct sku_message message = {.sku = bytes_of(sku_codes[decision.sku]),
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
    struct sim_call *call = call_new(sim, 0);
    model_decide(sim, &decision, NULL, NULL);
    uint64_t lsn_before = wal_tail_lsn(engine_wal(sim->engine));
    engine_submit(sim->engine, &call->call, &request);
    decision.lsn = wal_tail_lsn(engine_wal(sim->engine));
    if (decision.lsn > lsn_before) {
        remember(sim, &decision);
    }
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
        const struct model_order *order = model_find(&sim->model, (struct id128){0x1111, i});
        if (order && (buyer == 0 || order->buyer == buyer) &&
            (state == 0 || order->state == state)) {
            call->list_expected[i] = order->state;
        }
    }
    engine_submit(sim->engine, &call->call, &request);
}

static void expire(struct sim *sim)
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
    }
}

/* Whatever the engine forgets had ended, and long enough ago. */
static void forget(struct sim *sim)
{
    uint64_t forgotten = engine_forget(sim->engine);
    uint64_t lsn = wal_tail_lsn(engine_wal(sim->engine));
    for (uint32_t i = 0; i < IDS && forgotten > 0; i++) {
        struct decision decision = {
            .kind = FORGET, .now_ms = sim->now_ms, .lsn = lsn, .id = {0x1111, i}};
        const struct model_order *order = model_find(&sim->model, decision.id);
        struct order_view view;
        if (order && inventory_order(engine_inventory(sim->engine), decision.id, &view, NULL, 0) ==
                         HF_NOT_FOUND) {
            SIM_CHECK(sim, order->state != ORDER_HELD, "order %u is forgotten while it is held", i);
            SIM_CHECK(sim, order->ended_ms + sim->options.retain_ended_ms <= sim->now_ms,
                      "order %u is forgotten too early", i);
            model_decide(sim, &decision, NULL, NULL);
            remember(sim, &decision);
            forgotten--;
            sim->forgotten++;
        }
    }
    SIM_CHECK(sim, forgotten == 0, "%llu more orders are said to be forgotten",
              (unsigned long long)forgotten);
}

static void expire(struct sim *sim);

/* Minutes in which nothing is asked: long enough for a clock to be believed. */
static void be_quiet(struct sim *sim)
{
    for (uint64_t i = rng_below(&sim->rng, 45); i > 0 && !engine_failed(sim->engine); i--) {
        pass(sim, 9000 + rng_below(&sim->rng, 1000));
        expire(sim);
        engine_step(sim->engine);
    }
}

/* One random thing. Expiry goes before each operation, so that an operation that finds an order
 * past its deadline does not put two records where the history has one decision. */
static void act(struct sim *sim)
{
    uint64_t what = rng_below(&sim->rng, 100);
    if (what < 20) {
        if (rng_chance(&sim->rng, 30)) {
            sim_machine_fault(&sim->machine, &sim->rng);
        }
        pass(sim, rng_below(&sim->rng, 30));
        if (rng_chance(&sim->rng, 150)) {
            be_quiet(sim);
        }
        return;
    }
    if (what < 45) {
        engine_step(sim->engine);
        return;
    }
    if (wal_admit(engine_wal(sim->engine)) != HF_OK) {
        engine_step(sim->engine);
        return;
    }
    expire(sim);
    if (engine_failed(sim->engine)) {
        return;
    }
    if (what < 66) {
        submit_orders(sim);
    } else if (what < 88) {
        submit_edit(sim, (enum kind)(COMMIT + rng_below(&sim->rng, 4)));
    } else if (what < 91) {
        submit_adjustment(sim, 1 + (uint32_t)rng_below(&sim->rng, ITEMS),
                          (int64_t)rng_below(&sim->rng, 12) - 4);
    } else if (what < 93) {
        submit_move(sim);
    } else if (what < 95) {
        submit_rule(sim);
    } else if (what < 97) {
        submit_list(sim);
    } else {
        forget(sim);
    }
}

/* ---- Lives ---- */

static void stall(void *context)
{
    struct sim *sim = context;
    engine_step(sim->engine);
}

static void define_items(struct sim *sim)
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
        submit_adjustment(sim, i + 1, 16);
    }
    while (sim->calls) {
        engine_step(sim->engine);
    }
}

static void check_order(struct sim *sim, uint32_t number)
{
    struct id128 id = {0x1111, number};
    const struct model_order *expected = model_find(&sim->model, id);
    struct order_view view;
    struct order_line_view lines[GRANTS_MAX];
    struct inventory *inventory = engine_inventory(sim->engine);
    enum hf_status status = inventory_order(inventory, id, &view, lines, GRANTS_MAX);
    SIM_CHECK(sim, (status == HF_OK) == (expected != NULL), "order %u is %s", number,
              expected ? "lost" : "there, but was never decided");
    if (!expected) {
        return;
    }
    SIM_CHECK(sim, view.state == expected->state, "order %u: state %d, expected %d", number,
              view.state, expected->state);
    SIM_CHECK(sim, view.deadline_ms == expected->deadline_ms, "order %u: deadline", number);
    SIM_CHECK(sim, view.buyer == expected->buyer, "order %u: buyer", number);
    SIM_CHECK(sim, view.line_count == expected->grant_count, "order %u: grants", number);
    for (uint32_t i = 0; i < view.line_count; i++) {
        const struct order_line_view *grant = &expected->grants[i];
        SIM_CHECK(sim,
                  lines[i].item == grant->item && lines[i].qty == grant->qty &&
                      lines[i].released == grant->released &&
                      lines[i].committed == grant->committed &&
                      lines[i].returned == grant->returned,
                  "order %u: grant %u", number, i + 1);
        SIM_CHECK(sim,
                  lines[i].line == grant->line && lines[i].counted == grant->counted &&
                      lines[i].presale_qty == grant->presale_qty,
                  "order %u: what grant %u is told of", number, i + 1);
        SIM_CHECK(sim,
                  inventory_covered(inventory, &lines[i], view.state) ==
                      model_covered(&sim->model, expected, i),
                  "order %u: how much of grant %u is covered", number, i + 1);
    }
}

static void check_limits(struct sim *sim)
{
    for (uint32_t sku = 1; sku <= SKUS; sku++) {
        for (uint64_t buyer = 0; buyer < BUYERS; buyer++) {
            uint32_t units = inventory_buyer_units(engine_inventory(sim->engine),
                                                   bytes_of(sku_codes[sku]), buyer);
            uint32_t expected = model_buyer_units(&sim->model, sku, buyer);
            SIM_CHECK(sim, units == expected, "SKU %u: buyer %llu has %u units, expected %u", sku,
                      (unsigned long long)buyer, units, expected);
        }
    }
}

/* What was recovered is what the model makes of the decisions that were recovered. */
static void check_recovered(struct sim *sim, uint64_t lsn)
{
    uint32_t kept = 0;
    while (kept < sim->history_count && sim->history[kept].lsn <= lsn) {
        kept++;
    }
    sim->history_count = kept;
    model_deinit(&sim->model);
    model_items(sim);
    for (uint32_t i = 0; i < kept; i++) {
        struct order_outcome outcome = {.status = HF_OK};
        enum hf_status status = HF_OK;
        model_decide(sim, &sim->history[i], &outcome, &status);
        SIM_CHECK(sim, outcome.status == HF_OK && status == HF_OK, "the history is not repeatable");
    }
    for (uint32_t i = 0; i < IDS; i++) {
        check_order(sim, i);
    }
    check_limits(sim);
    for (uint32_t item = 1; item <= ITEMS; item++) {
        struct stock_view expected = model_stock(&sim->model, item);
        struct item_view view;
        enum hf_status status = inventory_item(engine_inventory(sim->engine), item, &view);
        SIM_CHECK(sim, status == HF_OK, "item %u is lost", item);
        SIM_CHECK(
            sim,
            view.stock.stocked == expected.stocked && view.stock.held == expected.held &&
                view.stock.sold == expected.sold && view.stock.available == expected.available,
            "item %u: stocked %lld held %lld sold %lld, expected %lld %lld %lld", item,
            (long long)view.stock.stocked, (long long)view.stock.held, (long long)view.stock.sold,
            (long long)expected.stocked, (long long)expected.held, (long long)expected.sold);
    }
    char what[256];
    SIM_CHECK(sim, inventory_verify(engine_inventory(sim->engine), what, sizeof what), "%s", what);
    SIM_CHECK(sim, inventory_digest(engine_inventory(sim->engine)) == engine_digest(sim->engine),
              "the digest differs");
}

static void forget_calls(struct sim *sim)
{
    while (sim->calls) {
        struct sim_call *call = sim->calls;
        sim->calls = call->next;
        call_free(call);
    }
}

/* Starts the engine; now and then the power fails while it recovers. */
static void begin_life(struct sim *sim)
{
    struct engine_recovery recovery;
    if (rng_chance(&sim->rng, 3)) {
        sim_storage_crash_after(sim->storage, 1 + rng_below(&sim->rng, 8));
        enum hf_status status =
            engine_open(&sim->engine, &sim->options, sim->storage, &sim->machine.clock, &recovery);
        SIM_CHECK(sim, status == HF_OK || sim_storage_crashed(sim->storage), "%s",
                  recovery.message);
        if (status == HF_OK) {
            engine_close(sim->engine);
        }
        sim_storage_crash_after(sim->storage, 0);
        sim_storage_crash(sim->storage);
    }
    enum hf_status status =
        engine_open(&sim->engine, &sim->options, sim->storage, &sim->machine.clock, &recovery);
    SIM_CHECK(sim, status == HF_OK, "the engine does not start: %s: %s", hf_status_name(status),
              recovery.message);
    SIM_CHECK(sim, recovery.lsn >= sim->acked_lsn, "recovered to LSN %llu, acknowledged to %llu",
              (unsigned long long)recovery.lsn, (unsigned long long)sim->acked_lsn);
    check_start(sim, sim->recoveries == 0);
    sim->recoveries++;
    sim->torn += recovery.torn_bytes > 0;
    wal_set_stall_hook(engine_wal(sim->engine), stall, sim);
    if (sim->history_count > 0 || sim->recoveries > 1) {
        check_recovered(sim, recovery.lsn);
    }
}

static void end_life(struct sim *sim)
{
    bool killed = !sim_storage_crashed(sim->storage) && rng_chance(&sim->rng, 3);
    sim_storage_crash_after(sim->storage, 0);
    sim_storage_fail_write(sim->storage, 0, HF_IO_ERROR);
    look_at_clock(sim);
    if (!killed) {
        sim_storage_stop(sim->storage);
    }
    engine_close(sim->engine);
    forget_calls(sim);
    if (killed) {
        sim_storage_kill(sim->storage);
    } else {
        sim_storage_crash(sim->storage);
    }
    pass_down(sim);
}

static void live(struct sim *sim)
{
    uint64_t fault = rng_below(&sim->rng, 10);
    if (fault < 6) {
        sim_storage_crash_after(sim->storage, 1 + rng_below(&sim->rng, 40));
    } else if (fault < 7) {
        sim_storage_fail_write(sim->storage, 1 + rng_below(&sim->rng, 15),
                               rng_chance(&sim->rng, 2) ? HF_IO_ERROR : HF_NO_SPACE);
    }
    uint64_t steps = STEPS / 4 + rng_below(&sim->rng, STEPS);
    for (uint64_t i = 0; i < steps && !engine_failed(sim->engine); i++) {
        act(sim);
    }
}

static void run_seed(uint64_t seed, struct sim *total)
{
    struct sim sim = {.seed = seed, .now_ms = START_MS};
    rng_init(&sim.rng, seed);
    sim_machine_init(&sim.machine, START_MS);
    sim.storage = sim_storage_make(seed);
    sim.options.inventory = (struct inventory_options){
        .items_max = ITEMS, .orders_max = 256, .hold_ms_default = 200, .hold_ms_max = 100000};
    sim.options.retain_ended_ms = 1 + rng_below(&sim.rng, 200);
    sim.options.wal =
        (struct wal_options){.segment_bytes = WAL_SEGMENT_BYTES_MIN,
                             .spare_segments = 1,
                             .keep_bytes = rng_below(&sim.rng, 8) * WAL_SEGMENT_BYTES_MIN,
                             .in_flight_max = 1,
                             .digest_every_bytes = 1 + rng_below(&sim.rng, 4000)};
    model_items(&sim);
    begin_life(&sim);
    define_items(&sim);
    for (uint32_t i = 0; i < LIVES; i++) {
        live(&sim);
        end_life(&sim);
        begin_life(&sim);
    }
    engine_close(sim.engine);
    storage_destroy(sim.storage);
    model_deinit(&sim.model);
    free(sim.history);
    total->answers += sim.answers;
    total->recoveries += sim.recoveries;
    total->torn += sim.torn;
    total->forgotten += sim.forgotten;
    sim_machine_add(&total->machine, &sim.machine);
}

int main(int argc, char **argv)
{
    log_set_level(LOG_ERROR + 1);
    struct budget budget = budget_make("seeds", SEEDS_FLOOR, SEEDS_S, SEEDS_LONG);
    if (argc > 1) {
        budget.floor = strtoull(argv[1], NULL, 10);
        budget.most = budget.floor;
    }
    uint64_t first = rng_seed_from_env(1);
    struct sim total = {0};
    while (budget_next(&budget)) {
        run_seed(first + budget.round, &total);
        if ((budget.round + 1) % 500 == 0) {
            fprintf(stderr, "%llu seeds\n", (unsigned long long)(budget.round + 1));
        }
    }
    printf("seeds from %llu: %llu answers, %llu recoveries, %llu torn tails, %llu forgotten\n",
           (unsigned long long)first, (unsigned long long)total.answers,
           (unsigned long long)total.recoveries, (unsigned long long)total.torn,
           (unsigned long long)total.forgotten);
    sim_machine_print(&total.machine);
    return 0;
}

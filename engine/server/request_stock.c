/* request_stock.c - definitions, adjustments and moves.
 *
 * Definitions and adjustments are made one at a time, each appended and published before the next:
 * they are rare, and the next may build on the one before.
 * Threads: any; they take the core's admin lock. */
#include "server/request_stock.h"

#include <string.h>

#include "base/check.h"
#include "core/plan.h"
#include "server/engine_internal.h"
#include "server/request_check.h"

/* ---- Define ---- */

/* What the fields of a definition are called in messages: a request's own, and that which a dry run
 * of adjustments may begin with. */
struct define_names {
    const char *whole;
    const char *skus;
    const char *items;
};

static const struct define_names define_names = {"define", "define.skus", "define.items"};
static const struct define_names after_names = {"adjust.after", "adjust.after.skus",
                                                "adjust.after.items"};

/* A time when a sale opens or closes; 0: none. */
static bool check_sale_time(struct engine_call *call, struct answer_place place, const char *field,
                            uint64_t unix_ms)
{
    if (unix_ms == 0 || (unix_ms >= SALE_TIME_MS_MIN && unix_ms <= SALE_TIME_MS_MAX)) {
        return true;
    }
    answer_note(call, place,
                ".%s: %llu, must be Unix milliseconds of the years 2000 to 2099, or 0 for none",
                field, (unsigned long long)unix_ms);
    return false;
}

static bool check_sku(struct engine_call *call, struct answer_place place,
                      const struct sku_message *sku)
{
    return check_range(call, place, "fields", sku->fields, 0, SKU_FIELDS_ALL) &&
           check_sale_time(call, place, "opens_at_ms", sku->opens_at_ms) &&
           check_sale_time(call, place, "closes_at_ms", sku->closes_at_ms);
}

static bool check_item(struct engine_call *call, struct answer_place place,
                       const struct item_message *item)
{
    return check_range(call, place, "safety", item->safety, 0, STOCK_MAX) &&
           check_range(call, place, "presale_cap", item->presale_cap, 0, STOCK_MAX) &&
           check_range(call, place, "fields", item->fields, 0, ITEM_FIELDS_ALL);
}

/* Checks each definition by itself. */
static bool check_define(struct engine_call *call, const struct define_message *define,
                         const struct define_names *names)
{
    uint64_t count = (uint64_t)define->sku_count + define->item_count;
    if (count == 0 || count > REQUEST_ADMIN_MAX) {
        answer_fail(call, HF_INVALID, "%s: %llu definitions, must be 1..%u", names->whole,
                    (unsigned long long)count, REQUEST_ADMIN_MAX);
        return false;
    }
    bool before = define->skus_before != 0 || define->items_before != 0;
    if (before && names == &define_names && !define->dry_run) {
        answer_fail(call, HF_INVALID, "%s.%s: only with dry_run", names->whole,
                    define->skus_before != 0 ? "skus_before" : "items_before");
        return false;
    }
    bool fine = true;
    for (uint32_t i = 0; i < define->sku_count && fine; i++) {
        fine = check_sku(call, place_at(names->skus, i), &define->skus[i]);
    }
    for (uint32_t i = 0; i < define->item_count && fine; i++) {
        fine = check_item(call, place_at(names->items, i), &define->items[i]);
    }
    if (!fine) {
        call->response.status = HF_INVALID;
    }
    return fine;
}

/* Puts copies in the definition's place, with their texts as they are to be kept. False: the answer
 * says what is wrong. */
static bool take_texts(struct engine *engine, struct engine_call *call,
                       struct define_message *define, const struct define_names *names)
{
    CHECK(define->sku_count + (uint64_t)define->item_count <= REQUEST_ADMIN_MAX);
    struct sku_message *skus = arena_calloc(call->arena, define->sku_count, sizeof *skus);
    struct item_message *items = arena_calloc(call->arena, define->item_count, sizeof *items);
    if (!request_memory_fits(call, skus) || !request_memory_fits(call, items)) {
        return false;
    }
    bool fine = true;
    for (uint32_t i = 0; i < define->sku_count && fine; i++) {
        struct answer_place place = place_at(names->skus, i);
        skus[i] = define->skus[i];
        fine = request_take_sku(engine, call, place, "sku", &skus[i].sku) &&
               request_take_text(call, place, "label", TEXT_LABEL, &skus[i].label);
    }
    for (uint32_t i = 0; i < define->item_count && fine; i++) {
        items[i] = define->items[i];
        fine = request_take_item(engine, call, place_at(names->items, i), &items[i].sku,
                                 &items[i].pool);
    }
    define->skus = skus;
    define->items = items;
    if (!fine) {
        call->response.status = HF_INVALID;
    }
    return fine;
}

/* Checks definitions as far as possible before they are planned. */
static bool take_define(struct engine *engine, struct engine_call *call,
                        struct define_message *define, const struct define_names *names)
{
    return check_define(call, define, names) && take_texts(engine, call, define, names);
}

static struct sku_rule rule_of(const struct sku_message *sku)
{
    return (struct sku_rule){
        .sku = sku->sku,
        .label = sku->label,
        .limit_per_buyer = sku->limit_per_buyer,
        .opens_at_ms = sku->opens_at_ms,
        .closes_at_ms = sku->closes_at_ms,
        .paused = sku->paused,
        .hold_ms = sku->hold_ms,
        .hold_ms_max = sku->hold_ms_max,
    };
}

static struct item_def def_of(const struct item_message *item)
{
    return (struct item_def){
        .sku = item->sku,
        .pool = item->pool,
        .safety = item->safety,
        .presale_cap = item->presale_cap,
        .hot = item->hot,
    };
}

/* Notes what a plan found wrong with one definition. */
static enum hf_status note_planned(struct engine *engine, struct engine_call *call,
                                   struct answer_place place, enum hf_status status,
                                   const struct misfit *misfit)
{
    if (status == HF_INVALID) {
        answer_note(call, place, ".%s: %s", misfit->field, misfit->reason);
    } else if (status == HF_FULL) {
        answer_note(call, place, ": items-max (%u) is reached",
                    engine->options.inventory.items_max);
    }
    return status;
}

/* Under the lock: checks what would result of all definitions, in their order, and fills in the
 * items' handles. OK; INVALID or FULL with the message there. */
static enum hf_status plan_all(struct engine *engine, struct engine_call *call, struct plan *plan,
                               const struct define_message *define,
                               const struct define_names *names, uint32_t *items)
{
    CHECK(plan != NULL);
    CHECK(items != NULL || define->item_count == 0);
    enum hf_status status = HF_OK;
    struct misfit misfit = {0};
    plan_assume_made(plan, define->skus_before, define->items_before);
    for (uint32_t i = 0; i < define->sku_count && status == HF_OK; i++) {
        struct sku_rule rule = rule_of(&define->skus[i]);
        status =
            note_planned(engine, call, place_at(names->skus, i),
                         plan_define_sku(plan, &rule, define->skus[i].fields, &misfit), &misfit);
    }
    for (uint32_t i = 0; i < define->item_count && status == HF_OK; i++) {
        struct item_def def = def_of(&define->items[i]);
        status =
            note_planned(engine, call, place_at(names->items, i),
                         plan_define_item(plan, &def, define->items[i].fields, &items[i]), &misfit);
    }
    return status;
}

static enum hf_status define_one_sku(struct worker *worker, const struct sku_message *sku)
{
    CHECK(worker->txn.event_count == 0);
    struct sku_rule rule = rule_of(sku);
    enum hf_status status = worker_admit(worker);
    if (status == HF_OK) {
        status = inventory_change_sku(&worker->txn, &rule, sku_fields_named(&rule, sku->fields));
    }
    return status == HF_OK && !worker_flush(worker) ? HF_INTERNAL : status;
}

static enum hf_status define_one_item(struct worker *worker, const struct item_message *item,
                                      uint32_t *handle)
{
    CHECK(worker->txn.event_count == 0);
    struct item_def def = def_of(item);
    enum hf_status status = worker_admit(worker);
    if (status == HF_OK) {
        status = inventory_change_item(&worker->txn, &def, item_fields_named(&def, item->fields),
                                       handle);
    }
    return status == HF_OK && !worker_flush(worker) ? HF_INTERNAL : status;
}

/* Defines what has been planned. OK; FULL: no memory for a name; READ_ONLY: the disk has filled up
 * on the way; INTERNAL: the log is closed. */
static enum hf_status define_all(struct worker *worker, const struct define_message *define,
                                 uint32_t *items)
{
    CHECK(!define->dry_run);
    enum hf_status status = HF_OK;
    for (uint32_t i = 0; i < define->sku_count && status == HF_OK; i++) {
        status = define_one_sku(worker, &define->skus[i]);
    }
    for (uint32_t i = 0; i < define->item_count && status == HF_OK; i++) {
        status = define_one_item(worker, &define->items[i], &items[i]);
    }
    return status;
}

/* The answer's part about definitions. Items that are not there have no handle to report. */
static struct defined_message defined(const struct plan *plan, uint32_t *items, uint32_t count,
                                      bool dry_run)
{
    struct plan_counts counts = plan_counts(plan);
    for (uint32_t i = 0; i < count && dry_run; i++) {
        items[i] = plan_makes_item(plan, items[i]) ? 0 : items[i];
    }
    return (struct defined_message){
        .count = count,
        .items = items,
        .skus_made = counts.skus_made,
        .skus_changed = counts.skus_changed,
        .items_made = counts.items_made,
        .items_changed = counts.items_changed,
    };
}

/* Under the lock: all of a request is checked before its first change. */
static enum hf_status plan_and_define(struct worker *worker, struct engine_call *call,
                                      const struct define_message *define, uint32_t *items)
{
    struct engine *engine = call->engine;
    struct plan *plan =
        plan_make(engine->inventory, define->sku_count + define->item_count, define->item_count);
    if (!request_memory_there(call, plan)) {
        return call->response.status;
    }
    enum hf_status status = plan_all(engine, call, plan, define, &define_names, items);
    if (status != HF_OK) {
        call->response.status = status; /* the message is there */
    } else if (!define->dry_run) {
        status = define_all(worker, define, items);
        if (status == HF_READ_ONLY) {
            answer_fail(call, status,
                        "define: the disk is full; only the first definitions were made");
        } else if (status != HF_OK) {
            answer_fail(call, status,
                        "define: out of memory; only the first definitions were made");
        }
    }
    if (status == HF_OK) {
        call->response.type = RESPONSE_DEFINE;
        call->response.define = defined(plan, items, define->item_count, define->dry_run);
    }
    plan_free(plan);
    return status;
}

bool request_define(struct worker *worker, struct engine_call *call, const struct request *request)
{
    struct define_message define = request->define;
    if (!take_define(call->engine, call, &define, &define_names)) {
        return true;
    }
    uint32_t *items = arena_calloc(call->arena, define.item_count, sizeof *items);
    if (!request_memory_fits(call, items)) {
        return true;
    }
    worker->depends_on_tail = true; /* an unchanged definition has no record of its own */
    inventory_admin_lock(call->engine->inventory);
    enum hf_status status = plan_and_define(worker, call, &define, items);
    CHECK(status == HF_INTERNAL || worker->txn.event_count == 0);
    inventory_admin_unlock(call->engine->inventory);
    return status != HF_INTERNAL;
}

/* ---- Adjust ---- */

/* What an adjustment and a move have in common. OK with the item that it names; INVALID or
 * UNKNOWN_ITEM with a noted message. */
static enum hf_status parse_named(const struct stockroom *room, struct engine_call *call,
                                  struct answer_place place,
                                  const struct adjustment_message *message, struct id128 *id,
                                  uint32_t *item)
{
    if (!request_parse_id(call, place, message->id, id)) {
        return HF_INVALID;
    }
    enum hf_status status;
    *item =
        request_resolve_in(room, call, place, message->item, message->sku, message->pool, &status);
    return *item == 0 ? status : HF_OK;
}

static enum hf_status parse_adjustment(const struct stockroom *room, struct engine_call *call,
                                       struct answer_place place,
                                       const struct adjustment_message *message,
                                       struct adjustment *out)
{
    *out = (struct adjustment){
        .has_set_to = message->has_set_to,
        .delta = message->delta,
        .set_to = message->set_to,
        .has_expected = message->has_expected,
        .expected = message->expected,
        .force = message->force,
        .reason = message->reason,
        .reference = message->reference,
    };
    if (!message->has_delta && !message->has_set_to) {
        answer_note(call, place, ".delta: neither delta nor set_to is given");
        return HF_INVALID;
    }
    if (!check_range(call, place, "delta", message->has_delta ? message->delta : 0, -STOCK_MAX,
                     STOCK_MAX) ||
        !check_range(call, place, "set_to", message->has_set_to ? message->set_to : 0, 0,
                     STOCK_MAX)) {
        return HF_INVALID;
    }
    return parse_named(room, call, place, message, &out->id, &out->item);
}

/* The item that a move goes to: another pool of the SKU that `from` is of. */
static enum hf_status resolve_to(const struct stockroom *room, struct engine_call *call,
                                 struct answer_place place,
                                 const struct adjustment_message *message, uint32_t from,
                                 uint32_t *to)
{
    struct item_view view;
    enum hf_status status = stockroom_item(room, from, &view);
    CHECK(status == HF_OK);
    const char *field = message->to_item != 0 ? "to_item" : "to_pool";
    *to = message->to_item;
    if (*to == 0) {
        struct bytes pool = message->to_pool;
        if (!request_take_pool(room->engine, call, place, "to_pool", view.sku, &pool)) {
            return HF_INVALID;
        }
        *to = stockroom_find(room, view.sku, pool);
    }
    struct item_view there;
    if (*to == 0 || stockroom_item(room, *to, &there) != HF_OK) {
        answer_note(call, place, ".%s: there is no such item", field);
        return HF_UNKNOWN_ITEM;
    }
    if (*to == from) {
        answer_note(call, place, ".%s: the units are there already", field);
        return HF_INVALID;
    }
    if (!bytes_equal(there.sku, view.sku)) {
        answer_note(call, place, ".%s: an item of another SKU; units move between pools of one SKU",
                    field);
        return HF_INVALID;
    }
    return HF_OK;
}

static enum hf_status parse_move(const struct stockroom *room, struct engine_call *call,
                                 struct answer_place place,
                                 const struct adjustment_message *message, struct move *out)
{
    *out = (struct move){
        .units = message->delta,
        .has_expected = message->has_expected,
        .expected = message->expected,
        .force = message->force,
        .reason = message->reason,
        .reference = message->reference,
    };
    if (message->has_set_to || !message->has_delta) {
        answer_note(call, place, ".delta: must be given: how many units to move");
        return HF_INVALID;
    }
    if (!check_range(call, place, "delta", message->delta, 1, STOCK_MAX)) {
        return HF_INVALID;
    }
    enum hf_status status = parse_named(room, call, place, message, &out->id, &out->from);
    return status == HF_OK ? resolve_to(room, call, place, message, out->from, &out->to) : status;
}

static bool stock_now(const struct stockroom *room, uint32_t item, struct stock_message *stock)
{
    struct item_view view;
    if (stockroom_item(room, item, &view) != HF_OK) {
        return false;
    }
    *stock = request_stock_of(&view);
    if (room->plan && plan_makes_item(room->plan, item)) {
        stock->item = 0; /* no handle that could be used */
    }
    return true;
}

/* An adjustment or a move. */
struct asked_change {
    bool moves;
    struct adjustment adjustment;
    struct move move;
};

/* Says in a plan what it would come to. */
static void plan_one(struct plan *plan, const struct asked_change *asked,
                     struct adjust_result_message *result)
{
    CHECK(plan != NULL);
    result->status = asked->moves
                         ? plan_move(plan, &asked->move, &result->replayed, &result->delta)
                         : plan_adjust(plan, &asked->adjustment, &result->replayed, &result->delta);
}

/* Decides, appends and publishes it. False: the log is closed. */
static bool make_one(struct worker *worker, const struct asked_change *asked,
                     struct adjust_result_message *result)
{
    CHECK(worker->txn.event_count == 0);
    result->status = worker_admit(worker);
    if (result->status == HF_OK) {
        result->status =
            asked->moves ? inventory_move(&worker->txn, &asked->move, &result->replayed)
                         : inventory_adjust(&worker->txn, &asked->adjustment, &result->replayed);
    }
    CHECK(worker->txn.event_count <= 1);
    CHECK(result->status == HF_OK || worker->txn.event_count == 0);
    if (worker->txn.event_count > 0) {
        const struct event *event = &worker->txn.events[0];
        result->delta = asked->moves ? -event->move->units : event->adjust->delta;
    }
    return worker_flush(worker);
}

/* One adjustment or move, made or planned. False: the log is closed. */
static bool adjust_one(struct worker *worker, const struct stockroom *room,
                       struct engine_call *call, struct answer_place place,
                       const struct adjustment_message *message,
                       struct adjust_result_message *result)
{
    struct asked_change asked = {.moves = message->to_item != 0 || message->to_pool.len > 0};
    struct adjustment_message taken = *message;
    if (!request_take_text(call, place, "reason", TEXT_REASON, &taken.reason) ||
        !request_take_text(call, place, "reference", TEXT_REASON, &taken.reference)) {
        result->status = HF_INVALID;
        return true;
    }
    message = &taken;
    result->status = asked.moves ? parse_move(room, call, place, message, &asked.move)
                                 : parse_adjustment(room, call, place, message, &asked.adjustment);
    if (result->status != HF_OK) {
        return true;
    }
    if (room->plan) {
        plan_one(room->plan, &asked, result);
    } else if (!make_one(worker, &asked, result)) {
        return false;
    }
    CHECK(room->plan || worker->txn.event_count == 0);
    if (result->status == HF_INVALID) {
        /* The adjustment itself has been checked: it is the sum that is refused. */
        answer_note(call, place, ": stock would fall below 0 or exceed 2^53");
    } else if (result->status != HF_OK) {
        answer_note(call, place, ": %s", hf_status_text(result->status));
    }
    result->has_stock =
        stock_now(room, asked.moves ? asked.move.from : asked.adjustment.item, &result->stock);
    result->has_to_stock = asked.moves && stock_now(room, asked.move.to, &result->to_stock);
    return true;
}

/* Under the lock. False: the log is closed. */
static bool adjust_all(struct worker *worker, const struct stockroom *room,
                       struct engine_call *call, const struct request *request,
                       struct adjust_result_message *results)
{
    uint32_t count = request->adjust.count;
    uint32_t invalid = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!adjust_one(worker, room, call, place_at("adjust.adjustments", i),
                        &request->adjust.adjustments[i], &results[i])) {
            return false;
        }
        invalid += results[i].status == HF_INVALID;
    }
    CHECK(invalid <= count);
    call->response.status = count > 0 && invalid == count ? HF_INVALID : HF_OK;
    call->response.type = RESPONSE_ADJUST;
    call->response.adjust.count = count;
    call->response.adjust.results = results;
    return true;
}

/* Under the lock: what all of it would come to, after the definitions that the dry run begins
 * with. items: room for their handles. */
static void adjust_dry(struct worker *worker, struct engine_call *call,
                       const struct request *request, uint32_t *items,
                       struct adjust_result_message *results)
{
    const struct define_message *after = &request->adjust.after;
    uint32_t changes = request->adjust.count;
    struct plan *plan =
        plan_make(call->engine->inventory, after->sku_count + after->item_count + 2 * changes,
                  after->item_count + 2 * changes);
    if (!request_memory_there(call, plan)) {
        return;
    }
    enum hf_status status = plan_all(call->engine, call, plan, after, &after_names, items);
    if (status != HF_OK) {
        call->response.status = status; /* the message is there */
    } else {
        struct stockroom room = {call->engine, plan};
        bool fine = adjust_all(worker, &room, call, request, results);
        CHECK(fine); /* nothing is appended */
        call->response.adjust.has_after = request->adjust.has_after;
        call->response.adjust.after = defined(plan, items, after->item_count, true);
    }
    plan_free(plan);
}

static bool check_adjust(struct engine_call *call, const struct request *request)
{
    uint32_t count = request->adjust.count;
    bool has_after = request->adjust.has_after;
    if (count > REQUEST_ADMIN_MAX || (count == 0 && !has_after)) {
        answer_fail(call, HF_INVALID, "adjust.adjustments: %u of them, must be 1..%u", count,
                    REQUEST_ADMIN_MAX);
        return false;
    }
    if (has_after && !request->adjust.dry_run) {
        answer_fail(call, HF_INVALID, "adjust.after: only with dry_run");
        return false;
    }
    return true;
}

bool request_adjust(struct worker *worker, struct engine_call *call, const struct request *request)
{
    struct request taken = *request;
    if (!check_adjust(call, request) ||
        (request->adjust.has_after &&
         !take_define(call->engine, call, &taken.adjust.after, &after_names))) {
        return true;
    }
    request = &taken;
    uint32_t count = request->adjust.count;
    struct adjust_result_message *results = arena_calloc(call->arena, count, sizeof *results);
    uint32_t *items = arena_calloc(call->arena, request->adjust.after.item_count, sizeof *items);
    if (!request_memory_fits(call, results) || !request_memory_fits(call, items)) {
        return true;
    }
    worker->depends_on_tail = true; /* the answer shows the stock as it is now */
    bool fine = true;
    inventory_admin_lock(call->engine->inventory);
    if (request->adjust.dry_run) {
        adjust_dry(worker, call, request, items, results);
    } else {
        struct stockroom room = {call->engine, NULL};
        fine = adjust_all(worker, &room, call, request, results);
    }
    CHECK(!fine || worker->txn.event_count == 0);
    inventory_admin_unlock(call->engine->inventory);
    return fine;
}

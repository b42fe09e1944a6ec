/* request_stock.c - definitions, adjustments and moves.
 *
 * Definitions and adjustments are made one at a time, each appended and published before the next:
 * they are rare, and the next may build on the one before.
 * Threads: any; they take the core's admin lock. */
#include <string.h>

#include "base/check.h"
#include "server/engine_internal.h"

static const char default_pool[] = "default";

static struct bytes pool_or_default(struct bytes pool)
{
    return pool.len > 0 ? pool : bytes_of(default_pool);
}

bool request_check_code(struct engine_call *call, struct place place, const char *field,
                        struct bytes code)
{
    if (code.len == 0 || code.len > CODE_BYTES_MAX) {
        answer_note(call, place, ".%s: %zu bytes, must be 1..%u", field, code.len, CODE_BYTES_MAX);
        return false;
    }
    if (!utf8_valid(code.data, code.len)) {
        answer_note(call, place, ".%s: not valid UTF-8", field);
        return false;
    }
    return true;
}

static bool check_text(struct engine_call *call, struct place place, const char *field,
                       struct bytes text, uint32_t bytes_max)
{
    if (text.len > bytes_max) {
        answer_note(call, place, ".%s: %zu bytes, must be 0..%u", field, text.len, bytes_max);
        return false;
    }
    /* The codec has looked already; but what is not UTF-8 makes a log that can't be read again. */
    if (!utf8_valid(text.data, text.len)) {
        answer_note(call, place, ".%s: not valid UTF-8", field);
        return false;
    }
    return true;
}

static bool check_range(struct engine_call *call, struct place place, const char *field,
                        int64_t value, int64_t min, int64_t max)
{
    if (value < min || value > max) {
        answer_note(call, place, ".%s: %lld, must be %lld..%lld", field, (long long)value,
                    (long long)min, (long long)max);
        return false;
    }
    return true;
}

uint32_t request_resolve(struct engine *engine, struct engine_call *call, struct place place,
                         uint32_t item, struct bytes sku, struct bytes pool, enum hf_status *status)
{
    *status = HF_INVALID;
    if (item != 0) {
        if (inventory_has_item(engine->inventory, item)) {
            return item;
        }
        *status = HF_UNKNOWN_ITEM;
        answer_note(call, place, ".item: there is no item %u", item);
        return 0;
    }
    pool = pool_or_default(pool);
    if (!request_check_code(call, place, "sku", sku) ||
        !request_check_code(call, place, "pool", pool)) {
        return 0;
    }
    item = inventory_find_item(engine->inventory, sku, pool);
    if (item == 0) {
        *status = HF_UNKNOWN_ITEM;
        answer_note(call, place, ".sku: there is no item %.*s in pool %.*s", text_len(sku),
                    (const char *)sku.data, text_len(pool), (const char *)pool.data);
    }
    return item;
}

struct stock_message request_stock_of(const struct item_view *view)
{
    return (struct stock_message){
        .item = view->item,
        .sku = view->sku,
        .pool = view->pool,
        .stocked = view->stock.stocked,
        .held = view->stock.held,
        .sold = view->stock.sold,
        .available = view->stock.available,
        .safety = view->stock.safety,
        .presale_cap = view->stock.presale_cap,
    };
}

bool request_memory_fits(struct engine_call *call, const void *memory)
{
    if (!memory) {
        answer_fail(call, HF_INVALID, "the request needs more memory than one may take");
    }
    return memory != NULL;
}

/* ---- Define ---- */

static bool check_sku(struct engine_call *call, struct place place, const struct sku_message *sku)
{
    if (!request_check_code(call, place, "sku", sku->sku) ||
        !check_text(call, place, "label", sku->label, LABEL_BYTES_MAX)) {
        return false;
    }
    if (sku->opens_at_ms != 0 && sku->closes_at_ms != 0 && sku->closes_at_ms <= sku->opens_at_ms) {
        answer_note(call, place, ".closes_at_ms: not after opens_at_ms");
        return false;
    }
    if (sku->hold_ms_max != 0 && sku->hold_ms > sku->hold_ms_max) {
        answer_note(call, place, ".hold_ms: %u, greater than hold_ms_max, %u", sku->hold_ms,
                    sku->hold_ms_max);
        return false;
    }
    if ((sku->fields & ~(uint32_t)SKU_FIELDS_ALL) != 0) {
        answer_note(call, place, ".fields: %u, must be 0..%u", sku->fields, SKU_FIELDS_ALL);
        return false;
    }
    return true;
}

static bool check_item(struct engine_call *call, struct place place,
                       const struct item_message *item)
{
    return request_check_code(call, place, "sku", item->sku) &&
           request_check_code(call, place, "pool", pool_or_default(item->pool)) &&
           check_range(call, place, "safety", item->safety, 0, STOCK_MAX) &&
           check_range(call, place, "presale_cap", item->presale_cap, 0, STOCK_MAX);
}

/* Everything is checked before anything is defined: a definition is done whole or not at all. */
static bool check_define(struct engine_call *call, const struct request *request)
{
    uint64_t count = (uint64_t)request->define.sku_count + request->define.item_count;
    if (count == 0 || count > REQUEST_ADMIN_MAX) {
        answer_fail(call, HF_INVALID, "define: %llu definitions, must be 1..%u",
                    (unsigned long long)count, REQUEST_ADMIN_MAX);
        return false;
    }
    bool fine = true;
    for (uint32_t i = 0; i < request->define.sku_count && fine; i++) {
        fine = check_sku(call, place_at("define.skus", i), &request->define.skus[i]);
    }
    for (uint32_t i = 0; i < request->define.item_count && fine; i++) {
        fine = check_item(call, place_at("define.items", i), &request->define.items[i]);
    }
    if (!fine) {
        call->response.status = HF_INVALID;
    }
    return fine;
}

/* The rule that is to be: the message's, or only its named fields upon the present one. */
static struct sku_rule merge_rule(struct inventory *inventory, const struct sku_message *sku)
{
    struct sku_rule rule = {.sku = sku->sku};
    uint32_t fields = sku->fields;
    if (fields == 0 || inventory_sku(inventory, sku->sku, &rule) != HF_OK) {
        fields = fields == 0 ? SKU_FIELDS_ALL : fields;
    }
    rule.sku = sku->sku;
    if (fields & SKU_FIELD_LABEL) {
        rule.label = sku->label;
    }
    if (fields & SKU_FIELD_LIMIT_PER_BUYER) {
        rule.limit_per_buyer = sku->limit_per_buyer;
    }
    if (fields & SKU_FIELD_OPENS_AT) {
        rule.opens_at_ms = sku->opens_at_ms;
    }
    if (fields & SKU_FIELD_CLOSES_AT) {
        rule.closes_at_ms = sku->closes_at_ms;
    }
    if (fields & SKU_FIELD_PAUSED) {
        rule.paused = sku->paused;
    }
    if (fields & SKU_FIELD_HOLD) {
        rule.hold_ms = sku->hold_ms;
    }
    if (fields & SKU_FIELD_HOLD_MAX) {
        rule.hold_ms_max = sku->hold_ms_max;
    }
    return rule;
}

/* Refuses a time to hold that no order could be given: it would be cut. A rule that is there
 * already does not stand in the way of changing others. */
static bool check_hold(struct worker *worker, struct engine_call *call, struct place place,
                       const struct sku_message *sku)
{
    struct sku_rule rule = merge_rule(worker->engine->inventory, sku);
    uint32_t engine_max = worker->engine->options.inventory.hold_ms_max;
    uint32_t max = rule.hold_ms_max ? rule.hold_ms_max : engine_max;
    if ((sku->fields != 0 && !(sku->fields & SKU_FIELD_HOLD)) || rule.hold_ms <= max) {
        return true;
    }
    answer_note(call, place, ".hold_ms: %u, greater than %s, %u", rule.hold_ms,
                rule.hold_ms_max ? "hold_ms_max" : "the engine's hold-ms-max", max);
    return false;
}

/* Under the lock: the rules that stay are those of the SKUs as they are. OK or INVALID. */
static enum hf_status check_holds(struct worker *worker, struct engine_call *call,
                                  const struct request *request)
{
    bool fine = true;
    for (uint32_t i = 0; i < request->define.sku_count && fine; i++) {
        fine = check_hold(worker, call, place_at("define.skus", i), &request->define.skus[i]);
    }
    return fine ? HF_OK : HF_INVALID;
}

/* Defines what has been checked. OK or FULL; READ_ONLY: the disk has filled up on the way;
 * INTERNAL: the log is closed. */
static enum hf_status define_all(struct worker *worker, const struct request *request,
                                 uint32_t *items)
{
    for (uint32_t i = 0; i < request->define.sku_count; i++) {
        struct sku_rule rule = merge_rule(worker->engine->inventory, &request->define.skus[i]);
        enum hf_status status = worker_admit(worker);
        if (status == HF_OK) {
            status = inventory_define_sku(&worker->txn, &rule);
        }
        if (status != HF_OK) {
            return status;
        }
        if (!worker_flush(worker)) {
            return HF_INTERNAL;
        }
    }
    for (uint32_t i = 0; i < request->define.item_count; i++) {
        const struct item_message *item = &request->define.items[i];
        struct item_def def = {
            .sku = item->sku,
            .pool = pool_or_default(item->pool),
            .safety = item->safety,
            .presale_cap = item->presale_cap,
            .hot = item->hot,
        };
        enum hf_status status = worker_admit(worker);
        if (status == HF_OK) {
            status = inventory_define_item(&worker->txn, &def, &items[i]);
        }
        if (status != HF_OK) {
            return status;
        }
        if (!worker_flush(worker)) {
            return HF_INTERNAL;
        }
    }
    return HF_OK;
}

bool request_define(struct worker *worker, struct engine_call *call, const struct request *request)
{
    if (!check_define(call, request)) {
        return true;
    }
    uint32_t count = request->define.item_count;
    uint32_t *items = arena_calloc(call->arena, count, sizeof *items);
    if (!request_memory_fits(call, items)) {
        return true;
    }
    worker->depends_on_tail = true; /* an unchanged definition has no record of its own */
    inventory_admin_lock(worker->engine->inventory);
    enum hf_status status = check_holds(worker, call, request);
    if (status == HF_OK) {
        status = define_all(worker, request, items);
    }
    inventory_admin_unlock(worker->engine->inventory);
    if (status == HF_INTERNAL) {
        return false;
    }
    if (status == HF_INVALID) {
        call->response.status = status; /* the message is there */
        return true;
    }
    if (status == HF_READ_ONLY) {
        answer_fail(call, status, "define: the disk is full; what comes first has been defined");
        return true;
    }
    if (status != HF_OK) {
        answer_fail(call, status, "define: no room for more items: items_max is %u",
                    worker->engine->options.inventory.items_max);
        return true;
    }
    call->response.type = RESPONSE_DEFINE;
    call->response.define.count = count;
    call->response.define.items = items;
    return true;
}

/* ---- Adjust ---- */

/* What an adjustment and a move have in common. OK with the item that it names; INVALID or
 * UNKNOWN_ITEM with a noted message. */
static enum hf_status parse_named(struct engine *engine, struct engine_call *call,
                                  struct place place, const struct adjustment_message *message,
                                  struct id128 *id, uint32_t *item)
{
    if (message->id.len != ID_BYTES) {
        answer_note(call, place, ".id: %zu bytes, must be %u", message->id.len, ID_BYTES);
        return HF_INVALID;
    }
    if (!check_text(call, place, "reason", message->reason, REASON_BYTES_MAX) ||
        !check_text(call, place, "reference", message->reference, REASON_BYTES_MAX)) {
        return HF_INVALID;
    }
    enum hf_status status;
    *id = id_from_bytes(message->id.data);
    *item =
        request_resolve(engine, call, place, message->item, message->sku, message->pool, &status);
    return *item == 0 ? status : HF_OK;
}

static enum hf_status parse_adjustment(struct engine *engine, struct engine_call *call,
                                       struct place place, const struct adjustment_message *message,
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
        answer_note(call, place, ".delta: neither delta nor set_to is there");
        return HF_INVALID;
    }
    if (!check_range(call, place, "delta", message->has_delta ? message->delta : 0, -STOCK_MAX,
                     STOCK_MAX) ||
        !check_range(call, place, "set_to", message->has_set_to ? message->set_to : 0, 0,
                     STOCK_MAX)) {
        return HF_INVALID;
    }
    return parse_named(engine, call, place, message, &out->id, &out->item);
}

/* The item that a move goes to: another pool of the SKU that `from` is of. */
static enum hf_status resolve_to(struct engine *engine, struct engine_call *call,
                                 struct place place, const struct adjustment_message *message,
                                 uint32_t from, uint32_t *to)
{
    struct item_view view;
    enum hf_status status = inventory_item(engine->inventory, from, &view);
    CHECK(status == HF_OK);
    const char *field = message->to_item != 0 ? "to_item" : "to_pool";
    *to = message->to_item;
    if (*to == 0) {
        if (!request_check_code(call, place, "to_pool", message->to_pool)) {
            return HF_INVALID;
        }
        *to = inventory_find_item(engine->inventory, view.sku, message->to_pool);
    }
    struct item_view there;
    if (*to == 0 || inventory_item(engine->inventory, *to, &there) != HF_OK) {
        answer_note(call, place, ".%s: there is no such item", field);
        return HF_UNKNOWN_ITEM;
    }
    if (*to == from) {
        answer_note(call, place, ".%s: the units are there already", field);
        return HF_INVALID;
    }
    if (there.sku.len != view.sku.len || memcmp(there.sku.data, view.sku.data, view.sku.len) != 0) {
        answer_note(call, place, ".%s: another SKU's; units move between pools of one", field);
        return HF_INVALID;
    }
    return HF_OK;
}

static enum hf_status parse_move(struct engine *engine, struct engine_call *call,
                                 struct place place, const struct adjustment_message *message,
                                 struct move *out)
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
        answer_note(call, place, ".delta: must be there: how many units to move");
        return HF_INVALID;
    }
    if (!check_range(call, place, "delta", message->delta, 1, STOCK_MAX)) {
        return HF_INVALID;
    }
    enum hf_status status = parse_named(engine, call, place, message, &out->id, &out->from);
    return status == HF_OK ? resolve_to(engine, call, place, message, out->from, &out->to) : status;
}

static bool stock_now(struct engine *engine, uint32_t item, struct stock_message *stock)
{
    struct item_view view;
    if (inventory_item(engine->inventory, item, &view) != HF_OK) {
        return false;
    }
    *stock = request_stock_of(&view);
    return true;
}

/* Decides, appends and publishes one adjustment or move. False: the log is closed. */
static bool adjust_one(struct worker *worker, struct engine_call *call, struct place place,
                       const struct adjustment_message *message,
                       struct adjust_result_message *result)
{
    struct engine *engine = worker->engine;
    bool moves = message->to_item != 0 || message->to_pool.len > 0;
    struct adjustment adjustment;
    struct move move;
    result->status = moves ? parse_move(engine, call, place, message, &move)
                           : parse_adjustment(engine, call, place, message, &adjustment);
    if (result->status != HF_OK) {
        return true;
    }
    result->status = worker_admit(worker);
    if (result->status == HF_OK) {
        result->status = moves ? inventory_move(&worker->txn, &move, &result->replayed)
                               : inventory_adjust(&worker->txn, &adjustment, &result->replayed);
    }
    if (!worker_flush(worker)) {
        return false;
    }
    if (result->status == HF_INVALID) {
        /* What one adjustment says by itself has been checked: it is the sum that is refused. */
        answer_note(call, place, ": stock would fall below 0 or exceed 2^53");
    } else if (result->status != HF_OK) {
        answer_note(call, place, ": %s", hf_status_text(result->status));
    }
    result->has_stock = stock_now(engine, moves ? move.from : adjustment.item, &result->stock);
    result->has_to_stock = moves && stock_now(engine, move.to, &result->to_stock);
    return true;
}

bool request_adjust(struct worker *worker, struct engine_call *call, const struct request *request)
{
    uint32_t count = request->adjust.count;
    if (count == 0 || count > REQUEST_ADMIN_MAX) {
        answer_fail(call, HF_INVALID, "adjust.adjustments: %u of them, must be 1..%u", count,
                    REQUEST_ADMIN_MAX);
        return true;
    }
    struct adjust_result_message *results = arena_calloc(call->arena, count, sizeof *results);
    if (!request_memory_fits(call, results)) {
        return true;
    }
    worker->depends_on_tail = true; /* the answer tells the stock as it is now */
    bool fine = true;
    uint32_t invalid = 0;
    inventory_admin_lock(worker->engine->inventory);
    for (uint32_t i = 0; i < count && fine; i++) {
        fine = adjust_one(worker, call, place_at("adjust.adjustments", i),
                          &request->adjust.adjustments[i], &results[i]);
        invalid += results[i].status == HF_INVALID;
    }
    inventory_admin_unlock(worker->engine->inventory);
    call->response.status = invalid == count ? HF_INVALID : HF_OK;
    call->response.type = RESPONSE_ADJUST;
    call->response.adjust.count = count;
    call->response.adjust.results = results;
    return fine;
}

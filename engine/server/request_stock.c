/* request_stock.c - definitions, adjustments, and everything that only reads.
 *
 * Definitions and adjustments are made one at a time, each appended and published before the next:
 * they are rare, and the next may build on the one before.
 * Threads: any; the changing ones take the core's admin lock. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "server/engine_internal.h"

#define LIST_STOCK_DEFAULT 1000u

static const char default_pool[] = "default";

static struct bytes pool_or_default(struct bytes pool)
{
    return pool.len > 0 ? pool : bytes_of(default_pool);
}

static bool check_code(struct engine_call *call, struct place place, const char *field,
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
                         uint32_t item, struct bytes sku, struct bytes pool,
                         enum hf_status *status)
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
    if (!check_code(call, place, "sku", sku) || !check_code(call, place, "pool", pool)) {
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

static struct stock_message stock_of(const struct item_view *view)
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

static bool request_fits(struct engine_call *call, const void *memory)
{
    if (!memory) {
        answer_fail(call, HF_INVALID, "the request needs more memory than one may take");
    }
    return memory != NULL;
}

/* ---- Define ---- */

static bool check_sku(struct engine_call *call, struct place place, const struct sku_message *sku)
{
    if (!check_code(call, place, "sku", sku->sku) ||
        !check_text(call, place, "label", sku->label, LABEL_BYTES_MAX)) {
        return false;
    }
    if (sku->limit_per_buyer != 0) {
        answer_note(call, place, ".limit_per_buyer: not supported by this version yet");
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
    return check_code(call, place, "sku", item->sku) &&
           check_code(call, place, "pool", pool_or_default(item->pool)) &&
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

/* Defines what has been checked. OK or FULL; READ_ONLY: the disk has filled up on the way; INTERNAL:
 * the log is closed. */
static enum hf_status define_all(struct worker *worker, const struct request *request,
                                 uint32_t *items)
{
    for (uint32_t i = 0; i < request->define.sku_count; i++) {
        struct sku_rule rule =
            merge_rule(worker->engine->inventory, &request->define.skus[i]);
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

bool request_define(struct worker *worker, struct engine_call *call,
                    const struct request *request)
{
    if (!check_define(call, request)) {
        return true;
    }
    uint32_t count = request->define.item_count;
    uint32_t *items = arena_calloc(call->arena, count, sizeof *items);
    if (!request_fits(call, items)) {
        return true;
    }
    worker->depends_on_tail = true; /* an unchanged definition has no record of its own */
    inventory_admin_lock(worker->engine->inventory);
    enum hf_status status = define_all(worker, request, items);
    inventory_admin_unlock(worker->engine->inventory);
    if (status == HF_INTERNAL) {
        return false;
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

/* Checks one adjustment. OK; INVALID or UNKNOWN_ITEM with a noted message. */
static enum hf_status parse_adjustment(struct engine *engine, struct engine_call *call,
                                       struct place place,
                                       const struct adjustment_message *message,
                                       struct adjustment *out)
{
    if (message->id.len != ID_BYTES) {
        answer_note(call, place, ".id: %zu bytes, must be %u", message->id.len, ID_BYTES);
        return HF_INVALID;
    }
    if (!message->has_delta && !message->has_set_to) {
        answer_note(call, place, ".delta: neither delta nor set_to is there");
        return HF_INVALID;
    }
    if (!check_range(call, place, "delta", message->has_delta ? message->delta : 0, -STOCK_MAX,
                     STOCK_MAX) ||
        !check_range(call, place, "set_to", message->has_set_to ? message->set_to : 0, 0,
                     STOCK_MAX) ||
        !check_text(call, place, "reason", message->reason, REASON_BYTES_MAX) ||
        !check_text(call, place, "reference", message->reference, REASON_BYTES_MAX)) {
        return HF_INVALID;
    }
    enum hf_status status;
    uint32_t item = request_resolve(engine, call, place, message->item, message->sku,
                                    message->pool, &status);
    if (item == 0) {
        return status;
    }
    *out = (struct adjustment){
        .id = id_from_bytes(message->id.data),
        .item = item,
        .has_set_to = message->has_set_to,
        .delta = message->delta,
        .set_to = message->set_to,
        .has_expected = message->has_expected,
        .expected = message->expected,
        .force = message->force,
        .reason = message->reason,
        .reference = message->reference,
    };
    return HF_OK;
}

/* Decides, appends and publishes one adjustment. False: the log is closed. */
static bool adjust_one(struct worker *worker, struct engine_call *call, struct place place,
                       const struct adjustment_message *message,
                       struct adjust_result_message *result)
{
    struct engine *engine = worker->engine;
    struct adjustment adjustment;
    result->status = parse_adjustment(engine, call, place, message, &adjustment);
    if (result->status != HF_OK) {
        return true;
    }
    result->status = worker_admit(worker);
    if (result->status == HF_OK) {
        result->status = inventory_adjust(&worker->txn, &adjustment, &result->replayed);
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
    struct item_view view;
    if (inventory_item(engine->inventory, adjustment.item, &view) == HF_OK) {
        result->has_stock = true;
        result->stock = stock_of(&view);
    }
    return true;
}

bool request_adjust(struct worker *worker, struct engine_call *call,
                    const struct request *request)
{
    uint32_t count = request->adjust.count;
    if (count == 0 || count > REQUEST_ADMIN_MAX) {
        answer_fail(call, HF_INVALID, "adjust.adjustments: %u of them, must be 1..%u", count,
                    REQUEST_ADMIN_MAX);
        return true;
    }
    struct adjust_result_message *results = arena_calloc(call->arena, count, sizeof *results);
    if (!request_fits(call, results)) {
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

/* ---- Reading ---- */

/* The units that an order has now of a line: held, or committed less returned. */
static uint32_t line_has(enum order_state state, const struct order_line_view *line)
{
    switch (state) {
    case ORDER_HELD:
        return line->qty - line->released;
    case ORDER_COMMITTED:
        return line->committed - line->returned;
    case ORDER_NONE:
    case ORDER_RELEASED:
    case ORDER_EXPIRED:
    case ORDER_RETURNED:
        break;
    }
    return 0;
}

void request_get_order(struct engine *engine, struct engine_call *call,
                       const struct request *request)
{
    struct bytes id_bytes = request->get_order.id;
    if (id_bytes.len != ID_BYTES) {
        answer_fail(call, HF_INVALID, "get_order.id: %zu bytes, must be %u", id_bytes.len,
                    ID_BYTES);
        return;
    }
    struct order_line_view lines[ORDER_LINES_MAX];
    struct order_view view;
    if (inventory_order(engine->inventory, id_from_bytes(id_bytes.data), &view, lines,
                        ORDER_LINES_MAX) != HF_OK) {
        answer_fail(call, HF_NOT_FOUND, "get_order.id: there is no such order");
        return;
    }
    struct grant_message *grants = arena_alloc(call->arena, view.line_count * sizeof *grants);
    uint8_t *id = arena_alloc(call->arena, ID_BYTES);
    if (!request_fits(call, grants) || !request_fits(call, id)) {
        return;
    }
    id_to_bytes(view.id, id);
    struct response *response = &call->response;
    response->type = RESPONSE_ORDER;
    response->order.id = (struct bytes){id, ID_BYTES};
    response->order.state = (uint32_t)view.state;
    response->order.buyer = view.buyer;
    response->order.deadline_ms = view.deadline_ms;
    response->order.lsn = view.lsn;
    uint32_t count = 0;
    for (uint32_t i = 0; i < view.line_count; i++) {
        uint32_t qty = line_has(view.state, &lines[i]);
        if (qty > 0) {
            grants[count++] =
                (struct grant_message){.line = i + 1, .item = lines[i].item, .qty = qty};
        }
    }
    response->order.grants = grants;
    response->order.grant_count = count;
}

/* A list of items that grows in the arena. */
struct stock_list {
    struct stock_message *items;
    uint32_t count;
    uint32_t room;
};

static bool list_add(struct engine *engine, struct engine_call *call, struct stock_list *list,
                     uint32_t item)
{
    if (list->count == list->room) {
        uint32_t room = list->room ? list->room * 2 : 64;
        struct stock_message *items = arena_alloc(call->arena, room * sizeof *items);
        if (!request_fits(call, items)) {
            return false;
        }
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof *items);
        }
        list->items = items;
        list->room = room;
    }
    struct item_view view;
    enum hf_status status = inventory_item(engine->inventory, item, &view);
    CHECK(status == HF_OK);
    list->items[list->count++] = stock_of(&view);
    return true;
}

/* Adds all pools of a SKU. 0: there is none; UINT32_MAX: out of memory, the answer says so. */
static uint32_t list_add_sku(struct engine *engine, struct engine_call *call,
                             struct stock_list *list, struct bytes sku)
{
    uint32_t count = inventory_sku_items(engine->inventory, sku, NULL, 0);
    uint32_t *items = arena_alloc(call->arena, count * sizeof *items);
    if (!request_fits(call, items)) {
        return UINT32_MAX;
    }
    /* A pool may have been defined in between: the next read will show it. */
    inventory_sku_items(engine->inventory, sku, items, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!list_add(engine, call, list, items[i])) {
            return UINT32_MAX;
        }
    }
    return count;
}

static void answer_stock(struct engine_call *call, const struct stock_list *list)
{
    call->response.type = RESPONSE_STOCK;
    call->response.stock.count = list->count;
    call->response.stock.items = list->items;
}

void request_get_stock(struct engine *engine, struct engine_call *call,
                       const struct request *request)
{
    uint64_t asked = (uint64_t)request->get_stock.item_count + request->get_stock.sku_count;
    if (asked == 0 || asked > REQUEST_ADMIN_MAX) {
        answer_fail(call, HF_INVALID, "get_stock: %llu items and SKUs, must be 1..%u",
                    (unsigned long long)asked, REQUEST_ADMIN_MAX);
        return;
    }
    struct stock_list list = {0};
    for (uint32_t i = 0; i < request->get_stock.item_count; i++) {
        uint32_t item = request->get_stock.items[i];
        if (!inventory_has_item(engine->inventory, item)) {
            answer_fail(call, HF_UNKNOWN_ITEM, "get_stock.item[%u]: there is no item %u", i, item);
            return;
        }
        if (!list_add(engine, call, &list, item)) {
            return;
        }
    }
    for (uint32_t i = 0; i < request->get_stock.sku_count; i++) {
        struct bytes sku = request->get_stock.skus[i];
        if (sku.len == 0 || sku.len > CODE_BYTES_MAX) {
            answer_fail(call, HF_INVALID, "get_stock.sku[%u]: %zu bytes, must be 1..%u", i,
                        sku.len, CODE_BYTES_MAX);
            return;
        }
        uint32_t count = list_add_sku(engine, call, &list, sku);
        if (count == UINT32_MAX) {
            return;
        }
        if (count == 0) {
            answer_fail(call, HF_UNKNOWN_ITEM, "get_stock.sku[%u]: there is no SKU %.*s", i,
                        text_len(sku), (const char *)sku.data);
            return;
        }
    }
    answer_stock(call, &list);
}

void request_list_stock(struct engine *engine, struct engine_call *call,
                        const struct request *request)
{
    struct bytes after = request->list_stock.after_sku;
    uint32_t limit = request->list_stock.limit ? request->list_stock.limit : LIST_STOCK_DEFAULT;
    if (after.len > CODE_BYTES_MAX || limit > LIST_STOCK_MAX) {
        answer_fail(call, HF_INVALID,
                    "list_stock: after_sku of %zu bytes, must be 0..%u; limit %u, must be 0..%u",
                    after.len, CODE_BYTES_MAX, limit, LIST_STOCK_MAX);
        return;
    }
    struct stock_list list = {0};
    struct bytes sku;
    while (list.count < limit && inventory_next_sku(engine->inventory, after, &sku)) {
        if (list_add_sku(engine, call, &list, sku) == UINT32_MAX) {
            return;
        }
        after = sku;
    }
    answer_stock(call, &list);
}

void request_status(struct engine *engine, struct engine_call *call)
{
    struct inventory_counts counts;
    inventory_counts(engine->inventory, &counts);
    struct response *response = &call->response;
    const char *state = "serving";
    if (wal_state(engine->wal) == WAL_CLOSED) {
        state = "failed";
    } else if (wal_state(engine->wal) == WAL_READ_ONLY) {
        state = "read-only";
    }
    response->type = RESPONSE_STATUS;
    response->status_info.version = bytes_of(HOLDFAST_VERSION);
    response->status_info.state = bytes_of(state);
    response->status_info.wal_io = bytes_of(engine->storage->ops->name(engine->storage));
    response->status_info.commit_lsn = wal_commit_lsn(engine->wal);
    response->status_info.uptime_ms =
        (clock_monotonic_ns(engine->clock) - engine->started_ns) / 1000000u;
    response->status_info.items = counts.items;
    response->status_info.orders_held = counts.orders_held;
    response->status_info.orders_known = counts.orders_known;
}

/* request_read.c - everything that only reads: orders, stock, rules, the engine's state.
 *
 * Threads: any; no lock of the engine's own. What is read may not be durable yet: the answer waits
 * for the log's tail. */
#include "server/request_read.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "server/engine_internal.h"
#include "server/request_check.h"
#include "wire/codec.h"

#define LIST_STOCK_DEFAULT  1000u
#define LIST_ORDERS_DEFAULT 100u
#define READ_ITEMS_UNPAUSED 1024u /* items of a list between two pauses: some 300 us */

/* At most so much of an answer, by the longest form of each of its fields (proto/holdfast.proto).
 */
#define ANSWER_REST_BYTES 1024u /* status, message and what is around a list */
#define ORDER_BYTES       64u   /* of an order, without its grants */
#define GRANT_BYTES       32u
#define STOCK_BYTES       80u /* of an item, without its texts */
#define SLOW_ANSWER_BYTES 192u

static_assert(ANSWER_REST_BYTES + ORDER_BYTES + (uint64_t)ORDER_LINES_MAX * GRANT_BYTES <
                  ANSWER_BYTES_LEAST,
              "any order fits an answer");
static_assert(ANSWER_REST_BYTES + (uint64_t)SLOWEST_SECONDS * SLOW_ANSWER_BYTES <
                  ANSWER_BYTES_LEAST,
              "all slow answers fit an answer");

/* What a list may take of an answer. */
static uint64_t list_bytes_max(const struct engine_call *call)
{
    CHECK(call->answer_bytes_max >= ANSWER_BYTES_LEAST);
    return call->answer_bytes_max - ANSWER_REST_BYTES;
}

/* ---- One order ---- */

/* The units that an order has now of a line: held, or committed less returned. */
static uint32_t line_has(enum order_state state, const struct order_line_view *line)
{
    CHECK(line->released <= line->qty);
    CHECK(line->returned <= line->committed);
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

/* The grants of an order that still have units. */
static uint32_t grants_of(const struct order_view *view, const struct order_line_view *lines,
                          const uint32_t *covered, struct grant_message *grants)
{
    CHECK(view->line_count <= ORDER_LINES_MAX);
    uint32_t count = 0;
    for (uint32_t i = 0; i < view->line_count; i++) {
        const struct order_line_view *line = &lines[i];
        uint32_t qty = line_has(view->state, line);
        if (qty > 0) {
            grants[count++] = (struct grant_message){
                .line = line->line,
                .item = line->item,
                .qty = qty,
                .presale_qty = line->presale_qty < qty ? line->presale_qty : qty,
                .covered_qty = covered[i]};
        }
    }
    return count;
}

/* Reads one order. OK; NOT_FOUND; INVALID: out of memory, the answer says so. */
static enum hf_status order_info(struct engine *engine, struct engine_call *call, struct id128 id,
                                 struct order_info_message *info)
{
    struct order_line_view lines[ORDER_LINES_MAX];
    uint32_t covered[ORDER_LINES_MAX];
    struct order_view view;
    if (inventory_order_covered(engine->inventory, id, &view, lines, covered, ORDER_LINES_MAX) !=
        HF_OK) {
        return HF_NOT_FOUND;
    }
    struct grant_message *grants = arena_alloc(call->arena, view.line_count * sizeof *grants);
    uint8_t *id_bytes = arena_alloc(call->arena, ID_BYTES);
    if (!request_memory_fits(call, grants) || !request_memory_fits(call, id_bytes)) {
        return HF_INVALID;
    }
    id_to_bytes(view.id, id_bytes);
    struct time_reading now;
    timekeeper_read(&engine->time, &now);
    *info = (struct order_info_message){
        .id = {id_bytes, ID_BYTES},
        .state = (uint32_t)view.state,
        .buyer = view.buyer,
        .deadline_ms = time_shown_ms(view.deadline_ms, now.ahead_ms),
        .grant_count = grants_of(&view, lines, covered, grants),
        .grants = grants,
        .lsn = view.lsn,
    };
    return HF_OK;
}

void request_get_order(struct engine *engine, struct engine_call *call,
                       const struct request *request)
{
    struct id128 id;
    struct response *response = &call->response;
    if (!request_parse_id(call, place_at("get_order", PLACE_NONE), request->get_order.id, &id)) {
        response->status = HF_INVALID;
        return;
    }
    enum hf_status status = order_info(engine, call, id, &response->order);
    if (status == HF_OK) {
        response->type = RESPONSE_ORDER;
    } else if (status == HF_NOT_FOUND) {
        answer_fail(call, HF_NOT_FOUND, "get_order.id: there is no such order");
    }
}

/* ---- Lists of orders ---- */

/* Where a list is to be continued, as its caller carries it: the cursor, and a hash that knows it
 * from anything else, as from the cursor of a table of another size. */
#define NEXT_BYTES 16u

static uint64_t next_check(const struct engine *engine, const uint8_t *next)
{
    uint8_t bytes[16];
    memcpy(bytes, next, 8);
    store_u64(bytes + 8, engine->options.inventory.orders_max);
    return hash_bytes(bytes, sizeof bytes);
}

static void next_encode(const struct engine *engine, const struct order_cursor *cursor,
                        uint8_t *next)
{
    store_u32(next, cursor->shard);
    store_u32(next + 4, cursor->tag);
    store_u64(next + 8, next_check(engine, next));
}

static bool next_decode(const struct engine *engine, struct bytes next, struct order_cursor *cursor)
{
    *cursor = (struct order_cursor){0};
    if (next.len == 0) {
        return true;
    }
    if (next.len != NEXT_BYTES || load_u64(next.data + 8) != next_check(engine, next.data)) {
        return false;
    }
    cursor->shard = load_u32(next.data);
    cursor->tag = load_u32(next.data + 4);
    return true;
}

/* What a list is asked for, checked. False: the answer says what is wrong. */
static bool list_filter(struct engine *engine, struct engine_call *call,
                        const struct request *request, struct order_filter *filter)
{
    struct bytes sku = request->list_orders.sku;
    struct bytes pool = request->list_orders.pool;
    struct answer_place place = place_at("list_orders", PLACE_NONE);
    *filter = (struct order_filter){.buyer = request->list_orders.buyer};
    for (uint32_t i = 0; i < request->list_orders.state_count; i++) {
        uint32_t state = request->list_orders.states[i];
        if (state < ORDER_HELD || state > ORDER_RETURNED) {
            answer_fail(call, HF_INVALID, "list_orders.state[%u]: %u, must be %u..%u", i, state,
                        ORDER_HELD, ORDER_RETURNED);
            return false;
        }
        filter->states |= 1u << state;
    }
    if (sku.len == 0 && pool.len == 0) {
        return true;
    }
    if (!request_take_sku(engine, call, place, "sku", &sku) ||
        (pool.len > 0 && !request_take_pool(engine, call, place, "pool", sku, &pool))) {
        call->response.status = HF_INVALID;
        return false;
    }
    uint32_t known = inventory_sku_items(engine->inventory, sku, NULL, 0);
    uint32_t *items = arena_alloc(call->arena, (known + 1) * sizeof *items);
    if (!request_memory_fits(call, items)) {
        return false;
    }
    if (pool.len > 0) {
        items[0] = inventory_find_item(engine->inventory, sku, pool);
        known = items[0] != 0;
    } else if (known > 0) {
        inventory_sku_items(engine->inventory, sku, items, known);
    }
    if (known == 0) {
        answer_fail(call, HF_UNKNOWN_ITEM, "list_orders.%s: there is no %s %.*s",
                    pool.len > 0 ? "pool" : "sku", pool.len > 0 ? "item in pool" : "SKU",
                    text_len(pool.len > 0 ? pool : sku),
                    (const char *)(pool.len > 0 ? pool : sku).data);
        return false;
    }
    filter->items = items;
    filter->item_count = known;
    return true;
}

/* The next orders of a list, and no more of them than an answer has room for: with many lines each,
 * the list is walked again from where it began for fewer. */
static uint32_t list_walk(struct engine *engine, const struct order_filter *filter,
                          struct order_cursor *cursor, struct order_view *views, uint32_t limit,
                          uint64_t bytes_max)
{
    const struct order_cursor start = *cursor;
    for (;;) {
        uint32_t count = inventory_list_orders(engine->inventory, filter, cursor, views, limit,
                                               LIST_ORDERS_LOOKED_MAX);
        CHECK(count <= limit);
        uint64_t bytes = 0;
        uint32_t fit = 0;
        while (fit < count && (bytes += ORDER_BYTES + (uint64_t)views[fit].line_count *
                                                          GRANT_BYTES) <= bytes_max) {
            fit++;
        }
        if (fit == count) {
            return count;
        }
        CHECK(fit > 0);
        *cursor = start;
        limit = fit; /* at least 1: an order has ORDER_LINES_MAX lines at most */
    }
}

void request_list_orders(struct engine *engine, struct engine_call *call,
                         const struct request *request)
{
    struct order_filter filter;
    struct order_cursor cursor;
    uint32_t limit = request->list_orders.limit ? request->list_orders.limit : LIST_ORDERS_DEFAULT;
    if (limit > LIST_ORDERS_MAX) {
        answer_fail(call, HF_INVALID, "list_orders.limit: %u, must be 0..%u", limit,
                    LIST_ORDERS_MAX);
        return;
    }
    if (!next_decode(engine, request->list_orders.after, &cursor)) {
        answer_fail(call, HF_INVALID, "list_orders.after: must be the `next` of an answer");
        return;
    }
    if (!list_filter(engine, call, request, &filter)) {
        return;
    }
    struct order_view *views = arena_alloc(call->arena, limit * sizeof *views);
    struct order_info_message *orders = arena_alloc(call->arena, limit * sizeof *orders);
    uint8_t *next = arena_alloc(call->arena, NEXT_BYTES);
    if (!request_memory_fits(call, views) || !request_memory_fits(call, orders) ||
        !request_memory_fits(call, next)) {
        return;
    }
    uint32_t seen = list_walk(engine, &filter, &cursor, views, limit, list_bytes_max(call));
    uint32_t count = 0;
    for (uint32_t i = 0; i < seen; i++) {
        /* Read again, with its lines: it may have changed in between, or be forgotten. */
        enum hf_status status = order_info(engine, call, views[i].id, &orders[count]);
        if (status == HF_INVALID) {
            return;
        }
        count += status == HF_OK &&
                 (filter.states == 0 || (filter.states & 1u << orders[count].state) != 0);
    }
    CHECK(count <= seen);
    CHECK(seen <= limit);
    struct response *response = &call->response;
    response->type = RESPONSE_ORDER_LIST;
    response->order_list.count = count;
    response->order_list.orders = orders;
    if (!cursor.done) {
        next_encode(engine, &cursor, next);
        response->order_list.next = (struct bytes){next, NEXT_BYTES};
    }
}

/* ---- Stock and rules ---- */

/* A list of items that grows in the arena. */
struct stock_list {
    struct stock_message *items;
    uint32_t count;
    uint32_t room;
    uint64_t bytes;     /* that they take of an answer, at most */
    uint32_t paused_at; /* `count` when others were let in between */
};

/* Room for so many more. */
static bool list_grow(struct engine_call *call, struct stock_list *list, uint32_t count)
{
    CHECK(list->count <= list->room);
    if (list->room - list->count >= count) {
        return true;
    }
    uint32_t room = list->room ? list->room * 2 : 64;
    room = room - list->count >= count ? room : list->count + count;
    struct stock_message *items = arena_alloc(call->arena, room * sizeof *items);
    if (!request_memory_fits(call, items)) {
        return false;
    }
    if (list->count > 0) {
        memcpy(items, list->items, list->count * sizeof *items);
    }
    list->items = items;
    list->room = room;
    CHECK(list->room - list->count >= count);
    return true;
}

/* Adds known items, READ_ITEMS_AT_ONCE of them at one moment. */
static bool list_add(struct engine *engine, struct engine_call *call, struct stock_list *list,
                     const uint32_t *items, uint32_t count)
{
    struct item_view views[READ_ITEMS_AT_ONCE];
    if (list->count - list->paused_at >= READ_ITEMS_UNPAUSED && call->pause) {
        list->paused_at = list->count;
        call->pause(call);
    }
    if (!list_grow(call, list, count)) {
        return false;
    }
    for (uint32_t from = 0; from < count; from += READ_ITEMS_AT_ONCE) {
        uint32_t part = count - from < READ_ITEMS_AT_ONCE ? count - from : READ_ITEMS_AT_ONCE;
        inventory_items(engine->inventory, items + from, part, views);
        for (uint32_t i = 0; i < part; i++) {
            CHECK(list->count < list->room);
            struct stock_message *stock = &list->items[list->count++];
            *stock = request_stock_of(&views[i]);
            list->bytes += STOCK_BYTES + stock->sku.len + stock->pool.len;
        }
    }
    return true;
}

/* Adds all pools of a SKU. 0: there is none; UINT32_MAX: out of memory, the answer says so. */
static uint32_t list_add_sku(struct engine *engine, struct engine_call *call,
                             struct stock_list *list, struct bytes sku)
{
    uint32_t count = inventory_sku_items(engine->inventory, sku, NULL, 0);
    uint32_t *items = arena_alloc(call->arena, count * sizeof *items);
    if (!request_memory_fits(call, items)) {
        return UINT32_MAX;
    }
    /* A pool may have been defined in between: the next read will show it. */
    inventory_sku_items(engine->inventory, sku, items, count);
    return list_add(engine, call, list, items, count) ? count : UINT32_MAX;
}

/* What get_stock names, in its order: handles, and the pools of SKUs. */
struct wanted_items {
    uint32_t *items;
    uint32_t count;
    uint32_t room;
};

/* Makes room for `more`. False: out of memory, the answer says so. */
static bool wanted_grow(struct engine_call *call, struct wanted_items *wanted, uint32_t more)
{
    CHECK(wanted->count <= wanted->room);
    if (wanted->room - wanted->count >= more) {
        return true;
    }
    uint32_t room = 2 * wanted->count + more;
    uint32_t *items = arena_alloc(call->arena, room * sizeof *items);
    if (!request_memory_fits(call, items)) {
        return false;
    }
    if (wanted->count > 0) {
        memcpy(items, wanted->items, wanted->count * sizeof *items);
    }
    wanted->items = items;
    wanted->room = room;
    CHECK(wanted->room - wanted->count >= more);
    return true;
}

static void answer_stock(struct engine_call *call, const struct stock_list *list)
{
    CHECK(list->count <= list->room);
    call->response.type = RESPONSE_STOCK;
    call->response.stock.count = list->count;
    call->response.stock.items = list->items;
}

/* The code of a SKU that is asked for, as it is kept; else the answer says what is wrong with it.
 */
static bool take_asked(struct engine *engine, struct engine_call *call, const char *field,
                       uint32_t at, struct bytes *sku)
{
    char name[32];
    snprintf(name, sizeof name, "sku[%u]", at);
    if (request_take_sku(engine, call, place_at(field, PLACE_NONE), name, sku)) {
        return true;
    }
    call->response.status = HF_INVALID;
    return false;
}

static void unknown_sku(struct engine_call *call, const char *field, uint32_t at, struct bytes sku)
{
    answer_fail(call, HF_UNKNOWN_ITEM, "%s[%u]: there is no SKU %.*s", field, at, text_len(sku),
                (const char *)sku.data);
}

static bool want_items(struct engine *engine, struct engine_call *call,
                       const struct request *request, struct wanted_items *wanted)
{
    uint32_t count = request->get_stock.item_count;
    if (!wanted_grow(call, wanted, count)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t item = request->get_stock.items[i];
        if (!inventory_has_item(engine->inventory, item)) {
            answer_fail(call, HF_UNKNOWN_ITEM, "get_stock.item[%u]: there is no item %u", i, item);
            return false;
        }
        CHECK(wanted->count < wanted->room);
        wanted->items[wanted->count++] = item;
    }
    return true;
}

/* All pools of the SKUs. */
static bool want_skus(struct engine *engine, struct engine_call *call,
                      const struct request *request, struct wanted_items *wanted)
{
    for (uint32_t i = 0; i < request->get_stock.sku_count; i++) {
        struct bytes sku = request->get_stock.skus[i];
        if (!take_asked(engine, call, "get_stock", i, &sku)) {
            return false;
        }
        uint32_t count = inventory_sku_items(engine->inventory, sku, NULL, 0);
        if (count == 0) {
            unknown_sku(call, "get_stock.sku", i, sku);
            return false;
        }
        if (!wanted_grow(call, wanted, count)) {
            return false;
        }
        /* A pool may have been defined in between: the next read will show it. */
        inventory_sku_items(engine->inventory, sku, wanted->items + wanted->count, count);
        wanted->count += count;
    }
    return true;
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
    struct wanted_items wanted = {0};
    struct stock_list list = {0};
    if (want_items(engine, call, request, &wanted) && want_skus(engine, call, request, &wanted) &&
        list_add(engine, call, &list, wanted.items, wanted.count)) {
        CHECK(list.count == wanted.count);
        answer_stock(call, &list);
    }
}

void request_get_skus(struct engine *engine, struct engine_call *call,
                      const struct request *request)
{
    uint32_t count = request->get_skus.count;
    if (!request_count_fits(call, "get_skus.sku", count, REQUEST_ADMIN_MAX)) {
        return;
    }
    struct sku_message *skus = arena_calloc(call->arena, count, sizeof *skus);
    if (!request_memory_fits(call, skus)) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct bytes sku = request->get_skus.skus[i];
        struct sku_rule rule;
        if (!take_asked(engine, call, "get_skus", i, &sku)) {
            return;
        }
        if (inventory_sku(engine->inventory, sku, &rule) != HF_OK) {
            unknown_sku(call, "get_skus.sku", i, sku);
            return;
        }
        skus[i] = (struct sku_message){.sku = rule.sku,
                                       .label = rule.label,
                                       .limit_per_buyer = rule.limit_per_buyer,
                                       .opens_at_ms = rule.opens_at_ms,
                                       .closes_at_ms = rule.closes_at_ms,
                                       .paused = rule.paused,
                                       .hold_ms = rule.hold_ms,
                                       .hold_ms_max = rule.hold_ms_max};
    }
    call->response.type = RESPONSE_SKUS;
    call->response.skus.count = count;
    call->response.skus.skus = skus;
}

void request_list_stock(struct engine *engine, struct engine_call *call,
                        const struct request *request)
{
    struct bytes after = request->list_stock.after_sku;
    uint32_t limit = request->list_stock.limit ? request->list_stock.limit : LIST_STOCK_DEFAULT;
    if (!request_take_after(engine, call, &after)) {
        return;
    }
    if (after.len > CODE_BYTES_MAX || limit > LIST_STOCK_MAX) {
        answer_fail(call, HF_INVALID,
                    "list_stock: after_sku of %zu bytes, must be 0..%u; limit %u, must be 0..%u",
                    after.len, CODE_BYTES_MAX, limit, LIST_STOCK_MAX);
        return;
    }
    struct stock_list list = {0};
    struct bytes sku;
    while (list.count < limit && inventory_next_sku(engine->inventory, after, &sku)) {
        uint32_t whole = list.count;
        if (list_add_sku(engine, call, &list, sku) == UINT32_MAX) {
            return;
        }
        if (whole > 0 && list.bytes > list_bytes_max(call)) {
            list.count = whole; /* the next answer begins with it */
            break;
        }
        after = sku;
    }
    answer_stock(call, &list);
}

static void status_of_clock(struct engine *engine, struct response *response)
{
    struct time_reading now;
    struct time_status clock;
    timekeeper_read(&engine->time, &now);
    timekeeper_status(&engine->time, &clock);
    response->status_info.clock = bytes_of(clock.doubted ? "doubted" : "steady");
    response->status_info.wall_ms = now.wall_ms;
    response->status_info.clock_difference_ms = clock.difference_ms;
    response->status_info.clock_doubted_ms = clock.doubted_ms;
    response->status_info.clock_confirms_ms = clock.confirms_ms;
    response->status_info.clock_steps_seen = clock.steps_seen;
    response->status_info.clock_steps_believed = clock.steps_believed;
    response->status_info.clock_step_ms = clock.step_ms;
    response->status_info.clock_step_at_ms = clock.step_at_ms;
}

/* wall_ms, now_ns: of the present moment. */
static struct slow_answer_message slow_answer(const struct slowest_answer *from, uint64_t wall_ms,
                                              uint64_t now_ns)
{
    uint64_t stage_ns[SLOWEST_STAGES];
    slowest_stages(from, stage_ns);
    uint64_t ago_ns = now_ns > from->replied_ns ? now_ns - from->replied_ns : 0;
    return (struct slow_answer_message){
        .at_ms = wall_ms - ago_ns / 1000000u,
        .request = bytes_of(codec_request_name(from->type)),
        .status = from->status,
        .orders = from->orders,
        .lines = from->lines,
        .request_bytes = from->request_bytes,
        .answer_bytes = from->answer_bytes,
        .lsn = from->lsn,
        .queue_ns = stage_ns[SLOWEST_QUEUE],
        .decide_ns = stage_ns[SLOWEST_DECIDE],
        .append_ns = stage_ns[SLOWEST_APPEND],
        .sync_ns = stage_ns[SLOWEST_SYNC],
        .reply_ns = stage_ns[SLOWEST_REPLY],
    };
}

/* False: there is no memory for the list; the answer has been set. */
static bool status_of_slowest(struct engine *engine, struct engine_call *call)
{
    struct slowest_answer *kept = arena_calloc(call->arena, SLOWEST_SECONDS, sizeof *kept);
    struct slow_answer_message *list = arena_calloc(call->arena, SLOWEST_SECONDS, sizeof *list);
    if (!request_memory_fits(call, kept) || !request_memory_fits(call, list)) {
        return false;
    }
    struct time_reading now;
    timekeeper_read(&engine->time, &now);
    uint64_t now_ns = clock_monotonic_ns(engine->clock);
    uint32_t count = slowest_read(&engine->slowest, now_ns, kept);
    CHECK(count <= SLOWEST_SECONDS);
    for (uint32_t i = 0; i < count; i++) {
        list[i] = slow_answer(&kept[i], now.wall_ms, now_ns);
    }
    call->response.status_info.slowest_count = count;
    call->response.status_info.slowest = list;
    return true;
}

void request_status(struct engine *engine, struct engine_call *call, const struct request *request)
{
    struct inventory_counts counts;
    inventory_counts(engine->inventory, &counts);
    struct response *response = &call->response;
    if (request->status.slowest && !status_of_slowest(engine, call)) {
        return;
    }
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
    response->status_info.buyers = counts.buyers;
    response->status_info.skus = counts.skus;
    response->status_info.items_max = engine->options.inventory.items_max;
    response->status_info.orders_max = engine->options.inventory.orders_max;
    response->status_info.buyers_max = engine->options.inventory.buyers_max
                                           ? engine->options.inventory.buyers_max
                                           : engine->options.inventory.orders_max;
    response->status_info.retain_ended_ms = engine->options.retain_ended_ms;
    response->status_info.hold_ms = engine->options.inventory.hold_ms_default;
    response->status_info.hold_ms_max = engine->options.inventory.hold_ms_max;
    response->status_info.wal_bytes = wal_log_bytes(engine->wal);
    response->status_info.wal_bytes_max = engine->options.wal_bytes_max;
    status_of_clock(engine, response);
}

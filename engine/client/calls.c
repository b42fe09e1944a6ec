/* calls.c - calls that have a message of their own: edits by line, reading, stock keeping.
 *
 * All of them wait for the answer. Threads: any. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "client/client_internal.h"

/* All states that an order in a list may have. */
#define LISTED_STATES ((1u << (HF_ORDER_RETURNED + 1)) - (1u << HF_ORDER_HELD))

/* Runs a request whose answer is of one type. HF_OK: *message is to be released. */
static enum hf_status run(struct hf_client *client, struct request *request,
                          enum response_type type, struct message **message)
{
    enum hf_status status = message_exchange(client, request, message);
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &(*message)->response;
    if (response->type == type) {
        return HF_OK;
    }
    status = response->status != HF_OK ? response->status : HF_INTERNAL;
    client_fail_as(status, response);
    message_release(*message);
    return status;
}

/* ---- Orders ---- */

/* Runs a request that answers with one OrderResult. */
static enum hf_status run_order(struct hf_client *client, struct request *request,
                                struct hf_result *result)
{
    struct message *message;
    enum hf_status status = run(client, request, RESPONSE_ORDERS, &message);
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &message->response;
    if (response->orders.count != 1) {
        message_release(message);
        return client_fail(HF_INTERNAL, "the engine's answer has not one result");
    }
    const struct result_message *from = &response->orders.results[0];
    struct hf_result got = client_result(from);
    if (got.status != HF_OK) {
        client_fail_as(got.status, response);
    }
    message_release(message);
    if (result) {
        *result = got;
    }
    return got.status;
}

/* least: 1 where no lines would mean all of the order, which a caller who names lines does not
 * mean. */
static enum hf_status run_lines(struct hf_client *client, enum request_type type, bool late_ok,
                                uint32_t least, struct hf_id id, const struct hf_line_qty *lines,
                                uint32_t line_count, struct hf_result *result)
{
    if (line_count < least || line_count > ORDER_LINES_MAX) {
        return client_fail(HF_INVALID, "line_count: %u, must be %u..%u", line_count, least,
                           ORDER_LINES_MAX);
    }
    if (line_count > 0 && !lines) {
        return client_fail(HF_INVALID, "lines: missing");
    }
    static_assert(sizeof(struct hf_line_qty) == sizeof(struct line_qty_message), "same layout");
    struct line_qty_message named[ORDER_LINES_MAX];
    for (uint32_t i = 0; i < line_count; i++) {
        named[i] = (struct line_qty_message){lines[i].line, lines[i].qty};
    }
    struct edit_message edit = {.id = {id.bytes, sizeof id.bytes},
                                .late_ok = late_ok,
                                .line_count = line_count,
                                .lines = named};
    struct request request = {.type = type};
    request.edit.count = 1;
    request.edit.edits = &edit;
    return run_order(client, &request, result);
}

enum hf_status hf_commit_lines(struct hf_client *client, struct hf_id id,
                               const struct hf_line_qty *lines, uint32_t line_count,
                               struct hf_result *result)
{
    return run_lines(client, REQUEST_COMMIT, false, 1, id, lines, line_count, result);
}

enum hf_status hf_commit_late(struct hf_client *client, struct hf_id id,
                              const struct hf_line_qty *lines, uint32_t line_count,
                              struct hf_result *result)
{
    return run_lines(client, REQUEST_COMMIT, true, 0, id, lines, line_count, result);
}

enum hf_status hf_release_lines(struct hf_client *client, struct hf_id id,
                                const struct hf_line_qty *lines, uint32_t line_count,
                                struct hf_result *result)
{
    return run_lines(client, REQUEST_RELEASE, false, 1, id, lines, line_count, result);
}

enum hf_status hf_return_lines(struct hf_client *client, struct hf_id id,
                               const struct hf_line_qty *lines, uint32_t line_count,
                               struct hf_result *result)
{
    return run_lines(client, REQUEST_RETURN, false, 0, id, lines, line_count, result);
}

enum hf_status hf_extend(struct hf_client *client, struct hf_id id, uint32_t hold_ms,
                         struct hf_result *result)
{
    struct request request = {.type = REQUEST_EXTEND};
    request.extend.id = (struct bytes){id.bytes, sizeof id.bytes};
    request.extend.hold_ms = hold_ms;
    return run_order(client, &request, result);
}

/* Fills in an order and up to max of its lines. */
static void copy_order(struct hf_order_info *to, const struct order_info_message *from,
                       struct hf_order_line *lines, uint32_t max)
{
    *to = (struct hf_order_info){
        .state = (enum hf_order_state)from->state,
        .buyer = from->buyer,
        .deadline_ms = from->deadline_ms,
        .lsn = from->lsn,
        .lines = lines,
    };
    if (from->id.len == sizeof to->id.bytes) {
        memcpy(to->id.bytes, from->id.data, sizeof to->id.bytes);
    }
    for (uint32_t i = 0; i < from->grant_count && to->line_count < max; i++) {
        const struct grant_message *grant = &from->grants[i];
        lines[to->line_count++] = (struct hf_order_line){grant->line, grant->item, grant->qty,
                                                         grant->presale_qty, grant->covered_qty};
    }
}

enum hf_status hf_get_order(struct hf_client *client, struct hf_id id, struct hf_order_info *info,
                            struct hf_order_line *lines, uint32_t lines_max)
{
    struct request request = {.type = REQUEST_GET_ORDER};
    request.get_order.id = (struct bytes){id.bytes, sizeof id.bytes};
    struct message *message;
    enum hf_status status = run(client, &request, RESPONSE_ORDER, &message);
    if (status != HF_OK) {
        return status;
    }
    copy_order(info, &message->response.order, lines, lines_max);
    info->id = id;
    message_release(message);
    return HF_OK;
}

/* One block: the orders, then the lines of all of them. */
static struct hf_order_info *copy_orders(const struct order_info_message *from, uint32_t count)
{
    size_t line_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        line_count += from[i].grant_count;
    }
    struct hf_order_info *orders = malloc((count > 0 ? count : 1) * sizeof *orders +
                                          line_count * sizeof(struct hf_order_line));
    if (!orders) {
        return NULL;
    }
    struct hf_order_line *lines = (struct hf_order_line *)(orders + count);
    for (uint32_t i = 0; i < count; i++) {
        copy_order(&orders[i], &from[i], lines, from[i].grant_count);
        lines += from[i].grant_count;
    }
    return orders;
}

static enum hf_status check_filter(const struct hf_order_filter *filter)
{
    enum hf_status status = check_code("sku", filter->sku, true);
    if (status == HF_OK) {
        status = check_code("pool", filter->pool, true);
    }
    if (status == HF_OK && filter->pool && filter->pool[0] && !(filter->sku && filter->sku[0])) {
        status = client_fail(HF_INVALID, "pool: without a sku");
    }
    if (status == HF_OK && (filter->states & ~LISTED_STATES) != 0) {
        status = client_fail(HF_INVALID, "states: %u, must be a sum of 1 << 1..%u", filter->states,
                             (unsigned)HF_ORDER_RETURNED);
    }
    return status;
}

static enum hf_status run_list_orders(struct hf_client *client,
                                      const struct hf_order_filter *filter,
                                      const struct hf_order_cursor *cursor, uint32_t limit,
                                      struct message **message)
{
    uint32_t states[HF_ORDER_RETURNED + 1];
    struct request request = {.type = REQUEST_LIST_ORDERS};
    request.list_orders.buyer = filter->buyer;
    request.list_orders.sku = client_text(filter->sku);
    request.list_orders.pool = client_text(filter->pool);
    request.list_orders.states = states;
    for (uint32_t state = HF_ORDER_HELD; state <= HF_ORDER_RETURNED; state++) {
        if (filter->states & 1u << state) {
            states[request.list_orders.state_count++] = state;
        }
    }
    request.list_orders.after = (struct bytes){cursor->bytes, cursor->size};
    request.list_orders.limit = limit;
    return run(client, &request, RESPONSE_ORDER_LIST, message);
}

enum hf_status hf_list_orders(struct hf_client *client, const struct hf_order_filter *filter,
                              struct hf_order_cursor *cursor, uint32_t limit,
                              struct hf_order_info **orders, uint32_t *count)
{
    static const struct hf_order_filter any = {0};
    *orders = NULL;
    *count = 0;
    filter = filter ? filter : &any;
    if (cursor->done || cursor->size > sizeof cursor->bytes) {
        return client_fail(HF_INVALID, "cursor: %s",
                           cursor->done ? "the list is at its end" : "not one of this library");
    }
    struct message *message;
    enum hf_status status = check_filter(filter);
    if (status == HF_OK) {
        status = run_list_orders(client, filter, cursor, limit, &message);
    }
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &message->response;
    struct bytes next = response->order_list.next;
    if (next.len > sizeof cursor->bytes) {
        status = client_fail(HF_INTERNAL, "the engine's `next` has %zu bytes", next.len);
    } else if (!(*orders = copy_orders(response->order_list.orders, response->order_list.count))) {
        status = client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
    } else {
        *count = response->order_list.count;
        *cursor = (struct hf_order_cursor){.done = next.len == 0, .size = (uint8_t)next.len};
        if (next.len > 0) {
            memcpy(cursor->bytes, next.data, next.len);
        }
    }
    message_release(message);
    return status;
}

/* ---- Stock ---- */

static void copy_text(char *to, size_t to_bytes, struct bytes from)
{
    size_t len = from.len < to_bytes ? from.len : to_bytes - 1;
    if (len > 0) {
        memcpy(to, from.data, len);
    }
    to[len] = '\0';
}

static void copy_stock(struct hf_stock *to, const struct stock_message *from)
{
    *to = (struct hf_stock){
        .item = from->item,
        .stocked = from->stocked,
        .held = from->held,
        .sold = from->sold,
        .available = from->available,
        .safety = from->safety,
        .presale_cap = from->presale_cap,
    };
    copy_text(to->sku, sizeof to->sku, from->sku);
    copy_text(to->pool, sizeof to->pool, from->pool);
}

static enum hf_status run_get_stock(struct hf_client *client, const char *sku,
                                    struct bytes *sku_bytes, struct message **message)
{
    enum hf_status status = check_code("sku", sku, false);
    if (status != HF_OK) {
        return status;
    }
    *sku_bytes = bytes_of(sku);
    struct request request = {.type = REQUEST_GET_STOCK};
    request.get_stock.sku_count = 1;
    request.get_stock.skus = sku_bytes;
    return run(client, &request, RESPONSE_STOCK, message);
}

enum hf_status hf_get_stock(struct hf_client *client, const char *sku, struct hf_stock *stock,
                            uint32_t max, uint32_t *count)
{
    struct bytes sku_bytes;
    struct message *message;
    enum hf_status status = run_get_stock(client, sku, &sku_bytes, &message);
    if (status != HF_OK) {
        return status;
    }
    *count = message->response.stock.count;
    for (uint32_t i = 0; i < *count && i < max; i++) {
        copy_stock(&stock[i], &message->response.stock.items[i]);
    }
    message_release(message);
    return HF_OK;
}

enum hf_status hf_resolve(struct hf_client *client, const char *sku, const char *pool,
                          uint32_t *item)
{
    pool = pool ? pool : "default";
    enum hf_status status = check_code("pool", pool, false);
    if (status != HF_OK) {
        return status;
    }
    struct bytes sku_bytes;
    struct message *message;
    status = run_get_stock(client, sku, &sku_bytes, &message);
    if (status != HF_OK) {
        return status;
    }
    *item = 0;
    for (uint32_t i = 0; i < message->response.stock.count; i++) {
        struct bytes other = message->response.stock.items[i].pool;
        if (other.len == strlen(pool) && memcmp(other.data, pool, other.len) == 0) {
            *item = message->response.stock.items[i].item;
        }
    }
    message_release(message);
    return *item ? HF_OK
                 : client_fail(HF_UNKNOWN_ITEM, "there is no item %s in pool %s", sku, pool);
}

enum hf_status hf_get_items(struct hf_client *client, const uint32_t *items, uint32_t count,
                            struct hf_stock *stock)
{
    enum hf_status status = check_count("count", count, REQUEST_ADMIN_MAX);
    if (status != HF_OK) {
        return status;
    }
    struct request request = {.type = REQUEST_GET_STOCK};
    request.get_stock.item_count = count;
    request.get_stock.items = items;
    struct message *message;
    status = run(client, &request, RESPONSE_STOCK, &message);
    if (status != HF_OK) {
        return status;
    }
    if (message->response.stock.count != count) {
        message_release(message);
        return client_fail(HF_INTERNAL, "the engine's answer has not as many items as were asked");
    }
    for (uint32_t i = 0; i < count; i++) {
        copy_stock(&stock[i], &message->response.stock.items[i]);
    }
    message_release(message);
    return HF_OK;
}

enum hf_status hf_list_stock(struct hf_client *client, const char *after_sku, uint32_t limit,
                             struct hf_stock **stock, uint32_t *count)
{
    *stock = NULL;
    *count = 0;
    enum hf_status status = check_code("after_sku", after_sku, true);
    if (status != HF_OK) {
        return status;
    }
    struct request request = {.type = REQUEST_LIST_STOCK};
    request.list_stock.after_sku = client_text(after_sku);
    request.list_stock.limit = limit;
    struct message *message;
    status = run(client, &request, RESPONSE_STOCK, &message);
    if (status != HF_OK) {
        return status;
    }
    uint32_t got = message->response.stock.count;
    struct hf_stock *copies = calloc(got > 0 ? got : 1, sizeof *copies);
    if (copies) {
        for (uint32_t i = 0; i < got; i++) {
            copy_stock(&copies[i], &message->response.stock.items[i]);
        }
        *stock = copies;
        *count = got;
    }
    message_release(message);
    return copies ? HF_OK : client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
}

static void copy_rules(struct hf_sku_rules *to, const struct sku_message *from)
{
    *to = (struct hf_sku_rules){
        .limit_per_buyer = from->limit_per_buyer,
        .opens_at_ms = from->opens_at_ms,
        .closes_at_ms = from->closes_at_ms,
        .paused = from->paused,
        .hold_ms = from->hold_ms,
        .hold_ms_max = from->hold_ms_max,
    };
    copy_text(to->sku, sizeof to->sku, from->sku);
    copy_text(to->label, sizeof to->label, from->label);
}

static enum hf_status run_get_skus(struct hf_client *client, const struct bytes *skus,
                                   uint32_t count, struct hf_sku_rules *rules)
{
    struct request request = {.type = REQUEST_GET_SKUS};
    request.get_skus.count = count;
    request.get_skus.skus = skus;
    struct message *message;
    enum hf_status status = run(client, &request, RESPONSE_SKUS, &message);
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &message->response;
    if (response->skus.count != count) {
        status = client_fail(HF_INTERNAL, "the engine's answer has not as many SKUs as were asked");
    }
    for (uint32_t i = 0; i < count && status == HF_OK; i++) {
        copy_rules(&rules[i], &response->skus.skus[i]);
    }
    message_release(message);
    return status;
}

enum hf_status hf_get_skus(struct hf_client *client, const char *const *skus, uint32_t count,
                           struct hf_sku_rules *rules)
{
    enum hf_status status = check_count("count", count, REQUEST_ADMIN_MAX);
    for (uint32_t i = 0; i < count && status == HF_OK; i++) {
        status = check_code("sku", skus[i], false);
    }
    if (status != HF_OK) {
        return status;
    }
    struct bytes *codes = calloc(count, sizeof *codes);
    if (!codes) {
        return client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
    }
    for (uint32_t i = 0; i < count; i++) {
        codes[i] = bytes_of(skus[i]);
    }
    status = run_get_skus(client, codes, count, rules);
    free(codes);
    return status;
}

enum hf_status hf_get_status(struct hf_client *client, struct hf_engine_status *status_out)
{
    struct request request = {.type = REQUEST_STATUS};
    struct message *message;
    enum hf_status status = run(client, &request, RESPONSE_STATUS, &message);
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &message->response;
    *status_out = (struct hf_engine_status){
        .commit_lsn = response->status_info.commit_lsn,
        .uptime_ms = response->status_info.uptime_ms,
        .items = response->status_info.items,
        .orders_held = response->status_info.orders_held,
        .orders_known = response->status_info.orders_known,
        .buyers = response->status_info.buyers,
        .items_max = response->status_info.items_max,
        .orders_max = response->status_info.orders_max,
        .buyers_max = response->status_info.buyers_max,
        .skus = response->status_info.skus,
        .retain_ended_ms = response->status_info.retain_ended_ms,
        .hold_ms = response->status_info.hold_ms,
        .hold_ms_max = response->status_info.hold_ms_max,
        .wal_bytes = response->status_info.wal_bytes,
        .wal_bytes_max = response->status_info.wal_bytes_max,
        .wall_ms = response->status_info.wall_ms,
        .clock_difference_ms = response->status_info.clock_difference_ms,
        .clock_doubted_ms = response->status_info.clock_doubted_ms,
        .clock_confirms_ms = response->status_info.clock_confirms_ms,
        .clock_steps_seen = response->status_info.clock_steps_seen,
        .clock_steps_believed = response->status_info.clock_steps_believed,
        .clock_step_ms = response->status_info.clock_step_ms,
        .clock_step_at_ms = response->status_info.clock_step_at_ms,
    };
    copy_text(status_out->version, sizeof status_out->version, response->status_info.version);
    copy_text(status_out->clock, sizeof status_out->clock, response->status_info.clock);
    copy_text(status_out->state, sizeof status_out->state, response->status_info.state);
    copy_text(status_out->wal_io, sizeof status_out->wal_io, response->status_info.wal_io);
    message_release(message);
    return HF_OK;
}

/* ---- Stock keeping ---- */

static enum hf_status put_skus(const struct hf_sku *skus, uint32_t count, struct sku_message *to)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_sku *from = &skus[i];
        enum hf_status status = check_code("sku", from->sku, false);
        if (status == HF_OK) {
            status = check_text("label", from->label, TEXT_GIVEN_BYTES_MAX);
        }
        if (status != HF_OK) {
            return status;
        }
        to[i] = (struct sku_message){
            .sku = client_text(from->sku),
            .label = client_text(from->label),
            .limit_per_buyer = from->limit_per_buyer,
            .opens_at_ms = from->opens_at_ms,
            .closes_at_ms = from->closes_at_ms,
            .paused = from->paused,
            .hold_ms = from->hold_ms,
            .hold_ms_max = from->hold_ms_max,
            .fields = from->fields,
        };
    }
    return HF_OK;
}

static enum hf_status put_items(const struct hf_item *items, uint32_t count,
                                struct item_message *to)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_item *from = &items[i];
        enum hf_status status = check_code("sku", from->sku, false);
        if (status == HF_OK) {
            status = check_code("pool", from->pool, true);
        }
        if (status != HF_OK) {
            return status;
        }
        to[i] = (struct item_message){
            .sku = client_text(from->sku),
            .pool = client_text(from->pool),
            .safety = from->safety,
            .presale_cap = from->presale_cap,
            .hot = from->hot,
            .fields = from->fields,
        };
    }
    return HF_OK;
}

static struct hf_defined defined_of(const struct defined_message *message)
{
    return (struct hf_defined){.skus_made = message->skus_made,
                               .skus_changed = message->skus_changed,
                               .items_made = message->items_made,
                               .items_changed = message->items_changed};
}

static enum hf_status run_define(struct hf_client *client, struct request *request,
                                 uint32_t *items_out, struct hf_defined *defined)
{
    struct message *message;
    enum hf_status status = run(client, request, RESPONSE_DEFINE, &message);
    if (status != HF_OK) {
        return status;
    }
    uint32_t count = request->define.item_count;
    if (message->response.define.count != count) {
        status = client_fail(HF_INTERNAL, "the engine's answer has not as many items as were sent");
    } else if (items_out && count > 0) {
        memcpy(items_out, message->response.define.items, count * sizeof *items_out);
    }
    if (defined) {
        *defined = defined_of(&message->response.define);
    }
    message_release(message);
    return status;
}

/* Definitions as messages; to be freed in any case. */
struct definitions {
    struct sku_message *skus;
    struct item_message *items;
};

static void free_definitions(struct definitions *messages)
{
    free(messages->items);
    free(messages->skus);
}

static enum hf_status make_definitions(const struct hf_sku *skus, uint32_t sku_count,
                                       const struct hf_item *items, uint32_t item_count,
                                       struct definitions *messages)
{
    messages->skus = calloc((size_t)sku_count + 1, sizeof *messages->skus);
    messages->items = calloc((size_t)item_count + 1, sizeof *messages->items);
    if (!messages->skus || !messages->items) {
        return client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
    }
    enum hf_status status = put_skus(skus, sku_count, messages->skus);
    return status == HF_OK ? put_items(items, item_count, messages->items) : status;
}

enum hf_status hf_define(struct hf_client *client, const struct hf_sku *skus, uint32_t sku_count,
                         const struct hf_item *items, uint32_t item_count, uint32_t *items_out)
{
    return hf_define_counted(client, skus, sku_count, items, item_count, items_out, NULL);
}

enum hf_status hf_define_counted(struct hf_client *client, const struct hf_sku *skus,
                                 uint32_t sku_count, const struct hf_item *items,
                                 uint32_t item_count, uint32_t *items_out,
                                 struct hf_defined *defined)
{
    if (sku_count > REQUEST_ADMIN_MAX || item_count > REQUEST_ADMIN_MAX ||
        sku_count + item_count > REQUEST_ADMIN_MAX || sku_count + item_count == 0) {
        return client_fail(HF_INVALID, "%u SKUs and %u items, must be 1..%u together", sku_count,
                           item_count, REQUEST_ADMIN_MAX);
    }
    struct definitions messages;
    enum hf_status status = make_definitions(skus, sku_count, items, item_count, &messages);
    if (status == HF_OK) {
        struct request request = {.type = REQUEST_DEFINE};
        request.define.sku_count = sku_count;
        request.define.skus = messages.skus;
        request.define.item_count = item_count;
        request.define.items = messages.items;
        status = run_define(client, &request, items_out, defined);
    }
    free_definitions(&messages);
    return status;
}

/* What only a move has. */
static enum hf_status check_move(const struct hf_adjustment *from)
{
    if (from->set) {
        return client_fail(HF_INVALID, "set: a move has a number of units, not a new stock");
    }
    if (from->value < 1 || from->value > STOCK_MAX) {
        return client_fail(HF_INVALID, "value: %lld units to move, must be 1..%lld",
                           (long long)from->value, (long long)STOCK_MAX);
    }
    return from->to_item ? HF_OK : check_code("to_pool", from->to_pool, false);
}

static enum hf_status put_adjustment(const struct hf_adjustment *from,
                                     struct adjustment_message *to)
{
    enum hf_status status = from->item ? HF_OK : check_code("sku", from->sku, false);
    if (status == HF_OK && !from->item) {
        status = check_code("pool", from->pool, true);
    }
    if (status == HF_OK) {
        status = check_text("reason", from->reason, TEXT_GIVEN_BYTES_MAX);
    }
    if (status == HF_OK) {
        status = check_text("reference", from->reference, TEXT_GIVEN_BYTES_MAX);
    }
    if (status == HF_OK && (from->to_item || from->to_pool)) {
        status = check_move(from);
    }
    *to = (struct adjustment_message){
        .id = {from->id.bytes, sizeof from->id.bytes},
        .item = from->item,
        .sku = from->item ? (struct bytes){0} : client_text(from->sku),
        .pool = from->item ? (struct bytes){0} : client_text(from->pool),
        .has_delta = !from->set,
        .delta = from->set ? 0 : from->value,
        .has_set_to = from->set,
        .set_to = from->set ? from->value : 0,
        .has_expected = from->has_expected,
        .expected = from->expected,
        .reason = client_text(from->reason),
        .reference = client_text(from->reference),
        .force = from->force,
        .to_item = from->to_item,
        .to_pool = from->to_item ? (struct bytes){0} : client_text(from->to_pool),
    };
    return status;
}

static enum hf_status run_adjust(struct hf_client *client, struct request *request,
                                 struct hf_adjust_result *results, struct hf_defined *defined)
{
    struct message *message;
    enum hf_status status = run(client, request, RESPONSE_ADJUST, &message);
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &message->response;
    if (response->adjust.count != request->adjust.count) {
        message_release(message);
        return client_fail(HF_INTERNAL, "the engine's answer has not as many results as were sent");
    }
    if (response->message.len > 0) {
        client_fail_as(HF_OK, response); /* about the first that was refused */
    }
    for (uint32_t i = 0; i < response->adjust.count; i++) {
        const struct adjust_result_message *from = &response->adjust.results[i];
        results[i] = (struct hf_adjust_result){
            .status = from->status, .replayed = from->replayed, .delta = from->delta};
        if (from->has_stock) {
            copy_stock(&results[i].stock, &from->stock);
        }
        if (from->has_to_stock) {
            copy_stock(&results[i].to_stock, &from->to_stock);
        }
    }
    if (defined) {
        *defined = response->adjust.has_after ? defined_of(&response->adjust.after)
                                              : (struct hf_defined){0};
    }
    message_release(message);
    return HF_OK;
}

/* Fills in the request's adjustments and sends it. */
static enum hf_status send_adjustments(struct hf_client *client, struct request *request,
                                       const struct hf_adjustment *adjustments, uint32_t count,
                                       struct hf_adjust_result *results, struct hf_defined *defined)
{
    struct adjustment_message *messages = calloc((size_t)count + 1, sizeof *messages);
    enum hf_status status = HF_OK;
    if (!messages) {
        return client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
    }
    for (uint32_t i = 0; i < count && status == HF_OK; i++) {
        status = put_adjustment(&adjustments[i], &messages[i]);
    }
    if (status == HF_OK) {
        request->adjust.count = count;
        request->adjust.adjustments = messages;
        status = run_adjust(client, request, results, defined);
    }
    free(messages);
    return status;
}

enum hf_status hf_adjust(struct hf_client *client, const struct hf_adjustment *adjustments,
                         uint32_t count, struct hf_adjust_result *results)
{
    enum hf_status status = check_count("count", count, REQUEST_ADMIN_MAX);
    if (status == HF_OK) {
        struct request request = {.type = REQUEST_ADJUST};
        status = send_adjustments(client, &request, adjustments, count, results, NULL);
    }
    return status;
}

enum hf_status hf_check(struct hf_client *client, const struct hf_dry_run *asked,
                        struct hf_defined *defined, struct hf_adjust_result *results)
{
    if (asked->sku_count > REQUEST_ADMIN_MAX || asked->item_count > REQUEST_ADMIN_MAX ||
        asked->sku_count + asked->item_count > REQUEST_ADMIN_MAX ||
        asked->adjustment_count > REQUEST_ADMIN_MAX) {
        return client_fail(
            HF_INVALID, "%u SKUs and %u items, and %u adjustments: at most %u of either",
            asked->sku_count, asked->item_count, asked->adjustment_count, REQUEST_ADMIN_MAX);
    }
    struct definitions messages;
    enum hf_status status =
        make_definitions(asked->skus, asked->sku_count, asked->items, asked->item_count, &messages);
    if (status == HF_OK) {
        struct request request = {.type = REQUEST_ADJUST};
        request.adjust.dry_run = true;
        request.adjust.has_after = asked->sku_count + asked->item_count > 0;
        request.adjust.after = (struct define_message){.sku_count = asked->sku_count,
                                                       .skus = messages.skus,
                                                       .item_count = asked->item_count,
                                                       .items = messages.items,
                                                       .dry_run = true,
                                                       .skus_before = asked->skus_before,
                                                       .items_before = asked->items_before};
        status = send_adjustments(client, &request, asked->adjustments, asked->adjustment_count,
                                  results, defined);
    }
    free_definitions(&messages);
    return status;
}

/* calls.c - calls that have a message of their own: edits by line, reading, stock keeping.
 *
 * All of them wait for the answer. Threads: any. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "client/client_internal.h"

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
    struct hf_result got = {
        .status = from->status,
        .replayed = from->replayed,
        .blocking_line = from->blocking_line,
        .deadline_ms = from->deadline_ms,
        .state = (enum hf_order_state)from->state,
    };
    if (got.status != HF_OK) {
        client_fail_as(got.status, response);
    }
    message_release(message);
    if (result) {
        *result = got;
    }
    return got.status;
}

static enum hf_status run_lines(struct hf_client *client, enum request_type type, struct hf_id id,
                                const struct hf_line_qty *lines, uint32_t line_count,
                                struct hf_result *result)
{
    /* No lines would mean all of the order, which a caller who names lines does not mean. */
    uint32_t least = type == REQUEST_RETURN ? 0 : 1;
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
    struct edit_message edit = {
        .id = {id.bytes, sizeof id.bytes}, .line_count = line_count, .lines = named};
    struct request request = {.type = type};
    request.edit.count = 1;
    request.edit.edits = &edit;
    return run_order(client, &request, result);
}

enum hf_status hf_commit_lines(struct hf_client *client, struct hf_id id,
                               const struct hf_line_qty *lines, uint32_t line_count,
                               struct hf_result *result)
{
    return run_lines(client, REQUEST_COMMIT, id, lines, line_count, result);
}

enum hf_status hf_release_lines(struct hf_client *client, struct hf_id id,
                                const struct hf_line_qty *lines, uint32_t line_count,
                                struct hf_result *result)
{
    return run_lines(client, REQUEST_RELEASE, id, lines, line_count, result);
}

enum hf_status hf_return_lines(struct hf_client *client, struct hf_id id,
                               const struct hf_line_qty *lines, uint32_t line_count,
                               struct hf_result *result)
{
    return run_lines(client, REQUEST_RETURN, id, lines, line_count, result);
}

enum hf_status hf_extend(struct hf_client *client, struct hf_id id, uint32_t hold_ms,
                         struct hf_result *result)
{
    struct request request = {.type = REQUEST_EXTEND};
    request.extend.id = (struct bytes){id.bytes, sizeof id.bytes};
    request.extend.hold_ms = hold_ms;
    return run_order(client, &request, result);
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
    const struct response *response = &message->response;
    *info = (struct hf_order_info){
        .id = id,
        .state = (enum hf_order_state)response->order.state,
        .buyer = response->order.buyer,
        .deadline_ms = response->order.deadline_ms,
        .lsn = response->order.lsn,
        .lines = lines,
    };
    for (uint32_t i = 0; i < response->order.grant_count && info->line_count < lines_max; i++) {
        const struct grant_message *grant = &response->order.grants[i];
        lines[info->line_count++] = (struct hf_order_line){grant->line, grant->item, grant->qty};
    }
    message_release(message);
    return HF_OK;
}

/* ---- Stock ---- */

static void copy_code(char to[HF_CODE_BYTES], struct bytes from)
{
    size_t len = from.len < HF_CODE_BYTES ? from.len : HF_CODE_BYTES - 1;
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
    copy_code(to->sku, from->sku);
    copy_code(to->pool, from->pool);
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

static void copy_text(char *to, size_t to_bytes, struct bytes from)
{
    size_t len = from.len < to_bytes ? from.len : to_bytes - 1;
    if (len > 0) {
        memcpy(to, from.data, len);
    }
    to[len] = '\0';
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
    };
    copy_text(status_out->version, sizeof status_out->version, response->status_info.version);
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
            status = check_text("label", from->label, LABEL_BYTES_MAX);
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
        };
    }
    return HF_OK;
}

static enum hf_status run_define(struct hf_client *client, struct request *request,
                                 uint32_t *items_out)
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
    message_release(message);
    return status;
}

enum hf_status hf_define(struct hf_client *client, const struct hf_sku *skus, uint32_t sku_count,
                         const struct hf_item *items, uint32_t item_count, uint32_t *items_out)
{
    if (sku_count > REQUEST_ADMIN_MAX || item_count > REQUEST_ADMIN_MAX ||
        sku_count + item_count > REQUEST_ADMIN_MAX || sku_count + item_count == 0) {
        return client_fail(HF_INVALID, "%u SKUs and %u items, must be 1..%u together", sku_count,
                           item_count, REQUEST_ADMIN_MAX);
    }
    struct sku_message *sku_messages = calloc((size_t)sku_count + 1, sizeof *sku_messages);
    struct item_message *item_messages = calloc((size_t)item_count + 1, sizeof *item_messages);
    enum hf_status status = HF_OK;
    if (!sku_messages || !item_messages) {
        status = client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
    }
    if (status == HF_OK) {
        status = put_skus(skus, sku_count, sku_messages);
    }
    if (status == HF_OK) {
        status = put_items(items, item_count, item_messages);
    }
    if (status == HF_OK) {
        struct request request = {.type = REQUEST_DEFINE};
        request.define.sku_count = sku_count;
        request.define.skus = sku_messages;
        request.define.item_count = item_count;
        request.define.items = item_messages;
        status = run_define(client, &request, items_out);
    }
    free(item_messages);
    free(sku_messages);
    return status;
}

static enum hf_status put_adjustment(const struct hf_adjustment *from,
                                     struct adjustment_message *to)
{
    enum hf_status status = from->item ? HF_OK : check_code("sku", from->sku, false);
    if (status == HF_OK && !from->item) {
        status = check_code("pool", from->pool, true);
    }
    if (status == HF_OK) {
        status = check_text("reason", from->reason, REASON_BYTES_MAX);
    }
    if (status == HF_OK) {
        status = check_text("reference", from->reference, REASON_BYTES_MAX);
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
    };
    return status;
}

static enum hf_status run_adjust(struct hf_client *client, struct request *request,
                                 struct hf_adjust_result *results)
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
        results[i] = (struct hf_adjust_result){.status = from->status, .replayed = from->replayed};
        if (from->has_stock) {
            copy_stock(&results[i].stock, &from->stock);
        }
    }
    message_release(message);
    return HF_OK;
}

enum hf_status hf_adjust(struct hf_client *client, const struct hf_adjustment *adjustments,
                         uint32_t count, struct hf_adjust_result *results)
{
    enum hf_status status = check_count("count", count, REQUEST_ADMIN_MAX);
    if (status != HF_OK) {
        return status;
    }
    struct adjustment_message *messages = calloc(count, sizeof *messages);
    if (!messages) {
        return client_fail(HF_NO_MEMORY, "%s", hf_status_text(HF_NO_MEMORY));
    }
    for (uint32_t i = 0; i < count && status == HF_OK; i++) {
        status = put_adjustment(&adjustments[i], &messages[i]);
    }
    if (status == HF_OK) {
        struct request request = {.type = REQUEST_ADJUST};
        request.adjust.count = count;
        request.adjust.adjustments = messages;
        status = run_adjust(client, &request, results);
    }
    free(messages);
    return status;
}

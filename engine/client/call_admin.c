/* call_admin.c - changes stock: defines SKUs and items, adjusts, and checks both in a dry run. Each
 * waits for the answer.
 *
 * Threads: any. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "client/call.h"
#include "client/convert.h"
#include "client/fail.h"
#include "client/validate.h"

/* ---- Definitions ---- */

static enum hf_status put_skus(const struct hf_sku *skus, uint32_t count, struct sku_message *to)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_sku *from = &skus[i];
        enum hf_status status = validate_code("sku", from->sku, false);
        if (status == HF_OK) {
            status = validate_text("label", from->label, TEXT_GIVEN_BYTES_MAX);
        }
        if (status != HF_OK) {
            return status;
        }
        to[i] = (struct sku_message){
            .sku = convert_bytes(from->sku),
            .label = convert_bytes(from->label),
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
        enum hf_status status = validate_code("sku", from->sku, false);
        if (status == HF_OK) {
            status = validate_code("pool", from->pool, true);
        }
        if (status != HF_OK) {
            return status;
        }
        to[i] = (struct item_message){
            .sku = convert_bytes(from->sku),
            .pool = convert_bytes(from->pool),
            .safety = from->safety,
            .presale_cap = from->presale_cap,
            .hot = from->hot,
            .fields = from->fields,
        };
    }
    return HF_OK;
}

static struct hf_defined defined_of(const struct defined_message *from)
{
    return (struct hf_defined){.skus_made = from->skus_made,
                               .skus_changed = from->skus_changed,
                               .items_made = from->items_made,
                               .items_changed = from->items_changed};
}

static enum hf_status run_define(struct hf_client *client, struct request *request,
                                 uint32_t *items_out, struct hf_defined *defined)
{
    struct flight *flight;
    enum hf_status status = call_run(client, request, RESPONSE_DEFINE, &flight);
    if (status != HF_OK) {
        return status;
    }
    uint32_t count = request->define.item_count;
    if (flight->response.define.count != count) {
        status = client_fail(HF_INTERNAL, "the engine's answer has not as many items as were sent");
    } else if (items_out && count > 0) {
        memcpy(items_out, flight->response.define.items, count * sizeof *items_out);
    }
    if (defined) {
        *defined = defined_of(&flight->response.define);
    }
    flight_release(flight);
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

/* ---- Adjustments ---- */

/* Checks the fields that only a move has. */
static enum hf_status check_move(const struct hf_adjustment *from)
{
    if (from->set) {
        return client_fail(HF_INVALID, "set: a move has a number of units, not a new stock");
    }
    if (from->value < 1 || from->value > STOCK_MAX) {
        return client_fail(HF_INVALID, "value: %lld units to move, must be 1..%lld",
                           (long long)from->value, (long long)STOCK_MAX);
    }
    return from->to_item ? HF_OK : validate_code("to_pool", from->to_pool, false);
}

static enum hf_status put_adjustment(const struct hf_adjustment *from,
                                     struct adjustment_message *to)
{
    enum hf_status status = from->item ? HF_OK : validate_code("sku", from->sku, false);
    if (status == HF_OK && !from->item) {
        status = validate_code("pool", from->pool, true);
    }
    if (status == HF_OK) {
        status = validate_text("reason", from->reason, TEXT_GIVEN_BYTES_MAX);
    }
    if (status == HF_OK) {
        status = validate_text("reference", from->reference, TEXT_GIVEN_BYTES_MAX);
    }
    if (status == HF_OK && (from->to_item || from->to_pool)) {
        status = check_move(from);
    }
    *to = (struct adjustment_message){
        .id = {from->id.bytes, sizeof from->id.bytes},
        .item = from->item,
        .sku = from->item ? (struct bytes){0} : convert_bytes(from->sku),
        .pool = from->item ? (struct bytes){0} : convert_bytes(from->pool),
        .has_delta = !from->set,
        .delta = from->set ? 0 : from->value,
        .has_set_to = from->set,
        .set_to = from->set ? from->value : 0,
        .has_expected = from->has_expected,
        .expected = from->expected,
        .reason = convert_bytes(from->reason),
        .reference = convert_bytes(from->reference),
        .force = from->force,
        .to_item = from->to_item,
        .to_pool = from->to_item ? (struct bytes){0} : convert_bytes(from->to_pool),
    };
    return status;
}

static enum hf_status run_adjust(struct hf_client *client, struct request *request,
                                 struct hf_adjust_result *results, struct hf_defined *defined)
{
    struct flight *flight;
    enum hf_status status = call_run(client, request, RESPONSE_ADJUST, &flight);
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &flight->response;
    if (response->adjust.count != request->adjust.count) {
        flight_release(flight);
        return client_fail(HF_INTERNAL, "the engine's answer has not as many results as were sent");
    }
    client_note(response);
    for (uint32_t i = 0; i < response->adjust.count; i++) {
        const struct adjust_result_message *from = &response->adjust.results[i];
        results[i] = (struct hf_adjust_result){
            .status = from->status, .replayed = from->replayed, .delta = from->delta};
        if (from->has_stock) {
            convert_stock(&results[i].stock, &from->stock);
        }
        if (from->has_to_stock) {
            convert_stock(&results[i].to_stock, &from->to_stock);
        }
    }
    if (defined) {
        *defined = response->adjust.has_after ? defined_of(&response->adjust.after)
                                              : (struct hf_defined){0};
    }
    flight_release(flight);
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
    enum hf_status status = validate_count("count", count, REQUEST_ADMIN_MAX);
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

/* call_stock.c - reads stock and the sale rules of SKUs. Each waits for the answer.
 *
 * Threads: any. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "client/call.h"
#include "client/convert.h"
#include "client/fail.h"
#include "client/validate.h"

static enum hf_status run_get_stock(struct hf_client *client, const char *sku,
                                    struct bytes *sku_bytes, struct flight **flight)
{
    enum hf_status status = validate_code("sku", sku, false);
    if (status != HF_OK) {
        return status;
    }
    *sku_bytes = bytes_of(sku);
    struct request request = {.type = REQUEST_GET_STOCK};
    request.get_stock.sku_count = 1;
    request.get_stock.skus = sku_bytes;
    return call_run(client, &request, RESPONSE_STOCK, flight);
}

enum hf_status hf_get_stock(struct hf_client *client, const char *sku, struct hf_stock *stock,
                            uint32_t max, uint32_t *count)
{
    struct bytes sku_bytes;
    struct flight *flight;
    enum hf_status status = run_get_stock(client, sku, &sku_bytes, &flight);
    if (status != HF_OK) {
        return status;
    }
    *count = flight->response.stock.count;
    for (uint32_t i = 0; i < *count && i < max; i++) {
        convert_stock(&stock[i], &flight->response.stock.items[i]);
    }
    flight_release(flight);
    return HF_OK;
}

enum hf_status hf_resolve(struct hf_client *client, const char *sku, const char *pool,
                          uint32_t *item)
{
    pool = pool ? pool : "default";
    enum hf_status status = validate_code("pool", pool, false);
    if (status != HF_OK) {
        return status;
    }
    struct bytes sku_bytes;
    struct flight *flight;
    status = run_get_stock(client, sku, &sku_bytes, &flight);
    if (status != HF_OK) {
        return status;
    }
    *item = 0;
    for (uint32_t i = 0; i < flight->response.stock.count; i++) {
        struct bytes other = flight->response.stock.items[i].pool;
        if (other.len == strlen(pool) && memcmp(other.data, pool, other.len) == 0) {
            *item = flight->response.stock.items[i].item;
        }
    }
    flight_release(flight);
    return *item ? HF_OK
                 : client_fail(HF_UNKNOWN_ITEM, "there is no item %s in pool %s", sku, pool);
}

enum hf_status hf_get_items(struct hf_client *client, const uint32_t *items, uint32_t count,
                            struct hf_stock *stock)
{
    enum hf_status status = validate_count("count", count, REQUEST_ADMIN_MAX);
    if (status != HF_OK) {
        return status;
    }
    struct request request = {.type = REQUEST_GET_STOCK};
    request.get_stock.item_count = count;
    request.get_stock.items = items;
    struct flight *flight;
    status = call_run(client, &request, RESPONSE_STOCK, &flight);
    if (status != HF_OK) {
        return status;
    }
    if (flight->response.stock.count != count) {
        flight_release(flight);
        return client_fail(HF_INTERNAL, "the engine's answer has not as many items as were asked");
    }
    for (uint32_t i = 0; i < count; i++) {
        convert_stock(&stock[i], &flight->response.stock.items[i]);
    }
    flight_release(flight);
    return HF_OK;
}

enum hf_status hf_list_stock(struct hf_client *client, const char *after_sku, uint32_t limit,
                             struct hf_stock **stock, uint32_t *count)
{
    *stock = NULL;
    *count = 0;
    enum hf_status status = validate_code("after_sku", after_sku, true);
    if (status != HF_OK) {
        return status;
    }
    struct request request = {.type = REQUEST_LIST_STOCK};
    request.list_stock.after_sku = convert_bytes(after_sku);
    request.list_stock.limit = limit;
    struct flight *flight;
    status = call_run(client, &request, RESPONSE_STOCK, &flight);
    if (status != HF_OK) {
        return status;
    }
    uint32_t got = flight->response.stock.count;
    struct hf_stock *copies = calloc(got > 0 ? got : 1, sizeof *copies);
    if (copies) {
        for (uint32_t i = 0; i < got; i++) {
            convert_stock(&copies[i], &flight->response.stock.items[i]);
        }
        *stock = copies;
        *count = got;
    }
    flight_release(flight);
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
    convert_text(to->sku, sizeof to->sku, from->sku);
    convert_text(to->label, sizeof to->label, from->label);
}

static enum hf_status run_get_skus(struct hf_client *client, const struct bytes *skus,
                                   uint32_t count, struct hf_sku_rules *rules)
{
    struct request request = {.type = REQUEST_GET_SKUS};
    request.get_skus.count = count;
    request.get_skus.skus = skus;
    struct flight *flight;
    enum hf_status status = call_run(client, &request, RESPONSE_SKUS, &flight);
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &flight->response;
    if (response->skus.count != count) {
        status = client_fail(HF_INTERNAL, "the engine's answer has not as many SKUs as were asked");
    }
    for (uint32_t i = 0; i < count && status == HF_OK; i++) {
        copy_rules(&rules[i], &response->skus.skus[i]);
    }
    flight_release(flight);
    return status;
}

enum hf_status hf_get_skus(struct hf_client *client, const char *const *skus, uint32_t count,
                           struct hf_sku_rules *rules)
{
    enum hf_status status = validate_count("count", count, REQUEST_ADMIN_MAX);
    for (uint32_t i = 0; i < count && status == HF_OK; i++) {
        status = validate_code("sku", skus[i], false);
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

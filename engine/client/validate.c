/* validate.c - arguments are checked before anything is sent. */
#include "client/validate.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "client/caller_order.h"
#include "client/fail.h"

/* What holdfast/client.h promises. */
static_assert(ORDER_LINES_MAX == 2048, "line_count");
static_assert(LINE_FALLBACKS_MAX == 64, "fallback_count");
static_assert(ORDER_FALLBACKS_MAX == 2048, "fallbacks of an order");
static_assert(QTY_MAX == 1000000000, "qty");
static_assert(REQUEST_ADMIN_MAX == 65536, "definitions and adjustments");
static_assert(REQUEST_ORDERS_MAX == 65536, "orders of a batch");

enum hf_status validate_count(const char *field, uint32_t count, uint32_t max)
{
    if (count == 0 || count > max) {
        return client_fail(HF_INVALID, "%s: %u, must be 1..%u", field, count, max);
    }
    return HF_OK;
}

enum hf_status validate_text(const char *field, const char *text, size_t bytes_max)
{
    if (!text) {
        return HF_OK;
    }
    size_t len = strnlen(text, bytes_max + 1);
    if (len > bytes_max) {
        return client_fail(HF_INVALID, "%s: more than %zu bytes", field, bytes_max);
    }
    if (!utf8_valid((const uint8_t *)text, len)) {
        return client_fail(HF_INVALID, "%s: not valid UTF-8", field);
    }
    return HF_OK;
}

enum hf_status validate_code(const char *field, const char *code, bool may_be_missing)
{
    if (!code || code[0] == '\0') {
        return may_be_missing ? HF_OK : client_fail(HF_INVALID, "%s: missing", field);
    }
    return validate_text(field, code, TEXT_GIVEN_BYTES_MAX);
}

/* How the line may be filled. */
static enum hf_status validate_shape(const struct hf_line *line, uint32_t number)
{
    if ((unsigned)line->policy > HF_LINE_OPTIONAL) {
        return client_fail(HF_INVALID, "lines[%u].policy: %u, must be 0..%u", number,
                           (unsigned)line->policy, (unsigned)HF_LINE_OPTIONAL);
    }
    uint32_t min_qty_max = line->policy == HF_LINE_UP_TO ? line->qty : 0;
    if (line->min_qty > min_qty_max) {
        return client_fail(HF_INVALID, "lines[%u].min_qty: %u, must be 0..%u", number,
                           line->min_qty, min_qty_max);
    }
    if (line->fallback_count > LINE_FALLBACKS_MAX) {
        return client_fail(HF_INVALID, "lines[%u].fallback_count: %u, must be 0..%u", number,
                           line->fallback_count, LINE_FALLBACKS_MAX);
    }
    if (line->fallback_count > 0 && !line->fallbacks) {
        return client_fail(HF_INVALID, "lines[%u].fallbacks: missing", number);
    }
    return HF_OK;
}

static enum hf_status validate_line(const struct hf_line *line, uint32_t number)
{
    if (line->qty == 0 || line->qty > QTY_MAX) {
        return client_fail(HF_INVALID, "lines[%u].qty: %u, must be 1..%u", number, line->qty,
                           QTY_MAX);
    }
    if (validate_shape(line, number) != HF_OK) {
        return HF_INVALID;
    }
    if (line->item != 0) {
        return HF_OK;
    }
    char field[32];
    (void)snprintf(field, sizeof field, "lines[%u].sku", number);
    enum hf_status status = validate_code(field, line->sku, false);
    (void)snprintf(field, sizeof field, "lines[%u].pool", number);
    return status == HF_OK ? validate_code(field, line->pool, true) : status;
}

enum hf_status validate_order(const struct hf_order *order)
{
    if (!order) {
        return client_fail(HF_INVALID, "order: missing");
    }
    enum hf_status status = validate_count("line_count", order->line_count, ORDER_LINES_MAX);
    if (status == HF_OK && !order->lines) {
        status = client_fail(HF_INVALID, "lines: missing");
    }
    for (uint32_t i = 0; i < order->line_count && status == HF_OK; i++) {
        status = validate_line(&order->lines[i], i);
    }
    if (status == HF_OK && caller_order_grants_max(order) > ORDER_LINES_MAX) {
        status = client_fail(HF_INVALID, "lines: with the fallbacks of split lines %u, at most %u",
                             caller_order_grants_max(order), ORDER_LINES_MAX);
    }
    if (status == HF_OK && caller_order_fallbacks(order) > ORDER_FALLBACKS_MAX) {
        status = client_fail(HF_INVALID, "lines: their fallbacks are %u, at most %u",
                             caller_order_fallbacks(order), ORDER_FALLBACKS_MAX);
    }
    return status;
}

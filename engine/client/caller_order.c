/* caller_order.c - an order as its caller hands it in: what it takes, and a copy of it. */
#include "client/caller_order.h"

#include <string.h>

#include "base/check.h"

#define LINE_BYTES     24u /* of a line without its names, about */
#define FALLBACK_BYTES 4u

uint32_t caller_order_grants_max(const struct hf_order *order)
{
    uint32_t count = order->line_count;
    for (uint32_t i = 0; i < order->line_count; i++) {
        count += order->lines[i].split ? order->lines[i].fallback_count : 0;
    }
    return count;
}

uint32_t caller_order_fallbacks(const struct hf_order *order)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < order->line_count; i++) {
        count += order->lines[i].fallback_count;
    }
    return count;
}
size_t caller_order_bytes(const struct hf_order *order)
{
    size_t bytes = CALLER_ORDER_BYTES;
    for (uint32_t i = 0; i < order->line_count; i++) {
        bytes += LINE_BYTES + order->lines[i].fallback_count * FALLBACK_BYTES;
        if (order->lines[i].item == 0) {
            bytes += strlen(order->lines[i].sku) +
                     (order->lines[i].pool ? strlen(order->lines[i].pool) : 0);
        }
    }
    return bytes;
}

/* What the names of an order's lines take, with their terminators. */
static size_t names_bytes(const struct hf_order *order)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < order->line_count; i++) {
        const struct hf_line *line = &order->lines[i];
        if (line->item == 0) {
            bytes += strlen(line->sku) + 1 + (line->pool ? strlen(line->pool) + 1 : 0);
        }
    }
    return bytes;
}

size_t caller_order_copy_bytes(const struct hf_order *order)
{
    return sizeof *order + order->line_count * sizeof *order->lines +
           caller_order_fallbacks(order) * sizeof(uint32_t) + names_bytes(order);
}

static char *copy_name(const char **name, char *text)
{
    *name = strcpy(text, *name);
    return text + strlen(text) + 1;
}

/* Moves what the lines point to after them: fallbacks, then names. Returns the end. */
static char *copy_after_lines(struct hf_line *lines, uint32_t count, uint32_t *fallbacks)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t fallback_count = lines[i].fallback_count;
        if (fallback_count > 0) {
            memcpy(fallbacks, lines[i].fallbacks, fallback_count * sizeof *fallbacks);
            lines[i].fallbacks = fallbacks;
            fallbacks += fallback_count;
        }
    }
    char *text = (char *)fallbacks;
    for (uint32_t i = 0; i < count; i++) {
        if (lines[i].item == 0) {
            text = copy_name(&lines[i].sku, text);
            text = lines[i].pool ? copy_name(&lines[i].pool, text) : text;
        }
    }
    return text;
}

struct hf_order *caller_order_copy(void *to, const struct hf_order *order)
{
    struct hf_order *copy = to;
    struct hf_line *lines = (struct hf_line *)(copy + 1);
    *copy = *order;
    copy->lines = lines;
    memcpy(lines, order->lines, order->line_count * sizeof *lines);
    char *end = copy_after_lines(lines, order->line_count, (uint32_t *)(lines + order->line_count));
    CHECK(end == (char *)to + caller_order_copy_bytes(order));
    return copy;
}

/* convert.c - between the public structs and those of the wire. */
#include "client/convert.h"

#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"

static_assert(HF_CODE_BYTES == CODE_BYTES_MAX + 1, "a code, with its terminator");
static_assert(HF_LABEL_BYTES == LABEL_BYTES_MAX + 1, "a label, with its terminator");

struct bytes convert_bytes(const char *text)
{
    return text ? bytes_of(text) : (struct bytes){0};
}
void convert_text(char *to, size_t to_bytes, struct bytes from)
{
    CHECK(to_bytes > 0);
    size_t len = from.len < to_bytes ? from.len : to_bytes - 1;
    if (len > 0) {
        memcpy(to, from.data, len);
    }
    to[len] = '\0';
}

void convert_slow_answer(struct hf_slow_answer *to, const struct slow_answer_message *from)
{
    *to = (struct hf_slow_answer){
        .at_ms = from->at_ms,
        .status = from->status,
        .orders = from->orders,
        .lines = from->lines,
        .request_bytes = from->request_bytes,
        .answer_bytes = from->answer_bytes,
        .lsn = from->lsn,
        .queue_ns = from->queue_ns,
        .decide_ns = from->decide_ns,
        .append_ns = from->append_ns,
        .sync_ns = from->sync_ns,
        .reply_ns = from->reply_ns,
    };
    convert_text(to->request, sizeof to->request, from->request);
}

void convert_stock(struct hf_stock *to, const struct stock_message *from)
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
    convert_text(to->sku, sizeof to->sku, from->sku);
    convert_text(to->pool, sizeof to->pool, from->pool);
}
struct hf_result convert_result(const struct result_message *from)
{
    return (struct hf_result){
        .status = from->status,
        .replayed = from->replayed,
        .blocking_line = from->blocking_line,
        .deadline_ms = from->deadline_ms,
        .state = (enum hf_order_state)from->state,
    };
}

uint32_t convert_grants(struct hf_grant *to, uint32_t max, const struct result_message *from)
{
    uint32_t count = from->grant_count < max ? from->grant_count : max;
    for (uint32_t i = 0; i < count; i++) {
        const struct grant_message *grant = &from->grants[i];
        to[i] = (struct hf_grant){grant->line, grant->item, grant->qty, grant->presale_qty};
    }
    CHECK(count <= max);
    return count;
}

/* call_orders.c - reads orders: one by its id, or a list by pages. Each waits for the answer.
 *
 * Threads: any. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "client/call.h"
#include "client/convert.h"
#include "client/fail.h"
#include "client/validate.h"

/* All states that an order in a list may have. */
#define LISTED_STATES ((1u << (HF_ORDER_RETURNED + 1)) - (1u << HF_ORDER_HELD))

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
    struct flight *flight;
    enum hf_status status = call_run(client, &request, RESPONSE_ORDER, &flight);
    if (status != HF_OK) {
        return status;
    }
    copy_order(info, &flight->response.order, lines, lines_max);
    info->id = id;
    flight_release(flight);
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
        CHECK(orders[i].line_count == from[i].grant_count);
        lines += from[i].grant_count;
    }
    CHECK(lines == (struct hf_order_line *)(orders + count) + line_count);
    return orders;
}

static enum hf_status check_filter(const struct hf_order_filter *filter)
{
    enum hf_status status = validate_code("sku", filter->sku, true);
    if (status == HF_OK) {
        status = validate_code("pool", filter->pool, true);
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
                                      struct flight **flight)
{
    uint32_t states[HF_ORDER_RETURNED + 1];
    struct request request = {.type = REQUEST_LIST_ORDERS};
    request.list_orders.buyer = filter->buyer;
    request.list_orders.sku = convert_bytes(filter->sku);
    request.list_orders.pool = convert_bytes(filter->pool);
    request.list_orders.states = states;
    for (uint32_t state = HF_ORDER_HELD; state <= HF_ORDER_RETURNED; state++) {
        if (filter->states & 1u << state) {
            states[request.list_orders.state_count++] = state;
        }
    }
    request.list_orders.after = (struct bytes){cursor->bytes, cursor->size};
    request.list_orders.limit = limit;
    return call_run(client, &request, RESPONSE_ORDER_LIST, flight);
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
    struct flight *flight;
    enum hf_status status = check_filter(filter);
    if (status == HF_OK) {
        status = run_list_orders(client, filter, cursor, limit, &flight);
    }
    if (status != HF_OK) {
        return status;
    }
    const struct response *response = &flight->response;
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
    flight_release(flight);
    return status;
}

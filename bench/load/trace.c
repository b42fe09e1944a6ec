/* trace.c - from rows to steps. Threads: one.
 *
 * Two passes: the rows are read and chained by order; then the orders are gone through in the order
 * of their first rows. Sold lines of one buyer and SKU are chained from the newest to the oldest
 * that has units left, which is how returns find them. */
#include "load/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cell.h"
#include "base/check.h"
#include "base/escape.h"
#include "base/id.h"
#include "base/limits.h"

struct row {
    uint64_t number;
    uint32_t sku;
    int32_t qty;
    uint32_t next; /* row of the same order; NAMES_NONE: none */
};

struct chain {
    uint32_t first;
    uint32_t last;
};

struct builder {
    struct trace *trace;
    char *error;
    struct row *rows;
    uint64_t row_capacity;
    struct chain *chains; /* of rows, by order */
    uint64_t order_capacity;
    struct names pairs; /* buyer and SKU */
    uint32_t *newest;   /* by pair: line, or NAMES_NONE */
    uint64_t pair_capacity;
    int order_column;
    int buyer_column;
    int sku_column;
    int qty_column;
};

static enum hf_status wrong(struct builder *builder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum hf_status wrong(struct builder *builder, const char *format, ...)
{
    char text[TRACE_ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    escape_text(bytes_of(text), builder->error, TRACE_ERROR_BYTES); /* it may hold a cell */
    return HF_INVALID;
}

/* Makes room for one more element; array is a pointer to the array's pointer. */
static bool make_room(void *array, uint64_t *capacity, uint64_t count, size_t size)
{
    void *old;
    memcpy(&old, array, sizeof old);
    if (count < *capacity) {
        return true;
    }
    uint64_t larger = *capacity ? *capacity * 2 : 1024;
    void *grown = larger < UINT32_MAX ? realloc(old, larger * size) : NULL;
    if (!grown) {
        return false;
    }
    memcpy(array, &grown, sizeof grown);
    *capacity = larger;
    return true;
}

/* ---- First pass: rows ---- */

/* The row's order, by number; a new order's buyer is set. NAMES_NONE when out of memory. */
static uint32_t enter_order(struct builder *builder, const struct csv_row *csv_row)
{
    struct trace *trace = builder->trace;
    struct bytes name = csv_row->fields[builder->order_column];
    uint32_t known = trace->order_names.count;
    uint32_t order = names_intern(&trace->order_names, name.data, name.len);
    uint64_t buyer = 0;
    if (builder->buyer_column >= 0) {
        struct bytes text = csv_row->fields[builder->buyer_column];
        buyer = buyer_from_text((const char *)text.data, text.len);
    }
    if (order == NAMES_NONE || order < known) {
        if (order != NAMES_NONE && trace->orders[order].buyer != buyer) {
            trace->counts.other_buyer_rows++;
        }
        return order;
    }
    uint64_t chain_capacity = builder->order_capacity;
    if (!make_room(&builder->chains, &chain_capacity, order, sizeof *builder->chains) ||
        !make_room(&trace->orders, &builder->order_capacity, order, sizeof *trace->orders)) {
        return NAMES_NONE;
    }
    trace->orders[order] = (struct trace_order){.buyer = buyer, .row = csv_row->number};
    builder->chains[order] = (struct chain){NAMES_NONE, NAMES_NONE};
    return order;
}

static enum hf_status wrong_cell(struct builder *builder, uint64_t row, const char *column,
                                 struct bytes cell, const char *reason)
{
    return wrong(builder, "row %" PRIu64 ", column %s: '%.40s' %s", row, column,
                 (const char *)cell.data, reason);
}

static enum hf_status enter_row(struct builder *builder, const struct csv_row *csv_row)
{
    struct trace *trace = builder->trace;
    struct bytes name = csv_row->fields[builder->order_column];
    struct bytes sku = csv_row->fields[builder->sku_column];
    struct bytes qty = csv_row->fields[builder->qty_column];
    struct row row = {.number = csv_row->number, .next = NAMES_NONE};
    struct bytes buyer = {NULL, 0};
    uint8_t room[TEXT_ROOM_BYTES];
    char reason[CELL_ERROR_BYTES];
    int64_t units;
    if (builder->buyer_column >= 0) {
        buyer = csv_row->fields[builder->buyer_column];
    }
    if (name.len == 0) {
        return wrong(builder, "row %" PRIu64 ": order is empty", row.number);
    }
    if (!cell_check_name(name, reason)) {
        return wrong_cell(builder, row.number, "order", name, reason);
    }
    if (!cell_check_name(buyer, reason)) {
        return wrong_cell(builder, row.number, "buyer", buyer, reason);
    }
    if (!cell_code(sku, room, &sku, reason)) {
        return wrong_cell(builder, row.number, "sku", csv_row->fields[builder->sku_column], reason);
    }
    if (!cell_number(qty, -(int64_t)QTY_MAX, QTY_MAX, &units, reason)) {
        return wrong_cell(builder, row.number, "qty", qty, reason);
    }
    row.qty = (int32_t)units;
    uint32_t order = enter_order(builder, csv_row);
    row.sku = names_intern(&trace->sku_codes, sku.data, sku.len);
    uint64_t index = trace->counts.rows;
    if (order == NAMES_NONE || row.sku == NAMES_NONE ||
        !make_room(&builder->rows, &builder->row_capacity, index, sizeof *builder->rows)) {
        return HF_NO_MEMORY;
    }
    builder->rows[index] = row;
    trace->counts.rows++;
    struct chain *chain = &builder->chains[order];
    if (chain->first == NAMES_NONE) {
        chain->first = (uint32_t)index;
    } else {
        builder->rows[chain->last].next = (uint32_t)index;
    }
    chain->last = (uint32_t)index;
    return HF_OK;
}

static enum hf_status read_rows(struct builder *builder, struct csv *csv)
{
    builder->order_column = csv_column(csv, "order");
    builder->buyer_column = csv_column(csv, "buyer");
    builder->sku_column = csv_column(csv, "sku");
    builder->qty_column = csv_column(csv, "qty");
    if (builder->order_column < 0 || builder->sku_column < 0 || builder->qty_column < 0) {
        return wrong(builder, "the header must name the columns order, sku and qty");
    }
    struct csv_row row;
    enum hf_status status;
    while ((status = csv_next(csv, &row)) == HF_OK) {
        status = enter_row(builder, &row);
        if (status != HF_OK) {
            return status;
        }
    }
    if (status != HF_NOT_FOUND) {
        snprintf(builder->error, TRACE_ERROR_BYTES, "%s", csv_error(csv));
        return status;
    }
    builder->trace->content_hash = csv_content_hash(csv);
    return HF_OK;
}

/* ---- Second pass: steps ---- */

static bool add_step(struct trace *trace, struct trace_step step)
{
    if (!make_room(&trace->steps, &trace->step_capacity, trace->step_count, sizeof *trace->steps)) {
        return false;
    }
    trace->steps[trace->step_count++] = step;
    return true;
}

/* The newest line of a buyer and SKU that has units left; NULL when out of memory. */
static uint32_t *newest_line(struct builder *builder, uint64_t buyer, uint32_t sku)
{
    uint8_t key[12];
    memcpy(key, &buyer, sizeof buyer);
    memcpy(key + sizeof buyer, &sku, sizeof sku);
    uint32_t known = builder->pairs.count;
    uint32_t pair = names_intern(&builder->pairs, key, sizeof key);
    if (pair == NAMES_NONE ||
        !make_room(&builder->newest, &builder->pair_capacity, pair, sizeof *builder->newest)) {
        return NULL;
    }
    if (pair == known) {
        builder->newest[pair] = NAMES_NONE;
    }
    return &builder->newest[pair];
}

static enum hf_status add_line(struct builder *builder, struct trace_order *order,
                               const struct row *row)
{
    struct trace *trace = builder->trace;
    uint32_t *newest = newest_line(builder, order->buyer, row->sku);
    if (!newest ||
        !make_room(&trace->lines, &trace->line_capacity, trace->line_count, sizeof *trace->lines)) {
        return HF_NO_MEMORY;
    }
    if (order->line_count == ORDER_LINES_MAX) {
        return wrong(builder, "row %" PRIu64 ": an order can have %u lines, this is one more",
                     row->number, ORDER_LINES_MAX);
    }
    trace->lines[trace->line_count] =
        (struct trace_line){.sku = row->sku, .qty = (uint32_t)row->qty, .older = *newest};
    *newest = (uint32_t)trace->line_count;
    trace->line_count++;
    order->line_count++;
    trace->skus[row->sku].sold += row->qty;
    trace->counts.lines++;
    trace->counts.units_sold += (uint64_t)row->qty;
    return HF_OK;
}

static enum hf_status build_sale(struct builder *builder, uint32_t number)
{
    struct trace *trace = builder->trace;
    struct trace_order *order = &trace->orders[number];
    order->first_line = (uint32_t)trace->line_count;
    for (uint32_t at = builder->chains[number].first; at != NAMES_NONE;
         at = builder->rows[at].next) {
        const struct row *row = &builder->rows[at];
        if (row->qty > 0) {
            enum hf_status status = add_line(builder, order, row);
            if (status != HF_OK) {
                return status;
            }
        } else if (row->qty < 0) {
            struct trace_step step = {.kind = TRACE_WRITE_OFF,
                                      .order = number,
                                      .sku = row->sku,
                                      .qty = (uint32_t)-row->qty,
                                      .row = row->number};
            trace->skus[row->sku].written_off += step.qty;
            trace->counts.write_offs++;
            trace->counts.units_written_off += step.qty;
            if (!add_step(trace, step)) {
                return HF_NO_MEMORY;
            }
        } else {
            trace->counts.zero_rows++;
        }
    }
    if (order->line_count == 0) {
        return HF_OK;
    }
    trace->counts.sales++;
    struct trace_step step = {.kind = TRACE_SELL, .order = number, .row = order->row};
    return add_step(trace, step) ? HF_OK : HF_NO_MEMORY;
}

/* The order that a line belongs to: lines are laid out in the order of orders' numbers, and orders
 * without lines share their first_line with the next. */
static uint32_t order_of_line(const struct trace *trace, uint32_t orders, uint32_t line)
{
    uint32_t low = 0;
    uint32_t high = orders;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (trace->orders[middle].first_line <= line) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Returns one row's units; turns counts the steps of each order so far. */
static enum hf_status build_return(struct builder *builder, uint32_t cancellation,
                                   const struct row *row, uint32_t *turns)
{
    struct trace *trace = builder->trace;
    uint32_t left = (uint32_t)-row->qty;
    uint32_t *newest = newest_line(builder, trace->orders[cancellation].buyer, row->sku);
    if (!newest) {
        return HF_NO_MEMORY;
    }
    trace->counts.returned_rows += *newest != NAMES_NONE;
    while (left > 0 && *newest != NAMES_NONE) {
        uint32_t number = *newest;
        struct trace_line *line = &trace->lines[number];
        uint32_t units = line->qty - line->returned < left ? line->qty - line->returned : left;
        uint32_t order = order_of_line(trace, cancellation, number);
        CHECK(units > 0);
        CHECK(number - trace->orders[order].first_line < trace->orders[order].line_count);
        line->returned += units;
        left -= units;
        if (line->returned == line->qty) {
            *newest = line->older;
        }
        trace->skus[row->sku].returned += units;
        trace->counts.units_returned += units;
        struct trace_step step = {.kind = TRACE_RETURN,
                                  .order = order,
                                  .line = number - trace->orders[order].first_line + 1,
                                  .sku = row->sku,
                                  .qty = line->returned,
                                  .turn = ++turns[order],
                                  .row = row->number};
        if (!add_step(trace, step)) {
            return HF_NO_MEMORY;
        }
    }
    trace->counts.unmatched_rows += left > 0;
    trace->counts.units_unmatched += left;
    return HF_OK;
}

static enum hf_status build_cancellation(struct builder *builder, uint32_t number, uint32_t *turns)
{
    struct trace *trace = builder->trace;
    trace->orders[number].first_line = (uint32_t)trace->line_count;
    trace->counts.cancellations++;
    for (uint32_t at = builder->chains[number].first; at != NAMES_NONE;
         at = builder->rows[at].next) {
        const struct row *row = &builder->rows[at];
        if (row->qty < 0) {
            enum hf_status status = build_return(builder, number, row, turns);
            if (status != HF_OK) {
                return status;
            }
        } else if (row->qty > 0) {
            trace->counts.odd_rows++;
            trace->counts.units_odd += (uint64_t)row->qty;
        } else {
            trace->counts.zero_rows++;
        }
    }
    return HF_OK;
}

static enum hf_status build_steps(struct builder *builder)
{
    struct trace *trace = builder->trace;
    uint32_t orders = trace->order_names.count;
    trace->skus = calloc((size_t)trace->sku_codes.count + 1, sizeof *trace->skus);
    uint32_t *turns = calloc((size_t)orders + 1, sizeof *turns);
    enum hf_status status = trace->skus && turns ? HF_OK : HF_NO_MEMORY;
    for (uint32_t order = 0; order < orders && status == HF_OK; order++) {
        status = names_at(&trace->order_names, order)[0] == 'C'
                     ? build_cancellation(builder, order, turns)
                     : build_sale(builder, order);
    }
    free(turns);
    return status;
}

enum hf_status trace_read(struct trace *trace, struct csv *csv, char error[TRACE_ERROR_BYTES])
{
    struct builder builder = {.trace = trace, .error = error};
    memset(trace, 0, sizeof *trace);
    error[0] = '\0';
    enum hf_status status = read_rows(&builder, csv);
    if (status == HF_OK) {
        status = build_steps(&builder);
    }
    if (status != HF_OK && error[0] == '\0') {
        snprintf(error, TRACE_ERROR_BYTES, "%s", hf_status_text(status));
    }
    free(builder.rows);
    free(builder.chains);
    free(builder.newest);
    names_deinit(&builder.pairs);
    if (status != HF_OK) {
        trace_deinit(trace);
    }
    return status;
}

void trace_deinit(struct trace *trace)
{
    names_deinit(&trace->order_names);
    names_deinit(&trace->sku_codes);
    free(trace->orders);
    free(trace->skus);
    free(trace->lines);
    free(trace->steps);
    memset(trace, 0, sizeof *trace);
}

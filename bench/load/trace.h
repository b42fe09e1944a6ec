/* trace.h - turns a file of real orders into steps that can be carried out and checked.
 *
 * The file: columns order, sku, qty and, if there, buyer, by the header's names; others are
 * ignored. Rows stand in the order of time. An order's rows need not stand together; it takes place
 * where its first row stands, its buyer is that row's.
 *
 * - An order that begins with C is a cancellation: its negative rows return units that the same
 *   buyer (or the buyers without name) bought of the same SKU, newest line first. What finds
 *   nothing that was sold is counted as unmatched. A positive row in it is odd: counted, skipped.
 * - In other orders the positive rows are the lines of one sale; negative rows are write-offs.
 * - Rows of quantity zero are counted and skipped.
 *
 * Threads: one builds a trace; any may read it then. Memory: some 60 bytes a row. */
#ifndef LOAD_TRACE_H
#define LOAD_TRACE_H

#include <stdint.h>

#include "base/csv.h"
#include "holdfast/status.h"
#include "load/names.h"

struct trace_line {
    uint32_t sku;
    uint32_t qty;
    uint32_t returned; /* by the whole file */
    uint32_t older;    /* line of the same buyer and SKU that was sold before; NAMES_NONE: none */
};

struct trace_order {
    uint64_t buyer;
    uint64_t row;        /* of its first line in the file */
    uint32_t first_line; /* in lines */
    uint32_t line_count; /* 0: a cancellation, or nothing was sold */
};

enum trace_kind { TRACE_SELL, TRACE_RETURN, TRACE_WRITE_OFF };

struct trace_step {
    enum trace_kind kind;
    uint32_t order; /* sold, or returned from, or that the write-off stands in */
    uint32_t line;  /* return: line of the order, from 1 */
    uint32_t sku;   /* write-off */
    uint32_t qty;   /* write-off: units; return: total for the line so far */
    uint32_t turn;  /* return: so many steps of the order come before it (the sale is the first) */
    uint64_t row;   /* of the file */
};

struct trace_sku {
    int64_t sold; /* units in orders */
    int64_t returned;
    int64_t written_off;
};

struct trace_counts {
    uint64_t rows;
    uint64_t sales; /* orders with something sold */
    uint64_t lines; /* of these */
    uint64_t units_sold;
    uint64_t cancellations; /* orders that begin with C */
    uint64_t returned_rows; /* of these, rows of which something was returned */
    uint64_t units_returned;
    uint64_t unmatched_rows; /* rows of which not all was returned */
    uint64_t units_unmatched;
    uint64_t write_offs;
    uint64_t units_written_off;
    uint64_t odd_rows; /* positive ones in a cancellation */
    uint64_t units_odd;
    uint64_t zero_rows;
    uint64_t other_buyer_rows; /* whose buyer is not that of the order's first row */
};

struct trace {
    uint64_t content_hash; /* of the file, unzipped */
    struct names order_names;
    struct names sku_codes;
    struct trace_order *orders; /* by number in order_names */
    struct trace_sku *skus;     /* by number in sku_codes */
    struct trace_line *lines;
    uint64_t line_count;
    struct trace_step *steps;
    uint64_t step_count;
    struct trace_counts counts;
    /* While it is built. */
    uint64_t line_capacity;
    uint64_t step_capacity;
};

#define TRACE_ERROR_BYTES 512u

/* Reads a file; csv as csv_open() or csv_open_bytes() gave it. error says what is wrong, with the
 * row's number. OK; INVALID; IO_ERROR; NO_MEMORY. */
enum hf_status trace_read(struct trace *trace, struct csv *csv, char error[TRACE_ERROR_BYTES]);
void trace_deinit(struct trace *trace);

#endif

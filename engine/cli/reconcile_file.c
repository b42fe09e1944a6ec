/* reconcile_file.c - an order system's file of orders, checked and sorted by order.
 *
 * Threads: one. */
#include "cli/reconcile_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cell.h"
#include "base/csv.h"
#include "base/id.h"
#include "base/limits.h"
#include "cli/print.h"
#include "cli/values.h"

/* ---- Rows ---- */

struct row {
    struct id128 id;
    uint64_t number;
    const char *name;
    const char *state;
    enum wanted_state wanted;
    uint32_t item;
    int64_t qty;
};

struct reading {
    struct order_file *file;
    const struct item_table *items;
    struct csv *csv;
    int order;
    int state;
    int sku;
    int pool; /* -1: there is no such column */
    int qty;
    struct row *rows;
    size_t count;
    size_t room;
    char *error;
};

__attribute__((format(printf, 2, 3))) static bool bad(const struct reading *reading,
                                                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reading->error, ORDER_FILE_ERROR_BYTES, format, args);
    va_end(args);
    return false;
}

static const struct {
    const char *name;
    enum wanted_state wanted;
} states[] = {
    {"held", WANTED_HELD},           {"pending", WANTED_HELD},    {"unpaid", WANTED_HELD},
    {"committed", WANTED_COMMITTED}, {"paid", WANTED_COMMITTED},  {"sold", WANTED_COMMITTED},
    {"released", WANTED_ENDED},      {"cancelled", WANTED_ENDED}, {"canceled", WANTED_ENDED},
    {"expired", WANTED_ENDED},       {"returned", WANTED_ENDED},  {"refunded", WANTED_ENDED},
};

static bool read_state(struct reading *reading, struct row *row, const char *text)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (strcasecmp(states[i].name, text) == 0) {
            row->state = states[i].name;
            row->wanted = states[i].wanted;
            return true;
        }
    }
    return bad(reading,
               "row %" PRIu64 ", column state: '%.64s' is none of held, pending, unpaid, "
               "committed, paid, sold, released, cancelled, expired, returned, refunded",
               row->number, text);
}

static const char *field(const struct csv_row *cells, int column)
{
    return (const char *)cells->fields[column].data;
}

static bool bad_cell(struct reading *reading, const struct row *row, const char *column,
                     const char *cell, const char *reason)
{
    return bad(reading, "row %" PRIu64 ", column %s: '%.64s' %s", row->number, column, cell,
               reason);
}

/* A code as the engine keeps it. */
static bool read_code(struct reading *reading, const struct row *row, const char *column,
                      const char *cell, char code[HF_CODE_BYTES])
{
    uint8_t room[TEXT_ROOM_BYTES];
    char reason[CELL_ERROR_BYTES];
    struct bytes taken;
    if (!cell_code(bytes_of(cell), room, &taken, reason)) {
        return bad_cell(reading, row, column, cell, reason);
    }
    memcpy(code, taken.data, taken.len);
    code[taken.len] = '\0';
    return true;
}

static bool read_item(struct reading *reading, struct row *row, const struct csv_row *cells)
{
    char sku[HF_CODE_BYTES];
    char pool[HF_CODE_BYTES] = "default";
    const char *text = reading->pool >= 0 ? field(cells, reading->pool) : "";
    /* What the engine has just so needs no reading: it may be older than the rule for codes. */
    row->item =
        item_table_find(reading->items, field(cells, reading->sku), text[0] != '\0' ? text : pool);
    if (row->item) {
        return true;
    }
    if (!read_code(reading, row, "sku", field(cells, reading->sku), sku) ||
        (text[0] != '\0' && !read_code(reading, row, "pool", text, pool))) {
        return false;
    }
    row->item = item_table_find(reading->items, sku, pool);
    return row->item || bad(reading, "row %" PRIu64 ", column sku: the engine knows no item %s@%s",
                            row->number, sku, pool);
}

/* The order's name, and the id that it stands for. */
static bool read_order(struct reading *reading, struct row *row, const char *order)
{
    char reason[CELL_ERROR_BYTES];
    struct hf_id id = order_id_of(order);
    size_t len = strlen(order);
    if (len == 0) {
        return bad(reading, "row %" PRIu64 ", column order: empty", row->number);
    }
    if (!cell_check_name(bytes_of(order), reason)) {
        return bad_cell(reading, row, "order", order, reason);
    }
    char *name = must_have(arena_alloc(&reading->file->arena, len + 1));
    memcpy(name, order, len + 1);
    row->name = name;
    row->id = id_from_bytes(id.bytes);
    return true;
}

static bool read_qty(struct reading *reading, struct row *row, const char *qty)
{
    char reason[CELL_ERROR_BYTES];
    bool ended = row->wanted == WANTED_ENDED;
    if (ended && qty[0] == '\0') {
        return true; /* the file need not say what an ended order had */
    }
    return cell_number(bytes_of(qty), ended ? 0 : 1, QTY_MAX, &row->qty, reason) ||
           bad_cell(reading, row, "qty", qty, reason);
}

static bool read_row(struct reading *reading, const struct csv_row *cells)
{
    struct row row = {.number = cells->number};
    if (!read_order(reading, &row, field(cells, reading->order)) ||
        !read_state(reading, &row, field(cells, reading->state)) ||
        !read_item(reading, &row, cells) || !read_qty(reading, &row, field(cells, reading->qty))) {
        return false;
    }
    if (reading->count == reading->room) {
        reading->room = reading->room ? 2 * reading->room : 1024;
        reading->rows = must_grow(reading->rows, reading->room, sizeof *reading->rows);
    }
    reading->rows[reading->count++] = row;
    return true;
}

static bool find_columns(struct reading *reading)
{
    const struct {
        const char *name;
        int *column;
        bool needed;
    } columns[] = {
        {"order", &reading->order, true}, {"state", &reading->state, true},
        {"sku", &reading->sku, true},     {"pool", &reading->pool, false},
        {"qty", &reading->qty, true},
    };
    bool any = false;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        *columns[i].column = csv_column(reading->csv, columns[i].name);
        any = any || *columns[i].column >= 0;
    }
    if (!any) {
        return bad(reading,
                   "row 1: neither '%.64s' nor any other cell is the name of a column: is the "
                   "header missing? It must name order, state, sku, pool and qty",
                   csv_column_name(reading->csv, 0));
    }
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        if (*columns[i].column < 0 && columns[i].needed) {
            return bad(reading, "row 1: the column %s is missing", columns[i].name);
        }
    }
    return true;
}

/* ---- Orders ---- */

static int compare_ids(struct id128 a, struct id128 b)
{
    int order = (a.hi > b.hi) - (a.hi < b.hi);
    return order ? order : (a.lo > b.lo) - (a.lo < b.lo);
}

static int compare_rows(const void *a, const void *b)
{
    const struct row *left = a;
    const struct row *right = b;
    int order = compare_ids(left->id, right->id);
    order = order ? order : (left->item > right->item) - (left->item < right->item);
    return order ? order : (left->number > right->number) - (left->number < right->number);
}

/* The rows of one order as parts. False: they have different states. */
static bool make_order(struct reading *reading, const struct row *rows, size_t count)
{
    struct order_file *file = reading->file;
    struct order_part *parts = must_have(arena_alloc(&file->arena, count * sizeof *parts));
    struct file_order order = {.id = rows->id,
                               .name = rows->name,
                               .row = rows->number,
                               .wanted = rows->wanted,
                               .state = rows->state,
                               .parts = parts};
    for (size_t i = 0; i < count; i++) {
        struct order_part *part = order.part_count ? &parts[order.part_count - 1] : NULL;
        if (rows[i].wanted != order.wanted) {
            return bad(reading,
                       "row %" PRIu64 ", column state: order %.64s is %s in row %" PRIu64
                       " and %s here",
                       rows[i].number, rows[i].name, rows->state, rows->number, rows[i].state);
        }
        order.row = rows[i].number < order.row ? rows[i].number : order.row;
        if (part && part->item == rows[i].item) {
            part->repeated++;
            part->qty += rows[i].qty;
            part->row_qty = part->row_qty == rows[i].qty ? part->row_qty : 0;
        } else {
            parts[order.part_count++] =
                (struct order_part){rows[i].item, 1, rows[i].number, rows[i].qty, rows[i].qty};
        }
    }
    file->orders[file->order_count++] = order;
    return true;
}

static bool make_orders(struct reading *reading)
{
    struct order_file *file = reading->file;
    if (reading->count > 0) {
        qsort(reading->rows, reading->count, sizeof *reading->rows, compare_rows);
    }
    file->row_count = reading->count;
    file->orders = must_alloc(reading->count + 1, sizeof *file->orders);
    for (size_t i = 0; i < reading->count;) {
        size_t end = i + 1;
        while (end < reading->count && id_equal(reading->rows[i].id, reading->rows[end].id)) {
            end++;
        }
        if (!make_order(reading, &reading->rows[i], end - i)) {
            return false;
        }
        i = end;
    }
    return true;
}

static bool read_all(struct reading *reading)
{
    struct csv_row cells;
    enum hf_status status;
    if (!find_columns(reading)) {
        return false;
    }
    while ((status = csv_next(reading->csv, &cells)) == HF_OK) {
        if (!read_row(reading, &cells)) {
            return false;
        }
    }
    if (status != HF_NOT_FOUND) {
        return bad(reading, "%s", csv_error(reading->csv));
    }
    /* A file that was cut off: taken at its word, all of the engine's orders would be orphans. */
    return reading->count > 0 ? make_orders(reading)
                              : bad(reading, "there is no row below the header");
}

bool order_file_read(struct order_file *file, const char *path, const char *encoding,
                     const struct item_table *items, char *error)
{
    struct reading reading = {.file = file, .items = items, .error = error};
    char reason[CSV_ERROR_BYTES];
    *file = (struct order_file){0};
    arena_init(&file->arena, SIZE_MAX / 4);
    if (csv_open(&reading.csv, path, encoding, reason) != HF_OK) {
        return bad(&reading, "%s", reason);
    }
    bool fine = read_all(&reading);
    csv_close(reading.csv);
    free(reading.rows);
    return fine;
}

void order_file_deinit(struct order_file *file)
{
    arena_deinit(&file->arena);
    free(file->orders);
}

struct file_order *order_file_find(struct order_file *file, struct id128 id)
{
    uint32_t low = 0;
    uint32_t high = file->order_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_ids(file->orders[middle].id, id);
        if (order == 0) {
            return &file->orders[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

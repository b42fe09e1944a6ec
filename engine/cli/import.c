/* import.c - a stock file as rows that have been checked.
 *
 * Each column has a parser in one table; rows of one SKU may name its rules once or alike.
 *
 * Threads: one. */
#include "cli/import.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cell.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/times.h"
#include "cli/print.h"
#include "cli/values.h"
#include "core/definitions.h"

#define ERRORS_SHOWN 20u
#define ROWS_MAX     ITEMS_MAX

/* ---- What is wrong ---- */

__attribute__((format(printf, 3, 4))) static void bad(struct import *import, const char *path,
                                                      const char *format, ...)
{
    if (import->error_count++ >= ERRORS_SHOWN) {
        return;
    }
    char text[sizeof import->first_error];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (import->error_count == 1) {
        memcpy(import->first_error, text, sizeof text);
    }
    print_safe(stderr, path);
    fputs(": ", stderr);
    print_safe(stderr, text);
    fputc('\n', stderr);
}

/* ---- Columns ---- */

static char *keep(struct import *import, struct bytes text)
{
    char *copy = must_have(arena_alloc(&import->arena, text.len + 1));
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

typedef bool (*column_parser)(struct import *import, struct import_row *row, const char *text,
                              char *reason);

static bool read_code(struct import *import, const char **code, const char *text, char *reason)
{
    uint8_t room[TEXT_ROOM_BYTES];
    struct bytes taken;
    bool fine = cell_code(bytes_of(text), room, &taken, reason);
    *code = fine ? keep(import, taken) : NULL;
    return fine;
}

static bool read_sku(struct import *import, struct import_row *row, const char *text, char *reason)
{
    return read_code(import, &row->sku, text, reason);
}

static bool read_pool(struct import *import, struct import_row *row, const char *text, char *reason)
{
    return read_code(import, &row->pool, text, reason);
}

static bool read_label(struct import *import, struct import_row *row, const char *text,
                       char *reason)
{
    uint8_t room[TEXT_ROOM_BYTES];
    char why[TEXT_ERROR_BYTES];
    struct bytes label;
    if (!text_take(TEXT_LABEL, bytes_of(text), room, &label, why)) {
        snprintf(reason, CELL_ERROR_BYTES, "is not a valid label: %s", why);
        return false;
    }
    row->label = keep(import, label);
    row->rules |= HF_SKU_LABEL;
    return true;
}

static bool read_stock(struct import *import, struct import_row *row, const char *text,
                       char *reason)
{
    (void)import;
    row->has_stock = true;
    return cell_number(bytes_of(text), 0, STOCK_MAX, &row->stock, reason);
}

static bool read_safety(struct import *import, struct import_row *row, const char *text,
                        char *reason)
{
    (void)import;
    row->has_safety = true;
    return cell_number(bytes_of(text), 0, STOCK_MAX, &row->safety, reason);
}

static bool read_presale_cap(struct import *import, struct import_row *row, const char *text,
                             char *reason)
{
    (void)import;
    row->has_presale_cap = true;
    return cell_number(bytes_of(text), 0, STOCK_MAX, &row->presale_cap, reason);
}

static bool read_hot(struct import *import, struct import_row *row, const char *text, char *reason)
{
    (void)import;
    row->has_hot = true;
    return parse_bool(text, &row->hot, reason);
}

/* If a spreadsheet has spoiled a number, that is a better reason than the expected form. */
static bool read_duration(const char *text, uint32_t *ms, char *reason)
{
    return !cell_spoiled_number(bytes_of(text), reason) && parse_duration(text, ms, reason);
}

static bool read_time(const char *text, uint64_t *unix_ms, char *reason)
{
    if (cell_is_date(bytes_of(text))) {
        snprintf(reason, CELL_ERROR_BYTES,
                 "is a date that can be read in two ways: write it as "
                 "2026-11-30T20:00+08:00");
        return false;
    }
    return parse_sale_time(text, unix_ms, reason);
}

static bool read_hold(struct import *import, struct import_row *row, const char *text, char *reason)
{
    (void)import;
    row->rules |= HF_SKU_HOLD;
    return read_duration(text, &row->hold_ms, reason);
}

static bool read_hold_max(struct import *import, struct import_row *row, const char *text,
                          char *reason)
{
    (void)import;
    row->rules |= HF_SKU_HOLD_MAX;
    return read_duration(text, &row->hold_ms_max, reason);
}

static bool read_opens_at(struct import *import, struct import_row *row, const char *text,
                          char *reason)
{
    (void)import;
    row->rules |= HF_SKU_OPENS_AT;
    return read_time(text, &row->opens_at_ms, reason);
}

static bool read_closes_at(struct import *import, struct import_row *row, const char *text,
                           char *reason)
{
    (void)import;
    row->rules |= HF_SKU_CLOSES_AT;
    return read_time(text, &row->closes_at_ms, reason);
}

static bool read_paused(struct import *import, struct import_row *row, const char *text,
                        char *reason)
{
    (void)import;
    row->rules |= HF_SKU_PAUSED;
    return parse_bool(text, &row->paused, reason);
}

static bool read_limit(struct import *import, struct import_row *row, const char *text,
                       char *reason)
{
    (void)import;
    int64_t limit = 0;
    bool fine = cell_number(bytes_of(text), 0, UINT32_MAX, &limit, reason);
    row->rules |= HF_SKU_LIMIT_PER_BUYER;
    row->limit_per_buyer = (uint32_t)limit;
    return fine;
}

static const struct {
    const char *name;
    column_parser read;
} columns[] = {
    {"sku", read_sku},
    {"pool", read_pool},
    {"label", read_label},
    {"stock", read_stock},
    {"safety", read_safety},
    {"presale_cap", read_presale_cap},
    {"hot", read_hot},
    {"hold_ms", read_hold},
    {"hold_ms_max", read_hold_max},
    {"opens_at", read_opens_at},
    {"closes_at", read_closes_at},
    {"paused", read_paused},
    {"limit_per_buyer", read_limit},
};

#define COLUMN_COUNT (sizeof columns / sizeof *columns)

static bool any_known(const struct csv *csv)
{
    for (size_t k = 0; k < COLUMN_COUNT; k++) {
        if (csv_column(csv, columns[k].name) >= 0) {
            return true;
        }
    }
    return false;
}

/* parsers[i]: of the file's column i. */
static void map_columns(struct import *import, const char *path, const struct csv *csv,
                        column_parser parsers[CSV_FIELDS_MAX])
{
    if (!any_known(csv)) {
        bad(import, path,
            "row 1: neither '%.64s' nor any other cell is the name of a column: is the header "
            "missing? It must name sku, stock and so on",
            csv_column_name(csv, 0));
        return;
    }
    for (uint32_t i = 0; i < csv_column_count(csv); i++) {
        const char *name = csv_column_name(csv, i);
        parsers[i] = NULL;
        for (size_t k = 0; k < COLUMN_COUNT; k++) {
            if (strcasecmp(columns[k].name, name) == 0) {
                parsers[i] = columns[k].read;
            }
        }
        if (!parsers[i]) {
            bad(import, path,
                "row 1: there is no column '%.64s'; the columns are sku, pool, label, stock, "
                "safety, "
                "presale_cap, hot, hold_ms, hold_ms_max, opens_at, closes_at, paused and "
                "limit_per_buyer",
                name);
        }
    }
    if (csv_column(csv, "sku") < 0) {
        bad(import, path, "row 1: the column sku is missing; it is required");
    }
}

/* ---- Rows ---- */

static void read_cells(struct import *import, const char *path, const struct csv *csv,
                       const column_parser *parsers, const struct csv_row *cells,
                       struct import_row *row)
{
    for (uint32_t i = 0; i < cells->field_count; i++) {
        char reason[CELL_ERROR_BYTES];
        const char *text = (const char *)cells->fields[i].data;
        if (parsers[i] && *text != '\0' &&
            !(cell_check(cells->fields[i], reason) && parsers[i](import, row, text, reason))) {
            bad(import, path, "row %" PRIu64 ", column %s: '%.100s' %s", cells->number,
                csv_column_name(csv, i), text, reason);
        }
    }
}

/* The rules over several fields are core's (definitions.h): here they are asked of a row by itself,
 * before the engine is asked of the SKU as it would be. */
static void check_row(struct import *import, const char *path, const struct import_row *row)
{
    static const struct {
        uint32_t named;
        const char *text;
    } rules[] = {
        {SKU_FIELD_OPENS_AT | SKU_FIELD_CLOSES_AT, "closes_at: it is not later than opens_at"},
        {SKU_FIELD_HOLD | SKU_FIELD_HOLD_MAX, "hold_ms: it is more than hold_ms_max"}};
    const struct sku_rule rule = {.opens_at_ms = row->opens_at_ms,
                                  .closes_at_ms = row->closes_at_ms,
                                  .hold_ms = row->hold_ms,
                                  .hold_ms_max = row->hold_ms_max};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct misfit misfit;
        if (!sku_rule_fits(&rule, rules[i].named, UINT32_MAX, &misfit)) {
            bad(import, path, "row %" PRIu64 ", column %s", row->number, rules[i].text);
        }
    }
}

static void add_row(struct import *import, const char *path, const struct csv *csv,
                    const column_parser *parsers, const struct csv_row *cells)
{
    if (import->row_count == import->row_room) {
        import->row_room = import->row_room ? 2 * import->row_room : 1024;
        import->rows = must_grow(import->rows, import->row_room, sizeof *import->rows);
    }
    struct import_row *row = &import->rows[import->row_count];
    *row = (struct import_row){.number = cells->number, .pool = "default"};
    uint64_t errors = import->error_count;
    read_cells(import, path, csv, parsers, cells, row);
    if (!row->sku && import->error_count == errors) {
        bad(import, path, "row %" PRIu64 ", column sku: it is empty", cells->number);
    }
    check_row(import, path, row);
    row->own_rules = row->rules;
    /* A row whose SKU or pool was refused can't be compared with others. */
    import->row_count += row->sku != NULL && row->pool != NULL;
}

static void read_rows(struct import *import, const char *path, struct csv *csv,
                      const column_parser *parsers)
{
    struct csv_row cells;
    enum hf_status status;
    while ((status = csv_next(csv, &cells)) == HF_OK) {
        if (import->row_count == ROWS_MAX) {
            bad(import, path, "row %" PRIu64 ": the file has more than %u rows", cells.number,
                ROWS_MAX);
            return;
        }
        add_row(import, path, csv, parsers, &cells);
    }
    if (status != HF_NOT_FOUND) {
        bad(import, path, "%s; the rest of the file was not checked", csv_error(csv));
    }
    import->content_hash = csv_content_hash(csv);
}

/* ---- Between rows ---- */

static int compare_rows(const void *a, const void *b)
{
    const struct import_row *left = *(struct import_row *const *)a;
    const struct import_row *right = *(struct import_row *const *)b;
    int order = strcmp(left->sku, right->sku);
    order = order ? order : strcmp(left->pool, right->pool);
    return order ? order : (left->number > right->number) - (left->number < right->number);
}

/* The name of the column in which two rows of one SKU differ; NULL if they agree. */
static const char *differing_rule(const struct import_row *a, const struct import_row *b)
{
    uint32_t both = a->rules & b->rules;
    if ((both & HF_SKU_LABEL) && strcmp(a->label, b->label) != 0) {
        return "label";
    }
    if ((both & HF_SKU_LIMIT_PER_BUYER) && a->limit_per_buyer != b->limit_per_buyer) {
        return "limit_per_buyer";
    }
    if ((both & HF_SKU_OPENS_AT) && a->opens_at_ms != b->opens_at_ms) {
        return "opens_at";
    }
    if ((both & HF_SKU_CLOSES_AT) && a->closes_at_ms != b->closes_at_ms) {
        return "closes_at";
    }
    if ((both & HF_SKU_PAUSED) && a->paused != b->paused) {
        return "paused";
    }
    if ((both & HF_SKU_HOLD) && a->hold_ms != b->hold_ms) {
        return "hold_ms";
    }
    return (both & HF_SKU_HOLD_MAX) && a->hold_ms_max != b->hold_ms_max ? "hold_ms_max" : NULL;
}

/* Adds to `into`, the SKU's first row, the rules that another row of the SKU names. */
static void gather_rules(struct import_row *into, const struct import_row *from)
{
    uint32_t added = from->rules & ~into->rules;
    into->rules |= added;
    into->label = added & HF_SKU_LABEL ? from->label : into->label;
    into->limit_per_buyer =
        added & HF_SKU_LIMIT_PER_BUYER ? from->limit_per_buyer : into->limit_per_buyer;
    into->opens_at_ms = added & HF_SKU_OPENS_AT ? from->opens_at_ms : into->opens_at_ms;
    into->closes_at_ms = added & HF_SKU_CLOSES_AT ? from->closes_at_ms : into->closes_at_ms;
    into->paused = added & HF_SKU_PAUSED ? from->paused : into->paused;
    into->hold_ms = added & HF_SKU_HOLD ? from->hold_ms : into->hold_ms;
    into->hold_ms_max = added & HF_SKU_HOLD_MAX ? from->hold_ms_max : into->hold_ms_max;
}

static void compare_neighbours(struct import *import, const char *path)
{
    struct import_row *first = NULL; /* of the present SKU */
    for (uint32_t i = 0; i < import->row_count; i++) {
        struct import_row *row = import->sorted[i];
        if (!first || strcmp(first->sku, row->sku) != 0) {
            first = row;
            import->sku_count++;
            continue;
        }
        const struct import_row *before = import->sorted[i - 1];
        if (strcmp(before->pool, row->pool) == 0) {
            bad(import, path, "row %" PRIu64 ": %s@%s is already in row %" PRIu64, row->number,
                row->sku, row->pool, before->number);
        }
        const char *rule = differing_rule(first, row);
        if (rule) {
            bad(import, path,
                "row %" PRIu64 ", column %s: another row of the same SKU has a different value",
                row->number, rule);
        }
        gather_rules(first, row);
    }
}

static void sort_rows(struct import *import)
{
    import->sorted = must_alloc(import->row_count, sizeof *import->sorted);
    for (uint32_t i = 0; i < import->row_count; i++) {
        CHECK(import->rows[i].sku && import->rows[i].pool);
        import->sorted[i] = &import->rows[i];
    }
    if (import->row_count > 0) {
        qsort(import->sorted, import->row_count, sizeof *import->sorted, compare_rows);
    }
}

bool import_read(struct import *import, const char *path, const char *encoding)
{
    struct csv *csv;
    char error[CSV_ERROR_BYTES];
    column_parser parsers[CSV_FIELDS_MAX];
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    memset(import, 0, sizeof *import);
    arena_init(&import->arena, SIZE_MAX / 4);
    if (csv_open(&csv, path, encoding, error) != HF_OK) {
        bad(import, name, "%s", error);
        return false;
    }
    map_columns(import, name, csv, parsers);
    if (import->error_count == 0) {
        read_rows(import, name, csv, parsers);
    }
    csv_close(csv);
    if (import->error_count == 0 && import->row_count == 0) {
        bad(import, name, "it has no rows below the header");
    }
    sort_rows(import);
    compare_neighbours(import, name);
    if (import->error_count > ERRORS_SHOWN) {
        fprintf(stderr, "... and %" PRIu64 " more\n", import->error_count - ERRORS_SHOWN);
    }
    return import->error_count == 0;
}

void import_deinit(struct import *import)
{
    arena_deinit(&import->arena);
    free(import->rows);
    free(import->sorted);
}

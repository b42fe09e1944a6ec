/* stock_print.c - how stock is printed.
 *
 * Threads: the main thread. */
#include "cli/stock_print.h"

#include <stdio.h>

/* The last two are for wide tables. */
static const struct print_column columns[] = {
    {"item", true}, {"sku", false},      {"pool", false},  {"stocked", true},    {"held", true},
    {"sold", true}, {"available", true}, {"safety", true}, {"presale_cap", true}};

#define NARROW_COLUMNS 7u
#define WIDE_COLUMNS   9u

void stock_table_init(struct stock_table *table, const struct hf_stock *rows, uint32_t count)
{
    table->wide = false;
    for (uint32_t i = 0; i < count; i++) {
        table->wide = table->wide || rows[i].safety != 0 || rows[i].presale_cap != 0;
    }
    print_table_init(&table->table, columns, table->wide ? WIDE_COLUMNS : NARROW_COLUMNS);
}

void stock_table_deinit(struct stock_table *table)
{
    print_table_deinit(&table->table);
}

void stock_table_print(struct stock_table *table, const struct hf_stock *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_stock *row = &rows[i];
        print_table_number(&table->table, row->item);
        print_table_text(&table->table, row->sku);
        print_table_text(&table->table, row->pool);
        print_table_number(&table->table, row->stocked);
        print_table_number(&table->table, row->held);
        print_table_number(&table->table, row->sold);
        print_table_number(&table->table, row->available);
        if (table->wide) {
            print_table_number(&table->table, row->safety);
            print_table_number(&table->table, row->presale_cap);
        }
    }
    print_table_flush(&table->table);
}

json_t *stock_object(const struct hf_stock *stock)
{
    return json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "item",
                     (json_int_t)stock->item, "sku", stock->sku, "pool", stock->pool, "stocked",
                     (json_int_t)stock->stocked, "held", (json_int_t)stock->held, "sold",
                     (json_int_t)stock->sold, "available", (json_int_t)stock->available, "safety",
                     (json_int_t)stock->safety, "presale_cap", (json_int_t)stock->presale_cap);
}

void stock_print(const struct hf_stock *rows, uint32_t count, bool json)
{
    if (json) {
        struct json_rows array;
        json_rows_open(&array);
        for (uint32_t i = 0; i < count; i++) {
            json_rows_add(&array, stock_object(&rows[i]));
        }
        json_rows_close(&array);
        return;
    }
    struct stock_table table;
    stock_table_init(&table, rows, count);
    stock_table_print(&table, rows, count);
    stock_table_deinit(&table);
}

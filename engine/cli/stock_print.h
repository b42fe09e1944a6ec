/* stock_print.h - how stock is printed: as a table, and as JSON.
 *
 * Threads: the main thread. */
#ifndef CLI_STOCK_PRINT_H
#define CLI_STOCK_PRINT_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "cli/print.h"

/* A table of stock: item, sku, pool, stocked, held, sold, available; and safety and presale_cap
 * once an item has any. */
struct stock_table {
    struct print_table table;
    bool wide;
};

/* rows: all rows, or the first page of them; they decide whether the table is wide. */
void stock_table_init(struct stock_table *table, const struct hf_stock *rows, uint32_t count);
void stock_table_print(struct stock_table *table, const struct hf_stock *rows, uint32_t count);
void stock_table_deinit(struct stock_table *table);

json_t *stock_object(const struct hf_stock *stock);

/* Prints stock as a table or a JSON array. */
void stock_print(const struct hf_stock *rows, uint32_t count, bool json);

#endif

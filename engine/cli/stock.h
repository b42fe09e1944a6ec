/* stock.h - what the words below `holdfast stock` share: how stock is printed, and reading numbers
 * that a definition must not change.
 *
 * Threads: the main thread. */
#ifndef CLI_STOCK_H
#define CLI_STOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "base/suggest.h"
#include "cli/print.h"
#include "cli/values.h"

/* A table of stock: item, sku, pool, stocked, held, sold, available; and safety and presale_cap
 * once an item has any. */
struct stock_table {
    struct print_table table;
    bool wide;
};

/* rows: all, or the first part of what will be printed, decide whether it is the wide table. */
void stock_table_init(struct stock_table *table, const struct hf_stock *rows, uint32_t count);
void stock_table_print(struct stock_table *table, const struct hf_stock *rows, uint32_t count);
void stock_table_deinit(struct stock_table *table);

json_t *stock_object(const struct hf_stock *stock);

/* Prints stock as a table or a JSON array. */
void stock_print(const struct hf_stock *rows, uint32_t count, bool json);

/* Reads all pools of a SKU: *rows (to be freed with free()) and *count. OK; UNKNOWN_ITEM when there
 * is no such SKU. */
enum hf_status stock_of_sku(struct hf_client *client, const char *sku, struct hf_stock **rows,
                            uint32_t *count);

/* " (did you mean 'A' or 'B'?)" of the engine's SKUs, or "" where none looks like it; reads 40 000
 * items at most. text is returned. */
const char *stock_meant(struct hf_client *client, const char *sku, char text[SUGGEST_TEXT_BYTES]);

/* There is no such item: asks the engine in which pools the SKU is, and tells as pools_text(); or
 * that there is no such SKU, and which look like it. False: there are none, or it can't be told. */
bool stock_other_pools(struct hf_client *client, const char *sku, char text[POOLS_TEXT_BYTES]);

#endif

/* reconcile_items.c - the engine's items by name and by handle.
 *
 * Threads: one. */
#include "cli/reconcile_items.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"

static int compare_names(const char *sku_a, const char *pool_a, const char *sku_b,
                         const char *pool_b)
{
    int order = strcmp(sku_a, sku_b);
    return order ? order : strcmp(pool_a, pool_b);
}

static int compare_stock(const void *a, const void *b)
{
    const struct hf_stock *left = a;
    const struct hf_stock *right = b;
    return compare_names(left->sku, left->pool, right->sku, right->pool);
}

static void index_items(struct item_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        uint32_t item = table->by_name[i].item;
        table->item_max = item > table->item_max ? item : table->item_max;
    }
    table->by_item = must_alloc((size_t)table->item_max + 1, sizeof *table->by_item);
    memset(table->by_item, 0, ((size_t)table->item_max + 1) * sizeof *table->by_item);
    for (uint32_t i = 0; i < table->count; i++) {
        table->by_item[table->by_name[i].item] = i + 1;
    }
}

enum hf_status item_table_read(struct item_table *table, struct hf_client *client)
{
    *table = (struct item_table){0};
    for (;;) {
        struct hf_stock *page;
        uint32_t count;
        const char *after = table->count ? table->by_name[table->count - 1].sku : "";
        enum hf_status status = hf_list_stock(client, after, 0, &page, &count);
        if (status != HF_OK || count == 0) {
            if (status == HF_OK) {
                hf_free(page);
                if (table->count > 0) {
                    qsort(table->by_name, table->count, sizeof *table->by_name, compare_stock);
                }
                index_items(table);
            }
            return status;
        }
        table->by_name = must_grow(table->by_name, table->count + count, sizeof *table->by_name);
        memcpy(table->by_name + table->count, page, count * sizeof *page);
        table->count += count;
        hf_free(page);
    }
}

void item_table_deinit(struct item_table *table)
{
    free(table->by_name);
    free(table->by_item);
}

void item_table_name(const struct item_table *table, uint32_t item, char *text)
{
    uint32_t index = item <= table->item_max ? table->by_item[item] : 0;
    if (index) {
        snprintf(text, (size_t)2 * HF_CODE_BYTES, "%s@%s", table->by_name[index - 1].sku,
                 table->by_name[index - 1].pool);
    } else {
        snprintf(text, (size_t)2 * HF_CODE_BYTES, "item %" PRIu32, item);
    }
}

uint32_t item_table_find(const struct item_table *table, const char *sku, const char *pool)
{
    uint32_t low = 0;
    uint32_t high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct hf_stock *stock = &table->by_name[middle];
        int order = compare_names(stock->sku, stock->pool, sku, pool);
        if (order == 0) {
            return stock->item;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return 0;
}

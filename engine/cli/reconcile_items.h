/* reconcile_items.h - the engine's items by name and by handle: the rows of a file must name items
 * that the engine knows.
 *
 * Threads: one. */
#ifndef CLI_RECONCILE_ITEMS_H
#define CLI_RECONCILE_ITEMS_H

#include <stdint.h>

#include <holdfast/client.h>

struct item_table {
    uint32_t count;
    struct hf_stock *by_name; /* sorted by SKU and pool */
    uint32_t *by_item;        /* handle: index + 1 into by_name */
    uint32_t item_max;
};

enum hf_status item_table_read(struct item_table *table, struct hf_client *client);
void item_table_deinit(struct item_table *table);
/* "SKU@POOL" of a handle, or "item N"; text has room for 2 * HF_CODE_BYTES. */
void item_table_name(const struct item_table *table, uint32_t item, char *text);

/* The handle of an item; 0 if the engine has no such item. */
uint32_t item_table_find(const struct item_table *table, const char *sku, const char *pool);

#endif

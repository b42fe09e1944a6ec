/* import_known.c - what an engine knows already about the items of an import.
 *
 * Threads: the main thread. */
#include <stdlib.h>
#include <string.h>

#include "cli/import_run.h"
#include "cli/stock.h"

#define LIST_SHARE 20u /* asking for one SKU takes as long as listing about so many */

static void learn(struct import_known *known, const struct hf_stock *stock)
{
    *known = (struct import_known){.sku = true,
                                   .item = true,
                                   .stocked = stock->stocked,
                                   .held = stock->held,
                                   .sold = stock->sold,
                                   .safety = stock->safety,
                                   .presale_cap = stock->presale_cap};
}

/* What `count` rows of one SKU, sorted, have to learn from one of the SKU's items. */
static void learn_rows(struct import_row *const *rows, struct import_known *known, uint32_t count,
                       const struct hf_stock *stock)
{
    for (uint32_t i = 0; i < count; i++) {
        known[i].sku = true;
        if (strcmp(rows[i]->pool, stock->pool) == 0) {
            learn(&known[i], stock);
        }
    }
}

/* The rows from `from` on that are of the same SKU. */
static uint32_t rows_of_sku(const struct import *import, uint32_t from)
{
    uint32_t end = from + 1;
    while (end < import->row_count &&
           strcmp(import->sorted[end]->sku, import->sorted[from]->sku) == 0) {
        end++;
    }
    return end - from;
}

static enum hf_status ask_each(struct hf_client *client, const struct import *import,
                               struct import_known *known, struct progress *progress)
{
    for (uint32_t i = 0; i < import->row_count;) {
        uint32_t count = rows_of_sku(import, i);
        struct hf_stock *stock;
        uint32_t stock_count;
        enum hf_status status = stock_of_sku(client, import->sorted[i]->sku, &stock, &stock_count);
        for (uint32_t k = 0; k < stock_count; k++) {
            learn_rows(import->sorted + i, known + i, count, &stock[k]);
        }
        free(stock);
        if (status != HF_OK && status != HF_UNKNOWN_ITEM) {
            return status;
        }
        i += count;
        progress_show(progress, "reading  ", i, import->row_count);
    }
    return HF_OK;
}

/* Goes through a page of the engine's items and the rows from *at on, both in the order of SKUs. */
static void match_page(const struct import *import, struct import_known *known, uint32_t *at,
                       const struct hf_stock *page, uint32_t count)
{
    for (uint32_t k = 0; k < count && *at < import->row_count; k++) {
        while (*at < import->row_count && strcmp(import->sorted[*at]->sku, page[k].sku) < 0) {
            (*at)++;
        }
        for (uint32_t i = *at;
             i < import->row_count && strcmp(import->sorted[i]->sku, page[k].sku) == 0; i++) {
            learn_rows(import->sorted + i, known + i, 1, &page[k]);
        }
    }
}

static enum hf_status ask_all(struct hf_client *client, const struct import *import,
                              uint64_t engine_items, struct import_known *known,
                              struct progress *progress)
{
    char after[HF_CODE_BYTES] = "";
    uint32_t at = 0;
    uint64_t seen = 0;
    for (;;) {
        struct hf_stock *page;
        uint32_t count;
        enum hf_status status = hf_list_stock(client, after, LIST_STOCK_MAX, &page, &count);
        if (status != HF_OK) {
            return status;
        }
        match_page(import, known, &at, page, count);
        if (count > 0) {
            memcpy(after, page[count - 1].sku, sizeof after);
        }
        hf_free(page);
        seen += count;
        progress_show(progress, "reading  ", seen, engine_items);
        if (count == 0 || at == import->row_count) {
            return HF_OK;
        }
    }
}

enum hf_status import_ask(struct hf_client *client, const struct import *import,
                          uint64_t engine_items, struct import_known *known,
                          struct progress *progress)
{
    if (engine_items == 0) {
        return HF_OK;
    }
    return (uint64_t)import->sku_count * LIST_SHARE < engine_items
               ? ask_each(client, import, known, progress)
               : ask_all(client, import, engine_items, known, progress);
}

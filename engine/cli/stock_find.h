/* stock_find.h - finds a SKU's rows, and what was probably meant by a code that is not there.
 *
 * Threads: the main thread. */
#ifndef CLI_STOCK_FIND_H
#define CLI_STOCK_FIND_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "base/suggest.h"

#define POOLS_TEXT_BYTES 512u

/* "85123A is in pools online, wh-beijing: say 85123A@online", of all rows of one SKU; count is at
 * least 1. Many pools: the first ones. */
void pools_text(const struct hf_stock *rows, uint32_t count, char text[POOLS_TEXT_BYTES]);

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

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

/* "85123A is in pools online, wh-beijing: name one, as 85123A@online", of all rows of one SKU;
 * count is at least 1. Of many pools it names the first ones. */
void pools_text(const struct hf_stock *rows, uint32_t count, char text[POOLS_TEXT_BYTES]);

/* Reads all pools of a SKU: *rows (to be freed with free()) and *count. OK; UNKNOWN_ITEM when there
 * is no such SKU. */
enum hf_status stock_of_sku(struct hf_client *client, const char *sku, struct hf_stock **rows,
                            uint32_t *count);

/* " (did you mean 'A' or 'B'?)" of the engine's SKUs, or "" if none looks like it. Reads at most
 * 40,000 items. Returns text. */
const char *stock_meant(struct hf_client *client, const char *sku, char text[SUGGEST_TEXT_BYTES]);

/* For an item that the engine does not have: writes the pools that its SKU is in, as pools_text();
 * or that there is no such SKU, and which SKUs look like it. False: it has found nothing to
 * suggest. */
bool stock_other_pools(struct hf_client *client, const char *sku, char text[POOLS_TEXT_BYTES]);

#endif

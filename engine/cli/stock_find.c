/* stock_find.c - finds a SKU's rows, and what was probably meant by a code that is not there.
 *
 * Threads: the main thread. */
#include "cli/stock_find.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "cli/print.h"

#define FIRST_GUESS 16u /* pools of a SKU; more cost a second call */

enum hf_status stock_of_sku(struct hf_client *client, const char *sku, struct hf_stock **rows,
                            uint32_t *count)
{
    uint32_t room = FIRST_GUESS;
    *rows = NULL;
    for (;;) {
        *rows = must_grow(*rows, room, sizeof **rows);
        enum hf_status status = hf_get_stock(client, sku, *rows, room, count);
        if (status != HF_OK) {
            free(*rows);
            *rows = NULL;
            *count = 0;
            return status;
        }
        if (*count <= room) {
            return HF_OK;
        }
        room = *count;
    }
}

#define POOLS_NAMED 3u

void pools_text(const struct hf_stock *rows, uint32_t count, char text[POOLS_TEXT_BYTES])
{
    CHECK(count > 0);
    size_t used = (size_t)snprintf(text, POOLS_TEXT_BYTES, "%s is in pool%s ", rows[0].sku,
                                   count == 1 ? "" : "s");
    uint32_t named = count < POOLS_NAMED ? count : POOLS_NAMED;
    for (uint32_t i = 0; i < named; i++) {
        used += (size_t)snprintf(text + used, POOLS_TEXT_BYTES - used, "%s%s", i > 0 ? ", " : "",
                                 rows[i].pool);
    }
    if (count > named) {
        used +=
            (size_t)snprintf(text + used, POOLS_TEXT_BYTES - used, " and %u more", count - named);
    }
    used += (size_t)snprintf(text + used, POOLS_TEXT_BYTES - used, ": name one, as %s@%s",
                             rows[0].sku, rows[0].pool);
    CHECK(used < POOLS_TEXT_BYTES); /* at most six codes */
}

/* ---- Codes that look like one that is not there ---- */

#define LOOKED_PAGES 2u /* of LIST_STOCK_MAX items each, from the first code and from the half */

/* Offers the SKUs that sort after a code, page by page. */
static void offer_skus(struct hf_client *client, const char *after, struct suggest *suggest)
{
    char last[HF_CODE_BYTES];
    snprintf(last, sizeof last, "%s", after);
    for (unsigned page = 0; page < LOOKED_PAGES; page++) {
        struct hf_stock *rows;
        uint32_t count;
        if (hf_list_stock(client, last, LIST_STOCK_MAX, &rows, &count) != HF_OK || count == 0) {
            return;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (strcmp(rows[i].sku, last) != 0) {
                suggest_offer(suggest, rows[i].sku);
            }
            snprintf(last, sizeof last, "%s", rows[i].sku);
        }
        hf_free(rows);
    }
}

/* Codes are listed in the order of their bytes, so codes with the same beginning are together. If
 * there are more than LOOKED_PAGES of them, a mistake in the first half of the code is not found.
 */
const char *stock_meant(struct hf_client *client, const char *sku, char text[SUGGEST_TEXT_BYTES])
{
    struct suggest suggest;
    char half[HF_CODE_BYTES];
    size_t len = strlen(sku) / 2;
    while (len > 0 && ((unsigned char)sku[len] & 0xC0) == 0x80) {
        len--; /* not within a character */
    }
    snprintf(half, sizeof half, "%.*s", (int)len, sku);
    suggest_begin(&suggest, sku);
    offer_skus(client, "", &suggest);
    if (suggest.count == 0 && len > 0) {
        offer_skus(client, half, &suggest);
    }
    return suggest_text(&suggest, text);
}

bool stock_other_pools(struct hf_client *client, const char *sku, char text[POOLS_TEXT_BYTES])
{
    struct hf_stock *rows;
    uint32_t count;
    bool known = stock_of_sku(client, sku, &rows, &count) == HF_OK && count > 0;
    if (known) {
        pools_text(rows, count, text);
    }
    free(rows);
    char meant[SUGGEST_TEXT_BYTES];
    if (!known && stock_meant(client, sku, meant)[0] != '\0') {
        snprintf(text, POOLS_TEXT_BYTES, "there is no such SKU%s", meant);
        known = true;
    }
    return known;
}

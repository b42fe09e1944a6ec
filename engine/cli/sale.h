/* sale.h - how a change of a SKU's rules is reported: what was, what is, and what is not as it was
 * probably meant.
 *
 * Threads: the main thread. */
#ifndef CLI_SALE_H
#define CLI_SALE_H

#include <stdbool.h>

#include <holdfast/client.h>

#include "base/times.h"

/* What a change is meant to bring about. */
enum sale_wish {
    SALE_ANY,   /* nothing is amiss */
    SALE_NOW,   /* that it is sold now */
    SALE_LATER, /* that it is sold now or then */
    SALE_ENDS,  /* that it is sold until then */
};

/* A SKU's rules; zeroed unless OK. UNKNOWN_ITEM: there is no such SKU. */
enum hf_status sale_read(struct hf_client *client, const char *sku, struct hf_sku_rules *rules);

/* "none" for 0, else as time_local_text(). */
void sale_moment_text(uint64_t unix_ms, char text[TIME_TEXT_BYTES]);

/* Says what was done ("open"), which times were changed, and on stderr, as warnings, why the SKU is
 * not sold although that was meant. now_ms: of the engine (connect_engine_ms()). Times are local
 * ones with their offset. */
void sale_report(const struct hf_sku_rules *was, const struct hf_sku_rules *is, const char *done,
                 enum sale_wish wish, uint64_t now_ms, bool json);

#endif

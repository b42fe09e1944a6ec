/* sale.h - how a change of a SKU's rules is reported: the old and the new values, and warnings when
 * the SKU is not sold as was probably meant.
 *
 * Threads: the main thread. */
#ifndef CLI_SALE_H
#define CLI_SALE_H

#include <stdbool.h>

#include <holdfast/client.h>

#include "base/times.h"

/* What a change is meant for. */
enum sale_wish {
    SALE_ANY,   /* no warnings */
    SALE_NOW,   /* the SKU is to be sold now */
    SALE_LATER, /* the SKU is to be sold now or later */
    SALE_ENDS,  /* the SKU is to be sold until a later time */
};

/* A SKU's rules; zeroed unless OK. UNKNOWN_ITEM: there is no such SKU. */
enum hf_status sale_read(struct hf_client *client, const char *sku, struct hf_sku_rules *rules);

/* "none" for 0, else as time_local_text(). */
void sale_moment_text(uint64_t unix_ms, char text[TIME_TEXT_BYTES]);

/* Prints what was done ("open") and which times changed, and warns on stderr if the SKU is not sold
 * although that was meant. now_ms: the engine's time (connect_engine_ms()). Times are printed as
 * local times with their offset. */
void sale_report(const struct hf_sku_rules *was, const struct hf_sku_rules *is, const char *done,
                 enum sale_wish wish, uint64_t now_ms, bool json);

#endif

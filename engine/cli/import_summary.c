/* import_summary.c - counts what an import did or would do, and keeps what was refused.
 *
 * Threads: a summary belongs to one, or is guarded by its owner's lock. */
#include "cli/import_summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void import_refuse(struct import_summary *summary, const struct import_row *row,
                   enum hf_status status, const char *text)
{
    if (summary->refused++ >= IMPORT_REFUSED_SHOWN) {
        return;
    }
    char *to = summary->refused_texts[summary->refused - 1];
    summary->refused_status[summary->refused - 1] = status;
    snprintf(to, CONNECT_REASON_BYTES, "row %" PRIu64 " (%s@%s)%s", row->number, row->sku,
             row->pool, text);
    if (summary->status == HF_OK) {
        summary->status = status;
        memcpy(summary->message, to, CONNECT_REASON_BYTES);
    }
}

void import_count_defined(struct import_summary *summary, const struct hf_defined *defined,
                          uint32_t items)
{
    summary->items += items;
    summary->new_skus += defined->skus_made;
    summary->new_items += defined->items_made;
    summary->changed_rules += defined->skus_changed;
    summary->changed_items += defined->items_changed;
}

static void add_units(int64_t *sum, int64_t units)
{
    if (__builtin_add_overflow(*sum, units, sum)) {
        *sum = INT64_MAX;
    }
}

void import_count_result(struct import_summary *summary, const struct import_row *row,
                         const struct hf_adjust_result *result)
{
    if (result->status == HF_OK) {
        *(result->replayed ? &summary->replayed : &summary->stock_set) += 1;
        summary->changed_stock += result->delta != 0;
        add_units(result->delta < 0 ? &summary->units_removed : &summary->units_added,
                  result->delta < 0 ? -result->delta : result->delta);
        return;
    }
    char text[CONNECT_REASON_BYTES];
    int used = snprintf(text, sizeof text, ", column stock: %" PRId64 ": %s", row->stock,
                        result->status == HF_ID_CONFLICT
                            ? "an import with this reference has set another value"
                            : hf_status_text(result->status));
    if (result->stock.sku[0] != '\0') {
        snprintf(text + used, sizeof text - (size_t)used, " (held %" PRId64 ", sold %" PRId64 ")",
                 result->stock.held, result->stock.sold);
    }
    import_refuse(summary, row, result->status, text);
}

void import_forget_counts(struct import_summary *summary)
{
    summary->items = summary->stock_set = summary->replayed = 0;
    summary->new_skus = summary->new_items = 0;
    summary->changed_items = summary->changed_rules = summary->changed_stock = 0;
    summary->units_added = summary->units_removed = 0;
}

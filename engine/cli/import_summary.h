/* import_summary.h - what an import did, or would do: counts, and the rows that were refused. The
 * check and the import fill it in with the same functions.
 *
 * Threads: a summary belongs to one, or is guarded by its owner's lock. */
#ifndef CLI_IMPORT_SUMMARY_H
#define CLI_IMPORT_SUMMARY_H

#include <stdint.h>

#include <holdfast/client.h>

#include "base/limits.h"
#include "cli/connect.h"
#include "cli/import.h"

#define IMPORT_REFUSED_SHOWN 20u

struct import_summary {
    uint32_t rows;
    uint32_t skus;
    int64_t units; /* of all rows that name stock */
    char reference[REASON_BYTES_MAX + 1];
    enum hf_status status;              /* OK, or the status of the first error */
    char message[CONNECT_REASON_BYTES]; /* its message */
    uint32_t ended;                     /* rows that name a closes_at that is past */
    uint32_t refused;
    enum hf_status refused_status[IMPORT_REFUSED_SHOWN];
    char refused_texts[IMPORT_REFUSED_SHOWN][CONNECT_REASON_BYTES]; /* the first ones */
    /* What was done, or would be: counted by the same functions from the engine's answers. */
    uint32_t items; /* rows: items that are there then */
    uint32_t new_skus;
    uint32_t new_items;
    uint32_t changed_rules; /* SKUs that were there */
    uint32_t changed_items; /* in safety, presale_cap or hot */
    uint32_t stock_set;     /* rows; to what it was before too */
    uint32_t replayed;      /* rows whose stock an earlier run of this import has set */
    uint32_t changed_stock; /* rows whose stock is another now */
    int64_t units_added;
    int64_t units_removed;
};

void import_count_defined(struct import_summary *summary, const struct hf_defined *defined,
                          uint32_t items);
void import_count_result(struct import_summary *summary, const struct import_row *row,
                         const struct hf_adjust_result *result);

/* Nothing was done. */
void import_forget_counts(struct import_summary *summary);

/* Notes a row that is refused. text: follows "row 7 (SKU@POOL)" in the message. */
void import_refuse(struct import_summary *summary, const struct import_row *row,
                   enum hf_status status, const char *text);

#endif

/* import_run.h - doing what an import's file says, or telling what it would do.
 *
 * Threads: the main thread; import_apply() has one of its own while it runs. */
#ifndef CLI_IMPORT_RUN_H
#define CLI_IMPORT_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "base/limits.h"
#include "cli/connect.h"
#include "cli/import.h"
#include "cli/print.h"

/* What the engine knows about a row's item. */
struct import_known {
    bool sku;  /* the SKU is there */
    bool item; /* and the item; then the numbers hold */
    int64_t stocked;
    int64_t held;
    int64_t sold;
    int64_t safety;
    int64_t presale_cap;
};

#define IMPORT_REFUSED_SHOWN 20u

struct import_summary {
    uint32_t rows;
    uint32_t skus;
    int64_t units; /* of all rows that name stock */
    char reference[REASON_BYTES_MAX + 1];
    enum hf_status status;              /* OK, or the first thing that went wrong */
    char message[CONNECT_REASON_BYTES]; /* what that was */
    uint32_t refused;
    enum hf_status refused_status[IMPORT_REFUSED_SHOWN];
    char refused_texts[IMPORT_REFUSED_SHOWN][CONNECT_REASON_BYTES]; /* the first ones */
    /* What was done. */
    uint32_t items; /* defined */
    uint32_t stock_set;
    uint32_t
        replayed; /* set by an earlier run of this import; in a check, of those that differ now */
    /* What would be done. */
    uint32_t new_skus;
    uint32_t new_items;
    uint32_t changed_items; /* in safety or presale_cap */
    uint32_t changed_rules; /* SKUs */
    uint32_t changed_stock; /* items; those that are new and get units too */
    int64_t units_added;
    int64_t units_removed;
};

/* Asks the engine about the items of all rows: known[i] is of import->sorted[i]. `engine_items`:
 * how many it has. Rows by rows, or all of its items if that is less to ask. */
enum hf_status import_ask(struct hf_client *client, const struct import *import,
                          uint64_t engine_items, struct import_known *known,
                          struct progress *progress);

/* Defines the items and sets their stock; what the file does not say about an item stays as it is.
 * OK: everything was dealt with, refused rows are in the
 * summary; else where it broke off is in summary->message. */
enum hf_status import_apply(struct hf_client *client, const struct import *import,
                            struct progress *progress, struct import_summary *summary);

/* The id of an import's setting of a row's stock: an import that is repeated repeats it. */
struct hf_id import_adjustment_id(const char *reference, const struct import_row *row);

/* Tells what import_apply() would do, in the summary. Changes nothing. */
enum hf_status import_check(struct hf_client *client, const struct import *import,
                            const struct import_known *known, struct import_summary *summary);

/* Notes a row whose stock can't be set. held and sold: -1 when they are not known. */
void import_refuse(struct import_summary *summary, const struct import_row *row,
                   enum hf_status status, const char *reason, int64_t held, int64_t sold);

#endif

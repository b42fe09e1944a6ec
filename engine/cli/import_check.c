/* import_check.c - what an import would do to an engine, by asking it: a dry run of the requests
 * that the import would send.
 *
 * Threads: the main thread. */
#include "cli/import_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cli/import_batch.h"

struct check {
    struct hf_client *client;
    struct import_batch batch;
    struct import_summary *summary;
    bool *left_out; /* of each sorted row: it has been refused */
    bool stopped;   /* the rest need not be checked */
};

/* Asks about a batch. What the batches before it would make counts towards the limit. */
static enum hf_status ask(struct check *check, uint32_t from, struct hf_defined *defined)
{
    struct import_batch *batch = &check->batch;
    import_batch_define(batch, from, check->left_out);
    import_batch_adjust(batch, from, NULL, check->left_out);
    if (batch->item_count == 0) {
        *defined = (struct hf_defined){0};
        return HF_OK;
    }
    struct hf_dry_run asked = {.skus = batch->skus,
                               .sku_count = batch->sku_count,
                               .items = batch->items,
                               .item_count = batch->item_count,
                               .adjustments = batch->adjustments,
                               .adjustment_count = batch->adjustment_count,
                               .skus_before = check->summary->new_skus,
                               .items_before = check->summary->new_items};
    return hf_check(check->client, &asked, defined, batch->results);
}

/* Notes the row that an answer is about, and leaves its SKU out. False: it is about no row. */
static bool refuse_row(struct check *check, enum hf_status status)
{
    uint32_t at;
    const char *column;
    const char *reason;
    if (!import_batch_blame(&check->batch, hf_last_message(), &at, &column, &reason)) {
        return false;
    }
    const struct import *import = check->batch.import;
    const struct import_row *row = import->sorted[at];
    char text[CONNECT_REASON_BYTES];
    snprintf(text, sizeof text, "%s%s: %s", column ? ", column " : "", column ? column : "",
             reason);
    import_refuse(check->summary, row, status, text);
    for (uint32_t i = check->batch.from; i < check->batch.end; i++) {
        check->left_out[i] |= strcmp(import->sorted[i]->sku, row->sku) == 0;
    }
    return true;
}

/* Asks about one batch, and again without the refused rows, until the engine accepts it. */
static enum hf_status check_batch(struct check *check, uint32_t from)
{
    struct hf_defined defined;
    enum hf_status status;
    struct import_batch *batch = &check->batch;
    struct import_summary *summary = check->summary;
    while ((status = ask(check, from, &defined)) == HF_INVALID && refuse_row(check, status)) {
        if (summary->refused >= IMPORT_REFUSED_SHOWN) {
            check->stopped = true; /* enough refused rows to correct first */
            return HF_OK;
        }
    }
    if (status == HF_FULL && refuse_row(check, status)) {
        check->stopped = true; /* all new ones after it would be refused too */
        return HF_OK;
    }
    if (status == HF_OK && batch->item_count > 0) {
        import_count_defined(summary, &defined, batch->item_count);
        for (uint32_t i = 0; i < batch->adjustment_count; i++) {
            import_count_result(summary, batch->import->sorted[batch->adjusted_rows[i]],
                                &batch->results[i]);
        }
    }
    return status;
}

enum hf_status import_check(struct hf_client *client, const struct import *import,
                            struct progress *progress, struct import_summary *summary)
{
    struct check check = {.client = client,
                          .summary = summary,
                          .left_out = must_alloc(import->row_count, sizeof *check.left_out)};
    enum hf_status status = HF_OK;
    import_batch_init(&check.batch, import, summary->reference);
    for (uint32_t at = 0; at < import->row_count && status == HF_OK && !check.stopped;) {
        status = check_batch(&check, at);
        at = check.batch.end;
        progress_show(progress, "checking ", at, import->row_count);
    }
    if (status != HF_OK) {
        summary->status = status;
        connect_reason(status, NULL, summary->message);
    }
    /* Every row that was given has been answered: counted, or refused. */
    CHECK(status != HF_OK || summary->refused > 0 || summary->items == import->row_count);
    if (status != HF_OK || summary->refused > 0) {
        import_forget_counts(summary);
    }
    import_batch_deinit(&check.batch);
    free(check.left_out);
    return status;
}

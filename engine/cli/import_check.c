/* import_check.c - what an import would do to an engine.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/import_run.h"

#define RULES_AT_ONCE  2000u
#define PROBES_AT_ONCE 2000u

void import_refuse(struct import_summary *summary, const struct import_row *row,
                   enum hf_status status, const char *reason, int64_t held, int64_t sold)
{
    if (summary->refused++ >= IMPORT_REFUSED_SHOWN) {
        return;
    }
    char *text = summary->refused_texts[summary->refused - 1];
    summary->refused_status[summary->refused - 1] = status;
    int used =
        snprintf(text, CONNECT_REASON_BYTES, "row %" PRIu64 " (%s@%s): stock %" PRId64 ": %s",
                 row->number, row->sku, row->pool, row->stock, reason);
    if (held >= 0) {
        snprintf(text + used, CONNECT_REASON_BYTES - (size_t)used,
                 " (held %" PRId64 ", sold %" PRId64 ")", held, sold);
    }
    if (summary->status == HF_OK) {
        summary->status = status;
        memcpy(summary->message, text, CONNECT_REASON_BYTES);
    }
}

/* ---- Stock ---- */

/* What setting a row's stock would come to, if no import of this reference has set it before. */
static void check_stock(const struct import_row *row, const struct import_known *known,
                        struct import_summary *summary)
{
    int64_t presale_cap = row->has_presale_cap ? row->presale_cap : known->presale_cap;
    int64_t delta = row->stock - known->stocked;
    /* As the engine decides: what is on hand, with what may be sold beyond it, covers what is held
     * and sold. */
    if (delta < 0 && row->stock + presale_cap < known->held + known->sold) {
        import_refuse(summary, row, HF_WOULD_OVERSELL, hf_status_text(HF_WOULD_OVERSELL),
                      known->held, known->sold);
        return;
    }
    summary->changed_stock++;
    int64_t *sum = delta < 0 ? &summary->units_removed : &summary->units_added;
    if (__builtin_add_overflow(*sum, delta < 0 ? -delta : delta, sum)) {
        *sum = INT64_MAX;
    }
}

/* Rows whose stock differs from the engine's. */
struct probe_batch {
    const struct import_row *rows[PROBES_AT_ONCE];
    const struct import_known *known[PROBES_AT_ONCE];
    struct hf_adjustment adjustments[PROBES_AT_ONCE];
    struct hf_adjust_result results[PROBES_AT_ONCE];
    uint32_t count;
};

/* Asks whether the settings were made before, by asking for them under a condition that can't hold:
 * stock is never below 0. So nothing is changed; an id that is known is ID_CONFLICT, one that is
 * not is CONFLICT. */
static enum hf_status probe_stock(struct hf_client *client, struct probe_batch *batch,
                                  struct import_summary *summary)
{
    if (batch->count == 0) {
        return HF_OK;
    }
    enum hf_status status = hf_adjust(client, batch->adjustments, batch->count, batch->results);
    for (uint32_t i = 0; i < batch->count && status == HF_OK; i++) {
        if (batch->results[i].status == HF_ID_CONFLICT) {
            summary->replayed++;
        } else {
            check_stock(batch->rows[i], batch->known[i], summary);
        }
    }
    batch->count = 0;
    return status;
}

static enum hf_status add_probe(struct hf_client *client, struct probe_batch *batch,
                                const struct import_row *row, const struct import_known *known,
                                struct import_summary *summary)
{
    batch->rows[batch->count] = row;
    batch->known[batch->count] = known;
    batch->adjustments[batch->count++] =
        (struct hf_adjustment){.id = import_adjustment_id(summary->reference, row),
                               .sku = row->sku,
                               .pool = row->pool,
                               .set = true,
                               .value = row->stock,
                               .has_expected = true,
                               .expected = -1,
                               .reason = "import",
                               .reference = summary->reference};
    return batch->count == PROBES_AT_ONCE ? probe_stock(client, batch, summary) : HF_OK;
}

static enum hf_status check_item(struct hf_client *client, const struct import_row *row,
                                 const struct import_known *known, struct probe_batch *batch,
                                 struct import_summary *summary)
{
    bool differs = row->has_stock && row->stock != known->stocked;
    if (!known->item) {
        summary->new_items++;
        if (differs) {
            check_stock(row, known, summary);
        }
        return HF_OK;
    }
    summary->changed_items += (row->has_safety && row->safety != known->safety) ||
                              (row->has_presale_cap && row->presale_cap != known->presale_cap);
    return differs ? add_probe(client, batch, row, known, summary) : HF_OK;
}

/* ---- Rules ---- */

static bool rules_differ(const struct import_row *row, const struct hf_sku_rules *now)
{
    uint32_t rules = row->rules;
    return ((rules & HF_SKU_LABEL) && strcmp(row->label, now->label) != 0) ||
           ((rules & HF_SKU_LIMIT_PER_BUYER) && row->limit_per_buyer != now->limit_per_buyer) ||
           ((rules & HF_SKU_OPENS_AT) && row->opens_at_ms != now->opens_at_ms) ||
           ((rules & HF_SKU_CLOSES_AT) && row->closes_at_ms != now->closes_at_ms) ||
           ((rules & HF_SKU_PAUSED) && row->paused != now->paused) ||
           ((rules & HF_SKU_HOLD) && row->hold_ms != now->hold_ms) ||
           ((rules & HF_SKU_HOLD_MAX) && row->hold_ms_max != now->hold_ms_max);
}

/* Rows whose SKUs' rules are to be read and compared. */
struct rule_batch {
    const struct import_row *rows[RULES_AT_ONCE];
    const char *skus[RULES_AT_ONCE];
    struct hf_sku_rules now[RULES_AT_ONCE];
    uint32_t count;
};

static enum hf_status compare_rules(struct hf_client *client, struct rule_batch *batch,
                                    struct import_summary *summary)
{
    if (batch->count == 0) {
        return HF_OK;
    }
    enum hf_status status = hf_get_skus(client, batch->skus, batch->count, batch->now);
    for (uint32_t i = 0; i < batch->count && status == HF_OK; i++) {
        summary->changed_rules += rules_differ(batch->rows[i], &batch->now[i]);
    }
    batch->count = 0;
    return status;
}

/* Compares the rules that the first row of a SKU has gathered. */
static enum hf_status check_sku(struct hf_client *client, const struct import_row *row,
                                const struct import_known *known, struct rule_batch *batch,
                                struct import_summary *summary)
{
    if (!known->sku) {
        summary->new_skus++;
        return HF_OK;
    }
    if (row->rules != 0) {
        batch->rows[batch->count] = row;
        batch->skus[batch->count++] = row->sku;
    }
    return batch->count == RULES_AT_ONCE ? compare_rules(client, batch, summary) : HF_OK;
}

enum hf_status import_check(struct hf_client *client, const struct import *import,
                            const struct import_known *known, struct import_summary *summary)
{
    struct rule_batch *rules = must_alloc(1, sizeof *rules);
    struct probe_batch *probes = must_alloc(1, sizeof *probes);
    enum hf_status status = HF_OK;
    for (uint32_t i = 0; i < import->row_count && status == HF_OK; i++) {
        const struct import_row *row = import->sorted[i];
        if (i == 0 || strcmp(import->sorted[i - 1]->sku, row->sku) != 0) {
            status = check_sku(client, row, &known[i], rules, summary);
        }
        if (status == HF_OK) {
            status = check_item(client, row, &known[i], probes, summary);
        }
    }
    if (status == HF_OK) {
        status = compare_rules(client, rules, summary);
    }
    if (status == HF_OK) {
        status = probe_stock(client, probes, summary);
    }
    if (status != HF_OK) {
        summary->status = status;
        connect_reason(status, NULL, summary->message);
    }
    free(probes);
    free(rules);
    return status;
}

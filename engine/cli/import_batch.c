/* import_batch.c - an import's rows as requests.
 *
 * Threads: a batch belongs to one. */
#include "cli/import_batch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "cli/import_known.h"
#include "cli/print.h"

/* Each row is an item, and may begin a SKU. */
#define BATCH_ROWS_MAX (REQUEST_ADMIN_MAX / 2)

static_assert(BATCH_ROWS <= BATCH_ROWS_MAX, "a batch fits into a request");

static bool same_sku(const struct import *import, uint32_t a, uint32_t b)
{
    return strcmp(import->sorted[a]->sku, import->sorted[b]->sku) == 0;
}

uint32_t import_batch_end(const struct import *import, uint32_t from)
{
    CHECK(from < import->row_count);
    uint32_t left = import->row_count - from;
    uint32_t end = from + (left < BATCH_ROWS ? left : BATCH_ROWS);
    while (end < import->row_count && end - from < BATCH_ROWS_MAX &&
           same_sku(import, end - 1, end)) {
        end++;
    }
    CHECK(end > from);
    return end;
}

void import_batch_init(struct import_batch *batch, const struct import *import,
                       const char *reference)
{
    uint32_t room = 1;
    for (uint32_t from = 0; from < import->row_count;) {
        uint32_t end = import_batch_end(import, from);
        room = end - from > room ? end - from : room;
        from = end;
    }
    *batch = (struct import_batch){
        .import = import,
        .reference = reference,
        .skus = must_alloc(room, sizeof *batch->skus),
        .sku_rows = must_alloc(room, sizeof *batch->sku_rows),
        .items = must_alloc(room, sizeof *batch->items),
        .item_rows = must_alloc(room, sizeof *batch->item_rows),
        .adjustments = must_alloc(room, sizeof *batch->adjustments),
        .adjusted_rows = must_alloc(room, sizeof *batch->adjusted_rows),
        .results = must_alloc(room, sizeof *batch->results),
    };
}

void import_batch_deinit(struct import_batch *batch)
{
    free(batch->results);
    free(batch->adjusted_rows);
    free(batch->adjustments);
    free(batch->item_rows);
    free(batch->items);
    free(batch->sku_rows);
    free(batch->skus);
}

/* ---- Filling ---- */

static struct hf_sku rules_of(const struct import_row *row)
{
    return (struct hf_sku){.sku = row->sku,
                           .label = row->label,
                           .limit_per_buyer = row->limit_per_buyer,
                           .opens_at_ms = row->opens_at_ms,
                           .closes_at_ms = row->closes_at_ms,
                           .paused = row->paused,
                           .hold_ms = row->hold_ms,
                           .hold_ms_max = row->hold_ms_max,
                           .fields = row->rules};
}

static struct hf_item item_of(const struct import_row *row)
{
    return (struct hf_item){.sku = row->sku,
                            .pool = row->pool,
                            .safety = row->safety,
                            .presale_cap = row->presale_cap,
                            .hot = row->hot,
                            .fields = (row->has_safety ? HF_ITEM_SAFETY : 0u) |
                                      (row->has_presale_cap ? HF_ITEM_PRESALE_CAP : 0u) |
                                      (row->has_hot ? HF_ITEM_HOT : 0u)};
}

void import_batch_define(struct import_batch *batch, uint32_t from, const bool *left_out)
{
    const struct import *import = batch->import;
    batch->from = from;
    batch->end = import_batch_end(import, from);
    batch->sku_count = 0;
    batch->item_count = 0;
    for (uint32_t i = from; i < batch->end; i++) {
        const struct import_row *row = import->sorted[i];
        if (left_out && left_out[i]) {
            continue;
        }
        /* The first row of a SKU has gathered the rules of all. */
        if (row->rules != 0 && (i == 0 || !same_sku(import, i - 1, i))) {
            batch->sku_rows[batch->sku_count] = i;
            batch->skus[batch->sku_count++] = rules_of(row);
        }
        batch->item_rows[batch->item_count] = i;
        batch->items[batch->item_count++] = item_of(row);
    }
    CHECK(batch->item_count <= batch->end - batch->from);
    CHECK(batch->sku_count <= batch->item_count);
}

void import_batch_adjust(struct import_batch *batch, uint32_t from, const uint32_t *handles,
                         const bool *left_out)
{
    batch->from = from;
    batch->end = import_batch_end(batch->import, from);
    batch->adjustment_count = 0;
    for (uint32_t i = from; i < batch->end; i++) {
        const struct import_row *row = batch->import->sorted[i];
        if (!row->has_stock || (left_out && left_out[i])) {
            continue;
        }
        batch->adjusted_rows[batch->adjustment_count] = i;
        batch->adjustments[batch->adjustment_count++] =
            (struct hf_adjustment){.id = import_adjustment_id(batch->reference, row),
                                   .item = handles ? handles[i] : 0,
                                   .sku = row->sku,
                                   .pool = row->pool,
                                   .set = true,
                                   .value = row->stock,
                                   .reason = "import",
                                   .reference = batch->reference};
    }
    CHECK(batch->adjustment_count <= batch->end - batch->from);
}

/* ---- Blame ---- */

/* A field of the wire and the column that it comes from. */
struct field_column {
    const char *field;
    const char *column;
    uint32_t rule; /* enum hf_sku_field; 0: not a rule */
};

static const struct field_column field_columns[] = {
    {"sku", "sku", 0},
    {"pool", "pool", 0},
    {"safety", "safety", 0},
    {"presale_cap", "presale_cap", 0},
    {"set_to", "stock", 0},
    {"label", "label", HF_SKU_LABEL},
    {"limit_per_buyer", "limit_per_buyer", HF_SKU_LIMIT_PER_BUYER},
    {"opens_at_ms", "opens_at", HF_SKU_OPENS_AT},
    {"closes_at_ms", "closes_at", HF_SKU_CLOSES_AT},
    {"paused", "paused", HF_SKU_PAUSED},
    {"hold_ms", "hold_ms", HF_SKU_HOLD},
    {"hold_ms_max", "hold_ms_max", HF_SKU_HOLD_MAX},
};

static const struct field_column *column_of(const char *field, size_t len)
{
    for (size_t i = 0; i < sizeof field_columns / sizeof *field_columns; i++) {
        const struct field_column *column = &field_columns[i];
        if (strlen(column->field) == len && memcmp(column->field, field, len) == 0) {
            return column;
        }
    }
    return NULL;
}

/* The row of a SKU that names a rule itself: the first row has gathered them from all. */
static uint32_t row_naming(const struct import *import, uint32_t first, uint32_t rule)
{
    for (uint32_t i = first; i < import->row_count && same_sku(import, first, i); i++) {
        if (import->sorted[i]->own_rules & rule) {
            return i;
        }
    }
    return first;
}

/* Finds "[3]" after the name of a repeated field in the message, as in "items[3]". NULL: the
 * message does not have the name. */
static const char *index_behind(const char *message, const char *name, uint32_t count,
                                uint32_t *index)
{
    unsigned number;
    int used = 0;
    const char *at = strstr(message, name);
    const char *colon = strstr(message, ": ");
    if (!at || !colon || at > colon || sscanf(at + strlen(name), "[%u]%n", &number, &used) != 1 ||
        used == 0 || number >= count) {
        return NULL;
    }
    *index = number;
    return at + strlen(name) + used;
}

bool import_batch_blame(const struct import_batch *batch, const char *message, uint32_t *row,
                        const char **column, const char **reason)
{
    uint32_t index;
    const char *field;
    bool of_sku = false;
    if ((field = index_behind(message, "skus", batch->sku_count, &index))) {
        *row = batch->sku_rows[index];
        of_sku = true;
    } else if ((field = index_behind(message, "items", batch->item_count, &index))) {
        *row = batch->item_rows[index];
    } else if ((field = index_behind(message, "adjustments", batch->adjustment_count, &index))) {
        *row = batch->adjusted_rows[index];
    } else {
        return false;
    }
    *reason = strstr(field, ": ") ? strstr(field, ": ") + 2 : field;
    *column = NULL;
    const struct field_column *found =
        *field == '.' ? column_of(field + 1, strcspn(field + 1, ":")) : NULL;
    if (found) {
        *column = found->column;
        *row = of_sku && found->rule ? row_naming(batch->import, *row, found->rule) : *row;
    }
    return true;
}

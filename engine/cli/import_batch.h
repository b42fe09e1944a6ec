/* import_batch.h - an import's rows as requests, and an engine's message about a request as one
 * about a row. The check and the import send the same batches.
 *
 * Threads: a batch belongs to one. */
#ifndef CLI_IMPORT_BATCH_H
#define CLI_IMPORT_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "cli/import.h"

#define BATCH_ROWS 4096u /* of one request: some 400 KiB, and 4 ms of the engine's */

/* Rows that follow one another in import->sorted: all rows of a SKU are in one batch, unless they
 * are more than a request may have. */
struct import_batch {
    const struct import *import;
    const char *reference;
    uint32_t from; /* sorted rows from..end - 1 */
    uint32_t end;
    struct hf_sku *skus;
    uint32_t *sku_rows; /* of each SKU the first sorted row */
    uint32_t sku_count;
    struct hf_item *items;
    uint32_t *item_rows;
    uint32_t item_count;
    struct hf_adjustment *adjustments;
    uint32_t *adjusted_rows;
    uint32_t adjustment_count;
    struct hf_adjust_result *results;
};

/* Memory for any batch of the import. reference: names the import, and lives as long. */
void import_batch_init(struct import_batch *batch, const struct import *import,
                       const char *reference);
void import_batch_deinit(struct import_batch *batch);

/* The first row after the batch that begins with row `from`. */
uint32_t import_batch_end(const struct import *import, uint32_t from);

/* Fills in the definitions of a batch. left_out: for each sorted row, whether it is left out; NULL:
 * all rows are in. */
void import_batch_define(struct import_batch *batch, uint32_t from, const bool *left_out);

/* Fills in the settings of its stock. handles: of each sorted row's item; NULL: by name. */
void import_batch_adjust(struct import_batch *batch, uint32_t from, const uint32_t *handles,
                         const bool *left_out);

/* The sorted row that an engine's message about a batch is about, as "define.items[3].safety: ...",
 * the row's column (NULL if the message is about the whole row), and the rest of the message.
 * False: it is about no row. */
bool import_batch_blame(const struct import_batch *batch, const char *message, uint32_t *row,
                        const char **column, const char **reason);

#endif

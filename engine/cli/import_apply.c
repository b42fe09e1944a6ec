/* import_apply.c - defines the items of an import and sets their stock, in batches.
 *
 * Two requests are under way at once: while one thread defines a batch of items, another sets the
 * stock of the batch before. So the engine works on one while the other travels. Items are defined
 * one batch after another, in the order of their SKUs, so their handles do not depend on timing.
 *
 * Repeatable: a definition made twice is the same, and each stock setting has an id that follows
 * from the import's reference and the item. So an import that broke off is simply run again.
 *
 * Threads: the caller's, and one more. `lock` guards what they share. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/id.h"
#include "cli/import_run.h"

#define BATCH_ROWS 4096u /* of one request: some 400 KiB, and 4 ms of the engine's */

struct apply {
    struct hf_client *client;
    const struct import *import;
    struct import_summary *summary;
    uint32_t *handles; /* one for each sorted row, once it is defined */

    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint32_t defined;      /* rows, from the first on */
    uint32_t set;          /* likewise, their stock */
    enum hf_status status; /* of the first thing that went wrong; then both threads end */
};

static uint32_t batch_at(const struct import *import, uint32_t from)
{
    uint32_t left = import->row_count - from;
    return left < BATCH_ROWS ? left : BATCH_ROWS;
}

/* Says where it went wrong and tells the other thread. On the thread of the failed call, right
 * behind it. from: the batch's first row; at: the engine's name of a row of the batch, as
 * "define.items"; the message begins with it where it is about one row. */
static void break_off(struct apply *apply, enum hf_status status, uint32_t from, const char *at)
{
    char subject[64 + 2 * HF_CODE_BYTES];
    unsigned index = 0;
    const char *message = hf_last_message();
    size_t at_len = strlen(at);
    bool exact = strncmp(message, at, at_len) == 0 &&
                 sscanf(message + at_len, "[%u]", &index) == 1 &&
                 index < batch_at(apply->import, from);
    const struct import_row *row = apply->import->sorted[from + (exact ? index : 0)];
    snprintf(subject, sizeof subject, "%s %" PRIu64 " (%s@%s)",
             exact ? "row" : "in the batch that begins with row", row->number, row->sku, row->pool);
    pthread_mutex_lock(&apply->lock);
    if (apply->status == HF_OK) {
        apply->status = status;
        apply->summary->status = status;
        connect_reason(status, subject, apply->summary->message);
    }
    pthread_cond_broadcast(&apply->moved);
    pthread_mutex_unlock(&apply->lock);
}

/* ---- Definitions ---- */

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

/* Defines the items of the sorted rows from `from` on, and the rules of the SKUs that begin among
 * them. skus and items: room for a batch. */
static enum hf_status define_batch(struct apply *apply, uint32_t from, uint32_t count,
                                   struct hf_sku *skus, struct hf_item *items)
{
    struct import_row *const *sorted = apply->import->sorted;
    uint32_t sku_count = 0;
    for (uint32_t i = from; i < from + count; i++) {
        bool first_of_sku = i == 0 || strcmp(sorted[i - 1]->sku, sorted[i]->sku) != 0;
        if (first_of_sku && sorted[i]->rules != 0) {
            skus[sku_count++] = rules_of(sorted[i]);
        }
        items[i - from] = item_of(sorted[i]);
    }
    return hf_define(apply->client, skus, sku_count, items, count, apply->handles + from);
}

/* Rows whose stock has been set, for the progress; and whether to go on. */
static bool tell_defined(struct apply *apply, uint32_t defined, struct progress *progress)
{
    pthread_mutex_lock(&apply->lock);
    apply->defined = defined;
    pthread_cond_broadcast(&apply->moved);
    uint64_t done = (uint64_t)apply->defined + apply->set;
    bool go_on = apply->status == HF_OK;
    pthread_mutex_unlock(&apply->lock);
    progress_show(progress, "importing", done, 2 * (uint64_t)apply->import->row_count);
    return go_on;
}

static void define_all(struct apply *apply, struct progress *progress)
{
    struct hf_sku *skus = must_alloc(BATCH_ROWS, sizeof *skus);
    struct hf_item *items = must_alloc(BATCH_ROWS, sizeof *items);
    bool go_on = true;
    for (uint32_t i = 0; i < apply->import->row_count && go_on;) {
        uint32_t count = batch_at(apply->import, i);
        enum hf_status status = define_batch(apply, i, count, skus, items);
        if (status != HF_OK) {
            break_off(apply, status, i, "define.items");
            break;
        }
        i += count;
        apply->summary->items = i;
        go_on = tell_defined(apply, i, progress);
    }
    free(items);
    free(skus);
}

/* ---- Stock ---- */

/* The hash of "import", the reference, the SKU and the pool, each with a NUL behind it. */
struct hf_id import_adjustment_id(const char *reference, const struct import_row *row)
{
    char text[16 + REASON_BYTES_MAX + 2 * HF_CODE_BYTES];
    const char *const parts[] = {"import", reference, row->sku, row->pool};
    size_t used = 0;
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t bytes = strlen(parts[i]) + 1;
        CHECK(used + bytes <= sizeof text);
        memcpy(text + used, parts[i], bytes);
        used += bytes;
    }
    struct hf_id id;
    id_to_bytes(hash_bytes_128(text, used), id.bytes);
    return id;
}

static void count_result(struct import_summary *summary, const struct import_row *row,
                         const struct hf_adjust_result *result)
{
    if (result->status == HF_OK) {
        *(result->replayed ? &summary->replayed : &summary->stock_set) += 1;
        return;
    }
    const char *reason = result->status == HF_ID_CONFLICT
                             ? "an import of this reference set another value"
                             : hf_status_text(result->status);
    bool known = result->stock.item != 0;
    import_refuse(summary, row, result->status, reason, known ? result->stock.held : -1,
                  known ? result->stock.sold : -1);
}

/* Room for the settings of a batch. */
struct settings {
    struct hf_adjustment adjustments[BATCH_ROWS];
    struct hf_adjust_result results[BATCH_ROWS];
    const struct import_row *rows[BATCH_ROWS];
};

static enum hf_status set_batch(struct apply *apply, uint32_t from, uint32_t count,
                                struct settings *settings)
{
    const char *reference = apply->summary->reference;
    uint32_t used = 0;
    for (uint32_t i = from; i < from + count; i++) {
        const struct import_row *row = apply->import->sorted[i];
        if (row->has_stock) {
            settings->rows[used] = row;
            settings->adjustments[used++] =
                (struct hf_adjustment){.id = import_adjustment_id(reference, row),
                                       .item = apply->handles[i],
                                       .set = true,
                                       .value = row->stock,
                                       .reason = "import",
                                       .reference = reference};
        }
    }
    if (used == 0) {
        return HF_OK;
    }
    enum hf_status status =
        hf_adjust(apply->client, settings->adjustments, used, settings->results);
    for (uint32_t i = 0; status == HF_OK && i < used; i++) {
        count_result(apply->summary, settings->rows[i], &settings->results[i]);
    }
    return status;
}

/* Waits for items to be defined behind the first `set`. False: there are none to come. */
static bool wait_for_defined(struct apply *apply, uint32_t set)
{
    pthread_mutex_lock(&apply->lock);
    apply->set = set;
    pthread_cond_broadcast(&apply->moved);
    while (apply->status == HF_OK && apply->defined == set && set < apply->import->row_count) {
        pthread_cond_wait(&apply->moved, &apply->lock);
    }
    /* What was defined before something went wrong elsewhere is left as it is. */
    bool more = apply->status == HF_OK && apply->defined > set;
    pthread_mutex_unlock(&apply->lock);
    return more;
}

static void *set_all(void *argument)
{
    struct apply *apply = argument;
    struct settings *settings = must_alloc(1, sizeof *settings);
    uint32_t set = 0;
    while (wait_for_defined(apply, set)) {
        uint32_t count = batch_at(apply->import, set);
        enum hf_status status = set_batch(apply, set, count, settings);
        if (status != HF_OK) {
            break_off(apply, status, set, "adjust.adjustments");
            break;
        }
        set += count;
    }
    free(settings);
    return NULL;
}

/* ---- Both ---- */

static void wait_for_set(struct apply *apply, struct progress *progress)
{
    uint32_t rows = apply->import->row_count;
    pthread_mutex_lock(&apply->lock);
    while (apply->status == HF_OK && apply->set < rows) {
        progress_show(progress, "importing", (uint64_t)apply->defined + apply->set,
                      2 * (uint64_t)rows);
        pthread_cond_wait(&apply->moved, &apply->lock);
    }
    pthread_mutex_unlock(&apply->lock);
}

enum hf_status import_apply(struct hf_client *client, const struct import *import,
                            struct progress *progress, struct import_summary *summary)
{
    struct apply apply = {.client = client,
                          .import = import,
                          .summary = summary,
                          .handles = must_alloc(import->row_count, sizeof *apply.handles),
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .moved = PTHREAD_COND_INITIALIZER};
    pthread_t setter;
    if (pthread_create(&setter, NULL, set_all, &apply) != 0) {
        must_have(NULL);
    }
    define_all(&apply, progress);
    wait_for_set(&apply, progress);
    pthread_join(setter, NULL);
    free(apply.handles);
    return apply.status;
}

/* import_apply.c - defines the items of an import and sets their stock, in batches.
 *
 * Two requests are under way at once: while one thread defines a batch of items, another sets the
 * stock of the batch before. So the engine works on one while the other travels. Items are defined
 * one batch after another, in the order of their SKUs, so their handles do not depend on timing.
 *
 * Repeatable: a definition made twice is the same, and each stock setting has an id that follows
 * from the import's reference and the item. So an import that did not finish is simply run again.
 *
 * Threads: the caller's, and one more. `lock` guards what they share. */
#include "cli/import_apply.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cli/import_batch.h"

struct apply {
    struct hf_client *client;
    const struct import *import;
    struct import_summary *summary; /* under the lock */
    uint32_t *handles;              /* one for each sorted row, once it is defined */

    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint32_t defined;      /* rows, from the first on */
    uint32_t set;          /* rows, from the first on, whose stock has been set */
    enum hf_status status; /* of the first thing that went wrong; then both threads end */
};

/* Notes where it went wrong, and wakes the other thread, which then ends too. Call it on the thread
 * of the failed call, directly after that call. */
static void break_off(struct apply *apply, enum hf_status status, const struct import_batch *batch)
{
    uint32_t at = batch->from;
    const char *column = NULL;
    const char *reason;
    char subject[64 + 2 * HF_CODE_BYTES];
    bool exact = import_batch_blame(batch, hf_last_message(), &at, &column, &reason);
    const struct import_row *row = apply->import->sorted[at];
    snprintf(subject, sizeof subject, "%s %" PRIu64 " (%s@%s)%s%s",
             exact ? "row" : "in the batch that begins with row", row->number, row->sku, row->pool,
             column ? ", column " : "", column ? column : "");
    pthread_mutex_lock(&apply->lock);
    if (apply->status == HF_OK) {
        apply->status = status;
        apply->summary->status = status;
        if (exact) {
            snprintf(apply->summary->message, CONNECT_REASON_BYTES, "%s: %s", subject, reason);
        } else {
            connect_reason(status, subject, apply->summary->message);
        }
    }
    pthread_cond_broadcast(&apply->moved);
    pthread_mutex_unlock(&apply->lock);
}

/* ---- Definitions ---- */

/* Counts a batch that has been defined, and shows the progress. False: stop. */
static bool tell_defined(struct apply *apply, const struct import_batch *batch,
                         const struct hf_defined *defined, struct progress *progress)
{
    CHECK(batch->item_count == batch->end - batch->from); /* no row is left out */
    pthread_mutex_lock(&apply->lock);
    CHECK(apply->defined == batch->from);
    import_count_defined(apply->summary, defined, batch->item_count);
    apply->defined = batch->end;
    pthread_cond_broadcast(&apply->moved);
    uint64_t done = (uint64_t)apply->defined + apply->set;
    bool go_on = apply->status == HF_OK;
    pthread_mutex_unlock(&apply->lock);
    progress_show(progress, "importing", done, 2 * (uint64_t)apply->import->row_count);
    return go_on;
}

static void define_all(struct apply *apply, struct progress *progress)
{
    struct import_batch batch;
    bool go_on = true;
    import_batch_init(&batch, apply->import, apply->summary->reference);
    for (uint32_t i = 0; i < apply->import->row_count && go_on; i = batch.end) {
        struct hf_defined defined;
        import_batch_define(&batch, i, NULL);
        enum hf_status status =
            hf_define_counted(apply->client, batch.skus, batch.sku_count, batch.items,
                              batch.item_count, apply->handles + i, &defined);
        if (status != HF_OK) {
            break_off(apply, status, &batch);
            break;
        }
        go_on = tell_defined(apply, &batch, &defined, progress);
    }
    import_batch_deinit(&batch);
}

/* ---- Stock ---- */

static void count_results(struct apply *apply, const struct import_batch *batch)
{
    pthread_mutex_lock(&apply->lock);
    for (uint32_t i = 0; i < batch->adjustment_count; i++) {
        import_count_result(apply->summary, apply->import->sorted[batch->adjusted_rows[i]],
                            &batch->results[i]);
    }
    pthread_mutex_unlock(&apply->lock);
}

static enum hf_status set_batch(struct apply *apply, struct import_batch *batch, uint32_t from)
{
    import_batch_adjust(batch, from, apply->handles, NULL);
    if (batch->adjustment_count == 0) {
        return HF_OK;
    }
    enum hf_status status =
        hf_adjust(apply->client, batch->adjustments, batch->adjustment_count, batch->results);
    if (status == HF_OK) {
        count_results(apply, batch);
    }
    return status;
}

/* Waits until more than the first `set` rows are defined. False: no more will be. */
static bool wait_for_defined(struct apply *apply, uint32_t set)
{
    pthread_mutex_lock(&apply->lock);
    CHECK(apply->set <= set);
    CHECK(set <= apply->defined);
    apply->set = set;
    pthread_cond_broadcast(&apply->moved);
    while (apply->status == HF_OK && apply->defined == set && set < apply->import->row_count) {
        pthread_cond_wait(&apply->moved, &apply->lock);
    }
    /* After an error, stock of what has been defined already is not set. */
    bool more = apply->status == HF_OK && apply->defined > set;
    pthread_mutex_unlock(&apply->lock);
    return more;
}

static void *set_all(void *argument)
{
    struct apply *apply = argument;
    struct import_batch batch;
    uint32_t set = 0;
    import_batch_init(&batch, apply->import, apply->summary->reference);
    while (wait_for_defined(apply, set)) {
        enum hf_status status = set_batch(apply, &batch, set);
        if (status != HF_OK) {
            break_off(apply, status, &batch);
            break;
        }
        set = batch.end;
    }
    import_batch_deinit(&batch);
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
    if (apply.status == HF_OK) { /* every row that was given has been answered */
        CHECK(apply.defined == import->row_count);
        CHECK(apply.set == import->row_count);
        CHECK(summary->items == import->row_count);
    }
    free(apply.handles);
    return apply.status;
}

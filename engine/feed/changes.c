/* changes.c - the stream of a log's records from an LSN on, with the names of their items.
 *
 * Reading begins early enough to learn all names: after the newest checkpoint, which has those
 * before it, or at the log's beginning; and no later than at the segment of the first record
 * wanted.
 *
 * Threads: one at a time. */
#include "feed/changes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/info.h"

/* Learns the items of the newest whole checkpoint; *segment_max: the segment after it, 1 if there
 * is no checkpoint. */
static enum hf_status learn_names(struct changes *changes, uint64_t *segment_max)
{
    uint64_t *numbers;
    size_t count;
    *segment_max = 1;
    enum hf_status status = checkpoint_list(changes->storage, &numbers, &count);
    if (status != HF_OK) {
        return status;
    }
    bool learned = false;
    while (count > 0 && !learned && status == HF_OK) {
        uint64_t number = numbers[--count];
        status = item_names_load(&changes->names, changes->storage, number);
        learned = status == HF_OK;
        if (learned) {
            *segment_max = number + 1;
        } else if (checkpoint_is_lost(status) || status == HF_NOT_FOUND) {
            status = HF_OK; /* the engine may have removed it since */
        }
    }
    free(numbers);
    return status;
}

/* Where the log begins now. From LSN 0 only a log that has its true beginning can be followed: else
 * the status is EXPIRED, with the LSN. */
static enum hf_status find_oldest(struct changes *changes)
{
    struct wal_follow *follow;
    enum hf_status status = wal_follow_open(&follow, changes->storage, 0, 0, &changes->oldest_lsn);
    wal_follow_close(follow);
    return status == HF_EXPIRED ? HF_OK : status;
}

enum hf_status changes_open(struct changes *changes, struct storage *storage, uint64_t lsn)
{
    uint64_t segment_max;
    uint64_t oldest_lsn;
    *changes = (struct changes){.storage = storage, .lsn = lsn};
    item_names_init(&changes->names);
    enum hf_status status = learn_names(changes, &segment_max);
    if (status == HF_OK) {
        status = find_oldest(changes);
    }
    if (status == HF_OK) {
        changes->lsn = lsn == CHANGES_OLDEST ? changes->oldest_lsn : lsn;
        status = wal_follow_open(&changes->follow, storage, changes->lsn, segment_max, &oldest_lsn);
        if (status == HF_EXPIRED && changes->lsn >= changes->oldest_lsn) {
            /* No checkpoint serves; some names stay unknown. */
            status = wal_follow_open(&changes->follow, storage, changes->lsn, 0, &oldest_lsn);
        }
        if (status == HF_EXPIRED) {
            changes->oldest_lsn = oldest_lsn;
        }
        if (status == HF_OK && lsn == CHANGES_NEWEST) {
            changes->lsn = wal_follow_lsn(changes->follow);
        }
    }
    if (status != HF_OK) {
        changes_close(changes);
        return status;
    }
    CHECK(changes->follow != NULL);
    return HF_OK;
}

void changes_close(struct changes *changes)
{
    wal_follow_close(changes->follow);
    changes->follow = NULL;
    item_names_deinit(&changes->names);
}

bool changes_end_before(const struct changes *changes, uint64_t lsn, char *text)
{
    CHECK(changes->follow != NULL);
    uint64_t end = wal_follow_end_lsn(changes->follow);
    snprintf(text, CHANGES_TEXT_BYTES,
             "LSN %" PRIu64 " is after the log's end, which is LSN %" PRIu64, lsn, end);
    return end < lsn;
}

/* The next record of the present block. NOT_FOUND: no more. */
static enum hf_status next_record(struct changes *changes, struct event *event)
{
    if (!changes->in_block) {
        return HF_NOT_FOUND;
    }
    if (history_records_next(&changes->records, event, &changes->reason)) {
        return HF_OK;
    }
    changes->in_block = false;
    return changes->reason ? HF_DAMAGED : HF_NOT_FOUND;
}

/* Checked once a block: the blocks that are passed over may be all of a segment. */
static bool stopped(const struct changes *changes)
{
    /* acquire: pairs with the release in feed_stop. */
    return changes->stop && atomic_load_explicit(changes->stop, memory_order_acquire);
}

enum hf_status changes_next(struct changes *changes, struct event *event, uint64_t *wall_ms)
{
    CHECK(changes->follow != NULL);
    for (;;) {
        enum hf_status status = next_record(changes, event);
        if (status == HF_NOT_FOUND) {
            if (stopped(changes)) {
                return HF_CANCELED;
            }
            status = wal_follow_next(changes->follow, &changes->block);
            if (status == HF_EXPIRED) {
                (void)find_oldest(changes);
            }
            if (status != HF_OK) {
                return status;
            }
            changes->in_block = changes->block.header.type == BLOCK_DATA;
            changes->records = (struct history_records){.block = &changes->block};
            continue;
        }
        if (status != HF_OK) {
            return status;
        }
        if (event->type == EVENT_ITEM_DEFINED) {
            status = item_names_learn(&changes->names, event->item);
            if (status != HF_OK) {
                return status;
            }
        }
        if (event->lsn > changes->lsn) {
            changes->lsn = event->lsn;
            *wall_ms = changes->block.header.wall_ms;
            event_show_times(event, &changes->block.header);
            return HF_OK;
        }
    }
}

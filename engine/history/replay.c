/* replay.c - the records of blocks one by one, and the state that they lead to.
 *
 * Threads: one. */
#include "history/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "checkpoint/file.h"
#include "checkpoint/info.h"
#include "checkpoint/load.h"
#include "core/presale.h"
#include "wal/digest.h"
#include "wal/segment.h"

/* Room for what a running engine writes while a tool reads; address space alone. */
#define ORDERS_SLACK (1u << 22)
#define ITEMS_SLACK  (1u << 12)

/* What the shortest records of their kinds take. */
#define HELD_BYTES 48u
#define ITEM_BYTES 40u

/* And a checkpoint's ledger's. */
#define BUYER_BYTES  24u
#define TICKET_BYTES 24u

static_assert(ORDERS_SLACK <= ORDERS_MAX, "a tool's inventory is no larger than an engine's");
static_assert(ITEMS_SLACK <= ITEMS_MAX, "a tool's inventory is no larger than an engine's");

bool history_records_next(struct history_records *records, struct event *event, const char **reason)
{
    const struct block_header *header = &records->block->header;
    *reason = NULL;
    CHECK(records->offset <= header->payload_bytes);
    if (records->offset == header->payload_bytes) {
        if (records->count != header->record_count) {
            *reason = "the block's header counts other records than there are";
        }
        return false;
    }
    size_t used;
    enum hf_status status = record_decode(records->block->payload + records->offset,
                                          header->payload_bytes - records->offset, event,
                                          &records->scratch, &used, reason);
    if (status != HF_OK) {
        *reason = *reason ? *reason : "not a record";
        return false;
    }
    CHECK(used > 0);
    CHECK(used <= header->payload_bytes - records->offset);
    records->offset += (uint32_t)used;
    records->count++;
    event->lsn = header->first_lsn + records->offset;
    return true;
}

/* ---- Sizes ---- */

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

/* Bytes of all segments' files. */
static enum hf_status segments_bytes(struct storage *storage, uint64_t *bytes)
{
    struct segment_list list;
    enum hf_status status = segment_list_read(&list, storage, SEGMENT_LOG);
    *bytes = 0;
    for (size_t i = 0; i < list.count && status == HF_OK; i++) {
        char name[STORAGE_NAME_BYTES_MAX];
        storage_file file;
        uint64_t size;
        wal_segment_name(name, list.numbers[i]);
        enum hf_status opened = storage->ops->open(storage, name, false, &file, &size);
        if (opened == HF_OK) {
            storage->ops->close(storage, file);
            *bytes += size;
        } else if (opened != HF_NOT_FOUND) { /* recycled since: nothing to count */
            status = HF_IO_ERROR;
        }
    }
    segment_list_free(&list);
    return status;
}

/* What any one checkpoint holds, at most. */
struct checkpoint_most {
    uint64_t orders;
    uint64_t items;
    uint64_t buyers;
    uint64_t tickets;
};

static void raise_to(uint64_t *most, uint64_t value)
{
    *most = value > *most ? value : *most;
}

static void note_most(struct checkpoint_most *most, const struct checkpoint_header *header)
{
    const struct checkpoint_info *info = &header->info;
    uint64_t ledger_bytes = info->file_bytes - header->ledger_offset;
    raise_to(&most->orders, info->orders);
    raise_to(&most->items, info->items);
    raise_to(&most->buyers, ledger_bytes / BUYER_BYTES);
    raise_to(&most->tickets, ledger_bytes / TICKET_BYTES);
}

static enum hf_status checkpoints_most(struct storage *storage, struct checkpoint_most *most)
{
    uint64_t *numbers;
    size_t count;
    *most = (struct checkpoint_most){0};
    enum hf_status status = checkpoint_list(storage, &numbers, &count);
    for (size_t i = 0; status == HF_OK && i < count; i++) {
        struct frame_reader reader;
        if (frame_reader_open(&reader, storage, numbers[i]) == HF_OK) {
            note_most(most, &reader.header);
        }
        frame_reader_close(&reader);
    }
    free(numbers);
    return status;
}

enum hf_status history_replay_sizes(struct storage *storage, struct inventory_options *sizes)
{
    uint64_t log_bytes;
    struct checkpoint_most most = {0};
    enum hf_status status = segments_bytes(storage, &log_bytes);
    if (status == HF_OK) {
        status = checkpoints_most(storage, &most);
    }
    uint64_t items = most.items + log_bytes / ITEM_BYTES + ITEMS_SLACK;
    uint64_t orders = most.orders + log_bytes / HELD_BYTES + ORDERS_SLACK;
    uint64_t buyers = most.buyers + log_bytes / HELD_BYTES + ORDERS_SLACK;
    /* A checkpoint's may be far apart, each in a chunk of its own; the log's follow one another. */
    uint64_t tickets = most.tickets * PRESALE_CHUNK_TICKETS + orders;
    *sizes = (struct inventory_options){
        .items_max = (uint32_t)at_most(items, ITEMS_MAX),
        .orders_max = at_most(orders, ORDERS_MAX),
        .buyers_max = at_most(buyers, ORDERS_MAX),
        .tickets_max = at_most(tickets, PRESALE_TICKETS_MAX),
        .hold_ms_default = HOLD_MS_DEFAULT,
        .hold_ms_max = HOLD_MS_MAX_DEFAULT,
    };
    return status;
}

uint64_t history_replay_bytes(const struct inventory_options *sizes)
{
    uint64_t orders = sizes->orders_max < ORDERS_SLACK ? 0 : sizes->orders_max - ORDERS_SLACK;
    uint64_t buyers = sizes->buyers_max < ORDERS_SLACK ? 0 : sizes->buyers_max - ORDERS_SLACK;
    return orders * 90 + buyers * 8; /* docs/operations.md has an order's bytes; few count buyers */
}

/* ---- State ---- */

static enum hf_status fault(struct history_replay *replay, const char *file, uint64_t offset,
                            const char *reason)
{
    snprintf(replay->file, sizeof replay->file, "%s", file);
    replay->file_offset = offset;
    snprintf(replay->reason, sizeof replay->reason, "%s", reason);
    return HF_DAMAGED;
}

static enum hf_status load(struct history_replay *replay, struct storage *storage, uint64_t number)
{
    struct checkpoint_info info;
    enum hf_status status =
        checkpoint_load(storage, number, replay->inventory, 1, &info, NULL, NULL);
    if (checkpoint_is_lost(status)) {
        char name[STORAGE_NAME_BYTES_MAX];
        checkpoint_name(name, number);
        (void)fault(replay, name, 0, info.message);
        return status;
    }
    if (status == HF_OK && inventory_digest(replay->inventory) != info.digest) {
        char name[STORAGE_NAME_BYTES_MAX];
        checkpoint_name(name, number);
        return fault(replay, name, 0, "what it holds differs from the digest in its header");
    }
    if (status == HF_OK) {
        replay->checkpoint = number;
        replay->start = info.start;
        replay->lsn = info.start.lsn;
        replay->digest = info.digest;
        replay->marks = info.marks;
    }
    return status;
}

enum hf_status history_replay_begin(struct history_replay *replay, struct storage *storage,
                                    uint64_t number, const struct inventory_options *sizes)
{
    *replay = (struct history_replay){0};
    enum hf_status status = inventory_init(&replay->inventory, sizes);
    if (status != HF_OK) {
        replay->inventory = NULL;
        return status;
    }
    if (number != 0) {
        status = load(replay, storage, number);
    }
    if (status != HF_OK) {
        history_replay_end(replay);
        return status;
    }
    CHECK(replay->checkpoint == number);
    CHECK(replay->records == 0);
    return HF_OK;
}

static enum hf_status replay_records(struct history_replay *replay, const struct wal_block *block)
{
    struct history_records records = {.block = block};
    struct event event;
    const char *reason;
    uint64_t offset = block->file_offset + BLOCK_HEADER_BYTES;
    while (history_records_next(&records, &event, &reason)) {
        if (event.lsn <= replay->lsn) {
            continue;
        }
        enum hf_status status = inventory_apply(replay->inventory, &event);
        if (status == HF_DAMAGED) {
            return fault(replay, block->file, offset,
                         "the record does not fit the state that the log led to");
        }
        if (status != HF_OK) {
            return status;
        }
        CHECK(event.lsn > replay->lsn);
        replay->digest += event.digest_delta;
        replay->lsn = event.lsn;
        replay->records++;
        offset = block->file_offset + BLOCK_HEADER_BYTES + records.offset;
    }
    return reason ? fault(replay, block->file,
                          block->file_offset + BLOCK_HEADER_BYTES + records.offset, reason)
                  : HF_OK;
}

static enum hf_status check_digest(struct history_replay *replay, const struct wal_block *block)
{
    uint64_t digest;
    const char *reason = digest_decode(block, &digest);
    if (!reason) {
        reason = digest_fault(replay->digest, digest);
    }
    if (reason) {
        return fault(replay, block->file, block->file_offset, reason);
    }
    replay->digests++;
    return HF_OK;
}

enum hf_status history_replay_block(struct history_replay *replay, const struct wal_block *block)
{
    enum hf_status status = HF_OK;
    uint64_t end = block->header.first_lsn + block->header.payload_bytes;
    CHECK(replay->inventory != NULL);
    replay->blocks++;
    if (end <= replay->lsn && block->header.payload_bytes > 0) {
        return HF_OK; /* the checkpoint has it */
    }
    if (block->header.type == BLOCK_DATA) {
        status = replay_records(replay, block);
    } else if (block->header.type == BLOCK_DIGEST) {
        status = check_digest(replay, block);
    }
    if (status == HF_OK) {
        replay->lsn = end;
        wal_marks_add(&replay->marks, end, block->header.engine_ms);
    }
    return status;
}

void history_replay_end(struct history_replay *replay)
{
    inventory_deinit(replay->inventory);
    replay->inventory = NULL;
}

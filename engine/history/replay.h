/* replay.h - walking the records of blocks, and building the state that a log leads to, for tools.
 *
 * The engine's own start is server/recovery.c; this is the same replay with the positions and
 * counts that tools report.
 *
 * Threads: one. Reads only. */
#ifndef HISTORY_REPLAY_H
#define HISTORY_REPLAY_H

#include "base/timekeeper.h"
#include "checkpoint/checkpoint.h"
#include "core/inventory.h"
#include "wal/reader.h"
#include "wal/record.h"

/* A walk over the records of a DATA block. Start from {.block = block}. */
struct history_records {
    const struct wal_block *block;
    uint32_t offset; /* in the payload: where the next record begins */
    uint32_t count;  /* read so far */
    struct record_scratch scratch;
};

/* The next record: true, with event->lsn set. False at the block's end, with *reason NULL; or
 * where the payload, though its checksum fits, can't be read, with *reason. */
bool history_records_next(struct history_records *records, struct event *event,
                          const char **reason);

/* Turns the record's deadline into what people are shown, by the block's time. Not before it is
 * applied: states are in engine time. */
static inline void event_show_times(struct event *event, const struct block_header *header)
{
    event->deadline_ms = time_shown_ms(event->deadline_ms, block_ahead_ms(header));
}

struct history_replay {
    struct inventory *inventory;
    uint64_t checkpoint;    /* number of the one that it began with; 0: the log's beginning */
    struct wal_start start; /* where reading begins, when checkpoint is not 0 */
    uint64_t lsn;           /* all before it has been applied */
    uint64_t digest;
    uint64_t blocks;
    uint64_t records;
    uint64_t digests; /* DIGEST blocks that agreed */
    struct wal_marks marks;
    /* DAMAGED: where, and what is wrong. */
    char file[STORAGE_NAME_BYTES_MAX];
    uint64_t file_offset;
    char reason[256];
};

/* Sizes that suffice for whatever the log and its checkpoints in storage hold. OK, IO_ERROR,
 * NO_MEMORY. */
enum hf_status history_replay_sizes(struct storage *storage, struct inventory_options *sizes);

/* Memory that a state may take that fills the log's own share of these sizes, roughly and at most.
 */
uint64_t history_replay_bytes(const struct inventory_options *sizes);

/* Begins with checkpoint `number`, or 0: with nothing, before the log's first record. OK; DAMAGED,
 * NOT_FOUND (no such checkpoint), FULL, IO_ERROR, NO_MEMORY: nothing is left to end. */
enum hf_status history_replay_begin(struct history_replay *replay, struct storage *storage,
                                    uint64_t number, const struct inventory_options *sizes);

/* Applies a block, or checks it when it is a DIGEST; records at or below replay->lsn are skipped.
 * OK; FULL; DAMAGED: see file, file_offset, reason; the records before the bad one were applied.
 */
enum hf_status history_replay_block(struct history_replay *replay, const struct wal_block *block);

/* Frees the inventory. */
void history_replay_end(struct history_replay *replay);

#endif

/* recovery.c - rebuilds the core from the log, block by block, before anything else runs.
 *
 * Replay applies outcomes as they stand; it makes no decision and reads no clock. A DIGEST block
 * must agree with what was rebuilt so far: if it does not, the engine refuses to start.
 * Threads: one. Source: the design's sections 4 and 6. */
#include <stdio.h>
#include <string.h>

#include "server/engine_internal.h"
#include "wal/record.h"

#define PROGRESS_EVERY_BLOCKS 256u

struct replay {
    struct engine *engine;
    struct engine_recovery *recovery;
    uint64_t digest;
};

static enum hf_status damaged(struct engine_recovery *recovery, const char *file, uint64_t offset,
                              const char *what)
{
    snprintf(recovery->message, sizeof recovery->message,
             "%s, offset %llu: %s; nothing was changed", file, (unsigned long long)offset, what);
    return HF_DAMAGED;
}

static enum hf_status replay_records(struct replay *replay, const struct wal_block *block)
{
    struct record_scratch scratch;
    uint32_t at = 0;
    uint32_t count = 0;
    while (at < block->header.payload_bytes) {
        struct event event;
        size_t used;
        const char *reason;
        uint64_t offset = block->file_offset + BLOCK_HEADER_BYTES + at;
        if (record_decode(block->payload + at, block->header.payload_bytes - at, &event, &scratch,
                          &used, &reason) != HF_OK) {
            return damaged(replay->recovery, block->file, offset, reason);
        }
        at += (uint32_t)used;
        event.lsn = block->header.first_lsn + at;
        enum hf_status status = inventory_apply(replay->engine->inventory, &event);
        if (status == HF_FULL) {
            snprintf(replay->recovery->message, sizeof replay->recovery->message,
                     "the log holds more orders or items than orders_max or items_max allow: "
                     "raise them");
            return status;
        }
        if (status != HF_OK) {
            return damaged(replay->recovery, block->file, offset,
                           "the record does not fit the state that the log led to");
        }
        replay->digest += event.digest_delta;
        count++;
    }
    if (count != block->header.record_count) {
        return damaged(replay->recovery, block->file, block->file_offset,
                       "the block's record count is wrong");
    }
    replay->recovery->records += count;
    return HF_OK;
}

static enum hf_status check_digest(struct replay *replay, const struct wal_block *block)
{
    struct cursor cursor = cursor_over(block->payload, block->header.payload_bytes);
    uint64_t lsn = cursor_u64(&cursor);
    uint64_t digest = cursor_u64(&cursor);
    if (cursor.overrun || lsn != block->header.first_lsn) {
        return damaged(replay->recovery, block->file, block->file_offset, "a bad DIGEST block");
    }
    if (digest != replay->digest) {
        return damaged(replay->recovery, block->file, block->file_offset,
                       "the rebuilt state differs from the digest that the engine wrote here");
    }
    replay->recovery->digests++;
    return HF_OK;
}

static enum hf_status replay_block(struct replay *replay, const struct wal_block *block)
{
    replay->recovery->blocks++;
    switch (block->header.type) {
    case BLOCK_DATA:
        return replay_records(replay, block);
    case BLOCK_DIGEST:
        return check_digest(replay, block);
    case BLOCK_NOOP:
    case BLOCK_EPOCH:
        return HF_OK;
    case BLOCK_CONFIG:
    case BLOCK_FREEZE:
    case BLOCK_ADOPT:
    case BLOCK_DROP:
        break;
    }
    return damaged(replay->recovery, block->file, block->file_offset,
                   "a type of block that this version does not know");
}

static void report_progress(struct replay *replay, const struct wal_reader *reader)
{
    const struct engine_options *options = &replay->engine->options;
    if (options->progress) {
        uint64_t done;
        uint64_t total;
        wal_reader_progress(reader, &done, &total);
        options->progress(options->progress_context, done, total, replay->recovery->records);
    }
}

static enum hf_status replay_log(struct replay *replay, struct wal_reader *reader)
{
    struct wal_block block;
    enum hf_status status;
    while ((status = wal_reader_next(reader, &block)) == HF_OK) {
        status = replay_block(replay, &block);
        if (status != HF_OK) {
            return status;
        }
        if (replay->recovery->blocks % PROGRESS_EVERY_BLOCKS == 0) {
            report_progress(replay, reader);
        }
    }
    report_progress(replay, reader);
    return status == HF_NOT_FOUND ? HF_OK : status;
}

enum hf_status recovery_run(struct engine *engine, struct engine_recovery *recovery,
                            struct wal_end *end)
{
    struct wal_reader *reader;
    enum hf_status status = wal_reader_open(&reader, engine->storage);
    if (status != HF_OK) {
        snprintf(recovery->message, sizeof recovery->message, "the log can't be read: %s",
                 hf_status_text(status));
        return status;
    }
    struct replay replay = {.engine = engine, .recovery = recovery};
    status = replay_log(&replay, reader);
    if (status == HF_OK) {
        wal_reader_end(reader, end);
        recovery->lsn = end->lsn;
        recovery->torn_bytes = end->torn ? end->torn_bytes : 0;
        atomic_store_explicit(&engine->digest, replay.digest, memory_order_relaxed);
        if (end->damaged) {
            status = damaged(recovery, end->file, end->file_offset, end->reason);
        }
    } else if (recovery->message[0] == '\0') {
        snprintf(recovery->message, sizeof recovery->message, "the log can't be read: %s",
                 hf_status_text(status));
    }
    wal_reader_close(reader);
    return status;
}

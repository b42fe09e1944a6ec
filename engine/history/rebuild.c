/* rebuild.c - the state that a log led to at a moment of its past.
 *
 * Threads: one. */
#include "history/rebuild.h"
#include "checkpoint/info.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct run {
    struct rebuild *rebuild;
    const struct rebuild_options *options;
    struct storage *storage;
    uint64_t last_index; /* until a time: of the last block that belongs to it */
};

__attribute__((format(printf, 3, 4))) static enum hf_status
fail(struct rebuild *rebuild, enum hf_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(rebuild->message, sizeof rebuild->message, format, args);
    va_end(args);
    return status;
}

/* ---- Where to begin ---- */

/* Whether the moment is at or after an LSN, in the block with that index. */
static bool reaches(const struct run *run, uint64_t lsn, uint64_t index)
{
    const struct rebuild_options *options = run->options;
    return options->all ||
           (options->until.is_time ? index <= run->last_index : lsn <= options->until.value);
}

/* Finds the last block that was sealed at or before a time, among those that there are and the last
 * ones that checkpoints cover. What is wrong with the log is found out later. */
static enum hf_status find_moment(struct run *run)
{
    uint64_t *numbers;
    size_t count;
    uint64_t until_ms = run->options->until.value;
    enum hf_status status = checkpoint_list(run->storage, &numbers, &count);
    if (status != HF_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        struct checkpoint_info info;
        if (checkpoint_read_info(run->storage, numbers[i], &info) == HF_OK &&
            info.wall_ms <= until_ms && info.start.next_index - 1 > run->last_index) {
            run->last_index = info.start.next_index - 1;
        }
    }
    free(numbers);
    struct wal_reader *reader;
    struct wal_block block;
    status = wal_reader_open(&reader, run->storage);
    if (status != HF_OK) {
        return status;
    }
    while ((status = wal_reader_next(reader, &block)) == HF_OK) {
        if (block.header.wall_ms <= until_ms && block.header.index > run->last_index) {
            run->last_index = block.header.index;
        }
    }
    wal_reader_close(reader);
    return status == HF_NOT_FOUND ? HF_OK : status;
}

static void report_passed_over(const struct run *run)
{
    const struct rebuild_report *report = &run->options->report;
    const struct rebuild *rebuild = run->rebuild;
    char why[sizeof rebuild->message];
    if (!report->passed_over) {
        return;
    }
    if (rebuild->from.message[0]) {
        snprintf(why, sizeof why, "%s", rebuild->from.message);
    } else {
        snprintf(why, sizeof why, "%s, offset %" PRIu64 ": %s", rebuild->replay.file,
                 rebuild->replay.file_offset, rebuild->replay.reason);
    }
    report->passed_over(report->context, why);
}

/* Begins with a checkpoint, if it is one that serves. NOT_FOUND: it does not. */
static enum hf_status begin_with(struct run *run, uint64_t number,
                                 const struct inventory_options *sizes)
{
    struct rebuild *rebuild = run->rebuild;
    enum hf_status status = checkpoint_read_info(run->storage, number, &rebuild->from);
    if (status == HF_OK &&
        !reaches(run, rebuild->from.start.lsn, rebuild->from.start.next_index - 1)) {
        status = HF_NOT_FOUND;
    }
    if (status == HF_OK) {
        status = history_replay_begin(&rebuild->replay, run->storage, number, sizes);
    }
    if (checkpoint_is_lost(status)) {
        report_passed_over(run);
    }
    if (status != HF_OK) {
        rebuild->from = (struct checkpoint_info){0};
    }
    if (checkpoint_is_lost(status)) {
        status = HF_NOT_FOUND;
    }
    return status;
}

/* The first that serves, of the checkpoints in one order or the other. */
static enum hf_status begin_with_any(struct run *run, const struct inventory_options *sizes)
{
    uint64_t *numbers;
    size_t count;
    enum hf_status status = checkpoint_list(run->storage, &numbers, &count);
    if (status != HF_OK) {
        return status;
    }
    status = HF_NOT_FOUND;
    for (size_t i = 0; i < count && status == HF_NOT_FOUND; i++) {
        status = begin_with(run, numbers[run->options->from_oldest ? i : count - 1 - i], sizes);
    }
    free(numbers);
    return status;
}

static enum hf_status begin(struct run *run)
{
    struct inventory_options sizes;
    uint64_t first;
    enum hf_status status = history_replay_sizes(run->storage, &sizes);
    if (status == HF_OK) {
        status = wal_first_segment(run->storage, &first);
    }
    if (status != HF_OK) {
        return status;
    }
    bool whole = first <= 1;
    status = HF_NOT_FOUND;
    if (!whole || !run->options->from_oldest) {
        status = begin_with_any(run, &sizes);
    }
    if (status == HF_NOT_FOUND && whole) {
        status = history_replay_begin(&run->rebuild->replay, run->storage, 0, &sizes);
    } else if (status == HF_NOT_FOUND) {
        return fail(run->rebuild, status,
                    "the log begins with segment %" PRIu64 ", and no whole checkpoint is at or "
                    "before that moment: name the archive that has the segments before it",
                    first);
    }
    return status;
}

/* ---- Blocks ---- */

static enum hf_status damaged(struct rebuild *rebuild, const char *file, uint64_t offset,
                              const char *reason)
{
    return fail(rebuild, HF_DAMAGED, "%s, offset %" PRIu64 ": %s", file, offset, reason);
}

static enum hf_status apply(struct run *run, struct event *event, uint64_t wall_ms)
{
    struct history_replay *replay = &run->rebuild->replay;
    const struct rebuild_watch *watch = &run->options->watch;
    if (watch->before) {
        watch->before(watch->context, replay->inventory, event);
    }
    enum hf_status status = inventory_apply(replay->inventory, event);
    if (status == HF_OK) {
        CHECK(event->lsn > replay->lsn); /* the reader refuses a block that is not the next one */
        replay->digest += event->digest_delta;
        replay->records++;
        replay->lsn = event->lsn;
        if (watch->after) {
            watch->after(watch->context, replay->inventory, event, wall_ms);
        }
    }
    return status;
}

/* The records of a block up to the moment. *kept: how many, and their bytes. */
static enum hf_status apply_records(struct run *run, const struct wal_block *block,
                                    struct rebuild_block *kept)
{
    struct history_records records = {.block = block};
    struct event event;
    const char *reason = NULL;
    while (history_records_next(&records, &event, &reason)) {
        if (!reaches(run, event.lsn, block->header.index)) {
            return HF_OK;
        }
        enum hf_status status = apply(run, &event, block->header.wall_ms);
        if (status != HF_OK) {
            return status == HF_FULL
                       ? fail(run->rebuild, status, "there is no room for all of the state")
                       : damaged(run->rebuild, block->file,
                                 block->file_offset + BLOCK_HEADER_BYTES + records.offset,
                                 "the record before does not fit the state that the log led to");
        }
        kept->kept_records = records.count;
        kept->kept_bytes = records.offset;
    }
    return reason ? damaged(run->rebuild, block->file, block->file_offset, reason) : HF_OK;
}

/* One block. *stop: the moment is in it, or before it. */
static enum hf_status take_block(struct run *run, const struct wal_block *block, bool *stop)
{
    struct rebuild *rebuild = run->rebuild;
    const struct block_header *header = &block->header;
    struct rebuild_block kept = {.any = true, .header = *header, .file_offset = block->file_offset};
    enum hf_status status = HF_OK;
    uint64_t end_lsn = header->first_lsn + header->payload_bytes;
    bool whole = reaches(run, end_lsn, header->index);
    if (!rebuild->first.any) {
        rebuild->first = kept;
    }
    if (header->type == BLOCK_DATA) {
        status = apply_records(run, block, &kept);
    } else if (whole) {
        kept.kept_bytes = header->payload_bytes;
        status = history_replay_block(&rebuild->replay, block);
        if (status != HF_OK) {
            return damaged(rebuild, rebuild->replay.file, rebuild->replay.file_offset,
                           rebuild->replay.reason);
        }
    }
    CHECK(kept.kept_bytes <= header->payload_bytes);
    CHECK(status != HF_OK || !whole || header->type != BLOCK_DATA ||
          kept.kept_records == header->record_count);
    if (whole || kept.kept_bytes > 0) {
        rebuild->last = kept;
        rebuild->wall_ms = header->wall_ms;
        rebuild->ahead_ms = block_ahead_ms(header);
    }
    if (whole && rebuild->replay.lsn < end_lsn) {
        rebuild->replay.lsn = end_lsn;
    }
    *stop = !whole;
    return status;
}

static void report_progress(const struct run *run, const struct wal_reader *reader)
{
    const struct rebuild_report *report = &run->options->report;
    uint64_t done;
    uint64_t total;
    if (report->progress) {
        wal_reader_progress(reader, &done, &total);
        report->progress(report->context, "replaying", done, total);
    }
}

static enum hf_status read_blocks(struct run *run, struct wal_reader *reader)
{
    struct rebuild *rebuild = run->rebuild;
    struct wal_block block;
    struct wal_end end;
    bool stop = false;
    enum hf_status status = HF_OK;
    while (!stop && (status = wal_reader_next(reader, &block)) == HF_OK) {
        status = take_block(run, &block, &stop);
        if (status != HF_OK) {
            break;
        }
        report_progress(run, reader);
    }
    rebuild->more = stop;
    if (status != HF_NOT_FOUND) {
        return status;
    }
    wal_reader_end(reader, &end);
    rebuild->torn = end.torn;
    return end.damaged ? damaged(rebuild, end.file, end.file_offset, end.reason) : HF_OK;
}

/* ---- All of it ---- */

enum hf_status rebuild_run(struct rebuild *rebuild, struct storage *storage,
                           const struct rebuild_options *options)
{
    *rebuild = (struct rebuild){0};
    struct run run = {.rebuild = rebuild, .options = options, .storage = storage};
    struct wal_reader *reader = NULL;
    enum hf_status status = options->all || !options->until.is_time ? HF_OK : find_moment(&run);
    status = status == HF_OK ? begin(&run) : status;
    bool begun = status == HF_OK;
    if (begun) {
        const struct rebuild_watch *watch = &options->watch;
        if (watch->begin) {
            watch->begin(watch->context, rebuild->replay.inventory, &rebuild->from);
        }
        status = wal_reader_open_at(&reader, storage,
                                    rebuild->from.number ? &rebuild->from.start : NULL, 0);
    }
    if (status == HF_OK) {
        status = read_blocks(&run, reader);
    }
    if (reader) {
        wal_reader_close(reader);
    }
    if (status != HF_OK && begun) {
        history_replay_end(&rebuild->replay);
    }
    CHECK(status != HF_OK || rebuild->replay.inventory != NULL);
    CHECK(!rebuild->last.any || rebuild->first.any);
    if (status != HF_OK && rebuild->message[0] == '\0') {
        fail(rebuild, status, "the log can't be read: %s", storage_reason(status));
    }
    return status;
}

void rebuild_end(struct rebuild *rebuild)
{
    history_replay_end(&rebuild->replay);
}

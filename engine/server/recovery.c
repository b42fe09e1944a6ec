/* recovery.c - rebuilds the core from the newest whole checkpoint and the log after it, before
 * anything else runs.
 *
 * Replay applies outcomes as they are recorded; it makes no decision and reads no clock. A DIGEST
 * block must agree with what was rebuilt so far: if it does not, the engine refuses to start.
 *
 * Threads: the caller's reads and checks the log; those that it starts apply it (replayer.h).
 * Source: docs/design.md, Discipline and Log. */
#include "server/recovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/parallel.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/info.h"
#include "checkpoint/load.h"
#include "core/replay.h"
#include "server/replayer.h"
#include "wal/tail.h"

#define PROGRESS_EVERY_BLOCKS 64u

struct replay {
    const struct engine_options *options;
    struct storage *storage;
    struct engine_recovery *report;
    struct recovery_result *result;
    unsigned threads;
};

static enum hf_status damaged(struct engine_recovery *report, const char *file, uint64_t offset,
                              const char *what)
{
    CHECK(what != NULL);
    snprintf(report->message, sizeof report->message, "%s, offset %llu: %s; nothing was changed",
             file, (unsigned long long)offset, what);
    return HF_DAMAGED;
}

static void report_progress(struct replay *replay, const struct wal_reader *reader)
{
    const struct engine_options *options = replay->options;
    if (options->progress) {
        uint64_t done;
        uint64_t total;
        wal_reader_progress(reader, &done, &total);
        options->progress(options->progress_context, done, total, replay->report->records);
    }
}

/* Which setting is too small for what a file holds. all: the numbers are all of it (counted buyers
 * are not known); else what there was room for. */
static void say_too_small(struct replay *replay, const char *what,
                          const struct inventory_counts *counts, bool all)
{
    const struct inventory_options *options = &replay->options->inventory;
    uint64_t buyers_max = options->buyers_max ? options->buyers_max : options->orders_max;
    uint64_t items = counts->items > counts->skus ? counts->items : counts->skus;
    char *text = replay->report->message;
    size_t bytes = sizeof replay->report->message;
    if (all ? items > options->items_max : items >= options->items_max) {
        snprintf(text, bytes, "the %s holds %s%llu items or SKUs, and items-max is %u: raise it",
                 what, all ? "" : "more than ", (unsigned long long)items, options->items_max);
    } else if (all ? counts->orders_known > options->orders_max
                   : counts->orders_known >= options->orders_max) {
        snprintf(text, bytes, "the %s holds %s%llu orders, and orders-max is %llu: raise it", what,
                 all ? "" : "more than ", (unsigned long long)counts->orders_known,
                 (unsigned long long)options->orders_max);
    } else if (all || counts->buyers >= buyers_max) {
        snprintf(text, bytes,
                 "the %s counts more buyers of limited SKUs than buyers-max, %llu: raise it", what,
                 (unsigned long long)buyers_max);
    } else {
        snprintf(text, bytes, "the %s holds more than orders-max or buyers-max allow: raise them",
                 what);
    }
}

/* What the replayer found wrong, in words. */
static enum hf_status replay_failed(struct replay *replay, const struct replayer *replayer,
                                    enum hf_status status)
{
    CHECK(status != HF_OK);
    if (status == HF_FULL) {
        struct inventory_counts counts;
        inventory_counts(replay->result->inventory, &counts);
        say_too_small(replay, "log", &counts, false);
    } else if (status == HF_DAMAGED) {
        const struct replayer_fault *fault = replayer_fault(replayer);
        return damaged(replay->report, fault->file, fault->offset, fault->reason);
    }
    return status;
}

static enum hf_status replay_blocks(struct replay *replay, struct wal_reader *reader,
                                    struct replayer *replayer)
{
    struct wal_block block;
    enum hf_status status;
    while ((status = wal_reader_next(reader, &block)) == HF_OK) {
        wal_marks_add(&replay->result->marks, block.header.first_lsn + block.header.payload_bytes,
                      block.header.engine_ms);
        replay->report->blocks++;
        status = replayer_block(replayer, &block);
        replay->report->records = replayer_records(replayer);
        if (status != HF_OK) {
            return replay_failed(replay, replayer, status);
        }
        if (replay->report->blocks % PROGRESS_EVERY_BLOCKS == 0) {
            report_progress(replay, reader);
        }
    }
    if (status != HF_NOT_FOUND) {
        return status;
    }
    status = replayer_finish(replayer, &replay->result->digest);
    replay->report->digests = replayer_digests(replayer);
    return status == HF_OK ? HF_OK : replay_failed(replay, replayer, status);
}

static enum hf_status replay_log(struct replay *replay, struct wal_reader *reader)
{
    CHECK(replay->result->inventory != NULL);
    CHECK(replay->threads >= 1);
    struct replayer *replayer;
    enum hf_status status = replayer_start(&replayer, replay->result->inventory, replay->threads,
                                           replay->result->digest);
    if (status == HF_OK) {
        status = replay_blocks(replay, reader, replayer);
        replayer_stop(replayer);
    }
    report_progress(replay, reader);
    return status;
}

/* ---- The checkpoint ---- */

static void checkpoint_progress(void *context, uint64_t done, uint64_t total)
{
    const struct replay *replay = context;
    const struct engine_options *options = replay->options;
    if (options->progress) {
        options->progress(options->progress_context, done, total, 0);
    }
}

/* Without memory for orders, which several threads take later. orders: that there will be at least.
 */
static enum hf_status make_inventory(struct replay *replay, uint64_t orders)
{
    CHECK(replay->result->inventory == NULL);
    struct inventory_options options = replay->options->inventory;
    uint64_t ready = options.orders_ready;
    options.orders_ready = 0;
    enum hf_status status = inventory_init(&replay->result->inventory, &options);
    if (status == HF_OK) {
        replay_expect(replay->result->inventory, orders > ready ? orders : ready);
    }
    return status;
}

static void take_memory(void *context, unsigned number)
{
    CHECK(number < ((const struct replay *)context)->threads);
    const struct replay *replay = context;
    replay_populate(replay->result->inventory, replay->options->inventory.orders_ready, number,
                    replay->threads);
}

/* Into an inventory of its own: one that is damaged leaves nothing. */
static enum hf_status load_checkpoint(struct replay *replay, uint64_t number,
                                      struct checkpoint_info *info)
{
    enum hf_status status = checkpoint_read_info(replay->storage, number, info);
    if (status == HF_OK) {
        status = make_inventory(replay, info->orders);
    }
    if (status == HF_OK) {
        status = checkpoint_load(replay->storage, number, replay->result->inventory,
                                 replay->threads, info, checkpoint_progress, replay);
    }
    if (status != HF_OK) {
        inventory_deinit(replay->result->inventory);
        replay->result->inventory = NULL;
        return status;
    }
    replay->result->digest = info->digest;
    replay->result->marks = info->marks;
    replay->report->checkpoint = number;
    replay->report->checkpoint_orders = info->orders;
    return HF_OK;
}

static enum hf_status checkpoint_failed(struct replay *replay, const struct checkpoint_info *info,
                                        enum hf_status status)
{
    if (status == HF_FULL) {
        const struct inventory_counts counts = {
            .items = info->items, .skus = info->skus, .orders_known = info->orders};
        say_too_small(replay, "checkpoint", &counts, true);
    }
    return status;
}

static void add_notice(struct replay *replay, const char *what, const char *file)
{
    char *notice = replay->report->notice;
    size_t used = strlen(notice);
    snprintf(notice + used, sizeof replay->report->notice - used, "%s%s: %.200s",
             used > 0 ? "; " : "", what, file);
}

static void say_passed_over(struct replay *replay, enum hf_status status,
                            const struct checkpoint_info *info)
{
    replay->report->unreadable |= status != HF_DAMAGED;
    add_notice(replay,
               status == HF_DAMAGED ? "a checkpoint is damaged and was passed over"
                                    : "a checkpoint can't be read and was passed over",
               info->message);
}

/* Loads the newest checkpoint that is whole; the segments after the one before it are kept
 * for that. NOT_FOUND: none is. */
static enum hf_status load_newest(struct replay *replay, struct checkpoint_info *info)
{
    uint64_t *numbers;
    size_t count;
    enum hf_status status = checkpoint_list(replay->storage, &numbers, &count);
    if (status != HF_OK) {
        return status;
    }
    status = HF_NOT_FOUND;
    while (count > 0 && (status == HF_NOT_FOUND || checkpoint_is_lost(status))) {
        status = load_checkpoint(replay, numbers[--count], info);
        if (checkpoint_is_lost(status)) {
            say_passed_over(replay, status, info);
        }
    }
    CHECK((status == HF_OK) == (replay->result->inventory != NULL));
    free(numbers);
    return checkpoint_is_lost(status) ? HF_NOT_FOUND : checkpoint_failed(replay, info, status);
}

/* Without a checkpoint the log must be there from its beginning. */
static enum hf_status begin_without(struct replay *replay)
{
    CHECK(replay->result->inventory == NULL);
    uint64_t first;
    enum hf_status status = wal_first_segment(replay->storage, &first);
    if (status == HF_OK && first > 1) {
        snprintf(replay->report->message, sizeof replay->report->message,
                 "the log begins with segment %llu, and there is no whole checkpoint to begin with"
                 "%s%s; nothing was changed",
                 (unsigned long long)first, replay->report->notice[0] ? ": " : "",
                 replay->report->notice);
        return HF_DAMAGED;
    }
    if (status == HF_OK) {
        status = make_inventory(replay, 0);
    }
    if (status == HF_OK) {
        parallel_run(replay->threads, take_memory, replay);
    }
    return status;
}

/* ---- All of it ---- */

static unsigned replay_threads(const struct engine_options *options)
{
    unsigned threads = options->recovery_threads;
    if (threads == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        threads = online < 1 ? 1 : online > 4 ? 4 : (unsigned)online;
    }
    static_assert(RECOVERY_THREADS_MAX <= EXPIRY_WHEELS, "each enters deadlines of its own");
    return threads < RECOVERY_THREADS_MAX ? threads : RECOVERY_THREADS_MAX;
}

/* Whether what the checkpoint covers of the log is fit to be continued. */
static enum hf_status check_covered(struct replay *replay)
{
    struct wal_end *end = &replay->result->end;
    enum hf_status status = wal_check_covered(replay->storage, replay->report->checkpoint, end);
    if (status == HF_OK && end->damaged) {
        return damaged(replay->report, end->file, end->file_offset, end->reason);
    }
    if (status == HF_OK && end->torn) {
        char what[224];
        snprintf(what, sizeof what,
                 "a part of the log that the checkpoint covers is damaged, which costs nothing "
                 "as long as the checkpoint is whole: %s",
                 end->file);
        add_notice(replay, what, end->reason);
    }
    return status;
}

/* Replays the log from start on; NULL: from its beginning. */
static enum hf_status read_log(struct replay *replay, const struct wal_start *start)
{
    struct wal_end *end = &replay->result->end;
    struct wal_reader *reader;
    enum hf_status status = wal_reader_open_at(&reader, replay->storage, start, 0);
    if (status != HF_OK) {
        return status;
    }
    status = replay_log(replay, reader);
    if (status == HF_OK) {
        wal_reader_end(reader, end);
    } else if (status == HF_IO_ERROR && wal_reader_trouble(reader)[0]) {
        snprintf(replay->report->message, sizeof replay->report->message, "%s; nothing was changed",
                 wal_reader_trouble(reader));
    }
    wal_reader_close(reader);
    if (status == HF_OK && end->damaged) {
        status = damaged(replay->report, end->file, end->file_offset, end->reason);
    }
    return status;
}

/* The log must be that of the cluster which the options name. */
static enum hf_status check_cluster(struct replay *replay)
{
    const struct id128 *cluster = replay->options->cluster;
    const char *elsewhere = cluster ? wal_cluster_fault(&replay->result->end, *cluster) : NULL;
    if (!elsewhere) {
        return HF_OK;
    }
    snprintf(replay->report->message, sizeof replay->report->message, "%s; nothing was changed",
             elsewhere);
    return HF_DAMAGED;
}

static enum hf_status run(struct replay *replay)
{
    struct checkpoint_info info;
    enum hf_status status = load_newest(replay, &info);
    bool loaded = status == HF_OK;
    if (status == HF_NOT_FOUND) {
        status = begin_without(replay);
    }
    if (status == HF_OK) {
        status = check_covered(replay);
    }
    if (status == HF_OK) {
        status = read_log(replay, loaded ? &info.start : NULL);
    }
    /* The log is read from where the checkpoint ends. */
    CHECK(status != HF_OK || !loaded || replay->result->end.lsn >= info.start.lsn);
    return status == HF_OK ? check_cluster(replay) : status;
}

/* Again with one thread alone: of several, one may run ahead of the others and find no room where
 * in the order of the log there is (replay.h). */
static enum hf_status run_alone(struct replay *replay)
{
    CHECK(replay->threads > 1);
    inventory_deinit(replay->result->inventory);
    *replay->report = (struct engine_recovery){0};
    *replay->result = (struct recovery_result){0};
    replay->threads = 1;
    return run(replay);
}

/* Memory again: while a checkpoint is loaded each thread takes it with the orders that it enters,
 * since there is time while others wait for the disk; the rest is taken here. */
static void finish(void *context, unsigned number)
{
    CHECK(number < ((const struct replay *)context)->threads);
    const struct replay *replay = context;
    take_memory(context, number);
    inventory_replayed_part(replay->result->inventory, number, replay->threads);
}

enum hf_status recovery_run(const struct engine_options *options, struct storage *storage,
                            struct engine_recovery *report, struct recovery_result *result)
{
    *result = (struct recovery_result){0};
    struct replay replay = {.options = options,
                            .storage = storage,
                            .report = report,
                            .result = result,
                            .threads = replay_threads(options)};
    enum hf_status status = run(&replay);
    if (status == HF_FULL && replay.threads > 1) {
        status = run_alone(&replay);
    }
    if (status != HF_OK) {
        if (report->message[0] == '\0') {
            snprintf(report->message, sizeof report->message, "the log can't be read: %s",
                     storage_reason(status));
        }
        inventory_deinit(result->inventory);
        result->inventory = NULL;
        return status;
    }
    CHECK(result->inventory != NULL);
    CHECK(!result->end.damaged);
    CHECK(result->marks.count <= WAL_MARKS_MAX);
    parallel_run(replay.threads, finish, &replay);
    report->lsn = result->end.lsn;
    report->torn_bytes = result->end.torn ? result->end.torn_bytes : 0;
    return HF_OK;
}

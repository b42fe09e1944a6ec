/* engine.c - puts core, log and recovery together; owns the workers and the housekeeper.
 *
 * Threads: engine_submit from any; the housekeeper is a thread of its own; the log's writer and its
 * preparer of segments belong to wal.c. Invariant: nothing is published without an LSN, and a
 * worker goes back empty. */
#include "server/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "server/recovery.h"

/* ---- Life ---- */

/* Recovers the log and opens it for work; past is what recovery found. */
static enum hf_status open_log(struct engine *engine, struct engine_recovery *report,
                               struct recovery_result *past)
{
    enum hf_status status = recovery_run(&engine->options, engine->storage, report, past);
    if (status != HF_OK) {
        return status;
    }
    const struct wal_end *end = &past->end;
    engine->inventory = past->inventory;
    CHECK(engine->inventory != NULL);
    timekeeper_init(&engine->time, engine->clock,
                    &(struct time_past){end->engine_ms, end->wall_ms, end->boot_ms, end->boot},
                    engine->options.trust_clock);
    engine->options.wal.covered = report->checkpoint;
    status = wal_open(&engine->wal, &engine->options.wal, engine->storage, &engine->time, end,
                      past->digest);
    if (status != HF_OK) {
        snprintf(report->message, sizeof report->message, "the log can't be opened for writing: %s",
                 storage_reason(status));
    } else {
        CHECK(wal_tail_lsn(engine->wal) >= end->lsn);
        CHECK(wal_commit_lsn(engine->wal) >= end->lsn);
    }
    return status;
}

/* What works beside requests, and the workers of those. */
static enum hf_status open_services(struct engine *engine, const struct engine_recovery *report,
                                    const struct recovery_result *past)
{
    const struct engine_options *options = &engine->options;
    const struct checkpointer_options checkpointer = {.storage = engine->storage,
                                                      .archive = options->archive,
                                                      .clock = engine->clock,
                                                      .wal = engine->wal,
                                                      .inventory = options->inventory,
                                                      .wal_bytes_max = options->wal_bytes_max,
                                                      .segment_bytes = options->wal.segment_bytes,
                                                      .memory_bytes = options->checkpoint_memory};
    workers_init(&engine->workers, engine->inventory, engine->wal, &engine->time, past->digest);
    enum hf_status status = checkpointer_init(&engine->checkpointer, &checkpointer,
                                              report->checkpoint, report->unreadable);
    if (status == HF_OK) {
        status = housekeeper_init(&engine->housekeeper, &engine->workers, options->retain_ended_ms,
                                  options->inventory.orders_max, &past->marks);
        CHECK(engine->workers.count == 1); /* the housekeeper's */
    }
    return status;
}

enum hf_status engine_open(struct engine **out, const struct engine_options *options,
                           struct storage *storage, const struct clock *clock,
                           struct engine_recovery *recovery)
{
    CHECK(storage != NULL);
    CHECK(clock != NULL);
    *recovery = (struct engine_recovery){0};
    *out = NULL;
    struct engine *engine = aligned_alloc(CACHE_LINE_BYTES, sizeof *engine);
    if (!engine) {
        return HF_NO_MEMORY;
    }
    memset(engine, 0, sizeof *engine);
    engine->options = *options;
    engine->storage = storage;
    engine->clock = clock;
    engine->started_ns = clock_monotonic_ns(clock);
    struct recovery_result past;
    enum hf_status status = open_log(engine, recovery, &past);
    if (status == HF_OK) {
        status = open_services(engine, recovery, &past);
    }
    if (status != HF_OK) {
        engine_close(engine);
        return status;
    }
    *out = engine;
    return HF_OK;
}

void engine_close(struct engine *engine)
{
    if (!engine) {
        return;
    }
    housekeeper_deinit(&engine->housekeeper);
    workers_free(engine->workers.free);
    workers_free(engine->workers.spent);
    if (engine->wal) {
        wal_close(engine->wal);
    }
    if (engine->inventory) {
        inventory_deinit(engine->inventory);
    }
    free(engine);
}

enum hf_status engine_start(struct engine *engine)
{
    CHECK(engine->wal != NULL);
    enum hf_status status = wal_start(engine->wal);
    if (status != HF_OK) {
        return status;
    }
    status = housekeeper_start(&engine->housekeeper);
    if (status != HF_OK) {
        wal_stop(engine->wal);
        return status;
    }
    if (engine->options.wal_bytes_max > 0 && checkpointer_start(&engine->checkpointer) != HF_OK) {
        engine_stop(engine);
        return HF_NO_MEMORY;
    }
    return HF_OK;
}

void engine_stop(struct engine *engine)
{
    checkpointer_stop(&engine->checkpointer);
    housekeeper_stop(&engine->housekeeper);
    wal_stop(engine->wal);
}

struct slowest_answer engine_answer_way(const struct engine_call *call, size_t request_bytes,
                                        size_t answer_bytes)
{
    CHECK(request_bytes <= UINT32_MAX);
    CHECK(answer_bytes <= UINT32_MAX);
    struct slowest_answer way = call->way;
    way.received_ns = call->received_ns;
    way.begun_ns = call->begun_ns;
    way.lsn = call->response.lsn;
    way.status = call->response.status;
    way.request_bytes = (uint32_t)request_bytes;
    way.answer_bytes = (uint32_t)answer_bytes;
    return way;
}

void engine_answered(struct engine *engine, struct slowest_answer *way)
{
    if (way->received_ns > 0) {
        slowest_answered(&engine->slowest, engine->clock, way);
    }
}

void engine_answers_begin(struct engine *engine)
{
    (void)engine;
    slowest_run_begin();
}

void engine_answers_end(struct engine *engine)
{
    slowest_run_end(&engine->slowest, engine->clock);
}

bool engine_step(struct engine *engine)
{
    bool prepared = wal_prepare_step(engine->wal);
    return wal_step(engine->wal, false) || prepared;
}

void engine_tick(struct engine *engine, struct time_reading *now)
{
    timekeeper_tick(&engine->time);
    timekeeper_read(&engine->time, now);
}

uint64_t engine_expire(struct engine *engine)
{
    bool more;
    timekeeper_tick(&engine->time);
    return expire_due(&engine->housekeeper, UINT32_MAX, &more);
}

uint64_t engine_forget(struct engine *engine)
{
    return forgetter_run(&engine->housekeeper.forgetter);
}

enum hf_status engine_checkpoint(struct engine *engine)
{
    CHECK(!engine->checkpointer.running);
    return checkpointer_run(&engine->checkpointer);
}

struct inventory *engine_inventory(struct engine *engine)
{
    return engine->inventory;
}

struct wal *engine_wal(struct engine *engine)
{
    return engine->wal;
}

uint64_t engine_digest(const struct engine *engine)
{
    return atomic_load_explicit(&engine->workers.digest, memory_order_relaxed);
}

bool engine_failed(const struct engine *engine)
{
    return wal_state(engine->wal) == WAL_CLOSED;
}

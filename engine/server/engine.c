/* engine.c - puts core, log and recovery together; owns the workers and the expirer.
 *
 * Threads: engine_submit from any; the expirer is a thread of its own; the log's writer and its
 * preparer of segments belong to wal.c. Invariant: nothing is published without an LSN, and a
 * worker goes back empty. */
#include "server/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "server/housekeeper.h"
#include "server/recovery.h"
#include "server/worker.h"

/* ---- Life ---- */

static enum hf_status open_log(struct engine *engine, struct engine_recovery *recovery)
{
    struct wal_end end;
    enum hf_status status = recovery_run(engine, recovery, &end);
    if (status != HF_OK) {
        return status;
    }
    timekeeper_init(&engine->time, engine->clock,
                    &(struct time_past){end.engine_ms, end.wall_ms, end.boot_ms, end.boot},
                    engine->options.trust_clock);
    engine->options.wal.covered = recovery->checkpoint;
    status = wal_open(&engine->wal, &engine->options.wal, engine->storage, &engine->time, &end,
                      engine_digest(engine));
    if (status != HF_OK) {
        snprintf(recovery->message, sizeof recovery->message,
                 "the log can't be opened for writing: %s", storage_reason(status));
    }
    return status;
}

enum hf_status engine_open(struct engine **out, const struct engine_options *options,
                           struct storage *storage, const struct clock *clock,
                           struct engine_recovery *recovery)
{
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
    enum hf_status status = open_log(engine, recovery);
    if (status == HF_OK) {
        status = checkpointer_init(&engine->checkpointer, engine, recovery->checkpoint,
                                   recovery->unreadable);
    }
    if (status == HF_OK) {
        unsigned slot = engine->worker_count++;
        engine->expirer = worker_new(engine, slot);
        status = engine->expirer ? HF_OK : HF_NO_MEMORY;
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
    CHECK(!engine->expirer_running);
    worker_free(engine->expirer);
    workers_free(engine->workers_free);
    workers_free(engine->workers_spent);
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
    enum hf_status status = wal_start(engine->wal);
    if (status != HF_OK) {
        return status;
    }
    if (pthread_create(&engine->expirer_thread, NULL, expirer_main, engine) != 0) {
        wal_stop(engine->wal);
        return HF_NO_MEMORY;
    }
    engine->expirer_running = true;
    if (engine->options.wal_bytes_max > 0 && checkpointer_start(&engine->checkpointer) != HF_OK) {
        engine_stop(engine);
        return HF_NO_MEMORY;
    }
    return HF_OK;
}

void engine_stop(struct engine *engine)
{
    CHECK(engine->expirer_running);
    checkpointer_stop(&engine->checkpointer);
    /* release: pairs with the acquire in expirer_main. */
    atomic_store_explicit(&engine->expirer_stop, true, memory_order_release);
    pthread_join(engine->expirer_thread, NULL);
    engine->expirer_running = false;
    wal_stop(engine->wal);
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
    return expire_due(engine, UINT32_MAX, &more);
}

uint64_t engine_forget(struct engine *engine)
{
    return forgetter_run(engine);
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
    return atomic_load_explicit(&engine->digest, memory_order_relaxed);
}

bool engine_failed(const struct engine *engine)
{
    return wal_state(engine->wal) == WAL_CLOSED;
}

/* engine.c - puts core, log and recovery together; owns the workers and the expirer.
 *
 * Threads: engine_submit from any; the expirer is a thread of its own; the log's writer and its
 * preparer of segments belong to wal.c. Invariant: nothing is published without an LSN, and a
 * worker goes back empty. */
#include "server/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/schedule.h"
#include "wal/record.h"

#define EXPIRER_TICK_NS 1000000L /* deadlines are kept to the millisecond */
/* When very many are due at once, buyers don't wait for them: a rest after each 4 transactions of
 * 1024 orders, some 300 us. */
#define EXPIRE_TRANSACTIONS 4u
#define EXPIRER_REST_NS     250000L
#define AHEAD_STEPS         4u       /* of 2 MiB a tick: more orders than the engine can take */
#define EXPIRER_IDLE_NS     5000000L /* while nothing is held */

/* ---- Workers ---- */

static struct worker *worker_new(struct engine *engine, unsigned slot)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker) {
        return NULL;
    }
    worker->engine = engine;
    worker->records = malloc(WAL_APPEND_BYTES_MAX);
    if (!worker->records || txn_init(&worker->txn, engine->inventory, slot) != HF_OK) {
        free(worker->records);
        free(worker);
        return NULL;
    }
    return worker;
}

static void worker_free(struct worker *worker)
{
    if (worker) {
        txn_deinit(&worker->txn);
        free(worker->records);
        free(worker);
    }
}

static void workers_free(struct worker *list)
{
    while (list) {
        struct worker *next = list->next;
        worker_free(list);
        list = next;
    }
}

static struct worker *worker_pop(struct engine *engine, bool *may_make)
{
    spin_lock(&engine->workers_lock);
    struct worker *worker = engine->workers_free;
    if (worker) {
        engine->workers_free = worker->next;
    }
    *may_make = engine->worker_count < THREADS_MAX;
    spin_unlock(&engine->workers_lock);
    return worker;
}

/* Gives a new worker its slot. False: others were faster, there are THREADS_MAX. */
static bool worker_enlist(struct engine *engine, struct worker *worker)
{
    spin_lock(&engine->workers_lock);
    bool room = engine->worker_count < THREADS_MAX;
    if (room) {
        worker->txn.slot = engine->worker_count++;
    }
    spin_unlock(&engine->workers_lock);
    return room;
}

void worker_look_at_clock(struct worker *worker)
{
    struct time_reading now;
    timekeeper_read(&worker->engine->time, &now);
    worker->txn.now_ms = now.engine_ms;
    worker->txn.wall_ahead_ms = (int64_t)(now.wall_ms - now.engine_ms);
    worker->shown_ahead_ms = now.ahead_ms;
}

static void worker_begin(struct worker *worker)
{
    CHECK(worker->txn.event_count == 0);
    worker->lsn = 0;
    worker->depends_on_tail = false;
    worker->lines_decided = 0;
    worker->admitted_lsn = 0;
    worker->read_only = false;
    worker_look_at_clock(worker);
}

struct worker *worker_acquire(struct engine *engine)
{
    for (unsigned step = 0;; step++) {
        bool may_make;
        struct worker *worker = worker_pop(engine, &may_make);
        if (!worker && may_make) {
            /* Made before it has a slot: a slot given to what can't be made would be lost. */
            worker = worker_new(engine, 0);
            if (!worker) {
                return NULL;
            }
            if (!worker_enlist(engine, worker)) {
                worker_free(worker);
                worker = NULL;
            }
        }
        if (worker) {
            worker_begin(worker);
            return worker;
        }
        if (engine_failed(engine)) {
            return NULL; /* all may have been spent */
        }
        spin_pause(step);
    }
}

void worker_release(struct worker *worker, bool usable)
{
    struct engine *engine = worker->engine;
    CHECK(!usable || worker->txn.event_count == 0);
    spin_lock(&engine->workers_lock);
    struct worker **list = usable ? &engine->workers_free : &engine->workers_spent;
    worker->next = *list;
    *list = worker;
    spin_unlock(&engine->workers_lock);
}

bool worker_flush(struct worker *worker)
{
    struct txn *txn = &worker->txn;
    if (txn->event_count == 0) {
        return true;
    }
    uint32_t len = 0;
    uint64_t digest_delta = 0;
    for (uint32_t i = 0; i < txn->event_count; i++) {
        struct event *event = &txn->events[i];
        CHECK(len + (uint64_t)record_bytes(event) <= WAL_APPEND_BYTES_MAX);
        len += record_encode(event, worker->records + len);
        event->lsn = len; /* the offset of its end, for now */
        digest_delta += event->digest_delta;
    }
    uint64_t start_lsn;
    SCHEDULE_POINT("flush.begin");
    inventory_publish_begin(txn);
    SCHEDULE_POINT("flush.append");
    if (wal_append_patient(worker->engine->wal, worker->records, len, txn->event_count,
                           digest_delta, &start_lsn, inventory_publish_waits(txn)) != HF_OK) {
        inventory_publish_cancel(txn);
        return false;
    }
    for (uint32_t i = 0; i < txn->event_count; i++) {
        txn->events[i].lsn += start_lsn;
    }
    worker->lsn = start_lsn + len;
    SCHEDULE_POINT("flush.publish");
    atomic_fetch_add_explicit(&worker->engine->digest, digest_delta, memory_order_relaxed);
    inventory_publish(txn);
    CHECK(txn->event_count == 0);
    return true;
}

bool worker_again(struct worker *worker, unsigned *step)
{
    if (worker->txn.event_count > 0) {
        *step = 0;
        return worker_flush(worker);
    }
    if (wal_state(worker->engine->wal) == WAL_CLOSED) {
        return false;
    }
    spin_pause((*step)++);
    worker_look_at_clock(worker);
    return true;
}

enum hf_status worker_admit(struct worker *worker)
{
    if (worker->lsn != worker->admitted_lsn) {
        worker->admitted_lsn = worker->lsn;
        worker->read_only |= wal_admit(worker->engine->wal) == HF_READ_ONLY;
    }
    return worker->read_only ? HF_READ_ONLY : HF_OK;
}

/* ---- Expiry ---- */

/* In at most so many transactions. *more: some are left. Returns how many expired. */
static uint64_t expire_due(struct engine *engine, uint32_t transactions_max, bool *more)
{
    struct worker *worker = engine->expirer;
    uint64_t count = 0;
    /* Expiry is work like any other: it waits while the log takes none. */
    *more = wal_admit(engine->wal) == HF_OK;
    for (uint32_t i = 0; *more && i < transactions_max; i++) {
        worker->txn.now_ms = timekeeper_engine_ms(&engine->time);
        bool again = inventory_expire(&worker->txn) == TXN_AGAIN;
        uint32_t events = worker->txn.event_count;
        bool flushed = worker_flush(worker);
        count += flushed ? events : 0;
        *more = flushed && again && wal_admit(engine->wal) == HF_OK;
    }
    atomic_fetch_add_explicit(&engine->expired, count, memory_order_relaxed);
    return count;
}

static void *expirer_main(void *argument)
{
    struct engine *engine = argument;
    /* acquire: pairs with the release in engine_stop. */
    while (!atomic_load_explicit(&engine->expirer_stop, memory_order_acquire)) {
        long sleep_ns = EXPIRER_IDLE_NS;
        timekeeper_tick(&engine->time);
        if (inventory_next_deadline_ms(engine->inventory) != UINT64_MAX) {
            bool more;
            expire_due(engine, EXPIRE_TRANSACTIONS, &more);
            sleep_ns = more ? EXPIRER_REST_NS : EXPIRER_TICK_NS;
        }
        forgetter_step(engine);
        inventory_tidy(engine->inventory);
        bool busy = engine->forgetter.cut_lsn != 0; /* in the middle of a pass */
        for (unsigned i = 0; i < AHEAD_STEPS && inventory_ahead(engine->inventory); i++) {
            busy = true; /* orders come in: stay ahead of them */
        }
        if (busy && sleep_ns > EXPIRER_TICK_NS) {
            sleep_ns = EXPIRER_TICK_NS;
        }
        nanosleep(&(struct timespec){.tv_nsec = sleep_ns}, NULL);
    }
    return NULL;
}

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

/* worker.c - what a thread needs to execute a request: a transaction, records, the time.
 *
 * Threads: any; a worker belongs to one at a time. Invariant: nothing is published without an LSN,
 * and a worker is released with an empty transaction. */
#include "server/worker.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/schedule.h"
#include "server/slowest.h"
#include "wal/record.h"

void workers_init(struct workers *workers, struct inventory *inventory, struct wal *wal,
                  struct timekeeper *time, uint64_t digest)
{
    CHECK(inventory != NULL);
    CHECK(wal != NULL);
    CHECK(time != NULL);
    *workers = (struct workers){.inventory = inventory, .wal = wal, .time = time};
    atomic_init(&workers->digest, digest);
}

struct worker *worker_new(struct workers *workers, unsigned slot)
{
    CHECK(slot < THREADS_MAX);
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker) {
        return NULL;
    }
    worker->workers = workers;
    worker->records = malloc(WAL_APPEND_BYTES_MAX);
    if (!worker->records || txn_init(&worker->txn, workers->inventory, slot) != HF_OK) {
        free(worker->records);
        free(worker);
        return NULL;
    }
    return worker;
}

void worker_free(struct worker *worker)
{
    if (worker) {
        txn_deinit(&worker->txn);
        free(worker->records);
        free(worker);
    }
}

void workers_free(struct worker *list)
{
    while (list) {
        struct worker *next = list->next;
        worker_free(list);
        list = next;
    }
}

static struct worker *worker_pop(struct workers *workers, bool *may_make)
{
    spin_lock(&workers->lock);
    struct worker *worker = workers->free;
    if (worker) {
        workers->free = worker->next;
    }
    CHECK(workers->count <= THREADS_MAX);
    CHECK(!worker || worker->txn.slot < workers->count);
    *may_make = workers->count < THREADS_MAX;
    spin_unlock(&workers->lock);
    return worker;
}

/* Gives a new worker its slot. False: others were faster, there are THREADS_MAX. */
static bool worker_enlist(struct workers *workers, struct worker *worker)
{
    CHECK(worker->txn.event_count == 0);
    CHECK(worker->workers == workers);
    spin_lock(&workers->lock);
    bool room = workers->count < THREADS_MAX;
    if (room) {
        worker->txn.slot = workers->count++;
    }
    spin_unlock(&workers->lock);
    return room;
}

void worker_look_at_clock(struct worker *worker)
{
    struct time_reading now;
    timekeeper_read(worker->workers->time, &now);
    worker->txn.now_ms = now.engine_ms;
    worker->txn.wall_ahead_ms = (int64_t)(now.wall_ms - now.engine_ms);
    worker->shown_ahead_ms = now.ahead_ms;
}

static void worker_begin(struct worker *worker)
{
    CHECK(worker->txn.event_count == 0);
    CHECK(!worker->txn.publishing);
    worker->lsn = 0;
    worker->depends_on_tail = false;
    worker->lines_decided = 0;
    worker->admitted_lsn = 0;
    worker->lines_unpaused = 0;
    worker->call = NULL;
    worker->read_only = false;
    worker->append_ns = 0;
    worker_look_at_clock(worker);
}

struct worker *worker_acquire(struct workers *workers)
{
    for (unsigned step = 0;; step++) {
        bool may_make;
        struct worker *worker = worker_pop(workers, &may_make);
        if (!worker && may_make) {
            /* Made before it has a slot: a slot given to what can't be made would be lost. */
            worker = worker_new(workers, 0);
            if (!worker) {
                return NULL;
            }
            if (!worker_enlist(workers, worker)) {
                worker_free(worker);
                worker = NULL;
            }
        }
        if (worker) {
            CHECK(worker->workers == workers);
            worker_begin(worker);
            return worker;
        }
        if (wal_state(workers->wal) == WAL_CLOSED) {
            return NULL; /* all may have been spent */
        }
        spin_pause(step);
    }
}

void worker_release(struct worker *worker, bool usable)
{
    struct workers *workers = worker->workers;
    CHECK(!usable || worker->txn.event_count == 0);
    CHECK(!worker->txn.publishing);
    CHECK(worker->admitted_lsn <= worker->lsn);
    spin_lock(&workers->lock);
    struct worker **list = usable ? &workers->free : &workers->spent;
    worker->next = *list;
    *list = worker;
    spin_unlock(&workers->lock);
}

uint64_t worker_monotonic_ns(const struct worker *worker)
{
    return clock_monotonic_ns(worker->workers->time->clock);
}

bool worker_flush(struct worker *worker)
{
    struct txn *txn = &worker->txn;
    if (txn->event_count == 0) {
        return true;
    }
    CHECK(txn->event_count <= TXN_EVENTS_MAX);
    CHECK(!txn->publishing);
    bool timed = txn->event_count >= SLOWEST_TIMED_EVENTS;
    uint64_t begin_ns = timed ? worker_monotonic_ns(worker) : 0;
    uint32_t len = 0;
    uint64_t digest_delta = 0;
    for (uint32_t i = 0; i < txn->event_count; i++) {
        struct event *event = &txn->events[i];
        uint32_t bytes = record_bytes(event);
        CHECK(len + (uint64_t)bytes <= WAL_APPEND_BYTES_MAX);
        uint32_t written = (uint32_t)record_encode(event, worker->records + len);
        CHECK(written == bytes);
        len += written;
        event->lsn = len; /* the offset of its end, for now */
        digest_delta += event->digest_delta;
    }
    uint64_t start_lsn;
    SCHEDULE_POINT("flush.begin");
    inventory_publish_begin(txn);
    struct wal_patience patience = {.waits = inventory_publish_waits(txn)};
    SCHEDULE_POINT("flush.append");
    if (wal_append_patient(worker->workers->wal, worker->records, len, txn->event_count,
                           digest_delta, &start_lsn, &patience) != HF_OK) {
        inventory_publish_cancel(txn);
        return false;
    }
    for (uint32_t i = 0; i < txn->event_count; i++) {
        txn->events[i].lsn += start_lsn;
    }
    CHECK(start_lsn >= worker->lsn); /* the log only grows */
    worker->lsn = start_lsn + len;
    CHECK(txn->events[txn->event_count - 1].lsn == worker->lsn);
    SCHEDULE_POINT("flush.publish");
    atomic_fetch_add_explicit(&worker->workers->digest, digest_delta, memory_order_relaxed);
    inventory_publish(txn);
    CHECK(txn->event_count == 0);
    worker->append_ns += timed ? worker_monotonic_ns(worker) - begin_ns : patience.waited_ns;
    return true;
}

bool worker_again(struct worker *worker, unsigned *step)
{
    CHECK(!worker->txn.publishing);
    if (worker->txn.event_count > 0) {
        *step = 0;
        return worker_flush(worker);
    }
    if (wal_state(worker->workers->wal) == WAL_CLOSED) {
        return false;
    }
    spin_pause((*step)++);
    worker_look_at_clock(worker);
    return true;
}

enum hf_status worker_admit(struct worker *worker)
{
    CHECK(worker->admitted_lsn <= worker->lsn);
    if (worker->lsn != worker->admitted_lsn) {
        worker->admitted_lsn = worker->lsn;
        worker->read_only |= wal_admit(worker->workers->wal) == HF_READ_ONLY;
    }
    return worker->read_only ? HF_READ_ONLY : HF_OK;
}

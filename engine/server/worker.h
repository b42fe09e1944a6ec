/* worker.h - what a thread needs while it executes a request: a transaction, and room for its
 * records.
 *
 * Taken from the engine's stock of them for one request at a time: there are as many as there have
 * been requests at once, and each has a slot of its own in the core.
 *
 * Threads: any; a worker belongs to one at a time. Invariant: nothing is published without an LSN,
 * and a worker is released with an empty transaction. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/spin.h"
#include "base/timekeeper.h"
#include "core/inventory.h"
#include "wal/wal.h"

/* The workers of an engine. */
struct workers {
    struct inventory *inventory;
    struct wal *wal;
    struct timekeeper *time;
    /* Written by each request: not where the pointers are. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t
        digest; /* of recovery, and of all that has been published since */
    struct spin lock;
    struct worker *free;
    struct worker *spent; /* left with events when the log closed: those orders must stay invisible
                             until the process ends */
    unsigned count;       /* made so far, at most THREADS_MAX */
};

struct engine_call;

struct worker {
    struct worker *next;
    struct workers *workers;
    uint64_t lsn;             /* end of the last record that this request appended; 0: none */
    int64_t shown_ahead_ms;   /* what deadlines are shown with: time_shown_ms */
    bool depends_on_tail;     /* an outcome was a refusal or a replay: rule 3 */
    uint32_t lines_decided;   /* since the clock was last read */
    uint64_t admitted_lsn;    /* `lsn` when the log was last asked whether it takes more */
    bool read_only;           /* it does not: the rest of the request is refused */
    uint64_t append_ns;       /* of this request: in the stage SLOWEST_APPEND (slowest.h) */
    uint32_t lines_unpaused;  /* decided since others were last let in between */
    struct engine_call *call; /* whose request it executes; NULL: nobody's */
    uint8_t *records;         /* WAL_APPEND_BYTES_MAX */
    struct txn txn;
};

/* digest: of the inventory now. */
void workers_init(struct workers *workers, struct inventory *inventory, struct wal *wal,
                  struct timekeeper *time, uint64_t digest);

/* A worker with this slot in the core. NULL: out of memory. */
struct worker *worker_new(struct workers *workers, unsigned slot);

/* NULL is allowed. */
void worker_free(struct worker *worker);

/* All of a list. */
void workers_free(struct worker *list);

/* Takes the present time for the worker's decisions and answers. */
void worker_look_at_clock(struct worker *worker);

/* The monotonic clock of the worker's engine, now. */
uint64_t worker_monotonic_ns(const struct worker *worker);

/* A worker with an empty transaction and the present time; waits for one if all THREADS_MAX are
 * in use. NULL: out of memory, or the log is closed and no worker comes free any more. */
struct worker *worker_acquire(struct workers *workers);

/* Returns the worker to the engine. usable false: its transaction could not be appended. */
void worker_release(struct worker *worker, bool usable);

/* Appends and publishes what the transaction holds. False: the log is closed. */
bool worker_flush(struct worker *worker);

/* After TXN_AGAIN: flushes, or pauses when there is nothing to flush. `step` counts the pauses,
 * from 0. False: the log is closed, the decision can't be made. */
bool worker_again(struct worker *worker, unsigned *step);

/* May the request start one more order? What was admitted has room for a flush or two, but one
 * request may make many. OK, or READ_ONLY when the disk has filled up since it was started. */
enum hf_status worker_admit(struct worker *worker);

#endif

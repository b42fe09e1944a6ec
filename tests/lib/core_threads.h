/* core_threads.h - threads with a transaction each on one inventory, for tests of the core.
 *
 * A row of numbers under a lock stands for the log (core_rig.h). A test starts workers, tells those
 * that run until then that it has ended, joins them, and checks what they left.
 *
 * Threads: see each function. */
#ifndef TESTS_LIB_CORE_THREADS_H
#define TESTS_LIB_CORE_THREADS_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/core_rig.h"
#include "lib/rng.h"

struct shared {
    struct rig rig; /* its log is under log_mutex */
    pthread_mutex_t log_mutex;
    _Atomic uint64_t now_ms;
    _Atomic uint64_t forgotten; /* orders; the test's own */
    atomic_bool ended;
    uint64_t seed;
};

struct worker {
    struct shared *shared;
    struct txn *txn;
    struct rng rng;
    pthread_t thread;
};

/* The append and the publication: LSNs are dense and given under one lock, as the log gives them.
 * Any thread. */
static inline void publish(struct shared *shared, struct txn *txn)
{
    inventory_publish_begin(txn);
    pthread_mutex_lock(&shared->log_mutex);
    for (uint32_t i = 0; i < txn->event_count; i++) {
        txn->events[i].lsn = shared->rig.lsn += 48;
        shared->rig.digest += txn->events[i].digest_delta;
        rig_log(&shared->rig, &txn->events[i]);
    }
    pthread_mutex_unlock(&shared->log_mutex);
    inventory_publish(txn);
}

static inline void worker_start(struct worker *worker, struct shared *shared, unsigned slot,
                                void *(*run)(void *))
{
    *worker = (struct worker){.shared = shared, .txn = malloc(sizeof *worker->txn)};
    CHECK(worker->txn != NULL);
    CHECK(txn_init(worker->txn, shared->rig.inventory, slot) == HF_OK);
    worker->txn->now_ms = 1000000;
    rng_init(&worker->rng, shared->seed * 100 + slot);
    CHECK(pthread_create(&worker->thread, NULL, run, worker) == 0);
}

static inline void worker_join(struct worker *worker)
{
    CHECK(pthread_join(worker->thread, NULL) == 0);
    txn_deinit(worker->txn);
    free(worker->txn);
}

#endif

/* sleep.h - a thread's sleep, and the count that ends it. Private to engine/wal.
 *
 * No wake is lost: a thread reads the count, checks whether there is anything to do, and then
 * sleeps only while the count is still the one that it read. Whoever has made something to do moves
 * the count.
 *
 * Threads: any number may wait, and any may wake them. */
#ifndef WAL_SLEEP_H
#define WAL_SLEEP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct wal_sleep {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    _Atomic uint64_t count; /* grows with each wake, under the mutex */
};

void wal_sleep_init(struct wal_sleep *sleep);
void wal_sleep_deinit(struct wal_sleep *sleep);

/* The count, to hand to wal_sleep_wait. Takes no lock: may be called while append.lock is held. */
static inline uint64_t wal_sleep_count(struct wal_sleep *sleep)
{
    /* acquire: pairs with the release in wal_sleep_wake. A thread that sees a wake also sees the
     * reason for it. */
    return atomic_load_explicit(&sleep->count, memory_order_acquire);
}

/* Sleeps until the count is not `seen` any more, at most timeout_ns. */
void wal_sleep_wait(struct wal_sleep *sleep, uint64_t seen, uint64_t timeout_ns);

/* Moves the count and wakes all who sleep. */
void wal_sleep_wake(struct wal_sleep *sleep);

#endif

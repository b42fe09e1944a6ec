/* sleep.c - a thread's sleep, and the count that ends it.
 *
 * Threads: any number may wait, and any may wake them. */
#include "wal/sleep.h"

#include <errno.h>
#include <time.h>

#include "base/check.h"

void wal_sleep_init(struct wal_sleep *sleep)
{
    pthread_condattr_t attributes;
    CHECK(pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&sleep->cond, &attributes) == 0);
    CHECK(pthread_condattr_destroy(&attributes) == 0);
    CHECK(pthread_mutex_init(&sleep->mutex, NULL) == 0);
    atomic_init(&sleep->count, 0);
}

void wal_sleep_deinit(struct wal_sleep *sleep)
{
    pthread_cond_destroy(&sleep->cond);
    pthread_mutex_destroy(&sleep->mutex);
}

void wal_sleep_wait(struct wal_sleep *sleep, uint64_t seen, uint64_t timeout_ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_ns;
    until.tv_sec += (time_t)(ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    pthread_mutex_lock(&sleep->mutex);
    while (wal_sleep_count(sleep) == seen &&
           pthread_cond_timedwait(&sleep->cond, &sleep->mutex, &until) != ETIMEDOUT) {
    }
    pthread_mutex_unlock(&sleep->mutex);
}

void wal_sleep_wake(struct wal_sleep *sleep)
{
    pthread_mutex_lock(&sleep->mutex);
    /* release: pairs with the acquire in wal_sleep_count. */
    atomic_fetch_add_explicit(&sleep->count, 1, memory_order_release);
    pthread_mutex_unlock(&sleep->mutex);
    /* Not under the mutex: who is woken takes it at once. */
    pthread_cond_broadcast(&sleep->cond);
}

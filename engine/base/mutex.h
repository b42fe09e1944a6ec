/* mutex.h - taking a mutex where a test may choose which thread runs (base/schedule.h).
 *
 * A pthread mutex, and no more. In a build with schedule points a waiter does not sleep in the
 * kernel, where a test that runs one thread at a time could not see it, but comes to a point again
 * and again.
 *
 * Threads: any. */
#ifndef BASE_MUTEX_H
#define BASE_MUTEX_H

#include <pthread.h>
#include <sched.h>

#include "base/schedule.h"

static inline void mutex_lock(pthread_mutex_t *mutex)
{
#ifdef HOLDFAST_SCHEDULE
    SCHEDULE_POINT("mutex.lock");
    while (pthread_mutex_trylock(mutex) != 0) {
        SCHEDULE_WAIT("mutex");
        sched_yield();
    }
    SCHEDULE_POINT("mutex.locked");
#else
    pthread_mutex_lock(mutex);
#endif
}

static inline void mutex_unlock(pthread_mutex_t *mutex)
{
    pthread_mutex_unlock(mutex);
    SCHEDULE_POINT("mutex.unlocked");
}

#endif

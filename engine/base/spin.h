/* spin.h - a lock for critical sections of some hundred nanoseconds that make no system call.
 *
 * Threads: any. Not fair, not recursive. A waiter spins, then yields its processor, so that a
 * holder that was preempted gets to run (two cores are common). */
#ifndef BASE_SPIN_H
#define BASE_SPIN_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/schedule.h"

struct spin {
    atomic_bool locked;
};

/* Waits one step of a spin loop; call with a count from 0 up. Yields from the 100th step on. */
static inline void spin_pause(unsigned step)
{
    SCHEDULE_WAIT("spin");
    if (step >= 100) {
        sched_yield();
    } else {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
}

static inline bool spin_try_lock(struct spin *spin)
{
    /* acquire: pairs with the release in spin_unlock. */
    return !atomic_load_explicit(&spin->locked, memory_order_relaxed) &&
           !atomic_exchange_explicit(&spin->locked, true, memory_order_acquire);
}

static inline void spin_lock(struct spin *spin)
{
    SCHEDULE_POINT("spin.lock");
    for (unsigned step = 0; !spin_try_lock(spin); step++) {
        spin_pause(step);
    }
    SCHEDULE_POINT("spin.locked");
}

static inline void spin_unlock(struct spin *spin)
{
    atomic_store_explicit(&spin->locked, false, memory_order_release);
    SCHEDULE_POINT("spin.unlocked");
}

#endif

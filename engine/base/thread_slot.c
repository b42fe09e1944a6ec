/* thread_slot.c - a small dense number for each thread. Threads: any; lock-free. */
#include "base/thread_slot.h"

#include <stdatomic.h>

#include "base/limits.h"

/* The thread's slot + 1; 0 until the first use. */
static _Thread_local unsigned own_slot_plus_1;

unsigned thread_slot(void)
{
    static atomic_uint next_slot;
    if (own_slot_plus_1 == 0) {
        /* relaxed: the number itself is all that is shared. */
        unsigned taken = atomic_fetch_add_explicit(&next_slot, 1, memory_order_relaxed);
        own_slot_plus_1 = taken % THREADS_MAX + 1;
    }
    return own_slot_plus_1 - 1;
}

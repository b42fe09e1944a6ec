/* hiccups.h - how late the machine wakes a thread that has asked to sleep for a millisecond.
 *
 * No program on the machine can answer on time more often than this thread wakes on time: a
 * scheduler that gives the core to others, an interrupt, a hypervisor that runs somebody else. So
 * the tail of a latency is judged beside this one, of the same run. Each sleep counts once, however
 * late it ends: a hiccup of 10 ms is one value, not ten. The thread has the priority that any
 * thread has, and a timer slack of 1 ns, so that none of the lateness is what the kernel allows
 * itself. Source: jHiccup (Gil Tene), in one thread. */
#ifndef MACHINE_HICCUPS_H
#define MACHINE_HICCUPS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/histogram.h"

#define HICCUPS_SLEEP_NS     1000000u
#define HICCUPS_SECONDS_MAX  3600.0
#define HICCUPS_SPINNING_MAX 1024u

struct hiccups_plan {
    double warm_up_s;  /* slept through in the same way before that, and not counted; 0 or more */
    double seconds;    /* what is counted; more than 0 */
    uint32_t spinning; /* threads that do nothing but spin meanwhile, 0..HICCUPS_SPINNING_MAX */
};

struct hiccups {
    struct histogram late; /* ns from when the thread should have woken to when it ran */
    double seconds;        /* that were counted; less than planned when it was stopped */
};

/* Measures on the calling thread, whose timer slack it changes for good. It ends after both times
 * of the plan, or within a sleep or two of *stop becoming true; the spinning threads have ended
 * then, too. Returns 0, or an errno value when a spinning thread could not be started. */
int hiccups_measure(const struct hiccups_plan *plan, const atomic_bool *stop,
                    struct hiccups *hiccups);

#endif

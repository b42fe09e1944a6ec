/* pace.h - the checkpointer's pauses: how hard it presses while the engine has work.
 *
 * Pauses after each step of its work leave it only a share of one processor. Priorities would do it
 * more exactly, but a process without privileges can't raise one again.
 *
 * Threads: the checkpointer's; pacer_stop from any. */
#ifndef SERVER_PACE_H
#define SERVER_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/limits.h"
#include "wal/wal.h"

#define IDLE_BYTES_A_SECOND MIB(10) /* of log: 200 000 orders/s count as little to do */

struct pacer {
    const struct clock *clock;
    struct wal *wal;
    uint64_t wal_bytes_max;
    bool pauses;      /* false: one thread does everything, and none is made */
    atomic_bool stop; /* give up */
    uint64_t step_ns; /* when the present step began */
    uint64_t look_ns; /* when the load was read last */
    uint64_t look_lsn;
    uint32_t pause_percent; /* how long pauses are, in percent of a step; 0: none */
};

void pacer_init(struct pacer *pacer, const struct clock *clock, struct wal *wal,
                uint64_t wal_bytes_max);

/* The next pause returns false, and all after it. */
void pacer_stop(struct pacer *pacer);

/* True after pacer_stop. */
bool pacer_stopped(const struct pacer *pacer);

/* Before the first step. */
void pace_begin(struct pacer *pacer);

/* Pauses after a step. False: give up, the engine stops. */
bool pace(struct pacer *pacer);

/* The same for checkpoint_build(). context: the pacer. */
bool pace_build(void *context, uint64_t done, uint64_t total);

/* Pauses between the pieces in which a file is unlinked; shorter as the log grows. False: give up,
 * the engine stops. context: the pacer. */
bool pace_unlink(void *context);

#endif

/* engine_internal.h - the engine's struct, for the files of the engine alone. */
#ifndef SERVER_ENGINE_INTERNAL_H
#define SERVER_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/spin.h"
#include "base/timekeeper.h"
#include "server/checkpointer.h"
#include "server/engine.h"
#include "server/forgetter.h"

struct engine {
    struct engine_options options;
    struct storage *storage;
    const struct clock *clock;
    struct inventory *inventory;
    struct wal *wal;
    uint64_t started_ns;
    struct timekeeper time; /* ticked by the expirer, or by who steps the engine */
    _Atomic uint64_t digest;
    _Atomic uint64_t expired; /* orders, by this process */

    struct spin workers_lock;
    struct worker *workers_free;
    struct worker *workers_spent; /* left with events when the log closed: those orders must stay
                                     invisible until the process ends */
    unsigned worker_count;        /* made so far, at most THREADS_MAX */

    struct worker *expirer; /* made at open: expiry never waits for a worker */
    struct forgetter forgetter;
    struct checkpointer checkpointer;
    pthread_t expirer_thread;
    bool expirer_running;
    atomic_bool expirer_stop;
};

#endif

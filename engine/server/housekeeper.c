/* housekeeper.c - what is done all the time beside requests: expiry, forgetting, memory ahead of
 * use.
 *
 * Threads: one, the housekeeper's own, with a worker of its own; in a simulation the only one. */
#include "server/housekeeper.h"

#include <time.h>

#include "server/engine_internal.h"
#include "server/worker.h"

#define EXPIRER_TICK_NS 1000000L /* deadlines are kept to the millisecond */
/* When very many are due at once, buyers don't wait for them: a rest after each 4 transactions of
 * 1024 orders, some 300 us. */
#define EXPIRE_TRANSACTIONS 4u
#define EXPIRER_REST_NS     250000L
#define AHEAD_STEPS         4u       /* of 2 MiB a tick: more orders than the engine can take */
#define EXPIRER_IDLE_NS     5000000L /* while nothing is held */

/* In at most so many transactions. *more: some are left. Returns how many expired. */
uint64_t expire_due(struct engine *engine, uint32_t transactions_max, bool *more)
{
    struct worker *worker = engine->expirer;
    uint64_t count = 0;
    /* Expiry is work like any other: it waits while the log takes none. */
    *more = wal_admit(engine->wal) == HF_OK;
    for (uint32_t i = 0; *more && i < transactions_max; i++) {
        worker->txn.now_ms = timekeeper_engine_ms(&engine->time);
        bool again = inventory_expire(&worker->txn) == TXN_AGAIN;
        uint32_t events = worker->txn.event_count;
        bool flushed = worker_flush(worker);
        count += flushed ? events : 0;
        *more = flushed && again && wal_admit(engine->wal) == HF_OK;
    }
    atomic_fetch_add_explicit(&engine->expired, count, memory_order_relaxed);
    return count;
}

void *expirer_main(void *argument)
{
    struct engine *engine = argument;
    /* acquire: pairs with the release in engine_stop. */
    while (!atomic_load_explicit(&engine->expirer_stop, memory_order_acquire)) {
        long sleep_ns = EXPIRER_IDLE_NS;
        timekeeper_tick(&engine->time);
        if (inventory_next_deadline_ms(engine->inventory) != UINT64_MAX) {
            bool more;
            expire_due(engine, EXPIRE_TRANSACTIONS, &more);
            sleep_ns = more ? EXPIRER_REST_NS : EXPIRER_TICK_NS;
        }
        forgetter_step(engine);
        inventory_tidy(engine->inventory);
        bool busy = engine->forgetter.cut_lsn != 0; /* in the middle of a pass */
        for (unsigned i = 0; i < AHEAD_STEPS && inventory_ahead(engine->inventory); i++) {
            busy = true; /* orders come in: stay ahead of them */
        }
        if (busy && sleep_ns > EXPIRER_TICK_NS) {
            sleep_ns = EXPIRER_TICK_NS;
        }
        nanosleep(&(struct timespec){.tv_nsec = sleep_ns}, NULL);
    }
    return NULL;
}

/* housekeeper.c - what is done all the time beside requests: expiry, forgetting, memory ahead of
 * use.
 *
 * Threads: one, the housekeeper's own, with a worker of its own; in a simulation the only one. */
#include "server/housekeeper.h"

#include <time.h>

#include "base/check.h"

#define EXPIRER_TICK_NS 1000000L /* deadlines are kept to the millisecond */
/* When very many are due at once, buyers don't wait for them: a pause after each 4 transactions of
 * 1024 orders, some 300 us. */
#define EXPIRE_TRANSACTIONS 4u
#define EXPIRER_REST_NS     250000L
#define AHEAD_STEPS         4u       /* of 2 MiB a tick: more orders than the engine can take */
#define EXPIRER_IDLE_NS     5000000L /* while nothing is held */

static_assert(EXPIRER_REST_NS < EXPIRER_TICK_NS, "what is due is not left for longer than a tick");
static_assert(EXPIRER_TICK_NS <= EXPIRER_IDLE_NS, "idle is not more often than busy");
static_assert(EXPIRER_IDLE_NS < 1000000000L, "tv_nsec");
static_assert(EXPIRE_TRANSACTIONS > 0, "each tick expires something");

enum hf_status housekeeper_init(struct housekeeper *housekeeper, struct workers *workers,
                                uint64_t retain_ms, uint64_t orders_max,
                                const struct wal_marks *marks)
{
    CHECK(workers->count < THREADS_MAX);
    CHECK(marks->count <= WAL_MARKS_MAX);
    *housekeeper = (struct housekeeper){
        .inventory = workers->inventory, .wal = workers->wal, .time = workers->time};
    unsigned slot = workers->count++;
    housekeeper->worker = worker_new(workers, slot);
    if (!housekeeper->worker) {
        return HF_NO_MEMORY;
    }
    forgetter_init(&housekeeper->forgetter, housekeeper->worker, retain_ms, orders_max, marks);
    return HF_OK;
}

void housekeeper_deinit(struct housekeeper *housekeeper)
{
    CHECK(!housekeeper->running);
    worker_free(housekeeper->worker);
    housekeeper->worker = NULL;
}

/* In at most so many transactions. *more: some are left. Returns how many expired. */
uint64_t expire_due(struct housekeeper *housekeeper, uint32_t transactions_max, bool *more)
{
    struct worker *worker = housekeeper->worker;
    CHECK(transactions_max > 0);
    /* What could not be appended stays there when the log is closed. */
    CHECK(worker->txn.event_count == 0 || wal_state(housekeeper->wal) == WAL_CLOSED);
    uint64_t count = 0;
    /* Expiry is work like any other: it waits while the log takes none. */
    *more = wal_admit(housekeeper->wal) == HF_OK;
    for (uint32_t i = 0; *more && i < transactions_max; i++) {
        worker->txn.now_ms = timekeeper_engine_ms(housekeeper->time);
        bool again = inventory_expire(&worker->txn) == TXN_AGAIN;
        uint32_t events = worker->txn.event_count;
        bool flushed = worker_flush(worker);
        CHECK(events <= TXN_EVENTS_MAX);
        CHECK(!flushed || worker->txn.event_count == 0);
        count += flushed ? events : 0;
        *more = flushed && again && wal_admit(housekeeper->wal) == HF_OK;
    }
    atomic_fetch_add_explicit(&housekeeper->expired, count, memory_order_relaxed);
    return count;
}

static void *expirer_main(void *argument)
{
    struct housekeeper *housekeeper = argument;
    /* acquire: pairs with the release in housekeeper_stop. */
    while (!atomic_load_explicit(&housekeeper->stop, memory_order_acquire)) {
        long sleep_ns = EXPIRER_IDLE_NS;
        timekeeper_tick(housekeeper->time);
        if (inventory_next_deadline_ms(housekeeper->inventory) != UINT64_MAX) {
            bool more;
            expire_due(housekeeper, EXPIRE_TRANSACTIONS, &more);
            sleep_ns = more ? EXPIRER_REST_NS : EXPIRER_TICK_NS;
        }
        forgetter_step(&housekeeper->forgetter);
        inventory_tidy(housekeeper->inventory);
        bool busy = housekeeper->forgetter.cut_lsn != 0; /* in the middle of a pass */
        for (unsigned i = 0; i < AHEAD_STEPS && inventory_prefault(housekeeper->inventory); i++) {
            busy = true; /* orders come in: stay ahead of them */
        }
        if (busy && sleep_ns > EXPIRER_TICK_NS) {
            sleep_ns = EXPIRER_TICK_NS;
        }
        nanosleep(&(struct timespec){.tv_nsec = sleep_ns}, NULL);
    }
    return NULL;
}

enum hf_status housekeeper_start(struct housekeeper *housekeeper)
{
    CHECK(housekeeper->worker != NULL);
    CHECK(!housekeeper->running);
    if (pthread_create(&housekeeper->thread, NULL, expirer_main, housekeeper) != 0) {
        return HF_NO_MEMORY;
    }
    housekeeper->running = true;
    return HF_OK;
}

void housekeeper_stop(struct housekeeper *housekeeper)
{
    CHECK(housekeeper->running);
    /* release: pairs with the acquire in expirer_main. */
    atomic_store_explicit(&housekeeper->stop, true, memory_order_release);
    pthread_join(housekeeper->thread, NULL);
    housekeeper->running = false;
}

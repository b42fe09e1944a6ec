/* housekeeper.h - what is done all the time beside requests: expiry, forgetting, memory ahead of
 * use.
 *
 * Threads: one, the housekeeper's own, with a worker of its own; in a simulation the only one. */
#ifndef SERVER_HOUSEKEEPER_H
#define SERVER_HOUSEKEEPER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/forgetter.h"
#include "server/worker.h"

struct housekeeper {
    struct inventory *inventory;
    struct wal *wal;
    struct timekeeper *time; /* ticked by the thread, or by the caller of engine_tick() */
    struct worker *worker;   /* made at open: expiry never waits for a worker */
    struct forgetter forgetter;
    _Atomic uint64_t expired; /* orders, by this process */
    pthread_t thread;
    bool running;
    atomic_bool stop;
};

/* Takes a worker of its own. The rest as for forgetter_init. OK or NO_MEMORY. */
enum hf_status housekeeper_init(struct housekeeper *housekeeper, struct workers *workers,
                                uint64_t retain_ms, uint64_t orders_max,
                                const struct wal_marks *marks);

/* Gives its worker's memory back. The thread has ended. */
void housekeeper_deinit(struct housekeeper *housekeeper);

/* OK or NO_MEMORY. */
enum hf_status housekeeper_start(struct housekeeper *housekeeper);

/* Ends the thread, after what it is doing. */
void housekeeper_stop(struct housekeeper *housekeeper);

/* Expires what is due, in at most so many transactions. *more: some are left. Returns how many
 * expired. */
uint64_t expire_due(struct housekeeper *housekeeper, uint32_t transactions_max, bool *more);

#endif

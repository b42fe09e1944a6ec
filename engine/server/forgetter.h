/* forgetter.h - forgets orders that ended long ago, a few at a time.
 *
 * Passes over the order table; each forgets what ended before the LSN that the log had reached
 * retain_ended_ms before the pass began, in engine time: a wall clock has no influence. Forgetting
 * is logged (ORDER_FORGOTTEN), so that replay forgets the same ones.
 *
 * Threads: the housekeeper's. */
#ifndef SERVER_FORGETTER_H
#define SERVER_FORGETTER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/inventory.h"
#include "server/worker.h"
#include "wal/marks.h"

struct forgetter {
    struct inventory *inventory;
    struct wal *wal;
    struct timekeeper *time;
    struct worker *worker; /* the housekeeper's */
    uint64_t retain_ms;    /* 0: orders are remembered for ever */
    uint64_t orders_max;
    struct wal_marks marks;
    struct order_cursor cursor;
    uint64_t cut_lsn; /* of the present pass; 0: none */
    struct hint_cursor hints;
    /* Of the present pass. */
    uint64_t orders_known; /* when it began */
    uint64_t hinted;       /* orders that only their hint kept, so far */
    bool sweeping;         /* hints, before going through the orders once more */
    bool swept;
    uint64_t looks_a_ms;
    uint64_t looked_ms;    /* when the pass was last continued */
    uint64_t next_pass_ms; /* not before */
    uint64_t forgotten;    /* orders, by this process */
};

/* marks: when the log was where, of the time before. */
void forgetter_init(struct forgetter *forgetter, struct worker *worker, uint64_t retain_ms,
                    uint64_t orders_max, const struct wal_marks *marks);

/* Reads some thousands of orders, if a pass is under way or due. Returns how many were
 * forgotten. */
uint64_t forgetter_step(struct forgetter *forgetter);

/* A whole pass; for simulations. */
uint64_t forgetter_run(struct forgetter *forgetter);

#endif

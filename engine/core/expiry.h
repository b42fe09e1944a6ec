/* expiry.h - finds the orders whose deadline has come: timing wheels of order handles.
 *
 * There are EXPIRY_WHEELS wheels, so that threads seldom wait for each other. Each wheel has three
 * levels of 4096 buckets: of 1 ms, of 4.096 s and of 4.66 h. A deadline is entered at the lowest
 * level that reaches it (beyond 2.2 years: in the last bucket). When its bucket comes due it moves
 * down a level, until it is in the bucket of its own millisecond. Bitmaps skip empty buckets, so
 * jumps of time cost nothing.
 *
 *     level 2   one bucket = 4096 of level 1     entered: 4.66 h and more ahead
 *     level 1   one bucket = 4096 of level 0     entered: 4.096 s and more ahead
 *     level 0   one bucket = 1 ms
 *     overdue   what was entered for a time that the wheel has passed (time that went back, too)
 *
 * Entries are hints: a handle means only that its order may be due then. The thread that takes a
 * handle reads the order. If the order is due later (it was extended, or the hint came down a
 * level), the thread enters the handle again; if the order is no longer held, it drops the handle.
 * So each held order has exactly one hint, at or before its deadline, and nothing is searched when
 * an order ends or is extended.
 *
 * A bucket is a chain of 64-byte chunks of 15 handles: 4.3 bytes an order.
 *
 * Threads: any. Each call takes a wheel's spin lock; to enter many hints, take it once with
 * expiry_lock(). One thread at a time takes handles out. Under a wheel's lock only the chunk pool's
 * lock is taken. No allocation after init.
 * Source: Varghese and Lauck, Hashed and Hierarchical Timing Wheels, SOSP 1987. */
#ifndef CORE_EXPIRY_H
#define CORE_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/status.h"

#define EXPIRY_WHEELS 16u
#define EXPIRY_TAKE   15u /* the most handles that one expiry_take returns */

struct expiry;

/* hints_max: the most handles that are entered at one time. NO_MEMORY when address space is
 * refused. */
enum hf_status expiry_init(struct expiry **out, uint64_t hints_max);

/* NULL is allowed. */
void expiry_deinit(struct expiry *expiry);

/* Enters a hint; call expiry_add between expiry_lock and expiry_unlock of a wheel
 * (0..EXPIRY_WHEELS-1).
 * at_ms: when to check the handle's order; any time, also one that has
 * passed. now_ms: the present time, or 0 if it is not known; it only sets an empty wheel's time. */
void expiry_lock(struct expiry *expiry, unsigned wheel);
void expiry_unlock(struct expiry *expiry, unsigned wheel);
void expiry_add(struct expiry *expiry, unsigned wheel, uint32_t handle, uint64_t at_ms,
                uint64_t now_ms);

/* Takes up to EXPIRY_TAKE handles out of the wheel that may be due at now_ms; returns how many, 0
 * when none are due. The caller checks each order and enters its handle again if the order still
 * needs it. One thread at a time. */
uint32_t expiry_take(struct expiry *expiry, unsigned wheel, uint64_t now_ms,
                     uint32_t handles[EXPIRY_TAKE]);

/* How far a sweep through a wheel has come; all zero: at its beginning. */
struct expiry_cursor {
    uint32_t bucket; /* of all levels, one after the other */
    bool done;
};

/* Takes up to EXPIRY_TAKE handles out of the wheel, due or not, going through its buckets: the
 * caller drops those that no order needs any more and enters the others again. Returns how many; 0
 * at the end (cursor->done). A handle that a sweep has taken can't come due until it is entered
 * again, so continue soon. One thread at a time, the one that calls expiry_take. */
uint32_t expiry_sweep(struct expiry *expiry, unsigned wheel, struct expiry_cursor *cursor,
                      uint32_t handles[EXPIRY_TAKE]);

/* True when expiry_take(wheel, now_ms) would return a handle. */
bool expiry_due(struct expiry *expiry, unsigned wheel, uint64_t now_ms);

/* A time at or before the first at which any wheel may have a due handle; UINT64_MAX: all wheels
 * are empty. Any thread. */
uint64_t expiry_next_ms(struct expiry *expiry);

/* The number of hints that are entered now. Any thread. */
uint64_t expiry_hints(struct expiry *expiry);

#endif

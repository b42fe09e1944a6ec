/* expiry.h - which orders come due when: timing wheels of handles.
 *
 * EXPIRY_WHEELS wheels, so that threads seldom meet; each has three levels of 4096 buckets: of
 * 1 ms, of 4.096 s, of 4.66 h. A deadline is entered at the level that reaches it (beyond 2.2
 * years: in the last bucket), and moves down a level when its bucket comes due, to the bucket of
 * its own millisecond in the end. Empty buckets are skipped by bitmaps, so jumps of time cost
 * nothing.
 *
 *     level 2   one bucket = 4096 of level 1     entered: 4.66 h and more ahead
 *     level 1   one bucket = 4096 of level 0     entered: 4.096 s and more ahead
 *     level 0   one bucket = 1 ms
 *     overdue   what was entered for a time that the wheel has passed (time that went back, too)
 *
 * Entries are hints: a handle says only that its order may be due then. Whoever takes it looks at
 * the order and enters it anew if it is due later (it was extended, or came down a level), or drops
 * it if it is held no more. So each held order has exactly one hint, at or before its deadline, and
 * nothing is searched when an order ends or is extended.
 *
 * A bucket is a chain of 64-byte chunks of 15 handles: 4.3 bytes an order.
 *
 * Threads: any; a wheel's spin lock per call or, for many hints, per expiry_lock(). Taking is for
 * one thread at a time. No lock is taken inside but the chunk pool's. No allocation after init.
 * Source: Varghese and Lauck, Hashed and Hierarchical Timing Wheels, SOSP 1987. */
#ifndef CORE_EXPIRY_H
#define CORE_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/status.h"

#define EXPIRY_WHEELS 16u
#define EXPIRY_TAKE   15u /* handles that one expiry_take gives at most */

struct expiry;

/* hints_max: the most handles that are entered at once. NO_MEMORY when address space is refused. */
enum hf_status expiry_init(struct expiry **out, uint64_t hints_max);

/* NULL is allowed. */
void expiry_deinit(struct expiry *expiry);

/* Enters hints: between expiry_lock and expiry_unlock of a wheel (0..EXPIRY_WHEELS-1).
 * at_ms: when to look at the handle; any time, passed ones too. now_ms: the present, or 0 if it is
 * not known; it only places the wheel when it is empty. */
void expiry_lock(struct expiry *expiry, unsigned wheel);
void expiry_unlock(struct expiry *expiry, unsigned wheel);
void expiry_add(struct expiry *expiry, unsigned wheel, uint32_t handle, uint64_t at_ms,
                uint64_t now_ms);

/* Takes up to EXPIRY_TAKE handles out of the wheel that may be due at now_ms; returns how many, 0
 * when there are none. The caller looks at each order and enters it anew if it is not done with.
 * One thread at a time. */
uint32_t expiry_take(struct expiry *expiry, unsigned wheel, uint64_t now_ms,
                     uint32_t handles[EXPIRY_TAKE]);

/* Where a sweep through a wheel stands; zero: at its beginning. */
struct expiry_cursor {
    uint32_t bucket; /* of all levels, one after the other */
    bool done;
};

/* Takes up to EXPIRY_TAKE handles out of the wheel, due or not, going through its buckets: to drop
 * those that are of no use any more and enter the others anew. Returns how many; 0 at the end
 * (cursor->done). What is in the hands of a sweep is not due until it is entered again: go on soon.
 * One thread at a time, the one that takes. */
uint32_t expiry_sweep(struct expiry *expiry, unsigned wheel, struct expiry_cursor *cursor,
                      uint32_t handles[EXPIRY_TAKE]);

/* True when expiry_take(wheel, now_ms) would give something. */
bool expiry_due(struct expiry *expiry, unsigned wheel, uint64_t now_ms);

/* A time at or before the first at which any wheel may give something; UINT64_MAX: all empty.
 * Any thread. */
uint64_t expiry_next_ms(struct expiry *expiry);

/* Hints entered. Any thread. */
uint64_t expiry_hints(struct expiry *expiry);

#endif

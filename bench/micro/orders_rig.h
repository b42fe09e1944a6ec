/* orders_rig.h - the core as the order and expiry suites drive it: no log, no clock, no codec.
 *
 * Order number n has an id, a buyer and an item that follow from n alone. Work is done in batches
 * as the engine does it: prefetch some orders ahead, decide up to a transaction's worth, publish.
 * Functions CHECK that each order came out as it must. Plain enough for C++. Threads: one. */
#ifndef MICRO_ORDERS_RIG_H
#define MICRO_ORDERS_RIG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct orders_rig;

/* items: 1 or more, with stock for any number of orders. spread_ms: deadlines lie within so many
 * milliseconds (1: all at once). Never fails (aborts). */
struct orders_rig *orders_rig_make(uint64_t orders_max, uint32_t items, uint32_t spread_ms);
void orders_rig_free(struct orders_rig *rig);

/* Orders first .. first+count-1. */
void orders_rig_reserve(struct orders_rig *rig, uint64_t first, uint32_t count);

/* The two halves alone: decide at most 1000, then publish them. */
void orders_rig_decide(struct orders_rig *rig, uint64_t first, uint32_t count);
void orders_rig_publish(struct orders_rig *rig);

/* Orders 0 .. count-1 into an empty table for 64 M, one by one, with the engine's housekeeping
 * between them. least_ns[i] becomes the time of order i if it is less than what is there; so what
 * other processes do falls out after some rounds. */
void orders_rig_grow(uint64_t count, uint32_t *least_ns);

/* Existing orders by number: the first answer again; what a reader sees; commit. */
void orders_rig_replay(struct orders_rig *rig, const uint64_t *numbers, uint32_t count);
void orders_rig_lookup(struct orders_rig *rig, const uint64_t *numbers, uint32_t count);
void orders_rig_commit(struct orders_rig *rig, const uint64_t *numbers, uint32_t count);

/* Expires all that is held: all are due. Returns how many; *longest_ns: CPU time of the longest
 * transaction. */
uint64_t orders_rig_expire(struct orders_rig *rig, uint64_t *longest_ns);

#ifdef __cplusplus
}
#endif

#endif

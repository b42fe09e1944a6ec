/* parts_rig.h - what threads share on the way of an order, each part alone.
 *
 * For finding out what one more core is worth: bench/scaling.sh. Plain enough for C++.
 * Threads: parts_* functions with a slot from as many as there are slots, each with its own. */
#ifndef MICRO_PARTS_RIG_H
#define MICRO_PARTS_RIG_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct parts_rig;

/* Room for so many orders and their deadlines, all of it in memory from the start. Never fails
 * (aborts). */
struct parts_rig *parts_rig_make(uint64_t orders_max);
void parts_rig_free(struct parts_rig *rig);

/* `count` times: a spin lock that all share, with one addition inside. */
void parts_lock(struct parts_rig *rig, uint32_t count);

/* `count` additions to one counter that all share. */
void parts_add(struct parts_rig *rig, uint32_t count);

/* Orders first .. first+count-1 into the order table: shard lock, look-up, entry, index. */
void parts_enter(struct parts_rig *rig, unsigned slot, uint64_t first, uint32_t count);

/* Deadlines of as many orders, into the slot's wheel, or all slots' into one wheel. The wheel is
 * locked for 64 at a time, as publishing does it. */
void parts_deadlines(struct parts_rig *rig, unsigned slot, bool same_wheel, uint64_t first,
                     uint32_t count);

#ifdef __cplusplus
}
#endif

#endif

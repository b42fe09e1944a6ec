/* replay.h - replay and loading by several threads at once: one lane each.
 *
 * A lane applies the events of the orders that are its own, by the order table's shards, in the
 * order of the log; so no two lanes meet in an order or a shard. What events do to stock is sums,
 * which commute: each lane adds up its own, and replay_lane_finish() puts them into stock. Limits
 * and tickets go to their tables at once, which have locks; they commute as well.
 *
 * What is not an order's (definitions, adjustments, moves) is applied with inventory_apply() while
 * no lane is at work.
 *
 * One thing does not commute: how full the tables are on the way. A lane that runs ahead of another
 * may find no room where one thread alone would; so FULL from one of several lanes calls for
 * another try with one.
 *
 * Threads: one a lane, and before anything else runs; init and finish one after another. */
#ifndef CORE_REPLAY_H
#define CORE_REPLAY_H

#include "core/image.h"
#include "core/inventory.h"

struct replay_lane;

/* slot: the lane's thread slot, another for each lane. NO_MEMORY. */
enum hf_status replay_lane_init(struct replay_lane **out, struct inventory *inventory,
                                unsigned slot);

/* Puts what the lane added up into stock. Once, after all lanes' work. */
void replay_lane_finish(struct replay_lane *lane);

/* Frees it. NULL is allowed. */
void replay_lane_deinit(struct replay_lane *lane);

/* Sizes the order table of an empty inventory, made with orders_ready 0, for so many orders: it
 * need not grow for them. Lanes take the memory with the orders, each its own. */
void replay_expect(struct inventory *inventory, uint64_t orders);

/* How many lanes can have work of their own, of `wanted` (1 up): a power of two. */
unsigned replay_lanes(const struct inventory *inventory, unsigned wanted);

/* Whose an order is, of so many lanes; hash: of its id. Lanes are in the order of hashes. */
unsigned replay_lane_of(const struct inventory *inventory, uint64_t hash, unsigned lanes);

/* Brings what replay_apply will look at into the cache: first the index, some orders later what
 * that points to. The order is the lane's own. */
void replay_prefetch_index(const struct replay_lane *lane, uint64_t hash);
void replay_prefetch_order(const struct replay_lane *lane, uint64_t hash);

/* Applies the event of an order of the lane's own; hash: of its id. Fills in event->digest_delta.
 * OK, FULL, or DAMAGED when the event does not fit the state or is not an order's. */
enum hf_status replay_apply(struct replay_lane *lane, struct event *event, uint64_t hash);

/* Applies an order's event to the order in hand, which is in no table, and its units to the lane's
 * sums, limits and tickets. ORDER_HELD needs an empty hand; ORDER_FORGOTTEN empties it. Fills in
 * event->digest_delta. OK; FULL; DAMAGED when it does not fit. */
enum hf_status replay_fold(const struct replay_lane *lane, struct order_hand *hand,
                           struct event *event);

/* Sum of the digests of what was applied so far. */
uint64_t replay_digest(const struct replay_lane *lane);

/* Takes the memory of so many orders, entered or not: one of `parts` equal parts of it, each by
 * another thread, while no lane is at work. */
void replay_populate(struct inventory *inventory, uint64_t orders, unsigned part, unsigned parts);

/* One of `parts` equal parts of inventory_replayed(), each by another thread: part from 0,
 * 1..EXPIRY_WHEELS parts. */
void inventory_replayed_part(struct inventory *inventory, unsigned part, unsigned parts);

#endif

/* replay.h - replay and loading by several threads at once: one lane each.
 *
 * Each shard of the order table belongs to one lane. A lane applies the events of its own orders in
 * the order of the log, so two lanes never use the same order or shard. What events do to stock are
 * sums, which commute: each lane adds up its own, and replay_lane_finish() adds them to stock.
 * Limits and tickets are changed in their tables at once, under the tables' locks; these changes
 * commute as well.
 *
 * Events that are not of orders (definitions, adjustments, moves) are applied with
 * inventory_apply() while no lane works.
 *
 * One thing does not commute: how full the tables are on the way. A lane that is faster than
 * another may find no room where a single thread would find some. So when one of several lanes
 * returns FULL, try again with one lane.
 *
 * Threads: one for each lane, before anything else runs; init and finish are called one after
 * another. */
#ifndef CORE_REPLAY_H
#define CORE_REPLAY_H

#include "core/image.h"
#include "core/inventory.h"

struct replay_lane;

/* slot: the lane's thread slot, a different one for each lane. NO_MEMORY. */
enum hf_status replay_lane_init(struct replay_lane **out, struct inventory *inventory,
                                unsigned slot);

/* Adds the lane's sums to stock. Once, after all lanes have ended their work. */
void replay_lane_finish(struct replay_lane *lane);

/* Frees a lane. NULL is allowed. */
void replay_lane_deinit(struct replay_lane *lane);

/* Sizes the order table of an empty inventory, made with orders_ready 0, so that it need not grow
 * for `orders` orders. Each lane takes the memory of its own orders as it enters them. */
void replay_expect(struct inventory *inventory, uint64_t orders);

/* How many of `wanted` lanes (1 or more) can have work of their own: a power of two. */
unsigned replay_lanes(const struct inventory *inventory, unsigned wanted);

/* Which of `lanes` lanes an order belongs to. hash: id_hash() of its id. Lanes are in the order of
 * hashes. */
unsigned replay_lane_of(const struct inventory *inventory, uint64_t hash, unsigned lanes);

/* Brings what replay_apply will read into the cache: first call _index, and some orders later
 * _order for what the index points to. The order belongs to the lane. */
void replay_prefetch_index(const struct replay_lane *lane, uint64_t hash);
void replay_prefetch_order(const struct replay_lane *lane, uint64_t hash);

/* Applies an event of an order that belongs to the lane. hash: id_hash() of its id. Fills in
 * event->digest_delta. OK; FULL; or DAMAGED when the event does not fit the state or is not of an
 * order. */
enum hf_status replay_apply(struct replay_lane *lane, struct event *event, uint64_t hash);

/* Applies an order's event to the order in hand, which is in no table, and to the lane's sums,
 * limits and tickets. ORDER_HELD needs an empty hand; ORDER_FORGOTTEN empties it. Fills in
 * event->digest_delta. OK; FULL; DAMAGED when it does not fit. */
enum hf_status replay_fold(const struct replay_lane *lane, struct order_hand *hand,
                           struct event *event);

/* The sum of the digest_delta of all events that the lane has applied so far. */
uint64_t replay_digest(const struct replay_lane *lane);

/* Takes the memory of `orders` orders, entered or not: one of `parts` equal parts, each by another
 * thread, while no lane works. */
void replay_populate(struct inventory *inventory, uint64_t orders, unsigned part, unsigned parts);

/* Does one of `parts` equal parts of inventory_replayed(), each by another thread. part: from 0;
 * parts: 1..EXPIRY_WHEELS. */
void inventory_replayed_part(struct inventory *inventory, unsigned part, unsigned parts);

#endif

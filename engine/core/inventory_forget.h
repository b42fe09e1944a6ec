/* inventory_forget.h - taking ended orders out of the table, live and in replay.
 *
 * Threads: any, under the order's shard lock; or the lane that the order belongs to. */
#ifndef CORE_INVENTORY_FORGET_H
#define CORE_INVENTORY_FORGET_H

#include "core/inventory_internal.h"
#include "core/replay_lane.h"

/* Counts the units that an ended order has sold as sold by forgotten orders (stock_settle). */
void forget_settle(struct inventory *inventory, const struct order *order);

/* Publishes an ORDER_FORGOTTEN event; under the order's shard lock. */
void forget_publish(struct inventory *inventory, unsigned slot, struct order_shard *shard,
                    uint32_t handle);

/* Replays an ORDER_FORGOTTEN event; fills in its digest_delta. DAMAGED: no such order, or it has
 * not ended. */
enum hf_status forget_apply(const struct replay_lane *lane, struct event *event, uint64_t hash);

#endif

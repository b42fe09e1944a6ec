/* inventory_apply.h - applying an order's event of the log: replay's counterpart of publishing.
 *
 * Threads: one a lane (replay_lane.h). */
#ifndef CORE_INVENTORY_APPLY_H
#define CORE_INVENTORY_APPLY_H

#include "core/inventory_internal.h"
#include "core/replay_lane.h"

/* Whether an ORDER_HELD event is one that can be: items that are known, quantities and grants
 * within their bounds, 1..ORDER_LINES_MAX of them. */
bool order_held_fits(const struct inventory *inventory, const struct event *event);

/* Applies an event of the log to an order that is in the table or in a hand: its lines, state,
 * deadline and LSN, its units in stock, what counts towards its buyer's limit, its tickets; fills
 * in event->digest_delta. For ORDER_HELD the order is zeroed but for what a table sets (id,
 * ORDER_BUSY). The order is nobody else's meanwhile. Not for ORDER_FORGOTTEN. block: memory for the
 * lines, used where the order becomes one with ORDER_BLOCK, else left alone; may be NULL when it
 * does not. OK; DAMAGED: it does not fit; FULL: no room for its buyer or a ticket. Nothing is
 * changed unless it is OK. */
enum hf_status order_apply(const struct replay_lane *lane, struct order *order, struct event *event,
                           struct order_line_view *block);

/* Applies an order's event of the log to the order table; hash: id_hash(event->id), of a shard that
 * is the lane's alone. Fills in event->digest_delta. OK, FULL, or DAMAGED when it does not fit. */
enum hf_status order_event_apply(const struct replay_lane *lane, struct event *event,
                                 uint64_t hash);

#endif

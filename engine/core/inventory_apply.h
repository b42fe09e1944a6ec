/* inventory_apply.h - applying an order's event of the log: what replay does in place of
 * publishing.
 *
 * Threads: one for each lane (replay_lane.h). */
#ifndef CORE_INVENTORY_APPLY_H
#define CORE_INVENTORY_APPLY_H

#include "core/inventory_internal.h"
#include "core/replay_lane.h"

/* Whether an ORDER_HELD event is possible: known items, quantities and grants within their bounds,
 * 1..ORDER_LINES_MAX of them. */
bool order_held_fits(const struct inventory *inventory, const struct event *event);

/* Where an order gets the block for its lines from, when it becomes an order with ORDER_BLOCK. */
struct block_source {
    struct lines *lines; /* gives blocks to an order in the table; NULL: the order is in hand */
    uint32_t handle;     /* of the order in the table */
    struct order_line_view *own; /* of an order in hand: its room for lines */
};

/* Applies an event of the log to an order in the table or in a hand: its lines, state, deadline and
 * LSN, its units in stock, what counts towards its buyer's limit, its tickets. Fills in
 * event->digest_delta. The event fits: ORDER_HELD by order_held_fits(), the others by
 * transition_misfit(). For ORDER_HELD the order is zeroed except for what the table sets (id,
 * ORDER_BUSY). No other thread uses the order. Not for ORDER_FORGOTTEN.
 * OK; FULL: no room for its lines, its buyer or a ticket; DAMAGED: it credits units that were never
 * counted. Unless it is OK, no units, limits or tickets are changed; an order that was to be
 * entered can't be used then. */
enum hf_status order_apply(const struct replay_lane *lane, struct order *order, struct event *event,
                           const struct block_source *source);

/* Applies an order's event of the log to the order table; hash: id_hash(event->id), its shard
 * belongs to the lane. Fills in event->digest_delta. OK, FULL, or DAMAGED when it does not fit. */
enum hf_status order_event_apply(const struct replay_lane *lane, struct event *event,
                                 uint64_t hash);

#endif

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

/* Where an order gets a block for its lines from, when it becomes one with ORDER_BLOCK. */
struct block_source {
    struct lines *lines; /* blocks for the order of this handle; NULL: of an order in hand */
    uint32_t handle;     /* in the order table */
    struct order_line_view *own; /* of an order in hand: room for its lines */
};

/* Applies an event of the log to an order in the table or in a hand: its lines, state, deadline and
 * LSN, its units in stock, what counts towards its buyer's limit, its tickets. Fills in
 * event->digest_delta. The event fits: ORDER_HELD by order_held_fits(), the others by
 * transition_misfit(). For ORDER_HELD the order is zeroed except for what the table sets (id,
 * ORDER_BUSY). Nobody else uses the order. Not for ORDER_FORGOTTEN.
 * OK; FULL: no room for its lines, its buyer or a ticket; DAMAGED: it credits what was never
 * counted. Unless it is OK, no units, limits or tickets are changed; an order that was to be
 * entered is then of no use. */
enum hf_status order_apply(const struct replay_lane *lane, struct order *order, struct event *event,
                           const struct block_source *source);

/* Applies an order's event of the log to the order table; hash: id_hash(event->id), of a shard that
 * is the lane's alone. Fills in event->digest_delta. OK, FULL, or DAMAGED when it does not fit. */
enum hf_status order_event_apply(const struct replay_lane *lane, struct event *event,
                                 uint64_t hash);

#endif

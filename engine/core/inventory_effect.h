/* inventory_effect.h - the effects of an order's event outside the order: how many units it sells
 * and credits, and what it adds to limits, tickets, the digest and the shard's counts. Publishing
 * and replay share them.
 *
 * Threads: any; the order is under its shard's lock, or belongs to a lane (replay_lane.h). */
#ifndef CORE_INVENTORY_EFFECT_H
#define CORE_INVENTORY_EFFECT_H

#include "base/check.h"
#include "base/schedule.h"
#include "core/inventory_internal.h"

/* ---- Stock ---- */

/* How many units of a line an event sells, and how many it credits (below 0: takes). */
struct line_moves {
    int64_t sold;
    int64_t credited;
};

static inline struct line_moves line_moves(const struct order *order, const struct event *event,
                                           enum order_state state_after, uint32_t i)
{
    struct order_line_view line = transition_line(order, i);
    struct order_line_view after = transition_line_after(&line, event->type, event_qty(event, i));
    struct line_units was = line_units((enum order_state)order->state, &line);
    struct line_units is = line_units(state_after, &after);
    return (struct line_moves){is.sold - was.sold, was.held + was.sold - is.held - is.sold};
}

/* ---- Limits and tickets ---- */

/* False for most orders: their lines then need not be read. */
static inline bool counts_matter(const struct order *order)
{
    return order->flags & (ORDER_COUNTED | ORDER_BLOCK);
}

/* Changes how many of a line's units count towards its buyer's limit, and the units of its ticket.
 * Only replay raises them (above 0); publishing and replay credit them (below 0). OK; FULL;
 * DAMAGED: units are credited that were never counted. Unless it is OK, nothing is changed. */
enum hf_status counts_change(struct inventory *inventory, uint64_t buyer,
                             const struct order_line_view *line, struct line_counts counts);

/* What a late commit takes again for a line when it is decided, in addition to stock. */
struct line_counts counts_again(const struct order_line_view *line);

/* ---- Digest ---- */

/* What a new order's event adds to the digest: the part of transition.h, and the units that count
 * towards limits. */
uint64_t held_digest(const struct inventory *inventory, const struct event *event);

/* The same for an event of an existing order. */
uint64_t edit_digest(const struct inventory *inventory, const struct order *order,
                     const struct event *event);

/* ---- The order and its shard's counts ---- */

static inline void held_count(struct order_shard *shard)
{
    counter_add(&shard->known, 1);
    counter_add(&shard->held, 1);
}

/* Call it after an event was applied to an order that was held before. */
static inline void held_uncount(struct order_shard *shard, const struct order *order)
{
    if (order->state != ORDER_HELD) {
        counter_add(&shard->held, (uint64_t)-1);
    }
}

static inline void held_show(struct order *order, uint64_t lsn)
{
    CHECK(order->state == ORDER_NONE);
    SCHEDULE_POINT("publish.held");
    order->state = ORDER_HELD;
    order->lsn = lsn;
    order->flags &= (uint8_t)~ORDER_BUSY;
}

#endif

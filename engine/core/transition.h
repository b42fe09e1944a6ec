/* transition.h - what an event does to an order, line by line, and to the state's digest: one
 * definition for deciding, publishing and replay.
 *
 * A line has qty units. How many of them are held or sold follows from the order's state:
 *
 *     held = qty - released                 in state HELD
 *     sold = committed - returned           in states COMMITTED and RETURNED
 *
 * `released` is what was released while the order was held; what a commit left out is qty -
 * released - committed. So a committed order still shows what was released before. A one-line order
 * without a block has only its state, which applies to its whole line.
 *
 * The digest is a sum modulo 2^64, so that events from many threads add up in any order: of
 * order_digest() over all orders; of each item's stocked, held and sold, times a number that is the
 * item's own; of each limited buyer's units, times a number that is the pair's own; and of a hash
 * of each definition and adjustment. Forgetting an order subtracts its order_digest(); its sold
 * units and its buyer's units stay.
 *
 * Threads: pure functions; entries under their shard's lock. */
#ifndef CORE_TRANSITION_H
#define CORE_TRANSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/event.h"
#include "core/order.h"
#include "core/orders.h"

#define QTY_ALL UINT32_MAX /* a quantity in an event that means all of the line */

static_assert(QTY_MAX < QTY_ALL, "no quantity means all");

/* Units of one line. */
struct line_units {
    int64_t held;
    int64_t sold;
};

static inline struct line_units line_units(enum order_state state,
                                           const struct order_line_view *line)
{
    struct line_units units = {0, 0};
    if (state == ORDER_HELD) {
        units.held = (int64_t)line->qty - line->released;
    } else if (state == ORDER_COMMITTED || state == ORDER_RETURNED) {
        units.sold = (int64_t)line->committed - line->returned;
    }
    return units;
}

/* Units that are held or sold. */
static inline int64_t line_live(enum order_state state, const struct order_line_view *line)
{
    struct line_units units = line_units(state, line);
    return units.held + units.sold;
}

/* A line, or a grant (from 0), of an order in its present state; its `line` is the number in the
 * request. */
struct order_line_view transition_line(const struct order *order, uint32_t line);

/* How many lines the request had: a shaped order may have more or fewer grants. */
uint32_t transition_asked_lines(const struct order *order);

/* A line, or a grant (from 0), as an ORDER_HELD event enters it. */
struct order_line_view transition_held_line(const struct event *event, uint32_t i);

/* True when the order of an ORDER_HELD event has a block of its line_count from the start. */
static inline bool transition_enters_block(const struct event *event)
{
    return event->grants != NULL || event->line_count > 1;
}

/* Fills a new entry's lines, buyer and deadline. block: memory for the lines when
 * transition_enters_block, else not used. */
void transition_enter(struct order *order, const struct event *event,
                      struct order_line_view *block);

/* The line after an event of this type; qty: of the event's quantities, or QTY_ALL. */
struct order_line_view transition_line_after(const struct order_line_view *line,
                                             enum event_type type, uint32_t qty);

/* The quantity that an event names for a line. */
static inline uint32_t event_qty(const struct event *event, uint32_t line)
{
    return event->quantities ? event->quantities[line] : QTY_ALL;
}

/* Why an event does not fit this order (static text); NULL: it fits. Replay uses it to check the
 * log, and the deciding side to check itself. Not for ORDER_HELD. */
const char *transition_misfit(const struct order *order, const struct event *event);

/* The order's state after a fitting event. */
enum order_state transition_state(const struct order *order, const struct event *event);

/* True when a one-line order without a block needs one for the state that the event gives it. */
bool transition_needs_block(const struct order *order, const struct event *event);

/* How a fitting event changes the units of a line that count towards the buyer's limit, and those
 * of its ticket; below 0: they are credited. Both follow the units of the line that are held or
 * sold. */
struct line_counts {
    int64_t counted;
    int64_t presale;
};
struct line_counts transition_counts(const struct order *order, const struct event *event,
                                     uint32_t i);

/* What a fitting event adds to the digest. */
uint64_t transition_digest(const struct order *order, const struct event *event);

/* Changes the entry: lines, state, deadline and LSN; clears ORDER_BUSY. block: for a one-line order
 * that needs one (transition_needs_block), else NULL. */
void transition_apply(struct order *order, const struct event *event,
                      struct order_line_view *block);

/* What entering an order adds to the digest. */
uint64_t transition_held_digest(const struct event *event);

/* ---- The digest's parts ---- */

/* Of an order with all its lines, without its units. */
uint64_t order_digest(const struct order *order);

/* Of an item's numbers. */
uint64_t digest_stocked(uint32_t item, int64_t units);
uint64_t digest_units(uint32_t item, struct line_units units);

/* Of units that count towards a buyer's limit of a SKU; buyer and sku as in buyers.h. */
uint64_t digest_buyer(uint32_t sku, uint64_t buyer, int64_t units);

#endif

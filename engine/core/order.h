/* order.h - the types that the order table, lines and transitions share: an order's states, what a
 * reader sees of an order and of its lines, and a position in a walk over all orders.
 *
 * Threads: any; plain values. */
#ifndef CORE_ORDER_H
#define CORE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"

/* Values as on the wire and in the log. */
enum order_state {
    ORDER_NONE = 0,
    ORDER_HELD = 1,
    ORDER_COMMITTED = 2,
    ORDER_RELEASED = 3,
    ORDER_EXPIRED = 4,
    ORDER_RETURNED = 5,
};

/* States in which an order may be forgotten. */
static inline bool state_ended(enum order_state state)
{
    return state == ORDER_COMMITTED || state == ORDER_RELEASED || state == ORDER_EXPIRED ||
           state == ORDER_RETURNED;
}

/* One order as a reader sees it. */
struct order_view {
    struct id128 id;
    enum order_state state;
    uint64_t buyer;
    uint64_t deadline_ms;
    uint64_t lsn; /* of the last change */
    uint32_t line_count;
};

/* One line of an order as a reader sees it. Of a shaped order, whose lines may be filled from
 * several items or with less than was asked: one grant. */
struct order_line_view {
    uint32_t item;
    uint32_t qty;      /* granted */
    uint32_t released; /* while the order was held; without what a commit left out */
    uint32_t committed;
    uint32_t returned;    /* since the order was made */
    uint32_t presale_qty; /* this and the rest as in struct order_grant */
    uint32_t ticket;
    uint16_t line;
    bool counted;
};

/* How far a walk through the order table has come; all zero: at its beginning. It stays valid for
 * the table's life, whatever is entered and removed in the meantime. */
struct order_cursor {
    uint32_t shard;
    uint32_t tag;
    bool done;
};

#endif

/* event.h - events are outcomes: what the log holds and replay applies. They are never requests.
 *
 * An event is made when an operation is decided (inventory_reserve.c, inventory_edit.c,
 * inventory_admin.c), is encoded by wal/record.c, and is applied by inventory_apply() without
 * deciding anything again. Pointers in an event are valid until the transaction that made it is
 * published (live) or the next record is read (replay). */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/id.h"

/* Values are in the log: they are never reused. */
enum event_type {
    EVENT_ORDER_HELD = 1,      /* id, buyer, deadline_ms, lines */
    EVENT_ORDER_COMMITTED = 2, /* id; quantities: units committed per line, the rest is released */
    EVENT_ORDER_RELEASED = 3, /* id; quantities: units released per line since the order was made */
    EVENT_ORDER_EXPIRED = 4,  /* id */
    EVENT_ORDER_EXTENDED = 5, /* id, deadline_ms */
    EVENT_ORDER_RETURNED = 6, /* id; quantities: units returned per line since the order was made */
    EVENT_ORDER_FORGOTTEN = 7, /* id: it had ended, and is no longer remembered */
    EVENT_SKU_DEFINED = 16,    /* sku */
    EVENT_ITEM_DEFINED = 17,   /* item */
    EVENT_STOCK_ADJUSTED = 18, /* id, adjust */
    EVENT_STOCK_MOVED = 19,    /* id, move */
};

enum event_flags {
    EVENT_LATE = 1,    /* ORDER_COMMITTED: it had expired; its units were taken again */
    EVENT_FORCED = 2,  /* STOCK_ADJUSTED, STOCK_MOVED: it was forced, although it leaves less than
                          was held and sold */
    EVENT_COUNTED = 4, /* ORDER_HELD of one plain line: its units count towards its buyer's limit */
};

/* One line of an order: a number of units of one item. */
struct order_line {
    uint32_t item; /* handle, from 1 */
    uint32_t qty;  /* 1..QTY_MAX */
};

/* A number of units of one item, given to one line of an order. A plain order has one grant for
 * each line, of the line's own item, and is described by its lines alone. An order that was shaped
 * by policies, fallbacks, limits or a pre-sale is described by its grants. */
struct order_grant {
    uint32_t item;
    uint32_t qty;         /* 1..QTY_MAX */
    uint32_t presale_qty; /* how many of qty were beyond what was in stock; 0..qty */
    uint32_t ticket;      /* its place among the item's pre-sold units; 0 when presale_qty is 0 */
    uint16_t line;        /* from 1: the line that it fills */
    bool counted;         /* it counts towards the buyer's limit */
};

/* The sale rules of one SKU. Times are Unix ms. */
struct sku_rule {
    struct bytes sku;         /* 1..CODE_BYTES_MAX bytes of UTF-8 */
    struct bytes label;       /* 0..LABEL_BYTES_MAX */
    uint32_t limit_per_buyer; /* 0: none */
    uint64_t opens_at_ms;     /* 0: always open */
    uint64_t closes_at_ms;    /* 0: never closes */
    bool paused;
    uint32_t hold_ms;     /* 0: the engine's default */
    uint32_t hold_ms_max; /* 0: the engine's */
};

/* One item: a SKU in a pool. */
struct item_def {
    uint32_t item; /* handle; dense, from 1 */
    struct bytes sku;
    struct bytes pool;   /* 1..CODE_BYTES_MAX bytes of UTF-8 */
    int64_t safety;      /* 0..STOCK_MAX */
    int64_t presale_cap; /* 0..STOCK_MAX */
    bool hot;
};

/* One change of an item's stock. */
struct stock_change {
    uint32_t item;
    int64_t delta;
    int64_t stocked; /* afterwards */
    struct bytes reason;
    struct bytes reference;
};

/* A move of units from one pool of a SKU to another. */
struct stock_move {
    uint32_t from; /* items */
    uint32_t to;
    int64_t units;        /* 1..STOCK_MAX */
    int64_t from_stocked; /* afterwards */
    int64_t to_stocked;
    struct bytes reason;
    struct bytes reference;
};

struct event {
    enum event_type type;
    uint32_t flags; /* enum event_flags */
    struct id128 id;
    uint64_t buyer;
    uint64_t deadline_ms;
    uint32_t line_count;            /* how many lines or grants; as many quantities, if not NULL */
    struct order_line one;          /* the line, when line_count is 1 in ORDER_HELD */
    const struct order_line *lines; /* ORDER_HELD of a plain order; &one or elsewhere */
    const struct order_grant *grants; /* ORDER_HELD of a shaped order; NULL: it is plain */
    uint64_t contents;                /* ORDER_HELD with grants: order_contents() */
    const uint32_t *quantities;       /* COMMITTED, RELEASED, RETURNED: one for each line or grant;
                                         NULL: all of the order */
    union {
        const struct sku_rule *sku;
        const struct item_def *item;
        const struct stock_change *adjust;
        const struct stock_move *move;
    };
    uint64_t digest_delta; /* what the event adds to the state's digest, modulo 2^64 */
    uint64_t lsn;          /* end of the event's record; set by the code that appends it */
};

/* Upper bounds of an event's record in the log. Core uses them to count how many bytes a
 * transaction will take. The sizes themselves are in wal/record.c, which checks each of them
 * against its bound. */
#define EVENT_BYTES          40u /* of an order, without quantities */
#define EVENT_HELD_BYTES     48u /* ORDER_HELD, one plain line */
#define EVENT_HELD_LINES(n)  (64u + 8u * (n))
#define EVENT_HELD_GRANTS(n) (96u + 24u * (n)) /* ORDER_HELD of a shaped order */
#define EVENT_QUANTITIES(n)  (40u + 4u * (n))
#define EVENT_ADMIN_BYTES    1024u /* a definition, an adjustment or a move */

/* The bound of one event, by its type and its number of lines. */
static inline uint64_t event_bytes_max(const struct event *event)
{
    if (event->type >= EVENT_SKU_DEFINED) {
        return EVENT_ADMIN_BYTES;
    }
    if (event->type == EVENT_ORDER_HELD) {
        return event->grants            ? EVENT_HELD_GRANTS(event->line_count)
               : event->line_count == 1 ? EVENT_HELD_BYTES
                                        : EVENT_HELD_LINES(event->line_count);
    }
    return event->quantities ? EVENT_QUANTITIES(event->line_count) : EVENT_BYTES;
}

#endif

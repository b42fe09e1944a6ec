/* txn.h - one thread's work between two appends: the events that it has decided, their memory, and
 * upper bounds of their sizes in the log.
 *
 * Threads: one for each transaction.
 * Invariant: the events' records fit into one append: encoded_bytes, which counts an upper bound
 * for each of them, never exceeds WAL_APPEND_BYTES_MAX. */
#ifndef CORE_TXN_H
#define CORE_TXN_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "core/adjustments.h"
#include "core/catalog.h"
#include "core/event.h"
#include "core/order.h"

struct inventory;

enum txn_step {
    TXN_DONE,  /* decided; the outcome is filled in */
    TXN_AGAIN, /* append and publish what the transaction has (if it has nothing: pause), then call
                  again */
};

/* One thread's work between two appends. Large (some 100 KiB): one per thread, reused. */
struct txn {
    struct inventory *inventory;
    unsigned slot;   /* the thread's slot, 0..THREADS_MAX-1 */
    uint64_t now_ms; /* the time of the decision, from which deadlines count: set by the caller
                        before each operation */
    int64_t wall_ahead_ms; /* wall clock minus now_ms; sales open and close by the wall clock */
    bool publishing;       /* from inventory_publish_begin to the end of inventory_publish */
    uint32_t event_count;
    struct event events[TXN_EVENTS_MAX];
    uint32_t changed[TXN_EVENTS_MAX]; /* the handle of each event's order; private to core */
    struct txn_memory *memory;        /* lines and quantities of the events; private to core */
};

enum hf_status txn_init(struct txn *txn, struct inventory *inventory, unsigned slot);
void txn_deinit(struct txn *txn);

/* ---- Private to core ---- */

#define TXN_ORDERS_BYTES_MAX (WAL_APPEND_BYTES_MAX - EVENT_ADMIN_BYTES)

static_assert(EVENT_HELD_GRANTS(ORDER_LINES_MAX) <= TXN_ORDERS_BYTES_MAX, "any order fits alone");

/* A definition between its decision and its publication, with all memory that it needs. */
struct definition {
    uint32_t sku;                     /* 0: to be made */
    uint32_t item;                    /* 0: to be made, or a SKU's definition */
    const struct catalog_text *code;  /* for a SKU to be made */
    const struct catalog_text *label; /* NULL: the label stays */
    const struct catalog_text *pool;  /* for an item to be made */
    int64_t debited; /* units taken when it was decided: by how many it lowers what is free */
};

struct txn_memory {
    uint64_t encoded_bytes;                         /* upper bound of the events' records */
    uint64_t used_bytes;                            /* of bytes: never more than encoded_bytes */
    struct order_line_view *blocks[TXN_EVENTS_MAX]; /* for transition_apply */
    /* The admin call's event. */
    struct sku_rule sku;
    struct item_def item;
    struct stock_change change;
    struct stock_move move;
    struct definition definition;
    struct adjustment_made made;
    /* Scratch of one decision. */
    uint64_t sort_keys[ORDER_LINES_MAX];
    struct order_line wanted[ORDER_LINES_MAX];
    uint32_t quantities[ORDER_LINES_MAX];
    uint32_t asked[ORDER_LINES_MAX];            /* of an edit, for each line that was asked */
    char reason[208];                           /* that an outcome points to */
    struct order_grant grants[ORDER_LINES_MAX]; /* that an outcome points to */
    /* Lines and quantities that events point to. */
    _Alignas(8) uint8_t bytes[WAL_APPEND_BYTES_MAX];
};

/* True when one more event of this encoded size fits into the transaction; always true for the
 * first one. */
static inline bool txn_has_room(const struct txn *txn, uint64_t bytes)
{
    return txn->event_count == 0 || (txn->event_count < TXN_EVENTS_MAX &&
                                     txn->memory->encoded_bytes + bytes <= TXN_ORDERS_BYTES_MAX);
}

/* Adds an event, for which txn_has_room() was true: zeroed except for its type. handle: its
 * order's, or ORDER_NO_HANDLE. */
struct event *txn_add(struct txn *txn, enum event_type type, uint32_t handle, uint64_t bytes);

/* Memory for the event that is being added, valid until the transaction is published; at most 24
 * bytes less than the event's encoded bytes. */
void *txn_bytes(struct txn *txn, uint64_t bytes);

#endif

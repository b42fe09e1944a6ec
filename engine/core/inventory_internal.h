/* inventory_internal.h - what the files of the inventory share. Nobody else includes it.
 *
 *     inventory.c          init, transactions, reading, counts, digest, verify
 *     inventory_reserve.c  deciding on new orders
 *     inventory_edit.c     deciding on existing orders: commit, release, return, extend, expire
 *     inventory_admin.c    definitions and adjustments
 *     inventory_publish.c  publishing and replay
 *
 * Lock order: an order shard's lock, then stock's or lines'. Wheels' locks are taken with no other
 * held. The admin mutex is outermost. */
#ifndef CORE_INVENTORY_INTERNAL_H
#define CORE_INVENTORY_INTERNAL_H

#include <pthread.h>

#include "core/adjustments.h"
#include "core/catalog.h"
#include "core/expiry.h"
#include "core/inventory.h"
#include "core/lines.h"
#include "core/orders.h"
#include "core/transition.h"

struct inventory {
    struct inventory_options options;
    struct stock *stock;
    struct orders orders;
    struct lines *lines;
    struct expiry *expiry;
    struct catalog *catalog;
    struct adjustments adjustments; /* under admin */
    pthread_mutex_t admin;
};

/* A definition between its decision and its publication: all memory that it needs. */
struct definition {
    uint32_t sku;                     /* 0: to be made */
    uint32_t item;                    /* 0: to be made, or a SKU's definition */
    const struct catalog_text *code;  /* for a SKU to be made */
    const struct catalog_text *label; /* NULL: as it is */
    const struct catalog_text *pool;  /* for an item to be made */
    int64_t debited; /* units taken when it was decided: what it leaves fewer free */
};

/* Upper bounds of what an event takes in the log; wal/record.h has the sizes themselves. */
#define EVENT_BYTES          40u
#define EVENT_HELD_BYTES     48u
#define EVENT_HELD_LINES(n)  (64u + 8u * (n))
#define EVENT_QUANTITIES(n)  (40u + 4u * (n))
#define EVENT_ADMIN_BYTES    1024u
#define TXN_ORDERS_BYTES_MAX (WAL_APPEND_BYTES_MAX - EVENT_ADMIN_BYTES)

static_assert(EVENT_HELD_LINES(ORDER_LINES_MAX) <= TXN_ORDERS_BYTES_MAX, "any order fits alone");

struct txn_memory {
    uint64_t encoded_bytes;                         /* upper bound of the events' records */
    uint64_t used_bytes;                            /* of bytes: never more than encoded_bytes */
    struct order_line_view *blocks[TXN_EVENTS_MAX]; /* for transition_apply */
    /* The admin call's event. */
    struct sku_rule sku;
    struct item_def item;
    struct stock_change change;
    struct definition definition;
    struct adjustment_made made;
    /* Scratch of one decision. */
    uint64_t sort_keys[ORDER_LINES_MAX];
    struct order_line wanted[ORDER_LINES_MAX];
    uint32_t quantities[ORDER_LINES_MAX];
    /* Lines and quantities that events point to. */
    _Alignas(8) uint8_t bytes[WAL_APPEND_BYTES_MAX];
};

/* ---- Transactions (inventory.c) ---- */

/* True when an event of so many encoded bytes fits beside those that the transaction has; always
 * true for the first one. */
static inline bool txn_has_room(const struct txn *txn, uint64_t bytes)
{
    return txn->event_count == 0 || (txn->event_count < TXN_EVENTS_MAX &&
                                     txn->memory->encoded_bytes + bytes <= TXN_ORDERS_BYTES_MAX);
}

/* Adds an event that txn_has_room for: zeroed but for its type. handle: its order's, or
 * ORDER_NO_HANDLE. */
struct event *txn_add(struct txn *txn, enum event_type type, uint32_t handle, uint64_t bytes);

/* Memory for the event that is being added, until the transaction is published; at most as much as
 * its encoded bytes, less 24. */
void *txn_bytes(struct txn *txn, uint64_t bytes);

/* ---- Stock for several lines (inventory_reserve.c) ---- */

/* Takes all lines' units, those of one item together, in the order of items; quantities of 0 are
 * skipped. SOLD_OUT: nothing is taken, *blocking_line is the first line (from 1) of the item that
 * could not be filled. */
enum hf_status units_take(struct txn *txn, const struct order_line *lines, uint32_t line_count,
                          uint32_t *blocking_line);

/* Undoes units_take. */
void units_give_back(struct txn *txn, const struct order_line *lines, uint32_t line_count);

/* Enters the order of an ORDER_HELD event, not yet published; `lines` are the event's. Under the
 * shard's lock, after orders_find. ORDER_NO_HANDLE: the table is full, or out of memory. */
uint32_t order_enter(struct inventory *inventory, unsigned slot, struct order_shard *shard,
                     uint64_t hash, const struct event *event, const struct order_line *lines);

/* ---- How long to hold (inventory_reserve.c) ---- */

/* Gathers what the rules of an order's SKUs say. */
struct hold_rule {
    uint32_t hold_ms;     /* the smallest default; 0: none says */
    uint32_t hold_ms_max; /* the smallest maximum */
    uint32_t max_line;    /* from 1: whose it is; 0: the engine's */
};

struct hold_rule hold_rule_start(const struct inventory *inventory);
void hold_rule_add(struct hold_rule *hold, const struct inventory *inventory,
                   const struct sale_rule *rule, uint32_t line);

/* The time to hold for a request of asked_ms (0: by rule). OK, or INVALID with the outcome's line
 * and reason set. */
enum hf_status hold_rule_apply(const struct hold_rule *hold, const struct inventory *inventory,
                               uint32_t asked_ms, uint32_t *hold_ms, struct order_outcome *outcome);

/* ---- Definitions and adjustments (inventory_admin.c); under the admin lock or in replay ---- */

/* Finds or prepares what a definition needs. OK or FULL. */
enum hf_status definition_of_sku(struct inventory *inventory, const struct sku_rule *rule,
                                 struct definition *definition);
enum hf_status definition_of_item(struct inventory *inventory, const struct item_def *def,
                                  struct definition *definition);

/* What installing it adds to the digest; before it is installed. */
uint64_t definition_sku_digest(const struct inventory *inventory, const struct sku_rule *rule,
                               const struct definition *definition);
uint64_t definition_item_digest(const struct inventory *inventory, const struct item_def *def,
                                const struct definition *definition);

/* Makes it visible. */
void definition_install_sku(struct inventory *inventory, const struct sku_rule *rule,
                            const struct definition *definition);
void definition_install_item(struct inventory *inventory, const struct item_def *def,
                             const struct definition *definition);

/* The digest of a SKU and of an item as they are. */
uint64_t sku_digest(const struct inventory *inventory, uint32_t sku);
uint64_t item_digest(const struct inventory *inventory, uint32_t item);

/* ---- Counters of a shard; under its lock ---- */

static inline void counter_add(_Atomic uint64_t *counter, uint64_t delta)
{
    /* relaxed: one writer at a time, and readers want a sum for people. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + delta,
                          memory_order_relaxed);
}

#endif

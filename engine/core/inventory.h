/* inventory.h - the interface of the core: stock, orders and deadlines. The core does no I/O and
 * reads no clock.
 *
 * An operation has two halves with an append to the log between them:
 *
 *     decide    inventory_reserve() and its like: checks, takes units, marks the order as busy, and
 *               puts an event into the transaction. Nothing is visible yet.
 *     append    the caller gives every event's record its LSN.
 *     publish   inventory_publish(): the new states become visible, units are credited, deadlines
 *               are entered.
 *
 * This is the discipline of docs/design.md, section Discipline: debit, append, credit; and nothing
 * is visible before it has an LSN. A transaction gathers up to TXN_EVENTS_MAX events, so one append
 * serves many.
 *
 * While an order is busy in a transaction that is not published yet, nothing else can be decided
 * about it: the functions then return TXN_AGAIN. A caller that gets TXN_AGAIN first appends and
 * publishes what it has, and only then waits. So two transactions never wait for each other.
 *
 * Threads: any, one transaction each. Functions under "Admin" are called by one thread at a time,
 * between inventory_admin_lock() and inventory_admin_unlock(). Functions under "Replay" are called
 * before any thread uses the rest. */
#ifndef CORE_INVENTORY_H
#define CORE_INVENTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "core/event.h"
#include "core/expiry.h"
#include "core/order.h"
#include "core/stock.h"
#include "core/txn.h"
#include "holdfast/status.h"

struct inventory;

struct inventory_options {
    uint32_t items_max;       /* 1..ITEMS_MAX */
    uint64_t orders_max;      /* 1..ORDERS_MAX: all orders that are remembered, also ended ones */
    uint32_t hold_ms_default; /* when neither the order nor its SKUs' rules set it */
    uint32_t hold_ms_max;     /* when the SKUs' rules don't set it */
    uint64_t buyers_max;      /* pairs of a buyer and a limited SKU that are counted at one time; 0:
                                 orders_max */
    uint64_t tickets_max;     /* pre-sale tickets with units, see presale_init(); 0: orders_max */
    uint64_t orders_ready; /* for how many orders memory is taken at start, so that the first orders
                              of a rush meet no page fault; 0: none; more than orders_max: all */
};

/* The result of an operation on one order. */
struct order_outcome {
    enum hf_status status;
    bool replayed;          /* this is the first answer again, nothing was changed */
    uint32_t blocking_line; /* from 1: the line that was refused; 0: none */
    uint64_t deadline_ms;   /* reserve, extend: the order's present one */
    enum order_state state; /* the order's present state; ORDER_NONE: no such order */
    const char *reason;     /* which rule was broken; NULL: none. Valid as long as grants */
    uint32_t grant_count;   /* reserve: how many grants the order has now. 0 when it has no units,
                               which its state then shows, and when every line has all that it
                               asked, from its own item, with nothing pre-sold */
    const struct order_grant *grants; /* valid until the transaction's next operation */
};

/* Values as on the wire. */
enum line_policy {
    LINE_ALL = 0,      /* the order fails if the line can't be filled */
    LINE_UP_TO = 1,    /* filled with what is free, at least min_qty */
    LINE_OPTIONAL = 2, /* left out if it can't be filled */
};

/* How a line may be filled, beyond its item and quantity. */
struct line_shape {
    enum line_policy policy;
    uint32_t min_qty; /* UP_TO: 0..qty */
    bool split; /* fill from the item and the fallbacks, one after another; else all from one */
    uint32_t fallback_count;   /* 0..LINE_FALLBACKS_MAX */
    const uint32_t *fallbacks; /* known items, in order */
};

struct order_request {
    struct id128 id;
    uint64_t buyer;                  /* 0: none */
    uint32_t hold_ms;                /* 0: by rule or default */
    uint32_t line_count;             /* 1..ORDER_LINES_MAX */
    const struct order_line *lines;  /* items known to inventory_has_item; qty 1..QTY_MAX */
    const struct line_shape *shapes; /* one for each line; NULL: all of them plain (LINE_ALL, no
                                        fallbacks). Lines and the fallbacks of split lines are
                                        together at most ORDER_LINES_MAX */
};

/* A number of units of one line of an existing order. */
struct line_qty {
    uint32_t line; /* from 1 */
    uint32_t qty;
};

struct order_edit {
    struct id128 id;
    bool late_ok;        /* commit only */
    uint32_t line_count; /* 0: all of the order */
    const struct line_qty *lines;
};

struct adjustment {
    struct id128 id;
    uint32_t item;
    bool has_set_to;
    int64_t delta;  /* when !has_set_to; -STOCK_MAX..STOCK_MAX */
    int64_t set_to; /* when has_set_to; 0..STOCK_MAX */
    bool has_expected;
    int64_t expected; /* stocked must be this, else CONFLICT */
    bool force;
    struct bytes reason;    /* at most REASON_BYTES_MAX */
    struct bytes reference; /* at most REASON_BYTES_MAX */
};

/* A move of units from one pool of a SKU to another, as one adjustment. */
struct move {
    struct id128 id;
    uint32_t from; /* items of one SKU */
    uint32_t to;
    int64_t units; /* 1..STOCK_MAX */
    bool has_expected;
    int64_t expected; /* from's stocked must be this, else CONFLICT */
    bool force;
    struct bytes reason;
    struct bytes reference;
};

/* Which orders a list contains. */
struct order_filter {
    uint64_t buyer;        /* 0: any */
    const uint32_t *items; /* orders with a line of one of these; NULL: any */
    uint32_t item_count;
    uint32_t states; /* bits 1 << enum order_state; 0: any */
};

struct item_view {
    uint32_t item;
    struct bytes sku;  /* static for the inventory's life */
    struct bytes pool; /* static, too */
    bool hot;
    struct stock_view stock;
};

struct inventory_counts {
    uint64_t items;
    uint64_t skus;
    uint64_t orders_known;
    uint64_t orders_held;
    uint64_t buyers;    /* counted pairs of a buyer and a limited SKU */
    uint64_t deadlines; /* entered: of held orders, and of ended ones whose time has not come */
};

/* NO_MEMORY when address space or memory is refused. */
enum hf_status inventory_init(struct inventory **out, const struct inventory_options *options);
void inventory_deinit(struct inventory *inventory);

/* ---- Orders: any thread ---- */

/* Reserve. OK, SOLD_OUT, FULL, ID_CONFLICT, INVALID (hold too long), NOT_OPEN, CLOSED, PAUSED,
 * BUYER_REQUIRED, LIMIT_EXCEEDED; a repeated request gets OK with replayed set. Lines of one item
 * are added up. The order gets all or nothing, except for what shapes allow. Lines are filled in
 * this sequence: first lines of LINE_ALL without fallbacks; then the least that other lines need
 * (min_qty; all of LINE_ALL), in the order of lines; then the rest of LINE_UP_TO; then
 * LINE_OPTIONAL. A LINE_UP_TO without split is filled from the first item that has the whole
 * quantity, else from the first that has min_qty (at least one). An item that may not be sold now
 * is skipped; when a line that must be filled has no other item, the order is refused by the rule
 * of the line's own item. An order that would get nothing at all is SOLD_OUT. How long it may be
 * held is decided by the SKUs of the units that it got. */
enum txn_step inventory_reserve(struct txn *txn, const struct order_request *request,
                                struct order_outcome *outcome);

/* The transitions of docs/design.md, section States. The request is checked before the state:
 * INVALID, in every state, when a line number or quantity does not fit the order; `reason` names
 * the rule. A commit of an order that is committed must be equal to the first commit, else
 * ID_CONFLICT; `reason` names what was committed. Line numbers are those of the reserve. Where a
 * line has several grants, its first are committed first, and its last are released and returned
 * first. A late commit takes the same grants again, within the limits as they are now:
 * LIMIT_EXCEEDED if the buyer has used up the limit with other orders since. */
enum txn_step inventory_commit(struct txn *txn, const struct order_edit *edit,
                               struct order_outcome *outcome);
enum txn_step inventory_release(struct txn *txn, const struct order_edit *edit,
                                struct order_outcome *outcome);
enum txn_step inventory_return(struct txn *txn, const struct order_edit *edit,
                               struct order_outcome *outcome);
enum txn_step inventory_extend(struct txn *txn, struct id128 id, uint32_t hold_ms,
                               struct order_outcome *outcome);

/* Expires orders whose deadline is at or before txn->now_ms, until the transaction is full.
 * TXN_AGAIN: publish and call again; TXN_DONE: no due order is left (events may have been added in
 * this case, too). At most one thread at a time. */
enum txn_step inventory_expire(struct txn *txn);

/* Marks that the transaction's events are about to get their LSNs. Call it before the append, so
 * that readers read either before the append or after inventory_publish. If it was not called,
 * inventory_publish does it; that is enough where only one thread runs. */
void inventory_publish_begin(struct txn *txn);

/* The flag that the append sets while it waits and has no LSN (publication.h, wal_append_patient).
 */
atomic_bool *inventory_publish_waits(struct txn *txn);

/* Instead of inventory_publish, when there was no append. */
void inventory_publish_cancel(struct txn *txn);

/* Makes the transaction's events visible; events[i].lsn must be set. Empties the transaction. */
void inventory_publish(struct txn *txn);

/* Bring what an order will touch into the processor's cache, in two stages, so that the misses of
 * many orders are under way at one time: inventory_prefetch INVENTORY_INDEX_AHEAD orders before it
 * is decided (its place in the index, the item's rule and counter), and, if the order may exist,
 * inventory_prefetch_order INVENTORY_ENTRY_AHEAD orders before (its entry, found through what the
 * first stage has brought in). item: a known one, or 0: none. Hints. Any thread, no lock. */
#define INVENTORY_INDEX_AHEAD 16u
#define INVENTORY_ENTRY_AHEAD 8u

void inventory_prefetch(const struct inventory *inventory, unsigned slot, struct id128 id,
                        uint32_t item);
void inventory_prefetch_order(const struct inventory *inventory, struct id128 id);

/* ---- Admin: one thread at a time. Each call puts at most one event into the transaction, which
 * must be appended and published before the next admin call. ---- */

void inventory_admin_lock(struct inventory *inventory);
void inventory_admin_unlock(struct inventory *inventory);

/* Sets a SKU's rules; makes the SKU if it is new. OK or FULL. */
enum hf_status inventory_define_sku(struct txn *txn, const struct sku_rule *rule);

/* Sets an item's numbers; makes the item (and its SKU) if it is new. def->item is ignored. *item is
 * its handle. OK or FULL. An unchanged definition makes no event. */
enum hf_status inventory_define_item(struct txn *txn, const struct item_def *def, uint32_t *item);

/* The same for only those fields that a definition names (definitions.h): the others stay as they
 * are. Whether the result is allowed is checked by plan.h, under the same lock. */
enum hf_status inventory_change_sku(struct txn *txn, const struct sku_rule *asked, uint32_t named);
enum hf_status inventory_change_item(struct txn *txn, const struct item_def *asked, uint32_t named,
                                     uint32_t *item);

/* Changes an item's stock. OK (replayed or not), WOULD_OVERSELL, CONFLICT, ID_CONFLICT, FULL,
 * INVALID (beyond STOCK_MAX or below 0). */
enum hf_status inventory_adjust(struct txn *txn, const struct adjustment *asked, bool *replayed);

/* Moves units between two pools of one SKU. As inventory_adjust; also INVALID (other SKUs, the same
 * item). */
enum hf_status inventory_move(struct txn *txn, const struct move *asked, bool *replayed);

/* ---- Forgetting: one thread at a time, which may be the one that expires ---- */

/* Forgets orders that have ended, whose last change is before before_lsn, and whose deadline's hint
 * is gone. Checks up to `look_max` orders from the cursor on. What the orders sold stays sold, what
 * they counted towards limits stays counted; their ids are free again. The ids of adjustments and
 * moves are never forgotten: they are few. *hinted (may be NULL) grows by the number of orders that
 * could be forgotten if they had no hint. TXN_AGAIN: the transaction is full, publish and call
 * again; TXN_DONE: look_max orders were checked, or cursor->done. */
enum txn_step inventory_forget(struct txn *txn, uint64_t before_lsn, struct order_cursor *cursor,
                               uint32_t look_max, uint64_t *hinted);

/* How far a sweep through the deadlines has come; all zero: at its beginning. */
struct hint_cursor {
    unsigned wheel;
    struct expiry_cursor within;
    bool done;
};

/* Drops the deadlines of orders that are no longer held, so that these orders can be forgotten
 * earlier: checks up to look_max deadlines from the cursor on. Returns how many were dropped.
 * Called by the thread that expires orders. */
uint64_t inventory_sweep_hints(struct inventory *inventory, struct hint_cursor *cursor,
                               uint32_t look_max, uint64_t now_ms);

/* Returns some of the memory that tables have outgrown to the system. Returns whether more is left;
 * costs almost nothing when none is. One thread at a time, which may be the one that expires
 * orders. */
bool inventory_tidy(struct inventory *inventory);

/* Takes memory for orders before it is needed, a little at a time. Returns whether more is left to
 * take. Cost and threads as inventory_tidy. */
bool inventory_prefault(struct inventory *inventory);

/* ---- Reading: any thread that is not between inventory_publish_begin and inventory_publish ----
 *
 * inventory_item, inventory_items, inventory_order_covered and inventory_counts each return the
 * state at one LSN: with all records before it, none after it, and nothing that has no LSN yet. */

/* The handle of a SKU in a pool; 0: no such item. Lock-free. */
uint32_t inventory_find_item(const struct inventory *inventory, struct bytes sku,
                             struct bytes pool);
bool inventory_has_item(const struct inventory *inventory, uint32_t item);

/* OK or UNKNOWN_ITEM. */
enum hf_status inventory_item(const struct inventory *inventory, uint32_t item,
                              struct item_view *view);

/* The same for several known items, all at one moment. */
void inventory_items(const struct inventory *inventory, const uint32_t *items, uint32_t count,
                     struct item_view *views);

/* The handles of a SKU's items in all pools, in the order they were defined. Fills in up to max,
 * returns how many the SKU has (0: no such SKU). */
uint32_t inventory_sku_items(const struct inventory *inventory, struct bytes sku, uint32_t *items,
                             uint32_t max);

/* SKUs in the order of their codes' bytes: finds the first whose code is greater than `after`
 * (empty: the first of all). False: no such SKU. *sku is static for the inventory's life. */
bool inventory_next_sku(struct inventory *inventory, struct bytes after, struct bytes *sku);

/* A SKU's rules. OK or NOT_FOUND. */
enum hf_status inventory_sku(const struct inventory *inventory, struct bytes sku,
                             struct sku_rule *rule);

/* An order and up to max of its lines, in its present state; an order that is not published yet is
 * not found.
 * OK or NOT_FOUND. */
enum hf_status inventory_order(struct inventory *inventory, struct id128 id,
                               struct order_view *view, struct order_line_view *lines,
                               uint32_t max);

/* Lists orders that match a filter: checks up to look_max orders from the cursor on, fills in up to
 * max views and returns how many. At the end of the table cursor->done is set. An order that exists
 * from the first call to the last is listed exactly once. */
uint32_t inventory_list_orders(struct inventory *inventory, const struct order_filter *filter,
                               struct order_cursor *cursor, struct order_view *views, uint32_t max,
                               uint32_t look_max);

/* As inventory_order, and for each of the lines what inventory_covered returns for it at that
 * moment. */
enum hf_status inventory_order_covered(struct inventory *inventory, struct id128 id,
                                       struct order_view *view, struct order_line_view *lines,
                                       uint32_t *covered, uint32_t max);

/* How many of a grant's pre-sold units that are still held or sold the item's stock covers now.
 * Pre-sold units are covered in the order of their tickets, oldest first. */
uint32_t inventory_covered(struct inventory *inventory, const struct order_line_view *grant,
                           enum order_state state);

/* Units of a SKU that count towards a buyer's limit. 0 if the SKU is unknown or not limited. */
uint32_t inventory_buyer_units(struct inventory *inventory, struct bytes sku, uint64_t buyer);

void inventory_counts(const struct inventory *inventory, struct inventory_counts *counts);

/* The earliest time at which inventory_expire may have work; UINT64_MAX: no deadline is entered.
 * May be early, never late. */
uint64_t inventory_next_deadline_ms(const struct inventory *inventory);

/* ---- Replay: before anything else runs ---- */

/* Applies one event of the log; fills in event->digest_delta. OK; FULL; or DAMAGED when the event
 * does not fit the state (an unknown item, an order in the wrong state). */
enum hf_status inventory_apply(struct inventory *inventory, struct event *event);

/* Enters the deadlines of all held orders. Call it after replay or loading, which don't enter them.
 * 20 million take about a second. */
void inventory_replayed(struct inventory *inventory);

/* The digest of the whole state, computed from the tables: equal to the sum of the digest_delta of
 * every event applied or published. Nothing else may run at the same time. */
uint64_t inventory_digest(struct inventory *inventory);

/* Checks every invariant between orders and stock: for each item the units in held and committed
 * orders equal held and sold, and free is what follows from them. True when all of them hold; else
 * false, with the first difference in `what`. Nothing else may run at the same time. */
bool inventory_verify(struct inventory *inventory, char *what, uint32_t what_bytes);

#endif

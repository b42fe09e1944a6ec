/* inventory.h - the core: stock, orders and deadlines behind one door. No I/O, no clock.
 *
 * An operation has two halves with an append to the log between them:
 *
 *     decide    inventory_reserve() and its like: checks, takes units, marks the order as in
 *               somebody's hands, and puts an event into the transaction. Nothing is visible yet.
 *     append    the caller gives every event's record its LSN.
 *     publish   inventory_publish(): the new states become visible, units are given back,
 *               deadlines are entered.
 *
 * That is docs/design.md, Discipline: debit, append, credit; and visible only once
 * there is an LSN. A transaction gathers up to TXN_EVENTS_MAX events, so one append serves many.
 *
 * An order in the hands of a transaction that is not published yet can't be decided on: the
 * functions then say TXN_AGAIN. So that two transactions never wait for each other, a caller that
 * is told TXN_AGAIN first appends and publishes what it has, and only then waits.
 *
 * Threads: any, one transaction each. Functions that say "admin" are called by one thread at a
 * time, between inventory_admin_lock() and inventory_admin_unlock(). Functions that say "replay"
 * are called before any thread uses the rest. */
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
    uint64_t orders_max;      /* 1..ORDERS_MAX: all that are remembered, ended ones too */
    uint32_t hold_ms_default; /* when neither the order nor its rules say */
    uint32_t hold_ms_max;     /* when the rules don't say */
    uint64_t buyers_max;      /* buyers counted at once, one for each limited SKU; 0: orders_max */
    uint64_t tickets_max;     /* pre-sale tickets with units, see presale_init(); 0: orders_max */
    uint64_t orders_ready; /* orders whose memory is made ready at once, so that the first ones of a
                              rush meet no page fault; 0: none; more than orders_max: all */
};

/* What became of one order of a request. */
struct order_outcome {
    enum hf_status status;
    bool replayed;          /* the first answer again, nothing was changed */
    uint32_t blocking_line; /* from 1: the line that was refused; 0: none */
    uint64_t deadline_ms;   /* reserve, extend: the order's present one */
    enum order_state state; /* the order's present state; ORDER_NONE if there is none */
    const char *reason;     /* which rule was broken; NULL: none. Valid as grants are */
    uint32_t grant_count;   /* reserve: the units that the order has now. 0 when it has none, as its
                               state then says, and when every line has all it asked, from its own
                               item, and nothing of it was pre-sold */
    const struct order_grant *grants; /* valid until the transaction's next operation */
};

/* Values as on the wire. */
enum line_policy {
    LINE_ALL = 0,      /* the order fails if the line can't be filled */
    LINE_UP_TO = 1,    /* as many as there are, at least min_qty */
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

/* Names units of one line of an existing order. */
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

/* Units from one pool of a SKU to another, as one adjustment. */
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

/* Which orders a list is of. */
struct order_filter {
    uint64_t buyer;        /* 0: any */
    const uint32_t *items; /* orders with a line of one of these; NULL: any */
    uint32_t item_count;
    uint32_t states; /* bits 1 << enum order_state; 0: any */
};

struct item_view {
    uint32_t item;
    struct bytes sku;  /* static for the inventory's life */
    struct bytes pool; /* likewise */
    bool hot;
    struct stock_view stock;
};

struct inventory_counts {
    uint64_t items;
    uint64_t skus;
    uint64_t orders_known;
    uint64_t orders_held;
    uint64_t buyers;    /* counted, one for each limited SKU */
    uint64_t deadlines; /* entered: of held orders, and of ended ones whose time has not come */
};

/* NO_MEMORY when address space or memory is refused. */
enum hf_status inventory_init(struct inventory **out, const struct inventory_options *options);
void inventory_deinit(struct inventory *inventory);

/* ---- Orders: any thread ---- */

/* Reserve. OK, SOLD_OUT, FULL, ID_CONFLICT, INVALID (hold too long), NOT_OPEN, CLOSED, PAUSED,
 * BUYER_REQUIRED, LIMIT_EXCEEDED; a replay gives OK with replayed set. Lines of one item are added
 * up. All or nothing, but for what shapes allow: first lines of LINE_ALL without fallbacks are
 * filled, then what other lines need at least (min_qty; all of LINE_ALL), in the order of lines,
 * then the rest of LINE_UP_TO, then LINE_OPTIONAL. A LINE_UP_TO without split is of the first item
 * that has the whole quantity, else of the first that has min_qty (at least one). An item that may
 * not be sold now is passed over; when a line that is needed has no other, its own item's rule
 * blocks. An order that would get nothing at all is SOLD_OUT. The hold is as the SKUs of what was
 * given allow. */
enum txn_step inventory_reserve(struct txn *txn, const struct order_request *request,
                                struct order_outcome *outcome);

/* The transitions of docs/design.md, States. What a request says is looked at before the state:
 * INVALID, in every state, when a line number or quantity does not fit the order; `reason` says
 * which rule. A commit of an order that is committed must be the one that was made, else
 * ID_CONFLICT; `reason` says what was committed. Lines are those that were asked: where one has
 * several grants, its first are committed first, and its last released and returned first. A late
 * commit takes the same grants again, within the limits as they are now: LIMIT_EXCEEDED if the
 * buyer has bought elsewhere meanwhile. */
enum txn_step inventory_commit(struct txn *txn, const struct order_edit *edit,
                               struct order_outcome *outcome);
enum txn_step inventory_release(struct txn *txn, const struct order_edit *edit,
                                struct order_outcome *outcome);
enum txn_step inventory_return(struct txn *txn, const struct order_edit *edit,
                               struct order_outcome *outcome);
enum txn_step inventory_extend(struct txn *txn, struct id128 id, uint32_t hold_ms,
                               struct order_outcome *outcome);

/* Expires orders whose deadline is at or before txn->now_ms, as many as the transaction has room
 * for. TXN_AGAIN: publish and call again; TXN_DONE: none is left that is due (events may have
 * been added all the same). At most one thread at a time. */
enum txn_step inventory_expire(struct txn *txn);

/* Says that the transaction's events are about to get their LSNs: call before the append, so that
 * readers look either before it or after inventory_publish. Without it inventory_publish does that:
 * for those who are alone. */
void inventory_publish_begin(struct txn *txn);

/* What the append is to set while it waits and has no LSN (publication.h, wal_append_patient). */
atomic_bool *inventory_publish_waits(struct txn *txn);

/* Instead of inventory_publish, when there was no append. */
void inventory_publish_cancel(struct txn *txn);

/* Makes the transaction's events visible; events[i].lsn must be set. Empties the transaction. */
void inventory_publish(struct txn *txn);

/* Brings what an order's reserve will touch into the cache; call some orders ahead. item: a known
 * one, or 0: none. */
void inventory_prefetch(const struct inventory *inventory, unsigned slot, struct id128 id,
                        uint32_t item);

/* ---- Admin: one thread at a time. Each puts at most one event into the transaction and must be
 * appended and published before the next admin call. ---- */

void inventory_admin_lock(struct inventory *inventory);
void inventory_admin_unlock(struct inventory *inventory);

/* Sets a SKU's rules, making the SKU if there is none. OK or FULL. */
enum hf_status inventory_define_sku(struct txn *txn, const struct sku_rule *rule);

/* Sets an item's numbers, making it (and its SKU) if there is none; def->item is ignored. *item is
 * its handle. OK or FULL. An unchanged definition makes no event. */
enum hf_status inventory_define_item(struct txn *txn, const struct item_def *def, uint32_t *item);

/* The same of the fields that a definition names alone (definitions.h): the others stay as they
 * are. Whether the result may be is plan.h's to say, under the same lock. */
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
 * is gone: looks at up to `look_max` orders from the cursor on. What they sold stays sold, what
 * they counted towards limits stays counted; their ids are free again. Adjustments' and moves' ids
 * are never forgotten: they are few. *hinted (NULL: not asked) grows by those that only their hint
 * keeps. TXN_AGAIN: the transaction is full, publish and call again; TXN_DONE: look_max were looked
 * at, or cursor->done. */
enum txn_step inventory_forget(struct txn *txn, uint64_t before_lsn, struct order_cursor *cursor,
                               uint32_t look_max, uint64_t *hinted);

/* Where a sweep through the deadlines stands; zero: at its beginning. */
struct hint_cursor {
    unsigned wheel;
    struct expiry_cursor within;
    bool done;
};

/* Drops the deadlines of orders that are held no more, so that they can be forgotten before: looks
 * at up to look_max from the cursor on. Returns how many were dropped. The thread that expires. */
uint64_t inventory_sweep_hints(struct inventory *inventory, struct hint_cursor *cursor,
                               uint32_t look_max, uint64_t now_ms);

/* Gives back some of the memory that tables have grown out of. Returns whether there is more; next
 * to free when there is none. One thread at a time, which may be the one that expires. */
bool inventory_tidy(struct inventory *inventory);

/* Takes memory for orders ahead of need, a little at a time. Returns whether there is more. As
 * inventory_tidy. */
bool inventory_prefault(struct inventory *inventory);

/* ---- Reading: any thread, but none that is between inventory_publish_begin and _publish ----
 *
 * inventory_item, inventory_items, inventory_order_covered and inventory_counts each tell the state
 * at one LSN: all records before it, none behind it, and nothing that has no LSN yet. */

/* The handle of a SKU in a pool; 0 if there is none. Lock-free. */
uint32_t inventory_find_item(const struct inventory *inventory, struct bytes sku,
                             struct bytes pool);
bool inventory_has_item(const struct inventory *inventory, uint32_t item);

/* OK or UNKNOWN_ITEM. */
enum hf_status inventory_item(const struct inventory *inventory, uint32_t item,
                              struct item_view *view);

/* The same of several, all at one moment: of known items. */
void inventory_items(const struct inventory *inventory, const uint32_t *items, uint32_t count,
                     struct item_view *views);

/* The handles of all pools of a SKU, in the order they were defined: fills up to max, returns how
 * many there are (0: no such SKU). */
uint32_t inventory_sku_items(const struct inventory *inventory, struct bytes sku, uint32_t *items,
                             uint32_t max);

/* SKUs in the order of their codes' bytes: the first whose code is greater than `after` (empty:
 * the first of all). False when there is none. *sku is static for the inventory's life. */
bool inventory_next_sku(struct inventory *inventory, struct bytes after, struct bytes *sku);

/* A SKU's rules. OK or NOT_FOUND. */
enum hf_status inventory_sku(const struct inventory *inventory, struct bytes sku,
                             struct sku_rule *rule);

/* An order and up to max of its lines (the present state: one not yet published is not seen).
 * OK or NOT_FOUND. */
enum hf_status inventory_order(struct inventory *inventory, struct id128 id,
                               struct order_view *view, struct order_line_view *lines,
                               uint32_t max);

/* Orders that a filter lets through: fills up to max views and returns how many, having looked at
 * up to look_max orders from the cursor on. The end is where cursor->done. An order that is there
 * from the first call to the last is seen exactly once. */
uint32_t inventory_list_orders(struct inventory *inventory, const struct order_filter *filter,
                               struct order_cursor *cursor, struct order_view *views, uint32_t max,
                               uint32_t look_max);

/* As inventory_order, and for each of the lines what inventory_covered says of it then. */
enum hf_status inventory_order_covered(struct inventory *inventory, struct id128 id,
                                       struct order_view *view, struct order_line_view *lines,
                                       uint32_t *covered, uint32_t max);

/* Of a grant's pre-sold units that are still held or sold, how many the item's stock covers now:
 * what is pre-sold is covered in the order of tickets, oldest first. */
uint32_t inventory_covered(struct inventory *inventory, const struct order_line_view *grant,
                           enum order_state state);

/* Units of a SKU that count towards a buyer's limit. 0 if the SKU is unknown or not limited. */
uint32_t inventory_buyer_units(struct inventory *inventory, struct bytes sku, uint64_t buyer);

void inventory_counts(const struct inventory *inventory, struct inventory_counts *counts);

/* The earliest time at which inventory_expire may have work; UINT64_MAX: no deadline is entered.
 * May be early, never late. */
uint64_t inventory_next_deadline_ms(const struct inventory *inventory);

/* ---- Replay: before anything else runs ---- */

/* Applies one event of the log; fills in event->digest_delta. OK, FULL, or DAMAGED when the event
 * does not fit the state (an unknown item, an order in the wrong state). */
enum hf_status inventory_apply(struct inventory *inventory, struct event *event);

/* After replay or loading: enters the deadlines of all held orders, which neither does. 20 million
 * in about a second. */
void inventory_replayed(struct inventory *inventory);

/* The digest of the whole state, computed from the tables: equal to the sum of the digest_delta of
 * every event applied or published. Nothing else may run meanwhile. */
uint64_t inventory_digest(struct inventory *inventory);

/* Checks every invariant between orders and stock: for each item the units in held and committed
 * orders equal held and sold, and free is what follows. True when all hold; else false, with the
 * first difference in `what`. Nothing else may run meanwhile. */
bool inventory_verify(struct inventory *inventory, char *what, uint32_t what_bytes);

#endif

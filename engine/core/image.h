/* image.h - the core's state without its log: what a checkpoint holds, and how it is loaded and
 * read.
 *
 * A checkpoint is made by a second inventory that never has an order in its table (a ledger): it
 * applies definitions, adjustments and moves with inventory_apply(), and each order's events, in
 * the order of their LSNs, with replay_fold() (replay.h) on an order in hand. Orders pass through
 * one after another; stock, limits and tickets add up in the ledger. In which sequence the orders
 * come does not matter, because all of these are sums.
 *
 * Loading is the reverse. Into an empty inventory are loaded: definitions and stock, adjustments,
 * buyers, tickets, then orders.
 *
 * Threads: one, before anything else runs; except that several lanes (replay.h) may load orders,
 * each with image_load_order(). */
#ifndef CORE_IMAGE_H
#define CORE_IMAGE_H

#include "core/adjustments.h"
#include "core/inventory.h"
#include "core/orders.h"

/* An order in hand: in no table, with memory of its own. Some 64 KiB. */
struct order_hand {
    struct order order; /* state ORDER_NONE: the hand is empty */
    struct order_line_view lines[ORDER_LINES_MAX];
};

/* An order as a checkpoint holds it. */
struct order_image {
    struct id128 id;
    uint64_t buyer;
    uint64_t lsn;
    uint64_t deadline_ms; /* as the reserve answered */
    uint64_t contents;    /* order_contents(), when shaped */
    uint32_t extended_ms;
    enum order_state state; /* not ORDER_NONE */
    bool shaped;
    bool block;   /* lines hold more than item and quantity */
    bool counted; /* without a block: the line counts towards the buyer's limit */
    uint32_t line_count;
    const struct order_line_view *lines; /* without a block: only item and qty are read */
};

/* Makes an image of the order in hand; the image's lines point into the hand. */
void order_hand_image(struct order_hand *hand, struct order_image *image);

/* Loads an image into the hand. OK, or DAMAGED when it can't be an order. Nothing is added to
 * stock. */
enum hf_status order_hand_load(struct inventory *inventory, struct order_hand *hand,
                               const struct order_image *image);

/* ---- Loading; SKUs and items are loaded as events, by inventory_apply ----
 *
 * OK; DAMAGED when what is loaded is impossible, or was loaded before; FULL when there is no room.
 */

/* An item's stock on hand and what forgotten orders have sold of it. */
enum hf_status inventory_load_stock(struct inventory *inventory, uint32_t item, int64_t stocked,
                                    int64_t settled);
enum hf_status inventory_load_adjustment(struct inventory *inventory,
                                         const struct adjustment_made *made);
enum hf_status inventory_load_buyer(struct inventory *inventory, uint32_t sku, uint64_t buyer,
                                    uint32_t units);

/* Loads a ticket's units; the tickets of one item in ascending order. units 0: the ticket was
 * drawn, and has no units left. */
enum hf_status inventory_load_ticket(struct inventory *inventory, uint32_t item, uint32_t ticket,
                                     uint32_t units);

/* From here to inventory_claims_end each order that is loaded is checked against the buyers' units
 * and tickets, which were all loaded before. An order that contradicts them is refused with
 * CONFLICT, and the inventory can't be used after that. False: out of memory; call
 * inventory_claims_end then, too. */
bool inventory_claims_begin(struct inventory *inventory);
void inventory_claims_end(struct inventory *inventory);

/* Loads an order and its units. Its buyer's units and its tickets were loaded before; its deadline
 * is entered later by inventory_replayed(). FULL when the table has no room, or out of memory. */
enum hf_status inventory_load_order(struct inventory *inventory, const struct order_image *image);

struct replay_lane;

/* The same for an order that belongs to the lane (replay.h). hash: id_hash() of its id. */
enum hf_status image_load_order(struct replay_lane *lane, const struct order_image *image,
                                uint64_t hash);

/* ---- Reading a ledger out ---- */

struct ledger_visitor {
    void *context;
    /* Called in this order; SKUs and items by number. Each returns false to stop. */
    bool (*sku)(void *context, const struct sku_rule *rule);
    bool (*item)(void *context, const struct item_def *def, int64_t stocked, int64_t settled);
    bool (*adjustment)(void *context, const struct adjustment_made *made);
    bool (*buyer)(void *context, uint32_t sku, uint64_t buyer, uint32_t units);
    bool (*ticket)(void *context, uint32_t item, uint32_t ticket, uint32_t units);
};

/* Visits everything except orders. Adjustments, buyers and tickets come sorted, so that equal
 * states give equal bytes. False: a visitor stopped it, or out of memory. */
bool inventory_visit_ledger(struct inventory *inventory, const struct ledger_visitor *visitor);

#endif

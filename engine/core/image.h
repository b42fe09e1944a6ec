/* image.h - the core's state without its log: what a checkpoint holds, how it is loaded, and how an
 * order's events are applied to an order that is in no table.
 *
 * A checkpoint is made by a second inventory that never has an order in its table (a ledger): it
 * applies definitions, adjustments and moves with inventory_apply(), and each order's events, in
 * the order of their LSNs, with replay_fold() (replay.h) on an order in hand. The orders stream
 * past; stock, limits and tickets add up in the ledger, whatever the order in which orders come,
 * because all of that is sums.
 *
 * Loading is the reverse, into an empty inventory: definitions and stock, adjustments, buyers,
 * tickets, then orders.
 *
 * Threads: one, before anything else runs. */
#ifndef CORE_IMAGE_H
#define CORE_IMAGE_H

#include "core/adjustments.h"
#include "core/inventory.h"
#include "core/orders.h"

/* An order with memory of its own. Some 64 KiB. */
struct order_hand {
    struct order order; /* state ORDER_NONE: there is none */
    struct order_line_view lines[ORDER_LINES_MAX];
};

/* An order as a checkpoint has it. */
struct order_image {
    struct id128 id;
    uint64_t buyer;
    uint64_t lsn;
    uint64_t deadline_ms; /* the first answer's */
    uint64_t contents;    /* when shaped */
    uint32_t extended_ms;
    enum order_state state; /* not ORDER_NONE */
    bool shaped;
    bool block;   /* lines tell more than item and quantity */
    bool counted; /* of a line without a block */
    uint32_t line_count;
    const struct order_line_view *lines; /* of a plain line: item and qty suffice */
};

/* What is in hand, as an image; its lines point into the hand. */
void order_hand_image(struct order_hand *hand, struct order_image *image);

/* An image into the hand. OK, or DAMAGED when it can't be an order. Nothing is added to stock. */
enum hf_status order_hand_load(struct inventory *inventory, struct order_hand *hand,
                               const struct order_image *image);

/* ---- Loading; SKUs and items are loaded as events, by inventory_apply ----
 *
 * OK; DAMAGED when what is loaded can't be, or is there already; FULL when there is no room. */

/* An item's stock on hand and what forgotten orders have sold of it. */
enum hf_status inventory_load_stock(struct inventory *inventory, uint32_t item, int64_t stocked,
                                    int64_t settled);
enum hf_status inventory_load_adjustment(struct inventory *inventory,
                                         const struct adjustment_made *made);
enum hf_status inventory_load_buyer(struct inventory *inventory, uint32_t sku, uint64_t buyer,
                                    uint32_t units);

/* A ticket's units, those of one item in ascending order; units 0 tells only that it was drawn. */
enum hf_status inventory_load_ticket(struct inventory *inventory, uint32_t item, uint32_t ticket,
                                     uint32_t units);

/* From here to inventory_claims_end the orders that are loaded are held against the buyers' units
 * and tickets, which were all loaded before: what they contradict is refused with CONFLICT, and the
 * inventory is then of no use. False: out of memory; _end is due then, too. */
bool inventory_claims_begin(struct inventory *inventory);
void inventory_claims_end(struct inventory *inventory);

/* An order and its units; its buyer's units and its tickets were loaded before, its deadline is
 * entered by inventory_replayed(). FULL when the table has no room, or out of memory. */
enum hf_status inventory_load_order(struct inventory *inventory, const struct order_image *image);

struct replay_lane;

/* The same for an order of a lane's own (replay.h); hash: of its id. */
enum hf_status image_load_order(struct replay_lane *lane, const struct order_image *image,
                                uint64_t hash);

/* ---- Reading a ledger out ---- */

struct ledger_visitor {
    void *context;
    /* Each says false to stop. In this order; SKUs and items by number. */
    bool (*sku)(void *context, const struct sku_rule *rule);
    bool (*item)(void *context, const struct item_def *def, int64_t stocked, int64_t settled);
    bool (*adjustment)(void *context, const struct adjustment_made *made);
    bool (*buyer)(void *context, uint32_t sku, uint64_t buyer, uint32_t units);
    bool (*ticket)(void *context, uint32_t item, uint32_t ticket, uint32_t units);
};

/* Visits all but orders. Adjustments, buyers and tickets come sorted, so that equal states give
 * equal bytes. False: a visitor stopped it, or out of memory. */
bool inventory_visit_ledger(struct inventory *inventory, const struct ledger_visitor *visitor);

#endif

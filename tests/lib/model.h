/* model.h - what the core should do, in the plainest way: the oracle of randomized tests.
 *
 * Written from docs/design.md, Words and States, not from the engine. An order is a struct, a state
 * table is a switch, and whatever is a sum (held, sold, a buyer's units, which orders wait for
 * stock) is added up over all orders each time that it is asked for. Every operation is decided and
 * visible at once: there is no log and no second thread. An order whose deadline has passed counts
 * as expired as soon as an operation names it, or model_expire is called. An order that is
 * forgotten stays in the array, so that its units stay in every sum; only its id is unknown from
 * then on.
 *
 * Threads: one. Memory: malloc; out of memory aborts. */
#ifndef TESTS_LIB_MODEL_H
#define TESTS_LIB_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/inventory.h"

struct model_item {
    uint32_t sku;
    int64_t stocked;
    int64_t safety;
    int64_t presale_cap;
    uint32_t tickets; /* drawn so far */
};

/* A line as it was asked. */
struct model_line {
    uint32_t qty;
    enum line_policy policy;
    uint32_t min_qty;
    bool split;
    uint32_t item_count;
    uint32_t items[1 + LINE_FALLBACKS_MAX]; /* its own, then those to fall back to */
};

struct model_order {
    struct id128 id;
    uint64_t buyer;
    uint64_t first_deadline_ms;
    uint64_t deadline_ms;
    enum order_state state;
    bool forgotten;
    uint64_t ended_ms; /* when it reached a state that is not HELD; a return sets it again */
    bool swept;        /* an expiry ran at or after its deadline */
    uint32_t line_count;
    struct model_line *lines;
    uint32_t grant_count;
    uint32_t grant_capacity;
    struct order_line_view *grants; /* by line, then in the order of the line's items */
};

/* Of an adjustment, or a move. */
struct model_adjustment {
    struct id128 id;
    uint32_t item;
    uint32_t to;    /* of a move; 0: an adjustment */
    uint64_t texts; /* a hash: the texts themselves are not kept */
    int64_t stocked_before;
    int64_t stocked_after;
};

struct model {
    struct inventory_options options;
    uint64_t now_ms;       /* set by the caller before each operation */
    int64_t wall_ahead_ms; /* what the clock that sales open by is ahead of now_ms */
    struct sku_rule *skus; /* by number; 0 is unused; the names are not used */
    uint32_t sku_count;
    struct model_item *items; /* by handle; 0 is unused */
    uint32_t item_count;
    struct model_order *orders;
    uint32_t order_count;
    uint32_t order_capacity;
    struct model_adjustment *adjustments;
    uint32_t adjustment_count;
    uint32_t adjustment_capacity;
    struct order_grant *answer; /* what an outcome's grants point to */
    uint32_t answer_capacity;
};

void model_init(struct model *model, const struct inventory_options *options);
void model_deinit(struct model *model);

/* Adds the next SKU, without rules; returns its number. Rules are changed in model->skus. */
uint32_t model_add_sku(struct model *model);

/* Adds the next item; returns its handle. Its numbers may be changed in model->items. */
uint32_t model_add_item(struct model *model, uint32_t sku, int64_t safety, int64_t presale_cap);

/* The operations of inventory.h; `outcome` as there, but that `reason` stays NULL. Its grants are
 * valid until the next operation. */
void model_reserve(struct model *model, const struct order_request *request,
                   struct order_outcome *outcome);
void model_commit(struct model *model, const struct order_edit *edit,
                  struct order_outcome *outcome);
void model_release(struct model *model, const struct order_edit *edit,
                   struct order_outcome *outcome);
void model_return(struct model *model, const struct order_edit *edit,
                  struct order_outcome *outcome);
void model_extend(struct model *model, struct id128 id, uint32_t hold_ms,
                  struct order_outcome *outcome);
enum hf_status model_adjust(struct model *model, const struct adjustment *asked, bool *replayed);
enum hf_status model_move(struct model *model, const struct move *asked, bool *replayed);

/* Expires all that is due at now_ms; returns how many orders. */
uint32_t model_expire(struct model *model);

/* Forgets an order. False: there is none, or it has not ended. */
bool model_forget(struct model *model, struct id128 id);

/* The order; NULL if there is none. */
const struct model_order *model_find(const struct model *model, struct id128 id);

/* An item's numbers, added up over all orders; `settled` is of those that are forgotten. */
struct stock_view model_stock(const struct model *model, uint32_t item);

/* Units of a SKU that count towards a buyer's limit; 0 if the SKU is not limited. */
uint32_t model_buyer_units(const struct model *model, uint32_t sku, uint64_t buyer);

/* Pairs of buyer and SKU with units that count. */
uint64_t model_buyers(const struct model *model);

/* Of an order's grant, how many pre-sold units the item's stock covers now. */
uint32_t model_covered(const struct model *model, const struct model_order *order, uint32_t grant);

#endif

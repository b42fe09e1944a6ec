/* model.h - what the core should do, said in the plainest way: the oracle of randomized tests.
 *
 * Written from the design's sections 1 and 2, not from the engine. An order is a struct, a state
 * table is a switch, and held and sold are added up anew over all orders whenever they are asked
 * for. Every operation is decided and visible at once: there is no log and no second thread. An
 * order whose deadline has passed counts as expired as soon as an operation names it, or
 * model_expire is called.
 *
 * Threads: one. Memory: malloc; out of memory aborts. */
#ifndef TESTS_LIB_MODEL_H
#define TESTS_LIB_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/inventory.h"

struct model_item {
    int64_t stocked;
    int64_t safety;
    int64_t presale_cap;
    struct sku_rule rule; /* its SKU's; the names are not used */
};

struct model_order {
    struct id128 id;
    uint64_t buyer;
    uint64_t first_deadline_ms;
    uint64_t deadline_ms;
    enum order_state state;
    uint32_t line_count;
    struct order_line_view *lines;
};

struct model_adjustment {
    struct adjustment asked;
    uint64_t texts; /* a hash: the texts themselves are not kept */
    int64_t stocked_before;
    int64_t stocked_after;
};

struct model {
    struct inventory_options options;
    uint64_t now_ms;          /* set by the caller before each operation */
    struct model_item *items; /* by handle; 0 is unused */
    uint32_t item_count;
    struct model_order *orders;
    uint32_t order_count;
    uint32_t order_capacity;
    struct model_adjustment *adjustments;
    uint32_t adjustment_count;
    uint32_t adjustment_capacity;
};

void model_init(struct model *model, const struct inventory_options *options);
void model_deinit(struct model *model);

/* Adds the next item; returns its handle. */
uint32_t model_add_item(struct model *model, int64_t safety, int64_t presale_cap);

/* The operations of inventory.h; `outcome` as there, but that `reason` stays NULL. */
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

/* Expires all that is due at now_ms; returns how many orders. */
uint32_t model_expire(struct model *model);

/* The order; NULL if there is none. */
const struct model_order *model_find(const struct model *model, struct id128 id);

/* An item's numbers, added up over all orders. */
struct stock_view model_stock(const struct model *model, uint32_t item);

#endif

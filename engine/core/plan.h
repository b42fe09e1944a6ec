/* plan.h - what definitions, adjustments and moves, one after another, would result in, before any
 * of them is made.
 *
 * A plan is a layer over an inventory: it copies each SKU and item that it is asked about, and
 * changes the copies. So a whole request is checked before its first change, and a dry run can
 * report what the same request would do. It decides by the same rules as inventory_change_sku(),
 * inventory_change_item(), inventory_adjust() and inventory_move().
 *
 * An item that would be made also has a handle in the plan, above those in use; it is valid only in
 * this plan.
 *
 * Threads: one, which holds the inventory's admin lock as long as the plan lives. Orders continue
 * during that time: what they take between the plan and the change is not in the plan. */
#ifndef CORE_PLAN_H
#define CORE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/definitions.h"
#include "core/inventory.h"

struct plan;

/* skus_max, items_max: the most different SKUs and items that it will be asked about; a definition
 * of an item names a SKU, too. NULL: no memory. */
struct plan *plan_make(struct inventory *inventory, uint32_t skus_max, uint32_t items_max);

/* NULL is allowed. */
void plan_free(struct plan *plan);

/* Counts SKUs and items towards items_max that don't exist yet, but would exist by then. */
void plan_assume_made(struct plan *plan, uint32_t skus, uint32_t items);

/* The codes and texts must live as long as the plan; their lengths and the numbers' ranges have
 * been checked. OK; FULL: items_max is reached; INVALID: the rules would not fit together, see
 * misfit. */
enum hf_status plan_define_sku(struct plan *plan, const struct sku_rule *asked, uint32_t fields,
                               struct misfit *misfit);

/* OK or FULL. *handle: the item's handle. */
enum hf_status plan_define_item(struct plan *plan, const struct item_def *asked, uint32_t fields,
                                uint32_t *handle);

/* How many SKUs and items the plan makes or changes, each counted once. */
struct plan_counts {
    uint32_t skus_made; /* including those that are made with their first item */
    uint32_t skus_changed;
    uint32_t items_made;
    uint32_t items_changed;
};
struct plan_counts plan_counts(const struct plan *plan);

/* Whether the handle is of an item that does not exist yet. */
bool plan_makes_item(const struct plan *plan, uint32_t item);

/* The handle of a SKU in a pool; 0: it does not exist, and would not exist. */
uint32_t plan_find_item(struct plan *plan, struct bytes sku, struct bytes pool);

/* OK or UNKNOWN_ITEM. */
enum hf_status plan_item(struct plan *plan, uint32_t item, struct item_view *view);

/* As inventory_adjust and inventory_move; *delta: by how much the stock changes; 0 for a repeated
 * request. */
enum hf_status plan_adjust(struct plan *plan, const struct adjustment *asked, bool *replayed,
                           int64_t *delta);
enum hf_status plan_move(struct plan *plan, const struct move *asked, bool *replayed,
                         int64_t *delta);

#endif

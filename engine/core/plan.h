/* plan.h - what definitions, adjustments and moves would come to, one after another, before any of
 * them is made.
 *
 * A plan lies over an inventory: it has a copy of each SKU and item that it was told about, and
 * changes the copies. So a request is checked whole before its first change, and a dry run is told
 * what the same request would do. It decides by the same rules as inventory_change_sku(),
 * inventory_change_item(), inventory_adjust() and inventory_move().
 *
 * An item that would be made has a handle here too, above those in use, for this plan alone.
 *
 * Threads: one, which holds the inventory's admin lock as long as the plan lives. Orders go on
 * meanwhile: what they take between the plan and the change is not in it. */
#ifndef CORE_PLAN_H
#define CORE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/definitions.h"
#include "core/inventory.h"

struct plan;

/* skus_max, items_max: of how many different ones it will be told at most; a definition of an item
 * names a SKU too. NULL: no memory. */
struct plan *plan_make(struct inventory *inventory, uint32_t skus_max, uint32_t items_max);

/* NULL is allowed. */
void plan_free(struct plan *plan);

/* Counts SKUs and items towards items_max that are not there, but would be by then. */
void plan_assume_made(struct plan *plan, uint32_t skus, uint32_t items);

/* The codes and texts must live as long as the plan; their lengths and the numbers' ranges have
 * been checked. OK; FULL: items_max is reached; INVALID: the rules would not fit together, see
 * misfit. */
enum hf_status plan_define_sku(struct plan *plan, const struct sku_rule *asked, uint32_t fields,
                               struct misfit *misfit);

/* OK or FULL. *item: its handle. */
enum hf_status plan_define_item(struct plan *plan, const struct item_def *asked, uint32_t fields,
                                uint32_t *handle);

/* How many SKUs and items, each counted once. */
struct plan_counts {
    uint32_t skus_made; /* those that come with their first item too */
    uint32_t skus_changed;
    uint32_t items_made;
    uint32_t items_changed;
};
struct plan_counts plan_counts(const struct plan *plan);

/* Whether the handle is of an item that is not there yet. */
bool plan_makes_item(const struct plan *plan, uint32_t item);

/* The handle of a SKU in a pool; 0 if there is, and would be, none. */
uint32_t plan_find_item(struct plan *plan, struct bytes sku, struct bytes pool);

/* OK or UNKNOWN_ITEM. */
enum hf_status plan_item(struct plan *plan, uint32_t item, struct item_view *view);

/* As inventory_adjust and inventory_move; *delta: by how much the stock changes, of a replay 0. */
enum hf_status plan_adjust(struct plan *plan, const struct adjustment *asked, bool *replayed,
                           int64_t *delta);
enum hf_status plan_move(struct plan *plan, const struct move *asked, bool *replayed,
                         int64_t *delta);

#endif

/* plan.c - what definitions, adjustments and moves would result in: copies of SKUs and items in two
 * hash tables.
 *
 * Threads: one, under the admin lock.
 * Invariant: a table has an entry for each SKU or item that the plan was asked about, whether or
 * not it exists; `there` is true if it exists, or would exist by now. */
#include "core/plan.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "core/inventory_admin.h"

struct plan_sku {
    struct sku_rule rule;
    bool there;
    bool made;
    bool changed;
};

struct plan_item {
    struct item_def def; /* its handle: 0 unless it is there */
    struct stock_view stock;
    uint32_t sku; /* index */
    bool there;
    bool made;
    bool changed;
};

/* Index + 1 of an entry; 0: empty. At most half full. */
struct plan_table {
    uint32_t *slots;
    uint32_t mask;
};

struct plan {
    struct inventory *inventory;
    uint32_t skus_before;
    uint32_t items_before;
    uint32_t items_in_use; /* handles up to this one are the inventory's */
    uint32_t sku_count;
    uint32_t sku_room;
    uint32_t item_count;
    uint32_t item_room;
    struct plan_sku *skus;
    struct plan_item *items;
    uint32_t *made; /* indices of items by their handle, less items_in_use + 1 */
    struct plan_table sku_table;
    struct plan_table item_table;
    struct adjustments ids; /* made in this plan */
    struct plan_counts counts;
};

static bool table_make(struct plan_table *table, uint32_t entries)
{
    uint64_t capacity = 16;
    while (capacity < 2 * (uint64_t)entries) {
        capacity *= 2;
    }
    CHECK((capacity & (capacity - 1)) == 0);
    CHECK(capacity <= UINT32_MAX);
    table->mask = (uint32_t)(capacity - 1);
    table->slots = calloc(capacity, sizeof *table->slots);
    return table->slots != NULL;
}

struct plan *plan_make(struct inventory *inventory, uint32_t skus_max, uint32_t items_max)
{
    struct plan *plan = calloc(1, sizeof *plan);
    if (!plan) {
        return NULL;
    }
    /* Pages that are not used are not touched, so room for all is cheap. */
    plan->inventory = inventory;
    plan->items_in_use = catalog_items(inventory->catalog);
    plan->sku_room = skus_max;
    plan->item_room = items_max;
    plan->skus = calloc((size_t)skus_max + 1, sizeof *plan->skus);
    plan->items = calloc((size_t)items_max + 1, sizeof *plan->items);
    plan->made = calloc((size_t)items_max + 1, sizeof *plan->made);
    if (!plan->skus || !plan->items || !plan->made || !table_make(&plan->sku_table, skus_max) ||
        !table_make(&plan->item_table, items_max)) {
        plan_free(plan);
        return NULL;
    }
    return plan;
}

void plan_free(struct plan *plan)
{
    if (!plan) {
        return;
    }
    adjustments_deinit(&plan->ids);
    free(plan->item_table.slots);
    free(plan->sku_table.slots);
    free(plan->made);
    free(plan->items);
    free(plan->skus);
    free(plan);
}

void plan_assume_made(struct plan *plan, uint32_t skus, uint32_t items)
{
    plan->skus_before = skus;
    plan->items_before = items;
}

struct plan_counts plan_counts(const struct plan *plan)
{
    return plan->counts;
}

/* ---- Copies ---- */

/* The SKU's index; its copy is made at the first call for it. */
static uint32_t sku_index(struct plan *plan, struct bytes code)
{
    uint32_t at = (uint32_t)hash_bytes(code.data, code.len);
    uint32_t *slot;
    while (*(slot = &plan->sku_table.slots[at++ & plan->sku_table.mask]) != 0) {
        if (bytes_equal(plan->skus[*slot - 1].rule.sku, code)) {
            return *slot - 1;
        }
    }
    CHECK(plan->sku_count < plan->sku_room);
    struct plan_sku *sku = &plan->skus[plan->sku_count];
    *slot = ++plan->sku_count;
    sku->there = inventory_sku(plan->inventory, code, &sku->rule) == HF_OK;
    sku->rule.sku = code;
    CHECK(*slot == plan->sku_count);
    return *slot - 1;
}

static void item_copy(struct plan *plan, struct plan_item *item, struct bytes pool)
{
    CHECK(item->sku < plan->sku_count);
    struct bytes sku = plan->skus[item->sku].rule.sku;
    uint32_t handle = inventory_find_item(plan->inventory, sku, pool);
    item->there = handle != 0;
    if (item->there) {
        item->def = item_def_of(plan->inventory, handle);
        stock_read(plan->inventory->stock, handle, &item->stock);
    }
    item->def.sku = sku;
    item->def.pool = pool;
}

static struct plan_item *item_named(struct plan *plan, struct bytes sku, struct bytes pool)
{
    uint32_t of = sku_index(plan, sku);
    uint32_t at = (uint32_t)hash_u64(hash_bytes(pool.data, pool.len) + of);
    uint32_t *slot;
    while (*(slot = &plan->item_table.slots[at++ & plan->item_table.mask]) != 0) {
        struct plan_item *item = &plan->items[*slot - 1];
        if (item->sku == of && bytes_equal(item->def.pool, pool)) {
            return item;
        }
    }
    CHECK(plan->item_count < plan->item_room);
    struct plan_item *item = &plan->items[plan->item_count];
    *slot = ++plan->item_count;
    CHECK(*slot == plan->item_count);
    item->sku = of;
    item_copy(plan, item, pool);
    return item;
}

/* NULL: it does not exist, and would not exist. */
static struct plan_item *item_by_handle(struct plan *plan, uint32_t handle)
{
    if (handle > plan->items_in_use) {
        uint32_t made = handle - plan->items_in_use - 1;
        return made < plan->counts.items_made ? &plan->items[plan->made[made]] : NULL;
    }
    if (!inventory_has_item(plan->inventory, handle)) {
        return NULL;
    }
    const struct catalog *catalog = plan->inventory->catalog;
    return item_named(plan, catalog_sku_code(catalog, catalog_item_sku(catalog, handle)),
                      catalog_item_pool(catalog, handle));
}

bool plan_makes_item(const struct plan *plan, uint32_t item)
{
    return item > plan->items_in_use;
}

uint32_t plan_find_item(struct plan *plan, struct bytes sku, struct bytes pool)
{
    return item_named(plan, sku, pool)->def.item;
}

enum hf_status plan_item(struct plan *plan, uint32_t item, struct item_view *view)
{
    const struct plan_item *at = item_by_handle(plan, item);
    if (!at) {
        return HF_UNKNOWN_ITEM;
    }
    *view = (struct item_view){.item = item,
                               .sku = at->def.sku,
                               .pool = at->def.pool,
                               .hot = at->def.hot,
                               .stock = at->stock};
    return HF_OK;
}

/* ---- Definitions ---- */

static bool has_room_for_sku(const struct plan *plan)
{
    return (uint64_t)catalog_skus(plan->inventory->catalog) + plan->skus_before +
               plan->counts.skus_made <
           plan->inventory->options.items_max;
}

static bool has_room_for_item(const struct plan *plan)
{
    return (uint64_t)plan->items_in_use + plan->items_before + plan->counts.items_made <
           plan->inventory->options.items_max;
}

static void make_sku(struct plan *plan, struct plan_sku *sku)
{
    CHECK(!sku->there);
    CHECK(plan->counts.skus_made < plan->sku_room);
    sku->there = true;
    sku->made = true;
    plan->counts.skus_made++;
}

enum hf_status plan_define_sku(struct plan *plan, const struct sku_rule *asked, uint32_t fields,
                               struct misfit *misfit)
{
    struct plan_sku *sku = &plan->skus[sku_index(plan, asked->sku)];
    uint32_t named = sku_fields_named(asked, fields);
    struct sku_rule result = sku_rule_merge(&sku->rule, asked, named);
    if (!sku_rule_fits(&result, named, plan->inventory->options.hold_ms_max, misfit)) {
        return HF_INVALID;
    }
    if (!sku->there) {
        if (!has_room_for_sku(plan)) {
            return HF_FULL;
        }
        make_sku(plan, sku);
    } else if (!sku->made && !sku->changed && !sku_rule_equal(&sku->rule, &result)) {
        sku->changed = true;
        plan->counts.skus_changed++;
    }
    sku->rule = result;
    return HF_OK;
}

/* Makes an item that does not exist, and its SKU if necessary. OK or FULL. */
static enum hf_status make_item(struct plan *plan, struct plan_item *item)
{
    CHECK(!item->there);
    CHECK(item->def.item == 0);
    struct plan_sku *sku = &plan->skus[item->sku];
    if (!has_room_for_item(plan) || (!sku->there && !has_room_for_sku(plan))) {
        return HF_FULL;
    }
    if (!sku->there) {
        make_sku(plan, sku);
    }
    item->there = true;
    item->made = true;
    CHECK(plan->counts.items_made < plan->item_room);
    plan->made[plan->counts.items_made++] = (uint32_t)(item - plan->items);
    item->def.item = plan->items_in_use + plan->counts.items_made;
    return HF_OK;
}

enum hf_status plan_define_item(struct plan *plan, const struct item_def *asked, uint32_t fields,
                                uint32_t *handle)
{
    struct plan_item *item = item_named(plan, asked->sku, asked->pool);
    struct item_def result = item_def_merge(&item->def, asked, item_fields_named(asked, fields));
    if (!item->there) {
        enum hf_status status = make_item(plan, item);
        if (status != HF_OK) {
            return status;
        }
        result.item = item->def.item;
    } else if (!item->made && !item->changed && !item_def_equal(&item->def, &result)) {
        item->changed = true;
        plan->counts.items_changed++;
    }
    item->stock.safety = result.safety;
    item->stock.presale_cap = result.presale_cap;
    item->stock.available +=
        (result.presale_cap - result.safety) - (item->def.presale_cap - item->def.safety);
    CHECK(result.item != 0);
    CHECK(result.item == item->def.item);
    item->def = result;
    *handle = result.item;
    return HF_OK;
}

/* ---- Adjustments and moves ---- */

static const struct adjustment_made *made_before(const struct plan *plan, struct id128 id)
{
    const struct adjustment_made *made = adjustments_find(&plan->ids, id);
    return made ? made : adjustments_find(&plan->inventory->adjustments, id);
}

/* Decides as stock_debit() does: what is held and sold stays covered, the safety stock may be used.
 */
static bool covers(const struct stock_view *stock, int64_t qty)
{
    CHECK(qty >= 0);
    return stock->available - qty >= -stock->safety;
}

static void restock(struct plan_item *item, int64_t delta)
{
    CHECK(item->there);
    item->stock.stocked += delta;
    CHECK(item->stock.stocked >= 0 && item->stock.stocked <= STOCK_MAX);
    item->stock.available += delta;
}

enum hf_status plan_adjust(struct plan *plan, const struct adjustment *asked, bool *replayed,
                           int64_t *delta)
{
    enum hf_status status;
    struct adjustment_made made = {
        .id = asked->id,
        .item = asked->item,
        .texts = adjustment_texts(asked->reason, asked->reference),
    };
    *delta = 0;
    if (adjust_again(made_before(plan, asked->id), asked, replayed, &status)) {
        return status;
    }
    struct plan_item *item = item_by_handle(plan, asked->item);
    if (!item) {
        return HF_UNKNOWN_ITEM;
    }
    status = adjust_check(asked, item->stock.stocked, &made.stocked);
    if (status != HF_OK) {
        return status;
    }
    CHECK(made.stocked >= 0 && made.stocked <= STOCK_MAX); /* adjust_check */
    made.delta = made.stocked - item->stock.stocked;
    if (made.delta < 0 && !asked->force && !covers(&item->stock, -made.delta)) {
        return HF_WOULD_OVERSELL;
    }
    if (!adjustments_make_room(&plan->ids)) {
        return HF_FULL;
    }
    adjustments_add(&plan->ids, &made);
    restock(item, made.delta);
    *delta = made.delta;
    return HF_OK;
}

enum hf_status plan_move(struct plan *plan, const struct move *asked, bool *replayed,
                         int64_t *delta)
{
    enum hf_status status;
    *delta = 0;
    if (move_again(made_before(plan, asked->id), asked, replayed, &status)) {
        return status;
    }
    struct plan_item *from = item_by_handle(plan, asked->from);
    struct plan_item *to = item_by_handle(plan, asked->to);
    if (!from || !to) {
        return HF_UNKNOWN_ITEM;
    }
    if (from == to || from->sku != to->sku) {
        return HF_INVALID;
    }
    struct stock_move move;
    status = move_check(asked, from->stock.stocked, to->stock.stocked, &move);
    if (status != HF_OK) {
        return status;
    }
    if (!asked->force && !covers(&from->stock, move.units)) {
        return HF_WOULD_OVERSELL;
    }
    if (!adjustments_make_room(&plan->ids)) {
        return HF_FULL;
    }
    struct adjustment_made made = move_made(asked->id, &move);
    adjustments_add(&plan->ids, &made);
    restock(from, -move.units);
    restock(to, move.units);
    *delta = -move.units;
    return HF_OK;
}

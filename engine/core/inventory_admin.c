/* inventory_admin.c - definitions of SKUs and items, and adjustments of stock.
 *
 * Threads: one at a time, under the admin lock; readers of the catalog and operations on stock go
 * on meanwhile. Memory that publishing needs is taken when deciding, so publishing can't fail. */
#include "base/check.h"
#include "base/hash.h"
#include "core/inventory_internal.h"

void inventory_admin_lock(struct inventory *inventory)
{
    pthread_mutex_lock(&inventory->admin);
}

void inventory_admin_unlock(struct inventory *inventory)
{
    pthread_mutex_unlock(&inventory->admin);
}

/* ---- Digest of definitions ---- */

static uint64_t mix(uint64_t h, uint64_t value)
{
    return hash_u64(h ^ (value + 0x9E3779B97F4A7C15ull + (h << 6) + (h >> 2)));
}

static uint64_t mix_bytes(uint64_t h, struct bytes bytes)
{
    return mix(mix(h, bytes.len), hash_bytes(bytes.data, bytes.len));
}

static uint64_t rule_digest(const struct sku_rule *rule)
{
    uint64_t h = mix_bytes(mix_bytes(EVENT_SKU_DEFINED, rule->sku), rule->label);
    h = mix(mix(h, rule->limit_per_buyer), rule->paused);
    h = mix(mix(h, rule->opens_at_ms), rule->closes_at_ms);
    return mix(mix(h, rule->hold_ms), rule->hold_ms_max);
}

static uint64_t def_digest(const struct item_def *def, uint32_t item)
{
    uint64_t h = mix_bytes(mix_bytes(EVENT_ITEM_DEFINED, def->sku), def->pool);
    h = mix(mix(h, item), def->hot);
    return mix(mix(h, (uint64_t)def->safety), (uint64_t)def->presale_cap);
}

uint64_t sku_digest(const struct inventory *inventory, uint32_t sku)
{
    struct sku_rule rule;
    catalog_sku_rule(inventory->catalog, sku, &rule);
    return rule_digest(&rule);
}

/* The present definition of an item. */
static struct item_def item_def_of(const struct inventory *inventory, uint32_t item)
{
    const struct catalog *catalog = inventory->catalog;
    struct stock_view view;
    stock_read(inventory->stock, item, &view);
    return (struct item_def){
        .item = item,
        .sku = catalog_sku_code(catalog, catalog_item_sku(catalog, item)),
        .pool = catalog_item_pool(catalog, item),
        .safety = view.safety,
        .presale_cap = view.presale_cap,
        .hot = catalog_item_hot(catalog, item),
    };
}

uint64_t item_digest(const struct inventory *inventory, uint32_t item)
{
    struct item_def def = item_def_of(inventory, item);
    return def_digest(&def, item);
}

/* ---- SKUs ---- */

static bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* The SKU, or a copy of its name for one to be made. */
static enum hf_status definition_find_sku(struct inventory *inventory, struct bytes code,
                                          struct definition *definition)
{
    *definition = (struct definition){.sku = catalog_find_sku(inventory->catalog, code)};
    if (definition->sku == 0) {
        if (catalog_skus(inventory->catalog) == inventory->options.items_max) {
            return HF_FULL;
        }
        definition->code = catalog_intern(inventory->catalog, code);
        return definition->code ? HF_OK : HF_FULL;
    }
    return HF_OK;
}

enum hf_status definition_of_sku(struct inventory *inventory, const struct sku_rule *rule,
                                 struct definition *definition)
{
    CHECK(rule->sku.len >= 1 && rule->sku.len <= CODE_BYTES_MAX);
    CHECK(rule->label.len <= LABEL_BYTES_MAX);
    enum hf_status status = definition_find_sku(inventory, rule->sku, definition);
    if (status != HF_OK) {
        return status;
    }
    struct sku_rule present = {0};
    if (definition->sku) {
        catalog_sku_rule(inventory->catalog, definition->sku, &present);
    }
    if (!bytes_equal(present.label, rule->label)) {
        definition->label = catalog_intern(inventory->catalog, rule->label);
        return definition->label ? HF_OK : HF_FULL;
    }
    return HF_OK;
}

uint64_t definition_sku_digest(const struct inventory *inventory, const struct sku_rule *rule,
                               const struct definition *definition)
{
    return rule_digest(rule) - (definition->sku ? sku_digest(inventory, definition->sku) : 0);
}

void definition_install_sku(struct inventory *inventory, const struct sku_rule *rule,
                            const struct definition *definition)
{
    uint32_t sku =
        definition->sku ? definition->sku : catalog_add_sku(inventory->catalog, definition->code);
    catalog_set_rule(inventory->catalog, sku, rule, definition->label);
}

static bool rule_equal(const struct sku_rule *a, const struct sku_rule *b)
{
    return bytes_equal(a->label, b->label) && a->limit_per_buyer == b->limit_per_buyer &&
           a->opens_at_ms == b->opens_at_ms && a->closes_at_ms == b->closes_at_ms &&
           a->paused == b->paused && a->hold_ms == b->hold_ms && a->hold_ms_max == b->hold_ms_max;
}

enum hf_status inventory_define_sku(struct txn *txn, const struct sku_rule *rule)
{
    struct inventory *inventory = txn->inventory;
    struct txn_memory *memory = txn->memory;
    enum hf_status status = definition_of_sku(inventory, rule, &memory->definition);
    if (status != HF_OK) {
        return status;
    }
    const struct definition *definition = &memory->definition;
    struct sku_rule present = {0};
    if (definition->sku) {
        catalog_sku_rule(inventory->catalog, definition->sku, &present);
        if (rule_equal(&present, rule)) {
            return HF_OK;
        }
    }
    struct event *event = txn_add(txn, EVENT_SKU_DEFINED, ORDER_NO_HANDLE, EVENT_ADMIN_BYTES);
    memory->sku = *rule;
    memory->sku.sku = definition->code
                          ? (struct bytes){definition->code->data, definition->code->len}
                          : present.sku;
    memory->sku.label = definition->label
                            ? (struct bytes){definition->label->data, definition->label->len}
                            : present.label;
    event->sku = &memory->sku;
    event->digest_delta = definition_sku_digest(inventory, &memory->sku, definition);
    return HF_OK;
}

/* ---- Items ---- */

enum hf_status definition_of_item(struct inventory *inventory, const struct item_def *def,
                                  struct definition *definition)
{
    CHECK(def->sku.len >= 1 && def->sku.len <= CODE_BYTES_MAX);
    CHECK(def->pool.len >= 1 && def->pool.len <= CODE_BYTES_MAX);
    CHECK(def->safety >= 0 && def->safety <= STOCK_MAX);
    CHECK(def->presale_cap >= 0 && def->presale_cap <= STOCK_MAX);
    uint32_t sku = catalog_find_sku(inventory->catalog, def->sku);
    uint32_t item = sku ? catalog_find_item(inventory->catalog, sku, def->pool) : 0;
    /* Before any name is copied: copies stay for good. */
    if (item == 0 && catalog_items(inventory->catalog) == inventory->options.items_max) {
        return HF_FULL;
    }
    enum hf_status status = definition_find_sku(inventory, def->sku, definition);
    if (status != HF_OK) {
        return status;
    }
    definition->item = item;
    if (item == 0) {
        definition->pool = catalog_intern(inventory->catalog, def->pool);
        return definition->pool ? HF_OK : HF_FULL;
    }
    return HF_OK;
}

/* A definition that leaves fewer units free takes them before its record has its LSN, below zero if
 * need be: who sells after that record then never sells what it has set aside. */
static void definition_debit(struct txn *txn, const struct item_def *present,
                             const struct item_def *def, struct definition *definition)
{
    int64_t fewer = (present->presale_cap - present->safety) - (def->presale_cap - def->safety);
    if (fewer > 0) {
        enum hf_status status =
            stock_debit(txn->inventory->stock, txn->slot, present->item, fewer, INT64_MIN);
        CHECK(status == HF_OK);
        definition->debited = fewer;
    }
}

uint64_t definition_item_digest(const struct inventory *inventory, const struct item_def *def,
                                const struct definition *definition)
{
    uint32_t item = definition->item ? definition->item : catalog_items(inventory->catalog) + 1;
    uint64_t delta = def_digest(def, item);
    if (definition->item) {
        delta -= item_digest(inventory, definition->item);
    }
    if (definition->sku == 0) {
        struct sku_rule none = {.sku = def->sku}; /* the SKU that comes with its first item */
        delta += rule_digest(&none);
    }
    return delta;
}

void definition_install_item(struct inventory *inventory, const struct item_def *def,
                             const struct definition *definition)
{
    struct catalog *catalog = inventory->catalog;
    uint32_t item = definition->item ? definition->item : catalog_items(catalog) + 1;
    stock_redefine(inventory->stock, item, def->safety, def->presale_cap, def->hot,
                   definition->debited);
    if (definition->item) {
        catalog_set_hot(catalog, item, def->hot);
        return;
    }
    uint32_t sku = definition->sku ? definition->sku : catalog_add_sku(catalog, definition->code);
    uint32_t added = catalog_add_item(catalog, sku, definition->pool, def->hot);
    CHECK(added == item);
}

/* The definition with names that live as long as the inventory. */
static struct item_def def_with_names(const struct inventory *inventory, const struct item_def *def,
                                      const struct definition *definition)
{
    const struct catalog *catalog = inventory->catalog;
    struct item_def copy = *def;
    copy.item = definition->item ? definition->item : catalog_items(catalog) + 1;
    copy.sku = definition->code ? (struct bytes){definition->code->data, definition->code->len}
                                : catalog_sku_code(catalog, definition->sku);
    copy.pool = definition->pool ? (struct bytes){definition->pool->data, definition->pool->len}
                                 : catalog_item_pool(catalog, definition->item);
    return copy;
}

enum hf_status inventory_define_item(struct txn *txn, const struct item_def *def, uint32_t *item)
{
    struct inventory *inventory = txn->inventory;
    struct txn_memory *memory = txn->memory;
    enum hf_status status = definition_of_item(inventory, def, &memory->definition);
    if (status != HF_OK) {
        return status;
    }
    memory->item = def_with_names(inventory, def, &memory->definition);
    *item = memory->item.item;
    if (memory->definition.item) {
        struct item_def present = item_def_of(inventory, *item);
        if (present.safety == def->safety && present.presale_cap == def->presale_cap &&
            present.hot == def->hot) {
            return HF_OK;
        }
        definition_debit(txn, &present, def, &memory->definition);
    }
    struct event *event = txn_add(txn, EVENT_ITEM_DEFINED, ORDER_NO_HANDLE, EVENT_ADMIN_BYTES);
    event->item = &memory->item;
    event->digest_delta = definition_item_digest(inventory, &memory->item, &memory->definition);
    return HF_OK;
}

/* ---- Adjustments ---- */

/* Whether a retry asks for what was made. Where the first one carried no check and this one does,
 * it must agree with what was found then. */
static bool adjustment_same(const struct adjustment_made *made, const struct adjustment *asked)
{
    return made->item == asked->item &&
           (asked->has_set_to ? made->stocked == asked->set_to : made->delta == asked->delta) &&
           (!asked->has_expected || asked->expected == made->stocked - made->delta) &&
           made->texts == adjustment_texts(asked->reason, asked->reference);
}

/* Lowers what is free before the record is made: the stock on hand, with what may be sold beyond
 * it, must still cover what is held and sold; the safety stock may be used up. */
static enum hf_status adjust_debit(struct txn *txn, const struct adjustment *asked, int64_t qty,
                                   int64_t safety, uint32_t *flags)
{
    struct stock *stock = txn->inventory->stock;
    enum hf_status status = stock_debit(stock, txn->slot, asked->item, qty, -safety);
    if (status == HF_WOULD_OVERSELL && asked->force) {
        *flags = EVENT_FORCED;
        status = stock_debit(stock, txn->slot, asked->item, qty, INT64_MIN);
    }
    return status;
}

static void adjust_add_event(struct txn *txn, const struct adjustment *asked,
                             const struct adjustment_made *made, uint32_t flags)
{
    struct txn_memory *memory = txn->memory;
    struct event *event = txn_add(txn, EVENT_STOCK_ADJUSTED, ORDER_NO_HANDLE, EVENT_ADMIN_BYTES);
    uint8_t *texts = txn_bytes(txn, asked->reason.len + asked->reference.len);
    uint8_t *reference = texts + asked->reason.len;
    if (asked->reason.len) {
        memcpy(texts, asked->reason.data, asked->reason.len);
    }
    if (asked->reference.len) {
        memcpy(reference, asked->reference.data, asked->reference.len);
    }
    memory->made = *made;
    memory->change = (struct stock_change){
        .item = made->item,
        .delta = made->delta,
        .stocked = made->stocked,
        .reason = {texts, asked->reason.len},
        .reference = {reference, asked->reference.len},
    };
    event->id = made->id;
    event->flags = flags;
    event->adjust = &memory->change;
    event->digest_delta = adjustment_digest(made) + digest_stocked(made->item, made->delta);
}

enum hf_status inventory_adjust(struct txn *txn, const struct adjustment *asked, bool *replayed)
{
    CHECK(asked->reason.len <= REASON_BYTES_MAX);
    CHECK(asked->reference.len <= REASON_BYTES_MAX);
    struct inventory *inventory = txn->inventory;
    *replayed = false;
    const struct adjustment_made *before = adjustments_find(&inventory->adjustments, asked->id);
    if (before) {
        *replayed = adjustment_same(before, asked);
        return *replayed ? HF_OK : HF_ID_CONFLICT;
    }
    if (!inventory_has_item(inventory, asked->item)) {
        return HF_UNKNOWN_ITEM;
    }
    struct stock_view view;
    stock_read(inventory->stock, asked->item, &view);
    if (asked->has_expected && asked->expected != view.stocked) {
        return HF_CONFLICT;
    }
    if (asked->has_set_to ? asked->set_to < 0 || asked->set_to > STOCK_MAX
                          : asked->delta < -STOCK_MAX || asked->delta > STOCK_MAX) {
        return HF_INVALID;
    }
    int64_t stocked = asked->has_set_to ? asked->set_to : view.stocked + asked->delta;
    if (stocked < 0 || stocked > STOCK_MAX) {
        return HF_INVALID;
    }
    if (!adjustments_make_room(&inventory->adjustments)) {
        return HF_FULL;
    }
    struct adjustment_made made = {
        .id = asked->id,
        .delta = stocked - view.stocked,
        .stocked = stocked,
        .texts = adjustment_texts(asked->reason, asked->reference),
        .item = asked->item,
    };
    uint32_t flags = 0;
    if (made.delta < 0) {
        enum hf_status status = adjust_debit(txn, asked, -made.delta, view.safety, &flags);
        if (status != HF_OK) {
            return status;
        }
    }
    adjust_add_event(txn, asked, &made, flags);
    return HF_OK;
}

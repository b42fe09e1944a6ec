/* inventory_admin.c - definitions of SKUs and items, adjustments of stock and moves between pools.
 *
 * Threads: one at a time, under the admin lock; readers of the catalog and operations on stock
 * continue at the same time. Memory that publishing needs is taken when deciding, so publishing
 * can't fail. */
#include "core/inventory_admin.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/mutex.h"
#include "base/schedule.h"
#include "core/definitions.h"
#include "core/inventory_units.h"

void inventory_admin_lock(struct inventory *inventory)
{
    mutex_lock(&inventory->admin);
}

void inventory_admin_unlock(struct inventory *inventory)
{
    mutex_unlock(&inventory->admin);
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

struct item_def item_def_of(const struct inventory *inventory, uint32_t item)
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

/* Finds the SKU, or copies its code for a SKU to be made. */
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
    CHECK((definition->sku == 0) == (definition->code != NULL));
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
    CHECK(sku != 0);
    catalog_set_rule(inventory->catalog, sku, rule, definition->label);
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
        if (sku_rule_equal(&present, rule)) {
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

struct sku_rule inventory_merged_sku(const struct inventory *inventory,
                                     const struct sku_rule *asked, uint32_t named)
{
    struct sku_rule present = {0};
    uint32_t sku = catalog_find_sku(inventory->catalog, asked->sku);
    if (sku != 0) {
        catalog_sku_rule(inventory->catalog, sku, &present);
    }
    return sku_rule_merge(&present, asked, named);
}

enum hf_status inventory_change_sku(struct txn *txn, const struct sku_rule *asked, uint32_t named)
{
    struct sku_rule rule = inventory_merged_sku(txn->inventory, asked, named);
    return inventory_define_sku(txn, &rule);
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
    /* Checked before any name is copied, because copies are never freed. */
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
 * necessary. So an order after that record never sells units that the definition has set aside. */
static void definition_debit(struct txn *txn, const struct item_def *present,
                             const struct item_def *def, struct definition *definition)
{
    CHECK(present->item != 0);
    CHECK(definition->debited == 0);
    int64_t fewer = (present->presale_cap - present->safety) - (def->presale_cap - def->safety);
    if (fewer > 0) {
        SCHEDULE_POINT("definition.debit");
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
        struct sku_rule none = {.sku = def->sku}; /* a SKU that is made with its first item */
        delta += rule_digest(&none);
    }
    return delta;
}

void definition_install_item(struct inventory *inventory, const struct item_def *def,
                             const struct definition *definition)
{
    struct catalog *catalog = inventory->catalog;
    uint32_t item = definition->item ? definition->item : catalog_items(catalog) + 1;
    if (def->presale_cap > 0) {
        catalog_set_presale(catalog, item, true); /* set before more can be sold */
    }
    SCHEDULE_POINT("definition.install");
    stock_redefine(inventory->stock, item, def->safety, def->presale_cap, def->hot,
                   definition->debited);
    if (definition->item) {
        catalog_set_hot(catalog, item, def->hot);
        catalog_set_presale(catalog, item, def->presale_cap > 0);
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
    CHECK(copy.item != 0);
    CHECK((definition->item == 0) == (definition->pool != NULL));
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
        if (item_def_equal(&present, def)) {
            return HF_OK;
        }
        definition_debit(txn, &present, def, &memory->definition);
        if (def->presale_cap > 0) {
            /* Set long before the cap is raised, so that a thread that sells by the cap sees the
             * flag. */
            catalog_set_presale(inventory->catalog, *item, true);
        }
    }
    struct event *event = txn_add(txn, EVENT_ITEM_DEFINED, ORDER_NO_HANDLE, EVENT_ADMIN_BYTES);
    event->item = &memory->item;
    event->digest_delta = definition_item_digest(inventory, &memory->item, &memory->definition);
    return HF_OK;
}

struct item_def inventory_merged_item(const struct inventory *inventory,
                                      const struct item_def *asked, uint32_t named)
{
    struct item_def present = {0};
    uint32_t sku = catalog_find_sku(inventory->catalog, asked->sku);
    uint32_t item = sku != 0 ? catalog_find_item(inventory->catalog, sku, asked->pool) : 0;
    if (item != 0) {
        present = item_def_of(inventory, item);
    }
    return item_def_merge(&present, asked, named);
}

enum hf_status inventory_change_item(struct txn *txn, const struct item_def *asked, uint32_t named,
                                     uint32_t *item)
{
    struct item_def def = inventory_merged_item(txn->inventory, asked, named);
    return inventory_define_item(txn, &def, item);
}

/* ---- Adjustments ---- */

/* Whether something was made under the id; if so, *status is the answer to the repeated request. */
static bool adjustment_again(const struct adjustment_made *made, uint32_t item, bool same_change,
                             const int64_t *expected, uint64_t texts, bool *replayed,
                             enum hf_status *status)
{
    if (!made) {
        *replayed = false;
        return false;
    }
    /* If only the repeated request has `expected`, it must agree with the stock that the first one
     * found. */
    CHECK(made->item != 0);
    *replayed = made->item == item && same_change &&
                (!expected || *expected == made->stocked - made->delta) && made->texts == texts;
    *status = *replayed ? HF_OK : HF_ID_CONFLICT;
    return true;
}

bool adjust_again(const struct adjustment_made *before, const struct adjustment *asked,
                  bool *replayed, enum hf_status *status)
{
    bool same = before && (asked->has_set_to ? before->stocked == asked->set_to
                                             : before->delta == asked->delta);
    return adjustment_again(before, asked->item, same,
                            asked->has_expected ? &asked->expected : NULL,
                            adjustment_texts(asked->reason, asked->reference), replayed, status);
}

bool move_again(const struct adjustment_made *before, const struct move *asked, bool *replayed,
                enum hf_status *status)
{
    bool same = before && asked->units >= 1 && before->delta == -asked->units;
    return adjustment_again(
        before, asked->from, same, asked->has_expected ? &asked->expected : NULL,
        adjustment_move_texts(asked->reason, asked->reference, asked->to), replayed, status);
}

/* Lowers what is free before the record is made. The stock on hand, plus presale_cap, must still
 * cover what is held and sold; the safety stock may be used up. */
static enum hf_status adjust_debit(struct txn *txn, uint32_t item, int64_t qty, int64_t safety,
                                   bool force, uint32_t *flags)
{
    struct stock *stock = txn->inventory->stock;
    CHECK(qty >= 1);
    CHECK(safety >= 0);
    enum hf_status status = stock_debit(stock, txn->slot, item, qty, -safety);
    if (status == HF_WOULD_OVERSELL && force) {
        *flags = EVENT_FORCED;
        status = stock_debit(stock, txn->slot, item, qty, INT64_MIN);
    }
    return status;
}

/* Adds the event of an adjustment or a move, with copies of its texts. */
static struct event *adjust_add_event(struct txn *txn, enum event_type type,
                                      const struct adjustment_made *made, uint32_t flags,
                                      struct bytes *reason, struct bytes *reference)
{
    CHECK(reason->len + reference->len <= 2 * REASON_BYTES_MAX);
    struct event *event = txn_add(txn, type, ORDER_NO_HANDLE, EVENT_ADMIN_BYTES);
    uint8_t *texts = txn_bytes(txn, reason->len + reference->len);
    if (reason->len) {
        memcpy(texts, reason->data, reason->len);
    }
    if (reference->len) {
        memcpy(texts + reason->len, reference->data, reference->len);
    }
    *reason = (struct bytes){texts, reason->len};
    *reference = (struct bytes){texts + reason->len, reference->len};
    txn->memory->made = *made;
    event->id = made->id;
    event->flags = flags;
    event->digest_delta = adjustment_digest(made) + digest_stocked(made->item, made->delta);
    return event;
}

static void change_add_event(struct txn *txn, const struct adjustment *asked,
                             const struct adjustment_made *made, uint32_t flags)
{
    struct stock_change *change = &txn->memory->change;
    *change = (struct stock_change){
        .item = made->item,
        .delta = made->delta,
        .stocked = made->stocked,
        .reason = asked->reason,
        .reference = asked->reference,
    };
    struct event *event = adjust_add_event(txn, EVENT_STOCK_ADJUSTED, made, flags, &change->reason,
                                           &change->reference);
    event->adjust = change;
}

enum hf_status adjust_check(const struct adjustment *asked, int64_t before, int64_t *stocked)
{
    if (asked->has_expected && asked->expected != before) {
        return HF_CONFLICT;
    }
    if (asked->has_set_to ? asked->set_to < 0 || asked->set_to > STOCK_MAX
                          : asked->delta < -STOCK_MAX || asked->delta > STOCK_MAX) {
        return HF_INVALID;
    }
    *stocked = asked->has_set_to ? asked->set_to : before + asked->delta;
    return *stocked < 0 || *stocked > STOCK_MAX ? HF_INVALID : HF_OK;
}

enum hf_status inventory_adjust(struct txn *txn, const struct adjustment *asked, bool *replayed)
{
    CHECK(asked->reason.len <= REASON_BYTES_MAX);
    CHECK(asked->reference.len <= REASON_BYTES_MAX);
    struct inventory *inventory = txn->inventory;
    struct adjustment_made made = {
        .id = asked->id,
        .texts = adjustment_texts(asked->reason, asked->reference),
        .item = asked->item,
    };
    enum hf_status status;
    const struct adjustment_made *before = adjustments_find(&inventory->adjustments, asked->id);
    if (adjust_again(before, asked, replayed, &status)) {
        return status;
    }
    if (!inventory_has_item(inventory, asked->item)) {
        return HF_UNKNOWN_ITEM;
    }
    struct stock_view view;
    stock_read(inventory->stock, asked->item, &view);
    status = adjust_check(asked, view.stocked, &made.stocked);
    if (status != HF_OK) {
        return status;
    }
    if (!adjustments_make_room(&inventory->adjustments)) {
        return HF_FULL;
    }
    CHECK(made.stocked >= 0 && made.stocked <= STOCK_MAX); /* adjust_check */
    made.delta = made.stocked - view.stocked;
    uint32_t flags = 0;
    if (made.delta < 0) {
        status = adjust_debit(txn, asked->item, -made.delta, view.safety, asked->force, &flags);
    }
    if (status == HF_OK) {
        change_add_event(txn, asked, &made, flags);
    }
    return status;
}

void adjust_publish(struct inventory *inventory, unsigned slot, const struct adjustment_made *made)
{
    CHECK(made->item != 0);
    CHECK(made->stocked >= 0 && made->stocked <= STOCK_MAX);
    stock_restock(inventory->stock, slot, made->item, made->delta);
    adjustments_add(&inventory->adjustments, made);
}

/* ---- Moves ---- */

/* Two items of one SKU, and not the same. */
static bool move_items_fit(const struct inventory *inventory, uint32_t from, uint32_t to)
{
    return from != to &&
           catalog_item_sku(inventory->catalog, from) == catalog_item_sku(inventory->catalog, to);
}

enum hf_status move_check(const struct move *asked, int64_t from_stocked, int64_t to_stocked,
                          struct stock_move *move)
{
    if (asked->has_expected && asked->expected != from_stocked) {
        return HF_CONFLICT;
    }
    if (asked->units < 1 || asked->units > from_stocked || asked->units > STOCK_MAX - to_stocked) {
        return HF_INVALID;
    }
    *move = (struct stock_move){
        .from = asked->from,
        .to = asked->to,
        .units = asked->units,
        .from_stocked = from_stocked - asked->units,
        .to_stocked = to_stocked + asked->units,
        .reason = asked->reason,
        .reference = asked->reference,
    };
    return HF_OK;
}

/* Finds the items of a move and checks the move. OK, UNKNOWN_ITEM, INVALID or CONFLICT. */
static enum hf_status move_decide(const struct inventory *inventory, const struct move *asked,
                                  struct stock_move *move, int64_t *safety)
{
    if (!inventory_has_item(inventory, asked->from) || !inventory_has_item(inventory, asked->to)) {
        return HF_UNKNOWN_ITEM;
    }
    if (!move_items_fit(inventory, asked->from, asked->to)) {
        return HF_INVALID;
    }
    struct stock_view from;
    struct stock_view to;
    stock_read(inventory->stock, asked->from, &from);
    stock_read(inventory->stock, asked->to, &to);
    *safety = from.safety;
    return move_check(asked, from.stocked, to.stocked, move);
}

struct adjustment_made move_made(struct id128 id, const struct stock_move *move)
{
    CHECK(move->units >= 1);
    CHECK(move->from != move->to);
    return (struct adjustment_made){
        .id = id,
        .delta = -move->units,
        .stocked = move->from_stocked,
        .texts = adjustment_move_texts(move->reason, move->reference, move->to),
        .item = move->from,
    };
}

/* seq_cst, both: a thread that sees the debit sees the begin that came before it; a thread that
 * sees the end sees the credit that came before it. */
static void move_begin(struct inventory *inventory)
{
    SCHEDULE_POINT("move.begin");
    atomic_fetch_add_explicit(&inventory->moves_begun, 1, memory_order_seq_cst);
}

static void move_done(struct inventory *inventory)
{
    SCHEDULE_POINT("move.done");
    CHECK(atomic_load_explicit(&inventory->moves_done, memory_order_relaxed) <
          atomic_load_explicit(&inventory->moves_begun, memory_order_relaxed));
    atomic_fetch_add_explicit(&inventory->moves_done, 1, memory_order_seq_cst);
}

enum hf_status inventory_move(struct txn *txn, const struct move *asked, bool *replayed)
{
    CHECK(asked->reason.len <= REASON_BYTES_MAX);
    CHECK(asked->reference.len <= REASON_BYTES_MAX);
    struct inventory *inventory = txn->inventory;
    enum hf_status status;
    const struct adjustment_made *before = adjustments_find(&inventory->adjustments, asked->id);
    if (move_again(before, asked, replayed, &status)) {
        return status;
    }
    struct stock_move *move = &txn->memory->move;
    int64_t safety;
    status = move_decide(inventory, asked, move, &safety);
    if (status != HF_OK) {
        return status;
    }
    if (!adjustments_make_room(&inventory->adjustments)) {
        return HF_FULL;
    }
    uint32_t flags = 0;
    move_begin(inventory);
    status = adjust_debit(txn, move->from, move->units, safety, asked->force, &flags);
    if (status != HF_OK) {
        move_done(inventory);
    } else {
        struct adjustment_made made = move_made(asked->id, move);
        struct event *event =
            adjust_add_event(txn, EVENT_STOCK_MOVED, &made, flags, &move->reason, &move->reference);
        event->move = move;
        event->digest_delta += digest_stocked(move->to, move->units);
    }
    return status;
}

void move_publish(struct inventory *inventory, unsigned slot, const struct stock_move *move,
                  const struct adjustment_made *made)
{
    CHECK(made->delta == -move->units);
    CHECK(made->item == move->from);
    stock_restock(inventory->stock, slot, move->from, -move->units);
    stock_restock(inventory->stock, slot, move->to, move->units);
    move_done(inventory);
    adjustments_add(&inventory->adjustments, made);
}

/* Whether a logged move is possible, and leaves the stock that the log says. */
static bool move_fits(const struct inventory *inventory, const struct stock_move *move)
{
    if (!inventory_has_item(inventory, move->from) || !inventory_has_item(inventory, move->to) ||
        !move_items_fit(inventory, move->from, move->to) || move->units < 1 ||
        move->units > STOCK_MAX) {
        return false;
    }
    struct stock_view from;
    struct stock_view to;
    stock_read(inventory->stock, move->from, &from);
    stock_read(inventory->stock, move->to, &to);
    return move->from_stocked >= 0 && move->from_stocked == from.stocked - move->units &&
           move->to_stocked <= STOCK_MAX && move->to_stocked == to.stocked + move->units;
}

enum hf_status move_apply(struct inventory *inventory, struct event *event)
{
    const struct stock_move *move = event->move;
    if (!move_fits(inventory, move) || adjustments_find(&inventory->adjustments, event->id)) {
        return HF_DAMAGED;
    }
    if (!adjustments_make_room(&inventory->adjustments)) {
        return HF_FULL;
    }
    struct adjustment_made made = move_made(event->id, move);
    event->digest_delta = adjustment_digest(&made) + digest_stocked(move->from, -move->units) +
                          digest_stocked(move->to, move->units);
    move_begin(inventory);
    units_force(inventory->stock, 0, move->from, move->units);
    move_publish(inventory, 0, move, &made);
    return HF_OK;
}

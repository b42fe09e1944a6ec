/* inventory_publish.c - making events visible, and replaying them from the log.
 *
 * Both change an order by transition_apply(). They differ in what has happened to stock before:
 * live, units were taken when the event was decided, and publishing only sells and gives back;
 * in replay, the event does all of it, and takes units whether or not they are there: the log says
 * that they were (a definition or a forced adjustment may have lowered what is free since).
 *
 * Threads: publish any; apply alone. */
#include "base/check.h"
#include "core/inventory_internal.h"

/* ---- Stock ---- */

/* What a line's event sells, and what it gives back (below 0: takes). */
struct line_moves {
    int64_t sold;
    int64_t given;
};

static struct line_moves line_moves(const struct order *order, const struct event *event,
                                    enum order_state state_after, uint32_t i)
{
    struct order_line_view line = transition_line(order, i);
    struct order_line_view after = transition_line_after(&line, event->type, event_qty(event, i));
    struct line_units was = line_units((enum order_state)order->state, &line);
    struct line_units is = line_units(state_after, &after);
    return (struct line_moves){is.sold - was.sold, was.held + was.sold - is.held - is.sold};
}

/* Sells and gives back what a decided event says. Late commits took all of the order again when
 * they were decided. */
static void stock_publish(struct txn *txn, const struct order *order, const struct event *event)
{
    struct stock *stock = txn->inventory->stock;
    enum order_state state_after = transition_state(order, event);
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct line_moves moves = line_moves(order, event, state_after, i);
        struct order_line_view line = transition_line(order, i);
        if (event->flags & EVENT_LATE) {
            moves.given += (int64_t)line.qty - line.released;
        }
        CHECK(moves.given >= 0);
        if (moves.sold != 0) {
            stock_sell(stock, txn->slot, line.item, moves.sold);
        }
        if (moves.given > 0) {
            stock_give(stock, txn->slot, line.item, moves.given);
        }
    }
}

/* Takes units for good: replay's way. */
static void stock_force(struct stock *stock, uint32_t item, int64_t qty)
{
    enum hf_status status = stock_debit(stock, 0, item, qty, INT64_MIN);
    CHECK(status == HF_OK);
}

static void stock_replay(struct stock *stock, const struct order *order, const struct event *event)
{
    enum order_state state_after = transition_state(order, event);
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct line_moves moves = line_moves(order, event, state_after, i);
        uint32_t item = transition_line(order, i).item;
        if (moves.given < 0) {
            stock_force(stock, item, -moves.given);
        }
        if (moves.sold != 0) {
            stock_sell(stock, 0, item, moves.sold);
        }
        if (moves.given > 0) {
            stock_give(stock, 0, item, moves.given);
        }
    }
}

/* ---- One event ---- */

/* Under the shard's lock. */
static void held_publish(struct order_shard *shard, struct order *order, uint64_t lsn)
{
    CHECK(order->state == ORDER_NONE);
    order->state = ORDER_HELD;
    order->lsn = lsn;
    order->flags &= (uint8_t)~ORDER_BUSY;
    counter_add(&shard->known, 1);
    counter_add(&shard->held, 1);
}

/* Under the shard's lock. */
static void edit_publish(struct order_shard *shard, struct order *order, const struct event *event,
                         struct order_line_view *block)
{
    bool was_held = order->state == ORDER_HELD;
    transition_apply(order, event, block);
    if (was_held && order->state != ORDER_HELD) {
        counter_add(&shard->held, (uint64_t)-1);
    }
}

static void order_publish(struct txn *txn, uint32_t i)
{
    const struct event *event = &txn->events[i];
    struct orders *orders = &txn->inventory->orders;
    struct order_shard *shard = orders_shard(orders, id_hash(event->id));
    struct order *order = orders_at(orders, txn->changed[i]);
    spin_lock(&shard->spin);
    CHECK(order->flags & ORDER_BUSY);
    if (event->type == EVENT_ORDER_HELD) {
        held_publish(shard, order, event->lsn);
    } else {
        stock_publish(txn, order, event);
        edit_publish(shard, order, event, txn->memory->blocks[i]);
    }
    spin_unlock(&shard->spin);
}

static void adjust_publish(struct inventory *inventory, unsigned slot,
                           const struct adjustment_made *made)
{
    stock_restock(inventory->stock, slot, made->item, made->delta);
    adjustments_add(&inventory->adjustments, made);
}

/* ---- Publish ---- */

/* Enters the deadlines of the new orders. Not under their shards' locks: the wheel's is held for
 * many. An order that ended meanwhile leaves a hint that is dropped when it comes due. */
static void deadlines_publish(struct txn *txn, uint32_t held_count)
{
    struct expiry *expiry = txn->inventory->expiry;
    unsigned wheel = txn->slot % EXPIRY_WHEELS;
    uint32_t at_once = 0;
    for (uint32_t i = 0; held_count > 0; i++) {
        if (txn->events[i].type != EVENT_ORDER_HELD) {
            continue;
        }
        if (at_once == 0) {
            expiry_lock(expiry, wheel);
        }
        expiry_add(expiry, wheel, txn->changed[i], txn->events[i].deadline_ms, txn->now_ms);
        held_count--;
        at_once++;
        if (at_once == 64 || held_count == 0) {
            expiry_unlock(expiry, wheel);
            at_once = 0;
        }
    }
}

#define PUBLISH_AHEAD 4u /* events whose shard may have gone to another processor meanwhile */

static void publish_prefetch(const struct txn *txn, uint32_t i)
{
    if (i < txn->event_count && txn->changed[i] != ORDER_NO_HANDLE) {
        __builtin_prefetch(orders_shard(&txn->inventory->orders, id_hash(txn->events[i].id)), 1);
        __builtin_prefetch(orders_at(&txn->inventory->orders, txn->changed[i]), 1);
    }
}

void inventory_publish(struct txn *txn)
{
    struct inventory *inventory = txn->inventory;
    struct txn_memory *memory = txn->memory;
    uint32_t held_count = 0;
    for (uint32_t i = 0; i < txn->event_count; i++) {
        publish_prefetch(txn, i + PUBLISH_AHEAD);
        switch (txn->events[i].type) {
        case EVENT_SKU_DEFINED:
            definition_install_sku(inventory, &memory->sku, &memory->definition);
            break;
        case EVENT_ITEM_DEFINED:
            definition_install_item(inventory, &memory->item, &memory->definition);
            break;
        case EVENT_STOCK_ADJUSTED:
            adjust_publish(inventory, txn->slot, &memory->made);
            break;
        case EVENT_ORDER_HELD:
            held_count++;
            order_publish(txn, i);
            break;
        default:
            order_publish(txn, i);
        }
    }
    deadlines_publish(txn, held_count);
    txn->event_count = 0;
    memory->encoded_bytes = 0;
    memory->used_bytes = 0;
}

/* ---- Replay ---- */

static bool held_fits(const struct inventory *inventory, const struct event *event,
                      const struct order_line *lines)
{
    if (event->line_count < 1 || event->line_count > ORDER_LINES_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < event->line_count; i++) {
        if (!inventory_has_item(inventory, lines[i].item) || lines[i].qty < 1 ||
            lines[i].qty > QTY_MAX) {
            return false;
        }
    }
    return true;
}

static enum hf_status apply_held(struct inventory *inventory, struct event *event)
{
    const struct order_line *lines = event->line_count == 1 ? &event->one : event->lines;
    if (!held_fits(inventory, event, lines)) {
        return HF_DAMAGED;
    }
    struct orders *orders = &inventory->orders;
    uint64_t hash = id_hash(event->id);
    struct order_shard *shard = orders_shard(orders, hash);
    if (orders_find(orders, shard, hash, event->id) != ORDER_NO_HANDLE) {
        return HF_DAMAGED;
    }
    uint32_t handle = order_enter(inventory, 0, shard, hash, event, lines);
    if (handle == ORDER_NO_HANDLE) {
        return HF_FULL;
    }
    for (uint32_t i = 0; i < event->line_count; i++) {
        stock_force(inventory->stock, lines[i].item, lines[i].qty);
    }
    held_publish(shard, orders_at(orders, handle), event->lsn);
    unsigned wheel = handle % EXPIRY_WHEELS;
    expiry_lock(inventory->expiry, wheel);
    expiry_add(inventory->expiry, wheel, handle, event->deadline_ms, 0);
    expiry_unlock(inventory->expiry, wheel);
    event->digest_delta = transition_held_digest(event->id, event->buyer, event->deadline_ms, lines,
                                                 event->line_count);
    return HF_OK;
}

static enum hf_status apply_edit(struct inventory *inventory, struct event *event)
{
    struct orders *orders = &inventory->orders;
    uint64_t hash = id_hash(event->id);
    struct order_shard *shard = orders_shard(orders, hash);
    uint32_t handle = orders_find(orders, shard, hash, event->id);
    if (handle == ORDER_NO_HANDLE) {
        return HF_DAMAGED;
    }
    struct order *order = orders_at(orders, handle);
    if (transition_misfit(order, event) != NULL) {
        return HF_DAMAGED;
    }
    struct order_line_view *block = NULL;
    if (transition_needs_block(order, event)) {
        block = lines_alloc(inventory->lines, handle, order->line_count);
        if (!block) {
            return HF_FULL;
        }
    }
    event->digest_delta = transition_digest(order, event);
    stock_replay(inventory->stock, order, event);
    edit_publish(shard, order, event, block);
    return HF_OK;
}

static enum hf_status apply_sku(struct inventory *inventory, struct event *event)
{
    const struct sku_rule *rule = event->sku;
    if (rule->sku.len < 1 || rule->sku.len > CODE_BYTES_MAX || rule->label.len > LABEL_BYTES_MAX) {
        return HF_DAMAGED;
    }
    struct definition definition;
    enum hf_status status = definition_of_sku(inventory, rule, &definition);
    if (status == HF_OK) {
        event->digest_delta = definition_sku_digest(inventory, rule, &definition);
        definition_install_sku(inventory, rule, &definition);
    }
    return status;
}

static enum hf_status apply_item(struct inventory *inventory, struct event *event)
{
    const struct item_def *def = event->item;
    if (def->sku.len < 1 || def->sku.len > CODE_BYTES_MAX || def->pool.len < 1 ||
        def->pool.len > CODE_BYTES_MAX || def->safety < 0 || def->safety > STOCK_MAX ||
        def->presale_cap < 0 || def->presale_cap > STOCK_MAX) {
        return HF_DAMAGED;
    }
    struct definition definition;
    enum hf_status status = definition_of_item(inventory, def, &definition);
    if (status != HF_OK) {
        return status;
    }
    uint32_t item = definition.item ? definition.item : catalog_items(inventory->catalog) + 1;
    if (def->item != item) {
        return HF_DAMAGED;
    }
    event->digest_delta = definition_item_digest(inventory, def, &definition);
    definition_install_item(inventory, def, &definition);
    return HF_OK;
}

static enum hf_status apply_adjust(struct inventory *inventory, struct event *event)
{
    const struct stock_change *change = event->adjust;
    if (!inventory_has_item(inventory, change->item) || change->delta < -STOCK_MAX ||
        change->delta > STOCK_MAX || change->stocked < 0 || change->stocked > STOCK_MAX ||
        adjustments_find(&inventory->adjustments, event->id)) {
        return HF_DAMAGED;
    }
    struct stock_view view;
    stock_read(inventory->stock, change->item, &view);
    if (view.stocked + change->delta != change->stocked) {
        return HF_DAMAGED;
    }
    if (!adjustments_make_room(&inventory->adjustments)) {
        return HF_FULL;
    }
    struct adjustment_made made = {
        .id = event->id,
        .delta = change->delta,
        .stocked = change->stocked,
        .texts = adjustment_texts(change->reason, change->reference),
        .item = change->item,
    };
    if (made.delta < 0) {
        stock_force(inventory->stock, made.item, -made.delta);
    }
    event->digest_delta = adjustment_digest(&made) + digest_stocked(made.item, made.delta);
    adjust_publish(inventory, 0, &made);
    return HF_OK;
}

enum hf_status inventory_apply(struct inventory *inventory, struct event *event)
{
    switch (event->type) {
    case EVENT_ORDER_HELD:
        return apply_held(inventory, event);
    case EVENT_ORDER_COMMITTED:
    case EVENT_ORDER_RELEASED:
    case EVENT_ORDER_EXPIRED:
    case EVENT_ORDER_EXTENDED:
    case EVENT_ORDER_RETURNED:
        return apply_edit(inventory, event);
    case EVENT_SKU_DEFINED:
        return apply_sku(inventory, event);
    case EVENT_ITEM_DEFINED:
        return apply_item(inventory, event);
    case EVENT_STOCK_ADJUSTED:
        return apply_adjust(inventory, event);
    }
    return HF_DAMAGED;
}

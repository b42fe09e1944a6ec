/* inventory_apply.c - applying events of the log to the state.
 *
 * An order is changed by transition_apply(), as when it is published (inventory_publish.c). The
 * difference is in what has happened to stock before. In a running engine units were taken when the
 * event was decided, and publishing only sells and credits. In replay the event does all of this,
 * and takes units whether or not they are free: when they were sold they were, and a definition or
 * a forced adjustment may have lowered what is free since.
 *
 * Threads: one, except that lanes apply the events of orders side by side (replay.h). */
#include "core/inventory_apply.h"
#include "base/check.h"

#include "core/inventory_admin.h"
#include "core/inventory_effect.h"
#include "core/inventory_forget.h"
#include "core/inventory_units.h"

/* ---- Stock, limits and tickets ---- */

static void stock_replay(const struct replay_lane *lane, const struct order *order,
                         const struct event *event)
{
    CHECK(order->state != ORDER_NONE);
    enum order_state state_after = transition_state(order, event);
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct line_moves moves = line_moves(order, event, state_after, i);
        replay_units(lane, transition_line(order, i).item, -moves.credited, moves.sold);
    }
}

/* Undoes a counts_change() that was OK. */
static void counts_change_back(struct inventory *inventory, uint64_t buyer,
                               const struct order_line_view *line, struct line_counts counts)
{
    struct line_counts back = {-counts.counted, -counts.presale};
    enum hf_status status = counts_change(inventory, buyer, line, back);
    CHECK(status == HF_OK);
}

/* How many of a line's counted units an event takes (above 0) or credits (below 0). An order that
 * has just been entered takes all of the line. */
static struct line_counts counts_of(const struct order *order, const struct event *event,
                                    const struct order_line_view *line, uint32_t i)
{
    CHECK(i < order->line_count);
    if (event->type != EVENT_ORDER_HELD) {
        return transition_counts(order, event, i);
    }
    return (struct line_counts){line->counted ? line->qty : 0, line->presale_qty};
}

/* Not OK: nothing is changed. */
static enum hf_status counts_replay(struct inventory *inventory, const struct order *order,
                                    const struct event *event)
{
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        enum hf_status status =
            counts_change(inventory, order->buyer, &line, counts_of(order, event, &line, i));
        while (status != HF_OK && i-- > 0) {
            line = transition_line(order, i);
            counts_change_back(inventory, order->buyer, &line, counts_of(order, event, &line, i));
        }
        if (status != HF_OK) {
            return status;
        }
    }
    return HF_OK;
}

/* ---- Orders ---- */

static bool grant_fits(const struct event *event, uint32_t i)
{
    CHECK(event->grants != NULL);
    CHECK(i < event->line_count);
    const struct order_grant *grant = &event->grants[i];
    return grant->line >= 1 && grant->line <= (event->contents & UINT16_MAX) &&
           (i == 0 || grant->line >= event->grants[i - 1].line) &&
           grant->presale_qty <= grant->qty && (grant->ticket != 0) == (grant->presale_qty != 0);
}

bool order_held_fits(const struct inventory *inventory, const struct event *event)
{
    if (event->line_count < 1 || event->line_count > ORDER_LINES_MAX ||
        (event->flags & EVENT_COUNTED && (event->grants || event->line_count != 1))) {
        return false;
    }
    if (event->grants &&
        ((event->contents & UINT16_MAX) < 1 || (event->contents & UINT16_MAX) > ORDER_LINES_MAX)) {
        return false;
    }
    for (uint32_t i = 0; i < event->line_count; i++) {
        struct order_line_view line = transition_held_line(event, i);
        if (!inventory_has_item(inventory, line.item) || line.qty < 1 || line.qty > QTY_MAX ||
            (line.counted && event->buyer == 0) || (event->grants && !grant_fits(event, i))) {
            return false;
        }
    }
    return true;
}

/* Takes the units of a new order that was entered. */
static enum hf_status held_apply(const struct replay_lane *lane, struct order *order,
                                 struct event *event, struct order_line_view *block)
{
    CHECK(order->state == ORDER_NONE);
    transition_enter(order, event, block);
    CHECK(order->line_count == event->line_count);
    enum hf_status status = counts_replay(lane->inventory, order, event);
    if (status != HF_OK) {
        order->flags &= (uint8_t)~ORDER_BLOCK; /* the caller owns the block again */
        return status;
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        replay_units(lane, line.item, line.qty, 0);
    }
    event->digest_delta = held_digest(lane->inventory, event);
    held_show(order, event->lsn);
    return HF_OK;
}

static enum hf_status edit_apply(const struct replay_lane *lane, struct order *order,
                                 struct event *event, struct order_line_view *block)
{
    if (counts_matter(order)) {
        enum hf_status status = counts_replay(lane->inventory, order, event);
        if (status != HF_OK) {
            return status;
        }
    }
    CHECK(id_equal(order->id, event->id));
    event->digest_delta = edit_digest(lane->inventory, order, event);
    stock_replay(lane, order, event);
    transition_apply(order, event, block);
    return HF_OK;
}

static struct order_line_view *block_take(const struct block_source *source, uint32_t line_count)
{
    CHECK(line_count >= 1 && line_count <= ORDER_LINES_MAX);
    return source->lines ? lines_alloc(source->lines, source->handle, line_count) : source->own;
}

static void block_release(const struct block_source *source, struct order_line_view *block,
                          uint32_t line_count)
{
    if (source->lines) {
        lines_free(source->lines, source->handle, block, line_count);
    }
}

enum hf_status order_apply(const struct replay_lane *lane, struct order *order, struct event *event,
                           const struct block_source *source)
{
    bool held = event->type == EVENT_ORDER_HELD;
    CHECK(held == (order->state == ORDER_NONE));
    uint32_t line_count = held ? event->line_count : order->line_count;
    struct order_line_view *block = NULL;
    if (held ? transition_enters_block(event) : transition_needs_block(order, event)) {
        block = block_take(source, line_count);
        if (!block) {
            return HF_FULL;
        }
    }
    enum hf_status status =
        held ? held_apply(lane, order, event, block) : edit_apply(lane, order, event, block);
    if (status != HF_OK && block) {
        block_release(source, block, line_count);
    }
    return status;
}

static enum hf_status apply_held(const struct replay_lane *lane, struct event *event, uint64_t hash)
{
    struct inventory *inventory = lane->inventory;
    struct orders *orders = &inventory->orders;
    struct order_shard *shard = orders_shard(orders, hash);
    if (!order_held_fits(inventory, event) ||
        orders_find(orders, shard, hash, event->id) != ORDER_NO_HANDLE) {
        return HF_DAMAGED;
    }
    uint32_t handle = orders_enter(orders, lane->slot, shard, hash, event->id);
    if (handle == ORDER_NO_HANDLE) {
        return HF_FULL;
    }
    struct block_source source = {.lines = inventory->lines, .handle = handle};
    enum hf_status status = order_apply(lane, orders_at(orders, handle), event, &source);
    if (status == HF_OK) {
        held_count(shard);
    } else {
        orders_remove(orders, lane->slot, shard, hash, handle);
    }
    return status;
}

static enum hf_status apply_edit(const struct replay_lane *lane, struct event *event, uint64_t hash)
{
    struct inventory *inventory = lane->inventory;
    struct orders *orders = &inventory->orders;
    struct order_shard *shard = orders_shard(orders, hash);
    uint32_t handle = orders_find(orders, shard, hash, event->id);
    if (handle == ORDER_NO_HANDLE) {
        return HF_DAMAGED;
    }
    struct order *order = orders_at(orders, handle);
    if (transition_misfit(order, event) != NULL) {
        return HF_DAMAGED;
    }
    bool was_held = order->state == ORDER_HELD;
    struct block_source source = {.lines = inventory->lines, .handle = handle};
    enum hf_status status = order_apply(lane, order, event, &source);
    if (was_held && status == HF_OK) {
        held_uncount(shard, order);
    }
    return status;
}

enum hf_status order_event_apply(const struct replay_lane *lane, struct event *event, uint64_t hash)
{
    switch (event->type) {
    case EVENT_ORDER_HELD:
        return apply_held(lane, event, hash);
    case EVENT_ORDER_FORGOTTEN:
        return forget_apply(lane, event, hash);
    case EVENT_ORDER_COMMITTED:
    case EVENT_ORDER_RELEASED:
    case EVENT_ORDER_EXPIRED:
    case EVENT_ORDER_EXTENDED:
    case EVENT_ORDER_RETURNED:
        return apply_edit(lane, event, hash);
    default:
        return HF_DAMAGED;
    }
}

/* ---- Definitions and adjustments ---- */

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
    CHECK(adjustments_find(&inventory->adjustments, event->id) == NULL);
    struct adjustment_made made = {
        .id = event->id,
        .delta = change->delta,
        .stocked = change->stocked,
        .texts = adjustment_texts(change->reason, change->reference),
        .item = change->item,
    };
    if (made.delta < 0) {
        units_force(inventory->stock, 0, made.item, -made.delta);
    }
    event->digest_delta = adjustment_digest(&made) + digest_stocked(made.item, made.delta);
    adjust_publish(inventory, 0, &made);
    return HF_OK;
}

/* ---- Any event ---- */

enum hf_status inventory_apply(struct inventory *inventory, struct event *event)
{
    const struct replay_lane alone = {.inventory = inventory};
    switch (event->type) {
    case EVENT_ORDER_HELD:
    case EVENT_ORDER_COMMITTED:
    case EVENT_ORDER_RELEASED:
    case EVENT_ORDER_EXPIRED:
    case EVENT_ORDER_EXTENDED:
    case EVENT_ORDER_RETURNED:
    case EVENT_ORDER_FORGOTTEN:
        return order_event_apply(&alone, event, id_hash(event->id));
    case EVENT_SKU_DEFINED:
        return apply_sku(inventory, event);
    case EVENT_ITEM_DEFINED:
        return apply_item(inventory, event);
    case EVENT_STOCK_ADJUSTED:
        return apply_adjust(inventory, event);
    case EVENT_STOCK_MOVED:
        return move_apply(inventory, event);
    }
    return HF_DAMAGED;
}

/* inventory_publish.c - making events visible, and replaying them from the log.
 *
 * Both change an order by transition_apply(). They differ in what has happened to stock before:
 * live, units were taken when the event was decided, and publishing only sells and gives back;
 * in replay, the event does all of it, and takes units whether or not they are there: the log says
 * that they were (a definition or a forced adjustment may have lowered what is free since).
 *
 * Threads: publish any; apply alone, but for orders' events, which lanes apply side by side
 * (replay.h). */
#include "base/check.h"
#include "base/schedule.h"
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
        if (moves.given != 0) {
            stock_promise(stock, txn->slot, line.item, -moves.given);
        }
        if (event->flags & EVENT_LATE) {
            moves.given += (int64_t)line.qty - line.released;
        }
        CHECK(moves.given >= 0);
        SCHEDULE_POINT("publish.stock");
        if (moves.sold != 0) {
            stock_sell(stock, txn->slot, line.item, moves.sold);
        }
        if (moves.given > 0) {
            stock_give(stock, txn->slot, line.item, moves.given);
        }
    }
}

static void stock_replay(const struct replay_lane *lane, const struct order *order,
                         const struct event *event)
{
    enum order_state state_after = transition_state(order, event);
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct line_moves moves = line_moves(order, event, state_after, i);
        replay_units(lane, transition_line(order, i).item, -moves.given, moves.sold);
    }
}

/* ---- Limits and tickets ---- */

/* False for most orders, whose lines then need not be looked at. */
static bool counts_matter(const struct order *order)
{
    return order->flags & (ORDER_COUNTED | ORDER_BLOCK);
}

/* A change of a line's counts: what is given back, and in replay what is taken. OK; FULL; DAMAGED:
 * what is given back was never counted. Nothing is changed unless it is OK. */
static enum hf_status counts_change(struct inventory *inventory, uint64_t buyer,
                                    const struct order_line_view *line, struct line_counts counts)
{
    uint32_t sku = counts.counted ? catalog_item_sku(inventory->catalog, line->item) : 0;
    if (counts.counted > 0) {
        enum hf_status status =
            buyers_force(inventory->buyers, sku, buyer, (uint32_t)counts.counted);
        if (status != HF_OK) {
            return status;
        }
    } else if (counts.counted < 0 &&
               !buyers_try_give(inventory->buyers, sku, buyer, (uint32_t)-counts.counted)) {
        return HF_DAMAGED;
    }
    bool room = counts.presale == 0 ||
                presale_change(inventory->presale, line->item, line->ticket, counts.presale);
    if (!room && counts.counted > 0) {
        buyers_give(inventory->buyers, sku, buyer, (uint32_t)counts.counted);
    } else if (!room && counts.counted < 0) {
        CHECK(buyers_force(inventory->buyers, sku, buyer, (uint32_t)-counts.counted) == HF_OK);
    }
    return room ? HF_OK : counts.presale > 0 ? HF_FULL : HF_DAMAGED;
}

/* Undoes one that was OK. */
static void counts_change_back(struct inventory *inventory, uint64_t buyer,
                               const struct order_line_view *line, struct line_counts counts)
{
    struct line_counts back = {-counts.counted, -counts.presale};
    enum hf_status status = counts_change(inventory, buyer, line, back);
    CHECK(status == HF_OK);
}

struct line_counts counts_again(const struct order_line_view *line)
{
    int64_t qty = (int64_t)line->qty - line->released;
    int64_t presale = line->presale_qty;
    return (struct line_counts){line->counted ? qty : 0, presale < qty ? presale : qty};
}

/* Gives back what a decided event says. */
static void counts_publish(struct inventory *inventory, const struct order *order,
                           const struct event *event)
{
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct line_counts counts = transition_counts(order, event, i);
        struct order_line_view line = transition_line(order, i);
        if (event->flags & EVENT_LATE) {
            struct line_counts again = counts_again(&line);
            if (again.presale > 0) {
                presale_publish(inventory->presale, line.item, line.ticket);
            }
            counts.counted -= again.counted;
            counts.presale -= again.presale;
        }
        CHECK(counts.counted <= 0);
        CHECK(counts.presale <= 0);
        enum hf_status status = counts_change(inventory, order->buyer, &line, counts);
        CHECK(status == HF_OK);
    }
}

static enum hf_status counts_replay(struct inventory *inventory, const struct order *order,
                                    const struct event *event)
{
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct order_line_view line = transition_line(order, i);
        enum hf_status status =
            counts_change(inventory, order->buyer, &line, transition_counts(order, event, i));
        while (status != HF_OK && i-- > 0) {
            line = transition_line(order, i);
            counts_change_back(inventory, order->buyer, &line, transition_counts(order, event, i));
        }
        if (status != HF_OK) {
            return status;
        }
    }
    return HF_OK;
}

uint64_t held_digest(const struct inventory *inventory, const struct event *event)
{
    uint64_t digest = transition_held_digest(event);
    if (!event->grants && !(event->flags & EVENT_COUNTED)) {
        return digest;
    }
    for (uint32_t i = 0; i < event->line_count; i++) {
        struct order_line_view line = transition_held_line(event, i);
        if (line.counted) {
            digest += digest_buyer(catalog_item_sku(inventory->catalog, line.item), event->buyer,
                                   line.qty);
        }
    }
    return digest;
}

uint64_t edit_digest(const struct inventory *inventory, const struct order *order,
                     const struct event *event)
{
    uint64_t digest = transition_digest(order, event);
    for (uint32_t i = 0; counts_matter(order) && i < order->line_count; i++) {
        int64_t counted = transition_counts(order, event, i).counted;
        if (counted != 0) {
            uint32_t item = transition_line(order, i).item;
            digest +=
                digest_buyer(catalog_item_sku(inventory->catalog, item), order->buyer, counted);
        }
    }
    return digest;
}

/* ---- One event ---- */

static void held_count(struct order_shard *shard)
{
    counter_add(&shard->known, 1);
    counter_add(&shard->held, 1);
}

/* After an event was applied to the order, which was held before. */
static void held_uncount(struct order_shard *shard, const struct order *order)
{
    if (order->state != ORDER_HELD) {
        counter_add(&shard->held, (uint64_t)-1);
    }
}

static void held_show(struct order *order, uint64_t lsn)
{
    CHECK(order->state == ORDER_NONE);
    SCHEDULE_POINT("publish.held");
    order->state = ORDER_HELD;
    order->lsn = lsn;
    order->flags &= (uint8_t)~ORDER_BUSY;
}

/* Under the shard's lock. Its deadline is entered right after, without that lock. */
static void held_publish(struct order_shard *shard, struct order *order, uint64_t lsn)
{
    held_show(order, lsn);
    order->flags |= ORDER_HINTED;
    held_count(shard);
}

/* Under the shard's lock. */
static void edit_publish(struct order_shard *shard, struct order *order, const struct event *event,
                         struct order_line_view *block)
{
    bool was_held = order->state == ORDER_HELD;
    transition_apply(order, event, block);
    if (was_held) {
        held_uncount(shard, order);
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
    } else if (event->type == EVENT_ORDER_FORGOTTEN) {
        forget_publish(txn->inventory, txn->slot, shard, txn->changed[i]);
    } else {
        stock_publish(txn, order, event);
        if (counts_matter(order)) {
            counts_publish(txn->inventory, order, event);
        }
        SCHEDULE_POINT("publish.edit");
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
static void deadlines_publish(struct txn *txn, uint32_t held_orders)
{
    struct expiry *expiry = txn->inventory->expiry;
    unsigned wheel = txn->slot % EXPIRY_WHEELS;
    uint32_t at_once = 0;
    for (uint32_t i = 0; held_orders > 0; i++) {
        if (txn->events[i].type != EVENT_ORDER_HELD) {
            continue;
        }
        if (at_once == 0) {
            expiry_lock(expiry, wheel);
        }
        expiry_add(expiry, wheel, txn->changed[i], txn->events[i].deadline_ms, txn->now_ms);
        held_orders--;
        at_once++;
        if (at_once == 64 || held_orders == 0) {
            expiry_unlock(expiry, wheel);
            at_once = 0;
        }
    }
}

/* What a new order has. */
static void held_promise(struct txn *txn, const struct event *event)
{
    for (uint32_t i = 0; i < event->line_count; i++) {
        struct order_line_view line = transition_held_line(event, i);
        stock_promise(txn->inventory->stock, txn->slot, line.item, line.qty);
        if (line.presale_qty > 0) {
            presale_publish(txn->inventory->presale, line.item, line.ticket);
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

void inventory_publish_begin(struct txn *txn)
{
    CHECK(!txn->publishing);
    publication_begin(txn->inventory->publication, txn->slot);
    txn->publishing = true;
}

atomic_bool *inventory_publish_waits(struct txn *txn)
{
    CHECK(txn->publishing);
    return publication_waits(txn->inventory->publication, txn->slot);
}

void inventory_publish_cancel(struct txn *txn)
{
    CHECK(txn->publishing);
    txn->publishing = false;
    publication_end(txn->inventory->publication, txn->slot);
}

void inventory_publish(struct txn *txn)
{
    struct inventory *inventory = txn->inventory;
    struct txn_memory *memory = txn->memory;
    uint32_t held_orders = 0;
    if (!txn->publishing) {
        inventory_publish_begin(txn);
    }
    for (uint32_t i = 0; i < txn->event_count; i++) {
        publish_prefetch(txn, i + PUBLISH_AHEAD);
        SCHEDULE_POINT("publish.event");
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
        case EVENT_STOCK_MOVED:
            move_publish(inventory, txn->slot, &memory->move, &memory->made);
            break;
        case EVENT_ORDER_HELD:
            held_orders++;
            held_promise(txn, &txn->events[i]);
            order_publish(txn, i);
            break;
        default:
            order_publish(txn, i);
        }
    }
    SCHEDULE_POINT("publish.ended");
    publication_end(inventory->publication, txn->slot);
    txn->publishing = false;
    SCHEDULE_POINT("publish.deadlines");
    deadlines_publish(txn, held_orders);
    txn->event_count = 0;
    memory->encoded_bytes = 0;
    memory->used_bytes = 0;
}

/* ---- Replay ---- */

static bool grant_fits(const struct event *event, uint32_t i)
{
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

static struct line_counts held_counts(const struct order_line_view *line)
{
    return (struct line_counts){line->counted ? line->qty : 0, line->presale_qty};
}

/* What a new order takes. */
static enum hf_status held_apply(const struct replay_lane *lane, struct event *event)
{
    struct inventory *inventory = lane->inventory;
    for (uint32_t i = 0; i < event->line_count; i++) {
        struct order_line_view line = transition_held_line(event, i);
        enum hf_status status = counts_change(inventory, event->buyer, &line, held_counts(&line));
        while (status != HF_OK && i-- > 0) {
            line = transition_held_line(event, i);
            counts_change_back(inventory, event->buyer, &line, held_counts(&line));
        }
        if (status != HF_OK) {
            return status;
        }
    }
    for (uint32_t i = 0; i < event->line_count; i++) {
        struct order_line_view line = transition_held_line(event, i);
        replay_units(lane, line.item, line.qty, 0);
    }
    event->digest_delta = held_digest(inventory, event);
    return HF_OK;
}

/* An event that fits. */
static enum hf_status edit_apply(const struct replay_lane *lane, struct order *order,
                                 struct event *event, struct order_line_view *block)
{
    if (counts_matter(order)) {
        enum hf_status status = counts_replay(lane->inventory, order, event);
        if (status != HF_OK) {
            return status;
        }
    }
    event->digest_delta = edit_digest(lane->inventory, order, event);
    stock_replay(lane, order, event);
    transition_apply(order, event, block);
    return HF_OK;
}

enum hf_status order_apply(const struct replay_lane *lane, struct order *order, struct event *event,
                           struct order_line_view *block)
{
    if (event->type == EVENT_ORDER_HELD) {
        CHECK(block != NULL || !transition_enters_block(event));
        if (order->state != ORDER_NONE || !order_held_fits(lane->inventory, event)) {
            return HF_DAMAGED;
        }
        enum hf_status status = held_apply(lane, event);
        if (status == HF_OK) {
            transition_enter(order, event, block);
            held_show(order, event->lsn);
        }
        return status;
    }
    if (transition_misfit(order, event) != NULL) {
        return HF_DAMAGED;
    }
    bool needs_block = transition_needs_block(order, event);
    CHECK(block != NULL || !needs_block);
    return edit_apply(lane, order, event, needs_block ? block : NULL);
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
    uint32_t handle = order_enter(inventory, lane->slot, shard, hash, event);
    if (handle == ORDER_NO_HANDLE) {
        return HF_FULL;
    }
    struct order *order = orders_at(orders, handle);
    enum hf_status status = held_apply(lane, event);
    if (status == HF_OK) {
        held_show(order, event->lsn);
        held_count(shard);
        return HF_OK;
    }
    if (order->flags & ORDER_BLOCK) {
        lines_free(inventory->lines, handle, order->lines, order->line_count);
        order->flags &= (uint8_t)~ORDER_BLOCK;
    }
    orders_remove(orders, lane->slot, shard, hash, handle);
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
    struct order_line_view *block = NULL;
    if (transition_needs_block(order, event)) {
        block = lines_alloc(inventory->lines, handle, order->line_count);
        if (!block) {
            return HF_FULL;
        }
    }
    bool was_held = order->state == ORDER_HELD;
    enum hf_status status = edit_apply(lane, order, event, block);
    if (status != HF_OK && block) {
        lines_free(inventory->lines, handle, block, order->line_count);
    } else if (was_held && status == HF_OK) {
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
        units_force(inventory->stock, 0, made.item, -made.delta);
    }
    event->digest_delta = adjustment_digest(&made) + digest_stocked(made.item, made.delta);
    adjust_publish(inventory, 0, &made);
    return HF_OK;
}

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

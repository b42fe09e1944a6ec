/* inventory_publish.c - making decided events visible.
 *
 * Units were taken when an event was decided. Publishing an order's event sells units and credits
 * those that it releases or returns, and changes the order by transition_apply(), as replay does
 * (inventory_apply.c).
 *
 * Threads: any. */
#include "base/check.h"
#include "base/schedule.h"
#include "core/inventory_admin.h"
#include "core/inventory_effect.h"
#include "core/inventory_forget.h"

/* ---- Stock ---- */

/* Sells and credits the units of a decided event. Late commits took all of the order again when
 * they were decided. */
static void stock_publish(struct txn *txn, const struct order *order, const struct event *event)
{
    CHECK(event->type != EVENT_ORDER_HELD);
    CHECK(order->state != ORDER_NONE);
    struct stock *stock = txn->inventory->stock;
    enum order_state state_after = transition_state(order, event);
    for (uint32_t i = 0; i < order->line_count; i++) {
        struct line_moves moves = line_moves(order, event, state_after, i);
        struct order_line_view line = transition_line(order, i);
        if (moves.credited != 0) {
            stock_promise(stock, txn->slot, line.item, -moves.credited);
        }
        if (event->flags & EVENT_LATE) {
            moves.credited += (int64_t)line.qty - line.released;
        }
        CHECK(moves.sold >= 0 || event->type == EVENT_ORDER_RETURNED);
        CHECK(moves.credited >= 0);
        SCHEDULE_POINT("publish.stock");
        if (moves.sold != 0) {
            stock_sell(stock, txn->slot, line.item, moves.sold);
        }
        if (moves.credited > 0) {
            stock_give(stock, txn->slot, line.item, moves.credited);
        }
    }
}

/* ---- Limits and tickets ---- */

/* Credits the counted units and the tickets of a decided event. */
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

/* ---- One event ---- */

/* Under the shard's lock. The order's deadline is entered right after, without that lock. */
static void held_publish(struct order_shard *shard, struct order *order, uint64_t lsn)
{
    CHECK(!(order->flags & ORDER_HINTED));
    held_show(order, lsn);
    order->flags |= ORDER_HINTED;
    held_count(shard);
}

/* Under the shard's lock. */
static void edit_publish(struct order_shard *shard, struct order *order, const struct event *event,
                         struct order_line_view *block)
{
    bool was_held = order->state == ORDER_HELD;
    CHECK(event->lsn > order->lsn); /* the log has an order's changes in the order in which they
                                       were made */
    transition_apply(order, event, block);
    CHECK(!(order->flags & ORDER_BUSY));
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

/* ---- Publish ---- */

/* Enters the deadlines of the new orders. Not under the shards' locks, because the wheel's lock is
 * held while many deadlines are entered. An order that has ended by then leaves a hint that is
 * dropped when it comes due. */
static void deadlines_publish(struct txn *txn, uint32_t held_orders)
{
    struct expiry *expiry = txn->inventory->expiry;
    unsigned wheel = txn->slot % EXPIRY_WHEELS;
    uint32_t at_once = 0;
    CHECK(held_orders <= txn->event_count);
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

/* Counts a new order's units as promised. */
static void held_promise(struct txn *txn, const struct event *event)
{
    for (uint32_t i = 0; i < event->line_count; i++) {
        struct order_line_view line = transition_held_line(event, i);
        stock_promise(txn->inventory->stock, txn->slot, line.item, line.qty);
        if (line.presale_qty > 0) {
            CHECK(line.ticket != 0);
            presale_publish(txn->inventory->presale, line.item, line.ticket);
        }
    }
}

#define PUBLISH_PREFETCH 4u /* events whose shard may be in another processor's cache by now */

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
    CHECK(memory->used_bytes <= memory->encoded_bytes);
    if (!txn->publishing) {
        inventory_publish_begin(txn);
    }
    for (uint32_t i = 0; i < txn->event_count; i++) {
        publish_prefetch(txn, i + PUBLISH_PREFETCH);
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

/* replay.c - lanes of replay: each lane's own sums of units, digests, prefetching; orders in hand;
 * deadlines after replay.
 *
 * Threads: one a lane. What an event does to an order is in inventory_apply.c.
 * Invariant: a shard of the order table belongs to one lane, so that its lock is not needed. */
#include "core/replay.h"
#include "base/check.h"

#include <stdlib.h>

#include "base/pages.h"
#include "core/inventory_apply.h"
#include "core/inventory_forget.h"

/* ---- Lanes ---- */

enum hf_status replay_lane_init(struct replay_lane **out, struct inventory *inventory,
                                unsigned slot)
{
    CHECK(slot < THREADS_MAX);
    *out = NULL;
    struct replay_lane *lane = aligned_alloc(CACHE_LINE_BYTES, CACHE_LINE_BYTES);
    static_assert(sizeof *lane <= CACHE_LINE_BYTES, "lanes share no cache line");
    if (!lane) {
        return HF_NO_MEMORY;
    }
    *lane = (struct replay_lane){.inventory = inventory, .slot = slot};
    lane->sums_bytes = ((uint64_t)inventory->options.items_max + 1) * sizeof *lane->sums;
    lane->sums = pages_map(lane->sums_bytes);
    if (!lane->sums) {
        free(lane);
        return HF_NO_MEMORY;
    }
    *out = lane;
    return HF_OK;
}

void replay_lane_finish(struct replay_lane *lane)
{
    struct inventory *inventory = lane->inventory;
    for (uint32_t item = 1; item <= catalog_items(inventory->catalog); item++) {
        struct unit_sums *sums = &lane->sums[item];
        CHECK(item <= inventory->options.items_max); /* sums has an entry for each item */
        units_change(inventory->stock, lane->slot, item, sums->taken, sums->sold);
        *sums = (struct unit_sums){0};
    }
}

void replay_lane_deinit(struct replay_lane *lane)
{
    if (lane) {
        pages_unmap(lane->sums, lane->sums_bytes);
        free(lane);
    }
}

void replay_expect(struct inventory *inventory, uint64_t orders)
{
    orders_expect(&inventory->orders, orders);
}

void replay_populate(struct inventory *inventory, uint64_t orders, unsigned part, unsigned parts)
{
    orders_populate(&inventory->orders, orders, part, parts);
}

unsigned replay_lanes(const struct inventory *inventory, unsigned wanted)
{
    unsigned lanes = 1;
    while (2 * lanes <= wanted && 2 * lanes <= inventory->orders.shard_count &&
           2 * lanes <= THREADS_MAX) {
        lanes *= 2;
    }
    CHECK(lanes >= 1 && lanes <= THREADS_MAX);
    return lanes;
}

unsigned replay_lane_of(const struct inventory *inventory, uint64_t hash, unsigned lanes)
{
    const struct orders *orders = &inventory->orders;
    uint64_t shard = hash >> 1 >> orders->shard_shift;
    CHECK(shard < orders->shard_count);
    CHECK(lanes >= 1);
    return (unsigned)(shard * lanes / orders->shard_count);
}

/* ---- Events ---- */

void replay_prefetch_index(const struct replay_lane *lane, uint64_t hash)
{
    orders_prefetch(&lane->inventory->orders, hash);
}

void replay_prefetch_order(const struct replay_lane *lane, uint64_t hash)
{
    orders_prefetch_entry(&lane->inventory->orders, hash);
}

enum hf_status replay_apply(struct replay_lane *lane, struct event *event, uint64_t hash)
{
    enum hf_status status = order_event_apply(lane, event, hash);
    if (status == HF_OK) {
        lane->digest += event->digest_delta;
    }
    return status;
}

uint64_t replay_digest(const struct replay_lane *lane)
{
    return lane->digest;
}

/* ---- Orders in hand ---- */

/* Applies a fitting event to the order in hand. */
static enum hf_status fold(const struct replay_lane *lane, struct order_hand *hand,
                           struct event *event)
{
    struct block_source source = {.own = hand->lines};
    CHECK(id_equal(hand->order.id, event->id));
    return order_apply(lane, &hand->order, event, &source);
}

static enum hf_status fold_held(const struct replay_lane *lane, struct order_hand *hand,
                                struct event *event)
{
    if (hand->order.state != ORDER_NONE || !order_held_fits(lane->inventory, event)) {
        return HF_DAMAGED;
    }
    hand->order = (struct order){.id = event->id, .flags = ORDER_BUSY};
    enum hf_status status = fold(lane, hand, event);
    CHECK(status != HF_OK || hand->order.state == ORDER_HELD);
    if (status != HF_OK) {
        hand->order = (struct order){.state = ORDER_NONE};
    }
    return status;
}

static enum hf_status fold_forgotten(struct inventory *inventory, struct order_hand *hand,
                                     struct event *event)
{
    if (!state_ended((enum order_state)hand->order.state)) {
        return HF_DAMAGED;
    }
    event->digest_delta = 0 - order_digest(&hand->order);
    forget_settle(inventory, &hand->order);
    hand->order = (struct order){.state = ORDER_NONE};
    return HF_OK;
}

enum hf_status replay_fold(const struct replay_lane *lane, struct order_hand *hand,
                           struct event *event)
{
    if (event->type == EVENT_ORDER_HELD) {
        return fold_held(lane, hand, event);
    }
    if (hand->order.state == ORDER_NONE || !id_equal(hand->order.id, event->id)) {
        return HF_DAMAGED;
    }
    switch (event->type) {
    case EVENT_ORDER_FORGOTTEN:
        return fold_forgotten(lane->inventory, hand, event);
    case EVENT_ORDER_COMMITTED:
    case EVENT_ORDER_RELEASED:
    case EVENT_ORDER_EXPIRED:
    case EVENT_ORDER_EXTENDED:
    case EVENT_ORDER_RETURNED:
        return transition_misfit(&hand->order, event) ? HF_DAMAGED : fold(lane, hand, event);
    default:
        return HF_DAMAGED;
    }
}

/* ---- Deadlines after replay ---- */

#define HINTS_AT_ONCE 64u /* entered under one lock of a wheel; then the next wheel */

static void replayed_hint(struct inventory *inventory, unsigned wheel, uint32_t handle)
{
    struct order *order = orders_at(&inventory->orders, handle);
    if (order->state == ORDER_HELD && !(order->flags & ORDER_HINTED)) {
        expiry_add(inventory->expiry, wheel, handle, order_deadline(order), 0);
        order->flags |= ORDER_HINTED;
    }
}

void inventory_replayed_part(struct inventory *inventory, unsigned part, unsigned parts)
{
    CHECK(parts >= 1 && parts <= EXPIRY_WHEELS);
    CHECK(part < parts);
    /* Goes through the handles, not the index: entries are in a row, and those not in use have no
     * state. Only one part fills a wheel. */
    const struct orders *orders = &inventory->orders;
    uint64_t drawn = atomic_load_explicit(&orders->blocks_drawn, memory_order_relaxed);
    uint64_t blocks = drawn < orders->block_count ? drawn : orders->block_count;
    uint64_t end = blocks * ORDERS_BLOCK;
    for (uint64_t from = 0; from < end; from += HINTS_AT_ONCE) {
        unsigned wheel = (unsigned)(from / HINTS_AT_ONCE % EXPIRY_WHEELS);
        if (wheel % parts != part) {
            continue;
        }
        expiry_lock(inventory->expiry, wheel);
        for (uint32_t i = 0; i < HINTS_AT_ONCE; i++) {
            /* The part's next orders, or orders near them: other parts' orders are in between, a
             * page or more. */
            __builtin_prefetch(orders_at(orders, (uint32_t)from + i) + parts * HINTS_AT_ONCE, 1);
            replayed_hint(inventory, wheel, (uint32_t)from + i);
        }
        expiry_unlock(inventory->expiry, wheel);
    }
}

void inventory_replayed(struct inventory *inventory)
{
    inventory_replayed_part(inventory, 0, 1);
}

/* inventory_hints.c - dropping deadlines that no order needs any more.
 *
 * A hint stays in its wheel until its time, even if its order was committed at once; and until then
 * the order's entry can't be reused. Where holds are long compared with the time for which ended
 * orders are remembered, a sweep takes all hints out, drops those of ended orders, and enters the
 * others again.
 *
 * Threads: the one that expires orders. */
#include "base/check.h"
#include "base/schedule.h"
#include "core/inventory_internal.h"

/* When to check an order again; 0: never, and its ORDER_HINTED is cleared. */
static uint64_t hint_again_ms(struct orders *orders, uint32_t handle)
{
    struct order_shard *shard = orders_shard_of(orders, handle);
    struct order *order = orders_at(orders, handle);
    uint64_t again_ms = 0;
    spin_lock(&shard->spin);
    CHECK(order->flags & ORDER_HINTED);
    SCHEDULE_POINT("hints.sweep");
    if (order->state == ORDER_HELD || order->state == ORDER_NONE) {
        again_ms = order_deadline(order);
    } else {
        order->flags &= (uint8_t)~ORDER_HINTED;
    }
    spin_unlock(&shard->spin);
    return again_ms;
}

/* Sweeps one chunk of hints. Returns how many were dropped. */
static uint32_t sweep_chunk(struct inventory *inventory, unsigned wheel, const uint32_t *handles,
                            uint32_t count, uint64_t now_ms)
{
    struct orders *orders = &inventory->orders;
    uint64_t again_ms[EXPIRY_TAKE];
    uint32_t dropped = 0;
    CHECK(wheel < EXPIRY_WHEELS);
    CHECK(count <= EXPIRY_TAKE);
    for (uint32_t i = 0; i < count; i++) {
        __builtin_prefetch(orders_at(orders, handles[i]), 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        again_ms[i] = hint_again_ms(orders, handles[i]);
        dropped += again_ms[i] == 0;
    }
    CHECK(dropped <= count);
    if (dropped == count) {
        return dropped;
    }
    expiry_lock(inventory->expiry, wheel);
    for (uint32_t i = 0; i < count; i++) {
        if (again_ms[i] != 0) {
            expiry_add(inventory->expiry, wheel, handles[i], again_ms[i], now_ms);
        }
    }
    expiry_unlock(inventory->expiry, wheel);
    return dropped;
}

uint64_t inventory_sweep_hints(struct inventory *inventory, struct hint_cursor *cursor,
                               uint32_t look_max, uint64_t now_ms)
{
    uint64_t dropped = 0;
    for (uint32_t looked = 0; looked < look_max && !cursor->done;) {
        uint32_t handles[EXPIRY_TAKE];
        uint32_t count = expiry_sweep(inventory->expiry, cursor->wheel, &cursor->within, handles);
        dropped += sweep_chunk(inventory, cursor->wheel, handles, count, now_ms);
        looked += count;
        if (cursor->within.done) {
            cursor->within = (struct expiry_cursor){0};
            cursor->wheel++;
            cursor->done = cursor->wheel == EXPIRY_WHEELS;
        }
    }
    return dropped;
}

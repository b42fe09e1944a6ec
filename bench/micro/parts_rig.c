/* parts_rig.c - what threads share on the way of an order, each part alone. Threads: see the
 * header.
 */
#include "micro/parts_rig.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/spin.h"
#include "core/expiry.h"
#include "core/orders.h"
#include "micro/rig.h"

#define AT_ONCE 64u /* deadlines under one lock: deadlines_publish of the core */
#define AHEAD   8u  /* orders ahead that are prefetched, as the engine does */
#define SOON_MS 60000u

struct parts_rig {
    _Alignas(CACHE_LINE_BYTES) struct spin lock;
    uint64_t under_lock;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t shared;
    _Alignas(CACHE_LINE_BYTES) struct orders orders;
    struct expiry *expiry;
};

struct parts_rig *parts_rig_make(uint64_t orders_max)
{
    struct parts_rig *rig = aligned_alloc(CACHE_LINE_BYTES, sizeof *rig);
    CHECK(rig != NULL);
    *rig = (struct parts_rig){0};
    CHECK(orders_init(&rig->orders, orders_max) == HF_OK);
    orders_make_ready(&rig->orders, orders_max);
    CHECK(expiry_init(&rig->expiry, orders_max) == HF_OK);
    return rig;
}

void parts_rig_free(struct parts_rig *rig)
{
    orders_deinit(&rig->orders);
    expiry_deinit(rig->expiry);
    free(rig);
}

void parts_lock(struct parts_rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        spin_lock(&rig->lock);
        rig->under_lock++;
        spin_unlock(&rig->lock);
    }
}

void parts_add(struct parts_rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        /* relaxed: nobody reads it. */
        atomic_fetch_add_explicit(&rig->shared, 1, memory_order_relaxed);
    }
}

void parts_enter(struct parts_rig *rig, unsigned slot, uint64_t first, uint32_t count)
{
    struct orders *orders = &rig->orders;
    for (uint32_t i = 0; i < count; i++) {
        orders_prefetch(orders, id_hash(rig_id(first + i + AHEAD)));
        struct id128 id = rig_id(first + i);
        uint64_t hash = id_hash(id);
        struct order_shard *shard = orders_shard(orders, hash);
        spin_lock(&shard->spin);
        CHECK(orders_find(orders, shard, hash, id) == ORDER_NO_HANDLE);
        CHECK(orders_enter(orders, slot, shard, hash, id) != ORDER_NO_HANDLE);
        spin_unlock(&shard->spin);
    }
}

void parts_deadlines(struct parts_rig *rig, unsigned slot, bool same_wheel, uint64_t first,
                     uint32_t count)
{
    unsigned wheel = same_wheel ? 0 : slot % EXPIRY_WHEELS;
    for (uint32_t done = 0; done < count; done += AT_ONCE) {
        uint32_t some = count - done < AT_ONCE ? count - done : AT_ONCE;
        expiry_lock(rig->expiry, wheel);
        for (uint32_t i = 0; i < some; i++) {
            uint64_t number = first + done + i;
            expiry_add(rig->expiry, wheel, (uint32_t)number, SOON_MS + number / 1000, 1);
        }
        expiry_unlock(rig->expiry, wheel);
    }
}

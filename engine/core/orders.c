/* orders.c - the order table: sharded, with entries that never move.
 *
 * Threads: any; a shard's index, free list and entries under the shard's lock.
 * Invariants: a slot lies at or after its home, with no empty slot between (linear probing);
 * used <= 4/5 of capacity unless memory for growth was refused. */
#include "core/orders.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"

#define SLOTS_FIRST 64u

static uint64_t slot_of(uint64_t hash, uint32_t handle)
{
    return hash << 32 | (handle + 1u);
}

static uint32_t slot_tag(uint64_t slot)
{
    return (uint32_t)(slot >> 32);
}

/* Where a tag's probing starts: the tag as a fraction of the capacity, so that any capacity will do
 * and an index keeps its order when it grows. */
static uint32_t slot_home(uint32_t tag, uint32_t capacity)
{
    return (uint32_t)((uint64_t)tag * capacity >> 32);
}

static void *map(uint64_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* As many shards as keep what may lie unused in drawn blocks below 1/64 of the table. */
static uint32_t shards_for(uint64_t orders_max)
{
    uint32_t shards = ORDERS_SHARDS_MAX;
    while (shards > 1 && (uint64_t)shards * ORDERS_BLOCK * 64 > orders_max) {
        shards /= 2;
    }
    return shards;
}

enum hf_status orders_init(struct orders *orders, uint64_t orders_max)
{
    CHECK(orders_max >= 1 && orders_max <= ORDERS_MAX);
    *orders = (struct orders){.orders_max = orders_max};
    orders->shard_count = shards_for(orders_max);
    orders->shard_shift = 63u - (unsigned)__builtin_ctz(orders->shard_count);
    orders->block_count = (orders_max + ORDERS_BLOCK - 1) / ORDERS_BLOCK;
    /* A full table's share of a shard, with four standard deviations for a thousand shards. */
    uint64_t share = orders_max / orders->shard_count;
    orders->slots_max = (uint32_t)((share + share / 64 + 64) * 5 / 4 + 1);

    orders->entries_bytes = orders->block_count * ORDERS_BLOCK * sizeof(struct order);
    orders->entries = map(orders->entries_bytes);
    orders->block_shards = map(orders->block_count * sizeof(uint16_t));
    size_t shards_bytes = orders->shard_count * sizeof(struct order_shard);
    orders->shards = aligned_alloc(CACHE_LINE_BYTES, shards_bytes);
    if (!orders->entries || !orders->block_shards || !orders->shards) {
        orders_deinit(orders);
        return HF_NO_MEMORY;
    }
    /* A hint: fewer TLB misses on entries that are hit at random. */
    (void)madvise(orders->entries, orders->entries_bytes, MADV_HUGEPAGE);
    for (uint32_t i = 0; i < orders->shard_count; i++) {
        orders->shards[i] = (struct order_shard){.free = ORDER_NO_HANDLE};
    }
    return HF_OK;
}

void orders_deinit(struct orders *orders)
{
    for (uint32_t i = 0; orders->shards && i < orders->shard_count; i++) {
        free(atomic_load_explicit(&orders->shards[i].slots, memory_order_relaxed));
    }
    free(orders->shards);
    if (orders->entries) {
        munmap(orders->entries, orders->entries_bytes);
    }
    if (orders->block_shards) {
        munmap(orders->block_shards, orders->block_count * sizeof(uint16_t));
    }
    *orders = (struct orders){0};
}

uint32_t orders_find(const struct orders *orders, const struct order_shard *shard, uint64_t hash,
                     struct id128 id)
{
    const uint64_t *slots = atomic_load_explicit(&shard->slots, memory_order_relaxed);
    uint32_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    if (!slots) {
        return ORDER_NO_HANDLE;
    }
    uint32_t tag = (uint32_t)hash;
    for (uint32_t at = slot_home(tag, capacity); slots[at] != 0;) {
        if (slot_tag(slots[at]) == tag) {
            uint32_t handle = (uint32_t)slots[at] - 1;
            if (id_equal(orders->entries[handle].id, id)) {
                return handle;
            }
        }
        at = at + 1 == capacity ? 0 : at + 1;
    }
    return ORDER_NO_HANDLE;
}

static void slots_put(uint64_t *slots, uint32_t capacity, uint64_t slot)
{
    uint32_t at = slot_home(slot_tag(slot), capacity);
    while (slots[at] != 0) {
        at = at + 1 == capacity ? 0 : at + 1;
    }
    slots[at] = slot;
}

/* Doubles the index, the last time only as far as a full table needs. False: out of memory. */
static bool shard_grow(const struct orders *orders, struct order_shard *shard)
{
    uint64_t *old = atomic_load_explicit(&shard->slots, memory_order_relaxed);
    uint32_t old_capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    uint32_t capacity = old_capacity ? old_capacity * 2 : SLOTS_FIRST;
    if (capacity > orders->slots_max && old_capacity < orders->slots_max) {
        capacity = orders->slots_max;
    } else if (old_capacity >= orders->slots_max) {
        capacity = old_capacity + old_capacity / 8 + 8; /* an unlikely crowd in one shard */
    }
    uint64_t *slots = calloc(capacity, sizeof *slots);
    if (!slots) {
        return false;
    }
    for (uint32_t i = 0; i < old_capacity; i++) {
        if (old[i] != 0) {
            slots_put(slots, capacity, old[i]);
        }
    }
    /* A prefetch may read one old and one new value: it then prefetches in vain. */
    atomic_store_explicit(&shard->slots, slots, memory_order_relaxed);
    atomic_store_explicit(&shard->capacity, capacity, memory_order_relaxed);
    free(old);
    return true;
}

/* Makes sure that one more slot fits. Without memory to grow the index may fill up to 15/16. */
static bool shard_has_slot(const struct orders *orders, struct order_shard *shard)
{
    uint64_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    if ((uint64_t)(shard->used + 1) * 5 <= capacity * 4) {
        return true;
    }
    return shard_grow(orders, shard) || (uint64_t)(shard->used + 1) * 16 <= capacity * 15;
}

static uint32_t shard_take_entry(struct orders *orders, struct order_shard *shard)
{
    if (shard->free != ORDER_NO_HANDLE) {
        uint32_t handle = shard->free;
        shard->free = orders->entries[handle].next_free;
        return handle;
    }
    if (shard->block_next == shard->block_end) {
        if (atomic_load_explicit(&orders->blocks_drawn, memory_order_relaxed) >=
            orders->block_count) {
            return ORDER_NO_HANDLE;
        }
        uint64_t block = atomic_fetch_add_explicit(&orders->blocks_drawn, 1, memory_order_relaxed);
        if (block >= orders->block_count) {
            return ORDER_NO_HANDLE;
        }
        uint64_t end = (block + 1) * ORDERS_BLOCK;
        shard->block_next = (uint32_t)(block * ORDERS_BLOCK);
        shard->block_end = (uint32_t)(end < orders->orders_max ? end : orders->orders_max);
        orders->block_shards[block] = (uint16_t)(shard - orders->shards);
    }
    return shard->block_next++;
}

uint32_t orders_enter(struct orders *orders, struct order_shard *shard, uint64_t hash,
                      struct id128 id)
{
    if (!shard_has_slot(orders, shard)) {
        return ORDER_NO_HANDLE;
    }
    uint32_t handle = shard_take_entry(orders, shard);
    if (handle == ORDER_NO_HANDLE) {
        return handle;
    }
    orders->entries[handle] = (struct order){.id = id, .flags = ORDER_BUSY};
    slots_put(atomic_load_explicit(&shard->slots, memory_order_relaxed),
              atomic_load_explicit(&shard->capacity, memory_order_relaxed), slot_of(hash, handle));
    shard->used++;
    return handle;
}

/* Empties slot `hole` and moves back those that were pushed beyond it. */
static void slots_shift_back(uint64_t *slots, uint32_t capacity, uint32_t hole)
{
    uint32_t at = hole;
    for (;;) {
        at = at + 1 == capacity ? 0 : at + 1;
        if (slots[at] == 0) {
            break;
        }
        uint32_t home = slot_home(slot_tag(slots[at]), capacity);
        uint32_t from_home = at >= home ? at - home : at + capacity - home;
        uint32_t from_hole = at >= hole ? at - hole : at + capacity - hole;
        if (from_home >= from_hole) {
            slots[hole] = slots[at];
            hole = at;
        }
    }
    slots[hole] = 0;
}

void orders_remove(struct orders *orders, struct order_shard *shard, uint64_t hash, uint32_t handle)
{
    struct order *order = &orders->entries[handle];
    CHECK(order->state == ORDER_NONE);
    CHECK(!(order->flags & ORDER_BLOCK));
    uint64_t *slots = atomic_load_explicit(&shard->slots, memory_order_relaxed);
    uint32_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    uint64_t slot = slot_of(hash, handle);
    uint32_t at = slot_home(slot_tag(slot), capacity);
    while (slots[at] != slot) {
        CHECK(slots[at] != 0);
        at = at + 1 == capacity ? 0 : at + 1;
    }
    slots_shift_back(slots, capacity, at);
    shard->used--;
    *order = (struct order){.next_free = shard->free};
    shard->free = handle;
}

void orders_visit(const struct orders *orders,
                  void (*visit)(void *context, uint32_t handle, const struct order *order),
                  void *context)
{
    for (uint32_t i = 0; i < orders->shard_count; i++) {
        const struct order_shard *shard = &orders->shards[i];
        const uint64_t *slots = atomic_load_explicit(&shard->slots, memory_order_relaxed);
        uint32_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
        for (uint32_t at = 0; at < capacity; at++) {
            if (slots[at] != 0) {
                uint32_t handle = (uint32_t)slots[at] - 1;
                visit(context, handle, &orders->entries[handle]);
            }
        }
    }
}

void orders_prefetch(const struct orders *orders, uint64_t hash)
{
    const struct order_shard *shard = orders_shard(orders, hash);
    __builtin_prefetch(shard, 1);
    const uint64_t *slots = atomic_load_explicit(&shard->slots, memory_order_relaxed);
    uint32_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    if (slots) {
        __builtin_prefetch(&slots[slot_home((uint32_t)hash, capacity)], 1);
    }
}

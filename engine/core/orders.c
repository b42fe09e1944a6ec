/* orders.c - the order table: sharded, with entries that never move.
 *
 * Threads: any; a shard's index and its entries under the shard's lock, an allocator under its own.
 * Invariants: a slot lies at or after its home, with no empty slot between (linear probing);
 * used <= 4/5 of capacity unless memory for growth was refused. */
#include "core/orders.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"

#define SLOTS_FIRST 64u
#define PAGE_BYTES  4096u

#define ENTRIES_AHEAD 8u /* new entries whose cache lines are on their way */

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
    if (at == MAP_FAILED) {
        return NULL;
    }
    /* A hint: fewer TLB misses on what is hit at random, fewer page faults on what grows. */
    (void)madvise(at, bytes, MADV_HUGEPAGE);
    return at;
}

/* ---- Sizes of the indexes ---- */

/* Doubling from SLOTS_FIRST, the last one only as far as a full table needs. */
static void plan_sizes(struct orders *orders)
{
    uint32_t capacity = SLOTS_FIRST;
    while (capacity < orders->slots_max) {
        orders->sizes[orders->size_count++].capacity = capacity;
        capacity *= 2;
    }
    orders->sizes[orders->size_count++].capacity = orders->slots_max;
    CHECK(orders->size_count <= ORDERS_SIZES_MAX);
}

/* Bytes of one shard's index: whole pages once it has one, so that they can be given back. */
static uint64_t size_bytes(const struct orders *orders, uint32_t size)
{
    uint64_t bytes = orders->sizes[size].capacity * sizeof(uint64_t);
    uint64_t unit = bytes < PAGE_BYTES ? CACHE_LINE_BYTES : PAGE_BYTES;
    return (bytes + unit - 1) / unit * unit;
}

/* Reserves address space for the indexes of all sizes: growing then maps nothing, for it is done
 * under a shard's lock. */
static bool map_sizes(struct orders *orders)
{
    for (uint32_t i = 0; i < orders->size_count; i++) {
        orders->sizes[i].slots = map(size_bytes(orders, i) * orders->shard_count);
        if (!orders->sizes[i].slots) {
            return false;
        }
    }
    return true;
}

/* A shard's index of a size, all zero before its first use. */
static uint64_t *size_slots(const struct orders *orders, uint32_t size,
                            const struct order_shard *shard)
{
    uint64_t each = size_bytes(orders, size) / sizeof(uint64_t);
    return orders->sizes[size].slots + (uint64_t)(shard - orders->shards) * each;
}

/* Gives the memory of an index back that its shard has grown out of. */
static void size_release(struct orders *orders, struct order_shard *shard, uint64_t *slots)
{
    if (shard->size == ORDERS_SIZES_MAX) {
        free(slots);
    } else if (slots && size_bytes(orders, shard->size) >= PAGE_BYTES) {
        (void)madvise(slots, size_bytes(orders, shard->size), MADV_DONTNEED);
    }
}

/* Enough shards that threads rarely meet, and that one grows fast; few for a small table. */
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

    plan_sizes(orders);

    orders->entries_bytes = orders->block_count * ORDERS_BLOCK * sizeof(struct order);
    orders->entries = map(orders->entries_bytes);
    orders->shards = aligned_alloc(CACHE_LINE_BYTES,
                                   orders->shard_count * sizeof(struct order_shard));
    orders->allocators =
        aligned_alloc(CACHE_LINE_BYTES, THREADS_MAX * sizeof(struct order_allocator));
    if (!orders->entries || !orders->shards || !orders->allocators || !map_sizes(orders)) {
        orders_deinit(orders);
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < orders->shard_count; i++) {
        orders->shards[i] = (struct order_shard){0};
    }
    for (uint32_t i = 0; i < THREADS_MAX; i++) {
        orders->allocators[i] = (struct order_allocator){.free = ORDER_NO_HANDLE};
    }
    return HF_OK;
}

/* The size in which an index has room for so many orders; the greatest if none has. */
static uint32_t size_for(const struct orders *orders, uint64_t count)
{
    uint32_t size = 0;
    while (size + 1 < orders->size_count && (uint64_t)orders->sizes[size].capacity * 4 < count * 5) {
        size++;
    }
    return size;
}

void orders_make_ready(struct orders *orders, uint64_t count)
{
    if (count == 0) {
        return;
    }
    count = count < orders->orders_max ? count : orders->orders_max;
    (void)madvise(orders->entries, count * sizeof(struct order), MADV_POPULATE_WRITE);
    /* Shards differ: some get a few more of the orders than others. */
    uint64_t share = count / orders->shard_count;
    uint32_t size = size_for(orders, share + share / 16 + SLOTS_FIRST / 2);
    for (uint32_t i = 0; i < orders->shard_count; i++) {
        orders->shards[i].size = size;
        atomic_store_explicit(&orders->shards[i].slots,
                              size_slots(orders, size, &orders->shards[i]), memory_order_relaxed);
        atomic_store_explicit(&orders->shards[i].capacity, orders->sizes[size].capacity,
                              memory_order_relaxed);
    }
    (void)madvise(orders->sizes[size].slots, size_bytes(orders, size) * orders->shard_count,
                  MADV_POPULATE_WRITE);
}

/* Frees an index that is of no planned size; the others go with their mappings. */
static void slots_free(const struct order_shard *shard)
{
    if (shard->size == ORDERS_SIZES_MAX) {
        free(atomic_load_explicit(&shard->slots, memory_order_relaxed));
    }
}

void orders_deinit(struct orders *orders)
{
    for (uint32_t i = 0; orders->shards && i < orders->shard_count; i++) {
        slots_free(&orders->shards[i]);
    }
    for (uint32_t i = 0; i < orders->size_count; i++) {
        if (orders->sizes[i].slots) {
            munmap(orders->sizes[i].slots, size_bytes(orders, i) * orders->shard_count);
        }
    }
    free(orders->allocators);
    free(orders->shards);
    if (orders->entries) {
        munmap(orders->entries, orders->entries_bytes);
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

/* Moves a shard's slots to an index of another capacity. */
static void shard_move(struct order_shard *shard, uint64_t *slots, uint32_t capacity)
{
    const uint64_t *old = atomic_load_explicit(&shard->slots, memory_order_relaxed);
    uint32_t old_capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    for (uint32_t i = 0; i < old_capacity; i++) {
        if (old[i] != 0) {
            slots_put(slots, capacity, old[i]);
        }
    }
    /* A prefetch may read one old and one new value: it then prefetches in vain. */
    atomic_store_explicit(&shard->slots, slots, memory_order_relaxed);
    atomic_store_explicit(&shard->capacity, capacity, memory_order_relaxed);
}

/* Gives a shard an index of the next size. False: out of memory. */
static bool shard_grow(struct orders *orders, struct order_shard *shard)
{
    uint64_t *old = atomic_load_explicit(&shard->slots, memory_order_relaxed);
    uint32_t old_capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    uint32_t size = old ? shard->size + 1 : 0;
    bool planned = size < orders->size_count;
    /* Beyond the plan only for an unlikely crowd in one shard. */
    uint32_t capacity = planned ? orders->sizes[size].capacity : old_capacity + old_capacity / 8 + 8;
    uint64_t *slots =
        planned ? size_slots(orders, size, shard) : calloc(capacity, sizeof *slots);
    if (!slots) {
        return false;
    }
    shard_move(shard, slots, capacity);
    size_release(orders, shard, old);
    shard->size = planned ? size : ORDERS_SIZES_MAX;
    return true;
}

/* Makes sure that one more slot fits. Without memory to grow the index may fill up to 15/16. */
static bool shard_has_slot(struct orders *orders, struct order_shard *shard)
{
    uint64_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    if ((uint64_t)(shard->used + 1) * 5 <= capacity * 4) {
        return true;
    }
    return shard_grow(orders, shard) || (uint64_t)(shard->used + 1) * 16 <= capacity * 15;
}

/* ---- Entries ---- */

/* Draws a block of new entries. False: none is left. */
static bool allocator_draw(struct orders *orders, struct order_allocator *allocator)
{
    if (atomic_load_explicit(&orders->blocks_drawn, memory_order_relaxed) >= orders->block_count) {
        return false;
    }
    uint64_t block = atomic_fetch_add_explicit(&orders->blocks_drawn, 1, memory_order_relaxed);
    if (block >= orders->block_count) {
        return false;
    }
    uint64_t end = (block + 1) * ORDERS_BLOCK;
    allocator->block_next = (uint32_t)(block * ORDERS_BLOCK);
    allocator->block_end = (uint32_t)(end < orders->orders_max ? end : orders->orders_max);
    return true;
}

/* An entry of one allocator; with `draw` it may draw a block. ORDER_NO_HANDLE: it has none. */
static uint32_t allocator_take(struct orders *orders, struct order_allocator *allocator, bool draw)
{
    uint32_t handle = ORDER_NO_HANDLE;
    spin_lock(&allocator->spin);
    if (allocator->free != ORDER_NO_HANDLE) {
        handle = allocator->free;
        allocator->free = orders->entries[handle].next_free;
    } else if (allocator->block_next < allocator->block_end ||
               (draw && allocator_draw(orders, allocator))) {
        handle = allocator->block_next++;
        /* An entry's first stores must not miss: the next lock waits until they are done. */
        __builtin_prefetch(&orders->entries[handle + ENTRIES_AHEAD], 1);
    }
    spin_unlock(&allocator->spin);
    return handle;
}

/* A slot's next entry; from the others' blocks when no new one is left. */
static uint32_t entry_take(struct orders *orders, unsigned slot)
{
    uint32_t handle = allocator_take(orders, &orders->allocators[slot], true);
    for (unsigned i = 0; handle == ORDER_NO_HANDLE && i < THREADS_MAX; i++) {
        handle = allocator_take(orders, &orders->allocators[i], false);
    }
    return handle;
}

static void entry_give(struct orders *orders, unsigned slot, uint32_t handle)
{
    struct order_allocator *allocator = &orders->allocators[slot];
    spin_lock(&allocator->spin);
    orders->entries[handle] = (struct order){.next_free = allocator->free};
    allocator->free = handle;
    spin_unlock(&allocator->spin);
}

uint32_t orders_enter(struct orders *orders, unsigned slot, struct order_shard *shard,
                      uint64_t hash, struct id128 id)
{
    CHECK(slot < THREADS_MAX);
    if (!shard_has_slot(orders, shard)) {
        return ORDER_NO_HANDLE;
    }
    uint32_t handle = entry_take(orders, slot);
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

void orders_remove(struct orders *orders, unsigned slot, struct order_shard *shard, uint64_t hash,
                   uint32_t handle)
{
    const struct order *order = &orders->entries[handle];
    CHECK(order->state == ORDER_NONE);
    CHECK(!(order->flags & ORDER_BLOCK));
    uint64_t *slots = atomic_load_explicit(&shard->slots, memory_order_relaxed);
    uint32_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    uint64_t wanted = slot_of(hash, handle);
    uint32_t at = slot_home(slot_tag(wanted), capacity);
    while (slots[at] != wanted) {
        CHECK(slots[at] != 0);
        at = at + 1 == capacity ? 0 : at + 1;
    }
    slots_shift_back(slots, capacity, at);
    shard->used--;
    entry_give(orders, slot, handle);
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

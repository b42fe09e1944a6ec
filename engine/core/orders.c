/* orders.c - the order table: sharded, with entries that never move.
 *
 * Threads: any; a shard's index and its entries under the shard's lock, an allocator under its own.
 * Invariants: a slot is at or after its home, with no empty slot between (linear probing); used <=
 * 4/5 of capacity, or 15/16 in an index of the greatest size. While a shard grows, each of its
 * orders has its slot either in the new index or in what is left of the former one. */
#include "core/orders.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/pages.h"
#include "base/schedule.h"

#define GROWTH           1u /* an index doubles: slots move seldom, half is empty at worst */
#define ENTRIES_AHEAD    8u /* how many new entries are prefetched in advance */
#define PREFAULT_ENTRIES (1u << 17) /* entries in memory before they are drawn: 8 MiB */
#define PREFAULT_STEP    (1u << 15) /* the part of them that one call takes: 2 MiB */
#define LINE_SLOTS       (CACHE_LINE_BYTES / 8u)
#define WALK_SLOTS       64u  /* slots that one step of a walk covers, by their home */
#define WALK_KEYS        128u /* orders that one step visits at most */

static_assert(ORDERS_BLOCK * sizeof(struct order) % PAGE_BYTES == 0, "memory comes in pages");

static uint64_t slot_of(uint64_t hash, uint32_t handle)
{
    return hash << 32 | (handle + 1u);
}

static uint32_t slot_tag(uint64_t slot)
{
    return (uint32_t)(slot >> 32);
}

static uint32_t shard_number(const struct orders *orders, const struct order_shard *shard)
{
    return (uint32_t)(shard - orders->shards);
}

static void shard_set_index(struct order_shard *shard, void *slots, uint32_t capacity)
{
    atomic_store_explicit(&shard->slots, slots, memory_order_relaxed);
    /* release: pairs with the acquire in orders_prefetch_entry, which reads slots without the lock:
     * with this capacity it sees this index or a greater one. */
    atomic_store_explicit(&shard->capacity, capacity, memory_order_release);
}

/* Slots that are probed together: a shard's index, or what it has left in the former one. Slots are
 * written under the shard's lock. relaxed: orders_prefetch_entry reads them without it, as a hint.
 */
struct index {
    _Atomic uint64_t *slots; /* NULL: none */
    struct table_ring ring;
};

static inline uint64_t index_at(struct index index, uint32_t at)
{
    return atomic_load_explicit(&index.slots[at], memory_order_relaxed);
}

static inline void index_set(struct index index, uint32_t at, uint64_t slot)
{
    atomic_store_explicit(&index.slots[at], slot, memory_order_relaxed);
}

static inline struct index shard_index(const struct order_shard *shard)
{
    uint32_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    return (struct index){atomic_load_explicit(&shard->slots, memory_order_relaxed), {0, capacity}};
}

static inline struct index shard_left(const struct order_shard *shard)
{
    void *slots = atomic_load_explicit(&shard->left.slots, memory_order_relaxed);
    if (__builtin_expect(!slots, 1)) {
        return (struct index){0};
    }
    return (struct index){slots, table_left_ring(&shard->left)};
}

enum hf_status orders_init(struct orders *orders, uint64_t orders_max)
{
    CHECK(orders_max >= 1 && orders_max <= ORDERS_MAX);
    *orders = (struct orders){.orders_max = orders_max};
    orders->shard_count = table_shards_for(orders_max);
    orders->shard_shift = 63u - (unsigned)__builtin_ctz(orders->shard_count);
    orders->block_count = (orders_max + ORDERS_BLOCK - 1) / ORDERS_BLOCK;
    orders->entries_bytes = orders->block_count * ORDERS_BLOCK * sizeof(struct order);
    orders->entries = pages_map_huge(orders->entries_bytes);
    orders->shards =
        aligned_alloc(CACHE_LINE_BYTES, orders->shard_count * sizeof(struct order_shard));
    orders->allocators =
        aligned_alloc(CACHE_LINE_BYTES, THREADS_MAX * sizeof(struct order_allocator));
    const struct table_plan plan = {.slot_bytes = sizeof(uint64_t),
                                    .shard_count = orders->shard_count,
                                    .entries_max = orders_max,
                                    .growth = GROWTH,
                                    .huge = true};
    enum hf_status status = table_init(&orders->table, &plan);
    if (status != HF_OK || !orders->entries || !orders->shards || !orders->allocators) {
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

void orders_expect(struct orders *orders, uint64_t count)
{
    if (count == 0) {
        return;
    }
    count = count < orders->orders_max ? count : orders->orders_max;
    uint32_t capacity = table_expect(&orders->table, count);
    for (uint32_t i = 0; i < orders->shard_count; i++) {
        shard_set_index(&orders->shards[i], table_index(&orders->table, i), capacity);
    }
}

void orders_populate(struct orders *orders, uint64_t count, unsigned part, unsigned parts)
{
    CHECK(part < parts);
    if (count == 0) {
        return;
    }
    count = count < orders->orders_max ? count : orders->orders_max;
    /* Whole blocks, so whole pages. */
    uint64_t blocks = (count + ORDERS_BLOCK - 1) / ORDERS_BLOCK;
    uint64_t from = blocks * part / parts * ORDERS_BLOCK;
    uint64_t to = blocks * (part + 1) / parts * ORDERS_BLOCK;
    CHECK(from <= to);
    pages_populate(&orders->entries[from], (to - from) * sizeof(struct order));
    table_populate(&orders->table, part, parts);
    if (part == 0) {
        orders->entries_ready = blocks * ORDERS_BLOCK;
    }
}

void orders_make_ready(struct orders *orders, uint64_t count)
{
    orders_expect(orders, count);
    orders_populate(orders, count, 0, 1);
}

void orders_deinit(struct orders *orders)
{
    table_deinit(&orders->table);
    free(orders->allocators);
    free(orders->shards);
    pages_unmap(orders->entries, orders->entries_bytes);
    *orders = (struct orders){0};
}

/* How many orders a shard holds on average, estimated from a few shards. */
static uint64_t orders_each(const struct orders *orders)
{
    uint32_t step = orders->shard_count > 16 ? orders->shard_count / 16 : 1;
    uint64_t known = 0;
    uint32_t looked = 0;
    for (uint32_t i = 0; i < orders->shard_count; i += step, looked++) {
        known += atomic_load_explicit(&orders->shards[i].known, memory_order_relaxed);
    }
    return known / looked;
}

bool orders_prefault(struct orders *orders)
{
    uint64_t drawn =
        atomic_load_explicit(&orders->blocks_drawn, memory_order_relaxed) * ORDERS_BLOCK;
    uint64_t wanted = drawn + PREFAULT_ENTRIES < orders->orders_max ? drawn + PREFAULT_ENTRIES
                                                                    : orders->orders_max;
    if (orders->entries_ready < drawn) {
        orders->entries_ready = drawn < wanted ? drawn : wanted;
    }
    if (orders->entries_ready >= wanted) {
        return table_prefault(&orders->table, orders_each(orders));
    }
    uint64_t left = wanted - orders->entries_ready;
    CHECK(wanted <= orders->orders_max);
    CHECK(left > 0);
    uint64_t step = left < PREFAULT_STEP ? left : PREFAULT_STEP;
    pages_populate(&orders->entries[orders->entries_ready], step * sizeof(struct order));
    orders->entries_ready += step;
    return true;
}

bool orders_tidy(struct orders *orders)
{
    return table_tidy(&orders->table);
}

static inline uint32_t index_find(const struct orders *orders, struct index index, uint32_t tag,
                                  struct id128 id)
{
    if (!index.slots) {
        return ORDER_NO_HANDLE;
    }
    uint32_t at = table_ring_home(index.ring, tag);
    uint64_t slot;
    for (uint32_t n = table_ring_length(index.ring); n > 0 && (slot = index_at(index, at)) != 0;
         n--) {
        if (slot_tag(slot) == tag) {
            uint32_t handle = (uint32_t)slot - 1;
            if (id_equal(orders->entries[handle].id, id)) {
                return handle;
            }
        }
        at = table_ring_after(index.ring, at);
    }
    return ORDER_NO_HANDLE;
}

uint32_t orders_find(const struct orders *orders, const struct order_shard *shard, uint64_t hash,
                     struct id128 id)
{
    uint32_t tag = (uint32_t)hash;
    uint32_t handle = index_find(orders, shard_index(shard), tag, id);
    return handle != ORDER_NO_HANDLE ? handle : index_find(orders, shard_left(shard), tag, id);
}

static inline void index_put(struct index index, uint64_t slot)
{
    uint32_t at = table_ring_home(index.ring, slot_tag(slot));
    while (index_at(index, at) != 0) {
        at = table_ring_after(index.ring, at);
    }
    index_set(index, at, slot);
}

/* Moves some of the slots that a growing shard has left in its former index. */
static void shard_move(struct orders *orders, struct order_shard *shard)
{
    struct index left = shard_left(shard);
    if (!left.slots) {
        return;
    }
    struct table_ring step = table_left_step(&shard->left);
    struct index to = shard_index(shard);
    for (uint32_t at = step.first; at < step.end; at++) {
        uint64_t slot = index_at(left, at);
        if (slot != 0) {
            index_put(to, slot);
        }
    }
    table_left_moved(&orders->table, shard_number(orders, shard), &shard->left, step);
}

/* Gives a shard an index of the next size. False: it has the greatest size already. */
static bool shard_grow(struct orders *orders, struct order_shard *shard)
{
    struct index old = shard_index(shard);
    uint32_t number = shard_number(orders, shard);
    uint32_t capacity;
    CHECK(!atomic_load_explicit(&shard->left.slots, memory_order_relaxed));
    void *slots = table_next(&orders->table, number, &capacity);
    if (!slots) {
        return false;
    }
    CHECK(capacity > old.ring.end);
    shard_set_index(shard, slots, capacity);
    table_left_begin(&orders->table, number, &shard->left, old.slots, old.ring.end);
    return true;
}

/* Makes sure that one more slot fits, and moves some if the shard grows. */
static bool shard_has_slot(struct orders *orders, struct order_shard *shard)
{
    uint32_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    bool fits = table_has_slot(shard->used, capacity) || shard_grow(orders, shard) ||
                table_has_last_slot(shard->used, capacity);
    shard_move(orders, shard);
    return fits;
}

/* ---- Entries ---- */

/* Draws a block of new entries. False: none is left. */
static bool allocator_draw(struct orders *orders, struct order_allocator *allocator)
{
    if (atomic_load_explicit(&orders->blocks_drawn, memory_order_relaxed) >= orders->block_count) {
        return false;
    }
    SCHEDULE_POINT("orders.draw");
    uint64_t block = atomic_fetch_add_explicit(&orders->blocks_drawn, 1, memory_order_relaxed);
    if (block >= orders->block_count) {
        return false;
    }
    uint64_t end = (block + 1) * ORDERS_BLOCK;
    allocator->block_next = (uint32_t)(block * ORDERS_BLOCK);
    allocator->block_end = (uint32_t)(end < orders->orders_max ? end : orders->orders_max);
    CHECK(allocator->block_next < allocator->block_end);
    return true;
}

/* An entry of one allocator; with `draw` it may draw a block. ORDER_NO_HANDLE: it has none. */
static uint32_t allocator_take(struct orders *orders, struct order_allocator *allocator, bool draw)
{
    uint32_t handle = ORDER_NO_HANDLE;
    spin_lock(&allocator->spin);
    if (allocator->free != ORDER_NO_HANDLE) {
        handle = allocator->free;
        SCHEDULE_POINT("orders.take");
        allocator->free = orders->entries[handle].next_free;
        if (allocator->free != ORDER_NO_HANDLE) {
            __builtin_prefetch(&orders->entries[allocator->free], 1);
        }
    } else if (allocator->block_next < allocator->block_end ||
               (draw && allocator_draw(orders, allocator))) {
        handle = allocator->block_next++;
        /* An entry's first stores must not miss: the next lock waits until they are done. */
        __builtin_prefetch(&orders->entries[handle + ENTRIES_AHEAD], 1);
    }
    spin_unlock(&allocator->spin);
    return handle;
}

/* Takes an entry that another slot has freed. One slot alone forgets orders, and the entries that
 * it frees must be used before new memory. */
static uint32_t freed_take(struct orders *orders, unsigned slot)
{
    /* relaxed: a hint; the allocator's lock guards what it leads to. */
    uint32_t giver = atomic_load_explicit(&orders->giver, memory_order_relaxed);
    CHECK(giver <= THREADS_MAX);
    if (giver == 0 || giver == slot + 1) {
        return ORDER_NO_HANDLE;
    }
    uint32_t handle = allocator_take(orders, &orders->allocators[giver - 1], false);
    if (handle == ORDER_NO_HANDLE) {
        atomic_store_explicit(&orders->giver, 0, memory_order_relaxed);
    }
    return handle;
}

/* A slot's next entry: one of its own, else one that was freed, else a new one; from the other
 * slots' blocks when no new block is left. */
static uint32_t entry_take(struct orders *orders, unsigned slot)
{
    CHECK(slot < THREADS_MAX);
    uint32_t handle = allocator_take(orders, &orders->allocators[slot], false);
    if (handle == ORDER_NO_HANDLE) {
        handle = freed_take(orders, slot);
    }
    if (handle == ORDER_NO_HANDLE) {
        handle = allocator_take(orders, &orders->allocators[slot], true);
    }
    for (unsigned i = 0; handle == ORDER_NO_HANDLE && i < THREADS_MAX; i++) {
        handle = allocator_take(orders, &orders->allocators[i], false);
    }
    return handle;
}

static void entry_give(struct orders *orders, unsigned slot, uint32_t handle)
{
    struct order_allocator *allocator = &orders->allocators[slot];
    spin_lock(&allocator->spin);
    CHECK(handle < orders->orders_max);
    CHECK(allocator->free != handle); /* it is not free already */
    orders->entries[handle] = (struct order){.next_free = allocator->free};
    SCHEDULE_POINT("orders.give");
    allocator->free = handle;
    spin_unlock(&allocator->spin);
    /* relaxed: see freed_take; not written when it has this value already. */
    if (atomic_load_explicit(&orders->giver, memory_order_relaxed) != slot + 1) {
        atomic_store_explicit(&orders->giver, slot + 1, memory_order_relaxed);
    }
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
    SCHEDULE_POINT("orders.enter");
    orders->entries[handle] = (struct order){.id = id, .flags = ORDER_BUSY};
    index_put(shard_index(shard), slot_of(hash, handle));
    shard->used++;
    return handle;
}

/* Where a slot is in an index; false: it is not there. */
static bool index_has(struct index index, uint64_t slot, uint32_t *at)
{
    if (!index.slots) {
        return false;
    }
    *at = table_ring_home(index.ring, slot_tag(slot));
    uint32_t n = table_ring_length(index.ring);
    while (n > 0 && index_at(index, *at) != 0 && index_at(index, *at) != slot) {
        *at = table_ring_after(index.ring, *at);
        n--;
    }
    return n > 0 && index_at(index, *at) == slot;
}

/* Empties slot `hole` and moves back the slots that were pushed beyond it. What is left of an index
 * may have no empty slot. */
static void index_empty(struct index index, uint32_t hole)
{
    CHECK(hole >= index.ring.first && hole < index.ring.end);
    CHECK(index_at(index, hole) != 0);
    uint32_t at = hole;
    for (uint32_t n = table_ring_length(index.ring); n > 1; n--) {
        at = table_ring_after(index.ring, at);
        uint64_t slot = index_at(index, at);
        if (slot == 0) {
            break;
        }
        uint32_t home = table_ring_home(index.ring, slot_tag(slot));
        if (table_may_move(index.ring, home, at, hole)) {
            index_set(index, hole, slot);
            hole = at;
        }
    }
    index_set(index, hole, 0);
}

void orders_remove(struct orders *orders, unsigned slot, struct order_shard *shard, uint64_t hash,
                   uint32_t handle)
{
    const struct order *order = &orders->entries[handle];
    CHECK(order->state == ORDER_NONE);
    CHECK(!(order->flags & ORDER_BLOCK));
    CHECK(!(order->flags & ORDER_HINTED));
    struct index index = shard_index(shard);
    uint64_t slot_there = slot_of(hash, handle);
    uint32_t at = 0;
    if (!index_has(index, slot_there, &at)) {
        index = shard_left(shard);
        bool there = index_has(index, slot_there, &at);
        CHECK(there);
    }
    SCHEDULE_POINT("orders.remove");
    index_empty(index, at);
    CHECK(shard->used > 0);
    shard->used--;
    shard_move(orders, shard);
    entry_give(orders, slot, handle);
}

static void index_visit(const struct orders *orders, struct index index,
                        void (*visit)(void *context, uint32_t handle, const struct order *order),
                        void *context)
{
    for (uint32_t at = index.ring.first; at < index.ring.end; at++) {
        uint64_t slot = index_at(index, at);
        if (slot != 0) {
            uint32_t handle = (uint32_t)slot - 1;
            visit(context, handle, &orders->entries[handle]);
        }
    }
}

void orders_visit(const struct orders *orders,
                  void (*visit)(void *context, uint32_t handle, const struct order *order),
                  void *context)
{
    for (uint32_t i = 0; i < orders->shard_count; i++) {
        index_visit(orders, shard_index(&orders->shards[i]), visit, context);
        index_visit(orders, shard_left(&orders->shards[i]), visit, context);
    }
}

/* ---- Walking ----
 *
 * A walk goes through a shard's orders by their keys: tags first, so that the keys of a range lie
 * near each other in the index, whatever its capacity; then handles, which never change. The cursor
 * has the key of the next order without the handle's high bits. So two orders with one tag may be
 * mistaken for each other with a chance of 2^-22, and only if a walk stops exactly between the two.
 *
 *     key     tag 32 | handle's low 22 bits | its high 10 bits
 *     cursor  tag 32 | shard: low 22 bits, above the shard's 10 */

#define LOW_BITS   22u
#define HIGH_BITS  (32u - LOW_BITS)
#define SHARD_MASK ((1u << HIGH_BITS) - 1)

static_assert(TABLE_SHARDS_MAX <= SHARD_MASK + 1, "a shard's number fits beside the low bits");

struct walk_step {
    uint64_t from; /* the first key that is visited */
    uint64_t to;   /* the first key that is left to the next step; UINT64_MAX: the shard's end */
    bool stopped;  /* by the visitor, or by look_max */
    uint32_t count;
    uint64_t keys[WALK_KEYS]; /* ascending */
};

static uint64_t key_of(uint64_t slot)
{
    uint32_t handle = (uint32_t)slot - 1;
    return (slot >> 32) << 32 | (uint32_t)(handle << HIGH_BITS | handle >> LOW_BITS);
}

static uint32_t key_handle(uint64_t key)
{
    return (uint32_t)key >> HIGH_BITS | ((uint32_t)key & SHARD_MASK) << LOW_BITS;
}

static void cursor_set(struct order_cursor *cursor, uint32_t shard, uint64_t key)
{
    CHECK(shard <= SHARD_MASK);
    cursor->shard = shard | ((uint32_t)key & ~SHARD_MASK);
    cursor->tag = (uint32_t)(key >> 32);
}

static void cursor_next_shard(const struct orders *orders, struct order_cursor *cursor)
{
    uint32_t shard = (cursor->shard & SHARD_MASK) + 1;
    cursor_set(cursor, shard & SHARD_MASK, 0);
    cursor->done = shard >= orders->shard_count;
}

static void step_begin(struct walk_step *step, const struct order_cursor *cursor)
{
    step->from = (uint64_t)cursor->tag << 32 | (cursor->shard & ~SHARD_MASK);
    step->to = UINT64_MAX;
    step->stopped = false;
    step->count = 0; /* the keys are not cleared: a step with few orders costs little */
}

/* Adds a key in its sorted place; when there is no room, the greatest key is left to the next step.
 */
static void step_add(struct walk_step *step, uint64_t key)
{
    if (step->count == WALK_KEYS) {
        uint64_t last = step->keys[WALK_KEYS - 1];
        step->to = last > key ? last : key;
        if (step->to == key) {
            return;
        }
        step->count--;
    }
    CHECK(step->count < WALK_KEYS);
    CHECK(key >= step->from);
    uint32_t at = step->count++;
    while (at > 0 && step->keys[at - 1] > key) {
        step->keys[at] = step->keys[at - 1];
        at--;
    }
    step->keys[at] = key;
}

/* Adds an index's orders of the step's keys, and prefetches their entries. Their slots are at or
 * after their homes, with no empty slot between. */
static void index_gather(const struct orders *orders, struct index index, struct walk_step *step)
{
    uint32_t home = table_ring_home(index.ring, (uint32_t)(step->from >> 32));
    /* The home of the first tag that is left to the next step. */
    uint32_t end = step->to == UINT64_MAX ? index.ring.end
                                          : table_ring_home(index.ring, (uint32_t)(step->to >> 32));
    CHECK(home <= end);
    uint32_t length = table_ring_length(index.ring);
    for (uint32_t at = home, n = 0; n < length; at = table_ring_after(index.ring, at), n++) {
        uint64_t slot = index_at(index, at);
        if (slot == 0) {
            if (n >= end - home) {
                break;
            }
            continue;
        }
        uint64_t key = key_of(slot);
        if (key >= step->from && key < step->to) {
            __builtin_prefetch(&orders->entries[key_handle(key)], 1);
            step_add(step, key);
        }
    }
}

/* Finds the next orders of a shard from step->from on: those at home in the next WALK_SLOTS slots
 * of its index, and those with the same keys that are left in the former one. */
static void step_gather(const struct orders *orders, const struct order_shard *shard,
                        struct walk_step *step)
{
    struct index index = shard_index(shard);
    uint64_t capacity = index.ring.end;
    uint64_t end = table_ring_home(index.ring, (uint32_t)(step->from >> 32)) + (uint64_t)WALK_SLOTS;
    if (end < capacity) {
        /* The first tag whose home is `end`. */
        step->to = ((end << 32) + capacity - 1) / capacity << 32;
    }
    index_gather(orders, index, step);
    struct index left = shard_left(shard);
    if (left.slots) {
        index_gather(orders, left, step);
    }
}

/* Visits the orders that were gathered. Returns how many were visited; if a visit stops the walk,
 * step->to becomes that order's key. */
static uint32_t step_visit(struct orders *orders, struct order_shard *shard, struct walk_step *step,
                           uint32_t look_max, order_visit *visit, void *context)
{
    CHECK(step->count <= WALK_KEYS);
    uint32_t looked = 0;
    for (uint32_t i = 0; i < step->count; i++) {
        uint32_t handle = key_handle(step->keys[i]);
        struct order *order = &orders->entries[handle];
        if (order->state == ORDER_NONE) {
            continue; /* not published yet */
        }
        if (looked == look_max || !visit(context, shard, handle, order)) {
            step->to = step->keys[i];
            step->stopped = true;
            break;
        }
        looked++;
    }
    return looked;
}

uint32_t orders_walk(struct orders *orders, struct order_cursor *cursor, uint32_t look_max,
                     order_visit *visit, void *context)
{
    uint32_t looked = 0;
    bool stopped = false;
    while (looked < look_max && !stopped && !cursor->done) {
        uint32_t number = cursor->shard & SHARD_MASK;
        if (number >= orders->shard_count) {
            cursor->done = true;
            break;
        }
        struct order_shard *shard = &orders->shards[number];
        struct walk_step step;
        step_begin(&step, cursor);
        spin_lock(&shard->spin);
        if (shard->used > 0) {
            step_gather(orders, shard, &step);
        }
        uint32_t seen = step_visit(orders, shard, &step, look_max - looked, visit, context);
        spin_unlock(&shard->spin);
        if (step.to == UINT64_MAX) {
            cursor_next_shard(orders, cursor);
        } else {
            cursor_set(cursor, number, step.to);
        }
        CHECK(seen <= look_max - looked);
        stopped = step.stopped;
        looked += seen > 0 || stopped ? seen : 1;
    }
    return looked;
}

static void index_prefetch(struct index index, uint32_t tag)
{
    if (index.slots) {
        __builtin_prefetch(&index.slots[table_ring_home(index.ring, tag)], 1);
    }
}

void orders_prefetch(const struct orders *orders, uint64_t hash)
{
    const struct order_shard *shard = orders_shard(orders, hash);
    __builtin_prefetch(shard, 1);
    index_prefetch(shard_index(shard), (uint32_t)hash);
    index_prefetch(shard_left(shard), (uint32_t)hash);
}

void orders_prefetch_entry(const struct orders *orders, uint64_t hash)
{
    const struct order_shard *shard = orders_shard(orders, hash);
    /* acquire: pairs with the release in shard_set_index. */
    uint32_t capacity = atomic_load_explicit(&shard->capacity, memory_order_acquire);
    if (capacity == 0) {
        return;
    }
    struct index index = {atomic_load_explicit(&shard->slots, memory_order_relaxed), {0, capacity}};
    uint32_t tag = (uint32_t)hash;
    uint32_t home = table_ring_home(index.ring, tag);
    /* Only in the cache line that was prefetched: to wait for the next one costs more than this
     * saves. */
    uint32_t end = home / LINE_SLOTS * LINE_SLOTS + LINE_SLOTS;
    for (uint32_t at = home; at < end && at < capacity; at++) {
        uint64_t slot = index_at(index, at);
        if (slot == 0) {
            break;
        }
        if (slot_tag(slot) == tag) {
            __builtin_prefetch(&orders->entries[(uint32_t)slot - 1], 1);
            break;
        }
    }
}

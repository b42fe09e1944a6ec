/* table.c - the planned sizes of the sharded hash tables' indexes.
 *
 * Threads: see table.h.
 * Invariant: a shard's sizes below `given` hold no memory. The sizes from `given` to below next - 1
 * were outgrown, and only table_tidy touches them. While a shard grows, next - 1 is the former
 * size, and next the new one. */
#include "core/table.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/pages.h"
#include "base/schedule.h"

/* A shard's share of a full table; smaller tables have fewer shards. */
#define SHARD_ENTRIES_MIN SCHEDULE_BOUND(16384u, 64u)
#define PREFAULT_BYTES    MIB(2) /* taken by one call of table_prefault, in less than 1 ms */
#define TIDY_INDEXES      16u    /* freed by one call: each costs up to some 100 us */

uint32_t table_shards_for(uint64_t entries_max)
{
    uint32_t shards = TABLE_SHARDS_MAX;
    while (shards > 1 && (uint64_t)shards * SHARD_ENTRIES_MIN > entries_max) {
        shards /= 2;
    }
    return shards;
}

static void add_size(struct table *table, uint64_t capacity)
{
    CHECK(table->size_count < TABLE_SIZES_MAX);
    CHECK(capacity <= UINT32_MAX);
    struct table_size *size = &table->sizes[table->size_count++];
    size->capacity = (uint32_t)capacity;
    size->bytes = (capacity * table->slot_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* Sizes from one page up, in whole pages; the last but one is only as great as a full table needs.
 */
static void plan_sizes(struct table *table, uint64_t entries_max, uint32_t growth)
{
    /* A shard's share of a full table, plus two standard deviations for a thousand shards; a shard
     * that gets more entries takes the last size. */
    uint64_t share = entries_max / table->shard_count;
    uint64_t slots_max = (share + share / 64 + 64) * 5 / 4 + 1;
    uint64_t unit = PAGE_BYTES / table->slot_bytes;
    uint64_t capacity = unit;
    /* No size is greater than the one before by less than an eighth: see TABLE_MOVE_SLOTS. */
    while (capacity + capacity / 8 < slots_max) {
        add_size(table, capacity);
        capacity += (capacity / growth + unit - 1) / unit * unit;
    }
    add_size(table, slots_max);
    add_size(table, slots_max * 2);
}

enum hf_status table_init(struct table *table, const struct table_plan *plan)
{
    CHECK(plan->shard_count >= 1 && plan->shard_count <= TABLE_SHARDS_MAX);
    CHECK(plan->growth >= 1);
    *table = (struct table){.slot_bytes = plan->slot_bytes, .shard_count = plan->shard_count};
    plan_sizes(table, plan->entries_max, plan->growth);
    table->shards = calloc(table->shard_count, sizeof *table->shards);
    bool mapped = table->shards != NULL;
    for (uint32_t i = 0; i < table->size_count && mapped; i++) {
        uint64_t bytes = table->sizes[i].bytes * table->shard_count;
        table->sizes[i].indexes = plan->huge ? pages_map_huge(bytes) : pages_map_small(bytes);
        mapped = table->sizes[i].indexes != NULL;
    }
    if (!mapped) {
        table_deinit(table);
        return HF_NO_MEMORY;
    }
    return HF_OK;
}

void table_deinit(struct table *table)
{
    for (uint32_t i = 0; i < table->size_count; i++) {
        pages_unmap(table->sizes[i].indexes, table->sizes[i].bytes * table->shard_count);
    }
    free(table->shards);
    *table = (struct table){0};
}

static void *size_index(const struct table *table, uint32_t size, uint32_t shard)
{
    CHECK(size < table->size_count);
    CHECK(shard < table->shard_count);
    return table->sizes[size].indexes + table->sizes[size].bytes * shard;
}

uint32_t table_expect(struct table *table, uint64_t count)
{
    /* Shards differ: some get a few more entries than others. But not the last size. */
    uint64_t share = count / table->shard_count;
    uint64_t room = share + share / 16 + 32;
    uint32_t size = 0;
    while (size + 2 < table->size_count && (uint64_t)table->sizes[size].capacity * 4 < room * 5) {
        size++;
    }
    for (uint32_t i = 0; i < table->shard_count; i++) {
        CHECK(atomic_load_explicit(&table->shards[i].next, memory_order_relaxed) == 0);
        atomic_store_explicit(&table->shards[i].next, size + 1, memory_order_relaxed);
        table->shards[i].given = size;
    }
    return table->sizes[size].capacity;
}

void table_populate(struct table *table, unsigned part, unsigned parts)
{
    CHECK(part < parts);
    uint32_t end = (uint32_t)((uint64_t)table->shard_count * (part + 1) / parts);
    for (uint32_t i = (uint32_t)((uint64_t)table->shard_count * part / parts); i < end; i++) {
        uint32_t next = atomic_load_explicit(&table->shards[i].next, memory_order_relaxed);
        if (next > 0) {
            pages_populate(size_index(table, next - 1, i), table->sizes[next - 1].bytes);
        }
    }
}

void *table_next(const struct table *table, uint32_t shard, uint32_t *capacity)
{
    uint32_t next = atomic_load_explicit(&table->shards[shard].next, memory_order_relaxed);
    if (next == table->size_count) {
        return NULL;
    }
    CHECK(next < table->size_count);
    *capacity = table->sizes[next].capacity;
    return size_index(table, next, shard);
}

/* The shard has the next size now, and never touches its former index again. */
static void shard_moved(struct table *table, uint32_t shard)
{
    uint32_t next = atomic_load_explicit(&table->shards[shard].next, memory_order_relaxed);
    CHECK(next < table->size_count);
    /* release: pairs with the acquire in shard_tidy. A thread that sees that the shard has moved
     * sees all that the shard did with its former index before. */
    atomic_store_explicit(&table->shards[shard].next, next + 1, memory_order_release);
    if (next > 0) {
        atomic_fetch_add_explicit(&table->left, 1, memory_order_relaxed);
    }
}

static void left_set(struct table_left *left, void *slots, uint32_t first, uint32_t end)
{
    /* relaxed: a prefetch may read some old and some new values, and then prefetches in vain. */
    atomic_store_explicit(&left->slots, slots, memory_order_relaxed);
    atomic_store_explicit(&left->first, first, memory_order_relaxed);
    atomic_store_explicit(&left->end, end, memory_order_relaxed);
}

void table_left_begin(struct table *table, uint32_t shard, struct table_left *left, void *slots,
                      uint32_t capacity)
{
    CHECK(!atomic_load_explicit(&left->slots, memory_order_relaxed));
    CHECK(slots == table_index(table, shard));
    if (!slots) {
        shard_moved(table, shard);
        return;
    }
    CHECK(capacity > 0);
    left_set(left, slots, 0, capacity);
}

struct table_ring table_left_step(const struct table_left *left)
{
    struct table_ring ring = table_left_ring(left);
    CHECK(ring.first < ring.end);
    if (table_ring_length(ring) > TABLE_MOVE_SLOTS) {
        ring.end = ring.first + TABLE_MOVE_SLOTS;
    }
    return ring;
}

void table_left_moved(struct table *table, uint32_t shard, struct table_left *left,
                      struct table_ring step)
{
    struct table_ring ring = table_left_ring(left);
    CHECK(step.first == ring.first);
    CHECK(step.end > ring.first && step.end <= ring.end);
    if (step.end < ring.end) {
        atomic_store_explicit(&left->first, step.end, memory_order_relaxed);
    } else {
        left_set(left, NULL, 0, 0);
        shard_moved(table, shard);
    }
}

void *table_index(const struct table *table, uint32_t shard)
{
    uint32_t next = atomic_load_explicit(&table->shards[shard].next, memory_order_relaxed);
    return next == 0 ? NULL : size_index(table, next - 1, shard);
}

/* Frees the indexes that one shard has outgrown. */
static void shard_tidy(struct table *table, uint32_t shard)
{
    struct table_shard *at = &table->shards[shard];
    /* acquire: pairs with the release in shard_moved. */
    uint32_t next = atomic_load_explicit(&at->next, memory_order_acquire);
    while (at->given + 1 < next) {
        CHECK(at->given < table->size_count);
        pages_give_back(size_index(table, at->given, shard), table->sizes[at->given].bytes);
        at->given++;
        table->tidied++;
    }
}

bool table_tidy(struct table *table)
{
    /* A shard that is moving counts in `left` a little later than in `next`, so tidied may be
     * greater for a moment. But the two never stay equal while something is left to free. */
    uint64_t left = atomic_load_explicit(&table->left, memory_order_relaxed);
    uint64_t until = table->tidied + TIDY_INDEXES;
    for (uint32_t i = 0; i < table->shard_count && table->tidied < until; i++) {
        if (table->tidied >= left) {
            return false;
        }
        shard_tidy(table, table->tidy_next);
        table->tidy_next = table->tidy_next + 1 == table->shard_count ? 0 : table->tidy_next + 1;
    }
    return table->tidied < left;
}

bool table_prefault(struct table *table, uint64_t each)
{
    /* The first shard is taken as a sample of all: they grow at about the same time. relaxed: a
     * hint. Not the last size, which few shards take or none; nor before growing is near, since it
     * may never come. */
    uint32_t next = atomic_load_explicit(&table->shards[0].next, memory_order_relaxed);
    if (next == 0 || next + 1 >= table->size_count ||
        each * 10 < (uint64_t)table->sizes[next - 1].capacity * 7) {
        return false;
    }
    const struct table_size *size = &table->sizes[next];
    if (table->prefault_size != next) {
        table->prefault_size = next;
        table->prefault_bytes = 0;
    }
    uint64_t all = size->bytes * table->shard_count;
    CHECK(table->prefault_bytes <= all);
    uint64_t left = all - table->prefault_bytes;
    uint64_t step = left < PREFAULT_BYTES ? left : PREFAULT_BYTES;
    if (step == 0) {
        return false;
    }
    pages_populate(size->indexes + table->prefault_bytes, step);
    table->prefault_bytes += step;
    CHECK(table->prefault_bytes <= all);
    return table->prefault_bytes < all;
}

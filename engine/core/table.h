/* table.h - what the sharded hash tables have in common: how many shards, and the planned sizes
 * that each shard's index grows through.
 *
 * An index is an open-addressed array of slots. A shard goes from one index to the next greater
 * one in steps, under its own lock: each operation that enters or removes a slot moves a few from
 * the former index (struct table_left). All sizes are planned at start and have address space from
 * then on; the indexes of one size are side by side in one mapping (for huge pages: shards grow at
 * about the same time). So growing neither allocates nor calls the system. table_tidy() returns the
 * memory of outgrown indexes to the system, with no lock held.
 *
 *     size 0   | shard 0 | shard 1 | ...        each index in whole pages
 *     size 1   |  shard 0  |  shard 1  | ...    greater by 1/growth
 *     ...
 *     last but one: a full table's share of a shard; last: twice that, for an unlikely crowd
 *
 * Threads: table_next and table_left_... under the shard's lock; table_tidy and table_prefault in
 * one thread at a time, while others work; the rest when nothing else runs. */
#ifndef CORE_TABLE_H
#define CORE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "holdfast/status.h"

#define TABLE_SHARDS_MAX 1024u
#define TABLE_SIZES_MAX  48u

struct table_size {
    uint8_t *indexes;
    uint32_t capacity; /* slots of one index */
    uint64_t bytes;    /* of one index, in whole pages */
};

/* Slots that are probed one after the other, with `first` after `end - 1`: a whole index, or what
 * is left of one. */
struct table_ring {
    uint32_t first;
    uint32_t end;
};

/* What a growing shard has left in its former index. Slots are moved in the order of the index, so
 * that slots next to each other stay so. Those from `first` on are left; they are a ring of their
 * own, in which a slot that was at home before `first` is at home at `first`. So nothing that is
 * left is ever out of reach, wherever a step ends and whatever is removed. New slots go into the
 * new index.
 *
 * Fields are written under the shard's lock, and may be read without it for prefetching. All zero:
 * nothing is left. */
struct table_left {
    _Atomic(void *) slots; /* the former index; NULL: the shard is not growing */
    _Atomic uint32_t first;
    _Atomic uint32_t end; /* the former index's capacity */
};

/* How many slots of the former index one step moves: two cache lines of 8-byte slots. Each size is
 * greater than the one before by an eighth or more, so at least C/10 entries fit between two
 * growths of an index of C slots, and 10 slots a step would be enough for the first growth to end
 * before the second begins. */
#define TABLE_MOVE_SLOTS 16u

/* How far a shard has grown. */
struct table_shard {
    _Atomic uint32_t next; /* the size that it takes next; it has the size before that, if any */
    uint32_t given;        /* sizes below hold no memory any more; only table_tidy uses this */
};

struct table {
    struct table_size sizes[TABLE_SIZES_MAX];
    uint32_t size_count;
    uint32_t slot_bytes;
    uint32_t shard_count;
    struct table_shard *shards;
    _Atomic uint64_t left;  /* how many indexes shards have outgrown since the start */
    uint64_t tidied;        /* how many of these hold no memory any more; this and tidy_next: only
                               table_tidy's */
    uint32_t tidy_next;     /* the shard to check next */
    uint32_t prefault_size; /* the size whose memory table_prefault takes; this and prefault_bytes:
                               only its own */
    uint64_t prefault_bytes;
};

/* How many shards a table of entries_max entries gets: enough that threads rarely wait for each
 * other and that one shard grows fast; few for a small table. A power of two, 1..TABLE_SHARDS_MAX.
 */
uint32_t table_shards_for(uint64_t entries_max);

/* Where a tag's probing starts: the tag as a fraction of the capacity, so that any capacity is
 * possible and an index keeps its order when it grows. */
static inline uint32_t table_home(uint32_t tag, uint32_t capacity)
{
    return (uint32_t)((uint64_t)tag * capacity >> 32);
}

/* The same in a ring of an index of ring.end slots. */
static inline uint32_t table_ring_home(struct table_ring ring, uint32_t tag)
{
    uint32_t home = table_home(tag, ring.end);
    return home > ring.first ? home : ring.first;
}

static inline uint32_t table_ring_after(struct table_ring ring, uint32_t at)
{
    return at + 1 == ring.end ? ring.first : at + 1;
}

static inline uint32_t table_ring_length(struct table_ring ring)
{
    return ring.end - ring.first;
}

/* When slots are shifted back: whether the slot at `at` may move to the hole before it. It may if
 * the hole is not before its home. */
static inline bool table_may_move(struct table_ring ring, uint32_t home, uint32_t at, uint32_t hole)
{
    uint32_t from_home = at >= home ? at - home : at + table_ring_length(ring) - home;
    uint32_t from_hole = at >= hole ? at - hole : at + table_ring_length(ring) - hole;
    return from_home >= from_hole;
}

/* Whether one more slot than `used` still leaves one fifth of the index empty, which keeps probing
 * short. */
static inline bool table_has_slot(uint32_t used, uint32_t capacity)
{
    return (uint64_t)(used + 1) * 5 <= (uint64_t)capacity * 4;
}

/* The same for the greatest size, which can't grow: one sixteenth is left empty. */
static inline bool table_has_last_slot(uint32_t used, uint32_t capacity)
{
    return (uint64_t)(used + 1) * 16 <= (uint64_t)capacity * 15;
}

struct table_plan {
    uint32_t slot_bytes;
    uint32_t shard_count;
    uint64_t entries_max; /* of all shards */
    uint32_t growth; /* each size is greater than the one before by 1/growth of that: 1 doubles; 4
                        wastes less memory, but slots are moved more often */
    bool huge;       /* use huge pages: random access is faster, but while some shards have grown
                        and others have not, the memory of both sizes is taken in whole */
};

/* Plans the sizes and reserves address space. NO_MEMORY when it or memory is refused. */
enum hf_status table_init(struct table *table, const struct table_plan *plan);

/* The struct may be all zero. */
void table_deinit(struct table *table);

/* Starts all shards with an index that has room for their shares of `count` entries. Returns the
 * size's capacity. */
uint32_t table_expect(struct table *table, uint64_t count);

/* Takes the memory of one of `parts` equal parts of the shards' present indexes, each part by
 * another thread. Nothing else may run at the same time. */
void table_populate(struct table *table, unsigned part, unsigned parts);

/* The index that a shard grows into, all zero; *capacity: how many slots it has. NULL: the shard
 * has the greatest size already. */
void *table_next(const struct table *table, uint32_t shard, uint32_t *capacity);

/* Begins to move the shard's slots to the index from table_next: `slots`, with `capacity` of them,
 * is its former index (NULL: it had none, and there is nothing to move). The shard must not be
 * growing already. */
void table_left_begin(struct table *table, uint32_t shard, struct table_left *left, void *slots,
                      uint32_t capacity);

/* The slots that are left, when left->slots is not NULL. */
static inline struct table_ring table_left_ring(const struct table_left *left)
{
    return (struct table_ring){atomic_load_explicit(&left->first, memory_order_relaxed),
                               atomic_load_explicit(&left->end, memory_order_relaxed)};
}

/* The slots that the next step moves. */
struct table_ring table_left_step(const struct table_left *left);

/* Reports that the slots of `step`, from table_left_step, are in the new index. After the last ones
 * the shard must never touch the former index again. */
void table_left_moved(struct table *table, uint32_t shard, struct table_left *left,
                      struct table_ring step);

/* A shard's present index, the former one while it grows; NULL: it has none. Nothing else may run
 * at the same time. */
void *table_index(const struct table *table, uint32_t shard);

/* Returns the memory of some of the outgrown indexes to the system. Returns whether more is left;
 * costs almost nothing when none is, and at most some ms otherwise. */
bool table_tidy(struct table *table);

/* Takes some memory of the size that shards will grow into next (but not of the last size), once
 * `each`, the average number of entries in a shard, is 7/10 of an index. So growing, which happens
 * at 4/5 and under a shard's lock, meets no page fault. Returns whether more is left to take. One
 * thread at a time. */
bool table_prefault(struct table *table, uint64_t each);

#endif

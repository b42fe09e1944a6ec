/* table.h - what the sharded hash tables have in common: how many shards, and the planned sizes
 * that each shard's index grows through.
 *
 * An index is an open-addressed array of slots; a shard goes from one to the next greater, under
 * its own lock. All sizes are planned at start and have address space from then on, the indexes of
 * one size side by side in one mapping (for huge pages: shards grow at about the same time). So
 * growing neither allocates nor calls the system. What a shard grew out of is given back by
 * table_tidy(), with no lock held.
 *
 *     size 0   | shard 0 | shard 1 | ...        each index in whole pages
 *     size 1   |  shard 0  |  shard 1  | ...    greater by 1/growth
 *     ...
 *     last but one: a full table's share of a shard; last: twice that, for an unlikely crowd
 *
 * Threads: table_next and table_moved under the shard's lock; table_tidy in one thread at a time,
 * beside all others; the rest before and after. */
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

/* How far a shard has come. */
struct table_shard {
    _Atomic uint32_t next; /* the size it takes next; it has the one before, if any */
    uint32_t given;        /* sizes below are given back; table_tidy's */
};

struct table {
    struct table_size sizes[TABLE_SIZES_MAX];
    uint32_t size_count;
    uint32_t slot_bytes;
    uint32_t shard_count;
    struct table_shard *shards;
    _Atomic uint64_t left;  /* indexes that shards have grown out of, ever */
    uint64_t tidied;        /* of these, given back; table_tidy's, and the next one */
    uint32_t tidy_next;     /* the shard to look at next */
    uint32_t prefault_size; /* whose memory table_prefault takes; its own, and the next one */
    uint64_t prefault_bytes;
};

/* Shards for a table of so many entries: enough that threads rarely meet and that one grows fast;
 * few for a small table. A power of two, 1..TABLE_SHARDS_MAX. */
uint32_t table_shards_for(uint64_t entries_max);

/* Where a tag's probing starts: the tag as a fraction of the capacity, so that any capacity will do
 * and an index keeps its order when it grows. */
static inline uint32_t table_home(uint32_t tag, uint32_t capacity)
{
    return (uint32_t)((uint64_t)tag * capacity >> 32);
}

/* Whether the slot at `at` may move to the hole before it when slots are shifted back: whether the
 * hole is not before its home. */
static inline bool table_may_move(uint32_t home, uint32_t at, uint32_t hole, uint32_t capacity)
{
    uint32_t from_home = at >= home ? at - home : at + capacity - home;
    uint32_t from_hole = at >= hole ? at - hole : at + capacity - hole;
    return from_home >= from_hole;
}

/* Whether one more slot than `used` leaves the fifth empty that keeps probing short. */
static inline bool table_has_slot(uint32_t used, uint32_t capacity)
{
    return (uint64_t)(used + 1) * 5 <= (uint64_t)capacity * 4;
}

/* The same, where there is no next size. */
static inline bool table_has_last_slot(uint32_t used, uint32_t capacity)
{
    return (uint64_t)(used + 1) * 16 <= (uint64_t)capacity * 15;
}

struct table_plan {
    uint32_t slot_bytes;
    uint32_t shard_count;
    uint64_t entries_max; /* of all shards */
    uint32_t growth; /* a size is greater than the one before by 1/growth of it: 1 doubles, 4 wastes
                        less memory and moves slots more often */
    bool huge;       /* in huge pages: faster at random; while some shards have grown and others
                        have not, both sizes' memory is there in whole */
};

/* Plans the sizes and reserves address space. NO_MEMORY when it or memory is refused. */
enum hf_status table_init(struct table *table, const struct table_plan *plan);

/* Of a struct that is all zero, too. */
void table_deinit(struct table *table);

/* Starts all shards with an index that has room for their shares of `count` entries. Returns the
 * size's capacity. */
uint32_t table_expect(struct table *table, uint64_t count);

/* Takes the memory of the shards' present indexes: of one of `parts` equal parts of them, each by
 * another thread. For when nothing else runs. */
void table_populate(struct table *table, unsigned part, unsigned parts);

/* The index that a shard grows into, all zero; *capacity its slots. NULL: it has the greatest. */
void *table_next(const struct table *table, uint32_t shard, uint32_t *capacity);

/* The shard has moved its slots to what table_next gave, and never touches the former one again. */
void table_moved(struct table *table, uint32_t shard);

/* A shard's present index; NULL: it has none. For when nothing else runs. */
void *table_index(const struct table *table, uint32_t shard);

/* Gives back the memory of some of the indexes that were grown out of. Returns whether there is
 * more. Costs next to nothing when there is none, and below some ms otherwise. */
bool table_tidy(struct table *table);

/* Takes memory of the size that shards are about to grow into (but the last), some of it at once,
 * when they hold `each` entries on average, 7/10 of an index: so that growing, at 4/5 and under a
 * shard's lock, meets no page fault. Returns whether there is more. One thread at a time. */
bool table_prefault(struct table *table, uint64_t each);

#endif

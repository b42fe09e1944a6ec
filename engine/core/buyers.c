/* buyers.c - units of each buyer of a limited SKU: sharded, open-addressed, 16-byte slots.
 *
 * Threads: any; a shard's slots under its lock.
 * Invariants: a slot is at or after its home, with no empty slot between (linear probing); a slot
 * is empty exactly when its units are 0; while a shard grows, a pair's slot is either in the new
 * index or in what is left of the former one; the room of all shards, the room not drawn yet, and
 * all pairs add up to buyers_max.
 *
 * A shard draws room for ROOM_BLOCK pairs at a time, so that shards rarely use the common counter
 * at the same time. When the counter has no room left, a shard takes from the others' room, so the
 * table is full exactly at buyers_max. Memory per pair: 20 to 25 bytes (an index is from 64 to 80 %
 * full; 21.4 measured at 10 M pairs). */
#include "core/buyers.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/schedule.h"
#include "base/spin.h"
#include "core/table.h"

#define GROWTH     4u  /* an index grows by a quarter: memory matters more than speed */
#define ROOM_BLOCK 64u /* pairs that a shard draws room for at once */

struct slot {
    uint64_t buyer;
    uint32_t sku;
    uint32_t units; /* 0: empty */
};

static_assert(sizeof(struct slot) == 16, "a cache line holds four");

struct shard {
    _Alignas(CACHE_LINE_BYTES) struct spin spin;
    _Atomic uint32_t used;        /* written under the lock */
    _Atomic uint32_t room;        /* pairs that may be added; other shards may take from it */
    _Atomic uint32_t capacity;    /* written under the lock; without it for prefetching */
    _Atomic(struct slot *) slots; /* as capacity */
    struct table_left left;       /* while it grows: pairs whose slots are not in `slots` yet */
};

struct buyers {
    struct table table;
    struct shard *shards;
    uint32_t shard_count;
    unsigned shard_shift; /* shard = hash >> shard_shift >> 1 */
    uint32_t *
        *claims; /* by shard, by slot: units that orders of a checkpoint claimed. NULL: none */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t undrawn; /* room that no shard has drawn */
};

enum hf_status buyers_init(struct buyers **out, uint64_t buyers_max)
{
    CHECK(buyers_max >= 1 && buyers_max <= ORDERS_MAX);
    struct buyers *buyers = aligned_alloc(CACHE_LINE_BYTES, sizeof *buyers);
    if (!buyers) {
        return HF_NO_MEMORY;
    }
    *buyers = (struct buyers){.shard_count = table_shards_for(buyers_max)};
    atomic_store_explicit(&buyers->undrawn, buyers_max, memory_order_relaxed);
    buyers->shard_shift = 63u - (unsigned)__builtin_ctz(buyers->shard_count);
    CHECK((buyers->shard_count & (buyers->shard_count - 1)) == 0);
    buyers->shards = aligned_alloc(CACHE_LINE_BYTES, buyers->shard_count * sizeof(struct shard));
    const struct table_plan plan = {.slot_bytes = sizeof(struct slot),
                                    .shard_count = buyers->shard_count,
                                    .entries_max = buyers_max,
                                    .growth = GROWTH,
                                    .huge = false}; /* huge pages are not faster here, and would
                                                       waste memory */
    enum hf_status status = table_init(&buyers->table, &plan);
    if (status != HF_OK || !buyers->shards) {
        buyers_deinit(buyers);
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < buyers->shard_count; i++) {
        buyers->shards[i] = (struct shard){0};
    }
    *out = buyers;
    return HF_OK;
}

void buyers_deinit(struct buyers *buyers)
{
    if (!buyers) {
        return;
    }
    buyers_claims_end(buyers);
    table_deinit(&buyers->table);
    free(buyers->shards);
    free(buyers);
}

bool buyers_tidy(struct buyers *buyers)
{
    return table_tidy(&buyers->table);
}

/* ---- Slots: under the shard's lock ---- */

static uint64_t pair_hash(uint32_t sku, uint64_t buyer)
{
    CHECK(sku != 0);
    return id_hash((struct id128){.hi = buyer, .lo = sku});
}

static struct shard *shard_of(const struct buyers *buyers, uint64_t hash)
{
    CHECK(hash >> 1 >> buyers->shard_shift < buyers->shard_count);
    return &buyers->shards[hash >> 1 >> buyers->shard_shift];
}

/* Slots that are probed together: a shard's index, or what it has left in the former one. */
struct index {
    struct slot *slots; /* NULL: none */
    struct table_ring ring;
};

static inline struct index shard_index(const struct shard *shard)
{
    uint32_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    return (struct index){atomic_load_explicit(&shard->slots, memory_order_relaxed), {0, capacity}};
}

static inline struct index shard_left(const struct shard *shard)
{
    return (struct index){atomic_load_explicit(&shard->left.slots, memory_order_relaxed),
                          table_left_ring(&shard->left)};
}

/* A pair's slot, or the empty slot that it would take. NULL: neither. */
static inline struct slot *index_find(struct index index, uint64_t hash, uint32_t sku,
                                      uint64_t buyer)
{
    if (!index.slots) {
        return NULL;
    }
    uint32_t at = table_ring_home(index.ring, (uint32_t)hash);
    for (uint32_t n = table_ring_length(index.ring); n > 0; n--) {
        struct slot *slot = &index.slots[at];
        if (slot->units == 0 || (slot->buyer == buyer && slot->sku == sku)) {
            return slot;
        }
        at = table_ring_after(index.ring, at);
    }
    return NULL;
}

/* A pair's slot, or the empty slot that it would take. NULL: the shard has no slots. */
static struct slot *slot_find(const struct shard *shard, uint64_t hash, uint32_t sku,
                              uint64_t buyer)
{
    struct slot *slot = index_find(shard_index(shard), hash, sku, buyer);
    if (slot && slot->units == 0) {
        struct slot *left = index_find(shard_left(shard), hash, sku, buyer);
        slot = left && left->units != 0 ? left : slot;
    }
    return slot;
}

static inline void index_put(struct index index, const struct slot *pair)
{
    uint64_t hash = pair_hash(pair->sku, pair->buyer);
    uint32_t at = table_ring_home(index.ring, (uint32_t)hash);
    while (index.slots[at].units != 0) {
        at = table_ring_after(index.ring, at);
    }
    index.slots[at] = *pair;
}

/* Moves some of the slots that a growing shard has left in its former index. */
static void shard_move(struct buyers *buyers, struct shard *shard)
{
    const struct slot *left = atomic_load_explicit(&shard->left.slots, memory_order_relaxed);
    if (!left) {
        return;
    }
    struct table_ring step = table_left_step(&shard->left);
    struct index to = shard_index(shard);
    for (uint32_t at = step.first; at < step.end; at++) {
        if (left[at].units != 0) {
            index_put(to, &left[at]);
        }
    }
    table_left_moved(&buyers->table, (uint32_t)(shard - buyers->shards), &shard->left, step);
}

/* Gives a shard an index of the next size. False: it has the greatest size already. */
static bool shard_grow(struct buyers *buyers, struct shard *shard)
{
    struct index old = shard_index(shard);
    uint32_t number = (uint32_t)(shard - buyers->shards);
    uint32_t capacity;
    CHECK(!atomic_load_explicit(&shard->left.slots, memory_order_relaxed));
    struct slot *slots = table_next(&buyers->table, number, &capacity);
    if (!slots) {
        return false;
    }
    CHECK(capacity > old.ring.end);
    /* relaxed: a prefetch may read one old and one new value, and then prefetches in vain. */
    atomic_store_explicit(&shard->slots, slots, memory_order_relaxed);
    atomic_store_explicit(&shard->capacity, capacity, memory_order_relaxed);
    table_left_begin(&buyers->table, number, &shard->left, old.slots, old.ring.end);
    return true;
}

/* Makes sure that one more slot fits, and moves some if the shard grows. */
static bool shard_has_slot(struct buyers *buyers, struct shard *shard)
{
    uint32_t used = atomic_load_explicit(&shard->used, memory_order_relaxed);
    uint32_t capacity = atomic_load_explicit(&shard->capacity, memory_order_relaxed);
    bool fits = table_has_slot(used, capacity) || shard_grow(buyers, shard) ||
                table_has_last_slot(used, capacity);
    shard_move(buyers, shard);
    return fits;
}

/* Takes room for one pair from one shard. */
static bool room_take_from(struct shard *shard)
{
    uint32_t room = atomic_load_explicit(&shard->room, memory_order_relaxed);
    while (room > 0) {
        SCHEDULE_POINT("buyers.room");
        /* relaxed: room is only a number; nothing else depends on when it is seen. */
        if (atomic_compare_exchange_weak_explicit(&shard->room, &room, room - 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* Takes room for one pair: from the shard's own, else from what is not drawn yet, else from other
 * shards. False: the table is full. */
static bool room_take(struct buyers *buyers, struct shard *shard)
{
    if (room_take_from(shard)) {
        return true;
    }
    uint64_t undrawn = atomic_load_explicit(&buyers->undrawn, memory_order_relaxed);
    while (undrawn > 0) {
        uint64_t block = undrawn < ROOM_BLOCK ? undrawn : ROOM_BLOCK;
        if (atomic_compare_exchange_weak_explicit(&buyers->undrawn, &undrawn, undrawn - block,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            atomic_fetch_add_explicit(&shard->room, (uint32_t)block - 1, memory_order_relaxed);
            return true;
        }
    }
    for (uint32_t i = 0; i < buyers->shard_count; i++) {
        if (room_take_from(&buyers->shards[i])) {
            return true;
        }
    }
    return false;
}

/* Counts a pair's first units. FULL: no room. */
static enum hf_status pair_add(struct buyers *buyers, struct shard *shard, uint64_t hash,
                               struct slot pair)
{
    if (!room_take(buyers, shard)) {
        return HF_FULL;
    }
    if (!shard_has_slot(buyers, shard)) {
        atomic_fetch_add_explicit(&shard->room, 1, memory_order_relaxed);
        return HF_FULL;
    }
    CHECK(pair.units >= 1);
    struct slot *slot = slot_find(shard, hash, pair.sku, pair.buyer);
    CHECK(slot->units == 0);
    *slot = pair;
    uint32_t used = atomic_load_explicit(&shard->used, memory_order_relaxed);
    CHECK(used < atomic_load_explicit(&shard->capacity, memory_order_relaxed));
    SCHEDULE_POINT("buyers.add");
    atomic_store_explicit(&shard->used, used + 1, memory_order_relaxed);
    return HF_OK;
}

/* Empties a slot and moves back the slots that were pushed beyond it. What is left of an index may
 * have no empty slot. */
static void index_empty(struct index index, uint32_t hole)
{
    CHECK(hole < index.ring.end);
    uint32_t at = hole;
    for (uint32_t n = table_ring_length(index.ring); n > 1; n--) {
        at = table_ring_after(index.ring, at);
        const struct slot *slot = &index.slots[at];
        if (slot->units == 0) {
            break;
        }
        uint64_t hash = pair_hash(slot->sku, slot->buyer);
        uint32_t home = table_ring_home(index.ring, (uint32_t)hash);
        if (table_may_move(index.ring, home, at, hole)) {
            index.slots[hole] = *slot;
            hole = at;
        }
    }
    index.slots[hole] = (struct slot){0};
}

/* Whether a slot is one of an index's. */
static bool index_holds(struct index index, const struct slot *slot)
{
    return index.slots && slot >= &index.slots[index.ring.first] &&
           slot < &index.slots[index.ring.end];
}

static void pair_remove(struct buyers *buyers, struct shard *shard, struct slot *pair)
{
    struct index index = shard_left(shard);
    if (!index_holds(index, pair)) {
        index = shard_index(shard);
        CHECK(index_holds(index, pair));
    }
    index_empty(index, (uint32_t)(pair - index.slots));
    uint32_t used = atomic_load_explicit(&shard->used, memory_order_relaxed);
    CHECK(used > 0);
    atomic_store_explicit(&shard->used, used - 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&shard->room, 1, memory_order_relaxed);
    shard_move(buyers, shard);
}

/* ---- Counting ---- */

enum hf_status buyers_take(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t least,
                           uint32_t most, uint32_t limit, uint32_t *taken)
{
    CHECK(sku != 0 && buyer != 0);
    CHECK(most >= 1 && least <= most);
    CHECK(limit >= 1);
    *taken = 0;
    uint64_t hash = pair_hash(sku, buyer);
    struct shard *shard = shard_of(buyers, hash);
    spin_lock(&shard->spin);
    struct slot *slot = slot_find(shard, hash, sku, buyer);
    uint32_t units = slot ? slot->units : 0;
    uint32_t left = limit > units ? limit - units : 0;
    uint32_t some = most < left ? most : left;
    SCHEDULE_POINT("buyers.take");
    enum hf_status status = HF_OK;
    if (some == 0 || some < least) {
        status = HF_LIMIT_EXCEEDED;
    } else if (units > 0) {
        CHECK(slot->units + some <= limit);
        slot->units += some;
    } else {
        status =
            pair_add(buyers, shard, hash, (struct slot){.buyer = buyer, .sku = sku, .units = some});
    }
    spin_unlock(&shard->spin);
    if (status == HF_OK) {
        CHECK(some >= least && some <= most);
        *taken = some;
    }
    return status;
}

enum hf_status buyers_force(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units)
{
    CHECK(sku != 0 && buyer != 0);
    if (units == 0) {
        return HF_OK;
    }
    uint64_t hash = pair_hash(sku, buyer);
    struct shard *shard = shard_of(buyers, hash);
    spin_lock(&shard->spin);
    struct slot *slot = slot_find(shard, hash, sku, buyer);
    enum hf_status status = HF_OK;
    if (!slot || slot->units == 0) {
        status = pair_add(buyers, shard, hash,
                          (struct slot){.buyer = buyer, .sku = sku, .units = units});
    } else if (units > UINT32_MAX - slot->units) {
        status = HF_FULL;
    } else {
        slot->units += units;
    }
    spin_unlock(&shard->spin);
    return status;
}

bool buyers_try_give(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units)
{
    if (units == 0) {
        return true;
    }
    uint64_t hash = pair_hash(sku, buyer);
    struct shard *shard = shard_of(buyers, hash);
    spin_lock(&shard->spin);
    struct slot *slot = slot_find(shard, hash, sku, buyer);
    bool counted = slot != NULL && slot->units >= units;
    SCHEDULE_POINT("buyers.give");
    if (counted && slot->units == units) {
        pair_remove(buyers, shard, slot);
    } else if (counted) {
        slot->units -= units;
    }
    spin_unlock(&shard->spin);
    return counted;
}

void buyers_give(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units)
{
    bool counted = buyers_try_give(buyers, sku, buyer, units);
    CHECK(counted);
}

uint32_t buyers_units(struct buyers *buyers, uint32_t sku, uint64_t buyer)
{
    uint64_t hash = pair_hash(sku, buyer);
    struct shard *shard = shard_of(buyers, hash);
    spin_lock(&shard->spin);
    const struct slot *slot = slot_find(shard, hash, sku, buyer);
    uint32_t units = slot ? slot->units : 0;
    spin_unlock(&shard->spin);
    return units;
}

uint64_t buyers_count(const struct buyers *buyers)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < buyers->shard_count; i++) {
        count += atomic_load_explicit(&buyers->shards[i].used, memory_order_relaxed);
    }
    return count;
}

static void index_visit(struct index index,
                        void (*visit)(void *context, uint32_t sku, uint64_t buyer, uint32_t units),
                        void *context)
{
    for (uint32_t at = index.ring.first; at < index.ring.end; at++) {
        const struct slot *slot = &index.slots[at];
        if (slot->units != 0) {
            visit(context, slot->sku, slot->buyer, slot->units);
        }
    }
}

void buyers_visit(struct buyers *buyers,
                  void (*visit)(void *context, uint32_t sku, uint64_t buyer, uint32_t units),
                  void *context)
{
    for (uint32_t i = 0; i < buyers->shard_count; i++) {
        index_visit(shard_index(&buyers->shards[i]), visit, context);
        index_visit(shard_left(&buyers->shards[i]), visit, context);
    }
}

/* ---- Claims: while a checkpoint is loaded ---- */

bool buyers_claims_begin(struct buyers *buyers)
{
    CHECK(!buyers->claims);
    buyers->claims = calloc(buyers->shard_count, sizeof *buyers->claims);
    bool made = buyers->claims != NULL;
    for (uint32_t i = 0; i < buyers->shard_count && made; i++) {
        /* Slots have numbers only in one index. */
        while (atomic_load_explicit(&buyers->shards[i].left.slots, memory_order_relaxed)) {
            shard_move(buyers, &buyers->shards[i]);
        }
        uint32_t capacity = atomic_load_explicit(&buyers->shards[i].capacity, memory_order_relaxed);
        buyers->claims[i] = calloc((size_t)capacity + 1, sizeof *buyers->claims[i]);
        made = buyers->claims[i] != NULL;
    }
    return made;
}

bool buyers_claim(struct buyers *buyers, uint32_t sku, uint64_t buyer, uint32_t units)
{
    uint64_t hash = pair_hash(sku, buyer);
    struct shard *shard = shard_of(buyers, hash);
    CHECK(buyers->claims);
    uint32_t *claims = buyers->claims[shard - buyers->shards];
    spin_lock(&shard->spin);
    const struct slot *slot = slot_find(shard, hash, sku, buyer);
    uint64_t at =
        slot ? (uint64_t)(slot - atomic_load_explicit(&shard->slots, memory_order_relaxed)) : 0;
    bool counted = slot && units <= slot->units - claims[at];
    if (counted) {
        claims[at] += units;
        CHECK(claims[at] <= slot->units);
    }
    spin_unlock(&shard->spin);
    return counted;
}

void buyers_claims_end(struct buyers *buyers)
{
    for (uint32_t i = 0; i < buyers->shard_count && buyers->claims; i++) {
        free(buyers->claims[i]);
    }
    free(buyers->claims);
    buyers->claims = NULL;
}

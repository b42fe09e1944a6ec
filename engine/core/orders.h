/* orders.h - the order table: every order that is remembered, found by its id.
 *
 * The table is split into shards, chosen by the high bits of id_hash(), each under a spin lock. An
 * order is an entry of one cache line that never moves; its handle stays valid as long as the order
 * is in the table. A shard's index is an open-addressed array of 8-byte slots (a 32-bit tag from
 * the hash, and the handle); it grows inside the shard, under its lock, a few slots an operation
 * (table.h). When an entry is removed, the slots after it are shifted back; there are no
 * tombstones.
 *
 *     id --hash--> shard --tag--> slot --handle--> entry (64 bytes) --> lines block, if any
 *
 * Entries come from one mapping that reserves address space only. Each thread slot draws blocks of
 * ORDERS_BLOCK entries from it and fills them one entry after the other. So new entries are written
 * in a row, whatever their shards, which the processor prefetches; and memory grows with the number
 * of orders and stays dense. When no block is left, a slot takes entries from the other slots'
 * blocks, so the table is full exactly at orders_max. A one-line order takes 64 bytes, and 10 to 13
 * bytes of index at 64 M orders.
 *
 * No memory is allocated and no system call is made under a lock: table.h has address space for the
 * indexes of all sizes. orders_tidy() returns the memory of the indexes that shards have outgrown
 * to the system.
 *
 * Threads: any. Every field of an entry is read and written under its shard's lock. Lock order: a
 * shard's lock, then one of stock, lines, buyers, presale or an allocator; never two shards at
 * once; never an expiry wheel's lock under a shard's. */
#ifndef CORE_ORDERS_H
#define CORE_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/limits.h"
#include "base/spin.h"
#include "core/event.h"
#include "core/order.h"
#include "core/table.h"

#define ORDERS_BLOCK    256u       /* entries that a slot draws at once */
#define ORDER_NO_HANDLE UINT32_MAX /* no order has it */

enum order_flags {
    ORDER_BUSY = 1,  /* a transaction is changing it; with state ORDER_NONE: not yet published */
    ORDER_BLOCK = 2, /* `lines` points to a block; else `one` is its only line, and `state` applies
                        to all of it */
    ORDER_COUNTED = 4, /* without a block: the line counts towards the buyer's limit */
    ORDER_SHAPED = 8,  /* with a block: it holds grants; `contents` is a hash of what was asked */
    ORDER_HINTED = 16, /* its deadline is entered in a wheel: the entry must not be reused */
};

struct order {
    struct id128 id;
    uint64_t buyer;
    uint64_t lsn;         /* of the last change */
    uint64_t deadline_ms; /* as the reserve answered */
    union {
        struct order_line one;
        struct order_line_view *lines; /* line_count of them; owned by the order */
    };
    uint32_t extended_ms; /* present deadline = deadline_ms + extended_ms */
    uint16_t line_count;  /* number of lines, or of grants when ORDER_SHAPED */
    uint8_t state;        /* enum order_state: as last published */
    uint8_t flags;        /* enum order_flags */
    union {
        uint64_t contents;  /* ORDER_SHAPED: order_contents() of what was asked */
        uint32_t next_free; /* of a freed entry */
    };
};

static_assert(sizeof(struct order) == CACHE_LINE_BYTES, "an order is one cache line");
static_assert(ORDER_LINES_MAX <= UINT16_MAX, "line_count fits");

/* Counters are written under the lock and may be read without it (relaxed: they are sums for
 * people). The same holds for slots, capacity and left, which are read for prefetching. */
struct order_shard {
    _Alignas(CACHE_LINE_BYTES) struct spin spin;
    uint32_t used; /* slots in use in both indexes, of published orders and others */
    _Atomic(_Atomic uint64_t *) slots;
    _Atomic uint32_t capacity;
    _Atomic uint64_t known; /* published orders */
    _Atomic uint64_t held;  /* published orders that are held */
    struct table_left left; /* while it grows */
};

static_assert(sizeof(struct order_shard) == CACHE_LINE_BYTES, "a shard's head is one cache line");

/* Where a thread slot gets its entries from. */
struct order_allocator {
    _Alignas(CACHE_LINE_BYTES) struct spin spin;
    uint32_t free;       /* the first freed entry of a chain that ORDER_NO_HANDLE ends */
    uint32_t block_next; /* the drawn block's next entry */
    uint32_t block_end;  /* and its end */
};

struct orders {
    struct order *entries;
    struct order_shard *shards;
    struct order_allocator *allocators; /* THREADS_MAX */
    unsigned shard_shift;               /* shard = hash >> shard_shift >> 1 */
    uint32_t shard_count;
    uint64_t orders_max;
    uint64_t block_count;
    _Atomic uint64_t blocks_drawn;
    _Atomic uint32_t giver; /* a thread slot + 1 that has freed entries; 0: none is known */
    uint64_t entries_bytes;
    uint64_t entries_ready; /* bytes already in memory; used by orders_prefault, after
                               orders_populate */
    struct table table;     /* the indexes */
};

/* orders_max: 1..ORDERS_MAX. NO_MEMORY when address space or memory is refused. */
enum hf_status orders_init(struct orders *orders, uint64_t orders_max);

/* Gives the shards indexes that need not grow for `count` orders; their memory comes with use. Call
 * it before anything else uses the table. */
void orders_expect(struct orders *orders, uint64_t count);

/* Takes memory now for `count` orders and for the indexes: one of `parts` equal parts, each by
 * another thread, while nothing else runs. It is a hint: memory that the system refuses is taken
 * later. */
void orders_populate(struct orders *orders, uint64_t count, unsigned part, unsigned parts);

/* orders_expect and orders_populate together. Call it before anything else uses the table. */
void orders_make_ready(struct orders *orders, uint64_t count);

/* Frees everything except the blocks of lines. The struct may be all zero. */
void orders_deinit(struct orders *orders);

/* The shard of an id with this hash. Pure. */
static inline struct order_shard *orders_shard(const struct orders *orders, uint64_t hash)
{
    return &orders->shards[hash >> 1 >> orders->shard_shift];
}

static inline struct order *orders_at(const struct orders *orders, uint32_t handle)
{
    return &orders->entries[handle];
}

/* The shard of an entry in use. */
static inline struct order_shard *orders_shard_of(const struct orders *orders, uint32_t handle)
{
    return orders_shard(orders, id_hash(orders_at(orders, handle)->id));
}

static inline uint64_t order_deadline(const struct order *order)
{
    return order->deadline_ms + order->extended_ms;
}

/* Adds to a counter of a shard; under its lock. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t delta)
{
    /* relaxed: one writer at a time. release: pairs with the acquire in counts_fill, which reads
     * again if this was published in the meantime. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + delta,
                          memory_order_release);
}

/* The handle of an order; ORDER_NO_HANDLE if the table does not have it. Under the shard's lock.
 * O(1). */
uint32_t orders_find(const struct orders *orders, const struct order_shard *shard, uint64_t hash,
                     struct id128 id);

/* Enters an order that orders_find did not find: zeroed except for its id, with state ORDER_NONE
 * and the flag ORDER_BUSY. slot: the caller's thread slot. Returns ORDER_NO_HANDLE when the table
 * is full. Under the shard's lock. O(1): while the index grows, some slots are moved, too. */
uint32_t orders_enter(struct orders *orders, unsigned slot, struct order_shard *shard,
                      uint64_t hash, struct id128 id);

/* Removes an entry that was never published, or that is forgotten (state ORDER_NONE, without
 * ORDER_HINTED). Its lines must be freed before (no ORDER_BLOCK). The caller changes the shard's
 * counts. Under the shard's lock. */
void orders_remove(struct orders *orders, unsigned slot, struct order_shard *shard, uint64_t hash,
                   uint32_t handle);

/* Called with the shard locked. False: the walk ends before this order. */
typedef bool order_visit(void *context, struct order_shard *shard, uint32_t handle,
                         struct order *order);

/* Walks through the orders from the cursor on, in steps of some 64 slots, each under its shard's
 * lock, and calls visit for each published order with the shard locked. It ends when look_max
 * orders were visited, when visit returns false (that order does not count as visited: the next
 * walk begins with it), or at the table's end (cursor->done). Returns how many were visited; a step
 * without any order counts as one, so that a walk through an empty table ends soon, too. visit may
 * remove the order that it is given, and no other. The cursor may come from a client: any numbers
 * are safe. Its `shard` holds more than the shard: also which of several orders with one tag comes
 * next. Any thread, no lock held. */
uint32_t orders_walk(struct orders *orders, struct order_cursor *cursor, uint32_t look_max,
                     order_visit *visit, void *context);

/* Calls visit with each entry in use. Nothing else may run at the same time. */
void orders_visit(const struct orders *orders,
                  void (*visit)(void *context, uint32_t handle, const struct order *order),
                  void *context);

/* Returns the memory of some of the indexes that shards have outgrown to the system. Returns
 * whether more is left; costs almost nothing when none is. No lock held; one thread at a time,
 * while others work. */
bool orders_tidy(struct orders *orders);

/* Takes some memory before it is needed: for the entries that are drawn next, and for indexes that
 * are about to grow. So a thread that enters orders seldom meets a page fault, and never a long
 * one. Returns whether more is left to take; costs almost nothing when none is. No lock held; one
 * thread at a time, while others work. */
bool orders_prefault(struct orders *orders);

/* Bring into the processor's cache: the lock of an id's shard and its place in the index; some time
 * later, when that is there, its entry, if the table has one. Hints. Any thread, no lock. */
void orders_prefetch(const struct orders *orders, uint64_t hash);
void orders_prefetch_entry(const struct orders *orders, uint64_t hash);

#endif

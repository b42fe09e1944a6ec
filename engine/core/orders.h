/* orders.h - the order table: every order that is remembered, by its id.
 *
 * Shards, chosen by the high bits of id_hash(), each under a spin lock. An order is an entry of one
 * cache line that never moves; its handle stays good for the table's life. A shard's index is an
 * open-addressed array of 8-byte slots (a 32-bit tag from the hash, and the handle); it grows
 * inside the shard, under its lock: below 1 ms at 64 000 orders a shard. An entry that is removed
 * is taken out by shifting back, without tombstones.
 *
 *     id --hash--> shard --tag--> slot --handle--> entry (64 bytes) --> lines block, if any
 *
 * Entries come from one mapping that reserves address space only. Each thread slot draws blocks of
 * ORDERS_BLOCK entries from it and fills them one after the other, so that new entries are written
 * in a row (which the processor prefetches), whatever their shards, and memory grows with the
 * orders and stays dense. When no block is left a slot takes from the others' blocks: the table is
 * full exactly at orders_max. Memory per one-line order at 64 M orders: 64 bytes and 10 to 13 of
 * index.
 *
 * No memory is allocated and no system call is made under a lock: table.h has address space for the
 * indexes of all sizes. orders_tidy() gives back what they grew out of.
 *
 * Threads: any. Every field of an entry is read and written under its shard's lock. Lock order:
 * a shard's lock, then stock's, lines', buyers', presale's or an allocator's; never two shards at
 * once; never a wheel's lock inside. */
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
    ORDER_BUSY = 1,  /* in the hands of a transaction; with state ORDER_NONE: not yet published */
    ORDER_BLOCK = 2, /* `lines` points to a block; else the one line is `one`, and state says all */
    ORDER_COUNTED = 4, /* without a block: the line counts towards the buyer's limit */
    ORDER_SHAPED = 8,  /* with a block: it holds grants, and `contents` tells what was asked */
    ORDER_HINTED = 16, /* its deadline is entered in a wheel: the entry must not be used anew */
};

struct order {
    struct id128 id;
    uint64_t buyer;
    uint64_t lsn;         /* of the last change */
    uint64_t deadline_ms; /* the first answer's */
    union {
        struct order_line one;
        struct order_line_view *lines; /* line_count of them; owned by the order */
    };
    uint32_t extended_ms; /* present deadline = deadline_ms + extended_ms */
    uint16_t line_count;  /* of lines, or of grants when ORDER_SHAPED */
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
 * people). slots and capacity likewise, for prefetching. */
struct order_shard {
    _Alignas(CACHE_LINE_BYTES) struct spin spin;
    uint32_t used; /* slots in use: published or not */
    _Atomic(uint64_t *) slots;
    _Atomic uint32_t capacity;
    _Atomic uint64_t known; /* published orders */
    _Atomic uint64_t held;  /* of these, held */
};

static_assert(sizeof(struct order_shard) == CACHE_LINE_BYTES, "a shard's head is one cache line");

/* Where a thread slot gets its entries. */
struct order_allocator {
    _Alignas(CACHE_LINE_BYTES) struct spin spin;
    uint32_t free;       /* freed entries, chained; ORDER_NO_HANDLE ends */
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
    _Atomic uint32_t giver; /* from 1: a slot that has freed entries; 0: none is known */
    uint64_t entries_bytes;
    uint64_t entries_ready; /* in memory; orders_prefault's, after orders_populate */
    struct table table;     /* the indexes */
};

/* orders_max: 1..ORDERS_MAX. NO_MEMORY when address space or memory is refused. */
enum hf_status orders_init(struct orders *orders, uint64_t orders_max);

/* Gives the shards indexes that need not grow for so many orders; their memory comes with use.
 * Before anything else. */
void orders_expect(struct orders *orders, uint64_t count);

/* Takes memory for so many orders now, and that of the indexes: one of `parts` equal parts of it,
 * each by another thread, while nothing else runs. A hint: what the system refuses is taken later.
 */
void orders_populate(struct orders *orders, uint64_t count, unsigned part, unsigned parts);

/* Both. Before anything else. */
void orders_make_ready(struct orders *orders, uint64_t count);

/* Frees all but the lines blocks. Of a struct that is all zero, too. */
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
    /* relaxed: one writer at a time. release: pairs with the acquire in counts_fill, which looks
     * again if this was published meanwhile. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + delta,
                          memory_order_release);
}

/* The handle of an order, ORDER_NO_HANDLE if there is none. Under the shard's lock. O(1). */
uint32_t orders_find(const struct orders *orders, const struct order_shard *shard, uint64_t hash,
                     struct id128 id);

/* Enters an order that orders_find did not find: zeroed but for its id, with state ORDER_NONE and
 * ORDER_BUSY. slot: the caller's thread slot. ORDER_NO_HANDLE when the table is full. Under the
 * shard's lock. O(1), but when the index grows. */
uint32_t orders_enter(struct orders *orders, unsigned slot, struct order_shard *shard,
                      uint64_t hash, struct id128 id);

/* Takes an entry out: one that was never published, or that is forgotten (state ORDER_NONE, no
 * ORDER_HINTED). Its lines must be freed before (no ORDER_BLOCK); the shard's counts are the
 * caller's. Under the shard's lock. */
void orders_remove(struct orders *orders, unsigned slot, struct order_shard *shard, uint64_t hash,
                   uint32_t handle);

/* Called with the shard locked. False: the walk ends before this order. */
typedef bool order_visit(void *context, struct order_shard *shard, uint32_t handle,
                         struct order *order);

/* Looks at orders from the cursor on, in steps of some 64 slots, each under its shard's lock: calls
 * visit for each published order with the shard locked, until look_max were looked at, visit says
 * false (that order is not counted as seen: the next walk begins with it), or the table's end is
 * reached (cursor->done). Returns how many were looked at; a step without any counts as one, so
 * that a walk through an empty table ends soon, too. visit may remove the order that it is given,
 * and no other. The cursor may come from outside: any numbers will do. Its `shard` holds more than
 * the shard: which of several orders with one tag comes next. Any thread, no lock held. */
uint32_t orders_walk(struct orders *orders, struct order_cursor *cursor, uint32_t look_max,
                     order_visit *visit, void *context);

/* Calls visit with each entry in use. Nothing else may run meanwhile. */
void orders_visit(const struct orders *orders,
                  void (*visit)(void *context, uint32_t handle, const struct order *order),
                  void *context);

/* Gives back the memory of some of the indexes that shards have grown out of. Returns whether there
 * is more. Next to free when there is none. No lock held; one thread at a time, beside all others.
 */
bool orders_tidy(struct orders *orders);

/* Takes memory ahead of need, some of it at once: for the entries that are drawn next, and for
 * indexes that are about to grow. So those who enter orders seldom meet a page fault, and never a
 * long one. Returns whether there is more. Next to free when there is none. No lock held; one
 * thread at a time, beside all others. */
bool orders_prefault(struct orders *orders);

/* Brings the lock's and the index's cache lines of an id in. Any thread, no lock. */
void orders_prefetch(const struct orders *orders, uint64_t hash);

/* Brings the entry of an id in, if there is one, once orders_prefetch has brought the index in.
 * Under the shard's lock, or where the shard is one thread's alone. */
void orders_prefetch_entry(const struct orders *orders, uint64_t hash);

#endif

/* presale.c - pre-sold units by ticket: each item has a chain of chunks of 4096 tickets, newest
 * first.
 *
 * Threads: any; an item's chain under the lock that its number chooses; the pool of chunks under
 * its own lock, which is taken inside that one. Invariants: a chunk's sum is the sum of its
 * tickets' units, pending ones included; chunk numbers fall along a chain; each chunk of a chain
 * has units, except for the one that holds the last ticket. A chunk in the pool is all zero.
 *
 * The heads of chunks are stored apart from their tickets, so that a walk along a chain touches few
 * cache lines, and a chunk with few tickets touches few pages. */
#include "core/presale.h"

#include <assert.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/pages.h"
#include "base/schedule.h"
#include "base/spin.h"

#define LOCKS    64u
#define NO_CHUNK 0u
#define PENDING  0x80000000u /* in a ticket's units: they were taken and are not published */

static_assert(PRESALE_UNITS_MAX < PENDING, "units leave the mark's bit free");

struct chunk {
    uint64_t sum;     /* of its tickets' units */
    uint64_t pending; /* of these */
    uint32_t number;  /* its first ticket is number * PRESALE_CHUNK_TICKETS + 1 */
    uint32_t older;   /* in the pool: the next one */
    uint32_t newer;
};

struct queue {
    uint64_t sum;     /* of all tickets' units */
    uint64_t pending; /* of these */
    uint32_t newest;  /* chunk; NO_CHUNK: none */
    uint32_t last;    /* ticket that was drawn */
};

struct presale_lock {
    _Alignas(CACHE_LINE_BYTES) struct spin spin;
};

struct presale {
    struct presale_lock locks[LOCKS];
    uint32_t items_max;
    uint32_t chunk_count;
    struct queue *items;  /* by handle; 0 is not used */
    struct chunk *chunks; /* from 1 */
    uint32_t *units;      /* PRESALE_CHUNK_TICKETS for each chunk */
    _Alignas(CACHE_LINE_BYTES) struct spin pool;
    uint32_t pool_free; /* the first chunk that was used before and is free; NO_CHUNK: none */
    uint32_t pool_used; /* chunks that were ever taken */
    /* While a checkpoint's orders claim their tickets, else NULL. */
    uint32_t *claim_chunks; /* chunks of all items, each item's oldest first */
    uint32_t *claim_first;  /* by item: where its chunks begin; and the end of the last one's */
};

static uint64_t items_bytes(const struct presale *presale)
{
    return (uint64_t)(presale->items_max + 1) * sizeof(struct queue);
}

static uint64_t chunks_bytes(const struct presale *presale)
{
    return (uint64_t)(presale->chunk_count + 1) * sizeof(struct chunk);
}

static uint64_t units_bytes(const struct presale *presale)
{
    return (uint64_t)presale->chunk_count * PRESALE_CHUNK_TICKETS * sizeof(uint32_t);
}

enum hf_status presale_init(struct presale **out, uint32_t items_max, uint64_t tickets_max)
{
    CHECK(items_max >= 1 && items_max <= ITEMS_MAX);
    CHECK(tickets_max >= 1 && tickets_max <= PRESALE_TICKETS_MAX);
    struct presale *presale = aligned_alloc(CACHE_LINE_BYTES, sizeof *presale);
    if (!presale) {
        return HF_NO_MEMORY;
    }
    *presale = (struct presale){.items_max = items_max};
    presale->chunk_count =
        (uint32_t)((tickets_max + PRESALE_CHUNK_TICKETS - 1) / PRESALE_CHUNK_TICKETS) + items_max;
    CHECK(presale->chunk_count >= items_max);
    presale->items = pages_map(items_bytes(presale));
    presale->chunks = pages_map(chunks_bytes(presale));
    presale->units = pages_map_small(units_bytes(presale));
    if (!presale->items || !presale->chunks || !presale->units) {
        presale_deinit(presale);
        return HF_NO_MEMORY;
    }
    *out = presale;
    return HF_OK;
}

void presale_deinit(struct presale *presale)
{
    if (!presale) {
        return;
    }
    pages_unmap(presale->items, items_bytes(presale));
    pages_unmap(presale->chunks, chunks_bytes(presale));
    pages_unmap(presale->units, units_bytes(presale));
    free(presale->claim_chunks);
    free(presale->claim_first);
    free(presale);
}

/* ---- Chunks: under the item's lock ---- */

static uint32_t number_of(uint32_t ticket)
{
    CHECK(ticket >= 1);
    return (ticket - 1) / PRESALE_CHUNK_TICKETS;
}

static uint32_t *units_of(const struct presale *presale, uint32_t chunk)
{
    CHECK(chunk != NO_CHUNK);
    return presale->units + (uint64_t)(chunk - 1) * PRESALE_CHUNK_TICKETS;
}

static uint32_t pool_take(struct presale *presale)
{
    uint32_t chunk = NO_CHUNK;
    spin_lock(&presale->pool);
    if (presale->pool_free != NO_CHUNK) {
        chunk = presale->pool_free;
        SCHEDULE_POINT("presale.pool");
        presale->pool_free = presale->chunks[chunk].older;
    } else if (presale->pool_used < presale->chunk_count) {
        chunk = ++presale->pool_used;
    }
    CHECK(presale->pool_used <= presale->chunk_count);
    spin_unlock(&presale->pool);
    return chunk;
}

static void pool_give(struct presale *presale, uint32_t chunk)
{
    CHECK(chunk != NO_CHUNK);
    CHECK(presale->chunks[chunk].sum == 0);
    spin_lock(&presale->pool);
    presale->chunks[chunk] = (struct chunk){.older = presale->pool_free};
    presale->pool_free = chunk;
    spin_unlock(&presale->pool);
}

/* Takes a chunk out of its chain if it has no units left and does not hold the last ticket. */
static void chunk_drop_spent(struct presale *presale, struct queue *queue, uint32_t chunk)
{
    struct chunk *at = &presale->chunks[chunk];
    if (at->sum > 0 || at->number == number_of(queue->last)) {
        return;
    }
    CHECK(at->pending == 0);
    if (at->newer == NO_CHUNK) {
        CHECK(queue->newest == chunk);
        queue->newest = at->older;
    } else {
        presale->chunks[at->newer].older = at->older;
    }
    if (at->older != NO_CHUNK) {
        presale->chunks[at->older].newer = at->newer;
    }
    pool_give(presale, chunk);
}

/* The item's chunk with this number; with `add` a new one if it has none. NO_CHUNK: none, or no
 * room. */
static uint32_t chunk_find(struct presale *presale, struct queue *queue, uint32_t number, bool add)
{
    uint32_t newer = NO_CHUNK;
    uint32_t at = queue->newest;
    while (at != NO_CHUNK && presale->chunks[at].number > number) {
        newer = at;
        at = presale->chunks[at].older;
    }
    if (at != NO_CHUNK && presale->chunks[at].number == number) {
        return at;
    }
    uint32_t chunk = add ? pool_take(presale) : NO_CHUNK;
    if (chunk == NO_CHUNK) {
        return NO_CHUNK;
    }
    CHECK(at == NO_CHUNK || presale->chunks[at].number < number);
    CHECK(newer == NO_CHUNK || presale->chunks[newer].number > number);
    presale->chunks[chunk] = (struct chunk){.number = number, .older = at, .newer = newer};
    if (at != NO_CHUNK) {
        presale->chunks[at].newer = chunk;
    }
    if (newer == NO_CHUNK) {
        queue->newest = chunk;
    } else {
        presale->chunks[newer].older = chunk;
    }
    return chunk;
}

/* Makes `ticket`, above all others, the last one that was drawn. The chunk of the former last
 * ticket is freed if it has no units left, before another is taken: it may be the only room. */
static void last_set(struct presale *presale, struct queue *queue, uint32_t ticket)
{
    CHECK(ticket > queue->last);
    queue->last = ticket;
    if (queue->newest != NO_CHUNK) {
        chunk_drop_spent(presale, queue, queue->newest);
    }
}

static struct queue *item_lock(struct presale *presale, uint32_t item)
{
    CHECK(item >= 1 && item <= presale->items_max);
    spin_lock(&presale->locks[item % LOCKS].spin);
    return &presale->items[item];
}

static void item_unlock(struct presale *presale, uint32_t item)
{
    spin_unlock(&presale->locks[item % LOCKS].spin);
}

/* ---- Tickets ---- */

uint32_t presale_draw(struct presale *presale, uint32_t item)
{
    struct queue *queue = item_lock(presale, item);
    uint32_t before = queue->last;
    uint32_t ticket = 0;
    if (before < UINT32_MAX) {
        SCHEDULE_POINT("presale.draw");
        last_set(presale, queue, before + 1);
        if (chunk_find(presale, queue, number_of(before + 1), true) != NO_CHUNK) {
            ticket = before + 1;
        } else {
            queue->last = before;
        }
    }
    CHECK(ticket == 0 || ticket == queue->last);
    item_unlock(presale, item);
    return ticket;
}

/* The place of a ticket's units. */
static uint32_t *ticket_at(const struct presale *presale, uint32_t chunk, uint32_t ticket)
{
    return &units_of(presale, chunk)[(ticket - 1) % PRESALE_CHUNK_TICKETS];
}

static uint64_t pending_units(uint32_t kept)
{
    return kept & PENDING ? kept & ~PENDING : 0;
}

/* Writes a ticket's units, with or without the mark. */
static void ticket_set(struct presale *presale, struct queue *queue, uint32_t chunk,
                       uint32_t ticket, uint32_t kept)
{
    uint32_t *at = ticket_at(presale, chunk, ticket);
    uint64_t units = (uint64_t)(kept & ~PENDING) - (*at & ~PENDING);
    uint64_t pending = pending_units(kept) - pending_units(*at);
    uint64_t sum = queue->sum;
    presale->chunks[chunk].sum += units;
    presale->chunks[chunk].pending += pending;
    SCHEDULE_POINT("presale.ticket");
    queue->sum = sum + units;
    queue->pending += pending;
    *at = kept;
    CHECK(queue->pending <= queue->sum);
    CHECK(presale->chunks[chunk].sum <= queue->sum);
    CHECK(presale->chunks[chunk].pending <= presale->chunks[chunk].sum);
}

/* Changes a ticket's units by delta, which is not 0. mark: PENDING if the ticket must have no units
 * and gets some. False: no room for its chunk or for its units; or it has fewer units than are to
 * be taken; or it must have none and has some. */
static bool ticket_change(struct presale *presale, struct queue *queue, uint32_t ticket,
                          int64_t delta, uint32_t mark)
{
    uint32_t chunk = chunk_find(presale, queue, number_of(ticket), delta > 0);
    if (chunk == NO_CHUNK) {
        return false;
    }
    uint32_t kept = *ticket_at(presale, chunk, ticket);
    SCHEDULE_POINT("presale.change");
    int64_t before = kept & ~PENDING;
    /* Caused by a log or a checkpoint that gives one ticket to several orders, or has a wrong
     * number of units. */
    if (delta < -before || (mark != 0 && before != 0) ||
        delta > (int64_t)PRESALE_UNITS_MAX - before) {
        return false;
    }
    uint32_t after = (uint32_t)(before + delta);
    CHECK(after <= PRESALE_UNITS_MAX);
    ticket_set(presale, queue, chunk, ticket, after ? after | (kept & PENDING) | mark : 0);
    chunk_drop_spent(presale, queue, chunk);
    return true;
}

static bool change(struct presale *presale, uint32_t item, uint32_t ticket, int64_t delta,
                   uint32_t mark)
{
    CHECK(ticket >= 1);
    struct queue *queue = item_lock(presale, item);
    uint32_t before = queue->last;
    if (ticket > before) {
        last_set(presale, queue, ticket);
    }
    bool fits = delta == 0 || ticket_change(presale, queue, ticket, delta, mark);
    if (!fits) {
        queue->last = before;
    }
    item_unlock(presale, item);
    return fits;
}

bool presale_change(struct presale *presale, uint32_t item, uint32_t ticket, int64_t delta)
{
    return change(presale, item, ticket, delta, 0);
}

bool presale_take(struct presale *presale, uint32_t item, uint32_t ticket, uint32_t units)
{
    return change(presale, item, ticket, units, PENDING);
}

void presale_publish(struct presale *presale, uint32_t item, uint32_t ticket)
{
    struct queue *queue = item_lock(presale, item);
    uint32_t chunk = chunk_find(presale, queue, number_of(ticket), false);
    CHECK(chunk != NO_CHUNK);
    uint32_t kept = *ticket_at(presale, chunk, ticket);
    CHECK(kept & PENDING);
    ticket_set(presale, queue, chunk, ticket, kept & ~PENDING);
    item_unlock(presale, item);
}

uint64_t presale_behind(struct presale *presale, uint32_t item, uint32_t ticket)
{
    struct queue *queue = item_lock(presale, item);
    uint64_t behind = 0;
    if (ticket == 0) {
        CHECK(queue->pending <= queue->sum);
        behind = queue->sum;
        SCHEDULE_POINT("presale.behind");
        behind -= queue->pending;
    } else {
        uint32_t number = number_of(ticket);
        uint32_t at = queue->newest;
        for (; at != NO_CHUNK && presale->chunks[at].number > number;
             at = presale->chunks[at].older) {
            behind += presale->chunks[at].sum - presale->chunks[at].pending;
        }
        if (at != NO_CHUNK && presale->chunks[at].number == number) {
            const uint32_t *units = units_of(presale, at);
            for (uint32_t i = (ticket - 1) % PRESALE_CHUNK_TICKETS + 1; i < PRESALE_CHUNK_TICKETS;
                 i++) {
                behind += units[i] & PENDING ? 0 : units[i];
            }
        }
    }
    item_unlock(presale, item);
    return behind;
}

uint32_t presale_last(struct presale *presale, uint32_t item)
{
    const struct queue *queue = item_lock(presale, item);
    uint32_t last = queue->last;
    item_unlock(presale, item);
    return last;
}

void presale_visit(struct presale *presale, uint32_t item,
                   void (*visit)(void *context, uint32_t ticket, uint32_t units), void *context)
{
    CHECK(item >= 1 && item <= presale->items_max);
    for (uint32_t at = presale->items[item].newest; at != NO_CHUNK;
         at = presale->chunks[at].older) {
        const uint32_t *units = units_of(presale, at);
        for (uint32_t i = 0; i < PRESALE_CHUNK_TICKETS && presale->chunks[at].sum > 0; i++) {
            if (units[i] > 0) {
                visit(context, presale->chunks[at].number * PRESALE_CHUNK_TICKETS + 1 + i,
                      units[i] & ~PENDING);
            }
        }
    }
}

/* ---- Claims: while a checkpoint is loaded ---- */

bool presale_claims_begin(struct presale *presale, uint32_t items)
{
    CHECK(items <= presale->items_max);
    CHECK(!presale->claim_first);
    presale->claim_chunks = malloc(((size_t)presale->pool_used + 1) * sizeof(uint32_t));
    presale->claim_first = malloc(((size_t)items + 2) * sizeof(uint32_t));
    if (!presale->claim_chunks || !presale->claim_first) {
        return false;
    }
    uint32_t count = 0;
    for (uint32_t item = 1; item <= items; item++) {
        uint32_t first = count;
        presale->claim_first[item] = first;
        for (uint32_t at = presale->items[item].newest; at != NO_CHUNK;
             at = presale->chunks[at].older) {
            presale->claim_chunks[count++] = at;
        }
        for (uint32_t end = count; first + 1 < end; first++) {
            uint32_t newer = presale->claim_chunks[first];
            presale->claim_chunks[first] = presale->claim_chunks[--end];
            presale->claim_chunks[end] = newer;
        }
    }
    CHECK(count <= presale->pool_used);
    presale->claim_first[items + 1] = count;
    return true;
}

/* chunk_find without a walk along the chain: orders do not come in the order of their tickets. */
static uint32_t claim_chunk(const struct presale *presale, uint32_t item, uint32_t number)
{
    uint32_t low = presale->claim_first[item];
    uint32_t end = presale->claim_first[item + 1];
    uint32_t high = end;
    CHECK(low <= end);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (presale->chunks[presale->claim_chunks[middle]].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < end && presale->chunks[presale->claim_chunks[low]].number == number;
    return found ? presale->claim_chunks[low] : NO_CHUNK;
}

bool presale_claim(struct presale *presale, uint32_t item, uint32_t ticket, uint32_t units)
{
    CHECK(ticket >= 1);
    const struct queue *queue = item_lock(presale, item);
    uint32_t chunk = claim_chunk(presale, item, number_of(ticket));
    uint32_t *at = chunk == NO_CHUNK ? NULL : ticket_at(presale, chunk, ticket);
    bool fits = ticket <= queue->last && (at ? *at : 0) == units;
    if (fits && at) {
        *at |= PENDING; /* no other order can claim it any more */
    }
    item_unlock(presale, item);
    return fits;
}

void presale_claims_end(struct presale *presale, uint32_t items)
{
    uint32_t count =
        presale->claim_chunks && presale->claim_first ? presale->claim_first[items + 1] : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *units = units_of(presale, presale->claim_chunks[i]);
        for (uint32_t j = 0; j < PRESALE_CHUNK_TICKETS; j++) {
            if (units[j] & PENDING) { /* otherwise the page may not be in memory yet: don't write to
                                         it */
                units[j] &= ~PENDING;
            }
        }
    }
    free(presale->claim_chunks);
    free(presale->claim_first);
    presale->claim_chunks = NULL;
    presale->claim_first = NULL;
}

/* expiry.c - hierarchical timing wheels of order handles.
 *
 * Threads: any; a wheel under its spin lock, chunks under the pool's, which is taken inside.
 * Invariants of each wheel, whose time has come to `at`:
 * - a hint in level n, n > 0, is 1..4095 buckets after at's own bucket of that level, or in at's
 *   own bucket, which then is due now;
 * - `at` never passes a bucket that is not empty;
 * - in a chain only the first chunk has room. */
#include "core/expiry.h"

#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/pages.h"
#include "base/schedule.h"
#include "base/spin.h"

#define LEVELS       3u
#define LEVEL_BITS   SCHEDULE_BOUND(12u, 6u)
#define BUCKETS      (1u << LEVEL_BITS)
#define BUCKET_MASK  (BUCKETS - 1u)
#define BITMAP_WORDS (BUCKETS / 64u)
#define NEVER        UINT64_MAX
#define SPARES       32u /* chunks that a wheel keeps, so that it seldom needs the pool's lock */
#define SPARES_DRAWN 16u /* at once */

/* How far before its first hint a wheel's time is set when the present time is not known (replay):
 * longer than any usual hold, so that later hints are seldom overdue. 2^31 ms are 24 days. */
#define BASE_BEFORE_MS ((uint64_t)1 << 31)

/* A chain is its first chunk's number << 4 | handles in that chunk; 0 when empty. */
typedef uint32_t chain;

struct chunk {
    uint32_t handles[EXPIRY_TAKE];
    chain next;
};

static_assert(sizeof(struct chunk) == CACHE_LINE_BYTES, "a chunk is one cache line");
static_assert(EXPIRY_TAKE <= 15, "the number of handles fits four bits");
static_assert(ORDERS_MAX / EXPIRY_TAKE + EXPIRY_WHEELS * (LEVELS * BUCKETS + 4 + SPARES) < 1u << 28,
              "a chunk's number fits 28 bits");

struct wheel {
    _Alignas(CACHE_LINE_BYTES) struct spin spin;
    chain work;  /* detached from its bucket, being taken */
    chain swept; /* detached from its bucket, being taken by a sweep */
    chain overdue;
    uint64_t at;
    uint64_t overdue_first_ms; /* the earliest time in overdue; NEVER when empty */
    uint64_t hints;
    uint32_t spare_count;
    uint32_t spares[SPARES]; /* free chunks */
    uint64_t occupied[LEVELS][BITMAP_WORDS];
    chain buckets[LEVELS][BUCKETS];
};

struct expiry {
    struct wheel wheels[EXPIRY_WHEELS];
    _Alignas(CACHE_LINE_BYTES) struct spin pool_spin;
    struct chunk *chunks;
    uint64_t chunks_max;
    uint32_t chunks_used; /* chunk numbers begin at 1: 0 means no chunk */
    uint32_t chunk_free;  /* the first freed chunk, chained by next; 0: none */
};

enum hf_status expiry_init(struct expiry **out, uint64_t hints_max)
{
    CHECK(hints_max >= 1 && hints_max <= ORDERS_MAX);
    /* Mapped, so that pages of buckets that are never used are never touched. */
    struct expiry *expiry = pages_map(sizeof *expiry);
    if (!expiry) {
        return HF_NO_MEMORY;
    }
    /* Full chunks, one chunk that is not full in each chain, one that expiry_take is emptying,
     * spares. */
    expiry->chunks_max =
        1 + hints_max / EXPIRY_TAKE + EXPIRY_WHEELS * (LEVELS * BUCKETS + 4 + SPARES);
    expiry->chunks = pages_map(expiry->chunks_max * sizeof(struct chunk));
    if (!expiry->chunks) {
        pages_unmap(expiry, sizeof *expiry);
        return HF_NO_MEMORY;
    }
    expiry->chunks_used = 1;
    for (unsigned i = 0; i < EXPIRY_WHEELS; i++) {
        expiry->wheels[i].overdue_first_ms = NEVER;
    }
    *out = expiry;
    return HF_OK;
}

void expiry_deinit(struct expiry *expiry)
{
    if (expiry) {
        pages_unmap(expiry->chunks, expiry->chunks_max * sizeof(struct chunk));
        pages_unmap(expiry, sizeof *expiry);
    }
}

/* Draws chunks from the pool that all wheels share. */
static void spares_draw(struct expiry *expiry, struct wheel *wheel)
{
    spin_lock(&expiry->pool_spin);
    while (wheel->spare_count < SPARES_DRAWN) {
        uint32_t number = expiry->chunk_free;
        if (number != 0) {
            expiry->chunk_free = expiry->chunks[number].next;
        } else if (expiry->chunks_used < expiry->chunks_max) {
            number = expiry->chunks_used++;
        } else {
            break;
        }
        CHECK(number != 0 && number < expiry->chunks_max);
        wheel->spares[wheel->spare_count++] = number;
    }
    CHECK(expiry->chunks_used <= expiry->chunks_max);
    spin_unlock(&expiry->pool_spin);
}

static void spares_return(struct expiry *expiry, struct wheel *wheel)
{
    CHECK(wheel->spare_count == SPARES);
    spin_lock(&expiry->pool_spin);
    while (wheel->spare_count > SPARES - SPARES_DRAWN) {
        uint32_t number = wheel->spares[--wheel->spare_count];
        expiry->chunks[number].next = expiry->chunk_free;
        expiry->chunk_free = number;
    }
    spin_unlock(&expiry->pool_spin);
}

static uint32_t chunk_alloc(struct expiry *expiry, struct wheel *wheel)
{
    if (wheel->spare_count == 0) {
        spares_draw(expiry, wheel);
        CHECK(wheel->spare_count > 0);
    }
    return wheel->spares[--wheel->spare_count];
}

static void chunk_free(struct expiry *expiry, struct wheel *wheel, uint32_t number)
{
    if (wheel->spare_count == SPARES) {
        spares_return(expiry, wheel);
    }
    CHECK(number != 0);
    CHECK(wheel->spare_count < SPARES);
    wheel->spares[wheel->spare_count++] = number;
}

static void chain_add(struct expiry *expiry, struct wheel *wheel, chain *to, uint32_t handle)
{
    uint32_t count = *to & 15u;
    if (count == 0 || count == EXPIRY_TAKE) {
        uint32_t number = chunk_alloc(expiry, wheel);
        expiry->chunks[number].next = *to;
        *to = number << 4;
        count = 0;
    }
    SCHEDULE_POINT("expiry.add");
    expiry->chunks[*to >> 4].handles[count] = handle;
    (*to)++;
}

static void bucket_add(struct expiry *expiry, struct wheel *wheel, unsigned level, uint64_t bucket,
                       uint32_t handle)
{
    uint32_t i = (uint32_t)bucket & BUCKET_MASK;
    chain_add(expiry, wheel, &wheel->buckets[level][i], handle);
    wheel->occupied[level][i / 64] |= 1ull << (i % 64);
}

void expiry_lock(struct expiry *expiry, unsigned wheel)
{
    CHECK(wheel < EXPIRY_WHEELS);
    spin_lock(&expiry->wheels[wheel].spin);
}

void expiry_unlock(struct expiry *expiry, unsigned wheel)
{
    spin_unlock(&expiry->wheels[wheel].spin);
}

void expiry_add(struct expiry *expiry, unsigned wheel_number, uint32_t handle, uint64_t at_ms,
                uint64_t now_ms)
{
    CHECK(wheel_number < EXPIRY_WHEELS);
    struct wheel *wheel = &expiry->wheels[wheel_number];
    if (wheel->hints == 0) {
        uint64_t base = now_ms ? now_ms : at_ms > BASE_BEFORE_MS ? at_ms - BASE_BEFORE_MS : 0;
        wheel->at = base < at_ms ? base : at_ms;
    }
    CHECK(wheel->hints < ORDERS_MAX);
    wheel->hints++;
    if (at_ms < wheel->at) {
        chain_add(expiry, wheel, &wheel->overdue, handle);
        if (at_ms < wheel->overdue_first_ms) {
            wheel->overdue_first_ms = at_ms;
        }
        return;
    }
    uint64_t from = wheel->at;
    uint64_t to = at_ms;
    for (unsigned level = 0; level < LEVELS; level++) {
        if (to - from < BUCKETS) {
            bucket_add(expiry, wheel, level, to, handle);
            return;
        }
        from >>= LEVEL_BITS;
        to >>= LEVEL_BITS;
    }
    bucket_add(expiry, wheel, LEVELS - 1, (wheel->at >> (2 * LEVEL_BITS)) + BUCKET_MASK, handle);
}

/* How many buckets after `from` the first occupied one is, counted around the ring; BUCKETS: none
 * is occupied. */
static uint32_t occupied_ahead(const uint64_t *bits, uint32_t from)
{
    CHECK(from < BUCKETS);
    uint32_t word = from / 64;
    uint64_t head = bits[word] & (~0ull << (from % 64));
    for (uint32_t i = 0; i <= BITMAP_WORDS; i++) {
        if (i == BITMAP_WORDS) { /* around the ring: the part of the first word before `from` */
            head = bits[word] & ~(~0ull << (from % 64));
        }
        if (head != 0) {
            uint32_t at = word * 64 + (uint32_t)__builtin_ctzll(head);
            return (at - from) & BUCKET_MASK;
        }
        word = (word + 1) % BITMAP_WORDS;
        head = bits[word];
    }
    return BUCKETS;
}

/* When the level's first occupied bucket begins, but not before now; NEVER when all are empty. */
static uint64_t level_next(const struct wheel *wheel, unsigned level)
{
    unsigned shift = level * LEVEL_BITS;
    uint64_t here = wheel->at >> shift;
    uint32_t ahead = occupied_ahead(wheel->occupied[level], (uint32_t)here & BUCKET_MASK);
    if (ahead == BUCKETS) {
        return NEVER;
    }
    CHECK(ahead < BUCKETS);
    uint64_t begins = (here + ahead) << shift;
    return begins > wheel->at ? begins : wheel->at;
}

/* The time of the first occupied bucket, and its level. Of several levels it is the highest, so
 * that hints that come down are there before the lower level is emptied. */
static uint64_t wheel_next(const struct wheel *wheel, unsigned *level)
{
    uint64_t next = NEVER;
    for (unsigned i = LEVELS; i-- > 0;) {
        uint64_t begins = level_next(wheel, i);
        if (begins < next) {
            next = begins;
            *level = i;
        }
    }
    return next;
}

/* Detaches a level's bucket. */
static chain bucket_detach(struct wheel *wheel, unsigned level, uint32_t i)
{
    CHECK(level < LEVELS);
    CHECK(i < BUCKETS);
    chain detached = wheel->buckets[level][i];
    wheel->buckets[level][i] = 0;
    wheel->occupied[level][i / 64] &= ~(1ull << (i % 64));
    return detached;
}

/* Moves the next due chain to `work`; false when nothing is due. */
static bool wheel_detach_due(struct wheel *wheel, uint64_t now_ms)
{
    CHECK(wheel->work == 0);
    if (wheel->overdue_first_ms <= now_ms) {
        wheel->work = wheel->overdue;
        wheel->overdue = 0;
        wheel->overdue_first_ms = NEVER;
        return true;
    }
    unsigned level = 0;
    uint64_t next = wheel_next(wheel, &level);
    if (next > now_ms) {
        if (now_ms > wheel->at) {
            wheel->at = now_ms; /* no hint is in between */
        }
        return false;
    }
    CHECK(next >= wheel->at); /* time never goes back in a wheel */
    wheel->at = next;
    uint32_t i = (uint32_t)(next >> (level * LEVEL_BITS)) & BUCKET_MASK;
    wheel->work = bucket_detach(wheel, level, i);
    CHECK(wheel->work != 0); /* its bit said so */
    return true;
}

/* Takes the first chunk off a detached chain. */
static uint32_t chain_take(struct expiry *expiry, struct wheel *wheel, chain *from,
                           uint32_t handles[EXPIRY_TAKE])
{
    uint32_t number = *from >> 4;
    CHECK(number != 0);
    uint32_t count = *from & 15u;
    CHECK(count >= 1 && count <= EXPIRY_TAKE);
    SCHEDULE_POINT("expiry.take");
    memcpy(handles, expiry->chunks[number].handles, count * sizeof handles[0]);
    *from = expiry->chunks[number].next;
    CHECK(wheel->hints >= count);
    wheel->hints -= count;
    chunk_free(expiry, wheel, number);
    return count;
}

uint32_t expiry_sweep(struct expiry *expiry, unsigned wheel_number, struct expiry_cursor *cursor,
                      uint32_t handles[EXPIRY_TAKE])
{
    CHECK(wheel_number < EXPIRY_WHEELS);
    struct wheel *wheel = &expiry->wheels[wheel_number];
    uint32_t count = 0;
    spin_lock(&wheel->spin);
    while (wheel->swept == 0 && cursor->bucket < LEVELS * BUCKETS) {
        wheel->swept = bucket_detach(wheel, cursor->bucket / BUCKETS, cursor->bucket & BUCKET_MASK);
        cursor->bucket++;
    }
    if (wheel->swept != 0) {
        count = chain_take(expiry, wheel, &wheel->swept, handles);
    }
    cursor->done = count == 0;
    spin_unlock(&wheel->spin);
    return count;
}

uint32_t expiry_take(struct expiry *expiry, unsigned wheel_number, uint64_t now_ms,
                     uint32_t handles[EXPIRY_TAKE])
{
    CHECK(wheel_number < EXPIRY_WHEELS);
    struct wheel *wheel = &expiry->wheels[wheel_number];
    uint32_t count = 0;
    spin_lock(&wheel->spin);
    if (wheel->work != 0 || wheel_detach_due(wheel, now_ms)) {
        count = chain_take(expiry, wheel, &wheel->work, handles);
    }
    spin_unlock(&wheel->spin);
    return count;
}

static uint64_t wheel_first(const struct wheel *wheel)
{
    if (wheel->work != 0) {
        return 0;
    }
    unsigned level;
    uint64_t next = wheel_next(wheel, &level);
    return next < wheel->overdue_first_ms ? next : wheel->overdue_first_ms;
}

bool expiry_due(struct expiry *expiry, unsigned wheel, uint64_t now_ms)
{
    expiry_lock(expiry, wheel);
    bool due = wheel_first(&expiry->wheels[wheel]) <= now_ms;
    expiry_unlock(expiry, wheel);
    return due;
}

uint64_t expiry_next_ms(struct expiry *expiry)
{
    uint64_t next = NEVER;
    for (unsigned i = 0; i < EXPIRY_WHEELS; i++) {
        expiry_lock(expiry, i);
        uint64_t first = wheel_first(&expiry->wheels[i]);
        expiry_unlock(expiry, i);
        next = first < next ? first : next;
    }
    return next;
}

uint64_t expiry_hints(struct expiry *expiry)
{
    uint64_t hints = 0;
    for (unsigned i = 0; i < EXPIRY_WHEELS; i++) {
        expiry_lock(expiry, i);
        hints += expiry->wheels[i].hints;
        expiry_unlock(expiry, i);
    }
    return hints;
}

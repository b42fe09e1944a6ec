/* lines.c - memory for the lines of orders, in power-of-two blocks.
 *
 * Threads: any; each pool under its spin lock; chunks are drawn without one.
 * Invariant: a free block's first bytes are the pointer to the next free block of its size. */
#include "core/lines.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

#include "base/check.h"
#include "base/pages.h"
#include "base/schedule.h"
#include "base/spin.h"

#define POOLS       16u
#define CLASSES     12u /* 1 << 11 == ORDER_LINES_MAX */
#define CHUNK_BYTES KIB(256)
#define CHUNKS_MIN  1024u /* chunks of address space even on the smallest machine */

static_assert(1u << (CLASSES - 1) == ORDER_LINES_MAX, "the greatest class is the longest order");
static_assert(sizeof(struct order_line_view) >= sizeof(void *), "a free block holds a pointer");
static_assert(sizeof(struct order_line_view) % _Alignof(struct order_line_view *) == 0,
              "the pointer in a free block is aligned");
static_assert(CHUNK_BYTES % (sizeof(struct order_line_view) * ORDER_LINES_MAX) == 0,
              "the longest orders fill a chunk");

struct free_block {
    struct free_block *next;
};

struct pool {
    _Alignas(CACHE_LINE_BYTES) struct spin spin;
    uint8_t *next; /* what is left of the newest chunk */
    uint8_t *end;
    struct free_block *free[CLASSES];
};

struct lines {
    uint8_t *chunks; /* address space for as much as the machine has memory */
    uint64_t chunk_count;
    _Atomic uint64_t chunks_drawn;
    struct pool pools[POOLS];
};

static uint32_t class_of(uint32_t count)
{
    CHECK(count >= 1 && count <= ORDER_LINES_MAX);
    return count == 1 ? 0 : 32u - (uint32_t)__builtin_clz(count - 1);
}

static size_t class_bytes(uint32_t class)
{
    CHECK(class < CLASSES);
    return sizeof(struct order_line_view) << class;
}

/* How many chunks could ever be in memory. The most that orders could need is far more than any
 * machine has. */
static uint64_t chunks_of_machine(void)
{
    struct sysinfo info;
    if (sysinfo(&info) != 0) {
        return CHUNKS_MIN;
    }
    uint64_t chunks = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit / CHUNK_BYTES;
    return chunks > CHUNKS_MIN ? chunks : CHUNKS_MIN;
}

enum hf_status lines_init(struct lines **out)
{
    struct lines *lines = aligned_alloc(CACHE_LINE_BYTES, sizeof *lines);
    if (!lines) {
        return HF_NO_MEMORY;
    }
    *lines = (struct lines){.chunk_count = chunks_of_machine()};
    CHECK(lines->chunk_count >= CHUNKS_MIN);
    lines->chunks = pages_map_huge(lines->chunk_count * CHUNK_BYTES);
    if (!lines->chunks) {
        free(lines);
        return HF_NO_MEMORY;
    }
    *out = lines;
    return HF_OK;
}

void lines_deinit(struct lines *lines)
{
    if (!lines) {
        return;
    }
    pages_unmap(lines->chunks, lines->chunk_count * CHUNK_BYTES);
    free(lines);
}

/* The next chunk of address space; NULL when none is left. */
static uint8_t *chunk_draw(struct lines *lines)
{
    /* relaxed: only the thread that draws a chunk uses it. The counter is read first, so that it
     * can't wrap around. */
    if (atomic_load_explicit(&lines->chunks_drawn, memory_order_relaxed) >= lines->chunk_count) {
        return NULL;
    }
    uint64_t chunk = atomic_fetch_add_explicit(&lines->chunks_drawn, 1, memory_order_relaxed);
    return chunk < lines->chunk_count ? lines->chunks + chunk * CHUNK_BYTES : NULL;
}

/* Cuts a block from the newest chunk; the rest of a chunk that is too short is left unused. */
static void *pool_cut(struct lines *lines, struct pool *pool, size_t bytes)
{
    CHECK(bytes >= sizeof(struct free_block));
    CHECK(bytes <= CHUNK_BYTES);
    CHECK(pool->next <= pool->end);
    if ((size_t)(pool->end - pool->next) < bytes) {
        uint8_t *chunk = chunk_draw(lines);
        if (!chunk) {
            return NULL;
        }
        pool->next = chunk;
        pool->end = chunk + CHUNK_BYTES;
    }
    void *block = pool->next;
    SCHEDULE_POINT("lines.cut");
    pool->next += bytes;
    CHECK(pool->next <= pool->end);
    return block;
}

struct order_line_view *lines_alloc(struct lines *lines, uint32_t key, uint32_t count)
{
    struct pool *pool = &lines->pools[key % POOLS];
    uint32_t class = class_of(count);
    spin_lock(&pool->spin);
    void *block = pool->free[class];
    SCHEDULE_POINT("lines.alloc");
    if (block) {
        pool->free[class] = pool->free[class]->next;
    } else {
        block = pool_cut(lines, pool, class_bytes(class));
    }
    spin_unlock(&pool->spin);
    return block;
}

void lines_free(struct lines *lines, uint32_t key, struct order_line_view *block, uint32_t count)
{
    CHECK(block != NULL);
    struct pool *pool = &lines->pools[key % POOLS];
    uint32_t class = class_of(count);
    struct free_block *freed = (void *)block;
    spin_lock(&pool->spin);
    CHECK(pool->free[class] != freed);
    freed->next = pool->free[class];
    SCHEDULE_POINT("lines.free");
    pool->free[class] = freed;
    spin_unlock(&pool->spin);
}

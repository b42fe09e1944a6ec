/* lines.c - memory for the lines of orders, in power-of-two blocks.
 *
 * Threads: any; each pool under its spin lock.
 * Invariant: a free block's first bytes are the pointer to the next free block of its size. */
#include "core/lines.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/spin.h"

#define POOLS       16u
#define CLASSES     12u /* 1 << 11 == ORDER_LINES_MAX */
#define CHUNK_BYTES (1u << 18)

static_assert(1u << (CLASSES - 1) == ORDER_LINES_MAX, "the greatest class is the longest order");
static_assert(sizeof(struct order_line_view) >= sizeof(void *), "a free block holds a pointer");
static_assert(CHUNK_BYTES >= 64 + 2 * ORDER_LINES_MAX * sizeof(struct order_line_view),
              "a chunk holds the longest orders");

struct free_block {
    struct free_block *next;
};

struct chunk {
    struct chunk *next;
};

struct pool {
    _Alignas(CACHE_LINE_BYTES) struct spin spin;
    uint8_t *next; /* what is left of the newest chunk */
    uint8_t *end;
    struct chunk *chunks;
    struct free_block *free[CLASSES];
};

struct lines {
    struct pool pools[POOLS];
};

static uint32_t class_of(uint32_t count)
{
    CHECK(count >= 1 && count <= ORDER_LINES_MAX);
    return count == 1 ? 0 : 32u - (uint32_t)__builtin_clz(count - 1);
}

/* Multiples of 8, so that the pointer in a free block is aligned. */
static size_t class_bytes(uint32_t class)
{
    return ((sizeof(struct order_line_view) << class) + 7) & ~(size_t)7;
}

enum hf_status lines_init(struct lines **out)
{
    struct lines *lines = aligned_alloc(CACHE_LINE_BYTES, sizeof *lines);
    if (!lines) {
        return HF_NO_MEMORY;
    }
    *lines = (struct lines){0};
    *out = lines;
    return HF_OK;
}

void lines_deinit(struct lines *lines)
{
    if (!lines) {
        return;
    }
    for (uint32_t i = 0; i < POOLS; i++) {
        struct chunk *chunk = lines->pools[i].chunks;
        while (chunk) {
            struct chunk *next = chunk->next;
            free(chunk);
            chunk = next;
        }
    }
    free(lines);
}

/* Cuts a block from the newest chunk; the rest of a chunk that is too short is left unused. */
static void *pool_cut(struct pool *pool, size_t bytes)
{
    if ((size_t)(pool->end - pool->next) < bytes || !pool->next) {
        struct chunk *chunk = malloc(CHUNK_BYTES);
        if (!chunk) {
            return NULL;
        }
        chunk->next = pool->chunks;
        pool->chunks = chunk;
        pool->next = (uint8_t *)chunk + 64;
        pool->end = (uint8_t *)chunk + CHUNK_BYTES;
    }
    void *block = pool->next;
    pool->next += bytes;
    return block;
}

struct order_line_view *lines_alloc(struct lines *lines, uint32_t key, uint32_t count)
{
    struct pool *pool = &lines->pools[key % POOLS];
    uint32_t class = class_of(count);
    spin_lock(&pool->spin);
    void *block = pool->free[class];
    if (block) {
        pool->free[class] = pool->free[class]->next;
    } else {
        block = pool_cut(pool, class_bytes(class));
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
    freed->next = pool->free[class];
    pool->free[class] = freed;
    spin_unlock(&pool->spin);
}

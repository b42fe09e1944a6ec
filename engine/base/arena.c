/* arena.c - chunks from malloc, doubling in size, handed out front to back.
 *
 * Threads: one at a time.
 * Invariant: used_bytes <= cap_bytes, and the chunks hold at least used_bytes.
 *
 * In a sanitized build each allocation has a chunk of its own and none is kept, so that the
 * sanitizer sees a write past an allocation and a use after arena_clear. */
#include "base/arena.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"

#define ALIGN_BYTES ((size_t)16)

#ifdef HOLDFAST_SANITIZED
static const bool own_chunks = true;
#else
static const bool own_chunks = false;
#endif

#define CHUNK_BYTES_MIN  ((size_t)KIB(16))
#define CHUNK_BYTES_MAX  ((size_t)MIB(1))
#define CHUNK_BYTES_KEPT ((size_t)KIB(256))

struct arena_chunk {
    _Alignas(16) struct arena_chunk *older;
    size_t size_bytes;
    size_t used_bytes;
    _Alignas(16) uint8_t data[];
};

/* relaxed: set while no other thread runs. */
static void *(*_Atomic chunk_source)(size_t bytes) = malloc;

void arena_set_source(void *(*source)(size_t bytes))
{
    atomic_store_explicit(&chunk_source, source ? source : malloc, memory_order_relaxed);
}

static size_t align_up(size_t n)
{
    return (n + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);
}

void arena_init(struct arena *arena, size_t cap_bytes)
{
    /* Rounding up near SIZE_MAX would wrap. */
    CHECK(cap_bytes <= SIZE_MAX / 4);
    *arena = (struct arena){.chunks = NULL, .used_bytes = 0, .cap_bytes = cap_bytes};
}

void arena_deinit(struct arena *arena)
{
    struct arena_chunk *chunk = arena->chunks;
    while (chunk) {
        struct arena_chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
    arena->chunks = NULL;
    arena->used_bytes = 0;
}

/* How large the next chunk is: twice the last one, within bounds, and at least size. */
static size_t next_chunk_bytes(const struct arena *arena, size_t size)
{
    if (own_chunks) {
        return size;
    }
    size_t chunk_bytes = arena->chunks ? arena->chunks->size_bytes * 2 : CHUNK_BYTES_MIN;
    if (chunk_bytes > CHUNK_BYTES_MAX) {
        chunk_bytes = CHUNK_BYTES_MAX;
    }
    return chunk_bytes < size ? size : chunk_bytes;
}

/* A new newest chunk with room for size bytes. */
static struct arena_chunk *add_chunk(struct arena *arena, size_t size)
{
    size_t chunk_bytes = next_chunk_bytes(arena, size);
    struct arena_chunk *chunk =
        atomic_load_explicit(&chunk_source, memory_order_relaxed)(sizeof *chunk + chunk_bytes);
    arena->starved = chunk == NULL;
    if (!chunk) {
        return NULL;
    }
    chunk->older = arena->chunks;
    chunk->size_bytes = chunk_bytes;
    chunk->used_bytes = 0;
    arena->chunks = chunk;
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    CHECK(arena->used_bytes <= arena->cap_bytes);
    size_t left = arena->cap_bytes - arena->used_bytes;
    if (size > left) {
        arena->starved = false;
        return NULL;
    }
    struct arena_chunk *chunk = arena->chunks;
    size_t at = chunk ? align_up(chunk->used_bytes) : 0;
    if (!chunk || own_chunks || at > chunk->size_bytes || chunk->size_bytes - at < size) {
        chunk = add_chunk(arena, size);
        if (!chunk) {
            return NULL;
        }
        at = 0;
    }
    chunk->used_bytes = at + size;
    CHECK(chunk->used_bytes <= chunk->size_bytes);
    /* Bytes for alignment count too, so that many tiny pieces cannot pass the cap. */
    arena->used_bytes += align_up(size) < left ? align_up(size) : left;
    CHECK(arena->used_bytes <= arena->cap_bytes);
    return chunk->data + at;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        arena->starved = false;
        return NULL;
    }
    void *memory = arena_alloc(arena, total);
    if (memory) {
        memset(memory, 0, total);
    }
    return memory;
}

void arena_clear(struct arena *arena)
{
    struct arena_chunk *kept = NULL;
    struct arena_chunk *chunk = arena->chunks;
    while (chunk) {
        struct arena_chunk *older = chunk->older;
        bool keepable = !own_chunks && chunk->size_bytes <= CHUNK_BYTES_KEPT;
        if (keepable && (!kept || kept->size_bytes < chunk->size_bytes)) {
            struct arena_chunk *smaller = kept;
            kept = chunk;
            chunk = smaller;
        }
        free(chunk);
        chunk = older;
    }
    if (kept) {
        CHECK(kept->size_bytes <= CHUNK_BYTES_KEPT);
        kept->older = NULL;
        kept->used_bytes = 0;
    }
    arena->chunks = kept;
    arena->used_bytes = 0;
}

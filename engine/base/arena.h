/* arena.h - memory that is taken piece by piece and released all at once, up to a cap.
 *
 * Threads: one at a time. A request's arena is cleared when its reply has left. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t used_bytes;          /* handed out since the last clear */
    size_t cap_bytes;           /* arena_alloc fails beyond this */
    bool starved; /* the last failure was the system's, not the cap's: a later try may work */
};

/* cap_bytes: the most that may be handed out between two clears. Takes no memory yet. */
void arena_init(struct arena *arena, size_t cap_bytes);

/* Frees everything. */
void arena_deinit(struct arena *arena);

/* size bytes aligned to 16, not zeroed; NULL beyond the cap or out of memory. size 0 gives a
 * valid pointer. */
void *arena_alloc(struct arena *arena, size_t size);

/* count * size bytes, zeroed; NULL as above, or when the product overflows. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);

/* For tests: where chunks come from instead of malloc; NULL: malloc. They are freed with free(). */
void arena_set_source(void *(*source)(size_t bytes));

/* Releases everything. Keeps one chunk of at most 256 KiB for the next use. */
void arena_clear(struct arena *arena);

#endif

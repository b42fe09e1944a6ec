/* id.h - 16-byte ids of orders and adjustments.
 *
 * Threads: any; pure functions. An id's halves are its bytes read big-endian, so that a column of
 * halves sorts as the bytes do. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define ID_BYTES      16u
#define ID_TEXT_BYTES 37u /* a UUID's 36 characters and the terminator */

struct id128 {
    uint64_t hi;
    uint64_t lo;
};

static inline bool id_equal(struct id128 a, struct id128 b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

/* An id of zeros is a field that nobody filled in, and is refused: two callers who forgot their ids
 * would otherwise look like one caller who repeats a request. */
#define ID_NIL_REASON "all zeros: an id has to be chosen, another one for each"

static inline bool id_is_nil(struct id128 id)
{
    return (id.hi | id.lo) == 0;
}

/* The id of 16 bytes. */
static inline struct id128 id_from_bytes(const uint8_t bytes[ID_BYTES])
{
    return (struct id128){__builtin_bswap64(load_u64(bytes)),
                          __builtin_bswap64(load_u64(bytes + 8))};
}

/* Writes the id's 16 bytes. */
static inline void id_to_bytes(struct id128 id, uint8_t bytes[ID_BYTES])
{
    store_u64(bytes, __builtin_bswap64(id.hi));
    store_u64(bytes + 8, __builtin_bswap64(id.lo));
}

/* The id of a text: a UUID or 32 hex digits are the id itself; of any other text, the XXH3 128-bit
 * hash of its bytes, seed 0 (canonical, big-endian, halves). Any length, 0 too. */
struct id128 id_from_text(const char *text, size_t text_bytes);

/* Writes the id as a lower-case UUID with its terminator. */
void id_to_text(struct id128 id, char text[ID_TEXT_BYTES]);

/* The buyer of a text: decimal digits that fit a uint64 are the number itself; of any other text,
 * the XXH3 64-bit hash of its bytes, seed 0; empty: 0, no buyer. */
uint64_t buyer_from_text(const char *text, size_t text_bytes);

/* A hash of an id for tables: every bit of the result depends on every bit of the id. Callers
 * choose the ids, and they may be sequential: they are not assumed random. */
static inline uint64_t id_hash(struct id128 id)
{
    /* Two rounds of a 64x64->128 multiply, folded: as XXH3 and wyhash mix. */
    __extension__ typedef unsigned __int128 u128;
    u128 m = (u128)(id.hi ^ 0x9E3779B97F4A7C15ull) * (id.lo ^ 0xE7037ED1A0B428DBull);
    uint64_t h = (uint64_t)m ^ (uint64_t)(m >> 64) ^ id.hi ^ (id.lo << 32 | id.lo >> 32);
    m = (u128)h * 0xA0761D6478BD642Full;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

#endif

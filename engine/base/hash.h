/* hash.h - XXH3, the only checksum and hash of bytes in the engine. Any thread; pure. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

/* XXH3 64-bit, seed 0. */
uint64_t hash_bytes(const void *data, size_t len);

/* XXH3 128-bit, seed 0; hi and lo are the high and low 64 bits of the result. */
struct id128 hash_bytes_128(const void *data, size_t len);

/* Mixes a 64-bit word (splitmix64's finalizer: Steele, Lea, Flood, OOPSLA 2014). */
static inline uint64_t hash_u64(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9ull;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

#endif

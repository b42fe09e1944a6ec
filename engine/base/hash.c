/* hash.c - XXH3, compiled in so that short inputs (ids, codes) cost no call into a library.
 *
 * Threads: any; pure. Source: xxhash.h 0.8; the results are fixed since 0.8.0. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash_bytes(const void *data, size_t len)
{
    return XXH3_64bits(len > 0 ? data : "", len);
}

struct id128 hash_bytes_128(const void *data, size_t len)
{
    XXH128_hash_t hash = XXH3_128bits(len > 0 ? data : "", len);
    return (struct id128){.hi = hash.high64, .lo = hash.low64};
}

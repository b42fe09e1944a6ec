/* rng.c - xoshiro256** and where its seed comes from. Threads: see rng.h. */
#include "lib/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

void rng_init(struct rng *rng, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) {
        seed += 0x9E3779B97F4A7C15ull;
        uint64_t x = seed;
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
        x = (x ^ x >> 27) * 0x94D049BB133111EBull;
        rng->state[i] = x ^ x >> 31;
    }
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
    CHECK(n > 0);
    /* Numbers from the incomplete last run of n are thrown away: no bias. */
    uint64_t uneven = (UINT64_MAX - n + 1) % n;
    uint64_t x;
    do {
        x = rng_next(rng);
    } while (x < uneven);
    return x % n;
}

uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
    CHECK(low <= high);
    if (low == 0 && high == UINT64_MAX) {
        return rng_next(rng);
    }
    return low + rng_below(rng, high - low + 1);
}

bool rng_chance(struct rng *rng, uint64_t one_in)
{
    return rng_below(rng, one_in) == 0;
}

uint64_t rng_seed_from_env(uint64_t otherwise)
{
    const char *text = getenv("SEED");
    if (!text || *text == '\0') {
        return otherwise;
    }
    char *end;
    errno = 0;
    unsigned long long seed = strtoull(text, &end, 0);
    if (errno != 0 || *end != '\0' || *text == '-') {
        fprintf(stderr, "SEED=%s is not a number of 64 bits\n", text);
        exit(2);
    }
    return seed;
}

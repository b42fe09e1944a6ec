/* rng.h - random numbers for tests: the same seed gives the same run on every machine.
 *
 * Threads: a struct rng belongs to one. Source: xoshiro256** by Blackman and Vigna, seeded through
 * splitmix64 as they advise. */
#ifndef TESTS_LIB_RNG_H
#define TESTS_LIB_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state[4];
};

/* Any seed will do, 0 too. */
void rng_init(struct rng *rng, uint64_t seed);

/* 64 random bits. */
uint64_t rng_next(struct rng *rng);

/* Uniform in 0 .. n - 1; n > 0. */
uint64_t rng_below(struct rng *rng, uint64_t n);

/* Uniform in low .. high, both included. */
uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high);

/* True once in `one_in` calls, on average; one_in > 0. */
bool rng_chance(struct rng *rng, uint64_t one_in);

/* The environment's SEED (decimal, or hex with 0x) if it is set, else `otherwise`. A SEED that is
 * not a number ends the program with status 2. */
uint64_t rng_seed_from_env(uint64_t otherwise);

#endif

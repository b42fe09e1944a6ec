/* fuzz.h - what the fuzz targets share: a target's functions, random numbers in bytes' clothes,
 * and a check that prints.
 *
 * A target is one file that defines LLVMFuzzerTestOneInput() and fuzz_seed(), and may define
 * fuzz_mutate(). Linked to libFuzzer it is a fuzzer; linked to fuzz_main.c it is a program that
 * tries a fixed number of mutated seeds, or the files that it is given.
 *
 * Threads: one. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/rng.h"

#define FUZZ_INPUT_BYTES_MAX 16384u

/* Runs one input. Always returns 0; aborts when something that must hold does not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes one input that is well-formed, or nearly; returns its bytes, at most `room`. */
size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room);

/* Changes one thing in an input of `size` bytes, which may become as long as `room`; returns its
 * bytes. A target's own knows what the bytes mean; the others' is fuzz_mutate_bytes. */
size_t fuzz_mutate(struct rng *rng, uint8_t *data, size_t size, size_t room);
size_t fuzz_mutate_bytes(struct rng *rng, uint8_t *data, size_t size, size_t room);

/* A tenth of so many inputs the standalone program tries in any case, a hundred times so many in a
 * long run. */
extern const unsigned fuzz_runs;

#define FUZZ_CHECK(condition, ...)                                                                 \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A copy of exactly so many bytes: a read past them is seen by the address sanitizer. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    FUZZ_CHECK(copy, "out of memory");
    for (size_t i = 0; i < size; i++) {
        copy[i] = data[i];
    }
    return copy;
}

/* A number that is small, or a bound, or anything: what parsers stumble on. */
static inline uint64_t fuzz_number(struct rng *rng)
{
    static const uint64_t bounds[] = {0,
                                      1,
                                      127,
                                      128,
                                      255,
                                      256,
                                      65535,
                                      65536,
                                      1000000000,
                                      1000000001,
                                      INT32_MAX,
                                      UINT32_MAX,
                                      (uint64_t)UINT32_MAX + 1,
                                      (uint64_t)1 << 53,
                                      ((uint64_t)1 << 53) + 1,
                                      INT64_MAX,
                                      (uint64_t)INT64_MAX + 1,
                                      UINT64_MAX};
    switch (rng_below(rng, 4)) {
    case 0:
        return bounds[rng_below(rng, sizeof bounds / sizeof bounds[0])];
    case 1:
        return rng_next(rng) >> rng_below(rng, 64);
    default:
        return rng_below(rng, 8);
    }
}

#endif

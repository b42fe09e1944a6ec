/* fuzz_bytes.c - changes of bytes that know nothing of what they mean; and the mutator of targets
 * that have none of their own.
 *
 * Threads: one. */
#include <string.h>

#include "fuzz.h"

static size_t insert_bytes(struct rng *rng, uint8_t *data, size_t size, size_t room)
{
    size_t count = 1 + rng_below(rng, 16);
    if (size + count > room) {
        return size;
    }
    size_t at = rng_below(rng, size + 1);
    memmove(data + at + count, data + at, size - at);
    for (size_t i = 0; i < count; i++) {
        data[at + i] = (uint8_t)rng_next(rng);
    }
    return size + count;
}

static size_t remove_bytes(struct rng *rng, uint8_t *data, size_t size)
{
    size_t at = rng_below(rng, size);
    size_t count = 1 + rng_below(rng, size - at < 32 ? size - at : 32);
    count = count > size - at ? size - at : count;
    memmove(data + at, data + at + count, size - at - count);
    return size - count;
}

static void write_number(struct rng *rng, uint8_t *data, size_t size)
{
    uint64_t number = fuzz_number(rng);
    size_t width = (size_t)1 << rng_below(rng, 4);
    size_t at = rng_below(rng, size);
    memcpy(data + at, &number, width < size - at ? width : size - at);
}

/* A piece of the input over, or in between, another place of it. */
static size_t repeat_bytes(struct rng *rng, uint8_t *data, size_t size, size_t room)
{
    size_t from = rng_below(rng, size);
    size_t count = 1 + rng_below(rng, size - from);
    size_t to = rng_below(rng, size);
    if (rng_chance(rng, 2)) {
        memmove(data + to, data + from, count < size - to ? count : size - to);
        return size;
    }
    if (size + count > room) {
        return size;
    }
    uint8_t *piece = fuzz_copy(data + from, count);
    memmove(data + to + count, data + to, size - to);
    memcpy(data + to, piece, count);
    free(piece);
    return size + count;
}

size_t fuzz_mutate_bytes(struct rng *rng, uint8_t *data, size_t size, size_t room)
{
    if (size == 0) {
        return insert_bytes(rng, data, size, room);
    }
    switch (rng_below(rng, 7)) {
    case 0:
        data[rng_below(rng, size)] ^= (uint8_t)(1u << rng_below(rng, 8));
        return size;
    case 1:
        data[rng_below(rng, size)] = (uint8_t)rng_next(rng);
        return size;
    case 2:
        return insert_bytes(rng, data, size, room);
    case 3:
        return remove_bytes(rng, data, size);
    case 4:
        write_number(rng, data, size);
        return size;
    case 5:
        return repeat_bytes(rng, data, size, room);
    default:
        return rng_chance(rng, 4) ? rng_below(rng, size + 1) : size;
    }
}

__attribute__((weak)) size_t fuzz_mutate(struct rng *rng, uint8_t *data, size_t size, size_t room)
{
    return fuzz_mutate_bytes(rng, data, size, room);
}

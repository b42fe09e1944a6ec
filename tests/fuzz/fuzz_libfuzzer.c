/* fuzz_libfuzzer.c - hands a target's mutator to libFuzzer, beside libFuzzer's own.
 *
 * Threads: one. */
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);

/* libFuzzer's own mutations know what the target compared its input with; ours know what it means.
 */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    if (room > FUZZ_INPUT_BYTES_MAX) {
        room = FUZZ_INPUT_BYTES_MAX;
    }
    if (size > room || rng_chance(&rng, 2)) {
        return LLVMFuzzerMutate(data, size, room);
    }
    if (rng_chance(&rng, 16)) {
        return fuzz_seed(&rng, data, room);
    }
    for (uint64_t count = rng_between(&rng, 1, 4); count > 0; count--) {
        size = fuzz_mutate(&rng, data, size, room);
    }
    return size > 0 ? size : LLVMFuzzerMutate(data, size, room);
}

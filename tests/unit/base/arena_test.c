/* arena_test.c - the cap from both sides, alignment, and use after a clear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "lib/rng.h"

static void arena_hands_out_exactly_the_cap(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1000);
    assert_non_null(arena_alloc(&arena, 1000));
    assert_int_equal(arena.used_bytes, 1000);
    assert_null(arena_alloc(&arena, 1));
    arena_deinit(&arena);
}

static void arena_refuses_one_byte_above_the_cap(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1000);
    assert_null(arena_alloc(&arena, 1001));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_int_equal(arena.used_bytes, 0);
    /* A refusal costs nothing. */
    assert_non_null(arena_alloc(&arena, 1000));
    arena_deinit(&arena);
}

static void arena_counts_alignment_against_the_cap(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 160);
    for (int i = 0; i < 10; i++) {
        assert_non_null(arena_alloc(&arena, 1));
    }
    assert_null(arena_alloc(&arena, 1));
    arena_deinit(&arena);
}

static void arena_gives_a_pointer_for_no_bytes(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    assert_non_null(arena_alloc(&arena, 0));
    assert_non_null(arena_calloc(&arena, 0, 8));
    assert_null(arena_alloc(&arena, 1));
    arena_deinit(&arena);
}

static void arena_calloc_zeroes_what_was_used_before(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096);
    memset(arena_alloc(&arena, 4096), 0xFF, 4096);
    arena_clear(&arena);
    const uint8_t *zeros = arena_calloc(&arena, 512, 8);
    assert_non_null(zeros);
    for (int i = 0; i < 4096; i++) {
        assert_int_equal(zeros[i], 0);
    }
    arena_deinit(&arena);
}

static void arena_calloc_refuses_a_product_that_overflows(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096);
    assert_null(arena_calloc(&arena, SIZE_MAX / 2, 3));
    assert_null(arena_calloc(&arena, SIZE_MAX, SIZE_MAX)); /* wraps to 1 */
    assert_int_equal(arena.used_bytes, 0);
    arena_deinit(&arena);
}

static void arena_has_its_whole_cap_again_after_a_clear(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 2 << 20);
    for (int round = 0; round < 3; round++) {
        while (arena_alloc(&arena, 64) != NULL) {
        }
        assert_int_equal(arena.used_bytes, 2 << 20);
        arena_clear(&arena);
        assert_int_equal(arena.used_bytes, 0);
    }
    arena_deinit(&arena);
    arena_deinit(&arena); /* harmless twice */
}

static size_t random_size(struct rng *rng)
{
    return rng_chance(rng, 50) ? rng_below(rng, 400000) : rng_below(rng, 300);
}

/* Pieces are aligned to 16 and none overlaps another: each keeps what was written to it. */
static void arena_pieces_are_aligned_and_apart(void **state)
{
    (void)state;
    enum { PIECES = 500 };
    uint64_t seed = rng_seed_from_env(20241111);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    struct arena arena;
    arena_init(&arena, 64 << 20);
    for (int round = 0; round < 4; round++) {
        uint8_t *pieces[PIECES];
        size_t sizes[PIECES];
        for (int i = 0; i < PIECES; i++) {
            sizes[i] = random_size(&rng);
            pieces[i] = arena_alloc(&arena, sizes[i]);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], i & 0xFF, sizes[i]);
        }
        for (int i = 0; i < PIECES; i++) {
            for (size_t at = 0; at < sizes[i]; at++) {
                if (pieces[i][at] != (i & 0xFF)) {
                    fail_msg("piece %d overlaps another; SEED=%llu", i, (unsigned long long)seed);
                }
            }
        }
        arena_clear(&arena);
    }
    arena_deinit(&arena);
}

static void *no_memory(size_t bytes)
{
    (void)bytes;
    return NULL;
}

static void arena_tells_the_cap_from_a_system_without_memory(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 100);
    assert_null(arena_alloc(&arena, 101));
    assert_false(arena.starved);
    arena_set_source(no_memory);
    assert_null(arena_alloc(&arena, 50));
    assert_true(arena.starved);
    assert_null(arena_calloc(&arena, 3, 50));
    assert_false(arena.starved);
    arena_set_source(NULL);
    assert_non_null(arena_alloc(&arena, 50));
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_hands_out_exactly_the_cap),
        cmocka_unit_test(arena_refuses_one_byte_above_the_cap),
        cmocka_unit_test(arena_counts_alignment_against_the_cap),
        cmocka_unit_test(arena_gives_a_pointer_for_no_bytes),
        cmocka_unit_test(arena_calloc_zeroes_what_was_used_before),
        cmocka_unit_test(arena_calloc_refuses_a_product_that_overflows),
        cmocka_unit_test(arena_has_its_whole_cap_again_after_a_clear),
        cmocka_unit_test(arena_pieces_are_aligned_and_apart),
        cmocka_unit_test(arena_tells_the_cap_from_a_system_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* budget_test.c - the budget of connections' memory: what is counted, and its reserve. */
#include "rpc/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

static void count_press(void *context)
{
    ++*(unsigned *)context;
}

static void budget_counts_every_byte_that_was_allocated(void **state)
{
    (void)state;
    struct budget budget = {0};
    struct holder a = {.budget = &budget};
    struct holder b = {.budget = &budget};
    struct outbox outbox = {0};
    budget_init(&budget, 8 * MIB, true);
    struct chunk *small = chunk_make(1000, &a);
    struct chunk *large = chunk_make(MIB, &a);
    assert_true(outbox_reserve(&outbox, 5000, &b));
    assert_int_equal(atomic_load(&a.bytes), 1000 + MIB);
    assert_true(atomic_load(&b.bytes) >= 5000);
    assert_int_equal(atomic_load(&budget.used), atomic_load(&a.bytes) + atomic_load(&b.bytes));
    assert_true(outbox_reserve(&outbox, MIB, &b));
    assert_true(atomic_load(&b.bytes) >= MIB);
    outbox_clear(&outbox, &b); /* is not kept */
    assert_int_equal(atomic_load(&b.bytes), 0);
    chunk_put(small);
    assert_int_equal(atomic_load(&a.bytes), MIB);
    chunk_put(large);
    assert_int_equal(atomic_load(&budget.used), 0);
}

static void budget_keeps_a_reserve_that_long_pieces_do_not_get(void **state)
{
    (void)state;
    unsigned pressed = 0;
    struct budget budget = {0};
    struct holder holder = {.budget = &budget};
    budget_init(&budget, 8 * MIB, true);
    budget.press = count_press;
    budget.context = &pressed;
    struct chunk *most = chunk_make(8 * MIB, &holder);
    assert_non_null(most);
    assert_int_equal(pressed, 0); /* not more than is allowed */
    struct chunk *above = chunk_make(3 * MIB / 4, &holder);
    assert_non_null(above);
    assert_int_equal(pressed, 1);
    assert_null(chunk_make(CHUNK_BYTES_MAX + 1, &holder));
    assert_int_equal(atomic_load(&budget.wanted), CHUNK_BYTES_MAX + 1);
    assert_int_equal(pressed, 1); /* once, until the watchdog has looked */
    struct chunk *rest[4];
    for (int i = 0; i < 4; i++) {
        rest[i] = chunk_make(CHUNK_BYTES_MAX, &holder);
        assert_non_null(rest[i]);
    }
    assert_int_equal(atomic_load(&budget.used), 9 * MIB);
    assert_null(chunk_make(1, &holder)); /* never above the reserve */
    for (int i = 0; i < 4; i++) {
        chunk_put(rest[i]);
    }
    chunk_put(above);
    chunk_put(most);
    assert_int_equal(atomic_load(&budget.used), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budget_counts_every_byte_that_was_allocated),
        cmocka_unit_test(budget_keeps_a_reserve_that_long_pieces_do_not_get),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* orders_test.c - the order table: finding, bounds, removal, growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/orders.h"
#include "lib/rng.h"

static unsigned enter_slot; /* whose blocks new entries come from */

static uint32_t enter(struct orders *orders, struct id128 id)
{
    uint64_t hash = id_hash(id);
    struct order_shard *shard = orders_shard(orders, hash);
    spin_lock(&shard->spin);
    uint32_t handle = orders_enter(orders, enter_slot, shard, hash, id);
    spin_unlock(&shard->spin);
    return handle;
}

static uint32_t find(struct orders *orders, struct id128 id)
{
    uint64_t hash = id_hash(id);
    struct order_shard *shard = orders_shard(orders, hash);
    spin_lock(&shard->spin);
    uint32_t handle = orders_find(orders, shard, hash, id);
    spin_unlock(&shard->spin);
    return handle;
}

static void take_out(struct orders *orders, struct id128 id, uint32_t handle)
{
    uint64_t hash = id_hash(id);
    struct order_shard *shard = orders_shard(orders, hash);
    spin_lock(&shard->spin);
    orders_remove(orders, 0, shard, hash, handle);
    spin_unlock(&shard->spin);
}

static void orders_is_full_exactly_at_orders_max_when_small(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 255, 256, 257, 1000, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct orders orders;
        assert_int_equal(orders_init(&orders, sizes[s]), HF_OK);
        for (uint64_t i = 0; i < sizes[s]; i++) {
            assert_int_not_equal(enter(&orders, (struct id128){i, 1}), ORDER_NO_HANDLE);
        }
        assert_int_equal(enter(&orders, (struct id128){sizes[s], 1}), ORDER_NO_HANDLE);
        take_out(&orders, (struct id128){0, 1}, find(&orders, (struct id128){0, 1}));
        assert_int_not_equal(enter(&orders, (struct id128){sizes[s], 1}), ORDER_NO_HANDLE);
        assert_int_equal(enter(&orders, (struct id128){0, 1}), ORDER_NO_HANDLE);
        orders_deinit(&orders);
    }
}

/* Fills a table with many shards from all slots in turn: the last entries lie in the blocks of
 * slots that draw no more. `ready`: for so many orders it has memory before. */
static void fill_sharded(uint64_t max, uint64_t ready)
{
    struct orders orders;
    assert_int_equal(orders_init(&orders, max), HF_OK);
    assert_true(orders.shard_count > 1);
    orders_make_ready(&orders, ready);
    uint64_t entered = 0;
    while (enter(&orders, (struct id128){entered, 1}) != ORDER_NO_HANDLE) {
        entered++;
        enter_slot = (unsigned)(entered % THREADS_MAX);
    }
    enter_slot = 0;
    assert_int_equal(entered, max);
    for (uint64_t i = 0; i < entered; i++) {
        uint32_t handle = find(&orders, (struct id128){i, 1});
        assert_int_not_equal(handle, ORDER_NO_HANDLE);
        assert_true(id_equal(orders_at(&orders, handle)->id, (struct id128){i, 1}));
        assert_ptr_equal(orders_shard_of(&orders, handle),
                         orders_shard(&orders, id_hash((struct id128){i, 1})));
    }
    orders_deinit(&orders);
}

static void orders_is_full_exactly_at_orders_max_when_sharded(void **state)
{
    (void)state;
    fill_sharded(400000, 0);
    fill_sharded(400000, 1);
    fill_sharded(400000, 100000);
    fill_sharded(400001, UINT64_MAX);
}

static void orders_enters_an_empty_busy_order(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 10), HF_OK);
    uint32_t handle = enter(&orders, (struct id128){5, 6});
    const struct order *order = orders_at(&orders, handle);
    assert_int_equal(order->state, ORDER_NONE);
    assert_int_equal(order->flags, ORDER_BUSY);
    assert_int_equal(order->line_count, 0);
    assert_int_equal((uintptr_t)order % CACHE_LINE_BYTES, 0);
    assert_int_equal(find(&orders, (struct id128){6, 5}), ORDER_NO_HANDLE);
    orders_deinit(&orders);
}

/* Against an array: ids come and go in a table whose index is often nearly full. */
static void orders_finds_what_is_there_after_random_removals(void **state)
{
    (void)state;
    enum { IDS = 3000 };
    uint64_t seed = rng_seed_from_env(1);
    struct rng rng;
    rng_init(&rng, seed);
    struct orders orders;
    assert_int_equal(orders_init(&orders, 2000), HF_OK);
    static uint32_t handles[IDS];
    uint32_t present = 0;
    for (uint32_t i = 0; i < IDS; i++) {
        handles[i] = ORDER_NO_HANDLE;
    }
    for (uint32_t step = 0; step < 200000; step++) {
        uint32_t i = (uint32_t)rng_below(&rng, IDS);
        struct id128 id = {7, i};
        if (find(&orders, id) != handles[i]) {
            fail_msg("id %u: wrong handle in step %u; SEED=%llu", i, step,
                     (unsigned long long)seed);
        }
        if (handles[i] != ORDER_NO_HANDLE) {
            take_out(&orders, id, handles[i]);
            handles[i] = ORDER_NO_HANDLE;
            present--;
        } else {
            handles[i] = enter(&orders, id);
            assert_true((handles[i] == ORDER_NO_HANDLE) == (present == 2000));
            present += handles[i] != ORDER_NO_HANDLE;
        }
    }
    orders_deinit(&orders);
}

static void count_visit(void *context, uint32_t handle, const struct order *order)
{
    (void)handle;
    uint64_t *sums = context;
    sums[0]++;
    sums[1] += order->id.hi;
}

static void orders_visit_sees_each_once(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 100000), HF_OK);
    for (uint64_t i = 1; i <= 50000; i++) {
        assert_int_not_equal(enter(&orders, (struct id128){i, 0}), ORDER_NO_HANDLE);
    }
    uint64_t sums[2] = {0};
    orders_visit(&orders, count_visit, sums);
    assert_int_equal(sums[0], 50000);
    assert_int_equal(sums[1], 50000ull * 50001 / 2);
    orders_prefetch(&orders, 12345);
    orders_deinit(&orders);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_is_full_exactly_at_orders_max_when_small),
        cmocka_unit_test(orders_is_full_exactly_at_orders_max_when_sharded),
        cmocka_unit_test(orders_enters_an_empty_busy_order),
        cmocka_unit_test(orders_finds_what_is_there_after_random_removals),
        cmocka_unit_test(orders_visit_sees_each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

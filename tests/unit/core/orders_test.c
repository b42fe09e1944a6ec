/* orders_test.c - the order table: finding, bounds, removal, growth, walking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/pages.h"
#include "core/orders.h"
#include "lib/rng.h"

#ifdef HOLDFAST_SANITIZED
#define FEWER 4u
#else
#define FEWER 1u
#endif

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
    fill_sharded(400000 / FEWER, 0);
    fill_sharded(400000 / FEWER, 1);
    fill_sharded(400000 / FEWER, 100000 / FEWER);
    fill_sharded(400000 / FEWER + 1, UINT64_MAX);
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

/* Forgetting is one slot's work: what it frees serves the others before new entries do. */
static void orders_uses_what_another_slot_has_freed_first(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 100000), HF_OK);
    uint32_t greatest = 0;
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < 1000; i++) {
            struct id128 id = {round, i};
            uint64_t hash = id_hash(id);
            struct order_shard *shard = orders_shard(&orders, hash);
            uint32_t handle = orders_enter(&orders, round % 3, shard, hash, id);
            assert_int_not_equal(handle, ORDER_NO_HANDLE);
            greatest = handle > greatest ? handle : greatest;
        }
        for (uint32_t i = 0; i < 1000; i++) {
            struct id128 id = {round, i};
            uint64_t hash = id_hash(id);
            struct order_shard *shard = orders_shard(&orders, hash);
            uint32_t handle = orders_find(&orders, shard, hash, id);
            orders_remove(&orders, 9, shard, hash, handle);
        }
    }
    /* 1000 at once, and what is left of a block in each of three slots. */
    assert_true(greatest < 1000 + 3 * ORDERS_BLOCK);
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
    orders_prefetch(&orders, 12345);
    orders_prefetch_entry(&orders, 12345); /* no index yet */
    for (uint64_t i = 1; i <= 50000; i++) {
        assert_int_not_equal(enter(&orders, (struct id128){i, 0}), ORDER_NO_HANDLE);
    }
    uint64_t sums[2] = {0};
    orders_visit(&orders, count_visit, sums);
    assert_int_equal(sums[0], 50000);
    assert_int_equal(sums[1], 50000ull * 50001 / 2);
    orders_deinit(&orders);
}

/* Ids that all fall into one shard: it takes twice its share and more, then is full for itself. */
static void orders_takes_a_crowd_in_one_shard(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 70000), HF_OK);
    const uint64_t share = 70000 / orders.shard_count;
    struct order_shard *shard = orders_shard(&orders, 0);
    uint64_t entered = 0;
    struct id128 first = {0};
    for (uint64_t i = 0;; i++) {
        struct id128 id = {3, i};
        uint64_t hash = id_hash(id) & UINT32_MAX; /* the first shard's */
        if (orders_enter(&orders, 0, shard, hash, id) == ORDER_NO_HANDLE) {
            break;
        }
        first = entered == 0 ? id : first;
        entered++;
    }
    assert_in_range(entered, share * 2, share * 3);
    uint64_t hash = id_hash(first) & UINT32_MAX;
    orders_remove(&orders, 0, shard, hash, orders_find(&orders, shard, hash, first));
    assert_int_equal(orders_find(&orders, shard, hash, first), ORDER_NO_HANDLE);
    assert_int_not_equal(orders_enter(&orders, 0, shard, hash, first), ORDER_NO_HANDLE);
    uint64_t others = UINT64_MAX;
    assert_int_not_equal(
        orders_enter(&orders, 0, orders_shard(&orders, others), others, (struct id128){4, 4}),
        ORDER_NO_HANDLE);
    orders_deinit(&orders);
}

/* ---- Walking ---- */

enum { WALK_IDS = 30000, EVERYTHING = 1 << 30 };

/* Enters a published order; id.lo: its number. `hash` need not be the id's. */
static uint32_t publish_hashed(struct orders *orders, uint32_t number, uint64_t hash)
{
    struct order_shard *shard = orders_shard(orders, hash);
    spin_lock(&shard->spin);
    uint32_t handle = orders_enter(orders, 0, shard, hash, (struct id128){1, number});
    if (handle != ORDER_NO_HANDLE) {
        orders_at(orders, handle)->state = ORDER_HELD;
        orders_at(orders, handle)->flags = 0;
    }
    spin_unlock(&shard->spin);
    return handle;
}

static uint32_t publish(struct orders *orders, uint32_t number)
{
    return publish_hashed(orders, number, id_hash((struct id128){1, number}));
}

static void forget(struct orders *orders, uint32_t number, uint32_t handle)
{
    uint64_t hash = id_hash((struct id128){1, number});
    struct order_shard *shard = orders_shard(orders, hash);
    spin_lock(&shard->spin);
    orders_at(orders, handle)->state = ORDER_NONE;
    orders_remove(orders, 0, shard, hash, handle);
    spin_unlock(&shard->spin);
}

/* What a walk has seen. */
struct seen {
    struct orders *orders;
    uint16_t times[WALK_IDS];
    uint32_t count;
    uint32_t refuse_after; /* so many visits until one is refused */
    bool remove;
};

static bool see(void *context, struct order_shard *shard, uint32_t handle, struct order *order)
{
    struct seen *seen = context;
    assert_true(atomic_load(&shard->spin.locked));
    assert_ptr_equal(order, orders_at(seen->orders, handle));
    assert_int_not_equal(order->state, ORDER_NONE);
    assert_in_range(order->id.lo, 0, WALK_IDS - 1);
    if (seen->refuse_after == 0) {
        return false;
    }
    seen->refuse_after--;
    seen->times[order->id.lo]++;
    seen->count++;
    if (seen->remove) {
        uint64_t hash = id_hash(order->id);
        order->state = ORDER_NONE;
        orders_remove(seen->orders, 0, shard, hash, handle);
    }
    return true;
}

static struct seen *look_from_the_start(struct orders *orders)
{
    static struct seen seen;
    memset(&seen, 0, sizeof seen);
    seen.orders = orders;
    seen.refuse_after = UINT32_MAX;
    return &seen;
}

/* Walks to the end, look_max at a time. */
static void walk_all(struct orders *orders, struct seen *seen, uint32_t look_max)
{
    struct order_cursor cursor = {0};
    uint32_t looked = 0;
    while (!cursor.done) {
        uint32_t before = seen->count;
        uint32_t now = orders_walk(orders, &cursor, look_max, see, seen);
        assert_in_range(now, seen->count - before, look_max);
        assert_true(now > 0 || cursor.done);
        looked += now;
    }
    assert_true(looked >= seen->count);
    assert_int_equal(orders_walk(orders, &cursor, look_max, see, seen), 0);
}

static void assert_each_seen_once(const struct seen *seen, uint32_t count)
{
    assert_int_equal(seen->count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(seen->times[i], 1);
    }
}

/* Tables of few slots, full: clusters wrap around. And a sharded one. */
static void orders_walk_sees_each_once(void **state)
{
    (void)state;
    static const struct {
        uint64_t max;
        uint32_t count;
    } tables[] = {{1, 0},      {1, 1},        {10, 10},          {51, 51},     {52, 52},
                  {64, 64},    {100, 99},     {700, 700},        {5000, 5000}, {400000, 0},
                  {400000, 1}, {400000, 300}, {400000, WALK_IDS}};
    static const uint32_t steps[] = {1, 7, 64, EVERYTHING};
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        struct orders orders;
        assert_int_equal(orders_init(&orders, tables[t].max), HF_OK);
        for (uint32_t i = 0; i < tables[t].count; i++) {
            assert_int_not_equal(publish(&orders, i), ORDER_NO_HANDLE);
        }
        for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
            struct seen *seen = look_from_the_start(&orders);
            walk_all(&orders, seen, steps[s]);
            assert_each_seen_once(seen, tables[t].count);
        }
        orders_deinit(&orders);
    }
}

static void orders_walk_leaves_out_what_is_not_published(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 1000), HF_OK);
    for (uint32_t i = 0; i < 400; i++) {
        assert_int_not_equal(publish(&orders, i), ORDER_NO_HANDLE);
        assert_int_not_equal(enter(&orders, (struct id128){2, i}), ORDER_NO_HANDLE);
    }
    struct seen *seen = look_from_the_start(&orders);
    walk_all(&orders, seen, 10);
    assert_each_seen_once(seen, 400);
    orders_deinit(&orders);
}

static void orders_walk_begins_with_the_order_that_was_refused(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 1000), HF_OK);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_not_equal(publish(&orders, i), ORDER_NO_HANDLE);
    }
    struct seen *seen = look_from_the_start(&orders);
    struct order_cursor cursor = {0};
    for (uint32_t i = 0; i < 2000; i++) {
        assert_false(cursor.done);
        seen->refuse_after = i % 3;
        uint32_t before = seen->count;
        uint32_t looked = orders_walk(&orders, &cursor, EVERYTHING, see, seen);
        assert_int_equal(looked, seen->count - before);
        if (cursor.done) {
            break;
        }
        assert_int_equal(looked, i % 3);
    }
    assert_true(cursor.done);
    assert_each_seen_once(seen, 1000);
    orders_deinit(&orders);
}

/* More orders of one tag than a step can hold, amid others; and of the last tag, whose slots wrap.
 */
static void orders_walk_sees_each_once_when_tags_are_equal(void **state)
{
    (void)state;
    static const uint32_t tags[] = {0, 1, 0x80000000u, 0xfffffffeu, 0xffffffffu};
    static const uint32_t steps[] = {1, 5, 128, 129, EVERYTHING};
    for (size_t t = 0; t < sizeof tags / sizeof tags[0]; t++) {
        struct orders orders;
        assert_int_equal(orders_init(&orders, 700), HF_OK);
        assert_int_equal(orders.shard_count, 1);
        for (uint32_t i = 0; i < 700; i++) {
            uint64_t hash = i % 2 ? tags[t] : id_hash((struct id128){1, i});
            assert_int_not_equal(publish_hashed(&orders, i, hash), ORDER_NO_HANDLE);
        }
        for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
            struct seen *seen = look_from_the_start(&orders);
            walk_all(&orders, seen, steps[s]);
            assert_each_seen_once(seen, 700);
        }
        orders_deinit(&orders);
    }
}

static void orders_walk_takes_any_cursor(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 400000), HF_OK);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_not_equal(publish(&orders, i), ORDER_NO_HANDLE);
    }
    static const uint32_t numbers[] = {0, 1, 15, 16, 17, 1023, 1024, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < 9; i++) {
        for (size_t k = 0; k < 9; k++) {
            struct seen *seen = look_from_the_start(&orders);
            struct order_cursor cursor = {.shard = numbers[i], .tag = numbers[k]};
            while (!cursor.done) {
                orders_walk(&orders, &cursor, 100, see, seen);
            }
            assert_true(seen->count <= 1000);
        }
    }
    struct order_cursor at_the_start = {0};
    assert_int_equal(orders_walk(&orders, &at_the_start, 0, see, NULL), 0);
    assert_false(at_the_start.done);
    orders_deinit(&orders);
}

/* ---- Growing in steps ---- */

static bool growing(const struct order_shard *shard)
{
    return atomic_load(&shard->left.slots) != NULL;
}

enum { GROW_IDS = 4000 };

struct grown {
    struct orders orders;
    struct rng rng;
    uint64_t seed;
    uint32_t handles[GROW_IDS];
    uint32_t present;
    uint32_t crowd; /* so many tags only, so that long runs of slots come about; 0: all tags */
};

/* Tags of the last home and the first, so that slots wrap around; or any. */
static uint64_t grown_hash(const struct grown *grown, uint32_t i)
{
    uint64_t hash = id_hash((struct id128){5, i}) & UINT32_MAX;
    if (grown->crowd == 0 || i % 2) {
        return hash;
    }
    return (uint32_t)(hash % grown->crowd - grown->crowd / 2) * 0x10000u & UINT32_MAX;
}

static void grown_change(struct grown *grown, uint32_t i)
{
    struct id128 id = {5, i};
    uint64_t hash = grown_hash(grown, i);
    struct order_shard *shard = &grown->orders.shards[0];
    if (grown->handles[i] == ORDER_NO_HANDLE) {
        grown->handles[i] = orders_enter(&grown->orders, 0, shard, hash, id);
        assert_int_not_equal(grown->handles[i], ORDER_NO_HANDLE);
        grown->present++;
    } else {
        orders_remove(&grown->orders, 0, shard, hash, grown->handles[i]);
        grown->handles[i] = ORDER_NO_HANDLE;
        grown->present--;
    }
}

static void count_handle(void *context, uint32_t handle, const struct order *order)
{
    struct grown *grown = context;
    assert_int_equal(grown->handles[order->id.lo], handle);
    grown->present--;
}

/* Everything that is there is found, nothing else, and a visit sees each once. */
static void grown_check(struct grown *grown)
{
    const struct order_shard *shard = &grown->orders.shards[0];
    for (uint32_t i = 0; i < GROW_IDS; i++) {
        uint32_t found =
            orders_find(&grown->orders, shard, grown_hash(grown, i), (struct id128){5, i});
        if (found != grown->handles[i]) {
            fail_msg("id %u: handle %u, not %u; SEED=%llu", i, found, grown->handles[i],
                     (unsigned long long)grown->seed);
        }
    }
    uint32_t present = grown->present;
    orders_visit(&grown->orders, count_handle, grown);
    assert_int_equal(grown->present, 0);
    grown->present = present;
    assert_int_equal(shard->used, present);
}

static void grow_with_changes(struct grown *grown)
{
    memset(grown->handles, 0xff, sizeof grown->handles);
    grown->present = 0;
    assert_int_equal(orders_init(&grown->orders, GROW_IDS), HF_OK);
    assert_int_equal(grown->orders.shard_count, 1);
    const struct order_shard *shard = &grown->orders.shards[0];
    uint32_t checked = 0;
    unsigned growths = 0;
    bool before = false;
    for (uint32_t step = 0; step < 40000; step++) {
        uint32_t i = (uint32_t)rng_below(&grown->rng, GROW_IDS);
        /* More is entered than removed until the table is nearly full. */
        if (grown->handles[i] == ORDER_NO_HANDLE || rng_chance(&grown->rng, 3)) {
            grown_change(grown, i);
        }
        growths += growing(shard) && !before;
        before = growing(shard);
        if (before || step % 1000 == 0) {
            grown_check(grown);
            checked += before;
        }
    }
    assert_true(growths >= 3);
    assert_true(checked >= 30 * growths); /* a growth takes many steps */
    grown_check(grown);
    orders_deinit(&grown->orders);
}

static void orders_are_all_found_whenever_their_shard_grows(void **state)
{
    (void)state;
    static struct grown grown;
    grown.seed = rng_seed_from_env(11);
    print_message("SEED=%llu\n", (unsigned long long)grown.seed);
    rng_init(&grown.rng, grown.seed);
    static const uint32_t crowds[] = {0, 2, 40};
    for (size_t i = 0; i < sizeof crowds / sizeof crowds[0]; i++) {
        grown.crowd = crowds[i];
        grow_with_changes(&grown);
    }
}

/* Publishes orders from number 0 on, `least` or more, until the only shard grows. Returns how many.
 */
static uint32_t enter_until_growing(struct orders *orders, uint32_t least)
{
    uint32_t entered = 0;
    while (entered < least || !growing(&orders->shards[0])) {
        assert_int_not_equal(publish(orders, entered), ORDER_NO_HANDLE);
        entered++;
    }
    return entered;
}

/* One operation moves a bounded number of slots, and the growth ends long before the next. */
static void orders_move_a_few_slots_an_operation(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 20000), HF_OK);
    assert_int_equal(orders.shard_count, 1);
    const struct order_shard *shard = &orders.shards[0];
    uint32_t entered = enter_until_growing(&orders, 5000);
    uint32_t before = entered;
    uint32_t capacity = table_left_ring(&shard->left).end;
    uint32_t moved = table_left_ring(&shard->left).first;
    assert_in_range(moved, 1, TABLE_MOVE_SLOTS);
    while (growing(shard)) {
        assert_int_not_equal(publish(&orders, entered++), ORDER_NO_HANDLE);
        if (growing(shard)) {
            uint32_t now = table_left_ring(&shard->left).first;
            assert_in_range(now, moved + 1, moved + TABLE_MOVE_SLOTS);
            moved = now;
        }
    }
    assert_in_range(entered - before, capacity / TABLE_MOVE_SLOTS - 1, capacity / 10);
    orders_deinit(&orders);
}

/* Removing moves slots, too: a table that only shrinks gets rid of its former index. */
static void orders_end_growing_when_only_removed(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 20000), HF_OK);
    uint32_t entered = enter_until_growing(&orders, 5000);
    for (uint32_t i = 0; i < entered / 2; i++) {
        struct id128 id = {1, i};
        orders_at(&orders, find(&orders, id))->state = ORDER_NONE;
        take_out(&orders, id, find(&orders, id));
    }
    assert_false(growing(&orders.shards[0]));
    for (uint32_t i = 0; i < entered; i++) {
        assert_int_equal(find(&orders, (struct id128){1, i}) == ORDER_NO_HANDLE, i < entered / 2);
    }
    orders_deinit(&orders);
}

/* Entries run out while a shard grows: nothing is lost, and what is freed can be used. */
static void orders_may_be_full_while_growing(void **state)
{
    (void)state;
    struct orders probe;
    assert_int_equal(orders_init(&probe, 20000), HF_OK);
    uint32_t entered = enter_until_growing(&probe, 2000);
    orders_deinit(&probe);
    /* Sizes are planned by orders_max, but all but the last two do not depend on it. */
    struct orders orders;
    assert_int_equal(orders_init(&orders, 20000), HF_OK);
    orders.orders_max = entered + 5;
    orders.block_count = (orders.orders_max + ORDERS_BLOCK - 1) / ORDERS_BLOCK;
    for (uint32_t i = 0; i < entered + 5; i++) {
        assert_int_not_equal(enter(&orders, (struct id128){1, i}), ORDER_NO_HANDLE);
    }
    assert_true(growing(&orders.shards[0]));
    for (uint32_t round = 0; round < 1000; round++) {
        assert_int_equal(enter(&orders, (struct id128){2, round}), ORDER_NO_HANDLE);
    }
    for (uint32_t i = 0; i < entered + 5; i++) {
        uint32_t handle = find(&orders, (struct id128){1, i});
        assert_int_not_equal(handle, ORDER_NO_HANDLE);
        take_out(&orders, (struct id128){1, i}, handle);
        assert_int_not_equal(enter(&orders, (struct id128){3, i}), ORDER_NO_HANDLE);
        assert_int_equal(find(&orders, (struct id128){1, i}), ORDER_NO_HANDLE);
    }
    orders_deinit(&orders);
}

/* A walk in the middle of a growth sees what is in the new index and what is left in the former
 * one, in pieces of any size, and goes on where it stopped after more has moved. */
static void orders_walk_sees_each_once_while_growing(void **state)
{
    (void)state;
    static const uint32_t steps[] = {1, 7, 64, 1000, EVERYTHING};
    struct orders orders;
    assert_int_equal(orders_init(&orders, 20000), HF_OK);
    uint32_t entered = enter_until_growing(&orders, 5000);
    while (growing(&orders.shards[0])) {
        for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
            struct seen *seen = look_from_the_start(&orders);
            walk_all(&orders, seen, steps[s]);
            assert_each_seen_once(seen, entered);
        }
        for (uint32_t i = 0; i < 60; i++) {
            assert_int_not_equal(publish(&orders, entered++), ORDER_NO_HANDLE);
        }
    }
    orders_deinit(&orders);
    assert_int_equal(orders_init(&orders, 20000), HF_OK);
    entered = enter_until_growing(&orders, 5000);
    struct seen *seen = look_from_the_start(&orders);
    struct order_cursor cursor = {0};
    uint32_t others = 0;
    while (!cursor.done) {
        (void)orders_walk(&orders, &cursor, 50, see, seen);
        for (uint32_t i = 0; i < 5; i++) {
            assert_int_not_equal(enter(&orders, (struct id128){9, others++}), ORDER_NO_HANDLE);
        }
    }
    assert_false(growing(&orders.shards[0]));
    assert_each_seen_once(seen, entered);
    orders_deinit(&orders);
}

static uint64_t entries_in_memory(const struct orders *orders)
{
    uint64_t pages = orders->entries_bytes / PAGE_BYTES;
    unsigned char *in = malloc(pages);
    uint64_t count = 0;
    assert_int_equal(mincore(orders->entries, pages * PAGE_BYTES, in), 0);
    for (uint64_t i = 0; i < pages; i++) {
        count += in[i] & 1;
    }
    free(in);
    return count * (PAGE_BYTES / sizeof(struct order));
}

static void orders_that_were_expected_need_no_greater_index(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 400000), HF_OK);
    orders_expect(&orders, 200000);
    assert_int_equal(entries_in_memory(&orders), 0);
    uint32_t capacity = atomic_load(&orders.shards[0].capacity);
    assert_true(capacity > 0);
    for (uint64_t i = 0; i < 200000; i++) {
        assert_int_not_equal(enter(&orders, (struct id128){i, 2}), ORDER_NO_HANDLE);
    }
    for (uint32_t i = 0; i < orders.shard_count; i++) {
        assert_int_equal(atomic_load(&orders.shards[i].capacity), capacity);
    }
    assert_false(orders_tidy(&orders));
    orders_deinit(&orders);
}

static void orders_populates_so_many_in_parts(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 400000), HF_OK);
    orders_populate(&orders, 0, 0, 1);
    assert_int_equal(entries_in_memory(&orders), 0);
    orders_populate(&orders, 200001, 1, 2);
    assert_true(entries_in_memory(&orders) >= 100000);
    orders_populate(&orders, 200001, 0, 2);
    assert_true(entries_in_memory(&orders) >= 200001);
    orders_populate(&orders, 500000, 0, 1); /* all there is room for */
    assert_true(entries_in_memory(&orders) >= 400000);
    orders_deinit(&orders);
}

/* A table that has been emptied costs a bounded step, too. */
static void orders_walk_counts_empty_steps(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 400000), HF_OK);
    orders_make_ready(&orders, 400000);
    assert_int_not_equal(publish(&orders, 1), ORDER_NO_HANDLE);
    struct seen *seen = look_from_the_start(&orders);
    struct order_cursor cursor = {0};
    assert_int_equal(orders_walk(&orders, &cursor, 3, see, seen), 3);
    assert_false(cursor.done);
    while (!cursor.done) {
        orders_walk(&orders, &cursor, 3, see, seen);
    }
    assert_int_equal(seen->count, 1);
    orders_deinit(&orders);
}

static void orders_walk_may_remove_what_it_sees(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 20000), HF_OK);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 20000; i++) {
            assert_int_not_equal(publish(&orders, i), ORDER_NO_HANDLE);
        }
        struct seen *seen = look_from_the_start(&orders);
        seen->remove = true;
        walk_all(&orders, seen, 100);
        assert_each_seen_once(seen, 20000);
        seen = look_from_the_start(&orders);
        walk_all(&orders, seen, 100);
        assert_int_equal(seen->count, 0);
    }
    orders_deinit(&orders);
}

/* Orders come and go between the steps, and indexes grow: those that stay are seen once, no order
 * that stays away is seen. */
static void orders_walk_sees_what_stays_once_while_others_come_and_go(void **state)
{
    (void)state;
    uint64_t seed = rng_seed_from_env(3);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed);
    static uint32_t handles[WALK_IDS];
    for (uint32_t round = 0; round < 20 / FEWER; round++) {
        const uint32_t ids = (uint32_t)rng_between(&rng, 100, WALK_IDS);
        const uint32_t stay = ids / 3;
        struct orders orders;
        assert_int_equal(orders_init(&orders, rng_chance(&rng, 2) ? ids : 400000), HF_OK);
        memset(handles, 0xff, sizeof handles);
        for (uint32_t i = 0; i < stay; i++) {
            handles[i] = publish(&orders, i);
        }
        struct seen *seen = look_from_the_start(&orders);
        struct order_cursor cursor = {0};
        while (!cursor.done) {
            seen->refuse_after = (uint32_t)rng_below(&rng, 300);
            orders_walk(&orders, &cursor, (uint32_t)rng_between(&rng, 1, 300), see, seen);
            for (uint32_t k = 0; k < 200; k++) {
                uint32_t i = (uint32_t)rng_between(&rng, stay, ids - 1);
                if (handles[i] == ORDER_NO_HANDLE) {
                    handles[i] = publish(&orders, i);
                } else if (rng_chance(&rng, 3)) {
                    forget(&orders, i, handles[i]);
                    handles[i] = ORDER_NO_HANDLE;
                }
            }
            (void)orders_tidy(&orders);
        }
        for (uint32_t i = 0; i < stay; i++) {
            assert_int_equal(seen->times[i], 1);
        }
        orders_deinit(&orders);
    }
}

static void orders_tidies_what_it_grew_out_of(void **state)
{
    (void)state;
    struct orders orders;
    assert_int_equal(orders_init(&orders, 400000), HF_OK);
    assert_false(orders_tidy(&orders));
    for (uint64_t i = 0; i < 100000; i++) {
        assert_int_not_equal(enter(&orders, (struct id128){i, 1}), ORDER_NO_HANDLE);
    }
    unsigned calls = 0;
    while (orders_tidy(&orders)) {
        calls++;
    }
    assert_true(calls > 1);
    assert_int_equal(orders.table.tidied, atomic_load(&orders.table.left));
    assert_false(orders_tidy(&orders));
    for (uint64_t i = 0; i < 100000; i++) {
        assert_int_not_equal(find(&orders, (struct id128){i, 1}), ORDER_NO_HANDLE);
    }
    orders_deinit(&orders);
}

/* ---- Walking beside entering ---- */

enum { STAY = 10000, COME_AND_GO = 20000, ENTERERS = 3 };

struct beside {
    struct orders orders;
    _Atomic uint32_t running;
};

struct enterer {
    struct beside *beside;
    unsigned slot;
    pthread_t thread;
};

static void *enter_and_forget(void *argument)
{
    struct enterer *enterer = argument;
    struct orders *orders = &enterer->beside->orders;
    for (uint32_t i = 0; i < COME_AND_GO; i++) {
        struct id128 id = {2 + enterer->slot, i};
        uint64_t hash = id_hash(id);
        struct order_shard *shard = orders_shard(orders, hash);
        spin_lock(&shard->spin);
        uint32_t handle = orders_enter(orders, enterer->slot, shard, hash, id);
        spin_unlock(&shard->spin);
        spin_lock(&shard->spin);
        orders_at(orders, handle)->state = ORDER_HELD;
        if (i % 4 == 0) {
            orders_at(orders, handle)->state = ORDER_NONE;
            orders_remove(orders, enterer->slot, shard, hash, handle);
        }
        spin_unlock(&shard->spin);
    }
    atomic_fetch_sub(&enterer->beside->running, 1);
    return NULL;
}

static bool count_staying(void *context, struct order_shard *shard, uint32_t handle,
                          struct order *order)
{
    (void)shard;
    (void)handle;
    uint16_t *times = context;
    if (order->id.hi == 1) {
        times[order->id.lo]++;
    }
    return true;
}

static void orders_walk_sees_what_stays_once_beside_threads_that_enter(void **state)
{
    (void)state;
    static struct beside beside;
    static struct enterer enterers[ENTERERS];
    static uint16_t times[STAY];
    assert_int_equal(orders_init(&beside.orders, 400000), HF_OK);
    for (uint32_t i = 0; i < STAY; i++) {
        assert_int_not_equal(publish(&beside.orders, i), ORDER_NO_HANDLE);
    }
    atomic_store(&beside.running, ENTERERS);
    for (unsigned i = 0; i < ENTERERS; i++) {
        enterers[i] = (struct enterer){.beside = &beside, .slot = i + 1};
        assert_int_equal(pthread_create(&enterers[i].thread, NULL, enter_and_forget, &enterers[i]),
                         0);
    }
    unsigned walks = 0;
    do {
        memset(times, 0, sizeof times);
        struct order_cursor cursor = {0};
        while (!cursor.done) {
            orders_walk(&beside.orders, &cursor, 1000, count_staying, times);
            (void)orders_tidy(&beside.orders);
        }
        /* Hints read the index without a lock, while it grows and is given back. */
        for (uint32_t i = 0; i < STAY; i++) {
            orders_prefetch(&beside.orders, id_hash((struct id128){1, i}));
            orders_prefetch_entry(&beside.orders, id_hash((struct id128){2, i}));
        }
        for (uint32_t i = 0; i < STAY; i++) {
            assert_int_equal(times[i], 1);
        }
        walks++;
    } while (atomic_load(&beside.running) > 0);
    for (unsigned i = 0; i < ENTERERS; i++) {
        assert_int_equal(pthread_join(enterers[i].thread, NULL), 0);
    }
    assert_true(walks >= 1);
    orders_deinit(&beside.orders);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_is_full_exactly_at_orders_max_when_small),
        cmocka_unit_test(orders_is_full_exactly_at_orders_max_when_sharded),
        cmocka_unit_test(orders_enters_an_empty_busy_order),
        cmocka_unit_test(orders_finds_what_is_there_after_random_removals),
        cmocka_unit_test(orders_uses_what_another_slot_has_freed_first),
        cmocka_unit_test(orders_visit_sees_each_once),
        cmocka_unit_test(orders_takes_a_crowd_in_one_shard),
        cmocka_unit_test(orders_walk_sees_each_once),
        cmocka_unit_test(orders_walk_leaves_out_what_is_not_published),
        cmocka_unit_test(orders_walk_begins_with_the_order_that_was_refused),
        cmocka_unit_test(orders_walk_sees_each_once_when_tags_are_equal),
        cmocka_unit_test(orders_walk_takes_any_cursor),
        cmocka_unit_test(orders_are_all_found_whenever_their_shard_grows),
        cmocka_unit_test(orders_move_a_few_slots_an_operation),
        cmocka_unit_test(orders_end_growing_when_only_removed),
        cmocka_unit_test(orders_may_be_full_while_growing),
        cmocka_unit_test(orders_walk_sees_each_once_while_growing),
        cmocka_unit_test(orders_that_were_expected_need_no_greater_index),
        cmocka_unit_test(orders_populates_so_many_in_parts),
        cmocka_unit_test(orders_walk_counts_empty_steps),
        cmocka_unit_test(orders_walk_may_remove_what_it_sees),
        cmocka_unit_test(orders_walk_sees_what_stays_once_while_others_come_and_go),
        cmocka_unit_test(orders_tidies_what_it_grew_out_of),
        cmocka_unit_test(orders_walk_sees_what_stays_once_beside_threads_that_enter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

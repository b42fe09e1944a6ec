/* table_test.c - the planned sizes of an index: bounds, zeros, growing in steps, and giving memory
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "base/pages.h"
#include "core/table.h"

static void table_chooses_shards_for_16384_entries_each(void **state)
{
    (void)state;
    assert_int_equal(table_shards_for(1), 1);
    assert_int_equal(table_shards_for(2 * 16384 - 1), 1);
    assert_int_equal(table_shards_for(2 * 16384), 2);
    assert_int_equal(table_shards_for(1024 * 16384 - 1), 512);
    assert_int_equal(table_shards_for(1024 * 16384), 1024);
    assert_int_equal(table_shards_for(ORDERS_MAX), 1024);
}

static void table_has_a_slot_up_to_four_fifths(void **state)
{
    (void)state;
    assert_false(table_has_slot(0, 0));
    assert_true(table_has_slot(79, 100));
    assert_false(table_has_slot(80, 100));
    assert_true(table_has_last_slot(92, 100));
    assert_false(table_has_last_slot(93, 100));
    assert_false(table_has_last_slot(0, 0));
}

static void table_homes_spread_over_the_capacity(void **state)
{
    (void)state;
    assert_int_equal(table_home(0, 100), 0);
    assert_int_equal(table_home(UINT32_MAX, 100), 99);
    assert_int_equal(table_home(0x80000000u, 100), 50);
    assert_int_equal(table_home(0x7fffffffu, 100), 49);
}

/* Takes the shard's next index and reports at once that everything has moved there. */
static uint8_t *grow_at_once(struct table *table, uint32_t shard, uint32_t *capacity)
{
    struct table_left left = {.slots = NULL};
    uint32_t next;
    uint8_t *index = table_next(table, shard, &next);
    if (!index) {
        return NULL;
    }
    table_left_begin(table, shard, &left, table_index(table, shard), *capacity);
    while (atomic_load(&left.slots)) {
        table_left_moved(table, shard, &left, table_left_step(&left));
    }
    *capacity = next;
    return index;
}

/* Each size is greater, all zero and apart from the others; the last has twice a full table's room.
 */
static void grow_to_the_end(uint64_t entries_max, uint32_t growth, uint32_t slot_bytes)
{
    struct table table;
    const struct table_plan plan = {.slot_bytes = slot_bytes,
                                    .shard_count = table_shards_for(entries_max),
                                    .entries_max = entries_max,
                                    .growth = growth};
    assert_int_equal(table_init(&table, &plan), HF_OK);
    uint32_t shard = plan.shard_count - 1;
    uint32_t capacity = 0;
    uint32_t before = 0;
    uint8_t *index;
    assert_null(table_index(&table, shard));
    while ((index = grow_at_once(&table, shard, &capacity)) != NULL) {
        assert_true(capacity > before);
        assert_true(capacity - before >= before / 8);
        for (uint64_t i = 0; i < (uint64_t)capacity * slot_bytes; i++) {
            if (index[i] != 0) {
                fail_msg("byte %llu is not zero", (unsigned long long)i);
            }
        }
        memset(index, 0xff, (size_t)capacity * slot_bytes);
        assert_ptr_equal(table_index(&table, shard), index);
        before = capacity;
    }
    uint64_t share = entries_max / plan.shard_count;
    assert_true((uint64_t)before * 4 / 5 >= share * 2);
    assert_true((uint64_t)before * 4 / 5 <= share * 3 + 200);
    table_deinit(&table);
}

static void table_plans_greater_sizes_of_zeros(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 400, 5000, 16384, 400000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        grow_to_the_end(sizes[i], 1, 8);
        grow_to_the_end(sizes[i], 4, 16);
    }
}

static void table_plans_for_the_greatest_number(void **state)
{
    (void)state;
    static const struct table_plan plans[] = {
        {.slot_bytes = 8, .shard_count = 1024, .entries_max = ORDERS_MAX, .growth = 1},
        {.slot_bytes = 16, .shard_count = 1024, .entries_max = ORDERS_MAX, .growth = 4},
    };
    for (size_t i = 0; i < 2; i++) {
        struct table table;
        assert_int_equal(table_init(&table, &plans[i]), HF_OK);
        table_deinit(&table);
    }
    struct table never = {0};
    table_deinit(&never);
}

static void table_tidies_all_but_the_present_indexes(void **state)
{
    (void)state;
    struct table table;
    const struct table_plan plan = {
        .slot_bytes = 8, .shard_count = 4, .entries_max = 100000, .growth = 1};
    assert_int_equal(table_init(&table, &plan), HF_OK);
    uint8_t *left[4];
    uint32_t capacities[4] = {0};
    for (uint32_t shard = 0; shard < 4; shard++) {
        left[shard] = grow_at_once(&table, shard, &capacities[shard]);
        left[shard][0] = 1;
    }
    assert_false(table_tidy(&table)); /* nothing was left yet */
    for (uint32_t shard = 0; shard < 4; shard++) {
        assert_int_equal(left[shard][0], 1);
        uint8_t *index = grow_at_once(&table, shard, &capacities[shard]);
        index[0] = 2;
    }
    assert_false(table_tidy(&table));
    for (uint32_t shard = 0; shard < 4; shard++) {
        assert_int_equal(left[shard][0], 0);
        assert_int_equal(*(uint8_t *)table_index(&table, shard), 2);
    }
    table_deinit(&table);
}

/* Each step goes on where the one before ended, and is short; the former index is kept, and its
 * memory with it, until the last step. */
static void table_moves_to_a_greater_index_in_steps(void **state)
{
    (void)state;
    struct table table;
    const struct table_plan plan = {
        .slot_bytes = 8, .shard_count = 2, .entries_max = 100000, .growth = 1};
    assert_int_equal(table_init(&table, &plan), HF_OK);
    uint32_t capacity = 0;
    uint8_t *former = grow_at_once(&table, 1, &capacity);
    former[0] = 7;
    uint32_t next;
    uint8_t *index = table_next(&table, 1, &next);
    struct table_left left = {.slots = NULL};
    table_left_begin(&table, 1, &left, former, capacity);
    uint32_t moved = 0;
    while (atomic_load(&left.slots)) {
        assert_ptr_equal(atomic_load(&left.slots), former);
        assert_int_equal(table_left_ring(&left).first, moved);
        assert_int_equal(table_left_ring(&left).end, capacity);
        assert_ptr_equal(table_index(&table, 1), former);
        assert_false(table_tidy(&table));
        assert_int_equal(former[0], 7);
        struct table_ring step = table_left_step(&left);
        assert_int_equal(step.first, moved);
        assert_in_range(step.end, moved + 1, moved + TABLE_MOVE_SLOTS);
        moved = step.end;
        table_left_moved(&table, 1, &left, step);
    }
    assert_int_equal(moved, capacity);
    assert_ptr_equal(table_index(&table, 1), index);
    assert_false(table_tidy(&table));
    assert_int_equal(former[0], 0);
    table_deinit(&table);
}

/* What is left of an index is a ring: homes before it are at its first slot, and the first slot
 * follows the last. */
static void table_probes_what_is_left_as_a_ring(void **state)
{
    (void)state;
    static const struct table_ring ring = {.first = 60, .end = 100};
    assert_int_equal(table_ring_length(ring), 40);
    assert_int_equal(table_ring_home(ring, 0), 60);
    assert_int_equal(table_ring_home(ring, 0x80000000u), 60);
    assert_int_equal(table_ring_home(ring, 0xc0000000u), 75);
    assert_int_equal(table_ring_home(ring, UINT32_MAX), 99);
    assert_int_equal(table_ring_after(ring, 60), 61);
    assert_int_equal(table_ring_after(ring, 99), 60);
    assert_true(table_may_move(ring, 60, 62, 61));
    assert_true(table_may_move(ring, 60, 62, 60));
    assert_false(table_may_move(ring, 62, 62, 61));
    assert_true(table_may_move(ring, 98, 61, 99)); /* pushed over the end */
    assert_false(table_may_move(ring, 60, 61, 99));
    assert_true(table_may_move(ring, 98, 99, 98));
}

static void table_is_sized_for_so_many_entries(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1, 1000, 50000, 100000};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct table table;
        const struct table_plan plan = {
            .slot_bytes = 8, .shard_count = 4, .entries_max = 100000, .growth = 1};
        assert_int_equal(table_init(&table, &plan), HF_OK);
        uint32_t capacity = table_expect(&table, counts[i]);
        assert_true((uint64_t)capacity * 4 / 5 >= counts[i] / 4);
        for (uint32_t shard = 0; shard < 4; shard++) {
            assert_non_null(table_index(&table, shard));
        }
        assert_false(table_tidy(&table));
        uint32_t next = 0;
        assert_non_null(table_next(&table, 0, &next)); /* the spare one at least */
        assert_true(next > capacity);
        table_deinit(&table);
    }
}

static uint64_t pages_in_memory(const struct table_size *size, uint32_t shard_count)
{
    uint64_t pages = size->bytes * shard_count / PAGE_BYTES;
    unsigned char *in = malloc(pages);
    uint64_t count = 0;
    assert_int_equal(mincore(size->indexes, pages * PAGE_BYTES, in), 0);
    for (uint64_t i = 0; i < pages; i++) {
        count += in[i] & 1;
    }
    free(in);
    return count;
}

static void table_populates_present_indexes_in_parts(void **state)
{
    (void)state;
    struct table table;
    const struct table_plan plan = {
        .slot_bytes = 8, .shard_count = 4, .entries_max = 100000, .growth = 1};
    assert_int_equal(table_init(&table, &plan), HF_OK);
    table_populate(&table, 0, 1); /* no shard has any */
    assert_int_equal(pages_in_memory(&table.sizes[0], 4), 0);
    assert_int_equal(table_expect(&table, 4 * 400), 1024);
    table_populate(&table, 0, 3);
    assert_int_equal(pages_in_memory(&table.sizes[1], 4), 2);
    table_populate(&table, 2, 3);
    assert_int_equal(pages_in_memory(&table.sizes[1], 4), 2 * 3);
    table_populate(&table, 1, 3);
    assert_int_equal(pages_in_memory(&table.sizes[1], 4), 2 * 4);
    assert_int_equal(pages_in_memory(&table.sizes[0], 4), 0);
    assert_int_equal(pages_in_memory(&table.sizes[2], 4), 0);
    table_deinit(&table);
}

static void table_prefaults_when_growing_is_near(void **state)
{
    (void)state;
    struct table table;
    const struct table_plan plan = {
        .slot_bytes = 8, .shard_count = 4, .entries_max = 100000, .growth = 1};
    assert_int_equal(table_init(&table, &plan), HF_OK);
    uint32_t capacities[4] = {0};
    for (uint32_t shard = 0; shard < 4; shard++) {
        assert_non_null(grow_at_once(&table, shard, &capacities[shard]));
        assert_int_equal(capacities[shard], 512);
    }
    assert_false(table_prefault(&table, 358)); /* below 7/10 */
    assert_int_equal(pages_in_memory(&table.sizes[1], 4), 0);
    while (table_prefault(&table, 359)) {
    }
    assert_int_equal(pages_in_memory(&table.sizes[1], 4), 4 * 2);
    assert_int_equal(pages_in_memory(&table.sizes[2], 4), 0);
    table_deinit(&table);
}

/* The last size is for a crowd that hardly ever comes. */
static void table_prefaults_nothing_beyond_the_last_size(void **state)
{
    (void)state;
    struct table table;
    const struct table_plan plan = {
        .slot_bytes = 8, .shard_count = 4, .entries_max = 100000, .growth = 1};
    assert_int_equal(table_init(&table, &plan), HF_OK);
    uint32_t capacities[4] = {0};
    for (uint32_t size = 0; size + 1 < table.size_count; size++) {
        for (uint32_t shard = 0; shard < 4; shard++) {
            assert_non_null(grow_at_once(&table, shard, &capacities[shard]));
        }
    }
    assert_false(table_prefault(&table, 25000));
    assert_int_equal(pages_in_memory(&table.sizes[table.size_count - 1], 4), 0);
    table_deinit(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_chooses_shards_for_16384_entries_each),
        cmocka_unit_test(table_has_a_slot_up_to_four_fifths),
        cmocka_unit_test(table_homes_spread_over_the_capacity),
        cmocka_unit_test(table_plans_greater_sizes_of_zeros),
        cmocka_unit_test(table_plans_for_the_greatest_number),
        cmocka_unit_test(table_tidies_all_but_the_present_indexes),
        cmocka_unit_test(table_moves_to_a_greater_index_in_steps),
        cmocka_unit_test(table_probes_what_is_left_as_a_ring),
        cmocka_unit_test(table_is_sized_for_so_many_entries),
        cmocka_unit_test(table_populates_present_indexes_in_parts),
        cmocka_unit_test(table_prefaults_when_growing_is_near),
        cmocka_unit_test(table_prefaults_nothing_beyond_the_last_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

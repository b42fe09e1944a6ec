/* lines_test.c - memory for orders' lines: blocks that don't overlap, and serve again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/lines.h"
#include "lib/rng.h"

static struct lines *make(void)
{
    struct lines *lines;
    assert_int_equal(lines_init(&lines), HF_OK);
    return lines;
}

static void lines_gives_aligned_blocks_of_each_size(void **state)
{
    (void)state;
    struct lines *lines = make();
    for (uint32_t count = 1; count <= ORDER_LINES_MAX; count++) {
        struct order_line_view *block = lines_alloc(lines, count, count);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % _Alignof(max_align_t), 0);
        memset(block, 0xff, count * sizeof *block);
    }
    lines_deinit(lines);
    lines_deinit(NULL);
}

/* A block serves any count up to the same power of two, and none above it. */
static void lines_uses_a_freed_block_for_its_size(void **state)
{
    (void)state;
    struct lines *lines = make();
    for (uint32_t class = 4; class <= ORDER_LINES_MAX; class *= 2) {
        struct order_line_view *block = lines_alloc(lines, 3, class);
        lines_free(lines, 3, block, class);
        struct order_line_view *smaller = lines_alloc(lines, 3, class / 2);
        assert_ptr_not_equal(smaller, block);
        assert_ptr_equal(lines_alloc(lines, 3, class / 2 + 1), block);
        assert_ptr_not_equal(lines_alloc(lines, 3, class), block);
        lines_free(lines, 3, block, class / 2 + 1);
    }
    lines_deinit(lines);
}

/* Blocks that are filled with numbers of their own, by several threads, keep them. */
enum { THREADS = 6, BLOCKS = 200, STEPS = 20000 };

struct worker {
    struct lines *lines;
    pthread_t thread;
    uint32_t number;
    uint64_t seed;
    uint32_t wrong;
};

static void fill(struct order_line_view *block, uint32_t count, uint32_t mark)
{
    for (uint32_t i = 0; i < count; i++) {
        block[i] = (struct order_line_view){.item = mark, .ticket = i};
    }
}

static bool is_filled(const struct order_line_view *block, uint32_t count, uint32_t mark)
{
    for (uint32_t i = 0; i < count; i++) {
        if (block[i].item != mark || block[i].ticket != i) {
            return false;
        }
    }
    return true;
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    struct rng rng;
    rng_init(&rng, worker->seed);
    struct order_line_view *blocks[BLOCKS] = {0};
    uint32_t counts[BLOCKS];
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = (uint32_t)rng_below(&rng, BLOCKS);
        uint32_t mark = worker->number * BLOCKS + i;
        if (blocks[i]) {
            worker->wrong += !is_filled(blocks[i], counts[i], mark);
            lines_free(worker->lines, mark, blocks[i], counts[i]);
            blocks[i] = NULL;
            continue;
        }
        counts[i] = (uint32_t)rng_between(&rng, 1, rng_chance(&rng, 50) ? ORDER_LINES_MAX : 20);
        blocks[i] = lines_alloc(worker->lines, mark, counts[i]);
        if (blocks[i]) {
            fill(blocks[i], counts[i], mark);
        } else {
            worker->wrong++;
        }
    }
    return NULL;
}

static void lines_keeps_what_threads_write(void **state)
{
    (void)state;
    uint64_t seed = rng_seed_from_env(9);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    static struct worker workers[THREADS];
    struct lines *lines = make();
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.lines = lines, .number = i, .seed = seed + i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].wrong, 0);
    }
    lines_deinit(lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_gives_aligned_blocks_of_each_size),
        cmocka_unit_test(lines_uses_a_freed_block_for_its_size),
        cmocka_unit_test(lines_keeps_what_threads_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

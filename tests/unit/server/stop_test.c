/* stop_test.c - an engine with its threads, on a real disk: calls are answered, what is due
 * expires, and a stop ends all of it. What never ends fails by an assertion: it is done in a thread
 * that is watched.
 *
 * Threads: the engine's, and one that starts and stops it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <time.h>

#include "io/real.h"
#include "io/storage_open.h"
#include "lib/tempdir.h"
#include "server/engine_internal.h"
#include "server/worker.h"

#define HOLD_MS 20u
#define LIMIT   5000u /* milliseconds of sleep, for what is at fault */

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Waits for it; false: never. */
static bool becomes(const atomic_uint *value, unsigned at_least)
{
    for (unsigned i = 0; i < LIMIT && atomic_load(value) < at_least; i++) {
        rest();
    }
    return atomic_load(value) >= at_least;
}

struct shop {
    char *directory;
    struct storage *storage;
    struct engine *engine;
};

static void shop_open(struct shop *shop)
{
    static const struct engine_options options = {
        .inventory = {.items_max = 64,
                      .orders_max = 4096,
                      .hold_ms_default = HOLD_MS,
                      .hold_ms_max = 1000000},
        .wal = {.segment_bytes = MIB(4), .spare_segments = 1, .in_flight_max = 1},
        .wal_bytes_max = MIB(256),
        .retain_ended_ms = 1000000};
    struct engine_recovery recovery;
    shop->directory = tempdir_make();
    assert_int_equal(storage_open(&shop->storage, shop->directory, STORAGE_SYNC, false), HF_OK);
    assert_int_equal(engine_open(&shop->engine, &options, shop->storage, clock_real(), &recovery),
                     HF_OK);
    assert_int_equal(engine_start(shop->engine), HF_OK);
}

static void *stop(void *argument)
{
    void **parts = argument;
    engine_stop(parts[0]);
    atomic_store((atomic_uint *)parts[1], 1);
    return NULL;
}

static void shop_close(struct shop *shop)
{
    atomic_uint stopped = 0;
    void *parts[2] = {shop->engine, &stopped};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop, parts), 0);
    assert_true(becomes(&stopped, 1));
    pthread_join(thread, NULL);
    engine_close(shop->engine);
    storage_destroy(shop->storage);
    tempdir_remove(shop->directory);
}

/* ---- Asking ---- */

struct ask {
    struct engine_call call;
    struct arena arena;
    atomic_uint done;
};

static void ask_done(struct engine_call *call)
{
    atomic_fetch_add(&((struct ask *)call)->done, 1);
}

static void ask_submit(struct shop *shop, struct ask *ask, const struct request *request)
{
    memset(ask, 0, sizeof *ask);
    arena_init(&ask->arena, MIB(8));
    ask->call.arena = &ask->arena;
    ask->call.done = ask_done;
    engine_submit(shop->engine, &ask->call, request);
}

static enum hf_status ask_wait(struct shop *shop, const struct request *request)
{
    struct ask *ask = calloc(1, sizeof *ask); /* the log may still have it when the test fails */
    assert_non_null(ask);
    ask_submit(shop, ask, request);
    assert_true(becomes(&ask->done, 1));
    assert_int_equal(atomic_load(&ask->done), 1);
    enum hf_status status = ask->call.response.status;
    arena_deinit(&ask->arena);
    free(ask);
    return status;
}

static void define_phone(struct shop *shop)
{
    struct item_message item = {.sku = bytes_of("phone")};
    struct request define = {.type = REQUEST_DEFINE};
    define.define.item_count = 1;
    define.define.items = &item;
    assert_int_equal(ask_wait(shop, &define), HF_OK);
    static const uint8_t id[ID_BYTES] = {0xAD};
    struct adjustment_message adjustment = {
        .id = {id, ID_BYTES}, .item = 1, .has_delta = true, .delta = 1000};
    struct request adjust = {.type = REQUEST_ADJUST};
    adjust.adjust.count = 1;
    adjust.adjust.adjustments = &adjustment;
    assert_int_equal(ask_wait(shop, &adjust), HF_OK);
}

static struct request reserve_of(const uint64_t *id, uint32_t hold_ms)
{
    static const uint32_t item = 1;
    struct request request = {.type = REQUEST_RESERVE_BATCH};
    request.batch = (struct batch_message){.id_hi_count = 1,
                                           .id_hi = id,
                                           .id_lo_count = 1,
                                           .id_lo = id,
                                           .item_count = 1,
                                           .item = &item,
                                           .hold_ms = hold_ms};
    return request;
}

/* ---- Tests ---- */

static void idle_engine_stops(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop);
    shop_close(&shop);
}

static void calls_are_answered_and_what_is_due_expires(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop);
    define_phone(&shop);
    for (uint64_t id = 1; id <= 50; id++) {
        struct request request = reserve_of(&id, 0);
        assert_int_equal(ask_wait(&shop, &request), HF_OK);
    }
    struct inventory_counts counts;
    for (unsigned i = 0; i < LIMIT; i++) {
        inventory_counts(engine_inventory(shop.engine), &counts);
        if (counts.orders_held == 0) {
            break;
        }
        rest();
    }
    assert_int_equal(counts.orders_held, 0);
    assert_int_equal(counts.orders_known, 50);
    shop_close(&shop);
}

/* What was submitted before the stop is answered, and durable. */
static void stop_answers_what_is_under_way(void **state)
{
    (void)state;
    enum { CALLS = 200 };
    static struct ask asks[CALLS];
    struct shop shop;
    shop_open(&shop);
    define_phone(&shop);
    for (uint64_t id = 1; id <= CALLS; id++) {
        struct request request = reserve_of(&id, 100000);
        ask_submit(&shop, &asks[id - 1], &request);
    }
    atomic_uint stopped = 0;
    void *parts[2] = {shop.engine, &stopped};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop, parts), 0);
    assert_true(becomes(&stopped, 1));
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < CALLS; i++) {
        assert_int_equal(atomic_load(&asks[i].done), 1);
        assert_int_equal(asks[i].call.response.status, HF_OK);
        arena_deinit(&asks[i].arena);
    }
    struct wal *wal = engine_wal(shop.engine);
    assert_true(wal_commit_lsn(wal) >= wal_tail_lsn(wal));
    engine_close(shop.engine);
    /* The last thing that a log which was stopped holds is the digest of all before. */
    struct wal_reader *reader;
    struct wal_block block;
    enum block_type last = BLOCK_NOOP;
    assert_int_equal(wal_reader_open(&reader, shop.storage), HF_OK);
    while (wal_reader_next(reader, &block) == HF_OK) {
        last = block.header.type;
    }
    wal_reader_close(reader);
    assert_int_equal(last, BLOCK_DIGEST);
    storage_destroy(shop.storage);
    tempdir_remove(shop.directory);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(idle_engine_stops),
        TEST(calls_are_answered_and_what_is_due_expires),
        TEST(stop_answers_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

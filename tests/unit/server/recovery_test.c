/* recovery_test.c - recovery with one and with several threads: the same state, the same faults, at
 * the same places. Histories are made in memory and written to a simulated disk by the log itself.
 *
 * Threads: recovery's own. SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint/build.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/info.h"
#include "lib/budget.h"
#include "lib/history.h"
#include "lib/sim_clock.h"
#include "lib/sim_storage.h"
#include "server/engine.h"
#include "wal/record.h"

#define START_MS      1762790400000ull
#define SEGMENT_BYTES WAL_SEGMENT_BYTES_MIN

static const unsigned thread_counts[] = {1, 2, 4};
static uint64_t seed;

static uint64_t fixed_unix_ns(void *context)
{
    (void)context;
    return START_MS * 1000000u;
}

static uint64_t fixed_ns(void *context)
{
    (void)context;
    return 1;
}

static const struct clock fixed_clock = {NULL, fixed_unix_ns, fixed_ns, fixed_ns, sim_boot};

static struct engine_options options_with(unsigned threads, uint64_t orders_max)
{
    return (struct engine_options){.inventory = rig_options(orders_max),
                                   .wal = {.segment_bytes = SEGMENT_BYTES,
                                           .spare_segments = 1,
                                           .in_flight_max = 1,
                                           .digest_every_bytes = KIB(64)},
                                   .checkpoint_memory = MIB(1),
                                   .recovery_threads = threads};
}

/* ---- Writing a log ---- */

struct writer {
    struct storage *storage;
    struct wal *wal;
    uint8_t records[WAL_APPEND_BYTES_MAX];
    uint32_t bytes;
    uint32_t count;
    uint64_t digest_delta;
};

static void writer_stall(void *context)
{
    wal_step(((struct writer *)context)->wal, false);
    wal_prepare_step(((struct writer *)context)->wal);
}

static void writer_settle(struct writer *writer)
{
    for (unsigned idle = 0; idle < 64; idle++) {
        bool prepared = wal_prepare_step(writer->wal);
        if (wal_step(writer->wal, false) || prepared) {
            idle = 0;
        }
    }
}

static struct writer *writer_open(void)
{
    struct writer *writer = calloc(1, sizeof *writer);
    CHECK(writer != NULL);
    writer->storage = sim_storage_make(seed);
    const struct engine_options options = options_with(1, 1);
    struct wal_end end = {.empty = true, .next_index = 1};
    static struct timekeeper time; /* which stands still */
    timekeeper_init(&time, &fixed_clock, &(struct time_past){0}, false);
    CHECK(wal_open(&writer->wal, &options.wal, writer->storage, &time, &end, 0) == HF_OK);
    wal_set_stall_hook(writer->wal, writer_stall, writer);
    return writer;
}

static void writer_flush(struct writer *writer)
{
    uint64_t lsn;
    if (writer->count > 0) {
        CHECK(wal_append(writer->wal, writer->records, writer->bytes, writer->count,
                         writer->digest_delta, &lsn) == HF_OK);
        writer_settle(writer);
    }
    writer->bytes = 0;
    writer->count = 0;
    writer->digest_delta = 0;
}

static void writer_add(struct writer *writer, const struct event *event)
{
    if (writer->bytes + record_bytes(event) > sizeof writer->records || writer->count == 700) {
        writer_flush(writer);
    }
    writer->bytes += record_encode(event, writer->records + writer->bytes);
    writer->count++;
    writer->digest_delta += event->digest_delta;
}

/* Ends the log; the storage is the caller's. */
static struct storage *writer_close(struct writer *writer)
{
    writer_flush(writer);
    struct storage *storage = writer->storage;
    wal_close(writer->wal);
    free(writer);
    return storage;
}

static void write_history(struct writer *writer, const struct history *h, uint32_t from,
                          uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        writer_add(writer, &h->rig.log[i]);
        if (i % 97 == 0) {
            writer_flush(writer);
        }
    }
}

/* An order so long that some hundred of them fill a segment; not one of the history's. */
static void write_bulk(struct writer *writer, uint64_t *digest)
{
    static struct order_line lines[ORDER_LINES_MAX];
    for (uint32_t i = 0; i < ORDER_LINES_MAX; i++) {
        lines[i] = (struct order_line){5 + i % 2, 1};
    }
    struct inventory *scratch;
    struct inventory_options options = rig_options(65536);
    CHECK(inventory_init(&scratch, &options) == HF_OK);
    for (uint32_t item = 1; item <= HISTORY_ITEMS; item++) {
        char pool[2] = {(char)('a' + item), 0};
        struct item_def def = {.item = item, .sku = bytes_of("sku"), .pool = bytes_of(pool)};
        struct event event = {.type = EVENT_ITEM_DEFINED, .item = &def};
        CHECK(inventory_apply(scratch, &event) == HF_OK);
    }
    for (uint64_t i = 0; i < 600; i++) {
        struct event event = {.type = EVENT_ORDER_HELD,
                              .id = {0xB1, i},
                              .deadline_ms = START_MS + i,
                              .line_count = ORDER_LINES_MAX,
                              .lines = lines};
        CHECK(inventory_apply(scratch, &event) == HF_OK); /* for its digest */
        writer_add(writer, &event);
        *digest += event.digest_delta;
    }
    inventory_deinit(scratch);
}

/* ---- Recovering ---- */

/* Opens a copy; *engine NULL if it fails. */
static enum hf_status recover(const struct storage *log, unsigned threads, uint64_t orders_max,
                              struct storage **copy, struct engine **engine,
                              struct engine_recovery *recovery)
{
    struct engine_options options = options_with(threads, orders_max);
    options.inventory.orders_ready = orders_max / 2;
    *copy = sim_storage_copy(log, 1);
    return engine_open(engine, &options, *copy, &fixed_clock, recovery);
}

static void check_engine(const struct history *h, struct engine *engine)
{
    struct inventory *inventory = engine_inventory(engine);
    assert_true(engine_digest(engine) == inventory_digest(inventory));
    history_check_same(h, h->rig.inventory, inventory, false);
    struct inventory_counts counts;
    inventory_counts(inventory, &counts);
    assert_int_equal(counts.deadlines, counts.orders_held);
}

static void recovery_is_the_same_with_any_number_of_threads(void **state)
{
    (void)state;
    struct inventory_options options = rig_options(65536);
    struct budget budget = budget_make("histories", 1, 1.0, 400);
    while (budget_next(&budget)) {
        struct history h;
        history_open(&h, seed + budget.round, &options);
        history_run(&h, 4000);
        struct writer *writer = writer_open();
        write_history(writer, &h, 0, h.rig.log_count);
        struct storage *log = writer_close(writer);
        for (unsigned i = 0; i < 3; i++) {
            struct storage *copy;
            struct engine *engine;
            struct engine_recovery recovery;
            assert_int_equal(recover(log, thread_counts[i], 65536, &copy, &engine, &recovery),
                             HF_OK);
            assert_int_equal(recovery.records, h.rig.log_count);
            assert_true(recovery.digests > 0);
            check_engine(&h, engine);
            engine_close(engine);
            storage_destroy(copy);
        }
        storage_destroy(log);
        history_close(&h);
    }
}

/* A history, and a log with a checkpoint that leads to it and to the bulk; *digest of both. The
 * storage and the history are the caller's. */
static struct storage *checkpointed_history(struct history *h, uint64_t *digest)
{
    struct inventory_options options = rig_options(65536);
    history_open(h, seed, &options);
    history_run(h, 3000);
    uint32_t half = h->rig.log_count;
    struct writer *writer = writer_open();
    write_history(writer, h, 0, half);
    *digest = 0;
    write_bulk(writer, digest);
    history_run(h, 2000);
    write_history(writer, h, half, h->rig.log_count);
    *digest += h->rig.digest;
    struct storage *log = writer_close(writer);

    struct storage *base;
    struct engine *engine;
    struct engine_recovery recovery;
    CHECK(recover(log, 1, 65536, &base, &engine, &recovery) == HF_OK);
    CHECK(recovery.checkpoint == 0);
    CHECK(engine_digest(engine) == *digest);
    CHECK(engine_checkpoint(engine) == HF_OK);
    engine_close(engine);
    storage_destroy(log);
    return base;
}

static void check_state(const struct history *h, struct engine *engine, uint64_t digest)
{
    assert_true(engine_digest(engine) == digest);
    assert_true(inventory_digest(engine_inventory(engine)) == digest);
    char what[256] = "";
    assert_true(inventory_verify(engine_inventory(engine), what, sizeof what));
    for (uint64_t id = 1; id <= h->ids; id++) {
        assert_true(history_same_order(h->rig.inventory, engine_inventory(engine),
                                       (struct id128){0xB0, id}, false));
    }
}

/* Tables of fewer shards than the file has parts, and of more. */
static void recovery_from_a_checkpoint_is_the_same_with_any_number_of_threads(void **state)
{
    (void)state;
    static const uint64_t orders_max[] = {20000, 65536, 600000};
    struct history h;
    uint64_t digest;
    struct storage *base = checkpointed_history(&h, &digest);
    for (unsigned i = 0; i < 9; i++) {
        struct storage *copy;
        struct engine *engine;
        struct engine_recovery recovery;
        assert_int_equal(
            recover(base, thread_counts[i % 3], orders_max[i / 3], &copy, &engine, &recovery),
            HF_OK);
        assert_true(recovery.checkpoint > 0);
        assert_true(recovery.checkpoint_orders > 600);
        assert_string_equal(recovery.notice, "");
        check_state(&h, engine, digest);
        engine_close(engine);
        storage_destroy(copy);
    }
    storage_destroy(base);
    history_close(&h);
}

/* Two places in two parts of the file: the first one is reported, whichever thread meets one first.
 */
static void damage_of_a_checkpoint_is_told_alike_by_any_number_of_threads(void **state)
{
    (void)state;
    struct history h;
    uint64_t digest;
    struct storage *base = checkpointed_history(&h, &digest);
    uint64_t *numbers;
    size_t count;
    assert_int_equal(checkpoint_list(base, &numbers, &count), HF_OK);
    assert_int_equal(count, 1);
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, numbers[0]);
    free(numbers);
    uint64_t size;
    uint8_t *data = sim_storage_data(base, name, &size);
    data[size / 4] ^= 1;
    data[size / 4 * 3] ^= 1;
    char notice[sizeof(((struct engine_recovery *)0)->notice)] = "";
    for (unsigned i = 0; i < 3; i++) {
        struct storage *copy;
        struct engine *engine;
        struct engine_recovery recovery;
        assert_int_equal(recover(base, thread_counts[i], 65536, &copy, &engine, &recovery), HF_OK);
        assert_int_equal(recovery.checkpoint, 0);
        if (i == 0) {
            memcpy(notice, recovery.notice, sizeof notice);
        }
        assert_string_equal(recovery.notice, notice);
        check_state(&h, engine, digest);
        engine_close(engine);
        storage_destroy(copy);
    }
    unsigned long long offset;
    const char *at = strstr(notice, "offset ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "offset %llu", &offset), 1);
    assert_true(offset <= size / 4);
    assert_true(offset + MIB(1) > size / 4);
    storage_destroy(base);
    history_close(&h);
}

/* ---- Faults ---- */

/* All thread counts say the same as the first; *message has it. */
static void check_fault(const struct storage *log, enum hf_status expected, uint64_t orders_max,
                        char message[512])
{
    for (unsigned i = 0; i < 3; i++) {
        struct storage *copy;
        struct engine *engine;
        struct engine_recovery recovery;
        assert_int_equal(recover(log, thread_counts[i], orders_max, &copy, &engine, &recovery),
                         expected);
        assert_null(engine);
        if (i == 0) {
            memcpy(message, recovery.message, 512);
        }
        assert_string_equal(recovery.message, message);
        storage_destroy(copy);
    }
}

/* Events that do not fit, from a place in the middle on, each of another order: the first one in
 * the log is reported, whichever lane meets one first. */
static void first_record_that_does_not_fit_is_told(void **state)
{
    (void)state;
    struct inventory_options options = rig_options(65536);
    struct history h;
    history_open(&h, seed, &options);
    history_run(&h, 2000);
    struct writer *writer = writer_open();
    uint32_t middle = h.rig.log_count / 2;
    write_history(writer, &h, 0, middle);
    writer_flush(writer);
    for (uint64_t i = 0; i < 64; i++) {
        struct event held = {.type = EVENT_ORDER_HELD,
                             .id = {0xB2, i},
                             .deadline_ms = START_MS,
                             .line_count = 1,
                             .one = {1, 1}};
        held.lines = &held.one;
        writer_add(writer, &held);
    }
    uint32_t fits = 64 * 48;
    for (uint64_t i = 64; i-- > 0;) {
        struct event returned = {.type = EVENT_ORDER_RETURNED, .id = {0xB2, i}};
        writer_add(writer, &returned); /* not committed */
    }
    writer_flush(writer);
    struct storage *log = writer_close(writer);
    char message[512];
    check_fault(log, HF_DAMAGED, 65536, message);
    assert_non_null(strstr(message, "does not fit the state"));
    /* In the block's payload right after what fits. */
    const char *offset = strstr(message, "offset ");
    assert_non_null(offset);
    uint64_t at = strtoull(offset + 7, NULL, 10);
    assert_int_equal((at - 128) % WAL_PAGE_BYTES, fits % WAL_PAGE_BYTES);
    storage_destroy(log);
    history_close(&h);
}

static void definition_that_does_not_fit_is_told_after_what_came_before(void **state)
{
    (void)state;
    struct inventory_options options = rig_options(65536);
    struct history h;
    history_open(&h, seed, &options);
    history_run(&h, 1000);
    for (int bad_order_first = 0; bad_order_first <= 1; bad_order_first++) {
        struct writer *writer = writer_open();
        write_history(writer, &h, 0, h.rig.log_count);
        writer_flush(writer);
        struct event expired = {.type = EVENT_ORDER_EXPIRED, .id = {0xB3, 1}}; /* there is none */
        if (bad_order_first) {
            writer_add(writer, &expired);
        }
        struct item_def def = {.item = 40, .sku = bytes_of("gap"), .pool = bytes_of("default")};
        struct event defined = {.type = EVENT_ITEM_DEFINED, .item = &def};
        writer_add(writer, &defined);
        struct storage *log = writer_close(writer);
        char message[512];
        check_fault(log, HF_DAMAGED, 65536, message);
        const char *offset = strstr(message, "offset ");
        assert_non_null(offset);
        assert_int_equal(strtoull(offset + 7, NULL, 10) % WAL_PAGE_BYTES, 128);
        storage_destroy(log);
    }
    history_close(&h);
}

/* A state that is not the engine's: segments are not given up for it. */
static void wrong_digest_makes_no_checkpoint(void **state)
{
    (void)state;
    for (unsigned wrong = 0; wrong < 2; wrong++) {
        struct inventory_options options = rig_options(65536);
        struct history h;
        history_open(&h, seed, &options);
        history_run(&h, 1000);
        h.rig.log[h.rig.log_count / 3].digest_delta += wrong;
        struct writer *writer = writer_open();
        uint64_t digest = 0;
        write_history(writer, &h, 0, h.rig.log_count);
        write_bulk(writer, &digest);
        assert_true(wal_sealed_segment(writer->wal) >= 1);
        struct storage *log = writer_close(writer);
        const struct checkpoint_build_options build = {
            .storage = log, .upto = 1, .memory_bytes = MIB(1), .inventory = options};
        struct checkpoint_info info;
        uint64_t *numbers;
        size_t count;
        assert_int_equal(checkpoint_build(&build, &info), wrong ? HF_DAMAGED : HF_OK);
        assert_int_equal(strstr(info.message, "differs from the digest") != NULL, wrong);
        assert_int_equal(checkpoint_list(log, &numbers, &count), HF_OK);
        assert_int_equal(count, 1 - wrong);
        free(numbers);
        storage_destroy(log);
        history_close(&h);
    }
}

static void wrong_digest_is_told(void **state)
{
    (void)state;
    struct inventory_options options = rig_options(65536);
    struct history h;
    history_open(&h, seed, &options);
    history_run(&h, 4000);
    h.rig.log[h.rig.log_count / 3].digest_delta++; /* the engine was wrong about it */
    struct writer *writer = writer_open();
    write_history(writer, &h, 0, h.rig.log_count);
    struct storage *log = writer_close(writer);
    char message[512];
    check_fault(log, HF_DAMAGED, 65536, message);
    assert_non_null(strstr(message, "the rebuilt state differs from the digest"));
    storage_destroy(log);
    history_close(&h);
}

static void damaged_block_is_told(void **state)
{
    (void)state;
    struct inventory_options options = rig_options(65536);
    struct history h;
    history_open(&h, seed, &options);
    history_run(&h, 3000);
    struct writer *writer = writer_open();
    write_history(writer, &h, 0, h.rig.log_count);
    struct storage *log = writer_close(writer);
    char name[STORAGE_NAME_BYTES_MAX];
    wal_segment_name(name, 1);
    uint64_t size;
    uint8_t *data = sim_storage_data(log, name, &size);
    assert_non_null(data);
    data[4 * WAL_PAGE_BYTES + 200] ^= 1;
    char message[512];
    check_fault(log, HF_DAMAGED, 65536, message);
    assert_non_null(strstr(message, name));
    storage_destroy(log);
    history_close(&h);
}

/* ---- Room ---- */

/* The table is full at the end, and nearly so before: orders come and go. Lanes that run ahead of
 * each other would find no room. */
static void recovery_needs_no_more_room_than_the_log_ever_did(void **state)
{
    (void)state;
    const uint64_t orders_max = 65536;
    struct writer *writer = writer_open();
    struct item_def def = {.item = 1, .sku = bytes_of("sku"), .pool = bytes_of("default")};
    struct inventory *scratch;
    struct inventory_options sizes = rig_options(orders_max);
    assert_int_equal(inventory_init(&scratch, &sizes), HF_OK);
    struct event defined = {.type = EVENT_ITEM_DEFINED, .item = &def};
    assert_int_equal(inventory_apply(scratch, &defined), HF_OK);
    writer_add(writer, &defined);
    for (uint64_t i = 0; i < orders_max + 4000; i++) {
        struct id128 old = {0xB4, i - orders_max};
        struct event events[3] = {
            {.type = EVENT_ORDER_RELEASED, .id = old},
            {.type = EVENT_ORDER_FORGOTTEN, .id = old},
            {.type = EVENT_ORDER_HELD, .id = {0xB4, i}, .line_count = 1, .one = {1, 1}}};
        events[2].lines = &events[2].one;
        for (unsigned j = i < orders_max ? 2 : 0; j < 3; j++) {
            assert_int_equal(inventory_apply(scratch, &events[j]), HF_OK);
            writer_add(writer, &events[j]);
        }
    }
    uint64_t digest = inventory_digest(scratch);
    inventory_deinit(scratch);
    struct storage *log = writer_close(writer);
    for (unsigned i = 0; i < 3; i++) {
        struct storage *copy;
        struct engine *engine;
        struct engine_recovery recovery;
        assert_int_equal(recover(log, thread_counts[i], orders_max, &copy, &engine, &recovery),
                         HF_OK);
        assert_int_equal(recovery.records, 1 + orders_max + 3 * 4000);
        assert_true(inventory_digest(engine_inventory(engine)) == digest);
        engine_close(engine);
        storage_destroy(copy);
    }
    char message[512];
    check_fault(log, HF_FULL, orders_max - 256, message);
    assert_non_null(strstr(message, "orders-max"));
    storage_destroy(log);
}

static void empty_log_is_recovered(void **state)
{
    (void)state;
    struct storage *log = sim_storage_make(1);
    for (unsigned i = 0; i < 3; i++) {
        struct storage *copy;
        struct engine *engine;
        struct engine_recovery recovery;
        assert_int_equal(recover(log, thread_counts[i], 65536, &copy, &engine, &recovery), HF_OK);
        assert_int_equal(recovery.records, 0);
        engine_close(engine);
        storage_destroy(copy);
    }
    storage_destroy(log);
}

int main(void)
{
    seed = rng_seed_from_env(0x5EED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recovery_is_the_same_with_any_number_of_threads),
        cmocka_unit_test(recovery_from_a_checkpoint_is_the_same_with_any_number_of_threads),
        cmocka_unit_test(damage_of_a_checkpoint_is_told_alike_by_any_number_of_threads),
        cmocka_unit_test(first_record_that_does_not_fit_is_told),
        cmocka_unit_test(definition_that_does_not_fit_is_told_after_what_came_before),
        cmocka_unit_test(wrong_digest_makes_no_checkpoint),
        cmocka_unit_test(wrong_digest_is_told),
        cmocka_unit_test(damaged_block_is_told),
        cmocka_unit_test(recovery_needs_no_more_room_than_the_log_ever_did),
        cmocka_unit_test(empty_log_is_recovered),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed) {
        fprintf(stderr, "SEED=%llu\n", (unsigned long long)seed);
    }
    return failed;
}
